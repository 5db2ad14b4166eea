//! How long things took, counted so that it can be asked for at any time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations in buckets that never change. Recording is one look for the bucket and two additions, without a lock.
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    /// Nanoseconds of all together; wraps after 584 years of them.
    sum: AtomicU64,
}

/// What a [`Histogram`] held at one moment, give or take what was recorded just then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Durations {
    /// How many fell into each bucket: up to the bound of the same place in [`Durations::BOUNDS`], and over the one
    /// before. The last bucket holds what is over all bounds.
    pub counts: [u64; BUCKETS],
    /// All of them together.
    pub sum: Duration,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }

    /// Takes one duration.
    pub fn record(&self, duration: Duration) {
        self.record_many(1, duration);
    }

    /// Takes a duration that so many things had in common.
    pub fn record_many(&self, count: u64, duration: Duration) {
        if count == 0 {
            return;
        }
        let bucket = Durations::BOUNDS.iter().position(|bound| duration <= *bound).unwrap_or(BUCKETS - 1);
        self.counts[bucket].fetch_add(count, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum.fetch_add(nanos.saturating_mul(count), Ordering::Relaxed);
    }

    /// What it holds.
    #[must_use]
    pub fn snapshot(&self) -> Durations {
        Durations {
            counts: std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl Durations {
    /// The upper bounds of all buckets but the last: from what memory takes to what a sick disk does.
    pub const BOUNDS: [Duration; BUCKETS - 1] = [
        Duration::from_micros(10),
        Duration::from_micros(25),
        Duration::from_micros(50),
        Duration::from_micros(100),
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_millis(2500),
        Duration::from_secs(10),
    ];

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// How many buckets a [`Histogram`] has.
pub const BUCKETS: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_that_its_bound_closes() {
        let histogram = Histogram::new();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_micros(10));
        histogram.record(Duration::from_nanos(10_001));
        histogram.record_many(3, Duration::from_secs(10));
        histogram.record_many(2, Duration::from_secs(11));
        histogram.record_many(0, Duration::from_secs(11));
        let held = histogram.snapshot();
        assert_eq!(held.counts[..3], [2, 1, 0]);
        assert_eq!(held.counts[BUCKETS - 2..], [3, 2]);
        assert_eq!(held.count(), 8);
        assert_eq!(held.sum, Duration::from_secs(52) + Duration::from_nanos(20_001));
    }

    #[test]
    fn the_bounds_rise() {
        assert!(Durations::BOUNDS.is_sorted_by(|one, two| one < two));
    }
}
