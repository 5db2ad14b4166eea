//! Peer mode: `talk-client --name ann`.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{DEFAULT_PORT, Mode, Start, port_or_0};
use crate::address::{Address, Host, Protocol, parse_port};
use crate::name::{UserName, is_reserved};
use crate::peer::{Peer, PeerError};
use crate::registry::{RegistryClient, RegistryError};
use crate::secret::Secret;
use crate::terminal::chat;
use crate::terminal::full::Theme;
use crate::terminal::line::Restore;
use crate::terminal::look::{Look, complain};
use crate::terminal::options::Exit;
use crate::terminal::screen::Style;
use crate::terminal::secrets::KeptSecret;
use crate::terminal::session::{self, Ended};
use crate::terminal::settings::Settings;
use crate::terminal::signals::Signals;
use crate::terminal::start::{self, INTERRUPTED, Log};
use crate::terminal::words::{Language, Word};

/// Talk to other users from the terminal.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "--name NAME [OPTIONS]\n       {command_name} COMMAND [OPTIONS]",
    example = "talk-client --name ann\ntalk-client --name bob --port 8081 --protocol websocket\nprintf ':user bob\\nhi\\n' | talk-client --name ann --port 0",
    note = "Type :help for the commands.",
    note = "What has a value may also come from the environment: TALK_NAME, TALK_REGISTRY,\nTALK_HOST, TALK_PORT, TALK_PROTOCOL and TALK_PUBLIC_URL, or else, under the\nsame names (name = \"ann\"), from the file talk/client.toml in the platform's\nconfiguration directory; and TALK_CONFIG, TALK_THEME and TALK_LANG, for which\nthe file has no names. What has none, as --tui, is to be typed. TALK_DATA\nnames a directory for data, instead of the platform's; RUST_LOG says what is\nlogged to stderr; NO_COLOR=1 switches colours off."
)]
pub(super) struct Arguments {
    /// your name, at most 64 letters, digits, '_', '.' and '-' (required)
    #[argh(option, short = 'n')]
    name: Option<String>,
    /// the registry where users find each other (default http://127.0.0.1:8088)
    #[argh(option, short = 'r', arg_name = "url")]
    registry: Option<String>,
    /// the address to listen on (default 127.0.0.1)
    #[argh(option)]
    host: Option<String>,
    /// the port to listen on; 0 lets the system choose (default 8080)
    #[argh(option, short = 'p')]
    port: Option<String>,
    /// how others send to you: http, udp or websocket (default http)
    #[argh(option)]
    protocol: Option<String>,
    /// the URL by which others reach you, when it is not host and port; only the host and the port in it count, and
    /// without a port the scheme's default (default none)
    #[argh(option, arg_name = "url")]
    public_url: Option<String>,
    /// print each event as a JSON object, and take commands as such
    #[argh(switch)]
    json: bool,
    /// the language: en or ru (default: TALK_LANG, else that of the environment)
    #[argh(option, arg_name = "language")]
    lang: Option<String>,
    /// show a full screen; F1 shows its keys
    #[argh(switch)]
    tui: bool,
    /// its colours: dark, light or plain (default: TALK_THEME, else what fits the terminal)
    #[argh(option, arg_name = "theme")]
    theme: Option<String>,
    /// read settings from this file, which must exist
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// print completions for a shell: bash, zsh or fish
    #[argh(option, arg_name = "shell")]
    #[expect(dead_code, reason = "read before argh sees it; here for the help")]
    completions: Option<String>,
    /// print the man page
    #[argh(switch)]
    #[expect(dead_code, reason = "read before argh sees it; here for the help")]
    man: bool,
    /// print the version
    #[argh(switch, short = 'V')]
    #[expect(dead_code, reason = "read before argh sees it; here for the help")]
    version: bool,
    #[argh(subcommand)]
    pub(super) mode: Option<Mode>,
}

/// What peer mode was asked to do.
#[derive(Clone, Debug)]
pub(super) struct PeerOptions {
    name: UserName,
    registry: RegistryClient,
    listen: Address,
    public: Option<Address>,
    data: Option<PathBuf>,
    look: Look,
    language: Language,
    json: bool,
    full: Option<Theme>,
}

