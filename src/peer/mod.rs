//! A peer: a user who listens at an address of their own, is found through a registry, and talks to others.

mod builder;
mod events;
mod maintain;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use builder::PeerBuilder;
pub use events::{Event, Events};

use crate::address::{Address, Entry, Protocol};
use crate::message::{Message, MessageId};
use crate::name::UserName;
use crate::registry::{RegistryClient, RegistryError};
use crate::secret::Secret;
use crate::transport::{Sent, Transport, TransportError};

/// The users of a registry, by name.
pub type Users = BTreeMap<UserName, Entry>;

/// Why a peer did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Somebody else has the name: choose another.
    #[error("the name {0} is taken")]
    Taken(UserName),
    /// Nobody can reach `0.0.0.0` or `::`: say by which address others reach this peer.
    #[error("{0} cannot be registered, as nobody can reach it; give the address by which others reach this peer")]
    Unspecified(Address),
    /// No transport is plugged in for the protocol.
    #[error("there is no transport for {0}")]
    NoTransport(Protocol),
    /// A transport could not listen.
    #[error(transparent)]
    Listen(#[from] TransportError),
    /// The registry refused the registration.
    #[error("the registry refused the registration: {0}")]
    Registry(#[source] RegistryError),
}

/// Why a message was not sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The registry knows no such user.
    #[error("there is no user {0}")]
    Unknown(UserName),
    /// The user's protocol has no transport here.
    #[error("{user} listens by {protocol}, for which there is no transport here")]
    NoTransport {
        /// The user.
        user: UserName,
        /// Their protocol.
        protocol: Protocol,
    },
    /// The user is not known here, and the registry could not be asked.
    #[error("cannot look up {user}: {source}")]
    Lookup {
        /// The user.
        user: UserName,
        /// What the registry said.
        source: RegistryError,
    },
    /// The transport could not send it.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The peer was shut down.
    #[error("this peer is shut down")]
    Closed,
}

/// A running peer. Cloning is cheap; the peer stops when the last clone is dropped, or by [`Peer::shutdown`].
///
/// A peer that is only dropped leaves its entry in the registry until the lease ends.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
    _stop_on_drop: Arc<DropGuard>,
}

/// What the handle and the tasks behind it share.
struct Shared {
    name: UserName,
    secret: Secret,
    entry: Option<Entry>,
    locals: Vec<Address>,
    registry: Option<RegistryClient>,
    transports: BTreeMap<Protocol, Arc<dyn Transport>>,
    users: Mutex<Arc<Users>>,
    /// Whether the entry in the registry is this peer's doing.
    registered: AtomicBool,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Peer {
    /// Begins to describe a peer with that name.
    pub fn builder(name: UserName) -> PeerBuilder {
        PeerBuilder::new(name)
    }

    /// The peer's own name.
    #[must_use]
    pub fn name(&self) -> &UserName {
        &self.shared.name
    }

    /// What is registered; `None` for a peer that listens nowhere.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        self.shared.entry.as_ref()
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn local_addresses(&self) -> &[Address] {
        &self.shared.locals
    }

    /// The users as the registry last told.
    #[must_use]
    pub fn users(&self) -> Arc<Users> {
        self.shared.users()
    }

    /// Whether users of that protocol can be written to.
    #[must_use]
    pub fn can_reach(&self, protocol: &Protocol) -> bool {
        self.shared.transports.contains_key(protocol)
    }

    /// Asks the registry for its users. Without a registry the list is empty.
    ///
    /// # Errors
    /// [`RegistryError`] when it cannot be asked; the known users stay.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn update(&self) -> Result<Arc<Users>, RegistryError> {
        let Some(registry) = &self.shared.registry else { return Ok(self.users()) };
        let users = Arc::new(registry.list().await?);
        self.shared.set_users(users.clone());
        Ok(users)
    }

