//! Peers as users of a hub: one user each, in however many rooms they are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::OnceCell;

use super::alone::Line;
use crate::address::Entry;
use crate::hub::{Hub, Lifetime, OpenError, Outbox, Seat};
use crate::message::Refusal;
use crate::name::{Nickname, UserName};
use crate::secret::Secret;

/// Those who are here.
#[derive(Debug, Default)]
pub(super) struct Guests {
    here: Mutex<HashMap<UserName, Weak<Guest>>>,
}

/// A peer at one place. The user is there as long as a session is.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) entry: Entry,
    pub(super) source: IpAddr,
    signed_up: OnceCell<(Nickname, Secret)>,
    /// Which of its sessions carries what is said to it alone.
    pub(super) line: Arc<Line>,
}

impl Guests {
    /// Opens a session for a peer; the name is the peer's, or a numbered one when somebody has that.
    ///
    /// # Errors
    /// As for [`Hub::sign_up_numbered`] and [`Hub::open`].
    pub(super) async fn open(
        &self,
        hub: &Hub,
        name: &UserName,
        (entry, source): (&Entry, IpAddr),
        outbox: &Arc<Outbox>,
    ) -> Result<(Seat, Arc<Guest>), Refusal> {
        let mut guest = self.guest(name, entry, source);
        for last in [false, true] {
            let (_, token) = guest.sign_up(hub, name).await?;
            let opened = hub.open(token, outbox.clone(), Lifetime::Session, Some(source)).await;
            match opened {
                Ok(seat) => return Ok((seat, guest)),
                // The last session ended while this one began.
                Err(OpenError::BadToken) if !last => guest = self.renew(name, &guest),
                Err(OpenError::TooManySessions) => return Err(Refusal::Full),
                Err(_) => return Err(Refusal::Unavailable),
            }
        }
        Err(Refusal::Unavailable)
    }

    fn guest(&self, name: &UserName, entry: &Entry, source: IpAddr) -> Arc<Guest> {
        let mut here = self.lock();
        let known = here.get(name).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|guest| guest.entry == *entry && guest.source == source) {
            return known;
        }
        // Each that is here has a session, and those are bounded.
        here.retain(|_, guest| guest.strong_count() > 0);
        let guest =
            Arc::new(Guest { entry: entry.clone(), source, signed_up: OnceCell::new(), line: Arc::new(Line::new()) });
        here.insert(name.clone(), Arc::downgrade(&guest));
        guest
    }

    /// One in place of a guest who has ended, or the one that somebody else put there.
    fn renew(&self, name: &UserName, ended: &Arc<Guest>) -> Arc<Guest> {
        {
            let mut here = self.lock();
            if here.get(name).is_some_and(|guest| std::ptr::eq(guest.as_ptr(), Arc::as_ptr(ended))) {
                here.remove(name);
            }
        }
        self.guest(name, &ended.entry, ended.source)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserName, Weak<Guest>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    async fn sign_up(&self, hub: &Hub, name: &UserName) -> Result<&(Nickname, Secret), Refusal> {
        let sign_up = async {
            let bad = |_| Refusal::BadNickname(name.to_string());
            hub.sign_up_numbered(&Nickname::new(name.as_str()).map_err(bad)?).await
        };
        self.signed_up.get_or_try_init(|| sign_up).await
    }

    /// What the peer is called in rooms.
    pub(super) fn nickname(&self) -> Option<&Nickname> {
        self.signed_up.get().map(|(nickname, _)| nickname)
    }
}
