//! What a session hears from the hub.

use std::sync::Arc;

use super::{Epoch, MessageId, Position, Record, Refusal, RoomKey};
use crate::name::{Nickname, RoomName};

/// One thing that a session hears. Cloning is cheap.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Something was said, in a room or to this user alone.
    Message(Arc<Post>),
    /// A message of this session's own has its place in the order, and is kept as durably as configured.
    Accepted {
        /// The sender's id for it.
        id: MessageId,
        /// Where it was said.
        room: RoomKey,
        /// Its place.
        at: Position,
    },
    /// Somebody entered.
    Joined {
        /// Where.
        room: RoomName,
        /// Who.
        user: Nickname,
    },
    /// Somebody left.
    Left {
        /// Where.
        room: RoomName,
        /// Who.
        user: Nickname,
    },
    /// Somebody in the room took another nickname.
    Renamed {
        /// Where.
        room: RoomName,
        /// What they were called.
        old: Nickname,
        /// What they are called.
        new: Nickname,
    },
    /// Somebody in the room is writing.
    Typing {
        /// Where.
        room: RoomName,
        /// Who.
        user: Nickname,
    },
    /// The answer to a question: names, one to a line.
    System(Arc<str>),
    /// A command was refused.
    Refused {
        /// Why.
        why: Refusal,
        /// The id of the message that was refused, if it had one.
        id: Option<MessageId>,
    },
    /// The session ends; nothing follows.
    Closing(Closing),
}

/// A record and the life of the room's history that its position belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Post {
    /// Which life of the history.
    pub epoch: Epoch,
    /// What was said, where, by whom.
    pub record: Record,
}

/// Why the hub ends a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Closing {
    /// It asked to.
    Exit,
    /// The server stops.
    Stopping,
    /// It did not take what was said to it.
    TooSlow,
    /// It sent more than the rate allows.
    TooFast,
}
