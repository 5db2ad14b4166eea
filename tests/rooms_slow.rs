//! Members that stop reading, in our own server and mounted in others: nobody waits for them, they cost no more than
//! their queue, and they go as it is documented.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::pair::Pair;
use common::raw::LONG;
use common::raw_websocket::upgrade;
use common::rooms::{Client, said};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use talk::gateway::{RoomServer, http};
use talk::hub::Hub;
use talk::limits::Limits;
use talk::message::Command;
use talk::name::{Nickname, RoomName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::AbortOnDropHandle;

/// Whose server it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Host {
    Ours,
    /// Another's hyper server over bare sockets.
    Theirs,
    /// The same over something that is no socket to us.
    Wrapped,
}

struct Stage {
    hub: Hub,
    port: u16,
    _serving: AbortOnDropHandle<()>,
}

impl Stage {
    async fn set(host: Host) -> Self {
        let mut limits = Limits::default();
        limits.commands_per_second = 0;
        limits.history_count = 20_000;
        let hub = Hub::with_limits(&limits);
        let service = http::service(hub.clone());
        if host == Host::Ours {
            let server = RoomServer::bind(&"127.0.0.1".parse().unwrap(), 0, service).await.unwrap();
            let port = server.local_addr().port();
            let serving = tokio::spawn(server.serve(std::future::pending()));
            return Self { hub, port, _serving: AbortOnDropHandle::new(serving) };
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service.clone();
                if host == Host::Theirs {
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    tokio::spawn(connection.with_upgrades());
                } else {
                    let (reader, writer) = stream.into_split();
                    let io = TokioIo::new(tokio::io::join(reader, writer));
                    tokio::spawn(http1::Builder::new().serve_connection(io, service).with_upgrades());
                }
            }
        });
        Self { hub, port, _serving: AbortOnDropHandle::new(serving) }
    }

    /// A session of a machine that holds little of what it does not read.
    async fn open(&self, name: &str, subprotocol: &str) -> Client {
        let token = self.hub.sign_up(&Nickname::new(name).unwrap()).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], self.port).into()).await.unwrap();
        let headers = format!("sec-websocket-protocol: {subprotocol}{}\r\n", token.reveal());
        stream.write_all(upgrade("/ws", &headers).as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Client { stream, head, token: token.reveal().to_owned() }
    }

    async fn join(&self, name: &str) -> Client {
        let mut client = self.open(name, "").await;
        assert_eq!(client.hear().await, said("system", &format!("{name} joined")));
        client
    }

    async fn pair(&self) -> Pair {
        Pair::of(self.join("ann").await, self.join("bob").await).await
    }

    /// That nobody has more waiting than they may.
    fn check_queues(&self) {
        let (gauges, limits) = (self.hub.gauges(), self.hub.limits());
        // Besides the one who reads nothing, others may have a frame on its way.
        assert!(gauges.queued_bytes_max <= limits.member_bytes, "{gauges:?}");
        assert!(gauges.queued_bytes <= limits.member_bytes + 4 * 17_000, "{gauges:?}");
    }
}

/// Lets ann speak until somebody was cut who hears it all and reads nothing.
async fn until_cut(stage: &Stage, pair: &mut Pair, idler: &str) {
    let gone = said("system", &format!("{idler} left"));
    for n in 0..4000 {
        let text = numbered(n);
        pair.ann.say(&text).await;
        pair.ann.until(&said("ann", &text)).await;
        let before = pair.bob.until(&said("ann", &text)).await;
        stage.check_queues();
        if before.contains(&gone) {
            return;
        }
    }
    panic!("{idler} is never cut");
}

fn numbered(n: usize) -> String {
    format!("{n} {}", "x".repeat(16_000))
}

