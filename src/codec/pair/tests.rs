use std::sync::Arc;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::codec::{Encode, rooms};
use crate::message::{Closing, Delivery, Epoch, Event, Position, Post, Record, Refusal, RoomKey, Timestamp, UserId};

const LIMIT: usize = 16 * 1024;

/// The one frame that was written for an event: its opcode and payload.
fn written(event: &Event) -> Option<(u8, Vec<u8>)> {
    let mut out = BytesMut::new();
    if !Lines.encode(event, &mut out) {
        assert!(out.is_empty());
        return None;
    }
    Some(one_frame(&out))
}

fn one_frame(out: &[u8]) -> (u8, Vec<u8>) {
    let (header, length) = match out[1] {
        126 => (4, usize::from(u16::from_be_bytes([out[2], out[3]]))),
        127 => (10, u64::from_be_bytes(out[2..10].try_into().unwrap()) as usize),
        short => (2, usize::from(short)),
    };
    assert_eq!(out.len(), header + length, "one whole frame");
    assert_eq!(out[0] & 0xf0, 0x80, "final, no reserved bits");
    (out[0] & 0xf, out[header..].to_vec())
}

fn line(event: &Event) -> Option<String> {
    let (opcode, payload) = written(event)?;
    assert_eq!(opcode, 1, "a text frame");
    Some(String::from_utf8(payload).unwrap())
}

fn known(name: &str) -> Nickname {
    Nickname::new(name).unwrap()
}

fn den() -> RoomName {
    RoomName::new("den").unwrap()
}

fn id(id: &str) -> MessageId {
    MessageId::new(id).unwrap()
}

fn said(room: RoomKey, from: &str, body: &str) -> Event {
    let (user, at) = (UserId::from_bytes([0; 16]), Timestamp::from_millis(1));
    let record = Record { room, seq: 7, prev: 6, at, user, from: from.into(), id: None, body: body.into() };
    Event::Message(Arc::new(Post { epoch: Epoch::new("e1").unwrap(), record }))
}

fn direct(from: &str, body: &str) -> Event {
    said(RoomKey::Direct(UserId::from_bytes([0xab; 16])), from, body)
}

fn receipt(state: Delivery, reason: Option<&'static str>) -> Event {
    Event::DirectReceipt { id: id("1 user bobby"), to: "bobby".into(), state, reason }
}

#[test]
fn a_nickname_has_3_to_20_characters_and_a_letter_first() {
    let (longest, letters) = ("a".repeat(20), "я".repeat(20));
    for good in ["bob", "Bob", "саша", "日本語", "a-b", "a_1", "a b", "al[ice]", &longest, &letters] {
        assert_eq!(nick(good).map(|name| name.to_string()).as_deref(), Some(good));
        assert_eq!(decode(good, Stage::Nick, LIMIT), Asked::Nick(known(good)));
    }
    let (too_long, letters) = ("a".repeat(21), "я".repeat(21));
    for bad in ["", "a", "ab", "яя", &too_long, &letters, "1bob", "_bob", "-bob", " bob", "0", "1", "[server]"] {
        assert_eq!(decode(bad, Stage::Nick, LIMIT), Asked::BadNick, "{bad:?}");
    }
}

#[test]
fn a_nickname_holds_none_of_the_forbidden_characters() {
    for byte in 0u8..=127 {
        let c = byte as char;
        let fine = !c.is_ascii_control() && !".,()'\"~`#".contains(c);
        assert_eq!(nick(&format!("al{c}ice")).is_some(), fine, "{c:?}");
    }
}

#[test]
fn nobody_gets_a_reserved_nickname_or_one_that_passes_for_another() {
    for bad in [
        "server",
        "SERVER",
        "System",
        "tAlk",
        "healthcheck",
        "alice ",
        "alice\n",
        "al\nice",
        "al\rice",
        "al\u{85}ice",
        "al\u{2028}ice",
        "al\u{200b}ice",
        "al\u{202e}ice",
        "al\u{1b}ice",
        "ale\u{301}s",
        "alice: hi",
        "alice#2",
    ] {
        assert_eq!(decode(bad, Stage::Nick, LIMIT), Asked::BadNick, "{bad:?}");
    }
}

