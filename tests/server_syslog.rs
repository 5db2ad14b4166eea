//! What `talk-server` tells to syslog.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::BufRead;
use std::time::{Duration, Instant};

use common::durable::{Durable, UNLIMITED};
use common::exposition::Exposition;
use common::programs::Home;
use common::raw::{LONG, connect};
use common::raw_websocket;
use common::rooms::said;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

async fn metrics(server: &Durable) -> Exposition {
    Exposition::parse(&server.get("/metrics").await.1).unwrap()
}

/// Asks until a sample is at least that.
async fn until(server: &Durable, sample: &str, least: f64) -> Exposition {
    let deadline = Instant::now() + LONG;
    loop {
        let told = metrics(server).await;
        if told.count(sample) >= least {
            return told;
        }
        assert!(Instant::now() < deadline, "{sample} is never {least}: {told:#?}");
        tokio::task::yield_now().await;
    }
}

async fn datagram(receiver: &UdpSocket) -> String {
    let mut bytes = [0; 4096];
    let length = timeout(LONG, receiver.recv(&mut bytes)).await.expect("a record comes").unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn each_text_is_told_and_nothing_else_is() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let home = Home::new();
    let server = home.start(&["--memory", "--syslog", &format!("udp:{}", receiver.local_addr().unwrap())]);
    let mut ann = server.join("ann").await;
    let mut bob = server.join("bob").await;
    ann.say("hello").await;
    let record = datagram(&receiver).await;
    let fields: Vec<_> = record.splitn(8, ' ').collect();
    assert_eq!((fields[0], fields[3], fields[5], fields[6], fields[7]), ("<14>1", "talk", "room", "-", "[ann] hello"));
    assert!(fields[1].starts_with("20") && fields[1].ends_with('Z'), "{record}");
    assert_eq!(fields[4], server.child.id().to_string());
    let host = std::process::Command::new("uname").arg("-n").output().unwrap().stdout;
    assert_eq!(fields[2], String::from_utf8(host).unwrap().trim());
    bob.command("direct", json!({"to": "ann", "body": "psst\n[ann] x"})).await;
    let record = datagram(&receiver).await;
    assert!(record.ends_with(" direct - [bob] psst [ann] x"), "{record}");
    // What is refused was not said.
    bob.command("direct", json!({"to": "nobody", "body": "x"})).await;
    bob.say("last").await;
    assert!(datagram(&receiver).await.ends_with(" room - [bob] last"));
    let told = until(&server, "talk_syslog_written_total", 3.0).await;
    assert_eq!(told.value("talk_syslog_written_total"), 3.0);
    assert_eq!((told.value("talk_syslog_connected"), told.value("talk_syslog_waiting")), (1.0, 0.0));
    for reason in ["queue", "connection", "error"] {
        assert_eq!(told.value(&format!("talk_syslog_dropped_total{{reason=\"{reason}\"}}")), 0.0);
    }
}

#[tokio::test]
async fn texts_of_every_wire_are_told() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let home = Home::new();
    let to = format!("udp:{}", receiver.local_addr().unwrap());
    let mut server = home.start(&["--memory", "--syslog", &to, "--pair-port", "0", "--console-port", "0"]);
    let mut ports = std::collections::HashMap::new();
    while ports.len() < 2 {
        let mut line = String::new();
        assert_ne!(server.out.read_line(&mut line).unwrap(), 0, "{ports:?}");
        // Besides the places the console's own lines are printed.
        if let Some((wire, at)) = line.trim_end().split_once(" on 127.0.0.1:")
            && let Ok(port) = at.parse::<u16>()
        {
            ports.insert(wire.to_owned(), port);
        }
    }
    let told = async |expected: &str| {
        let record = datagram(&receiver).await;
        assert!(record.ends_with(expected), "{record}");
    };
    let mut console = connect(ports["console"]).await;
    console.write_all(br#"{"username":"con sole"}{"message_type":"message","data":"by console"}"#).await.unwrap();
    told(" room - [con sole] by console").await;
    let (mut pair, _) = raw_websocket::open(ports["pair"], "/", "").await;
    for (typed, answer) in [("alice", "1"), ("global", "1")] {
        pair.write_all(&raw_websocket::text(typed)).await.unwrap();
        assert_eq!(raw_websocket::read_text(&mut pair).await, answer);
    }
    pair.write_all(&raw_websocket::text("by pair chat")).await.unwrap();
    told(" room - [alice] by pair chat").await;
    let mut ann = server.join("ann").await;
    ann.say("!rps nothing").await;
    told(" room - [ann] !rps nothing").await;
    // What a bot says is said, too.
    told(" is one of the proposed: rock, scissors, paper").await;
    ann.command("direct", json!({"to": "alice", "body": "to pair chat"})).await;
    told(" direct - [ann] to pair chat").await;
}

