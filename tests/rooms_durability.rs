//! When a message and an account count as accepted: strace sees the sync before the answer, or none.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::process::Command;

use common::durable::{Durable, PROGRAM};
use common::rooms::{Client, said, status};
use serde_json::json;
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_fsync_the_history_is_synced_between_a_message_and_its_acceptance() {
    let dir = tempfile::tempdir().unwrap();
    let (server, trace) = traced(dir.path(), "durability=fsync");
    let mut ann = server.rich(&server.guest("ann").await).await;
    say_ten(&mut ann).await;
    // A plain session's own echo is its acceptance.
    let mut pam = server.plain(&server.guest("pam").await).await;
    pam.until(&said("system", "pam joined")).await;
    say(&mut pam, &json!({ "type": "message", "args": { "from": "pam", "body": "plainly" } })).await;
    pam.until(&said("pam", "plainly")).await;
    let calls = ended(server, &trace);
    let read = calls.find(0, &["read", "recv"], "plainly", 0);
    let written = calls.find(read, &["write", "send"], r#"{\"from\":\"pam\",\"body\":\"plainly\"}"#, 0);
    let synced = calls.syncs("history.db-wal").any(|(from, to)| read < from && to < written);
    assert!(synced, "no sync before the echo:\n{}", calls.between(read, written));
    for n in 0..10 {
        let (read, written) = message(&calls, n);
        let synced = calls.syncs("history.db-wal").any(|(from, to)| read < from && to < written);
        assert!(synced, "no sync before message {n} is accepted:\n{}", calls.between(read, written));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_os_nothing_is_synced_while_messages_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let (server, trace) = traced(dir.path(), "durability=os");
    let mut ann = server.rich(&server.guest("ann").await).await;
    say_ten(&mut ann).await;
    let calls = ended(server, &trace);
    let (first, last) = (message(&calls, 0).0, message(&calls, 9).1);
    assert!(!calls.syncs("").any(|(from, _)| first < from && from < last), "{}", calls.between(first, last));
    assert!(calls.syncs("accounts.db-wal").next().is_some(), "strace sees syncs, of a guest for example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_synced_before_its_201_and_its_end_before_the_204() {
    let dir = tempfile::tempdir().unwrap();
    // However messages are kept.
    let (server, trace) = traced(dir.path(), "durability=os");
    let token = server.account("bob").await;
    server.account("bob").await;
    assert_eq!(server.sign_out(&token).await, 204);
    assert_eq!(status(&server.try_account("bob", "wrong horse battery").await), 403);
    let calls = ended(server, &trace);
    for (request, nth, answer) in
        [("POST /auth", 0, "HTTP/1.1 201"), ("POST /auth", 1, "HTTP/1.1 201"), ("DELETE /auth", 0, "HTTP/1.1 204")]
    {
        let read = calls.find(0, &["read", "recv"], request, nth);
        let written = calls.find(read, &["write", "send"], answer, 0);
        let synced = calls.syncs("accounts.db-wal").any(|(from, to)| read < from && to < written);
        assert!(synced, "no sync before {answer} to {request} {nth}:\n{}", calls.between(read, written));
    }
    let wrong = calls.find(0, &["read", "recv"], "POST /auth", 2);
    let refused = calls.find(wrong, &["write", "send"], "HTTP/1.1 403", 0);
    assert!(!calls.syncs("").any(|(from, to)| wrong < from && to < refused), "nothing is written for a refusal");
}

/// A server under strace, and the file that it writes.
fn traced(dir: &Path, setting: &str) -> (Durable, std::path::PathBuf) {
    let installed = Command::new("strace").arg("--version").output().is_ok_and(|out| out.status.success());
    assert!(installed, "this test needs strace: apt-get install strace");
    let trace = dir.join("trace");
    let mut command = Command::new("strace");
    // With the paths behind file descriptors, and enough of what is read and written to tell one from the other.
    command.args(["-f", "-y", "-qq", "-s", "400", "-e", "signal=none", "-o"]).arg(&trace);
    command.args(["-e", "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync"]);
    command.arg(PROGRAM);
    (Durable::spawn(Durable::command(command, &dir.join("data"), &[setting])), trace)
}

/// Each when the one before was accepted.
async fn say_ten(ann: &mut Client) {
    ann.command("enter", json!({ "room": "global" })).await;
    for n in 0..10 {
        say(ann, &json!({ "type": "message", "args": { "room": "global", "body": "x", "id": id(n) } })).await;
        assert_eq!(ann.of_type("accepted").await["id"], id(n));
    }
}

/// With a mask of zeros, which leaves the text as it is, for strace to show.
async fn say(client: &mut Client, frame: &serde_json::Value) {
    let frame = frame.to_string();
    let mut bytes = vec![0x81, 0x80 | u8::try_from(frame.len()).unwrap(), 0, 0, 0, 0];
    bytes.extend_from_slice(frame.as_bytes());
    client.stream.write_all(&bytes).await.unwrap();
}

fn id(n: usize) -> String {
    format!("traced-{n}-")
}

/// Where a message was read, and where its acceptance was written.
fn message(calls: &Calls, n: usize) -> (usize, usize) {
    let read = calls.find(0, &["read", "recv"], &id(n), 0);
    let accepted = format!(r#"{{\"type\":\"accepted\",\"id\":\"{}\""#, id(n));
    (read, calls.find(read, &["write", "send"], &accepted, 0))
}

/// Stops the server, and reads what it did.
fn ended(mut server: Durable, trace: &Path) -> Calls {
    let text = std::fs::read_to_string(trace).unwrap();
    let pid = text.split_whitespace().next().expect("strace wrote the process's id");
    assert!(Command::new("kill").args(["-TERM", pid]).status().unwrap().success());
    server.child.wait().unwrap();
    Calls(std::fs::read_to_string(trace).unwrap().lines().map(str::to_owned).collect())
}

/// What strace wrote, line by line: `PID call(...) = result`, or the same in two lines.
struct Calls(Vec<String>);

impl Calls {
    /// The line of the nth of such calls that shows this, from a line on.
    #[track_caller]
    fn find(&self, from: usize, calls: &[&str], shows: &str, nth: usize) -> usize {
        let lines = self.0.iter().enumerate().skip(from);
        let mut found = lines.filter(|(_, line)| {
            let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start().trim_start_matches("<... "));
            calls.iter().any(|name| call.starts_with(name)) && line.contains(shows)
        });
        found.nth(nth).unwrap_or_else(|| panic!("no {calls:?} of {shows} in\n{}", self.text())).0
    }

    /// Where each sync of such a file begins and where it has succeeded.
    fn syncs(&self, file: &str) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().enumerate().filter_map(move |(at, line)| {
            if !line.contains("sync(") || !line.contains(file) {
                return None;
            }
            let pid = line.split(' ').next()?;
            let is_end = |line: &&String| line.starts_with(pid) && line.contains("sync resumed>");
            let end = match line.contains("<unfinished") {
                true => at + self.0[at..].iter().position(|line| is_end(&line))?,
                false => at,
            };
            self.0[end].ends_with("= 0").then_some((at, end))
        })
    }

    fn between(&self, from: usize, to: usize) -> String {
        self.0[from..=to].join("\n")
    }

    fn text(&self) -> String {
        self.0.join("\n")
    }
}
