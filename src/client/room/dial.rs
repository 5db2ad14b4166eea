//! The way in: a token by `POST /auth`, a WebSocket with it.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use serde_json::{Value, json};

use crate::address::Host;
use crate::client::driver::NoLine;
use crate::client::websocket::{Line, answer, config, not_opened};
use crate::codec::rooms::SUBPROTOCOL;
use crate::limits::Limits;
use crate::net::base::WANTED;
use crate::net::client::{HttpClient, NoReply, Reply};
use crate::net::websocket::{NotOpened, Opening, open};
use crate::secret::{Password, Secret};

/// One server, and how to sign in there.
#[derive(Debug)]
pub(super) struct Dial {
    http: HttpClient,
    base: String,
    host: Host,
    port: u16,
    prefix: String,
    secret: Option<Password>,
    limits: Limits,
}

/// What the connecting found out.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) token: Secret,
    /// Whether it was given just now.
    pub(super) fresh: bool,
}

impl Dial {
    /// `base` without a slash at the end.
    pub(super) fn new(base: String, secret: Option<Password>, limits: &Limits) -> Result<Arc<Self>, &'static str> {
        let uri: Uri = base.parse().map_err(|_| WANTED)?;
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let host = Host::new(host).map_err(|_| WANTED)?;
        let (port, prefix) = (uri.port_u16().unwrap_or(80), uri.path().trim_end_matches('/').to_owned());
        let mut limits = limits.clone();
        limits.http_response = MOST_ANSWER;
        Ok(Arc::new(Self { http: HttpClient::new(&limits), base, host, port, prefix, secret, limits }))
    }

    /// Whether it signs in to an account, so that each sign-in is the same user's.
    pub(super) fn has_account(&self) -> bool {
        self.secret.is_some()
    }

    /// Connects with a token, or with a new one.
    pub(super) async fn connect(
        self: Arc<Self>,
        nickname: String,
        token: Option<Secret>,
    ) -> Result<(Line, Welcome), NoLine> {
        if let Some(token) = token
            && let Some(line) = self.open(&token).await?
        {
            return Ok((line, Welcome { token, fresh: false }));
        }
        let token = self.sign_in(&nickname).await?;
        match self.open(&token).await? {
            Some(line) => Ok((line, Welcome { token, fresh: true })),
            None => Err(NoLine::Passing("the server does not know the token that it just gave".into())),
        }
    }

    async fn sign_in(&self, nickname: &str) -> Result<Secret, NoLine> {
        let body = match &self.secret {
            Some(secret) => json!({ "nickname": nickname, "secret": secret.reveal() }),
            None => json!({ "nickname": nickname }),
        };
        let request = Request::post(format!("{}/auth", self.base)).header(CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        let request = request.map_err(|error| NoLine::Refused(error.to_string()))?;
        let reply = self.http.ask(request).await.map_err(|error| match error {
            NoReply::Unreachable(reason) | NoReply::Broken(reason) => NoLine::Passing(reason),
            NoReply::Garbage(reason) => {
                NoLine::Passing(format!("what comes from {} is no answer of a room server: {reason}", self.base))
            }
            NoReply::TimedOut => NoLine::Passing("no answer to the sign-in in time".into()),
        })?;
        if ELSEWHERE.contains(&reply.status) {
            return Err(self.elsewhere(&reply));
        }
        if reply.status != StatusCode::CREATED {
            return Err(refused(reply));
        }
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let token = answer.get("token").and_then(Value::as_str).and_then(|token| Secret::new(token).ok());
        token.ok_or_else(|| NoLine::Passing("the answer to the sign-in holds no token".into()))
    }

    /// A WebSocket; `None` when the token is void.
    async fn open(&self, token: &Secret) -> Result<Option<Line>, NoLine> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
            .map_err(|error| NoLine::Refused(error.to_string()))?;
        authorization.set_sensitive(true);
        let opening = Opening {
            host: self.host.as_str(),
            port: self.port,
            path: &format!("{}/ws", self.prefix),
            protocol: Some(SUBPROTOCOL),
            authorization: Some(authorization),
        };
        let opened = open(&opening, &self.limits, config(MOST_FRAME));
        match tokio::time::timeout(self.limits.request_timeout, Box::pin(opened)).await {
            Ok(Ok((socket, true))) => Ok(Some(Line::new(socket))),
            Ok(Ok((_, false))) => {
                Err(NoLine::Refused(format!("the server at {} does not speak {SUBPROTOCOL}", self.base)))
            }
            Ok(Err(NotOpened::Answered(reply))) if reply.status == StatusCode::UNAUTHORIZED => Ok(None),
            Ok(Err(NotOpened::Answered(reply))) if ELSEWHERE.contains(&reply.status) => Err(self.elsewhere(&reply)),
            Ok(Err(NotOpened::Answered(reply))) => Err(refused(reply)),
            Ok(Err(why)) => Err(not_opened(why)),
            Err(_) => Err(not_opened(NotOpened::TimedOut)),
        }
    }

    fn elsewhere(&self, reply: &Reply) -> NoLine {
        NoLine::Refused(format!(
            "{} is not where the rooms of a talk-server are ({}); name the address that it says it listens on, such as \
             http://127.0.0.1:7000",
            self.base,
            reply.status.as_u16()
        ))
    }
}

fn refused(reply: Reply) -> NoLine {
    let taken = reply.status == StatusCode::FORBIDDEN && reply.detail().ends_with(TAKEN);
    if taken { NoLine::Taken(answer(&reply)) } else { not_opened(NotOpened::Answered(reply)) }
}

/// What whoever has no rooms says to a sign-in, and no talk-server at the right path.
const ELSEWHERE: [StatusCode; 3] = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
/// How the server says that somebody has a nickname.
const TAKEN: &str = "already taken";
/// Bytes of an answer to a sign-in.
const MOST_ANSWER: usize = 64 * 1024;
/// Bytes of a frame: what a search finds, every character escaped.
const MOST_FRAME: usize = 2 << 20;
