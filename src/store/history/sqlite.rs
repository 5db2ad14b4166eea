//! A history in SQLite: what was answered is on disk.
//!
//! One thread writes: all that waits, in one transaction (group commit). Where rooms end and which ids came lately is
//! also kept in memory and changed when the transaction stands; pages are read beside the writer.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::index::{Ids, Known, Tally};
use super::row::{self, COLUMNS};
use super::{Durability, HistoryStore, MAX_PAGE, Page, Retention};
use crate::limits::Limits;
use crate::message::{Epoch, MessageId, Position, Record, RoomKey, Timestamp, UserId};
use crate::name::RoomName;
use crate::store::StoreError;
use crate::store::sqlite::{Database, Readers, Reply, Spec, SqliteLoad, SqliteSettings, Writer, failure};

/// Records in a directory on disk, which one process at a time may use. The [`Epoch`] stays as long as the data.
///
/// Dropping it waits for what was handed over.
pub struct SqliteHistory {
    epoch: Epoch,
    index: Arc<RwLock<Index>>,
    /// Closed before the writer, whose own end then brings the write-ahead log into the database.
    readers: Readers,
    writer: Writer<Job>,
}

impl SqliteHistory {
    /// Opens the history in a directory, which is made (readable by its owner alone) when it is missing.
    ///
    /// It blocks for as long as reading and checking every record takes: some tenths of a second per 100,000.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process, or this one, has it open; [`StoreError::Damaged`] when the file, a
    /// record's checksum or the order of a room is broken, naming the room and the seq where it can;
    /// [`StoreError::Unavailable`] when it cannot be opened or made.
    pub fn open(dir: &Path, durability: Durability, limits: &Limits) -> Result<Self, StoreError> {
        let spec = Spec { synced: durability == Durability::Fsync, ..SPEC };
        let mut database = Database::open(dir, &spec)?;
        let epoch = epoch(&mut database)?;
        let mut index = Index { rooms: HashMap::new(), ids: Ids::new(limits) };
        let numbers = load(database.connection(), &mut index)?;
        let next = numbers.values().max().map_or(1, |most| most + 1);
        let index = Arc::new(RwLock::new(index));
        let mut turns = Turns { index: index.clone(), numbers, next, window: limits.duplicate_window };
        let turn = move |database: &mut Database, jobs| turns.turn(database, jobs);
        let writer = Writer::start(database, limits.store_queue, turn)?;
        Ok(Self { epoch, index, readers: Readers::new(dir, &spec), writer })
    }

    /// Asks the writer's own connection how durable its commits are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn settings(&self) -> Result<SqliteSettings, StoreError> {
        self.writer.look(Database::settings).await
    }

    /// How its writing goes, now and since it was opened.
    #[must_use]
    pub fn load(&self) -> SqliteLoad {
        self.writer.load()
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl HistoryStore for SqliteHistory {
    async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        let storable = |number: u64| i64::try_from(number).is_ok();
        if let Some(record) = records.iter().find(|r| !storable(r.seq) || !storable(r.at.as_millis())) {
            return Err(StoreError::Order(format!("{} is past the end of what can be kept", record.seq)));
        }
        // Here and not on the one thread that everybody waits for.
        let records = records.iter().map(|record| (record.clone(), row::checksum(record))).collect();
        self.writer.ask(|reply| Job { work: Work::Append(records), reply }).await.map(drop)
    }

    async fn page(&self, room: &RoomKey, page: &Page) -> Result<Vec<Record>, StoreError> {
        let (room, page) = (room.clone(), *page);
        self.readers.read(move |connection| read_page(connection, &room, &page)).await
    }

    async fn head(&self, room: &RoomKey) -> Result<Position, StoreError> {
        let seq = self.index().rooms.get(room).map_or(0, |tally| tally.head);
        Ok(Position { epoch: self.epoch.clone(), seq })
    }

    async fn rooms(&self) -> Result<Vec<(RoomName, u64)>, StoreError> {
        let index = self.index();
        let named = index.rooms.iter().filter_map(|(key, tally)| match key {
            RoomKey::Room(name) if tally.count > 0 => Some((name.clone(), tally.head)),
            _ => None,
        });
        let mut rooms: Vec<_> = named.collect();
        rooms.sort_unstable();
        Ok(rooms)
    }

    async fn find(&self, user: UserId, id: &MessageId, now: Timestamp) -> Result<Option<Known>, StoreError> {
        Ok(self.index().ids.find(user, id, now))
    }

    async fn retain(&self, room: Option<&RoomKey>, keep: &Retention, now: Timestamp) -> Result<u64, StoreError> {
        let rooms: Vec<RoomKey> = match room {
            Some(room) => vec![room.clone()],
            None => self.index().rooms.keys().cloned().collect(),
        };
        let mut gone = 0;
        for room in rooms {
            loop {
                let work = Work::Retain { room: room.clone(), keep: *keep, now };
                let step = self.writer.ask(|reply| Job { work, reply }).await?;
                gone += step;
                if step < STEP {
                    break;
                }
            }
        }
        Ok(gone)
    }

    async fn forget_direct(&self, user: UserId) -> Result<u64, StoreError> {
        self.writer.ask(|reply| Job { work: Work::Forget(RoomKey::Direct(user)), reply }).await
    }
}

