//! The room server's HTTP: sign-in at `/auth`, WebSockets at `/ws`.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION,
    HeaderValue, RETRY_AFTER, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span};

#[cfg(feature = "server")]
use super::request::is_address;
use super::request::{Offer, SignIn, bearer_token, check_host, check_origin};
use super::rooms;
use super::websocket::Way;
use crate::hub::{Hub, SignInError, TooMany};
use crate::limits::Limits;
use crate::message::Refusal;
use crate::name::{Nickname, is_room_protocol_name};
pub use crate::net::body::Body;
use crate::net::exchange::{Exchange, Text};
use crate::net::http::{Answer, Handler, Problem, Upgrade, answer, check_head, read_body};
use crate::net::upgrade::{check_upgrade, switching};
use crate::secret::Password;
use crate::tape::Recorder;
use crate::text::SafeText;

/// The room server's HTTP over a hub: mount it in any hyper server that serves upgrades, or let
/// [`RoomServer`](super::RoomServer) serve it.
///
/// Mounted, it does not know where anybody comes from: what is bounded by address elsewhere is the host's to bound.
#[must_use]
pub fn service(hub: Hub) -> RoomService {
    let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
    RoomService { hub, names: Arc::default(), tasks, ended, recorder: None }
}

/// Answers requests to a room server. Cloning is cheap and shares the hub.
///
/// It is a [`hyper::service::Service`]. The server it is mounted in bounds the size of request heads and the time for
/// them; bodies and WebSockets are bounded here.
#[derive(Clone, Debug)]
pub struct RoomService {
    pub(super) hub: Hub,
    names: Arc<Names>,
    /// Connections that left HTTP.
    tasks: TaskTracker,
    /// Fires when they have had their time to close.
    ended: CancellationToken,
    recorder: Option<Arc<dyn Recorder>>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl RoomService {
    /// Lets pages of these origins (`https://chat.example`) use the server, besides its own.
    #[must_use]
    pub fn origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        Arc::make_mut(&mut self.names).origins = origins.into_iter().collect();
        self
    }

