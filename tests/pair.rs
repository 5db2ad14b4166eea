//! Pair chat as clients in the field speak it: every line of the wire, over sockets and byte by byte.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::page::blocks;
use common::pair_chat::{Client, Server};
use common::raw_websocket::{PING, TEXT, frame, read_frame, text};
use common::rooms::said;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use talk::message::{Command, Event};
use talk::name::{Nickname, RoomName};
use talk::secret::Password;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

const FIN: u8 = 0x80;

#[tokio::test]
async fn a_nickname_is_answered_by_one_character_and_whoever_heard_0_may_try_again() {
    let server = Server::start().await;
    let mut alice = server.open().await;
    for bad in ["", "al", "1alice", "al.ice", "alice#2", "server", "healthCHECK", &"a".repeat(21), "alice\n", "0", "1"]
    {
        alice.asks(bad, "0").await;
    }
    alice.stream.write_all(&text("alice")).await.unwrap();
    let mut bytes = [0; 3];
    alice.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, [0x81, 1, b'1']);
}

#[tokio::test]
async fn a_nickname_that_somebody_has_on_any_wire_is_answered_0() {
    let server = Server::start().await;
    let _alice = server.named("alice").await;
    let _guest = server.rooms.join("guest").await;
    server.hub.sign_in(&Nickname::new("account").unwrap(), &Password::new("a long secret").unwrap()).await.unwrap();
    let mut client = server.open().await;
    for taken in ["alice", "guest", "account"] {
        client.asks(taken, "0").await;
    }
    // Names are compared letter by letter.
    client.asks("Alice", "1").await;
    assert_eq!(server.rooms.try_name("Alice").await, 403);
}

#[tokio::test]
async fn a_recipient_is_a_user_who_is_here_or_a_room_and_the_user_comes_first() {
    let server = Server::start().await;
    let mut alice = server.named("alice").await;
    for nobody in ["bobby", "", "no room", "lobby", "..", "alice\n", &"x".repeat(1000)] {
        alice.asks(nobody, "0").await;
    }
    let mut maker = server.rooms.join("maker").await;
    maker.command("createroom", json!({ "name": "lobby" })).await;
    maker.until(&said("system", "maker joined")).await;
    alice.asks("lobby", "1").await;
    alice.send("to the room").await;
    maker.until(&said("alice", "to the room")).await;

    let mut lobby = server.paired("lobby", "global").await;
    let mut carol = server.paired("carol", "lobby").await;
    carol.send("to the user").await;
    lobby.hears(&["[carol] to the user"]).await;
    carol.hears(&["[server] Message sent to user lobby"]).await;
    // Who has an account but no session is not here.
    server.hub.sign_in(&Nickname::new("account").unwrap(), &Password::new("a long secret").unwrap()).await.unwrap();
    server.named("dave").await.asks("account", "0").await;
}

#[tokio::test]
async fn a_text_to_a_user_is_theirs_alone_and_confirmed() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut bystander = server.paired("carol", "global").await;
    let mut guest = server.rooms.join("guest").await;
    let mut alice = server.paired("alice", "bobby").await;
    alice.send("hello").await;
    // To the byte: the text, then a ping that nobody else gets.
    let mut line = vec![0x81, 13];
    line.extend(b"[alice] hello");
    let mut bytes = vec![0; line.len()];
    bobby.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, line);
    alice.hears(&["[server] Message sent to user bobby"]).await;
    let (opcode, payload) = read_frame(&mut bobby.stream).await.unwrap();
    assert_eq!(opcode, PING);
    // Another payload confirms nothing.
    bobby.pong(b"idle").await;
    bobby.pong(b"direct 99").await;
    bobby.settled().await;
    bobby.pong(&payload).await;
    alice.hears(&["[server] Message delivered to user bobby"]).await;
    // The next is asked for by another ping.
    alice.tells(&mut bobby, "again", "[alice] again").await;
    assert!(bobby.pings.len() == 1 && bobby.pings[0] != payload);

    // Nobody else heard any of it.
    bobby.send("to all").await;
    bobby.hears(&["[server] Message sent to room global"]).await;
    bystander.hears(&["[bobby] to all"]).await;
    guest.until(&said("bobby", "to all")).await;
    assert!(bystander.pings.is_empty() && alice.pings.is_empty());
}

