//! What a client hears, read back.

use std::sync::Arc;

use serde_json::Value;

use crate::codec::CodecError;
use crate::codec::json::{self, Object};
use crate::message::{Epoch, MessageId, Position, Post, Record, RoomKey, SignIn, Timestamp, UserId};
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
        room: RoomKey,
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
    /// How far the members are with a message of ours, and with those before it.
    Receipt {
        /// The id that we gave it.
        id: MessageId,
        /// Where.
        room: RoomName,
        /// Its place.
        seq: u64,
        /// Members to whom it was written.
        sent: u64,
        /// Members whose program took it.
        delivered: u64,
        /// Members there were.
        members: u64,
    },
    /// What became of a direct message of ours.
    DirectReceipt {
        /// The id that we gave it.
        id: MessageId,
        /// Whom it was for.
        to: String,
        /// `sent`, `delivered`, `unconfirmed` or `failed`.
        state: String,
        /// Why it came no further.
        reason: Option<String>,
    },
    /// Messages that are gone: none from behind `from` up to `to` will come.
    Gap {
        /// Where.
        room: RoomKey,
        /// The last message before the gap.
        from: u64,
        /// The last message in it.
        to: u64,
    },
    /// A resumed room is up to date.
    Recovered {
        /// Where.
        room: RoomKey,
        /// The life of the history that counts from now on.
        epoch: Epoch,
        /// The position that we came with.
        from: u64,
        /// The last message that was replayed, or that there was.
        to: u64,
        /// Whether everything between them was replayed.
        recovered: bool,
    },
    /// The end of kept messages that we asked for.
    History {
        /// Where.
        room: RoomKey,
        /// The life of the history.
        epoch: Epoch,
        /// How many messages came.
        count: u64,
        /// Whether there are more beyond them.
        more: bool,
    },
    /// The answer to a search, the newest first.
    Found {
        /// Where.
        room: RoomKey,
        /// What was looked for.
        text: String,
        /// What was found.
        messages: Vec<Post>,
        /// Where to go on looking.
        before: Option<u64>,
    },
    /// Our user's sign-ins.
    Sessions(Vec<SignIn>),
    /// Who is in a room.
    Users {
        /// Which.
        room: RoomName,
        /// Their names, one to a line.
        names: String,
    },
    /// Which rooms there are.
    Rooms {
        /// Their names, one to a line.
        names: String,
        /// How many sessions are in each, as far as the server says.
        sessions: Vec<u64>,
    },
    /// What the server has to say.
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
            id: own_id(frame)?,
            room: room_key(&text(frame, "room")?)?,
            at: Position { epoch: epoch(frame)?, seq: number(frame, "seq")? },
        },
        "presence" => Heard::Presence {
            room: room(&text(frame, "room")?)?,
            user: text(frame, "user")?,
            state: text(frame, "state")?,
            to: some_text(frame, "to")?,
        },
        "typing" => Heard::Typing { room: room(&text(frame, "room")?)?, user: text(frame, "user")? },
        "receipt" if frame.contains_key("to") => Heard::DirectReceipt {
            id: own_id(frame)?,
            to: text(frame, "to")?,
            state: text(frame, "state")?,
            reason: some_text(frame, "reason")?,
        },
        "receipt" => Heard::Receipt {
            id: own_id(frame)?,
            room: room(&text(frame, "room")?)?,
            seq: number(frame, "seq")?,
            sent: number(frame, "sent")?,
            delivered: number(frame, "delivered")?,
            members: number(frame, "members")?,
        },
        "gap" => Heard::Gap {
            room: room_key(&text(frame, "room")?)?,
            from: number(frame, "from")?,
            to: number(frame, "to")?,
        },
        "recovered" => Heard::Recovered {
            room: room_key(&text(frame, "room")?)?,
            epoch: epoch(frame)?,
            from: number(frame, "from")?,
            to: number(frame, "to")?,
            recovered: flag(frame, "recovered")?,
        },
        "history" => Heard::History {
            room: room_key(&text(frame, "room")?)?,
            epoch: epoch(frame)?,
            count: number(frame, "count")?,
            more: flag(frame, "more")?,
        },
        "found" => Heard::Found {
            room: room_key(&text(frame, "room")?)?,
            text: text(frame, "text")?,
            messages: objects(frame, "messages")?.into_iter().map(|mut m| post(&mut m)).collect::<Result<_, _>>()?,
            before: some_number(frame, "before")?,
        },
        "sessions" => {
            let sessions = objects(frame, "sessions")?;
            Heard::Sessions(sessions.into_iter().map(|mut s| sign_in(&mut s)).collect::<Result<_, _>>()?)
        }
        "system" => {
            let body = text(frame, "body")?;
            match some_text(frame, "list")?.as_deref() {
                Some("users") => Heard::Users { room: room(&text(frame, "room")?)?, names: body },
                Some("rooms") => Heard::Rooms { names: body, sessions: numbers(frame, "sessions")? },
                _ => Heard::System(body),
            }
        }
        "error" => Heard::Error { code: text(frame, "code")?, body: text(frame, "body")?, id: id(frame)? },
        _ => Heard::Other(kind),
    })
}

