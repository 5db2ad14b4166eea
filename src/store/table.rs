//! The rules of a registry over a map in memory: what every backend decides by.

use std::collections::BTreeMap;

use super::{Claim, Lease, Record, StoreError};
use crate::address::Address;
use crate::message::Timestamp;
use crate::name::UserName;
use crate::secret::Secret;

/// One change that a backend is asked for.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Insert(UserName, Claim),
    Upsert(UserName, Claim),
    Remove(UserName, Option<Secret>),
    Evict(UserName, Address),
}

/// What a change did: what now stands under the name, and what stood there before.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) name: UserName,
    pub(super) after: Option<Record>,
    pub(super) before: Option<Record>,
    /// Whether an entry was live before: what `remove` and `evict` answer.
    pub(super) was_live: bool,
}

/// Users in memory, expired ones among them until a write sweeps them out.
#[derive(Debug)]
pub(super) struct Table {
    records: BTreeMap<UserName, Record>,
    capacity: usize,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self { records: BTreeMap::new(), capacity }
    }

    pub(super) fn load(&mut self, name: UserName, record: Record) {
        self.records.insert(name, record);
    }

    /// Carries a change out. The caller may take it back with [`Table::undo`], latest first.
    pub(super) fn apply(&mut self, change: &Change, now: Timestamp) -> Result<Applied, StoreError> {
        let (Change::Insert(name, _) | Change::Upsert(name, _) | Change::Remove(name, _) | Change::Evict(name, _)) =
            change;
        let before = self.records.get(name).filter(|r| r.is_live(now) || r.is_reserved(now));
        let was_live = before.is_some_and(|r| r.is_live(now));
        let after = match change {
            Change::Insert(_, claim) => match before {
                Some(record) if !record.belongs_to(claim.secret.as_ref()) => return Err(StoreError::Taken),
                _ => Some(claimed(before, claim, was_live, now)),
            },
            Change::Upsert(_, claim) => match before {
                Some(record) if record.owner.is_some() && !record.belongs_to(claim.secret.as_ref()) => {
                    return Err(StoreError::Forbidden);
                }
                _ => Some(claimed(before, claim, was_live, now)),
            },
            Change::Remove(_, secret) => match before {
                Some(record) if record.owner.is_some() && !record.belongs_to(secret.as_ref()) => {
                    if was_live {
                        return Err(StoreError::Forbidden);
                    }
                    Some(record.clone())
                }
                _ => None,
            },
            Change::Evict(_, address) => match before {
                Some(record) if was_live && record.entry.address == *address => None,
                other => {
                    let after = other.cloned();
                    return Ok(Applied { name: name.clone(), before: after.clone(), after, was_live: false });
                }
            },
        };
        if after.is_some() && !self.records.contains_key(name) && self.records.len() >= self.capacity {
            self.records.retain(|_, r| r.is_live(now) || r.is_reserved(now));
            if self.records.len() >= self.capacity {
                return Err(StoreError::Full(format!("it holds its limit of {} users", self.capacity)));
            }
        }
        let before = match &after {
            Some(record) => self.records.insert(name.clone(), record.clone()),
            None => self.records.remove(name),
        };
        Ok(Applied { name: name.clone(), after, before, was_live })
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn undo(&mut self, applied: Applied) {
        match applied.before {
            Some(record) => self.records.insert(applied.name, record),
            None => self.records.remove(&applied.name),
        };
    }

    pub(super) fn get(&self, name: &UserName, now: Timestamp) -> Option<Record> {
        self.records.get(name).filter(|r| r.is_live(now)).cloned()
    }

    pub(super) fn list(&self, now: Timestamp) -> Vec<(UserName, Record)> {
        let live = self.records.iter().filter(|(_, r)| r.is_live(now));
        live.map(|(name, record)| (name.clone(), record.clone())).collect()
    }

    pub(super) fn renew_all(&mut self, now: Timestamp) {
        for record in self.records.values_mut() {
            record.lease = record.lease.map(|lease| Lease::starting(lease.ttl, now));
        }
    }
}

fn claimed(before: Option<&Record>, claim: &Claim, was_live: bool, now: Timestamp) -> Record {
    let existing = before.filter(|_| was_live);
    let ttl = claim.ttl.or_else(|| existing.and_then(|r| r.lease).map(|lease| lease.ttl));
    Record {
        entry: claim.placement.apply(existing.map(|r| &r.entry)),
        // A name that is reserved stays its owner's; only a new entry takes its owner from the claim.
        owner: match before {
            Some(record) => record.owner,
            None => claim.secret.as_ref().map(Secret::hash),
        },
        lease: ttl.map(|ttl| Lease::starting(ttl, now)),
    }
}
