//! Which addresses a host has: asked of the system, and kept for a short time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::address::Host;

/// Looks hosts up.
#[derive(Debug)]
pub(super) struct Hosts {
    known: Mutex<HashMap<Host, Known>>,
    /// The system takes its time for some names, and strangers choose them.
    places: Arc<Semaphore>,
    /// How long anybody waits for it.
    patience: Duration,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    asked: Instant,
}

impl Hosts {
    pub(super) fn new(patience: Duration) -> Self {
        Self { known: Mutex::default(), places: Arc::new(Semaphore::new(MOST_LOOKUPS)), patience }
    }

    /// Whether a host has an address; `None` when that cannot be told at the moment.
    ///
    /// # Cancel safety
    /// A question that was begun goes on, and its answer is forgotten.
    pub(super) async fn has(&self, host: &Host, address: IpAddr) -> Option<bool> {
        let address = address.to_canonical();
        if let Some(literal) = host.ip() {
            return Some(literal.to_canonical() == address);
        }
        let fresh = self.lock().get(host).filter(|known| known.asked.elapsed() < FRESH).cloned();
        let addresses = match fresh {
            Some(known) => known.addresses,
            None => self.look_up(host).await?,
        };
        Some(addresses.contains(&address))
    }

    async fn look_up(&self, host: &Host) -> Option<Arc<[IpAddr]>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let name = host.clone();
        // The system goes on asking when nobody waits any more: until it ends that takes its place all the same.
        let asking = tokio::spawn(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            drop(place);
            found.map_or_else(|_| Arc::default(), |found| found.map(|at| at.ip().to_canonical()).collect())
        });
        let addresses: Arc<[IpAddr]> = timeout(self.patience, asking).await.ok()?.ok()?;
        let mut known = self.lock();
        if known.len() >= MOST_NAMES {
            known.retain(|_, known| known.asked.elapsed() < FRESH);
        }
        if known.len() < MOST_NAMES {
            known.insert(host.clone(), Known { addresses: addresses.clone(), asked: Instant::now() });
        }
        Some(addresses)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Host, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FRESH: Duration = Duration::from_secs(30);
/// Names whose addresses are kept. Beyond, each is asked for whenever it is needed.
const MOST_NAMES: usize = 1024;
/// Questions to the system at a time. One more cannot be told.
const MOST_LOOKUPS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_and_names_have_their_addresses_and_no_others() {
        let hosts = Hosts::new(Duration::from_secs(5));
        let has = async |host: &str, ip: &str| hosts.has(&Host::new(host).unwrap(), ip.parse().unwrap()).await;
        assert_eq!(has("127.0.0.1", "127.0.0.1").await, Some(true));
        assert_eq!(has("127.0.0.1", "::ffff:127.0.0.1").await, Some(true));
        assert_eq!(has("127.0.0.1", "127.0.0.2").await, Some(false));
        assert_eq!(has("0.0.0.0", "127.0.0.1").await, Some(false));
        assert_eq!(has("localhost", "127.0.0.1").await, Some(true));
        assert_eq!(has("localhost", "192.0.2.1").await, Some(false));
        assert_eq!(hosts.lock().len(), 1, "literals need not be kept");
    }

    #[tokio::test]
    async fn when_too_many_ask_nothing_is_told() {
        let hosts = Hosts::new(Duration::from_secs(5));
        let all = hosts.places.clone().acquire_many_owned(MOST_LOOKUPS as u32).await.unwrap();
        let (host, here) = (Host::new("localhost").unwrap(), [127, 0, 0, 1].into());
        assert_eq!(hosts.has(&host, here).await, None);
        drop(all);
        assert_eq!(hosts.has(&host, here).await, Some(true));
    }
}
