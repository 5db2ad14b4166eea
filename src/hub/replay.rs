//! What a session hears of the past: paced by what it takes, beside what is said now.

use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::Inner;
use super::inbox::{Inbox, Input, Joined, Resume, SessionId};
use super::outbox::Outbox;
use super::pace::Pace;
use crate::message::{Event, Post, Record, Refusal, RoomKey, UserId};
use crate::store::{HistoryStore, Page, Query, StoreError};

/// Reads the history for one session, one thing after the other. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Replay {
    jobs: mpsc::Sender<Job>,
    _stop: DropGuard,
}

/// One thing that a session wants to hear.
#[derive(Debug)]
pub(super) enum Job {
    /// Kept messages.
    Page { room: RoomKey, page: Page },
    /// Those that hold a text.
    Search { room: RoomKey, text: String, before: Option<u64>, limit: usize },
    /// Everything up to what is said now; then the room itself goes on.
    Bring { room: RoomKey, inbox: Arc<Inbox>, session: SessionId, resume: Resume },
}

struct Reader {
    hub: Weak<Inner>,
    history: Arc<dyn HistoryStore>,
    user: UserId,
    outbox: Arc<Outbox>,
    pace: Option<Pace>,
}

impl Replay {
    pub(super) fn start(hub: &Arc<Inner>, user: UserId, outbox: Arc<Outbox>, pace: Option<Pace>) -> Self {
        let (jobs, mut waiting) = mpsc::channel(MOST_JOBS);
        let stopped = CancellationToken::new();
        let stop = stopped.clone().drop_guard();
        let reader = Reader { hub: Arc::downgrade(hub), history: hub.history.clone(), user, outbox, pace };
        let stopping = hub.stopping.clone();
        hub.tasks.spawn(async move {
            let work = async {
                while let Some(job) = waiting.recv().await {
                    if let Err(error) = reader.work(job).await {
                        warn!(%user, %error, "the history does not answer");
                        reader.outbox.tell(&[Event::Refused { why: Refusal::Unavailable, id: None }]);
                    }
                }
            };
            stopping.run_until_cancelled(stopped.run_until_cancelled(work)).await;
        });
        Self { jobs, _stop: stop }
    }

    /// Puts a job behind those that wait, unless too many do.
    pub(super) fn put(&self, job: Job) -> Result<(), Refusal> {
        self.jobs.try_send(job).map_err(|_| Refusal::Busy)
    }
}

impl Reader {
    async fn work(&self, job: Job) -> Result<(), StoreError> {
        // It may have waited while the session did not read, and more was said since.
        if let Job::Page { room, .. } | Job::Search { room, .. } = &job
            && self.refuse_if_shut_out(room)
        {
            return Ok(());
        }
        match job {
            Job::Page { room, page } => self.page(room, page).await,
            Job::Search { room, text, before, limit } => self.search(room, text, before, limit).await,
            Job::Bring { room, inbox, session, resume } => self.bring(room, &inbox, session, resume).await,
        }
    }

    async fn page(&self, room: RoomKey, page: Page) -> Result<(), StoreError> {
        let epoch = self.history.head(&room).await?.epoch;
        let mut records = self.history.page(&room, &page).await?;
        let (first, end) = (records.first().map(|record| record.seq), records.last().map(|record| record.seq));
        let mut count = 0;
        loop {
            let held = hold(&mut records);
            let Some(last) = records.last().map(|record| record.seq) else { break };
            let blocked = self.blocked();
            records.retain(|record| !blocked.contains(&record.user));
            count += records.len() as u64;
            let post = |record| Event::Message(Arc::new(Post { epoch: epoch.clone(), record }));
            self.say(records.into_iter().map(post).collect()).await;
            if self.outbox.end().is_some() {
                return Ok(());
            }
            if Some(last) >= end {
                break;
            }
            let rest = Page { after: Some(last), before: end.and_then(|end| end.checked_add(1)), limit: 2 * held };
            records = self.history.page(&room, &rest).await?;
        }
        let beyond = match page.after {
            Some(_) => Page { after: end.or(page.after), limit: 1, ..page },
            None => Page { before: first.or(page.before), limit: 1, ..page },
        };
        let more = !self.history.page(&room, &beyond).await?.is_empty();
        self.say(vec![Event::History { room, epoch, count, more }]).await;
        Ok(())
    }

    async fn search(&self, room: RoomKey, text: String, before: Option<u64>, limit: usize) -> Result<(), StoreError> {
        let epoch = self.history.head(&room).await?.epoch;
        let (query, blocked) = (Query::new(&text), self.blocked());
        let (mut found, mut before): (Vec<Record>, _) = (Vec::new(), before);
        let Some(hub) = self.hub.upgrade() else { return Ok(()) };
        let turn = hub.searching.acquire().await;
        if self.refuse_if_shut_out(&room) {
            return Ok(());
        }
        for _ in 0..MOST_LOOKS {
            let wanted = limit - found.len();
            let finds = self.history.search(&room, &query, before, wanted).await?;
            let all = finds.records.len();
            before = finds.before;
            found.extend(finds.records.into_iter().filter(|record| !blocked.contains(&record.user)));
            // With fewer than it was asked for, the store has looked at enough for one time.
            if before.is_none() || found.len() >= limit || all < wanted {
                break;
            }
        }
        drop(turn);
        let found = Event::Found { room, text: text.into(), epoch, records: found.into(), before };
        self.say(vec![found]).await;
        Ok(())
    }

