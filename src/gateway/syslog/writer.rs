//! The task that writes records, and keeps the way to their receiver open.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::link::Link;
use super::{Ahead, Counts, Target};
use crate::codec::syslog::{Framing, Records, Said};
use crate::message::{Post, RoomKey};

/// Takes what was said from the queue, in order.
pub(super) struct Writer {
    pub(super) target: Target,
    pub(super) records: Records,
    pub(super) ahead: Ahead,
    pub(super) connect_timeout: Duration,
    pub(super) queue: Receiver<Arc<Post>>,
    pub(super) counts: Arc<Counts>,
    pub(super) stop: CancellationToken,
    pub(super) state: State,
}

/// How far it is: kept outside of every future, so that dropping one of them loses nothing.
#[derive(Default)]
pub(super) struct State {
    /// The way, and since when it is open.
    link: Option<(Link, Instant)>,
    batch: Batch,
    /// How long to wait before the way is opened again.
    pause: Duration,
    /// Whether it was told that the receiver is out of reach.
    outage: bool,
    /// How many drops were told, and when.
    told: (u64, Option<Instant>),
}

/// What was taken and is not written yet.
#[derive(Default)]
struct Batch {
    posts: VecDeque<Arc<Post>>,
    /// Records of the first of them, as the open way wants them; where each ends, and whether it is whole.
    bytes: Vec<u8>,
    ends: VecDeque<(usize, bool)>,
    /// Bytes of it that are on their way.
    sent: usize,
}

impl Writer {
    /// Writes until it is stopped, and then for a second at most what waits.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.forward() => {}
        }
        self.queue.close();
        // Whatever it waited for before, now is the time.
        self.state.pause = Duration::ZERO;
        if timeout(FLUSH, self.forward()).await.is_ok()
            && let Some((link, _)) = &mut self.state.link
        {
            link.close().await;
        }
        let mut left = self.state.batch.posts.len() as u64;
        while self.queue.try_recv().is_ok() {
            left += 1;
        }
        self.counts.waiting.fetch_sub(left, Relaxed);
        self.counts.unreached.fetch_add(left, Relaxed);
        self.counts.connected.store(false, Relaxed);
        self.tell_drops(true);
    }

    /// Until the queue is closed, and all of it written.
    async fn forward(&mut self) {
        loop {
            if self.state.batch.posts.is_empty() && self.queue.is_closed() && self.queue.is_empty() {
                return;
            }
            match self.state.link.is_some() {
                true => {
                    if let Err(error) = self.write().await {
                        self.lose(&error);
                    }
                }
                false => self.open().await,
            }
            self.tell_drops(false);
        }
    }

    /// Opens the way, however often that takes.
    async fn open(&mut self) {
        loop {
            sleep(self.state.pause).await;
            self.state.pause = (self.state.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            let opened = timeout(self.connect_timeout, Link::open(&self.target)).await;
            match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(link) => {
                    debug!(to = %self.target, "the syslog receiver is reached");
                    self.counts.connected.store(true, Relaxed);
                    self.state.link = Some((link, Instant::now()));
                    return;
                }
                Err(error) => self.tell_outage(&error),
            }
            self.tell_drops(false);
        }
    }

    /// Takes a batch, if none is there, and writes it.
    async fn write(&mut self) -> io::Result<()> {
        let Some((link, _)) = &mut self.state.link else { return Ok(()) };
        let batch = &mut self.state.batch;
        if batch.posts.is_empty() {
            let mut taken = Vec::new();
            tokio::select! {
                biased;
                error = link.lost() => return Err(error),
                _ = self.queue.recv_many(&mut taken, BATCH) => batch.posts.extend(taken),
            }
        }
        let framing = link.framing();
        if batch.ends.is_empty() {
            batch.format(&self.records, framing, &self.ahead);
        }
        while let Some((end, whole)) = batch.ends.front().copied() {
            let until = if framing == Framing::Bare { end } else { batch.bytes.len() };
            let sent = timeout(STALLED, link.send(&batch.bytes[batch.sent..until])).await;
            match sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(sent) => {
                    // A datagram goes whole or not at all.
                    batch.sent = if framing == Framing::Bare { end } else { batch.sent + sent };
                    while let Some((end, whole)) = batch.ends.front().copied()
                        && end <= batch.sent
                    {
                        batch.done();
                        self.counts.written(whole);
                    }
                }
                Err(error) if link.is_lost_by(&error) => return Err(error),
                Err(error) => {
                    debug!(to = %self.target, %error, whole, "a syslog record is refused");
                    batch.sent = end;
                    batch.done();
                    self.counts.refused();
                }
            }
        }
        Ok(())
    }

    /// The way is lost. What was not written whole is written again on the next one.
    fn lose(&mut self, error: &io::Error) {
        self.counts.connected.store(false, Relaxed);
        self.state.batch.again();
        let Some((_, since)) = self.state.link.take() else { return };
        // Who takes a connection and closes it at once, or is not there and told by UDP so, is not asked all the time.
        if since.elapsed() >= LONGEST_PAUSE {
            self.state.pause = Duration::ZERO;
            self.state.outage = false;
        }
        self.tell_outage(error);
    }

    /// Once for each time that the receiver is out of reach.
    fn tell_outage(&mut self, error: &io::Error) {
        if !mem::replace(&mut self.state.outage, true) {
            warn!(to = %self.target, %error, "the syslog receiver is out of reach; trying again");
        }
    }

    /// Now and then, if there are more.
    fn tell_drops(&mut self, last: bool) {
        let dropped = self.counts.dropped();
        let (told, when) = self.state.told;
        if dropped > told && (last || when.is_none_or(|when| when.elapsed() >= TELL_DROPS)) {
            warn!(to = %self.target, count = dropped - told, "texts were not written to syslog");
            self.state.told = (dropped, Some(Instant::now()));
        }
    }
}

impl Batch {
    fn format(&mut self, records: &Records, framing: Framing, ahead: &Ahead) {
        for post in &self.posts {
            let record = &post.record;
            let said = Said {
                at: record.at,
                ahead: ahead(record.at),
                from: &record.from,
                body: &record.body,
                direct: matches!(record.room, RoomKey::Direct(_)),
            };
            let whole = records.write(&said, framing, &mut self.bytes);
            self.ends.push_back((self.bytes.len(), whole));
        }
    }

    /// The first one is through.
    fn done(&mut self) {
        self.posts.pop_front();
        self.ends.pop_front();
        if self.ends.is_empty() {
            self.again();
        }
    }

    /// What is left is made anew.
    fn again(&mut self) {
        self.ends.clear();
        self.bytes.clear();
        self.sent = 0;
    }
}

/// Texts that are written as one piece, at most.
const BATCH: usize = 64;
/// Time for the receiver to take something before the way counts as lost.
const STALLED: Duration = Duration::from_secs(30);
/// Time that a stop waits for the receiver.
const FLUSH: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often drops are told at most.
const TELL_DROPS: Duration = Duration::from_secs(60);