#[test]
fn a_recipient_is_any_name() {
    for name in ["bob", "", "no such", "0", "alice#2", "a\nb"] {
        assert_eq!(decode(name, Stage::Peer, LIMIT), Asked::Peer(name.into()));
    }
}

#[test]
fn a_text_is_cleaned_and_bounded() {
    let chat = |text: &str| decode(text, Stage::Chat, 8);
    assert_eq!(chat("hi"), Asked::Say("hi".into()));
    assert_eq!(chat("0"), Asked::Say("0".into()));
    assert_eq!(chat("a\u{1b}\r\nb\tc"), Asked::Say("a\nb\tc".into()));
    assert_eq!(chat("12345678"), Asked::Say("12345678".into()));
    assert_eq!(chat("123456789"), Asked::TooLong);
    for nothing in ["", "\n", "\r\n", "\u{0}\u{7f}"] {
        assert_eq!(chat(nothing), Asked::Nothing, "{nothing:?}");
    }
}

#[test]
fn whoever_wants_to_go_may_at_each_stage() {
    for stage in [Stage::Nick, Stage::Peer, Stage::Chat] {
        assert_eq!(decode(":quit:", stage, LIMIT), Asked::Quit);
        for other in [":quit: ", ":QUIT:", " :quit:", ":quit:\n", ":quit"] {
            assert_ne!(decode(other, stage, LIMIT), Asked::Quit, "{other:?}");
        }
    }
    // What is not part of a text changes nothing.
    assert_eq!(decode(":quit:\r", Stage::Chat, LIMIT), Asked::Quit);
}

#[test]
fn an_answer_is_one_character() {
    for (yes, character) in [(true, b'1'), (false, b'0')] {
        let mut out = BytesMut::new();
        answer(&mut out, yes);
        assert_eq!(out[..], [0x81, 1, character]);
    }
}

#[test]
fn a_text_becomes_what_the_hub_is_asked_with_an_id_that_says_whom_it_is_for() {
    let (body, id) = (|| Arc::<str>::from("hi"), |text| Some(id(text)));
    assert_eq!(
        Recipient::User(known("bobby")).command(1, body()),
        Command::Direct { to: "bobby".into(), body: body(), id: id("1 user bobby") }
    );
    assert_eq!(
        Recipient::Room(den()).command(12, body()),
        Command::Say { room: Some(den()), body: body(), id: id("12 room den") }
    );
    let long = Recipient::User(known(&"я".repeat(64)));
    assert!(!long.id(1).as_str().contains(' '));
    assert_ne!(long.id(1), long.id(2));
}

#[test]
fn every_event_has_its_line_or_none() {
    let room = || RoomKey::Room(den());
    let at = Position { epoch: Epoch::new("e1").unwrap(), seq: 7 };
    let refused = |why, whom: Option<&str>| Event::Refused { why, id: whom.map(id) };
    let no_user = || Refusal::NoUser("bobby".into());
    for (event, expected) in [
        (said(room(), "alice", "hello"), "[alice] hello"),
        (direct("alice", "hello"), "[alice] hello"),
        (direct("alice#2", "hello"), "[alice#2] hello"),
        (direct("bob", ""), "[bob] "),
        (Event::Left { room: den(), user: known("alice") }, "[server] User alice left"),
        (Event::Parted { user: known("alice") }, "[server] User alice left"),
        (Event::Accepted { id: id("1 room den"), room: room(), at: at.clone() }, "[server] Message sent to room den"),
        (receipt(Delivery::Sent, None), "[server] Message sent to user bobby"),
        (receipt(Delivery::Unconfirmed, None), "[server] Message sent to user bobby"),
        (receipt(Delivery::Delivered, None), "[server] Message delivered to user bobby"),
        (receipt(Delivery::Sent, Some("timed out")), "[server] Message not delivered to user bobby: timed out"),
        (receipt(Delivery::Failed, Some("gone")), "[server] Message not delivered to user bobby: gone"),
        (receipt(Delivery::Failed, None), "[server] Message not delivered to user bobby: failed"),
        (refused(no_user(), Some("3 user bobby")), "[server] Message not delivered to user bobby: gone"),
        (
            refused(Refusal::Muted("den".into()), Some("3 room den")),
            "[server] Message not delivered to room den: you are muted in room den",
        ),
        (
            refused(Refusal::Argument { command: "message", argument: "body" }, Some("3 user bobby")),
            "[server] Message not delivered to user bobby: the text is too long",
        ),
        (refused(Refusal::Full, Some("x")), "[server] Message not delivered: the server is full"),
        (refused(Refusal::TooFast, None), "[server] you send too fast"),
        (Event::System("bob\nann".into()), "[server] bob ann"),
    ] {
        assert_eq!(line(&event).as_deref(), Some(expected));
    }
    let own = RoomKey::Direct(UserId::random());
    for silent in [
        Event::Accepted { id: id("1 user bobby"), room: own.clone(), at },
        // A pong that came too late changes nothing.
        receipt(Delivery::Delivered, Some("late")),
        Event::Joined { room: den(), user: known("alice") },
        Event::Registered { room: den(), user: known("alice") },
        Event::Renamed { room: den(), old: known("alice"), new: known("al") },
        Event::Typing { room: den(), user: known("alice") },
        Event::Receipt { id: id("1 room den"), room: den(), seq: 7, sent: 1, delivered: 1, members: 1 },
        Event::Gap { room: own, from: 1, to: 2 },
        Event::Sessions(Arc::new([])),
    ] {
        assert_eq!(line(&silent), None, "{silent:?}");
    }
}

