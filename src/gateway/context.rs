//! What a wire is to whoever runs it, and what it is given to run with.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

#[cfg(feature = "server")]
use super::unsigned::CountedUnsigned;
use super::unsigned::Unsigned;
use crate::hub::Hub;
use crate::net::listener::Connections;
#[cfg(feature = "server")]
use crate::net::listener::Counted;
use crate::tape::{Framing, Recorder, Tape};

/// One wire with its socket open: sessions of its protocol on one side, a hub on the other.
#[async_trait]
pub trait Gateway: fmt::Debug + Send {
    /// A word for the wire, such as `pair`: for logs and metrics.
    fn name(&self) -> &'static str;

    /// Where it listens, with the port that the system chose.
    fn local_addr(&self) -> SocketAddr;

    /// Serves until [`Context::stop`] fires; then nobody is let in any more, every session is told, has
    /// [`grace`](crate::Limits::grace) to take what waits for it, and is cut. Nothing of it is left when this is ready.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and cuts every connection.
    async fn serve(self: Box<Self>, context: Context);
}

/// What a [`Gateway`] serves with. Gateways that share one count their connections together: cloning shares the counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// Where its sessions are.
    pub hub: Hub,
    /// Fires when it is to stop. Whoever stops the hub too does it after that, and after [`Context::confirmed`].
    pub stop: CancellationToken,
    unsigned: Unsigned,
    wires: Arc<Wires>,
    /// Those who have confirmed what they have not said yet.
    confirmed: TaskTracker,
    recorder: Option<Arc<dyn Recorder>>,
}

#[derive(Debug)]
struct Wires {
    /// Counted by address over all wires, and those of HTTP if they are on the same server.
    all: Connections,
    each: Mutex<Vec<(&'static str, Connections)>>,
}

impl Context {
    /// For wires in front of `hub`, until `stop` fires.
    #[must_use]
    pub fn new(hub: Hub, stop: CancellationToken) -> Self {
        let connections = Connections::of(hub.limits());
        Self::beside(&connections, hub, stop)
    }

    /// The same beside other connections, with which those from one address are counted together.
    pub(crate) fn beside(connections: &Connections, hub: Hub, stop: CancellationToken) -> Self {
        let wires = Wires { all: connections.clone(), each: Mutex::default() };
        let unsigned = Unsigned::of(hub.limits());
        Self { unsigned, hub, stop, wires: Arc::new(wires), confirmed: TaskTracker::new(), recorder: None }
    }

    /// Has what connections hear and write recorded.
    #[must_use]
    pub fn recorded(self, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self { recorder, ..self }
    }

    /// A tape for a new connection of a wire, if it is to be recorded.
    #[must_use]
    pub fn tape(&self, wire: &'static str, written: Framing) -> Option<Arc<dyn Tape>> {
        self.recorder.as_ref()?.tape(wire, written)
    }

    /// Who records.
    pub(super) fn recorder(&self) -> Option<&Arc<dyn Recorder>> {
        self.recorder.as_ref()
    }

    /// Waits, once [`Context::stop`] has fired, until everything is said that was confirmed to somebody before, a second
    /// at most. Whoever stops the hub does it after that.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn confirmed(&self) {
        self.confirmed.close();
        let _ = tokio::time::timeout(CONFIRMED, self.confirmed.wait()).await;
    }

    /// Held by whoever confirms what is said a little later, from before the stop until it is said.
    pub(super) fn confirms(&self) -> TaskTrackerToken {
        self.confirmed.token()
    }

    /// The connections that have not signed in, of all wires.
    pub(super) fn unsigned(&self) -> &Unsigned {
        &self.unsigned
    }

    /// The connections of a wire.
    pub(super) fn connections(&self, wire: &'static str) -> Connections {
        let mut each = self.wires.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connections)) = each.iter().find(|(name, _)| *name == wire) {
            return connections.clone();
        }
        let connections = self.wires.all.beside();
        each.push((wire, connections.clone()));
        connections
    }

    /// The connections of each wire that was served.
    #[cfg(feature = "server")]
    pub(crate) fn counted(&self) -> Vec<(&'static str, Counted)> {
        let each = self.wires.each.lock().unwrap_or_else(PoisonError::into_inner);
        each.iter().map(|(name, connections)| (*name, connections.counted())).collect()
    }

    /// Those that have not signed in, and what became of others.
    #[cfg(feature = "server")]
    pub(crate) fn counted_unsigned(&self) -> CountedUnsigned {
        self.unsigned.counted()
    }
}

/// How long a stop waits for what was confirmed.
const CONFIRMED: Duration = Duration::from_secs(1);
