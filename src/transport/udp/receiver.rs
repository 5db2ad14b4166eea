//! The receiving half of version 2 over UDP, without a socket and without a clock: duplicates and order.
//!
//! A message is acknowledged when it has its place in the inbox, also while it waits for an earlier one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::memory::{Key, Keys, Memory};
use crate::codec::talk::Order;
use crate::limits::Limits;
use crate::message::Message;
use crate::transport::{Inbox, Slot};

/// Decides what is delivered, when, and what is acknowledged.
#[derive(Debug)]
pub(super) struct Receiver {
    keys: Keys,
    memory: Memory<Runs>,
    inbox: Inbox,
    held: Held,
    /// No hole is given up before this moment; there may be none at all any more.
    earliest: Option<Instant>,
}

/// How many messages wait for earlier ones, each with a slot of the inbox.
#[derive(Debug)]
struct Held {
    now: usize,
    most: usize,
}

impl Receiver {
    pub(super) fn new(limits: &Limits, inbox: Inbox) -> Self {
        let held = Held { now: 0, most: inbox.capacity() / 2 };
        Self { keys: Keys::default(), memory: Memory::new(limits), inbox, held, earliest: None }
    }

    /// Takes a message from `source` in. Says whether to acknowledge it, which only one with an id may ask for.
    pub(super) fn hear(&mut self, now: Instant, source: IpAddr, message: Message, order: Option<&Order>) -> bool {
        let Some(id) = message.id.as_ref() else {
            self.deliver(message);
            return false;
        };
        let id = self.keys.key(id.as_str().as_bytes());
        let sender = self.keys.sender(&message.from, source);
        let held = &mut self.held;
        let place = self.memory.place(sender, |mut runs| runs.0.iter_mut().for_each(|run| run.release_all(held)));
        let known = self.memory.knows(now, place, id);
        let taken = match order {
            None => known || self.deliver(message),
            Some(order) => self.take_in_order(now, place, (!known).then_some(message), order),
        };
        if taken && !known {
            self.memory.remember(now, place, id);
        }
        taken || known
    }

    /// When [`tick`](Self::tick) may have something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.earliest
    }

    /// Gives up the holes that were waited for too long.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return;
        }
        let mut oldest = None;
        for run in self.memory.states().flat_map(|runs| runs.0.iter_mut()) {
            run.release_older_than(now, &mut self.held);
            let left = run.held.values().filter_map(|waiting| waiting.as_ref()).map(|waiting| waiting.since).min();
            oldest = oldest.into_iter().chain(left).min();
        }
        self.earliest = oldest.map(|since| since + LONGEST_WAIT);
    }

    /// Delivers all that waits: it was acknowledged, and nothing else will come.
    pub(super) fn finish(&mut self) {
        for run in self.memory.states().flat_map(|runs| runs.0.iter_mut()) {
            run.release_all(&mut self.held);
        }
    }

    /// Whether it was taken. `message` is `None` for one that is known: it fills its place with nothing.
    fn take_in_order(&mut self, now: Instant, place: usize, message: Option<Message>, order: &Order) -> bool {
        let key = self.keys.key(order.run.as_str().as_bytes());
        let run = self.memory.state(place).run(key, order, &mut self.held);
        if let Some(base) = order.base.filter(|base| *base <= order.n) {
            run.settle(base, &mut self.held);
        }
        if order.n < run.next {
            // It was given up, by us or by its sender. Nobody is told that it arrived.
            if message.is_some() {
                self.inbox.count_lost();
            }
            return false;
        }
        if order.n - run.next >= WINDOW || order.n == u64::MAX || run.held.contains_key(&order.n) {
            return false;
        }
        if order.n == run.next {
            if message.is_some_and(|message| self.inbox.offer(message).is_err()) {
                self.inbox.count_lost();
                return false;
            }
            run.next += 1;
            run.release_ready(&mut self.held);
            return true;
        }
        let waiting = match message {
            None => None,
            Some(message) => match self.inbox.slot() {
                Ok(slot) if self.held.now < self.held.most => Some(Waiting { since: now, slot, message }),
                _ => {
                    self.inbox.count_lost();
                    return false;
                }
            },
        };
        if waiting.is_some() {
            self.held.now += 1;
            self.earliest.get_or_insert(now + LONGEST_WAIT);
        }
        run.held.insert(order.n, waiting);
        true
    }

    fn deliver(&self, message: Message) -> bool {
        let taken = self.inbox.offer(message).is_ok();
        if !taken {
            self.inbox.count_lost();
        }
        taken
    }
}

