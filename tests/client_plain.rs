//! `talk-client` on pipes: options, exit codes, what goes to stdout and to stderr, and every command.
#![cfg(all(feature = "sqlite", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::programs::{ClientProgram, Finished, Home, RegistryProgram, free_port, http, say, send, try_send};

/// Runs a client with this input to its end.
fn run(home: &Home, registry: &RegistryProgram, arguments: &str, input: &str) -> Finished {
    let mut client = ClientProgram::start(home.client(&format!("--registry {} --port 0 {arguments}", registry.url)));
    for line in input.lines() {
        client.type_line(line);
    }
    client.finish()
}

fn start(home: &Home, registry: &RegistryProgram, arguments: &str) -> (ClientProgram, u16) {
    ClientProgram::start_and_greet(home.client(&format!("--registry={} --port=0 {arguments}", registry.url)))
}

fn alone(home: &Home, arguments: &str) -> Finished {
    ClientProgram::start(home.client(arguments)).finish()
}

#[test]
fn help_and_version_go_to_stdout_and_end_well() {
    let home = Home::new();
    for arguments in ["-h", "--help", "--name=ann --help"] {
        let done = alone(&home, arguments);
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""));
        let help = done.out.join("\n");
        for wanted in ["Usage: talk-client", "--public-url", "http://127.0.0.1:8088", "Examples:", "TALK_NAME"] {
            assert!(help.contains(wanted), "{wanted}: {help}");
        }
    }
    let done = alone(&home, "--version");
    assert_eq!((done.code(), done.out), (Some(0), vec![format!("talk-client {}", env!("CARGO_PKG_VERSION"))]));
}

#[test]
fn usage_errors_exit_2_and_say_where_the_mistake_is() {
    let home = Home::new();
    for (arguments, wanted) in [
        ("", "--name NAME"),
        ("--nmae=ann", "did you mean --name?"),
        ("--name", "needs a value"),
        ("--name=a/b", "--name \"a/b\""),
        ("--name=ann --port=http", "--port \"http\": a port is"),
        ("--name=ann --protocol=tcp", "http, udp or websocket"),
        ("--name=ann --port=65536", "from 0 to 65535"),
        ("--name=ann --host=0.0.0.0", "--public-url"),
        ("--name=ann --host=0.0.0.0 --port=0", "http://192.0.2.7:8080"),
        ("--name=ann --registry=ftp://a", "--registry \"ftp://a\": no address of a registry: it looks like http://"),
        ("--name=ann --host=::", "--public-url"),
        ("--name=ann --config=/nonexistent.toml", "/nonexistent.toml"),
        ("--name=ann surplus", "\"surplus\" belongs to no option"),
    ] {
        let done = alone(&home, arguments);
        assert_eq!((done.code(), done.out.len()), (Some(2), 0), "{arguments}: {done:?}");
        assert!(done.err.contains(wanted) && done.err.contains("--help"), "{arguments}: {}", done.err);
        assert!(done.err.starts_with("talk-client: "), "{}", done.err);
    }
}

#[test]
fn an_option_wins_over_the_environment_that_over_the_file_and_that_over_the_default() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let directory = home.path().join(".config/talk");
    fs::create_dir_all(&directory).unwrap();
    let file = format!("name = 'file'\nprotocol = 'udp'\nregistry = '{}'\nport = 0\n", registry.url);
    fs::write(directory.join("client.toml"), &file).unwrap();
    let greeting = |arguments: &str, variables: &[(&str, &str)]| {
        let mut command = home.client(arguments);
        command.envs(variables.iter().copied());
        let done = ClientProgram::start(command).finish();
        assert_eq!(done.code(), Some(0), "{done:?}");
        done.out[0].clone()
    };
    assert!(greeting("", &[]).starts_with("* you are file at udp://127.0.0.1:"));
    assert!(greeting("", &[("TALK_NAME", "env")]).starts_with("* you are env at udp://127.0.0.1:"));
    let both = greeting("--name option", &[("TALK_NAME", "env"), ("TALK_PROTOCOL", "http"), ("TALK_HOST", "::1")]);
    assert!(both.starts_with("* you are option at http://[::1]:"), "{both}");
    let other = home.path().join("other.toml");
    fs::write(&other, file.replace("'file'", "'other'")).unwrap();
    assert!(greeting("--config other.toml", &[]).starts_with("* you are other at"));
    assert!(greeting("", &[("TALK_CONFIG", other.to_str().unwrap())]).starts_with("* you are other at"));

    fs::write(directory.join("client.toml"), "nmae = 'x'").unwrap();
    let done = alone(&home, "--name ann");
    assert_eq!(done.code(), Some(2));
    assert!(done.err.contains("client.toml: unknown key \"nmae\""), "{}", done.err);
    let mut command = home.client("--name ann --config other.toml");
    command.env("TALK_PORT", "x");
    let done = ClientProgram::start(command).finish();
    assert!(done.code() == Some(2) && done.err.contains("TALK_PORT \"x\": a port is"), "{done:?}");
}

