//! Two sockets as one connection: lines from both, and to one of them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Encoder, Framed};

use crate::codec::minechat::{LineTooLong, Lines};

/// What is read, without its line feed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum In {
    /// On the port to hear.
    Heard(String),
    /// On the port to speak.
    Answer(String),
}

/// What is written, with its line feeds. It may be a secret, so nothing shows it.
pub(super) struct Out(pub(super) String);

/// One of the two sockets.
pub(super) type Half = Framed<TcpStream, Wire>;

/// Where a port to hear waits for the next connection when only the other one was closed.
pub(super) type Shelf = Arc<Mutex<Option<Half>>>;

/// The connection. Dropped, it leaves its port to hear on the shelf if that is as good as before.
pub(super) struct Line {
    listen: Option<Half>,
    write: Option<Half>,
    shelf: Shelf,
    /// Which is asked first the next time.
    listen_first: bool,
    /// Why a socket is done with. What the other one still has is read before that is told.
    over: Option<String>,
    listen_over: bool,
    write_closed: bool,
}

impl Line {
    pub(super) fn new(listen: Option<Half>, write: Option<Half>, shelf: Shelf) -> Self {
        Self { listen, write, shelf, listen_first: false, over: None, listen_over: false, write_closed: false }
    }

    fn hear(&mut self, cx: &mut Context<'_>) -> Option<In> {
        let half = self.listen.as_mut().filter(|_| !self.listen_over)?;
        let Poll::Ready(read) = half.poll_next_unpin(cx) else { return None };
        if let Some(Ok(line)) = read {
            return Some(In::Heard(line));
        }
        self.listen_over = true;
        self.over.get_or_insert_with(|| ended("to hear", read));
        None
    }

    fn answer(&mut self, cx: &mut Context<'_>) -> Option<In> {
        let half = self.write.as_mut().filter(|_| !self.write_closed)?;
        let Poll::Ready(read) = half.poll_next_unpin(cx) else { return None };
        if let Some(Ok(line)) = read {
            return Some(In::Answer(line));
        }
        // Where the network broke, the other socket may be as dead without a sign of it.
        self.listen_over |= read.is_some();
        self.write_closed = true;
        self.over.get_or_insert_with(|| ended("to speak", read));
        None
    }
}

impl Stream for Line {
    type Item = Result<In, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // In turns, so that a port on which much is said leaves the other its chance.
        this.listen_first = !this.listen_first;
        let read = if this.listen_first {
            this.hear(cx).or_else(|| this.answer(cx))
        } else {
            this.answer(cx).or_else(|| this.hear(cx))
        };
        match (read, &this.over) {
            (Some(read), _) => Poll::Ready(Some(Ok(read))),
            (None, Some(over)) => Poll::Ready(Some(Err(over.clone()))),
            (None, None) => Poll::Pending,
        }
    }
}

impl Sink<Out> for Line {
    type Error = String;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        let Some(write) = &mut self.write else { return Poll::Ready(Ok(())) };
        write.poll_ready_unpin(cx).map_err(|error| error.to_string())
    }

    fn start_send(mut self: Pin<&mut Self>, Out(text): Out) -> Result<(), String> {
        let Some(write) = &mut self.write else { return Ok(()) };
        write.start_send_unpin(text).map_err(|error| error.to_string())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        let Some(write) = &mut self.write else { return Poll::Ready(Ok(())) };
        write.poll_flush_unpin(cx).map_err(|error| error.to_string())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        self.listen_over = true;
        let this = &mut *self;
        for half in [&mut this.listen, &mut this.write].into_iter().flatten() {
            ready!(half.poll_close_unpin(cx)).map_err(|error| error.to_string())?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.write_closed && !self.listen_over {
            *self.shelf.lock().unwrap_or_else(PoisonError::into_inner) = self.listen.take();
        }
    }
}

/// Lines in, and whatever text out.
#[derive(Debug, Default)]
pub(super) struct Wire(Lines);

/// Why a socket is done with.
#[derive(Debug, Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    TooLong(#[from] LineTooLong),
}

impl Decoder for Wire {
    type Item = String;
    type Error = Broken;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<String>, Broken> {
        Ok(self.0.decode(bytes)?)
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<String>, Broken> {
        Ok(self.0.decode_eof(bytes)?)
    }
}

impl Encoder<String> for Wire {
    type Error = Broken;

    fn encode(&mut self, text: String, bytes: &mut BytesMut) -> Result<(), Broken> {
        bytes.reserve(text.len());
        bytes.put_slice(text.as_bytes());
        Ok(())
    }
}

fn ended(port: &str, read: Option<Result<String, Broken>>) -> String {
    match read {
        Some(Err(error)) => format!("the port {port}: {error}"),
        _ => format!("the server closed the port {port}"),
    }
}
