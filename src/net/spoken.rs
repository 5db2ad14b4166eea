//! From where users spoke: a server sends to nobody who did not speak to it first.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lately::Lately;
use crate::limits::Limits;
use crate::name::UserName;

/// From where each of a registry's users spoke last, by a connection: nobody can claim another's address there.
///
/// Anybody can register any host. With this a server knows which of them asked for what it sends. Cloning shares it. It
/// is in memory; of as many users as a registry holds ([`Limits::users`]) the ones silent for longest are forgotten.
#[derive(Clone, Debug)]
pub struct Spoken {
    last: Arc<Mutex<Lately<IpAddr>>>,
}

impl Spoken {
    /// Remembers as many users as a registry with these limits holds.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { last: Arc::new(Mutex::new(Lately::new(limits.users))) }
    }

    /// Notes that a user spoke from an address, by a connection from there.
    pub fn note(&self, name: &UserName, from: IpAddr) {
        self.lock().note(name, from.to_canonical());
    }

    /// From where the user spoke last.
    #[must_use]
    pub fn last(&self, name: &UserName) -> Option<IpAddr> {
        self.lock().get(name).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Lately<IpAddr>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Spoken {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}
