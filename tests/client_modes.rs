//! `talk-client room`, `pair` and `console` on pipes: what is said arrives, its states are shown, a server that is killed
//! and comes back costs nothing that was typed.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use common::json_program::Program;
use common::programs::{ClientProgram, Finished, Home, RegistryProgram};
use common::wires_program::WiresProgram;
use serde_json::{Value, json};

/// Starts, and waits until there is a connection.
fn connected(command: Command) -> ClientProgram {
    let mut client = ClientProgram::start(command);
    client.line(|line| line.starts_with("* connected"));
    client
}

fn run(command: Command, input: &str) -> Finished {
    let mut client = ClientProgram::start(command);
    client.type_text(input);
    client.finish()
}

/// A console client past its prompt.
fn console(home: &Home, server: &WiresProgram, name: &str) -> ClientProgram {
    let mut client = ClientProgram::start(home.client(&format!("console --port {}", server.console)));
    client.line(|line| line == "Username:");
    client.type_line(name);
    client.line(|line| line == format!("* connected as {name}"));
    client
}

/// A pair client past its prompts.
fn pair(home: &Home, server: &WiresProgram, nick: &str, to: &str) -> ClientProgram {
    let mut client = ClientProgram::start(home.client(&format!("pair --ip=127.0.0.1 --port {}", server.pair)));
    client.line(|line| line == "Enter your username");
    client.type_line(nick);
    client.line(|line| line == "Enter destination username");
    client.type_line(to);
    client.line(|line| line == format!("* connected as {nick}"));
    client
}

#[test]
fn people_in_a_room_hear_each_other_and_see_what_became_of_their_texts() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut bob = connected(server.room(&home, "bob", ""));
    let mut ann = connected(server.room(&home, "ann", ""));
    bob.line(|line| line == "* ann joined");
    ann.type_line("hello, bob");
    assert_eq!(bob.line(|line| line.starts_with("ann")), "ann: hello, bob");
    // Bob's program took it.
    ann.line(|line| line == "* delivered to 1 of 1: \u{201c}hello, bob\u{201d}");
    bob.type_line(":message ann psst");
    assert_eq!(ann.line(|line| line.contains("bob:")), "#(direct) bob: psst");
    bob.line(|line| line == "* delivered to 1 of 1: \u{201c}psst\u{201d}");
    ann.type_line(":update");
    let users = ann.line(|line| line.contains(" in global"));
    assert!(users == "* 2 in global: ann, bob" || users == "* 2 in global: bob, ann", "{users}");
    ann.type_line(":create tea");
    ann.line(|line| line == "* your texts go to tea");
    ann.line(|line| line.contains("ann joined"));
    bob.type_line("still here?");
    assert_eq!(ann.line(|line| line.contains("bob:")), "#global bob: still here?");
    ann.type_line(":user bob");
    ann.line(|line| line == "* your texts go to bob");
    ann.type_line("yes");
    assert_eq!(bob.line(|line| line.contains("ann:")), "#(direct) ann: yes");
    ann.line(|line| line == "* delivered to 1 of 1: \u{201c}yes\u{201d}");
    ann.type_line(":status");
    ann.line(|line| line == "* connected as ann");
    ann.line(|line| line == "* texts that wait: 0");
    ann.type_line(":help");
    ann.line(|line| line.starts_with(":search TEXT"));
    for client in [ann, bob] {
        let done = client.finish();
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    }
}

#[test]
fn a_room_remembers_and_is_searched() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let done = run(server.room(&home, "ann", "--forget"), "one apple\ntwo pears\n:exit\nnever said\n");
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    let mut bob = connected(server.room(&home, "bob", "--history 5"));
    let old = bob.line(|line| line.contains("ann:"));
    assert!(old.starts_with("#(20") && old.ends_with(") ann: one apple"), "{old}");
    bob.line(|line| line.ends_with(") ann: two pears"));
    bob.line(|line| line == "* that is all that global keeps");
    bob.type_line(":search pears");
    bob.line(|line| line == "* 1 found in global with pears:");
    bob.line(|line| line.ends_with("ann: two pears"));
    bob.type_line(":search plums");
    bob.line(|line| line == "* nothing found in global with plums");
    let done = bob.finish();
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert!(!done.out.iter().any(|line| line.contains("never said")), "{done:?}");
}

