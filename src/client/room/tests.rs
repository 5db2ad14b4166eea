//! The machine alone: no sockets, and time as it is told.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::dial::{Dial, Welcome};
use super::machine::{Machine, Settings};
use super::session::{Kept, Session};
use crate::client::driver::{Over, Protocol, Step, Turn};
use crate::client::outbox::Outbox;
use crate::client::websocket::{In, Out};
use crate::client::{Ask, Ended, Event, Place, State, TextId};
use crate::limits::Limits;
use crate::message::{Epoch, Position, RoomKey, UserId};
use crate::name::RoomName;
use crate::secret::{Password, Secret};

/// A machine, and what stands around it otherwise.
struct Bench {
    machine: Machine,
    outbox: Outbox,
    step: Step<Out>,
    now: Instant,
    taken: u64,
}

impl Bench {
    fn new(rooms: &[&str]) -> Self {
        let dial = Dial::new("http://localhost:1".into(), None, &Limits::default()).unwrap();
        let settings = Settings { quiet: Duration::from_secs(30), pace: (30, Duration::ZERO), longest: 16 * 1024 };
        let mut machine = Machine::new(dial, "ann".into(), settings, None, Default::default());
        rooms.iter().for_each(|room| machine.want(RoomName::new(room).unwrap()));
        Self { machine, outbox: Outbox::new(100, None), step: Step::new(), now: Instant::now(), taken: 0 }
    }

    /// In these rooms, each at seq 10 of epoch `e`.
    fn entered(rooms: &[&str]) -> Self {
        let mut bench = Self::new(rooms);
        bench.open(true);
        for room in rooms {
            bench.hear(json!({"type": "presence", "room": room, "user": "ann", "state": "joined"}));
            bench.hear(
                json!({"type": "recovered", "room": room, "epoch": "e", "from": 0, "to": 10, "recovered": false}),
            );
        }
        assert!(bench.step.connected);
        bench.written();
        bench.told();
        bench
    }