    /// Lets the server go by these names in `Host` (`chat.example`, for any port), besides those of this machine.
    #[must_use]
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        Arc::make_mut(&mut self.names).hosts = hosts.into_iter().collect();
        self
    }

    /// Has what connections hear and write recorded. Mounted in another's server, it takes each request for a connection.
    #[must_use]
    pub fn recorded(self, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self { recorder, ..self }
    }

    pub(super) fn limits(&self) -> &Arc<Limits> {
        self.hub.limits()
    }

    /// Cuts what left HTTP when the guard is dropped.
    pub(crate) fn cut_on_drop(&self) -> DropGuard {
        self.ended.clone().drop_guard()
    }

    /// Lets what left HTTP end until then, and cuts it.
    pub(crate) async fn finish(&self, deadline: Instant) {
        self.tasks.close();
        // Whoever does not take the last bytes in time is cut.
        let _ = tokio::time::timeout_at(deadline, self.tasks.wait()).await;
        self.ended.cancel();
        self.tasks.wait().await;
    }

    async fn answer(self, mut request: Request<Incoming>, way: Way, from: Option<SocketAddr>) -> Answer {
        let mut exchange = Exchange::of(&mut request, self.recorder.as_ref(), "rooms");
        let (head, body) = request.into_parts();
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let answer = self.route(head, body, way, from, &mut exchange).await.unwrap_or_else(Answer::from);
        exchange.answer(&answer);
        debug!(%method, path = %SafeText(&path), status = answer.status().as_u16(), "answered");
        answer
    }

    async fn route(
        &self,
        head: Parts,
        body: Incoming,
        way: Way,
        from: Option<SocketAddr>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Problem> {
        check_head(&head, self.limits())?;
        check_host(&head.headers, &self.names.hosts)?;
        let origin = check_origin(&head.headers, &self.names.origins)?;
        match (head.uri.path(), &head.method) {
            ("/auth", &Method::POST) => {
                let mut answer = self.sign_in(&head, body, from, exchange).await.unwrap_or_else(Answer::from);
                allow(&mut answer, origin);
                Ok(answer)
            }
            ("/auth", &Method::DELETE) => {
                let mut answer = self.sign_out(&head, body, exchange).await.unwrap_or_else(Answer::from);
                allow(&mut answer, origin);
                Ok(answer)
            }
            ("/auth", &Method::OPTIONS) if origin.is_some() => Ok(preflight(origin)),
            ("/auth", _) => Err(Problem::method("POST, DELETE")),
            ("/ws", &Method::GET) => self.upgrade(head, body, way, from, exchange).await,
            ("/ws", _) => Err(Problem::method("GET")),
            _ => Err(Problem::new(StatusCode::NOT_FOUND, "the paths here are /auth and /ws")),
        }
    }

    async fn sign_in(
        &self,
        head: &Parts,
        body: Incoming,
        from: Option<SocketAddr>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Problem> {
        let body = read_body(body, self.limits()).await?;
        let forbidden = |detail: String| Problem::new(StatusCode::FORBIDDEN, detail);
        let asked = SignIn::read(head.uri.query(), &head.headers, &body);
        exchange.ask_with(|| match &asked {
            Ok(asked) => asked.noted(&head.headers, &body),
            Err(_) => Text::unread(body.len()),
        });
        let asked = asked?;
        let makes = asked.makes()?;
        let SignIn { nickname, secret, .. } = asked;
        let nickname = nickname
            .ok_or_else(|| forbidden("'nickname' is missing: send it in the query, a form or a JSON object".into()))?;
        let name = Nickname::new(&nickname).ok().filter(|_| is_room_protocol_name(&nickname));
        let name = name.ok_or_else(|| {
            forbidden("a nickname is a Latin letter or '_', then 1 to 63 Latin letters, digits, '_' and '-'; 'system', 'server', 'talk' and 'healthCheck' are reserved".into())
        })?;
        let password = secret.map(|secret| Password::new(&secret)).transpose();
        let password = password.map_err(|e| Problem::bad(e.to_string()))?;
        let from = from.map(|from| from.ip());
        self.hub.tries().sign_in(from).map_err(too_many)?;
        let issued = match password {
            None => self.hub.sign_up(&name).await.map_err(SignInError::Refused),
            Some(password) => {
                let attempt = self.hub.tries().secret(&name, from).map_err(too_many)?;
                let issued = if makes {
                    self.hub.sign_in(&name, &password).await
                } else {
                    self.hub.sign_in_to(&name, &password).await
                };
                if !matches!(issued, Err(SignInError::WrongPassword)) {
                    attempt.forgive(issued.is_ok());
                }
                issued
            }
        };
        let token = issued.map_err(|error| match &error {
            SignInError::Refused(Refusal::Full) => Problem::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string()),
            SignInError::Refused(Refusal::Unavailable) => unavailable(),
            SignInError::NoAccount => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
            _ => forbidden(error.to_string()),
        })?;
        exchange.secret(token.reveal());
        let body = json!({ "token": token.reveal() }).to_string();
        let mut answer = answer(StatusCode::CREATED, "application/json", body);
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }

    async fn sign_out(&self, head: &Parts, body: Incoming, exchange: &mut Exchange) -> Result<Answer, Problem> {
        if body.is_end_stream() {
            exchange.ask();
        }
        let token = bearer_token(&head.headers).ok_or_else(unauthorized)?;
        match self.hub.sign_out(&token).await {
            Ok(true) => {
                let mut answer = Response::new(Full::default());
                *answer.status_mut() = StatusCode::NO_CONTENT;
                Ok(answer)
            }
            Ok(false) => Err(unauthorized()),
            Err(_) => Err(unavailable()),
        }
    }

    async fn upgrade(
        &self,
        head: Parts,
        body: Incoming,
        way: Way,
        from: Option<SocketAddr>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Problem> {
        let accept = check_upgrade(&head.headers).map_err(|mut problem| {
            problem.status = StatusCode::BAD_REQUEST;
            problem
        })?;
        if !body.is_end_stream() {
            return Err(Problem::bad("an upgrade has no body").with(CONNECTION, "close"));
        }
        let Offer { mode, tokens } = Offer::of(&head.headers);
        let mut known = None;
        for (token, protocol) in tokens {
            if self.hub.knows(&token).await {
                known = Some((token, protocol));
                break;
            }
        }
        let (token, protocol) = known.ok_or_else(unauthorized)?;
        exchange.ask();
        let upgrade = Upgrade::of(&mut Request::from_parts(head, body)).taped(exchange.tape());
        let session =
            rooms::serve(upgrade, way, self.hub.clone(), token, mode, from.map(|from| from.ip().to_canonical()));
        let ended = self.ended.clone();
        let span = debug_span!("websocket", from = from.map(tracing::field::display));
        // In a box, as each of the layers around it would hold it twice.
        self.tasks.spawn(ended.run_until_cancelled_owned(Box::pin(session)).instrument(span));
        Ok(switching(accept, protocol))
    }
}

impl Handler for RoomService {
    fn handle(&self, request: Request<Incoming>, from: SocketAddr) -> impl Future<Output = Answer> + Send {
        self.clone().answer(request, Way::Own, Some(from))
    }

    fn recorder(&self) -> Option<Arc<dyn Recorder>> {
        self.recorder.clone()
    }
}

impl hyper::service::Service<Request<Incoming>> for RoomService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.clone().answer(request, Way::Foreign, None);
        Box::pin(async move { Ok(answer.await.map(Body::from)) })
    }
}

fn too_many(why: TooMany) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, why.to_string()).with(RETRY_AFTER, why.seconds())
}

fn unauthorized() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "the token is missing, bad or expired: POST /auth gives one, to be sent as subprotocol or as 'Authorization: Bearer'")
        .with(hyper::header::WWW_AUTHENTICATE, "Bearer")
}

fn unavailable() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::Unavailable.to_string()).with(RETRY_AFTER, "1")
}

/// What a room server asks of every head: our rules, and a `Host` that is ours. Only a page of the server's own may ask
/// here, whatever origins are configured for rooms.
#[cfg(feature = "server")]
pub(crate) fn check_own(head: &Parts, limits: &Limits, hosts: &[String]) -> Result<(), Problem> {
    check_head(head, limits)?;
    check_host(&head.headers, hosts)?;
    check_origin(&head.headers, &[]).map(drop)
}

/// What a room server asks of heads for the registry beside it: the same, but that an address does for a `Host`. Programs
/// on other machines have nothing else, and no stranger's name resolves to us then.
#[cfg(feature = "server")]
pub(crate) fn check_registry(head: &Parts, limits: &Limits, hosts: &[String]) -> Result<(), Problem> {
    check_head(head, limits)?;
    if !is_address(&head.headers) {
        check_host(&head.headers, hosts)?;
    }
    check_origin(&head.headers, &[]).map(drop)
}

/// Lets a page of a configured origin read the answer.
fn allow(answer: &mut Answer, origin: Option<HeaderValue>) {
    if let Some(origin) = origin {
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.headers_mut().insert(VARY, HeaderValue::from_static("origin"));
    }
}

fn preflight(origin: Option<HeaderValue>) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, DELETE"));
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
    allow(&mut answer, origin);
    answer
}
