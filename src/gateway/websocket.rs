//! One WebSocket: tungstenite reads, raw frames go out.
//!
//! Rooms write whole batches of frames straight into the socket, so nothing else may write there: what tungstenite has
//! to say (pongs, the answer to a Close) goes through the member's queue like everything else, in order.

use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::frames::Received;
use crate::codec::rooms::{self, Mode, Plain, Rich};
use crate::hub::{Batch, Cut, Encoding, End, Flushed, Hub, Lifetime, Offered, OpenError, Outbox, Rate, Seat, Sink};
use crate::limits::Limits;
use crate::message::{Closing, Command, MessageId, Refusal, RoomKey};
use crate::name::RoomName;
use crate::net::http::{self, Upgrade, Upgraded, linger};
use crate::net::listener::Place;
use crate::secret::Secret;

/// Whose server the connection came through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Ours: rooms write into the socket themselves.
    Own,
    /// Another's: unless it is a bare socket, it may be anything, so everything goes through the queue.
    Foreign,
}

/// Serves one session from the upgrade to its end.
pub(super) async fn serve(upgrade: Upgrade, way: Way, hub: Hub, token: Secret, mode: Mode, from: Option<IpAddr>) {
    let way = match way {
        Way::Own => Box::pin(own(upgrade, mode, hub.limits())).await.map(Connected::Own),
        Way::Foreign => Box::pin(foreign(upgrade, mode, hub.limits())).await,
    };
    let (outbox, reader, out, read, place) = match way {
        None => return,
        Some(Connected::Own((outbox, read, place))) => {
            (outbox.clone() as Arc<Outbox>, Reader::Own(outbox.clone()), Out::Own(outbox), read, place)
        }
        Some(Connected::Foreign(io)) => {
            let (reader, writer) = tokio::io::split(io);
            let outbox = Arc::new(Outbox::new(Queue { mode }, hub.limits()));
            (outbox as Arc<Outbox>, Reader::Foreign(reader), Out::Foreign(writer), Vec::new(), None)
        }
    };
    let lifetime = match mode {
        Mode::Plain => Lifetime::Session,
        Mode::Rich => Lifetime::Kept,
    };
    let seat = match Box::pin(hub.open(&token, outbox.clone(), lifetime, from)).await {
        Ok(seat) => seat,
        Err(error) => {
            debug!(%error, "no session");
            let code = if error == OpenError::Unavailable { 1013 } else { 1008 };
            close(&outbox, code, &error.to_string());
            return Box::pin(out.finish(&outbox)).await;
        }
    };
    // What the handshake needed is not part of what stays.
    Box::pin(converse(reader, out, read, seat, hub, mode)).await;
    drop(place);
}

async fn converse(reader: Reader, mut out: Out, read: Vec<u8>, mut seat: Seat, hub: Hub, mode: Mode) {
    let outbox = seat.outbox().clone();
    let limits = hub.limits().clone();
    drop(hub);
    let wire = Wire { reader, outbox: outbox.clone() };
    let mut socket = WebSocketStream::from_partially_read(wire, read, Role::Server, Some(config(&limits))).await;
    if mode == Mode::Plain
        && let Err(why) = Box::pin(seat.run(Command::Enter(RoomName::global()))).await
    {
        seat.refuse(why, None);
    }
    let mut pulse = Pulse::new(&limits);
    {
        let mut carry = pin!(out.carry(&outbox));
        let mut timer = pin!(tokio::time::sleep_until(pulse.until()));
        loop {
            let frame = tokio::select! {
                biased;
                frame = next(&mut socket, carry.as_mut()) => frame,
                () = timer.as_mut(), if !pulse.wait.is_zero() => {
                    match pulse.silence(Instant::now()) {
                        Silence::Short => {}
                        Silence::TooLong => {
                            seat.count_cut(Cut::Silent);
                            close(&outbox, 1001, "nothing was heard of you");
                        }
                        Silence::Long => {
                            outbox.offer(&Batch::raw(question()));
                        }
                    }
                    timer.as_mut().reset(pulse.until());
                    continue;
                }
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(end) => {
                    if end.is_some() {
                        seat.count_cut(Cut::Protocol);
                    }
                    goodbye(&outbox, end);
                    break;
                }
            };
            pulse.beat();
            if let Some(asked) = serve_frame(&mut seat, frame, mode, &limits, &mut pulse) {
                Box::pin(asked.carry_out(&mut seat)).await;
            }
        }
    }
    // The others hear of it now, not when the last byte is out.
    drop(seat);
    Box::pin(out.finish(&outbox)).await;
}

