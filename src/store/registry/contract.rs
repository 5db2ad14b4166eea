//! What every [`RegistryStore`] holds to: run [`registry_contract`] on an own backend in its tests.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a suite of tests, although a public one")]

use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Claim, RegistryStore, StoreError};
use crate::address::{Address, Entry, Features, Placement, Protocol};
use crate::limits::Limits;
use crate::message::Timestamp;
use crate::name::UserName;
use crate::secret::Secret;

/// Runs the whole suite. `make` gives an empty store that holds [`Limits::users`] users each time it is called.
///
/// It needs a tokio runtime; one with several threads makes the races real.
///
/// # Panics
/// Where the store breaks the contract; the message says which rule.
pub async fn registry_contract<S, F>(make: impl Fn(Limits) -> F)
where
    S: RegistryStore,
    F: Future<Output = S>,
{
    let fresh = || make(Limits::default());
    names_are_taken_and_renewed(&fresh().await).await;
    owners_alone_change_and_remove(&fresh().await).await;
    open_entries_claim_nothing(&fresh().await).await;
    upsert_keeps_and_drops(&fresh().await).await;
    evict_needs_the_same_address(&fresh().await).await;
    leases_end_and_reserve(&fresh().await).await;
    reservations_end(&fresh().await).await;
    renewing_all_starts_each_lease_anew(&fresh().await).await;
    what_ended_is_swept(&fresh().await).await;
    lists_are_sorted(&fresh().await).await;
    a_version_changes_with_the_list(&fresh().await).await;
    plugin_addresses_are_kept(&fresh().await).await;
    let limits = Limits { users: 3, ..Limits::default() };
    capacity_is_kept(&make(limits).await).await;
    one_of_many_wins(Arc::new(fresh().await)).await;
    concurrent_changes_all_happen(Arc::new(fresh().await)).await;
}

async fn a_version_changes_with_the_list(store: &impl RegistryStore) {
    let Some(mut before) = store.version() else { return };
    let mut changed = |what: &str| {
        let now = store.version().expect("a store that knows its version always does");
        assert_ne!(std::mem::replace(&mut before, now), now, "{what} changes the version");
    };
    store.insert(&name("bob"), &claim(1), at(0)).await.unwrap();
    changed("an insert");
    store.upsert(&name("bob"), &claim(2), at(0)).await.unwrap();
    changed("an upsert");
    store.upsert(&name("bob"), &claim(2).leased(5), at(0)).await.unwrap();
    changed("a lease");
    store.upsert(&name("bob"), &claim(2), at(1)).await.unwrap();
    changed("a renewal");
    store.renew_all(at(2)).await.unwrap();
    changed("renewing all");
    assert!(store.evict(&name("bob"), &Address::loopback(Protocol::UDP, 2), at(3)).await.unwrap());
    changed("an eviction");
    store.insert(&name("bob"), &claim(1), at(3)).await.unwrap();
    changed("an insert");
    assert!(store.remove(&name("bob"), None, at(3)).await.unwrap());
    changed("a removal");
}

async fn names_are_taken_and_renewed(store: &impl RegistryStore) {
    store.insert(&name("bob"), &claim(1).by("s"), at(0)).await.unwrap();
    let taken = "a name that stands is taken for others";
    refused_as_taken(store.insert(&name("bob"), &claim(2), at(1)).await, taken);
    refused_as_taken(store.insert(&name("bob"), &claim(2).by("t"), at(1)).await, taken);
    assert_eq!(port(store, "bob", 1).await, Some(1), "a refused insert changes nothing");
    store.insert(&name("bob"), &claim(2).by("s"), at(1)).await.unwrap();
    assert_eq!(port(store, "bob", 1).await, Some(2), "the owner's insert renews and moves");
    store.insert(&name("Bob"), &claim(3), at(1)).await.unwrap();
    assert_eq!(port(store, "bob", 1).await, Some(2), "names are compared byte for byte");
}

