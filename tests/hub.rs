//! The hub without sockets: embedded sessions, and sinks that take what they are told to.
#![allow(clippy::unwrap_used)]

#[path = "common/clock.rs"]
mod clock;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use talk::codec::rooms::{Plain, hear_plain};
use talk::hub::{Batch, Encoding, End, Flushed, Heard, Hub, Lifetime, Offered, OpenError, Outbox, Seat, Sink};
use talk::limits::Limits;
use talk::message::{Closing, Command, Event, MessageId, Moderation, Post, Refusal, RoomKey};
use talk::name::{Nickname, RoomName};
use talk::secret::{Password, Secret};
use tokio::time::Instant;

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn say(body: &str) -> Command {
    Command::Say { room: None, body: body.into(), id: None }
}

fn say_as(body: &str, id: &str) -> Command {
    Command::Say { room: None, body: body.into(), id: Some(MessageId::new(id).unwrap()) }
}

async fn sit(hub: &Hub, name: &str) -> (Seat, Heard) {
    let (mut seat, mut heard) = hub.sit(name).await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    assert!(matches!(heard.next().await, Some(Event::Joined { user, .. }) if user.as_str() == name));
    (seat, heard)
}

async fn next_post(heard: &mut Heard) -> Arc<Post> {
    loop {
        match heard.next().await.expect("the session is open") {
            Event::Message(post) => return post,
            _ => continue,
        }
    }
}

/// What is heard of comings and goings until `count` were heard.
async fn notices(heard: &mut Heard, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        match heard.next().await.expect("the session is open") {
            Event::Joined { user, .. } => found.push(format!("+{user}")),
            Event::Left { user, .. } => found.push(format!("-{user}")),
            Event::Renamed { old, new, .. } => found.push(format!("{old}>{new}")),
            _ => {}
        }
    }
    found
}

/// A sink with so much room, that remembers each batch it was offered.
#[derive(Default)]
struct Pipe {
    room: AtomicUsize,
    writes: Mutex<Vec<Vec<u8>>>,
}

struct Into(Arc<Pipe>);

impl Sink for Into {
    fn encoding(&self) -> Encoding {
        Encoding::new("plain", &Plain)
    }

    fn offer(&self, batch: &Batch) -> Offered {
        let taken = self.0.room.load(Ordering::SeqCst).min(batch.bytes().len());
        self.0.room.fetch_sub(taken, Ordering::SeqCst);
        if taken > 0 {
            self.0.writes.lock().unwrap().push(batch.bytes()[..taken].to_vec());
        }
        if taken == batch.bytes().len() { Offered::All } else { Offered::Part(taken) }
    }
}

impl Pipe {
    /// The bodies of all frames that were written, and the writes it took.
    fn bodies(&self) -> (Vec<String>, usize) {
        let writes = self.writes.lock().unwrap();
        let all = writes.concat();
        let (mut at, mut bodies) = (0, Vec::new());
        while at < all.len() {
            let (header, length) = match all[at + 1] {
                126 => (4, usize::from(u16::from_be_bytes([all[at + 2], all[at + 3]]))),
                short => (2, usize::from(short)),
            };
            let payload = &all[at + header..at + header + length];
            bodies.push(if all[at] & 0xf == 8 { "close".into() } else { hear_plain(payload).unwrap().body });
            at += header + length;
        }
        (bodies, writes.len())
    }
}

fn outbox(hub: &Hub, sink: Into) -> Arc<Outbox> {
    Arc::new(Outbox::new(sink, hub.limits()))
}

async fn pipe(hub: &Hub, name: &str) -> (Seat, Arc<Pipe>) {
    let pipe = Arc::new(Pipe::default());
    pipe.room.store(usize::MAX / 2, Ordering::SeqCst);
    let token = hub.sign_up(&Nickname::new(name).unwrap()).await.unwrap();
    let mut seat = hub.open(&token, outbox(hub, Into(pipe.clone())), Lifetime::Session, None).await.unwrap();
    seat.run(Command::Enter(RoomName::global())).await.unwrap();
    (seat, pipe)
}

#[test]
fn a_hub_is_made_without_a_runtime() {
    let _ = Hub::new();
}

