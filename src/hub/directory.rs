//! Who is here: users with their sessions, and the rooms. Everything under one lock, which is never held long.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::counters::Gauges;
use super::direct::{PARTINGS_AT_ONCE, PARTINGS_PER_SECOND};
use super::inbox::{Inbox, Input, Join, Joined, Resume, SessionId};
use super::outbox::Outbox;
use super::rate::Rate;
use super::receipts::DirectReceipts;
use crate::limits::Limits;
use crate::message::{Event, Refusal, RoomKey, Timestamp, UserId};
use crate::name::{Nickname, RoomName};
use crate::store::{self, RoomRules, User, UserRules};

/// The rooms that a session is in; the one entered last comes last. A moderator may take some away.
pub(super) type Rooms = Arc<Mutex<Vec<(RoomName, Arc<Inbox>)>>>;

#[derive(Default)]
pub(super) struct Directory {
    users: HashMap<UserId, Present>,
    rooms: HashMap<RoomKey, Room>,
    /// Rooms that each user made and that still stand.
    made: HashMap<UserId, usize>,
    /// Rooms that vanished, whose rules are to be forgotten.
    vanished: Vec<RoomName>,
    sessions: u64,
    /// Those who hear a room and are nobody.
    listeners: HashMap<SessionId, (RoomName, Arc<Outbox>)>,
    /// Ways to direct messages that were ever opened.
    directs: u64,
    stopped: bool,
}

/// A user with a session.
struct Present {
    name: Nickname,
    account: bool,
    sessions: Vec<Place>,
    rules: UserRules,
    /// How many they hear of that part.
    partings: Rate,
}

struct Place {
    id: SessionId,
    sign_in: store::SessionId,
    outbox: Arc<Outbox>,
    from: Option<IpAddr>,
    rooms: Rooms,
}

#[derive(Default)]
struct Room {
    /// The way in, while somebody is in it or something under way.
    inbox: Option<Arc<Inbox>>,
    /// Fires when the last task that served it has ended.
    ended: Option<CancellationToken>,
    sessions: usize,
    listeners: usize,
    /// It stays, whoever comes or goes.
    pinned: bool,
    rules: RoomRules,
    /// Whether something is kept of what was said there.
    stored: bool,
    /// Whether somebody entered since it was last looked whether anything is left of it.
    entered: bool,
    directs: Arc<Mutex<DirectReceipts>>,
}

/// A room whose task has to be started: the way in, what it waits for, what fires when it ends.
pub(super) struct Start {
    pub(super) key: RoomKey,
    pub(super) inbox: Arc<Inbox>,
    pub(super) after: Option<CancellationToken>,
    pub(super) ended: CancellationToken,
    pub(super) directs: Arc<Mutex<DirectReceipts>>,
}

/// Whose session is opened, and how.
pub(super) struct Newcomer<'a> {
    pub(super) user: &'a User,
    pub(super) sign_in: store::SessionId,
    pub(super) outbox: &'a Arc<Outbox>,
    pub(super) from: Option<IpAddr>,
    pub(super) rules: UserRules,
    pub(super) missed: Missed,
}

/// The direct messages that a user missed.
pub(super) struct Missed {
    /// Where they begin.
    pub(super) behind: u64,
    /// Whether there are some.
    pub(super) some: bool,
    /// What [`Directory::spoken_to`] told before that was known.
    pub(super) spoken: Option<u64>,
}

/// A session that was opened.
pub(super) struct Opened {
    pub(super) id: SessionId,
    pub(super) rooms: Rooms,
    pub(super) start: Option<Start>,
    /// How it stands with the direct messages that it missed.
    pub(super) joined: Option<oneshot::Receiver<Joined>>,
}

/// A session on its way into a room.
pub(super) struct Entering {
    pub(super) start: Option<Start>,
    pub(super) joined: oneshot::Receiver<Joined>,
    /// Whether the room's rules changed with it.
    pub(super) changed: bool,
    /// Whether it was closed before.
    pub(super) reopened: bool,
}

/// Who enters what, and how.
pub(super) struct Entry<'a> {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    pub(super) room: &'a RoomName,
    pub(super) make: bool,
    pub(super) resume: Option<Resume>,
    /// Whether the user may do everything in every room.
    pub(super) admin: bool,
}

