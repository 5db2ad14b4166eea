//! What goes out: objects that the clients in the field can take.

use bytes::{BufMut, BytesMut};
use serde_json::json;

use super::decode::Said;
use super::{Kind, MAX_HEARD, MAX_SENT};
use crate::codec::Encode;
use crate::codec::rooms::SYSTEM;
use crate::codec::rooms::frame::push_json;
use crate::message::Event;
use crate::text::one_line;

/// Writes what console clients hear: objects of at most [`MAX_HEARD`] bytes, several for one event whose text is long.
/// What the hub itself says comes from `system`. Comings, new names and receipts have no form here.
#[derive(Clone, Copy, Debug)]
pub struct Console;

impl Encode for Console {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        match event {
            Event::Message(post) => message(out, &post.record.from, &post.record.body),
            Event::Left { user, .. } => system_message(out, user.as_str(), &format!("Client '{user}' left the chat")),
            Event::System(text) | Event::Users { names: text, .. } | Event::Rooms { names: text, .. } => {
                system_message(out, SYSTEM, text)
            }
            Event::Refused { why, .. } => system_message(out, SYSTEM, &why.to_string()),
            _ => return false,
        }
        true
    }
}

/// Appends what somebody said, in as many objects as it takes. Each line break becomes a space.
pub fn message(out: &mut BytesMut, sender: &str, text: &str) {
    write(out, Kind::Message, sender, text);
}

/// Appends what the server says, likewise.
pub fn system_message(out: &mut BytesMut, sender: &str, text: &str) {
    write(out, Kind::System, sender, text);
}

/// Writes the first object of a connection.
#[must_use]
pub fn encode_hello(name: &str, secret: Option<&str>) -> String {
    match secret {
        Some(secret) => json!({ "username": name, "secret": secret }).to_string(),
        None => json!({ "username": name }).to_string(),
    }
}

/// Writes what a client says to the room, in as many objects of at most [`MAX_SENT`] bytes as it takes: cut between
/// characters, each line break a space.
#[must_use]
pub fn encode_message(text: &str) -> Vec<String> {
    let text = one_line(text);
    let room = MAX_SENT.saturating_sub(encode_said(&Said::Message("".into())).len());
    let (mut objects, mut rest) = (Vec::new(), &*text);
    loop {
        let (piece, behind) = rest.split_at(fitting(rest, room));
        objects.push(encode_said(&Said::Message(piece.into())));
        rest = behind;
        if rest.is_empty() {
            return objects;
        }
    }
}

/// Writes any other object of a client's, however long.
#[must_use]
pub fn encode_said(said: &Said) -> String {
    let (kind, data) = match said {
        Said::Message(text) => (MESSAGE, &**text),
        Said::Command(typed) => ("command", typed.as_str()),
    };
    json!({ "message_type": kind, "data": data }).to_string()
}

fn write(out: &mut BytesMut, kind: Kind, sender: &str, text: &str) {
    let text = one_line(text);
    let mut head = BytesMut::new();
    head.put_slice(b"{\"message_type\":\"");
    head.put_slice(if kind == Kind::Message { MESSAGE } else { SYSTEM_MESSAGE }.as_bytes());
    head.put_slice(b"\",\"sender\":");
    push_json(&mut head, sender);
    head.put_slice(b",\"data\":\"");
    let room = MAX_HEARD.saturating_sub(head.len() + TAIL.len());
    let mut rest = &*text;
    loop {
        let (piece, behind) = rest.split_at(fitting(rest, room));
        out.put_slice(&head);
        // Without the quotes, which head and tail have.
        let start = out.len();
        push_json(out, piece);
        out.copy_within(start + 1.., start);
        out.truncate(out.len() - 2);
        out.put_slice(TAIL);
        rest = behind;
        if rest.is_empty() {
            return;
        }
    }
}

/// Bytes of a text that fit into so many bytes of JSON: whole characters, and at least one, so that it comes to an end.
fn fitting(text: &str, room: usize) -> usize {
    let mut written = 0;
    for (at, c) in text.char_indices() {
        written += match c {
            '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
            '\0'..' ' => 6,
            c => c.len_utf8(),
        };
        if written > room && at > 0 {
            return at;
        }
    }
    text.len()
}

const MESSAGE: &str = "message";
const SYSTEM_MESSAGE: &str = "system_message";
const TAIL: &[u8] = b"\"}";
