use std::sync::Arc;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio_util::codec::Decoder;

use super::*;
use crate::codec::Encode;
use crate::message::{Closing, Epoch, Event, MessageId, Position, Post, Record, Refusal, RoomKey, Timestamp, UserId};
use crate::name::{Nickname, RoomName};

#[test]
fn the_prompts_are_the_wires_to_the_byte() {
    let all = [HELLO, UNKNOWN, NICKNAME, WELCOME, SENT];
    assert_eq!(
        all,
        [
            "Hello %username%! Enter your personal hash or leave it empty to create new account.\n",
            "null\n",
            "Enter preferred nickname below:\n",
            "Welcome to chat! Post your message below. End it with an empty line.\n",
            "Message send. Write more, end message with an empty line.\n",
        ]
    );
}

#[test]
fn an_account_is_one_line_of_json_in_a_fixed_order() {
    let hash = "6f9d8a52-1f2b-4a1e-9d2c-0a5f4cf3b1de";
    assert_eq!(
        account("Zen tester", hash),
        format!("{{\"nickname\": \"Zen tester\", \"account_hash\": \"{hash}\"}}\n")
    );
    assert_eq!(account("саша", "x"), "{\"nickname\": \"саша\", \"account_hash\": \"x\"}\n", "as UTF-8, unescaped");
    assert_eq!(account("a\"\\b", "x"), "{\"nickname\": \"a\\\"\\\\b\", \"account_hash\": \"x\"}\n");
}

#[test]
fn a_hash_a_nickname_and_messages_are_read_one_after_the_other() {
    let typed = dialog(b"\nZen tester\n\nhello\nthere\n\n\n  \n\n");
    let message = |text: &str| Typed::Message(text.into());
    assert_eq!(
        typed,
        [
            Typed::New,
            Typed::Nickname("Zen tester".into()),
            Typed::Nothing,
            message("hello there"),
            Typed::Nothing,
            message("  "),
        ]
    );
    assert_eq!(dialog(b" known \r\n\r\nhi\r\n\r\n"), [Typed::Hash("known".into()), Typed::Nothing, message("hi")]);
    assert_eq!(dialog(b"POST / HTTP/1.1\r\n")[0], Typed::Http);
    assert_eq!(dialog(b"a b HTTP\n")[0], Typed::Hash("a b HTTP".into()));
    let unknown = [Typed::Hash("other".into()), Typed::Nickname("bob".into()), message("hi")];
    assert_eq!(dialog(b"other\nbob\nhi\n\n"), unknown);
    assert_eq!(dialog(b"known\nunfinished\n"), [Typed::Hash("known".into())], "a message ends with an empty line");
    assert_eq!(dialog(b"known\nunfinished"), [Typed::Hash("known".into())]);
}

#[test]
fn texts_lose_control_characters_and_what_is_no_utf8() {
    let message = |text: &str| [Typed::Hash("known".into()), Typed::Message(text.into())];
    assert_eq!(dialog(b"known\na\x1b[1m\tb\x00\rc\n\n"), message("a[1m\tbc"));
    assert_eq!(dialog(b"known\na\xffb\n\n"), message("a\u{fffd}b"));
    assert_eq!(dialog(b"known\n\x00\n\n"), [Typed::Hash("known".into()), Typed::Nothing], "nothing is left of it");
    assert_eq!(dialog(b"known\n\x00\nb\n\x01\n\n"), message("b"), "nor a space for it");
}

#[test]
fn a_message_has_its_bound_whatever_its_lines_and_the_next_one_is_read() {
    let exact = [b"known\n".as_slice(), &[b'a'; LIMIT], b"\n\n"].concat();
    assert_eq!(dialog(&exact)[1], Typed::Message("a".repeat(LIMIT).into()));
    let split = [b"known\n".as_slice(), &[b'a'; LIMIT - 2], b"\nb\n\n"].concat();
    assert_eq!(dialog(&split)[1], Typed::Message(format!("{} b", "a".repeat(LIMIT - 2)).into()));
    for long in [
        vec![b'a'; LIMIT + 1],
        [&[b'a'; LIMIT - 1], b"\nb".as_slice()].concat(),
        [b"a\n".repeat(LIMIT), b"a".to_vec()].concat(),
    ] {
        let typed = dialog(&[b"known\n", &*long, b"\nmore\n\nnext\n\n"].concat());
        assert_eq!(typed[1..], [Typed::TooLong, Typed::Message("next".into())]);
    }
}

