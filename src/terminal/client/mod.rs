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
use super::full::Theme;
use super::look::{Look, complain};
use super::options::{self, Alias, Exit, USAGE};
use super::secrets::{NoSecret, ask_secret, private_directory};
use super::settings::{Environment, Settings, SettingsFile, data_directory, default_file};
use super::words::{Language, Word};
use crate::address::parse_port;
use crate::secret::{MAX_PASSWORD, MIN_PASSWORD, Password};
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
        let language = Language::asked(arguments, &environment);
        let mut given: peer::Arguments =
            options::parse_in(language, PROGRAM, env!("CARGO_PKG_VERSION"), arguments, ALIASES)?;
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

    /// What was called: the program, and the command if these arguments begin with one (`talk-client room`).
    #[must_use]
    pub fn called(arguments: &[String]) -> String {
        options::called(PROGRAM, &peer::Arguments::get_args_info(), arguments)
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
    /// Both stdin and stdout are a terminal, whether or not it can do anything.
    terminal: bool,
    /// Where data is kept, if there is such a place.
    data: Option<PathBuf>,
}

impl Start {
    fn new(environment: Environment) -> Self {
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let look = Look::of(terminal, &environment);
        let data = data_directory(&environment, "client").ok();
        Self { environment, look, terminal, data }
    }

    /// How a mode talks that has nothing of its own, in the language that was given or is set.
    fn manner(&self, mode: &'static str, language: Option<&str>, json: bool) -> Result<Manner, Exit> {
        let language = self.language(language)?;
        // Without such a place the lines of one run are remembered in that run.
        let typed = self.data.as_ref().filter(|data| private_directory(data).is_ok()).map(|data| data.join("history"));
        Ok(Manner { mode, look: self.look, language, json, typed, ..Manner::default() })
    }

    /// What a full screen looks like, if there is to be one. `tui`: it was asked for, and is not where there is a
    /// terminal that can do nothing.
    fn full(&self, tui: bool, theme: Option<&str>, json: bool) -> Result<Option<Theme>, Exit> {
        let settings = Settings::new(self.environment.clone(), None);
        let theme = settings.value("theme", theme, Theme::named)?.unwrap_or_else(|| Theme::of(&self.environment));
        if tui && json {
            return Err(Exit::usage("--tui is for people and --json for programs"));
        }
        if tui && !self.terminal {
            return Err(Exit::usage("--tui needs a terminal for input and output"));
        }
        Ok((tui && self.look.person).then_some(theme))
    }

    /// The same where a full screen is usual, unless lines were asked for.
    fn full_or_line(&self, tui: bool, line: bool, theme: Option<&str>, json: bool) -> Result<Option<Theme>, Exit> {
        if tui && line {
            return Err(Exit::usage("--tui and --line are two things"));
        }
        self.full(tui || (self.look.person && !line && !json), theme, json)
    }

