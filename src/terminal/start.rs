//! How a binary runs: log output to stderr, a runtime, and one future to its end.

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// Runs a program on a runtime of its own, with log output to stderr: warnings, or what `RUST_LOG` says.
///
/// Threads that wait for input do not keep the program from ending.
#[must_use]
pub fn run(program: impl Future<Output = ExitCode>) -> ExitCode {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::WARN.into()).from_env_lossy();
    // A second subscriber is a test's own; its output is as good.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(program);
    runtime.shutdown_background();
    code
}