#[test]
fn a_line_has_its_bound_wherever_it_is_cut() {
    let longest = [&[b'a'; MAX_LINE], b"\n".as_slice()].concat();
    for size in [1, 7, 4096, MAX_LINE, MAX_LINE + 1] {
        let (mut lines, mut bytes, mut read) = (Lines::default(), BytesMut::new(), Vec::new());
        for piece in [&*longest, b"b\n", &*longest, b"a"].concat().chunks(size) {
            bytes.extend_from_slice(piece);
            while let Some(line) = lines.decode(&mut bytes).unwrap() {
                read.push(line.len());
            }
        }
        assert_eq!(read, [MAX_LINE, 1, MAX_LINE]);
        bytes.extend_from_slice(&[b'a'; MAX_LINE]);
        assert_eq!(lines.decode(&mut bytes), Err(LineTooLong), "without a line feed, too");
        bytes.extend_from_slice(b"\nb\n");
        assert_eq!(lines.decode(&mut bytes), Err(LineTooLong), "and nothing behind it is read");
    }
}

#[test]
fn a_line_without_an_end_is_none() {
    let (mut lines, mut bytes) = (Lines::default(), BytesMut::from("a\nb"));
    assert_eq!(lines.decode_eof(&mut bytes), Ok(Some("a".to_owned())));
    assert_eq!(lines.decode_eof(&mut bytes), Ok(None));
    assert!(bytes.is_empty());
}

#[test]
fn a_hash_is_not_shown() {
    let typed = [Typed::Hash("secret".into()), Typed::Message("secret".into())];
    let heard = hear_answer(account("bob", "secret").trim_end());
    assert!(!format!("{typed:?} {heard:?}").contains("secret"));
}

#[test]
fn the_listen_port_hears_messages_and_new_accounts_and_nothing_else() {
    let (room, user) = (RoomName::global(), Nickname::new("саша").unwrap());
    assert_eq!(written(&Listen, &said("bob", "hi")), "bob: hi\n");
    assert_eq!(written(&Listen, &said("bob", "a\nServer: b\r\nc\u{2028}d")), "bob: a Server: b c d\n");
    let registered = Event::Registered { room: room.clone(), user: user.clone() };
    assert_eq!(written(&Listen, &registered), "Server: # к чату присоединился саша\n");
    let mut direct = post("bob", "hi");
    direct.record.room = RoomKey::Direct(UserId::random());
    for silent in [
        Event::Message(Arc::new(direct)),
        Event::Joined { room: room.clone(), user: user.clone() },
        Event::Left { room: room.clone(), user: user.clone() },
        Event::Renamed { room, old: user.clone(), new: user },
        Event::System("notice".into()),
        Event::Closing(Closing::Stopping),
    ] {
        assert_eq!(written(&Listen, &silent), "", "{silent:?}");
    }
}

#[test]
fn the_write_port_hears_what_became_of_messages() {
    let id = MessageId::new("1").unwrap();
    let (room, at) = (RoomKey::Room(RoomName::global()), Position { epoch: Epoch::random(), seq: 1 });
    assert_eq!(written(&Write, &Event::Accepted { id: id.clone(), room, at }), SENT);
    let refused = Event::Refused { why: Refusal::Muted("global".into()), id: Some(id) };
    assert_eq!(
        written(&Write, &refused),
        "Message not send: you are muted in room global. Write more, end message with an empty line.\n"
    );
    for silent in [said("bob", "hi"), Event::System("notice".into()), Event::Closing(Closing::TooSlow)] {
        assert_eq!(written(&Write, &silent), "", "{silent:?}");
    }
}

