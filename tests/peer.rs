//! The peer engine against a real registry and real sockets.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use talk::address::{Address, Entry, Host, Protocol};
use talk::message::{Message, Timestamp};
use talk::name::UserName;
use talk::peer::{Event, Events, Peer, PeerBuilder, PeerError, SendError};
use talk::registry::{self, RegistryClient};
use talk::secret::Secret;
use talk::store::{Claim, MemoryRegistry, Registration, RegistryStore, StoreError};
use talk::transport::{Http, Sent, Transport};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

/// A registry in this process that can be stopped and started again at the same address.
struct Registry {
    at: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<()>,
}

impl Registry {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), Arc::new(MemoryRegistry::default())).await
    }

    async fn start_at(at: SocketAddr, store: Arc<dyn RegistryStore>) -> Self {
        let host = Host::from(at.ip());
        let server = registry::Registry::bind(&host, at.port(), registry::service(store)).await.unwrap();
        let at = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(async move {
            let signal = async { drop(stopped.await) };
            server.serve(signal).await.unwrap();
        });
        Self { at, stop: Some(stop), done }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        self.done.await.unwrap();
    }

    fn client(&self) -> RegistryClient {
        RegistryClient::new(&format!("http://{}", self.at)).unwrap()
    }

    fn peer(&self, user: &str, protocol: Protocol) -> PeerBuilder {
        Peer::builder(name(user)).registry(self.client()).listen(Address::loopback(protocol, 0))
    }
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

async fn event(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let search = async {
        loop {
            let event = events.next().await.expect("the stream goes on");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), search).await.expect("the event comes")
}

