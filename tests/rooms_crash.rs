//! `kill -9` of the real server under load: what was accepted is in the history once, in order, at its place; what was
//! not answered is said again under the same id and never applied twice; whoever resumes hears everything once.
#![cfg(all(feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::durable::{Durable, UNLIMITED};
use common::raw_websocket::{TEXT, read_frame, text, upgrade};
use common::rooms::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Kills in a normal run, and with `TALK_LONG_TESTS=1`.
const KILLS: usize = 10;
const MANY_KILLS: usize = 200;
/// Messages of one writer that are under way at a time.
const WINDOW: usize = 16;
const ROOMS: [&str; 3] = ["global", "den", "attic"];
/// Accounts first, then guests.
const WRITERS: [&str; 6] = ["ann", "bob", "cid", "dan", "eve", "fay"];
const ACCOUNTS: usize = 2;
const RECEIVERS: [&str; 3] = ["rob", "sue", "tom"];
/// Whom direct messages are for: never there while they are said.
const AWAY: &str = "dora";
/// Who speaks in plain mode: without ids, so that nothing can be said again.
const PLAIN: &str = "pia";
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_and_nothing_is_applied_twice_by_kill_9() {
    let kills = if std::env::var_os("TALK_LONG_TESTS").is_some() { MANY_KILLS } else { KILLS };
    let dir = tempfile::tempdir().unwrap();
    let start = |round: usize| {
        let durability = if round.is_multiple_of(2) { "durability=fsync" } else { "durability=os" };
        Durable::start(dir.path(), &[UNLIMITED, "limits.offline_messages=1000000", durability])
    };
    let server = start(0);
    let (mut writers, mut receivers, mut kept) = begin(&server).await;
    server.kill();

    let mut plain = Plain::default();
    let mut seed = 7;
    for round in 0..kills {
        let server = start(round);
        kept.check(&server, &writers, &plain).await;
        let random = random(&mut seed);
        let kill_at = if round.is_multiple_of(3) { 1 + random % 60 } else { 60 + random % 1200 };
        let accepted = Arc::new(Accepted { count: AtomicUsize::new(0), kill_at, signal: Notify::new() });
        let (port, mut writing, mut receiving) = (server.port, JoinSet::new(), JoinSet::new());
        for mut writer in writers.drain(..) {
            let accepted = accepted.clone();
            writing.spawn(async move {
                writer.run(port, Some(&accepted)).await;
                writer
            });
        }
        for mut receiver in receivers.drain(..) {
            receiving.spawn(async move {
                receiver.run(port, None).await;
                receiver
            });
        }
        let mut speaking = plain;
        // The kill freed the name, unless it came before the token was used at all.
        if let Some(token) = server.try_guest(PLAIN).await {
            speaking.token = token;
        }
        let speaking = tokio::spawn(async move {
            speaking.run(port).await;
            speaking
        });
        timeout(PATIENCE, accepted.signal.notified()).await.expect("the server accepts");
        server.kill();
        writers = timeout(PATIENCE, writing.join_all()).await.expect("the writers end");
        receivers = timeout(PATIENCE, receiving.join_all()).await.expect("the receivers end");
        plain = timeout(PATIENCE, speaking).await.expect("the plain session ends").unwrap();
    }

    // At last what was not answered is said again, and nobody is killed.
    let server = start(kills);
    kept.check(&server, &writers, &plain).await;
    for writer in &mut writers {
        writer.run(server.port, None).await;
        assert!(writer.unanswered.is_empty(), "{:?}", writer.unanswered);
    }
    kept.compared.clear();
    kept.check(&server, &writers, &plain).await;
    for receiver in &mut receivers {
        receiver.run(server.port, Some(&kept)).await;
        for (room, (_, heard)) in &receiver.rooms {
            assert_eq!(heard, &kept.rooms[room].ids, "{} heard all of {room} once, in order", receiver.name);
        }
    }
    let said: u64 = writers.iter().map(|writer| writer.next).sum();
    let answered: usize = writers.iter().map(|writer| writer.answered.len()).sum();
    let by_plain = kept.known.keys().filter(|id| id.starts_with(PLAIN)).count();
    assert!((plain.echoed.len()..=plain.next as usize).contains(&by_plain) && !plain.echoed.is_empty());
    assert_eq!(
        (answered as u64, answered),
        (said, kept.known.len() - kept.begun - by_plain),
        "all that was said, once"
    );
    let answered = answered + plain.echoed.len();
    assert!(answered > kills * 50, "{answered}");
    println!("{kills} kills: {answered} messages accepted, all of them kept once, in order");
}

/// What is accepted in a round, and when to kill.
struct Accepted {
    count: AtomicUsize,
    kill_at: usize,
    signal: Notify,
}

