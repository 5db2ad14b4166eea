//! One session of one user.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};

use super::connection::{Connection, soon};
use super::counters::Cut;
use super::directory::{Entry, Rooms};
use super::inbox::{Inbox, Input, Joined, Resume, Said, SessionId};
use super::moderate::kept_not;
use super::outbox::{End, Outbox};
use super::pace::Pace;
use super::replay::{Job, Replay};
use super::sink::{Batch, Encoding, Offered, Sink};
use super::{Inner, Lifetime, refusal, routing};
use crate::message::{Closing, Command, Event, MessageId, Refusal, RoomKey, UserId};
use crate::name::{Nickname, RoomName, is_reserved};
use crate::store::{MAX_PAGE, Page, RoomRules};

/// A session's seat in the hub. Dropping it leaves every room within the next turn.
pub struct Seat {
    pub(super) connection: Connection,
    session: SessionId,
    outbox: Arc<Outbox>,
    rooms: Rooms,
    /// Reads the history for it, once it asked for some.
    replay: Option<Replay>,
    pace: Option<Pace>,
}

impl Seat {
    pub(super) fn new(
        connection: Connection,
        session: SessionId,
        rooms: Rooms,
        outbox: Arc<Outbox>,
        pace: Option<Pace>,
    ) -> Self {
        Self { connection, session, outbox, rooms, replay: None, pace }
    }

