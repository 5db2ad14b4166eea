//! Direct messages to whoever is no user of the hub.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::outbox::Outbox;
use super::watch::Told;
use super::{Inner, turn};
use crate::message::{Delivery, Epoch, Event, MessageId, Post, Record, Refusal, RoomKey, UserId};
use crate::name::Nickname;

/// Carries direct messages to names that begin with a word and a colon, such as `peer:bob`.
#[async_trait]
pub trait Route: fmt::Debug + Send + Sync + 'static {
    /// Delivers one message and tells what became of it. It ends by itself: nobody else gives it up. The messages of one
    /// session come one after another.
    async fn deliver(&self, parcel: &Parcel<'_>) -> Routed;
}

/// One message on a [`Route`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Parcel<'a> {
    /// Who says it.
    pub from: &'a Nickname,
    /// Their id, which no other user ever has.
    pub user: UserId,
    /// Whom it is for, without the word that led here.
    pub to: &'a str,
    /// What is said.
    pub body: &'a Arc<str>,
    /// The author's id for it: the same when it is said again.
    pub id: Option<&'a MessageId>,
}

/// What became of a message on a [`Route`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Routed {
    /// The other program has it.
    Delivered,
    /// It was handed over where nobody can know more.
    Unconfirmed,
    /// It did not arrive.
    Failed(&'static str),
    /// Nobody is called so.
    Unknown,
}

/// The routes by their words.
pub(super) type Routes = HashMap<&'static str, Arc<dyn Route>>;

/// What one session sends on routes, one message after another. Dropping it lets those that wait go on their way.
#[derive(Debug)]
pub(super) struct Sender {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) route: Arc<dyn Route>,
    pub(super) from: Nickname,
    /// As the author called them.
    pub(super) to: Arc<str>,
    pub(super) body: Arc<str>,
    pub(super) id: Option<MessageId>,
}

impl Sender {
    pub(super) fn start(hub: &Arc<Inner>, user: UserId, reply: Arc<Outbox>) -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(MOST_WAITING);
        let (inner, stopping) = (Arc::downgrade(hub), hub.stopping.clone());
        hub.tasks.spawn(async move {
            let work = async {
                while let Some(job) = waiting.recv().await {
                    job.run(&inner, user, &reply).await;
                }
            };
            stopping.run_until_cancelled(work).await;
        });
        Self { jobs }
    }

    /// Puts a message behind those that wait, unless too many do.
    pub(super) fn put(&self, job: Job) -> Result<(), Refusal> {
        self.jobs.try_send(job).map_err(|_| Refusal::Busy)
    }
}

impl Job {
    async fn run(self, hub: &Weak<Inner>, user: UserId, reply: &Outbox) {
        let Self { route, from, to, body, id } = self;
        let name = to.split_once(':').map_or(&*to, |(_, name)| name);
        let routed = {
            // As many at a time as the hub lets out.
            let Some(places) = hub.upgrade().map(|hub| hub.routing.clone()) else { return };
            let Ok(_place) = places.acquire().await else { return };
            route.deliver(&Parcel { from: &from, user, to: name, body: &body, id: id.as_ref() }).await
        };
        let (state, reason) = match routed {
            Routed::Delivered => (Delivery::Delivered, None),
            Routed::Unconfirmed => (Delivery::Unconfirmed, None),
            Routed::Failed(reason) => (Delivery::Failed, Some(reason)),
            Routed::Unknown => {
                reply.tell(&[Event::Refused { why: Refusal::NoUser(to.to_string()), id }]);
                return;
            }
        };
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
            && let Some(hub) = hub.upgrade()
        {
            hub.watches.iter().for_each(|watch| watch.said(&Told { post: &post, to: Some(&to) }));
        }
        let told = match (id, state) {
            (Some(id), _) => Event::DirectReceipt { id, to, state, reason },
            (None, Delivery::Failed) => Event::System(format!("your message did not reach {to}").into()),
            // Without an id the echo is the only word of it.
            (None, _) => Event::Message(post),
        };
        reply.tell(&[told]);
    }
}

/// Messages of one session that wait to go out.
const MOST_WAITING: usize = 32;
/// Messages of all sessions that are on their way at a time.
pub(super) const MOST_ROUTED: usize = 256;
