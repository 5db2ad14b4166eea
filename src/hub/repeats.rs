//! What left the hub under an id: a repetition is told what became of the first, and goes nowhere.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;
use crate::message::{Delivery, MessageId, UserId};
use crate::store::{digest, id_key};

/// What became of a message, and why it came no further.
pub(super) type Fate = (Delivery, Option<&'static str>);

/// The ids of messages that are leaving, and of those that left within [`Limits::duplicate_window`].
#[derive(Debug)]
pub(super) struct Repeats {
    memory: Mutex<Memory>,
    window: Duration,
    most: usize,
}

#[derive(Debug, Default)]
struct Memory {
    known: HashMap<u128, Known>,
    /// Those whose fate is known, in the order in which it came out.
    settled: VecDeque<(Instant, u128)>,
}

#[derive(Debug)]
struct Known {
    content: u64,
    /// `None` while it is under way.
    fate: Option<Fate>,
}

/// What is known of an id.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing: whoever asked has it now.
    New(Claim),
    /// The same is under way.
    UnderWay,
    /// The same went out.
    Again(Fate),
    /// It is used for something else.
    Other,
}

/// An id in use. Dropping it lets it go.
#[derive(Debug)]
pub(super) struct Claim {
    repeats: Arc<Repeats>,
    key: u128,
}

impl Repeats {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { memory: Mutex::default(), window: limits.duplicate_window, most: limits.duplicate_total.max(1) }
    }

    /// Takes an id for a message, unless it is taken.
    pub(super) fn begin(self: &Arc<Self>, user: UserId, id: &MessageId, to: &str, body: &str) -> Seen {
        let (key, content) = (id_key(user, id), digest(&format!("{to}\0{body}")));
        match self.lock().known.entry(key) {
            Entry::Occupied(known) if known.get().content != content => Seen::Other,
            Entry::Occupied(known) => known.get().fate.map_or(Seen::UnderWay, Seen::Again),
            Entry::Vacant(place) => {
                place.insert(Known { content, fate: None });
                Seen::New(Claim { repeats: self.clone(), key })
            }
        }
    }

    /// Whether an id is taken.
    pub(super) fn knows(&self, user: UserId, id: &MessageId) -> bool {
        let memory = self.lock();
        !memory.known.is_empty() && memory.known.contains_key(&id_key(user, id))
    }

    /// The memory, without what is too old.
    fn lock(&self) -> MutexGuard<'_, Memory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((at, key)) = memory.settled.front().copied() {
            if memory.settled.len() <= self.most && at.elapsed() < self.window {
                break;
            }
            memory.settled.pop_front();
            memory.known.remove(&key);
        }
        memory
    }
}

impl Claim {
    /// The message went out, or was tried in vain: so its repetitions are told.
    pub(super) fn settle(self, fate: Fate) {
        let mut memory = self.repeats.lock();
        if let Some(known) = memory.known.get_mut(&self.key) {
            known.fate = Some(fate);
            memory.settled.push_back((Instant::now(), self.key));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut memory = self.repeats.lock();
        if memory.known.get(&self.key).is_some_and(|known| known.fate.is_none()) {
            memory.known.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Fate = (Delivery::Delivered, None);

    fn begin(repeats: &Arc<Repeats>, user: UserId, id: usize) -> Seen {
        repeats.begin(user, &MessageId::new(&id.to_string()).unwrap(), "peer:bob", "hi")
    }

    #[test]
    fn the_oldest_goes_first_and_what_is_under_way_stays() {
        let mut limits = Limits::default();
        limits.duplicate_total = 10;
        let (repeats, user) = (Arc::new(Repeats::new(&limits)), UserId::random());
        let Seen::New(under_way) = begin(&repeats, user, 0) else { panic!("it is new") };
        for id in 1..=100 {
            let Seen::New(claim) = begin(&repeats, user, id) else { panic!("{id} is new") };
            claim.settle(SENT);
            let memory = repeats.lock();
            assert!(memory.settled.len() <= 10 && memory.known.len() <= 11);
        }
        assert!(matches!(begin(&repeats, user, 0), Seen::UnderWay));
        assert!(matches!(begin(&repeats, user, 91), Seen::Again(SENT)));
        assert!(matches!(begin(&repeats, user, 90), Seen::New(_)));
        drop(under_way);
        assert!(matches!(begin(&repeats, user, 0), Seen::New(_)));
        assert_eq!(repeats.lock().known.len(), 10, "whoever let it go leaves nothing");
    }
}
