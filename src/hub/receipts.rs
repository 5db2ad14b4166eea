//! How far messages came: what their authors hear of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::outbox::Outbox;
use crate::message::{Delivery, Event, MessageId, Post, Record, UserId};
use crate::name::RoomName;

/// How far one member is with a room's messages, by seq.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last that was offered.
    offered: u64,
    /// The last that is known to be written.
    sent: u64,
    /// The last that the member's program is known to have taken.
    received: u64,
    /// One that was offered, and the mark in the outbox behind it.
    waiting: Option<(u64, u64)>,
}

impl Progress {
    /// Notes that everything up to `seq` was offered.
    pub(super) fn offer(&mut self, seq: u64, outbox: &Outbox) {
        self.offered = self.offered.max(seq);
        if self.waiting.is_none() {
            self.waiting = Some((self.offered, outbox.mark()));
        }
        self.look(outbox);
    }

    /// Notes that the member's program took everything up to `seq`; nobody takes what was not offered, or told by
    /// others up to `told`.
    pub(super) fn receive(&mut self, seq: u64, told: u64) {
        self.received = self.received.max(seq.min(self.offered.max(told)));
        self.sent = self.sent.max(self.received);
    }

    /// Looks what was written meanwhile.
    fn look(&mut self, outbox: &Outbox) {
        while let Some((seq, mark)) = self.waiting
            && outbox.passed(mark)
        {
            self.sent = self.sent.max(seq);
            self.waiting = (self.sent < self.offered).then(|| (self.offered, outbox.mark()));
        }
    }
}

/// The messages of a room that somebody wants to hear of.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// The last message of each author, and with it those before.
    authors: HashMap<UserId, Author>,
    due: Option<Instant>,
}

#[derive(Debug)]
struct Author {
    id: MessageId,
    seq: u64,
    members: usize,
    told: Option<(usize, usize)>,
    until: Instant,
}

impl Receipts {
    /// Whether anybody wants to hear anything.
    pub(super) fn is_empty(&self) -> bool {
        self.authors.is_empty()
    }

    /// When to look next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Follows an author's message, which goes to so many members.
    pub(super) fn follow(&mut self, author: UserId, id: MessageId, seq: u64, members: usize, now: Instant) {
        self.authors.insert(author, Author { id, seq, members, told: None, until: now + FOLLOWED });
        self.due.get_or_insert(now + INTERVAL);
    }

    /// What the authors are to hear now, given every member's user and progress, and whom they do not hear.
    pub(super) fn tick<'a>(
        &mut self,
        room: &RoomName,
        members: impl Iterator<Item = (UserId, &'a mut Progress, &'a Outbox, &'a [UserId])>,
        now: Instant,
    ) -> Vec<(UserId, Event)> {
        let mut users: HashMap<UserId, (u64, u64, &[UserId])> = HashMap::new();
        for (user, progress, outbox, blocked) in members {
            progress.look(outbox);
            let furthest = users.entry(user).or_insert((0, 0, blocked));
            *furthest = (furthest.0.max(progress.sent), furthest.1.max(progress.received), blocked);
        }
        let mut events = Vec::new();
        self.authors.retain(|author, last| {
            let heard = |(user, (_, _, blocked)): &(&UserId, &(u64, u64, &[UserId]))| {
                *user != author && !blocked.contains(author)
            };
            let others = || users.iter().filter(heard).map(|(_, (sent, received, _))| (*sent, *received));
            let sent = others().filter(|(sent, _)| *sent >= last.seq).count();
            let delivered = others().filter(|(_, received)| *received >= last.seq).count();
            // Whoever left meanwhile had it all the same.
            let before = last.told.unwrap_or_default();
            let (sent, delivered) = (sent.max(before.0).min(last.members), delivered.max(before.1).min(last.members));
            let over = now >= last.until || delivered == last.members;
            if last.told != Some((sent, delivered)) || over {
                last.told = Some((sent, delivered));
                let (id, room) = (last.id.clone(), room.clone());
                let members = last.members;
                events.push((*author, Event::Receipt { id, room, seq: last.seq, sent, delivered, members }));
            }
            !over
        });
        self.due = (!self.authors.is_empty()).then(|| now + INTERVAL);
        events
    }
}

/// Direct messages to one user whose authors want to hear of them. They outlive the room's task: the user may be away.
#[derive(Debug, Default)]
pub(super) struct DirectReceipts {
    followed: VecDeque<Direct>,
    /// Whose messages wait, while the user is away.
    pub(super) waiting: Waiting,
}

/// How many messages of each author wait for a user who is away.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The messages behind the one and up to the other are counted.
    delivered: u64,
    last: u64,
    authors: HashMap<UserId, u64>,
}

impl Waiting {
    /// Nothing yet, behind what was delivered.
    pub(super) fn behind(delivered: u64) -> Self {
        Self { delivered, last: delivered, authors: HashMap::new() }
    }

    /// Counts what is the next of all.
    pub(super) fn count(&mut self, author: UserId, seq: u64) {
        self.last = seq;
        *self.authors.entry(author).or_default() += 1;
    }

    /// Counts one more, if all before it are counted; before there are many, nobody counts.
    pub(super) fn add(&mut self, record: &Record) {
        if !self.authors.is_empty() && self.last == record.prev {
            self.count(record.user, record.seq);
        }
    }

    /// Notes that there is nothing else up to there.
    pub(super) fn reach(&mut self, seq: u64) {
        self.last = self.last.max(seq);
    }

    /// How many of an author's wait; `None` when not all up to `last` are counted.
    pub(super) fn of(&self, author: UserId, delivered: u64, last: u64) -> Option<u64> {
        let whole = (self.delivered, self.last) == (delivered, last);
        whole.then(|| self.authors.get(&author).copied().unwrap_or_default())
    }
}

