//! Looking for something among the messages that are here.

use super::editor::Editor;
use super::entry::{Entry, Kind};
use super::view::View;

/// What is looked for, and where one is.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) editor: Editor,
    /// The entry that was found last.
    pub(super) at: Option<u64>,
    /// Where one looked before.
    before: Option<(u64, usize)>,
}

impl Search {
    /// In small letters.
    pub(super) fn wanted(&self) -> String {
        super::cells::flat(self.editor.text()).to_lowercase()
    }
}

impl View {
    pub(super) fn begin_search(&mut self) {
        let before = self.window().scroll;
        self.search = Some(Search { editor: Editor::short(), at: None, before });
    }

    /// Ends it where one is, or where one was before.
    pub(super) fn end_search(&mut self, back: bool) {
        let Some(search) = self.search.take() else { return };
        if back {
            self.window().scroll = search.before;
            if search.before.is_none() {
                self.window().go_to_end();
            }
        }
    }

    /// Looks again from the end, as something else is looked for.
    pub(super) fn search_anew(&mut self) {
        if let Some(search) = &mut self.search {
            search.at = None;
        }
        self.search_on(true);
    }

    /// Goes to the next: older, or newer.
    pub(super) fn search_on(&mut self, older: bool) {
        let Some(search) = &self.search else { return };
        let (wanted, from) = (search.wanted(), search.at);
        if wanted.is_empty() {
            return;
        }
        let window = self.window();
        let from = from.and_then(|serial| window.index_of(serial));
        let holds = |at: &usize| window.entries().get(*at).is_some_and(|entry| entry.holds(&wanted));
        let found = match (from, older) {
            (None, true) => (0..window.entries().len()).rev().find(holds),
            (Some(from), true) => (0..from).rev().find(holds),
            (None, false) => None,
            (Some(from), false) => (from + 1..window.entries().len()).find(holds),
        };
        let Some(serial) = found.and_then(|at| window.entries().get(at)).map(|entry| entry.serial) else { return };
        window.scroll = Some((serial, 0));
        if let Some(search) = &mut self.search {
            search.at = Some(serial);
        }
        // So that what follows is seen as well.
        self.scroll_down(self.page / 2);
    }

    /// What is looked for begins like a command and is nowhere: the command as it is written here.
    pub(super) fn slash_command(&self) -> Option<String> {
        let search = self.search.as_ref()?;
        let typed = search.editor.text();
        let word = typed.split_whitespace().next()?;
        let (wanted, said) = (search.wanted(), |entry: &&Entry| matches!(entry.kind, Kind::Said { .. }));
        let mut entries = self.windows.get(self.current)?.entries().iter().filter(said);
        if self.manner.deaf || entries.any(|entry| entry.holds(&wanted)) {
            return None;
        }
        let own = match word {
            "part" => "leave",
            "query" => "user",
            "names" | "who" => "users",
            "list" => "rooms",
            _ => word,
        };
        self.commands.has(own).then(|| format!(":{own}"))
    }

    /// How many entries hold it, and the how-manieth from the end this is.
    pub(super) fn search_count(&self) -> (usize, usize) {
        let (Some(search), Some(window)) = (&self.search, self.windows.get(self.current)) else { return (0, 0) };
        let wanted = search.wanted();
        if wanted.is_empty() {
            return (0, 0);
        }
        let mut found = window.entries().iter().rev().filter(|entry| entry.holds(&wanted));
        let at = search.at.and_then(|at| found.by_ref().position(|entry| entry.serial == at));
        let at = at.map_or(0, |at| at + 1);
        (at + found.count(), at)
    }
}
