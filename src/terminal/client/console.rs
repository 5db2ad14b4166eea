//! Console mode: `talk-client console --host H --port P`.

use std::path::Path;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use super::{Start, asked_secret, port_of};
use crate::address::{Host, authority};
use crate::client::console::{Options, OptionsError};
use crate::client::{Client, Events};
use crate::secret::Password;
use crate::terminal::chat::{self, Front, Manner, NoClient};
use crate::terminal::options::Exit;
use crate::terminal::secrets::read_secret;
use crate::terminal::words::Word;

/// Take part in console chat.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    subcommand,
    name = "console",
    help_triggers("-h", "--help"),
    usage = "[OPTIONS]",
    example = "talk-client console\ntalk-client console --host chat.example --port 9009 --username alice",
    note = "How you are called is asked for, unless it is given. Commands of the server\nare typed as they are: cmd!participants_count, cmd!current_time,\ncmd!start_game:rock, cmd!client_exit. Type :help for the others.",
    note = "Exit codes: 0 all went well, 1 something was not done, and was told, 2 an\noption is wrong, 3 the server does not let you in, 4 the connection was\nlost, and there was to be one only (--once), 130 a second Ctrl-C did not\nwait."
)]
pub(super) struct Arguments {
    /// the server's host (default 127.0.0.1)
    #[argh(option)]
    host: Option<String>,
    /// the server's port (default 9009)
    #[argh(option, short = 'p')]
    port: Option<String>,
    /// how you are called
    #[argh(option, short = 'u', arg_name = "name")]
    username: Option<String>,
    /// sign in to the account of that name; its secret is asked for
    #[argh(switch)]
    account: bool,
    /// sign in with the secret in this file, which nobody else may be able to read
    #[argh(option, arg_name = "file")]
    secret_file: Option<String>,
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

/// What console mode was asked to do.
#[derive(Clone, Debug)]
pub(super) struct ConsoleOptions {
    manner: Manner,
    host: String,
    port: u16,
    username: Option<String>,
    secret: Option<Password>,
    account: bool,
    once: bool,
}

impl ConsoleOptions {
    /// # Errors
    /// [`Exit::Usage`].
    pub(super) fn read(given: Arguments, start: &Start) -> Result<Self, Exit> {
        let manner = start.manner("console", given.lang.as_deref(), given.json)?;
        let full = start.full(given.tui, given.theme.as_deref(), given.json)?;
        let settings = start.settings(None)?;
        let host = given.host.unwrap_or_else(|| HOST.to_owned());
        let host = Host::new(&host).map_err(|error| Exit::usage(format_args!("--host {host:?}: {error}")))?;
        let port = port_of(given.port.as_deref(), PORT)?;
        let server = authority(host.as_str(), port);
        let secret = settings
            .value("secret-file", given.secret_file.as_deref(), |path| read_secret(Path::new(path), manner.language))?;
        let account = start.asks_secret(given.account, secret.is_some())?;
        Ok(Self {
            manner: Manner { named: true, again: true, familiar: true, unconfirmed: true, server, full, ..manner },
            host: host.to_string(),
            port,
            username: given.username,
            secret,
            account,
            once: given.once,
        })
    }

    /// Takes part until the user leaves. Every error was told when it ends.
    pub(super) fn run(mut self) -> ExitCode {
        if self.account {
            match asked_secret(&self.manner, self.username.as_deref().unwrap_or_default()) {
                Ok(secret) => self.secret = Some(secret),
                Err(code) => return code,
            }
        }
        chat::run(self.manner.clone(), async move |front: &mut Front| self.connect(front).await)
    }

    async fn connect(&mut self, front: &mut Front) -> Result<(Client, Events), NoClient> {
        loop {
            // A name that was refused is not tried again.
            let given = self.username.take();
            let by_option = given.is_some();
            let name = match given {
                Some(name) => name,
                None => front.ask(Word::AskName).await?,
            };
            let mut options = Options::new(&self.host, self.port, &name);
            if let Some(secret) = &self.secret {
                options = options.secret(secret.clone());
            }
            let options = if self.once { options.once() } else { options };
            match options.connect() {
                Ok(connected) => {
                    front.name = Some(name);
                    return Ok(connected);
                }
                Err(error) if by_option => return Err(NoClient::Usage(format!("--username {error}"))),
                Err(OptionsError::BadName { name }) => {
                    let language = self.manner.language;
                    front.again(&language.say(Word::NoConsoleName, &[&language.quoted(name)])).await?;
                }
                Err(error) => front.again(&error.to_string()).await?,
            }
        }
    }
}

const HOST: &str = "127.0.0.1";
const PORT: u16 = 9009;
