//! A history in SQLite: what was answered is on disk.
//!
//! One thread writes: all that waits, in one transaction (group commit). Where rooms end and which ids came lately is
//! also kept in memory and changed when the transaction stands; pages are read beside the writer. An index of texts
//! follows in a file of its own.

mod finder;
mod grams;
mod turns;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tracing::warn;

use self::finder::Finder;
use self::turns::{Job, STEP, Turns, Work};
use super::index::{Ids, Known, Tally};
use super::row::{self, COLUMNS, stored};
use super::search::{Search, look_at, scan};
use super::{Durability, Finds, HistoryStore, MAX_PAGE, Page, Query, Retention};
use crate::limits::Limits;
use crate::message::{Epoch, MessageId, Position, Record, RoomKey, Timestamp, UserId};
use crate::name::RoomName;
use crate::store::StoreError;
use crate::store::sqlite::{Database, Readers, Spec, SqliteLoad, SqliteSettings, Writer, failure};

/// Records in a directory on disk, which one process at a time may use. The [`Epoch`] stays as long as the data.
///
/// Dropping it waits for what was handed over.
pub struct SqliteHistory {
    epoch: Epoch,
    index: Arc<RwLock<Index>>,
    /// `None`: it cannot be had, and every search looks at the records.
    finder: Option<Finder>,
    /// Closed before the writer, as is the finder; its own end then brings the write-ahead log into the database.
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
        let numbers = load(database.connection(), &mut index).map_err(|error| error.in_file(SPEC.file))?;
        let next = numbers.values().max().map_or(1, |most| most + 1);
        let index = Arc::new(RwLock::new(index));
        let finder = Finder::start(dir, &spec, &epoch, index.clone());
        let finder = finder.inspect_err(|error| warn!(%error, "searches go without an index of texts")).ok();
        let bell = finder.as_ref().map(Finder::bell);
        let mut turns = Turns { index: index.clone(), numbers, next, window: limits.duplicate_window, bell };
        let turn = move |database: &mut Database, jobs| turns.turn(database, jobs);
        let writer = Writer::start(database, limits.store_queue, turn)?;
        Ok(Self { epoch, index, finder, readers: Readers::new(dir, &spec), writer })
    }

    /// Reads and checks everything in a directory, as [`open`](Self::open) does, and closes it.
    pub(in crate::store) fn check(dir: &Path, limits: &Limits) -> Result<(), StoreError> {
        let database = Database::open(dir, &SPEC)?;
        let loaded = load(database.connection(), &mut Index { rooms: HashMap::new(), ids: Ids::new(limits) });
        loaded.map_err(|error| error.in_file(SPEC.file)).map(drop)
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

    /// How many records a search has to look at, because the index of texts does not have them yet. It takes a few
    /// hundred at a time, so that usually some are missing. `None` when there is no index.
    #[must_use]
    pub fn unindexed(&self) -> Option<u64> {
        let index = self.index();
        self.finder.as_ref().map(|finder| finder.missing(&index.rooms))
    }

    /// The records of some seqs, as far as they are there.
    async fn records(&self, room: &RoomKey, seqs: Vec<u64>) -> Result<Vec<Record>, StoreError> {
        let room = room.clone();
        let read = move |connection: &Connection| {
            let failed = |e: rusqlite::Error| failure(&e);
            let mut select = connection.prepare_cached(ONE).map_err(failed)?;
            let mut records = Vec::with_capacity(seqs.len());
            for seq in seqs {
                let mut rows = select.query(params![room.to_string(), stored(seq)]).map_err(failed)?;
                if let Some(row) = rows.next().map_err(failed)? {
                    records.push(row::read(&room, row)?);
                }
            }
            Ok(records)
        };
        self.readers.read(read).await
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

    async fn search(
        &self,
        room: &RoomKey,
        query: &Query,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Finds, StoreError> {
        let place = self.finder.as_ref().and_then(|finder| Some((finder, finder.place(room)?)));
        let (Some((finder, place)), Some(wanted), 1..) = (place, grams::wanted(query.pieces()), limit) else {
            return scan(self, room, query, before, limit).await;
        };
        let mut search = Search::new(query, limit);
        let mut at = before;
        // What the index does not have yet; and always a little: what is often said is found there.
        loop {
            if !look_at(self, room, &mut search, &mut at).await? {
                return Ok(search.ended(at));
            }
            if at.is_some_and(|at| at <= place.upto.saturating_add(1)) {
                break;
            }
        }
        let mut most = CANDIDATES;
        while let Some(before) = at {
            let seqs = match finder.candidates(place, wanted.clone(), before, most).await {
                Ok(seqs) => seqs,
                Err(error) => {
                    warn!(%room, %error, "the index of texts does not answer");
                    let rest = scan(self, room, query, at, limit - search.found()).await?;
                    return Ok(search.ended_with(rest));
                }
            };
            at = seqs.last().copied().filter(|_| seqs.len() == most);
            // Each time the index goes through all that is newer. Where few candidates fit, it is not asked often.
            most = (most * MORE).min(MOST_CANDIDATES);
            for some in seqs.chunks(CANDIDATES) {
                for record in self.records(room, some.to_vec()).await? {
                    let seq = record.seq;
                    if !search.look(record) {
                        return Ok(search.ended(Some(seq)));
                    }
                }
            }
        }
        Ok(search.ended(None))
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

pub(super) struct Index {
    pub(super) rooms: HashMap<RoomKey, Tally>,
    pub(super) ids: Ids,
}

pub(super) fn epoch(database: &mut Database) -> Result<Epoch, StoreError> {
    let select = |c: &Connection| c.query_row("SELECT epoch FROM life", [], |row| row.get::<_, String>(0)).optional();
    let found = select(database.connection()).map_err(|e| failure(&e).in_file(SPEC.file))?;
    if let Some(epoch) = found {
        let nonsense = |e| StoreError::Damaged(format!("the epoch makes no sense: {e}")).in_file(SPEC.file);
        return Epoch::new(&epoch).map_err(nonsense);
    }
    let epoch = Epoch::random();
    database.write(|transaction| transaction.execute("INSERT INTO life (epoch) VALUES (?1)", [epoch.as_str()]))?;
    Ok(epoch)
}

/// Reads and checks everything; tells what the rooms are called in rows.
pub(super) fn load(connection: &Connection, index: &mut Index) -> Result<HashMap<RoomKey, i64>, StoreError> {
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

pub(super) const SPEC: Spec = Spec {
    what: "history",
    file: "history.db",
    lock: "history.lock",
    versions: &[SCHEMA],
    synced: true,
    checked: true,
};
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
/// Candidates that a search asks the index for at first, and records that it reads in one piece.
const CANDIDATES: usize = 64;
/// How many times as many it asks for each further time, and the most: half of what one search can look at.
const MORE: usize = 16;
const MOST_CANDIDATES: usize = 16_384;
const ONE: &str = "SELECT seq, prev, at, user, name, client, body, checksum FROM records
    WHERE room = (SELECT number FROM rooms WHERE key = ?1) AND seq = ?2";
#[cfg(test)]
mod tests {
    use super::turns::OLDEST;
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
