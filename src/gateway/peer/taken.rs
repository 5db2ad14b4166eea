//! How far a peer's program is known to have taken what was sent to it.

use std::time::Duration;

use tokio::time::Instant;

/// What may be told of one order of messages. Told is always "everything up to", so behind one that is not known to have
/// been taken nothing is told until its author has stopped asking.
#[derive(Debug, Default)]
pub(super) struct Taken {
    doubtful_until: Option<Instant>,
    untold: Option<u64>,
}

impl Taken {
    /// The peer's program has it.
    pub(super) fn delivered(&mut self, seq: u64) {
        self.untold = self.untold.max(Some(seq));
    }

    /// Nobody knows, or it is known not to.
    pub(super) fn doubtful(&mut self, now: Instant) {
        self.doubtful_until = Some(now + FOLLOWED);
    }

    /// When there is something to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        self.untold.and(self.doubtful_until)
    }

    /// What is to be told now.
    pub(super) fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.doubtful_until.is_some_and(|until| now < until) {
            return None;
        }
        self.doubtful_until = None;
        self.untold.take()
    }
}

/// For how long the author of a message hears how far it came.
const FOLLOWED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_told_once_up_to_the_last() {
        let (mut taken, now) = (Taken::default(), Instant::now());
        assert_eq!(taken.tell(now), None);
        taken.delivered(3);
        taken.delivered(4);
        assert_eq!((taken.due(), taken.tell(now), taken.tell(now)), (None, Some(4), None));
    }

    #[test]
    fn a_doubt_holds_back_what_would_cover_it() {
        let (mut taken, now) = (Taken::default(), Instant::now());
        taken.delivered(1);
        assert_eq!(taken.tell(now), Some(1));
        taken.doubtful(now);
        taken.delivered(3);
        assert_eq!(taken.tell(now + FOLLOWED / 2), None);
        let due = taken.due().unwrap();
        assert_eq!((due, taken.tell(due)), (now + FOLLOWED, Some(3)));
        taken.delivered(4);
        assert_eq!(taken.tell(due), Some(4));
    }
}
