//! `peer:NAME`: direct messages to the users of a registry.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::debug;

use super::greeting::Greetings;
use super::guests::Guests;
use super::hosts::Hosts;
use super::names;
use super::proof::Proofs;
use crate::address::{Address, Entry, Features, Protocol};
use crate::hub::{Parcel, Route, Routed};
use crate::limits::Limits;
use crate::message::{Message, MessageId, UserId};
use crate::name::UserName;
use crate::net::lately::Lately;
use crate::net::spoken::Spoken;
use crate::store::{Clock, RegistryStore, StoreError};
use crate::transport::{Http, Sent, Transport, TransportError, Udp, WebSocket};

/// The users of a registry, as a hub reaches them: the [`Route`] for `peer`, and what rooms that peers write to need.
/// Cloning shares it.
///
/// A peer is sent to at the address that its entry names, and only if it spoke from there, to the registry or to a room:
/// anybody can register any host, and nobody who did not ask for messages is to get some.
#[derive(Clone)]
pub struct Peers {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) registry: Arc<dyn RegistryStore>,
    pub(super) spoken: Spoken,
    pub(super) transports: BTreeMap<Protocol, Arc<dyn Transport>>,
    pub(super) hosts: Hosts,
    pub(super) clock: Clock,
    pub(super) guests: Guests,
    pub(super) greetings: Greetings,
    pub(super) proofs: Proofs,
    /// Entries of which nobody knows whether anybody is there, and when that came out.
    doubted: Mutex<Lately<(Entry, Instant)>>,
    pub(super) limits: Arc<Limits>,
}

impl Peers {
    /// The users in `registry`, over HTTP, WebSocket and UDP. What notes from where they spoke is shared with the
    /// registry's service ([`RegistryService::spoken`](crate::registry::RegistryService::spoken)).
    #[must_use]
    pub fn new(registry: Arc<dyn RegistryStore>, spoken: Spoken, limits: &Limits) -> Self {
        let transports: [Arc<dyn Transport>; 3] = [
            Arc::new(Http::with_limits(limits)),
            Arc::new(WebSocket::with_limits(limits)),
            Arc::new(Udp::with_limits(limits)),
        ];
        Self::over(registry, spoken, transports, limits)
    }

    /// The same over transports of the caller's choice.
    #[must_use]
    pub fn over(
        registry: Arc<dyn RegistryStore>,
        spoken: Spoken,
        transports: impl IntoIterator<Item = Arc<dyn Transport>>,
        limits: &Limits,
    ) -> Self {
        let shared = Shared {
            registry,
            spoken,
            transports: transports.into_iter().map(|transport| (transport.protocol(), transport)).collect(),
            hosts: Hosts::new(limits),
            clock: Clock::start(),
            guests: Guests::default(),
            greetings: Greetings::new(limits),
            proofs: Proofs::default(),
            doubted: Mutex::new(Lately::new(MOST_DOUBTED)),
            limits: Arc::new(limits.clone()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Ends the connections that are kept to peers, when nothing more is sent.
    pub async fn close(&self) {
        for transport in self.shared.transports.values() {
            transport.close().await;
        }
    }
}

#[async_trait]
impl Route for Peers {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Routed {
        let Ok(name) = UserName::new(parcel.to) else { return Routed::Unknown };
        let sent = self.shared.deliver(&name, parcel).await;
        debug!(%name, ?sent, "a direct message to a peer");
        match sent {
            Ok(Sent::Delivered) => Routed::Delivered,
            Ok(_) => Routed::Unconfirmed,
            Err(Unsent::Nobody) => Routed::Unknown,
            Err(Unsent::Because(why)) => Routed::Failed(why),
        }
    }
}

/// Why nothing was sent to a peer.
#[derive(Debug)]
enum Unsent {
    Nobody,
    Because(&'static str),
}

impl Shared {
    /// A user's entry as it stands now.
    pub(super) async fn entry(&self, name: &UserName) -> Result<Option<Entry>, StoreError> {
        Ok(self.registry.get(name, self.clock.now()).await?.map(|record| record.entry))
    }

    /// Notes that what was sent to an entry was not acknowledged, though its user seemed to speak from there.
    pub(super) fn doubt(&self, name: &UserName, entry: Entry) {
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.note(name, (entry, Instant::now()));
    }

    /// Whether that was so a short time ago.
    pub(super) fn is_doubted(&self, name: &UserName, entry: &Entry) -> bool {
        let doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.get(name).is_some_and(|(then, at)| then == entry && at.elapsed() < DOUBTED)
    }

    /// Under which name somebody writes to peers: their own, unless peers could take it for another's, a room's or
    /// another peer's.
    pub(super) async fn called(&self, nickname: &str, user: UserId) -> Option<UserName> {
        match names::plain(nickname) {
            Some(name) if matches!(self.entry(&name).await, Ok(None)) => Some(name),
            _ => names::marked(nickname, user),
        }
    }

    async fn deliver(&self, name: &UserName, parcel: &Parcel<'_>) -> Result<Sent, Unsent> {
        let entry = self.entry(name).await.map_err(|_| Unsent::Because("unavailable"))?.ok_or(Unsent::Nobody)?;
        if entry.features.has(Features::ROOM) {
            return Err(Unsent::Because("is_a_room"));
        }
        let Address::Network { protocol, host, .. } = &entry.address else {
            return Err(Unsent::Because("no_transport"));
        };
        let transport = self.transports.get(protocol).ok_or(Unsent::Because("no_transport"))?;
        let spoke_from = self.spoken.last(name).ok_or(Unsent::Because("never_heard"))?;
        match self.hosts.has(host, spoke_from).await {
            Some(true) => {}
            Some(false) => return Err(Unsent::Because("heard_from_elsewhere")),
            None => return Err(Unsent::Because("unavailable")),
        }
        let from = self.called(parcel.from.as_str(), parcel.user).await.ok_or(Unsent::Because("unavailable"))?;
        let mut message = Message::new(from, parcel.body);
        if let Some(id) = parcel.id {
            message = message.with_id(told_apart(parcel.user, id));
        }
        let to = at(&entry, spoke_from).ok_or(Unsent::Because("no_transport"))?;
        let sent = self.proofs.send(transport.as_ref(), name, &to, message).await;
        sent.map_err(|error| Unsent::Because(reason(&error)))
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("protocols", &self.shared.transports.keys()).finish_non_exhaustive()
    }
}

/// The entry at the very address that its user spoke from: a name may lead elsewhere the next time that it is asked.
pub(super) fn at(entry: &Entry, address: IpAddr) -> Option<Entry> {
    let Address::Network { protocol, port, .. } = &entry.address else { return None };
    let address = Address::network(protocol.clone(), address.to_canonical().into(), *port);
    Some(Entry { address, features: entry.features.clone() })
}

/// What somebody's id for a message becomes where all users are one sender.
fn told_apart(user: UserId, id: &MessageId) -> MessageId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(user.as_bytes()).update(id.as_str().as_bytes());
    let hash = hasher.finalize().to_hex();
    MessageId::new(&hash.as_str()[..ID]).unwrap_or_else(|_| MessageId::random())
}

/// Why a peer did not get a message, in a word or two.
pub(super) fn reason(error: &TransportError) -> &'static str {
    match error {
        TransportError::TimedOut { .. } => "timed out",
        error => error.code(),
    }
}

/// How long nothing is sent to an entry from which a first message was not acknowledged.
const DOUBTED: Duration = Duration::from_secs(600);
/// Such entries that are remembered.
const MOST_DOUBTED: usize = 1024;
/// Characters of an id that is a hash: 128 bits.
const ID: usize = 32;
