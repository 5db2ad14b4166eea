//! WebSockets without a hub, taken by the code that takes room sessions.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONNECTION;
use hyper::{Method, Request};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::request::{check_host, check_origin};
use super::websocket;
use crate::address::Host;
use crate::limits::Limits;
use crate::net::http::{self, Answer, Handler, Problem, Upgrade, check_head};
use crate::net::listener::bind;
use crate::net::upgrade::{check_upgrade, switching};

/// One message that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// A server of WebSockets at every path, each message answered by a function: what suites and load generators that know
/// WebSockets but not rooms are run against.
///
/// HTTP, upgrade, framing, control frames, queue, cuts and Closes are those of a room session. [`Limits::frame`] bounds
/// what comes, and [`Limits::member_bytes`] what waits to go out; commands have no rate here. `Host` is this machine.
#[derive(Debug)]
pub struct FrameServer {
    listener: TcpListener,
    local: SocketAddr,
    limits: Arc<Limits>,
}

impl FrameServer {
    /// Opens the socket; port 0 lets the system choose. Nothing is answered before [`FrameServer::serve`].
    ///
    /// # Errors
    /// What the system says when nothing can listen there.
    pub async fn bind(host: &Host, port: u16, limits: &Limits) -> io::Result<Self> {
        let listener = bind(host, port).await?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local, limits: Arc::new(limits.clone()) })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `stop` is ready, then says so (1001) and gives [`grace`](Limits::grace) for the last bytes.
    /// `answer` appends whole frames ([`frame`](crate::codec::rooms::frame) makes them), or nothing.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and cuts every connection.
    pub async fn serve<A>(self, answer: A, stop: impl Future<Output = ()> + Send)
    where
        A: Fn(Received<'_>, &mut BytesMut) + Clone + Send + Sync + 'static,
    {
        let Self { listener, local: _, limits } = self;
        let (tasks, stopped, ended) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let _ended = ended.clone().drop_guard();
        let frames = Frames { answer, limits, tasks, stopped: stopped.clone(), ended };
        let signal = async {
            stop.await;
            stopped.cancel();
        };
        tokio::join!(signal, http::serve(listener, frames.clone(), frames.limits.clone(), stopped.clone()));
        frames.tasks.close();
        let _ = tokio::time::timeout(frames.limits.grace, frames.tasks.wait()).await;
        frames.ended.cancel();
        frames.tasks.wait().await;
    }
}

/// Takes every upgrade.
#[derive(Clone)]
struct Frames<A> {
    answer: A,
    limits: Arc<Limits>,
    tasks: TaskTracker,
    stopped: CancellationToken,
    ended: CancellationToken,
}

impl<A> Frames<A>
where
    A: Fn(Received<'_>, &mut BytesMut) + Clone + Send + Sync + 'static,
{
    fn upgrade(&self, request: Request<Incoming>) -> Result<Answer, Problem> {
        let (head, body) = request.into_parts();
        check_head(&head, &self.limits)?;
        check_host(&head.headers, &[])?;
        check_origin(&head.headers, &[])?;
        if head.method != Method::GET {
            return Err(Problem::method("GET"));
        }
        let accept = check_upgrade(&head.headers)?;
        if !body.is_end_stream() {
            return Err(Problem::bad("an upgrade has no body").with(CONNECTION, "close"));
        }
        let upgrade = Upgrade::of(&mut Request::from_parts(head, body));
        let served = websocket::exchange(upgrade, self.limits.clone(), self.answer.clone(), self.stopped.clone());
        let ended = self.ended.clone();
        self.tasks.spawn(async move { ended.run_until_cancelled_owned(served).await });
        Ok(switching(accept, None))
    }
}

impl<A> Handler for Frames<A>
where
    A: Fn(Received<'_>, &mut BytesMut) + Clone + Send + Sync + 'static,
{
    fn handle(&self, request: Request<Incoming>, _: SocketAddr) -> impl Future<Output = Answer> + Send {
        std::future::ready(self.upgrade(request).unwrap_or_else(Answer::from))
    }
}

impl<A> fmt::Debug for Frames<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").finish_non_exhaustive()
    }
}
