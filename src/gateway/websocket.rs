//! WebSockets: tungstenite reads, raw frames go out.
//!
//! Rooms write whole batches of frames straight into the socket, so nothing else may write there: what tungstenite has
//! to say (pongs, the answer to a Close) goes through the member's queue like everything else, in order.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_util::sync::CancellationToken;

use super::frames::Received;
use super::pump::{self, Foreign, Out, Queue, Socket};
use crate::codec::rooms;
use crate::hub::{Batch, Encoding, Outbox, Rate};
use crate::limits::Limits;
use crate::message::Closing;
use crate::net::http::{self, Upgrade, Upgraded};
use crate::net::listener::Place;
use crate::tape::{self, Piece, Tape};

/// Whose server the connection came through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Ours: rooms write into the socket themselves.
    Own,
    /// Another's: unless it is a bare socket, it may be anything, so everything goes through the queue.
    Foreign,
}

/// Serves one WebSocket that is no session: what `answer` writes goes back, until an end or `stopped`.
pub(super) async fn exchange(
    upgrade: Upgrade,
    limits: Arc<Limits>,
    answer: impl Fn(Received<'_>, &mut BytesMut),
    stopped: CancellationToken,
) {
    let opened = Box::pin(open(upgrade, Way::Own, &CLOSES, &limits)).await;
    let Some(Opened { outbox, mut out, way_in, place }) = opened else { return };
    let mut frames = way_in.frames(&limits).await;
    let served = async {
        let mut carry = pin!(out.carry(&outbox));
        let end = loop {
            let frame = match next(&mut frames, carry.as_mut()).await {
                Ok(frame) => frame,
                Err(end) => break end,
            };
            let mut bytes = BytesMut::new();
            match &frame {
                Frame::Text(text) => answer(Received::Text(text), &mut bytes),
                Frame::Binary(binary) => answer(Received::Binary(binary), &mut bytes),
                _ => {}
            }
            if !bytes.is_empty() {
                outbox.offer(&Batch::raw(bytes.freeze()));
            }
        };
        goodbye(&outbox, end);
    };
    tokio::select! {
        () = stopped.cancelled() => outbox.close(Closing::Stopping),
        () = served => {}
    }
    out.finish(&outbox).await;
    drop(place);
}

/// A connection that left HTTP.
pub(super) struct Opened {
    /// Where frames for it go.
    pub(super) outbox: Arc<Outbox>,
    /// Carries what waits there.
    pub(super) out: Out,
    pub(super) way_in: WayIn,
    /// Counts for its address as long as this is held.
    pub(super) place: Option<Arc<Place>>,
}

impl Opened {
    fn own(own: Arc<Outbox<Socket>>, read: &[u8], place: Option<Arc<Place>>) -> Self {
        let outbox: Arc<Outbox> = own.clone();
        let wire = Wire { reader: Reader::Own(own.clone()), outbox: outbox.clone() };
        // A copy: the bytes would keep hyper's whole read buffer.
        let way_in = WayIn { wire, read: read.to_vec() };
        Self { outbox, out: Out::Own(own), way_in, place }
    }
}

/// Where its frames come from, once they are asked for.
pub(super) struct WayIn {
    wire: Wire,
    read: Vec<u8>,
}

/// Frames as they come. Reading on behind a Close flushes the answer to it.
pub(super) type Frames = WebSocketStream<Wire>;

impl WayIn {
    pub(super) async fn frames(self, limits: &Limits) -> Frames {
        WebSocketStream::from_partially_read(self.wire, self.read, Role::Server, Some(config(limits))).await
    }
}

/// A connection of ours whose session does not hear in a room what it said there; otherwise as [`open`].
pub(super) async fn open_without_echo(
    upgrade: Upgrade,
    encoding: &'static Encoding,
    limits: &Limits,
) -> Option<Opened> {
    let tape = upgrade.tape();
    let Upgraded { io, read, place } = upgrade.wait().await?;
    let own = Socket::with_echo(io.into_stream()?, encoding, false, limits, tape);
    Some(Opened::own(own, &read, place))
}

/// The connection once its 101 is written; `None` when it ended before.
pub(super) async fn open(upgrade: Upgrade, way: Way, encoding: &'static Encoding, limits: &Limits) -> Option<Opened> {
    let tape = upgrade.tape();
    let (stream, read, place) = match way {
        Way::Own => {
            let Upgraded { io, read, place } = upgrade.wait().await?;
            (io.into_stream()?, read, place)
        }
        Way::Foreign => match upgrade.wait_foreign().await? {
            // A bare socket is as good as ours.
            http::Foreign::Socket(stream, read) => (stream, read, None),
            http::Foreign::Other(io) => {
                let (reader, writer) = tokio::io::split(io);
                let outbox = Queue::outbox(encoding, limits);
                let wire = Wire { reader: Reader::Foreign(reader, tape.clone()), outbox: outbox.clone() };
                let way_in = WayIn { wire, read: Vec::new() };
                return Some(Opened { outbox, out: Out::Foreign(writer, tape), way_in, place: None });
            }
        },
    };
    Some(Opened::own(Socket::outbox(stream, encoding, limits, tape), &read, place))
}

/// The next frame, while `carry` carries what waits; at the end the code and the reason to close with, if there is
/// anything left to close.
pub(super) async fn next(
    frames: &mut Frames,
    carry: Pin<&mut impl Future<Output = ()>>,
) -> Result<Frame, Option<(u16, &'static str)>> {
    let frame = tokio::select! {
        biased;
        () = carry => return Err(None),
        frame = frames.next() => frame,
    };
    if let Some(tape) = frames.get_ref().tape() {
        note(tape, frame.as_ref().and_then(|frame| frame.as_ref().ok()));
    }
    match frame {
        Some(Ok(frame)) => Ok(frame),
        Some(Err(error)) => Err(close_for(&error)),
        None => Err(None),
    }
}

/// Says goodbye at the end of what [`next`] gives, unless somebody did.
pub(super) fn goodbye(outbox: &Outbox, end: Option<(u16, &'static str)>) {
    match end {
        Some((code, reason)) => close(outbox, code, reason),
        None => outbox.close_with(Bytes::new()),
    }
}

pub(super) fn close(outbox: &Outbox, code: u16, reason: &str) {
    let mut bytes = BytesMut::new();
    rooms::frame::close(&mut bytes, code, reason);
    outbox.close_with(bytes.freeze());
}

/// How the other end is told of an error, if there is another end.
fn close_for(error: &Error) -> Option<(u16, &'static str)> {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some((1002, "this is not how RFC 6455 frames look")),
        Error::Utf8(_) => Some((1007, "text is UTF-8")),
        Error::Capacity(_) => Some((1009, "the message is too long")),
        _ => None,
    }
}

/// Small buffers, and no more of a message than the limits allow, whatever a header declares.
fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(CONTROL_BUFFER)
        .max_message_size(Some(limits.frame))
        .max_frame_size(Some(limits.frame))
}