#[test]
fn a_search_that_finds_more_than_is_shown_says_so_and_goes_on() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let lines: String = (1..=33).map(|n| format!("number {n}\n")).collect();
    let done = run(server.room(&home, "ann", "--forget"), &lines);
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    let mut bob = connected(server.room(&home, "bob", "--history 0"));
    bob.type_line(":search number");
    bob.line(|line| line == "* the 20 newest found in global with number; :more shows older ones:");
    bob.line(|line| line.ends_with("ann: number 14"));
    bob.line(|line| line.ends_with("ann: number 33"));
    bob.type_line(":more");
    bob.line(|line| line == "* 13 older found in global with number:");
    bob.line(|line| line.ends_with("ann: number 1"));
    bob.line(|line| line.ends_with("ann: number 13"));
    bob.type_line(":more");
    let done = bob.finish();
    assert!(done.err.contains("no search has anything older"), "{done:?}");
    let (mut eve, _) = Program::connected(server.room(&home, "eve", "--json"));
    eve.tell(json!({"do": "search", "text": "number"}));
    let found = eve.event("found");
    assert_eq!((&found["more"], found["messages"].as_array().unwrap().len()), (&json!(true), 20), "{found}");
    eve.tell(json!({"do": "search", "text": "number", "before": found["before"]}));
    let found = eve.event("found");
    assert_eq!((&found["more"], &found["before"]), (&json!(false), &Value::Null), "{found}");
    assert_eq!(found["messages"].as_array().unwrap().len(), 13);
}

#[test]
fn who_wants_a_room_that_there_is_not_is_told_how_to_make_it() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    for (language, hint) in [("en", "; :create tea makes it"), ("ru", "; её создаст :create tea")] {
        let done = run(server.room(&home, "ann", &format!("--room tea --lang {language}")), "");
        assert_eq!(done.err.trim_end(), format!("talk-client: room tea does not exist{hint}"), "{done:?}");
    }
}

#[test]
fn whoever_was_in_no_room_in_the_end_is_in_global_at_the_next_start() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let done = run(server.room(&home, "ann", "--room mistyped"), "");
    assert!(done.err.contains("room mistyped does not exist"), "{done:?}");
    for input in ["hello\n:leave\n", "hello again\n"] {
        let done = run(server.room(&home, "ann", ""), input);
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
        assert!(done.out.iter().any(|line| line == "* your texts go to global"), "{done:?}");
    }
}

#[test]
fn questions_at_the_end_of_a_pipe_are_answered() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let done = run(server.room(&home, "ann", ""), ":rooms\n:update\n");
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    for wanted in ["* rooms: global", "* 1 in global: ann"] {
        assert!(done.out.iter().any(|line| line == wanted), "{done:?}");
    }
}

#[test]
fn a_server_that_is_killed_under_a_room_costs_nothing_that_was_said() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let mut ann = connected(server.room(&home, "ann", ""));
    let mut bob = connected(server.room(&home, "bob", ""));
    ann.line(|line| line == "* bob joined");
    server.kill();
    for client in [&mut ann, &mut bob] {
        let lost = client.line(|line| line.contains("trying again"));
        assert!(lost.starts_with(&format!("* lost the connection to 127.0.0.1:{}: ", server.rooms)), "{lost}");
    }
    ann.type_line("said in the dark");
    ann.line(|line| line == "* queued: \u{201c}said in the dark\u{201d}");
    server.revive();
    ann.line(|line| line == "* connected again; nothing was missed");
    bob.line(|line| line.ends_with("ann: said in the dark"));
    for client in [ann, bob] {
        let done = client.finish();
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    }
}

