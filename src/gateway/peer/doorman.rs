//! Who may write to a room: peers that its registry knows, from where it knows them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::debug;

use super::greeting::Greeter;
use super::member::{Newcomer, Place};
use super::members::Members;
use super::route::at;
use crate::address::{Address, Entry, Features, Protocol};
use crate::hub::Rate;
use crate::message::{Message, Refusal};
use crate::name::UserName;
use crate::net::lately::Lately;
use crate::transport::{Guard, Turned};

/// Stands at the door of one room.
#[derive(Debug)]
pub(super) struct Doorman {
    place: Place,
    members: Arc<Members>,
    greeter: Arc<Greeter>,
    /// Whether what comes in here came by a connection, so that nobody can claim another's address.
    by_connection: bool,
    started: Instant,
    visitors: Mutex<Visitors>,
}

/// What is remembered of those who came here from where their entries say.
#[derive(Debug)]
struct Visitors {
    rates: Lately<Rate>,
    /// Peers of the first version over UDP that were told that they cannot be members, and where.
    told: Lately<Entry>,
    telling: Rate,
}

/// Somebody whom the registry knows there.
struct Visitor {
    newcomer: Newcomer,
    /// Whether they spoke by a connection from there at some time.
    known: bool,
    /// Whether they need not be asked if they are there.
    proven: bool,
}

impl Doorman {
    pub(super) fn new(place: Place, members: Arc<Members>, listens: &Protocol) -> Self {
        let limits = &place.peers.shared.limits;
        let mut seldom = (**limits).clone();
        (seldom.commands_per_second, seldom.commands_burst) = (TOLD_PER_SECOND, TOLD_PER_SECOND);
        let visitors = Visitors {
            rates: Lately::new(MOST_VISITORS),
            told: Lately::new(MOST_VISITORS),
            telling: Rate::new(&seldom),
        };
        let by_connection = *listens != Protocol::UDP;
        let greeter = Arc::new(Greeter::new(place.clone(), members.clone()));
        Self { place, members, greeter, by_connection, started: Instant::now(), visitors: Mutex::new(visitors) }
    }

    /// The peer as its registry knows it, if this can be it.
    async fn recognise(&self, name: &UserName, source: IpAddr) -> Result<Visitor, Turned> {
        let shared = &self.place.peers.shared;
        let later = || Turned::Later("the registry cannot be asked at the moment".into());
        let away = |why: String| Err(Turned::Away(why));
        let Some(entry) = shared.entry(name).await.map_err(|_| later())? else {
            return away(format!("'{name}' is not in the registry: register first, here"));
        };
        if entry.features.has(Features::ROOM) {
            return away(format!("'{name}' is a room, and rooms do not enter rooms"));
        }
        let Address::Network { protocol, host, .. } = &entry.address else {
            return away(format!("'{name}' is registered under a protocol that this room does not speak"));
        };
        match shared.hosts.has(host, source).await {
            Some(true) => {}
            Some(false) => {
                return away(format!("'{name}' is registered at {host}, which is not where this comes from"));
            }
            None => return Err(Turned::Later(format!("{host} cannot be looked up at the moment"))),
        }
        if !self.allows(name) {
            return Err(Turned::TooFast(Refusal::TooFast.to_string()));
        }
        if *protocol == Protocol::UDP && !entry.acknowledges() {
            self.tell(name, &entry, source).await;
            return away(UNFIT.into());
        }
        let known = shared.spoken.last(name) == Some(source);
        // What spoke by a connection is there. A datagram says so of nobody, and an entry by UDP has a port besides at
        // which nobody may listen any more: only an acknowledgement tells.
        let proven = self.by_connection || (known && *protocol != Protocol::UDP);
        if self.by_connection {
            shared.spoken.note(name, source);
        } else if !known && shared.is_doubted(name, &entry) {
            return away(format!("what was sent to '{name}' was not acknowledged"));
        }
        Ok(Visitor { newcomer: Newcomer { name: name.clone(), entry, source, stays: true }, known, proven })
    }

    /// Whether a peer may say one more thing now.
    fn allows(&self, name: &UserName) -> bool {
        let now = self.started.elapsed();
        let mut visitors = self.lock();
        let mut rate = visitors.rates.get(name).copied().unwrap_or(Rate::new(&self.place.peers.shared.limits));
        let allowed = rate.allow(now);
        visitors.rates.note(name, rate);
        allowed
    }

    /// Tells a peer that cannot be a member so, once.
    async fn tell(&self, name: &UserName, entry: &Entry, source: IpAddr) {
        {
            let now = self.started.elapsed();
            let mut visitors = self.lock();
            // Somebody else may have said it in this peer's name: that must not become a flood.
            if visitors.told.get(name) == Some(entry) || !visitors.telling.allow(now) {
                return;
            }
            visitors.told.note(name, entry.clone());
        }
        let shared = &self.place.peers.shared;
        let (Some(to), Some(transport)) = (at(entry, source), shared.transports.get(&Protocol::UDP)) else { return };
        if let Err(error) = transport.send(&to, &Message::new(self.place.called.clone(), UNFIT)).await {
            debug!(%name, %error, "a peer is not told that it cannot be a member");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Visitors> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Guard for Doorman {
    async fn admit(&self, message: &Message, source: IpAddr) -> Result<(), Turned> {
        let Visitor { newcomer, known, proven } = self.recognise(&message.from, source.to_canonical()).await?;
        if !proven && (self.greeter.awaits(&newcomer.name) || !self.members.has(&newcomer)) {
            // It is not confirmed, so whoever wants that sends it again, and is heard once it acknowledged this.
            self.greeter.greet(newcomer, known, message);
            return Err(Turned::Later("whoever comes by UDP has to acknowledge something first".into()));
        }
        self.members.ensure(newcomer).await.map_err(|refusal| match refusal {
            Refusal::Full | Refusal::Unavailable | Refusal::Over => Turned::Later(refusal.to_string()),
            Refusal::TooFast => Turned::TooFast(refusal.to_string()),
            refusal => Turned::Away(refusal.to_string()),
        })
    }
}

/// What a peer is told that speaks over UDP and does not acknowledge.
const UNFIT: &str = "This room needs peers that acknowledge over UDP. Listen by HTTP or WebSocket instead.";
/// Peers whose pace is known, and who were told that they cannot be members.
const MOST_VISITORS: usize = 4096;
/// How many are told so in a second.
const TOLD_PER_SECOND: u32 = 5;
