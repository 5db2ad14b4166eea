//! Asking the entries whether they are still there.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, timeout};
use tracing::{info, warn};

use super::service::RegistryService;
use crate::address::{Address, Entry};
use crate::name::UserName;
use crate::store::StoreError;
use crate::text::SafeText;
use crate::transport::Transport;

#[derive(Debug)]
pub(super) struct HealthChecks {
    every: Duration,
    transports: Vec<Arc<dyn Transport>>,
    /// Failures in a row of those who were probed, and at which address.
    failures: Mutex<HashMap<UserName, (Address, u32)>>,
}

/// Whom one series of rounds is for. A dead entry takes the whole time for a probe, a live one a moment: the living are
/// asked by themselves, so that they have their turn in each interval however many are dead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lane {
    /// Those who answered the last time.
    Living,
    /// Those who did not, and those who were never asked.
    Doubtful,
}

type Probed = (UserName, Entry, bool);

impl HealthChecks {
    pub(super) fn new(every: Duration, transports: Vec<Arc<dyn Transport>>) -> Self {
        Self { every, transports, failures: Mutex::default() }
    }

    /// Never ends; drop it to stop. Probes under way are aborted with it.
    pub(super) async fn run(self, registry: &RegistryService) {
        tokio::join!(self.rounds(registry, Lane::Living), self.rounds(registry, Lane::Doubtful));
    }

