//! Between a room and the history: what was said is kept once, whatever happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::repeats::Repeats;
use crate::limits::Limits;
use crate::message::{MessageId, Position, Record, RoomKey, Timestamp, UserId};
use crate::store::{HistoryStore, Page, StoreError};

/// Ids that are in use and not in the history.
#[derive(Debug)]
pub(super) struct Flying {
    /// On their way there, in any room.
    rooms: Mutex<HashMap<(UserId, MessageId), RoomKey>>,
    /// Of messages that left the hub.
    pub(super) left: Arc<Repeats>,
}

impl Flying {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { rooms: Mutex::default(), left: Arc::new(Repeats::new(limits)) }
    }

    /// Whether an id is on its way into the history.
    pub(super) fn holds(&self, user: UserId, id: &MessageId) -> bool {
        self.lock().contains_key(&(user, id.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(UserId, MessageId), RoomKey>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One room's way into the history.
#[derive(Debug)]
pub(super) struct Keeper {
    room: RoomKey,
    history: Arc<dyn HistoryStore>,
    flying: Arc<Flying>,
}

/// What is known of an id.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing: whoever asked has it now, until it is appended.
    New,
    /// The same was said there.
    Again(Position),
    /// It is or was used for something else.
    Other,
    /// It is on its way, in this room.
    Flying,
    /// The history does not answer.
    Failed,
}

impl Keeper {
    pub(super) fn new(room: RoomKey, history: Arc<dyn HistoryStore>, flying: Arc<Flying>) -> Self {
        Self { room, history, flying }
    }

    pub(super) fn room(&self) -> &RoomKey {
        &self.room
    }

    /// What is known of an id, whose message is appended next if it is new.
    pub(super) async fn know(&self, user: UserId, id: &MessageId, body: &str, now: Timestamp) -> Known {
        let key = (user, id.clone());
        match self.flying().get(&key) {
            Some(room) if *room == self.room => return Known::Flying,
            Some(_) => return Known::Other,
            None => {}
        }
        self.flying().insert(key.clone(), self.room.clone());
        if self.flying.left.knows(user, id) {
            self.flying().remove(&key);
            return Known::Other;
        }
        let known = match self.history.find(user, id, now).await {
            Ok(None) => return Known::New,
            Ok(Some(known)) if known.is(&self.room, body) => match self.history.head(&self.room).await {
                Ok(head) => Known::Again(Position { epoch: head.epoch, seq: known.seq }),
                Err(_) => Known::Failed,
            },
            Ok(Some(_)) => Known::Other,
            Err(_) => Known::Failed,
        };
        self.flying().remove(&key);
        known
    }

    /// Lets an id go whose message is not appended.
    pub(super) fn release(&self, user: UserId, id: &MessageId) {
        self.flying().remove(&(user, id.clone()));
    }

    /// Appends; on an error tells where the room ends instead, if that can be told.
    pub(super) async fn append(&self, records: &[Record]) -> Result<(), (StoreError, Option<Position>)> {
        let done = self.history.append(records).await;
        if records.iter().any(|record| record.id.is_some()) {
            let mut flying = self.flying();
            for record in records {
                if let Some(id) = &record.id {
                    flying.remove(&(record.user, id.clone()));
                }
            }
        }
        match done {
            Ok(()) => Ok(()),
            Err(why) => Err((why, self.head().await.ok())),
        }
    }

    /// Where the room ends.
    pub(super) async fn head(&self) -> Result<Position, StoreError> {
        self.history.head(&self.room).await
    }

    /// What comes next behind a message.
    pub(super) async fn behind(&self, seq: u64) -> Result<Vec<Record>, StoreError> {
        self.history.page(&self.room, &Page { after: Some(seq), before: None, limit: COUNTED_AT_ONCE }).await
    }

    fn flying(&self) -> MutexGuard<'_, HashMap<(UserId, MessageId), RoomKey>> {
        self.flying.lock()
    }
}

/// Records that are read at once to be counted.
const COUNTED_AT_ONCE: usize = 64;
