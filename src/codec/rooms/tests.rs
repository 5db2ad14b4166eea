use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::codec::Encode;
use crate::message::{
    Closing, Command, Epoch, Event, MessageId, Position, Post, Record, Refusal, RoomKey, Timestamp, UserId,
};
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

fn plain(event: &Event) -> Value {
    serde_json::from_slice(&written(&Plain, event).unwrap().1).unwrap()
}

fn room() -> RoomName {
    RoomName::global()
}

fn nick(name: &str) -> Nickname {
    Nickname::new(name).unwrap()
}

fn refused(text: &str, mode: Mode) -> String {
    decode(text.as_bytes(), mode, LIMIT).unwrap_err().0.to_string()
}

fn said(from: &str, body: &str, id: Option<&str>) -> Post {
    Post {
        epoch: Epoch::new("e1").unwrap(),
        record: Record {
            room: RoomKey::Room(room()),
            seq: 7,
            prev: 6,
            at: Timestamp::from_millis(1_700_000_000_123),
            user: UserId::from_bytes([0; 16]),
            from: from.into(),
            id: id.map(|id| MessageId::new(id).unwrap()),
            body: body.into(),
        },
    }
}

#[test]
fn every_error_text_of_the_wire_contract_is_met_to_the_letter() {
    let long = json!({ "type": "message", "args": { "from": "a", "body": "x".repeat(LIMIT + 1) } }).to_string();
    for (frame, text) in [
        ("", "error parsing your message"),
        ("hello", "error parsing your message"),
        ("[]", "error parsing your message"),
        ("{}", "error parsing your message"),
        (r#"{"type":1}"#, "error parsing your message"),
        (r#"{"type":"message","args":[]}"#, "error parsing your message"),
        (r#"{"type":"exit","type":"exit"}"#, "error parsing your message"),
        (r#"{"type":"message"}"#, "cannot parse 'body' arg of message command"),
        (r#"{"type":"message","args":null}"#, "cannot parse 'body' arg of message command"),
        (r#"{"type":"message","args":{"from":"a","body":""}}"#, "cannot parse 'body' arg of message command"),
        (r#"{"type":"message","args":{"from":"a","body":7}}"#, "cannot parse 'body' arg of message command"),
        (r#"{"type":"message","args":{"from":"a","body":"\u0007"}}"#, "cannot parse 'body' arg of message command"),
        (&long, "cannot parse 'body' arg of message command"),
        (r#"{"type":"message","args":{"from":7,"body":"x"}}"#, "cannot parse 'from' arg of message command"),
        (r#"{"type":"setnick","args":{}}"#, "cannot parse 'nickname' arg of setnickname command"),
        (r#"{"type":"setnick","args":{"nickname":"1x"}}"#, "'1x' is not a valid nickname"),
        (r#"{"type":"setnick","args":{"nickname":"SYSTEM"}}"#, "nickname SYSTEM already taken"),
        (r#"{"type":"switchroom","args":{"room":[]}}"#, "cannot parse 'room' arg of switchroom command"),
        (r#"{"type":"switchroom","args":{"room":"a b"}}"#, "room a b does not exist"),
        (r#"{"type":"createroom"}"#, "cannot parse 'name' arg of createroom command"),
        (r#"{"type":"createroom","args":{"name":"1bad"}}"#, "'1bad' is not a valid room name"),
        (r#"{"type":"createroom","args":{"name":"a.b"}}"#, "'a.b' is not a valid room name"),
        (r#"{"type":"x"}"#, "unknown command 'x'"),
        (r#"{"type":"enter","args":{"room":"a"}}"#, "unknown command 'enter'"),
        (r#"{"type":"direct","args":{"body":"x"}}"#, "cannot parse 'to' arg of direct command"),
    ] {
        assert_eq!(refused(frame, Mode::Plain), text, "{frame}");
    }
}

#[test]
fn a_message_needs_no_from_and_never_believes_it() {
    for frame in [
        r#"{"type":"message","args":{"body":"hi"}}"#,
        r#"{"type":"message","args":{"from":"mallory","body":"hi"}}"#,
        r#"{"args":{"body":"h\u0001i","from":""},"type":"message","more":[1]}"#,
    ] {
        let command = decode(frame.as_bytes(), Mode::Plain, LIMIT).unwrap();
        assert_eq!(command, Command::Say { room: None, body: "hi".into(), id: None });
    }
}

#[test]
fn rich_messages_name_their_room_and_refusals_their_id() {
    let frame = r#"{"type":"message","args":{"room":"den","body":"hi","id":"7"}}"#;
    let id = Some(MessageId::new("7").unwrap());
    let den = RoomName::new("den").unwrap();
    let command = decode(frame.as_bytes(), Mode::Rich, LIMIT).unwrap();
    assert_eq!(command, Command::Say { room: Some(den), body: "hi".into(), id: id.clone() });
    let frame = r#"{"type":"message","args":{"room":"den","id":"7"}}"#;
    assert_eq!(decode(frame.as_bytes(), Mode::Rich, LIMIT).unwrap_err().1, id);
    assert_eq!(
        refused(r#"{"type":"message","args":{"body":"x"}}"#, Mode::Rich),
        "cannot parse 'room' arg of message command"
    );
    assert_eq!(
        refused(r#"{"type":"message","args":{"room":"a","body":"x","id":""}}"#, Mode::Rich),
        "cannot parse 'id' arg of message command"
    );
}

#[test]
fn plain_sessions_hear_from_and_body() {
    let (alice, bob) = (nick("alice"), nick("bob"));
    for (event, from, body) in [
        (Event::Message(Arc::new(said("alice", "a \"b\"\n\u{2028}</x>", None))), "alice", "a \"b\"\n\u{2028}</x>"),
        (Event::Joined { room: room(), user: alice.clone() }, "system", "alice joined"),
        (Event::Left { room: room(), user: alice.clone() }, "system", "alice left"),
        (Event::Renamed { room: room(), old: alice.clone(), new: bob }, "system", "alice is now bob"),
        (Event::System("a\nb".into()), "system", "a\nb"),
        (Event::Refused { why: Refusal::Unknown("x".into()), id: None }, "system", "unknown command 'x'"),
    ] {
        assert_eq!(plain(&event), json!({ "from": from, "body": body }));
    }
    assert_eq!(written(&Plain, &Event::Typing { room: room(), user: alice }), None);
    let at = Position { epoch: Epoch::new("e").unwrap(), seq: 1 };
    let accepted = Event::Accepted { id: MessageId::new("1").unwrap(), room: RoomKey::Room(room()), at };
    assert_eq!(written(&Plain, &accepted), None);
}

#[test]
fn closes_carry_their_code_in_both_forms() {
    for (why, code) in
        [(Closing::Exit, 1000u16), (Closing::Stopping, 1001), (Closing::TooSlow, 1008), (Closing::TooFast, 1008)]
    {
        for encoder in [&Plain as &dyn Encode, &Rich] {
            let (opcode, payload) = written(encoder, &Event::Closing(why)).unwrap();
            assert_eq!((opcode, &payload[..2]), (8, &code.to_be_bytes()[..]));
        }
    }
}

#[test]
fn what_rich_sessions_hear_reads_back() {
    let (alice, bob) = (nick("alice"), nick("bob"));
    let id = MessageId::new("c-1").unwrap();
    let at = Position { epoch: Epoch::new("e1").unwrap(), seq: 7 };
    let heard = |event: &Event| hear_rich(&written(&Rich, event).unwrap().1).unwrap();
    let post = said("alice", "hi", Some("c-1"));
    assert_eq!(heard(&Event::Message(Arc::new(post.clone()))), Heard::Message(Box::new(post)));
    let direct = Post {
        record: Record { room: RoomKey::Direct(UserId::random()), ..said("a", "b", None).record },
        ..said("a", "b", None)
    };
    assert_eq!(heard(&Event::Message(Arc::new(direct.clone()))), Heard::Message(Box::new(direct)));
    assert_eq!(
        heard(&Event::Accepted { id: id.clone(), room: RoomKey::Room(room()), at: at.clone() }),
        Heard::Accepted { id: id.clone(), room: "global".into(), at }
    );
    let presence = |state: &str, to: Option<&str>| Heard::Presence {
        room: room(),
        user: "alice".into(),
        state: state.into(),
        to: to.map(Into::into),
    };
    assert_eq!(heard(&Event::Joined { room: room(), user: alice.clone() }), presence("joined", None));
    assert_eq!(heard(&Event::Left { room: room(), user: alice.clone() }), presence("left", None));
    let renamed = Event::Renamed { room: room(), old: alice.clone(), new: bob };
    assert_eq!(heard(&renamed), presence("renamed", Some("bob")));
    assert_eq!(
        heard(&Event::Typing { room: room(), user: alice }),
        Heard::Typing { room: room(), user: "alice".into() }
    );
    assert_eq!(heard(&Event::System("x".into())), Heard::System("x".into()));
    assert_eq!(
        heard(&Event::Refused { why: Refusal::Full, id: Some(id.clone()) }),
        Heard::Error { code: "full".into(), body: "the server is full".into(), id: Some(id) }
    );
    assert_eq!(hear_rich(br#"{"type":"later"}"#).unwrap(), Heard::Other("later".into()));
    assert!(hear_rich(br#"{"type":"message"}"#).is_err());
}

fn text() -> impl Strategy<Value = String> {
    "[\\PC\n\t]{1,200}".prop_filter("something must be left", |text| !crate::text::clean(text).is_empty())
}

proptest! {
    #[test]
    fn what_is_said_arrives_as_it_was_said(from in "\\PC{1,20}", body in text()) {
        let event = Event::Message(Arc::new(said(&from, &body, None)));
        let heard = hear_plain(&written(&Plain, &event).unwrap().1).unwrap();
        prop_assert_eq!(heard, HeardPlain { from, body });
    }

    #[test]
    fn commands_read_back_as_they_were_written(
        body in text(), name in "[A-Za-z_][A-Za-z0-9_-]{1,63}", id in "[!-~]{1,64}", which in 0usize..11,
    ) {
        let body: Arc<str> = crate::text::clean(&body).into();
        let id = Some(MessageId::new(&id).unwrap());
        let room = RoomName::new(&name).unwrap();
        prop_assume!(!crate::name::is_reserved(&name));
        let command = match which {
            0 => Command::Say { room: Some(room), body, id },
            1 => Command::Direct { to: name, body, id },
            2 => Command::Enter(room),
            3 => Command::Leave(Some(room)),
            4 => Command::Switch(room),
            5 => Command::Create(room),
            6 => Command::Rename(Nickname::new(&name).unwrap()),
            7 => Command::Typing(room),
            8 => Command::ListUsers(Some(room)),
            9 => Command::ListRooms,
            _ => Command::Exit,
        };
        let written = encode_command(&command);
        prop_assert_eq!(decode(written.as_bytes(), Mode::Rich, LIMIT), Ok(command));
    }

    #[test]
    fn no_frame_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), body in "\\PC{0,80}") {
        for mode in [Mode::Plain, Mode::Rich] {
            let _ = decode(&bytes, mode, LIMIT);
            let _ = decode(body.as_bytes(), mode, LIMIT);
        }
        let _ = (hear_plain(&bytes), hear_rich(&bytes));
    }
}
