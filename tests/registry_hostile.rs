//! Hostile requests: each gets the right 4xx with a problem body, and the list of users stays as it was.
#![cfg(all(feature = "net", feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::registry::{Answer, JSON, Server, V2, request};
use serde_json::{Value, json};
use talk::limits::Limits;
use tokio::io::AsyncWriteExt;

const USERS: &str = "/v1/users";
const EVE: &str = "/v1/users/eve";

/// What is sent, and what must come back for the last request in it.
struct Attack {
    what: String,
    bytes: Vec<u8>,
    status: u16,
    /// The server must end the connection after its answer.
    closes: bool,
}

impl Attack {
    fn new(status: u16, what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { what: what.into(), bytes: bytes.into(), status, closes: false }
    }

    fn closing(status: u16, what: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { closes: true, ..Self::new(status, what, bytes) }
    }
}

fn post(body: &str) -> Vec<u8> {
    request("POST", USERS, &[JSON], body)
}

fn put(body: &str) -> Vec<u8> {
    request("PUT", EVE, &[JSON], body)
}

fn names() -> Vec<Attack> {
    let long = "n".repeat(65);
    let huge = "n".repeat(5000);
    let bad = [
        "",
        " ",
        ".",
        "..",
        "a b",
        " a",
        "a ",
        "a/b",
        "a\\\\b",
        "a:b",
        "a#b",
        "a?b",
        "a%62",
        "a\\u0000",
        "a\\n",
        "a\\r\\nx: y",
        "a\\u202eb",
        "a\\u200bb",
        "\\u0430",
        "é",
        "😀",
        "a@b",
        "a,b",
        "<a>",
        "\\u001b[2J",
        "a'b",
        "a\\\"b",
        "{}",
        "*",
        "~",
        "system",
        "SYSTEM",
        "Server",
        "tAlK",
        "healthCheck",
        "healthcheck",
        &long,
        &huge,
        "\\ud800",
    ];
    let mut attacks = Vec::new();
    for name in bad {
        for key in ["name", "user"] {
            let body = format!(r#"{{"{key}":"{name}","address":{{"protocol":"UDP","host":"h","port":1}}}}"#);
            attacks.push(Attack::new(400, format!("POST {key} {name:.20}"), post(&body)));
        }
    }
    for name in [
        "a%2fb",
        "%00",
        "%0d%0a",
        "%ff",
        "%e2%80%ae",
        "%",
        "%4",
        "%zz",
        ".",
        "..",
        "%2e",
        "b%2562",
        "a+b",
        "a%20",
        "TALK",
        &long,
    ] {
        let put = request("PUT", &format!("/v1/users/{name}"), &[JSON], r#"{"host":"h","port":1}"#);
        attacks.push(Attack::new(400, format!("PUT {name:.20}"), put));
    }
    attacks
}

fn hosts_ports_and_protocols() -> Vec<Attack> {
    let mut attacks = Vec::new();
    let long = format!("{}.example", "a".repeat(64));
    let longer = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
    for host in [
        "",
        " ",
        "a b",
        "[::1]",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a-",
        "256.1.1.1",
        "1.2.3",
        "1",
        "0x7f.0.0.1.",
        "127.0.0.01",
        "0x7f000001",
        "a/b",
        "a:80",
        "u@h",
        "http://h",
        "fe80::1%eth0",
        "h\\n",
        "h\\u0000",
        "пример",
        "::g",
        "1:2",
        &long,
        &longer,
    ] {
        attacks.push(Attack::new(400, format!("host {host:.20}"), put(&format!(r#"{{"host":"{host}","port":1}}"#))));
    }
    for port in [
        "0",
        "-1",
        "65536",
        "99999999999999999999",
        "80.7",
        "80.0",
        "8e1",
        "\"\"",
        "\"0\"",
        "\"+80\"",
        "\"-1\"",
        "\" 80\"",
        "\"80 \"",
        "\"80.7\"",
        "\"0x50\"",
        "\"65536\"",
        "\"八\"",
        "null",
        "true",
        "[80]",
        "{}",
        "1e400",
    ] {
        attacks.push(Attack::new(400, format!("port {port}"), put(&format!(r#"{{"host":"h","port":{port}}}"#))));
    }
    for protocol in ["\"\"", "\"FTP\"", "\"HTTP \"", "\"HTTPS\"", "\"ＨＴＴＰ\"", "null", "1", "[\"HTTP\"]", "{}"] {
        let body = format!(r#"{{"protocol":{protocol},"host":"h","port":1}}"#);
        attacks.push(Attack::new(400, format!("protocol {protocol}"), put(&body)));
    }
    attacks
}

fn shapes() -> Vec<Attack> {
    let deep = format!(r#"{{"host":"h","port":1,"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let deeper = format!(r#"{{"a":{}"#, "{\"a\":".repeat(10_000));
    let mut attacks: Vec<Attack> = [
        "",
        "[]",
        "[1]",
        "null",
        "1",
        "\"a\"",
        "true",
        "{}",
        "{",
        "}",
        "{}{}",
        "{}x",
        "{'host':'h','port':1}",
        "nul",
        "\u{feff}{}",
        r#"["h",1]"#,
        r#"["UDP","h",1]"#,
        r#"[{"host":"h","port":1}]"#,
        r#"{"host":"h"}"#,
        r#"{"port":1}"#,
        r#"{"host":"h","port":1,}"#,
        r#"{"host":"h","port":1} x"#,
        r#"{"host":"h","port":1}{"host":"i","port":2}"#,
        r#"{"host":"h","host":"i","port":1}"#,
        r#"{"host":"h","port":1,"port":2}"#,
        r#"{"host":"h","port":1,"\u0070ort":1}"#,
        r#"{"host":"h","port":1,"x":{"y":1,"y":2}}"#,
        r#"{"host":["h"],"port":1}"#,
        r#"{"host":null,"port":1}"#,
        r#"{"host":{"host":"h"},"port":1}"#,
        r#"{"HOST":"h","PORT":1}"#,
        r#"{"address":["UDP","h",1]}"#,
        r#"{"address":null}"#,
        r#"{"address":"udp://h:1"}"#,
        r#"{"address":{}}"#,
        r#"{"address":{"address":{"host":"h","port":1}}}"#,
        r#"{"host":"h","port":NaN}"#,
        r#"{"host":"h","port":Infinity}"#,
        r#"{"host":"h","port":01}"#,
        r#"{"host":"\x","port":1}"#,
        r#"{"host":"h","port":1/**/}"#,
        &deep,
        &deeper,
    ]
    .into_iter()
    .map(|body| Attack::new(400, format!("PUT {body:.40}"), put(body)))
    .collect();
    for body in [
        "",
        "[]",
        "{}",
        r#"["eve",{"protocol":"UDP","host":"h","port":1}]"#,
        r#"{"name":"eve"}"#,
        r#"{"address":{"protocol":"UDP","host":"h","port":1}}"#,
        r#"{"name":"eve","address":{"host":"h","port":1}}"#,
        r#"{"name":"eve","user":"bob","address":{"protocol":"UDP","host":"h","port":1}}"#,
        r#"{"name":"eve","name":"eve","address":{"protocol":"UDP","host":"h","port":1}}"#,
        r#"{"name":["eve"],"address":{"protocol":"UDP","host":"h","port":1}}"#,
        r#"{"name":null,"address":{"protocol":"UDP","host":"h","port":1}}"#,
        r#"{"name":1,"address":{"protocol":"UDP","host":"h","port":1}}"#,
        r#"{"name":"eve","address":["UDP","h",1]}"#,
        r#"{"name":"eve","protocol":"UDP","host":"h","port":1}"#,
        r#"{"name":"eve","address":{"protocol":"UDP","host":"h","port":1},"address":{}}"#,
    ] {
        attacks.push(Attack::new(400, format!("POST {body:.40}"), post(body)));
    }
    for bytes in [
        &b"{\"host\":\"h\xff\",\"port\":1}"[..],
        b"{\"host\":\"\xc0\xaf\",\"port\":1}",
        b"\xff\xfe{\0}\0",
        b"\0",
        b"{\"host\":\"\xed\xa0\x80\",\"port\":1}",
    ] {
        let mut whole = format!(
            "PUT {EVE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            bytes.len()
        )
        .into_bytes();
        whole.extend_from_slice(bytes);
        attacks.push(Attack::new(400, "not UTF-8", whole));
    }
    for body in [
        r#"{"protocol":"UDP","host":"h","port":1,"features":"ack"}"#,
        r#"{"protocol":"UDP","host":"h","port":1,"features":[1]}"#,
        r#"{"protocol":"UDP","host":"h","port":1,"features":["ACK"]}"#,
        r#"{"protocol":"UDP","host":"h","port":1,"features":{}}"#,
        r#"{"protocol":"UDP","host":"h","port":1,"features":["a b"]}"#,
        r#"{"protocol":"UDP","locator":"x"}"#,
        r#"{"locator":"x"}"#,
        r#"{"protocol":"unix","locator":""}"#,
        r#"{"protocol":"unix","locator":"a\nb"}"#,
        r#"{"protocol":"u n","locator":"x"}"#,
        r#"{"protocol":"unix","locator":"x","host":"h","port":1}"#,
    ] {
        attacks.push(Attack::new(400, format!("v2 {body:.60}"), request("PUT", EVE, &[V2], body)));
    }
    attacks
}

fn media_types_methods_and_headers() -> Vec<Attack> {
    let body = r#"{"host":"h","port":1}"#;
    let mut attacks = Vec::new();
    for media_type in [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/xml",
        "json",
        "",
        ";",
        "application/",
        "application/jsonx",
        "application/+json",
        "image/svg+json",
        "*/*",
        "application/json; charset=latin1",
        "application/json; charset=utf-16",
        "application/json, text/plain",
    ] {
        for (method, target) in [("PUT", EVE), ("POST", USERS)] {
            let bytes = request(method, target, &[("content-type", media_type)], body);
            attacks.push(Attack::new(415, format!("{method} as {media_type:?}"), bytes));
        }
    }
    attacks.push(Attack::new(415, "no media type", request("PUT", EVE, &[], body)));
    attacks.push(Attack::new(415, "two media types", request("PUT", EVE, &[JSON, JSON], body)));
    attacks.push(Attack::new(415, "compressed", request("PUT", EVE, &[JSON, ("content-encoding", "gzip")], body)));
    for method in ["PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW", "put", "POST"] {
        attacks.push(Attack::new(405, method, request(method, EVE, &[JSON], body)));
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        attacks.push(Attack::new(405, method, request(method, USERS, &[JSON], body)));
    }
    for target in [
        "/",
        "/v1",
        "/v1/users/eve/",
        "/v1/users/a/b",
        "/v1/users//",
        "/../v1/users",
        "/v1/users/../users",
        "/admin",
        "*",
    ] {
        let method = if target == "*" { "OPTIONS" } else { "POST" };
        attacks.push(Attack::new(404, target, request(method, target, &[JSON], body)));
    }
    attacks.push(Attack::new(404, "CONNECT", "CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n"));
    for value in ["Basic dTpw", "Bearer", "Bearer a b", "Bearer \u{e9}", "Bearer a\tb"] {
        attacks.push(Attack::new(400, value, request("PUT", EVE, &[JSON, ("authorization", value)], body)));
    }
    let two = [JSON, ("authorization", "Bearer a"), ("authorization", "Bearer b")];
    attacks.push(Attack::new(400, "two secrets", request("PUT", EVE, &two, body)));
    for query in
        ["ttl=0", "ttl=4", "ttl=86401", "ttl=-60", "ttl=6e1", "ttl=", "ttl=60&ttl=61", "ttl=%zz", "ttl=60%00", "%ff=1"]
    {
        attacks.push(Attack::new(400, query, request("PUT", &format!("{EVE}?{query}"), &[JSON], body)));
    }
    attacks.push(Attack::new(
        403,
        "PUT on another's",
        request("PUT", "/v1/users/bob", &[JSON, ("authorization", "Bearer x")], body),
    ));
    attacks.push(Attack::new(403, "DELETE of another's", request("DELETE", "/v1/users/bob", &[], "")));
    let bob = r#"{"name":"bob","address":{"protocol":"UDP","host":"h","port":1}}"#;
    attacks.push(Attack::new(409, "POST of another's", post(bob)));
    attacks
}

fn heads_and_framing() -> Vec<Attack> {
    let body = r#"{"host":"h","port":1}"#;
    let head = |lines: &str| format!("PUT {EVE} HTTP/1.1\r\ncontent-type: application/json\r\n{lines}\r\n");
    let with = |lines: &str, body: &str| format!("{}{body}", head(lines));
    let chunked = "15\r\n{\"host\":\"h\",\"port\":1}\r\n0\r\n\r\n";
    let inner = String::from_utf8(request("PUT", "/v1/users/smuggled", &[JSON], body)).unwrap();
    let many: String = (0..150).map(|n| format!("x-{n}: y\r\n")).collect();
    let large = format!("x: {}\r\n", "y".repeat(17_000));
    vec![
        Attack::new(400, "no Host", with("content-length: 21\r\n", body)),
        Attack::new(400, "two Hosts", with("host: a\r\nhost: b\r\ncontent-length: 21\r\n", body)),
        Attack::new(400, "two equal Hosts", with("host: a\r\nhost: a\r\ncontent-length: 21\r\n", body)),
        Attack::new(400, "an empty Host", with("host:\r\ncontent-length: 21\r\n", body)),
        Attack::new(400, "a Host with a user", with("host: u@a\r\ncontent-length: 21\r\n", body)),
        Attack::new(400, "a Host with a path", with("host: a/b\r\ncontent-length: 21\r\n", body)),
        Attack::closing(
            400,
            "Content-Length, then Transfer-Encoding",
            with("host: x\r\ncontent-length: 21\r\ntransfer-encoding: chunked\r\n", &format!("{chunked}{inner}")),
        ),
        Attack::closing(
            400,
            "Transfer-Encoding, then Content-Length",
            with("host: x\r\ntransfer-encoding: chunked\r\ncontent-length: 21\r\n", &format!("{chunked}{inner}")),
        ),
        Attack::closing(
            400,
            "a short Content-Length and Transfer-Encoding",
            with("host: x\r\ncontent-length: 4\r\nTransfer-Encoding: chunked\r\n", &format!("{chunked}{inner}")),
        ),
        Attack::closing(
            400,
            "two lengths that differ",
            with("host: x\r\ncontent-length: 21\r\ncontent-length: 4\r\n", &format!("{body}{inner}")),
        ),
        Attack::closing(
            400,
            "a list of lengths",
            with("host: x\r\ncontent-length: 21, 4\r\n", &format!("{body}{inner}")),
        ),
        Attack::closing(400, "a signed length", with("host: x\r\ncontent-length: +21\r\n", body)),
        Attack::closing(400, "a negative length", with("host: x\r\ncontent-length: -1\r\n", body)),
        Attack::closing(400, "a hexadecimal length", with("host: x\r\ncontent-length: 0x15\r\n", body)),
        Attack::closing(400, "an endless length", with("host: x\r\ncontent-length: 99999999999999999999999\r\n", body)),
        Attack::closing(400, "a space before the colon", with("host: x\r\ncontent-length : 21\r\n", body)),
        Attack::closing(
            400,
            "chunked and then something else",
            with("host: x\r\ntransfer-encoding: chunked, identity\r\n", chunked),
        ),
        Attack::closing(400, "an unknown coding", with("host: x\r\ntransfer-encoding: xchunked\r\n", chunked)),
        Attack::closing(
            400,
            "two codings",
            with("host: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", chunked),
        ),
        Attack::closing(
            400,
            "chunked in HTTP/1.0",
            format!(
                "PUT {EVE} HTTP/1.0\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunked}"
            ),
        ),
        Attack::closing(
            400,
            "a bad chunk size",
            with("host: x\r\ntransfer-encoding: chunked\r\n", "zz\r\nhello\r\n0\r\n\r\n"),
        ),
        Attack::closing(
            400,
            "a negative chunk size",
            with("host: x\r\ntransfer-encoding: chunked\r\n", "-1\r\nhello\r\n0\r\n\r\n"),
        ),
        Attack::closing(
            400,
            "a huge chunk size",
            with("host: x\r\ntransfer-encoding: chunked\r\n", "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ),
        Attack::closing(
            400,
            "a chunk without its end",
            with("host: x\r\ntransfer-encoding: chunked\r\n", "5\r\nhelloXX0\r\n\r\n"),
        ),
        Attack::closing(
            413,
            "chunks without end",
            with("host: x\r\ntransfer-encoding: chunked\r\n", &format!("11170\r\n{}\r\n0\r\n\r\n", " ".repeat(70_000))),
        ),
        Attack::closing(
            413,
            "a body over the limit",
            with("host: x\r\ncontent-length: 70000\r\n", &" ".repeat(70_000)),
        ),
        Attack::closing(413, "a declared gigabyte", with("host: x\r\ncontent-length: 1000000000\r\n", "")),
        Attack::closing(413, "a declared exabyte", with("host: x\r\ncontent-length: 1000000000000000000\r\n", "")),
        Attack::closing(431, "a large head", head(&format!("host: x\r\n{large}"))),
        Attack::closing(431, "many fields", head(&format!("host: x\r\n{many}"))),
        Attack::new(414, "a long target", request("GET", &format!("/v1/users?{}", "x".repeat(9000)), &[], "")),
        Attack::closing(
            431,
            "a very long target",
            request("GET", &format!("/v1/users?{}", "x".repeat(20_000)), &[], ""),
        ),
        Attack::closing(400, "a folded field", with("host: x\r\nx: a\r\n b\r\ncontent-length: 21\r\n", body)),
        Attack::closing(
            400,
            "a control character in a field",
            with("host: x\r\nx: a\u{0}b\r\ncontent-length: 21\r\n", body),
        ),
        Attack::closing(400, "a field without a colon", with("host: x\r\nnonsense\r\ncontent-length: 21\r\n", body)),
        Attack::closing(400, "an empty field name", with("host: x\r\n: y\r\ncontent-length: 21\r\n", body)),
        Attack::closing(400, "no HTTP at all", "hello, registry\r\n\r\n"),
        Attack::closing(400, "another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        Attack::closing(400, "a TLS greeting", &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..]),
        Attack::closing(400, "HTTP/2 without an agreement", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Attack::closing(400, "HTTP/3.0", format!("GET {USERS} HTTP/3.0\r\nhost: x\r\n\r\n")),
        Attack::closing(400, "HTTP/0.9", format!("GET {USERS}\r\n\r\n")),
        Attack::closing(400, "a space in the target", "GET /v1/users /x HTTP/1.1\r\nhost: x\r\n\r\n"),
        Attack::closing(400, "a control character in the target", "GET /v1/\u{1}users HTTP/1.1\r\nhost: x\r\n\r\n"),
        Attack::new(400, "a body that breaks off", with("host: x\r\ncontent-length: 21\r\n", "{\"host\":\"h\"")),
        Attack::closing(
            400,
            "chunks that break off",
            with("host: x\r\ntransfer-encoding: chunked\r\n", "15\r\n{\"host\""),
        ),
    ]
}

async fn carry_out(server: &Server, attack: &Attack) -> Answer {
    let mut client = server.connect().await;
    client.send(&attack.bytes).await;
    if attack.what.contains("break") {
        client.finish().await;
    }
    let answer = client.answer().await.unwrap_or_else(|| panic!("{}: no answer", attack.what));
    if attack.closes {
        assert!(client.is_closed().await, "{}: something after the refusal", attack.what);
    }
    answer
}

async fn guarded() -> (Server, Value) {
    let server = Server::start().await;
    let secret = ("authorization", "Bearer mine");
    server.ask("PUT", "/v1/users/bob", &[JSON, secret], r#"{"protocol":"UDP","host":"h","port":7}"#).await;
    let before = json!({ "bob": {"protocol":"UDP","host":"h","port":7} });
    assert_eq!(server.users().await, before);
    (server, before)
}

#[tokio::test]
async fn hostile_requests_are_refused_and_change_nothing() {
    let (server, before) = guarded().await;
    let attacks: Vec<Attack> =
        [names(), hosts_ports_and_protocols(), shapes(), media_types_methods_and_headers(), heads_and_framing()]
            .into_iter()
            .flatten()
            .collect();
    assert!(attacks.len() >= 300, "only {} attacks", attacks.len());
    for attack in &attacks {
        let answer = carry_out(&server, attack).await;
        answer.refused(attack.status, &attack.what);
        assert_eq!(server.users().await, before, "{}", attack.what);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_hostile_request_among_pipelined_ones_is_refused_alone() {
    let (server, before) = guarded().await;
    let mut client = server.connect().await;
    let health = request("GET", "/v1/health", &[], "");
    let bad = put("[]");
    let all: Vec<u8> = (0..50).flat_map(|_| [health.clone(), bad.clone()].concat()).collect();
    client.send(&all).await;
    for _ in 0..50 {
        assert_eq!(client.answer().await.unwrap().status, 200);
        client.answer().await.unwrap().refused(400, "pipelined");
    }
    // The second request's body must not be taken for a third request, nor the smuggled one be carried out.
    let smuggled = request("DELETE", "/v1/users/bob", &[("authorization", "Bearer mine")], "");
    let mut bytes = health.clone();
    bytes.extend(b"PUT /v1/users/eve HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n");
    bytes.extend(smuggled);
    client.send(&bytes).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    client.answer().await.unwrap().refused(400, "both lengths");
    assert!(client.is_closed().await);
    assert_eq!(server.users().await, before);
    server.stop().await;
}

fn impatient() -> Limits {
    let mut limits = Limits::default();
    limits.head_timeout = Duration::from_millis(300);
    limits.body_timeout = Duration::from_millis(300);
    limits
}

#[tokio::test]
async fn slow_heads_and_bodies_are_timed_out_while_others_are_served() {
    let server = Server::with(&impatient()).await;
    let slow_heads = ["G", "GET /v1/users HTTP/1.1\r\n", "GET /v1/users HTTP/1.1\r\nhost: x\r\nx:"];
    let body = "PUT /v1/users/eve HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let slow_bodies = [
        format!("{body}content-length: 21\r\n\r\n"),
        format!("{body}content-length: 21\r\n\r\n{{\"host\":"),
        format!("{body}transfer-encoding: chunked\r\n\r\n"),
        format!("{body}transfer-encoding: chunked\r\n\r\n15\r\n{{\"host\""),
        format!("{body}transfer-encoding: chunked\r\n\r\n15"),
    ];
    let mut waiting = Vec::new();
    for bytes in slow_heads.map(String::from).into_iter().chain(slow_bodies) {
        let mut client = server.connect().await;
        client.send(bytes.as_bytes()).await;
        waiting.push((client, bytes));
    }
    assert_eq!(server.users().await, json!({}), "others are served meanwhile");
    for (mut client, bytes) in waiting {
        client.answer().await.unwrap_or_else(|| panic!("no answer to {bytes:?}")).refused(408, &bytes);
        assert!(client.is_closed().await, "{bytes:?}");
    }
    let mut silent = server.connect().await;
    assert!(silent.is_closed().await, "a silent connection is closed without a word");
    let mut idle = server.connect().await;
    assert_eq!(idle.ask("GET", "/v1/health", &[], "").await.status, 200);
    assert!(idle.is_closed().await, "so is one that was used before");
    assert_eq!(server.users().await, json!({}));
    server.stop().await;
}

#[tokio::test]
async fn bytes_that_trickle_in_do_not_win_time() {
    let server = Server::with(&impatient()).await;
    for start in [
        "GET /v1/users HTTP/1.1\r\nhost: x\r\nx: ",
        "PUT /v1/users/eve HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n",
    ] {
        let mut client = server.connect().await;
        client.send(start.as_bytes()).await;
        let (mut listener, mut talker) = client.split();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let trickle = async {
            while talker.write_all(b" ").await.is_ok() {
                ticks.tick().await;
            }
            std::future::pending().await
        };
        let answer = tokio::select! {
            answer = listener.answer() => answer,
            never = trickle => never,
        };
        answer.unwrap().refused(408, start);
    }
    assert_eq!(server.users().await, json!({}));
    server.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_are_answered_429() {
    let mut limits = Limits::default();
    limits.connections_per_address = 2;
    limits.loopback_exempt = false;
    let server = Server::with(&limits).await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    for client in [&mut one, &mut two] {
        assert_eq!(client.ask("GET", "/v1/health", &[], "").await.status, 200);
    }
    let mut three = server.connect().await;
    three.answer().await.unwrap().refused(429, "one more");
    assert!(three.is_closed().await);
    drop(one);
    // The place is given back when the server has seen the end of the connection.
    let free = async {
        loop {
            let mut client = server.connect().await;
            client.send(&request("GET", "/v1/health", &[], "")).await;
            if client.answer().await.is_some_and(|answer| answer.status == 200) {
                break;
            }
        }
    };
    tokio::time::timeout(common::registry::PATIENCE, free).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let mut limits = impatient();
    limits.grace = Duration::from_secs(20);
    let server = Server::with(&limits).await;
    let (_deaf, mut asking) = server.connect().await.split();
    // Far more answers than both socket buffers hold.
    let ask = request("GET", "/v1/nothing", &[], "").repeat(100);
    let asking = async { while asking.write_all(&ask).await.is_ok() {} };
    tokio::time::timeout(common::registry::PATIENCE, asking).await.expect("the connection is cut");
    assert_eq!(server.users().await, json!({}));
    server.stop().await;
}
