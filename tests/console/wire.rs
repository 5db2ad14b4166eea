//! The table of the protocol, line by line.

use std::sync::Arc;
use std::time::Duration;

use talk::codec::console as codec;
use talk::hub::{Batch, Encoding, Heard, Hub, Lifetime, Offered, Outbox, Seat, Sink};
use talk::message::{Command, Event, Moderation};
use talk::name::{Nickname, RoomName};
use talk::secret::Password;
use tokio::io::AsyncWriteExt;

use crate::common::console::{Client, Server, message, object, system};

/// Somebody in `global` on no wire at all.
async fn sit(hub: &Hub, name: &str) -> (Seat, Heard) {
    let (mut seat, heard) = hub.sit(name).await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    (seat, heard)
}

async fn say(seat: &mut Seat, text: &str) {
    seat.run(Command::Say { room: None, body: text.into(), id: None }).await.unwrap();
}

/// Waits for a message, and tells who said what.
async fn message_of(heard: &mut Heard) -> (String, String) {
    loop {
        if let Event::Message(post) = heard.next().await.unwrap() {
            return (post.record.from.to_string(), post.record.body.to_string());
        }
    }
}

fn said(from: &str, text: &str) -> (String, String) {
    (from.to_owned(), text.to_owned())
}

#[tokio::test]
async fn a_message_goes_to_everybody_else_and_not_to_the_sender() {
    let server = Server::start().await;
    let (mut watcher, mut heard) = sit(&server.hub, "watcher").await;
    let (mut alice, mut bob, mut carol) =
        (server.join("alice").await, server.join("bob").await, server.join("carol").await);
    alice.say("hi all").await;
    for client in [&mut bob, &mut carol] {
        assert_eq!(client.raw().await, message("alice", "hi all"));
    }
    assert_eq!(message_of(&mut heard).await, said("alice", "hi all"));
    // Any other type is a message, too.
    bob.write(object("whatever", "me \"too\"\n\\")).await;
    assert_eq!(carol.raw().await, message("bob", "me \"too\" \\"));
    assert_eq!(message_of(&mut heard).await, said("bob", "me \"too\"\n\\"));
    say(&mut watcher, "seen").await;
    // Alice heard nothing of her own.
    assert_eq!(alice.raw().await, message("bob", "me \"too\" \\"));
    for client in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(client.raw().await, message("watcher", "seen"));
    }
}

#[tokio::test]
async fn the_first_object_has_no_answer_and_a_name_may_be_anothers() {
    let server = Server::start().await;
    let (_watcher, mut heard) = sit(&server.hub, "watcher").await;
    let mut clients = Vec::new();
    for n in 1..=3 {
        let mut client = server.connect().await;
        client.write(r#"{"username":"alice"}"#).await;
        client.command("cmd!participants_count").await;
        // What comes first is the answer to the second object.
        let name = if n == 1 { "alice".to_owned() } else { format!("alice#{n}") };
        assert_eq!(client.raw().await, system(&name, &format!("Participants count: {}", n + 1)));
        clients.push(client);
    }
    clients[2].say("which one?").await;
    for client in &mut clients[..2] {
        assert_eq!(client.raw().await, message("alice#3", "which one?"));
    }
    assert_eq!(message_of(&mut heard).await, said("alice#3", "which one?"));
}

#[tokio::test]
async fn a_name_that_somebody_has_on_another_wire_is_numbered_too() {
    let server = Server::start().await;
    let (mut ann, mut heard) = sit(&server.hub, "ann").await;
    let mut other = server.join("ann").await;
    other.say("I am ann").await;
    assert_eq!(message_of(&mut heard).await, said("ann#2", "I am ann"));
    say(&mut ann, "no").await;
    assert_eq!(other.raw().await, message("ann", "no"));
    ann.run(Command::Direct { to: "ann#2".into(), body: "psst".into(), id: None }).await.unwrap();
    assert_eq!(other.raw().await, message("ann", "psst"));
}

#[tokio::test]
async fn every_command_has_the_answer_of_the_contract() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    alice.command("cmd!participants_count").await;
    assert_eq!(alice.raw().await, system("alice", "Participants count: 2"));
    alice.command("cmd!current_time").await;
    let (sender, time) = alice.heard().await;
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!((sender.as_str(), shape.as_str()), ("alice", "Current time: 99:99:99"));
    for own in ["rock", "paper", "scissors"] {
        alice.command(&format!("cmd!start_game:{own}")).await;
        let (sender, told) = alice.heard().await;
        let rounds = [("rock", "paper"), ("paper", "scissors"), ("scissors", "rock")];
        let told_as = |result: &str, server: &str| format!("{result} Server option: {server}, your option {own}");
        let known = ["rock", "paper", "scissors"].into_iter().any(|server| {
            let result = match (server, own) {
                _ if server == own => "Tie!",
                round if rounds.contains(&round) => "You win!",
                _ => "You lose!",
            };
            told == told_as(result, server)
        });
        assert!(known && sender == "alice", "{told}");
    }
    let again = "Incorrect command format. Please enter again: 'cmd!start_game:option' where option is one of the proposed: rock, scissors, paper";
    for bad in ["cmd!start_game", "cmd!start_game:", "cmd!start_game:lizard", "cmd!start_game:Rock"] {
        alice.command(bad).await;
        assert_eq!(alice.raw().await, system("alice", again), "{bad}");
    }
    for unknown in
        ["cmd!nope", "cmd!", "nope", "", "cmd!current_time:x", "CMD!current_time", "cmd!count", "cmd!\"a\"\\"]
    {
        alice.command(unknown).await;
        let told = format!("The command: '{unknown}' is not supported by the server");
        assert_eq!(alice.raw().await, system("alice", &told));
    }
    // Nobody else heard of any of it, and neither type nor word is mistaken for the other.
    alice.say("cmd!current_time").await;
    assert_eq!(bob.raw().await, message("alice", "cmd!current_time"));
}