#[test]
fn what_could_not_be_said_waits_for_the_next_start_and_what_was_missed_is_heard_then() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let done = run(server.room(&home, "ann", ""), "first\n");
    assert_eq!(done.code(), Some(0), "{done:?}");
    let done = run(server.room(&home, "bob", ""), "missed by ann\n");
    assert_eq!(done.code(), Some(0), "{done:?}");
    server.kill();
    let done = run(server.room(&home, "ann", ""), "for later\n");
    assert_eq!(done.code(), Some(1), "{done:?}");
    assert!(done.err.contains("1 of your messages wait for the next start"), "{done:?}");
    server.revive();
    let done = run(server.room(&home, "ann", ""), "");
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    for wanted in [
        "* kept from last time: \u{201c}for later\u{201d}",
        "* accepted: \u{201c}for later\u{201d}",
        "* connected again; nothing was missed",
    ] {
        assert!(done.out.iter().any(|line| line == wanted), "{wanted}: {done:?}");
    }
    assert!(done.out.iter().any(|line| line.ends_with("bob: missed by ann")), "{done:?}");
    let done = run(server.room(&home, "carol", "--history 10"), ":history\n");
    let said = |text: &str| done.out.iter().filter(|line| line.ends_with(text)).count();
    assert_eq!((said("ann: for later"), said("ann: first")), (2, 2), "once, shown twice: {done:?}");
}

#[test]
fn room_options_come_from_the_environment_and_the_file_too() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let file = home.path().join("client.toml");
    std::fs::write(&file, "nick = 'ann'\nroom = 'tea'\nhistory = 3\nname = 'of a peer'\n").unwrap();
    let mut command = home.client("room");
    command.env("TALK_SERVER", server.url()).env("TALK_CONFIG", &file).env("TALK_ROOM", "global");
    let done = run(command, "hi\n");
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    for wanted in ["* connected as ann", "* your texts go to global"] {
        assert!(done.out.iter().any(|line| line == wanted), "{done:?}");
    }
}

#[test]
fn exit_codes_tell_why_it_ended() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let _ann = connected(server.room(&home, "ann", ""));
    let other = Home::new();
    let done = run(server.room(&other, "ann", ""), "");
    assert_eq!(done.code(), Some(3), "{done:?}");
    assert!(done.err.starts_with("talk-client: not let in: "), "{done:?}");
    let mut nth = 0;
    for (input, wanted) in [
        (":nope", "unknown command :nope; :help"),
        (":enter nowhere at all", "nowhere at all"),
        (":message ghost boo", "ghost"),
        (&"x".repeat(70_000), "bytes"),
    ] {
        // Each by another name, as nobody waits until a server has let go of one.
        nth += 1;
        let done = run(server.room(&other, &format!("dora-{nth}"), "--forget"), &format!("{input}\n"));
        assert_eq!(done.code(), Some(1), "{done:?}");
        assert!(done.err.contains(wanted) && done.err.starts_with("talk-client: "), "{wanted}: {done:?}");
    }
    for (arguments, wanted) in [
        ("room", "--nick NICK"),
        ("room --nick=a\u{1}b", "--nick"),
        ("room --nick ann --server=https://a", "TLS"),
        ("room --nick ann --room a/b", "--room"),
        ("room --nick ann --history x", "a count is"),
        ("room --nick ann --account", "--secret-file"),
        ("room --nick ann --secret-file /nonexistent", "--secret-file"),
        ("room --nick ann --lang tlh", "a language is en or ru"),
        ("rom", "did you mean room?"),
        ("room --completions bash", "--completions stands before any command: talk-client --completions"),
        ("room --man", "--man stands before any command: talk-client --man"),
        ("pair --port x", "a port is"),
        ("console --host a/b", "--host"),
        ("pair --host a..b", "--host \"a..b\" is no host"),
        ("pair --path x", "--path \"x\" is no path"),
        ("pair --nick 1a", "--nick \"1a\" is no nickname here: 3 to 20 characters"),
        ("pair --nick ali\u{200b}ce", "is no nickname here"),
        ("pair --nick server", "--nick \"server\" is no nickname here"),
        ("pair --nick alice --to :quit:", "--to \":quit:\" is nobody's name"),
    ] {
        let done = run(home.client(arguments), "");
        assert_eq!((done.code(), done.out.len()), (Some(2), 0), "{arguments}: {done:?}");
        let command = arguments.split(' ').next().filter(|command| *command != "rom");
        let help = format!("\nTry 'talk-client {}--help'.\n", command.map(|c| format!("{c} ")).unwrap_or_default());
        assert!(done.err.contains(wanted) && done.err.ends_with(&help), "{arguments}: {done:?}");
    }
    let done = run(home.client("console --username a\u{1}b"), "");
    assert_eq!((done.code(), done.out.len()), (Some(2), 0), "{done:?}");
    assert!(done.err.starts_with("talk-client: --username \"a\\u{1}b\" is no name here"), "{done:?}");
    // What answers there is something else.
    let registry = RegistryProgram::start(&home);
    for wrong in [format!("http://127.0.0.1:{}", server.pair), format!("{}/chat", server.url()), registry.url.clone()] {
        let done = run(home.client(&format!("room --nick eve --forget --server {wrong}")), "");
        assert_eq!(done.code(), Some(3), "{done:?}");
        let told = format!("talk-client: not let in: {wrong} is not where the rooms of a talk-server are (40");
        assert!(done.err.starts_with(&told), "{done:?}");
        let advice = "; name the address that it says it listens on, such as http://127.0.0.1:7000\n";
        assert!(done.err.ends_with(advice), "{done:?}");
    }
    server.kill();
    let done = run(server.room(&other, "eve", "--once"), "");
    assert_eq!(done.code(), Some(4), "{done:?}");
    let unreached = format!("talk-client: cannot reach 127.0.0.1:{}: ", server.rooms);
    assert!(done.err.starts_with(&unreached) && !done.err.contains("again"), "{done:?}");
}

