//! HTTP/1.1 served under our own limits: heads, bodies and silent connections end by their timers, refusals are
//! problem documents (RFC 9457), and a stop lets requests in progress finish.

use std::future::{Future, poll_fn};
use std::net::{Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use serde_json::json;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span};

use super::body::Pieces;
use super::io::{Io, Shared};
use super::listener::{Connections, Place, accept};
use crate::limits::Limits;
use crate::tape::{Recorder, Reel, Tape};

/// Every body that we send is short and whole.
pub(crate) type Answer = Response<Full<Bytes>>;

/// What answers requests. It must be cheap to clone.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    fn handle(&self, request: Request<Incoming>, from: SocketAddr) -> impl Future<Output = Answer> + Send;

    /// Who records what comes by a new connection; the connection's [`Reel`] comes with each of its requests.
    fn recorder(&self) -> Option<Arc<dyn Recorder>> {
        None
    }
}

/// Serves until `stop`, then lets requests in progress finish for [`Limits::grace`], and returns. A request is in
/// progress from the end of its head until its answer has gone out; other connections are closed at once.
///
/// Upgraded connections are the handler's own to end.
pub(crate) async fn serve<H: Handler>(listener: TcpListener, handler: H, limits: Arc<Limits>, stop: CancellationToken) {
    let connections = Connections::of(&limits);
    serve_counted(listener, handler, limits, connections, stop).await;
}

