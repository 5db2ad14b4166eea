//! The console protocol: JSON objects one after the other over TCP, with nothing between them. First
//! `{"username":"alice"}`, then `{"message_type":"message"|"command","data":"..."}`; out come
//! `{"message_type":"message"|"system_message","sender":"alice","data":"..."}`. Both directions, so that both ends share
//! them.
//!
//! The clients in the field take whatever one `recv(1024)` gives for one object. So none that goes to them is longer
//! than [`MAX_HEARD`], and a longer text goes out as several; whoever writes leaves time between them.

mod decode;
mod encode;
mod split;

pub use decode::{Heard, Hello, Kind, Said, hear, hello, said};
pub use encode::{Console, encode_hello, encode_said, message, system_message};
pub use split::{Objects, SplitError, first_object};

/// Bytes of one object that a client sends: a constant of the format.
pub const MAX_SAID: usize = 16 * 1024;
/// Bytes of one object that a client hears: what the clients in the field read at once.
pub const MAX_HEARD: usize = 1024;

#[cfg(test)]
mod tests;
