//! Who is still who after the server was killed and started again, what waited for them, and how sign-ins end.
#![cfg(all(feature = "server", feature = "terminal", unix))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use common::durable::{Durable, SECRET};
use common::raw::LONG;
use common::raw_websocket;
use common::rooms::{Client, said, status, token_in};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

#[tokio::test]
async fn accounts_and_rich_guests_outlive_a_kill_and_plain_guests_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let [ann, dan, pam, new] =
        [server.guest("ann").await, server.guest("dan").await, server.guest("pam").await, server.guest("new").await];
    let bob = server.account("bob").await;
    let _there = (server.rich(&ann).await, joined(&server, &pam, "pam").await, server.rich(&bob).await);
    let mut watcher = joined(&server, &server.guest("watcher").await, "watcher").await;
    // Dropped before the kill, and so is its connection when the others hear of it.
    let mut dropped = server.rich(&dan).await;
    dropped.command("enter", json!({ "room": "global" })).await;
    watcher.until(&said("system", "dan joined")).await;
    drop(dropped);
    watcher.until(&said("system", "dan left")).await;
    server.kill();

    let before = now();
    let server = start(dir.path());
    let after = now();
    for (name, free) in [("ann", false), ("dan", false), ("bob", false), ("pam", true), ("watcher", true)] {
        assert_eq!(server.try_name(name).await, if free { 201 } else { 403 }, "{name}");
    }
    for name in ["ann", "dan"] {
        let account = server.try_account(name, SECRET).await;
        assert_eq!(status(&account), 403, "a guest's name is no account's either");
    }
    assert_eq!(server.refused(&pam).await, 401);
    for (token, name) in [(&ann, "ann"), (&dan, "dan"), (&bob, "bob"), (&new, "new")] {
        let mut again = server.rich(token).await;
        again.command("enter", json!({ "room": "global" })).await;
        assert_eq!(again.of_type("presence").await["user"], name, "the same user as before");
    }

    assert_eq!(status(&server.try_account("bob", "wrong horse battery").await), 403);
    let token = server.account("bob").await;
    let sessions = sessions(&mut server.rich(&token).await).await;
    let [old, own] = &sessions[..] else { panic!("{sessions:?}") };
    assert_eq!((&own["current"], &own["connections"]), (&json!(true), &json!(1)));
    assert_eq!(old["current"], false);
    server.kill();

    // A token that nobody connects with is told to end ten minutes from the start.
    let server = start(dir.path());
    let third = server.account("bob").await;
    let listed = sessions_of(&server, &third).await;
    let [old, own, _] = &listed[..] else { panic!("{listed:?}") };
    assert!(old["ends"].as_u64().unwrap() >= before + RESERVED, "{old} {before} {after}");
    assert!(own["ends"].as_u64().unwrap() <= now() + RESERVED, "{own}");
}

#[tokio::test]
async fn direct_messages_wait_for_accounts_and_reserved_guests() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    server.account("bob").await;
    let ann = server.guest("ann").await;
    drop(server.rich(&ann).await);
    let mut cid = server.rich(&server.guest("cid").await).await;
    let mut rooms = Vec::new();
    for to in ["bob", "ann"] {
        for n in 1..=300 {
            cid.command("direct", json!({ "to": to, "body": n.to_string(), "id": format!("{to}{n}") })).await;
            let accepted = cid.of_type("accepted").await;
            assert_eq!(accepted["seq"], n);
            if n == 1 {
                rooms.push(accepted["room"].as_str().unwrap().to_owned());
            }
        }
    }
    server.kill();

    let server = start(dir.path());
    let bob = server.account("bob").await;
    for (token, room) in [(&bob, &rooms[0]), (&ann, &rooms[1])] {
        let mut session = server.rich(token).await;
        for n in 1..=300 {
            let message = session.hear().await;
            assert_eq!((&message["room"], &message["seq"]), (&json!(room), &json!(n)), "{message}");
            assert_eq!((&message["from"], &message["body"]), (&json!("cid"), &json!(n.to_string())), "{message}");
        }
        session.command("received", json!({ "room": room, "seq": 200 })).await;
        // Whoever is asked something has carried out what came before.
        session.command("listrooms", json!({})).await;
        session.of_type("system").await;
    }
    stop(server);

    // What was confirmed does not come again, and the rest does.
    let server = start(dir.path());
    let bob = server.account("bob").await;
    for token in [&bob, &ann] {
        let mut session = server.rich(token).await;
        for n in 201..=300 {
            assert_eq!(session.hear().await["seq"], n);
        }
        session.command("listrooms", json!({})).await;
        assert_eq!(session.hear().await["type"], "system", "nothing more");
    }
    // A plain session hears them too.
    let mut plain = server.plain(&server.account("bob").await).await;
    let heard = plain.until(&said("cid", "300")).await;
    assert!(heard.contains(&said("cid", "201")), "{heard:?}");
}

