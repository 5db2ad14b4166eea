//! What clients of pair chat, or a server of it, send: no text panics, what is understood means the same when a client
//! sends it again, and what somebody says arrives as one line under the speaker's name, whatever both hold.
#![no_main]

use std::sync::Arc;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use talk::codec::Encode;
use talk::codec::pair::{Asked, Heard, Lines, Recipient, Stage, Word, decode, hear, is_recipient, nick, say, word};
use talk::message::{Epoch, Event, Post, Record, Refusal, RoomKey, Timestamp, UserId};
use talk::name::Nickname;
use talk::text::one_line;

const LIMIT: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for stage in [Stage::Nick, Stage::Peer, Stage::Chat] {
        let asked = decode(text, stage, LIMIT);
        if let Some(again) = asked.frame() {
            assert_eq!(decode(again, stage, LIMIT), asked);
        }
        if let Asked::Say(said) = asked {
            assert!(said.len() <= LIMIT && !said.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }
    }
    if let Some(name) = nick(text) {
        assert!((3..=20).contains(&name.as_str().chars().count()));
        assert_eq!(name.as_str(), text);
    }
    let _ = (hear(text), word(text));
    if let Some(frame) = say(text) {
        assert!(matches!(decode(&frame, Stage::Chat, usize::MAX), Asked::Say(said) if *said == *frame));
    }
    if is_recipient(text) {
        assert_eq!(decode(text, Stage::Peer, LIMIT), Asked::Peer(text.into()));
    }
    // The first line is a name, the rest a text.
    let (from, body) = text.split_once('\n').unwrap_or((text, "hi"));
    let Ok(from) = Nickname::new(from) else { return };
    let said = written(&message(&from, body));
    let shown = from.as_str().replace('[', "\u{ff3b}").replace(']', "\u{ff3d}");
    assert_eq!(hear(&said), Some(Heard::Said { from: &shown, text: &one_line(body) }));
    let id = Some(Recipient::User(from).id(1));
    let refused = written(&Event::Refused { why: Refusal::Blocked(body.into()), id });
    assert!(one_line(&refused) == refused);
    let Some(Heard::Server(refused)) = hear(&refused) else { panic!("{refused:?}") };
    assert!(matches!(word(refused), Word::NotDelivered { .. }), "{refused:?}");
});

fn message(from: &Nickname, body: &str) -> Event {
    let record = Record {
        room: RoomKey::Direct(UserId::from_bytes([0; 16])),
        seq: 1,
        prev: 0,
        at: Timestamp::from_millis(0),
        user: UserId::from_bytes([1; 16]),
        from: from.as_str().into(),
        id: None,
        body: body.into(),
    };
    Event::Message(Arc::new(Post { epoch: Epoch::new("e").unwrap(), record }))
}

/// The payload of the one text frame that was written.
fn written(event: &Event) -> String {
    let mut out = BytesMut::new();
    assert!(Lines.encode(event, &mut out));
    let header = match out[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    String::from_utf8(out[header..].to_vec()).unwrap()
}
