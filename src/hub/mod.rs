//! The hub: users, sessions and rooms. It knows no protocol and opens no socket.
//!
//! A gateway signs a user up ([`Hub::sign_up`]), opens a [`Seat`] with an [`Outbox`] into its [`Sink`], hands it
//! [`Command`]s, and flushes the outbox. A program without sockets takes a seat with [`Hub::sit`] and hears the events themselves:
//!
//! ```
//! use talk::hub::Hub;
//! use talk::message::{Command, Event};
//! use talk::name::RoomName;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::new();
//! let (mut ann, _) = hub.sit("ann").await?;
//! let (mut bob, mut heard) = hub.sit("bob").await?;
//! ann.run(Command::Enter(RoomName::global())).await?;
//! bob.run(Command::Enter(RoomName::global())).await?;
//! ann.run(Command::Say { room: None, body: "hello".into(), id: None }).await?;
//! while let Some(event) = heard.next().await {
//!     if let Event::Message(post) = event {
//!         assert_eq!((&*post.record.from, &*post.record.body), ("ann", "hello"));
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each room has a task that takes turns: all that waits is put into the room's one order, kept in the history, encoded
//! once for each wire, and offered to every member in one piece. Members that do not take it never hold a turn up; they
//! get a bounded queue, and are cut when it is full.
//!
//! Who may come in, what was said, and the rules of rooms are in stores ([`Hub::builder`]), in memory unless others are
//! given. With stores on disk a message is told to nobody before it is as durable as the history makes it.

mod bots;
mod connection;
mod counters;
mod direct;
mod directory;
mod house;
mod inbox;
mod keep;
mod keyed;
mod lane;
mod listener;
mod moderate;
mod outbox;
mod pace;
mod rate;
mod receipts;
mod recent;
mod repeats;
mod replay;
mod room;
mod route;
mod routing;
mod seat;
mod sink;
mod tend;
#[cfg(feature = "net")]
mod tries;
mod turn;
mod watch;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use bots::{Ask, Bot, Bots, LONGEST_ANSWER, PATIENCE, Way};
pub use counters::{Counted, Counters, Cut, Gauges};
pub use house::WeakHub;
pub use listener::Listener;
pub use outbox::{End, Flushed, Outbox};
pub use rate::Rate;
pub use route::{Parcel, Route, Routed};
pub use seat::{Heard, Seat};
pub use sink::{Batch, Encoding, Offered, Sink};
pub use watch::{Told, Watch};

#[cfg(feature = "net")]
pub(crate) use tries::TooMany;

use self::connection::{Connection, Ended};
use self::directory::{Directory, Missed, Newcomer, Start};
use self::house::refusal;
use self::keep::{Flying, Keeper};
use self::pace::Pace;
use self::route::Routes;
use self::routing::Routing;
#[cfg(feature = "net")]
use self::tries::Tries;
use self::turn::Turns;
use crate::limits::Limits;
#[cfg(doc)]
use crate::message::Command;
use crate::message::{Closing, Event, Refusal, RoomKey, Timestamp, UserId};
use crate::name::{Nickname, RoomName, is_reserved};
use crate::secret::{Password, Secret};
use crate::store::{
    AccountStore, HistoryStore, MemoryAccounts, MemoryHistory, MemoryRules, Retention, RuleStore, StoreError, UserRules,
};

/// Users, sessions and rooms. Cloning shares them.
///
/// It needs a tokio runtime from the first room on, and starts no task before.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Arc<Limits>,
    accounts: Arc<dyn AccountStore>,
    history: Arc<dyn HistoryStore>,
    rules: Arc<dyn RuleStore>,
    admins: HashSet<Nickname>,
    retention: Retention,
    watches: Arc<[Arc<dyn Watch>]>,
    routes: Routes,
    /// Messages that are on their way out of the hub.
    routing: Routing,
    /// Runs with the runtime's clock, from the wall clock at the start.
    started: (Instant, Timestamp),
    counters: Counters,
    directory: Mutex<Directory>,
    flying: Arc<Flying>,
    /// Written to while somebody gets another name, and read while sessions open, so that store and directory agree: who
    /// gets the name that was left is not here before everybody was told.
    renaming: tokio::sync::RwLock<()>,
    /// Held while rules are kept, so that what is kept last is what they are.
    keeping: [tokio::sync::Mutex<()>; KEEPERS],
    /// Held while ended guests are forgotten.
    tending: tokio::sync::Mutex<()>,
    /// Connections that ended while the store took nothing: as many as it counts too many.
    untold: Mutex<Vec<Ended>>,
    tasks: TaskTracker,
    /// Fires when nothing more is to be read for anybody.
    stopping: CancellationToken,
    /// Bytes that all rooms remember of what was said last.
    recent: Arc<AtomicUsize>,
    /// One search at a time: each reads much.
    searching: Semaphore,
    #[cfg(feature = "net")]
    tries: Tries,
}

