//! Rules in SQLite: what was answered is on disk. How many entries there are of each room and user stands in memory
//! besides, so that bounds are kept without reading.

use std::collections::HashMap;
use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::row::{self, Row, Rules};
use super::{Bounds, RoomRules, RuleStore, UserRules};
use crate::limits::Limits;
use crate::message::{RoomKey, UserId};
use crate::name::RoomName;
use crate::store::StoreError;
use crate::store::sqlite::{Database, Readers, Reply, Spec, SqliteLoad, SqliteSettings, Writer, failure};

/// Rules in a directory on disk, which one process at a time may use.
///
/// Dropping it waits for the changes that were handed over.
#[derive(Debug)]
pub struct SqliteRules {
    /// Closed before the writer, whose own end then brings the write-ahead log into the database.
    readers: Readers,
    writer: Writer<Job>,
}

impl SqliteRules {
    /// Opens the rules in a directory, which is made (readable by its owner alone) when it is missing.
    ///
    /// It blocks for as long as reading and checking the whole file takes.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process, or this one, has it open; [`StoreError::Damaged`] when the check
    /// of the file fails, or a row's checksum or what it says, naming whose it is; [`StoreError::Unavailable`] when it
    /// cannot be opened or made.
    pub fn open(dir: &Path, limits: &Limits) -> Result<Self, StoreError> {
        let database = Database::open(dir, &SPEC)?;
        let turns = Turns::load(database.connection(), limits);
        let mut turns = turns.map_err(|error| error.in_file(SPEC.file))?;
        let turn = move |database: &mut Database, jobs| turns.turn(database, jobs);
        let writer = Writer::start(database, limits.store_queue, turn)?;
        Ok(Self { readers: Readers::new(dir, &SPEC), writer })
    }

    /// How its writing goes, now and since it was opened.
    #[must_use]
    pub fn load(&self) -> SqliteLoad {
        self.writer.load()
    }

    /// Asks the writer's own connection how durable its commits are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn settings(&self) -> Result<SqliteSettings, StoreError> {
        self.writer.look(Database::settings).await
    }

    async fn write(&self, change: Change) -> Result<(), StoreError> {
        self.writer.ask(|reply| Job { change, reply }).await
    }
}

#[async_trait]
impl RuleStore for SqliteRules {
    async fn rooms(&self) -> Result<Vec<(RoomName, RoomRules)>, StoreError> {
        let read = |connection: &Connection| {
            let mut rooms = Vec::new();
            each(connection, ROOMS, |key, rules| {
                if let (RoomKey::Room(room), Rules::Room(rules)) = (key, rules) {
                    rooms.push((room, rules));
                }
            })?;
            Ok(rooms)
        };
        let mut rooms = self.readers.read(read).await?;
        rooms.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(rooms)
    }

    async fn keep_room(&self, room: &RoomName, rules: &RoomRules) -> Result<(), StoreError> {
        let key = RoomKey::Room(room.clone());
        if rules.is_empty() {
            return self.write(Change::Forget(vec![key])).await;
        }
        // Here and not on the one thread that everybody waits for.
        let row = row::of_room(&key, rules)?;
        self.write(Change::Keep { key, entries: rules.entries(), row }).await
    }

    async fn user(&self, user: UserId) -> Result<UserRules, StoreError> {
        let rules = self.readers.read(move |connection| find(connection, &RoomKey::Direct(user))).await?;
        Ok(if let Some(Rules::User(rules)) = rules { rules } else { UserRules::default() })
    }

    async fn keep_user(&self, user: UserId, rules: &UserRules) -> Result<(), StoreError> {
        let key = RoomKey::Direct(user);
        if rules.is_empty() {
            return self.write(Change::Forget(vec![key])).await;
        }
        let row = row::of_user(&key, rules)?;
        self.write(Change::Keep { key, entries: rules.blocked.len(), row }).await
    }

    async fn forget_users(&self, users: &[UserId]) -> Result<(), StoreError> {
        self.write(Change::Forget(users.iter().copied().map(RoomKey::Direct).collect())).await
    }
}

struct Job {
    change: Change,
    reply: Reply<()>,
}

enum Change {
    Keep { key: RoomKey, entries: usize, row: Row },
    Forget(Vec<RoomKey>),
}