#[test]
fn an_input_that_cannot_be_read_is_told_once_and_ends_the_client() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    for command in [server.room(&home, "ann", ""), server.room(&home, "ann", "--json")] {
        let mut command = command;
        let output = command.stdin(std::fs::File::open(home.path()).unwrap()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!((output.status.code(), said.matches("cannot read the input").count()), (Some(1), 1), "{said}");
    }
}

#[test]
fn what_was_typed_is_said_also_when_nobody_reads_the_output_any_more() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut bob = console(&home, &server, "bob");
    let mut command = home.client(&format!("console --port {}", server.console));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut ann = command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let mut input = ann.stdin.take().unwrap();
    let texts = ["one", "two", "three", "four", "five"];
    for line in ["ann"].iter().chain(&texts) {
        writeln!(input, "{line}").unwrap();
    }
    // The wire takes four in a second, so that the first are told while the last wait.
    let mut lines = BufReader::new(reader).lines();
    lines.find(|line| line.as_ref().unwrap().contains("five")).unwrap().unwrap();
    drop(lines);
    for text in texts {
        bob.line(|line| line == format!("ann: {text}"));
    }
    assert_eq!(ann.wait().unwrap().code(), Some(1), "it could not show everything");
}

#[test]
fn an_account_is_entered_by_a_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let file = home.path().join("secret");
    std::fs::write(&file, "correct horse\n").unwrap();
    let arguments = format!("--forget --secret-file {}", file.display());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let done = run(server.room(&home, "ann", &arguments), "");
    assert_eq!(done.code(), Some(2), "{done:?}");
    assert!(done.err.contains("chmod 600"), "{done:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let done = run(server.room(&home, "ann", &arguments), "hi\n");
    assert_eq!(done.code(), Some(0), "{done:?}");
    // It is an account now: nobody else has the name, not even while she is away.
    let done = run(server.room(&home, "ann", "--forget"), "");
    assert_eq!(done.code(), Some(3), "{done:?}");
    let done = run(server.room(&home, "ann", &arguments), "again\n");
    assert_eq!(done.code(), Some(0), "{done:?}");
    std::fs::write(&file, "battery staple\n").unwrap();
    let done = run(server.room(&home, "ann", &arguments), "");
    assert_eq!(done.code(), Some(3), "{done:?}");
}

