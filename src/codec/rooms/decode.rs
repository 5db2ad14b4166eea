//! What sessions send: `{"type":T,"args":{...}}`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Mode;
use crate::codec::json::{self as strict, Object};
use crate::message::{Command, Epoch, MessageId, Moderation, Refusal, RoomKey};
use crate::name::{Nickname, RoomName, is_reserved, is_room_protocol_name};
use crate::text;

/// Why what came is no command, and the id that the sender gave it.
pub type Refused = (Refusal, Option<MessageId>);

/// Reads one frame of a session. `limit` bounds a message's text in bytes, before it is cleaned.
///
/// # Errors
/// The refusal to send back.
pub fn decode(frame: &[u8], mode: Mode, limit: usize) -> Result<Command, Refused> {
    let plain = |refusal: Refusal| (refusal, None);
    let mut frame = strict::object(frame).map_err(|_| plain(Refusal::Unparsable))?;
    let Some(Value::String(kind)) = frame.remove("type") else { return Err(plain(Refusal::Unparsable)) };
    let mut args = match frame.remove("args") {
        None | Some(Value::Null) => Object::new(),
        Some(Value::Object(args)) => args,
        Some(_) => return Err(plain(Refusal::Unparsable)),
    };
    let id = match (mode, kind.as_str()) {
        (Mode::Rich, "message") => id(&mut args, "message").map_err(plain)?,
        (Mode::Rich, "direct") => id(&mut args, "direct").map_err(plain)?,
        _ => None,
    };
    command(&kind, &mut args, mode, limit, id.clone()).map_err(|refusal| (refusal, id))
}

fn command(kind: &str, args: &mut Object, mode: Mode, limit: usize, id: Option<MessageId>) -> Result<Command, Refusal> {
    Ok(match (kind, mode) {
        ("message", _) => {
            let room = match mode {
                Mode::Plain => {
                    // Of no meaning here, but a wrong type has always been told.
                    if !matches!(args.get("from"), None | Some(Value::String(_))) {
                        return Err(bad("message", "from"));
                    }
                    None
                }
                Mode::Rich => Some(existing(args, "message")?),
            };
            Command::Say { room, body: body(args, "message", limit)?, id }
        }
        ("direct", _) => {
            let to = required(args, "direct", "to")?;
            Command::Direct { to, body: body(args, "direct", limit)?, id }
        }
        ("setnick", _) => {
            let nickname = required(args, "setnickname", "nickname")?;
            if !is_room_protocol_name(&nickname) {
                return Err(Refusal::BadNickname(nickname));
            }
            if is_reserved(&nickname) {
                return Err(Refusal::Taken(nickname));
            }
            Command::Rename(Nickname::new(&nickname).map_err(|_| Refusal::BadNickname(nickname))?)
        }
        ("switchroom", _) => Command::Switch(existing(args, "switchroom")?),
        ("createroom", _) => {
            let name = required(args, "createroom", "name")?;
            match RoomName::new(&name) {
                Ok(room) if is_room_protocol_name(&name) => Command::Create(room),
                _ => return Err(Refusal::BadRoomName(name)),
            }
        }
        ("listusers", Mode::Rich) if has(args, "room") => Command::ListUsers(Some(existing(args, "listusers")?)),
        ("listusers", _) => Command::ListUsers(None),
        ("listrooms", _) => Command::ListRooms,
        ("history", _) => {
            let room = match has(args, "room") {
                true => Some(key(args, "history")?),
                false => None,
            };
            let (after, before) = (number(args, "history", "after")?, number(args, "history", "before")?);
            Command::History { room, after, before, limit: number(args, "history", "limit")? }
        }
        ("exit", _) => Command::Exit,
        ("enter", Mode::Rich) => Command::Enter(existing(args, "enter")?),
        ("leave", Mode::Rich) => Command::Leave(Some(existing(args, "leave")?)),
        ("typing", Mode::Rich) => Command::Typing(existing(args, "typing")?),
        ("received", Mode::Rich) => {
            Command::Received { room: key(args, "received")?, seq: position(args, "received")? }
        }
        ("resume", Mode::Rich) => {
            let room = key(args, "resume")?;
            let epoch = required(args, "resume", "epoch")?;
            let epoch = Epoch::new(&epoch).map_err(|_| bad("resume", "epoch"))?;
            Command::Resume { room, epoch, seq: position(args, "resume")? }
        }
        ("search", Mode::Rich) => {
            let room = key(args, "search")?;
            let text = required(args, "search", "text")?;
            if text.is_empty() || text.len() > MAX_SEARCH {
                return Err(bad("search", "text"));
            }
            let (before, limit) = (number(args, "search", "before")?, number(args, "search", "limit")?);
            Command::Search { room, text, before, limit }
        }
        ("block", Mode::Rich) => Command::Block(required(args, "block", "user")?),
        ("unblock", Mode::Rich) => Command::Unblock(required(args, "unblock", "user")?),
        ("kick", Mode::Rich) => moderate(args, "kick", Moderation::Kick)?,
        ("ban", Mode::Rich) => moderate(args, "ban", Moderation::Ban)?,
        ("unban", Mode::Rich) => moderate(args, "unban", Moderation::Unban)?,
        ("mute", Mode::Rich) => moderate(args, "mute", Moderation::Mute)?,
        ("unmute", Mode::Rich) => moderate(args, "unmute", Moderation::Unmute)?,
        ("close", Mode::Rich) => Command::Close { room: existing(args, "close")?, reason: reason(args, "close")? },
        ("sessions", Mode::Rich) => Command::Sessions,
        ("revoke", Mode::Rich) => Command::Revoke(required(args, "revoke", "session")?),
        _ => return Err(Refusal::Unknown(kind.to_owned())),
    })
}

