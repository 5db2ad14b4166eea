//! One datagram a message.

mod listener;
mod names;
mod outbox;
mod receiver;
mod sender;
#[cfg(test)]
mod simulation;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UdpSocket;
use uuid::Uuid;

use self::names::Names;
use self::outbox::{NotSent, Outbox};
use self::sender::{Fate, Full};
use super::checks::{check_text, network};
use super::{Gate, Guard, Incoming, Sent, Transport, TransportError};
use crate::address::{Address, Entry, Protocol};
use crate::codec::talk::{self, Frame};
use crate::limits::Limits;
use crate::message::{Message, MessageId};

/// The UDP transport: one JSON object a datagram.
///
/// A peer of the first version gets each message once, as one datagram, and cannot confirm it. To a peer with the
/// feature `ack` a message is sent again after 50 ms, doubling to 1 s, until it is acknowledged or 9 s have passed; its
/// listener delivers each message once and in the order in which it was sent. At most 64 messages to one peer are on
/// their way at once; up to 1,024 more wait for them, and one more is [`Busy`](TransportError::Busy).
///
/// A host name is looked up when it is used and the answer kept for 30 s; IPv4 addresses come first.
///
/// All that is sent leaves from one socket per address family. An acknowledgement counts only from the very address to
/// which the message went, so a peer that listens on several addresses at once must be reached at the one that its
/// system answers from.
#[derive(Debug)]
pub struct Udp {
    limits: Limits,
    names: Names,
    outbox: Outbox,
}

impl Udp {
    /// A transport with the default limits. Nothing is opened before it is used.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    /// A transport with other limits: `message`, `inbox`, and those that begin with `duplicate`.
    #[must_use]
    pub fn with_limits(limits: &Limits) -> Self {
        Self { limits: limits.clone(), names: Names::default(), outbox: Outbox::new() }
    }

    async fn open(&self, at: &Address, guard: Option<Arc<dyn Guard>>) -> Result<Incoming, TransportError> {
        let (host, port) = network(at, &Protocol::UDP)?;
        let opened = match listener::bind(host, port).await {
            Ok(socket) => socket.local_addr().map(|local| (socket, local)),
            Err(error) => Err(error),
        };
        let (socket, local) = opened.map_err(|source| TransportError::Listen { at: at.clone(), source })?;
        let (inbox, incoming) = Incoming::channel(Address::socket(Protocol::UDP, local), self.limits.inbox.max(1));
        tokio::spawn(listener::listen(socket, inbox, guard, self.limits.clone()));
        Ok(incoming)
    }

    async fn send_once(&self, at: SocketAddr, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        let bytes = talk::encode_v1(message);
        let sent = match self.outbox.socket(at) {
            Ok(socket) => socket.send_to(&bytes, at).await,
            Err(error) => Err(error),
        };
        match sent {
            Err(error) if !outbox::passing(&error) => Err(not_sent(&to.address, NotSent { bytes: bytes.len(), error })),
            _ => Ok(Sent::Unconfirmed),
        }
    }
}

impl Default for Udp {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transport for Udp {
    fn protocol(&self) -> Protocol {
        Protocol::UDP
    }

    async fn listen(&self, at: &Address) -> Result<Incoming, TransportError> {
        self.open(at, None).await
    }

    async fn listen_guarded(&self, at: &Address, gate: Gate) -> Result<Incoming, TransportError> {
        self.open(at, Some(gate.guard().clone())).await
    }

    async fn send(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        let (host, port) = network(&to.address, &Protocol::UDP)?;
        check_text(message, &self.limits)?;
        let (ip, turn) = self.names.address(host).await.map_err(|error| unreachable(&to.address, &error))?;
        let at = SocketAddr::new(ip, port);
        if !to.acknowledges() {
            return self.send_once(at, to, message).await;
        }
        let id = message.id.clone().unwrap_or_else(MessageId::random);
        let ending = match self.outbox.submit(at, message.clone(), id) {
            Ok(Ok(ending)) => ending,
            Ok(Err(Full)) => return Err(TransportError::Busy { at: to.address.clone() }),
            Err(error) => return Err(unreachable(&to.address, &error)),
        };
        drop(turn);
        match ending.await {
            Ok(Ok(Fate::Acknowledged)) => Ok(Sent::Delivered),
            Ok(Ok(Fate::GivenUp)) => Err(TransportError::TimedOut { at: to.address.clone() }),
            Ok(Err(refusal)) => Err(not_sent(&to.address, refusal)),
            Err(_) => Err(TransportError::Closed),
        }
    }

