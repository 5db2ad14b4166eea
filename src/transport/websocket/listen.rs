//! The listening end: upgrades taken, frames read, each message confirmed once it is in the inbox.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::body::{Body as _, Incoming as Body};
use hyper::header::{ALLOW, CONNECTION, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::{Method, Request, StatusCode};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message as Frame, Utf8Bytes, error::ProtocolError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span};

use super::super::receiver::{HEALTH, Heard, Receiver, Unheard, check_origin, health};
use super::{PATHS, config};
use crate::codec::CodecError;
use crate::codec::talk::{SUBPROTOCOL, encode_ack};
use crate::limits::Limits;
use crate::message::MessageId;
use crate::net::http::{self, Answer, Handler, Problem, Upgrade, Upgraded, check_head, linger};
use crate::net::io::Io;
use crate::net::upgrade::{check_upgrade, has_token, switching};
use crate::transport::{Gate, Inbox, Turned};

/// Listens until the inbox is dropped, then lets every connection close for [`Limits::grace`].
pub(super) async fn serve(listener: TcpListener, inbox: Inbox, gate: Option<Gate>, limits: Arc<Limits>) {
    let stop = inbox.stopped().clone();
    let (guard, connections) = Gate::apart(gate, &limits);
    let receiver = Arc::new(Receiver::new(inbox, guard, limits.clone()));
    let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
    let handler = Listening { receiver, tasks: tasks.clone(), stop: stop.clone(), ended: ended.clone() };
    http::serve_counted(listener, handler, limits.clone(), connections, stop).await;
    tasks.close();
    if tokio::time::timeout(limits.grace, tasks.wait()).await.is_err() {
        ended.cancel();
        tasks.wait().await;
    }
}

/// Answers requests of one listener.
#[derive(Clone, Debug)]
struct Listening {
    receiver: Arc<Receiver>,
    /// Connections that left HTTP.
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Fires when they have had their time to close.
    ended: CancellationToken,
}

impl Handler for Listening {
    async fn handle(&self, request: Request<Body>, from: SocketAddr) -> Answer {
        self.answer(request, from).unwrap_or_else(Answer::from)
    }
}

impl Listening {
    fn answer(&self, request: Request<Body>, from: SocketAddr) -> Result<Answer, Problem> {
        let (head, body) = request.into_parts();
        check_head(&head, self.receiver.limits())?;
        check_origin(&head, from.ip(), self.receiver.limits())?;
        match head.uri.path() {
            HEALTH => return health(&head),
            path if !PATHS.contains(&path) => {
                return Err(Problem::new(StatusCode::NOT_FOUND, "messages go to a WebSocket at /v1/ws/message"));
            }
            _ => {}
        }
        if head.method != Method::GET {
            let detail = "a WebSocket is opened with GET";
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).with(ALLOW, "GET"));
        }
        let accept = check_upgrade(&head.headers)?;
        let v2 = has_token(&head.headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        if !body.is_end_stream() {
            return Err(Problem::bad("an upgrade has no body").with(CONNECTION, "close"));
        }
        let upgrade = Upgrade::of(&mut Request::from_parts(head, body));
        let work = converse(upgrade, from.ip(), self.receiver.clone(), v2, self.stop.clone());
        let ended = self.ended.clone();
        let work = async move { ended.run_until_cancelled(work).await };
        self.tasks.spawn(work.instrument(debug_span!("websocket", %from)));
        Ok(switching(accept, v2.then_some(HeaderValue::from_static(SUBPROTOCOL))))
    }
}

/// Reads messages from one connection until either end closes.
async fn converse(upgrade: Upgrade, source: IpAddr, receiver: Arc<Receiver>, v2: bool, stop: CancellationToken) {
    let Some(Upgraded { io, read, place }) = upgrade.wait().await else { return };
    if let Some(socket) = io.socket().map(SockRef::from) {
        // Nothing is sent to a silent peer, so only the system finds out that it is gone.
        let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        // Many never read what is sent back to them: the system must not keep megabytes of it for each.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
    }
    let config = config(receiver.limits());
    let mut socket = WebSocketStream::from_partially_read(io, read.to_vec(), Role::Server, Some(config)).await;
    drop(read);
    let mut owed = Owed::default();
    let reading = read_messages(&mut socket, &mut owed, source, &receiver, v2);
    let close =
        stop.run_until_cancelled(Box::pin(reading)).await.unwrap_or(Close::With(CloseCode::Away, String::new()));
    debug!(?close, "the connection ends");
    let frame = match close {
        Close::Gone => return,
        Close::Answered => None,
        Close::With(code, reason) => Some(CloseFrame { code, reason: shorten(&reason).into() }),
    };
    finish(socket, owed, frame, receiver.limits()).await;
    drop(place);
}

/// Why reading ended.
#[derive(Debug)]
enum Close {
    /// There is nobody left to tell.
    Gone,
    /// The peer closes; it is answered while the rest is read.
    Answered,
    /// The peer is told.
    With(CloseCode, String),
}

