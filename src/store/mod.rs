//! Where things are kept: a registry's users, a room server's users, what was said in its rooms, and which rules hold
//! there. Each has a trait, a backend in memory and one in SQLite, and one contract suite that both pass.

mod accounts;
#[cfg(feature = "sqlite")]
mod backup;
#[cfg(feature = "net")]
mod clock;
#[cfg(feature = "testing")]
pub mod contract;
mod history;
mod registry;
mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;

use thiserror::Error;

pub use accounts::{AccountStore, Issued, MemoryAccounts, RESERVED, Session, SessionId, TOKEN, UNUSED, User};
pub use history::{Durability, Finds, HistoryStore, Known, MAX_PAGE, MemoryHistory, Page, Query, Retention};
pub(crate) use history::{digest, id_key};
pub use registry::{Claim, Lease, MemoryRegistry, Registration, RegistryStore};
pub use rules::{Ban, MemoryRules, Mute, RoomRules, RuleStore, UserRules};

#[cfg(feature = "sqlite")]
pub use accounts::SqliteAccounts;
#[cfg(all(feature = "sqlite", feature = "terminal"))]
pub(crate) use accounts::user_named;
#[cfg(all(feature = "sqlite", feature = "terminal"))]
pub(crate) use backup::is_kept;
#[cfg(feature = "sqlite")]
pub use backup::{BackupError, backup};
#[cfg(feature = "net")]
pub(crate) use clock::Clock;
#[cfg(feature = "sqlite")]
pub use history::{ExchangeError, Exported, Imported, SqliteHistory, export_history, import_history};
#[cfg(feature = "sqlite")]
pub use registry::SqliteRegistry;
#[cfg(feature = "sqlite")]
pub use rules::SqliteRules;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteLoad, SqliteSettings};

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The name is taken, or reserved for somebody else: choose another.
    #[error("this name is taken")]
    Taken,
    /// The entry has an owner, and the secret is not theirs; or the secret of an account is wrong.
    #[error("this entry belongs to somebody else")]
    Forbidden,
    /// There is no such user or session (any more).
    #[error("there is no such user")]
    Unknown,
    /// The records do not follow what the room holds: somebody else has appended, or the caller lost count.
    #[error("the records do not follow: {0}")]
    Order(String),
    /// No room for more, or no space on the disk: reads go on, try again when there is.
    #[error("the store is full: {0}")]
    Full(String),
    /// The directory is used by another process.
    #[error("the data directory is in use by another process; stop that one, or name another directory")]
    Locked,
    /// The data on disk is damaged; restore it from a copy.
    #[error("the data is damaged: {0}; restore the directory from a copy, or move it away to begin anew")]
    Damaged(String),
    /// The store is closed, or the disk failed.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

impl StoreError {
    /// A stable word for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Forbidden => "forbidden",
            Self::Unknown => "unknown",
            Self::Order(_) => "order",
            Self::Full(_) => "full",
            Self::Locked => "locked",
            Self::Damaged(_) => "damaged",
            Self::Unavailable(_) => "unavailable",
        }
    }
}
