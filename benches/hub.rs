//! A room's fan-out: what a delivery costs in our own code (sinks that take everything), and through the room server to
//! real sockets, beside bare loops that write the same bytes to as many sockets in the same run.
//!
//! The thousand members of a full run take about 2,100 file descriptors.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use talk::codec::Encode;
use talk::codec::rooms::{Plain, Rich};
use talk::gateway::{RoomServer, http};
use talk::hub::{Batch, Encoding, Hub, Lifetime, Offered, Outbox, Seat, Sink};
use talk::limits::Limits;
use talk::message::{Command, Epoch, Event, MessageId, Post, Record, RoomKey, Timestamp, UserId};
use talk::name::{Nickname, RoomName};
use talk::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How the one who speaks is connected: what the room owes them for each message depends on it.
#[derive(Clone, Copy)]
enum Author {
    /// As every client in the field: the own echo is all.
    Plain,
    /// In rich mode with an id for each message: the room follows it at every member, and tells how far it came.
    WithIds,
}

impl Author {
    fn encoding(self) -> Encoding {
        match self {
            Self::Plain => PLAIN,
            Self::WithIds => Encoding::new("rooms.v2", &Rich),
        }
    }

    fn lifetime(self) -> Lifetime {
        match self {
            Self::Plain => Lifetime::Session,
            Self::WithIds => Lifetime::Kept,
        }
    }

    async fn say(self, seat: &mut Seat, messages: usize) {
        for _ in 0..messages {
            let id = matches!(self, Self::WithIds).then(MessageId::random);
            seat.run(Command::Say { room: None, body: body().into(), id }).await.unwrap();
        }
    }
}

/// Texts of 128 bytes.
fn body() -> String {
    "x".repeat(128)
}

fn room() -> RoomName {
    RoomName::new("bench").unwrap()
}

/// Members of a room; few where criterion only looks whether everything runs.
fn sizes() -> &'static [usize] {
    match std::env::args().any(|argument| argument == "--bench") {
        true => &[1, 10, 100, 1000],
        false => &[1, 10],
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn sign_up(hub: &Hub, name: &str) -> Secret {
    hub.sign_up(&Nickname::new(name).unwrap()).await.unwrap()
}

/// What is still to come, and whoever waits for it.
#[derive(Default)]
struct Tally {
    left: AtomicI64,
    done: Notify,
}

impl Tally {
    fn expect(&self, count: usize) {
        self.left.store(i64::try_from(count).unwrap(), Ordering::SeqCst);
    }

    fn count(&self, count: usize) {
        let count = i64::try_from(count).unwrap();
        if (1..=count).contains(&self.left.fetch_sub(count, Ordering::SeqCst)) {
            self.done.notify_one();
        }
    }

    async fn complete(&self) {
        tokio::time::timeout(LONG, self.done.notified()).await.expect("everything is delivered");
    }
}

/// Takes everything. The member whom a turn comes to last tells how many messages there were.
struct Taking {
    encoding: Encoding,
    witness: Option<Arc<Tally>>,
}

impl Sink for Taking {
    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn offer(&self, batch: &Batch) -> Offered {
        if let Some(tally) = &self.witness {
            tally.count(batch.events().iter().filter(|event| matches!(event, Event::Message(_))).count());
        }
        Offered::All
    }
}

async fn take_seat(hub: &Hub, name: &str, author: Author, witness: Option<Arc<Tally>>) -> Seat {
    let outbox = Arc::new(Outbox::new(Taking { encoding: author.encoding(), witness }, hub.limits()));
    hub.open(&sign_up(hub, name).await, outbox, author.lifetime(), None).await.unwrap()
}

/// Members without sockets, the author the first of them.
async fn seated(members: usize, author: Author) -> (Vec<Seat>, Arc<Tally>) {
    let (hub, tally) = (Hub::with_limits(&limits()), Arc::new(Tally::default()));
    let mut seats = Vec::new();
    for number in 0..members {
        let speaks = if number == 0 { author } else { Author::Plain };
        let witness = (number + 1 == members).then(|| tally.clone());
        let mut seat = take_seat(&hub, &format!("m{number}"), speaks, witness).await;
        let enter = if number == 0 { Command::Create(room()) } else { Command::Switch(room()) };
        seat.run(enter).await.unwrap();
        seats.push(seat);
    }
    // What waits to be told of comings goes out with this.
    tally.expect(1);
    author.say(&mut seats[0], 1).await;
    tally.complete().await;
    (seats, tally)
}

fn to_sinks(criterion: &mut Criterion, name: &str, author: Author) {
    let runtime = runtime();
    for messages in [1, MANY] {
        let mut group = group(criterion, format!("hub/{name}/{messages}-at-once"));
        for members in sizes() {
            group.throughput(Throughput::Elements((members * messages) as u64));
            let (mut seats, tally) = runtime.block_on(seated(*members, author));
            let speaker = tokio::sync::Mutex::new(&mut seats[0]);
            group.bench_function(BenchmarkId::new("members", members), |bencher| {
                bencher.to_async(&runtime).iter(async || {
                    tally.expect(messages);
                    let mut seat = speaker.lock().await;
                    author.say(&mut seat, messages).await;
                    tally.complete().await;
                });
            });
        }
        group.finish();
    }
}

/// Sockets that are read to their end by a thread of their own, which only counts.
struct Drain {
    tally: Arc<Tally>,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drain {
    fn of(sockets: Vec<std::net::TcpStream>) -> Self {
        let (tally, stop) = (Arc::new(Tally::default()), CancellationToken::new());
        let (counted, stopped) = (tally.clone(), stop.clone());
        let drain = async move {
            let mut reading = JoinSet::new();
            for socket in sockets {
                let (mut socket, counted) = (TcpStream::from_std(socket).unwrap(), counted.clone());
                reading.spawn(async move {
                    let mut buffer = vec![0; 16 * 1024];
                    while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                        counted.count(read);
                    }
                });
            }
            stopped.cancelled().await;
        };
        let thread = thread::spawn(move || runtime().block_on(drain));
        Self { tally, stop, thread: Some(thread) }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(thread::JoinHandle::join);
    }
}

/// What each member is sent for these messages, as long as the real ones.
fn frames(messages: usize) -> Vec<u8> {
    let record = Record {
        room: RoomKey::Room(room()),
        seq: 1,
        prev: 0,
        at: Timestamp::from_millis(0),
        user: UserId::random(),
        from: AUTHOR.into(),
        id: None,
        body: body().into(),
    };
    let mut bytes = BytesMut::new();
    Plain.encode(&Event::Message(Arc::new(Post { epoch: Epoch::random(), record })), &mut bytes);
    bytes.repeat(messages)
}

fn bare(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, members: usize, messages: usize) {
    let (sockets, far): (Vec<_>, Vec<_>) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut pairs = Vec::new();
        for _ in 0..members {
            let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (here, _) = listener.accept().await.unwrap();
            here.set_nodelay(true).unwrap();
            let here = here.into_std().unwrap();
            here.set_nonblocking(false).unwrap();
            pairs.push((here, far.into_std().unwrap()));
        }
        pairs.into_iter().unzip()
    });
    let drain = Drain::of(far);
    let one = frames(1);
    for (name, bytes, times) in
        [("bare loop, a write each", one.clone(), messages), ("bare loop", one.repeat(messages), 1)]
    {
        // With one message they are the same.
        if messages == 1 && name != "bare loop" {
            continue;
        }
        group.bench_function(BenchmarkId::new(name, members), |bencher| {
            bencher.to_async(runtime).iter(async || {
                drain.tally.expect(members * messages * one.len());
                for _ in 0..times {
                    for mut socket in &sockets {
                        socket.write_all(&bytes).unwrap();
                    }
                }
                drain.tally.complete().await;
            });
        });
    }
}