#[test]
fn a_script_that_sends_everything_ends_with_0_and_an_empty_stderr() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    for protocol in ["http", "udp"] {
        let (mut bob, _) = start(&home, &registry, &format!("--name bob --protocol {protocol}"));
        let long = "ж".repeat(700);
        let mut lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        lines.extend(["привет 👋 'one' \"two\" \\".into(), "  two spaces".into(), long, "::colon".into()]);
        let done = run(&home, &registry, "--name ann", &format!(":user bob\n{}\n:exit\nunread", lines.join("\n")));
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
        for line in &lines {
            let said = line.strip_prefix("::").map_or(line.clone(), |rest| format!(":{rest}"));
            assert_eq!(bob.line(|_| true), format!("ann: {said}"));
        }
        assert!(registry.users().get("ann").is_none(), "she signed off");
        assert_eq!(bob.finish().code(), Some(0));
    }
}

#[test]
fn the_end_of_input_is_an_exit_and_the_last_line_needs_no_line_break() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (mut bob, _) = start(&home, &registry, "--name bob");
    let mut command = home.command("sh");
    let client = env!("CARGO_BIN_EXE_talk-client");
    command.args(["-c", &format!("printf ':user bob\\nhi' | {client} -n ann -p 0 -r {}", registry.url)]);
    let done = ClientProgram::start(command).finish();
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""));
    assert_eq!(bob.line(|_| true), "ann: hi");
}

#[test]
fn a_peer_types_what_is_typed_in_every_other_mode() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (mut bob, _) = start(&home, &registry, "--name bob");
    let input = ":users\n:msg bob to you alone\n:status\n:to bob\nhi\n:status\n:quit\nnever said\n";
    let done = run(&home, &registry, "--name ann", input);
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    assert_eq!([bob.line(|_| true), bob.line(|_| true)], ["ann: to you alone", "ann: hi"]);
    let status: Vec<_> = done.out.iter().filter(|line| line.starts_with("* ")).skip(1).map(String::as_str).collect();
    assert!(status[0].starts_with("* you are ann at http://127.0.0.1:"), "{done:?}");
    assert_eq!(status[1], "* nobody is chosen; :user NAME chooses whom you write to");
    assert!(status[2].starts_with("* texts that wait: "), "{done:?}");
    assert_eq!(status[4], "* your texts go to bob");
    assert!(!done.out.iter().any(|line| line.contains("never said")), "{done:?}");
}