impl fmt::Debug for SqliteHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteHistory").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

struct Index {
    rooms: HashMap<RoomKey, Tally>,
    ids: Ids,
}

struct Job {
    work: Work,
    /// How many records went, where some did.
    reply: Reply<u64>,
}

enum Work {
    Append(Vec<(Record, i64)>),
    Retain { room: RoomKey, keep: Retention, now: Timestamp },
    Forget(RoomKey),
}

/// What the thread that writes keeps from one transaction to the next.
struct Turns {
    index: Arc<RwLock<Index>>,
    /// What each room is called in the rows of its records.
    numbers: HashMap<RoomKey, i64>,
    next: i64,
    window: Duration,
}

/// What a transaction leaves; dropped when it fails.
#[derive(Default)]
struct Plan {
    /// `None`: the room is forgotten.
    rooms: HashMap<RoomKey, Option<Tally>>,
    numbers: HashMap<RoomKey, i64>,
    next: i64,
}

impl Turns {
    /// Everything that waits, in one transaction.
    fn turn(&mut self, database: &mut Database, jobs: Vec<Job>) {
        let mut plan = Plan { next: self.next, ..Plan::default() };
        let mut outcomes = Vec::with_capacity(jobs.len());
        let written = database.write(|transaction| {
            for job in &jobs {
                outcomes.push(match &job.work {
                    Work::Append(records) => self.append(&mut plan, transaction, records)?,
                    Work::Retain { room, keep, now } => Ok(self.cut(&mut plan, transaction, room, keep, *now)?),
                    Work::Forget(room) => Ok(self.forget(&mut plan, transaction, room)?),
                });
            }
            Ok(())
        });
        if let Err(error) = written {
            // Even a refusal may have been decided by a record that now never came.
            jobs.into_iter().for_each(|job| drop(job.reply.send(Err(error.clone()))));
            return;
        }
        self.apply(plan, jobs.iter().zip(&outcomes));
        jobs.into_iter().zip(outcomes).for_each(|(job, outcome)| drop(job.reply.send(outcome)));
    }

