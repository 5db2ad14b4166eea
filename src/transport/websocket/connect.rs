//! The client's handshake, over hyper: tungstenite's own takes a 101 without a subprotocol for an error, and that is how
//! every peer of the first version answers.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{PATHS, config};
use crate::address::{Address, Host, authority};
use crate::codec::talk::SUBPROTOCOL;
use crate::limits::Limits;
use crate::net::client::Reply;
use crate::net::upgrade::has_token;
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
    let connecting = TcpStream::connect((host.as_str(), port));
    let stream = tokio::time::timeout(limits.connect_timeout, connecting).await.map_err(|_| NoLine::TimedOut)?;
    let stream = stream.map_err(|error| NoLine::Unreachable(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| NoLine::Unreachable(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| NoLine::Unreachable(error.to_string()))?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| NoLine::Unreachable(error.to_string()))?;
    let key = BASE64_STANDARD.encode(nonce);
    let request = Request::get(PATHS[path])
        .header(HOST, authority(host.as_str(), port))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key)
        .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        .body(Empty::new())
        .map_err(|error| NoLine::Unreachable(error.to_string()))?;
    let exchange = async {
        let answer = sender.send_request(request).await;
        // A peer that closes instead of answering may know another path.
        let answer = answer.map_err(|error| NoLine::Refused(format!("the upgrade was not answered: {error}")))?;
        let v2 = check(answer.status(), &answer, &key).map_err(NoLine::Refused);
        let v2 = match v2 {
            Ok(v2) => v2,
            Err(_) if answer.status() != StatusCode::SWITCHING_PROTOCOLS => return Err(refusal(answer, limits).await),
            Err(error) => return Err(error),
        };
        let upgraded = hyper::upgrade::on(answer).await.map_err(|error| NoLine::Refused(error.to_string()))?;
        Ok((upgraded, v2))
    };
    // The connection only moves while it is polled too.
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let mut exchange = std::pin::pin!(exchange);
    let (upgraded, v2) = tokio::select! {
        biased;
        done = &mut exchange => done,
        _ = &mut connection => exchange.await,
    }?;
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| NoLine::Unreachable("the connection is not the one that was opened".into()))?;
    let stream = parts.io.into_inner();
    let socket =
        WebSocketStream::from_partially_read(stream, parts.read_buf.to_vec(), Role::Client, Some(config(limits))).await;
    Ok(Line { socket, v2, path })
}

/// Whether a 101 agrees on version 2, or why it is none (RFC 6455, section 4.1).
fn check(status: StatusCode, answer: &Response<Incoming>, key: &str) -> Result<bool, String> {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err("no upgrade".into());
    }
    let headers = answer.headers();
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        return Err("the peer upgraded to something else than WebSocket".into());
    }
    if headers.get(SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| accept != derive_accept_key(key.as_bytes()).as_str()) {
        return Err("the peer's Sec-WebSocket-Accept is not the answer to our key".into());
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err("the peer chose an extension that was not offered".into());
    }
    match headers.get(SEC_WEBSOCKET_PROTOCOL) {
        None => Ok(false),
        Some(chosen) if chosen == SUBPROTOCOL => Ok(true),
        Some(_) => Err("the peer chose a subprotocol that was not offered".into()),
    }
}

async fn refusal(answer: Response<Incoming>, limits: &Limits) -> NoLine {
    if matches!(answer.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        return NoLine::Busy;
    }
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, limits.http_body).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let reply = Reply { status: head.status, headers: head.headers, body };
    NoLine::Refused(format!("{} ({})", SafeText(&reply.detail()), head.status.as_u16()))
}