#[test]
fn a_question_is_a_ping_of_its_own_and_a_goodbye_a_close() {
    let ask = |seq| written(&Event::Confirm { room: RoomKey::Direct(UserId::random()), seq }).unwrap();
    assert_eq!(ask(7), (9, b"direct 7".to_vec()));
    assert_eq!(rooms::confirmed(&ask(u64::MAX).1), Some(u64::MAX));
    assert_eq!(written(&Event::Closing(Closing::Exit)), Some((8, vec![3, 0xe8])));
    let (opcode, stopping) = written(&Event::Closing(Closing::Stopping)).unwrap();
    assert_eq!((opcode, &stopping[..2]), (8, &[3, 0xe9][..]));
}

#[test]
fn no_text_and_no_name_forges_a_line() {
    for text in
        ["hi\n[server] User bob left", "hi\r\n[bob] me", "a\u{2028}b\u{85}c\u{b}d\u{c}e", "1", "0", "[server] x"]
    {
        let heard = line(&direct("alice", text)).unwrap();
        assert!(heard.starts_with("[alice] ") && heard.lines().count() == 1, "{heard:?}");
        assert!(!heard.contains(['\n', '\r', '\u{2028}', '\u{85}', '\u{b}', '\u{c}']), "{heard:?}");
    }
    for name in ["alice] [server", "al[ice]", "] x", "alice] Message"] {
        let heard = line(&direct(name, "hi")).unwrap();
        let shown = name.replace('[', "\u{ff3b}").replace(']', "\u{ff3d}");
        assert_eq!(hear(&heard), Some(Heard::Said { from: &shown, text: "hi" }));
        assert!(!line(&Event::Left { room: den(), user: known(name) }).unwrap()[1..].contains('['));
    }
}

#[test]
fn a_client_reads_what_a_server_says() {
    assert_eq!(hear("1"), Some(Heard::Yes));
    assert_eq!(hear("0"), Some(Heard::No));
    assert_eq!(hear("[server] User alice left"), Some(Heard::Server("User alice left")));
    assert_eq!(hear("[alice] 1"), Some(Heard::Said { from: "alice", text: "1" }));
    assert_eq!(hear("[alice] [server] hi"), Some(Heard::Said { from: "alice", text: "[server] hi" }));
    for other in ["", "2", "01", "alice", "[alice", "[alice]", "[alice]x", "x [alice] y"] {
        assert_eq!(hear(other), None, "{other:?}");
    }
}

