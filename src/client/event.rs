//! What a client hears, whatever its protocol.

use std::sync::Arc;
use std::time::Duration;

use super::TextId;
use crate::message::{Position, Timestamp};
use crate::secret::Secret;

/// One thing that a client hears.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection stands, and everything needed was said: what is given now goes out.
    Connected {
        /// What this user is called there, where the protocol tells or takes a name.
        name: Option<String>,
        /// After a connection that was lost, also of an earlier run: whether everything said meanwhile has been heard,
        /// which it then was before this; `None` where the protocol cannot tell, and for the first connection.
        resumed: Option<bool>,
    },
    /// The connection is lost, or could not be made. The client tries again by itself.
    Lost {
        /// Why.
        reason: String,
        /// After so long.
        retry_in: Duration,
    },
    /// The client has ended, and nothing follows.
    Ended(Ended),
    /// The server told whose account this is, before [`Event::Connected`]; once, and again when it is another.
    Account(Account),
    /// Somebody said something.
    Message(Heard),
    /// The server says something that is nobody's message.
    Notice(String),
    /// A text of an earlier run, kept in a [`Journal`](super::Journal), waits to be sent.
    Restored {
        /// Its id.
        id: TextId,
        /// Where it goes, as the protocol's client names places.
        to: Option<String>,
        /// What it says.
        text: Arc<str>,
    },
    /// A text of this client came a step further.
    State {
        /// Which.
        id: TextId,
        /// How far.
        state: State,
    },
    /// Somebody came, went, or does something.
    Happened {
        /// Where, if the protocol knows rooms.
        room: Option<String>,
        /// Who.
        user: String,
        /// What.
        what: Happened,
    },
    /// The answer to [`Ask::Users`](super::Ask::Users).
    Users {
        /// Where, if the protocol knows rooms.
        room: Option<String>,
        /// Who, or how many where it tells no names.
        names: Vec<String>,
    },
    /// The answer to [`Ask::Rooms`](super::Ask::Rooms).
    Rooms(Vec<String>),
    /// Where texts go from now on.
    Selected {
        /// A room or a user; `None`: nowhere.
        to: Option<String>,
    },
    /// Messages that will never come: they are not kept any more.
    Gap {
        /// Where.
        room: String,
        /// How many at most.
        most: u64,
    },
    /// The answer to [`Ask::Search`](super::Ask::Search), the newest first.
    Found {
        /// Where.
        room: String,
        /// What was looked for.
        text: String,
        /// What was found.
        messages: Vec<Heard>,
        /// The place that only messages before were looked for; `None` for the newest.
        from: Option<u64>,
        /// Where to go on looking for older ones; `None` when all was looked at.
        before: Option<u64>,
    },
    /// The answer to [`Ask::History`](super::Ask::History) is whole.
    HistoryEnd {
        /// Where.
        room: String,
        /// Whether nothing older is kept.
        complete: bool,
    },
    /// The server did not do what it was asked.
    Refused {
        /// Why, as it says.
        reason: String,
        /// A stable word for it, where the protocol has one.
        code: Option<String>,
    },
}

impl Event {
    /// Bytes that it takes while it waits, roughly.
    pub(super) fn size(&self) -> usize {
        let long = match self {
            Self::Message(heard) => heard.size(),
            Self::Found { room, text, messages, .. } => {
                room.len() + text.len() + messages.iter().map(|heard| size_of::<Heard>() + heard.size()).sum::<usize>()
            }
            Self::Users { room, names } => room.as_ref().map_or(0, String::len) + list(names),
            Self::Rooms(names) => list(names),
            Self::Notice(text) => text.len(),
            Self::Restored { text, .. } => text.len(),
            Self::Happened { room, user, .. } => room.as_ref().map_or(0, String::len) + user.len(),
            Self::Refused { reason, .. } | Self::Lost { reason, .. } => reason.len(),
            Self::State { state: State::Failed(reason), .. } => reason.len(),
            Self::Gap { room, .. } | Self::HistoryEnd { room, .. } => room.len(),
            Self::Connected { .. } | Self::Ended(_) | Self::Account(_) | Self::State { .. } | Self::Selected { .. } => {
                0
            }
        };
        size_of::<Self>() + long
    }
}

/// Bytes of texts, each of which has a place of its own in memory.
fn list(texts: &[String]) -> usize {
    texts.iter().map(|text| 2 * size_of::<String>() + text.len()).sum()
}

/// An account that a server made, or knows again. Its `Debug` shows no hash.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// What its user is called there.
    pub nickname: String,
    /// What one signs in with: as secret as a password.
    pub hash: Secret,
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.nickname == other.nickname && self.hash.hash() == other.hash.hash()
    }
}

impl Eq for Account {}

/// A message.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Heard {
    /// Who says it.
    pub from: String,
    /// What.
    pub text: Arc<str>,
    /// Where.
    pub place: Place,
    /// When it was said, where the protocol tells; else when it came.
    pub at: Timestamp,
    /// Its place in the order, where the protocol tells.
    pub position: Option<Position>,
    /// The sender's own id for it, where the protocol tells: a [`TextId`] of this client for what it said itself.
    pub id: Option<TextId>,
    /// Whether it was said while this client was away, or before.
    pub past: bool,
    /// Whether this client's user said it, where that can be told.
    pub own: bool,
}

impl Heard {
    /// Bytes that it takes beside itself.
    fn size(&self) -> usize {
        let place = if let Place::Room(room) = &self.place { room.len() } else { 0 };
        self.from.len() + self.text.len() + place
    }
}

/// Where something is said.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Place {
    /// In a room.
    Room(String),
    /// To this user alone.
    Direct,
    /// To everybody there; the protocol knows no rooms, or does not tell.
    Open,
}

/// What somebody did.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Happened {
    /// Came.
    Joined,
    /// Went.
    Left,
    /// Is called so now.
    Renamed(String),
    /// Is writing.
    Typing,
}

/// How far a text of this client came. Each comes at most once, [`State::Delivered`] as often as there are more; never an
/// earlier one after a later one, but [`State::Queued`] again when the connection broke before it was confirmed, as far as
/// the protocol confirms anything. Not every protocol can tell each.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// It waits here, and goes out when the connection stands.
    Queued,
    /// It was written to the connection.
    Sent,
    /// The server has it, as durably as that server keeps things.
    Accepted,
    /// Programs of others took it.
    Delivered {
        /// How many.
        by: usize,
        /// Out of how many.
        of: usize,
    },
    /// It will not arrive, or nobody can say whether it did.
    Failed(String),
}

impl State {
    /// A stable word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Delivered { .. } => "delivered",
            Self::Failed(_) => "failed",
        }
    }
}

/// Why a client ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ended {
    /// It was asked to.
    Left {
        /// Texts of which nobody knows what became.
        unsettled: usize,
    },
    /// The server does not let it in, and trying again is no use: the name is taken, the secret wrong.
    Refused(String),
    /// It was told to connect once, and the connection is lost.
    Lost(String),
}
