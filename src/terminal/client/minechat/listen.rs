//! `talk-client listen`: hears, and writes a history.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{At, LISTEN_PORT, history_count, whole_seconds};
use crate::client::minechat::Options;
use crate::client::{Client, Events};
use crate::terminal::chat::{self, Front, Manner, NoClient, Steps};
use crate::terminal::client::Start;
use crate::terminal::history::HistoryFile;
use crate::terminal::options::Exit;
use crate::terminal::screen::Closed;

/// Hear a minechat: each message is a line on stdout, and in the history file.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    subcommand,
    name = "listen",
    help_triggers("-h", "--help"),
    usage = "[OPTIONS]",
    example = "talk-client listen --host chat.example --history-path chat.txt",
    note = "It reads no input, comes back by itself when the connection is lost, and ends\nby Ctrl-C or SIGTERM. It says nothing of its own but errors, unless --logging\nis given; then news of the connection go to stderr.",
    note = "Exit codes: 0 it was told to end, 1 the history could not be written, or\nanother program writes it, 2 an option is wrong, 4 the connection was lost,\nand there was to be one only (--once), 130 a second Ctrl-C did not wait."
)]
pub(in crate::terminal::client) struct Arguments {
    /// the server (default 127.0.0.1)
    #[argh(option, arg_name = "host")]
    host: Option<String>,
    /// its port to hear (default 5000)
    #[argh(option, short = 'p', arg_name = "port")]
    port: Option<String>,
    /// the file to which messages are appended, with the time (default none; -hp for short)
    #[argh(option, arg_name = "file")]
    history_path: Option<String>,
    /// how many lines of the history file are shown at first (default 20 on a terminal, else 0)
    #[argh(option, arg_name = "count")]
    history: Option<String>,
    /// silence after which the connection counts as dead, for servers that say something now and then (default none)
    #[argh(option, arg_name = "seconds")]
    silence: Option<String>,
    /// end when the connection is lost, or cannot be made
    #[argh(switch)]
    once: bool,
    /// say how the connection is
    #[argh(switch, short = 'l')]
    logging: bool,
    /// print each message as a JSON object
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

/// What it was asked to do.
#[derive(Clone, Debug)]
pub(in crate::terminal::client) struct ListenOptions {
    manner: Manner,
    at: At,
    history: Option<PathBuf>,
    silence: Option<Duration>,
    once: bool,
}

impl ListenOptions {
    /// # Errors
    /// [`Exit::Usage`].
    pub(in crate::terminal::client) fn read(given: &Arguments, start: Start) -> Result<Self, Exit> {
        let manner = start.manner("listen", given.lang.as_deref(), given.json)?;
        let full = start.full(given.tui, given.theme.as_deref(), given.json)?;
        let steps = if given.logging { Steps::Logged } else { Steps::Hidden };
        let at = At::read("", given.host.as_deref(), given.port.as_deref(), LISTEN_PORT)?;
        let history = history_count(given.history.as_deref(), &start)?;
        Ok(Self {
            manner: Manner { history, deaf: true, steps, server: at.place(), full, ..manner },
            at,
            history: given.history_path.as_ref().map(PathBuf::from),
            silence: whole_seconds("--silence", given.silence.as_deref())?,
            once: given.once,
        })
    }

    /// Hears until it is told to end. Every error was told then.
    pub(in crate::terminal::client) fn run(mut self) -> ExitCode {
        chat::run(self.manner.clone(), async move |front: &mut Front| self.connect(front).await)
    }

    async fn connect(&mut self, front: &mut Front) -> Result<(Client, Events), NoClient> {
        if let Some(path) = self.history.take() {
            let file = HistoryFile::open(&path);
            let file = file.map_err(|error| {
                let why = error.say(front.manner().language);
                NoClient::Wrong(format!("{}: {why}", path.display()))
            })?;
            front.keep_history(file).await.map_err(|Closed| NoClient::Left)?;
        }
        let options = Options::new().listen(&self.at.host, self.at.port);
        let options = match self.silence {
            Some(silence) => options.silence(silence),
            None => options,
        };
        let options = if self.once { options.once() } else { options };
        options.connect().map_err(|error| NoClient::Wrong(error.to_string()))
    }
}
