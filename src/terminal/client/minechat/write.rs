//! `talk-client write`: says one thing, and ends when it was answered.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{At, WRITE_PORT, credential_path, keep_account, newcomer, token, username, whole_seconds};
use crate::client::minechat::Options;
use crate::client::{Client, Ended, Event, Events, Refused, State};
use crate::secret::Secret;
use crate::terminal::chat::{self, Front, LOST, Manner, NoClient, REFUSED};
use crate::terminal::client::Start;
use crate::terminal::credentials;
use crate::terminal::look::complain;
use crate::terminal::options::Exit;
use crate::terminal::plain;
use crate::terminal::screen::{Beginning, Shown};
use crate::terminal::signals::Signals;
use crate::terminal::start::{self, INTERRUPTED};
use crate::terminal::words::{Language, Word};

/// Say one thing in a minechat.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    subcommand,
    name = "write",
    help_triggers("-h", "--help"),
    usage = "--message TEXT [OPTIONS]",
    example = "talk-client write -m 'the backup is done'\ntalk-client write --host chat.example -cp account.json -u backup -m done",
    note = "The account is the one of the token, else the one that is kept, else a new\none, which is kept then. TALK_TOKEN may hold the token, where no list of\nprocesses shows it.",
    note = "It ends when the server has answered, and says nothing but errors, unless\n--logging is given. When the connection is lost before the answer, the message\nis said again: others may hear it twice.",
    note = "Exit codes: 0 the server answered that it was said, 1 it was not said, or the\nnew account could not be kept, 2 an option is wrong, 3 the server does not\nknow the token, 4 there was no connection, or no answer in time, 130 Ctrl-C\nended it before."
)]
pub(in crate::terminal::client) struct Arguments {
    /// the server (default 127.0.0.1)
    #[argh(option, arg_name = "host")]
    host: Option<String>,
    /// its port to speak (default 5050)
    #[argh(option, short = 'p', arg_name = "port")]
    port: Option<String>,
    /// what is said (required, but on a full screen)
    #[argh(option, short = 'm', arg_name = "text")]
    message: Option<String>,
    /// the hash of the account
    #[argh(option, short = 't', arg_name = "hash")]
    token: Option<String>,
    /// the nickname in a new account, if there is none yet (default: the server chooses)
    #[argh(option, short = 'u', arg_name = "nickname")]
    username: Option<String>,
    /// the file in which the account is kept (default one of this program's for that server; -cp for short)
    #[argh(option, arg_name = "file")]
    credential_path: Option<String>,
    /// how long an answer is waited for, in seconds (default 20)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
    /// say what is done
    #[argh(switch, short = 'l')]
    logging: bool,
    /// print each event as a JSON object
    #[argh(switch)]
    json: bool,
    /// show a full screen, on which one thing after another is said; F1 shows its keys
    #[argh(switch)]
    tui: bool,
    /// its colours: dark, light or plain (default: TALK_THEME, else what fits the terminal)
    #[argh(option, arg_name = "theme")]
    theme: Option<String>,
    /// the language: en or ru (default: TALK_LANG, else that of the environment)
    #[argh(option, arg_name = "language")]
    lang: Option<String>,
}

/// What it was asked to do.
#[derive(Clone, Debug)]
pub(in crate::terminal::client) struct WriteOptions {
    start: Start,
    language: Language,
    at: At,
    message: String,
    token: Option<Secret>,
    username: Option<String>,
    credentials: Option<PathBuf>,
    timeout: Duration,
    logging: bool,
    json: bool,
    /// How a full screen talks, if there is one.
    full: Option<Manner>,
}

impl WriteOptions {
    /// # Errors
    /// [`Exit::Usage`].
    pub(in crate::terminal::client) fn read(given: &Arguments, start: Start) -> Result<Self, Exit> {
        let at = At::read("", given.host.as_deref(), given.port.as_deref(), WRITE_PORT)?;
        let message = given.message.clone().filter(|message| !message.trim().is_empty());
        let full = start.full(given.tui, given.theme.as_deref(), given.json)?;
        let message = match (message, full) {
            (Some(message), None) => message,
            (None, Some(_)) => String::new(),
            (Some(_), Some(_)) => return Err(Exit::usage("on a full screen messages are typed: --tui or --message")),
            (None, None) => return Err(Exit::usage("a message is needed: --message TEXT")),
        };
        let manner = start.manner("write", given.lang.as_deref(), given.json)?;
        let place = vec![manner.language.say(Word::WritesAt, &[&at.place()])];
        Ok(Self {
            full: full.map(|theme| Manner { place, full: Some(theme), ..manner }),
            message,
            token: token(given.token.as_deref(), &start)?,
            username: username(given.username.as_deref())?,
            credentials: credential_path(given.credential_path.as_deref(), &start, &at),
            timeout: whole_seconds("--timeout", given.timeout.as_deref())?.unwrap_or(TIMEOUT),
            logging: given.logging,
            json: given.json,
            language: start.language(given.lang.as_deref())?,
            at,
            start,
        })
    }

