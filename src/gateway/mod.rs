//! Gateways: sockets on one side, a [`Hub`](crate::hub::Hub) on the other.
//!
//! [`http::service`] makes a hyper service of a hub, to be mounted in a program's own server; [`RoomServer`] serves one
//! on a socket of its own. [`FrameServer`] takes WebSockets by the same code and gives them to a function, without a hub.
//!
//! A [`Gateway`] puts another wire in front of the same hub: [`Pair`], [`MinechatListen`] and [`MinechatWrite`],
//! [`Console`], [`peer`], or one of a program's own. Each has a socket and is served with a [`Context`]:
//!
//! ```
//! use talk::gateway::{Context, Gateway, Pair};
//! use talk::hub::Hub;
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stop = CancellationToken::new();
//! let context = Context::new(Hub::new(), stop.clone());
//! let pair = Box::new(Pair::bind(&"127.0.0.1".parse()?, 0).await?);
//! println!("{} on {}", pair.name(), pair.local_addr());
//! let serving = tokio::spawn(pair.serve(context));
//! stop.cancel();
//! serving.await?;
//! # Ok(())
//! # }
//! ```

mod console;
mod context;
mod frames;
pub mod http;
mod minechat;
mod pair;
pub mod peer;
mod pump;
mod request;
mod rooms;
pub mod syslog;
mod tcp;
mod unsigned;
mod upgrades;
mod websocket;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::console::{Console, ConsoleEvent, ConsoleEvents};
pub use self::context::{Context, Gateway};
pub use self::frames::{FrameServer, Received};
use self::http::RoomService;
pub use self::minechat::{MinechatListen, MinechatWrite};
pub use self::pair::Pair;
#[cfg(feature = "server")]
pub(crate) use self::unsigned::CountedUnsigned;
use crate::address::Host;
use crate::net;
use crate::net::listener::bind;

/// The room protocol on a socket of its own.
#[derive(Debug)]
pub struct RoomServer {
    listener: TcpListener,
    local: SocketAddr,
    service: RoomService,
}

impl RoomServer {
    /// Opens the socket; port 0 lets the system choose. Nothing is answered before [`RoomServer::serve`].
    ///
    /// # Errors
    /// What the system says when nothing can listen there.
    pub async fn bind(host: &Host, port: u16, service: RoomService) -> io::Result<Self> {
        let listener = bind(host, port).await?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local, service })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `stop` is ready; then every session is told (1001), and has [`grace`](crate::Limits::grace) to
    /// take what waits for it.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and cuts every connection.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let Self { listener, local: _, service } = self;
        let stopped = CancellationToken::new();
        let _cut = service.cut_on_drop();
        let signal = async {
            stop.await;
            stopped.cancel();
            service.hub.stop();
        };
        let serving = net::http::serve(listener, service.clone(), service.limits().clone(), stopped.clone());
        tokio::join!(signal, serving);
        service.finish(Instant::now() + service.limits().grace).await;
    }
}
