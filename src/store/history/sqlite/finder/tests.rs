//! The index of texts against restarts, damage, restores and retention.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::STEP;
use crate::limits::Limits;
use crate::message::{Record, RoomKey, Timestamp, UserId};
use crate::name::RoomName;
use crate::store::history::{Durability, HistoryStore, Query, Retention, SqliteHistory};

fn said(room: &str, seq: u64, body: &str) -> Record {
    let room = RoomKey::Room(RoomName::new(room).unwrap());
    let at = Timestamp::from_millis(seq);
    Record { room, seq, prev: seq - 1, at, user: UserId::random(), from: "ann".into(), id: None, body: body.into() }
}

fn open(dir: &Path) -> SqliteHistory {
    SqliteHistory::open(dir, Durability::Os, &Limits::default()).unwrap()
}

/// Waits for the index to have what it does not put off.
async fn indexed(history: &SqliteHistory) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while history.unindexed().expect("there is an index") >= STEP as u64 {
        assert!(Instant::now() < deadline, "it never comes so far");
        tokio::task::yield_now().await;
    }
}

/// Far more than is looked at without an index, of long texts; the first one says something else.
async fn fill(history: &SqliteHistory) {
    let long = "many words about nothing ".repeat(150);
    for seq in 1..=4000 {
        let body = if seq == 1 { "the needle" } else { &long };
        history.append(&[said("hay", seq, body)]).await.unwrap();
    }
}

async fn finds(history: &SqliteHistory, text: &str) -> (Vec<u64>, Option<u64>) {
    let finds = history.search(&said("hay", 1, "").room, &Query::new(text), None, 10).await.unwrap();
    (finds.records.iter().map(|record| record.seq).collect(), finds.before)
}

#[tokio::test]
async fn what_is_far_back_is_found_at_once_also_after_a_restart_and_in_data_without_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    fill(&history).await;
    indexed(&history).await;
    assert_eq!(finds(&history, "NEED*").await, (vec![1], None));
    drop(history);
    let history = open(dir.path());
    assert!(history.unindexed().unwrap() < STEP as u64, "it is kept");
    assert_eq!(finds(&history, "needle").await, (vec![1], None));
    drop(history);
    std::fs::remove_file(dir.path().join("search.db")).unwrap();
    let history = open(dir.path());
    let (seqs, before) = finds(&history, "needle").await;
    assert!(seqs == [1] || before.is_some_and(|before| before > 1), "in pieces, or the index has come already");
    indexed(&history).await;
    assert_eq!(finds(&history, "needle").await, (vec![1], None));
}

#[tokio::test]
async fn where_nothing_that_the_index_names_fits_it_is_asked_a_few_times() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    for from in (1..=8000).step_by(1000) {
        let records: Vec<_> = (from..from + 1000)
            .map(|seq| said("hay", seq, if seq == 1 { "a brown fox" } else { "the fox was brown" }))
            .collect();
        history.append(&records).await.unwrap();
    }
    indexed(&history).await;
    // Each time it goes through all that is newer: asked for a few at a time, it would take a minute in a large room.
    assert_eq!(finds(&history, "\"brown fox\"").await, (vec![1], None));
    let asked = history.finder.as_ref().unwrap().asked.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..=4).contains(&asked), "{asked}");
}

#[tokio::test]
async fn an_index_that_is_damaged_or_of_another_history_is_made_anew() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let history = open(dir.path());
    fill(&history).await;
    indexed(&history).await;
    drop(history);
    let index = dir.path().join("search.db");
    drop(open(other.path()));
    std::fs::copy(other.path().join("search.db"), &index).unwrap();
    let history = open(dir.path());
    indexed(&history).await;
    assert_eq!(finds(&history, "needle").await, (vec![1], None));
    drop(history);
    std::fs::write(&index, vec![0x5a; 100_000]).unwrap();
    let history = open(dir.path());
    indexed(&history).await;
    assert_eq!(finds(&history, "needle").await, (vec![1], None));
}

