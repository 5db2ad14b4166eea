//! The message server, rooms and registry in one: `talk-server --port 7000`.

use std::process::ExitCode;
use std::time::Duration;

use talk::server::{Config, Server, ServerError};
use talk::store::StoreError;
use talk::terminal::options::{Exit, arguments};
use talk::terminal::settings::environment;
use talk::terminal::{Given, ServerOptions};

fn main() -> ExitCode {
    let options = arguments(std::env::args_os())
        .and_then(|arguments| ServerOptions::read(&arguments, environment(std::env::vars_os())));
    match options.and_then(|options| configure(&options)) {
        Ok(config) => talk::terminal::run(talk::terminal::report(PROGRAM, serve(config))),
        Err(exit) => exit.print(PROGRAM),
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

async fn serve(config: Config) -> Result<ExitCode, String> {
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

/// Time for the last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(1);
const PROGRAM: &str = "talk-server";
