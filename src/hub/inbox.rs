//! What waits for a room's turn.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use super::outbox::Outbox;
use crate::message::{MessageId, UserId};
use crate::name::Nickname;

/// One session's number, never used twice in a hub's life.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct SessionId(pub(super) u64);

/// One thing that happens to a room.
#[derive(Debug)]
pub(super) enum Input {
    Join { session: SessionId, user: UserId, name: Nickname, outbox: Arc<Outbox>, done: oneshot::Sender<()> },
    Leave { session: SessionId, done: Option<oneshot::Sender<()>> },
    Rename { user: UserId, new: Nickname, done: oneshot::Sender<()> },
    Post(Said),
    Typing { session: SessionId, user: UserId },
    Who(Arc<Outbox>),
}

/// Something that somebody says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) user: UserId,
    /// What somebody who is no member is called.
    pub(super) name: Option<Nickname>,
    pub(super) body: Arc<str>,
    pub(super) id: Option<MessageId>,
    /// Who hears what became of it.
    pub(super) reply: Arc<Outbox>,
    /// Whether the speaker hears it too although no member.
    pub(super) echo: bool,
}

/// The bounded way into a room.
///
/// What is said waits outside when [`ROOM_QUEUE`] bytes are inside. Coming, going and renaming never wait: each session
/// has at most one of them under way per room, so they are bounded by the sessions there are.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    wake: Notify,
    space: Semaphore,
}

#[derive(Debug, Default)]
struct Queue {
    inputs: Vec<Input>,
    /// When the first of them came in.
    since: Option<Instant>,
    taken_space: usize,
    closed: bool,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { queue: Mutex::default(), wake: Notify::new(), space: Semaphore::new(ROOM_QUEUE) }
    }

    /// Puts something in that a session says, once there is room; a turn may come between. Nothing happens when the
    /// room is gone.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was put in.
    pub(super) async fn post(&self, input: Input) {
        let weight = weight(&input);
        // The weight is far below what a u32 holds.
        let Ok(permit) = self.space.acquire_many(weight as u32).await else { return };
        permit.forget();
        let mut queue = self.lock();
        queue.taken_space += weight;
        Self::push(&self.wake, queue, input);
    }

    /// Puts something in at once.
    pub(super) fn put(&self, input: Input) {
        Self::push(&self.wake, self.lock(), input);
    }

    fn push(wake: &Notify, mut queue: MutexGuard<'_, Queue>, input: Input) {
        if queue.closed {
            return;
        }
        queue.inputs.push(input);
        let first = queue.inputs.len() == 1;
        if first {
            queue.since = Some(Instant::now());
        }
        drop(queue);
        if first {
            wake.notify_one();
        }
    }

    /// Lets the task end once it has taken all that is in.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.space.close();
        self.wake.notify_one();
    }

    /// Takes all that waits into `into`, which is empty, and tells when the first of it came in; `None` when nothing
    /// will ever come again.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was taken.
    pub(super) async fn take(&self, into: &mut Vec<Input>) -> Option<Instant> {
        loop {
            {
                let mut queue = self.lock();
                if let Some(since) = queue.since.take() {
                    mem::swap(&mut queue.inputs, into);
                    self.space.add_permits(mem::take(&mut queue.taken_space));
                    return Some(since);
                }
                if queue.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(input: &Input) -> usize {
    let text = if let Input::Post(said) = input { said.body.len() } else { 0 };
    (size_of::<Input>() + text).min(ROOM_QUEUE)
}

/// Bytes that wait for a room's turn; whoever says more waits in its own task, and its socket is not read.
const ROOM_QUEUE: usize = 1 << 20;
