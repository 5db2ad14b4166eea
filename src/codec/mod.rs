//! Pure codecs: bytes of one protocol to and from typed values. No I/O, no clock, no tokio.

pub mod json;
pub mod registry;
pub mod talk;

use thiserror::Error;

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
