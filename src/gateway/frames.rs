//! WebSockets without a hub, taken by the code that takes room sessions.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::upgrades::{self, Welcome};
use super::websocket;
use crate::address::Host;
use crate::limits::Limits;
use crate::net::listener::{Connections, bind};

/// One message that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// A server of WebSockets at every path, each message answered by a function: what suites and load generators that know
/// WebSockets but not rooms are run against.
///
/// HTTP, upgrade, framing, control frames, queue, cuts and Closes are those of a room session. [`Limits::frame`] bounds
/// what comes, and [`Limits::member_bytes`] what waits to go out; commands have no rate here. `Host` is this machine.
#[derive(Debug)]
pub struct FrameServer {
    listener: TcpListener,
    local: SocketAddr,
    limits: Arc<Limits>,
}

impl FrameServer {
    /// Opens the socket; port 0 lets the system choose. Nothing is answered before [`FrameServer::serve`].
    ///
    /// # Errors
    /// What the system says when nothing can listen there.
    pub async fn bind(host: &Host, port: u16, limits: &Limits) -> io::Result<Self> {
        let listener = bind(host, port).await?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local, limits: Arc::new(limits.clone()) })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `stop` is ready, then says so (1001) and gives [`grace`](Limits::grace) for the last bytes.
    /// `answer` appends whole frames ([`frame`](crate::codec::rooms::frame) makes them), or nothing.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and cuts every connection.
    pub async fn serve<A>(self, answer: A, stop: impl Future<Output = ()> + Send)
    where
        A: Fn(Received<'_>, &mut BytesMut) + Clone + Send + Sync + 'static,
    {
        let Self { listener, local: _, limits } = self;
        let (connections, stopped) = (Connections::of(&limits), CancellationToken::new());
        let session = {
            let (limits, stopped) = (limits.clone(), stopped.clone());
            move |upgrade, _| websocket::exchange(upgrade, limits.clone(), answer.clone(), stopped.clone())
        };
        let signal = async {
            stop.await;
            stopped.cancel();
        };
        let serving = upgrades::serve(listener, limits, connections, Welcome::default(), stopped.clone(), session);
        tokio::join!(signal, serving);
    }
}
