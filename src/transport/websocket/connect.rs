//! A connection to a peer, at whichever path it listens.

use hyper::StatusCode;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

use super::{PATHS, config};
use crate::address::{Address, Host};
use crate::codec::talk::SUBPROTOCOL;
use crate::limits::Limits;
use crate::net::client::Reply;
use crate::net::websocket::{self, NotOpened, Opening};
use crate::text::SafeText;
use crate::transport::TransportError;

/// An open connection to a peer.
pub(super) struct Line {
    pub(super) socket: WebSocketStream<TcpStream>,
    /// Whether both ends agreed on version 2.
    pub(super) v2: bool,
    /// Which of [`PATHS`] it was.
    pub(super) path: usize,
}

/// Why there is none.
#[derive(Clone, Debug)]
pub(super) enum NoLine {
    Unreachable(String),
    TimedOut,
    Busy,
    Refused(String),
}

impl NoLine {
    pub(super) fn at(self, at: &Address) -> TransportError {
        let at = at.clone();
        match self {
            Self::Unreachable(reason) => TransportError::Unreachable { at, reason },
            Self::TimedOut => TransportError::TimedOut { at },
            Self::Busy => TransportError::Busy { at },
            Self::Refused(reason) => TransportError::Refused { at, reason },
        }
    }
}

/// Opens a connection at the first path that takes it, beginning with `first`.
pub(super) async fn connect(host: &Host, port: u16, first: usize, limits: &Limits) -> Result<Line, NoLine> {
    let others = (0..PATHS.len()).filter(|path| *path != first);
    let attempts = async {
        let mut last = None;
        for path in std::iter::once(first).chain(others) {
            match attempt(host, port, path, limits).await {
                Err(NoLine::Refused(reason)) => last = Some(reason),
                done => return done,
            }
        }
        Err(NoLine::Refused(last.unwrap_or_default()))
    };
    tokio::time::timeout(limits.request_timeout, Box::pin(attempts)).await.unwrap_or(Err(NoLine::TimedOut))
}

async fn attempt(host: &Host, port: u16, path: usize, limits: &Limits) -> Result<Line, NoLine> {
    let opening =
        Opening { host: host.as_str(), port, path: PATHS[path], protocol: Some(SUBPROTOCOL), authorization: None };
    match websocket::open(&opening, limits, config(limits)).await {
        Ok((socket, v2)) => Ok(Line { socket, v2, path }),
        Err(NotOpened::Unreachable(reason)) => Err(NoLine::Unreachable(reason)),
        Err(NotOpened::TimedOut) => Err(NoLine::TimedOut),
        // Whoever closes instead of answering may know another path.
        Err(NotOpened::Wrong(reason)) => Err(NoLine::Refused(reason)),
        Err(NotOpened::Answered(reply)) => Err(refusal(&reply)),
    }
}

fn refusal(reply: &Reply) -> NoLine {
    match reply.status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => NoLine::Busy,
        status => NoLine::Refused(format!("{} ({})", SafeText(&reply.detail()), status.as_u16())),
    }
}
