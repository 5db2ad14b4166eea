//! What strangers do to the ports of other chat systems costs bounded memory, leaves nothing behind, and leaves those on
//! every wire alone.
#![cfg(all(target_os = "linux", feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};

use common::console;
use common::durable::Durable;
use common::exposition::Exposition;
use common::minechat;
use common::programs::Home;
use common::raw::{LONG, connect, read_all};
use common::raw_websocket::{frame, header, open, text};
use common::rooms::said;
use serde_json::json;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_on_every_port_cost_little_and_leave_the_others_alone() {
    let home = Home::new();
    let mut talk = Talk::start(&home);
    let mut others = Others::of(&talk).await;
    others.talk_to_each_other(0).await;
    let before = talk.resident();

    let mut silent = Vec::new();
    for _ in 0..SILENT {
        for wire in WIRES {
            silent.push(connect(talk.ports[wire]).await);
        }
        silent.push(open(talk.ports["pair"], "/", "").await.0);
    }
    others.talk_to_each_other(1).await;
    let mut strangers = JoinSet::new();
    for wire in WIRES {
        let port = talk.ports[wire];
        for piece in [&[b'x'; 1 << 16][..], &b"{\"a\":\""[..].repeat(1 << 13), &binary()] {
            let piece = piece.to_vec();
            strangers.spawn(async move { pour(connect(port).await, &piece, ENDLESS).await });
        }
        strangers.spawn(reset_storm(port));
    }
    let pair = talk.ports["pair"];
    strangers.spawn(async move {
        let (mut stream, _) = open(pair, "/", "").await;
        let _ = stream.write_all(&header(0x81, ENDLESS as u64)).await;
        pour(stream, &[b'x'; 1 << 16], ENDLESS).await;
    });
    strangers.spawn(async move {
        let (mut stream, _) = open(pair, "/", "").await;
        let _ = stream.write_all(&frame(0x01, b"a")).await;
        pour(stream, &frame(0x00, b" ").repeat(1000), ENDLESS).await;
    });
    // One who writes and never reads.
    let write = talk.ports["minechat-write"];
    strangers.spawn(async move {
        let mut stream = connect(write).await;
        let _ = stream.write_all(b"\nsomebody\n").await;
        let _ = tokio::time::timeout(Duration::from_secs(2), pour(stream, &[b'\n'; 1 << 16], ENDLESS)).await;
    });
    let (mut most, mut round) = (0, 2);
    while strangers.try_join_next().is_some() || !strangers.is_empty() {
        others.talk_to_each_other(round).await;
        most = most.max(talk.resident());
        round += 1;
    }
    let grown = most.saturating_sub(before);
    assert!(grown < MOST, "{} MiB", grown >> 20);
    // Those who sit there and type nothing are as welcome as before.
    let mut late = silent.pop().unwrap();
    late.write_all(&text("late")).await.unwrap();
    assert_eq!(common::raw_websocket::read_text(&mut late).await, "1");
    drop((silent, late));
    talk.is_left_with_the_others().await;
    others.talk_to_each_other(round).await;
}

/// The program with its wires open, each on a port that the system chose.
struct Talk {
    server: Durable,
    ports: HashMap<String, u16>,
}

impl Talk {
    fn start(home: &Home) -> Self {
        let wires = WIRES.map(|wire| match wire {
            "pair" | "console" => format!("{wire}.port=0"),
            wire => format!("{}_port=0", wire.replacen('-', ".", 1)),
        });
        let mut arguments = vec!["--memory", "--set", "limits.commands_per_second=0"];
        for wire in &wires {
            arguments.extend(["--set", wire]);
        }
        let mut server = home.start(&arguments);
        let mut ports = HashMap::new();
        for _ in WIRES {
            let mut line = String::new();
            server.out.read_line(&mut line).unwrap();
            let (wire, at) = line.trim().split_once(" on 127.0.0.1:").unwrap_or_else(|| panic!("{line}"));
            ports.insert(wire.to_owned(), at.parse().unwrap());
        }
        Self { server, ports }
    }

