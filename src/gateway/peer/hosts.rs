//! Which addresses a host has: asked of the system, and kept for a short time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::address::{Host, network};
use crate::limits::Limits;

/// Looks hosts up.
#[derive(Debug)]
pub(super) struct Hosts {
    known: Mutex<HashMap<Host, Known>>,
    /// The system takes its time for some names, and strangers choose them.
    places: Arc<Semaphore>,
    /// For whom it is asked at the moment: whoever chose names that take long is not to have all places.
    askers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    loopback_exempt: bool,
    /// How long anybody waits for it.
    patience: Duration,
}

/// One question of those from an address, which is over when this is dropped.
struct Asker {
    from: IpAddr,
    askers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    asked: Instant,
}

impl Hosts {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            known: Mutex::default(),
            places: Arc::new(Semaphore::new(MOST_LOOKUPS)),
            askers: Arc::default(),
            loopback_exempt: limits.loopback_exempt,
            patience: limits.connect_timeout,
        }
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
            None => self.look_up(host, address).await?,
        };
        Some(addresses.contains(&address))
    }

    async fn look_up(&self, host: &Host, from: IpAddr) -> Option<Arc<[IpAddr]>> {
        let asker = self.asker(from)?;
        let place = self.places.clone().try_acquire_owned().ok()?;
        let name = host.clone();
        // The system goes on asking when nobody waits any more: until it ends that takes its place all the same.
        let asking = tokio::spawn(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            drop((place, asker));
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

    /// A place among the questions for one address, where there is one.
    fn asker(&self, from: IpAddr) -> Option<Asker> {
        let from = network(from);
        let mut askers = lock(&self.askers);
        let exempt = self.loopback_exempt && from.is_loopback();
        let asked = askers.entry(from).or_default();
        if *asked >= MOST_OF_ONE_ADDRESS && !exempt {
            return None;
        }
        *asked += 1;
        Some(Asker { from, askers: self.askers.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Host, Known>> {
        lock(&self.known)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let mut askers = lock(&self.askers);
        if let Some(asked) = askers.get_mut(&self.from) {
            *asked -= 1;
            if *asked == 0 {
                askers.remove(&self.from);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const FRESH: Duration = Duration::from_secs(30);
/// Names whose addresses are kept. Beyond, each is asked for whenever it is needed.
const MOST_NAMES: usize = 1024;
/// Questions to the system at a time. One more cannot be told.
const MOST_LOOKUPS: usize = 32;
/// How many of them may be for one address.
const MOST_OF_ONE_ADDRESS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_and_names_have_their_addresses_and_no_others() {
        let hosts = Hosts::new(&Limits::default());
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
        let hosts = Hosts::new(&Limits::default());
        let all = hosts.places.clone().acquire_many_owned(MOST_LOOKUPS as u32).await.unwrap();
        let (host, here) = (Host::new("localhost").unwrap(), [127, 0, 0, 1].into());
        assert_eq!(hosts.has(&host, here).await, None);
        drop(all);
        assert_eq!(hosts.has(&host, here).await, Some(true));
    }

    #[tokio::test]
    async fn one_address_does_not_take_all_questions() {
        let hosts = Hosts::new(&Limits::default());
        let (eve, ann): (IpAddr, IpAddr) = ([192, 0, 2, 66].into(), [192, 0, 2, 1].into());
        let held: Vec<_> = (0..MOST_OF_ONE_ADDRESS).map(|_| hosts.asker(eve).unwrap()).collect();
        let host = Host::new("localhost").unwrap();
        assert_eq!(hosts.has(&host, eve).await, None);
        assert_eq!(hosts.has(&host, ann).await, Some(false));
        assert_eq!(hosts.has(&host, eve).await, Some(false), "what is known needs no question");
        drop(held);
        assert!(lock(&hosts.askers).is_empty());
        let near: Vec<_> = (0..MOST_LOOKUPS).map(|_| hosts.asker([127, 0, 0, 1].into())).collect();
        assert!(near.iter().all(Option::is_some));
    }
}
