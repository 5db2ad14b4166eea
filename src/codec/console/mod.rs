//! The console protocol: JSON objects one after the other over TCP, with nothing between them. First
//! `{"username":"alice"}`, then `{"message_type":"message"|"command","data":"..."}`; out come
//! `{"message_type":"message"|"system_message","sender":"alice","data":"..."}`. Both directions, so that both ends share
//! them.
//!
//! The clients in the field take whatever one `recv(1024)` gives for one object, and so do their servers. So none that
//! goes to them is longer than [`MAX_HEARD`], or [`MAX_SENT`], and a longer text goes out as several; whoever writes
//! leaves [`PACE`] between them.

mod decode;
mod encode;
mod split;

use std::time::Duration;

pub use decode::{Heard, Hello, Kind, Said, hear, hello, said};
pub use encode::{Console, encode_hello, encode_message, encode_said, message, system_message};
pub use split::{Objects, SplitError, first_object};

/// Bytes of one object of a client's that a server of ours takes: a constant of the format.
pub const MAX_SAID: usize = 16 * 1024;
/// Bytes of one object that a client sends: what the servers in the field read at once.
pub const MAX_SENT: usize = 1024;
/// Bytes of one object that a client hears: what the clients in the field read at once.
pub const MAX_HEARD: usize = 1024;
/// The time from one object to the next: the programs in the field look five times a second.
pub const PACE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
