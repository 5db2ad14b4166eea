//! `talk-client chat`: hears and speaks.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::{
    At, LISTEN_PORT, Table, WRITE_PORT, credential_path, history_count, newcomer, nickname, places, server, token,
    username, whole_seconds,
};
use crate::client::{Client, Events};
use crate::secret::Secret;
use crate::terminal::chat::{self, Front, Manner, NoClient};
use crate::terminal::client::Start;
use crate::terminal::credentials;
use crate::terminal::options::Exit;
use crate::terminal::screen::Closed;
use crate::terminal::words::Word;

/// Take part in a minechat.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    subcommand,
    name = "chat",
    help_triggers("-h", "--help"),
    usage = "[OPTIONS]",
    example = "talk-client chat --username ann\ntalk-client chat -lh chat.example -wh chat.example -cp account.json",
    note = "The account is the one of the token, else the one that is kept, else a new one\nby the name of --username; on a terminal the name is asked for. TALK_TOKEN may\nhold the token, where no list of processes shows it.",
    note = "Type :help for the commands.",
    note = "Exit codes: 0 all went well, 1 something did not, and was told, 2 an option is\nwrong, 3 the server does not know the token, 4 the connection was lost,\nand there was to be one only (--once), 130 a second Ctrl-C did not wait."
)]
pub(in crate::terminal::client) struct Arguments {
    /// the server to hear (default 127.0.0.1; -lh for short)
    #[argh(option, arg_name = "host")]
    listen_host: Option<String>,
    /// its port to hear (default 5000; -lp for short)
    #[argh(option, arg_name = "port")]
    listen_port: Option<String>,
    /// the server to speak to (default 127.0.0.1; -wh for short)
    #[argh(option, arg_name = "host")]
    write_host: Option<String>,
    /// its port to speak (default 5050; -wp for short)
    #[argh(option, arg_name = "port")]
    write_port: Option<String>,
    /// the hash of your account
    #[argh(option, short = 't', arg_name = "hash")]
    token: Option<String>,
    /// your nickname in a new account, if there is none yet
    #[argh(option, short = 'u', arg_name = "nickname")]
    username: Option<String>,
    /// the file in which your account is kept (default one of this program's for that server; -cp for short)
    #[argh(option, arg_name = "file")]
    credential_path: Option<String>,
    /// the file to which messages are appended, with the time (default none; -hp for short)
    #[argh(option, arg_name = "file")]
    history_path: Option<String>,
    /// how many lines of the history file are shown at first (default 20 on a terminal, else 0)
    #[argh(option, arg_name = "count")]
    history: Option<String>,
    /// silence of the port to hear after which its connection counts as dead (default none)
    #[argh(option, arg_name = "seconds")]
    silence: Option<String>,
    /// end when the connection is lost, or cannot be made
    #[argh(switch)]
    once: bool,
    /// print each event as a JSON object, and take commands as such
    #[argh(switch)]
    json: bool,
    /// show a full screen; F1 shows its keys (default on a terminal)
    #[argh(switch)]
    tui: bool,
    /// show lines, also on a terminal
    #[argh(switch)]
    line: bool,
    /// the colours of the full screen: dark, light or plain (default: TALK_THEME, else what fits the terminal)
    #[argh(option, arg_name = "theme")]
    theme: Option<String>,
    /// the language: en or ru (default: TALK_LANG, else that of the environment)
    #[argh(option, arg_name = "language")]
    lang: Option<String>,
}

/// What it was asked to do.
#[derive(Clone, Debug)]
pub(in crate::terminal::client) struct ChatOptions {
    start: Start,
    manner: Manner,
    table: Table,
    token: Option<Secret>,
    username: Option<String>,
    credentials: Option<PathBuf>,
    /// The account that there is was tried.
    tried: bool,
}

impl ChatOptions {
    /// # Errors
    /// [`Exit::Usage`].
    pub(in crate::terminal::client) fn read(given: &Arguments, start: Start) -> Result<Self, Exit> {
        let listen = (given.listen_host.as_deref(), given.listen_port.as_deref());
        let write = (given.write_host.as_deref(), given.write_port.as_deref());
        let write = At::read("write-", write.0, write.1, WRITE_PORT)?;
        let listen = At::read("listen-", listen.0, listen.1, LISTEN_PORT)?;
        let manner = start.manner("chat", given.lang.as_deref(), given.json)?;
        let full = start.full_or_line(given.tui, given.line, given.theme.as_deref(), given.json)?;
        let place = places(manner.language, &listen, &write);
        let server = server(&listen, &write);
        let history = history_count(given.history.as_deref(), &start)?;
        Ok(Self {
            manner: Manner { history, place, again: true, server, full, ..manner },
            token: token(given.token.as_deref(), &start)?,
            username: username(given.username.as_deref())?,
            credentials: credential_path(given.credential_path.as_deref(), &start, &write),
            table: Table {
                listen,
                write,
                history: given.history_path.as_ref().map(PathBuf::from),
                silence: whole_seconds("--silence", given.silence.as_deref())?,
                once: given.once,
            },
            tried: false,
            start,
        })
    }

    /// Takes part until the user leaves. Every error was told when it ends.
    pub(in crate::terminal::client) fn run(mut self) -> ExitCode {
        chat::run(self.manner.clone(), async move |front: &mut Front| self.connect(front).await)
    }

    async fn connect(&mut self, front: &mut Front) -> Result<(Client, Events), NoClient> {
        // The second time the server did not know it.
        if !std::mem::replace(&mut self.tried, true)
            && let Some(token) = self.account()?
        {
            return self.table.sit(front, &token).await;
        }
        let name = match self.username.take() {
            Some(name) => name,
            None => self.ask(front).await?,
        };
        let path = self.credentials.as_deref();
        let account = newcomer(front, &self.table.write, &name, path, &self.start).await?;
        self.table.sit(front, &account.hash).await
    }

    /// The account that there is.
    fn account(&self) -> Result<Option<Secret>, NoClient> {
        match (&self.token, &self.credentials) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(path)) => credentials::read(path, self.manner.language)
                .map(|account| account.map(|account| account.hash))
                .map_err(NoClient::Wrong),
            (None, None) => Ok(None),
        }
    }

    async fn ask(&self, front: &mut Front) -> Result<String, NoClient> {
        let language = front.manner().language;
        if !self.start.look.person {
            return Err(NoClient::Wrong(language.text(Word::NeedsNickname).to_owned()));
        }
        loop {
            let name = front.ask(Word::AskNickname).await?;
            if nickname(&name).is_ok() {
                return Ok(name);
            }
            front.error(language.text(Word::BadNickname)).await.map_err(|Closed| NoClient::Left)?;
        }
    }
}