    /// Who sits here.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.connection.user().id
    }

    /// What they are called now.
    #[must_use]
    pub fn name(&self) -> Option<Nickname> {
        self.hub().lock().name(self.user()).cloned()
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
        match self.try_run(command)? {
            None => Ok(()),
            // What waits is rare, and its state large.
            Some(command) => Box::pin(self.run_waiting(command)).await,
        }
    }

    /// Carries a command out at once; one that may have to wait comes back, for [`Seat::run`].
    ///
    /// # Errors
    /// As for [`Seat::run`].
    pub fn try_run(&mut self, command: Command) -> Result<Option<Command>, Refusal> {
        let Command::Say { room, body, id } = command else { return Ok(Some(command)) };
        let (room, inbox, said) = self.said(room, body, id)?;
        match inbox.try_post(Input::Post(said)) {
            Err(Input::Post(Said { body, id, .. })) => Ok(Some(Command::Say { room: Some(room), body, id })),
            _ => Ok(None),
        }
    }

    async fn run_waiting(&mut self, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Say { room, body, id } => {
                let (room, inbox, said) = self.said(room, body, id)?;
                inbox.post(Input::Post(said)).await.map_err(|_| not_in(Some(&room)))
            }
            Command::Direct { to, body, id } => self.direct(&to, body, id).await,
            Command::Enter(room) => self.enter(room, false, None).await,
            Command::Create(room) if self.connection.lifetime == Lifetime::Kept => self.enter(room, true, None).await,
            Command::Create(room) => self.switch(room, true).await,
            Command::Switch(room) => self.switch(room, false).await,
            Command::Leave(room) => self.leave(room).await,
            Command::Rename(new) => self.rename(&new).await,
            Command::Typing(room) => {
                let (session, user) = (self.session, self.user());
                // What nobody will hear need not be announced.
                if self.is_muted(&room, &*self.inbox(Some(&room))?) {
                    return Ok(());
                }
                self.put(Some(&room), Input::Typing { session, user }).await
            }
            Command::ListUsers(room) => {
                let reply = self.outbox.clone();
                self.put(room.as_ref(), Input::Who(reply)).await
            }
            Command::ListRooms => {
                let rooms = self.hub().lock().listed();
                self.outbox.tell(&[rooms]);
                Ok(())
            }
            Command::Received { room, seq } => self.received(room, seq).await,
            Command::History { room, after, before, limit } => {
                let room = match room {
                    Some(room) => room,
                    None => RoomKey::Room(self.here()?.0),
                };
                self.may_read(&room)?;
                let limit = limit.map_or(PAGE, |limit| usize::try_from(limit).unwrap_or(MAX_PAGE)).min(MAX_PAGE);
                self.replay().put(Job::Page { room, page: Page { after, before, limit } })
            }
            Command::Search { room, text, before, limit } => {
                self.may_read(&room)?;
                let limit = limit.map_or(FOUND, |limit| usize::try_from(limit).unwrap_or(MOST_FOUND));
                self.replay().put(Job::Search { room, text, before, limit: limit.clamp(1, MOST_FOUND) })
            }
            Command::Resume { room, epoch, seq } => {
                let resume = Resume::new(Some(epoch), seq);
                match room {
                    RoomKey::Room(room) => self.enter(room, false, Some(resume)).await,
                    RoomKey::Direct(_) => self.resume_direct(room, resume),
                }
            }
            Command::Block(user) => self.block(&user).await,
            Command::Unblock(user) => self.unblock(&user).await,
            Command::Moderate { room, action, user, seconds, reason } => {
                self.moderate(&room, action, &user, seconds, reason.as_deref()).await
            }
            Command::Close { room, reason } => self.close_room(&room, reason.as_deref()).await,
            Command::Sessions => self.sessions().await,
            Command::Revoke(session) => self.revoke(&session).await,
            Command::Exit => {
                self.end(Closing::Exit, None).await;
                Ok(())
            }
        }
    }

    /// Lets a room know that this user's new account speaks there for the first time ([`Event::Registered`]). Of one who
    /// is muted there nobody hears.
    ///
    /// # Errors
    /// [`Refusal::NotInRoom`].
    pub fn announce(&self, room: &RoomName) -> Result<(), Refusal> {
        let inbox = self.inbox(Some(room))?;
        if !self.is_muted(room, &inbox) {
            inbox.put(Input::Announce { user: self.user() });
        }
        Ok(())
    }

    /// Tells the session that a command was refused.
    pub fn refuse(&self, why: Refusal, id: Option<MessageId>) {
        self.hub().counters.refused(&why);
        self.outbox.tell(&[Event::Refused { why, id }]);
    }

    /// Ends the session: it hears what was said up to now, then the refusal that ends it if there is one, then `why`.
    /// After [`Closing::Exit`] its token is void, and a guest's name free, before it hears that.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the session may be in some of its rooms still.
    pub async fn end(&mut self, why: Closing, refusal: Option<Refusal>) {
        while self.leave(None).await.is_ok() {}
        if let Some(refusal) = refusal {
            self.refuse(refusal, None);
        }
        self.close();
        Box::pin(self.connection.end(why == Closing::Exit)).await;
        self.count_cut(why);
        self.outbox.close(why);
    }

    /// Counts that a command was refused, where the wire has words of its own for it.
    #[cfg(feature = "net")]
    pub(crate) fn count_refused(&self, why: &Refusal) {
        self.hub().counters.refused(why);
    }

    /// Counts that the server ends the session, for [`Hub::counters`](super::Hub::counters).
    pub(crate) fn count_cut(&self, why: impl Into<Cut>) {
        if self.outbox.end().is_none() {
            self.hub().counters.cut(why);
        }
    }

    /// Hears a room from the position that `joined` tells, if that is not now.
    pub(super) async fn bring(&mut self, room: RoomKey, joined: oneshot::Receiver<Joined>) -> Result<(), Refusal> {
        let Ok(Joined::Behind(resume)) = joined.await else { return Ok(()) };
        let inbox = match &room {
            RoomKey::Room(name) => self.inbox(Some(name)).ok(),
            RoomKey::Direct(user) => self.hub().lock().direct(*user).map(|(inbox, _)| inbox),
        };
        let session = self.session;
        // Without a way in, it was put out meanwhile.
        let Some(inbox) = inbox else { return Ok(()) };
        self.replay().put(Job::Bring { room, inbox, session, resume })
    }

    /// Lets the author of a direct message know that it may not have arrived, and why; where the wire is one on which
    /// others send it on ([`Encoding::remote`]). What is known to have arrived is told by [`Command::Received`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the author hears of it or not.
    pub async fn doubt(&self, seq: u64, reason: &'static str) {
        let inbox = self.hub().lock().direct_inbox(self.user());
        if let Some(inbox) = inbox {
            let _ = inbox.post(Input::Doubt { seq, reason }).await;
        }
    }

    pub(super) fn hub(&self) -> &Arc<Inner> {
        self.connection.hub()
    }

    /// What this session says, and where.
    fn said(
        &self,
        room: Option<RoomName>,
        body: Arc<str>,
        id: Option<MessageId>,
    ) -> Result<(RoomName, Arc<Inbox>, Said), Refusal> {
        let (name, inbox) = match room {
            None => self.here()?,
            Some(room) => {
                let inbox = self.inbox(Some(&room))?;
                (room, inbox)
            }
        };
        let user = self.user();
        if self.is_muted(&name, &inbox) {
            return Err(Refusal::Muted(name.to_string()));
        }
        let (session, reply) = (Some(self.session), self.outbox.clone());
        let said = Said { user, session, name: None, to: None, away: None, body, id, reply, echo: false };
        Ok((name, inbox, said))
    }

    fn is_muted(&self, room: &RoomName, inbox: &Inbox) -> bool {
        inbox.guarded.load(Ordering::Relaxed) && self.hub().lock().is_muted(self.user(), room, self.hub().now())
    }

    async fn direct(&mut self, to: &str, body: Arc<str>, id: Option<MessageId>) -> Result<(), Refusal> {
        let route = to.split_once(':').and_then(|(word, _)| self.hub().routes.get(word)).cloned();
        if let Some(route) = route {
            let from = self.name().ok_or(Refusal::Over)?;
            let (user, reply) = (self.user(), self.outbox.clone());
            let job = routing::Job { route, user, from, to: to.into(), body, id, reply, claim: None };
            return self.hub().send_out(job).await;
        }
        let nobody = || Refusal::NoUser(to.to_owned());
        let nickname = Nickname::known(to).map_err(|_| nobody())?;
        let found = self.hub().accounts.by_nickname(&nickname, self.hub().now()).await;
        let whom = found.map_err(|error| refusal(error, &nickname))?.ok_or_else(nobody)?.id;
        self.direct_to(whom, to, body, id).await
    }

    async fn enter(&mut self, room: RoomName, make: bool, resume: Option<Resume>) -> Result<(), Refusal> {
        if !make && let Ok(inbox) = self.inbox(Some(&room)) {
            let Some(resume) = resume else {
                // Nobody else need hear it again.
                let user = self.name().ok_or(Refusal::Over)?;
                self.outbox.tell(&[Event::Joined { room, user }]);
                return Ok(());
            };
            // Behind what it is being told already.
            let session = self.session;
            return self.replay().put(Job::Bring { room: RoomKey::Room(room), inbox, session, resume });
        }
        let (hub, user, session) = (self.hub().clone(), self.user(), self.session);
        let admin = self.is_admin();
        let entry = Entry { user, session, room: &room, make, resume, admin };
        let closed = hub.lock().room_rules(&room).is_some_and(|rules| rules.closed);
        if closed {
            hub.lock().check_entry(&entry, &hub.limits, hub.now())?;
            if self.rooms().len() >= hub.limits.rooms_per_user {
                return Err(Refusal::TooManyRooms(hub.limits.rooms_per_user));
            }
            // It is kept that it is open before anybody hears so, and follows.
            hub.change_rules(&room, |rules| rules.closed = false).await?;
        }
        // It is kept before anybody hears of it, too, and nobody else makes it meanwhile.
        let turn = if make { Some(hub.keeping(&room).await) } else { None };
        let mut unmade = None;
        if make {
            hub.lock().check_entry(&entry, &hub.limits, hub.now())?;
            if self.rooms().len() >= hub.limits.rooms_per_user {
                return Err(Refusal::TooManyRooms(hub.limits.rooms_per_user));
            }
            unmade = Some(Unmade { hub: hub.clone(), room: Some(room.clone()) });
            let rules = RoomRules { maker: Some(user), ..RoomRules::default() };
            hub.rules.keep_room(&room, &rules).await.map_err(kept_not)?;
        }
        let entering = hub.lock().enter(entry, &hub.limits, hub.now())?;
        drop(turn);
        if let Some(mut unmade) = unmade {
            unmade.room = None;
        }
        if let Some(start) = entering.start {
            hub.start(start);
        }
        if entering.changed
            && !make
            && let Err(error) = hub.keep_room(&room).await
        {
            hub.lock().change_room(&room, |rules| rules.closed |= entering.reopened);
            let _ = self.leave(Some(room)).await;
            return Err(kept_not(error));
        }
        let brought = self.bring(RoomKey::Room(room.clone()), entering.joined).await;
        if brought.is_err() {
            // It would never hear anything there.
            let _ = self.leave(Some(room)).await;
        }
        brought
    }

    async fn switch(&mut self, room: RoomName, make: bool) -> Result<(), Refusal> {
        let hub = self.hub().clone();
        let (user, session, admin) = (self.user(), self.session, self.is_admin());
        let entry = Entry { user, session, room: &room, make, resume: None, admin };
        hub.lock().check_entry(&entry, &hub.limits, hub.now())?;
        let here = self.inbox(Some(&room)).is_ok();
        if !here && self.here().is_ok() {
            self.leave(None).await?;
        }
        match self.enter(room, make, None).await {
            Err(why) if self.here().is_err() => {
                // It vanished, or was made by somebody else, between the look and the step.
                self.enter(RoomName::global(), false, None).await?;
                Err(why)
            }
            done => done,
        }
    }

    async fn leave(&mut self, room: Option<RoomName>) -> Result<(), Refusal> {
        let room = match room {
            Some(room) => room,
            None => self.here()?.0,
        };
        let left = self.hub().lock().leave(self.user(), self.session, &room);
        self.hub().settle();
        let _ = left.ok_or_else(|| not_in(Some(&room)))?.await;
        Ok(())
    }

    async fn rename(&self, new: &Nickname) -> Result<(), Refusal> {
        let leads_elsewhere = |word: &&str| new.as_str().split_once(':').is_some_and(|(first, _)| first == *word);
        if is_reserved(new.as_str()) || self.hub().routes.keys().any(leads_elsewhere) {
            return Err(Refusal::Taken(new.to_string()));
        }
        let hub = self.hub();
        // An administrator's name would be anybody's next, and with it the right.
        if self.is_admin() {
            return Err(Refusal::Forbidden);
        }
        if hub.admins.contains(new) {
            return Err(Refusal::Taken(new.to_string()));
        }
        let told = {
            let _turn = hub.renaming.write().await;
            // To one's own name, too: it is taken, as it always was.
            if self.name().as_ref() == Some(new) {
                return Err(Refusal::Taken(new.to_string()));
            }
            let renamed = hub.accounts.rename(self.user(), new, hub.now()).await;
            renamed.map_err(|error| refusal(error, new))?;
            hub.lock().rename(self.user(), new)
        };
        for told in told {
            let _ = told.await;
        }
        Ok(())
    }

    async fn received(&self, room: RoomKey, seq: u64) -> Result<(), Refusal> {
        let session = self.session;
        let inbox = match &room {
            RoomKey::Room(name) => self.inbox(Some(name))?,
            RoomKey::Direct(user) if *user == self.user() => {
                if self.hub().lock().user_rules(*user).is_some_and(|rules| seq <= rules.delivered) {
                    return Ok(());
                }
                let head = self.hub().history.head(&room).await.map_err(|_| Refusal::Unavailable)?;
                let mut directory = self.hub().lock();
                let delivered = seq.min(head.seq);
                directory.change_user(*user, |rules| rules.delivered = rules.delivered.max(delivered));
                // Nothing is started for it: what nobody follows needs no word.
                match directory.direct_inbox(*user) {
                    Some(inbox) => inbox,
                    None => return Ok(()),
                }
            }
            RoomKey::Direct(_) => return Err(Refusal::NotInRoom(room.to_string())),
        };
        let _ = inbox.post(Input::Received { session, seq }).await;
        Ok(())
    }

    fn resume_direct(&mut self, room: RoomKey, resume: Resume) -> Result<(), Refusal> {
        let user = self.user();
        if room != RoomKey::Direct(user) {
            return Err(Refusal::NotInRoom(room.to_string()));
        }
        let hub = self.hub().clone();
        let (inbox, start) = hub.lock().direct(user).ok_or(Refusal::Over)?;
        if let Some(start) = start {
            hub.start(start);
        }
        let session = self.session;
        self.replay().put(Job::Bring { room, inbox, session, resume })
    }

    /// Whether the session may read what was said in a room: what it could have heard.
    fn may_read(&self, room: &RoomKey) -> Result<(), Refusal> {
        match room {
            RoomKey::Room(name) => self.inbox(Some(name)).map(drop),
            RoomKey::Direct(user) if *user == self.user() => Ok(()),
            RoomKey::Direct(_) => Err(Refusal::NotInRoom(room.to_string())),
        }
    }

    fn replay(&mut self) -> &Replay {
        let (hub, user) = (self.connection.hub(), self.connection.user().id);
        let (outbox, pace) = (&self.outbox, &self.pace);
        self.replay.get_or_insert_with(|| Replay::start(hub, user, outbox.clone(), pace.clone()))
    }

    async fn put(&self, room: Option<&RoomName>, input: Input) -> Result<(), Refusal> {
        self.inbox(room)?.post(input).await.map_err(|_| not_in(room))
    }

    /// The room entered last.
    fn here(&self) -> Result<(RoomName, Arc<Inbox>), Refusal> {
        self.rooms().last().cloned().ok_or(Refusal::InNoRoom)
    }

    fn inbox(&self, room: Option<&RoomName>) -> Result<Arc<Inbox>, Refusal> {
        let Some(room) = room else { return self.here().map(|(_, inbox)| inbox) };
        let found = self.rooms().iter().find(|(name, _)| name == room).map(|(_, inbox)| inbox.clone());
        found.ok_or_else(|| not_in(Some(room)))
    }

    fn rooms(&self) -> MutexGuard<'_, Vec<(RoomName, Arc<Inbox>)>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is here no more; what the user keeps is kept.
    fn close(&mut self) {
        let (hub, user) = (self.hub().clone(), self.user());
        let last = hub.lock().close(user, self.session);
        hub.settle();
        if let Some(rules) = last.filter(|rules| !rules.is_empty()) {
            let kept = hub.clone();
            let keep = async move {
                if let Err(error) = kept.keep_user(user, Some(rules)).await {
                    tracing::warn!(%user, %error, "how far direct messages came is not kept");
                }
            };
            soon(&hub.tasks, keep);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.outbox.end() == Some(End::Cut) {
            self.hub().counters.cut(Cut::TooSlow);
        }
        self.close();
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("user", &self.user()).field("session", &self.session).finish_non_exhaustive()
    }
}

