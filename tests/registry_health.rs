//! Health checks: who lists features is asked, and removed after more than three failures in a row; nobody else is.
#![cfg(all(feature = "net", feature = "terminal", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::registry::{PATIENCE, Server, V2};
use talk::address::{Address, Entry, Protocol};
use talk::limits::Limits;
use talk::message::Message;
use talk::store::MemoryRegistry;
use talk::transport::{Incoming, Sent, Transport, TransportError};
use tokio::sync::watch;

/// How the entry at a port answers a probe: by its number, 1 for the first.
type Answers = fn(u32) -> Probe;

#[derive(Clone, Copy)]
enum Probe {
    Healthy,
    Failing,
    Hanging,
}

#[derive(Debug)]
struct Fake {
    answers: HashMap<u16, Answers>,
    probes: Mutex<HashMap<u16, u32>>,
    changed: watch::Sender<()>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Fake {
    fn new(answers: impl IntoIterator<Item = (u16, Answers)>) -> Arc<Self> {
        Arc::new(Self {
            answers: answers.into_iter().collect(),
            probes: Mutex::default(),
            changed: watch::channel(()).0,
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
        })
    }

    fn probes(&self, port: u16) -> u32 {
        self.probes.lock().unwrap().get(&port).copied().unwrap_or(0)
    }

    /// Waits until the entry at a port was probed so often.
    async fn probed(&self, port: u16, times: u32) {
        let mut changes = self.changed.subscribe();
        let enough = async {
            while self.probes(port) < times {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.expect("probes go on");
    }
}

#[async_trait]
impl Transport for Fake {
    fn protocol(&self) -> Protocol {
        Protocol::UDP
    }

    async fn listen(&self, _: &Address) -> Result<Incoming, TransportError> {
        Err(TransportError::Closed)
    }

    async fn send(&self, _: &Entry, _: &Message) -> Result<Sent, TransportError> {
        panic!("a health check sends no message");
    }

    async fn probe(&self, to: &Entry) -> Result<(), TransportError> {
        let Address::Network { port, .. } = to.address else { panic!("{to:?}") };
        let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_under_way.fetch_max(now, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let times = {
            let mut probes = self.probes.lock().unwrap();
            let times = probes.entry(port).or_default();
            *times += 1;
            *times
        };
        self.changed.send_replace(());
        match self.answers[&port](times) {
            Probe::Healthy => Ok(()),
            Probe::Failing => Err(TransportError::TimedOut { at: to.address.clone() }),
            Probe::Hanging => pending().await,
        }
    }
}

async fn checking(fake: &Arc<Fake>) -> Server {
    let mut limits = Limits::default();
    limits.request_timeout = Duration::from_millis(50);
    let transports: Vec<Arc<dyn Transport>> = vec![fake.clone()];
    let store = Arc::new(MemoryRegistry::new(&limits));
    Server::configured(store, &limits, |registry| registry.health_checks(Duration::from_millis(5), transports)).await
}

async fn put(server: &Server, name: &str, body: &str) {
    assert_eq!(server.ask("PUT", &format!("/v1/users/{name}"), &[V2], body).await.status, 200);
}

async fn put_v2(server: &Server, name: &str, port: u16) {
    let body = format!(r#"{{"protocol":"UDP","host":"127.0.0.1","port":{port},"features":["ack"]}}"#);
    put(server, name, &body).await;
}

#[tokio::test]
async fn an_entry_goes_after_more_than_three_failures_in_a_row_and_only_with_features() {
    let answers: [(u16, Answers); 5] = [
        (1, |_| Probe::Healthy),
        (2, |_| Probe::Failing),
        (3, |_| Probe::Hanging),
        (4, |times| if times % 4 == 0 { Probe::Healthy } else { Probe::Failing }),
        (5, |_| Probe::Failing),
    ];
    let fake = Fake::new(answers);
    let server = checking(&fake).await;
    put(&server, "plain", r#"{"protocol":"UDP","host":"127.0.0.1","port":5,"features":[]}"#).await;
    put(&server, "http", r#"{"protocol":"HTTP","host":"127.0.0.1","port":5,"features":["ack"]}"#).await;
    put(&server, "unix", r#"{"protocol":"UNIX","locator":"/nowhere","features":["ack"]}"#).await;
    put_v2(&server, "healthy", 1).await;
    put_v2(&server, "dead", 2).await;
    put_v2(&server, "hung", 3).await;
    put_v2(&server, "flaky", 4).await;

    fake.probed(2, 4).await;
    fake.probed(3, 4).await;
    fake.probed(4, 12).await;
    // The round after the one that removed them has begun when somebody is asked twice more.
    fake.probed(1, fake.probes(1) + 2).await;
    let users = server.ask("GET", "/v1/users", &[common::registry::ACCEPT_V2], "").await.json();
    let names: Vec<&String> = users.as_object().unwrap().keys().collect();
    assert_eq!(names, ["flaky", "healthy", "http", "plain", "unix"]);
    assert_eq!((fake.probes(2), fake.probes(3), fake.probes(5)), (4, 4, 0), "three failures are survived, not four");

    put_v2(&server, "dead", 2).await;
    fake.probed(2, 5).await;
    server.stop().await;
}

#[tokio::test]
async fn many_entries_are_asked_a_few_at_a_time() {
    let fake = Fake::new((1..=600).map(|port| (port, (|_| Probe::Healthy) as Answers)));
    let server = checking(&fake).await;
    for port in 1..=600 {
        put_v2(&server, &format!("user-{port}"), port).await;
    }
    for port in 1..=600 {
        fake.probed(port, 2).await;
    }
    let most = fake.most_under_way.load(Ordering::Relaxed);
    assert!((2..=288).contains(&most), "{most} at once, of those who live and of the others");
    server.stop().await;
}
