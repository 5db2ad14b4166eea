//! What users do to each other and to their own sign-ins: moderation, blocks, sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::connection::ready_or_spawn;
use super::{Inner, Seat, refusal};
use crate::message::{Closing, Event, Moderation, Refusal, SignIn, Timestamp, UserId};
use crate::name::{Nickname, RoomName};
use crate::store::{self, Ban, Mute, RoomRules, StoreError};

impl Seat {
    /// Whether the user may do everything in every room.
    pub(super) fn is_admin(&self) -> bool {
        let directory = self.hub().lock();
        let user = self.user();
        directory.is_account(user) && directory.name(user).is_some_and(|name| self.hub().admins.contains(name))
    }

    pub(super) async fn block(&self, name: &str) -> Result<(), Refusal> {
        let (whom, name) = self.somebody(name).await?;
        self.keep_blocked(|blocked| {
            blocked.retain(|(user, _)| *user != whom);
            blocked.push((whom, name.as_str().into()));
        })
        .await
    }

    pub(super) async fn unblock(&self, name: &str) -> Result<(), Refusal> {
        // They may be called otherwise by now, or be gone.
        let whom = self.somebody(name).await.ok().map(|(user, _)| user);
        self.keep_blocked(|blocked| blocked.retain(|(user, then)| Some(*user) != whom && **then != *name)).await
    }

    async fn keep_blocked(&self, change: impl FnOnce(&mut Vec<(UserId, Arc<str>)>)) -> Result<(), Refusal> {
        let (hub, user) = (self.hub(), self.user());
        let mut before = None;
        hub.lock().change_user(user, |rules| {
            before = Some(rules.blocked.clone());
            change(&mut rules.blocked);
        });
        let kept = hub.keep_user(user, None).await;
        if let (Err(_), Some(before)) = (&kept, before) {
            hub.lock().change_user(user, |rules| rules.blocked = before);
        }
        kept.map_err(kept_not)
    }

    pub(super) async fn moderate(
        &self,
        room: &RoomName,
        action: Moderation,
        name: &str,
        seconds: Option<u64>,
        reason: Option<&str>,
    ) -> Result<(), Refusal> {
        let hub = self.hub();
        self.may_moderate(room)?;
        let found = self.somebody(name).await;
        let (whom, name) = match (&found, action) {
            (Ok((user, name)), _) => (Some(*user), name.as_str()),
            // A ban or a mute is lifted by the name that it was made for.
            (Err(Refusal::NoUser(_)), Moderation::Unban | Moderation::Unmute) => (None, name),
            (Err(why), _) => return Err(why.clone()),
        };
        let now = hub.now();
        let until = seconds.map(|seconds| now.after(Duration::from_secs(seconds)));
        let sentence = match whom {
            Some(user) if matches!(action, Moderation::Ban | Moderation::Mute | Moderation::Kick) => {
                if user == self.user() || hub.is_protected(user, room) {
                    return Err(Refusal::Forbidden);
                }
                let directory = hub.lock();
                // An account comes again under its own name only.
                let address = directory.address(user).filter(|address| {
                    // From this machine come all whom a proxy lets in.
                    !directory.is_account(user) && !address.is_loopback()
                });
                Some(Sentence { user, name: name.into(), address, until })
            }
            _ => None,
        };
        hub.change_rules(room, |rules| apply(rules, action, sentence, whom, name, now)).await?;
        let (what, out) = match action {
            Moderation::Kick => ("were kicked from", true),
            Moderation::Ban => ("were banned from", true),
            Moderation::Mute => ("are muted in", false),
            Moderation::Unmute => ("are no longer muted in", false),
            Moderation::Unban => ("are no longer banned from", false),
        };
        let Some(user) = whom else { return Ok(()) };
        let why = notice(what, room, seconds.filter(|_| action != Moderation::Kick), reason);
        if out {
            hub.expel(user, room, &why).await;
        } else if hub.lock().is_in(user, room) {
            // Nobody else hears of it: a moderator's words are not for those who never came.
            hub.tell(&[(user, Event::System(why))]);
        }
        Ok(())
    }

    pub(super) async fn close_room(&self, room: &RoomName, reason: Option<&str>) -> Result<(), Refusal> {
        let hub = self.hub();
        self.may_moderate(room)?;
        hub.change_rules(room, |rules| rules.closed = true).await?;
        let why: Arc<str> = match reason.filter(|reason| !reason.is_empty()) {
            Some(reason) => format!("room {room} was closed: {reason}").into(),
            None => format!("room {room} was closed").into(),
        };
        let members = hub.lock().members(room);
        for user in members {
            hub.expel(user, room, &why).await;
        }
        Ok(())
    }

    pub(super) async fn sessions(&self) -> Result<(), Refusal> {
        let hub = self.hub();
        let sessions = hub.accounts.sessions(self.user(), hub.now()).await.map_err(|_| Refusal::Unavailable)?;
        let sessions = sessions.into_iter().map(|session| SignIn {
            id: session.id.to_string().into(),
            issued: session.issued,
            connections: session.connections,
            ends: session.ends,
            current: session.id == self.connection.sign_in(),
        });
        self.outbox().tell(&[Event::Sessions(sessions.collect())]);
        Ok(())
    }