/// A room whose rules may be kept though nobody is in it yet: unless somebody is, they are forgotten.
struct Unmade {
    hub: Arc<Inner>,
    room: Option<RoomName>,
}

impl Drop for Unmade {
    fn drop(&mut self) {
        let Some(room) = self.room.take() else { return };
        let hub = self.hub.clone();
        let forget = async move {
            if let Err(error) = hub.keep_room(&room).await {
                tracing::warn!(%room, %error, "the rules of a room that was not made stay for now");
            }
        };
        soon(&self.hub.tasks, forget);
    }
}

fn not_in(room: Option<&RoomName>) -> Refusal {
    room.map_or(Refusal::InNoRoom, |room| Refusal::NotInRoom(room.to_string()))
}

/// What an embedded session hears. One that does not keep up is cut: after what waits here nothing comes.
#[derive(Debug)]
pub struct Heard {
    events: mpsc::Receiver<Event>,
    taken: Arc<Notify>,
}

impl Heard {
    pub(super) fn channel(most: usize) -> (EventSink, Self) {
        let (events, heard) = mpsc::channel(most.max(1));
        let taken = Arc::default();
        (EventSink { events: Mutex::new(Some(events)), taken: Arc::clone(&taken) }, Self { events: heard, taken })
    }

    /// The next event; `None` when the session is over.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Event> {
        // As much as there is, which is bounded: whoever may take but a part of it each time falls behind its rooms.
        let event = tokio::task::unconstrained(self.events.recv()).await;
        self.taken.notify_one();
        event
    }
}

