//! What rich sessions hear: objects with a `type`.

use bytes::{BufMut, BytesMut};
use serde_json::{Value, json};

use super::closing;
use super::frame::{self, push_json};
use crate::codec::Encode;
use crate::message::{Delivery, Epoch, Event, Post, Record, RoomKey, SignIn};

/// Writes rich frames. A field that has nothing to say is left out.
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
            Event::Receipt { id, room, seq, sent, delivered, members } => json!({
                "type": "receipt", "id": id.as_str(), "room": room, "seq": seq,
                "sent": sent, "delivered": delivered, "members": members,
            }),
            // It stays sent.
            Event::DirectReceipt { state: Delivery::Sent, reason: Some(_), .. } => return false,
            Event::DirectReceipt { id, to, state, reason } => {
                let mut receipt = json!({ "type": "receipt", "id": id.as_str(), "to": &**to, "state": word(*state) });
                if let Some(reason) = reason.filter(|_| *state != Delivery::Delivered) {
                    receipt["reason"] = (*reason).into();
                }
                receipt
            }
            // A rich client says `received` by itself, has the presence of rooms, and pairs with nobody.
            Event::Confirm { .. } | Event::Registered { .. } | Event::Parted { .. } => return false,
            Event::Gap { room, from, to } => json!({ "type": "gap", "room": room.to_string(), "from": from, "to": to }),
            Event::Recovered { room, epoch, from, to, recovered } => json!({
                "type": "recovered", "room": room.to_string(), "epoch": epoch.as_str(),
                "from": from, "to": to, "recovered": recovered,
            }),
            Event::History { room, epoch, count, more } => json!({
                "type": "history", "room": room.to_string(), "epoch": epoch.as_str(), "count": count, "more": more,
            }),
            Event::Found { room, text, epoch, records, before } => {
                found(out, room, text, epoch, records, *before);
                return true;
            }
            Event::Sessions(sessions) => json!({
                "type": "sessions", "sessions": sessions.iter().map(sign_in).collect::<Vec<_>>(),
            }),
            Event::Users { room, names } => {
                json!({ "type": "system", "body": &**names, "list": "users", "room": room.as_str() })
            }
            Event::Rooms { names, sessions } => {
                json!({ "type": "system", "body": &**names, "list": "rooms", "sessions": &**sessions })
            }
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
    frame::text(out, |out| object(out, &post.epoch, &post.record));
}

fn object(out: &mut BytesMut, epoch: &Epoch, record: &Record) {
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
}

fn found(out: &mut BytesMut, room: &RoomKey, text: &str, epoch: &Epoch, records: &[Record], before: Option<u64>) {
    frame::text(out, |out| {
        out.put_slice(b"{\"type\":\"found\",\"room\":");
        push_json(out, &room.to_string());
        out.put_slice(b",\"text\":");
        push_json(out, text);
        if let Some(before) = before {
            out.put_slice(format!(",\"before\":{before}").as_bytes());
        }
        out.put_slice(b",\"messages\":[");
        for (at, record) in records.iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            object(out, epoch, record);
        }
        out.put_slice(b"]}");
    });
}

fn sign_in(session: &SignIn) -> Value {
    let mut value = json!({
        "session": &*session.id, "issued": session.issued.as_millis(), "connections": session.connections,
        "current": session.current,
    });
    if let Some(ends) = session.ends {
        value["ends"] = ends.as_millis().into();
    }
    value
}

fn word(state: Delivery) -> &'static str {
    match state {
        Delivery::Sent => "sent",
        Delivery::Delivered => "delivered",
        Delivery::Unconfirmed => "unconfirmed",
        Delivery::Failed => "failed",
    }
}
