//! What `openapi.yaml` says of a room server: a real one is asked for everything that is documented, and nothing else is
//! answered. The disk's refusals, 507 and most of 503, take a broken store and are tested where those are.
#![cfg(all(feature = "server", feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use common::openapi::Api;
use common::registry::{Answer, Client, JSON, request};
use serde_json::json;
use talk::server::{Config, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A room server in memory until it is stopped.
struct Rooms {
    at: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Rooms {
    async fn start(crowded: bool) -> Self {
        let mut config = Config::default();
        config.merge("the test", "server.port = 0\nlimits.head_timeout = 0.2").unwrap();
        if crowded {
            (config.limits.connections_per_address, config.limits.loopback_exempt) = (0, false);
        }
        let server = Server::bind(config).await.unwrap();
        let at = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run_until(async { stopped.await.unwrap_or(()) }));
        Self { at, stop, running }
    }

    async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        Client::connect(self.at).await.ask(method, target, headers, body).await
    }

    async fn token(&self, name: &str) -> String {
        let answer = self.ask("POST", &format!("/auth?nickname={name}"), &[], "").await;
        assert_eq!(answer.status, 201);
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.running.await.unwrap();
    }
}

/// Everything that is tried on an operation, each with what it is about.
async fn provoke(rooms: &Rooms, crowded: &Rooms, path: &str, method: &str) -> Vec<(&'static str, Answer)> {
    let token = format!("Bearer {}", rooms.token("leaver").await);
    let length = if method == "POST" { "content-length: 0\r\n" } else { "" };
    let upgrade = if path == "/ws" {
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else {
        length
    };
    let host = "host: localhost\r\n";
    let raw = |target: &str, lines: &str| format!("{method} {target} HTTP/1.1\r\n{lines}").into_bytes();
    let body = |headers: &[(&str, &str)], body: &str| request(method, path, headers, body);
    let mut attempts: Vec<(&'static str, Vec<u8>)> = vec![
        ("plain", raw(path, &format!("{host}{length}\r\n"))),
        ("with a token", raw(path, &format!("{host}{upgrade}authorization: {token}\r\n\r\n"))),
        ("without a token", raw(path, &format!("{host}{upgrade}\r\n"))),
        ("a stranger's name", raw(path, &format!("host: evil.example\r\n{upgrade}\r\n"))),
        ("a foreign page", raw(path, &format!("{host}origin: https://evil.example\r\n{upgrade}\r\n"))),
        ("without a Host", raw(path, "\r\n")),
        ("slow", raw(path, host)),
        ("a long target", raw(&format!("{path}?{}", "x".repeat(9000)), &format!("{host}\r\n"))),
        ("a large head", body(&[("x", &"y".repeat(17_000))], "")),
    ];
    if (path, method) == ("/auth", "POST") {
        attempts.extend([
            ("a guest", body(&[JSON], r#"{"nickname":"guest"}"#)),
            ("a new account", body(&[JSON], r#"{"nickname":"carol","secret":"correct horse"}"#)),
            ("the account again", body(&[JSON], r#"{"nickname":"carol","secret":"correct horse"}"#)),
            ("another secret", body(&[JSON], r#"{"nickname":"carol","secret":"a wild guess"}"#)),
            (
                "an account that is known",
                body(&[JSON], r#"{"nickname":"carol","secret":"correct horse","account":"known"}"#),
            ),
            ("one that is not", body(&[JSON], r#"{"nickname":"carrol","secret":"correct horse","account":"known"}"#)),
            ("a name that is taken", body(&[JSON], r#"{"nickname":"leaver"}"#)),
            ("no JSON", body(&[JSON], "{")),
            ("another media type", body(&[("content-type", "text/plain")], "nickname=x")),
            (
                "a large body",
                raw(path, &format!("{host}content-type: application/json\r\ncontent-length: 70000\r\n\r\n")),
            ),
        ]);
    }
    if path == "/" {
        attempts.push(("a page that is known", body(&[("if-none-match", "*")], "")));
    }
    let mut answers = Vec::new();
    for (server, (what, bytes)) in
        attempts.into_iter().map(|attempt| (rooms, attempt)).chain([(crowded, ("crowded", body(&[], "")))])
    {
        let mut client = Client::connect(server.at).await;
        client.send(&bytes).await;
        // What is refused before hyper knows the method has a body all the same.
        let has_body = ["slow", "a large head", "crowded"].contains(&what);
        let answer = client.answer_to(if has_body { "GET" } else { method }).await;
        let mut answer = answer.unwrap_or_else(|| panic!("{method} {path}, {what}: no answer"));
        if method == "HEAD" && has_body {
            answer.refused(answer.status, what);
            answer.body.clear();
        }
        answers.push((what, answer));
    }
    answers
}

#[tokio::test]
async fn every_documented_answer_of_a_room_server_is_given_and_no_other() {
    let api = Api::read();
    let crowded = Rooms::start(true).await;
    let mut exercised = 0;
    for (path, method, responses) in api.operations("/").into_iter().filter(|(path, ..)| !path.starts_with("/v1")) {
        let rooms = Rooms::start(false).await;
        let mut open: BTreeSet<u16> = responses.keys().copied().filter(|status| ![503, 507].contains(status)).collect();
        for (what, answer) in provoke(&rooms, &crowded, &path, &method).await {
            let what = format!("{method} {path}, {what}: {}", answer.status);
            let response = responses.get(&answer.status).unwrap_or_else(|| panic!("{what} is not documented"));
            api.check(&what, response, &method, &answer);
            open.remove(&answer.status);
            exercised += 1;
        }
        assert!(open.is_empty(), "{method} {path}: documented, but not seen: {open:?}");
        rooms.stop().await;
    }
    assert!(exercised > 100, "{exercised}");
    crowded.stop().await;
}

#[tokio::test]
async fn every_path_and_method_of_a_room_server_is_documented() {
    let api = Api::read();
    let rooms = Rooms::start(false).await;
    let detail = rooms.ask("GET", "/nothing", &[], "").await.json()["detail"].as_str().unwrap().to_owned();
    let named: BTreeSet<_> = detail.split([' ', ',']).filter(|word| word.starts_with('/')).collect();
    let operations = api.operations("/");
    assert_eq!(named, operations.iter().map(|(path, ..)| &**path).filter(|path| *path != "/v1/users/").collect());
    for path in named.into_iter().filter(|path| !path.starts_with("/v1")) {
        let answer = rooms.ask("PATCH", path, &[], "").await;
        answer.refused(405, path);
        let allowed: BTreeSet<_> = answer.header("allow").unwrap().split(", ").map(str::to_owned).collect();
        let documented = operations.iter().filter(|(of, method, _)| of == path && method != "OPTIONS");
        assert_eq!(allowed, documented.map(|(_, method, _)| method.clone()).collect(), "{path}");
    }
    rooms.stop().await;
}

#[test]
fn documented_sign_ins_are_what_a_server_takes() {
    let api = Api::read();
    let schema = &api.0.0["components"]["schemas"]["SignIn"];
    for (body, fits) in [
        (json!({ "nickname": "ann" }), true),
        (json!({ "nickname": "ann", "secret": "correct horse" }), true),
        (json!({ "nickname": "a" }), false),
        (json!({ "nickname": "ann", "secret": "short" }), false),
        (json!(["ann"]), false),
    ] {
        assert_eq!(api.0.misfit(schema, &body, "SignIn").is_none(), fits, "{body}");
    }
}
