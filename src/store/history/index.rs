//! The rules of a history, and what is known of it without reading it: where rooms end, and which ids came lately.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Retention;
use crate::limits::Limits;
use crate::message::{MessageId, Record, RoomKey, Timestamp, UserId};
use crate::store::StoreError;

/// One room's end and size.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    /// The seq of its last record.
    pub(super) head: u64,
    /// The last seq that retention took: the `prev` of the oldest record that is left.
    pub(super) cut: u64,
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl Tally {
    /// Takes a record in, if it follows.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), StoreError> {
        if record.prev != self.head || record.seq <= self.head {
            let (room, seq, prev, head) = (&record.room, record.seq, record.prev, self.head);
            return Err(StoreError::Order(format!("room {room} ends with {head}; {seq} claims to follow {prev}")));
        }
        self.head = record.seq;
        self.count += 1;
        self.bytes += Retention::size(record);
        Ok(())
    }

    /// Leaves its oldest record out.
    pub(super) fn cut(&mut self, seq: u64, size: u64) {
        self.cut = seq;
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }

    pub(super) fn is_over(&self, keep: &Retention) -> bool {
        keep.count.is_some_and(|most| self.count > most) || keep.bytes.is_some_and(|most| self.bytes > most)
    }

    /// Whether the oldest record, made at `at`, has to go.
    pub(super) fn must_cut(&self, at: Timestamp, keep: &Retention, window: Duration, now: Timestamp) -> bool {
        let aged = || keep.age.is_some_and(|age| at.after(age) <= now);
        at.after(window) <= now && (self.is_over(keep) || aged())
    }
}

/// A message that came under an id.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Known {
    /// Where it was said.
    pub room: RoomKey,
    /// Its place there.
    pub seq: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// A hash of the text: the text itself may be long, and gone.
    body: u64,
}

impl Known {
    pub(super) fn of(record: &Record) -> Self {
        Self { room: record.room.clone(), seq: record.seq, at: record.at, body: digest(&record.body) }
    }

    /// Whether the same was said in the same place: then it is a repetition. Else the id was used for something else.
    #[must_use]
    pub fn is(&self, room: &RoomKey, body: &str) -> bool {
        self.room == *room && self.body == digest(body)
    }
}

/// Ids that came lately.
pub(super) struct Ids {
    known: HashMap<u128, Known>,
    /// In the order in which they came.
    order: VecDeque<(Timestamp, u128)>,
    latest: Timestamp,
    window: Duration,
    most: usize,
}

impl Ids {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
            latest: Timestamp::default(),
            window: limits.duplicate_window,
            most: limits.history_ids.max(1),
        }
    }

    pub(super) fn window(&self) -> Duration {
        self.window
    }

    pub(super) fn learn(&mut self, record: &Record) {
        self.latest = self.latest.max(record.at);
        while let Some((at, key)) = self.order.front().copied() {
            if self.order.len() < self.most && self.latest < at.after(self.window) {
                break;
            }
            self.order.pop_front();
            // The id may have come again since, for something else.
            if self.known.get(&key).is_some_and(|known| known.at == at) {
                self.known.remove(&key);
            }
        }
        if let Some(id) = &record.id {
            let key = id_key(record.user, id);
            self.known.insert(key, Known::of(record));
            self.order.push_back((record.at, key));
        }
    }

    pub(super) fn find(&self, user: UserId, id: &MessageId, now: Timestamp) -> Option<Known> {
        self.known.get(&id_key(user, id)).filter(|known| now < known.at.after(self.window)).cloned()
    }
}

/// Somebody's id for a message, as short as two never collide.
pub(crate) fn id_key(user: UserId, id: &MessageId) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(user.as_bytes()).update(id.as_str().as_bytes());
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    u128::from_le_bytes(key)
}

/// What tells one text from another under the same id.
pub(crate) fn digest(text: &str) -> u64 {
    let mut digest = [0; 8];
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut digest);
    u64::from_le_bytes(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::RoomName;

    fn record(number: u64, user: UserId, seconds: u64) -> Record {
        Record {
            room: RoomKey::Room(RoomName::global()),
            seq: number,
            prev: number - 1,
            at: Timestamp::from_millis(seconds * 1000),
            user,
            from: "ann".into(),
            id: Some(MessageId::new(&format!("id-{number}")).unwrap()),
            body: "hello".into(),
        }
    }

    #[test]
    fn ids_are_forgotten_by_age_and_beyond_the_bound() {
        let mut limits = Limits::default();
        limits.history_ids = 10;
        let mut ids = Ids::new(&limits);
        let user = UserId::random();
        for number in 1..=100 {
            ids.learn(&record(number, user, 5));
            assert!(ids.order.len() <= 10 && ids.known.len() <= 10);
        }
        let id = |number: u64| MessageId::new(&format!("id-{number}")).unwrap();
        let now = Timestamp::from_millis(6000);
        assert_eq!(ids.find(user, &id(90), now), None);
        assert_eq!(ids.find(user, &id(91), now).unwrap().seq, 91);
        ids.learn(&record(101, user, 125));
        assert_eq!((ids.order.len(), ids.known.len()), (1, 1));
    }

    #[test]
    fn an_id_that_is_used_again_is_not_forgotten_with_its_first_use() {
        let mut ids = Ids::new(&Limits::default());
        let user = UserId::random();
        let again = |seconds| Record { id: Some(MessageId::new("a").unwrap()), ..record(1, user, seconds) };
        ids.learn(&again(0));
        ids.learn(&Record { seq: 2, ..again(119) });
        ids.learn(&record(3, user, 130));
        let known = ids.find(user, &MessageId::new("a").unwrap(), Timestamp::from_millis(130_000));
        assert_eq!(known.map(|known| known.seq), Some(2));
    }
}
