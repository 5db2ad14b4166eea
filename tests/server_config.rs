//! What `talk-server` is told, and by whom.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::durable::{Durable, NO_WIRES};
use common::programs::Home;
use common::rooms::{said, status};
use common::server_program::Ended;
use common::terminal::Terminal;
use talk::server::Config;
use tokio::sync::Mutex;

/// The value that `--print-config` shows for a key.
fn shown(home: &Home, arguments: &[&str], key: &str) -> String {
    let ended = home.run(&[arguments, &["--print-config"]].concat());
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    let table: toml::Table = ended.out.parse().unwrap();
    let mut value = toml::Value::Table(table);
    for part in key.split('.') {
        value = value.get(part).unwrap_or_else(|| panic!("{key} in {}", ended.out)).clone();
    }
    value.to_string()
}

#[test]
fn help_and_version_exit_0_and_mistakes_exit_2() {
    let home = Home::new();
    for help in ["--help", "-h"] {
        let ended = home.run(&[help]);
        assert_eq!(ended.code, Some(0));
        for wanted in ["--host", "--port", "--data", "--memory", "--set", "--print-config", "7000", "/metrics"] {
            assert!(ended.out.contains(wanted), "{wanted} in {}", ended.out);
        }
    }
    let version = home.run(&["--version"]);
    assert_eq!((version.code, version.out.trim_end()), (Some(0), concat!("talk-server ", env!("CARGO_PKG_VERSION"))));
    for (mistake, says) in [
        (&["--nonsense"][..], "unknown option --nonsense"),
        (&["--prot", "1"], "did you mean --port?"),
        (&["stray"], "\"stray\" belongs to no option"),
        (&["--port", "x", "--memory"], "--port: server.port = \"x\": a port from 0 to 65535 is wanted"),
        (&["--port", "65536", "--memory"], "a port from 0 to 65535"),
        (&["--host", "a b", "--memory"], "--host: server.host = \"a b\": "),
        (&["--memory", "--data", "x"], "--data and --memory exclude each other"),
        (&["--data", ""], "the path of a directory is wanted"),
        (&["--durability", "memory"], "--durability: durability = \"memory\": fsync or os is wanted"),
        (&["--origin", "chat.example"], "--origin: server.origins = "),
        (&["--allow-host", "http://x"], "--allow-host: server.hosts = "),
        (
            &["--pair-port", "on"],
            "--pair-port: pair.port = \"on\": a port from 0 to 65535, off, or usual (its own port, unless somebody else \
             has that) is wanted",
        ),
        (
            &["--legacy-room", "a b"],
            "--legacy-room: legacy.room = \"a b\": a room's name, 1 to 64 of the characters A-Z a-z 0-9 _ . - and \
             neither '.' nor '..', is wanted",
        ),
        (
            &["--room-peer", "lobby@http:1"],
            "\"lobby@http:1\": a room for peers is ROOM=NAME@PROTOCOL:PORT; something like lobby=lobby@http:8090 is wanted",
        ),
        (&["--room-peer", "a=talk@http:1"], "NAME in ROOM=NAME@PROTOCOL:PORT: this name is reserved; choose another"),
        (&["--room-peer", "a=b c@http:1"], "NAME in ROOM=NAME@PROTOCOL:PORT: ' ' is not allowed in a name: use "),
        (&["--room-peer", "a b=c@http:1"], "ROOM in ROOM=NAME@PROTOCOL:PORT: ' ' is not allowed in a name: use "),
        (&["--room-peer", "a=b@tcp:1"], "PROTOCOL in ROOM=NAME@PROTOCOL:PORT is http, websocket or udp"),
        (&["--room-peer", "a=b@http:x"], "PORT in ROOM=NAME@PROTOCOL:PORT is a number from 0 to 65535"),
        (
            &["--room-peer", "a=b@http:1", "--room-peer", "a=System@udp:2"],
            "\"a=b@http:1,a=System@udp:2\": \"a=System@udp:2\": NAME in ",
        ),
        (
            &["--memory", "--room-peer", "a=b@http:1", "--room-peer", "c=b@http:2"],
            "room_peers = \"a=b@http:1\" and room_peers = \"c=b@http:2\" contradict each other: ",
        ),
        (
            &["--syslog", "/dev/log"],
            "--syslog: syslog.to = \"/dev/log\": unix:PATH, udp:HOST:PORT, tcp:HOST:PORT or off",
        ),
        (&["--syslog-format", "5424"], "--syslog-format: syslog.format = \"5424\": rfc5424 or rfc3164 is wanted"),
        (&["--set", "limits.grace"], "KEY=VALUE is wanted"),
        (
            &["--set", "limits.commands=1"],
            "--set: unknown key \"limits.commands\"; did you mean one of limits.commands_per_second, limits.commands_burst?",
        ),
        (&["--set", "limits.comands_per_second=0"], "did you mean limits.commands_per_second?"),
        (&["--set", "limits.frame=100"], "limits.message = 16384 and limits.frame = 100 contradict each other"),
        (
            &["--set", "commands_per_second=1"],
            "unknown key \"commands_per_second\"; did you mean limits.commands_per_second?",
        ),
        (&["--set", "limits.message=0"], "--set: limits.message = \"0\": a number from 1 to "),
        (&["--config", "nowhere.toml"], "cannot read nowhere.toml: "),
        (&["--config", "nowhere.toml"], "or make one: talk-server --print-config > nowhere.toml"),
        (&["--config", ""], "--config needs the name of a file; or leave it away"),
        (&["--config", "."], "cannot read .: "),
    ] {
        home.run(mistake).refused(&[says, "Try 'talk-server --help'."]);
    }
}

