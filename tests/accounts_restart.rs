//! What a room server's users find after a restart, and what lies on the disk meanwhile.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use talk::limits::Limits;
use talk::message::Timestamp;
use talk::name::Nickname;
use talk::secret::{Password, Secret};
use talk::store::{AccountStore, Durability, SqliteAccounts, SqliteHistory, SqliteRegistry, SqliteRules, StoreError};

#[tokio::test]
async fn a_restart_counts_as_a_drop() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let rich = store.create_guest(&nick("rich"), at(0)).await.unwrap();
    let plain = store.create_guest(&nick("plain"), at(0)).await.unwrap();
    let unused = store.create_guest(&nick("unused"), at(50)).await.unwrap();
    let bob = store.create_account(&nick("bob"), &password("correct horse"), at(0)).await.unwrap();
    store.connect(&rich.token.hash(), true, at(1)).await.unwrap();
    store.connect(&rich.token.hash(), true, at(1)).await.unwrap();
    store.connect(&plain.token.hash(), false, at(1)).await.unwrap();
    store.connect(&bob.token.hash(), false, at(1)).await.unwrap();
    let renamed = store.rename(bob.user.id, &nick("Bob"), at(2)).await.unwrap();
    drop(store);

    let store = open(dir.path());
    let (user, session) = store.by_token(&rich.token.hash(), at(100)).await.unwrap().unwrap();
    assert_eq!((user, session.connections, session.ends), (rich.user.clone(), 0, Some(at(700))), "ten minutes more");
    assert_eq!(store.by_id(plain.user.id, at(100)).await.unwrap(), None, "a plain guest is gone");
    assert_eq!(store.by_token(&bob.token.hash(), at(100)).await.unwrap(), None, "an account's plain token too");
    let mut ended = store.ended(at(100)).await.unwrap();
    ended.sort_unstable();
    assert_eq!(ended, [plain.user.id], "and what was kept for them can go");
    assert!(store.by_token(&unused.token.hash(), at(109)).await.unwrap().is_some(), "a minute from its issue");
    assert!(store.by_token(&unused.token.hash(), at(110)).await.unwrap().is_none());
    let back = store.sign_in(&nick("Bob"), &password("correct horse"), at(110)).await.unwrap();
    assert_eq!(back.user, renamed);
    let wrong = store.sign_in(&nick("Bob"), &password("wrong horse"), at(110)).await;
    assert!(matches!(wrong, Err(StoreError::Forbidden)), "{wrong:?}");
    let taken = store.create_guest(&nick("rich"), at(110)).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "{taken:?}");
    let (_, session) = store.connect(&rich.token.hash(), true, at(699)).await.expect("it is resumed");
    assert_eq!(session.connections, 1);
    store.disconnect(rich.user.id, rich.session, at(700)).await.unwrap();
    assert!(store.by_token(&rich.token.hash(), at(701)).await.unwrap().is_some(), "dropped connections do not add up");
    assert!(store.by_token(&rich.token.hash(), at(1300)).await.unwrap().is_none());
}

#[tokio::test]
async fn what_has_ended_is_not_revived_by_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let first = store.create_guest(&nick("ann"), at(0)).await.unwrap();
    store.connect(&first.token.hash(), true, at(1)).await.unwrap();
    store.disconnect(first.user.id, first.session, at(2)).await.unwrap();
    // Its reservation ends at 602; then somebody else takes the name.
    let second = store.create_guest(&nick("ann"), at(602)).await.unwrap();
    store.connect(&second.token.hash(), true, at(603)).await.unwrap();
    let gone = store.create_guest(&nick("gone"), at(603)).await.unwrap();
    store.connect(&gone.token.hash(), true, at(604)).await.unwrap();
    store.disconnect(gone.user.id, gone.session, at(605)).await.unwrap();
    drop(store);

    let store = open(dir.path());
    assert_eq!(store.by_nickname(&nick("ann"), at(2000)).await.unwrap().map(|user| user.id), Some(second.user.id));
    assert_eq!(store.by_token(&first.token.hash(), at(2000)).await.unwrap(), None);
    assert_eq!(store.by_token(&gone.token.hash(), at(2000)).await.unwrap(), None, "void before the restart, and after");
    assert_eq!(store.ended(at(2000)).await.unwrap().len(), 2);
    drop(store);
    // Nobody came back within the ten minutes: a second restart gives no more of them.
    let store = open(dir.path());
    assert_eq!(store.by_token(&second.token.hash(), at(2601)).await.unwrap(), None);
    let all = store.ended(at(2601)).await.unwrap();
    assert_eq!(store.forget(&all, at(2601)).await.unwrap(), 3);
    drop(store);
    assert!(open(dir.path()).ended(at(2601)).await.unwrap().is_empty(), "forgotten on disk too");
}

