//! What retention takes is gone for everybody, and said to be; what may still be repeated stays known.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::raw_websocket;
use common::rooms::{Client, form, status, token_in};
use serde_json::{Value, json};
use talk::hub::Hub;
use talk::message::{MessageId, Record, RoomKey, Timestamp, UserId};
use talk::name::RoomName;
use talk::server::{Config, Server};
use talk::store::{Durability, HistoryStore, SqliteHistory};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[tokio::test]
async fn what_is_too_much_or_too_old_goes_and_what_may_be_repeated_stays() {
    for setting in ["retention.count=10", "retention.age_days=0.5", "retention.bytes=1500"] {
        let dir = tempfile::tempdir().unwrap();
        // Said a day ago.
        keep(dir.path(), 30).await;
        let server = Running::start(dir.path(), &[setting]).await;
        let mut ann = server.rich("ann").await;
        assert_eq!(seqs(&history(&mut ann).await), range(1, 30), "{setting}");
        let epoch = say(&mut ann, "new", 15).await;
        server.hub.tend().await.unwrap();

        // What was said just now stays, though it is more than 10 or 1,500 bytes: it may be said again.
        assert_eq!(seqs(&history(&mut ann).await), range(31, 45), "{setting}");
        for (id, body, expected) in [("new-3", "new 3", "accepted"), ("new-4", "another", "error")] {
            ann.command("message", json!({ "room": "global", "body": body, "id": id })).await;
            let answer = ann.of_type(expected).await;
            assert_eq!(answer["seq"].as_u64().or(Some(33)), Some(33), "{answer}");
        }
        check_resumes(&server, &epoch, 30, 45).await;
        server.stop().await;

        let server = Running::start(dir.path(), &[setting]).await;
        check_resumes(&server, &epoch, 30, 45).await;
        let mut bob = server.rich("bob").await;
        bob.command("message", json!({ "room": "global", "body": "new 46", "id": "later" })).await;
        assert_eq!(bob.of_type("accepted").await["seq"], 46, "{setting}: the order goes on");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_room_at_work_forgets_what_retention_took() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(dir.path(), &["retention.count=3", "limits.duplicate_window=0"]).await;
    let mut ann = server.rich("ann").await;
    let epoch = say(&mut ann, "x", 10).await;
    server.hub.tend().await.unwrap();
    assert_eq!(seqs(&history(&mut ann).await), range(8, 10));
    check_resumes(&server, &epoch, 7, 10).await;
    // And goes on.
    say(&mut ann, "y", 2).await;
    check_resumes(&server, &epoch, 7, 12).await;
    server.stop().await;
}

#[tokio::test]
async fn when_nothing_is_left_that_is_said_too() {
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), 300).await;
    let server = Running::start(dir.path(), &["retention.age_days=0.5"]).await;
    let mut ann = server.rich("ann").await;
    let epoch = history(&mut ann).await[0]["epoch"].as_str().unwrap().to_owned();
    server.hub.tend().await.unwrap();
    assert!(history(&mut ann).await.is_empty());
    check_resumes(&server, &epoch, 300, 300).await;
    server.stop().await;
    let server = Running::start(dir.path(), &[]).await;
    check_resumes(&server, &epoch, 300, 300).await;
    server.stop().await;
}

#[tokio::test]
async fn a_room_vanishes_with_the_last_that_was_kept_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["retention.bytes=1", "limits.duplicate_window=0", "limits.rooms_per_user=2"];
    let server = Running::start(dir.path(), &settings).await;
    let (mut ann, mut bob) = (server.rich("ann").await, server.rich("bob").await);
    ann.command("leave", json!({ "room": "global" })).await;
    for (room, taken) in [("den", false), ("attic", false), ("third", true)] {
        ann.command("createroom", json!({ "name": room })).await;
        if taken {
            assert_eq!(ann.of_type("error").await["code"], "too_many_rooms");
            continue;
        }
        ann.of_type("presence").await;
        ann.command("message", json!({ "room": room, "body": "x", "id": room })).await;
        ann.of_type("accepted").await;
    }
    // Banned from both, of which only one will be left.
    for room in ["den", "attic"] {
        ann.command("ban", json!({ "room": room, "user": "bob" })).await;
    }
    ann.command("leave", json!({ "room": "den" })).await;
    ann.command("listrooms", json!({})).await;
    ann.of_type("system").await;
    bob.command("createroom", json!({ "name": "den" })).await;
    assert_eq!(bob.of_type("error").await["code"], "room_exists", "it is kept");
    // Its task ends when it has nothing more to do.
    let deadline = Instant::now() + common::raw::LONG;
    loop {
        server.hub.tend().await.unwrap();
        bob.command("createroom", json!({ "name": "den" })).await;
        let answer = bob.hear().await;
        if answer["type"] == "presence" {
            break;
        }
        assert_eq!(answer["code"], "room_exists");
        assert!(Instant::now() < deadline, "it never vanishes");
        tokio::task::yield_now().await;
    }
    bob.command("enter", json!({ "room": "attic" })).await;
    assert_eq!(bob.of_type("error").await["code"], "banned", "somebody is there");
    ann.command("createroom", json!({ "name": "third" })).await;
    assert_eq!(ann.of_type("presence").await["room"], "third", "it counts no more");
    server.stop().await;
}

