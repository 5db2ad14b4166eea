//! A room, a registry and transports that do as they are told, on a clock that stands still.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::address::{Address, Entry, Features, Placement, Protocol};
use crate::gateway::peer::{Peers, RoomEntry, RoomPeer};
use crate::gateway::{Context, Gateway};
use crate::hub::{Heard, Hub, Seat};
use crate::limits::Limits;
use crate::message::{Command, Event, Message, MessageId};
use crate::name::{RoomName, UserName};
use crate::net::spoken::Spoken;
use crate::secret::Secret;
use crate::store::{Claim, Clock, MemoryRegistry, RegistryStore};
use crate::transport::{Gate, Guard, Inbox, Incoming, Sent, Transport, TransportError, Turned};

/// What becomes of a send.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Delivered,
    Unconfirmed,
    Fails,
    Hangs,
}

/// A transport whose network is the test.
#[derive(Debug)]
pub(super) struct Stub {
    protocol: Protocol,
    /// Of all rooms that listen; what is said goes to the last.
    doors: Mutex<Vec<(Arc<dyn Guard>, Inbox)>>,
    fate: Mutex<Fate>,
    sent: mpsc::Sender<(Entry, Message)>,
    greeted: AtomicUsize,
}

impl Stub {
    pub(super) fn set(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    /// How often something was sent that is not repeated.
    pub(super) fn greeted(&self) -> usize {
        self.greeted.load(Ordering::Relaxed)
    }

    /// What a peer says to the room from an address, and how the room answers that.
    pub(super) async fn speak(&self, from: &str, text: &str, source: &str) -> Result<(), Turned> {
        self.confirm(from, text, source).await?.arrive().await;
        Ok(())
    }

    /// The same up to where the peer is told that its message is taken, and the room does not have it yet.
    pub(super) async fn confirm(&self, from: &str, text: &str, source: &str) -> Result<Confirmed, Turned> {
        self.ask(Message::new(user(from), text), source).await
    }

    /// What a peer says under an id, which it sends again when that is not confirmed.
    pub(super) async fn speak_by_id(&self, from: &str, text: &str, source: &str) -> Result<(), Turned> {
        let id = MessageId::new(&format!("{text:*<40}")).unwrap();
        self.ask(Message::new(user(from), text).with_id(id), source).await?.arrive().await;
        Ok(())
    }

    async fn ask(&self, message: Message, source: &str) -> Result<Confirmed, Turned> {
        let (guard, inbox) = self.doors.lock().unwrap().last().cloned().expect("a room listens");
        guard.admit(&message, source.parse().unwrap()).await?;
        Ok(Confirmed { message, inbox })
    }
}

/// A message that was confirmed and is not with the room yet.
pub(super) struct Confirmed {
    message: Message,
    inbox: Inbox,
}

impl Confirmed {
    pub(super) async fn arrive(self) {
        self.inbox.put(self.message).await.expect("a room listens");
    }
}

#[async_trait]
impl Transport for Stub {
    fn protocol(&self) -> Protocol {
        self.protocol.clone()
    }

    async fn listen(&self, at: &Address) -> Result<Incoming, TransportError> {
        Err(TransportError::Unguarded(at.clone()))
    }

    async fn listen_guarded(&self, _: &Address, gate: Gate) -> Result<Incoming, TransportError> {
        let (inbox, incoming) = Incoming::channel(Address::loopback(self.protocol(), 8090), 16);
        self.doors.lock().unwrap().push((gate.guard().clone(), inbox));
        Ok(incoming)
    }

    async fn send(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        let fate = *self.fate.lock().unwrap();
        self.sent.send((to.clone(), message.clone())).await.expect("the test listens");
        match fate {
            Fate::Delivered => Ok(Sent::Delivered),
            Fate::Unconfirmed => Ok(Sent::Unconfirmed),
            Fate::Fails => Err(TransportError::TimedOut { at: to.address.clone() }),
            Fate::Hangs => std::future::pending().await,
        }
    }

    async fn greet(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        self.greeted.fetch_add(1, Ordering::Relaxed);
        self.send(to, message).await
    }

    async fn probe(&self, _: &Entry) -> Result<(), TransportError> {
        Ok(())
    }
}

pub(super) struct Stage {
    pub(super) hub: Hub,
    pub(super) registry: Arc<MemoryRegistry>,
    pub(super) peers: Peers,
    pub(super) spoken: Spoken,
    pub(super) http: Arc<Stub>,
    pub(super) udp: Arc<Stub>,
    pub(super) clock: Clock,
    pub(super) sent: mpsc::Receiver<(Entry, Message)>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    /// The room `lobby`, to which peers write over HTTP.
    pub(super) async fn new() -> Self {
        let mut stage = Self::empty(&Limits::default());
        stage.open("lobby=lobby@http:8090").await;
        stage
    }

