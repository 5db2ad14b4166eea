//! How often somebody may try to sign in, on all wires together.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::address::network;
use crate::limits::Limits;
use crate::name::Nickname;

/// What was tried lately. An address is one of IPv4, or a network of 64 bits of IPv6.
#[derive(Debug)]
pub(crate) struct Tries {
    loopback_exempt: bool,
    /// By address: a guest takes a user's place for a minute though nobody ever comes.
    sign_ins: Buckets<IpAddr>,
    /// Wrong secrets by address.
    from: Buckets<IpAddr>,
    /// Wrong secrets by name, and by the address that its owner came from.
    secrets: Buckets<(Nickname, Option<IpAddr>)>,
    /// Where the owner of a name came from last. From there a stranger's tries elsewhere do not count.
    owners: Mutex<HashMap<Nickname, IpAddr>>,
}

/// Too much was tried.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum TooMany {
    #[error("too many sign-ins from this address")]
    SignIns,
    #[error("too many wrong secrets from this address")]
    SecretsFrom,
    #[error("too many wrong secrets for this nickname")]
    SecretsFor,
}

impl TooMany {
    /// Seconds until one more may be tried.
    pub(crate) fn seconds(self) -> &'static str {
        match self {
            Self::SignIns => "1",
            Self::SecretsFrom => "2",
            Self::SecretsFor => "10",
        }
    }
}

/// One secret that is tried, held against whoever tries it unless it is [`forgiven`](Self::forgive).
#[derive(Debug)]
pub(crate) struct Try<'a> {
    tries: &'a Tries,
    name: &'a Nickname,
    from: Option<IpAddr>,
    key: (Nickname, Option<IpAddr>),
}

impl Tries {
    pub(super) fn new(limits: &Limits) -> Self {
        let share = u32::try_from(limits.users / SHARE).unwrap_or(u32::MAX).max(FEWEST);
        Self {
            loopback_exempt: limits.loopback_exempt,
            sign_ins: Buckets::new(share, MINUTE / share),
            from: Buckets::new(WRONG_FROM, WRONG_FROM_EVERY),
            secrets: Buckets::new(WRONG, WRONG_EVERY),
            owners: Mutex::default(),
        }
    }

    /// Whether one more may sign in from there.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(crate) fn sign_in(&self, from: Option<IpAddr>) -> Result<(), TooMany> {
        match self.counted(from).is_none_or(|from| self.sign_ins.take(from)) {
            true => Ok(()),
            false => Err(TooMany::SignIns),
        }
    }

    /// Whether one more secret may be tried for a name.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(crate) fn secret<'a>(&'a self, name: &'a Nickname, from: Option<IpAddr>) -> Result<Try<'a>, TooMany> {
        let counted = self.counted(from);
        if !counted.is_none_or(|from| self.from.take(from)) {
            return Err(TooMany::SecretsFrom);
        }
        let from = from.map(|from| network(from.to_canonical()));
        let owner = lock(&self.owners).get(name).copied();
        let key = (name.clone(), owner.filter(|owner| from == Some(*owner)));
        if !self.secrets.take(key.clone()) {
            // Nothing was tried.
            if let Some(from) = counted {
                self.from.give_back(&from);
            }
            return Err(TooMany::SecretsFor);
        }
        Ok(Try { tries: self, name, from, key })
    }

    /// The address that is counted, if it is.
    fn counted(&self, from: Option<IpAddr>) -> Option<IpAddr> {
        let from = from?.to_canonical();
        (!self.loopback_exempt || !from.is_loopback()).then(|| network(from))
    }
}

impl Try<'_> {
    /// It was no wrong secret; and if it was the `right` one, the owner is there.
    pub(crate) fn forgive(self, right: bool) {
        self.tries.secrets.give_back(&self.key);
        let Some(from) = self.from else { return };
        self.tries.from.give_back(&from);
        if right {
            let mut owners = lock(&self.tries.owners);
            if owners.len() >= MOST
                && let Some(other) = owners.keys().find(|name| *name != self.name).cloned()
            {
                owners.remove(&other);
            }
            owners.insert(self.name.clone(), from);
        }
    }
}