/// Says numbered messages at full speed, each in a room that its number tells.
struct Writer {
    name: &'static str,
    token: String,
    /// The room of the direct messages to [`AWAY`].
    away: String,
    next: u64,
    unanswered: BTreeSet<u64>,
    /// Where each message stands that was answered: room and seq.
    answered: BTreeMap<u64, (String, u64)>,
}

impl Writer {
    /// Says again what was not answered, and some of what was, under the same ids; and then more, until the server is
    /// killed. With nobody to count, only the former.
    async fn run(&mut self, port: u16, accepted: Option<&Accepted>) {
        // Whoever is cut for reading too slowly comes again.
        for _ in 0..MOST_CUTS {
            let Some(mut stream) = open(port, &format!("talk.v2, {}", self.token)).await else { return };
            let mut out: Vec<u8> = ROOMS.iter().flat_map(|room| command("enter", &json!({ "room": room }))).collect();
            let again: Vec<u64> = self.answered.keys().rev().take(5).copied().collect();
            let mut repeated: BTreeSet<u64> = again.iter().copied().collect();
            let unanswered = self.unanswered.iter().copied();
            out.extend(again.into_iter().chain(unanswered).flat_map(|n| self.message(n)));
            loop {
                while accepted.is_some() && self.unanswered.len() < WINDOW {
                    out.extend(self.message(self.next));
                    self.unanswered.insert(self.next);
                    self.next += 1;
                }
                if stream.get_mut().write_all(&std::mem::take(&mut out)).await.is_err() {
                    break;
                }
                if accepted.is_none() && self.unanswered.is_empty() && repeated.is_empty() {
                    return;
                }
                let Some(frame) = hear(&mut stream).await else { break };
                match frame["type"].as_str() {
                    Some("accepted") => {
                        let n = self.number(frame["id"].as_str().unwrap());
                        let at = (frame["room"].as_str().unwrap().to_owned(), frame["seq"].as_u64().unwrap());
                        assert_eq!(at.0, self.room(n));
                        if let Some(first) = self.answered.get(&n) {
                            assert_eq!(*first, at, "{} {n} has one place", self.name);
                            repeated.remove(&n);
                            continue;
                        }
                        assert!(self.unanswered.remove(&n), "{frame}");
                        self.answered.insert(n, at);
                        if let Some(accepted) = accepted
                            && accepted.count.fetch_add(1, Ordering::Relaxed) + 1 == accepted.kill_at
                        {
                            accepted.signal.notify_one();
                        }
                    }
                    Some("error") => panic!("{}: {frame}", self.name),
                    _ => {}
                }
            }
        }
        panic!("{} is cut again and again", self.name);
    }

    fn message(&self, n: u64) -> Vec<u8> {
        let (id, body) = (format!("{}-{n}", self.name), body_of(&format!("{}-{n}", self.name)));
        match n % 5 {
            4 => command("direct", &json!({ "to": AWAY, "body": body, "id": id })),
            _ => command("message", &json!({ "room": self.room(n), "body": body, "id": id })),
        }
    }

    fn room(&self, n: u64) -> &str {
        match n % 5 {
            4 => &self.away,
            other => ROOMS[other as usize % ROOMS.len()],
        }
    }

    fn number(&self, id: &str) -> u64 {
        id.strip_prefix(self.name).and_then(|id| id.strip_prefix('-')).unwrap().parse().unwrap()
    }
}

/// Says numbered messages in `global`, and takes the echo for the acceptance.
#[derive(Default)]
struct Plain {
    token: String,
    next: u64,
    echoed: BTreeSet<u64>,
}

