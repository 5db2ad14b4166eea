//! UDP between peers of ours where the network or a stranger is bad.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use talk::address::{Address, Entry, Protocol};
use talk::limits::Limits;
use talk::message::Message;
use talk::name::UserName;
use talk::transport::{Incoming, Sent, Transport, Udp};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// Passes datagrams on between one sender and one receiver, and loses some of them under a seed.
struct LossyProxy {
    front: UdpSocket,
    back: UdpSocket,
    receiver: SocketAddr,
    percent: u32,
    state: u32,
    lost: u32,
}

impl LossyProxy {
    async fn new(receiver: SocketAddr, percent: u32, seed: u32) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0");
        let (front, back) = (bind().await.unwrap(), bind().await.unwrap());
        Self { front, back, receiver, percent, state: seed, lost: 0 }
    }

    /// Runs until it is dropped.
    async fn run(&mut self) {
        let (mut there, mut here) = (vec![0; 65_536], vec![0; 65_536]);
        let mut sender = None;
        loop {
            tokio::select! {
                Ok((length, from)) = self.front.recv_from(&mut there) => {
                    sender = Some(from);
                    if !self.loses() {
                        self.back.send_to(&there[..length], self.receiver).await.unwrap();
                    }
                }
                Ok((length, _)) = self.back.recv_from(&mut here) => {
                    if !self.loses() {
                        self.front.send_to(&here[..length], sender.unwrap()).await.unwrap();
                    }
                }
            }
        }
    }

    fn loses(&mut self) -> bool {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let lost = self.state % 100 < self.percent;
        self.lost += u32::from(lost);
        lost
    }
}

fn socket_address(incoming: &Incoming) -> SocketAddr {
    incoming.local_address().authority().unwrap().parse().unwrap()
}

fn message(text: &str) -> Message {
    Message::new(UserName::new("ann").unwrap(), text)
}

#[tokio::test]
async fn a_thousand_messages_survive_twenty_percent_of_loss_each_way() {
    let udp = Arc::new(Udp::new());
    let mut incoming = udp.listen(&Address::loopback(Protocol::UDP, 0)).await.unwrap();
    let mut proxy = LossyProxy::new(socket_address(&incoming), 20, 2_463_534_242).await;
    let entry = Entry::acknowledging(Address::socket(Protocol::UDP, proxy.front.local_addr().unwrap()));
    let mut sends = JoinSet::new();
    for number in 0..1000 {
        let (udp, entry) = (udp.clone(), entry.clone());
        sends.spawn(async move { udp.send(&entry, &message(&format!("{number} привет 👍"))).await.unwrap() });
    }
    let work = async {
        for number in 0..1000 {
            assert_eq!(*incoming.next().await.unwrap().text, *format!("{number} привет 👍"));
        }
        while let Some(sent) = sends.join_next().await {
            assert_eq!(sent.unwrap(), Sent::Delivered);
        }
    };
    tokio::select! {
        result = timeout(PATIENCE, work) => result.expect("not all arrived"),
        () = proxy.run() => unreachable!("the proxy does not end"),
    }
    assert!(incoming.try_next().is_none(), "something came twice");
    assert!(proxy.lost > 400, "only {} were lost", proxy.lost);
}

#[tokio::test]
async fn a_flood_from_strangers_costs_bounded_memory_and_is_survived() {
    let mut limits = Limits::default();
    limits.inbox = 64;
    let udp = Udp::with_limits(&limits);
    let mut incoming = udp.listen(&Address::loopback(Protocol::UDP, 0)).await.unwrap();
    let (at, stranger) = (socket_address(&incoming), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let before = resident_kib();
    let text = "x".repeat(1000);
    for number in 0..60_000 {
        // New users without end, each with a hole that is never filled, on a new run each time.
        let datagram = format!(
            r#"{{"user":"u{}","text":"{text}","id":"i{number}","run":"r{number}","n":{}}}"#,
            number % 5000,
            number % 60 + 2
        );
        stranger.send_to(datagram.as_bytes(), at).await.unwrap();
        if number % 32 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "grew by {grown} KiB");
    assert!(incoming.lost() > 0);
    while incoming.try_next().is_some() {}
    let entry = Entry::acknowledging(incoming.local_address().clone());
    assert_eq!(udp.send(&entry, &message("still there")).await.unwrap(), Sent::Delivered);
    let mut heard = timeout(PATIENCE, incoming.next()).await.unwrap().unwrap();
    while heard.from.as_str() != "ann" {
        heard = timeout(PATIENCE, incoming.next()).await.unwrap().unwrap();
    }
    assert_eq!(&*heard.text, "still there");
}

/// What this process holds in memory; 0 where the system does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