    fn turn<T>(&mut self, f: impl FnOnce(&mut Machine, &mut Turn<'_, Out>) -> T) -> T {
        let Self { machine, outbox, step, now, taken } = self;
        f(machine, &mut Turn { now: *now, taken: *taken, outbox, step })
    }

    fn open(&mut self, fresh: bool) {
        self.step.online = true;
        self.turn(|machine, turn| machine.opened(Welcome { token: Secret::random(), fresh }, turn));
    }

    fn hear(&mut self, frame: Value) {
        self.turn(|machine, turn| machine.hear(In::Text(frame.to_string()), turn));
    }

    fn message(&mut self, room: &str, seq: u64, from: &str, body: &str, id: Option<&TextId>) {
        let id = id.map(TextId::as_str);
        self.hear(json!({"type": "message", "room": room, "epoch": "e", "seq": seq, "prev": seq - 1, "ts": 5, "from": from, "body": body, "id": id}));
    }

    fn ask(&mut self, ask: Ask) {
        self.turn(|machine, turn| machine.ask(ask, turn));
    }

    /// Gives a text its way, and has it written.
    fn say(&mut self, to: Option<&str>, text: &str) -> TextId {
        let id = TextId::random();
        let to = self.machine.route(to.map(str::to_owned)).unwrap();
        self.outbox.push(id.clone(), to, text.into()).unwrap();
        self.speak();
        id
    }

    fn speak(&mut self) {
        while let Some(text) = self.outbox.next().cloned() {
            self.turn(|machine, turn| machine.say(&text, turn));
            if !self.step.outs.iter().any(|(_, id)| id.as_ref() == Some(&text.id)) {
                return;
            }
            self.turn(|_, turn| turn.advance(&text.id, State::Sent));
        }
    }

    /// Time passes, and the driver would have called by its end.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        while self.machine.due().is_some_and(|due| due <= self.now) && self.step.over.is_none() {
            self.turn(Machine::alarm);
        }
    }

    fn cut(&mut self) {
        (self.step.online, self.step.connected, self.step.over) = (false, false, None);
        self.step.outs.clear();
        self.turn(Machine::lost);
    }

    /// What was written, as type and arguments.
    fn written(&mut self) -> Vec<(String, Value)> {
        let frames = self.step.outs.drain(..).map(|(out, _)| match out {
            Out::Text(text) => serde_json::from_str::<Value>(&text).unwrap(),
            Out::Ping => json!({"type": "ping", "args": {}}),
        });
        frames.map(|frame| (frame["type"].as_str().unwrap().to_owned(), frame["args"].clone())).collect()
    }

    fn kinds(&mut self) -> Vec<String> {
        self.written().into_iter().map(|(kind, _)| kind).collect()
    }

    fn told(&mut self) -> Vec<Event> {
        self.step.events.drain(..).collect()
    }

    /// What was told, in a word each.
    fn words(&mut self) -> Vec<String> {
        let word = |event| match event {
            Event::Message(m) if m.place == Place::Direct => format!("{} alone", m.text),
            Event::Message(m) => {
                format!("{}{}{}", m.text, if m.past { " past" } else { "" }, if m.own { " own" } else { "" })
            }
            Event::State { state, .. } => state.word().to_owned(),
            Event::Connected { resumed, .. } => format!("connected {resumed:?}"),
            Event::Gap { most, .. } => format!("gap {most}"),
            Event::Selected { to } => format!("to {}", to.unwrap_or_default()),
            Event::Refused { code, .. } => format!("refused {}", code.unwrap_or_default()),
            Event::Happened { user, what, .. } => format!("{user} {what:?}"),
            Event::Notice(text) => text,
            Event::Users { names, .. } => names.join(","),
            other => format!("{other:?}"),
        };
        self.told().into_iter().map(word).collect()
    }

    fn recovered(&mut self, epoch: &str, to: u64, recovered: bool) {
        self.hear(
            json!({"type": "recovered", "room": "den", "epoch": epoch, "from": 0, "to": to, "recovered": recovered}),
        );
    }
}

#[test]
fn the_first_entering_learns_where_the_room_is() {
    let mut bench = Bench::new(&["den"]);
    bench.open(true);
    let place = json!({"room": "den", "epoch": "-", "seq": 0});
    assert_eq!(bench.written(), [("resume".to_owned(), place)]);
    assert_eq!(bench.words(), [""; 0]);
    bench.recovered("e", 10, false);
    assert_eq!(bench.words(), ["connected None", "to den"]);
    bench.cut();
    bench.open(false);
    let place = json!({"room": "den", "epoch": "e", "seq": 10});
    assert_eq!(bench.written(), [("resume".to_owned(), place)]);
    bench.message("den", 11, "bob", "hi", None);
    bench.message("den", 11, "bob", "hi", None);
    bench.recovered("e", 11, true);
    bench.message("den", 12, "bob", "ho", None);
    assert_eq!(bench.words(), ["hi past", "connected Some(true)", "ho"]);
}

#[test]
fn what_was_not_confirmed_is_said_again_only_where_that_cannot_double_it() {
    let long = Duration::from_secs(600);
    // After so long the server may have forgotten the ids, but the room shows what arrived.
    for (after, epoch, recovered, room, direct) in [
        (Duration::from_secs(5), "e", true, "queued", "queued"),
        (Duration::from_secs(5), "e", false, "queued", "queued"),
        (long, "e", true, "queued", "failed"),
        (long, "e", false, "failed", "failed"),
        (long, "f", false, "queued", "failed"),
    ] {
        let mut bench = Bench::entered(&["den"]);
        let (in_room, alone) = (bench.say(None, "a"), bench.say(Some("bob"), "b"));
        bench.cut();
        let later = bench.say(None, "never sent");
        bench.told();
        bench.now += after;
        bench.open(false);
        bench.recovered(epoch, 0, recovered);
        let failed = bench.told().into_iter().filter_map(|event| match event {
            Event::State { id, state: State::Failed(_) } => Some(id),
            _ => None,
        });
        let failed: Vec<_> = failed.collect();
        for (id, expected) in [(&in_room, room), (&alone, direct), (&later, "queued")] {
            let state = if failed.contains(id) { "failed" } else { "queued" };
            assert_eq!(state, expected, "after {after:?} in {epoch}, {recovered}: {id}");
        }
    }
}