/// Hands the events themselves over, until the session is over.
pub(super) struct EventSink {
    events: Mutex<Option<mpsc::Sender<Event>>>,
    taken: Arc<Notify>,
}

impl EventSink {
    /// By which those who have much to say see how much is taken.
    pub(super) fn pace(&self) -> Option<Pace> {
        self.lock().as_ref().map(|events| Pace::new(events.downgrade(), self.taken.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<mpsc::Sender<Event>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for EventSink {
    fn encoding(&self) -> Encoding {
        Encoding::EVENTS
    }

    fn offer(&self, batch: &Batch) -> Offered {
        let mut events = self.lock();
        for event in batch.events() {
            let sent = match events.as_ref() {
                Some(events) => events.try_send(event.clone()),
                None => return Offered::Gone,
            };
            let full = matches!(sent, Err(mpsc::error::TrySendError::Full(_)));
            if sent.is_err() || matches!(event, Event::Closing(_)) {
                // Whoever listens comes to an end behind what waits.
                *events = None;
            }
            match sent {
                Ok(()) => {}
                Err(_) if full => return Offered::Full,
                Err(_) => return Offered::Gone,
            }
        }
        Offered::All
    }
}

/// Messages that a history has when nobody says how many.
const PAGE: usize = 100;
/// Messages that a search finds when nobody says how many, and at most.
const FOUND: usize = 20;
const MOST_FOUND: usize = 100;
