//! How far a message came, as its author hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use talk::codec::rooms::Plain;
use talk::hub::{Batch, Encoding, Hub, Lifetime, Offered, Outbox, Seat, Sink};
use talk::message::{Command, Delivery, Event};
use talk::name::RoomName;
use tokio::time::Instant;

use super::kit::*;

/// A plain socket that has room for so many bytes.
struct Pipe(Arc<AtomicUsize>);

impl Sink for Pipe {
    fn encoding(&self) -> Encoding {
        Encoding::new("plain", &Plain)
    }

    fn offer(&self, batch: &Batch) -> Offered {
        let bytes: &Bytes = batch.bytes();
        let taken = self.0.load(Ordering::SeqCst).min(bytes.len());
        self.0.fetch_sub(taken, Ordering::SeqCst);
        if taken == bytes.len() { Offered::All } else { Offered::Part(taken) }
    }
}

/// A plain session in `global`, and the room that its socket has.
async fn plain(hub: &Hub, name: &str) -> (Seat, Arc<AtomicUsize>) {
    let space = Arc::new(AtomicUsize::new(1 << 20));
    let token = hub.sign_up(&nick(name)).await.unwrap();
    let outbox: Arc<Outbox> = Arc::new(Outbox::new(Pipe(space.clone()), hub.limits()));
    let mut seat = hub.open(&token, outbox, Lifetime::Session, None).await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    (seat, space)
}

/// The next receipt of a room, and when it came: sent, delivered, members.
async fn receipt(session: &mut Session, wanted: &str) -> ([usize; 3], Instant) {
    let counts = session.until(|event| match event {
        Event::Receipt { id, sent, delivered, members, .. } if id.as_str() == wanted => {
            Some([*sent, *delivered, *members])
        }
        _ => None,
    });
    (counts.await, Instant::now())
}

/// All that is heard of a direct message until nothing more is.
async fn told(session: &mut Session, wanted: &str) -> Vec<(Delivery, Option<&'static str>)> {
    let rest = session.rest().await.into_iter();
    rest.filter_map(|event| match event {
        Event::DirectReceipt { id, state, reason, .. } if id.as_str() == wanted => Some((state, reason)),
        _ => None,
    })
    .collect()
}

fn received(seq: u64) -> Command {
    Command::Received { room: global(), seq }
}

#[tokio::test(start_paused = true)]
async fn a_room_text_is_counted_by_members_and_followed_for_ten_seconds() {
    let hub = Hub::new();
    let mut ann = Session::member(&hub, "ann").await;
    let mut bob = Session::member(&hub, "bob").await;
    // A second session of a member is no second member, nor is one of the author.
    let mut again = Session::open(&hub, bob.token.clone()).await;
    again.enter().await;
    let mut own = Session::open(&hub, ann.token.clone()).await;
    own.enter().await;
    let mut dora = Session::member(&hub, "dora").await;
    dora.run(Command::Block("ann".into())).await;
    let (_cid, space) = plain(&hub, "cid").await;
    space.store(3, Ordering::SeqCst);
    let start = Instant::now();
    ann.run(say_as("hi", "1")).await;
    let (_, at) = ann.accepted("1").await;
    let (counts, first) = receipt(&mut ann, "1").await;
    assert_eq!(counts, [1, 0, 3], "neither who is stuck nor who blocks");
    assert!(first - start >= Duration::from_millis(250));
    // Nobody takes what was not said, and a block hears nothing.
    bob.run(received(at.seq - 1)).await;
    dora.run(received(at.seq)).await;
    bob.run(received(at.seq)).await;
    let (counts, second) = receipt(&mut ann, "1").await;
    assert_eq!(counts, [1, 1, 3]);
    assert!(second - first >= Duration::from_millis(250));
    // What was said to a member who leaves was said.
    drop((bob, again));
    let (counts, last) = receipt(&mut ann, "1").await;
    assert_eq!(counts, [1, 1, 3]);
    assert!(last - start >= Duration::from_secs(10));
    let more = ann.rest().await.iter().any(|event| matches!(event, Event::Receipt { .. }));
    assert!(!more, "that was the last");
    let (counts, _) = receipt(&mut own, "1").await;
    assert_eq!(counts, [1, 0, 3], "all of the author's sessions hear it");
}

