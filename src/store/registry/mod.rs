//! A registry's users: the trait, the rules that every backend shares, and the backends.

#[cfg(feature = "testing")]
pub(super) mod contract;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

pub use memory::MemoryRegistry;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteRegistry;

use super::StoreError;
use crate::address::{Address, Entry, Placement};
use crate::limits::MAX_RESERVATION;
use crate::message::Timestamp;
use crate::name::UserName;
use crate::secret::{Secret, SecretHash};

/// What a registry keeps of one user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    /// Where the user is.
    pub entry: Entry,
    /// Whose entry it is; `None`: anybody may change it.
    pub owner: Option<SecretHash>,
    /// How long it stands without being renewed; `None`: until it is deleted.
    pub lease: Option<Lease>,
}

/// A promise to renew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    /// Seconds from one renewal to the end.
    pub ttl: u32,
    /// When the entry disappears if it is not renewed before.
    pub expires: Timestamp,
}

impl Lease {
    /// A lease that starts now.
    #[must_use]
    pub fn starting(ttl: u32, now: Timestamp) -> Self {
        Self { ttl, expires: now.after(Duration::from_secs(ttl.into())) }
    }
}

impl Registration {
    /// Whether the entry stands at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.lease.is_none_or(|lease| now < lease.expires)
    }

    /// Whether the name is still kept for its owner although the entry is gone: one more ttl, at most an hour.
    #[must_use]
    pub fn is_reserved(&self, now: Timestamp) -> bool {
        self.owner.is_some() && !self.is_live(now) && self.end().is_some_and(|end| now < end)
    }

    /// When nothing is left of it, neither entry nor reservation.
    fn end(&self) -> Option<Timestamp> {
        let lease = self.lease?;
        let more = Duration::from_secs(lease.ttl.into()).min(MAX_RESERVATION);
        Some(if self.owner.is_some() { lease.expires.after(more) } else { lease.expires })
    }

    fn belongs_to(&self, secret: Option<&Secret>) -> bool {
        match (&self.owner, secret) {
            (Some(owner), Some(secret)) => *owner == secret.hash(),
            _ => false,
        }
    }
}

/// What a client wants to stand under a name.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Where the user is.
    pub placement: Placement,
    /// Who says so; owns the entry if this creates it.
    pub secret: Option<Secret>,
    /// Seconds until the entry disappears unless renewed; `None` keeps an existing lease.
    pub ttl: Option<u32>,
}

/// The users of a registry.
///
/// Every method is atomic: of two racing for one name exactly one wins, and owner checks happen inside. A method that
/// changes something returns when the change is as durable as the store ever makes it. `now` is the caller's clock,
/// which must not run backwards; a lease ends by that clock alone.
///
/// # Cancel safety
/// Dropping a call's future does not undo the call: a change that was handed over still happens.
#[async_trait]
pub trait RegistryStore: Debug + Send + Sync + 'static {
    /// Creates an entry, or renews it for the secret that owns it.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name stands or is reserved for somebody else; [`StoreError::Full`].
    async fn insert(&self, name: &UserName, claim: &Claim, now: Timestamp) -> Result<(), StoreError>;

    /// Creates, changes or renews an entry. On an open entry a secret claims nothing.
    ///
    /// # Errors
    /// [`StoreError::Forbidden`] when the name is owned or reserved by another secret; [`StoreError::Full`].
    async fn upsert(&self, name: &UserName, claim: &Claim, now: Timestamp) -> Result<(), StoreError>;

    /// Removes an entry; tells whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Forbidden`] when it is owned by another secret.
    async fn remove(&self, name: &UserName, secret: Option<&Secret>, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes an entry whoever owns it, if it still has that address; tells whether it did.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn evict(&self, name: &UserName, address: &Address, now: Timestamp) -> Result<bool, StoreError>;

    /// One user's record, if it is live.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn get(&self, name: &UserName, now: Timestamp) -> Result<Option<Registration>, StoreError>;

    /// All live records, sorted by name.
    ///
    /// # Errors
    /// Only what can befall any read.
    async fn list(&self, now: Timestamp) -> Result<Vec<(UserName, Registration)>, StoreError>;

    /// A number that changes before [`list`](Self::list) tells something else, but for leases that end by the clock:
    /// those who ask while it stays the same share one rendering of the list. `None` where that is not known: each has
    /// an own.
    fn version(&self) -> Option<u64> {
        None
    }

    /// Gives every lease one full ttl from now: called once by a registry that starts on stored entries.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn renew_all(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Forgets some of what has ended, on disk too, and tells how much; called now and then. A backend that forgets by
    /// itself need not do anything.
    ///
    /// # Errors
    /// Only what can befall any write.
    async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let _ = now;
        Ok(0)
    }
}
