//! What somebody tries who means harm: to read after a ban, to cost others their history or their time.
#![allow(clippy::unwrap_used)]

#[path = "common/slow_accounts.rs"]
mod slow_accounts;

#[path = "common/clock.rs"]
mod clock;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use slow_accounts::SlowAccounts;
use talk::codec::rooms::Plain;
use talk::hub::{Batch, Encoding, End, Heard, Hub, Lifetime, Offered, OpenError, Outbox, Seat, Sink};
use talk::limits::Limits;
use talk::message::{Command, Delivery, Event, MessageId, Moderation, Refusal, RoomKey, Timestamp, UserId};
use talk::name::{Nickname, RoomName};
use talk::secret::{Password, Secret};
use talk::store::{
    AccountStore, HistoryStore, MemoryHistory, MemoryRules, Page, RoomRules, RuleStore, StoreError, UserRules,
};
use tokio::sync::Notify;
use tokio::time::timeout;

fn room(n: &str) -> RoomName {
    RoomName::new(n).unwrap()
}

fn nick(n: &str) -> Nickname {
    Nickname::new(n).unwrap()
}

fn say(r: &str, b: &str, id: &str) -> Command {
    Command::Say { room: Some(room(r)), body: b.into(), id: Some(MessageId::new(id).unwrap()) }
}

async fn accepted(h: &mut Heard, id: &str) {
    loop {
        match h.next().await.unwrap() {
            Event::Accepted { id: i, .. } if i.as_str() == id => return,
            Event::Refused { why, .. } => panic!("{why}"),
            _ => {}
        }
    }
}

/// Takes so many bytes, and what is flushed later.
#[derive(Default)]
struct Pipe {
    room: AtomicUsize,
    offers: AtomicUsize,
    text: Mutex<Vec<u8>>,
}

struct Into(Arc<Pipe>);

impl Sink for Into {
    fn encoding(&self) -> Encoding {
        Encoding::new("plain", &Plain)
    }

    fn offer(&self, batch: &Batch) -> Offered {
        self.0.offers.fetch_add(1, Ordering::SeqCst);
        let taken = self.0.room.load(Ordering::SeqCst).min(batch.bytes().len());
        self.0.room.fetch_sub(taken, Ordering::SeqCst);
        self.0.text.lock().unwrap().extend_from_slice(&batch.bytes()[..taken]);
        if taken == batch.bytes().len() { Offered::All } else { Offered::Part(taken) }
    }
}

async fn piped(hub: &Hub, name: &str, from: Option<&str>) -> (Seat, Arc<Pipe>, Arc<Outbox>) {
    let token = hub.sign_up(&nick(name)).await.unwrap();
    signed_in(hub, &token, from).await
}

async fn signed_in(hub: &Hub, token: &Secret, from: Option<&str>) -> (Seat, Arc<Pipe>, Arc<Outbox>) {
    let pipe = Arc::new(Pipe::default());
    pipe.room.store(usize::MAX / 2, Ordering::SeqCst);
    let outbox: Arc<Outbox> = Arc::new(Outbox::new(Into(pipe.clone()), hub.limits()));
    let from = from.map(|from| from.parse().unwrap());
    let seat = hub.open(token, outbox.clone(), Lifetime::Kept, from).await.unwrap();
    (seat, pipe, outbox)
}

impl Pipe {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}

