//! The lines that were typed, in the file that the line mode has, too.

use std::path::PathBuf;

use rustyline::config::Config;
use rustyline::history::{FileHistory, History, SearchDirection};

use crate::terminal::secrets::private_file;

/// The file.
pub(super) struct Kept {
    path: PathBuf,
    lines: FileHistory,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Kept {
    /// Opens it, and gives what is in it.
    pub(super) fn open(path: PathBuf) -> Option<(Self, Vec<String>)> {
        private_file(&path).ok()?;
        let config = Config::builder().max_history_size(crate::terminal::line::HISTORY).ok()?;
        let mut lines = FileHistory::with_config(&config.history_ignore_dups(true).ok()?.build());
        lines.load(&path).ok()?;
        let all = (0..lines.len()).filter_map(|at| lines.get(at, SearchDirection::Forward).ok()?);
        let all = all.map(|found| found.entry.into_owned()).collect();
        Some((Self { path, lines }, all))
    }

    pub(super) fn add(&mut self, line: &str) {
        // A full disk must not end a conversation; the line stays in this run's memory.
        if let Err(error) = self.lines.add(line).and_then(|_| self.lines.append(&self.path)) {
            tracing::debug!(%error, "the history cannot be kept");
        }
    }
}
