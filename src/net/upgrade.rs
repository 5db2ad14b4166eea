//! The way from HTTP to WebSocket (RFC 6455, section 4.2).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::http::{Answer, Problem};

/// What RFC 6455, section 4.2.1, asks of an upgrade; returns the answer to its key.
///
/// # Errors
/// 426 when it is none, or of another version; 400 for a bad key.
pub(crate) fn check_upgrade(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    if !has_token(headers, &CONNECTION, "upgrade") || !has_token(headers, &UPGRADE, "websocket") {
        let detail = "only WebSocket is spoken here: send 'Connection: Upgrade' and 'Upgrade: websocket'";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, detail)
            .with(UPGRADE, "websocket")
            .with(CONNECTION, "upgrade"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let detail = "the WebSocket version here is 13";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, detail)
            .with(SEC_WEBSOCKET_VERSION, "13")
            .with(UPGRADE, "websocket")
            .with(CONNECTION, "upgrade"));
    }
    let bad_key = || Problem::bad("Sec-WebSocket-Key must be 16 bytes in base64, once");
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if BASE64_STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) => key,
        _ => return Err(bad_key()),
    };
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| bad_key())
}

/// The 101, with the subprotocol that was chosen.
pub(crate) fn switching(accept: HeaderValue, protocol: Option<HeaderValue>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    answer
}

/// Whether a list header holds a token, in any letter case.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}
