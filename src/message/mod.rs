//! What travels: a text with its sender, and an id where both ends understand one.

mod command;
mod event;
mod record;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

pub use command::{Command, Moderation, Refusal};
pub use event::{Closing, Delivery, Event, Post, SignIn};
pub use record::{Epoch, EpochError, Position, Record, RoomKey, UserId};

use crate::name::UserName;
use crate::text;

/// One text from one user to another.
///
/// `text` is kept free of control characters other than `\n` and `\t`; construct with [`Message::new`] to hold that.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Who says it. Between peers this is a claim: nobody has checked it.
    pub from: UserName,
    /// What is said; may be empty.
    pub text: Arc<str>,
    /// The sender's id for it, by which it is acknowledged and recognised when it comes twice.
    pub id: Option<MessageId>,
}

impl Message {
    /// A new message without an id; a transport that needs one makes it when it sends.
    ///
    /// Control characters other than `\n` and `\t` are removed from the text.
    #[must_use]
    pub fn new(from: UserName, text: &str) -> Self {
        Self { from, text: text::clean(text).into(), id: None }
    }

    /// The same message with an id, which makes a repeated send recognisable.
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }
}

/// A sender's id for a message: 1 to 64 bytes without control characters, unique per sender for two minutes.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId(Arc<str>);

/// The longest message id, in bytes: a constant of the format.
pub const MAX_MESSAGE_ID: usize = 64;

/// The text is no message id: empty, too long, or with a control character.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
#[error("a message id is 1 to {MAX_MESSAGE_ID} bytes without control characters")]
pub struct MessageIdError;

impl MessageId {
    /// Takes an id that somebody else chose.
    ///
    /// # Errors
    /// [`MessageIdError`].
    pub fn new(id: &str) -> Result<Self, MessageIdError> {
        if id.is_empty() || id.len() > MAX_MESSAGE_ID || id.chars().any(char::is_control) {
            return Err(MessageIdError);
        }
        Ok(Self(id.into()))
    }

    /// Makes a new id (a UUIDv7, RFC 9562).
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7().simple().encode_lower(&mut Uuid::encode_buffer()).to_owned().into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A moment: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The moment that much later; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cleaned_when_it_is_made() {
        let message = Message::new(UserName::new("ann").unwrap(), "a\u{1b}[2Jb\r\nc\td");
        assert_eq!(&*message.text, "a[2Jb\nc\td");
    }

    #[test]
    fn ids_are_short_printable_and_unique() {
        assert_ne!(MessageId::random(), MessageId::random());
        assert!(MessageId::new(MessageId::random().as_str()).is_ok());
        for bad in ["", "a\nb", &"x".repeat(65)] {
            assert!(MessageId::new(bad).is_err());
        }
    }
}