impl Directory {
    /// Takes over the rooms that are known from before.
    pub(super) fn restore(&mut self, rooms: impl IntoIterator<Item = (RoomName, RoomRules)>) {
        for (name, rules) in rooms {
            if let Some(maker) = rules.maker {
                *self.made.entry(maker).or_default() += 1;
            }
            self.rooms.insert(RoomKey::Room(name), Room { rules, stored: true, ..Room::default() });
        }
    }

    /// One more session of a user. The first hears the direct messages behind `missed` before any other.
    pub(super) fn open(&mut self, newcomer: Newcomer<'_>, limits: &Limits) -> Option<Opened> {
        let Newcomer { user, sign_in, outbox, from, rules, missed } = newcomer;
        let present = self.users.entry(user.id).or_insert_with(|| Present {
            name: user.nickname.clone(),
            account: user.account,
            // Most have one.
            sessions: Vec::with_capacity(1),
            rules,
            partings: Rate::of(PARTINGS_PER_SECOND, PARTINGS_AT_ONCE),
        });
        if present.sessions.len() >= limits.sessions_per_user || self.stopped {
            if present.sessions.is_empty() {
                self.users.remove(&user.id);
            }
            return None;
        }
        self.sessions += 1;
        let (id, rooms) = (SessionId(self.sessions), Rooms::new(Mutex::new(Vec::with_capacity(1))));
        present.sessions.push(Place { id, sign_in, outbox: outbox.clone(), from, rooms: rooms.clone() });
        let mut opened = Opened { id, rooms, start: None, joined: None };
        if !outbox.sink().takes_direct() {
            return Some(opened);
        }
        let key = RoomKey::Direct(user.id);
        let room = self.rooms.get(&key);
        let under_way = room.is_some_and(Room::is_under_way) || missed.spoken != Some(self.directs);
        let first = present.listening().count() == 1;
        let missed = (first && (missed.some || under_way)).then_some(missed.behind);
        if let Some(seq) = missed {
            let room = self.rooms.entry(key.clone()).or_default();
            opened.start = room.start(&key);
            let resume = Resume::new(None, seq);
            opened.joined = room.inbox.as_ref().and_then(|inbox| present.join(user.id, id, inbox, Some(resume)));
        } else if let Some(inbox) = self.rooms.get(&key).and_then(|room| room.inbox.as_ref()) {
            present.join(user.id, id, inbox, None);
        }
        Some(opened)
    }

    /// Ends a session; with a user's last one, tells the user's rules.
    pub(super) fn close(&mut self, user: UserId, session: SessionId) -> Option<UserRules> {
        let present = self.users.get_mut(&user)?;
        let at = present.sessions.iter().position(|place| place.id == session)?;
        let closed = present.sessions.swap_remove(at);
        let last = present.sessions.is_empty();
        for (room, _) in mem::take(&mut *lock(&closed.rooms)) {
            self.vacate(&room, Input::Leave { session, done: None });
        }
        let direct = self.rooms.get(&RoomKey::Direct(user)).and_then(|room| room.inbox.as_ref());
        if let Some(inbox) = direct {
            inbox.put(Input::Leave { session, done: None });
        }
        if !last {
            return None;
        }
        self.rest(&RoomKey::Direct(user));
        self.users.remove(&user).map(|present| present.rules)
    }

    pub(super) fn name(&self, user: UserId) -> Option<&Nickname> {
        self.users.get(&user).map(|present| &present.name)
    }

    pub(super) fn is_account(&self, user: UserId) -> bool {
        self.users.get(&user).is_some_and(|present| present.account)
    }

    /// Where a user comes from.
    pub(super) fn address(&self, user: UserId) -> Option<IpAddr> {
        self.users.get(&user)?.sessions.iter().find_map(|place| place.from)
    }

    pub(super) fn outboxes(&self, user: UserId) -> impl Iterator<Item = &Arc<Outbox>> {
        self.users.get(&user).into_iter().flat_map(|present| present.sessions.iter().map(|place| &place.outbox))
    }

    /// The ways out of the connections of one sign-in.
    pub(super) fn signed_in(&self, user: UserId, sign_in: store::SessionId) -> Vec<Arc<Outbox>> {
        let places = self.users.get(&user).into_iter().flat_map(|present| &present.sessions);
        places.filter(|place| place.sign_in == sign_in).map(|place| place.outbox.clone()).collect()
    }

