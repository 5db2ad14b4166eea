//! What strangers may do to pair chat, and what people may who take their time: each gets the documented answer, and two
//! others go on hearing each other.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::bad_frames::bad_frames;
use common::clock::passes;
use common::pair_chat::{Client, Server};
use common::raw::connect;
use common::raw_websocket::{CLOSE, PING, PONG, TEXT, frame, header, open, read_frame, text, upgrade};
use talk::limits::Limits;
use talk::message::Event;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

const FIN: u8 = 0x80;
const MINUTE: Duration = Duration::from_secs(60);

async fn unlimited() -> Server {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    Server::with(&limits).await
}

/// Two who hear each other, whatever else happens.
struct Two {
    alice: Client,
    bobby: Client,
    said: usize,
}

impl Two {
    async fn meet(server: &Server) -> Self {
        let mut bobby = server.named("bobby").await;
        let alice = server.paired("alice", "bobby").await;
        bobby.asks("alice", "1").await;
        Self { alice, bobby, said: 0 }
    }

    async fn speak(&mut self) {
        self.said += 1;
        let said = format!("word {}", self.said);
        self.alice.tells(&mut self.bobby, &said, &format!("[alice] {said}")).await;
    }
}

#[tokio::test]
async fn hostile_frames_get_their_close_at_every_stage_and_nobody_else_notices() {
    let server = unlimited().await;
    let mut two = Two::meet(&server).await;
    let cases = bad_frames(b"mallory");
    assert!(cases.len() >= 40, "{}", cases.len());
    for (n, (what, bytes, code)) in cases.into_iter().enumerate() {
        for (stage, name) in [(0, ""), (1, "first"), (2, "other")] {
            let mut mallory = match stage {
                0 => server.open().await,
                1 => server.named(&format!("{name}{n}")).await,
                _ => server.paired(&format!("{name}{n}"), "global").await,
            };
            mallory.stream.write_all(&bytes).await.unwrap();
            assert_eq!(mallory.closed().await, Some(code), "{what} at stage {stage}");
            let mut rest = Vec::new();
            assert!(timeout(MINUTE, mallory.stream.read_to_end(&mut rest)).await.is_ok(), "{what}");
        }
        two.speak().await;
    }
}

