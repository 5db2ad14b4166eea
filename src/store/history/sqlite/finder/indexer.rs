//! The thread that fills the index of texts, and keeps it true to the history.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tracing::warn;

use super::super::Index;
use super::super::grams::grams;
use super::{MOST_SEQ, Place, SPEC, Shared, at};
use crate::message::{Epoch, RoomKey};
use crate::store::StoreError;
use crate::store::history::index::Tally;
use crate::store::history::query::folded;
use crate::store::history::row::{self, stored};
use crate::store::sqlite::{Spec, connect, failure, read_only, unavailable};

/// What the thread works with.
pub(super) struct Indexer {
    dir: PathBuf,
    connection: Connection,
    history: Connection,
    index: Arc<RwLock<Index>>,
    shared: Arc<Shared>,
    /// Every room in the file.
    numbers: HashMap<RoomKey, i64>,
    next: i64,
}

/// A room as it stands in the file.
struct Stored {
    place: Place,
    /// The checksum of its last record there.
    sum: i64,
}

/// A room that is not in the index as it is in the history.
struct Behind {
    room: RoomKey,
    place: Place,
    new: bool,
    tally: Tally,
}

impl Indexer {
    /// Opens the index that is there, or makes it anew where that cannot be used.
    pub(super) fn open(
        dir: &Path,
        history: &Spec,
        epoch: &Epoch,
        index: Arc<RwLock<Index>>,
        shared: Arc<Shared>,
    ) -> Result<Self, StoreError> {
        let history = read_only(&dir.join(history.file))?;
        let (connection, rooms) = stored_rooms(dir, epoch, &index).or_else(|error| {
            warn!(%error, "the index of texts is made anew");
            remove(dir).map_err(|e| unavailable("cannot make the index of texts anew", &e))?;
            stored_rooms(dir, epoch, &index)
        })?;
        let next = rooms.values().map(|known| known.place.number).max().unwrap_or(0) + 1;
        let numbers = rooms.iter().map(|(room, known)| (room.clone(), known.place.number)).collect();
        let indexer = Self { dir: dir.to_owned(), connection, history, index, shared, numbers, next };
        let good = rooms.into_iter().filter(|(room, known)| indexer.is_true(room, known));
        let places: HashMap<_, _> = good.map(|(room, known)| (room, known.place)).collect();
        *indexer.shared.change_places() = places;
        Ok(indexer)
    }

    /// Fills it until nobody needs it any more, or it cannot be used any more.
    pub(super) fn work(mut self) {
        if let Err(error) = self.run() {
            // Nobody finds anything in it any more: every search looks at the records themselves.
            warn!(%error, "the index of texts is given up; the next start makes it anew");
            self.shared.change_places().clear();
            let dir = self.dir.clone();
            drop(self);
            let _ = remove(&dir);
        }
    }

    fn run(&mut self) -> Result<(), StoreError> {
        while self.shared.wait()? {
            match self.catch_up() {
                Err(error @ StoreError::Full(_)) => {
                    warn!(%error, "the index of texts stays behind until there is space again");
                }
                done => done?,
            }
        }
        Ok(())
    }

    fn catch_up(&mut self) -> Result<(), StoreError> {
        while self.step().map_err(|e| failure(&e))? {
            if self.shared.waiting().stop {
                break;
            }
        }
        Ok(())
    }

    /// Puts up to [`MOST`] records in and takes up to [`MOST_CUT`] out; tells whether there may be more. With an error
    /// everything is as it was before.
    fn step(&mut self) -> rusqlite::Result<bool> {
        let gone = self.gone();
        let behind = self.behind();
        if gone.is_empty() && behind.is_empty() {
            return Ok(false);
        }
        let (mut left, mut cuts, mut done) = (MOST, MOST_CUT, Vec::new());
        let transaction = self.connection.transaction()?;
        for (_, number) in &gone {
            delete(&transaction, *number, 0, MOST_SEQ)?;
            transaction.prepare_cached("DELETE FROM rooms WHERE number = ?1")?.execute([number])?;
        }
        for mut room in behind {
            if left == 0 {
                break;
            }
            let had = room.place;
            left -= fill(&transaction, &self.history, &mut room, left)?;
            let cut = cut_to(&had, room.tally.cut, cuts);
            if had.cut < cut {
                let upto = cut.min(had.upto);
                cuts -= upto.saturating_sub(had.cut);
                delete(&transaction, had.number, had.cut, upto)?;
                room.place.cut = cut;
                transaction
                    .prepare_cached("UPDATE rooms SET cut = ?2 WHERE number = ?1")?
                    .execute([had.number, stored(cut)])?;
            }
            done.push((room, had));
        }
        transaction.commit()?;
        for (room, _) in gone {
            self.numbers.remove(&room);
        }
        let mut places = self.shared.change_places();
        for (Behind { room, place, .. }, had) in done {
            self.numbers.insert(room.clone(), place.number);
            // Unless it was forgotten meanwhile.
            if let Some(now) = places.get_mut(&room).filter(|now| **now == had) {
                *now = place;
            }
        }
        Ok(true)
    }

