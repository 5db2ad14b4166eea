//! What the hub does for wires other than rooms: names that are taken, listeners without a name, keys, routes out of it.
#![allow(clippy::unwrap_used)]

#[path = "common/clock.rs"]
mod clock;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use talk::codec::Encode;
use talk::hub::{
    Batch, Encoding, Heard, Hub, Lifetime, Offered, Outbox, Parcel, Route, Routed, Seat, Sink, Told, Watch,
};
use talk::limits::Limits;
use talk::message::{Command, Delivery, Event, MessageId, Refusal, RoomKey, UserId};
use talk::name::{Nickname, RoomName};
use talk::secret::Secret;

fn nick(name: &str) -> Nickname {
    Nickname::known(name).unwrap()
}

fn global() -> RoomName {
    RoomName::global()
}

fn say(body: &str) -> Command {
    Command::Say { room: None, body: body.into(), id: None }
}

fn direct(to: &str, body: &str, id: Option<&str>) -> Command {
    Command::Direct { to: to.into(), body: body.into(), id: id.map(|id| MessageId::new(id).unwrap()) }
}

async fn sit(hub: &Hub, name: &str) -> (Seat, Heard) {
    let (mut seat, mut heard) = hub.sit(name).await.unwrap();
    seat.run(Command::Enter(global())).await.unwrap();
    assert!(matches!(heard.next().await, Some(Event::Joined { .. })));
    (seat, heard)
}

/// Writes one line for each event that matters here.
struct Lines;

impl Encode for Lines {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        let line = match event {
            Event::Message(post) => format!("{}: {}\n", post.record.from, post.record.body),
            Event::Joined { user, .. } => format!("+{user}\n"),
            Event::Left { user, .. } => format!("-{user}\n"),
            Event::Registered { user, .. } => format!("!{user}\n"),
            Event::Parted { user } => format!("~{user}\n"),
            _ => return false,
        };
        out.extend_from_slice(line.as_bytes());
        true
    }
}

/// Takes everything, as a wire of its own kind.
struct Wire {
    written: Arc<Mutex<Vec<u8>>>,
    confirming: bool,
    echo: bool,
}

impl Sink for Wire {
    fn encoding(&self) -> Encoding {
        match self.confirming {
            true => Encoding::new("lines that are confirmed", &Lines).confirming(),
            false => Encoding::new("lines", &Lines),
        }
    }

    fn offer(&self, batch: &Batch) -> Offered {
        self.written.lock().unwrap().extend_from_slice(batch.bytes());
        Offered::All
    }

    fn echo(&self) -> bool {
        self.echo
    }
}

type Written = Arc<Mutex<Vec<u8>>>;

fn wire(hub: &Hub, confirming: bool, echo: bool) -> (Arc<Outbox>, Written) {
    let written = Written::default();
    (Arc::new(Outbox::new(Wire { written: written.clone(), confirming, echo }, hub.limits())), written)
}

async fn seated(hub: &Hub, name: &str, confirming: bool, echo: bool) -> (Seat, Written) {
    let token = hub.sign_up(&nick(name)).await.unwrap();
    let (outbox, written) = wire(hub, confirming, echo);
    (hub.open(&token, outbox, Lifetime::Session, None).await.unwrap(), written)
}

fn text(written: &Written) -> String {
    String::from_utf8(written.lock().unwrap().clone()).unwrap()
}

/// Reads up to a message with that body; tells what the other events were.
async fn until(heard: &mut Heard, body: &str) -> Vec<Event> {
    let mut before = Vec::new();
    loop {
        match heard.next().await.expect("the session is open") {
            Event::Message(post) if &*post.record.body == body => return before,
            event => before.push(event),
        }
    }
}

async fn receipt(heard: &mut Heard) -> (Delivery, Option<&'static str>) {
    loop {
        if let Event::DirectReceipt { state, reason, .. } = heard.next().await.expect("the session is open") {
            return (state, reason);
        }
    }
}

