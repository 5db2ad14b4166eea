//! How a peer is described and started.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::maintain::{self, Standing};
use super::{Event, Events, Peer, PeerError, Shared, Users};
use crate::address::{Address, Entry};
use crate::limits::Limits;
use crate::name::UserName;
use crate::registry::{RegistryClient, RegistryError};
use crate::secret::Secret;
use crate::transport::{Http, Incoming, Transport, Udp, WebSocket};

/// Describes a peer; [`PeerBuilder::start`] runs it.
#[must_use]
pub struct PeerBuilder {
    name: UserName,
    registry: Option<RegistryClient>,
    listen: Vec<Address>,
    public: Option<Address>,
    plugged: Vec<Arc<dyn Transport>>,
    secret: Option<Secret>,
    ttl: u32,
    refresh: Duration,
    limits: Limits,
}

impl PeerBuilder {
    pub(super) fn new(name: UserName) -> Self {
        Self {
            name,
            registry: None,
            listen: Vec::new(),
            public: None,
            plugged: Vec::new(),
            secret: None,
            ttl: DEFAULT_TTL,
            refresh: Duration::from_secs(u64::from(DEFAULT_TTL / RENEWALS_PER_TTL)),
            limits: Limits::default(),
        }
    }

    /// Finds others, and is found, through this registry. Without one a peer knows nobody.
    pub fn registry(mut self, registry: RegistryClient) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Listens there; port 0 lets the system choose. May be said several times: the first is the one registered.
    pub fn listen(mut self, at: Address) -> Self {
        self.listen.push(at);
        self
    }

    /// Registers this address instead of the first one listened on: for a peer behind a proxy or in a container.
    pub fn public(mut self, address: Address) -> Self {
        self.public = Some(address);
        self
    }

