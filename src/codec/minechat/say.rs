//! What the server says on both ports.

use bytes::{BufMut, BytesMut};

use super::{JOINED, MORE, NOT_SENT, SENT, SERVER};
use crate::codec::Encode;
use crate::message::{Event, RoomKey};
use crate::text::one_line;

/// Writes what the listen port says: a line for each message of the room, and for each new account.
#[derive(Clone, Copy, Debug)]
pub struct Listen;

impl Encode for Listen {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        match event {
            Event::Message(post) if matches!(post.record.room, RoomKey::Room(_)) => {
                line(out, &[&post.record.from, ": ", &one_line(&post.record.body)]);
            }
            Event::Registered { user, .. } => line(out, &[SERVER, ": ", JOINED, user.as_str()]),
            _ => return false,
        }
        true
    }
}

/// Writes what the write port says of messages. Nothing else is heard there.
#[derive(Clone, Copy, Debug)]
pub struct Write;

impl Encode for Write {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        match event {
            Event::Accepted { .. } => out.put_slice(SENT.as_bytes()),
            Event::Refused { why, .. } => out.put_slice(not_sent(&why.to_string()).as_bytes()),
            _ => return false,
        }
        true
    }
}

/// The line by which the write port tells whose account it is. Clients store it: it ends with the account's secret.
#[must_use]
pub fn account(nickname: &str, hash: &str) -> String {
    // Read by JSON parsers and by eyes, which like no escapes: only what JSON wants escaped is.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!("{{\"nickname\": {}, \"account_hash\": {}}}\n", quoted(nickname), quoted(hash))
}

/// What the write port says to a message that nobody heard.
#[must_use]
pub fn not_sent(why: &str) -> String {
    format!("{NOT_SENT}{}{MORE}\n", one_line(why))
}

fn line(out: &mut BytesMut, parts: &[&str]) {
    parts.iter().for_each(|part| out.put_slice(part.as_bytes()));
    out.put_u8(b'\n');
}
