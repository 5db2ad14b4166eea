//! A disk that takes no more: what is written is refused, what was accepted can be read and is there after a restart,
//! and where the disk has space again the server goes on by itself.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::process::Command;

use common::durable::{Durable, PROGRAM, UNLIMITED};
use common::rooms::{Client, said, status};
use serde_json::{Value, json};

#[tokio::test]
async fn when_writing_fails_nothing_accepted_is_lost_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let bare = tempfile::tempdir().unwrap();
    // What the files of an empty server need.
    let needed = {
        drop(Durable::start(bare.path(), &[]));
        largest(bare.path())
    };
    // A bound on the size of each file stands for a disk that fails: the write ahead breaks off in the midst.
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", (needed + 200_000) / 512);
    command.args(["-c", &script, "sh", PROGRAM]);
    let server = Durable::spawn(Durable::command(command, dir.path(), &[UNLIMITED]));
    let mut ann = server.rich(&server.guest("ann").await).await;
    let mut pam = server.plain(&server.guest("pam").await).await;
    ann.command("enter", json!({ "room": "global" })).await;
    let accepted = say_until_refused(&mut ann, 0).await;
    for again in [accepted, accepted, accepted + 1] {
        assert_eq!(say(&mut ann, again).await["code"], "unavailable", "nor any later one");
    }
    // A plain session hears that it was refused, and nobody what was.
    pam.until(&said("ann", &body(accepted - 1))).await;
    pam.say("lost").await;
    assert_eq!(pam.system().await, "messages cannot be stored at the moment");
    assert_eq!(bodies(&history(&mut ann).await), bodies_up_to(accepted));
    // Users are in a file of their own, which fails when it is as long.
    let mut guests = 0;
    let refused = loop {
        let answer = server.auth(&json!({ "nickname": format!("guest{guests}") }).to_string()).await;
        match status(&answer) {
            201 => guests += 1,
            refused => break refused,
        }
        assert!(guests < 10_000, "the disk takes everything");
    };
    assert_eq!(refused, 503);
    assert_eq!(bodies(&history(&mut ann).await), bodies_up_to(accepted));
    server.kill();

    let server = Durable::start(dir.path(), &[UNLIMITED]);
    let mut ann = server.rich(&ann.token).await;
    ann.command("enter", json!({ "room": "global" })).await;
    assert_eq!(bodies(&history(&mut ann).await), bodies_up_to(accepted), "what was accepted, and nothing else");
    assert_eq!(say(&mut ann, accepted).await["type"], "accepted");
}

#[tokio::test]
async fn when_a_full_disk_has_space_again_the_server_goes_on() {
    let within = ["-rm", "sh", "-c"];
    let may = Command::new("unshare").args(within).arg("mount -t tmpfs tmpfs /mnt").status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("no test of a full disk: this system lets nobody mount a small one");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=3m tmpfs \"$0\" && head -c 1500000 /dev/zero > \"$0/other\" && exec \"$@\"";
    command.args(within).arg(script).arg(dir.path()).arg(PROGRAM);
    let data = dir.path().join("data");
    let server = Durable::spawn(Durable::command(command, &data, &[UNLIMITED]));
    let tokens = [server.guest("ann").await, server.guest("bob").await];
    let (mut ann, mut bob) = (server.rich(&tokens[0]).await, server.rich(&tokens[1]).await);
    for client in [&mut ann, &mut bob] {
        client.command("enter", json!({ "room": "global" })).await;
    }
    let late = server.guest("late").await;
    let pam = server.plain(&server.guest("pam").await).await;
    ann.of_type("presence").await;
    let accepted = say_until_refused(&mut ann, 0).await;
    for again in [accepted, accepted + 1] {
        assert_eq!(say(&mut ann, again).await["code"], "unavailable");
    }
    let next = server.rich(&late).await.closed().await;
    assert_eq!(next, Some(1013), "try again later");
    drop(pam);
    let left = json!({ "type": "presence", "room": "global", "user": "pam", "state": "left" });
    bob.until(&left).await;
    assert_eq!(bodies(&history(&mut bob).await), bodies_up_to(accepted));
    // Not even a room's rules or a guest fit.
    bob.command("createroom", json!({ "name": "den" })).await;
    let answer = bob.of_type("error").await;
    assert!(["full", "unavailable"].contains(&answer["code"].as_str().unwrap()), "{answer}");
    assert_eq!(server.try_name("new").await, 507);

    // The tmpfs is seen by the server's process alone, and by whoever looks through its eyes.
    let through = Path::new("/proc").join(server.child.id().to_string()).join("root");
    std::fs::remove_file(through.join(dir.path().strip_prefix("/").unwrap()).join("other")).unwrap();
    for again in [accepted, accepted + 1] {
        assert_eq!(say(&mut ann, again).await["type"], "accepted", "by the same ids");
    }
    bob.command("createroom", json!({ "name": "den" })).await;
    assert_eq!(bob.of_type("presence").await["room"], "den");
    assert_eq!(server.try_name("new").await, 201);
    // Who left meanwhile is heard of with the next who leaves.
    assert_eq!(server.try_name("pam").await, 403);
    let mut last = server.rich(&late).await;
    last.command("exit", json!({})).await;
    assert_eq!(last.closed().await, Some(1000));
    server.until_free("pam").await;
    assert_eq!(bodies(&history(&mut ann).await), bodies_up_to(accepted + 2));

    // What is there now, as a kill would leave it.
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(through.join(data.strip_prefix("/").unwrap())).unwrap() {
        let file = file.unwrap();
        if !file.file_name().to_str().unwrap().ends_with("-shm") {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    server.kill();
    let server = Durable::start(copy.path(), &[UNLIMITED]);
    let mut ann = server.rich(&tokens[0]).await;
    ann.command("enter", json!({ "room": "global" })).await;
    assert_eq!(bodies(&history(&mut ann).await), bodies_up_to(accepted + 2));
}

/// Says one thing after the other, from a number on, until one is refused; its number.
async fn say_until_refused(client: &mut Client, from: usize) -> usize {
    for n in from..from + 10_000 {
        let answer = say(client, n).await;
        if answer["type"] == "error" {
            assert_eq!((&answer["code"], &answer["id"]), (&json!("unavailable"), &json!(n.to_string())));
            assert!(n > from, "nothing is taken");
            return n;
        }
    }
    panic!("the disk takes everything");
}

/// What is answered to the message of that number.
async fn say(client: &mut Client, n: usize) -> Value {
    client.command("message", json!({ "room": "global", "body": body(n), "id": n.to_string() })).await;
    loop {
        let heard = client.hear().await;
        if ["accepted", "error"].contains(&heard["type"].as_str().unwrap()) {
            return heard;
        }
    }
}

fn body(n: usize) -> String {
    format!("{n} {}", "x".repeat(4000))
}

async fn history(client: &mut Client) -> Vec<Value> {
    // Behind everything that is live.
    client.command("listrooms", json!({})).await;
    client.of_type("system").await;
    client.command("history", json!({ "room": "global", "after": 0, "limit": 1000 })).await;
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

/// The numbers of what is there.
fn bodies(frames: &[Value]) -> Vec<usize> {
    frames.iter().map(|frame| frame["body"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap()).collect()
}

fn bodies_up_to(count: usize) -> Vec<usize> {
    (0..count).collect()
}

/// Bytes of the largest file in a directory.
fn largest(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap()
}
