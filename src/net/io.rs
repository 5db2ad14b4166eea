//! The server's side of a TCP connection as hyper sees it.
//!
//! It adds what hyper leaves out: a body for the bare answers that hyper gives to heads it cannot parse, a bound on
//! how long a client may leave an answer unread, and a handle by which the last word (408) can be said after hyper has
//! given up.

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
}

/// What hyper reads and writes.
pub(super) struct Io {
    shared: Arc<Shared>,
    /// Rest of a rewritten answer that the socket did not take yet.
    pending: Bytes,
    rewrite: fn(&[u8]) -> Option<Bytes>,
    stalled: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
}

impl Io {
    /// `rewrite` sees each write of hyper's and may put other bytes in its place.
    pub(super) fn new(shared: Arc<Shared>, rewrite: fn(&[u8]) -> Option<Bytes>, write_timeout: Duration) -> Self {
        Self { shared, pending: Bytes::new(), rewrite, stalled: None, write_timeout }
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
        loop {
            ready!(self.shared.stream.poll_read_ready(cx))?;
            match self.shared.stream.try_read_buf(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
                Ok(read) => {
                    if read > 0 {
                        self.shared.heard.store(true, Ordering::Relaxed);
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