#[derive(Debug)]
struct Direct {
    author: UserId,
    id: MessageId,
    to: Arc<str>,
    seq: u64,
    /// When it was sent, if it was, and who tells what became of it.
    sent: Option<(Instant, Confirms)>,
    /// Its author has heard that nobody confirmed it.
    timed_out: bool,
}

/// Who confirms a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Confirms {
    /// Nobody can.
    Nobody,
    /// The program of its recipient, in time or not.
    Program,
    /// Whoever sends it on, at last.
    Sender,
}

impl DirectReceipts {
    /// Follows a message. Beyond [`MOST_FOLLOWED`] the oldest is not followed any more.
    pub(super) fn follow(&mut self, post: &Post, to: Arc<str>) {
        let Some(id) = post.record.id.clone() else { return };
        if self.followed.len() >= MOST_FOLLOWED {
            self.followed.pop_front();
        }
        self.followed.push_back(Direct {
            author: post.record.user,
            id,
            to,
            seq: post.record.seq,
            sent: None,
            timed_out: false,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }

    /// Whether nothing is to be remembered while the room's task rests.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && self.waiting.authors.is_empty()
    }

    /// Whether to look again, because something was sent and may be confirmed, or was offered and may be sent.
    pub(super) fn due(&self, anybody: bool, now: Instant) -> Option<Instant> {
        (anybody && !self.followed.is_empty()).then(|| now + INTERVAL)
    }

    /// What the authors are to hear now, given the progress of the user's sessions.
    pub(super) fn tick<'a>(
        &mut self,
        sessions: impl Iterator<Item = (&'a mut Progress, &'a Outbox)>,
        now: Instant,
    ) -> Vec<(UserId, Event)> {
        let (mut sent, mut received, mut confirms, mut held) = (0, 0, Confirms::Nobody, false);
        for (progress, outbox) in sessions {
            progress.look(outbox);
            held |= outbox.is_holding();
            (sent, received) = (sent.max(progress.sent), received.max(progress.received));
            let encoding = outbox.encoding();
            if encoding.is_confirming() {
                confirms = if encoding.is_remote() { Confirms::Sender } else { Confirms::Program };
            }
        }
        let mut events = Vec::new();
        self.followed.retain_mut(|direct| {
            let told = match &mut direct.sent {
                _ if direct.seq <= received => direct.told(Delivery::Delivered, direct.timed_out.then_some(LATE)),
                None if direct.seq <= sent => direct.told(Delivery::Sent, None),
                None => return true,
                // Nobody can confirm what they were not shown: the time runs from then on.
                Some((at, _)) if held => {
                    *at = now;
                    return true;
                }
                Some((_, Confirms::Sender)) => return true,
                Some((at, _)) if now < *at + FOLLOWED => return true,
                Some(_) => {
                    events.extend(direct.time_out());
                    return false;
                }
            };
            if direct.sent.is_none() && direct.seq <= received {
                // Both since it was last looked.
                events.push((direct.author, direct.told(Delivery::Sent, None)));
            }
            events.push((direct.author, told));
            direct.sent.get_or_insert((now, confirms));
            direct.seq > received
        });
        events
    }

    /// What an author is to hear when nobody knows whether a message arrived, or will.
    pub(super) fn doubt(&mut self, seq: u64, reason: &'static str) -> Vec<(UserId, Event)> {
        let Some(at) = self.followed.iter().position(|direct| direct.seq == seq) else { return Vec::new() };
        let Some(direct) = self.followed.remove(at) else { return Vec::new() };
        let sent = direct.sent.is_none().then(|| direct.told(Delivery::Sent, None));
        let told = sent.into_iter().chain([direct.told(Delivery::Unconfirmed, Some(reason))]);
        told.map(|event| (direct.author, event)).collect()
    }

    /// What the authors are to hear when the user's last session is over: nobody is there to confirm anything. When the
    /// user comes again, it may still be.
    pub(super) fn part(&mut self) -> Vec<(UserId, Event)> {
        self.followed.iter_mut().filter(|direct| direct.sent.is_some()).filter_map(Direct::time_out).collect()
    }

    /// What the authors are to hear when the user is gone for good.
    pub(super) fn fail(&mut self) -> Vec<(UserId, Event)> {
        let told = self.followed.drain(..).filter_map(|mut direct| match direct.sent {
            None => Some((direct.author, direct.told(Delivery::Failed, Some("gone")))),
            Some(_) => direct.time_out(),
        });
        told.collect()
    }
}

impl Direct {
    /// That nobody confirmed it, told once, and only where somebody could have.
    fn time_out(&mut self) -> Option<(UserId, Event)> {
        let state = match self.sent?.1 {
            Confirms::Nobody => return None,
            Confirms::Program => Delivery::Sent,
            Confirms::Sender => Delivery::Unconfirmed,
        };
        if self.timed_out {
            return None;
        }
        self.timed_out = true;
        Some((self.author, self.told(state, Some(TIMED_OUT))))
    }

    fn told(&self, state: Delivery, reason: Option<&'static str>) -> Event {
        Event::DirectReceipt { id: self.id.clone(), to: self.to.clone(), state, reason }
    }
}

/// Why a message that was sent is not followed any more.
const TIMED_OUT: &str = "timed out";
/// Why an author hears of one again.
const LATE: &str = "late";
/// How often an author hears of a message at most.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long a message is followed after it was said, or a direct one after it was sent.
const FOLLOWED: Duration = Duration::from_secs(10);
/// Direct messages to one user that are followed at a time.
const MOST_FOLLOWED: usize = 1024;
