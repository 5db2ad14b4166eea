//! `talk-server backup`, `export` and `import` beside a running server: what was accepted before is in the copy, once.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::durable::{Durable, UNLIMITED};
use common::programs::Home;
use common::rooms::Client;
use common::server_program::Ended;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use talk::limits::Limits;
use talk::message::{Record, RoomKey, Timestamp, UserId};
use talk::name::RoomName;
use talk::store::{Durability, HistoryStore, SqliteHistory};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const WRITERS: [&str; 4] = ["ann", "bob", "cid", "dan"];
/// Messages of one writer that are under way at a time.
const WINDOW: usize = 16;
/// Messages that are accepted before each backup, at least.
const BEFORE: usize = 300;

/// What was accepted: each id with its seq.
type Accepted = Arc<Mutex<HashMap<String, u64>>>;

/// Says numbered messages in `global` until it is told to stop, or the server is gone.
async fn write(mut client: Client, name: &str, accepted: Accepted, stop: Arc<AtomicBool>) {
    client.command("enter", json!({ "room": "global" })).await;
    let (mut next, mut waiting) = (0, HashSet::new());
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        while !stopping && waiting.len() < WINDOW {
            let id = format!("{name}-{next}");
            client.command("message", json!({ "room": "global", "body": format!("Text {id}"), "id": id })).await;
            waiting.insert(id);
            next += 1;
        }
        if waiting.is_empty() {
            return;
        }
        let frame = client.hear().await;
        if frame["type"] == "accepted" {
            let id = frame["id"].as_str().unwrap().to_owned();
            assert!(waiting.remove(&id), "{frame}");
            assert_eq!(accepted.lock().unwrap().insert(id, frame["seq"].as_u64().unwrap()), None);
        }
    }
}

/// Everything that a room has, by its pages.
async fn history(reader: &mut Client) -> Vec<Value> {
    reader.command("enter", json!({ "room": "global" })).await;
    let (mut messages, mut after) = (Vec::new(), 0);
    loop {
        reader.command("history", json!({ "room": "global", "after": after, "limit": 1000 })).await;
        let frame = loop {
            let frame = reader.hear().await;
            match frame["type"].as_str() {
                Some("message") => messages.push(frame),
                Some("history") => break frame,
                _ => {}
            }
        };
        after = messages.last().map_or(0, |message| message["seq"].as_u64().unwrap());
        if frame["more"] == false {
            return messages;
        }
    }
}

