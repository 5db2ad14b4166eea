//! The client of console chat against a server as those in the field are, with all that such a server does wrong.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::console::time_flies;
use common::listener::Listener;
use common::originals::console::{Original, Read, written_as};
use talk::client::console::Options;
use talk::client::{Ask, Client, Ended, Event, Events, Happened, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn connect(port: u16) -> (Client, Events) {
    Options::new("127.0.0.1", port, "ann").connect().unwrap()
}

/// A client that the server knows.
async fn user(server: &mut Original, name: &str) -> Listener {
    let mut user = Listener::of(Options::new("127.0.0.1", server.port, name).connect().unwrap());
    assert_eq!(user.connected().await, (Some(name.into()), None));
    server.named(name).await;
    user
}

/// The texts, and whatever else is known here, of the next events.
async fn heard(user: &mut Listener, count: usize) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.len() < count {
        heard.extend(match user.next().await {
            Event::Message(message) if !message.own => Some(format!("{}: {}", message.from, message.text)),
            Event::Happened { user, what: Happened::Left, .. } => Some(format!("-{user}")),
            Event::Users { names, .. } => Some(names.concat()),
            Event::Notice(text) => Some(text),
            _ => None,
        });
    }
    heard
}

#[tokio::test]
async fn a_server_that_dies_of_glued_objects_lives() {
    time_flies();
    let mut server = Original::delicate().await;
    let mut ann = user(&mut server, "ann").await;
    let mut expected = Vec::new();
    for n in 0..30 {
        expected.push(format!("text {n}"));
        ann.say(&format!("text {n}")).await;
    }
    let long = "ж\"".repeat(2000);
    ann.say(&long).await;
    assert_eq!(server.texts("ann", 30).await, expected);
    let mut pieces = String::new();
    while pieces.len() < long.len() {
        pieces.push_str(&server.texts("ann", 1).await.concat());
    }
    assert_eq!(pieces, long);
    // All at once, also what is asked.
    for _ in 0..5 {
        ann.say("text").await;
        ann.client.ask(Ask::Own { command: "current_time".into() }).await.unwrap();
        ann.client.ask(Ask::Users { room: None }).await.unwrap();
    }
    let mut texts = server.texts("ann", 15).await;
    texts.sort();
    let all = [["cmd!current_time"; 5], ["cmd!participants_count"; 5], ["text"; 5]].concat();
    assert_eq!(texts, all);
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
    assert_eq!(server.texts("ann", 1).await, ["cmd!client_exit"]);
    assert_eq!(server.next().await, Read::Left("ann".into()));
}

#[tokio::test]
async fn the_longest_text_is_read_by_a_server_that_drops_what_it_cannot_read() {
    time_flies();
    let mut server = Original::tolerant().await;
    let (mut ann, mut bob) = (user(&mut server, "ann").await, user(&mut server, "bob").await);
    let long = "0123456789abcde\t".repeat(1024);
    let id = ann.say(&long).await;
    ann.until_state(&id, &State::Sent).await;
    ann.say("end").await;
    let mut relayed = String::new();
    while !relayed.ends_with("end") {
        relayed.push_str(&bob.message().await.text);
    }
    assert_eq!(relayed, format!("{long}end"));
}

