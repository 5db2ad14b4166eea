//! A registry's users in memory: gone with the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::table::{Batch, Change, SWEEP, Table};
use super::{Claim, Registration, RegistryStore, StoreError};
use crate::address::Address;
use crate::limits::Limits;
use crate::message::Timestamp;
use crate::name::UserName;
use crate::secret::Secret;

/// Users in memory: as fast as a map, and gone with the process.
#[derive(Debug)]
pub struct MemoryRegistry {
    table: Mutex<Table>,
}

impl MemoryRegistry {
    /// An empty registry that holds [`Limits::users`] users.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { table: Mutex::new(Table::new(limits.users)) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: &Change, now: Timestamp) -> Result<bool, StoreError> {
        let mut table = self.table();
        let mut batch = Batch::default();
        table.plan_sweep(&mut batch, now, SWEEP);
        let result = table.plan(&mut batch, change, now);
        table.apply(batch);
        result
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

#[async_trait]
impl RegistryStore for MemoryRegistry {
    async fn insert(&self, name: &UserName, claim: &Claim, now: Timestamp) -> Result<(), StoreError> {
        let change = Change::Insert(name.clone(), claim.clone());
        self.change(&change, now).map(drop)
    }

    async fn upsert(&self, name: &UserName, claim: &Claim, now: Timestamp) -> Result<(), StoreError> {
        let change = Change::Upsert(name.clone(), claim.clone());
        self.change(&change, now).map(drop)
    }

    async fn remove(&self, name: &UserName, secret: Option<&Secret>, now: Timestamp) -> Result<bool, StoreError> {
        let change = Change::Remove(name.clone(), secret.cloned());
        self.change(&change, now)
    }

    async fn evict(&self, name: &UserName, address: &Address, now: Timestamp) -> Result<bool, StoreError> {
        let change = Change::Evict(name.clone(), address.clone());
        self.change(&change, now)
    }

    async fn get(&self, name: &UserName, now: Timestamp) -> Result<Option<Registration>, StoreError> {
        Ok(self.table().get(name, now))
    }

    async fn list(&self, now: Timestamp) -> Result<Vec<(UserName, Registration)>, StoreError> {
        Ok(self.table().list(now))
    }

    fn version(&self) -> Option<u64> {
        Some(self.table().version())
    }

    async fn renew_all(&self, now: Timestamp) -> Result<(), StoreError> {
        self.table().renew_all(now);
        Ok(())
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut table = self.table();
        let mut batch = Batch::default();
        let swept = table.plan_sweep(&mut batch, now, usize::MAX);
        table.apply(batch);
        Ok(swept)
    }
}
