//! What somebody tries who means harm: to read after a ban, to cost others their history or their time.
#![allow(clippy::unwrap_used)]

#[path = "common/slow_accounts.rs"]
mod slow_accounts;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slow_accounts::SlowAccounts;
use talk::codec::rooms::Plain;
use talk::hub::{Batch, Encoding, End, Heard, Hub, Lifetime, Offered, OpenError, Outbox, Seat, Sink};
use talk::limits::Limits;
use talk::message::{Command, Event, MessageId, Moderation, RoomKey, Timestamp};
use talk::name::{Nickname, RoomName};
use talk::secret::Password;
use talk::store::{AccountStore, HistoryStore, MemoryHistory, Page};

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

async fn piped(hub: &Hub, name: &str, limits: &Limits, bytes: usize) -> (Seat, Arc<Pipe>, Arc<Outbox>) {
    let pipe = Arc::new(Pipe::default());
    pipe.room.store(bytes, Ordering::SeqCst);
    let outbox: Arc<Outbox> = Arc::new(Outbox::new(Into(pipe.clone()), limits));
    let token = hub.sign_up(&nick(name)).await.unwrap();
    let seat = hub.open(&token, outbox.clone(), Lifetime::Kept, None).await.unwrap();
    (seat, pipe, outbox)
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
    let (mut eve, pipe, outbox) = piped(&hub, "eve", hub.limits(), usize::MAX / 2).await;
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
    let text = String::from_utf8_lossy(&pipe.text.lock().unwrap()).into_owned();
    assert!(text.contains("were banned"), "{text}");
    assert!(!text.contains("not for eve"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn visits_cost_a_bystander_few_writes() {
    let hub = Hub::new();
    let (_bob, pipe, _o) = {
        let (mut s, p, o) = piped(&hub, "bob", hub.limits(), usize::MAX / 2).await;
        s.run(Command::Enter(RoomName::global())).await.unwrap();
        (s, p, o)
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
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
        let (pipe, thief) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        let open = async |token, pipe: &Arc<Pipe>| {
            pipe.room.store(usize::MAX / 2, Ordering::SeqCst);
            let outbox: Arc<Outbox> = Arc::new(Outbox::new(Into(pipe.clone()), hub.limits()));
            (hub.open(token, outbox.clone(), Lifetime::Kept, None).await.unwrap(), outbox)
        };
        let (mut bob, _outbox) = open(&mine, &pipe).await;
        let (_seat, outbox) = open(&stolen, &thief).await;
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
        drop((bob, _seat));
        settle().await;
    }
}
