//! Room mode: `talk-client room --server URL --nick N`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::{Start, asked_secret};
use crate::client::room::Options;
use crate::client::{Client, Events, Journal, JournalError};
use crate::name::{Nickname, RoomName};
use crate::net::base::parse_base;
use crate::secret::Password;
use crate::terminal::chat::{self, Front, Manner, NoClient};
use crate::terminal::options::Exit;
use crate::terminal::screen::Closed;
use crate::terminal::secrets::{private_directory, read_secret};

/// Take part in the rooms of a talk-server.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    subcommand,
    name = "room",
    help_triggers("-h", "--help"),
    usage = "--nick NICK [OPTIONS]",
    example = "talk-client room --nick ann\ntalk-client room --server http://chat.example:7000 --nick ann --room tea\nprintf 'the backup is done\\n' | talk-client room --nick cron",
    note = "Type :help for the commands. What was typed and not accepted by the server\nwaits for the next start; so does the place up to which a room was read.",
    note = "The options may also come from the environment (TALK_SERVER, TALK_NICK,\nTALK_ROOM, TALK_SECRET_FILE), or else from the file talk/client.toml in the\nplatform's configuration directory, under the same names: nick = \"ann\".",
    note = "Exit codes: 0 all went well, 1 something was not done, and was told, 2 an\noption is wrong, 3 the server does not let you in, 4 the connection was\nlost, and there was to be one only (--once)."
)]
pub(super) struct Arguments {
    /// the server (default http://127.0.0.1:7000)
    #[argh(option, short = 's', arg_name = "url")]
    server: Option<String>,
    /// your nickname there (required)
    #[argh(option, short = 'n', arg_name = "nick")]
    nick: Option<String>,
    /// the room to enter; repeat it for more, of which texts go to the last (default: those of last time, else global)
    #[argh(option, short = 'r', arg_name = "room")]
    room: Vec<String>,
    /// sign in to the account of your nickname, which is made if that is free; its secret is asked for
    #[argh(switch)]
    account: bool,
    /// sign in with the secret in this file, which nobody else may be able to read
    #[argh(option, arg_name = "file")]
    secret_file: Option<String>,
    /// how many messages from before are shown at first (default 20 on a terminal, else 0)
    #[argh(option, arg_name = "count")]
    history: Option<String>,
    /// end when the connection is lost, or cannot be made
    #[argh(switch)]
    once: bool,
    /// keep nothing for the next start
    #[argh(switch)]
    forget: bool,
    /// print each event as a JSON object, and take commands as such
    #[argh(switch)]
    json: bool,
    /// the language: en or ru (default: that of the environment)
    #[argh(option, arg_name = "language")]
    lang: Option<String>,
    /// read settings from this file, which must exist
    #[argh(option, arg_name = "file")]
    config: Option<String>,
}

/// What room mode was asked to do.
#[derive(Clone, Debug)]
pub(super) struct RoomOptions {
    manner: Manner,
    /// Where what is kept for the next start goes.
    data: Option<PathBuf>,
    server: String,
    nick: String,
    rooms: Vec<String>,
    secret: Option<Password>,
    /// The secret is asked for.
    account: bool,
    once: bool,
    forget: bool,
}

