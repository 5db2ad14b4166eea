//! What a history answered survives `kill -9`, what was damaged is not taken for whole, and the disk is synced when it
//! has to be and only then.
//!
//! The process that is killed is this test's own program, started again with only [`child`] to run.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use talk::limits::Limits;
use talk::message::{MessageId, Record, RoomKey, Timestamp, UserId};
use talk::name::RoomName;
use talk::store::{Durability, HistoryStore, Page, SqliteHistory, StoreError};
use tokio::task::JoinSet;

const KILLS: usize = 10;
const TASKS: u64 = 32;
/// Where the child finds what to do: `DIRECTORY fsync|os COUNT`, the records of each task.
const ORDER: &str = "TALK_TEST_HISTORY_CHILD";

/// Runs in the child: many tasks append to rooms of their own and say each record that was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let parts: Vec<&str> = order.rsplitn(3, ' ').collect();
    let [count, durability, dir] = parts[..] else { panic!("{order}") };
    let (count, durability) = (count.parse::<u64>().unwrap(), durability_of(durability));
    let store = Arc::new(SqliteHistory::open(Path::new(dir), durability, &Limits::default()).unwrap());
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let head = store.head(&room(task)).await.unwrap().seq;
            for seq in head + 1..=head + count {
                store.append(&[said(task, seq)]).await.unwrap();
                // One system call, so that a line is there whole or not at all.
                std::io::stderr().write_all(format!("answered {task} {seq}\n").as_bytes()).unwrap();
            }
        });
    }
    tasks.join_all().await;
}

#[test]
fn nothing_answered_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut answered: BTreeMap<u64, u64> = BTreeMap::new();
    for round in 0..KILLS {
        let durability = if round % 2 == 0 { "fsync" } else { "os" };
        let mut child = start(Command::new(own_program()), dir.path(), durability, 1_000_000);
        let kill_at = 200 + (round * 977) % 1500;
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for line in lines.by_ref().take(kill_at) {
            note(&mut answered, &line.unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had answered before the signal met it.
        lines.map_while(Result::ok).for_each(|line| note(&mut answered, &line));

        let store = SqliteHistory::open(dir.path(), Durability::Fsync, &Limits::default()).unwrap();
        for (task, last) in &mut answered {
            let found = runtime.block_on(records(&store, &room(*task)));
            assert!(found.len() as u64 >= *last, "round {round}: {} of {last} records are there", found.len());
            for (seq, record) in (1..).zip(&found) {
                assert_eq!(*record, said(*task, seq), "round {round}: each as it was, in order, none twice");
            }
            *last = found.len() as u64;
            let id = said(*task, *last).id.unwrap();
            let known = runtime.block_on(store.find(user(*task), &id, at(*last))).unwrap().unwrap();
            assert!(known.is(&room(*task), &said(*task, *last).body), "a repetition is recognised after the crash");
        }
    }
    assert_eq!(answered.len() as u64, TASKS);
}

#[cfg(target_os = "linux")]
#[test]
fn with_fsync_a_sync_stands_before_each_answer_and_with_os_there_is_none() {
    let installed = Command::new("strace").arg("--version").output().is_ok_and(|out| out.status.success());
    assert!(installed, "this test needs strace: apt-get install strace");
    for durability in ["fsync", "os"] {
        let dir = tempfile::tempdir().unwrap();
        let trace = dir.path().join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-s", "64", "-e", "signal=none", "-e", "trace=write,fsync,fdatasync", "-o"]);
        command.arg(&trace).arg(own_program());
        let mut child = start(command, &dir.path().join("data"), durability, 8);
        let answers = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert_eq!(answers.filter(|line| line.starts_with("answered")).count() as u64, TASKS * 8);
        assert!(child.wait().unwrap().success());

        let trace = std::fs::read_to_string(&trace).unwrap();
        let lines: Vec<&str> = trace.lines().collect();
        let is_answer = |line: &&str| line.contains("write(2, \"answered");
        let first = lines.iter().position(is_answer).unwrap();
        let last = lines.iter().rposition(is_answer).unwrap();
        let synced = |lines: &[&str]| lines.iter().any(|line| line.contains("sync"));
        if durability == "os" {
            assert!(!synced(&lines[first..last]), "no sync from the first answer to the last");
            continue;
        }
        // A task sends its next record after the answer to the one before: between the two is a sync.
        let mut before: BTreeMap<&str, usize> = BTreeMap::new();
        let mut gaps = 0;
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_answer(line)) {
            let task = line.split("answered ").nth(1).unwrap().split(' ').next().unwrap();
            if let Some(before) = before.insert(task, at) {
                assert!(synced(&lines[before..at]), "no sync before the answer in {line}");
                gaps += 1;
            }
        }
        assert_eq!(gaps, TASKS * 7);
    }
}

