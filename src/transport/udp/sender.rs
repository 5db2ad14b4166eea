//! The sending half of version 2 over UDP, without a socket and without a clock.
//!
//! Every message to a receiver gets the next `n` of that receiver's run and is sent again until it is acknowledged or
//! given up. At most [`WINDOW`] are on their way to one receiver; the others wait in order and have no `n` yet, so one
//! that is given up while it waits leaves no hole.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::codec::talk::{self, Order};
use crate::message::{Message, MessageId};

/// All messages on their way or waiting. `T` is what the caller wants back when the fate of one is known.
#[derive(Debug)]
pub(super) struct Sender<T> {
    receivers: HashMap<SocketAddr, Receiver<T>>,
    /// When something is to be sent again or given up: `(when, to, n)`.
    due: BTreeSet<(Instant, SocketAddr, u64)>,
    waiting: usize,
}

/// What the machine wants done; the caller empties it.
#[derive(Debug)]
pub(super) struct Todo<T> {
    pub(super) datagrams: Vec<Datagram>,
    pub(super) settled: Vec<(T, Fate)>,
}

/// Bytes to put on the wire now.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) to: SocketAddr,
    pub(super) n: u64,
    /// Nothing of it was sent before.
    pub(super) first: bool,
    pub(super) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Acknowledged,
    GivenUp,
}

/// So many messages wait that one more is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

/// What the caller wants back, and whether anybody still wants to know.
pub(super) trait Token {
    fn abandoned(&self) -> bool;
}

impl<T> Default for Todo<T> {
    fn default() -> Self {
        Self { datagrams: Vec::new(), settled: Vec::new() }
    }
}

impl<T> Default for Sender<T> {
    fn default() -> Self {
        Self { receivers: HashMap::new(), due: BTreeSet::new(), waiting: 0 }
    }
}

impl<T: Token> Sender<T> {
    /// Takes a message over; it leaves at once when the receiver's window has room.
    pub(super) fn submit(
        &mut self,
        now: Instant,
        to: SocketAddr,
        letter: (Message, MessageId, T),
        todo: &mut Todo<T>,
    ) -> Result<(), Full> {
        if !self.receivers.contains_key(&to) && self.receivers.len() >= MAX_RECEIVERS {
            // A receiver that is known again later gets a new run, so nothing is lost by forgetting an idle one.
            self.receivers.retain(|_, receiver| !receiver.idle());
            if self.receivers.len() >= MAX_RECEIVERS {
                return Err(Full);
            }
        }
        let receiver = self.receivers.entry(to).or_insert_with(|| Receiver::new(now));
        if receiver.idle() {
            // Silence while there was nothing to answer says nothing.
            receiver.heard = now;
        }
        if receiver.waiting.len() >= MAX_WAITING || self.waiting >= MAX_WAITING_ALL {
            let before = receiver.waiting.len();
            receiver.waiting.retain(|(_, _, token)| !token.abandoned());
            self.waiting -= before - receiver.waiting.len();
            if receiver.waiting.len() >= MAX_WAITING || self.waiting >= MAX_WAITING_ALL {
                return Err(Full);
            }
        }
        receiver.waiting.push_back(letter);
        self.waiting += 1;
        self.admit(now, to, todo);
        Ok(())
    }

    /// Hears an acknowledgement. One from elsewhere than where the message went counts for nothing.
    pub(super) fn acknowledged(&mut self, now: Instant, from: SocketAddr, id: &MessageId, todo: &mut Todo<T>) {
        let Some(receiver) = self.receivers.get_mut(&from) else { return };
        // A repeated send has the same id under another n: the receiver has them both.
        while let Some(n) = receiver.flying.iter().find(|(_, flight)| flight.id == *id).map(|(n, _)| *n) {
            receiver.heard = now;
            if let Some(flight) = receiver.flying.remove(&n) {
                self.due.remove(&(flight.due, from, n));
                todo.settled.push((flight.token, Fate::Acknowledged));
            }
        }
        self.admit(now, from, todo);
    }

