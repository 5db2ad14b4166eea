//! The clock that a registry's leases run by.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::message::Timestamp;

/// The wall clock at its making, and the monotonic one from there on: a clock that is set does not end leases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Timestamp,
    since: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Timestamp::default().after(wall), since: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.start.after(self.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_runs_with_the_runtimes_clock() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.now(), before.after(Duration::from_secs(60)));
    }
}
