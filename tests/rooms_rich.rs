//! Rich mode over real sockets.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use common::rooms::{Server, said};
use serde_json::json;

#[tokio::test]
async fn a_rich_session_enters_no_room_by_itself_and_may_be_in_many() {
    let server = Server::start().await;
    let mut ann = server.rich("ann").await;
    ann.command("message", json!({ "room": "global", "body": "x", "id": "1" })).await;
    let error = ann.hear().await;
    assert_eq!(
        error,
        json!({ "type": "error", "code": "not_in_room", "body": "you are not in room global", "id": "1" })
    );
    ann.command("enter", json!({ "room": "global" })).await;
    assert_eq!(ann.hear().await, json!({ "type": "presence", "room": "global", "user": "ann", "state": "joined" }));
    ann.command("createroom", json!({ "name": "den" })).await;
    assert_eq!(ann.hear().await, json!({ "type": "presence", "room": "den", "user": "ann", "state": "joined" }));
    for room in ["global", "den"] {
        ann.command("message", json!({ "room": room, "body": "hi", "id": room })).await;
        let message = ann.of_type("message").await;
        assert_eq!((&message["room"], &message["from"], &message["body"]), (&json!(room), &json!("ann"), &json!("hi")));
        let accepted = ann.hear().await;
        assert_eq!(accepted["type"], "accepted");
        for field in ["room", "epoch", "seq", "id"] {
            assert_eq!(accepted[field], message[field], "{field}");
        }
        assert_eq!((&message["seq"], &message["prev"]), (&json!(1), &json!(0)));
        assert!(message["ts"].as_u64().unwrap() > 1_600_000_000_000);
    }
    ann.command("leave", json!({ "room": "den" })).await;
    ann.command("listrooms", json!({})).await;
    let rooms = json!({ "type": "system", "body": "global", "list": "rooms", "sessions": [1] });
    assert_eq!(ann.hear().await, rooms);
    ann.command("listusers", json!({ "room": "global" })).await;
    let users = json!({ "type": "system", "body": "ann", "list": "users", "room": "global" });
    assert_eq!(ann.hear().await, users);
}

#[tokio::test]
async fn a_history_says_where_it_ends_and_whether_there_is_more() {
    let server = Server::start().await;
    let mut ann = server.rich("ann").await;
    ann.command("enter", json!({ "room": "global" })).await;
    for (args, seqs, more) in [
        (json!({}), &[][..], false),
        (json!({ "limit": 2 }), &[4, 5], true),
        (json!({ "limit": 2, "before": 3 }), &[1, 2], false),
        (json!({ "limit": 2, "after": 0 }), &[1, 2], true),
        (json!({ "limit": 2, "after": 3 }), &[4, 5], false),
        (json!({ "limit": 2, "after": 1, "before": 4 }), &[2, 3], false),
        (json!({ "limit": 1, "after": 1, "before": 4 }), &[2], true),
        (json!({ "after": 5 }), &[], false),
        (json!({}), &[1, 2, 3, 4, 5], false),
    ] {
        let mut args = args;
        args["room"] = "global".into();
        ann.command("history", args.clone()).await;
        for seq in seqs {
            assert_eq!(ann.of_type("message").await["seq"], json!(seq), "{args}");
        }
        let end = ann.of_type("history").await;
        let told =
            json!({ "type": "history", "room": "global", "epoch": end["epoch"], "count": seqs.len(), "more": more });
        assert_eq!(end, told, "{args}");
        if seqs.is_empty() && args.get("after").is_none() {
            for n in 1..=5 {
                ann.command("message", json!({ "room": "global", "body": "x", "id": n.to_string() })).await;
                ann.of_type("accepted").await;
            }
        }
    }
    // A plain session hears the messages and nothing else.
    let mut bob = server.join("bob").await;
    bob.command("history", json!({ "limit": 1 })).await;
    assert_eq!(bob.hear().await, said("ann", "x"));
    bob.command("listrooms", json!({})).await;
    assert_eq!(bob.system().await, "global");
}

#[tokio::test]
async fn plain_and_rich_sessions_meet() {
    let server = Server::start().await;
    let mut ann = server.rich("ann").await;
    ann.command("enter", json!({ "room": "global" })).await;
    ann.of_type("presence").await;
    let mut bob = server.join("bob").await;
    assert_eq!(ann.hear().await, json!({ "type": "presence", "room": "global", "user": "bob", "state": "joined" }));
    bob.say("hello").await;
    assert_eq!(bob.hear().await, said("bob", "hello"));
    let heard = ann.of_type("message").await;
    assert_eq!((&heard["from"], &heard["body"], &heard["seq"]), (&json!("bob"), &json!("hello"), &json!(1)));
    ann.command("typing", json!({ "room": "global" })).await;
    ann.command("setnick", json!({ "nickname": "carol" })).await;
    let renamed = json!({ "type": "presence", "room": "global", "user": "ann", "state": "renamed", "to": "carol" });
    assert_eq!(ann.hear().await, renamed);
    // Typing has no form in plain mode.
    assert_eq!(bob.hear().await, said("system", "ann is now carol"));
    ann.command("message", json!({ "room": "global", "body": "rich", "id": "7" })).await;
    assert_eq!(bob.hear().await, said("carol", "rich"));
    bob.command("exit", json!({})).await;
    let left = json!({ "type": "presence", "room": "global", "user": "bob", "state": "left" });
    ann.until(&left).await;
}

