//! Rooms as lines of JSON, written by one history and taken in by another: the same, all of it, once; or with any damage
//! nothing, and the line is named.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::time::Duration;

use talk::limits::Limits;
use talk::message::{MessageId, Record, RoomKey, Timestamp, UserId};
use talk::name::RoomName;
use talk::store::{
    Durability, ExchangeError, HistoryStore, Page, Query, Retention, SqliteHistory, StoreError, export_history,
    import_history,
};

fn room(name: &str) -> RoomKey {
    RoomKey::Room(RoomName::new(name).unwrap())
}

fn said(room: &RoomKey, seq: u64, body: &str) -> Record {
    Record {
        room: room.clone(),
        seq,
        prev: seq - 1,
        at: Timestamp::from_millis(1_700_000_000_000 + seq),
        user: UserId::random(),
        from: "Änn #1".into(),
        id: seq.is_multiple_of(2).then(|| MessageId::new(&format!("id {seq}")).unwrap()),
        body: body.into(),
    }
}

fn open(dir: &Path) -> SqliteHistory {
    SqliteHistory::open(dir, Durability::Fsync, &Limits::default()).unwrap()
}

fn export(dir: &Path, rooms: &[RoomKey]) -> String {
    let mut out = Vec::new();
    export_history(dir, rooms, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn import(dir: &Path, text: &str) -> Result<(u64, u64), ExchangeError> {
    import_history(dir, &Limits::default(), &mut text.as_bytes()).map(|done| (done.added, done.known))
}

async fn all(store: &SqliteHistory, room: &RoomKey) -> Vec<Record> {
    store.page(room, &Page { after: Some(0), before: None, limit: 1000 }).await.unwrap()
}

/// Two rooms, one of them without its beginning, and direct messages.
async fn begin(dir: &Path) -> (SqliteHistory, RoomKey) {
    let store = open(dir);
    let user = RoomKey::Direct(UserId::random());
    for key in [&room("den"), &room("attic"), &user] {
        let text = |seq: u64| format!("Слово \"{seq}\"\nand\tmore \u{1f600} </script>");
        let records: Vec<_> = (1..=10).map(|seq| said(key, seq, &text(seq))).collect();
        store.append(&records).await.unwrap();
    }
    let keep = Retention { count: Some(4), ..Retention::default() };
    let later = Timestamp::from_millis(1_700_000_000_000).after(Duration::from_secs(1000));
    assert_eq!(store.retain(Some(&room("attic")), &keep, later).await.unwrap(), 6);
    (store, user)
}

#[tokio::test]
async fn what_is_exported_beside_a_running_server_is_imported_whole_and_once() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, user) = begin(from.path()).await;
    let text = export(from.path(), &[]);
    assert_eq!(text.lines().count(), 1 + 10 + 4 + 1, "{text}");
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().is_object()));
    assert!(!text.contains(&user.to_string()), "what was said to a user alone is not among the rooms");

    assert_eq!(import(to.path(), &text).unwrap(), (14, 0));
    assert_eq!(import(to.path(), &text).unwrap(), (0, 14), "again does no harm");
    let copy = open(to.path());
    for key in [room("den"), room("attic")] {
        assert_eq!(all(&copy, &key).await, all(&store, &key).await, "every field");
        assert_eq!(copy.head(&key).await.unwrap().seq, 10);
    }
    let found = copy.search(&room("attic"), &Query::new("слово \"8\""), None, 10).await.unwrap();
    assert_eq!(found.records.len(), 1);
    assert!(all(&copy, &user).await.is_empty());
    copy.append(&[said(&room("attic"), 11, "it goes on")]).await.unwrap();
    drop(copy);
    assert_eq!(import(to.path(), &text).unwrap(), (0, 14), "what came later stays");

    // What came later there, too: only that is new. Asked for by name, direct messages come.
    store.append(&[said(&room("den"), 11, "later")]).await.unwrap();
    assert_eq!(import(to.path(), &export(from.path(), &[room("den"), user.clone()])).unwrap(), (11, 10));
    let copy = open(to.path());
    assert_eq!(all(&copy, &user).await, all(&store, &user).await);
    assert_eq!(all(&copy, &room("den")).await, all(&store, &room("den")).await);
}

