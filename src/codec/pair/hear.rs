//! What a client hears, read back.

use super::lines::SERVER;

/// One frame that a client hears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard<'a> {
    /// The nickname or the recipient was taken.
    Yes,
    /// It was not: say another.
    No,
    /// The server says something.
    Server(&'a str),
    /// Somebody says something.
    Said {
        /// Who.
        from: &'a str,
        /// What.
        text: &'a str,
    },
}

/// Reads one text frame of a server; `None` for what none sends.
#[must_use]
pub fn hear(frame: &str) -> Option<Heard<'_>> {
    match frame {
        "1" => return Some(Heard::Yes),
        "0" => return Some(Heard::No),
        _ => {}
    }
    let (from, text) = frame.strip_prefix('[')?.split_once("] ")?;
    Some(if from == SERVER { Heard::Server(text) } else { Heard::Said { from, text } })
}