/// How long a user outlives the last session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lifetime {
    /// Not at all: name and token are free at once. Such a session is in one room at a time.
    Session,
    /// Ten minutes after a session that dropped, so that it can come back. Such a session may be in many rooms.
    Kept,
}

/// Why no session was opened.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OpenError {
    /// Nobody has this token, or not any more: sign up again.
    #[error("this token is not valid, or not any more")]
    BadToken,
    /// The user has as many sessions as one may have: end one first.
    #[error("this user has too many sessions")]
    TooManySessions,
    /// The stores do not answer, or the hub stops: try again later.
    #[error("no session can be opened at the moment")]
    Unavailable,
}

/// Why somebody with a password was not let in.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SignInError {
    /// The name is an account's, and the password is not.
    #[error("this name belongs to somebody with another secret")]
    WrongPassword,
    /// Nobody has the name, and nothing was to be made.
    #[error("there is no account of this name")]
    NoAccount,
    /// As for a guest.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Makes a [`Hub`] of stores.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    limits: Limits,
    accounts: Option<Arc<dyn AccountStore>>,
    history: Option<Arc<dyn HistoryStore>>,
    rules: Option<Arc<dyn RuleStore>>,
    admins: HashSet<Nickname>,
    retention: Retention,
    watches: Vec<Arc<dyn Watch>>,
    routes: Routes,
}

impl Builder {
    /// Other limits than the default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where users are; in memory otherwise.
    pub fn accounts(mut self, accounts: Arc<dyn AccountStore>) -> Self {
        self.accounts = Some(accounts);
        self
    }

    /// Where messages are; in memory otherwise.
    pub fn history(mut self, history: Arc<dyn HistoryStore>) -> Self {
        self.history = Some(history);
        self
    }

    /// Where the rules of rooms and users are; in memory otherwise.
    pub fn rules(mut self, rules: Arc<dyn RuleStore>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// The accounts that moderate every room. Whoever makes the account of such a name has the right: make it before
    /// others can. Nobody else gets the name, and its account keeps it.
    pub fn admins(mut self, admins: impl IntoIterator<Item = Nickname>) -> Self {
        self.admins = admins.into_iter().collect();
        self
    }

    /// What may stay of each room; everything otherwise. Kept to by [`Hub::tend`].
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Lets somebody know of every message; several may.
    pub fn watch(mut self, watch: Arc<dyn Watch>) -> Self {
        self.watches.push(watch);
        self
    }

    /// Sends direct messages to `word:name` this way.
    pub fn route(mut self, word: &'static str, route: Arc<dyn Route>) -> Self {
        self.routes.insert(word, route);
        self
    }

    /// Reads which rooms there are, and makes the hub.
    ///
    /// # Errors
    /// What befalls the stores.
    pub async fn build(self) -> Result<Hub, StoreError> {
        let hub = self.empty();
        for name in &hub.inner.admins {
            if hub.inner.accounts.by_nickname(name, hub.inner.now()).await?.is_none_or(|user| !user.account) {
                warn!(%name, "an administrator has no account yet: whoever makes it first has the right");
            }
        }
        let (rules, history) = (hub.inner.rules.rooms().await?, hub.inner.history.rooms().await?);
        let mut rules: HashMap<_, _> = rules.into_iter().collect();
        let rooms: Vec<_> = history
            .into_iter()
            .map(|(name, _)| {
                let kept = rules.remove(&name).unwrap_or_default();
                (name, kept)
            })
            .collect();
        hub.inner.lock().restore(rooms);
        // Rooms in which nothing was said ended with the process.
        for (name, rules) in rules {
            match name == RoomName::global() {
                true => hub.inner.lock().restore([(name, rules)]),
                false => hub.inner.keep_room(&name).await?,
            }
        }
        Ok(hub)
    }

    pub(crate) fn empty(self) -> Hub {
        let limits = self.limits;
        let inner = Inner {
            accounts: self.accounts.unwrap_or_else(|| Arc::new(MemoryAccounts::new(&limits))),
            history: self.history.unwrap_or_else(|| Arc::new(MemoryHistory::new(&limits))),
            rules: self.rules.unwrap_or_else(|| Arc::new(MemoryRules::new(&limits))),
            admins: self.admins,
            retention: self.retention,
            watches: self.watches.into(),
            routes: self.routes,
            routing: Routing::default(),
            started: (Instant::now(), turn::now()),
            counters: Counters::default(),
            directory: Mutex::default(),
            flying: Arc::new(Flying::new(&limits)),
            renaming: tokio::sync::RwLock::default(),
            keeping: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            tending: tokio::sync::Mutex::default(),
            untold: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            recent: Arc::default(),
            searching: Semaphore::new(1),
            #[cfg(feature = "net")]
            tries: Tries::new(&limits),
            limits: Arc::new(limits),
        };
        Hub { inner: Arc::new(inner) }
    }
}

impl Hub {
    /// With the default limits, in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    /// With other limits, in memory.
    #[must_use]
    pub fn with_limits(limits: &Limits) -> Self {
        Self::builder().limits(limits.clone()).empty()
    }