#[test]
fn another_user_of_the_same_name_says_nothing_twice() {
    let mut bench = Bench::entered(&["den"]);
    bench.say(Some("bob"), "b");
    bench.cut();
    bench.open(true);
    bench.told();
    bench.recovered("e", 10, true);
    assert_eq!(bench.words(), ["failed", "connected Some(false)"]);
    assert!(bench.outbox.next().is_none());
}

#[test]
fn a_message_that_comes_by_confirms_what_it_says() {
    let mut bench = Bench::entered(&["den"]);
    let id = bench.say(None, "a");
    bench.cut();
    bench.open(false);
    bench.told();
    // Somebody who saw the id does not speak for this user.
    bench.message("den", 11, "eve", "forged", Some(&id));
    assert_eq!(bench.words(), ["forged past"]);
    bench.message("den", 12, "ann", "a", Some(&id));
    bench.recovered("e", 12, true);
    assert_eq!(bench.words(), ["accepted", "a past own", "connected Some(true)"]);
    bench.speak();
    assert!(!bench.kinds().contains(&"message".to_owned()), "it is not said again");
}

#[test]
fn a_server_that_began_anew_is_heard_from_the_start() {
    let mut bench = Bench::entered(&["den"]);
    bench.cut();
    bench.open(false);
    bench.written();
    bench.hear(json!({"type": "error", "code": "no_room", "body": "room den does not exist"}));
    assert_eq!(bench.kinds(), ["createroom"]);
    bench.hear(json!({"type": "error", "code": "room_exists", "body": "room den already exists"}));
    assert_eq!(bench.kinds(), ["resume"]);
    bench.recovered("f", 2, false);
    assert_eq!(bench.written(), [("resume".to_owned(), json!({"room": "den", "epoch": "f", "seq": 0}))]);
    bench.hear(json!({"type": "message", "room": "den", "epoch": "f", "seq": 2, "prev": 0, "ts": 5, "from": "bob", "body": "new"}));
    bench.recovered("f", 2, true);
    assert_eq!(bench.words(), ["new past", "connected Some(false)"]);
    // One that keeps more than is wanted is not.
    bench.cut();
    bench.open(false);
    bench.written();
    bench.recovered("g", 5000, false);
    assert_eq!(bench.words(), ["gap 5000", "connected Some(false)"]);
}

#[test]
fn what_the_program_took_is_told_and_again_when_it_was_not_heard() {
    let mut bench = Bench::entered(&["den", "attic"]);
    assert_eq!(bench.machine.due(), None);
    bench.message("den", 11, "bob", "a", None);
    bench.message("attic", 11, "bob", "b", None);
    bench.message("den", 12, "bob", "c", None);
    let direct = format!("@{:032x}", 7);
    bench.message(&direct, 3, "bob", "psst", None);
    assert_eq!(bench.words(), ["a", "b", "c", "psst alone"]);
    let tick = |bench: &mut Bench, taken| {
        bench.taken = taken;
        bench.now = bench.machine.due().unwrap();
        bench.turn(Machine::alarm);
        bench
            .written()
            .into_iter()
            .map(|(kind, args)| format!("{kind} {} {}", args["room"], args["seq"]))
            .collect::<Vec<_>>()
    };
    let before = bench.step.told - 4;
    assert_eq!(tick(&mut bench, before), [""; 0]);
    assert_eq!(tick(&mut bench, before + 2), ["received \"attic\" 11", "received \"den\" 11"]);
    assert_eq!(tick(&mut bench, before + 4), ["received \"den\" 12".to_owned(), format!("received \"{direct}\" 3")]);
    assert_eq!(bench.machine.due(), None);
    bench.message(&direct, 3, "bob", "psst", None);
    assert_eq!(bench.words(), [""; 0], "heard before");
    assert_eq!(tick(&mut bench, before + 4), [format!("received \"{direct}\" 3")]);
}

