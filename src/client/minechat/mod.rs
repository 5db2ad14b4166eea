//! Minechat: one port to hear, another to speak. Either may be absent.

mod dial;
mod line;
mod machine;
#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

use self::dial::{At, Dial};
use self::machine::{Machine, Settings};
use super::driver::{self, Common};
use super::{Client, Events, Journal};
use crate::address::{AddressError, Host};
use crate::codec::minechat::MAX_LINE;
use crate::limits::Limits;
use crate::secret::{Secret, SecretError};

/// How to take part.
///
/// Whoever speaks has an account: an old one by its [token](Self::token), or a new one, which
/// [`Event::Account`](super::Event::Account) tells. When the server does not know the token,
/// [`Event::Refused`](super::Event::Refused) with the code `unknown_token` says so, and the client ends.
///
/// Each text is one line when it goes out, and accepted when the server answers it; the next one waits for that. If the
/// connection breaks before, it is [queued](super::State::Queued) and said again, so that the others may hear it twice;
/// after three times without an answer it has failed. What is said meanwhile by others is not kept by anybody, and missed
/// unless the port to hear stood all the time.
///
/// ```
/// use talk::client::{Event, minechat};
/// use talk::gateway::{Context, Gateway, MinechatListen, MinechatWrite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Usually another process: `talk-server`, which serves minechat on 5000 and 5050.
/// let listen = Box::new(MinechatListen::bind(&"127.0.0.1".parse()?, 0).await?);
/// let write = Box::new(MinechatWrite::bind(&"127.0.0.1".parse()?, 0).await?);
/// let (to_hear, to_speak) = (listen.local_addr().port(), write.local_addr().port());
/// let context = Context::new(talk::hub::Hub::new(), tokio_util::sync::CancellationToken::new());
/// tokio::spawn(listen.serve(context.clone()));
/// tokio::spawn(write.serve(context));
///
/// let options = minechat::Options::new().listen("127.0.0.1", to_hear).write("127.0.0.1", to_speak);
/// let (ann, mut heard) = options.nickname("ann").connect()?;
/// ann.say(None, "hello, all").await?;
/// while let Some(event) = heard.next().await {
///     match event {
///         Event::Account(account) => println!("{} signs in by a secret from now on", account.nickname),
///         Event::Message(message) if message.own => break,
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Options {
    listen: Option<(String, u16)>,
    write: Option<(String, u16)>,
    token: Option<Result<Secret, SecretError>>,
    nickname: String,
    common: Common,
    quiet: Duration,
    silence: Option<Duration>,
    limits: Limits,
}

/// Why a client cannot even try.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OptionsError {
    /// There is neither a port to hear nor one to speak.
    #[error("there is neither a port to listen at nor one to write to")]
    NoPort,
    /// A host or a port cannot be used.
    #[error("{host:?}: {source}")]
    BadHost {
        /// What was given.
        host: String,
        /// What would be right.
        source: AddressError,
    },
    /// No server gives such tokens.
    #[error("the token: {0}")]
    BadToken(SecretError),
}

impl Options {
    /// Takes part nowhere yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            listen: None,
            write: None,
            token: None,
            nickname: String::new(),
            common: Common::default(),
            quiet: QUIET,
            silence: None,
            limits: Limits::default(),
        }
    }

    /// Hears what is said, at this port of the server.
    #[must_use]
    pub fn listen(mut self, host: &str, port: u16) -> Self {
        self.listen = Some((host.to_owned(), port));
        self
    }

    /// Speaks, at this port of the server.
    #[must_use]
    pub fn write(mut self, host: &str, port: u16) -> Self {
        self.write = Some((host.to_owned(), port));
        self
    }

    /// Signs in to the account with this hash.
    #[must_use]
    pub fn token(mut self, hash: &str) -> Self {
        self.token = Some(Secret::new(hash.trim()));
        self
    }

    /// What to be called in a new account, if no [token](Self::token) is given. The server may choose another nickname
    /// that is like it; without one it chooses any, and forgets the account if nothing is ever said.
    #[must_use]
    pub fn nickname(mut self, name: &str) -> Self {
        name.clone_into(&mut self.nickname);
        self
    }

    /// Keeps texts that were not accepted for the next client with this journal.
    #[must_use]
    pub fn journal(mut self, journal: Journal) -> Self {
        self.common.journal = Some(journal);
        self
    }

    /// Ends when a connection is lost, or cannot be made.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.common.once = true;
        self
    }

    /// Silence of the port to speak after which the server is asked whether it is there, 30 s if not set. An answer may
    /// take as long as [`Limits::request_timeout`]; then the connection counts as dead.
    #[must_use]
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// Silence of the port to hear after which its connection counts as dead. None if not set: it is silent when nobody
    /// says anything, and only the network tells that the other end is gone. For servers that say something now and then.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = Some(silence);
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
        if self.listen.is_none() && self.write.is_none() {
            return Err(OptionsError::NoPort);
        }
        let (listen, write) = (at(self.listen)?, at(self.write)?);
        let token = self.token.transpose().map_err(OptionsError::BadToken)?;
        let settings = Settings {
            listens: listen.is_some(),
            writes: write.is_some(),
            quiet: self.quiet,
            silence: self.silence,
            answer: self.limits.request_timeout,
            longest: self.limits.message.min(MAX_LINE),
        };
        let dial = Dial::new(listen, write, self.limits.connect_timeout);
        Ok(driver::start(Machine::new(dial, token, self.nickname, settings), self.common))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

fn at(given: Option<(String, u16)>) -> Result<Option<At>, OptionsError> {
    let Some((host, port)) = given else { return Ok(None) };
    let source = match Host::new(&host) {
        Ok(host) if port != 0 => return Ok(Some(At { host, port })),
        Ok(_) => AddressError::Port,
        Err(source) => source,
    };
    Err(OptionsError::BadHost { host: format!("{host}:{port}"), source })
}

const QUIET: Duration = Duration::from_secs(30);
