//! The way out of a console client: one object at a time, with time between them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::codec::console::{Console, MAX_HEARD, PACE, first_object, system_message};
use crate::hub::{Batch, Encoding, Flushed, Offered, Outbox, Sink};
use crate::limits::Limits;
use crate::net::http::linger;
use crate::tape::Tape;

/// Where the objects for a client go: into its queue, from where [`Paced`] takes them.
pub(super) struct Client {
    stream: TcpStream,
    tape: Option<Arc<dyn Tape>>,
}

impl Client {
    /// A client's way out. What waits there is what can be written in a quarter of a minute or so: who is behind by more
    /// has no use for it.
    pub(super) fn outbox(stream: TcpStream, limits: &Limits, tape: Option<Arc<dyn Tape>>) -> Arc<Outbox<Self>> {
        // A machine that vanished says nothing, so only the system finds out.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        let mut own = limits.clone();
        own.member_messages = limits.console_messages;
        own.member_bytes = limits.console_messages.saturating_mul(MAX_HEARD);
        Arc::new(Outbox::new(Self { stream, tape }, &own))
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn tape(&self) -> Option<&Arc<dyn Tape>> {
        self.tape.as_ref()
    }
}

impl Sink for Client {
    fn encoding(&self) -> Encoding {
        CONSOLE
    }

    fn offer(&self, _: &Batch) -> Offered {
        Offered::Full
    }

    fn echo(&self) -> bool {
        false
    }

