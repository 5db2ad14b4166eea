//! Every store passes the public contract suite.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used)]

use talk::store::MemoryRegistry;
use talk::store::contract::registry_contract;

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
