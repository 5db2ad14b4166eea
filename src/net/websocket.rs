//! The client's WebSocket handshake, over hyper: tungstenite's own takes a 101 without a subprotocol for an error, and
//! that is how many servers answer.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::client::Reply;
use super::upgrade::has_token;
use crate::address::authority;
use crate::limits::Limits;

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) path: &'a str,
    /// The one subprotocol that is offered.
    pub(crate) protocol: Option<&'static str>,
    pub(crate) authorization: Option<HeaderValue>,
}

/// An open connection, and whether the other end took the subprotocol.
pub(crate) type Opened = (WebSocketStream<TcpStream>, bool);

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// Nobody took the connection, or it broke.
    Unreachable(String),
    /// Nobody took the connection in time.
    TimedOut,
    /// It was closed, or answered by what is no upgrade to WebSocket.
    Wrong(String),
    /// It was answered by something else than a 101.
    Answered(Reply),
}

/// Connects and upgrades. Only the connecting has a timer here.
pub(crate) async fn open(opening: &Opening<'_>, limits: &Limits, config: WebSocketConfig) -> Result<Opened, NotOpened> {
    let unreachable = |error: &dyn std::error::Error| NotOpened::Unreachable(error.to_string());
    let connecting = TcpStream::connect((opening.host, opening.port));
    let stream = tokio::time::timeout(limits.connect_timeout, connecting).await.map_err(|_| NotOpened::TimedOut)?;
    let stream = stream.map_err(|error| unreachable(&error))?;
    stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| unreachable(&error))?;
    let key = BASE64_STANDARD.encode(nonce);
    let mut request = Request::get(opening.path)
        .header(HOST, authority(opening.host, opening.port))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    if let Some(protocol) = opening.protocol {
        request = request.header(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(authorization) = &opening.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::new()).map_err(|error| unreachable(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| NotOpened::Wrong(format!("the upgrade was not answered: {error}")))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(NotOpened::Answered(refusal(answer, limits).await));
        }
        let agreed = check(&answer, &key, opening.protocol).map_err(NotOpened::Wrong)?;
        let upgraded = hyper::upgrade::on(answer).await.map_err(|error| NotOpened::Wrong(error.to_string()))?;
        Ok((upgraded, agreed))
    };
    // The connection only moves while it is polled too.
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let mut exchange = std::pin::pin!(exchange);
    let (upgraded, agreed) = tokio::select! {
        biased;
        done = &mut exchange => done,
        _ = &mut connection => exchange.await,
    }?;
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| NotOpened::Unreachable("the connection is not the one that was opened".into()))?;
    let (stream, read) = (parts.io.into_inner(), parts.read_buf.to_vec());
    Ok((WebSocketStream::from_partially_read(stream, read, Role::Client, Some(config)).await, agreed))
}

/// Whether a 101 agrees on the subprotocol, or why it is none (RFC 6455, section 4.1).
fn check(answer: &Response<Incoming>, key: &str, offered: Option<&str>) -> Result<bool, String> {
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
    match (headers.get(SEC_WEBSOCKET_PROTOCOL), offered) {
        (None, _) => Ok(false),
        (Some(chosen), Some(offered)) if chosen == offered => Ok(true),
        (Some(_), _) => Err("the peer chose a subprotocol that was not offered".into()),
    }
}

async fn refusal(answer: Response<Incoming>, limits: &Limits) -> Reply {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, limits.http_body).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Reply { status: head.status, headers: head.headers, body }
}
