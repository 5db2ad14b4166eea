//! Minechat: lines of text over TCP. On one port the server says what is said in a room, on the other whoever speaks there
//! types: a hash or a nickname first, then messages, each ended by an empty line. Both directions, so that both ends
//! share them.

mod dialog;
mod hear;
mod lines;
mod names;
mod say;

pub use dialog::{Dialog, Typed};
pub use hear::{Answer, HeardLine, hear_answer, hear_line, typed_line, typed_message};
pub use lines::{LineTooLong, Lines};
pub use names::{clean_nickname, nicknames};
pub use say::{Listen, Write, account, not_sent};

/// What the write port says first. The percent signs are part of it.
pub const HELLO: &str = "Hello %username%! Enter your personal hash or leave it empty to create new account.\n";
/// What it says to a hash that nobody has, before [`NICKNAME`].
pub const UNKNOWN: &str = "null\n";
/// What it says to whoever is to choose a nickname.
pub const NICKNAME: &str = "Enter preferred nickname below:\n";
/// What it says to whoever is signed in, behind [`account`].
pub const WELCOME: &str = "Welcome to chat! Post your message below. End it with an empty line.\n";
/// What it says to each message, and to a lone empty line.
pub const SENT: &str = "Message send. Write more, end message with an empty line.\n";
/// What the listen port may say when nobody says anything.
pub const HEARTBEAT: &str = "Server: # ping\n";
/// Bytes of a line before its line feed. One that is longer closes the connection.
pub const MAX_LINE: usize = 64 * 1024;

/// Who says on this wire what the server itself says. The nickname is reserved.
pub const SERVER: &str = "Server";
/// What it says of a new account, before the nickname.
const JOINED: &str = "# к чату присоединился ";
/// How the answer to a message begins that nobody heard, before the reason; and how it ends.
const NOT_SENT: &str = "Message not send: ";
const MORE: &str = ". Write more, end message with an empty line.";

#[cfg(test)]
mod tests;
