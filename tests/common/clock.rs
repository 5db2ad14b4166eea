//! The test's own clock.

use std::time::Duration;

/// Lets so much time pass on a clock that is paused, with all that falls due meanwhile. The wall's clock is no matter:
/// where it runs, this panics, since there one waits for what happens.
pub(crate) async fn passes(time: Duration) {
    tokio::time::advance(Duration::ZERO).await;
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}
