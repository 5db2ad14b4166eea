use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::message::{Delivery, Moderation, Position, Refusal, SignIn};
use crate::text;

fn body() -> impl Strategy<Value = Arc<str>> {
    any::<String>()
        .prop_map(|body| text::clean(&body).into())
        .prop_filter("something is left", |b: &Arc<str>| !b.is_empty())
}

fn reason() -> impl Strategy<Value = Option<Arc<str>>> {
    option::of("\\PC{1,60}".prop_map(|reason| text::clean(&text::one_line(&reason)).into()))
}

fn room() -> impl Strategy<Value = RoomName> {
    "[A-Za-z0-9_.-]{1,64}".prop_filter_map("dots are no name", |name| RoomName::new(&name).ok())
}

fn key() -> impl Strategy<Value = RoomKey> {
    prop_oneof![
        room().prop_map(RoomKey::Room),
        any::<[u8; 16]>().prop_map(|id| RoomKey::Direct(UserId::from_bytes(id)))
    ]
}

fn message_id() -> impl Strategy<Value = MessageId> {
    "\\PC{1,16}".prop_filter_map("no id", |id| MessageId::new(&id).ok())
}

fn some_epoch() -> impl Strategy<Value = Epoch> {
    "\\PC{1,16}".prop_filter_map("no epoch", |epoch| Epoch::new(&epoch).ok())
}

fn nickname() -> impl Strategy<Value = Nickname> {
    "[A-Za-z_][A-Za-z0-9_-]{1,63}".prop_filter_map("reserved", |name| Nickname::new(&name).ok())
}

/// What somebody may be called on any wire, or by mistake.
fn anybody() -> impl Strategy<Value = String> {
    any::<String>()
}

fn moderation() -> impl Strategy<Value = Moderation> {
    use Moderation::{Ban, Kick, Mute, Unban, Unmute};
    proptest::sample::select(vec![Kick, Ban, Unban, Mute, Unmute])
}

/// Commands as decoding makes them in rich mode.
fn rich() -> impl Strategy<Value = Command> {
    let number = || option::of(any::<u64>());
    prop_oneof![
        (room(), body(), option::of(message_id())).prop_map(|(room, body, id)| Command::Say {
            room: Some(room),
            body,
            id
        }),
        (anybody(), body(), option::of(message_id())).prop_map(|(to, body, id)| Command::Direct { to, body, id }),
        room().prop_map(Command::Enter),
        room().prop_map(|room| Command::Leave(Some(room))),
        room().prop_map(Command::Switch),
        nickname().prop_map(|name| Command::Create(RoomName::new(name.as_str()).unwrap())),
        nickname().prop_map(Command::Rename),
        room().prop_map(Command::Typing),
        option::of(room()).prop_map(Command::ListUsers),
        Just(Command::ListRooms),
        (key(), any::<u64>()).prop_map(|(room, seq)| Command::Received { room, seq }),
        (option::of(key()), number(), number(), number()).prop_map(|(room, after, before, limit)| Command::History {
            room,
            after,
            before,
            limit
        }),
        (key(), "\\PC{1,60}", number(), number()).prop_map(|(room, text, before, limit)| Command::Search {
            room,
            text,
            before,
            limit
        }),
        (key(), some_epoch(), any::<u64>()).prop_map(|(room, epoch, seq)| Command::Resume { room, epoch, seq }),
        anybody().prop_map(Command::Block),
        anybody().prop_map(Command::Unblock),
        (room(), moderation(), anybody(), option::of(1u64..=3_153_600_000), reason()).prop_map(
            |(room, action, user, seconds, reason)| Command::Moderate { room, action, user, seconds, reason }
        ),
        (room(), reason()).prop_map(|(room, reason)| Command::Close { room, reason }),
        Just(Command::Sessions),
        anybody().prop_map(Command::Revoke),
        Just(Command::Exit),
    ]
}

/// Commands as decoding makes them in plain mode.
fn plain() -> impl Strategy<Value = Command> {
    rich().prop_filter_map("rich mode alone", |command| match command {
        Command::Say { body, .. } => Some(Command::Say { room: None, body, id: None }),
        Command::Direct { to, body, .. } => Some(Command::Direct { to, body, id: None }),
        Command::ListUsers(_) => Some(Command::ListUsers(None)),
        Command::Switch(_)
        | Command::Create(_)
        | Command::Rename(_)
        | Command::ListRooms
        | Command::History { .. }
        | Command::Exit => Some(command),
        _ => None,
    })
}