/// Comes back from before, from within and from the end of what is gone, up to `cut` of `last`.
async fn check_resumes(server: &Running, epoch: &str, cut: u64, last: u64) {
    for from in [0, cut / 2, cut - 1, cut, last] {
        let mut session = server.rich("back").await;
        session.command("resume", json!({ "room": "global", "epoch": epoch, "seq": from })).await;
        let mut heard = Vec::new();
        let recovered = loop {
            let frame = session.hear().await;
            match frame["type"].as_str() {
                Some("recovered") => break frame,
                Some("message" | "gap") => heard.push(frame),
                Some("presence") => {}
                _ => panic!("{frame}"),
            }
        };
        let missing = from < cut;
        assert_eq!(recovered["recovered"], !missing, "{recovered}");
        assert_eq!((&recovered["from"], &recovered["to"]), (&json!(from), &json!(last)), "{recovered}");
        if missing {
            assert_eq!(heard.remove(0), json!({ "type": "gap", "room": "global", "from": from, "to": cut }));
        }
        assert_eq!(seqs(&heard), range(from.max(cut) + 1, last));
        session.command("exit", json!({})).await;
        assert_eq!(session.closed().await, Some(1000));
    }
}

/// Says so many things in `global`, and hears that they were accepted; the epoch.
async fn say(client: &mut Client, what: &str, count: usize) -> String {
    let mut epoch = String::new();
    for n in 1..=count {
        let args = json!({ "room": "global", "body": format!("{what} {n}"), "id": format!("{what}-{n}") });
        client.command("message", args).await;
        epoch = client.of_type("accepted").await["epoch"].as_str().unwrap().to_owned();
    }
    epoch
}

async fn history(client: &mut Client) -> Vec<Value> {
    client.command("history", json!({ "room": "global", "limit": 1000 })).await;
    // Answered behind it, and finds nothing.
    client.command("search", json!({ "room": "global", "text": "end", "before": 1 })).await;
    let mut frames = Vec::new();
    loop {
        let frame = client.hear().await;
        match frame["type"].as_str() {
            Some("message") => frames.push(frame),
            Some("found") => return frames,
            _ => {}
        }
    }
}

fn seqs(frames: &[Value]) -> Vec<u64> {
    frames.iter().map(|frame| frame["seq"].as_u64().unwrap_or_else(|| panic!("{frame}"))).collect()
}

fn range(first: u64, last: u64) -> Vec<u64> {
    (first..=last).collect()
}

/// Puts so many messages into the room `global` that were said a day ago.
async fn keep(dir: &Path, count: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = u64::try_from((now - Duration::from_secs(86_400)).as_millis()).unwrap();
    let record = |seq| Record {
        room: RoomKey::Room(RoomName::global()),
        seq,
        prev: seq - 1,
        at: Timestamp::from_millis(at + seq),
        user: UserId::from_bytes([1; 16]),
        from: "old".into(),
        id: Some(MessageId::new(&format!("old-{seq}")).unwrap()),
        body: "long ago".into(),
    };
    let store = SqliteHistory::open(dir, Durability::Os, &talk::limits::Limits::default()).unwrap();
    store.append(&(1..=count).map(record).collect::<Vec<_>>()).await.unwrap();
}

/// A server of this process, whose housekeeping is in the test's hands.
struct Running {
    port: u16,
    hub: Hub,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(dir: &Path, settings: &[&str]) -> Self {
        let mut config = Config::default();
        (config.port, config.memory, config.data) = (0, false, Some(dir.to_owned()));
        for setting in ["limits.commands_per_second=0"].iter().chain(settings) {
            let (key, value) = setting.split_once('=').unwrap();
            config.set("here", key, value).unwrap();
        }
        let server = Server::bind(config).await.unwrap();
        let (port, hub) = (server.local_addr().port(), server.hub().clone());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run_until(async { stopped.await.unwrap_or(()) }));
        Self { port, hub, stop, task }
    }

    /// A rich guest in `global`, unless the first word is of coming back.
    async fn rich(&self, name: &str) -> Client {
        let request = format!("POST /auth HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}", form(name));
        let answer = common::raw::exchange(self.port, request).await;
        assert_eq!(status(&answer), 201, "{answer}");
        let token = token_in(&answer);
        let headers = format!("sec-websocket-protocol: talk.v2, {token}\r\n");
        let (stream, head) = raw_websocket::open(self.port, "/ws", &headers).await;
        let mut client = Client { stream, head, token };
        if name != "back" {
            client.command("enter", json!({ "room": "global" })).await;
            client.of_type("presence").await;
        }
        client
    }

    /// Waits until everything is on disk and closed.
    async fn stop(self) {
        drop(self.stop);
        tokio::time::timeout(common::raw::LONG, self.task).await.unwrap().unwrap();
    }
}
