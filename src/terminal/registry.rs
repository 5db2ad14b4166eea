//! The options of `registry`, and what is built from them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use tokio::task::spawn_blocking;

use super::client::port_or_0;
use super::options::{self, Exit};
use super::serve::{report, serve};
use super::settings::{Environment, Settings, SettingsFile, data_directory, default_file};
use crate::address::Host;
use crate::limits::Limits;
use crate::registry::{Registry, service};
use crate::store::{MemoryRegistry, RegistryStore, SqliteRegistry, StoreError};
use crate::transport::{Http, Transport, Udp, WebSocket};

/// Keep the list of users and where each is reached.
#[derive(ArgsInfo, Debug, Default, FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "[OPTIONS]",
    example = "registry\nregistry --host 0.0.0.0 --port 8088 --data /var/lib/talk/registry\nregistry --memory --port 0",
    note = "Every option may also come from the environment (TALK_HOST, TALK_PORT or PORT,\nTALK_MEMORY, TALK_HEALTH_CHECK, TALK_CONFIG), or else from the file\ntalk/registry.toml in the platform's configuration directory, under the same\nnames: port = 8088. TALK_DATA names a directory for data, instead of the\nplatform's; RUST_LOG says what is logged to stderr."
)]
struct Arguments {
    /// the address to listen on (default 127.0.0.1)
    #[argh(option)]
    host: Option<String>,
    /// the port to listen on; 0 lets the system choose (default 8088)
    #[argh(option, short = 'p')]
    port: Option<String>,
    /// the directory to keep users in (default talk/registry in the platform's data directory, or registry in
    /// TALK_DATA)
    #[argh(option, arg_name = "dir")]
    data: Option<String>,
    /// keep users in memory only
    #[argh(switch)]
    memory: bool,
    /// seconds between two questions to each user that lists features whether it is still there; who fails more than
    /// three times in a row is removed (default: nobody is asked)
    #[argh(option, arg_name = "seconds")]
    health_check: Option<String>,
    /// read settings from this file, which must exist
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// print completions for a shell: bash, zsh or fish
    #[argh(option, arg_name = "shell")]
    #[expect(dead_code, reason = "read before argh sees it; here for the help")]
    completions: Option<String>,
    /// print the man page
    #[argh(switch)]
    #[expect(dead_code, reason = "read before argh sees it; here for the help")]
    man: bool,
    /// print the version
    #[argh(switch, short = 'V')]
    #[expect(dead_code, reason = "read before argh sees it; here for the help")]
    version: bool,
}

/// What `registry` was asked to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistryOptions {
    host: Host,
    port: u16,
    /// `None`: in memory.
    data: Option<PathBuf>,
    health_check: Option<Duration>,
}

impl RegistryOptions {
    /// Reads the arguments (without the program's name), the environment and the settings file.
    ///
    /// # Errors
    /// [`Exit`]: help or version were asked for, or something is wrong.
    pub fn read(arguments: &[String], environment: Environment) -> Result<Self, Exit> {
        let given: Arguments = options::parse(PROGRAM, env!("CARGO_PKG_VERSION"), arguments, &[])?;
        let named = Settings::new(environment.clone(), None);
        let named = named.value("config", given.config.as_deref(), |path| Ok::<_, Exit>(PathBuf::from(path)))?;
        let file = match (named, default_file("registry.toml")) {
            (Some(path), _) => Some(SettingsFile::read(&path, KEYS)?),
            (None, Some(path)) => SettingsFile::read_if_there(&path, KEYS)?,
            (None, None) => None,
        };
        Self::layered(&given, &environment, &Settings::new(environment.clone(), file))
    }

    fn layered(given: &Arguments, environment: &Environment, settings: &Settings) -> Result<Self, Exit> {
        let host = settings.value("host", given.host.as_deref(), Host::new)?;
        let host = host.unwrap_or_else(|| IpAddr::V4(Ipv4Addr::LOCALHOST).into());
        let health_check = settings.value("health-check", given.health_check.as_deref(), interval)?;
        let data = place(given, environment, settings)?;
        Ok(Self { host, port: port(given, settings)?, data, health_check })
    }

    /// Serves until a signal. Every error was told when it ends; a second signal ends it at once.
    pub async fn run(self) -> ExitCode {
        report(PROGRAM, self.serve()).await
    }

    async fn serve(self) -> Result<ExitCode, String> {
        let limits = Limits::default();
        let store = open(self.data, &limits).await?;
        let service = service(store).limits(&limits);
        let registry = Registry::bind(&self.host, self.port, service).await;
        let mut registry = registry.map_err(|error| {
            format!("{error}; choose another place with --port or --host (--port 0 finds a free one)")
        })?;
        if let Some(every) = self.health_check {
            registry = registry.health_checks(every, transports(&limits));
        }
        let ready = format!("registry listening on http://{}", registry.local_addr());
        serve(&ready, |stop| async { registry.serve(stop).await.map_err(|e| e.to_string()) }).await
    }
}

async fn open(data: Option<PathBuf>, limits: &Limits) -> Result<Arc<dyn RegistryStore>, String> {
    let Some(dir) = data else { return Ok(Arc::new(MemoryRegistry::new(limits))) };
    let limits = limits.clone();
    let shown = dir.display().to_string();
    let opened = spawn_blocking(move || SqliteRegistry::open(&dir, &limits)).await.map_err(|e| e.to_string())?;
    let store = opened.map_err(|error| match error {
        StoreError::Locked => format!("{shown}: {error} (--data DIR)"),
        error => format!("{shown}: {error}"),
    })?;
    Ok(Arc::new(store))
}

