//! Moderation from end to end: who may, what it does, and that it stands after a kill and a restart.
#![cfg(all(feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use common::durable::{Durable, UNLIMITED};
use common::raw::LONG;
use common::rooms::{Client, said};
use serde_json::{Value, json};

#[tokio::test]
async fn the_maker_of_a_room_kicks_and_whoever_is_kicked_may_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut ann, mut bob) = (maker(&server, "ann").await, member(&server, "bob").await);
    let mut pam = server.plain(&server.guest("pam").await).await;
    pam.command("switchroom", json!({ "room": "den" })).await;
    pam.until(&said("system", "pam joined")).await;
    pam.until(&said("system", "pam joined")).await;

    act(&mut ann, "kick", json!({ "user": "bob", "reason": "enough" })).await;
    assert_eq!(told(&mut bob).await, "you were kicked from room den: enough");
    assert_eq!(say(&mut bob, "den").await, "not_in_room");
    assert_eq!(enter(&mut bob, "den").await, "joined");

    act(&mut ann, "kick", json!({ "user": "pam" })).await;
    pam.until(&said("system", "pam left")).await;
    assert_eq!(pam.system().await, "you were kicked from room den");
    pam.say("anybody?").await;
    assert_eq!(pam.system().await, "you are in no room");
    for room in ["global", "den"] {
        pam.command("switchroom", json!({ "room": room })).await;
        pam.until(&said("system", "pam joined")).await;
        pam.say("here again").await;
        pam.until(&said("pam", "here again")).await;
    }
    until_body(&mut ann, "here again").await;
}

#[tokio::test]
async fn bans_and_mutes_hold_over_names_and_restarts_until_they_are_lifted() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut ann = maker(&server, "ann").await;
    let (mut bob, mut eve) = (member(&server, "bob").await, member(&server, "eve").await);
    let mut dan = server.rich(&server.account("dan").await).await;
    assert_eq!(enter(&mut dan, "den").await, "joined");
    assert_eq!(say(&mut bob, "den").await, "accepted");

    act(&mut ann, "ban", json!({ "user": "bob", "seconds": 3600, "reason": "spam" })).await;
    assert_eq!(told(&mut bob).await, "you were banned from room den for 3600 s: spam");
    act(&mut ann, "ban", json!({ "user": "dan" })).await;
    assert_eq!(told(&mut dan).await, "you were banned from room den");
    act(&mut ann, "mute", json!({ "user": "eve", "seconds": 3600 })).await;
    assert_eq!(told(&mut eve).await, "you are muted in room den for 3600 s");
    assert_eq!((enter(&mut bob, "den").await, enter(&mut dan, "den").await), ("banned".into(), "banned".into()));
    assert_eq!(say(&mut eve, "den").await, "muted");
    assert_eq!(say(&mut eve, "nowhere").await, "not_in_room");
    // Another name helps nobody, nor does another session.
    bob.command("setnick", json!({ "nickname": "robert" })).await;
    eve.command("setnick", json!({ "nickname": "evelyn" })).await;
    assert_eq!((enter(&mut bob, "den").await, say(&mut eve, "den").await), ("banned".into(), "muted".into()));
    assert_eq!(resume(&mut server.rich(&bob.token).await, "den", "e").await, "banned");
    let mut plain = server.plain(&bob.token).await;
    plain.until(&said("system", "robert joined")).await;
    plain.command("switchroom", json!({ "room": "den" })).await;
    assert_eq!(plain.system().await, "you are banned from room den");
    let tokens = [&ann, &bob, &dan, &eve].map(|client| client.token.clone());
    server.kill();

    let server = start(dir.path());
    let [mut ann, mut bob, mut dan, mut eve] = sessions(&server, &tokens).await;
    assert_eq!((enter(&mut bob, "den").await, enter(&mut dan, "den").await), ("banned".into(), "banned".into()));
    assert_eq!(enter(&mut eve, "den").await, "joined", "who is muted may listen");
    assert_eq!(say(&mut eve, "den").await, "muted");
    // The maker need not be there, is the maker still, and lifts a ban by the name that it was made for, or by the new.
    act(&mut ann, "unban", json!({ "user": "bob" })).await;
    act(&mut ann, "unban", json!({ "user": "dan" })).await;
    // Nobody who is not in the room hears of it: it would be a way to speak to anybody as the system.
    act(&mut ann, "unmute", json!({ "user": "evelyn" })).await;
    assert_eq!(told(&mut eve).await, "you are no longer muted in room den");
    server.kill();

    let server = start(dir.path());
    for client in sessions(&server, &tokens).await.iter_mut().skip(1) {
        assert_eq!((enter(client, "den").await, say(client, "den").await), ("joined".into(), "accepted".into()));
    }
}

