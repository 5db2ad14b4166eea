//! Minechat's modes: `talk-client listen`, `write`, `register` and `chat`.

mod chat;
mod listen;
mod register;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use self::chat::{Arguments as ChatArguments, ChatOptions};
pub(super) use self::listen::{Arguments as ListenArguments, ListenOptions};
pub(super) use self::register::{Arguments as RegisterArguments, RegisterOptions};
pub(super) use self::write::{Arguments as WriteArguments, WriteOptions};
use super::Start;
use crate::address::{Host, authority, parse_port};
use crate::client::minechat::Options;
use crate::client::{Account, Ended, Event};
use crate::codec::minechat::clean_nickname;
use crate::secret::Secret;
use crate::terminal::chat::{Front, NoClient};
use crate::terminal::credentials;
use crate::terminal::history::HistoryFile;
use crate::terminal::options::Exit;
use crate::terminal::screen::Closed;
use crate::terminal::secrets::private_directory;
use crate::terminal::words::{Language, Word};

/// One port of a server.
#[derive(Clone, Debug)]
struct At {
    host: String,
    port: u16,
}

impl At {
    /// What was given by `--{kind}host` and `--{kind}port`, else the usual port of this machine.
    fn read(kind: &str, host: Option<&str>, port: Option<&str>, usual: u16) -> Result<Self, Exit> {
        let host = host.unwrap_or(LOCAL);
        Host::new(host).map_err(|error| Exit::usage(format_args!("--{kind}host {host:?}: {error}")))?;
        let port = port
            .map(|port| parse_port(port).map_err(|error| Exit::usage(format_args!("--{kind}port {port:?}: {error}"))));
        Ok(Self { host: host.to_owned(), port: port.transpose()?.unwrap_or(usual) })
    }