#[test]
fn mistakes_go_to_stderr_and_make_the_exit_code_1() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    registry.register("gone", "HTTP", free_port());
    for (input, wanted) in [
        ("hi", "nobody is chosen"),
        (":user", ":user needs a name"),
        (":user nobody", "there is no user nobody"),
        (":user a/b", "no user can have that name"),
        (":quite", "unknown command :quite; :help"),
        (":exit now", "takes nothing"),
        (":user gone\nhi you", "\u{201c}hi you\u{201d} did not reach gone: "),
        // Who was chosen before must not get what was meant for somebody else.
        (":user ann\n:user nobody\nsecret", "nobody is chosen"),
    ] {
        let done = run(&home, &registry, "--name ann", input);
        assert_eq!(done.code(), Some(1), "{input}: {done:?}");
        assert!(done.err.contains(wanted), "{input}: {}", done.err);
        assert!(!done.out.iter().any(|line| line.contains("secret") || line.contains(wanted)), "{done:?}");
        assert!(done.err.lines().all(|line| line.starts_with("talk-client: ")), "{}", done.err);
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_with_the_limit_and_shown_shortened() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (bob, _) = start(&home, &registry, "--name bob");
    let done = run(&home, &registry, "--name ann", &format!(":user bob\n{}\nhi", "x".repeat(20_000)));
    assert_eq!(done.code(), Some(1));
    assert!(done.err.contains("20000 bytes") && done.err.contains("16384") && done.err.len() < 300, "{}", done.err);
    assert_eq!(bob.finish().out.last().unwrap(), "ann: hi");
}

#[test]
fn a_user_whom_no_transport_reaches_cannot_be_chosen() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let body = r#"{"user":"far","address":{"protocol":"UNIX","locator":"/tmp/far.sock"}}"#;
    let answer = send(registry.authority(), "POST", "/v1/users", "application/vnd.talk.v2+json", body);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let done = run(&home, &registry, "--name ann", ":user far\nhi");
    assert_eq!(done.code(), Some(1));
    assert!(done.err.contains("far is at unix:/tmp/far.sock, which nothing here can reach"), "{}", done.err);
    assert!(
        done.err.contains("nobody is chosen") && done.out.iter().any(|l| l == "  far  unix:/tmp/far.sock"),
        "{done:?}"
    );
}

#[test]
fn update_shows_the_users_and_clears_a_choice_that_is_gone() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    registry.register("carol", "WEBSOCKET", 5);
    registry.register("bo", "UDP", 6);
    let (mut ann, port) = start(&home, &registry, "--name ann");
    ann.type_line(":user bo");
    ann.type_line(":update");
    assert_eq!(ann.line(|line| line.contains("users")), "3 users:");
    let list: Vec<String> = (0..3).map(|_| ann.line(|_| true)).collect();
    let own = format!("  ann    http://127.0.0.1:{port}  (you)");
    assert_eq!(list, [own.as_str(), "  bo     udp://127.0.0.1:6  (chosen)", "  carol  websocket://127.0.0.1:5"]);
    http(registry.authority(), "DELETE", "/v1/users/bo", "");
    ann.type_line(":update");
    ann.line(|line| line == "2 users:");
    ann.line(|line| line == "* bo is gone; nobody is chosen now");
    ann.type_line("hi");
    ann.type_line(":help");
    ann.line(|line| line.starts_with(":user NAME"));
    ann.line(|line| line.contains("::TEXT"));
    let done = ann.finish();
    assert!(done.err.contains("nobody is chosen") && done.code() == Some(1), "{done:?}");
}

#[test]
fn a_user_who_comes_later_is_found_by_name() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (mut ann, _) = start(&home, &registry, "--name ann");
    let (mut bob, _) = start(&home, &registry, "--name bob");
    ann.type_line(":user bob");
    ann.type_line("hi");
    assert_eq!(bob.line(|_| true), "ann: hi");
    assert_eq!(ann.finish().code(), Some(0));
}

