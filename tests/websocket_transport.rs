//! WebSocket as peers of other makes speak it, over real sockets: what we send them, and what we answer.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::fake_http::{FakeHttp, answer, empty};
use common::fake_websocket::{FakeWebSocket, Reply};
use common::raw::{LONG, connect, exchange, next, port, read_all, request, status};
use common::raw_websocket::{frame, open, read_close, read_frame, read_text, text, upgrade};
use futures_util::{SinkExt, StreamExt};
use talk::address::{Address, Entry, Host, Protocol};
use talk::limits::Limits;
use talk::message::{Message, MessageId};
use talk::name::UserName;
use talk::transport::{Incoming, Sent, Transport, TransportError, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message as Frame;

const HI: &str = r#"{"user":"ann","text":"hi"}"#;

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn listen(limits: &Limits) -> Incoming {
    WebSocket::with_limits(limits).listen(&Address::loopback(Protocol::WEBSOCKET, 0)).await.unwrap()
}

async fn listener() -> Incoming {
    listen(&Limits::default()).await
}

fn say(text: &str) -> Message {
    Message::new(UserName::new("ann").unwrap(), text)
}

fn hi() -> Message {
    say("hi")
}

fn peer(port: u16) -> Entry {
    Entry::plain(Address::loopback(Protocol::WEBSOCKET, port))
}

/// A sender that does not wait long for what never comes.
fn hasty() -> WebSocket {
    WebSocket::with_limits(&limits(|l| l.confirm_timeout = Duration::from_millis(500)))
}

fn ok(_: &str) -> Reply {
    Reply::Text("OK".into())
}

fn ack(text: &str) -> Reply {
    let id = text.split(r#""id":""#).nth(1).unwrap().trim_end_matches("\"}");
    Reply::Text(format!(r#"{{"ack":"{id}"}}"#))
}

// Listening.

#[tokio::test]
async fn a_message_of_another_make_is_delivered_and_answered_ok_at_every_path() {
    let mut incoming = listener().await;
    for path in ["/v1/message", "/v1/ws/message", "/"] {
        let (mut stream, head) = open(port(&incoming), path, "").await;
        assert!(head.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-protocol"), "{head}");
        for _ in 0..3 {
            stream.write_all(&text(r#"{"user":"ann","text":"привет 👋"}"#)).await.unwrap();
            assert_eq!(read_text(&mut stream).await, "OK");
            assert_eq!(&*next(&mut incoming).await.text, "привет 👋");
        }
    }
}

#[tokio::test]
async fn version_2_is_chosen_where_it_is_offered_and_acknowledges_by_id() {
    let mut incoming = listener().await;
    let (mut stream, head) = open(port(&incoming), "/", "sec-websocket-protocol: chat, talk.v2\r\n").await;
    assert!(head.to_ascii_lowercase().contains("sec-websocket-protocol: talk.v2\r\n"), "{head}");
    let message = r#"{"user":"ann","text":"hi","id":"a 1"}"#;
    stream.write_all(&[text(message), text(message), text(HI)].concat()).await.unwrap();
    assert_eq!(read_text(&mut stream).await, r#"{"ack":"a 1"}"#);
    assert_eq!(read_text(&mut stream).await, r#"{"ack":"a 1"}"#);
    assert_eq!(read_text(&mut stream).await, "OK");
    assert_eq!(next(&mut incoming).await.id, Some(MessageId::new("a 1").unwrap()));
    assert_eq!(next(&mut incoming).await.id, None);
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn a_connection_of_version_1_hears_ok_even_for_a_message_with_an_id() {
    let mut incoming = listener().await;
    let (mut stream, _) = open(port(&incoming), "/v1/message", "").await;
    stream.write_all(&text(r#"{"user":"ann","text":"hi","id":"1"}"#)).await.unwrap();
    assert_eq!(read_text(&mut stream).await, "OK");
    next(&mut incoming).await;
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_is_one_message() {
    let mut incoming = listener().await;
    let (mut stream, _) = open(port(&incoming), "/", "").await;
    let pieces = [frame(0x01, &HI.as_bytes()[..5]), frame(0x89, b"x"), frame(0x80, &HI.as_bytes()[5..])];
    stream.write_all(&pieces.concat()).await.unwrap();
    assert_eq!(read_frame(&mut stream).await, Some((10, b"x".to_vec())));
    assert_eq!(read_text(&mut stream).await, "OK");
    assert_eq!(next(&mut incoming).await, hi());
}

#[tokio::test]
async fn bytes_that_come_with_the_upgrade_are_not_lost() {
    let mut incoming = listener().await;
    let mut stream = connect(port(&incoming)).await;
    let all = [upgrade("/", "").into_bytes(), text(HI), text(HI)].concat();
    stream.write_all(&all).await.unwrap();
    next(&mut incoming).await;
    next(&mut incoming).await;
}

#[tokio::test]
async fn a_health_check_is_answered_as_an_upgrade_a_message_and_a_request() {
    let mut incoming = listener().await;
    let at = port(&incoming);
    let (mut stream, _) = open(at, "/v1/message", "").await;
    stream.write_all(&text(r#"{"user":"healthCheck","text":"x"}"#)).await.unwrap();
    assert_eq!(read_text(&mut stream).await, "OK");
    let got = exchange(at, request("GET /v1/health", "", "")).await;
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\nOK"), "{got}");
    let got = exchange(at, request("GET /v1/health", "user-agent: okhttp/5\r\n", "")).await;
    assert!(got.ends_with("\r\n\r\n{\"status\":\"ok\"}"), "{got}");
    WebSocket::new().probe(&peer(at)).await.unwrap();
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_with_a_reason() {
    let incoming = listener().await;
    let at = port(&incoming);
    let good = upgrade("/v1/message", "connection: close\r\n");
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (bytes, wanted) in [
        (request("GET /v1/message", "", ""), "426"),
        (request("POST /v1/message", "content-type: application/json\r\n", HI), "405"),
        (request("GET /other", "", ""), "404"),
        (good.replace("/v1/message", "/v1/other"), "404"),
        (good.replace("version: 13", "version: 8"), "426"),
        (good.replace("sec-websocket-version: 13\r\n", ""), "426"),
        (good.replace(key, ""), "400"),
        (good.replace(key, &key.repeat(2)), "400"),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), "400"),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "not base64 at all"), "400"),
        (good.replace("upgrade: WebSocket", "upgrade: h2c"), "426"),
        (good.replace("host: localhost\r\n", ""), "400"),
        (good.replace("host: localhost\r\n", "host: localhost\r\norigin: http://evil.example\r\n"), "403"),
        (good.replace("host: localhost\r\n", "host: localhost\r\norigin: null\r\n"), "403"),
        (good.replace("host: localhost\r\n", "host: localhost\r\ncontent-length: 3\r\n") + "abc", "400"),
    ] {
        let got = exchange(at, &bytes).await;
        assert_eq!(status(&got), wanted, "{bytes}{got}");
        assert!(got.contains("problem+json"), "{got}");
        if bytes.contains("version: 8") {
            assert!(got.contains("sec-websocket-version: 13\r\n"), "{got}");
        }
    }
}

#[tokio::test]
async fn what_is_no_message_closes_with_the_code_that_says_why() {
    let mut incoming = listener().await;
    let at = port(&incoming);
    let long = format!(r#"{{"user":"ann","text":"{}"}}"#, "x".repeat(16 * 1024 + 1));
    for (bytes, code) in [
        (text("hello"), 1007),
        (text(""), 1007),
        (frame(0x81, b"{\"user\":\"ann\",\"text\":\"\xff\"}"), 1007),
        (text(r#"{"user":"ann"}"#), 1008),
        (text(r#"{"user":"","text":"hi"}"#), 1008),
        (text(r#"{"user":"ann","text":7}"#), 1008),
        (text(r#"["ann","hi"]"#), 1008),
        (text(r#"{"ack":"1"}"#), 1008),
        (text(&format!(r#"{{"user":"{}","text":"hi"}}"#, "ä".repeat(300))), 1008),
        (frame(0x82, HI.as_bytes()), 1003),
        (text(&long), 1009),
        (text(&"x".repeat(64 * 1024 + 1)), 1009),
        ([frame(0x01, &[b'x'; 40_000]), frame(0x80, &[b'x'; 40_000])].concat(), 1009),
    ] {
        let (mut stream, _) = open(at, "/", "").await;
        stream.write_all(&bytes).await.unwrap();
        let close = read_close(&mut stream).await;
        assert_eq!(
            close.as_ref().map(|c| c.0),
            Some(code),
            "{close:?} {:?}",
            String::from_utf8_lossy(&bytes[..60.min(bytes.len())])
        );
    }
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn a_close_is_answered() {
    let incoming = listener().await;
    let (mut stream, _) = open(port(&incoming), "/", "").await;
    stream.write_all(&frame(0x88, &[0x03, 0xe8])).await.unwrap();
    assert_eq!(read_close(&mut stream).await, Some((1000, String::new())));
    assert_eq!(read_frame(&mut stream).await, None);
}

#[tokio::test]
async fn while_the_inbox_is_full_nothing_is_read_and_nothing_is_lost() {
    let mut incoming = listen(&limits(|l| l.inbox = 2)).await;
    let (mut stream, _) = open(port(&incoming), "/", "").await;
    for n in 0..20 {
        stream.write_all(&text(&format!(r#"{{"user":"ann","text":"{n}"}}"#))).await.unwrap();
    }
    assert_eq!(read_text(&mut stream).await, "OK");
    assert_eq!(read_text(&mut stream).await, "OK");
    for n in 0..20 {
        assert_eq!(&*next(&mut incoming).await.text, n.to_string());
    }
    for _ in 2..20 {
        assert_eq!(read_text(&mut stream).await, "OK");
    }
}

#[tokio::test]
async fn dropping_the_incoming_closes_with_1001_even_while_the_inbox_is_full() {
    let incoming = listen(&limits(|l| l.inbox = 1)).await;
    let at = port(&incoming);
    let (mut idle, _) = open(at, "/", "").await;
    let (mut full, _) = open(at, "/", "").await;
    full.write_all(&[text(HI), text(HI)].concat()).await.unwrap();
    assert_eq!(read_text(&mut full).await, "OK");
    drop(incoming);
    assert_eq!(read_close(&mut idle).await, Some((1001, String::new())));
    assert_eq!(read_close(&mut full).await, Some((1001, String::new())));
    for mut stream in [idle, full] {
        stream.write_all(&frame(0x88, &[0x03, 0xe9])).await.unwrap();
        read_all(stream).await;
    }
}

// Sending.

#[tokio::test]
async fn two_of_ours_speak_version_2_and_keep_lines_and_ids() {
    let mut incoming = listener().await;
    let message = say("two\nlines").with_id(MessageId::new("mine").unwrap());
    let websocket = WebSocket::new();
    assert_eq!(websocket.send(&peer(port(&incoming)), &message).await.unwrap(), Sent::Delivered);
    assert_eq!(next(&mut incoming).await, message);
    assert_eq!(websocket.send(&peer(port(&incoming)), &message).await.unwrap(), Sent::Delivered);
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn a_peer_of_the_first_version_gets_exactly_user_and_text_and_its_ok_confirms() {
    for confirmation in ["OK", "ok", "Ok\n"] {
        let mut fake = FakeWebSocket::start("/v1/ws/message", None, move |_| Reply::Text(confirmation.into())).await;
        assert_eq!(WebSocket::new().send(&peer(fake.port), &say("a\nb")).await.unwrap(), Sent::Delivered);
        assert_eq!(fake.next().await, r#"{"user":"ann","text":"a b"}"#);
    }
}

#[tokio::test]
async fn the_path_is_searched_and_remembered() {
    let all = ["/v1/ws/message", "/v1/message", "/"];
    for (n, path) in all.into_iter().enumerate() {
        let mut fake = FakeWebSocket::start(path, None, |text| match text.contains("bye") {
            true => Reply::Close(1000, ""),
            false => Reply::Text("OK".into()),
        })
        .await;
        let websocket = WebSocket::new();
        assert_eq!(websocket.send(&peer(fake.port), &hi()).await.unwrap(), Sent::Delivered);
        assert_eq!(websocket.send(&peer(fake.port), &say("bye")).await.unwrap(), Sent::Unconfirmed);
        assert_eq!(websocket.send(&peer(fake.port), &hi()).await.unwrap(), Sent::Delivered);
        let mut wanted = all[..=n].to_vec();
        wanted.push(path);
        assert_eq!(fake.asked(), wanted);
        fake.next().await;
    }
}

#[tokio::test]
async fn a_peer_without_a_websocket_refuses_and_a_probe_tells_it_apart() {
    let fake = FakeHttp::start(|_| answer("404 Not Found", "text/plain", "no\u{1b}[2J")).await;
    let error = WebSocket::new().send(&peer(fake.port), &hi()).await.unwrap_err();
    assert_eq!(error.code(), "refused");
    assert!(error.to_string().contains("no\u{fffd}[2J (404)"), "{error}");
    assert_eq!(fake.lines(), ["GET /v1/ws/message", "GET /v1/message", "GET /"]);
    assert_eq!(WebSocket::new().probe(&peer(fake.port)).await.unwrap_err().code(), "unreachable");
    let busy = FakeHttp::start(|_| empty("503 Service Unavailable")).await;
    assert_eq!(WebSocket::new().send(&peer(busy.port), &hi()).await.unwrap_err().code(), "busy");
    assert_eq!(busy.requests().len(), 1);
}

#[tokio::test]
async fn a_101_that_is_none_is_refused() {
    let right = "upgrade: websocket\r\nconnection: Upgrade\r\n";
    for headers in [
        right.to_owned(),
        format!("{right}sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"),
        "upgrade: h2c\r\nconnection: Upgrade\r\n".to_owned(),
    ] {
        let bytes = format!("HTTP/1.1 101 Switching Protocols\r\n{headers}\r\n").into_bytes();
        let fake = FakeHttp::start(move |_| bytes.clone()).await;
        assert_eq!(WebSocket::new().send(&peer(fake.port), &hi()).await.unwrap_err().code(), "refused", "{headers}");
    }
    for garbage in [&b"garbage garbage garbage\r\n\r\n"[..], b""] {
        let fake = FakeHttp::start(move |_| garbage.to_vec()).await;
        let error = WebSocket::new().send(&peer(fake.port), &hi()).await.unwrap_err();
        assert_eq!(error.code(), "refused", "{error}");
    }
}

#[tokio::test]
async fn a_peer_that_never_answers_leaves_a_message_unconfirmed() {
    let fake = FakeWebSocket::start("/v1/ws/message", None, |_| Reply::Nothing).await;
    assert_eq!(hasty().send(&peer(fake.port), &hi()).await.unwrap(), Sent::Unconfirmed);
}

#[tokio::test]
async fn the_next_message_does_not_wait_for_the_confirmation_of_the_last() {
    let mut fake = FakeWebSocket::start("/v1/ws/message", None, |_| Reply::Nothing).await;
    let websocket = WebSocket::with_limits(&limits(|l| l.confirm_timeout = LONG * 100));
    let to = peer(fake.port);
    let (one, two) = (say("1"), say("2"));
    tokio::select! {
        biased;
        _ = async { tokio::join!(websocket.send(&to, &one), websocket.send(&to, &two)) } => panic!("nobody confirmed"),
        heard = async { (fake.next().await, fake.next().await) } => {
            assert!(heard.0.contains("\"1\"") && heard.1.contains("\"2\""));
        }
    }
}

#[tokio::test]
async fn an_ok_that_comes_late_belongs_to_the_message_that_gave_up() {
    let count = AtomicUsize::new(0);
    let fake = FakeWebSocket::start("/v1/ws/message", None, move |_| {
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::Nothing,
            // This one confirms the first message, not the second.
            _ => Reply::Text("OK".into()),
        }
    })
    .await;
    let websocket = hasty();
    assert_eq!(websocket.send(&peer(fake.port), &say("1")).await.unwrap(), Sent::Unconfirmed);
    assert_eq!(websocket.send(&peer(fake.port), &say("2")).await.unwrap(), Sent::Unconfirmed);
}

#[tokio::test]
async fn a_close_says_what_became_of_the_message() {
    for (reply, wanted) in [
        (Reply::Close(1000, ""), "unconfirmed"),
        (Reply::Close(1001, "restart"), "unconfirmed"),
        (Reply::Drop, "unconfirmed"),
        (Reply::Close(1003, "no"), "no (1003)"),
        (Reply::Close(1007, "no json"), "no json (1007)"),
        (Reply::Close(1008, "who are you"), "who are you (1008)"),
        (Reply::Close(1009, ""), "(1009)"),
    ] {
        let reply = std::sync::Mutex::new(Some(reply));
        let take = move |_: &str| reply.lock().unwrap().take().unwrap_or(Reply::Nothing);
        let fake = FakeWebSocket::start("/v1/ws/message", None, take).await;
        match WebSocket::new().send(&peer(fake.port), &hi()).await {
            Ok(sent) => assert_eq!((sent, wanted), (Sent::Unconfirmed, "unconfirmed")),
            Err(error) => {
                assert_eq!(error.code(), "refused");
                assert!(error.to_string().contains(wanted), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn in_version_2_a_message_whose_connection_broke_is_sent_again_once_under_the_same_id() {
    let count = AtomicUsize::new(0);
    let mut fake = FakeWebSocket::start("/v1/ws/message", Some("talk.v2"), move |text| {
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::Drop,
            _ => ack(text),
        }
    })
    .await;
    assert_eq!(WebSocket::new().send(&peer(fake.port), &hi()).await.unwrap(), Sent::Delivered);
    let (first, second) = (fake.next().await, fake.next().await);
    assert_eq!(first, second);
    let mut stubborn = FakeWebSocket::start("/v1/ws/message", Some("talk.v2"), |_| Reply::Drop).await;
    let error = WebSocket::new().send(&peer(stubborn.port), &hi()).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert_eq!(stubborn.next().await, stubborn.next().await);
}

#[tokio::test]
async fn in_version_2_acknowledgements_come_in_any_order_and_strange_frames_are_passed_over() {
    let held = std::sync::Mutex::new(None);
    let fake = FakeWebSocket::start("/v1/ws/message", Some("talk.v2"), move |text| {
        let mut held = held.lock().unwrap();
        match held.take() {
            None => {
                *held = Some(text.to_owned());
                Reply::Text("OK".into())
            }
            // The second message is acknowledged, the first never.
            Some(_) => ack(text),
        }
    })
    .await;
    let websocket = hasty();
    let to = peer(fake.port);
    let (one, two) = (say("1"), say("2"));
    let (first, second) = tokio::join!(websocket.send(&to, &one), websocket.send(&to, &two));
    assert_eq!((first.unwrap(), second.unwrap()), (Sent::Unconfirmed, Sent::Delivered));
}

#[tokio::test]
async fn a_thousand_messages_keep_their_order_on_one_connection() {
    let mut incoming = listener().await;
    let websocket = WebSocket::new();
    let to = peer(port(&incoming));
    let send = async {
        for n in 0..1000 {
            assert_eq!(websocket.send(&to, &say(&n.to_string())).await.unwrap(), Sent::Delivered);
        }
    };
    let hear = async {
        for n in 0..1000 {
            assert_eq!(&*next(&mut incoming).await.text, n.to_string());
        }
    };
    tokio::join!(send, hear);
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_before_the_next_message() {
    let websocket = WebSocket::new();
    let first = listener().await;
    let at = port(&first);
    assert_eq!(websocket.send(&peer(at), &hi()).await.unwrap(), Sent::Delivered);
    drop(first);
    let again = Address::loopback(Protocol::WEBSOCKET, at);
    let mut second = tokio::time::timeout(LONG, async {
        loop {
            match WebSocket::new().listen(&again).await {
                Ok(incoming) => break incoming,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(websocket.send(&peer(at), &say("again")).await.unwrap(), Sent::Delivered);
    assert_eq!(&*next(&mut second).await.text, "again");
}

#[tokio::test]
async fn a_legacy_peer_that_closed_meanwhile_is_not_written_to() {
    let count = AtomicUsize::new(0);
    let mut fake = FakeWebSocket::start("/v1/ws/message", None, move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Drop,
        _ => Reply::Text("OK".into()),
    })
    .await;
    let websocket = WebSocket::new();
    assert_eq!(websocket.send(&peer(fake.port), &say("1")).await.unwrap(), Sent::Unconfirmed);
    assert_eq!(websocket.send(&peer(fake.port), &say("2")).await.unwrap(), Sent::Delivered);
    assert!(fake.next().await.contains("\"1\""));
    assert!(fake.next().await.contains("\"2\""));
}

#[tokio::test]
async fn nobody_there_a_silent_peer_and_a_text_too_long_are_errors_of_their_own() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap().port();
    let websocket = WebSocket::with_limits(&limits(|l| {
        l.request_timeout = Duration::from_millis(50);
        l.message = 5;
    }));
    assert_eq!(websocket.send(&peer(at), &hi()).await.unwrap_err().code(), "timed_out");
    assert_eq!(websocket.probe(&peer(at)).await.unwrap_err().code(), "timed_out");
    drop(silent);
    assert_eq!(websocket.send(&peer(at), &hi()).await.unwrap_err().code(), "unreachable");
    assert_eq!(websocket.probe(&peer(at)).await.unwrap_err().code(), "unreachable");
    let error = websocket.send(&peer(at), &say("привет")).await.unwrap_err();
    assert!(matches!(error, TransportError::TooLong { bytes: 12, limit: 5 }));
}

#[tokio::test]
async fn addresses_of_others_are_refused_and_a_taken_port_says_so() {
    let websocket = WebSocket::new();
    let udp = Address::loopback(Protocol::UDP, 1);
    assert_eq!(websocket.listen(&udp).await.unwrap_err().code(), "wrong_address");
    assert_eq!(websocket.send(&Entry::plain(udp.clone()), &hi()).await.unwrap_err().code(), "wrong_address");
    assert_eq!(websocket.probe(&Entry::plain(udp)).await.unwrap_err().code(), "wrong_address");
    let incoming = listener().await;
    assert_eq!(websocket.listen(incoming.local_address()).await.unwrap_err().code(), "listen");
}

#[tokio::test]
async fn it_works_over_ipv6_and_by_name() {
    let websocket = WebSocket::new();
    let v6 = Address::network(Protocol::WEBSOCKET, Host::new("::1").unwrap(), 0);
    if let Ok(mut incoming) = websocket.listen(&v6).await {
        websocket.send(&Entry::plain(incoming.local_address().clone()), &hi()).await.unwrap();
        next(&mut incoming).await;
    }
    let mut incoming = listener().await;
    let named = Address::network(Protocol::WEBSOCKET, Host::new("localhost").unwrap(), port(&incoming));
    websocket.send(&Entry::plain(named), &hi()).await.unwrap();
    next(&mut incoming).await;
}

#[tokio::test]
async fn a_send_that_nobody_waits_for_any_more_does_not_hold_up_the_next() {
    let mut fake = FakeWebSocket::start("/v1/ws/message", None, ok).await;
    let websocket = WebSocket::new();
    let to = peer(fake.port);
    let dropped = say("dropped");
    let pending = websocket.send(&to, &dropped);
    drop(pending);
    assert_eq!(websocket.send(&to, &say("kept")).await.unwrap(), Sent::Delivered);
    assert!(fake.next().await.contains("kept"));
}

#[tokio::test]
async fn a_connection_without_messages_is_closed_after_five_minutes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = peer(listener.local_addr().unwrap().port());
    let (told, closed) = tokio::sync::oneshot::channel();
    let receiver = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket.next().await.unwrap().unwrap();
        socket.send("OK".into()).await.unwrap();
        let last = socket.next().await.unwrap().unwrap();
        told.send(last.clone()).unwrap();
        last
    });
    let websocket = WebSocket::new();
    assert_eq!(websocket.send(&to, &hi()).await.unwrap(), Sent::Delivered);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(299)).await;
    tokio::task::yield_now().await;
    assert!(!receiver.is_finished());
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    let last = tokio::time::timeout(LONG, closed).await.unwrap().unwrap();
    let Frame::Close(Some(close)) = last else { panic!("{last:?}") };
    assert_eq!(u16::from(close.code), 1000);
}

#[tokio::test]
async fn closing_says_goodbye_to_every_peer_and_a_later_send_begins_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = peer(listener.local_addr().unwrap().port());
    let receiver = tokio::spawn(async move {
        let mut codes = Vec::new();
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.next().await.unwrap().unwrap();
            socket.send("OK".into()).await.unwrap();
            let Frame::Close(Some(close)) = socket.next().await.unwrap().unwrap() else { panic!("no Close") };
            codes.push(u16::from(close.code));
            assert!(socket.next().await.is_none());
        }
        codes
    });
    let websocket = WebSocket::new();
    for _ in 0..2 {
        assert_eq!(websocket.send(&to, &hi()).await.unwrap(), Sent::Delivered);
        websocket.close().await;
    }
    assert_eq!(tokio::time::timeout(LONG, receiver).await.unwrap().unwrap(), [1001, 1001]);
}

#[tokio::test]
async fn a_client_that_names_the_listener_as_its_origin_is_taken() {
    let mut incoming = listener().await;
    let (mut stream, _) = open(port(&incoming), "/", "origin: http://LOCALHOST\r\n").await;
    stream.write_all(&frame(0x81, HI.as_bytes())).await.unwrap();
    assert_eq!(&*next(&mut incoming).await.text, "hi");
}

/// Sends messages on a connection that takes nothing back until all of them have been heard.
async fn unread(headers: &str, message: impl Fn(usize) -> String + Send + 'static) -> (Incoming, TcpStream) {
    let limits = limits(|limits| limits.body_timeout = Duration::from_millis(50));
    let mut incoming = listen(&limits).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], port(&incoming)).into()).await.unwrap();
    stream.write_all(upgrade("/", headers).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let (half, mut sending) = stream.into_split();
    let sent = tokio::spawn(async move {
        for first in (0..UNREAD).step_by(1000) {
            let frames: Vec<u8> = (first..first + 1000).flat_map(|n| text(&message(n))).collect();
            sending.write_all(&frames).await.unwrap();
        }
        sending
    });
    for n in 0..UNREAD {
        assert_eq!(&*next(&mut incoming).await.text, n.to_string());
    }
    let stream = half.reunite(sent.await.unwrap()).unwrap();
    (incoming, stream)
}

/// Far more confirmations than any buffer on their way holds.
const UNREAD: usize = 200_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_never_reads_is_heard_and_may_still_count_its_confirmations_later() {
    let (_incoming, mut stream) = unread("", |n| format!(r#"{{"user":"ann","text":"{n}"}}"#)).await;
    for _ in 0..UNREAD {
        assert_eq!(read_text(&mut stream).await, "OK");
    }
    stream.write_all(&text(r#"{"user":"ann","text":"more"}"#)).await.unwrap();
    assert_eq!(read_text(&mut stream).await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_acknowledgements_that_nobody_reads_the_last_ones_are_kept() {
    let version_2 = "sec-websocket-protocol: talk.v2\r\n";
    let (_incoming, mut stream) = unread(version_2, |n| format!(r#"{{"user":"ann","text":"{n}","id":"{n}"}}"#)).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&(UNREAD - 1)) {
        let ack: serde_json::Value = serde_json::from_str(&read_text(&mut stream).await).unwrap();
        heard.push(ack["ack"].as_str().unwrap().parse::<usize>().unwrap());
    }
    assert!(heard.is_sorted() && heard.len() < UNREAD, "{} of {UNREAD}", heard.len());
    assert!(heard.ends_with(&(UNREAD - 1000..UNREAD).collect::<Vec<_>>()));
}
