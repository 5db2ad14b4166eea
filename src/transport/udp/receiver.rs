//! The receiving half of version 2 over UDP, without a socket and without a clock: duplicates and order.
//!
//! A message is acknowledged when it has its place in the inbox, also while it waits for an earlier one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::memory::{Key, Keys, Memory};
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
        let id = self.keys.key(id.as_str());
        let sender = self.keys.key((message.from.as_str(), source.to_canonical()));
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

    /// Whether it was taken. `message` is `None` for one that is known: it fills its place with nothing.
    fn take_in_order(&mut self, now: Instant, place: usize, message: Option<Message>, order: &Order) -> bool {
        let key = self.keys.key(order.run.as_str());
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
