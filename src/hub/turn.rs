//! A room's task: it takes all that waits, keeps what was said, and gives every member all of it in one piece.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::Inner;
use super::inbox::{Away, Inbox, Input, Join, Joined, Resume, Said, SessionId};
use super::keep::{Keeper, Known};
use super::lane::{Lane, offer, offer_around};
use super::outbox::{Outbox, tell_all};
use super::receipts::{DirectReceipts, Progress, Receipts, Waiting};
use super::recent::Recent;
use super::room::RoomState;
use super::sink::Encoding;
use super::watch::{Told, Watch};
use crate::message::{Epoch, Event, MessageId, Position, Post, Refusal, RoomKey, Timestamp, UserId};
use crate::name::{Nickname, RoomName};

/// One room at work.
pub(super) struct Turns {
    hub: Weak<Inner>,
    keeper: Keeper,
    state: RoomState,
    /// Where the room ends is not known: nothing is said until the history tells.
    adrift: bool,
    inbox: Arc<Inbox>,
    members: Vec<Member>,
    /// Where each session stands in `members`.
    places: HashMap<SessionId, usize>,
    lanes: Vec<Lane>,
    /// Members who do not want to hear somebody.
    blocking: usize,
    /// What the members have not been given yet, and about how many bytes it is.
    open: Vec<Event>,
    size: usize,
    /// Those of it that are not kept yet: nobody hears them before.
    unkept: Vec<Unkept>,
    /// Events among them that one session must not hear, rising.
    unheard: Vec<(usize, SessionId)>,
    /// Whether one of them must not wait.
    urgent: bool,
    /// Until when the others may.
    until: Option<Instant>,
    /// What single sessions hear behind the batch.
    told: Vec<(Arc<Outbox>, Event)>,
    recent: Recent,
    /// Everybody's names, since somebody asked and until they change.
    names: Option<Arc<str>>,
    receipts: Receipts,
    directs: Arc<Mutex<DirectReceipts>>,
    directs_due: Option<Instant>,
    watches: Arc<[Arc<dyn Watch>]>,
    /// When the first of the inputs that are taken now came in.
    since: Instant,
}

struct Member {
    session: SessionId,
    /// `None`: whoever it is, they are no member.
    user: Option<UserId>,
    outbox: Arc<Outbox>,
    /// Whom it does not hear.
    blocked: Arc<[UserId]>,
    lane: usize,
    /// The first of the open events that is for this member.
    from: usize,
    progress: Progress,
    /// It is brought up to date by others, and hears nothing here until then.
    behind: bool,
    gone: bool,
}

/// Something said that is not kept yet.
struct Unkept {
    /// Where it stands among the open events.
    at: usize,
    post: Arc<Post>,
    said: Answer,
}

/// Who hears what became of something said.
struct Answer {
    id: Option<MessageId>,
    to: Option<Arc<str>>,
    reply: Arc<Outbox>,
    echo: bool,
}

impl Turns {
    pub(super) fn new(
        hub: Weak<Inner>,
        keeper: Keeper,
        head: Option<Position>,
        inbox: Arc<Inbox>,
        directs: Arc<Mutex<DirectReceipts>>,
        recent: Arc<AtomicUsize>,
        watches: Arc<[Arc<dyn Watch>]>,
    ) -> Self {
        let adrift = head.is_none();
        let head = head.unwrap_or_else(|| Position { epoch: Epoch::random(), seq: 0 });
        Self {
            hub,
            state: RoomState::new(keeper.room().clone(), head),
            adrift,
            keeper,
            inbox,
            members: Vec::new(),
            places: HashMap::new(),
            lanes: Vec::new(),
            blocking: 0,
            open: Vec::new(),
            size: 0,
            unkept: Vec::new(),
            unheard: Vec::new(),
            urgent: false,
            until: None,
            told: Vec::new(),
            recent: Recent::within(recent),
            names: None,
            receipts: Receipts::default(),
            directs,
            directs_due: None,
            watches,
            since: Instant::now(),
        }
    }