fn post() -> impl Strategy<Value = Post> {
    let id = || option::of(message_id());
    (key(), some_epoch(), any::<[u64; 3]>(), anybody(), id(), body()).prop_map(
        |(room, epoch, [seq, prev, at], from, id, body)| {
            let (user, at, from) = (UserId::from_bytes([0; 16]), Timestamp::from_millis(at), from.into());
            Post { epoch, record: Record { room, seq, prev, at, user, from, id, body } }
        },
    )
}

fn sign_in() -> impl Strategy<Value = SignIn> {
    ("\\PC{1,16}", any::<u64>(), any::<u32>(), option::of(any::<u64>()), any::<bool>()).prop_map(
        |(id, issued, connections, ends, current)| SignIn {
            id: id.into(),
            issued: Timestamp::from_millis(issued),
            connections,
            ends: ends.map(Timestamp::from_millis),
            current,
        },
    )
}

/// Events, each with what a rich client makes of it.
fn event() -> impl Strategy<Value = (Event, Heard)> {
    let numbers = || any::<[u32; 3]>();
    let presence = |room, user: &Nickname, state: &str, to: Option<&Nickname>| Heard::Presence {
        room,
        user: user.to_string(),
        state: state.into(),
        to: to.map(Nickname::to_string),
    };
    let refusal = || {
        prop_oneof![
            any::<String>().prop_map(Refusal::Unknown),
            any::<String>().prop_map(Refusal::NoRoom),
            any::<usize>().prop_map(Refusal::TooManyRooms),
            Just(Refusal::Argument { command: "search", argument: "text" }),
            Just(Refusal::Unavailable),
        ]
    };
    prop_oneof![
        post().prop_map(|post| (Event::Message(Arc::new(post.clone())), Heard::Message(Box::new(post)))),
        (message_id(), key(), some_epoch(), any::<u64>()).prop_map(|(id, room, epoch, seq)| {
            let at = Position { epoch, seq };
            let heard = Heard::Accepted { id: id.clone(), room: room.clone(), at: at.clone() };
            (Event::Accepted { id, room, at }, heard)
        }),
        (room(), nickname()).prop_map(move |(room, user)| {
            let heard = presence(room.clone(), &user, "joined", None);
            (Event::Joined { room, user }, heard)
        }),
        (room(), nickname()).prop_map(move |(room, user)| {
            let heard = presence(room.clone(), &user, "left", None);
            (Event::Left { room, user }, heard)
        }),
        (room(), nickname(), nickname()).prop_map(move |(room, old, new)| {
            let heard = presence(room.clone(), &old, "renamed", Some(&new));
            (Event::Renamed { room, old, new }, heard)
        }),
        (room(), nickname()).prop_map(|(room, user)| {
            let heard = Heard::Typing { room: room.clone(), user: user.to_string() };
            (Event::Typing { room, user }, heard)
        }),
        (message_id(), room(), any::<u64>(), numbers()).prop_map(|(id, room, seq, [sent, delivered, members])| {
            let heard = Heard::Receipt {
                id: id.clone(),
                room: room.clone(),
                seq,
                sent: sent.into(),
                delivered: delivered.into(),
                members: members.into(),
            };
            let [sent, delivered, members] = [sent, delivered, members].map(|n| n as usize);
            (Event::Receipt { id, room, seq, sent, delivered, members }, heard)
        }),
        (message_id(), anybody(), 0usize..4, any::<bool>()).prop_map(|(id, to, state, why)| {
            let (state, word) = [
                (Delivery::Sent, "sent"),
                (Delivery::Delivered, "delivered"),
                (Delivery::Unconfirmed, "unconfirmed"),
                (Delivery::Failed, "failed"),
            ][state];
            // Only what did not arrive has one.
            let reason = (why && !matches!(state, Delivery::Sent | Delivery::Delivered)).then_some("a \"reason\"");
            let heard = Heard::DirectReceipt {
                id: id.clone(),
                to: to.clone(),
                state: word.into(),
                reason: reason.map(Into::into),
            };
            (Event::DirectReceipt { id, to: to.into(), state, reason }, heard)
        }),
        (key(), any::<u64>(), any::<u64>()).prop_map(|(room, from, to)| {
            let heard = Heard::Gap { room: room.clone(), from, to };
            (Event::Gap { room, from, to }, heard)
        }),
        (key(), some_epoch(), any::<[u64; 2]>(), any::<bool>()).prop_map(|(room, epoch, [from, to], recovered)| {
            let heard = Heard::Recovered { room: room.clone(), epoch: epoch.clone(), from, to, recovered };
            (Event::Recovered { room, epoch, from, to, recovered }, heard)
        }),
        (key(), some_epoch(), any::<u64>(), any::<bool>()).prop_map(|(room, epoch, count, more)| {
            let heard = Heard::History { room: room.clone(), epoch: epoch.clone(), count, more };
            (Event::History { room, epoch, count, more }, heard)
        }),
        (key(), anybody(), some_epoch(), vec(post(), 0..4), option::of(any::<u64>())).prop_map(
            |(room, text, epoch, mut messages, before)| {
                messages.iter_mut().for_each(|post| post.epoch = epoch.clone());
                let records = messages.iter().map(|post| post.record.clone()).collect();
                let heard = Heard::Found { room: room.clone(), text: text.clone(), messages, before };
                (Event::Found { room, text: text.into(), epoch, records, before }, heard)
            }
        ),
        vec(sign_in(), 0..4).prop_map(|sign_ins| (Event::Sessions(sign_ins.clone().into()), Heard::Sessions(sign_ins))),
        (room(), anybody()).prop_map(|(room, names)| {
            (Event::Users { room: room.clone(), names: names.as_str().into() }, Heard::Users { room, names })
        }),
        (anybody(), vec(any::<u32>(), 0..4)).prop_map(|(names, sessions)| {
            let heard =
                Heard::Rooms { names: names.clone(), sessions: sessions.iter().map(|n| u64::from(*n)).collect() };
            (Event::Rooms { names: names.into(), sessions: sessions.into_iter().map(|n| n as usize).collect() }, heard)
        }),
        anybody().prop_map(|text| (Event::System(text.as_str().into()), Heard::System(text))),
        (refusal(), option::of(message_id())).prop_map(|(why, id)| {
            let heard = Heard::Error { code: why.code().into(), body: why.to_string(), id: id.clone() };
            (Event::Refused { why, id }, heard)
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_said_arrives_as_it_was_said(from in anybody(), body in body()) {
        let event = Event::Message(Arc::new(said(own(), &from, &body, None)));
        let heard = hear_plain(&written(&Plain, &event).unwrap().1).unwrap();
        prop_assert_eq!(heard, HeardPlain { from, body: body.to_string() });
    }

    #[test]
    fn rich_commands_read_back_as_they_were_written(command in rich()) {
        prop_assert_eq!(decode(encode_command(&command).as_bytes(), Mode::Rich, usize::MAX), Ok(command));
    }

    #[test]
    fn plain_commands_read_back_as_they_were_written(command in plain()) {
        prop_assert_eq!(decode(encode_command(&command).as_bytes(), Mode::Plain, usize::MAX), Ok(command));
    }

    #[test]
    fn events_are_heard_as_they_are((event, heard) in event()) {
        prop_assert_eq!(hear_rich(line(&Rich, &event).unwrap().as_bytes()), Ok(heard));
    }

    #[test]
    fn a_plain_form_is_always_one_that_plain_clients_read((event, _) in event()) {
        if let Some(text) = line(&Plain, &event) {
            prop_assert!(hear_plain(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_pong_confirms_what_its_ping_asked_and_nothing_more(seq in any::<u64>(), noise in vec(any::<u8>(), 0..=125)) {
        let (_, ping) = written(&Plain, &Event::Confirm { room: own(), seq }).unwrap();
        prop_assert_eq!(confirmed(&ping), Some(seq));
        if let Some(seq) = confirmed(&noise) {
            prop_assert_eq!(noise, format!("direct {seq}").into_bytes());
        }
    }

    #[test]
    fn no_frame_panics(bytes in vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
        for mode in [Mode::Plain, Mode::Rich] {
            let _ = decode(&bytes, mode, LIMIT);
            let _ = decode(text.as_bytes(), mode, LIMIT);
        }
        let _ = (hear_plain(&bytes), hear_rich(&bytes), confirmed(&bytes));
    }
}
