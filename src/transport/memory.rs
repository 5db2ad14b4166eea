//! What a listener remembers of those it hears: the ids of late, and where each sender's order stands.
//!
//! Everything is bounded, and what strangers choose is kept as keyed 128-bit hashes only.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::ids::Ids;
use crate::limits::Limits;
use crate::name::{MAX_NAME, UserName};

/// A keyed hash of something that a stranger chose: long enough that two never collide.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key(u64, u64);

impl Key {
    /// What no key is.
    pub(super) const NONE: Self = Self(0, 0);

    /// Bits as random as any.
    pub(super) fn spread(self) -> usize {
        self.0 as usize
    }

    #[cfg(test)]
    pub(super) fn of(spread: u64, rest: u64) -> Self {
        Self(spread, rest | 1 << 63)
    }
}

/// Makes [`Key`]s under a key of its own, so that nobody can prepare collisions.
#[derive(Debug, Default)]
pub(super) struct Keys(RandomState, RandomState);

impl Keys {
    pub(super) fn key(&self, of: &[u8]) -> Key {
        let half = |key: &RandomState| {
            let mut hasher = key.build_hasher();
            hasher.write(of);
            hasher.finish()
        };
        Key(half(&self.0), half(&self.1) | 1)
    }

    /// The key of a sender: a user at an address, whatever the port.
    pub(super) fn sender(&self, user: &UserName, source: IpAddr) -> Key {
        let (user, mut whole) = (user.as_str().as_bytes(), [0; 16 + MAX_NAME]);
        let ip = match source {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        whole[..16].copy_from_slice(&ip.octets());
        let end = 16 + user.len().min(MAX_NAME);
        whole[16..end].copy_from_slice(&user[..end - 16]);
        self.key(&whole[..end])
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Hands on half of a [`Key`], which is a hash already.
#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type ByKey = BuildHasherDefault<KeyHasher>;

/// The senders heard of late, the one silent for longest forgotten first, each with its ids and an own state `T`.
#[derive(Debug)]
pub(super) struct Memory<T> {
    places: HashMap<Key, usize, ByKey>,
    /// A list through the indices, newest first, so that the oldest is found without a search.
    senders: Vec<Sender<T>>,
    newest: usize,
    oldest: usize,
    ids: usize,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    senders: usize,
    ids: usize,
    total: usize,
    window: Duration,
}

#[derive(Debug)]
struct Sender<T> {
    key: Key,
    newer: usize,
    older: usize,
    ids: Ids,
    state: T,
}

impl<T: Default> Memory<T> {
    pub(super) fn new(limits: &Limits) -> Self {
        let bounds = Bounds {
            senders: limits.duplicate_senders.max(1),
            ids: limits.duplicate_ids.max(1),
            total: limits.duplicate_total.max(1),
            window: limits.duplicate_window,
        };
        Self { places: HashMap::default(), senders: Vec::new(), newest: NONE, oldest: NONE, ids: 0, bounds }
    }

    /// The place of a sender, which becomes the newest. The state of one that had to go for it goes to `forgotten`.
    pub(super) fn place(&mut self, key: Key, forgotten: impl FnOnce(T)) -> usize {
        if let Some(place) = self.places.get(&key).copied() {
            if place != self.newest {
                self.unlink(place);
                self.link(place);
            }
            return place;
        }
        let place = if self.senders.len() < self.bounds.senders {
            let state = T::default();
            self.senders.push(Sender { key, newer: NONE, older: NONE, ids: Ids::default(), state });
            self.senders.len() - 1
        } else {
            let place = self.oldest;
            self.unlink(place);
            let sender = &mut self.senders[place];
            self.places.remove(&sender.key);
            self.ids -= sender.ids.len();
            sender.key = key;
            sender.ids = Ids::default();
            forgotten(std::mem::take(&mut sender.state));
            place
        };
        self.places.insert(key, place);
        self.link(place);
        place
    }

    /// The place of a sender that was heard before, which stays as old as it is.
    pub(super) fn find(&self, key: Key) -> Option<usize> {
        self.places.get(&key).copied()
    }

    pub(super) fn state(&mut self, place: usize) -> &mut T {
        &mut self.senders[place].state
    }

    pub(super) fn states(&mut self) -> impl Iterator<Item = &mut T> {
        self.senders.iter_mut().map(|sender| &mut sender.state)
    }

    /// Whether the sender used this id within the window.
    pub(super) fn knows(&mut self, now: Instant, place: usize, id: Key) -> bool {
        let ids = &mut self.senders[place].ids;
        while ids.oldest().is_some_and(|heard| now.saturating_duration_since(heard) > self.bounds.window) {
            ids.pop();
            self.ids -= 1;
        }
        ids.contains(id)
    }

    /// Remembers an id that is not known.
    pub(super) fn remember(&mut self, now: Instant, place: usize, id: Key) {
        if self.senders[place].ids.len() >= self.bounds.ids {
            self.senders[place].ids.pop();
            self.ids -= 1;
        } else if self.ids >= self.bounds.total {
            self.forget_of_the_largest();
        }
        self.senders[place].ids.push(id, now);
        self.ids += 1;
    }

    /// An eighth at once, so that the search for the largest does not come with every message.
    fn forget_of_the_largest(&mut self) {
        let Some(largest) = self.senders.iter_mut().max_by_key(|sender| sender.ids.len()) else { return };
        for _ in 0..largest.ids.len().div_ceil(8) {
            largest.ids.pop();
            self.ids -= 1;
        }
    }

    fn unlink(&mut self, place: usize) {
        let (newer, older) = (self.senders[place].newer, self.senders[place].older);
        match newer {
            NONE => self.newest = older,
            newer => self.senders[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.senders[older].newer = newer,
        }
    }

    fn link(&mut self, place: usize) {
        let second = std::mem::replace(&mut self.newest, place);
        (self.senders[place].newer, self.senders[place].older) = (NONE, second);
        match second {
            NONE => self.oldest = place,
            second => self.senders[second].newer = place,
        }
    }
}

/// No place.
const NONE: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(senders: usize, ids: usize, total: usize) -> Memory<u32> {
        let mut limits = Limits::default();
        (limits.duplicate_senders, limits.duplicate_ids, limits.duplicate_total) = (senders, ids, total);
        Memory::new(&limits)
    }

    fn key(number: u64) -> Key {
        Key::of(number, 0)
    }

    fn hear(memory: &mut Memory<u32>, now: Instant, sender: u64, id: u64) -> bool {
        let place = memory.place(key(sender), |_| ());
        let known = memory.knows(now, place, key(id));
        if !known {
            memory.remember(now, place, key(id));
        }
        known
    }

    #[test]
    fn an_id_is_known_until_its_window_ends() {
        let (mut memory, now) = (memory(4, 4, 16), Instant::now());
        assert!(!hear(&mut memory, now, 1, 1));
        assert!(hear(&mut memory, now + Duration::from_secs(119), 1, 1));
        assert!(!hear(&mut memory, now, 2, 1), "another sender's ids are its own");
        assert!(!hear(&mut memory, now + Duration::from_secs(121), 1, 1));
    }

    #[test]
    fn the_oldest_id_of_a_sender_goes_first() {
        let (mut memory, now) = (memory(4, 3, 16), Instant::now());
        for id in 1..=4 {
            hear(&mut memory, now, 1, id);
        }
        assert!(hear(&mut memory, now, 1, 2));
        assert!(!hear(&mut memory, now, 1, 1));
    }

    #[test]
    fn the_sender_silent_for_longest_goes_first_with_its_state() {
        let (mut memory, now) = (memory(3, 4, 16), Instant::now());
        for sender in [1, 2, 3, 1, 3] {
            hear(&mut memory, now, sender, 1);
            let place = memory.place(key(sender), |_| ());
            *memory.state(place) = sender as u32;
        }
        let mut gone = None;
        memory.place(key(4), |state| gone = Some(state));
        assert_eq!(gone, Some(2));
        memory.place(key(5), |state| gone = Some(state));
        assert_eq!(gone, Some(1));
        assert!(hear(&mut memory, now, 3, 1));
        assert_eq!(memory.ids, 1);
    }

    #[test]
    fn over_the_total_the_largest_gives() {
        let (mut memory, now) = (memory(4, 100, 40), Instant::now());
        hear(&mut memory, now, 1, 1);
        for id in 0..39 {
            hear(&mut memory, now, 2, id);
        }
        hear(&mut memory, now, 3, 1);
        assert!(memory.ids <= 40);
        assert!(hear(&mut memory, now, 1, 1));
        assert!(hear(&mut memory, now, 2, 38));
        assert!(!hear(&mut memory, now, 2, 0));
    }

    #[test]
    fn the_counts_agree_whatever_happens() {
        let (mut memory, now) = (memory(5, 7, 20), Instant::now());
        let mut state = 1_u64;
        for step in 0..5000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = now + Duration::from_millis(step * 40);
            hear(&mut memory, at, (state >> 33) % 9, (state >> 40) % 30);
            assert_eq!(memory.ids, memory.senders.iter().map(|s| s.ids.len()).sum::<usize>());
            assert!(memory.senders.iter().all(|s| s.ids.len() <= 7));
            assert!(memory.ids <= 20 && memory.senders.len() <= 5);
        }
    }

    #[test]
    fn equal_things_have_equal_keys_and_others_do_not() {
        let keys = Keys::default();
        assert_eq!(keys.key(b"a"), keys.key(b"a"));
        assert_ne!(keys.key(b"a"), keys.key(b"b"));
        assert_ne!(Keys::default().key(b"a"), Keys::default().key(b"a"));
        let sender = |user: &str, ip: &str| keys.sender(&UserName::new(user).unwrap(), ip.parse().unwrap());
        assert_eq!(sender("ann", "192.0.2.1"), sender("ann", "::ffff:192.0.2.1"));
        assert_ne!(sender("ann", "192.0.2.1"), sender("ann", "192.0.2.2"));
        assert_ne!(sender("ann", "192.0.2.1"), sender("bob", "192.0.2.1"));
        let long = "x".repeat(MAX_NAME - 1);
        assert_ne!(sender(&format!("{long}a"), "::1"), sender(&format!("{long}b"), "::1"));
    }
}
