//! A WebSocket as a client's connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use hyper::StatusCode;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::driver::NoLine;
use crate::net::client::Reply;
use crate::net::websocket::NotOpened;
use crate::text::SafeText;

/// What is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Out {
    Text(String),
    Ping,
}

/// What is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum In {
    Text(String),
    /// A binary frame, of which none of our protocols knows.
    Binary,
    /// A ping, which is answered.
    Ping,
    Pong,
}

/// The connection.
pub(super) struct Line {
    socket: WebSocketStream<TcpStream>,
}

impl Line {
    pub(super) fn new(socket: WebSocketStream<TcpStream>) -> Self {
        Self { socket }
    }
}

impl Stream for Line {
    type Item = Result<In, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.socket.poll_next_unpin(cx)) {
            Some(Ok(Message::Text(text))) => Some(Ok(In::Text(text.as_str().to_owned()))),
            Some(Ok(Message::Binary(_))) => Some(Ok(In::Binary)),
            Some(Ok(Message::Close(Some(frame)))) => {
                let reason = SafeText(&frame.reason).to_string();
                let words = if reason.is_empty() { "the server closed the connection".into() } else { reason };
                Some(Err(format!("{words} ({})", u16::from(frame.code))))
            }
            Some(Ok(Message::Close(None))) | None => None,
            Some(Ok(Message::Pong(_))) => Some(Ok(In::Pong)),
            Some(Ok(_)) => Some(Ok(In::Ping)),
            Some(Err(error)) => Some(Err(words(&error))),
        })
    }
}

impl Sink<Out> for Line {
    type Error = String;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.socket.poll_ready_unpin(cx).map_err(|error| words(&error))
    }

    fn start_send(mut self: Pin<&mut Self>, out: Out) -> Result<(), String> {
        let message = match out {
            Out::Text(text) => Message::text(text),
            Out::Ping => Message::Ping(Default::default()),
        };
        self.socket.start_send_unpin(message).map_err(|error| words(&error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.socket.poll_flush_unpin(cx).map_err(|error| words(&error))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.socket.poll_close_unpin(cx).map_err(|error| words(&error))
    }
}

/// Small buffers, and messages of at most so many bytes, whatever a header declares.
pub(super) fn config(most: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MOST_WAITING)
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
}

/// Why there is no connection.
pub(super) fn not_opened(why: NotOpened) -> NoLine {
    match why {
        NotOpened::Answered(reply) => {
            let words = answer(&reply);
            match reply.status {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => NoLine::Passing(words),
                status if status.is_client_error() => NoLine::Refused(words),
                _ => NoLine::Passing(words),
            }
        }
        NotOpened::Unreachable(reason) | NotOpened::Wrong(reason) => NoLine::Passing(reason),
        NotOpened::TimedOut => NoLine::Passing("no connection in time".into()),
    }
}

/// What a server said instead of an upgrade.
pub(super) fn answer(reply: &Reply) -> String {
    format!("{} ({})", SafeText(&reply.detail()), reply.status.as_u16())
}

fn words(error: &Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        Error::ConnectionClosed | Error::AlreadyClosed => "the server closed the connection".into(),
        error => error.to_string(),
    }
}

/// Bytes that are read at once.
const BUFFER: usize = 16 * 1024;
/// Bytes that may wait to be written: a text of the longest, with every character escaped, and what goes beside it.
const MOST_WAITING: usize = 1 << 20;
