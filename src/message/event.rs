//! What a session hears from the hub.

use std::sync::Arc;

use super::{Epoch, MessageId, Position, Record, Refusal, RoomKey, Timestamp};
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
    /// Somebody who has just made an account speaks for the first time; they have entered before.
    Registered {
        /// Where.
        room: RoomName,
        /// Who.
        user: Nickname,
    },
    /// Somebody who spoke to this user alone is gone.
    Parted {
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
    /// How far a room's members are with a message of this session's user, and with those before it.
    Receipt {
        /// The sender's id for it.
        id: MessageId,
        /// Where.
        room: RoomName,
        /// Its place.
        seq: u64,
        /// Members to whom it was written.
        sent: usize,
        /// Members whose program took it.
        delivered: usize,
        /// Members there were, without the author.
        members: usize,
    },
    /// What became of a direct message of this session's user.
    DirectReceipt {
        /// The sender's id for it.
        id: MessageId,
        /// Whom it was for.
        to: Arc<str>,
        /// How far it came.
        state: Delivery,
        /// Why it came no further. With [`Delivery::Sent`] that nobody confirmed it in time, although the recipient's
        /// program could have: `timed out`; and with [`Delivery::Delivered`] that it was confirmed after that: `late`. With
        /// [`Delivery::Unconfirmed`] what became of it on the way to a peer in a room.
        reason: Option<&'static str>,
    },
    /// The other end is to confirm that its program took a direct message: wires whose clients cannot say so
    /// themselves carry this behind it as a ping. The confirmation comes back as [`Command::Received`](super::Command).
    Confirm {
        /// Whose direct messages.
        room: RoomKey,
        /// The message.
        seq: u64,
    },
    /// Messages that are not kept any more: none from behind `from` up to `to` will come.
    Gap {
        /// Where.
        room: RoomKey,
        /// The last message before the gap.
        from: u64,
        /// The last message in it.
        to: u64,
    },
    /// A resumed room is up to date: what follows is live.
    Recovered {
        /// Where.
        room: RoomKey,
        /// The life of the history that counts from now on.
        epoch: Epoch,
        /// The position that the session came with.
        from: u64,
        /// The last message that was replayed, or that there was.
        to: u64,
        /// Whether everything between them was replayed.
        recovered: bool,
    },
    /// The end of kept messages that were asked for ([`Command::History`](super::Command)), behind them.
    History {
        /// Where.
        room: RoomKey,
        /// The life of the history.
        epoch: Epoch,
        /// How many messages came.
        count: u64,
        /// Whether there are more beyond them, in the direction that was asked for.
        more: bool,
    },
    /// The answer to a search, the newest first.
    Found {
        /// Where.
        room: RoomKey,
        /// What was looked for.
        text: Arc<str>,
        /// The life of the history.
        epoch: Epoch,
        /// What was found.
        records: Arc<[Record]>,
        /// Where to go on looking; `None` when all was seen.
        before: Option<u64>,
    },
    /// The user's sign-ins.
    Sessions(Arc<[SignIn]>),
    /// The answer to who is in a room.
    Users {
        /// Which.
        room: RoomName,
        /// Their names, sorted, one to a line.
        names: Arc<str>,
    },
    /// The answer to which rooms there are.
    Rooms {
        /// Their names, sorted, one to a line.
        names: Arc<str>,
        /// How many sessions are in each, in the same order.
        sessions: Arc<[usize]>,
    },
    /// What the server has to say.
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

/// How far a message came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// Written to the recipient's socket.
    Sent,
    /// The recipient's program took it.
    Delivered,
    /// Handed over where nobody can know more.
    Unconfirmed,
    /// It did not and will not arrive.
    Failed,
}

/// One sign-in of a user, as the user sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignIn {
    /// Its public id, by which it can be revoked.
    pub id: Arc<str>,
    /// When its token was issued.
    pub issued: Timestamp,
    /// Connections that use it now.
    pub connections: u32,
    /// When its token becomes void unless it is used before; `None` while it is connected.
    pub ends: Option<Timestamp>,
    /// Whether it is the one that asks.
    pub current: bool,
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
    /// Its sign-in was revoked.
    Revoked,
}