#[test]
fn what_strangers_say_and_are_called_is_shown_as_one_harmless_line() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut ann = connected(server.room(&home, "ann", ""));
    let mut mallory = ClientProgram::start(server.room(&home, "mallory", "--json"));
    for (text, shown) in [
        ("\\u001b]0;owned\\u0007\\u001b[2Jx", "mallory: ]0;owned[2Jx"),
        ("hi\\nann: forged\\u2028again", "mallory: hi ann: forged again"),
        ("\\u202elive", "mallory: \u{fffd}live"),
    ] {
        mallory.type_line(&format!("{{\"do\":\"say\",\"text\":\"{text}\"}}"));
        assert_eq!(ann.line(|line| line.starts_with("mallory")), shown);
    }
    // A nickname may look like much, but holds no '#'.
    let mut mallory = ClientProgram::start(home.client(&format!("console --port {}", server.console)));
    mallory.line(|line| line == "Username:");
    mallory.type_line("(direct) bob");
    ann.line(|line| line == "* (direct) bob joined");
    mallory.type_line("boo");
    assert_eq!(ann.line(|line| line.ends_with("boo")), "(direct) bob: boo");
}

#[test]
fn two_pair_chatters_talk_as_they_are_used_to() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut bobby = pair(&home, &server, "bobby", "global");
    let mut alice = pair(&home, &server, "alice", "bobby");
    alice.line(|line| line == "* your texts go to bobby");
    alice.type_line("hello");
    assert_eq!(bobby.line(|line| line.starts_with("alice")), "alice: hello");
    alice.line(|line| line == "* delivered to 1 of 1: \u{201c}hello\u{201d}");
    alice.type_line(":quit:");
    bobby.line(|line| line == "* alice left");
    let done = alice.wait();
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    let mut alice = pair(&home, &server, "alice", "global");
    bobby.type_line(":user alice");
    bobby.line(|line| line == "* your texts go to alice");
    bobby.type_line("welcome back");
    alice.line(|line| line == "bobby: welcome back");
    let taken = run(home.client(&format!("pair --port {} --nick alice --to global", server.pair)), "");
    assert_eq!(taken.code(), Some(3), "{taken:?}");
    let done = run(home.client(&format!("pair --port {} --nick 1a --to global", server.pair)), "");
    assert_eq!(done.code(), Some(2), "{done:?}");
}

#[test]
fn console_chatters_type_the_commands_they_know() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let mut alice = console(&home, &server, "alice");
    let mut bob = console(&home, &server, "bob");
    bob.type_line("hello");
    assert_eq!(alice.line(|line| line.starts_with("bob")), "bob: hello");
    bob.line(|line| line == "* sent: \u{201c}hello\u{201d}");
    alice.type_line("cmd!current_time");
    alice.line(|line| line.starts_with("* Current time: "));
    alice.type_line(":do participants_count");
    alice.line(|line| line == "* Participants count: 2");
    alice.type_line("cmd!start_game:rock");
    alice.line(|line| line.contains("Server option: "));
    bob.type_line("cmd!client_exit");
    let done = bob.wait();
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    alice.line(|line| line == "* bob left");
    let done = alice.finish();
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
}

#[test]
fn a_server_that_is_killed_under_pair_and_console_is_found_again() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let mut room = connected(server.room(&home, "carol", ""));
    let mut alice = pair(&home, &server, "alice", "global");
    alice.line(|line| line == "* your texts go to global");
    let mut bob = console(&home, &server, "bob");
    // A server that answered knows the name.
    bob.type_line(":update");
    bob.line(|line| line.ends_with(" here"));
    server.kill();
    for client in [&mut alice, &mut bob] {
        client.line(|line| line.starts_with("* Connection closed by the server ("));
        client.type_line("said in the dark");
        client.line(|line| line == "* queued: \u{201c}said in the dark\u{201d}");
    }
    server.revive();
    for client in [&mut alice, &mut bob] {
        client.line(|line| line == "* connected again");
    }
    // Whoever comes back later than the others is told what was said before.
    let heard = [room.line(|line| line.contains("dark")), room.line(|line| line.contains("dark"))];
    for name in ["alice", "bob"] {
        assert!(heard.iter().any(|line| line.ends_with(&format!("{name}: said in the dark"))), "{heard:?}");
    }
    for client in [alice, bob] {
        let done = client.finish();
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    }
}

