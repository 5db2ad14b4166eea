//! What a session or a room server sends: any bytes are answered without a panic, a command that is understood means
//! the same when it is written again, and what a client heard is the same when the server says it again.
#![no_main]

use std::sync::Arc;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use talk::codec::Encode;
use talk::codec::rooms::{
    Heard, HeardPlain, Mode, Plain, Rich, confirmed, decode, encode_command, hear_plain, hear_rich,
};
use talk::message::Event;

const LIMIT: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    for mode in [Mode::Plain, Mode::Rich] {
        match decode(bytes, mode, LIMIT) {
            Ok(command) => {
                let again = encode_command(&command);
                assert_eq!(decode(again.as_bytes(), mode, LIMIT).ok(), Some(command));
            }
            Err((why, id)) => {
                let error = hear_rich(&written(&Rich, &Event::Refused { why: why.clone(), id: id.clone() }));
                assert_eq!(error, Ok(Heard::Error { code: why.code().to_owned(), body: why.to_string(), id }));
            }
        }
    }
    if let Some(seq) = confirmed(bytes) {
        assert_eq!(format!("direct {seq}").as_bytes(), bytes);
    }
    let _ = hear_plain(bytes);
    let Ok(heard) = hear_rich(bytes) else { return };
    if let Some(event) = event(&heard) {
        assert_eq!(hear_rich(&written(&Rich, &event)), Ok(heard));
    }
    if let Ok(Heard::Message(post)) = hear_rich(bytes) {
        let said = HeardPlain { from: post.record.from.to_string(), body: post.record.body.to_string() };
        assert_eq!(hear_plain(&written(&Plain, &Event::Message(Arc::new(*post)))), Ok(said));
    }
});

/// What a server would have said, where it can be told from what was heard.
fn event(heard: &Heard) -> Option<Event> {
    Some(match heard.clone() {
        Heard::Message(post) => Event::Message(Arc::new(*post)),
        Heard::Accepted { id, room, at } => Event::Accepted { id, room, at },
        Heard::Receipt { id, room, seq, sent, delivered, members } => {
            let [sent, delivered, members] = [sent, delivered, members].map(|n| n as usize);
            Event::Receipt { id, room, seq, sent, delivered, members }
        }
        Heard::Gap { room, from, to } => Event::Gap { room, from, to },
        Heard::Recovered { room, epoch, from, to, recovered } => Event::Recovered { room, epoch, from, to, recovered },
        Heard::Found { room, text, messages, before } => {
            let epoch = messages.first()?.epoch.clone();
            if messages.iter().any(|post| post.epoch != epoch) {
                return None;
            }
            let records = messages.into_iter().map(|post| post.record).collect();
            Event::Found { room, text: text.into(), epoch, records, before }
        }
        Heard::Sessions(sign_ins) => Event::Sessions(sign_ins.into()),
        Heard::Users { room, names } => Event::Users { room, names: names.into() },
        Heard::Rooms { names, sessions } => Event::Rooms {
            names: names.into(),
            sessions: sessions.into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?,
        },
        Heard::System(text) => Event::System(text.into()),
        _ => return None,
    })
}

/// The payload of the one text frame that an encoder wrote.
fn written(encoder: &dyn Encode, event: &Event) -> Vec<u8> {
    let mut out = BytesMut::new();
    assert!(encoder.encode(event, &mut out));
    let header = match out[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    out[header..].to_vec()
}
