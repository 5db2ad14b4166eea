//! Direct messages on their way out of the hub: how many wait, whose turn it is, and who loses when they are too many.
//!
//! What waits belongs to the hub and not to a session, so that whoever comes again and again has no more of it than
//! whoever stays.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::outbox::Outbox;
use super::repeats::{Claim, Seen};
use super::route::{Parcel, Route, Routed};
use super::watch::Told;
use super::{Inner, turn};
use crate::message::{Delivery, Epoch, Event, MessageId, Post, Record, Refusal, RoomKey, UserId};
use crate::name::Nickname;

/// All that is on its way out, or waits for its turn.
#[derive(Debug, Default)]
pub(super) struct Routing {
    book: Mutex<Book>,
    /// Tells the task that lets messages go that one more may.
    changed: Arc<Notify>,
}

/// One message.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) route: Arc<dyn Route>,
    pub(super) user: UserId,
    pub(super) from: Nickname,
    /// As the author called them.
    pub(super) to: Arc<str>,
    pub(super) body: Arc<str>,
    pub(super) id: Option<MessageId>,
    /// Who hears what no receipt tells.
    pub(super) reply: Arc<Outbox>,
    pub(super) claim: Option<Claim>,
}

#[derive(Debug, Default)]
struct Book {
    /// In the order in which they came.
    waiting: VecDeque<Job>,
    users: HashMap<UserId, Count>,
    names: HashMap<Arc<str>, Count>,
    /// From whom to whom one is under way: one at a time, so that they keep their order.
    under_way: HashSet<(UserId, Arc<str>)>,
    /// Whether there is a task that lets them go.
    tended: bool,
}

/// How many messages of a user, or to a name, there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Count {
    waiting: usize,
    under_way: usize,
}

/// Why a message may not wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Crowd {
    OfUser,
    ToName,
    OfAll,
}

impl Inner {
    /// Sends a message out of the hub when its turn comes. The author hears what became of it.
    ///
    /// # Errors
    /// Why it is not sent.
    pub(super) async fn send_out(self: &Arc<Self>, mut job: Job) -> Result<(), Refusal> {
        if self.stopping.is_cancelled() {
            return Err(Refusal::Over);
        }
        if job.to.len() > LONGEST_NAME {
            return Err(Refusal::NoUser(job.to.to_string()));
        }
        if let Some(id) = &job.id {
            match self.flying.left.begin(job.user, id, &job.to, &job.body) {
                Seen::New(claim) => job.claim = Some(claim),
                // All sessions of the user hear how it ends.
                Seen::UnderWay => return Ok(()),
                Seen::Again((state, reason)) => {
                    let (id, to) = (id.clone(), job.to.clone());
                    job.reply.tell(&[Event::DirectReceipt { id, to, state, reason }]);
                    return Ok(());
                }
                Seen::Other => return Err(Refusal::IdReused),
            }
            // The id is taken by now, so that whoever uses it in a room at this moment sees that.
            let said = self.flying.holds(job.user, id)
                || self.history.find(job.user, id, turn::now()).await.map_err(|_| Refusal::Unavailable)?.is_some();
            if said {
                return Err(Refusal::IdReused);
            }
        }
        let (made_room, tended) = {
            let mut book = self.routing.lock();
            let made_room = match book.make_room(job.user, &job.to) {
                Ok(lost) => {
                    book.put(job);
                    Ok(lost)
                }
                Err(crowd) => Err((crowd, job)),
            };
            (made_room, std::mem::replace(&mut book.tended, true))
        };
        if !tended {
            self.tend_routes();
        }
        self.routing.changed.notify_one();
        match made_room {
            Ok(None) => {}
            Ok(Some(lost)) => lost.tell(&Arc::downgrade(self), Delivery::Failed, Some(CROWDED)),
            Err((Crowd::ToName, job)) => job.tell(&Arc::downgrade(self), Delivery::Failed, Some(CROWDED)),
            Err((Crowd::OfUser, _)) => return Err(Refusal::Busy),
            Err((Crowd::OfAll, _)) => return Err(Refusal::Full),
        }
        Ok(())
    }

