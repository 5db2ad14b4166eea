//! The machine alone: no sockets, and time as it is told.

use std::time::Duration;

use tokio::time::Instant;

use super::dial::Dial;
use super::machine::{Machine, Settings};
use crate::client::driver::{Protocol, Step, Turn};
use crate::client::outbox::Outbox;
use crate::client::websocket::{In, Out};
use crate::client::{Ask, Event, Refused, State, TextId};
use crate::limits::Limits;

/// A machine, and what stands around it otherwise.
struct Bench {
    machine: Machine,
    outbox: Outbox,
    step: Step<Out>,
    now: Instant,
    /// Events that the program took.
    told: Vec<Event>,
    /// Whether it takes any.
    takes: bool,
}

impl Bench {
    fn new(to: Option<&str>) -> Self {
        let dial = Dial::new("localhost".parse().unwrap(), 1, "/".into(), Limits::default());
        let settings = Settings { quiet: QUIET, pace: (30, Duration::ZERO), longest: 16 * 1024 };
        let machine = Machine::new(dial, "ann".into(), to.map(str::to_owned), settings);
        let (outbox, step, now) = (Outbox::new(1000, None), Step::new(), Instant::now());
        Self { machine, outbox, step, now, told: Vec::new(), takes: true }
    }

    /// Paired with bobby, who is there.
    fn paired() -> Self {
        let mut bench = Self::new(Some("bobby"));
        bench.open();
        bench.hear("1");
        bench.hear("1");
        assert_eq!(bench.written(), ["ann", "bobby", "(ping)"]);
        assert_eq!(bench.words(), ["connected ann", "to bobby"]);
        bench
    }