#[test]
fn of_direct_messages_only_those_of_one_user_are_remembered() {
    let mut bench = Bench::entered(&["den"]);
    for n in 1..1000_u128 {
        bench.message(&format!("@{n:032x}"), 1, "bob", "psst", None);
    }
    assert_eq!(bench.told().len(), 999);
    (bench.taken, bench.now) = (bench.step.told, bench.machine.due().unwrap());
    bench.turn(Machine::alarm);
    assert_eq!(bench.written(), [("received".to_owned(), json!({"room": format!("@{:032x}", 999), "seq": 1}))]);
    bench.cut();
    bench.open(true);
    bench.message(&format!("@{:032x}", 999), 1, "bob", "psst", None);
    assert_eq!(bench.words(), ["psst alone"], "another user's");
}

#[test]
fn much_is_heard_only_where_it_was_asked_for() {
    let mut bench = Bench::entered(&["den"]);
    let much = json!({"type": "system", "body": "n\n".repeat(100_000), "list": "rooms", "sessions": vec![1; 100_000]});
    bench.hear(much.clone());
    bench.message("den", 11, "bob", &"x".repeat(200_000), None);
    bench.message("den", 12, "bob", &"x".repeat(16 * 1024), None);
    assert_eq!(bench.told().len(), 1);
    bench.ask(Ask::Rooms);
    bench.hear(much);
    assert!(matches!(&bench.told()[..], [Event::Rooms(names)] if names.len() == 100_000));
}

