//! Searches over the wire, by the index of texts that a real server keeps beside its history: whatever becomes of it, all
//! that was accepted is found, by those who may read it and by nobody else.
#![cfg(all(feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::durable::{Durable, UNLIMITED};
use common::rooms::Client;
use serde_json::json;

/// More than the index puts off, several times.
const MANY: usize = 4000;
/// Messages that are under way at a time.
const WINDOW: usize = 100;

/// Says so many messages in `global`, of which each says its number, and hears them accepted.
async fn say(client: &mut Client, from: usize, to: usize) {
    let numbers: Vec<_> = (from..=to).collect();
    for some in numbers.chunks(WINDOW) {
        for number in some {
            let body = format!("Сообщение №{number}, of many");
            client.command("message", json!({ "room": "global", "body": body, "id": number.to_string() })).await;
        }
        for _ in some {
            client.of_type("accepted").await;
        }
    }
}

/// The bodies that a search finds, looked for to the end.
async fn find(client: &mut Client, text: &str) -> Vec<String> {
    let (mut bodies, mut before) = (Vec::new(), None);
    for _ in 0..1000 {
        client.command("search", json!({ "room": "global", "text": text, "before": before, "limit": 100 })).await;
        let found = client.of_type("found").await;
        let messages = found["messages"].as_array().unwrap();
        bodies.extend(messages.iter().map(|message| message["body"].as_str().unwrap().to_owned()));
        before = found["before"].as_u64();
        if before.is_none() {
            return bodies;
        }
    }
    panic!("{text} is looked for without an end");
}

async fn check(server: &Durable, token: &str, last: usize) {
    let mut client = server.rich(token).await;
    client.command("enter", json!({ "room": "global" })).await;
    for number in [1, 2, MANY / 2, last - 1, last] {
        let expected = [format!("Сообщение №{number}, of many")];
        assert_eq!(find(&mut client, &format!("\"сообщение №{number},\"")).await, expected);
    }
    assert_eq!(find(&mut client, "сообщ* MANY").await.len(), last, "each once");
    assert!(find(&mut client, "nowhere").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_was_accepted_is_found_whatever_becomes_of_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let index = data.join("search.db");
    let remove =
        |ends: &[&str]| ends.iter().for_each(|end| drop(std::fs::remove_file(data.join(format!("search.db{end}")))));
    let server = Durable::start(data, &[UNLIMITED]);
    let token = server.account("ann").await;
    let mut last = MANY;
    {
        let mut ann = server.rich(&token).await;
        ann.command("enter", json!({ "room": "global" })).await;
        say(&mut ann, 1, last).await;
    }
    // In the midst of its work, most likely.
    server.kill();
    let spoil: [&dyn Fn(); 5] = [
        &|| {},
        &|| remove(&["", "-wal", "-shm"]),
        &|| remove(&["-wal", "-shm"]),
        &|| std::fs::write(&index, vec![0x5a; 50_000]).unwrap(),
        &|| {
            let length = std::fs::metadata(&index).unwrap().len();
            std::fs::OpenOptions::new().write(true).open(&index).unwrap().set_len(length / 2).unwrap();
        },
    ];
    for spoil in spoil {
        spoil();
        let server = Durable::start(data, &[UNLIMITED]);
        check(&server, &token, last).await;
        let mut ann = server.rich(&token).await;
        ann.command("enter", json!({ "room": "global" })).await;
        say(&mut ann, last + 1, last + 700).await;
        last += 700;
        check(&server, &token, last).await;
        server.kill();
    }
    assert!(modes(data).iter().all(|mode| mode & 0o077 == 0), "nobody else may read it");
}

/// The modes of the index's files.
#[cfg(unix)]
fn modes(data: &Path) -> Vec<u32> {
    use std::os::unix::fs::PermissionsExt;
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let index = files.filter(|file| file.file_name().to_string_lossy().starts_with("search.db"));
    index.map(|file| file.metadata().unwrap().permissions().mode()).collect()
}

#[cfg(not(unix))]
fn modes(_: &Path) -> Vec<u32> {
    Vec::new()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_to_one_user_is_found_by_them_alone_and_what_means_something_to_sql_means_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Durable::start(dir.path(), &[UNLIMITED]);
    let tokens = [server.account("ann").await, server.account("bob").await, server.account("eve").await];
    let mut ann = server.rich(&tokens[0]).await;
    let (mut bob, mut eve) = (server.rich(&tokens[1]).await, server.rich(&tokens[2]).await);
    ann.command("direct", json!({ "to": "bob", "body": "the secret meadow", "id": "secret" })).await;
    ann.of_type("accepted").await;
    let room = bob.of_type("message").await["room"].clone();
    for client in [&mut ann, &mut eve] {
        client.command("enter", json!({ "room": "global" })).await;
    }
    // So that it is in the index.
    say(&mut ann, 1, 1500).await;
    let search = json!({ "room": room, "text": "secret mead*" });
    bob.command("search", search.clone()).await;
    assert_eq!(bob.of_type("found").await["messages"][0]["body"], "the secret meadow");
    for other in [&mut ann, &mut eve] {
        other.command("search", search.clone()).await;
        assert_eq!(other.of_type("error").await["code"], "not_in_room");
        assert!(find(other, "secret").await.is_empty());
    }
    let hostile = [
        "\"",
        "\"\"\"",
        "' OR 1=1 --",
        "NEAR(many of)",
        "*",
        "**",
        "many OR secret",
        "NOT many",
        "grams: of",
        "^many",
        "(",
        "{",
        "a\0b",
        "-many",
        "many AND",
        "\u{202e}many",
        "%",
        "_",
        "'; DROP TABLE texts; --",
        "многа*)",
        "\"many*\"",
        "💬💬💬",
    ];
    for text in hostile {
        assert!(find(&mut eve, text).await.is_empty(), "{text:?}");
    }
    for text in ["many", "\"of many\"", "№1500, MANY", "of \"", "СООБЩЕНИЕ many of сооб* \"№1\""] {
        assert_eq!(find(&mut eve, text).await.is_empty(), text == "of \"", "{text:?}");
    }
    let (long, many) = ("ь".repeat(128), "of many ".repeat(32));
    assert!(find(&mut eve, &long).await.is_empty());
    assert_eq!(find(&mut eve, &many).await.len(), 1500);
    server.kill();
}
