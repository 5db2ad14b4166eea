//! What thousands of silent sessions cost the real server, with everything on disk as by default.
#![cfg(all(feature = "server", feature = "terminal", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::durable::Durable;
use common::rooms::Client;
use serde_json::json;
use tokio::task::JoinSet;

/// Sessions, if the system allows so many open files.
const SESSIONS: usize = 5000;
/// What each may cost, all of the server counted.
const MOST: usize = 32 * 1024;
/// Rooms that they are spread over, and how many one user may make.
const ROOMS: usize = 100;
const ROOMS_EACH: usize = 20;
/// Of them come in at a time.
const AT_ONCE: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_session_costs_at_most_32_kib() {
    let dir = tempfile::tempdir().unwrap();
    let server = Arc::new(Durable::start(dir.path(), &[]));
    // Each takes a file here and one there; sign-ups and stores take some more.
    let sessions = SESSIONS.min(open_files() - 300);
    let mut makers = Vec::new();
    for maker in 0..ROOMS / ROOMS_EACH {
        let mut client = server.rich(&server.guest(&format!("maker{maker}")).await).await;
        for room in (0..ROOMS_EACH).map(|room| maker * ROOMS_EACH + room) {
            client.command("createroom", json!({ "name": format!("room{room}") })).await;
            client.of_type("presence").await;
        }
        makers.push(client);
    }
    let before = resident(&server);

    let next = Arc::new(AtomicUsize::new(0));
    let mut coming = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (server, next) = (server.clone(), next.clone());
        coming.spawn(async move {
            let mut clients = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= sessions {
                    return clients;
                }
                clients.push(come(&server, n).await);
            }
        });
    }
    let mut clients: Vec<Client> = coming.join_all().await.into_iter().flatten().collect();
    let each = (resident(&server) - before) / sessions;
    println!("{sessions} sessions of {each} bytes each");
    assert!(each <= MOST, "{sessions} sessions of {each} bytes each");

    // All of them are there: each hears what is said in its room.
    let metrics = server.ask("GET /metrics", "", "").await;
    assert!(metrics.contains(&format!("talk_sessions {}\n", sessions + makers.len())), "{metrics}");
    for (at, maker) in makers.iter_mut().enumerate() {
        for room in (0..ROOMS_EACH).map(|room| at * ROOMS_EACH + room) {
            let room = format!("room{room}");
            maker.command("message", json!({ "room": room, "body": "are you there?", "id": room })).await;
        }
    }
    for client in &mut clients {
        while client.hear().await["body"] != "are you there?" {}
    }
}

/// Every other one is rich. Names of users and rooms tell nothing of each other, so that the rooms fill evenly.
async fn come(server: &Durable, n: usize) -> Client {
    let (token, room) = (server.guest(&format!("user{n}")).await, format!("room{}", n / 2 % ROOMS));
    if n.is_multiple_of(2) {
        let mut client = server.rich(&token).await;
        client.command("enter", json!({ "room": room })).await;
        client.of_type("presence").await;
        return client;
    }
    let mut client = server.plain(&token).await;
    let joined = common::rooms::said("system", &format!("user{n} joined"));
    client.until(&joined).await;
    client.command("switchroom", json!({ "room": room })).await;
    client.until(&joined).await;
    client
}

/// Resident memory of the server, in bytes.
fn resident(server: &Durable) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// How many files a process may have open here.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}
