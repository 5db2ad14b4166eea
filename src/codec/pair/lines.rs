//! What clients hear once they are paired.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::codec::Encode;
use crate::codec::rooms::{self, frame};
use crate::message::{Delivery, Event, MessageId, Refusal, RoomKey};
use crate::text::one_line;

/// Writes lines: `[alice] hello`, and `[server] ...` for what the server itself has to say. What becomes of a message is
/// told in words. Whether a program took one is found out by a ping, as in rooms.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl Encode for Lines {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        match event {
            Event::Message(post) => line(out, &shown(&post.record.from), &post.record.body),
            Event::Left { user, .. } | Event::Parted { user } => {
                server(out, format_args!("User {} left", shown(user.as_str())))
            }
            Event::Accepted { room: RoomKey::Room(room), .. } => {
                server(out, format_args!("Message sent to room {room}"));
            }
            Event::DirectReceipt { to, state, reason, .. } => match (state, reason) {
                // It was told that it did not come.
                (Delivery::Delivered, Some(_)) => return false,
                (Delivery::Delivered, None) => server(out, format_args!("Message delivered to user {}", shown(to))),
                (Delivery::Sent | Delivery::Unconfirmed, None) => {
                    server(out, format_args!("Message sent to user {}", shown(to)));
                }
                (_, reason) => {
                    let reason = reason.unwrap_or("failed");
                    server(out, format_args!("Message not delivered to user {}: {reason}", shown(to)));
                }
            },
            Event::Refused { why, id } => refused(out, why, id.as_ref()),
            Event::System(text) | Event::Users { names: text, .. } | Event::Rooms { names: text, .. } => {
                server(out, format_args!("{text}"))
            }
            Event::Closing(why) => rooms::close(out, *why),
            Event::Confirm { seq, .. } => rooms::confirm(out, *seq),
            Event::Accepted { .. }
            | Event::Joined { .. }
            | Event::Registered { .. }
            | Event::Renamed { .. }
            | Event::Typing { .. }
            | Event::Receipt { .. }
            | Event::Gap { .. }
            | Event::Recovered { .. }
            | Event::History { .. }
            | Event::Found { .. }
            | Event::Sessions(_) => return false,
        }
        true
    }
}

/// Who says what the server itself says.
pub(super) const SERVER: &str = "server";

fn refused(out: &mut BytesMut, why: &Refusal, id: Option<&MessageId>) {
    let reason: Cow<'_, str> = match why {
        Refusal::NoUser(_) => "gone".into(),
        // Nothing else has arguments here.
        Refusal::Argument { .. } => "the text is too long".into(),
        why => why.to_string().into(),
    };
    let whom = id.map(|id| id.as_str().split_once(' ').map(|(_, whom)| whom));
    match whom {
        Some(Some(whom)) => server(out, format_args!("Message not delivered to {}: {reason}", shown(whom))),
        Some(None) => server(out, format_args!("Message not delivered: {reason}")),
        None => server(out, format_args!("{reason}")),
    }
}

fn server(out: &mut BytesMut, text: fmt::Arguments<'_>) {
    line(out, SERVER, &text.to_string());
}

/// One frame, whatever the text holds.
fn line(out: &mut BytesMut, from: &str, text: &str) {
    frame::text(out, |out| {
        out.put_u8(b'[');
        out.put_slice(from.as_bytes());
        out.put_slice(b"] ");
        out.put_slice(one_line(text).as_bytes());
    });
}

/// A name as it stands in a line. Some wires take brackets in names, which here would end the name amid itself, so they
/// are shown as their wide forms.
fn shown(name: &str) -> Cow<'_, str> {
    let name = one_line(name);
    if name.contains(['[', ']']) { name.replace('[', "\u{ff3b}").replace(']', "\u{ff3d}").into() } else { name }
}
