//! What strangers may send to a WebSocket listener, byte by byte: each attack is answered, and others keep being served.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::raw::{LONG, connect, next, port, read_all, status};
use common::raw_websocket::{frame, header, open, read_close, read_text, text};
use talk::address::{Address, Entry, Protocol};
use talk::limits::Limits;
use talk::message::Message;
use talk::name::UserName;
use talk::transport::{Incoming, Sent, Transport, WebSocket};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

async fn listen(change: impl FnOnce(&mut Limits)) -> Incoming {
    let mut limits = Limits::default();
    change(&mut limits);
    WebSocket::with_limits(&limits).listen(&Address::loopback(Protocol::WEBSOCKET, 0)).await.unwrap()
}

/// Somebody else is served as if nothing had happened.
async fn check_others(incoming: &mut Incoming) {
    let message = Message::new(UserName::new("ann").unwrap(), "hi");
    let to = Entry::plain(incoming.local_address().clone());
    assert_eq!(WebSocket::new().send(&to, &message).await.unwrap(), Sent::Delivered);
    assert_eq!(&*next(incoming).await.text, "hi");
}

#[tokio::test]
async fn broken_frames_close_with_the_code_that_says_why() {
    let mut incoming = listen(|_| {}).await;
    let unmasked = [&[0x81, 2][..], b"hi"].concat();
    for (what, bytes, code) in [
        ("no mask", unmasked, 1002),
        ("reserved bit 1", frame(0xc1, b"hi"), 1002),
        ("reserved bit 2", frame(0xa1, b"hi"), 1002),
        ("reserved bit 3", frame(0x91, b"hi"), 1002),
        ("reserved data opcode", frame(0x83, b"hi"), 1002),
        ("reserved control opcode", frame(0x8b, b"hi"), 1002),
        ("a continuation of nothing", frame(0x80, b"hi"), 1002),
        ("a new message inside another", [frame(0x01, b"{"), frame(0x81, b"}")].concat(), 1002),
        ("a control frame in pieces", frame(0x09, b"hi"), 1002),
        ("a long control frame", frame(0x89, &[0; 126]), 1002),
        ("a close of one byte", frame(0x88, &[3]), 1002),
        ("a close with a code below 1000", frame(0x88, &[0x03, 0xe7]), 1002),
        ("a close with a code that must not be sent", frame(0x88, &[0x03, 0xed]), 1002),
        ("a close whose reason is no text", frame(0x88, &[0x03, 0xe8, 0xff]), 1007),
        ("a text cut inside a character", frame(0x81, "ä".as_bytes().split_last().unwrap().1), 1007),
        ("half a surrogate", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("16 MiB declared", header(0x81, 16 << 20), 1009),
        ("16 MiB of ping declared", header(0x89, 16 << 20), 1009),
        ("an absurd length", header(0x81, u64::MAX >> 1), 1009),
    ] {
        let (mut stream, _) = open(port(&incoming), "/", "").await;
        stream.write_all(&bytes).await.unwrap();
        // What a header declares is judged when its mask is there too.
        let _ = stream.write_all(&[0; 4]).await;
        let close = read_close(&mut stream).await;
        assert_eq!(close.as_ref().map(|close| close.0), Some(code), "{what}: {close:?}");
    }
    check_others(&mut incoming).await;
}

#[tokio::test]
async fn a_frame_of_16_mib_is_refused_while_it_still_comes() {
    let mut incoming = listen(|_| {}).await;
    let (mut stream, _) = open(port(&incoming), "/", "").await;
    stream.write_all(&header(0x81, 16 << 20)).await.unwrap();
    let chunk = vec![b'x'; 1 << 16];
    let mut sent = 0;
    while sent < 16 << 20 && stream.write_all(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 16 << 20, "the connection was cut before the end");
    check_others(&mut incoming).await;
}

#[tokio::test]
async fn silent_connections_and_half_upgrades_end_by_their_timer() {
    let mut incoming = listen(|limits| limits.head_timeout = Duration::from_millis(100)).await;
    assert_eq!(read_all(connect(port(&incoming)).await).await, "");
    let mut half = connect(port(&incoming)).await;
    half.write_all(b"GET /v1/message HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n").await.unwrap();
    assert_eq!(status(&read_all(half).await), "408");
    check_others(&mut incoming).await;
}

#[tokio::test]
async fn who_is_connected_and_says_nothing_is_left_alone() {
    let mut incoming = listen(|limits| {
        limits.head_timeout = Duration::from_millis(20);
        limits.body_timeout = Duration::from_millis(20);
    })
    .await;
    let (mut quiet, _) = open(port(&incoming), "/", "").await;
    // Somebody else's timers run out meanwhile.
    read_all(connect(port(&incoming)).await).await;
    quiet.write_all(&text(r#"{"user":"bob","text":"still here"}"#)).await.unwrap();
    assert_eq!(read_text(&mut quiet).await, "OK");
    assert_eq!(next(&mut incoming).await.from.as_str(), "bob");
}

#[tokio::test]
async fn who_never_reads_our_confirmations_is_heard_and_holds_up_nobody() {
    let mut incoming = listen(|limits| limits.body_timeout = Duration::from_millis(200)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], port(&incoming)).into()).await.unwrap();
    let upgrade = common::raw_websocket::upgrade("/", "sec-websocket-protocol: talk.v2\r\n");
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let message = format!(r#"{{"user":"eve","text":"","id":"{}"}}"#, "x".repeat(64));
    let many = text(&message).repeat(1000);
    for _ in 0..100 {
        let sending = stream.write_all(&many);
        tokio::time::timeout(LONG, sending).await.expect("it is read on").unwrap();
    }
    assert_eq!(next(&mut incoming).await.from.as_str(), "eve");
    check_others(&mut incoming).await;
}