/// The latest runs of one sender, the current one last. Old ones are kept for their stragglers.
#[derive(Debug, Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn run(&mut self, key: Key, order: &Order, held: &mut Held) -> &mut Run {
        let at = match self.0.iter().rposition(|run| run.key == key) {
            Some(at) => at,
            None => {
                self.0.iter_mut().for_each(|run| run.release_all(held));
                if self.0.len() == MAX_RUNS {
                    self.0.remove(0);
                }
                let guess = order.n.saturating_sub(WINDOW - 1).max(1);
                let next = order.base.filter(|base| *base <= order.n).unwrap_or(guess).max(1);
                self.0.push(Run { key, next, held: BTreeMap::new() });
                self.0.len() - 1
            }
        };
        &mut self.0[at]
    }
}

/// One start of one sender: what it numbered, and what of that waits for a hole to be filled.
#[derive(Debug)]
struct Run {
    key: Key,
    /// The lowest number that is neither delivered nor given up.
    next: u64,
    /// By number; `None` where a repeated message takes a number without being delivered again.
    held: BTreeMap<u64, Option<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    slot: Slot,
    message: Message,
}

impl Run {
    fn release_ready(&mut self, held: &mut Held) {
        while let Some(first) = self.held.first_entry().filter(|first| *first.key() == self.next) {
            release(first.remove(), held);
            self.next += 1;
        }
    }

    /// Everything below `base` is settled: what is here of it goes out, and what is not is not waited for.
    fn settle(&mut self, base: u64, held: &mut Held) {
        if base <= self.next {
            return;
        }
        while let Some(first) = self.held.first_entry().filter(|first| *first.key() < base) {
            release(first.remove(), held);
        }
        self.next = base;
        self.release_ready(held);
    }

    fn release_older_than(&mut self, now: Instant, held: &mut Held) {
        let late = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= LONGEST_WAIT;
        let last = self.held.iter().rev().find(|(_, waiting)| waiting.as_ref().is_some_and(late)).map(|(n, _)| *n);
        if let Some(last) = last {
            self.settle(last + 1, held);
        }
    }

    fn release_all(&mut self, held: &mut Held) {
        if let Some(last) = self.held.keys().next_back().copied() {
            self.settle(last + 1, held);
        }
    }
}

fn release(waiting: Option<Waiting>, held: &mut Held) {
    if let Some(Waiting { slot, message, .. }) = waiting {
        held.now -= 1;
        slot.put(message);
    }
}

