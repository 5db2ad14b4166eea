//! What became of one's own texts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{State, TextId};

/// The last texts of this run, and how far each came.
#[derive(Debug, Default)]
pub(super) struct Own {
    texts: VecDeque<Text>,
}

#[derive(Debug)]
pub(super) struct Text {
    id: TextId,
    pub(super) text: Arc<str>,
    pub(super) state: Option<State>,
    /// It was written to a connection, perhaps to one that broke.
    sent: bool,
    /// Its state is shown then, if it stays so long.
    due: Option<Instant>,
}

impl Own {
    pub(super) fn add(&mut self, id: TextId, text: Arc<str>) {
        if self.texts.len() >= MOST {
            self.texts.pop_front();
        }
        self.texts.push_back(Text { id, text, state: None, sent: false, due: None });
    }

    /// Whether this run knows the text.
    pub(super) fn knows(&self, id: &TextId) -> bool {
        self.texts.iter().any(|text| text.id == *id)
    }

    /// Notes how far a text came. States that follow each other fast are shown as the last of them.
    pub(super) fn advance(&mut self, id: &TextId, state: &State, now: Instant) {
        let Some(text) = self.texts.iter_mut().find(|text| text.id == *id) else { return };
        text.state = Some(state.clone());
        text.sent |= matches!(state, State::Sent);
        let last = match state {
            State::Failed(_) => true,
            State::Delivered { by, of } => by >= of,
            _ => false,
        };
        text.due = Some(if last { now } else { now + SETTLES });
    }

    /// When something is to be shown.
    pub(super) fn due(&self) -> Option<Instant> {
        self.texts.iter().filter_map(|text| text.due).min()
    }

    /// What is to be shown now; at the end, everything.
    pub(super) fn take(&mut self, now: Option<Instant>) -> Vec<(Arc<str>, State)> {
        let due = |text: &&mut Text| text.due.is_some_and(|due| now.is_none_or(|now| due <= now));
        let taken = self.texts.iter_mut().filter(due).filter_map(|text| {
            text.due = None;
            Some((text.text.clone(), text.state.clone()?))
        });
        taken.collect()
    }

    /// The last few texts.
    pub(super) fn last(&self) -> impl Iterator<Item = &Text> {
        self.texts.range(self.texts.len().saturating_sub(SHOWN)..)
    }

    /// Texts of which nobody knows yet what became. `sent`: what was sent is known.
    pub(super) fn unsettled(&self, sent: bool) -> usize {
        let open = |text: &&Text| match text.state {
            None | Some(State::Queued) => true,
            Some(State::Sent) => !sent,
            _ => false,
        };
        self.texts.iter().filter(open).count()
    }

    /// Texts that wait here and never were on a connection.
    pub(super) fn unsent(&self) -> usize {
        let waits = |text: &&Text| !text.sent && matches!(text.state, None | Some(State::Queued));
        self.texts.iter().filter(waits).count()
    }
}

/// Texts that are remembered: as many as a client takes while it cannot send.
const MOST: usize = 1024;
/// Texts that `:status` shows.
const SHOWN: usize = 10;
/// How long a state must stay to be shown.
const SETTLES: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_pass_fast_are_shown_as_the_last_of_them() {
        let (mut own, now) = (Own::default(), Instant::now());
        let (one, two) = (TextId::random(), TextId::random());
        own.add(one.clone(), "one".into());
        own.add(two.clone(), "two".into());
        assert_eq!((own.due(), own.unsettled(false)), (None, 2));
        for state in [State::Queued, State::Sent, State::Accepted] {
            own.advance(&one, &state, now);
        }
        assert_eq!((own.take(Some(now)), own.unsettled(false)), (vec![], 1));
        own.advance(&two, &State::Failed("no".into()), now);
        assert_eq!(own.take(Some(now)), [("two".into(), State::Failed("no".into()))]);
        let later = own.due().unwrap();
        assert_eq!(own.take(Some(later)), [("one".into(), State::Accepted)]);
        own.advance(&one, &State::Delivered { by: 1, of: 2 }, later);
        assert_eq!(own.take(None), [("one".into(), State::Delivered { by: 1, of: 2 })]);
        own.advance(&one, &State::Delivered { by: 2, of: 2 }, later);
        assert_eq!(own.take(Some(later)).len(), 1);
        own.advance(&TextId::random(), &State::Accepted, later);
        assert_eq!((own.due(), own.knows(&one), own.last().count()), (None, true, 2));
    }

    #[test]
    fn what_was_never_sent_is_told_from_what_may_have_arrived() {
        let (mut own, now) = (Own::default(), Instant::now());
        let ids: [TextId; 3] = std::array::from_fn(|_| TextId::random());
        for id in &ids {
            own.add(id.clone(), "text".into());
            own.advance(id, &State::Queued, now);
        }
        own.advance(&ids[1], &State::Sent, now);
        own.advance(&ids[2], &State::Sent, now);
        // The connection broke, and it waits again.
        own.advance(&ids[2], &State::Queued, now);
        assert_eq!((own.unsettled(false), own.unsent()), (3, 1));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut own = Own::default();
        for n in 0..2000 {
            own.add(TextId::random(), n.to_string().into());
        }
        assert_eq!((own.texts.len(), own.last().count()), (1024, 10));
    }
}
