//! Peers in rooms over real sockets: who is heard, what everybody hears, and who gets nowhere.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::raw;
use common::raw_websocket::{self, read_close, read_text};
use common::room_peers::{ELSEWHERE, Ear, World, heard, message, say_http, say_udp, websocket};
use common::rooms::said;
use serde_json::{Value, json};
use talk::address::{Address, Protocol};
use talk::limits::Limits;
use talk::{Event, Peer};
use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How often something is said over UDP that is to be heard, and something that is not.
const TRIES: usize = 100;
const FEW: usize = 3;

#[tokio::test]
async fn peers_over_http_websocket_and_udp_and_rooms_hear_each_other_once_in_one_order() {
    let mut world = World::new().await;
    let (by_http, by_socket, by_udp) =
        (world.lobby("http").await, world.open("global=hall@websocket:0").await, world.open("global=yard@udp:0").await);
    let (mut bob, mut cid, mut dan) = (Ear::http(HERE).await, websocket().await, Ear::udp(HERE).await);
    world.register("bob", "HTTP", "127.0.0.1", bob.port, None).await;
    world.register("cid", "WEBSOCKET", "localhost", cid.port, None).await;
    world.register("dan", "UDP", "127.0.0.1", dan.port, Some(&["ack"])).await;
    let mut ann = world.rooms.join("ann").await;

    let taken = say_http(HERE, by_http, "bob", "from bob").await;
    assert!(taken.starts_with("HTTP/1.1 200 OK\r\n") && taken.ends_with("\r\n\r\n{\"status\":\"ok\"}"), "{taken}");
    assert_eq!(heard(&mut ann).await, ("bob".into(), "from bob".into()));
    let (mut socket, _) = raw_websocket::open(by_socket, "/v1/message", "").await;
    socket.write_all(&raw_websocket::text(r#"{"user":"cid","text":"from cid"}"#)).await.unwrap();
    assert_eq!(read_text(&mut socket).await, "OK");
    assert_eq!(heard(&mut ann).await, ("cid".into(), "from cid".into()));
    assert!(say_udp(HERE, by_udp, "dan", "from dan", TRIES).await);
    assert_eq!(heard(&mut ann).await, ("dan".into(), "from dan".into()));
    ann.say("from ann").await;
    assert_eq!(heard(&mut ann).await, ("ann".into(), "from ann".into()));

    // Each hears what came after its own first word, under the name that it wrote to.
    let copies =
        |name: &str, texts: &[&str]| texts.iter().map(|t| (name.to_owned(), (*t).to_owned())).collect::<Vec<_>>();
    let mut to_bob = Vec::new();
    for _ in 0..3 {
        let raw = bob.next().await;
        let fields: Value = serde_json::from_str(&raw).unwrap();
        assert_eq!(
            fields.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["user", "text"],
            "the first version's words"
        );
        to_bob.push(message(&raw));
    }
    assert_eq!(to_bob, copies("lobby", &["cid: from cid", "dan: from dan", "ann: from ann"]));
    let to_cid = [message(&cid.next().await), message(&cid.next().await)];
    assert_eq!(to_cid.to_vec(), copies("hall", &["dan: from dan", "ann: from ann"]));
    dan.greeted("yard").await;
    assert_eq!(dan.message().await, ("yard".into(), "ann: from ann".into()));

    // A rich session's receipt counts all three once they confirmed.
    let mut eve = world.rooms.rich("eve").await;
    eve.command("enter", json!({ "room": "global" })).await;
    eve.command("message", json!({ "room": "global", "body": "and eve", "id": "1" })).await;
    let receipt = async {
        loop {
            let receipt = eve.of_type("receipt").await;
            // Of Ann nobody knows more than that it was written to her.
            if receipt["delivered"] == 3 {
                return receipt;
            }
        }
    };
    let receipt = timeout(raw::LONG, receipt).await.unwrap();
    assert_eq!((&receipt["sent"], &receipt["members"]), (&json!(4), &json!(4)), "{receipt}");
    for (user, text) in [bob.message().await, message(&cid.next().await), dan.message().await] {
        assert_eq!(text, "eve: and eve", "{user}");
    }
    // And nothing twice.
    ann.say("the end").await;
    for (user, text) in [bob.message().await, message(&cid.next().await), dan.message().await] {
        assert_eq!(text, "ann: the end", "{user}");
    }
    world.stop().await;
}

#[tokio::test]
async fn peers_of_this_crate_are_members_over_every_protocol_and_say_so_to_the_registry() {
    let mut world = World::new().await;
    world.lobby("http").await;
    world.open("global=hall@websocket:0").await;
    world.open("global=yard@udp:0").await;
    let mut ann = world.rooms.join("ann").await;
    let users = world.client().list().await.unwrap();
    assert_eq!(users.len(), 3);
    assert!(users.values().all(|entry| entry.features.has("room") && entry.acknowledges()));
    let mut there = Vec::new();
    for (name, protocol, room) in [
        ("bob", Protocol::HTTP, "yard"),
        ("cid", Protocol::WEBSOCKET, "lobby"),
        ("dan", Protocol::UDP, "hall"),
        ("eve", Protocol::UDP, "yard"),
    ] {
        let peer = Peer::builder(name.parse().unwrap()).registry(world.client());
        let (peer, events) = peer.listen(Address::loopback(protocol, 0)).start().await.unwrap();
        peer.update().await.unwrap();
        let sent = peer.send(&room.parse().unwrap(), "I am here").await.unwrap();
        assert_eq!(sent, talk::Sent::Delivered);
        assert_eq!(heard(&mut ann).await, (name.into(), "I am here".into()));
        there.push((peer, events, room));
    }
    ann.say("one\ntwo").await;
    for (peer, events, room) in &mut there {
        let hears = async {
            loop {
                if let Some(Event::Message(message)) = events.next().await
                    && message.text.starts_with("ann")
                {
                    return message;
                }
            }
        };
        let message = timeout(raw::LONG, hears).await.unwrap();
        assert_eq!((message.from.as_str(), &*message.text), (*room, "ann: one two"), "{}", peer.name());
    }
    // Who leaves the registry leaves the room.
    let (peer, ..) = there.remove(0);
    peer.shutdown().await.unwrap();
    ann.until(&said("system", "bob left")).await;
    drop(there);
    world.stop().await;
}

#[tokio::test]
async fn whoever_claims_anothers_name_or_address_gets_nowhere() {
    let mut world = World::new().await;
    let (by_http, by_socket, by_udp) =
        (world.lobby("http").await, world.open("global=hall@websocket:0").await, world.open("global=yard@udp:0").await);
    let (mut bob, mut far, mut slow) = (Ear::http(HERE).await, Ear::http(ELSEWHERE).await, Ear::udp(ELSEWHERE).await);
    world.register("bob", "HTTP", "127.0.0.1", bob.port, None).await;
    world.register("far", "HTTP", "127.0.0.2", far.port, None).await;
    world.register("slow", "UDP", "127.0.0.2", slow.port, Some(&["ack"])).await;
    let mut ann = world.rooms.join("ann").await;
    for (from, user) in [(ELSEWHERE, "bob"), (HERE, "far"), (HERE, "slow"), (HERE, "nobody"), (HERE, "lobby")] {
        let answer = say_http(from, by_http, user, "it is me").await;
        assert_eq!(raw::status(&answer), "403", "{answer}");
        assert!(answer.contains("application/problem+json") && answer.contains(user), "{answer}");
        let mut stream = common::room_peers::connect_from(from, by_socket).await;
        stream.write_all(raw_websocket::upgrade("/", "").as_bytes()).await.unwrap();
        stream.write_all(&raw_websocket::text(&json!({ "user": user, "text": "it is me" }).to_string())).await.unwrap();
        let head = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap());
            }
        };
        timeout(raw::LONG, head).await.unwrap();
        let (code, reason) = read_close(&mut stream).await.unwrap();
        assert!(code == 1008 && reason.contains(user), "{code} {reason}");
        assert!(!say_udp(from, by_udp, user, "it is me", FEW).await, "{user} is acknowledged");
    }
    // Neither is anybody sent to who did not speak, however they are asked for.
    let mut eve = world.rooms.rich("eve").await;
    for name in ["far", "slow"] {
        let to = format!("peer:{name}");
        eve.command("direct", json!({ "to": to, "body": "hi", "id": name })).await;
        let receipt = eve.of_type("receipt").await;
        assert_eq!(
            (&receipt["state"], &receipt["reason"]),
            (&json!("failed"), &json!("heard_from_elsewhere")),
            "{receipt}"
        );
    }
    ann.say("only us").await;
    assert_eq!(ann.hear().await, said("ann", "only us"), "nobody came in");
    // From where they are, they are heard; and the first that each is sent is what comes after that.
    for (from, name) in [(HERE, "bob"), (ELSEWHERE, "far")] {
        assert_eq!(raw::status(&say_http(from, by_http, name, "hello").await), "200");
        assert_eq!(heard(&mut ann).await, (name.into(), "hello".into()));
    }
    assert!(say_udp(ELSEWHERE, by_udp, "slow", "hello", TRIES).await);
    assert_eq!(heard(&mut ann).await, ("slow".into(), "hello".into()));
    assert_eq!(bob.message().await, ("lobby".into(), "far: hello".into()));
    assert_eq!(far.message().await, ("lobby".into(), "slow: hello".into()));
    ann.say("all of us").await;
    slow.greeted("yard").await;
    assert_eq!(slow.message().await, ("yard".into(), "ann: all of us".into()));
    world.stop().await;
}

