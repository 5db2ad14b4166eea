//! The registry: who is where, over REST.
//!
//! [`service`] makes a hyper service of any [`RegistryStore`](crate::store::RegistryStore), to be mounted in a
//! program's own server; [`Registry`] serves one on a socket of its own, with the limits, the upkeep and the stop that
//! a server needs. [`RegistryClient`] asks a registry of any make.

mod client;
mod health;
mod http;
mod list;
mod service;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use client::{RegistryClient, RegistryError};
pub use service::{RegistryService, service};

pub use crate::net::body::Body;
pub use crate::net::spoken::Spoken;

use crate::address::{Host, authority};
use crate::net;
use crate::net::listener::bind;
use crate::store::StoreError;
use crate::transport::Transport;
use health::HealthChecks;

/// Why a registry of ours does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Nothing can listen there: taken, not ours, not allowed. Choose another host or port.
    #[error("cannot listen on {at}: {source}")]
    Bind {
        /// Host and port.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// The store does not work.
    #[error("the store fails: {0}")]
    Store(#[from] StoreError),
}

/// A registry on a socket of its own.
#[derive(Debug)]
pub struct Registry {
    listener: TcpListener,
    local: SocketAddr,
    service: RegistryService,
    health: Option<HealthChecks>,
}

impl Registry {
    /// Opens the socket; port 0 lets the system choose. Nothing is answered before [`Registry::serve`].
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    pub async fn bind(host: &Host, port: u16, service: RegistryService) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind { at: authority(host.as_str(), port), source };
        let listener = bind(host, port).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local, service, health: None })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Probes every entry that lists features, and removes one after more than three failures in a row.
    ///
    /// Each is probed once in `every` by the transport of its protocol; those that did not answer the last time less
    /// often when there are so many of them that a round takes longer. Entries without features, or of a protocol
    /// that no transport here speaks, are never touched. Only with this does a registry connect to addresses that it
    /// was given: do not switch it on where strangers register and private networks can be reached.
    ///
    /// # Panics
    /// When `every` is zero.
    #[must_use]
    pub fn health_checks(mut self, every: Duration, transports: Vec<Arc<dyn Transport>>) -> Self {
        assert!(!every.is_zero(), "health checks need time between them");
        self.health = Some(HealthChecks::new(every, transports));
        self
    }

    /// Gives every stored lease one full ttl and serves until `stop` is ready; then requests in progress finish, for
    /// at most [`grace`](crate::limits::Limits::grace).
    ///
    /// # Errors
    /// [`ServeError::Store`] when the leases cannot be renewed.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and cuts every connection; a change that was handed to the store still
    /// happens.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        let Self { listener, local: _, service, health } = self;
        service.begin().await?;
        let stopped = CancellationToken::new();
        let signal = async {
            stop.await;
            stopped.cancel();
        };
        let upkeep = stopped.run_until_cancelled(service.upkeep());
        let checks = stopped.run_until_cancelled(async {
            if let Some(health) = health {
                health.run(&service).await;
            }
        });
        let serving = net::http::serve(listener, service.clone(), service.limits.clone(), stopped.clone());
        tokio::join!(signal, upkeep, checks, serving);
        Ok(())
    }
}
