//! The room protocol in docs/protocols.md and its schemas in docs/schemas, held to the codec: what they show, name and
//! allow is what the code reads and writes, and nothing else.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BytesMut;
use common::page::{blocks, codes, rows};
use common::schema::{Document, matches};
use serde_json::{Value, json};
use talk::codec::Encode;
use talk::codec::rooms::{Heard, Mode, Plain, Rich, decode, hear_plain, hear_rich};
use talk::limits::Limits;
use talk::message::{
    Closing, Delivery, Epoch, Event, MessageId, Position, Post, Record, Refusal, RoomKey, SignIn, Timestamp, UserId,
};
use talk::name::{Nickname, RoomName};

/// What there is for each mode: its command part and schema, and its frame part and schema.
const MODES: [(Mode, &str, &str, &str, &str); 2] = [
    (Mode::Plain, "Plain commands", "rooms-plain-in", "Plain frames", "rooms-plain-out"),
    (Mode::Rich, "Rich commands", "rooms-rich-in", "Rich frames", "rooms-rich-out"),
];

fn schema(name: &str) -> Document {
    let path = format!("{}/docs/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema");
    Document(document)
}

/// The alternatives of a schema; a schema without is its own only one.
fn alternatives(document: &Document) -> Vec<&Value> {
    match document.0.get("oneOf") {
        Some(list) => list.as_array().unwrap().iter().map(|schema| document.resolved(schema)).collect(),
        None => vec![&document.0],
    }
}

/// The alternative that a value fits.
fn fitting<'a>(document: &'a Document, value: &Value) -> &'a Value {
    assert_eq!(document.misfit(&document.0, value, ""), None);
    match document.0.get("oneOf") {
        Some(list) => document.only(list, value).unwrap(),
        None => &document.0,
    }
}

