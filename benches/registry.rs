//! A registry's put and get, by store.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use talk::address::Placement;
use talk::address::{Address, Entry, Protocol};
use talk::limits::Limits;
use talk::message::Timestamp;
use talk::name::UserName;
use talk::store::{Claim, MemoryRegistry, RegistryStore, SqliteRegistry};
use tokio::task::JoinSet;

const NOW: Timestamp = Timestamp::from_millis(0);
const WRITERS: usize = 64;

/// A claim that differs from the one before, so that a store on disk has something to write.
fn claim() -> Claim {
    static PORT: AtomicU16 = AtomicU16::new(1);
    let port = PORT.fetch_add(1, Ordering::Relaxed).max(1);
    let entry = Entry::plain(Address::loopback(Protocol::HTTP, port));
    Claim { placement: Placement::of(&entry), secret: None, ttl: Some(60) }
}

async fn put_together(store: &Arc<dyn RegistryStore>, names: &[UserName]) {
    let mut tasks = JoinSet::new();
    for name in names {
        let (name, store) = (name.clone(), store.clone());
        tasks.spawn(async move { store.upsert(&name, &claim(), NOW).await.unwrap() });
    }
    tasks.join_all().await;
}

fn stores(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let stores: [(&str, Arc<dyn RegistryStore>); 2] = [
        ("memory", Arc::new(MemoryRegistry::new(&limits))),
        ("sqlite", Arc::new(SqliteRegistry::open(dir.path(), &limits).unwrap())),
    ];
    let names: Vec<UserName> = (0..1000).map(|n| UserName::new(&format!("user-{n}")).unwrap()).collect();
    for (_, store) in &stores {
        for chunk in names.chunks(100) {
            runtime.block_on(put_together(store, chunk));
        }
    }

    let mut group = criterion.benchmark_group("registry");
    for (kind, store) in &stores {
        group.bench_function(BenchmarkId::new("get", kind), |bencher| {
            bencher.to_async(&runtime).iter(|| store.get(&names[500], NOW));
        });
        group.bench_function(BenchmarkId::new("put", kind), |bencher| {
            bencher.to_async(&runtime).iter(|| async { store.upsert(&names[500], &claim(), NOW).await });
        });
        group.bench_function(BenchmarkId::new("list-1000", kind), |bencher| {
            bencher.to_async(&runtime).iter(|| store.list(NOW));
        });
        group.throughput(Throughput::Elements(WRITERS as u64));
        group.bench_function(BenchmarkId::new("put-64-writers", kind), |bencher| {
            bencher.to_async(&runtime).iter(|| put_together(store, &names[..WRITERS]));
        });
        group.throughput(Throughput::Elements(1));
    }
    group.finish();
}

criterion_group!(benches, stores);
criterion_main!(benches);
