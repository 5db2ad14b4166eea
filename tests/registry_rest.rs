//! The registry's REST over real sockets, line by line.
#![cfg(all(feature = "net", feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use common::registry::{ACCEPT_V2, Client, JSON, Server, V2, request};
use serde_json::json;
use talk::limits::Limits;
use talk::registry::service;
use talk::store::{MemoryRegistry, RegistryStore};
use tokio::task::JoinSet;

const BOB: &str = r#"{"user":"bob","address":{"protocol":"HTTP","host":"127.0.0.1","port":8080}}"#;

fn bearer(secret: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {secret}"))
}

#[tokio::test]
async fn a_registry_of_its_own_goes_by_any_name() {
    let server = Server::start().await;
    for host in ["registry", "chat.example:8088", "192.0.2.1", "[2001:db8::1]:80"] {
        let mut client = server.connect().await;
        client.send(format!("GET /v1/users HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await;
        assert_eq!(client.answer().await.unwrap().status, 200, "{host}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_user_is_registered_found_changed_and_removed() {
    let server = Server::start().await;
    assert_eq!(server.users().await, json!({}));
    let answer = server.ask("POST", "/v1/users", &[JSON], BOB).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &br#"{"status":"ok"}"#[..]));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    server.ask("POST", "/v1/users", &[JSON], BOB).await.refused(409, "a name that is taken");

    let address = json!({"protocol":"HTTP","host":"127.0.0.1","port":8080});
    assert_eq!(server.users().await, json!({ "bob": address }));
    assert_eq!(server.get("/v1/users/").await.json(), json!({ "bob": address }));
    assert_eq!(server.get("/v1/users/bob").await.json(), address);
    server.get("/v1/users/ann").await.refused(404, "an unknown user");

    let answer = server.ask("PUT", "/v1/users/bob", &[JSON], r#"{"protocol":"udp","host":"h","port":"3002"}"#).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"status":"ok"})));
    assert_eq!(server.get("/v1/users/bob").await.json(), json!({"protocol":"UDP","host":"h","port":3002}));
    for _ in 0..2 {
        let answer = server.ask("DELETE", "/v1/users/bob", &[], "").await;
        assert_eq!((answer.status, answer.json()), (200, json!({"status":"ok"})), "also when absent");
    }
    assert_eq!(server.users().await, json!({}));
    server.stop().await;
}

#[tokio::test]
async fn post_takes_name_or_user_and_put_takes_the_bare_and_the_full_form() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for body in [
        r#"{"name":"a","address":{"protocol":"WebSocket","host":"::1","port":1},"extra":{"x":[1]}}"#,
        r#"{"name":"b","user":"b","address":{"protocol":"UDP","host":"0:0::1","port":"01","x":null}}"#,
        r#"{"user":"c","address":{"protocol":"http","host":"::ffff:10.0.0.1","port":65535}}"#,
    ] {
        assert_eq!(client.ask("POST", "/v1/users", &[JSON], body).await.status, 200, "{body}");
    }
    for (name, body) in [
        ("d", r#"{"host":"0.0.0.0","port":4}"#),
        ("e", r#"{"name":"other","address":{"protocol":"UDP","host":"h.example","port":5}}"#),
        ("f", r#"{"user":"other","address":{"host":"h_1","port":"6"}}"#),
        ("a", r#"{"host":"::1","port":7}"#),
    ] {
        assert_eq!(client.ask("PUT", &format!("/v1/users/{name}"), &[JSON], body).await.status, 200, "{body}");
    }
    let expected = json!({
        "a": {"protocol":"WEBSOCKET","host":"::1","port":7},
        "b": {"protocol":"UDP","host":"::1","port":1},
        "c": {"protocol":"HTTP","host":"10.0.0.1","port":65535},
        "d": {"protocol":"HTTP","host":"0.0.0.0","port":4},
        "e": {"protocol":"UDP","host":"h.example","port":5},
        "f": {"protocol":"HTTP","host":"h_1","port":6},
    });
    assert_eq!(server.users().await, expected);
    server.stop().await;
}

#[tokio::test]
async fn health_is_plain_text_and_head_is_like_get() {
    let server = Server::start().await;
    let answer = server.get("/v1/health").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"OK"[..]));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    server.put("bob", 1).await;
    for target in ["/v1/health", "/v1/users", "/v1/users/", "/v1/users/bob", "/v1/users/nobody", "/v1/nothing"] {
        let get = server.get(target).await;
        let mut client = server.connect().await;
        let head = client.ask("HEAD", target, &[], "").await;
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{target}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{target}");
        assert_eq!(client.ask("GET", "/v1/health", &[], "").await.body, b"OK", "a HEAD has no body: {target}");
    }
    server.stop().await;
}

#[tokio::test]
async fn unknown_paths_are_404_and_other_methods_405_with_allow() {
    let server = Server::start().await;
    for target in [
        "/",
        "/v1",
        "/v1/",
        "/v1/user",
        "/v1/users/a/b",
        "/v1/users/a/",
        "/v1/users//",
        "/v2/users",
        "//v1/users",
        "/v1/health/",
        "/V1/users",
        "/v1/%75sers",
        "/v1/users;a",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            server.ask(method, target, &[], "").await.refused(404, &format!("{method} {target}"));
        }
    }
    for (target, allowed) in [
        ("/v1/users", "GET, HEAD, POST"),
        ("/v1/users/", "GET, HEAD, POST"),
        ("/v1/users/bob", "GET, HEAD, PUT, DELETE"),
        ("/v1/health", "GET, HEAD"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get"] {
            if !allowed.split(", ").any(|a| a == method) {
                let answer = server.ask(method, target, &[], "").await;
                answer.refused(405, &format!("{method} {target}"));
                assert_eq!(answer.header("allow"), Some(allowed));
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_name_in_a_path_is_decoded_once() {
    let server = Server::start().await;
    let body = r#"{"host":"h","port":1}"#;
    assert_eq!(server.ask("PUT", "/v1/users/b%6F%62", &[JSON], body).await.status, 200);
    assert_eq!(server.get("/v1/users/%62ob").await.status, 200);
    assert_eq!(server.ask("DELETE", "/v1/users/bo%62", &[], "").await.status, 200);
    assert_eq!(server.users().await, json!({}));
    for name in
        ["b%2562", "a%2Fb", "%00", "a%20b", "a+b", "%D0%B1", "%ff", "%", "%4", "%zz", ".", "..", "%2e%2E", "a@b"]
    {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = server.ask(method, &format!("/v1/users/{name}"), &[JSON], body).await;
            answer.refused(400, &format!("{method} {name}"));
        }
    }
    for name in ["system", "SERVER", "Talk", "healthcheck"] {
        server.ask("PUT", &format!("/v1/users/{name}"), &[JSON], body).await.refused(400, name);
        let post = format!(r#"{{"name":"{name}","address":{{"protocol":"UDP","host":"h","port":1}}}}"#);
        server.ask("POST", "/v1/users", &[JSON], &post).await.refused(400, name);
    }
    assert_eq!(server.ask("PUT", &format!("/v1/users/{}", "n".repeat(64)), &[JSON], body).await.status, 200);
    server.ask("PUT", &format!("/v1/users/{}", "n".repeat(65)), &[JSON], body).await.refused(400, "65 characters");
    server.stop().await;
}

#[tokio::test]
async fn version_2_is_for_those_who_ask_and_version_1_holds_exactly_three_fields() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let udp = r#"{"protocol":"UDP","host":"h","port":1,"features":["room","ack"]}"#;
    assert_eq!(client.ask("PUT", "/v1/users/new?ttl=60", &[V2], udp).await.status, 200);
    assert_eq!(client.ask("PUT", "/v1/users/old", &[JSON], udp).await.status, 200, "features are an unknown field");
    let unix = r#"{"name":"unix","address":{"protocol":"unix","locator":"/tmp/x"},"features":["ack"]}"#;
    assert_eq!(client.ask("POST", "/v1/users", &[V2], unix).await.status, 200);
    client.ask("POST", "/v1/users", &[JSON], unix).await.refused(400, "a protocol that version 1 does not have");

    let v1 = json!({"protocol":"UDP","host":"h","port":1});
    for accept in ["*/*", "application/json", "text/html", "application/vnd.talk.v2+json;q=0.1, */*"] {
        let answer = client.ask("GET", "/v1/users", &[("accept", accept)], "").await;
        assert_eq!(answer.json(), json!({"new": v1, "old": v1}), "{accept}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("vary"), Some("accept"));
    }
    let answer = client.ask("GET", "/v1/users", &[ACCEPT_V2], "").await;
    assert_eq!(answer.header("content-type"), Some("application/vnd.talk.v2+json"));
    assert_eq!(answer.header("vary"), Some("accept"));
    let mut users = answer.json();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let expires = users["new"]["expires"].take().as_u64().unwrap();
    assert!((now + 1..=now + 61).contains(&expires), "seconds since the epoch: {expires}");
    let expected = json!({
        "new": {"protocol":"UDP","host":"h","port":1,"features":["ack","room"],"expires":null},
        "old": {"protocol":"UDP","host":"h","port":1,"features":[],"expires":null},
        "unix": {"protocol":"UNIX","locator":"/tmp/x","features":["ack"],"expires":null},
    });
    assert_eq!(users, expected);
    assert_eq!(client.ask("GET", "/v1/users/unix", &[ACCEPT_V2], "").await.json(), expected["unix"]);
    client.ask("GET", "/v1/users/unix", &[], "").await.refused(404, "version 1 has no form for it");
    server.stop().await;
}

#[tokio::test]
async fn an_unchanged_address_keeps_its_features_and_another_drops_them() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let v2 = r#"{"protocol":"UDP","host":"h","port":1,"features":["ack"]}"#;
    for (body, kept) in [
        (r#"{"protocol":"UDP","host":"h","port":1}"#, true),
        (r#"{"host":"h","port":"1"}"#, true),
        (r#"{"protocol":"HTTP","host":"h","port":1}"#, false),
        (r#"{"host":"i","port":1}"#, false),
        (r#"{"host":"h","port":2}"#, false),
    ] {
        client.ask("PUT", "/v1/users/bob", &[V2], v2).await;
        client.ask("PUT", "/v1/users/bob", &[JSON], body).await;
        let entry = client.ask("GET", "/v1/users/bob", &[ACCEPT_V2], "").await.json();
        assert_eq!(entry["features"], if kept { json!(["ack"]) } else { json!([]) }, "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_secret_that_creates_an_entry_owns_it() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let (name, value) = bearer("mine");
    let mine = (name, value.as_str());
    let theirs = (name, "bearer theirs=");
    let address = r#"{"protocol":"HTTP","host":"127.0.0.1","port":8081}"#;
    assert_eq!(client.ask("POST", "/v1/users", &[JSON, mine], BOB).await.status, 200);
    for other in [&[JSON][..], &[JSON, theirs][..]] {
        client.ask("POST", "/v1/users", other, BOB).await.refused(409, "POST by another");
        client.ask("PUT", "/v1/users/bob", other, address).await.refused(403, "PUT by another");
        client.ask("DELETE", "/v1/users/bob", other, "").await.refused(403, "DELETE by another");
    }
    assert_eq!(client.ask("POST", "/v1/users", &[JSON, mine], BOB).await.status, 200, "a renewal");
    assert_eq!(client.ask("PUT", "/v1/users/bob", &[JSON, mine], address).await.status, 200);
    assert_eq!(client.ask("DELETE", "/v1/users/bob", &[mine], "").await.status, 200);

    assert_eq!(client.ask("PUT", "/v1/users/open", &[JSON], address).await.status, 200);
    assert_eq!(client.ask("PUT", "/v1/users/open", &[JSON, mine], address).await.status, 200);
    assert_eq!(client.ask("PUT", "/v1/users/open", &[JSON, theirs], address).await.status, 200, "it claimed nothing");
    assert_eq!(client.ask("DELETE", "/v1/users/open", &[], "").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_malformed_secret_or_ttl_is_400_and_changes_nothing() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let body = r#"{"host":"h","port":1}"#;
    for value in ["Bearer", "Bearer ", "Bearer a b", "Basic dTpw", "mine", "Bearer ä", "Bearer a,b", "Digest x"] {
        for (method, target, body) in
            [("POST", "/v1/users", BOB), ("PUT", "/v1/users/bob", body), ("DELETE", "/v1/users/bob", "")]
        {
            client.ask(method, target, &[JSON, ("authorization", value)], body).await.refused(400, value);
        }
    }
    let twice = [JSON, ("authorization", "Bearer a"), ("authorization", "Bearer a")];
    client.ask("PUT", "/v1/users/bob", &twice, body).await.refused(400, "two secrets");
    for query in ["ttl=4", "ttl=86401", "ttl=", "ttl", "ttl=x", "ttl=60&ttl=60", "ttl=-5", "ttl=%35.5", "ttl=5%"] {
        client.ask("PUT", &format!("/v1/users/bob?{query}"), &[JSON], body).await.refused(400, query);
        client.ask("POST", &format!("/v1/users?{query}"), &[JSON], BOB).await.refused(400, query);
    }
    assert_eq!(server.users().await, json!({}));
    for query in ["ttl=5", "ttl=86400", "", "x=1&y", "TTL=1", "x=1&ttl=60&z=%20"] {
        let answer = client.ask("PUT", &format!("/v1/users/bob?{query}"), &[JSON], body).await;
        assert_eq!(answer.status, 200, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_lease_ends_unless_it_is_renewed_and_its_name_stays_reserved() {
    let limits = Limits::default();
    let server = Server::with(&limits).await;
    let secret = ("authorization", "Bearer mine");
    let body = r#"{"host":"h","port":1}"#;
    let listed = async |name: &str| server.get(&format!("/v1/users/{name}")).await.status == 200;
    // Paused only for the jump: a paused clock would also run ahead whenever a socket is waited for.
    let pass = async |seconds| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
    };

    server.ask("PUT", "/v1/users/bob?ttl=60", &[JSON, secret], body).await;
    server.ask("PUT", "/v1/users/open?ttl=60", &[JSON], body).await;
    server.ask("PUT", "/v1/users/stays", &[JSON], body).await;
    pass(50).await;
    assert_eq!(server.ask("PUT", "/v1/users/bob", &[JSON, secret], body).await.status, 200, "it keeps the lease");
    pass(50).await;
    assert!(listed("bob").await && listed("stays").await && !listed("open").await);
    pass(11).await;
    assert!(!listed("bob").await);
    server.ask("POST", "/v1/users", &[JSON], BOB).await.refused(409, "reserved");
    server.ask("PUT", "/v1/users/bob", &[JSON], body).await.refused(403, "reserved");
    assert_eq!(server.ask("DELETE", "/v1/users/bob", &[], "").await.status, 200, "absent");
    server.ask("POST", "/v1/users", &[JSON], BOB).await.refused(409, "still reserved");
    pass(60).await;
    assert_eq!(server.ask("POST", "/v1/users", &[JSON], BOB).await.status, 200, "free again");
    assert_eq!(server.put("open", 1).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_restart_gives_each_lease_a_full_ttl() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let open = || Arc::new(talk::store::SqliteRegistry::open(dir.path(), &limits).unwrap());
    let server = Server::over(open(), &limits).await;
    let v2 = r#"{"protocol":"UDP","host":"h","port":1,"features":["ack"]}"#;
    let secret = ("authorization", "Bearer mine");
    server.ask("PUT", "/v1/users/bob?ttl=1000", &[V2, secret], v2).await;
    server.put("open", 7).await;
    server.stop().await;

    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let server = Server::over(open(), &limits).await;
    let users = server.ask("GET", "/v1/users", &[ACCEPT_V2], "").await.json();
    assert!(users["bob"]["expires"].as_u64().unwrap() >= before + 1000, "{users}");
    assert_eq!(users["bob"]["features"], json!(["ack"]));
    assert_eq!(users["open"]["port"], 7);
    server.put("bob", 2).await.refused(403, "it still has its owner");
    assert_eq!(server.ask("PUT", "/v1/users/bob", &[JSON, secret], v2).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_full_registry_answers_507_and_goes_on() {
    let mut limits = Limits::default();
    limits.users = 2;
    let server = Server::with(&limits).await;
    for name in ["a", "b"] {
        assert_eq!(server.put(name, 1).await.status, 200);
    }
    server.put("c", 1).await.refused(507, "one more");
    server.ask("POST", "/v1/users", &[JSON], BOB).await.refused(507, "one more");
    assert_eq!(server.put("a", 2).await.status, 200);
    assert_eq!(server.users().await.as_object().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_32_clients_racing_for_one_name_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let stores: [Arc<dyn RegistryStore>; 2] = [
        Arc::new(MemoryRegistry::new(&limits)),
        Arc::new(talk::store::SqliteRegistry::open(dir.path(), &limits).unwrap()),
    ];
    for store in stores {
        let server = Server::over(store, &limits).await;
        for round in 0..10 {
            let barrier = Arc::new(tokio::sync::Barrier::new(32));
            let mut racers = JoinSet::new();
            for racer in 1..=32 {
                let (barrier, at) = (barrier.clone(), server.at);
                racers.spawn(async move {
                    let mut client = Client::connect(at).await;
                    let body = format!(
                        r#"{{"name":"prize{round}","address":{{"protocol":"UDP","host":"h","port":{racer}}}}}"#
                    );
                    let secret = format!("Bearer secret-{racer}");
                    barrier.wait().await;
                    (racer, client.ask("POST", "/v1/users", &[JSON, ("authorization", &secret)], &body).await.status)
                });
            }
            let results = racers.join_all().await;
            let winners: Vec<i32> = results.iter().filter(|(_, status)| *status == 200).map(|(r, _)| *r).collect();
            assert_eq!(winners.len(), 1, "{results:?}");
            assert!(results.iter().all(|(_, status)| [200, 409].contains(status)), "{results:?}");
            assert_eq!(server.users().await[format!("prize{round}")]["port"], winners[0]);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn chunked_bodies_absolute_targets_and_expect_are_understood() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client
        .send(b"PUT /v1/users/a HTTP/1.1\r\nhost: x\r\ncontent-type: application/json; charset=\"UTF-8\"\r\ntransfer-encoding: chunked\r\n\r\n\
            a\r\n{\"host\":\"h\r\nb\r\n\",\"port\":1}\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert!(client.is_closed().await, "a chunked request is its connection's last");
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET", "http://elsewhere:1/v1/users/a?x", &[], "").await.status, 200);
    client.send(b"PUT /v1/users/b HTTP/1.1\r\nhost: x\r\ncontent-type: application/problem+json\r\ncontent-length: 21\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 100);
    client.send(br#"{"host":"h","port":1}"#).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    server.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let put = request("PUT", "/v1/users/a", &[JSON], r#"{"host":"h","port":1}"#);
    let bad = request("PUT", "/v1/users/b", &[JSON], "[]");
    let get = request("GET", "/v1/users", &[], "");
    client.send(&[put, bad, get].concat()).await;
    let statuses = [client.answer().await, client.answer().await].map(|a| a.unwrap().status);
    assert_eq!(statuses, [200, 400]);
    assert_eq!(client.answer().await.unwrap().json().as_object().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_progress_and_closes_what_is_silent() {
    let mut limits = Limits::default();
    limits.grace = Duration::from_secs(20);
    let server = Server::with(&limits).await;
    let (mut silent, mut idle, mut busy) = (server.connect().await, server.connect().await, server.connect().await);
    idle.ask("GET", "/v1/health", &[], "").await;
    busy.send(b"PUT /v1/users/a HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 21\r\n\r\n").await;
    assert_eq!(busy.answer().await.unwrap().status, 100, "its handler waits for the body");
    let at = server.at;
    let stopping = tokio::spawn(server.stop());
    assert!(idle.is_closed().await);
    assert!(silent.is_closed().await);
    busy.send(br#"{"host":"h","port":1}"#).await;
    assert_eq!(busy.answer().await.unwrap().status, 200);
    stopping.await.unwrap();
    assert!(tokio::net::TcpStream::connect(at).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_other_half_of_a_head() {
    let mut limits = Limits::default();
    limits.grace = Duration::from_secs(3600);
    let server = Server::with(&limits).await;
    let (mut half, mut second_half) = (server.connect().await, server.connect().await);
    half.send(b"PUT /v1/users/a HTTP/1.1\r\nhost: x\r\n").await;
    second_half.send(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/users HTTP/1.1\r\nho").await;
    assert_eq!(second_half.answer().await.unwrap().status, 200);
    // Whatever was sent before this has been read.
    server.users().await;
    let stopping = tokio::spawn(server.stop());
    assert!(half.is_closed().await);
    assert!(second_half.is_closed().await);
    stopping.await.unwrap();
}

#[tokio::test]
async fn the_service_mounts_in_another_hyper_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let registry = service(Arc::new(MemoryRegistry::default()));
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let outer = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let registry = registry.clone();
            async move { Ok::<_, Infallible>(hyper::service::Service::call(&registry, request).await.unwrap()) }
        });
        let io = hyper_util::rt::TokioIo::new(stream);
        hyper::server::conn::http1::Builder::new().serve_connection(io, outer).await.unwrap();
    });
    let mut client = Client::connect(at).await;
    assert_eq!(client.ask("POST", "/v1/users", &[JSON], BOB).await.status, 200);
    client.ask("POST", "/v1/users", &[JSON], "[]").await.refused(400, "an array");
    assert_eq!(client.ask("GET", "/v1/users/bob", &[], "").await.json()["port"], 8080);
    drop(client);
    serving.await.unwrap();
}

#[tokio::test]
async fn answers_are_the_documented_bytes_in_the_documented_order() {
    let server = Server::start().await;
    let body = r#"{"port":"8080","host":"127.0.0.1","protocol":"http"}"#;
    assert_eq!(server.ask("PUT", "/v1/users/bob", &[JSON], body).await.body, br#"{"status":"ok"}"#);
    let list = br#"{"bob":{"protocol":"HTTP","host":"127.0.0.1","port":8080}}"#;
    assert_eq!(server.get("/v1/users").await.body, list);
    assert_eq!(server.get("/v1/users/bob").await.body, br#"{"protocol":"HTTP","host":"127.0.0.1","port":8080}"#);
    server.stop().await;
}
