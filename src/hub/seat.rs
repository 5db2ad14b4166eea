//! One session of one user.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::counters::Cut;
use super::inbox::{Inbox, Input, Said, SessionId};
use super::outbox::{End, Outbox};
use super::sink::{Batch, Encoding, Offered, Sink};
use super::{Inner, Lifetime};
use crate::message::{Closing, Command, Event, MessageId, Refusal, UserId};
use crate::name::{Nickname, RoomName};

/// A session's seat in the hub. Dropping it leaves every room within the next turn.
pub struct Seat {
    hub: Arc<Inner>,
    user: UserId,
    session: SessionId,
    outbox: Arc<Outbox>,
    lifetime: Lifetime,
    /// The rooms that the session is in; the one entered last comes last.
    rooms: Vec<(RoomName, Arc<Inbox>)>,
}

impl Seat {
    pub(super) fn new(
        hub: Arc<Inner>,
        (user, session): (UserId, SessionId),
        outbox: Arc<Outbox>,
        lifetime: Lifetime,
    ) -> Self {
        Self { hub, user, session, outbox, lifetime, rooms: Vec::new() }
    }

    /// Who sits here.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// What they are called now.
    #[must_use]
    pub fn name(&self) -> Option<Nickname> {
        self.hub.lock().name(self.user).cloned()
    }

