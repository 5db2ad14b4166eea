//! Clients: programs that take part in a chat that somebody else serves.
//!
//! Each protocol has a module with its own options and a `connect`; what comes back is the same for all: a [`Client`] to
//! talk by, and [`Events`] to hear. A client keeps its connection up by itself, with pauses that grow; what it was given
//! to say waits meanwhile, within a bound, and each text's way is told by [`State`]s.
//!
//! What a protocol cannot do is refused at once ([`Refused::Unsupported`]); [`Client::can`] tells before.
//!
//! ```
//! use talk::client::{Event, room};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Usually another process: `talk-server --port 7000`.
//! let service = talk::gateway::http::service(talk::hub::Hub::new());
//! let server = talk::gateway::RoomServer::bind(&"127.0.0.1".parse()?, 0, service).await?;
//! let url = format!("http://{}", server.local_addr());
//! tokio::spawn(server.serve(std::future::pending()));
//!
//! let (alice, mut heard) = room::Options::new(&url, "alice").enter("global").connect()?;
//! let (bob, mut answers) = room::Options::new(&url, "bob").enter("global").connect()?;
//! while !matches!(heard.next().await, Some(Event::Connected { .. })) {}
//!
//! // It waits for the connection, and goes out again if that breaks.
//! let id = bob.say(None, "hello, all").await?;
//! while let Some(event) = heard.next().await {
//!     if let Event::Message(message) = event {
//!         assert_eq!((message.from.as_str(), &*message.text), ("bob", "hello, all"));
//!         assert_eq!(message.id, Some(id));
//!         break;
//!     }
//! }
//!
//! bob.leave().await;
//! while !matches!(answers.next().await, Some(Event::Ended(_)) | None) {}
//! # drop(alice);
//! # Ok(())
//! # }
//! ```

pub mod console;
mod driver;
mod event;
pub mod minechat;
mod outbox;
pub mod pair;
mod queue;
pub mod room;
mod websocket;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::event::{Account, Ended, Event, Happened, Heard, Place, State};
pub use self::outbox::{Journal, JournalError};
pub use self::queue::Events;

use crate::message::{MessageId, Timestamp};
use crate::text;

/// A text's own id, by which its [`State`]s are told.
pub type TextId = MessageId;

/// What a client can be asked for besides saying something. What comes of it is an [`Event`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ask {
    /// Who is there: in a room, or where the protocol knows no rooms.
    Users {
        /// Which room; `None` for the one that texts go to.
        room: Option<String>,
    },
    /// Which rooms there are.
    Rooms,
    /// Enter a room; texts go there from now on.
    Enter {
        /// Which.
        room: String,
    },
    /// Make a room and enter it.
    Create {
        /// What it is called.
        room: String,
    },
    /// Leave a room.
    Leave {
        /// Which; `None` for the one that texts go to.
        room: Option<String>,
    },
    /// Texts go to this user, or room, from now on.
    Select {
        /// Whom.
        to: String,
    },
    /// Another nickname.
    Rename {
        /// Which.
        name: String,
    },
    /// What was said before.
    History {
        /// Where; `None` for where texts go.
        room: Option<String>,
        /// Only before this seq; the newest when absent.
        before: Option<u64>,
        /// How many at most.
        limit: usize,
    },
    /// Kept messages that hold a text.
    Search {
        /// Where; `None` for where texts go.
        room: Option<String>,
        /// What.
        text: String,
        /// Only messages before this place: the `before` of an [`Event::Found`], to go on; `None` for the newest.
        before: Option<u64>,
    },
    /// Let the others know that something is being written.
    Typing {
        /// Where; `None` for where texts go.
        room: Option<String>,
    },
    /// A command of the protocol's own, as its people type it: the console's `current_time`.
    Own {
        /// The command.
        command: String,
    },
}

impl Ask {
    /// What kind of thing is asked.
    #[must_use]
    pub fn kind(&self) -> Ability {
        match self {
            Self::Users { .. } => Ability::Users,
            Self::Rooms => Ability::Rooms,
            Self::Enter { .. } => Ability::Enter,
            Self::Create { .. } => Ability::Create,
            Self::Leave { .. } => Ability::Leave,
            Self::Select { .. } => Ability::Select,
            Self::Rename { .. } => Ability::Rename,
            Self::History { .. } => Ability::History,
            Self::Search { .. } => Ability::Search,
            Self::Typing { .. } => Ability::Typing,
            Self::Own { .. } => Ability::Own,
        }
    }
}

