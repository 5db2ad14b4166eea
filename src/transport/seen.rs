//! Which messages came before: what makes a repeated one harmless.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::memory::{Keys, Memory};
use crate::limits::Limits;
use crate::message::MessageId;
use crate::name::UserName;

/// The ids heard lately, per sender: a name at an address, as names are claims and nobody shall use up another's. What is
/// forgotten first stands with the limits.
pub(super) struct Seen {
    memory: Mutex<Memory<()>>,
    keys: Keys,
}

impl Seen {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { memory: Mutex::new(Memory::new(limits)), keys: Keys::default() }
    }

    /// Whether this message came before.
    pub(super) fn knows(&self, source: IpAddr, from: &UserName, id: &MessageId) -> bool {
        let (sender, id) = (self.keys.sender(from, source), self.keys.key(id.as_str().as_bytes()));
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.find(sender).is_some_and(|place| memory.knows(Instant::now().into(), place, id))
    }

    /// Remembers that this message came; `false` when it came before.
    pub(super) fn remember(&self, source: IpAddr, from: &UserName, id: &MessageId) -> bool {
        let (sender, id) = (self.keys.sender(from, source), self.keys.key(id.as_str().as_bytes()));
        let now = Instant::now().into();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let place = memory.place(sender, drop);
        let new = !memory.knows(now, place, id);
        if new {
            memory.remember(now, place, id);
        }
        new
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

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
        assert!(!seen.knows(HERE, &user("ann"), &id(1)));
        assert!(seen.remember(HERE, &user("ann"), &id(1)));
        assert!(seen.knows(HERE, &user("ann"), &id(1)));
        assert!(!seen.remember(HERE, &user("ann"), &id(1)));
        assert!(seen.remember(HERE, &user("bob"), &id(1)));
        assert!(seen.remember("192.0.2.1".parse().unwrap(), &user("ann"), &id(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_is_forgotten_after_its_window() {
        let seen = seen(|_| {});
        seen.remember(HERE, &user("ann"), &id(1));
        tokio::time::advance(Duration::from_secs(119)).await;
        assert!(seen.knows(HERE, &user("ann"), &id(1)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!seen.knows(HERE, &user("ann"), &id(1)));
    }

    #[test]
    fn of_one_sender_the_oldest_is_forgotten_first() {
        let seen = seen(|limits| limits.duplicate_ids = 3);
        for n in 0..4 {
            seen.remember(HERE, &user("ann"), &id(n));
        }
        let known: Vec<bool> = (0..4).map(|n| seen.knows(HERE, &user("ann"), &id(n))).collect();
        assert_eq!(known, [false, true, true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_all_senders_the_most_silent_is_forgotten_first() {
        let seen = seen(|limits| limits.duplicate_senders = 2);
        for (name, n) in [("ann", 1), ("bob", 1), ("ann", 2), ("cid", 1)] {
            seen.remember(HERE, &user(name), &id(n));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let known = ["ann", "bob", "cid"].map(|name| seen.knows(HERE, &user(name), &id(1)));
        assert_eq!(known, [true, false, true]);
    }

    #[test]
    fn a_sender_with_many_ids_pays_for_the_total_and_a_quiet_one_does_not() {
        let seen = seen(|limits| limits.duplicate_total = 100);
        seen.remember(HERE, &user("ann"), &id(1));
        for n in 0..1000 {
            seen.remember(HERE, &user("eve"), &id(n));
        }
        assert!(seen.knows(HERE, &user("ann"), &id(1)));
        assert!(seen.knows(HERE, &user("eve"), &id(999)));
    }
}