#[tokio::test]
async fn a_peer_of_the_first_version_over_udp_is_told_once_and_is_no_member() {
    let mut world = World::new().await;
    let by_udp = world.lobby("udp").await;
    let mut old = Ear::udp(HERE).await;
    world.register("old", "UDP", "127.0.0.1", old.port, None).await;
    let mut ann = world.rooms.join("ann").await;
    let socket = UdpSocket::bind((HERE, 0)).await.unwrap();
    for _ in 0..5 {
        socket.send_to(br#"{"user":"old","text":"hi"}"#, (HERE, by_udp)).await.unwrap();
    }
    let told = old.next().await;
    let fields: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(fields.as_object().unwrap().len(), 2, "{told}");
    assert_eq!(fields["user"], "lobby");
    assert!(told.len() < 150, "{told}");
    ann.say("hello").await;
    assert_eq!(ann.hear().await, said("ann", "hello"));
    // Nothing else comes before it understands the second version, and then what is said from then on.
    world.register("old", "UDP", "127.0.0.1", old.port, Some(&["ack"])).await;
    assert!(say_udp(HERE, by_udp, "old", "and now", TRIES).await);
    ann.until(&said("old", "and now")).await;
    ann.say("welcome").await;
    old.greeted("lobby").await;
    assert_eq!(old.message().await, ("lobby".into(), "ann: welcome".into()));
    world.stop().await;
}

#[tokio::test]
async fn two_rooms_that_point_at_each_other_do_not_talk() {
    let (mut one, mut other) = (World::new().await, World::new().await);
    let lobby = one.lobby("http").await;
    let hall = other.open("global=hall@http:0").await;
    let inner = one.open("den=den@http:0").await;
    one.register("hall", "HTTP", "127.0.0.1", hall, Some(&["ack", "room"])).await;
    other.register("lobby", "HTTP", "127.0.0.1", lobby, Some(&["ack", "room"])).await;
    let (mut ann, mut bob) = (one.rooms.join("ann").await, other.rooms.join("bob").await);
    for (port, user) in [(lobby, "hall"), (hall, "lobby"), (lobby, "den"), (inner, "lobby"), (lobby, "lobby")] {
        let answer = say_http(HERE, port, user, "round and round").await;
        assert!(raw::status(&answer) == "403" && answer.contains("rooms do not enter rooms"), "{answer}");
    }
    ann.say("one").await;
    bob.say("other").await;
    assert_eq!((ann.hear().await, bob.hear().await), (said("ann", "one"), said("bob", "other")));
    let mut eve = one.rooms.rich("eve").await;
    for to in ["peer:hall", "peer:den"] {
        eve.command("direct", json!({ "to": to, "body": "round", "id": to })).await;
        assert_eq!(eve.of_type("receipt").await["state"], "failed");
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_peer_whose_entry_ends_and_one_that_fails_three_times_leave() {
    let mut world = World::new().await;
    let by_http = world.lobby("http").await;
    let (mut bob, cid) = (Ear::http(HERE).await, Ear::http(HERE).await);
    let mut ann = world.rooms.join("ann").await;
    for (name, ear) in [("bob", &bob), ("cid", &cid)] {
        world.register(name, "HTTP", "127.0.0.1", ear.port, None).await;
        assert_eq!(raw::status(&say_http(HERE, by_http, name, "hi").await), "200");
        assert_eq!(heard(&mut ann).await, (name.into(), "hi".into()));
    }
    assert_eq!(bob.message().await, ("lobby".into(), "cid: hi".into()));
    cid.end();
    for number in 1..=3 {
        ann.say(&number.to_string()).await;
        assert_eq!(bob.message().await.1, format!("ann: {number}"));
    }
    ann.until(&said("system", "cid left")).await;
    world.unregister("bob").await;
    ann.until(&said("system", "bob left")).await;
    ann.say("nobody").await;
    assert_eq!(ann.hear().await, said("ann", "nobody"));
    assert_eq!(raw::status(&say_http(HERE, by_http, "bob", "hi").await), "403");
    world.register("bob", "HTTP", "127.0.0.1", bob.port, None).await;
    assert_eq!(raw::status(&say_http(HERE, by_http, "bob", "back").await), "200");
    ann.until(&said("bob", "back")).await;
    ann.say("welcome").await;
    assert_eq!(bob.message().await.1, "ann: welcome", "nothing of what was said meanwhile");
    world.stop().await;
}

#[tokio::test]
async fn no_text_and_no_name_forges_a_line() {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    let mut world = World::with(&limits).await;
    let by_http = world.lobby("http").await;
    let (mut bob, mut eve) = (Ear::http(HERE).await, Ear::http(HERE).await);
    world.register("bob", "HTTP", "127.0.0.1", bob.port, Some(&["ack"])).await;
    world.register("eve", "HTTP", "127.0.0.1", eve.port, None).await;
    let mut ann = world.rooms.join("ann").await;
    for name in ["bob", "eve"] {
        say_http(HERE, by_http, name, "hi").await;
        assert_eq!(heard(&mut ann).await.0, name);
    }
    bob.next().await;
    let breaks = ["\n", "\r\n", "\r", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}"];
    let forged = ["ann: hello", "system: bob left", "lobby: ann: hello", "\u{1b}[2K\rann: hello", "{\"user\":\"ann\"}"];
    let texts = breaks.iter().flat_map(|b| forged.iter().map(move |f| format!("x{b}{f}")));
    let mut tried = 0;
    for text in texts {
        assert_eq!(raw::status(&say_http(HERE, by_http, "eve", &text).await), "200");
        let (user, copy) = bob.message().await;
        assert_eq!(user, "lobby");
        assert!(copy.starts_with("eve: x"), "{copy:?}");
        let breaks = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
        assert!(!copy.contains(breaks), "{copy:?}");
        tried += 1;
    }
    assert_eq!(tried, 40);
    for name in ["ann: x", "system", "server", "talk", "a b", "ann\n", "", "..", "аnn", "healthCheck"] {
        let answer = say_http(HERE, by_http, name, "forged").await;
        let expected = if name == "healthCheck" { "200" } else { "400" };
        assert_eq!(raw::status(&answer), expected, "{name:?}: {answer}");
    }
    ann.say("the end").await;
    assert_eq!(bob.message().await.1, "ann: the end");
    assert_eq!(eve.message().await.1, "ann: the end");
    world.stop().await;
}

#[tokio::test]
async fn direct_messages_reach_peers_by_their_name_in_the_registry() {
    let mut world = World::new().await;
    world.lobby("http").await;
    let (mut bob, mut cid, mut dan, mut old) =
        (Ear::http(HERE).await, websocket().await, Ear::udp(HERE).await, Ear::udp(HERE).await);
    world.register("bob", "HTTP", "127.0.0.1", bob.port, None).await;
    world.register("cid", "WEBSOCKET", "127.0.0.1", cid.port, None).await;
    world.register("dan", "UDP", "127.0.0.1", dan.port, Some(&["ack"])).await;
    world.register("old", "UDP", "127.0.0.1", old.port, None).await;
    let mut ann = world.rooms.rich("ann").await;
    for (name, state) in [("bob", "delivered"), ("cid", "delivered"), ("dan", "delivered"), ("old", "unconfirmed")] {
        ann.command("direct", json!({ "to": format!("peer:{name}"), "body": "one\ntwo", "id": name })).await;
        let receipt = ann.of_type("receipt").await;
        assert_eq!((&receipt["id"], &receipt["state"]), (&json!(name), &json!(state)), "{receipt}");
    }
    for raw in [bob.next().await, cid.next().await, old.next().await] {
        assert_eq!(message(&raw), ("ann".into(), "one two".into()), "the first version has one line");
    }
    assert_eq!(dan.message().await, ("ann".into(), "one\ntwo".into()));
    bob.end();
    ann.command("direct", json!({ "to": "peer:bob", "body": "x", "id": "late" })).await;
    let receipt = ann.of_type("receipt").await;
    assert_eq!((&receipt["state"], &receipt["reason"]), (&json!("failed"), &json!("unreachable")), "{receipt}");
    ann.command("direct", json!({ "to": "peer:nobody", "body": "x", "id": "nobody" })).await;
    assert_eq!(ann.of_type("error").await["code"], "no_user");
    world.stop().await;
}