#[test]
fn a_peer_that_cannot_confirm_counts_as_success_and_is_said_once() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    registry.register("old", "UDP", socket.local_addr().unwrap().port());
    let done = run(&home, &registry, "--name ann", ":user old\none\ntwo\n");
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    assert_eq!(done.out.iter().filter(|line| line.starts_with("* old confirms nothing")).count(), 1, "{done:?}");
    let mut datagram = [0; 1024];
    for text in ["one", "two"] {
        let (length, _) = socket.recv_from(&mut datagram).unwrap();
        assert_eq!(String::from_utf8_lossy(&datagram[..length]), format!(r#"{{"user":"ann","text":"{text}"}}"#));
    }
}

#[test]
fn a_taken_name_ends_the_start_and_leaves_the_entry_alone() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (first, _) = start(&home, &registry, "--name ann");
    let users = registry.users();
    let second = run(&home, &registry, "--name ann", "");
    assert_eq!((second.code(), second.out.len()), (Some(1), 0));
    assert!(second.err.contains("the name ann is taken") && second.err.contains("--name"), "{}", second.err);
    let elsewhere = run(&Home::new(), &registry, "--name ann", "");
    assert!(elsewhere.code() == Some(1) && elsewhere.err.contains("taken"), "{elsewhere:?}");
    assert_eq!(registry.users(), users);
    assert_eq!(first.finish().code(), Some(0));
    assert_eq!(registry.users(), serde_json::json!({}));
}

#[test]
fn after_a_crash_the_same_user_has_the_name_again_at_once() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (first, _) = start(&home, &registry, "--name ann");
    first.kill();
    assert!(registry.users().get("ann").is_some(), "nobody signed off");
    let done = run(&home, &registry, "--name ann", "");
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""));
    assert_eq!(registry.users(), serde_json::json!({}));
}

#[test]
fn talk_data_says_where_the_secrets_are() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let mut command = home.client(&format!("--name ann --port 0 --registry {}", registry.url));
    command.env("TALK_DATA", home.path().join("data"));
    assert_eq!(ClientProgram::start(command).finish().code(), Some(0));
    assert_eq!(fs::read_dir(home.path().join("data/client")).unwrap().count(), 2);
    assert!(!home.path().join(".local").exists());
}

#[test]
fn a_public_url_is_registered_instead_of_the_listening_address() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (ann, _) = start(&home, &registry, "--name ann --host 0.0.0.0 --public-url http://chat.example:9000");
    let wanted = serde_json::json!({"protocol": "HTTP", "host": "chat.example", "port": 9000});
    assert_eq!(registry.users()["ann"], wanted);
    assert_eq!(ann.finish().code(), Some(0));
}

#[test]
fn signals_sign_off() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    for signal in ["INT", "TERM", "HUP"] {
        let (mut ann, _) = start(&home, &registry, "--name ann");
        ann.signal(signal);
        assert_eq!(ann.wait().code(), Some(0), "{signal}");
        assert_eq!(registry.users(), serde_json::json!({}));
    }
}

#[test]
fn a_port_that_is_taken_is_told_with_advice() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let done = alone(&home, &format!("--name ann --registry {} --port {port}", registry.url));
    assert_eq!(done.code(), Some(1));
    assert!(done.err.contains(&format!("127.0.0.1:{port}")) && done.err.contains("--port 0"), "{}", done.err);
    assert_eq!(registry.users(), serde_json::json!({}));
}

#[test]
fn an_unreachable_registry_is_an_error_that_names_it_and_never_an_exit() {
    let home = Home::new();
    let registry = format!("http://127.0.0.1:{}", free_port());
    let mut ann = ClientProgram::start(home.client(&format!("--name ann --port 0 --registry {registry}")));
    ann.line(|line| line.starts_with("* you are ann"));
    ann.type_line(":update");
    ann.type_line(":user bob");
    ann.type_line(":help");
    ann.line(|line| line.starts_with(":exit"));
    let done = ann.finish();
    assert_eq!(done.code(), Some(1), "{done:?}");
    assert!(done.err.lines().count() >= 3 && done.err.contains(&registry), "{}", done.err);
    assert!(done.err.contains("cannot look up bob"), "{}", done.err);
}

