//! `openapi.yaml` says what the service does: every documented answer is provoked and held against its schema, and
//! nothing else is answered.
#![cfg(all(feature = "net", feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::openapi::Api;
use common::registry::{ACCEPT_V2, Answer, JSON, Server, V2, request};
use serde_json::json;
use talk::address::Address;
use talk::limits::Limits;
use talk::message::Timestamp;
use talk::name::UserName;
use talk::secret::Secret;
use talk::store::{Claim, Registration, RegistryStore, StoreError};

const OWNED: &str = r#"{"name":"owned","address":{"protocol":"UDP","host":"h","port":1}}"#;

/// A store that can do nothing, or nothing new.
#[derive(Debug)]
struct Failing(StoreError);

impl Failing {
    fn write<T>(&self) -> Result<T, StoreError> {
        Err(self.0.clone())
    }

    fn read<T: Default>(&self) -> Result<T, StoreError> {
        if matches!(self.0, StoreError::Full(_)) { Ok(T::default()) } else { Err(self.0.clone()) }
    }
}

#[async_trait]
impl RegistryStore for Failing {
    async fn insert(&self, _: &UserName, _: &Claim, _: Timestamp) -> Result<(), StoreError> {
        self.write()
    }

    async fn upsert(&self, _: &UserName, _: &Claim, _: Timestamp) -> Result<(), StoreError> {
        self.write()
    }

    async fn remove(&self, _: &UserName, _: Option<&Secret>, _: Timestamp) -> Result<bool, StoreError> {
        self.write()
    }

    async fn evict(&self, _: &UserName, _: &Address, _: Timestamp) -> Result<bool, StoreError> {
        self.write()
    }

    async fn get(&self, _: &UserName, _: Timestamp) -> Result<Option<Registration>, StoreError> {
        self.read()
    }

    async fn list(&self, _: Timestamp) -> Result<Vec<(UserName, Registration)>, StoreError> {
        self.read()
    }

