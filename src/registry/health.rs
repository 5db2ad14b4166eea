//! Asking the entries whether they are still there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
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
    /// Failures in a row, and at which address.
    failures: HashMap<UserName, (Address, u32)>,
}

impl HealthChecks {
    pub(super) fn new(every: Duration, transports: Vec<Arc<dyn Transport>>) -> Self {
        Self { every, transports, failures: HashMap::new() }
    }

    /// Never ends; drop it to stop. Probes under way are aborted with it.
    pub(super) async fn run(mut self, registry: &RegistryService) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once: an entry gets its time first.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if let Err(error) = self.round(registry).await {
                warn!(%error, "cannot check the entries");
            }
        }
    }

    async fn round(&mut self, registry: &RegistryService) -> Result<(), StoreError> {
        let users = registry.store.list(registry.clock.now()).await?;
        let mut probes = JoinSet::new();
        let mut results = Vec::new();
        for (name, record) in users {
            let entry = record.entry;
            // The field's clients die of a probe; only who lists features knows what one is.
            let speaks =
                |t: &&Arc<dyn Transport>| !entry.features.is_empty() && t.protocol() == *entry.address.protocol();
            let Some(transport) = self.transports.iter().find(speaks).cloned() else { continue };
            if probes.len() == PROBES {
                results.extend(probes.join_next().await);
            }
            let wait = registry.limits.request_timeout;
            probes.spawn(async move {
                let healthy = matches!(timeout(wait, transport.probe(&entry)).await, Ok(Ok(())));
                (name, entry, healthy)
            });
        }
        while let Some(result) = probes.join_next().await {
            results.push(result);
        }
        // A transport that panics has not shown that its peer is gone.
        let results = results.into_iter().filter_map(Result::ok);
        for (name, address) in self.count(results) {
            if registry.store.evict(&name, &address, registry.clock.now()).await? {
                let address = address.to_string();
                info!(%name, address = %SafeText(&address), "removed after {} failed health checks", MOST_FAILURES + 1);
            }
        }
        Ok(())
    }

    /// Counts a round's results; gives those that have failed too often. Who was not probed is forgotten.
    fn count(&mut self, results: impl Iterator<Item = (UserName, Entry, bool)>) -> Vec<(UserName, Address)> {
        let mut before = std::mem::take(&mut self.failures);
        let mut gone = Vec::new();
        for (name, entry, healthy) in results {
            let earlier = before.remove(&name).filter(|(address, _)| *address == entry.address);
            if healthy {
                continue;
            }
            let failures = earlier.map_or(0, |(_, failures)| failures) + 1;
            if failures > MOST_FAILURES {
                gone.push((name, entry.address));
            } else {
                self.failures.insert(name, (entry.address, failures));
            }
        }
        gone
    }
}

/// Failures in a row that an entry survives.
const MOST_FAILURES: u32 = 3;
/// Probes under way at once.
const PROBES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Protocol;

    #[test]
    fn another_address_starts_the_count_anew() {
        let name = UserName::new("bob").unwrap();
        let mut checks = HealthChecks::new(Duration::from_secs(1), Vec::new());
        let mut failed = |port| {
            let entry = Entry::acknowledging(Address::loopback(Protocol::UDP, port));
            checks.count([(name.clone(), entry, false)].into_iter()).len()
        };
        assert_eq!([failed(1), failed(1), failed(1)], [0; 3]);
        assert_eq!([failed(2), failed(2), failed(2), failed(2)], [0, 0, 0, 1]);
        assert_eq!(failed(2), 0, "who comes back begins anew");
    }
}
