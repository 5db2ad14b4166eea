//! The examples that embed a room server: a bot in a room, and rooms inside another's HTTP server.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

#[allow(dead_code, clippy::duplicate_mod)]
#[path = "../examples/bot.rs"]
mod bot;
mod common;
#[allow(dead_code, clippy::duplicate_mod)]
#[path = "../examples/mount.rs"]
mod mount;

use common::raw::{LONG, exchange};
use common::rooms::{Client, Server, form, said, status, token_in};
use talk::gateway::http;
use talk::hub::Hub;
use tokio::net::TcpListener;

#[tokio::test]
async fn the_bot_greets_whoever_comes_and_answers_its_words() {
    let server = Server::start().await;
    let (seat, heard) = bot::enter(&server.hub).await.unwrap();
    let attending = tokio::spawn(bot::attend(seat, heard));
    let mut ann = server.join("ann").await;
    ann.until(&said("clock", "welcome, ann")).await;
    let mut bob = server.join("bob").await;
    for client in [&mut ann, &mut bob] {
        client.until(&said("clock", "welcome, bob")).await;
    }
    for body in ["hello", "!count", "!time"] {
        bob.say(body).await;
    }
    bob.until(&said("clock", "2 since I came")).await;
    let clock = loop {
        let heard = ann.hear().await;
        let body = heard["body"].as_str().unwrap().to_owned();
        if heard["from"] == "clock" && body.starts_with("it is ") {
            break body;
        }
    };
    assert_eq!((clock.len(), &clock[clock.len() - 4..]), ("it is 00:00:00 UTC".len(), " UTC"));
    server.stop().await;
    tokio::time::timeout(LONG, attending).await.expect("it ends with the hub").unwrap().unwrap();
}

#[tokio::test]
async fn rooms_and_the_hosts_own_pages_share_one_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(mount::serve(listener, http::service(Hub::new())));
    let page = exchange(port, "GET /about HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(status(&page) == 200 && page.ends_with("a page of my own at /about\n"), "{page}");
    let join = async |name: &str| {
        let head = "POST /auth HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        let token = token_in(&exchange(port, format!("{head}{}", form(name))).await);
        let protocol = format!("sec-websocket-protocol: {token}\r\n");
        let (stream, head) = common::raw_websocket::open(port, "/ws", &protocol).await;
        let mut client = Client { stream, head, token };
        client.until(&said("system", &format!("{name} joined"))).await;
        client
    };
    let (mut ann, mut bob) = (join("ann").await, join("bob").await);
    ann.say("hello").await;
    bob.until(&said("ann", "hello")).await;
    bob.say("hello yourself").await;
    ann.until(&said("bob", "hello yourself")).await;
    serving.abort();
}

#[test]
fn both_are_short() {
    for source in [include_str!("../examples/bot.rs"), include_str!("../examples/mount.rs")] {
        assert!(source.lines().count() < 80);
    }
}