#[tokio::test]
async fn sign_ins_are_listed_and_revoked_and_stay_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (first, second) = (server.account("bob").await, server.account("bob").await);
    let (mut one, mut other) = (server.rich(&first).await, server.rich(&second).await);
    let mut plain = joined(&server, &second, "bob").await;
    let listed = sessions(&mut one).await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let own = listed.iter().find(|session| session["current"] == true).unwrap();
    let theirs = listed.iter().find(|session| session["current"] == false).unwrap();
    assert_eq!((&own["connections"], &theirs["connections"]), (&json!(1), &json!(2)), "{listed:?}");
    assert!(own.get("ends").is_none() && theirs.get("ends").is_none(), "{listed:?}");

    one.command("revoke", json!({ "session": "nonsense" })).await;
    assert_eq!(one.of_type("error").await["code"], "no_session");
    one.command("revoke", json!({ "session": theirs["session"] })).await;
    assert_eq!((other.closed().await, plain.closed().await), (Some(1008), Some(1008)));
    assert_eq!(server.refused(&second).await, 401);
    assert_eq!(sessions(&mut one).await.len(), 1);
    one.command("revoke", json!({ "session": theirs["session"] })).await;
    assert_eq!(one.of_type("error").await["code"], "no_session", "it is gone");
    let mut stranger = server.rich(&server.account("eve").await).await;
    stranger.command("revoke", json!({ "session": own["session"] })).await;
    assert_eq!(stranger.of_type("error").await["code"], "no_session", "nobody else's");
    server.kill();

    let server = start(dir.path());
    assert_eq!(server.refused(&second).await, 401);
    let (mut one, mut plain) = (server.rich(&first).await, joined(&server, &first, "bob").await);
    assert_eq!(sessions(&mut one).await.len(), 1);
    assert_eq!(server.sign_out(&first).await, 204);
    assert_eq!((one.closed().await, plain.closed().await), (Some(1008), Some(1008)));
    assert_eq!((server.sign_out(&first).await, server.refused(&first).await), (401, 401));
    server.kill();

    let server = start(dir.path());
    assert_eq!((server.sign_out(&first).await, server.refused(&first).await), (401, 401));
    let mut back = server.rich(&server.account("bob").await).await;
    assert_eq!(sessions(&mut back).await.len(), 1, "the account stands");
}

#[tokio::test]
async fn an_account_is_signed_in_to_with_its_secret_and_in_no_other_way() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    server.account("bob").await;
    server.kill();
    let server = start(dir.path());
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let fields = format!("nickname=bob&secret={}", SECRET.replace(' ', "+"));
    for (what, line, body, expected) in [
        ("the secret", "POST /auth", &*fields, 201),
        ("another secret", "POST /auth", "nickname=bob&secret=wrong+horse", 403),
        ("no secret", "POST /auth", "nickname=bob", 403),
        ("a secret in the URL", "POST /auth?nickname=bob&secret=correct+horse+battery", "", 400),
        ("too short a secret", "POST /auth", "nickname=new&secret=1234567", 400),
        ("two secrets", "POST /auth", "nickname=new&secret=12345678&secret=12345679", 400),
        ("a shorter one of an account", "POST /auth", "nickname=bob&secret=correct", 400),
        ("one that is not there", "POST /auth", "nickname=new&secret=12345678&account=known", 404),
        ("one that may be anything", "POST /auth", "nickname=new&secret=12345678&account=new", 400),
        ("a guest who is known", "POST /auth", "nickname=new&account=known", 400),
        ("a new account", "POST /auth", "nickname=new&secret=12345678", 201),
        ("one that is there", "POST /auth", "nickname=new&secret=12345678&account=known", 201),
        ("one that is there with another secret", "POST /auth", "nickname=new&secret=12345679&account=known", 403),
        ("a name that nobody may have", "POST /auth", "nickname=system&secret=12345678&account=known", 403),
        ("a guest", "POST /auth", "nickname=guest", 201),
        ("a guest's name with a secret", "POST /auth", "nickname=guest&secret=12345678", 403),
        ("a guest's name that is no account's", "POST /auth", "nickname=guest&secret=12345678&account=known", 403),
    ] {
        assert_eq!(status(&server.ask(line, form, body).await), expected, "{what}");
    }
    // Nor by taking the name: it is the account's while nobody is connected.
    let mut eve = server.rich(&server.guest("eve").await).await;
    eve.command("setnick", json!({ "nickname": "bob" })).await;
    assert_eq!(eve.of_type("error").await["code"], "taken");
    // A renamed account signs in under its new name, also after a restart.
    let mut bob = server.rich(&server.account("bob").await).await;
    bob.command("setnick", json!({ "nickname": "robert" })).await;
    bob.command("listrooms", json!({})).await;
    bob.of_type("system").await;
    server.kill();
    let server = start(dir.path());
    assert_eq!(status(&server.try_account("robert", SECRET).await), 201);
    assert_eq!(server.try_name("bob").await, 201, "the old name is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_told_to_be_signed_up_or_renamed_is_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let server = start(dir.path());
        let port = server.port;
        let (told, mut heard) = mpsc::channel(1);
        let mut signing_up = JoinSet::new();
        for task in 0..4 {
            let told = told.clone();
            signing_up.spawn(async move {
                for n in 0..1000 {
                    // Accounts, guests, and guests who take another name.
                    let name = format!("{}{round}_{task}_{n}", ["account", "guest", "before"][n % 3]);
                    let Some(user) = sign_up(port, name).await else { return };
                    if told.send(user).await.is_err() {
                        return;
                    }
                }
            });
        }
        drop(told);
        let mut users = Vec::new();
        for _ in 0..10 + round * 7 {
            users.push(timeout(LONG, heard.recv()).await.unwrap().expect("they are signed up"));
        }
        server.kill();
        while let Some(user) = timeout(LONG, heard.recv()).await.unwrap() {
            users.push(user);
        }
        let server = start(dir.path());
        for (name, token) in users {
            assert_eq!(server.try_name(&name).await, 403, "{name} is somebody's");
            if name.starts_with("account") {
                assert_eq!(status(&server.try_account(&name, SECRET).await), 201, "{name}");
            }
            let mut session = server.rich(&token).await;
            session.command("enter", json!({ "room": "global" })).await;
            assert_eq!(session.of_type("presence").await["user"], *name);
        }
    }
}

