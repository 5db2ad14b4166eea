//! The server killed under the clients of pair chat, and started again: they come back, find each other, and all that was
//! typed is said.
#![cfg(all(feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::durable::{Durable, PROGRAM, UNLIMITED};
use common::gate::Gate;
use common::listener::Listener;
use talk::client::pair::Options;
use talk::client::{Event, State, TextId};

const ROUNDS: usize = 3;
const TEXTS: usize = 20;

/// A server, and its port of pair chat.
fn start(dir: &Path) -> (Durable, u16) {
    let mut command = Durable::command(Command::new(PROGRAM), dir, &[UNLIMITED]);
    command.args(["--pair-port", "0"]);
    let mut server = Durable::spawn(command);
    let mut line = String::new();
    server.out.read_line(&mut line).unwrap();
    let port = line.trim_end().strip_prefix("pair on 127.0.0.1:").unwrap_or_else(|| panic!("{line:?}"));
    let port = port.parse().unwrap();
    (server, port)
}

fn user(gate: &Gate, name: &str, to: &str) -> Listener {
    let options = Options::new("127.0.0.1", gate.port, name).to(to).pace(1000, Duration::ZERO);
    Listener::of(options.connect().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_nothing_that_was_typed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, port) = start(dir.path());
    let gate = Gate::before(port).await;
    let (mut ann, mut bob) = (user(&gate, "ann", "bob"), user(&gate, "bob", "ann"));
    let to_bob = Event::Selected { to: Some("bob".into()) };
    ann.until(|event| *event == to_bob).await;
    let id = ann.say("hello").await;
    ann.until_state(&id, &State::Delivered { by: 1, of: 1 }).await;
    let mut ids: Vec<TextId> = Vec::new();
    for round in 0..ROUNDS {
        for n in 0..TEXTS {
            ids.push(ann.say(&format!("{round} {n}")).await);
            if n == TEXTS / 2 {
                // Some are said, some on their way, some not sent.
                let said = ids[ids.len() - TEXTS / 4].clone();
                ann.until_state(&said, &State::Accepted).await;
                server.kill();
                let (again, port) = start(dir.path());
                server = again;
                gate.lead_to(port);
            }
        }
        let lost = |event: &Event| matches!(event, Event::Lost { .. });
        ann.until(lost).await;
        ann.until(|event| *event == to_bob).await;
        let last = ids.last().unwrap().clone();
        ann.until_state(&last, &State::Accepted).await;
        let last = format!("{round} {}", TEXTS - 1);
        bob.until(|event| matches!(event, Event::Message(message) if *message.text == *last)).await;
    }
    let heard = bob.heard.iter().filter_map(|event| match event {
        Event::Message(message) if !message.own => Some(message.text.to_string()),
        _ => None,
    });
    let heard: Vec<_> = heard.collect();
    let mut known = HashSet::new();
    let first: Vec<_> = heard.iter().filter(|text| known.insert((*text).clone())).cloned().collect();
    let said: Vec<_> = (0..ROUNDS).flat_map(|round| (0..TEXTS).map(move |n| format!("{round} {n}"))).collect();
    let expected: Vec<_> = std::iter::once("hello".to_owned()).chain(said).collect();
    assert_eq!(first, expected, "all, and in order");
    let shown = ann.heard.iter().filter(|event| matches!(event, Event::Message(message) if message.own)).count();
    assert_eq!(shown, expected.len(), "each is one text to its author");
    ann.leave().await;
    bob.leave().await;
}
