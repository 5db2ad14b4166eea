//! Rich mode of the room protocol: many rooms, ids, receipts, and nothing missed over a cut.

mod dial;
mod hear;
mod machine;
mod places;
mod session;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use self::dial::Dial;
use self::machine::{Machine, Settings};
use self::session::Session;
use super::driver::{self, Common};
use super::{Client, Events, Journal};
use crate::limits::Limits;
use crate::name::{NameError, RoomName};
use crate::net::base::{parse_base, without_secrets};
use crate::secret::Password;

/// How to take part.
///
/// Texts go to the room that was entered last, or to whom [`Ask::Select`](super::Ask::Select) names; `#room` and `@user`
/// say which is meant where a name may be either, also in [`Client::say`](super::Client::say).
///
/// Each text has an id, so it is heard once however often it had to be sent. Where the server may have forgotten the id
/// when the connection stands again, the text is [failed](super::State::Failed) and not repeated. What others say meanwhile
/// comes afterwards, as far as the server keeps it; what it does not keep is an [`Event::Gap`](super::Event::Gap). With a
/// [session](Self::session) that is so from one run to the next, too, also of direct messages; what the program took in the
/// last moment before it was killed is told again. Without one, direct messages of which the server does not know that they
/// were taken come again to the next run of the same account.
///
/// A nickname that is taken ends the client with [`Ended::Refused`](super::Ended::Refused), after some more tries within a
/// few seconds; with [`once`](Self::once) at once. A guest who was cut and left no session has the nickname for ten minutes
/// more. After a lost connection this client waits for that.
#[derive(Debug)]
pub struct Options {
    server: String,
    nickname: String,
    secret: Option<Password>,
    rooms: Vec<String>,
    session: Option<PathBuf>,
    common: Common,
    quiet: Duration,
    pace: (u32, Duration),
    limits: Limits,
}

/// Why a client cannot even try.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The address of the server cannot be used: correct it.
    #[error("{url:?} is no address of a room server: {reason}")]
    BadUrl {
        /// What was given, but for a user and a password in it.
        url: String,
        /// What would be right.
        reason: &'static str,
    },
    /// A room cannot be called that.
    #[error("{name:?}: {source}")]
    BadRoom {
        /// What was given.
        name: String,
        /// Why not.
        source: NameError,
    },
}

impl Options {
    /// Takes part at `server` (`http://host[:port][/prefix]`) as `nickname`: as a guest, if no
    /// [`secret`](Self::secret) is given.
    #[must_use]
    pub fn new(server: &str, nickname: &str) -> Self {
        Self {
            server: server.to_owned(),
            nickname: nickname.to_owned(),
            secret: None,
            rooms: Vec::new(),
            session: None,
            common: Common::default(),
            quiet: QUIET,
            pace: (BURST, EVERY),
            limits: Limits::default(),
        }
    }

    /// Signs in to an account, which is made if the nickname is free.
    #[must_use]
    pub fn secret(mut self, secret: Password) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Enters a room. It may be called several times; texts go to the last.
    #[must_use]
    pub fn enter(mut self, room: &str) -> Self {
        self.rooms.push(room.to_owned());
        self
    }

    /// Keeps texts that were not accepted for the next client with this journal.
    #[must_use]
    pub fn journal(mut self, journal: Journal) -> Self {
        self.common.journal = Some(journal);
        self
    }

    /// Keeps the token, the rooms and what was heard of them, and of direct messages, in this file, so that the next client with it goes on where
    /// this one ended; then leaving does not sign out. The file is private to the user (0600 on Unix), and as secret as
    /// a password while the token lasts. What is in it counts only for the same server and nickname.
    #[must_use]
    pub fn session(mut self, path: PathBuf) -> Self {
        self.session = Some(path);
        self
    }

    /// Ends when the connection is lost, or cannot be made.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.common.once = true;
        self
    }

    /// Silence after which the server is asked whether it is there, 30 s if not set; after as much again the connection
    /// counts as dead.
    #[must_use]
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// How fast commands may go out: so many at once, and one more each time this has passed. 30 and 66 ms if not set,
    /// within what servers allow by default. Texts beyond wait in the outbox.
    #[must_use]
    pub fn pace(mut self, burst: u32, every: Duration) -> Self {
        self.pace = (burst.max(1), every);
        self
    }

    /// Other limits: `connect_timeout`, `request_timeout` and `message` count here.
    #[must_use]
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = limits.clone();
        self
    }

    /// The rooms that will be entered: those of last time, and those that were chosen.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        let base = parse_base(&self.server).unwrap_or_default();
        let kept = self.session.as_ref().map(|path| Session::open(path.clone(), &base, &self.nickname).1);
        let mut rooms: Vec<_> = kept.unwrap_or_default().rooms.into_iter().map(|(room, _)| room.to_string()).collect();
        rooms.extend(self.rooms.iter().filter(|room| !rooms.contains(room)).cloned().collect::<Vec<_>>());
        rooms
    }

    /// Starts the client, which connects by itself.
    ///
    /// # Errors
    /// [`OptionsError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(self) -> Result<(Client, Events), OptionsError> {
        let bad = |reason| OptionsError::BadUrl { url: without_secrets(&self.server), reason };
        let base = parse_base(&self.server).map_err(bad)?;
        let (session, kept) = match self.session {
            Some(path) => Session::open(path, &base, &self.nickname),
            None => (None, Default::default()),
        };
        let dial = Dial::new(base, self.secret, &self.limits).map_err(bad)?;
        let settings = Settings { quiet: self.quiet, pace: self.pace, longest: self.limits.message };
        let mut machine = Machine::new(dial, self.nickname, settings, session, kept);
        let waiting = self.common.journal.iter().flat_map(Journal::places);
        let waiting = waiting.filter_map(|place| place.strip_prefix('#')).map(str::to_owned);
        for room in waiting.chain(self.rooms) {
            let name = RoomName::new(&room).map_err(|source| OptionsError::BadRoom { name: room, source })?;
            machine.want(name);
        }
        Ok(driver::start(machine, self.common))
    }
}

/// Half of what a server waits before it asks by itself.
const QUIET: Duration = Duration::from_secs(30);
/// Servers allow 60 commands at once and 20 a second.
const BURST: u32 = 30;
const EVERY: Duration = Duration::from_millis(66);
