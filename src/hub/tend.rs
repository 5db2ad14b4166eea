//! What is forgotten now and then: guests who ended, rooms that nobody needs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use super::{Inner, turn};
use crate::message::{RoomKey, UserId};
use crate::store::{Page, Retention, StoreError};

impl Inner {
    /// Forgets guests who ended, and what was kept for them.
    pub(super) async fn forget_ended(&self) -> Result<(), StoreError> {
        // Whoever does it already sees to these too.
        let Ok(_turn) = self.tending.try_lock() else { return Ok(()) };
        self.tell_ended().await?;
        loop {
            let ended = self.accounts.ended(self.now()).await?;
            if ended.is_empty() {
                return Ok(());
            }
            for user in &ended {
                self.forget_direct(*user).await?;
                // What is being kept for them is kept before it is forgotten; later nothing is.
                drop(self.keeping(user).await);
            }
            self.rules.forget_users(&ended).await?;
            if self.accounts.forget(&ended, self.now()).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Forgets what was said to a user who is gone, and tells who said it.
    pub(super) async fn forget_direct(&self, user: UserId) -> Result<(), StoreError> {
        let forgotten = self.lock().forget(user);
        if let Some((directs, ended)) = forgotten {
            if let Some(ended) = ended {
                ended.cancelled().await;
            }
            let failed = directs.lock().unwrap_or_else(PoisonError::into_inner).fail();
            self.tell(&failed);
        }
        if self.history.head(&RoomKey::Direct(user)).await?.seq > 0 {
            self.history.forget_direct(user).await?;
        }
        Ok(())
    }
    /// Tells the store which connections ended while it took nothing.
    async fn tell_ended(&self) -> Result<(), StoreError> {
        loop {
            let next = self.untold().pop();
            let Some(mut ended) = next else { return Ok(()) };
            if let Err(error) = ended.tell(self).await {
                self.untold().push(ended);
                return Err(error);
            }
        }
    }

    /// Where rooms are getting scarce, forgets what was said in those that nobody is in and whose maker is gone, with all
    /// who spoke there last: first where least was said, and no more of them than there are too many. Whoever makes rooms
    /// to fill the server must not thereby clear what others said.
    pub(super) async fn forget_abandoned(&self) -> Result<(), StoreError> {
        let (mut excess, crowded) = self.lock().crowded(&self.limits);
        if crowded.is_empty() {
            return Ok(());
        }
        let said: HashMap<_, _> = self.history.rooms().await?.into_iter().collect();
        let mut crowded: Vec<_> =
            crowded.into_iter().filter_map(|(name, maker)| Some((*said.get(&name)?, name, maker?))).collect();
        crowded.sort_unstable();
        let nothing = Retention { count: Some(0), ..Retention::default() };
        for (_, name, maker) in crowded {
            if excess == 0 {
                break;
            }
            // Somebody may have come since.
            let key = RoomKey::Room(name.clone());
            if self.is_abandoned(&key, maker).await? && self.lock().is_idle(&name) {
                // What was said a moment ago stays for now.
                let gone = self.history.retain(Some(&key), &nothing, turn::now()).await?;
                excess -= usize::from(gone > 0);
            }
        }
        Ok(())
    }

    /// Whether a room's maker and all who spoke there last are gone.
    async fn is_abandoned(&self, room: &RoomKey, maker: UserId) -> Result<bool, StoreError> {
        if self.accounts.by_id(maker, self.now()).await?.is_some() {
            return Ok(false);
        }
        let last = self.history.page(room, &Page { limit: LAST_SPOKEN, ..Page::default() }).await?;
        let speakers: HashSet<_> = last.into_iter().map(|record| record.user).collect();
        for speaker in speakers {
            if self.accounts.by_id(speaker, self.now()).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lets rooms vanish that nobody is in and of which nothing is left.
    pub(super) async fn forget_empty(self: &Arc<Self>) -> Result<(), StoreError> {
        let idle = self.lock().idle();
        if !idle.is_empty() {
            let kept: HashSet<_> = self.history.rooms().await?.into_iter().map(|(name, _)| name).collect();
            self.lock().vanish_idle(idle.into_iter().filter(|name| !kept.contains(name)));
            self.settle();
        }
        Ok(())
    }
}

/// Messages of an empty room whose authors keep it.
const LAST_SPOKEN: usize = 20;
