//! The options of `talk-server`: what was said, where, and which of it counts more. What it means stands in the
//! server's configuration.

use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};

use super::keep::{self, Command, Keeping};
use super::options::{self, Exit};
use super::settings::{Environment, Settings, data_directory, default_file, read_file, shown};

/// Serve chat rooms, and beside them a registry, until a signal.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "[OPTIONS]",
    example = "talk-server\ntalk-server --host 0.0.0.0 --allow-host chat.example\ntalk-server --room-peer global=lobby@http:8090\ntalk-server --memory --set limits.commands_per_second=0\ntalk-server --print-config > server.toml; talk-server --config server.toml",
    note = "The page to chat on is at /: with a browser on this computer, open\nhttp://127.0.0.1:7000/.\n\nPOST /auth?nickname=NAME gives a token, GET /ws with the token as subprotocol\nopens a WebSocket in the room global, and the registry is at /v1/users. For\nwhoever runs it there are /healthz, /readyz and /metrics. Ctrl-C or SIGTERM\nstops it.\n\nPair chat, minechat and console chat are other chat systems, whose clients\nmeet everybody else in the same rooms. Peers are talk-client and its like.\n\nWhat is said on the command line counts more than the environment (TALK_HOST,\nTALK_PORT or PORT, TALK_MEMORY, TALK_DURABILITY, TALK_ORIGIN, TALK_ALLOW_HOST,\nTALK_ROOM_PEER, TALK_LEGACY_HOST, TALK_LEGACY_ROOM, TALK_PAIR_PORT,\nTALK_MINECHAT_LISTEN_PORT, TALK_MINECHAT_WRITE_PORT, TALK_MINECHAT_HEARTBEAT,\nTALK_CONSOLE_PORT, TALK_CONSOLE_PRINT_MESSAGES, TALK_SYSLOG,\nTALK_SYSLOG_FORMAT, TALK_RECORD, TALK_CONFIG), and that more than the file,\nwhich without --config is talk/server.toml in the platform's configuration\ndirectory. TALK_DATA names a directory for data, instead of the platform's;\nRUST_LOG says what is logged to stderr. Every limit is a key of the file:\n--print-config shows them all."
)]
struct Arguments {
    /// the address to listen on (default 127.0.0.1)
    #[argh(option)]
    host: Option<String>,
    /// the port for rooms and registry; 0 lets the system choose (default 7000)
    #[argh(option, short = 'p')]
    port: Option<String>,
    /// the directory to keep users, messages and registrations in (default talk/server in the platform's data
    /// directory, or server in TALK_DATA)
    #[argh(option, arg_name = "dir")]
    data: Option<String>,
    /// keep everything in memory only
    #[argh(switch)]
    memory: bool,
    /// when a message is accepted: once it is synced to disk (fsync, the default), or once the system has it (os),
    /// which is faster and may lose the latest messages in a power cut
    #[argh(option, arg_name = "when")]
    durability: Option<String>,
    /// an origin whose pages may use the rooms, such as https://chat.example; repeat it for more
    #[argh(option, arg_name = "url")]
    origin: Vec<String>,
    /// a name by which clients reach the server, such as chat.example, besides localhost; repeat it for more
    #[argh(option, arg_name = "name")]
    allow_host: Vec<String>,
    /// let peers into ROOM: listen for them at PORT by http, websocket or udp, and stand in the registry as NAME, such
    /// as global=lobby@http:8090; repeat it for more
    #[argh(option, arg_name = "room=name@protocol:port")]
    room_peer: Vec<String>,
    /// tell every text to a syslog receiver, direct messages too: unix:/dev/log, udp:HOST:PORT, tcp:HOST:PORT, or off
    /// (the default)
    #[argh(option, arg_name = "where")]
    syslog: Option<String>,
    /// in which form: rfc5424 (the default), or the older rfc3164
    #[argh(option, arg_name = "form")]
    syslog_format: Option<String>,
    /// record each connection into a file in this directory, with all that is said there but secrets; or off (the
    /// default)
    #[argh(option, arg_name = "dir")]
    record: Option<String>,
    /// the address for pair chat, minechat, console chat and the rooms of peers (default 127.0.0.1)
    #[argh(option, arg_name = "host")]
    legacy_host: Option<String>,
    /// the room that minechat and console chat lead to (default global)
    #[argh(option, arg_name = "room")]
    legacy_room: Option<String>,
    /// the port for pair chat, or off (default 6078, and off if that is taken)
    #[argh(option, arg_name = "port")]
    pair_port: Option<String>,
    /// the port at which minechat is heard, or off (default 5000, and off if that is taken)
    #[argh(option, arg_name = "port")]
    minechat_listen_port: Option<String>,
    /// the port at which minechat is written, or off (default 5050, and off if that is taken)
    #[argh(option, arg_name = "port")]
    minechat_write_port: Option<String>,
    /// say something to those who hear minechat when nobody else did for so long (default 0: never)
    #[argh(option, arg_name = "seconds")]
    minechat_heartbeat: Option<String>,
    /// the port for console chat, or off (default 9009, and off if that is taken)
    #[argh(option, arg_name = "port")]
    console_port: Option<String>,
    /// print what console users say
    #[argh(switch)]
    console_print_messages: bool,
    /// read settings from this TOML file, which must exist
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// set one key of the configuration, such as limits.commands_per_second=0; repeat it for more
    #[argh(option, arg_name = "key=value")]
    set: Vec<String>,
    /// print the configuration that would count, with a word about each key, and exit
    #[argh(switch)]
    print_config: bool,
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
    command: Option<Command>,
}

