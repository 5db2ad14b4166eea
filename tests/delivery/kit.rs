//! Sessions that come back, and stores that are slow or fail.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use talk::hub::{Batch, Encoding, Hub, Lifetime, Offered, Outbox, Seat, Sink};
use talk::limits::Limits;
use talk::message::{Command, Epoch, Event, MessageId, Position, Post, Record, Refusal, RoomKey, Timestamp, UserId};
use talk::name::{Nickname, RoomName};
use talk::secret::Secret;
use talk::store::{HistoryStore, Known, MemoryHistory, Page, Retention, StoreError};
use tokio::sync::mpsc;

/// Limits under which more waits for one who is away than is read at once, from one author.
pub(crate) fn many_from_one() -> Limits {
    let mut limits = Limits::default();
    limits.offline_messages = 4096;
    limits
}

pub(crate) fn nick(name: &str) -> Nickname {
    Nickname::new(name).unwrap()
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

pub(crate) fn global() -> RoomKey {
    RoomKey::Room(RoomName::global())
}

pub(crate) fn id(id: &str) -> MessageId {
    MessageId::new(id).unwrap()
}

pub(crate) fn say(body: &str) -> Command {
    Command::Say { room: None, body: body.into(), id: None }
}

pub(crate) fn say_as(body: &str, as_id: &str) -> Command {
    Command::Say { room: None, body: body.into(), id: Some(id(as_id)) }
}

pub(crate) fn direct(to: &str, body: &str, as_id: &str) -> Command {
    Command::Direct { to: to.into(), body: body.into(), id: Some(id(as_id)) }
}

pub(crate) fn resume(room: RoomKey, epoch: &Epoch, seq: u64) -> Command {
    Command::Resume { room, epoch: epoch.clone(), seq }
}

/// Takes events as they are, and has room for so many.
struct EventSink(mpsc::Sender<Event>);

impl Sink for EventSink {
    fn encoding(&self) -> Encoding {
        Encoding::EVENTS
    }

    fn offer(&self, batch: &Batch) -> Offered {
        for event in batch.events() {
            if let Err(error) = self.0.try_send(event.clone()) {
                return if matches!(error, mpsc::error::TrySendError::Full(_)) { Offered::Full } else { Offered::Gone };
            }
        }
        Offered::All
    }
}

/// A session that can come back.
pub(crate) struct Session {
    pub(crate) token: Secret,
    pub(crate) seat: Seat,
    pub(crate) ears: mpsc::Receiver<Event>,
}

impl Session {
    /// A guest of that name, in no room.
    pub(crate) async fn guest(hub: &Hub, name: &str) -> Self {
        let token = hub.sign_up(&nick(name)).await.unwrap();
        Self::open(hub, token).await
    }

    /// A guest of that name, in `global`.
    pub(crate) async fn member(hub: &Hub, name: &str) -> Self {
        let mut session = Self::guest(hub, name).await;
        session.enter().await;
        session
    }

    /// Enters `global`.
    pub(crate) async fn enter(&mut self) {
        self.run(Command::Enter(RoomName::global())).await;
        let name = self.seat.name().unwrap();
        self.until(|event| matches!(event, Event::Joined { user, .. } if *user == name).then_some(())).await;
    }

    pub(crate) async fn open(hub: &Hub, token: Secret) -> Self {
        Self::open_for(hub, token, Lifetime::Kept).await
    }

    pub(crate) async fn open_for(hub: &Hub, token: Secret, lifetime: Lifetime) -> Self {
        let (events, ears) = mpsc::channel(100_000);
        let outbox = Arc::new(Outbox::new(EventSink(events), hub.limits()));
        let seat = hub.open(&token, outbox, lifetime, None).await.unwrap();
        Self { token, seat, ears }
    }

    /// The connection drops: what was not read is lost.
    pub(crate) fn drop_hard(self) -> Secret {
        self.token
    }

    /// Drops, and comes back.
    pub(crate) async fn again(self, hub: &Hub) -> Self {
        let token = self.drop_hard();
        Self::open(hub, token).await
    }

    pub(crate) fn user(&self) -> UserId {
        self.seat.user()
    }

    /// The room of what is said to this user alone.
    pub(crate) fn own(&self) -> RoomKey {
        RoomKey::Direct(self.user())
    }

    pub(crate) async fn run(&mut self, command: Command) {
        self.seat.run(command).await.unwrap();
    }

    pub(crate) async fn refused(&mut self, command: Command) -> Refusal {
        self.seat.run(command).await.unwrap_err()
    }

    pub(crate) async fn next(&mut self) -> Event {
        let next = tokio::time::timeout(LONG, self.ears.recv()).await;
        next.expect("something comes").expect("the session is open")
    }

    /// Reads on until `wanted` takes an event.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        for _ in 0..100_000 {
            if let Some(found) = wanted(&self.next().await) {
                return found;
            }
        }
        panic!("it never comes");
    }

    pub(crate) async fn post(&mut self) -> Arc<Post> {
        self.until(|event| if let Event::Message(post) = event { Some(post.clone()) } else { None }).await
    }

    /// The bodies of the next messages, which follow each other without a hole.
    pub(crate) async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        let mut last = None;
        while bodies.len() < count {
            let post = self.post().await;
            assert!(last.is_none_or(|last| last == post.record.prev), "{last:?} is before {post:?}");
            last = Some(post.record.seq);
            bodies.push(post.record.body.to_string());
        }
        bodies
    }

    /// Where the message of that id has its place.
    pub(crate) async fn accepted(&mut self, wanted: &str) -> (RoomKey, Position) {
        self.until(|event| match event {
            Event::Accepted { id, room, at } if id.as_str() == wanted => Some((room.clone(), at.clone())),
            Event::Refused { why, id: Some(id) } if id.as_str() == wanted => panic!("{why}"),
            _ => None,
        })
        .await
    }

    /// Why the message of that id has none.
    pub(crate) async fn refusal(&mut self, wanted: &str) -> Refusal {
        self.until(|event| match event {
            Event::Accepted { id, .. } if id.as_str() == wanted => panic!("it was accepted"),
            Event::Refused { why, id: Some(id) } if id.as_str() == wanted => Some(why.clone()),
            _ => None,
        })
        .await
    }

    /// How the resume went that the session waits for: what came before it, in short, and what it tells.
    pub(crate) async fn recovered(&mut self) -> (Vec<Told>, Recovered) {
        let mut before = Vec::new();
        let how = self
            .until(|event| match event {
                Event::Message(post) => {
                    before.push(Told::Message(post.record.seq));
                    None
                }
                Event::Gap { from, to, .. } => {
                    before.push(Told::Gap(*from, *to));
                    None
                }
                Event::Recovered { from, to, recovered, epoch, .. } => {
                    Some(Recovered { from: *from, to: *to, recovered: *recovered, epoch: epoch.clone() })
                }
                _ => None,
            })
            .await;
        (before, how)
    }

    /// All that comes until nothing more does for a while.
    pub(crate) async fn rest(&mut self) -> Vec<Event> {
        let mut rest = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(30), self.ears.recv()).await {
            rest.push(event);
        }
        rest
    }

    /// The bodies of all messages that come until nothing more does for a while.
    pub(crate) async fn said(&mut self) -> Vec<String> {
        let rest = self.rest().await.into_iter();
        rest.filter_map(
            |event| if let Event::Message(post) = event { Some(post.record.body.to_string()) } else { None },
        )
        .collect()
    }
}

