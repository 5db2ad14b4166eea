//! The server killed under its clients, and started again on the same data: they come back, miss nothing, and say all
//! that was typed, once.
#![cfg(all(feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::durable::{Durable, UNLIMITED};
use common::gate::Gate;
use common::listener::{Listener, by_itself, listener};
use talk::client::{Event, State, TextId};

const ROUNDS: usize = 4;
const TEXTS: usize = 40;

fn fast(gate: &Gate, name: &str) -> Listener {
    listener(by_itself(gate.port, name).enter("global").pace(1000, Duration::ZERO))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_cost_clients_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Durable::start(dir.path(), &[UNLIMITED]);
    let gate = Gate::before(server.port).await;
    let (mut ann, mut bob) = (fast(&gate, "ann"), fast(&gate, "bob"));
    ann.connected().await;
    bob.connected().await;
    let mut ids: Vec<TextId> = Vec::new();
    for round in 0..ROUNDS {
        for n in 0..TEXTS {
            ids.push(ann.say(&format!("{round} {n}")).await);
            if n == TEXTS / 2 {
                // Some are said, some on their way, some not sent.
                let said = ids[ids.len() - TEXTS / 4].clone();
                ann.until_state(&said, &State::Accepted).await;
                server.kill();
                server = Durable::start(dir.path(), &[UNLIMITED]);
                gate.lead_to(server.port);
            }
        }
        for listener in [&mut ann, &mut bob] {
            let back = listener.until(|event| matches!(event, Event::Connected { .. } | Event::Ended(_))).await;
            assert!(matches!(back, Event::Connected { resumed: Some(true), .. }), "round {round}: {back:?}");
        }
        let last = ids.last().unwrap().clone();
        ann.until_state(&last, &State::Accepted).await;
    }
    let heard = bob.others("ann", ROUNDS * TEXTS).await;
    let expected: Vec<_> = (0..ROUNDS).flat_map(|round| (0..TEXTS).map(move |n| format!("{round} {n}"))).collect();
    assert_eq!(heard, expected, "each once, and in order");
    for id in &ids {
        ann.until_state(id, &State::Accepted).await;
    }
    let once = bob.heard.iter().filter_map(|event| match event {
        Event::Message(message) => message.position.as_ref().map(|at| at.seq),
        _ => None,
    });
    assert_eq!(once.collect::<HashSet<_>>().len(), ROUNDS * TEXTS);
    ann.leave().await;
    bob.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_survive_a_killed_server_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Durable::start(dir.path(), &[UNLIMITED]);
    let gate = Gate::before(server.port).await;
    let (mut ann, mut bob) = (fast(&gate, "ann"), fast(&gate, "bob"));
    ann.connected().await;
    bob.connected().await;
    for n in 0..5 {
        let id = ann.client.say(Some("bob"), &n.to_string()).await.unwrap();
        ann.until_state(&id, &State::Accepted).await;
    }
    gate.shut();
    server.kill();
    for n in 5..10 {
        ann.client.say(Some("bob"), &n.to_string()).await.unwrap();
    }
    let server = Durable::start(dir.path(), &[UNLIMITED]);
    gate.lead_to(server.port);
    gate.open();
    assert_eq!(bob.others("ann", 10).await, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    let id = ann.client.say(Some("bob"), "the last").await.unwrap();
    assert_eq!(bob.others("ann", 1).await, ["the last"]);
    // It was taken, so it is delivered.
    ann.until_state(&id, &State::Delivered { by: 1, of: 1 }).await;
}
