//! Pair chat: plain texts to one user, or to a room.

mod dial;
mod hear;
mod machine;

use std::time::Duration;

use thiserror::Error;

use self::dial::Dial;
use self::machine::{Machine, Settings};
use super::driver::{self, Common};
use super::{Client, Events};
use crate::address::Host;
use crate::codec::pair;
use crate::limits::Limits;

/// How to take part.
///
/// [`Event::Connected`](super::Event::Connected) says that the server took the nickname, and
/// [`Event::Selected`](super::Event::Selected) that whom texts go to is there, each time anew after a lost connection.
/// While they are not there, which is told once as refused (`no_user`), they are asked for again and again, and texts
/// wait. [`Ask::Select`](super::Ask::Select) names another: what was typed before still goes where it was meant to go, if
/// they are there. The protocol knows only one for each connection, so another takes a new one, of which whoever was
/// spoken to hears that this user left.
///
/// A nickname that is taken ends the client with [`Ended::Refused`](super::Ended::Refused), unless it is this client's own
/// from before a lost connection: that may be its old self, so it tries again for some minutes, and each try is told as
/// [`Event::Lost`](super::Event::Lost).
///
/// The wire knows no ids. Of each text the server's word is awaited before the next goes out; when the connection breaks
/// in between, that one is said again, and may be heard twice. So are the last few that the server had sent on, if it is
/// one that tells what arrives: [`State::Delivered`](super::State::Delivered) was not told of them yet. What others say while
/// there is no connection is kept by nobody, and missed. So is what this client did not say before its program ended.
#[derive(Debug)]
pub struct Options {
    host: String,
    port: u16,
    path: String,
    nickname: String,
    to: Option<String>,
    common: Common,
    quiet: Duration,
    pace: (u32, Duration),
    limits: Limits,
}

/// Why a client cannot even try.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OptionsError {
    /// There is no host of that name.
    #[error("{0:?} is no host: give a DNS name, an IPv4 address or an IPv6 address without brackets")]
    BadHost(String),
    /// No WebSocket can be asked for there.
    #[error("{0:?} is no path: it begins with '/', and holds no spaces")]
    BadPath(String),
    /// Nobody can be called that in pair chat.
    #[error(
        "{0:?} is no nickname here: 3 to 20 characters, the first a letter, none of . , ( ) ' \" ~ ` #, not reserved"
    )]
    BadNickname(String),
    /// Nobody can be called that on any wire.
    #[error("{0:?} is nobody's name, and no room's")]
    BadPeer(String),
}

impl Options {
    /// Takes part at `host:port` as `nickname`.
    #[must_use]
    pub fn new(host: &str, port: u16, nickname: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            path: "/".to_owned(),
            nickname: nickname.to_owned(),
            to: None,
            common: Common::default(),
            quiet: QUIET,
            pace: (BURST, EVERY),
            limits: Limits::default(),
        }
    }

    /// Speaks to this user, or room; else [`Ask::Select`](super::Ask::Select) says to whom.
    #[must_use]
    pub fn to(mut self, peer: &str) -> Self {
        self.to = Some(peer.to_owned());
        self
    }

    /// The path of the WebSocket, `/` if not set.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    /// Ends when the connection is lost, or cannot be made.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.common.once = true;
        self
    }

    /// Silence after which the server is asked whether it is there, 30 s if not set; after as much again the connection
    /// counts as dead. A server that takes longer to answer has twice as long as it took, and silence of one that never
    /// answered means nothing.
    #[must_use]
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// How fast frames may go out: so many at once, and one more each time this has passed. 30 and 66 ms if not set,
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

    /// Starts the client, which connects by itself.
    ///
    /// # Errors
    /// [`OptionsError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(self) -> Result<(Client, Events), OptionsError> {
        let Ok(host) = Host::new(&self.host) else { return Err(OptionsError::BadHost(self.host)) };
        if !self.path.starts_with('/') || self.path.parse::<hyper::Uri>().is_err() {
            return Err(OptionsError::BadPath(self.path));
        }
        if pair::nick(&self.nickname).is_none() {
            return Err(OptionsError::BadNickname(self.nickname));
        }
        if let Some(to) = self.to.as_ref().filter(|to| !pair::is_recipient(to)) {
            return Err(OptionsError::BadPeer(to.clone()));
        }
        let settings = Settings { quiet: self.quiet, pace: self.pace, longest: self.limits.message };
        let dial = Dial::new(host, self.port, self.path, self.limits);
        Ok(driver::start(Machine::new(dial, self.nickname, self.to, settings), self.common))
    }
}

/// Half of what a server waits before it asks by itself.
const QUIET: Duration = Duration::from_secs(30);
/// Servers allow 60 texts at once and 20 a second.
const BURST: u32 = 30;
const EVERY: Duration = Duration::from_millis(66);

#[cfg(test)]
mod tests;