#[tokio::test]
async fn whoever_comes_by_a_taken_name_gets_a_number() {
    let hub = Hub::new();
    let mut names = Vec::new();
    for _ in 0..15 {
        names.push(hub.sign_up_numbered(&nick("alice")).await.unwrap().0.to_string());
    }
    assert_eq!(
        names[..9],
        ["alice", "alice#2", "alice#3", "alice#4", "alice#5", "alice#6", "alice#7", "alice#8", "alice#9"]
    );
    let mut rest = names.clone();
    rest.sort();
    rest.dedup();
    assert_eq!(rest.len(), 15);
    assert!(matches!(hub.sign_up_numbered(&nick("alice#2")).await, Err(Refusal::BadNickname(_))));
    // They are reached by that name, and nobody takes it.
    let (mut bob, mut heard) = sit(&hub, "bob").await;
    let (_alice, written) = {
        let (name, token) = hub.sign_up_numbered(&nick("bob")).await.unwrap();
        assert_eq!(name.as_str(), "bob#2");
        let (outbox, written) = wire(&hub, false, true);
        (hub.open(&token, outbox, Lifetime::Session, None).await.unwrap(), written)
    };
    bob.run(direct("bob#2", "psst", None)).await.unwrap();
    until(&mut heard, "psst").await;
    assert_eq!(text(&written), "bob: psst\n");
    assert!(matches!(hub.sit("bob#2").await, Err(Refusal::BadNickname(_))));
}

#[tokio::test]
async fn a_key_signs_an_account_in_without_its_name() {
    let hub = Hub::new();
    let (key, _token) = hub.register(&nick("Jolly sasha")).await.unwrap();
    assert_eq!(key.reveal().len(), 36);
    assert!(matches!(hub.register(&nick("Jolly sasha")).await, Err(Refusal::Taken(_))));
    let (name, token) = hub.sign_in_by_key(&key).await.unwrap().unwrap();
    assert_eq!(name.as_str(), "Jolly sasha");
    assert!(hub.knows(&token).await);
    let other = Secret::new("00000000-0000-4000-8000-000000000000").unwrap();
    assert!(hub.sign_in_by_key(&other).await.unwrap().is_none());
    let (_admin, reserved) = (nick("root"), Nickname::new("Talk"));
    assert!(reserved.is_err());
    let hub = Hub::builder().admins([nick("root")]).build().await.unwrap();
    assert!(matches!(hub.register(&nick("root")).await, Err(Refusal::Taken(_))));
}

#[tokio::test]
async fn a_listener_hears_a_room_and_is_nobody() {
    let hub = Hub::new();
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    let (outbox, written) = wire(&hub, false, true);
    let listener = hub.listen(&global(), outbox).unwrap();
    ann.run(say("one")).await.unwrap();
    assert!(until(&mut heard, "one").await.is_empty());
    assert_eq!(text(&written), "ann: one\n");
    ann.run(Command::ListUsers(None)).await.unwrap();
    assert_eq!(heard.next().await, Some(Event::Users { room: RoomName::global(), names: "ann".into() }));
    assert_eq!(hub.users_in(&global()).await, 1);
    assert_eq!(hub.gauges().sessions, 1);
    // Authors do not count it.
    let id = Some(MessageId::new("1").unwrap());
    ann.run(Command::Say { room: None, body: "two".into(), id }).await.unwrap();
    loop {
        if let Some(Event::Receipt { members, sent, .. }) = heard.next().await {
            assert_eq!((members, sent), (0, 0));
            break;
        }
    }
    drop(listener);
    ann.run(say("three")).await.unwrap();
    assert!(until(&mut heard, "three").await.is_empty());
    assert_eq!(text(&written), "ann: one\nann: two\n");
    let (outbox, _) = wire(&hub, false, true);
    assert!(matches!(hub.listen(&RoomName::new("den").unwrap(), outbox), Err(Refusal::NoRoom(_))));
}

#[tokio::test]
async fn a_room_of_the_house_stays() {
    let hub = Hub::new();
    let den = RoomName::new("den").unwrap();
    assert!(!hub.has_room(&den));
    hub.ensure_room(&den);
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    for _ in 0..2 {
        ann.run(Command::Enter(den.clone())).await.unwrap();
        assert!(matches!(heard.next().await, Some(Event::Joined { room, .. }) if room == den));
        ann.run(Command::Leave(Some(den.clone()))).await.unwrap();
        hub.tend().await.unwrap();
        assert!(hub.has_room(&den));
    }
    assert!(matches!(ann.run(Command::Create(den)).await, Err(Refusal::RoomExists(_))));
}