#[test]
fn what_is_no_registry_is_told_as_what_it_looks_like() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (bob, at) = start(&home, &registry, "--name bob");
    let ends = |registry: &str| alone(&home, &format!("--name ann --port 0 --registry {registry}"));
    // A peer.
    let url = format!("http://127.0.0.1:{at}");
    let done = ends(&url);
    assert_eq!(done.code(), Some(1));
    let says = format!(
        "talk-client: what answers at {url} does not look like a registry (404: messages go to POST /v1/message); \
         --registry URL names another: "
    );
    assert!(done.err.starts_with(&says), "{}", done.err);
    bob.kill();
    // Something that speaks first, as minechat does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            stream.write_all(b"Hello %username%! Enter your personal hash\n").unwrap();
            kept.push(stream);
        }
    });
    let done = ends(&url);
    assert_eq!(done.code(), Some(1));
    // As no answer or before the question was asked, as it happens.
    let no_answer = format!("talk-client: what came from {url} is no answer of a registry: ");
    let too_early = ["received unexpected message", "connection was not ready"]
        .map(|why| format!("talk-client: cannot reach the registry at {url}: {why}"));
    let told = done.err.starts_with(&no_answer) || too_early.iter().any(|words| done.err.starts_with(words));
    assert!(told, "{}", done.err);
    assert!(done.err.contains("--registry URL names another: "), "{}", done.err);
    // Nobody at all.
    let url = format!("http://127.0.0.1:{}", free_port());
    let done = ends(&url);
    assert!(done.err.starts_with(&format!("talk-client: cannot reach the registry at {url}: ")), "{}", done.err);
    assert!(done.err.contains("; trying again (--registry URL names another: "), "{}", done.err);
}

#[test]
fn a_registry_that_comes_later_is_told_once_and_knows_the_client() {
    let home = Home::new();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let mut ann = ClientProgram::start(home.client(&format!("--name ann --port 0 --registry {url}")));
    ann.line(|line| line.starts_with("* you are ann"));
    let registry = RegistryProgram::start_on(&home, port);
    ann.line(|line| line == "* the registry answers again");
    assert!(registry.users().get("ann").is_some());
    let done = ann.finish();
    assert_eq!(done.err.matches("trying again").count(), 1, "{}", done.err);
    assert_eq!(done.out.iter().filter(|line| line.contains("answers again")).count(), 1, "{done:?}");
}

#[test]
fn a_registry_that_was_restarted_is_signed_off_from_too() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let port = registry.authority().rsplit(':').next().unwrap().parse().unwrap();
    let (mut ann, _) = start(&home, &registry, "--name ann");
    drop(registry);
    ann.type_line(":update");
    ann.type_line(":help");
    ann.line(|line| line.starts_with(":exit"));
    let registry = RegistryProgram::start_on(&home, port);
    ann.type_line(":update");
    ann.line(|line| line.contains("user"));
    let done = ann.finish();
    assert!(done.err.contains("cannot reach the registry"), "{}", done.err);
    assert_eq!(registry.users(), serde_json::json!({}));
}

#[test]
fn what_strangers_say_is_shown_as_one_harmless_line() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let (mut ann, port) = start(&home, &registry, "--name ann");
    let long = "y".repeat(9000);
    for (text, shown) in [
        (&*long, &*long),
        ("\u{1b}[2J\u{1b}]0;title\u{7}", "[2J]0;title"),
        ("\u{9b}31mred", "31mred"),
        ("hi\nbob: forged", "hi bob: forged"),
        ("hi\r\nbob: forged\u{2028}again", "hi bob: forged again"),
        ("\u{202e}dlrow", "\u{fffd}dlrow"),
        ("a\u{200b}b\u{2066}c\u{feff}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
        ("\u{8}\u{8}\u{8}\u{7f}x", "x"),
        ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
        ("", ""),
    ] {
        assert!(say(port, "mallory", text).starts_with("HTTP/1.1 200"));
        assert_eq!(ann.line(|_| true), format!("mallory: {shown}"), "{text:?}");
    }
    for name in ["mal\u{1b}[31m", "mal\u{202e}", "a\nb", "a: b", "*", "system"] {
        assert!(say(port, name, "hi").starts_with("HTTP/1.1 400"), "{name:?}");
    }
    let done = ann.finish();
    assert_eq!(done.code(), Some(0));
    assert!(!done.out.concat().chars().any(char::is_control), "{done:?}");
}

