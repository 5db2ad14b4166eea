//! The index of what was said, for searches: in a file of its own, made of nothing but the history. It may be thrown
//! away at any time, and is, when anything about it is wrong.
//!
//! A thread of its own fills it, some hundred records at a time and after they were answered, so that no message waits
//! for it. How far it has come in each room is known; what came later is looked at as it is.

mod indexer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use rusqlite::{Connection, params};

use self::indexer::Indexer;
use super::Index;
use crate::message::{Epoch, RoomKey};
use crate::store::StoreError;
use crate::store::history::index::Tally;
use crate::store::history::row::stored;
use crate::store::sqlite::{Readers, Spec, failure, unavailable};

/// Where texts are looked for. Dropping it waits for the piece of work that its thread is at.
pub(super) struct Finder {
    shared: Arc<Shared>,
    readers: Readers,
    thread: Option<JoinHandle<()>>,
    /// How often it was asked.
    #[cfg(test)]
    pub(super) asked: std::sync::atomic::AtomicUsize,
}

/// A room in the index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    number: i64,
    /// The seq up to which its records are there.
    pub(super) upto: u64,
    /// The seq up to which they are not there any more.
    cut: u64,
}

struct Shared {
    places: RwLock<HashMap<RoomKey, Place>>,
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Records that came since the thread last looked.
    records: u64,
    /// What a search found wrong with the index.
    wrong: Option<StoreError>,
    stop: bool,
}

impl Finder {
    /// Opens the index of a history, or makes a new one, and starts to fill it.
    pub(super) fn start(
        dir: &Path,
        history: &Spec,
        epoch: &Epoch,
        index: Arc<RwLock<Index>>,
    ) -> Result<Self, StoreError> {
        // Whatever is missing: the thread looks at once.
        let waiting = Mutex::new(Waiting { records: STEP as u64, ..Waiting::default() });
        let shared = Arc::new(Shared { places: RwLock::default(), waiting, wake: Condvar::new() });
        let indexer = Indexer::open(dir, history, epoch, index, shared.clone())?;
        let readers = Readers::new(dir, &SPEC);
        let thread = std::thread::Builder::new().name("talk-search".into());
        let thread = thread.spawn(move || indexer.work());
        let thread = thread.map_err(|e| unavailable("cannot start the thread of the index of texts", &e))?;
        Ok(Self {
            shared,
            readers,
            thread: Some(thread),
            #[cfg(test)]
            asked: Default::default(),
        })
    }

    /// What tells the thread of changes.
    pub(super) fn bell(&self) -> Bell {
        Bell(self.shared.clone())
    }

    /// Records of these rooms that are not in the index yet.
    pub(super) fn missing(&self, rooms: &HashMap<RoomKey, Tally>) -> u64 {
        let places = self.shared.places();
        let missing = |(room, tally): (&RoomKey, &Tally)| {
            let upto = places.get(room).map_or(tally.cut, |place| place.upto.max(tally.cut));
            tally.count.min(tally.head - upto.min(tally.head))
        };
        rooms.iter().map(missing).sum()
    }

    /// How far a room is in the index.
    pub(super) fn place(&self, room: &RoomKey) -> Option<Place> {
        self.shared.places().get(room).copied()
    }

    /// The seqs of records before another, the newest first, that may hold what has these grams; those that are missing
    /// do not.
    pub(super) async fn candidates(
        &self,
        place: Place,
        wanted: String,
        before: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        #[cfg(test)]
        self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let read = move |connection: &Connection| {
            let rows = || {
                let mut select = connection.prepare_cached(MATCH)?;
                let (first, end) = (at(place.number, 0), at(place.number, before.min(MOST_SEQ)));
                let rows =
                    select.query_map(params![wanted, first, end, stored(limit as u64)], |row| row.get::<_, i64>(0))?;
                rows.map(|row| row.map(|row| row.cast_unsigned() & MOST_SEQ)).collect::<rusqlite::Result<Vec<u64>>>()
            };
            rows().map_err(|e| failure(&e))
        };
        let found = self.readers.read(read).await;
        if let Err(error @ StoreError::Damaged(_)) = &found {
            // Only whoever fills it can give it up.
            self.shared.waiting().wrong = Some(error.clone());
            self.shared.wake.notify_one();
        }
        found
    }
}

impl Drop for Finder {
    fn drop(&mut self) {
        self.shared.waiting().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

/// Whoever changes the history tells of it here.
pub(super) struct Bell(Arc<Shared>);

impl Bell {
    /// So many records have come.
    pub(super) fn came(&self, records: u64) {
        let mut waiting = self.0.waiting();
        waiting.records += records;
        if waiting.records >= STEP as u64 {
            self.0.wake.notify_one();
        }
    }

    /// A room is forgotten. Called with the lock on the history's own index.
    pub(super) fn forgotten(&self, room: &RoomKey) {
        self.0.change_places().remove(room);
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> RwLockReadGuard<'_, HashMap<RoomKey, Place>> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_places(&self) -> RwLockWriteGuard<'_, HashMap<RoomKey, Place>> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is enough to do; false when there is nothing to do any more.
    ///
    /// # Errors
    /// What a search found wrong.
    fn wait(&self) -> Result<bool, StoreError> {
        let idle = |waiting: &mut Waiting| !waiting.stop && waiting.wrong.is_none() && waiting.records < STEP as u64;
        let waiting = self.wake.wait_while(self.waiting(), idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.records = 0;
        let stop = waiting.stop;
        waiting.wrong.take().map_or(Ok(!stop), Err)
    }
}

/// A record's place in the index: the rooms one behind the other.
fn at(number: i64, seq: u64) -> i64 {
    (number << 32) | (seq & MOST_SEQ).cast_signed()
}

const SPEC: Spec = Spec {
    what: "search",
    file: "search.db",
    lock: "history.lock",
    versions: &[SCHEMA],
    synced: false,
    checked: false,
};
/// Records from which on the thread does something.
const STEP: usize = 512;
/// What stays of a record's place for its seq. A room that has more messages is not in the index.
const MOST_SEQ: u64 = u32::MAX as u64;
/// The runs of three are words here, and where in a text they stand is not kept: whoever finds one looks there.
const SCHEMA: &str = "
    CREATE TABLE life (epoch TEXT NOT NULL) STRICT;
    CREATE TABLE rooms (
        number INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        upto INTEGER NOT NULL,
        cut INTEGER NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;
    CREATE VIRTUAL TABLE texts USING fts5(grams, content='', contentless_delete=1, detail=none, tokenize='ascii');
    INSERT INTO texts (texts, rank) VALUES ('automerge', 8);";
const MATCH: &str =
    "SELECT rowid FROM texts WHERE texts MATCH ?1 AND rowid >= ?2 AND rowid < ?3 ORDER BY rowid DESC LIMIT ?4";