#[tokio::test]
async fn an_index_of_records_that_a_restore_took_back_finds_those_that_came_instead() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let records = |from: u64, to: u64, body: &str| {
        (from..=to).map(|seq| said("hay", seq, &format!("{body} {seq}"))).collect::<Vec<_>>()
    };
    history.append(&records(1, 1000, "common")).await.unwrap();
    drop(history);
    let (data, copy) = (dir.path().join("history.db"), dir.path().join("copy.db"));
    std::fs::copy(&data, &copy).unwrap();
    let history = open(dir.path());
    history.append(&records(1001, 4000, "lost")).await.unwrap();
    indexed(&history).await;
    drop(history);
    // Without the index, as an older program would: it has just as many, and others.
    let index = dir.path().join("search.db");
    let aside = dir.path().join("aside.db");
    std::fs::rename(&index, &aside).unwrap();
    std::fs::rename(&copy, &data).unwrap();
    let history = open(dir.path());
    history.append(&records(1001, 4100, "kept")).await.unwrap();
    drop(history);
    std::fs::rename(&aside, &index).unwrap();
    let history = open(dir.path());
    indexed(&history).await;
    assert_eq!(finds(&history, "\"kept 1500\"").await, (vec![1500], None));
    assert_eq!(finds(&history, "lost").await, (vec![], None));
    assert_eq!(finds(&history, "\"common 1000\"").await, (vec![1000], None));
}

#[tokio::test]
async fn what_retention_took_leaves_the_index_too() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    // Of one of them more than is taken out at once.
    for (room, most) in [("hay", 20_000), ("straw", 2000)] {
        let records: Vec<_> = (1..=most).map(|seq| said(room, seq, "dry grass")).collect();
        history.append(&records).await.unwrap();
    }
    indexed(&history).await;
    let keep = Retention { count: Some(10), ..Retention::default() };
    let later = Timestamp::from_millis(1_000_000_000);
    assert_eq!(history.retain(Some(&said("hay", 1, "").room), &keep, later).await.unwrap(), 19_990);
    let count = || {
        let connection = Connection::open(dir.path().join("search.db")).unwrap();
        connection.query_row("SELECT count(*) FROM texts_docsize", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while count() > 2010 {
        assert!(Instant::now() < deadline, "{}", count());
        tokio::task::yield_now().await;
    }
    assert_eq!(finds(&history, "grass").await.0, (19_991..=20_000).rev().collect::<Vec<_>>());
    drop(history);
    let connection = Connection::open(dir.path().join("search.db")).unwrap();
    let sums = "SELECT count(*) FROM rooms WHERE sum = 0";
    let lost = connection.query_row(sums, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(lost, 0, "what is left is known again at the next start");
}

#[tokio::test]
async fn damage_that_only_a_search_comes_upon_is_no_damage_to_it_and_the_next_start_makes_the_index_anew() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    let records: Vec<_> =
        (1..=2000).map(|seq| said("hay", seq, if seq == 1 { "the needle" } else { "grass" })).collect();
    history.append(&records).await.unwrap();
    indexed(&history).await;
    drop(history);
    let connection = Connection::open(dir.path().join("search.db")).unwrap();
    let changed = connection.execute("UPDATE texts_data SET block = x'ffffffffffffffff' WHERE id > 10", []).unwrap();
    assert!(changed > 0);
    drop(connection);
    let history = open(dir.path());
    assert!(history.unindexed().unwrap() < STEP as u64, "nothing is wrong with it at first sight");
    assert_eq!(finds(&history, "needle").await, (vec![1], None));
    let deadline = Instant::now() + Duration::from_secs(60);
    while history.unindexed() != Some(2000) {
        assert!(Instant::now() < deadline, "it is given up");
        tokio::task::yield_now().await;
    }
    assert_eq!(finds(&history, "needle").await, (vec![1], None));
    drop(history);
    let history = open(dir.path());
    indexed(&history).await;
    let connection = Connection::open(dir.path().join("search.db")).unwrap();
    connection.execute("INSERT INTO texts (texts) VALUES ('integrity-check')", []).unwrap();
    assert_eq!(finds(&history, "needle").await, (vec![1], None));
}

#[tokio::test]
async fn an_index_of_another_version_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path());
    history.append(&(1..=1000).map(|seq| said("hay", seq, "dry grass")).collect::<Vec<_>>()).await.unwrap();
    indexed(&history).await;
    drop(history);
    let version = |wanted: Option<i64>| {
        let connection = Connection::open(dir.path().join("search.db")).unwrap();
        if let Some(wanted) = wanted {
            connection.pragma_update(None, "user_version", wanted).unwrap();
        }
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
    };
    let ours = version(None);
    version(Some(77));
    let history = open(dir.path());
    indexed(&history).await;
    assert_eq!(finds(&history, "grass").await.0, (991..=1000).rev().collect::<Vec<_>>());
    drop(history);
    assert_eq!(version(None), ours);
}