    /// Sends a text to a user and waits until its fate is known.
    ///
    /// A user who is not known yet, or no longer where the registry last said, is looked up once. A failure is also
    /// told as [`Event::DeliveryFailed`]. Messages to one user arrive in the order in which the sends were started.
    ///
    /// # Errors
    /// [`SendError`] says why it was not sent, or that nobody knows.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the message may still arrive, at most once.
    pub async fn send(&self, to: &UserName, text: &str) -> Result<Sent, SendError> {
        let message = Message::new(self.shared.name.clone(), text).with_id(MessageId::random());
        let result = match self.shared.stop.run_until_cancelled(self.shared.deliver(to, &message)).await {
            Some(result) => result,
            None => Err(SendError::Closed),
        };
        if let Err(error) = &result {
            let reason = error.to_string();
            self.shared.tell(Event::DeliveryFailed { to: to.clone(), message, reason });
        }
        result
    }

    /// Stops listening, takes back what this peer registered (and only that), and ends. A renewal that is under way is
    /// waited for, as long as any request may take; one that a registry carries out later still leaves the entry for
    /// one more lease.
    ///
    /// # Errors
    /// [`RegistryError`] when the entry could not be taken back; it then ends with its lease. Everything else is
    /// stopped all the same.
    ///
    /// # Cancel safety
    /// Call it again after dropping its future; what was done stays done.
    pub async fn shutdown(&self) -> Result<(), RegistryError> {
        let shared = &self.shared;
        shared.stop.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
        for transport in shared.transports.values() {
            transport.close().await;
        }
        let (Some(registry), Some(entry)) = (&shared.registry, &shared.entry) else { return Ok(()) };
        if !shared.registered.load(Ordering::Acquire) {
            return Ok(());
        }
        // Where entries have no owners, somebody else may have put theirs in its place.
        match registry.get(&shared.name).await {
            Ok(Some(found)) if found.address == entry.address => {
                registry.remove(&shared.name, Some(&shared.secret)).await?;
            }
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        shared.registered.store(false, Ordering::Release);
        Ok(())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("name", &self.shared.name).field("entry", &self.shared.entry).finish()
    }
}

impl Shared {
    fn users(&self) -> Arc<Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers a list; tells whether it differs from the last.
    fn set_users(&self, users: Arc<Users>) -> bool {
        let mut known = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = **known != *users;
        *known = users;
        changed
    }

    /// Tells the program if there is room; whether it was told.
    fn tell(&self, event: Event) -> bool {
        self.events.try_send(event).is_ok()
    }

    async fn deliver(&self, to: &UserName, message: &Message) -> Result<Sent, SendError> {
        let known = self.users().get(to).cloned();
        let entry = match &known {
            Some(entry) => entry.clone(),
            None => self.look_up(to).await?,
        };
        match self.send_to(to, &entry, message).await {
            // The user may have moved since the registry was last asked; nothing was sent yet.
            Err(SendError::Transport(unreachable @ TransportError::Unreachable { .. })) if known.is_some() => {
                match self.look_up(to).await {
                    Ok(moved) if moved != entry => self.send_to(to, &moved, message).await,
                    Err(error @ SendError::Unknown(_)) => Err(error),
                    _ => Err(unreachable.into()),
                }
            }
            result => result,
        }
    }

    async fn look_up(&self, user: &UserName) -> Result<Entry, SendError> {
        let unknown = || SendError::Unknown(user.clone());
        let registry = self.registry.as_ref().ok_or_else(unknown)?;
        let found = registry.get(user).await;
        let found = found.map_err(|source| SendError::Lookup { user: user.clone(), source })?;
        let mut users = Users::clone(&self.users());
        match &found {
            Some(entry) => users.insert(user.clone(), entry.clone()),
            None => users.remove(user),
        };
        self.set_users(Arc::new(users));
        found.ok_or_else(unknown)
    }

    async fn send_to(&self, user: &UserName, entry: &Entry, message: &Message) -> Result<Sent, SendError> {
        let protocol = entry.address.protocol();
        let Some(transport) = self.transports.get(protocol) else {
            return Err(SendError::NoTransport { user: user.clone(), protocol: protocol.clone() });
        };
        Ok(transport.send(entry, message).await?)
    }
}
