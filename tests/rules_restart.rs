//! Which rules a room server finds after a restart, and which damage keeps it from starting.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use talk::limits::Limits;
use talk::message::{Timestamp, UserId};
use talk::name::RoomName;
use talk::store::{Ban, Mute, RoomRules, RuleStore, SqliteRules, StoreError, UserRules};

#[tokio::test]
async fn a_restart_finds_what_was_kept_and_nothing_that_was_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.settings().await.unwrap().synchronous, 2, "an answered write is on disk");
    let (ann, bob, eve) = (UserId::random(), UserId::random(), UserId::random());
    let until = Some(Timestamp::from_millis(1_700_000_000_000));
    let address = Some("2001:db8::1".parse().unwrap());
    let rules = RoomRules {
        maker: Some(ann),
        closed: true,
        bans: vec![Ban { user: bob, name: "bób".into(), address, until }],
        mutes: vec![Mute { user: eve, name: "eve \"✓\"".into(), address: None, until: None }],
    };
    let keeps = UserRules { blocked: vec![(eve, "eve".into())], delivered: u64::MAX };
    store.keep_room(&room("a"), &rules).await.unwrap();
    store.keep_room(&room("gone"), &rules).await.unwrap();
    store.keep_room(&room("gone"), &RoomRules::default()).await.unwrap();
    for user in [ann, bob, eve] {
        store.keep_user(user, &keeps).await.unwrap();
    }
    store.keep_user(bob, &UserRules::default()).await.unwrap();
    store.forget_users(&[eve]).await.unwrap();
    drop(store);

    let store = open(dir.path());
    assert_eq!(store.rooms().await.unwrap(), [(room("a"), rules)]);
    assert_eq!(store.user(ann).await.unwrap(), keeps);
    assert!(store.user(bob).await.unwrap().is_empty() && store.user(eve).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_restart_counts_what_is_there_and_lowered_limits_take_nothing_away() {
    let dir = tempfile::tempdir().unwrap();
    let (ann, bob) = (UserId::random(), UserId::random());
    let blocks = |count| UserRules { blocked: vec![(bob, "bob".into()); count], ..UserRules::default() };
    let closed = RoomRules { closed: true, ..RoomRules::default() };
    let store = open(dir.path());
    for name in ["a", "b"] {
        store.keep_room(&room(name), &closed).await.unwrap();
    }
    store.keep_user(ann, &blocks(3)).await.unwrap();
    drop(store);

    let limits = Limits::default();
    let mut lower = limits.clone();
    (lower.rooms, lower.users, lower.blocks_per_user) = (1, 1, 1);
    let store = SqliteRules::open(dir.path(), &lower).unwrap();
    assert_eq!(store.rooms().await.unwrap().len(), 2);
    assert_eq!(store.user(ann).await.unwrap(), blocks(3));
    for full in [
        store.keep_room(&room("c"), &closed).await,
        store.keep_user(bob, &blocks(1)).await,
        store.keep_user(ann, &blocks(4)).await,
    ] {
        assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
    }
    store.keep_user(ann, &blocks(2)).await.expect("fewer than before");
    store.keep_user(ann, &UserRules::default()).await.unwrap();
    store.keep_user(bob, &blocks(1)).await.expect("one has gone");
}

#[test]
fn a_damaged_row_refuses_the_start_and_is_named() {
    let ann = UserId::from_bytes([7; 16]);
    let of_user = format!("@{ann}");
    for (whose, what, sql) in [
        ("lobby", "a changed rule", "UPDATE rules SET value = replace(value, 'true', 'false') WHERE key = 'lobby'"),
        ("lobby", "a changed sum", "UPDATE rules SET checksum = checksum + 1 WHERE key = 'lobby'"),
        ("hall", "rules under another's name", "UPDATE rules SET key = 'hall' WHERE key = 'lobby'"),
        (&of_user, "a changed place", "UPDATE rules SET value = replace(value, '12', '13') WHERE key GLOB '@*'"),
        (&of_user, "no JSON", "UPDATE rules SET value = '{' WHERE key GLOB '@*'"),
        ("@nobody", "a key of nobody", "UPDATE rules SET key = '@nobody' WHERE key GLOB '@*'"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = open(dir.path());
        let closed = RoomRules { closed: true, ..RoomRules::default() };
        let keeps = UserRules { delivered: 12, ..UserRules::default() };
        runtime.block_on(store.keep_room(&room("lobby"), &closed)).unwrap();
        runtime.block_on(store.keep_user(ann, &keeps)).unwrap();
        drop(store);
        let changed = rusqlite::Connection::open(dir.path().join("rules.db")).unwrap().execute(sql, []).unwrap();
        assert_eq!(changed, 1, "{what}: the damage is done");
        let refused = SqliteRules::open(dir.path(), &Limits::default());
        let named = matches!(&refused, Err(StoreError::Damaged(why)) if why.contains(whose));
        assert!(named, "{what} must name {whose}: {refused:?}");
    }
}

#[tokio::test]
async fn a_row_that_is_damaged_meanwhile_is_an_error_and_not_an_empty_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ann = UserId::random();
    store.keep_user(ann, &UserRules { delivered: 12, ..UserRules::default() }).await.unwrap();
    store.keep_room(&room("lobby"), &RoomRules { closed: true, ..RoomRules::default() }).await.unwrap();
    let other = rusqlite::Connection::open(dir.path().join("rules.db")).unwrap();
    other.execute("UPDATE rules SET checksum = checksum + 1", []).unwrap();
    assert!(matches!(store.user(ann).await, Err(StoreError::Damaged(_))));
    assert!(matches!(store.rooms().await, Err(StoreError::Damaged(_))));
    assert!(store.user(UserId::random()).await.unwrap().is_empty(), "others are not concerned");
}

fn open(dir: &Path) -> SqliteRules {
    SqliteRules::open(dir, &Limits::default()).unwrap()
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}
