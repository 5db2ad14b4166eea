//! Messages over WebSocket (RFC 6455): one text frame each, on a connection that is kept.

mod connect;
mod link;
mod listen;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::task::TaskTracker;

use self::link::{Job, Link};
use super::checks::{check_text, network};
use super::{Gate, Incoming, Sent, Transport, TransportError};
use crate::address::{Address, Entry, Host, Protocol};
use crate::limits::Limits;
use crate::message::Message;
use crate::net::listener;

/// Carries messages over WebSocket.
///
/// Listening, it takes upgrades at `/v1/message`, `/v1/ws/message` and `/`, and answers each message with `OK`, or with
/// an acknowledgement by id where both ends agreed on version 2. While the inbox is full it does not read. A sender that
/// does not read those answers is heard all the same: they wait for it, of the acknowledgements the last 1,024.
///
/// Sending, it keeps one connection per peer for 5 minutes after the last message and finds the peer's path by itself.
/// A send waits for its own confirmation, but not for those of the messages before it.
pub struct WebSocket {
    limits: Arc<Limits>,
    peers: Mutex<HashMap<Address, Peer>>,
    links: TaskTracker,
}

/// The way to one peer's task, which ends when this is gone.
struct Peer {
    door: Door,
    used: Instant,
}

#[derive(Clone)]
struct Door {
    jobs: mpsc::Sender<Job>,
    /// Fair, and for one alone: of several for whom there is room, a later one could be polled before an earlier one.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl WebSocket {
    /// With the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(limits: &Limits) -> Self {
        Self { limits: Arc::new(limits.clone()), peers: Mutex::default(), links: TaskTracker::new() }
    }

    async fn open(&self, at: &Address, gate: Option<Gate>) -> Result<Incoming, TransportError> {
        let (host, port) = network(at, &Protocol::WEBSOCKET)?;
        let failed = |source| TransportError::Listen { at: at.clone(), source };
        let listener = listener::bind(host, port).await.map_err(failed)?;
        let local = Address::socket(Protocol::WEBSOCKET, listener.local_addr().map_err(failed)?);
        let (inbox, incoming) = Incoming::channel(local, self.limits.inbox.max(1));
        tokio::spawn(listen::serve(listener, inbox, gate, self.limits.clone()));
        Ok(incoming)
    }

    fn door(&self, at: &Address, host: &Host, port: u16) -> Result<Door, TransportError> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get_mut(at) {
            peer.used = Instant::now();
            return Ok(peer.door.clone());
        }
        if peers.len() >= MAX_PEERS {
            // Only one without messages under way, or a later message could overtake an earlier one.
            let idle = peers.iter().filter(|(_, p)| p.door.jobs.strong_count() == 1 && p.door.jobs.capacity() == QUEUE);
            let Some(longest) = idle.min_by_key(|(_, p)| p.used).map(|(at, _)| at.clone()) else {
                return Err(TransportError::Busy { at: at.clone() });
            };
            peers.remove(&longest);
        }
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let link = Link::new(at.clone(), host.clone(), port, self.limits.clone(), waiting);
        self.links.spawn(link.run());
        let door = Door { jobs, turn: Arc::default() };
        peers.insert(at.clone(), Peer { door: door.clone(), used: Instant::now() });
        Ok(door)
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for WebSocket {
    fn protocol(&self) -> Protocol {
        Protocol::WEBSOCKET
    }

    async fn listen(&self, at: &Address) -> Result<Incoming, TransportError> {
        self.open(at, None).await
    }

    async fn listen_guarded(&self, at: &Address, gate: Gate) -> Result<Incoming, TransportError> {
        self.open(at, Some(gate)).await
    }

    async fn send(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        let at = &to.address;
        let (host, port) = network(at, &Protocol::WEBSOCKET)?;
        check_text(message, &self.limits)?;
        let door = self.door(at, host, port)?;
        let (answer, fate) = oneshot::channel();
        let turn = door.turn.lock().await;
        door.jobs.send(Job::new(message, answer)).await.map_err(|_| TransportError::Closed)?;
        drop(turn);
        fate.await.unwrap_or(Err(TransportError::Closed))
    }

    async fn probe(&self, to: &Entry) -> Result<(), TransportError> {
        let at = &to.address;
        let (host, port) = network(at, &Protocol::WEBSOCKET)?;
        match connect::connect(host, port, 0, &self.limits).await {
            Ok(line) => {
                link::close(line.socket, None).await;
                Ok(())
            }
            Err(error) => Err(match error.at(at) {
                TransportError::Refused { at, reason } => TransportError::Unreachable { at, reason },
                TransportError::Busy { at } => TransportError::Unreachable { at, reason: "the peer is busy".into() },
                other => other,
            }),
        }
    }

    async fn close(&self) {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.links.close();
        // Each task waits for its own farewell, no longer than this.
        let _ = tokio::time::timeout(self.limits.confirm_timeout + link::FAREWELL, self.links.wait()).await;
        self.links.reopen();
    }
}

/// Small buffers, and no more of a message than the limits allow, whatever a header declares.
fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(BUFFER + limits.frame.max(2 * limits.message) + BUFFER)
        .max_message_size(Some(limits.frame))
        .max_frame_size(Some(limits.frame))
}

/// Bytes of each buffer at the start, and of small writes that leave as one.
const BUFFER: usize = 4096;
/// Where peers listen, in the order in which senders try.
const PATHS: [&str; 3] = ["/v1/ws/message", "/v1/message", "/"];
/// Messages to one peer that wait for their turn. One more waits in its own task.
const QUEUE: usize = 64;
/// Peers with a task of their own; then the one without messages under way that was used longest ago loses its place.
const MAX_PEERS: usize = 1024;
