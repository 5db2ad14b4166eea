//! Who there is: users, their names and tokens, sessions, rooms. Everything under one lock, which is never held long.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::counters::{Counters, Gauges};
use super::inbox::{Inbox, Input, SessionId};
use super::outbox::Outbox;
use super::room::RoomState;
use super::turn::Turns;
use super::{Lifetime, OpenError};
use crate::limits::Limits;
use crate::message::{Refusal, RoomKey, UserId};
use crate::name::{Nickname, RoomName, is_reserved};
use crate::secret::Secret;

#[derive(Debug, Default)]
pub(super) struct Directory {
    users: HashMap<UserId, User>,
    names: HashMap<Nickname, UserId>,
    tokens: HashMap<[u8; 32], UserId>,
    rooms: HashMap<RoomName, Room>,
    /// When users without sessions end.
    ends: BTreeSet<(Instant, UserId)>,
    sessions: u64,
    pub(super) counters: Arc<Counters>,
}

#[derive(Debug)]
struct User {
    name: Nickname,
    token: [u8; 32],
    sessions: Vec<Session>,
    /// The user's direct messages, once there were any.
    direct: Option<Arc<Inbox>>,
    /// Rooms made that still stand.
    made: usize,
    ends: Option<Instant>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    outbox: Arc<Outbox>,
    rooms: Vec<RoomName>,
}

#[derive(Debug)]
struct Room {
    inbox: Arc<Inbox>,
    sessions: usize,
    maker: Option<UserId>,
}

impl Directory {
    /// Makes a guest of that name.
    pub(super) fn sign_up(&mut self, name: Nickname, limits: &Limits, now: Instant) -> Result<Secret, Refusal> {
        self.forget(now);
        if is_reserved(name.as_str()) || self.names.contains_key(&name) {
            return Err(Refusal::Taken(name.to_string()));
        }
        if self.users.len() >= limits.users {
            return Err(Refusal::Full);
        }
        let (user, secret) = (UserId::random(), Secret::random());
        let token = *secret.hash().as_bytes();
        let ends = now + UNUSED;
        self.names.insert(name.clone(), user);
        self.tokens.insert(token, user);
        self.ends.insert((ends, user));
        let guest = User { name, token, sessions: Vec::new(), direct: None, made: 0, ends: Some(ends) };
        self.users.insert(user, guest);
        Ok(secret)
    }

    /// Whose token it is.
    pub(super) fn user_of(&mut self, token: &Secret, now: Instant) -> Option<UserId> {
        self.forget(now);
        self.tokens.get(token.hash().as_bytes()).copied()
    }

    /// One more session of a token's user.
    pub(super) fn open(
        &mut self,
        token: &Secret,
        outbox: &Arc<Outbox>,
        limits: &Limits,
        now: Instant,
    ) -> Result<(UserId, SessionId), OpenError> {
        let id = self.user_of(token, now).ok_or(OpenError::BadToken)?;
        let user = self.users.get_mut(&id).ok_or(OpenError::BadToken)?;
        if user.sessions.len() >= limits.sessions_per_user {
            return Err(OpenError::TooManySessions);
        }
        if let Some(ends) = user.ends.take() {
            self.ends.remove(&(ends, id));
        }
        self.sessions += 1;
        let session = SessionId(self.sessions);
        user.sessions.push(Session { id: session, outbox: outbox.clone(), rooms: Vec::new() });
        if let Some(direct) = &user.direct {
            join(direct, session, id, &user.name, outbox);
        }
        Ok((id, session))
    }

    /// Ends a session; with the last one the user, or after a while.
    pub(super) fn close(&mut self, id: UserId, session: SessionId, lifetime: Lifetime, now: Instant) {
        let Some(user) = self.users.get_mut(&id) else { return };
        let Some(at) = user.sessions.iter().position(|s| s.id == session) else { return };
        let closed = user.sessions.swap_remove(at);
        if let Some(direct) = &user.direct {
            direct.put(Input::Leave { session, done: None });
        }
        if user.sessions.is_empty() && lifetime == Lifetime::Kept {
            let ends = now + KEPT;
            user.ends = Some(ends);
            self.ends.insert((ends, id));
        }
        let ends = user.sessions.is_empty() && lifetime == Lifetime::Session;
        for room in closed.rooms {
            self.vacate(&room, Input::Leave { session, done: None });
        }
        if ends {
            self.remove(id);
        }
    }

