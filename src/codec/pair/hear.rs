//! What a client hears, read back.

use super::lines::SERVER;

/// One frame that a client hears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard<'a> {
    /// The nickname or the recipient was taken.
    Yes,
    /// It was not: say another.
    No,
    /// The server says something; [`word`] says what.
    Server(&'a str),
    /// Somebody says something.
    Said {
        /// Who.
        from: &'a str,
        /// What.
        text: &'a str,
    },
}

/// What the server itself has to say. Names are as it shows them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Word<'a> {
    /// A text of this client went on.
    Sent(To<'a>),
    /// The user's program took a text of this client.
    Delivered(&'a str),
    /// A text of this client did not arrive.
    NotDelivered {
        /// At whom, if that is told.
        to: Option<To<'a>>,
        /// Why.
        reason: &'a str,
    },
    /// Somebody went, who had spoken to this user, or was in the room.
    Left(&'a str),
    /// Anything else.
    Other(&'a str),
}

/// Where a text went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum To<'a> {
    /// To this user alone.
    User(&'a str),
    /// To this room.
    Room(&'a str),
}

/// Why a text that was told to be sent is told not to be delivered after all: nobody confirmed it.
pub const TIMED_OUT: &str = "timed out";

/// Reads one text frame of a server; `None` for what none sends.
#[must_use]
pub fn hear(frame: &str) -> Option<Heard<'_>> {
    match frame {
        "1" => return Some(Heard::Yes),
        "0" => return Some(Heard::No),
        _ => {}
    }
    let (from, text) = frame.strip_prefix('[')?.split_once("] ")?;
    Some(if from == SERVER { Heard::Server(text) } else { Heard::Said { from, text } })
}

/// Reads what the server itself says.
#[must_use]
pub fn word(text: &str) -> Word<'_> {
    known(text).unwrap_or(Word::Other(text))
}

fn known(text: &str) -> Option<Word<'_>> {
    if let Some(user) = text.strip_prefix("User ") {
        return user.strip_suffix(" left").filter(|user| !user.is_empty()).map(Word::Left);
    }
    let told = text.strip_prefix("Message ")?;
    if let Some(to) = told.strip_prefix("sent to ") {
        return whom(to).map(Word::Sent);
    }
    if let Some(user) = told.strip_prefix("delivered to user ") {
        return (!user.is_empty()).then_some(Word::Delivered(user));
    }
    let refused = told.strip_prefix("not delivered")?;
    if let Some(reason) = refused.strip_prefix(": ") {
        return Some(Word::NotDelivered { to: None, reason });
    }
    // No name holds `: `.
    let (to, reason) = refused.strip_prefix(" to ")?.split_once(": ")?;
    Some(Word::NotDelivered { to: Some(whom(to)?), reason })
}

fn whom(to: &str) -> Option<To<'_>> {
    let (kind, name) = to.split_once(' ')?;
    match kind {
        _ if name.is_empty() => None,
        "user" => Some(To::User(name)),
        "room" => Some(To::Room(name)),
        _ => None,
    }
}
