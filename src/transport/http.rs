//! Messages over HTTP: `POST /v1/message`, answered when the program's inbox has it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming as Body;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::checks::{check_text, network};
use super::receiver::{HEALTH, Heard, Receiver, STATUS_OK, Unheard, check_origin, health};
use super::{Gate, Incoming, Sent, Transport, TransportError, Turned};
use crate::address::{Address, Entry, Protocol};
use crate::codec::{CodecError, talk};
use crate::limits::Limits;
use crate::message::{Message, MessageId};
use crate::net::client::{HttpClient, NoReply, Reply};
use crate::net::http::{Answer, Handler, Problem, check_head, read_body, says_json, serve_counted};
use crate::net::listener;
use crate::text::SafeText;

/// Carries messages over HTTP/1.1.
///
/// Listening, it answers `POST /v1/message` with 200 once the message is in the inbox, 503 when that is full, and a
/// problem document (RFC 9457) to what it cannot take, 403 where a guard turns it away. A message with an `id` that comes twice is delivered once.
///
/// Sending, it keeps one connection per peer and has one request under way on it at a time, which keeps the order. A
/// kept connection that turns out closed before anything was written to it is replaced. One that closes behind a request
/// leaves open whether the peer had read it (RFC 9110, section 9.2.2): with an `id` the message is sent once more, and
/// without one, to peers of the first version, that is an error, as a second copy would be a second message.
#[derive(Debug)]
pub struct Http {
    limits: Arc<Limits>,
    client: HttpClient,
    peers: Mutex<HashMap<Address, Arc<Peer>>>,
}

/// Whom messages go to, one after another.
#[derive(Debug)]
struct Peer {
    /// Fair: whoever waits first sends first.
    turn: tokio::sync::Mutex<()>,
    message: Uri,
}

impl Http {
    /// With the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(limits: &Limits) -> Self {
        // A peer's answer is a word or two, not a list of users.
        let mut answers = limits.clone();
        answers.http_response = limits.http_body;
        Self { limits: Arc::new(limits.clone()), client: HttpClient::new(&answers), peers: Mutex::default() }
    }

    fn peer(&self, at: &Address) -> Result<Arc<Peer>, TransportError> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(at) {
            return Ok(peer.clone());
        }
        if peers.len() >= MAX_PEERS {
            // Those that nobody sends to at this moment hold nothing but their place.
            peers.retain(|_, peer| Arc::strong_count(peer) > 1);
        }
        let peer = Arc::new(Peer { turn: tokio::sync::Mutex::default(), message: uri(at, MESSAGE)? });
        peers.insert(at.clone(), peer.clone());
        Ok(peer)
    }

    async fn open(&self, at: &Address, gate: Option<Gate>) -> Result<Incoming, TransportError> {
        let (host, port) = network(at, &Protocol::HTTP)?;
        let failed = |source| TransportError::Listen { at: at.clone(), source };
        let listener = listener::bind(host, port).await.map_err(failed)?;
        let local = Address::socket(Protocol::HTTP, listener.local_addr().map_err(failed)?);
        let (inbox, incoming) = Incoming::channel(local, self.limits.inbox.max(1));
        let stop = inbox.stopped().clone();
        let (guard, connections) = Gate::apart(gate, &self.limits);
        let handler = Listening { receiver: Arc::new(Receiver::new(inbox, guard, self.limits.clone())) };
        tokio::spawn(serve_counted(listener, handler, self.limits.clone(), connections, stop));
        Ok(incoming)
    }

    async fn post(&self, to: &Uri, body: Bytes) -> Result<Reply, NoReply> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = to.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        self.client.ask(request).await
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transport for Http {
    fn protocol(&self) -> Protocol {
        Protocol::HTTP
    }

    async fn listen(&self, at: &Address) -> Result<Incoming, TransportError> {
        self.open(at, None).await
    }

    async fn listen_guarded(&self, at: &Address, gate: Gate) -> Result<Incoming, TransportError> {
        self.open(at, Some(gate)).await
    }

    async fn send(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        let at = &to.address;
        network(at, &Protocol::HTTP)?;
        check_text(message, &self.limits)?;
        let body: Bytes = if to.acknowledges() {
            let id = message.id.clone().unwrap_or_else(MessageId::random);
            talk::encode_v2(message, &id, None).into()
        } else {
            talk::encode_v1(message).into()
        };
        let peer = self.peer(at)?;
        let _turn = peer.turn.lock().await;
        let mut reply = self.post(&peer.message, body.clone()).await;
        if to.acknowledges() && matches!(reply, Err(NoReply::Broken(_))) {
            // The id makes it harmless if the first one arrived.
            reply = self.post(&peer.message, body).await;
        }
        let reply = reply.map_err(|error| no_reply(at, error))?;
        match reply.status {
            ok if ok.is_success() => Ok(Sent::Delivered),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(TransportError::Busy { at: at.clone() })
            }
            status => {
                let reason = format!("{} ({})", SafeText(&reply.detail()), status.as_u16());
                Err(TransportError::Refused { at: at.clone(), reason })
            }
        }
    }

    async fn probe(&self, to: &Entry) -> Result<(), TransportError> {
        let at = &to.address;
        network(at, &Protocol::HTTP)?;
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri(at, HEALTH)?;
        let reply = self.client.ask(request).await.map_err(|error| no_reply(at, error))?;
        if reply.status.is_success() {
            return Ok(());
        }
        let reason = format!("the health check was answered {}", reply.status.as_u16());
        Err(TransportError::Unreachable { at: at.clone(), reason })
    }
}