    pub(super) fn user_rules(&self, user: UserId) -> Option<&UserRules> {
        self.users.get(&user).map(|present| &present.rules)
    }

    /// Changes what a user here keeps, and tells the rooms whom they do not want to hear.
    pub(super) fn change_user(&mut self, user: UserId, change: impl FnOnce(&mut UserRules)) {
        let Some(present) = self.users.get_mut(&user) else { return };
        let before = present.rules.blocked.len();
        change(&mut present.rules);
        if present.rules.blocked.len() == before {
            return;
        }
        let blocked = present.blocked();
        let mut rooms = HashSet::new();
        for place in &present.sessions {
            for (room, inbox) in lock(&place.rooms).iter() {
                if rooms.insert(room.clone()) {
                    inbox.put(Input::Blocked { user, blocked: blocked.clone() });
                }
            }
        }
        if let Some(inbox) = self.rooms.get(&RoomKey::Direct(user)).and_then(|room| room.inbox.as_ref()) {
            inbox.put(Input::Blocked { user, blocked });
        }
    }

    pub(super) fn room_rules(&self, room: &RoomName) -> Option<&RoomRules> {
        self.rooms.get(&RoomKey::Room(room.clone())).map(|room| &room.rules)
    }

    /// Changes a room's rules; `None` when there is no such room.
    pub(super) fn change_room<T>(&mut self, name: &RoomName, change: impl FnOnce(&mut RoomRules) -> T) -> Option<T> {
        let room = self.has_room(name).then(|| self.rooms.entry(RoomKey::Room(name.clone())).or_default())?;
        let changed = change(&mut room.rules);
        if let Some(inbox) = &room.inbox {
            inbox.guarded.store(!room.rules.mutes.is_empty(), Ordering::Relaxed);
        }
        Some(changed)
    }

    /// Whether a user may not speak in a room.
    pub(super) fn is_muted(&self, user: UserId, room: &RoomName, now: Timestamp) -> bool {
        let Some(rules) = self.room_rules(room).filter(|rules| rules.maker != Some(user)) else { return false };
        let present = self.users.get(&user).filter(|present| !present.account);
        let mut from = present.into_iter().flat_map(|present| &present.sessions).filter_map(|place| place.from);
        rules.muted(user, None, now) || from.any(|from| rules.muted(user, Some(from), now))
    }

    /// The rooms that somebody is in, and `global`.
    pub(super) fn listed(&self) -> Event {
        let mut rooms = BTreeMap::from([(GLOBAL, 0)]);
        rooms.extend(self.rooms.iter().filter_map(|(key, room)| match key {
            RoomKey::Room(name) if room.sessions > 0 => Some((name.as_str(), room.sessions)),
            _ => None,
        }));
        let names = rooms.keys().copied().collect::<Vec<_>>().join("\n");
        Event::Rooms { names: names.into(), sessions: rooms.into_values().collect() }
    }

    /// Whether there is such a room, made now if `make` and there is not.
    fn check_room(&self, user: UserId, room: &RoomName, make: bool, limits: &Limits) -> Result<(), Refusal> {
        match (self.has_room(room), make) {
            (true, true) => Err(Refusal::RoomExists(room.to_string())),
            (false, false) => Err(Refusal::NoRoom(room.to_string())),
            (false, true) if self.made.get(&user).is_some_and(|made| *made >= limits.rooms_per_user) => {
                Err(Refusal::TooManyRooms(limits.rooms_per_user))
            }
            (false, true) if self.rooms.len() >= limits.rooms && self.named() >= limits.rooms => Err(Refusal::Full),
            _ => Ok(()),
        }
    }

    /// Whether a session could enter a room just now.
    pub(super) fn check_entry(&self, entry: &Entry<'_>, limits: &Limits, now: Timestamp) -> Result<(), Refusal> {
        self.check_room(entry.user, entry.room, entry.make, limits)?;
        let present = self.users.get(&entry.user).filter(|_| !self.stopped).ok_or(Refusal::Over)?;
        let place = present.sessions.iter().find(|place| place.id == entry.session).ok_or(Refusal::Over)?;
        self.admit(entry, place.from, present.account, now)
    }

