//! The suite that every [`Transport`] passes: order, loss, duplicates, limits, texts, hostile input, a full inbox,
//! cancellation, shutdown, guards.
//!
//! Describe an own transport as a [`Subject`] and run [`all`], or the checks one by one, in an ordinary asynchronous
//! test. A check panics with what went wrong.
//!
//! ```
//! # use std::sync::Arc;
//! # use talk::address::Address;
//! # use talk::limits::Limits;
//! # use talk::transport::{Transport, contract};
//! # #[cfg(feature = "net")]
//! struct OverUdp;
//!
//! # #[cfg(feature = "net")]
//! #[async_trait::async_trait]
//! impl contract::Subject for OverUdp {
//!     fn transport(&self, limits: &Limits) -> Arc<dyn Transport> {
//!         Arc::new(talk::transport::Udp::with_limits(limits))
//!     }
//!
//!     fn address(&self) -> Address {
//!         Address::loopback(talk::address::Protocol::UDP, 0)
//!     }
//! }
//!
//! # #[cfg(feature = "net")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! contract::texts_arrive_as_they_are(&OverUdp).await;
//! # }
//! # #[cfg(not(feature = "net"))]
//! # fn main() {}
//! ```

mod garbage;
mod guarding;
mod stage;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::timeout;

pub use self::garbage::garbage;
pub use self::guarding::a_guard_decides_who_is_heard;
use self::stage::{
    A_WHILE, PAUSE, Stage, confirmed, listen_again, name, parse, poll_once, rising, text, together, within,
};
use super::{Sent, Transport, TransportError};
use crate::address::{Address, Entry, Host, Protocol};
use crate::limits::Limits;
use crate::message::{Message, MessageId};
use crate::name::UserName;

/// A transport under test. What is not overridden describes one that can do everything.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new transport that keeps `message` and `inbox` of these limits.
    fn transport(&self, limits: &Limits) -> Arc<dyn Transport>;

    /// An address on which nobody listens: port 0, or a place of its own for every call.
    fn address(&self) -> Address;

    /// The entry under which a listener of this transport is sent to; by default one that acknowledges.
    fn entry(&self, at: Address) -> Entry {
        Entry::acknowledging(at)
    }

    /// Whether a send to a listener that took the message ends in [`Sent::Delivered`]. One that does not confirm is
    /// not asked to be free of loss when it is flooded.
    fn confirms(&self) -> bool {
        true
    }

    /// Whether a message whose id was heard before is confirmed again and not delivered again.
    fn recognises_duplicates(&self) -> bool {
        self.confirms()
    }

    /// Whether line breaks arrive as such; otherwise each becomes one space.
    fn keeps_line_breaks(&self) -> bool {
        true
    }

    /// Whether [`Transport::probe`] tells a listener from nobody.
    fn probes(&self) -> bool {
        true
    }

    /// Whether [`Transport::listen_guarded`] asks its guard; otherwise it must refuse to listen.
    fn guards(&self) -> bool {
        true
    }

    /// Throws raw bytes at a listener, as a stranger would; does nothing by default, which leaves
    /// [`hostile_input_harms_nobody`] without a point.
    async fn throw(&self, at: &Address, bytes: &[u8]) {
        let _ = (at, bytes);
    }

    /// What to throw: nothing of it is a message.
    fn garbage(&self) -> Vec<Vec<u8>> {
        garbage()
    }
}

/// Runs every check, one after another.
pub async fn all(subject: &dyn Subject) {
    messages_arrive_in_order(subject).await;
    concurrent_senders_are_all_heard(subject).await;
    a_repeated_id_is_heard_once(subject).await;
    the_limit_is_exact(subject).await;
    texts_arrive_as_they_are(subject).await;
    hostile_input_harms_nobody(subject).await;
    a_full_inbox_keeps_what_it_took(subject).await;
    a_dropped_send_harms_no_other(subject).await;
    a_dropped_listen_leaves_the_address_free(subject).await;
    listening_ends_with_the_incoming(subject).await;
    a_probe_tells_a_listener_from_nobody(subject).await;
    foreign_addresses_are_refused(subject).await;
    a_guard_decides_who_is_heard(subject).await;
}