/// What a resume tells before it is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    Message(u64),
    Gap(u64, u64),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Recovered {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) recovered: bool,
    pub(crate) epoch: Epoch,
}

pub(crate) fn messages(seqs: std::ops::RangeInclusive<u64>) -> Vec<Told> {
    seqs.map(Told::Message).collect()
}

/// Numbers that are the same in every run.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One below `sides`.
    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A history that takes its time, and does not always do what it is asked.
#[derive(Debug)]
pub(crate) struct Moody {
    inner: Arc<dyn HistoryStore>,
    dice: Mutex<Dice>,
    /// The longest wait, in milliseconds.
    pub(crate) slow: AtomicU64,
    /// How many appends of a hundred fail.
    pub(crate) failing: AtomicU64,
    /// Nothing can be written.
    pub(crate) full: AtomicBool,
    /// Nothing is there any more, though rooms end where they did.
    pub(crate) empty: AtomicBool,
    /// Nothing works.
    pub(crate) down: AtomicBool,
}

impl Moody {
    pub(crate) fn over(inner: Arc<dyn HistoryStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            dice: Mutex::new(Dice::new(7)),
            slow: AtomicU64::new(0),
            failing: AtomicU64::new(0),
            full: AtomicBool::new(false),
            empty: AtomicBool::new(false),
            down: AtomicBool::new(false),
        })
    }

    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Self::over(Arc::new(MemoryHistory::new(limits)))
    }

    async fn wait(&self) -> Result<(), StoreError> {
        let longest = self.slow.load(Ordering::SeqCst);
        if longest > 0 {
            let wait = self.dice.lock().unwrap().below(longest);
            crate::clock::passes(Duration::from_millis(wait)).await;
        }
        match self.down.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("it is down".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl HistoryStore for Moody {
    async fn append(&self, records: &[Record]) -> Result<(), StoreError> {
        self.wait().await?;
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full("no space".into()));
        }
        if self.dice.lock().unwrap().below(100) < self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("it failed".into()));
        }
        self.inner.append(records).await?;
        let _ = self.wait().await;
        Ok(())
    }

    async fn page(&self, room: &RoomKey, page: &Page) -> Result<Vec<Record>, StoreError> {
        self.wait().await?;
        let records = self.inner.page(room, page).await;
        self.wait().await?;
        if self.empty.load(Ordering::SeqCst) { Ok(Vec::new()) } else { records }
    }

    async fn head(&self, room: &RoomKey) -> Result<Position, StoreError> {
        self.wait().await?;
        self.inner.head(room).await
    }

    async fn rooms(&self) -> Result<Vec<(RoomName, u64)>, StoreError> {
        self.wait().await?;
        self.inner.rooms().await
    }

    async fn find(&self, user: UserId, id: &MessageId, now: Timestamp) -> Result<Option<Known>, StoreError> {
        self.wait().await?;
        self.inner.find(user, id, now).await
    }

    async fn retain(&self, room: Option<&RoomKey>, keep: &Retention, now: Timestamp) -> Result<u64, StoreError> {
        self.wait().await?;
        self.inner.retain(room, keep, now).await
    }

    async fn forget_direct(&self, user: UserId) -> Result<u64, StoreError> {
        self.wait().await?;
        self.inner.forget_direct(user).await
    }
}

/// A hub over a history.
pub(crate) async fn hub_over(history: Arc<dyn HistoryStore>, limits: &Limits) -> Hub {
    Hub::builder().limits(limits.clone()).history(history).build().await.unwrap()
}

/// What has not come then never comes.
const LONG: Duration = Duration::from_secs(300);