    /// Takes turns until the inbox is closed and empty; tells whether nothing was ever said.
    pub(super) async fn run(mut self) -> bool {
        let inbox = self.inbox.clone();
        let mut inputs = Vec::new();
        loop {
            let due = [self.until, self.receipts.due(), self.directs_due].into_iter().flatten().min();
            let taken = match due {
                Some(due) => timeout_at(due, inbox.take(&mut inputs)).await,
                None => Ok(inbox.take(&mut inputs).await),
            };
            match taken {
                Ok(Some(since)) => {
                    self.since = since;
                    self.gather(&mut inputs).await;
                    self.turn(&mut inputs).await;
                    // What a burst left behind is not kept.
                    if inputs.capacity() > KEPT_INPUTS {
                        inputs = Vec::new();
                    }
                    if !inbox.is_empty() {
                        // Those who speak get their turn too; what they say meanwhile makes the next batch.
                        tokio::task::yield_now().await;
                    }
                }
                Ok(None) => {
                    self.commit().await;
                    self.part();
                    return !self.adrift && self.state.head().seq == 0;
                }
                Err(_) => {}
            }
            let now = Instant::now();
            if self.until.is_some_and(|until| until <= now) {
                self.commit().await;
            }
            self.tell_receipts(now);
        }
    }

    /// Lets those who are about to speak come in. A batch for many members costs so much more than looking once more
    /// into the sockets that a burst is worth taking whole. There is no waiting: it ends when nothing came.
    async fn gather(&self, inputs: &mut Vec<Input>) {
        if self.members.len() < MANY_MEMBERS {
            return;
        }
        while inputs.len() < BATCH_EVENTS {
            tokio::task::yield_now().await;
            if !self.inbox.take_more(inputs) {
                return;
            }
        }
    }

    async fn turn(&mut self, inputs: &mut Vec<Input>) {
        let now = now();
        for input in inputs.drain(..) {
            match input {
                Input::Join(join) => self.join(*join).await,
                Input::Resume { session, resume, done } => {
                    self.catch_up(session).await;
                    self.find_end().await;
                    let joined = match self.places.get(&session) {
                        Some(place) => self.resume(*place, resume),
                        None => Joined::Live,
                    };
                    let _ = done.send(joined);
                }
                Input::Leave { session, done } => {
                    // Whoever leaves of their own will has heard everything up to then.
                    if done.is_some() {
                        self.catch_up(session).await;
                    }
                    self.leave(session);
                    if let Some(done) = done {
                        let _ = done.send(());
                    }
                }
                Input::Expel { user, why, done } => {
                    self.commit().await;
                    self.expel(user, &why);
                    let _ = done.send(());
                }
                Input::Rename { user, new, done } => {
                    self.rename(user, &new).await;
                    let _ = done.send(());
                }
                // Who is not to hear what is open was noted when it was said.
                Input::Blocked { user, blocked } => {
                    for member in self.members.iter_mut().filter(|member| member.user == Some(user)) {
                        member.blocked = blocked.clone();
                    }
                    self.blocking = self.members.iter().filter(|member| !member.blocked.is_empty()).count();
                }
                Input::Post(said) => self.post(said, now).await,
                Input::Typing { session, user } => {
                    if let (Some(room), Some(name)) = (self.room(), self.state.name(user)) {
                        let event = Event::Typing { room, user: name.clone() };
                        self.hide(session);
                        self.notice(event);
                    }
                }
                Input::Received { session, seq } => {
                    if let Some(place) = self.places.get(&session) {
                        let member = &mut self.members[*place];
                        // Whoever brings it nearer told it what comes before the end, and nothing behind.
                        let told = if member.behind { self.state.head().seq } else { 0 };
                        member.progress.receive(seq, told);
                        self.directs_due = self.directs_due.map(|_| Instant::now());
                    }
                }
                Input::Doubt { seq, reason } => {
                    let events = lock(&self.directs).doubt(seq, reason);
                    self.tell_authors(&events);
                }
                // Whoever comes back hears what is kept, and of the gap.
                Input::Cut => self.recent.clear(),
                Input::Who(reply) => {
                    if let Some(room) = self.room() {
                        let names = self.names.get_or_insert_with(|| self.state.names().into()).clone();
                        self.told.push((reply, Event::Users { room, names }));
                    }
                }
                Input::Count(reply) => {
                    let _ = reply.send(self.state.len());
                }
                Input::Listen { session, outbox } => self.listen(session, outbox),
                Input::Announce { user } => {
                    if let (Some(room), Some(user)) = (self.room(), self.state.name(user).cloned()) {
                        self.notice(Event::Registered { room, user });
                    }
                }
                Input::Notice(event) => self.notice(event),
            }
            if self.open.len() >= BATCH_EVENTS || self.size >= BATCH_BYTES {
                self.commit().await;
                // Whoever hears it gets time to take it: what waits for them is bounded.
                tokio::task::yield_now().await;
            }
        }
        if self.urgent {
            self.commit().await;
        }
        tell_all(&mut self.told);
    }