#[test]
fn an_outage_is_told_once_and_what_was_never_sent_is_told_so() {
    let home = Home::new();
    // Whatever asks is read, and left alone.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = nobody.local_addr().unwrap();
    let (tell, tried) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in nobody.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {}
            let _ = tell.send(());
        }
    });
    let mut alice = ClientProgram::start(home.client(&format!("pair --port {} --nick alice --to bobby", place.port())));
    let lost = alice.line(|line| line.contains("trying again"));
    assert!(lost.starts_with(&format!("* Unable to connect to {place} (")), "{lost}");
    alice.type_line("is anybody there?");
    alice.line(|line| line.starts_with("* queued"));
    for _ in 0..4 {
        tried.recv().unwrap();
    }
    let done = alice.finish();
    assert_eq!(done.code(), Some(1), "{done:?}");
    assert_eq!(done.err, "talk-client: never sent: 1 of your messages\n");
    let told = done.out.iter().filter(|line| line.contains("trying again")).count();
    assert_eq!(told, 1, "{done:?}");
}

#[test]
fn the_language_is_that_of_the_environment_or_as_it_is_asked_for() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let russian = "* соединение есть, вы ann";
    for (arguments, variables, wanted) in [
        ("--lang ru", &[][..], russian),
        ("", &[("LC_ALL", "ru_RU.UTF-8")], russian),
        ("", &[("LC_MESSAGES", "ru_RU.UTF-8")], russian),
        ("--lang=en", &[("LC_ALL", "ru_RU.UTF-8")], "* connected as ann"),
        ("", &[("LC_ALL", "C"), ("LC_MESSAGES", "ru_RU.UTF-8")], "* connected as ann"),
        ("", &[("TALK_LANG", "ru"), ("LC_ALL", "C")], russian),
        ("", &[("TALK_LANG", "en"), ("LC_ALL", "ru_RU.UTF-8")], "* connected as ann"),
        ("--lang en", &[("TALK_LANG", "ru")], "* connected as ann"),
    ] {
        let mut command = server.room(&home, "ann", &format!("--forget {arguments}"));
        command.envs(variables.iter().copied());
        let done = run(command, ":help\n");
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
        assert!(done.out.iter().any(|line| line == wanted), "{done:?}");
        let russian_help = done.out.iter().any(|line| line.contains("показать комнаты"));
        assert_eq!(russian_help, wanted == russian, "{done:?}");
    }
    for command in ["--name ann", "room --nick ann", "pair", "console", "listen", "write -m hi", "register", "chat"] {
        let mut client = home.client(command);
        client.env("TALK_LANG", "tlh");
        let done = run(client, "");
        assert_eq!(done.code(), Some(2), "{command}: {done:?}");
        assert!(done.err.contains("TALK_LANG \"tlh\": a language is en or ru\n"), "{command}: {done:?}");
        let mut client = home.client(&format!("{command} --help"));
        client.env("TALK_LANG", "ru");
        let done = run(client, "");
        assert!(done.out.iter().any(|line| line == "Ключи:"), "{command}: {done:?}");
        // What can be set by the environment is named there, too.
        for variable in ["TALK_THEME", "TALK_LANG"] {
            assert!(done.out.iter().any(|line| line.contains(variable)), "{variable} of {command}: {done:?}");
        }
    }
    let done = run(server.room(&home, "ann", "--forget --lang ru"), "hello\n:nope\n");
    assert!(done.out.iter().any(|line| line == "* принято: «hello»"), "{done:?}");
    assert!(done.err.starts_with("talk-client: нет команды :nope"), "{done:?}");
    let registry = RegistryProgram::start(&home);
    let peer = format!("--name ann --port 0 --lang ru --registry {}", registry.url);
    let done = run(home.client(&peer), ":user nobody\n:help\n");
    assert_eq!(done.code(), Some(1), "{done:?}");
    assert!(done.err.contains("нет пользователя nobody"), "{done:?}");
    for wanted in ["* вы ann, адрес http://127.0.0.1:", "1 пользователь:", ":user ИМЯ"] {
        assert!(done.out.iter().any(|line| line.starts_with(wanted)), "{wanted}: {done:?}");
    }
    let done = run(home.client("console --lang ru --username anna --once --port 1"), "");
    assert!(done.err.contains("нет связи с 127.0.0.1:1: "), "{done:?}");
    let done = run(home.client("console --lang ru --once --port 1"), "аня\n");
    assert_eq!((done.code(), done.out.first().map(String::as_str)), (Some(4), Some("Имя:")), "{done:?}");
}
