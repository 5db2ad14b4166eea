//! Pauses between tries, which grow.

use std::time::Duration;

/// Doubles from the first to the longest, each pause a random part longer or shorter, so that the clients of a server
/// that was restarted do not come back in one instant.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, tries: 0 }
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.first.saturating_mul(1 << self.tries.min(16)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        let mut byte = [0];
        // Without randomness the pause is as it is.
        let spread = if getrandom::fill(&mut byte).is_ok() { u32::from(byte[0]) } else { 128 };
        // From three quarters to five quarters.
        pause * (384 + spread) / 512
    }

    /// It worked: the next pause is short again.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        for expected in [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let pause = backoff.next().as_millis();
            assert!(pause >= expected * 3 / 4 && pause < expected * 5 / 4, "{pause} for {expected}");
        }
        backoff.reset();
        assert!(backoff.next() < Duration::from_millis(313));
        backoff.tries = u32::MAX;
        assert!(backoff.next() >= Duration::from_secs(30) * 3 / 4);
    }
}
