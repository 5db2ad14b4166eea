//! Console chat as `talk-server` serves it: beside the rooms, with its bots, and with what it prints.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::BufRead;
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use common::console::{Client, message, object, system};
use common::durable::{Durable, NO_WIRES};
use common::programs::Home;
use common::raw::connect;
use common::rooms::said;
use common::server_program::Ended;

/// A server in memory with a console port, which is the second of the two.
fn start(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> (Durable, u16) {
    let mut command = home.server(&[&["--port", "0", "--memory", "--console-port", "0"], arguments].concat());
    command.envs(variables.iter().copied());
    let mut server = Durable::spawn(command);
    let port = next(&mut server);
    let port = port.strip_prefix("console on 127.0.0.1:").unwrap_or_else(|| panic!("{port}")).parse().unwrap();
    assert_eq!(next(&mut server), format!("Listening for connections on 127.0.0.1:{port}..."));
    (server, port)
}

/// The next line that it prints.
fn next(server: &mut Durable) -> String {
    let mut line = String::new();
    server.out.read_line(&mut line).unwrap();
    line.strip_suffix('\n').unwrap_or_else(|| panic!("{line:?} is no line")).to_owned()
}

async fn client(port: u16, name: &str) -> Client {
    let mut client = Client::over(connect(port).await);
    client.write(serde_json::json!({ "username": name }).to_string()).await;
    client
}

#[tokio::test]
async fn console_and_rooms_hear_each_other_and_what_happens_is_printed() {
    let home = Home::new();
    let (mut server, port) = start(&home, &[], &[]);
    let mut ann = server.join("ann").await;
    let mut bob = client(port, "bob").await;
    let from = bob.stream.local_addr().unwrap();
    assert_eq!(ann.system().await, "bob joined");
    assert_eq!(next(&mut server), format!("Accepted new connection from {from}, username: bob"));
    bob.say("hello from a console").await;
    assert_eq!(ann.hear().await, said("bob", "hello from a console"));
    ann.say("hello from a browser").await;
    assert_eq!(bob.raw().await, message("ann", "hello from a browser"));
    assert_eq!(ann.hear().await, said("ann", "hello from a browser"));
    // The same bots on both wires.
    ann.say("!count").await;
    assert_eq!(ann.hear().await, said("ann", "!count"));
    assert_eq!(ann.hear().await, said("talk", "Participants count: 2"));
    assert_eq!(bob.raw().await, message("ann", "!count"));
    assert_eq!(bob.raw().await, message("talk", "Participants count: 2"));
    bob.command("cmd!participants_count").await;
    assert_eq!(bob.raw().await, system("bob", "Participants count: 2"));
    assert_eq!(next(&mut server), "The client 'bob' has requested the command: 'cmd!participants_count'");
    ann.command("exit", serde_json::json!({})).await;
    assert_eq!(bob.raw().await, system("ann", "Client 'ann' left the chat"));
    bob.command("cmd!client_exit").await;
    assert!(bob.ends().await);
    assert_eq!(next(&mut server), "The client 'bob' has requested the command: 'cmd!client_exit'");
    assert_eq!(next(&mut server), "Closed connection from: bob");
    let carol = client(port, "carol").await;
    assert!(next(&mut server).ends_with("username: carol"));
    server.signal("TERM");
    let (status, rest) = server.ended().await;
    assert!(status.success());
    assert_eq!(rest, "Closed connection from: carol\n");
    assert!({ carol }.ends().await);
}

#[tokio::test]
async fn what_is_said_is_printed_when_it_is_asked_for() {
    let home = Home::new();
    let (mut server, port) = start(&home, &["--console-print-messages", "--legacy-room", "lobby"], &[]);
    let mut bob = client(port, "bob").await;
    bob.say("a\nClosed connection from: ann \u{1b}[2J").await;
    next(&mut server);
    assert_eq!(next(&mut server), "Received message from bob: a Closed connection from: ann [2J");
    // In the room that was chosen.
    let mut ann = server.join("ann").await;
    ann.command("switchroom", serde_json::json!({ "room": "lobby" })).await;
    assert_eq!(ann.system().await, "ann joined");
    bob.say("here").await;
    assert_eq!(ann.hear().await, said("bob", "here"));
}

#[tokio::test]
async fn the_time_is_the_local_time_of_the_server() {
    let home = Home::new();
    for (zone, hours) in [("JST-9", 9), ("Pacific/Honolulu", 14), ("UTC0", 0)] {
        let (_server, port) = start(&home, &[], &[("TZ", zone)]);
        let mut bob = client(port, "bob").await;
        bob.command("cmd!current_time").await;
        let (_, told) = bob.heard().await;
        let time = told.strip_prefix("Current time: ").unwrap_or_else(|| panic!("{told}"));
        let parts: Vec<u64> = time.split(':').map(|part| part.parse().unwrap()).collect();
        let told = parts[0] * 3600 + parts[1] * 60 + parts[2];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let late = (now + hours * 3600 + 86_400 - told) % 86_400;
        assert!(late < 60, "{zone}: {time} is told {late} seconds late");
    }
}

#[tokio::test]
async fn nobody_has_to_read_what_is_printed() {
    let home = Home::new();
    let (server, port) = start(&home, &["--set", "limits.commands_per_second=0"], &[]);
    let (mut ann, mut bob) = (client(port, "ann").await, client(port, "bob").await);
    // Far more than a pipe and the queue before it hold.
    let glued: String = (0..2000).map(|n| object("command", &format!("cmd!{n}{}", "x".repeat(100)))).collect();
    ann.write(glued).await;
    ann.say("still here").await;
    assert_eq!(bob.raw().await, message("ann", "still here"));
    server.signal("TERM");
    let (status, _) = server.ended().await;
    assert!(status.success());
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_an_error_that_names_it() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = home.server(&["--port", "0", "--memory", "--console-port", &port]);
    command.envs(NO_WIRES.map(|variable| (variable, "off")));
    Ended::of(command.output().unwrap()).failed(1, &[&format!("127.0.0.1:{port}"), "console chat", "--console-port"]);
}
