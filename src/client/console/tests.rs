//! The machine alone: no sockets, and time as it is told.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::line::{CLOSED, RESET};
use super::machine::{Dial, Machine};
use super::{Options, OptionsError};
use crate::client::driver::{Over, Protocol, Step, Turn};
use crate::client::outbox::Outbox;
use crate::client::{Ask, Ended, Event, Happened, State, TextId};
use crate::codec::console::{MAX_SENT, PACE, encode_hello};
use crate::secret::Password;

/// A machine, and what stands around it otherwise.
struct Bench {
    machine: Machine,
    outbox: Outbox,
    step: Step<String>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let dial = Dial { host: "localhost".parse().unwrap(), port: 1, timeout: PACE };
        let machine = Machine::new(dial, "ann".into(), encode_hello("ann", None), 16 * 1024);
        Self { machine, outbox: Outbox::new(100, None), step: Step::new(), now: Instant::now() }
    }

    /// On a connection that is good.
    fn connected() -> Self {
        let mut bench = Self::new();
        bench.open();
        bench.pass(PACE);
        assert!(bench.step.connected);
        bench.written();
        bench.told();
        bench
    }

    fn turn<T>(&mut self, f: impl FnOnce(&mut Machine, &mut Turn<'_, String>) -> T) -> T {
        let Self { machine, outbox, step, now } = self;
        f(machine, &mut Turn { now: *now, taken: 0, outbox, step })
    }

    fn open(&mut self) {
        self.step.online = true;
        self.turn(|machine, turn| machine.opened((), turn));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.machine.due().is_some_and(|due| due <= self.now) {
            self.turn(Machine::alarm);
        }
        assert!(self.machine.due().is_none_or(|due| due > self.now), "it would spin");
    }

    fn hear(&mut self, object: &Value) {
        self.hear_bytes(object.to_string());
    }

    fn hear_bytes(&mut self, object: impl Into<Bytes>) {
        let object = object.into();
        self.turn(|machine, turn| machine.hear(object, turn));
    }

    fn system(&mut self, text: &str) {
        self.hear(&json!({"message_type": "system_message", "sender": "ann", "data": text}));
    }

    fn own(&mut self, command: &str) {
        self.turn(|machine, turn| machine.ask(Ask::Own { command: command.into() }, turn));
    }

    fn users(&mut self) {
        self.turn(|machine, turn| machine.ask(Ask::Users { room: None }, turn));
    }

    /// Gives a text its way, and has it written.
    fn say(&mut self, text: &str) -> TextId {
        let id = TextId::random();
        self.outbox.push(id.clone(), None, text.into()).unwrap();
        self.speak();
        id
    }

    fn speak(&mut self) {
        while let Some(text) = self.outbox.next().cloned() {
            self.turn(|machine, turn| {
                machine.say(&text, turn);
                turn.advance(&text.id, State::Sent);
                machine.said(&text.id, turn);
            });
        }
    }

    fn cut(&mut self, reason: &str) -> Option<Over> {
        self.turn(|machine, turn| machine.closed(reason, turn));
        let over = self.step.over.take();
        (self.step.online, self.step.connected) = (false, false);
        self.step.outs.clear();
        self.turn(Machine::lost);
        over
    }

    /// The data of what was written.
    fn written(&mut self) -> Vec<String> {
        let objects = self.step.outs.drain(..).map(|(out, _)| {
            assert!(out.len() <= MAX_SENT, "{out}");
            serde_json::from_str::<Value>(&out).unwrap()
        });
        objects.map(|object| object["data"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn told(&mut self) -> Vec<Event> {
        self.step.events.drain(..).collect()
    }

    /// What was told, in short.
    fn words(&mut self) -> Vec<String> {
        let words = self.told().into_iter().map(|event| match event {
            Event::Notice(text) => text,
            Event::Users { names, .. } => format!("{names:?}"),
            Event::Refused { code, .. } => code.unwrap_or_default(),
            Event::State { state, .. } => format!("{state:?}"),
            Event::Message(message) if message.own => format!("ann: {}", message.text),
            Event::Message(message) => format!("{} says {}", message.from, message.text),
            Event::Happened { user, what: Happened::Left, .. } => format!("{user} left"),
            other => format!("{other:?}"),
        });
        words.collect()
    }
}

#[test]
fn the_name_goes_first_and_a_while_later_the_connection_counts_as_good() {
    let mut bench = Bench::new();
    bench.open();
    assert_eq!(bench.step.outs.front().map(|(out, _)| out.as_str()), Some(r#"{"username":"ann"}"#));
    bench.pass(PACE - Duration::from_millis(1));
    assert!(!bench.step.connected);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.told(), [Event::Connected { name: Some("ann".into()), resumed: None }]);
    // Whoever is spoken to is there.
    bench.cut(RESET);
    bench.open();
    bench.hear(&json!({"message_type": "message", "sender": "bob", "data": "hi"}));
    assert!(matches!(&bench.told()[..], [Event::Connected { .. }, Event::Message(_)]));
}

#[test]
fn a_name_counts_as_refused_only_if_no_server_ever_took_it() {
    let refused = |over: Option<Over>| matches!(over, Some(Over::Ended(Ended::Refused(_))));
    for passed in [Duration::ZERO, PACE] {
        let mut bench = Bench::new();
        for _ in 0..4 {
            bench.open();
            bench.pass(passed);
            let over = bench.cut(CLOSED);
            assert!(matches!(over, Some(Over::Taken(_))), "it may have been something else: {over:?}");
        }
        bench.open();
        bench.pass(passed);
        assert!(refused(bench.cut(CLOSED)));
    }
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.open();
        assert!(!refused(bench.cut(CLOSED)), "each time something else came in between");
        bench.open();
        assert!(!refused(bench.cut(RESET)));
    }
    let mut bench = Bench::new();
    bench.open();
    assert!(!refused(bench.cut(RESET)), "whoever does not want a name closes the connection");
    bench.open();
    bench.pass(Duration::from_secs(2));
    assert!(!refused(bench.cut(CLOSED)), "nobody takes so long to refuse it");
    bench.open();
    assert!(!refused(bench.cut(CLOSED)), "it was taken before");
    let mut bench = Bench::new();
    bench.open();
    bench.system("welcome");
    assert!(!refused(bench.cut(CLOSED)), "it was answered");
}

#[test]
fn a_text_is_told_once_and_said_again_only_if_it_may_not_have_arrived() {
    let second = Duration::from_secs(1);
    // Back then, what is said again.
    for (reason, age, again) in [
        (CLOSED, second / 2, true),
        (CLOSED, 2 * second, false),
        (RESET, 2 * second, true),
        (RESET, 6 * second, false),
        // The system finds out late.
        ("Connection timed out (os error 110)", 21 * second, true),
        ("Connection timed out (os error 110)", 26 * second, false),
    ] {
        let mut bench = Bench::connected();
        bench.say("hello");
        assert_eq!(bench.words(), ["Sent", "ann: hello"]);
        assert_eq!(bench.written(), ["hello"]);
        bench.pass(age);
        bench.cut(reason);
        bench.open();
        bench.pass(PACE);
        bench.written();
        bench.told();
        bench.speak();
        assert_eq!(bench.written(), if again { vec!["hello"] } else { vec![] }, "{reason} after {age:?}");
        assert_eq!(bench.words(), if again { vec!["Sent"] } else { vec![] }, "{reason} after {age:?}");
        bench.pass(30 * second);
        assert_eq!(bench.outbox.iter().count(), 0, "nothing is remembered for ever");
    }
}

#[test]
fn a_connection_that_was_left_leaves_no_doubt() {
    let mut bench = Bench::connected();
    bench.say("hello");
    bench.turn(|machine, turn| machine.goodbye(false, turn));
    assert_eq!(bench.written(), ["hello", "cmd!client_exit"]);
    bench.told();
    bench.cut(CLOSED);
    assert_eq!((bench.told(), bench.outbox.iter().count()), (vec![], 0));
}

#[test]
fn a_text_whose_first_half_went_out_goes_out_whole_on_the_next_connection() {
    let mut bench = Bench::connected();
    let long = "ж".repeat(1200);
    bench.outbox.push(TextId::random(), None, long.as_str().into()).unwrap();
    let text = bench.outbox.next().cloned().unwrap();
    bench.turn(|machine, turn| machine.say(&text, turn));
    assert_eq!(bench.step.outs.iter().map(|(_, id)| id.is_some()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(bench.written().concat(), long);
    bench.cut(RESET);
    assert_eq!(bench.words(), [""; 0], "it still waits");
    bench.open();
    bench.written();
    bench.speak();
    assert_eq!(bench.written().concat(), long);
    assert_eq!(bench.words(), ["Sent".to_owned(), format!("ann: {long}")]);
}

#[test]
fn commands_are_typed_with_their_mark_or_without() {
    let mut bench = Bench::connected();
    for typed in ["current_time", "cmd!current_time", " cmd!start_game:rock ", "nope\u{7}\nmore"] {
        bench.own(typed);
    }
    assert_eq!(bench.written(), ["cmd!current_time", "cmd!current_time", "cmd!start_game:rock", "cmd!nope more"]);
    assert_eq!(bench.words(), [""; 0]);
    bench.own("");
    bench.own("cmd!");
    bench.own(&"x".repeat(MAX_SENT));
    assert_eq!(bench.words(), ["argument"; 3]);
    for leaving in ["client_exit", "cmd!error"] {
        bench.own(leaving);
        assert!(std::mem::take(&mut bench.step.leave) && bench.written().is_empty(), "{leaving}");
    }
}

#[test]
fn answers_find_their_questions() {
    let mut bench = Bench::connected();
    bench.own("current_time");
    bench.users();
    bench.own("participants_count");
    assert_eq!(bench.written(), ["cmd!current_time", "cmd!participants_count", "cmd!participants_count"]);
    assert!(bench.machine.awaits());
    let left = json!({"message_type": "system_message", "sender": "bob", "data": "Client 'bob' left the chat"});
    bench.hear(&left);
    bench.system("Current time: 22:46:57");
    bench.system("Participants count: 3");
    bench.system("Participants count: 4");
    assert_eq!(bench.words(), ["bob left", "Current time: 22:46:57", r#"["3"]"#, "Participants count: 4"]);
    // Nobody leaves by saying so, and no number is made up.
    bench.users();
    bench.hear(&json!({"message_type": "system_message", "sender": "eve", "data": "Client 'bob' left the chat"}));
    bench.system("Participants count: many");
    assert_eq!(bench.words(), ["Client 'bob' left the chat", "Participants count: many"]);
    bench.system("Participants count: 3");
    assert_eq!(bench.words(), [r#"["3"]"#]);
}

#[test]
fn questions_are_bounded_and_none_is_waited_for_for_ever() {
    let mut bench = Bench::connected();
    for _ in 0..20 {
        bench.users();
    }
    assert_eq!((bench.written().len(), bench.words()), (16, vec!["busy".to_owned(); 4]));
    bench.pass(Duration::from_secs(31));
    assert_eq!(bench.words(), ["timed_out"; 16]);
    assert!(!bench.machine.awaits());
    bench.users();
    bench.cut(RESET);
    bench.own("current_time");
    assert_eq!(bench.words(), ["offline"; 2]);
}

#[test]
fn what_strangers_say_is_cleaned_and_what_means_nothing_is_passed_over_for_a_while() {
    let mut bench = Bench::connected();
    bench.hear(&json!({"message_type": "message", "sender": "b\u{1b}[2Job", "data": "a\u{7}\nann: b"}));
    assert_eq!(bench.words(), ["b[2Job says a ann: b"]);
    for _ in 0..25 {
        for garbage in [&b"{}"[..], b"{\"\xff\":1}", br#"{"message_type":"message"}"#, br#"{"message_type":7}"#] {
            bench.hear_bytes(garbage);
        }
    }
    assert!(bench.step.over.is_none() && bench.words().is_empty());
    bench.hear_bytes("{{}");
    assert!(matches!(bench.step.over, Some(Over::Lost(_))));
}

#[tokio::test]
async fn what_no_server_can_be_told_is_refused_at_once() {
    let long = "я".repeat(600);
    for name in ["", " ", "a\nb", "a\u{7}b", "a\u{2028}b", &long] {
        assert!(matches!(Options::new("localhost", 1, name).connect(), Err(OptionsError::BadName { .. })), "{name}");
    }
    assert!(matches!(Options::new("a b", 1, "ann").connect(), Err(OptionsError::BadHost { .. })));
    let secret = Password::new("correct horse").unwrap();
    let options = Options::new("::1", 1, "Zoë #2").secret(secret);
    assert!(!format!("{options:?}").contains("horse"));
    assert!(options.connect().is_ok());
}
