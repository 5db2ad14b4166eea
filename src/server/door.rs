//! The one door: which service a path belongs to, and the paths of the server's own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tracing::debug;

use super::metrics::{self, Scrape};
use super::page;
use super::recorder::Files;
use super::stores::Stores;
use crate::gateway::Context;
use crate::gateway::http::{RoomService, check_own, check_registry};
use crate::gateway::peer::Peers;
use crate::gateway::syslog::Syslog;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::net::http::{Answer, Handler, Problem, answer};
use crate::net::listener::Connections;
use crate::registry::RegistryService;
use crate::tape::Recorder;

/// Answers every request. Cloning shares everything.
#[derive(Clone)]
pub(super) struct Door {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Arc<Limits>,
    hosts: Vec<String>,
    page: bool,
    connections: Connections,
    /// Set once it has started.
    services: OnceLock<Arc<Services>>,
    draining: AtomicBool,
    /// Answers by the first digit of their status, from 1 on.
    answers: [AtomicU64; 5],
    since: SystemTime,
}

/// What stands behind the door.
pub(super) struct Services {
    pub(super) rooms: RoomService,
    pub(super) registry: RegistryService,
    pub(super) hub: Hub,
    pub(super) wires: Context,
    pub(super) peers: Peers,
    pub(super) stores: Stores,
    pub(super) syslog: Option<Arc<Syslog>>,
    pub(super) recorder: Option<Arc<Files>>,
}

impl Door {
    pub(super) fn new(limits: Arc<Limits>, hosts: Vec<String>, page: bool, connections: Connections) -> Self {
        let shared = Shared {
            limits,
            hosts,
            page,
            connections,
            services: OnceLock::new(),
            draining: AtomicBool::new(false),
            answers: Default::default(),
            since: SystemTime::now(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// From here on requests reach the services.
    pub(super) fn open(&self, services: Services) -> Arc<Services> {
        self.shared.services.get_or_init(|| Arc::new(services)).clone()
    }

    /// From here on it is not ready.
    pub(super) fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// Why it is not ready, if it is not.
    fn unready(&self) -> Option<&'static str> {
        match self.shared.services.get() {
            None => Some("the server is starting"),
            Some(_) if self.shared.draining.load(Ordering::Relaxed) => Some("the server is stopping"),
            Some(_) => None,
        }
    }

    fn services(&self) -> Result<&Services, Problem> {
        self.shared.services.get().map(|services| &**services).ok_or_else(|| Problem::busy("the server is starting"))
    }

    async fn route(&self, request: Request<Incoming>, from: SocketAddr) -> Result<Answer, Problem> {
        match request.uri().path() {
            "/auth" | "/ws" => Ok(self.services()?.rooms.handle(request, from).await),
            path if path == "/v1" || path.starts_with("/v1/") => {
                let services = self.services()?;
                let (head, body) = request.into_parts();
                check_registry(&head, &self.shared.limits, &self.shared.hosts)?;
                Ok(services.registry.handle(Request::from_parts(head, body), from).await)
            }
            _ => {
                let (head, _) = request.into_parts();
                let answer = self.own(&head);
                let status = answer.as_ref().map_or_else(|problem| problem.status, Answer::status);
                debug!(method = %head.method, status = status.as_u16(), "answered");
                answer
            }
        }
    }

    /// The paths for whoever runs the server, and those that there are not.
    fn own(&self, head: &Parts) -> Result<Answer, Problem> {
        check_own(head, &self.shared.limits, &self.shared.hosts)?;
        let page = self.shared.page;
        if let Some(file) = page.then(|| page::file(head.uri.path(), &head.method, &head.headers)).flatten() {
            return file;
        }
        // A page's request for a script or a picture names no origin.
        let site = head.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
        if matches!(site, Some(b"cross-site" | b"same-site")) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "other pages may not ask here"));
        }
        let path = head.uri.path();
        if !["/healthz", "/readyz", "/metrics"].contains(&path) {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                format!("the paths here are {}{PATHS}", if page { "/, " } else { "" }),
            ));
        }
        if ![Method::GET, Method::HEAD].contains(&head.method) {
            return Err(Problem::method("GET, HEAD"));
        }
        let mut answer = match (path, self.unready()) {
            ("/healthz", _) => answer(StatusCode::OK, TEXT, "ok\n"),
            ("/readyz", None) => answer(StatusCode::OK, TEXT, "ready\n"),
            ("/readyz", Some(why)) => Problem::busy(why).into(),
            _ => answer(StatusCode::OK, metrics::MEDIA_TYPE, self.scrape().text()),
        };
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        Ok(answer)
    }

    fn scrape(&self) -> Scrape {
        let shared = &*self.shared;
        let services = shared.services.get();
        Scrape {
            since: shared.since,
            ready: self.unready().is_none(),
            connections: shared.connections.counted(),
            wires: services.map(|services| (services.wires.counted(), services.wires.counted_unsigned())),
            greetings: services.map(|services| services.peers.greetings()),
            answers: std::array::from_fn(|i| shared.answers[i].load(Ordering::Relaxed)),
            hub: services.map(|services| (services.hub.gauges(), services.hub.counters().snapshot())),
            syslog: services.and_then(|services| Some(services.syslog.as_ref()?.counted())),
            recordings: services.and_then(|services| Some(services.recorder.as_ref()?.counted())),
            stores: services.into_iter().flat_map(|services| services.stores.loads()).collect(),
        }
    }
}

impl Handler for Door {
    async fn handle(&self, request: Request<Incoming>, from: SocketAddr) -> Answer {
        let answer = self.route(request, from).await.unwrap_or_else(Answer::from);
        let class = usize::from(answer.status().as_u16() / 100);
        if let Some(count) = self.shared.answers.get(class.wrapping_sub(1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    fn recorder(&self) -> Option<Arc<dyn Recorder>> {
        Some(self.shared.services.get()?.recorder.clone()?)
    }
}

const PATHS: &str = "/auth, /ws, /v1/users, /v1/users/{user}, /v1/health, /healthz, /readyz and /metrics";
const TEXT: &str = "text/plain; charset=utf-8";
/// What browsers say of the page that asks (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Keeps other pages from embedding what they may not read.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