impl PeerOptions {
    /// # Errors
    /// [`Exit::Usage`].
    pub(super) fn read(given: &Arguments, start: Start) -> Result<Self, Exit> {
        let settings = start.settings(given.config.as_deref())?;
        let language = start.language(given.lang.as_deref())?;
        let full = start.full(given.tui, given.theme.as_deref(), given.json)?;
        // A program is no person, also on a terminal.
        let look = Look { person: start.look.person && !given.json, ..start.look };
        Ok(Self { language, full, ..Self::layered(given, &settings, look, start.data)? })
    }

    fn layered(given: &Arguments, settings: &Settings, look: Look, data: Option<PathBuf>) -> Result<Self, Exit> {
        let name = settings.value("name", given.name.as_deref(), own_name)?;
        let name = name.ok_or_else(|| Exit::usage("a name is needed: --name NAME"))?;
        let registry = settings.value("registry", given.registry.as_deref(), registry_at)?;
        let registry = match registry {
            Some(registry) => registry,
            None => RegistryClient::new(DEFAULT_REGISTRY).map_err(Exit::usage)?,
        };
        let host = settings.value("host", given.host.as_deref(), Host::new)?;
        let host = host.unwrap_or_else(|| IpAddr::V4(Ipv4Addr::LOCALHOST).into());
        let port = settings.value("port", given.port.as_deref(), port_or_0)?.unwrap_or(DEFAULT_PORT);
        let protocol = settings.value("protocol", given.protocol.as_deref(), standard_protocol)?;
        let protocol = protocol.unwrap_or(Protocol::HTTP);
        let public = settings.value("public-url", given.public_url.as_deref(), public_place)?;
        if public.is_none() && host.is_unspecified() {
            let port = if port == 0 { DEFAULT_PORT } else { port };
            return Err(Exit::usage(format_args!(
                "nobody can reach you at {host}; say by which address they do, such as \
                 --public-url http://192.0.2.7:{port}"
            )));
        }
        let public = public.map(|(host, port)| Address::network(protocol.clone(), host, port));
        Ok(Self {
            name,
            registry,
            listen: Address::network(protocol, host, port),
            public,
            data,
            look,
            language: Language::default(),
            json: given.json,
            full: None,
        })
    }

    /// Signs on, and runs until the user leaves. Every error was told when it ends.
    pub(super) fn run(self) -> ExitCode {
        let log = Log::default();
        start::run_with(log.clone(), self.talk_to_the_end(log))
    }

    async fn talk_to_the_end(self, log: Log) -> ExitCode {
        let style = self.look.style();
        match self.talk(style, &log).await {
            Ok(Ended::Well) => ExitCode::SUCCESS,
            // A person has seen what failed; a script must be able to ask.
            Ok(Ended::WithErrors) if self.look.person => ExitCode::SUCCESS,
            Ok(Ended::WithErrors) => ExitCode::FAILURE,
            Ok(Ended::Aborted) => ExitCode::from(INTERRUPTED),
            Err(reason) => {
                complain(style, &reason);
                ExitCode::FAILURE
            }
        }
    }

    async fn talk(&self, style: Style, log: &Log) -> Result<Ended, String> {
        // Before anything is registered: from here on a signal means an orderly end.
        let mut signals = Signals::listen().map_err(|error| self.language.say(Word::NoSignals, &[&error]))?;
        let kept = match &self.data {
            Some(directory) => KeptSecret::take(directory, self.registry.base(), &self.name),
            None => Err(io::Error::other(self.language.text(Word::NoHome))),
        };
        if let Err(error) = &kept {
            complain(style, &self.language.say(Word::NoSecretKept, &[error]));
        }
        let secret = kept.as_ref().map_or_else(|_| Secret::random(), |kept| kept.secret.clone());
        let builder = Peer::builder(self.name.clone()).registry(self.registry.clone()).secret(secret);
        let mut builder = builder.listen(self.listen.clone());
        if let Some(public) = &self.public {
            builder = builder.public(public.clone());
        }
        let starting = builder.start();
        tokio::pin!(starting);
        let started = tokio::select! {
            started = &mut starting => started,
            () = signals.next() => {
                // The registry may have the entry already, and some keep it for ever.
                let take_back = async {
                    if let Ok((peer, _)) = starting.await {
                        // Whoever leaves at once does not read why it failed.
                        let _ = peer.shutdown().await;
                    }
                };
                tokio::select! {
                    _ = tokio::time::timeout(TAKE_BACK, take_back) => {}
                    () = signals.next() => {}
                }
                return Ok(Ended::Aborted);
            }
        };
        let in_use = kept.as_ref().is_ok_and(KeptSecret::is_in_use);
        let (peer, events) = started.map_err(|error| advice(&error, in_use, self.registry.base(), self.language))?;
        let history = kept.is_ok().then(|| self.data.as_ref().map(|data| data.join("history"))).flatten();
        let terminal = self.look.person.then_some(log);
        let (language, json) = (self.language, self.json);
        let full = self.full.map(|theme| chat::Manner {
            mode: "peer",
            look: self.look,
            language,
            typed: history.clone(),
            full: Some(theme),
            ..chat::Manner::default()
        });
        let manner = session::Manner { style, language, json, full, history, terminal };
        let restore = Restore::new();
        let ended = session::run(peer, events, manner, &mut signals).await;
        drop(restore);
        // The lock on the secret is held until here.
        drop(kept);
        ended.map_err(|error| language.say(Word::TerminalFails, &[&error]))
    }
}

