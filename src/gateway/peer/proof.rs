//! Who acknowledged something over UDP. Whoever spoke to the registry from an address may have named any port there: what
//! was never acknowledged is not sent again and again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::address::{Entry, Protocol};
use crate::message::{Message, MessageId};
use crate::name::UserName;
use crate::net::lately::Lately;
use crate::transport::{Sent, Transport, TransportError};

/// Where peers acknowledged what was sent to them, and where they did not.
#[derive(Debug)]
pub(super) struct Proofs {
    /// The entry that each was sent to last, at the address that it spoke from, and whether it acknowledged.
    known: Mutex<Lately<(Entry, bool)>>,
}

impl Proofs {
    /// Notes that a peer acknowledged something there.
    pub(super) fn note(&self, name: &UserName, at: &Entry) {
        if needs_proof(at) {
            self.lock().note(name, (at.clone(), true));
        }
    }

    /// Sends a message to a peer. Over UDP, before it acknowledged anything there, that is a datagram or a few, and one
    /// once these were in vain, each with the wait of a [greeting](Transport::greet).
    ///
    /// # Errors
    /// As for [`Transport::send`].
    ///
    /// # Cancel safety
    /// As for [`Transport::send`].
    pub(super) async fn send(
        &self,
        transport: &dyn Transport,
        name: &UserName,
        to: &Entry,
        message: Message,
    ) -> Result<Sent, TransportError> {
        if !needs_proof(to) {
            return transport.send(to, &message).await;
        }
        let Some(tries) = self.tries(name, to) else {
            let sent = transport.send(to, &message).await;
            // Somebody else may be at that port by now.
            if let Err(TransportError::TimedOut { .. } | TransportError::Unreachable { .. }) = &sent {
                self.lock().note(name, (to.clone(), false));
            }
            return sent;
        };
        // The same each time, so that it is shown once.
        let id = message.id.clone().unwrap_or_else(MessageId::random);
        let message = message.with_id(id);
        let mut sent = transport.greet(to, &message).await;
        for _ in 1..tries {
            if let Err(TransportError::TimedOut { .. }) = sent {
                sent = transport.greet(to, &message).await;
            }
        }
        if let Ok(Sent::Delivered) = sent {
            self.note(name, to);
        }
        sent
    }

    /// How often something may be sent there that is not acknowledged; `None` where something was.
    fn tries(&self, name: &UserName, to: &Entry) -> Option<u32> {
        let mut known = self.lock();
        match known.get(name).filter(|(then, _)| then == to) {
            Some((_, true)) => None,
            Some((_, false)) => Some(1),
            None => {
                known.note(name, (to.clone(), false));
                Some(FIRST_TRIES)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lately<(Entry, bool)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Proofs {
    fn default() -> Self {
        Self { known: Mutex::new(Lately::new(MOST_KNOWN)) }
    }
}

/// Whether nothing but an acknowledgement tells that somebody is there, and what is not acknowledged is sent again.
fn needs_proof(to: &Entry) -> bool {
    *to.address.protocol() == Protocol::UDP && to.acknowledges()
}

/// Datagrams of the first message to a peer that acknowledges none.
const FIRST_TRIES: u32 = 3;
/// Peers of whom that is known. Of the one that was sent to longest ago it is forgotten.
const MOST_KNOWN: usize = 4096;
