//! How fast an embedded session takes what it hears.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::mpsc::WeakSender;

use crate::message::Event;

/// By which those who have much to say see how much was taken.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    events: WeakSender<Event>,
    /// Told whenever one was.
    taken: Arc<Notify>,
}

impl Pace {
    pub(super) fn new(events: WeakSender<Event>, taken: Arc<Notify>) -> Self {
        Self { events, taken }
    }

    /// Waits until so many events leave half of the room to others, or nobody listens. Nothing is reserved: what is said
    /// meanwhile must find the room that there is.
    pub(super) async fn room_for(&self, events: usize) {
        loop {
            {
                let Some(sender) = self.events.upgrade() else { return };
                let most = sender.max_capacity();
                if sender.is_closed() || sender.capacity() >= (most / 2).saturating_add(events).min(most) {
                    return;
                }
            }
            self.taken.notified().await;
        }
    }
}