    /// Rooms in the file that are not in the history any more, or are others there.
    fn gone(&self) -> Vec<(RoomKey, i64)> {
        let places = self.shared.places();
        let gone = self.numbers.iter().filter(|(room, number)| places.get(room).is_none_or(|p| p.number != **number));
        gone.map(|(room, number)| (room.clone(), *number)).collect()
    }

    /// Rooms of which something is to be done, in the order of the index.
    fn behind(&mut self) -> Vec<Behind> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut places = self.shared.change_places();
        places.retain(|room, _| index.rooms.contains_key(room));
        let (mut behind, mut records) = (Vec::new(), 0);
        for (room, tally) in &index.rooms {
            let known = places.get(room).copied();
            let is_behind = known.map_or(tally.count > 0, |place| place.upto < tally.head || place.cut < tally.cut);
            let number = self.numbers.get(room);
            // What was forgotten under this key is taken out first.
            let waits = number.is_some_and(|number| known.is_none_or(|place| place.number != *number));
            if !is_behind || waits || tally.head > MOST_SEQ || records > MOST as u64 {
                continue;
            }
            let place = known.unwrap_or_else(|| {
                let place = Place { number: self.next, upto: tally.cut, cut: tally.cut };
                self.next += 1;
                places.insert(room.clone(), place);
                place
            });
            records += tally.head - place.upto.max(tally.cut);
            behind.push(Behind { room: room.clone(), place, new: number.is_none(), tally: *tally });
        }
        behind.sort_unstable_by_key(|behind| behind.place.number);
        behind
    }

    /// Whether what the index has of a room comes from the records that are in the history now.
    fn is_true(&self, room: &RoomKey, stored_room: &Stored) -> bool {
        let place = stored_room.place;
        let tally = read(&self.index).rooms.get(room).copied();
        tally.is_some_and(|tally| {
            let sum = || -> rusqlite::Result<Option<i64>> {
                let mut select = self.history.prepare_cached(SUM)?;
                select.query_row(params![room.to_string(), stored(place.upto)], |row| row.get(0)).optional()
            };
            place.upto <= tally.cut || matches!(sum(), Ok(Some(sum)) if sum == stored_room.sum)
        })
    }
}

/// Opens the file and reads what rooms it has; an error when these cannot be those of this history.
fn stored_rooms(
    dir: &Path,
    epoch: &Epoch,
    index: &RwLock<Index>,
) -> Result<(Connection, HashMap<RoomKey, Stored>), StoreError> {
    let connection = connect(dir, &SPEC)?;
    let failed = |e: rusqlite::Error| failure(&e);
    let of: Option<String> =
        connection.query_row("SELECT epoch FROM life", [], |row| row.get(0)).optional().map_err(failed)?;
    match of {
        Some(of) if of == epoch.as_str() => {}
        Some(_) => return Err(StoreError::Damaged("it is of another history".into())),
        None => drop(connection.execute("INSERT INTO life (epoch) VALUES (?1)", [epoch.as_str()]).map_err(failed)?),
    }
    let mut rooms = HashMap::new();
    {
        let known = read(index);
        let mut select = connection.prepare("SELECT number, key, upto, cut, sum FROM rooms").map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (number, key): (i64, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
            let [upto, cut] = [row.get::<_, i64>(2), row.get(3)];
            let [upto, cut] = [upto.map_err(failed)?, cut.map_err(failed)?].map(i64::cast_unsigned);
            let room = row::room(&key)?;
            if known.rooms.get(&room).is_some_and(|tally| tally.head < upto) {
                return Err(StoreError::Damaged(format!("it has more of {room} than there is")));
            }
            let sum = row.get(4).map_err(failed)?;
            rooms.insert(room, Stored { place: Place { number, upto, cut }, sum });
        }
    }
    Ok((connection, rooms))
}

fn read(index: &RwLock<Index>) -> RwLockReadGuard<'_, Index> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}