    fn apply<'a>(&mut self, plan: Plan, done: impl Iterator<Item = (&'a Job, &'a Result<u64, StoreError>)>) {
        self.next = plan.next;
        self.numbers.extend(plan.numbers);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for (job, outcome) in done {
            if let (Work::Append(records), Ok(_)) = (&job.work, outcome) {
                records.iter().for_each(|(record, _)| index.ids.learn(record));
            }
        }
        for (room, tally) in plan.rooms {
            match tally {
                Some(tally) => drop(index.rooms.insert(room, tally)),
                None => {
                    index.rooms.remove(&room);
                    self.numbers.remove(&room);
                }
            }
        }
    }

    /// The outer error is the whole transaction's, the inner one these records'.
    fn append(
        &self,
        plan: &mut Plan,
        transaction: &Transaction<'_>,
        records: &[(Record, i64)],
    ) -> rusqlite::Result<Result<u64, StoreError>> {
        let mut tallies: Vec<(&RoomKey, Tally)> = Vec::new();
        for (record, _) in records {
            let at = tallies.iter().position(|(room, _)| **room == record.room);
            let at = at.unwrap_or_else(|| {
                tallies.push((&record.room, self.tally(plan, &record.room).unwrap_or_default()));
                tallies.len() - 1
            });
            if let Err(error) = tallies[at].1.take(record) {
                return Ok(Err(error));
            }
        }
        let mut insert = transaction.prepare_cached(INSERT)?;
        for (record, checksum) in records {
            insert.execute(params![
                self.number(plan, transaction, &record.room)?,
                stored(record.seq),
                stored(record.prev),
                stored(record.at.as_millis()),
                record.user.as_bytes(),
                &*record.from,
                record.id.as_ref().map(MessageId::as_str),
                &*record.body,
                checksum,
            ])?;
        }
        plan.rooms.extend(tallies.into_iter().map(|(room, tally)| (room.clone(), Some(tally))));
        Ok(Ok(0))
    }

    /// Cuts up to [`STEP`] records.
    fn cut(
        &self,
        plan: &mut Plan,
        transaction: &Transaction<'_>,
        room: &RoomKey,
        keep: &Retention,
        now: Timestamp,
    ) -> rusqlite::Result<u64> {
        let Some(mut tally) = self.tally(plan, room) else { return Ok(0) };
        let number = self.number(plan, transaction, room)?;
        let mut gone = 0;
        {
            let mut oldest = transaction.prepare_cached(OLDEST)?;
            let mut rows = oldest.query(params![number, stored(STEP)])?;
            while let Some(row) = rows.next()? {
                let [seq, at, size] = [row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?].map(i64::cast_unsigned);
                if !tally.must_cut(Timestamp::from_millis(at), keep, self.window, now) {
                    break;
                }
                tally.cut(seq, size);
                gone += 1;
            }
        }
        if gone > 0 {
            let cut = stored(tally.cut);
            transaction.prepare_cached("DELETE FROM records WHERE room = ?1 AND seq <= ?2")?.execute([number, cut])?;
            transaction.prepare_cached("UPDATE rooms SET cut = ?2 WHERE number = ?1")?.execute([number, cut])?;
            plan.rooms.insert(room.clone(), Some(tally));
        }
        Ok(gone)
    }

    fn forget(&self, plan: &mut Plan, transaction: &Transaction<'_>, room: &RoomKey) -> rusqlite::Result<u64> {
        let Some(tally) = self.tally(plan, room) else { return Ok(0) };
        let number = self.number(plan, transaction, room)?;
        transaction.execute("DELETE FROM records WHERE room = ?1", [number])?;
        transaction.execute("DELETE FROM rooms WHERE number = ?1", [number])?;
        plan.numbers.remove(room);
        plan.rooms.insert(room.clone(), None);
        Ok(tally.count)
    }

    fn tally(&self, plan: &Plan, room: &RoomKey) -> Option<Tally> {
        match plan.rooms.get(room) {
            Some(planned) => *planned,
            None => self.index.read().unwrap_or_else(PoisonError::into_inner).rooms.get(room).copied(),
        }
    }

    /// What the room is called in rows; a new one gets its row first.
    fn number(&self, plan: &mut Plan, transaction: &Transaction<'_>, room: &RoomKey) -> rusqlite::Result<i64> {
        if let Some(number) = plan.numbers.get(room) {
            return Ok(*number);
        }
        let forgotten = matches!(plan.rooms.get(room), Some(None));
        if let Some(number) = self.numbers.get(room).filter(|_| !forgotten) {
            return Ok(*number);
        }
        let number = plan.next;
        let mut insert = transaction.prepare_cached("INSERT INTO rooms (number, key, cut) VALUES (?1, ?2, 0)")?;
        insert.execute(params![number, room.to_string()])?;
        plan.next += 1;
        plan.numbers.insert(room.clone(), number);
        Ok(number)
    }
}