    fn place(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// Both ports, the files, and what else whoever chats may choose.
#[derive(Clone, Debug)]
struct Table {
    listen: At,
    write: At,
    /// The file for what is said, until it is open.
    history: Option<PathBuf>,
    silence: Option<Duration>,
    once: bool,
}

impl Table {
    /// A client with an account, with the history before it.
    async fn sit(
        &mut self,
        front: &mut Front,
        account: &Secret,
    ) -> Result<(crate::client::Client, crate::client::Events), NoClient> {
        if let Some(path) = self.history.take() {
            // Whoever chats does so without a history, too.
            match HistoryFile::open(&path) {
                Ok(file) => front.keep_history(file).await.map_err(|Closed| NoClient::Left)?,
                Err(error) => {
                    let language = front.manner().language;
                    let why = format!("{}: {}", path.display(), error.say(language));
                    let text = language.say(Word::NoHistory, &[&why]);
                    front.error(&text).await.map_err(|Closed| NoClient::Left)?;
                }
            }
        }
        let options = Options::new().listen(&self.listen.host, self.listen.port).token(account.reveal());
        let options = options.write(&self.write.host, self.write.port);
        let options = match self.silence {
            Some(silence) => options.silence(silence),
            None => options,
        };
        let options = if self.once { options.once() } else { options };
        options.connect().map_err(|error| NoClient::Wrong(error.to_string()))
    }
}

/// Where the talk is, for the status.
fn places(language: Language, listen: &At, write: &At) -> Vec<String> {
    vec![language.say(Word::ReadsAt, &[&listen.place()]), language.say(Word::WritesAt, &[&write.place()])]
}

/// The server. Why there is no connection says at which of its ports.
fn server(listen: &At, write: &At) -> String {
    if listen.host == write.host { listen.host.clone() } else { format!("{}, {}", listen.place(), write.place()) }
}

/// Where accounts are kept: in the file that was named, else in one of this program's for this server.
fn credential_path(named: Option<&str>, start: &Start, write: &At) -> Option<PathBuf> {
    let usual = || {
        // The file's name comes from a hash, never from what somebody typed.
        let id = blake3::hash(format!("minechat\n{}", write.place()).as_bytes()).to_hex();
        start.data.as_ref().map(|data| data.join(format!("{id}.account")))
    };
    named.map(PathBuf::from).or_else(usual)
}

/// Keeps an account in that file.
fn keep_account(path: Option<&Path>, start: &Start, account: &Account, language: Language) -> Result<String, String> {
    let path = path.ok_or_else(|| language.text(Word::NoHomeForAccount))?;
    if let Some(data) = start.data.as_ref().filter(|data| path.starts_with(data)) {
        private_directory(data).map_err(|error| error.to_string())?;
    }
    credentials::write(path, account).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

/// A token that was given: by the option, else by `TALK_TOKEN`, which no list of processes shows. It is in no message.
fn token(given: Option<&str>, start: &Start) -> Result<Option<Secret>, Exit> {
    let (place, token) = match (given, start.environment.get("TALK_TOKEN").filter(|token| !token.is_empty())) {
        (Some(token), _) => ("--token", token),
        (None, Some(token)) => ("TALK_TOKEN", token.to_str().unwrap_or_default()),
        (None, None) => return Ok(None),
    };
    Secret::new(token.trim()).map(Some).map_err(|error| Exit::usage(format_args!("{place}: {error}")))
}

/// A nickname of which the server leaves something.
fn nickname(given: &str) -> Result<String, &'static str> {
    if clean_nickname(given).chars().any(char::is_alphanumeric) {
        Ok(given.to_owned())
    } else {
        Err("a nickname needs at least one letter or digit")
    }
}

fn username(given: Option<&str>) -> Result<Option<String>, Exit> {
    let read = |given| nickname(given).map_err(|error| Exit::usage(format_args!("--username {given:?}: {error}")));
    given.map(read).transpose()
}

fn whole_seconds(option: &str, given: Option<&str>) -> Result<Option<Duration>, Exit> {
    let read = |given: &str| match given.parse() {
        Ok(seconds) if (1..=MOST_SECONDS).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(Exit::usage(format_args!("{option} {given:?}: a time is 1 to {MOST_SECONDS} seconds"))),
    };
    given.map(read).transpose()
}

fn history_count(given: Option<&str>, start: &Start) -> Result<usize, Exit> {
    let Some(given) = given else { return Ok(if start.look.person { HISTORY } else { 0 }) };
    let count = given.parse().ok().filter(|count| *count <= MOST_HISTORY);
    count.ok_or_else(|| Exit::usage(format_args!("--history {given:?}: a count is 0 to {MOST_HISTORY}")))
}

/// A new account.
async fn register(write: &At, nickname: &str, language: Language) -> Result<Account, String> {
    let options = Options::new().write(&write.host, write.port).nickname(nickname).once();
    let (client, mut events) = options.connect().map_err(|error| error.to_string())?;
    let mut account = None;
    while let Some(event) = events.next().await {
        match event {
            Event::Account(told) => account = Some(told),
            Event::Connected { .. } => client.leave().await,
            Event::Ended(Ended::Lost(reason) | Ended::Refused(reason)) if account.is_none() => return Err(reason),
            _ => {}
        }
    }
    account.ok_or_else(|| language.text(Word::NoAccountTold).to_owned())
}

/// Registers, and keeps the account.
async fn newcomer(
    front: &mut Front,
    write: &At,
    nickname: &str,
    path: Option<&Path>,
    start: &Start,
) -> Result<Account, NoClient> {
    let account = register(write, nickname, front.manner().language).await.map_err(NoClient::Wrong)?;
    let language = front.manner().language;
    let kept = keep_account(path, start, &account, language);
    let told = match &kept {
        Ok(place) => front.tell(Word::Registered, &[&account.nickname, place]).await,
        Err(reason) => {
            let text = front.manner().language.say(Word::NotKeptAccount, &[&account.nickname, reason]);
            front.fail(&text).await
        }
    };
    told.map_err(|Closed| NoClient::Left)?;
    Ok(account)
}

const LOCAL: &str = "127.0.0.1";
const LISTEN_PORT: u16 = 5000;
const WRITE_PORT: u16 = 5050;
/// Lines of the history that a person is shown at first.
const HISTORY: usize = 20;
const MOST_HISTORY: usize = 1000;
const MOST_SECONDS: u64 = 86_400;
