//! What gateways of wires other than rooms ask of the hub, and what the hub says by itself.

use std::fmt;
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;
use tracing::warn;

use super::inbox::{Input, Said};
use super::outbox::Outbox;
use super::seat::Heard;
use super::{Hub, Inner};
use crate::message::{Refusal, UserId};
use crate::name::{Nickname, RoomName, is_reserved};
use crate::secret::Secret;
use crate::store::StoreError;

impl Hub {
    /// Makes a guest as [`Hub::sign_up`] does; whoever comes by a name that is taken is called `alice#2`, `alice#3` and so
    /// on. For wires that allow taken names.
    ///
    /// # Errors
    /// As for [`Hub::sign_up`]; [`Refusal::Taken`] is for names that nobody may have.
    ///
    /// # Cancel safety
    /// As for [`Hub::sign_up`].
    pub async fn sign_up_numbered(&self, name: &Nickname) -> Result<(Nickname, Secret), Refusal> {
        if is_reserved(name.as_str()) {
            return Err(Refusal::Taken(name.to_string()));
        }
        let mut called = name.clone();
        let mut next = 2;
        loop {
            match self.sign_up(&called).await {
                Err(Refusal::Taken(_)) if next <= MOST_NUMBERED => {}
                done => return done.map(|token| (called, token)),
            }
            // Low numbers in turn; where many share a name, any.
            let number = if next <= TRIED_IN_TURN { next } else { rand_number() };
            called = Nickname::numbered(name, number).map_err(|_| Refusal::BadNickname(name.to_string()))?;
            next += 1;
        }
    }

    /// Makes an account whose secret is a key of the hub's choice, a random UUID (RFC 9562) as text: whoever has it needs
    /// no nickname to sign in. The second secret is the token of a first session, as a guest's.
    ///
    /// # Errors
    /// As for [`Hub::sign_up`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, there may be such an account, which nobody can use.
    pub async fn register(&self, name: &Nickname) -> Result<(Secret, Secret), Refusal> {
        let key = Self::new_key()?;
        let token = self.register_as(name, &key).await?;
        Ok((key, token))
    }

    /// Signs in the account that has a key; `None` when none has it.
    ///
    /// # Errors
    /// [`Refusal::Full`] when the account has as many sessions as it may, [`Refusal::Unavailable`].
    ///
    /// # Cancel safety
    /// As for [`Hub::sign_up`].
    pub async fn sign_in_by_key(&self, key: &Secret) -> Result<Option<(Nickname, Secret)>, Refusal> {
        match self.inner.accounts.sign_in_by_key(&key.hash(), self.inner.now()).await {
            Ok(issued) => Ok(Some((issued.user.nickname, issued.token))),
            Err(StoreError::Unknown) => Ok(None),
            Err(StoreError::Full(_)) => Err(Refusal::Full),
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    /// Whether there is such a room.
    #[must_use]
    pub fn has_room(&self, room: &RoomName) -> bool {
        self.inner.lock().has_room(room)
    }

    /// Makes a room that nobody moderates but administrators, unless there is one of the name; it stays although nobody is
    /// in it, until the hub ends.
    pub fn ensure_room(&self, room: &RoomName) {
        self.inner.lock().pin(room);
    }

    /// How many users are in a room.
    pub async fn users_in(&self, room: &RoomName) -> usize {
        let Some(inbox) = self.inner.lock().room_inbox(room) else { return 0 };
        let (reply, count) = oneshot::channel();
        inbox.put(Input::Count(reply));
        count.await.unwrap_or_default()
    }

    /// Says something in a room in the server's own name, `talk`, which nobody else can have. It is kept and has its
    /// place in the order like every other message.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] when nobody is there to hear it.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it was said or not.
    pub async fn post_as_server(&self, room: &RoomName, body: Arc<str>) -> Result<(), Refusal> {
        let nobody = || Refusal::NoRoom(room.to_string());
        let inbox = self.inner.lock().room_inbox(room).ok_or_else(nobody)?;
        // Nobody hears what became of it.
        let (sink, _) = Heard::channel(1);
        let reply = Arc::new(Outbox::new(sink, &self.inner.limits));
        let (user, name) = (UserId::from_bytes([0; 16]), Some(Nickname::server()));
        let said = Said { user, session: None, name, to: None, away: None, body, id: None, reply, echo: false };
        inbox.post(Input::Post(said)).await.map_err(|_| nobody())
    }

    /// The same without keeping it.
    #[must_use]
    pub fn downgrade(&self) -> WeakHub {
        WeakHub { inner: Arc::downgrade(&self.inner) }
    }
}

/// A [`Hub`] that is not kept: for what belongs to the hub and must not be the reason that it stays.
#[derive(Clone)]
pub struct WeakHub {
    inner: Weak<Inner>,
}

impl WeakHub {
    /// The hub, while somebody has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Hub> {
        self.inner.upgrade().map(|inner| Hub { inner })
    }
}

impl fmt::Debug for WeakHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakHub").finish_non_exhaustive()
    }
}

/// Why a store does not let somebody have a name, as the hub tells it.
pub(super) fn refusal(error: StoreError, name: &Nickname) -> Refusal {
    match error {
        StoreError::Taken => Refusal::Taken(name.to_string()),
        StoreError::Full(_) => Refusal::Full,
        error => {
            warn!(%error, "a store does not do what it was asked");
            Refusal::Unavailable
        }
    }
}

/// A number for a name that very many share.
fn rand_number() -> u32 {
    let random = uuid::Uuid::new_v4().as_u128();
    // The remainder is far below what a u32 holds.
    100 + (random % 99_900) as u32
}

/// Numbers that are tried one after the other.
const TRIED_IN_TURN: u32 = 9;
/// Numbers that are tried at all.
const MOST_NUMBERED: u32 = 24;
