//! A member's way out: straight into the socket while it takes everything, through a bounded queue when it does not.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::sink::{Batch, Encoding, Offered, Sink};
use crate::limits::Limits;
use crate::message::{Closing, Event};

/// One session's way out.
///
/// Rooms and the session itself put batches in; each goes to the [`Sink`] at once unless something waits already. What
/// the sink does not take waits here, within [`Limits::member_bytes`] and [`Limits::member_messages`]. One that does not
/// keep up is cut: what waits is dropped, the frame in flight is finished, a Close follows.
///
/// A gateway's task awaits [`Outbox::waiting`], then the socket, and calls [`Outbox::flush`].
// In this order: a turn touches every member's, one after the other, and each line of memory that it has to wait for costs.
#[repr(C)]
pub struct Outbox<S: Sink + ?Sized = dyn Sink> {
    queue: Mutex<Queue>,
    seldom: Box<Seldom>,
    sink: S,
}

/// What is not needed while everything is taken at once.
struct Seldom {
    most_bytes: usize,
    most_messages: usize,
    changed: Notify,
    /// Tells whoever paces what they put in that nothing waits any more.
    emptied: Notify,
}

#[derive(Default)]
struct Queue {
    parts: VecDeque<Part>,
    bytes: usize,
    messages: usize,
    /// What is held back, since [`Outbox::hold`]; counted in `bytes` and `messages` as if it waited.
    held: Option<Box<Held>>,
    /// Somebody is offering the sink something just now; others queue behind it.
    busy: bool,
    /// Parts that ever waited, and how many of them are written.
    put: u64,
    taken: u64,
    end: Option<End>,
    /// The cut waits for whoever is busy to tell how far they came.
    cut: bool,
    /// The oldest go when there is no room: kept here, where it costs a turn nothing to look.
    skips: bool,
    /// Events that were pushed out, and not told yet.
    skipped: usize,
}

/// A box of its own, as hardly anybody needs it.
#[derive(Default)]
struct Held {
    batches: Vec<Batch>,
}

struct Part {
    batch: Batch,
    written: usize,
}

/// How a way out ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum End {
    /// The last frame is written or waits; nothing follows it.
    Closing,
    /// The member did not keep up. Whoever still has not read the Close after a while is reset.
    Cut,
    /// Nobody is there.
    Gone,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flushed {
    /// Nothing waits.
    Empty,
    /// There is no room; try again when there is.
    Blocked,
    /// Nobody is there.
    Gone,
}

impl<S: Sink> Outbox<S> {
    /// A way out into `sink`, for [`Hub::open`](super::Hub::open).
    pub fn new(sink: S, limits: &Limits) -> Self {
        let seldom = Seldom {
            most_bytes: limits.member_bytes,
            most_messages: limits.member_messages,
            changed: Notify::new(),
            emptied: Notify::new(),
        };
        let queue = Queue { skips: sink.skips(), ..Queue::default() };
        Self { queue: Mutex::new(queue), seldom: Box::new(seldom), sink }
    }
}