    fn turn<T>(&mut self, f: impl FnOnce(&mut Machine, &mut Turn<'_, Out>) -> T) -> T {
        let Self { machine, outbox, step, now, .. } = self;
        f(machine, &mut Turn { now: *now, taken: 0, outbox, step })
    }

    fn open(&mut self) {
        self.step.online = true;
        self.turn(|machine, turn| machine.opened((), turn));
    }

    /// Hears a frame, and goes on to what is next.
    fn hear(&mut self, frame: &str) {
        self.turn(|machine, turn| machine.hear(In::Text(frame.into()), turn));
        self.speak();
    }

    fn ask(&mut self, to: &str) {
        self.turn(|machine, turn| machine.ask(Ask::Select { to: to.into() }, turn));
        self.speak();
    }

    /// Gives a text its way.
    fn say(&mut self, text: &str) -> TextId {
        let id = TextId::random();
        let to = self.machine.route(None).unwrap();
        self.outbox.push(id.clone(), to, text.into()).unwrap();
        self.speak();
        id
    }

    /// As the driver does while nothing waits to be written.
    fn speak(&mut self) {
        for _ in 0..1000 {
            let before = (self.step.outs.len(), self.step.events.len());
            if self.step.connected
                && let Some(text) = self.outbox.next().cloned()
            {
                self.turn(|machine, turn| machine.say(&text, turn));
            }
            let said: Vec<_> = self.step.outs.iter().filter_map(|(_, id)| id.clone()).collect();
            for id in said {
                self.turn(|machine, turn| {
                    if turn.outbox.next().is_some_and(|text| text.id == id) {
                        turn.advance(&id, State::Sent);
                        machine.said(&id, turn);
                    }
                });
            }
            if before == (self.step.outs.len(), self.step.events.len()) {
                return;
            }
        }
        panic!("it never rests");
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..1000 {
            let Some(due) = self.machine.due().filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            if self.takes {
                self.told.extend(self.step.events.drain(..));
            }
            self.turn(Machine::alarm);
            if self.step.over.is_some() {
                return;
            }
            self.speak();
        }
        assert!(self.machine.due().is_none_or(|due| due > end), "it is always late");
        self.now = end;
    }

    fn cut(&mut self) {
        (self.step.online, self.step.connected, self.step.over) = (false, false, None);
        self.step.outs.clear();
        self.turn(Machine::lost);
    }

    fn written(&mut self) -> Vec<String> {
        let frames = self.step.outs.drain(..).map(|(out, _)| match out {
            Out::Text(text) => text,
            Out::Ping => "(ping)".to_owned(),
        });
        frames.collect()
    }

    /// What was told, in a word each.
    fn words(&mut self) -> Vec<String> {
        let word = |event| match event {
            Event::Message(m) => format!("{}: {}{}", m.from, m.text, if m.own { " (own)" } else { "" }),
            Event::State { state: State::Failed(why), .. } => format!("failed: {why}"),
            Event::State { state, .. } => state.word().to_owned(),
            Event::Connected { name, resumed } => {
                assert_eq!(resumed, None, "the wire cannot tell");
                format!("connected {}", name.unwrap())
            }
            Event::Selected { to } => format!("to {}", to.unwrap()),
            Event::Refused { code, .. } => format!("refused {}", code.unwrap()),
            Event::Happened { user, what, .. } => format!("{user} {what:?}"),
            Event::Notice(text) => format!("({text})"),
            other => format!("{other:?}"),
        };
        self.told.drain(..).chain(self.step.events.drain(..)).map(word).collect()
    }

    fn over(&mut self) -> String {
        format!("{:?}", self.step.over.take().expect("it is over"))
    }
}

#[test]
fn a_text_waits_for_the_word_on_the_one_before_it() {
    let mut bench = Bench::paired();
    bench.say("one");
    bench.say("two");
    assert_eq!(bench.written(), ["one"]);
    assert_eq!(bench.words(), ["sent", "ann: one (own)"]);
    bench.hear("[server] Message sent to user bobby");
    assert_eq!(bench.written(), ["two"]);
    assert_eq!(bench.words(), ["accepted", "sent", "ann: two (own)"]);
    bench.hear("[server] Message sent to user bobby");
    bench.hear("[server] Message delivered to user bobby");
    bench.hear("[server] Message not delivered to user bobby: timed out");
    assert_eq!(bench.words(), ["accepted", "delivered", "failed: timed out"]);
    assert_eq!(bench.outbox.iter().count(), 0);
    bench.say("three");
    bench.say("four");
    bench.hear("[server] Message not delivered to user bobby: gone");
    bench.hear("[server] Message not delivered: the server is full");
    let words = ["sent", "ann: three (own)", "failed: gone", "sent", "ann: four (own)", "failed: the server is full"];
    assert_eq!(bench.words(), words);
    // Where the other end is another program, its word is the only one.
    bench.say("five");
    bench.hear("[server] Message delivered to user bobby");
    assert_eq!(bench.words(), ["sent", "ann: five (own)", "delivered"]);
}

#[test]
fn of_a_text_to_a_room_nothing_is_told_after_it_was_sent() {
    let mut bench = Bench::paired();
    bench.say("one");
    bench.hear("[server] Message sent to room bobby");
    assert_eq!(bench.words(), ["sent", "ann: one (own)", "accepted"]);
    assert_eq!(bench.outbox.iter().count(), 0);
    bench.hear("[server] Message delivered to user bobby");
    assert_eq!(bench.words(), ["(Message delivered to user bobby)"], "of no text of ours");
}

#[test]
fn what_others_say_is_heard_at_the_prompt_too_and_is_no_answer() {
    let mut bench = Bench::new(Some("bobby"));
    bench.open();
    bench.hear("[carol] early");
    bench.hear("1");
    bench.hear("[carol] 1");
    bench.hear("[server] User dave left");
    bench.hear("[server] wait\u{1b}[2J a little");
    assert_eq!(bench.written(), ["ann", "bobby"]);
    let words = ["carol: early", "connected ann", "carol: 1", "dave Left", "(wait[2J a little)"];
    assert_eq!(bench.words(), words);
    bench.hear("1");
    assert_eq!(bench.words(), ["to bobby"]);
}

#[test]
fn a_name_that_is_taken_is_told_as_such() {
    assert_eq!(Bench::new(None).machine.grace(), 0, "whoever typed it is asked for another one at once");
    let mut bench = Bench::new(Some("bobby"));
    bench.open();
    bench.hear("0");
    assert_eq!(bench.over(), "Taken(\"somebody is called ann already\")");
    assert_eq!(bench.written(), ["ann"]);
}

#[test]
fn whoever_is_not_there_is_asked_for_again_with_pauses_and_told_once() {
    let mut bench = Bench::new(Some("bobby"));
    bench.open();
    bench.hear("1");
    bench.say("are you there?");
    let mut asked = 0;
    for _ in 0..20 {
        bench.hear("0");
        bench.pass(Duration::from_secs(7));
        let frames = bench.written();
        asked += frames.iter().filter(|frame| *frame == "bobby").count();
        assert!(!frames.iter().any(|frame| frame == "are you there?"), "it waits");
    }
    assert_eq!(asked, 21);
    assert_eq!(bench.words(), ["connected ann", "refused no_user"]);
    bench.hear("1");
    assert_eq!(bench.written(), ["(ping)", "are you there?"]);
    assert_eq!(bench.words(), ["to bobby", "sent", "ann: are you there? (own)"]);
}

#[test]
fn with_nobody_to_speak_to_there_is_nowhere_to_say_it() {
    let mut bench = Bench::new(None);
    bench.open();
    bench.hear("1");
    assert_eq!(bench.machine.route(None), Err(Refused::Nowhere));
    assert_eq!(bench.machine.due(), None, "somebody thinks about it");
    bench.ask("a: b");
    bench.ask(":quit:");
    assert_eq!(bench.written(), ["ann"]);
    assert_eq!(bench.words(), ["connected ann", "refused bad_nickname", "refused bad_nickname"]);
    bench.ask("bobby");
    assert_eq!(bench.written(), ["bobby"]);
    bench.hear("1");
    bench.ask("bobby");
    assert_eq!(bench.words(), ["to bobby", "to bobby"]);
}

#[test]
fn another_recipient_takes_another_connection_behind_what_was_typed_before() {
    let mut bench = Bench::paired();
    bench.say("for bobby");
    bench.say("also for bobby");
    bench.ask("carol");
    bench.say("for carol");
    assert_eq!(bench.written(), ["for bobby"]);
    bench.hear("[server] Message sent to user bobby");
    assert_eq!(bench.written(), ["also for bobby"]);
    bench.hear("[server] Message sent to user bobby");
    assert_eq!(bench.written(), [":quit:"]);
    bench.words();
    bench.turn(|machine, turn| machine.closed("the server closed the connection (1000)", turn));
    assert_eq!(bench.over(), "Again");
    bench.cut();
    bench.open();
    bench.hear("1");
    bench.hear("1");
    assert_eq!(bench.written(), ["ann", "carol", "(ping)", "for carol"]);
    assert_eq!(bench.words(), ["connected ann", "to carol", "sent", "ann: for carol (own)"]);
    // A server that does not close is not waited for.
    bench.hear("[server] Message sent to user carol");
    bench.ask("bobby");
    assert_eq!(bench.written(), [":quit:"]);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.over(), "Again");
}