#[tokio::test]
async fn a_ban_and_a_mute_end_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut ann, mut bob) = (maker(&server, "ann").await, member(&server, "bob").await);
    act(&mut ann, "mute", json!({ "user": "bob", "seconds": 1 })).await;
    told(&mut bob).await;
    let deadline = Instant::now() + LONG;
    while say(&mut bob, "den").await != "accepted" {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    act(&mut ann, "ban", json!({ "user": "bob", "seconds": 1 })).await;
    told(&mut bob).await;
    let deadline = Instant::now() + LONG;
    while enter(&mut bob, "den").await != "joined" {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_closed_room_stays_closed_until_its_maker_enters() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut ann, mut bob) = (maker(&server, "ann").await, member(&server, "bob").await);
    assert_eq!(say(&mut bob, "den").await, "accepted");
    act(&mut ann, "close", json!({ "reason": "good night" })).await;
    assert_eq!(told(&mut bob).await, "room den was closed: good night");
    for client in [&mut ann, &mut bob] {
        assert_eq!(say(client, "den").await, "not_in_room");
    }
    assert_eq!(enter(&mut bob, "den").await, "room_closed");
    bob.command("createroom", json!({ "name": "den" })).await;
    assert_eq!(bob.of_type("error").await["code"], "room_exists");
    let tokens = [ann.token.clone(), bob.token.clone()];
    server.kill();

    let server = start(dir.path());
    let [mut ann, mut bob] = sessions(&server, &tokens).await;
    assert_eq!(enter(&mut bob, "den").await, "room_closed");
    assert_eq!(enter(&mut ann, "den").await, "joined");
    assert_eq!(enter(&mut bob, "den").await, "joined");
    server.kill();
    let server = start(dir.path());
    let [_, mut bob] = sessions(&server, &tokens).await;
    assert_eq!(enter(&mut bob, "den").await, "joined", "and opened for good");
}

#[tokio::test]
async fn nobody_but_the_maker_moderates_and_nobody_the_maker() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut ann, mut bob) = (maker(&server, "ann").await, member(&server, "bob").await);
    let mut eve = server.rich(&server.guest("eve").await).await;
    for stranger in [&mut bob, &mut eve] {
        for kind in ["kick", "ban", "unban", "mute", "unmute", "close"] {
            for user in ["ann", "bob", "nobody"] {
                assert_eq!(act(stranger, kind, json!({ "user": user })).await, "forbidden", "{kind} {user}");
            }
        }
    }
    for kind in ["kick", "ban", "mute"] {
        assert_eq!(act(&mut ann, kind, json!({ "user": "ann" })).await, "forbidden", "{kind}");
        assert_eq!(act(&mut ann, kind, json!({ "user": "nobody" })).await, "no_user", "{kind}");
        let in_global = json!({ "room": "global", "user": "bob" });
        assert_eq!(act(&mut ann, kind, in_global).await, "forbidden", "global has no maker");
        assert_eq!(act(&mut ann, kind, json!({ "room": "no", "user": "bob" })).await, "forbidden", "nor has no room");
    }
    assert_eq!(say(&mut bob, "den").await, "accepted", "nothing of it happened");
    // Making a room again that vanished makes nobody the moderator of the one that there is.
    eve.command("createroom", json!({ "name": "den" })).await;
    assert_eq!(eve.of_type("error").await["code"], "room_exists");
    assert_eq!(act(&mut eve, "kick", json!({ "user": "bob" })).await, "forbidden");
}

