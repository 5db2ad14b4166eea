//! Own texts that failed where nobody looks.

use super::entry::Kind;
use super::hear::UNSEEN;
use super::view::View;
use crate::client::TextId;
use crate::terminal::words::Word;

impl View {
    /// Says where one looks that a text for somebody else was not delivered, and marks where it stands.
    pub(super) fn tell_failed(&mut self, id: &TextId, reason: &str) {
        let Some(key) = self.own.iter().rev().find(|(known, _)| known == id).map(|(_, key)| key.clone()) else {
            return;
        };
        let at = self.find(&key);
        if at == Some(self.current) {
            return;
        }
        if let Some(window) = at.and_then(|at| self.windows.get_mut(at)) {
            window.unread += 1;
            window.called = true;
            if let Some(serial) = window.own_mut(id).map(|entry| entry.serial) {
                window.new.get_or_insert(serial);
            }
        }
        let text = self.say(Word::NotDeliveredTo, &[&key.place().unwrap_or_default(), &reason]);
        if self.unseen.len() < UNSEEN {
            self.unseen.push(super::cells::flat(&text));
        }
        self.note(Kind::Error, &text);
    }
}
