//! Rules in memory: gone with the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Bounds, RoomRules, RuleStore, UserRules};
use crate::limits::Limits;
use crate::message::UserId;
use crate::name::RoomName;
use crate::store::StoreError;

/// Rules in memory: a restart knows none of them.
#[derive(Debug)]
pub struct MemoryRules {
    kept: Mutex<Kept>,
    of_rooms: Bounds,
    of_users: Bounds,
}

#[derive(Debug, Default)]
struct Kept {
    rooms: BTreeMap<RoomName, RoomRules>,
    users: HashMap<UserId, UserRules>,
}

impl MemoryRules {
    /// An empty store within the limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { kept: Mutex::default(), of_rooms: Bounds::of_rooms(limits), of_users: Bounds::of_users(limits) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryRules {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

#[async_trait]
impl RuleStore for MemoryRules {
    async fn rooms(&self) -> Result<Vec<(RoomName, RoomRules)>, StoreError> {
        Ok(self.kept().rooms.iter().map(|(room, rules)| (room.clone(), rules.clone())).collect())
    }

    async fn keep_room(&self, room: &RoomName, rules: &RoomRules) -> Result<(), StoreError> {
        let rooms = &mut self.kept().rooms;
        if rules.is_empty() {
            rooms.remove(room);
            return Ok(());
        }
        let held = rooms.get(room).map(RoomRules::entries);
        self.of_rooms.admit(room, held, rules.entries(), rooms.len())?;
        rooms.insert(room.clone(), rules.clone());
        Ok(())
    }

    async fn user(&self, user: UserId) -> Result<UserRules, StoreError> {
        Ok(self.kept().users.get(&user).cloned().unwrap_or_default())
    }

    async fn keep_user(&self, user: UserId, rules: &UserRules) -> Result<(), StoreError> {
        let users = &mut self.kept().users;
        if rules.is_empty() {
            users.remove(&user);
            return Ok(());
        }
        let held = users.get(&user).map(|rules| rules.blocked.len());
        self.of_users.admit(&user, held, rules.blocked.len(), users.len())?;
        users.insert(user, rules.clone());
        Ok(())
    }

    async fn forget_users(&self, users: &[UserId]) -> Result<(), StoreError> {
        let mut kept = self.kept();
        for user in users {
            kept.users.remove(user);
        }
        Ok(())
    }
}
