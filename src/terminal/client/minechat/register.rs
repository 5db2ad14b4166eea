//! `talk-client register`: makes accounts, and goes to the chat with the last.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::{
    At, LISTEN_PORT, Table, WRITE_PORT, credential_path, history_count, newcomer, nickname, places, server, username,
};
use crate::client::{Client, Events};
use crate::terminal::chat::{self, Front, Manner, NoClient};
use crate::terminal::client::Start;
use crate::terminal::options::Exit;
use crate::terminal::screen::Closed;
use crate::terminal::words::Word;

/// Make an account in a minechat, and go there or make another.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    subcommand,
    name = "register",
    help_triggers("-h", "--help"),
    usage = "[OPTIONS]",
    example = "talk-client register\nprintf 'ann\\n' | talk-client register -wh chat.example -cp account.json",
    note = "It asks for a nickname; the server may choose another that is like it. Then\nEnter goes to the chat, a nickname makes one more account, and the end of the\ninput ends the program. An account that was in the file before is appended to\nthe file of the same name with .old behind it.",
    note = "Exit codes: 0 all went well, 1 something did not, and was told, 2 an option is\nwrong, 130 a second Ctrl-C did not wait."
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
    /// the first nickname, which is not asked for then
    #[argh(option, short = 'u', arg_name = "nickname")]
    username: Option<String>,
    /// the file in which the account is kept (default one of this program's for that server; -cp for short)
    #[argh(option, arg_name = "file")]
    credential_path: Option<String>,
    /// the file to which messages are appended in the chat, with the time (default none; -hp for short)
    #[argh(option, arg_name = "file")]
    history_path: Option<String>,
    /// how many lines of the history file are shown in the chat at first (default 20 on a terminal, else 0)
    #[argh(option, arg_name = "count")]
    history: Option<String>,
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
pub(in crate::terminal::client) struct RegisterOptions {
    start: Start,
    manner: Manner,
    table: Table,
    username: Option<String>,
    credentials: Option<PathBuf>,
}

impl RegisterOptions {
    /// # Errors
    /// [`Exit::Usage`].
    pub(in crate::terminal::client) fn read(given: &Arguments, start: Start) -> Result<Self, Exit> {
        let listen = (given.listen_host.as_deref(), given.listen_port.as_deref());
        let write = (given.write_host.as_deref(), given.write_port.as_deref());
        let write = At::read("write-", write.0, write.1, WRITE_PORT)?;
        let listen = At::read("listen-", listen.0, listen.1, LISTEN_PORT)?;
        let manner = start.manner("register", given.lang.as_deref(), given.json)?;
        let full = start.full_or_line(given.tui, given.line, given.theme.as_deref(), given.json)?;
        let place = places(manner.language, &listen, &write);
        let server = server(&listen, &write);
        let history = history_count(given.history.as_deref(), &start)?;
        Ok(Self {
            manner: Manner { history, place, server, full, ..manner },
            username: username(given.username.as_deref())?,
            credentials: credential_path(given.credential_path.as_deref(), &start, &write),
            table: Table {
                listen,
                write,
                history: given.history_path.as_ref().map(PathBuf::from),
                silence: None,
                once: false,
            },
            start,
        })
    }

    /// Registers, and takes part until the user leaves. Every error was told when it ends.
    pub(in crate::terminal::client) fn run(mut self) -> ExitCode {
        chat::run(self.manner.clone(), async move |front: &mut Front| self.connect(front).await)
    }

    async fn connect(&mut self, front: &mut Front) -> Result<(Client, Events), NoClient> {
        let language = front.manner().language;
        let mut wish = match self.username.take() {
            Some(name) => name,
            None => front.ask(Word::AskNickname).await?,
        };
        let mut last = None;
        loop {
            let registered = match nickname(&wish) {
                Ok(name) => newcomer(front, &self.table.write, &name, self.credentials.as_deref(), &self.start).await,
                Err(_) => Err(NoClient::Wrong(language.text(Word::BadNickname).to_owned())),
            };
            match registered {
                Ok(account) => last = Some(account),
                // A person may try another, or again; a script is told by the exit code.
                Err(NoClient::Wrong(reason)) if self.start.look.person => {
                    front.error(&reason).await.map_err(|Closed| NoClient::Left)?;
                }
                Err(no) => return Err(no),
            }
            wish = match &last {
                None => front.ask(Word::AskNickname).await?,
                Some(account) => match front.ask_or_not(Word::AskNext).await? {
                    Some(name) => name,
                    None => return self.table.sit(front, &account.hash).await,
                },
            };
        }
    }
}
