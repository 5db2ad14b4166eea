//! The hub: users, sessions and rooms. It knows no protocol and opens no socket.
//!
//! A gateway signs a user up ([`Hub::sign_up`]), opens a [`Seat`] with an [`Outbox`] into its [`Sink`], hands it
//! [`Command`]s, and flushes the outbox. A program without sockets takes a seat with [`Hub::sit`] and hears the events themselves:
//!
//! ```
//! use talk::hub::Hub;
//! use talk::message::{Command, Event};
//! use talk::name::RoomName;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::new();
//! let (mut ann, _) = hub.sit("ann")?;
//! let (mut bob, mut heard) = hub.sit("bob")?;
//! ann.run(Command::Enter(RoomName::global())).await?;
//! bob.run(Command::Enter(RoomName::global())).await?;
//! ann.run(Command::Say { room: None, body: "hello".into(), id: None }).await?;
//! while let Some(event) = heard.next().await {
//!     if let Event::Message(post) = event {
//!         assert_eq!((&*post.record.from, &*post.record.body), ("ann", "hello"));
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each room has a task that takes turns: all that waits is put into the room's one order, encoded once for each wire,
//! and offered to every member in one piece. Members that do not take it never hold a turn up; they get a bounded
//! queue, and are cut when it is full.

mod counters;
mod directory;
mod inbox;
mod outbox;
mod rate;
mod room;
mod seat;
mod sink;
mod turn;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::time::Instant;

pub use counters::{Counted, Counters, Cut, Gauges};
pub use outbox::{End, Flushed, Outbox};
pub use rate::Rate;
pub use seat::{Heard, Seat};
pub use sink::{Batch, Encoding, Offered, Sink};

use self::directory::Directory;
use crate::limits::Limits;
#[cfg(doc)]
use crate::message::Command;
use crate::message::{Closing, Refusal};
use crate::name::Nickname;
use crate::secret::Secret;

/// Users, sessions and rooms. Cloning shares them.
///
/// It needs a tokio runtime from the first room on, and starts no task before.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Arc<Limits>,
    counters: Arc<Counters>,
    directory: Mutex<Directory>,
}

/// How long a user outlives the last session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lifetime {
    /// Not at all: name and token are free at once. Such a session is in one room at a time.
    Session,
    /// Ten minutes after a session that dropped, so that it can come back. Such a session may be in many rooms.
    Kept,
}

/// Why no session was opened.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OpenError {
    /// Nobody has this token, or not any more: sign up again.
    #[error("this token is not valid, or not any more")]
    BadToken,
    /// The user has as many sessions as one may have: end one first.
    #[error("this user has too many sessions")]
    TooManySessions,
}

impl Hub {
    /// With the default limits, in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(limits: &Limits) -> Self {
        let directory = Directory::default();
        let counters = directory.counters.clone();
        let inner = Inner { limits: Arc::new(limits.clone()), counters, directory: Mutex::new(directory) };
        Self { inner: Arc::new(inner) }
    }

    /// The limits it was made with.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.inner.limits
    }

    /// Makes a guest of that name. The token opens sessions; it is void when none was opened within a minute.
    ///
    /// # Errors
    /// [`Refusal::Taken`] for a name that somebody has or nobody may have, [`Refusal::Full`].
    pub fn sign_up(&self, name: &Nickname) -> Result<Secret, Refusal> {
        self.inner.lock().sign_up(name.clone(), &self.inner.limits, Instant::now())
    }

    /// Whether a session could be opened with this token.
    #[must_use]
    pub fn knows(&self, token: &Secret) -> bool {
        self.inner.lock().user_of(token, Instant::now()).is_some()
    }

    /// Opens a session whose bytes go out through `outbox`, in no room yet.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, token: &Secret, outbox: Arc<Outbox>, lifetime: Lifetime) -> Result<Seat, OpenError> {
        let opened = self.inner.lock().open(token, &outbox, &self.inner.limits, Instant::now())?;
        self.inner.counters.opened();
        Ok(Seat::new(self.inner.clone(), opened, outbox, lifetime))
    }

    /// Makes a guest and opens a session that hears events instead of bytes; at most
    /// [`Limits::member_messages`] of them wait. It may be in many rooms; the user ends with it.
    ///
    /// # Errors
    /// As for [`Hub::sign_up`]; [`Refusal::BadNickname`] for what can be no nickname.
    pub fn sit(&self, name: &str) -> Result<(Seat, Heard), Refusal> {
        let taken = crate::name::is_reserved(name);
        let nickname = Nickname::new(name).map_err(|_| match taken {
            true => Refusal::Taken(name.to_owned()),
            false => Refusal::BadNickname(name.to_owned()),
        })?;
        let token = self.sign_up(&nickname)?;
        let (sink, heard) = Heard::channel(self.inner.limits.member_messages);
        let outbox = Arc::new(Outbox::new(sink, &self.inner.limits));
        let seat = self.open(&token, outbox, Lifetime::Session).map_err(|_| Refusal::Over)?;
        Ok((seat, heard))
    }

    /// What has been counted since it was made.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// What there is now. It looks at every session, so it is for now and then.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let (mut gauges, outboxes) = self.inner.lock().gauges();
        for outbox in outboxes {
            let (bytes, messages) = outbox.queued();
            gauges.queued_bytes += bytes;
            gauges.queued_bytes_max = gauges.queued_bytes_max.max(bytes);
            gauges.queued_messages += messages;
        }
        gauges
    }

    /// Tells every session that the server stops ([`Closing::Stopping`]), and lets the rooms end.
    pub fn stop(&self) {
        let outboxes = self.inner.lock().shut_down();
        for outbox in outboxes {
            if outbox.end().is_none() {
                self.inner.counters.cut(Closing::Stopping);
            }
            outbox.close(Closing::Stopping);
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.lock().shut_down();
    }
}
