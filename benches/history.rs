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
use talk::store::{Durability, HistoryStore, MemoryHistory, Query, SqliteHistory};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const SENDERS: usize = 64;
const BODY: usize = 100;

/// What somebody says in a room of their own.
struct Sender {
    next: Record,
    /// What they say in turn; always the same where there is none.
    bodies: Arc<[Arc<str>]>,
}

impl Sender {
    fn new(number: usize) -> Self {
        let room = RoomKey::Room(RoomName::new(&format!("room-{number}")).unwrap());
        let body = "x".repeat(BODY).into();
        let at = Timestamp::from_millis(0);
        let user = UserId::random();
        let next = Record { room, seq: 1, prev: 0, at, user, from: "alice".into(), id: None, body };
        Self { next, bodies: Arc::default() }
    }

    async fn send(&mut self, store: &dyn HistoryStore) {
        self.next.id = Some(MessageId::random());
        self.next.at = self.next.at.after(Duration::from_millis(10));
        if let Some(at) = (self.next.seq as usize).checked_rem(self.bodies.len()) {
            self.next.body = self.bodies[at].clone();
        }
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
            for Sender { next, .. } in &mut self.senders {
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

/// What the index of texts costs appends that are synced: the rates with it and without, turn and turn about.
fn indexing(_: &mut Criterion) {
    let (rounds, batches) = if std::env::args().any(|arg| arg == "--bench") { (11, 600) } else { (1, 1) };
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    // What is in the way of the index.
    std::fs::create_dir_all(dir.path().join("without/search.db/x")).unwrap();
    let mut texts = Texts::new();
    let bodies: Arc<[Arc<str>]> = (0..10_000).map(|_| texts.text().into()).collect();
    let open = |name: &str| -> Arc<SqliteHistory> {
        Arc::new(SqliteHistory::open(&dir.path().join(name), Durability::Fsync, &Limits::default()).unwrap())
    };
    for count in [1, SENDERS] {
        let stores = [open("with"), open("without")];
        assert!(stores[0].unindexed().is_some() && stores[1].unindexed().is_none());
        let number = |sender: usize| if count == 1 { SENDERS } else { sender };
        let mut senders = [0, 1].map(|_| (0..count).map(|s| Sender::new(number(s))).collect::<Vec<_>>());
        let (mut found, mut behind) = (Vec::new(), Duration::ZERO);
        for round in 0..rounds {
            let mut took = [Duration::ZERO; 2];
            for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let store: Arc<dyn HistoryStore> = stores[at].clone();
                for sender in &mut senders[at] {
                    sender.bodies = bodies.clone();
                }
                let start = Instant::now();
                let sending = send(&store, std::mem::take(&mut senders[at]), batches);
                senders[at] = runtime.block_on(sending);
                took[at] = start.elapsed();
                // What it put off is no load on the other one's turn.
                while stores[at].unindexed().is_some_and(|missing| missing > 1000) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                behind += if at == 0 { start.elapsed() - took[at] } else { Duration::ZERO };
            }
            let rate = |took: Duration| (count as u64 * batches) as f64 / took.as_secs_f64();
            found.push((rate(took[0]) / rate(took[1]), rate(took[0]), rate(took[1])));
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, with, without) = found[found.len() / 2];
        if rounds > 1 {
            println!("{count} senders, synced: {with:.0} records/s with the index, {without:.0} without; {ratio:.2}");
            let behind = behind.as_secs_f64() / f64::from(rounds);
            println!("after {} records the index took {behind:.2} s more to have them", count as u64 * batches);
        }
    }
}

/// What a search over a million messages takes, by what is looked for, in a room that has nine tenths of them.
fn search(_: &mut Criterion) {
    let bench = std::env::args().any(|arg| arg == "--bench");
    let (all, rounds) = if bench { (1_000_000, 41) } else { (2_000, 1) };
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteHistory::open(dir.path(), Durability::Os, &Limits::default()).unwrap();
    let mut texts = Texts::new();
    let mut senders = [Sender::new(0), Sender::new(1)];
    let start = Instant::now();
    for piece in 0..all / 1000 {
        let sender = &mut senders[usize::from(piece % 10 == 9)];
        let mut records = Vec::with_capacity(1000);
        for _ in 0..1000 {
            records.push(Record { body: texts.text().into(), ..sender.next.clone() });
            sender.next.prev = sender.next.seq;
            sender.next.seq += 1;
        }
        runtime.block_on(store.append(&records)).unwrap();
    }
    println!("{all} messages were appended in {:.1} s", start.elapsed().as_secs_f64());
    let room = senders[0].next.room.clone();
    let newest = senders[0].next.seq;
    let patience = Instant::now() + Duration::from_secs(600);
    while store.unindexed().unwrap() > 1000 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("and were all in the index after {:.1} s", start.elapsed().as_secs_f64());
    let size = |file: &str| std::fs::metadata(dir.path().join(file)).unwrap().len() / all;
    println!("bytes on disk for each message: {}, and {} for the index", size("history.db"), size("search.db"));
    let words: Vec<String> = [0, 10, 100, 1_000, 10_000, 19_999].map(|rank| texts.words[rank].clone()).into();
    let mut some: Vec<&str> = texts.words[..200].iter().map(String::as_str).filter(|word| word.len() > 4).collect();
    while some.join(" ").len() > 256 {
        some.pop();
    }
    let middle = |word: &str| word.chars().skip(1).take(5).collect::<String>();
    let looks = [
        ("the most frequent word", words[0].clone()),
        ("the 100th", words[2].clone()),
        ("the 1,000th", words[3].clone()),
        ("the 10,000th", words[4].clone()),
        ("the rarest", words[5].clone()),
        ("a part of the 1,000th", middle(&words[3])),
        ("a beginning", format!("{}*", words[4].chars().take(4).collect::<String>())),
        ("two frequent words", format!("{} {}", words[1], words[2])),
        ("two rare words", format!("{} {}", words[3], words[4])),
        ("a phrase that is not there", format!("\"{} {}\"", words[4], words[5])),
        ("a word that is not there", "zzyzxqqj".into()),
        ("one of frequent parts that is not there", format!("{}{}", words[1], words[2])),
        ("256 bytes of frequent words", some.join(" ")),
        ("256 bytes of their parts, not there", some.concat()),
        ("the beginning by one letter", format!("{}*", words[0].chars().take(1).collect::<String>())),
        // Too short for the index: what comes first is looked at, 8 MiB.
        ("two letters that are not there", "qq".into()),
    ];
    let mut medians = Vec::new();
    for (what, text) in &looks {
        let (mut took, mut found) = (Vec::new(), 0);
        for _ in 0..rounds {
            let start = Instant::now();
            let finds = runtime.block_on(store.search(&room, &Query::new(text), None, 20)).unwrap();
            took.push(start.elapsed());
            found = finds.records.len();
            assert!(!bench || text == "qq" || finds.before.is_none() || found == 20, "{what}: all was looked at");
        }
        took.sort();
        let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
        medians.push(median);
        println!("{what:40} {found:3} found, median {median:9.1?}, longest {worst:9.1?}");
    }
    medians.sort();
    println!("the median of all is {:.1?}, over {newest} messages in the room", medians[medians.len() / 2]);
}

/// Texts of about a hundred bytes, of words that are as frequent as words are, in two scripts.
struct Texts {
    state: u64,
    words: Vec<String>,
    /// What the frequencies of the words up to each add up to.
    sums: Vec<f64>,
}

impl Texts {
    fn new() -> Self {
        let mut texts = Self { state: 42, words: Vec::new(), sums: Vec::new() };
        let scripts = ["etaoinshrdlucmfwypvbgkqjxz", "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"];
        let letters = scripts.map(|script| script.chars().collect::<Vec<_>>());
        let mut sum = 0.0;
        for rank in 0..20_000 {
            let letters = &letters[usize::from(rank % 10 >= 7)];
            let length = 2 + texts.random() as usize % 8 + usize::from(rank > 500);
            let letter = |texts: &mut Self| {
                // The earlier ones in their row are the more frequent ones.
                let most = 1 + texts.random() as usize % letters.len();
                letters[texts.random() as usize % most]
            };
            let word = (0..length).map(|_| letter(&mut texts)).collect();
            texts.words.push(word);
            sum += 1.0 / f64::from(rank + 1);
            texts.sums.push(sum);
        }
        texts
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 33
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        while text.len() < BODY {
            let at = self.random() as f64 / f64::from(1_u32 << 31) * self.sums[self.sums.len() - 1];
            let rank = self.sums.partition_point(|sum| *sum < at).min(self.words.len() - 1);
            text.push_str(&self.words[rank]);
            text.push(' ');
        }
        text
    }
}

criterion_group!(benches, append, ratio, restart, indexing, search);
criterion_main!(benches);
