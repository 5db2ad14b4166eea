//! What waits for the program to take it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::Event;

/// What a client hears. Dropping it ends the client.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Waiting>,
    /// How many were taken, for protocols in which that is confirmed.
    taken: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Events {
    pub(super) fn new(taking: Taking, task: AbortOnDropHandle<()>) -> Self {
        let Taking { events, taken } = taking;
        Self { events, taken, _task: task }
    }

    /// The next event; `None` after [`Event::Ended`]. A client that nobody listens to reads no more from its server.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Event> {
        let Waiting { event, .. } = self.events.recv().await?;
        self.taken.fetch_add(1, Ordering::Release);
        Some(event)
    }
}

/// The end at which events are told.
#[derive(Debug)]
pub(super) struct Telling {
    events: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
    most_bytes: u32,
    taken: Arc<AtomicU64>,
}

/// The end at which they are taken.
#[derive(Debug)]
pub(super) struct Taking {
    events: mpsc::Receiver<Waiting>,
    taken: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Waiting {
    event: Event,
    _bytes: Option<OwnedSemaphorePermit>,
}

/// A queue of so many events, which have so many bytes together; one that has more alone waits alone.
pub(super) fn queue(most: usize, most_bytes: u32) -> (Telling, Taking) {
    let (to, events) = mpsc::channel(most);
    let taken = Arc::new(AtomicU64::new(0));
    let telling =
        Telling { events: to, bytes: Arc::new(Semaphore::new(most_bytes as usize)), most_bytes, taken: taken.clone() };
    (telling, Taking { events, taken })
}

impl Telling {
    /// How many were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// Hands the oldest event over.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn give(&self, events: &mut VecDeque<Event>) {
        let Some(size) = events.front().map(Event::size) else { return };
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(self.most_bytes);
        let bytes = self.bytes.clone().acquire_many_owned(size).await;
        match self.events.reserve().await {
            Ok(permit) => {
                if let Some(event) = events.pop_front() {
                    permit.send(Waiting { event, _bytes: bytes.ok() });
                }
            }
            // Nobody listens, which ends the client's task too.
            Err(_) => events.clear(),
        }
    }
}