/// The same, with a count of the connections that the caller may look at.
pub(crate) async fn serve_counted<H: Handler>(
    listener: TcpListener,
    handler: H,
    limits: Arc<Limits>,
    connections: Connections,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let farewells = Arc::new(Semaphore::new(MOST_FAREWELLS));
    let ended = CancellationToken::new();
    // Whoever drops this future cuts the connections too.
    let _cut = ended.clone().drop_guard();
    while let Some((stream, from)) = stop.run_until_cancelled(accept(&listener)).await {
        let span = debug_span!("http", %from);
        let Some(place) = connections.enter(from.ip()) else {
            debug!(parent: &span, "too many connections from this address");
            // A flood is closed without a word: the words would cost more than the connections that are refused.
            if let Ok(turn) = farewells.clone().try_acquire_owned() {
                let work = async move {
                    turn_away(stream).await;
                    drop(turn);
                };
                tasks.spawn(work.instrument(span));
            }
            continue;
        };
        let (handler, limits) = (handler.clone(), limits.clone());
        let stop = stop.clone();
        let work = async move { serve_connection(stream, from, Arc::new(place), handler, &limits, &stop).await };
        tasks.spawn(work.instrument(span));
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn serve_connection<H: Handler>(
    stream: TcpStream,
    from: SocketAddr,
    place: Arc<Place>,
    handler: H,
    limits: &Limits,
    stop: &CancellationToken,
) {
    let shared = Arc::new(Shared::default());
    // It counts until the socket is closed, and not only while hyper has it.
    let result = run(stream, from, &shared, place.clone(), handler, limits, stop).await;
    if shared.upgraded.load(Ordering::Relaxed) {
        return;
    }
    let Some(stream) = shared.take() else { return };
    if let Err(error) = result {
        debug!(%error, "the connection ended early");
        // Whatever came last has not been answered.
        if shared.heard.load(Ordering::Relaxed) {
            if shared.late.load(Ordering::Relaxed) {
                let detail = "the request head did not arrive in time";
                say(&stream, Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
            } else if error.is_parse() {
                // hyper leaves the preface of HTTP/2 unanswered.
                say(&stream, Problem::bad("only HTTP/1.1 is spoken here"));
            }
        }
    }
    linger(&stream).await;
    drop(stream);
    drop(place);
}

/// Lets hyper have the connection until it ends.
async fn run<H: Handler>(
    stream: TcpStream,
    from: SocketAddr,
    shared: &Arc<Shared>,
    place: Arc<Place>,
    handler: H,
    limits: &Limits,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    let reel = handler.recorder().map(Reel::new);
    let service = service_fn(|mut request: Request<Incoming>| {
        shared.answering.store(true, Ordering::Relaxed);
        // A request framed by Transfer-Encoding ends its connection (RFC 9112, section 6.1): if something before us
        // framed it otherwise, the rest never passes for a second request.
        // hyper knows the length of every other body.
        let ends = request.body().size_hint().exact().is_none();
        let smuggles = ends && shared.two_lengths.load(Ordering::Relaxed);
        // hyper leaves a way to upgrade there, and nothing else.
        if !request.extensions().is_empty() {
            request.extensions_mut().insert(place.clone());
        }
        if let Some(reel) = &reel {
            request.extensions_mut().insert(reel.clone());
        }
        let answer = (!smuggles).then(|| handler.handle(request, from));
        async move {
            let mut answer = match answer {
                Some(answer) => answer.await,
                None => two_lengths().into(),
            };
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                shared.upgraded.store(true, Ordering::Relaxed);
            } else if ends {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // Not when it goes out: before that, what is left of an earlier answer may.
            shared.answering.store(false, Ordering::Relaxed);
            let shared = shared.clone();
            let handed = move |all: bool| shared.rest.store(!all, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(answer.map(|whole| Pieces::new(whole, handed)))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(limits.http_headers)
        .max_buf_size(limits.http_head.max(MIN_BUFFER))
        .serve_connection(TokioIo::new(Io::new(stream, shared.clone(), give_a_body, limits)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = stop.cancelled() => {}
    }
    // Half a head is no request yet, and hyper would wait for the other half.
    if !shared.is_in_progress() {
        return Ok(());
    }
    connection.as_mut().graceful_shutdown();
    // Dropped then, which ends what is still in progress.
    tokio::time::timeout(limits.grace, connection).await.unwrap_or(Ok(()))
}

/// A connection that leaves HTTP once its 101 is written.
pub(crate) struct Upgrade {
    done: OnUpgrade,
    place: Option<Arc<Place>>,
    /// On which it is recorded.
    tape: Option<Arc<dyn Tape>>,
}

/// A connection that left HTTP.
pub(crate) struct Upgraded {
    pub(crate) io: Io,
    /// What was read past the request.
    pub(crate) read: Bytes,
    /// Counts for its address as long as this is held.
    pub(crate) place: Option<Arc<Place>>,
}

/// A connection of another's server that left HTTP.
pub(crate) enum Foreign {
    /// A bare socket, and what was read past the request.
    Socket(TcpStream, Bytes),
    /// Anything.
    Other(TokioIo<hyper::upgrade::Upgraded>),
}

impl Upgrade {
    /// Takes the connection of a request that will be answered 101.
    pub(crate) fn of(request: &mut Request<Incoming>) -> Self {
        let place = request.extensions_mut().remove();
        Self { done: hyper::upgrade::on(request), place, tape: None }
    }

    /// Records on that tape what comes behind the upgrade.
    pub(crate) fn taped(self, tape: Option<Arc<dyn Tape>>) -> Self {
        Self { tape, ..self }
    }

    /// The tape on which it is recorded.
    pub(crate) fn tape(&self) -> Option<Arc<dyn Tape>> {
        self.tape.clone()
    }

    /// The connection of another's server once its 101 is written; `None` when it ended before.
    pub(crate) async fn wait_foreign(self) -> Option<Foreign> {
        Some(match self.done.await.ok()?.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => Foreign::Socket(parts.io.into_inner(), parts.read_buf),
            Err(other) => Foreign::Other(TokioIo::new(other)),
        })
    }

    /// The connection once the 101 is written; `None` when it ended before.
    pub(crate) async fn wait(self) -> Option<Upgraded> {
        let parts = self.done.await.ok()?.downcast::<TokioIo<Io>>().ok()?;
        Some(Upgraded { io: parts.io.into_inner().plain(), read: parts.read_buf, place: self.place })
    }
}

/// Reads a request body under the limits.
///
/// # Errors
/// 413 over the limit (told by the declared length before anything is read), 408 when it does not arrive in time, 400
/// when it breaks off or is framed badly.
pub(crate) async fn read_body<B>(body: B, limits: &Limits) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limit = limits.http_body;
    let too_large = || {
        let detail = format!("the body is over the limit of {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut all = pin!(Limited::new(body, limit).collect());
    let read = match at_once(all.as_mut()).await {
        Some(read) => Ok(read),
        None => tokio::time::timeout(limits.body_timeout, all).await,
    };
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off or is framed badly")),
        Err(_) => {
            let timed_out = Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
            Err(timed_out.with(CONNECTION, "close"))
        }
    }
}

/// The output of a future that is ready after one more turn of its task: a body that came with its head is, and needs no
/// timer.
async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut first = true;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if first => {
            first = false;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What every service of ours asks of a request's head, whoever's server it is mounted in.
///
/// # Errors
/// 400 without exactly one `Host`, or with both lengths that a body can have (RFC 9112, section 6.3); 414 for a
/// target over the limit.
pub(crate) fn check_head(head: &Parts, limits: &Limits) -> Result<(), Problem> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) if head.version >= Version::HTTP_2 && head.uri.authority().is_some() => {
            return check_target(head, limits);
        }
        (None, _) => return Err(Problem::bad("the Host header is missing").with(CONNECTION, "close")),
        (Some(_), Some(_)) => return Err(Problem::bad("there is more than one Host header").with(CONNECTION, "close")),
    };
    // Nearly always a name or an IPv4 address with a port, which needs no closer look.
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let (name, port) = match host.as_bytes().iter().position(|b| *b == b':') {
        Some(colon) => (&host.as_bytes()[..colon], &host.as_bytes()[colon + 1..]),
        None => (host.as_bytes(), &[][..]),
    };
    let easy = !name.is_empty() && name.iter().all(plain) && port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    let readable = || host.to_str().is_ok_and(|h| h.parse::<hyper::http::uri::Authority>().is_ok() && !h.contains('@'));
    if !easy && !readable() {
        return Err(Problem::bad("the Host header is not a host with an optional port").with(CONNECTION, "close"));
    }
    if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH) {
        return Err(two_lengths());
    }
    if head.version < Version::HTTP_10 {
        return Err(Problem::bad("HTTP/1.0 or HTTP/1.1 is needed"));
    }
    check_target(head, limits)
}

fn two_lengths() -> Problem {
    Problem::bad("Content-Length and Transfer-Encoding exclude each other").with(CONNECTION, "close")
}

fn check_target(head: &Parts, limits: &Limits) -> Result<(), Problem> {
    let target = head.uri.path_and_query().map_or(0, |t| t.as_str().len());
    if target > limits.uri {
        let detail = format!("the request target is over the limit of {} bytes", limits.uri);
        return Err(Problem::new(StatusCode::URI_TOO_LONG, detail));
    }
    Ok(())
}

/// The media type of a body, lower case, without parameters. `None` when there is no such header, or not exactly one.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let essence = value.to_str().ok()?.split(';').next()?.trim();
    Some(essence.to_ascii_lowercase())
}

/// Whether a body calls itself JSON (RFC 6839: also by `+json`); `None` when it says nothing of itself.
pub(crate) fn says_json(headers: &HeaderMap) -> Option<bool> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) if value.as_bytes() == b"application/json" => Some(true),
        _ => Some(media_type(headers).is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"))),
    }
}

/// Undoes percent-encoding, once.
pub(crate) fn percent_decode(text: &str) -> Result<String, Problem> {
    let bad = || Problem::bad("percent-encoding is '%' and two hexadecimal digits, and what it encodes is UTF-8");
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
            match (digit(), digit()) {
                (Some(high), Some(low)) => out.push(high << 4 | low),
                _ => return Err(bad()),
            }
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| bad())
}

