//! Every store passes the public contract suite.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used)]

use talk::store::{MemoryAccounts, MemoryHistory, MemoryRegistry, MemoryRules};
use talk::testing::store::{account_contract, history_contract, registry_contract, rule_contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_registry_holds_the_contract() {
    registry_contract(|limits| async move { MemoryRegistry::new(&limits) }).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sqlite_registry_holds_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    registry_contract(|limits| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = dir.path().join(number.to_string());
        async move { talk::store::SqliteRegistry::open(&dir, &limits).unwrap() }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_history_holds_the_contract() {
    history_contract(|limits| async move { MemoryHistory::new(&limits) }).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sqlite_history_holds_the_contract_with_either_durability() {
    use talk::store::{Durability, SqliteHistory};

    for durability in [Durability::Fsync, Durability::Os] {
        let dir = tempfile::tempdir().unwrap();
        let count = std::sync::atomic::AtomicUsize::new(0);
        history_contract(|limits| {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let dir = dir.path().join(number.to_string());
            async move { SqliteHistory::open(&dir, durability, &limits).unwrap() }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_accounts_hold_the_contract() {
    account_contract(|limits| async move { MemoryAccounts::new(&limits) }).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sqlite_accounts_hold_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    account_contract(|limits| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = dir.path().join(number.to_string());
        async move { talk::store::SqliteAccounts::open(&dir, &limits).unwrap() }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_rules_hold_the_contract() {
    rule_contract(|limits| async move { MemoryRules::new(&limits) }).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sqlite_rules_hold_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    rule_contract(|limits| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = dir.path().join(number.to_string());
        async move { talk::store::SqliteRules::open(&dir, &limits).unwrap() }
    })
    .await;
}
