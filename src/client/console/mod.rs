//! Console chat: JSON objects over TCP, one room, no answers.
//!
//! The wire neither confirms a text nor names it to whom it came from. So a text's last state is
//! [`State::Sent`](super::State::Sent), and what was said just before the connection broke is said again on the next one:
//! others may hear it twice. What a server had not read for five seconds when it broke down, nobody hears. A long text
//! goes out as several, a quarter of a second apart.

mod line;
mod machine;
#[cfg(test)]
mod tests;

use thiserror::Error;

use self::machine::{Dial, Machine};
use super::driver::{self, Common};
use super::{Client, Events};
use crate::address::{AddressError, Host};
use crate::codec::console::{MAX_SENT, encode_hello};
use crate::limits::Limits;
use crate::secret::Password;
use crate::text::{clean, one_line};

/// How to take part.
///
/// [`Ask::Own`](super::Ask::Own) asks a command of the server's, with or without the `cmd!` before it; what is answered is
/// a [`Notice`](super::Event::Notice). [`Ask::Users`](super::Ask::Users) learns how many are there, and not who.
///
/// A text may be repeated after a lost connection, as the [module](self) says, and [`State::Sent`](super::State::Sent) says
/// that it was written to the connection, and not that anybody heard it. What others say while there is no connection is
/// kept by nobody, and missed.
///
/// A server that closes a connection without a word does not want the name, or had another reason: it is tried a few times
/// more, within some seconds, before that ends the client with [`Ended::Refused`](super::Ended::Refused); with
/// [`once`](Self::once) it does at once.
#[derive(Debug)]
pub struct Options {
    host: String,
    port: u16,
    username: String,
    secret: Option<Password>,
    common: Common,
    limits: Limits,
}

/// Why a client cannot even try.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A host cannot be called that.
    #[error("{host:?}: {source}")]
    BadHost {
        /// What was given.
        host: String,
        /// Why not.
        source: AddressError,
    },
    /// No server can be told that name.
    #[error("{name:?} is no name here: one line, not empty, and together with the secret at most some 1000 bytes")]
    BadName {
        /// What was given.
        name: String,
    },
}

impl Options {
    /// Takes part at the server there as `username`, which others may be called too.
    #[must_use]
    pub fn new(host: &str, port: u16, username: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            username: username.to_owned(),
            secret: None,
            common: Common::default(),
            limits: Limits::default(),
        }
    }

    /// Signs in to an account of that name, where the server has accounts.
    #[must_use]
    pub fn secret(mut self, secret: Password) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Ends when the connection is lost, or cannot be made.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.common.once = true;
        self
    }

    /// Other limits: `connect_timeout` and `message` count here.
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
        let Self { host, port, username: name, secret, common, limits } = self;
        let host = Host::new(&host).map_err(|source| OptionsError::BadHost { host, source })?;
        let hello = encode_hello(&name, secret.as_ref().map(Password::reveal));
        let plain = !name.trim().is_empty() && clean(&name) == name && one_line(&name) == name;
        if !plain || hello.len() > MAX_SENT {
            return Err(OptionsError::BadName { name });
        }
        let dial = Dial { host, port, timeout: limits.connect_timeout };
        Ok(driver::start(Machine::new(dial, name, hello, limits.message), common))
    }
}