#[tokio::test]
async fn a_text_to_a_room_is_heard_by_all_who_are_there_and_sent_is_all_its_author_hears() {
    let server = Server::start().await;
    let mut guest = server.rooms.join("guest").await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut alice = server.paired("alice", "global").await;
    let mut carol = server.paired("carol", "bobby").await;
    alice.send("hello").await;
    alice.hears(&["[server] Message sent to room global"]).await;
    bobby.hears(&["[alice] hello"]).await;
    guest.until(&said("alice", "hello")).await;
    guest.say("welcome").await;
    // Neither an echo nor a receipt nor a coming is between.
    alice.hears(&["[guest] welcome"]).await;
    bobby.hears(&["[guest] welcome"]).await;
    assert!(alice.pings.is_empty() && bobby.pings.is_empty());
    // Who is paired with a user hears nothing of the room.
    carol.send("psst").await;
    carol.hears(&["[server] Message sent to user bobby"]).await;
    bobby.hears(&["[carol] psst"]).await;
}

#[tokio::test]
async fn at_a_prompt_nothing_is_heard_but_the_answers_and_the_rest_comes_behind_them() {
    let server = Server::start().await;
    let mut bobby = server.named("bobby").await;
    let mut guest = server.rooms.join("guest").await;
    let mut alice = server.paired("alice", "bobby").await;
    for n in 1..=3 {
        alice.send(&format!("text {n}")).await;
        // Sent at once, and no more than that.
        alice.hears(&["[server] Message sent to user bobby"]).await;
    }
    guest.command("direct", json!({ "to": "bobby", "body": "me too" })).await;
    guest.until(&said("guest", "me too")).await;
    alice.stream.write_all(&text(":quit:")).await.unwrap();
    assert_eq!(alice.closed().await, Some(1000));
    // A pong that nobody asked for confirms nothing; a ping of the client's own is answered.
    bobby.pong(b"direct 4").await;
    bobby.settled().await;
    bobby.asks("nobody", "0").await;
    bobby.asks("alice", "0").await;
    bobby.asks("guest", "1").await;
    let lines = ["[alice] text 1", "[alice] text 2", "[alice] text 3", "[guest] me too", "[server] User alice left"];
    bobby.hears(&lines).await;
    assert_eq!(bobby.pings.len(), 4);
}

#[tokio::test]
async fn pairing_is_one_sided() {
    let server = Server::start().await;
    let _carol = server.paired("carol", "global").await;
    let mut bobby = server.paired("bobby", "carol").await;
    let mut alice = server.paired("alice", "bobby").await;
    alice.send("hello").await;
    bobby.hears(&["[alice] hello"]).await;
    bobby.send("hello carol").await;
    bobby.hears(&["[server] Message sent to user carol"]).await;
    alice.hears(&["[server] Message sent to user bobby", "[server] Message delivered to user bobby"]).await;
    // With oneself, too.
    let mut alone = server.paired("alone", "alone").await;
    alone.send("anybody?").await;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(alone.hear().await);
    }
    assert_eq!(heard[0], "[alone] anybody?");
    assert_eq!(heard[1..], ["[server] Message sent to user alone", "[server] Message delivered to user alone"]);
}

#[tokio::test]
async fn whatever_takes_direct_messages_can_be_spoken_to() {
    let server = Server::start().await;
    // A plain session confirms by its pong.
    let mut plain = server.rooms.join("plain").await;
    let mut alice = server.paired("alice", "plain").await;
    alice.send("hello").await;
    plain.until(&said("alice", "hello")).await;
    let (opcode, payload) = read_frame(&mut plain.stream).await.unwrap();
    assert_eq!(opcode, PING);
    plain.stream.write_all(&frame(FIN | 10, &payload)).await.unwrap();
    alice.hears(&["[server] Message sent to user plain", "[server] Message delivered to user plain"]).await;
    // A rich one by saying so.
    let mut rich = server.rooms.rich("rich").await;
    let mut bobby = server.paired("bobby", "rich").await;
    bobby.send("hello").await;
    let heard = rich.of_type("message").await;
    assert_eq!((&heard["from"], &heard["body"]), (&json!("bobby"), &json!("hello")));
    rich.command("received", json!({ "room": heard["room"], "seq": heard["seq"] })).await;
    bobby.hears(&["[server] Message sent to user rich", "[server] Message delivered to user rich"]).await;
    // And both can speak to somebody here.
    plain.command("direct", json!({ "to": "alice", "body": "hi\nthere" })).await;
    alice.hears(&["[plain] hi there"]).await;
    rich.command("direct", json!({ "to": "bobby", "body": "hi", "id": "1" })).await;
    bobby.hears(&["[rich] hi"]).await;
    bobby.confirms().await;
    while rich.of_type("receipt").await["state"] != "delivered" {}
}