fn epoch(database: &mut Database) -> Result<Epoch, StoreError> {
    let select = |c: &Connection| c.query_row("SELECT epoch FROM life", [], |row| row.get::<_, String>(0)).optional();
    let found = select(database.connection()).map_err(|e| failure(&e))?;
    if let Some(epoch) = found {
        return Epoch::new(&epoch).map_err(|e| StoreError::Damaged(format!("the epoch makes no sense: {e}")));
    }
    let epoch = Epoch::random();
    database.write(|transaction| transaction.execute("INSERT INTO life (epoch) VALUES (?1)", [epoch.as_str()]))?;
    Ok(epoch)
}

/// Reads and checks everything; tells what the rooms are called in rows.
fn load(connection: &Connection, index: &mut Index) -> Result<HashMap<RoomKey, i64>, StoreError> {
    let failed = |e: rusqlite::Error| failure(&e);
    let mut rooms = HashMap::new();
    let mut select = connection.prepare("SELECT number, key, cut FROM rooms").map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let key: String = row.get(1).map_err(failed)?;
        let cut = u64::try_from(row.get::<_, i64>(2).map_err(failed)?)
            .map_err(|_| StoreError::Damaged(format!("room {key} was cut where nothing can be")))?;
        let tally = Tally { head: cut, cut, ..Tally::default() };
        rooms.insert(row.get::<_, i64>(0).map_err(failed)?, (row::room(&key)?, tally));
    }
    let latest: Option<i64> =
        connection.query_row("SELECT max(at) FROM records", [], |row| row.get(0)).map_err(failed)?;
    let latest = Timestamp::from_millis(latest.map_or(0, i64::cast_unsigned));
    let mut lately = Vec::new();
    let mut read = 0;
    // By the index, so that a damage there is found too.
    let sql = format!("SELECT {COLUMNS}, room FROM records ORDER BY room, seq");
    let mut select = connection.prepare(&sql).map_err(failed)?;
    let mut rows = select.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let number: i64 = row.get(8).map_err(failed)?;
        let (room, tally) =
            rooms.get_mut(&number).ok_or_else(|| StoreError::Damaged(format!("room number {number} is unknown")))?;
        let record = row::read(room, row)?;
        tally.take(&record).map_err(|_| {
            let what = format!("it follows {} where the one before it is {}", record.prev, tally.head);
            StoreError::Damaged(format!("room {room}, seq {}: {what}", record.seq))
        })?;
        read += 1;
        if record.id.is_some() && latest < record.at.after(index.ids.window()) {
            lately.push(record);
        }
    }
    let all: i64 =
        connection.query_row("SELECT count(*) FROM records NOT INDEXED", [], |row| row.get(0)).map_err(failed)?;
    if all != read {
        return Err(StoreError::Damaged(format!("{all} records are there, and {read} of them are found")));
    }
    lately.sort_by_key(|record| record.at);
    lately.iter().for_each(|record| index.ids.learn(record));
    let numbers = rooms.iter().map(|(number, (room, _))| (room.clone(), *number)).collect();
    index.rooms = rooms.into_values().collect();
    Ok(numbers)
}

fn read_page(connection: &Connection, room: &RoomKey, page: &Page) -> Result<Vec<Record>, StoreError> {
    let failed = |e: rusqlite::Error| failure(&e);
    let forward = page.after.is_some();
    let order = if forward { "ASC" } else { "DESC" };
    let sql = format!(
        "SELECT {COLUMNS} FROM records WHERE room = (SELECT number FROM rooms WHERE key = ?1)
         AND seq > ?2 AND seq < ?3 ORDER BY seq {order} LIMIT ?4"
    );
    let mut select = connection.prepare_cached(&sql).map_err(failed)?;
    let (after, before) = (page.after.unwrap_or(0), page.before.unwrap_or(u64::MAX));
    let limit = stored(page.limit.min(MAX_PAGE) as u64);
    let mut rows = select.query(params![room.to_string(), stored(after), stored(before), limit]).map_err(failed)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        records.push(row::read(room, row)?);
    }
    if !forward {
        records.reverse();
    }
    Ok(records)
}

