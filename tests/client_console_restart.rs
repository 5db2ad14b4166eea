//! The server killed under a client of console chat, and started again: it comes back by itself and says all that was
//! typed.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::BufRead;

use common::durable::Durable;
use common::gate::Gate;
use common::listener::{Listener, user};
use common::programs::Home;
use talk::client::console::Options;
use talk::client::{Ended, Event, State};

/// A server on the data of this home, and its console port.
fn start(home: &Home) -> (Durable, u16) {
    let mut server = Durable::spawn(home.server(&["--port", "0", "--console-port", "0"]));
    let mut line = String::new();
    server.out.read_line(&mut line).unwrap();
    let port = line.trim_end().strip_prefix("console on 127.0.0.1:").unwrap_or_else(|| panic!("{line}"));
    let port = port.parse().unwrap();
    (server, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_lose_nothing_that_was_typed() {
    let home = Home::new();
    let (mut server, port) = start(&home);
    let (gate, rooms) = (Gate::before(port).await, Gate::before(server.port).await);
    // On the other side somebody who misses nothing.
    let mut bob = user(rooms.port, "bob");
    bob.connected().await;
    let mut ann = Listener::of(Options::new("127.0.0.1", gate.port, "ann").connect().unwrap());
    ann.connected().await;
    let mut expected = Vec::new();
    for round in 0..3 {
        for n in 0..8 {
            expected.push(format!("{round} {n}"));
            let id = ann.say(&format!("{round} {n}")).await;
            if n == 4 {
                // Some are said, one on its way, some not sent.
                ann.until_state(&id, &State::Sent).await;
                server.kill();
                ann.until(|event| matches!(event, Event::Lost { .. })).await;
                let console;
                (server, console) = start(&home);
                rooms.lead_to(server.port);
                gate.lead_to(console);
            }
        }
        assert_eq!(ann.connected().await, (Some("ann".into()), None));
        let last = expected.last().unwrap().clone();
        bob.until(|event| matches!(event, Event::Message(message) if *message.text == *last)).await;
    }
    let mut heard: Vec<String> = Vec::new();
    for event in &bob.heard {
        if let Event::Message(message) = event
            && !heard.contains(&message.text.to_string())
        {
            heard.push(message.text.to_string());
        }
    }
    assert_eq!(heard, expected);
    assert_eq!(ann.leave().await, Ended::Left { unsettled: 0 });
    bob.leave().await;
}