/// What `talk-server` was asked to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerOptions {
    /// What to do with what is kept, instead of serving.
    pub keeping: Option<Keeping>,
    /// Whether to show the configuration instead of serving.
    pub print_config: bool,
    /// What was said, from what counts least to what counts most.
    pub given: Vec<Given>,
}

/// A part of a configuration, and where it came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Given {
    /// A file's text.
    Toml {
        /// The file.
        place: String,
        /// What stands there.
        text: String,
    },
    /// One key, as somebody typed it.
    Value {
        /// The option or variable.
        place: String,
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
}

impl ServerOptions {
    /// Reads the arguments (without the program's name), the environment and the settings file.
    ///
    /// # Errors
    /// [`Exit`]: help or version were asked for, or something is wrong.
    pub fn read(arguments: &[String], environment: Environment) -> Result<Self, Exit> {
        keep::refuse_strays(arguments)?;
        let mut given: Arguments = options::parse(PROGRAM, env!("CARGO_PKG_VERSION"), arguments, &[])?;
        let mut keeping = None;
        if let Some(command) = given.command.take() {
            let (what, data, config) = command.read()?;
            (keeping, given.data, given.config) = (Some(what), data, config);
        }
        let settings = Settings::new(environment.clone(), None);
        let named = settings.value("config", given.config.as_deref(), |path| Ok::<_, Exit>(PathBuf::from(path)))?;
        let file = match named {
            Some(path) => Some(file(&path)?),
            None => default_file("server.toml").filter(|path| path.exists()).map(|path| file(&path)).transpose()?,
        };
        Ok(Self { keeping, ..Self::layered(&given, &environment, &settings, file)? })
    }

    /// What was called: the program, and the command if these arguments begin with one (`talk-server backup`).
    #[must_use]
    pub fn called(arguments: &[String]) -> String {
        options::called(PROGRAM, &Arguments::get_args_info(), arguments)
    }

    fn layered(
        arguments: &Arguments,
        environment: &Environment,
        settings: &Settings,
        file: Option<Given>,
    ) -> Result<Self, Exit> {
        let mut given = vec![value("the default", "memory", "false")];
        given.extend(WIRES.iter().map(|key| value("the default", key, "usual")));
        let own = environment.get("TALK_DATA").is_some_and(|parent| !parent.is_empty());
        // Without a place by default, one must be named, or none be needed.
        if let Ok(dir) = data_directory(environment, "server") {
            let place = if own { "TALK_DATA" } else { "the default" };
            let dir = dir.to_str().ok_or_else(|| Exit::usage(format_args!("{} is not UTF-8", dir.display())))?;
            given.push(value(place, "data", dir));
        }
        let at = if own { given.len() - 1 } else { given.len() };
        given.splice(at..at, file);
        given.extend(from_environment(settings)?);
        let typed = typed(arguments)?;
        let keys =
            || typed.iter().filter_map(|given| if let Given::Value { key, .. } = given { Some(key) } else { None });
        if let Some((_, twice)) = keys().enumerate().find(|(at, key)| keys().take(*at).any(|other| other == *key)) {
            return Err(Exit::usage(format_args!("{twice} is given twice")));
        }
        given.extend(typed);
        Ok(Self { keeping: None, print_config: arguments.print_config, given })
    }
}

/// Before the file's text is looked at: only that it can be read.
fn file(path: &Path) -> Result<Given, Exit> {
    let place = path.display().to_string();
    let make = format!("make one: talk-server --print-config > {place}");
    let text = read_file(path, if place.is_empty() { "leave it away" } else { &make })?;
    Ok(Given::Toml { place, text })
}

fn from_environment(settings: &Settings) -> Result<Vec<Given>, Exit> {
    let mut given = Vec::new();
    // Platforms set `PORT` for whatever they run: it counts less than our own.
    for (variable, key) in [("PORT", "server.port")].iter().chain(VARIABLES) {
        let text = settings.variable(variable, |text| Ok::<_, Exit>(text.to_owned()))?;
        given.extend(text.map(|text| value(variable, key, &text)));
    }
    Ok(given)
}