/// What a session's frame asks for that may have to wait.
enum Asked {
    Command(Command),
    End(Closing, Refusal),
}

impl Asked {
    async fn carry_out(self, seat: &mut Seat) {
        match self {
            Self::Command(command) => {
                let id = id_of(&command).cloned();
                if let Err(why) = seat.run(command).await {
                    seat.refuse(why, id);
                }
            }
            Self::End(why, refusal) => seat.end(why, Some(refusal)).await,
        }
    }
}

/// Does what a session's frame asks for, but for what may have to wait.
fn serve_frame(seat: &mut Seat, frame: Frame, mode: Mode, limits: &Limits, pulse: &mut Pulse) -> Option<Asked> {
    if !frame.is_text() && !pulse.controls.allow(pulse.heard - pulse.started) {
        // Who is told much answers much, whoever tells it: the next answer says as much.
        return (!frame.is_pong()).then_some(Asked::End(Closing::TooFast, Refusal::TooFast));
    }
    match frame {
        Frame::Text(text) => {
            if !pulse.allows(limits) {
                return Some(Asked::End(Closing::TooFast, Refusal::TooFast));
            }
            let (refusal, id) = match rooms::decode(text.as_bytes(), mode, limits.message) {
                Ok(command) => {
                    let id = id_of(&command).cloned();
                    match seat.try_run(command) {
                        Ok(waits) => return waits.map(Asked::Command),
                        Err(why) => (why, id),
                    }
                }
                Err(refused) => refused,
            };
            seat.refuse(refusal, id);
        }
        Frame::Binary(_) => {
            seat.count_cut(Cut::Protocol);
            close(seat.outbox(), 1003, "commands are text frames");
        }
        Frame::Pong(payload) => {
            pulse.answers = true;
            if let (Mode::Plain, Some(seq)) = (mode, rooms::confirmed(&payload)) {
                let room = RoomKey::Direct(seat.user());
                return Some(Asked::Command(Command::Received { room, seq }));
            }
        }
        // Pings and Closes have been answered.
        _ => {}
    }
    None
}

fn id_of(command: &Command) -> Option<&MessageId> {
    match command {
        Command::Say { id, .. } | Command::Direct { id, .. } => id.as_ref(),
        _ => None,
    }
}

