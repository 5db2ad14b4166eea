//! What members cost who ask for much and read nothing. Alone in its program, because it reads the memory of the whole
//! process.
#![cfg(all(feature = "net", feature = "sqlite", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::raw_websocket::{read_text, text, upgrade};
use serde_json::json;
use talk::gateway::{RoomServer, http};
use talk::hub::Hub;
use talk::limits::Limits;
use talk::message::Command;
use talk::name::{Nickname, RoomName};
use talk::store::{Durability, SqliteHistory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// A rich session of a machine that holds little of what it does not read.
async fn open(hub: &Hub, port: u16, name: &str) -> TcpStream {
    let token = hub.sign_up(&Nickname::new(name).unwrap()).await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    let headers = format!("sec-websocket-protocol: talk.v2, {}\r\n", token.reveal());
    stream.write_all(upgrade("/ws", &headers).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_ask_for_long_histories_and_read_nothing_cost_little_more_than_their_queues() {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    let data = tempfile::tempdir().unwrap();
    let history = Arc::new(SqliteHistory::open(data.path(), Durability::Os, &limits).unwrap());
    let hub = Hub::builder().limits(limits).history(history).build().await.unwrap();
    let server = RoomServer::bind(&"127.0.0.1".parse().unwrap(), 0, http::service(hub.clone())).await.unwrap();
    let port = server.local_addr().port();
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let (mut seat, mut heard) = hub.sit("filler").await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    let listening = tokio::spawn(async move { while heard.next().await.is_some() {} });
    let long = "x".repeat(16 * 1024);
    for _ in 0..1000 {
        seat.run(Command::Say { room: None, body: long.as_str().into(), id: None }).await.unwrap();
    }
    seat.run(Command::Leave(None)).await.unwrap();
    drop(seat);
    listening.await.unwrap();

    let before = resident();
    let mut idlers = Vec::new();
    for n in 0..MANY {
        let mut idler = open(&hub, port, &format!("idler{n}")).await;
        idler.write_all(&text(&json!({ "type": "enter", "args": { "room": "global" } }).to_string())).await.unwrap();
        let ask = match n % 2 {
            0 => json!({ "type": "history", "args": { "room": "global", "limit": 1000 } }),
            _ => json!({ "type": "history", "args": { "room": "global", "after": 0, "limit": 1000 } }),
        };
        // As many as may wait, and more.
        idler.write_all(&text(&ask.to_string()).repeat(100)).await.unwrap();
        idlers.push(idler);
    }
    // The last of each is told at once, that it is too much: by then the first is under way.
    let mut most = 0;
    let refused = || hub.counters().snapshot().refused.iter().map(|(_, times)| times).sum::<u64>();
    let under_way = async {
        while refused() < 60 * MANY {
            most = most.max(resident());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::raw::LONG, under_way).await.expect("what is too much is refused");
    // Meanwhile others are heard as ever.
    let mut ann = open(&hub, port, "ann").await;
    ann.write_all(&text(r#"{"type":"enter","args":{"room":"global"}}"#)).await.unwrap();
    for n in 0..300 {
        let said = json!({ "type": "message", "args": { "room": "global", "body": "x", "id": n.to_string() } });
        ann.write_all(&text(&said.to_string())).await.unwrap();
        while !read_text(&mut ann).await.contains("accepted") {}
        most = most.max(resident());
    }
    let grown = most.saturating_sub(before);
    // A few pages are whole in memory while they are read; each is 16 MiB.
    assert!(grown < (64 << 20) + MANY as usize * (3 << 19), "{} MiB for {MANY}", grown >> 20);
    serving.abort();
}

/// Members who read nothing.
const MANY: u64 = 40;