#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let home = Home::new();
    for arguments in [&["--memory"][..], &["--memory", "--syslog", "off"]] {
        let server = home.start(arguments);
        let told = metrics(&server).await;
        assert!(!told.samples.keys().any(|sample| sample.contains("syslog")), "{told:#?}");
    }
}

#[tokio::test]
async fn what_was_said_is_told_before_the_end() {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::new();
    let to = format!("tcp:{}", receiver.local_addr().unwrap());
    let server = home.start(&["--memory", "--set", UNLIMITED, "--syslog", &to]);
    let mut ann = server.join("ann").await;
    for i in 0..500 {
        ann.say(&i.to_string()).await;
    }
    // The last one is accepted, and so are all before.
    while ann.hear().await != said("ann", "499") {}
    server.signal("TERM");
    assert!(server.ended().await.0.success());
    let (mut stream, _) = receiver.accept().await.unwrap();
    let mut all = String::new();
    timeout(LONG, stream.read_to_string(&mut all)).await.unwrap().unwrap();
    let mut rest = &*all;
    for i in 0..500 {
        let (length, record) = rest.split_once(' ').unwrap();
        let record = record.split_at(length.parse().unwrap());
        assert!(record.0.ends_with(&format!(" room - [ann] {i}")), "{}", record.0);
        rest = record.1;
    }
    assert_eq!(rest, "");
}

#[tokio::test]
async fn a_receiver_that_does_not_read_or_is_not_there_holds_nobody_up() {
    let home = Home::new();
    // Taken by the system, and read by nobody.
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stuck = format!("tcp:{}", receiver.local_addr().unwrap());
    let nobody = format!("unix:{}", home.path().join("nobody").display());
    for (to, reason) in [(stuck, "queue"), (nobody, "connection")] {
        let arguments = ["--memory", "--set", UNLIMITED, "--set", "limits.syslog_queue=10", "--syslog", &to];
        let server = home.start(&arguments);
        let mut ann = server.join("ann").await;
        let dropped = format!("talk_syslog_dropped_total{{reason=\"{reason}\"}}");
        let long = "x".repeat(7000);
        let mut spoken = 0;
        while metrics(&server).await.value(&dropped) < 10.0 {
            for _ in 0..100 {
                ann.say(&long).await;
                assert_eq!(ann.hear().await, said("ann", &long));
                spoken += 1;
            }
            assert!(spoken < 20_000, "nothing is dropped");
        }
        let told = metrics(&server).await;
        let sum: f64 = ["queue", "connection", "error"]
            .map(|reason| told.value(&format!("talk_syslog_dropped_total{{reason=\"{reason}\"}}")))
            .into_iter()
            .sum();
        // Each text is counted once, wherever it is.
        let seen = sum + told.value("talk_syslog_written_total") + told.value("talk_syslog_waiting");
        assert_eq!(seen, f64::from(spoken));
        server.signal("TERM");
        assert!(server.ended().await.0.success());
    }
}

#[tokio::test]
async fn the_older_form_has_local_time() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let home = Home::new();
    let to = format!("udp:{}", receiver.local_addr().unwrap());
    // Five hours and a half ahead of UTC.
    let mut command = home.server(&["--port", "0", "--memory", "--syslog", &to, "--syslog-format", "rfc3164"]);
    command.env("TZ", "IST-05:30");
    let server = Durable::spawn(command);
    let mut ann = server.join("ann").await;
    ann.say("hi").await;
    let record = datagram(&receiver).await;
    let clock = &record["<14>Nov 21 ".len().."<14>Nov 21 07:20:00".len()];
    let parts: Vec<u64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
    let local = parts[0] * 3600 + parts[1] * 60 + parts[2];
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let behind = (now.as_secs() + 5 * 3600 + 1800 + 86_400 - local) % 86_400;
    assert!(Duration::from_secs(behind) < LONG, "{record} at {now:?}");
    assert!(record.ends_with(&format!(" talk[{}]: [ann] hi", server.child.id())), "{record}");
}