/// Answers requests of one listener.
#[derive(Clone, Debug)]
struct Listening {
    receiver: Arc<Receiver>,
}

impl Handler for Listening {
    async fn handle(&self, request: Request<Body>, from: SocketAddr) -> Answer {
        let (head, body) = request.into_parts();
        match self.look_at(&head, from.ip()) {
            Err(problem) => problem.into(),
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let limits = self.receiver.limits();
                let taken = match read_body(body, limits).await {
                    Ok(body) => self.take(&body, from.ip()).await,
                    Err(problem) => Err(problem),
                };
                taken.map_or_else(Answer::from, |()| taken_answer(head.headers))
            }
        }
    }
}

impl Listening {
    /// The answer that needs no body; `None` when a message is to be read.
    fn look_at(&self, head: &Parts, from: IpAddr) -> Result<Option<Answer>, Problem> {
        check_head(head, self.receiver.limits())?;
        check_origin(head, from, self.receiver.limits())?;
        match head.uri.path() {
            MESSAGE if head.method != Method::POST => Err(Problem::method("POST")),
            MESSAGE if says_json(&head.headers) == Some(false) => {
                let detail = "the media type must be application/json";
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
            }
            MESSAGE => Ok(None),
            HEALTH => health(head).map(Some),
            _ => Err(Problem::new(StatusCode::NOT_FOUND, "messages go to POST /v1/message")),
        }
    }

    async fn take(&self, body: &[u8], source: IpAddr) -> Result<(), Problem> {
        match self.receiver.take(body, source).await {
            Ok(Heard::Taken(_)) => Ok(()),
            Ok(Heard::Full(_)) => Err(Problem::busy("the inbox is full")),
            Err(Unheard::Garbage(error)) => Err(error.into()),
            Err(Unheard::Turned(turned)) => Err(turned.into()),
        }
    }
}

/// Says that a message was taken, in the map of the request's headers: making another would cost more than the rest.
fn taken_answer(mut headers: HeaderMap) -> Answer {
    headers.clear();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    let mut answer = Response::new(Full::new(Bytes::from_static(STATUS_OK)));
    *answer.headers_mut() = headers;
    answer
}

impl From<CodecError> for Problem {
    fn from(error: CodecError) -> Self {
        let status = match error {
            CodecError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Turned> for Problem {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::Away(reason) => Self::new(StatusCode::FORBIDDEN, reason),
            Turned::TooFast(reason) => Self::new(StatusCode::TOO_MANY_REQUESTS, reason),
            Turned::Later(reason) => Self::busy(reason),
        }
    }
}

fn uri(at: &Address, path: &'static str) -> Result<Uri, TransportError> {
    let authority = at.authority().ok_or_else(|| TransportError::WrongAddress(at.clone()))?;
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build();
    uri.map_err(|error| TransportError::Unreachable { at: at.clone(), reason: error.to_string() })
}

fn no_reply(at: &Address, error: NoReply) -> TransportError {
    let at = at.clone();
    match error {
        NoReply::Unreachable(reason) => TransportError::Unreachable { at, reason },
        NoReply::Broken(reason) => {
            TransportError::Unreachable { at, reason: format!("the connection broke before an answer: {reason}") }
        }
        NoReply::Garbage(reason) => {
            TransportError::Unreachable { at, reason: format!("what answers there is no peer: {reason}") }
        }
        NoReply::TimedOut => TransportError::TimedOut { at },
    }
}

const MESSAGE: &str = "/v1/message";
const JSON: &str = "application/json";
/// Peers whose place in the order is kept; those nobody sends to are then forgotten.
const MAX_PEERS: usize = 1024;