#[test]
fn receipts_tell_how_many_took_a_text_and_all_before_it() {
    let mut bench = Bench::entered(&["den"]);
    let ids: Vec<_> = ["a", "b", "c"].map(|text| bench.say(None, text)).into();
    for (id, seq) in ids.iter().zip([11, 12, 14]) {
        bench.hear(json!({"type": "accepted", "id": id.as_str(), "room": "den", "epoch": "e", "seq": seq}));
    }
    bench.told();
    let receipt = |bench: &mut Bench, delivered: u64| {
        bench.hear(json!({"type": "receipt", "id": ids[2].as_str(), "room": "den", "seq": 14, "sent": 2, "delivered": delivered, "members": 2}));
        let told = bench.told().into_iter().map(|event| match event {
            Event::State { id, state: State::Delivered { by, of } } => {
                (ids.iter().position(|i| *i == id).unwrap(), by, of)
            }
            other => panic!("{other:?}"),
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(receipt(&mut bench, 0), []);
    assert_eq!(receipt(&mut bench, 1), [(2, 1, 2)]);
    assert_eq!(receipt(&mut bench, 1), []);
    assert_eq!(receipt(&mut bench, 2), [(0, 2, 2), (1, 2, 2), (2, 2, 2)]);
    assert_eq!(bench.outbox.iter().count(), 0);
}

#[test]
fn a_receipt_that_was_lost_with_a_connection_is_made_up_for_by_the_next() {
    // The same server, one that began anew, and another user than before.
    for (epoch, fresh, made_up) in [("e", false, true), ("f", false, false), ("e", true, false)] {
        let mut bench = Bench::entered(&["den"]);
        let ids: Vec<_> = ["a", "b"].map(|text| bench.say(None, text)).into();
        bench.hear(json!({"type": "accepted", "id": ids[0].as_str(), "room": "den", "epoch": "e", "seq": 11}));
        bench.cut();
        bench.open(fresh);
        if epoch == "e" {
            // What else was accepted is heard itself.
            bench.message("den", 12, "ann", "b", Some(&ids[1]));
        }
        bench.recovered(epoch, 12, epoch == "e");
        if epoch != "e" {
            bench.recovered(epoch, 12, true);
        }
        let next = bench.say(None, "c");
        bench.hear(json!({"type": "accepted", "id": next.as_str(), "room": "den", "epoch": epoch, "seq": 13}));
        bench.told();
        bench.hear(json!({"type": "receipt", "id": next.as_str(), "room": "den", "seq": 13, "sent": 2, "delivered": 2, "members": 2}));
        let told = bench.told().into_iter().map(|event| match event {
            Event::State { id, state: State::Delivered { by: 2, of: 2 } } => id,
            other => panic!("{other:?}"),
        });
        let told: Vec<_> = told.collect();
        assert!(told.contains(&next));
        assert_eq!(told.contains(&ids[0]), made_up, "in {epoch}, {fresh}");
        assert_eq!(told.contains(&ids[1]), epoch == "e", "in {epoch}, {fresh}");
    }
}

#[test]
fn another_name_that_was_taken_meanwhile_is_known_at_once() {
    let mut bench = Bench::entered(&["den"]);
    let id = bench.say(None, "a");
    bench.cut();
    bench.open(false);
    bench.told();
    for name in ["anna", "bob"] {
        bench.hear(json!({"type": "presence", "room": "den", "user": name, "state": "joined"}));
    }
    bench.message("den", 11, "anna", "a", Some(&id));
    bench.message("den", 12, "ann", "and who are you?", None);
    bench.recovered("e", 12, true);
    let (mut own, mut called) = (Vec::new(), Vec::new());
    for event in bench.told() {
        match event {
            Event::Message(message) => own.push(message.own),
            Event::Connected { name, .. } => called.push(name),
            _ => {}
        }
    }
    assert_eq!((own, called), (vec![true, false], vec![Some("anna".to_owned())]));
}

#[test]
fn a_text_that_cannot_be_kept_now_waits_and_one_that_may_not_be_said_fails() {
    let mut bench = Bench::entered(&["den"]);
    let id = bench.say(None, "a");
    bench.written();
    bench.told();
    bench.hear(json!({"type": "error", "code": "unavailable", "body": "not now", "id": id.as_str()}));
    bench.speak();
    assert_eq!((bench.words(), bench.kinds().len()), (vec!["queued".to_owned()], 0));
    bench.now = bench.machine.due().unwrap();
    bench.turn(Machine::alarm);
    bench.speak();
    let written = bench.written();
    assert_eq!(written[0].1["id"], id.as_str());
    bench.hear(json!({"type": "error", "code": "muted", "body": "you are muted in room den", "id": id.as_str()}));
    let failed = State::Failed("you are muted in room den".into());
    assert_eq!(bench.told().last(), Some(&Event::State { id, state: failed }));
}

#[test]
fn a_text_goes_where_texts_went_when_it_was_typed() {
    let mut bench = Bench::entered(&["den"]);
    bench.ask(Ask::Enter { room: "attic".into() });
    assert_eq!(bench.words(), ["to attic"]);
    let early = bench.say(None, "for the attic");
    assert_eq!(bench.kinds(), ["resume"], "it waits until the room is entered");
    bench.hear(json!({"type": "error", "code": "banned", "body": "you are banned from room attic"}));
    assert_eq!(bench.words(), ["refused banned", "to den"]);
    bench.speak();
    assert!(matches!(&bench.told()[..], [Event::State { id, state: State::Failed(_) }] if *id == early));
    bench.say(None, "for the den");
    assert_eq!(bench.written()[0].1["room"], "den");
    bench.ask(Ask::Select { to: "bob".into() });
    bench.say(None, "for bob");
    bench.say(Some("#den"), "for the den");
    let written = bench.written();
    assert_eq!((&written[0].0, &written[0].1["to"]), (&"direct".to_owned(), &json!("bob")));
    assert_eq!(written[1].1["room"], "den");
    bench.ask(Ask::Select { to: "#nowhere".into() });
    assert_eq!(bench.words().last().unwrap(), "refused not_in_room");
    assert!(Bench::new(&[]).machine.route(None).is_err());
}

#[test]
fn an_answer_is_not_mistaken_for_a_word_of_the_server() {
    let mut bench = Bench::entered(&["den"]);
    bench.ask(Ask::Users { room: None });
    bench.ask(Ask::Rooms);
    assert_eq!(bench.kinds(), ["listusers"], "one after another");
    bench.hear(json!({"type": "system", "body": "you are muted in room den"}));
    bench.hear(json!({"type": "system", "body": "Zen tester\nann", "list": "users", "room": "den"}));
    assert_eq!(bench.kinds(), ["listrooms"]);
    bench.hear(json!({"type": "system", "body": "room attic was closed"}));
    bench.hear(json!({"type": "system", "body": "den\nglobal", "list": "rooms", "sessions": [1, 2]}));
    let told = bench.told();
    assert_eq!(told[3], Event::Rooms(vec!["den".into(), "global".into()]));
    assert_eq!(told[1], Event::Users { room: Some("den".into()), names: vec!["Zen tester".into(), "ann".into()] });
    // Whoever gets no answer may ask again.
    bench.ask(Ask::Rooms);
    bench.now = bench.machine.due().unwrap();
    bench.turn(Machine::alarm);
    assert_eq!(bench.words(), ["refused timed_out"]);
    for _ in 0..40 {
        bench.ask(Ask::Rooms);
    }
    assert_eq!(bench.words(), vec!["refused busy"; 24]);
    assert_eq!(bench.kinds().len(), 2);
}

#[test]
fn what_was_said_before_is_told_to_whoever_asked_and_left_since() {
    let mut bench = Bench::entered(&["den", "attic"]);
    bench.ask(Ask::History { room: Some("den".into()), before: None, limit: 20 });
    bench.ask(Ask::Leave { room: Some("den".into()) });
    assert_eq!(bench.kinds(), ["history", "leave"]);
    bench.told();
    bench.message("den", 9, "bob", "nine", None);
    bench.message("den", 10, "bob", "ten", None);
    bench.hear(json!({"type": "history", "room": "den", "epoch": "e", "count": 2, "more": true}));
    // What is said there now is for others.
    bench.message("den", 11, "bob", "eleven", None);
    let told = bench.words();
    assert_eq!((&*told[0], &*told[1], told.len()), ("nine past", "ten past", 3), "{told:?}");
}

#[test]
fn whoever_is_put_out_does_not_come_back() {
    let mut bench = Bench::entered(&["den", "attic"]);
    bench.hear(json!({"type": "presence", "room": "attic", "user": "ann", "state": "left"}));
    bench.hear(json!({"type": "system", "body": "you were kicked from room attic"}));
    assert_eq!(bench.words(), ["ann Left", "to den", "you were kicked from room attic"]);
    bench.cut();
    bench.open(false);
    assert_eq!(bench.kinds().len(), 1);
}

#[test]
fn garbage_is_passed_over_and_a_flood_of_it_ends_the_connection() {
    let mut bench = Bench::entered(&["den"]);
    for frame in ["", "[]", "{}", "{\"type\":7}", "null", "{\"type\":\"message\"}", "\u{0}"] {
        bench.turn(|machine, turn| machine.hear(In::Text(frame.into()), turn));
    }
    bench.turn(|machine, turn| machine.hear(In::Binary, turn));
    for stranger in ["attic", "@00000000000000000000000000000001"] {
        bench.hear(json!({"type": "recovered", "room": stranger, "epoch": "e", "from": 0, "to": 1, "recovered": true}));
        bench.hear(json!({"type": "gap", "room": stranger, "from": 0, "to": 1}));
    }
    bench.hear(json!({"type": "typing", "room": "attic", "user": "bob"}));
    bench.hear(json!({"type": "accepted", "id": "x", "room": "den", "epoch": "e", "seq": 1}));
    bench.hear(json!({"type": "error", "code": "?", "body": "?", "id": "x"}));
    bench.hear(json!({"type": "from the future"}));
    bench.message("attic", 1, "bob", "not my room", None);
    assert_eq!(bench.words(), [""; 0]);
    assert!(bench.step.over.is_none());
    for _ in 0..20 {
        bench.turn(|machine, turn| machine.hear(In::Binary, turn));
    }
    assert!(matches!(bench.step.over, Some(Over::Lost(_))));
    for seq in 0..1000 {
        let id = TextId::random();
        bench.hear(json!({"type": "accepted", "id": id.as_str(), "room": "den", "epoch": "e", "seq": seq}));
    }
    assert!(bench.machine.followed.len() <= 256);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let mut bench = Bench::new(&["den"]);
    bench.open(true);
    bench.now = bench.machine.due().unwrap();
    bench.turn(Machine::alarm);
    assert!(matches!(&bench.step.over, Some(Over::Lost(reason)) if reason.contains("does not answer")));
}

#[test]
fn a_server_that_talks_of_other_things_while_rooms_are_entered_is_given_up() {
    let typing = json!({"type": "typing", "room": "den", "user": "bob"}).to_string();
    let known = json!({"type": "message", "room": "attic", "epoch": "e", "seq": 1, "prev": 0, "ts": 5, "from": "bob", "body": "x"});
    for noise in [In::Ping, In::Pong, In::Text(typing), In::Text(known.to_string())] {
        let mut bench = Bench::new(&["den"]);
        bench.open(true);
        for _ in 0..20 {
            bench.turn(|machine, turn| machine.hear(noise.clone(), turn));
            bench.told();
            bench.pass(Duration::from_secs(1));
        }
        assert!(
            matches!(&bench.step.over, Some(Over::Lost(reason)) if reason.contains("does not answer")),
            "{noise:?}"
        );
    }
    // What was missed takes the time that it takes, and so does a program.
    let mut bench = Bench::new(&["den"]);
    bench.open(true);
    for seq in 1..10 {
        bench.message("den", seq, "bob", "missed", None);
        bench.told();
        bench.pass(Duration::from_secs(9));
    }
    bench.message("den", 10, "bob", "missed", None);
    bench.pass(Duration::from_secs(1000));
    assert!(bench.step.over.is_none());
    bench.told();
    bench.pass(Duration::from_secs(9));
    assert!(bench.step.over.is_none());
    bench.pass(Duration::from_secs(2));
    assert!(bench.step.over.is_some());
}

#[test]
fn whoever_does_not_read_does_not_wait_for_an_answer() {
    let mut bench = Bench::entered(&["den"]);
    bench.ask(Ask::Rooms);
    bench.message("den", 11, "bob", "a", None);
    bench.pass(Duration::from_secs(1000));
    assert_eq!(bench.words(), ["a"]);
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.words(), ["refused timed_out"]);
}

#[test]
fn what_the_program_took_is_remembered_within_a_bound_between_two_words_of_it() {
    let mut bench = Bench::entered(&["den", "attic"]);
    for seq in 11..1000 {
        bench.message("den", seq, "bob", "a", None);
        bench.told();
        bench.taken = bench.step.told;
    }
    assert!(bench.machine.acks.waiting() < 10);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.written()[0].1["seq"], 999);
}

#[test]
fn direct_messages_that_an_earlier_run_heard_are_not_told_again() {
    let key = RoomKey::Direct(UserId::from_bytes([7; 16]));
    let heard = Position { epoch: Epoch::new("e").unwrap(), seq: 3 };
    let direct = key.to_string();
    let started = |secret: Option<Password>| {
        let mut bench = Bench::new(&["den"]);
        let dial = Dial::new("http://localhost:1".into(), secret, &Limits::default()).unwrap();
        let settings = Settings { quiet: Duration::from_secs(30), pace: (30, Duration::ZERO), longest: 16 * 1024 };
        let kept = Kept { direct: Some((key.clone(), heard.clone())), ..Kept::default() };
        bench.machine = Machine::new(dial, "ann".into(), settings, None, kept);
        bench
    };
    for (fresh, secret) in [(false, None), (true, Some(Password::new("12345678").unwrap()))] {
        let mut bench = started(secret);
        bench.open(fresh);
        bench.told();
        bench.message(&direct, 3, "bob", "psst", None);
        assert_eq!(bench.words(), [""; 0], "the same user, fresh: {fresh}");
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.written(), [("received".to_owned(), json!({"room": direct, "seq": 3}))]);
        bench.message(&direct, 4, "bob", "news", None);
        assert_eq!(bench.words(), ["news alone"]);
    }
    let mut bench = started(None);
    bench.open(true);
    bench.told();
    bench.message(&direct, 3, "bob", "psst", None);
    assert_eq!(bench.words(), ["psst alone"], "another guest's");
}