    /// Starts the task that lets messages go.
    fn tend_routes(self: &Arc<Self>) {
        let (hub, changed, stopping) = (Arc::downgrade(self), self.routing.changed.clone(), self.stopping.clone());
        self.tasks.spawn(async move {
            let work = async {
                loop {
                    changed.notified().await;
                    let Some(hub) = hub.upgrade() else { return };
                    hub.let_out();
                }
            };
            stopping.run_until_cancelled(work).await;
        });
    }

    /// Lets those go that may.
    fn let_out(self: &Arc<Self>) {
        let ready = self.routing.lock().take_ready();
        for job in ready {
            let under_way = UnderWay { hub: Arc::downgrade(self), user: job.user, to: job.to.clone() };
            let (hub, stopping) = (Arc::downgrade(self), self.stopping.clone());
            self.tasks.spawn(async move {
                let _under_way = under_way;
                stopping.run_until_cancelled(job.run(&hub)).await;
            });
        }
    }
}

impl Routing {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Routing {
    fn drop(&mut self) {
        // The task sees that the hub is gone.
        self.changed.notify_one();
    }
}

impl Job {
    async fn run(mut self, hub: &Weak<Inner>) {
        let name = self.to.split_once(':').map_or(&*self.to, |(_, name)| name);
        let parcel = Parcel { from: &self.from, user: self.user, to: name, body: &self.body, id: self.id.as_ref() };
        let (state, reason) = match self.route.deliver(&parcel).await {
            Routed::Delivered => (Delivery::Delivered, None),
            Routed::Unconfirmed => (Delivery::Unconfirmed, None),
            Routed::Failed(reason) => (Delivery::Failed, Some(reason)),
            Routed::Unknown => {
                // Nothing was said: the id is free again before anybody hears so.
                self.claim = None;
                let why = Refusal::NoUser(self.to.to_string());
                self.reply.tell(&[Event::Refused { why, id: self.id }]);
                return;
            }
        };
        if let Some(claim) = self.claim.take() {
            claim.settle((state, reason));
        }
        self.tell(hub, state, reason);
    }

    /// Tells the author and whoever watches what became of it.
    fn tell(self, hub: &Weak<Inner>, state: Delivery, reason: Option<&'static str>) {
        let Self { user, from, to, body, id, reply, claim, .. } = self;
        // An id that was not used is free before anybody hears so.
        drop(claim);
        let hub = hub.upgrade();
        let record = Record {
            room: RoomKey::Direct(user),
            seq: 0,
            prev: 0,
            at: turn::now(),
            user,
            from: from.as_str().into(),
            id: id.clone(),
            body,
        };
        let post = Arc::new(Post { epoch: Epoch::random(), record });
        if state != Delivery::Failed
            && let Some(hub) = &hub
        {
            hub.watches.iter().for_each(|watch| watch.said(&Told { post: &post, to: Some(&to) }));
        }
        match (id, state) {
            // As of every direct message, in all sessions: the one that said it may be over.
            (Some(id), _) => {
                if let Some(hub) = hub {
                    hub.tell(&[(user, Event::DirectReceipt { id, to, state, reason })]);
                }
            }
            (None, Delivery::Failed) => {
                let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                reply.tell(&[Event::System(format!("your message did not reach {to}{why}").into())]);
            }
            // Without an id the echo is the only word of it.
            (None, _) => {
                reply.tell(&[Event::Message(post)]);
            }
        }
    }
}

impl Book {
    /// Sees to it that one more may wait: somebody else's may have to go for it, which is returned.
    fn make_room(&mut self, user: UserId, to: &Arc<str>) -> Result<Option<Job>, Crowd> {
        let own = self.users.get(&user).map_or(0, |count| count.waiting);
        if own >= MOST_OF_USER {
            return Err(Crowd::OfUser);
        }
        if self.names.get(to).is_some_and(|count| count.waiting >= MOST_TO_NAME) {
            return self.make_room_to(user, to).map(Some);
        }
        if self.waiting.len() < MOST_WAITING {
            return Ok(None);
        }
        let most = self.users.iter().max_by_key(|(_, count)| count.waiting);
        let (loser, _) = most.filter(|(_, count)| count.waiting > own + 1).ok_or(Crowd::OfAll)?;
        let newest = self.waiting.iter().rposition(|job| job.user == *loser).ok_or(Crowd::OfAll)?;
        Ok(self.remove(newest))
    }

