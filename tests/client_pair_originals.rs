//! The client of pair chat against a server of another make with its faults, and against what is no such server at all:
//! it tells, tries again, and stays within bounds.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::fakes::{Fake, text};
use common::listener::Listener;
use common::originals::pair::{Original, Pings, frame, read_head};
use common::raw::LONG;
use talk::client::pair::Options;
use talk::client::{Ask, Ended, Event, Happened, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn options(port: u16, name: &str) -> Options {
    Options::new("127.0.0.1", port, name)
}

fn user(port: u16, name: &str, to: &str) -> Listener {
    Listener::of(options(port, name).to(to).connect().unwrap())
}

async fn selected(listener: &mut Listener, whom: &str) {
    let wanted = Event::Selected { to: Some(whom.into()) };
    listener.until(|event| *event == wanted).await;
}

async fn lost(listener: &mut Listener) -> String {
    match listener.until(|event| matches!(event, Event::Lost { .. } | Event::Ended(_))).await {
        Event::Lost { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn times_lost(listener: &Listener) -> usize {
    listener.heard.iter().filter(|event| matches!(event, Event::Lost { .. })).count()
}

#[tokio::test]
async fn two_speak_through_a_server_of_another_make() {
    let original = Original::start(0, Pings::Never).await;
    let mut ann = user(original.port, "ann", "bob");
    ann.connected().await;
    let mut bob = user(original.port, "bob", "ann");
    let id = bob.say("early").await;
    // It holds nothing back from whoever sits at a prompt, and ann does until she asks again.
    assert_eq!(&*ann.message().await.text, "early");
    bob.until_state(&id, &State::Accepted).await;
    selected(&mut ann, "bob").await;
    let id = ann.say("hello").await;
    assert_eq!(ann.states_of(&id, &State::Accepted).await, [State::Queued, State::Sent, State::Accepted]);
    assert_eq!(&*bob.message().await.text, "hello");
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
    let left = bob.until(|event| matches!(event, Event::Happened { .. })).await;
    assert_eq!(left, Event::Happened { room: None, user: "ann".into(), what: Happened::Left });

    let (mut carol, mut dora) = (user(original.port, "carol", "lobby"), user(original.port, "dora", "lobby"));
    selected(&mut dora, "lobby").await;
    carol.say("hello, lobby").await;
    assert_eq!(&*dora.message().await.text, "hello, lobby");
    assert!([ann, bob, carol, dora].iter().all(|listener| times_lost(listener) == 0));
}

#[tokio::test]
async fn ones_own_name_that_is_still_taken_is_waited_for_and_nothing_typed_is_lost() {
    let original = Original::start(2, Pings::Never).await;
    let mut ann = user(original.port, "ann", "lobby");
    selected(&mut ann, "lobby").await;
    original.cut();
    lost(&mut ann).await;
    let id = ann.say("typed meanwhile").await;
    for _ in 0..2 {
        assert_eq!(lost(&mut ann).await, "somebody is called ann already");
    }
    let mut bob = user(original.port, "bob", "lobby");
    selected(&mut bob, "lobby").await;
    assert_eq!(ann.connected().await, (Some("ann".into()), None));
    selected(&mut ann, "lobby").await;
    ann.until_state(&id, &State::Accepted).await;
    assert_eq!(&*bob.message().await.text, "typed meanwhile");
    // A name that was never this client's own is no matter of patience.
    let mut other = user(original.port, "ann", "lobby");
    assert!(matches!(other.ended().await, Ended::Refused(_)));
}

#[tokio::test]
async fn a_text_over_which_the_server_falls_arrives_when_they_are_back() {
    let original = Original::start(0, Pings::Never).await;
    let mut ann = user(original.port, "ann", "bob");
    let mut bob = user(original.port, "bob", "ann");
    selected(&mut ann, "bob").await;
    selected(&mut bob, "ann").await;
    assert_eq!(bob.leave().await, Ended::Left { unsettled: 0 });
    ann.until(|event| matches!(event, Event::Happened { what: Happened::Left, .. })).await;
    let id = ann.say("are you there?").await;
    let reason = lost(&mut ann).await;
    assert!(reason.contains("(1011)"), "{reason}");
    ann.until(|event| matches!(event, Event::Refused { .. })).await;
    let mut bob = user(original.port, "bob", "ann");
    assert_eq!(&*bob.message().await.text, "are you there?");
    let states = ann.states_of(&id, &State::Accepted).await;
    assert_eq!(states, [State::Queued, State::Sent, State::Queued, State::Sent, State::Accepted]);
    let shown = ann.heard.iter().filter(|event| matches!(event, Event::Message(message) if message.own)).count();
    assert_eq!(shown, 1, "it is one text");
}

#[tokio::test]
async fn a_text_over_which_the_server_falls_each_time_is_given_up() {
    let original = Original::start(0, Pings::Never).await;
    let mut ann = user(original.port, "ann", "bob");
    let mut bob = user(original.port, "bob", "ann");
    selected(&mut ann, "bob").await;
    selected(&mut bob, "ann").await;
    original.cut();
    drop(bob);
    lost(&mut ann).await;
    // The name is there, and the line behind it is not.
    let id = ann.say("are you there?").await;
    let failed = |event: &Event| matches!(event, Event::State { id: of, state: State::Failed(_) } if *of == id);
    ann.until(failed).await;
    ann.client.ask(Ask::Select { to: "lobby".into() }).await.unwrap();
    selected(&mut ann, "lobby").await;
    let id = ann.say("anybody?").await;
    ann.until_state(&id, &State::Accepted).await;
}

#[tokio::test]
async fn whoever_answers_pings_never_or_late_is_not_taken_for_dead() {
    for pings in [Pings::Never, Pings::Late] {
        let original = Original::start(0, pings).await;
        let mut ann = user(original.port, "ann", "lobby");
        selected(&mut ann, "lobby").await;
        for _ in 0..2 {
            let id = ann.say("hello").await;
            ann.until_state(&id, &State::Accepted).await;
            tokio::time::pause();
            common::clock::passes(Duration::from_secs(50)).await;
            tokio::time::resume();
        }
        let id = ann.say("still there").await;
        ann.until_state(&id, &State::Accepted).await;
        assert_eq!(times_lost(&ann), 0, "{pings:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_started_again_is_found_again() {
    let original = Original::start(3, Pings::Never).await;
    let mut ann = user(original.port, "ann", "bob");
    let mut bob = user(original.port, "bob", "ann");
    selected(&mut ann, "bob").await;
    selected(&mut bob, "ann").await;
    let mut said = Vec::new();
    for round in 0..3 {
        original.restart();
        lost(&mut ann).await;
        for n in 0..3 {
            said.push(format!("{round} {n}"));
            ann.say(&format!("{round} {n}")).await;
        }
        ann.connected().await;
        selected(&mut ann, "bob").await;
        assert_eq!(bob.others("ann", 3).await, said[said.len() - 3..]);
        let last = ann.say("and done").await;
        said.push("and done".into());
        assert_eq!(bob.others("ann", 1).await, ["and done"]);
        ann.until_state(&last, &State::Accepted).await;
    }
}

#[tokio::test]
async fn what_is_no_upgrade_is_tried_again_or_ends_the_client() {
    let fake = Fake::start().await;
    let mut ann = Listener::of(options(fake.port, "ann").to("bob").path("/chat?x=1").connect().unwrap());
    for answer in ["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "SSH-2.0-OpenSSH_9.9\r\n\r\n", ""] {
        let mut stream = fake.accept().await;
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("GET /chat?x=1 HTTP/1.1\r\n"), "{head}");
        assert!(!head.contains("authorization") && !head.contains("sec-websocket-protocol"), "{head}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        drop(stream);
        lost(&mut ann).await;
    }
    let mut stream = fake.accept().await;
    read_head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nno \x1b[2Jway").await.unwrap();
    let Ended::Refused(reason) = ann.ended().await else { panic!("it goes on") };
    assert!(reason.contains("(404)") && !reason.contains('\u{1b}'), "{reason:?}");
}

#[tokio::test]
async fn garbage_and_huge_frames_cost_one_connection_and_no_more() {
    let fake = Fake::start().await;
    let mut ann = user(fake.port, "ann", "bob");
    let huge = [&[0x81, 127][..], &u64::MAX.to_be_bytes()].concat();
    let split = (0..40).flat_map(|n| frame(if n == 0 { 1 } else { 0 }, &[b' '; 65_000])).collect();
    let reserved = vec![0xf1, 1, b'x'];
    let not_text = frame(0x81, &[0xff, 0xfe]);
    let garbage = (0..20).flat_map(|n| text(&"[{".repeat(n * 100))).collect();
    let answers = (0..20).flat_map(|n| text(if n % 2 == 0 { "0" } else { "1" })).collect();
    let binary = (0..20).flat_map(|_| frame(0x82, b"[bob] hi")).collect();
    for (n, bytes) in [huge, split, reserved, not_text, garbage, answers, binary].into_iter().enumerate() {
        let stream = fake.paired().await;
        selected(&mut ann, "bob").await;
        let (mut reader, mut writer) = stream.into_split();
        let bytes: Vec<u8> = bytes;
        let writing = tokio::spawn(async move { writer.write_all(&bytes).await.map(|()| writer) });
        let reason = lost(&mut ann).await;
        assert!(!reason.is_empty(), "{n}");
        writing.abort();
        let mut rest = Vec::new();
        let _ = timeout(LONG, reader.read_to_end(&mut rest)).await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_waits_in_the_socket_and_is_heard_whole() {
    const MANY: usize = 20_000;
    let fake = Fake::start().await;
    let mut ann = user(fake.port, "ann", "bob");
    let stream = fake.paired().await;
    selected(&mut ann, "bob").await;
    let (_reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        for n in 0..MANY {
            writer.write_all(&text(&format!("[bob] {n} {}", "x".repeat(500)))).await.unwrap();
        }
        writer
    });
    for n in 0..MANY {
        let heard = ann.message().await;
        assert!(heard.text.starts_with(&format!("{n} ")), "{n}");
        ann.heard.clear();
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn what_a_server_says_can_forge_nothing_of_ones_own() {
    let fake = Fake::start().await;
    let mut ann = user(fake.port, "ann", "bob");
    let mut stream = fake.paired().await;
    selected(&mut ann, "bob").await;
    for line in [
        "[server] Message delivered to user bob",
        "[server] Message sent to user bob",
        "[server] Message not delivered to user bob: \u{1b}[2Jno",
        "[server] User b\u{1b}ob left",
        "[b\u{1b}[31mob] h\u{9b}i",
        "\u{1b}c",
    ] {
        stream.write_all(&text(line)).await.unwrap();
    }
    let mut heard = Vec::new();
    ann.until(|event| {
        heard.push(format!("{event:?}"));
        matches!(event, Event::Notice(text) if text == "c")
    })
    .await;
    assert_eq!(heard.len(), 6, "{heard:#?}");
    assert!(heard.iter().all(|event| !event.contains("\\u{1b}") && !event.contains("\\u{9b}")), "{heard:#?}");
    assert!(!heard.iter().any(|event| event.starts_with("State")), "{heard:#?}");
}
