//! The connection: a stream of objects, however they come, and objects out, of which none waits for another to join it.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Encoder, Framed};

use crate::codec::console::{Objects, SplitError};

/// The connection.
pub(super) struct Line {
    framed: Framed<TcpStream, Codec>,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Without these a text waits for the one before it, or for a machine that is gone.
        let _ = stream.set_nodelay(true);
        let socket = SockRef::from(&stream);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
        let _ = socket.set_tcp_keepalive(&keepalive);
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(UNCONFIRMED));
        let mut framed = Framed::new(stream, Codec(Objects::new(MOST_OBJECT)));
        framed.set_backpressure_boundary(1);
        Self { framed }
    }
}

impl Stream for Line {
    type Item = Result<Bytes, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.framed.poll_next_unpin(cx);
        next.map(|next| {
            Some(next.unwrap_or_else(|| Err(io::Error::from(ErrorKind::UnexpectedEof).into())).map_err(words))
        })
    }
}

impl Sink<String> for Line {
    type Error = String;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.framed.poll_ready_unpin(cx).map_err(words)
    }

    fn start_send(mut self: Pin<&mut Self>, object: String) -> Result<(), String> {
        self.framed.start_send_unpin(object).map_err(words)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.framed.poll_flush_unpin(cx).map_err(words)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.framed.poll_close_unpin(cx).map_err(words)
    }
}

/// Objects in both directions.
struct Codec(Objects);

impl Decoder for Codec {
    type Item = Bytes;
    type Error = SplitError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Bytes>, SplitError> {
        self.0.decode(bytes)
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Bytes>, SplitError> {
        self.0.decode_eof(bytes)
    }
}

impl Encoder<String> for Codec {
    type Error = SplitError;

    fn encode(&mut self, object: String, bytes: &mut BytesMut) -> Result<(), SplitError> {
        bytes.extend_from_slice(object.as_bytes());
        Ok(())
    }
}

fn words(error: SplitError) -> String {
    match error {
        SplitError::Io(error) => match error.kind() {
            ErrorKind::UnexpectedEof => CLOSED.into(),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => RESET.into(),
            _ => error.to_string(),
        },
        error => format!("what comes is not the console protocol: {error}"),
    }
}

/// The server closed the connection, and had read all that had come by then.
pub(super) const CLOSED: &str = "the server closed the connection";
/// It was gone when something came.
pub(super) const RESET: &str = "the connection was reset";
/// Bytes of an object that a server may send: more than a relay makes of the most that it reads at once.
const MOST_OBJECT: usize = 16 * 1024;
/// Silence after which the system asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long the other machine may leave unconfirmed what was written.
pub(super) const UNCONFIRMED: Duration = Duration::from_secs(20);
