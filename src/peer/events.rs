//! What a peer tells its program.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Users;
use crate::message::Message;
use crate::name::UserName;

/// Something that happened to a peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message came.
    Message(Message),
    /// The registry's list of users changed since it was last asked.
    Users(Arc<Users>),
    /// A message of ours was not delivered; its `send` told the same.
    DeliveryFailed {
        /// To whom.
        to: UserName,
        /// What was to be said.
        message: Message,
        /// Why it failed, for people.
        reason: String,
    },
    /// The registry does not answer; the peer keeps trying. Known users can still be written to.
    RegistryLost {
        /// What the network said.
        reason: String,
    },
    /// The registry answers again, and this peer stands in it.
    RegistryFound,
    /// Somebody else holds this peer's name in the registry; the peer no longer tries to.
    NameLost,
}

/// The bounded stream of a peer's events.
///
/// Messages wait for room, so that a program that does not read slows its senders down; of the other events, one for
/// which there is no room is told later (users, registry) or only by the `send` itself (failures). Dropping the stream
/// stops the listening.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Event>,
    stop: CancellationToken,
    /// The tasks that may still have messages after the stop.
    pumps: TaskTracker,
}

impl Events {
    pub(super) fn new(receiver: mpsc::Receiver<Event>, stop: CancellationToken, pumps: TaskTracker) -> Self {
        Self { receiver, stop, pumps }
    }

    /// The next event; `None` after the peer was shut down and everything before that was told.
    ///
    /// # Cancel safety
    /// Cancel safe: an event is only taken by a call that returns it.
    pub async fn next(&mut self) -> Option<Event> {
        let ended = async {
            self.stop.cancelled().await;
            self.pumps.wait().await;
        };
        tokio::select! {
            biased;
            event = self.receiver.recv() => event,
            () = ended => self.receiver.try_recv().ok(),
        }
    }
}
