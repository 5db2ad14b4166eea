//! What every transport over sockets asks before it sends or listens.

use super::TransportError;
use crate::address::{Address, Host, Protocol};
use crate::limits::Limits;
use crate::message::Message;

/// Host and port of an address of this protocol.
pub(super) fn network<'a>(at: &'a Address, protocol: &Protocol) -> Result<(&'a Host, u16), TransportError> {
    match at {
        Address::Network { protocol: theirs, host, port } if theirs == protocol => Ok((host, *port)),
        _ => Err(TransportError::WrongAddress(at.clone())),
    }
}

/// Whether the text is short enough.
pub(super) fn check_text(message: &Message, limits: &Limits) -> Result<(), TransportError> {
    let (bytes, limit) = (message.text.len(), limits.message);
    if bytes > limit { Err(TransportError::TooLong { bytes, limit }) } else { Ok(()) }
}