#[tokio::test]
async fn the_server_says_something_in_its_own_name() {
    let hub = Hub::new();
    let nobody = hub.post_as_server(&global(), "hi".into()).await;
    assert!(matches!(nobody, Err(Refusal::NoRoom(_))));
    let (_ann, mut heard) = sit(&hub, "ann").await;
    hub.post_as_server(&global(), "it is late".into()).await.unwrap();
    match heard.next().await {
        Some(Event::Message(post)) => assert_eq!((&*post.record.from, post.record.seq), ("talk", 1)),
        other => panic!("{other:?}"),
    }
    assert_eq!((hub.is_here(&nick("ann")).await, hub.is_here(&nick("bob")).await), (Ok(true), Ok(false)));
}

#[tokio::test]
async fn a_wire_without_echo_hears_everything_but_its_own_words() {
    let hub = Hub::new();
    let (mut quiet, written) = seated(&hub, "quiet", false, false).await;
    quiet.run(Command::Enter(global())).await.unwrap();
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    quiet.run(say("mine")).await.unwrap();
    ann.run(say("yours")).await.unwrap();
    quiet.run(say("again")).await.unwrap();
    // A message comes behind everything said before.
    ann.run(say("last")).await.unwrap();
    until(&mut heard, "last").await;
    assert_eq!(text(&written), "+quiet\n+ann\nann: yours\nann: last\n");
}

#[tokio::test]
async fn a_new_account_is_announced_in_its_place() {
    let hub = Hub::new();
    let (mut ann, _heard) = sit(&hub, "ann").await;
    let (outbox, written) = wire(&hub, false, true);
    let _listener = hub.listen(&global(), outbox).unwrap();
    let (mut new, mut new_heard) = hub.sit("new").await.unwrap();
    assert!(new.announce(&global()).is_err());
    new.run(Command::Enter(global())).await.unwrap();
    new.announce(&global()).unwrap();
    new.run(say("hello")).await.unwrap();
    ann.run(say("welcome")).await.unwrap();
    until(&mut new_heard, "welcome").await;
    assert_eq!(text(&written), "+new\n!new\nnew: hello\nann: welcome\n");
}

#[tokio::test(start_paused = true)]
async fn accounts_that_only_will_be_made_wait_for_company_and_leave_in_one_write() {
    let hub = Hub::new();
    let (written, writes) = (Written::default(), Arc::new(AtomicUsize::new(0)));
    let wire = Wire { written: written.clone(), confirming: false, echo: true };
    let sink = Counting { wire, writes: writes.clone() };
    let _listener = hub.listen(&global(), Arc::new(Outbox::new(sink, hub.limits()))).unwrap();
    let begin = tokio::time::Instant::now();
    for name in ["new", "newer", "newest"] {
        hub.announce(&global(), nick(name), None).unwrap();
        clock::passes(Duration::from_millis(50)).await;
    }
    assert_eq!(text(&written), "");
    while writes.load(Ordering::SeqCst) == 0 {
        clock::passes(Duration::from_millis(10)).await;
        assert!(begin.elapsed() <= Duration::from_millis(300));
    }
    assert_eq!((text(&written).as_str(), writes.load(Ordering::SeqCst)), ("!new\n!newer\n!newest\n", 1));
}

/// Counts how often something is written.
struct Counting {
    wire: Wire,
    writes: Arc<AtomicUsize>,
}

impl Sink for Counting {
    fn encoding(&self) -> Encoding {
        self.wire.encoding()
    }

    fn offer(&self, batch: &Batch) -> Offered {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.wire.offer(batch)
    }
}

#[tokio::test]
async fn who_parts_is_gone_behind_their_last_words() {
    let hub = Hub::new();
    let (bob, written) = seated(&hub, "bob", true, true).await;
    let (mut ann, _heard) = hub.sit("ann").await.unwrap();
    ann.part(bob.user()).unwrap();
    assert_eq!(text(&written), "~ann\n");
    ann.run(direct("bob", "bye", None)).await.unwrap();
    ann.part(bob.user()).unwrap();
    ann.part(UserId::random()).unwrap();
    let (mut carl, _heard) = hub.sit("carl").await.unwrap();
    carl.run(direct("bob", "still here", None)).await.unwrap();
    while !text(&written).ends_with("carl: still here\n") {
        tokio::task::yield_now().await;
    }
    assert_eq!(text(&written), "~ann\nann: bye\n~ann\ncarl: still here\n");
    drop(bob);
}

