//! What a client hears on both ports, and what it types.

use std::fmt;

use super::{HELLO, JOINED, MORE, NICKNAME, NOT_SENT, SENT, SERVER, UNKNOWN, WELCOME};
use crate::codec::json;
use crate::text::one_line;

/// A line from the listen port.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HeardLine {
    /// Somebody said something.
    Said {
        /// Who.
        from: String,
        /// What.
        body: String,
    },
    /// Somebody has a new account.
    Registered(String),
}

/// A line from the write port. Its `Debug` shows no hash.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// It asks for a hash.
    Hello,
    /// Nobody has that hash.
    Unknown,
    /// It asks for a nickname.
    Nickname,
    /// Whose account it is.
    Account {
        /// What they are called.
        nickname: String,
        /// What they sign in with.
        hash: String,
    },
    /// Messages may follow.
    Welcome,
    /// A message was heard by everybody.
    Sent,
    /// A message was heard by nobody: why.
    NotSent(String),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello => f.write_str("Hello"),
            Self::Unknown => f.write_str("Unknown"),
            Self::Nickname => f.write_str("Nickname"),
            Self::Account { nickname, .. } => write!(f, "Account {{ nickname: {nickname:?}, .. }}"),
            Self::Welcome => f.write_str("Welcome"),
            Self::Sent => f.write_str("Sent"),
            Self::NotSent(why) => f.debug_tuple("NotSent").field(why).finish(),
        }
    }
}

/// Reads a line from the listen port, without its end; `None` for what is none.
#[must_use]
pub fn hear_line(line: &str) -> Option<HeardLine> {
    let (from, body) = line.split_once(": ")?;
    Some(match body.strip_prefix(JOINED) {
        Some(user) if from == SERVER => HeardLine::Registered(user.to_owned()),
        _ => HeardLine::Said { from: from.to_owned(), body: body.to_owned() },
    })
}

/// Reads a line from the write port, without its end; `None` for what is none.
#[must_use]
pub fn hear_answer(line: &str) -> Option<Answer> {
    let is = |known: &str| known.strip_suffix('\n') == Some(line);
    Some(match line {
        _ if is(HELLO) => Answer::Hello,
        _ if is(UNKNOWN) => Answer::Unknown,
        _ if is(NICKNAME) => Answer::Nickname,
        _ if is(WELCOME) => Answer::Welcome,
        _ if is(SENT) => Answer::Sent,
        _ => match line.strip_prefix(NOT_SENT).and_then(|rest| rest.strip_suffix(MORE)) {
            Some(why) => Answer::NotSent(why.to_owned()),
            None => return hear_account(line),
        },
    })
}

fn hear_account(line: &str) -> Option<Answer> {
    let mut account = json::object(line.as_bytes()).ok()?;
    let mut text = |key| json::text(&mut account, key).ok()?;
    Some(Answer::Account { nickname: text("nickname")?, hash: text("account_hash")? })
}

/// What a client types in answer to a question: a hash or a nickname.
#[must_use]
pub fn typed_line(text: &str) -> String {
    format!("{}\n", one_line(text))
}

/// What a client types for a message.
#[must_use]
pub fn typed_message(text: &str) -> String {
    // An empty line alone is no message, and one is enough.
    if text.is_empty() { "\n".to_owned() } else { format!("{}\n\n", one_line(text)) }
}
