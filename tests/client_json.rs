//! `talk-client --json`: one object for each event on stdout, commands on stdin; and a bot that is a shell script.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::json_program::Program;
use common::programs::{Home, RegistryProgram};
use common::wires_program::WiresProgram;
use serde_json::{Value, json};

#[test]
fn a_room_speaks_json_both_ways() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let (mut ann, hello) = Program::connected(server.room(&home, "ann", "--json"));
    assert_eq!((hello["mode"].as_str(), hello["version"].as_str()), (Some("room"), Some(env!("CARGO_PKG_VERSION"))));
    assert!(hello["can"].as_array().unwrap().contains(&json!("search")), "{hello}");
    assert_eq!(ann.event("selected")["to"], "global");
    let (mut bob, _) = Program::connected(server.room(&home, "bob", "--json"));
    let joined = ann.event("happened");
    assert_eq!(joined, json!({"event": "happened", "what": "joined", "room": "global", "user": "bob"}));
    ann.tell(json!({"do": "say", "text": "hi\nthere", "ref": {"my": 7}}));
    let taken = ann.event("taken");
    assert_eq!(taken["ref"], json!({"my": 7}));
    let heard = bob.event("message");
    for (key, value) in [
        ("from", json!("ann")),
        ("text", json!("hi\nthere")),
        ("place", json!("room")),
        ("room", json!("global")),
        ("own", json!(false)),
        ("past", json!(false)),
        ("id", taken["id"].clone()),
    ] {
        assert_eq!(heard[key], value, "{heard}");
    }
    let mut states = Vec::new();
    loop {
        let event = ann.find(|event| event["event"] == "state");
        assert_eq!(event["id"], taken["id"]);
        states.push(event["state"].as_str().unwrap().to_owned());
        if event["state"] == "delivered" {
            assert_eq!((&event["by"], &event["of"]), (&json!(1), &json!(1)));
            break;
        }
    }
    assert_eq!(states, ["queued", "sent", "accepted", "delivered"]);
    bob.tell(json!({"do": "say", "to": "ann", "text": "psst"}));
    let direct = ann.find(|event| event["event"] == "message" && event["own"] == false);
    assert_eq!((&direct["place"], &direct["room"], &direct["text"]), (&json!("direct"), &Value::Null, &json!("psst")));
    ann.tell(json!({"do": "users"}));
    assert_eq!(ann.event("users")["names"].as_array().unwrap().len(), 2);
    ann.tell(json!({"do": "rooms"}));
    assert_eq!(ann.event("rooms")["names"], json!(["global"]));
    ann.tell(json!({"do": "search", "text": "there"}));
    assert_eq!(ann.event("found")["messages"][0]["text"], "hi\nthere");
    ann.tell(json!({"do": "history", "limit": 5}));
    assert_eq!(ann.event("history_end")["complete"], true);
    ann.tell(json!({"do": "rename", "name": "anna"}));
    assert_eq!(ann.find(|event| event["what"] == "renamed")["to"], "anna");
    // Lines as people type them do as well.
    ann.0.type_line("plain words");
    assert_eq!(bob.event("message")["text"], "plain words");
    ann.0.type_line(":status");
    assert_eq!(ann.event("status")["to"], "global");
    ann.0.type_line(":help");
    assert!(ann.event("answer")["text"].as_str().unwrap().contains(":search"));
    ann.tell(json!({"do": "exit"}));
    assert_eq!(ann.event("ended"), json!({"event": "ended", "how": "left", "unsettled": 0}));
    let done = ann.0.wait();
    assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
}

#[test]
fn what_was_not_done_is_an_event_and_the_exit_code_tells() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    for (line, kind) in [
        ("{\"do\":\"fly\"}", "error"),
        ("{broken", "error"),
        (":nope", "error"),
        ("{\"do\":\"own\",\"command\":\"x\"}", "error"),
        ("{\"do\":\"enter\",\"room\":\"no/room\"}", "refused"),
    ] {
        let (mut ann, _) = Program::connected(server.room(&home, "ann", "--json --forget"));
        ann.0.type_line(line);
        let event = ann.event(kind);
        let reason = event.get("text").or_else(|| event.get("reason")).unwrap();
        assert!(!reason.as_str().unwrap().is_empty(), "{event}");
        let done = ann.0.finish();
        assert_eq!((done.code(), done.err.as_str()), (Some(1), ""), "{line}: {done:?}");
    }
}

#[test]
fn a_program_follows_a_server_that_is_killed_and_comes_back() {
    let home = Home::new();
    let mut server = WiresProgram::start(&home);
    let (mut ann, _) = Program::connected(server.room(&home, "ann", "--json"));
    server.kill();
    let lost = ann.event("lost");
    assert!(lost["retry_ms"].as_u64().is_some() && lost["reason"].is_string(), "{lost}");
    ann.tell(json!({"do": "say", "text": "meanwhile"}));
    let id = ann.event("taken")["id"].clone();
    server.revive();
    assert_eq!(ann.event("connected")["resumed"], true);
    ann.find(|event| event["event"] == "state" && event["id"] == id && event["state"] == "accepted");
    assert_eq!(ann.0.finish().code(), Some(0));
    server.kill();
    let mut ann = Program::start(server.room(&home, "ann", "--json --once"));
    assert!(ann.event("error")["text"].as_str().unwrap().starts_with("cannot reach 127.0.0.1:"));
    assert_eq!(ann.event("ended")["how"], "lost");
    assert_eq!(ann.0.wait().code(), Some(4));
}

