//! What every wire shares between a bare socket and a member's queue: rooms write into the socket themselves, and what
//! it does not take is carried there by the connection's own task.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncWrite, Interest, ReadBuf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::hub::{Batch, Encoding, End, Flushed, Offered, Outbox, Sink};
use crate::limits::Limits;
use crate::net::http::linger;
use crate::tape::Tape;

/// Where the frames for a member go. The socket stands here, beside the member's queue: a turn comes by a thousand of
/// them, and each other place it had to look at would cost.
pub(super) struct Socket {
    encoding: &'static Encoding,
    echo: bool,
    stream: TcpStream,
    tape: Option<Arc<dyn Tape>>,
}

impl Socket {
    /// A member's way out over a socket.
    pub(super) fn outbox(
        stream: TcpStream,
        encoding: &'static Encoding,
        limits: &Limits,
        tape: Option<Arc<dyn Tape>>,
    ) -> Arc<Outbox<Self>> {
        Self::with_echo(stream, encoding, true, limits, tape)
    }

    /// The same; with `echo` the member hears in a room what it said there.
    pub(super) fn with_echo(
        stream: TcpStream,
        encoding: &'static Encoding,
        echo: bool,
        limits: &Limits,
        tape: Option<Arc<dyn Tape>>,
    ) -> Arc<Outbox<Self>> {
        Arc::new(Outbox::new(Self { echo, ..Self::new(stream, encoding, tape) }, limits))
    }

    /// The socket, for a way out that is not it alone.
    pub(super) fn new(stream: TcpStream, encoding: &'static Encoding, tape: Option<Arc<dyn Tape>>) -> Self {
        // A machine that vanished says nothing, so only the system finds out.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        Self { encoding, echo: true, stream, tape }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn tape(&self) -> Option<&Arc<dyn Tape>> {
        self.tape.as_ref()
    }
}

impl Sink for Socket {
    fn encoding(&self) -> Encoding {
        *self.encoding
    }

    fn offer(&self, batch: &Batch) -> Offered {
        // Straight to the system: that the socket has room is nearly always so, and asking the runtime first costs more
        // than the answer is worth. Only when it has none must the runtime hear of it, so that it can wait for some.
        let sent = match SockRef::from(&self.stream).send_with_flags(batch.bytes(), NO_SIGNAL) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.stream.try_write(batch.bytes()),
            sent => sent,
        };
        if let (Some(tape), Ok(written)) = (&self.tape, &sent) {
            tape.wrote(&batch.bytes().slice(..*written));
        }
        match sent {
            Ok(written) if written == batch.bytes().len() => Offered::All,
            Ok(0) => Offered::Full,
            Ok(written) => Offered::Part(written),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Offered::Full,
            Err(_) => Offered::Gone,
        }
    }

    fn echo(&self) -> bool {
        self.echo
    }
}

/// What goes out through another's server waits for the session's own task.
pub(super) struct Queue {
    encoding: &'static Encoding,
}

impl Queue {
    /// A member's way out for its own task to flush.
    pub(super) fn outbox(encoding: &'static Encoding, limits: &Limits) -> Arc<Outbox> {
        Arc::new(Outbox::new(Self { encoding }, limits))
    }
}

impl Sink for Queue {
    fn encoding(&self) -> Encoding {
        *self.encoding
    }

    fn offer(&self, _: &Batch) -> Offered {
        Offered::Full
    }
}

pub(super) type Foreign = TokioIo<hyper::upgrade::Upgraded>;

/// The way out of a connection, for what rooms could not write themselves.
pub(super) enum Out {
    Own(Arc<Outbox<Socket>>),
    Foreign(WriteHalf<Foreign>, Option<Arc<dyn Tape>>),
}

impl Out {
    /// Carries what waits to the socket, until the outbox ends.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn carry(&mut self, outbox: &Outbox) {
        loop {
            outbox.waiting().await;
            if outbox.end().is_some() {
                return;
            }
            // A cut is not to wait for a socket that may never have room again.
            tokio::select! {
                biased;
                () = outbox.ended() => return,
                _ = self.flush(outbox) => {}
            }
        }
    }

    /// Waits for room, and fills it.
    async fn flush(&mut self, outbox: &Outbox) -> Flushed {
        match self {
            Self::Own(own) => match own.sink().stream.writable().await {
                Ok(()) => outbox.flush(),
                Err(_) => Flushed::Gone,
            },
            Self::Foreign(writer, tape) => poll_fn(|cx| poll_flush(writer, tape.as_ref(), outbox, cx)).await,
        }
    }

    /// Lets the last bytes out, and the other end go.
    pub(super) async fn finish(mut self, outbox: &Outbox) {
        let deadline = Instant::now() + LAST_BYTES;
        let rest = async {
            loop {
                outbox.waiting().await;
                match self.flush(outbox).await {
                    Flushed::Empty => return true,
                    Flushed::Blocked => {}
                    Flushed::Gone => return false,
                }
            }
        };
        let flushed = tokio::time::timeout_at(deadline, rest).await.unwrap_or(false);
        match &mut self {
            Self::Own(own) if flushed && outbox.end() == Some(End::Closing) => linger(&own.sink().stream).await,
            Self::Own(own) => {
                let stream = &own.sink().stream;
                if flushed {
                    // It may still read up to its Close and go.
                    let _ = tokio::time::timeout_at(deadline, discard(stream)).await;
                }
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            Self::Foreign(writer, _) => {
                let shutdown = poll_fn(|cx| Pin::new(&mut *writer).poll_shutdown(cx));
                let _ = tokio::time::timeout_at(deadline, shutdown).await;
            }
        }
    }
}

fn poll_flush(
    writer: &mut WriteHalf<Foreign>,
    tape: Option<&Arc<dyn Tape>>,
    outbox: &Outbox,
    cx: &mut Context<'_>,
) -> Poll<Flushed> {
    let mut full = false;
    let flushed = outbox.flush_with(|batch| {
        let bytes = batch.bytes();
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut *writer).poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(0) | Err(_)) => return Offered::Gone,
                Poll::Ready(Ok(more)) => {
                    if let Some(tape) = tape {
                        tape.wrote(&bytes.slice(written..written + more));
                    }
                    written += more;
                }
                Poll::Pending => {
                    full = true;
                    return Offered::Part(written);
                }
            }
        }
        Offered::All
    });
    if Pin::new(writer).poll_flush(cx).is_pending() || full {
        return if flushed == Flushed::Gone { Poll::Ready(flushed) } else { Poll::Pending };
    }
    Poll::Ready(flushed)
}

async fn discard(stream: &TcpStream) {
    let mut buffer = [0; 1024];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Reads what is there. What fills less than the buffer was all: the runtime hears so, and the system is not asked again
/// for nothing.
pub(super) fn read(stream: &TcpStream, buf: &mut ReadBuf<'_>) -> io::Result<()> {
    let mut read = None;
    let room = buf.initialize_unfilled();
    let length = room.len();
    let tried = stream.try_io(Interest::READABLE, || {
        let count = (&*SockRef::from(stream)).read(room)?;
        read = Some(count);
        match count {
            0 => Ok(()),
            count if count == length => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    });
    match read {
        Some(count) => {
            buf.advance(count);
            Ok(())
        }
        None => tried,
    }
}

/// `MSG_NOSIGNAL`: whoever is gone is an error here, and never a signal to the program.
const NO_SIGNAL: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 0x4000 } else { 0 };
/// Silence after which the system asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Time for the last bytes to be taken, and after a cut for the other end to go; then a reset.
const LAST_BYTES: Duration = Duration::from_secs(5);