#[test]
fn what_the_server_says_is_heard_again() {
    let heard = |from: &str, body: &str| HeardLine::Said { from: from.into(), body: body.into() };
    for (line, expected) in [
        ("bob: hi: there", heard("bob", "hi: there")),
        ("a:b: hi", heard("a:b", "hi")),
        ("Server: # к чату присоединился Zen tester", HeardLine::Registered("Zen tester".into())),
        ("bob: # к чату присоединился eve", heard("bob", "# к чату присоединился eve")),
    ] {
        assert_eq!(hear_line(line), Some(expected));
    }
    assert_eq!(hear_line("no colon"), None);
    let account = Answer::Account { nickname: "Zen \"tester\"".into(), hash: "x-1".into() };
    let lines = [
        (HELLO.to_owned(), Answer::Hello),
        (UNKNOWN.to_owned(), Answer::Unknown),
        (NICKNAME.to_owned(), Answer::Nickname),
        (WELCOME.to_owned(), Answer::Welcome),
        (SENT.to_owned(), Answer::Sent),
        (not_sent("you are\nslow"), Answer::NotSent("you are slow".into())),
        (super::account("Zen \"tester\"", "x-1"), account.clone()),
    ];
    for (line, expected) in lines {
        assert_eq!(hear_answer(line.strip_suffix('\n').unwrap()), Some(expected));
    }
    let escaped = r#"{"account_hash": "x-1", "nickname": "Zen \u0022tester\u0022"}"#;
    assert_eq!(hear_answer(escaped), Some(account), "however another server writes it");
    for other in ["", "Hello", "[]", "{\"nickname\": 1, \"account_hash\": \"x\"}", "{\"nickname\": \"x\"}"] {
        assert_eq!(hear_answer(other), None, "{other}");
    }
}

#[test]
fn forbidden_characters_are_dropped_from_a_nickname() {
    for (typed, clean) in [
        ("Zen tester", "Zen tester"),
        ("  саша\t", "саша"),
        ("a#2", "a2"),
        ("bob: hi", "bob hi"),
        ("a:: b", "a b"),
        ("a: : b", "a  b"),
        ("a:b:", "a:b:"),
        ("Ser\u{200b}ver\u{202e}", "Server"),
        ("e\u{301}", "é"),
        ("a\u{85}\u{2028}b\u{0}", "ab"),
        (": ", ""),
        ("###", ""),
        ("", ""),
        ("a\u{fffd}b", "ab"),
        ("bob:\u{a0}hi", "bob hi"),
        ("Zen\u{3000}tester\u{2800}", "Zen tester"),
        ("bob\u{fe0f}", "bob"),
    ] {
        assert_eq!(clean_nickname(typed), clean, "{typed:?}");
    }
    assert_eq!(clean_nickname(&"я".repeat(100)), "я".repeat(64));
}

#[test]
fn a_nickname_that_cannot_be_had_gets_an_adjective_in_front() {
    let names: Vec<_> = nicknames("sasha", 1).collect();
    assert_eq!(names[0].as_str(), "sasha");
    let (adjective, base) = names[1].as_str().split_once(' ').unwrap();
    assert!(adjective.chars().next().unwrap().is_uppercase() && base == "sasha", "{}", names[1]);
    assert!(names.len() > 20 && names.iter().collect::<std::collections::HashSet<_>>().len() > 20, "{names:?}");
    let reserved: Vec<_> = nicknames("Server", 1).take(2).collect();
    assert!(reserved.iter().all(|name| name.as_str().ends_with(" Server")), "{reserved:?}");
    let generated = nicknames("", 1).next().unwrap();
    assert_eq!(generated.as_str().split(' ').count(), 2, "{generated}");
    assert_ne!(nicknames("", 2).next(), Some(generated));
}

