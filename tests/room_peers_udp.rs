//! What comes by UDP could come from anybody: before it acknowledged something, nobody is sent more than they sent.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use common::room_peers::{ELSEWHERE, Ear, World, heard, say_udp};
use common::rooms::said;
use serde_json::{Value, json};
use talk::address::{Address, Entry, Features, Protocol};
use talk::message::{Message, MessageId};
use talk::transport::{Sent, Transport, TransportError, Udp};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TRIES: usize = 100;

/// Somebody who is sent things, and answers nothing.
struct Silent {
    socket: UdpSocket,
}

impl Silent {
    fn new(at: IpAddr) -> Self {
        let socket = UdpSocket::bind((at, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// All that has come.
    fn all(&self) -> Vec<String> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65_536]);
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => all.push(String::from_utf8(buffer[..length].to_vec()).unwrap()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn an_address_that_acknowledged_nothing_is_not_sent_more_than_came_from_there() {
    let mut world = World::new().await;
    let room = world.lobby("udp").await;
    let (victim, mut eve) = (Silent::new(ELSEWHERE), Ear::udp(HERE).await);
    world.register("victim", "UDP", "127.0.0.2", victim.port(), Some(&["ack"])).await;
    world.register("eve", "UDP", "127.0.0.1", eve.port, Some(&["ack"])).await;
    let mut ann = world.rooms.join("ann").await;
    let spoofed = UdpSocket::bind((ELSEWHERE, 0)).unwrap();
    let (mut arrived, long) = (0, "x".repeat(10_000));
    for round in 0..10 {
        for number in 0..3 {
            let id = format!("an id as long as others, {round}-{number}");
            let datagram = json!({ "user": "victim", "text": "hi, everybody", "id": id }).to_string();
            arrived += spoofed.send_to(datagram.as_bytes(), (HERE, room)).unwrap();
        }
        // What came before this was heard before this.
        assert!(say_udp(HERE, room, "eve", &format!("round {round}"), TRIES).await);
        assert_eq!(heard(&mut ann).await.0, "eve", "the victim said nothing");
        ann.say(&long).await;
        assert_eq!(ann.hear().await, said("ann", &long));
        if round == 0 {
            eve.greeted("lobby").await;
        }
        assert_eq!(eve.message().await, ("lobby".into(), format!("ann: {long}")));
    }
    let sent = victim.all();
    assert!(!sent.is_empty(), "it is asked whether it is there");
    assert!(sent.len() <= 3, "{sent:?}");
    assert!(sent.iter().map(String::len).sum::<usize>() <= arrived, "{sent:?}");
    for datagram in sent {
        let fields: Value = serde_json::from_str(&datagram).unwrap();
        assert_eq!((&fields["user"], &fields["text"]), (&json!("lobby"), &json!("system: hello")));
    }
    world.stop().await;
}

#[tokio::test]
async fn what_was_sent_before_it_was_known_who_is_there_is_said_once() {
    let mut world = World::new().await;
    let room = world.lobby("udp").await;
    let (dan, mut eve) = (Ear::udp(ELSEWHERE).await, Ear::udp(HERE).await);
    world.register("dan", "UDP", "127.0.0.2", dan.port, Some(&["ack"])).await;
    world.register("eve", "UDP", "127.0.0.1", eve.port, Some(&["ack"])).await;
    let mut ann = world.rooms.join("ann").await;
    // Without an id, and never again.
    let once = UdpSocket::bind((ELSEWHERE, 0)).unwrap();
    once.send_to(br#"{"user":"dan","text":"once"}"#, (HERE, room)).unwrap();
    assert_eq!(heard(&mut ann).await, ("dan".into(), "once".into()));
    // By this crate's own sender, which repeats what is not acknowledged.
    let (udp, lobby) = (Udp::new(), entry(HERE, room));
    let texts: Vec<_> = (0..5).map(|number| Message::new("eve".parse().unwrap(), &number.to_string())).collect();
    let sends = texts.iter().map(|text| udp.send(&lobby, text));
    for sent in futures_util::future::join_all(sends).await {
        assert_eq!(sent.unwrap(), Sent::Delivered);
    }
    for number in 0..5 {
        assert_eq!(heard(&mut ann).await, ("eve".into(), number.to_string()));
    }
    ann.say("the end").await;
    assert_eq!(ann.hear().await, said("ann", "the end"), "nothing twice");
    eve.greeted("lobby").await;
    assert_eq!(eve.message().await, ("lobby".into(), "ann: the end".into()));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_greeting_is_one_datagram_whatever_comes_back() {
    let silent = Silent::new(HERE);
    let greeting = Message::new("lobby".parse().unwrap(), "hello").with_id(MessageId::new("123456").unwrap());
    let greeted = Udp::new().greet(&entry(HERE, silent.port()), &greeting).await;
    assert!(matches!(greeted, Err(TransportError::TimedOut { .. })), "{greeted:?}");
    assert_eq!(silent.all(), [r#"{"user":"lobby","text":"hello","id":"123456"}"#]);
}

#[tokio::test]
async fn a_greeting_is_acknowledged_by_its_id_alone() {
    let peer = tokio::net::UdpSocket::bind((HERE, 0)).await.unwrap();
    let to = entry(HERE, peer.local_addr().unwrap().port());
    let greeting = Message::new("lobby".parse().unwrap(), "hello").with_id(MessageId::new("123456").unwrap());
    let udp = Udp::new();
    let answers = async {
        let mut buffer = [0; 1024];
        let (_, from) = peer.recv_from(&mut buffer).await.unwrap();
        for answer in ["", "ack", r#"{"ack":"1234567"}"#, r#"{"user":"a","text":"b","id":"123456"}"#] {
            peer.send_to(answer.as_bytes(), from).await.unwrap();
        }
        // From elsewhere it counts for nothing.
        UdpSocket::bind((HERE, 0)).unwrap().send_to(br#"{"ack":"123456"}"#, from).unwrap();
        from
    };
    let mut greeting = Box::pin(udp.greet(&to, &greeting));
    let from = tokio::select! {
        from = answers => from,
        sent = &mut greeting => panic!("{sent:?}"),
    };
    tokio::task::yield_now().await;
    assert!(tokio::time::timeout(Duration::ZERO, greeting.as_mut()).await.is_err(), "that was no acknowledgement");
    peer.send_to(br#"{"ack":"123456"}"#, from).await.unwrap();
    assert_eq!(greeting.await.unwrap(), Sent::Delivered);
}

fn entry(host: IpAddr, port: u16) -> Entry {
    Entry { address: Address::network(Protocol::UDP, host.into(), port), features: Features::ours() }
}