    async fn join(&mut self, join: Join) {
        let Join { session, user, name, outbox, blocked, resume, done } = join;
        if resume.is_some() {
            self.catch_up(session).await;
            self.find_end().await;
        }
        if let RoomKey::Direct(_) = self.state.key() {
            lock(&self.directs).waiting = Waiting::default();
        }
        let lane = self.lane(outbox.encoding());
        self.names = None;
        let first = self.state.join(user, name.clone());
        if let Some(room) = self.room() {
            let event = Event::Joined { room, user: name };
            // The newcomer hears it at once, the others with the next batch.
            outbox.tell(std::slice::from_ref(&event));
            if first {
                self.notice(event);
            }
        }
        self.blocking += usize::from(!blocked.is_empty());
        let place = self.seat(session, Some(user), outbox, blocked, lane);
        let joined = match resume {
            Some(resume) => self.resume(place, resume),
            None => Joined::Live,
        };
        let _ = done.send(joined);
    }

    /// Gives a session its place, from which it hears what comes next.
    fn seat(
        &mut self,
        session: SessionId,
        user: Option<UserId>,
        outbox: Arc<Outbox>,
        blocked: Arc<[UserId]>,
        lane: usize,
    ) -> usize {
        self.lanes[lane].members += 1;
        let place = self.members.len();
        self.places.insert(session, place);
        let (from, progress) = (self.open.len(), Progress::default());
        self.members.push(Member { session, user, outbox, blocked, lane, from, progress, behind: false, gone: false });
        place
    }

    /// Lets somebody hear the room who is no member of it.
    fn listen(&mut self, session: SessionId, outbox: Arc<Outbox>) {
        let lane = self.lane(outbox.encoding());
        self.seat(session, None, outbox, Arc::default(), lane);
    }

    /// Asks where the room ends, if that is not known; tells whether it is. Nothing is open that is not kept.
    async fn find_end(&mut self) -> bool {
        if self.adrift
            && let Ok(head) = self.keeper.head().await
        {
            self.rewind(head);
            self.adrift = false;
        }
        !self.adrift
    }

    /// Takes the history's word for where the room ends. What was said last may not be what is remembered.
    fn rewind(&mut self, head: Position) {
        self.state.rewind(head);
        self.recent.clear();
        lock(&self.directs).waiting = Waiting::default();
    }

