//! What one user says to another alone, and that they are gone.

use std::sync::Arc;

use super::connection::soon;
use super::inbox::{Away, Input, Said};
use super::{Hub, Seat};
use crate::message::{Delivery, Event, MessageId, Refusal, RoomKey, UserId};
use crate::name::Nickname;

impl Hub {
    /// Who has a name and a session, if somebody does.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn here(&self, name: &Nickname) -> Result<Option<UserId>, Refusal> {
        let found = self.inner.accounts.by_nickname(name, self.inner.now()).await;
        let found = found.map_err(|_| Refusal::Unavailable)?;
        Ok(found.map(|user| user.id).filter(|user| self.inner.lock().is_here(*user)))
    }

    /// Whether a user of that name has a session.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn is_here(&self, name: &Nickname) -> Result<bool, Refusal> {
        self.here(name).await.map(|user| user.is_some())
    }
}

impl Seat {
    /// Says something to one user alone, as [`Command::Direct`](crate::message::Command::Direct) does, but to that very
    /// user, whoever has which name by now. `to` is what the receipts call them.
    ///
    /// # Errors
    /// As for [`Seat::run`].
    ///
    /// # Cancel safety
    /// As for [`Seat::run`].
    pub async fn direct_to(
        &self,
        whom: UserId,
        to: &str,
        body: Arc<str>,
        id: Option<MessageId>,
    ) -> Result<(), Refusal> {
        let (hub, user) = (self.hub(), self.user());
        let known = hub.lock().user_rules(whom).cloned();
        let rules = match known {
            Some(rules) => rules,
            None => hub.rules.user(whom).await.map_err(|_| Refusal::Unavailable)?,
        };
        if rules.blocked.iter().any(|(blocked, _)| *blocked == user) {
            return Err(Refusal::Blocked(to.to_owned()));
        }
        let no_direct = hub.lock().takes_no_direct(whom);
        if no_direct {
            let Some(id) = id else { return Err(Refusal::NoDirect(to.to_owned())) };
            let (to, state, reason) = (Arc::from(to), Delivery::Failed, Some(NO_DIRECT));
            self.outbox().tell(&[Event::DirectReceipt { id, to, state, reason }]);
            return Ok(());
        }
        let key = RoomKey::Direct(whom);
        let most = hub.limits.offline_messages;
        // No stranger takes all the room there is.
        let away = Some(Away { delivered: rules.delivered, most, each: most.div_ceil(OFFLINE_AUTHORS) });
        // Without an id the echo is the only word of its acceptance.
        let echo = id.is_none() && whom != user;
        let name = Some(self.name().ok_or(Refusal::Over)?);
        let to = Some(Arc::from(to));
        let reply = self.outbox().clone();
        let mut input = Input::Post(Said { user, session: None, name, to, away, body, id, reply, echo });
        loop {
            let (inbox, start) = hub.lock().direct(whom).ok_or(Refusal::Over)?;
            if let Some(start) = start {
                hub.start(start);
            }
            match inbox.post(input).await {
                Ok(()) => break,
                // It was given up between the look and the word.
                Err(back) => input = back,
            }
        }
        hub.lock().rest(&key);
        // Whoever ended between the look and the word may be forgotten already: so is the word.
        if matches!(hub.accounts.by_id(whom, hub.now()).await, Ok(None)) {
            let gone = hub.clone();
            let forget = async move {
                if let Err(error) = gone.forget_direct(whom).await {
                    tracing::warn!(user = %whom, %error, "what was said to somebody who is gone stays");
                }
            };
            soon(&hub.tasks, forget);
        }
        Ok(())
    }

    /// Lets a user know that this one is gone ([`Event::Parted`]), behind all that this one said to them. Whoever is not
    /// here, blocks this user, or heard of many others just now, hears nothing.
    ///
    /// # Errors
    /// [`Refusal::Over`] when this session is.
    pub fn part(&self, whom: UserId) -> Result<(), Refusal> {
        let (hub, user) = (self.hub(), self.name().ok_or(Refusal::Over)?);
        let mut directory = hub.lock();
        let Some(rules) = directory.user_rules(whom) else { return Ok(()) };
        if rules.blocked.iter().any(|(blocked, _)| *blocked == self.user()) {
            return Ok(());
        }
        // At a prompt it would only take the place of what is said.
        if directory.outboxes(whom).all(|outbox| outbox.holds_much()) {
            return Ok(());
        }
        if !directory.hears_parting(whom, hub.started.0.elapsed()) {
            return Ok(());
        }
        let inbox = directory.direct_inbox(whom);
        drop(directory);
        let event = Event::Parted { user };
        match inbox {
            Some(inbox) => inbox.put(Input::Notice(event)),
            None => hub.tell(&[(whom, event)]),
        }
        Ok(())
    }
}

/// Why a direct message fails that could not be told to its recipient.
const NO_DIRECT: &str = "no_direct";
/// Authors who together may fill what waits for a user who is away.
const OFFLINE_AUTHORS: u64 = 4;
/// Of how many that part a user hears in a second, and of how many at once: whoever comes and goes in a loop does not
/// fill the screen of the one they spoke to.
pub(super) const PARTINGS_PER_SECOND: u32 = 4;
pub(super) const PARTINGS_AT_ONCE: u32 = 8;
