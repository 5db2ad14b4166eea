//! A program on a pseudo-terminal.

use std::fs::File;
use std::process::Command;

use rexpect::process::WaitStatus;
use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};

/// A program that somebody looks at and types to.
pub(crate) struct Terminal {
    pub(crate) pty: PtySession,
    handle: File,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        command.env("NO_COLOR", "1");
        Self::start_with(command, false)
    }

    /// `raw`: escape sequences are seen, not filtered out.
    pub(crate) fn start_with(mut command: Command, raw: bool) -> Self {
        command.env("TERM", "xterm");
        let options = Options::new().timeout_ms(Some(30_000)).strip_ansi_escape_codes(!raw);
        let pty = spawn_with_options(command, options).unwrap();
        let handle = pty.process().get_file_handle().unwrap();
        Self { pty, handle }
    }

    pub(crate) fn send(&mut self, keys: &str) {
        self.pty.send(keys).unwrap();
        self.pty.flush().unwrap();
    }

    /// Waits until the screen shows this, and gives what came before.
    pub(crate) fn sees(&mut self, text: &str) -> String {
        // The reader takes each byte for a character.
        let bytes: String = text.bytes().map(char::from).collect();
        self.pty.exp_string(&bytes).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    /// Another size of the window.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = ["cols", &columns.to_string(), "rows", &rows.to_string()].map(str::to_owned);
        let status = Command::new("stty").args(size).stdin(self.handle.try_clone().unwrap()).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end; the exit code.
    pub(crate) fn ends(mut self) -> i32 {
        self.pty.exp_eof().unwrap();
        let sane = nix::sys::termios::tcgetattr(&self.handle).unwrap().local_flags;
        let lines = nix::sys::termios::LocalFlags::ICANON;
        assert!(sane.contains(lines), "the terminal is left as it was found");
        match self.pty.process().wait().unwrap() {
            WaitStatus::Exited(_, code) => code,
            other => panic!("{other:?}"),
        }
    }
}

/// Output of a program that edits a line, without what that takes, as the terminal would read it.
pub(crate) fn without_editing(raw: &str) -> String {
    let bytes = raw.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let mut left = String::from_utf8(bytes).expect("output is UTF-8");
    // The cursor is led, and the rest of the line or of the screen is wiped.
    let own = rexpect::reader::Regex::new("\u{1b}\\[(\\?(2004|2026)[hl]|[0-9]*[ABCD]|K|J)").unwrap();
    left = own.replace_all(&left, "").into_owned();
    left
}
