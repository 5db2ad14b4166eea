//! The way to the oldest message: what is kept is loaded piece by piece, until there is no more or another key is pressed.

use super::view::View;
use super::window::Key;

/// Where it goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Climb {
    window: Key,
    /// The oldest place that was there before the piece that is to come.
    from: Option<u64>,
}

impl View {
    /// Goes to the oldest message that is here, and loads what is older; true, as that is something else to see.
    pub(super) fn begin_climb(&mut self) -> bool {
        self.step_up();
        true
    }

    /// A piece of what is older came into this window.
    pub(super) fn climb_on(&mut self, at: usize) {
        let Some(climb) = self.climb.take() else { return };
        let window = self.window();
        // What is held at most may push out what just came, for ever.
        let older = match (window.oldest(), climb.from) {
            (Some(oldest), Some(from)) => oldest < from,
            (oldest, None) => oldest.is_some(),
            (None, Some(_)) => false,
        };
        let (here, goes_on) = (window.key == climb.window, older || window.complete);
        if here && self.current != at {
            self.climb = Some(climb);
        } else if here && goes_on {
            self.step_up();
        }
    }

    fn step_up(&mut self) {
        let window = self.window();
        let climb = Climb { window: window.key.clone(), from: window.oldest() };
        self.climb = Some(climb);
        self.scroll_to_top();
        self.ask_older();
        if self.window().coming == 0 {
            self.climb = None;
        }
    }
}

/// Messages that are asked for at once: servers let nobody ask very often.
pub(super) const STEP: usize = 500;