#[tokio::test]
async fn an_id_is_deduplicated_and_not_to_be_reused() {
    let server = Server::start().await;
    let mut ann = server.rich("ann").await;
    ann.command("enter", json!({ "room": "global" })).await;
    for body in ["once", "once", "other"] {
        ann.command("message", json!({ "room": "global", "body": body, "id": "1" })).await;
    }
    ann.command("message", json!({ "room": "global", "body": "end", "id": "2" })).await;
    let first = ann.of_type("accepted").await;
    assert_eq!(ann.of_type("accepted").await, first);
    let error = ann.of_type("error").await;
    assert_eq!((&error["code"], &error["id"]), (&json!("id_reused"), &json!("1")));
    assert_eq!(ann.of_type("accepted").await["seq"], 2);
}

#[tokio::test]
async fn direct_messages_are_a_room_of_their_own() {
    let server = Server::start().await;
    let mut ann = server.rich("ann").await;
    let mut bob = server.rich("bob").await;
    for seq in 1..=2 {
        ann.command("direct", json!({ "to": "bob", "body": "psst", "id": seq.to_string() })).await;
        let heard = bob.of_type("message").await;
        let accepted = ann.hear().await;
        assert_eq!((&heard["seq"], &heard["from"], &heard["body"]), (&json!(seq), &json!("ann"), &json!("psst")));
        assert!(heard["room"].as_str().unwrap().starts_with('@'));
        assert_eq!(
            (&accepted["type"], &accepted["room"], &accepted["seq"]),
            (&json!("accepted"), &heard["room"], &json!(seq))
        );
        let receipt = ann.of_type("receipt").await;
        assert_eq!(receipt, json!({ "type": "receipt", "id": seq.to_string(), "to": "bob", "state": "sent" }));
        bob.command("received", json!({ "room": heard["room"], "seq": seq })).await;
        let receipt = ann.of_type("receipt").await;
        assert_eq!(receipt, json!({ "type": "receipt", "id": seq.to_string(), "to": "bob", "state": "delivered" }));
    }
    ann.command("direct", json!({ "to": "nobody", "body": "x", "id": "3" })).await;
    assert_eq!(ann.of_type("error").await["code"], "no_user");
}

#[tokio::test]
async fn a_dropped_rich_session_keeps_name_and_token_and_an_exit_does_not() {
    let server = Server::start().await;
    let mut watcher = server.join("watcher").await;
    let mut ann = server.rich("ann").await;
    ann.command("enter", json!({ "room": "global" })).await;
    watcher.until(&said("system", "ann joined")).await;
    let token = ann.token.clone();
    drop(ann);
    watcher.until(&said("system", "ann left")).await;
    assert_eq!(server.try_name("ann").await, 403);
    let mut ann = server.open(&format!("sec-websocket-protocol: {token}, talk.v2\r\n")).await;
    ann.command("exit", json!({})).await;
    assert_eq!(ann.closed().await, Some(1000));
    assert!(ann.ends().await);
    assert_eq!(server.try_name("ann").await, 201);
}

#[tokio::test]
async fn a_hosts_own_server_serves_it_too() {
    use hyper_util::rt::TokioIo;
    let hub = talk::hub::Hub::new();
    let service = talk::gateway::http::service(hub.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(connection.with_upgrades());
        }
    });
    let mut clients = Vec::new();
    for name in ["ann", "bob"] {
        let token = hub.sign_up(&talk::name::Nickname::new(name).unwrap()).await.unwrap();
        let headers = format!("sec-websocket-protocol: {}\r\n", token.reveal());
        let (stream, head) = common::raw_websocket::open(port, "/ws", &headers).await;
        let mut client = common::rooms::Client { stream, head, token: String::new() };
        assert_eq!(client.hear().await, said("system", &format!("{name} joined")));
        clients.push(client);
    }
    server.await.unwrap();
    let long = "x".repeat(16 * 1024);
    for n in 0..40 {
        clients[0].say(&format!("{n}{}", &long[..16_000])).await;
    }
    for client in &mut clients {
        for n in 0..40 {
            client.until(&said("ann", &format!("{n}{}", &long[..16_000]))).await;
        }
    }
    clients[0].command("exit", json!({})).await;
    assert_eq!(clients[0].closed().await, Some(1000));
    assert_eq!(clients[1].system().await, "ann left");
}
