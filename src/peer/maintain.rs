//! Keeps a peer's registration alive, and its list of users fresh, through a registry that may come and go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::{Event, Shared};
use crate::address::Entry;
use crate::registry::{RegistryClient, RegistryError};

/// What this peer is in its registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Not there yet: it did not answer so far, or there is nothing to register.
    Absent,
    /// There, and renewed.
    Registered,
    /// There for as long as that registry keeps it: it knows no renewal.
    Unrenewed,
    /// Somebody else has the name.
    Lost,
}

/// How often what is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    pub(super) ttl: u32,
    pub(super) renew: Duration,
    pub(super) refresh: Duration,
    /// How long a stop waits for a change that the registry was asked for.
    pub(super) last: Duration,
}

/// Whether an error may pass by itself, so that trying again makes sense.
pub(super) fn may_pass(error: &RegistryError) -> bool {
    use RegistryError::{Busy, Full, TimedOut, Unreachable};
    matches!(error, Unreachable { .. } | TimedOut { .. } | Busy { .. } | Full { .. })
}

/// Runs until the peer stops. `lost` says why the registration at the start could not be made.
pub(super) async fn run(shared: Arc<Shared>, rhythm: Rhythm, standing: Standing, lost: Option<String>) {
    let Some(registry) = shared.registry.clone() else { return };
    let mut keeper = Keeper {
        shared,
        registry,
        rhythm,
        standing,
        seen_ours: false,
        seen_whole: false,
        silent: None,
        untold: Vec::new(),
        retry: FIRST_RETRY,
    };
    if let Some(reason) = lost {
        keeper.silence(reason);
    }
    let known = keeper.shared.users();
    keeper.compare(known.get(&keeper.shared.name).cloned()).await;
    let stop = keeper.shared.stop.clone();
    let mut renew_at = Instant::now() + if keeper.standing == Standing::Absent { Duration::ZERO } else { rhythm.renew };
    let mut refresh_at = Instant::now() + rhythm.refresh;
    loop {
        let due = match keeper.silent {
            Some(retry_at) => retry_at,
            None => renew_at.min(refresh_at),
        };
        if stop.run_until_cancelled(tokio::time::sleep_until(due)).await.is_none() {
            return;
        }
        // A change that is under way at the stop is let finish, so that no renewal comes behind the removal; a question
        // is not. The list comes first: it tells whether there is still something of ours to renew.
        let work = async {
            let (now, again) = (Instant::now(), keeper.silent.is_some());
            let renews = again || now >= renew_at;
            if !keeper.refresh().await || (renews && !keeper.renew(again).await) {
                return;
            }
            keeper.answered();
            refresh_at = now + rhythm.refresh;
            if renews {
                renew_at = now + rhythm.renew;
            }
        };
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(rhythm.last).await;
        };
        tokio::select! {
            () = work => {}
            () = late => return,
        }
        keeper.tell_untold();
    }
}

struct Keeper {
    shared: Arc<Shared>,
    registry: RegistryClient,
    rhythm: Rhythm,
    standing: Standing,
    /// Whether the list once held our address.
    seen_ours: bool,
    /// Whether it once held all that was registered, features included.
    seen_whole: bool,
    /// When a silent registry is asked again.
    silent: Option<Instant>,
    /// State that the program must hear but had no room for.
    untold: Vec<Event>,
    retry: Duration,
}

impl Keeper {
    /// Registers, or renews; `again` after a silence, in which the registry may have forgotten everything. False when
    /// the registry did not answer.
    async fn renew(&mut self, again: bool) -> bool {
        let Some(entry) = self.shared.entry.clone() else { return true };
        let (name, secret, ttl) = (&self.shared.name, Some(&self.shared.secret), Some(self.rhythm.ttl));
        if self.shared.stop.is_cancelled() {
            return false;
        }
        let result = match self.standing {
            Standing::Unrenewed | Standing::Lost => return true,
            Standing::Absent => self.registry.insert(name, &entry, secret, ttl).await,
            Standing::Registered if again => self.registry.upsert(name, &entry, secret, ttl).await,
            Standing::Registered => self.registry.renew(name, &entry.address, secret, ttl).await,
        };
        self.judge(result)
    }