#[tokio::test(start_paused = true)]
async fn a_text_that_nobody_confirms_was_not_delivered_and_a_late_pong_changes_nothing() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    bobby.answers = false;
    let mut alice = server.paired("alice", "bobby").await;
    alice.send("hello").await;
    alice.hears(&["[server] Message sent to user bobby"]).await;
    let begun = tokio::time::Instant::now();
    alice.hears(&["[server] Message not delivered to user bobby: timed out"]).await;
    assert!((9..12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    bobby.hears(&["[alice] hello"]).await;
    let (opcode, payload) = read_frame(&mut bobby.stream).await.unwrap();
    assert_eq!(opcode, PING);
    bobby.pong(&payload).await;
    bobby.settled().await;
    bobby.answers = true;
    alice.tells(&mut bobby, "and now?", "[alice] and now?").await;
}

#[tokio::test(start_paused = true)]
async fn whoever_confirms_what_was_shown_late_was_not_waited_for_meanwhile() {
    let server = Server::start().await;
    let mut bobby = server.named("bobby").await;
    let mut alice = server.paired("alice", "bobby").await;
    alice.send("hello").await;
    alice.hears(&["[server] Message sent to user bobby"]).await;
    common::clock::passes(std::time::Duration::from_secs(100)).await;
    bobby.asks("alice", "1").await;
    bobby.hears(&["[alice] hello"]).await;
    let (opcode, payload) = read_frame(&mut bobby.stream).await.unwrap();
    assert_eq!(opcode, PING);
    bobby.pong(&payload).await;
    alice.hears(&["[server] Message delivered to user bobby"]).await;
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_confirm_sent_is_the_last_word() {
    let server = Server::start().await;
    let (_seat, mut heard) = server.hub.sit("embedded").await.unwrap();
    let mut alice = server.paired("alice", "embedded").await;
    alice.send("hello").await;
    alice.hears(&["[server] Message sent to user embedded"]).await;
    while !matches!(heard.next().await, Some(Event::Message(_))) {}
    common::clock::passes(std::time::Duration::from_secs(20)).await;
    alice.send("and again").await;
    alice.hears(&["[server] Message sent to user embedded"]).await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_told_in_place_of_sent_and_the_session_goes_on() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut alice = server.paired("alice", "bobby").await;
    alice.tells(&mut bobby, "one", "[alice] one").await;
    bobby.send(":quit:").await;
    assert_eq!(bobby.closed().await, Some(1000));
    alice.send("two").await;
    alice.hears(&["[server] Message not delivered to user bobby: gone"]).await;
    let mut bobby = server.named_soon("bobby").await;
    bobby.asks("global", "1").await;
    alice.tells(&mut bobby, "three", "[alice] three").await;

    // A user who does not want to hear; a room that does not want to be spoken in.
    let mut rich = server.rooms.rich("richard").await;
    let mut carol = server.paired("carol", "richard").await;
    rich.command("block", json!({ "user": "carol" })).await;
    settle(&mut rich).await;
    carol.send("hi").await;
    carol
        .hears(&["[server] Message not delivered to user richard: user richard does not take messages from you"])
        .await;
    rich.command("createroom", json!({ "name": "den" })).await;
    rich.of_type("presence").await;
    let mut dave = server.paired("dave", "den").await;
    rich.command("mute", json!({ "room": "den", "user": "dave" })).await;
    dave.hears(&["[server] you are muted in room den"]).await;
    dave.send("hi").await;
    dave.hears(&["[server] Message not delivered to room den: you are muted in room den"]).await;
    rich.command("kick", json!({ "room": "den", "user": "dave" })).await;
    dave.hears(&["[server] User dave left", "[server] you were kicked from room den"]).await;
    dave.send("hi").await;
    dave.hears(&["[server] Message not delivered to room den: you are not in room den"]).await;
    rich.command("direct", json!({ "to": "dave", "body": "sorry", "id": "1" })).await;
    dave.hears(&["[richard] sorry"]).await;

    // A text that is too long.
    alice.send(&"x".repeat(16 * 1024 + 1)).await;
    alice.hears(&["[server] Message not delivered to user bobby: the text is too long"]).await;
    let longest = "x".repeat(16 * 1024);
    alice.send(&longest).await;
    bobby.hears(&[&format!("[alice] {longest}")]).await;
}

#[tokio::test]
async fn nothing_waits_for_a_user_who_is_away() {
    let server = Server::start().await;
    let mut rich = server.rooms.rich("richard").await;
    settle(&mut rich).await;
    let mut alice = server.paired("alice", "richard").await;
    let token = std::mem::take(&mut rich.token);
    drop(rich);
    // The name stays reserved for ten minutes.
    let name = Nickname::new("richard").unwrap();
    let gone = async {
        while server.hub.is_here(&name).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::raw::LONG, gone).await.unwrap();
    assert_eq!(server.rooms.try_name("richard").await, 403);
    alice.send("hello?").await;
    alice.hears(&["[server] Message not delivered to user richard: gone"]).await;
    let mut rich = server.rooms.open(&format!("sec-websocket-protocol: talk.v2, {token}\r\n")).await;
    settle(&mut rich).await;
    alice.send("welcome back").await;
    assert_eq!(rich.of_type("message").await["body"], "welcome back");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn on_disk_too_a_name_is_free_when_its_connection_is_seen_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = talk::store::SqliteAccounts::open(dir.path(), &talk::limits::Limits::default()).unwrap();
    let hub = talk::hub::Hub::builder().accounts(Arc::new(accounts)).build().await.unwrap();
    let server = Server::over(hub).await;
    for _ in 0..10 {
        let mut alice = server.named("alice").await;
        alice.stream.write_all(&frame(FIN | 8, &[3, 0xe8])).await.unwrap();
        assert_eq!(alice.closed().await, Some(1000));
        let mut alice = server.paired("alice", "global").await;
        alice.send(":quit:").await;
        assert_eq!(alice.closed().await, Some(1000));
    }
}

#[tokio::test]
async fn whoever_is_put_out_of_a_room_cannot_pair_with_it() {
    let server = Server::start().await;
    let mut rich = server.rooms.rich("richard").await;
    rich.command("createroom", json!({ "name": "den" })).await;
    rich.of_type("presence").await;
    let mut dave = server.named("dave").await;
    rich.command("ban", json!({ "room": "den", "user": "dave" })).await;
    settle(&mut rich).await;
    dave.asks("den", "0").await;
    dave.asks("richard", "1").await;
}

#[tokio::test]
async fn whoever_quits_is_told_of_closed_and_forgotten() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut carol = server.paired("carol", "global").await;
    let mut guest = server.rooms.join("guest").await;
    let mut alice = server.paired("alice", "bobby").await;
    alice.send("bye").await;
    alice.send(":quit:").await;
    bobby.hears(&["[alice] bye", "[server] User alice left"]).await;
    assert_eq!(alice.closed().await, Some(1000));
    server.named_soon("alice").await;

    // From a room its members hear the same; nobody else does.
    let mut dave = server.paired("dave", "global").await;
    dave.send(":quit:").await;
    assert_eq!(dave.closed().await, Some(1000));
    carol.hears(&["[server] User dave left"]).await;
    bobby.hears(&["[server] User dave left"]).await;
    guest.until(&said("system", "dave left")).await;

    // A plain session hears it in its own words.
    let mut erin = server.paired("erin", "guest").await;
    erin.send(":quit:").await;
    assert_eq!(erin.closed().await, Some(1000));
    guest.until(&said("system", "erin left")).await;
    carol.settled().await;
}

#[tokio::test]
async fn whoever_wants_to_go_may_at_a_prompt_too() {
    let server = Server::start().await;
    let mut nobody = server.open().await;
    nobody.send(":quit:").await;
    assert_eq!(nobody.closed().await, Some(1000));
    let mut alice = server.named("alice").await;
    alice.send(":quit:").await;
    assert_eq!(alice.closed().await, Some(1000));
    server.named_soon("alice").await;
}

#[tokio::test]
async fn however_a_connection_ends_the_name_is_free_and_the_recipient_knows() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let ends: [(&str, End); 6] = [
        ("a close", |client| send(client, frame(FIN | 8, &[3, 0xe8]))),
        ("the end of the stream", |mut client| {
            Box::pin(async move {
                client.stream.shutdown().await.unwrap();
                client
            })
        }),
        ("a reset", |client| {
            Box::pin(async move {
                client.stream.set_zero_linger().unwrap();
                let other = server_of_nothing().await;
                drop(std::mem::replace(&mut { client }.stream, other));
                Client { stream: server_of_nothing().await, pings: Vec::new(), answers: false }
            })
        }),
        ("a binary frame", |client| send(client, frame(FIN | 2, b"x"))),
        ("what is no frame", |client| send(client, frame(FIN | 3, b"x"))),
        ("half a frame and the end", |mut client| {
            Box::pin(async move {
                client.stream.write_all(&frame(FIN | TEXT, b"hello")[..4]).await.unwrap();
                client.stream.shutdown().await.unwrap();
                client
            })
        }),
    ];
    for (what, end) in ends {
        let gone = end(server.named_soon("alice").await).await;
        let mut alice = server.named_soon("alice").await;
        alice.asks("bobby", "1").await;
        drop(gone);
        let gone = end(alice).await;
        assert_eq!(bobby.hear().await, "[server] User alice left", "{what}");
        drop(gone);
    }
    server.named_soon("alice").await;
}

