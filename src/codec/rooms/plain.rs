//! What plain sessions hear: `{"from":F,"body":B}`.

use std::fmt::{self, Write};

use bytes::{BufMut, BytesMut};

use super::frame::{self, push_json};
use super::{SYSTEM, closing};
use crate::codec::Encode;
use crate::message::{Closing, Event};

/// Writes plain frames. What needs an id or a position has no form here: a plain
/// client's own echo is its acceptance. That it took a direct message is found out by a ping (RFC 6455, section 5.5.3).
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Encode for Plain {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        match event {
            Event::Message(post) => said(out, &post.record.from, &post.record.body),
            Event::Joined { user, .. } => system(out, format_args!("{user} joined")),
            Event::Left { user, .. } => system(out, format_args!("{user} left")),
            Event::Parted { user } => system(out, format_args!("{user} left")),
            Event::Renamed { old, new, .. } => system(out, format_args!("{old} is now {new}")),
            Event::System(text) | Event::Users { names: text, .. } | Event::Rooms { names: text, .. } => {
                said(out, SYSTEM, text)
            }
            Event::Refused { why, .. } => system(out, format_args!("{why}")),
            Event::Closing(why) => close(out, *why),
            Event::Confirm { seq, .. } => confirm(out, *seq),
            Event::Accepted { .. }
            | Event::Registered { .. }
            | Event::Typing { .. }
            | Event::Receipt { .. }
            | Event::DirectReceipt { .. }
            | Event::Gap { .. }
            | Event::Recovered { .. }
            | Event::History { .. }
            | Event::Found { .. }
            | Event::Sessions(_) => return false,
        }
        true
    }
}

/// Asks by a ping whether a direct message was taken (RFC 6455, section 5.5.3).
pub(in crate::codec) fn confirm(out: &mut BytesMut, seq: u64) {
    frame::ping(out, confirmation(seq).as_bytes());
}

/// Says goodbye.
pub(in crate::codec) fn close(out: &mut BytesMut, why: Closing) {
    let (code, reason) = closing(why);
    frame::close(out, code, reason);
}

/// The payload of the ping behind a direct message, which comes back in the pong.
fn confirmation(seq: u64) -> String {
    format!("{CONFIRM}{seq}")
}

/// The direct message that a pong confirms, if it confirms one.
#[must_use]
pub fn confirmed(pong: &[u8]) -> Option<u64> {
    let seq = std::str::from_utf8(pong).ok()?.strip_prefix(CONFIRM)?.parse().ok()?;
    // Numbers have other spellings, which were never sent.
    (confirmation(seq).as_bytes() == pong).then_some(seq)
}

const CONFIRM: &str = "direct ";

fn said(out: &mut BytesMut, from: &str, body: &str) {
    frame::text(out, |out| {
        out.put_slice(b"{\"from\":");
        push_json(out, from);
        out.put_slice(b",\"body\":");
        push_json(out, body);
        out.put_u8(b'}');
    });
}

fn system(out: &mut BytesMut, text: fmt::Arguments<'_>) {
    let mut body = String::new();
    // A String takes everything.
    let _ = body.write_fmt(text);
    said(out, SYSTEM, &body);
}