impl<S: Sink + ?Sized> Outbox<S> {
    /// Where it leads.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.sink.encoding()
    }

    /// Puts a batch on its way; `false` when nothing goes out any more.
    pub fn offer(&self, batch: &Batch) -> bool {
        {
            let mut queue = self.lock();
            if queue.end.is_some() {
                return false;
            }
            if queue.skips {
                self.enqueue_skipping(&mut queue, batch);
                return true;
            }
            let held = queue.held.is_some() && !batch.events().is_empty();
            if held || queue.busy || !queue.parts.is_empty() {
                return self.enqueue(&mut queue, batch, held);
            }
            queue.busy = true;
        }
        let offered = self.sink.offer(batch);
        self.settle(batch, offered)
    }

    /// Takes what the sink left over, and what was decided while it was busy.
    fn settle(&self, batch: &Batch, offered: Offered) -> bool {
        let mut queue = self.lock();
        queue.busy = false;
        let written = match offered {
            Offered::All => None,
            Offered::Part(written) => Some(written),
            Offered::Full => Some(0),
            Offered::Gone => {
                self.finish(&mut queue, End::Gone);
                return false;
            }
        };
        if let Some(written) = written {
            if self.encoding().encoder().is_none() {
                // Events have no queue but the receiver's own.
                self.finish(&mut queue, End::Cut);
                return false;
            }
            queue.bytes += batch.bytes().len() - written;
            queue.messages += batch.len();
            queue.put += 1;
            queue.parts.push_front(Part { batch: batch.clone(), written });
        }
        if queue.cut {
            self.cut(&mut queue);
        }
        if queue.parts.is_empty() {
            return queue.end.is_none();
        }
        if self.encoding().encoder().is_some() {
            self.seldom.changed.notify_one();
            return queue.end.is_none();
        }
        // Nobody flushes events: what queued behind this offer goes now.
        drop(queue);
        self.flush();
        self.end().is_none()
    }

    fn enqueue(&self, queue: &mut Queue, batch: &Batch, held: bool) -> bool {
        let (bytes, messages) = (queue.bytes + batch.bytes().len(), queue.messages + batch.len());
        if bytes > self.seldom.most_bytes || messages > self.seldom.most_messages {
            if queue.busy {
                queue.end = Some(End::Cut);
                queue.cut = true;
            } else {
                self.cut(queue);
            }
            return false;
        }
        (queue.bytes, queue.messages) = (bytes, messages);
        match &mut queue.held {
            Some(back) if held => back.batches.push(batch.clone()),
            _ => queue.put(batch.clone()),
        }
        true
    }

    /// Puts each event by itself, and pushes the oldest out when there are too many: but never one that was begun, nor the
    /// newest.
    fn enqueue_skipping(&self, queue: &mut Queue, batch: &Batch) {
        for at in 0..batch.len() {
            let batch = batch.slice(at, at + 1);
            // Of what the wire has no form for, nobody misses anything.
            if batch.bytes().is_empty() {
                continue;
            }
            queue.bytes += batch.bytes().len();
            queue.messages += 1;
            queue.put += 1;
            queue.parts.push_back(Part { batch, written: 0 });
            while queue.bytes > self.seldom.most_bytes || queue.messages > self.seldom.most_messages {
                let begun = usize::from(queue.parts.front().is_some_and(|part| part.written > 0));
                if queue.parts.len() <= begun + 1 {
                    break;
                }
                let Some(part) = queue.parts.remove(begun) else { break };
                queue.bytes -= part.batch.bytes().len();
                queue.messages -= 1;
                queue.taken += 1;
                queue.skipped += 1;
            }
        }
        self.seldom.changed.notify_one();
    }

    /// How many events were pushed out since this was asked last, where that is how the wire goes on ([`Sink::skips`]).
    pub fn skipped(&self) -> usize {
        std::mem::take(&mut self.lock().skipped)
    }

    /// Drops what waits, but for the rest of a frame that was begun, and says goodbye.
    fn cut(&self, queue: &mut Queue) {
        let in_flight = queue.parts.front().and_then(|part| part.batch.in_flight(part.written));
        self.finish(queue, End::Cut);
        queue.cut = false;
        for bytes in in_flight.into_iter().chain([self.close_frame(Closing::TooSlow)]) {
            queue.parts.push_back(Part { batch: Batch::raw(bytes), written: 0 });
        }
    }

    fn finish(&self, queue: &mut Queue, end: End) {
        queue.parts.clear();
        queue.held = None;
        (queue.bytes, queue.messages) = (0, 0);
        queue.end = Some(end);
        self.seldom.changed.notify_one();
        self.seldom.emptied.notify_waiters();
    }

    /// Puts events on its way, for this session alone.
    pub(super) fn tell(&self, events: &[Event]) -> bool {
        let mut bytes = BytesMut::new();
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            if let Some(encoder) = self.encoding().encoder() {
                encoder.encode(event, &mut bytes);
            }
            ends.push(bytes.len());
        }
        if bytes.is_empty() && self.encoding().encoder().is_some() {
            return true;
        }
        self.offer(&Batch::new(bytes.freeze(), ends.into(), events.into()))
    }

    /// From here on what the hub has to say is held back, for an end that must not hear it yet. It counts as written,
    /// and within the bounds of what may wait. The wire's own bytes ([`Batch::raw`]) go out.
    pub fn hold(&self) {
        self.lock().held.get_or_insert_default();
    }

    /// Lets out what was held back, behind `first`, the wire's own word for it.
    pub fn release(&self, first: &Batch) {
        let mut queue = self.lock();
        let Some(held) = queue.held.take().filter(|_| queue.end.is_none()) else { return };
        queue.bytes += first.bytes().len();
        queue.messages += first.len();
        queue.put(first.clone());
        held.batches.into_iter().for_each(|batch| queue.put(batch));
        drop(queue);
        self.flush();
        self.seldom.changed.notify_one();
    }

    /// Whether what comes is held back.
    pub(super) fn is_holding(&self) -> bool {
        self.lock().held.is_some()
    }

    /// Whether half of what may wait here is held back already.
    pub(super) fn holds_much(&self) -> bool {
        let Seldom { most_bytes, most_messages, .. } = *self.seldom;
        let queue = self.lock();
        queue.held.is_some() && (queue.bytes > most_bytes / 2 || queue.messages > most_messages / 2)
    }

    /// Says goodbye behind what waits; nothing goes out after it.
    pub fn close(&self, why: Closing) {
        if self.encoding().encoder().is_none() {
            self.tell(&[Event::Closing(why)]);
        }
        self.close_with(self.close_frame(why));
    }

    /// Puts the wire's own last bytes behind what waits; nothing goes out after them.
    pub fn close_with(&self, bytes: Bytes) {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        queue.end = Some(End::Closing);
        self.seldom.emptied.notify_waiters();
        if !bytes.is_empty() {
            queue.parts.push_back(Part { batch: Batch::raw(bytes), written: 0 });
        }
        self.seldom.changed.notify_one();
    }

    fn close_frame(&self, why: Closing) -> Bytes {
        let mut out = BytesMut::new();
        if let Some(encoder) = self.encoding().encoder() {
            encoder.encode(&Event::Closing(why), &mut out);
        }
        out.freeze()
    }

    /// Whether and how it ended; what is queued may still go out, unless it is [`End::Gone`].
    pub fn end(&self) -> Option<End> {
        self.lock().end
    }

    /// Waits until something is there to flush, or the way out has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future. Only one may wait at a time.
    pub async fn waiting(&self) {
        loop {
            {
                let queue = self.lock();
                if !queue.busy && (queue.end.is_some() || !queue.parts.is_empty()) {
                    return;
                }
            }
            self.seldom.changed.notified().await;
        }
    }

    /// Waits until the way out has ended, for whoever waits for the socket meanwhile.
    ///
    /// # Cancel safety
    /// As for [`Outbox::waiting`], beside which it must not wait.
    pub async fn ended(&self) {
        while self.end().is_none() {
            self.seldom.changed.notified().await;
        }
    }

    /// Gives the sink what waits, until it takes no more.
    pub fn flush(&self) -> Flushed {
        self.flush_with(|batch| self.sink.offer(batch))
    }

    /// Gives `write` what waits, until it takes no more: for wires whose sink takes nothing by itself.
    pub fn flush_with(&self, mut write: impl FnMut(&Batch) -> Offered) -> Flushed {
        let mut queue = self.lock();
        loop {
            if queue.end == Some(End::Gone) {
                return Flushed::Gone;
            }
            if queue.busy {
                // Whoever is busy wakes the flusher when something is left.
                return Flushed::Blocked;
            }
            let Some(part) = queue.parts.pop_front() else {
                self.seldom.emptied.notify_waiters();
                return Flushed::Empty;
            };
            queue.busy = true;
            queue.messages = queue.messages.saturating_sub(part.batch.len());
            drop(queue);
            let length = part.batch.bytes().len();
            let offered = write(&part.batch.clone().tail(part.written));
            queue = self.lock();
            queue.busy = false;
            if offered == Offered::Full && self.encoding().encoder().is_none() {
                self.finish(&mut queue, End::Cut);
                return Flushed::Gone;
            }
            let taken = match offered {
                Offered::All => length - part.written,
                Offered::Part(taken) => taken,
                Offered::Full => 0,
                Offered::Gone => {
                    self.finish(&mut queue, End::Gone);
                    return Flushed::Gone;
                }
            };
            queue.bytes = queue.bytes.saturating_sub(taken);
            let written = part.written + taken;
            if written < length {
                queue.messages += part.batch.len();
                queue.parts.push_front(Part { written, ..part });
            } else if queue.end != Some(End::Cut) {
                // What a cut dropped was never written, though its goodbye is.
                queue.taken += 1;
            }
            if queue.cut {
                self.cut(&mut queue);
            } else if written < length {
                return Flushed::Blocked;
            }
        }
    }

    /// Waits until nothing waits, or the way out has ended: for whoever has much to say, and paces it.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn drained(&self) {
        loop {
            let emptied = self.seldom.emptied.notified();
            tokio::pin!(emptied);
            // From here on no notice is missed.
            emptied.as_mut().enable();
            {
                let queue = self.lock();
                if queue.end.is_some() || queue.parts.is_empty() {
                    return;
                }
            }
            emptied.await;
        }
    }

    /// How many messages may wait here.
    pub(super) fn most_messages(&self) -> usize {
        self.seldom.most_messages
    }

    /// Whether so much is but a share of what may wait here.
    pub(super) fn has_room_for(&self, messages: usize, bytes: usize, share: usize) -> bool {
        messages <= (self.seldom.most_messages / share).max(1) && bytes <= self.seldom.most_bytes / share
            || messages == 0
    }

    /// A mark behind all that was put in; see [`Outbox::passed`].
    pub(super) fn mark(&self) -> u64 {
        self.lock().put
    }

    /// Whether everything before a mark is written.
    pub(super) fn passed(&self, mark: u64) -> bool {
        self.lock().taken >= mark
    }

    /// Bytes and messages that wait.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.bytes, queue.messages)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn put(&mut self, batch: Batch) {
        self.put += 1;
        self.parts.push_back(Part { batch, written: 0 });
    }
}