fn moderate(args: &mut Object, command: &'static str, action: Moderation) -> Result<Command, Refusal> {
    Ok(Command::Moderate {
        room: existing(args, command)?,
        action,
        user: required(args, command, "user")?,
        seconds: seconds(args, command)?,
        reason: reason(args, command)?,
    })
}

/// Writes a command as a client sends it, without the frame around it. Plain and rich mode write alike: what a command
/// holds beyond its mode's form is passed over there (an id), and what it lacks is refused (a room, in rich mode).
#[must_use]
pub fn encode_command(command: &Command) -> String {
    let (kind, mut args) = match command {
        Command::Say { room, body, .. } => {
            ("message", json!({ "room": room.as_ref().map(RoomName::as_str), "body": **body }))
        }
        Command::Direct { to, body, .. } => ("direct", json!({ "to": to, "body": **body })),
        Command::Enter(room) => ("enter", json!({ "room": room })),
        Command::Leave(room) => ("leave", json!({ "room": room.as_ref().map(RoomName::as_str) })),
        Command::Switch(room) => ("switchroom", json!({ "room": room })),
        Command::Create(room) => ("createroom", json!({ "name": room })),
        Command::Rename(nickname) => ("setnick", json!({ "nickname": nickname.as_str() })),
        Command::Typing(room) => ("typing", json!({ "room": room })),
        Command::ListUsers(room) => ("listusers", json!({ "room": room.as_ref().map(RoomName::as_str) })),
        Command::ListRooms => ("listrooms", json!({})),
        Command::Received { room, seq } => ("received", json!({ "room": room.to_string(), "seq": seq })),
        Command::History { room, after, before, limit } => {
            let room = room.as_ref().map(RoomKey::to_string);
            ("history", json!({ "room": room, "after": after, "before": before, "limit": limit }))
        }
        Command::Search { room, text, before, limit } => {
            ("search", json!({ "room": room.to_string(), "text": text, "before": before, "limit": limit }))
        }
        Command::Resume { room, epoch, seq } => {
            ("resume", json!({ "room": room.to_string(), "epoch": epoch.as_str(), "seq": seq }))
        }
        Command::Block(user) => ("block", json!({ "user": user })),
        Command::Unblock(user) => ("unblock", json!({ "user": user })),
        Command::Moderate { room, action, user, seconds, reason } => {
            let args = json!({ "room": room, "user": user, "seconds": seconds, "reason": reason.as_deref() });
            (verb(*action), args)
        }
        Command::Close { room, reason } => ("close", json!({ "room": room, "reason": reason.as_deref() })),
        Command::Sessions => ("sessions", json!({})),
        Command::Revoke(session) => ("revoke", json!({ "session": session })),
        Command::Exit => ("exit", json!({})),
    };
    if let (Command::Say { id: Some(id), .. } | Command::Direct { id: Some(id), .. }, Some(args)) =
        (command, args.as_object_mut())
    {
        args.insert("id".into(), id.as_str().into());
    }
    if let Some(args) = args.as_object_mut() {
        args.retain(|_, value| !value.is_null());
    }
    json!({ "type": kind, "args": args }).to_string()
}

