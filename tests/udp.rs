//! UDP as strangers see it: the bytes on the wire, towards old and new peers, good ones and others.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use talk::address::{Address, Entry, Host, Protocol};
use talk::limits::Limits;
use talk::message::{Message, MessageId};
use talk::name::UserName;
use talk::transport::{Incoming, Sent, Transport, TransportError, Udp, contract};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

fn message(text: &str) -> Message {
    Message::new(UserName::new("ann").unwrap(), text)
}

async fn raw() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

fn address(socket: &UdpSocket) -> Address {
    Address::socket(Protocol::UDP, socket.local_addr().unwrap())
}

async fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("nothing came").unwrap();
    (String::from_utf8(buffer[..length].to_vec()).unwrap(), from)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// A listener of ours with a stranger's socket, connected to it.
async fn listener(limits: &Limits) -> (Incoming, UdpSocket) {
    let udp = Udp::with_limits(limits);
    let incoming = udp.listen(&Address::loopback(Protocol::UDP, 0)).await.unwrap();
    let stranger = raw().await;
    stranger.connect(incoming.local_address().authority().unwrap()).await.unwrap();
    (incoming, stranger)
}

async fn answer(stranger: &UdpSocket) -> String {
    receive(stranger).await.0
}

async fn hear(incoming: &mut Incoming) -> String {
    timeout(PATIENCE, incoming.next()).await.expect("nothing came").unwrap().text.to_string()
}