async fn owners_alone_change_and_remove(store: &impl RegistryStore) {
    store.upsert(&name("ann"), &claim(1).by("s"), at(0)).await.unwrap();
    for other in [claim(2), claim(2).by("t")] {
        let result = store.upsert(&name("ann"), &other, at(0)).await;
        refused_as_forbidden(result, "an owned entry changes for its owner only");
        let result = store.remove(&name("ann"), other.secret.as_ref(), at(0)).await;
        refused_as_forbidden(result, "an owned entry is removed by its owner only");
    }
    store.upsert(&name("ann"), &claim(3).by("s"), at(0)).await.unwrap();
    assert_eq!(port(store, "ann", 0).await, Some(3));
    assert!(store.remove(&name("ann"), secret("s").as_ref(), at(0)).await.unwrap(), "it was there");
    assert!(!store.remove(&name("ann"), secret("s").as_ref(), at(0)).await.unwrap(), "it was not there any more");
    assert_eq!(port(store, "ann", 0).await, None);
    store.insert(&name("ann"), &claim(4).by("t"), at(0)).await.expect("a removed name is free for everybody");
}

async fn open_entries_claim_nothing(store: &impl RegistryStore) {
    store.upsert(&name("open"), &claim(1), at(0)).await.unwrap();
    refused_as_taken(store.insert(&name("open"), &claim(2).by("s"), at(0)).await, "an open name is taken too");
    store.upsert(&name("open"), &claim(2).by("s"), at(0)).await.unwrap();
    let record = store.get(&name("open"), at(0)).await.unwrap().unwrap();
    assert!(record.owner.is_none(), "a secret sent to an open entry claims nothing");
    store.upsert(&name("open"), &claim(3), at(0)).await.unwrap();
    assert!(store.remove(&name("open"), None, at(0)).await.unwrap());
}

async fn upsert_keeps_and_drops(store: &impl RegistryStore) {
    let bob = name("bob");
    let mut v2 = claim(1).leased(60);
    v2.placement = Placement::of(&Entry::acknowledging(udp(1)));
    store.upsert(&bob, &v2, at(0)).await.unwrap();
    let bare = |port| Claim { placement: Placement { features: None, ..claim(port).placement }, ..claim(port) };
    store.upsert(&bob, &bare(1), at(10)).await.unwrap();
    let record = store.get(&bob, at(10)).await.unwrap().unwrap();
    assert!(record.entry.acknowledges(), "an unchanged address keeps its features");
    assert_eq!(record.lease.map(|l| (l.ttl, l.expires)), Some((60, at(70))), "without a ttl the lease is renewed");
    store.upsert(&bob, &bare(2), at(10)).await.unwrap();
    let record = store.get(&bob, at(10)).await.unwrap().unwrap();
    assert_eq!(record.entry.features, Features::none(), "a changed address drops its features");
    let mut moved = bare(3);
    moved.placement.protocol = None;
    store.upsert(&bob, &moved, at(10)).await.unwrap();
    let record = store.get(&bob, at(10)).await.unwrap().unwrap();
    assert_eq!(record.entry.address, udp(3), "without a protocol the entry's is kept");
    store.upsert(&bob, &bare(3).leased(5), at(10)).await.unwrap();
    let record = store.get(&bob, at(10)).await.unwrap().unwrap();
    assert_eq!(record.lease.map(|l| l.expires), Some(at(15)), "a ttl replaces the lease");
}

async fn evict_needs_the_same_address(store: &impl RegistryStore) {
    store.insert(&name("bob"), &claim(1).by("s"), at(0)).await.unwrap();
    assert!(!store.evict(&name("bob"), &udp(2), at(0)).await.unwrap(), "a moved entry is not evicted");
    assert_eq!(port(store, "bob", 0).await, Some(1));
    assert!(store.evict(&name("bob"), &udp(1), at(0)).await.unwrap(), "whoever owns it");
    assert_eq!(port(store, "bob", 0).await, None);
    assert!(!store.evict(&name("bob"), &udp(1), at(0)).await.unwrap());
}