proptest! {
    #[test]
    fn any_segmentation_reads_the_same(
        pieces in vec(prop_oneof![Just("\n".to_owned()), Just("\r\n".to_owned()), "[ -~]{0,20}", any::<String>()], 0..40),
        cuts in vec(1usize..9, 1..20),
    ) {
        let bytes = pieces.concat().into_bytes();
        let mut cut = Vec::new();
        let (mut rest, mut sizes) = (&bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            cut.push(piece);
            rest = more;
        }
        prop_assert_eq!(dialog_of(&cut), dialog(&bytes));
    }

    #[test]
    fn what_a_client_types_is_read_as_it_was_meant(hash in "[a-z0-9-]{1,40}", text in "[^\\p{Cc}\u{2028}\u{2029}]{1,99}") {
        let typed = dialog(format!("{}{}", typed_line(&format!("known {hash}")), typed_message(&text)).as_bytes());
        prop_assert_eq!(typed, vec![Typed::Hash(format!("known {hash}")), Typed::Message(text.into())]);
    }

    #[test]
    fn whatever_a_client_types_is_one_message_and_no_more(text in any::<String>()) {
        let text = crate::text::clean(&text).into_owned();
        let typed = dialog(format!("known\n{}", typed_message(&text)).as_bytes());
        prop_assert_eq!(typed.len(), 2, "{:?}", typed);
        if !text.is_empty() && text.len() <= LIMIT {
            prop_assert_eq!(&typed[1], &Typed::Message(crate::text::one_line(&text).into()));
        }
    }

    #[test]
    fn every_line_that_is_said_is_one_line_and_heard_with_its_sender(from in any::<String>(), body in any::<String>()) {
        let Some(from) = nicknames(&clean_nickname(&from), 1).next() else { return Ok(()) };
        let line = written(&Listen, &said(from.as_str(), &body));
        prop_assert_eq!(line.matches('\n').count(), 1);
        let heard = match hear_line(line.strip_suffix('\n').unwrap()) {
            Some(HeardLine::Said { from, .. }) => from,
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(heard, from.as_str());
    }

    #[test]
    fn every_typed_nickname_leads_to_nicknames(typed in any::<String>(), seed in any::<u64>()) {
        let clean = clean_nickname(&typed);
        prop_assert_eq!(clean_nickname(&clean), clean.as_str());
        let names: Vec<_> = nicknames(&clean, seed).collect();
        prop_assert!(names.len() > 20, "{:?}", names);
        if !clean.is_empty() && !crate::name::is_reserved(&clean) {
            prop_assert_eq!(names[0].as_str(), clean);
        }
    }

    #[test]
    fn accounts_are_one_line_that_any_parser_reads(nickname in any::<String>(), hash in any::<String>()) {
        let line = account(&nickname, &hash);
        prop_assert_eq!(line.matches('\n').count(), 1);
        prop_assert_eq!(hear_answer(line.trim_end_matches('\n')), Some(Answer::Account { nickname, hash }));
    }
}

/// What is read of all the bytes, with hashes that begin with `known` being known, and nicknames fine.
fn dialog(bytes: &[u8]) -> Vec<Typed> {
    dialog_of(&[bytes])
}

fn dialog_of(pieces: &[&[u8]]) -> Vec<Typed> {
    let (mut lines, mut bytes) = (Lines::default(), BytesMut::new());
    let (mut dialog, mut typed) = (Dialog::new(LIMIT), Vec::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        while let Some(line) = lines.decode(&mut bytes).unwrap() {
            let Some(next) = dialog.read(line) else { continue };
            match &next {
                Typed::Hash(hash) if hash.starts_with("known") => dialog.welcome(),
                Typed::Nickname(_) => dialog.welcome(),
                _ => {}
            }
            typed.push(next);
        }
    }
    typed
}

fn written(encoder: &dyn Encode, event: &Event) -> String {
    let mut out = BytesMut::new();
    let has_form = encoder.encode(event, &mut out);
    assert_eq!(has_form, !out.is_empty());
    String::from_utf8(out.to_vec()).unwrap()
}

fn said(from: &str, body: &str) -> Event {
    Event::Message(Arc::new(post(from, body)))
}

fn post(from: &str, body: &str) -> Post {
    let record = Record {
        room: RoomKey::Room(RoomName::global()),
        seq: 1,
        prev: 0,
        user: UserId::random(),
        from: from.into(),
        body: body.into(),
        id: None,
        at: Timestamp::from_millis(0),
    };
    Post { epoch: Epoch::random(), record }
}

const LIMIT: usize = 512;