#[test]
fn what_was_typed_for_somebody_who_is_gone_fails_when_another_is_wanted() {
    let mut bench = Bench::new(Some("bobby"));
    bench.open();
    bench.hear("1");
    bench.say("for bobby");
    bench.say("also for bobby");
    bench.hear("0");
    bench.written();
    bench.words();
    bench.ask("carol");
    bench.say("for carol");
    assert_eq!(bench.written(), ["bobby"], "perhaps they came");
    bench.hear("0");
    assert_eq!(bench.words(), ["failed: bobby is not here", "failed: bobby is not here"]);
    bench.hear("1");
    assert_eq!(bench.written(), ["carol", "(ping)", "for carol"]);
    assert_eq!(bench.words(), ["to carol", "sent", "ann: for carol (own)"]);
}

#[test]
fn a_cut_costs_nothing_but_the_words_that_did_not_come() {
    let mut bench = Bench::paired();
    bench.say("one");
    bench.hear("[server] Message sent to user bobby");
    bench.say("two");
    bench.say("three");
    bench.words();
    bench.cut();
    assert_eq!(bench.words(), ["queued"], "of two nobody knows, three was never said");
    bench.written();
    bench.open();
    bench.hear("1");
    bench.hear("0");
    bench.pass(Duration::from_secs(1));
    bench.hear("1");
    assert_eq!(bench.written(), ["ann", "bobby", "bobby", "(ping)", "two"]);
    assert_eq!(bench.words(), ["connected ann", "refused no_user", "to bobby", "sent"], "its author saw it already");
    bench.hear("[server] Message sent to user bobby");
    assert_eq!(bench.written(), ["three"]);
    // What is told of the first connection's texts never comes.
    bench.hear("[server] Message delivered to user bobby");
    assert_eq!(bench.words(), ["accepted", "sent", "ann: three (own)", "delivered"]);
}

