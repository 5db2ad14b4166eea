//! A room's task: it takes all that waits, and gives every member all of it in one piece.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use tokio::time::{Instant, timeout_at};

use super::counters::Counters;
use super::inbox::{Inbox, Input, Said, SessionId};
use super::outbox::{Outbox, tell_all};
use super::room::{Posted, RoomState};
use super::sink::{Batch, Encoding};
use crate::message::{Event, RoomKey, Timestamp, UserId};
use crate::name::RoomName;

/// One room at work.
pub(super) struct Turns {
    state: RoomState,
    inbox: Arc<Inbox>,
    members: Vec<Member>,
    /// Where each session stands in `members`.
    places: HashMap<SessionId, usize>,
    lanes: Vec<Lane>,
    /// What the members have not been given yet.
    open: Vec<Event>,
    /// Events among them that one session must not hear.
    unheard: Vec<(usize, SessionId)>,
    /// Whether one of them must not wait.
    urgent: bool,
    /// Until when the others may.
    until: Option<Instant>,
    /// What single sessions hear behind the batch.
    told: Vec<(Arc<Outbox>, Event)>,
    counters: Arc<Counters>,
    /// Messages that this turn has accepted.
    accepted: u64,
}

struct Member {
    session: SessionId,
    user: UserId,
    outbox: Arc<Outbox>,
    lane: usize,
    /// The first of the open events that is for this member.
    from: usize,
    gone: bool,
}

/// The open events in one encoding.
struct Lane {
    encoding: Encoding,
    members: usize,
    bytes: BytesMut,
    ends: Vec<usize>,
}

impl Turns {
    pub(super) fn new(state: RoomState, inbox: Arc<Inbox>, counters: Arc<Counters>) -> Self {
        Self {
            state,
            inbox,
            members: Vec::new(),
            places: HashMap::new(),
            lanes: Vec::new(),
            open: Vec::new(),
            unheard: Vec::new(),
            urgent: false,
            until: None,
            told: Vec::new(),
            counters,
            accepted: 0,
        }
    }

    /// Takes turns until the inbox is closed and empty.
    pub(super) async fn run(mut self) {
        let inbox = self.inbox.clone();
        let mut inputs = Vec::new();
        loop {
            let taken = match self.until {
                Some(until) => timeout_at(until, inbox.take(&mut inputs)).await,
                None => Ok(inbox.take(&mut inputs).await),
            };
            match taken {
                Ok(Some(since)) => {
                    self.turn(&mut inputs, since);
                    // What a burst left behind is not kept.
                    if inputs.capacity() > KEPT_INPUTS {
                        inputs = Vec::new();
                    }
                    // Those who speak get their turn too; what they say meanwhile makes the next batch.
                    tokio::task::yield_now().await;
                }
                Ok(None) => return self.flush(),
                Err(_) => self.flush(),
            }
        }
    }

    /// `since`: when the first of the inputs came in.
    fn turn(&mut self, inputs: &mut Vec<Input>, since: Instant) {
        let now = now();
        for input in inputs.drain(..) {
            match input {
                Input::Join { session, user, name, outbox, done } => {
                    self.join(session, user, name, outbox);
                    let _ = done.send(());
                }
                Input::Leave { session, done } => {
                    // Whoever leaves of their own will has heard everything up to then.
                    if done.is_some() {
                        self.flush();
                    }
                    self.leave(session);
                    if let Some(done) = done {
                        let _ = done.send(());
                    }
                }
                Input::Rename { user, new, done } => {
                    self.rename(user, &new);
                    let _ = done.send(());
                }
                Input::Post(said) => self.post(said, now),
                Input::Typing { session, user } => {
                    if let (Some(room), Some(name)) = (self.room(), self.state.name(user)) {
                        let event = Event::Typing { room, user: name.clone() };
                        self.unheard.push((self.open.len(), session));
                        self.notice(event);
                    }
                }
                Input::Who(reply) => self.told.push((reply, Event::System(self.state.names().into()))),
            }
        }
        if self.urgent {
            self.flush();
        }
        tell_all(&mut self.told);
        let accepted = mem::take(&mut self.accepted);
        if accepted > 0 {
            self.counters.accepted(accepted, since.elapsed());
        }
    }

    fn join(&mut self, session: SessionId, user: UserId, name: crate::name::Nickname, outbox: Arc<Outbox>) {
        let lane = self.lane(outbox.encoding());
        let first = self.state.join(user, name.clone());
        if let Some(room) = self.room() {
            let event = Event::Joined { room, user: name };
            // The newcomer hears it at once, the others with the next batch.
            outbox.tell(std::slice::from_ref(&event));
            if first {
                self.notice(event);
            }
        }
        self.lanes[lane].members += 1;
        self.places.insert(session, self.members.len());
        self.members.push(Member { session, user, outbox, lane, from: self.open.len(), gone: false });
    }

