//! What a client says.

use super::{Asked, QUIT, Stage, decode};
use crate::name::{Nickname, RoomName};

/// The frame that a client sends for a text; `None` for one that would not be taken for a text: there is nothing in it,
/// or it would end the conversation.
#[must_use]
pub fn say(text: &str) -> Option<String> {
    match decode(text, Stage::Chat, usize::MAX) {
        Asked::Say(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Whether anybody can be called that: a user on any wire, or a room.
#[must_use]
pub fn is_recipient(name: &str) -> bool {
    name != QUIT && (Nickname::known(name).is_ok() || RoomName::new(name).is_ok())
}
