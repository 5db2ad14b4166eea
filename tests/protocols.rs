//! The examples in docs/protocols.md: each request is sent as it stands there, and answered as it stands there.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::page::blocks;
use common::rooms::token_in;
use serde_json::Value;
use talk::address::{Address, Protocol};
use talk::codec::{console, registry as codec, talk as messages};
use talk::registry::{Registry, service};
use talk::store::MemoryRegistry;
use talk::transport::{Http, Transport, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Parts whose JSON belongs to the room protocol, which has a test of its own.
const ROOMS: [&str; 5] = ["Plain commands", "Plain frames", "Rich commands", "Rich frames", "Coming back"];

#[tokio::test]
async fn every_http_example_is_answered_as_it_is_written() {
    let store = Arc::new(MemoryRegistry::default());
    let registry = Registry::bind(&"127.0.0.1".parse().unwrap(), 0, service(store)).await.unwrap();
    let at = registry.local_addr();
    tokio::spawn(registry.serve(std::future::pending()));
    let http = Http::new().listen(&Address::loopback(Protocol::HTTP, 0)).await.unwrap();
    let websocket = WebSocket::new().listen(&Address::loopback(Protocol::WEBSOCKET, 0)).await.unwrap();
    let rooms = common::rooms::Server::start().await;
    let place = |address: &Address| address.authority().unwrap().parse::<SocketAddr>().unwrap();

    let blocks: Vec<(&str, &str)> = blocks("http").collect();
    let mut answered = 0;
    // The token in the examples, and the one that was given in its place.
    let mut token: Option<(String, String)> = None;
    for (i, (section, block)) in blocks.iter().enumerate() {
        if block.starts_with("HTTP/") {
            continue;
        }
        let to = match *section {
            "HTTP" => place(http.local_address()),
            "WebSocket" => place(websocket.local_address()),
            "Signing in" | "Opening a session" => ([127, 0, 0, 1], rooms.port).into(),
            _ => at,
        };
        let block = match &token {
            Some((shown, given)) => block.replace(shown, given),
            None => (*block).to_owned(),
        };
        let mut answer = ask(to, &block).await;
        if let Some((_, expected)) = blocks.get(i + 1).filter(|(_, next)| next.contains("{\"token\"")) {
            let (_, body) = expected.split_once("\n\n").unwrap();
            let (shown, given) = (value(body)["token"].to_string(), token_in(&answer));
            let shown = shown.trim_matches('"').to_owned();
            assert_eq!(shown.len(), given.len());
            answer = answer.replace(&given, &shown);
            token = Some((shown, given));
        }
        match blocks.get(i + 1).filter(|(_, next)| next.starts_with("HTTP/")) {
            Some((_, expected)) => {
                check(&answer, expected);
                answered += 1;
            }
            None => assert!(answer.starts_with("HTTP/1.1 200 "), "{block}\n{answer}"),
        }
    }
    assert!(token.is_some(), "nobody signed in");
    assert!(answered >= 7, "only {answered} examples with an answer were found");
}

#[test]
fn every_json_example_is_read_by_the_codec_it_belongs_to() {
    let mut seen = 0;
    for (section, block) in blocks("json").filter(|(section, _)| !ROOMS.contains(section)) {
        for line in block.lines() {
            match section {
                "What a console client says" => {
                    let bytes = line.as_bytes();
                    assert!(console::hello(bytes).is_ok() || console::said(bytes, 16 * 1024).is_ok(), "{line}");
                }
                "What a console client hears" => assert!(console::hear(line.as_bytes()).is_ok(), "{line}"),
                "Peers" | "UDP" | "Peers in rooms" => {
                    assert!(messages::decode(line.as_bytes(), 16 * 1024).is_ok(), "{line}")
                }
                _ => {
                    let entry = codec::decode_entry(line.as_bytes()).is_ok();
                    let users = codec::decode_users(line.as_bytes(), usize::MAX).is_ok_and(|users| !users.is_empty());
                    assert!(entry || users, "{section}: {line}");
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} examples were found");
}

/// Sends an example and reads the head of the answer and as much of a body as it declares.
async fn ask(to: SocketAddr, example: &str) -> String {
    let (head, body) = example.split_once("\n\n").expect("a head ends with an empty line");
    let request = format!("{}\r\n\r\n{}", head.replace('\n', "\r\n"), body.trim_end());
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let whole = async {
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    return text;
                }
            }
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the answer broke off: {text}");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), whole).await.expect("an answer")
}

/// Checks the status, each header that the example shows, and the body. A moment in it may be another.
fn check(answer: &str, expected: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (wanted_head, wanted_body) = expected.split_once("\n\n").expect("a head ends with an empty line");
    let mut wanted = wanted_head.lines();
    assert_eq!(head.lines().next(), wanted.next());
    for line in wanted {
        let (name, value) = line.split_once(": ").unwrap();
        assert_eq!(header(head, name), Some(value), "{name} in {head}");
    }
    if !wanted_body.trim().is_empty() {
        assert_eq!(value(body), value(wanted_body));
    }
}

fn value(body: &str) -> Value {
    let mut value: Value = serde_json::from_str(body).unwrap();
    if let Some(expires) = value.get_mut("expires").filter(|expires| expires.is_u64()) {
        *expires = 0.into();
    }
    value
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}