/// A plain client of the server, past what it hears of its own coming.
async fn join(at: SocketAddr, token: &Secret) -> TcpStream {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: {}\r\n\r\n",
        token.reveal()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    read_to(&mut socket, b" joined\"}").await;
    socket
}

/// Reads until what came ends like this.
async fn read_to(socket: &mut TcpStream, end: &[u8]) {
    let mut heard = Vec::new();
    while !heard.ends_with(end) {
        assert!(socket.read_buf(&mut heard).await.unwrap() > 0, "the server is there");
    }
}

/// Those who hear by WebSocket, and one who speaks from within and is not counted.
async fn connected(members: usize, author: Author) -> (Seat, Vec<std::net::TcpStream>) {
    let hub = Hub::with_limits(&limits());
    let server = RoomServer::bind(&"127.0.0.1".parse().unwrap(), 0, http::service(hub.clone())).await.unwrap();
    let at = server.local_addr();
    tokio::spawn(server.serve(std::future::pending()));
    let mut sockets = Vec::new();
    for number in 0..members {
        sockets.push(join(at, &sign_up(&hub, &format!("m{number}")).await).await);
    }
    let mut seat = take_seat(&hub, AUTHOR, author, None).await;
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    seat.run(Command::Say { room: None, body: "quiet now".into(), id: None }).await.unwrap();
    for socket in &mut sockets {
        // All that waited to be told came before it.
        tokio::time::timeout(LONG, read_to(socket, b"\"quiet now\"}")).await.unwrap();
    }
    (seat, sockets.into_iter().map(|socket| socket.into_std().unwrap()).collect())
}

fn served(group: &mut BenchmarkGroup<'_, WallTime>, members: usize, messages: usize, author: Author) {
    // The server goes with its runtime.
    let runtime = runtime();
    let (mut seat, sockets) = runtime.block_on(connected(members, author));
    let drain = Drain::of(sockets);
    let speaker = tokio::sync::Mutex::new(&mut seat);
    let bytes = members * frames(messages).len();
    group.bench_function(BenchmarkId::new("room server", members), |bencher| {
        bencher.to_async(&runtime).iter(async || {
            drain.tally.expect(bytes);
            let mut seat = speaker.lock().await;
            author.say(&mut seat, messages).await;
            drain.tally.complete().await;
        });
    });
}

fn to_sockets(criterion: &mut Criterion, name: &str, author: Author) {
    let runtime = runtime();
    for messages in [1, MANY] {
        let mut group = group(criterion, format!("hub/{name}/{messages}-at-once"));
        for members in sizes() {
            group.throughput(Throughput::Elements((members * messages) as u64));
            bare(&mut group, &runtime, *members, messages);
            served(&mut group, *members, messages, author);
        }
        group.finish();
    }
}

fn group(criterion: &mut Criterion, name: String) -> BenchmarkGroup<'_, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(30).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    group
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    // Nobody is to be cut for being a busy benchmark's.
    limits.commands_per_second = 0;
    limits
}

fn without_receipts(criterion: &mut Criterion) {
    to_sinks(criterion, "sinks", Author::Plain);
    to_sockets(criterion, "sockets", Author::Plain);
}

fn with_receipts(criterion: &mut Criterion) {
    to_sinks(criterion, "sinks-receipts", Author::WithIds);
    to_sockets(criterion, "sockets-receipts", Author::WithIds);
}

const PLAIN: Encoding = Encoding::new("rooms", &Plain);
const AUTHOR: &str = "author";
/// Messages that wait for one turn, as they do when several speak at full speed.
const MANY: usize = 64;
/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

criterion_group!(benches, without_receipts, with_receipts);
criterion_main!(benches);