/// What to do about a peer that did not start.
fn advice(error: &PeerError, name_in_use_here: bool, registry: &str, language: Language) -> String {
    match error {
        PeerError::Taken(name) if name_in_use_here => language.say(Word::NameInUse, &[error, name]),
        PeerError::Taken(_) => language.say(Word::OtherName, &[error]),
        PeerError::Unspecified(_) => language.say(Word::PublicUrl, &[error]),
        PeerError::Listen(_) => language.say(Word::OtherPlace, &[error]),
        PeerError::Registry(error) => no_registry(error, registry, language),
        _ => error.to_string(),
    }
}

/// What to do about a registry that takes nobody, and may be none.
fn no_registry(error: &RegistryError, registry: &str, language: Language) -> String {
    let registries = language.text(Word::Registries);
    match error {
        RegistryError::Unsupported { status, detail } | RegistryError::Refused { status: status @ 500.., detail } => {
            language.say(Word::NoRegistry, &[&registry, status, detail, &registries])
        }
        RegistryError::Malformed { .. } => format!("{error}; {registries}"),
        RegistryError::Forbidden => language.say(Word::RegistryForbids, &[&registry]),
        _ => language.say(Word::RegistryRefuses, &[&registry, error]),
    }
}

fn own_name(name: &str) -> Result<UserName, crate::name::NameError> {
    if is_reserved(name) {
        return Err(crate::name::NameError::Reserved);
    }
    UserName::new(name)
}

fn registry_at(url: &str) -> Result<RegistryClient, String> {
    RegistryClient::new(url).map_err(|error| match error {
        // Where the URL came from, and the URL, stand before this.
        RegistryError::BadUrl { reason, .. } => format!("no address of a registry: {reason}"),
        other => other.to_string(),
    })
}

fn standard_protocol(name: &str) -> Result<Protocol, &'static str> {
    Protocol::new(name).ok().filter(Protocol::is_standard).ok_or("a protocol is http, udp or websocket")
}

/// Host and port of a URL by which others reach this client.
fn public_place(url: &str) -> Result<(Host, u16), String> {
    let (scheme, rest) = url.split_once("://").ok_or("a public URL looks like http://chat.example:9000")?;
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "udp" => None,
        _ => return Err("the scheme of a public URL is http, https, ws, wss or udp".into()),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@']) {
        return Err("only the host and the port of a public URL are registered; leave the rest away".into());
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        // Without its colon it is no port, and is refused below.
        Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let bracketed = authority.starts_with('[');
    let host = Host::new(host).map_err(|error| error.to_string())?;
    if bracketed && !host.as_str().contains(':') {
        return Err("only an IPv6 address stands in brackets".into());
    }
    if host.is_unspecified() {
        return Err(format!("nobody can reach you at {host}"));
    }
    let port = match (port, default) {
        (Some(port), _) => parse_port(port).map_err(|error| error.to_string())?,
        (None, Some(default)) => default,
        (None, None) => return Err("a UDP address needs a port".into()),
    };
    Ok((host, port))
}

