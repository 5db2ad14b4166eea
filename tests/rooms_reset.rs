//! How long a member that was cut may take for what it is still to hear. The connection is in memory, so time stands
//! still unless everybody waits.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::raw_websocket::upgrade;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use talk::gateway::http;
use talk::hub::Hub;
use talk::message::{Command, Event};
use talk::name::{Nickname, RoomName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

/// A session in `global`, past the head of the answer.
async fn join(hub: &Hub, name: &str) -> DuplexStream {
    let token = hub.sign_up(&Nickname::new(name).unwrap()).await.unwrap();
    let (mut near, far) = tokio::io::duplex(16 * 1024);
    let serving = http1::Builder::new().serve_connection(TokioIo::new(far), http::service(hub.clone()));
    tokio::spawn(serving.with_upgrades());
    let headers = format!("sec-websocket-protocol: {}\r\n", token.reveal());
    near.write_all(upgrade("/ws", &headers).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    near
}

/// Lets somebody speak until the other one, who reads nothing, is there no more.
async fn until_cut(hub: &Hub) {
    let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
    ann.run(Command::Enter(RoomName::global())).await.unwrap();
    for _ in 0..1000 {
        ann.run(Command::Say { room: None, body: "x".repeat(16_000).into(), id: None }).await.unwrap();
        while !matches!(heard.next().await.unwrap(), Event::Message(_)) {}
        if hub.gauges().sessions == 1 {
            return;
        }
    }
    panic!("it is never cut");
}

#[tokio::test(start_paused = true)]
async fn a_cut_member_that_takes_nothing_is_let_go_five_seconds_later() {
    let hub = Hub::new();
    let mut idler = join(&hub, "idler").await;
    until_cut(&hub).await;
    let cut = Instant::now();
    while idler.write_all(&[0]).await.is_ok() {
        assert!(cut.elapsed() < Duration::from_secs(60), "it is never let go");
        common::clock::passes(Duration::from_millis(10)).await;
    }
    let lasted = cut.elapsed();
    // The clock of the test, not of the machine.
    assert!((4900..=5100).contains(&lasted.as_millis()), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_member_that_reads_in_time_hears_why() {
    let hub = Hub::new();
    let mut idler = join(&hub, "idler").await;
    until_cut(&hub).await;
    common::clock::passes(Duration::from_millis(4800)).await;
    let mut rest = Vec::new();
    idler.read_to_end(&mut rest).await.unwrap();
    let close = rest.windows(2).rposition(|code| code == 1008u16.to_be_bytes()).unwrap();
    assert_eq!(rest[close - 2], 0x88, "a Close");
    assert!(rest.ends_with(b"slowly"), "{}", String::from_utf8_lossy(&rest[close..]));
}
