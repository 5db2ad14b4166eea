//! Looking for something in what was said, without an index: every record is looked at.

use super::{HistoryStore, Page, Query};
use crate::message::{Record, RoomKey};
use crate::store::StoreError;

/// What a search has found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Finds {
    /// The newest first.
    pub records: Vec<Record>,
    /// Where to go on looking, as the next `before`; `None` when all was looked at. With it there may be fewer records
    /// than were asked for, or none.
    pub before: Option<u64>,
}

/// A search under way, from the newest record to the oldest.
pub(super) struct Search<'a> {
    query: &'a Query,
    limit: usize,
    found: Vec<Record>,
    found_bytes: usize,
    looked: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(query: &'a Query, limit: usize) -> Self {
        Self { query, limit, found: Vec::new(), found_bytes: 0, looked: 0 }
    }

    /// Looks at the next older record; tells whether to go on behind it.
    pub(super) fn look(&mut self, record: Record) -> bool {
        self.looked += record.body.len() + RECORD;
        if self.query.fits(&record.body) {
            self.found_bytes += record.body.len();
            self.found.push(record);
        }
        self.found.len() < self.limit && self.found_bytes < MOST_FOUND && self.looked < MOST_LOOKED
    }

    /// How many were found.
    #[cfg(feature = "sqlite")]
    pub(super) fn found(&self) -> usize {
        self.found.len()
    }

    /// What was found here, and then elsewhere.
    #[cfg(feature = "sqlite")]
    pub(super) fn ended_with(mut self, rest: Finds) -> Finds {
        self.found.extend(rest.records);
        self.ended(rest.before)
    }

    pub(super) fn ended(self, before: Option<u64>) -> Finds {
        Finds { records: self.found, before }
    }
}

/// Looks through a room's records before a seq, a few at a time; at no more than [`MOST_LOOKED`] bytes.
pub(super) async fn scan<S: HistoryStore + ?Sized>(
    store: &S,
    room: &RoomKey,
    query: &Query,
    before: Option<u64>,
    limit: usize,
) -> Result<Finds, StoreError> {
    let mut search = Search::new(query, limit);
    if limit == 0 {
        return Ok(search.ended(before));
    }
    let mut at = before;
    while look_at(store, room, &mut search, &mut at).await? {}
    Ok(search.ended(at))
}

/// Looks at some records before `at`, which moves there, and to `None` at the room's beginning; tells whether to look at
/// those before them.
pub(super) async fn look_at<S: HistoryStore + ?Sized>(
    store: &S,
    room: &RoomKey,
    search: &mut Search<'_>,
    at: &mut Option<u64>,
) -> Result<bool, StoreError> {
    // The others have their turns too.
    tokio::task::yield_now().await;
    let records = store.page(room, &Page { after: None, before: *at, limit: LOOKED_AT_ONCE }).await?;
    if records.is_empty() {
        *at = None;
        return Ok(false);
    }
    for record in records.into_iter().rev() {
        let seq = record.seq;
        *at = Some(seq);
        if !search.look(record) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Records that are read in one piece.
const LOOKED_AT_ONCE: usize = 100;
/// Bytes that one search looks at, counting so many for each record beside its text, and bytes that it finds.
const MOST_LOOKED: usize = 8 << 20;
const RECORD: usize = 256;
const MOST_FOUND: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::message::{Timestamp, UserId};
    use crate::name::RoomName;
    use crate::store::MemoryHistory;

    #[tokio::test]
    async fn one_search_looks_at_some_mib_and_the_next_goes_on_there() {
        let store = MemoryHistory::new(&Limits::default());
        let room = RoomKey::Room(RoomName::global());
        let long = "hay ".repeat(4096);
        for seq in 1..=900 {
            let (at, user, room) = (Timestamp::from_millis(seq), UserId::random(), room.clone());
            let body = if seq == 1 { "a needle".into() } else { (*long).into() };
            let record = Record { room, seq, prev: seq - 1, at, user, from: "ann".into(), id: None, body };
            store.append(&[record]).await.unwrap();
        }
        let query = Query::new("needle");
        let finds = store.search(&room, &query, None, 10).await.unwrap();
        assert!(finds.records.is_empty());
        assert!(finds.before.is_some_and(|before| (380..400).contains(&before)), "{:?}", finds.before);
        let finds = store.search(&room, &query, finds.before, 10).await.unwrap();
        assert_eq!((finds.records.len(), finds.before), (1, None));
        let hay = store.search(&room, &Query::new("hay"), None, 1000).await.unwrap();
        assert_eq!(hay.records.len(), 16, "a quarter of a MiB is enough for one answer");
        assert_eq!(hay.before, Some(885));
    }
}