impl<S: Sink + ?Sized> fmt::Debug for Outbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, messages) = self.queued();
        f.debug_struct("Outbox").field("bytes", &bytes).field("messages", &messages).finish_non_exhaustive()
    }
}

/// One event for several sessions' own ears goes out in as few writes as possible.
pub(super) fn tell_all(told: &mut Vec<(Arc<Outbox>, Event)>) {
    let mut events = Vec::new();
    let mut rest = told.drain(..).peekable();
    while let Some((outbox, event)) = rest.next() {
        events.push(event);
        if rest.peek().is_none_or(|(next, _)| !Arc::ptr_eq(next, &outbox)) {
            outbox.tell(&events);
            events.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::codec::rooms::Plain;

    /// Takes as many bytes as it is allowed to.
    #[derive(Default)]
    struct Pipe {
        room: AtomicUsize,
        taken: Mutex<Vec<u8>>,
    }

    impl Sink for Arc<Pipe> {
        fn encoding(&self) -> Encoding {
            Encoding::new("plain", &Plain)
        }
        fn offer(&self, batch: &Batch) -> Offered {
            let room = self.room.load(Ordering::SeqCst);
            let taken = room.min(batch.bytes().len());
            self.room.store(room - taken, Ordering::SeqCst);
            self.taken.lock().unwrap().extend_from_slice(&batch.bytes()[..taken]);
            match taken {
                _ if taken == batch.bytes().len() => Offered::All,
                0 => Offered::Full,
                _ => Offered::Part(taken),
            }
        }
    }

    fn outbox(room: usize) -> (Arc<Pipe>, Arc<Outbox>) {
        let mut limits = Limits::default();
        (limits.member_bytes, limits.member_messages) = (1000, 10);
        let pipe = Arc::new(Pipe::default());
        pipe.room.store(room, Ordering::SeqCst);
        (pipe.clone(), Arc::new(Outbox::new(pipe, &limits)))
    }

    fn frame(text: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        crate::codec::rooms::frame::text(&mut out, |out| out.extend_from_slice(text.as_bytes()));
        out.to_vec()
    }

    fn raw(text: &str) -> Batch {
        Batch::raw(frame(text).into())
    }

    fn taken(pipe: &Pipe) -> Vec<u8> {
        pipe.taken.lock().unwrap().clone()
    }

    fn too_slow() -> Vec<u8> {
        let mut out = BytesMut::new();
        crate::codec::rooms::frame::close(&mut out, 1008, "you read too slowly");
        out.to_vec()
    }

    #[test]
    fn what_the_sink_leaves_waits_in_order() {
        let (pipe, outbox) = outbox(3);
        assert!(outbox.offer(&raw("one")) && outbox.offer(&raw("two")));
        assert_eq!(taken(&pipe), frame("one")[..3]);
        assert_eq!(outbox.queued(), (7, 2));
        pipe.room.store(4, Ordering::SeqCst);
        assert_eq!(outbox.flush(), Flushed::Blocked);
        pipe.room.store(100, Ordering::SeqCst);
        assert_eq!(outbox.flush(), Flushed::Empty);
        assert_eq!(taken(&pipe), [frame("one"), frame("two")].concat());
        assert_eq!(outbox.queued(), (0, 0));
    }

    #[test]
    fn one_that_does_not_keep_up_is_cut_behind_the_frame_in_flight() {
        for (room, kept) in [
            (3, frame("message 0")),
            (0, vec![]),
            (11, frame("message 0")),
            (12, [frame("message 0"), frame("message 1")].concat()),
        ] {
            let (pipe, outbox) = outbox(room);
            let mut said = 0;
            while outbox.offer(&raw(&format!("message {said}"))) {
                said += 1;
                assert!(said < 20);
            }
            assert!((10..=12).contains(&said), "{said}");
            assert_eq!(outbox.end(), Some(End::Cut));
            assert!(!outbox.offer(&raw("late")));
            pipe.room.store(1000, Ordering::SeqCst);
            assert_eq!(outbox.flush(), Flushed::Empty);
            assert_eq!(taken(&pipe), [kept, too_slow()].concat());
        }
    }

    #[test]
    fn bytes_are_bounded_like_messages() {
        let (_, outbox) = outbox(0);
        let long = "x".repeat(400);
        assert!(outbox.offer(&raw(&long)) && outbox.offer(&raw(&long)));
        assert!(!outbox.offer(&raw(&long)));
        assert_eq!(outbox.end(), Some(End::Cut));
    }

    #[test]
    fn a_close_is_the_last_thing_on_the_queue() {
        let (pipe, outbox) = outbox(2);
        outbox.offer(&raw("one"));
        outbox.close(Closing::Exit);
        assert!(!outbox.offer(&raw("two")));
        outbox.close(Closing::Stopping);
        pipe.room.store(100, Ordering::SeqCst);
        assert_eq!(outbox.flush(), Flushed::Empty);
        assert_eq!(taken(&pipe), [frame("one"), vec![0x88, 2, 0x03, 0xe8]].concat());
    }

    /// Takes nothing by itself, and is slow.
    struct Slow;

    impl Sink for Slow {
        fn encoding(&self) -> Encoding {
            Encoding::new("plain", &Plain)
        }
        fn offer(&self, _: &Batch) -> Offered {
            panic!("nothing is offered to it");
        }
        fn skips(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_slow_one_loses_the_oldest_and_is_not_cut() {
        let mut limits = Limits::default();
        (limits.member_bytes, limits.member_messages) = (1000, 5);
        let outbox = Outbox::new(Slow, &limits);
        let text = |n: usize| frame(&format!("{{\"from\":\"system\",\"body\":\"{n}\"}}"));
        let events: Vec<_> = (0..3).map(|n| Event::System(n.to_string().into())).collect();
        assert!(outbox.tell(&events));
        // One that was begun stays, whatever comes.
        assert_eq!(outbox.flush_with(|_| Offered::Part(1)), Flushed::Blocked);
        let mark = outbox.mark();
        for n in 3..10 {
            assert!(outbox.tell(&[Event::System(n.to_string().into())]));
        }
        assert_eq!((outbox.skipped(), outbox.skipped()), (5, 0));
        assert_eq!(outbox.queued(), (5 * text(0).len() - 1, 5));
        assert!(outbox.passed(mark), "what was pushed out is waited for by nobody");
        let mut taken = Vec::new();
        let flushed = outbox.flush_with(|batch| {
            taken.extend_from_slice(batch.bytes());
            Offered::All
        });
        let expected = [&text(0)[1..], &text(6), &text(7), &text(8), &text(9)].concat();
        assert_eq!((flushed, taken), (Flushed::Empty, expected));
        assert_eq!((outbox.queued(), outbox.end()), ((0, 0), None));
        // The newest stays however long it is, and what has no form is missed by nobody.
        outbox.tell(&[Event::System("x".repeat(2000).into()), Event::Sessions(Arc::default())]);
        assert_eq!((outbox.queued().1, outbox.skipped()), (1, 0));
    }

    #[test]
    fn what_is_held_back_comes_behind_the_word_that_lets_it_out() {
        let (pipe, outbox) = outbox(1000);
        let said = |text: &str| frame(&format!("{{\"from\":\"system\",\"body\":\"{text}\"}}"));
        outbox.hold();
        assert!(outbox.tell(&[Event::System("a".into())]) && outbox.tell(&[Event::System("b".into())]));
        let mark = outbox.mark();
        assert!(outbox.passed(mark), "for whoever said it it is written");
        assert!(outbox.offer(&raw("0")));
        assert_eq!(taken(&pipe), frame("0"));
        assert_eq!(outbox.queued(), (said("a").len() * 2, 2));
        assert!(outbox.is_holding());
        // The last byte of the word finds no room yet.
        pipe.room.store(2, Ordering::SeqCst);
        outbox.release(&raw("1"));
        assert!(outbox.tell(&[Event::System("c".into())]));
        assert_eq!(taken(&pipe), [frame("0"), frame("1")[..2].to_vec()].concat());
        pipe.room.store(1000, Ordering::SeqCst);
        assert_eq!(outbox.flush(), Flushed::Empty);
        assert_eq!(taken(&pipe), [frame("0"), frame("1"), said("a"), said("b"), said("c")].concat());
        assert_eq!((outbox.queued(), outbox.is_holding()), ((0, 0), false));
        outbox.release(&raw("1"));
        assert_eq!(outbox.queued(), (0, 0), "nothing is let out twice");
    }

    #[test]
    fn what_is_held_back_is_bounded_and_goes_with_the_end() {
        let (pipe, full) = outbox(1000);
        full.hold();
        let mut held = 0;
        while full.tell(&[Event::System("a".into())]) {
            held += 1;
            assert!(held < 20);
        }
        assert_eq!((held, full.end()), (10, Some(End::Cut)));
        assert_eq!(full.flush(), Flushed::Empty);
        assert_eq!(taken(&pipe), too_slow());

        let (pipe, closed) = outbox(1000);
        closed.hold();
        closed.tell(&[Event::System("a".into())]);
        closed.close(Closing::Exit);
        closed.release(&raw("1"));
        assert_eq!(closed.flush(), Flushed::Empty);
        assert_eq!(taken(&pipe), [0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn several_events_for_one_session_leave_in_one_write() {
        let (pipe, outbox) = outbox(1000);
        let mut told = vec![(outbox.clone(), Event::System("a".into())), (outbox.clone(), Event::System("b".into()))];
        tell_all(&mut told);
        assert!(told.is_empty());
        let text = |t: &str| frame(&format!("{{\"from\":\"system\",\"body\":\"{t}\"}}"));
        assert_eq!(taken(&pipe), [text("a"), text("b")].concat());
    }
}
