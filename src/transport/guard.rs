//! Who may write to a listener, asked before anything is confirmed.

use std::fmt::Debug;
use std::net::IpAddr;

use async_trait::async_trait;

use crate::message::Message;

/// Says of each message whether it may come in, before it is confirmed: for listeners that do not hear everybody.
///
/// Given to [`Transport::listen_guarded`](super::Transport::listen_guarded). It is also asked about messages that come
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