#[tokio::test]
async fn any_damage_is_refused_by_its_line_and_nothing_is_taken() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_store, _) = begin(from.path()).await;
    let good = export(from.path(), &[]);
    let lines: Vec<&str> = good.lines().collect();
    let last = lines.len();
    let put = |at: usize, line: &str| {
        let mut changed = lines.clone();
        changed[at - 1] = line;
        changed.join("\n") + "\n"
    };
    let without = |from: usize, to: usize| [&lines[..from - 1], &lines[to..]].concat().join("\n") + "\n";
    let mut damages = vec![
        (String::new(), 1),
        ("{}\n".into(), 1),
        (put(1, &lines[0].replace("\"version\":1", "\"version\":2")), 1),
        (put(3, "nonsense"), 3),
        (put(3, ""), 3),
        (put(3, &lines[2].replacen("and", "end", 1)), 3),
        (put(3, &lines[2].replacen("\"seq\":", "\"more\":1,\"seq\":", 1)), 3),
        (put(3, &lines[2].replacen("attic", "den", 1)), 3),
        (put(4, lines[2]), 4),
        // Without one of its records, a room's next does not follow; without the last ones, the end does not.
        (without(3, 3), 3),
        (without(last - 1, last - 1), last - 1),
        (without(2, 5), 2 + 10),
        (without(last, last), last),
        (without(5, last), 5),
        (format!("{good}more\n"), last + 1),
        (format!("{good}{good}"), last + 1),
        (put(last, &lines[last - 1].replace("\"records\":14", "\"records\":13")), last),
        (put(1, &lines[0].replace("\"epoch\":\"", "\"epoch\":\"0")), last),
        (good.replace('\n', "\r\n"), last),
    ];
    // Cut anywhere.
    damages.extend((1..good.len() - 1).step_by(97).filter(|at| good.is_char_boundary(*at)).map(|at| {
        let cut = &good[..at];
        let whole = cut.ends_with('\n') || good[at..].starts_with('\n');
        (cut.to_owned(), cut.lines().count() + usize::from(whole))
    }));
    for (text, line) in damages {
        match import(to.path(), &text) {
            Err(ExchangeError::Line { line: found, what }) => assert_eq!(found, line as u64, "{what}: {text}"),
            other => panic!("line {line}: {other:?}: {text}"),
        }
        assert!(open(to.path()).rooms().await.unwrap().is_empty(), "nothing was taken");
    }
    assert_eq!(import(to.path(), good.trim_end()).unwrap(), (14, 0), "the last line feed is not missed");
}

/// A line as `export` would write it of such a message, with its right checksum.
async fn exported(record: Record) -> String {
    let dir = tempfile::tempdir().unwrap();
    let key = record.room.clone();
    let store = SqliteHistory::open(dir.path(), Durability::Os, &Limits::default()).unwrap();
    store.append(&[record]).await.unwrap();
    export(dir.path(), &[key])
}

#[tokio::test]
async fn what_no_message_can_be_is_refused_though_its_checksums_are_right() {
    let to = tempfile::tempdir().unwrap();
    let den = room("den");
    let good = said(&den, 1, "hi");
    let longest = Limits::default().message;
    for (record, says) in [
        (Record { body: "a\u{1b}[2Jb".into(), ..good.clone() }, "control characters"),
        (Record { body: "a\0b".into(), ..good.clone() }, "control characters"),
        (Record { from: "ann\nbob".into(), ..good.clone() }, "control characters"),
        (Record { from: "ann\u{2028}bob".into(), ..good.clone() }, "control characters"),
        (Record { from: "x".repeat(1000).into(), ..good.clone() }, "a name has at most 80 characters"),
        (Record { at: Timestamp::from_millis(253_402_300_800_000), ..good.clone() }, "253402300800000 is no time"),
        (Record { seq: i64::MAX.cast_unsigned(), ..good.clone() }, "cannot follow 0"),
        (
            Record { body: "x".repeat(longest + 1).into(), ..good.clone() },
            "16385 bytes, and limits.message allows 16384",
        ),
    ] {
        let error = import(to.path(), &exported(record).await).unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.contains(says), "{error}");
    }
    let text = exported(Record { body: "\u{1f600}".repeat(longest / 4).into(), ..good }).await;
    for hostile in
        ["../den", "", "@ann", "a b", "#den", "den\\u0000", "\\u001b[2J", "@0123456789ABCDEF0123456789ABCDEF"]
    {
        let forged = text.replacen("\"room\":\"den\"", &format!("\"room\":\"{hostile}\""), 1);
        let error = import(to.path(), &forged).unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.ends_with("is no room"), "{error}");
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
    let named = text.replacen("\"seq\":1", &format!("\"\\u001b{}\":1", "x".repeat(100_000)), 1);
    let error = import(to.path(), &named).unwrap_err().to_string();
    assert!(error.len() < 1000 && !error.chars().any(char::is_control), "{error:?}");
    assert!(open(to.path()).rooms().await.unwrap().is_empty(), "nothing was taken");
    assert_eq!(import(to.path(), &text).unwrap(), (1, 0), "the longest text that a message may have");
}

/// A reader of one endless line, which tells how much of it was read.
struct Endless<'a>(&'a mut u64);