    /// Gives one message back at once because the system will not send it.
    pub(super) fn take_back(&mut self, now: Instant, to: SocketAddr, n: u64, todo: &mut Todo<T>) -> Option<T> {
        let flight = self.receivers.get_mut(&to)?.flying.remove(&n)?;
        self.due.remove(&(flight.due, to, n));
        self.admit(now, to, todo);
        Some(flight.token)
    }

    /// Sends again what is due and gives up what is too old.
    pub(super) fn tick(&mut self, now: Instant, todo: &mut Todo<T>) {
        while let Some((when, to, n)) = self.due.first().copied() {
            if when > now {
                break;
            }
            self.due.remove(&(when, to, n));
            let Some(receiver) = self.receivers.get_mut(&to) else { continue };
            let base = receiver.base();
            let Some(flight) = receiver.flying.get_mut(&n) else { continue };
            if now >= flight.first + GIVE_UP {
                self.give_up(now, to, n, todo);
                continue;
            }
            if flight.tries < TRIES {
                flight.tries += 1;
                flight.pause = (flight.pause * 2).min(LONGEST_PAUSE);
                todo.datagrams.push(flight.datagram(to, &receiver.run, n, base));
            }
            let last = flight.tries >= TRIES;
            let end = flight.first + GIVE_UP;
            flight.due = if last { end } else { (now + flight.pause).min(end) };
            self.due.insert((flight.due, to, n));
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(when, ..)| *when)
    }

    fn give_up(&mut self, now: Instant, to: SocketAddr, n: u64, todo: &mut Todo<T>) {
        let Some(receiver) = self.receivers.get_mut(&to) else { return };
        if let Some(flight) = receiver.flying.remove(&n) {
            todo.settled.push((flight.token, Fate::GivenUp));
            // Nothing came back in all that time: what waits behind it would only fail later.
            if receiver.heard <= flight.first {
                self.waiting -= receiver.waiting.len();
                todo.settled.extend(receiver.waiting.drain(..).map(|(_, _, token)| (token, Fate::GivenUp)));
            }
        }
        self.admit(now, to, todo);
    }

    /// Lets waiting messages go while the window has room: 64 numbers, counted from the oldest that is not settled.
    fn admit(&mut self, now: Instant, to: SocketAddr, todo: &mut Todo<T>) {
        let Some(receiver) = self.receivers.get_mut(&to) else { return };
        while receiver.next < receiver.base() + WINDOW {
            let Some((message, id, token)) = receiver.waiting.pop_front() else { break };
            self.waiting -= 1;
            if token.abandoned() {
                continue;
            }
            let n = receiver.next;
            receiver.next += 1;
            let flight =
                Flight { message, id, token, first: now, due: now + FIRST_PAUSE, pause: FIRST_PAUSE, tries: 1 };
            self.due.insert((flight.due, to, n));
            let base = receiver.flying.keys().next().copied().unwrap_or(n);
            todo.datagrams.push(flight.datagram(to, &receiver.run, n, base));
            receiver.flying.insert(n, flight);
        }
    }
}

/// One receiver's numbering.
#[derive(Debug)]
struct Receiver<T> {
    run: MessageId,
    next: u64,
    flying: BTreeMap<u64, Flight<T>>,
    waiting: VecDeque<(Message, MessageId, T)>,
    /// When it last acknowledged something.
    heard: Instant,
}

impl<T> Receiver<T> {
    fn new(now: Instant) -> Self {
        Self { run: MessageId::random(), next: 1, flying: BTreeMap::new(), waiting: VecDeque::new(), heard: now }
    }

    /// The lowest number that is not settled.
    fn base(&self) -> u64 {
        self.flying.keys().next().copied().unwrap_or(self.next)
    }

    fn idle(&self) -> bool {
        self.flying.is_empty() && self.waiting.is_empty()
    }
}

/// A message that was sent and is not settled.
#[derive(Debug)]
struct Flight<T> {
    message: Message,
    id: MessageId,
    token: T,
    first: Instant,
    due: Instant,
    pause: Duration,
    tries: u32,
}

