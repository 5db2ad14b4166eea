//! The room protocol as every client in the field speaks it, line by line, over real sockets.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;

use common::raw_websocket::upgrade;
use common::rooms::{Server, body, form, said, status, token_in};
use serde_json::{Value, json};
use talk::limits::Limits;

#[tokio::test]
async fn a_nickname_comes_as_query_form_or_json() {
    let server = Server::start().await;
    let tokens: HashSet<_> = [
        server.post("/auth?nickname=ann", "content-length: 0\r\n\r\n").await,
        server.post("/auth", &form("bob")).await,
        server.post("/auth", &body("application/json; charset=utf-8", r#"{"nickname":"cid"}"#)).await,
        server.post("/auth?nickname=dora", &body("application/json", r#"{"nickname":"dora"}"#)).await,
        server.post("/auth?nick%6eame=e%76e&x=y", "content-length: 0\r\n\r\n").await,
    ]
    .iter()
    .map(|answer| {
        assert_eq!(status(answer), 201, "{answer}");
        assert!(answer.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{answer}");
        token_in(answer)
    })
    .collect();
    assert_eq!(tokens.len(), 5);
    // At least 128 bits, of characters that need no escape anywhere.
    for token in tokens {
        assert!(token.len() >= 22 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{token}");
    }
}

#[tokio::test]
async fn sign_in_refuses_what_it_must() {
    let server = Server::start().await;
    server.token("taken").await;
    let empty = "content-length: 0\r\n\r\n";
    for (target, rest, expected) in [
        ("/auth", empty.to_owned(), 403),
        ("/auth?nickname=", empty.to_owned(), 403),
        ("/auth?nickname=a", empty.to_owned(), 403),
        ("/auth?nickname=1bad", empty.to_owned(), 403),
        ("/auth?nickname=a%20b", empty.to_owned(), 403),
        ("/auth?nickname=a.b", empty.to_owned(), 403),
        ("/auth?nickname=%d1%8f%d1%8f", empty.to_owned(), 403),
        ("/auth?nickname=taken", empty.to_owned(), 403),
        ("/auth", form("taken"), 403),
        ("/auth", form(&"x".repeat(65)), 403),
        ("/auth", body("application/json", "{}"), 403),
        ("/auth?nickname=ann", form("bob"), 400),
        ("/auth?nickname=ann&nickname=bob", empty.to_owned(), 400),
        ("/auth?nickname=%zz", empty.to_owned(), 400),
        ("/auth", body("application/json", "{"), 400),
        ("/auth", body("application/json", r#"{"nickname":7}"#), 400),
        ("/auth", body("application/json", r#"{"nickname":"ann","nickname":"ann"}"#), 400),
        ("/auth", body("text/plain", "nickname=ann"), 415),
        ("/auth", "content-length: 12\r\n\r\nnickname=ann".to_owned(), 415),
        ("/auth", format!("content-length: 70000\r\n\r\n{}", "x".repeat(70_000)), 413),
        ("/nowhere", empty.to_owned(), 404),
    ] {
        let answer = server.post(target, &rest).await;
        assert_eq!(status(&answer), expected, "{target} {rest:.60}: {answer}");
    }
    for method in ["GET", "PUT", "HEAD", "PATCH"] {
        let answer =
            server.exchange(&format!("{method} /auth HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), 405, "{method}");
        assert!(answer.to_ascii_lowercase().contains("allow: post, delete"), "{answer}");
    }
}

#[tokio::test]
async fn nobody_gets_a_reserved_name_or_that_of_somebody_else() {
    let server = Server::start().await;
    let _alice = server.join("alice").await;
    let mut mallory = server.join("mallory").await;
    let reserved = ["system", "SYSTEM", "System", "server", "Server", "talk", "TALK", "healthCheck", "healthcheck"];
    for name in reserved {
        assert_eq!(server.try_name(name).await, 403, "{name}");
        mallory.command("setnick", json!({ "nickname": name })).await;
        assert_eq!(mallory.system().await, format!("nickname {name} already taken"));
    }
    assert_eq!(server.try_name("alice").await, 403);
    mallory.command("setnick", json!({ "nickname": "alice" })).await;
    assert_eq!(mallory.system().await, "nickname alice already taken");
    for name in [
        "",
        "a",
        "alice ",
        " alice",
        "alice\u{200b}",
        "al\u{131}ce",
        "\u{430}lice",
        "alice#2",
        "alice\n",
        "alice: x",
        "@alice",
    ] {
        mallory.command("setnick", json!({ "nickname": name })).await;
        assert_eq!(mallory.system().await, format!("'{name}' is not a valid nickname"));
    }
    // What a message says of its sender counts for nothing.
    mallory.command("message", json!({ "from": "alice", "body": "it is me" })).await;
    assert_eq!(mallory.hear().await, said("mallory", "it is me"));
}

#[tokio::test]
async fn a_token_stands_in_the_subprotocol_which_is_echoed_or_in_the_authorization() {
    let server = Server::start().await;
    let token = server.token("ann").await;
    let mut bare = server.open(&format!("sec-websocket-protocol: {token}\r\n")).await;
    assert!(bare.head.contains(&format!("sec-websocket-protocol: {token}\r\n")), "{}", bare.head);
    assert_eq!(bare.system().await, "ann joined");
    let mut bearer = server.open(&format!("sec-websocket-protocol: Bearer {token}\r\n")).await;
    assert!(bearer.head.contains(&format!("sec-websocket-protocol: Bearer {token}\r\n")), "{}", bearer.head);
    assert_eq!(bearer.system().await, "ann joined");
    let mut header = server.open(&format!("authorization: Bearer {token}\r\n")).await;
    assert!(!header.head.contains("sec-websocket-protocol"), "{}", header.head);
    assert_eq!(header.system().await, "ann joined");
    // Three sessions of one user, who is there once.
    header.command("listusers", json!({})).await;
    assert_eq!(header.system().await, "ann");
}

#[tokio::test]
async fn an_upgrade_needs_a_token_our_host_our_origin_and_to_be_one() {
    let server = Server::start().await;
    assert_eq!(server.refused("").await, 401);
    assert_eq!(server.refused("sec-websocket-protocol: nobody\r\n").await, 401);
    assert_eq!(server.refused("authorization: Basic YTpi\r\n").await, 401);
    let token = server.token("ann").await;
    let with = |more: &str| format!("sec-websocket-protocol: {token}\r\n{more}");
    assert_eq!(server.refused(&with("origin: https://evil.example\r\n")).await, 403);
    assert_eq!(server.refused(&with("origin: null\r\n")).await, 403);
    // Never in the URL.
    let request = upgrade(&format!("/ws?token={token}"), "");
    assert_eq!(server.asked(&request).await, 401);
    let request =
        format!("GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nsec-websocket-protocol: {token}\r\n\r\n");
    assert_eq!(server.asked(&request).await, 400);
    let request = upgrade("/ws", &with("")).replace("version: 13", "version: 12");
    assert_eq!(server.asked(&request).await, 400);
    let request = upgrade("/ws", &with("")).replace("GET", "POST");
    assert_eq!(server.asked(&request).await, 405);
    let mut fine = server.open(&with("origin: https://chat.example\r\n")).await;
    assert_eq!(fine.system().await, "ann joined");
}

#[tokio::test]
async fn hosts_and_origins_are_ours_or_configured() {
    let server = Server::start().await;
    for (host, origin, expected) in [
        ("localhost", None, 201),
        ("127.0.0.1:7000", None, 201),
        ("[::1]:7000", None, 201),
        ("chat.example", None, 201),
        ("evil.example", None, 403),
        ("localhost", Some("https://chat.example"), 201),
        ("localhost:7000", Some("http://localhost:7000"), 201),
        ("localhost:7000", Some("http://localhost:8000"), 403),
        ("localhost", Some("https://evil.example"), 403),
    ] {
        let name = format!("u{}", talk::message::MessageId::random());
        let origin_header = origin.map(|o| format!("origin: {o}\r\n")).unwrap_or_default();
        let rest = form(&name);
        let request = format!("POST /auth HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{origin_header}{rest}");
        let answer = server.exchange(&request).await;
        assert_eq!(status(&answer), expected, "{host} {origin:?}: {answer}");
        let allowed = answer.contains("access-control-allow-origin: https://chat.example\r\n");
        assert_eq!(allowed, origin == Some("https://chat.example"), "{answer}");
    }
    for hosts in ["", "host: localhost\r\nhost: localhost\r\n"] {
        let answer =
            server.exchange(&format!("POST /auth?nickname=zoe HTTP/1.1\r\n{hosts}content-length: 0\r\n\r\n")).await;
        assert_eq!(status(&answer), 400, "{answer}");
    }
    let preflight = "OPTIONS /auth HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\norigin: https://chat.example\r\n\
                     access-control-request-method: POST\r\n\r\n";
    let answer = server.exchange(preflight).await;
    assert_eq!(status(&answer), 204, "{answer}");
    assert!(answer.contains("access-control-allow-methods: POST, DELETE\r\n"), "{answer}");
}

#[tokio::test]
async fn messages_go_to_everybody_in_the_room_and_to_their_sender() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    assert_eq!(alice.system().await, "bob joined");
    alice.say("hi \"bob\"\n\u{1F980}\u{7}").await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.hear().await, said("alice", "hi \"bob\"\n\u{1F980}"));
    }
    bob.command("message", json!({ "body": "no from" })).await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.hear().await, said("bob", "no from"));
    }
    let longest = "x".repeat(16 * 1024);
    bob.say(&longest).await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.hear().await, said("bob", &longest));
    }
}

#[tokio::test]
async fn renaming_is_heard_by_all_and_frees_the_old_name() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.until(&said("system", "bob joined")).await;
    alice.command("setnick", json!({ "nickname": "carol" })).await;
    assert_eq!(alice.system().await, "alice is now carol");
    assert_eq!(bob.system().await, "alice is now carol");
    alice.say("hi").await;
    assert_eq!(bob.hear().await, said("carol", "hi"));
    assert_eq!(server.try_name("carol").await, 403);
    assert_eq!(server.try_name("alice").await, 201);
}

#[tokio::test]
async fn rooms_are_made_entered_left_and_vanish() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.until(&said("system", "bob joined")).await;

    alice.command("createroom", json!({ "name": "den" })).await;
    assert_eq!(alice.system().await, "alice joined");
    assert_eq!(bob.system().await, "alice left");
    alice.say("alone").await;
    assert_eq!(alice.hear().await, said("alice", "alone"));
    bob.command("listrooms", json!({})).await;
    assert_eq!(bob.system().await, "den\nglobal");
    bob.command("createroom", json!({ "name": "den" })).await;
    assert_eq!(bob.system().await, "room den already exists");
    bob.command("createroom", json!({ "name": "global" })).await;
    assert_eq!(bob.system().await, "room global already exists");

    bob.command("switchroom", json!({ "room": "den" })).await;
    assert_eq!(bob.system().await, "bob joined");
    assert_eq!(alice.system().await, "bob joined");
    alice.command("listusers", json!({})).await;
    assert_eq!(alice.system().await, "alice\nbob");

    for client in [&mut alice, &mut bob] {
        client.command("switchroom", json!({ "room": "global" })).await;
    }
    alice.until(&said("system", "alice joined")).await;
    bob.until(&said("system", "bob joined")).await;
    bob.command("listrooms", json!({})).await;
    let rooms = loop {
        let heard = bob.system().await;
        if !heard.ends_with("joined") && !heard.ends_with("left") {
            break heard;
        }
    };
    assert_eq!(rooms, "global");
    // Something was said there: it stays, unlisted.
    bob.command("createroom", json!({ "name": "den" })).await;
    bob.until(&said("system", "room den already exists")).await;
    bob.command("switchroom", json!({ "room": "den" })).await;
    bob.until(&said("system", "bob joined")).await;
    // Here nothing was: it vanishes with the last who leaves.
    bob.command("createroom", json!({ "name": "mute" })).await;
    bob.until(&said("system", "bob joined")).await;
    bob.command("switchroom", json!({ "room": "global" })).await;
    bob.until(&said("system", "bob joined")).await;
    bob.command("switchroom", json!({ "room": "mute" })).await;
    bob.until(&said("system", "room mute does not exist")).await;
}

#[tokio::test]
async fn every_refusal_goes_to_the_sender_alone_and_to_the_letter() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.until(&said("system", "bob joined")).await;
    for (frame, text) in [
        ("nonsense", "error parsing your message"),
        ("[1]", "error parsing your message"),
        (r#"{"args":{}}"#, "error parsing your message"),
        (r#"{"type":"message","args":{"from":"alice"}}"#, "cannot parse 'body' arg of message command"),
        (r#"{"type":"message","args":{"from":"alice","body":""}}"#, "cannot parse 'body' arg of message command"),
        (r#"{"type":"message","args":{"from":1,"body":"x"}}"#, "cannot parse 'from' arg of message command"),
        (r#"{"type":"setnick","args":{}}"#, "cannot parse 'nickname' arg of setnickname command"),
        (r#"{"type":"setnick","args":{"nickname":"x"}}"#, "'x' is not a valid nickname"),
        (r#"{"type":"setnick","args":{"nickname":"bob"}}"#, "nickname bob already taken"),
        (r#"{"type":"switchroom","args":{}}"#, "cannot parse 'room' arg of switchroom command"),
        (r#"{"type":"switchroom","args":{"room":"x"}}"#, "room x does not exist"),
        (r#"{"type":"createroom","args":{}}"#, "cannot parse 'name' arg of createroom command"),
        (r#"{"type":"createroom","args":{"name":"1bad"}}"#, "'1bad' is not a valid room name"),
        (r#"{"type":"x"}"#, "unknown command 'x'"),
        (r#"{"type":"direct","args":{"to":"nobody","body":"x"}}"#, "user nobody is not here"),
    ] {
        alice.send(frame).await;
        assert_eq!(alice.system().await, text, "{frame}");
    }
    let long = "x".repeat(16 * 1024 + 1);
    alice.say(&long).await;
    assert_eq!(alice.system().await, "cannot parse 'body' arg of message command");
    // Bob has heard nothing of all that.
    alice.say("done").await;
    assert_eq!(bob.hear().await, said("alice", "done"));
}

#[tokio::test]
async fn a_user_makes_at_most_twenty_rooms() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    // A second session keeps each room alive while the first goes on.
    let mut keepers = Vec::new();
    for n in 0..20 {
        alice.command("createroom", json!({ "name": format!("room{n}") })).await;
        assert_eq!(alice.system().await, "alice joined");
        let mut keeper = server.join(&format!("keeper{n}")).await;
        keeper.command("switchroom", json!({ "room": format!("room{n}") })).await;
        keeper.until(&said("system", &format!("keeper{n} joined"))).await;
        alice.until(&said("system", &format!("keeper{n} joined"))).await;
        keepers.push(keeper);
    }
    alice.command("createroom", json!({ "name": "one_more" })).await;
    assert_eq!(alice.system().await, "you have 20 rooms already");
    alice.command("listrooms", json!({})).await;
    assert_eq!(alice.system().await.lines().count(), 21);
}

#[tokio::test]
async fn exit_closes_and_frees_name_and_token() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.until(&said("system", "bob joined")).await;
    alice.command("exit", json!({ "room": "whatever" })).await;
    assert_eq!(alice.closed().await, Some(1000));
    assert!(alice.ends().await);
    assert_eq!(bob.system().await, "alice left");
    assert_eq!(server.refused(&format!("sec-websocket-protocol: {}\r\n", alice.token)).await, 401);
    assert_eq!(server.try_name("alice").await, 201);
}

#[tokio::test]
async fn a_dropped_connection_leaves_its_room_soon() {
    let server = Server::start().await;
    let alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    let token = alice.token.clone();
    drop(alice);
    let left = tokio::time::timeout(common::rooms::SOON, bob.until(&said("system", "alice left"))).await;
    assert!(left.is_ok(), "within two seconds");
    assert_eq!(server.refused(&format!("sec-websocket-protocol: {token}\r\n")).await, 401);
    assert_eq!(server.try_name("alice").await, 201);
}

#[tokio::test]
async fn name_and_token_stand_until_the_last_session_ends() {
    let server = Server::start().await;
    let mut one = server.join("alice").await;
    let mut two = server.open(&format!("sec-websocket-protocol: {}\r\n", one.token)).await;
    assert_eq!(two.system().await, "alice joined");
    let mut bob = server.join("bob").await;
    one.until(&said("system", "bob joined")).await;
    one.command("exit", json!({})).await;
    assert_eq!(one.closed().await, Some(1000));
    assert_eq!(server.try_name("alice").await, 403);
    two.say("still here").await;
    assert_eq!(bob.hear().await, said("alice", "still here"));
    two.command("exit", json!({})).await;
    assert_eq!(bob.system().await, "alice left");
    assert_eq!(server.try_name("alice").await, 201);
}

#[tokio::test]
async fn direct_messages_reach_one_user_wherever() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.until(&said("system", "bob joined")).await;
    bob.command("createroom", json!({ "name": "den" })).await;
    bob.until(&said("system", "bob joined")).await;
    let mut carol = server.join("carol").await;
    alice.command("direct", json!({ "to": "bob", "body": "psst" })).await;
    assert_eq!(bob.hear().await, said("alice", "psst"));
    // The echo is the acceptance.
    alice.until(&said("alice", "psst")).await;
    carol.command("listrooms", json!({})).await;
    carol.until(&said("system", "den\nglobal")).await.iter().for_each(|heard| assert_ne!(heard["body"], "psst"));
}

#[tokio::test]
async fn over_the_rate_comes_a_warning_and_then_the_end() {
    let mut limits = Limits::default();
    (limits.commands_per_second, limits.commands_burst) = (1, 5);
    let server = Server::with(&limits).await;
    let mut alice = server.join("alice").await;
    let mut bob = server.join("bob").await;
    alice.until(&said("system", "bob joined")).await;
    for n in 0..10 {
        alice.say(&n.to_string()).await;
    }
    let mut last = Value::Null;
    for _ in 0..6 {
        last = alice.hear().await;
    }
    assert_eq!(last, said("system", "you send too fast"));
    assert_eq!(alice.closed().await, Some(1008));
    bob.until(&said("system", "alice left")).await;
}

#[tokio::test]
async fn a_stop_tells_every_session() {
    let server = Server::start().await;
    let mut alice = server.join("alice").await;
    let mut bob = server.rich("bob").await;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(alice.closed().await, Some(1001));
    assert_eq!(bob.closed().await, Some(1001));
    drop((alice, bob));
    stopping.await.unwrap();
}

#[tokio::test]
async fn many_reconnects_leave_no_ghost() {
    let mut limits = Limits::default();
    limits.commands_per_second = 0;
    let server = Server::with(&limits).await;
    let mut watcher = server.join("watcher").await;
    for round in 0..20 {
        let mut clients = Vec::new();
        for n in 0..30 {
            clients.push(server.join(&format!("u{round}_{n}")).await);
        }
    }
    // The server hears of the last ones when it reads their end.
    let ghosts = async {
        loop {
            watcher.command("listusers", json!({})).await;
            let names = loop {
                let heard = watcher.system().await;
                if !heard.ends_with(" joined") && !heard.ends_with(" left") {
                    break heard;
                }
            };
            if names == "watcher" {
                break;
            }
        }
    };
    tokio::time::timeout(common::rooms::SOON, ghosts).await.expect("nobody is left");
}