async fn run(home: &Arc<Home>, arguments: &[&str]) -> Ended {
    let (home, arguments): (_, Vec<String>) = (home.clone(), arguments.iter().map(|&text| text.into()).collect());
    let run = spawn_blocking(move || home.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    timeout(PATIENCE, run).await.expect("it ends").unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_all_that_was_accepted_before_it_and_nothing_twice() {
    let home = Arc::new(Home::new());
    let data = home.path().join("data");
    let server = Durable::start(&data, &[UNLIMITED]);
    let (accepted, stop) = (Accepted::default(), Arc::new(AtomicBool::new(false)));
    let (mut writing, mut tokens) = (Vec::new(), HashMap::new());
    for name in WRITERS {
        let token = server.account(name).await;
        writing.push(tokio::spawn(write(server.rich(&token).await, name, accepted.clone(), stop.clone())));
        tokens.insert(name, token);
    }
    let mut copies = Vec::new();
    for number in 0..3 {
        let deadline = Instant::now() + PATIENCE;
        while accepted.lock().unwrap().len() < BEFORE * (number + 1) {
            assert!(Instant::now() < deadline, "messages are accepted");
            tokio::task::yield_now().await;
        }
        let before = accepted.lock().unwrap().clone();
        let copy = home.path().join(format!("copy-{number}"));
        let ended = run(&home, &["backup", "--data", text(&data), text(&copy)]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.err.contains("rules.db, history.db, accounts.db, registry.db"), "{ended:?}");
        copies.push((copy, before));
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writing {
        timeout(PATIENCE, writer).await.expect("it stops").unwrap();
    }
    let all = accepted.lock().unwrap().clone();
    let mut eve = server.rich(&server.guest("eve").await).await;
    let epoch = history(&mut eve).await[0]["epoch"].clone();
    server.kill();
    // What a killed server leaves, its log and all, can be copied too.
    let copy = home.path().join("copy-of-the-killed");
    assert_eq!(run(&home, &["backup", "--data", text(&data), text(&copy)]).await.code, Some(0));
    copies.push((copy, all.clone()));

    for (copy, before) in &copies {
        let server = Durable::start(copy, &[UNLIMITED]);
        let mut ann = server.rich(&tokens["ann"]).await;
        let messages = history(&mut ann).await;
        let mut ids = HashMap::new();
        for (message, prev) in messages.iter().zip(0..) {
            assert_eq!((message["prev"].as_u64(), message["seq"].as_u64()), (Some(prev), Some(prev + 1)));
            let id = message["id"].as_str().unwrap().to_owned();
            assert_eq!(message["body"], format!("Text {id}"));
            assert_eq!(ids.insert(id, prev + 1), None, "nothing twice");
        }
        for (id, seq) in before {
            assert_eq!(ids.get(id), Some(seq), "{id} was accepted before");
        }
        assert!(ids.iter().all(|(id, seq)| all.get(id) == Some(seq)), "nothing but what was accepted");
        // Whoever heard what came after the copy is not told that nothing was missed.
        let ahead = json!({ "room": "global", "epoch": epoch, "seq": all.len() });
        let mut bob = server.rich(&tokens["bob"]).await;
        bob.command("resume", ahead).await;
        assert_eq!(bob.of_type("recovered").await["recovered"], false);
        // A repetition is still known as one.
        let id = "ann-0";
        ann.command("message", json!({ "room": "global", "body": format!("Text {id}"), "id": id })).await;
        assert_eq!(ann.of_type("accepted").await["seq"], ids[id]);
        ann.command("search", json!({ "room": "global", "text": "\"text ANN-0\"" })).await;
        let found = ann.of_type("found").await;
        assert_eq!(found["messages"].as_array().unwrap().len(), 1, "{found}");
        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_killed_leaves_nothing_that_looks_like_one() {
    let home = Arc::new(Home::new());
    let data = home.path().join("data");
    let server = Durable::start(&data, &[UNLIMITED]);
    let copy = home.path().join("copy");
    let mut broken_off = 0;
    for pause in 0..20 {
        let mut command = home.server(&["backup", "--data", text(&data), text(&copy)]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Each time a little later.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2 * pause) && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        let whole = child.wait().unwrap().success();
        if copy.exists() {
            Durable::start(&copy, &[]).kill();
            std::fs::remove_dir_all(&copy).unwrap();
        } else {
            assert!(!whole);
            broken_off += 1;
        }
    }
    assert!(broken_off > 0);
    assert_eq!(run(&home, &["backup", "--data", text(&data), text(&copy)]).await.code, Some(0));
    server.kill();
}

/// All that `who` is told until an answer to a question that was asked behind it.
async fn direct(who: &mut Client) -> Vec<Value> {
    who.command("sessions", json!({})).await;
    let mut direct = Vec::new();
    loop {
        let frame = who.hear().await;
        match frame["type"].as_str() {
            Some("sessions") => return direct,
            Some("message") => direct.push(frame),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_that_wait_are_in_a_backup_and_come_once() {
    let home = Arc::new(Home::new());
    let (data, copy) = (home.path().join("data"), home.path().join("copy"));
    let server = Durable::start(&data, &[UNLIMITED]);
    let (ann, bob) = (server.account("ann").await, server.account("bob").await);
    let mut writer = server.rich(&ann).await;
    let mut reader = server.rich(&bob).await;
    writer.command("direct", json!({ "to": "bob", "body": "heard before", "id": "1" })).await;
    let heard = reader.of_type("message").await;
    assert_eq!(writer.of_type("accepted").await["id"], "1");
    reader.command("received", json!({ "room": heard["room"], "seq": heard["seq"] })).await;
    assert!(direct(&mut reader).await.is_empty());
    drop(reader);
    // The first may go to the session that is gone, the second waits: until the server knows that he is away, it keeps
    // nowhere how far he came.
    for id in ["2", "3"] {
        writer.command("direct", json!({ "to": "bob", "body": format!("waits {id}"), "id": id })).await;
        assert_eq!(writer.of_type("accepted").await["id"], id);
        until_kept(&data).await;
    }
    let ended = run(&home, &["backup", "--data", text(&data), text(&copy)]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    server.kill();
    let server = Durable::start(&copy, &[UNLIMITED]);
    let mut reader = server.rich(&bob).await;
    let waited = [reader.of_type("message").await, reader.of_type("message").await];
    assert_eq!(waited.each_ref().map(|frame| frame["body"].as_str().unwrap()), ["waits 2", "waits 3"]);
    reader.command("received", json!({ "room": waited[1]["room"], "seq": waited[1]["seq"] })).await;
    assert!(direct(&mut reader).await.is_empty(), "each once, and not what was heard before");
    server.kill();
}

/// Waits until the server keeps something of a user, which it tells nobody.
async fn until_kept(data: &Path) {
    let deadline = Instant::now() + PATIENCE;
    let rules = rusqlite::Connection::open(data.join("rules.db")).unwrap();
    while rules.query_row("SELECT count(*) FROM rules", [], |row| row.get::<_, i64>(0)).unwrap() == 0 {
        assert!(Instant::now() < deadline, "how far he came is kept when he is gone");
        tokio::task::yield_now().await;
    }
}

/// The modes of a directory and of what is in it.
fn modes(dir: &Path) -> Vec<(String, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.chain([dir.to_owned()]).map(|path| (path.display().to_string(), mode(&path))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_and_exports_are_readable_by_their_owner_alone() {
    let home = Arc::new(Home::new());
    let (data, copy, file) =
        (home.path().join("data"), home.path().join("to/the/copy"), home.path().join("rooms.jsonl"));
    let server = Durable::start(&data, &[]);
    std::fs::create_dir_all(&copy).unwrap();
    for arguments in [["backup", "--data", text(&data), text(&copy)], ["export", "--data", text(&data), text(&file)]] {
        let mut command = std::process::Command::new("sh");
        // Whatever the umask of whoever runs it.
        let command = command.args(["-c", "umask 0; exec \"$@\"", "sh", common::durable::PROGRAM]).args(arguments);
        assert!(command.env("HOME", home.path()).status().unwrap().success());
    }
    for (path, mode) in modes(&copy) {
        let wanted = if path == text(&copy) { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{path}");
    }
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_more_leaves_no_copy_and_no_import() {
    let home = Arc::new(Home::new());
    let (data, copy, other) = (home.path().join("data"), home.path().join("copy"), home.path().join("other"));
    let server = Durable::start(&data, &[UNLIMITED]);
    let mut ann = server.rich(&server.account("ann").await).await;
    ann.command("enter", json!({ "room": "global" })).await;
    for id in 0..100 {
        let message = json!({ "room": "global", "body": "x".repeat(10_000), "id": id.to_string() });
        ann.command("message", message).await;
        ann.of_type("accepted").await;
    }
    let file = home.path().join("rooms.jsonl");
    assert_eq!(run(&home, &["export", "--data", text(&data), text(&file)]).await.code, Some(0));
    let before = run(&home, &["export", "--data", text(&data), "-"]).await.out;
    // A bound on the size of each file stands for a disk that fails.
    let bounded = |arguments: [&str; 4]| {
        let mut command = std::process::Command::new("sh");
        let script = "trap '' XFSZ; ulimit -f 1000; exec \"$@\"";
        command.args(["-c", script, "sh", common::durable::PROGRAM]).args(arguments).env("HOME", home.path());
        Ended::of(command.output().unwrap())
    };
    bounded(["backup", "--data", text(&data), text(&copy)]).failed(1, &["not available"]);
    assert!(!copy.exists());
    let second = home.path().join("second.jsonl");
    bounded(["export", "--data", text(&data), text(&second)]).failed(1, &["second.jsonl"]);
    assert!(!second.exists());
    bounded(["import", "--data", text(&other), text(&file)]).failed(1, &["other"]);
    let left = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().ends_with(".partial")).count(), 0, "nothing half is left");
    assert!(!other.exists(), "nothing of it was taken, nor made");
    server.kill();
    let imported = run(&home, &["import", "--data", text(&other), text(&file)]).await;
    let made = format!("; {} was not there and was made\n", text(&other));
    assert_eq!(imported.err, format!("imported 100 messages of 1 room; 0 more were there already{made}"));
    let lines = |text: &str| text.lines().skip(1).take(100).map(str::to_owned).collect::<Vec<_>>();
    let after = run(&home, &["export", "--data", text(&other), "-"]).await.out;
    assert_eq!(lines(&after), lines(&before), "all but the epoch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_killed_leaves_nothing_that_looks_like_one() {
    let home = Home::new();
    let (data, file) = (home.path().join("data"), home.path().join("rooms.jsonl"));
    let long = "x".repeat(10_000);
    fill(&data, (1..=300).map(|seq| ("den".to_owned(), seq, long.clone()))).await;
    let export = ["export", "--data", text(&data), text(&file)];
    // The system kills whoever writes beyond a bound on the size of files: always in the middle of it.
    let mut command = home.command("sh");
    let script = "ulimit -c 0; ulimit -f 200; exec \"$@\"";
    let ended = Ended::of(command.args(["-c", script, "sh", common::durable::PROGRAM]).args(export).output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (None, ""), "{ended:?}");
    assert!(!file.exists(), "{:?}", names(home.path()));
    let half = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
    let half = half.filter(|path| path.extension().is_some_and(|end| end == "partial")).collect::<Vec<_>>();
    assert!(matches!(&half[..], [half] if modes(half.parent().unwrap()).contains(&(text(half).into(), 0o600))));
    // Anywhere in it, or when it is done.
    for pause in 0..20 {
        let mut child = home.server(&export).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2 * pause) && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert!(file.exists() || !ended.success());
        if file.exists() {
            let lines = std::fs::read_to_string(&file).unwrap();
            assert!(lines.lines().count() == 302 && lines.lines().last().unwrap().starts_with("{\"records\":300,"));
            std::fs::remove_file(&file).unwrap();
        }
    }
    let before = names(home.path());
    assert_eq!(home.run(&export).code, Some(0));
    let after = names(home.path()).into_iter().filter(|name| !before.contains(name)).collect::<Vec<_>>();
    assert_eq!(after, ["rooms.jsonl"], "nothing else is left of one that ends well");
    home.run(&export).failed(1, &["rooms.jsonl is there already; name a file that is not"]);
    home.run(&["export", "--data", text(&data), "not/there.jsonl"]).failed(1, &["not/there.jsonl: No such file"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_in_the_midst_of_an_export_or_a_backup_leaves_nothing() {
    let home = Home::new();
    let (data, to) = (home.path().join("data"), home.path().join("to"));
    let long = "x".repeat(10_000);
    fill(&data, (1..=2000).map(|seq| ("den".to_owned(), seq, long.clone()))).await;
    let before = names(home.path());
    for command in ["export", "backup"] {
        let mut given_up = 0;
        for round in 0..20 {
            let mut program = home.server(&[command, "--data", text(&data), text(&to)]);
            let mut child = program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            // It has begun when it has made something.
            while names(home.path()) == before && child.try_wait().unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            let signal = if round % 2 == 0 { Signal::SIGINT } else { Signal::SIGTERM };
            kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
            let ended = Ended::of(child.wait_with_output().unwrap());
            let left = names(home.path());
            if ended.code == Some(130) {
                assert_eq!(ended.err, "");
            } else {
                assert_eq!((ended.code, to.exists()), (Some(0), true), "it was done before: {ended:?}");
            }
            if to.exists() {
                assert_eq!(left.len(), before.len() + 1, "{left:?}");
                std::fs::remove_dir_all(&to).or_else(|_| std::fs::remove_file(&to)).unwrap();
            } else {
                assert_eq!(left, before);
                given_up += 1;
            }
        }
        assert!(given_up > 0, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_and_exports_may_have_every_name_that_a_file_may_have() {
    let home = Home::new();
    let data = home.path().join("data");
    fill(&data, [("den".to_owned(), 1, "hi".to_owned())].into_iter()).await;
    for (command, letter) in [("export", "e"), ("backup", "b")] {
        let to = home.path().join(letter.repeat(255));
        let ended = home.run(&[command, "--data", text(&data), text(&to)]);
        assert!(ended.code == Some(0) && to.exists(), "{ended:?}");
    }
    assert_eq!(names(home.path()).len(), 3, "nothing else is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rooms_than_a_server_may_have_are_not_imported() {
    let home = Home::new();
    let (data, other, file) = (home.path().join("data"), home.path().join("other"), home.path().join("rooms.jsonl"));
    fill(&data, (1..=3).map(|number| (format!("room-{number}"), 1, "hi".into()))).await;
    assert_eq!(home.run(&["export", "--data", text(&data), text(&file)]).code, Some(0));
    let config = home.write("two.toml", b"[limits]\nrooms = 2\n");
    let before = names(home.path());
    let import = |more: &[&str]| home.run(&[&["import", "--data", text(&other)], more, &[text(&file)]].concat());
    let says = "rooms.jsonl: line 4: room room-3, seq 1: it is one too many: limits.rooms allows 2";
    import(&["--config", &config]).failed(1, &[says]);
    assert_eq!(names(home.path()), before, "nothing of it was taken, nor made");
    let ended = import(&[]);
    assert_eq!((ended.code, ended.err.starts_with("imported 3 messages of 3 rooms; ")), (Some(0), true), "{ended:?}");
    // Those that are there already are no more than they were.
    let ended = import(&["--config", &config]);
    assert_eq!(ended.err, "imported 0 messages of 3 rooms; 3 more were there already\n");
}

/// A directory with these messages, each of a room, with its seq: without a server, and so at once.
async fn fill(data: &Path, messages: impl Iterator<Item = (String, u64, String)>) {
    let history = SqliteHistory::open(data, Durability::Os, &Limits::default()).unwrap();
    let user = UserId::random();
    let record = |(room, seq, body): (String, u64, String)| Record {
        room: RoomKey::Room(RoomName::new(&room).unwrap()),
        seq,
        prev: seq - 1,
        at: Timestamp::from_millis(1_700_000_000_000 + seq),
        user,
        from: "ann".into(),
        id: None,
        body: body.into(),
    };
    history.append(&messages.map(record).collect::<Vec<_>>()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_copied_or_must_not_be_replaced_is_refused() {
    let home = Arc::new(Home::new());
    let (data, copy) = (home.path().join("data"), home.path().join("copy"));
    let backup = ["backup", "--data", text(&data), text(&copy)];
    run(&home, &backup).await.failed(1, &["data is no data directory: it has nothing to copy"]);
    let export = ["export", "--data", text(&data), text(&copy)];
    run(&home, &export).await.failed(1, &["data is no data directory: it has nothing to export"]);
    assert!(!data.exists() && !copy.exists(), "nothing is made for nothing");
    let server = Durable::start(&data, &[]);
    std::fs::create_dir(&copy).unwrap();
    assert_eq!(run(&home, &backup).await.code, Some(0), "an empty directory is as good as none");
    let ended = run(&home, &backup).await;
    assert!(!ended.err.contains("not available"), "{ended:?}");
    ended.failed(1, &["copy is there already; name a directory that is not"]);
    let inner = data.join("a/copy");
    run(&home, &["backup", "--data", text(&data), text(&inner)]).await.failed(1, &["inside of what is copied"]);
    assert!(!data.join("a").exists());
    let back = home.path().join("way/../data/copy");
    run(&home, &["backup", "--data", text(&data), text(&back)]).await.failed(1, &["there is no directory"]);
    assert!(!data.join("copy").exists(), "over a directory that was not there");
    let (empty, link) = (home.path().join("empty"), home.path().join("link"));
    std::fs::create_dir(&empty).unwrap();
    std::os::unix::fs::symlink(&empty, &link).unwrap();
    let ended = run(&home, &["backup", "--data", text(&data), text(&link)]).await;
    ended.failed(1, &["link is there already; name a directory that is not"]);
    let foreign = home.path().join("foreign.gz");
    for bytes in [&b"\x1f\x8b\x08\0\0\0"[..], b"hello\n", b"{}\n", b""] {
        std::fs::write(&foreign, bytes).unwrap();
        let ended = run(&home, &["import", "--data", text(&home.path().join("new")), text(&foreign)]).await;
        // In words, and not in those of whoever reads JSON.
        assert!(!ended.err.contains("column") && !ended.err.contains("expected"), "{ended:?}");
        if bytes.starts_with(b"\x1f") {
            let hint = format!("gunzip -c {} | talk-server import -", text(&foreign));
            ended.failed(1, &["foreign.gz is compressed", &hint]);
        } else {
            ended.failed(1, &["foreign.gz is no export of talk-server"]);
        }
    }
    server.kill();
    run(&home, &["backup", "--memory", text(&copy)]).await.refused(&["unknown option --memory"]);
    run(&home, &["--port", "0", "backup", text(&copy)]).await.refused(&["the options of backup follow it"]);
    run(&home, &["bakcup"]).await.refused(&["did you mean backup?"]);
    run(&home, &["backup", "--data", text(&data)])
        .await
        .refused(&["DIR is missing", "Try 'talk-server backup --help'"]);
    run(&home, &["import", "a", "b"]).await.refused(&["Try 'talk-server import --help'"]);
    run(&home, &["export", "--data", text(&data), "--room", "a b", "-"]).await.refused(&["a b"]);
    // In the middle of a page.
    let file = data.join("rules.db");
    let _ = std::fs::remove_file(data.join("rules.db-wal"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(100);
    bytes.resize(8192, 0xa5);
    std::fs::write(&file, bytes).unwrap();
    let other = home.path().join("other");
    let ended = run(&home, &["backup", "--data", text(&data), text(&other)]).await;
    ended.failed(1, &["rules.db"]);
    assert!(!other.exists());
    let left = std::fs::read_dir(home.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".partial"));
    assert_eq!(left.count(), 0, "nothing half is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_move_to_another_server_as_lines() {
    let home = Arc::new(Home::new());
    let (data, other, file) = (home.path().join("data"), home.path().join("other"), home.path().join("rooms.jsonl"));
    let server = Durable::start(&data, &[UNLIMITED]);
    let (accepted, stop) = (Accepted::default(), Arc::new(AtomicBool::new(false)));
    let ann = server.rich(&server.account("ann").await).await;
    let writing = tokio::spawn(write(ann, "ann", accepted.clone(), stop.clone()));
    while accepted.lock().unwrap().len() < BEFORE {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::SeqCst);
    timeout(PATIENCE, writing).await.expect("it stops").unwrap();
    let count = accepted.lock().unwrap().len();
    let export = ["export", "--data", text(&data), "--room=global", text(&file)];
    let ended = run(&home, &export).await;
    assert_eq!((ended.code, ended.err), (Some(0), format!("exported {count} messages of 1 room\n")));
    run(&home, &export).await.failed(1, &["rooms.jsonl is there already; name a file that is not"]);
    let lines = std::fs::read_to_string(&file).unwrap();
    let ended = run(&home, &["export", "--data", text(&data), "-"]).await;
    assert_eq!((ended.code, ended.out == lines), (Some(0), true), "the same to stdout");
    let import = ["import", "--data", text(&other), text(&file)];
    run(&home, &["import", "--data", text(&data), text(&file)]).await.failed(1, &["in use by another process"]);
    for (added, known) in [(count, 0), (0, count)] {
        let ended = run(&home, &import).await;
        let made = if known == 0 { format!("; {} was not there and was made", text(&other)) } else { String::new() };
        let says = format!("imported {added} messages of 1 room; {known} more were there already{made}\n");
        assert_eq!((ended.code, ended.err), (Some(0), says));
    }
    std::fs::write(&file, lines.replacen("Text ann-7\"", "Text ann-8\"", 1)).unwrap();
    run(&home, &import).await.failed(1, &["line ", "the checksum is wrong"]);
    server.kill();
    let server = Durable::start(&other, &[UNLIMITED]);
    let mut bob = server.rich(&server.guest("bob").await).await;
    let messages = history(&mut bob).await;
    assert_eq!(messages.len(), count);
    for message in messages {
        assert_eq!(accepted.lock().unwrap()[message["id"].as_str().unwrap()], message["seq"].as_u64().unwrap());
    }
    server.kill();
}

/// The names of what is in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort_unstable();
    names
}

/// A directory that a server has left, in which ann said something in `global`, and something to bob alone.
async fn left(home: &Home) -> std::path::PathBuf {
    let data = home.path().join("data");
    let server = Durable::start(&data, &[UNLIMITED]);
    let mut ann = server.rich(&server.account("ann").await).await;
    server.account("bob").await;
    ann.command("enter", json!({ "room": "global" })).await;
    for id in ["1", "2"] {
        ann.command("message", json!({ "room": "global", "body": "for all", "id": id })).await;
        ann.of_type("accepted").await;
    }
    ann.command("direct", json!({ "to": "bob", "body": "for bob alone", "id": "3" })).await;
    ann.of_type("accepted").await;
    server.signal("TERM");
    assert!(server.ended().await.0.success());
    data
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_refused_leaves_nothing_that_it_made() {
    let home = Arc::new(Home::new());
    let data = left(&home).await;
    let (file, bad) = (home.path().join("rooms.jsonl"), home.path().join("bad.jsonl"));
    assert_eq!(run(&home, &["export", "--data", text(&data), text(&file)]).await.code, Some(0));
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&bad, good.replacen("\"seq\":2", "\"seq\":3", 1)).unwrap();
    let before = names(home.path());
    let deep = home.path().join("deep/er/data");
    run(&home, &["import", "--data", text(&deep), text(&bad)]).await.failed(1, &["bad.jsonl: line 3: "]);
    assert_eq!(names(home.path()), before);
    // What was there stays.
    let there = home.path().join("there");
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join("file"), "mine").unwrap();
    run(&home, &["import", "--data", text(&there), text(&bad)]).await.failed(1, &["bad.jsonl: line 3: "]);
    assert_eq!(names(&there), ["file"]);
    let ended = run(&home, &["import", "--data", text(&there), text(&file)]).await;
    assert_eq!(ended.err, "imported 2 messages of 1 room; 0 more were there already\n");
    let before = names(&there);
    run(&home, &["import", "--data", text(&there), text(&bad)]).await.failed(1, &["bad.jsonl: line 3: "]);
    assert_eq!(names(&there), before, "a history that was there is not taken back");
    let ended = run(&home, &["import", "--data", text(&there), text(&file)]).await;
    assert_eq!(ended.err, "imported 0 messages of 1 room; 2 more were there already\n");
    // From a pipe, too.
    let piped = |file: &Path, dir: &Path| {
        let mut command = home.command("sh");
        command.args(["-c", "cat \"$1\" | \"$0\" import --data \"$2\" -", common::durable::PROGRAM]);
        Ended::of(command.args([file, dir]).output().unwrap())
    };
    let (gzip, new) = (home.write("rooms.gz", b"\x1f\x8b\x08\0\0\0"), home.path().join("new"));
    piped(Path::new(&gzip), &new).failed(1, &["stdin is compressed", "gunzip -c FILE | talk-server import -"]);
    assert!(!new.exists());
    assert_eq!(piped(&file, &new).code, Some(0));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_makes_its_own_directory_and_none_above_it() {
    let home = Arc::new(Home::new());
    let data = left(&home).await;
    let before = names(home.path());
    let copy = home.path().join("unmounted/a/copy");
    let ended = run(&home, &["backup", "--data", text(&data), text(&copy)]).await;
    let above = format!("there is no directory {} to put the copy in", text(copy.parent().unwrap()));
    ended.failed(1, &[&above, "mount", "make it"]);
    assert_eq!(names(home.path()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copying_and_exporting_leave_the_directory_that_they_read_as_it_was() {
    let home = Arc::new(Home::new());
    let data = left(&home).await;
    let all = |dir: &Path| {
        let files = names(dir).into_iter().filter(|name| name != "search.db");
        files.map(|name| (std::fs::read(dir.join(&name)).unwrap(), name)).collect::<Vec<_>>()
    };
    let (before, there) = (all(&data), names(&data));
    let (copy, second) = (home.path().join("copy"), home.path().join("second"));
    assert_eq!(run(&home, &["backup", "--data", text(&data), text(&copy)]).await.code, Some(0));
    assert_eq!(run(&home, &["export", "--data", text(&data), "-"]).await.code, Some(0));
    assert_eq!(run(&home, &["export", "--data", text(&data), "--room", "@bob", "-"]).await.code, Some(0));
    assert!(all(&data) == before, "{:?}", names(&data));
    assert_eq!(names(&data), there);
    let before = all(&copy);
    assert_eq!(run(&home, &["backup", "--data", text(&copy), text(&second)]).await.code, Some(0));
    assert!(all(&copy) == before, "{:?}", names(&copy));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_to_somebody_is_exported_by_their_name_or_their_id() {
    let home = Arc::new(Home::new());
    let data = left(&home).await;
    let export = async |room: &str| run(&home, &["export", "--data", text(&data), "--room", room, "-"]).await;
    let by_name = export("@bob").await;
    assert_eq!((by_name.code, by_name.err.as_str()), (Some(0), "exported 1 message of 1 room\n"), "{by_name:?}");
    let line: Value = serde_json::from_str(by_name.out.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&line["body"], &line["from"]), (&json!("for bob alone"), &json!("ann")));
    let by_id = export(line["room"].as_str().unwrap()).await;
    assert_eq!((by_id.code, by_id.out), (Some(0), by_name.out));
    // The ids of those who said something stand in every export.
    let ann = format!("@{}", line["user"].as_str().unwrap());
    for nothing in ["@ann", &ann] {
        export(nothing).await.failed(1, &["nobody has said anything to ", nothing]);
    }
    export("@nobody").await.failed(1, &["nobody is called nobody here", "\"user\"", "of an export"]);
    export("attic").await.failed(1, &["there is no room attic with messages"]);
    export("@a: b").await.refused(&["@a: b", "@NAME or @ID"]);
    // A directory to which rooms were moved knows nobody's name.
    std::fs::remove_file(data.join("accounts.db")).unwrap();
    export("@bob").await.failed(1, &["accounts.db", "@ID"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_damaged_since_is_refused_where_it_is_restored() {
    let home = Arc::new(Home::new());
    let (data, copy) = (left(&home).await, home.path().join("copy"));
    assert_eq!(run(&home, &["backup", "--data", text(&data), text(&copy)]).await.code, Some(0));
    let restored = |file: &str, sql: &str| {
        let dir = home.path().join(format!("damaged-{file}"));
        std::fs::create_dir(&dir).unwrap();
        for name in names(&copy) {
            std::fs::copy(copy.join(&name), dir.join(&name)).unwrap();
        }
        let changed = rusqlite::Connection::open(dir.join(file)).unwrap().execute(sql, []).unwrap();
        assert_eq!(changed, 1, "{sql}");
        dir
    };
    for (file, sql, says) in [
        ("history.db", "UPDATE records SET body = 'for you' WHERE body = 'for bob alone'", "seq 1"),
        ("accounts.db", "UPDATE users SET nickname = 'a#b' WHERE nickname = 'bob'", "accounts.db"),
        ("rules.db", "INSERT INTO rules (key, value, checksum) VALUES ('den', '{}', 1)", "rules.db"),
    ] {
        let dir = restored(file, sql);
        let off = ["--pair-port", "off", "--console-port", "off"];
        let off = [off, ["--minechat-listen-port", "off", "--minechat-write-port", "off"]].concat();
        let ended = run(&home, &[&["--port", "0", "--data", text(&dir)], &off[..]].concat()).await;
        ended.failed(1, &["the data is damaged", says]);
        let second = home.path().join("second");
        run(&home, &["backup", "--data", text(&dir), text(&second)]).await.failed(1, &["the data is damaged", says]);
        assert!(!second.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_damaged_data_names_the_file_and_says_what_to_do() {
    let home = Arc::new(Home::new());
    let data = left(&home).await;
    let file = data.join("history.db");
    let export = async || run(&home, &["export", "--data", text(&data), "-"]).await;
    let change = |sql: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    change(
        "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'epoch TEXT NOT NULL', 'epoch TEXT')",
    );
    change("UPDATE life SET epoch = NULL");
    let ended = export().await;
    assert_eq!(ended.out, "");
    let says = ["data: the data is damaged: history.db: ", "; restore the directory from a copy, or move it away"];
    ended.failed(1, &says);
    for bytes in [&[7; 5000][..], b""] {
        for name in ["history.db-wal", "history.db-shm"] {
            let _ = std::fs::remove_file(data.join(name));
        }
        std::fs::write(&file, bytes).unwrap();
        export().await.failed(1, &says);
    }
}
