//! What waits for a room's turn.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use super::outbox::Outbox;
use crate::message::{Epoch, Event, MessageId, UserId};
use crate::name::Nickname;

/// One session's number, never used twice in a hub's life.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct SessionId(pub(super) u64);

/// One thing that happens to a room.
#[derive(Debug)]
pub(super) enum Input {
    Join(Box<Join>),
    /// A member comes back to a position.
    Resume {
        session: SessionId,
        resume: Resume,
        done: oneshot::Sender<Joined>,
    },
    Leave {
        session: SessionId,
        done: Option<oneshot::Sender<()>>,
    },
    /// Somebody is put out, and told why.
    Expel {
        user: UserId,
        why: Arc<str>,
        done: oneshot::Sender<()>,
    },
    Rename {
        user: UserId,
        new: Nickname,
        done: oneshot::Sender<()>,
    },
    /// Whom a user does not want to hear.
    Blocked {
        user: UserId,
        blocked: Arc<[UserId]>,
    },
    Post(Said),
    Typing {
        session: SessionId,
        user: UserId,
    },
    Received {
        session: SessionId,
        seq: u64,
    },
    /// Nobody knows whether the user took a direct message, or will.
    Doubt {
        seq: u64,
        reason: &'static str,
    },
    Who(Arc<Outbox>),
    /// Somebody wants to know how many users are in it.
    Count(oneshot::Sender<usize>),
    /// Somebody hears it who is no member.
    Listen {
        session: SessionId,
        outbox: Arc<Outbox>,
    },
    /// A member's new account speaks for the first time.
    Announce {
        user: UserId,
    },
    /// Something that everybody hears in its order, a little later perhaps, and that is not kept.
    Notice(Event),
    /// Something was cut from the history.
    Cut,
}

/// A session that enters.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    pub(super) name: Nickname,
    pub(super) outbox: Arc<Outbox>,
    /// Whom it does not want to hear.
    pub(super) blocked: Arc<[UserId]>,
    pub(super) resume: Option<Resume>,
    pub(super) done: oneshot::Sender<Joined>,
}

/// From where a session wants to hear a room.
#[derive(Clone, Debug)]
pub(super) struct Resume {
    /// The life of the history that its position belongs to; `None` for whoever never knew one, and is not told how it
    /// went.
    pub(super) epoch: Option<Epoch>,
    /// The position that it came with.
    pub(super) from: u64,
    /// How far it was brought since.
    pub(super) seq: u64,
    /// Whether nothing was missing on the way.
    pub(super) whole: bool,
    /// Whether the session has taken what was said to it before, so that more may be said at once.
    pub(super) paced: bool,
    /// Whether the history did not answer: the session is told what it misses.
    pub(super) lost: bool,
}

impl Resume {
    /// From the position that somebody comes with.
    pub(super) fn new(epoch: Option<Epoch>, seq: u64) -> Self {
        Self { epoch, from: seq, seq, whole: true, paced: false, lost: false }
    }
}

/// How a session that entered stands.
#[derive(Debug)]
pub(super) enum Joined {
    /// It hears what is said from now on.
    Live,
    /// It hears nothing until it was brought nearer, and resumes from there.
    Behind(Resume),
}

/// Something that somebody says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) user: UserId,
    /// Which member says it; `None` for a direct message.
    pub(super) session: Option<SessionId>,
    /// What somebody who is no member is called.
    pub(super) name: Option<Nickname>,
    /// Whom a direct message is for.
    pub(super) to: Option<Arc<str>>,
    /// How many direct messages may wait for somebody who is away.
    pub(super) away: Option<Away>,
    pub(super) body: Arc<str>,
    pub(super) id: Option<MessageId>,
    /// Who hears what became of it.
    pub(super) reply: Arc<Outbox>,
    /// Whether the speaker hears it too although no member.
    pub(super) echo: bool,
}

/// What may wait for somebody who is away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    /// Everything up to there was delivered.
    pub(super) delivered: u64,
    /// Messages that may wait behind it.
    pub(super) most: u64,
    /// Those of one author.
    pub(super) each: u64,
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
    spoken: AtomicBool,
    /// Whether somebody may not speak here, so that whoever speaks has to look.
    pub(super) guarded: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    inputs: Vec<Input>,
    /// When the first of them came in.
    since: Option<Instant>,
    taken_space: usize,
    closed: bool,
}

#[expect(clippy::result_large_err, reason = "what could not be put in comes back whole, and seldom")]
impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            wake: Notify::new(),
            space: Semaphore::new(ROOM_QUEUE),
            spoken: AtomicBool::new(false),
            guarded: AtomicBool::new(false),
        }
    }

    /// Puts something in that a session says, once there is room; a turn may come between. When the room is gone, the
    /// input comes back.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was put in.
    pub(super) async fn post(&self, input: Input) -> Result<(), Input> {
        let weight = weight(&input);
        // The weight is far below what a u32 holds.
        let Ok(permit) = self.space.acquire_many(weight as u32).await else { return Err(input) };
        permit.forget();
        self.admit(input, weight)
    }

    /// Puts something in that a session says, if there is room now; else it comes back, as it does when the room is gone.
    pub(super) fn try_post(&self, input: Input) -> Result<(), Input> {
        let weight = weight(&input);
        let Ok(permit) = self.space.try_acquire_many(weight as u32) else { return Err(input) };
        permit.forget();
        self.admit(input, weight)
    }

    fn admit(&self, input: Input, weight: usize) -> Result<(), Input> {
        let mut queue = self.lock();
        queue.taken_space += weight;
        if let Input::Post(_) = input {
            self.spoken.store(true, Ordering::Relaxed);
        }
        Self::push(&self.wake, queue, input)
    }

    /// Puts something in at once, unless the room is gone.
    pub(super) fn put(&self, input: Input) {
        let _ = Self::push(&self.wake, self.lock(), input);
    }

    fn push(wake: &Notify, mut queue: MutexGuard<'_, Queue>, input: Input) -> Result<(), Input> {
        if queue.closed {
            return Err(input);
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
        Ok(())
    }

    /// Whether anything was ever said here: then there may be something to keep.
    pub(super) fn spoken(&self) -> bool {
        self.spoken.load(Ordering::Relaxed)
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

    pub(super) fn is_empty(&self) -> bool {
        self.lock().inputs.is_empty()
    }

    /// Takes what came meanwhile, behind what was taken before; tells whether anything did.
    pub(super) fn take_more(&self, into: &mut Vec<Input>) -> bool {
        let mut queue = self.lock();
        if queue.since.take().is_none() {
            return false;
        }
        into.append(&mut queue.inputs);
        self.space.add_permits(mem::take(&mut queue.taken_space));
        true
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