impl Plain {
    /// Until the server is killed.
    async fn run(&mut self, port: u16) {
        let Some(mut stream) = open(port, &self.token).await else { return };
        while let Some(frame) = hear(&mut stream).await {
            let own = |n: u64| json!({ "from": PLAIN, "body": body_of(&format!("{PLAIN}-{n}")) });
            if frame == json!({ "from": "system", "body": format!("{PLAIN} joined") })
                || frame == own(self.next.saturating_sub(1))
            {
                if frame["from"] == PLAIN {
                    self.echoed.insert(self.next - 1);
                }
                let said = command("message", &own(self.next));
                self.next += 1;
                if stream.get_mut().write_all(&said).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Hears every room from where it was.
struct Receiver {
    name: &'static str,
    token: String,
    epoch: String,
    /// The last seq, and the ids of all messages up to it.
    rooms: BTreeMap<String, (u64, Vec<String>)>,
}

impl Receiver {
    /// Until the server is killed, or until it has heard all that is kept.
    async fn run(&mut self, port: u16, until: Option<&Kept>) {
        for _ in 0..MOST_CUTS {
            let Some(mut stream) = open(port, &format!("talk.v2, {}", self.token)).await else { return };
            let resume = self.rooms.iter().flat_map(|(room, (seq, _))| {
                command("resume", &json!({ "room": room, "epoch": self.epoch, "seq": seq }))
            });
            let resume: Vec<u8> = resume.collect();
            if stream.get_mut().write_all(&resume).await.is_err() {
                continue;
            }
            let mut recovered = 0;
            loop {
                let done = |kept: &Kept| self.rooms.iter().all(|(room, (seq, _))| *seq == kept.rooms[room].last);
                if recovered == ROOMS.len() && until.is_some_and(done) {
                    return;
                }
                let Some(frame) = hear(&mut stream).await else { break };
                let Some(room) = frame["room"].as_str() else { continue };
                let Some((last, ids)) = self.rooms.get_mut(room) else { continue };
                match frame["type"].as_str() {
                    Some("message") => {
                        assert_eq!(frame["prev"], *last, "{}: nothing twice, nothing left out: {frame}", self.name);
                        *last = frame["seq"].as_u64().unwrap();
                        ids.push(id_in(&frame).to_owned());
                    }
                    Some("recovered") => {
                        assert_eq!(frame["recovered"], true, "{frame}");
                        assert_eq!(frame["to"], *last, "no live message comes before it: {frame}");
                        recovered += 1;
                    }
                    Some("presence") => {}
                    _ => panic!("{}: {frame}", self.name),
                }
            }
        }
        panic!("{} is cut again and again", self.name);
    }
}

/// What the history was found to hold.
struct Kept {
    rooms: HashMap<String, KeptRoom>,
    /// Every id that was found, and where.
    known: HashMap<String, (String, u64)>,
    /// How many of them were there at the beginning.
    begun: usize,
    reader: String,
    away: String,
    /// Up to where [`AWAY`] confirmed.
    confirmed: u64,
    /// How many answers of each writer were compared.
    compared: HashMap<&'static str, u64>,
}

#[derive(Default)]
struct KeptRoom {
    last: u64,
    ids: Vec<String>,
}

impl Kept {
    /// Reads what is new in the history, and compares it with what was answered.
    async fn check(&mut self, server: &Durable, writers: &[Writer], plain: &Plain) {
        let mut reader = server.rich(&self.reader).await;
        for room in ROOMS {
            reader.command("enter", json!({ "room": room })).await;
            reader.of_type("presence").await;
            self.read(&mut reader, room).await;
        }
        let mut away = server.rich(&self.away).await;
        let room = writers[0].away.clone();
        // What was said while they were away comes by itself, from what they confirmed at the latest.
        let came = page(&mut away, &room, None).await;
        self.read(&mut away, &room).await;
        let kept = &self.rooms[&room];
        if let Some(first) = came.first() {
            assert!(first["prev"].as_u64().unwrap() <= self.confirmed, "{first}");
            assert!(came.windows(2).all(|pair| pair[1]["prev"] == pair[0]["seq"]), "in order");
            assert_eq!(came.last().unwrap()["seq"], kept.last, "all of it");
        } else {
            assert_eq!(kept.last, self.confirmed, "nothing new");
        }
        self.confirmed = kept.last;
        away.command("received", json!({ "room": room, "seq": kept.last })).await;

        for writer in writers {
            let compared = self.compared.entry(writer.name).or_default();
            // What was answered later than what was not yet may have a lower number.
            let from = compared.saturating_sub(4 * WINDOW as u64);
            for (n, at) in writer.answered.range(from..) {
                let id = format!("{}-{n}", writer.name);
                assert_eq!(self.known.get(&id), Some(at), "{id} was accepted and is there");
            }
            *compared = writer.next;
        }
        for n in &plain.echoed {
            assert!(self.known.contains_key(&format!("{PLAIN}-{n}")), "{PLAIN}-{n} was echoed and is there");
        }
    }

    async fn read(&mut self, reader: &mut Client, room: &str) {
        loop {
            let kept = self.rooms.entry(room.to_owned()).or_default();
            let frames = page(reader, room, Some(kept.last)).await;
            if frames.is_empty() {
                return;
            }
            let mut numbers: HashMap<&str, u64> = HashMap::new();
            for frame in &frames {
                let id = id_in(frame);
                assert_eq!((&frame["room"], &frame["prev"]), (&json!(room), &json!(kept.last)), "{frame}");
                let (writer, n) = id.split_once('-').unwrap();
                assert_eq!((&frame["from"], &frame["body"]), (&json!(writer), &json!(body_of(id))));
                assert_eq!(frame["id"].as_str(), Some(id).filter(|_| writer != PLAIN));
                let n = n.parse().unwrap();
                let before = numbers.insert(writer, n);
                assert!(before.is_none_or(|before| before < n), "{writer} said {before:?} before {n}");
                kept.last = frame["seq"].as_u64().unwrap();
                kept.ids.push(id.to_owned());
                let twice = self.known.insert(id.to_owned(), (room.to_owned(), kept.last));
                assert_eq!(twice, None, "{id} stands there twice");
            }
        }
    }
}

/// Everybody signs up, and something is said in each room, so that it outlives those who are in it.
async fn begin(server: &Durable) -> (Vec<Writer>, Vec<Receiver>, Kept) {
    let mut maker = server.rich(&server.guest("maker").await).await;
    let away = server.account(AWAY).await;
    drop(server.rich(&away).await);
    let (mut kept, mut epoch) = (0, String::new());
    let mut room_of_away = String::new();
    for room in ROOMS.into_iter().chain([AWAY]) {
        let id = format!("maker-{kept}");
        let body = body_of(&id);
        kept += 1;
        if room == AWAY {
            maker.command("direct", json!({ "to": AWAY, "body": body, "id": id })).await;
        } else {
            let (kind, field) = if room == "global" { ("enter", "room") } else { ("createroom", "name") };
            maker.command(kind, json!({ field: room })).await;
            maker.command("message", json!({ "room": room, "body": body, "id": id })).await;
        }
        let accepted = maker.of_type("accepted").await;
        epoch = accepted["epoch"].as_str().unwrap().to_owned();
        room_of_away = accepted["room"].as_str().unwrap().to_owned();
    }
    let mut writers = Vec::new();
    for (at, name) in WRITERS.into_iter().enumerate() {
        let token = if at < ACCOUNTS { server.account(name).await } else { server.guest(name).await };
        // A token that was used by a rich session outlives the process by ten minutes.
        drop(server.rich(&token).await);
        let away = room_of_away.clone();
        writers.push(Writer { name, token, away, next: 0, unanswered: BTreeSet::new(), answered: BTreeMap::new() });
    }
    let mut receivers = Vec::new();
    for name in RECEIVERS {
        let token = server.guest(name).await;
        drop(server.rich(&token).await);
        let rooms = ROOMS.map(|room| (room.to_owned(), (0, Vec::new()))).into();
        receivers.push(Receiver { name, token, epoch: epoch.clone(), rooms });
    }
    let reader = server.guest("reader").await;
    drop(server.rich(&reader).await);
    let (rooms, known, compared) = (HashMap::new(), HashMap::new(), HashMap::new());
    (writers, receivers, Kept { rooms, known, begun: kept, reader, away, confirmed: 0, compared })
}

/// A page of the history behind a seq; without one only what comes by itself.
async fn page(reader: &mut Client, room: &str, after: Option<u64>) -> Vec<Value> {
    if let Some(after) = after {
        reader.command("history", json!({ "room": room, "after": after, "limit": 1000 })).await;
    }
    // Answered behind what was asked before, and finds nothing.
    reader.command("search", json!({ "room": room, "text": "end", "before": 1 })).await;
    let mut frames = Vec::new();
    loop {
        let frame = reader.hear().await;
        match frame["type"].as_str() {
            Some("message") => frames.push(frame),
            Some("found") => return frames,
            Some("presence" | "receipt" | "history") => {}
            _ => panic!("{frame}"),
        }
    }
}

/// A session with these subprotocols; `None` when the server is gone.
async fn open(port: u16, protocols: &str) -> Option<BufReader<TcpStream>> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.ok()?);
    let headers = format!("sec-websocket-protocol: {protocols}\r\n");
    stream.get_mut().write_all(upgrade("/ws", &headers).as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer or an end").ok()?);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    Some(stream)
}

/// The next frame; `None` at the end of the connection, or when it is cut.
async fn hear(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let (opcode, payload) = read_frame(stream).await?;
    (opcode == TEXT).then(|| serde_json::from_slice(&payload).unwrap())
}

fn command(kind: &str, args: &Value) -> Vec<u8> {
    text(&json!({ "type": kind, "args": args }).to_string())
}

/// The first word of what was said: its id, also where the server was told none.
fn id_in(frame: &Value) -> &str {
    frame["body"].as_str().unwrap().split(' ').next().unwrap()
}

/// What is said under an id: now short, now long.
fn body_of(id: &str) -> String {
    let n: usize = id.rsplit('-').next().unwrap().parse().unwrap();
    format!("{id} {}", "x".repeat(n * 37 % 300))
}

/// SplitMix64.
fn random(seed: &mut u64) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as usize
}

/// How often somebody may be cut for reading too slowly in one round.
const MOST_CUTS: usize = 1000;
