//! Bytes from whoever means harm, beside two who go on talking.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::common::console::{Client, Server, message, object};

/// Two who are to notice nothing.
struct Pair(Client, Client, usize);

impl Pair {
    async fn of(server: &Server) -> Self {
        Self(server.join("ann").await, server.join("ben").await, 0)
    }

    async fn goes_on(&mut self) {
        let Self(ann, ben, said) = self;
        *said += 1;
        ann.say(&format!("ping {said}")).await;
        assert_eq!(ben.raw().await, message("ann", &format!("ping {said}")));
        ben.say(&format!("pong {said}")).await;
        assert_eq!(ann.raw().await, message("ben", &format!("pong {said}")));
    }
}

/// Writes until the other side has enough, and tells how much that was.
async fn pour(client: &mut Client, piece: &[u8], most: usize) -> usize {
    let mut poured = 0;
    while poured < most {
        match client.stream.write(piece).await {
            Ok(written) => poured += written,
            Err(_) => break,
        }
    }
    poured
}

#[tokio::test]
async fn an_object_without_an_end_is_cut_long_before_it_costs_anything() {
    let server = Server::start().await;
    let mut pair = Pair::of(&server).await;
    let long = vec![b'x'; 1 << 16];
    for hello in ["", r#"{"username":"eve"}"#] {
        for begin in [&b"{\"username\":\""[..], b"{\"data\":\"", b"{", b"{\"a\":[1,"] {
            let mut eve = server.connect().await;
            eve.write(hello).await;
            eve.write(begin).await;
            let poured = pour(&mut eve, &long, 64 << 20).await;
            assert!(poured < 64 << 20, "64 MiB were taken behind {begin:?}");
            if !hello.is_empty() {
                for client in [&mut pair.0, &mut pair.1] {
                    assert!(client.raw().await.contains("Client 'eve' left the chat"));
                }
            }
            pair.goes_on().await;
        }
    }
}

#[tokio::test]
async fn one_byte_more_than_an_object_may_have_is_too_many() {
    let server = Server::start().await;
    let mut pair = Pair::of(&server).await;
    let sized = |size: usize| {
        let empty = object("message", "").len();
        object("message", &"y".repeat(size - empty))
    };
    let mut eve = server.join("eve").await;
    eve.write(sized(16 * 1024)).await;
    for client in [&mut pair.0, &mut pair.1] {
        while client.raw().await.len() == 1024 {}
    }
    eve.write(sized(16 * 1024 + 1)).await;
    assert!(eve.ends().await);
    for client in [&mut pair.0, &mut pair.1] {
        assert!(client.raw().await.contains("Client 'eve' left the chat"));
    }
    pair.goes_on().await;
}

#[tokio::test]
async fn bytes_of_no_kind_harm_anybody() {
    let server = Server::start().await;
    let mut pair = Pair::of(&server).await;
    let every: Vec<u8> = (0..=255).collect();
    let deep = "{\"a\":".repeat(3000);
    let nested = format!("{{\"username\":\"eve\",\"a\":{}{}}}", "[".repeat(127), "]".repeat(127));
    let escapes = format!(r#"{{"username":"{}"}}"#, r"\u0000".repeat(2000));
    for bytes in [
        &every[..],
        b"\xff\xfe{\0}\0",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"{\"username\":\"\xff\xfe\"}",
        b"{\"username\":\"eve\\",
        b"\\\"{",
        deep.as_bytes(),
        nested.as_bytes(),
        escapes.as_bytes(),
    ] {
        let mut eve = server.connect().await;
        // It may be closed amid this.
        let _ = eve.stream.write_all(bytes).await;
        let _ = eve.stream.shutdown().await;
        assert!(eve.ends().await, "{bytes:?}");
        pair.goes_on().await;
    }
    // Space is nothing, however much there is of it.
    let mut dora = server.connect().await;
    assert!(pour(&mut dora, &[b' '; 1 << 16], 4 << 20).await >= 4 << 20);
    dora.write(r#"{"username":"dora"}"#).await;
    dora.say("hello").await;
    assert_eq!(pair.0.raw().await, message("dora", "hello"));
    assert_eq!(pair.1.raw().await, message("dora", "hello"));
}

#[tokio::test]
async fn silent_connections_and_storms_of_resets_leave_the_others_alone() {
    let server = Server::start().await;
    let mut pair = Pair::of(&server).await;
    let mut silent = Vec::new();
    for n in 0..500 {
        let mut client = server.connect().await;
        if n % 2 == 0 {
            client.write(r#"{"username":"#).await;
        }
        silent.push(client);
    }
    pair.goes_on().await;
    for n in 0..300 {
        let mut client = server.connect().await;
        match n % 3 {
            0 => {}
            1 => client.write(r#"{"user"#).await,
            _ => client.write("garbage").await,
        }
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    pair.goes_on().await;
    drop(silent);
    assert_eq!(server.hub.gauges().sessions, 2);
    pair.goes_on().await;
}

#[tokio::test]
async fn everything_byte_by_byte_costs_nobody_else_anything() {
    let server = Server::start().await;
    let mut pair = Pair::of(&server).await;
    let mut eve = server.connect().await;
    let all = [r#"{"username":"eve"}"#, &object("message", &"z".repeat(200)), &object("command", "cmd!client_exit")];
    for (at, byte) in all.concat().bytes().enumerate() {
        eve.write([byte]).await;
        // While its text is not complete.
        if at % 50 == 0 && at < 200 {
            pair.goes_on().await;
        }
    }
    while eve.next().await.is_some() {}
    for client in [&mut pair.0, &mut pair.1] {
        assert_eq!(client.raw().await, message("eve", &"z".repeat(200)));
        assert!(client.raw().await.contains("Client 'eve' left the chat"));
    }
}
