//! What a session asks of the hub, and why it is refused.

use std::sync::Arc;

use thiserror::Error;

use super::{Epoch, MessageId, RoomKey};
use crate::name::{Nickname, RoomName};

/// One thing that a session asks for, whatever wire it came over.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Says something in a room; without a room in the one entered last.
    Say {
        /// Where.
        room: Option<RoomName>,
        /// What; cleaned of control characters, and not empty.
        body: Arc<str>,
        /// The sender's id for it, by which a repetition is recognised and acceptance told.
        id: Option<MessageId>,
    },
    /// Says something to one user alone, by nickname.
    Direct {
        /// Whom.
        to: String,
        /// What; cleaned of control characters, and not empty.
        body: Arc<str>,
        /// As in [`Command::Say`].
        id: Option<MessageId>,
    },
    /// Enters a room beside those that the session is in.
    Enter(RoomName),
    /// Leaves a room; without a name the one entered last.
    Leave(Option<RoomName>),
    /// Leaves the room entered last, and enters another.
    Switch(RoomName),
    /// Makes a room and enters it.
    Create(RoomName),
    /// Takes another nickname.
    Rename(Nickname),
    /// Lets the others in a room know that something is being written.
    Typing(RoomName),
    /// Asks who is in a room; without a name in the one entered last.
    ListUsers(Option<RoomName>),
    /// Asks which rooms there are.
    ListRooms,
    /// Says that everything up to a message was taken in; counts for the messages before it too.
    Received {
        /// Where.
        room: RoomKey,
        /// The last one.
        seq: u64,
    },
    /// Asks for kept messages; without a room for those of the one entered last.
    History {
        /// Where: a room that the session is in, or the user's own direct messages.
        room: Option<RoomKey>,
        /// Only what came behind this seq, the oldest first.
        after: Option<u64>,
        /// Only what came before this seq; without `after` the newest.
        before: Option<u64>,
        /// How many at most.
        limit: Option<u64>,
    },
    /// Looks for a text in kept messages, the newest first.
    Search {
        /// Where, as in [`Command::History`].
        room: RoomKey,
        /// What.
        text: String,
        /// Only before this seq.
        before: Option<u64>,
        /// How many at most.
        limit: Option<u64>,
    },
    /// Enters a room, or comes back to one's direct messages, and hears first what was said behind a position.
    Resume {
        /// Where.
        room: RoomKey,
        /// Which life of the history the position belongs to.
        epoch: Epoch,
        /// The last message that was taken in; 0 for none.
        seq: u64,
    },
    /// Hears nothing of a user any more.
    Block(String),
    /// Hears them again.
    Unblock(String),
    /// Does something to a user in a room that the asker moderates.
    Moderate {
        /// Where.
        room: RoomName,
        /// What.
        action: Moderation,
        /// To whom, by nickname.
        user: String,
        /// For how long; for good when absent.
        seconds: Option<u64>,
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// Puts everybody out of a room, and lets nobody in until a moderator enters.
    Close {
        /// Which.
        room: RoomName,
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// Asks for the user's own sign-ins.
    Sessions,
    /// Ends one of them, by its public id.
    Revoke(String),
    /// Ends the session, and with the user's last one the user.
    Exit,
}

/// What a moderator does to a user.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Moderation {
    /// Puts them out of the room; they may come back.
    Kick,
    /// Puts them out, and does not let them in.
    Ban,
    /// Lets them in again.
    Unban,
    /// Lets them hear but not speak.
    Mute,
    /// Lets them speak again.
    Unmute,
}

/// Why a command was not carried out. The display text is what the room protocol says to the sender, to the letter;
/// [`Refusal::code`] is stable for programs.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// What came is no command: not JSON, not an object, without a `type`.
    #[error("error parsing your message")]
    Unparsable,
    /// An argument is missing or holds what it may not.
    #[error("cannot parse '{argument}' arg of {command} command")]
    Argument {
        /// The command, as error texts call it.
        command: &'static str,
        /// The argument.
        argument: &'static str,
    },
    /// There is no such command.
    #[error("unknown command '{0}'")]
    Unknown(String),
    /// Somebody has this nickname, or nobody may.
    #[error("nickname {0} already taken")]
    Taken(String),
    /// This cannot be a nickname.
    #[error("'{0}' is not a valid nickname")]
    BadNickname(String),
    /// There is no such room.
    #[error("room {0} does not exist")]
    NoRoom(String),
    /// There is such a room already.
    #[error("room {0} already exists")]
    RoomExists(String),
    /// This cannot be a room's name.
    #[error("'{0}' is not a valid room name")]
    BadRoomName(String),
    /// The session is not in that room: enter it first.
    #[error("you are not in room {0}")]
    NotInRoom(String),
    /// The session is in no room: enter one first.
    #[error("you are in no room")]
    InNoRoom,
    /// Nobody of that name is here.
    #[error("user {0} is not here")]
    NoUser(String),
    /// The user has made, or the session has entered, as many rooms as one may: leave one first.
    #[error("you have {0} rooms already")]
    TooManyRooms(usize),
    /// The hub holds as many rooms, users or sessions as it may: try again later.
    #[error("the server is full")]
    Full,
    /// The id was used for another message: choose another.
    #[error("this id was used for another message")]
    IdReused,
    /// More commands than the rate allows; the session ends.
    #[error("you send too fast")]
    TooFast,
    /// Only a moderator of the room may.
    #[error("forbidden")]
    Forbidden,
    /// The user was banned from the room.
    #[error("you are banned from room {0}")]
    Banned(String),
    /// The user may not speak in the room.
    #[error("you are muted in room {0}")]
    Muted(String),
    /// The room was closed by a moderator.
    #[error("room {0} is closed")]
    RoomClosed(String),
    /// The other user does not want to hear from this one.
    #[error("user {0} does not take messages from you")]
    Blocked(String),
    /// The other user is only where direct messages cannot be told.
    #[error("user {0} takes no direct messages")]
    NoDirect(String),
    /// No sign-in of the user has this id.
    #[error("there is no such session")]
    NoSession,
    /// The session asked for more history than waits at once, or more of its user's messages wait to leave the hub than
    /// may: try again when some of it is done.
    #[error("you ask for more than can be answered at once")]
    Busy,
    /// What was said could not be kept: nobody heard it. Try again later.
    #[error("messages cannot be stored at the moment")]
    Unavailable,
    /// The session is over.
    #[error("this session is over")]
    Over,
}

impl Refusal {
    /// A stable word for the kind of refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unparsable => "unparsable",
            Self::Argument { .. } => "argument",
            Self::Unknown(_) => "unknown_command",
            Self::Taken(_) => "taken",
            Self::BadNickname(_) => "bad_nickname",
            Self::NoRoom(_) => "no_room",
            Self::RoomExists(_) => "room_exists",
            Self::BadRoomName(_) => "bad_room_name",
            Self::NotInRoom(_) | Self::InNoRoom => "not_in_room",
            Self::NoUser(_) => "no_user",
            Self::TooManyRooms(_) => "too_many_rooms",
            Self::Full => "full",
            Self::IdReused => "id_reused",
            Self::TooFast => "too_fast",
            Self::Forbidden => "forbidden",
            Self::Banned(_) => "banned",
            Self::Muted(_) => "muted",
            Self::RoomClosed(_) => "room_closed",
            Self::Blocked(_) => "blocked",
            Self::NoDirect(_) => "no_direct",
            Self::NoSession => "no_session",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Over => "over",
        }
    }
}
