//! What a client hears, read back.

use std::sync::Arc;

use serde_json::Value;

use crate::codec::CodecError;
use crate::codec::json::{self, Object};
use crate::message::{Epoch, MessageId, Position, Post, Record, RoomKey, Timestamp, UserId};
use crate::name::RoomName;

/// A plain frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeardPlain {
    /// Who says it; `system` is the server.
    pub from: String,
    /// What.
    pub body: String,
}

/// A rich frame.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Heard {
    /// Something was said. The wire does not carry the sender's id: [`Record::user`] is all zeros.
    Message(Box<Post>),
    /// A message of ours has its place.
    Accepted {
        /// The id that we gave it.
        id: MessageId,
        /// Where.
        room: String,
        /// Its place.
        at: Position,
    },
    /// Somebody came, went, or is called otherwise now.
    Presence {
        /// Where.
        room: RoomName,
        /// Who.
        user: String,
        /// `joined`, `left` or `renamed`.
        state: String,
        /// The new nickname after `renamed`.
        to: Option<String>,
    },
    /// Somebody is writing.
    Typing {
        /// Where.
        room: RoomName,
        /// Who.
        user: String,
    },
    /// The answer to a question.
    System(String),
    /// A command of ours was refused.
    Error {
        /// A stable word.
        code: String,
        /// The reason in words.
        body: String,
        /// The id of the message that was refused.
        id: Option<MessageId>,
    },
    /// Something newer than this program.
    Other(String),
}

/// Reads a plain frame.
///
/// # Errors
/// [`CodecError`] for anything else.
pub fn hear_plain(frame: &[u8]) -> Result<HeardPlain, CodecError> {
    let mut frame = json::object(frame)?;
    Ok(HeardPlain { from: text(&mut frame, "from")?, body: text(&mut frame, "body")? })
}

/// Reads a rich frame.
///
/// # Errors
/// [`CodecError`] for what is no object with a `type`, or lacks what its type needs.
pub fn hear_rich(frame: &[u8]) -> Result<Heard, CodecError> {
    let mut frame = json::object(frame)?;
    let frame = &mut frame;
    let kind = text(frame, "type")?;
    Ok(match kind.as_str() {
        "message" => Heard::Message(Box::new(post(frame)?)),
        "accepted" => Heard::Accepted {
            id: id(frame)?.ok_or_else(|| missing("id"))?,
            room: text(frame, "room")?,
            at: Position { epoch: epoch(frame)?, seq: number(frame, "seq")? },
        },
        "presence" => Heard::Presence {
            room: room(&text(frame, "room")?)?,
            user: text(frame, "user")?,
            state: text(frame, "state")?,
            to: json::text(frame, "to")?,
        },
        "typing" => Heard::Typing { room: room(&text(frame, "room")?)?, user: text(frame, "user")? },
        "system" => Heard::System(text(frame, "body")?),
        "error" => Heard::Error { code: text(frame, "code")?, body: text(frame, "body")?, id: id(frame)? },
        _ => Heard::Other(kind),
    })
}

fn post(frame: &mut Object) -> Result<Post, CodecError> {
    let key = text(frame, "room")?;
    let room = match key.strip_prefix('@').map(uuid::Uuid::parse_str) {
        Some(Ok(user)) => RoomKey::Direct(UserId::from_bytes(user.into_bytes())),
        Some(Err(error)) => return Err(CodecError::value("room", error)),
        None => RoomKey::Room(room(&key)?),
    };
    let record = Record {
        room,
        seq: number(frame, "seq")?,
        prev: number(frame, "prev")?,
        at: Timestamp::from_millis(number(frame, "ts")?),
        user: UserId::from_bytes([0; 16]),
        from: Arc::from(text(frame, "from")?),
        id: id(frame)?,
        body: Arc::from(text(frame, "body")?),
    };
    Ok(Post { epoch: epoch(frame)?, record })
}

fn missing(key: &'static str) -> CodecError {
    CodecError::Shape(format!("the field '{key}' is missing"))
}

fn text(frame: &mut Object, key: &'static str) -> Result<String, CodecError> {
    json::text(frame, key)?.ok_or_else(|| missing(key))
}

fn number(frame: &mut Object, key: &'static str) -> Result<u64, CodecError> {
    let value = frame.remove(key).ok_or_else(|| missing(key))?;
    value.as_u64().ok_or_else(|| CodecError::Shape(format!("'{key}' must be a number, found {}", json::kind(&value))))
}

fn room(name: &str) -> Result<RoomName, CodecError> {
    RoomName::new(name).map_err(|e| CodecError::value("room", e))
}

fn epoch(frame: &mut Object) -> Result<Epoch, CodecError> {
    Epoch::new(&text(frame, "epoch")?).map_err(|e| CodecError::value("epoch", e))
}

fn id(frame: &mut Object) -> Result<Option<MessageId>, CodecError> {
    match frame.remove("id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) => MessageId::new(&id).map(Some).map_err(|e| CodecError::value("id", e)),
        Some(other) => Err(CodecError::Shape(format!("'id' must be a string, found {}", json::kind(&other)))),
    }
}
