//! The options of `talk-client`, and what is built from them.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::line::Restore;
use super::options::{self, Exit};
use super::plain;
use super::screen::{Shown, Style};
use super::secrets::KeptSecret;
use super::session::{self, Ended};
use super::settings::{Environment, Settings, SettingsFile, data_directory, default_file};
use super::signals::Signals;
use super::start::{self, Log};
use crate::address::{Address, Host, Protocol, parse_port};
use crate::name::{UserName, is_reserved};
use crate::peer::{Peer, PeerError};
use crate::registry::{RegistryClient, RegistryError};
use crate::secret::Secret;

/// Talk to other users from the terminal.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "--name NAME [OPTIONS]",
    example = "talk-client --name ann\ntalk-client --name bob --port 8081 --protocol websocket\nprintf ':user bob\\nhi\\n' | talk-client --name ann --port 0",
    note = "Type :help for the commands.",
    note = "Every option may also come from the environment (TALK_NAME, TALK_REGISTRY,\nTALK_HOST, TALK_PORT, TALK_PROTOCOL, TALK_PUBLIC_URL, TALK_CONFIG), or else\nfrom the file talk/client.toml in the platform's configuration directory,\nunder the same names: name = \"ann\". TALK_DATA names a directory for data,\ninstead of the platform's; RUST_LOG says what is logged to stderr;\nNO_COLOR=1 switches colours off."
)]
struct Arguments {
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
    /// read settings from this file, which must exist
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// print the version
    #[argh(switch, short = 'V')]
    #[expect(dead_code, reason = "read before argh sees it; here for the help")]
    version: bool,
}

/// What `talk-client` was asked to do.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    name: UserName,
    registry: RegistryClient,
    listen: Address,
    public: Option<Address>,
    data: Option<PathBuf>,
    look: Look,
}

impl ClientOptions {
    /// Reads the arguments (without the program's name), the environment and the settings file.
    ///
    /// # Errors
    /// [`Exit`]: help or version were asked for, or something is wrong.
    pub fn read(arguments: &[String], environment: Environment) -> Result<Self, Exit> {
        let given: Arguments = options::parse(PROGRAM, env!("CARGO_PKG_VERSION"), arguments, &[])?;
        let look = Look::of(io::stdin().is_terminal() && io::stdout().is_terminal(), &environment);
        let data = data_directory(&environment, "client").ok();
        let named = Settings::new(environment.clone(), None);
        let named = named.value("config", given.config.as_deref(), |path| Ok::<_, Exit>(PathBuf::from(path)))?;
        let file = match (named, default_file("client.toml")) {
            (Some(path), _) => Some(SettingsFile::read(&path, KEYS)?),
            (None, Some(path)) => SettingsFile::read_if_there(&path, KEYS)?,
            (None, None) => None,
        };
        Self::layered(&given, &Settings::new(environment, file), look, data)
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
        Ok(Self { name, registry, listen: Address::network(protocol, host, port), public, data, look })
    }

    /// Signs on, and runs until the user leaves. Every error was told when it ends.
    #[must_use]
    pub fn run(self) -> ExitCode {
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
        let mut signals = Signals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
        let kept = match &self.data {
            Some(directory) => KeptSecret::take(directory, self.registry.base(), &self.name),
            None => Err(io::Error::other("there is no home directory; set TALK_DATA")),
        };
        if let Err(error) = &kept {
            complain(
                style,
                &format!("cannot keep a secret ({error}): after a crash your name is free only in a minute"),
            );
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
        let (peer, events) = started.map_err(|error| advice(&error, in_use, self.registry.base()))?;
        let place = peer.entry().map(|entry| entry.address.to_string()).unwrap_or_default();
        let greeting = format!("you are {} at {place}; :help shows the commands", self.name);
        let history = kept.is_ok().then(|| self.data.as_ref().map(|data| data.join("history"))).flatten();
        let terminal = self.look.person.then_some(log);
        let restore = Restore::new();
        let ended = session::run(peer, events, &greeting, style, history, terminal, &mut signals).await;
        drop(restore);
        // The lock on the secret is held until here.
        drop(kept);
        ended.map_err(|error| format!("the terminal: {error}"))
    }
}

/// Whether there is a person in front of the program, and whether colours reach them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Look {
    person: bool,
    colours: bool,
}