#[test]
fn a_value_that_goes_on_for_ever_is_cut_in_the_message() {
    let home = Home::new();
    let long = "x".repeat(1000);
    let set = format!("limits.{long}=1");
    let peer = format!("a={long}@http:1");
    for (arguments, says) in [
        (["--legacy-room", &long], "--legacy-room: legacy.room = \"xxx"),
        (["--legacy-room", &long], "x\u{2026}\": a room's name, 1 to 64 of "),
        (["--room-peer", &peer], "NAME in ROOM=NAME@PROTOCOL:PORT: a name has at most 64 characters"),
        (["--host", &long], "--host: server.host = \"xxx"),
        (["--set", &long], "x\u{2026}\": KEY=VALUE is wanted"),
        (["--set", &set], "unknown key \"limits.xxx"),
        ([&long, "--memory"], "x\u{2026}\" belongs to no option"),
        ([&format!("--{long}"), "--memory"], "unknown option --xxx"),
    ] {
        let ended = home.run(&arguments);
        ended.refused(&[says]);
        assert!(!ended.err.contains(&"x".repeat(61)), "{ended:?}");
    }
    let path = home.write("long.toml", format!("legacy.room = '{long}'\n"));
    let ended = home.run(&["--config", &path]);
    ended.refused(&["long.toml: legacy.room = \"xxx", ": a room's name, "]);
    assert!(!ended.err.contains(&"x".repeat(61)), "{ended:?}");
}

/// One test at a time takes the wires' own ports.
static USUAL_PORTS: Mutex<()> = Mutex::const_new(());

#[test]
fn a_server_that_does_not_start_tells_the_reason_alone() {
    let home = Home::new();
    let _alone = USUAL_PORTS.blocking_lock();
    // Whoever has the wires' own ports: they are taken.
    let _taken = [6078, 5000, 5050, 9009].map(|port| std::net::TcpListener::bind(("127.0.0.1", port)));
    let data = home.path().join("data");
    let dir = data.to_str().unwrap();
    let _holder = home.start(&["--data", dir]);
    let ended = home.run(&["--data", dir, "--port", "0", "--legacy-host", "127.0.0.1"]);
    ended.failed(1, &[dir, "in use by another process; stop that one, or name another directory (--data DIR)\n"]);
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
}

#[test]
fn an_unknown_key_in_the_file_is_refused_by_name() {
    let home = Home::new();
    let path = home.write("server.toml", "[server]\nprot = 7000\n");
    home.run(&["--config", &path]).refused(&[&path, "unknown key \"server.prot\"", "server.port"]);
    home.run(&["--config", &path, "--print-config"]).refused(&["server.prot"]);
    // The file that is looked for when none is named counts like one that is.
    let path = home.write(".config/talk/server.toml", "memory = true\nlimit = 3\n");
    if cfg!(target_os = "linux") {
        home.run(&[]).refused(&[&path, "unknown key \"limit\""]);
    }
}

#[test]
fn garbage_in_the_file_is_refused_with_its_place() {
    let home = Home::new();
    for garbage in [
        &b"\xff\xfe\x00"[..],
        b"[server",
        b"= 1",
        b"server.port = 1\nserver.port = 2",
        b"\x1b[2J = 1",
        b"{}",
        b"port 1",
    ] {
        let path = home.write("garbage.toml", garbage);
        let ended = home.run(&["--config", &path]);
        ended.refused(&[&path]);
        assert!(!ended.err.contains('\x1b'), "{ended:?}");
    }
    home.write("line.toml", "memory = true\n\n[limits]\nusers = = 3\n");
    home.run(&["--config", "line.toml"]).refused(&["line.toml is not TOML: line 4: "]);
    home.write("type.toml", "[limits]\nusers = 'many'\n");
    home.run(&["--config", "type.toml"]).refused(&["type.toml: limits.users = \"many\": a number from 1 to "]);
}