async fn leases_end_and_reserve(store: &impl RegistryStore) {
    let bob = name("bob");
    store.insert(&bob, &claim(1).by("s").leased(60), at(0)).await.unwrap();
    store.insert(&name("open"), &claim(1).leased(60), at(0)).await.unwrap();
    assert_eq!(port(store, "bob", 59).await, Some(1), "it stands until its lease ends");
    assert_eq!(port(store, "bob", 60).await, None, "and then it is gone");
    assert!(store.list(at(60)).await.unwrap().is_empty());
    refused_as_taken(store.insert(&bob, &claim(2), at(61)).await, "the name is reserved for one more ttl");
    refused_as_forbidden(store.upsert(&bob, &claim(2).by("t"), at(61)).await, "reserved for its secret alone");
    assert!(!store.remove(&bob, None, at(62)).await.unwrap(), "removing what is gone is no error");
    refused_as_taken(store.insert(&bob, &claim(2), at(62)).await, "and does not end the reservation");
    store.insert(&name("open"), &claim(2), at(62)).await.expect("an open entry reserves nothing");
    store.insert(&bob, &claim(3).by("s").leased(60), at(100)).await.expect("its owner may come back");
    refused_as_forbidden(store.upsert(&bob, &claim(2), at(159)).await, "and owns it again");
    assert_eq!(port(store, "bob", 159).await, Some(3));
}

async fn reservations_end(store: &impl RegistryStore) {
    store.insert(&name("bob"), &claim(1).by("s").leased(60), at(0)).await.unwrap();
    store.insert(&name("long"), &claim(1).by("s").leased(86_400), at(0)).await.unwrap();
    refused_as_taken(store.insert(&name("bob"), &claim(2), at(119)).await, "reserved to the last second");
    store.insert(&name("bob"), &claim(2), at(120)).await.expect("after one more ttl the name is free");
    let hour = 86_400 + 3600;
    refused_as_taken(store.insert(&name("long"), &claim(2), at(hour - 1)).await, "reserved for an hour");
    store.upsert(&name("long"), &claim(2), at(hour)).await.expect("an hour at most");
    let record = store.get(&name("long"), at(hour)).await.unwrap().unwrap();
    assert!(record.owner.is_none() && record.lease.is_none(), "a new entry takes nothing over from an ended one");
}

async fn renewing_all_starts_each_lease_anew(store: &impl RegistryStore) {
    store.insert(&name("bob"), &claim(1).by("s").leased(60), at(0)).await.unwrap();
    store.insert(&name("ann"), &claim(1), at(0)).await.unwrap();
    store.renew_all(at(50)).await.unwrap();
    assert_eq!(port(store, "bob", 109).await, Some(1), "a full ttl from then on");
    assert_eq!(port(store, "bob", 110).await, None);
    assert_eq!(port(store, "ann", 1 << 40).await, Some(1), "without a lease it stays");
}

async fn what_ended_is_swept(store: &impl RegistryStore) {
    for number in 0..50 {
        store.insert(&name(&format!("u{number}")), &claim(1).leased(5), at(0)).await.unwrap();
    }
    store.insert(&name("stays"), &claim(1).leased(500), at(0)).await.unwrap();
    store.sweep(at(100)).await.expect("sweeping is no error");
    assert_eq!(store.list(at(100)).await.unwrap().len(), 1, "what stands is not swept");
}

async fn lists_are_sorted(store: &impl RegistryStore) {
    for user in ["b", "a10", "Z", "a", "_", "a1"] {
        store.insert(&name(user), &claim(1), at(0)).await.unwrap();
    }
    let list = store.list(at(0)).await.unwrap();
    let names: Vec<&str> = list.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Z", "_", "a", "a1", "a10", "b"], "sorted by bytes");
}

async fn plugin_addresses_are_kept(store: &impl RegistryStore) {
    let entry = Entry {
        address: Address::other(Protocol::new("unix").unwrap(), "/tmp/été").unwrap(),
        features: Features::new(["ack", "room"]).unwrap(),
    };
    let claim = Claim { placement: Placement::of(&entry), secret: secret("s"), ttl: Some(60) };
    store.upsert(&name("bob"), &claim, at(0)).await.unwrap();
    let record = store.get(&name("bob"), at(0)).await.unwrap().unwrap();
    assert_eq!(record.entry, entry);
    assert_eq!(record.owner, Some(secret("s").unwrap().hash()));
    assert_eq!(store.list(at(0)).await.unwrap(), [(name("bob"), record)]);
}

