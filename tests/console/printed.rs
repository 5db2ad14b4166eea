//! What a server prints of its console clients.

use talk::gateway::{ConsoleEvent, ConsoleEvents};
use talk::hub::Hub;

use crate::common::console::{Server, time_flies};

async fn line(events: &mut ConsoleEvents) -> String {
    events.next().await.unwrap().to_string()
}

/// A life at the port, as it is printed with and without what is said.
async fn lines(texts: bool) -> Vec<String> {
    time_flies();
    let (server, mut events) = Server::telling(Hub::new(), texts).await;
    let mut lines = vec![line(&mut events).await];
    assert_eq!(lines[0], format!("Listening for connections on 127.0.0.1:{}...", server.port));
    let mut stranger = server.connect().await;
    stranger.write("hello").await;
    assert!(stranger.ends().await);
    let mut alice = server.connect().await;
    let from = alice.stream.local_addr().unwrap();
    alice.write(r#"{"username":"alice"}"#).await;
    lines.push(line(&mut events).await);
    assert_eq!(lines[1], format!("Accepted new connection from {from}, username: alice"));
    alice.say("my secret\nClosed connection from: alice").await;
    alice.command("cmd!participants_count").await;
    let mut other = server.connect().await;
    alice.raw().await;
    other.write(r#"{"username":"alice"}"#).await;
    other.command("cmd!\u{1b}[2J\nnope").await;
    other.raw().await;
    other.command("cmd!client_exit").await;
    assert!(other.ends().await);
    drop(alice);
    while lines.last().unwrap() != "Closed connection from: alice" {
        lines.push(line(&mut events).await);
    }
    server.stop().await;
    assert!(events.next().await.is_none());
    lines.drain(..2);
    lines.retain(|line| !line.starts_with("Accepted new connection from 127.0.0.1:"));
    lines
}

#[tokio::test]
async fn every_line_is_the_one_of_the_contract_and_none_can_be_forged() {
    let expected = [
        "The client 'alice' has requested the command: 'cmd!participants_count'",
        "The client 'alice#2' has requested the command: 'cmd!\u{fffd}[2J nope'",
        "The client 'alice#2' has requested the command: 'cmd!client_exit'",
        "Closed connection from: alice#2",
        "Closed connection from: alice",
    ];
    assert_eq!(lines(false).await, expected);
}

#[tokio::test]
async fn what_is_said_is_printed_only_where_it_was_asked_for() {
    let lines = lines(true).await;
    assert_eq!(lines[0], "Received message from alice: my secret Closed connection from: alice");
    assert_eq!(lines.len(), 6);
}

#[tokio::test]
async fn lines_that_nobody_takes_hold_nobody_up() {
    let mut limits = talk::limits::Limits::default();
    (limits.events, limits.commands_per_second) = (4, 0);
    time_flies();
    let (server, mut events) = Server::telling(Hub::with_limits(&limits), true).await;
    let mut alice = server.join("alice").await;
    for n in 0..50 {
        alice.say(&n.to_string()).await;
    }
    alice.command("cmd!participants_count").await;
    alice.raw().await;
    assert!(matches!(events.next().await.unwrap(), ConsoleEvent::Lost(lost) if lost >= 48));
    assert!(matches!(events.next().await.unwrap(), ConsoleEvent::Listening(_)));
}
