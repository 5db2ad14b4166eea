//! Texts on their way out: none is lost while the connection is.

mod journal;

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Event, Refused, State, TextId};

pub use journal::{Journal, JournalError};

/// One text that waits, or of which nobody knows yet what became.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Text {
    pub(super) id: TextId,
    /// A user, or a room as this client names places; what that is the protocol's module knows.
    pub(super) to: Option<String>,
    pub(super) text: Arc<str>,
    pub(super) state: State,
    /// It was sent before, and may have arrived.
    pub(super) tried: bool,
}

/// The texts of one client, in the order in which they were given.
#[derive(Debug)]
pub(super) struct Outbox {
    texts: VecDeque<Text>,
    most: usize,
    journal: Option<Journal>,
}

impl Outbox {
    /// At most `most` at a time. With a journal what it holds comes first.
    pub(super) fn new(most: usize, journal: Option<Journal>) -> Self {
        let texts = journal.as_ref().map(|journal| journal.kept.clone()).unwrap_or_default();
        Self { texts: texts.into(), most, journal }
    }

    /// Takes a text, which is on disk when this returns if there is a journal.
    pub(super) fn push(&mut self, id: TextId, to: Option<String>, text: Arc<str>) -> Result<Event, Refused> {
        if self.unsettled() >= self.most {
            return Err(Refused::Full(self.most));
        }
        let text = Text { id: id.clone(), to, text, state: State::Queued, tried: false };
        if let Some(journal) = &mut self.journal {
            journal.add(&text).map_err(|error| Refused::NotKept(Arc::new(error)))?;
        }
        self.texts.push_back(text);
        Ok(Event::State { id, state: State::Queued })
    }

    /// The first text that was not sent on this connection.
    pub(super) fn next(&self) -> Option<&Text> {
        self.texts.iter().find(|text| text.state == State::Queued)
    }

    /// Notes how far a text came. What is settled is forgotten. `None` when that is no news.
    pub(super) fn advance(&mut self, id: &TextId, state: State) -> Option<Event> {
        let at = self.texts.iter().position(|text| text.id == *id)?;
        let text = &mut self.texts[at];
        if rank(&state) <= rank(&text.state) && !matches!(state, State::Delivered { .. }) {
            return None;
        }
        text.state = state.clone();
        if state == State::Sent
            && !std::mem::replace(&mut text.tried, true)
            && let Some(journal) = &mut self.journal
        {
            journal.tried(id);
        }
        let settled = match &state {
            State::Failed(_) => true,
            State::Delivered { by, of } => by >= of,
            _ => false,
        };
        if settled {
            self.texts.remove(at);
        } else if state == State::Accepted && self.texts.len() - self.unsettled() > FOLLOWED {
            // Nobody may ever tell more of it.
            let oldest = self.texts.iter().position(|text| rank(&text.state) >= rank(&State::Accepted));
            oldest.and_then(|oldest| self.texts.remove(oldest));
        }
        if rank(&state) >= rank(&State::Accepted)
            && let Some(journal) = &mut self.journal
        {
            journal.settle(id);
        }
        Some(Event::State { id: id.clone(), state })
    }

    /// Forgets a text of which nothing more will be told.
    pub(super) fn settle(&mut self, id: &TextId) {
        self.texts.retain(|text| text.id != *id);
        if let Some(journal) = &mut self.journal {
            journal.settle(id);
        }
    }

    /// The connection broke: what was not confirmed goes out again with the next one, before what was never sent. Where
    /// `again` says no, it stays as it is.
    pub(super) fn requeue(&mut self, again: impl Fn(&Text) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        for text in &mut self.texts {
            if text.state == State::Sent && again(text) {
                text.state = State::Queued;
                events.push(Event::State { id: text.id.clone(), state: State::Queued });
            }
        }
        events
    }

    /// The connection broke: a text that the server had taken, and that nobody knows to have arrived, goes out again.
    pub(super) fn revive(&mut self, id: &TextId) -> Option<Event> {
        let text = self.texts.iter_mut().find(|text| text.id == *id && text.state == State::Accepted)?;
        text.state = State::Queued;
        Some(Event::State { id: id.clone(), state: State::Queued })
    }

    /// Texts of which nobody knows yet what became: neither accepted nor failed.
    pub(super) fn unsettled(&self) -> usize {
        self.texts.iter().filter(|text| rank(&text.state) < rank(&State::Accepted)).count()
    }

    /// Texts that are to be written, for the first time or again.
    pub(super) fn unsent(&self) -> usize {
        self.texts.iter().filter(|text| text.state == State::Queued).count()
    }

    /// Whether what is unsettled is there after a restart of the program.
    pub(super) fn is_kept(&self) -> bool {
        self.journal.is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Text> {
        self.texts.iter()
    }
}

fn rank(state: &State) -> u8 {
    match state {
        State::Queued => 0,
        State::Sent => 1,
        State::Accepted => 2,
        State::Delivered { .. } => 3,
        State::Failed(_) => 4,
    }
}

/// Texts that were accepted and may still be delivered, of which that is remembered.
const FOLLOWED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> TextId {
        TextId::new(id).unwrap()
    }

    fn texts(outbox: &Outbox) -> Vec<(&str, &State)> {
        outbox.iter().map(|text| (&*text.text, &text.state)).collect()
    }

    #[test]
    fn a_text_goes_forward_and_back_only_when_the_connection_broke() {
        let mut outbox = Outbox::new(2, None);
        outbox.push(id("1"), None, "a".into()).unwrap();
        outbox.push(id("2"), Some("bob".into()), "b".into()).unwrap();
        assert_eq!(outbox.push(id("3"), None, "c".into()), Err(Refused::Full(2)));
        assert_eq!(&*outbox.next().unwrap().text, "a");
        assert!(outbox.advance(&id("1"), State::Sent).is_some());
        assert_eq!(outbox.advance(&id("1"), State::Sent), None);
        assert_eq!(&*outbox.iter().find(|text| text.state == State::Sent).unwrap().text, "a");
        outbox.advance(&id("2"), State::Accepted);
        assert_eq!(outbox.unsettled(), 1);
        assert_eq!(outbox.requeue(|_| true), [Event::State { id: id("1"), state: State::Queued }]);
        assert_eq!(texts(&outbox), [("a", &State::Queued), ("b", &State::Accepted)]);
        assert_eq!(outbox.advance(&id("2"), State::Sent), None);
        // Deliveries are told each time, and the last settles it.
        for by in [1, 1, 2] {
            assert!(outbox.advance(&id("2"), State::Delivered { by, of: 2 }).is_some());
        }
        outbox.advance(&id("1"), State::Failed("no".into()));
        assert_eq!(texts(&outbox), []);
    }
}
