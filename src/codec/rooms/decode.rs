//! What sessions send: `{"type":T,"args":{...}}`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Mode;
use crate::codec::json::{self as strict, Object};
use crate::message::{Command, MessageId, Refusal};
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
    let id = match (mode, args.remove("id")) {
        (Mode::Plain, _) | (_, None) => None,
        (Mode::Rich, Some(Value::String(id))) => Some(MessageId::new(&id).map_err(|_| plain(bad("message", "id")))?),
        (Mode::Rich, Some(_)) => return Err(plain(bad("message", "id"))),
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
        ("listusers", Mode::Plain) => Command::ListUsers(None),
        ("listusers", Mode::Rich) if !args.contains_key("room") => Command::ListUsers(None),
        ("listusers", Mode::Rich) => Command::ListUsers(Some(existing(args, "listusers")?)),
        ("listrooms", _) => Command::ListRooms,
        ("exit", _) => Command::Exit,
        ("enter", Mode::Rich) => Command::Enter(existing(args, "enter")?),
        ("leave", Mode::Rich) => Command::Leave(Some(existing(args, "leave")?)),
        ("typing", Mode::Rich) => Command::Typing(existing(args, "typing")?),
        _ => return Err(Refusal::Unknown(kind.to_owned())),
    })
}

/// Writes a command as a client sends it, without the frame around it.
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

fn bad(command: &'static str, argument: &'static str) -> Refusal {
    Refusal::Argument { command, argument }
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

fn body(args: &mut Object, command: &'static str, limit: usize) -> Result<Arc<str>, Refusal> {
    let body = required(args, command, "body")?;
    let clean = text::clean(&body);
    if clean.is_empty() || body.len() > limit {
        return Err(bad(command, "body"));
    }
    Ok(clean.into())
}