/// Serves one WebSocket that is no session: what `answer` writes goes back, until an end or `stopped`.
pub(super) async fn exchange(
    upgrade: Upgrade,
    limits: Arc<Limits>,
    answer: impl Fn(Received<'_>, &mut BytesMut),
    stopped: CancellationToken,
) {
    let Some((own, read, place)) = Box::pin(own(upgrade, Mode::Plain, &limits)).await else { return };
    let (outbox, mut out) = (own.clone() as Arc<Outbox>, Out::Own(own.clone()));
    let wire = Wire { reader: Reader::Own(own), outbox: outbox.clone() };
    let mut socket = WebSocketStream::from_partially_read(wire, read, Role::Server, Some(config(&limits))).await;
    let served = async {
        let mut carry = pin!(out.carry(&outbox));
        let end = loop {
            let frame = match next(&mut socket, carry.as_mut()).await {
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

/// A bare socket's way out, what was read past the request, and its place.
type OwnSocket = (Arc<Outbox<Socket>>, Vec<u8>, Option<Arc<Place>>);

/// A connection that left HTTP.
enum Connected {
    Own(OwnSocket),
    Foreign(Foreign),
}

/// A connection of ours once its 101 is written; `None` when it ended before.
async fn own(upgrade: Upgrade, mode: Mode, limits: &Limits) -> Option<OwnSocket> {
    let Upgraded { io, read, place } = upgrade.wait().await?;
    Some(socket(io.into_stream()?, &read, place, mode, limits))
}

/// The same of another's server. A bare socket is as good as ours.
async fn foreign(upgrade: Upgrade, mode: Mode, limits: &Limits) -> Option<Connected> {
    Some(match upgrade.wait_foreign().await? {
        http::Foreign::Socket(stream, read) => Connected::Own(socket(stream, &read, None, mode, limits)),
        http::Foreign::Other(io) => Connected::Foreign(io),
    })
}

fn socket(stream: TcpStream, read: &[u8], place: Option<Arc<Place>>, mode: Mode, limits: &Limits) -> OwnSocket {
    // A machine that vanished says nothing, so only the system finds out.
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    // A copy: the bytes would keep hyper's whole read buffer.
    (Arc::new(Outbox::new(Socket { mode, stream }, limits)), read.to_vec(), place)
}

/// The next frame, while `carry` carries what waits; at the end the code and the reason to close with, if there is
/// anything left to close.
async fn next(
    socket: &mut WebSocketStream<Wire>,
    carry: Pin<&mut impl Future<Output = ()>>,
) -> Result<Frame, Option<(u16, &'static str)>> {
    let frame = tokio::select! {
        biased;
        () = carry => return Err(None),
        frame = socket.next() => frame,
    };
    match frame {
        Some(Ok(frame)) => Ok(frame),
        Some(Err(error)) => Err(close_for(&error)),
        None => Err(None),
    }
}

/// Says goodbye at the end of what [`next`] gives, unless somebody did.
fn goodbye(outbox: &Outbox, end: Option<(u16, &'static str)>) {
    match end {
        Some((code, reason)) => close(outbox, code, reason),
        None => outbox.close_with(Bytes::new()),
    }
}

fn close(outbox: &Outbox, code: u16, reason: &str) {
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

fn encoding(mode: Mode) -> Encoding {
    match mode {
        Mode::Plain => Encoding::new("rooms", &Plain).confirming(),
        Mode::Rich => Encoding::new("rooms.v2", &Rich).confirming(),
    }
}

/// How often, and when last, something was heard of a session. Whoever answered a ping before answers the next, or is
/// not there.
struct Pulse {
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
enum Silence {
    /// It has not lasted long enough.
    Short,
    /// To ask.
    Long,
    /// To end.
    TooLong,
}

impl Pulse {
    fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let (rate, wait) = (Rate::new(limits), limits.idle_timeout / 2);
        Self { rate, controls: rate.times(CONTROLS), started: now, heard: now, wait, asked: None, answers: false }
    }

    /// Notes that something was heard.
    fn beat(&mut self) {
        (self.heard, self.asked) = (Instant::now(), None);
    }

    /// Whether one more command is within the rate, just now heard.
    fn allows(&mut self, limits: &Limits) -> bool {
        limits.commands_per_second == 0 || self.rate.allow(self.heard - self.started)
    }

    /// When to look at the silence next. Nothing is set anew when something is heard: it is only looked at too early.
    fn until(&self) -> Instant {
        self.asked.unwrap_or(self.heard) + self.wait
    }

    fn silence(&mut self, now: Instant) -> Silence {
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

fn question() -> Bytes {
    let mut bytes = BytesMut::new();
    rooms::frame::ping(&mut bytes, b"idle");
    bytes.freeze()
}

/// Where the frames for a member go. The socket stands here, beside the member's queue: a turn comes by a thousand of
/// them, and each other place it had to look at would cost.
struct Socket {
    mode: Mode,
    stream: TcpStream,
}

impl Sink for Socket {
    fn encoding(&self) -> Encoding {
        encoding(self.mode)
    }

    fn offer(&self, batch: &Batch) -> Offered {
        // Straight to the system: that the socket has room is nearly always so, and asking the runtime first costs more
        // than the answer is worth. Only when it has none must the runtime hear of it, so that it can wait for some.
        let sent = match SockRef::from(&self.stream).send_with_flags(batch.bytes(), NO_SIGNAL) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.stream.try_write(batch.bytes()),
            sent => sent,
        };
        match sent {
            Ok(written) if written == batch.bytes().len() => Offered::All,
            Ok(0) => Offered::Full,
            Ok(written) => Offered::Part(written),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Offered::Full,
            Err(_) => Offered::Gone,
        }
    }
}

/// What goes out through another's server waits for the session's own task.
struct Queue {
    mode: Mode,
}

impl Sink for Queue {
    fn encoding(&self) -> Encoding {
        encoding(self.mode)
    }

    fn offer(&self, _: &Batch) -> Offered {
        Offered::Full
    }
}

type Foreign = TokioIo<hyper::upgrade::Upgraded>;

/// The way out of a connection, for what rooms could not write themselves.
enum Out {
    Own(Arc<Outbox<Socket>>),
    Foreign(WriteHalf<Foreign>),
}

impl Out {
    /// Carries what waits to the socket, until the outbox ends.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    async fn carry(&mut self, outbox: &Outbox) {
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
            Self::Foreign(writer) => poll_fn(|cx| poll_flush(writer, outbox, cx)).await,
        }
    }

    /// Lets the last bytes out, and the other end go.
    async fn finish(mut self, outbox: &Outbox) {
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
            Self::Foreign(writer) => {
                let shutdown = poll_fn(|cx| Pin::new(&mut *writer).poll_shutdown(cx));
                let _ = tokio::time::timeout_at(deadline, shutdown).await;
            }
        }
    }
}

fn poll_flush(writer: &mut WriteHalf<Foreign>, outbox: &Outbox, cx: &mut Context<'_>) -> Poll<Flushed> {
    let mut full = false;
    let flushed = outbox.flush_with(|batch| {
        let bytes = batch.bytes();
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut *writer).poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(0) | Err(_)) => return Offered::Gone,
                Poll::Ready(Ok(more)) => written += more,
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

/// The way in of a connection.
enum Reader {
    Own(Arc<Outbox<Socket>>),
    Foreign(ReadHalf<Foreign>),
}

/// What tungstenite takes for the socket: it reads there, and writes to the member's queue.
struct Wire {
    reader: Reader,
    outbox: Arc<Outbox>,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.reader {
            Reader::Own(own) => loop {
                let stream = &own.sink().stream;
                ready!(stream.poll_read_ready(cx))?;
                match read(stream, buf) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
            Reader::Foreign(reader) => Pin::new(reader).poll_read(cx, buf),
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

/// Reads what is there. What fills less than the buffer was all: the runtime hears so, and the system is not asked again
/// for nothing.
fn read(stream: &TcpStream, buf: &mut ReadBuf<'_>) -> io::Result<()> {
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

/// Control frames for each command that a session may send.
const CONTROLS: u32 = 50;
/// Bytes that are read at once: a whole command of nearly everybody, and all that an idle connection holds.
const READ_BUFFER: usize = 1024;
/// Bytes of pongs that tungstenite may hold before it hands them over.
const CONTROL_BUFFER: usize = 1024;
/// `MSG_NOSIGNAL`: whoever is gone is an error here, and never a signal to the program.
const NO_SIGNAL: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 0x4000 } else { 0 };
/// Silence after which the system asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Time for the last bytes to be taken, and after a cut for the other end to go; then a reset.
const LAST_BYTES: Duration = Duration::from_secs(5);

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