    /// With stores and rules of one's own.
    pub fn builder() -> Builder {
        Builder {
            limits: Limits::default(),
            accounts: None,
            history: None,
            rules: None,
            admins: HashSet::new(),
            retention: Retention::default(),
            watches: Vec::new(),
            routes: Routes::new(),
        }
    }

    /// The limits it was made with.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.inner.limits
    }

    /// How often gateways let somebody sign in.
    #[cfg(feature = "net")]
    pub(crate) fn tries(&self) -> &Tries {
        &self.inner.tries
    }

    /// Makes a guest of that name. The token opens sessions; it is void when none was opened within a minute.
    ///
    /// # Errors
    /// [`Refusal::Taken`] for a name that somebody has or nobody may have, [`Refusal::Full`], [`Refusal::Unavailable`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, there may be such a guest for a minute.
    pub async fn sign_up(&self, name: &Nickname) -> Result<Secret, Refusal> {
        // No guest stands where an administrator's account belongs, or where a route leads.
        if is_reserved(name.as_str()) || self.inner.leads_elsewhere(name) || self.inner.admins.contains(name) {
            return Err(Refusal::Taken(name.to_string()));
        }
        let issued = self.inner.accounts.create_guest(name, self.inner.now()).await;
        issued.map(|issued| issued.token).map_err(|error| refusal(error, name))
    }

    /// Signs an account in, or makes one of a name that is free. The token is like a guest's.
    ///
    /// # Errors
    /// [`SignInError::WrongPassword`]; as for [`Hub::sign_up`], where a name is also taken that a guest has.
    ///
    /// # Cancel safety
    /// As for [`Hub::sign_up`].
    pub async fn sign_in(&self, name: &Nickname, password: &Password) -> Result<Secret, SignInError> {
        self.sign_in_or(name, password, true).await
    }

    /// Signs an account in that there is.
    ///
    /// # Errors
    /// [`SignInError::NoAccount`] for a name that is free; otherwise as for [`Hub::sign_in`].
    ///
    /// # Cancel safety
    /// As for [`Hub::sign_up`].
    pub async fn sign_in_to(&self, name: &Nickname, password: &Password) -> Result<Secret, SignInError> {
        self.sign_in_or(name, password, false).await
    }

    async fn sign_in_or(&self, name: &Nickname, password: &Password, make: bool) -> Result<Secret, SignInError> {
        if is_reserved(name.as_str()) || self.inner.leads_elsewhere(name) {
            return Err(Refusal::Taken(name.to_string()).into());
        }
        let (accounts, now) = (&self.inner.accounts, self.inner.now());
        let known = accounts.by_nickname(name, now).await.map_err(|error| refusal(error, name))?;
        let issued = match known {
            Some(user) if user.account => accounts.sign_in(name, password, now).await,
            Some(_) => Err(StoreError::Taken),
            None if !make => return Err(SignInError::NoAccount),
            None => accounts.create_account(name, password, now).await,
        };
        match issued {
            Ok(issued) => Ok(issued.token),
            Err(StoreError::Forbidden) => Err(SignInError::WrongPassword),
            Err(error) => Err(refusal(error, name).into()),
        }
    }

    /// Ends the sign-in that a token stands for, and its connections; tells whether there was one.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the sign-in ends with its connections, or nothing happens.
    pub async fn sign_out(&self, token: &Secret) -> Result<bool, Refusal> {
        let found = self.inner.accounts.by_token(&token.hash(), self.inner.now()).await;
        match found.map_err(|_| Refusal::Unavailable)? {
            Some((user, session)) => self.inner.revoke(user.id, session.id).await,
            None => Ok(false),
        }
    }