    /// The same where too many wait for one name: the newest of whoever has most of these goes.
    fn make_room_to(&mut self, user: UserId, to: &Arc<str>) -> Result<Job, Crowd> {
        let mut authors = HashMap::<UserId, (usize, usize)>::new();
        for (at, job) in self.waiting.iter().enumerate().filter(|(_, job)| job.to == *to) {
            let (count, newest) = authors.entry(job.user).or_default();
            (*count, *newest) = (*count + 1, at);
        }
        let own = authors.get(&user).map_or(0, |(count, _)| *count);
        let most = authors.into_values().max().filter(|(count, _)| *count > own + 1);
        most.and_then(|(_, newest)| self.remove(newest)).ok_or(Crowd::ToName)
    }

    fn put(&mut self, job: Job) {
        self.users.entry(job.user).or_default().waiting += 1;
        self.names.entry(job.to.clone()).or_default().waiting += 1;
        self.waiting.push_back(job);
    }

    fn remove(&mut self, at: usize) -> Option<Job> {
        let job = self.waiting.remove(at)?;
        let fewer = |count: &mut Count| count.waiting -= 1;
        change(&mut self.users, &job.user, fewer);
        change(&mut self.names, &job.to, fewer);
        Some(job)
    }

    /// Takes those that may go now, the oldest first; they are under way then.
    fn take_ready(&mut self) -> Vec<Job> {
        let (mut ready, mut at) = (Vec::new(), 0);
        while let Some(job) = self.waiting.get(at)
            && self.under_way.len() < MOST_UNDER_WAY
        {
            let pair = (job.user, job.to.clone());
            let of_user = self.users.get(&pair.0).copied().unwrap_or_default();
            let to_name = self.names.get(&pair.1).copied().unwrap_or_default();
            let may = of_user.under_way < FEW_OF_USER && to_name.under_way < FEW_TO_NAME;
            if !may || self.under_way.contains(&pair) {
                at += 1;
                continue;
            }
            self.users.entry(pair.0).or_default().under_way += 1;
            self.names.entry(pair.1.clone()).or_default().under_way += 1;
            self.under_way.insert(pair);
            ready.extend(self.remove(at));
        }
        ready
    }

    fn end(&mut self, user: UserId, to: Arc<str>) {
        let fewer = |count: &mut Count| count.under_way -= 1;
        change(&mut self.users, &user, fewer);
        change(&mut self.names, &to, fewer);
        self.under_way.remove(&(user, to));
    }
}

/// A message's place among those under way, given back however that ends.
struct UnderWay {
    hub: Weak<Inner>,
    user: UserId,
    to: Arc<str>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        hub.routing.lock().end(self.user, self.to.clone());
        hub.routing.changed.notify_one();
    }
}

fn change<K: Eq + Hash>(counts: &mut HashMap<K, Count>, key: &K, change: impl FnOnce(&mut Count)) {
    if let Some(count) = counts.get_mut(key) {
        change(count);
        if *count == Count::default() {
            counts.remove(key);
        }
    }
}

/// Why a message fails that others had to wait for too long, or that had to make room.
const CROWDED: &str = "busy";
/// Messages of one user that wait, in all sessions together. One more is refused.
const MOST_OF_USER: usize = 32;
/// Messages to one name that wait, of all users together: as many as go within minutes even to one that never answers.
/// One more pushes out the newest of the user who has most of them, and fails when its own author is one of these.
const MOST_TO_NAME: usize = 64;
/// Messages that wait, of all users to all names. One more pushes out the newest of the user who has most, and is refused
/// when its own author is one of these.
const MOST_WAITING: usize = 1024;
/// Messages of one user that are under way at a time.
const FEW_OF_USER: usize = 2;
/// Messages to one name that are.
const FEW_TO_NAME: usize = 4;
/// Messages of all users to all names that are.
const MOST_UNDER_WAY: usize = 256;
/// Bytes of the whole name of whoever a message is for. Nobody has a longer one.
const LONGEST_NAME: usize = 320;
