//! The way in: a WebSocket, and nothing else.

use std::sync::Arc;

use crate::address::Host;
use crate::client::driver::NoLine;
use crate::client::websocket::{Line, config, not_opened};
use crate::limits::Limits;
use crate::net::websocket::{NotOpened, Opening, open};

/// One server.
#[derive(Debug)]
pub(super) struct Dial {
    host: Host,
    port: u16,
    path: String,
    limits: Limits,
}

impl Dial {
    pub(super) fn new(host: Host, port: u16, path: String, limits: Limits) -> Arc<Self> {
        Arc::new(Self { host, port, path, limits })
    }

    pub(super) async fn connect(self: Arc<Self>) -> Result<(Line, ()), NoLine> {
        let (host, path) = (self.host.as_str(), self.path.as_str());
        let opening = Opening { host, port: self.port, path, protocol: None, authorization: None };
        let opened = open(&opening, &self.limits, config(MOST_FRAME));
        let opened = tokio::time::timeout(self.limits.request_timeout, Box::pin(opened)).await;
        match opened.unwrap_or(Err(NotOpened::TimedOut)) {
            Ok((socket, _)) => Ok((Line::new(socket), ())),
            Err(why) => Err(not_opened(why)),
        }
    }
}

/// Bytes of a frame: as many as the servers in the field take themselves.
const MOST_FRAME: usize = 1 << 20;