    /// Whether a session could be opened with this token.
    pub async fn knows(&self, token: &Secret) -> bool {
        self.inner.accounts.by_token(&token.hash(), self.inner.now()).await.is_ok_and(|found| found.is_some())
    }

    /// Opens a session whose bytes go out through `outbox`, in no room yet. `from` is where it comes from, for the bans
    /// of guests. What was said to the user alone while away comes first.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, no session is open, and the token was used.
    pub async fn open(
        &self,
        token: &Secret,
        outbox: Arc<Outbox>,
        lifetime: Lifetime,
        from: Option<IpAddr>,
    ) -> Result<Seat, OpenError> {
        self.seat(token, outbox, lifetime, from, None).await
    }

    /// Makes a guest and opens a session that hears events instead of bytes; at most
    /// [`Limits::member_messages`] of them wait. It may be in many rooms; the user ends with it.
    ///
    /// # Errors
    /// As for [`Hub::sign_up`]; [`Refusal::BadNickname`] for what can be no nickname.
    ///
    /// # Cancel safety
    /// As for [`Hub::sign_up`].
    pub async fn sit(&self, name: &str) -> Result<(Seat, Heard), Refusal> {
        let taken = is_reserved(name);
        let nickname = Nickname::new(name).map_err(|_| match taken {
            true => Refusal::Taken(name.to_owned()),
            false => Refusal::BadNickname(name.to_owned()),
        })?;
        let token = self.sign_up(&nickname).await?;
        let (sink, heard) = Heard::channel(self.inner.limits.member_messages);
        let pace = sink.pace();
        let outbox = Arc::new(Outbox::new(sink, &self.inner.limits));
        let seat = self.seat(&token, outbox, Lifetime::Session, None, pace).await;
        let seat = seat.map_err(|error| match error {
            OpenError::Unavailable => Refusal::Unavailable,
            _ => Refusal::Over,
        });
        Ok((seat?, heard))
    }

