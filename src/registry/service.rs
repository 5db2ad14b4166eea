//! The registry's REST as a hyper service.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use super::http::{Route, answer_version, body_version, decode, secret, ttl};
use super::list::Lists;
use crate::codec::CodecError;
use crate::codec::registry::{MEDIA_TYPE_V1, MEDIA_TYPE_V2, Version, decode_post, decode_put, entry_value, user_name};
use crate::limits::Limits;
use crate::name::UserName;
use crate::net::body::Body;
use crate::net::exchange::{Exchange, Text};
use crate::net::http::{Answer, Handler, Problem, answer, check_head, read_body};
use crate::net::spoken::Spoken;
use crate::store::{Claim, Clock, Registration, RegistryStore, StoreError};
use crate::tape::Recorder;
use crate::text::SafeText;

/// The registry's REST over a store: mount it in any hyper server, or let [`Registry`](super::Registry) serve it.
#[must_use]
pub fn service(store: Arc<dyn RegistryStore>) -> RegistryService {
    RegistryService {
        store,
        limits: Arc::default(),
        clock: Clock::start(),
        lists: Arc::default(),
        spoken: Spoken::default(),
        recorder: None,
    }
}

/// Answers requests to a registry. Cloning is cheap and shares the store.
///
/// It is a [`hyper::service::Service`] over any body of bytes. Paths start with `/v1/`; strip what you mount it under.
/// The server it is mounted in bounds the size of request heads and the time for them; bodies are bounded here.
#[derive(Clone, Debug)]
pub struct RegistryService {
    pub(super) store: Arc<dyn RegistryStore>,
    pub(super) limits: Arc<Limits>,
    pub(super) clock: Clock,
    lists: Arc<Lists>,
    spoken: Spoken,
    recorder: Option<Arc<dyn Recorder>>,
}

impl RegistryService {
    /// Answers under other limits than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = Arc::new(limits.clone());
        self
    }

    /// Notes there from where each user's entry was made or renewed: only where this service is served by
    /// [`Registry`](super::Registry) or a message server, which know that.
    pub fn spoken(mut self, spoken: Spoken) -> Self {
        self.spoken = spoken;
        self
    }

    /// Has what connections hear and write recorded. Mounted in another's server, it takes each request for a connection.
    #[must_use]
    pub fn recorded(mut self, recorder: Option<Arc<dyn Recorder>>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Gives every stored lease one full ttl: nobody vanishes because the registry was away.
    pub(crate) async fn begin(&self) -> Result<(), StoreError> {
        self.store.renew_all(self.clock.now()).await
    }

    /// Forgets what has ended even when nobody writes. Never ends; drop it to stop.
    pub(crate) async fn upkeep(&self) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.store.sweep(self.clock.now()).await {
                warn!(%error, "cannot forget ended entries");
            }
        }
    }

    async fn answer<B>(self, mut request: Request<B>, from: Option<IpAddr>) -> Answer
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut exchange = Exchange::of(&mut request, self.recorder.as_ref(), "registry");
        let (head, body) = request.into_parts();
        let answer = self.route(&head, body, from, &mut exchange).await.unwrap_or_else(Answer::from);
        exchange.answer(&answer);
        let path = SafeText(head.uri.path());
        debug!(method = %head.method, %path, status = answer.status().as_u16(), "answered");
        answer
    }

    async fn route<B>(
        &self,
        head: &Parts,
        body: B,
        from: Option<IpAddr>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Problem>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        check_head(head, &self.limits)?;
        let route = Route::of(head.uri.path()).ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "the paths here are /v1/users, /v1/users/{user} and /v1/health")
        })?;
        match (route, &head.method) {
            (Route::Health, &Method::GET | &Method::HEAD) => Ok(healthy()),
            (Route::Users, &Method::GET | &Method::HEAD) => self.list(head).await,
            (Route::Users, &Method::POST) => self.post(head, body, from, exchange).await,
            (Route::User(name), &Method::GET | &Method::HEAD) => self.get(head, name).await,
            (Route::User(name), &Method::PUT) => self.put(head, name, body, from, exchange).await,
            (Route::User(name), &Method::DELETE) => self.delete(head, name).await,
            (route, _) => Err(Problem::method(route.methods())),
        }
    }

    async fn list(&self, head: &Parts) -> Result<Answer, Problem> {
        let version = answer_version(&head.headers);
        let list = self.lists.get(version, &*self.store, self.clock).await.map_err(refusal)?;
        Ok(negotiated(version, list))
    }

    async fn get(&self, head: &Parts, name: &str) -> Result<Answer, Problem> {
        let name = UserName::new(&decode(name)?).map_err(|e| Problem::bad(e.to_string()))?;
        let version = answer_version(&head.headers);
        let absent = |detail| Problem::new(StatusCode::NOT_FOUND, detail).with(VARY, "accept");
        match self.store.get(&name, self.clock.now()).await.map_err(refusal)? {
            None => Err(absent(format!("there is no user '{name}'"))),
            Some(record) => match rendered(&record, version) {
                Some(value) => Ok(negotiated(version, value.to_string())),
                None => Err(absent(format!("the address of '{name}' is only shown with 'Accept: {MEDIA_TYPE_V2}'"))),
            },
        }
    }

    async fn post<B>(
        &self,
        head: &Parts,
        body: B,
        from: Option<IpAddr>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Problem>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (secret, ttl) = (secret(&head.headers)?, ttl(head.uri.query())?);
        let version = body_version(&head.headers)?;
        let body = read_body(body, &self.limits).await?;
        exchange.ask_with(|| Text::of(&body));
        let (name, placement) = decode_post(&body, version).map_err(unreadable)?;
        let claim = Claim { placement, secret, ttl };
        self.store.insert(&name, &claim, self.clock.now()).await.map_err(refusal)?;
        self.note(&name, from);
        Ok(done())
    }

    async fn put<B>(
        &self,
        head: &Parts,
        name: &str,
        body: B,
        from: Option<IpAddr>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Problem>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let name = user_name(&decode(name)?).map_err(unreadable)?;
        let (secret, ttl) = (secret(&head.headers)?, ttl(head.uri.query())?);
        let version = body_version(&head.headers)?;
        let body = read_body(body, &self.limits).await?;
        exchange.ask_with(|| Text::of(&body));
        let placement = decode_put(&body, version).map_err(unreadable)?;
        let claim = Claim { placement, secret, ttl };
        self.store.upsert(&name, &claim, self.clock.now()).await.map_err(refusal)?;
        self.note(&name, from);
        Ok(done())
    }

    fn note(&self, name: &UserName, from: Option<IpAddr>) {
        if let Some(from) = from {
            self.spoken.note(name, from);
        }
    }

    async fn delete(&self, head: &Parts, name: &str) -> Result<Answer, Problem> {
        let name = UserName::new(&decode(name)?).map_err(|e| Problem::bad(e.to_string()))?;
        let secret = secret(&head.headers)?;
        self.store.remove(&name, secret.as_ref(), self.clock.now()).await.map_err(refusal)?;
        Ok(done())
    }
}