fn post(frame: &mut Object) -> Result<Post, CodecError> {
    let record = Record {
        room: room_key(&text(frame, "room")?)?,
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

fn sign_in(session: &mut Object) -> Result<SignIn, CodecError> {
    let connections = number(session, "connections")?;
    Ok(SignIn {
        id: text(session, "session")?.into(),
        issued: Timestamp::from_millis(number(session, "issued")?),
        connections: u32::try_from(connections).map_err(|e| CodecError::value("connections", e))?,
        ends: some_number(session, "ends")?.map(Timestamp::from_millis),
        current: flag(session, "current")?,
    })
}

fn missing(key: &'static str) -> CodecError {
    CodecError::Shape(format!("the field '{key}' is missing"))
}

fn text(frame: &mut Object, key: &'static str) -> Result<String, CodecError> {
    json::text(frame, key)?.ok_or_else(|| missing(key))
}

/// A text that may be left out; `null` leaves it out too.
fn some_text(frame: &mut Object, key: &'static str) -> Result<Option<String>, CodecError> {
    match frame.get(key) {
        Some(Value::Null) => Ok(None),
        _ => json::text(frame, key),
    }
}

fn number(frame: &mut Object, key: &'static str) -> Result<u64, CodecError> {
    let value = frame.remove(key).ok_or_else(|| missing(key))?;
    value.as_u64().ok_or_else(|| CodecError::Shape(format!("'{key}' must be a number, found {}", json::kind(&value))))
}

fn some_number(frame: &mut Object, key: &'static str) -> Result<Option<u64>, CodecError> {
    match frame.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => number(frame, key).map(Some),
    }
}

fn numbers(frame: &mut Object, key: &'static str) -> Result<Vec<u64>, CodecError> {
    let value = frame.remove(key).ok_or_else(|| missing(key))?;
    let numbers = value.as_array().and_then(|numbers| numbers.iter().map(Value::as_u64).collect());
    numbers.ok_or_else(|| CodecError::Shape(format!("'{key}' must be a list of numbers")))
}

fn flag(frame: &mut Object, key: &'static str) -> Result<bool, CodecError> {
    let value = frame.remove(key).ok_or_else(|| missing(key))?;
    value
        .as_bool()
        .ok_or_else(|| CodecError::Shape(format!("'{key}' must be true or false, found {}", json::kind(&value))))
}

fn objects(frame: &mut Object, key: &'static str) -> Result<Vec<Object>, CodecError> {
    let wrong = || CodecError::Shape(format!("'{key}' must be a list of objects"));
    let Some(Value::Array(values)) = frame.remove(key) else { return Err(wrong()) };
    let object = |value| match value {
        Value::Object(object) => Ok(object),
        _ => Err(wrong()),
    };
    values.into_iter().map(object).collect()
}

fn room_key(key: &str) -> Result<RoomKey, CodecError> {
    RoomKey::parse(key).ok_or_else(|| CodecError::value("room", "a room's name, or '@' and a user's id"))
}

fn room(name: &str) -> Result<RoomName, CodecError> {
    RoomName::new(name).map_err(|e| CodecError::value("room", e))
}

fn epoch(frame: &mut Object) -> Result<Epoch, CodecError> {
    Epoch::new(&text(frame, "epoch")?).map_err(|e| CodecError::value("epoch", e))
}

/// The id of a message of ours.
fn own_id(frame: &mut Object) -> Result<MessageId, CodecError> {
    id(frame)?.ok_or_else(|| missing("id"))
}

fn id(frame: &mut Object) -> Result<Option<MessageId>, CodecError> {
    let id = some_text(frame, "id")?;
    id.map(|id| MessageId::new(&id).map_err(|e| CodecError::value("id", e))).transpose()
}
