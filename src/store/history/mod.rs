//! What was said in rooms: the trait, the rules that every backend shares, and the backends.

#[cfg(feature = "testing")]
pub(super) mod contract;
#[cfg(feature = "sqlite")]
mod exchange;
mod index;
mod memory;
mod query;
#[cfg(feature = "sqlite")]
mod row;
mod search;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

#[cfg(feature = "sqlite")]
pub use exchange::{ExchangeError, Exported, Imported, export_history, import_history};
pub use index::Known;
pub(crate) use index::{digest, id_key};
pub use memory::MemoryHistory;
pub use query::Query;
pub use search::Finds;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteHistory;

use super::StoreError;
use crate::message::{MessageId, Position, Record, RoomKey, Timestamp, UserId};
use crate::name::RoomName;

/// When a message on disk counts as accepted. (With [`MemoryHistory`] it does at once, and is gone with the process.)
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Durability {
    /// When the operating system has it: survives the end of the process, not that of the machine.
    Os,
    /// When the disk has it: survives a power cut.
    #[default]
    Fsync,
}

/// Which of a room's records to read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Page {
    /// Only records behind this seq, and the oldest of them first.
    pub after: Option<u64>,
    /// Only records before this seq; without `after` the newest of them.
    pub before: Option<u64>,
    /// How many at most; more than [`MAX_PAGE`] means that many.
    pub limit: usize,
}

/// The most records that one page has.
pub const MAX_PAGE: usize = 1000;

/// What may stay of each room. Beyond any bound the oldest goes first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Retention {
    /// How old a record may become.
    pub age: Option<Duration>,
    /// How many records a room may have.
    pub count: Option<u64>,
    /// How many bytes a room's records may have: names, ids and texts, and [`RECORD`](Self::RECORD) for each.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Bytes that a record counts beside its texts.
    pub const RECORD: u64 = 96;

    /// What `record` counts.
    #[must_use]
    pub fn size(record: &Record) -> u64 {
        let id = record.id.as_ref().map_or(0, |id| id.as_str().len());
        Self::RECORD + (record.body.len() + record.from.len() + id) as u64
    }
}

/// What was said, by room.
///
/// A room's order is given by whoever appends: each record carries its `seq` and its `prev`, and is refused where `prev`
/// is not what the room ends with. Appends take effect in the order in which their futures are first polled. What was
/// answered is seen by every later read. Rooms need not be made, they begin with their first record.
///
/// # Cancel safety
/// Dropping a call's future does not undo the call: what was handed over still happens.
#[async_trait]
pub trait HistoryStore: Debug + Send + Sync + 'static {
    /// Appends records, of one room or of several: all of them, or with an error none. Returns when they are as durable
    /// as the store was told to make them.
    ///
    /// # Errors
    /// [`StoreError::Order`] when a record's `prev` is not the seq before it in its room, or its `seq` does not rise;
    /// [`StoreError::Full`] when there is no space on the disk.
    async fn append(&self, records: &[Record]) -> Result<(), StoreError>;

    /// Some of a room's records, the oldest first.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn page(&self, room: &RoomKey, page: &Page) -> Result<Vec<Record>, StoreError>;

    /// Looks in a room, before a seq, for up to `limit` records that a query fits, the newest first.
    ///
    /// As it comes, it looks at the records themselves, at some MiB of them in one call: [`Finds::before`] says where to
    /// go on. A backend that has an index finds the same sooner.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn search(
        &self,
        room: &RoomKey,
        query: &Query,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Finds, StoreError> {
        search::scan(self, room, query, before, limit).await
    }

    /// Where a room ends: the seq of its last record, though retention may have taken it; 0 when it never had one.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn head(&self, room: &RoomKey) -> Result<Position, StoreError>;

    /// The named rooms that have records, with the seq of the last, sorted by name.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn rooms(&self) -> Result<Vec<(RoomName, u64)>, StoreError>;

    /// What a user said under an id less than [`Limits::duplicate_window`](crate::Limits::duplicate_window) ago, though
    /// retention may have taken it.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn find(&self, user: UserId, id: &MessageId, now: Timestamp) -> Result<Option<Known>, StoreError>;

    /// Cuts the oldest of a room, or of each, until it fits; tells how many records went. What is younger than
    /// [`Limits::duplicate_window`](crate::Limits::duplicate_window) stays: its repetition must be recognised, even
    /// after a crash.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn retain(&self, room: Option<&RoomKey>, keep: &Retention, now: Timestamp) -> Result<u64, StoreError>;

    /// Forgets what was said to a user alone, and that anything ever was; tells how many records went.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn forget_direct(&self, user: UserId) -> Result<u64, StoreError>;
}
