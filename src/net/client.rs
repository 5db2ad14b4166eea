//! HTTP asked: one pooled client with time-outs and a bound on what it accepts.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

use super::http::media_type;
use crate::limits::Limits;
use crate::text::beginning;

/// Asks over connections that it keeps. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    inner: Client<HttpConnector, Full<Bytes>>,
    limits: Limits,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NoReply {
    /// Nobody took the connection: the request was not sent.
    Unreachable(String),
    /// The connection broke: the request may have been carried out.
    Broken(String),
    /// What came is not HTTP, or is too long: the request may have been carried out.
    Garbage(String),
    /// Nothing came in time: the request may have been carried out.
    TimedOut,
}

impl HttpClient {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limits.connect_timeout));
        let inner = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Shorter than a server keeps a silent connection, so that a reused one is alive.
            .pool_idle_timeout((limits.head_timeout / 2).min(POOL_IDLE))
            .pool_max_idle_per_host(2)
            .build(connector);
        Self { inner, limits: limits.clone() }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the request may have been carried out.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Reply, NoReply> {
        let exchange = async {
            let answer = self.inner.request(request).await.map_err(|error| {
                let reason = innermost(&error);
                let parse = error.source().and_then(|e| e.downcast_ref::<hyper::Error>()).is_some_and(|e| e.is_parse());
                match (error.is_connect(), parse) {
                    (true, _) => NoReply::Unreachable(reason),
                    (_, true) => NoReply::Garbage(reason),
                    _ => NoReply::Broken(reason),
                }
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.limits.http_response).collect().await;
            let body = body.map_err(|error| {
                let reason = innermost(&*error);
                if error.is::<LengthLimitError>() { NoReply::Garbage(reason) } else { NoReply::Broken(reason) }
            });
            let body = body?.to_bytes();
            Ok(Reply { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(self.limits.request_timeout, exchange).await.unwrap_or(Err(NoReply::TimedOut))
    }
}

impl Reply {
    /// What a refusal says of its reason: a problem document's `detail`, else its text, else the status in words.
    /// Shortened, and as untrusted as it came.
    pub(crate) fn detail(&self) -> String {
        let said = match media_type(&self.headers).as_deref() {
            Some(kind) if kind.ends_with("json") => {
                let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
                ["detail", "message", "error", "title"].iter().find_map(|key| problem.get(key)?.as_str().map(shorten))
            }
            None | Some("text/plain") => Some(shorten(&String::from_utf8_lossy(&self.body))),
            Some(_) => None,
        };
        let in_words = || self.status.canonical_reason().unwrap_or("no reason given").to_owned();
        said.filter(|said| !said.is_empty()).unwrap_or_else(in_words)
    }
}

fn shorten(text: &str) -> String {
    beginning(text.trim(), MAX_DETAIL).into_owned()
}

/// The cause at the bottom, which is the one that says something ("Connection refused").
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// The characters of another's own words that are kept.
const MAX_DETAIL: usize = 200;
/// Many servers of other makes close a silent connection after 5 s.
const POOL_IDLE: Duration = Duration::from_secs(4);
