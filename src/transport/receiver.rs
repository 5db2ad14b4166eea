//! What Http and WebSocket do with the bytes of a message: read it, pass over what came before, put it into the inbox.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{HOST, ORIGIN, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::seen::Seen;
use super::{Inbox, InboxFull};
use crate::codec::CodecError;
use crate::codec::talk::{self, Frame};
use crate::limits::Limits;
use crate::message::{Message, MessageId};
use crate::net::http::{Answer, Problem, answer};

/// One listener's way into its inbox.
#[derive(Debug)]
pub(super) struct Receiver {
    inbox: Inbox,
    seen: Seen,
    limits: Arc<Limits>,
}

/// What became of the bytes.
#[derive(Debug)]
pub(super) enum Heard {
    /// To be confirmed, by its id if it has one: it is in the inbox, or was before, or is a health check.
    Taken(Option<MessageId>),
    /// There is no room for it.
    Full(Message),
}

impl Receiver {
    pub(super) fn new(inbox: Inbox, limits: Arc<Limits>) -> Self {
        Self { inbox, seen: Seen::new(&limits), limits }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a message if there is room for it.
    ///
    /// # Errors
    /// What is no message.
    pub(super) fn take(&self, bytes: &[u8], source: IpAddr) -> Result<Heard, CodecError> {
        let message = match talk::decode(bytes, self.limits.message)? {
            Frame::Message(message, _) => message,
            Frame::HealthCheck => return Ok(Heard::Taken(None)),
            Frame::Ack(_) => return Err(CodecError::Shape("an acknowledgement is no message".into())),
        };
        let Some(id) = message.id.clone() else {
            return Ok(self.inbox.try_put(message).map_or_else(Heard::Full, |()| Heard::Taken(None)));
        };
        // Room first: what is remembered must be delivered.
        let Ok(slot) = self.inbox.slot() else {
            let before = self.seen.knows(source, &message.from, &id);
            return Ok(if before { Heard::Taken(Some(id)) } else { Heard::Full(message) });
        };
        if self.seen.remember(source, &message.from, &id) {
            slot.put(message);
        }
        Ok(Heard::Taken(Some(id)))
    }

    /// Waits for room and takes the message.
    ///
    /// # Errors
    /// [`InboxFull`] when nobody takes from the inbox any more.
    ///
    /// # Cancel safety
    /// The message is lost with the future, and not remembered.
    pub(super) async fn take_when_free(
        &self,
        message: Message,
        source: IpAddr,
    ) -> Result<Option<MessageId>, InboxFull> {
        let slot = self.inbox.wait().await?;
        let id = message.id.clone();
        if id.as_ref().is_none_or(|id| self.seen.remember(source, &message.from, id)) {
            slot.put(message);
        }
        Ok(id)
    }
}

/// Refuses what a browser sends for a page that this listener did not serve (it serves none): any page could otherwise
/// write to whoever is reading it (RFC 6454). A client that names the listener itself as origin is no such page.
pub(super) fn check_origin(head: &Parts) -> Result<(), Problem> {
    let Some(origin) = head.headers.get(ORIGIN) else { return Ok(()) };
    let (_, from) = origin.to_str().ok().and_then(|origin| origin.split_once("://")).unwrap_or_default();
    let here = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    if here.is_some_and(|here| here.eq_ignore_ascii_case(from)) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "pages of other origins may not write to this peer"))
}

/// Answers a health check of a registry: they disagree on what they want to read.
pub(super) fn health(head: &Parts) -> Result<Answer, Problem> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(Problem::method("GET, HEAD"));
    }
    let okhttp = head.headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"okhttp/"));
    Ok(if okhttp {
        answer(StatusCode::OK, "application/json", STATUS_OK)
    } else {
        answer(StatusCode::OK, "text/plain", &b"OK"[..])
    })
}

/// Where a health check asks.
pub(super) const HEALTH: &str = "/v1/health";
/// What pleases the field's clients.
pub(super) const STATUS_OK: &[u8] = b"{\"status\":\"ok\"}";
