//! Whom a client of pair chat speaks to: the user it was paired with, and never another who took the name.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/slow_accounts.rs"]
mod slow_accounts;

use std::sync::Arc;

use common::minechat::{hold_the_clock, pass};
use common::pair_chat::{Client, Server};
use common::raw_websocket::PING;
use common::raw_websocket::read_frame;
use common::rooms::{self, said};
use serde_json::{Value, json};
use slow_accounts::SlowAccounts;
use talk::hub::Hub;
use talk::name::Nickname;
use talk::secret::Password;
use tokio::time::Duration;

const GONE: &str = "[server] Message not delivered to user bobby: gone";
const SENT: &str = "[server] Message sent to user bobby";

async fn quit(mut client: Client) {
    client.send(":quit:").await;
    assert_eq!(client.closed().await, Some(1000));
}

/// Reads on until that is said, past pings; tells what came before it.
async fn until(plain: &mut rooms::Client, from: &str, body: &str) -> Vec<Value> {
    let (mut before, expected) = (Vec::new(), said(from, body));
    loop {
        let (opcode, payload) = read_frame(&mut plain.stream).await.expect("a frame");
        if opcode == PING {
            continue;
        }
        let heard: Value = serde_json::from_slice(&payload).unwrap();
        if heard == expected {
            return before;
        }
        before.push(heard);
    }
}

#[tokio::test]
async fn what_is_meant_for_one_who_left_is_not_told_to_whoever_takes_the_name() {
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut alice = server.paired("alice", "bobby").await;
    alice.tells(&mut bobby, "hello", "[alice] hello").await;
    quit(bobby).await;
    let mut stranger = server.named_soon("bobby").await;
    stranger.asks("global", "1").await;
    alice.send("for bobby alone").await;
    alice.hears(&[GONE]).await;
    stranger.settled().await;
    // Now alice knows, and may go on.
    alice.tells(&mut stranger, "who are you?", "[alice] who are you?").await;
    // Each time anew.
    quit(stranger).await;
    let mut another = server.named_soon("bobby").await;
    another.asks("global", "1").await;
    alice.send("for the second").await;
    alice.hears(&[GONE]).await;
    alice.send("for the third").await;
    another.hears(&["[alice] for the third"]).await;
    alice.hears(&[SENT]).await;
}

#[tokio::test]
async fn whoever_is_called_otherwise_now_is_gone_and_their_old_name_is_another_s() {
    let server = Server::start().await;
    let mut plain = server.rooms.join("bobby").await;
    let mut alice = server.paired("alice", "bobby").await;
    alice.send("hello").await;
    alice.hears(&[SENT]).await;
    until(&mut plain, "alice", "hello").await;
    plain.command("setnick", json!({ "nickname": "robert" })).await;
    until(&mut plain, "system", "bobby is now robert").await;
    let mut stranger = server.paired("bobby", "global").await;
    alice.send("for bobby alone").await;
    alice.hears(&[GONE]).await;
    stranger.settled().await;
    // Nobody but who was spoken to hears that alice is gone.
    let mut carol = server.paired("carol", "robert").await;
    quit(alice).await;
    stranger.settled().await;
    carol.send("still there?").await;
    let before = until(&mut plain, "carol", "still there?").await;
    assert!(!before.contains(&said("system", "alice left")), "{before:?}");
}

#[tokio::test]
async fn a_namesake_does_not_hear_that_somebody_left_who_spoke_to_another() {
    let server = Server::start().await;
    let bobby = server.paired("bobby", "global").await;
    let alice = server.paired("alice", "bobby").await;
    quit(bobby).await;
    let mut stranger = server.named_soon("bobby").await;
    stranger.asks("global", "1").await;
    quit(alice).await;
    let mut carol = server.paired("carol", "bobby").await;
    carol.tells(&mut stranger, "hello", "[carol] hello").await;
}

#[tokio::test]
async fn an_account_that_comes_again_is_the_same_and_is_spoken_to_as_before() {
    let server = Server::start().await;
    let (name, password) = (Nickname::new("bobby").unwrap(), Password::new("a long secret").unwrap());
    let come = async || {
        let token = server.hub.sign_in(&name, &password).await.unwrap();
        let headers = format!("sec-websocket-protocol: {}\r\n", token.reveal());
        let mut bobby = server.rooms.open(&headers).await;
        until(&mut bobby, "system", "bobby joined").await;
        bobby
    };
    let mut bobby = come().await;
    let mut alice = server.paired("alice", "bobby").await;
    for n in 0..3 {
        alice.send(&n.to_string()).await;
        until(&mut bobby, "alice", &n.to_string()).await;
        // What was said before may not have been confirmed.
        loop {
            let line = alice.hear().await;
            if line == SENT {
                break;
            }
            assert!(line.ends_with(": timed out"), "{line}");
        }
        bobby.command("exit", json!({})).await;
        assert_eq!(bobby.closed().await, Some(1000));
        bobby = come().await;
    }
}

#[tokio::test]
async fn where_nobody_knows_whether_a_user_is_here_no_room_takes_their_place() {
    let accounts = Arc::new(SlowAccounts::default());
    let server = Server::over(Hub::builder().accounts(accounts.clone()).build().await.unwrap()).await;
    let mut maker = server.rooms.join("maker").await;
    maker.command("createroom", json!({ "name": "lobby" })).await;
    maker.until(&said("system", "maker joined")).await;
    let mut lobby = server.paired("lobby", "global").await;
    let mut alice = server.named("alice").await;
    accounts.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    alice.asks("lobby", "0").await;
    accounts.broken.store(false, std::sync::atomic::Ordering::SeqCst);
    alice.asks("lobby", "1").await;
    alice.send("for the user alone").await;
    lobby.hears(&["[alice] for the user alone"]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_pairs_and_leaves_in_a_loop_is_heard_of_a_few_times() {
    hold_the_clock();
    let server = Server::start().await;
    let mut bobby = server.paired("bobby", "global").await;
    let mut carol = server.paired("carol", "bobby").await;
    let flood = async |from: usize| {
        for n in from..from + 30 {
            quit(server.paired(&format!("mallory{n}"), "bobby").await).await;
        }
    };
    let mut heard = async |said: &str| {
        carol.send(said).await;
        let mut left = 0;
        loop {
            let line = bobby.hear().await;
            if line == format!("[carol] {said}") {
                return left;
            }
            assert!(line.starts_with("[server] User mallory"), "{line}");
            left += 1;
        }
    };
    flood(0).await;
    assert_eq!(heard("now").await, 8);
    flood(30).await;
    assert_eq!(heard("again").await, 0);
    pass(Duration::from_secs(1)).await;
    flood(60).await;
    let later = heard("a second later").await;
    assert!((1..=5).contains(&later), "{later}");
    // It is each listener's own pace: others hear all there is.
    let mut dave = server.paired("dave", "global").await;
    quit(server.paired("erin", "dave").await).await;
    dave.hears(&["[server] User erin left"]).await;
}
