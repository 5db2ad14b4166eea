//! What Http and WebSocket do with the bytes of a message: read it, pass over what came before, put it into the inbox.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hyper::header::{HOST, ORIGIN, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::seen::Seen;
use super::{Guard, Inbox, InboxFull, Turned};
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
    guard: Option<Arc<dyn Guard>>,
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

/// Why the bytes were not heard.
#[derive(Debug)]
pub(super) enum Unheard {
    /// They are no message.
    Garbage(CodecError),
    /// The guard does not let it in.
    Turned(Turned),
}

impl Receiver {
    pub(super) fn new(inbox: Inbox, guard: Option<Arc<dyn Guard>>, limits: Arc<Limits>) -> Self {
        Self { inbox, seen: Seen::new(&limits), guard, limits }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a message if it may come in and there is room for it. Without a guard that does not wait.
    ///
    /// # Errors
    /// Why not.
    ///
    /// # Cancel safety
    /// Nothing is taken when the future is dropped before it is ready.
    pub(super) async fn take(&self, bytes: &[u8], source: IpAddr) -> Result<Heard, Unheard> {
        let message = match talk::decode(bytes, self.limits.message).map_err(Unheard::Garbage)? {
            Frame::Message(message, _) => message,
            Frame::HealthCheck => return Ok(Heard::Taken(None)),
            Frame::Ack(_) => {
                return Err(Unheard::Garbage(CodecError::Shape("an acknowledgement is no message".into())));
            }
        };
        if let Some(guard) = &self.guard {
            guard.admit(&message, source).await.map_err(Unheard::Turned)?;
        }
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
/// write to whoever is reading it (RFC 6454). A client that names the listener itself as origin is no such page, unless
/// the name may be one that its owner made lead here (DNS rebinding), which only helps against somebody near.
pub(super) fn check_origin(head: &Parts, from: IpAddr, limits: &Limits) -> Result<(), Problem> {
    let Some(origin) = head.headers.get(ORIGIN) else { return Ok(()) };
    let (_, named) = origin.to_str().ok().and_then(|origin| origin.split_once("://")).unwrap_or_default();
    let here = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    if here.is_none_or(|here| !here.eq_ignore_ascii_case(named)) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "pages of other origins may not write to this peer"));
    }
    if is_near(from, limits) && may_be_rebound(named) {
        let detail = "with an Origin, this peer must be named by its address or by a name of the local network";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// Whether somebody's browser may reach from there what strangers do not. Loopback is where a proxy passes strangers on
/// when it is counted.
fn is_near(from: IpAddr, limits: &Limits) -> bool {
    match from {
        ip if ip.is_loopback() => limits.loopback_exempt,
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether a stranger may own this name: not an address, nor what the public name servers never have.
fn may_be_rebound(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_address = host.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
    !is_address && name.contains('.') && !LOCAL_NAMES.iter().any(|ending| name.ends_with(ending))
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
/// Endings of names that only the local network gives (RFC 6761, 6762, 8375; `internal` is reserved, `lan` is what many
/// routers say).
const LOCAL_NAMES: [&str; 5] = [".localhost", ".local", ".home.arpa", ".internal", ".lan"];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, host: &str, origin: &str) -> bool {
        let request = hyper::Request::post("/v1/message").header(HOST, host).header(ORIGIN, origin);
        let (head, ()) = request.body(()).unwrap().into_parts();
        check_origin(&head, from.parse().unwrap(), &Limits::default()).is_ok()
    }

    #[test]
    fn near_by_only_names_that_no_stranger_owns_may_stand_for_the_listener() {
        let near = ["127.0.0.1", "::1", "192.168.1.2", "10.0.0.1", "169.254.1.1", "fd00::1", "fe80::1"];
        for from in near {
            for host in
                ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", "bob", "bob.local", "BOB.lan.:80", "192.0.2.1"]
            {
                assert!(check(from, host, &format!("http://{host}")), "{from} {host}");
            }
            for host in ["evil.example", "evil.example:8080", "local.evil.example", "evillocal.example", "127.1"] {
                assert!(!check(from, host, &format!("http://{host}")), "{from} {host}");
            }
        }
        assert!(check("192.0.2.1", "bob.example:8080", "http://bob.example:8080"), "strangers can send without a page");
    }

    #[test]
    fn another_origin_is_refused_wherever_it_comes_from() {
        for from in ["127.0.0.1", "192.0.2.1", "2001:db8::1"] {
            for origin in ["http://evil.example", "null", "", "http://localhost:1", "localhost", "http://"] {
                assert!(!check(from, "localhost", origin), "{from} {origin}");
            }
        }
    }

    #[test]
    fn behind_a_proxy_on_this_machine_loopback_is_not_near() {
        let mut limits = Limits::default();
        limits.loopback_exempt = false;
        assert!(!is_near("127.0.0.1".parse().unwrap(), &limits));
    }
}
