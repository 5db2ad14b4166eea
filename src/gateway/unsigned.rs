//! Connections of which nobody knows yet who they are: how many there may be, and for how long.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::address::network;
use crate::limits::Limits;

/// The connections that have not signed in, on all wires together. One more than there may be, of all or of one address,
/// cuts the oldest: whoever holds them open for nothing does not keep others out. Cloning shares the count.
#[derive(Clone, Debug)]
pub(crate) struct Unsigned {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    most_per_address: usize,
    loopback_exempt: bool,
    time: Duration,
    waiting: Mutex<Waiting>,
    open: AtomicU64,
    crowded_out: AtomicU64,
    timed_out: AtomicU64,
}

/// Those that count, by the order in which they came.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    all: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    by_address: HashMap<IpAddr, BTreeSet<u64>>,
}

/// What there is and was of them at one moment.
#[cfg(any(feature = "server", test))]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct CountedUnsigned {
    /// Open now, those of loopback too.
    pub(crate) open: u64,
    /// Ever cut to make room for a younger one.
    pub(crate) crowded_out: u64,
    /// Ever cut because their time was over.
    pub(crate) timed_out: u64,
}

/// One such connection, until this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    unsigned: Unsigned,
    until: Instant,
    /// `None`: of loopback, which is exempt.
    counted: Option<(u64, Arc<Notify>)>,
}

impl Unsigned {
    pub(crate) fn of(limits: &Limits) -> Self {
        let shared = Shared {
            most: limits.unsigned.max(1),
            most_per_address: limits.unsigned_per_address.max(1),
            loopback_exempt: limits.loopback_exempt,
            time: limits.sign_in_timeout,
            waiting: Mutex::default(),
            open: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// One more connection, from `ip`. Its time begins now.
    pub(crate) fn enter(&self, ip: IpAddr) -> Guest {
        let shared = &*self.shared;
        shared.open.fetch_add(1, Ordering::Relaxed);
        let exempt = shared.loopback_exempt && ip.is_loopback();
        let counted = (!exempt).then(|| {
            let (ip, cut) = (network(ip), Arc::new(Notify::new()));
            let mut waiting = self.lock();
            let oldest_there = waiting.by_address.get(&ip).filter(|ids| ids.len() >= shared.most_per_address);
            if let Some(oldest) = oldest_there.and_then(|ids| ids.first().copied()) {
                self.crowd_out(&mut waiting, oldest);
            }
            if waiting.all.len() >= shared.most
                && let Some((oldest, _)) = waiting.all.first_key_value()
            {
                let oldest = *oldest;
                self.crowd_out(&mut waiting, oldest);
            }
            let id = waiting.next;
            waiting.next += 1;
            waiting.all.insert(id, (ip, cut.clone()));
            waiting.by_address.entry(ip).or_default().insert(id);
            (id, cut)
        });
        Guest { unsigned: self.clone(), until: Instant::now() + shared.time, counted }
    }

    /// How many ever came that count.
    #[cfg(test)]
    pub(crate) fn lately(&self) -> u64 {
        self.lock().next
    }

    /// What there is and was.
    #[cfg(any(feature = "server", test))]
    pub(crate) fn counted(&self) -> CountedUnsigned {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { open, crowded_out, timed_out, .. } = &*self.shared;
        CountedUnsigned { open: load(open), crowded_out: load(crowded_out), timed_out: load(timed_out) }
    }

    fn crowd_out(&self, waiting: &mut Waiting, id: u64) {
        if let Some(cut) = waiting.remove(id) {
            self.shared.crowded_out.fetch_add(1, Ordering::Relaxed);
            cut.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn remove(&mut self, id: u64) -> Option<Arc<Notify>> {
        let (ip, cut) = self.all.remove(&id)?;
        if let Some(ids) = self.by_address.get_mut(&ip) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_address.remove(&ip);
            }
        }
        Some(cut)
    }
}

impl Guest {
    /// What a sign-in comes to; `None` when its time was over, or its place was needed. The connection is to be closed
    /// then.
    ///
    /// # Cancel safety
    /// That of `sign_in`.
    pub(crate) async fn sign_in<T>(self, sign_in: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.over() => None,
            signed = sign_in => Some(signed),
        }
    }

    /// Waits until the time is over, or the place is needed. Only one may wait at a time.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(crate) async fn over(&self) {
        let needed = async {
            match &self.counted {
                Some((_, cut)) => cut.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = needed => {
                debug!("cut before it signed in: there are too many such connections");
                // Whoever asks again hears the same.
                if let Some((_, cut)) = &self.counted {
                    cut.notify_one();
                }
            }
            () = sleep_until(self.until) => {
                debug!("cut before it signed in: its time is over");
                self.unsigned.shared.timed_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.unsigned.shared.open.fetch_sub(1, Ordering::Relaxed);
        if let Some((id, _)) = &self.counted {
            self.unsigned.lock().remove(*id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn unsigned(most: usize, most_per_address: usize) -> Unsigned {
        let mut limits = Limits::default();
        (limits.unsigned, limits.unsigned_per_address) = (most, most_per_address);
        Unsigned::of(&limits)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_of_an_address_cuts_the_oldest_of_it() {
        let unsigned = unsigned(100, 2);
        let [first, second] = [unsigned.enter(ip("192.0.2.1")), unsigned.enter(ip("192.0.2.1"))];
        let other = unsigned.enter(ip("192.0.2.2"));
        let third = unsigned.enter(ip("192.0.2.1"));
        assert_eq!(first.sign_in(pending::<()>()).await, None);
        for stays in [second, other, third] {
            assert_eq!(stays.sign_in(async { 7 }).await, Some(7));
        }
        assert_eq!(unsigned.counted(), CountedUnsigned { crowded_out: 1, ..CountedUnsigned::default() });
        let waiting = unsigned.lock();
        assert!(waiting.all.is_empty() && waiting.by_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_of_all_cuts_the_oldest_of_all() {
        let unsigned = unsigned(3, 100);
        let mut guests: Vec<_> = (1..=4).map(|n| unsigned.enter(ip(&format!("2001:db8:0:{n}::1")))).collect();
        assert_eq!(unsigned.counted().open, 4);
        assert_eq!(guests.remove(0).sign_in(pending::<()>()).await, None);
        drop(guests.remove(2));
        // Whoever left needs no place.
        let _next = unsigned.enter(ip("192.0.2.9"));
        for stays in guests {
            assert_eq!(stays.sign_in(async {}).await, Some(()));
        }
        assert_eq!(unsigned.counted().crowded_out, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn loopback_is_not_counted_but_has_its_time_too() {
        let unsigned = unsigned(1, 1);
        let near: Vec<_> = (0..10).map(|_| unsigned.enter(ip("127.0.0.1"))).collect();
        let begun = Instant::now();
        for guest in near {
            assert_eq!(guest.sign_in(pending::<()>()).await, None);
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(600));
        assert_eq!(unsigned.counted(), CountedUnsigned { timed_out: 10, ..CountedUnsigned::default() });
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_types_for_nine_minutes_is_let_in() {
        let guest = unsigned(1, 1).enter(ip("192.0.2.1"));
        let typed = async {
            tokio::time::sleep(Duration::from_secs(9 * 60)).await;
            "alice"
        };
        assert_eq!(guest.sign_in(typed).await, Some("alice"));
    }
}