/// An answer with a body.
pub(crate) fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// A refusal: a problem document (RFC 9457) that says what is wrong and what would be right.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new() }
    }

    /// 400.
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 405 with the methods that would do.
    pub(crate) fn method(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("the methods here are {allowed}")).with(ALLOW, allowed)
    }

    /// 503: full or stopping; worth another try soon.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, "1")
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut answer = answer(problem.status, PROBLEM, problem_body(problem.status, &problem.detail));
        answer.headers_mut().extend(problem.headers);
        answer
    }
}

fn problem_body(status: StatusCode, detail: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail }).to_string()
}

/// Finds hyper's bare answer to a head that it could not parse at the end of what it writes, and gives it a body.
///
/// No answer of ours is a 4xx with an empty body, so nothing else looks like that.
fn give_a_body(written: &[u8]) -> Option<Bytes> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let start = written.windows(START.len()).rposition(|w| w == START)?;
    let head = std::str::from_utf8(&written[start..]).ok()?;
    let status: u16 = head.get(START.len() - 1..START.len() + 2)?.parse().ok()?;
    let detail = match status {
        400 => "the request head is not valid HTTP/1.1",
        414 => "the request target is too long",
        431 => "the request head is too large or has too many fields",
        _ => return None,
    };
    if !head.to_ascii_lowercase().contains("\r\ncontent-length: 0\r\n") {
        return None;
    }
    let whole = plain_answer(StatusCode::from_u16(status).ok()?, detail);
    Some([&written[..start], whole.as_bytes()].concat().into())
}

/// A whole answer in text, for where hyper does not write it.
fn plain_answer(status: StatusCode, detail: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = problem_body(status, detail);
    let length = body.len();
    format!(
        "HTTP/1.1 {} {title}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}",
        status.as_u16()
    )
}

/// Says the last word; what the socket does not take at once is not worth waiting for.
fn say(stream: &TcpStream, problem: Problem) {
    let _ = stream.try_write(plain_answer(problem.status, &problem.detail).as_bytes());
}

async fn turn_away(stream: TcpStream) {
    let _ = stream.writable().await;
    say(&stream, Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address"));
    linger(&stream).await;
}

/// Closes our side and reads on for a moment, so that unread bytes do not reset the connection under our answer.
pub(crate) async fn linger(stream: &TcpStream) {
    if SockRef::from(stream).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let rest = async {
        let (mut buffer, mut total) = (vec![0; 4096], 0);
        while total < LINGER_BYTES && stream.readable().await.is_ok() {
            match stream.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => total += read,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, rest).await;
}

const PROBLEM: &str = "application/problem+json";
const START: &[u8] = b"HTTP/1.1 4";
/// The least that hyper takes for its buffer, in bytes.
const MIN_BUFFER: usize = 8192;
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;
/// Connections over the limit of their address that are told so at one time; others are closed without a word.
const MOST_FAREWELLS: usize = 64;

#[cfg(test)]
mod tests;