    /// Whether a user may enter a room that there is.
    fn admit(&self, entry: &Entry<'_>, from: Option<IpAddr>, account: bool, now: Timestamp) -> Result<(), Refusal> {
        let Some(rules) = self.room_rules(entry.room) else { return Ok(()) };
        if entry.admin || rules.maker == Some(entry.user) {
            return Ok(());
        }
        // A guest who comes again has another id, but hardly another address.
        if rules.banned(entry.user, from.filter(|_| !account), now) {
            return Err(Refusal::Banned(entry.room.to_string()));
        }
        if rules.closed {
            return Err(Refusal::RoomClosed(entry.room.to_string()));
        }
        Ok(())
    }

    /// Lets a session into a room.
    pub(super) fn enter(&mut self, entry: Entry<'_>, limits: &Limits, now: Timestamp) -> Result<Entering, Refusal> {
        self.check_entry(&entry, limits, now)?;
        let present = self.users.get(&entry.user).ok_or(Refusal::Over)?;
        let place = present.sessions.iter().find(|place| place.id == entry.session).ok_or(Refusal::Over)?;
        if lock(&place.rooms).len() >= limits.rooms_per_user {
            return Err(Refusal::TooManyRooms(limits.rooms_per_user));
        }
        let key = RoomKey::Room(entry.room.clone());
        let room = self.rooms.entry(key.clone()).or_default();
        let reopened = mem::take(&mut room.rules.closed);
        let mut changed = reopened;
        if entry.make {
            room.rules.maker = Some(entry.user);
            *self.made.entry(entry.user).or_default() += 1;
            changed = true;
        }
        room.sessions += 1;
        room.entered = true;
        let start = room.start(&key);
        let inbox = room.inbox.clone().ok_or(Refusal::Over)?;
        lock(&place.rooms).push((entry.room.clone(), inbox.clone()));
        let joined = present.join(entry.user, entry.session, &inbox, entry.resume).ok_or(Refusal::Over)?;
        Ok(Entering { start, joined, changed, reopened })
    }

    /// Lets somebody hear a room that there is, who is nobody.
    pub(super) fn listen(
        &mut self,
        name: &RoomName,
        outbox: &Arc<Outbox>,
    ) -> Result<(SessionId, Option<Start>), Refusal> {
        if self.stopped {
            return Err(Refusal::Over);
        }
        if !self.has_room(name) {
            return Err(Refusal::NoRoom(name.to_string()));
        }
        self.sessions += 1;
        let (session, key) = (SessionId(self.sessions), RoomKey::Room(name.clone()));
        let room = self.rooms.entry(key.clone()).or_default();
        room.listeners += 1;
        let start = room.start(&key);
        if let Some(inbox) = &room.inbox {
            inbox.put(Input::Listen { session, outbox: outbox.clone() });
        }
        self.listeners.insert(session, (name.clone(), outbox.clone()));
        Ok((session, start))
    }

    /// Lets them hear it no more.
    pub(super) fn unlisten(&mut self, session: SessionId) {
        let Some((name, _)) = self.listeners.remove(&session) else { return };
        let key = RoomKey::Room(name);
        if let Some(room) = self.rooms.get_mut(&key) {
            if let Some(inbox) = &room.inbox {
                inbox.put(Input::Leave { session, done: None });
            }
            room.listeners = room.listeners.saturating_sub(1);
            self.rest(&key);
        }
    }

    pub(super) fn has_room(&self, name: &RoomName) -> bool {
        name.as_str() == GLOBAL || self.rooms.contains_key(&RoomKey::Room(name.clone()))
    }

    /// Makes a room that nobody made, unless it is there, and lets it stay.
    pub(super) fn pin(&mut self, name: &RoomName) {
        self.rooms.entry(RoomKey::Room(name.clone())).or_default().pinned = true;
    }

    /// The way into a room at work.
    pub(super) fn room_inbox(&self, name: &RoomName) -> Option<Arc<Inbox>> {
        self.rooms.get(&RoomKey::Room(name.clone()))?.inbox.clone()
    }

    pub(super) fn is_here(&self, user: UserId) -> bool {
        self.users.contains_key(&user)
    }

    /// Whether a user is to hear of one more who parts, `now` after the hub was made.
    pub(super) fn hears_parting(&mut self, user: UserId, now: Duration) -> bool {
        self.users.get_mut(&user).is_some_and(|present| present.partings.allow(now))
    }