#[test]
fn where_arrivals_are_told_what_was_not_told_to_arrive_is_said_again() {
    let mut bench = Bench::paired();
    for n in 0..3 {
        bench.say(&n.to_string());
        bench.hear("[server] Message sent to user bobby");
        bench.pass(Duration::from_secs(8));
    }
    bench.hear("[server] Message delivered to user bobby");
    bench.words();
    bench.cut();
    // The word on 1 is overdue, so nobody there can confirm any more.
    assert_eq!(bench.words(), ["queued"]);
    bench.say("3");
    bench.written();
    bench.open();
    bench.hear("1");
    bench.hear("1");
    assert_eq!(bench.written(), ["ann", "bobby", "(ping)", "2"]);
    bench.hear("[server] Message sent to user bobby");
    assert_eq!(bench.words(), ["connected ann", "to bobby", "sent", "accepted", "sent", "ann: 3 (own)"]);
    // Where nothing of the kind is ever told, nothing is said twice.
    let mut bench = Bench::paired();
    bench.say("hi");
    bench.hear("[server] Message sent to user bobby");
    bench.words();
    bench.cut();
    assert_eq!(bench.words(), [""; 0]);
    assert_eq!(bench.outbox.iter().count(), 0);
}

#[test]
fn a_text_that_ends_every_connection_is_not_said_for_ever() {
    let mut bench = Bench::paired();
    bench.say("poison");
    bench.say("water");
    for _ in 0..3 {
        bench.cut();
        bench.open();
        bench.hear("1");
        bench.hear("1");
    }
    let words = bench.words();
    assert_eq!(words.iter().filter(|word| *word == "sent").count(), 4, "{words:?}");
    assert!(words.iter().any(|word| word.starts_with("failed: each time")), "{words:?}");
    assert_eq!(bench.written().last().map(String::as_str), Some("water"));
}

#[test]
fn a_text_of_which_the_server_says_nothing_holds_up_the_next_for_a_while_only() {
    let mut bench = Bench::paired();
    bench.say("one");
    bench.say("two");
    bench.written();
    bench.words();
    bench.pass(Duration::from_secs(9));
    assert_eq!(bench.written(), [""; 0]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.written(), ["two"]);
    let words = bench.words();
    assert!(words[0].starts_with("failed: the server says nothing"), "{words:?}");
    assert_eq!(words[1..], ["sent", "ann: two (own)"]);
    // Whoever takes no events reads nothing, so nothing is late.
    bench.takes = false;
    bench.turn(|_, turn| turn.tell(Event::Notice("not taken".into())));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.words(), ["(not taken)"]);
}

#[test]
fn a_server_that_answers_nothing_is_left() {
    for frames in [&[][..], &["1"]] {
        let mut bench = Bench::new(Some("bobby"));
        bench.open();
        frames.iter().for_each(|frame| bench.hear(frame));
        bench.pass(Duration::from_secs(11));
        assert_eq!(bench.over(), "Lost(\"the server does not answer\")");
    }
}