impl RoomOptions {
    /// # Errors
    /// [`Exit::Usage`].
    pub(super) fn read(given: &Arguments, start: Start) -> Result<Self, Exit> {
        let settings = start.settings(given.config.as_deref())?;
        let manner = start.manner("room", given.lang.as_deref(), given.json)?;
        let person = start.look.person && !given.json;
        let server =
            settings.value("server", given.server.as_deref(), parse_base)?.unwrap_or_else(|| DEFAULT_SERVER.into());
        let nick = settings.value("nick", given.nick.as_deref(), |nick| {
            Nickname::new(nick).map(|nick| nick.to_string()).map_err(|error| error.to_string())
        })?;
        let nick = nick.ok_or_else(|| Exit::usage("a nickname is needed: --nick NICK"))?;
        let room = |room: &str| RoomName::new(room.strip_prefix('#').unwrap_or(room)).map(|room| room.to_string());
        let mut rooms = Vec::new();
        for given in &given.room {
            rooms.extend(settings.value("room", Some(given), room)?);
        }
        if rooms.is_empty() {
            rooms.extend(settings.value("room", None, room)?);
        }
        let secret =
            settings.value("secret-file", given.secret_file.as_deref(), |path| read_secret(Path::new(path)))?;
        let account = start.asks_secret(given.account, secret.is_some())?;
        let count = |count: &str| match count.parse() {
            Ok(count) if count <= MOST_HISTORY => Ok(count),
            _ => Err(format!("a count is 0 to {MOST_HISTORY}")),
        };
        let history = settings.value("history", given.history.as_deref(), count)?;
        let history = history.unwrap_or(if person { HISTORY } else { 0 });
        let (once, forget, data) = (given.once, given.forget, start.data);
        let manner = Manner { history, keeps: !forget, ..manner };
        Ok(Self { manner, data, server, nick, rooms, secret, account, once, forget })
    }

    /// Takes part until the user leaves. Every error was told when it ends.
    pub(super) fn run(mut self) -> ExitCode {
        if self.account {
            match asked_secret(&self.manner, &self.nick) {
                Ok(secret) => self.secret = Some(secret),
                Err(code) => return code,
            }
        }
        chat::run(self.manner.clone(), async move |front: &mut Front| self.connect(front).await)
    }

    fn options(&self) -> Options {
        let mut options = Options::new(&self.server, &self.nick);
        for room in &self.rooms {
            options = options.enter(room);
        }
        if let Some(secret) = &self.secret {
            options = options.secret(secret.clone());
        }
        if self.once { options.once() } else { options }
    }

    async fn connect(&self, front: &mut Front) -> Result<(Client, Events), NoClient> {
        let mut options = self.options();
        match self.kept() {
            Ok(Some((journal, session))) => {
                if self.rooms.is_empty() && !session.exists() {
                    options = options.enter(GLOBAL);
                }
                options = options.journal(journal).session(session);
            }
            Ok(None) => options = self.at_least_global(options),
            Err(reason) => {
                options = self.at_least_global(options);
                front.error(&reason).await.map_err(|Closed| NoClient::Left)?;
            }
        }
        options.connect().map_err(|error| NoClient::Wrong(error.to_string()))
    }

    fn at_least_global(&self, options: Options) -> Options {
        if self.rooms.is_empty() { options.enter(GLOBAL) } else { options }
    }

    /// The files that are for the next start.
    fn kept(&self) -> Result<Option<(Journal, PathBuf)>, String> {
        if self.forget {
            return Ok(None);
        }
        let failed = |error: io::Error| format!("nothing can be kept for the next start: {error}");
        let directory =
            self.data.clone().ok_or_else(|| failed(io::Error::other("there is no home directory; set TALK_DATA")))?;
        private_directory(&directory).map_err(failed)?;
        // The file's name comes from a hash, never from what somebody typed.
        let id = blake3::hash(format!("room\n{}\n{}", self.server, self.nick).as_bytes()).to_hex();
        match Journal::open(&directory.join(format!("{id}.journal"))) {
            Ok(journal) => Ok(Some((journal, directory.join(format!("{id}.session"))))),
            Err(JournalError::InUse(_)) => {
                Err("another talk-client runs under this nickname; nothing is kept for the next start".to_owned())
            }
            Err(error) => Err(format!("nothing can be kept for the next start: {error}")),
        }
    }
}

const DEFAULT_SERVER: &str = "http://127.0.0.1:7000";
/// The room that is always there.
const GLOBAL: &str = "global";
/// Messages from before that a person is shown at first.
const HISTORY: usize = 20;
/// As many as one answer has.
const MOST_HISTORY: usize = 1000;