    pub(super) async fn revoke(&self, session: &str) -> Result<(), Refusal> {
        let id = store::SessionId::parse(session).ok_or(Refusal::NoSession)?;
        match self.hub().revoke(self.user(), id).await? {
            true => Ok(()),
            false => Err(Refusal::NoSession),
        }
    }

    fn may_moderate(&self, room: &RoomName) -> Result<(), Refusal> {
        let (user, admin) = (self.user(), self.is_admin());
        let directory = self.hub().lock();
        match directory.room_rules(room) {
            _ if admin => Ok(()),
            Some(rules) if rules.maker == Some(user) => Ok(()),
            _ => Err(Refusal::Forbidden),
        }
    }

    /// Who has a nickname, here or not.
    async fn somebody(&self, name: &str) -> Result<(UserId, Nickname), Refusal> {
        let nobody = || Refusal::NoUser(name.to_owned());
        let nickname = Nickname::known(name).map_err(|_| nobody())?;
        let found = self.hub().accounts.by_nickname(&nickname, self.hub().now()).await;
        let user = found.map_err(|error| refusal(error, &nickname))?.ok_or_else(nobody)?;
        Ok((user.id, nickname))
    }
}

impl Inner {
    /// Ends a sign-in and its connections; tells whether there was one.
    pub(super) async fn revoke(self: &Arc<Self>, user: UserId, session: store::SessionId) -> Result<bool, Refusal> {
        let hub = self.clone();
        // Whoever asked may be gone before the store answers; the connections are closed all the same.
        let revoked = ready_or_spawn(&self.tasks, async move { hub.revoke_now(user, session).await }).await;
        revoked.unwrap_or(Err(Refusal::Unavailable))
    }

    async fn revoke_now(&self, user: UserId, session: store::SessionId) -> Result<bool, Refusal> {
        let was = self.accounts.revoke(user, session, self.now()).await.map_err(|_| Refusal::Unavailable)?;
        let outboxes = self.lock().signed_in(user, session);
        for outbox in outboxes {
            if outbox.end().is_none() {
                self.counters.cut(Closing::Revoked);
            }
            outbox.close(Closing::Revoked);
        }
        Ok(was)
    }

    /// Whether nobody but themselves puts a user out of a room.
    fn is_protected(&self, user: UserId, room: &RoomName) -> bool {
        let directory = self.lock();
        let admin = directory.is_account(user) && directory.name(user).is_some_and(|name| self.admins.contains(name));
        admin || directory.room_rules(room).is_some_and(|rules| rules.maker == Some(user))
    }

    /// Changes a room's rules, and keeps them; what cannot be kept is taken back.
    pub(super) async fn change_rules(
        &self,
        room: &RoomName,
        change: impl FnOnce(&mut RoomRules),
    ) -> Result<(), Refusal> {
        let before = self.lock().change_room(room, |rules| {
            let before = rules.clone();
            change(rules);
            before
        });
        let before = before.ok_or_else(|| Refusal::NoRoom(room.to_string()))?;
        let kept = self.keep_room(room).await;
        if kept.is_err() {
            self.lock().change_room(room, |rules| *rules = before);
        }
        kept.map_err(kept_not)
    }

    async fn expel(self: &Arc<Self>, user: UserId, room: &RoomName, why: &Arc<str>) {
        let told = self.lock().expel(user, room, why);
        self.settle();
        if let Some(told) = told {
            let _ = told.await;
        }
    }
}

struct Sentence {
    user: UserId,
    name: Arc<str>,
    address: Option<IpAddr>,
    until: Option<Timestamp>,
}

fn apply(
    rules: &mut RoomRules,
    action: Moderation,
    sentence: Option<Sentence>,
    whom: Option<UserId>,
    name: &str,
    now: Timestamp,
) {
    rules.expire(now);
    let meant = |user: UserId, then: &str| Some(user) == whom || then == name;
    match (action, sentence) {
        (Moderation::Ban, Some(Sentence { user, name, address, until })) => {
            rules.bans.retain(|ban| ban.user != user);
            rules.bans.push(Ban { user, name, address, until });
        }
        (Moderation::Mute, Some(Sentence { user, name, address, until })) => {
            rules.mutes.retain(|mute| mute.user != user);
            rules.mutes.push(Mute { user, name, address, until });
        }
        (Moderation::Unban, _) => rules.bans.retain(|ban| !meant(ban.user, &ban.name)),
        (Moderation::Unmute, _) => rules.mutes.retain(|mute| !meant(mute.user, &mute.name)),
        _ => {}
    }
}

fn notice(what: &str, room: &RoomName, seconds: Option<u64>, reason: Option<&str>) -> Arc<str> {
    let time = seconds.map_or_else(String::new, |seconds| format!(" for {seconds} s"));
    let reason = reason.filter(|reason| !reason.is_empty()).map_or_else(String::new, |reason| format!(": {reason}"));
    format!("you {what} room {room}{time}{reason}").into()
}

pub(super) fn kept_not(error: StoreError) -> Refusal {
    match error {
        StoreError::Full(_) => Refusal::Full,
        _ => Refusal::Unavailable,
    }
}