#[tokio::test]
async fn an_old_peer_gets_exactly_user_and_text_once() {
    let (udp, peer) = (Udp::new(), raw().await);
    let entry = Entry::plain(address(&peer));
    let with_id = message("one\ntwo \"три\" 👍").with_id(MessageId::random());
    assert_eq!(udp.send(&entry, &with_id).await.unwrap(), Sent::Unconfirmed);
    assert_eq!(udp.send(&entry, &message("")).await.unwrap(), Sent::Unconfirmed);
    assert_eq!(receive(&peer).await.0, r#"{"user":"ann","text":"one two \"три\" 👍"}"#);
    assert_eq!(receive(&peer).await.0, r#"{"user":"ann","text":""}"#);
}

#[tokio::test]
async fn a_new_peer_gets_id_and_order_and_its_acknowledgement_is_delivery() {
    let (udp, peer) = (Udp::new(), raw().await);
    let entry = Entry::acknowledging(address(&peer));
    let mut runs = BTreeSet::new();
    for n in 1..=3 {
        let sent = message("a\nb").with_id(MessageId::new(&format!("id-{n}")).unwrap());
        let confirm = async {
            let (text, from) = receive(&peer).await;
            peer.send_to(format!(r#"{{"ack":"id-{n}"}}"#).as_bytes(), from).await.unwrap();
            text
        };
        let (result, text) = tokio::join!(udp.send(&entry, &sent), confirm);
        assert_eq!(result.unwrap(), Sent::Delivered);
        let run = json(&text)["run"].as_str().unwrap().to_owned();
        let expected = format!(r#"{{"user":"ann","text":"a\nb","id":"id-{n}","run":"{run}","n":{n},"base":{n}}}"#);
        assert_eq!(text, expected);
        runs.insert(run);
    }
    assert_eq!(runs.len(), 1);
}

#[tokio::test]
async fn a_message_without_an_id_gets_one_and_keeps_it_when_it_is_repeated() {
    let (udp, peer) = (Udp::new(), raw().await);
    let entry = Entry::acknowledging(address(&peer));
    let confirm = async {
        let (first, _) = receive(&peer).await;
        let (second, from) = receive(&peer).await;
        assert_eq!(first, second);
        let ack = serde_json::json!({ "ack": json(&first)["id"] });
        peer.send_to(ack.to_string().as_bytes(), from).await.unwrap();
    };
    let hi = message("hi");
    let (result, ()) = tokio::join!(udp.send(&entry, &hi), confirm);
    assert_eq!(result.unwrap(), Sent::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_gets_twelve_copies_in_nine_seconds() {
    let (udp, peer) = (Udp::new(), raw().await);
    let entry = Entry::acknowledging(address(&peer));
    let start = tokio::time::Instant::now();
    let error = udp.send(&entry, &message("hi")).await.unwrap_err();
    assert!(matches!(error, TransportError::TimedOut { .. }), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 9);
    for _ in 0..12 {
        receive(&peer).await;
    }
    // The next is the next message, which waits for nothing.
    udp.send(&Entry::plain(address(&peer)), &message("last")).await.unwrap();
    assert_eq!(json(&receive(&peer).await.0)["text"], "last");
}

#[tokio::test]
async fn an_acknowledgement_from_elsewhere_or_of_something_else_is_none() {
    let (udp, peer, other) = (Udp::new(), raw().await, raw().await);
    let entry = Entry::acknowledging(address(&peer));
    let sent = message("hi").with_id(MessageId::new("mine").unwrap());
    let confirm = async {
        let (_, from) = receive(&peer).await;
        other.send_to(br#"{"ack":"mine"}"#, from).await.unwrap();
        for wrong in [&br#"{"ack":"other"}"#[..], br#"{"ack":"mine","user":"a","text":"b"}"#, b"mine", b"", &[255; 999]]
        {
            peer.send_to(wrong, from).await.unwrap();
        }
        // The repetition is the proof that nothing of this counted.
        receive(&peer).await;
        peer.send_to(br#"{"ack":"mine"}"#, from).await.unwrap();
    };
    let (result, ()) = tokio::join!(udp.send(&entry, &sent), confirm);
    assert_eq!(result.unwrap(), Sent::Delivered);
}

#[tokio::test]
async fn a_dropped_send_is_still_repeated_and_leaves_no_hole() {
    let (udp, peer) = (Udp::new(), raw().await);
    let entry = Entry::acknowledging(address(&peer));
    let first = message("first");
    let dropped = timeout(Duration::ZERO, udp.send(&entry, &first)).await;
    assert!(dropped.is_err());
    for _ in 0..2 {
        let (text, _) = receive(&peer).await;
        assert_eq!((&json(&text)["text"], &json(&text)["n"]), (&"first".into(), &1.into()));
    }
    let confirm = async {
        loop {
            let (text, from) = receive(&peer).await;
            let ack = serde_json::json!({ "ack": json(&text)["id"] });
            peer.send_to(ack.to_string().as_bytes(), from).await.unwrap();
            if json(&text)["text"] == "second" {
                return text;
            }
        }
    };
    let second = message("second");
    let (result, text) = tokio::join!(udp.send(&entry, &second), confirm);
    assert_eq!(result.unwrap(), Sent::Delivered);
    assert_eq!(json(&text)["n"], 2);
}

#[tokio::test]
async fn at_most_64_are_on_their_way_and_the_queue_behind_them_is_bounded() {
    let (udp, peer) = (Arc::new(Udp::new()), raw().await);
    let entry = Entry::acknowledging(address(&peer));
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..1200 {
        let (udp, entry) = (udp.clone(), entry.clone());
        sends.spawn(async move { udp.send(&entry, &message(&number.to_string())).await });
    }
    let refused = timeout(PATIENCE, sends.join_next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(refused, Err(TransportError::Busy { .. })), "{refused:?}");
    let mut numbers = BTreeSet::new();
    for _ in 0..200 {
        numbers.insert(json(&receive(&peer).await.0)["n"].as_u64().unwrap());
    }
    assert!(numbers.into_iter().eq(1..=64));
}

#[tokio::test]
async fn what_no_datagram_can_carry_is_too_long() {
    let mut limits = Limits::default();
    limits.message = 100_000;
    let (udp, peer) = (Udp::with_limits(&limits), raw().await);
    for entry in [Entry::plain(address(&peer)), Entry::acknowledging(address(&peer))] {
        let error = udp.send(&entry, &message(&"x".repeat(70_000))).await.unwrap_err();
        assert!(matches!(error, TransportError::TooLong { limit: 65_507, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_nowhere_is_unreachable_and_a_known_one_is_found() {
    let udp = Udp::new();
    let nowhere = Address::network(Protocol::UDP, Host::new("no-such-host.invalid").unwrap(), 9);
    for entry in [Entry::plain(nowhere.clone()), Entry::acknowledging(nowhere)] {
        let error = udp.send(&entry, &message("hi")).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
        let error = udp.probe(&entry).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    }
    let localhost = |port| Address::network(Protocol::UDP, Host::new("localhost").unwrap(), port);
    let mut incoming = udp.listen(&localhost(0)).await.unwrap();
    let Address::Network { port, .. } = *incoming.local_address() else { panic!("no port") };
    let entry = Entry::acknowledging(localhost(port));
    for text in ["one", "two"] {
        assert_eq!(udp.send(&entry, &message(text)).await.unwrap(), Sent::Delivered);
        assert_eq!(hear(&mut incoming).await, text);
    }
}

#[tokio::test]
async fn raw_json_of_an_old_peer_is_heard_and_never_answered() {
    let (mut incoming, stranger) = listener(&Limits::default()).await;
    for text in ["привет", ""] {
        stranger.send(format!(r#"{{"text":"{text}","user":"bob"}}"#).as_bytes()).await.unwrap();
        assert_eq!(hear(&mut incoming).await, text);
    }
    // Order without an id cannot be acknowledged, so it means nothing.
    stranger.send(br#"{"user":"bob","text":"later","run":"r","n":5}"#).await.unwrap();
    assert_eq!(hear(&mut incoming).await, "later");
    stranger.send(br#"{"user":"bob","text":"new","id":"asked"}"#).await.unwrap();
    assert_eq!(answer(&stranger).await, r#"{"ack":"asked"}"#, "the first answer of all");
}

#[tokio::test]
async fn order_is_restored_and_duplicates_are_acknowledged_again() {
    let (mut incoming, stranger) = listener(&Limits::default()).await;
    for n in [3, 2, 2, 1, 3, 4] {
        let datagram = format!(r#"{{"user":"bob","text":"t{n}","id":"i{n}","run":77,"n":{n}}}"#);
        stranger.send(datagram.as_bytes()).await.unwrap();
        assert_eq!(answer(&stranger).await, format!(r#"{{"ack":"i{n}"}}"#));
    }
    for n in 1..=4 {
        assert_eq!(hear(&mut incoming).await, format!("t{n}"));
    }
    assert!(incoming.try_next().is_none());
    assert_eq!(incoming.lost(), 0);
}

#[tokio::test]
async fn the_same_user_at_another_port_is_the_same_sender() {
    let (mut incoming, stranger) = listener(&Limits::default()).await;
    let again = raw().await;
    again.connect(stranger.peer_addr().unwrap()).await.unwrap();
    for socket in [&stranger, &again] {
        socket.send(br#"{"user":"bob","text":"hi","id":"1"}"#).await.unwrap();
        assert_eq!(answer(socket).await, r#"{"ack":"1"}"#);
    }
    stranger.send(br#"{"user":"eve","text":"ho","id":"1"}"#).await.unwrap();
    assert_eq!([hear(&mut incoming).await, hear(&mut incoming).await], ["hi", "ho"]);
}

#[tokio::test]
async fn a_health_probe_is_echoed_exactly_and_nothing_like_it_is() {
    let (mut incoming, stranger) = listener(&Limits::default()).await;
    let uuid = "0190A5d2-7c1e-7e9b-8f00-123456789abc";
    for wrong in [
        "id-checker".to_owned(),
        "id-checker ".to_owned(),
        format!("id-checker  {uuid}"),
        format!("id-checker {uuid} "),
        format!("id-checker {uuid}\n"),
        format!("id-checker {{{uuid}}}"),
        format!("id-checker urn:uuid:{uuid}"),
        format!("id-checker {}", uuid.replace('-', "")),
        format!("id-checker {}", uuid.replace('a', "g")),
        format!("ID-CHECKER {uuid}"),
        uuid.to_owned(),
    ] {
        stranger.send(wrong.as_bytes()).await.unwrap();
    }
    stranger.send(format!("id-checker {uuid}").as_bytes()).await.unwrap();
    assert_eq!(answer(&stranger).await, uuid, "the first answer of all");
    assert_eq!(incoming.lost(), 11);
    assert!(incoming.try_next().is_none());
}

#[tokio::test]
async fn a_registrys_message_named_health_check_is_shown_to_nobody() {
    let (mut incoming, stranger) = listener(&Limits::default()).await;
    stranger.send(br#"{"user":"healthCheck","text":"ping","id":"h"}"#).await.unwrap();
    stranger.send(br#"{"user":"bob","text":"hi","id":"1"}"#).await.unwrap();
    assert_eq!(answer(&stranger).await, r#"{"ack":"1"}"#, "the first answer of all");
    assert_eq!((hear(&mut incoming).await, incoming.lost()), ("hi".to_owned(), 0));
}

#[tokio::test]
async fn garbage_is_counted_and_never_answered() {
    let (mut incoming, stranger) = listener(&Limits::default()).await;
    let garbage = contract::garbage();
    assert!(garbage.len() >= 60);
    for (number, bytes) in garbage.iter().enumerate() {
        stranger.send(bytes).await.unwrap();
        stranger.send(format!(r#"{{"user":"bob","text":"{number}","id":"{number}"}}"#).as_bytes()).await.unwrap();
        assert_eq!(answer(&stranger).await, format!(r#"{{"ack":"{number}"}}"#), "after {bytes:?}");
        assert_eq!(hear(&mut incoming).await, number.to_string());
    }
    assert_eq!(incoming.lost(), garbage.len() as u64);
}

#[tokio::test]
async fn an_answer_is_never_longer_than_what_it_answers() {
    let (mut incoming, stranger) = listener(&Limits::default()).await;
    for id in ["1", &"x".repeat(64), &"\\\"".repeat(32), &"я".repeat(32)] {
        let smallest = serde_json::json!({ "user": "a", "text": "", "id": id }).to_string();
        stranger.send(smallest.as_bytes()).await.unwrap();
        let ack = answer(&stranger).await;
        assert!(ack.len() < smallest.len(), "{ack} for {smallest}");
        assert_eq!(json(&ack)["ack"], *id);
        hear(&mut incoming).await;
    }
}

#[tokio::test]
async fn answers_to_nobody_do_not_end_the_listener() {
    let (mut incoming, stranger) = listener(&Limits::default()).await;
    for number in 0..20 {
        let gone = raw().await;
        let datagram = format!(r#"{{"user":"bob","text":"{number}","id":"{number}"}}"#);
        gone.send_to(datagram.as_bytes(), stranger.peer_addr().unwrap()).await.unwrap();
        drop(gone);
        assert_eq!(hear(&mut incoming).await, number.to_string());
    }
    stranger.send(br#"{"user":"bob","text":"hi","id":"last"}"#).await.unwrap();
    assert_eq!(answer(&stranger).await, r#"{"ack":"last"}"#);
}

#[tokio::test]
async fn a_full_inbox_drops_counts_and_does_not_acknowledge() {
    let mut limits = Limits::default();
    limits.inbox = 2;
    let (mut incoming, stranger) = listener(&limits).await;
    for number in 0..5 {
        stranger.send(format!(r#"{{"user":"b","text":"{number}","id":"{number}"}}"#).as_bytes()).await.unwrap();
    }
    assert_eq!([answer(&stranger).await, answer(&stranger).await], [r#"{"ack":"0"}"#, r#"{"ack":"1"}"#]);
    stranger.send(b"id-checker 0190a5d2-7c1e-7e9b-8f00-123456789abc").await.unwrap();
    assert_eq!(answer(&stranger).await.len(), 36);
    assert_eq!(incoming.lost(), 3);
    assert_eq!([hear(&mut incoming).await, hear(&mut incoming).await], ["0", "1"]);
    stranger.send(br#"{"user":"b","text":"4","id":"4"}"#).await.unwrap();
    assert_eq!(answer(&stranger).await, r#"{"ack":"4"}"#);
    assert_eq!(hear(&mut incoming).await, "4");
}

#[tokio::test]
async fn a_probe_is_one_id_checker_and_believes_only_its_own_uuid() {
    let (udp, peer) = (Udp::new(), raw().await);
    let echo = async {
        let (text, from) = receive(&peer).await;
        let uuid = text.strip_prefix("id-checker ").unwrap();
        assert_eq!(uuid.len(), 36);
        for wrong in ["", "0190a5d2-7c1e-7e9b-8f00-123456789abc", &text, &format!("{uuid} ")] {
            peer.send_to(wrong.as_bytes(), from).await.unwrap();
        }
        peer.send_to(uuid.as_bytes(), from).await.unwrap();
    };
    let entry = Entry::acknowledging(address(&peer));
    let (result, ()) = tokio::join!(udp.probe(&entry), echo);
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_tries_twice() {
    let (udp, peer) = (Udp::new(), raw().await);
    let start = tokio::time::Instant::now();
    let error = udp.probe(&Entry::acknowledging(address(&peer))).await.unwrap_err();
    assert!(matches!(error, TransportError::TimedOut { .. }), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(receive(&peer).await.0, receive(&peer).await.0);
}

#[tokio::test]
async fn listening_works_on_both_families_and_everywhere() {
    let udp = Udp::new();
    for (host, reached) in [
        ("127.0.0.1", &["127.0.0.1"][..]),
        ("::1", &["::1"]),
        ("0.0.0.0", &["127.0.0.1"]),
        ("::", &["::1", "127.0.0.1"]),
    ] {
        let at = Address::network(Protocol::UDP, Host::new(host).unwrap(), 0);
        let mut incoming = udp.listen(&at).await.unwrap();
        let Address::Network { port, .. } = *incoming.local_address() else { panic!("no port") };
        assert_ne!(port, 0);
        for ip in reached {
            let to = SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port);
            let entry = Entry::acknowledging(Address::socket(Protocol::UDP, to));
            assert_eq!(udp.send(&entry, &message(ip)).await.unwrap(), Sent::Delivered);
            assert_eq!(hear(&mut incoming).await, *ip);
            udp.probe(&entry).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_or_not_ours_is_a_listen_error() {
    let (udp, taken) = (Udp::new(), raw().await);
    let not_ours = Address::network(Protocol::UDP, Host::new("192.0.2.1").unwrap(), 0);
    let nowhere = Address::network(Protocol::UDP, Host::new("no-such-host.invalid").unwrap(), 0);
    for at in [address(&taken), not_ours, nowhere] {
        let error = udp.listen(&at).await.unwrap_err();
        assert!(matches!(error, TransportError::Listen { .. }), "{error:?}");
    }
}