impl std::io::Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        *self.0 += buffer.len() as u64;
        buffer.fill(b'[');
        Ok(buffer.len())
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_refused_before_it_fills_the_memory() {
    let to = tempfile::tempdir().unwrap();
    let mut read = 0;
    let mut input = std::io::BufReader::new(Endless(&mut read));
    let error = import_history(to.path(), &Limits::default(), &mut input).unwrap_err();
    assert_eq!(error.to_string(), "line 1: it is too long");
    assert!(read < 5 << 20, "{read}");
    let error = import(to.path(), &"[".repeat(1 << 20)).unwrap_err();
    assert!(matches!(error, ExchangeError::Line { line: 1, .. }), "{error}");
}

#[tokio::test]
async fn rooms_are_exported_as_they_are_at_one_moment_while_messages_come() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = std::sync::Arc::new(open(from.path()));
    let den = room("den");
    store.append(&(1..=500).map(|seq| said(&den, seq, "before")).collect::<Vec<_>>()).await.unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, stop, den) = (store.clone(), stop.clone(), den.clone());
        async move {
            let mut seq = 501;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                store.append(&[said(&den, seq, "meanwhile")]).await.unwrap();
                seq += 1;
            }
        }
    });
    let mut had = (0, 0);
    for _ in 0..5 {
        let least = store.head(&den).await.unwrap().seq;
        let dir = from.path().to_owned();
        let text = tokio::task::spawn_blocking(move || export(&dir, &[])).await.unwrap();
        let (added, known) = import(to.path(), &text).unwrap();
        assert_eq!(known, had.0 + had.1, "what was there is there, once");
        assert!(added + known >= least, "{added} and {known} of at least {least}");
        had = (added, known);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    writing.await.unwrap();
}

#[tokio::test]
async fn no_more_rooms_and_users_come_than_there_may_be() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(from.path());
    let direct = || RoomKey::Direct(UserId::random());
    let all = [room("den"), room("attic"), direct(), direct()];
    for key in &all {
        store.append(&[said(key, 1, "hi")]).await.unwrap();
    }
    let import = |rooms: usize, users: usize| {
        let mut limits = Limits::default();
        (limits.rooms, limits.users) = (rooms, users);
        let done = import_history(to.path(), &limits, &mut export(from.path(), &all).as_bytes());
        done.map(|done| (done.added, done.known)).map_err(|error| error.to_string())
    };
    for (rooms, users, says) in [(1, 2, "limits.rooms allows 1"), (2, 1, "limits.users allows 1")] {
        let error = import(rooms, users).unwrap_err();
        assert!(error.starts_with("line ") && error.ends_with(&format!("it is one too many: {says}")), "{error}");
        assert!(open(to.path()).rooms().await.unwrap().is_empty(), "nothing was taken");
    }
    assert_eq!(import(2, 2), Ok((4, 0)));
    // Those that are there may go on, although there may be fewer by now.
    for key in &all {
        store.append(&[said(key, 2, "and so on")]).await.unwrap();
    }
    assert_eq!(import(1, 1), Ok((4, 4)));
}

#[tokio::test]
async fn what_contradicts_the_history_that_is_there_is_refused() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = begin(from.path()).await;
    let text = export(from.path(), &[]);
    let other = open(to.path());
    let own: Vec<_> = (1..=3).map(|seq| said(&room("attic"), seq, "something else")).collect();
    other.append(&own).await.unwrap();
    assert!(matches!(import(to.path(), &text), Err(ExchangeError::Store(StoreError::Locked))), "a server runs there");
    drop(other);
    let gap = import(to.path(), &text).unwrap_err().to_string();
    assert_eq!(gap, "line 2: room attic, seq 7: it follows 6, and here the room ends with 3");
    let other = open(to.path());
    let own: Vec<_> = (4..=8).map(|seq| said(&room("attic"), seq, "something else")).collect();
    other.append(&own).await.unwrap();
    drop(other);
    let differs = import(to.path(), &text).unwrap_err().to_string();
    assert_eq!(differs, "line 2: room attic, seq 7: another message has this place here");
    assert_eq!(open(to.path()).rooms().await.unwrap().len(), 1, "the other room did not come either");

    let missing = export_history(from.path(), &[room("cellar")], &mut Vec::new());
    assert!(matches!(missing, Err(ExchangeError::NoRoom(_))), "{missing:?}");
    let nothing = export_history(&to.path().join("nowhere"), &[], &mut Vec::new());
    assert!(matches!(nothing, Err(ExchangeError::Store(StoreError::Unavailable(_)))), "{nothing:?}");
    drop(store);
    let database = rusqlite::Connection::open(from.path().join("history.db")).unwrap();
    database.execute("UPDATE records SET body = 'changed' WHERE seq = 9", []).unwrap();
    let damaged = export_history(from.path(), &[], &mut Vec::new());
    assert!(matches!(damaged, Err(ExchangeError::Store(StoreError::Damaged(_)))), "{damaged:?}");
}
