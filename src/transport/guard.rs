//! Who may write to a listener, asked before anything is confirmed.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

#[cfg(feature = "net")]
use crate::limits::Limits;
use crate::message::Message;
#[cfg(feature = "net")]
use crate::net::listener::Connections;

/// Says of each message whether it may come in, before it is confirmed: for listeners that do not hear everybody.
///
/// Given to [`Transport::listen_guarded`](super::Transport::listen_guarded) in a [`Gate`]. It is also asked about messages that come
/// twice, and those of several senders at once; how many is bounded by the transport.
///
/// # Cancel safety
/// A question is dropped when whoever sent the message hangs up.
#[async_trait]
pub trait Guard: Debug + Send + Sync + 'static {
    /// Lets a message from `source` in, which is where the network says that it came from. Over UDP anybody can claim
    /// any.
    ///
    /// # Errors
    /// [`Turned`]: the message is not confirmed and not heard.
    async fn admit(&self, message: &Message, source: IpAddr) -> Result<(), Turned>;
}

/// What a listener that does not hear everybody stands behind: its guard, and the count of its connections.
#[derive(Clone, Debug)]
pub struct Gate {
    guard: Arc<dyn Guard>,
    #[cfg(feature = "net")]
    connections: Option<Connections>,
}

impl Gate {
    /// For a listener that counts its connections by itself.
    #[must_use]
    pub fn new(guard: Arc<dyn Guard>) -> Self {
        Self {
            guard,
            #[cfg(feature = "net")]
            connections: None,
        }
    }

    /// Whom to ask about messages.
    #[must_use]
    pub fn guard(&self) -> &Arc<dyn Guard> {
        &self.guard
    }

    /// The same for a listener whose connections are counted with those of others.
    #[cfg(feature = "net")]
    pub(crate) fn counting(self, connections: Connections) -> Self {
        Self { connections: Some(connections), ..self }
    }

    /// What there is of it, for a listener that may hear everybody.
    #[cfg(feature = "net")]
    pub(super) fn apart(gate: Option<Self>, limits: &Limits) -> (Option<Arc<dyn Guard>>, Connections) {
        let (guard, connections) = gate.map_or((None, None), |gate| (Some(gate.guard), gate.connections));
        (guard, connections.unwrap_or_else(|| Connections::of(limits)))
    }
}

/// Why a message was turned away. The text is for whoever sent it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Turned {
    /// This sender may not say this here: HTTP answers 403, a WebSocket is closed with 1008, a datagram is dropped.
    Away(String),
    /// More than this sender may say at once: 429, 1008, dropped.
    TooFast(String),
    /// It cannot be told at the moment: 503, 1013, dropped.
    Later(String),
}

impl Turned {
    /// The text for whoever sent the message.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Away(reason) | Self::TooFast(reason) | Self::Later(reason) => reason,
        }
    }
}
