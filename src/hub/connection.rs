//! A connection as the account store counts it: taken back however a session ends.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio_util::task::TaskTracker;
use tracing::warn;

use super::{Inner, Lifetime, OpenError};
use crate::message::UserId;
use crate::secret::Secret;
use crate::store::{self, StoreError, User};

/// One connection of a sign-in. Dropping it ends it, in the background where the store takes its time.
pub(super) struct Connection {
    hub: Arc<Inner>,
    user: User,
    sign_in: store::SessionId,
    pub(super) lifetime: Lifetime,
    over: bool,
}

impl Connection {
    pub(super) async fn open(hub: &Arc<Inner>, token: &Secret, lifetime: Lifetime) -> Result<Self, OpenError> {
        let rich = lifetime == Lifetime::Kept;
        // In a task of its own, so that a connection that the store has counted is always taken back.
        let (inner, hash) = (hub.clone(), token.hash());
        let connect = async move {
            let (user, session) = inner.accounts.connect(&hash, rich, inner.now()).await?;
            Ok::<_, StoreError>(Self { hub: inner, user, sign_in: session.id, lifetime, over: false })
        };
        match ready_or_spawn(&hub.tasks, connect).await {
            Some(Ok(connection)) => Ok(connection),
            Some(Err(StoreError::Unknown)) => Err(OpenError::BadToken),
            Some(Err(error)) => {
                warn!(%error, "no connection can be noted");
                Err(OpenError::Unavailable)
            }
            None => Err(OpenError::Unavailable),
        }
    }

    pub(super) fn hub(&self) -> &Arc<Inner> {
        &self.hub
    }

    pub(super) fn user(&self) -> &User {
        &self.user
    }

    pub(super) fn sign_in(&self) -> store::SessionId {
        self.sign_in
    }

    /// Ends it; with `exit` the sign-in too, when this was its last connection.
    pub(super) async fn end(&mut self, exit: bool) {
        if !std::mem::replace(&mut self.over, true) {
            end(self.hub.clone(), Ended::new(self, exit)).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.over {
            soon(&self.hub.tasks, end(self.hub.clone(), Ended::new(self, false)));
        }
    }
}

/// A connection that is over, as far as the store is to know of it.
#[derive(Debug)]
pub(super) struct Ended {
    user: UserId,
    sign_in: store::SessionId,
    /// Whether the sign-in ends with its last connection.
    exit: bool,
    disconnected: bool,
}

impl Ended {
    fn new(connection: &Connection, exit: bool) -> Self {
        Self { user: connection.user.id, sign_in: connection.sign_in, exit, disconnected: false }
    }

    /// Tells the store what it does not know yet.
    pub(super) async fn tell(&mut self, hub: &Inner) -> Result<(), StoreError> {
        let (user, sign_in) = (self.user, self.sign_in);
        if !self.disconnected {
            hub.accounts.disconnect(user, sign_in, hub.now()).await?;
            self.disconnected = true;
        }
        if self.exit {
            let sessions = hub.accounts.sessions(user, hub.now()).await?;
            if sessions.iter().any(|session| session.id == sign_in && session.connections == 0) {
                hub.accounts.revoke(user, sign_in, hub.now()).await?;
            }
        }
        Ok(())
    }
}

async fn end(hub: Arc<Inner>, mut ended: Ended) {
    if let Err(error) = ended.tell(&hub).await {
        warn!(user = %ended.user, %error, "a session ended without the store, which hears of it later");
        hub.untold().push(ended);
    }
    let tended = hub.clone();
    let forget = async move {
        if let Err(error) = tended.forget_ended().await {
            warn!(%error, "what ended guests leave behind stays for now");
        }
    };
    soon(&hub.tasks, forget);
}

/// Runs to the end even when whoever waits for it does not; `None` only when there is no runtime any more.
pub(super) async fn ready_or_spawn<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let mut work = Box::pin(work);
    if let std::task::Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return Some(done);
    }
    tasks.spawn(work).await.ok()
}

/// Does what can be done at once now, and the rest in the background.
pub(super) fn soon(tasks: &TaskTracker, work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    if pin!(work.as_mut()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
        && tokio::runtime::Handle::try_current().is_ok()
    {
        tasks.spawn(work);
    }
}