/// How often, and when last, something was heard of a session. Whoever answered a ping before answers the next, or is
/// not there.
pub(super) struct Pulse {
    rate: Rate,
    /// Pings and pongs: whoever hears many direct messages answers many.
    controls: Rate,
    started: Instant,
    heard: Instant,
    /// Silence after which it is asked; twice that much is the end. None at all switches it off.
    wait: Duration,
    asked: Option<Instant>,
    answers: bool,
}

/// What to do about a silence.
pub(super) enum Silence {
    /// It has not lasted long enough.
    Short,
    /// To ask.
    Long,
    /// To end.
    TooLong,
}

impl Pulse {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let (rate, wait) = (Rate::new(limits), limits.idle_timeout / 2);
        Self { rate, controls: rate.times(CONTROLS), started: now, heard: now, wait, asked: None, answers: false }
    }

    /// Notes that something was heard.
    pub(super) fn beat(&mut self) {
        (self.heard, self.asked) = (Instant::now(), None);
    }

    /// Whether one more command is within the rate, just now heard.
    pub(super) fn allows_command(&mut self) -> bool {
        self.rate.allow(self.heard - self.started)
    }

    /// The same of a ping or a pong.
    pub(super) fn allows_control(&mut self) -> bool {
        self.controls.allow(self.heard - self.started)
    }

    /// Notes that a ping was answered.
    pub(super) fn answered(&mut self) {
        self.answers = true;
    }

    /// Whether silence matters at all.
    pub(super) fn beats(&self) -> bool {
        !self.wait.is_zero()
    }

    /// When to look at the silence next. Nothing is set anew when something is heard: it is only looked at too early.
    pub(super) fn until(&self) -> Instant {
        self.asked.unwrap_or(self.heard) + self.wait
    }

    pub(super) fn silence(&mut self, now: Instant) -> Silence {
        if now < self.until() {
            return Silence::Short;
        }
        if self.asked.is_some() && self.answers {
            return Silence::TooLong;
        }
        // Whoever never answered one is asked again, and never cut.
        self.asked = Some(now);
        Silence::Long
    }
}

