//! The registry: tells who is where.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use argh::FromArgs;
use etcetera::BaseStrategy;
use talk::address::Host;
use talk::limits::Limits;
use talk::registry::{Registry, service};
use talk::store::{MemoryRegistry, RegistryStore, SqliteRegistry};
use tokio::task::spawn_blocking;
use tracing::info;
use tracing_subscriber::EnvFilter;

/// Keeps the list of users and where each is reached.
#[derive(Debug, FromArgs)]
struct Options {
    /// where to listen (default 127.0.0.1)
    #[argh(option)]
    host: Option<Host>,

    /// port to listen on; 0 lets the system choose (default 8088, or PORT from the environment)
    #[argh(option)]
    port: Option<u16>,

    /// directory to keep the users in (default: talk/registry in your data directory, or registry in TALK_DATA)
    #[argh(option)]
    data: Option<PathBuf>,

    /// keep the users in memory only
    #[argh(switch)]
    memory: bool,

    /// print the version and leave
    #[argh(switch)]
    version: bool,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(code) => return code,
    };
    if options.version {
        return say(&format!("registry {}\n", env!("CARGO_PKG_VERSION")));
    }
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .init();
    match tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| runtime.block_on(run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => usage(&message),
        Err(Failure::Other(error)) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    let limits = Limits::default();
    let port = match (options.port, std::env::var("PORT")) {
        (Some(port), _) => port,
        (None, Ok(port)) if !port.is_empty() => {
            port.parse().map_err(|_| Failure::Usage(format!("PORT is no port: {port:?}")))?
        }
        _ => 8088,
    };
    let host = options.host.unwrap_or(Host::from(std::net::IpAddr::from([127, 0, 0, 1])));
    let store = open(options.memory, options.data, &limits).await?;
    let registry = Registry::bind(&host, port, service(store).limits(&limits)).await?;
    let signals = Signals::listen()?;
    say(&format!("registry listening on http://{}\n", registry.local_addr()));
    registry.serve(stopped(signals)).await?;
    info!("stopped");
    Ok(())
}

async fn open(memory: bool, data: Option<PathBuf>, limits: &Limits) -> Result<Arc<dyn RegistryStore>, Failure> {
    let dir = match (memory, data) {
        (true, None) => return Ok(Arc::new(MemoryRegistry::new(limits))),
        (true, Some(_)) => return Err(Failure::Usage("--memory and --data exclude each other".into())),
        (false, Some(dir)) => dir,
        (false, None) => match std::env::var_os("TALK_DATA").filter(|dir| !dir.is_empty()) {
            Some(parent) => PathBuf::from(parent).join("registry"),
            None => etcetera::base_strategy::choose_native_strategy()?.data_dir().join("talk").join("registry"),
        },
    };
    let limits = limits.clone();
    let shown = dir.display().to_string();
    let opened = spawn_blocking(move || SqliteRegistry::open(&dir, &limits)).await?;
    let store = opened.map_err(|error| Failure::Other(format!("{shown}: {error}").into()))?;
    info!(dir = %shown, "users are kept on disk");
    Ok(Arc::new(store))
}

/// Ready at the first interrupt or termination; a second one ends the process at once.
async fn stopped(mut signals: Signals) {
    signals.next().await;
    info!("stopping; once more to stop at once");
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(130);
    });
}

/// What asks a process to stop. From its making on a signal no longer ends the process by itself.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

enum Failure {
    Usage(String),
    Other(Box<dyn std::error::Error>),
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, ExitCode> {
    let arguments: Vec<String> = arguments.collect();
    let arguments: Vec<&str> = arguments.iter().map(|a| if a == "-h" { "--help" } else { a.as_str() }).collect();
    Options::from_args(&["registry"], &arguments).map_err(|exit| match exit.status {
        Ok(()) => say(&exit.output),
        Err(()) => usage(exit.output.trim_end()),
    })
}

fn usage(message: &str) -> ExitCode {
    complain(&format!("{message}\nrun 'registry --help' for the options"));
    ExitCode::from(2)
}

fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading; that is no reason to stop.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}

fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "registry: {message}");
}