/// Signs somebody up, perhaps under another name in the end; the name and the token. `None` when the server is gone
/// before it has answered.
async fn sign_up(port: u16, mut name: String) -> Option<(String, String)> {
    let mut fields = json!({ "nickname": name });
    if name.starts_with("account") {
        fields["secret"] = json!(SECRET);
    }
    let request = common::raw::request("POST /auth", "content-type: application/json\r\n", &fields.to_string());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let answer = common::raw::read_all(stream).await;
    if !answer.ends_with("\"}") {
        return None;
    }
    assert_eq!(status(&answer), 201, "{answer}");
    let token = token_in(&answer);
    if name.starts_with("before") {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let headers = format!("sec-websocket-protocol: talk.v2, {token}\r\n");
        let new = name.replace("before", "after");
        let rename = json!({ "type": "setnick", "args": { "nickname": new } }).to_string();
        let enter = r#"{"type":"enter","args":{"room":"global"}}"#;
        stream.write_all(raw_websocket::upgrade("/ws", &headers).as_bytes()).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(LONG, stream.read_u8()).await.expect("an answer or an end").ok()?);
        }
        stream.write_all(&[raw_websocket::text(enter), raw_websocket::text(&rename)].concat()).await.ok()?;
        // It is told of as done, like everybody in the room.
        let renamed = loop {
            let (_, frame) = raw_websocket::read_frame(&mut stream).await?;
            let frame: Value = serde_json::from_slice(&frame).ok()?;
            if frame["state"] == "renamed" && frame["user"] == *name {
                break frame;
            }
        };
        assert_eq!(renamed["to"], *new);
        name = new;
    }
    Some((name, token))
}

fn start(dir: &Path) -> Durable {
    // More waits from one author than is read at once.
    Durable::start(dir, &["limits.commands_per_second=0", "limits.offline_messages=4096"])
}

/// By a signal, as a service manager does.
fn stop(mut server: Durable) {
    assert!(Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap().success());
    assert!(server.child.wait().unwrap().success());
}

/// A plain session, past its own greeting.
async fn joined(server: &Durable, token: &str, name: &str) -> Client {
    let mut client = server.plain(token).await;
    client.until(&said("system", &format!("{name} joined"))).await;
    client
}

async fn sessions_of(server: &Durable, token: &str) -> Vec<Value> {
    sessions(&mut server.rich(token).await).await
}

async fn sessions(client: &mut Client) -> Vec<Value> {
    client.command("sessions", json!({})).await;
    client.of_type("sessions").await["sessions"].as_array().unwrap().clone()
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Ten minutes.
const RESERVED: u64 = 600_000;
