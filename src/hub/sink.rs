//! Where a room's turn goes: batches of bytes, encoded once for all members that speak the same wire.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::codec::Encode;
use crate::message::Event;

/// How the events for a member become bytes. Members with equal encodings share them.
#[derive(Clone, Copy)]
pub struct Encoding {
    name: &'static str,
    encoder: Option<&'static dyn Encode>,
    confirming: bool,
    remote: bool,
}

impl Encoding {
    /// No bytes: the member takes the events themselves.
    pub const EVENTS: Self = Self { name: "events", encoder: None, confirming: false, remote: false };

    /// An encoding; `name` tells it from all others.
    #[must_use]
    pub const fn new(name: &'static str, encoder: &'static dyn Encode) -> Self {
        Self { name, encoder: Some(encoder), confirming: false, remote: false }
    }

    /// For a wire on which programs tell that they took a direct message, so that one who does not is worth a word.
    #[must_use]
    pub const fn confirming(self) -> Self {
        Self { confirming: true, ..self }
    }

    /// For a confirming wire beyond which somebody else sends on, and tells of each direct message what became of it
    /// ([`Seat::doubt`](super::Seat::doubt)): nobody need wait for it with a clock.
    #[must_use]
    pub const fn remote(self) -> Self {
        Self { confirming: true, remote: true, ..self }
    }

    pub(super) fn is_confirming(&self) -> bool {
        self.confirming
    }

    pub(super) fn is_remote(&self) -> bool {
        self.remote
    }

    pub(super) fn encoder(&self) -> Option<&'static dyn Encode> {
        self.encoder
    }
}

impl PartialEq for Encoding {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Encoding {}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Events one after the other, and their bytes in one encoding. Cloning and slicing share both.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    /// Where `bytes` start, on the scale of `ends`.
    base: usize,
    /// Where each event's bytes end.
    ends: Arc<[usize]>,
    events: Arc<[Event]>,
    /// Which of them this holds.
    first: usize,
    last: usize,
}

impl Batch {
    pub(super) fn new(bytes: Bytes, ends: Arc<[usize]>, events: Arc<[Event]>) -> Self {
        let last = ends.len();
        Self { bytes, base: 0, ends, events, first: 0, last }
    }

    /// Bytes of the wire's own, such as a pong: one whole frame or several, and no event.
    #[must_use]
    pub fn raw(bytes: Bytes) -> Self {
        let ends = Arc::from([bytes.len()]);
        Self { bytes, base: 0, ends, events: Arc::default(), first: 0, last: 1 }
    }

    /// The bytes; none in [`Encoding::EVENTS`].
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.events.get(self.first..self.last).unwrap_or_default()
    }

    /// Where each event's frames end in [`Batch::bytes`]; two ends are equal when the wire has no form for an event.
    pub fn ends(&self) -> impl Iterator<Item = usize> {
        self.ends[self.first..self.last].iter().map(|end| end - self.base)
    }

    pub(super) fn len(&self) -> usize {
        self.last - self.first
    }

    /// The events from `from` up to `to`, counted from this batch's first.
    pub(super) fn slice(&self, from: usize, to: usize) -> Self {
        let (first, last) = (self.first + from, self.first + to);
        let start = if first == 0 { self.base } else { self.ends[first - 1].max(self.base) };
        let end = if last == 0 { start } else { self.ends[last - 1].max(start) };
        let bytes = self.bytes.slice(start - self.base..end - self.base);
        Self { bytes, base: start, ends: self.ends.clone(), events: self.events.clone(), first, last }
    }

    /// What is left behind the first `written` bytes.
    pub(super) fn tail(mut self, written: usize) -> Self {
        // Events have no bytes by which to tell which of them are behind.
        if written == 0 {
            return self;
        }
        self.bytes.advance(written);
        self.base += written;
        while self.first < self.last && self.ends[self.first] <= self.base {
            self.first += 1;
        }
        self
    }

    /// The rest of a frame of which the first `written` bytes of the batch hold only a part.
    pub(super) fn in_flight(&self, written: usize) -> Option<Bytes> {
        let end = self.ends().find(|end| *end >= written)?;
        (written > 0 && end > written).then(|| self.bytes.slice(written..end))
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Offered {
    /// All of it was taken.
    All,
    /// So many bytes were taken; there is no room for more now.
    Part(usize),
    /// Nothing was taken; there is no room now.
    Full,
    /// Nobody is there to take it.
    Gone,
}

/// Where a member's bytes go. Gateways implement it.
pub trait Sink: Send + Sync + 'static {
    /// How events become bytes here.
    fn encoding(&self) -> Encoding;

    /// Takes what it can at once; never waits. What it does not take is kept in the member's bounded queue, and comes
    /// again when the gateway calls [`Outbox::flush`](super::Outbox::flush). Calls for one member never overlap.
    fn offer(&self, batch: &Batch) -> Offered;

    /// Whether the session hears in a room what it said there itself.
    fn echo(&self) -> bool {
        true
    }

    /// Whether this member is slow by the nature of its wire. Then nothing is offered but by its gateway's
    /// [`flush_with`](super::Outbox::flush_with), and what does not fit into the queue pushes the oldest events out
    /// ([`Outbox::skipped`](super::Outbox::skipped)) instead of having the member cut.
    fn skips(&self) -> bool {
        false
    }

    /// Whether what is said to the user alone can be told here. A user with no session where it can takes no direct
    /// messages meanwhile, and what came before waits for one.
    fn takes_direct(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(frames: &[&str]) -> Batch {
        let mut ends = Vec::new();
        let bytes = frames.concat();
        frames.iter().fold(0, |end, frame| {
            ends.push(end + frame.len());
            end + frame.len()
        });
        let events = frames.iter().map(|f| Event::System((*f).into())).collect();
        Batch::new(bytes.into(), ends.into(), events)
    }

    #[test]
    fn slices_hold_their_events_and_their_bytes() {
        let all = batch(&["aa", "", "bbb", "c"]);
        for (from, to, bytes) in [(0, 4, "aabbbc"), (0, 1, "aa"), (1, 2, ""), (1, 3, "bbb"), (3, 4, "c"), (4, 4, "")] {
            let part = all.slice(from, to);
            assert_eq!(part.bytes(), bytes);
            assert_eq!(part.events(), &all.events()[from..to]);
            assert_eq!(part.ends().last().unwrap_or(0), bytes.len());
        }
        let inner = all.slice(2, 4).slice(1, 2);
        assert_eq!((&inner.bytes()[..], inner.len()), (&b"c"[..], 1));
    }

    #[test]
    fn a_tail_begins_behind_what_was_written() {
        let tail = batch(&["aa", "bbb", "c"]).tail(3);
        assert_eq!(tail.bytes(), "bbc");
        assert_eq!(tail.ends().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(tail.events(), [Event::System("bbb".into()), Event::System("c".into())]);
        let events: Arc<[Event]> = vec![Event::System("a".into()), Event::System("b".into())].into();
        let without_bytes = Batch::new(Bytes::new(), Arc::from([0, 0]), events.clone());
        assert_eq!(without_bytes.tail(0).events(), &*events);
    }

    #[test]
    fn only_a_frame_that_was_begun_is_in_flight() {
        let all = batch(&["aa", "bbb", "c"]);
        let in_flight: Vec<_> = (0..=6).map(|n| all.in_flight(n)).collect();
        let rest = |text: &'static str| Some(Bytes::from(text));
        assert_eq!(in_flight, [None, rest("a"), None, rest("bb"), rest("b"), None, None]);
    }
}
