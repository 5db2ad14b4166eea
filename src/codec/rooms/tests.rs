mod commands;
mod events;
mod roundtrips;

use bytes::BytesMut;

use super::*;
use crate::codec::Encode;
use crate::message::{Command, Epoch, Event, MessageId, Post, Record, RoomKey, Timestamp, UserId};
use crate::name::{Nickname, RoomName};

const LIMIT: usize = 16 * 1024;

/// The one frame that an encoder wrote: its opcode and payload.
fn written(encoder: &dyn Encode, event: &Event) -> Option<(u8, Vec<u8>)> {
    let mut out = BytesMut::new();
    if !encoder.encode(event, &mut out) {
        assert!(out.is_empty());
        return None;
    }
    let (header, length) = match out[1] {
        126 => (4, usize::from(u16::from_be_bytes([out[2], out[3]]))),
        127 => (10, u64::from_be_bytes(out[2..10].try_into().unwrap()) as usize),
        short => (2, usize::from(short)),
    };
    assert_eq!(out.len(), header + length, "one whole frame");
    assert_eq!(out[0] & 0xf0, 0x80, "final, no reserved bits");
    Some((out[0] & 0xf, out[header..].to_vec()))
}

/// The text of the one text frame that an encoder wrote.
fn line(encoder: &dyn Encode, event: &Event) -> Option<String> {
    let (opcode, payload) = written(encoder, event)?;
    assert_eq!(opcode, 1, "a text frame");
    Some(String::from_utf8(payload).unwrap())
}

fn command(text: &str, mode: Mode) -> Command {
    decode(text.as_bytes(), mode, LIMIT).unwrap_or_else(|(why, _)| panic!("{text}: {why}"))
}

fn refused(text: &str, mode: Mode) -> String {
    decode(text.as_bytes(), mode, LIMIT).expect_err(text).0.to_string()
}

fn den() -> RoomName {
    RoomName::new("den").unwrap()
}

/// The user whose id is `abab...`, and their direct messages.
fn user() -> UserId {
    UserId::from_bytes([0xab; 16])
}

fn own() -> RoomKey {
    RoomKey::Direct(user())
}

fn nick(name: &str) -> Nickname {
    Nickname::new(name).unwrap()
}

fn id(id: &str) -> MessageId {
    MessageId::new(id).unwrap()
}

fn epoch() -> Epoch {
    Epoch::new("e1").unwrap()
}

/// A message as the wire carries it: without the sender's id.
fn said(room: RoomKey, from: &str, body: &str, id: Option<MessageId>) -> Post {
    let record = Record {
        room,
        seq: 7,
        prev: 6,
        at: Timestamp::from_millis(1_700_000_000_123),
        user: UserId::from_bytes([0; 16]),
        from: from.into(),
        id,
        body: body.into(),
    };
    Post { epoch: epoch(), record }
}
