//! The client of rooms against servers that are not what they should be: it tells, tries again, and stays within bounds.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::fakes::{Fake, TOKEN, message, recovered, text};
use common::listener::{Listener, by_itself, listener, user};
use common::originals::pair::{frame, upgrade};
use common::raw::LONG;
use talk::client::{Ended, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn lost(client: &mut Listener) -> String {
    match client.until(|event| matches!(event, Event::Lost { .. } | Event::Ended(_))).await {
        Event::Lost { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_sign_in_is_tried_again_or_ends_the_client() {
    for (answer, said) in [
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "Service Unavailable (503)"),
        ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", "(429)"),
        ("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}", "no token"),
        ("HTTP/1.1 201 Created\r\ncontent-length: 11\r\n\r\n{\"token\":7}", "no token"),
        ("HTTP/1.1 201 Created\r\ncontent-length: 14\r\n\r\n{\"token\":\"\\n\"}", "no token"),
        ("HTTP/1.1 201 Created\r\ncontent-length: 99999999999\r\n\r\n", ""),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", ""),
        ("", ""),
    ] {
        let fake = Fake::start().await;
        let mut ann = user(fake.port, "ann");
        let (mut stream, head) = fake.asked().await;
        assert!(head.starts_with("POST /auth HTTP/1.1\r\n"), "{head}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        if said.is_empty() {
            drop(stream);
        }
        let reason = lost(&mut ann).await;
        assert!(reason.contains(said), "{answer:?}: {reason}");
    }
    for status in ["403 Forbidden", "404 Not Found", "400 Bad Request"] {
        let fake = Fake::start().await;
        let mut ann = user(fake.port, "ann");
        fake.answer(&format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\na\u{1b}[2Jb!"))
            .await;
        let Ended::Refused(reason) = ann.ended().await else { panic!("it goes on") };
        assert!(!reason.contains('\u{1b}') && reason.contains(&status[..3]), "{reason:?}");
    }
}

#[tokio::test]
async fn an_expired_token_is_replaced_by_signing_in_anew() {
    let fake = Fake::start().await;
    let mut ann = user(fake.port, "ann");
    let mut socket = fake.take(true).await;
    socket.write_all(&recovered(3)).await.unwrap();
    assert_eq!(ann.connected().await.1, None);
    drop(socket);
    let head = fake.answer("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    assert!(head.contains("\r\nauthorization: Bearer abcde\r\n"), "{head}");
    let mut socket = fake.take(true).await;
    socket.write_all(&recovered(3)).await.unwrap();
    assert_eq!(ann.connected().await, (Some("ann".into()), Some(false)), "another guest hears no old direct messages");
}

#[tokio::test]
async fn a_server_without_rich_mode_ends_the_client() {
    let fake = Fake::start().await;
    let mut ann = user(fake.port, "ann");
    fake.answer(TOKEN).await;
    let _stream = upgrade(fake.accept().await, "").await;
    assert!(matches!(ann.ended().await, Ended::Refused(reason) if reason.contains("does not speak talk.v2")));
}

#[tokio::test]
async fn garbage_and_huge_frames_cost_one_connection_and_no_more() {
    let fake = Fake::start().await;
    let mut ann = user(fake.port, "ann");
    // A frame that claims to be huge, one that is split for ever, one that is none, no UTF-8, and garbage in many.
    let huge = [&[0x81, 127][..], &u64::MAX.to_be_bytes()].concat();
    let split = (0..40).flat_map(|n| frame(if n == 0 { 1 } else { 0 }, &[b' '; 65_000])).collect();
    let reserved = vec![0xf1, 1, b'x'];
    let not_text = frame(0x81, &[0xff, 0xfe]);
    let garbage = (0..20).flat_map(|n| text(&"[{".repeat(n * 100))).collect();
    let binary = (0..20).flat_map(|_| frame(0x82, b"{}")).collect();
    for (n, bytes) in [huge, split, reserved, not_text, garbage, binary].into_iter().enumerate() {
        let mut socket = fake.take(n == 0).await;
        let _ = socket.write_all(&recovered(3)).await;
        ann.connected().await;
        let (mut reader, mut writer) = socket.into_split();
        let writing = tokio::spawn(async move { writer.write_all(&bytes).await.map(|()| writer) });
        let reason = lost(&mut ann).await;
        assert!(!reason.is_empty(), "{n}");
        writing.abort();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(LONG, reader.read_to_end(&mut rest)).await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_waits_in_the_socket_and_is_heard_whole() {
    const MANY: u64 = 20_000;
    let fake = Fake::start().await;
    let mut ann = user(fake.port, "ann");
    let mut socket = fake.take(true).await;
    socket.write_all(&recovered(0)).await.unwrap();
    ann.connected().await;
    let (_reader, mut writer) = socket.into_split();
    let flood = async move {
        for seq in 1..=MANY {
            writer.write_all(&message(seq, "eve", &"x".repeat(1000))).await.unwrap();
        }
        writer
    };
    let mut flood = std::pin::pin!(flood);
    // Nobody listens: the flood comes to a halt.
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut flood).await.is_err(), "it took 20 MB");
    let hear = async {
        for seq in 1..=MANY {
            assert_eq!(ann.message().await.position.unwrap().seq, seq);
            ann.heard.clear();
        }
    };
    tokio::join!(flood, hear);
}

#[tokio::test]
async fn pings_are_answered_and_a_close_is_told() {
    let fake = Fake::start().await;
    let mut ann = listener(by_itself(fake.port, "ann"));
    let mut socket = fake.take(true).await;
    ann.connected().await;
    socket.write_all(&frame(0x89, b"there?")).await.unwrap();
    let mut pong = [0; 12];
    tokio::time::timeout(LONG, socket.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(pong[..2], [0x8a, 0x86]);
    let mut close = 1001_u16.to_be_bytes().to_vec();
    close.extend("going \u{1b}[1m".as_bytes());
    socket.write_all(&frame(0x88, &close)).await.unwrap();
    assert_eq!(lost(&mut ann).await, "going \u{fffd}[1m (1001)");
}
