//! Direct messages to peers over real sockets: by `peer:NAME`, and by the nickname of one who is in a room.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use common::fake_websocket::{FakeWebSocket, Reply};
use common::raw;
use common::raw_websocket::{self, read_text};
use common::room_peers::{Ear, World, heard, message, say_http, say_udp, websocket};
use common::rooms::Client;
use serde_json::{Value, json};
use talk::limits::Limits;
use talk::message::{Command, Delivery, Event, MessageId};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Listens, takes every connection, and never answers; the port.
async fn hole() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut taken: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            taken.push(stream);
        }
    });
    (port, task)
}

/// What is heard last of a message.
async fn last_word(client: &mut Client, id: &str) -> Value {
    let search = async {
        loop {
            let receipt = client.of_type("receipt").await;
            if receipt["id"] == id && receipt["state"] != "sent" {
                return receipt;
            }
        }
    };
    timeout(raw::LONG, search).await.expect("there is a last word")
}

#[tokio::test]
async fn a_peer_that_never_answers_holds_up_nobody_elses_message() {
    let mut limits = Limits::default();
    limits.request_timeout = Duration::from_secs(300);
    let world = World::with(&limits).await;
    let ((port, holding), mut bob) = (hole().await, Ear::http(HERE).await);
    world.register("hole", "HTTP", "127.0.0.1", port, None).await;
    world.register("bob", "HTTP", "127.0.0.1", bob.port, None).await;
    let direct = |to: &str, id: &str| {
        let (body, id) = (format!("hi {id}").into(), Some(MessageId::new(id).unwrap()));
        Command::Direct { to: to.into(), body, id }
    };
    let mut many = Vec::new();
    for user in 0..300 {
        let (mut seat, heard) = world.rooms.hub.sit(&format!("eve{user}")).await.unwrap();
        seat.run(direct("peer:hole", "1")).await.unwrap();
        many.push((seat, heard));
    }
    let (mut ann, mut told) = world.rooms.hub.sit("ann").await.unwrap();
    ann.run(direct("peer:hole", "1")).await.unwrap();
    ann.run(direct("peer:bob", "2")).await.unwrap();
    let delivered = async {
        loop {
            if let Event::DirectReceipt { id, state, .. } = told.next().await.unwrap()
                && id.as_str() == "2"
            {
                return state;
            }
        }
    };
    assert_eq!(timeout(raw::LONG, delivered).await.expect("it is delivered meanwhile"), Delivery::Delivered);
    assert_eq!(bob.message().await, ("ann".into(), "hi 2".into()));
    // The same again is told again, and not sent again.
    for (to, id) in [("peer:bob", "2"), ("peer:bob", "3")] {
        ann.run(direct(to, id)).await.unwrap();
    }
    assert_eq!(bob.message().await, ("ann".into(), "hi 3".into()));
    let mut states = Vec::new();
    while states.len() < 2 {
        match timeout(raw::LONG, told.next()).await.unwrap().unwrap() {
            Event::DirectReceipt { id, state, .. } if id.as_str() != "1" => states.push((id.to_string(), state)),
            _ => {}
        }
    }
    states.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(states, [("2".into(), Delivery::Delivered), ("3".into(), Delivery::Delivered)]);
    ann.run(direct("peer:bob", "4")).await.unwrap();
    assert_eq!(bob.message().await.1, "hi 4");
    holding.abort();
    world.stop().await;
}

#[tokio::test]
async fn a_member_by_its_nickname_is_reached_as_delivered_or_unconfirmed_over_every_protocol() {
    let mut limits = Limits::default();
    (limits.request_timeout, limits.confirm_timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    let mut world = World::with(&limits).await;
    let (by_http, by_socket, by_udp) =
        (world.lobby("http").await, world.open("global=hall@websocket:0").await, world.open("global=yard@udp:0").await);
    let ((port, holding), mut bob) = (hole().await, Ear::http(HERE).await);
    let mut cid = websocket().await;
    let mut mute = FakeWebSocket::start("/v1/message", None, |_| Reply::Nothing).await;
    let mut dan = Ear::udp(HERE).await;
    world.register("hole", "HTTP", "127.0.0.1", port, None).await;
    world.register("bob", "HTTP", "127.0.0.1", bob.port, None).await;
    world.register("cid", "WEBSOCKET", "127.0.0.1", cid.port, None).await;
    world.register("mute", "WEBSOCKET", "127.0.0.1", mute.port, None).await;
    world.register("dan", "UDP", "127.0.0.1", dan.port, Some(&["ack"])).await;
    let mut eve = world.rooms.rich("eve").await;
    // Each speaks in the room, and is written to before anybody else speaks there.
    let mut ann = world.rooms.join("ann").await;
    for (name, state) in [
        ("hole", "unconfirmed"),
        ("bob", "delivered"),
        ("cid", "delivered"),
        ("mute", "unconfirmed"),
        ("dan", "delivered"),
    ] {
        match name {
            "hole" | "bob" => assert_eq!(raw::status(&say_http(HERE, by_http, name, "hi").await), "200"),
            "dan" => assert!(say_udp(HERE, by_udp, name, "hi", 100).await),
            _ => {
                let (mut socket, _) = raw_websocket::open(by_socket, "/v1/message", "").await;
                let said = json!({ "user": name, "text": "hi" }).to_string();
                socket.write_all(&raw_websocket::text(&said)).await.unwrap();
                assert_eq!(read_text(&mut socket).await, "OK");
            }
        }
        assert_eq!(heard(&mut ann).await, (name.into(), "hi".into()));
        eve.command("direct", json!({ "to": name, "body": "psst", "id": name })).await;
        let receipt = last_word(&mut eve, name).await;
        assert_eq!((&receipt["state"], &receipt["to"]), (&json!(state), &json!(name)), "{receipt}");
        let reason = (state == "unconfirmed").then_some("timed out");
        assert_eq!(receipt["reason"].as_str(), reason, "{receipt}");
    }
    // What comes to one alone comes under its author's name.
    let psst = ("eve".to_owned(), "psst".to_owned());
    while dan.message().await != psst {}
    while message(&mute.next().await) != psst {}
    while message(&cid.next().await) != psst {}
    while bob.message().await != psst {}
    holding.abort();
    world.stop().await;
}
