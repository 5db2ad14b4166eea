//! The delivery contract over real sockets: clients that are dropped hard and come back, pongs that confirm.
#![cfg(all(feature = "net", feature = "sqlite"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::raw::LONG;
use common::raw_websocket::{CLOSE, PING, PONG, TEXT, frame, read_frame};
use common::rooms::{Client, Server, said};
use serde_json::{Value, json};
use talk::hub::Hub;
use talk::limits::Limits;
use talk::store::{Durability, SqliteAccounts, SqliteHistory, SqliteRules};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

const SENDERS: u64 = 8;
const RECEIVERS: u64 = 20;
const DROPS: u64 = 50;

/// Messages of each sender: all that the contract asks for with `TALK_LONG_TESTS=1`.
fn each() -> u64 {
    if std::env::var_os("TALK_LONG_TESTS").is_some() { 5000 } else { 500 }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    limits
}

/// A server over stores in a directory, as durable as they are by default.
async fn durable(limits: &Limits, dir: &TempDir) -> Server {
    let hub = Hub::builder().limits(limits.clone());
    let hub = hub.accounts(Arc::new(SqliteAccounts::open(dir.path(), limits).unwrap()));
    let hub = hub.history(Arc::new(SqliteHistory::open(dir.path(), Durability::Fsync, limits).unwrap()));
    let hub = hub.rules(Arc::new(SqliteRules::open(dir.path(), limits).unwrap()));
    Server::over(hub.build().await.unwrap()).await
}

