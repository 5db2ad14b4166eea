//! The rules of a registry over a map in memory: what every backend decides by.
//!
//! A change is first planned into a [`Batch`] over the table, which stays as it is, and then applied with the whole
//! batch. A backend on disk writes the batch down in between; when that fails it drops the batch, and nothing happened.

use std::collections::{BTreeMap, BTreeSet};

use super::{Claim, Lease, Registration, StoreError};
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

/// What planned changes leave under each name; `None`: nothing.
#[derive(Debug, Default)]
pub(super) struct Batch {
    changed: BTreeMap<UserName, Option<Registration>>,
    /// Records that the table will have more (or fewer) than now.
    grown: isize,
}

impl Batch {
    #[cfg(feature = "sqlite")]
    pub(super) fn changes(&self) -> impl Iterator<Item = (&UserName, Option<&Registration>)> {
        self.changed.iter().map(|(name, record)| (name, record.as_ref()))
    }
}

/// Users in memory, ended ones among them until a write sweeps them out.
#[derive(Debug)]
pub(super) struct Table {
    records: BTreeMap<UserName, Registration>,
    /// When each lease and its reservation are over, earliest first.
    ends: BTreeSet<(Timestamp, UserName)>,
    capacity: usize,
    /// Rises with each change.
    version: u64,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self { records: BTreeMap::new(), ends: BTreeSet::new(), capacity, version: 0 }
    }

    /// Plans a change; tells whether an entry was live before, which is what `remove` and `evict` answer.
    pub(super) fn plan(&self, batch: &mut Batch, change: &Change, now: Timestamp) -> Result<bool, StoreError> {
        let (Change::Insert(name, _) | Change::Upsert(name, _) | Change::Remove(name, _) | Change::Evict(name, _)) =
            change;
        let present = self.planned(batch, name);
        let before = present.filter(|r| r.is_live(now) || r.is_reserved(now));
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
                    // A reservation is nobody else's to end; there is just no entry to remove.
                    return if was_live { Err(StoreError::Forbidden) } else { Ok(false) };
                }
                _ => None,
            },
            Change::Evict(_, address) => match before {
                Some(record) if was_live && record.entry.address == *address => None,
                _ => return Ok(false),
            },
        };
        let grows = isize::from(after.is_some()) - isize::from(present.is_some());
        if grows > 0 && self.records.len().saturating_add_signed(batch.grown) >= self.capacity {
            return Err(StoreError::Full(format!("it holds its limit of {} users", self.capacity)));
        }
        if after.is_some() || present.is_some() {
            batch.grown += grows;
            batch.changed.insert(name.clone(), after);
        }
        Ok(was_live)
    }

    /// Plans to forget up to `most` records that are neither live nor reserved; tells how many.
    pub(super) fn plan_sweep(&self, batch: &mut Batch, now: Timestamp, most: usize) -> usize {
        let mut swept = 0;
        for (_, name) in self.ends.iter().take_while(|(end, _)| *end <= now).take(most) {
            if !batch.changed.contains_key(name) {
                batch.grown -= 1;
                batch.changed.insert(name.clone(), None);
                swept += 1;
            }
        }
        swept
    }

    /// Carries out what was planned.
    pub(super) fn apply(&mut self, batch: Batch) {
        for (name, record) in batch.changed {
            self.set(name, record);
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn set(&mut self, name: UserName, record: Option<Registration>) {
        self.version += 1;
        let end = record.as_ref().and_then(Registration::end);
        let before = match record {
            Some(record) => self.records.insert(name.clone(), record),
            None => self.records.remove(&name),
        };
        if let Some(old) = before.and_then(|r| r.end()) {
            self.ends.remove(&(old, name.clone()));
        }
        self.ends.extend(end.map(|end| (end, name)));
    }

    /// Whether all that is stored of a record stands already; a lease's end is not stored.
    #[cfg(feature = "sqlite")]
    pub(super) fn keeps(&self, name: &UserName, record: Option<&Registration>) -> bool {
        let ttl = |record: &Registration| record.lease.map(|lease| lease.ttl);
        match (self.records.get(name), record) {
            (Some(old), Some(new)) => old.entry == new.entry && old.owner == new.owner && ttl(old) == ttl(new),
            (None, None) => true,
            _ => false,
        }
    }

    pub(super) fn get(&self, name: &UserName, now: Timestamp) -> Option<Registration> {
        self.records.get(name).filter(|r| r.is_live(now)).cloned()
    }

    pub(super) fn list(&self, now: Timestamp) -> Vec<(UserName, Registration)> {
        let live = self.records.iter().filter(|(_, r)| r.is_live(now));
        live.map(|(name, record)| (name.clone(), record.clone())).collect()
    }

    pub(super) fn renew_all(&mut self, now: Timestamp) {
        self.version += 1;
        self.ends.clear();
        for (name, record) in &mut self.records {
            record.lease = record.lease.map(|lease| Lease::starting(lease.ttl, now));
            self.ends.extend(record.end().map(|end| (end, name.clone())));
        }
    }

    fn planned<'a>(&'a self, batch: &'a Batch, name: &UserName) -> Option<&'a Registration> {
        match batch.changed.get(name) {
            Some(planned) => planned.as_ref(),
            None => self.records.get(name),
        }
    }
}

fn claimed(before: Option<&Registration>, claim: &Claim, was_live: bool, now: Timestamp) -> Registration {
    let existing = before.filter(|_| was_live);
    let ttl = claim.ttl.or_else(|| existing.and_then(|r| r.lease).map(|lease| lease.ttl));
    Registration {
        entry: claim.placement.apply(existing.map(|r| &r.entry)),
        // A name that is reserved stays its owner's; only a new entry takes its owner from the claim.
        owner: match before {
            Some(record) => record.owner,
            None => claim.secret.as_ref().map(Secret::hash),
        },
        lease: ttl.map(|ttl| Lease::starting(ttl, now)),
    }
}

/// Ended records that one write sweeps out beside its own change.
pub(super) const SWEEP: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Placement;
    use crate::address::{Entry, Protocol};

    fn name(number: u64) -> UserName {
        UserName::new(&format!("user-{number}")).unwrap()
    }

    fn claim(ttl: Option<u32>) -> Claim {
        let entry = Entry::plain(Address::loopback(Protocol::HTTP, 1));
        Claim { placement: Placement::of(&entry), secret: None, ttl }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_dropped_batch_changed_nothing_and_a_batch_sees_itself() {
        let mut table = Table::new(2);
        let mut batch = Batch::default();
        table.plan(&mut batch, &Change::Insert(name(1), claim(None)), at(0)).unwrap();
        let again = table.plan(&mut batch, &Change::Insert(name(1), claim(None)), at(0));
        assert!(matches!(again, Err(StoreError::Taken)));
        table.plan(&mut batch, &Change::Insert(name(2), claim(None)), at(0)).unwrap();
        let third = table.plan(&mut batch, &Change::Insert(name(3), claim(None)), at(0));
        assert!(matches!(third, Err(StoreError::Full(_))));
        drop(batch);
        assert!(table.list(at(0)).is_empty());

        let mut batch = Batch::default();
        table.plan(&mut batch, &Change::Insert(name(3), claim(None)), at(0)).unwrap();
        assert!(table.plan(&mut batch, &Change::Remove(name(3), None), at(0)).unwrap());
        table.plan(&mut batch, &Change::Insert(name(4), claim(None)), at(0)).unwrap();
        table.apply(batch);
        assert_eq!(table.list(at(0)).len(), 1);
    }

    #[test]
    fn sweeping_is_bounded_and_makes_room_for_others() {
        let mut table = Table::new(100);
        let mut batch = Batch::default();
        for number in 0..100 {
            table.plan(&mut batch, &Change::Insert(name(number), claim(Some(5))), at(0)).unwrap();
        }
        table.apply(batch);
        let mut batch = Batch::default();
        assert!(table.plan(&mut batch, &Change::Insert(name(200), claim(None)), at(6)).is_err());
        table.plan_sweep(&mut batch, at(6), 10);
        table.plan(&mut batch, &Change::Insert(name(200), claim(None)), at(6)).unwrap();
        table.apply(batch);
        assert_eq!((table.records.len(), table.ends.len()), (91, 90));
        table.renew_all(at(7));
        let mut batch = Batch::default();
        table.plan_sweep(&mut batch, at(8), 100);
        assert!(batch.changed.is_empty());
    }
}