/// How many entries there are of each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Held {
    entries: HashMap<RoomKey, usize>,
    rooms: usize,
}

impl Held {
    /// Sets it, or with `None` forgets it; tells what it was.
    fn set(&mut self, key: &RoomKey, entries: Option<usize>) -> Option<usize> {
        let old = match entries {
            Some(entries) => self.entries.insert(key.clone(), entries),
            None => self.entries.remove(key),
        };
        if matches!(key, RoomKey::Room(_)) {
            self.rooms = self.rooms + usize::from(entries.is_some()) - usize::from(old.is_some());
        }
        old
    }
}

/// What the thread that writes keeps from one transaction to the next.
struct Turns {
    held: Held,
    of_rooms: Bounds,
    of_users: Bounds,
}

impl Turns {
    fn load(connection: &Connection, limits: &Limits) -> Result<Self, StoreError> {
        let mut held = Held::default();
        each(connection, ALL, |key, rules| {
            held.set(&key, Some(rules.entries()));
        })?;
        Ok(Self { held, of_rooms: Bounds::of_rooms(limits), of_users: Bounds::of_users(limits) })
    }

    /// Everything that waits, in one transaction.
    fn turn(&mut self, database: &mut Database, jobs: Vec<Job>) {
        let mut outcomes = Vec::with_capacity(jobs.len());
        // What was held before, to go back to when the transaction fails.
        let mut before = Vec::new();
        let written = database.write(|transaction| {
            for job in &jobs {
                outcomes.push(self.change(transaction, &job.change, &mut before)?);
            }
            Ok(())
        });
        if let Err(error) = written {
            for (key, entries) in before.into_iter().rev() {
                self.held.set(&key, entries);
            }
            // Even a refusal may have been decided by a change that now never happened.
            jobs.into_iter().for_each(|job| drop(job.reply.send(Err(error.clone()))));
            return;
        }
        jobs.into_iter().zip(outcomes).for_each(|(job, outcome)| drop(job.reply.send(outcome)));
    }

    /// The outer error is the whole transaction's, the inner one this change's.
    fn change(
        &mut self,
        transaction: &Transaction<'_>,
        change: &Change,
        before: &mut Vec<(RoomKey, Option<usize>)>,
    ) -> rusqlite::Result<Result<(), StoreError>> {
        match change {
            Change::Keep { key, entries, row } => {
                if let Err(refused) = self.admit(key, *entries) {
                    return Ok(Err(refused));
                }
                transaction.prepare_cached(PUT)?.execute(params![key.to_string(), row.value, row.checksum])?;
                before.push((key.clone(), self.held.set(key, Some(*entries))));
            }
            Change::Forget(keys) => {
                let mut delete = transaction.prepare_cached("DELETE FROM rules WHERE key = ?1")?;
                for key in keys {
                    let Some(held) = self.held.set(key, None) else { continue };
                    before.push((key.clone(), Some(held)));
                    delete.execute([key.to_string()])?;
                }
            }
        }
        Ok(Ok(()))
    }

    fn admit(&self, key: &RoomKey, entries: usize) -> Result<(), StoreError> {
        let held = self.held.entries.get(key).copied();
        match key {
            RoomKey::Room(room) => self.of_rooms.admit(room, held, entries, self.held.rooms),
            RoomKey::Direct(user) => {
                self.of_users.admit(user, held, entries, self.held.entries.len() - self.held.rooms)
            }
        }
    }
}

/// Reads and checks some rows.
fn each(connection: &Connection, sql: &str, mut with: impl FnMut(RoomKey, Rules)) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| failure(&e);
    let mut select = connection.prepare(sql).map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (key, rules) = row::read(row)?;
        with(key, rules);
    }
    Ok(())
}

fn find(connection: &Connection, key: &RoomKey) -> Result<Option<Rules>, StoreError> {
    let mut select = connection.prepare_cached(ONE).map_err(|e| failure(&e))?;
    let found = select.query_row([key.to_string()], |row| Ok(row::read(row))).optional().map_err(|e| failure(&e))?;
    Ok(found.transpose()?.map(|(_, rules)| rules))
}