    /// Bytes of its memory.
    fn resident(&mut self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Waits until nothing is counted of the strangers.
    async fn is_left_with_the_others(&self) {
        let deadline = Instant::now() + LONG;
        loop {
            let (_, text) = self.server.get("/metrics").await;
            let told = Exposition::parse(&text).unwrap();
            let open = WIRES.map(|wire| told.value(&format!("talk_wire_connections{{wire=\"{wire}\"}}")));
            if (open, told.value("talk_unsigned")) == ([0.0, 1.0, 1.0, 1.0], 0.0) {
                return;
            }
            assert!(Instant::now() < deadline, "{text}");
            tokio::task::yield_now().await;
        }
    }
}

/// One on rooms, one at the console, and one who writes and hears minechat.
struct Others {
    ann: common::rooms::Client,
    cora: console::Client,
    mina: minechat::Client,
    listener: minechat::Client,
}

impl Others {
    async fn of(talk: &Talk) -> Self {
        let mut ann = talk.server.join("ann").await;
        let to = |wire: &str| ([127, 0, 0, 1], talk.ports[wire]).into();
        let mut mina = minechat::Client::connect(to("minechat-write")).await;
        mina.write("\nmina\n").await;
        for line in [minechat::HELLO, minechat::NICKNAME] {
            mina.expect(line).await;
        }
        mina.account().await;
        mina.expect(minechat::WELCOME).await;
        let mut cora = console::Client::over(connect(talk.ports["console"]).await);
        cora.write(json!({ "username": "cora" }).to_string()).await;
        cora.command("cmd!participants_count").await;
        while !cora.heard().await.1.starts_with("Participants count: ") {}
        let mut listener = minechat::Client::connect(to("minechat-listen")).await;
        // Nothing tells when it is there, but that it hears something.
        for n in 0.. {
            assert!(n < 600, "the listener hears nothing");
            ann.say("anybody?").await;
            if tokio::time::timeout(Duration::from_millis(50), listener.line()).await.is_ok() {
                break;
            }
        }
        Self { ann, cora, mina, listener }
    }

    /// Each says something that the others hear.
    async fn talk_to_each_other(&mut self, round: usize) {
        let Self { ann, cora, mina, listener } = self;
        ann.say(&format!("ann {round}")).await;
        cora.say(&format!("cora {round}")).await;
        mina.write(&format!("mina {round}\n\n")).await;
        let names = ["ann", "cora", "mina"];
        let mut expected: Vec<_> = names.iter().map(|name| format!("{name}: {name} {round}\n")).collect();
        while !expected.is_empty() {
            let line = listener.line().await;
            expected.retain(|expected| *expected != line);
        }
        let mut expected: Vec<_> = names.iter().map(|name| said(name, &format!("{name} {round}"))).collect();
        while !expected.is_empty() {
            let heard = ann.hear().await;
            expected.retain(|expected| *expected != heard);
        }
        while cora.heard().await != ("mina".to_owned(), format!("mina {round}")) {}
    }
}

/// Writes a piece again and again, so many bytes at the most, and then waits for the end.
async fn pour(mut stream: TcpStream, piece: &[u8], most: usize) {
    let mut written = 0;
    while written < most {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        written += piece.len();
    }
    read_all(stream).await;
}

async fn reset_storm(port: u16) {
    for n in 0..STORM {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        if n % 2 == 0 {
            let _ = stream.write_all(b"{\"username\":\"eve\neve\n").await;
        }
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Every byte, in no order that makes sense, and no end of a line.
fn binary() -> Vec<u8> {
    (0..1u32 << 16)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .map(|b| if b == b'\n' { 0 } else { b })
        .collect()
}

const WIRES: [&str; 4] = ["pair", "minechat-listen", "minechat-write", "console"];
/// Connections to each port on which nothing is ever said.
const SILENT: usize = 500;
/// Bytes without an end: 64 MiB.
const ENDLESS: usize = 64 << 20;
/// Connections that are reset.
const STORM: usize = 1000;
/// What all of them together may cost, in bytes: 2,500 silent ones, and what is read of the others.
const MOST: usize = 48 << 20;
