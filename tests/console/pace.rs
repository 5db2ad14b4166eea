//! How fast a client is written to, and how fast it may write.

use std::time::Duration;

use talk::hub::{Heard, Hub, Seat};
use talk::limits::Limits;
use talk::message::{Command, Event, MessageId};
use talk::name::RoomName;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, advance};

use crate::common::clock::passes;
use crate::common::console::{Client, PACE, Server, message, object, system};

async fn sit(hub: &Hub, name: &str) -> (Seat, Heard) {
    let (mut seat, heard) = hub.sit(name).await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    (seat, heard)
}

/// Hears the next objects, and sees to it that each came alone and in its time.
async fn paced(client: &mut Client, count: usize) -> Vec<String> {
    let (mut heard, mut last) = (Vec::new(), None::<Instant>);
    for _ in 0..count {
        let object = client.raw().await;
        assert_eq!(client.waiting(), 0, "two came at once: {object}");
        assert!(object.len() <= 1024, "{} bytes", object.len());
        if let Some(last) = last {
            // The clients in the field look each 200 ms.
            assert!(last.elapsed() >= Duration::from_millis(200), "{object} came after {:?}", last.elapsed());
        }
        last = Some(Instant::now());
        heard.push(object);
    }
    heard
}

#[tokio::test]
async fn whatever_comes_at_once_is_heard_one_object_at_a_time() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    let glued: String = (0..20).map(|n| object("message", &n.to_string())).collect();
    let begun = Instant::now();
    alice.write(glued).await;
    let heard = paced(&mut bob, 20).await;
    let expected: Vec<_> = (0..20).map(|n| message("alice", &n.to_string())).collect();
    assert_eq!(heard, expected);
    assert!(begun.elapsed() >= PACE * 19, "{:?}", begun.elapsed());
    // Answers keep the same time.
    for _ in 0..3 {
        bob.command("cmd!participants_count").await;
    }
    assert_eq!(paced(&mut bob, 3).await, vec![system("bob", "Participants count: 2"); 3]);
}

#[tokio::test]
async fn a_long_text_comes_in_several_objects_and_the_next_behind_them() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    let text = "ж\"👋 a\n".repeat(600);
    alice.say(&text).await;
    alice.say("end").await;
    let mut whole = String::new();
    loop {
        let object = paced(&mut bob, 1).await.remove(0);
        if object == message("alice", "end") {
            break;
        }
        let piece: serde_json::Value = serde_json::from_str(&object).unwrap();
        assert_eq!((&piece["message_type"], &piece["sender"]), (&"message".into(), &"alice".into()));
        whole += piece["data"].as_str().unwrap();
        assert!(object.len() > 900 || whole.len() == text.len(), "{} bytes", object.len());
    }
    assert_eq!(whole, text.replace('\n', " "));
}

#[tokio::test]
async fn a_flood_costs_skipped_messages_and_nothing_else() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    let (_watcher, mut watched) = sit(&server.hub, "watcher").await;
    const FLOOD: usize = 3000;
    let watching = tokio::spawn(async move {
        let mut seen = 0;
        while seen < FLOOD {
            if let Event::Message(post) = watched.next().await.unwrap() {
                assert_eq!(*post.record.body, seen.to_string());
                seen += 1;
            }
        }
    });
    let glued: String = (0..FLOOD).map(|n| object("message", &n.to_string())).collect();
    alice.write(glued).await;
    // Others heard all of it.
    watching.await.unwrap();
    let queued = server.hub.gauges().queued_messages;
    assert!(queued <= Limits::default().console_messages, "{queued}");
    let (mut heard, mut skipped, mut notices) = (0, 0, 0);
    let mut next = 0;
    while heard + skipped < FLOOD {
        let object = paced(&mut bob, 1).await.remove(0);
        let object: serde_json::Value = serde_json::from_str(&object).unwrap();
        let data = object["data"].as_str().unwrap();
        if object["message_type"] == "message" {
            let n: usize = data.parse().unwrap();
            assert!(n >= next, "{n} came behind {next}");
            next = n + 1;
            heard += 1;
        } else {
            assert_eq!(object["sender"], "bob");
            skipped += data.strip_suffix(" messages skipped").unwrap().parse::<usize>().unwrap();
            notices += 1;
        }
    }
    assert_eq!((next, heard + skipped), (FLOOD, FLOOD));
    // One for the flood; another only if it seemed to be over for a moment.
    assert!((1..=2).contains(&notices), "{notices}");
    assert!((64..100).contains(&heard), "{heard}");
    alice.say("after").await;
    assert_eq!(bob.raw().await, message("alice", "after"));
    assert!(alice.stream.try_read(&mut [0; 1]).is_err(), "alice hears nothing of her own");
}

