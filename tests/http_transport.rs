//! HTTP as peers of other makes speak it, as bytes over real sockets, and what strangers may try.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::fake_http::{FakeHttp, answer, empty, read_request};
use common::raw::{LONG, connect, exchange, next, port, post, read_all, request, status};
use talk::address::{Address, Entry, Host, Protocol};
use talk::limits::Limits;
use talk::message::{Message, MessageId};
use talk::name::UserName;
use talk::transport::{Http, Incoming, Sent, Transport, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn listen(limits: &Limits) -> Incoming {
    Http::with_limits(limits).listen(&Address::loopback(Protocol::HTTP, 0)).await.unwrap()
}

async fn listener() -> Incoming {
    listen(&Limits::default()).await
}

fn hi() -> Message {
    Message::new(UserName::new("ann").unwrap(), "hi")
}

fn v1(port: u16) -> Entry {
    Entry::plain(Address::loopback(Protocol::HTTP, port))
}

fn v2(port: u16) -> Entry {
    Entry::acknowledging(Address::loopback(Protocol::HTTP, port))
}

#[tokio::test]
async fn a_message_of_another_make_is_delivered_and_answered_with_a_json_object() {
    let mut incoming = listener().await;
    let got = exchange(port(&incoming), post(r#"{"user":"ann","text":"привет 👋"}"#)).await;
    assert_eq!(status(&got), "200");
    assert!(got.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{got}");
    assert!(got.ends_with("\r\n\r\n{\"status\":\"ok\"}"), "{got}");
    let message = next(&mut incoming).await;
    assert_eq!((message.from.as_str(), &*message.text, message.id), ("ann", "привет 👋", None));
}

#[tokio::test]
async fn empty_texts_media_types_with_parameters_and_bodies_in_chunks_are_fine() {
    let mut incoming = listener().await;
    let at = port(&incoming);
    let body = r#"{"user":"ann","text":""}"#;
    for headers in ["", "content-type: application/json; charset=UTF-8\r\n", "content-type: Application/Foo+JSON\r\n"] {
        assert_eq!(status(&exchange(at, request("POST /v1/message", headers, body)).await), "200", "{headers}");
        assert_eq!(&*next(&mut incoming).await.text, "");
    }
    let chunked = format!(
        "POST /v1/message HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &body[..5],
        body.len() - 5,
        &body[5..]
    );
    assert_eq!(status(&exchange(at, chunked).await), "200");
    assert_eq!(&*next(&mut incoming).await.text, "");
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_a_reason_and_not_delivered() {
    let mut incoming = listener().await;
    let at = port(&incoming);
    let long = format!(r#"{{"user":"ann","text":"{}"}}"#, "x".repeat(16 * 1024 + 1));
    let huge = "x".repeat(64 * 1024 + 1);
    let json = "content-type: application/json\r\n";
    for (line, headers, body, wanted) in [
        ("POST /v1/message", json, r#"{"user":"ann"}"#, "400"),
        ("POST /v1/message", json, r#"{"text":"hi"}"#, "400"),
        ("POST /v1/message", json, r#"{"user":"","text":"hi"}"#, "400"),
        ("POST /v1/message", json, r#"{"user":"a b","text":"hi"}"#, "400"),
        ("POST /v1/message", json, r#"{"user":"ann","text":7}"#, "400"),
        ("POST /v1/message", json, r#"["ann","hi"]"#, "400"),
        ("POST /v1/message", json, "", "400"),
        ("POST /v1/message", json, r#"{"ack":"1"}"#, "400"),
        ("POST /v1/message", json, &long, "413"),
        ("POST /v1/message", json, &huge, "413"),
        ("POST /v1/message", "origin: http://evil.example\r\n", r#"{"user":"ann","text":"hi"}"#, "403"),
        ("POST /v1/message", "origin: null\r\n", r#"{"user":"ann","text":"hi"}"#, "403"),
        ("POST /v1/message", "content-type: text/plain\r\n", r#"{"user":"ann","text":"hi"}"#, "415"),
        ("POST /v1/message", "content-type: application/x-www-form-urlencoded\r\n", "user=ann", "415"),
        ("GET /v1/message", "", "", "405"),
        ("PUT /v1/message", json, r#"{"user":"ann","text":"hi"}"#, "405"),
        ("POST /v1/health", "", "", "405"),
        ("POST /v1/messages", json, r#"{"user":"ann","text":"hi"}"#, "404"),
        ("GET /", "", "", "404"),
    ] {
        let got = exchange(at, request(line, headers, body)).await;
        assert_eq!(status(&got), wanted, "{line} {}", &body[..body.len().min(80)]);
        assert!(got.contains("application/problem+json"), "{got}");
        assert!(got.contains("\"detail\":\""), "{got}");
        if wanted == "405" {
            assert!(got.contains("allow: "), "{got}");
        }
    }
    let got = exchange(
        at,
        b"POST /v1/message HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 28\r\n\r\n{\"user\":\"ann\",\"text\":\"\xff\xfe\"}  ",
    )
    .await;
    assert_eq!(status(&got), "400");
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn smuggling_and_wrong_heads_are_refused_and_end_the_connection() {
    let mut incoming = listener().await;
    let at = port(&incoming);
    for (head, wanted) in [
        ("POST /v1/message HTTP/1.1\r\ncontent-length: 0\r\n\r\n", "400"),
        ("POST /v1/message HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 0\r\n\r\n", "400"),
        ("POST /v1/message HTTP/1.1\r\nhost: a b\r\ncontent-length: 0\r\n\r\n", "400"),
        (
            "POST /v1/message HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        ("POST /v1/message HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", "400"),
        ("POST /v1/message HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n", "400"),
        ("POST /v1/message HTTP/1.1\r\nhost : a\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\r\n\r\n", "400"),
    ] {
        let got = exchange(at, head).await;
        assert_eq!(status(&got), wanted, "{head:?}: {got}");
        assert!(got.contains("problem+json"), "{got}");
    }
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn health_checks_are_answered_in_the_way_of_who_asks() {
    let incoming = listener().await;
    let at = port(&incoming);
    let got = exchange(at, request("GET /v1/health", "user-agent: okhttp/4.12.0\r\n", "")).await;
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\n{\"status\":\"ok\"}"), "{got}");
    let got = exchange(at, request("GET /v1/health", "user-agent: curl/8\r\n", "")).await;
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\nOK"), "{got}");
}

#[tokio::test]
async fn a_health_check_sent_as_a_message_is_answered_and_shown_to_nobody() {
    let mut incoming = listener().await;
    let got = exchange(port(&incoming), post(r#"{"user":"healthCheck","text":"are you there"}"#)).await;
    assert_eq!(status(&got), "200");
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn a_message_that_comes_twice_is_answered_twice_and_delivered_once() {
    let mut incoming = listener().await;
    let at = port(&incoming);
    for body in [r#"{"user":"ann","text":"hi","id":"1"}"#, r#"{"user":"ann","text":"hi","id":"1"}"#] {
        assert_eq!(status(&exchange(at, post(body)).await), "200");
    }
    assert_eq!(status(&exchange(at, post(r#"{"user":"bob","text":"hi","id":"1"}"#)).await), "200");
    assert_eq!(next(&mut incoming).await.from.as_str(), "ann");
    assert_eq!(next(&mut incoming).await.from.as_str(), "bob");
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn a_full_inbox_says_so_and_knows_what_it_holds() {
    let mut incoming = listen(&limits(|l| l.inbox = 1)).await;
    let at = port(&incoming);
    assert_eq!(status(&exchange(at, post(r#"{"user":"ann","text":"1","id":"1"}"#)).await), "200");
    let got = exchange(at, post(r#"{"user":"ann","text":"2","id":"2"}"#)).await;
    assert_eq!(status(&got), "503");
    assert!(got.contains("retry-after: 1\r\n"), "{got}");
    assert_eq!(status(&exchange(at, post(r#"{"user":"ann","text":"1","id":"1"}"#)).await), "200");
    assert_eq!(&*next(&mut incoming).await.text, "1");
    assert_eq!(status(&exchange(at, post(r#"{"user":"ann","text":"2","id":"2"}"#)).await), "200");
    assert_eq!(&*next(&mut incoming).await.text, "2");
}

#[tokio::test]
async fn a_full_peer_is_busy() {
    let _incoming = listen(&limits(|l| l.inbox = 1)).await;
    let http = Http::new();
    let to = v2(port(&_incoming));
    assert_eq!(http.send(&to, &hi()).await.unwrap(), Sent::Delivered);
    assert!(matches!(http.send(&to, &hi()).await, Err(TransportError::Busy { .. })));
}

#[tokio::test]
async fn a_peer_of_the_first_version_gets_exactly_user_and_text() {
    let fake = FakeHttp::start(|_| b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec()).await;
    let message = Message::new(UserName::new("ann").unwrap(), "two\nlines");
    assert_eq!(Http::new().send(&v1(fake.port), &message).await.unwrap(), Sent::Delivered);
    let request = &fake.requests()[0];
    assert!(request.starts_with("POST /v1/message HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"user\":\"ann\",\"text\":\"two lines\"}"), "{request}");
}

#[tokio::test]
async fn a_peer_that_acknowledges_gets_an_id_and_the_lines_as_they_are() {
    let mut incoming = listener().await;
    let message = Message::new(UserName::new("ann").unwrap(), "two\nlines");
    let http = Http::new();
    assert_eq!(http.send(&v2(port(&incoming)), &message).await.unwrap(), Sent::Delivered);
    let heard = next(&mut incoming).await;
    assert_eq!(&*heard.text, "two\nlines");
    assert!(heard.id.is_some());
    let named = hi().with_id(MessageId::new("mine").unwrap());
    http.send(&v2(port(&incoming)), &named).await.unwrap();
    assert_eq!(next(&mut incoming).await, named);
}

#[tokio::test]
async fn how_a_peer_answers_decides_what_became_of_the_message() {
    for (bytes, wanted, said) in [
        (answer("201 Created", "application/json", "{}"), "delivered", ""),
        (answer("200 OK", "text/plain", "whatever"), "delivered", ""),
        (empty("503 Service Unavailable"), "busy", ""),
        (empty("429 Too Many Requests"), "busy", ""),
        (
            answer("400 Bad Request", "application/problem+json", r#"{"detail":"no\u001b[2J"}"#),
            "refused",
            "no\u{fffd}[2J",
        ),
        (empty("500 Internal Server Error"), "refused", "Internal Server Error (500)"),
        (answer("404 Not Found", "text/html", "<b>"), "refused", "Not Found (404)"),
        (b"garbage garbage garbage\r\n\r\n".to_vec(), "unreachable", "no peer"),
        (Vec::new(), "unreachable", "broke"),
    ] {
        let fake = FakeHttp::start(move |_| bytes.clone()).await;
        match Http::new().send(&v1(fake.port), &hi()).await {
            Ok(sent) => assert_eq!((sent, wanted), (Sent::Delivered, "delivered")),
            Err(error) => {
                assert_eq!(error.code(), wanted, "{error}");
                assert!(error.to_string().contains(said), "{error}");
            }
        }
        assert_eq!(fake.requests().len(), 1, "{wanted} {said}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_once_more_with_the_same_id_only_where_ids_are_known() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let fake = FakeHttp::start(move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Vec::new(),
        _ => empty("200 OK"),
    })
    .await;
    assert_eq!(Http::new().send(&v2(fake.port), &hi()).await.unwrap(), Sent::Delivered);
    let requests = fake.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], requests[1]);
    assert!(requests[0].contains(",\"id\":\""));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_and_the_message_goes_out_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().port();
    let (tell, closed) = tokio::sync::oneshot::channel();
    let peer = tokio::spawn(async move {
        let kept = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await.unwrap();
        stream.write_all(kept).await.unwrap();
        drop(stream);
        tell.send(()).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await.unwrap();
        stream.write_all(kept).await.unwrap();
        // Nothing more comes, neither here nor on another connection.
        let mut rest = [0; 1];
        tokio::select! {
            rest = stream.read(&mut rest) => rest.unwrap(),
            _ = listener.accept() => 1,
        }
    });
    let http = Http::new();
    assert_eq!(http.send(&v1(at), &hi()).await.unwrap(), Sent::Delivered);
    closed.await.unwrap();
    // Whatever was closed before this has been noticed.
    let other = listener_and_answer().await;
    assert_eq!(status(&other), "200");
    assert_eq!(http.send(&v1(at), &hi()).await.unwrap(), Sent::Delivered);
    drop(http);
    assert_eq!(tokio::time::timeout(LONG, peer).await.unwrap().unwrap(), 0);
}

/// What a listener of its own answers.
async fn listener_and_answer() -> String {
    let incoming = listener().await;
    exchange(port(&incoming), post(r#"{"user":"ann","text":"hi"}"#)).await
}

#[tokio::test]
async fn a_request_without_an_id_whose_connection_closes_is_not_sent_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().port();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        read_request(&mut stream).await.unwrap();
        drop(stream);
        tokio::select! {
            _ = ended => 2,
            _ = listener.accept() => 3,
        }
    });
    let http = Http::new();
    assert_eq!(http.send(&v1(at), &hi()).await.unwrap(), Sent::Delivered);
    let error = http.send(&v1(at), &hi()).await.unwrap_err();
    assert_eq!(error.code(), "unreachable", "{error}");
    drop(end);
    assert_eq!(peer.await.unwrap(), 2, "requests");
}

#[tokio::test]
async fn one_connection_carries_all_messages_to_a_peer_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().port();
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut texts = Vec::new();
        while texts.len() < 50 {
            let request = common::fake_http::read_request(&mut stream).await.unwrap();
            let text = request.split("\"text\":\"").nth(1).unwrap();
            texts.push(text.trim_end_matches("\"}").parse::<usize>().unwrap());
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        }
        texts
    });
    let (http, to) = (Http::new(), v1(at));
    let messages: Vec<_> = (0..50).map(|n| Message::new(UserName::new("ann").unwrap(), &n.to_string())).collect();
    let sends = messages.iter().map(|message| http.send(&to, message));
    for sent in futures_in_order(sends).await {
        assert_eq!(sent.unwrap(), Sent::Delivered);
    }
    assert_eq!(peer.await.unwrap(), (0..50).collect::<Vec<_>>());
}

/// Polls all of them, the first first, until all are done.
async fn futures_in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut futures {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if futures.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn a_peer_that_came_back_is_reached_again() {
    let http = Http::new();
    let mut first = listener().await;
    let at = port(&first);
    http.send(&v2(at), &hi()).await.unwrap();
    next(&mut first).await;
    drop(first);
    let again = Address::loopback(Protocol::HTTP, at);
    let mut second = tokio::time::timeout(LONG, async {
        loop {
            match Http::new().listen(&again).await {
                Ok(incoming) => break incoming,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(http.send(&v2(at), &hi()).await.unwrap(), Sent::Delivered);
    assert_eq!(next(&mut second).await.from.as_str(), "ann");
}

#[tokio::test]
async fn a_peer_that_says_nothing_times_out_and_one_that_is_gone_is_unreachable() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::with_limits(&limits(|l| l.request_timeout = Duration::from_millis(50)));
    let to = v1(silent.local_addr().unwrap().port());
    assert_eq!(http.send(&to, &hi()).await.unwrap_err().code(), "timed_out");
    assert_eq!(http.probe(&to).await.unwrap_err().code(), "timed_out");
    drop(silent);
    assert_eq!(http.send(&to, &hi()).await.unwrap_err().code(), "unreachable");
    assert_eq!(http.probe(&to).await.unwrap_err().code(), "unreachable");
}

#[tokio::test]
async fn a_probe_is_a_health_check_and_no_message() {
    let mut incoming = listener().await;
    Http::new().probe(&v1(port(&incoming))).await.unwrap();
    assert_eq!(incoming.try_next(), None);
    let fake = FakeHttp::start(|_| empty("404 Not Found")).await;
    assert_eq!(Http::new().probe(&v1(fake.port)).await.unwrap_err().code(), "unreachable");
    assert_eq!(fake.lines(), ["GET /v1/health"]);
}

#[tokio::test]
async fn a_text_over_the_limit_is_not_sent() {
    let http = Http::with_limits(&limits(|l| l.message = 5));
    let long = Message::new(UserName::new("ann").unwrap(), "привет");
    assert!(matches!(http.send(&v1(1), &long).await, Err(TransportError::TooLong { bytes: 12, limit: 5 })));
}

#[tokio::test]
async fn addresses_of_others_are_refused_and_a_taken_port_says_so() {
    let http = Http::new();
    let udp = Address::loopback(Protocol::UDP, 1);
    assert_eq!(http.listen(&udp).await.unwrap_err().code(), "wrong_address");
    assert_eq!(http.send(&Entry::plain(udp.clone()), &hi()).await.unwrap_err().code(), "wrong_address");
    assert_eq!(http.probe(&Entry::plain(udp)).await.unwrap_err().code(), "wrong_address");
    let incoming = listener().await;
    assert_eq!(http.listen(incoming.local_address()).await.unwrap_err().code(), "listen");
}

#[tokio::test]
async fn it_works_over_ipv6_and_by_name() {
    let http = Http::new();
    let v6 = Address::network(Protocol::HTTP, Host::new("::1").unwrap(), 0);
    if let Ok(mut incoming) = http.listen(&v6).await {
        assert!(incoming.local_address().to_string().starts_with("http://[::1]:"));
        http.send(&Entry::plain(incoming.local_address().clone()), &hi()).await.unwrap();
        next(&mut incoming).await;
    }
    let mut incoming = listener().await;
    let named = Address::network(Protocol::HTTP, Host::new("localhost").unwrap(), port(&incoming));
    http.send(&Entry::plain(named), &hi()).await.unwrap();
    next(&mut incoming).await;
}

#[tokio::test]
async fn silent_connections_half_heads_and_slow_bodies_end_by_their_timers() {
    let limits = limits(|l| {
        l.head_timeout = Duration::from_millis(100);
        l.body_timeout = Duration::from_millis(100);
    });
    let mut incoming = listen(&limits).await;
    let at = port(&incoming);
    assert_eq!(read_all(connect(at).await).await, "");
    for half in [
        "P",
        "POST /v1/message HTTP/1.1\r\nhost: a\r\n",
        "POST /v1/message HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{",
    ] {
        let mut stream = connect(at).await;
        stream.write_all(half.as_bytes()).await.unwrap();
        let got = read_all(stream).await;
        assert_eq!(status(&got), "408", "{half:?}");
        assert!(got.contains("problem+json"), "{got}");
    }
    assert_eq!(incoming.try_next(), None);
}

#[tokio::test]
async fn a_connection_that_carried_a_message_and_falls_silent_is_closed_without_a_word() {
    let incoming = listen(&limits(|l| l.head_timeout = Duration::from_millis(100))).await;
    let mut stream = connect(port(&incoming)).await;
    let keep = post(r#"{"user":"ann","text":"hi"}"#).replace("connection: close\r\n", "");
    stream.write_all(keep.as_bytes()).await.unwrap();
    let got = read_all(stream).await;
    assert!(got.ends_with("{\"status\":\"ok\"}"), "{got}");
}

#[tokio::test]
async fn while_strangers_hold_connections_others_are_served() {
    let mut incoming = listener().await;
    let at = port(&incoming);
    let mut held = Vec::new();
    for n in 0..100 {
        let mut stream = connect(at).await;
        let half =
            ["", "POST /v1/mess", "POST /v1/message HTTP/1.1\r\nhost: a\r\ncontent-length: 65536\r\n\r\n{"][n % 3];
        stream.write_all(half.as_bytes()).await.unwrap();
        held.push(stream);
    }
    assert_eq!(Http::new().send(&v1(at), &hi()).await.unwrap(), Sent::Delivered);
    next(&mut incoming).await;
}

#[tokio::test]
async fn dropping_the_incoming_ends_listening_and_idle_connections() {
    let incoming = listener().await;
    let at = port(&incoming);
    let mut stream = connect(at).await;
    let keep = post(r#"{"user":"ann","text":"hi"}"#).replace("connection: close\r\n", "");
    stream.write_all(keep.as_bytes()).await.unwrap();
    let mut some = [0; 15];
    stream.read_exact(&mut some).await.unwrap();
    drop(incoming);
    read_all(stream).await;
    tokio::time::timeout(LONG, async {
        while tokio::net::TcpStream::connect(("127.0.0.1", at)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn many_messages_on_one_connection_are_answered_one_by_one() {
    let mut incoming = listener().await;
    let mut stream = connect(port(&incoming)).await;
    let one = post(r#"{"user":"ann","text":"hi"}"#).replace("connection: close\r\n", "");
    let last = post(r#"{"user":"ann","text":"bye"}"#);
    stream.write_all(format!("{}{last}", one.repeat(20)).as_bytes()).await.unwrap();
    let got = read_all(stream).await;
    assert_eq!(got.matches("HTTP/1.1 200 OK").count(), 21, "{got}");
    for _ in 0..20 {
        assert_eq!(&*next(&mut incoming).await.text, "hi");
    }
    assert_eq!(&*next(&mut incoming).await.text, "bye");
}

#[tokio::test]
async fn who_keeps_talking_outlives_the_time_for_a_head() {
    // A busy machine may be silent for longer than the shorter times, which then say nothing.
    for millis in [100, 200, 400, 800, 1600, 3200] {
        let limit = Duration::from_millis(millis);
        let mut incoming = listen(&limits(|l| l.head_timeout = limit)).await;
        let mut stream = connect(port(&incoming)).await;
        let keep = post(r#"{"user":"ann","text":"hi"}"#).replace("connection: close\r\n", "");
        let started = tokio::time::Instant::now();
        let (mut last, mut silent) = (started, Duration::ZERO);
        while started.elapsed() < limit * 5 {
            if stream.write_all(keep.as_bytes()).await.is_err() {
                break;
            }
            let heard = tokio::time::timeout(limit * 5, incoming.next()).await;
            silent = silent.max(last.elapsed());
            last = tokio::time::Instant::now();
            if heard.is_err() {
                break;
            }
        }
        silent = silent.max(last.elapsed());
        if silent >= limit / 2 {
            continue;
        }
        stream.write_all(post(r#"{"user":"ann","text":"bye"}"#).as_bytes()).await.unwrap();
        let got = read_all(stream).await;
        assert!(got.ends_with("{\"status\":\"ok\"}"), "{got}");
        assert_eq!(&*next(&mut incoming).await.text, "bye");
        return;
    }
    panic!("it is never heard for as long as it talks");
}

#[tokio::test]
async fn a_body_may_take_longer_than_a_head() {
    let mut incoming = listen(&limits(|l| l.head_timeout = Duration::from_millis(50))).await;
    let at = port(&incoming);
    let whole = post(r#"{"user":"ann","text":"slow"}"#);
    let (head, body) = whole.split_at(whole.len() - 10);
    let mut stream = connect(at).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..3 {
        // Others come and are cut meanwhile.
        read_all(connect(at).await).await;
    }
    stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(status(&read_all(stream).await), "200");
    assert_eq!(&*next(&mut incoming).await.text, "slow");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stranger_elsewhere_cannot_use_up_the_ids_of_a_sender() {
    let mut incoming = listener().await;
    let at = port(&incoming);
    let say = async |source: &str, text: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], at).into()).await.unwrap();
        let body = format!(r#"{{"user":"ann","text":"{text}","id":"1"}}"#);
        stream.write_all(post(&body).as_ref()).await.unwrap();
        assert_eq!(status(&read_all(stream).await), "200");
    };
    say("127.0.0.2", "from eve").await;
    say("127.0.0.1", "from ann").await;
    say("127.0.0.1", "from ann again").await;
    say("127.0.0.1", "").await;
    assert_eq!(&*next(&mut incoming).await.text, "from eve");
    assert_eq!(&*next(&mut incoming).await.text, "from ann");
    assert!(incoming.try_next().is_none());
}

#[tokio::test]
async fn who_is_told_to_continue_and_then_falls_silent_is_closed_like_anybody() {
    let mut incoming = listen(&limits(|l| l.head_timeout = Duration::from_millis(100))).await;
    let keep = post(r#"{"user":"ann","text":"hi"}"#).replace("connection: close\r\n", "expect: 100-continue\r\n");
    let mut stream = connect(port(&incoming)).await;
    // In one piece: the word to continue and the answer then leave in one too.
    stream.write_all(keep.as_bytes()).await.unwrap();
    let got = read_all(stream).await;
    assert!(got.starts_with("HTTP/1.1 100 ") && got.ends_with("{\"status\":\"ok\"}"), "{got}");
    assert_eq!(&*next(&mut incoming).await.text, "hi");
}