const SPEC: Spec =
    Spec { what: "rules", file: "rules.db", lock: "rules.lock", versions: &[SCHEMA], synced: true, checked: true };
const SCHEMA: &str = "
    CREATE TABLE rules (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;";
const ALL: &str = "SELECT key, value, checksum FROM rules";
/// No room's name begins like a user's key.
const ROOMS: &str = "SELECT key, value, checksum FROM rules WHERE key NOT GLOB '@*'";
const ONE: &str = "SELECT key, value, checksum FROM rules WHERE key = ?1";
const PUT: &str = "INSERT INTO rules (key, value, checksum) VALUES (?1, ?2, ?3)
    ON CONFLICT (key) DO UPDATE SET value = ?2, checksum = ?3";

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::rules::Mute;

    #[test]
    fn what_a_failed_transaction_would_have_changed_counts_as_it_did() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(dir.path(), &SPEC).unwrap();
        database.connection().pragma_update(None, "max_page_count", 10).unwrap();
        let mut turns = Turns::load(database.connection(), &Limits::default()).unwrap();
        let mut turn = |turns: &mut Turns, changes: Vec<Change>| -> Vec<bool> {
            let (jobs, answers): (Vec<_>, Vec<_>) = changes.into_iter().map(job).unzip();
            turns.turn(&mut database, jobs);
            answers.into_iter().map(|mut answer| answer.try_recv().unwrap().is_ok()).collect()
        };
        let user = RoomKey::Direct(UserId::random());
        let kept = row::of_user(&user, &UserRules { delivered: 1, ..UserRules::default() }).unwrap();
        let kept = Change::Keep { key: user.clone(), entries: 0, row: kept };
        assert_eq!(turn(&mut turns, vec![keep("a", &small()), keep("b", &mutes(3)), kept]), [true; 3]);
        let before = turns.held.clone();
        let changes = vec![
            keep("a", &mutes(2)),
            Change::Forget(vec![key("a"), user, key("b")]),
            keep("a", &mutes(1)),
            keep("c", &small()),
            keep("huge", &mutes(1000)),
        ];
        assert_eq!(turn(&mut turns, changes), [false; 5], "all or nothing");
        assert_eq!(turns.held, before);
    }

    #[tokio::test]
    async fn a_full_disk_refuses_rules_keeps_and_counts_what_was_there_and_lets_reads_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { rooms: 3, ..Limits::default() };
        let open = || SqliteRules::open(dir.path(), &limits).unwrap();
        let store = open();
        let pages = |count: u32| move |d: &Database| d.connection().pragma_update(None, "max_page_count", count);
        let (small, large) = (small(), mutes(1000));
        store.keep_room(&room("a"), &small).await.unwrap();
        store.writer.look(pages(10)).await.unwrap();
        for name in ["a", "b", "c", "d"] {
            let full = store.keep_room(&room(name), &large).await;
            assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
        }
        assert_eq!(store.rooms().await.unwrap(), [(room("a"), small.clone())]);
        store.writer.look(pages(1000)).await.unwrap();
        for name in ["b", "c"] {
            store.keep_room(&room(name), &large).await.expect("there is room again, and only one room was counted");
        }
        let full = store.keep_room(&room("d"), &small).await;
        assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
        drop(store);
        let names: Vec<_> = open().rooms().await.unwrap().into_iter().map(|(room, _)| room).collect();
        assert_eq!(names, [room("a"), room("b"), room("c")]);
    }

    fn job(change: Change) -> (Job, oneshot::Receiver<Result<(), StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Job { change, reply }, answer)
    }

    fn keep(name: &str, rules: &RoomRules) -> Change {
        let key = key(name);
        Change::Keep { row: row::of_room(&key, rules).unwrap(), key, entries: rules.entries() }
    }

    fn key(name: &str) -> RoomKey {
        RoomKey::Room(room(name))
    }

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    fn small() -> RoomRules {
        RoomRules { closed: true, ..RoomRules::default() }
    }

    fn mutes(count: usize) -> RoomRules {
        let mute = || Mute { user: UserId::random(), name: "ann".into(), address: None, until: None };
        RoomRules { mutes: std::iter::repeat_with(mute).take(count).collect(), ..RoomRules::default() }
    }
}
