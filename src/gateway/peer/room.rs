//! A room that peers write to as they write to each other.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::doorman::Doorman;
use super::entry::{Registered, RoomEntry};
use super::member::Place;
use super::members::Members;
use super::route::Peers;
use crate::address::{Address, Host};
use crate::gateway::{Context, Gateway};
use crate::message::Message;
use crate::name::UserName;
use crate::store::StoreError;
use crate::transport::{Gate, Incoming, TransportError};

/// Why a room does not listen for peers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RoomPeerError {
    /// Nothing can listen there.
    #[error(transparent)]
    Listen(#[from] TransportError),
    /// The address says "everywhere", where nobody can be found: give one at which others reach this machine.
    #[error("peers cannot find a room at {0}: give the address at which others reach this machine")]
    Unspecified(Host),
    /// Somebody else is registered under the room's name: choose another.
    #[error("'{0}' is somebody else in the registry")]
    Taken(UserName),
    /// The registry does not work.
    #[error("the registry fails: {0}")]
    Store(#[from] StoreError),
}

/// A room that stands in the registry as a user of its own. A peer that the registry knows is a member of the room from
/// its first message to it on, under its own name, and is sent what the others say there.
#[derive(Debug)]
pub struct RoomPeer {
    local: SocketAddr,
    place: Place,
    members: Arc<Members>,
    incoming: Incoming,
    registered: Registered,
    stands: bool,
    _cut: DropGuard,
}

impl RoomPeer {
    /// Listens on `host`, and registers the room there under its name, as `public` if that is given; makes the room in the
    /// context's hub. Peers are answered at once, and heard in the room from [`Gateway::serve`] on; their connections are
    /// counted with all others of the context.
    ///
    /// # Errors
    /// [`RoomPeerError`].
    ///
    /// # Cancel safety
    /// Nothing listens when the future is dropped before it is ready; the name may be registered for a minute.
    pub async fn bind(
        context: &Context,
        peers: &Peers,
        entry: RoomEntry,
        host: &Host,
        public: Option<&Host>,
    ) -> Result<Self, RoomPeerError> {
        let RoomEntry { room, name, protocol, port } = entry;
        let found_at = public.unwrap_or(host);
        if found_at.is_unspecified() {
            return Err(RoomPeerError::Unspecified(found_at.clone()));
        }
        let hub = &context.hub;
        hub.ensure_room(&room);
        let stop = CancellationToken::new();
        let place = Place { hub: hub.clone(), peers: peers.clone(), room, called: name.clone(), stop: stop.clone() };
        let members = Arc::new(Members::new(place.clone()));
        let doorman = Arc::new(Doorman::new(place.clone(), members.clone(), &protocol));
        let at = Address::network(protocol.clone(), host.clone(), port);
        let wrong = || TransportError::WrongAddress(at.clone());
        let transport = peers.shared.transports.get(&protocol).ok_or_else(wrong)?;
        let gate = Gate::new(doorman).counting(context.connections(NAME));
        let incoming = transport.listen_guarded(&at, gate).await?;
        let local = match incoming.local_address() {
            Address::Network { host, port, .. } => host.ip().map(|ip| SocketAddr::new(ip, *port)),
            Address::Other { .. } => None,
        };
        let local = local.ok_or_else(wrong)?;
        let listens = Address::network(protocol, found_at.clone(), local.port());
        let registered = Registered::new(name.clone(), listens);
        let stands = match registered.begin(&peers.shared).await {
            Ok(()) => true,
            Err(StoreError::Taken) if peers.shared.entry(&name).await?.is_none() => {
                warn!(%name, "this name is still kept for somebody: the room will stand in the registry later");
                false
            }
            Err(StoreError::Taken) => return Err(RoomPeerError::Taken(name)),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { local, place, members, incoming, registered, stands, _cut: stop.drop_guard() })
    }
}

#[async_trait]
impl Gateway for RoomPeer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn serve(self: Box<Self>, context: Context) {
        let Self { place, members, mut incoming, registered, stands, .. } = *self;
        let grace = place.peers.shared.limits.grace;
        let confirms = context.confirms();
        let serving = async {
            while let Some(Some(message)) = context.stop.run_until_cancelled(incoming.next()).await {
                say(&members, message).await;
            }
            // What was confirmed is said all the same.
            incoming.stop();
            let rest = async {
                while let Some(message) = incoming.next().await {
                    say(&members, message).await;
                }
            };
            let _ = timeout(grace, rest).await;
            place.stop.cancel();
            members.ended(grace).await;
            drop(confirms);
        };
        tokio::join!(serving, registered.keep(&place.peers.shared, stands, &context.stop));
    }
}

/// What the wire is called.
const NAME: &str = "peer";

async fn say(members: &Members, message: Message) {
    if !members.say(&message.from, message.text).await {
        warn!(peer = %message.from, "what was confirmed to a peer cannot be said: it may not come in again");
    }
}