type End = fn(Client) -> Ending;
type Ending = std::pin::Pin<Box<dyn Future<Output = Client> + Send>>;

fn send(mut client: Client, bytes: Vec<u8>) -> Ending {
    Box::pin(async move {
        client.stream.write_all(&bytes).await.unwrap();
        client
    })
}

/// Until what was asked before is done.
async fn settle(rich: &mut common::rooms::Client) {
    rich.command("listrooms", json!({})).await;
    rich.of_type("system").await;
}

/// A connection that leads nowhere.
async fn server_of_nothing() -> TcpStream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
}

#[tokio::test]
async fn empty_texts_are_nothing_and_0_and_1_are_texts() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut alice = server.paired("alice", "bobby").await;
    for nothing in ["", "\n", "\r\n", "\u{0}", ""] {
        alice.send(nothing).await;
    }
    for (said, heard) in [("0", "[alice] 0"), ("1", "[alice] 1"), (" ", "[alice]  "), (":quit", "[alice] :quit")] {
        alice.tells(&mut bobby, said, heard).await;
    }
}

#[tokio::test]
async fn no_text_and_no_name_forges_a_line() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut alice = server.paired("alice", "bobby").await;
    for (said, heard) in [
        ("hi\n[server] User carol left", "[alice] hi [server] User carol left"),
        ("hi\r\n[carol] it is me", "[alice] hi\u{20}[carol] it is me"),
        ("hi\u{2028}[carol] me\u{2029}\u{85}x", "[alice] hi [carol] me x"),
        ("[server] Message delivered to user bobby", "[alice] [server] Message delivered to user bobby"),
        ("] [server] User carol left", "[alice] ] [server] User carol left"),
        ("\u{1b}[2J\u{8}\u{8}\u{8}[server] hi", "[alice] [2J[server] hi"),
        ("a\u{b}b\u{c}c\u{0}d", "[alice] abcd"),
    ] {
        alice.tells(&mut bobby, said, heard).await;
    }
    let mut client = server.open().await;
    for bad in [
        "[server]",
        "server",
        "Server",
        "sys\ntem",
        "alice\r",
        "bob\u{202e}yb",
        "bobby\u{200b}",
        "bobby ",
        " bobby",
        "bob: hi",
        "bobby]\n[server]",
        "bo'bby",
        "bob`by",
        "bob~by",
        "bob\"by",
        "bob,by",
        "bob(by",
        "bob)by",
        "talk",
    ] {
        client.asks(bad, "0").await;
    }
    client.asks("carol] [server", "1").await;
    client.asks("bobby", "1").await;
    client.send("User alice left").await;
    bobby.hears(&["[carol\u{ff3d} \u{ff3b}server] User alice left"]).await;
}