    /// Whether a user is here, and nowhere where a direct message could be told.
    pub(super) fn takes_no_direct(&self, user: UserId) -> bool {
        self.users.get(&user).is_some_and(|present| present.listening().next().is_none())
    }

    /// Lets a session out of a room. What comes back is ready when it hears nothing of it any more.
    pub(super) fn leave(&mut self, user: UserId, session: SessionId, room: &RoomName) -> Option<oneshot::Receiver<()>> {
        let present = self.users.get(&user)?;
        let place = present.sessions.iter().find(|place| place.id == session)?;
        {
            let mut rooms = lock(&place.rooms);
            let at = rooms.iter().position(|(name, _)| name == room)?;
            rooms.remove(at);
        }
        let (done, left) = oneshot::channel();
        self.vacate(room, Input::Leave { session, done: Some(done) });
        Some(left)
    }

    /// Puts a user out of a room, and tells why.
    pub(super) fn expel(&mut self, user: UserId, name: &RoomName, why: &Arc<str>) -> Option<oneshot::Receiver<()>> {
        let present = self.users.get(&user)?;
        let mut out = 0;
        for place in &present.sessions {
            let mut rooms = lock(&place.rooms);
            let before = rooms.len();
            rooms.retain(|(room, _)| room != name);
            out += before - rooms.len();
        }
        if out == 0 {
            return None;
        }
        let (done, told) = oneshot::channel();
        let key = RoomKey::Room(name.clone());
        let room = self.rooms.get_mut(&key)?;
        if let Some(inbox) = &room.inbox {
            inbox.put(Input::Expel { user, why: why.clone(), done });
        }
        room.sessions = room.sessions.saturating_sub(out);
        self.rest(&key);
        Some(told)
    }

    /// Whether a session of a user is in a room.
    pub(super) fn is_in(&self, user: UserId, name: &RoomName) -> bool {
        let places = self.users.get(&user).into_iter().flat_map(|present| &present.sessions);
        places.into_iter().any(|place| lock(&place.rooms).iter().any(|(room, _)| room == name))
    }

    /// Whether somebody who was put out of a room may not hear what is said there: banned, or before a closed door.
    pub(super) fn is_shut_out(&self, user: UserId, name: &RoomName, now: Timestamp) -> bool {
        let out = |rules: &RoomRules| rules.closed || rules.banned(user, None, now);
        self.room_rules(name).is_some_and(out) && !self.is_in(user, name)
    }

    /// Everybody in a room.
    pub(super) fn members(&self, name: &RoomName) -> Vec<UserId> {
        let is_in = |present: &Present| {
            present.sessions.iter().any(|place| lock(&place.rooms).iter().any(|(room, _)| room == name))
        };
        self.users.iter().filter(|(_, present)| is_in(present)).map(|(user, _)| *user).collect()
    }

    /// Gives a user another name, in every room that a session of theirs is in.
    pub(super) fn rename(&mut self, user: UserId, new: &Nickname) -> Vec<oneshot::Receiver<()>> {
        let Some(present) = self.users.get_mut(&user) else { return Vec::new() };
        present.name = new.clone();
        let mut rooms: HashMap<RoomName, Arc<Inbox>> = HashMap::new();
        for place in &present.sessions {
            rooms.extend(lock(&place.rooms).iter().cloned());
        }
        let told = rooms.into_values().map(|inbox| {
            let (done, heard) = oneshot::channel();
            inbox.put(Input::Rename { user, new: new.clone(), done });
            heard
        });
        told.collect()
    }

    /// The way to a user's direct messages. Whoever is not here needs [`Directory::rest`] afterwards.
    pub(super) fn direct(&mut self, user: UserId) -> Option<(Arc<Inbox>, Option<Start>)> {
        if self.stopped {
            return None;
        }
        let key = RoomKey::Direct(user);
        let room = self.rooms.entry(key.clone()).or_default();
        let start = room.start(&key);
        self.directs += u64::from(start.is_some());
        let inbox = room.inbox.clone()?;
        if let (Some(_), Some(present)) = (&start, self.users.get(&user)) {
            for place in present.listening() {
                present.join(user, place.id, &inbox, None);
            }
        }
        Some((inbox, start))
    }