#[tokio::test]
async fn a_flood_that_does_not_end_is_told_of_now_and_then() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    let flood = tokio::spawn(async move {
        loop {
            let glued: String = (0..20).map(|n| object("message", &n.to_string())).collect();
            alice.write(glued).await;
            passes(Duration::from_millis(50)).await;
        }
    });
    let mut told = Vec::new();
    for at in 0..100 {
        if !bob.raw().await.contains("\"message\"") {
            told.push(at);
        }
    }
    flood.abort();
    // About each five seconds, which is each twenty objects.
    assert!((3..=7).contains(&told.len()), "{told:?}");
}

#[tokio::test]
async fn who_does_not_read_costs_what_may_wait_and_is_not_cut() {
    let server = Server::start().await;
    let (mut alice, mut silent) = (server.join("alice").await, server.join("silent").await);
    let long = "x".repeat(16_000);
    for _ in 0..300 {
        silent.command("cmd!current_time").await;
        alice.say(&long).await;
    }
    alice.command("cmd!participants_count").await;
    assert_eq!(alice.raw().await, system("alice", "Participants count: 2"));
    let gauges = server.hub.gauges();
    let limits = Limits::default();
    // And one message that was begun, or is longer than everything else.
    assert!(gauges.queued_messages <= limits.console_messages + 1, "{gauges:?}");
    assert!(gauges.queued_bytes <= limits.console_messages * 1024 + 20_000, "{gauges:?}");
    alice.say("are you there?").await;
    silent.say("yes").await;
    assert_eq!(alice.raw().await, message("silent", "yes"));
}

#[tokio::test]
async fn a_receipt_says_sent_when_the_socket_has_it() {
    let server = Server::start().await;
    let bob = server.join("bob").await;
    let (mut ann, mut heard) = sit(&server.hub, "ann").await;
    for n in 1..=6 {
        let id = Some(MessageId::new(&n.to_string()).unwrap());
        ann.run(Command::Say { room: None, body: n.to_string().into(), id }).await.unwrap();
    }
    loop {
        if let Event::Receipt { id, sent, delivered, members, .. } = heard.next().await.unwrap() {
            assert_eq!((delivered, members), (0, 1));
            if id.as_str() == "6" && sent == 1 {
                break;
            }
        }
    }
    let mut bytes = Vec::new();
    while bob.stream.try_read_buf(&mut bytes).is_ok_and(|read| read > 0) {}
    assert!(String::from_utf8(bytes).unwrap().ends_with(&message("ann", "6")));
}

#[tokio::test]
async fn somebody_may_sit_at_the_prompt_for_minutes() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.join("alice").await, server.connect().await);
    advance(Duration::from_secs(120)).await;
    bob.write(r#"{"user"#).await;
    advance(Duration::from_secs(120)).await;
    bob.write(r#"name":"bob"}"#).await;
    advance(Duration::from_secs(3600)).await;
    bob.say("I had to think").await;
    assert_eq!(alice.raw().await, message("bob", "I had to think"));
}

#[tokio::test]
async fn a_prompt_at_which_nobody_sits_is_closed_after_ten_minutes() {
    let server = Server::start().await;
    let mut nobody = server.connect().await;
    let begun = Instant::now();
    passes(Duration::from_secs(1)).await;
    nobody.write(r#"{"username":"#).await;
    advance(Duration::from_secs(590)).await;
    passes(Duration::from_secs(1)).await;
    assert!(nobody.stream.try_read(&mut [0]).is_err(), "it is open");
    assert_eq!(nobody.stream.read(&mut [0]).await.unwrap(), 0);
    assert!(begun.elapsed() >= Duration::from_secs(600), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_writes_too_fast_is_read_more_slowly_and_loses_nothing() {
    let server = Server::with(&Limits::default()).await;
    let (_watcher, mut watched) = sit(&server.hub, "watcher").await;
    let mut alice = server.join("alice").await;
    let begun = Instant::now();
    let glued: String = (0..160).map(|n| object("message", &n.to_string())).collect();
    alice.write(glued).await;
    let mut seen = 0;
    while seen < 160 {
        if let Event::Message(post) = watched.next().await.unwrap() {
            assert_eq!(*post.record.body, seen.to_string());
            seen += 1;
        }
    }
    // 60 at once, and then 20 a second.
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    alice.say("still here").await;
    alice.command("cmd!participants_count").await;
    assert_eq!(alice.raw().await, system("alice", "Participants count: 2"));
}
