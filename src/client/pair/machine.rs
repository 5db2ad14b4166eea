//! What is said on a connection of pair chat, without the connection.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dial::Dial;
use crate::client::driver::{Connecting, Protocol, Turn};
use crate::client::outbox::Text;
use crate::client::websocket::{In, Line, Out};
use crate::client::{Ability, Ask, Event, Heard, Place, Refused, State, TextId, now};
use crate::codec::pair::{self, QUIT};
use crate::net::backoff::Backoff;

/// One client's place in the conversation.
#[derive(Debug)]
pub(super) struct Machine {
    dial: Arc<Dial>,
    pub(super) nickname: String,
    settings: Settings,
    /// Where texts go that are given now.
    selected: Option<String>,
    pub(super) stage: Stage,
    /// The text that the server has not said a word of yet. One at a time: the words name no text.
    pub(super) pending: Option<Pending>,
    /// Texts that went on to a user, and since when. A word of them may come yet.
    followed: VecDeque<(TextId, Instant)>,
    /// With whom it is known that the server tells what their program took.
    confirmed: Option<String>,
    /// Texts that wait to be said again. They were told as messages before.
    again: HashSet<TextId>,
    /// On how many connections in a row a text was said of which no word came.
    broke: Option<(TextId, u32)>,
    /// Pauses between questions for somebody who is not there.
    patience: Backoff,
    /// Whether it was told that whom texts go to is not there.
    missing: bool,
    pub(super) garbage: u32,
    /// When this connection was asked whether it answers, and how long silence may last if it does.
    asked: Option<Instant>,
    quiet: Option<Duration>,
}

/// What the program chose.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) quiet: Duration,
    pub(super) pace: (u32, Duration),
    pub(super) longest: usize,
}

/// How far a connection came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// There is none.
    Away,
    /// It was said how this user is called.
    Nick { since: Instant },
    /// The server waits to hear whom this user speaks to, and nobody is wanted.
    Prompt,
    /// That was said.
    Asking { whom: String, since: Instant },
    /// They are not there. They will be asked for again.
    Waiting { whom: String, until: Instant },
    /// Texts go there.
    Chat { with: String },
    /// Goodbye was said, for a connection on which texts go to another.
    Parting { since: Instant },
}

/// A text that was said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pending {
    pub(super) id: TextId,
    since: Instant,
}

impl Machine {
    pub(super) fn new(dial: Arc<Dial>, nickname: String, to: Option<String>, settings: Settings) -> Self {
        Self {
            dial,
            nickname,
            settings,
            selected: to,
            stage: Stage::Away,
            pending: None,
            followed: VecDeque::new(),
            confirmed: None,
            again: HashSet::new(),
            broke: None,
            patience: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            missing: false,
            garbage: 0,
            asked: None,
            quiet: None,
        }
    }

    /// What was asked is answered.
    pub(super) fn answered(&mut self, yes: bool, turn: &mut Turn<'_, Out>) {
        match (std::mem::replace(&mut self.stage, Stage::Prompt), yes) {
            (Stage::Nick { .. }, true) => turn.connected(Some(self.nickname.clone()), None),
            (Stage::Nick { .. }, false) => {
                self.stage = Stage::Away;
                turn.taken(format!("somebody is called {} already", self.nickname));
            }
            (Stage::Asking { whom, .. }, true) => self.paired(whom, turn),
            (Stage::Asking { whom, .. }, false) => self.absent(whom, turn),
            (other, _) => {
                self.stage = other;
                return self.garbage(turn);
            }
        }
        self.proceed(turn);
    }

    /// Says what is to be said next, if it is not a text's turn.
    pub(super) fn proceed(&mut self, turn: &mut Turn<'_, Out>) {
        if self.pending.is_some() {
            return;
        }
        // What was typed for somebody goes there, whoever is wanted since.
        let typed = turn.outbox.next().and_then(|text| text.to.as_ref());
        let Some(wanted) = typed.or(self.selected.as_ref()).cloned() else { return };
        match &self.stage {
            Stage::Waiting { whom, until }
                if *whom == wanted && self.selected.as_ref() == Some(whom) && turn.now < *until => {}
            Stage::Prompt | Stage::Waiting { .. } => {
                turn.write(Out::Text(wanted.clone()));
                self.stage = Stage::Asking { whom: wanted, since: turn.now };
            }
            Stage::Chat { with } if *with != wanted => {
                turn.write(Out::Text(QUIT.into()));
                self.stage = Stage::Parting { since: turn.now };
            }
            _ => {}
        }
    }

    /// What comes is none of the protocol's.
    pub(super) fn garbage(&mut self, turn: &mut Turn<'_, Out>) {
        self.garbage += 1;
        if self.garbage > MOST_GARBAGE {
            turn.give_up("what comes is not pair chat");
        }
    }

