//! WebSockets at every path: HTTP up to the upgrade, for wires that need no more of it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::CONNECTION;
use hyper::{Method, Request};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span};

use super::request::{check_host, check_origin};
use crate::limits::Limits;
use crate::net::exchange::Exchange;
use crate::net::http::{Answer, Handler, Problem, Upgrade, check_head, serve_counted};
use crate::net::listener::Connections;
use crate::net::upgrade::{check_upgrade, switching};
use crate::tape::Recorder;

/// Who may come: the names that the server goes by in `Host`, besides those of this machine, and the origins of pages,
/// besides its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Welcome {
    pub(super) hosts: Vec<String>,
    pub(super) origins: Vec<String>,
    /// Who records, and what the wire is called there.
    pub(super) recorder: Option<(&'static str, Arc<dyn Recorder>)>,
}

/// Gives each upgrade and where it comes from to `session`, which ends soon after `stop` fired, or is dropped when
/// [`Limits::grace`] is over.
///
/// # Cancel safety
/// Dropping the future closes the socket and drops every session.
pub(super) async fn serve<S, F>(
    listener: TcpListener,
    limits: Arc<Limits>,
    connections: Connections,
    welcome: Welcome,
    stop: CancellationToken,
    session: S,
) where
    S: Fn(Upgrade, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
    let _cut = ended.clone().drop_guard();
    let grace = limits.grace;
    let upgrades = Upgrades {
        session,
        limits: limits.clone(),
        welcome: Arc::new(welcome),
        tasks: tasks.clone(),
        ended: ended.clone(),
    };
    let sessions_end = async {
        stop.cancelled().await;
        // Those that come of requests in progress have what is left of the time.
        tokio::time::sleep(grace).await;
    };
    let served = async {
        serve_counted(listener, upgrades, limits, connections, stop.clone()).await;
        tasks.close();
        tasks.wait().await;
    };
    tokio::pin!(served);
    tokio::select! {
        biased;
        () = served.as_mut() => return,
        () = sessions_end => ended.cancel(),
    }
    served.await;
}

/// Takes every upgrade.
#[derive(Clone)]
struct Upgrades<S> {
    session: S,
    limits: Arc<Limits>,
    welcome: Arc<Welcome>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

impl<S, F> Upgrades<S>
where
    S: Fn(Upgrade, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    fn answer(&self, mut request: Request<Incoming>, from: SocketAddr) -> Answer {
        let (wire, recorder) = self.welcome.recorder.as_ref().map_or(("", None), |(wire, own)| (*wire, Some(own)));
        let mut exchange = Exchange::of(&mut request, recorder, wire);
        let answer = self.upgrade(request, from, &mut exchange).unwrap_or_else(Answer::from);
        exchange.answer(&answer);
        answer
    }

    fn upgrade(
        &self,
        request: Request<Incoming>,
        from: SocketAddr,
        exchange: &mut Exchange,
    ) -> Result<Answer, Problem> {
        let (head, body) = request.into_parts();
        check_head(&head, &self.limits)?;
        check_host(&head.headers, &self.welcome.hosts)?;
        check_origin(&head.headers, &self.welcome.origins)?;
        if head.method != Method::GET {
            return Err(Problem::method("GET"));
        }
        let accept = check_upgrade(&head.headers)?;
        if !body.is_end_stream() {
            return Err(Problem::bad("an upgrade has no body").with(CONNECTION, "close"));
        }
        exchange.ask();
        let upgrade = Upgrade::of(&mut Request::from_parts(head, body)).taped(exchange.tape());
        let session = (self.session)(upgrade, from);
        let span = debug_span!("websocket", %from);
        // In a box, as each of the layers around it would hold it twice.
        self.tasks.spawn(self.ended.clone().run_until_cancelled_owned(Box::pin(session)).instrument(span));
        Ok(switching(accept, None))
    }
}

impl<S, F> Handler for Upgrades<S>
where
    S: Fn(Upgrade, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn handle(&self, request: Request<Incoming>, from: SocketAddr) -> impl Future<Output = Answer> + Send {
        std::future::ready(self.answer(request, from))
    }

    fn recorder(&self) -> Option<Arc<dyn Recorder>> {
        Some(self.welcome.recorder.as_ref()?.1.clone())
    }
}

impl<S> fmt::Debug for Upgrades<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrades").finish_non_exhaustive()
    }
}
