//! How `talk-server` ends: who is told, what is finished, and what is there afterwards.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::durable::{Durable, UNLIMITED};
use common::exposition::Exposition;
use common::programs::Home;
use common::registry::Client;
use common::rooms::{said, status};
use serde_json::json;

/// A registration of which the server has the head, and waits for the body.
async fn begun(server: &Durable, name: &str) -> Client {
    let mut client = Client::connect(server.at).await;
    let length = BODY.len();
    let head = format!(
        "PUT /v1/users/{name} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    client.send(head.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 100);
    client
}

const BODY: &str = r#"{"host":"127.0.0.1","port":1}"#;

/// What a directory holds, asked of a server that was started on it again.
async fn holds(data: &Path, texts: &[&str], registered: &[&str]) {
    let server = Durable::start(data, &[]);
    let mut carol = server.join("carol").await;
    carol.command("history", json!({"limit": 1000})).await;
    for text in texts {
        assert_eq!(carol.hear().await, said("ann", text));
    }
    carol.say("end").await;
    assert_eq!(carol.hear().await, said("carol", "end"), "nothing else was kept");
    let users: serde_json::Value = serde_json::from_str(&server.get("/v1/users").await.1).unwrap();
    let users: Vec<_> = users.as_object().unwrap().keys().collect();
    assert_eq!(users, registered);
    // An account is its owner's.
    assert_eq!(status(&server.try_account("ann", "another secret").await), 403);
    assert_eq!(status(&server.try_account("ann", common::durable::SECRET).await), 201);
}

#[tokio::test]
async fn a_signal_tells_every_session_finishes_requests_and_keeps_what_was_accepted() {
    for signal in ["TERM", "INT"] {
        let home = Home::new();
        let data = home.path().join("data");
        let server = Durable::start(&data, &[UNLIMITED, "limits.grace=60"]);
        let mut ann = server.plain(&server.account("ann").await).await;
        ann.until(&said("system", "ann joined")).await;
        let mut sessions = Vec::new();
        for n in 0..10 {
            sessions.push(server.plain(&server.guest(&format!("guest{n}")).await).await);
            sessions.push(server.rich(&server.guest(&format!("rich{n}")).await).await);
        }
        let texts: Vec<_> = (0..50).map(|n| format!("text {n}")).collect();
        for text in &texts {
            ann.say(text).await;
        }
        // Its echo says that a message is kept.
        ann.until(&said("ann", "text 49")).await;
        let mut dave = begun(&server, "dave").await;
        server.signal(signal);
        for session in sessions.iter_mut().chain([&mut ann]) {
            assert_eq!(session.closed().await, Some(1001), "{signal}");
        }
        server.until_closed().await;
        dave.send(BODY.as_bytes()).await;
        assert_eq!(dave.answer().await.unwrap().status, 200, "{signal}");
        assert!(dave.is_closed().await);
        drop((sessions, ann));
        let (status, printed) = server.ended().await;
        assert_eq!((status.code(), printed.as_str()), (Some(0), ""), "{signal}");
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        holds(&data, &texts, &["dave"]).await;
    }
}

#[tokio::test]
async fn before_it_stops_it_is_not_ready_for_a_while_and_serves_on() {
    let home = Home::new();
    let data = home.path().join("data");
    let server = Durable::start(&data, &["server.drain_delay=600", "limits.grace=600"]);
    let mut ann = server.plain(&server.account("ann").await).await;
    assert_eq!(ann.system().await, "ann joined");
    assert_eq!(server.get("/readyz").await.0, 200);
    server.signal("TERM");
    server.until("/readyz", 503).await;
    let answer = server.ask("GET /readyz", "", "").await;
    assert!(answer.contains("the server is stopping") && answer.contains("retry-after: "), "{answer}");
    assert_eq!(server.get("/healthz").await.0, 200);
    assert_eq!(Exposition::parse(&server.get("/metrics").await.1).unwrap().value("talk_ready"), 0.0);
    // Until the balancer has seen it, everybody is served.
    let bob = server.join("bob").await;
    assert_eq!(ann.system().await, "bob joined");
    ann.say("kept").await;
    assert_eq!(ann.hear().await, said("ann", "kept"));
    let answer = server.ask("PUT /v1/users/dave", "content-type: application/json\r\n", BODY).await;
    assert_eq!(status(&answer), 200);
    // The second signal waits for nothing, and loses nothing.
    server.signal("TERM");
    assert_eq!(server.ended().await.0.code(), Some(130));
    assert_eq!(ann.closed().await, None);
    drop(bob);
    holds(&data, &["kept"], &["dave"]).await;
}

#[tokio::test]
async fn after_the_delay_it_stops_by_itself() {
    let home = Home::new();
    let server = home.start(&["--memory", "--set", "server.drain_delay=0.2"]);
    let mut ann = server.join("ann").await;
    server.signal("INT");
    assert_eq!(ann.closed().await, Some(1001));
    drop(ann);
    assert_eq!(server.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_requests() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let home = Home::new();
        let data = home.path().join("data");
        let server = Durable::start(&data, &["limits.grace=600", "limits.body_timeout=600"]);
        let mut ann = server.plain(&server.account("ann").await).await;
        assert_eq!(ann.system().await, "ann joined");
        ann.say("kept").await;
        assert_eq!(ann.hear().await, said("ann", "kept"));
        let mut held = begun(&server, "dave").await;
        server.signal(first);
        assert_eq!(ann.closed().await, Some(1001));
        server.until_closed().await;
        server.signal(second);
        assert_eq!(server.ended().await.0.code(), Some(130), "{first} {second}");
        assert!(held.is_closed().await);
        holds(&data, &["kept"], &[]).await;
    }
}

#[tokio::test]
async fn requests_and_sessions_that_do_not_end_are_cut_when_their_time_is_over() {
    let home = Home::new();
    let server = home.start(&["--memory", "--set", "limits.grace=0.2"]);
    // Neither sends its body or its Close.
    let mut held = begun(&server, "dave").await;
    let ann = server.join("ann").await;
    server.signal("TERM");
    assert_eq!(server.ended().await.0.code(), Some(0));
    assert!(held.is_closed().await);
    drop(ann);
}