fn verb(action: Moderation) -> &'static str {
    match action {
        Moderation::Kick => "kick",
        Moderation::Ban => "ban",
        Moderation::Unban => "unban",
        Moderation::Mute => "mute",
        Moderation::Unmute => "unmute",
    }
}

fn bad(command: &'static str, argument: &'static str) -> Refusal {
    Refusal::Argument { command, argument }
}

/// Whether an argument is there that may be left out; `null` leaves it out too.
fn has(args: &Object, argument: &str) -> bool {
    !matches!(args.get(argument), None | Some(Value::Null))
}

fn id(args: &mut Object, command: &'static str) -> Result<Option<MessageId>, Refusal> {
    match args.remove("id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) => MessageId::new(&id).map(Some).map_err(|_| bad(command, "id")),
        Some(_) => Err(bad(command, "id")),
    }
}

fn required(args: &mut Object, command: &'static str, argument: &'static str) -> Result<String, Refusal> {
    match args.remove(argument) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(bad(command, argument)),
    }
}

/// The name of a room that should exist: one that cannot be a name cannot exist either.
fn existing(args: &mut Object, command: &'static str) -> Result<RoomName, Refusal> {
    let room = required(args, command, "room")?;
    RoomName::new(&room).map_err(|_| Refusal::NoRoom(room))
}

/// A room's name, or `@` and a user's id for their direct messages.
fn key(args: &mut Object, command: &'static str) -> Result<RoomKey, Refusal> {
    let room = required(args, command, "room")?;
    RoomKey::parse(&room).ok_or(Refusal::NoRoom(room))
}

/// A number that may be left out.
fn number(args: &mut Object, command: &'static str, argument: &'static str) -> Result<Option<u64>, Refusal> {
    match args.remove(argument) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| bad(command, argument)),
    }
}

fn position(args: &mut Object, command: &'static str) -> Result<u64, Refusal> {
    number(args, command, "seq")?.ok_or_else(|| bad(command, "seq"))
}

/// How long something is to last. None at all, or longer than anybody lives, is a mistake.
fn seconds(args: &mut Object, command: &'static str) -> Result<Option<u64>, Refusal> {
    match number(args, command, "seconds")? {
        Some(seconds) if !(1..=MAX_SECONDS).contains(&seconds) => Err(bad(command, "seconds")),
        seconds => Ok(seconds),
    }
}

/// A reason in words, which may be left out.
fn reason(args: &mut Object, command: &'static str) -> Result<Option<Arc<str>>, Refusal> {
    match args.remove("reason") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(reason)) if reason.len() <= MAX_REASON => {
            let line = text::one_line(&reason);
            let line = text::clean(&line);
            Ok((!line.is_empty()).then(|| line.into()))
        }
        Some(_) => Err(bad(command, "reason")),
    }
}

fn body(args: &mut Object, command: &'static str, limit: usize) -> Result<Arc<str>, Refusal> {
    let body = required(args, command, "body")?;
    let clean = text::clean(&body);
    if clean.is_empty() || body.len() > limit {
        return Err(bad(command, "body"));
    }
    Ok(clean.into())
}

/// Bytes of a text to look for.
const MAX_SEARCH: usize = 256;
/// Bytes of a moderator's reason.
const MAX_REASON: usize = 256;
/// A hundred years.
const MAX_SECONDS: u64 = 100 * 365 * 24 * 3600;
