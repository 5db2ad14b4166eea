//! What a hub counts: added to per turn and per session, never per delivery.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::measure::{Durations, Histogram};
use crate::message::{Closing, Refusal};

/// Counts since the hub was made. They only rise.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: Histogram,
    /// By [`Refusal::code`], of which there are few.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    opened: AtomicU64,
    cuts: [AtomicU64; Cut::ALL.len()],
}

/// Why the server ended a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Cut {
    /// It asked to.
    Exit,
    /// The server stops.
    Stopping,
    /// It did not take what was said to it.
    TooSlow,
    /// It sent more than the rate allows.
    TooFast,
    /// Its sign-in was revoked.
    Revoked,
    /// It broke the rules of its wire.
    Protocol,
    /// It did not answer any more.
    Silent,
}

/// What a hub had counted at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counted {
    /// Messages accepted, by how long each took from the hub's door to its place on every member's way out.
    pub accepted: Durations,
    /// Commands refused, by [`Refusal::code`].
    pub refused: Vec<(&'static str, u64)>,
    /// Sessions opened.
    pub opened: u64,
    /// Sessions that the server ended, by reason; every reason is there.
    pub cuts: Vec<(Cut, u64)>,
}

/// What there is in a hub at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Gauges {
    /// Users, with a session or waiting for one.
    pub users: usize,
    /// Sessions.
    pub sessions: usize,
    /// Rooms in which somebody is.
    pub rooms: usize,
    /// Bytes that wait for all sessions together.
    pub queued_bytes: usize,
    /// Bytes that wait for the session for which most wait.
    pub queued_bytes_max: usize,
    /// Messages that wait for all sessions together.
    pub queued_messages: usize,
}

impl Counters {
    /// So many messages were accepted, the oldest of which waited for `latency`.
    pub(crate) fn accepted(&self, count: u64, latency: Duration) {
        self.accepted.record_many(count, latency);
    }

    /// A command was refused.
    pub(crate) fn refused(&self, why: &Refusal) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(why.code()).or_default() += 1;
    }

    /// A session was opened.
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// The server ended a session.
    pub(crate) fn cut(&self, why: impl Into<Cut>) {
        self.cuts[why.into() as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted up to now.
    #[must_use]
    pub fn snapshot(&self) -> Counted {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        Counted {
            accepted: self.accepted.snapshot(),
            refused: refused.iter().map(|(code, count)| (*code, *count)).collect(),
            opened: self.opened.load(Ordering::Relaxed),
            cuts: Cut::ALL.into_iter().map(|cut| (cut, self.cuts[cut as usize].load(Ordering::Relaxed))).collect(),
        }
    }
}

impl Cut {
    /// All reasons, each at its own number.
    const ALL: [Self; 7] =
        [Self::Exit, Self::Stopping, Self::TooSlow, Self::TooFast, Self::Revoked, Self::Protocol, Self::Silent];

    /// A stable word for the reason.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Stopping => "stopping",
            Self::TooSlow => "too_slow",
            Self::TooFast => "too_fast",
            Self::Revoked => "revoked",
            Self::Protocol => "protocol",
            Self::Silent => "silent",
        }
    }
}

impl From<Closing> for Cut {
    fn from(why: Closing) -> Self {
        match why {
            Closing::Exit => Self::Exit,
            Closing::Stopping => Self::Stopping,
            Closing::TooSlow => Self::TooSlow,
            Closing::TooFast => Self::TooFast,
            Closing::Revoked => Self::Revoked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_by_itself() {
        for (number, cut) in Cut::ALL.into_iter().enumerate() {
            assert_eq!(cut as usize, number);
            let counters = Counters::default();
            counters.cut(cut);
            counters.cut(cut);
            let counted = counters.snapshot().cuts;
            assert_eq!(counted.len(), Cut::ALL.len());
            assert!(counted.iter().all(|(other, count)| *count == if *other == cut { 2 } else { 0 }), "{counted:?}");
        }
        let counters = Counters::default();
        counters.cut(Closing::TooSlow);
        assert!(counters.snapshot().cuts.contains(&(Cut::TooSlow, 1)));
    }

    #[test]
    fn messages_and_refusals_are_counted() {
        let counters = Counters::default();
        counters.accepted(3, Duration::from_micros(20));
        counters.accepted(0, Duration::from_secs(9));
        counters.refused(&Refusal::Full);
        counters.refused(&Refusal::InNoRoom);
        counters.refused(&Refusal::NotInRoom("x".into()));
        counters.opened();
        let counted = counters.snapshot();
        assert_eq!((counted.accepted.count(), counted.accepted.counts[1], counted.opened), (3, 3, 1));
        assert_eq!(counted.refused, [("full", 1), ("not_in_room", 2)]);
    }
}