    fn skips(&self) -> bool {
        true
    }
}

/// Writes what waits for a client, as fast as the clients in the field can take it: they look five times a second, and
/// take what is there for one object.
#[derive(Debug)]
pub(super) struct Paced {
    /// What a client is called when it hears that it missed something.
    name: String,
    /// When the next object may begin.
    next: Instant,
    /// Bytes of the object that was begun.
    left: usize,
    /// Whether the last object was an event's last.
    between: bool,
    /// Rest of a notice that was begun.
    notice: BytesMut,
    /// Events that were skipped and not told, and since when.
    skipped: usize,
    since: Option<Instant>,
}

impl Paced {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            next: Instant::now(),
            left: 0,
            between: true,
            notice: BytesMut::new(),
            skipped: 0,
            since: None,
        }
    }

    /// Carries what waits to the socket, until the outbox ends.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn carry(&mut self, outbox: &Outbox<Client>) {
        loop {
            // A notice that is due needs nothing behind it.
            if self.skipped == 0 && self.notice.is_empty() {
                outbox.waiting().await;
            }
            if outbox.end().is_some() {
                return;
            }
            // An end is not to wait for a socket that may never have room again.
            tokio::select! {
                biased;
                () = outbox.ended() => return,
                flushed = self.step(outbox) => {
                    if flushed == Flushed::Gone {
                        return;
                    }
                }
            }
        }
    }

    /// Lets what waits out, as far as that is possible in the time for last bytes, and the other end go.
    pub(super) async fn finish(mut self, outbox: &Outbox<Client>) {
        let rest = async {
            loop {
                match self.step(outbox).await {
                    Flushed::Empty if self.skipped == 0 => return true,
                    Flushed::Gone => return false,
                    _ => {}
                }
            }
        };
        let stream = outbox.sink().stream();
        if tokio::time::timeout(LAST_BYTES, rest).await.unwrap_or(false) {
            linger(stream).await;
        } else {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Writes one object, or more of the one that was begun, when the time for it has come and the socket has room.
    async fn step(&mut self, outbox: &Outbox<Client>) -> Flushed {
        if self.left == 0 && self.notice.is_empty() {
            sleep_until(self.next).await;
        }
        let stream = outbox.sink().stream();
        if stream.writable().await.is_err() {
            return Flushed::Gone;
        }
        let write = |bytes: &[u8]| {
            let written = stream.try_write(bytes)?;
            if let Some(tape) = outbox.sink().tape() {
                tape.wrote(&Bytes::copy_from_slice(&bytes[..written]));
            }
            Ok(written)
        };
        self.write(outbox, write, Instant::now())
    }

    fn write(
        &mut self,
        outbox: &Outbox<Client>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        now: Instant,
    ) -> Flushed {
        if self.left == 0 && self.between && self.notice.is_empty() {
            self.look_back(outbox, now);
        }
        if !self.notice.is_empty() {
            match write(&self.notice) {
                Ok(0) => return Flushed::Gone,
                Ok(written) => self.notice.advance(written),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Flushed::Gone,
            }
            if self.notice.is_empty() {
                self.next = now + PACE;
            }
            return Flushed::Blocked;
        }
        let mut done = false;
        outbox.flush_with(|batch| {
            if done {
                return Offered::Full;
            }
            done = true;
            let bytes = batch.bytes();
            if self.left == 0 {
                self.left = first_object(bytes);
            }
            let object = self.left.min(bytes.len());
            match write(&bytes[..object]) {
                Ok(0) => Offered::Gone,
                Ok(written) => {
                    self.left -= written;
                    if self.left == 0 {
                        self.next = now + PACE;
                        self.between = batch.ends().any(|end| end == object);
                    }
                    if written == bytes.len() { Offered::All } else { Offered::Part(written) }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Offered::Full,
                Err(_) => Offered::Gone,
            }
        })
    }

    /// Makes a notice of what was skipped: once nothing more is, or when that goes on for long.
    fn look_back(&mut self, outbox: &Outbox<Client>, now: Instant) {
        let skipped = outbox.skipped();
        self.skipped += skipped;
        if self.skipped == 0 {
            return;
        }
        let since = *self.since.get_or_insert(now);
        if skipped == 0 || now >= since + PATIENCE {
            system_message(&mut self.notice, &self.name, &format!("{} messages skipped", self.skipped));
            (self.skipped, self.since) = (0, None);
        }
    }
}

/// One encoding for all of them.
const CONSOLE: Encoding = Encoding::new("console", &Console);
/// How long a client may be losing messages before it is told so for the first time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Silence after which the system asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Time for what waits to be taken when a session is over; then a reset.
const LAST_BYTES: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::console::message;

    /// A way out of whose socket nothing is needed here.
    async fn outbox(messages: usize) -> Arc<Outbox<Client>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut limits = Limits::default();
        limits.console_messages = messages;
        Client::outbox(stream, &limits, None)
    }

    fn said(text: &str) -> Bytes {
        let mut bytes = BytesMut::new();
        message(&mut bytes, "ann", text);
        bytes.freeze()
    }

    #[tokio::test]
    async fn an_object_that_was_begun_is_finished_before_anything_else() {
        let outbox = outbox(4).await;
        let mut paced = Paced::new("bob");
        let long = said(&"x".repeat(1500));
        for bytes in [long.clone(), said("one"), said("two"), said("three"), said("four")] {
            outbox.offer(&Batch::raw(bytes));
        }
        let (mut written, now) = (Vec::new(), Instant::now());
        // The first was pushed out before it was begun; the next one is, and what comes is no reason to leave it.
        let mut sockets_room = 10;
        loop {
            let before = written.len();
            let flushed = paced.write(
                &outbox,
                |bytes| match bytes.len().min(sockets_room) {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    taken => {
                        written.extend_from_slice(&bytes[..taken]);
                        Ok(taken)
                    }
                },
                now,
            );
            match written.len() {
                10 if before == 0 => {
                    for n in 0..10 {
                        outbox.offer(&Batch::raw(said(&n.to_string())));
                    }
                    sockets_room = 0;
                }
                10 => sockets_room = 7,
                _ => {}
            }
            if flushed == Flushed::Empty && paced.skipped == 0 {
                break;
            }
        }
        let mut notice = BytesMut::new();
        system_message(&mut notice, "bob", "11 messages skipped");
        let expected = [&said("one")[..], &said("7"), &notice, &said("8"), &said("9")].concat();
        assert_eq!(String::from_utf8(written).unwrap(), String::from_utf8(expected).unwrap());
    }

    #[tokio::test]
    async fn one_step_writes_one_object_and_sets_the_time_for_the_next() {
        let outbox = outbox(64).await;
        let mut paced = Paced::new("bob");
        let (long, end) = (said(&"x".repeat(3000)), said("end"));
        outbox.offer(&Batch::raw([&long[..], &end].concat().into()));
        let (mut sizes, now) = (Vec::new(), Instant::now());
        while paced.write(
            &outbox,
            |bytes| {
                sizes.push(bytes.len());
                Ok(bytes.len())
            },
            now,
        ) != Flushed::Empty
        {
            assert_eq!(paced.next, now + PACE);
        }
        assert_eq!(sizes.len(), 5);
        assert!(sizes[..3].iter().all(|size| *size == 1024), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), long.len() + end.len());
    }

    #[tokio::test]
    async fn a_notice_needs_no_message_behind_it() {
        let outbox = outbox(1).await;
        let mut paced = Paced::new("bob");
        for n in 0..3 {
            outbox.offer(&Batch::raw(said(&n.to_string())));
        }
        let (mut written, now) = (Vec::new(), Instant::now());
        for _ in 0..3 {
            paced.write(
                &outbox,
                |bytes| {
                    written.extend_from_slice(bytes);
                    Ok(bytes.len())
                },
                now,
            );
        }
        assert!(String::from_utf8(written).unwrap().ends_with("\"2 messages skipped\"}"));
        assert_eq!(paced.write(&outbox, |_| Err(io::ErrorKind::BrokenPipe.into()), now), Flushed::Empty);
        outbox.offer(&Batch::raw(said("late")));
        assert_eq!(paced.write(&outbox, |_| Err(io::ErrorKind::BrokenPipe.into()), now), Flushed::Gone);
    }
}
