//! Somebody who hears a room and is nobody.

use std::fmt;
use std::sync::Arc;

use super::inbox::SessionId;
use super::outbox::{End, Outbox};
use super::{Cut, Hub, Inner};
use crate::message::Refusal;
use crate::name::RoomName;

impl Hub {
    /// Lets whoever is behind `outbox` hear a room from now on, without being in it: nobody hears of it, no list shows
    /// it, and nothing can be said. For wires on which whoever listens has no name.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`]; [`Refusal::Over`] when the hub stops.
    pub fn listen(&self, room: &RoomName, outbox: Arc<Outbox>) -> Result<Listener, Refusal> {
        let (session, start) = self.inner.lock().listen(room, &outbox)?;
        if let Some(start) = start {
            self.inner.start(start);
        }
        Ok(Listener { hub: self.inner.clone(), session, outbox })
    }
}

/// A place from which a room is heard. Dropping it ends that within the next turn.
pub struct Listener {
    hub: Arc<Inner>,
    session: SessionId,
    outbox: Arc<Outbox>,
}

impl Listener {
    /// The way out, which its gateway flushes.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.outbox.end() == Some(End::Cut) {
            self.hub.counters.cut(Cut::TooSlow);
        }
        self.hub.lock().unlisten(self.session);
        self.hub.settle();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("session", &self.session).finish_non_exhaustive()
    }
}