/// The JSON examples under a heading.
fn examples(under: &str) -> Vec<Value> {
    let blocks = blocks("json").filter(|(heading, _)| *heading == under);
    blocks.flat_map(|(_, block)| block.lines()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn understood(frame: &Value, mode: Mode) -> bool {
    decode(frame.to_string().as_bytes(), mode, Limits::default().message).is_ok()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn required(schema: &Value) -> BTreeSet<&str> {
    schema["required"].as_array().into_iter().flatten().map(|key| key.as_str().unwrap()).collect()
}

/// The names that an alternative's `type` may be.
fn kinds(schema: &Value) -> Vec<&str> {
    let kind = &schema["properties"]["type"];
    let list = kind.get("enum").and_then(Value::as_array).into_iter().flatten();
    kind.get("const").into_iter().chain(list).map(|kind| kind.as_str().unwrap()).collect()
}

#[test]
fn every_example_is_read_by_the_codec_and_fits_its_schema() {
    for (mode, commands, inward, frames, outward) in MODES {
        let (inward, outward) = (schema(inward), schema(outward));
        let mut shown: Vec<*const Value> = Vec::new();
        for frame in examples(commands) {
            assert!(understood(&frame, mode), "{frame}");
            shown.push(fitting(&inward, &frame));
        }
        for frame in examples(frames) {
            let text = frame.to_string();
            match mode {
                Mode::Plain => assert!(hear_plain(text.as_bytes()).is_ok(), "{frame}"),
                Mode::Rich => {
                    let heard = hear_rich(text.as_bytes()).unwrap_or_else(|e| panic!("{frame}: {e}"));
                    assert!(!matches!(heard, Heard::Other(_)), "{frame}");
                }
            }
            shown.push(fitting(&outward, &frame));
        }
        for schema in alternatives(&inward).into_iter().chain(alternatives(&outward)) {
            assert!(shown.contains(&std::ptr::from_ref(schema)), "no example of {}", schema["title"]);
        }
    }
    for frame in examples("Coming back") {
        assert!(understood(&frame, Mode::Rich), "{frame}");
    }
}

#[test]
fn every_kind_has_a_row_with_its_fields_and_an_example() {
    let plain: BTreeSet<&str> = rows("Plain commands").iter().flat_map(|row| codes(row[0])).collect();
    for (mode, commands, inward, frames, outward) in MODES {
        let inward = schema(inward);
        let mut named: BTreeSet<&str> = rows(commands).iter().flat_map(|row| codes(row[0])).collect();
        for row in rows(commands) {
            let arguments: BTreeSet<&str> = codes(row[1]).into_iter().filter(|code| *code != "@id").collect();
            for kind in codes(row[0]) {
                let mut all = alternatives(&inward).into_iter();
                let schema = all.find(|schema| kinds(schema).contains(&kind)).unwrap_or_else(|| panic!("{kind}"));
                let args = &schema["properties"]["args"];
                let told = keys(&args["properties"]);
                // What says one thing for several commands leaves out what means nothing to one of them.
                let fits = told == arguments || kind == "kick" && told.is_superset(&arguments);
                assert!(fits, "{kind}: {told:?}, {arguments:?}");
                let (_, optional) = row[1].split_once("optional").unwrap_or((row[1], ""));
                let optional: BTreeSet<&str> = codes(optional).into_iter().filter(|code| *code != "@id").collect();
                assert_eq!(required(args), &arguments - &optional, "{kind}");
            }
        }
        if mode == Mode::Rich {
            named.extend(&plain);
        }
        let known: BTreeSet<&str> = alternatives(&inward).into_iter().flat_map(kinds).collect();
        assert_eq!(named, known);
        let shown = examples(commands);
        let shown: BTreeSet<&str> = shown.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
        assert_eq!(shown, known);

        let outward = schema(outward);
        if mode == Mode::Plain {
            continue;
        }
        // Several rows or several alternatives may be of one type: each has its other.
        let told = |schema: &Value| -> BTreeSet<String> {
            let mut fields: BTreeSet<String> = keys(&schema["properties"]).into_iter().map(Into::into).collect();
            if let Some(items) = schema["properties"].get("sessions").map(|list| outward.resolved(&list["items"])) {
                fields.extend(keys(&items["properties"]).into_iter().map(Into::into));
            }
            fields.remove("type");
            fields
        };
        let rows: Vec<(&str, BTreeSet<String>)> = rows(frames)
            .iter()
            .map(|row| {
                let fields = codes(row[1]).into_iter().filter(|code| !["@id", "renamed"].contains(code));
                (codes(row[0])[0], fields.map(Into::into).collect())
            })
            .collect();
        for schema in alternatives(&outward) {
            let mut rows = rows.iter().filter(|(kind, _)| kinds(schema) == [*kind]);
            assert!(rows.any(|(_, fields)| told(schema).is_subset(fields)), "{} is in no row", schema["title"]);
        }
        for (kind, fields) in &rows {
            let mut schemas = alternatives(&outward).into_iter().filter(|schema| kinds(schema) == [*kind]);
            assert!(schemas.any(|schema| told(schema) == *fields), "{kind}: {fields:?}");
        }
    }
}

#[test]
fn the_schemas_of_commands_allow_what_the_codec_takes_and_nothing_else() {
    let long = |length: usize| json!("x".repeat(length));
    let strange = [
        json!(null),
        json!(true),
        json!(0),
        json!(7),
        json!(u64::MAX),
        json!(-1),
        json!(1.5),
        json!(7.0),
        json!(3_153_600_000_u64),
        json!(3_153_600_001_u64),
        json!([]),
        json!({}),
        json!([{}]),
        json!(""),
        json!("x"),
        json!("xy"),
        json!("_-"),
        json!("1x"),
        json!("a b"),
        json!("a.b"),
        json!("."),
        json!(".."),
        json!("a\nb"),
        json!("a\u{9f}"),
        json!("привет"),
        json!("@"),
        json!("@bob"),
        json!("@0197f3c8a2b47d319c572f6de14a8b90"),
        json!("@0197F3C8A2B47D319C572F6DE14A8B90"),
        json!("@0197f3c8-a2b4-7d31-9c57-2f6de14a8b90"),
        long(64),
        long(65),
        long(256),
        long(257),
        long(16 * 1024),
        long(16 * 1024 + 1),
    ];
    let mut tried = BTreeMap::from([(true, 0), (false, 0)]);
    for (mode, commands, inward, ..) in MODES {
        let schema = schema(inward);
        let mut check = |frame: &Value| {
            let (misfit, understood) = (schema.misfit(&schema.0, frame, ""), understood(frame, mode));
            assert_eq!(misfit.is_none(), understood, "{mode:?}: {frame}");
            *tried.get_mut(&understood).unwrap() += 1;
        };
        // Every type with every other's arguments, rich ones in plain mode too.
        let all: Vec<Value> = MODES.iter().flat_map(|(_, commands, ..)| examples(commands)).collect();
        for kind in &all {
            for args in &all {
                check(&json!({ "type": kind["type"], "args": args["args"], "more": 1 }));
            }
            check(&json!({ "type": kind["type"] }));
        }
        for frame in examples(commands) {
            for value in &strange {
                for key in ["type", "args"] {
                    let mut changed = frame.clone();
                    changed[key] = value.clone();
                    check(&changed);
                }
            }
            let arguments = keys(&fitting(&schema, &frame)["properties"]["args"]["properties"]);
            for argument in arguments.into_iter().chain(["unheard-of"]) {
                let mut changed = frame.clone();
                if changed.get("args").is_none() {
                    changed["args"] = json!({});
                }
                for value in &strange {
                    changed["args"][argument] = value.clone();
                    check(&changed);
                }
                changed["args"].as_object_mut().unwrap().remove(argument);
                check(&changed);
            }
        }
    }
    assert!(tried.values().all(|count| *count > 1000), "{tried:?}");
}

/// Events of every kind, with everything that may be left out there and not.
fn events() -> Vec<Event> {
    let den = || RoomName::new("den").unwrap();
    let own = || RoomKey::Direct(UserId::random());
    let nick = |name: &str| Nickname::new(name).unwrap();
    let id = || MessageId::new("c-1").unwrap();
    let epoch = || Epoch::new("e1").unwrap();
    let record = |room, id| Record {
        room,
        seq: 2,
        prev: 1,
        at: Timestamp::from_millis(1_767_225_600_000),
        user: UserId::random(),
        from: "alice".into(),
        id,
        body: "hello".into(),
    };
    let sign_in = |ends: Option<u64>| SignIn {
        id: "s-1".into(),
        issued: Timestamp::from_millis(1),
        connections: 1,
        ends: ends.map(Timestamp::from_millis),
        current: ends.is_none(),
    };
    let mut events = vec![
        Event::Joined { room: den(), user: nick("alice") },
        Event::Left { room: den(), user: nick("alice") },
        Event::Renamed { room: den(), old: nick("alice"), new: nick("bob") },
        Event::Typing { room: den(), user: nick("alice") },
        Event::Receipt { id: id(), room: den(), seq: 2, sent: 1, delivered: 0, members: 1 },
        Event::Sessions(Arc::new([sign_in(None), sign_in(Some(5))])),
        Event::Users { room: den(), names: "alice\nbob".into() },
        Event::Rooms { names: "den\nglobal".into(), sessions: [2, 5].into() },
        Event::System("you were kicked from room den".into()),
        Event::Refused { why: Refusal::Full, id: None },
        Event::Refused { why: Refusal::Full, id: Some(id()) },
    ];
    for (state, reason) in [
        (Delivery::Sent, None),
        (Delivery::Delivered, None),
        (Delivery::Unconfirmed, None),
        (Delivery::Failed, Some("gone")),
    ] {
        events.push(Event::DirectReceipt { id: id(), to: "bob".into(), state, reason });
    }
    for room in [RoomKey::Room(den()), own()] {
        let post = |id| Event::Message(Arc::new(Post { epoch: epoch(), record: record(room.clone(), id) }));
        let found = |before| Event::Found {
            room: room.clone(),
            text: "x".into(),
            epoch: epoch(),
            records: [record(room.clone(), None), record(room.clone(), Some(id()))].into(),
            before,
        };
        events.extend([
            post(None),
            post(Some(id())),
            Event::Accepted { id: id(), room: room.clone(), at: Position { epoch: epoch(), seq: 2 } },
            Event::Gap { room: room.clone(), from: 0, to: 1 },
            Event::Recovered { room: room.clone(), epoch: epoch(), from: 0, to: 2, recovered: true },
            Event::History { room: room.clone(), epoch: epoch(), count: 2, more: false },
            found(None),
            found(Some(2)),
        ]);
    }
    events
}

/// The payload of the frame that an encoder wrote.
fn written(encoder: &dyn Encode, event: &Event) -> Option<Vec<u8>> {
    let mut out = BytesMut::new();
    if !encoder.encode(event, &mut out) {
        return None;
    }
    Some(out[if out[1] < 126 { 2 } else { 4 }..].to_vec())
}

/// Which fields were seen under a schema in every value, and in any.
#[derive(Default)]
struct Seen {
    always: Option<BTreeSet<String>>,
    ever: BTreeSet<String>,
}

impl Seen {
    fn note(&mut self, value: &Value) {
        let keys: BTreeSet<String> = keys(value).into_iter().map(Into::into).collect();
        self.always = Some(self.always.as_ref().map_or(keys.clone(), |always| always & &keys));
        self.ever.extend(keys);
    }

    /// Whether the schema requires what is always there, and names what ever is.
    fn check(&self, schema: &Value) {
        let owned = |keys: BTreeSet<&str>| keys.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(self.always, Some(owned(required(schema))), "{schema}");
        assert_eq!(self.ever, owned(keys(&schema["properties"])), "{schema}");
    }
}

#[test]
fn the_schemas_of_frames_name_what_the_codec_writes_and_nothing_else() {
    for (encoder, name) in [(&Plain as &dyn Encode, "rooms-plain-out"), (&Rich, "rooms-rich-out")] {
        let document = schema(name);
        let mut seen: BTreeMap<*const Value, Seen> = BTreeMap::new();
        for event in events() {
            let Some(payload) = written(encoder, &event) else { continue };
            let frame: Value = serde_json::from_slice(&payload).unwrap();
            seen.entry(fitting(&document, &frame)).or_default().note(&frame);
            let items = |key: &str| frame.get(key).and_then(Value::as_array).into_iter().flatten();
            for item in items("messages").chain(items("sessions")).filter(|item| item.is_object()) {
                let kind = if item.get("type").is_some() { "message" } else { "session" };
                seen.entry(&document.0["$defs"][kind]).or_default().note(item);
            }
        }
        for schema in alternatives(&document).into_iter().chain(document.0.pointer("/$defs/session")) {
            let seen = seen.get(&std::ptr::from_ref(schema)).unwrap_or_else(|| panic!("no {}", schema["title"]));
            seen.check(schema);
        }
    }
}

/// One refusal of every kind, with the names that the page has in its examples.
fn refusals() -> Vec<Refusal> {
    let [den, bob] = ["den", "bob"].map(String::from);
    vec![
        Refusal::Unparsable,
        Refusal::Argument { command: "message", argument: "body" },
        Refusal::Unknown("x".into()),
        Refusal::Taken(bob.clone()),
        Refusal::BadNickname("1x".into()),
        Refusal::NoRoom(den.clone()),
        Refusal::RoomExists(den.clone()),
        Refusal::BadRoomName("1bad".into()),
        Refusal::NotInRoom(den.clone()),
        Refusal::InNoRoom,
        Refusal::NoUser(bob.clone()),
        Refusal::TooManyRooms(Limits::default().rooms_per_user),
        Refusal::Full,
        Refusal::IdReused,
        Refusal::TooFast,
        Refusal::Forbidden,
        Refusal::Banned(den.clone()),
        Refusal::Muted(den.clone()),
        Refusal::RoomClosed(den),
        Refusal::Blocked(bob.clone()),
        Refusal::NoDirect(bob),
        Refusal::NoSession,
        Refusal::Busy,
        Refusal::Unavailable,
        Refusal::Over,
    ]
}

#[test]
fn every_refusal_has_its_row_and_no_row_is_of_none() {
    let source = include_str!("../src/message/command.rs");
    assert_eq!(refusals().len(), source.matches("#[error(").count(), "a refusal is not listed here");
    let told: Vec<_> = refusals().iter().map(|why| (why.code().to_owned(), why.to_string())).collect();
    let page: Vec<_> = rows("Refusals of commands")
        .iter()
        .map(|row| (codes(row[0])[0].to_owned(), codes(row[1])[0].to_owned()))
        .collect();
    assert_eq!(page, told);
    let document = schema("rooms-rich-out");
    let error = alternatives(&document).into_iter().find(|schema| kinds(schema) == ["error"]).unwrap();
    let listed = error["properties"]["code"]["examples"].as_array().unwrap();
    let listed: BTreeSet<&str> = listed.iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(listed, told.iter().map(|(code, _)| code.as_str()).collect::<BTreeSet<_>>());
}

#[test]
fn closes_and_limits_are_those_of_the_code() {
    let rows = rows("Closes and limits");
    let cell = |first: &str| {
        let row = rows.iter().find(|row| row[0] == first);
        row.unwrap_or_else(|| panic!("no row for {first}"))[1].replace(',', "")
    };
    for why in [Closing::Exit, Closing::Stopping, Closing::TooSlow, Closing::TooFast, Closing::Revoked] {
        let payload = written(&Rich, &Event::Closing(why)).unwrap();
        cell(&u16::from_be_bytes([payload[0], payload[1]]).to_string());
    }
    let limits = Limits::default();
    assert_eq!(
        cell("commands of a session"),
        format!("{} a second {} at once", limits.commands_per_second, limits.commands_burst)
    );
    assert_eq!(
        cell("what waits for a session that does not read"),
        format!("{} MiB or {} messages", limits.member_bytes >> 20, limits.member_messages)
    );
    assert_eq!(cell("a text"), format!("{} KiB", limits.message >> 10));
    assert_eq!(cell("rooms that one user has made, and that one session is in"), limits.rooms_per_user.to_string());
    assert_eq!(cell("rooms on the server"), limits.rooms.to_string());
    assert_eq!(cell("messages that one `history` answers with"), talk::store::MAX_PAGE.to_string());
    assert!(cell("1009").contains(&format!("{} KiB", limits.frame >> 10)));
    let body = schema("rooms-rich-in").0["$defs"]["body"]["maxLength"].clone();
    assert_eq!(body, limits.message);
}

#[test]
fn patterns_are_read_as_regular_expressions() {
    for (pattern, yes, no) in [
        ("^[0-9]+$", &["0", "42"][..], &["", "a", "4a", "a4"][..]),
        ("^@[0-9a-f]{4}$", &["@0af9"], &["@0af", "@0af99", "0af9", "@0aF9", ""]),
        ("^[A-Za-z_][A-Za-z0-9_-]{1,3}$", &["ab", "_-", "a-9_"], &["a", "9a", "abcde", "a.b", "-a"]),
        ("^[a-z0-9._-]{1,2}$", &["-", "._"], &["", "A", "abc"]),
        ("^[^\\u0000-\\u001f\\u007f-\\u009f]{1,2}$", &["a", "яя", "\u{a0}"], &["", "\n", "a\u{7f}", "\u{9f}", "abc"]),
    ] {
        for text in yes {
            assert!(matches(pattern, text), "{pattern} is {text:?}");
        }
        for text in no {
            assert!(!matches(pattern, text), "{pattern} is not {text:?}");
        }
    }
}
