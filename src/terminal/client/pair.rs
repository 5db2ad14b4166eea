//! Pair mode: `talk-client pair --ip H --port P`.

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::{Start, port_of};
use crate::address::{Host, authority};
use crate::client::pair::{Options, OptionsError};
use crate::client::{Client, Events};
use crate::codec::pair;
use crate::terminal::chat::{self, Front, Manner, NoClient};
use crate::terminal::options::Exit;
use crate::terminal::words::Word;

/// Take part in pair chat: texts to one user, or to a room.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    subcommand,
    name = "pair",
    help_triggers("-h", "--help"),
    usage = "[OPTIONS]",
    example = "talk-client pair\ntalk-client pair --ip chat.example --port 6078 --nick alice --to bobby",
    note = "What is not given is asked for: first how you are called, then whom you\nwrite to. :quit: or Ctrl-C leaves; :help shows the other commands.",
    note = "Exit codes: 0 all went well, 1 something was not done, and was told, 2 an\noption is wrong, 3 the server does not let you in, 4 the connection was\nlost, and there was to be one only (--once), 130 a second Ctrl-C did not\nwait."
)]
pub(super) struct Arguments {
    /// the server's host; also --ip (default 127.0.0.1)
    #[argh(option)]
    host: Option<String>,
    /// the server's port (default 6078)
    #[argh(option, short = 'p')]
    port: Option<String>,
    /// the path of its WebSocket (default /)
    #[argh(option)]
    path: Option<String>,
    /// your nickname: 3 to 20 characters, the first a letter
    #[argh(option, short = 'n', arg_name = "nick")]
    nick: Option<String>,
    /// the user, or the room, to whom you write
    #[argh(option, arg_name = "nick")]
    to: Option<String>,
    /// end when the connection is lost, or cannot be made
    #[argh(switch)]
    once: bool,
    /// print each event as a JSON object, and take commands as such
    #[argh(switch)]
    json: bool,
    /// show a full screen; F1 shows its keys
    #[argh(switch)]
    tui: bool,
    /// its colours: dark, light or plain (default: TALK_THEME, else what fits the terminal)
    #[argh(option, arg_name = "theme")]
    theme: Option<String>,
    /// the language: en or ru (default: TALK_LANG, else that of the environment)
    #[argh(option, arg_name = "language")]
    lang: Option<String>,
}

/// What pair mode was asked to do.
#[derive(Clone, Debug)]
pub(super) struct PairOptions {
    manner: Manner,
    host: String,
    port: u16,
    path: String,
    nick: Option<String>,
    to: Option<String>,
    once: bool,
}

impl PairOptions {
    /// # Errors
    /// [`Exit::Usage`].
    pub(super) fn read(given: Arguments, start: &Start) -> Result<Self, Exit> {
        let manner = start.manner("pair", given.lang.as_deref(), given.json)?;
        check(&given)?;
        let full = start.full(given.tui, given.theme.as_deref(), given.json)?;
        let (host, port) = (given.host.unwrap_or_else(|| HOST.to_owned()), port_of(given.port.as_deref(), PORT)?);
        Ok(Self {
            manner: Manner { again: true, familiar: true, server: authority(&host, port), full, ..manner },
            host,
            port,
            path: given.path.unwrap_or_else(|| "/".to_owned()),
            nick: given.nick,
            to: given.to,
            once: given.once,
        })
    }

    /// Takes part until the user leaves. Every error was told when it ends.
    pub(super) fn run(mut self) -> ExitCode {
        chat::run(self.manner.clone(), async move |front: &mut Front| self.connect(front).await)
    }

    async fn connect(&mut self, front: &mut Front) -> Result<(Client, Events), NoClient> {
        let language = self.manner.language;
        loop {
            // A name that was refused is not tried again.
            let nick = match self.nick.take() {
                Some(nick) => nick,
                None => front.ask(Word::AskUsername).await?,
            };
            if pair::nick(&nick).is_none() {
                front.again(&self.no_nick(&nick)).await?;
                continue;
            }
            let to = match &self.to {
                Some(to) => to.clone(),
                None => front.ask(Word::AskPeer).await?,
            };
            match self.options(&nick, &to).connect() {
                Ok(connected) => {
                    self.to = Some(to);
                    return Ok(connected);
                }
                Err(OptionsError::BadPeer(to)) => {
                    (self.nick, self.to) = (Some(nick), None);
                    front.again(&language.say(Word::NoPairPeer, &[&language.quoted(to)])).await?;
                }
                Err(OptionsError::BadNickname(nick)) => front.again(&self.no_nick(&nick)).await?,
                Err(error) => front.again(&error.to_string()).await?,
            }
        }
    }

    fn no_nick(&self, nick: &str) -> String {
        let language = self.manner.language;
        language.say(Word::NoPairNick, &[&language.quoted(nick), &FORBIDDEN])
    }

    fn options(&self, nick: &str, to: &str) -> Options {
        let options = Options::new(&self.host, self.port, nick).to(to).path(&self.path);
        if self.once { options.once() } else { options }
    }
}

/// Tells at once what would else be found out when everything was asked for.
fn check(given: &Arguments) -> Result<(), Exit> {
    let wrong = |option: &str, error: OptionsError| Err(Exit::usage(format_args!("{option} {error}")));
    if let Some(host) = given.host.as_ref().filter(|host| Host::new(host).is_err()) {
        return wrong("--host", OptionsError::BadHost(host.clone()));
    }
    if let Some(path) = given.path.as_ref().filter(|path| !path.starts_with('/')) {
        return wrong("--path", OptionsError::BadPath(path.clone()));
    }
    if let Some(nick) = given.nick.as_ref().filter(|nick| pair::nick(nick).is_none()) {
        return wrong("--nick", OptionsError::BadNickname(nick.clone()));
    }
    match given.to.as_ref().filter(|to| !pair::is_recipient(to)) {
        Some(to) => wrong("--to", OptionsError::BadPeer(to.clone())),
        None => Ok(()),
    }
}

/// What a nickname does not hold.
const FORBIDDEN: &str = ". , ( ) ' \" ~ ` #";
const HOST: &str = "127.0.0.1";
const PORT: u16 = 6078;
