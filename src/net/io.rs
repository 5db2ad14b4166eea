//! The server's side of a TCP connection as hyper sees it.
//!
//! It adds what hyper leaves out: a body for the bare answers that hyper gives to heads it cannot parse, a bound on
//! how long a client may leave an answer unread or take it in drops, a look at the lengths that a raw head declares
//! (hyper drops the `Content-Length` beside a `Transfer-Encoding`), and the socket back when hyper is done, for the
//! last word (408). The time for a head is kept here too: hyper would make and drop a timer for every request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use memchr::memchr;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::limits::Limits;

/// What the task that serves a connection knows of it while hyper has it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The socket, once hyper has given it up.
    back: Mutex<Option<TcpStream>>,
    /// Whether bytes came since the last answer: a request that has begun.
    pub(super) heard: AtomicBool,
    /// Whether a request is being answered, so that no head is waited for.
    pub(super) answering: AtomicBool,
    /// Whether hyper has been given the beginning of an answer, and not its end.
    pub(super) rest: AtomicBool,
    /// Whether something of an answer has not gone out.
    unsent: AtomicBool,
    /// Whether a head did not arrive in time.
    pub(super) late: AtomicBool,
    /// Whether a head declared both lengths that a body can have: a mark of request smuggling.
    pub(super) two_lengths: AtomicBool,
    /// Whether the connection no longer carries HTTP.
    pub(super) upgraded: AtomicBool,
}

impl Shared {
    /// The socket, if hyper has given it up.
    pub(super) fn take(&self) -> Option<TcpStream> {
        self.back.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether a request has come whose answer has not gone out whole.
    pub(super) fn is_in_progress(&self) -> bool {
        let flags = [&self.answering, &self.rest, &self.unsent, &self.upgraded];
        flags.into_iter().any(|flag| flag.load(Ordering::Relaxed))
    }
}

/// What hyper reads and writes.
pub(crate) struct Io {
    /// Here until it is dropped.
    stream: Option<TcpStream>,
    shared: Arc<Shared>,
    lengths: Lengths,
    /// Rest of a rewritten answer that the socket did not take yet.
    pending: Bytes,
    rewrite: fn(&[u8]) -> Option<Bytes>,
    /// When what is being written must have gone out, and how much of it went since that was set.
    stalled: Option<Pin<Box<Sleep>>>,
    gone: usize,
    /// None: whoever writes sees to it that little waits, and that nobody waits for it.
    write_timeout: Option<Duration>,
    head: Option<HeadTimer>,
}

/// The time for a head, from the last answer on. The timer is not moved for each request: when it fires, it looks
/// whether it was meant.
struct HeadTimer {
    since: Instant,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Io {
    /// `rewrite` sees each write of hyper's and may put other bytes in its place.
    pub(super) fn new(
        stream: TcpStream,
        shared: Arc<Shared>,
        rewrite: fn(&[u8]) -> Option<Bytes>,
        limits: &Limits,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(limits.head_timeout));
        Self {
            stream: Some(stream),
            shared,
            lengths: Lengths::default(),
            pending: Bytes::new(),
            rewrite,
            stalled: None,
            gone: 0,
            write_timeout: Some(limits.body_timeout),
            head: Some(HeadTimer { since: Instant::now(), limit: limits.head_timeout, timer }),
        }
    }

    /// From here on the bytes are not hyper's: nothing is put in their place, and neither heads nor writes have a time.
    pub(super) fn plain(mut self) -> Self {
        self.rewrite = |_| None;
        self.head = None;
        self.write_timeout = None;
        self
    }

    /// The socket itself, for its options and for the last bytes.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The socket, for who reads and writes by other means from here on.
    pub(crate) fn into_stream(mut self) -> Option<TcpStream> {
        self.stream.take()
    }

