//! The server's side of a TCP connection as hyper sees it.
//!
//! It adds what hyper leaves out: a body for the bare answers that hyper gives to heads it cannot parse, a bound on
//! how long a client may leave an answer unread, a look at the lengths that a raw head declares (hyper drops the
//! `Content-Length` beside a `Transfer-Encoding`), and a handle by which the last word (408) can be said after hyper
//! has given up.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// A connection that two hold: hyper, and the task that serves it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) stream: TcpStream,
    /// Whether bytes came since the last answer: a request that has begun.
    pub(super) heard: AtomicBool,
    /// Whether a head declared both lengths that a body can have: a mark of request smuggling.
    pub(super) two_lengths: AtomicBool,
    /// Whether the connection no longer carries HTTP.
    pub(super) upgraded: AtomicBool,
}

impl Shared {
    pub(super) fn new(stream: TcpStream) -> Self {
        let no = || AtomicBool::new(false);
        Self { stream, heard: no(), two_lengths: no(), upgraded: no() }
    }
}

/// What hyper reads and writes.
pub(crate) struct Io {
    shared: Arc<Shared>,
    lengths: Lengths,
    /// Rest of a rewritten answer that the socket did not take yet.
    pending: Bytes,
    rewrite: fn(&[u8]) -> Option<Bytes>,
    stalled: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
}

impl Io {
    /// `rewrite` sees each write of hyper's and may put other bytes in its place.
    pub(super) fn new(shared: Arc<Shared>, rewrite: fn(&[u8]) -> Option<Bytes>, write_timeout: Duration) -> Self {
        Self { shared, lengths: Lengths::default(), pending: Bytes::new(), rewrite, stalled: None, write_timeout }
    }

    /// From here on the bytes are not hyper's, and nothing is put in their place.
    pub(super) fn plain(mut self) -> Self {
        self.rewrite = |_| None;
        self
    }

    /// The socket itself, for its options and for the last bytes.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.shared.stream
    }

    fn poll_try_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.shared.stream.poll_write_ready(cx)? {
                Poll::Ready(()) => match self.shared.stream.try_write(bytes) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    done => {
                        self.stalled = None;
                        return Poll::Ready(done);
                    }
                },
                Poll::Pending => {
                    let deadline = Instant::now() + self.write_timeout;
                    let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                    ready!(sleep.as_mut().poll(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let rest = self.pending.clone();
            let written = ready!(self.poll_try_write(cx, &rest))?;
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.shared.stream.poll_read_ready(cx))?;
            let before = buf.filled().len();
            match this.shared.stream.try_read_buf(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
                Ok(read) => {
                    if read > 0 && !this.shared.upgraded.load(Ordering::Relaxed) {
                        this.shared.heard.store(true, Ordering::Relaxed);
                        if this.lengths.see(&buf.filled()[before..]) {
                            this.shared.two_lengths.store(true, Ordering::Relaxed);
                        }
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(cx))?;
        self.shared.heard.store(false, Ordering::Relaxed);
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
        self.poll_pending(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Poll::Ready(SockRef::from(&self.shared.stream).shutdown(Shutdown::Write))
    }
}

/// Looks for a head with both `Content-Length` and `Transfer-Encoding` in a stream of requests.
///
/// It knows lines and blank lines but not where bodies are, so lines in a body may count too: what it finds matters
/// only for a request that is chunked, and JSON has no such lines.
#[derive(Debug, Default)]
struct Lengths {
    /// The first bytes of the line that is being read, in lower case.
    line: [u8; LONGEST],
    seen: usize,
    content_length: bool,
    transfer_encoding: bool,
}

impl Lengths {
    /// Tells whether the lines read so far, since the last blank one, hold both.
    fn see(&mut self, mut bytes: &[u8]) -> bool {
        let mut both = false;
        while !bytes.is_empty() {
            let end = bytes.iter().position(|b| *b == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            for byte in part.iter().take(LONGEST.saturating_sub(self.seen)) {
                self.line[self.seen] = byte.to_ascii_lowercase();
                self.seen += 1;
            }
            let Some(end) = end else { break };
            let line = &self.line[..self.seen];
            if line.is_empty() || line == b"\r" {
                (self.content_length, self.transfer_encoding) = (false, false);
            }
            self.content_length |= line.starts_with(b"content-length");
            self.transfer_encoding |= line.starts_with(b"transfer-encoding");
            both |= self.content_length && self.transfer_encoding;
            self.seen = 0;
            bytes = &bytes[end + 1..];
        }
        both
    }
}

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