#[tokio::test]
async fn an_administrator_moderates_global_and_every_room() {
    let dir = tempfile::tempdir().unwrap();
    let server = Durable::start(dir.path(), &[UNLIMITED, "admins=root,boss"]);
    // No guest gets such a name, and another account has no such right.
    let refused = server.ask("POST /auth?nickname=boss", "", "").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let mut guest = server.rich(&server.account("kirk").await).await;
    let mut root = server.rich(&server.account("root").await).await;
    let (mut ann, mut bob) = (maker(&server, "ann").await, member(&server, "bob").await);
    assert_eq!(enter(&mut bob, "global").await, "joined");
    let in_global = |user: &str| json!({ "room": "global", "user": user });
    assert_eq!(act(&mut guest, "mute", in_global("bob")).await, "forbidden");
    act(&mut root, "mute", in_global("bob")).await;
    assert_eq!(told(&mut bob).await, "you are muted in room global");
    act(&mut root, "ban", json!({ "user": "bob" })).await;
    assert_eq!(told(&mut bob).await, "you were banned from room den");
    assert_eq!(act(&mut ann, "kick", json!({ "user": "root" })).await, "forbidden", "nobody touches an administrator");
    assert_eq!(act(&mut root, "kick", json!({ "user": "ann" })).await, "forbidden", "nor a maker in the own room");
    let mut pam = server.plain(&server.guest("pam").await).await;
    pam.until(&said("system", "pam joined")).await;
    act(&mut root, "ban", in_global("pam")).await;
    pam.until(&said("system", "you were banned from room global")).await;
    pam.command("switchroom", json!({ "room": "global" })).await;
    assert_eq!(pam.system().await, "you are banned from room global");
    let tokens = [root.token.clone(), bob.token.clone(), ann.token.clone()];
    assert_eq!(say(&mut ann, "den").await, "accepted");
    server.kill();

    let server = Durable::start(dir.path(), &[UNLIMITED, "admins=root,boss"]);
    let [mut root, mut bob, _] = sessions(&server, &tokens).await;
    assert_eq!((enter(&mut bob, "global").await, say(&mut bob, "global").await), ("joined".into(), "muted".into()));
    assert_eq!(enter(&mut bob, "den").await, "banned");
    act(&mut root, "close", json!({ "room": "global" })).await;
    assert_eq!(told(&mut bob).await, "room global was closed");
    assert_eq!(enter(&mut bob, "global").await, "room_closed");
    server.kill();

    // Without the setting an account like any other.
    let server = start(dir.path());
    let [mut former, _, _] = sessions(&server, &tokens).await;
    assert_eq!(act(&mut former, "unmute", in_global("bob")).await, "forbidden");
    assert_eq!(enter(&mut former, "global").await, "room_closed");
    let mut new = server.plain(&server.guest("new").await).await;
    assert_eq!(new.system().await, "room global is closed", "a plain session begins in no room then");
    new.command("switchroom", json!({ "room": "den" })).await;
    assert_eq!(new.system().await, "new joined");
    server.kill();
    let server = Durable::start(dir.path(), &[UNLIMITED, "admins=root"]);
    let [mut root, mut bob, _] = sessions(&server, &tokens).await;
    assert_eq!((enter(&mut root, "global").await, enter(&mut bob, "global").await), ("joined".into(), "joined".into()));
}

#[tokio::test]
async fn who_is_blocked_is_not_heard_over_restarts_until_unblocked() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let (mut ann, mut eve) = (maker(&server, "ann").await, member(&server, "eve").await);
    let epoch = epoch(&mut ann).await;
    ann.command("block", json!({ "user": "eve" })).await;
    ann.command("block", json!({ "user": "nobody" })).await;
    assert_eq!(ann.of_type("error").await["code"], "no_user");
    let tokens = [ann.token.clone(), eve.token.clone()];
    speak(&mut eve, "unheard 1").await;
    until_body(&mut eve, "unheard 1").await;
    assert_eq!(direct(&mut eve, "ann").await, "blocked");
    speak(&mut ann, "between").await;
    assert_eq!(until_body(&mut ann, "between").await, ["between"]);
    server.kill();

    let server = start(dir.path());
    let [mut ann, mut eve] = sessions(&server, &tokens).await;
    // Neither live nor from the history that a resume replays.
    assert_eq!(resume(&mut ann, "den", &epoch).await, "joined");
    assert_eq!(enter(&mut eve, "den").await, "joined");
    speak(&mut eve, "unheard 2").await;
    until_body(&mut eve, "unheard 2").await;
    assert_eq!(direct(&mut eve, "ann").await, "blocked");
    speak(&mut ann, "after").await;
    assert_eq!(until_body(&mut ann, "after").await, ["welcome", "x", "between", "after"]);
    // By another name she is who she is.
    eve.command("setnick", json!({ "nickname": "evelyn" })).await;
    assert_eq!(direct(&mut eve, "ann").await, "blocked");
    ann.command("unblock", json!({ "user": "evelyn" })).await;
    ann.command("sessions", json!({})).await;
    ann.of_type("sessions").await;
    speak(&mut eve, "heard").await;
    assert_eq!(until_body(&mut ann, "heard").await, ["heard"]);
    assert_eq!(direct(&mut eve, "ann").await, "accepted");
    server.kill();

    let server = start(dir.path());
    let [_, mut eve] = sessions(&server, &tokens).await;
    assert_eq!(direct(&mut eve, "ann").await, "accepted", "and stays so");
}

fn start(dir: &Path) -> Durable {
    Durable::start(dir, &[UNLIMITED])
}