const DEFAULT_REGISTRY: &str = "http://127.0.0.1:8088";
/// How long a signal while the client signs on waits for the registry, so that no entry stays behind.
const TAKE_BACK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::super::{KEYS, PROGRAM};
    use super::*;
    use crate::terminal::options;
    use crate::terminal::settings::{Environment, SettingsFile};
    use std::path::Path;

    fn read(arguments: &[&str], file: &str) -> Result<PeerOptions, Exit> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let given: Arguments = options::parse(PROGRAM, "1", &arguments, &[])?;
        let file = SettingsFile::parse(Path::new("client.toml"), file, KEYS)?;
        PeerOptions::layered(&given, &Settings::new(Environment::new(), Some(file)), Look::default(), None)
    }

    fn refused(arguments: &[&str]) -> String {
        match read(arguments, "") {
            Err(Exit::Usage(text)) => text,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    #[test]
    fn only_a_name_is_needed() {
        let options = read(&["--name=ann"], "").unwrap();
        assert_eq!(options.listen.to_string(), "http://127.0.0.1:8080");
        assert_eq!(options.registry.base(), "http://127.0.0.1:8088");
        assert!(options.public.is_none());
        assert!(refused(&[]).contains("--name NAME"));
    }

    #[test]
    fn options_win_over_the_file() {
        let file = "name = 'bob'\nport = 9\nprotocol = 'udp'\nhost = '::1'\nregistry = 'http://r:1'";
        let options = read(&["--port=0", "--protocol", "WebSocket"], file).unwrap();
        assert_eq!((options.name.as_str(), options.listen.to_string().as_str()), ("bob", "websocket://[::1]:0"));
        assert_eq!(options.registry.base(), "http://r:1");
    }

    #[test]
    fn bad_values_are_refused_with_what_would_be_right() {
        for (argument, wanted) in [
            ("--name=a b", "use letters"),
            ("--name=Server", "reserved"),
            ("--port=65536", "0 to 65535"),
            ("--host=http://a", "DNS name"),
            ("--protocol=tcp", "http, udp or websocket"),
            ("--registry=nonsense", "http://"),
            ("--public-url=chat.example", "http://chat.example:9000"),
        ] {
            let text = refused(&["-n", "ann", argument][if argument.starts_with("--name") { 2 } else { 0 }..]);
            assert!(text.contains(wanted), "{argument}: {text}");
            assert!(text.starts_with(argument.split('=').next().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_address_that_nobody_can_reach_needs_a_public_url() {
        for host in ["0.0.0.0", "::"] {
            assert!(refused(&["-n=ann", "--host", host]).contains("--public-url"));
            let options = read(&["-n=ann", "--host", host, "--public-url=http://chat.example"], "").unwrap();
            assert_eq!(options.public.unwrap().to_string(), "http://chat.example:80");
        }
        assert!(refused(&["-n=ann", "--public-url=http://0.0.0.0:80"]).contains("nobody can reach"));
    }

    #[test]
    fn the_host_and_port_of_a_public_url_are_taken() {
        let place = |url: &str| public_place(url).map(|(host, port)| format!("{host} {port}"));
        for (url, wanted) in [
            ("http://chat.example:9000", "chat.example 9000"),
            ("http://chat.example:9000/", "chat.example 9000"),
            ("ws://chat.example", "chat.example 80"),
            ("HTTPS://chat.example", "chat.example 443"),
            ("wss://[::1]", "::1 443"),
            ("udp://[2001:db8::1]:5", "2001:db8::1 5"),
        ] {
            assert_eq!(place(url).as_deref(), Ok(wanted));
        }
        for bad in [
            "chat.example:9000",
            "ftp://a",
            "udp://a",
            "http://",
            "http://a:0",
            "http://a:",
            "http://a:1:2",
            "http://[::1]x",
            "http://[::1]]",
            "http://[::1]80",
            "http://[a]",
            "http://u@a",
            "http://a/path",
            "http://a?q",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_help_shows_every_option_with_its_default_and_an_example() {
        let Err(Exit::Asked(help)) = read(&["--help"], "") else { panic!("no help") };
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in ["name", "registry", "host", "port", "protocol", "public-url"] {
            assert!(help.contains(&format!("--{key}")), "{key}");
        }
        for wanted in [DEFAULT_REGISTRY, "8080", "127.0.0.1", "default http", "Examples:", "TALK_DATA", "-h, --help"] {
            assert!(words.contains(wanted), "{wanted} in {help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}
