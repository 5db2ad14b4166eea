//! Memory stays flat under attack. Alone in its program, because it reads the memory of the whole process.
#![cfg(all(feature = "net", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

mod common;

use common::raw::{connect, next, port};
use common::raw_websocket::{frame, header, open};
use talk::address::{Address, Entry, Protocol};
use talk::message::Message;
use talk::name::UserName;
use talk::transport::{Http, Incoming, Sent, Transport, WebSocket};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

async fn flood(mut stream: TcpStream, chunk: &[u8], times: usize) {
    for _ in 0..times {
        if stream.write_all(chunk).await.is_err() {
            return;
        }
    }
    // Whatever is answered, the attacker waits for the end.
    common::raw::read_all(stream).await;
}

async fn exchange(transport: &dyn Transport, incoming: &mut Incoming) {
    let message = Message::new(UserName::new("ann").unwrap(), "hi");
    let to = Entry::plain(incoming.local_address().clone());
    assert_eq!(transport.send(&to, &message).await.unwrap(), Sent::Delivered);
    next(incoming).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attacks_neither_grow_memory_nor_stop_others() {
    let (http, websocket) = (Http::new(), WebSocket::new());
    let mut over_http = http.listen(&Address::loopback(Protocol::HTTP, 0)).await.unwrap();
    let mut over_websocket = websocket.listen(&Address::loopback(Protocol::WEBSOCKET, 0)).await.unwrap();
    exchange(&http, &mut over_http).await;
    exchange(&websocket, &mut over_websocket).await;
    let before = resident();

    let mut attackers = JoinSet::new();
    let at = port(&over_websocket);
    for _ in 0..8 {
        attackers.spawn(async move {
            let (mut stream, _) = open(at, "/", "").await;
            let _ = stream.write_all(&header(0x81, 16 << 20)).await;
            flood(stream, &[b'x'; 1 << 16], 256).await;
        });
        attackers.spawn(async move {
            // A million fragments without an end, most of them empty.
            let (mut stream, _) = open(at, "/", "").await;
            let _ = stream.write_all(&frame(0x01, b"{")).await;
            let _ = stream.write_all(&frame(0x00, b"").repeat(125_000)).await;
            flood(stream, &frame(0x00, b" ").repeat(1000), 125).await;
        });
        let at = port(&over_http);
        attackers.spawn(async move {
            let mut stream = connect(at).await;
            let head = "POST /v1/message HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1000000\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            flood(stream, &[b'x'; 1 << 16], 256).await;
        });
        attackers.spawn(async move {
            let stream = connect(at).await;
            flood(stream, b"GET / HTTP/1.1\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", 10_000).await;
        });
    }
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(connect(port(&over_http)).await);
        silent.push(open(at, "/", "").await.0);
    }
    let mut most = 0;
    while attackers.try_join_next().is_some() || !attackers.is_empty() {
        exchange(&http, &mut over_http).await;
        exchange(&websocket, &mut over_websocket).await;
        most = most.max(resident());
    }
    let grown = most.saturating_sub(before);
    assert!(grown < 48 << 20, "{} MiB", grown >> 20);
}