/// A rich guest who made the room `den` and said something there, so that it stays.
async fn maker(server: &Durable, name: &str) -> Client {
    let mut client = server.rich(&server.guest(name).await).await;
    client.command("createroom", json!({ "name": "den" })).await;
    client.of_type("presence").await;
    speak(&mut client, "welcome").await;
    until_body(&mut client, "welcome").await;
    client
}

/// A rich guest in the room `den`.
async fn member(server: &Durable, name: &str) -> Client {
    let mut client = server.rich(&server.guest(name).await).await;
    assert_eq!(enter(&mut client, "den").await, "joined");
    client
}

/// Rich sessions of users who were here before.
async fn sessions<const N: usize>(server: &Durable, tokens: &[String; N]) -> [Client; N] {
    let mut clients = Vec::new();
    for token in tokens {
        clients.push(server.rich(token).await);
    }
    clients.try_into().unwrap_or_else(|_| unreachable!())
}

/// Moderates the room `den`, or another: the code of the refusal, or nothing.
async fn act(client: &mut Client, kind: &str, mut args: Value) -> String {
    if args.get("room").is_none() {
        args["room"] = json!("den");
    }
    client.command(kind, args).await;
    client.command("listrooms", json!({})).await;
    loop {
        let heard = client.hear().await;
        match heard["type"].as_str() {
            Some("error") => {
                names(client).await;
                return heard["code"].as_str().unwrap().to_owned();
            }
            Some("system") if is_names(&heard) => return String::new(),
            _ => {}
        }
    }
}

/// The next word from the system that is no answer.
async fn told(client: &mut Client) -> String {
    loop {
        let heard = client.of_type("system").await;
        if !is_names(&heard) {
            return heard["body"].as_str().unwrap().to_owned();
        }
    }
}

/// Enters: `joined`, or the code of the refusal.
async fn enter(client: &mut Client, room: &str) -> String {
    client.command("enter", json!({ "room": room })).await;
    outcome(client, |heard| heard["type"] == "presence" && heard["state"] == "joined" && heard["room"] == room).await
}

/// Comes back from the beginning of what was said: `joined`, or the code of the refusal.
async fn resume(client: &mut Client, room: &str, epoch: &str) -> String {
    client.command("resume", json!({ "room": room, "epoch": epoch, "seq": 0 })).await;
    outcome(client, |heard| heard["type"] == "presence" && heard["state"] == "joined" && heard["room"] == room).await
}

async fn outcome(client: &mut Client, is_done: impl Fn(&Value) -> bool) -> String {
    loop {
        let heard = client.hear().await;
        if heard["type"] == "error" {
            return heard["code"].as_str().unwrap().to_owned();
        }
        if is_done(&heard) {
            return "joined".to_owned();
        }
    }
}

/// Says something in a room: `accepted`, or the code of the refusal.
async fn say(client: &mut Client, room: &str) -> String {
    said_as(client, "message", json!({ "room": room, "body": "x", "id": id() })).await
}

/// Says something to somebody alone: `accepted`, or the code of the refusal.
async fn direct(client: &mut Client, to: &str) -> String {
    said_as(client, "direct", json!({ "to": to, "body": "x", "id": id() })).await
}

async fn said_as(client: &mut Client, kind: &str, args: Value) -> String {
    let id = args["id"].clone();
    client.command(kind, args).await;
    loop {
        let heard = client.hear().await;
        if heard["id"] != id {
            continue;
        }
        match heard["type"].as_str() {
            Some("error") => return heard["code"].as_str().unwrap().to_owned(),
            Some("accepted") => return "accepted".to_owned(),
            _ => {}
        }
    }
}

/// Says something in the room `den`, and does not wait for anything.
async fn speak(client: &mut Client, body: &str) {
    client.command("message", json!({ "room": "den", "body": body, "id": id() })).await;
}

/// The life of the history, from something that is said in the room `den`.
async fn epoch(client: &mut Client) -> String {
    client.command("message", json!({ "room": "den", "body": "x", "id": id() })).await;
    client.of_type("accepted").await["epoch"].as_str().unwrap().to_owned()
}

/// What is heard in rooms up to a text, which is the last of it.
async fn until_body(client: &mut Client, body: &str) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != body) {
        heard.push(client.of_type("message").await["body"].as_str().unwrap().to_owned());
    }
    heard
}

async fn names(client: &mut Client) {
    while !is_names(&client.of_type("system").await) {}
}

/// Whether it is the answer to `listrooms`.
fn is_names(heard: &Value) -> bool {
    heard["type"] == "system" && heard["body"].as_str().is_some_and(|body| body.lines().any(|line| line == "global"))
}

/// One that nobody used before.
fn id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}