/// So many at once, and then one each time that `every` has passed, for each key.
#[derive(Debug)]
struct Buckets<K> {
    burst: u32,
    every: Duration,
    /// When each bucket that is not full will be. At most [`MOST`]; then the fullest is forgotten.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, full_at: Mutex::default() }
    }

    fn take(&self, key: K) -> bool {
        let (now, mut buckets) = (Instant::now(), lock(&self.full_at));
        if buckets.len() >= MOST && !buckets.contains_key(&key) {
            buckets.retain(|_, full_at| *full_at > now);
            let fullest = buckets.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| key.clone());
            if let Some(fullest) = fullest.filter(|_| buckets.len() >= MOST) {
                buckets.remove(&fullest);
            }
        }
        let full_at = buckets.entry(key).or_insert(now);
        let next = (*full_at).max(now) + self.every;
        let allowed = next <= now + self.every * self.burst;
        if allowed {
            *full_at = next;
        }
        allowed
    }

    fn give_back(&self, key: &K) {
        let mut buckets = lock(&self.full_at);
        let Some(full_at) = buckets.get_mut(key) else { return };
        match full_at.checked_sub(self.every) {
            Some(earlier) if earlier > Instant::now() => *full_at = earlier,
            _ => drop(buckets.remove(key)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What share of all users may sign in from one address within a minute. One who came and went keeps a place for ten, so
/// that one address never takes all.
const SHARE: usize = 32;
/// How many may on a server for few.
const FEWEST: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);
/// Wrong secrets for one name: enough for a slip of the pen, and for the programs of one user that start together.
const WRONG: u32 = 10;
const WRONG_EVERY: Duration = Duration::from_secs(10);
/// Wrong secrets from one address, where several may sit.
const WRONG_FROM: u32 = 30;
const WRONG_FROM_EVERY: Duration = Duration::from_secs(2);
/// Addresses, and names, that are remembered.
const MOST: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> Option<IpAddr> {
        Some(ip.parse().unwrap())
    }

    fn nick(name: &str) -> Nickname {
        Nickname::new(name).unwrap()
    }

    /// So many wrong secrets that are let through, of 100.
    fn wrong(tries: &Tries, name: &str, from: Option<IpAddr>) -> usize {
        (0..100).filter(|_| tries.secret(&nick(name), from).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_signs_up_a_share_of_the_users() {
        let mut limits = Limits::default();
        limits.users = 320;
        let tries = Tries::new(&limits);
        let allowed = |from: &str| (0..100).filter(|_| tries.sign_in(at(from)).is_ok()).count();
        assert_eq!(allowed("192.0.2.1"), 10);
        assert_eq!(allowed("::ffff:192.0.2.1"), 0, "in either spelling");
        assert_eq!((allowed("192.0.2.2"), allowed("2001:db8::1"), allowed("2001:db8::ffff:2")), (10, 10, 0));
        assert_eq!((allowed("127.0.0.1"), allowed("::1")), (100, 100));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(allowed("192.0.2.1"), 1);
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!(allowed("192.0.2.1"), 10);
        limits.loopback_exempt = false;
        let tries = Tries::new(&limits);
        assert_eq!((0..100).filter(|_| tries.sign_in(at("127.0.0.1")).is_ok()).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_secrets_are_few_for_a_name_from_wherever_they_come() {
        let tries = Tries::new(&Limits::default());
        assert_eq!(wrong(&tries, "ann", at("127.0.0.1")), 10, "from this machine, too");
        assert_eq!(wrong(&tries, "ann", at("192.0.2.1")), 0);
        assert_eq!(wrong(&tries, "ann", None), 0);
        assert_eq!(wrong(&tries, "bob", at("192.0.2.2")), 10);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(wrong(&tries, "ann", at("192.0.2.3")), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_secrets_from_an_address_are_few_for_all_names() {
        let tries = Tries::new(&Limits::default());
        let all: usize = (0..10).map(|n| wrong(&tries, &format!("user{n}"), at("192.0.2.1"))).sum();
        assert_eq!(all, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_no_wrong_secret_is_not_held_against_anybody() {
        let tries = Tries::new(&Limits::default());
        for n in 0..100 {
            tries.secret(&nick("ann"), at("192.0.2.1")).unwrap().forgive(n % 2 == 0);
        }
        assert!(lock(&tries.from.full_at).is_empty() && lock(&tries.secrets.full_at).is_empty());
        assert_eq!(lock(&tries.owners).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_is_not_locked_out_by_strangers() {
        let tries = Tries::new(&Limits::default());
        tries.secret(&nick("ann"), at("192.0.2.1")).unwrap().forgive(true);
        assert_eq!(wrong(&tries, "ann", at("192.0.2.66")), 10);
        assert!(tries.secret(&nick("ann"), at("192.0.2.66")).is_err());
        tries.secret(&nick("ann"), at("192.0.2.1")).unwrap().forgive(true);
        assert_eq!(wrong(&tries, "ann", at("192.0.2.1")), 10, "nor is it a way to try for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let buckets = Buckets::new(2, Duration::from_secs(1));
        assert!(buckets.take(u32::MAX) && buckets.take(u32::MAX));
        for key in 0..MOST as u32 + 10 {
            assert!(buckets.take(key));
        }
        assert_eq!(lock(&buckets.full_at).len(), MOST);
        assert!(!buckets.take(u32::MAX), "the fullest go first");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(buckets.take(u32::MAX - 1));
        assert_eq!(lock(&buckets.full_at).len(), 1);
    }
}