#[test]
fn what_the_server_says_of_a_text_is_read_back() {
    let nowhere = |reason| Word::NotDelivered { to: None, reason };
    for (text, expected) in [
        ("Message sent to user bobby", Word::Sent(To::User("bobby"))),
        ("Message sent to user user bobby", Word::Sent(To::User("user bobby"))),
        ("Message sent to room den", Word::Sent(To::Room("den"))),
        ("Message delivered to user bobby", Word::Delivered("bobby")),
        (
            "Message not delivered to user bobby: timed out",
            Word::NotDelivered { to: Some(To::User("bobby")), reason: TIMED_OUT },
        ),
        (
            "Message not delivered to room den: no: never",
            Word::NotDelivered { to: Some(To::Room("den")), reason: "no: never" },
        ),
        ("Message not delivered: the server is full", nowhere("the server is full")),
        ("User alice left", Word::Left("alice")),
        ("User User left left", Word::Left("User left")),
    ] {
        assert_eq!(word(text), expected);
    }
    for other in [
        "",
        "hello",
        "User  left",
        "User alice came",
        "Message",
        "Message sent to user ",
        "Message sent to bobby",
        "Message sent to peer bobby",
        "Message delivered to room den",
        "Message delivered to user ",
        "Message not delivered to user bobby",
        "Message not delivered to user : gone",
        "Message not delivered to bobby: gone",
        "message sent to user bobby",
    ] {
        assert_eq!(word(other), Word::Other(other));
    }
}

#[test]
fn a_client_says_no_text_that_would_be_none() {
    assert_eq!(say("hi").as_deref(), Some("hi"));
    assert_eq!(say("a\u{1b}\tb\nc").as_deref(), Some("a\tb\nc"));
    assert_eq!(say(" :quit:").as_deref(), Some(" :quit:"));
    for none in ["", "\n", "\r\n\n", "\u{0}", ":quit:", ":quit:\r", "\u{7f}:quit:"] {
        assert_eq!(say(none), None, "{none:?}");
    }
}

#[test]
fn a_recipient_is_somebody_or_a_room() {
    for good in ["bob", "al", "alice#2", "0", "den.1", "server", "Jolly sasha"] {
        assert!(is_recipient(good), "{good:?}");
    }
    for bad in ["", ":quit:", "a\nb", " bob", "a: b", "al ", "al\u{202e}ice", &"x".repeat(65)] {
        assert!(!is_recipient(bad), "{bad:?}");
    }
}

fn anybody() -> impl Strategy<Value = Nickname> {
    any::<String>().prop_filter_map("no nickname", |name| Nickname::new(&name).ok())
}