    /// One datagram without a number, which is not sent again; two seconds are waited for its acknowledgement.
    async fn greet(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        let (host, port) = network(&to.address, &Protocol::UDP)?;
        check_text(message, &self.limits)?;
        let failed = |error: io::Error| unreachable(&to.address, &error);
        let (ip, _) = self.names.address(host).await.map_err(failed)?;
        let at = SocketAddr::new(ip, port);
        if !to.acknowledges() {
            return self.send_once(at, to, message).await;
        }
        let id = message.id.clone().unwrap_or_else(MessageId::random);
        let socket = connected(at).await.map_err(failed)?;
        socket.send(&talk::encode_v2(message, &id, None)).await.map_err(failed)?;
        let acknowledged = async {
            let mut answer = [0; outbox::LONGEST_ACK];
            loop {
                let length = socket.recv(&mut answer).await?;
                if talk::decode(&answer[..length], answer.len()) == Ok(Frame::Ack(id.clone())) {
                    return Ok(Sent::Delivered);
                }
            }
        };
        match tokio::time::timeout(GREETING_WAIT, acknowledged).await {
            Ok(heard) => heard.map_err(failed),
            Err(_) => Err(TransportError::TimedOut { at: to.address.clone() }),
        }
    }

    /// Sends `id-checker` with a new UUID and waits for the UUID to come back, twice at most, a second each.
    ///
    /// Ask only peers with a feature: this datagram ends the receive loop of some old clients.
    async fn probe(&self, to: &Entry) -> Result<(), TransportError> {
        let (host, port) = network(&to.address, &Protocol::UDP)?;
        let failed = |error: io::Error| unreachable(&to.address, &error);
        let (ip, _) = self.names.address(host).await.map_err(failed)?;
        let socket = connected(SocketAddr::new(ip, port)).await.map_err(failed)?;
        let uuid = Uuid::now_v7().to_string();
        for _ in 0..PROBES {
            socket.send(&[PROBE, uuid.as_bytes()].concat()).await.map_err(failed)?;
            let echo = async {
                let mut answer = [0; 64];
                loop {
                    let length = socket.recv(&mut answer).await?;
                    if answer[..length] == *uuid.as_bytes() {
                        return Ok(());
                    }
                }
            };
            match tokio::time::timeout(PROBE_WAIT, echo).await {
                Ok(heard) => return heard.map_err(failed),
                Err(_) => continue,
            }
        }
        Err(TransportError::TimedOut { at: to.address.clone() })
    }
}

/// A socket of its own, on which only that peer is heard, and a refusal of its system too.
async fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}

fn unreachable(at: &Address, error: &io::Error) -> TransportError {
    TransportError::Unreachable { at: at.clone(), reason: error.to_string() }
}

fn not_sent(at: &Address, refusal: NotSent) -> TransportError {
    if refusal.bytes > LARGEST {
        return TransportError::TooLong { bytes: refusal.bytes, limit: LARGEST };
    }
    unreachable(at, &refusal.error)
}

/// How a health probe begins; a UUID follows.
const PROBE: &[u8] = b"id-checker ";
const PROBES: usize = 2;
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// How long a greeting waits for its acknowledgement.
const GREETING_WAIT: Duration = Duration::from_secs(2);
/// The largest payload of a datagram over IPv4, in bytes.
const LARGEST: usize = 65_507;
/// Takes any datagram whole.
const BUFFER: usize = 64 * 1024;
/// Datagrams heard before others get their turn.
const BATCH: usize = 128;
/// What we ask the system to hold for us, in bytes: a full window of long messages.
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;
