//! What is said, on its way to a syslog receiver.
//!
//! [`Syslog`] watches a hub ([`Builder::watch`](crate::hub::Builder::watch)): every text of every wire, said in a room or to somebody alone, becomes one record,
//! `[bob] hi` with facility user and severity info. A room never waits for it: what the receiver does not take waits in
//! a bounded queue, and is dropped and counted when that is full.
//!
//! ```
//! use std::sync::Arc;
//! use talk::gateway::syslog::Syslog;
//! use talk::hub::Hub;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let syslog = Arc::new(Syslog::builder("udp:127.0.0.1:5140".parse()?).host("chat.example").start());
//! let hub = Hub::builder().watch(syslog.clone()).build().await?;
//! // ... and at the end, when nobody says anything any more:
//! hub.stop();
//! hub.drained().await;
//! syslog.finish().await;
//! # Ok(())
//! # }
//! ```

mod link;
mod target;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use self::target::{Target, TargetError};
use self::writer::{State, Writer};
use crate::codec::syslog::{Format, MOST_DATAGRAM, Records};
use crate::hub::{Told, Watch};
use crate::limits::Limits;
use crate::message::{Post, Timestamp};

/// Writes what it is told to a syslog receiver. Dropping it stops the writing, as [`Syslog::finish`] does.
pub struct Syslog {
    target: Target,
    queue: mpsc::Sender<Arc<Post>>,
    counts: Arc<Counts>,
    stop: CancellationToken,
    _stopped: DropGuard,
    tasks: TaskTracker,
}

/// Makes a [`Syslog`].
#[must_use]
pub struct Builder {
    target: Target,
    format: Format,
    host: Option<String>,
    process: Option<u32>,
    ahead: Ahead,
    limits: Limits,
}

/// What local time is ahead of UTC at a moment, in seconds.
type Ahead = Arc<dyn Fn(Timestamp) -> i32 + Send + Sync>;

/// What a [`Syslog`] had counted at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counted {
    /// Whether the way to the receiver is open; over UDP that says nothing about the other end.
    pub connected: bool,
    /// Texts that wait to be written.
    pub waiting: u64,
    /// Records that were handed to the system, which is all that can be known of them.
    pub written: u64,
    /// Those of them that were too long, and cut.
    pub cut: u64,
    /// Texts that were not and will not be written, by reason; every reason is there.
    pub dropped: [(&'static str, u64); 3],
}

#[derive(Debug, Default)]
struct Counts {
    connected: AtomicBool,
    waiting: AtomicU64,
    written: AtomicU64,
    cut: AtomicU64,
    /// The queue was full.
    full: AtomicU64,
    /// It was, or the writing stopped, while there was no way to the receiver.
    unreached: AtomicU64,
    /// The system did not take the record.
    refused: AtomicU64,
}

impl Syslog {
    /// For that receiver.
    pub fn builder(target: Target) -> Builder {
        Builder {
            target,
            format: Format::default(),
            host: None,
            process: None,
            ahead: Arc::new(|_| 0),
            limits: Limits::default(),
        }
    }

    /// Where records go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Hands one text over, and never waits. As a [`Watch`] of a hub it does so with all that is said.
    pub fn write(&self, post: &Arc<Post>) {
        // Before it is there: the task may be done with it at once.
        self.counts.waiting.fetch_add(1, Relaxed);
        if let Err(error) = self.queue.try_send(post.clone()) {
            self.counts.waiting.fetch_sub(1, Relaxed);
            let reached = self.counts.connected.load(Relaxed) && matches!(error, TrySendError::Full(_));
            let count = if reached { &self.counts.full } else { &self.counts.unreached };
            count.fetch_add(1, Relaxed);
        }
    }

    /// What was counted up to now.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let counts = &*self.counts;
        let dropped = [("queue", &counts.full), ("connection", &counts.unreached), ("error", &counts.refused)];
        Counted {
            connected: counts.connected.load(Relaxed),
            waiting: counts.waiting.load(Relaxed),
            written: counts.written.load(Relaxed),
            cut: counts.cut.load(Relaxed),
            dropped: dropped.map(|(reason, count)| (reason, count.load(Relaxed))),
        }
    }

    /// Takes nothing more, and waits until what waits is written: a second at most.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the writing ends all the same.
    pub async fn finish(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Builder {
    /// The form of the records; RFC 5424 otherwise.
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// What this machine is called in them; otherwise they do not say.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The number of this process; otherwise they do not say.
    pub fn process(mut self, id: u32) -> Self {
        self.process = Some(id);
        self
    }

    /// What local time is ahead of UTC at a moment, in seconds, for RFC 3164; otherwise that is written in UTC, too.
    pub fn local_time(mut self, ahead: impl Fn(Timestamp) -> i32 + Send + Sync + 'static) -> Self {
        self.ahead = Arc::new(ahead);
        self
    }

    /// Other limits than the default: [`Limits::syslog_queue`], [`Limits::syslog_record`],
    /// [`Limits::connect_timeout`].
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = limits.clone();
        self
    }

    /// Starts the task that writes. It needs a tokio runtime, and no receiver yet: what is said waits for one.
    #[must_use]
    pub fn start(self) -> Syslog {
        let Self { target, format, host, process, ahead, limits } = self;
        let records = Records::new(format, host.as_deref(), process);
        let records = match target {
            Target::Unix(_) => records.at_most(limits.syslog_record).local(),
            Target::Udp(..) => records.at_most(limits.syslog_record.min(MOST_DATAGRAM)),
            Target::Tcp(..) => records.at_most(limits.syslog_record),
        };
        let (queue, taken) = mpsc::channel(limits.syslog_queue.max(1));
        let (counts, stop, tasks) = (Arc::<Counts>::default(), CancellationToken::new(), TaskTracker::new());
        let writer = Writer {
            target: target.clone(),
            records,
            ahead,
            connect_timeout: limits.connect_timeout,
            queue: taken,
            counts: counts.clone(),
            stop: stop.clone(),
            state: State::default(),
        };
        tasks.spawn(writer.run());
        tasks.close();
        Syslog { target, queue, counts, _stopped: stop.clone().drop_guard(), stop, tasks }
    }
}

impl Counts {
    fn written(&self, whole: bool) {
        self.waiting.fetch_sub(1, Relaxed);
        self.written.fetch_add(1, Relaxed);
        self.cut.fetch_add(u64::from(!whole), Relaxed);
    }

    fn refused(&self) {
        self.waiting.fetch_sub(1, Relaxed);
        self.refused.fetch_add(1, Relaxed);
    }

    fn dropped(&self) -> u64 {
        [&self.full, &self.unreached, &self.refused].into_iter().map(|count| count.load(Relaxed)).sum()
    }
}

impl Watch for Syslog {
    fn said(&self, told: &Told<'_>) {
        self.write(told.post);
    }
}

impl fmt::Debug for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, queue: _, counts, stop: _, _stopped: _, tasks: _ } = self;
        f.debug_struct("Syslog").field("target", target).field("counts", counts).finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, format, host, process, ahead: _, limits: _ } = self;
        let mut out = f.debug_struct("Builder");
        out.field("target", target).field("format", format).field("host", host).field("process", process);
        out.finish_non_exhaustive()
    }
}