#[test]
fn silence_means_something_of_those_only_who_answered_and_as_late_as_they_do() {
    let mut bench = Bench::paired();
    assert_eq!(bench.machine.quiet(), None);
    bench.turn(|machine, turn| machine.hear(In::Ping, turn));
    assert_eq!(bench.machine.quiet(), None);
    bench.pass(Duration::from_secs(1));
    bench.turn(|machine, turn| machine.hear(In::Pong, turn));
    assert_eq!(bench.machine.quiet(), Some(QUIET));
    bench.cut();
    assert_eq!(bench.machine.quiet(), None);
    bench.open();
    bench.hear("1");
    bench.hear("1");
    bench.pass(Duration::from_secs(50));
    bench.turn(|machine, turn| machine.hear(In::Pong, turn));
    assert_eq!(bench.machine.quiet(), Some(Duration::from_secs(100)));
}

#[test]
fn what_is_no_pair_chat_ends_the_connection_and_is_not_obeyed() {
    let mut bench = Bench::paired();
    bench.say("one");
    bench.words();
    for _ in 0..8 {
        bench.hear("1");
        bench.hear("0");
    }
    assert!(bench.step.over.is_none());
    assert_eq!(bench.words(), [""; 0]);
    bench.turn(|machine, turn| machine.hear(In::Binary, turn));
    assert_eq!(bench.over(), "Lost(\"what comes is not pair chat\")");
    let mut bench = Bench::paired();
    for _ in 0..17 {
        bench.hear("HTTP\u{1b}c\u{7}");
    }
    assert_eq!(bench.words(), ["(HTTPc)"; 17]);
    assert_eq!(bench.over(), "Lost(\"what comes is not pair chat\")");
    let mut bench = Bench::paired();
    bench.hear(&format!("[{}] hi", "x".repeat(100_000)));
    assert_eq!(bench.words(), [""; 0]);
    bench.hear("[al\u{1b}ice] h\u{9b}i");
    assert_eq!(bench.words(), ["alice: hi"]);
    // Words on texts that were never said.
    for _ in 0..3 {
        bench.hear("[server] Message sent to user bobby");
        bench.hear("[server] Message delivered to user bobby");
        bench.hear("[server] Message not delivered to user bobby: timed out");
    }
    assert!(bench.machine.followed().is_none() && bench.words().len() == 9);
}

#[test]
fn what_nobody_confirms_is_remembered_within_a_bound() {
    let mut bench = Bench::paired();
    for n in 0..1000 {
        bench.say(&n.to_string());
        bench.hear("[server] Message sent to user bobby");
    }
    assert!(bench.outbox.iter().count() <= 257);
    assert_eq!(bench.outbox.unsettled(), 0);
    let followed = std::iter::from_fn(|| bench.machine.followed()).count();
    assert_eq!(followed, 256);
}

#[test]
fn what_is_no_text_there_is_not_sent() {
    let mut bench = Bench::paired();
    for text in [":quit:", "\n", "\n\n"] {
        bench.say(text);
        let words = bench.words();
        assert!(words.len() == 1 && words[0].starts_with("failed: pair chat cannot say that"), "{words:?}");
    }
    bench.say("hi");
    assert_eq!(bench.written(), ["hi"]);
}

#[test]
fn a_goodbye_is_the_last_word() {
    let mut bench = Bench::paired();
    bench.turn(|machine, turn| machine.goodbye(false, turn));
    assert_eq!(bench.written(), [":quit:"]);
    assert_eq!(bench.machine.due(), None);
    let mut bench = Bench::paired();
    bench.ask("carol");
    bench.turn(|machine, turn| machine.goodbye(false, turn));
    assert_eq!(bench.written(), [":quit:"], "once");
}

const QUIET: Duration = Duration::from_secs(30);