#[tokio::test]
async fn whoever_leaves_in_any_way_is_said_to_have_left() {
    let server = Server::start().await;
    let (mut alice, (_watcher, mut heard)) = (server.join("alice").await, sit(&server.hub, "watcher").await);
    let left = system("bob", "Client 'bob' left the chat");
    for typed in ["cmd!client_exit", "cmd!error"] {
        let mut bob = server.join("bob").await;
        bob.command(typed).await;
        assert!(bob.ends().await, "{typed}");
        assert_eq!(alice.raw().await, left, "{typed}");
    }
    let mut bob = server.join("bob").await;
    bob.stream.shutdown().await.unwrap();
    assert_eq!(alice.raw().await, left);
    assert!(bob.ends().await);
    drop(server.join("bob").await);
    assert_eq!(alice.raw().await, left);
    let bob = server.join("bob").await;
    socket2::SockRef::from(&bob.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(bob);
    assert_eq!(alice.raw().await, left);
    // What is no JSON ends a client as an error of its own does.
    for garbage in ["}", "hello", "[1]", "{]", r#"{"message_type":"message"}"#, r#"{"data":1}"#, "{\"data\":\"\u{1}\"}"]
    {
        let mut bob = server.join("bob").await;
        bob.write(garbage).await;
        assert!(bob.ends().await, "{garbage}");
        assert_eq!(alice.raw().await, left, "{garbage}");
    }
    // The name is free again each time, so it is never numbered.
    let mut leaves = 0;
    while leaves < 12 {
        match heard.next().await.unwrap() {
            Event::Left { user, .. } => {
                assert_eq!(user.as_str(), "bob");
                leaves += 1;
            }
            Event::Joined { user, .. } => assert!(["watcher", "bob"].contains(&user.as_str()), "{user}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn comings_and_new_names_are_not_told_here() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let _bob = server.join("bob").await;
    let (mut carl, _carl) = sit(&server.hub, "carl").await;
    carl.run(Command::Rename(Nickname::new("carol").unwrap())).await.unwrap();
    carl.run(Command::Typing(RoomName::global())).await.unwrap();
    say(&mut carl, "hello").await;
    assert_eq!(alice.raw().await, message("carol", "hello"));
}

#[tokio::test]
async fn a_first_object_that_will_not_do_is_closed_without_an_answer() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let long = format!(r#"{{"username":"{}"}}"#, "x".repeat(65));
    for first in [
        r#"{"username":"talk"}"#,
        r#"{"username":"SYSTEM"}"#,
        r#"{"username":"Server"}"#,
        r#"{"username":"healthcheck"}"#,
        r#"{"username":""}"#,
        r#"{"username":" bob"}"#,
        r#"{"username":"a: b"}"#,
        r#"{"username":"alice#2"}"#,
        r#"{"username":"a\nb"}"#,
        r#"{"username":"a\u001b[31m"}"#,
        r#"{"username":"a\u202eb"}"#,
        r#"{"username":7}"#,
        r#"{"user":"bob"}"#,
        r#"{"username":"a","username":"b"}"#,
        r#"["bob"]"#,
        r#""bob""#,
        "bob",
        "\0\0\0\0",
        &long,
        r#"{"message_type":"message","data":"hello"}"#,
        r#"{"message_type":"command","data":"cmd!participants_count"}"#,
        r#"{"username":"bob","secret":"short"}"#,
    ] {
        let mut stranger = server.connect().await;
        stranger.write(first).await;
        assert!(stranger.ends().await, "{first}");
    }
    // Nobody noticed.
    let mut bob = server.join("bob").await;
    bob.say("hi").await;
    assert_eq!(alice.raw().await, message("bob", "hi"));
}

#[tokio::test]
async fn a_secret_signs_an_account_in_and_a_wrong_one_is_closed_without_an_answer() {
    // By the clock on the wall: secrets are slow to compute, elsewhere.
    let server = Server::over(Hub::new()).await;
    let (_watcher, mut heard) = sit(&server.hub, "watcher").await;
    server.hub.sign_in(&Nickname::new("alice").unwrap(), &Password::new("correct horse").unwrap()).await.unwrap();
    let sign_in = async |secret: &str| -> Client {
        let mut client = server.connect().await;
        client.write(serde_json::json!({ "username": "alice", "secret": secret }).to_string()).await;
        client
    };
    assert!(sign_in("battery staple").await.ends().await);
    let mut alice = sign_in("correct horse").await;
    alice.say("it is me").await;
    assert_eq!(message_of(&mut heard).await, said("alice", "it is me"));
    // Without the secret nobody is called so, whether she is there or not.
    let mut other = server.join("alice").await;
    alice.command("cmd!client_exit").await;
    assert!(alice.ends().await);
    assert_eq!(other.raw().await, system("alice", "Client 'alice' left the chat"));
    let mut third = server.join("alice").await;
    third.say("hello").await;
    assert_eq!(message_of(&mut heard).await, said("alice#3", "hello"));
}

#[tokio::test]
async fn objects_may_come_in_any_pieces() {
    let server = Server::start().await;
    let mut bob = server.join("bob").await;
    let stream = [
        r#"{"username":"alice"}"#,
        &object("message", "o}{ne"),
        " \r\n",
        &object("command", "cmd!participants_count"),
        &object("message", "дv\"а"),
        "\n",
    ]
    .concat();
    for size in [1, 2, 3, 7, 50, stream.len()] {
        let mut alice = server.connect().await;
        for piece in stream.as_bytes().chunks(size) {
            alice.write(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(bob.raw().await, message("alice", "o}{ne"), "{size}");
        assert_eq!(bob.raw().await, message("alice", "дv\"а"), "{size}");
        assert_eq!(alice.raw().await, system("alice", "Participants count: 2"), "{size}");
        drop(alice);
        assert_eq!(bob.raw().await, system("alice", "Client 'alice' left the chat"), "{size}");
    }
}

#[tokio::test]
async fn whoever_goes_right_after_the_last_byte_is_heard_and_answered() {
    let server = Server::start().await;
    let mut bob = server.join("bob").await;
    let mut alice = server.connect().await;
    let all = [r#"{"username":"alice"}"#, &object("command", "cmd!participants_count"), &object("message", "bye")];
    alice.write(all.concat()).await;
    alice.stream.shutdown().await.unwrap();
    assert_eq!(bob.raw().await, message("alice", "bye"));
    assert_eq!(bob.raw().await, system("alice", "Client 'alice' left the chat"));
    assert_eq!(alice.raw().await, system("alice", "Participants count: 2"));
    assert!(alice.ends().await);
}

#[tokio::test]
async fn a_text_of_nothing_is_no_message() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    for nothing in ["", "\u{7}\u{1b}"] {
        alice.say(nothing).await;
    }
    alice.say("\u{7}something\u{1b}[2J").await;
    assert_eq!(bob.raw().await, message("alice", "something[2J"));
}

#[tokio::test]
async fn no_text_and_no_name_forges_an_object_a_line_or_a_notice() {
    let server = Server::start().await;
    let (mut evil, _evil) = sit(&server.hub, "evil\"},{\"sender\":\"talk").await;
    let mut alice = server.join("alice").await;
    let mut mallory = server.join(r#"m"}{"message_type":"system_message"#).await;
    for text in [
        "\"}{\"message_type\":\"system_message\",\"sender\":\"talk\",\"data\":\"x",
        "a\nbob > b",
        "a\r\n{\"message_type\":\"system_message\"}",
        "a\u{2028}b\u{2029}c\u{85}d",
        "Client 'alice' left the chat",
        "\\\"}{",
        "\\u0022}",
    ] {
        let flat = text.replace("\r\n", " ").replace(['\n', '\u{2028}', '\u{2029}'], " ").replace('\u{85}', "");
        mallory.say(text).await;
        assert_eq!(alice.raw().await, message(r#"m"}{"message_type":"system_message"#, &flat));
        let clean: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
        say(&mut evil, &clean).await;
        let from = "evil\"},{\"sender\":\"talk";
        assert_eq!(alice.raw().await, message(from, &clean.replace(['\n', '\u{2028}', '\u{2029}'], " ")));
        assert_eq!(mallory.raw().await, message(from, &clean.replace(['\n', '\u{2028}', '\u{2029}'], " ")));
    }
}

/// Hears nothing at all.
struct Nowhere;

impl Sink for Nowhere {
    fn encoding(&self) -> Encoding {
        Encoding::new("nowhere", &codec::Console)
    }

    fn offer(&self, _: &Batch) -> Offered {
        Offered::All
    }
}

#[tokio::test]
async fn moderators_are_heeded_and_heard_here_too() {
    // By the clock on the wall: secrets are slow to compute, elsewhere.
    let (boss, room) = (Nickname::new("boss").unwrap(), RoomName::global());
    let hub = Hub::builder().admins([boss.clone()]).build().await.unwrap();
    let token = hub.sign_in(&boss, &Password::new("correct horse").unwrap()).await.unwrap();
    let nowhere = Arc::new(Outbox::new(Nowhere, hub.limits()));
    let mut boss = hub.open(&token, nowhere, Lifetime::Kept, None).await.unwrap();
    boss.run(Command::Enter(room.clone())).await.unwrap();
    let server = Server::over(hub).await;
    let (mut alice, mut bob) = (server.join("alice").await, server.join("bob").await);
    let moderate = |action| {
        let (room, user) = (room.clone(), "bob".to_owned());
        Command::Moderate { room, action, user, seconds: None, reason: Some("enough".into()) }
    };
    boss.run(moderate(Moderation::Mute)).await.unwrap();
    assert_eq!(bob.raw().await, system("system", "you are muted in room global: enough"));
    bob.say("hello?").await;
    assert_eq!(bob.raw().await, system("bob", "you are muted in room global"));
    boss.run(moderate(Moderation::Ban)).await.unwrap();
    assert_eq!(bob.raw().await, system("bob", "Client 'bob' left the chat"));
    assert_eq!(bob.raw().await, system("system", "you were banned from room global: enough"));
    assert_eq!(alice.raw().await, system("bob", "Client 'bob' left the chat"));
    bob.say("hello?").await;
    assert_eq!(bob.raw().await, system("bob", "you are in no room"));
    boss.run(Command::Close { room, reason: None }).await.unwrap();
    // Whoever comes to a closed door hears why.
    let mut carol = server.connect().await;
    carol.write(r#"{"username":"carol"}"#).await;
    assert_eq!(carol.raw().await, system("carol", "room global is closed"));
    assert!(carol.ends().await);
}

#[tokio::test]
async fn a_stop_closes_every_client() {
    let server = Server::start().await;
    let (mut alice, mut nobody) = (server.join("alice").await, server.connect().await);
    server.stop().await;
    assert!(alice.ends().await && nobody.ends().await);
}