    /// The session's way out, which its gateway flushes.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Carries a command out. What comes of it is heard as events; a message is on its way when this is ready, and waits
    /// here while the room has as much as it can take.
    ///
    /// # Errors
    /// The refusal; nobody was told of it yet ([`Seat::refuse`] tells the session).
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the command was carried out or not; between two rooms the session may be in neither.
    pub async fn run(&mut self, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Say { room, body, id } => {
                let inbox = self.inbox(room.as_ref())?;
                let said = Said { user: self.user, name: None, body, id, reply: self.outbox.clone(), echo: false };
                inbox.post(Input::Post(said)).await;
                Ok(())
            }
            Command::Direct { to, body, id } => self.direct(&to, body, id).await,
            Command::Enter(room) => self.enter(room, false).await,
            Command::Create(room) if self.lifetime == Lifetime::Kept => self.enter(room, true).await,
            Command::Create(room) => self.switch(room, true).await,
            Command::Switch(room) => self.switch(room, false).await,
            Command::Leave(room) => self.leave(room).await,
            Command::Rename(new) => {
                let told = self.hub.lock().rename(self.user, &new, Instant::now())?;
                for told in told {
                    let _ = told.await;
                }
                Ok(())
            }
            Command::Typing(room) => {
                let (session, user) = (self.session, self.user);
                self.inbox(Some(&room))?.post(Input::Typing { session, user }).await;
                Ok(())
            }
            Command::ListUsers(room) => {
                self.inbox(room.as_ref())?.post(Input::Who(self.outbox.clone())).await;
                Ok(())
            }
            Command::ListRooms => {
                let names = self.hub.lock().room_names();
                self.outbox.tell(&[Event::System(names.into())]);
                Ok(())
            }
            Command::Received { .. }
            | Command::History { .. }
            | Command::Search { .. }
            | Command::Resume { .. }
            | Command::Block(_)
            | Command::Unblock(_)
            | Command::Moderate { .. }
            | Command::Close { .. }
            | Command::Sessions
            | Command::Revoke(_) => Err(Refusal::Unavailable),
            Command::Exit => {
                self.lifetime = Lifetime::Session;
                self.end(Closing::Exit, None).await;
                Ok(())
            }
        }
    }

    /// Tells the session that a command was refused.
    pub fn refuse(&self, why: Refusal, id: Option<MessageId>) {
        self.hub.counters.refused(&why);
        self.outbox.tell(&[Event::Refused { why, id }]);
    }

    /// Ends the session: it hears what was said up to now, then the refusal that ends it if there is one, then `why`.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the session may be in some of its rooms still.
    pub async fn end(&mut self, why: Closing, refusal: Option<Refusal>) {
        while self.leave(None).await.is_ok() {}
        if let Some(refusal) = refusal {
            self.refuse(refusal, None);
        }
        self.count_cut(why);
        self.outbox.close(why);
    }

    /// Counts that the server ends the session, for [`Hub::counters`](super::Hub::counters).
    pub(crate) fn count_cut(&self, why: impl Into<Cut>) {
        if self.outbox.end().is_none() {
            self.hub.counters.cut(why);
        }
    }

    async fn direct(&self, to: &str, body: Arc<str>, id: Option<MessageId>) -> Result<(), Refusal> {
        let (name, (whom, inbox)) = {
            let mut directory = self.hub.lock();
            let name = directory.name(self.user).cloned().ok_or(Refusal::Over)?;
            (name, directory.direct(to, &self.hub.limits, Instant::now())?)
        };
        // Without an id the echo is the only word of its acceptance.
        let echo = id.is_none() && whom != self.user;
        let reply = self.outbox.clone();
        inbox.post(Input::Post(Said { user: self.user, name: Some(name), body, id, reply, echo })).await;
        Ok(())
    }

    async fn enter(&mut self, room: RoomName, make: bool) -> Result<(), Refusal> {
        if !make && self.rooms.iter().any(|(name, _)| *name == room) {
            // Nobody else need hear it again.
            let user = self.name().ok_or(Refusal::Over)?;
            self.outbox.tell(&[Event::Joined { room, user }]);
            return Ok(());
        }
        let (inbox, joined) = self.hub.lock().enter(self.user, self.session, &room, make, &self.hub.limits)?;
        self.rooms.push((room, inbox));
        let _ = joined.await;
        Ok(())
    }

    async fn switch(&mut self, room: RoomName, make: bool) -> Result<(), Refusal> {
        self.hub.lock().check_room(self.user, &room, make, &self.hub.limits)?;
        let here = self.rooms.iter().any(|(name, _)| *name == room);
        if !here && !self.rooms.is_empty() {
            self.leave(None).await?;
        }
        match self.enter(room, make).await {
            Err(why) if self.rooms.is_empty() => {
                // It vanished, or was made by somebody else, between the look and the step.
                self.enter(RoomName::global(), false).await?;
                Err(why)
            }
            done => done,
        }
    }

    async fn leave(&mut self, room: Option<RoomName>) -> Result<(), Refusal> {
        let at = match &room {
            Some(room) => self.rooms.iter().position(|(name, _)| name == room),
            None => self.rooms.len().checked_sub(1),
        };
        let (room, _) = self.rooms.remove(at.ok_or_else(|| not_in(room.as_ref()))?);
        let left = self.hub.lock().leave(self.user, self.session, &room);
        if let Some(left) = left {
            let _ = left.await;
        }
        Ok(())
    }

    fn inbox(&self, room: Option<&RoomName>) -> Result<&Inbox, Refusal> {
        let found = match room {
            Some(room) => self.rooms.iter().find(|(name, _)| name == room),
            None => self.rooms.last(),
        };
        found.map(|(_, inbox)| &**inbox).ok_or_else(|| not_in(room))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.outbox.end() == Some(End::Cut) {
            self.hub.counters.cut(Cut::TooSlow);
        }
        self.hub.lock().close(self.user, self.session, self.lifetime, Instant::now());
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("user", &self.user).field("session", &self.session).finish_non_exhaustive()
    }
}

fn not_in(room: Option<&RoomName>) -> Refusal {
    room.map_or(Refusal::InNoRoom, |room| Refusal::NotInRoom(room.to_string()))
}

/// What an embedded session hears. One that does not keep up is cut: after what waits here nothing comes.
#[derive(Debug)]
pub struct Heard {
    events: mpsc::Receiver<Event>,
}

impl Heard {
    pub(super) fn channel(most: usize) -> (EventSink, Self) {
        let (events, heard) = mpsc::channel(most.max(1));
        (EventSink(events), Self { events: heard })
    }

    /// The next event; `None` when the session is over.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// Hands the events themselves over.
pub(super) struct EventSink(mpsc::Sender<Event>);

impl Sink for EventSink {
    fn encoding(&self) -> Encoding {
        Encoding::EVENTS
    }

    fn offer(&self, batch: &Batch) -> Offered {
        for event in batch.events() {
            match self.0.try_send(event.clone()) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => return Offered::Full,
                Err(mpsc::error::TrySendError::Closed(_)) => return Offered::Gone,
            }
        }
        Offered::All
    }
}
