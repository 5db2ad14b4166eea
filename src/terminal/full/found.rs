//! What a search on the server found: a list over the messages, which is gone when it is closed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::cells;
use super::view::View;
use super::window::Key;
use crate::client::Heard;
use crate::message::Position;
use crate::terminal::screen::speaker;

/// The list, and where one is in it.
#[derive(Debug)]
pub(super) struct Found {
    /// How much was found, where, and with what.
    pub(super) head: String,
    window: Key,
    /// The oldest first.
    pub(super) hits: Vec<Hit>,
    pub(super) chosen: usize,
    /// Hits on the screen, by which one pages.
    pub(super) page: usize,
    /// One wanted to go to what is not loaded.
    pub(super) absent: bool,
}

/// One message.
#[derive(Debug)]
pub(super) struct Hit {
    position: Option<Position>,
    pub(super) text: String,
}

impl View {
    /// Shows what was found, of which the newest is chosen.
    pub(super) fn show_found(&mut self, head: &str, room: &str, messages: &[Heard]) {
        let hit = |message: &Heard| {
            let from = speaker(&message.from, self.manner.language);
            let text = format!("{} {from}: {}", super::draw::date(message.at), message.text);
            Hit { position: message.position.clone(), text: cells::fit(&cells::flat(&text), LONGEST) }
        };
        let hits: Vec<_> = messages.iter().take(MOST).rev().map(hit).collect();
        let head = cells::flat(head.trim_end_matches(':'));
        let (window, chosen) = (self.key_of(Some(room)), hits.len().saturating_sub(1));
        self.found = Some(Found { head, window, hits, chosen, page: 1, absent: false });
    }

    /// Does what a key does in the list; whether it was one for it. What is typed closes it.
    pub(super) fn found_key(&mut self, key: KeyEvent) -> bool {
        let Some(found) = &mut self.found else { return false };
        let last = found.hits.len().saturating_sub(1);
        found.absent = false;
        let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        match key.code {
            KeyCode::Up if plain => found.chosen = found.chosen.saturating_sub(1),
            KeyCode::Down if plain => found.chosen = (found.chosen + 1).min(last),
            KeyCode::PageUp => found.chosen = found.chosen.saturating_sub(found.page),
            KeyCode::PageDown => found.chosen = (found.chosen + found.page).min(last),
            KeyCode::Enter if plain => self.go_to_found(),
            KeyCode::Esc => self.found = None,
            KeyCode::F(1) => return false,
            _ => {
                self.found = None;
                return false;
            }
        }
        true
    }

    /// Goes to where it was said, if that is here.
    fn go_to_found(&mut self) {
        let Some(found) = &self.found else { return };
        let wanted = found.hits.get(found.chosen).and_then(|hit| hit.position.as_ref());
        let at = self.find(&found.window);
        let entry = at.and_then(|at| {
            let mut entries = self.windows[at].entries().iter();
            entries.find(|entry| wanted.is_some() && entry.position.as_ref() == wanted)
        });
        match (at, entry.map(|entry| entry.serial)) {
            (Some(at), Some(serial)) => {
                (self.found, self.climb) = (None, None);
                self.go(at);
                self.window().scroll = Some((serial, 0));
                // So that what follows is seen as well.
                self.scroll_down(self.page / 2);
            }
            _ => {
                if let Some(found) = &mut self.found {
                    found.absent = true;
                }
            }
        }
    }
}

/// Cells of a hit.
const LONGEST: usize = 400;
/// Hits of one search.
const MOST: usize = 1000;