    pub(super) fn name(&self, user: UserId) -> Option<&Nickname> {
        self.users.get(&user).map(|user| &user.name)
    }

    pub(super) fn room_names(&self) -> String {
        let mut names: Vec<_> = self.rooms.keys().map(RoomName::as_str).collect();
        if !self.rooms.contains_key(GLOBAL) {
            names.push(GLOBAL);
        }
        names.sort_unstable();
        names.join("\n")
    }

    /// Whether there is such a room, made now if `make` and there is not.
    pub(super) fn check_room(&self, user: UserId, room: &RoomName, make: bool, limits: &Limits) -> Result<(), Refusal> {
        let exists = room.as_str() == GLOBAL || self.rooms.contains_key(room);
        match (exists, make) {
            (true, true) => Err(Refusal::RoomExists(room.to_string())),
            (false, false) => Err(Refusal::NoRoom(room.to_string())),
            (false, true) if self.users.get(&user).is_some_and(|user| user.made >= limits.rooms_per_user) => {
                Err(Refusal::TooManyRooms(limits.rooms_per_user))
            }
            (false, true) if self.rooms.len() >= limits.rooms => Err(Refusal::Full),
            _ => Ok(()),
        }
    }

    /// Lets a session into a room. What comes back is ready when the room has told it so.
    pub(super) fn enter(
        &mut self,
        id: UserId,
        session: SessionId,
        room: &RoomName,
        make: bool,
        limits: &Limits,
    ) -> Result<(Arc<Inbox>, oneshot::Receiver<()>), Refusal> {
        self.check_room(id, room, make, limits)?;
        let user = self.users.get_mut(&id).ok_or(Refusal::Over)?;
        let name = user.name.clone();
        let entering = user.sessions.iter_mut().find(|s| s.id == session).ok_or(Refusal::Over)?;
        if entering.rooms.len() >= limits.rooms_per_user {
            return Err(Refusal::TooManyRooms(limits.rooms_per_user));
        }
        entering.rooms.push(room.clone());
        user.made += usize::from(make);
        let outbox = entering.outbox.clone();
        let entry = self.rooms.entry(room.clone()).or_insert_with(|| Room {
            inbox: start(RoomKey::Room(room.clone()), limits, &self.counters),
            sessions: 0,
            maker: make.then_some(id),
        });
        entry.sessions += 1;
        Ok((entry.inbox.clone(), join(&entry.inbox, session, id, &name, &outbox)))
    }

    /// Lets a session out of a room. What comes back is ready when it hears nothing of it any more.
    pub(super) fn leave(&mut self, id: UserId, session: SessionId, room: &RoomName) -> Option<oneshot::Receiver<()>> {
        let user = self.users.get_mut(&id)?;
        let leaving = user.sessions.iter_mut().find(|s| s.id == session)?;
        let at = leaving.rooms.iter().position(|r| r == room)?;
        leaving.rooms.swap_remove(at);
        let (done, left) = oneshot::channel();
        self.vacate(room, Input::Leave { session, done: Some(done) });
        Some(left)
    }

    /// Gives a user another name, in every room that a session of theirs is in.
    pub(super) fn rename(
        &mut self,
        id: UserId,
        new: &Nickname,
        now: Instant,
    ) -> Result<Vec<oneshot::Receiver<()>>, Refusal> {
        self.forget(now);
        if is_reserved(new.as_str()) || self.names.contains_key(new) {
            return Err(Refusal::Taken(new.to_string()));
        }
        let user = self.users.get_mut(&id).ok_or(Refusal::Over)?;
        let old = std::mem::replace(&mut user.name, new.clone());
        self.names.remove(&old);
        self.names.insert(new.clone(), id);
        let mut rooms: Vec<_> = user.sessions.iter().flat_map(|session| &session.rooms).collect();
        rooms.sort_unstable();
        rooms.dedup();
        let told = rooms.into_iter().filter_map(|room| self.rooms.get(room)).map(|room| {
            let (done, heard) = oneshot::channel();
            room.inbox.put(Input::Rename { user: id, new: new.clone(), done });
            heard
        });
        Ok(told.collect())
    }