#[tokio::test(start_paused = true)]
async fn an_author_hears_of_a_message_that_nobody_confirms_in_time() {
    let hub = Hub::new();
    let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
    let (mut bob, _) = seated(&hub, "bob", true, true).await;
    let (_console, _) = seated(&hub, "carl", false, true).await;
    let begin = tokio::time::Instant::now();
    ann.run(direct("bob", "hi", Some("1"))).await.unwrap();
    assert_eq!(receipt(&mut heard).await, (Delivery::Sent, None));
    assert_eq!(receipt(&mut heard).await, (Delivery::Sent, Some("timed out")));
    assert!(begin.elapsed() >= Duration::from_secs(10));
    // What is confirmed in time is not followed any more.
    ann.run(direct("bob", "ho", Some("2"))).await.unwrap();
    assert_eq!(receipt(&mut heard).await, (Delivery::Sent, None));
    let room = RoomKey::Direct(bob.user());
    bob.run(Command::Received { room, seq: 2 }).await.unwrap();
    assert_eq!(receipt(&mut heard).await, (Delivery::Delivered, None));
    // Whoever cannot confirm is not waited for; whoever is gone confirms nothing.
    ann.run(direct("carl", "hi", Some("3"))).await.unwrap();
    assert_eq!(receipt(&mut heard).await, (Delivery::Sent, None));
    clock::passes(Duration::from_secs(20)).await;
    ann.run(direct("bob", "you there?", Some("4"))).await.unwrap();
    assert_eq!(receipt(&mut heard).await, (Delivery::Sent, None));
    drop(bob);
    assert_eq!(receipt(&mut heard).await, (Delivery::Sent, Some("timed out")));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_is_sent_and_its_time_begins_when_it_is_let_out() {
    let hub = Hub::new();
    let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
    let (_bob, written, outbox) = held(&hub, "bob").await;
    ann.run(direct("bob", "hi", Some("1"))).await.unwrap();
    assert_eq!(receipt(&mut heard).await, (Delivery::Sent, None));
    let waited = tokio::time::timeout(Duration::from_secs(600), receipt(&mut heard)).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(text(&written), "");
    let begin = tokio::time::Instant::now();
    outbox.release(&Batch::raw("1\n".into()));
    assert_eq!(text(&written), "1\nann: hi\n");
    assert_eq!(receipt(&mut heard).await, (Delivery::Sent, Some("timed out")));
    assert!(begin.elapsed() >= Duration::from_secs(9) && begin.elapsed() <= Duration::from_secs(11));
}

#[tokio::test]
async fn whoever_sits_at_a_prompt_is_not_cut_for_what_others_say() {
    let mut limits = Limits::default();
    limits.member_messages = 100;
    let hub = Hub::with_limits(&limits);
    let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
    let (bob, written, outbox) = held(&hub, "bob").await;
    let mut taken = 0;
    for n in 0..100 {
        ann.run(direct("bob", &n.to_string(), Some(&n.to_string()))).await.unwrap();
        let refused = loop {
            match heard.next().await.unwrap() {
                Event::DirectReceipt { id, state: Delivery::Sent, .. } if id.as_str() == n.to_string() => break false,
                Event::Refused { why: Refusal::Full, id: Some(id) } if id.as_str() == n.to_string() => break true,
                _ => {}
            }
        };
        taken += usize::from(!refused);
    }
    assert!((10..60).contains(&taken), "{taken}");
    assert_eq!(outbox.end(), None);
    outbox.release(&Batch::raw("1\n".into()));
    let all: String = (0..taken).map(|n| format!("ann: {n}\n")).collect();
    assert_eq!(text(&written), format!("1\n{all}"));
    drop(bob);
}

#[tokio::test(start_paused = true)]
async fn any_number_that_part_cut_nobody_at_a_prompt() {
    let hub = Hub::new();
    let (bob, _, outbox) = held(&hub, "bob").await;
    let (ann, _heard) = hub.sit("ann").await.unwrap();
    for _ in 0..3 * hub.limits().member_messages {
        ann.part(bob.user()).unwrap();
        // Not so fast that most of them are not told at all.
        tokio::time::advance(Duration::from_millis(250)).await;
    }
    assert_eq!(outbox.end(), None);
    assert!(outbox.queued().1 > hub.limits().member_messages / 2);
    assert!(outbox.queued().1 <= hub.limits().member_messages / 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn any_number_that_part_are_heard_of_a_few_times_a_second() {
    let hub = Hub::new();
    let (bob, written) = seated(&hub, "bob", true, true).await;
    let (ann, _heard) = hub.sit("ann").await.unwrap();
    let flood = || {
        for _ in 0..1000 {
            ann.part(bob.user()).unwrap();
        }
        text(&written).lines().filter(|line| *line == "~ann").count()
    };
    assert_eq!(flood(), 8);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(flood(), 12);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(flood(), 20);
}

#[tokio::test]
async fn what_is_said_to_a_user_is_theirs_whoever_has_the_name() {
    let hub = Hub::new();
    let (mut bob, written) = seated(&hub, "bob", true, true).await;
    bob.run(Command::Rename(nick("robert"))).await.unwrap();
    let (_other, others) = seated(&hub, "bob", true, true).await;
    let (ann, mut heard) = hub.sit("ann").await.unwrap();
    let id = || Some(MessageId::new("1").unwrap());
    ann.direct_to(bob.user(), "bob", "psst".into(), id()).await.unwrap();
    loop {
        if let Event::DirectReceipt { to, state, .. } = heard.next().await.unwrap() {
            assert_eq!((&*to, state), ("bob", Delivery::Sent));
            break;
        }
    }
    assert_eq!((text(&written), text(&others)), ("ann: psst\n".into(), String::new()));
    assert_eq!(hub.here(&nick("robert")).await, Ok(Some(bob.user())));
    assert_eq!(hub.here(&nick("nobody")).await, Ok(None));
}

/// A session that is told nothing yet.
async fn held(hub: &Hub, name: &str) -> (Seat, Written, Arc<Outbox>) {
    let token = hub.sign_up(&nick(name)).await.unwrap();
    let (outbox, written) = wire(hub, true, true);
    outbox.hold();
    let seat = hub.open(&token, outbox.clone(), Lifetime::Session, None).await.unwrap();
    (seat, written, outbox)
}

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<String>>);

impl Watch for Seen {
    fn said(&self, told: &Told<'_>) {
        let record = &told.post.record;
        let line = format!("{} {:?} {}", record.from, told.to, record.body);
        self.0.lock().unwrap().push(line);
    }
}

#[derive(Debug)]
struct Elsewhere;

#[async_trait]
impl Route for Elsewhere {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Routed {
        match parcel.to {
            "bob" => Routed::Delivered,
            "udp" => Routed::Unconfirmed,
            "down" => Routed::Failed("unreachable"),
            _ => Routed::Unknown,
        }
    }
}

#[tokio::test]
async fn a_route_leads_out_of_the_hub_and_a_watch_sees_everything() {
    let seen = Arc::new(Seen::default());
    let hub = Hub::builder().watch(seen.clone()).route("peer", Arc::new(Elsewhere)).build().await.unwrap();
    let (mut ann, mut heard) = sit(&hub, "ann").await;
    for (to, id) in [("peer:bob", "1"), ("peer:udp", "2"), ("peer:down", "3")] {
        ann.run(direct(to, "out", Some(id))).await.unwrap();
    }
    assert_eq!(receipt(&mut heard).await, (Delivery::Delivered, None));
    assert_eq!(receipt(&mut heard).await, (Delivery::Unconfirmed, None));
    assert_eq!(receipt(&mut heard).await, (Delivery::Failed, Some("unreachable")));
    ann.run(direct("peer:who", "out", Some("4"))).await.unwrap();
    let refused = heard.next().await.unwrap();
    assert!(matches!(refused, Event::Refused { why: Refusal::NoUser(name), .. } if name == "peer:who"));
    // Without an id the echo, or a word, tells how it went.
    ann.run(direct("peer:bob", "plain", None)).await.unwrap();
    assert!(until(&mut heard, "plain").await.is_empty());
    ann.run(direct("peer:down", "plain", None)).await.unwrap();
    assert_eq!(heard.next().await, Some(Event::System("your message did not reach peer:down: unreachable".into())));
    ann.run(direct("ann", "myself", None)).await.unwrap();
    until(&mut heard, "myself").await;
    ann.run(say("all")).await.unwrap();
    until(&mut heard, "all").await;
    let expected = [
        "ann Some(\"peer:bob\") out",
        "ann Some(\"peer:udp\") out",
        "ann Some(\"peer:bob\") plain",
        "ann Some(\"ann\") myself",
        "ann None all",
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected);
    // Nobody passes for one who is elsewhere.
    assert!(matches!(hub.sit("peer:bob").await, Err(Refusal::Taken(_))));
    assert!(matches!(ann.run(Command::Rename(nick("peer:bob"))).await, Err(Refusal::Taken(_))));
}