#[tokio::test]
async fn objects_are_heard_however_they_come() {
    time_flies();
    let mut server = Original::delicate().await;
    let mut ann = user(&mut server, "ann").await;
    let objects = [
        written_as("message", "bob", "}{ \"жук\" 👋"),
        written_as("system_message", "ann", "Current time: 22:46:57"),
        written_as("message", "bob", &"x".repeat(3000)),
        written_as("system_message", "bob", "Client 'bob' left the chat"),
    ];
    let expected =
        ["bob: }{ \"жук\" 👋", "Current time: 22:46:57", &format!("bob: {}", "x".repeat(3000)), "-bob"].concat();
    // Glued, and then torn.
    server.write("ann", objects.concat());
    assert_eq!(heard(&mut ann, 4).await.concat(), expected);
    let all = objects.concat();
    for piece in all.as_bytes().chunks(7) {
        server.write("ann", piece);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(heard(&mut ann, 4).await.concat(), expected);
}

#[tokio::test]
async fn what_is_asked_is_answered_and_others_are_heard_to_leave() {
    time_flies();
    let mut server = Original::delicate().await;
    let mut ann = user(&mut server, "ann").await;
    let mut bob = user(&mut server, "bob").await;
    for ask in [Ask::Users { room: None }, Ask::Own { command: "cmd!nope".into() }] {
        ann.client.ask(ask).await.unwrap();
    }
    assert_eq!(heard(&mut ann, 2).await, ["2", "The command: 'cmd!nope' is not supported by the server"]);
    bob.say("hi").await;
    bob.leave().await;
    assert_eq!(heard(&mut ann, 2).await, ["bob: hi", "-bob"]);
}

#[tokio::test]
async fn a_restart_is_told_and_loses_nothing_that_was_typed() {
    time_flies();
    let mut server = Original::delicate().await;
    let mut ann = user(&mut server, "ann").await;
    for round in 0..3 {
        ann.say("long ago").await;
        assert_eq!(server.texts("ann", 1).await, ["long ago"]);
        common::clock::passes(Duration::from_secs(6)).await;
        // It hangs, and reads nothing of this; the last two are typed when it is dead.
        server.awake(false);
        let unread = ann.say("just now").await;
        ann.until_state(&unread, &State::Sent).await;
        assert_eq!(server.restart().await, []);
        ann.until(|event| matches!(event, Event::Lost { .. })).await;
        let meanwhile = ann.say("meanwhile").await;
        ann.say("and more").await;
        assert_eq!(ann.connected().await, (Some("ann".into()), None));
        server.named("ann").await;
        assert_eq!(server.texts("ann", 3).await, ["just now", "meanwhile", "and more"], "round {round}");
        let states = [State::Queued, State::Sent];
        assert_eq!(ann.states_of(&meanwhile, &State::Sent).await, states);
        assert_eq!(ann.states_of(&unread, &State::Sent).await, [&states[..], &states].concat());
        let shown = ann
            .heard
            .iter()
            .filter(|event| matches!(event, Event::Message(own) if own.own && own.id.as_ref() == Some(&unread)));
        assert_eq!(shown.count(), 1, "one's own text is shown once");
    }
}

#[tokio::test]
async fn a_server_that_dies_under_others_is_come_back_to() {
    time_flies();
    let mut server = Original::delicate().await;
    let mut ann = user(&mut server, "ann").await;
    // Somebody else's client glues.
    let mut other = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    other.write_all(br#"{"username":"eve"}{"message_type":"message","data":"x"}"#).await.unwrap();
    assert!(matches!(server.next().await, Read::Unreadable(_)));
    ann.until(|event| matches!(event, Event::Lost { .. })).await;
    ann.say("still here").await;
    server.restart().await;
    server.named("ann").await;
    assert_eq!(server.texts("ann", 1).await, ["still here"]);
}

/// A server that says this to whoever comes.
async fn says(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let _ = stream.write_all(&bytes).await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_connection_and_not_the_client() {
    time_flies();
    let hello = written_as("message", "bob", "hi").into_bytes();
    for hostile in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01".to_vec(),
        b"[1]".to_vec(),
        b"{\"data\":\"".iter().copied().chain(vec![b'x'; 1 << 20]).collect(),
        b"{\"a\":".repeat(200),
        b"{\"message_type\":\"message\"}".repeat(200),
        b"{}".repeat(200),
        b"{]".iter().copied().chain([b'}'; 2]).collect(),
    ] {
        let port = says([&hello[..], &hostile].concat()).await;
        let mut ann = Listener::of(connect(port));
        for _ in 0..2 {
            ann.connected().await;
            assert_eq!(&*ann.message().await.text, "hi");
            let lost = ann.until(|event| matches!(event, Event::Lost { .. } | Event::Ended(_))).await;
            let told = matches!(&lost, Event::Lost { reason, .. } if reason.contains("not the console protocol"));
            assert!(told, "{lost:?} after {:?}", String::from_utf8_lossy(&hostile[..hostile.len().min(30)]));
        }
    }
}

#[tokio::test]
async fn what_is_no_text_is_passed_over_and_what_looks_like_another_line_is_not_one() {
    time_flies();
    let objects = [
        "\r\n {\"message_type\":\"message\",\"sender\":7,\"data\":\"x\"}\t",
        r#"{"message_type":"message","sender":"bob","data":["x"]}"#,
        r#"{"message_type":"whatever","sender":"bob","data":"x"}"#,
        r#"{"message_type":"message","sender":"bob","data":"\ud800"}"#,
        r#"{"message_type":"message","sender":"bob\nann","data":"a\u001b[2J\r\nann: b\u2028c"}"#,
    ];
    let port = says(objects.concat().into_bytes()).await;
    let mut ann = Listener::of(connect(port));
    let message = ann.message().await;
    assert_eq!((message.from.as_str(), &*message.text), ("bob ann", "a[2J ann: b c"));
}

#[tokio::test]
async fn a_flood_that_nobody_takes_is_not_read() {
    let flood = written_as("message", "bob", &"x".repeat(900)).repeat(100_000).into_bytes();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (client, mut events) = connect(listener.local_addr().unwrap().port());
    let (mut stream, _) = listener.accept().await.unwrap();
    let (mut written, mut idle) = (0, 0);
    // What the system and the client hold, and then nothing more goes through.
    while idle < 10_000 && written < flood.len() {
        match stream.try_write(&flood[written..]) {
            Ok(more) => (written, idle) = (written + more, 0),
            Err(_) => idle += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(written < flood.len() / 2, "{written} bytes went somewhere");
    // Whoever takes it hears it.
    let rest = tokio::spawn(async move {
        let _ = stream.write_all(&flood[written..]).await;
    });
    let mut heard = 0;
    while heard < 10_000 {
        heard += usize::from(matches!(events.next().await, Some(Event::Message(_))));
    }
    drop((client, events));
    rest.await.unwrap();
}
