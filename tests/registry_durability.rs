//! An accepted write is on disk before its answer, and one process at a time has the directory.
#![cfg(all(feature = "net", feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::registry::{Client, JSON, Process};
use talk::limits::Limits;
use talk::store::{SqliteRegistry, StoreError};

const BODY: &str = r#"{"protocol":"UDP","host":"h","port":1}"#;

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_to_disk_stands_between_each_write_and_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let installed = Command::new("strace").arg("--version").output().is_ok_and(|out| out.status.success());
    assert!(installed, "this test needs strace: apt-get install strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s", "64", "-e", "signal=none", "-o"]).arg(&trace);
    command.args(["-e", "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync"]);
    command.arg(env!("CARGO_BIN_EXE_registry")).args(["--port", "0", "--data"]).arg(dir.path().join("data"));
    let mut process = Process::spawn(command);

    let mut client = Client::connect(process.at).await;
    let post = r#"{"name":"ann","address":{"protocol":"UDP","host":"h","port":1}}"#;
    let moved = r#"{"protocol":"UDP","host":"h","port":2}"#;
    let writes = [
        ("PUT", "/v1/users/bob", BODY),
        ("PUT", "/v1/users/bob?ttl=60", BODY),
        ("PUT", "/v1/users/bob?moved", moved),
        ("POST", "/v1/users", post),
        ("DELETE", "/v1/users/bob", ""),
    ];
    for (method, target, body) in writes {
        assert_eq!(client.ask(method, target, &[JSON], body).await.status, 200);
    }
    let text = std::fs::read_to_string(&trace).unwrap();
    let pid = text.split_whitespace().next().expect("strace wrote the process's id");
    assert!(Command::new("kill").args(["-TERM", pid]).status().unwrap().success());
    process.child.wait().unwrap();

    let text = std::fs::read_to_string(&trace).unwrap();
    let mut lines = text.lines();
    for (method, target, _) in writes {
        let request = format!("\"{method} {target} HTTP");
        assert!(lines.any(|line| line.contains(&request)), "no {request} in the trace:\n{text}");
        let until_answer: Vec<&str> = lines.by_ref().take_while(|line| !line.contains("\"HTTP/1.1 200 OK")).collect();
        let synced = |line: &&str| line.contains("sync") && line.ends_with("= 0");
        assert!(until_answer.iter().any(synced), "no sync before the answer to {request}:\n{until_answer:#?}");
    }
}

#[tokio::test]
async fn the_writers_own_connection_is_in_wal_mode_and_fully_synchronous() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let store = SqliteRegistry::open(dir.path(), &Limits::default()).unwrap();
        let settings = store.settings().await.unwrap();
        assert_eq!((settings.journal_mode.as_str(), settings.synchronous), ("wal", 2));
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_refuses_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(dir.path());
    let second = registry(dir.path());
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stdout.is_empty(), "no readiness line");
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(message.contains("in use by another process"), "{message}");
    let open = SqliteRegistry::open(dir.path(), &Limits::default());
    assert!(matches!(open, Err(StoreError::Locked)), "{open:?}");
    assert_eq!(Client::connect(first.at).await.ask("PUT", "/v1/users/bob", &[JSON], BODY).await.status, 200);
    first.kill();
    let again = Process::start(dir.path());
    let users = Client::connect(again.at).await.ask("GET", "/v1/users", &[], "").await.json();
    assert_eq!(users["bob"]["port"], 1);
    again.kill();
}

#[test]
fn two_stores_in_one_process_exclude_each_other_until_the_first_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteRegistry::open(dir.path(), &Limits::default()).unwrap();
    let second = SqliteRegistry::open(dir.path(), &Limits::default());
    assert!(matches!(second, Err(StoreError::Locked)), "{second:?}");
    drop(first);
    SqliteRegistry::open(dir.path(), &Limits::default()).unwrap();
}

#[tokio::test]
async fn damaged_data_refuses_the_start() {
    let whole = tempfile::tempdir().unwrap();
    let process = Process::start(whole.path());
    let mut client = Client::connect(process.at).await;
    for number in 0..500 {
        assert_eq!(client.ask("PUT", &format!("/v1/users/user-{number}"), &[JSON], BODY).await.status, 200);
    }
    drop(process);
    // A start and a clean end bring the write-ahead log into the database.
    drop(SqliteRegistry::open(whole.path(), &Limits::default()).unwrap());
    let good = std::fs::read(whole.path().join("registry.db")).unwrap();
    assert!(good.len() > 20_000, "{}", good.len());
    let mut torn = good.clone();
    torn.truncate(good.len() / 2);
    let mut scribbled = good.clone();
    scribbled[8192..12_288].fill(0xaa);
    for (what, bytes) in [("torn", torn), ("scribbled", scribbled), ("no database", b"hello".repeat(1000))] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("registry.db"), bytes).unwrap();
        let output = registry(dir.path());
        assert_eq!(output.status.code(), Some(1), "{what}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("damaged"), "{what}: {message}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn when_the_disk_takes_no_more_writes_are_refused_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    // A bound on the size of each file stands for a disk that fails: the write ahead breaks off in the midst.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_registry")]);
    let process = Process::spawn({
        command.args(["--port", "0", "--data"]).arg(dir.path());
        command
    });
    let mut client = Client::connect(process.at).await;
    let mut accepted = 0;
    let refusal = loop {
        let answer = client.ask("PUT", &format!("/v1/users/user-{accepted}"), &[JSON], BODY).await;
        if answer.status != 200 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 10_000, "the disk takes everything");
    };
    refusal.refused(503, "a write that the disk did not take");
    assert!(refusal.header("retry-after").is_some());
    for _ in 0..3 {
        client.ask("DELETE", "/v1/users/user-0", &[], "").await.refused(503, "nor any later one");
        let users = client.ask("GET", "/v1/users", &[], "").await.json();
        assert_eq!(users.as_object().unwrap().len(), accepted, "what was accepted stands, and nothing else");
    }
    process.kill();
    let process = Process::start(dir.path());
    let users = Client::connect(process.at).await.ask("GET", "/v1/users", &[], "").await.json();
    assert_eq!(users.as_object().unwrap().len(), accepted);
    process.kill();
}

#[cfg(unix)]
#[test]
fn the_data_is_its_owners_alone_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("made").join("here");
    let store = SqliteRegistry::open(&dir, &Limits::default()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(store);
}

fn registry(dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_registry")).args(["--port", "0", "--data"]).arg(dir).output().unwrap()
}