async fn settle() {
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_after_a_ban_what_was_asked_for_before() {
    let hub = Hub::new();
    let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
    ann.run(Command::Create(room("den"))).await.unwrap();
    ann.run(say("den", "before", "1")).await.unwrap();
    accepted(&mut heard, "1").await;
    let (mut eve, pipe, outbox) = piped(&hub, "eve", None).await;
    eve.run(Command::Enter(room("den"))).await.unwrap();
    // Reads no more; then asks, and asks again.
    pipe.room.store(0, Ordering::SeqCst);
    eve.run(Command::ListRooms).await.unwrap();
    for _ in 0..3 {
        eve.run(Command::History { room: Some(RoomKey::Room(room("den"))), after: None, before: None, limit: None })
            .await
            .unwrap();
    }
    settle().await;
    let ban = Command::Moderate {
        room: room("den"),
        action: Moderation::Ban,
        user: "eve".into(),
        seconds: None,
        reason: None,
    };
    ann.run(ban).await.unwrap();
    ann.run(say("den", "not for eve", "2")).await.unwrap();
    accepted(&mut heard, "2").await;
    pipe.room.store(usize::MAX / 2, Ordering::SeqCst);
    for _ in 0..10 {
        outbox.flush();
        settle().await;
    }
    let text = pipe.text();
    assert!(text.contains("were banned"), "{text}");
    assert!(!text.contains("not for eve"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn visits_cost_a_bystander_few_writes() {
    let hub = Hub::new();
    let (_bob, pipe, _o) = {
        let (mut s, p, o) = piped(&hub, "bob", None).await;
        s.run(Command::Enter(RoomName::global())).await.unwrap();
        (s, p, o)
    };
    clock::passes(Duration::from_secs(1)).await;
    let mut seats = Vec::new();
    for n in 0..50 {
        seats.push(hub.sit(&format!("u{n}")).await.unwrap());
    }
    let before = pipe.offers.load(Ordering::SeqCst);
    for _ in 0..10 {
        for (seat, _) in &mut seats {
            seat.run(Command::Enter(RoomName::global())).await.unwrap();
            seat.run(Command::Leave(Some(RoomName::global()))).await.unwrap();
        }
    }
    let writes = pipe.offers.load(Ordering::SeqCst) - before;
    assert!(writes <= 10, "{writes} writes for 500 visits within a moment");
}

#[tokio::test(start_paused = true)]
async fn an_attackers_empty_rooms_cost_nobody_their_history() {
    let mut limits = Limits::default();
    limits.rooms = 20;
    limits.duplicate_window = Duration::ZERO;
    let history = Arc::new(MemoryHistory::new(&limits));
    let hub = Hub::builder().limits(limits.clone()).history(history.clone()).build().await.unwrap();
    let kept = async |name: &str| {
        let page = Page { limit: 1000, ..Default::default() };
        history.page(&RoomKey::Room(room(name)), &page).await.unwrap().len()
    };
    // A guest's room in which an account spoke, and one of a guest who spoke alone; both guests are gone.
    let token = hub.sign_in(&nick("bob"), &Password::new("correct horse").unwrap()).await.unwrap();
    {
        let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
        for (name, count) in [("team", 2), ("diary", 30)] {
            ann.run(Command::Create(room(name))).await.unwrap();
            for n in 0..count {
                let id = format!("{name}{n}");
                ann.run(say(name, "worth keeping", &id)).await.unwrap();
                accepted(&mut heard, &id).await;
            }
        }
        let outbox: Arc<Outbox> = Arc::new(Outbox::new(Into(Arc::default()), &limits));
        let mut bob = hub.open(&token, outbox, Lifetime::Kept, None).await.unwrap();
        bob.run(Command::Enter(room("team"))).await.unwrap();
        bob.run(say("team", "mine too", "b")).await.unwrap();
        settle().await;
    }
    settle().await;
    let (mut eve, mut heard) = hub.sit("eve").await.unwrap();
    for n in 0..12 {
        let r = format!("r{n}");
        eve.run(Command::Create(room(&r))).await.unwrap();
        eve.run(say(&r, "x", &r)).await.unwrap();
        accepted(&mut heard, &r).await;
        eve.run(Command::Leave(Some(room(&r)))).await.unwrap();
    }
    drop((eve, heard));
    settle().await;
    hub.tend().await.unwrap();
    assert_eq!((kept("team").await, kept("diary").await), (3, 30));
    let mut left = 0;
    for n in 0..12 {
        left += kept(&format!("r{n}")).await;
    }
    assert_eq!(left, 8, "of 14 rooms, four too many went");
    hub.tend().await.unwrap();
    assert_eq!((kept("team").await, kept("diary").await), (3, 30));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_stops_says_so_to_whoever_comes() {
    let hub = Hub::new();
    let token = hub.sign_up(&nick("late")).await.unwrap();
    hub.stop();
    let outbox: Arc<Outbox> = Arc::new(Outbox::new(Into(Arc::default()), hub.limits()));
    let error = hub.open(&token, outbox, Lifetime::Kept, None).await.unwrap_err();
    assert_eq!(error, OpenError::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_revoke_and_a_logout_run_to_their_end_without_whoever_asked() {
    let accounts = Arc::new(SlowAccounts::default());
    let hub = Hub::builder().accounts(accounts.clone()).build().await.unwrap();
    let (name, password) = (nick("bob"), Password::new("correct horse").unwrap());
    for by_command in [true, false] {
        let mine = hub.sign_in(&name, &password).await.unwrap();
        let stolen = hub.sign_in(&name, &password).await.unwrap();
        let (mut bob, ..) = signed_in(&hub, &mine, None).await;
        let (seat, _, outbox) = signed_in(&hub, &stolen, None).await;
        let sessions = accounts.by_nickname(&name, Timestamp::default()).await.unwrap().unwrap();
        let sessions = accounts.sessions(sessions.id, Timestamp::default()).await.unwrap();
        // The oldest come first.
        let session = sessions.last().unwrap().id.to_string();
        let asked = async {
            match by_command {
                true => bob.run(Command::Revoke(session)).await.is_ok(),
                false => hub.sign_out(&stolen).await.is_ok(),
            }
        };
        tokio::select! {
            biased;
            done = asked => panic!("the store has not answered yet: {done}"),
            () = accounts.done.notified() => {}
        }
        assert!(outbox.end().is_none(), "the store has not answered yet");
        // Whoever asked is gone; now the store answers.
        accounts.tell.notify_one();
        settle().await;
        assert_eq!(outbox.end(), Some(End::Closing), "by command: {by_command}");
        assert!(!hub.knows(&stolen).await);
        bob.run(Command::ListRooms).await.unwrap();
        drop((bob, seat));
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bans_and_mutes_hold_for_a_guest_who_comes_anew_from_there() {
    let hub = Hub::new();
    let (mut ann, ..) = piped(&hub, "ann", Some("2001:db8::1")).await;
    ann.run(Command::Create(room("den"))).await.unwrap();
    let (mut eve, ..) = piped(&hub, "eve", Some("2001:db8::2")).await;
    let (mut bob, heard, outbox) = piped(&hub, "bob", Some("2001:db8:0:1::1")).await;
    let moderate = |action, user: &str| {
        let (room, user) = (room("den"), user.to_owned());
        Command::Moderate { room, action, user, seconds: None, reason: None }
    };
    for seat in [&mut eve, &mut bob] {
        seat.run(Command::Enter(room("den"))).await.unwrap();
    }
    ann.run(moderate(Moderation::Mute, "eve")).await.unwrap();
    let muted = Err(Refusal::Muted("den".into()));
    assert_eq!(eve.run(say("den", "spam", "1")).await, muted);
    eve.run(Command::Exit).await.unwrap();
    let (mut anew, ..) = piped(&hub, "anew", Some("2001:db8::3")).await;
    anew.run(Command::Enter(room("den"))).await.unwrap();
    assert_eq!(anew.run(say("den", "spam", "1")).await, muted);
    anew.run(Command::Typing(room("den"))).await.unwrap();
    // Who comes from elsewhere speaks, and so does whoever made the room; accounts come under their own names.
    bob.run(say("den", "hello", "1")).await.unwrap();
    ann.run(say("den", "from there, too", "1")).await.unwrap();
    let token = hub.sign_in(&nick("carl"), &Password::new("correct horse").unwrap()).await.unwrap();
    let (mut carl, ..) = signed_in(&hub, &token, Some("2001:db8::4")).await;
    carl.run(Command::Enter(room("den"))).await.unwrap();
    carl.run(say("den", "an account", "1")).await.unwrap();
    settle().await;
    outbox.flush();
    let text = heard.text();
    assert!(text.contains("from there, too") && text.contains("an account") && !text.contains("spam"), "{text}");

    ann.run(moderate(Moderation::Unmute, "eve")).await.unwrap();
    anew.run(say("den", "no spam", "2")).await.unwrap();
    ann.run(moderate(Moderation::Ban, "anew")).await.unwrap();
    let (mut third, ..) = piped(&hub, "third", Some("2001:db8::ffff:5")).await;
    assert_eq!(third.run(Command::Enter(room("den"))).await, Err(Refusal::Banned("den".into())));
    // All whom a proxy lets in come from one address.
    for (name, from) in [("p1", "127.0.0.1"), ("p2", "::1")] {
        let (mut guest, ..) = piped(&hub, name, Some(from)).await;
        guest.run(Command::Enter(room("den"))).await.unwrap();
        ann.run(moderate(Moderation::Mute, name)).await.unwrap();
        assert_eq!(guest.run(say("den", "spam", "1")).await, muted);
        let (mut other, ..) = piped(&hub, &format!("{name}-too"), Some(from)).await;
        other.run(Command::Enter(room("den"))).await.unwrap();
        other.run(say("den", "hello", "1")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_that_a_muted_user_types() {
    let hub = Hub::new();
    let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
    let (mut eve, _eve) = hub.sit("eve").await.unwrap();
    ann.run(Command::Create(room("den"))).await.unwrap();
    eve.run(Command::Enter(room("den"))).await.unwrap();
    for (action, expected) in [(Moderation::Mute, 0), (Moderation::Unmute, 1)] {
        let (den, user) = (room("den"), "eve".to_owned());
        ann.run(Command::Moderate { room: den, action, user, seconds: None, reason: None }).await.unwrap();
        eve.run(Command::Typing(room("den"))).await.unwrap();
        ann.run(say("den", "x", &format!("{expected}"))).await.unwrap();
        let mut typed = 0;
        loop {
            match heard.next().await.unwrap() {
                Event::Typing { .. } => typed += 1,
                Event::Accepted { id, .. } if id.as_str() == format!("{expected}") => break,
                _ => {}
            }
        }
        assert_eq!(typed, expected, "{action:?}");
    }
    assert_eq!(eve.run(Command::Typing(room("nowhere"))).await, Err(Refusal::NotInRoom("nowhere".into())));
}

#[tokio::test(start_paused = true)]
async fn one_stranger_does_not_fill_what_waits_for_somebody() {
    let mut limits = Limits::default();
    limits.offline_messages = 40;
    let history = Arc::new(MemoryHistory::new(&limits));
    let hub = Hub::builder().limits(limits).history(history).build().await.unwrap();
    let token = hub.sign_in(&nick("bob"), &Password::new("correct horse").unwrap()).await.unwrap();
    let direct = |body: &str, id: &str| Command::Direct {
        to: "bob".into(),
        body: body.into(),
        id: Some(MessageId::new(id).unwrap()),
    };
    let tell = async |seat: &mut Seat, heard: &mut Heard, id: &str| {
        seat.run(direct("x", id)).await.unwrap();
        loop {
            match heard.next().await.unwrap() {
                Event::Accepted { .. } => return true,
                Event::Refused { why, .. } => {
                    assert_eq!(why, Refusal::Full);
                    return false;
                }
                _ => {}
            }
        }
    };
    // Of those whom bob was told of, none counts.
    for round in 0..2 {
        let (mut eve, mut of_eve) = hub.sit("eve").await.unwrap();
        let mut accepted = 0;
        for n in 0..20 {
            accepted += usize::from(tell(&mut eve, &mut of_eve, &format!("{n}")).await);
        }
        assert_eq!(accepted, 10, "round {round}");
        let mut others = 0;
        for name in ["o1", "o2", "o3", "o4"] {
            let (mut other, mut of_other) = hub.sit(name).await.unwrap();
            for n in 0..10 {
                others += usize::from(tell(&mut other, &mut of_other, &format!("{n}")).await);
            }
        }
        assert_eq!(others, 30, "round {round}: all the rest");
        assert!(!tell(&mut eve, &mut of_eve, "last").await);
        let (mut bob, pipe, _) = signed_in(&hub, &token, None).await;
        settle().await;
        assert_eq!(pipe.text().matches(r#""body":"x""#).count(), 40, "round {round}");
        let seq = 40 * (round + 1);
        bob.run(Command::Received { room: RoomKey::Direct(bob.user()), seq }).await.unwrap();
        settle().await;
        drop((bob, eve));
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_of_a_room_before_its_rules_are_kept() {
    let rules = Arc::new(SlowRules::default());
    let hub = Hub::builder().rules(rules.clone()).build().await.unwrap();
    let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
    let (mut bob, mut of_bob) = hub.sit("bob").await.unwrap();
    let making = async {
        ann.run(Command::Create(room("den"))).await.unwrap();
    };
    let waiting = async {
        rules.asked.notified().await;
        settle().await;
        assert!(timeout(Duration::from_secs(1), heard.next()).await.is_err());
        assert_eq!(bob.run(Command::Enter(room("den"))).await, Err(Refusal::NoRoom("den".into())));
        rules.tell.notify_one();
    };
    tokio::join!(making, waiting);
    assert!(matches!(heard.next().await, Some(Event::Joined { .. })));
    bob.run(Command::Enter(room("den"))).await.unwrap();
    assert!(matches!(of_bob.next().await, Some(Event::Joined { .. })));

    // Whoever goes away meanwhile leaves no rules behind.
    tokio::select! {
        biased;
        made = bob.run(Command::Create(room("gone"))) => panic!("it is not kept yet: {made:?}"),
        () = rules.asked.notified() => {}
    }
    rules.open.store(true, Ordering::SeqCst);
    rules.tell.notify_one();
    settle().await;
    let kept: Vec<_> = rules.rooms().await.unwrap().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(kept, ["den"]);
    // And whoever cannot have it kept hears of no room.
    rules.full.store(true, Ordering::SeqCst);
    assert_eq!(ann.run(Command::Create(room("full"))).await, Err(Refusal::Full));
    ann.run(Command::ListRooms).await.unwrap();
    loop {
        match heard.next().await.unwrap() {
            Event::Rooms { names, .. } => break assert!(!names.contains("full"), "{names}"),
            Event::Joined { room, .. } | Event::Left { room, .. } => assert_ne!(room.as_str(), "full"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_of_what_was_said_to_a_guest_who_just_went() {
    let accounts = Arc::new(SlowAccounts::default());
    let history = Arc::new(MemoryHistory::new(&Limits::default()));
    let hub = Hub::builder().accounts(accounts.clone()).history(history.clone()).build().await.unwrap();
    let (mut ann, mut heard) = hub.sit("ann").await.unwrap();
    let (bob, of_bob) = hub.sit("bob").await.unwrap();
    let user = RoomKey::Direct(bob.user());
    accounts.asked.store(true, Ordering::SeqCst);
    let to_bob = Command::Direct { to: "bob".into(), body: "x".into(), id: MessageId::new("1").ok() };
    let saying = async { ann.run(to_bob).await.unwrap() };
    let going = async {
        accounts.done.notified().await;
        drop((bob, of_bob));
        settle().await;
        assert!(accounts.ended(hub_time()).await.unwrap().is_empty(), "he is forgotten");
        accounts.tell.notify_one();
    };
    tokio::join!(saying, going);
    settle().await;
    assert_eq!(history.head(&user).await.unwrap().seq, 0);
    assert!(matches!(heard.next().await, Some(Event::Accepted { .. })));
    let told = heard.next().await;
    assert!(matches!(told, Some(Event::DirectReceipt { state: Delivery::Failed, .. })), "{told:?}");
}

/// Long after whatever happens here.
fn hub_time() -> Timestamp {
    Timestamp::from_millis(u64::MAX / 2)
}

/// Keeps a room's rules when it is told to.
#[derive(Debug)]
struct SlowRules {
    inner: MemoryRules,
    asked: Notify,
    tell: Notify,
    open: AtomicBool,
    full: AtomicBool,
}

impl Default for SlowRules {
    fn default() -> Self {
        Self {
            inner: MemoryRules::new(&Limits::default()),
            asked: Notify::new(),
            tell: Notify::new(),
            open: AtomicBool::new(false),
            full: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl RuleStore for SlowRules {
    async fn rooms(&self) -> Result<Vec<(RoomName, RoomRules)>, StoreError> {
        self.inner.rooms().await
    }

    async fn keep_room(&self, room: &RoomName, rules: &RoomRules) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full("the disk".into()));
        }
        let kept = self.inner.keep_room(room, rules).await;
        if !self.open.load(Ordering::SeqCst) {
            self.asked.notify_one();
            self.tell.notified().await;
        }
        kept
    }

    async fn user(&self, user: UserId) -> Result<UserRules, StoreError> {
        self.inner.user(user).await
    }

    async fn keep_user(&self, user: UserId, rules: &UserRules) -> Result<(), StoreError> {
        self.inner.keep_user(user, rules).await
    }

    async fn forget_users(&self, users: &[UserId]) -> Result<(), StoreError> {
        self.inner.forget_users(users).await
    }
}