async fn again(server: &Server, token: &str) -> Client {
    let mut client = server.open(&format!("sec-websocket-protocol: talk.v2, {token}\r\n")).await;
    token.clone_into(&mut client.token);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receiver_hears_everything_once_in_order() {
    let dir = TempDir::new().unwrap();
    let server = Arc::new(durable(&limits(), &dir).await);
    let mut receivers = Vec::new();
    for number in 0..RECEIVERS {
        let mut client = server.rich(&format!("receiver-{number}")).await;
        client.command("enter", json!({ "room": "global" })).await;
        client.of_type("presence").await;
        let drops = DROPS / RECEIVERS + u64::from(number < DROPS % RECEIVERS);
        receivers.push(tokio::spawn(receive(server.clone(), client, drops, number)));
    }
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let mut client = server.rich(&format!("sender-{number}")).await;
        client.command("enter", json!({ "room": "global" })).await;
        client.of_type("presence").await;
        senders.push(tokio::spawn(send(client, number)));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let mut order: Option<Vec<String>> = None;
    for receiver in receivers {
        let heard = receiver.await.unwrap();
        assert!(order.as_ref().is_none_or(|order| *order == heard), "two heard different things");
        order = Some(heard);
    }
    let order = order.unwrap();
    assert_eq!(order.iter().collect::<HashSet<_>>().len() as u64, SENDERS * each());
    for sender in 0..SENDERS {
        let own = order.iter().filter(|body| body.starts_with(&format!("{sender} "))).cloned();
        let expected = (0..each()).map(|n| format!("{sender} {n}"));
        assert!(own.eq(expected), "the order of sender {sender}");
    }
}

/// Says everything, and reads what comes meanwhile.
async fn send(mut client: Client, number: u64) {
    let mut accepted = HashSet::new();
    for n in 0..each() {
        let text = format!("{number} {n}");
        client.command("message", json!({ "room": "global", "body": text, "id": text })).await;
        // No more than this under way at a time: whoever only writes is cut, as one that does not read.
        while n + 1 - accepted.len() as u64 > 50 || (n + 1 == each() && (accepted.len() as u64) < each()) {
            let heard = client.hear().await;
            assert_ne!(heard["type"], "error", "{heard}");
            if heard["type"] == "accepted" {
                assert!(accepted.insert(heard["id"].as_str().unwrap().to_owned()));
            }
        }
    }
}

/// Hears everything, and is dropped so often on the way. Tells the texts.
async fn receive(server: Arc<Server>, mut client: Client, drops: u64, number: u64) -> Vec<String> {
    let total = SENDERS * each();
    // Where it is dropped: spread over the whole, differently for each.
    let mut at: Vec<_> = (0..drops).map(|n| (n * total / drops + number * 97) % (total - 1)).collect();
    at.sort_unstable();
    at.reverse();
    let (mut last, mut heard) = (0, Vec::new());
    let mut resumed = None;
    loop {
        let frame = client.hear().await;
        match frame["type"].as_str().unwrap() {
            "message" => {
                assert_eq!((&frame["prev"], &frame["seq"]), (&json!(last), &json!(last + 1)));
                last += 1;
                heard.push(frame["body"].as_str().unwrap().to_owned());
            }
            "recovered" => {
                let from: u64 = resumed.take().unwrap();
                assert_eq!(
                    (&frame["from"], &frame["to"], &frame["recovered"]),
                    (&json!(from), &json!(last), &json!(true))
                );
            }
            "gap" | "error" => panic!("{frame}"),
            _ => {}
        }
        if last == total && resumed.is_none() {
            assert!(at.is_empty(), "every drop happened");
            return heard;
        }
        if frame["type"] == "message" && at.last().is_some_and(|at| last > *at) {
            at.pop();
            // A reset: nothing that was under way arrives.
            client.stream.set_zero_linger().unwrap();
            let token = client.token.clone();
            drop(client);
            client = again(&server, &token).await;
            client.command("resume", json!({ "room": "global", "epoch": frame["epoch"], "seq": last })).await;
            resumed = Some(last);
        }
    }
}

#[tokio::test]
async fn a_plain_clients_pong_makes_a_direct_message_delivered() {
    let server = Server::start().await;
    let mut bob = server.join("bob").await;
    let mut ann = server.rich("ann").await;
    for n in ["1", "2"] {
        ann.command("direct", json!({ "to": "bob", "body": "psst", "id": n })).await;
        assert_eq!(bob.hear().await, said("ann", "psst"));
        let (opcode, payload) = read_frame(&mut bob.stream).await.unwrap();
        assert_eq!(opcode, PING);
        let sent = ann.of_type("receipt").await;
        assert_eq!(sent, json!({ "type": "receipt", "id": n, "to": "bob", "state": "sent" }));
        bob.stream.write_all(&frame(0x80 | PONG, &payload)).await.unwrap();
        let delivered = ann.of_type("receipt").await;
        assert_eq!(delivered, json!({ "type": "receipt", "id": n, "to": "bob", "state": "delivered" }));
    }
}

#[tokio::test]
async fn only_one_that_answered_a_ping_before_is_cut_for_its_silence() {
    let mut limits = Limits::default();
    limits.idle_timeout = Duration::from_millis(300);
    let server = Server::with(&limits).await;
    let mut mute = server.join("mute").await;
    let mut answering = server.join("answering").await;
    let (opcode, payload) = loop {
        let heard = read_frame(&mut answering.stream).await.unwrap();
        if heard.0 != TEXT {
            break heard;
        }
    };
    assert_eq!(opcode, PING);
    answering.stream.write_all(&frame(0x80 | PONG, &payload)).await.unwrap();
    assert_eq!(answering.closed().await, Some(1001));
    // Many pings later the other is there still.
    let mut pings = 0;
    while pings < 5 {
        let (opcode, _) = read_frame(&mut mute.stream).await.unwrap();
        assert_ne!(opcode, CLOSE);
        pings += u32::from(opcode == PING);
    }
    mute.say("here").await;
    loop {
        let (opcode, payload) = read_frame(&mut mute.stream).await.unwrap();
        if opcode == TEXT && serde_json::from_slice::<Value>(&payload).unwrap() == said("mute", "here") {
            break;
        }
        assert_ne!(opcode, CLOSE);
    }
}

/// So many come and go, and nobody stays behind in the list.
async fn come_and_go(server: Arc<Server>) {
    let mut watcher = server.join("watcher").await;
    let mut visitors = Vec::new();
    for visitor in 0..20 {
        let server = server.clone();
        visitors.push(tokio::spawn(async move {
            for visit in 0..30 {
                let token = server.token(&format!("visitor-{visitor}-{visit}")).await;
                let headers = match visit % 2 {
                    0 => format!("sec-websocket-protocol: {token}\r\n"),
                    _ => format!("sec-websocket-protocol: talk.v2, {token}\r\n"),
                };
                let mut client = server.open(&headers).await;
                client.command("enter", json!({ "room": "global" })).await;
                if visit % 3 == 0 {
                    client.stream.set_zero_linger().unwrap();
                }
            }
        }));
    }
    for visitor in visitors {
        visitor.await.unwrap();
    }
    let mut names = String::new();
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        watcher.command("listusers", json!({})).await;
        names = loop {
            let heard = watcher.hear().await;
            let body = heard["body"].as_str().unwrap();
            if heard["from"] == "system" && !body.ends_with(" joined") && !body.ends_with(" left") {
                break body.to_owned();
            }
        };
        if names == "watcher" {
            return;
        }
        // The last of them are being noticed.
        tokio::task::yield_now().await;
    }
    panic!("{names:?} are ghosts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_hundred_visits_leave_no_ghost() {
    come_and_go(Arc::new(Server::with(&limits()).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_hundred_visits_leave_no_ghost_over_stores_on_disk() {
    let dir = TempDir::new().unwrap();
    come_and_go(Arc::new(durable(&limits(), &dir).await)).await;
}