    /// A pong came.
    pub(super) fn ponged(&mut self, now: Instant) {
        if let Some(asked) = self.asked.take() {
            self.quiet = Some(self.settings.quiet.max((now - asked) * 2));
        }
    }

    /// A text went on to a user.
    pub(super) fn follow(&mut self, id: TextId, now: Instant) {
        if self.followed.len() >= MOST_FOLLOWED {
            self.followed.pop_front();
        }
        self.followed.push_back((id, now));
    }

    /// The oldest text that went on, of which a word came.
    pub(super) fn followed(&mut self) -> Option<TextId> {
        Some(self.followed.pop_front()?.0)
    }

    /// The user's program took a text.
    pub(super) fn confirmed(&mut self) {
        if let Stage::Chat { with } = &self.stage {
            self.confirmed = Some(with.clone());
        }
    }

    /// The text of which a word came.
    pub(super) fn settled(&mut self) -> Option<TextId> {
        let id = self.pending.take()?.id;
        self.broke = None;
        Some(id)
    }

    fn paired(&mut self, with: String, turn: &mut Turn<'_, Out>) {
        turn.tell(Event::Selected { to: Some(with.clone()) });
        self.stage = Stage::Chat { with };
        self.patience.reset();
        self.missing = false;
        if self.quiet.is_none() {
            self.asked = Some(turn.now);
            turn.write(Out::Ping);
        }
    }

    fn absent(&mut self, whom: String, turn: &mut Turn<'_, Out>) {
        if self.selected.as_ref() != Some(&whom) {
            // Whoever waits for them waits for ever.
            let lost = turn.outbox.iter().filter(|text| text.state == State::Queued && text.to.as_ref() == Some(&whom));
            let lost: Vec<_> = lost.map(|text| text.id.clone()).collect();
            for id in lost {
                turn.advance(&id, State::Failed(not_here(&whom)));
            }
            return;
        }
        if !std::mem::replace(&mut self.missing, true) {
            turn.refuse(not_here(&whom), Some(NO_USER));
        }
        self.stage = Stage::Waiting { whom, until: turn.now + self.patience.next() };
    }

    fn select(&mut self, to: String, turn: &mut Turn<'_, Out>) {
        if !pair::is_recipient(&to) {
            return turn.refuse(format!("{to} is nobody's name, and no room's"), Some(BAD_NAME));
        }
        if matches!(&self.stage, Stage::Chat { with } if *with == to) {
            turn.tell(Event::Selected { to: Some(to.clone()) });
        }
        if self.selected.as_ref() != Some(&to) {
            self.patience.reset();
        }
        self.missing = false;
        self.selected = Some(to);
        self.proceed(turn);
    }

    /// What is waited for, and until when.
    fn deadline(&self) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Nick { since } | Stage::Asking { since, .. } => Some(*since + ANSWERED),
            Stage::Waiting { until, .. } => Some(*until),
            Stage::Parting { since } => Some(*since + PARTED),
            Stage::Away | Stage::Prompt | Stage::Chat { .. } => None,
        };
        let word = self.pending.as_ref().map(|pending| pending.since + ANSWERED);
        [stage, word].into_iter().flatten().min()
    }
}

