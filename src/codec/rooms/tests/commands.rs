use serde_json::json;

use super::*;
use crate::message::Moderation;

const OWN: &str = "@abababababababababababababababab";

/// Every command that only rich mode has, with arguments that it takes, and what it means.
fn rich_only() -> Vec<(String, Command)> {
    let moderate = |action, seconds, reason: Option<&str>| Command::Moderate {
        room: den(),
        action,
        user: "bob".into(),
        seconds,
        reason: reason.map(Into::into),
    };
    let search = |before, limit| Command::Search { room: RoomKey::Room(den()), text: "x y".into(), before, limit };
    [
        (r#"{"type":"enter","args":{"room":"den"}}"#, Command::Enter(den())),
        (r#"{"type":"leave","args":{"room":"den"}}"#, Command::Leave(Some(den()))),
        (r#"{"type":"typing","args":{"room":"den"}}"#, Command::Typing(den())),
        (
            r#"{"type":"received","args":{"room":"den","seq":7}}"#,
            Command::Received { room: RoomKey::Room(den()), seq: 7 },
        ),
        (
            r#"{"type":"received","args":{"room":"OWN","seq":18446744073709551615}}"#,
            Command::Received { room: own(), seq: u64::MAX },
        ),
        (
            r#"{"type":"resume","args":{"room":"den","epoch":"e1","seq":0}}"#,
            Command::Resume { room: RoomKey::Room(den()), epoch: epoch(), seq: 0 },
        ),
        (
            r#"{"type":"resume","args":{"room":"OWN","epoch":"e1","seq":7}}"#,
            Command::Resume { room: own(), epoch: epoch(), seq: 7 },
        ),
        (r#"{"type":"search","args":{"room":"den","text":"x y"}}"#, search(None, None)),
        (r#"{"type":"search","args":{"room":"den","text":"x y","before":9,"limit":5}}"#, search(Some(9), Some(5))),
        (r#"{"type":"search","args":{"room":"den","text":"x y","before":null,"limit":null}}"#, search(None, None)),
        (r#"{"type":"block","args":{"user":"bob"}}"#, Command::Block("bob".into())),
        (r#"{"type":"unblock","args":{"user":"bob"}}"#, Command::Unblock("bob".into())),
        (r#"{"type":"kick","args":{"room":"den","user":"bob"}}"#, moderate(Moderation::Kick, None, None)),
        (
            r#"{"type":"ban","args":{"room":"den","user":"bob","seconds":60,"reason":"spam"}}"#,
            moderate(Moderation::Ban, Some(60), Some("spam")),
        ),
        (
            r#"{"type":"unban","args":{"room":"den","user":"bob","seconds":null,"reason":null}}"#,
            moderate(Moderation::Unban, None, None),
        ),
        (
            r#"{"type":"mute","args":{"room":"den","user":"bob","seconds":3153600000,"reason":"a\r\nb\u0007\u2028c"}}"#,
            moderate(Moderation::Mute, Some(3_153_600_000), Some("a b c")),
        ),
        (
            r#"{"type":"unmute","args":{"room":"den","user":"bob","reason":"\u0007"}}"#,
            moderate(Moderation::Unmute, None, None),
        ),
        (r#"{"type":"close","args":{"room":"den"}}"#, Command::Close { room: den(), reason: None }),
        (
            r#"{"type":"close","args":{"room":"den","reason":"late"}}"#,
            Command::Close { room: den(), reason: Some("late".into()) },
        ),
        (r#"{"type":"sessions"}"#, Command::Sessions),
        (r#"{"type":"revoke","args":{"session":"s-1"}}"#, Command::Revoke("s-1".into())),
    ]
    .map(|(frame, command)| (frame.replace("OWN", OWN), command))
    .into()
}

#[test]
fn rich_commands_mean_what_they_say_and_are_unknown_in_plain_mode() {
    for (frame, expected) in rich_only() {
        assert_eq!(command(&frame, Mode::Rich), expected, "{frame}");
        let kind = frame.split('"').nth(3).unwrap();
        assert_eq!(refused(&frame, Mode::Plain), format!("unknown command '{kind}'"));
    }
}

#[test]
fn a_history_and_a_direct_message_are_asked_for_in_both_modes() {
    let history = |room, after, before, limit| Command::History { room, after, before, limit };
    for mode in [Mode::Plain, Mode::Rich] {
        for (frame, expected) in [
            (r#"{"type":"history"}"#, history(None, None, None, None)),
            (r#"{"type":"history","args":{"room":null,"after":null}}"#, history(None, None, None, None)),
            (
                r#"{"type":"history","args":{"room":"den","after":1,"before":9,"limit":5000}}"#,
                history(Some(RoomKey::Room(den())), Some(1), Some(9), Some(5000)),
            ),
            (
                r#"{"type":"history","args":{"room":"@abababababababababababababababab","limit":0}}"#,
                history(Some(own()), None, None, Some(0)),
            ),
            (
                r#"{"type":"direct","args":{"to":"bob","body":"hi"}}"#,
                Command::Direct { to: "bob".into(), body: "hi".into(), id: None },
            ),
        ] {
            assert_eq!(command(frame, mode), expected, "{frame}");
        }
    }
}

#[test]
fn plain_sessions_ask_who_is_where_they_are_and_rich_ones_anywhere() {
    let frame = r#"{"type":"listusers","args":{"room":"den"}}"#;
    assert_eq!(command(frame, Mode::Plain), Command::ListUsers(None));
    assert_eq!(command(frame, Mode::Rich), Command::ListUsers(Some(den())));
    for frame in [r#"{"type":"listusers"}"#, r#"{"type":"listusers","args":{"room":null}}"#] {
        assert_eq!(command(frame, Mode::Rich), Command::ListUsers(None));
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
        (r#"{"type":"direct","args":{"to":"bob"}}"#, "cannot parse 'body' arg of direct command"),
        (r#"{"type":"history","args":{"limit":"9"}}"#, "cannot parse 'limit' arg of history command"),
        (r#"{"type":"history","args":{"room":"a b"}}"#, "room a b does not exist"),
    ] {
        assert_eq!(refused(frame, Mode::Plain), text, "{frame}");
    }
}

#[test]
fn every_argument_of_a_rich_command_is_told_by_name_when_it_is_missing_or_wrong() {
    let long_name = "x".repeat(65);
    let long_text = "x".repeat(257);
    let at_name = format!("@{}", "g".repeat(32));
    // A command, arguments that it would take, and each argument with values that it would not.
    let room = || vec![json!(null), json!(7), json!([])];
    let text = || vec![json!(null), json!(7), json!(["bob"])];
    let seq = || vec![json!(null), json!("7"), json!(-1), json!(7.5), json!(7.0), json!(1e30)];
    let optional = || vec![json!("7"), json!(-1), json!(0.5), json!(true)];
    let reason = || vec![json!(7), json!(long_text), json!(["x"])];
    let seconds = || vec![json!("60"), json!(0), json!(-1), json!(3_153_600_001_u64), json!(1.5)];
    let id = || vec![json!(""), json!(7), json!("a\u{7f}"), json!(long_name)];
    let epoch = || vec![json!(null), json!(7), json!(""), json!("a\nb"), json!(long_name)];
    let user = || json!({ "room": "den", "user": "bob" });
    for (kind, args, wrong) in [
        (
            "message",
            json!({ "room": "den", "body": "hi" }),
            vec![("room", room()), ("body", vec![json!(null), json!(""), json!("\u{7}")]), ("id", id())],
        ),
        (
            "direct",
            json!({ "to": "bob", "body": "hi" }),
            vec![("to", text()), ("body", vec![json!(null), json!(""), json!({})]), ("id", id())],
        ),
        ("enter", json!({ "room": "den" }), vec![("room", room())]),
        ("leave", json!({ "room": "den" }), vec![("room", room())]),
        ("typing", json!({ "room": "den" }), vec![("room", room())]),
        ("listusers", json!({}), vec![("room", vec![json!(7), json!([])])]),
        ("received", json!({ "room": "den", "seq": 1 }), vec![("room", room()), ("seq", seq())]),
        (
            "resume",
            json!({ "room": "den", "epoch": "e1", "seq": 1 }),
            vec![("room", room()), ("epoch", epoch()), ("seq", seq())],
        ),
        (
            "history",
            json!({}),
            vec![
                ("room", vec![json!(7), json!([])]),
                ("after", optional()),
                ("before", optional()),
                ("limit", optional()),
            ],
        ),
        (
            "search",
            json!({ "room": "den", "text": "x" }),
            vec![
                ("room", room()),
                ("text", vec![json!(null), json!(""), json!(long_text), json!(7)]),
                ("before", optional()),
                ("limit", optional()),
            ],
        ),
        ("block", json!({ "user": "bob" }), vec![("user", text())]),
        ("unblock", json!({ "user": "bob" }), vec![("user", text())]),
        ("kick", user(), vec![("room", room()), ("user", text()), ("reason", reason())]),
        ("ban", user(), vec![("room", room()), ("user", text()), ("seconds", seconds()), ("reason", reason())]),
        ("unban", user(), vec![("room", room()), ("user", text()), ("reason", reason())]),
        ("mute", user(), vec![("room", room()), ("user", text()), ("seconds", seconds()), ("reason", reason())]),
        ("unmute", user(), vec![("room", room()), ("user", text()), ("reason", reason())]),
        ("close", json!({ "room": "den" }), vec![("room", room()), ("reason", reason())]),
        ("revoke", json!({ "session": "s-1" }), vec![("session", text())]),
    ] {
        let frame = |args: &serde_json::Value| json!({ "type": kind, "args": args }).to_string();
        command(&frame(&args), Mode::Rich);
        for (argument, values) in wrong {
            let told = format!("cannot parse '{argument}' arg of {kind} command");
            let mut missing = args.clone();
            if missing.as_object_mut().unwrap().remove(argument).is_some() {
                assert_eq!(refused(&frame(&missing), Mode::Rich), told);
            }
            for value in values {
                let mut args = args.clone();
                args[argument] = value;
                assert_eq!(refused(&frame(&args), Mode::Rich), told, "{args}");
            }
            if argument == "room" {
                for name in ["", "a b", "..", "@", "@den", &at_name, &long_name] {
                    let mut args = args.clone();
                    args["room"] = json!(name);
                    assert_eq!(refused(&frame(&args), Mode::Rich), format!("room {name} does not exist"));
                }
            }
        }
    }
}

#[test]
fn direct_messages_are_no_room_to_enter_or_to_moderate() {
    for kind in ["message", "enter", "leave", "typing", "listusers", "kick", "close"] {
        let frame = json!({ "type": kind, "args": { "room": OWN, "body": "x", "user": "bob" } }).to_string();
        assert_eq!(refused(&frame, Mode::Rich), format!("room {OWN} does not exist"), "{kind}");
    }
}

#[test]
fn lengths_end_where_they_are_said_to() {
    let search = |n: usize| json!({ "type": "search", "args": { "room": "den", "text": "x".repeat(n) } }).to_string();
    assert!(decode(search(256).as_bytes(), Mode::Rich, LIMIT).is_ok());
    assert!(decode(search(257).as_bytes(), Mode::Rich, LIMIT).is_err());
    let close = |n: usize| json!({ "type": "close", "args": { "room": "den", "reason": "x".repeat(n) } }).to_string();
    assert!(decode(close(256).as_bytes(), Mode::Rich, LIMIT).is_ok());
    assert!(decode(close(257).as_bytes(), Mode::Rich, LIMIT).is_err());
    // Counted in bytes, and before what may not be there is taken out.
    for (body, fits) in [("я".repeat(5), true), ("я".repeat(6), false), ("\u{1}".repeat(10) + "x", false)] {
        let frame = json!({ "type": "message", "args": { "room": "den", "body": body } }).to_string();
        assert_eq!(decode(frame.as_bytes(), Mode::Rich, 10).is_ok(), fits, "{body:?}");
    }
}

#[test]
fn an_id_belongs_to_what_is_said_and_to_nothing_else() {
    // Where it means nothing it is passed over, whatever it is.
    for frame in [r#"{"type":"listrooms","args":{"id":7}}"#, r#"{"type":"sessions","args":{"id":""}}"#] {
        command(frame, Mode::Rich);
    }
    let refusal = |frame: &str| decode(frame.as_bytes(), Mode::Rich, LIMIT).unwrap_err().1;
    assert_eq!(refusal(r#"{"type":"enter","args":{"id":"7"}}"#), None);
    assert_eq!(refusal(r#"{"type":"direct","args":{"to":"bob","id":"7"}}"#), Some(super::id("7")));
    assert_eq!(refusal(r#"{"type":"message","args":{"room":"a b","body":"x","id":"7"}}"#), Some(super::id("7")));
    // Plain mode knows no ids.
    let frame = r#"{"type":"direct","args":{"to":"bob","body":"x","id":7}}"#;
    assert_eq!(command(frame, Mode::Plain), Command::Direct { to: "bob".into(), body: "x".into(), id: None });
}

#[test]
fn a_message_needs_no_from_and_never_believes_it() {
    for frame in [
        r#"{"type":"message","args":{"body":"hi"}}"#,
        r#"{"type":"message","args":{"from":"mallory","body":"hi"}}"#,
        r#"{"args":{"body":"h\u0001i","from":""},"type":"message","more":[1]}"#,
    ] {
        let command = command(frame, Mode::Plain);
        assert_eq!(command, Command::Say { room: None, body: "hi".into(), id: None });
    }
}

#[test]
fn rich_messages_name_their_room_and_refusals_their_id() {
    let frame = r#"{"type":"message","args":{"room":"den","body":"hi","id":"7"}}"#;
    let id = Some(id("7"));
    let command = command(frame, Mode::Rich);
    assert_eq!(command, Command::Say { room: Some(den()), body: "hi".into(), id: id.clone() });
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
