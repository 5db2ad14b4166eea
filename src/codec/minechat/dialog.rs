//! What somebody types on the write port, as the server reads it.

use std::fmt;
use std::sync::Arc;

use crate::text;

/// One connection to the write port.
///
/// It asks for a hash, then for a nickname, until the server says that somebody is [welcome](Self::welcome); from then on
/// it reads messages.
#[derive(Debug)]
pub struct Dialog {
    stage: Stage,
    text: String,
    most: usize,
    too_long: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Hash,
    Nickname,
    Chat,
}

/// One thing that was typed. Its `Debug` shows neither a hash nor a message.
#[derive(Clone, Eq, PartialEq)]
pub enum Typed {
    /// The hash of an account, or what is meant to be one. A secret.
    Hash(String),
    /// An empty line in its place: a new account.
    New,
    /// The nickname for a new account, as it was typed; it may be empty.
    Nickname(String),
    /// A message: its lines joined by spaces, free of control characters, not empty.
    Message(Arc<str>),
    /// An empty line without a message before it.
    Nothing,
    /// A message that is longer than messages may be. It was read to its end and dropped.
    TooLong,
    /// The head of an HTTP request in place of a hash: a browser was made to speak here by somebody's page. Nothing of
    /// what follows may be taken for what a user typed.
    Http,
}

impl Dialog {
    /// At its beginning. `most` is how many bytes a message may have.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { stage: Stage::Hash, text: String::new(), most, too_long: false }
    }

    /// Notes that whoever types is signed in: what follows are messages.
    pub fn welcome(&mut self) {
        self.stage = Stage::Chat;
    }

    /// Reads the next line; tells what was typed, if that is the end of it.
    pub fn read(&mut self, line: String) -> Option<Typed> {
        match self.stage {
            Stage::Hash if is_http(&line) => Some(Typed::Http),
            Stage::Hash => {
                self.stage = Stage::Nickname;
                let hash = line.trim();
                Some(if hash.is_empty() { Typed::New } else { Typed::Hash(hash.to_owned()) })
            }
            Stage::Nickname => Some(Typed::Nickname(line)),
            Stage::Chat if line.is_empty() => Some(self.message()),
            Stage::Chat => {
                self.add(&text::clean(&line));
                None
            }
        }
    }

    fn add(&mut self, line: &str) {
        let space = !self.text.is_empty() && !line.is_empty();
        if self.too_long || self.text.len() + usize::from(space) + line.len() > self.most {
            (self.too_long, self.text) = (true, String::new());
            return;
        }
        if space {
            self.text.push(' ');
        }
        self.text.push_str(line);
    }

    fn message(&mut self) -> Typed {
        if std::mem::take(&mut self.too_long) {
            return Typed::TooLong;
        }
        if self.text.is_empty() {
            return Typed::Nothing;
        }
        let body = Typed::Message(self.text.as_str().into());
        self.text.clear();
        self.text.shrink_to(KEPT);
        body
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(_) => f.write_str("Hash(..)"),
            Self::New => f.write_str("New"),
            Self::Nickname(nickname) => f.debug_tuple("Nickname").field(nickname).finish(),
            Self::Message(_) => f.write_str("Message(..)"),
            Self::Nothing => f.write_str("Nothing"),
            Self::TooLong => f.write_str("TooLong"),
            Self::Http => f.write_str("Http"),
        }
    }
}

/// Whether a line is the first of an HTTP request (RFC 9112, section 3).
fn is_http(line: &str) -> bool {
    let words: Vec<_> = line.split(' ').collect();
    matches!(words[..], [method, _, version] if !method.is_empty() && version.starts_with("HTTP/"))
}

/// Bytes of memory that a connection keeps between two messages.
const KEPT: usize = 1024;