#[test]
fn set_wins_over_the_file_and_the_file_over_the_default() {
    let home = Home::new();
    let key = "limits.commands_per_second";
    let path = home.write("a.toml", "[limits]\ncommands-per-second = 7\n[retention]\nage_days = 1.5\n");
    assert_eq!(shown(&home, &[], key), "20");
    assert_eq!(shown(&home, &["--config", &path], key), "7");
    assert_eq!(shown(&home, &["--config", &path, "--set", &format!("{key}=0")], key), "0");
    assert_eq!(shown(&home, &["--config", &path, "--set", &format!("{key}=0")], "retention.age_days"), "1.5");
    let lists = ["--origin", "https://a.example", "--set", "admins=ann, bob", "--set", "server.hosts=[\"c.example\"]"];
    assert_eq!(shown(&home, &lists, "admins"), r#"["ann", "bob"]"#);
    assert_eq!(shown(&home, &lists, "server.origins"), r#"["https://a.example"]"#);
    assert_eq!(shown(&home, &lists, "server.hosts"), r#"["c.example"]"#);
}

#[test]
fn wires_are_open_at_their_usual_ports_unless_something_else_is_said() {
    let home = Home::new();
    for key in ["pair.port", "minechat.listen_port", "minechat.write_port", "console.port"] {
        assert_eq!(shown(&home, &[], key), "\"usual\"");
    }
    assert_eq!(shown(&home, &["--pair-port", "off"], "pair.port"), "\"off\"");
    assert_eq!(shown(&home, &["--minechat-write-port", "0"], "minechat.write_port"), "0");
    assert_eq!(shown(&home, &["--console-print-messages"], "console.print_messages"), "true");
    assert_eq!(shown(&home, &["--minechat-heartbeat", "1.5"], "minechat.heartbeat"), "1.5");
    let rooms = ["--room-peer", "a=b@http:1", "--room-peer=c=d@UDP:0"];
    assert_eq!(shown(&home, &rooms, "room_peers"), r#"["a=b@http:1", "c=d@udp:0"]"#);
    assert_eq!(shown(&home, &["--legacy-host", "::1", "--legacy-room", "lobby"], "legacy.room"), "\"lobby\"");
}

#[test]
fn what_print_config_shows_is_taken_back_whole() {
    let home = Home::new();
    let mut arguments = vec!["--print-config".to_owned()];
    for (key, _) in Config::keys() {
        let value = match key {
            "admins" | "server.hosts" => "ann,bob",
            "server.origins" => "https://a.example,http://localhost:8080",
            "data" => "/srv/täst \"x\"",
            "memory" | "server.page" | "limits.loopback_exempt" => "false",
            "console.print_messages" => "true",
            "durability" => "os",
            "server.host" | "legacy.host" => "::1",
            "room_peers" => "a=b@http:1,c=d@udp:0",
            "syslog.to" => "udp:[::1]:514",
            "syslog.format" => "rfc3164",
            _ => "77",
        };
        arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let first = home.run(&arguments);
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""));
    assert!(first.out.matches("77").count() > 30, "{}", first.out);
    let path = home.write("printed.toml", &first.out);
    let second = home.run(&["--config", &path, "--print-config"]);
    assert_eq!(second.out, first.out);
    // The defaults too.
    let path = home.write("defaults.toml", home.run(&["--print-config"]).out);
    assert_eq!(home.run(&["--config", &path, "--print-config"]).out, home.run(&["--print-config"]).out);
}

#[test]
fn every_key_takes_the_value_that_is_shown_for_it() {
    let home = Home::new();
    let printed = home.run(&["--print-config"]).out;
    let table: toml::Table = printed.parse().unwrap();
    for (key, _) in Config::keys() {
        let value = key.split('.').try_fold(&toml::Value::Table(table.clone()), |value, part| value.get(part)).cloned();
        let value = value.unwrap_or_else(|| panic!("{key} in {printed}"));
        let ended = home.run(&["--print-config", "--set", &format!("{key}={value}")]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{key}={value}");
        assert_eq!(ended.out, printed, "{key}={value}");
    }
}

#[tokio::test]
async fn the_port_comes_from_the_flag_the_environment_the_file_or_the_default() {
    let home = Home::new();
    home.write("port.toml", "[server]\nport = 0\nhost = 'localhost'\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let in_file = || home.server(&["--memory", "--config", "port.toml"]);
    // With the variable it would listen where somebody does already.
    let ended = Ended::of(in_file().env("PORT", &port).output().unwrap());
    ended.failed(1, &[&format!("cannot listen on localhost:{port}: "), "--port"]);
    let mut command = in_file();
    command.env("PORT", &port).env("TALK_PORT", "0");
    assert_eq!(Durable::spawn(command).get("/healthz").await, (200, "ok\n".into()));
    assert_eq!(Durable::spawn(in_file()).get("/healthz").await.0, 200);
    let mut command = home.server(&["--memory", "--host", "::1", "--port=0"]);
    command.env("TALK_PORT", &port);
    assert!(Durable::spawn(command).at.is_ipv6());
    let ended = home.server(&["--memory"]).env("PORT", "nonsense").output().unwrap();
    Ended::of(ended).refused(&["PORT: server.port = \"nonsense\""]);
}

#[tokio::test]
async fn a_limit_that_was_set_holds() {
    let home = Home::new();
    let server = home.start(&["--memory", "--set", "limits.message=5", "--set", "limits.http_body=100"]);
    let mut ann = server.join("ann").await;
    ann.say("12345").await;
    assert_eq!(ann.hear().await, said("ann", "12345"));
    ann.say("123456").await;
    assert_eq!(ann.system().await, "cannot parse 'body' arg of message command");
    assert_eq!(status(&server.auth(&format!("{{\"nickname\":\"{}\"}}", "x".repeat(100))).await), 413);
}

#[tokio::test]
async fn the_rate_limit_can_be_switched_off() {
    let home = Home::new();
    let server = home.start(&["--memory", "--set", "limits.commands_per_second=0"]);
    let mut ann = server.join("ann").await;
    for n in 0..300 {
        ann.say(&n.to_string()).await;
    }
    for n in 0..300 {
        assert_eq!(ann.hear().await, said("ann", &n.to_string()));
    }
}

#[test]
fn a_host_for_wires_that_cannot_be_had_is_an_error_though_nobody_named_a_port() {
    let home = Home::new();
    // Not one of this machine's addresses (RFC 5737).
    let ended = home.run(&["--memory", "--port", "0", "--legacy-host", "192.0.2.1"]);
    ended.failed(1, &["cannot listen for pair chat on 192.0.2.1:6078: ", "--legacy-host"]);
}

#[tokio::test]
async fn a_wires_usual_port_that_is_taken_is_a_warning_and_one_that_was_asked_for_an_error() {
    let home = Home::new();
    let _alone = USUAL_PORTS.lock().await;
    // Whoever else has it: it is taken.
    let _taken = std::net::TcpListener::bind("127.0.0.1:6078");
    let mut command = home.server(&["--memory", "--port", "0", "--pair-port", "usual"]);
    command.stderr(std::process::Stdio::piped());
    let mut server = Durable::spawn(command);
    assert_eq!(server.get("/healthz").await.0, 200);
    let mut warned = String::new();
    let mut errors = std::io::BufReader::new(server.child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut errors, &mut warned).unwrap();
    for words in ["WARN", "pair chat", "6078", "--pair-port"] {
        assert!(warned.contains(words), "{words} in {warned}");
    }
    server.signal("TERM");
    assert_eq!(server.ended().await.1, "", "a wire that is not open is not named");
    let asked = home.run(&["--memory", "--port", "0", "--pair-port", "6078"]);
    asked.failed(1, &["cannot listen for pair chat on 127.0.0.1:6078: ", "--pair-port, or off"]);
}

#[test]
fn whoever_starts_it_on_a_terminal_is_told_what_to_open_in_a_browser() {
    let home = Home::new();
    for (arguments, at) in [
        (["--host", "127.0.0.1"], Some("127.0.0.1")),
        // That is where it listens, and nothing to go to.
        (["--host", "0.0.0.0"], Some("127.0.0.1")),
        (["--set", "server.page=false"], None),
    ] {
        let mut command = home.server(&["--memory", "--port", "0"]);
        command.args(arguments).envs(NO_WIRES.map(|variable| (variable, "off"))).env("RUST_LOG", "error");
        let mut server = Terminal::start(command);
        server.sees("talk-server listening on http://");
        let line = server.pty.read_line().unwrap();
        let port = line.trim_end().rsplit(':').next().unwrap();
        if let Some(at) = at {
            server.sees(&format!("to chat, open http://{at}:{port}/ in a browser\r\n"));
        }
        server.pty.send_control('c').unwrap();
        let rest = server.pty.exp_eof().unwrap();
        assert!(!rest.contains("open"), "{rest}");
    }
}