    /// How often a way to anybody's direct messages was opened; `None` when something is on its way to this user.
    pub(super) fn spoken_to(&self, user: UserId) -> Option<u64> {
        let under_way = self.rooms.get(&RoomKey::Direct(user)).is_some_and(Room::is_under_way);
        (!under_way).then_some(self.directs)
    }

    /// The way to a user's direct messages, if it is open.
    pub(super) fn direct_inbox(&self, user: UserId) -> Option<Arc<Inbox>> {
        self.rooms.get(&RoomKey::Direct(user))?.inbox.clone()
    }

    /// Lets a room's task end when nobody is in it; the room stays only if something is kept of it.
    pub(super) fn rest(&mut self, key: &RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let empty = match key {
            RoomKey::Room(name) => room.sessions + room.listeners == 0 && name.as_str() != GLOBAL,
            RoomKey::Direct(user) => self.users.get(user).is_none_or(|present| present.sessions.is_empty()),
        };
        if !empty {
            return;
        }
        if let Some(inbox) = room.inbox.take() {
            room.stored |= inbox.spoken();
            inbox.close();
        }
        if matches!(key, RoomKey::Room(_)) && !room.stored && !room.pinned {
            self.vanish(key);
        }
    }

    /// Notes that a room's task has ended, and whether nothing was ever said.
    pub(super) fn ended(&mut self, key: &RoomKey, ended: &CancellationToken, empty: bool) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let last = room.inbox.is_none() && room.ended.as_ref().is_some_and(CancellationToken::is_cancelled);
        if !last || !ended.is_cancelled() {
            return;
        }
        room.ended = None;
        let forget = match key {
            RoomKey::Room(_) => empty && !room.pinned,
            RoomKey::Direct(_) => lock(&room.directs).is_idle(),
        };
        if forget {
            self.vanish(key);
        }
    }

    /// Forgets the direct messages to a user who is gone; tells whose they are, and what fires when the last of them is
    /// kept.
    pub(super) fn forget(&mut self, user: UserId) -> Option<(Arc<Mutex<DirectReceipts>>, Option<CancellationToken>)> {
        let room = self.rooms.remove(&RoomKey::Direct(user))?;
        if let Some(inbox) = room.inbox {
            inbox.close();
        }
        Some((room.directs, room.ended))
    }

    /// Lets every room at work know that something was cut from the history.
    pub(super) fn cut(&self) {
        for inbox in self.rooms.values().filter_map(|room| room.inbox.as_ref()) {
            inbox.put(Input::Cut);
        }
    }

    /// The rooms that stay only for what is kept of them.
    pub(super) fn idle(&mut self) -> Vec<RoomName> {
        let mut idle = Vec::new();
        for (key, room) in &mut self.rooms {
            if let RoomKey::Room(name) = key
                && room.is_idle()
                && name.as_str() != GLOBAL
            {
                room.entered = false;
                idle.push(name.clone());
            }
        }
        idle
    }

    /// How many rooms stand beyond half of those that there may be; and if some do, the idle ones and who made them.
    pub(super) fn crowded(&self, limits: &Limits) -> (usize, Vec<(RoomName, Option<UserId>)>) {
        let excess = self.named().saturating_sub(limits.rooms / 2);
        if excess == 0 {
            return (0, Vec::new());
        }
        let idle = self.rooms.iter().filter_map(|(key, room)| match key {
            RoomKey::Room(name) if room.is_idle() && name.as_str() != GLOBAL => Some((name.clone(), room.rules.maker)),
            _ => None,
        });
        (excess, idle.collect())
    }

    /// Whether nobody is in a room, and nothing under way.
    pub(super) fn is_idle(&self, name: &RoomName) -> bool {
        self.rooms.get(&RoomKey::Room(name.clone())).is_some_and(Room::is_idle)
    }

    /// Lets rooms vanish of which nothing is kept any more, unless somebody came since they were [`idle`](Self::idle).
    pub(super) fn vanish_idle(&mut self, names: impl IntoIterator<Item = RoomName>) {
        for key in names.into_iter().map(RoomKey::Room) {
            if self.rooms.get(&key).is_some_and(|room| room.is_idle() && !room.entered) {
                self.vanish(&key);
            }
        }
    }

    /// Ends every room once its inbox is empty, and lets nobody in any more.
    pub(super) fn shut_down(&mut self) -> Vec<Arc<Outbox>> {
        self.stopped = true;
        for room in self.rooms.values_mut() {
            if let Some(inbox) = &room.inbox {
                inbox.close();
            }
        }
        let sessions = self.users.values().flat_map(|user| &user.sessions).map(|place| &place.outbox);
        sessions.chain(self.listeners.values().map(|(_, outbox)| outbox)).cloned().collect()
    }

    /// The rooms that vanished since this was asked last.
    pub(super) fn take_vanished(&mut self) -> Vec<RoomName> {
        mem::take(&mut self.vanished)
    }

    /// What there is, but for what waits in the ways out.
    pub(super) fn gauges(&self) -> (Gauges, Vec<Arc<Outbox>>) {
        let sessions = self.users.values().flat_map(|user| &user.sessions);
        let mut outboxes: Vec<_> = sessions.map(|place| place.outbox.clone()).collect();
        let rooms =
            self.rooms.iter().filter(|(key, room)| matches!(key, RoomKey::Room(_)) && room.sessions > 0).count();
        let gauges = Gauges { users: self.users.len(), sessions: outboxes.len(), rooms, ..Gauges::default() };
        outboxes.extend(self.listeners.values().map(|(_, outbox)| outbox.clone()));
        (gauges, outboxes)
    }

    /// Rooms that are not one user's direct messages. Counted when a room is made, which is rare.
    fn named(&self) -> usize {
        self.rooms.keys().filter(|key| matches!(key, RoomKey::Room(_))).count()
    }

    /// Puts a leave into a room; the last one lets it rest.
    fn vacate(&mut self, room: &RoomName, leave: Input) {
        let key = RoomKey::Room(room.clone());
        let Some(entry) = self.rooms.get_mut(&key) else { return };
        if let Some(inbox) = &entry.inbox {
            inbox.put(leave);
        }
        entry.sessions = entry.sessions.saturating_sub(1);
        self.rest(&key);
    }

    fn vanish(&mut self, key: &RoomKey) {
        let Some(room) = self.rooms.remove(key) else { return };
        if let RoomKey::Room(name) = key
            && !room.rules.is_empty()
        {
            self.vanished.push(name.clone());
        }
        if let Some(maker) = room.rules.maker
            && let Some(made) = self.made.get_mut(&maker)
        {
            *made -= 1;
            if *made == 0 {
                self.made.remove(&maker);
            }
        }
    }
}

