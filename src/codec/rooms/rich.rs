//! What rich sessions hear: objects with a `type`.

use bytes::{BufMut, BytesMut};
use serde_json::json;

use super::closing;
use super::frame::{self, push_json};
use crate::codec::Encode;
use crate::message::{Event, Post};

/// Writes rich frames.
#[derive(Clone, Copy, Debug)]
pub struct Rich;

impl Encode for Rich {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        let value = match event {
            Event::Message(post) => {
                message(out, post);
                return true;
            }
            Event::Closing(why) => {
                let (code, reason) = closing(*why);
                frame::close(out, code, reason);
                return true;
            }
            Event::Accepted { id, room, at } => json!({
                "type": "accepted", "id": id.as_str(), "room": room.to_string(), "epoch": at.epoch.as_str(), "seq": at.seq,
            }),
            Event::Joined { room, user } => json!({
                "type": "presence", "room": room, "user": user.as_str(), "state": "joined",
            }),
            Event::Left { room, user } => json!({
                "type": "presence", "room": room, "user": user.as_str(), "state": "left",
            }),
            Event::Renamed { room, old, new } => json!({
                "type": "presence", "room": room, "user": old.as_str(), "state": "renamed", "to": new.as_str(),
            }),
            Event::Typing { room, user } => json!({ "type": "typing", "room": room, "user": user.as_str() }),
            Event::System(text) => json!({ "type": "system", "body": &**text }),
            Event::Refused { why, id } => {
                let mut error = json!({ "type": "error", "code": why.code(), "body": why.to_string() });
                if let Some(id) = id {
                    error["id"] = id.as_str().into();
                }
                error
            }
        };
        frame::text(out, |out| out.put_slice(value.to_string().as_bytes()));
        true
    }
}

fn message(out: &mut BytesMut, post: &Post) {
    let Post { epoch, record } = post;
    frame::text(out, |out| {
        out.put_slice(b"{\"type\":\"message\",\"room\":");
        push_json(out, &record.room.to_string());
        out.put_slice(b",\"epoch\":");
        push_json(out, epoch.as_str());
        let numbers = format!(",\"seq\":{},\"prev\":{},\"ts\":{}", record.seq, record.prev, record.at.as_millis());
        out.put_slice(numbers.as_bytes());
        if let Some(id) = &record.id {
            out.put_slice(b",\"id\":");
            push_json(out, id.as_str());
        }
        out.put_slice(b",\"from\":");
        push_json(out, &record.from);
        out.put_slice(b",\"body\":");
        push_json(out, &record.body);
        out.put_u8(b'}');
    });
}
