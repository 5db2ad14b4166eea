//! The examples in docs/protocols.md: each request is sent as it stands there, and answered as it stands there.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use talk::address::{Address, Protocol};
use talk::codec::{registry as codec, talk as messages};
use talk::registry::{Registry, service};
use talk::store::MemoryRegistry;
use talk::transport::{Http, Transport, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PAGE: &str = include_str!("../docs/protocols.md");

#[tokio::test]
async fn every_http_example_is_answered_as_it_is_written() {
    let store = Arc::new(MemoryRegistry::default());
    let registry = Registry::bind(&"127.0.0.1".parse().unwrap(), 0, service(store)).await.unwrap();
    let at = registry.local_addr();
    tokio::spawn(registry.serve(std::future::pending()));
    let http = Http::new().listen(&Address::loopback(Protocol::HTTP, 0)).await.unwrap();
    let websocket = WebSocket::new().listen(&Address::loopback(Protocol::WEBSOCKET, 0)).await.unwrap();
    let place = |address: &Address| address.authority().unwrap().parse::<SocketAddr>().unwrap();

    let blocks: Vec<(&str, &str)> = blocks("http").collect();
    let mut answered = 0;
    for (i, (section, block)) in blocks.iter().enumerate() {
        if block.starts_with("HTTP/") {
            continue;
        }
        let to = match *section {
            "HTTP" => place(http.local_address()),
            "WebSocket" => place(websocket.local_address()),
            _ => at,
        };
        let answer = ask(to, block).await;
        match blocks.get(i + 1).filter(|(_, next)| next.starts_with("HTTP/")) {
            Some((_, expected)) => {
                check(&answer, expected);
                answered += 1;
            }
            None => assert!(answer.starts_with("HTTP/1.1 200 "), "{block}\n{answer}"),
        }
    }
    assert!(answered >= 5, "only {answered} examples with an answer were found");
}

#[test]
fn every_json_example_is_read_by_the_codec_it_belongs_to() {
    let mut seen = 0;
    for (section, block) in blocks("json") {
        for line in block.lines() {
            match section {
                "Peers" | "UDP" => assert!(messages::decode(line.as_bytes(), 16 * 1024).is_ok(), "{line}"),
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

/// The code blocks of a language, each with the heading above it.
fn blocks(language: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let fence = format!("```{language}\n");
    PAGE.split("\n#").flat_map(move |section| {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        let heading = heading.trim_start_matches(['#', ' ']);
        let blocks: Vec<_> = text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect();
        blocks.into_iter().map(move |block| (heading, block))
    })
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
