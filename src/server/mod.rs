//! The message server: rooms and the registry on one socket, with what a program that runs for long needs besides.
//!
//! ```
//! use talk::server::{Config, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), talk::Error> {
//! let mut config = Config::default();
//! config.merge("the example", "server.port = 0\nlimits.commands_per_second = 0")?;
//! let server = Server::bind(config).await?;
//! println!("listening on {}", server.local_addr());
//! // Until this is ready; usually that is a signal.
//! server.run_until(async {}).await;
//! # Ok(())
//! # }
//! ```
//!
//! | path | what answers |
//! | --- | --- |
//! | `/auth`, `/ws` | the rooms ([`gateway::http`]) |
//! | `/v1/users`, `/v1/users/{user}`, `/v1/health` | the registry ([`registry`]) |
//! | `/healthz` | 200 while the process serves |
//! | `/readyz` | 200; 503 while it starts and before it stops |
//! | `/metrics` | counts and durations in the OpenMetrics text format, which Prometheus reads |

mod config;
mod door;
mod keys;
mod metrics;
mod page;
mod recorder;
mod stores;
mod syslog;
mod wires;

use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use config::{Config, ConfigError, Legacy, WirePort};

use self::door::{Door, Services};
use self::recorder::Files;
use self::stores::Stores;
use self::wires::Wires;
use crate::address::authority;
use crate::bot::{Answers, Bots};
use crate::gateway::ConsoleEvents;
use crate::gateway::peer::{Peers, RoomEntry, RoomPeerError};
use crate::gateway::{self, Context};
use crate::hub::Hub;
use crate::net::http::serve_counted;
use crate::net::listener::{Connections, bind};
use crate::registry::{self, Spoken};
use crate::store::StoreError;
use crate::tape::Recorder;