impl Handler for RegistryService {
    fn handle(&self, request: Request<Incoming>, from: SocketAddr) -> impl Future<Output = Answer> + Send {
        self.clone().answer(request, Some(from.ip()))
    }

    fn recorder(&self) -> Option<Arc<dyn Recorder>> {
        self.recorder.clone()
    }
}

impl<B> hyper::service::Service<Request<B>> for RegistryService
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let answer = self.clone().answer(request, None);
        Box::pin(async move { Ok(answer.await.map(Body::from)) })
    }
}

pub(super) fn rendered(record: &Registration, version: Version) -> Option<Value> {
    entry_value(&record.entry, Some(record.lease.map(|lease| lease.expires)), version)
}

fn negotiated(version: Version, body: impl Into<Bytes>) -> Answer {
    let media_type = match version {
        Version::V1 => MEDIA_TYPE_V1,
        Version::V2 => MEDIA_TYPE_V2,
    };
    let mut found = answer(StatusCode::OK, media_type, body);
    found.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    found
}

fn done() -> Answer {
    answer(StatusCode::OK, MEDIA_TYPE_V1, r#"{"status":"ok"}"#)
}

fn healthy() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"OK")));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn unreadable(error: CodecError) -> Problem {
    Problem::bad(error.to_string())
}

fn refusal(error: StoreError) -> Problem {
    match error {
        StoreError::Taken => Problem::new(
            StatusCode::CONFLICT,
            "this name is taken: choose another, or send the secret that the entry was made with",
        ),
        StoreError::Forbidden => {
            Problem::new(StatusCode::FORBIDDEN, "this entry changes only for the secret that it was made with")
        }
        StoreError::Full(_) => Problem::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string()),
        // What a registry's store never says is a failure like any other.
        _ => Problem::busy(error.to_string()),
    }
}

const SWEEP_EVERY: Duration = Duration::from_secs(10);