    pub(super) fn empty(limits: &Limits) -> Self {
        let (sender, sent) = mpsc::channel(100_000);
        let stub = |protocol| {
            let fate = Mutex::new(Fate::Delivered);
            Arc::new(Stub {
                protocol,
                doors: Mutex::default(),
                fate,
                sent: sender.clone(),
                greeted: AtomicUsize::new(0),
            })
        };
        let (http, udp) = (stub(Protocol::HTTP), stub(Protocol::UDP));
        let (registry, spoken) = (Arc::new(MemoryRegistry::default()), Spoken::default());
        let transports: [Arc<dyn Transport>; 2] = [http.clone(), udp.clone()];
        let peers = Peers::over(registry.clone(), spoken.clone(), transports, limits);
        let hub = Hub::builder().limits(limits.clone()).route("peer", Arc::new(peers.clone())).empty();
        let (clock, stop) = (Clock::start(), CancellationToken::new());
        Self { hub, registry, peers, spoken, http, udp, clock, sent, stop, tasks: Vec::new() }
    }

    pub(super) async fn open(&mut self, entry: &str) {
        let entry: RoomEntry = entry.parse().unwrap();
        let host = "127.0.0.1".parse().unwrap();
        let context = Context::new(self.hub.clone(), self.stop.clone());
        let room = RoomPeer::bind(&context, &self.peers, entry, &host, None).await.unwrap();
        self.tasks.push(tokio::spawn(Box::new(room).serve(context)));
    }

    /// Registers a peer that acknowledges.
    pub(super) async fn register(&self, name: &str, protocol: Protocol, host: &str, port: u16) {
        self.register_with(name, protocol, host, port, Features::ours(), None).await;
    }

    pub(super) async fn register_with(
        &self,
        name: &str,
        protocol: Protocol,
        host: &str,
        port: u16,
        features: Features,
        ttl: Option<u32>,
    ) {
        let entry = Entry { address: Address::network(protocol, host.parse().unwrap(), port), features };
        let claim = Claim { placement: Placement::of(&entry), secret: None, ttl };
        self.registry.upsert(&user(name), &claim, self.clock.now()).await.unwrap();
    }

    pub(super) async fn remove(&self, name: &str, secret: Option<&Secret>) {
        assert!(self.registry.remove(&user(name), secret, self.clock.now()).await.unwrap());
    }

    /// Somebody of the server's own, in a room.
    pub(super) async fn sit(&self, name: &str, room: &str) -> Sitting {
        let (mut seat, heard) = self.hub.sit(name).await.unwrap();
        let room = RoomName::new(room).unwrap();
        seat.run(Command::Enter(room.clone())).await.unwrap();
        let mut sitting = Sitting { seat, heard, room };
        assert_eq!(sitting.hear().await, format!("+{name}"));
        sitting
    }

    /// What a peer is sent next: at which port, under which name, and what.
    pub(super) async fn next_sent(&mut self) -> (u16, String, String) {
        let sent = timeout(PATIENCE, self.sent.recv()).await.expect("something is sent").unwrap();
        let Address::Network { port, .. } = sent.0.address else { panic!("{sent:?}") };
        (port, sent.1.from.to_string(), sent.1.text.to_string())
    }

    /// Nothing is sent to anybody, however long one waits.
    pub(super) async fn expect_nothing_sent(&mut self) {
        let sent = timeout(Duration::from_secs(3), self.sent.recv()).await;
        assert!(sent.is_err(), "{sent:?}");
    }
}

/// Somebody in a room who hears all of it.
pub(super) struct Sitting {
    pub(super) seat: Seat,
    pub(super) heard: Heard,
    room: RoomName,
}

impl Sitting {
    pub(super) async fn say(&mut self, text: &str) {
        let say = Command::Say { room: Some(self.room.clone()), body: text.into(), id: None };
        self.seat.run(say).await.unwrap();
    }

    pub(super) async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.heard.next()).await.expect("something is heard").expect("the session goes on")
    }

    /// What is heard next: `+bob`, `-bob`, or `bob: hi`.
    pub(super) async fn hear(&mut self) -> String {
        match self.event().await {
            Event::Joined { user, .. } => format!("+{user}"),
            Event::Left { user, .. } => format!("-{user}"),
            Event::Message(post) => format!("{}: {}", post.record.from, post.record.body),
            other => format!("{other:?}"),
        }
    }

    pub(super) async fn expect(&mut self, all: &[&str]) {
        for expected in all {
            assert_eq!(self.hear().await, *expected);
        }
    }

    /// Nothing is heard for as long.
    pub(super) async fn expect_silence(&mut self, long: Duration) {
        let heard = timeout(long, self.heard.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

pub(super) fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

pub(super) fn v1() -> Features {
    Features::none()
}

pub(super) const HERE: &str = "127.0.0.1";
pub(super) const ELSEWHERE: &str = "127.0.0.2";
/// Longer than anything that is waited for, on a clock that stands still while anybody works.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What an address looks like that a test made of its parts.
pub(super) fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}
