//! Pair chat: plain texts in WebSocket frames. A client says what it is called and whom it speaks to, and is answered `1`
//! or `0` each time; then every text goes there, and every line that comes begins with `[somebody] `. Both directions, so
//! that both ends share them.

mod hear;
mod lines;
mod say;

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

pub use hear::{Heard, TIMED_OUT, To, Word, hear, word};
pub use lines::Lines;
pub use say::{is_recipient, say};

use super::rooms::frame;
use crate::message::{Command, MessageId};
use crate::name::{Nickname, RoomName};
use crate::text;

/// The shortest and the longest nickname here, in characters.
pub const NICK_LENGTH: std::ops::RangeInclusive<usize> = 3..=20;

/// What a client sends to go.
pub const QUIT: &str = ":quit:";

/// What a client is expected to say next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// What it is called.
    Nick,
    /// Whom it speaks to. As before, it is sent nothing but `0` and `1`: its user sits at a prompt.
    Peer,
    /// Anything.
    Chat,
}

/// What a client's frame means.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Asked {
    /// To be called so.
    Nick(Nickname),
    /// To be called what nobody may be called here.
    BadNick,
    /// To speak to a user or a room of that name.
    Peer(String),
    /// To say this; cleaned of control characters, and not empty.
    Say(Arc<str>),
    /// To say more than the limit allows.
    TooLong,
    /// Nothing: somebody pressed Enter.
    Nothing,
    /// To go.
    Quit,
}

impl Asked {
    /// The frame that a client sends for it; `None` for what is a mistake.
    #[must_use]
    pub fn frame(&self) -> Option<&str> {
        match self {
            Self::Nick(name) => Some(name.as_str()),
            Self::Peer(name) => Some(name),
            Self::Say(text) => Some(text),
            Self::Nothing => Some(""),
            Self::Quit => Some(QUIT),
            Self::BadNick | Self::TooLong => None,
        }
    }
}

/// Reads one text frame of a client. `limit` bounds a message's text in bytes, before it is cleaned.
#[must_use]
pub fn decode(frame: &str, stage: Stage, limit: usize) -> Asked {
    if frame == QUIT {
        return Asked::Quit;
    }
    match stage {
        Stage::Nick => nick(frame).map_or(Asked::BadNick, Asked::Nick),
        Stage::Peer => Asked::Peer(frame.to_owned()),
        Stage::Chat if frame.len() > limit => Asked::TooLong,
        Stage::Chat => {
            let text = text::clean(frame);
            if text == QUIT {
                return Asked::Quit;
            }
            if text.chars().all(|c| c == '\n') { Asked::Nothing } else { Asked::Say(text.into()) }
        }
    }
}

/// A nickname that pair chat takes: 3 to 20 characters, a letter first, none of `. , ( ) ' " ~`, backtick and `#`; and
/// one that any wire takes.
#[must_use]
pub fn nick(name: &str) -> Option<Nickname> {
    let fits = NICK_LENGTH.contains(&name.chars().take(NICK_LENGTH.end() + 1).count())
        && name.starts_with(char::is_alphabetic)
        && !name.contains(FORBIDDEN);
    if fits { Nickname::new(name).ok() } else { None }
}

/// Appends the answer to a nickname or to a recipient.
pub fn answer(out: &mut BytesMut, yes: bool) {
    frame::text(out, |out| out.put_u8(if yes { b'1' } else { b'0' }));
}

/// To whom a client's texts go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recipient {
    /// To one user alone.
    User(Nickname),
    /// To everybody in a room.
    Room(RoomName),
}

impl Recipient {
    /// What the client's `n`th text asks of the hub. Its id says whom it was for, where that fits: refusals do not.
    #[must_use]
    pub fn command(&self, n: u64, body: Arc<str>) -> Command {
        let id = Some(self.id(n));
        match self {
            Self::User(name) => Command::Direct { to: name.to_string(), body, id },
            Self::Room(room) => Command::Say { room: Some(room.clone()), body, id },
        }
    }

    /// The id of the client's `n`th text.
    #[must_use]
    pub fn id(&self, n: u64) -> MessageId {
        MessageId::new(&format!("{n} {self}")).unwrap_or_else(|_| MessageId::random())
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Room(name) => write!(f, "room {name}"),
        }
    }
}

const FORBIDDEN: [char; 9] = ['.', ',', '(', ')', '\'', '"', '~', '`', '#'];

#[cfg(test)]
mod tests;