    /// Asks for the users. False when there was no answer, or it is no longer waited for.
    async fn refresh(&mut self) -> bool {
        let Some(listed) = self.shared.stop.run_until_cancelled(self.registry.list()).await else { return false };
        let users = match listed {
            Ok(users) => Arc::new(users),
            Err(error) if may_pass(&error) => {
                self.silence(error.to_string());
                return false;
            }
            Err(error) => {
                debug!(%error, "the registry's list cannot be read");
                return true;
            }
        };
        let own = users.get(&self.shared.name).cloned();
        if self.shared.set_users(users.clone()) {
            self.tell(Event::Users(users));
        }
        self.compare(own).await
    }

    /// Holds what the registry says of us against what we are. False when there was no answer.
    async fn compare(&mut self, own: Option<Entry>) -> bool {
        let Some(entry) = self.shared.entry.clone() else { return true };
        if self.standing != Standing::Registered {
            return true;
        }
        match own {
            Some(own) if own.address == entry.address => {
                // A registry of another make keeps no features; only where they once stood are they worth mending.
                let mend = self.seen_whole && own != entry;
                self.seen_ours = true;
                self.seen_whole |= own == entry;
                if !mend {
                    return true;
                }
            }
            Some(_) if self.seen_ours => {
                // Another program with the same secret, or on a registry without owners, took over: no tug-of-war.
                self.lose();
                return true;
            }
            Some(_) => return true,
            None if self.seen_ours => {}
            None => return true,
        }
        let (name, secret, ttl) = (&self.shared.name, Some(&self.shared.secret), Some(self.rhythm.ttl));
        if self.shared.stop.is_cancelled() {
            return false;
        }
        let result = self.registry.upsert(name, &entry, secret, ttl).await;
        self.judge(result)
    }

    fn judge(&mut self, result: Result<(), RegistryError>) -> bool {
        match result {
            Ok(()) => self.standing = Standing::Registered,
            Err(RegistryError::Taken | RegistryError::Forbidden) => self.lose(),
            Err(error) if may_pass(&error) => {
                self.silence(error.to_string());
                return false;
            }
            Err(error) => {
                debug!(%error, "this registry knows no renewal");
                self.standing = Standing::Unrenewed;
            }
        }
        let ours = matches!(self.standing, Standing::Registered | Standing::Unrenewed);
        self.shared.registered.store(ours, Ordering::Release);
        true
    }

    fn lose(&mut self) {
        self.standing = Standing::Lost;
        self.shared.registered.store(false, Ordering::Release);
        self.tell(Event::NameLost);
    }

    fn silence(&mut self, reason: String) {
        if self.silent.is_none() {
            self.retry = FIRST_RETRY;
            self.tell(Event::RegistryLost { reason });
        }
        self.silent = Some(Instant::now() + self.retry);
        self.retry = (self.retry * 2).min(self.rhythm.renew);
    }

    fn answered(&mut self) {
        if self.silent.take().is_some() {
            self.tell(Event::RegistryFound);
        }
    }

    fn tell(&mut self, event: Event) {
        // Of what waits, only the latest state of each kind is worth telling.
        self.untold.retain(|old| kind(old) != kind(&event));
        self.untold.push(event);
        self.tell_untold();
    }

    fn tell_untold(&mut self) {
        while let Some(event) = self.untold.first() {
            if !self.shared.tell(event.clone()) {
                return;
            }
            self.untold.remove(0);
        }
    }
}

/// Events of one kind replace each other.
fn kind(event: &Event) -> u8 {
    match event {
        Event::Users(_) => 0,
        Event::RegistryLost { .. } | Event::RegistryFound => 1,
        _ => 2,
    }
}

const FIRST_RETRY: Duration = Duration::from_millis(500);
