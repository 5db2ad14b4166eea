//! What is asked before there is anybody to talk to.

use super::editor::Editor;
use crate::terminal::words::Word;

/// One question, with what was told before it.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) what: Word,
    /// An empty answer is one, too: it goes on.
    pub(super) or_none: bool,
    /// What was told, and whether that is an error.
    pub(super) told: Vec<(bool, String)>,
    pub(super) editor: Editor,
    /// Of the two ways on, whether the second is chosen: to answer.
    pub(super) more: bool,
    /// It was answered, and what comes of that is not known yet.
    pub(super) sent: bool,
    /// It was to be answered, and nothing was typed.
    pub(super) empty: bool,
}

impl Form {
    pub(super) fn new(what: Word, or_none: bool, told: Vec<(bool, String)>) -> Self {
        Self { what, or_none, told, editor: Editor::short(), more: !or_none, sent: false, empty: false }
    }

    /// Takes note of something that is told meanwhile.
    pub(super) fn tell(&mut self, told: (bool, String)) {
        if self.told.len() >= TOLD {
            self.told.remove(0);
        }
        self.told.push(told);
    }

    /// What is answered. Whoever chose to answer never goes on with nothing.
    pub(super) fn answer(&mut self) -> Option<String> {
        self.empty = self.more && self.editor.text().trim().is_empty();
        if self.empty || self.sent {
            return None;
        }
        let answer = if self.more { self.editor.text().to_owned() } else { String::new() };
        self.sent = true;
        self.told.clear();
        Some(answer)
    }
}

/// Things that were told and still stand there.
const TOLD: usize = 5;
