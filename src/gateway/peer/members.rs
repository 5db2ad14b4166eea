//! The peers that are members of one room.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::member::{Newcomer, Place, serve};
use crate::address::{Protocol, network};
use crate::message::Refusal;
use crate::name::UserName;
use crate::net::lately::Lately;

/// Who is a member.
pub(super) struct Members {
    place: Place,
    known: Arc<Mutex<Known>>,
    tasks: TaskTracker,
    /// Fires when those who are still there have had their time.
    cut: CancellationToken,
}

struct Known {
    members: HashMap<UserName, Handle>,
    /// Those who were let in last, for what they say after their membership.
    lately: Lately<Newcomer>,
    next: u64,
}

/// Whether a member came in, once that is known.
type Joining = watch::Receiver<Option<Result<(), Refusal>>>;

/// One member, from its first message on.
struct Handle {
    number: u64,
    newcomer: Newcomer,
    texts: mpsc::Sender<Arc<str>>,
    joined: Joining,
    ended: CancellationToken,
}

impl Members {
    pub(super) fn new(place: Place) -> Self {
        let known = Known { members: HashMap::new(), lately: Lately::new(MOST_MEMBERS), next: 0 };
        let (known, tasks, cut) = (Arc::new(Mutex::new(known)), TaskTracker::new(), CancellationToken::new());
        Self { place, known, tasks, cut }
    }

    /// Whether a peer is a member, at that entry and address.
    pub(super) fn has(&self, newcomer: &Newcomer) -> bool {
        lock(&self.known).members.get(&newcomer.name).is_some_and(|member| member.is(newcomer))
    }

    /// Makes a peer a member, unless it is; ready once it is one. One whose entry changed begins anew.
    ///
    /// # Errors
    /// Why it may not come in.
    ///
    /// # Cancel safety
    /// It comes in all the same.
    pub(super) async fn ensure(&self, newcomer: Newcomer) -> Result<(), Refusal> {
        let mut joined = {
            let mut known = lock(&self.known);
            known.lately.note(&newcomer.name, newcomer.clone());
            match known.members.get(&newcomer.name).filter(|member| member.is(&newcomer)) {
                Some(member) => member.joined.clone(),
                None => {
                    // A user comes in, as on any other wire.
                    let tries = self.place.hub.tries();
                    tries.sign_in(Some(newcomer.source)).map_err(|_| Refusal::TooFast)?;
                    self.begin(&mut known, newcomer, None)?
                }
            }
        };
        match joined.wait_for(Option::is_some).await {
            Ok(joined) => joined.clone().unwrap_or(Err(Refusal::Unavailable)),
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    /// Lets somebody say what was confirmed when they were a member: who is none any more comes in again for it. It waits
    /// while they have much to say; `false` when they cannot come in.
    pub(super) async fn say(&self, name: &UserName, text: Arc<str>) -> bool {
        let mut text = text;
        for _ in 0..MOST_TRIES {
            let texts = lock(&self.known).members.get(name).map(|member| member.texts.clone());
            if let Some(texts) = texts {
                match texts.send(text).await {
                    Ok(()) => return true,
                    Err(unsent) => text = unsent.0,
                }
            }
            match self.readmit(name, text).await {
                Ok(()) => return true,
                Err(unsaid) => text = unsaid,
            }
        }
        false
    }

    /// A task of this room, which ends with the members'.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.cut.clone().run_until_cancelled_owned(work));
    }

    /// Waits until nobody is a member any more, once the room stops; whoever then is one after `grace` and as much again
    /// is cut.
    pub(super) async fn ended(&self, grace: Duration) {
        self.tasks.close();
        let _ = timeout(2 * grace, self.tasks.wait()).await;
        self.cut.cancel();
        self.tasks.wait().await;
    }

    /// Lets a member of late in again with something to say; gives that back when somebody of the name is here.
    async fn readmit(&self, name: &UserName, text: Arc<str>) -> Result<(), Arc<str>> {
        let Some(mut newcomer) = lock(&self.known).lately.get(name).cloned() else { return Err(text) };
        let entry = self.place.peers.shared.entry(name).await;
        // Over UDP somebody else may have said it, and the address has to be proven anew before anything is sent there.
        newcomer.stays = entry.is_ok_and(|entry| entry.as_ref() == Some(&newcomer.entry))
            && *newcomer.entry.address.protocol() != Protocol::UDP;
        let mut known = lock(&self.known);
        if known.members.get(name).is_some_and(|member| !member.texts.is_closed()) {
            return Err(text);
        }
        self.begin(&mut known, newcomer, Some(text.clone())).map(|_| ()).map_err(|_| text)
    }

    /// Whether as many come from an address as may: it registers as many names as it likes, and each of them is a copy of
    /// all that is said.
    fn is_crowded(&self, known: &Known, source: IpAddr) -> bool {
        let limits = &self.place.peers.shared.limits;
        if limits.loopback_exempt && source.is_loopback() {
            return false;
        }
        let there = network(source);
        let beside = known.members.values().filter(|member| network(member.newcomer.source) == there);
        beside.count() >= limits.connections_per_address
    }

    /// Begins a membership, with what is said first.
    fn begin(&self, known: &mut Known, newcomer: Newcomer, first: Option<Arc<str>>) -> Result<Joining, Refusal> {
        if self.place.stop.is_cancelled() {
            return Err(Refusal::Unavailable);
        }
        // The one before gives its name back first.
        let after = known.members.get(&newcomer.name).map(|member| member.ended.clone());
        // To whom something was confirmed the place was given before.
        let crowded = || first.is_none() && self.is_crowded(known, newcomer.source);
        if after.is_none() && (known.members.len() >= MOST_MEMBERS || crowded()) {
            return Err(Refusal::Full);
        }
        let (texts, said) = mpsc::channel(MOST_TEXTS);
        if let Some(first) = first {
            texts.try_send(first).map_err(|_| Refusal::Unavailable)?;
        }
        let (joining, joined) = watch::channel(None);
        let (number, ended) = (known.next, CancellationToken::new());
        known.next += 1;
        let handle = Handle { number, newcomer: newcomer.clone(), texts, joined: joined.clone(), ended: ended.clone() };
        known.members.insert(newcomer.name.clone(), handle);
        let (place, known) = (self.place.clone(), self.known.clone());
        self.spawn(async move {
            let _ended = ended.drop_guard();
            if let Some(after) = after {
                after.cancelled().await;
            }
            let name = newcomer.name.clone();
            serve(&place, newcomer, said, joining).await;
            let mut known = lock(&known);
            if known.members.get(&name).is_some_and(|member| member.number == number) {
                known.members.remove(&name);
            }
        });
        Ok(joined)
    }
}

impl Handle {
    /// Whether this is that peer, and goes on.
    fn is(&self, newcomer: &Newcomer) -> bool {
        self.newcomer == *newcomer && !self.texts.is_closed()
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("members", &lock(&self.known).members.len()).finish_non_exhaustive()
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Peers in one room. One more is told that it is full.
const MOST_MEMBERS: usize = 4096;
/// How often somebody who was a member comes in to say one thing.
const MOST_TRIES: usize = 3;
/// Texts of one peer that wait for the room.
const MOST_TEXTS: usize = 64;