/// The numbers of what ann said, from whole frames only; the rest that is no whole frame is behind them.
fn numbers(bytes: &[u8]) -> (Vec<usize>, &[u8]) {
    let (mut found, mut rest) = (Vec::new(), bytes);
    loop {
        let (length, head) = match rest {
            [0x81, 126, high, low, ..] => (usize::from(u16::from_be_bytes([*high, *low])), 4),
            [0x81, short @ 0..126, ..] => (usize::from(*short), 2),
            _ => return (found, rest),
        };
        let Some(payload) = rest.get(head..head + length) else { return (found, rest) };
        let heard: Value = serde_json::from_slice(payload).unwrap();
        let first = heard["body"].as_str().unwrap().split(' ').next().unwrap();
        found.extend(first.parse::<usize>().ok().filter(|_| heard["from"] == "ann"));
        rest = &rest[head + length..];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_never_reads_again_is_reset() {
    for host in [Host::Ours, Host::Theirs] {
        let stage = Stage::set(host).await;
        let mut pair = stage.pair().await;
        let mut idler = stage.join("idler").await;
        until_cut(&stage, &mut pair, "idler").await;
        let cut = Instant::now();
        pair.speak().await;
        assert_eq!(stage.hub.gauges().sessions, 2);
        // Nothing is read: what comes is the reset.
        let reset = tokio::time::timeout(LONG, idler.stream.ready(Interest::ERROR)).await;
        assert!(reset.expect("a reset comes").unwrap().is_error(), "{host:?}");
        // It has 5 s, of which some may have passed before the others heard of it.
        assert!(cut.elapsed() > Duration::from_secs(2), "{host:?}: {:?}", cut.elapsed());
        let mut bytes = Vec::new();
        let end = idler.stream.read_to_end(&mut bytes).await;
        assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset), "{host:?}");
        let (heard, _) = numbers(&bytes);
        assert!(heard.iter().enumerate().all(|(at, n)| at == *n), "{host:?}: {heard:?}");
        pair.speak().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_again_in_time_gets_whole_frames_and_the_reason() {
    for host in [Host::Ours, Host::Theirs, Host::Wrapped] {
        let stage = Stage::set(host).await;
        let mut pair = stage.pair().await;
        let mut idler = stage.join("idler").await;
        until_cut(&stage, &mut pair, "idler").await;
        // Each frame is looked at once: there are only seconds to read it all.
        let (mut bytes, mut heard, mut whole) = (Vec::new(), Vec::new(), 0);
        let close = loop {
            let (more, rest) = numbers(&bytes[whole..]);
            heard.extend(more);
            whole = bytes.len() - rest.len();
            if let [0x88, length, close @ ..] = rest
                && close.len() >= usize::from(*length)
            {
                break close.to_vec();
            }
            let read = tokio::time::timeout(LONG, idler.stream.read_buf(&mut bytes)).await.expect("more comes");
            assert!(read.unwrap() > 0, "{host:?}: it ends without a Close");
        };
        assert_eq!(close[..2], 1008u16.to_be_bytes(), "{host:?}");
        assert!(String::from_utf8_lossy(&close[2..]).contains("slow"), "{host:?}: {close:?}");
        assert!(heard.len() > 10 && heard.iter().enumerate().all(|(at, n)| at == *n), "{host:?}: {heard:?}");
        // Whoever says goodbye is let go.
        idler.stream.write_all(&common::raw_websocket::frame(0x88, &1008u16.to_be_bytes())).await.unwrap();
        idler.stream.shutdown().await.unwrap();
        assert!(idler.ends().await, "{host:?}");
        pair.speak().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stops_reading_in_a_long_replay_costs_no_more_and_gets_all_of_it_later() {
    for host in [Host::Ours, Host::Wrapped] {
        let stage = Stage::set(host).await;
        let (mut seat, mut heard) = stage.hub.sit("filler").await.unwrap();
        seat.run(Command::Enter(RoomName::global())).await.unwrap();
        let listening = tokio::spawn(async move { while heard.next().await.is_some() {} });
        for n in 0..10_000 {
            let body = format!("{n} {}", "x".repeat(500)).into();
            seat.run(Command::Say { room: None, body, id: None }).await.unwrap();
        }
        seat.run(Command::Leave(None)).await.unwrap();
        drop(seat);
        listening.await.unwrap();

        let mut pair = stage.pair().await;
        let mut idler = stage.open("idler", "talk.v2, ").await;
        idler.command("enter", json!({ "room": "global" })).await;
        idler.command("message", json!({ "room": "global", "body": "here", "id": "1" })).await;
        let epoch = idler.of_type("accepted").await["epoch"].clone();
        idler.command("resume", json!({ "room": "global", "epoch": epoch, "seq": 0 })).await;
        // From here on it does not read.
        for _ in 0..200 {
            pair.speak().await;
            stage.check_queues();
        }
        let mut seq = 0;
        let recovered = loop {
            let heard = idler.hear().await;
            match heard["type"].as_str().unwrap() {
                // Said before its resume was seen.
                "message" if seq == 0 && heard["seq"] != 1 => {}
                "message" => {
                    assert_eq!((&heard["seq"], &heard["prev"]), (&json!(seq + 1), &json!(seq)), "{host:?}");
                    seq += 1;
                }
                "recovered" => break heard,
                _ => {}
            }
        };
        assert!(seq > 10_000, "{host:?}: {seq}");
        assert_eq!((&recovered["to"], &recovered["recovered"]), (&json!(seq), &json!(true)), "{host:?}");
        pair.speak().await;
        while seq < 10_000 + 2 + 1 + 400 + 2 {
            let live = idler.of_type("message").await;
            assert_eq!((&live["seq"], &live["prev"]), (&json!(seq + 1), &json!(seq)), "{host:?}");
            seq += 1;
        }
    }
}
