//! How a server runs: one line when it is ready, then until a signal.

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::signals::Signals;
use super::start::INTERRUPTED;
use crate::gateway::ConsoleEvents;
use crate::text::SafeText;

/// Prints `ready` to stdout and serves until a signal, which makes the future that `serve` is given ready. A second
/// signal does not wait for the end.
///
/// # Errors
/// What `serve` ended with, or why no signals are heard.
pub async fn serve<S>(ready: &str, serve: impl FnOnce(WaitForCancellationFutureOwned) -> S) -> Result<ExitCode, String>
where
    S: Future<Output = Result<(), String>>,
{
    let mut signals = Signals::without_hangup().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let stop = CancellationToken::new();
    let serving = serve(stop.clone().cancelled_owned());
    tokio::pin!(serving);
    {
        let mut out = io::stdout().lock();
        // Nobody may be reading; that is no reason not to serve.
        let _ = writeln!(out, "{ready}").and_then(|()| out.flush());
    }
    // The first signal asks for an end, the second does not wait for it.
    for _ in 0..2 {
        tokio::select! {
            served = &mut serving => return served.map(|()| ExitCode::SUCCESS),
            () = signals.next() => stop.cancel(),
        }
    }
    Ok(ExitCode::from(INTERRUPTED))
}

/// Prints to stdout what happens at a console port, in a thread of its own: who is slow to read it holds nobody up. Ready
/// when all of it is printed.
pub fn print_console(mut events: ConsoleEvents) -> JoinHandle<()> {
    let runtime = Handle::current();
    spawn_blocking(move || {
        while let Some(event) = runtime.block_on(events.next()) {
            let mut out = io::stdout().lock();
            // Nobody may be reading.
            let _ = writeln!(out, "{event}").and_then(|()| out.flush());
        }
    })
}

/// Runs a program to its end and tells on stderr why it failed, if it did.
pub async fn report(program: &str, run: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    run.await.unwrap_or_else(|reason| {
        // Without a stderr there is nobody to tell.
        let _ = writeln!(io::stderr(), "{program}: {}", SafeText(&reason));
        ExitCode::FAILURE
    })
}
