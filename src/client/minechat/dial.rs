//! The way in: a socket for each port.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

use super::line::{Half, Line, Shelf, Wire};
use crate::address::{Host, authority};
use crate::client::driver::NoLine;

/// One port of a server.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// Both ports.
#[derive(Debug)]
pub(super) struct Dial {
    listen: Option<At>,
    write: Option<At>,
    timeout: Duration,
    shelf: Shelf,
    /// What is on the shelf is no good.
    afresh: AtomicBool,
}

impl Dial {
    pub(super) fn new(listen: Option<At>, write: Option<At>, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { listen, write, timeout, shelf: Shelf::default(), afresh: AtomicBool::new(false) })
    }

    /// From now on the next connection is made of new sockets.
    pub(super) fn distrust(&self) {
        self.afresh.store(true, Ordering::Relaxed);
    }

    /// A connection, and whether it hears on the same socket as the last one.
    pub(super) async fn connect(self: Arc<Self>) -> Result<(Line, bool), NoLine> {
        let kept = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).take();
        let kept = kept.filter(|_| !self.afresh.swap(false, Ordering::Relaxed));
        let same = kept.is_some();
        // Who speaks hears themselves.
        let listen = match (kept, &self.listen) {
            (None, Some(at)) => Some(self.open(at, "to hear").await?),
            (kept, _) => kept,
        };
        let write = match &self.write {
            Some(at) => match self.open(at, "to speak").await {
                Ok(write) => Some(write),
                Err(no) => {
                    *self.shelf.lock().unwrap_or_else(PoisonError::into_inner) = listen.filter(|_| same);
                    return Err(no);
                }
            },
            None => None,
        };
        Ok((Line::new(listen, write, self.shelf.clone()), same))
    }

    async fn open(&self, at: &At, port: &str) -> Result<Half, NoLine> {
        let because = |why: String| {
            NoLine::Passing(format!("no connection {port} at {}: {why}", authority(at.host.as_str(), at.port)))
        };
        let connecting = TcpStream::connect((at.host.as_str(), at.port));
        let stream = match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(because(error.to_string())),
            Err(_) => return Err(because("no answer in time".into())),
        };
        stream.set_nodelay(true).map_err(|error| because(error.to_string()))?;
        // It may be silent for days, and nothing is ever written to it.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
        Ok(Framed::new(stream, Wire::default()))
    }
}

const KEEPALIVE: Duration = Duration::from_secs(60);