    /// Brings a member up to date, if little enough is missing. Nothing is open but what is not for this member.
    fn resume(&mut self, place: usize, resume: Resume) -> Joined {
        let Position { epoch, seq: last } = self.state.head();
        let key = self.state.key().clone();
        if !lock(&self.directs).is_empty() {
            self.directs_due = Some(Instant::now());
        }
        let member = &mut self.members[place];
        let Resume { epoch: claimed, from, seq, whole, paced, lost } = &resume;
        let recovered =
            |from, recovered| Event::Recovered { room: key.clone(), epoch: epoch.clone(), from, to: last, recovered };
        member.behind = false;
        member.from = self.open.len();
        if self.adrift {
            member.outbox.tell(&[Event::Refused { why: Refusal::Unavailable, id: None }]);
            if let Some(epoch) = claimed.clone() {
                let (room, from, to) = (key, *from, *seq);
                member.outbox.tell(&[Event::Recovered { room, epoch, from, to, recovered: false }]);
            }
            return Joined::Live;
        }
        if claimed.as_ref().is_some_and(|claimed| *claimed != epoch) {
            member.outbox.tell(&[recovered(0, false)]);
            return Joined::Live;
        }
        if *seq > last {
            if claimed.is_some() {
                member.outbox.tell(&[recovered(*from, false)]);
            }
            return Joined::Live;
        }
        if *lost {
            let gap = (last > *seq).then(|| Event::Gap { room: key.clone(), from: *seq, to: last });
            let told = gap.into_iter().chain(claimed.is_some().then(|| recovered(*from, false)));
            member.outbox.tell(&told.collect::<Vec<_>>());
            return Joined::Live;
        }
        let Some(missed) = self.recent.after(*seq, last) else {
            member.behind = true;
            return Joined::Behind(resume);
        };
        let missed: Vec<_> = missed.filter(|post| !member.blocked.contains(&post.record.user)).collect();
        let bytes = missed.iter().map(|post| post.record.body.len()).sum();
        if !member.outbox.has_room_for(missed.len(), bytes, if *paced { PACED_SHARE } else { SHARE }) {
            member.behind = true;
            return Joined::Behind(resume);
        }
        let mut events: Vec<_> = missed.into_iter().map(|post| Event::Message(post.clone())).collect();
        if let (RoomKey::Direct(_), false) = (&key, events.is_empty()) {
            events.push(Event::Confirm { room: key.clone(), seq: last });
        }
        if claimed.is_some() {
            events.push(recovered(*from, *whole));
        }
        if !events.is_empty() {
            member.outbox.tell(&events);
        }
        member.progress.offer(last, &member.outbox);
        Joined::Live
    }