#[test]
fn what_a_registry_says_is_harmless_too() {
    let home = Home::new();
    let fake = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", fake.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in fake.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut head);
            let body = "no\u{1b}[31m\u{202e}\nroot: forged";
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 403 No\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    let done = alone(&home, &format!("--name ann --port 0 --registry {url}"));
    assert_eq!(done.code(), Some(1), "{done:?}");
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
    assert!(!done.err.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}'), "{:?}", done.err);
}

#[test]
fn a_reader_that_goes_away_ends_the_client_which_signs_off() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let client = env!("CARGO_BIN_EXE_talk-client");
    let mut command = home.command("sh");
    // `head` leaves after the greeting; the input stays open.
    let url = &registry.url;
    command.args(["-c", &format!("{client} -n ann -p 0 -r {url} | head -n 1; exec cat >/dev/null")]);
    let mut shell = ClientProgram::start(command);
    let greeting = shell.line(|line| line.starts_with("* you are ann"));
    let at = greeting.split("http://").nth(1).unwrap().split(';').next().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while registry.users().get("ann").is_some() {
        assert!(std::time::Instant::now() < deadline, "she is still there");
        // She notices with the next line that nobody reads.
        let _ = try_send(at, "POST", "/v1/message", "application/json", r#"{"user":"bob","text":"hi"}"#);
    }
}

#[test]
fn signals_end_a_client_whose_output_nobody_reads() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let port = free_port();
    // Kept open and never read.
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut command = home.client(&format!("--registry {} --name=ann --port {port}", registry.url));
    let mut client = command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let id = client.id().to_string();
    let signal = || assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    let mut done = Vec::new();
    if soon(|| registry.users().get("ann").is_some()) {
        done.push("registered");
    }
    let text = serde_json::json!({"user": "bob", "text": "x".repeat(1000)}).to_string();
    let at = format!("127.0.0.1:{port}");
    if soon(|| http(&at, "POST", "/v1/message", &text).starts_with("HTTP/1.1 503")) {
        done.push("full");
    }
    signal();
    if soon(|| registry.users().get("ann").is_none()) {
        done.push("signed off");
    }
    signal();
    if soon(|| client.try_wait().unwrap().is_some()) {
        done.push("ended");
    }
    let _ = client.kill();
    assert_eq!(done, ["registered", "full", "signed off", "ended"]);
    assert_eq!(client.wait().unwrap().code(), Some(130));
}

/// Whether something that another process does becomes so.
fn soon(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_while_it_signs_on_leaves_no_entry_behind() {
    let home = Home::new();
    // A registry that takes its time, and keeps entries for ever.
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", registry.local_addr().unwrap());
    let mut client = ClientProgram::start(home.client(&format!("--registry {url} --name=ann --port 0")));
    let id = client.id().to_string();
    let (tell, deleted) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut entry = serde_json::Value::Null;
        for stream in registry.incoming() {
            let (head, body) = read_request(stream.as_ref().unwrap());
            let answer = match head.split(' ').next().unwrap() {
                "POST" => {
                    Command::new("kill").args(["-s", "INT", &id]).status().unwrap();
                    // A client that does not wait for the answer closes the connection now.
                    let mut stream = stream.as_ref().unwrap();
                    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                    let _ = stream.read(&mut [0]);
                    entry = serde_json::from_slice::<serde_json::Value>(&body).unwrap()["address"].take();
                    "{}".to_owned()
                }
                "DELETE" => {
                    tell.send(()).unwrap();
                    "{}".to_owned()
                }
                _ if head.starts_with("GET /v1/users/ann ") => entry.to_string(),
                _ => serde_json::json!({"ann": entry}).to_string(),
            };
            let length = answer.len();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(stream.unwrap(), "{head}\r\ncontent-length: {length}\r\n\r\n{answer}");
        }
    });
    assert!(client.wait().code().is_some());
    assert!(deleted.try_recv().is_ok(), "the entry is still there");
}

fn read_request(stream: &std::net::TcpStream) -> (String, Vec<u8>) {
    let mut from = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let before = head.len();
        from.read_line(&mut head).unwrap();
        if let Some(value) = head[before..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    (head, body)
}