/// Puts up to `most` records of a room into the index, and says there how far it has come.
fn fill(
    transaction: &Transaction<'_>,
    history: &Connection,
    room: &mut Behind,
    most: usize,
) -> rusqlite::Result<usize> {
    let (number, from) = (room.place.number, room.place.upto.max(room.tally.cut));
    if room.new {
        let mut insert = transaction.prepare_cached("INSERT INTO rooms VALUES (?1, ?2, ?3, ?3, 0)")?;
        insert.execute(params![number, room.room.to_string(), stored(from)])?;
    }
    let mut select = history.prepare_cached(NEXT)?;
    let mut insert = transaction.prepare_cached("INSERT INTO texts (rowid, grams) VALUES (?1, ?2)")?;
    let (mut count, mut upto, mut sum) = (0, from, None);
    while count < most {
        // A few at a time, and all of them before the next is done with any: whoever reads for long keeps the
        // write-ahead log of the history from being emptied.
        let piece = (most - count).min(PIECE);
        let key = room.room.to_string();
        let rows = select.query_map(params![key, stored(upto), stored(piece as u64)], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })?;
        let records = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        for (seq, body, _) in &records {
            insert.execute(params![at(number, *seq), grams(&folded(body))])?;
        }
        count += records.len();
        if let Some((seq, _, last)) = records.last() {
            (upto, sum) = (*seq, Some(*last));
        }
        if records.len() < piece {
            break;
        }
    }
    if sum.is_none() {
        // There are none, or retention has taken them.
        upto = room.tally.head;
    }
    transaction
        .prepare_cached("UPDATE rooms SET upto = ?2, sum = ifnull(?3, sum) WHERE number = ?1")?
        .execute(params![number, stored(upto), sum])?;
    room.place.upto = upto;
    Ok(count)
}

/// Up to which seq a room is to be cut now, where no more than `most` records may be taken out.
fn cut_to(had: &Place, cut: u64, most: u64) -> u64 {
    let here = had.cut.saturating_add(most);
    // Behind what it has there is nothing to take out.
    if cut.min(had.upto) <= here { cut } else { here }
}

/// Takes what is behind one seq, up to another, out of the index.
fn delete(transaction: &Transaction<'_>, number: i64, behind: u64, upto: u64) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM texts WHERE rowid > ?1 AND rowid <= ?2")?;
    delete.execute([at(number, behind), at(number, upto)])?;
    Ok(())
}

fn remove(dir: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        match fs::remove_file(dir.join(format!("{}{end}", SPEC.file))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Records that it takes at once, when so many wait: the more of them, the less each costs.
const MOST: usize = 2048;
/// Seqs that it takes out at once, so that whoever stops it does not wait long.
const MOST_CUT: u64 = 8192;
/// Records that it reads at once.
const PIECE: usize = 64;
const NEXT: &str = "SELECT seq, body, checksum FROM records
    WHERE room = (SELECT number FROM rooms WHERE key = ?1) AND seq > ?2 ORDER BY seq LIMIT ?3";
const SUM: &str = "SELECT checksum FROM records WHERE room = (SELECT number FROM rooms WHERE key = ?1) AND seq = ?2";

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::super::super::SqliteHistory;
    use super::*;
    use crate::limits::Limits;
    use crate::message::{Record, Timestamp, UserId};
    use crate::name::RoomName;
    use crate::store::history::{Durability, HistoryStore};

    #[tokio::test]
    async fn a_full_disk_leaves_the_index_behind_until_there_is_space_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(SPEC.file);
        fs::create_dir_all(file.join("in the way")).unwrap();
        let history = SqliteHistory::open(dir.path(), Durability::Os, &Limits::default()).unwrap();
        assert!(history.finder.is_none(), "the file is for this test");
        fs::remove_dir_all(&file).unwrap();
        let room = RoomKey::Room(RoomName::global());
        let said = |seq: u64| {
            let (at, body) = (Timestamp::from_millis(seq), format!("the {seq}th of many").into());
            let user = UserId::random();
            Record { room: room.clone(), seq, prev: seq - 1, at, user, from: "ann".into(), id: None, body }
        };
        history.append(&(1..=5000).map(said).collect::<Vec<_>>()).await.unwrap();

        let shared = Arc::new(Shared { places: RwLock::default(), waiting: Mutex::default(), wake: Condvar::new() });
        let spec = &super::super::super::SPEC;
        let mut indexer =
            Indexer::open(dir.path(), spec, &history.epoch, history.index.clone(), shared.clone()).unwrap();
        let bound = |indexer: &Indexer, pages: u32| {
            indexer.connection.pragma_update(None, "max_page_count", pages).unwrap();
        };
        let indexed = |indexer: &Indexer| {
            let count = "SELECT count(*) FROM texts_docsize";
            indexer.connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
        };
        bound(&indexer, 20);
        for _ in 0..2 {
            assert!(matches!(indexer.catch_up(), Err(StoreError::Full(_))));
            let upto = shared.places().get(&room).unwrap().upto;
            assert_eq!(indexed(&indexer), upto, "nothing counts as found that is not there");
            assert!(upto < 5000);
        }
        bound(&indexer, 100_000);
        indexer.catch_up().unwrap();
        assert_eq!((indexed(&indexer), shared.places().get(&room).unwrap().upto), (5000, 5000));
        drop(indexer);
        let again = Indexer::open(dir.path(), spec, &history.epoch, history.index.clone(), shared.clone()).unwrap();
        assert_eq!((indexed(&again), shared.places().get(&room).unwrap().upto), (5000, 5000));
    }
}