    fn language(&self, given: Option<&str>) -> Result<Language, Exit> {
        let named = Settings::new(self.environment.clone(), None).value("lang", given, Language::named)?;
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
    let say = |word, places: &[&dyn std::fmt::Display]| manner.language.say(word, places);
    ask_secret(&say(Word::AskSecret, &[&SafeText(name)])).map_err(|no| {
        let (reason, code) = match no {
            NoSecret::Unasked(error) => (say(Word::TerminalFails, &[&error]), ExitCode::FAILURE),
            // As one in a file is.
            NoSecret::Unfit => (say(Word::BadSecret, &[&MIN_PASSWORD, &MAX_PASSWORD]), ExitCode::from(USAGE)),
        };
        complain(manner.look.style(), &reason);
        code
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::guide;

    #[test]
    fn an_option_of_a_command_alone_leads_to_the_command() {
        let read = |line: &str| {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            ClientOptions::read(&arguments, Environment::new()).unwrap_err().to_string()
        };
        assert_eq!(read("--nick ann"), "unknown option --nick; did you mean room --nick?");
        assert!(!read("listen --nick ann").contains("room"), "that one was chosen");
    }

    /// What was understood, by all of its fields.
    fn understood(line: &str) -> String {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        format!("{:?}", ClientOptions::read(&arguments, Environment::new()).unwrap_or_else(|no| panic!("{line}: {no}")))
    }

    #[test]
    fn options_mean_the_same_in_the_spellings_of_the_original_clients() {
        let both = "--listen-host a --listen-port 1 --write-host b --write-port 2 --history-path h --credential-path c";
        let underscored =
            "--listen_host=a --listen_port 1 --write_host b --write_port=2 --history_path h --credential_path c";
        let short = "-lh a -lp 1 -wh=b -wp 2 -hp h -cp c";
        for (usual, spelt) in [
            ("pair --host h --port 1 --to bobby", "pair --ip h -p 1 --to=bobby"),
            ("console --host h --port 1 --username u", "console --ip=h --port=1 -u u"),
            ("listen --host h --port 1 --history-path f --logging", "listen --host h -p 1 --history_path f -l"),
            ("listen --host h --port 1 --history-path f --logging", "listen -host h --port=1 -hp f --logs"),
            (
                "write --host h --port 1 --message m --token t --username u --credential-path f --logging",
                "write -host h -p 1 -m m -t t -u u -cp f --log",
            ),
            ("write --message m --credential-path f --logging", "write --message=m --credential_path f -l"),
            (&format!("register {both} --username u"), &format!("register {underscored} -u u")),
            (&format!("register {both}"), &format!("register {short}")),
            (&format!("chat {both} --token t"), &format!("chat {underscored} -t t")),
            (&format!("chat {both}"), &format!("chat {short}")),
        ] {
            assert_eq!(understood(spelt), understood(usual), "{spelt}");
            let command = usual.split(' ').next().unwrap();
            let nothing = if command == "write" { "write -m m" } else { command };
            assert_ne!(understood(usual), understood(nothing), "{usual}");
        }
    }

    #[test]
    fn a_server_is_looked_for_where_its_makers_put_it() {
        for (line, ports) in [
            ("room --nick ann", &["server: \"http://127.0.0.1:7000\""][..]),
            ("pair", &["port: 6078"]),
            ("console", &["port: 9009"]),
            ("listen", &["port: 5000"]),
            ("write -m hi", &["port: 5050"]),
            ("register", &["port: 5000", "port: 5050"]),
            ("chat", &["port: 5000", "port: 5050"]),
        ] {
            let understood = understood(line);
            for port in ports {
                assert!(understood.contains(port), "{line}: {understood}");
            }
            assert!(understood.contains("\"127.0.0.1\"") || line.starts_with("room"), "{line}: {understood}");
        }
    }

    #[test]
    fn the_help_of_every_command_is_there_in_russian_in_80_columns() {
        guide::tests::is_whole(&peer::Arguments::get_args_info());
        let environment = crate::terminal::settings::environment([("LANG".into(), "ru_RU.UTF-8".into())]);
        for line in ["", "room", "pair", "console", "listen", "write", "register", "chat"] {
            let mut arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            arguments.push("--help".to_owned());
            let asked = |environment: &Environment, arguments: &[String]| match ClientOptions::read(
                arguments,
                environment.clone(),
            ) {
                Err(Exit::Asked(help)) => help,
                other => panic!("{other:?}"),
            };
            let help = asked(&environment, &arguments);
            assert!(help.starts_with(&format!("Вызов: talk-client {line}")), "{help}");
            assert!(help.contains("\n\nКлючи:\n") && help.contains("\n\nПримеры:\n  talk-client"), "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
            // The same by the option, which wins.
            arguments.extend(["--lang=ru".to_owned()]);
            assert_eq!(asked(&Environment::new(), &arguments), help);
            arguments.pop();
            arguments.extend(["--lang".to_owned(), "en".to_owned()]);
            assert!(asked(&environment, &arguments).starts_with("Usage: talk-client"));
        }
    }
}