/// Why a server does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// It was told something that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing can listen there: taken, not ours, not allowed. Choose another host or port.
    #[error("cannot listen on {at}: {source}")]
    Bind {
        /// Host and port.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// A room does not listen for peers. Choose another place or name for it, or go without.
    #[error("cannot let peers in by {entry}: {source}; {}", advice(.source))]
    RoomPeer {
        /// The room, and where it was to listen.
        entry: RoomEntry,
        /// Why.
        source: RoomPeerError,
    },
    /// A wire cannot be had where it was asked for. Choose another place for it, or go without.
    #[error(
        "cannot listen for {wire} on {at}: {source}; choose another port with {option}, or off, or another host with --legacy-host"
    )]
    Wire {
        /// What it is called.
        wire: &'static str,
        /// The option of `talk-server` that says where it listens.
        option: &'static str,
        /// Host and port.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be recorded there. Choose another directory, or go without.
    #[error("cannot record into {}: {source}", dir.display())]
    Record {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is kept cannot be used.
    #[error("{}: {source}", dir.display())]
    Store {
        /// Where it is kept.
        dir: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// A message server on a socket.
pub struct Server {
    local: SocketAddr,
    door: Door,
    services: Arc<Services>,
    wires: Wires,
    answers: Answers,
    serving: Serving,
    stopped: CancellationToken,
    drain_delay: Duration,
    grace: Duration,
}

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Server {
    /// Opens the socket (port 0 lets the system choose), and then what is kept. Meanwhile `/healthz` answers, and
    /// everything else says 503. Its bots are [`Bots::standard`].
    ///
    /// # Errors
    /// [`ServerError`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket; what was being opened is closed when that is done.
    pub async fn bind(config: Config) -> Result<Self, ServerError> {
        Self::bind_with(config, Bots::standard()).await
    }

    /// The same with other bots.
    ///
    /// # Errors
    /// [`ServerError`].
    ///
    /// # Cancel safety
    /// As for [`Server::bind`].
    pub async fn bind_with(config: Config, bots: Bots) -> Result<Self, ServerError> {
        config.check()?;
        let dir = config.directory()?.cloned();
        let told = config.clone();
        let open = async move {
            let shown = dir.clone().unwrap_or_default();
            let opened = spawn_blocking(move || Stores::open(dir.as_deref(), &told)).await;
            let opened = opened.map_err(|e| StoreError::Unavailable(format!("opening it broke off: {e}")));
            opened.flatten().map_err(|source| ServerError::Store { dir: shown, source })
        };
        Self::bind_over(&config, bots, open).await
    }

    async fn bind_over(
        config: &Config,
        bots: Bots,
        open: impl Future<Output = Result<Stores, ServerError>>,
    ) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Bind { at: authority(config.host.as_str(), config.port), source };
        let listener = bind(&config.host, config.port).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let mut wires = Wires::bind(config, &bots).await?;
        let (ears, answers) = bots.listen();
        let limits = Arc::new(config.limits.clone());
        let connections = Connections::of(&limits);
        let stopped = CancellationToken::new();
        let names = config.names();
        let door = Door::new(limits.clone(), names.clone(), config.page, connections.clone());
        let mut serving: Serving =
            Box::pin(serve_counted(listener, door.clone(), limits, connections.clone(), stopped.clone()));
        let told = stopped.clone();
        let opening = async {
            let stores = open.await?;
            let dir = config.data.clone().unwrap_or_default();
            let failed = |source| ServerError::Store { dir: dir.clone(), source };
            let spoken = Spoken::new(&config.limits);
            let peers = Peers::new(stores.registry.clone(), spoken.clone(), &config.limits);
            let syslog = syslog::start(config);
            let builder = Hub::builder().watch(ears).route("peer", Arc::new(peers.clone()));
            let builder = match syslog.clone() {
                Some(syslog) => builder.watch(syslog),
                None => builder,
            };
            let hub = stores.hub(config, builder).await.map_err(failed)?;
            let registry = registry::service(stores.registry.clone()).limits(&config.limits).spoken(spoken);
            registry.begin().await.map_err(failed)?;
            let recorder = record(config).await?;
            let taping = recorder.clone().map(|recorder| recorder as Arc<dyn Recorder>);
            let context = Context::beside(&connections, hub.clone(), told).recorded(taping.clone());
            wires.let_peers_in(config, &context, &peers).await?;
            let rooms = gateway::http::service(hub.clone()).recorded(taping.clone());
            let rooms = rooms.origins(config.origins.iter().cloned()).hosts(names);
            let registry = registry.recorded(taping);
            Ok::<_, ServerError>(Services { rooms, registry, hub, wires: context, peers, stores, syslog, recorder })
        };
        let services = tokio::select! {
            services = opening => services?,
            // It serves until it is stopped, and nobody can have stopped it yet.
            () = &mut serving => pending().await,
        };
        let services = door.open(services);
        // Not before: of a server that does not start only the reason for that is of interest.
        if config.hosts.is_empty() && local.ip().is_unspecified() {
            warn!("rooms answer only to 'localhost' as yet: name what others call this machine (--allow-host)");
        }
        for missing in &wires.missing {
            warn!("{missing}");
        }
        let (drain_delay, grace) = (config.drain_delay, config.limits.grace);
        Ok(Self { local, door, services, wires, answers, serving, stopped, drain_delay, grace })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The wires of other chat systems that are open: what each is called, and where it listens.
    pub fn wires(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.wires.places()
    }

    /// What happens at the console port, for whoever prints it; `None` when there is no such port, or somebody has it.
    pub fn console_events(&mut self) -> Option<ConsoleEvents> {
        self.wires.console.take()
    }

    /// Its rooms, in which a program may take seats of its own.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.services.hub
    }

    /// Serves until `stop` is ready, and then drains: `/readyz` says 503; after [`Config::drain_delay`] nobody is let in
    /// any more and every session is told (1001); requests in progress and sessions have
    /// [`Limits::grace`](crate::Limits::grace) to end; what waits for syslog has a second; and what is kept is closed.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and cuts every connection; what was handed to the stores still happens.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send) {
        let Self { local: _, door, services, wires, answers, serving, stopped, drain_delay, grace } = self;
        let cut = services.rooms.cut_on_drop();
        let signal = async {
            stop.await;
            info!("stopping");
            door.drain();
            sleep(drain_delay).await;
            stopped.cancel();
            services.wires.confirmed().await;
            services.hub.stop();
            let deadline = Instant::now() + grace;
            services.rooms.finish(deadline).await;
            deadline
        };
        let answers = answers.run(&services.hub);
        let upkeep = async { tokio::join!(services.registry.upkeep(), tend(&services.hub), answers) };
        let upkeep = stopped.run_until_cancelled(upkeep);
        let wires = wires.serve(&services.wires);
        let (deadline, (), (), _) = tokio::join!(signal, serving, wires, upkeep);
        // A request in progress may have opened one more session.
        services.hub.stop();
        services.rooms.finish(deadline).await;
        drop(cut);
        services.hub.drained().await;
        services.peers.close().await;
        if let Some(syslog) = &services.syslog {
            syslog.finish().await;
        }
        // Closing a store waits for its disk, and so does a recording.
        let close = move || {
            if let Some(recorder) = &services.recorder {
                recorder.finish();
            }
            drop((door, services));
        };
        let closed = spawn_blocking(close).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the stores were not closed as they should be");
        }
    }
}

