//! Passwords, off the async threads and a few at a time.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::secret::{Password, PasswordHash};
use crate::store::StoreError;

/// Computes password hashes. Whoever finds it busy waits in their own task, a bounded number of them.
#[derive(Debug)]
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    /// Places for those who wait.
    waiting: Semaphore,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: Semaphore::new(MOST_WAITING) }
    }

    pub(super) async fn hash(&self, password: &Password) -> Result<PasswordHash, StoreError> {
        let password = password.clone();
        self.run(move || password.hash()).await
    }

    pub(super) async fn check(&self, password: &Password, hash: PasswordHash) -> Result<bool, StoreError> {
        let password = password.clone();
        self.run(move || password.is(&hash)).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
        let broken =
            |why: &dyn std::fmt::Display| StoreError::Unavailable(format!("a password was not checked: {why}"));
        let _place = self.waiting.try_acquire().map_err(|_| broken(&"too many wait for that"))?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|e| broken(&e))?;
        // The permit goes along: a caller that goes away does not make the work cheaper.
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| broken(&e))
    }
}

/// Hashes computed at the same time, of 19 MiB each.
const AT_ONCE: usize = 2;
/// Hashes that are asked for at the same time; one more is refused.
const MOST_WAITING: usize = 64;
