//! The room protocol: JSON in WebSocket text frames, `{"type","args"}` in; out `{"from","body"}` (plain) or objects with
//! a `type` each (rich). Both directions, so that both ends share them.

mod decode;
pub mod frame;
mod hear;
mod plain;
mod rich;

pub use decode::{Refused, decode, encode_command};
pub use hear::{Heard, HeardPlain, hear_plain, hear_rich};
pub use plain::{Plain, confirmed};
pub(super) use plain::{close, confirm};
pub use rich::Rich;

/// The subprotocol by which a client asks for rich mode.
pub const SUBPROTOCOL: &str = "talk.v2";

/// Who says what the server itself says.
pub const SYSTEM: &str = "system";

/// Which of the two forms a session speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// As every client in the field does: one room at a time, `{"from","body"}` out.
    Plain,
    /// Many rooms, ids, acceptance, presence.
    Rich,
}

/// The code and the reason by which the hub closes a WebSocket (RFC 6455, section 7.4.1).
fn closing(why: crate::message::Closing) -> (u16, &'static str) {
    use crate::message::Closing;
    match why {
        Closing::Exit => (1000, ""),
        Closing::Stopping => (1001, "the server stops"),
        Closing::TooSlow => (1008, "you read too slowly"),
        Closing::TooFast => (1008, "you send too fast"),
        Closing::Revoked => (1008, "this session was revoked"),
    }
}

#[cfg(test)]
mod tests;
