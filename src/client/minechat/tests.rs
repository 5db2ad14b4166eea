//! The machine alone: no sockets, and time as it is told.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

use super::dial::Dial;
use super::line::{In, Out};
use super::machine::{Machine, Settings};
use crate::client::driver::{Over, Protocol, Step, Turn};
use crate::client::outbox::Outbox;
use crate::client::{Ended, Event, Happened, State, TextId};
use crate::codec::minechat::{HELLO, NICKNAME, SENT, WELCOME, account, not_sent};
use crate::secret::Secret;

/// A machine, and what stands around it otherwise.
struct Bench {
    machine: Machine,
    outbox: Outbox,
    step: Step<Out>,
    now: Instant,
}

impl Bench {
    fn new(token: Option<&str>, nickname: &str, listens: bool, writes: bool) -> Self {
        let settings =
            Settings { listens, writes, quiet: QUIET, silence: Some(SILENCE), answer: ANSWER, longest: 16 * 1024 };
        let token = token.map(|token| Secret::new(token).unwrap());
        let machine = Machine::new(Dial::new(None, None, ANSWER), token, nickname.into(), settings);
        let mut bench = Self { machine, outbox: Outbox::new(100, None), step: Step::new(), now: Instant::now() };
        bench.open(false);
        bench
    }

    /// Signed in as `ann`, by a token of an earlier time.
    fn chatting(listens: bool) -> Self {
        let mut bench = Self::new(Some("key"), "", listens, true);
        bench.sign_in();
        bench
    }

    fn sign_in(&mut self) {
        self.answer(HELLO);
        assert_eq!(self.written(), ["key\n"]);
        self.answer(&account("ann", "key"));
        self.answer(WELCOME);
        assert!(self.step.connected);
        self.told();
    }