/// What records, if that is wanted.
async fn record(config: &Config) -> Result<Option<Arc<Files>>, ServerError> {
    let Some(dir) = config.record.clone() else { return Ok(None) };
    let (shown, most) = (dir.clone(), config.limits.recordings);
    let opened = spawn_blocking(move || Files::open(&dir, most)).await.map_err(io::Error::other).flatten();
    let files = opened.map_err(|source| ServerError::Record { dir: shown.clone(), source })?;
    warn!(dir = %shown.display(), "all that is heard and said is recorded, also what users say to each other alone");
    Ok(Some(Arc::new(files)))
}

/// What to do about a room that peers cannot write to.
fn advice(error: &RoomPeerError) -> &'static str {
    match error {
        RoomPeerError::Listen(_) => {
            "choose another PORT in --room-peer ROOM=NAME@PROTOCOL:PORT, or another host with --legacy-host"
        }
        RoomPeerError::Unspecified(_) => "name it with --allow-host, or choose another host with --legacy-host",
        RoomPeerError::Taken(_) => "choose another NAME in --room-peer ROOM=NAME@PROTOCOL:PORT",
        RoomPeerError::Store(_) => "leave --room-peer away to start without",
    }
}

/// Keeps the house of a hub in order, for as long as it is polled.
async fn tend(hub: &Hub) {
    loop {
        sleep(TEND).await;
        if let Err(error) = hub.tend().await {
            warn!(%error, "what is too old stays for now");
        }
    }
}

/// How often what is too old is looked for.
const TEND: Duration = Duration::from_secs(30);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local", &self.local).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    async fn status(at: SocketAddr, path: &str) -> u16 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer[9..12].parse().unwrap()
    }

    #[tokio::test]
    async fn while_it_starts_it_is_alive_and_not_ready() {
        // A port that was free a moment ago: where it listens is told only once it has started.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = Config::default();
        config.port = free.port();
        let (open, opened) = oneshot::channel::<()>();
        let told = config.clone();
        let starting = tokio::spawn(async move {
            let open = async {
                opened.await.unwrap();
                Ok(Stores::open(None, &told).unwrap())
            };
            Server::bind_over(&config, Bots::none(), open).await.unwrap()
        });
        while TcpStream::connect(free).await.is_err() {
            tokio::task::yield_now().await;
        }
        for (path, expected) in
            [("/healthz", 200), ("/readyz", 503), ("/metrics", 200), ("/v1/users", 503), ("/auth", 503), ("/x", 404)]
        {
            assert_eq!(status(free, path).await, expected, "{path}");
        }
        open.send(()).unwrap();
        let server = starting.await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run_until(async { stopped.await.unwrap_or(()) }));
        for (path, expected) in [("/healthz", 200), ("/readyz", 200), ("/v1/users", 200), ("/auth", 405), ("/x", 404)] {
            assert_eq!(status(free, path).await, expected, "{path}");
        }
        drop(stop);
        running.await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_opened_is_an_error_that_names_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let mut config = Config::default();
        (config.port, config.memory, config.data) = (0, false, Some(file.clone()));
        let error = Server::bind(config).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", file.display())), "{error}");
    }
}
