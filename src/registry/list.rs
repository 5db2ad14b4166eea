//! The list of users as it is answered: rendered once for all who ask between two changes.

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::service::rendered;
use crate::codec::registry::Version;
use crate::message::Timestamp;
use crate::store::{Clock, RegistryStore, StoreError};

/// The last rendering in each version of the JSON. Whoever still reads an earlier one has that.
#[derive(Debug, Default)]
pub(super) struct Lists {
    v1: Mutex<Option<List>>,
    v2: Mutex<Option<List>>,
}

#[derive(Debug)]
struct List {
    /// The store's.
    version: Option<u64>,
    /// When the first lease in it ends.
    until: Option<Timestamp>,
    bytes: Bytes,
}

impl Lists {
    /// The list as it stands now. Those who ask while it is being rendered wait for that.
    pub(super) async fn get(
        &self,
        version: Version,
        store: &dyn RegistryStore,
        clock: Clock,
    ) -> Result<Bytes, StoreError> {
        if store.version().is_none() {
            return Ok(List::render(version, store, clock).await?.bytes);
        }
        let mut last = match version {
            Version::V1 => self.v1.lock().await,
            Version::V2 => self.v2.lock().await,
        };
        if let Some(list) = last.as_ref().filter(|list| list.stands(store, clock)) {
            return Ok(list.bytes.clone());
        }
        // Not beside the next one.
        *last = None;
        let list = last.insert(List::render(version, store, clock).await?);
        Ok(list.bytes.clone())
    }
}

impl List {
    async fn render(version: Version, store: &dyn RegistryStore, clock: Clock) -> Result<Self, StoreError> {
        // Asked before the list, which may know of a change in between already.
        let stored = store.version();
        let users = store.list(clock.now()).await?;
        let until = users.iter().filter_map(|(_, record)| record.lease).map(|lease| lease.expires).min();
        let users: Map<String, Value> =
            users.into_iter().filter_map(|(name, record)| Some((name.into(), rendered(&record, version)?))).collect();
        Ok(Self { version: stored, until, bytes: Value::Object(users).to_string().into() })
    }

    fn stands(&self, store: &dyn RegistryStore, clock: Clock) -> bool {
        self.version.is_some() && store.version() == self.version && self.until.is_none_or(|until| clock.now() < until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::address::{Address, Entry, Placement, Protocol};
    use crate::limits::Limits;
    use crate::name::UserName;
    use crate::store::{Claim, MemoryRegistry};

    async fn put(store: &MemoryRegistry, name: &str, ttl: Option<u32>, clock: Clock) {
        let entry = Entry::plain(Address::loopback(Protocol::UDP, 1));
        let claim = Claim { placement: Placement::of(&entry), secret: None, ttl };
        store.upsert(&UserName::new(name).unwrap(), &claim, clock.now()).await.unwrap();
    }

    /// Whether both are one piece of memory, rendered once.
    fn is_shared(one: &Bytes, other: &Bytes) -> bool {
        one.as_ptr() == other.as_ptr()
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_rendered_once_until_something_changes_or_a_lease_ends() {
        let (store, lists, clock) = (MemoryRegistry::new(&Limits::default()), Lists::default(), Clock::start());
        let list = |version| lists.get(version, &store, clock);
        put(&store, "ann", None, clock).await;
        let first = list(Version::V1).await.unwrap();
        assert!(is_shared(&first, &list(Version::V1).await.unwrap()));
        let (one, other) = tokio::join!(list(Version::V2), list(Version::V2));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(is_shared(&one, &other) && !is_shared(&first, &one));
        assert!(is_shared(&first, &list(Version::V1).await.unwrap()));

        put(&store, "bob", Some(5), clock).await;
        let second = list(Version::V1).await.unwrap();
        assert!(!is_shared(&first, &second) && second.len() > first.len());
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(is_shared(&second, &list(Version::V1).await.unwrap()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(list(Version::V1).await.unwrap(), first, "the lease is over");
        store.remove(&UserName::new("ann").unwrap(), None, clock.now()).await.unwrap();
        assert_eq!(list(Version::V1).await.unwrap(), "{}");
    }
}