async fn text(events: &mut Events) -> (String, String) {
    match event(events, |e| matches!(e, Event::Message(_))).await {
        Event::Message(message) => (message.from.to_string(), message.text.to_string()),
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn peers_of_every_protocol_find_and_hear_each_other() {
    let registry = Registry::start().await;
    let protocols = [Protocol::HTTP, Protocol::UDP, Protocol::WEBSOCKET];
    for from in &protocols {
        for to in &protocols {
            let (alice, _alice_events) = registry.peer("alice", from.clone()).start().await.unwrap();
            let (bob, mut heard) = registry.peer("bob", to.clone()).start().await.unwrap();
            for said in ["привет", "👋 \"hi\"\nthere", &"x".repeat(700)] {
                assert_eq!(alice.send(bob.name(), said).await.unwrap(), Sent::Delivered, "{from} to {to}");
                assert_eq!(text(&mut heard).await, ("alice".into(), said.to_owned()), "{from} to {to}");
            }
            alice.shutdown().await.unwrap();
            bob.shutdown().await.unwrap();
        }
    }
    assert!(registry.client().list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_peer_listens_on_several_transports_and_registers_the_first() {
    let registry = Registry::start().await;
    let builder = registry.peer("bob", Protocol::UDP).listen(Address::loopback(Protocol::HTTP, 0));
    let (bob, mut heard) = builder.start().await.unwrap();
    let listed = registry.client().list().await.unwrap();
    assert_eq!(listed[bob.name()].address, bob.local_addresses()[0]);
    assert_eq!(listed[bob.name()].address.protocol(), &Protocol::UDP);
    let by_http = Entry::plain(bob.local_addresses()[1].clone());
    Http::new().send(&by_http, &Message::new(name("ann"), "by the side door")).await.unwrap();
    assert_eq!(text(&mut heard).await.1, "by the side door");
}

#[tokio::test]
async fn a_taken_name_is_an_error_and_the_other_entry_stays() {
    let registry = Registry::start().await;
    let (first, _events) = registry.peer("bob", Protocol::HTTP).start().await.unwrap();
    let second = registry.peer("bob", Protocol::HTTP).start().await;
    assert!(matches!(second, Err(PeerError::Taken(name)) if name.as_str() == "bob"));
    assert_eq!(registry.client().list().await.unwrap()[first.name()].address, first.local_addresses()[0]);
}

#[tokio::test]
async fn the_same_secret_takes_an_entry_over() {
    let registry = Registry::start().await;
    let secret = Secret::random();
    let (first, _events) = registry.peer("bob", Protocol::HTTP).secret(secret.clone()).start().await.unwrap();
    let (second, _events) = registry.peer("bob", Protocol::UDP).secret(secret).start().await.unwrap();
    let entry = registry.client().get(second.name()).await.unwrap().unwrap();
    assert_eq!(&entry, second.entry().unwrap());
    // The first one's shutdown must not remove what the second one registered.
    first.shutdown().await.unwrap();
    assert!(registry.client().get(second.name()).await.unwrap().is_some());
}

#[tokio::test]
async fn an_unspecified_address_is_refused_with_advice_unless_a_public_one_is_given() {
    let registry = Registry::start().await;
    for host in ["0.0.0.0", "::"] {
        let at = Address::network(Protocol::UDP, host.parse().unwrap(), 0);
        let builder = Peer::builder(name("bob")).registry(registry.client()).listen(at.clone());
        assert!(matches!(builder.start().await, Err(PeerError::Unspecified(_))), "{host}");
    }
    let public = Address::network(Protocol::UDP, "chat.example".parse().unwrap(), 9000);
    let at = Address::network(Protocol::UDP, "0.0.0.0".parse().unwrap(), 0);
    let builder = Peer::builder(name("bob")).registry(registry.client()).listen(at).public(public.clone());
    let (bob, _events) = builder.start().await.unwrap();
    assert_eq!(registry.client().get(bob.name()).await.unwrap().unwrap().address, public);
}

#[tokio::test]
async fn an_unknown_user_and_a_plug_in_protocol_are_errors() {
    let registry = Registry::start().await;
    let (alice, mut events) = registry.peer("alice", Protocol::HTTP).start().await.unwrap();
    assert!(matches!(alice.send(&name("nobody"), "hi").await, Err(SendError::Unknown(_))));
    let failed = event(&mut events, |e| matches!(e, Event::DeliveryFailed { .. })).await;
    assert!(matches!(failed, Event::DeliveryFailed { to, .. } if to.as_str() == "nobody"));
    let odd = Entry::plain(Address::other(Protocol::new("pigeon").unwrap(), "roof 7").unwrap());
    registry.client().insert(&name("carl"), &odd, None, None).await.unwrap();
    let result = alice.send(&name("carl"), "hi").await;
    assert!(matches!(result, Err(SendError::NoTransport { protocol, .. }) if protocol.as_str() == "PIGEON"));
}

#[tokio::test]
async fn a_user_who_moved_is_found_again() {
    let registry = Registry::start().await;
    let (alice, _events) = registry.peer("alice", Protocol::HTTP).start().await.unwrap();
    let secret = Secret::random();
    let (before, mut heard) = registry.peer("bob", Protocol::HTTP).secret(secret.clone()).start().await.unwrap();
    alice.send(before.name(), "one").await.unwrap();
    assert_eq!(text(&mut heard).await.1, "one");
    before.shutdown().await.unwrap();
    let (after, mut heard) = registry.peer("bob", Protocol::WEBSOCKET).secret(secret).start().await.unwrap();
    assert_eq!(alice.send(after.name(), "two").await.unwrap(), Sent::Delivered);
    assert_eq!(text(&mut heard).await.1, "two");
}

#[tokio::test]
async fn the_list_of_users_is_watched() {
    let registry = Registry::start().await;
    let builder = registry.peer("alice", Protocol::HTTP).refresh(Duration::from_millis(20));
    let (_alice, mut events) = builder.start().await.unwrap();
    let (bob, _bob_events) = registry.peer("bob", Protocol::HTTP).start().await.unwrap();
    event(&mut events, |e| matches!(e, Event::Users(users) if users.contains_key("bob"))).await;
    bob.shutdown().await.unwrap();
    event(&mut events, |e| matches!(e, Event::Users(users) if !users.contains_key("bob"))).await;
}

#[tokio::test]
async fn a_registry_that_forgot_everything_is_filled_again() {
    let registry = Registry::start().await;
    let at = registry.at;
    let builder = registry.peer("alice", Protocol::UDP).refresh(Duration::from_millis(20));
    let (alice, mut events) = builder.start().await.unwrap();
    let (bob, mut heard) = registry.peer("bob", Protocol::UDP).start().await.unwrap();
    alice.update().await.unwrap();
    registry.stop().await;
    event(&mut events, |e| matches!(e, Event::RegistryLost { .. })).await;
    // Known users are still reached.
    assert_eq!(alice.send(bob.name(), "still there?").await.unwrap(), Sent::Delivered);
    assert_eq!(text(&mut heard).await.1, "still there?");
    let registry = Registry::start_at(at, Arc::new(MemoryRegistry::default())).await;
    event(&mut events, |e| matches!(e, Event::RegistryFound)).await;
    assert_eq!(registry.client().get(alice.name()).await.unwrap().as_ref(), alice.entry());
    alice.shutdown().await.unwrap();
    assert!(registry.client().get(alice.name()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_peer_starts_without_its_registry_and_registers_when_it_comes() {
    let registry = Registry::start().await;
    let at = registry.at;
    registry.stop().await;
    let client = RegistryClient::new(&format!("http://{at}")).unwrap();
    let builder = Peer::builder(name("alice")).registry(client).listen(Address::loopback(Protocol::HTTP, 0));
    let (alice, mut events) = builder.start().await.unwrap();
    event(&mut events, |e| matches!(e, Event::RegistryLost { .. })).await;
    let registry = Registry::start_at(at, Arc::new(MemoryRegistry::default())).await;
    event(&mut events, |e| matches!(e, Event::RegistryFound)).await;
    assert!(registry.client().get(alice.name()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_name_that_was_taken_meanwhile_is_told_and_left_alone() {
    let registry = Registry::start().await;
    let at = registry.at;
    let builder = registry.peer("alice", Protocol::HTTP).refresh(Duration::from_millis(20));
    let (alice, mut events) = builder.start().await.unwrap();
    registry.stop().await;
    event(&mut events, |e| matches!(e, Event::RegistryLost { .. })).await;
    let store = Arc::new(MemoryRegistry::default());
    let thief = Entry::plain(Address::loopback(Protocol::HTTP, 1));
    let registry = {
        // The name is taken before the peer can come back.
        let other = Registry::start_at("127.0.0.1:0".parse().unwrap(), store.clone()).await;
        other.client().insert(alice.name(), &thief, Some(&Secret::random()), None).await.unwrap();
        other.stop().await;
        Registry::start_at(at, store).await
    };
    event(&mut events, |e| matches!(e, Event::NameLost)).await;
    alice.shutdown().await.unwrap();
    assert_eq!(registry.client().get(alice.name()).await.unwrap().unwrap().address, thief.address);
}

#[tokio::test]
async fn shutdown_ends_the_stream_the_listening_and_further_sends() {
    let registry = Registry::start().await;
    let (alice, mut events) = registry.peer("alice", Protocol::HTTP).start().await.unwrap();
    let (bob, mut heard) = registry.peer("bob", Protocol::HTTP).start().await.unwrap();
    let entry = bob.entry().unwrap().clone();
    bob.shutdown().await.unwrap();
    let end = async { while heard.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(5), end).await.unwrap();
    assert!(matches!(bob.send(alice.name(), "too late").await, Err(SendError::Closed)));
    assert!(Http::new().send(&entry, &Message::new(name("ann"), "anybody?")).await.is_err());
    alice.shutdown().await.unwrap();
    assert!(events.next().await.is_none() || events.next().await.is_none());
}

/// A store that takes its time for renewals, and carries them out whether somebody waits or not, as one on disk does.
#[derive(Debug)]
struct Slow {
    store: Arc<MemoryRegistry>,
    /// Renewals that were begun, and those that were carried out.
    renewals: watch::Sender<(u32, u32)>,
    /// Lets them be carried out.
    gate: Arc<Semaphore>,
}

#[async_trait]
impl RegistryStore for Slow {
    async fn insert(&self, name: &UserName, claim: &Claim, now: Timestamp) -> Result<(), StoreError> {
        self.store.insert(name, claim, now).await
    }

    async fn upsert(&self, name: &UserName, claim: &Claim, now: Timestamp) -> Result<(), StoreError> {
        let (store, name, claim, renewals) = (self.store.clone(), name.clone(), claim.clone(), self.renewals.clone());
        let gate = self.gate.clone();
        let work = tokio::spawn(async move {
            renewals.send_modify(|(begun, _)| *begun += 1);
            drop(gate.acquire().await);
            let result = store.upsert(&name, &claim, now).await;
            renewals.send_modify(|(_, done)| *done += 1);
            result
        });
        work.await.unwrap()
    }

    async fn remove(&self, name: &UserName, secret: Option<&Secret>, now: Timestamp) -> Result<bool, StoreError> {
        let removed = self.store.remove(name, secret, now).await;
        // A removal that did not wait: now the renewal comes behind it.
        self.gate.add_permits(1);
        removed
    }

    async fn evict(&self, name: &UserName, address: &Address, now: Timestamp) -> Result<bool, StoreError> {
        self.store.evict(name, address, now).await
    }

    async fn get(&self, name: &UserName, now: Timestamp) -> Result<Option<Registration>, StoreError> {
        self.store.get(name, now).await
    }

    async fn list(&self, now: Timestamp) -> Result<Vec<(UserName, Registration)>, StoreError> {
        self.store.list(now).await
    }

    async fn renew_all(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store.renew_all(now).await
    }
}

#[tokio::test]
async fn a_renewal_under_way_does_not_come_behind_the_removal() {
    let (renewals, mut seen) = watch::channel((0, 0));
    let gate = Arc::new(Semaphore::new(0));
    let store = Slow { store: Arc::default(), renewals, gate: gate.clone() };
    let registry = Registry::start_at("127.0.0.1:0".parse().unwrap(), Arc::new(store)).await;
    let (alice, _events) = registry.peer("alice", Protocol::HTTP).ttl(5).start().await.unwrap();
    let wait = Duration::from_secs(30);
    tokio::time::timeout(wait, seen.wait_for(|(begun, _)| *begun == 1)).await.unwrap().unwrap();
    let shutdown = async { alice.shutdown().await.unwrap() };
    let release = async {
        // Long enough for a removal that does not wait.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
    };
    tokio::join!(shutdown, release);
    tokio::time::timeout(wait, seen.wait_for(|(_, done)| *done == 1)).await.unwrap().unwrap();
    assert_eq!(registry.client().get(alice.name()).await.unwrap(), None);
}

#[tokio::test]
async fn a_program_that_does_not_read_slows_its_senders_down() {
    let mut limits = talk::limits::Limits::default();
    limits.events = 2;
    limits.inbox = 2;
    let builder = Peer::builder(name("bob")).listen(Address::loopback(Protocol::HTTP, 0)).limits(limits);
    let (bob, mut heard) = builder.start().await.unwrap();
    let entry = Entry::plain(bob.local_addresses()[0].clone());
    let http = Http::new();
    let mut taken = 0;
    while http.send(&entry, &Message::new(name("ann"), &taken.to_string())).await.is_ok() {
        taken += 1;
        assert!(taken < 100, "an unread peer takes no end of messages");
    }
    for n in 0..taken {
        assert_eq!(text(&mut heard).await.1, n.to_string());
    }
}

#[tokio::test]
async fn what_was_taken_before_a_shutdown_is_still_told_also_to_a_program_that_reads_slowly() {
    for room in [talk::limits::Limits::default().events, 1] {
        let mut limits = talk::limits::Limits::default();
        limits.events = room;
        let builder = Peer::builder(name("bob")).listen(Address::loopback(Protocol::HTTP, 0)).limits(limits);
        let (bob, mut heard) = builder.start().await.unwrap();
        let entry = Entry::plain(bob.local_addresses()[0].clone());
        let http = Http::new();
        for n in 0..20 {
            http.send(&entry, &Message::new(name("ann"), &n.to_string())).await.unwrap();
        }
        bob.shutdown().await.unwrap();
        for n in 0..20 {
            assert_eq!(text(&mut heard).await.1, n.to_string(), "with room for {room}");
        }
        assert!(heard.next().await.is_none());
    }
}

#[tokio::test]
async fn what_was_acknowledged_and_waits_for_an_earlier_message_is_told_before_the_end() {
    let (bob, mut heard) =
        Peer::builder(name("bob")).listen(Address::loopback(Protocol::UDP, 0)).start().await.unwrap();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(bob.local_addresses()[0].authority().unwrap()).await.unwrap();
    socket.send(br#"{"user":"ann","text":"second","id":"2","run":"r","n":2,"base":1}"#).await.unwrap();
    let mut ack = [0; 64];
    let length = socket.recv(&mut ack).await.unwrap();
    assert_eq!(&ack[..length], br#"{"ack":"2"}"#);
    bob.shutdown().await.unwrap();
    assert_eq!(text(&mut heard).await.1, "second");
    assert!(heard.next().await.is_none());
}

#[tokio::test]
async fn limits_of_zero_still_let_one_message_through_at_a_time() {
    let mut limits = talk::limits::Limits::default();
    (limits.inbox, limits.events) = (0, 0);
    for protocol in [Protocol::HTTP, Protocol::WEBSOCKET, Protocol::UDP] {
        let builder = Peer::builder(name("bob")).listen(Address::loopback(protocol, 0)).limits(limits.clone());
        let (bob, mut heard) = builder.start().await.unwrap();
        let registry = Registry::start().await;
        let at = Entry::acknowledging(bob.local_addresses()[0].clone());
        registry.client().insert(&name("bob"), &at, None, None).await.unwrap();
        let ann = Peer::builder(name("ann")).registry(registry.client()).start().await.unwrap().0;
        assert_eq!(ann.send(&name("bob"), "hi").await.unwrap(), Sent::Delivered);
        assert_eq!(text(&mut heard).await.1, "hi");
        registry.stop().await;
    }
}