impl Look {
    /// `terminal`: whether both stdin and stdout are one.
    fn of(terminal: bool, environment: &Environment) -> Self {
        let is = |name: &str, value: &str| environment.get(name).is_some_and(|set| set == value);
        // On these no line can be edited.
        let person = terminal && !["", "dumb", "cons25", "emacs"].iter().any(|term| is("TERM", term));
        let colours_unwanted = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { person, colours: person && !colours_unwanted }
    }

    fn style(self) -> Style {
        Style { colours: self.colours, error: if self.person { "!" } else { "talk-client:" } }
    }
}

fn complain(style: Style, text: &str) {
    let (Shown::Out(text) | Shown::Err(text)) = style.error(text);
    // Without a stderr there is nobody to tell.
    let _ = plain::print(Shown::Err(text));
}

/// What to do about a peer that did not start.
fn advice(error: &PeerError, name_in_use_here: bool, registry: &str) -> String {
    match error {
        PeerError::Taken(name) if name_in_use_here => {
            format!("{error}: another talk-client runs as {name} on this computer; choose another with --name")
        }
        PeerError::Taken(_) => format!("{error}; choose another with --name"),
        PeerError::Unspecified(_) => format!("{error} with --public-url"),
        PeerError::Listen(_) => {
            format!("{error}; {ELSEWHERE}")
        }
        PeerError::Registry(error) => no_registry(error, registry),
        _ => error.to_string(),
    }
}

/// What to do about a registry that takes nobody, and may be none.
fn no_registry(error: &RegistryError, registry: &str) -> String {
    match error {
        RegistryError::Unsupported { status, detail } | RegistryError::Refused { status: status @ 500.., detail } => {
            format!("what answers at {registry} does not look like a registry ({status}: {detail}); {REGISTRIES}")
        }
        RegistryError::Malformed { .. } => format!("{error}; {REGISTRIES}"),
        RegistryError::Forbidden => format!(
            "the registry at {registry} lets nobody in who calls it so; take its IP address, or let talk-server know the \
             name by its --allow-host"
        ),
        _ => format!("the registry at {registry} does not take you: {error}"),
    }
}

fn own_name(name: &str) -> Result<UserName, crate::name::NameError> {
    if is_reserved(name) {
        return Err(crate::name::NameError::Reserved);
    }
    UserName::new(name)
}

pub(super) fn port_or_0(port: &str) -> Result<u16, &'static str> {
    if port == "0" {
        Ok(0)
    } else {
        parse_port(port).map_err(|_| "a port is an integer from 0 to 65535, in digits only")
    }
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

const PROGRAM: &str = "talk-client";
const KEYS: &[&str] = &["name", "registry", "host", "port", "protocol", "public-url"];
const DEFAULT_REGISTRY: &str = "http://127.0.0.1:8088";
const DEFAULT_PORT: u16 = 8080;
/// Where there are registries.
pub(super) const REGISTRIES: &str =
    "--registry URL names another: 'registry' is at http://127.0.0.1:8088, and a talk-server has one at its port, 7000";
/// What to do when the port or the host is not to be had.
pub(super) const ELSEWHERE: &str = "choose another place with --port or --host (--port 0 finds a free one)";
/// How long a signal while the client signs on waits for the registry, so that no entry stays behind.
const TAKE_BACK: Duration = Duration::from_secs(5);
/// The exit code of a program that Ctrl-C ended, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(arguments: &[&str], file: &str) -> Result<ClientOptions, Exit> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let given: Arguments = options::parse(PROGRAM, "1", &arguments, &[])?;
        let file = SettingsFile::parse(Path::new("client.toml"), file, KEYS)?;
        ClientOptions::layered(&given, &Settings::new(Environment::new(), Some(file)), Look::default(), None)
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
    fn colours_are_for_terminals_that_show_them() {
        let look = |terminal: bool, variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
            Look::of(terminal, &super::super::settings::environment(variables))
        };
        assert_eq!(look(true, &[("TERM", "xterm")]), Look { person: true, colours: true });
        assert_eq!(look(true, &[("NO_COLOR", "")]), Look { person: true, colours: true });
        assert_eq!(look(true, &[("NO_COLOR", "1")]), Look { person: true, colours: false });
        assert_eq!(look(true, &[("TERM", "dumb")]), Look::default());
        assert_eq!(look(false, &[]), Look::default());
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
        for key in KEYS {
            assert!(help.contains(&format!("--{key}")), "{key}");
        }
        for wanted in [DEFAULT_REGISTRY, "8080", "127.0.0.1", "default http", "Examples:", "TALK_DATA", "-h, --help"] {
            assert!(words.contains(wanted), "{wanted} in {help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}