async fn read_messages(
    socket: &mut WebSocketStream<Io>,
    owed: &mut Owed,
    source: IpAddr,
    receiver: &Receiver,
    v2: bool,
) -> Close {
    loop {
        let text = match next_frame(socket, owed).await {
            Some(Ok(Frame::Text(text))) => text,
            Some(Ok(Frame::Binary(_))) => {
                return Close::With(CloseCode::Unsupported, "messages are text frames".into());
            }
            Some(Ok(Frame::Close(_))) => return Close::Answered,
            Some(Ok(_)) => continue,
            Some(Err(error)) => return close_for(&error),
            None => return Close::Gone,
        };
        let heard = match while_paying(receiver.take(text.as_bytes(), source), socket, owed).await {
            Ok(Heard::Taken(id)) => Ok(id),
            Ok(Heard::Full(message)) => while_paying(receiver.take_when_free(message, source), socket, owed).await,
            Err(Unheard::Garbage(error)) => return Close::With(close_code(&error), error.to_string()),
            Err(Unheard::Turned(turned)) => return Close::With(turned_code(&turned), turned.reason().to_owned()),
        };
        let Ok(id) = heard else { return Close::With(CloseCode::Away, String::new()) };
        owed.add(id.filter(|_| v2));
    }
}

/// Waits for `taking`. What is confirmed already must not wait for it, nor for the program behind it; what breaks, the
/// next read will tell.
async fn while_paying<T>(taking: impl Future<Output = T>, socket: &mut WebSocketStream<Io>, owed: &mut Owed) -> T {
    let mut taking = pin!(taking);
    poll_fn(|cx| {
        if let Poll::Ready(taken) = taking.as_mut().poll(cx) {
            return Poll::Ready(taken);
        }
        let _ = owed.poll_pay(socket, cx);
        Poll::Pending
    })
    .await
}

/// The next frame. Meanwhile confirmations leave, in one write when nothing more is there to read; but nobody waits for
/// a peer that does not take them.
async fn next_frame(socket: &mut WebSocketStream<Io>, owed: &mut Owed) -> Option<Result<Frame, Error>> {
    poll_fn(|cx| {
        if owed.len() >= MANY
            && let Poll::Ready(Err(error)) = owed.poll_pay(socket, cx)
        {
            return Poll::Ready(Some(Err(error)));
        }
        if let Poll::Ready(frame) = socket.poll_next_unpin(cx) {
            return Poll::Ready(frame);
        }
        match owed.poll_pay(socket, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Confirmations that are not written yet.
#[derive(Debug, Default)]
struct Owed {
    /// All of them alike, so that their number is enough.
    oks: u64,
    acks: VecDeque<MessageId>,
    unflushed: bool,
}

impl Owed {
    fn add(&mut self, id: Option<MessageId>) {
        let Some(id) = id else { return self.oks += 1 };
        if self.acks.len() >= MOST_ACKS {
            self.acks.pop_front();
        }
        self.acks.push_back(id);
    }

    fn len(&self) -> u64 {
        self.oks + self.acks.len() as u64
    }

    /// Writes what the socket takes; ready when all has left.
    fn poll_pay(&mut self, socket: &mut WebSocketStream<Io>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.len() > 0 {
            ready!(socket.poll_ready_unpin(cx))?;
            let id = self.acks.pop_front();
            self.oks -= u64::from(id.is_none());
            socket.start_send_unpin(confirmation(id))?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(socket.poll_flush_unpin(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn confirmation(id: Option<MessageId>) -> Frame {
    let Some(id) = id else { return Frame::Text(Utf8Bytes::from_static("OK")) };
    let mut ack = Vec::with_capacity(id.as_str().len() + 10);
    encode_ack(&id, &mut ack);
    Frame::Text(String::from_utf8(ack).unwrap_or_default().into())
}

fn close_for(error: &Error) -> Close {
    let code = match error {
        Error::Utf8(_) => CloseCode::Invalid,
        Error::Capacity(_) => CloseCode::Size,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Close::Gone,
        Error::Protocol(_) => CloseCode::Protocol,
        _ => return Close::Gone,
    };
    Close::With(code, error.to_string())
}

fn close_code(error: &CodecError) -> CloseCode {
    match error {
        CodecError::Syntax(_) => CloseCode::Invalid,
        CodecError::TooLong { .. } => CloseCode::Size,
        CodecError::Shape(_) | CodecError::Value { .. } => CloseCode::Policy,
    }
}

fn turned_code(turned: &Turned) -> CloseCode {
    match turned {
        Turned::Away(_) | Turned::TooFast(_) => CloseCode::Policy,
        Turned::Later(_) => CloseCode::Again,
    }
}

/// Says why, and reads on until the peer has heard it: unread bytes would reset the connection under the answer.
async fn finish(mut socket: WebSocketStream<Io>, mut owed: Owed, close: Option<CloseFrame>, limits: &Limits) {
    let farewell = async {
        if close.is_some() {
            let paid = poll_fn(|cx| owed.poll_pay(&mut socket, cx)).await;
            if paid.is_err() || socket.close(close).await.is_err() {
                return;
            }
        }
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = tokio::time::timeout(limits.grace, farewell).await;
    if let Some(socket) = socket.get_ref().socket() {
        linger(socket).await;
    }
}

/// A reason has at most 123 bytes (RFC 6455, section 5.5).
fn shorten(reason: &str) -> &str {
    let fits = reason.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 123);
    &reason[..fits.last().unwrap_or(0)]
}

/// Silence after which the system asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Bytes of confirmations that the system keeps for a peer that does not read them: far more than one that reads ever
/// leaves there.
const SEND_BUFFER: usize = 64 * 1024;
/// Confirmations that do not wait until nothing more is there to read.
const MANY: u64 = 512;
/// Acknowledgements that wait for a peer which does not read them, as many as a sender of ours waits for. Then the
/// oldest is never sent, and its message stays unconfirmed.
const MOST_ACKS: usize = 1024;
