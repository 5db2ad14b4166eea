//! The options of `talk-client`: one command for each way to take part, and what they share.

mod console;
mod minechat;
mod pair;
mod peer;
mod room;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use self::console::ConsoleOptions;
use self::minechat::{ChatOptions, ListenOptions, RegisterOptions, WriteOptions};
use self::pair::PairOptions;
use self::peer::PeerOptions;
use self::room::RoomOptions;
use super::chat::Manner;
use super::look::{Look, complain};
use super::options::{self, Alias, Exit};
use super::secrets::{ask_secret, private_directory};
use super::settings::{Environment, Settings, SettingsFile, data_directory, default_file};
use super::words::{Language, Word};
use crate::address::parse_port;
use crate::secret::Password;
use crate::text::SafeText;

/// What `talk-client` was asked to do.
#[derive(Debug)]
pub struct ClientOptions(Chosen);

#[derive(Debug)]
enum Chosen {
    Peer(Box<PeerOptions>),
    Room(RoomOptions),
    Pair(PairOptions),
    Console(ConsoleOptions),
    Listen(ListenOptions),
    Write(WriteOptions),
    Register(RegisterOptions),
    Chat(ChatOptions),
}

/// The commands; without one it is a peer.
#[derive(ArgsInfo, Debug, FromArgs)]
#[argh(subcommand)]
enum Mode {
    Room(room::Arguments),
    Pair(pair::Arguments),
    Console(console::Arguments),
    Listen(minechat::ListenArguments),
    Write(minechat::WriteArguments),
    Register(minechat::RegisterArguments),
    Chat(minechat::ChatArguments),
}

impl ClientOptions {
    /// Reads the arguments (without the program's name), the environment and the settings file.
    ///
    /// # Errors
    /// [`Exit`]: help or version were asked for, or something is wrong.
    pub fn read(arguments: &[String], environment: Environment) -> Result<Self, Exit> {
        let mut given: peer::Arguments = options::parse(PROGRAM, env!("CARGO_PKG_VERSION"), arguments, ALIASES)?;
        let start = Start::new(environment);
        Ok(Self(match given.mode.take() {
            None => Chosen::Peer(Box::new(PeerOptions::read(&given, start)?)),
            Some(Mode::Room(given)) => Chosen::Room(RoomOptions::read(&given, start)?),
            Some(Mode::Pair(given)) => Chosen::Pair(PairOptions::read(given, &start)?),
            Some(Mode::Console(given)) => Chosen::Console(ConsoleOptions::read(given, &start)?),
            Some(Mode::Listen(given)) => Chosen::Listen(ListenOptions::read(&given, start)?),
            Some(Mode::Write(given)) => Chosen::Write(WriteOptions::read(&given, start)?),
            Some(Mode::Register(given)) => Chosen::Register(RegisterOptions::read(&given, start)?),
            Some(Mode::Chat(given)) => Chosen::Chat(ChatOptions::read(&given, start)?),
        }))
    }

    /// Takes part until the user leaves. Every error was told when it ends.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.0 {
            Chosen::Peer(options) => options.run(),
            Chosen::Room(options) => options.run(),
            Chosen::Pair(options) => options.run(),
            Chosen::Console(options) => options.run(),
            Chosen::Listen(options) => options.run(),
            Chosen::Write(options) => options.run(),
            Chosen::Register(options) => options.run(),
            Chosen::Chat(options) => options.run(),
        }
    }
}

/// What every mode is started with.
#[derive(Clone, Debug)]
struct Start {
    environment: Environment,
    look: Look,
    /// Where data is kept, if there is such a place.
    data: Option<PathBuf>,
}

impl Start {
    fn new(environment: Environment) -> Self {
        let look = Look::of(io::stdin().is_terminal() && io::stdout().is_terminal(), &environment);
        let data = data_directory(&environment, "client").ok();
        Self { environment, look, data }
    }

    /// How a mode talks that has nothing of its own, in the language that was given or is set.
    fn manner(&self, mode: &'static str, language: Option<&str>, json: bool) -> Result<Manner, Exit> {
        let language = self.language(language)?;
        // Without such a place the lines of one run are remembered in that run.
        let typed = self.data.as_ref().filter(|data| private_directory(data).is_ok()).map(|data| data.join("history"));
        Ok(Manner { mode, look: self.look, language, json, typed, ..Manner::default() })
    }

    fn language(&self, given: Option<&str>) -> Result<Language, Exit> {
        let named = Settings::default().value("lang", given, Language::named)?;
        Ok(named.unwrap_or_else(|| Language::of(&self.environment)))
    }

    /// Whether a secret is to be asked for, where that is wanted and there is none.
    fn asks_secret(&self, wanted: bool, there: bool) -> Result<bool, Exit> {
        if wanted && !there && !self.look.person {
            return Err(Exit::usage(
                "--account asks for the secret on a terminal; elsewhere there is --secret-file FILE",
            ));
        }
        Ok(wanted && !there)
    }

    /// The environment, and the settings file: the one that was named, else the usual one.
    fn settings(&self, config: Option<&str>) -> Result<Settings, Exit> {
        let named = Settings::new(self.environment.clone(), None);
        let named = named.value("config", config, |path| Ok::<_, Exit>(PathBuf::from(path)))?;
        let file = match (named, default_file("client.toml")) {
            (Some(path), _) => Some(SettingsFile::read(&path, KEYS)?),
            (None, Some(path)) => SettingsFile::read_if_there(&path, KEYS)?,
            (None, None) => None,
        };
        Ok(Settings::new(self.environment.clone(), file))
    }
}

/// Asks for the secret of an account, before anything else is shown.
fn asked_secret(manner: &Manner, name: &str) -> Result<Password, ExitCode> {
    ask_secret(&manner.language.say(Word::AskSecret, &[&SafeText(name)])).map_err(|reason| {
        complain(manner.look.style(), &reason);
        ExitCode::FAILURE
    })
}

/// The port of a server.
fn port_of(given: Option<&str>, usual: u16) -> Result<u16, Exit> {
    Ok(Settings::default().value("port", given, parse_port)?.unwrap_or(usual))
}

pub(super) fn port_or_0(port: &str) -> Result<u16, &'static str> {
    if port == "0" {
        Ok(0)
    } else {
        parse_port(port).map_err(|_| "a port is an integer from 0 to 65535, in digits only")
    }
}

const PROGRAM: &str = "talk-client";
/// Spellings of other programs' options.
const ALIASES: &[Alias] = &[
    ("--ip", "--host"),
    ("-host", "--host"),
    ("-lh", "--listen-host"),
    ("-lp", "--listen-port"),
    ("-wh", "--write-host"),
    ("-wp", "--write-port"),
    ("-hp", "--history-path"),
    ("-cp", "--credential-path"),
    ("--log", "--logging"),
    ("--logs", "--logging"),
];
/// What may stand in the settings file.
const KEYS: &[&str] =
    &["name", "registry", "host", "port", "protocol", "public-url", "server", "nick", "room", "secret-file", "history"];
/// Where a peer listens.
const DEFAULT_PORT: u16 = 8080;
/// What to do when the port or the host is not to be had.
pub(super) const ELSEWHERE: &str = "choose another place with --port or --host (--port 0 finds a free one)";
