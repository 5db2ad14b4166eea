//! A history in memory: bounded, and gone with the process.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::index::{Ids, Known, Tally};
use super::{HistoryStore, MAX_PAGE, Page, Retention};
use crate::limits::Limits;
use crate::message::{Epoch, MessageId, Position, Record, RoomKey, Timestamp, UserId};
use crate::name::RoomName;
use crate::store::StoreError;

/// Records in memory: gone with the process, which is why each has an [`Epoch`] of its own. It bounds itself: beyond
/// [`Limits::history_count`] or [`Limits::history_bytes`] of a room its oldest go, beyond [`Limits::history_total`] the
/// oldest of all.
pub struct MemoryHistory {
    epoch: Epoch,
    keep: Retention,
    total: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    rooms: HashMap<RoomKey, Room>,
    ids: Ids,
    /// Every record in the order in which they came; and some that are gone.
    arrivals: VecDeque<(RoomKey, u64)>,
    count: usize,
    bytes: u64,
}

#[derive(Default)]
struct Room {
    tally: Tally,
    records: VecDeque<Record>,
}

impl MemoryHistory {
    /// An empty history.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let keep = Retention { age: None, count: Some(limits.history_count), bytes: Some(limits.history_bytes) };
        let inner =
            Inner { rooms: HashMap::new(), ids: Ids::new(limits), arrivals: VecDeque::new(), count: 0, bytes: 0 };
        Self { epoch: Epoch::random(), keep, total: limits.history_total, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryHistory {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl fmt::Debug for MemoryHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHistory").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[async_trait]
impl HistoryStore for MemoryHistory {
    async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let mut planned: HashMap<&RoomKey, Tally> = HashMap::new();
        for record in records {
            let now = || inner.rooms.get(&record.room).map(|room| room.tally).unwrap_or_default();
            planned.entry(&record.room).or_insert_with(now).take(record)?;
        }
        for record in records {
            inner.push(record, &self.keep)?;
        }
        inner.bound(self.total);
        Ok(())
    }

    async fn page(&self, room: &RoomKey, page: &Page) -> Result<Vec<Record>, StoreError> {
        let inner = self.inner();
        let Some(room) = inner.rooms.get(room) else { return Ok(Vec::new()) };
        let records = &room.records;
        let from = page.after.map_or(0, |after| records.partition_point(|record| record.seq <= after));
        let to = page.before.map_or(records.len(), |before| records.partition_point(|record| record.seq < before));
        let limit = page.limit.min(MAX_PAGE);
        let range = if page.after.is_some() {
            from..to.min(from.saturating_add(limit)).max(from)
        } else {
            to.saturating_sub(limit)..to
        };
        Ok(records.range(range).cloned().collect())
    }

    async fn head(&self, room: &RoomKey) -> Result<Position, StoreError> {
        let seq = self.inner().rooms.get(room).map_or(0, |room| room.tally.head);
        Ok(Position { epoch: self.epoch.clone(), seq })
    }

    async fn rooms(&self) -> Result<Vec<(RoomName, u64)>, StoreError> {
        let inner = self.inner();
        let named = inner.rooms.iter().filter_map(|(key, room)| match key {
            RoomKey::Room(name) if room.tally.count > 0 => Some((name.clone(), room.tally.head)),
            _ => None,
        });
        let mut rooms: Vec<_> = named.collect();
        rooms.sort_unstable();
        Ok(rooms)
    }

    async fn find(&self, user: UserId, id: &MessageId, now: Timestamp) -> Result<Option<Known>, StoreError> {
        Ok(self.inner().ids.find(user, id, now))
    }

    async fn retain(&self, room: Option<&RoomKey>, keep: &Retention, now: Timestamp) -> Result<u64, StoreError> {
        let mut inner = self.inner();
        let keys: Vec<RoomKey> = match room {
            Some(room) => vec![room.clone()],
            None => inner.rooms.keys().cloned().collect(),
        };
        let window = inner.ids.window();
        let mut gone = 0;
        for key in keys {
            let goes = |room: &Room| {
                let oldest = room.records.front();
                oldest.is_some_and(|oldest| room.tally.must_cut(oldest.at, keep, window, now))
            };
            while inner.rooms.get(&key).is_some_and(goes) {
                inner.cut(&key);
                gone += 1;
            }
        }
        Ok(gone)
    }

    async fn forget_direct(&self, user: UserId) -> Result<u64, StoreError> {
        let mut inner = self.inner();
        let Some(room) = inner.rooms.remove(&RoomKey::Direct(user)) else { return Ok(0) };
        inner.count -= room.records.len();
        inner.bytes -= room.tally.bytes;
        inner.compact();
        Ok(room.tally.count)
    }
}

impl Inner {
    fn push(&mut self, record: &Record, keep: &Retention) -> Result<(), StoreError> {
        let room = self.rooms.entry(record.room.clone()).or_default();
        room.tally.take(record)?;
        room.records.push_back(record.clone());
        self.count += 1;
        self.bytes += Retention::size(record);
        self.arrivals.push_back((record.room.clone(), record.seq));
        self.ids.learn(record);
        while self.rooms.get(&record.room).is_some_and(|room| room.tally.is_over(keep)) {
            self.cut(&record.room);
        }
        Ok(())
    }

    /// Takes a room's oldest record out.
    fn cut(&mut self, key: &RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let Some(oldest) = room.records.pop_front() else { return };
        let size = Retention::size(&oldest);
        room.tally.cut(oldest.seq, size);
        self.count -= 1;
        self.bytes -= size;
        self.compact();
    }

    fn bound(&mut self, total: u64) {
        while self.bytes > total {
            let Some((key, seq)) = self.arrivals.pop_front() else { return };
            if self.holds(&key, seq) {
                self.cut(&key);
            }
        }
    }

    /// Drops the traces of what is gone once they are more than half.
    fn compact(&mut self) {
        if self.arrivals.len() > 2 * self.count + 1024 {
            let arrivals = std::mem::take(&mut self.arrivals);
            self.arrivals = arrivals.into_iter().filter(|(key, seq)| self.holds(key, *seq)).collect();
        }
    }

    fn holds(&self, key: &RoomKey, seq: u64) -> bool {
        self.rooms.get(key).is_some_and(|room| seq > room.tally.cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(room: &str, seq: u64, body: &str) -> Record {
        Record {
            room: RoomKey::Room(RoomName::new(room).unwrap()),
            seq,
            prev: seq - 1,
            at: Timestamp::from_millis(seq),
            user: UserId::random(),
            from: "ann".into(),
            id: None,
            body: body.into(),
        }
    }

    #[tokio::test]
    async fn a_room_is_bounded_by_count_and_bytes_and_all_together_by_bytes() {
        let mut limits = Limits::default();
        (limits.history_count, limits.history_bytes, limits.history_total) = (10, 2000, 2900);
        let history = MemoryHistory::new(&limits);
        history.append(&[said("quiet", 1, "first of all")]).await.unwrap();
        let all = Page { limit: 1000, ..Page::default() };
        for seq in 1..=5000 {
            history.append(&[said("a", seq, "short")]).await.unwrap();
            let inner = history.inner();
            assert!(inner.arrivals.len() <= 2 * inner.count + 1025, "{}", inner.arrivals.len());
        }
        let a = history.page(&said("a", 1, "").room, &all).await.unwrap();
        assert_eq!((a.len(), a[0].seq, a[0].prev), (10, 4991, 4990));
        for seq in 1..=10 {
            history.append(&[said("b", seq, &"x".repeat(500))]).await.unwrap();
        }
        let b = history.page(&said("b", 1, "").room, &all).await.unwrap();
        assert_eq!((b.len(), b[0].seq), (3, 8));
        assert!(history.page(&said("quiet", 1, "").room, &all).await.unwrap().is_empty(), "the oldest of all");
        let inner = history.inner();
        assert!(inner.bytes <= 2900, "{}", inner.bytes);
        assert_eq!(inner.count, inner.rooms.values().map(|room| room.records.len()).sum::<usize>());
        assert_eq!(inner.bytes, inner.rooms.values().map(|room| room.tally.bytes).sum::<u64>());
    }
}