    fn leave(&mut self, session: SessionId) {
        let Some(place) = self.places.remove(&session) else { return };
        let member = self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.places.insert(moved.session, place);
        }
        self.lanes[member.lane].members -= 1;
        if let (Some(user), Some(room)) = (self.state.leave(member.user), self.room()) {
            self.notice(Event::Left { room, user });
        }
    }

    fn rename(&mut self, user: UserId, new: &crate::name::Nickname) {
        let Some(old) = self.state.rename(user, new.clone()) else { return };
        let Some(room) = self.room() else { return };
        let event = Event::Renamed { room, old, new: new.clone() };
        // Whoever did it hears it at once, behind all that came before.
        self.flush();
        for member in self.members.iter().filter(|member| member.user == user) {
            member.outbox.tell(std::slice::from_ref(&event));
            self.unheard.push((self.open.len(), member.session));
        }
        self.notice(event);
    }

    fn post(&mut self, said: Said, now: Timestamp) {
        let Said { user, name, body, id, reply, echo } = said;
        let Some(name) = name.or_else(|| self.state.name(user).cloned()) else { return };
        let event = match self.state.post(user, &name, body, id.clone(), now) {
            Ok(Posted::New(post)) => {
                self.accepted += 1;
                let event = Event::Message(post.clone());
                self.urgent = true;
                self.add(event.clone());
                if echo {
                    self.told.push((reply.clone(), event));
                }
                id.map(|id| {
                    let at = crate::message::Position { epoch: post.epoch.clone(), seq: post.record.seq };
                    Event::Accepted { id, room: post.record.room.clone(), at }
                })
            }
            Ok(Posted::Again(at)) => id.map(|id| Event::Accepted { id, room: self.state.key().clone(), at }),
            Err(why) => {
                self.counters.refused(&why);
                Some(Event::Refused { why, id })
            }
        };
        if let Some(event) = event {
            self.told.push((reply, event));
        }
    }

    /// The room's name, if it is one whose members hear of each other.
    fn room(&self) -> Option<RoomName> {
        match self.state.key() {
            RoomKey::Room(name) => Some(name.clone()),
            RoomKey::Direct(_) => None,
        }
    }

    /// Something that may wait a little, so that many leave in one write.
    fn notice(&mut self, event: Event) {
        if self.until.is_none() {
            self.until = Some(Instant::now() + NOTICE_WAIT);
        }
        self.add(event);
    }

    fn add(&mut self, event: Event) {
        let mut full = self.open.len() + 1 >= BATCH_EVENTS;
        for lane in self.lanes.iter_mut().filter(|lane| lane.members > 0) {
            if let Some(encoder) = lane.encoding.encoder() {
                // One that had no members when the first of these events came has no bytes for them.
                lane.ends.resize(self.open.len(), lane.bytes.len());
                encoder.encode(&event, &mut lane.bytes);
                lane.ends.push(lane.bytes.len());
                full |= lane.bytes.len() >= BATCH_BYTES;
            }
        }
        self.open.push(event);
        if full {
            self.flush();
        }
    }

    /// Gives every member what is open.
    fn flush(&mut self) {
        (self.urgent, self.until) = (false, None);
        if self.open.is_empty() {
            return;
        }
        let count = self.open.len();
        let events: Arc<[Event]> = mem::take(&mut self.open).into();
        let unheard = mem::take(&mut self.unheard);
        let mut batches = Vec::with_capacity(self.lanes.len());
        for lane in &mut self.lanes {
            lane.ends.resize(count, lane.bytes.len());
            let bytes = lane.bytes.split().freeze();
            batches.push(Batch::new(bytes, lane.ends.as_slice().into(), events.clone()));
            lane.ends.clear();
        }
        for member in self.members.iter_mut().filter(|member| !member.gone) {
            let batch = &batches[member.lane];
            let from = mem::take(&mut member.from);
            let holes = unheard.iter().filter(|(_, session)| *session == member.session).map(|(at, _)| *at);
            member.gone = !if from == 0 && unheard.is_empty() {
                offer(&member.outbox, batch)
            } else {
                offer_around(&member.outbox, batch, from, holes)
            };
        }
    }

    fn lane(&mut self, encoding: Encoding) -> usize {
        if let Some(lane) = self.lanes.iter().position(|lane| lane.encoding == encoding) {
            return lane;
        }
        self.lanes.push(Lane { encoding, members: 0, bytes: BytesMut::new(), ends: Vec::new() });
        self.lanes.len() - 1
    }
}

fn offer(outbox: &Outbox, batch: &Batch) -> bool {
    let nothing = batch.len() == 0 || (batch.bytes().is_empty() && outbox.encoding() != Encoding::EVENTS);
    nothing || outbox.offer(batch)
}

/// Offers the slices from `from` on around the holes, which rise.
fn offer_around(outbox: &Outbox, batch: &Batch, from: usize, holes: impl Iterator<Item = usize>) -> bool {
    let mut start = from;
    for hole in holes.filter(|hole| *hole >= from) {
        if !offer(outbox, &batch.slice(start, hole)) {
            return false;
        }
        start = hole + 1;
    }
    offer(outbox, &batch.slice(start, batch.len()))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// How long a notice may wait for company.
const NOTICE_WAIT: Duration = Duration::from_millis(250);
/// Bytes from which on a batch leaves before the turn is over.
const BATCH_BYTES: usize = 64 * 1024;
/// Events from which on it does, well below what a member may have waiting.
const BATCH_EVENTS: usize = 256;
/// Capacity for inputs that a room keeps between turns.
const KEPT_INPUTS: usize = 256;