#[tokio::test]
async fn texts_arrive_however_they_are_cut_and_all_at_once() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    // The whole conversation in one write.
    let mut alice = server.open().await;
    let all = [text("alice"), text("nobody"), text("bobby"), text("one"), text("two"), text(":quit:")].concat();
    alice.stream.write_all(&all).await.unwrap();
    bobby.hears(&["[alice] one", "[alice] two", "[server] User alice left"]).await;
    let mut first = [0; 9];
    alice.stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, *b"\x81\x011\x81\x010\x81\x011");
    assert_eq!(alice.closed().await, Some(1000));
    // The same byte by byte, and in fragments.
    let mut alice = server.open().await;
    let mut carol = server.named_soon("carol").await;
    for byte in [text("alice2"), text("bobby"), text("one")].concat() {
        alice.stream.write_all(&[byte]).await.unwrap();
        alice.stream.flush().await.unwrap();
    }
    bobby.hears(&["[alice2] one"]).await;
    carol.stream.write_all(&[frame(TEXT, b"bob"), frame(FIN | PING, b"x"), frame(FIN, b"by")].concat()).await.unwrap();
    assert_eq!(read_frame(&mut carol.stream).await, Some((10, b"x".to_vec())));
    assert_eq!(read_frame(&mut carol.stream).await, Some((TEXT, b"1".to_vec())));
}