async fn capacity_is_kept(store: &impl RegistryStore) {
    for user in ["a", "b"] {
        store.insert(&name(user), &claim(1).leased(10), at(0)).await.unwrap();
    }
    store.upsert(&name("c"), &claim(1), at(0)).await.unwrap();
    for result in [store.insert(&name("d"), &claim(1), at(0)).await, store.upsert(&name("d"), &claim(1), at(0)).await] {
        assert!(matches!(result, Err(StoreError::Full(_))), "one more than the limit is refused: {result:?}");
    }
    store.upsert(&name("c"), &claim(2), at(0)).await.expect("a full store still changes what it has");
    store.insert(&name("d"), &claim(1), at(10)).await.expect("ended entries make room");
    assert!(store.remove(&name("c"), None, at(10)).await.unwrap());
    store.insert(&name("e"), &claim(1), at(10)).await.expect("removed entries make room");
}

async fn one_of_many_wins(store: Arc<impl RegistryStore>) {
    for round in 0..10 {
        let mut racers = JoinSet::new();
        for racer in 1..=RACERS {
            let store = store.clone();
            racers.spawn(async move {
                let claim = claim(racer).by(&format!("secret-{racer}"));
                (racer, store.insert(&name(&format!("prize-{round}")), &claim, at(0)).await)
            });
        }
        let mut winners = Vec::new();
        while let Some(result) = racers.join_next().await {
            match result.unwrap() {
                (racer, Ok(())) => winners.push(racer),
                (_, refused) => refused_as_taken(refused, "who does not win finds the name taken"),
            }
        }
        assert_eq!(winners.len(), 1, "exactly one wins: {winners:?}");
        assert_eq!(port(&*store, &format!("prize-{round}"), 0).await, winners.pop(), "and stands there");
    }
}

async fn concurrent_changes_all_happen(store: Arc<impl RegistryStore>) {
    let mut tasks = JoinSet::new();
    for task in 0..RACERS {
        let store = store.clone();
        tasks.spawn(async move {
            for step in 1..=10 {
                let user = name(&format!("user-{task}-{step}"));
                store.insert(&user, &claim(step), at(0)).await.unwrap();
                assert_eq!(port(&*store, user.as_str(), 0).await, Some(step), "a change that was answered is seen");
                if step % 2 == 0 {
                    assert!(store.remove(&user, None, at(0)).await.unwrap());
                    assert_eq!(port(&*store, user.as_str(), 0).await, None);
                }
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    assert_eq!(store.list(at(0)).await.unwrap().len(), usize::from(RACERS) * 5, "none lost, none back");
}

impl Claim {
    fn by(mut self, whose: &str) -> Self {
        self.secret = secret(whose);
        self
    }

    fn leased(mut self, ttl: u32) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

fn claim(port: u16) -> Claim {
    Claim { placement: Placement::of(&Entry::plain(udp(port))), secret: None, ttl: None }
}

fn udp(port: u16) -> Address {
    Address::loopback(Protocol::UDP, port)
}

fn name(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

#[allow(clippy::unnecessary_wraps, reason = "it stands where a claim's secret does")]
fn secret(secret: &str) -> Option<Secret> {
    Some(Secret::new(secret).unwrap())
}

/// A made-up clock, in seconds.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

async fn port(store: &impl RegistryStore, user: &str, now: u64) -> Option<u16> {
    match store.get(&name(user), at(now)).await.unwrap()?.entry.address {
        Address::Network { port, .. } => Some(port),
        Address::Other { .. } => None,
    }
}

#[track_caller]
fn refused_as_taken<T: std::fmt::Debug>(result: Result<T, StoreError>, rule: &str) {
    assert!(matches!(result, Err(StoreError::Taken)), "{rule}: {result:?}");
}

#[track_caller]
fn refused_as_forbidden<T: std::fmt::Debug>(result: Result<T, StoreError>, rule: &str) {
    assert!(matches!(result, Err(StoreError::Forbidden)), "{rule}: {result:?}");
}

const RACERS: u16 = 32;
