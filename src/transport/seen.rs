//! Which messages came before: what makes a repeated one harmless.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;
use crate::message::MessageId;
use crate::name::UserName;

/// The ids heard lately, per sender. What is forgotten first stands with the limits.
pub(super) struct Seen {
    senders: Mutex<Senders>,
    /// Ids are kept as keyed hashes: of one length, and nobody outside can make two that collide.
    key: [u8; 32],
    window: Duration,
    ids: usize,
    most_senders: usize,
    total: usize,
}

struct Senders {
    by_name: HashMap<UserName, Sender>,
    total: usize,
    swept: Instant,
}

#[derive(Default)]
struct Sender {
    known: HashSet<u128>,
    /// The same ids, the oldest first.
    order: VecDeque<(Instant, u128)>,
    /// The end of the last one's window; `None` before the first.
    last: Option<Instant>,
}

impl Seen {
    pub(super) fn new(limits: &Limits) -> Self {
        let senders = Senders { by_name: HashMap::new(), total: 0, swept: Instant::now() };
        let mut key = [0; 32];
        if getrandom::fill(&mut key).is_err() {
            // Without randomness a collision can be made on purpose, which then loses a message of its maker's.
            key = [0; 32];
        }
        Self {
            senders: Mutex::new(senders),
            key,
            window: limits.duplicate_window,
            ids: limits.duplicate_ids.max(1),
            most_senders: limits.duplicate_senders.max(1),
            total: limits.duplicate_total.max(1),
        }
    }

    /// Whether this message came before.
    pub(super) fn knows(&self, from: &UserName, id: &MessageId) -> bool {
        let hash = self.hash(id);
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = senders.by_name.get_mut(from) else { return false };
        let forgotten = sender.expire(Instant::now(), self.window);
        let known = sender.known.contains(&hash);
        senders.total -= forgotten;
        known
    }

    /// Remembers that this message came; `false` when it came before.
    pub(super) fn remember(&self, from: &UserName, id: &MessageId) -> bool {
        let (hash, now) = (self.hash(id), Instant::now());
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = &mut *senders;
        if now.duration_since(senders.swept) >= self.window {
            senders.sweep(now, self.window);
        }
        if !senders.by_name.contains_key(from) && senders.by_name.len() >= self.most_senders {
            senders.forget_the_most_silent();
        }
        let sender = senders.by_name.entry(from.clone()).or_default();
        senders.total -= sender.expire(now, self.window);
        if !sender.known.insert(hash) {
            return false;
        }
        sender.order.push_back((now, hash));
        sender.last = Some(now);
        senders.total += 1;
        if sender.order.len() > self.ids {
            senders.total -= sender.forget(1);
        }
        if senders.total > self.total {
            senders.shorten_the_largest();
        }
        true
    }

    fn hash(&self, id: &MessageId) -> u128 {
        let hash = blake3::keyed_hash(&self.key, id.as_str().as_bytes());
        let (half, _) = hash.as_bytes().split_at(16);
        half.iter().fold(0, |all, byte| all << 8 | u128::from(*byte))
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

impl Senders {
    fn sweep(&mut self, now: Instant, window: Duration) {
        self.by_name.retain(|_, sender| {
            self.total -= sender.expire(now, window);
            !sender.order.is_empty()
        });
        self.swept = now;
    }

    fn forget_the_most_silent(&mut self) {
        let silent = self.by_name.iter().min_by_key(|(_, sender)| sender.last).map(|(name, _)| name.clone());
        if let Some(sender) = silent.and_then(|name| self.by_name.remove(&name)) {
            self.total -= sender.order.len();
        }
    }

    /// An eighth at once, so that the search for the largest is rare.
    fn shorten_the_largest(&mut self) {
        if let Some(sender) = self.by_name.values_mut().max_by_key(|sender| sender.order.len()) {
            self.total -= sender.forget(sender.order.len().div_ceil(8));
        }
    }
}

impl Sender {
    fn expire(&mut self, now: Instant, window: Duration) -> usize {
        let old = self.order.iter().take_while(|(when, _)| now.duration_since(*when) >= window).count();
        self.forget(old)
    }

    fn forget(&mut self, count: usize) -> usize {
        for (_, hash) in self.order.drain(..count) {
            self.known.remove(&hash);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(change: impl FnOnce(&mut Limits)) -> Seen {
        let mut limits = Limits::default();
        change(&mut limits);
        Seen::new(&limits)
    }

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn id(n: u32) -> MessageId {
        MessageId::new(&n.to_string()).unwrap()
    }

    #[test]
    fn an_id_is_new_once_per_sender() {
        let seen = seen(|_| {});
        assert!(!seen.knows(&user("ann"), &id(1)));
        assert!(seen.remember(&user("ann"), &id(1)));
        assert!(seen.knows(&user("ann"), &id(1)));
        assert!(!seen.remember(&user("ann"), &id(1)));
        assert!(seen.remember(&user("bob"), &id(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_is_forgotten_after_its_window() {
        let seen = seen(|_| {});
        seen.remember(&user("ann"), &id(1));
        tokio::time::advance(Duration::from_secs(119)).await;
        assert!(seen.knows(&user("ann"), &id(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!seen.knows(&user("ann"), &id(1)));
        seen.remember(&user("bob"), &id(1));
        let senders = seen.senders.lock().unwrap();
        assert_eq!((senders.by_name.len(), senders.total), (1, 1));
    }

    #[test]
    fn of_one_sender_the_oldest_is_forgotten_first() {
        let seen = seen(|limits| limits.duplicate_ids = 3);
        for n in 0..4 {
            seen.remember(&user("ann"), &id(n));
        }
        let known: Vec<bool> = (0..4).map(|n| seen.knows(&user("ann"), &id(n))).collect();
        assert_eq!(known, [false, true, true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_all_senders_the_most_silent_is_forgotten_first() {
        let seen = seen(|limits| limits.duplicate_senders = 2);
        for (name, n) in [("ann", 1), ("bob", 1), ("ann", 2), ("cid", 1)] {
            seen.remember(&user(name), &id(n));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let known = ["ann", "bob", "cid"].map(|name| seen.knows(&user(name), &id(1)));
        assert_eq!(known, [true, false, true]);
    }

    #[test]
    fn a_sender_with_many_ids_pays_for_the_total_and_a_quiet_one_does_not() {
        let seen = seen(|limits| limits.duplicate_total = 100);
        seen.remember(&user("ann"), &id(1));
        for n in 0..1000 {
            seen.remember(&user("eve"), &id(n));
        }
        assert!(seen.knows(&user("ann"), &id(1)));
        assert!(seen.knows(&user("eve"), &id(999)));
        assert!(seen.senders.lock().unwrap().total <= 100);
    }
}