#[test]
fn what_the_program_took_after_the_connection_broke_is_kept_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session");
    let mut bench = Bench::entered(&["den"]);
    bench.machine.keep_in(Session::open(path.clone(), "s", "ann").0);
    let direct = format!("@{:032x}", 7);
    bench.message("den", 11, "bob", "a", None);
    bench.message(&direct, 3, "bob", "psst", None);
    bench.cut();
    bench.taken = bench.step.told;
    bench.turn(Machine::ended);
    let (_, kept) = Session::open(path, "s", "ann");
    assert_eq!(kept.rooms[0].1.as_ref().map(|at| at.seq), Some(11));
    assert_eq!(kept.direct.map(|(key, at)| (key.to_string(), at.seq)), Some((direct, 3)));
}

#[test]
fn a_revoked_session_is_not_opened_again() {
    let mut bench = Bench::entered(&["den"]);
    bench.turn(|machine, turn| machine.closed("the server stops (1001)", turn));
    assert!(bench.step.over.is_none());
    bench.turn(|machine, turn| machine.closed("this session was revoked (1008)", turn));
    assert!(matches!(bench.step.over, Some(Over::Ended(Ended::Refused(_)))));
}

#[test]
fn texts_for_a_room_that_cannot_be_entered_at_the_start_go_to_no_other() {
    let mut bench = Bench::new(&["global", "nosuch"]);
    bench.open(true);
    bench.hear(json!({"type": "recovered", "room": "global", "epoch": "e", "from": 0, "to": 10, "recovered": false}));
    bench.hear(json!({"type": "error", "code": "no_room", "body": "room nosuch does not exist"}));
    assert_eq!(bench.words(), ["refused no_room", "to ", "connected None"]);
    assert!(bench.machine.route(None).is_err());
    // Where a room was chosen later, texts go back to where they went.
    bench.ask(Ask::Select { to: "#global".into() });
    bench.ask(Ask::Enter { room: "nowhere".into() });
    bench.hear(json!({"type": "error", "code": "no_room", "body": "room nowhere does not exist"}));
    assert_eq!(bench.words(), ["to global", "to nowhere", "refused no_room", "to global"]);
}

#[test]
fn rooms_and_what_is_asked_are_bounded() {
    let mut bench = Bench::entered(&["den"]);
    for n in 0..100 {
        bench.ask(Ask::Enter { room: format!("room{n}") });
    }
    let told = bench.words();
    assert_eq!(told.iter().filter(|word| *word == "refused too_many_rooms").count(), 37);
    assert_eq!(bench.machine.rooms.len(), 64);
    bench.ask(Ask::Search { room: None, text: "x".repeat(257), before: None });
    bench.ask(Ask::Enter { room: "a b".into() });
    bench.ask(Ask::Create { room: "den".into() });
    bench.ask(Ask::Rename { name: "a: b".into() });
    bench.ask(Ask::Select { to: "a: b".into() });
    let codes = ["argument", "bad_room_name", "room_exists", "bad_nickname", "no_user"];
    assert_eq!(bench.words(), codes.map(|code| format!("refused {code}")));
}