    async fn renew_all(&self, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The servers that it takes to provoke every answer.
struct Servers {
    working: Server,
    full: Server,
    broken: Server,
    crowded: Server,
}

impl Servers {
    async fn start() -> Self {
        let mut limits = Limits::default();
        limits.head_timeout = Duration::from_millis(200);
        let failing = async |error| Server::over(Arc::new(Failing(error)), &limits).await;
        let mut crowded = limits.clone();
        crowded.connections_per_address = 0;
        crowded.loopback_exempt = false;
        Self {
            working: Server::with(&limits).await,
            full: failing(StoreError::Full("no space is left on the disk".into())).await,
            broken: failing(StoreError::Unavailable("the disk failed".into())).await,
            crowded: Server::with(&crowded).await,
        }
    }

    async fn reset(&self) {
        let secret = ("authorization", "Bearer mine");
        let v2 = r#"{"protocol":"UDP","host":"h","port":1,"features":["ack"]}"#;
        let unix = r#"{"protocol":"UNIX","locator":"/x"}"#;
        for (name, headers, body) in [
            ("owned", &[V2, secret][..], v2),
            ("open", &[V2][..], v2),
            ("leased?ttl=3600", &[V2][..], v2),
            ("unix", &[V2][..], unix),
        ] {
            let target = format!("/v1/users/{name}");
            assert_eq!(self.working.ask("PUT", &target, headers, body).await.status, 200);
        }
        self.working.ask("DELETE", "/v1/users/absent", &[], "").await;
    }

    /// Everything that is tried on an operation, each with what it is about.
    async fn provoke(&self, path: &str, method: &str) -> Vec<(&'static str, Answer)> {
        let target = |user: &str| path.replace("{user}", user);
        let body = match method {
            "POST" => r#"{"name":"absent","address":{"protocol":"UDP","host":"h","port":"1"}}"#,
            "PUT" => r#"{"host":"h","port":1}"#,
            _ => "",
        };
        let head = |lines: &str| format!("{method} {} HTTP/1.1\r\n{lines}", target("open")).into_bytes();
        let host = "host: x\r\ncontent-type: application/json\r\n";
        let plain = |user: &str| request(method, &target(user), &[JSON], body);
        let attempts: Vec<(&'static str, &Server, Vec<u8>)> = vec![
            ("plain", &self.working, plain("open")),
            ("absent", &self.working, plain("absent")),
            ("version 2", &self.working, request(method, &target("leased"), &[V2, ACCEPT_V2], body)),
            ("plug-in, version 1", &self.working, request(method, &target("unix"), &[JSON], body)),
            ("plug-in, version 2", &self.working, request(method, &target("unix"), &[V2, ACCEPT_V2], body)),
            (
                "another's",
                &self.working,
                request(method, &target("owned"), &[JSON], if method == "POST" { OWNED } else { body }),
            ),
            ("without a Host", &self.working, head("\r\n")),
            ("slow", &self.working, head(host)),
            ("a large body", &self.working, head(&format!("{host}content-length: 70000\r\n\r\n"))),
            (
                "a long target",
                &self.working,
                request(method, &format!("{}?{}", target("open"), "x".repeat(9000)), &[], ""),
            ),
            (
                "another media type",
                &self.working,
                request(method, &target("open"), &[("content-type", "text/plain")], body),
            ),
            ("a large head", &self.working, request(method, &target("open"), &[("x", &"y".repeat(17_000))], "")),
            ("crowded", &self.crowded, plain("open")),
            ("broken", &self.broken, plain("open")),
            ("full", &self.full, plain("open")),
        ];
        let mut answers = Vec::new();
        for (what, server, bytes) in attempts {
            self.reset().await;
            let mut client = server.connect().await;
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
}

#[tokio::test]
async fn every_documented_answer_is_given_and_no_other() {
    let api = Api::read();
    let servers = Servers::start().await;
    let mut exercised = 0;
    for (path, method, responses) in api.operations("/v1") {
        let mut open: BTreeSet<u16> = responses.keys().copied().collect();
        for (what, answer) in servers.provoke(&path, &method).await {
            let what = format!("{method} {path}, {what}: {}", answer.status);
            let response = responses.get(&answer.status).unwrap_or_else(|| panic!("{what} is not documented"));
            api.check(&what, response, &method, &answer);
            open.remove(&answer.status);
            exercised += 1;
        }
        assert!(open.is_empty(), "{method} {path}: documented, but not seen: {open:?}");
    }
    assert!(exercised > 100, "{exercised}");
    for server in [servers.working, servers.full, servers.broken, servers.crowded] {
        server.stop().await;
    }
}

#[tokio::test]
async fn every_route_and_method_is_documented() {
    let api = Api::read();
    assert_eq!(api.0.0["info"]["version"], env!("CARGO_PKG_VERSION"));
    let server = Server::start().await;
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in api.operations("/v1") {
        documented.entry(path).or_default().insert(method);
    }
    for (path, mut methods) in documented {
        assert!(methods.remove("OPTIONS"), "{path} says that other methods are refused");
        let answer = server.ask("OPTIONS", &path.replace("{user}", "bob"), &[], "").await;
        let allowed: BTreeSet<String> = answer.header("allow").unwrap().split(", ").map(str::to_owned).collect();
        assert_eq!(allowed, methods, "{path}");
    }
    // The refusal of an unknown path names every path there is.
    let detail = server.get("/").await.json()["detail"].as_str().unwrap().to_owned();
    let named = detail.split([' ', ',']).filter(|word| word.starts_with("/v1/")).collect::<BTreeSet<_>>();
    let paths = api.0.0["paths"].as_object().unwrap().keys().filter(|path| path.starts_with("/v1"));
    let paths = paths.map(|path| path.trim_end_matches('/'));
    assert_eq!(named, paths.collect::<BTreeSet<_>>());
    server.stop().await;
}

#[test]
fn documented_request_bodies_are_what_the_field_sends() {
    let api = Api::read();
    let schema = |name: &str| api.0.0["components"]["schemas"][name].clone();
    for (name, body) in [
        ("Registration", json!({"name":"bob","address":{"protocol":"HTTP","host":"127.0.0.1","port":8080}})),
        ("Registration", json!({"user":"bob","address":{"protocol":"UDP","host":"::1","port":"8080"}})),
        ("Placement", json!({"host":"h","port":1})),
        ("Placement", json!({"address":{"protocol":"UDP","host":"h","port":1}})),
        ("PlacementV2", json!({"protocol":"UNIX","locator":"/x","features":["ack"]})),
    ] {
        assert_eq!(api.0.misfit(&schema(name), &body, name), None);
    }
    for (name, body) in [
        ("Registration", json!({"name":"bob"})),
        ("Registration", json!({"name":"bob","address":["UDP","h",1]})),
        ("Placement", json!({"host":"h","port":0})),
        ("Entry", json!({"protocol":"HTTP","host":"h","port":1,"features":[]})),
        ("EntryV2", json!({"protocol":"HTTP","host":"h","port":1})),
    ] {
        assert!(api.0.misfit(&schema(name), &body, name).is_some(), "{name} takes {body}");
    }
}