    /// Brings a session nearer to what is said now, until the room can do the rest.
    async fn bring(
        &self,
        room: RoomKey,
        inbox: &Inbox,
        session: SessionId,
        mut resume: Resume,
    ) -> Result<(), StoreError> {
        let mut limit = PAGE;
        loop {
            // What was told is to be taken first: the room tells all the rest in one piece.
            self.taken(self.outbox.most_messages() / 4).await;
            resume.paced = true;
            let (done, joined) = oneshot::channel();
            inbox.put(Input::Resume { session, resume, done });
            match joined.await {
                Ok(Joined::Behind(further)) => resume = further,
                Ok(Joined::Live) | Err(_) => return Ok(()),
            }
            match self.nearer(&room, &mut resume, &mut limit).await {
                Ok(events) => self.say(events).await,
                Err(error) => {
                    resume.lost = true;
                    let (done, joined) = oneshot::channel();
                    inbox.put(Input::Resume { session, resume, done });
                    let _ = joined.await;
                    return Err(error);
                }
            }
        }
    }

    /// What comes next behind a position, which moves behind it. `limit` is how many messages are read, which follows
    /// how many of them can be held.
    async fn nearer(&self, room: &RoomKey, resume: &mut Resume, limit: &mut usize) -> Result<Vec<Event>, StoreError> {
        let epoch = self.history.head(room).await?.epoch;
        let page = Page { after: Some(resume.seq), before: None, limit: *limit };
        let mut records = self.history.page(room, &page).await?;
        *limit = (2 * hold(&mut records)).clamp(FEW, PAGE);
        let mut events = Vec::with_capacity(records.len());
        if records.is_empty() {
            // All that was behind it is gone.
            let head = self.history.head(room).await?.seq;
            if head > resume.seq {
                events.push(Event::Gap { room: room.clone(), from: resume.seq, to: head });
                (resume.seq, resume.whole) = (head, false);
            }
        }
        let blocked = self.blocked();
        for record in records {
            if record.prev > resume.seq {
                events.push(Event::Gap { room: room.clone(), from: resume.seq, to: record.prev });
                resume.whole = false;
            }
            resume.seq = record.seq;
            if !blocked.contains(&record.user) {
                events.push(Event::Message(Arc::new(Post { epoch: epoch.clone(), record })));
            }
        }
        if let (RoomKey::Direct(_), false) = (room, events.is_empty()) {
            events.push(Event::Confirm { room: room.clone(), seq: resume.seq });
        }
        Ok(events)
    }

    /// Tells the session so when it may not hear any more what is said in a room.
    fn refuse_if_shut_out(&self, room: &RoomKey) -> bool {
        let (RoomKey::Room(name), Some(hub)) = (room, self.hub.upgrade()) else { return false };
        let out = hub.lock().is_shut_out(self.user, name, hub.now());
        if out {
            let why = Refusal::NotInRoom(room.to_string());
            self.outbox.tell(&[Event::Refused { why, id: None }]);
        }
        out
    }

    /// Whom the session does not hear.
    fn blocked(&self) -> Vec<UserId> {
        let Some(hub) = self.hub.upgrade() else { return Vec::new() };
        let directory = hub.lock();
        let rules = directory.user_rules(self.user).into_iter();
        rules.flat_map(|rules| rules.blocked.iter().map(|(user, _)| *user)).collect()
    }

    /// Waits until the session has taken what was told, or nearly: until so many more events are far from too many.
    async fn taken(&self, events: usize) {
        self.outbox.drained().await;
        if let Some(pace) = &self.pace {
            pace.room_for(events).await;
        }
    }

    /// Tells the session, a little at a time, as it takes it.
    async fn say(&self, events: Vec<Event>) {
        let mut events = events.into_iter().peekable();
        let most = self.outbox.most_messages().div_ceil(2).min(PIECE);
        while events.peek().is_some() {
            let (mut piece, mut bytes) = (Vec::new(), 0);
            while let Some(event) = events.next_if(|_| piece.len() < most && bytes < PIECE_BYTES) {
                if let Event::Message(post) = &event {
                    bytes += post.record.body.len();
                }
                piece.push(event);
            }
            self.taken(piece.len()).await;
            if self.outbox.end().is_some() {
                return;
            }
            self.outbox.tell(&piece);
        }
    }
}

/// Lets go of what would be too much to hold for somebody who may not take it, and be read again; tells how many stay.
fn hold(records: &mut Vec<Record>) -> usize {
    let mut bytes = 0;
    let held = records.iter().take_while(|record| {
        let fits = bytes < HELD_BYTES;
        bytes += record.body.len();
        fits
    });
    let held = held.count();
    records.truncate(held);
    records.shrink_to_fit();
    held
}

/// Things that a session may want to hear at a time.
const MOST_JOBS: usize = 32;
/// Records that are read at once to bring a session nearer.
const PAGE: usize = 256;
/// The same where they are long.
const FEW: usize = 16;
/// Bytes of texts that were read and wait for the session to take what came before.
const HELD_BYTES: usize = 256 * 1024;
/// Events and bytes that a session is told at once: well within what may wait for it.
const PIECE: usize = 64;
const PIECE_BYTES: usize = 128 * 1024;
/// How often the history is asked in one search, when it finds what was said by those whom the session does not hear.
const MOST_LOOKS: usize = 8;
