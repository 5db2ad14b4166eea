//! A room server's users in memory: gone with the process.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::front::account_store;
use super::slow::Passwords;
use super::table::{Batch, Change, Done, Proof, Table};
use super::{AccountStore, Issued, Session, SessionId, User};
use crate::limits::Limits;
use crate::message::{Timestamp, UserId};
use crate::name::Nickname;
use crate::secret::{Password, SecretHash};
use crate::store::StoreError;

/// Users in memory: accounts among them are gone with the process, too.
#[derive(Debug)]
pub struct MemoryAccounts {
    table: Mutex<Table>,
    passwords: Passwords,
}

impl MemoryAccounts {
    /// An empty store that holds [`Limits::users`] users.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { table: Mutex::new(Table::new(limits)), passwords: Passwords::new() }
    }

    // Async as the other backend's: `account_store` awaits it.
    async fn change(&self, change: Change, now: Timestamp) -> Result<Done, StoreError> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Batch::default();
        let done = table.plan(&mut batch, &change, now)?;
        table.apply(batch);
        Ok(done)
    }

    async fn look<T>(&self, _: Timestamp, look: impl FnOnce(&Table) -> T) -> Result<T, StoreError> {
        Ok(look(&self.table.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Default for MemoryAccounts {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

account_store!(MemoryAccounts);
