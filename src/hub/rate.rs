//! A token bucket on the caller's clock.

use std::time::Duration;

use crate::limits::Limits;

/// How many commands a session may send: so many per second on average, and a burst at once.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    per_second: u32,
    burst: u32,
    /// The moment, on the caller's clock, from which on the bucket would be full.
    full_at: Duration,
}

impl Rate {
    /// A full bucket. [`Limits::commands_per_second`] of 0 lets everything pass.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self::of(limits.commands_per_second, limits.commands_burst.max(1))
    }

    /// A full bucket of something else.
    pub(super) fn of(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst, full_at: Duration::ZERO }
    }

    /// So many times as much, on average and at once.
    #[must_use]
    pub fn times(mut self, factor: u32) -> Self {
        (self.per_second, self.burst) = (self.per_second.saturating_mul(factor), self.burst.saturating_mul(factor));
        self
    }

    /// How long after `now` one more may pass; see [`Rate::allow`].
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        if self.per_second == 0 {
            return Duration::ZERO;
        }
        let one = Duration::from_secs(1) / self.per_second;
        (self.full_at.max(now) + one).saturating_sub(now + one * self.burst)
    }

    /// Whether as many may pass at `now` as ever at once.
    #[cfg(feature = "net")]
    pub(crate) fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }

    /// Whether one more may pass at `now`, which is a time since any fixed moment and does not run backwards.
    pub fn allow(&mut self, now: Duration) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let one = Duration::from_secs(1) / self.per_second;
        let full_at = self.full_at.max(now) + one;
        if full_at > now + one * self.burst {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let mut limits = Limits::default();
        (limits.commands_per_second, limits.commands_burst) = (per_second, burst);
        Rate::new(&limits)
    }

    #[test]
    fn a_burst_passes_and_then_so_many_per_second() {
        let mut rate = rate(20, 60);
        let at = |ms| Duration::from_millis(ms);
        assert_eq!((0..100).filter(|_| rate.allow(at(0))).count(), 60);
        assert!(!rate.allow(at(49)));
        assert!(rate.allow(at(50)) && !rate.allow(at(50)));
        assert_eq!((0..100).filter(|_| rate.allow(at(1050))).count(), 20);
        assert_eq!((0..100).filter(|_| rate.allow(at(100_000))).count(), 60);
    }

    #[test]
    fn whoever_waits_as_long_as_told_may_pass() {
        let mut rate = rate(20, 60);
        assert_eq!(rate.wait(Duration::ZERO), Duration::ZERO);
        while rate.allow(Duration::ZERO) {}
        let wait = rate.wait(Duration::from_millis(10));
        assert_eq!(wait, Duration::from_millis(40));
        assert!(!rate.allow(Duration::from_millis(49)) && rate.allow(Duration::from_millis(10) + wait));
    }

    #[test]
    fn zero_switches_it_off() {
        let mut rate = rate(0, 0);
        assert!((0..1000).all(|_| rate.allow(Duration::ZERO)));
        assert_eq!(rate.wait(Duration::ZERO), Duration::ZERO);
    }
}