/// How far past the next number one may be. A constant of the wire: senders have no more on their way.
const WINDOW: u64 = 64;
/// How long a message waits for those before it: as long as their sender tries.
const LONGEST_WAIT: Duration = Duration::from_secs(9);
/// Runs remembered per sender: one name may start again, or speak from two programs at one address.
const MAX_RUNS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Protocol};
    use crate::message::MessageId;
    use crate::name::UserName;
    use crate::transport::Incoming;

    struct Ear {
        receiver: Receiver,
        incoming: Incoming,
        now: Instant,
    }

    impl Ear {
        fn new(inbox: usize) -> Self {
            let (inbox, incoming) = Incoming::channel(Address::loopback(Protocol::UDP, 1), inbox);
            Self { receiver: Receiver::new(&Limits::default(), inbox), incoming, now: Instant::now() }
        }

        /// Whether `text`, which is its own id, is acknowledged.
        fn hear_from(&mut self, user: &str, text: &str, order: Option<(&str, u64, Option<u64>)>) -> bool {
            let id = MessageId::new(text).unwrap();
            let message = Message::new(UserName::new(user).unwrap(), text).with_id(id);
            let order = order.map(|(run, n, base)| Order { run: MessageId::new(run).unwrap(), n, base });
            self.receiver.hear(self.now, [127, 0, 0, 1].into(), message, order.as_ref())
        }

        fn hear(&mut self, text: &str, run: &str, n: u64, base: impl Into<Option<u64>>) -> bool {
            self.hear_from("ann", text, Some((run, n, base.into())))
        }

        fn taken(&mut self) -> String {
            let texts: Vec<_> = std::iter::from_fn(|| self.incoming.try_next()).map(|m| m.text.to_string()).collect();
            texts.join(" ")
        }
    }

    #[test]
    fn messages_are_released_in_order_and_each_is_acknowledged_when_it_comes() {
        let mut ear = Ear::new(16);
        assert!(ear.hear("c", "r", 3, 1));
        assert!(ear.hear("b", "r", 2, 1));
        assert_eq!(ear.taken(), "");
        assert!(ear.hear("a", "r", 1, 1));
        assert_eq!(ear.taken(), "a b c");
        assert_eq!(ear.receiver.held.now, 0);
    }

    #[test]
    fn a_duplicate_is_acknowledged_again_and_not_delivered_again() {
        let mut ear = Ear::new(16);
        for _ in 0..3 {
            assert!(ear.hear("b", "r", 2, 1));
            assert!(ear.hear_from("ann", "x", None));
        }
        assert_eq!(ear.taken(), "x");
        assert!(ear.hear("a", "r", 1, 1));
        assert!(ear.hear("a", "r", 1, 1));
        assert_eq!(ear.taken(), "a b");
        assert!(ear.hear_from("bob", "x", None), "another sender may use the same id");
        assert_eq!(ear.taken(), "x");
    }

    #[test]
    fn a_repeated_send_under_a_new_number_leaves_no_hole() {
        let mut ear = Ear::new(16);
        assert!(ear.hear("a", "r", 1, 1));
        assert!(ear.hear("c", "r", 3, 1));
        assert!(ear.hear("a", "r", 2, 1));
        assert_eq!(ear.taken(), "a c");
        assert!(ear.hear("a", "r", 5, 4));
        assert!(ear.hear("d", "r", 4, 4));
        assert!(ear.hear("f", "r", 6, 4));
        assert_eq!(ear.taken(), "d f");
    }

    #[test]
    fn a_hole_is_waited_for_nine_seconds() {
        let mut ear = Ear::new(16);
        assert!(ear.hear("b", "r", 2, 1));
        ear.now += Duration::from_secs(5);
        assert!(ear.hear("d", "r", 4, 1));
        let due = ear.receiver.next_due().unwrap();
        ear.receiver.tick(due - Duration::from_millis(1));
        assert_eq!(ear.taken(), "");
        ear.receiver.tick(due);
        assert_eq!(ear.taken(), "b");
        let later = ear.receiver.next_due().unwrap();
        assert_eq!(later - due, Duration::from_secs(5));
        assert!(!ear.hear("a", "r", 1, 1), "given up: its sender must not think that it was heard");
        ear.receiver.tick(later);
        assert_eq!(ear.taken(), "d");
        assert_eq!((ear.receiver.next_due(), ear.receiver.held.now), (None, 0));
    }

    #[test]
    fn below_the_base_nothing_is_waited_for() {
        let mut ear = Ear::new(16);
        assert!(ear.hear("a", "r", 1, 1));
        assert!(ear.hear("c", "r", 3, 1));
        assert!(ear.hear("f", "r", 6, 5));
        assert_eq!(ear.taken(), "a c");
        assert!(ear.hear("e", "r", 5, 5));
        assert_eq!(ear.taken(), "e f");
    }

    #[test]
    fn beyond_the_window_nothing_is_acknowledged() {
        let mut ear = Ear::new(1024);
        assert!(ear.hear("first", "r", 1, 1));
        assert!(!ear.hear("far", "r", 66, 1));
        assert!(!ear.hear("farther", "r", u64::MAX, 1));
        assert!(ear.hear("edge", "r", 65, 1));
        assert!(ear.hear("far", "r", 66, 60));
        assert_eq!(ear.incoming.lost(), 0);
    }

    #[test]
    fn an_unknown_run_starts_at_its_base_or_a_window_before_its_first_number() {
        let mut ear = Ear::new(1024);
        assert!(ear.hear("a", "r", 500, 500));
        assert_eq!(ear.taken(), "a");
        assert!(ear.hear("b", "s", 500, None));
        assert!(!ear.hear("too old", "s", 436, None));
        assert!((437..500).all(|n| ear.hear(&n.to_string(), "s", n, None)));
        assert!(ear.taken().ends_with("499 b"));
        assert!(ear.hear("c", "t", 2, None));
        assert!(ear.hear("d", "t", 1, None));
        assert_eq!(ear.taken(), "d c");
        assert!(ear.hear("e", "u", 7, 9), "a base past its own number is nonsense");
    }

    #[test]
    fn a_new_run_releases_what_the_old_one_held_and_stragglers_do_no_harm() {
        let mut ear = Ear::new(16);
        assert!(ear.hear("b", "old", 2, 1));
        assert!(ear.hear("1", "new", 1, 1));
        assert_eq!(ear.taken(), "b 1");
        assert!(ear.hear("b", "old", 2, 1));
        assert!(!ear.hear("a", "old", 1, 1));
        assert!(ear.hear("c", "old", 3, 1));
        assert!(ear.hear("2", "new", 2, 1));
        assert_eq!(ear.taken(), "c 2");
    }

    #[test]
    fn what_waits_takes_at_most_half_of_the_inbox() {
        let mut ear = Ear::new(8);
        let held = (2..=10).filter(|n| ear.hear(&n.to_string(), "r", *n, 1)).count();
        assert_eq!(held, 4);
        assert_eq!(ear.incoming.lost(), 5);
        for user in ["bob", "cid"] {
            assert!(!ear.hear_from(user, "x", Some(("r", 2, Some(1)))), "the bound is for all senders together");
        }
        assert!(ear.hear("1", "r", 1, 1));
        assert_eq!(ear.taken(), "1 2 3 4 5");
    }

    #[test]
    fn a_full_inbox_acknowledges_nothing_and_counts() {
        let mut ear = Ear::new(2);
        assert!(ear.hear("a", "r", 1, 1));
        assert!(ear.hear_from("ann", "b", None));
        assert!(!ear.hear("c", "r", 2, 1));
        assert!(!ear.hear_from("ann", "d", None));
        assert_eq!((ear.incoming.lost(), &*ear.taken()), (2, "a b"));
        assert!(ear.hear("c", "r", 2, 1));
        assert!(ear.hear_from("ann", "d", None));
        assert_eq!(ear.taken(), "c d");
    }

    #[test]
    fn a_forgotten_sender_leaves_what_it_said() {
        let mut limits = Limits::default();
        limits.duplicate_senders = 2;
        let mut ear = Ear::new(16);
        ear.receiver = Receiver::new(&limits, ear.receiver.inbox.clone());
        assert!(ear.hear("b", "r", 2, 1));
        for user in ["bob", "cid"] {
            assert!(ear.hear_from(user, "x", None));
        }
        assert_eq!(ear.taken(), "x b x");
        assert_eq!(ear.receiver.held.now, 0);
    }

    #[test]
    fn floods_of_runs_and_senders_leave_a_bounded_memory() {
        let mut limits = Limits::default();
        (limits.duplicate_senders, limits.duplicate_ids, limits.duplicate_total) = (8, 16, 64);
        let mut ear = Ear::new(16);
        ear.receiver = Receiver::new(&limits, ear.receiver.inbox.clone());
        for number in 0..5000_u64 {
            ear.now += Duration::from_millis(3);
            let (user, run) = (format!("u{}", number % 50), format!("r{}", number % 7));
            ear.hear_from(&user, &number.to_string(), Some((&run, number * 7 % 100 + 2, None)));
            ear.receiver.tick(ear.now);
            ear.taken();
            let runs = ear.receiver.memory.states().flat_map(|runs| runs.0.iter());
            let held = runs.flat_map(|run| run.held.values()).flatten().count();
            assert_eq!(held, ear.receiver.held.now);
            assert!(held <= 8);
        }
        let senders = ear.receiver.memory.states().inspect(|runs| assert!(runs.0.len() <= MAX_RUNS)).count();
        assert_eq!(senders, 8);
    }
}