impl Present {
    fn blocked(&self) -> Arc<[UserId]> {
        self.rules.blocked.iter().map(|(user, _)| *user).collect()
    }

    /// Where direct messages can be told.
    fn listening(&self) -> impl Iterator<Item = &Place> {
        self.sessions.iter().filter(|place| place.outbox.sink().takes_direct())
    }

    fn join(
        &self,
        user: UserId,
        session: SessionId,
        inbox: &Inbox,
        resume: Option<Resume>,
    ) -> Option<oneshot::Receiver<Joined>> {
        let place = self.sessions.iter().find(|place| place.id == session)?;
        let (done, joined) = oneshot::channel();
        let (name, outbox, blocked) = (self.name.clone(), place.outbox.clone(), self.blocked());
        inbox.put(Input::Join(Box::new(Join { session, user, name, outbox, blocked, resume, done })));
        Some(joined)
    }
}

impl Room {
    /// Whether nobody is in it, and nothing under way.
    fn is_idle(&self) -> bool {
        self.sessions == 0 && !self.pinned && self.inbox.is_none() && self.ended.is_none()
    }

    /// Whether a task serves it, or will in a moment.
    fn is_under_way(&self) -> bool {
        self.inbox.is_some() || self.ended.is_some()
    }

    /// Opens the way in, if it is not open.
    fn start(&mut self, key: &RoomKey) -> Option<Start> {
        if self.inbox.is_some() {
            return None;
        }
        let (inbox, ended) = (Arc::new(Inbox::new()), CancellationToken::new());
        inbox.guarded.store(!self.rules.mutes.is_empty(), Ordering::Relaxed);
        self.inbox = Some(inbox.clone());
        let after = self.ended.replace(ended.clone());
        Some(Start { key: key.clone(), inbox, after, ended, directs: self.directs.clone() })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const GLOBAL: &str = "global";