#[tokio::test]
async fn tokens_passwords_and_keys_are_on_disk_as_hashes_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let bob = store.create_account(&nick("bobby-tables"), &password("correct horse battery"), at(0)).await.unwrap();
    let key = Secret::random();
    store.create_keyed(&nick("Zen tester"), &key.hash(), at(0)).await.unwrap();
    assert_eq!(store.settings().await.unwrap().synchronous, 2);
    drop(store);
    let (mut found, mut keys) = (0, 0);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!holds(b"correct horse battery") && !holds(bob.token.reveal().as_bytes()));
        assert!(!holds(key.reveal().as_bytes()));
        found += usize::from(holds(b"bobby-tables") && holds(bob.token.hash().as_bytes()));
        keys += usize::from(holds(key.hash().as_bytes()));
    }
    assert_eq!((found, keys), (1, 1), "the look finds what is there");
}

#[tokio::test]
async fn keys_outlive_a_restart_and_stay_unique() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = Secret::random();
    let zen = store.create_keyed(&nick("Zen tester"), &key.hash(), at(0)).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.sign_in_by_key(&key.hash(), at(10)).await.unwrap().user, zen.user);
    let taken = store.create_keyed(&nick("eve"), &key.hash(), at(10)).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "{taken:?}");
}

#[tokio::test]
async fn a_database_from_before_keys_is_brought_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let bob = store.create_account(&nick("bob"), &password("correct horse"), at(0)).await.unwrap();
    drop(store);
    let file = dir.path().join("accounts.db");
    let first = "DROP INDEX user_by_key; ALTER TABLE users DROP COLUMN key; PRAGMA user_version = 1";
    rusqlite::Connection::open(&file).unwrap().execute_batch(first).unwrap();

    let store = open(dir.path());
    assert_eq!(store.sign_in(&nick("bob"), &password("correct horse"), at(10)).await.unwrap().user, bob.user);
    let key = Secret::random();
    store.create_keyed(&nick("ann"), &key.hash(), at(10)).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.sign_in_by_key(&key.hash(), at(20)).await.unwrap().user.nickname, nick("ann"));
    drop(store);
    rusqlite::Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 3").unwrap();
    let newer = SqliteAccounts::open(dir.path(), &Limits::default());
    assert!(matches!(newer, Err(StoreError::Unavailable(_))), "what a newer program wrote is left alone: {newer:?}");
}

#[test]
fn a_row_that_makes_no_sense_refuses_the_start() {
    for (what, sql) in [
        ("a nickname", "UPDATE users SET nickname = 'a#b'"),
        ("a password", "UPDATE users SET password = x'00'"),
        ("a key", "UPDATE users SET key = x'00' WHERE nickname = 'ann'"),
        ("a password beside a key", "UPDATE users SET password = zeroblob(48), key = randomblob(32)"),
        ("a token of nobody", "UPDATE tokens SET user = x'00'"),
        ("a time", "UPDATE tokens SET issued = -1"),
        ("two of one name", "UPDATE users SET nickname = 'ann'"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = open(dir.path());
        for name in ["ann", "bob"] {
            runtime.block_on(store.create_guest(&nick(name), at(0))).unwrap();
        }
        drop(store);
        rusqlite::Connection::open(dir.path().join("accounts.db")).unwrap().execute_batch(sql).unwrap();
        let refused = SqliteAccounts::open(dir.path(), &Limits::default());
        assert!(matches!(refused, Err(StoreError::Damaged(_))), "{what}: {refused:?}");
    }
}

#[test]
fn the_four_stores_share_a_directory_and_each_is_locked_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let accounts = open(dir.path());
    let history = SqliteHistory::open(dir.path(), Durability::Fsync, &limits).unwrap();
    let registry = SqliteRegistry::open(dir.path(), &limits).unwrap();
    let rules = SqliteRules::open(dir.path(), &limits).unwrap();
    assert!(matches!(SqliteAccounts::open(dir.path(), &limits), Err(StoreError::Locked)));
    assert!(matches!(SqliteHistory::open(dir.path(), Durability::Os, &limits), Err(StoreError::Locked)));
    assert!(matches!(SqliteRegistry::open(dir.path(), &limits), Err(StoreError::Locked)));
    assert!(matches!(SqliteRules::open(dir.path(), &limits), Err(StoreError::Locked)));
    drop((accounts, history, registry, rules));
    open(dir.path());
}

fn open(dir: &Path) -> SqliteAccounts {
    SqliteAccounts::open(dir, &Limits::default()).unwrap()
}

fn nick(name: &str) -> Nickname {
    Nickname::new(name).unwrap()
}

fn password(password: &str) -> Password {
    Password::new(password).unwrap()
}

/// A made-up clock, in seconds.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}