/// As SQLite counts. Nothing is stored that does not fit.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const SPEC: Spec =
    Spec { what: "history", file: "history.db", lock: "history.lock", versions: &[SCHEMA], synced: true };
/// Records that one transaction cuts at most from a room, so that nobody waits long behind it.
const STEP: u64 = 1000;
const SCHEMA: &str = "
    CREATE TABLE life (epoch TEXT NOT NULL) STRICT;
    CREATE TABLE rooms (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, cut INTEGER NOT NULL) STRICT;
    CREATE TABLE records (
        room INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        prev INTEGER NOT NULL,
        at INTEGER NOT NULL,
        user BLOB NOT NULL,
        name TEXT NOT NULL,
        client TEXT,
        body TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        UNIQUE (room, seq)
    ) STRICT;";
const INSERT: &str = "INSERT INTO records (room, seq, prev, at, user, name, client, body, checksum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
/// What a record counts is said in [`Retention::size`].
const OLDEST: &str = "SELECT seq, at, 96 + octet_length(body) + octet_length(name) + ifnull(octet_length(client), 0)
    FROM records WHERE room = ?1 ORDER BY seq LIMIT ?2";

#[cfg(test)]
mod tests {
    use super::*;

    fn said(seq: u64, body: &str) -> Record {
        Record {
            room: RoomKey::Room(RoomName::global()),
            seq,
            prev: seq - 1,
            at: Timestamp::from_millis(seq),
            user: UserId::random(),
            from: "änn".into(),
            id: Some(MessageId::random()),
            body: body.into(),
        }
    }

    #[tokio::test]
    async fn a_full_disk_refuses_records_keeps_what_was_accepted_and_lets_reads_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let open = || SqliteHistory::open(dir.path(), Durability::Fsync, &Limits::default()).unwrap();
        let history = open();
        let pages = |count: u32| move |d: &Database| d.connection().pragma_update(None, "max_page_count", count);
        history.writer.look(pages(20)).await.unwrap();
        let mut head = 0;
        let full = loop {
            match history.append(&[said(head + 1, &"x".repeat(1000))]).await {
                Ok(()) => head += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, StoreError::Full(_)), "{full:?}");
        let room = RoomKey::Room(RoomName::global());
        assert_eq!(history.head(&room).await.unwrap().seq, head);
        let all = Page { limit: MAX_PAGE, ..Page::default() };
        assert_eq!(history.page(&room, &all).await.unwrap().len() as u64, head);
        history.writer.look(pages(1000)).await.unwrap();
        history.append(&[said(head + 1, "there is room again")]).await.unwrap();
        drop(history);
        assert_eq!(open().page(&room, &all).await.unwrap().len() as u64, head + 1);
    }

    #[tokio::test]
    async fn what_sqlite_counts_is_what_a_record_counts() {
        let dir = tempfile::tempdir().unwrap();
        let history = SqliteHistory::open(dir.path(), Durability::Os, &Limits::default()).unwrap();
        let record = said(1, "größer\n✓");
        history.append(std::slice::from_ref(&record)).await.unwrap();
        let size = |d: &Database| d.connection().query_row(OLDEST, [1, 1], |row| row.get::<_, i64>(2));
        let size = history.writer.look(size).await.unwrap();
        assert_eq!(size.cast_unsigned(), Retention::size(&record));
    }

    #[tokio::test]
    async fn a_checkpoint_empties_a_long_log_between_the_commits() {
        let dir = tempfile::tempdir().unwrap();
        let history = SqliteHistory::open(dir.path(), Durability::Os, &Limits::default()).unwrap();
        for seq in 1..=1000 {
            history.append(&[said(seq, &"x".repeat(8000))]).await.unwrap();
        }
        let log = std::fs::metadata(dir.path().join("history.db-wal")).unwrap().len();
        let data = std::fs::metadata(dir.path().join("history.db")).unwrap().len();
        assert!(log < 8_000_000, "{log}");
        assert!(data > 4_000_000, "{data}");
    }
}
