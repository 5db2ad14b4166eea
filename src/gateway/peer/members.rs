//! The peers that are members of one room.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::member::{End, Newcomer, Place, serve};
use crate::address::Entry;
use crate::message::Refusal;
use crate::name::UserName;

/// Who is a member.
pub(super) struct Members {
    place: Place,
    known: Arc<Mutex<Known>>,
    tasks: TaskTracker,
    /// Fires when those who are still there have had their time.
    cut: CancellationToken,
}

#[derive(Default)]
struct Known {
    members: HashMap<UserName, Handle>,
    next: u64,
}

/// One member, from its first message on.
struct Handle {
    number: u64,
    entry: Entry,
    source: IpAddr,
    texts: mpsc::Sender<Arc<str>>,
    joined: watch::Receiver<Option<Result<(), Refusal>>>,
    ended: CancellationToken,
}

impl Members {
    pub(super) fn new(place: Place) -> Self {
        Self { place, known: Arc::default(), tasks: TaskTracker::new(), cut: CancellationToken::new() }
    }

    /// Makes a peer a member, unless it is; ready once it is one. One whose entry changed begins anew.
    ///
    /// # Errors
    /// Why it may not come in.
    ///
    /// # Cancel safety
    /// It comes in all the same.
    pub(super) async fn ensure(&self, newcomer: Newcomer) -> Result<(), Refusal> {
        let mut joined = self.begin(newcomer)?;
        match joined.wait_for(Option::is_some).await {
            Ok(joined) => joined.clone().unwrap_or(Err(Refusal::Unavailable)),
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    /// Lets a member say something; `false` when it is none any more. It waits while that has much to say.
    pub(super) async fn say(&self, name: &UserName, text: Arc<str>) -> bool {
        let texts = lock(&self.known).members.get(name).map(|member| member.texts.clone());
        match texts {
            Some(texts) => texts.send(text).await.is_ok(),
            None => false,
        }
    }

    /// Waits until nobody is a member any more, once the room stops; whoever then is one after `grace` and as much again
    /// is cut.
    pub(super) async fn ended(&self, grace: Duration) {
        self.tasks.close();
        let _ = timeout(2 * grace, self.tasks.wait()).await;
        self.cut.cancel();
        self.tasks.wait().await;
    }

    fn begin(&self, newcomer: Newcomer) -> Result<watch::Receiver<Option<Result<(), Refusal>>>, Refusal> {
        let mut known = lock(&self.known);
        let before = known.members.get(&newcomer.name);
        if let Some(member) = before
            && member.entry == newcomer.entry
            && member.source == newcomer.source
            && !member.texts.is_closed()
        {
            return Ok(member.joined.clone());
        }
        if self.place.stop.is_cancelled() {
            return Err(Refusal::Unavailable);
        }
        // The one before gives its name back first.
        let after = before.map(|member| member.ended.clone());
        if after.is_none() && known.members.len() >= MOST_MEMBERS {
            return Err(Refusal::Full);
        }
        let (texts, said) = mpsc::channel(MOST_TEXTS);
        let (joining, joined) = watch::channel(None);
        let (number, ended) = (known.next, CancellationToken::new());
        known.next += 1;
        let (entry, source) = (newcomer.entry.clone(), newcomer.source);
        let handle = Handle { number, entry, source, texts, joined: joined.clone(), ended: ended.clone() };
        known.members.insert(newcomer.name.clone(), handle);
        drop(known);
        let (place, known) = (self.place.clone(), self.known.clone());
        let work = async move {
            let _ended = ended.drop_guard();
            if let Some(after) = after {
                after.cancelled().await;
            }
            if serve(&place, newcomer.clone(), said, joining).await == End::Unproven {
                place.peers.shared.doubt(&newcomer.name, newcomer.entry.clone());
            }
            let mut known = lock(&known);
            if known.members.get(&newcomer.name).is_some_and(|member| member.number == number) {
                known.members.remove(&newcomer.name);
            }
        };
        self.tasks.spawn(self.cut.clone().run_until_cancelled_owned(work));
        Ok(joined)
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
/// Texts of one peer that wait for the room.
const MOST_TEXTS: usize = 64;
