//! The bounded queue between a listening transport and the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address::Address;
use crate::message::Message;

/// What a listening transport hears. Listening stops when this is dropped.
#[derive(Debug)]
pub struct Incoming {
    messages: mpsc::Receiver<Message>,
    local: Address,
    lost: Arc<AtomicU64>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Incoming {
    /// A queue for `capacity` messages: the transport keeps the [`Inbox`], the caller of `listen` gets this.
    ///
    /// # Panics
    /// When `capacity` is 0.
    #[must_use]
    pub fn channel(local: Address, capacity: usize) -> (Inbox, Self) {
        let (sender, messages) = mpsc::channel(capacity);
        let stopped = CancellationToken::new();
        let lost = Arc::new(AtomicU64::new(0));
        let inbox = Inbox { sender, stopped: stopped.clone(), lost: lost.clone() };
        let stop = stopped.clone();
        (inbox, Self { messages, local, lost, stop, _stop_on_drop: stopped.drop_guard() })
    }

    /// The next message; `None` when the transport ended.
    ///
    /// # Cancel safety
    /// Cancel safe: a message is only taken by a call that returns it.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// A message that is already there.
    pub fn try_next(&mut self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    /// Takes up to `most` messages at once, waiting for the first; 0 when the transport ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next_many(&mut self, into: &mut Vec<Message>, most: usize) -> usize {
        self.messages.recv_many(into, most).await
    }

    /// Stops the listening, but keeps what was taken: [`Incoming::next`] still gives that, and then `None`.
    pub fn stop(&mut self) {
        self.messages.close();
        self.stop.cancel();
    }

    /// Where the transport listens, with the port that the system chose.
    #[must_use]
    pub fn local_address(&self) -> &Address {
        &self.local
    }

    /// How many messages were not taken: no messages at all, or no room in the inbox, on wires that cannot say so.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The transport's end of the queue. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Inbox {
    sender: mpsc::Sender<Message>,
    stopped: CancellationToken,
    lost: Arc<AtomicU64>,
}

/// The inbox has no room, or nobody takes from it any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the inbox is full")]
pub struct InboxFull;

/// Room for one message, kept until it is used or dropped: what makes it safe to acknowledge before delivering.
#[derive(Debug)]
pub struct Slot(mpsc::OwnedPermit<Message>);

impl Slot {
    /// Puts the message into the inbox.
    pub fn put(self, message: Message) {
        self.0.send(message);
    }
}

impl Inbox {
    /// Puts a message in if there is room.
    ///
    /// # Errors
    /// [`InboxFull`].
    pub fn offer(&self, message: Message) -> Result<(), InboxFull> {
        self.sender.try_send(message).map_err(|_| InboxFull)
    }

    #[cfg(feature = "net")]
    /// Puts a message in if there is room, and gives it back otherwise.
    pub(super) fn try_put(&self, message: Message) -> Result<(), Message> {
        self.sender.try_send(message).map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Takes room for one message if there is any.
    ///
    /// # Errors
    /// [`InboxFull`].
    pub fn slot(&self) -> Result<Slot, InboxFull> {
        self.sender.clone().try_reserve_owned().map(Slot).map_err(|_| InboxFull)
    }

    /// Waits for room for one message.
    ///
    /// # Errors
    /// [`InboxFull`] when the receiving end is gone.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&self) -> Result<Slot, InboxFull> {
        self.sender.clone().reserve_owned().await.map(Slot).map_err(|_| InboxFull)
    }

    /// Waits for room and puts the message in.
    ///
    /// # Errors
    /// [`InboxFull`] when the receiving end is gone.
    ///
    /// # Cancel safety
    /// The message is lost with the future.
    pub async fn put(&self, message: Message) -> Result<(), InboxFull> {
        self.sender.send(message).await.map_err(|_| InboxFull)
    }

    /// Messages that fit in before it is full.
    #[must_use]
    pub fn room(&self) -> usize {
        self.sender.capacity()
    }

    /// Messages that it holds when full.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.sender.max_capacity()
    }

    /// Counts something that was dropped.
    pub fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Fires when the [`Incoming`] was stopped or dropped: the transport must stop listening. Slots that it still has
    /// count; a message that was acknowledged is put into its own before the end.
    #[must_use]
    pub fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }
}