fn typed(arguments: &Arguments) -> Result<Vec<Given>, Exit> {
    let mut given = Vec::new();
    for (option, key, text) in [
        ("--host", "server.host", &arguments.host),
        ("--port", "server.port", &arguments.port),
        ("--data", "data", &arguments.data),
        ("--durability", "durability", &arguments.durability),
        ("--legacy-host", "legacy.host", &arguments.legacy_host),
        ("--legacy-room", "legacy.room", &arguments.legacy_room),
        ("--pair-port", "pair.port", &arguments.pair_port),
        ("--minechat-listen-port", "minechat.listen_port", &arguments.minechat_listen_port),
        ("--minechat-write-port", "minechat.write_port", &arguments.minechat_write_port),
        ("--minechat-heartbeat", "minechat.heartbeat", &arguments.minechat_heartbeat),
        ("--console-port", "console.port", &arguments.console_port),
        ("--syslog", "syslog.to", &arguments.syslog),
        ("--syslog-format", "syslog.format", &arguments.syslog_format),
        ("--record", "record", &arguments.record),
    ] {
        given.extend(text.as_ref().map(|text| value(option, key, text)));
    }
    for (option, key, texts) in [
        ("--origin", "server.origins", &arguments.origin),
        ("--allow-host", "server.hosts", &arguments.allow_host),
        ("--room-peer", "room_peers", &arguments.room_peer),
    ] {
        if !texts.is_empty() {
            given.push(value(option, key, &texts.join(",")));
        }
    }
    match (arguments.memory, &arguments.data) {
        (true, Some(_)) => return Err(Exit::usage("--data and --memory exclude each other")),
        (true, None) => given.push(value("--memory", "memory", "true")),
        (false, Some(_)) => given.push(value("--data", "memory", "false")),
        (false, None) => {}
    }
    if arguments.console_print_messages {
        given.push(value("--console-print-messages", "console.print_messages", "true"));
    }
    for set in &arguments.set {
        let wanted = || Exit::usage(format_args!("--set {}: KEY=VALUE is wanted, such as limits.grace=10", shown(set)));
        let (key, text) = set.split_once('=').ok_or_else(wanted)?;
        given.push(value("--set", &key.trim().replace('-', "_"), text.trim()));
    }
    Ok(given)
}

fn value(place: &str, key: &str, text: &str) -> Given {
    Given::Value { place: place.into(), key: key.into(), value: text.into() }
}

