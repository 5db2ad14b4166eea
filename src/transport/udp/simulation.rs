//! Both machines over a network that loses, doubles and reorders under a seed, on a clock of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::receiver::Receiver;
use super::sender::{Fate, Sender, Todo, Token};
use crate::address::{Address, Protocol};
use crate::codec::talk::{self, Frame};
use crate::limits::Limits;
use crate::message::{Message, MessageId};
use crate::name::UserName;
use crate::transport::Incoming;

/// A message's number in the simulation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Number(usize);

impl Token for Number {
    fn abandoned(&self) -> bool {
        false
    }
}

/// How bad the network is: chances out of 100, and the longest way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) longest: Duration,
}

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

pub(super) struct World {
    dice: Dice,
    weather: Weather,
    start: Instant,
    now: Instant,
    /// What is on its way, by arrival; the flag says to the receiver.
    wire: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    posted: u64,
    sender: Sender<Number>,
    receiver: Receiver,
    incoming: Incoming,
    todo: Todo<Number>,
    pub(super) heard: Vec<usize>,
    acknowledged: Vec<usize>,
    given_up: Vec<usize>,
    limits: Limits,
}

impl World {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        let limits = Limits::default();
        let (inbox, incoming) = Incoming::channel(Address::loopback(Protocol::UDP, 1), limits.inbox);
        let now = Instant::now();
        Self {
            dice: Dice(seed),
            weather,
            start: now,
            now,
            wire: BTreeMap::new(),
            posted: 0,
            sender: Sender::default(),
            receiver: Receiver::new(&limits, inbox),
            incoming,
            todo: Todo::default(),
            heard: Vec::new(),
            acknowledged: Vec::new(),
            given_up: Vec::new(),
            limits,
        }
    }

    fn there() -> SocketAddr {
        ([192, 0, 2, 1], 9).into()
    }

    pub(super) fn send(&mut self, number: usize) {
        let message = Message::new(UserName::new("ann").unwrap(), &number.to_string());
        let id = MessageId::new(&format!("id-{number}")).unwrap();
        self.sender.submit(self.now, Self::there(), (message, id, Number(number)), &mut self.todo).unwrap();
        self.carry_out();
    }

    fn post(&mut self, to_receiver: bool, bytes: Vec<u8>) {
        let copies = 1 + u64::from(self.dice.roll(100) < self.weather.doubled);
        for _ in 0..copies {
            if self.dice.roll(100) >= self.weather.lost {
                let way = Duration::from_micros(self.dice.roll(self.weather.longest.as_micros() as u64 + 1));
                self.posted += 1;
                self.wire.insert((self.now + way, self.posted), (to_receiver, bytes.clone()));
            }
        }
    }

    fn carry_out(&mut self) {
        for datagram in std::mem::take(&mut self.todo.datagrams) {
            self.post(true, datagram.bytes);
        }
        for (number, fate) in self.todo.settled.drain(..) {
            match fate {
                Fate::Acknowledged => self.acknowledged.push(number.0),
                Fate::GivenUp => self.given_up.push(number.0),
            }
        }
    }

    /// The next thing that happens; `false` when nothing ever will.
    fn step(&mut self) -> bool {
        let arrival = self.wire.first_key_value().map(|((when, _), _)| *when);
        let next = [arrival, self.sender.next_due(), self.receiver.next_due()].into_iter().flatten().min();
        let Some(next) = next else { return false };
        self.now = self.now.max(next);
        self.sender.tick(self.now, &mut self.todo);
        self.receiver.tick(self.now);
        if arrival.is_some_and(|when| when <= self.now) {
            let (_, (to_receiver, bytes)) = self.wire.pop_first().unwrap();
            match talk::decode(&bytes, 1024).unwrap() {
                Frame::Message(message, order) if to_receiver => {
                    let id = message.id.clone().unwrap();
                    let source = [192, 0, 2, 2].into();
                    if self.receiver.hear(self.now, source, message, order.as_ref()) {
                        let mut ack = Vec::new();
                        talk::encode_ack(&id, &mut ack);
                        self.post(false, ack);
                    }
                }
                Frame::Ack(id) if !to_receiver => {
                    self.sender.acknowledged(self.now, Self::there(), &id, &mut self.todo);
                }
                other => panic!("{other:?}"),
            }
        }
        self.carry_out();
        while let Some(message) = self.incoming.try_next() {
            self.heard.push(message.text.parse().unwrap());
        }
        true
    }

    pub(super) fn run(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 1_000_000, "it does not come to an end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl World {
        fn restart_receiver(&mut self) {
            let (inbox, incoming) = Incoming::channel(Address::loopback(Protocol::UDP, 1), self.limits.inbox);
            (self.receiver, self.incoming) = (Receiver::new(&self.limits, inbox), incoming);
        }
    }

    fn rising(numbers: &[usize]) -> bool {
        numbers.windows(2).all(|pair| pair[0] < pair[1])
    }

    const BAD: Weather = Weather { lost: 20, doubled: 10, longest: Duration::from_millis(80) };

    #[test]
    fn a_thousand_messages_arrive_once_and_in_order_through_a_bad_network() {
        for seed in 0..16 {
            let mut world = World::new(seed, BAD);
            (0..1000).for_each(|number| world.send(number));
            world.run();
            assert!(world.given_up.is_empty(), "seed {seed}: {:?}", world.given_up);
            assert!(world.heard.iter().copied().eq(0..1000), "seed {seed}");
            assert_eq!(world.acknowledged.len(), 1000, "seed {seed}");
        }
    }

    #[test]
    fn through_a_terrible_network_nothing_is_doubled_and_what_is_acknowledged_arrived() {
        for seed in 0..24 {
            let mut world = World::new(seed, Weather { lost: 75, doubled: 30, longest: Duration::from_millis(900) });
            (0..300).for_each(|number| world.send(number));
            world.run();
            assert!(rising(&world.heard), "seed {seed}: {:?}", world.heard);
            for number in &world.acknowledged {
                assert!(world.heard.contains(number), "seed {seed}: {number} was acknowledged and never came");
            }
            assert_eq!(world.acknowledged.len() + world.given_up.len(), 300, "seed {seed}");
        }
    }

    #[test]
    fn no_weather_at_all_needs_no_repetition() {
        let mut world = World::new(1, Weather { lost: 0, doubled: 0, longest: Duration::ZERO });
        (0..1000).for_each(|number| world.send(number));
        world.run();
        assert_eq!((world.heard.len(), world.posted), (1000, 2000));
        assert_eq!(world.now, world.start);
    }

    #[test]
    fn a_restarted_receiver_goes_on_where_its_sender_stands() {
        for seed in 0..16 {
            let mut world = World::new(seed, BAD);
            (0..400).for_each(|number| world.send(number));
            let before = 200 + world.dice.roll(1500);
            for _ in 0..before {
                world.step();
            }
            world.restart_receiver();
            let cut = world.heard.len();
            world.run();
            assert!(world.given_up.is_empty(), "seed {seed}");
            assert!(rising(&world.heard[..cut]) && rising(&world.heard[cut..]), "seed {seed}");
            // What the first one had taken and not yet handed over went with it; what it had handed over without its
            // acknowledgement arriving comes again. Both are at most a window.
            let missing = (0..400).filter(|number| !world.heard.contains(number)).count();
            assert!(missing < 64, "seed {seed}: {missing} are missing");
            assert!(world.heard.len() <= 400 + 64, "seed {seed}");
            assert!(world.now - world.start < Duration::from_secs(60), "seed {seed}");
        }
    }

    #[test]
    fn a_restarted_sender_is_heard_at_once() {
        for seed in 0..16 {
            let mut world = World::new(seed, BAD);
            (0..200).for_each(|number| world.send(number));
            let before = 100 + world.dice.roll(500);
            for _ in 0..before {
                world.step();
            }
            let gone = std::mem::take(&mut world.sender);
            drop(gone);
            (1000..1200).for_each(|number| world.send(number));
            world.run();
            let (old, new): (Vec<usize>, Vec<usize>) = world.heard.iter().partition(|number| **number < 1000);
            assert!(new.iter().copied().eq(1000..1200), "seed {seed}");
            let mut once = old.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), old.len(), "seed {seed}: an old one came twice");
        }
    }

    #[test]
    fn a_send_that_was_given_up_does_not_delay_what_follows() {
        let mut world = World::new(3, Weather { lost: 100, doubled: 0, longest: Duration::ZERO });
        world.send(0);
        while world.given_up.is_empty() {
            assert!(world.step());
        }
        world.weather.lost = 0;
        let resumed = world.now;
        world.send(1);
        world.run();
        assert_eq!(world.heard, [1]);
        assert_eq!(world.now, resumed);
    }
}
