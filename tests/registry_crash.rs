//! `kill -9` of the real registry in the midst of thousands of writes: what was answered is there after a restart.
#![cfg(all(feature = "net", feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::registry::{Client, JSON, PATIENCE, Process, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

const KILLS: usize = 20;
const WRITES: usize = 10_000;
const CLIENTS: usize = 64;
const NAMES_EACH: u64 = 50;

/// What stands under each of a client's names as far as it was answered: a port, or nothing.
type State = BTreeMap<String, u16>;

/// One client's end of a round: what it knows, and the change that was under way, which may have happened or not.
struct Known {
    state: State,
    under_way: Option<(String, Option<u16>)>,
    answered: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_answered_is_lost_and_nothing_deleted_is_back_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut states = vec![State::new(); CLIENTS];
    let mut answered = 0;
    for round in 0..KILLS {
        let process = Process::start(dir.path());
        let at = process.at;
        // Early and late, never at the end.
        let kill_at = 1 + (round * 4_177 + 97) % (WRITES - 100);
        let (done, signal) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
        let mut clients = JoinSet::new();
        for (client, state) in states.drain(..).enumerate() {
            let (done, signal) = (done.clone(), signal.clone());
            let seed = (round * CLIENTS + client) as u64;
            clients.spawn(async move {
                let count = || {
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done == kill_at {
                        signal.notify_one();
                    }
                    done < WRITES
                };
                (client, write_until_killed(at, client, seed, state, count).await)
            });
        }
        timeout(PATIENCE, signal.notified()).await.expect("the registry answers");
        process.kill();
        let mut known: Vec<(usize, Known)> = clients.join_all().await;
        known.sort_by_key(|(client, _)| *client);
        let this_round: usize = known.iter().map(|(_, known)| known.answered).sum();
        assert!((kill_at..WRITES).contains(&this_round), "killed in the midst: {this_round} of {WRITES}");
        answered += this_round;

        let process = Process::start(dir.path());
        let mut found = users(process.at).await;
        for (client, known) in known {
            states.push(checked(round, client, known, &mut found));
        }
        assert!(found.is_empty(), "round {round}: nobody put these there: {found:?}");
        process.kill();
    }
    assert!(answered > WRITES, "{answered} writes were answered");
}

/// Puts, moves and deletes its own names until the connection breaks.
async fn write_until_killed(
    at: SocketAddr,
    client: usize,
    mut seed: u64,
    mut state: State,
    count: impl Fn() -> bool,
) -> Known {
    let mut answered = 0;
    let mut random = move || {
        // SplitMix64.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let Ok(mut stream) = TcpStream::connect(at).await else { return Known { state, under_way: None, answered } };
    stream.set_nodelay(true).unwrap();
    loop {
        let name = format!("c{client}-{}", random() % NAMES_EACH);
        let port = (random() % 3 > 0).then(|| u16::try_from(random() % 65_535).unwrap() + 1);
        let target = format!("/v1/users/{name}");
        let bytes = match port {
            Some(port) => {
                let body = format!(r#"{{"protocol":"UDP","host":"127.0.0.1","port":{port}}}"#);
                request("PUT", &target, &[JSON], &body)
            }
            None => request("DELETE", &target, &[], ""),
        };
        let answer = timeout(PATIENCE, exchange(&mut stream, &bytes)).await.expect("an answer or an end");
        if answer.is_none() {
            return Known { state, under_way: Some((name, port)), answered };
        }
        match port {
            Some(port) => state.insert(name, port),
            None => state.remove(&name),
        };
        answered += 1;
        if !count() {
            return Known { state, under_way: None, answered };
        }
    }
}

/// Sends a request; `None` when the connection broke before the whole answer was there.
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    stream.write_all(bytes).await.ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(br#"{"status":"ok"}"#) {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    Some(())
}

async fn users(at: SocketAddr) -> State {
    let answer = Client::connect(at).await.ask("GET", "/v1/users", &[], "").await;
    assert_eq!(answer.status, 200);
    let users = answer.json();
    let port = |user: &serde_json::Value| u16::try_from(user["port"].as_u64().unwrap()).unwrap();
    users.as_object().unwrap().iter().map(|(name, user)| (name.clone(), port(user))).collect()
}

/// Compares what a client knows with what is there, and takes its names out of `found`.
fn checked(round: usize, client: usize, known: Known, found: &mut State) -> State {
    let mut state = known.state;
    if let Some((name, wanted)) = known.under_way {
        let there = found.get(&name).copied();
        let before = state.get(&name).copied();
        assert!(there == wanted || there == before, "round {round}: {name} is {there:?}, not {before:?} or {wanted:?}");
        match there {
            Some(port) => state.insert(name, port),
            None => state.remove(&name),
        };
    }
    let prefix = format!("c{client}-");
    let names: Vec<String> = found.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
    let there: State = names.into_iter().filter_map(|name| found.remove_entry(&name)).collect();
    assert_eq!(there, state, "round {round}, client {client}: what was answered is what is there");
    state
}
