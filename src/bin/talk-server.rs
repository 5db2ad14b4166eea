//! The message server, rooms and registry in one: `talk-server --port 7000`.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use talk::server::{Config, Server, ServerError};
use talk::store::StoreError;
use talk::terminal::options::{Exit, arguments};
use talk::terminal::settings::environment;
use talk::terminal::{Given, Keeping, ServerOptions};

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(exit) => return exit.print(PROGRAM),
    };
    let options = ServerOptions::read(&arguments, environment(std::env::vars_os()));
    match options.and_then(|options| Ok((configure(&options)?, options.keeping))) {
        Ok((config, None)) => talk::terminal::run(talk::terminal::report(PROGRAM, serve(config))),
        Ok((config, Some(keeping))) => talk::terminal::run(talk::terminal::report(PROGRAM, keep(config, keeping))),
        Err(exit) => exit.print(&ServerOptions::called(&arguments)),
    }
}

/// What was given, the later over the earlier.
fn configure(options: &ServerOptions) -> Result<Config, Exit> {
    let mut config = Config::default();
    for given in &options.given {
        let taken = match given {
            Given::Toml { place, text } => config.merge(place, text),
            Given::Value { place, key, value } => config.set(place, key, value),
        };
        taken.map_err(Exit::usage)?;
    }
    config.check().map_err(Exit::usage)?;
    if options.print_config {
        return Err(Exit::Asked(config.to_toml()));
    }
    config.directory().map_err(|error| Exit::usage(format_args!("{error} (--data DIR or --memory)")))?;
    Ok(config)
}

async fn keep(config: Config, keeping: Keeping) -> Result<ExitCode, String> {
    let dir = config.directory().ok().flatten().ok_or("nothing is kept in memory (--data DIR)")?;
    talk::terminal::keep(keeping, dir.to_owned(), config.limits).await
}

async fn serve(config: Config) -> Result<ExitCode, String> {
    let page = config.page && io::stdout().is_terminal();
    let mut server = Server::bind(config).await.map_err(|error| match error {
        ServerError::Bind { .. } => {
            format!("{error}; choose another place with --port or --host (--port 0 finds a free one)")
        }
        ServerError::Store { source: StoreError::Locked, .. } => format!("{error} (--data DIR)"),
        error => error.to_string(),
    })?;
    let mut ready = format!("{PROGRAM} listening on http://{}", server.local_addr());
    for (wire, at) in server.wires() {
        ready.push_str(&format!("\n{wire} on {at}"));
    }
    if page {
        // For whoever looks at it: what programs read is as it was.
        ready.push_str(&format!("\nto chat, open http://{}/ in a browser", near(server.local_addr())));
    }
    talk::terminal::serve(&ready, |stop| async {
        let printing = server.console_events().map(talk::terminal::print_console);
        server.run_until(stop).await;
        if let Some(printing) = printing {
            // Whoever does not read the last lines misses them.
            let _ = tokio::time::timeout(LAST_LINES, printing).await;
        }
        Ok(())
    })
    .await
}

/// Where a server is found from the same machine: to listen everywhere is no place to go to.
fn near(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, at.port())
}

/// Time for the last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(1);
const PROGRAM: &str = "talk-server";
