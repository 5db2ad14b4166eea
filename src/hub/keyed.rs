//! Accounts that are known by a key, and those that are to be there already.

use std::net::IpAddr;

use uuid::Uuid;

use super::inbox::Input;
use super::{Hub, refusal};
use crate::message::{Event, Refusal, UserId};
use crate::name::{Nickname, RoomName, is_reserved};
use crate::secret::{Password, Secret};
use crate::store::StoreError;

impl Hub {
    /// Makes a key for an account that may be made later, by [`Hub::register_as`]: a random UUID (RFC 9562) as text.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub fn new_key() -> Result<Secret, Refusal> {
        Secret::new(&Uuid::new_v4().hyphenated().to_string()).map_err(|_| Refusal::Unavailable)
    }

    /// Makes an account whose secret is `key`. The secret that comes back is the token of a first session.
    ///
    /// # Errors
    /// As for [`Hub::register`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, there may be such an account.
    pub async fn register_as(&self, name: &Nickname, key: &Secret) -> Result<Secret, Refusal> {
        if self.is_kept_back(name) {
            return Err(Refusal::Taken(name.to_string()));
        }
        let made = self.inner.accounts.create_keyed(name, &key.hash(), self.inner.now()).await;
        made.map(|issued| issued.token).map_err(|error| refusal(error, name))
    }

    /// Signs an account in as [`Hub::sign_in`] does, but makes none; `None` when there is no such account, or the
    /// password is not its.
    ///
    /// # Errors
    /// [`Refusal::Full`] when the account has as many sessions as it may, [`Refusal::Unavailable`].
    ///
    /// # Cancel safety
    /// As for [`Hub::sign_up`].
    pub async fn sign_in_known(&self, name: &Nickname, password: &Password) -> Result<Option<Secret>, Refusal> {
        match self.inner.accounts.sign_in(name, password, self.inner.now()).await {
            Ok(issued) => Ok(Some(issued.token)),
            Err(StoreError::Unknown | StoreError::Forbidden) => Ok(None),
            Err(error) => Err(refusal(error, name)),
        }
    }

    /// Whether nobody could get a name just now.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn is_taken(&self, name: &Nickname) -> Result<bool, Refusal> {
        if self.is_kept_back(name) {
            return Ok(true);
        }
        let found = self.inner.accounts.by_nickname(name, self.inner.now()).await;
        Ok(found.map_err(|error| refusal(error, name))?.is_some())
    }

    /// Whether it is a name that no key is made for.
    fn is_kept_back(&self, name: &Nickname) -> bool {
        // An administrator's right is worth more than a key that somebody was handed unasked.
        is_reserved(name.as_str()) || self.inner.leads_elsewhere(name) || self.inner.admins.contains(name)
    }

    /// Lets a room know of an account that will be made when its owner, who comes from `from`, first speaks. For one that
    /// there is, [`Seat::announce`](super::Seat::announce) does.
    ///
    /// # Errors
    /// [`Refusal::Banned`], [`Refusal::RoomClosed`], [`Refusal::Muted`]: who may not be there, or not be heard, is not
    /// heard of either.
    pub fn announce(&self, room: &RoomName, user: Nickname, from: Option<IpAddr>) -> Result<(), Refusal> {
        let directory = self.inner.lock();
        if let Some(rules) = directory.room_rules(room) {
            // It is nobody yet, and known by its address alone.
            let (nobody, now) = (UserId::from_bytes([0; 16]), self.inner.now());
            if rules.banned(nobody, from, now) {
                return Err(Refusal::Banned(room.to_string()));
            }
            if rules.closed {
                return Err(Refusal::RoomClosed(room.to_string()));
            }
            if rules.muted(nobody, from, now) {
                return Err(Refusal::Muted(room.to_string()));
            }
        }
        if let Some(inbox) = directory.room_inbox(room) {
            inbox.put(Input::Notice(Event::Registered { room: room.clone(), user }));
        }
        Ok(())
    }
}