    /// Plugs a transport in, for its own protocol or in place of one of the three that are there anyway.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.plugged.push(transport);
        self
    }

    /// The secret that owns the entry; one of an earlier run takes the entry over. Default: random.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Seconds after which the registry forgets this peer unless it renews, which it does three times in that time.
    /// Default 60; a registry takes 5 to 86,400.
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = seconds.max(RENEWALS_PER_TTL);
        self
    }

    /// How often the registry's users are asked for. Default 20 s.
    pub fn refresh(mut self, every: Duration) -> Self {
        self.refresh = every.max(Duration::from_millis(10));
        self
    }

    /// Other bounds than [`Limits::default`]. Transports that are plugged in have their own.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Listens, registers, and starts to keep the registration alive.
    ///
    /// A registry that cannot be reached is no error: the peer starts, tells [`Event::RegistryLost`], and registers
    /// when it can.
    ///
    /// # Errors
    /// [`PeerError`]; nothing listens and nothing is registered then.
    ///
    /// # Cancel safety
    /// When the future is dropped the peer may be left registered until its lease ends; nothing else remains.
    pub async fn start(self) -> Result<(Peer, Events), PeerError> {
        let limits = &self.limits;
        let defaults: [Arc<dyn Transport>; 3] = [
            Arc::new(Http::with_limits(limits)),
            Arc::new(WebSocket::with_limits(limits)),
            Arc::new(Udp::with_limits(limits)),
        ];
        let transports: BTreeMap<_, _> =
            defaults.into_iter().chain(self.plugged).map(|transport| (transport.protocol(), transport)).collect();

        // Refused before anything is opened, so that nothing has to be taken back.
        if let Some(wanted) = self.public.as_ref().or(self.listen.first()) {
            refuse_unspecified(wanted)?;
        }
        let mut heard: Vec<Incoming> = Vec::new();
        for at in &self.listen {
            let protocol = at.protocol();
            let transport = transports.get(protocol).ok_or_else(|| PeerError::NoTransport(protocol.clone()))?;
            heard.push(transport.listen(at).await?);
        }
        let locals: Vec<Address> = heard.iter().map(|incoming| incoming.local_address().clone()).collect();
        let entry = self.public.or_else(|| locals.first().cloned()).map(Entry::acknowledging);
        if let Some(entry) = &entry {
            refuse_unspecified(&entry.address)?;
        }

        let secret = self.secret.unwrap_or_else(Secret::random);
        let mut standing = Standing::Absent;
        let mut lost = None;
        let mut users = Users::new();
        if let (Some(registry), Some(entry)) = (&self.registry, &entry) {
            match registry.insert(&self.name, entry, Some(&secret), Some(self.ttl)).await {
                Ok(()) => {
                    standing = Standing::Registered;
                    users = registry.list().await.unwrap_or_default();
                }
                Err(RegistryError::Taken) => return Err(PeerError::Taken(self.name)),
                Err(error) if maintain::may_pass(&error) => lost = Some(error.to_string()),
                Err(error) => return Err(PeerError::Registry(error)),
            }
        }

        let (events, receiver) = mpsc::channel(self.limits.events.max(1));
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            name: self.name,
            secret,
            entry,
            locals,
            registry: self.registry,
            transports,
            users: Mutex::new(Arc::new(users)),
            registered: AtomicBool::new(standing == Standing::Registered),
            events,
            stop: stop.clone(),
            tasks: TaskTracker::new(),
        });
        let (pumps, grace) = (TaskTracker::new(), self.limits.grace);
        for incoming in heard {
            // The peer waits only until nothing more is taken; how fast the rest is read is the program's affair.
            let pump = shared.tasks.track_future(pump(incoming, shared.events.clone(), stop.clone()));
            let events = shared.events.clone();
            pumps.spawn(async move {
                if let Some(rest) = pump.await {
                    finish(rest, events, grace).await;
                }
            });
        }
        pumps.close();
        if shared.registry.is_some() {
            let rhythm = maintain::Rhythm {
                ttl: self.ttl,
                renew: Duration::from_secs(u64::from(self.ttl / RENEWALS_PER_TTL)),
                refresh: self.refresh,
                last: self.limits.request_timeout,
            };
            shared.tasks.spawn(maintain::run(shared.clone(), rhythm, standing, lost));
        }
        let peer = Peer { shared, _stop_on_drop: Arc::new(stop.clone().drop_guard()) };
        Ok((peer, Events::new(receiver, stop, pumps)))
    }
}

impl fmt::Debug for PeerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerBuilder").field("name", &self.name).field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Carries what one transport hears to the program, waiting for room. Ends with the peer, and then gives back what was
/// heard and not carried; or when the program no longer listens, which stops the listening.
async fn pump(mut incoming: Incoming, events: mpsc::Sender<Event>, stop: CancellationToken) -> Option<Incoming> {
    let carry = async {
        // Room first: a message that was taken out is never dropped with a future that waits.
        while let Ok(room) = events.reserve().await {
            let message = tokio::select! {
                message = incoming.next() => message,
                () = events.closed() => None,
            };
            match message {
                Some(message) => room.send(Event::Message(message)),
                None => break,
            }
        }
    };
    stop.run_until_cancelled(carry).await.is_none().then(|| {
        incoming.stop();
        incoming
    })
}

/// Carries the rest, which its senders believe delivered. A transport that keeps a place in its inbox is not waited for
/// longer than `grace`.
async fn finish(mut incoming: Incoming, events: mpsc::Sender<Event>, grace: Duration) {
    while let Ok(Some(message)) = tokio::time::timeout(grace, incoming.next()).await {
        if events.send(Event::Message(message)).await.is_err() {
            break;
        }
    }
}

fn refuse_unspecified(address: &Address) -> Result<(), PeerError> {
    match address {
        Address::Network { host, .. } if host.is_unspecified() => Err(PeerError::Unspecified(address.clone())),
        _ => Ok(()),
    }
}

const DEFAULT_TTL: u32 = 60;
const RENEWALS_PER_TTL: u32 = 3;