/// Messages arrive in the order in which they were sent, awaited one by one or only polled in order; none is lost.
pub async fn messages_arrive_in_order(subject: &dyn Subject) {
    let mut stage = Stage::new(subject, &Limits::default()).await;
    for number in 0..200 {
        stage.send_and_hear(&number.to_string()).await;
    }
    let messages: Vec<_> = (0..100).map(|number| text(&number.to_string())).collect();
    if subject.confirms() {
        let sends = messages.iter().map(|message| stage.sending.send(&stage.entry, message)).collect();
        for result in within("sending together", together(sends)).await {
            assert!(matches!(result, Ok(Sent::Delivered)), "{result:?}");
        }
        for message in &messages {
            assert_eq!(stage.hear().await.text, message.text, "out of order");
        }
    }
    stage.expect_silence();
}

/// Eight users at once, through one transport and through several: each is heard in its own order.
pub async fn concurrent_senders_are_all_heard(subject: &dyn Subject) {
    let mut stage = Stage::new(subject, &Limits::default()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for user in 0..USERS {
        let own = subject.transport(&Limits::default());
        let sending = if user % 2 == 0 { stage.sending.clone() } else { own };
        let (entry, confirms) = (stage.entry.clone(), subject.confirms());
        tasks.spawn(async move {
            for number in 0..EACH {
                let message = Message::new(name(&format!("user-{user}")), &number.to_string());
                let sent = sending.send(&entry, &message).await;
                assert!(matches!(sent, Ok(sent) if confirmed(sent, confirms)), "{sent:?}");
            }
        });
    }
    let mut heard: BTreeMap<UserName, Vec<usize>> = BTreeMap::new();
    let mut take = |message: Message| heard.entry(message.from).or_default().push(parse(&message.text));
    let everything = async {
        let mut left = if subject.confirms() { USERS * EACH } else { 0 };
        while left > 0 {
            take(stage.incoming.next().await.expect("the listener ended"));
            left -= 1;
        }
        while let Some(result) = tasks.join_next().await {
            result.expect("a sender failed");
        }
    };
    within("hearing eight users", everything).await;
    while let Some(message) = stage.incoming.try_next() {
        take(message);
    }
    for (user, numbers) in &heard {
        assert!(rising(numbers), "{user} was heard out of order or twice: {numbers:?}");
        assert!(!subject.confirms() || numbers.len() == EACH, "{user} lost something: {numbers:?}");
    }
}

/// The same id twice is confirmed twice and heard once.
pub async fn a_repeated_id_is_heard_once(subject: &dyn Subject) {
    if !subject.recognises_duplicates() {
        return;
    }
    let mut stage = Stage::new(subject, &Limits::default()).await;
    let message = text("once").with_id(MessageId::random());
    for _ in 0..3 {
        stage.send(&message).await;
    }
    // A program that starts again and repeats what it does not know the fate of.
    stage.sending = subject.transport(&Limits::default());
    stage.send(&message).await;
    assert_eq!(&*stage.hear().await.text, "once");
    stage.send_and_hear("and something else").await;
    stage.expect_silence();
}

/// A text of as many bytes as allowed passes, one byte more is [`TransportError::TooLong`], and an empty one passes.
pub async fn the_limit_is_exact(subject: &dyn Subject) {
    let mut limits = Limits::default();
    let default = limits.message;
    for limit in [1000, default] {
        limits.message = limit;
        let mut stage = Stage::new(subject, &limits).await;
        stage.send_and_hear(&"x".repeat(limit)).await;
        stage.send_and_hear(&"я".repeat(limit / 2)).await;
        stage.send_and_hear(&"\"".repeat(limit)).await;
        stage.send_and_hear("").await;
        let long = text(&"x".repeat(limit + 1));
        let refused = within("a long send", stage.sending.send(&stage.entry, &long)).await;
        let exact =
            matches!(refused, Err(TransportError::TooLong { bytes, limit: l }) if bytes == limit + 1 && l == limit);
        assert!(exact, "{refused:?}");
        stage.send_and_hear("still there").await;
        stage.expect_silence();
    }
}

/// Texts of all kinds arrive as they were sent, with their sender.
pub async fn texts_arrive_as_they_are(subject: &dyn Subject) {
    let mut stage = Stage::new(subject, &Limits::default()).await;
    let long = "семьсот символов ".repeat(42);
    for sent in [
        "привет, мир",
        "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
        "\"quoted\" 'twice' \\ back \\n slash",
        "{\"user\":\"eve\",\"text\":\"inside\"}",
        "a\tb",
        "OK",
        "0",
        " outer spaces ",
        "مرحبا \u{202e}abc",
        "\u{feff}mark",
        &long,
    ] {
        stage.send_and_hear(sent).await;
    }
    let lines = "one\ntwo\n\nfour\n";
    stage.send(&text(lines)).await;
    let expected = if subject.keeps_line_breaks() { lines.to_owned() } else { lines.replace('\n', " ") };
    assert_eq!(*stage.hear().await.text, *expected);
    stage.expect_silence();
}

/// Garbage neither ends the listener nor arrives as a message, and healthy messages still pass.
pub async fn hostile_input_harms_nobody(subject: &dyn Subject) {
    let mut stage = Stage::new(subject, &Limits::default()).await;
    let at = stage.incoming.local_address().clone();
    for (number, bytes) in subject.garbage().iter().enumerate() {
        within("throwing garbage", subject.throw(&at, bytes)).await;
        stage.send_and_hear(&format!("after {number}")).await;
    }
    stage.expect_silence();
}

/// With nobody taking from the inbox, what was confirmed is kept, what is refused is worth another try, and everything
/// goes on when there is room again.
pub async fn a_full_inbox_keeps_what_it_took(subject: &dyn Subject) {
    let mut limits = Limits::default();
    limits.inbox = 4;
    let mut stage = Stage::new(subject, &limits).await;
    let messages: Vec<_> = (0..16).map(|number| text(&number.to_string())).collect();
    let (sending, incoming) = (&stage.sending, &mut stage.incoming);
    let sends = messages.iter().map(|message| sending.send(&stage.entry, message)).collect();
    let mut heard = Vec::new();
    // Either all are decided in a while, or some wait for room.
    let results = {
        let mut sends = pin!(together(sends));
        match timeout(A_WHILE, &mut sends).await {
            Ok(results) => results,
            Err(_) => {
                let finish = async {
                    loop {
                        tokio::select! {
                            results = &mut sends => return results,
                            message = incoming.next() => heard.extend(message),
                        }
                    }
                };
                within("sending while the inbox is being emptied", finish).await
            }
        }
    };
    while let Some(message) = stage.incoming.try_next() {
        heard.push(message);
    }
    if !subject.confirms() {
        heard.extend(stage.hear_until("room again").await);
    }
    let heard: Vec<_> = heard.iter().map(|message| parse(&message.text)).collect();
    assert!(rising(&heard), "out of order or twice: {heard:?}");
    assert!(!heard.is_empty(), "nothing was taken at all");
    for (number, result) in results.iter().enumerate() {
        match result {
            Ok(Sent::Delivered) => assert!(heard.contains(&number), "{number} was confirmed and is lost: {heard:?}"),
            Ok(Sent::Unconfirmed) => assert!(!subject.confirms(), "{number} was not confirmed"),
            Err(TransportError::Busy { .. }) => assert!(!heard.contains(&number), "{number} was refused and heard"),
            Err(TransportError::TimedOut { .. }) => {}
            Err(other) => panic!("a full inbox is no reason for {other:?}"),
        }
    }
    stage.send_and_hear("and still").await;
}

/// Sends that are dropped while they are under way cost nobody else anything, and nothing is heard twice.
pub async fn a_dropped_send_harms_no_other(subject: &dyn Subject) {
    let mut stage = Stage::new(subject, &Limits::default()).await;
    for round in 0..20 {
        for number in 0..5 {
            let message = text(&format!("dropped {round}-{number}"));
            poll_once(stage.sending.send(&stage.entry, &message)).await;
        }
        let kept = format!("kept {round}");
        stage.send(&text(&kept)).await;
        let mut strays = Vec::new();
        loop {
            let heard = stage.hear().await.text;
            if *heard == *kept {
                break;
            }
            assert!(heard.starts_with("dropped"), "{heard:?} was heard twice");
            assert!(!strays.contains(&heard), "{heard:?} was heard twice");
            strays.push(heard);
        }
    }
}

/// A listen that is dropped half way leaves its address free.
pub async fn a_dropped_listen_leaves_the_address_free(subject: &dyn Subject) {
    let stage = Stage::new(subject, &Limits::default()).await;
    let at = stage.incoming.local_address().clone();
    drop(stage.incoming);
    drop(listen_again(&*stage.listening, &at).await);
    for _ in 0..10 {
        poll_once(stage.listening.listen(&at)).await;
    }
    let incoming = listen_again(&*stage.listening, &at).await;
    assert_eq!(*incoming.local_address(), at);
    Stage { incoming, ..stage }.send_and_hear("heard").await;
}

/// With its `Incoming` dropped a listener confirms nothing more, and its address can be listened on again, by another
/// transport too. While it listens nobody else can.
pub async fn listening_ends_with_the_incoming(subject: &dyn Subject) {
    let mut stage = Stage::new(subject, &Limits::default()).await;
    stage.send_and_hear("first").await;
    let at = stage.incoming.local_address().clone();
    let second = within("listening twice", subject.transport(&Limits::default()).listen(&at)).await;
    assert!(matches!(second, Err(TransportError::Listen { .. })), "{second:?}");
    stage.send_and_hear("second").await;
    drop(stage.incoming);
    let late = timeout(A_WHILE, stage.sending.send(&stage.entry, &text("late"))).await;
    assert!(!matches!(late, Ok(Ok(Sent::Delivered))), "confirmed though nobody takes it");
    let listening = subject.transport(&Limits::default());
    let incoming = listen_again(&*listening, &at).await;
    let sending = subject.transport(&Limits::default());
    let mut again = Stage { listening, incoming, sending, entry: stage.entry, confirms: stage.confirms };
    again.send(&text("again")).await;
    let mut heard = again.hear().await;
    if &*heard.text == "late" {
        heard = again.hear().await;
    }
    assert_eq!(&*heard.text, "again");
}

/// A probe succeeds with a listener, is heard by nobody, and fails without one.
pub async fn a_probe_tells_a_listener_from_nobody(subject: &dyn Subject) {
    if !subject.probes() {
        return;
    }
    let mut stage = Stage::new(subject, &Limits::default()).await;
    let there = within("a probe", stage.sending.probe(&stage.entry)).await;
    assert!(there.is_ok(), "{there:?}");
    stage.send_and_hear("after the probe").await;
    stage.expect_silence();
    let at = stage.incoming.local_address().clone();
    drop(stage.incoming);
    // Listening again and ending that too is a proof that the first has ended.
    drop(listen_again(&*stage.listening, &at).await);
    let gone = async {
        loop {
            match stage.sending.probe(&stage.entry).await {
                Ok(()) => tokio::time::sleep(PAUSE).await,
                Err(error) => return error,
            }
        }
    };
    let error = within("a probe of nobody", gone).await;
    assert!(matches!(error, TransportError::Unreachable { .. } | TransportError::TimedOut { .. }), "{error:?}");
}

/// Addresses of another protocol are [`TransportError::WrongAddress`] everywhere.
pub async fn foreign_addresses_are_refused(subject: &dyn Subject) {
    let transport = subject.transport(&Limits::default());
    let here: Host = std::net::IpAddr::from([127, 0, 0, 1]).into();
    let unknown = Protocol::new("no-such").expect("a protocol's name");
    let mut foreign: Vec<_> = [Protocol::HTTP, Protocol::UDP, Protocol::WEBSOCKET, unknown.clone()]
        .into_iter()
        .filter(|protocol| *protocol != transport.protocol())
        .map(|protocol| Address::network(protocol, here.clone(), 9))
        .collect();
    foreign.push(Address::other(unknown, "somewhere").expect("a locator"));
    for address in foreign {
        let entry = subject.entry(address.clone());
        let listened = within("listening", transport.listen(&address)).await.map(drop);
        let sent = within("sending", transport.send(&entry, &text("lost"))).await.map(drop);
        let probed = within("probing", transport.probe(&entry)).await;
        for result in [listened, sent, probed] {
            assert!(matches!(result, Err(TransportError::WrongAddress(_))), "{address}: {result:?}");
        }
    }
}

const USERS: usize = 8;
const EACH: usize = 50;
