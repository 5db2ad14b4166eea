//! Pure codecs: bytes of one protocol to and from typed values. No I/O, no clock, no tokio.

pub mod console;
pub mod json;
pub mod minechat;
pub mod pair;
pub mod registry;
pub mod rooms;
pub mod syslog;
pub mod talk;

use bytes::BytesMut;
use thiserror::Error;

use crate::message::Event;

/// Turns events into the bytes of one wire, without knowing whom they are for: what it makes is shared by all members
/// of a room that speak this wire.
pub trait Encode: Send + Sync {
    /// Appends whole frames for `event` to `out`; `false` when this wire has no form for it, and nothing was appended.
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool;
}

/// Why bytes could not be understood.
///
/// The display text says what is wrong and what would be right; [`CodecError::code`] is stable for the wire.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum CodecError {
    /// Not JSON at all, not UTF-8, or nested too deeply.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// Valid JSON of the wrong shape: a missing field, a wrong type, a key twice.
    #[error("{0}")]
    Shape(String),
    /// A field holds a value that its type does not allow.
    #[error("'{field}': {reason}")]
    Value {
        /// The field.
        field: &'static str,
        /// What would be right.
        reason: String,
    },
    /// The text is longer than the limit.
    #[error("'text' has more than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

impl CodecError {
    /// A stable word for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "syntax",
            Self::Shape(_) => "shape",
            Self::Value { .. } => "value",
            Self::TooLong { .. } => "too_long",
        }
    }

    pub(crate) fn value(field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Value { field, reason: reason.to_string() }
    }
}
