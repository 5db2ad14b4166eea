//! Whoever comes back hears exactly the rest, or where it is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use talk::codec::rooms::Rich;
use talk::hub::{Batch, Encoding, Flushed, Heard, Hub, Lifetime, Offered, Outbox, Sink};
use talk::limits::Limits;
use talk::message::{Command, Epoch, Event, Refusal, RoomKey};

use super::kit::*;

/// A room in which so much was said, by somebody who stays; and which life of the history that was.
async fn spoken(hub: &Hub, count: u64) -> (Session, Epoch) {
    let mut ann = Session::member(hub, "ann").await;
    for n in 1..=count {
        ann.run(say(&n.to_string())).await;
    }
    ann.run(say_as("the end", "end")).await;
    let (_, at) = ann.accepted("end").await;
    assert_eq!(at.seq, count + 1);
    (ann, at.epoch)
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_exact_from_wherever_one_was() {
    let hub = Hub::new();
    let (mut ann, epoch) = spoken(&hub, 2499).await;
    for (number, seq) in
        [2500, 2499, 2490, 2468, 2467, 2400, 2245, 2244, 2243, 1500, 1499, 250, 1, 0].into_iter().enumerate()
    {
        let mut bob = Session::guest(&hub, &format!("bob-{number}")).await;
        bob.run(resume(global(), &epoch, seq)).await;
        let (before, how) = bob.recovered().await;
        assert_eq!(before, messages(seq + 1..=2500), "from {seq}");
        assert_eq!(how, Recovered { from: seq, to: 2500, recovered: true, epoch: epoch.clone() });
    }
    let mut bob = Session::guest(&hub, "bob").await;
    bob.run(resume(global(), &epoch, 2000)).await;
    bob.recovered().await;
    ann.run(say("live")).await;
    assert_eq!(bob.bodies(1).await, ["live"]);
}

#[tokio::test(start_paused = true)]
async fn another_life_or_a_place_beyond_the_end_is_not_recovered() {
    let hub = Hub::new();
    let (mut ann, epoch) = spoken(&hub, 9).await;
    let other = Epoch::random();
    let mut bobs = Vec::new();
    for (number, (claimed, seq, from)) in [(&other, 5, 0), (&other, 50, 0), (&epoch, 11, 11)].into_iter().enumerate() {
        let mut bob = Session::guest(&hub, &format!("bob-{number}")).await;
        bob.run(resume(global(), claimed, seq)).await;
        let (before, how) = bob.recovered().await;
        assert_eq!((before, how), (vec![], Recovered { from, to: 10, recovered: false, epoch: epoch.clone() }));
        bobs.push(bob);
    }
    ann.run(say("live")).await;
    for bob in &mut bobs {
        assert_eq!(bob.bodies(1).await, ["live"], "it goes on from there");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_any_more_is_a_gap() {
    let mut limits = Limits::default();
    limits.history_count = 300;
    let hub = Hub::with_limits(&limits);
    let (_ann, epoch) = spoken(&hub, 999).await;
    for (name, seq) in [("bob", 10), ("cid", 699)] {
        let mut session = Session::guest(&hub, name).await;
        session.run(resume(global(), &epoch, seq)).await;
        let (before, how) = session.recovered().await;
        assert_eq!(before, [vec![Told::Gap(seq, 700)], messages(701..=1000)].concat());
        assert_eq!(how, Recovered { from: seq, to: 1000, recovered: false, epoch: epoch.clone() });
    }
    let mut dora = Session::guest(&hub, "dora").await;
    dora.run(resume(global(), &epoch, 700)).await;
    let (before, how) = dora.recovered().await;
    assert_eq!((before, how.recovered), (messages(701..=1000), true), "nothing is missing for her");
}

#[tokio::test(start_paused = true)]
async fn all_that_was_behind_may_be_gone() {
    let history = Moody::new(&Limits::default());
    let hub = hub_over(history.clone(), &Limits::default()).await;
    let (_ann, epoch) = spoken(&hub, 999).await;
    history.empty.store(true, Ordering::SeqCst);
    let mut bob = Session::guest(&hub, "bob").await;
    bob.run(resume(global(), &epoch, 10)).await;
    let (before, how) = bob.recovered().await;
    assert_eq!((before, how.recovered), (vec![Told::Gap(10, 1000)], false));
}

#[tokio::test(start_paused = true)]
async fn one_may_resume_while_in_the_room_and_again_while_resuming() {
    let hub = Hub::new();
    let (mut ann, epoch) = spoken(&hub, 1499).await;
    let mut bob = Session::member(&hub, "bob").await;
    for seq in [0, 1490, 700, 3] {
        bob.run(resume(global(), &epoch, seq)).await;
    }
    // Somebody talks on meanwhile.
    for n in 0..50 {
        ann.run(say(&n.to_string())).await;
    }
    let mut last = 1500;
    for seq in [0, 1490, 700, 3] {
        let (before, how) = bob.recovered().await;
        assert!(how.recovered && how.from == seq, "{how:?}");
        // What was live before the resume came first.
        let begins = before.iter().rposition(|told| *told == Told::Message(seq + 1)).unwrap();
        assert_eq!(before[begins..], messages(seq + 1..=how.to));
        assert_eq!(before[..begins], messages(last + 1..=last + begins as u64));
        last = how.to;
    }
    while last < 1550 {
        let post = bob.post().await;
        assert_eq!(post.record.prev, last);
        last = post.record.seq;
    }
    // Left, and back while it is being told: what counts comes after the last answer.
    bob.run(resume(global(), &epoch, 0)).await;
    bob.run(Command::Leave(Some(room("global")))).await;
    bob.run(resume(global(), &epoch, 5)).await;
    for _ in 0..2 {
        if bob.recovered().await.1.from == 5 {
            ann.run(say("on")).await;
            assert_eq!(bob.bodies(1).await, ["on"]);
            return;
        }
    }
    panic!("the last resume has no answer");
}

#[tokio::test(start_paused = true)]
async fn direct_messages_are_resumed_by_their_own_user_only() {
    let hub = Hub::new();
    let mut ann = Session::member(&hub, "ann").await;
    let mut bob = Session::member(&hub, "bob").await;
    for n in 1..=500 {
        ann.run(direct("bob", &n.to_string(), &n.to_string())).await;
    }
    let (_, at) = ann.accepted("500").await;
    let own = bob.own();
    assert_eq!(bob.bodies(500).await.len(), 500);
    for seq in [480, 10] {
        bob.run(resume(own.clone(), &at.epoch, seq)).await;
        let (before, how) = bob.recovered().await;
        assert_eq!((before, how.recovered), (messages(seq + 1..=500), true));
    }
    let why = ann.refused(resume(own.clone(), &at.epoch, 0)).await;
    assert_eq!(why, Refusal::NotInRoom(own.to_string()));
    let history = Command::History { room: Some(own.clone()), after: None, before: None, limit: None };
    assert_eq!(ann.refused(history).await, Refusal::NotInRoom(own.to_string()));
    assert_eq!(ann.refused(Command::Received { room: own.clone(), seq: 3 }).await, Refusal::NotInRoom(own.to_string()));
    assert!(ann.said().await.is_empty());
}

/// Twenty rooms with so many messages each.
async fn rooms(hub: &Hub, each: u64) -> (Session, Vec<RoomKey>, Epoch) {
    let mut ann = Session::guest(hub, "ann").await;
    let (mut keys, mut epoch) = (Vec::new(), None);
    for number in 0..20 {
        let name = room(&format!("room-{number}"));
        ann.run(Command::Create(name.clone())).await;
        for n in 1..each {
            ann.run(Command::Say { room: Some(name.clone()), body: n.to_string().into(), id: None }).await;
        }
        let end = format!("end-{number}");
        ann.run(Command::Say { room: Some(name.clone()), body: "end".into(), id: Some(id(&end)) }).await;
        epoch = Some(ann.accepted(&end).await.1.epoch);
        keys.push(RoomKey::Room(name));
    }
    (ann, keys, epoch.unwrap())
}

#[tokio::test(start_paused = true)]
async fn twenty_rooms_at_once_are_no_more_than_a_session_can_take() {
    for each in [20, 200, 400] {
        let hub = Hub::new();
        let (_ann, keys, epoch) = rooms(&hub, each).await;
        let (mut bob, mut heard) = hub.sit("bob").await.unwrap();
        for key in &keys {
            bob.run(resume(key.clone(), &epoch, 0)).await.unwrap();
        }
        let mut last = vec![0; keys.len()];
        let mut done = 0;
        while done < keys.len() {
            match next(&mut heard).await {
                Event::Message(post) => {
                    let at = keys.iter().position(|key| *key == post.record.room).unwrap();
                    assert_eq!(post.record.prev, last[at]);
                    last[at] = post.record.seq;
                }
                Event::Recovered { room, to, recovered, .. } => {
                    let at = keys.iter().position(|key| *key == room).unwrap();
                    assert_eq!((to, recovered, last[at]), (each, true, each));
                    done += 1;
                }
                _ => {}
            }
        }
    }
}

async fn next(heard: &mut Heard) -> Event {
    heard.next().await.expect("it was not cut")
}

#[tokio::test(start_paused = true)]
async fn an_embedded_session_takes_the_past_at_its_own_pace() {
    for most in [2, 10, 64, 1024] {
        let mut limits = Limits::default();
        limits.member_messages = most;
        let hub = Hub::with_limits(&limits);
        let (_ann, epoch) = spoken(&hub, 2999).await;
        let (mut bob, mut heard) = hub.sit("bob").await.unwrap();
        bob.run(resume(global(), &epoch, 0)).await.unwrap();
        let mut last = 0;
        loop {
            // Everything else gets its turn before each.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            match next(&mut heard).await {
                Event::Message(post) => {
                    assert_eq!(post.record.prev, last);
                    last = post.record.seq;
                }
                Event::Recovered { to, recovered, .. } => {
                    assert_eq!((to, recovered, last), (3000, true, 3000));
                    break;
                }
                _ => {}
            }
        }
    }
}

/// A socket that has room for so many bytes, and counts what it took.
#[derive(Default)]
struct Narrow {
    room: AtomicUsize,
    taken: AtomicUsize,
}

struct Into(Arc<Narrow>);

impl Sink for Into {
    fn encoding(&self) -> Encoding {
        Encoding::new("rich", &Rich)
    }

    fn offer(&self, batch: &Batch) -> Offered {
        let bytes = batch.bytes().len();
        let taken = self.0.room.load(Ordering::SeqCst).min(bytes);
        self.0.room.fetch_sub(taken, Ordering::SeqCst);
        self.0.taken.fetch_add(taken, Ordering::SeqCst);
        if taken == bytes { Offered::All } else { Offered::Part(taken) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_socket_is_not_cut_by_what_it_asked_for() {
    let mut limits = Limits::default();
    limits.member_bytes = 300 * 1024;
    let hub = Hub::with_limits(&limits);
    let mut ann = Session::member(&hub, "ann").await;
    let body = "x".repeat(1000);
    for _ in 1..3000 {
        ann.run(say(&body)).await;
    }
    ann.run(say_as(&body, "end")).await;
    let (_, at) = ann.accepted("end").await;
    let pipe = Arc::new(Narrow::default());
    let token = hub.sign_up(&nick("bob")).await.unwrap();
    let outbox: Arc<Outbox> = Arc::new(Outbox::new(Into(pipe.clone()), &limits));
    let mut bob = hub.open(&token, outbox.clone(), Lifetime::Kept, None).await.unwrap();
    bob.run(resume(global(), &at.epoch, 0)).await.unwrap();
    bob.run(Command::History { room: None, after: Some(0), before: None, limit: Some(1000) }).await.unwrap();
    let mut stood = 0;
    // 4,000 messages of more than 1,000 bytes, 10,000 bytes at a time.
    while stood < 20 {
        assert_eq!(outbox.end(), None, "cut after {:?}", pipe.taken);
        pipe.room.fetch_add(10_000, Ordering::SeqCst);
        let before = pipe.taken.load(Ordering::SeqCst);
        assert_ne!(outbox.flush(), Flushed::Gone);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        stood = if pipe.taken.load(Ordering::SeqCst) == before { stood + 1 } else { 0 };
    }
    let taken = pipe.taken.load(Ordering::SeqCst);
    assert!(taken > 4000 * 1000 && taken < 4000 * 1300, "{taken} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_history_that_fails_amid_a_resume_leaves_nobody_deaf() {
    let history = Moody::new(&Limits::default());
    let hub = hub_over(history.clone(), &Limits::default()).await;
    let (mut ann, epoch) = spoken(&hub, 999).await;
    let mut bob = Session::guest(&hub, "bob").await;
    history.down.store(true, Ordering::SeqCst);
    bob.run(resume(global(), &epoch, 10)).await;
    let (before, how) = bob.recovered().await;
    assert_eq!((before, how.recovered), (vec![Told::Gap(10, 1000)], false));
    let why = bob.until(|event| if let Event::Refused { why, .. } = event { Some(why.clone()) } else { None }).await;
    assert_eq!(why, Refusal::Unavailable);
    history.down.store(false, Ordering::SeqCst);
    ann.run(say("live")).await;
    assert_eq!(bob.bodies(1).await, ["live"]);
}