impl<T> Flight<T> {
    fn datagram(&self, to: SocketAddr, run: &MessageId, n: u64, base: u64) -> Datagram {
        let order = Order { run: run.clone(), n, base: Some(base) };
        Datagram { to, n, first: self.tries == 1, bytes: talk::encode_v2(&self.message, &self.id, Some(&order)) }
    }
}

/// How many numbers, from the oldest unsettled one on, may be on their way to one receiver.
pub(super) const WINDOW: u64 = 64;
/// Time until a message is given up, from its first sending on.
pub(super) const GIVE_UP: Duration = Duration::from_secs(9);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const TRIES: u32 = 12;
/// Messages that wait for one receiver's window; one more is refused.
const MAX_WAITING: usize = 1024;
/// Messages that wait for all receivers' windows; one more is refused.
const MAX_WAITING_ALL: usize = 16 * 1024;
/// Receivers whose numbering is kept; for one more the idle ones are forgotten, or it is refused.
const MAX_RECEIVERS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::talk::Frame;
    use crate::name::UserName;

    impl Token for u32 {
        fn abandoned(&self) -> bool {
            *self == ABANDONED
        }
    }

    const ABANDONED: u32 = u32::MAX;

    fn at(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn letter(token: u32) -> (Message, MessageId, u32) {
        let message = Message::new(UserName::new("ann").unwrap(), &token.to_string());
        (message, MessageId::new(&format!("i{token}")).unwrap(), token)
    }

    fn id(token: u32) -> MessageId {
        letter(token).1
    }

    fn order(datagram: &Datagram) -> (u64, u64) {
        match talk::decode(&datagram.bytes, 1024) {
            Ok(Frame::Message(_, Some(order))) => (order.n, order.base.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_is_sent_twelve_times_in_nine_seconds_and_then_given_up() {
        let (mut sender, mut todo, start) = (Sender::default(), Todo::default(), Instant::now());
        sender.submit(start, at(1), letter(7), &mut todo).unwrap();
        let mut sent = vec![0];
        todo.datagrams.clear();
        while let Some(due) = sender.next_due() {
            sender.tick(due, &mut todo);
            sent.extend(todo.datagrams.drain(..).map(|_| (due - start).as_millis()));
            if let Some((token, fate)) = todo.settled.pop() {
                assert_eq!((token, fate, due - start), (7, Fate::GivenUp, GIVE_UP));
            }
        }
        assert_eq!(sent, [0, 50, 150, 350, 750, 1550, 2550, 3550, 4550, 5550, 6550, 7550]);
    }

    #[test]
    fn an_acknowledgement_counts_only_from_where_the_message_went() {
        let (mut sender, mut todo, now) = (Sender::default(), Todo::default(), Instant::now());
        sender.submit(now, at(1), letter(7), &mut todo).unwrap();
        sender.acknowledged(now, at(2), &id(7), &mut todo);
        sender.acknowledged(now, at(1), &id(8), &mut todo);
        assert!(todo.settled.is_empty());
        sender.acknowledged(now, at(1), &id(7), &mut todo);
        assert_eq!(todo.settled, [(7, Fate::Acknowledged)]);
        assert_eq!(sender.next_due(), None);
    }

    #[test]
    fn the_window_counts_from_the_oldest_unsettled_number() {
        let (mut sender, mut todo, now) = (Sender::default(), Todo::default(), Instant::now());
        for token in 1..=100 {
            sender.submit(now, at(1), letter(token), &mut todo).unwrap();
        }
        assert_eq!(todo.datagrams.len(), 64);
        todo.datagrams.clear();
        for token in 2..=64 {
            sender.acknowledged(now, at(1), &id(token), &mut todo);
        }
        assert!(todo.datagrams.is_empty());
        sender.acknowledged(now, at(1), &id(1), &mut todo);
        let orders: Vec<_> = todo.datagrams.iter().map(order).collect();
        assert_eq!(orders, (65..=100).map(|n| (n, 65)).collect::<Vec<_>>());
    }

    #[test]
    fn what_waits_and_is_abandoned_leaves_no_hole() {
        let (mut sender, mut todo, now) = (Sender::default(), Todo::default(), Instant::now());
        for token in 1..=64 {
            sender.submit(now, at(1), letter(token), &mut todo).unwrap();
        }
        sender.submit(now, at(1), letter(ABANDONED), &mut todo).unwrap();
        sender.submit(now, at(1), letter(66), &mut todo).unwrap();
        todo.datagrams.clear();
        sender.acknowledged(now, at(1), &id(1), &mut todo);
        assert_eq!(todo.datagrams.len(), 1);
        assert_eq!(order(&todo.datagrams[0]), (65, 2));
        assert!(todo.datagrams[0].bytes.windows(4).any(|w| w == b"\"66\""));
    }

    #[test]
    fn a_message_that_is_given_up_moves_the_base() {
        let (mut sender, mut todo, start) = (Sender::default(), Todo::default(), Instant::now());
        sender.submit(start, at(1), letter(1), &mut todo).unwrap();
        let later = start + Duration::from_secs(8);
        sender.submit(later, at(1), letter(2), &mut todo).unwrap();
        assert_eq!(todo.datagrams.iter().map(order).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
        todo.datagrams.clear();
        sender.tick(start + GIVE_UP, &mut todo);
        assert_eq!(todo.settled, [(1, Fate::GivenUp)]);
        sender.submit(start + GIVE_UP, at(1), letter(3), &mut todo).unwrap();
        assert_eq!(order(todo.datagrams.last().unwrap()), (3, 2));
    }

    #[test]
    fn a_silent_receiver_fails_what_waits_for_it_at_once() {
        let (mut sender, mut todo, start) = (Sender::default(), Todo::default(), Instant::now());
        for token in 0..200 {
            sender.submit(start, at(1), letter(token), &mut todo).unwrap();
        }
        let mut end = start;
        while let Some(due) = sender.next_due() {
            sender.tick(due, &mut todo);
            end = due;
        }
        assert_eq!(todo.settled.len(), 200);
        assert_eq!(end - start, GIVE_UP);
    }

    #[test]
    fn the_queue_for_one_receiver_is_bounded_and_others_have_their_own() {
        let (mut sender, mut todo, now) = (Sender::default(), Todo::default(), Instant::now());
        let room = WINDOW as usize + MAX_WAITING;
        let taken = (0..2000).filter(|token| sender.submit(now, at(1), letter(*token), &mut todo).is_ok()).count();
        assert_eq!(taken, room);
        assert_eq!(sender.submit(now, at(2), letter(1), &mut todo), Ok(()));
    }

    #[test]
    fn idle_receivers_are_forgotten_for_new_ones() {
        let (mut sender, mut todo, now) = (Sender::default(), Todo::default(), Instant::now());
        for port in 1..=MAX_RECEIVERS as u16 {
            sender.submit(now, at(port), letter(1), &mut todo).unwrap();
        }
        assert_eq!(sender.submit(now, at(9999), letter(1), &mut todo), Err(Full));
        sender.acknowledged(now, at(7), &id(1), &mut todo);
        assert_eq!(sender.submit(now, at(9999), letter(1), &mut todo), Ok(()));
        assert!(sender.receivers.len() <= MAX_RECEIVERS);
    }

    #[test]
    fn one_acknowledgement_settles_a_send_and_its_repetition() {
        let (mut sender, mut todo, now) = (Sender::default(), Todo::default(), Instant::now());
        sender.submit(now, at(1), letter(1), &mut todo).unwrap();
        sender.submit(now, at(1), letter(1), &mut todo).unwrap();
        sender.acknowledged(now, at(1), &id(1), &mut todo);
        assert_eq!(todo.settled.len(), 2);
        assert!(sender.receivers[&at(1)].idle());
    }

    #[test]
    fn what_the_system_will_not_send_comes_back() {
        let (mut sender, mut todo, now) = (Sender::default(), Todo::default(), Instant::now());
        sender.submit(now, at(1), letter(1), &mut todo).unwrap();
        assert_eq!(sender.take_back(now, at(1), 1, &mut todo), Some(1));
        assert_eq!(sender.take_back(now, at(1), 1, &mut todo), None);
        assert_eq!(sender.next_due(), None);
    }
}