    fn leave(&mut self, session: SessionId) {
        let Some(place) = self.places.remove(&session) else { return };
        self.names = None;
        let member = self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.places.insert(moved.session, place);
        }
        self.lanes[member.lane].members -= 1;
        self.blocking -= usize::from(!member.blocked.is_empty());
        if let (Some(user), Some(room)) = (member.user.and_then(|user| self.state.leave(user)), self.room()) {
            self.notice(Event::Left { room, user });
        }
    }

    /// Puts a user out, who hears it and why at once.
    fn expel(&mut self, user: UserId, why: &Arc<str>) {
        let left = self.room().zip(self.state.name(user)).map(|(room, user)| Event::Left { room, user: user.clone() });
        let told: Vec<_> = left.into_iter().chain([Event::System(why.clone())]).collect();
        let sessions = self.members.iter().filter(|member| member.user == Some(user));
        for (session, outbox) in sessions.map(|m| (m.session, m.outbox.clone())).collect::<Vec<_>>() {
            self.leave(session);
            outbox.tell(&told);
        }
    }

    async fn rename(&mut self, user: UserId, new: &Nickname) {
        self.names = None;
        let Some(old) = self.state.rename(user, new.clone()) else { return };
        let Some(room) = self.room() else { return };
        let event = Event::Renamed { room, old, new: new.clone() };
        // Whoever did it hears it at once, behind all that came before.
        let sessions = self.members.iter().filter(|member| member.user == Some(user)).map(|member| member.session);
        for session in sessions.collect::<Vec<_>>() {
            self.catch_up(session).await;
        }
        for member in self.members.iter().filter(|member| member.user == Some(user)) {
            member.outbox.tell(std::slice::from_ref(&event));
            self.unheard.push((self.open.len(), member.session));
        }
        self.notice(event);
    }

    async fn post(&mut self, said: Said, now: Timestamp) {
        let Said { user, session, name, to, away, body, id, reply, echo } = said;
        let name = match session {
            Some(session) if !self.places.contains_key(&session) => None,
            _ => name.or_else(|| self.state.name(user).cloned()),
        };
        let Some(name) = name else {
            // Put out while it spoke.
            let room = self.state.key().to_string();
            return self.told.push((reply, Event::Refused { why: Refusal::NotInRoom(room), id }));
        };
        if !self.find_end().await {
            return self.told.push((reply, Event::Refused { why: Refusal::Unavailable, id }));
        }
        if let Some(id) = &id {
            let known = match self.keeper.know(user, id, &body, now).await {
                Known::Flying => {
                    // The same id a moment ago, in this room: what became of it is known in a moment.
                    self.commit().await;
                    self.keeper.know(user, id, &body, now).await
                }
                known => known,
            };
            let event = match known {
                Known::New => None,
                Known::Again(at) => Some(Event::Accepted { id: id.clone(), room: self.state.key().clone(), at }),
                Known::Other | Known::Flying => Some(Event::Refused { why: Refusal::IdReused, id: Some(id.clone()) }),
                Known::Failed => Some(Event::Refused { why: Refusal::Unavailable, id: Some(id.clone()) }),
            };
            if let Some(event) = event {
                return self.told.push((reply, event));
            }
        }
        // Whoever sits at a prompt is as good as away, and so is what may wait bounded.
        let held = to.is_some() && self.members.iter().all(|member| member.outbox.holds_much());
        let refused = match away.filter(|_| self.members.is_empty()) {
            Some(away) => self.refuse_waiting(user, away).await,
            None => (held && !self.members.is_empty()).then_some(Refusal::Full),
        };
        if let Some(why) = refused {
            if let Some(id) = &id {
                self.keeper.release(user, id);
            }
            return self.told.push((reply, Event::Refused { why, id }));
        }
        let post = self.state.post(user, &name, body, id.clone(), now);
        if away.is_some() {
            lock(&self.directs).waiting.add(&post.record);
        }
        if self.blocking > 0 {
            for member in self.members.iter().filter(|member| member.blocked.contains(&user)) {
                self.unheard.push((self.open.len(), member.session));
            }
        }
        if let Some(session) = session.filter(|_| !reply.sink().echo()) {
            self.hide(session);
        }
        self.unkept.push(Unkept { at: self.open.len(), post: post.clone(), said: Answer { id, to, reply, echo } });
        self.urgent = true;
        let confirm = match self.state.key() {
            RoomKey::Direct(_) => Some(Event::Confirm { room: self.state.key().clone(), seq: post.record.seq }),
            RoomKey::Room(_) => None,
        };
        self.add(Event::Message(post));
        if let Some(confirm) = confirm {
            self.add(confirm);
        }
    }

    /// Why no more of an author may wait for whoever is away, if so.
    async fn refuse_waiting(&mut self, author: UserId, away: Away) -> Option<Refusal> {
        let Away { delivered, most, each } = away;
        let waiting = self.state.head().seq.saturating_sub(delivered);
        if waiting >= most {
            return Some(Refusal::Full);
        }
        if waiting < each {
            return None;
        }
        // Who said what waits is read once, and counted from there on.
        let last = self.state.head().seq;
        let known = lock(&self.directs).waiting.of(author, delivered, last);
        if let Some(known) = known {
            return (known >= each).then_some(Refusal::Full);
        }
        self.commit().await;
        let (mut counted, mut after) = (Waiting::behind(delivered), delivered);
        loop {
            let Ok(records) = self.keeper.behind(after).await else { return Some(Refusal::Unavailable) };
            let Some(end) = records.last().map(|record| record.seq) else { break };
            records.iter().for_each(|record| counted.count(record.user, record.seq));
            after = end;
        }
        // Retention may have taken the last of them.
        counted.reach(self.state.head().seq);
        let known = counted.of(author, delivered, self.state.head().seq).unwrap_or_default();
        lock(&self.directs).waiting = counted;
        (known >= each).then_some(Refusal::Full)
    }

    /// Keeps what was said, then gives every member what is open.
    async fn commit(&mut self) {
        let mut accepted = 0;
        if !self.unkept.is_empty() {
            let unkept = mem::take(&mut self.unkept);
            let records: Vec<_> = unkept.iter().map(|unkept| unkept.post.record.clone()).collect();
            match self.keeper.append(&records).await {
                Ok(()) => {
                    accepted = records.len() as u64;
                    unkept.into_iter().for_each(|unkept| self.kept(unkept));
                }
                Err((why, head)) => {
                    warn!(room = %self.state.key(), %why, "what was said could not be kept");
                    self.adrift = head.is_none();
                    if let Some(head) = head {
                        self.rewind(head);
                    }
                    self.take_back(unkept);
                }
            }
        }
        self.flush();
        tell_all(&mut self.told);
        if accepted > 0
            && let Some(hub) = self.hub.upgrade()
        {
            hub.counters.accepted(accepted, self.since.elapsed());
        }
    }

    /// Gives one member what is open. For the others it may wait: who comes and goes costs them a write now and then,
    /// not one each time.
    async fn catch_up(&mut self, session: SessionId) {
        if !self.unkept.is_empty() {
            return self.commit().await;
        }
        let Some(place) = self.places.get(&session) else { return };
        let (member, open) = (&mut self.members[*place], self.open.len());
        if member.behind || member.gone {
            return;
        }
        let heard = |at: &usize| !self.unheard.contains(&(*at, session));
        let events: Vec<_> = (member.from..open).filter(heard).map(|at| self.open[at].clone()).collect();
        member.from = open;
        member.gone = !events.is_empty() && !member.outbox.tell(&events);
        // What it asked for comes behind, and before it goes elsewhere.
        tell_all(&mut self.told);
    }

    fn kept(&mut self, unkept: Unkept) {
        let Unkept { post, said: Answer { id, to, reply, echo }, .. } = unkept;
        if echo {
            self.told.push((reply.clone(), Event::Message(post.clone())));
        }
        let record = &post.record;
        for watch in &*self.watches {
            watch.said(&Told { post: &post, to: to.as_deref() });
        }
        if let Some(id) = id {
            let at = Position { epoch: post.epoch.clone(), seq: record.seq };
            self.told.push((reply, Event::Accepted { id: id.clone(), room: record.room.clone(), at }));
            match (&record.room, to) {
                (RoomKey::Direct(_), Some(to)) => {
                    lock(&self.directs).follow(&post, to);
                    self.directs_due = Some(Instant::now());
                }
                (RoomKey::Direct(_), None) => {}
                (RoomKey::Room(_), _) => {
                    let others = self.state.len().saturating_sub(1);
                    self.receipts.follow(record.user, id, record.seq, others, Instant::now());
                }
            }
        }
        self.recent.push(post);
    }

    /// Takes what could not be kept out of what is open.
    fn take_back(&mut self, unkept: Vec<Unkept>) {
        let mut lost = unkept.iter().map(|unkept| unkept.at).peekable();
        let mut places = Vec::with_capacity(self.open.len() + 1);
        let mut open = Vec::new();
        for (at, event) in mem::take(&mut self.open).into_iter().enumerate() {
            places.push(open.len());
            // A question whether something came goes with it.
            if lost.next_if_eq(&at).is_none() && !matches!(event, Event::Confirm { .. }) {
                open.push(event);
            }
        }
        places.push(open.len());
        self.open = open;
        let lost: Vec<_> = unkept.iter().map(|unkept| unkept.at).collect();
        self.unheard.retain(|(at, _)| !lost.contains(at));
        for (at, _) in &mut self.unheard {
            *at = places[*at];
        }
        for member in &mut self.members {
            member.from = places[member.from];
        }
        for Unkept { said: Answer { id, reply, .. }, .. } in unkept {
            self.told.push((reply, Event::Refused { why: Refusal::Unavailable, id }));
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
        self.size += match &event {
            Event::Message(post) => FRAME_BYTES + post.record.body.len(),
            _ => FRAME_BYTES,
        };
        self.open.push(event);
    }

    /// Hides the next event from a session.
    fn hide(&mut self, session: SessionId) {
        self.unheard.push((self.open.len(), session));
    }

    /// Gives every member what is open; all of it is kept.
    fn flush(&mut self) {
        (self.urgent, self.until, self.size) = (false, None, 0);
        if self.open.is_empty() {
            return;
        }
        let events: Arc<[Event]> = mem::take(&mut self.open).into();
        let unheard = mem::take(&mut self.unheard);
        let batches: Vec<_> = self.lanes.iter_mut().map(|lane| lane.batch(&events)).collect();
        let followed = !self.receipts.is_empty() || self.directs_due.is_some();
        let last = self.state.head().seq;
        let mut members = self.members.iter_mut().filter(|member| !member.gone).peekable();
        while let Some(member) = members.next() {
            // While the system writes for this one, the memory of the next comes near.
            let next = members.peek().map_or(0, |next| Arc::strong_count(&next.outbox));
            std::hint::black_box(next);
            let from = mem::take(&mut member.from);
            if member.behind {
                continue;
            }
            let batch = &batches[member.lane];
            let holes = unheard.iter().filter(|(_, session)| *session == member.session).map(|(at, _)| *at);
            member.gone = !if from == 0 && unheard.is_empty() {
                offer(&member.outbox, batch)
            } else {
                offer_around(&member.outbox, batch, from, holes)
            };
            if followed && member.user.is_some() {
                member.progress.offer(last, &member.outbox);
            }
        }
    }

    /// Tells authors how far their messages came.
    fn tell_receipts(&mut self, now: Instant) {
        let events = if self.receipts.due().is_some_and(|due| due <= now) {
            let Some(room) = self.room() else { return };
            let members = self.members.iter_mut().filter(|member| !member.behind);
            let members = members.filter_map(|m| Some((m.user?, &mut m.progress, &*m.outbox, &*m.blocked)));
            self.receipts.tick(&room, members, now)
        } else if self.directs_due.is_some_and(|due| due <= now) {
            let mut directs = lock(&self.directs);
            let sessions = self.members.iter_mut().filter(|member| !member.behind);
            let events = directs.tick(sessions.map(|m| (&mut m.progress, &*m.outbox)), now);
            self.directs_due = directs.due(!self.members.is_empty(), now);
            events
        } else {
            return;
        };
        self.tell_authors(&events);
    }

    /// The user whose direct messages these are is here no more: nobody confirms what was sent.
    fn part(&self) {
        let events = lock(&self.directs).part();
        self.tell_authors(&events);
    }

    fn tell_authors(&self, events: &[(UserId, Event)]) {
        if let Some(hub) = self.hub.upgrade().filter(|_| !events.is_empty()) {
            hub.tell(events);
        }
    }

    fn lane(&mut self, encoding: Encoding) -> usize {
        if let Some(lane) = self.lanes.iter().position(|lane| lane.encoding == encoding) {
            return lane;
        }
        self.lanes.push(Lane { encoding, members: 0, bytes: BytesMut::new() });
        self.lanes.len() - 1
    }
}

fn lock(directs: &Mutex<DirectReceipts>) -> std::sync::MutexGuard<'_, DirectReceipts> {
    directs.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a session is told at once of what it missed, as a share of what may wait for it: when it may come back to many
/// rooms at a time, and when it took all that was told before.
const SHARE: usize = 32;
const PACED_SHARE: usize = 4;
/// How long a notice may wait for company.
const NOTICE_WAIT: Duration = Duration::from_millis(250);
/// Bytes from which on a batch leaves before the turn is over.
const BATCH_BYTES: usize = 64 * 1024;
/// Events from which on it does, well below what a member may have waiting.
const BATCH_EVENTS: usize = 256;
/// Members from which on a burst is gathered.
const MANY_MEMBERS: usize = 64;
/// Bytes of a frame beside its text, about.
const FRAME_BYTES: usize = 64;
/// Capacity for inputs that a room keeps between turns.
const KEPT_INPUTS: usize = 256;