#[test]
fn a_flipped_byte_or_a_missing_record_refuses_the_start_and_says_where() {
    let whole = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    {
        let store = SqliteHistory::open(whole.path(), Durability::Os, &Limits::default()).unwrap();
        let records: Vec<_> = (1..=100).map(|seq| said(3, seq)).collect();
        runtime.block_on(store.append(&records)).unwrap();
    }
    let file = |dir: &Path| dir.join("history.db");
    let bytes = std::fs::read(file(whole.path())).unwrap();
    let refused = |what: &str, change: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(file(dir.path()), &bytes).unwrap();
        change(&file(dir.path()));
        match SqliteHistory::open(dir.path(), Durability::Fsync, &Limits::default()) {
            Err(StoreError::Damaged(why)) => why,
            other => panic!("{what}: {other:?}"),
        }
    };
    for (what, text) in [("a text", "text 57 of"), ("a name", "writer-3"), ("an id", "id-3-57")] {
        let why = refused(what, &|path| {
            // A page that was split leaves copies behind, so each is changed. Name and id stand before the text.
            let mut changed = bytes.clone();
            for body in (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"text 57 of")) {
                let before = &bytes[..body + 10];
                let at = before.windows(text.len()).rposition(|window| window == text.as_bytes()).unwrap();
                changed[at + 1] ^= 1;
            }
            std::fs::write(path, changed).unwrap();
        });
        assert!(why.contains("room room-3") && why.contains("seq 57"), "{what}: {why}");
    }
    let sql =
        |sql: &'static str| move |path: &Path| rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let why = refused("a gap", &sql("DELETE FROM records WHERE seq = 57"));
    assert!(why.contains("room room-3") && why.contains("seq 58"), "{why}");
    let why = refused("a gap at the beginning", &sql("DELETE FROM records WHERE seq <= 5"));
    assert!(why.contains("room room-3") && why.contains("seq 6"), "{why}");
    let why = refused("a changed prev", &sql("UPDATE records SET prev = 55 WHERE seq = 57"));
    assert!(why.contains("seq 57"), "{why}");
    let why = refused(
        "a record that was put in",
        &sql(
            "INSERT INTO records SELECT room, 101, 100, at, user, name, client, body, checksum FROM records WHERE seq = 100",
        ),
    );
    assert!(why.contains("seq 101"), "{why}");
    refused("a torn file", &|path| std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap());
    let wordless = refused("a room that nobody knows", &sql("DELETE FROM rooms"));
    assert!(wordless.contains("room number"), "{wordless}");
}

#[test]
fn a_torn_end_of_the_log_is_cut_and_the_rest_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(Command::new(own_program()), dir.path(), "fsync", 1_000_000);
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(lines.take(200).count(), 200);
    child.kill().unwrap();
    child.wait().unwrap();
    let log = dir.path().join("history.db-wal");
    let length = std::fs::metadata(&log).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length - 100).unwrap();
    let store = SqliteHistory::open(dir.path(), Durability::Fsync, &Limits::default()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for task in 0..TASKS {
        let found = runtime.block_on(records(&store, &room(task)));
        assert!((1..).zip(&found).all(|(seq, record)| *record == said(task, seq)));
        runtime.block_on(store.append(&[said(task, found.len() as u64 + 1)])).unwrap();
    }
}

#[test]
fn the_epoch_the_order_and_the_cut_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let open = |durability| SqliteHistory::open(dir.path(), durability, &Limits::default()).unwrap();
    let store = open(Durability::Fsync);
    let before = runtime.block_on(async {
        for seq in 1..=10 {
            store.append(&[said(0, seq), said(1, seq)]).await.unwrap();
        }
        let keep = talk::store::Retention { count: Some(3), ..Default::default() };
        assert_eq!(store.retain(Some(&room(0)), &keep, at(1_000_000)).await.unwrap(), 7);
        let none = talk::store::Retention { count: Some(0), ..Default::default() };
        assert_eq!(store.retain(Some(&room(1)), &none, at(1_000_000)).await.unwrap(), 10);
        assert_eq!(store.settings().await.unwrap().synchronous, 2);
        store.head(&room(0)).await.unwrap()
    });
    let locked = SqliteHistory::open(dir.path(), Durability::Fsync, &Limits::default());
    assert!(matches!(locked, Err(StoreError::Locked)), "{locked:?}");
    drop(store);
    let store = open(Durability::Os);
    runtime.block_on(async {
        assert_eq!(store.head(&room(0)).await.unwrap(), before, "epoch and seq");
        assert_eq!(store.head(&room(1)).await.unwrap().seq, 10, "though nothing is left");
        assert_eq!(records(&store, &room(0)).await.len(), 3);
        assert_eq!(store.rooms().await.unwrap().len(), 1);
        store.append(&[said(0, 11), said(1, 11)]).await.unwrap();
        assert_eq!(store.settings().await.unwrap().synchronous, 1);
    });
}

fn start(mut command: Command, dir: &Path, durability: &str, count: u64) -> Child {
    let order = format!("{} {durability} {count}", dir.display());
    command.args(["--exact", "child", "--nocapture"]).env(ORDER, order);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn own_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn note(answered: &mut BTreeMap<u64, u64>, line: &str) {
    let Some(rest) = line.strip_prefix("answered ") else { panic!("the child says {line}") };
    let (task, seq) = rest.split_once(' ').unwrap();
    answered.insert(task.parse().unwrap(), seq.parse().unwrap());
}

async fn records(store: &SqliteHistory, room: &RoomKey) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let after = Some(records.last().map_or(0, |record| record.seq));
        let page = store.page(room, &Page { after, before: None, limit: 1000 }).await.unwrap();
        if page.is_empty() {
            return records;
        }
        records.extend(page);
    }
}

fn said(task: u64, seq: u64) -> Record {
    Record {
        room: room(task),
        seq,
        prev: seq - 1,
        at: at(seq),
        user: user(task),
        from: format!("writer-{task}").into(),
        id: Some(MessageId::new(&format!("id-{task}-{seq}")).unwrap()),
        body: format!("text {seq} of {task}").into(),
    }
}

fn room(task: u64) -> RoomKey {
    RoomKey::Room(RoomName::new(&format!("room-{task}")).unwrap())
}

fn user(task: u64) -> UserId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&task.to_be_bytes());
    UserId::from_bytes(bytes)
}

/// A clock that moves a millisecond with each record.
fn at(seq: u64) -> Timestamp {
    Timestamp::from_millis(seq)
}

fn durability_of(word: &str) -> Durability {
    match word {
        "fsync" => Durability::Fsync,
        "os" => Durability::Os,
        other => panic!("{other}"),
    }
}