#[tokio::test(start_paused = true)]
async fn receipts_are_cumulative_and_end_when_all_have_it() {
    let hub = Hub::new();
    let mut ann = Session::member(&hub, "ann").await;
    let mut bob = Session::member(&hub, "bob").await;
    let start = Instant::now();
    for n in 1..=100 {
        ann.run(say_as(&n.to_string(), &n.to_string())).await;
    }
    let (_, at) = ann.accepted("100").await;
    bob.run(received(at.seq)).await;
    let (counts, when) = receipt(&mut ann, "100").await;
    assert_eq!(counts, [1, 1, 1]);
    assert!(when - start < Duration::from_secs(1));
    let more = ann.rest().await.iter().any(|event| matches!(event, Event::Receipt { .. }));
    assert!(!more, "one word for all of them");
    // Alone there is nobody to wait for.
    drop(bob);
    ann.run(say_as("x", "alone")).await;
    assert_eq!(receipt(&mut ann, "alone").await.0, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn one_who_got_it_late_is_counted_late() {
    let hub = Hub::new();
    let mut ann = Session::member(&hub, "ann").await;
    let (cid, space) = plain(&hub, "cid").await;
    space.store(0, Ordering::SeqCst);
    ann.run(say_as("hi", "1")).await;
    assert_eq!(receipt(&mut ann, "1").await.0, [0, 0, 1]);
    space.store(1 << 20, Ordering::SeqCst);
    cid.outbox().flush();
    assert_eq!(receipt(&mut ann, "1").await.0, [1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_a_cut_dropped_was_not_sent() {
    let hub = Hub::new();
    let mut ann = Session::member(&hub, "ann").await;
    let (cid, space) = plain(&hub, "cid").await;
    space.store(3, Ordering::SeqCst);
    ann.run(say_as("hi", "1")).await;
    ann.accepted("1").await;
    let mut said = 0;
    while cid.outbox().end().is_none() {
        ann.run(say("x")).await;
        ann.post().await;
        said += 1;
        assert!(said < 3000, "it is never cut");
    }
    space.store(1 << 20, Ordering::SeqCst);
    cid.outbox().flush();
    let counts = ann.rest().await.into_iter().filter_map(|event| match event {
        Event::Receipt { sent, .. } => Some(sent),
        _ => None,
    });
    assert_eq!(counts.max(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_direct_text_is_sent_and_then_delivered() {
    let hub = Hub::new();
    let mut ann = Session::guest(&hub, "ann").await;
    let mut bob = Session::guest(&hub, "bob").await;
    ann.run(direct("bob", "hi", "1")).await;
    let seq = bob.post().await.record.seq;
    let sent = ann.until(|event| match event {
        Event::DirectReceipt { id, to, state, .. } => Some((id.to_string(), to.to_string(), *state)),
        _ => None,
    });
    assert_eq!(sent.await, ("1".into(), "bob".into(), Delivery::Sent));
    let room = bob.own();
    bob.run(Command::Received { room, seq }).await;
    assert_eq!(told(&mut ann, "1").await, [(Delivery::Delivered, None)]);
    // A plain session's gateway says the same when its pong comes; without one it stays sent.
    let (mut cid, space) = plain(&hub, "cid").await;
    ann.run(direct("cid", "hi", "2")).await;
    ann.run(direct("cid", "hi", "3")).await;
    assert_eq!(told(&mut ann, "3").await, [(Delivery::Sent, None)]);
    cid.run(Command::Received { room: talk::message::RoomKey::Direct(cid.user()), seq: 2 }).await.unwrap();
    assert!(told(&mut ann, "3").await.is_empty(), "too late");
    space.store(0, Ordering::SeqCst);
    ann.run(direct("cid", "hi", "4")).await;
    assert!(told(&mut ann, "4").await.is_empty(), "it waits still");
    space.store(1 << 20, Ordering::SeqCst);
    cid.outbox().flush();
    cid.run(Command::Received { room: talk::message::RoomKey::Direct(cid.user()), seq: 3 }).await.unwrap();
    assert_eq!(told(&mut ann, "4").await.last(), Some(&(Delivery::Delivered, None)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_one_who_is_away_until_they_come_back() {
    for count in [3, 300] {
        let hub = Hub::with_limits(&many_from_one());
        let mut ann = Session::guest(&hub, "ann").await;
        let bob = Session::guest(&hub, "bob").await;
        let (room, token) = (bob.own(), bob.drop_hard());
        for n in 1..=count {
            ann.run(direct("bob", "hi", &n.to_string())).await;
        }
        assert!(told(&mut ann, "1").await.is_empty());
        let mut bob = Session::open(&hub, token).await;
        assert_eq!(bob.bodies(count).await.len(), count);
        let sent = ann.until(|event| if let Event::DirectReceipt { state, .. } = event { Some(*state) } else { None });
        assert_eq!(sent.await, Delivery::Sent);
        bob.run(Command::Received { room, seq: count as u64 }).await;
        assert_eq!(told(&mut ann, &count.to_string()).await.last(), Some(&(Delivery::Delivered, None)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_never_comes_back_is_told_of_as_gone() {
    let hub = Hub::new();
    let mut ann = Session::guest(&hub, "ann").await;
    let bob = Session::guest(&hub, "bob").await;
    let token = bob.drop_hard();
    ann.run(direct("bob", "hi", "1")).await;
    ann.accepted("1").await;
    tokio::time::advance(Duration::from_secs(599)).await;
    hub.tend().await.unwrap();
    assert!(hub.knows(&token).await && told(&mut ann, "x").await.is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!hub.knows(&token).await);
    hub.tend().await.unwrap();
    assert_eq!(told(&mut ann, "1").await, [(Delivery::Failed, Some("gone"))]);
}