    fn poll_try_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = self.stream()?.poll_write(cx, bytes) {
            self.gone += done.as_ref().map_or(0, |written| *written);
            if self.gone >= PACE {
                (self.stalled, self.gone) = (None, 0);
            }
            return Poll::Ready(done);
        }
        let Some(write_timeout) = self.write_timeout else { return Poll::Pending };
        let sleep = match &mut self.stalled {
            Some(sleep) => sleep,
            none => {
                self.gone = 0;
                none.insert(Box::pin(tokio::time::sleep_until(Instant::now() + write_timeout)))
            }
        };
        ready!(sleep.as_mut().poll(cx));
        // The system drops what it holds for that reader too, when the socket is closed.
        let _ = SockRef::from(&*self.stream()?).set_linger(Some(Duration::ZERO));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let rest = self.pending.clone();
            let written = ready!(self.poll_try_write(cx, &rest))?;
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when a head is waited for and its time is over.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(head) = &mut self.head else { return Poll::Pending };
        while head.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let busy = self.stalled.is_some() || self.shared.answering.load(Ordering::Relaxed);
            let end = if busy { now + head.limit } else { head.since + head.limit };
            if end <= now {
                return Poll::Ready(());
            }
            head.timer.as_mut().reset(end);
        }
        Poll::Pending
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.head.is_none() {
            return;
        }
        self.shared.heard.store(true, Ordering::Relaxed);
        if self.lengths.see(bytes) {
            self.shared.two_lengths.store(true, Ordering::Relaxed);
        }
    }

    fn note_write(&mut self) {
        let Some(head) = &mut self.head else { return };
        head.since = Instant::now();
        self.shared.heard.store(false, Ordering::Relaxed);
        self.shared.unsent.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match this.stream()?.poll_read(cx, buf) {
            Poll::Ready(done) => {
                done?;
                this.note_read(&buf.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                ready!(this.poll_late(cx));
                this.shared.late.store(true, Ordering::Relaxed);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        self.note_write();
        if let Some(other) = (self.rewrite)(bytes) {
            self.pending = other;
            // What the socket does not take now goes out at the next write or flush.
            if let Poll::Ready(result) = self.poll_pending(cx) {
                result?;
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_try_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        // A piece that went out is not the answer: its reader must keep the pace.
        if !self.shared.rest.load(Ordering::Relaxed) {
            self.stalled = None;
            self.shared.unsent.store(false, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        self.stream()?.poll_shutdown(cx)
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        *self.shared.back.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

/// Looks for a head with both `Content-Length` and `Transfer-Encoding` in a stream of requests.
///
/// It knows lines and blank lines but not where bodies are, so lines in a body may count too: what it finds matters
/// only for a request that is chunked, and JSON has no such lines.
#[derive(Debug, Default)]
struct Lengths {
    /// The first bytes of a line whose end has not come.
    line: [u8; LONGEST],
    seen: usize,
    content_length: bool,
    transfer_encoding: bool,
}

impl Lengths {
    /// Tells whether the lines read so far, since the last blank one, hold both.
    fn see(&mut self, mut bytes: &[u8]) -> bool {
        let mut both = false;
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.seen == 0 {
                self.see_line(line);
            } else {
                self.keep(line);
                let (line, seen) = (self.line, self.seen);
                self.see_line(&line[..seen]);
                self.seen = 0;
            }
            both |= self.content_length && self.transfer_encoding;
            bytes = rest;
        }
        self.keep(bytes);
        both
    }

    /// Keeps the first bytes of a line whose end has not come.
    fn keep(&mut self, piece: &[u8]) {
        let taken = piece.len().min(LONGEST - self.seen);
        self.line[self.seen..self.seen + taken].copy_from_slice(&piece[..taken]);
        self.seen += taken;
    }

    fn see_line(&mut self, line: &[u8]) {
        match line {
            [] | [b'\r'] => (self.content_length, self.transfer_encoding) = (false, false),
            [b'c' | b'C', ..] => self.content_length |= begins(line, b"content-length"),
            [b't' | b'T', ..] => self.transfer_encoding |= begins(line, b"transfer-encoding"),
            _ => {}
        }
    }
}

fn begins(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Bytes of an answer that a client must take in each `write_timeout`. 1 MiB: over the default of 30 s that is slower
/// than any line on which somebody would wait for a long answer.
const PACE: usize = 1 << 20;
/// The length of `transfer-encoding`.
const LONGEST: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, pieces: usize) -> bool {
        let mut lengths = Lengths::default();
        text.as_bytes().chunks(pieces).fold(false, |found, piece| found | lengths.see(piece))
    }

    #[test]
    fn both_lengths_in_one_head_are_found_however_the_bytes_arrive() {
        for pieces in [1, 2, 3, 7, 16, 1000] {
            assert!(found("PUT / HTTP/1.1\r\nContent-Length: 5\r\nTRANSFER-ENCODING: chunked\r\n\r\n", pieces));
            assert!(found("PUT / HTTP/1.1\ntransfer-encoding: chunked\nx: y\ncontent-length: 5\n\n", pieces));
            let before = "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
            let after = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
            assert!(!found(&format!("{before}{after}{before}"), pieces));
        }
    }
}