    /// The way to somebody's direct messages, and who it is.
    pub(super) fn direct(&mut self, to: &str, limits: &Limits, now: Instant) -> Result<(UserId, Arc<Inbox>), Refusal> {
        self.forget(now);
        let nobody = || Refusal::NoUser(to.to_owned());
        let id = Nickname::new(to).ok().and_then(|to| self.names.get(&to).copied()).ok_or_else(nobody)?;
        let user = self.users.get_mut(&id).ok_or_else(nobody)?;
        if user.sessions.is_empty() {
            return Err(nobody());
        }
        let inbox = match &user.direct {
            Some(inbox) => inbox.clone(),
            None => {
                let inbox = start(RoomKey::Direct(id), limits, &self.counters);
                for session in &user.sessions {
                    join(&inbox, session.id, id, &user.name, &session.outbox);
                }
                user.direct.insert(inbox).clone()
            }
        };
        Ok((id, inbox))
    }

    /// What there is, but for what waits in the ways out.
    pub(super) fn gauges(&self) -> (Gauges, Vec<Arc<Outbox>>) {
        let sessions = self.users.values().flat_map(|user| &user.sessions);
        let outboxes: Vec<_> = sessions.map(|session| session.outbox.clone()).collect();
        let rooms = self.rooms.values().filter(|room| room.sessions > 0).count();
        (Gauges { users: self.users.len(), sessions: outboxes.len(), rooms, ..Gauges::default() }, outboxes)
    }

    /// Ends every session, and every room once its inbox is empty.
    pub(super) fn shut_down(&mut self) -> Vec<Arc<Outbox>> {
        for room in self.rooms.values() {
            room.inbox.close();
        }
        let users = self.users.values();
        users.clone().filter_map(|user| user.direct.as_ref()).for_each(|direct| direct.close());
        users.flat_map(|user| &user.sessions).map(|session| session.outbox.clone()).collect()
    }

    /// Puts a leave into a room; the last one closes it, unless it is the one that never vanishes.
    fn vacate(&mut self, room: &RoomName, leave: Input) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.inbox.put(leave);
        entry.sessions -= 1;
        if entry.sessions == 0 && room.as_str() != GLOBAL {
            entry.inbox.close();
            if let Some(entry) = self.rooms.remove(room)
                && let Some(maker) = entry.maker.and_then(|maker| self.users.get_mut(&maker))
            {
                maker.made -= 1;
            }
        }
    }

    /// Forgets users whose time is over.
    fn forget(&mut self, now: Instant) {
        while let Some((at, user)) = self.ends.first().copied()
            && at <= now
        {
            self.remove(user);
        }
    }

    fn remove(&mut self, id: UserId) {
        let Some(user) = self.users.remove(&id) else { return };
        self.names.remove(&user.name);
        self.tokens.remove(&user.token);
        if let Some(ends) = user.ends {
            self.ends.remove(&(ends, id));
        }
        if let Some(direct) = user.direct {
            direct.close();
        }
    }
}

fn join(
    inbox: &Inbox,
    session: SessionId,
    user: UserId,
    name: &Nickname,
    outbox: &Arc<Outbox>,
) -> oneshot::Receiver<()> {
    let (done, joined) = oneshot::channel();
    inbox.put(Input::Join { session, user, name: name.clone(), outbox: outbox.clone(), done });
    joined
}

/// Starts a room's task, which ends when its inbox is closed.
fn start(key: RoomKey, limits: &Limits, counters: &Arc<Counters>) -> Arc<Inbox> {
    let inbox = Arc::new(Inbox::new());
    tokio::spawn(Turns::new(RoomState::new(key, limits), inbox.clone(), counters.clone()).run());
    inbox
}

const GLOBAL: &str = "global";
/// How long a token that nobody uses stands.
const UNUSED: Duration = Duration::from_secs(60);
/// How long a user whose last session dropped may come back.
const KEPT: Duration = Duration::from_secs(600);