/// What a client's protocol can do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the question of the same name")]
pub enum Ability {
    Say,
    Direct,
    Users,
    Rooms,
    Enter,
    Create,
    Leave,
    Select,
    Rename,
    History,
    Search,
    Typing,
    Own,
}

/// Why a client does not do what it was asked.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// The protocol has nothing of the kind.
    #[error("this protocol has nothing of the kind")]
    Unsupported,
    /// As much waits to be said as may: try again when some of it has gone out.
    #[error("{0} texts wait to be sent already")]
    Full(usize),
    /// Texts go nowhere: enter a room or select somebody first.
    #[error("there is nowhere to say it: enter a room, or select somebody")]
    Nowhere,
    /// The text is empty, or longer than the protocol takes.
    #[error("a text has 1 to {0} bytes")]
    Length(usize),
    /// The text could not be kept for later.
    #[error("the text could not be kept: {0}")]
    NotKept(Arc<JournalError>),
    /// The client has ended.
    #[error("this client has ended")]
    Ended,
}

/// A way to talk. Cloning shares it; when the last is dropped, the client says goodbye and ends.
#[derive(Clone)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    /// It is to leave, for which it need not be listened to.
    leave: CancellationToken,
    _last: Arc<DropGuard>,
    abilities: Arc<HashSet<Ability>>,
    longest: usize,
}

/// One thing that a client's own task is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    Say { to: Option<String>, text: Arc<str>, id: TextId, done: oneshot::Sender<Result<(), Refused>> },
    Ask(Ask),
}

impl Client {
    /// Gives a text its way: to `to`, a user, or to where texts go. When this is ready, it waits in the client's outbox
    /// and [`State::Queued`] is told.
    ///
    /// # Errors
    /// [`Refused`]; then nothing will be said.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the text was taken or not.
    pub async fn say(&self, to: Option<&str>, text: &str) -> Result<TextId, Refused> {
        if !self.can(if to.is_some() { Ability::Direct } else { Ability::Say }) {
            return Err(Refused::Unsupported);
        }
        let text = text::clean(text);
        if text.is_empty() || text.len() > self.longest {
            return Err(Refused::Length(self.longest));
        }
        let (id, (done, taken)) = (TextId::random(), oneshot::channel());
        let say = Request::Say { to: to.map(str::to_owned), text: text.into(), id: id.clone(), done };
        self.requests.send(say).await.map_err(|_| Refused::Ended)?;
        taken.await.map_err(|_| Refused::Ended)??;
        Ok(id)
    }

    /// Asks for something; what comes of it is an event.
    ///
    /// # Errors
    /// [`Refused::Unsupported`], [`Refused::Ended`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it was asked or not.
    pub async fn ask(&self, ask: Ask) -> Result<(), Refused> {
        if !self.can(ask.kind()) {
            return Err(Refused::Unsupported);
        }
        self.requests.send(Request::Ask(ask)).await.map_err(|_| Refused::Ended)
    }

    /// Says goodbye, once what waits has gone out: all of it, as long as no single text takes more than a few seconds.
    /// [`Event::Ended`] follows. What was asked before is still asked, also if nobody takes what comes of it.
    ///
    /// # Cancel safety
    /// It is never waited for.
    pub async fn leave(&self) {
        self.leave.cancel();
    }

    /// Whether the protocol can do something.
    #[must_use]
    pub fn can(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    /// Bytes that a text may have.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("abilities", &self.abilities).finish_non_exhaustive()
    }
}

/// The time now, as texts are dated here when their protocol does not say.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Requests that wait for the client's task.
const REQUESTS: usize = 16;
/// Events that wait to be taken; while they do, nothing is read from the server.
const EVENTS: usize = 256;
/// Texts that wait to be sent, or for a word of what became of them.
const OUTBOX: usize = 1024;
