use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::message::{Closing, Delivery, Position, Refusal, SignIn};

/// Every kind of event but a close, with the texts that it is in rich and in plain mode.
fn every_event() -> Vec<(Event, Option<String>, Option<String>)> {
    let room = || RoomKey::Room(den());
    let at = Position { epoch: epoch(), seq: 7 };
    let post = said(room(), "alice", "a \"b\"\n\u{2028}</x>", Some(id("c-1")));
    let direct = said(own(), "al", "hi", None);
    let receipt = |state, reason| Event::DirectReceipt { id: id("c-1"), to: "bob".into(), state, reason };
    let recovered = |room, recovered| Event::Recovered { room, epoch: epoch(), from: 3, to: 9, recovered };
    let found = |records: Vec<Record>, before| Event::Found {
        room: room(),
        text: "a \"b".into(),
        epoch: epoch(),
        records: records.into(),
        before,
    };
    let refused = |why, id| Event::Refused { why, id };
    let sign_in = |id: &str, ends: Option<u64>| SignIn {
        id: id.into(),
        issued: Timestamp::from_millis(5),
        connections: u32::from(ends.is_none()),
        ends: ends.map(Timestamp::from_millis),
        current: ends.is_none(),
    };
    let message = concat!(
        r#"{"type":"message","room":"den","epoch":"e1","seq":7,"prev":6,"ts":1700000000123,"id":"c-1","#,
        r#""from":"alice","body":"a \"b\"\n"#,
        "\u{2028}",
        r#"</x>"}"#
    );
    let bare = concat!(
        r#"{"type":"message","room":"@abababababababababababababababab","epoch":"e1","seq":7,"prev":6,"#,
        r#""ts":1700000000123,"from":"al","body":"hi"}"#
    );
    [
        (
            Event::Message(Arc::new(post.clone())),
            message,
            "{\"from\":\"alice\",\"body\":\"a \\\"b\\\"\\n\u{2028}</x>\"}",
        ),
        (Event::Message(Arc::new(direct)), bare, r#"{"from":"al","body":"hi"}"#),
        (
            Event::Accepted { id: id("c-1"), room: room(), at: at.clone() },
            r#"{"type":"accepted","id":"c-1","room":"den","epoch":"e1","seq":7}"#,
            "",
        ),
        (
            Event::Accepted { id: id("\"\\"), room: own(), at },
            r#"{"type":"accepted","id":"\"\\","room":"@abababababababababababababababab","epoch":"e1","seq":7}"#,
            "",
        ),
        (
            Event::Joined { room: den(), user: nick("alice") },
            r#"{"type":"presence","room":"den","user":"alice","state":"joined"}"#,
            r#"{"from":"system","body":"alice joined"}"#,
        ),
        (
            Event::Left { room: den(), user: nick("alice") },
            r#"{"type":"presence","room":"den","user":"alice","state":"left"}"#,
            r#"{"from":"system","body":"alice left"}"#,
        ),
        (
            Event::Renamed { room: den(), old: nick("alice"), new: nick("b\"o") },
            r#"{"type":"presence","room":"den","user":"alice","state":"renamed","to":"b\"o"}"#,
            r#"{"from":"system","body":"alice is now b\"o"}"#,
        ),
        (Event::Typing { room: den(), user: nick("alice") }, r#"{"type":"typing","room":"den","user":"alice"}"#, ""),
        (
            Event::Receipt { id: id("c-1"), room: den(), seq: 7, sent: 3, delivered: 2, members: 4 },
            r#"{"type":"receipt","id":"c-1","room":"den","seq":7,"sent":3,"delivered":2,"members":4}"#,
            "",
        ),
        (receipt(Delivery::Sent, None), r#"{"type":"receipt","id":"c-1","to":"bob","state":"sent"}"#, ""),
        (receipt(Delivery::Delivered, None), r#"{"type":"receipt","id":"c-1","to":"bob","state":"delivered"}"#, ""),
        (receipt(Delivery::Unconfirmed, None), r#"{"type":"receipt","id":"c-1","to":"bob","state":"unconfirmed"}"#, ""),
        (
            receipt(Delivery::Failed, Some("no_direct")),
            r#"{"type":"receipt","id":"c-1","to":"bob","state":"failed","reason":"no_direct"}"#,
            "",
        ),
        (Event::Gap { room: room(), from: 3, to: 9 }, r#"{"type":"gap","room":"den","from":3,"to":9}"#, ""),
        (
            recovered(room(), true),
            r#"{"type":"recovered","room":"den","epoch":"e1","from":3,"to":9,"recovered":true}"#,
            "",
        ),
        (
            recovered(own(), false),
            concat!(
                r#"{"type":"recovered","room":"@abababababababababababababababab","epoch":"e1","#,
                r#""from":3,"to":9,"recovered":false}"#
            ),
            "",
        ),
        (
            Event::History { room: RoomKey::Room(den()), epoch: epoch(), count: 2, more: true },
            r#"{"type":"history","room":"den","epoch":"e1","count":2,"more":true}"#,
            "",
        ),
        (found(vec![], None), r#"{"type":"found","room":"den","text":"a \"b","messages":[]}"#, ""),
        (
            found(vec![post.record.clone(), post.record], Some(7)),
            &format!(r#"{{"type":"found","room":"den","text":"a \"b","before":7,"messages":[{message},{message}]}}"#),
            "",
        ),
        (Event::Sessions(Arc::new([])), r#"{"type":"sessions","sessions":[]}"#, ""),
        (
            Event::Sessions(Arc::new([sign_in("s-1", None), sign_in("s-2", Some(9))])),
            concat!(
                r#"{"type":"sessions","sessions":["#,
                r#"{"session":"s-1","issued":5,"connections":1,"current":true},"#,
                r#"{"session":"s-2","issued":5,"connections":0,"current":false,"ends":9}]}"#
            ),
            "",
        ),
        (
            Event::System("a\n\"b\"".into()),
            r#"{"type":"system","body":"a\n\"b\""}"#,
            r#"{"from":"system","body":"a\n\"b\""}"#,
        ),
        (
            refused(Refusal::Unknown("\"\u{1b}".into()), None),
            r#"{"type":"error","code":"unknown_command","body":"unknown command '\"\u001b'"}"#,
            r#"{"from":"system","body":"unknown command '\"\u001b'"}"#,
        ),
        (
            refused(Refusal::Muted("den".into()), Some(id("c-1"))),
            r#"{"type":"error","code":"muted","body":"you are muted in room den","id":"c-1"}"#,
            r#"{"from":"system","body":"you are muted in room den"}"#,
        ),
    ]
    .map(|(event, rich, plain)| {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (event, text(rich), text(plain))
    })
    .into()
}

#[test]
fn every_event_has_its_bytes_in_each_mode_or_no_form_there() {
    for (event, rich, plain) in every_event() {
        assert_eq!(line(&Rich, &event), rich);
        assert_eq!(line(&Plain, &event), plain);
    }
}

#[test]
fn a_direct_message_is_confirmed_by_a_ping_in_plain_mode_alone() {
    for seq in [0, 7, u64::MAX] {
        let confirm = Event::Confirm { room: own(), seq };
        let (opcode, payload) = written(&Plain, &confirm).unwrap();
        assert_eq!((opcode, payload.as_slice()), (9, format!("direct {seq}").as_bytes()));
        assert_eq!(confirmed(&payload), Some(seq));
        assert_eq!(written(&Rich, &confirm), None);
    }
}

#[test]
fn a_pong_that_was_not_asked_for_confirms_nothing() {
    let long = [b"direct ".as_slice(), &[b'1'; 118]].concat();
    for pong in [
        "",
        "direct",
        "direct ",
        "direct  7",
        "direct 7 ",
        "direct +7",
        "direct -7",
        "direct 07",
        "direct 7\n",
        "direct 7.0",
        "direct 0x7",
        "direct ٧",
        "Direct 7",
        " direct 7",
        "7",
        "direct 18446744073709551616",
        "direct 99999999999999999999999",
    ]
    .map(str::as_bytes)
    .into_iter()
    .chain([b"direct \xff".as_slice(), b"\xffdirect 7", b"direct 7\0", b"direct \0", &long])
    {
        assert_eq!(confirmed(pong), None, "{}", pong.escape_ascii());
    }
}

#[test]
fn closes_carry_their_code_and_their_reason_in_both_modes() {
    for (why, code, reason) in [
        (Closing::Exit, 1000u16, ""),
        (Closing::Stopping, 1001, "the server stops"),
        (Closing::TooSlow, 1008, "you read too slowly"),
        (Closing::TooFast, 1008, "you send too fast"),
        (Closing::Revoked, 1008, "this session was revoked"),
    ] {
        for encoder in [&Plain as &dyn Encode, &Rich] {
            let (opcode, payload) = written(encoder, &Event::Closing(why)).unwrap();
            assert_eq!((opcode, &payload[..2]), (8, &code.to_be_bytes()[..]));
            assert_eq!(std::str::from_utf8(&payload[2..]), Ok(reason));
        }
    }
}

#[test]
fn what_is_left_out_may_be_null_as_well() {
    for frame in [
        r#"{"type":"receipt","id":"1","to":"bob","state":"sent","reason":null}"#,
        r#"{"type":"presence","room":"den","user":"bob","state":"left","to":null}"#,
        r#"{"type":"found","room":"den","text":"x","before":null,"messages":[]}"#,
        r#"{"type":"sessions","sessions":[{"session":"s","issued":1,"connections":0,"ends":null,"current":false}]}"#,
        r#"{"type":"error","code":"full","body":"x","id":null}"#,
        r#"{"type":"message","room":"den","epoch":"e","seq":1,"prev":0,"ts":1,"id":null,"from":"a","body":"x"}"#,
    ] {
        let mut without: Value = serde_json::from_str(frame).unwrap();
        strip_nulls(&mut without);
        assert_ne!(without.to_string(), frame);
        assert_eq!(hear_rich(frame.as_bytes()).unwrap(), hear_rich(without.to_string().as_bytes()).unwrap());
    }
}

fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

#[test]
fn what_other_wires_need_to_know_is_not_for_rich_sessions() {
    let receipt = |state, reason| Event::DirectReceipt { id: id("c-1"), to: "bob".into(), state, reason };
    let user = nick("alice");
    assert_eq!(line(&Rich, &receipt(Delivery::Sent, Some("timed out"))), None);
    assert_eq!(
        line(&Rich, &receipt(Delivery::Delivered, Some("late"))).unwrap(),
        line(&Rich, &receipt(Delivery::Delivered, None)).unwrap()
    );
    for event in
        [Event::Registered { room: RoomName::global(), user: user.clone() }, Event::Parted { user: user.clone() }]
    {
        assert_eq!(line(&Rich, &event), None);
    }
    assert_eq!(line(&Plain, &Event::Registered { room: RoomName::global(), user: user.clone() }), None);
    assert_eq!(line(&Plain, &Event::Parted { user }).unwrap(), r#"{"from":"system","body":"alice left"}"#);
}

#[test]
fn a_rich_frame_that_lacks_what_it_needs_is_an_error_and_a_new_kind_is_none() {
    for (event, rich, _) in every_event() {
        let Some(rich) = rich else { continue };
        assert!(hear_rich(rich.as_bytes()).is_ok(), "{event:?}");
        let frame: Value = serde_json::from_str(&rich).unwrap();
        for key in frame.as_object().unwrap().keys() {
            let mut changed = frame.clone();
            changed[key] = json!({});
            assert!(hear_rich(changed.to_string().as_bytes()).is_err(), "{changed}");
            changed.as_object_mut().unwrap().remove(key);
            let optional = ["reason", "before"].contains(&key.as_str()) || key == "id" && optional_id(&frame);
            // What renames without a new name, or tells of a receipt for nobody, is for its reader to notice.
            if key == "to" && frame["type"] == "presence" {
                continue;
            }
            assert_eq!(hear_rich(changed.to_string().as_bytes()).is_ok(), optional, "{changed}");
        }
    }
    assert_eq!(hear_rich(br#"{"type":"later","x":1}"#).unwrap(), Heard::Other("later".into()));
    for wrong in ["", "[]", "{}", r#"{"type":1}"#, r#"{"type":"gap","room":"den","from":-1,"to":9}"#] {
        assert!(hear_rich(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

fn optional_id(frame: &Value) -> bool {
    ["message", "error"].contains(&frame["type"].as_str().unwrap())
}