    fn turn<T>(&mut self, f: impl FnOnce(&mut Machine, &mut Turn<'_, Out>) -> T) -> T {
        let Self { machine, outbox, step, now } = self;
        f(machine, &mut Turn { now: *now, taken: 0, outbox, step })
    }

    fn open(&mut self, same: bool) {
        self.step.online = true;
        self.turn(|machine, turn| machine.opened(same, turn));
    }

    fn answer(&mut self, line: &str) {
        let line = line.trim_end_matches('\n').to_owned();
        self.turn(|machine, turn| machine.hear(In::Answer(line), turn));
    }

    fn hear(&mut self, line: &str) {
        self.turn(|machine, turn| machine.hear(In::Heard(line.to_owned()), turn));
    }

    fn say(&mut self, text: &str) -> TextId {
        let id = TextId::random();
        self.outbox.push(id.clone(), None, text.into()).unwrap();
        self.speak();
        id
    }

    /// Has the next text written, if the machine wants to.
    fn speak(&mut self) {
        let Some(text) = self.outbox.next().cloned() else { return };
        self.turn(|machine, turn| machine.say(&text, turn));
        if self.step.outs.iter().any(|(_, id)| id.as_ref() == Some(&text.id)) {
            self.turn(|machine, turn| {
                turn.advance(&text.id, State::Sent);
                machine.said(&text.id, turn);
            });
        }
    }

    fn cut(&mut self) {
        (self.step.online, self.step.connected, self.step.over) = (false, false, None);
        self.step.outs.clear();
        self.turn(Machine::lost);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        while self.machine.due().is_some_and(|due| due <= self.now) && self.step.over.is_none() {
            self.turn(Machine::alarm);
        }
    }

    fn written(&mut self) -> Vec<String> {
        self.step.outs.drain(..).map(|(Out(text), _)| text).collect()
    }

    /// What was told, in a word each.
    fn told(&mut self) -> Vec<String> {
        let word = |event| match event {
            Event::Connected { name, resumed } => format!("connected as {name:?}, resumed {resumed:?}"),
            Event::Account(account) => format!("account {} {}", account.nickname, account.hash.reveal()),
            Event::Message(heard) => {
                format!("{}{}: {}", if heard.own { "own " } else { "" }, heard.from, heard.text)
            }
            Event::Notice(text) => format!("notice {text}"),
            Event::State { state: State::Failed(why), .. } => format!("failed: {why}"),
            Event::State { state, .. } => state.word().to_owned(),
            Event::Happened { user, what: Happened::Joined, .. } => format!("{user} joined"),
            Event::Refused { code, .. } => format!("refused {code:?}"),
            other => panic!("{other:?}"),
        };
        self.step.events.drain(..).map(word).collect()
    }
}

#[test]
fn a_token_signs_in_and_an_unknown_one_ends_the_client() {
    let mut bench = Bench::new(Some("key"), "ann", true, true);
    assert!(bench.written().is_empty(), "the server speaks first");
    bench.answer("a banner");
    bench.answer(HELLO);
    assert_eq!(bench.written(), ["key\n"]);
    bench.answer(&account("Zen tester", "key"));
    assert_eq!(
        bench.told(),
        ["notice a banner", "account Zen tester key", "connected as Some(\"Zen tester\"), resumed None"]
    );
    bench.answer(WELCOME);
    assert!(bench.told().is_empty());
    bench.cut();
    bench.open(false);
    bench.answer(HELLO);
    bench.answer(&account("Zen tester", "key"));
    assert_eq!(bench.told(), ["connected as Some(\"Zen tester\"), resumed None"], "the account is no news");

    for word in ["null", NICKNAME] {
        let mut bench = Bench::new(Some("key"), "ann", true, true);
        bench.answer(HELLO);
        bench.answer(word);
        assert_eq!(bench.told(), ["refused Some(\"unknown_token\")"]);
        assert!(matches!(bench.step.over, Some(Over::Ended(Ended::Refused(_)))), "{:?}", bench.step.over);
        assert_eq!(bench.written(), ["key\n"], "no account is made in its stead");
    }
}

#[test]
fn who_registered_here_comes_back_by_the_token_and_registers_again_if_that_is_forgotten() {
    let mut bench = Bench::new(None, "sasha\nx", true, true);
    bench.answer(HELLO);
    bench.answer(NICKNAME);
    assert_eq!(bench.written(), ["\n", "sasha x\n"]);
    bench.answer(&account("Jolly sasha", "one"));
    assert_eq!(bench.told(), ["account Jolly sasha one", "connected as Some(\"Jolly sasha\"), resumed None"]);
    bench.cut();
    bench.open(true);
    bench.answer(HELLO);
    bench.answer("null");
    bench.answer(NICKNAME);
    assert_eq!(bench.written(), ["one\n", "Jolly sasha\n"]);
    bench.answer(&account("Jolly sasha", "two"));
    let told = bench.told();
    assert_eq!(told[..2], ["refused Some(\"unknown_token\")", "account Jolly sasha two"]);
    assert_eq!(told[2..], ["connected as Some(\"Jolly sasha\"), resumed Some(true)"]);
}

#[test]
fn a_welcome_without_an_account_is_one_and_what_follows_is_told() {
    let mut bench = Bench::new(None, "ann", true, true);
    bench.answer(HELLO);
    bench.answer(NICKNAME);
    bench.answer(WELCOME);
    bench.answer(&account("ann", "no token, this"));
    bench.answer(&account("eve", "other"));
    bench.hear("ann: hi");
    let told = bench.told();
    assert_eq!(told[0], "connected as None, resumed None");
    assert!(told[1].starts_with("notice the account's hash cannot be used"), "{told:?}");
    assert_eq!(told[2..], ["own ann: hi"], "and no second account is believed");
}

#[test]
fn a_text_is_one_line_and_accepted_when_it_is_answered_and_not_before() {
    let mut bench = Bench::chatting(true);
    let first = bench.say("one\ntwo\r\nthree");
    bench.say("next");
    assert_eq!(bench.written(), ["one two three\n\n"], "one after the other");
    bench.hear("ann: one two three");
    bench.answer("what is this?");
    assert_eq!(bench.told(), ["sent", "own ann: one two three", "notice what is this?"]);
    bench.answer(SENT);
    assert_eq!(bench.told(), ["accepted"]);
    assert!(bench.outbox.iter().all(|text| text.id != first));
    bench.speak();
    assert_eq!(bench.written(), ["next\n\n"]);
    bench.answer(&not_sent("you are muted"));
    assert_eq!(bench.told(), ["sent", "failed: you are muted"]);
    bench.answer(SENT);
    bench.answer(SENT);
    assert!(bench.told().is_empty(), "answers to nothing");
    for empty in [" ", "\n\n", "\t\n"] {
        bench.say(empty);
        assert_eq!(bench.told(), ["failed: it is empty"]);
    }
    assert!(bench.written().is_empty());
}

#[test]
fn own_texts_are_known_by_the_nickname_and_their_ids_by_what_they_say() {
    let mut bench = Bench::chatting(true);
    let id = bench.say("hi: there");
    bench.told();
    for line in ["bob: hi: there", "ann: from elsewhere", "ann: hi: there", "ann: hi: there"] {
        bench.hear(line);
    }
    let heard: Vec<_> = bench.step.events.drain(..).collect();
    let heard: Vec<_> = heard
        .iter()
        .map(|event| match event {
            Event::Message(heard) => (heard.own, heard.id.as_ref()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heard, [(false, None), (true, None), (true, Some(&id)), (true, None)]);
    for line in ["Server: # ping", "", "  "] {
        bench.hear(line);
    }
    bench.hear("Server: # к чату присоединился eve");
    bench.hear("Server: maintenance: soon");
    bench.hear("nonsense");
    assert_eq!(bench.told(), ["eve joined", "notice maintenance: soon", "notice nonsense"]);

    let mut mute = Bench::chatting(false);
    mute.say("a\nb");
    assert_eq!(mute.told(), ["sent", "own ann: a\nb"], "where nobody hears it, it is shown when it goes out");
    mute.cut();
    mute.open(false);
    mute.sign_in();
    mute.speak();
    assert_eq!(mute.told(), ["sent"], "once");
}

#[test]
fn a_text_that_nobody_answers_is_said_three_times_at_most() {
    let mut bench = Bench::chatting(true);
    bench.say("hello?");
    for _ in 0..2 {
        assert_eq!(bench.told(), ["sent"]);
        bench.pass(ANSWER);
        assert!(bench.step.over.is_none(), "one last look");
        bench.pass(ANSWER);
        assert!(matches!(bench.step.over, Some(Over::Lost(_))));
        bench.cut();
        assert_eq!(bench.told(), ["queued"]);
        bench.open(false);
        bench.sign_in();
        bench.speak();
        assert_eq!(bench.written(), ["hello?\n\n"]);
    }
    bench.cut();
    let told = bench.told();
    assert_eq!(told[0], "sent");
    assert!(told[1].starts_with("failed: the server never answered"), "{told:?}");
    assert_eq!(bench.outbox.unsettled(), 0);
}

#[test]
fn a_text_that_never_went_out_waits_without_a_try() {
    let mut bench = Bench::new(Some("key"), "", false, true);
    for _ in 0..9 {
        bench.cut();
        bench.open(false);
    }
    bench.sign_in();
    bench.say("at last");
    assert_eq!(bench.written(), ["at last\n\n"]);
}

#[test]
fn silence_is_asked_about_on_one_port_and_an_end_on_the_other() {
    let mut bench = Bench::chatting(false);
    bench.pass(QUIET - TICK);
    assert!(bench.written().is_empty());
    bench.pass(TICK);
    assert_eq!(bench.written(), ["\n"], "a lone empty line");
    bench.say("meanwhile");
    assert!(bench.written().is_empty(), "one thing is answered after the other");
    bench.answer(SENT);
    assert!(bench.told().is_empty(), "that answers no text");
    bench.speak();
    assert_eq!(bench.written(), ["meanwhile\n\n"]);
    bench.answer(SENT);
    assert_eq!(bench.told(), ["sent", "own ann: meanwhile", "accepted"]);
    bench.pass(QUIET);
    assert_eq!(bench.written(), ["\n"]);
    bench.pass(ANSWER + TICK);
    bench.pass(ANSWER);
    assert!(matches!(&bench.step.over, Some(Over::Lost(why)) if why.contains("does not answer")));

    let mut listener = Bench::new(None, "", true, false);
    for _ in 0..9 {
        listener.pass(SILENCE - TICK);
        listener.hear("bob: hi");
        listener.told();
    }
    assert!(listener.step.over.is_none());
    listener.pass(SILENCE);
    listener.pass(SILENCE);
    assert!(matches!(&listener.step.over, Some(Over::Lost(why)) if why.contains("nothing was heard")));
}

#[test]
fn a_server_that_does_not_get_on_with_the_greeting_is_given_up() {
    for greeting in [&[][..], &[HELLO], &[HELLO, NICKNAME]] {
        let mut bench = Bench::new(None, "ann", false, true);
        for line in greeting {
            bench.pass(ANSWER - TICK);
            bench.answer(line);
        }
        assert!(bench.step.over.is_none(), "late answers are answers");
        bench.pass(ANSWER);
        bench.pass(ANSWER);
        assert!(matches!(bench.step.over, Some(Over::Lost(_))), "{greeting:?}");
    }
}

#[test]
fn a_server_that_says_anything_but_what_it_is_to_say_is_given_up() {
    for noise in ["", "hello?", "{\"nickname\": \"x\", \"account_hash\": \"y\"}", WELCOME] {
        let mut bench = Bench::new(Some("key"), "", false, true);
        for _ in 0..100 {
            bench.answer(noise);
            bench.told();
            bench.pass(ANSWER / 4);
        }
        assert!(
            matches!(&bench.step.over, Some(Over::Lost(reason)) if reason.contains("does not answer")),
            "{noise:?}"
        );
    }
    let mut bench = Bench::chatting(false);
    bench.say("hello");
    for _ in 0..100 {
        bench.answer("one moment, please");
        bench.told();
        bench.pass(ANSWER / 4);
    }
    assert!(matches!(&bench.step.over, Some(Over::Lost(reason)) if reason.contains("does not answer")));
}

#[test]
fn whoever_does_not_read_hears_no_silence() {
    let mut bench = Bench::chatting(true);
    bench.say("hello");
    assert!(!bench.step.events.is_empty(), "nobody takes this");
    for _ in 0..9 {
        bench.pass(ANSWER);
    }
    assert!(bench.step.over.is_none());
    bench.told();
    bench.pass(ANSWER);
    bench.pass(ANSWER);
    assert!(bench.step.over.is_some());
}

proptest! {
    /// Whatever is heard on the ports, no text is accepted without an answer of its own.
    #[test]
    fn no_more_texts_are_accepted_than_answers_came(
        lines in vec((any::<bool>(), prop_oneof![
            Just(SENT.to_owned()),
            Just(SENT.to_owned()),
            Just("null\n".to_owned()),
            Just(HELLO.to_owned()),
            Just(NICKNAME.to_owned()),
            Just(WELCOME.to_owned()),
            Just(account("ann", "key")),
            Just(account("eve", "other")),
            Just("ann: text".to_owned()),
            "[ -~]{0,20}",
            any::<String>(),
        ]), 0..60),
    ) {
        let mut bench = Bench::chatting(true);
        let (mut answers, mut accepted) = (0, 0);
        for (heard, line) in lines {
            bench.say("text");
            bench.written();
            answers += usize::from(!heard && line == SENT);
            if heard { bench.hear(line.trim_end_matches('\n')) } else { bench.answer(&line) }
            accepted += bench.told().iter().filter(|word| *word == "accepted").count();
            prop_assert!(accepted <= answers);
            if bench.step.over.is_some() {
                break;
            }
        }
    }
}

const QUIET: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(10);