fn whatever() -> impl Strategy<Value = Event> {
    let reason = || option::of(Just("timed out"));
    let whom = || option::of("\\PC{1,60}".prop_filter_map("no id", |id| MessageId::new(&id).ok()));
    let why = prop_oneof![any::<String>().prop_map(Refusal::NoUser), any::<String>().prop_map(Refusal::Blocked)];
    let states = vec![Delivery::Sent, Delivery::Delivered, Delivery::Unconfirmed, Delivery::Failed];
    prop_oneof![
        (any::<String>(), any::<String>()).prop_map(|(from, body)| direct(&from, &body)),
        anybody().prop_map(|user| Event::Left { room: den(), user }),
        (any::<String>(), proptest::sample::select(states), reason())
            .prop_map(|(to, state, reason)| Event::DirectReceipt { id: id("x"), to: to.into(), state, reason }),
        (why, whom()).prop_map(|(why, id)| Event::Refused { why, id }),
        any::<String>().prop_map(|text| Event::System(text.into())),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_line_is_one_line_from_whom_it_is(event in whatever()) {
        if let Some(line) = line(&event) {
            prop_assert_eq!(&*text::one_line(&line), line.as_str());
            match (&event, hear(&line)) {
                (Event::Message(post), Some(Heard::Said { from, text })) => {
                    let brackets = |name: &str| text::one_line(name).replace('[', "\u{ff3b}").replace(']', "\u{ff3d}");
                    prop_assert_eq!(from, brackets(&post.record.from));
                    prop_assert_eq!(text, &*text::one_line(&post.record.body));
                }
                // No nickname is that, but peers of other makes say what they like.
                (Event::Message(post), Some(Heard::Server(_))) => prop_assert_eq!(&*post.record.from, "server"),
                (Event::Message(_), other) => prop_assert!(false, "{:?}", other),
                (_, heard) => prop_assert!(matches!(heard, Some(Heard::Server(_))), "{line}"),
            }
        }
    }

    #[test]
    fn what_becomes_of_a_text_is_read_as_it_was_meant(
        name in anybody(), state in 0..4_usize, timed_out in any::<bool>(), why in "\\PC{0,30}"
    ) {
        let shown = text::one_line(name.as_str()).replace('[', "\u{ff3b}").replace(']', "\u{ff3d}");
        let states = [Delivery::Sent, Delivery::Delivered, Delivery::Unconfirmed, Delivery::Failed];
        let reason = timed_out.then_some(TIMED_OUT);
        let event = Event::DirectReceipt { id: id("x"), to: name.as_str().into(), state: states[state], reason };
        let told = line(&event);
        let told = told.as_deref().map(|line| match hear(line) {
            Some(Heard::Server(text)) => word(text),
            other => panic!("{other:?}"),
        });
        let to = To::User(&shown);
        prop_assert_eq!(told, match (states[state], reason) {
            (Delivery::Delivered, Some(_)) => None,
            (Delivery::Delivered, None) => Some(Word::Delivered(&shown)),
            (Delivery::Failed, None) => Some(Word::NotDelivered { to: Some(to), reason: "failed" }),
            (_, Some(reason)) => Some(Word::NotDelivered { to: Some(to), reason }),
            (_, None) => Some(Word::Sent(to)),
        });
        let refused = Event::Refused { why: Refusal::Blocked(why.as_str().into()), id: Some(Recipient::User(name.clone()).id(7)) };
        let (told, whole) = (line(&refused).unwrap(), Refusal::Blocked(why).to_string());
        let Some(Heard::Server(told)) = hear(&told) else { panic!("{told:?}") };
        match word(told) {
            Word::NotDelivered { to: Some(to), reason } => {
                prop_assert_eq!((to, reason), (To::User(&shown), &*text::one_line(&whole)));
            }
            // An id is short, and some names are not.
            Word::NotDelivered { to: None, reason } => prop_assert_eq!(reason, &*text::one_line(&whole)),
            other => panic!("{other:?}"),
        }
        let parted = line(&Event::Parted { user: name.clone() }).unwrap();
        prop_assert_eq!(hear(&parted).map(|heard| matches!(heard, Heard::Server(text) if word(text) == Word::Left(&shown))), Some(true));
    }

    #[test]
    fn a_text_arrives_as_it_was_said_or_is_not_said(text in any::<String>()) {
        match say(&text) {
            Some(frame) => {
                let clean = text::clean(&text).into_owned();
                prop_assert_eq!(decode(&frame, Stage::Chat, usize::MAX), Asked::Say(clean.into()));
            }
            None => {
                let asked = decode(&text, Stage::Chat, usize::MAX);
                prop_assert!(matches!(asked, Asked::Nothing | Asked::Quit), "{:?}", asked);
            }
        }
    }

    #[test]
    fn whoever_can_be_spoken_to_is_asked_for_by_name(name in any::<String>()) {
        if is_recipient(&name) {
            prop_assert_eq!(decode(&name, Stage::Peer, LIMIT), Asked::Peer(name));
        }
    }

    #[test]
    fn what_a_client_asks_is_understood_as_it_was_meant(
        name in "\\PC{3,20}", peer in any::<String>(), text in any::<String>()
    ) {
        for stage in [Stage::Nick, Stage::Peer, Stage::Chat] {
            for frame in [&name, &peer, &text] {
                let asked = decode(frame, stage, LIMIT);
                if let Some(again) = asked.frame() {
                    prop_assert_eq!(decode(again, stage, LIMIT), asked.clone());
                }
                if let Asked::Nick(nick) = &asked {
                    prop_assert_eq!(nick.as_str(), frame);
                }
            }
        }
    }

    #[test]
    fn no_frame_panics(bytes in vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        for stage in [Stage::Nick, Stage::Peer, Stage::Chat] {
            let _ = decode(&text, stage, 100);
        }
        let _ = (hear(&text), word(&text), say(&text), is_recipient(&text));
    }
}
