use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use tokio_util::codec::Decoder;

use super::*;
use crate::codec::{CodecError, Encode};
use crate::limits::JSON_DEPTH;
use crate::message::{Closing, Epoch, Event, Post, Record, Refusal, RoomKey, Timestamp, UserId};
use crate::name::{Nickname, RoomName};

const LIMIT: usize = 16 * 1024;

/// The objects in bytes that come in these pieces, and how they end.
fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Vec<u8>>, Result<(), SplitError>) {
    let (mut objects, mut buffer, mut found) = (Objects::new(limit), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match objects.decode(&mut buffer) {
                Ok(Some(object)) => found.push(object.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    assert!(matches!(objects.decode_eof(&mut buffer), Ok(None)) && buffer.is_empty());
    (found, Ok(()))
}

/// The objects that were written, one after the other.
fn objects(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (found, end) = split([bytes], usize::MAX);
    end.unwrap();
    found
}

fn heard(out: &[u8]) -> Vec<Heard> {
    objects(out).iter().map(|object| hear(object).unwrap()).collect()
}

fn encoded(event: &Event) -> Option<String> {
    let mut out = BytesMut::new();
    if !Console.encode(event, &mut out) {
        assert!(out.is_empty());
        return None;
    }
    Some(String::from_utf8(out.to_vec()).unwrap())
}

fn post(from: &str, body: &str) -> Event {
    let record = Record {
        room: RoomKey::Room(RoomName::global()),
        seq: 1,
        prev: 0,
        at: Timestamp::from_millis(0),
        user: UserId::from_bytes([0; 16]),
        from: from.into(),
        id: None,
        body: body.into(),
    };
    Event::Message(Arc::new(Post { epoch: Epoch::new("e").unwrap(), record }))
}

fn nick(name: &str) -> Nickname {
    Nickname::new(name).unwrap()
}

#[test]
fn objects_are_cut_by_their_braces_and_not_by_what_stands_in_strings() {
    let tricky = [r#"{"a":"}{"}"#, r#"{"a":"\"}"}"#, r#"{"a":{"b":[{}]}}"#, "{}", r#"{"\\":"\\"}"#, r#"{ "a" : "ж" }"#];
    let stream = tricky.join("") + " \r\n\t" + &tricky.join("\n");
    for size in 1..stream.len() {
        let (found, end) = split(stream.as_bytes().chunks(size), 100);
        assert!(end.is_ok(), "{size}: {end:?}");
        assert_eq!(
            found,
            [tricky, tricky].concat().iter().map(|o| o.as_bytes().to_vec()).collect::<Vec<_>>(),
            "{size}"
        );
    }
}

#[test]
fn an_object_may_have_exactly_the_limit() {
    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(92));
    assert_eq!(fits.len(), 100);
    let over = format!("{{\"a\":\"{}\"}}", "x".repeat(93));
    for size in [1, 7, 99, 100, 101, 1000] {
        let glued = fits.clone() + &fits;
        let (found, end) = split(glued.as_bytes().chunks(size), 100);
        assert!(found.len() == 2 && end.is_ok(), "{size}: {end:?}");
        let (found, end) = split(over.as_bytes().chunks(size), 100);
        assert!(found.is_empty() && matches!(end, Err(SplitError::TooLong { limit: 100 })), "{size}: {end:?}");
    }
}

#[test]
fn what_is_no_object_ends_the_stream() {
    for (bytes, first) in
        [("hello", b'h'), ("[{}]", b'['), ("null", b'n'), ("\"a\"", b'"'), ("{},{}", b','), ("{}}", b'}')]
    {
        let (_, end) = split([bytes.as_bytes()], 100);
        assert!(matches!(end, Err(SplitError::NotAnObject(byte)) if byte == first), "{bytes}: {end:?}");
    }
    let (_, end) = split([&b"\xef\xbb\xbf{}"[..]], 100);
    assert!(matches!(end, Err(SplitError::NotAnObject(0xef))), "{end:?}");
    let deep = "{\"a\":".repeat(JSON_DEPTH + 1);
    let (_, end) = split([deep.as_bytes()], LIMIT);
    assert!(matches!(end, Err(SplitError::TooDeep)), "{end:?}");
}

#[test]
fn an_object_that_is_not_finished_is_none() {
    let (found, end) = split([&b"{\"username\":\"alice\"}{\"message_"[..]], 100);
    assert_eq!(found.len(), 1);
    assert!(end.is_ok());
}

#[test]
fn the_first_object_names_the_user() {
    let plain = hello(br#"{"username":"alice"}"#).unwrap();
    assert_eq!((plain.name.as_str(), plain.secret.is_none()), ("alice", true));
    let account = hello(br#"{"secret":"correct horse","username":"alice","more":[1]}"#).unwrap();
    assert!(account.secret.is_some());
    assert!(!format!("{account:?}").contains("horse"));
    assert_eq!(hello(encode_hello("o'neil \"x\"", None).as_bytes()).unwrap().name.as_str(), "o'neil \"x\"");
    assert!(hello(encode_hello("bob", Some("correct horse")).as_bytes()).unwrap().secret.is_some());
}

#[test]
fn a_first_object_that_names_nobody_is_refused() {
    for bad in [
        "{}",
        r#"{"username":1}"#,
        r#"{"username":null}"#,
        r#"{"username":""}"#,
        r#"{"username":" bob"}"#,
        r#"{"username":"a\nb"}"#,
        r#"{"username":"a: b"}"#,
        r#"{"username":"alice#2"}"#,
        r#"{"username":"Server"}"#,
        r#"{"username":"SYSTEM"}"#,
        r#"{"username":"talk"}"#,
        r#"{"username":"healthcheck"}"#,
        r#"{"username":"a","username":"b"}"#,
        r#"{"username":"alice","secret":"short"}"#,
        r#"{"username":"alice","secret":1}"#,
        r#"{"username":"alice"#,
        r#"{"username":"alice\ud800"}"#,
        r#"{username:"alice"}"#,
        r#"[{"username":"alice"}]"#,
        "{\"username\":\"\u{202e}bob\"}",
    ] {
        assert!(hello(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(hello(b"{\"username\":\"\xff\"}").is_err());
}

#[test]
fn what_is_no_command_is_a_message() {
    let message = |text: &str| Said::Message(text.into());
    for (object, expected) in [
        (r#"{"message_type":"message","data":"hi"}"#, message("hi")),
        (r#"{"message_type":"greeting","data":"hi"}"#, message("hi")),
        (r#"{"message_type":7,"data":"hi"}"#, message("hi")),
        (r#"{"message_type":null,"data":"hi"}"#, message("hi")),
        (r#"{"data":"hi"}"#, message("hi")),
        (r#"{"message_type":"anything","data":"hi"}"#, message("hi")),
        (r#"{"data":"hi"}"#, message("hi")),
        (r#"{"message_type":"message","data":"cmd!current_time"}"#, message("cmd!current_time")),
        (r#"{"message_type":"message","data":""}"#, message("")),
        (r#"{"message_type":"message","data":"\u001b[2J\u0007a\tb\nc"}"#, message("[2Ja\tb\nc")),
        (r#"{"message_type":"command","data":"cmd!nope"}"#, Said::Command("cmd!nope".into())),
        (r#"{"message_type":"command","data":"hi"}"#, Said::Command("hi".into())),
    ] {
        assert_eq!(said(object.as_bytes(), LIMIT).unwrap(), expected, "{object}");
    }
    for bad in [
        "{}",
        r#"{"message_type":"message"}"#,
        r#"{"message_type":"message","data":null}"#,
        r#"{"message_type":"message","data":"a","data":"b"}"#,
        "{]",
        "{'data':'a'}",
    ] {
        assert!(said(bad.as_bytes(), LIMIT).is_err(), "{bad}");
    }
    let long = said(br#"{"message_type":"message","data":"12345"}"#, 4);
    assert_eq!(long, Err(CodecError::TooLong { limit: 4 }));
}

#[test]
fn a_command_has_a_word_and_perhaps_an_argument() {
    for (typed, expected) in [
        ("cmd!current_time", Some(("current_time", ""))),
        ("cmd!start_game:rock", Some(("start_game", "rock"))),
        ("cmd!start_game:", Some(("start_game", ""))),
        ("cmd!a:b:c", Some(("a", "b:c"))),
        ("cmd!", Some(("", ""))),
        ("current_time", None),
        ("CMD!current_time", None),
    ] {
        assert_eq!(Said::Command(typed.into()).command(), expected, "{typed}");
    }
    assert_eq!(Said::Message("cmd!current_time".into()).command(), None);
    for (typed, leaves) in
        [("cmd!client_exit", true), ("cmd!error", true), ("cmd!error:", false), ("client_exit", false)]
    {
        assert_eq!(Said::Command(typed.into()).leaves(), leaves, "{typed}");
    }
    assert!(!Said::Message("cmd!client_exit".into()).leaves());
}

#[test]
fn each_event_has_the_bytes_of_the_contract_or_none() {
    let room = RoomName::global;
    for (event, expected) in [
        (post("alice", "hello"), Some(r#"{"message_type":"message","sender":"alice","data":"hello"}"#)),
        (post("o\"n#2", "\"\\\tпривет"), Some(r#"{"message_type":"message","sender":"o\"n#2","data":"\"\\\tпривет"}"#)),
        (
            Event::Left { room: room(), user: nick("bob") },
            Some(r#"{"message_type":"system_message","sender":"bob","data":"Client 'bob' left the chat"}"#),
        ),
        (Event::System("a\nb".into()), Some(r#"{"message_type":"system_message","sender":"system","data":"a b"}"#)),
        (
            Event::Refused { why: Refusal::Muted("global".into()), id: None },
            Some(r#"{"message_type":"system_message","sender":"system","data":"you are muted in room global"}"#),
        ),
        (Event::Joined { room: room(), user: nick("bob") }, None),
        (Event::Renamed { room: room(), old: nick("bob"), new: nick("ann") }, None),
        (Event::Typing { room: room(), user: nick("bob") }, None),
        (Event::Closing(Closing::Stopping), None),
        (Event::Confirm { room: RoomKey::Room(room()), seq: 1 }, None),
    ] {
        assert_eq!(encoded(&event).as_deref(), expected, "{event:?}");
    }
}

#[test]
fn every_line_break_becomes_a_space_so_that_no_text_forges_a_line() {
    let text = encoded(&post("alice", "a\r\nb\nc\u{2028}d\u{2029}e\u{85}f\u{b}g")).unwrap();
    assert!(text.ends_with(r#""data":"a b c d e f g"}"#), "{text}");
}

#[test]
fn a_long_text_goes_out_in_objects_of_the_most_bytes_that_one_may_have() {
    for (unit, name) in [("x", "a"), ("\"", "a"), ("ж", "bob"), ("👋", "\"\"\""), ("\\\t", "ann"), ("a\"ж👋", "x")]
    {
        let body = unit.repeat(LIMIT / unit.len());
        let out = encoded(&post(name, &body)).unwrap();
        let objects = objects(out.as_bytes());
        let longest = unit.chars().map(|c| c.len_utf8().max(2)).max().unwrap();
        for object in &objects {
            assert!(object.len() <= MAX_HEARD, "{unit}: {}", object.len());
        }
        for object in &objects[..objects.len() - 1] {
            assert!(object.len() > MAX_HEARD - longest, "{unit}: {}", object.len());
        }
        let heard = heard(out.as_bytes());
        assert!(heard.iter().all(|heard| heard.sender == name && heard.kind == Kind::Message));
        assert_eq!(heard.iter().map(|heard| heard.data.as_str()).collect::<String>(), body);
    }
}

#[test]
fn the_longest_name_leaves_room_for_the_text() {
    for unit in ["👋", "\""] {
        let name = unit.repeat(64) + "#4294967295";
        let out = encoded(&post(&name, &"x".repeat(3000))).unwrap();
        assert!(objects(out.as_bytes()).iter().all(|object| object.len() <= MAX_HEARD));
        assert!(heard(out.as_bytes()).len() <= 5);
    }
}

#[test]
fn what_a_name_too_long_to_be_one_costs_is_bounded() {
    let out = encoded(&post(&"x".repeat(2000), "abc")).unwrap();
    assert_eq!(heard(out.as_bytes()).iter().map(|heard| heard.data.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn what_a_client_says_goes_out_in_objects_that_a_server_in_the_field_reads_at_once() {
    assert_eq!(encode_message("hi\nall"), [r#"{"message_type":"message","data":"hi all"}"#]);
    assert_eq!(encode_message(""), [r#"{"message_type":"message","data":""}"#]);
    for unit in ["x", "\"", "ж", "👋", "\\\t", "a\"ж👋"] {
        let text = unit.repeat(LIMIT / unit.len());
        let objects = encode_message(&text);
        let longest = unit.chars().map(|c| c.len_utf8().max(2)).max().unwrap();
        for object in &objects[..objects.len() - 1] {
            assert!(object.len() > MAX_SENT - longest, "{unit}: {}", object.len());
        }
        assert_eq!(whole(&objects), text);
    }
}

#[test]
fn the_first_object_of_what_was_written_is_found() {
    let mut out = BytesMut::new();
    message(&mut out, "ann", "}{\"}{");
    let one = out.len();
    system_message(&mut out, "ann", "two");
    assert_eq!(first_object(&out), one);
    assert_eq!(first_object(&out[one..]), out.len() - one);
    assert_eq!(first_object(b"{"), 1);
}

/// The text in what a client said, each object of which a server in the field can read.
fn whole(objects: &[String]) -> String {
    let text = |object: &String| match said(object.as_bytes(), MAX_SENT).unwrap() {
        Said::Message(text) if object.len() <= MAX_SENT => text.to_string(),
        other => panic!("{} bytes: {other:?}", object.len()),
    };
    objects.iter().map(text).collect()
}

proptest! {
    #[test]
    fn any_segmentation_gives_the_same_objects(
        texts in prop::collection::vec(any::<String>(), 1..6),
        kinds in prop::collection::vec(any::<bool>(), 6),
        spaces in prop::collection::vec("[ \r\n\t]{0,3}", 6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let written: Vec<Said> = texts.iter().zip(&kinds).map(|(text, command)| match command {
            true => Said::Command(text.clone()),
            false => Said::Message(crate::text::clean(text).into()),
        }).collect();
        let stream: String = written.iter().zip(&spaces).map(|(said, space)| encode_said(said) + space).collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([0, stream.len()]).collect();
        ends.sort_unstable();
        let pieces = ends.windows(2).map(|ends| &stream.as_bytes()[ends[0]..ends[1]]);
        let (found, end) = split(pieces, LIMIT);
        prop_assert!(end.is_ok());
        let read: Vec<Said> = found.iter().map(|object| said(object, LIMIT).unwrap()).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn bytes_of_any_kind_end_the_same_way_however_they_come(
        bytes in prop::collection::vec(prop::sample::select(&b"{}[]\"\\a \xff"[..]), 0..60),
        size in 1..20usize,
    ) {
        let (whole, end) = split([&bytes[..]], 20);
        let (pieces, other) = split(bytes.chunks(size), 20);
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(end.map_err(|e| e.to_string()), other.map_err(|e| e.to_string()));
    }

    #[test]
    fn what_a_client_says_comes_in_again_however_long(text in any::<String>(), times in 1..60usize) {
        let text = crate::text::clean(&text).repeat(times);
        prop_assert_eq!(whole(&encode_message(&text)), crate::text::one_line(&text));
    }

    #[test]
    fn what_goes_out_comes_in_again(sender in "\\PC{1,64}", text in any::<String>()) {
        let mut out = BytesMut::new();
        message(&mut out, &sender, &text);
        let heard = heard(&out);
        let whole: String = heard.iter().map(|heard| heard.data.as_str()).collect();
        prop_assert_eq!(&*crate::text::one_line(&text), whole);
        prop_assert!(objects(&out).iter().all(|object| object.len() <= MAX_HEARD));
        prop_assert!(heard.iter().all(|heard| heard.sender == sender));
    }
}
