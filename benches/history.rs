//! What an append costs, by durability and by how many send at the same time; beside raw SQLite in batches of 64, which
//! is as fast as the disk and the file format allow. At the end it prints the ratio of the two.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "the ratio is the result")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rusqlite::{Connection, params};
use talk::limits::Limits;
use talk::message::{MessageId, Record, RoomKey, Timestamp, UserId};
use talk::name::RoomName;
use talk::store::{Durability, HistoryStore, MemoryHistory, SqliteHistory};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const SENDERS: usize = 64;
const BODY: usize = 100;

/// What somebody says in a room of their own.
struct Sender {
    next: Record,
}

impl Sender {
    fn new(number: usize) -> Self {
        let room = RoomKey::Room(RoomName::new(&format!("room-{number}")).unwrap());
        let body = "x".repeat(BODY).into();
        let at = Timestamp::from_millis(0);
        let user = UserId::random();
        Self { next: Record { room, seq: 1, prev: 0, at, user, from: "alice".into(), id: None, body } }
    }

    async fn send(&mut self, store: &dyn HistoryStore) {
        self.next.id = Some(MessageId::random());
        self.next.at = self.next.at.after(Duration::from_millis(10));
        store.append(std::slice::from_ref(&self.next)).await.unwrap();
        self.next.prev = self.next.seq;
        self.next.seq += 1;
    }
}

/// Each sender sends `each` messages, one after the other.
async fn send(store: &Arc<dyn HistoryStore>, senders: Vec<Sender>, each: u64) -> Vec<Sender> {
    let mut tasks = JoinSet::new();
    for mut sender in senders {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..each {
                sender.send(&*store).await;
            }
            sender
        });
    }
    tasks.join_all().await
}

/// The same records in a table of the same columns, by a loop that does nothing else.
struct Raw {
    connection: Connection,
    senders: Vec<Sender>,
}

impl Raw {
    fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |r| r.get(0)).unwrap();
        assert_eq!(mode, "wal");
        connection.pragma_update(None, "synchronous", "FULL").unwrap();
        let schema = "CREATE TABLE records (room TEXT NOT NULL, seq INTEGER NOT NULL, prev INTEGER NOT NULL,
            at INTEGER NOT NULL, user BLOB NOT NULL, name TEXT NOT NULL, client TEXT, body TEXT NOT NULL,
            UNIQUE (room, seq)) STRICT";
        connection.execute_batch(schema).unwrap();
        Self { connection, senders: (0..SENDERS).map(Sender::new).collect() }
    }

    fn batch(&mut self) {
        let transaction = self.connection.transaction().unwrap();
        {
            let insert = "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let mut insert = transaction.prepare_cached(insert).unwrap();
            for Sender { next } in &mut self.senders {
                let (seq, prev) = (next.seq.cast_signed(), next.prev.cast_signed());
                let (room, at) = (next.room.to_string(), next.at.as_millis().cast_signed());
                let id = MessageId::random();
                let (user, from) = (next.user.as_bytes(), &*next.from);
                insert.execute(params![room, seq, prev, at, user, from, id.as_str(), &*next.body]).unwrap();
                next.prev = next.seq;
                next.seq += 1;
            }
        }
        transaction.commit().unwrap();
    }
}

fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("history");
    for kind in ["memory", "os", "fsync"] {
        for count in [1, SENDERS] {
            let dir = tempfile::tempdir().unwrap();
            let store: Arc<dyn HistoryStore> = match kind {
                "memory" => Arc::new(MemoryHistory::new(&limits)),
                "os" => Arc::new(SqliteHistory::open(dir.path(), Durability::Os, &limits).unwrap()),
                _ => Arc::new(SqliteHistory::open(dir.path(), Durability::Fsync, &limits).unwrap()),
            };
            let mut senders: Vec<Sender> = (0..count).map(Sender::new).collect();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(kind, format!("{count}-senders")), |bencher| {
                bencher.iter_custom(|times| {
                    let start = Instant::now();
                    senders = runtime.block_on(send(&store, std::mem::take(&mut senders), times));
                    start.elapsed()
                });
            });
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut raw = Raw::open(&dir.path().join("raw.db"));
    group.throughput(Throughput::Elements(SENDERS as u64));
    group.bench_function(BenchmarkId::new("raw-sqlite", "batch-of-64"), |bencher| bencher.iter(|| raw.batch()));
    group.finish();
}

/// Turn and turn about, so that whatever else the machine does meets both.
fn ratio(_: &mut Criterion) {
    // Run as a test, it only shows that it runs.
    let (rounds, batches) = if std::env::args().any(|arg| arg == "--bench") { (9, 300) } else { (1, 1) };
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let store: Arc<dyn HistoryStore> =
        Arc::new(SqliteHistory::open(&dir.path().join("ours"), Durability::Fsync, &limits).unwrap());
    let mut senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect();
    let mut raw = Raw::open(&dir.path().join("raw.db"));
    let mut found = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        (0..batches).for_each(|_| raw.batch());
        let theirs = start.elapsed();
        let start = Instant::now();
        senders = runtime.block_on(send(&store, senders, batches));
        let ours = start.elapsed();
        let rate = |took: Duration| (SENDERS as u64 * batches) as f64 / took.as_secs_f64();
        found.push((theirs.as_secs_f64() / ours.as_secs_f64(), rate(ours), rate(theirs)));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, ours, theirs) = found[found.len() / 2];
    if rounds == 1 {
        return;
    }
    println!("64 senders, synced: {ours:.0} records/s; raw SQLite in batches of 64: {theirs:.0}; ratio {ratio:.2}");
}

/// How long a start takes that reads and checks 100,000 records.
fn restart(_: &mut Criterion) {
    let (steps, each) = if std::env::args().any(|arg| arg == "--bench") { (3, 100_000) } else { (1, 100) };
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let open = || SqliteHistory::open(dir.path(), Durability::Os, &Limits::default()).unwrap();
    let mut sender = Sender::new(0);
    for step in 1..=steps {
        let store = open();
        let mut records = Vec::with_capacity(each);
        for _ in 0..each {
            records.push(Record { id: Some(MessageId::random()), ..sender.next.clone() });
            sender.next.prev = sender.next.seq;
            sender.next.seq += 1;
        }
        runtime.block_on(store.append(&records)).unwrap();
        drop(store);
        let start = Instant::now();
        drop(open());
        println!("a start on {} records: {:.3} s", step * each, start.elapsed().as_secs_f64());
    }
}

criterion_group!(benches, append, ratio, restart);
criterion_main!(benches);