#[tokio::test]
async fn a_name_is_signed_up_once() {
    let hub = Hub::new();
    let ann = Nickname::new("ann").unwrap();
    assert!(hub.knows(&hub.sign_up(&ann).await.unwrap()).await);
    assert_eq!(hub.sign_up(&ann).await.unwrap_err(), Refusal::Taken("ann".into()));
    assert!(!hub.knows(&Secret::random()).await);
}

#[tokio::test(start_paused = true)]
async fn everybody_hears_everything_once_in_one_order() {
    let hub = Hub::new();
    let mut members = Vec::new();
    for n in 0..8 {
        members.push(sit(&hub, &format!("u{n}")).await);
    }
    let (mut listener, mut heard) = sit(&hub, "listener").await;
    let speakers = members.into_iter().map(|(mut seat, mut heard)| {
        tokio::spawn(async move {
            for n in 0..100 {
                seat.run(say(&n.to_string())).await.unwrap();
            }
            let mut all = Vec::new();
            while all.len() < 800 {
                all.push(next_post(&mut heard).await);
            }
            (seat, all)
        })
    });
    let speakers: Vec<_> = speakers.collect();
    let mut order = Vec::new();
    while order.len() < 800 {
        order.push(next_post(&mut heard).await);
    }
    for (n, post) in order.iter().enumerate() {
        assert_eq!((post.record.seq, post.record.prev), (n as u64 + 1, n as u64));
        assert_eq!(post.epoch, order[0].epoch);
    }
    for n in 0..8 {
        let own = order.iter().filter(|post| *post.record.from == *format!("u{n}"));
        let bodies: Vec<_> = own.map(|post| post.record.body.to_string()).collect();
        assert_eq!(bodies, (0..100).map(|n| n.to_string()).collect::<Vec<_>>(), "each speaker's own order");
    }
    for speaker in speakers {
        assert_eq!(speaker.await.unwrap().1, order);
    }
    listener.run(Command::Exit).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn notices_to_others_wait_a_little_and_leave_in_one_write() {
    let hub = Hub::new();
    let (_ann, pipe_of_ann) = pipe(&hub, "ann").await;
    let start = Instant::now();
    let mut seats = Vec::new();
    for n in 0..20 {
        // Each newcomer hears of itself without any wait.
        seats.push(sit(&hub, &format!("u{n}")).await);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(pipe_of_ann.bodies(), (vec!["ann joined".into()], 1));
    clock::passes(Duration::from_millis(251)).await;
    let (bodies, writes) = pipe_of_ann.bodies();
    let expected: Vec<_> = ["ann joined".into()].into_iter().chain((0..20).map(|n| format!("u{n} joined"))).collect();
    assert_eq!((bodies, writes), (expected, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_takes_the_waiting_notices_with_it_in_order() {
    let hub = Hub::new();
    let (_ann, pipe_of_ann) = pipe(&hub, "ann").await;
    let (mut bob, mut heard) = sit(&hub, "bob").await;
    bob.run(say("one")).await.unwrap();
    bob.run(say("two")).await.unwrap();
    assert_eq!(&*next_post(&mut heard).await.record.body, "one");
    let (bodies, writes) = pipe_of_ann.bodies();
    assert_eq!((bodies, writes), (["ann joined", "bob joined", "one", "two"].map(String::from).to_vec(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_hears_nothing_from_before() {
    let hub = Hub::new();
    let (mut ann, mut of_ann) = sit(&hub, "ann").await;
    ann.run(say("before")).await.unwrap();
    let (_bob, mut of_bob) = sit(&hub, "bob").await;
    let (_cid, _) = sit(&hub, "cid").await;
    ann.run(say("after")).await.unwrap();
    assert_eq!(notices(&mut of_bob, 1).await, ["+cid"]);
    assert_eq!(&*next_post(&mut of_bob).await.record.body, "after");
    assert_eq!(&*next_post(&mut of_ann).await.record.body, "before");
    assert_eq!(notices(&mut of_ann, 2).await, ["+bob", "+cid"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_seat_leaves_within_the_turn() {
    let hub = Hub::new();
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    let (bob, _) = sit(&hub, "bob").await;
    drop(bob);
    ann.run(Command::ListUsers(None)).await.unwrap();
    while let Some(event) = heard.next().await {
        if let Event::Users { room, names } = event {
            assert_eq!((room, &*names), (RoomName::global(), "ann"));
            break;
        }
    }
    assert_eq!(notices(&mut heard, 2).await, ["+bob", "-bob"]);
    assert!(hub.sit("bob").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_may_be_in_many_rooms_and_leaves_them_one_by_one() {
    let hub = Hub::new();
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    ann.run(Command::Create(room("den"))).await.unwrap();
    ann.run(Command::Enter(RoomName::global())).await.unwrap();
    let (mut bob, _) = hub.sit("bob").await.unwrap();
    assert_eq!(bob.run(say("x")).await, Err(Refusal::InNoRoom));
    assert_eq!(bob.run(Command::Enter(room("nowhere"))).await, Err(Refusal::NoRoom("nowhere".into())));
    for name in ["den", "global"] {
        bob.run(Command::Enter(room(name))).await.unwrap();
        bob.run(Command::Say { room: Some(room(name)), body: name.into(), id: None }).await.unwrap();
        let post = next_post(&mut heard).await;
        assert_eq!((&post.record.room, &*post.record.body), (&RoomKey::Room(room(name)), name));
    }
    bob.run(Command::Leave(Some(room("den")))).await.unwrap();
    let gone = Command::Say { room: Some(room("den")), body: "x".into(), id: None };
    assert_eq!(bob.run(gone).await, Err(Refusal::NotInRoom("den".into())));
    bob.run(say("still in global")).await.unwrap();
    assert_eq!(&*next_post(&mut heard).await.record.body, "still in global");
}

#[tokio::test(start_paused = true)]
async fn an_id_is_accepted_once_and_applied_once() {
    let hub = Hub::new();
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    ann.run(say_as("hi", "1")).await.unwrap();
    ann.run(say_as("hi", "1")).await.unwrap();
    ann.run(say_as("other", "1")).await.unwrap();
    ann.run(say_as("end", "2")).await.unwrap();
    let (mut posts, mut accepted, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    while accepted.len() < 3 {
        match heard.next().await.unwrap() {
            Event::Message(post) => posts.push((post.record.seq, post.record.body.to_string())),
            Event::Accepted { id, at, .. } => accepted.push((id.to_string(), at.seq)),
            Event::Refused { why, id } => refused.push((why, id.unwrap().to_string())),
            _ => {}
        }
    }
    assert_eq!(posts, [(1, "hi".into()), (2, "end".into())]);
    assert_eq!(accepted, [("1".into(), 1), ("1".into(), 1), ("2".into(), 2)]);
    assert_eq!(refused, [(Refusal::IdReused, "1".into())]);
}

#[tokio::test(start_paused = true)]
async fn typing_is_heard_by_the_others_only() {
    let hub = Hub::new();
    let (mut ann, mut of_ann) = sit(&hub, "ann").await;
    let (_bob, mut of_bob) = sit(&hub, "bob").await;
    ann.run(Command::Typing(RoomName::global())).await.unwrap();
    ann.run(say("done")).await.unwrap();
    assert!(matches!(of_bob.next().await, Some(Event::Typing { user, .. }) if user.as_str() == "ann"));
    assert!(matches!(of_bob.next().await, Some(Event::Message(_))));
    assert!(matches!(of_ann.next().await, Some(Event::Joined { .. })));
    assert!(matches!(of_ann.next().await, Some(Event::Message(_))));
}

#[tokio::test(start_paused = true)]
async fn direct_messages_have_an_order_of_their_own() {
    let hub = Hub::new();
    let (mut ann, mut of_ann) = sit(&hub, "ann").await;
    let (bob, mut of_bob) = hub.sit("bob").await.unwrap();
    let to_bob = |body: &str| Command::Direct { to: "bob".into(), body: body.into(), id: None };
    for (n, body) in ["one", "two"].into_iter().enumerate() {
        ann.run(to_bob(body)).await.unwrap();
        let post = next_post(&mut of_bob).await;
        assert_eq!(post.record.room, RoomKey::Direct(bob.user()));
        assert_eq!((post.record.seq, &*post.record.from, &*post.record.body), (n as u64 + 1, "ann", body));
        assert_eq!(next_post(&mut of_ann).await, post, "without an id the echo is the acceptance");
    }
    drop(bob);
    assert_eq!(ann.run(to_bob("three")).await, Err(Refusal::NoUser("bob".into())));
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_read_is_cut_and_the_others_hear_on() {
    let mut limits = Limits::default();
    limits.member_messages = 50;
    let hub = Hub::with_limits(&limits);
    let (slow, pipe_of_slow) = pipe(&hub, "slow").await;
    pipe_of_slow.room.store(10, Ordering::SeqCst);
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    let mut said = 0;
    while slow.outbox().end().is_none() {
        ann.run(say(&format!("message {said}"))).await.unwrap();
        assert_eq!(*next_post(&mut heard).await.record.body, *format!("message {said}"));
        said += 1;
        assert!(said < 100, "it is never cut");
    }
    assert_eq!(slow.outbox().end(), Some(End::Cut));
    assert!(slow.outbox().queued().1 <= 50);
    ann.run(say("on")).await.unwrap();
    assert_eq!(&*next_post(&mut heard).await.record.body, "on");
    // The frame that was begun is finished, then comes the Close.
    pipe_of_slow.room.store(10_000, Ordering::SeqCst);
    assert_eq!(slow.outbox().flush(), Flushed::Empty);
    assert_eq!(pipe_of_slow.bodies().0, ["slow joined", "ann joined", "close"]);
}

#[tokio::test(start_paused = true)]
async fn an_embedded_session_that_does_not_read_is_cut_too() {
    let mut limits = Limits::default();
    limits.member_messages = 10;
    let hub = Hub::with_limits(&limits);
    let (slow, mut of_slow) = sit(&hub, "slow").await;
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    for n in 0..20 {
        ann.run(say(&n.to_string())).await.unwrap();
        next_post(&mut heard).await;
    }
    assert_eq!(slow.outbox().end(), Some(End::Cut));
    let mut left = 0;
    while of_slow.next().await.is_some() {
        left += 1;
    }
    assert_eq!(left, 10);
}

#[tokio::test(start_paused = true)]
async fn an_unused_token_is_void_after_a_minute_and_its_name_free() {
    let hub = Hub::new();
    let ann = Nickname::new("ann").unwrap();
    let token = hub.sign_up(&ann).await.unwrap();
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(hub.knows(&token).await);
    assert!(hub.sign_up(&ann).await.is_err());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!hub.knows(&token).await);
    let sink = || outbox(&hub, Into(Arc::default()));
    assert_eq!(hub.open(&token, sink(), Lifetime::Session, None).await.unwrap_err(), OpenError::BadToken);
    let token = hub.sign_up(&ann).await.unwrap();
    let seat = hub.open(&token, sink(), Lifetime::Session, None).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(hub.knows(&token).await, "a token in use does not end");
    drop(seat);
    assert!(!hub.knows(&token).await);
}

#[tokio::test(start_paused = true)]
async fn a_kept_user_may_come_back_for_ten_minutes() {
    let hub = Hub::new();
    let ann = Nickname::new("ann").unwrap();
    let token = hub.sign_up(&ann).await.unwrap();
    let sink = || outbox(&hub, Into(Arc::default()));
    for _ in 0..2 {
        drop(hub.open(&token, sink(), Lifetime::Kept, None).await.unwrap());
        tokio::time::advance(Duration::from_secs(599)).await;
        assert!(hub.sign_up(&ann).await.is_err());
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!hub.knows(&token).await);
    // Whoever exits does not come back.
    let token = hub.sign_up(&ann).await.unwrap();
    let mut seat = hub.open(&token, sink(), Lifetime::Kept, None).await.unwrap();
    seat.run(Command::Exit).await.unwrap();
    drop(seat);
    assert!(!hub.knows(&token).await);
}

#[tokio::test(start_paused = true)]
async fn rooms_and_users_are_bounded() {
    let mut limits = Limits::default();
    (limits.users, limits.rooms, limits.rooms_per_user) = (3, 4, 2);
    let hub = Hub::with_limits(&limits);
    let (mut ann, _a) = hub.sit("ann").await.unwrap();
    let (mut bob, _b) = hub.sit("bob").await.unwrap();
    let (mut cid, _c) = hub.sit("cid").await.unwrap();
    assert_eq!(hub.sit("dora").await.unwrap_err(), Refusal::Full);
    ann.run(Command::Create(room("a1"))).await.unwrap();
    bob.run(Command::Enter(room("a1"))).await.unwrap();
    ann.run(Command::Create(room("a2"))).await.unwrap();
    assert_eq!(ann.run(Command::Create(room("a3"))).await, Err(Refusal::TooManyRooms(2)));
    bob.run(Command::Enter(room("a2"))).await.unwrap();
    assert_eq!(bob.run(Command::Enter(RoomName::global())).await, Err(Refusal::TooManyRooms(2)));
    // A room that vanished counts no more.
    drop(bob);
    ann.run(Command::Create(room("a3"))).await.unwrap();
    cid.run(Command::Create(room("c1"))).await.unwrap();
    assert!(ann.run(Command::Create(room("a4"))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_every_session() {
    let hub = Hub::new();
    let (_ann, mut heard) = sit(&hub, "ann").await;
    hub.stop();
    assert_eq!(heard.next().await, Some(Event::Closing(Closing::Stopping)));
    assert_eq!(heard.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_administrators_name_goes_to_nobody_else() {
    let boss = Nickname::new("boss").unwrap();
    let hub = Hub::builder().admins([boss.clone()]).build().await.unwrap();
    assert_eq!(hub.sign_up(&boss).await.unwrap_err(), Refusal::Taken("boss".into()));
    let (mut ann, _heard) = hub.sit("ann").await.unwrap();
    assert_eq!(ann.run(Command::Rename(boss.clone())).await, Err(Refusal::Taken("boss".into())));
    let token = hub.sign_in(&boss, &Password::new("long enough").unwrap()).await.unwrap();
    let sink = outbox(&hub, Into(Arc::default()));
    let mut seat = hub.open(&token, sink, Lifetime::Kept, None).await.unwrap();
    let chief = Nickname::new("chief").unwrap();
    assert_eq!(seat.run(Command::Rename(chief)).await, Err(Refusal::Forbidden), "the right would stay behind");
}

#[tokio::test(start_paused = true)]
async fn rooms_of_guests_who_are_gone_make_room_where_rooms_are_scarce() {
    let mut limits = Limits::default();
    (limits.rooms, limits.duplicate_window) = (4, Duration::ZERO);
    let hub = Hub::with_limits(&limits);
    let (mut ann, _heard) = sit(&hub, "ann").await;
    for n in 1..4 {
        let (mut guest, mut heard) = hub.sit("guest").await.unwrap();
        let name = format!("r{n}");
        guest.run(Command::Create(room(&name))).await.unwrap();
        guest.run(Command::Say { room: Some(room(&name)), body: "x".into(), id: None }).await.unwrap();
        next_post(&mut heard).await;
        guest.run(Command::Exit).await.unwrap();
        drop(guest);
        if n == 1 {
            // Half of the rooms may stand as they are.
            hub.tend().await.unwrap();
            hub.tend().await.unwrap();
        }
    }
    assert_eq!(ann.run(Command::Create(room("r1"))).await, Err(Refusal::RoomExists("r1".into())));
    assert_eq!(ann.run(Command::Create(room("mine"))).await, Err(Refusal::Full));
    hub.tend().await.unwrap();
    hub.tend().await.unwrap();
    ann.run(Command::Create(room("mine"))).await.unwrap();
    assert_eq!(ann.run(Command::Enter(room("r1"))).await, Err(Refusal::NoRoom("r1".into())));
}

#[tokio::test(start_paused = true)]
async fn a_moderator_says_nothing_to_whoever_is_not_there() {
    let hub = Hub::new();
    let (mut ann, _heard) = hub.sit("ann").await.unwrap();
    let (bob, mut of_bob) = hub.sit("bob").await.unwrap();
    ann.run(Command::Create(room("den"))).await.unwrap();
    for action in [Moderation::Mute, Moderation::Unmute, Moderation::Ban, Moderation::Unban, Moderation::Kick] {
        let (user, reason) = ("bob".to_owned(), Some("buy this".into()));
        ann.run(Command::Moderate { room: room("den"), action, user, seconds: None, reason }).await.unwrap();
    }
    bob.refuse(Refusal::InNoRoom, None);
    assert!(matches!(of_bob.next().await, Some(Event::Refused { why: Refusal::InNoRoom, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_while_a_program_keeps_its_seat() {
    let hub = Hub::new();
    let (mut ann, _heard) = sit(&hub, "ann").await;
    ann.run(Command::History { room: None, after: None, before: None, limit: None }).await.unwrap();
    hub.stop();
    hub.drained().await;
    drop(ann);
}