#[tokio::test]
async fn only_upgrades_from_here_or_from_known_pages_are_taken() {
    let server = Server::start().await;
    for (path, headers) in [
        ("/", ""),
        ("/chat/room?x=1", ""),
        ("/", "origin: http://localhost\r\n"),
        ("/", "origin: https://chat.example\r\n"),
        ("/", "sec-websocket-protocol: chat\r\n"),
    ] {
        let (mut stream, _) = open(server.port, path, headers).await;
        stream.write_all(&text("x")).await.unwrap();
        assert_eq!(read_frame(&mut stream).await, Some((TEXT, b"0".to_vec())), "{path} {headers}");
    }
    let asked = async |request: &str| {
        let mut stream = connect(server.port).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        std::str::from_utf8(&head[9..]).unwrap().to_owned()
    };
    let with = |headers: &str| upgrade("/", headers);
    assert_eq!(asked(&with("origin: https://evil.example\r\n")).await, "403");
    assert_eq!(asked(&with("origin: null\r\n")).await, "403");
    assert_eq!(asked(&upgrade("/", "").replace("host: localhost", "host: evil.example")).await, "403");
    assert_eq!(asked(&upgrade("/", "").replace("host: localhost", "host: chat.example")).await, "101");
    assert_eq!(asked("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await, "426");
    assert_eq!(asked("POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await, "405");
    assert_eq!(asked(&upgrade("/", "").replace("sec-websocket-version: 13", "sec-websocket-version: 8")).await, "426");
    assert_eq!(asked("hello\r\n\r\n").await, "400");
}

#[tokio::test]
async fn over_the_rate_whoever_is_paired_is_told_and_everybody_is_closed() {
    let server = Server::start().await;
    let mut two = Two::meet(&server).await;
    let burst: Vec<u8> = text("al").repeat(100);
    let mut nobody = server.open().await;
    nobody.stream.write_all(&burst).await.unwrap();
    let mut answers = 0;
    while let Some((TEXT, answer)) = read_frame(&mut nobody.stream).await {
        assert_eq!(answer, b"0");
        answers += 1;
    }
    assert!((60..90).contains(&answers), "{answers}");
    let mut named = server.named("named").await;
    named.stream.write_all(&burst).await.unwrap();
    assert_eq!(named.closed().await, Some(1008));

    let mut mallory = server.paired("mallory", "global").await;
    // Nothing is heard of them, but they count.
    mallory.stream.write_all(&text("").repeat(100)).await.unwrap();
    mallory.hears(&["[server] you send too fast"]).await;
    assert_eq!(mallory.closed().await, Some(1008));
    let mut mallory = server.paired("pinger", "bobby").await;
    mallory.stream.write_all(&frame(FIN | PING, b"x").repeat(5000)).await.unwrap();
    assert!(matches!(mallory.closed().await, Some(1008) | None));
    two.bobby.hears(&["[server] User pinger left"]).await;
    two.speak().await;
}

#[tokio::test]
async fn whoever_is_told_much_and_answers_each_ping_is_not_cut_for_it() {
    let server = Server::start().await;
    let mut two = Two::meet(&server).await;
    two.speak().await;
    // As many as a thousand authors could ask for.
    let answer = frame(FIN | PONG, &two.bobby.pings[0].clone());
    two.bobby.stream.write_all(&answer.repeat(5000)).await.unwrap();
    two.bobby.send("still here").await;
    two.alice.hears(&["[bobby] still here"]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_types_for_two_minutes_at_each_prompt_is_served_and_hears_nothing_meanwhile() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut alice = server.open().await;
    passes(2 * MINUTE).await;
    alice.asks("al", "0").await;
    passes(2 * MINUTE).await;
    alice.asks("alice", "1").await;
    passes(2 * MINUTE).await;
    alice.asks("nobody", "0").await;
    passes(9 * MINUTE).await;
    alice.asks("bobby", "1").await;
    // Here pings come, which whoever sits in another prompt answers or does not.
    passes(9 * MINUTE).await;
    alice.answers = false;
    alice.send("hello").await;
    alice.hears(&["[server] Message sent to user bobby"]).await;
    assert!(!alice.pings.is_empty() && alice.pings.iter().all(|ping| ping == b"idle"));
    bobby.hears(&["[alice] hello"]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_for_ten_minutes_at_a_prompt_is_closed() {
    let server = Server::start().await;
    let (mut nobody, mut alice) = (server.open().await, server.named("alice").await);
    let begun = Instant::now();
    passes(9 * MINUTE).await;
    alice.asks("nobody", "0").await;
    passes(MINUTE).await;
    let (opcode, reason) = read_frame(&mut nobody.stream).await.unwrap();
    assert_eq!((opcode, &reason[..2]), (CLOSE, &1008u16.to_be_bytes()[..]));
    passes(9 * MINUTE).await;
    let (opcode, reason) = read_frame(&mut alice.stream).await.unwrap();
    assert_eq!((opcode, &reason[..2]), (CLOSE, &1001u16.to_be_bytes()[..]));
    assert!(begun.elapsed() >= 19 * MINUTE);
    server.named_soon("alice").await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_session_that_answered_a_ping_is_over_and_its_recipient_knows() {
    let server = Server::start().await;
    let (_bobby, mut heard) = server.hub.sit("bobby").await.unwrap();
    let mut alice = server.paired("alice", "bobby").await;
    passes(MINUTE + Duration::from_secs(1)).await;
    alice.confirms().await;
    let begun = Instant::now();
    loop {
        if let Some(Event::Parted { user }) = heard.next().await {
            assert_eq!(user.as_str(), "alice");
            break;
        }
    }
    assert!((1..=3).contains(&(begun.elapsed().as_secs() / 60)), "{:?}", begun.elapsed());
    assert_eq!(alice.closed().await, Some(1001));
}

#[tokio::test]
async fn those_who_do_not_sign_in_are_bounded_and_the_oldest_goes_first() {
    let mut limits = Limits::default();
    (limits.loopback_exempt, limits.unsigned_per_address) = (false, 3);
    let server = Server::with(&limits).await;
    let mut signed = server.named("alice").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(server.open().await);
        waiting.last_mut().unwrap().asks("al", "0").await;
    }
    let mut fourth = server.open().await;
    assert_eq!(waiting.remove(0).closed().await, Some(1008));
    fourth.asks("bobby", "1").await;
    for client in &mut waiting {
        client.asks("al", "0").await;
    }
    signed.asks("bobby", "1").await;
}

#[tokio::test]
async fn a_stop_is_told_to_everybody() {
    let server = Server::start().await;
    let (mut nobody, mut named) = (server.open().await, server.named("named").await);
    let mut bobby = server.paired("bobby", "global").await;
    let ends = async { (nobody.closed().await, named.closed().await, bobby.closed().await) };
    let (codes, ()) = tokio::join!(ends, server.stop());
    assert_eq!(codes, (Some(1001), Some(1001), Some(1001)));
}

#[tokio::test]
async fn one_that_never_reads_is_cut_and_slows_nobody() {
    let server = unlimited().await;
    let mut idler = server.paired("idler", "global").await;
    let (mut alice, mut bobby) = (server.paired("alice", "global").await, server.paired("bobby", "global").await);
    let long = "x".repeat(16 * 1024);
    // More than its queue and what the system buffers.
    for n in 0..2000 {
        alice.send(&long).await;
        if alice.hear().await == "[server] User idler left" {
            break;
        }
        assert_eq!(bobby.hear().await.len(), long.len() + "[alice] ".len());
        assert!(n < 1999, "the idler is never cut");
    }
    assert!(matches!(idler.closed().await, Some(1008) | None));
    server.named_soon("idler").await;
}

#[tokio::test]
async fn whoever_is_flooded_at_a_prompt_stays_and_hears_what_was_sent() {
    let server = unlimited().await;
    let mut bobby = server.named("bobby").await;
    let mut alice = server.paired("alice", "bobby").await;
    let long = "x".repeat(16 * 1024);
    let mut sent = 0;
    let refused = loop {
        alice.send(&long).await;
        match alice.hear().await.as_str() {
            "[server] Message sent to user bobby" => sent += 1,
            refused => break refused.to_owned(),
        }
        assert!(sent < 100);
    };
    assert_eq!(refused, "[server] Message not delivered to user bobby: the server is full");
    assert!(sent >= 16, "{sent}");
    bobby.asks("alice", "1").await;
    for _ in 0..sent {
        assert_eq!(bobby.hear().await.len(), long.len() + "[alice] ".len());
    }
    bobby.confirms().await;
}

#[tokio::test]
async fn a_long_frame_is_refused_by_its_header() {
    let server = Server::start().await;
    let mut client = server.open().await;
    client.stream.write_all(&header(FIN | TEXT, 64 << 20)).await.unwrap();
    client.stream.write_all(&[7; 4]).await.unwrap();
    assert_eq!(client.closed().await, Some(1009));
    // The longest that is taken is no nickname.
    let mut client = server.open().await;
    client.asks(&"x".repeat(64 * 1024), "0").await;
    client.asks("alice", "1").await;
    client.asks(&"x".repeat(64 * 1024), "0").await;
}
