//! What peers hear of a room: each text with its sender before it, on one line, so that no text can pass for another's.

use bytes::BytesMut;

use crate::codec::Encode;
use crate::hub::Encoding;
use crate::message::{Event, RoomKey};
use crate::text::one_line;

/// The text of the message that tells a peer of an event. Under which name it is sent is not in it, so that all peers
/// share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies;

/// How every peer's events become texts.
pub(super) const ENCODING: Encoding = Encoding::new("peer", &Copies).remote();

impl Encode for Copies {
    fn encode(&self, event: &Event, out: &mut BytesMut) -> bool {
        match event {
            Event::Message(post) => match &post.record.room {
                RoomKey::Room(_) => put(out, &post.record.from, &post.record.body),
                // Sent under its author's own name. Nothing at all would be no event.
                RoomKey::Direct(_) if post.record.body.is_empty() => out.extend_from_slice(b" "),
                RoomKey::Direct(_) => out.extend_from_slice(post.record.body.as_bytes()),
            },
            // What concerns this peer alone. Nobody else can have that name.
            Event::Refused { why, .. } => put(out, SYSTEM, &why.to_string()),
            Event::System(text) | Event::Users { names: text, .. } | Event::Rooms { names: text, .. } => {
                put(out, SYSTEM, text)
            }
            _ => return false,
        }
        true
    }
}

/// A copy in as many texts as it takes for none of them to be longer than `most`, each with the sender before it.
pub(super) fn pieces(copy: &str, most: usize) -> Vec<String> {
    let Some(before) = copy.find(SAYS).map(|at| at + SAYS.len()).filter(|_| copy.len() > most) else {
        return vec![copy.to_owned()];
    };
    let (before, mut rest) = copy.split_at(before);
    let room = most.saturating_sub(before.len()).max(LONGEST_CHARACTER);
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let cut = (0..=room.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (piece, left) = rest.split_at(cut);
        pieces.push(format!("{before}{piece}"));
        rest = left;
    }
    pieces
}

fn put(out: &mut BytesMut, sender: &str, text: &str) {
    for part in [sender, SAYS, &one_line(text)] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Ends the sender: no nickname holds it.
const SAYS: &str = ": ";
const SYSTEM: &str = "system";
const LONGEST_CHARACTER: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message::{Epoch, Post, Record, Refusal, Timestamp, UserId};
    use crate::name::RoomName;

    fn copy(event: &Event) -> Option<String> {
        let mut out = BytesMut::new();
        Copies.encode(event, &mut out).then(|| String::from_utf8(out.to_vec()).unwrap())
    }

    fn said(from: &str, body: &str) -> Event {
        let (room, user) = (RoomKey::Room(RoomName::global()), UserId::random());
        let (at, from, body) = (Timestamp::default(), from.into(), body.into());
        let record = Record { room, seq: 1, prev: 0, at, user, from, id: None, body };
        Event::Message(Arc::new(Post { epoch: Epoch::random(), record }))
    }

    #[test]
    fn a_text_has_its_sender_before_it_and_one_line() {
        assert_eq!(copy(&said("ann", "hi")).unwrap(), "ann: hi");
        assert_eq!(copy(&said("ann#2", "")).unwrap(), "ann#2: ");
        for forged in ["hi\nbob: hello", "hi\r\nbob: hello", "hi\u{2028}bob: hello", "hi\u{85}bob: hello"] {
            assert_eq!(copy(&said("eve", forged)).unwrap(), "eve: hi bob: hello");
        }
    }

    #[test]
    fn comings_and_goings_are_not_told_but_refusals_are() {
        let (room, user) = (RoomName::global(), crate::name::Nickname::new("ann").unwrap());
        assert_eq!(copy(&Event::Joined { room: room.clone(), user: user.clone() }), None);
        assert_eq!(copy(&Event::Left { room, user }), None);
        let refused = Event::Refused { why: Refusal::Muted("global".into()), id: None };
        assert_eq!(copy(&refused).unwrap(), "system: you are muted in room global");
    }

    #[test]
    fn what_is_too_long_with_its_sender_is_cut_between_characters() {
        let text = "ж".repeat(20);
        let copy = format!("ann: {text}");
        assert_eq!(pieces(&copy, copy.len()), std::slice::from_ref(&copy));
        let cut = pieces(&copy, 20);
        assert!(cut.iter().all(|piece| piece.len() <= 20 && piece.starts_with("ann: ")), "{cut:?}");
        let whole: String = cut.iter().map(|piece| &piece["ann: ".len()..]).collect();
        assert_eq!(whole, text);
        assert_eq!(pieces("aж: long enough", 3).len(), 3, "a bound too small for any text still ends");
    }
}