fn transports(limits: &Limits) -> Vec<Arc<dyn Transport>> {
    vec![
        Arc::new(Http::with_limits(limits)),
        Arc::new(WebSocket::with_limits(limits)),
        Arc::new(Udp::with_limits(limits)),
    ]
}

/// `PORT`, which platforms set for whatever they run, stands behind `TALK_PORT` and before the file.
fn port(given: &Arguments, settings: &Settings) -> Result<u16, Exit> {
    let option = given.port.as_deref();
    if option.is_none()
        && settings.variable("TALK_PORT", port_or_0)?.is_none()
        && let Some(port) = settings.variable("PORT", port_or_0)?
    {
        return Ok(port);
    }
    Ok(settings.value("port", option, port_or_0)?.unwrap_or(DEFAULT_PORT))
}

/// The data directory, or `None` for memory. `TALK_DATA` is the parent of the directory, not the directory.
fn place(given: &Arguments, environment: &Environment, settings: &Settings) -> Result<Option<PathBuf>, Exit> {
    match (&given.data, given.memory) {
        (Some(_), true) => return Err(Exit::usage("--data and --memory exclude each other")),
        (Some(data), false) if data.is_empty() => return Err(Exit::usage("--data needs a directory")),
        (Some(data), false) => return Ok(Some(data.into())),
        (None, true) => return Ok(None),
        (None, false) => {}
    }
    let yes_or_no = |text: &str| text.parse().map_err(|_| "true or false is wanted");
    if settings.value("memory", None, yes_or_no)?.unwrap_or(false) {
        return Ok(None);
    }
    let own = environment.get("TALK_DATA").is_some_and(|parent| !parent.is_empty());
    let filed = if own { None } else { settings.value("data", None, |path| Ok::<_, Exit>(PathBuf::from(path)))? };
    filed.map_or_else(|| data_directory(environment, "registry"), Ok).map(Some)
}

fn interval(seconds: &str) -> Result<Duration, &'static str> {
    let seconds = seconds.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or("a number of seconds from 1 to 86400 is wanted")
}

const PROGRAM: &str = "registry";
const KEYS: &[&str] = &["host", "port", "data", "memory", "health-check"];
const DEFAULT_PORT: u16 = 8088;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(arguments: &[&str], variables: &[(&str, &str)], file: &str) -> Result<RegistryOptions, Exit> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let given: Arguments = options::parse(PROGRAM, "1", &arguments, &[])?;
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let environment = super::super::settings::environment(variables);
        let file = SettingsFile::parse(Path::new("registry.toml"), file, KEYS)?;
        RegistryOptions::layered(&given, &environment, &Settings::new(environment.clone(), Some(file)))
    }

    #[test]
    fn the_port_comes_from_the_flag_the_environment_the_file_or_the_default() {
        let port =
            |arguments: &[&str], variables: &[(&str, &str)], file| read(arguments, variables, file).unwrap().port;
        let both = [("PORT", "2"), ("TALK_PORT", "3")];
        assert_eq!(port(&["--port=1"], &both, "port = 4"), 1);
        assert_eq!(port(&[], &both, "port = 4"), 3);
        assert_eq!(port(&[], &both[..1], "port = 4"), 2);
        assert_eq!(port(&[], &[("PORT", "")], "port = 4"), 4);
        assert_eq!(port(&[], &[], ""), 8088);
        assert!(read(&[], &[("PORT", "x")], "").is_err());
    }

    #[test]
    fn users_are_kept_where_it_was_said() {
        let data = |arguments: &[&str], variables: &[(&str, &str)], file| {
            read(arguments, variables, file).unwrap().data.map(|dir| dir.display().to_string())
        };
        let parent = [("TALK_DATA", "/srv/t")];
        assert_eq!(data(&["--data=/d"], &parent, "memory = true"), Some("/d".into()));
        assert_eq!(data(&["--memory"], &parent, "data = '/f'"), None);
        assert_eq!(data(&[], &[("TALK_MEMORY", "true")], "data = '/f'"), None);
        assert_eq!(data(&[], &parent, "data = '/f'"), Some("/srv/t/registry".into()));
        assert_eq!(data(&[], &[], "data = '/f'"), Some("/f".into()));
        assert!(read(&["--memory", "--data=/d"], &[], "").is_err());
        assert!(read(&["--data="], &[], "").is_err());
        assert!(read(&[], &[("TALK_MEMORY", "perhaps")], "").is_err());
    }

    #[test]
    fn health_checks_are_off_unless_seconds_are_given() {
        let check = |arguments: &[&str]| read(arguments, &[], "").map(|options| options.health_check);
        assert_eq!(check(&["--memory"]), Ok(None));
        assert_eq!(check(&["--memory", "--health-check", "30"]), Ok(Some(Duration::from_secs(30))));
        for bad in ["0", "86401", "x", "-1", "1.5"] {
            assert!(check(&["--memory", &format!("--health-check={bad}")]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_help_shows_every_option_with_its_default() {
        let Err(Exit::Asked(help)) = read(&["--help"], &[], "") else { panic!("no help") };
        for key in KEYS {
            assert!(help.contains(&format!("--{key}")), "{key}");
        }
        for wanted in ["8088", "127.0.0.1", "TALK_DATA", "PORT", "-h, --help"] {
            assert!(help.contains(wanted), "{wanted} in {help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}
