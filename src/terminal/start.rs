//! How a binary runs: log output to stderr, a runtime, and one future to its end.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::WeakSender;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::screen::{Item, Screen, Shown};
use crate::text::SafeText;

/// Runs a program on a runtime of its own, with log output to stderr: warnings, or what `RUST_LOG` says.
///
/// Threads that wait for input do not keep the program from ending.
#[must_use]
pub fn run(program: impl Future<Output = ExitCode>) -> ExitCode {
    run_with(Log::default(), program)
}

/// The same, with a log that may be led past a line being typed.
pub(super) fn run_with(log: Log, program: impl Future<Output = ExitCode>) -> ExitCode {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::WARN.into()).from_env_lossy();
    // A second subscriber is a test's own; its output is as good.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(log).try_init();
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

/// Where log output goes: to stderr, or to a screen while there is one. Every line is made harmless on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    screen: Arc<Mutex<Option<WeakSender<Item>>>>,
}

impl Log {
    /// Leads the log through the screen, unless stderr goes elsewhere anyway.
    pub(super) fn show_on(&self, screen: &Screen) {
        if io::stderr().is_terminal() {
            *self.screen.lock().unwrap_or_else(PoisonError::into_inner) = Some(screen.way());
        }
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Entry;

    fn make_writer(&'a self) -> Entry {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Entry { screen, bytes: Vec::new() }
    }
}

/// One entry of the log, written out as a whole.
pub(super) struct Entry {
    screen: Option<WeakSender<Item>>,
    bytes: Vec<u8>,
}

impl Write for Entry {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        let line = SafeText(text.trim_end()).to_string();
        match self.screen.as_ref().and_then(WeakSender::upgrade) {
            // A screen that is that far behind has better things to show.
            Some(screen) => drop(screen.try_send(Item::Line(Shown::Err(line)))),
            // Without a stderr there is nobody to tell.
            None => drop(writeln!(io::stderr(), "{line}")),
        }
    }
}

/// The exit code of a program that Ctrl-C ended, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::screen::Style;
    use std::sync::mpsc;

    #[tokio::test]
    async fn log_entries_reach_the_screen_as_harmless_lines_and_do_not_keep_it_open() {
        let (tell, told) = mpsc::channel();
        let screen = Screen::new(Style::default(), move |shown| tell.send(shown).map_err(io::Error::other)).unwrap();
        let log = Log::default();
        *log.screen.lock().unwrap() = Some(screen.way());
        let mut entry = log.make_writer();
        entry.write_all(b"WARN a\x1b[2J").unwrap();
        entry.write_all(b" b\nc\n").unwrap();
        drop(entry);
        screen.finish().await;
        assert_eq!(told.iter().collect::<Vec<_>>(), [Shown::Err("WARN a\u{fffd}[2J b c".into())]);
    }
}