impl Protocol for Machine {
    type In = In;
    type Out = Out;
    type Line = Line;
    type Welcome = ();

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Say, Ability::Select]
    }

    fn longest(&self) -> usize {
        self.settings.longest
    }

    fn grace(&self) -> u32 {
        // Servers free a name at once, and whoever typed it is to be asked for another one at once.
        0
    }

    fn connect(&mut self) -> Connecting<Self> {
        Box::pin(self.dial.clone().connect())
    }

    fn opened(&mut self, (): (), turn: &mut Turn<'_, Out>) {
        self.garbage = 0;
        self.stage = Stage::Nick { since: turn.now };
        turn.write(Out::Text(self.nickname.clone()));
    }

    fn hear(&mut self, heard: In, turn: &mut Turn<'_, Out>) {
        self.heard(heard, turn);
    }

    fn route(&self, to: Option<String>) -> Result<Option<String>, Refused> {
        to.or_else(|| self.selected.clone()).map(Some).ok_or(Refused::Nowhere)
    }

    fn say(&mut self, text: &Text, turn: &mut Turn<'_, Out>) {
        match &self.stage {
            Stage::Chat { with } if text.to.as_ref() == Some(with) => {
                if self.pending.is_some() {
                    return;
                }
                let Some(frame) = pair::say(&text.text) else {
                    return turn.advance(&text.id, State::Failed(NO_TEXT.into()));
                };
                self.pending = Some(Pending { id: text.id.clone(), since: turn.now });
                turn.write_text(&text.id, Out::Text(frame));
            }
            _ => self.proceed(turn),
        }
    }

    fn said(&mut self, id: &TextId, turn: &mut Turn<'_, Out>) {
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.id == *id) {
            pending.since = turn.now;
        }
        // The wire has no echo.
        let text = turn.outbox.iter().find(|text| text.id == *id).map(|text| text.text.clone());
        if !self.again.remove(id)
            && let Some(text) = text
        {
            let said = Heard {
                from: self.nickname.clone(),
                text,
                place: Place::Open,
                at: now(),
                position: None,
                id: Some(id.clone()),
                past: false,
                own: true,
            };
            turn.tell(Event::Message(said));
        }
    }

    fn ask(&mut self, ask: Ask, turn: &mut Turn<'_, Out>) {
        match ask {
            Ask::Select { to } => self.select(to, turn),
            _ => turn.refuse("there is nothing of the kind", Some("unknown_command")),
        }
    }

    fn closed(&mut self, _: &str, turn: &mut Turn<'_, Out>) {
        if matches!(self.stage, Stage::Parting { .. }) {
            turn.again();
        }
    }

    fn lost(&mut self, turn: &mut Turn<'_, Out>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Away);
        (self.asked, self.quiet) = (None, None);
        let confirming = matches!(stage, Stage::Chat { with } if self.confirmed.as_ref() == Some(&with));
        for (id, since) in self.followed.drain(..) {
            if confirming && turn.now < since + CONFIRMED {
                // It would have been confirmed, and it is with the server if that is gone.
                turn.revive(&id);
            } else {
                turn.outbox.settle(&id);
            }
        }
        if let Some(Pending { id, .. }) = self.pending.take()
            && turn.outbox.iter().any(|text| text.id == id && text.state == State::Sent)
        {
            let times = self.broke.take().filter(|(broke, _)| *broke == id).map_or(0, |(_, times)| times) + 1;
            if times >= MOST_TIMES {
                turn.advance(&id, State::Failed(BROKE.into()));
            } else {
                self.broke = Some((id, times));
            }
        }
        turn.requeue(|_| true);
        let again = turn.outbox.iter().filter(|text| text.tried && text.state == State::Queued);
        self.again = again.map(|text| text.id.clone()).collect();
    }

    fn goodbye(&mut self, _: bool, turn: &mut Turn<'_, Out>) {
        if !matches!(self.stage, Stage::Parting { .. }) {
            turn.write(Out::Text(QUIT.into()));
        }
        // Nothing more is said, or waited for.
        self.stage = Stage::Away;
    }

    fn due(&self) -> Option<Instant> {
        self.deadline()
    }

    fn alarm(&mut self, turn: &mut Turn<'_, Out>) {
        // While the program takes no events nothing is read, so nothing is late.
        let (reading, now) = (turn.step.events.is_empty(), turn.now);
        let late = |since: &mut Instant, bound: Duration| {
            if !reading {
                *since = now;
            }
            *since + bound <= now
        };
        if let Some(pending) = &mut self.pending
            && late(&mut pending.since, ANSWERED)
        {
            let id = pending.id.clone();
            self.pending = None;
            turn.advance(&id, State::Failed(NO_WORD.into()));
        }
        match &mut self.stage {
            Stage::Nick { since } | Stage::Asking { since, .. } => {
                if late(since, ANSWERED) {
                    turn.give_up("the server does not answer");
                }
            }
            Stage::Parting { since } => {
                if late(since, PARTED) {
                    turn.again();
                }
            }
            Stage::Away | Stage::Prompt | Stage::Waiting { .. } | Stage::Chat { .. } => {}
        }
        self.proceed(turn);
    }

    fn quiet(&self) -> Option<Duration> {
        self.quiet
    }

    fn ping(&mut self) -> Option<Out> {
        Some(Out::Ping)
    }

    fn pace(&self) -> (u32, Duration) {
        self.settings.pace
    }
}

fn not_here(name: &str) -> String {
    format!("{name} is not here")
}

/// The word for it that somebody is not there.
const NO_USER: &str = "no_user";
/// The word for it that nobody can be called so.
const BAD_NAME: &str = "bad_nickname";
/// What becomes of a text that is none on this wire.
const NO_TEXT: &str = "pair chat cannot say that: it is empty there, or a goodbye";
/// What becomes of a text that may have arrived.
const NO_WORD: &str = "the server says nothing of it, so nobody can say whether it arrived";
/// What becomes of a text that ends connections.
const BROKE: &str = "each time that it was said the connection broke, and nobody can say whether it arrived";
/// Connections that one text may end.
const MOST_TIMES: u32 = 3;
/// Texts of which it may yet be told that they were delivered.
const MOST_FOLLOWED: usize = 256;
/// Frames that are none of the protocol's, on one connection.
const MOST_GARBAGE: u32 = 16;
/// How long a server waits for the word that a program took a text, and a little more.
const CONFIRMED: Duration = Duration::from_secs(12);
/// How long an answer may take.
const ANSWERED: Duration = Duration::from_secs(10);
/// How long the server may take to close a connection after a goodbye.
const PARTED: Duration = Duration::from_secs(2);
/// Pauses between questions for somebody who is not there.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