const PROGRAM: &str = "talk-server";
/// The wires that are open unless something else is said.
const WIRES: &[&str] = &["pair.port", "minechat.listen_port", "minechat.write_port", "console.port"];
const VARIABLES: &[(&str, &str)] = &[
    ("TALK_PORT", "server.port"),
    ("TALK_HOST", "server.host"),
    ("TALK_MEMORY", "memory"),
    ("TALK_DURABILITY", "durability"),
    ("TALK_ORIGIN", "server.origins"),
    ("TALK_ALLOW_HOST", "server.hosts"),
    ("TALK_ROOM_PEER", "room_peers"),
    ("TALK_LEGACY_HOST", "legacy.host"),
    ("TALK_LEGACY_ROOM", "legacy.room"),
    ("TALK_PAIR_PORT", "pair.port"),
    ("TALK_MINECHAT_LISTEN_PORT", "minechat.listen_port"),
    ("TALK_MINECHAT_WRITE_PORT", "minechat.write_port"),
    ("TALK_MINECHAT_HEARTBEAT", "minechat.heartbeat"),
    ("TALK_CONSOLE_PORT", "console.port"),
    ("TALK_CONSOLE_PRINT_MESSAGES", "console.print_messages"),
    ("TALK_SYSLOG", "syslog.to"),
    ("TALK_SYSLOG_FORMAT", "syslog.format"),
    ("TALK_RECORD", "record"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::settings::environment;

    fn read(arguments: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Result<ServerOptions, Exit> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let given: Arguments = options::parse(PROGRAM, "1", &arguments, &[])?;
        let environment = environment(variables.iter().map(|(name, value)| (name.into(), value.into())));
        let settings = Settings::new(environment.clone(), None);
        let file = file.map(|text| Given::Toml { place: "f.toml".into(), text: text.into() });
        ServerOptions::layered(&given, &environment, &settings, file)
    }

    /// Where a key's value comes from in the end, when it stands in no file.
    fn place(arguments: &[&str], variables: &[(&str, &str)], wanted: &str) -> Option<(String, String)> {
        let given = read(arguments, variables, None).unwrap().given;
        given.into_iter().rev().find_map(|given| match given {
            Given::Value { place, key, value } if key == wanted => Some((place, value)),
            _ => None,
        })
    }

    #[test]
    fn the_command_line_counts_more_than_the_environment_and_that_more_than_the_file() {
        let both = [("PORT", "2"), ("TALK_PORT", "3")];
        let port = |arguments: &[&str], variables| place(arguments, variables, "server.port");
        let found = |place: &str, value: &str| Some((place.to_owned(), value.to_owned()));
        assert_eq!(port(&["--port=1"], &both), found("--port", "1"));
        assert_eq!(port(&["--set", "server.port = 4"], &both), found("--set", "4"));
        assert_eq!(port(&[], &both), found("TALK_PORT", "3"));
        assert_eq!(port(&[], &both[..1]), found("PORT", "2"));
        assert_eq!(port(&[], &[("PORT", ""), ("TALK_PORT", "")]), None);
        let given = read(&["-p", "1"], &both, Some("x = 1")).unwrap().given;
        let file = given.iter().position(|given| matches!(given, Given::Toml { .. })).unwrap();
        let port = given.iter().position(|given| matches!(given, Given::Value { key, .. } if key == "server.port"));
        assert!(file < port.unwrap());
    }

    #[test]
    fn data_is_kept_where_it_was_said() {
        let parent = [("TALK_DATA", "/srv/t")];
        assert_eq!(place(&[], &parent, "data").unwrap(), ("TALK_DATA".into(), "/srv/t/server".into()));
        assert_eq!(place(&["--data", "/d"], &parent, "data").unwrap(), ("--data".into(), "/d".into()));
        assert_eq!(place(&["--data", "/d"], &[("TALK_MEMORY", "true")], "memory").unwrap().1, "false");
        assert_eq!(place(&["--memory"], &parent, "memory").unwrap().1, "true");
        assert_eq!(place(&[], &parent, "memory").unwrap().1, "false");
        // A file's directory gives way to TALK_DATA, and the platform's to a file's.
        let order = |variables: &[(&str, &str)]| {
            let given = read(&[], variables, Some("")).unwrap().given;
            let file = given.iter().position(|given| matches!(given, Given::Toml { .. })).unwrap();
            given
                .iter()
                .position(|given| matches!(given, Given::Value { key, .. } if key == "data"))
                .map(|at| at > file)
        };
        assert_eq!(order(&parent), Some(true));
        assert_ne!(order(&[]), Some(true));
    }

    #[test]
    fn what_excludes_itself_is_refused() {
        for (wrong, why) in [
            (&["--memory", "--data", "/d"][..], "exclude each other"),
            (&["--set", "x"], "KEY=VALUE"),
            (&["--port", "1", "--set", "server.port=2"], "server.port is given twice"),
            (&["--set", "limits.store-queue=1", "--set", "limits.store_queue=2"], "limits.store_queue is given twice"),
            (&["--data", "/d", "--set", "memory=true"], "memory is given twice"),
            (&["--port", "1", "--port", "2"], "--port is given twice"),
        ] {
            let error = read(wrong, &[], None).unwrap_err();
            assert!(matches!(&error, Exit::Usage(text) if text.contains(why)), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn repeated_options_make_a_list() {
        let origins = place(&["--origin=https://a.example", "--origin", "https://b.example"], &[], "server.origins");
        assert_eq!(origins.unwrap().1, "https://a.example,https://b.example");
        assert_eq!(place(&["--allow-host=a", "--allow_host=b"], &[], "server.hosts").unwrap().1, "a,b");
        let rooms = place(&["--room-peer=a=b@http:1", "--room-peer=c=d@udp:2"], &[], "room_peers");
        assert_eq!(rooms.unwrap(), ("--room-peer".into(), "a=b@http:1,c=d@udp:2".into()));
    }

    #[test]
    fn the_help_shows_every_option_with_its_default() {
        let Err(Exit::Asked(help)) = read(&["--help"], &[], None) else { panic!("no help") };
        for option in [
            "host",
            "port",
            "data",
            "memory",
            "durability",
            "origin",
            "allow-host",
            "room-peer",
            "syslog",
            "record",
            "config",
            "set",
        ] {
            assert!(help.contains(&format!("--{option}")), "{option} in {help}");
        }
        for wanted in ["7000", "127.0.0.1", "TALK_DATA", "PORT", "-h, --help", "--print-config", "fsync", "page"] {
            assert!(help.contains(wanted), "{wanted} in {help}");
        }
        for option in Arguments::get_args_info().flags {
            // A value that is called like its option says nothing.
            let name = option.long.trim_start_matches('-');
            let doubled = format!("--{name} {}", name.to_uppercase());
            assert!(!name.contains('-') || !help.contains(&doubled), "{doubled} in {help}");
        }
        for (variable, _) in VARIABLES {
            assert!(help.contains(variable), "{variable} in {help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}
