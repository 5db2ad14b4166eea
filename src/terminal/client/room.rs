//! Room mode: `talk-client room --server URL --nick N`.

use std::fmt::Display;
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
use crate::terminal::secrets::{may_be_opened, private_directory, read_secret, why};
use crate::terminal::words::Word;

/// Take part in the rooms of a talk-server.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    subcommand,
    name = "room",
    help_triggers("-h", "--help"),
    usage = "--nick NICK [OPTIONS]",
    example = "talk-client room --nick ann\ntalk-client room --server http://chat.example:7000 --nick ann --room tea\nprintf 'the backup is done\\n' | talk-client room --nick cron --room global",
    note = "Type :help for the commands. What was typed and not accepted by the server\nwaits for the next start; so does the place up to which a room was read.",
    note = "What has a value may also come from the environment: TALK_SERVER, TALK_NICK,\nTALK_ROOM, TALK_SECRET_FILE and TALK_HISTORY, or else, under the same names\n(nick = \"ann\"), from the file talk/client.toml in the platform's configuration\ndirectory; and TALK_CONFIG, TALK_THEME and TALK_LANG, for which the file has\nno names.",
    note = "Exit codes: 0 all went well, 1 something was not done, and was told, 2 an\noption is wrong, 3 the server does not let you in, 4 the connection was\nlost, and there was to be one only (--once), 130 a second Ctrl-C did not\nwait."
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
    /// show a full screen; F1 shows its keys
    #[argh(switch)]
    tui: bool,
    /// its colours: dark, light or plain (default: TALK_THEME, else what fits the terminal)
    #[argh(option, arg_name = "theme")]
    theme: Option<String>,
    /// the language: en or ru (default: TALK_LANG, else that of the environment)
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
        let full = start.full(given.tui, given.theme.as_deref(), given.json)?;
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
        let secret = settings
            .value("secret-file", given.secret_file.as_deref(), |path| read_secret(Path::new(path), manner.language))?;
        let account = start.asks_secret(given.account, secret.is_some())?;
        let count = |count: &str| match count.parse() {
            Ok(count) if count <= MOST_HISTORY => Ok(count),
            _ => Err(format!("a count is 0 to {MOST_HISTORY}")),
        };
        let history = settings.value("history", given.history.as_deref(), count)?;
        let history = history.unwrap_or(if person { HISTORY } else { 0 });
        let (once, forget, data) = (given.once, given.forget, start.data);
        let place = server.split_once("://").map_or(server.as_str(), |(_, place)| place).to_owned();
        let manner = Manner { history, keeps: !forget, server: place, full, ..manner };
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
                front.drafts = Some(session.with_extension("drafts"));
                options = options.journal(journal).session(session);
            }
            Ok(None) => {}
            Err(reason) => {
                front.error(&reason).await.map_err(|Closed| NoClient::Left)?;
            }
        }
        if options.rooms().is_empty() {
            options = options.enter(GLOBAL);
        }
        front.rooms = options.rooms();
        options.connect().map_err(|error| NoClient::Wrong(error.to_string()))
    }

    /// The files that are for the next start.
    fn kept(&self) -> Result<Option<(Journal, PathBuf)>, String> {
        if self.forget {
            return Ok(None);
        }
        let language = self.manner.language;
        let failed = |error: &dyn Display| language.say(Word::NothingKept, &[error]);
        let directory = self.data.clone().ok_or_else(|| failed(&language.text(Word::NoHome)))?;
        private_directory(&directory).map_err(|error| failed(&error))?;
        // The file's name comes from a hash, never from what somebody typed.
        let id = blake3::hash(format!("room\n{}\n{}", self.server, self.nick).as_bytes()).to_hex();
        let (journal, session) = (directory.join(format!("{id}.journal")), directory.join(format!("{id}.session")));
        for path in [&journal, &session] {
            may_be_opened(path).map_err(|error| failed(&why(&error, language)))?;
        }
        match Journal::open(&journal) {
            Ok(journal) => Ok(Some((journal, session))),
            Err(JournalError::InUse(_)) => Err(language.text(Word::NicknameInUse).to_owned()),
            Err(error) => Err(failed(&error)),
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
