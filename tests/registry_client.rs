//! The registry client against registries of other makes, and against what is no registry at all.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::fake_http::{FakeHttp, answer, empty};
use talk::address::{Address, Entry, Features, Protocol};
use talk::limits::Limits;
use talk::name::UserName;
use talk::registry::{RegistryClient, RegistryError};
use talk::secret::Secret;
use tokio::net::TcpListener;

const JSON: &str = "application/json";
const OK: &str = r#"{"status":"ok"}"#;

fn bob() -> UserName {
    UserName::new("bob").unwrap()
}

fn place() -> Address {
    Address::loopback(Protocol::UDP, 3002)
}

fn client(fake: &FakeHttp) -> RegistryClient {
    RegistryClient::new(&fake.base()).unwrap()
}

async fn always(bytes: Vec<u8>) -> FakeHttp {
    FakeHttp::start(move |_| bytes.clone()).await
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_plain_entry_is_registered_under_name_in_version_1() {
    let fake = always(answer("200 OK", JSON, OK)).await;
    client(&fake).insert(&bob(), &Entry::plain(place()), None, None).await.unwrap();
    let request = &fake.requests()[0];
    assert!(request.starts_with("POST /v1/users HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(!request.contains("authorization"), "{request}");
    assert_eq!(body(request), r#"{"name":"bob","address":{"protocol":"UDP","host":"127.0.0.1","port":3002}}"#);
}

#[tokio::test]
async fn features_secret_and_lease_travel_in_version_2() {
    let fake = always(answer("200 OK", JSON, OK)).await;
    let secret = Secret::new("hunter2").unwrap();
    client(&fake).upsert(&bob(), &Entry::acknowledging(place()), Some(&secret), Some(60)).await.unwrap();
    let request = &fake.requests()[0];
    assert!(request.starts_with("PUT /v1/users/bob?ttl=60 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/vnd.talk.v2+json\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer hunter2\r\n"), "{request}");
    assert_eq!(body(request), r#"{"protocol":"UDP","host":"127.0.0.1","port":3002,"features":["ack"]}"#);
}

#[tokio::test]
async fn a_renewal_is_the_bare_address_and_touches_no_features() {
    let fake = always(answer("200 OK", JSON, OK)).await;
    let client = client(&fake);
    client.renew(&bob(), &place(), None, Some(60)).await.unwrap();
    let unix = Address::other(Protocol::new("unix").unwrap(), "/tmp/bob").unwrap();
    client.renew(&bob(), &unix, None, None).await.unwrap();
    let requests = fake.requests();
    assert!(requests[0].contains("content-type: application/json\r\n"));
    assert_eq!(body(&requests[0]), r#"{"protocol":"UDP","host":"127.0.0.1","port":3002}"#);
    assert!(requests[1].contains("content-type: application/vnd.talk.v2+json\r\n"));
    assert_eq!(body(&requests[1]), r#"{"protocol":"UNIX","locator":"/tmp/bob"}"#);
}

#[tokio::test]
async fn what_does_not_know_version_2_is_asked_once_more_in_version_1_and_that_is_remembered() {
    for refusal in ["406 Not Acceptable", "415 Unsupported Media Type", "500 Internal Server Error"] {
        let fake = FakeHttp::start(move |request| match request.contains("vnd.talk.v2") {
            true => empty(refusal),
            false => answer("200 OK", JSON, OK),
        })
        .await;
        let client = client(&fake);
        client.insert(&bob(), &Entry::acknowledging(place()), None, None).await.unwrap();
        client.clone().upsert(&bob(), &Entry::acknowledging(place()), None, None).await.unwrap();
        assert!(client.list().await.unwrap().is_empty());
        let lines = fake.lines();
        assert_eq!(lines, ["POST /v1/users", "POST /v1/users", "PUT /v1/users/bob", "GET /v1/users"], "{refusal}");
        assert!(!body(&fake.requests()[1]).contains("features"));
    }
}

#[tokio::test]
async fn a_registry_that_is_merely_broken_is_not_taken_for_an_old_one() {
    let fake = always(answer("500 Internal Server Error", "text/plain", "disk on fire")).await;
    let client = client(&fake);
    let entry = Entry::acknowledging(place());
    for _ in 0..2 {
        let error = client.insert(&bob(), &entry, None, None).await.unwrap_err();
        assert!(matches!(&error, RegistryError::Refused { status: 500, detail } if detail == "disk on fire"));
    }
    let versions: Vec<bool> = fake.requests().iter().map(|r| r.contains("vnd.talk.v2")).collect();
    assert_eq!(versions, [true, false, true, false]);
}

#[tokio::test]
async fn an_entry_that_version_1_cannot_say_is_unsupported_there() {
    let fake = always(empty("415 Unsupported Media Type")).await;
    let unix = Address::other(Protocol::new("unix").unwrap(), "/tmp/bob").unwrap();
    let error = client(&fake).insert(&bob(), &Entry::plain(unix), None, None).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unsupported { status: 415, .. }), "{error}");
}

#[tokio::test]
async fn refusals_say_why_whoever_wrote_them() {
    for (bytes, code, said) in [
        (answer("409 Conflict", "text/plain", "exists"), "taken", "taken"),
        (answer("403 Forbidden", JSON, "{}"), "forbidden", "somebody else"),
        (
            answer("400 Bad Request", "application/problem+json; charset=utf-8", r#"{"detail":"bad 'port'"}"#),
            "refused",
            "bad 'port'",
        ),
        (answer("400 Bad Request", "text/plain", "\u{1b}[31mno"), "refused", "\u{fffd}[31mno"),
        (answer("400 Bad Request", "text/html", "<h1>no</h1>"), "refused", "Bad Request"),
        (answer("400 Bad Request", JSON, "[1"), "refused", "Bad Request"),
        (empty("404 Not Found"), "unsupported", "(404)"),
        (empty("405 Method Not Allowed"), "unsupported", "(405)"),
        (empty("501 Not Implemented"), "unsupported", "(501)"),
        (answer("429 Too Many Requests", "text/plain", "slow down"), "busy", "slow down"),
        (answer("507 Insufficient Storage", "text/plain", "no space"), "full", "no space"),
        (empty("302 Found"), "refused", "(302)"),
    ] {
        let fake = always(bytes).await;
        let error = client(&fake).insert(&bob(), &Entry::plain(place()), None, None).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(fake.requests().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_long_refusal_is_shortened() {
    let fake = always(answer("400 Bad Request", "text/plain", &"я".repeat(5000))).await;
    let error = client(&fake).insert(&bob(), &Entry::plain(place()), None, None).await.unwrap_err();
    let RegistryError::Refused { detail, .. } = error else { panic!("{error}") };
    assert_eq!(detail.chars().count(), 201);
}

#[tokio::test]
async fn one_user_is_read_in_both_versions_and_absent_is_none() {
    let fake = FakeHttp::start(|request| match request.starts_with("GET /v1/users/bob ") {
        true => answer("200 OK", JSON, r#"{"protocol":"UDP","host":"127.0.0.1","port":3002,"features":["ack"]}"#),
        false => empty("404 Not Found"),
    })
    .await;
    let client = client(&fake);
    assert_eq!(client.get(&bob()).await.unwrap(), Some(Entry::acknowledging(place())));
    assert_eq!(client.get(&UserName::new("eve").unwrap()).await.unwrap(), None);
    assert_eq!(fake.lines(), ["GET /v1/users/bob", "GET /v1/users/eve"]);
    assert!(fake.requests()[0].contains("accept: application/vnd.talk.v2+json, application/json;q=0.5\r\n"));
}

#[tokio::test]
async fn one_user_comes_from_the_list_where_there_is_no_other_way() {
    for refusal in ["404 Not Found", "405 Method Not Allowed"] {
        let fake = FakeHttp::start(move |request| match request.starts_with("GET /v1/users ") {
            true => answer("200 OK", JSON, r#"{"bob":{"protocol":"UDP","host":"127.0.0.1","port":"3002"}}"#),
            false => answer(refusal, "text/plain", "no"),
        })
        .await;
        let client = client(&fake);
        assert_eq!(client.get(&bob()).await.unwrap(), Some(Entry::plain(place())));
        assert_eq!(client.get(&UserName::new("eve").unwrap()).await.unwrap(), None);
        assert_eq!(fake.lines(), ["GET /v1/users/bob", "GET /v1/users", "GET /v1/users"]);
    }
}

#[tokio::test]
async fn a_list_that_stands_only_behind_a_slash_is_found_and_remembered() {
    let fake = FakeHttp::start(|request| match request.starts_with("GET /v1/users/ ") {
        true => answer("200 OK", JSON, "{}"),
        false => empty("404 Not Found"),
    })
    .await;
    let client = client(&fake);
    assert!(client.list().await.unwrap().is_empty());
    assert!(client.list().await.unwrap().is_empty());
    assert_eq!(fake.lines(), ["GET /v1/users", "GET /v1/users/", "GET /v1/users/"]);
}

#[tokio::test]
async fn a_404_to_a_removal_is_looked_up_in_the_list() {
    for (list, removed) in [("{}", true), (r#"{"bob":{"protocol":"UDP","host":"h","port":1}}"#, false)] {
        let fake = FakeHttp::start(move |request| match request.starts_with("GET") {
            true => answer("200 OK", JSON, list),
            false => empty("404 Not Found"),
        })
        .await;
        let result = client(&fake).remove(&bob(), None).await;
        assert_eq!(result.is_ok(), removed, "{result:?}");
    }
}

#[tokio::test]
async fn a_list_keeps_what_can_be_expressed_and_anything_else_than_an_object_is_malformed() {
    let users = r#"{"bob":{"protocol":"UDP","host":"127.0.0.1","port":3002,"x":1},"ann":{"port":1},"b d":null}"#;
    let fake = always(answer("200 OK", JSON, users)).await;
    assert_eq!(client(&fake).list().await.unwrap().into_keys().collect::<Vec<_>>(), [bob()]);
    for wrong in ["[]", "null", "hello", "", "{\"a\":", "\u{feff}{}"] {
        let fake = always(answer("200 OK", JSON, wrong)).await;
        assert_eq!(client(&fake).list().await.unwrap_err().code(), "malformed", "{wrong:?}");
        assert_eq!(client(&fake).get(&bob()).await.unwrap_err().code(), "malformed", "{wrong:?}");
    }
}

#[tokio::test]
async fn health_is_any_2xx() {
    let fake = always(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    client(&fake).health().await.unwrap();
    let fake = always(empty("500 Internal Server Error")).await;
    assert_eq!(client(&fake).health().await.unwrap_err().code(), "unsupported");
}

#[tokio::test]
async fn what_may_come_twice_is_repeated_when_the_connection_breaks_and_a_post_is_not() {
    let fake = always(Vec::new()).await;
    let client = client(&fake);
    assert_eq!(client.list().await.unwrap_err().code(), "unreachable");
    assert_eq!(fake.requests().len(), 3);
    let error = client.insert(&bob(), &Entry::plain(place()), None, None).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert_eq!(fake.requests().len(), 4);
}

#[tokio::test]
async fn a_registry_that_is_overloaded_for_a_moment_is_asked_again() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let fake = FakeHttp::start(move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => answer("503 Service Unavailable", "text/plain", "draining"),
        _ => answer("200 OK", JSON, OK),
    })
    .await;
    client(&fake).remove(&bob(), None).await.unwrap();
    assert_eq!(fake.requests().len(), 2);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let client = RegistryClient::new(&format!("http://127.0.0.1:{port}")).unwrap();
    let error = client.insert(&bob(), &Entry::plain(place()), None, None).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_is_malformed() {
    for garbage in
        [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\0\x01\x02\x03 garbage garbage\r\n\r\n", b"HTTP/1.1 9999 x\r\n\r\n"]
    {
        let fake = always(garbage.to_vec()).await;
        assert_eq!(client(&fake).list().await.unwrap_err().code(), "malformed");
        assert_eq!(fake.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_truncated_answer_is_no_answer() {
    let whole = answer("200 OK", JSON, r#"{"bob":{"protocol":"UDP","host":"h","port":1}}"#);
    let fake = always(whole[..whole.len() - 5].to_vec()).await;
    assert_eq!(client(&fake).list().await.unwrap_err().code(), "unreachable");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_cut_off_whether_its_length_is_declared_or_not() {
    let mut limits = Limits::default();
    limits.http_response = 1000;
    let declared = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n".to_vec();
    let sent = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), vec![b'x'; 100_000]].concat();
    for bytes in [[declared, vec![b'x'; 2000]].concat(), sent] {
        let fake = always(bytes).await;
        let client = RegistryClient::with_limits(&fake.base(), &limits).unwrap();
        assert_eq!(client.list().await.unwrap_err().code(), "malformed");
    }
}

#[tokio::test]
async fn a_registry_that_says_nothing_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut limits = Limits::default();
    limits.request_timeout = Duration::from_millis(50);
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let client = RegistryClient::with_limits(&base, &limits).unwrap();
    assert_eq!(client.list().await.unwrap_err().code(), "timed_out");
    assert_eq!(client.insert(&bob(), &Entry::plain(place()), None, None).await.unwrap_err().code(), "timed_out");
}

#[tokio::test]
async fn a_registry_under_a_prefix_is_asked_under_it() {
    let fake = always(answer("200 OK", JSON, "{}")).await;
    let client = RegistryClient::new(&format!("{}/chat/", fake.base())).unwrap();
    client.list().await.unwrap();
    assert_eq!(fake.lines(), ["GET /chat/v1/users"]);
}

#[tokio::test]
async fn an_entry_with_features_of_others_is_kept_as_it_is() {
    let fake =
        always(answer("200 OK", JSON, r#"{"protocol":"http","host":"h","port":1,"features":["room","x"]}"#)).await;
    let entry = client(&fake).get(&bob()).await.unwrap().unwrap();
    assert_eq!(entry.features, Features::new(["room", "x"]).unwrap());
}
