//! What a server keeps, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::config::Config;
use crate::hub::{Builder, Hub};
use crate::store::{
    AccountStore, HistoryStore, MemoryAccounts, MemoryHistory, MemoryRegistry, MemoryRules, RegistryStore, RuleStore,
    SqliteAccounts, SqliteHistory, SqliteLoad, SqliteRegistry, SqliteRules, StoreError,
};

/// The stores of one server. Dropping the last handle on one blocks until what was handed to it is written.
pub(super) struct Stores {
    pub(super) registry: Arc<dyn RegistryStore>,
    pub(super) accounts: Arc<dyn AccountStore>,
    pub(super) history: Arc<dyn HistoryStore>,
    pub(super) rules: Arc<dyn RuleStore>,
    /// How the writing of each goes that writes to a disk.
    loads: Vec<(&'static str, Load)>,
}

type Load = Box<dyn Fn() -> SqliteLoad + Send + Sync>;

impl Stores {
    /// Opens or makes them. It blocks while everything on disk is read and checked.
    pub(super) fn open(dir: Option<&Path>, config: &Config) -> Result<Self, StoreError> {
        let limits = &config.limits;
        let Some(dir) = dir else {
            return Ok(Self {
                registry: Arc::new(MemoryRegistry::new(limits)),
                accounts: Arc::new(MemoryAccounts::new(limits)),
                history: Arc::new(MemoryHistory::new(limits)),
                rules: Arc::new(MemoryRules::new(limits)),
                loads: Vec::new(),
            });
        };
        let registry = Arc::new(SqliteRegistry::open(dir, limits)?);
        let accounts = Arc::new(SqliteAccounts::open(dir, limits)?);
        let history = Arc::new(SqliteHistory::open(dir, config.durability, limits)?);
        let rules = Arc::new(SqliteRules::open(dir, limits)?);
        let (r, a, h, u) = (registry.clone(), accounts.clone(), history.clone(), rules.clone());
        let loads: Vec<(_, Load)> = vec![
            ("registry", Box::new(move || r.load())),
            ("accounts", Box::new(move || a.load())),
            ("history", Box::new(move || h.load())),
            ("rules", Box::new(move || u.load())),
        ];
        Ok(Self { registry, accounts, history, rules, loads })
    }

    /// The hub over them, of what `builder` has besides.
    pub(super) async fn hub(&self, config: &Config, builder: Builder) -> Result<Hub, StoreError> {
        let hub = builder.limits(config.limits.clone());
        let hub = hub.accounts(self.accounts.clone()).history(self.history.clone()).rules(self.rules.clone());
        hub.admins(config.admins.iter().cloned()).retention(config.retention).build().await
    }

    /// How the writing of each store goes that writes to a disk.
    pub(super) fn loads(&self) -> impl Iterator<Item = (&'static str, SqliteLoad)> {
        self.loads.iter().map(|(store, load)| (*store, load()))
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registry, accounts, history, rules, loads: _ } = self;
        f.debug_struct("Stores")
            .field("registry", registry)
            .field("accounts", accounts)
            .field("history", history)
            .field("rules", rules)
            .finish()
    }
}
