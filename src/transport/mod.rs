//! One message to one peer: the [`Transport`] trait, and the inbox that every listening transport fills.

#[cfg(feature = "net")]
mod checks;
#[cfg(feature = "testing")]
pub mod contract;
mod guard;
#[cfg(feature = "net")]
mod http;
#[cfg(feature = "net")]
mod ids;
mod inbox;
#[cfg(feature = "net")]
mod memory;
#[cfg(feature = "net")]
mod receiver;
#[cfg(feature = "net")]
mod seen;
#[cfg(feature = "net")]
mod udp;
#[cfg(feature = "net")]
mod websocket;

use std::error::Error as StdError;
use std::fmt::Debug;

use async_trait::async_trait;
use thiserror::Error;

pub use guard::{Gate, Guard, Turned};
#[cfg(feature = "net")]
pub use http::Http;
pub use inbox::{Inbox, InboxFull, Incoming, Slot};
#[cfg(feature = "net")]
pub use udp::Udp;
#[cfg(feature = "net")]
pub use websocket::WebSocket;

use crate::address::{Address, Entry, Protocol};
use crate::message::Message;

/// How a send ended well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Sent {
    /// The recipient's program took it.
    Delivered,
    /// Handed to the network of a peer that cannot or did not confirm; nobody can know more.
    Unconfirmed,
}

/// Why a message was not sent, or a listener not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address belongs to another transport: a mistake of the caller.
    #[error("{0} is not an address of this transport")]
    WrongAddress(Address),
    /// Nothing can listen there: taken, not ours, not allowed.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// Where.
        at: Address,
        /// Why.
        source: std::io::Error,
    },
    /// This transport cannot ask who may write to it: listen by another.
    #[error("nobody can be kept from writing to {0}")]
    Unguarded(Address),
    /// The text is longer than the limit: send less.
    #[error("the text has {bytes} bytes, more than {limit}")]
    TooLong {
        /// The text's length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Nobody answers there: the peer is gone, or the network is. Try again later.
    #[error("cannot reach {at}: {reason}")]
    Unreachable {
        /// Where.
        at: Address,
        /// What the network said.
        reason: String,
    },
    /// The peer is full: try again later.
    #[error("{at} takes no more messages for now")]
    Busy {
        /// Where.
        at: Address,
    },
    /// The peer understood and said no: do not try again.
    #[error("{at} refused the message: {reason}")]
    Refused {
        /// Where.
        at: Address,
        /// What the peer said.
        reason: String,
    },
    /// No answer in time: the peer may have the message or not. Safe to repeat with the same id to a peer that
    /// acknowledges.
    #[error("no answer from {at} in time")]
    TimedOut {
        /// Where.
        at: Address,
    },
    /// The transport was shut down.
    #[error("the transport is closed")]
    Closed,
    /// A plug-in transport's own reason.
    #[error("{0}")]
    Other(Box<dyn StdError + Send + Sync>),
}

impl TransportError {
    /// A stable word for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongAddress(_) => "wrong_address",
            Self::Listen { .. } => "listen",
            Self::Unguarded(_) => "unguarded",
            Self::TooLong { .. } => "too_long",
            Self::Unreachable { .. } => "unreachable",
            Self::Busy { .. } => "busy",
            Self::Refused { .. } => "refused",
            Self::TimedOut { .. } => "timed_out",
            Self::Closed => "closed",
            Self::Other(_) => "other",
        }
    }
}

/// A way to carry one message to one peer, and to hear what peers send.
///
/// Implement it to plug an own protocol into a peer; `transport::contract` (feature `testing`) holds the suite that every
/// transport passes.
///
/// # Ordering
/// Messages sent one after another to one peer (each awaited before the next, or the futures polled in order) arrive in
/// that order.
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// The protocol whose addresses this transport reaches.
    fn protocol(&self) -> Protocol;

    /// Starts to listen. Port 0 lets the system choose; [`Incoming::local_address`] tells what it chose.
    ///
    /// Listening ends when the returned [`Incoming`] is dropped.
    ///
    /// # Errors
    /// [`TransportError::Listen`] and [`TransportError::WrongAddress`].
    ///
    /// # Cancel safety
    /// Nothing listens when the future is dropped before it is ready.
    async fn listen(&self, at: &Address) -> Result<Incoming, TransportError>;

    /// Listens like [`listen`](Self::listen), and asks the gate's guard about every message before it is confirmed. One
    /// that is turned away is told so where the protocol has a word for it, and is never heard. By default a transport
    /// cannot.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen); [`TransportError::Unguarded`].
    ///
    /// # Cancel safety
    /// As for [`listen`](Self::listen).
    async fn listen_guarded(&self, at: &Address, gate: Gate) -> Result<Incoming, TransportError> {
        drop(gate);
        Err(TransportError::Unguarded(at.clone()))
    }

    /// Sends one message and waits until its fate is known.
    ///
    /// # Errors
    /// [`TransportError`] says why it was not sent, or that nobody knows.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the message may still arrive, at most once.
    async fn send(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError>;

    /// Sends one short message to somebody of whom nobody knows whether they asked for any, and waits a moment for the
    /// confirmation. It is sent once, in as few bytes as the protocol has for it. By default that is a send.
    ///
    /// # Errors
    /// As for [`send`](Self::send); [`TransportError::TimedOut`] when it was not confirmed.
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    async fn greet(&self, to: &Entry, message: &Message) -> Result<Sent, TransportError> {
        self.send(to, message).await
    }

    /// Asks whether a peer is there, without a message.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] or [`TransportError::TimedOut`].
    async fn probe(&self, to: &Entry) -> Result<(), TransportError>;

    /// Ends the connections that are kept to peers, politely where the protocol has a word for it, and waits a moment
    /// for that. What listens goes on, and a later send begins anew. Does nothing where nothing is kept.
    ///
    /// # Cancel safety
    /// The connections end all the same.
    async fn close(&self) {}
}
