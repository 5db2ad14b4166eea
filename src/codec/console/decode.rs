//! What a client says, and what it hears.

use std::sync::Arc;

use crate::codec::{CodecError, json};
use crate::name::Nickname;
use crate::secret::Password;
use crate::text;

/// The first object: who somebody wants to be.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Their name; others may have it too.
    pub name: Nickname,
    /// Their account's secret, if it is an account's name.
    pub secret: Option<Password>,
}

/// Every object behind the first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Said {
    /// A text for the room; cleaned of control characters, and empty when nothing else was in it.
    Message(Arc<str>),
    /// A command as it was typed, such as `cmd!start_game:rock`.
    Command(String),
}

impl Said {
    /// The word of a command and what stands behind its colon, both without `cmd!`; empty when nothing does.
    #[must_use]
    pub fn command(&self) -> Option<(&str, &str)> {
        let Self::Command(typed) = self else { return None };
        let typed = typed.strip_prefix(MARK)?;
        Some(typed.split_once(':').unwrap_or((typed, "")))
    }

    /// Whether it asks to leave.
    #[must_use]
    pub fn leaves(&self) -> bool {
        matches!(self, Self::Command(typed) if typed == "cmd!client_exit" || typed == "cmd!error")
    }
}

/// What kind of object a client hears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// What somebody said.
    Message,
    /// What the server says: to its sender when that is oneself, otherwise of its sender.
    System,
}

/// One object that a client hears.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// Which kind.
    pub kind: Kind,
    /// Who said it, or whom it is about.
    pub sender: String,
    /// What.
    pub data: String,
}

/// Reads the first object of a connection. Members that it does not know are passed over.
///
/// # Errors
/// [`CodecError`]; of a name that nobody may have, too.
pub fn hello(object: &[u8]) -> Result<Hello, CodecError> {
    let mut object = json::object(object)?;
    let name = required(&mut object, "username")?;
    let name = Nickname::new(&name).map_err(|error| CodecError::value("username", error))?;
    let secret = json::text(&mut object, "secret")?;
    let secret = secret.map(|secret| Password::new(&secret)).transpose();
    Ok(Hello { name, secret: secret.map_err(|error| CodecError::value("secret", error))? })
}

/// Reads any other object. A `message_type` that is no `command` makes a message. `limit` bounds a message's text in
/// bytes, before it is cleaned.
///
/// # Errors
/// [`CodecError`]; only behind [`CodecError::TooLong`] it makes sense to go on.
pub fn said(object: &[u8], limit: usize) -> Result<Said, CodecError> {
    let mut object = json::object(object)?;
    // Whatever it is: any other type makes a message.
    let is_command = object.remove("message_type").is_some_and(|kind| kind == "command");
    let data = required(&mut object, "data")?;
    if is_command {
        return Ok(Said::Command(data));
    }
    if data.len() > limit {
        return Err(CodecError::TooLong { limit });
    }
    Ok(Said::Message(text::clean(&data).into()))
}

/// Reads what a client hears.
///
/// # Errors
/// [`CodecError`].
pub fn hear(object: &[u8]) -> Result<Heard, CodecError> {
    let mut object = json::object(object)?;
    let kind = match required(&mut object, "message_type")?.as_str() {
        "message" => Kind::Message,
        "system_message" => Kind::System,
        _ => return Err(CodecError::value("message_type", "expected message or system_message")),
    };
    Ok(Heard { kind, sender: required(&mut object, "sender")?, data: required(&mut object, "data")? })
}

fn required(object: &mut json::Object, key: &'static str) -> Result<String, CodecError> {
    json::text(object, key)?.ok_or_else(|| CodecError::Shape(format!("'{key}' is missing")))
}

/// What a command begins with.
const MARK: &str = "cmd!";