    async fn rounds(&self, registry: &RegistryService, lane: Lane) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once: an entry gets its time first.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if let Err(error) = self.round(registry, lane).await {
                warn!(%error, "cannot check the entries");
            }
        }
    }

    async fn round(&self, registry: &RegistryService, lane: Lane) -> Result<(), StoreError> {
        let users = registry.store.list(registry.clock.now()).await?;
        let (most, wait) = match lane {
            Lane::Living => (LIVING, registry.limits.request_timeout.min(MOMENT)),
            Lane::Doubtful => (DOUBTFUL, registry.limits.request_timeout),
        };
        let mut probes = JoinSet::new();
        for (name, entry) in self.members(users.into_iter().map(|(name, record)| (name, record.entry)), lane) {
            // The field's clients die of a probe; only who lists features knows what one is.
            let speaks =
                |t: &&Arc<dyn Transport>| !entry.features.is_empty() && t.protocol() == *entry.address.protocol();
            let Some(transport) = self.transports.iter().find(speaks).cloned() else { continue };
            if probes.len() == most {
                self.settle(registry, probes.join_next().await).await?;
            }
            probes.spawn(async move {
                let healthy = matches!(timeout(wait, transport.probe(&entry)).await, Ok(Ok(())));
                (name, entry, healthy)
            });
        }
        while let Some(result) = probes.join_next().await {
            self.settle(registry, Some(result)).await?;
        }
        Ok(())
    }

    /// Those of the users who belong to a lane. Who left is forgotten.
    fn members(&self, users: impl Iterator<Item = (UserName, Entry)>, lane: Lane) -> Vec<(UserName, Entry)> {
        let users: Vec<_> = users.collect();
        let names: HashSet<&UserName> = users.iter().map(|(name, _)| name).collect();
        let mut failures = self.failures();
        failures.retain(|name, _| names.contains(name));
        drop(names);
        let lives = |name: &UserName, entry: &Entry| {
            failures.get(name).is_some_and(|(address, failures)| *failures == 0 && *address == entry.address)
        };
        let mut users = users;
        users.retain(|(name, entry)| lives(name, entry) == (lane == Lane::Living));
        users
    }

    /// Counts the result of a probe, and removes an entry that has failed too often.
    async fn settle(
        &self,
        registry: &RegistryService,
        result: Option<Result<Probed, JoinError>>,
    ) -> Result<(), StoreError> {
        // A transport that panics has not shown that its peer is gone.
        let Some(Ok(probed)) = result else { return Ok(()) };
        let Some((name, address)) = self.count(probed) else { return Ok(()) };
        if registry.store.evict(&name, &address, registry.clock.now()).await? {
            let address = address.to_string();
            info!(%name, address = %SafeText(&address), "removed after {} failed health checks", MOST_FAILURES + 1);
        }
        Ok(())
    }

    /// Gives one that has failed too often.
    fn count(&self, (name, entry, healthy): Probed) -> Option<(UserName, Address)> {
        let mut failures = self.failures();
        let earlier = failures.remove(&name).filter(|(address, _)| *address == entry.address);
        let count = if healthy { 0 } else { earlier.map_or(0, |(_, failures)| failures) + 1 };
        if count > MOST_FAILURES {
            return Some((name, entry.address));
        }
        failures.insert(name, (entry.address, count));
        None
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<UserName, (Address, u32)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures in a row that an entry survives.
const MOST_FAILURES: u32 = 3;
/// Probes under way at once of those who answered the last time.
const LIVING: usize = 32;
/// The time that such a one has: with less than 32 that die at once, a round never takes longer than this.
const MOMENT: Duration = Duration::from_secs(2);
/// Probes under way at once of the others. With the default limits 25 of them that say nothing are done with in a
/// second.
const DOUBTFUL: usize = 256;

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use tokio::time::Instant;

    use super::*;
    use crate::address::{Placement, Protocol};
    use crate::limits::Limits;
    use crate::message::Message;
    use crate::registry::service;
    use crate::store::{Claim, MemoryRegistry, RegistryStore};
    use crate::transport::{Incoming, Sent, TransportError};

    #[test]
    fn another_address_starts_the_count_anew() {
        let name = UserName::new("bob").unwrap();
        let checks = HealthChecks::new(Duration::from_secs(1), Vec::new());
        let failed = |port| {
            let entry = Entry::acknowledging(Address::loopback(Protocol::UDP, port));
            checks.count((name.clone(), entry, false)).is_some()
        };
        assert_eq!([failed(1), failed(1), failed(1)], [false; 3]);
        assert_eq!([failed(2), failed(2), failed(2), failed(2)], [false, false, false, true]);
        assert!(!failed(2), "who comes back begins anew");
    }

    /// Nobody answers but at port 1.
    #[derive(Debug, Default)]
    struct Graveyard {
        living: AtomicU32,
        dead: AtomicU32,
    }

    #[async_trait]
    impl Transport for Graveyard {
        fn protocol(&self) -> Protocol {
            Protocol::UDP
        }

        async fn listen(&self, _: &Address) -> Result<Incoming, TransportError> {
            Err(TransportError::Closed)
        }

        async fn send(&self, _: &Entry, _: &Message) -> Result<Sent, TransportError> {
            Err(TransportError::Closed)
        }

        async fn probe(&self, to: &Entry) -> Result<(), TransportError> {
            if to.address == Address::loopback(Protocol::UDP, 1) {
                self.living.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            self.dead.fetch_add(1, Ordering::Relaxed);
            pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_living_are_asked_in_each_interval_however_many_are_dead() {
        let (every, rounds, dead) = (Duration::from_secs(5), 60, 5000);
        let store = Arc::new(MemoryRegistry::new(&Limits::default()));
        let registry = service(store.clone());
        for number in 0..=dead {
            let name = UserName::new(&format!("user-{number}")).unwrap();
            let entry = Entry::acknowledging(Address::loopback(Protocol::UDP, if number == dead { 1 } else { 2 }));
            let claim = Claim { placement: Placement::of(&entry), secret: None, ttl: None };
            store.insert(&name, &claim, registry.clock.now()).await.unwrap();
        }
        let graveyard = Arc::new(Graveyard::default());
        let checks = HealthChecks::new(every, vec![graveyard.clone()]);
        let begun = Instant::now();
        let last = begun + every * rounds + every / 2;
        let _ = tokio::time::timeout_at(last, checks.run(&registry)).await;
        // It stands behind the dead in the list, so its first turn comes with theirs.
        let first_round = 10 * dead / DOUBTFUL as u32 / 5 + 1;
        let asked = graveyard.living.load(Ordering::Relaxed);
        assert!(asked >= rounds - first_round - 1, "{asked} times in {rounds} intervals");
        let buried = graveyard.dead.load(Ordering::Relaxed);
        assert!(buried > dead, "{buried} probes of {dead} dead");
    }
}