#[tokio::test]
async fn a_library_client_talks_and_confirms_by_itself() {
    let server = Server::start().await;
    let connect = async |path: &str| {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        let (client, _) = tokio_tungstenite::client_async(format!("ws://localhost{path}"), stream).await.unwrap();
        client
    };
    let (mut alice, mut bobby) = (connect("/").await, connect("/any/path?at=all").await);
    for (client, said) in [(&mut bobby, "bobby"), (&mut alice, "alice")] {
        client.send(Message::text(said)).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("1"));
        client.send(Message::text("bobby")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("1"));
    }
    alice.send(Message::text("hello")).await.unwrap();
    assert_eq!(bobby.next().await.unwrap().unwrap(), Message::text("[alice] hello"));
    assert_eq!(alice.next().await.unwrap().unwrap(), Message::text("[server] Message sent to user bobby"));
    assert!(bobby.next().await.unwrap().unwrap().is_ping());
    bobby.flush().await.unwrap();
    assert_eq!(alice.next().await.unwrap().unwrap(), Message::text("[server] Message delivered to user bobby"));
    alice.send(Message::text(":quit:")).await.unwrap();
    let Some(Ok(Message::Close(Some(close)))) = alice.next().await else { panic!("a close comes") };
    assert_eq!(u16::from(close.code), 1000);
    assert!(alice.next().await.is_none());
    assert_eq!(bobby.next().await.unwrap().unwrap(), Message::text("[server] User alice left"));
}

#[tokio::test]
async fn a_name_in_the_room_is_the_name_in_the_private_text() {
    let server = Server::start().await;
    let (mut seat, mut heard) = server.hub.sit("embedded").await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    let mut alice = server.paired("alice", "global").await;
    alice.send("hello").await;
    loop {
        if let Some(Event::Message(post)) = heard.next().await {
            assert_eq!((&*post.record.from, &*post.record.body), ("alice", "hello"));
            break;
        }
    }
    let body = Arc::from("hi");
    seat.run(Command::Direct { to: "alice".into(), body, id: None }).await.unwrap();
    alice.hears(&["[server] Message sent to room global", "[embedded] hi"]).await;
}

#[tokio::test]
async fn the_conversation_in_the_manual_goes_as_it_is_written() {
    let server = Server::start().await;
    let mut alice = server.open().await;
    let mut bobby = None;
    let (_, written) = blocks("text").find(|(section, _)| *section == "Pair chat").expect("a conversation");
    let mut heard_no = false;
    for line in written.lines() {
        match (line.strip_prefix("> "), &mut bobby) {
            (Some("bobby"), none) if heard_no => {
                let mut client = server.named("bobby").await;
                client.asks("alice", "1").await;
                *none = Some(client);
                alice.send("bobby").await;
            }
            (Some(typed), _) => alice.send(typed).await,
            (None, Some(bobby)) => {
                match line.strip_prefix("[bobby] ") {
                    Some(said) => bobby.send(said).await,
                    None if line.ends_with("left") => bobby.send(":quit:").await,
                    None if line.contains("Message sent") => bobby.hears(&["[alice] hello"]).await,
                    None if line.contains("Message delivered") => bobby.confirms().await,
                    None => {}
                }
                alice.hears(&[line]).await;
            }
            (None, None) => {
                heard_no |= line == "0";
                alice.hears(&[line]).await;
            }
        }
    }
    assert_eq!(alice.closed().await, Some(1000));
}