pub(super) fn question() -> Bytes {
    let mut bytes = BytesMut::new();
    rooms::frame::ping(&mut bytes, b"idle");
    bytes.freeze()
}

/// The way in of a connection.
enum Reader {
    Own(Arc<Outbox<Socket>>),
    Foreign(ReadHalf<Foreign>, Option<Arc<dyn Tape>>),
}

/// What tungstenite takes for the socket: it reads there, and writes to the member's queue.
pub(super) struct Wire {
    reader: Reader,
    outbox: Arc<Outbox>,
}

impl Wire {
    fn tape(&self) -> Option<&Arc<dyn Tape>> {
        match &self.reader {
            Reader::Own(own) => own.sink().tape(),
            Reader::Foreign(_, tape) => tape.as_ref(),
        }
    }
}

/// Notes a frame that came, or that none comes any more.
#[cold]
fn note(tape: &Arc<dyn Tape>, frame: Option<&Frame>) {
    let (kind, payload) = match frame {
        Some(Frame::Text(text)) => (tape::Frame::Text, text.as_bytes()),
        Some(Frame::Binary(bytes)) => (tape::Frame::Binary, &**bytes),
        Some(Frame::Ping(bytes)) => (tape::Frame::Ping, &**bytes),
        Some(Frame::Pong(bytes)) => (tape::Frame::Pong, &**bytes),
        Some(Frame::Close(Some(close))) => (tape::Frame::Close(Some(close.code.into())), close.reason.as_bytes()),
        Some(Frame::Close(None)) => (tape::Frame::Close(None), &[][..]),
        Some(Frame::Frame(_)) => return,
        None => return tape.ended(),
    };
    tape.note(tape::Way::In, kind, &[Piece::Plain(payload)]);
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.reader {
            Reader::Own(own) => loop {
                let stream = own.sink().stream();
                ready!(stream.poll_read_ready(cx))?;
                match pump::read(stream, buf) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
            Reader::Foreign(reader, _) => Pin::new(reader).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let copy = Bytes::copy_from_slice(bytes);
        if holds_close(bytes) {
            self.outbox.close_with(copy);
        } else {
            self.outbox.offer(&Batch::raw(copy));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Whether there is a Close among whole, unmasked control frames.
fn holds_close(mut frames: &[u8]) -> bool {
    while let [first, length, ..] = frames {
        if first & 0xf == 8 {
            return true;
        }
        frames = frames.get(2 + usize::from(*length)..).unwrap_or_default();
    }
    false
}

/// Without a hub there are no events but Closes, which are those of rooms.
static CLOSES: Encoding = Encoding::new("frames", &rooms::Plain);
/// Control frames for each command that a session may send.
const CONTROLS: u32 = 50;
/// Bytes that are read at once: a whole command of nearly everybody, and all that an idle connection holds.
const READ_BUFFER: usize = 1024;
/// Bytes of pongs that tungstenite may hold before it hands them over.
const CONTROL_BUFFER: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_found_behind_other_control_frames() {
        assert!(holds_close(&[0x88, 0]));
        assert!(holds_close(&[0x8a, 2, 8, 8, 0x88, 2, 3, 0xe8]));
        assert!(!holds_close(&[0x8a, 2, 0x88, 0x88]));
        assert!(!holds_close(&[]));
    }
}
