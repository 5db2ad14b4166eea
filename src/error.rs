//! One error for programs that do not care which part failed.

use thiserror::Error;

use crate::address::AddressError;
use crate::message::MessageIdError;
use crate::name::NameError;
use crate::peer::{PeerError, SendError};
use crate::registry::{RegistryError, ServeError};
use crate::secret::SecretError;
#[cfg(feature = "server")]
use crate::server::{ConfigError, ServerError};
use crate::store::StoreError;
use crate::transport::TransportError;

/// Any error of this crate, for a `main` that returns one. Each part's own error says what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
#[error(transparent)]
pub enum Error {
    /// A name was refused.
    Name(#[from] NameError),
    /// An address was refused.
    Address(#[from] AddressError),
    /// A secret was refused.
    Secret(#[from] SecretError),
    /// A message id was refused.
    MessageId(#[from] MessageIdError),
    /// A store failed.
    Store(#[from] StoreError),
    /// A registry did not do what it was asked.
    Registry(#[from] RegistryError),
    /// A registry does not run.
    Serve(#[from] ServeError),
    /// A transport failed.
    Transport(#[from] TransportError),
    /// A peer did not start.
    Peer(#[from] PeerError),
    /// A message was not sent.
    Send(#[from] SendError),
    /// A configuration was refused.
    #[cfg(feature = "server")]
    Config(#[from] ConfigError),
    /// A message server does not run.
    #[cfg(feature = "server")]
    Server(#[from] ServerError),
    /// A socket or a file failed.
    Io(#[from] std::io::Error),
}