    /// What has been counted since it was made.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// What there is now. It looks at every session, so it is for now and then.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let (mut gauges, outboxes) = self.inner.lock().gauges();
        for outbox in outboxes {
            let (bytes, messages) = outbox.queued();
            gauges.queued_bytes += bytes;
            gauges.queued_bytes_max = gauges.queued_bytes_max.max(bytes);
            gauges.queued_messages += messages;
        }
        gauges
    }

    /// One pass of housekeeping: what ended guests leave behind is forgotten, what is too old or too much is cut; and as
    /// many rooms as stand beyond half of [`Limits::rooms`] go with what was said there, if they are empty and their
    /// makers and last speakers are gone. To be called now and then, every half minute for example.
    ///
    /// # Errors
    /// What befalls the stores.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, part of it is done.
    pub async fn tend(&self) -> Result<(), StoreError> {
        self.inner.forget_ended().await?;
        if self.inner.retention != Retention::default() {
            let gone = self.inner.history.retain(None, &self.inner.retention, turn::now()).await?;
            if gone > 0 {
                self.inner.lock().cut();
            }
        }
        self.inner.forget_abandoned().await?;
        self.inner.forget_empty().await
    }

    /// Tells every session that the server stops ([`Closing::Stopping`]), and lets the rooms end. Nobody comes in any
    /// more.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
        let outboxes = self.inner.lock().shut_down();
        for outbox in outboxes {
            if outbox.end().is_none() {
                self.inner.counters.cut(Closing::Stopping);
            }
            outbox.close(Closing::Stopping);
        }
        self.inner.tasks.close();
    }

    /// Waits until every room has ended, and everything is in the stores that is on its way there. Only after
    /// [`Hub::stop`].
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn drained(&self) {
        self.inner.tasks.wait().await;
    }

    async fn seat(
        &self,
        token: &Secret,
        outbox: Arc<Outbox>,
        lifetime: Lifetime,
        from: Option<IpAddr>,
        pace: Option<Pace>,
    ) -> Result<Seat, OpenError> {
        let inner = &self.inner;
        let unchanged = inner.renaming.read().await;
        let connection = Connection::open(inner, token, lifetime).await?;
        let user = connection.user().clone();
        let unavailable = |_: StoreError| OpenError::Unavailable;
        let rules = {
            let _kept = inner.keeping(&user.id).await;
            inner.rules.user(user.id).await.map_err(unavailable)?
        };
        // Whether anything is on its way to the user is looked at first, for then the head may be another in a moment.
        let spoken = inner.lock().spoken_to(user.id);
        let head = inner.history.head(&RoomKey::Direct(user.id)).await.map_err(unavailable)?;
        let missed = Missed { behind: rules.delivered, some: head.seq > rules.delivered, spoken };
        let sign_in = connection.sign_in();
        let newcomer = Newcomer { user: &user, sign_in, outbox: &outbox, from, rules, missed };
        let opened = inner.lock().open(newcomer, &inner.limits);
        drop(unchanged);
        let stopping = inner.stopping.is_cancelled();
        let opened = opened.ok_or(if stopping { OpenError::Unavailable } else { OpenError::TooManySessions })?;
        if let Some(start) = opened.start {
            inner.start(start);
        }
        inner.counters.opened();
        let mut seat = Seat::new(connection, opened.id, opened.rooms, outbox, pace);
        // Revoked meanwhile, its connections were not looked for here.
        if !self.knows(token).await {
            return Err(OpenError::BadToken);
        }
        if let Some(joined) = opened.joined {
            seat.bring(RoomKey::Direct(user.id), joined).await.map_err(|_| OpenError::Unavailable)?;
        }
        Ok(seat)
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by which tokens live: it never runs backwards.
    fn now(&self) -> Timestamp {
        let (started, wall) = self.started;
        wall.after(started.elapsed())
    }

    /// Whether direct messages to such a name go out of the hub.
    fn leads_elsewhere(&self, name: &Nickname) -> bool {
        self.routes.keys().any(|word| name.as_str().split_once(':').is_some_and(|(first, _)| first == *word))
    }

    /// Starts a room's task, which ends when its inbox is closed.
    fn start(self: &Arc<Self>, start: Start) {
        let hub: Weak<Self> = Arc::downgrade(self);
        let (recent, watches) = (self.recent.clone(), self.watches.clone());
        let keeper = Keeper::new(start.key.clone(), self.history.clone(), self.flying.clone());
        self.tasks.spawn(async move {
            let Start { key, inbox, after, ended, directs } = start;
            if let Some(after) = after {
                // What was said before has its place before.
                after.cancelled().await;
            }
            let guard = ended.clone().drop_guard();
            let head = keeper.head().await.ok();
            let empty = Turns::new(hub.clone(), keeper, head, inbox, directs, recent, watches).run().await;
            drop(guard);
            if let Some(hub) = hub.upgrade() {
                hub.lock().ended(&key, &ended, empty);
                hub.settle();
            }
        });
    }

    /// Tells users something, in all their sessions.
    fn tell(&self, events: &[(UserId, Event)]) {
        for (user, event) in events {
            let outboxes: Vec<_> = self.lock().outboxes(*user).cloned().collect();
            for outbox in outboxes {
                outbox.tell(std::slice::from_ref(event));
            }
        }
    }

    /// Forgets the rules of rooms that vanished.
    fn settle(self: &Arc<Self>) {
        let vanished = self.lock().take_vanished();
        if vanished.is_empty() {
            return;
        }
        let hub = self.clone();
        let forget = async move {
            for name in vanished {
                if let Err(error) = hub.keep_room(&name).await {
                    warn!(room = %name, %error, "the rules of a room that vanished stay for now");
                }
            }
        };
        connection::soon(&self.tasks, forget);
    }

    /// The turn to keep what belongs to a room or to a user.
    async fn keeping(&self, whose: &impl Hash) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        whose.hash(&mut hasher);
        self.keeping[(hasher.finish() % KEEPERS as u64) as usize].lock().await
    }

    /// Keeps a room's rules as they are now.
    async fn keep_room(&self, name: &RoomName) -> Result<(), StoreError> {
        let _turn = self.keeping(name).await;
        let rules = self.lock().room_rules(name).cloned().unwrap_or_default();
        self.rules.keep_room(name, &rules).await
    }

    /// Keeps what a user keeps, as it is now; `last` is what it was when the last session ended.
    async fn keep_user(&self, user: UserId, last: Option<UserRules>) -> Result<(), StoreError> {
        let _turn = self.keeping(&user).await;
        if self.accounts.by_id(user, self.now()).await?.is_none() {
            // What ended guests keep is forgotten, and would stay for good behind that.
            return Ok(());
        }
        let delivered = last.as_ref().map_or(0, |last| last.delivered);
        let rules = {
            let mut directory = self.lock();
            directory.change_user(user, |rules| rules.delivered = rules.delivered.max(delivered));
            directory.user_rules(user).cloned().or(last)
        };
        match rules {
            Some(rules) => self.rules.keep_user(user, &rules).await,
            None => Ok(()),
        }
    }

    fn untold(&self) -> MutexGuard<'_, Vec<Ended>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.lock().shut_down();
    }
}

/// Rules that are kept at the same time.
const KEEPERS: usize = 64;
