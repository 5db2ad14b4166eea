//! Wires that are lines or objects over a bare socket: one accept loop, and what their sessions read with.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span};

use super::Context;
use crate::address::Host;
use crate::hub::Rate;
use crate::limits::Limits;
use crate::net::listener::{accept, bind};

/// The open port of such a wire.
#[derive(Debug)]
pub(super) struct Port {
    listener: TcpListener,
    local: SocketAddr,
}

/// One connection that came.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    /// Where it comes from.
    pub(super) from: SocketAddr,
}

impl Port {
    /// Opens it; port 0 lets the system choose.
    pub(super) async fn bind(host: &Host, port: u16) -> io::Result<Self> {
        let listener = bind(host, port).await?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The bare listener, for wires that begin as HTTP.
    pub(super) fn into_listener(self) -> TcpListener {
        self.listener
    }

    /// Gives each connection to `session`, which ends soon after [`Context::stop`] fired, or is dropped when
    /// [`Limits::grace`] is over. Connections over the limit of their address are closed without a word: these wires have
    /// none for it.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and drops every session.
    pub(super) async fn serve<S, F>(self, wire: &'static str, context: &Context, session: S)
    where
        S: Fn(Arrival) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let (connections, tasks, ended) = (context.connections(wire), TaskTracker::new(), CancellationToken::new());
        let _cut = ended.clone().drop_guard();
        while let Some((stream, from)) = context.stop.run_until_cancelled(accept(&self.listener)).await {
            let span = debug_span!("connection", wire, %from);
            let Some(place) = connections.enter(from.ip()) else {
                debug!(parent: &span, "too many connections from this address");
                continue;
            };
            // In a box, as each of the layers around it would hold it twice.
            let session = Box::pin(session(Arrival { stream, from }));
            let session = async move {
                session.await;
                drop(place);
            };
            tasks.spawn(ended.clone().run_until_cancelled_owned(session).instrument(span));
        }
        drop(self.listener);
        tasks.close();
        // Whoever does not take the last bytes in time is cut.
        let _ = tokio::time::timeout(context.hub.limits().grace, tasks.wait()).await;
        ended.cancel();
        tasks.wait().await;
    }
}

/// What comes in of a bare socket, cut into frames by `D`, which bounds what waits for the end of one.
#[derive(Debug)]
pub(super) struct Intake<D> {
    decoder: D,
    buffer: BytesMut,
    ended: bool,
}

impl<D: Decoder> Intake<D> {
    pub(super) fn new(decoder: D) -> Self {
        Self { decoder, buffer: BytesMut::new(), ended: false }
    }

    /// The next frame, or `None` at the end. A connection that breaks ends like one that is closed: what came before
    /// counts, since many go as soon as they have said what they had to say.
    ///
    /// # Errors
    /// The decoder's; nothing more is to be read then.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn next(&mut self, stream: &TcpStream) -> Result<Option<D::Item>, D::Error> {
        loop {
            if self.ended {
                return self.decoder.decode_eof(&mut self.buffer);
            }
            if let Some(frame) = self.decoder.decode(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            if self.buffer.is_empty() {
                // Whoever says nothing holds nothing.
                self.buffer = BytesMut::new();
            }
            if stream.readable().await.is_err() {
                self.ended = true;
                continue;
            }
            self.buffer.reserve(READ);
            match stream.try_read_buf(&mut self.buffer) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.ended = true,
            }
        }
    }
}

/// Keeps a session to its rate: nothing is read of it while it is over.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    started: Instant,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { rate: Rate::new(limits), started: Instant::now() }
    }

    /// For what there is so much more of than of commands.
    pub(super) fn times(mut self, factor: u32) -> Self {
        self.rate = self.rate.times(factor);
        self
    }

    /// Waits until one more command is within the rate.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn ready(&self) {
        let wait = self.rate.wait(self.started.elapsed());
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// Counts one command.
    pub(super) fn take(&mut self) {
        self.rate.allow(self.started.elapsed());
    }
}

/// What a session waits for.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next<T> {
    /// Something came.
    Came(T),
    /// The wire stops: the session is to be told. Whoever waits on after that hears of the end.
    Stopping,
    /// Nothing goes out any more.
    Over,
}

/// What `came` gives, while `carry` carries what waits for the session.
///
/// # Cancel safety
/// That of `came`.
pub(super) async fn next<T>(
    carry: Pin<&mut impl Future<Output = ()>>,
    stop: &CancellationToken,
    came: impl Future<Output = T>,
) -> Next<T> {
    tokio::select! {
        biased;
        () = carry => Next::Over,
        () = stop.cancelled() => Next::Stopping,
        came = came => Next::Came(came),
    }
}

/// Bytes that are read at once.
const READ: usize = 4096;

#[cfg(test)]
mod tests;