    /// Says it. Every error was told when it ends.
    pub(in crate::terminal::client) fn run(mut self) -> ExitCode {
        if let Some(manner) = self.full.take() {
            return chat::run(manner, async move |front: &mut Front| self.connect(front).await);
        }
        start::run(self.say_or_give_up())
    }

    /// Talks without listening, by the account that there is, or a new one.
    async fn connect(&mut self, front: &mut Front) -> Result<(Client, Events), NoClient> {
        let account = match self.account().map_err(NoClient::Wrong)? {
            Some(account) => account,
            None => {
                let name = match self.username.take() {
                    Some(name) => name,
                    None => front.ask(Word::AskNickname).await?,
                };
                newcomer(front, &self.at, &name, self.credentials.as_deref(), &self.start).await?.hash
            }
        };
        let options = Options::new().write(&self.at.host, self.at.port).token(account.reveal());
        options.connect().map_err(|error| NoClient::Wrong(error.to_string()))
    }

    /// The account that there is.
    fn account(&self) -> Result<Option<Secret>, String> {
        match (&self.token, &self.credentials) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(path)) => {
                credentials::read(path, self.language).map(|account| account.map(|account| account.hash))
            }
            (None, None) => Ok(None),
        }
    }

    async fn say_or_give_up(self) -> ExitCode {
        let mut signals = match Signals::without_hangup() {
            Ok(signals) => signals,
            Err(error) => return self.wrong(&error.to_string(), 1),
        };
        let mut lost = String::new();
        let said = tokio::select! {
            said = tokio::time::timeout(self.timeout, self.say(&mut lost)) => said,
            () = signals.next() => return ExitCode::from(INTERRUPTED),
        };
        said.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs();
            self.wrong(&self.language.say(Word::NoAnswer, &[&seconds, &lost]), LOST)
        })
    }

    /// `lost`: why there was no connection the last time.
    async fn say(&self, lost: &mut String) -> ExitCode {
        let account = match self.account() {
            Ok(account) => account,
            Err(reason) => return self.wrong(&reason, 1),
        };
        let options = Options::new().write(&self.at.host, self.at.port);
        let options = match &account {
            Some(account) => options.token(account.reveal()),
            None => options.nickname(self.username.as_deref().unwrap_or_default()),
        };
        let (client, mut events) = match options.connect() {
            Ok(connected) => connected,
            Err(error) => return self.wrong(&error.to_string(), 1),
        };
        if let Err(refused) = client.say(None, &self.message).await {
            let reason = match refused {
                Refused::Length(longest) => self.language.say(Word::Length, &[&longest]),
                other => other.to_string(),
            };
            return self.wrong(&reason, 1);
        }
        let (mut kept, mut reached) = (true, false);
        while let Some(event) = events.next().await {
            if self.json {
                let _ = plain::print(Shown::Out(chat::as_json(&event)));
            }
            let text = Beginning(&self.message, self.language);
            match event {
                Event::Account(told) if account.is_none() => {
                    match keep_account(self.credentials.as_deref(), &self.start, &told, self.language) {
                        Ok(place) => self.log(Word::Registered, &[&told.nickname, &place]),
                        Err(reason) => {
                            kept = false;
                            let text = self.language.say(Word::NotKeptAccount, &[&told.nickname, &reason]);
                            self.wrong(&text, 1);
                        }
                    }
                }
                Event::Connected { name, .. } => {
                    reached = true;
                    match name {
                        Some(name) => self.log(Word::ConnectedAs, &[&name]),
                        None => self.log(Word::Connected, &[]),
                    }
                }
                Event::Lost { reason, .. } => {
                    let word = if std::mem::take(&mut reached) { Word::Lost } else { Word::Unreached };
                    let told = std::mem::replace(lost, format!(": {reason}"));
                    if told != *lost {
                        self.log(word, &[&self.at.place(), &reason]);
                    }
                }
                Event::State { state: State::Queued, .. } => self.log(Word::Queued, &[&text]),
                Event::State { state: State::Sent, .. } => self.log(Word::Sent, &[&text]),
                Event::State { state: State::Accepted, .. } => {
                    self.log(Word::Accepted, &[&text]);
                    return if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE };
                }
                Event::State { state: State::Failed(reason), .. } => {
                    return self.wrong(&self.language.say(Word::Failed, &[&text, &reason]), 1);
                }
                Event::Ended(Ended::Refused(reason)) => {
                    return self.wrong(&self.language.say(Word::NotLetIn, &[&reason]), REFUSED);
                }
                _ => {}
            }
        }
        ExitCode::from(LOST)
    }

    fn log(&self, word: Word, places: &[&dyn Display]) {
        if self.logging {
            let (Shown::Out(text) | Shown::Err(text)) = self.start.look.style().notice(self.language.say(word, places));
            // Without a stderr there is nobody to tell.
            let _ = plain::print(Shown::Err(text));
        }
    }

    fn wrong(&self, text: &str, code: u8) -> ExitCode {
        complain(self.start.look.style(), text);
        ExitCode::from(code)
    }
}

const TIMEOUT: Duration = Duration::from_secs(20);
