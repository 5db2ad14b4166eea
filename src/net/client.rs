//! HTTP asked: one pooled client with time-outs and a bound on what it accepts.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::limits::Limits;

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
    /// The connection broke, or what came is not HTTP, or is too long: the request may have been carried out.
    Broken(String),
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
            // Shorter than any server of ours keeps a silent connection, so that a reused one is alive.
            .pool_idle_timeout(limits.head_timeout / 2)
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
                if error.is_connect() { NoReply::Unreachable(reason) } else { NoReply::Broken(reason) }
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.limits.http_response).collect().await;
            let body = body.map_err(|error| NoReply::Broken(innermost(&*error)))?.to_bytes();
            Ok(Reply { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(self.limits.request_timeout, exchange).await.unwrap_or(Err(NoReply::TimedOut))
    }
}

/// The cause at the bottom, which is the one that says something ("Connection refused").
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
