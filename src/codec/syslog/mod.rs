//! What was said as syslog records: RFC 5424, and the older form that RFC 3164 describes. Written here and read by
//! others, so there is one direction only.
//!
//! ```
//! use talk::codec::syslog::{Format, Framing, Records, Said};
//! use talk::message::Timestamp;
//!
//! let records = Records::new(Format::Rfc5424, Some("chat.example"), Some(4711));
//! let said = Said { at: Timestamp::from_millis(1_795_249_200_123), ahead: 0, from: "bob", body: "hi", direct: false };
//! let mut out = Vec::new();
//! records.write(&said, Framing::Bare, &mut out);
//! assert_eq!(out, b"<14>1 2026-11-21T08:20:00.123Z chat.example talk 4711 room - [bob] hi");
//! ```

mod stamp;

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use thiserror::Error;

use crate::limits::Limits;
use crate::message::Timestamp;
use crate::text::SafeText;

/// Writes records in the name of one process on one machine: facility user, severity info.
///
/// A record never holds a line break or another control character, and never more bytes than it may.
#[derive(Clone, Debug)]
pub struct Records {
    format: Format,
    /// With the space behind it; nothing where records carry no host.
    host: String,
    process: Option<u32>,
    most: usize,
}

/// The form of a record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Format {
    /// RFC 5424: the time in UTC with its date and fraction, and whether it was said in a room or to somebody alone.
    #[default]
    Rfc5424,
    /// RFC 3164, the form of old: local time without year and fraction, at most 1,024 bytes.
    Rfc3164,
}

/// The text names no form of record.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
#[error("rfc5424 or rfc3164 is wanted")]
pub struct FormatError;

/// How records are told apart on their way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// Not at all: each is a datagram (RFC 5426).
    Bare,
    /// By their length, in front (RFC 6587, section 3.4.1; RFC 5425).
    Counted,
    /// By a line feed behind each (RFC 6587, section 3.4.2).
    Lines,
}

/// One thing that was said.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// When.
    pub at: Timestamp,
    /// What local time was ahead of UTC then, in seconds; only RFC 3164 writes local time.
    pub ahead: i32,
    /// By whom.
    pub from: &'a str,
    /// What.
    pub body: &'a str,
    /// Whether it was said to somebody alone.
    pub direct: bool,
}

impl Records {
    /// As the process of that number on that host, with [`Limits::syslog_record`] as by default. What of a host's name does not fit is left away, down to `-`, which
    /// says that nobody knows.
    #[must_use]
    pub fn new(format: Format, host: Option<&str>, process: Option<u32>) -> Self {
        let host = host.unwrap_or_default();
        let host = match format {
            Format::Rfc5424 => host,
            // Without the domain, unless it is an address.
            Format::Rfc3164 if host.parse::<std::net::IpAddr>().is_ok() => host,
            Format::Rfc3164 => host.split('.').next().unwrap_or_default(),
        };
        let host: String = host.chars().filter(char::is_ascii_graphic).take(MOST_HOST).collect();
        let host = format!("{} ", if host.is_empty() { NIL } else { &host });
        Self { format, host, process, most: 0 }.at_most(Limits::default().syslog_record)
    }

    /// Records of at most that many bytes, framing not included: at least 480, and 1,024 at most for RFC 3164. What a
    /// text has beyond that is cut, at a character, and `...` stands there.
    #[must_use]
    pub fn at_most(mut self, bytes: usize) -> Self {
        let most = match self.format {
            Format::Rfc5424 => usize::MAX,
            Format::Rfc3164 => MOST_3164,
        };
        self.most = bytes.clamp(LEAST, most);
        self
    }

    /// As a machine's own syslog socket wants them: RFC 3164 has no host there. RFC 5424 has one everywhere.
    #[must_use]
    pub fn local(mut self) -> Self {
        if self.format == Format::Rfc3164 {
            self.host.clear();
        }
        self
    }

    /// The form of the records.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Appends one record; tells whether it is whole, and not cut.
    pub fn write(&self, said: &Said<'_>, framing: Framing, out: &mut Vec<u8>) -> bool {
        let mut record = Vec::with_capacity(HEADER + said.from.len() + said.body.len());
        self.head(said, &mut record);
        // A name that ends its own bracket could put words into another's mouth.
        let from = SafeText(said.from).to_string().replace(']', "\u{fffd}");
        let mut text = format!("[{from}] {}", SafeText(said.body));
        // What is not ASCII is marked as UTF-8 (RFC 5424, section 6.4).
        let mark = if self.format == Format::Rfc5424 && !text.is_ascii() { BOM } else { "" };
        let room = self.most.saturating_sub(record.len() + mark.len());
        let whole = text.len() <= room;
        if !whole {
            let mut end = room.saturating_sub(CUT.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(CUT);
        }
        record.extend_from_slice(mark.as_bytes());
        record.extend_from_slice(text.as_bytes());
        match framing {
            Framing::Bare => out.append(&mut record),
            Framing::Counted => {
                // Writing to memory does not fail, here and below.
                let _ = write!(out, "{} ", record.len());
                out.append(&mut record);
            }
            Framing::Lines => {
                out.append(&mut record);
                out.push(b'\n');
            }
        }
        whole
    }

    /// What stands before the text.
    fn head(&self, said: &Said<'_>, out: &mut Vec<u8>) {
        let host = &self.host;
        let _ = match self.format {
            Format::Rfc5424 => {
                let stamp = stamp::rfc3339(said.at);
                let kind = if said.direct { "direct" } else { "room" };
                match self.process {
                    Some(process) => write!(out, "<{PRIORITY}>1 {stamp} {host}{APP} {process} {kind} {NIL} "),
                    None => write!(out, "<{PRIORITY}>1 {stamp} {host}{APP} {NIL} {kind} {NIL} "),
                }
            }
            Format::Rfc3164 => {
                let ahead = i64::from(said.ahead) * 1000;
                let stamp = stamp::rfc3164(Timestamp::from_millis(said.at.as_millis().saturating_add_signed(ahead)));
                match self.process {
                    Some(process) => write!(out, "<{PRIORITY}>{stamp} {host}{APP}[{process}]: "),
                    None => write!(out, "<{PRIORITY}>{stamp} {host}{APP}: "),
                }
            }
        };
    }
}

impl Format {
    const ALL: [Self; 2] = [Self::Rfc5424, Self::Rfc3164];

    /// Its name, which [`Format::from_str`] takes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rfc5424 => "rfc5424",
            Self::Rfc3164 => "rfc3164",
        }
    }
}

impl FromStr for Format {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(FormatError)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Bytes that every receiver takes (RFC 5424, section 6.1), and so the least that a record may be bound to.
pub const LEAST: usize = 480;
/// Bytes that most receivers of datagrams take (RFC 5426, section 3.2).
pub const MOST_DATAGRAM: usize = 2048;
/// Bytes of a record of RFC 3164 (section 4.1).
const MOST_3164: usize = 1024;
/// Characters of a host (RFC 5424, section 6).
const MOST_HOST: usize = 255;
/// Facility user (1), severity info (6).
const PRIORITY: u8 = 8 + 6;
/// Of letters alone: RFC 3164 ends its tag before anything else.
const APP: &str = "talk";
/// What says that a field has no value.
const NIL: &str = "-";
const BOM: &str = "\u{feff}";
const CUT: &str = "...";
/// Bytes of a head, about.
const HEADER: usize = 96;

#[cfg(test)]
mod tests;