#[test]
fn pair_and_console_speak_json_too() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let (mut ann, _) = Program::connected(server.room(&home, "ann", "--json"));
    let pair = format!("pair --json --port {} --nick alice --to global", server.pair);
    let (mut alice, hello) = Program::connected(home.client(&pair));
    assert_eq!((&hello["mode"], &hello["can"]), (&json!("pair"), &json!(["say", "select"])));
    assert_eq!(alice.event("selected")["to"], "global");
    let console = format!("console --json --port {} --username carl", server.console);
    let (mut carl, hello) = Program::connected(home.client(&console));
    assert_eq!((&hello["mode"], &hello["can"]), (&json!("console"), &json!(["say", "users", "own"])));
    alice.tell(json!({"do": "say", "text": "by pair"}));
    carl.tell(json!({"do": "say", "text": "by console"}));
    let mut heard = [ann.event("message"), ann.event("message")].map(|event| event["text"].clone().to_string());
    heard.sort_unstable();
    assert_eq!(heard, ["\"by console\"", "\"by pair\""]);
    carl.tell(json!({"do": "users"}));
    assert_eq!(carl.event("users")["names"], json!(["3"]));
    carl.tell(json!({"do": "own", "command": "current_time"}));
    assert!(carl.event("notice")["text"].as_str().unwrap().starts_with("Current time: "));
    for program in [ann, alice, carl] {
        let done = program.0.finish();
        assert_eq!((done.code(), done.err.as_str()), (Some(0), ""), "{done:?}");
    }
    // Who is not asked on a terminal says it in the first lines.
    let mut dora = Program::start(home.client(&format!("console --json --port {}", server.console)));
    dora.0.type_line("dora");
    assert_eq!(dora.event("connected")["name"], "dora");
}

#[test]
fn a_peer_speaks_json_too() {
    let home = Home::new();
    let registry = RegistryProgram::start(&home);
    let peer = |name: &str| home.client(&format!("--json --name {name} --port 0 --registry {}", registry.url));
    let (mut ann, hello) = Program::connected(peer("ann"));
    assert_eq!((&hello["mode"], &hello["can"]), (&json!("peer"), &json!(["say", "direct", "users", "select"])));
    let users = ann.event("users");
    assert_eq!(users["names"], json!(["ann"]));
    assert!(users["addresses"]["ann"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{users}");
    let (mut bob, _) = Program::connected(peer("bob"));
    ann.tell(json!({"do": "say", "text": "too early"}));
    assert!(ann.event("error")["text"].as_str().unwrap().contains("nobody is chosen"));
    ann.tell(json!({"do": "select", "to": "bob"}));
    assert_eq!(ann.event("selected")["to"], "bob");
    ann.tell(json!({"do": "say", "text": "hi", "ref": 1}));
    let taken = ann.event("taken");
    assert_eq!(taken["ref"], 1);
    let delivered = ann.find(|event| event["event"] == "state" && event["state"] == "delivered");
    assert_eq!(delivered["id"], taken["id"]);
    let heard = bob.event("message");
    assert_eq!((&heard["from"], &heard["text"], &heard["place"]), (&json!("ann"), &json!("hi"), &json!("direct")));
    bob.tell(json!({"do": "say", "to": "nobody", "text": "boo"}));
    let failed = bob.find(|event| event["event"] == "state" && event["state"] == "failed");
    assert!(failed["reason"].is_string(), "{failed}");
    bob.tell(json!({"do": "rooms"}));
    bob.event("error");
    ann.tell(json!({"do": "users"}));
    assert_eq!(ann.event("users")["names"], json!(["ann", "bob"]));
    ann.tell(json!({"do": "exit"}));
    assert_eq!(ann.event("ended")["how"], "left");
    // She was told of a text that went nowhere; so was he.
    for (program, code) in [(ann, 1), (bob, 1)] {
        let done = program.0.finish();
        assert_eq!((done.code(), done.err.as_str()), (Some(code), ""), "{done:?}");
    }
}

#[test]
fn a_shell_script_of_ten_lines_is_a_bot() {
    let home = Home::new();
    let server = WiresProgram::start(&home);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bot.sh");
    assert!(std::fs::read_to_string(&script).unwrap().lines().count() <= 10);
    let (mut ann, _) = Program::connected(server.room(&home, "ann", "--json"));
    let binaries = Path::new(env!("CARGO_BIN_EXE_talk-client")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let mut command = home.command("sh");
    command.env("PATH", path).arg(script).args([&server.url(), "bot"]);
    let mut bot = command.spawn().unwrap();
    ann.find(|event| event["what"] == "joined" && event["user"] == "bot");
    ann.tell(json!({"do": "say", "text": "not \"text\":\"ping\" at all"}));
    ann.tell(json!({"do": "say", "text": "ping"}));
    let answer = ann.find(|event| event["event"] == "message" && event["from"] == "bot");
    assert_eq!(answer["text"], "pong");
    ann.tell(json!({"do": "say", "text": "bye"}));
    assert_eq!(ann.find(|event| event["what"] == "left")["user"], "bot");
    assert_eq!(bot.wait().unwrap().code(), Some(0));
}
