//! What is said on both ports, without the sockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dial::Dial;
use super::line::{In, Line, Out};
use crate::client::driver::{Connecting, Protocol, Turn};
use crate::client::outbox::Text;
use crate::client::{Ability, Account, Ask, Ended, Event, Happened, Heard, Place, Refused, State, TextId, now};
use crate::codec::minechat::{Answer, HEARTBEAT, HeardLine, SERVER, hear_answer, hear_line, typed_line, typed_message};
use crate::secret::Secret;
use crate::text::one_line;

/// One client's account, and what it waits for.
#[derive(Debug)]
pub(super) struct Machine {
    dial: Arc<Dial>,
    settings: Settings,
    token: Option<Secret>,
    /// The server gave the token to this client, so it may have another one when it forgets that.
    given: bool,
    /// What to be called in a new account.
    nickname: String,
    /// What this user is called, once the server said so.
    name: Option<String>,
    /// The last account that was told.
    told: Option<Account>,
    stage: Stage,
    /// The account was told on this connection.
    known: bool,
    /// The one thing that the server is to answer; the next waits.
    asked: Option<Asked>,
    /// When something was heard on the port to speak, or is to be.
    speaking: Watch,
    hearing: Watch,
    /// How often texts went out that nobody answered.
    tries: Vec<(TextId, u32)>,
    /// Texts that were said, in the order in which they are to be heard.
    echoes: VecDeque<(TextId, String)>,
    /// The port to hear stood since the last connection.
    stood: Option<bool>,
}

/// What the program chose.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) listens: bool,
    pub(super) writes: bool,
    pub(super) quiet: Duration,
    pub(super) silence: Option<Duration>,
    pub(super) answer: Duration,
    pub(super) longest: usize,
}

/// How far the talk on the port to speak has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// There is none.
    Off,
    /// The server is to ask for a hash.
    Hello,
    /// It has the hash.
    Hash,
    /// It is to ask for a nickname.
    Naming,
    /// It has the nickname.
    Named,
    /// Texts may go out.
    Chat,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Asked {
    Text(TextId),
    /// Whether it is there.
    Ping,
}

/// Waits for something to be heard, and looks once more before it says that there is nothing.
#[derive(Debug)]
struct Watch {
    since: Instant,
    doubted: bool,
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self { since: now, doubted: false }
    }

    fn due(&self, within: Duration) -> Instant {
        self.since + within + if self.doubted { LAST_LOOK } else { Duration::ZERO }
    }

    fn is_over(&mut self, within: Duration, now: Instant) -> bool {
        now >= self.due(within) && std::mem::replace(&mut self.doubted, true)
    }
}

impl Machine {
    pub(super) fn new(dial: Arc<Dial>, token: Option<Secret>, nickname: String, settings: Settings) -> Self {
        let now = Instant::now();
        Self {
            dial,
            settings,
            token,
            given: false,
            nickname,
            name: None,
            told: None,
            stage: Stage::Off,
            known: false,
            asked: None,
            speaking: Watch::new(now),
            hearing: Watch::new(now),
            tries: Vec::new(),
            echoes: VecDeque::new(),
            stood: None,
        }
    }

    fn said_there(&mut self, line: &str, turn: &mut Turn<'_, Out>) {
        match hear_line(line) {
            _ if HEARTBEAT.strip_suffix('\n') == Some(line) || line.trim().is_empty() => {}
            Some(HeardLine::Registered(user)) => {
                turn.tell(Event::Happened { room: None, user, what: Happened::Joined });
            }
            Some(HeardLine::Said { from, body }) if from == SERVER => {
                turn.tell(Event::Notice(body));
            }
            Some(HeardLine::Said { from, body }) => {
                let own = self.name.as_ref() == Some(&from);
                let echo = own.then(|| self.echoes.iter().position(|(_, text)| text.trim() == body.trim())).flatten();
                let id = echo.and_then(|at| self.echoes.remove(at)).map(|(id, _)| id);
                turn.tell(Event::Message(message(from, body.into(), id, own)));
            }
            None => {
                turn.tell(Event::Notice(line.to_owned()));
            }
        }
    }

    fn answered(&mut self, line: &str, turn: &mut Turn<'_, Out>) {
        match (hear_answer(line), self.stage) {
            (Some(Answer::Hello), Stage::Hello) => self.sign_in(turn),
            (Some(Answer::Unknown), Stage::Hash) => self.unknown(turn),
            (Some(Answer::Unknown), Stage::Naming) => {}
            (Some(Answer::Nickname), Stage::Hash) => {
                self.unknown(turn);
                if self.stage == Stage::Naming {
                    self.be_called(turn);
                }
            }
            (Some(Answer::Nickname), Stage::Hello | Stage::Naming) => self.be_called(turn),
            (Some(Answer::Account { nickname, hash }), Stage::Hash | Stage::Named | Stage::Chat) if !self.known => {
                self.account(nickname, &hash, turn);
                self.chat(turn);
            }
            // What else there is to know may follow, or not.
            (Some(Answer::Welcome), Stage::Hash | Stage::Named) => self.chat(turn),
            (Some(Answer::Welcome), Stage::Chat) => {}
            (Some(Answer::Sent), Stage::Chat) => {
                if let Some(Asked::Text(id)) = self.asked.take() {
                    self.settle(&id, State::Accepted, turn);
                }
            }
            (Some(Answer::NotSent(why)), Stage::Chat) => {
                if let Some(Asked::Text(id)) = self.asked.take() {
                    self.echoes.retain(|(said, _)| *said != id);
                    self.settle(&id, State::Failed(why), turn);
                }
            }
            _ if line.trim().is_empty() => {}
            // An account in the wrong place holds a secret.
            (Some(Answer::Account { .. }), _) => {}
            _ => {
                turn.tell(Event::Notice(line.to_owned()));
            }
        }
    }

    fn sign_in(&mut self, turn: &mut Turn<'_, Out>) {
        self.stage = if self.token.is_some() { Stage::Hash } else { Stage::Naming };
        turn.write(Out(typed_line(self.token.as_ref().map_or("", Secret::reveal))));
    }

    fn unknown(&mut self, turn: &mut Turn<'_, Out>) {
        turn.refuse("the server knows no account with this token", Some("unknown_token"));
        if !self.given {
            return turn.end(Ended::Refused("the server knows no account with this token".into()));
        }
        (self.token, self.told) = (None, None);
        self.stage = Stage::Naming;
    }

    fn be_called(&mut self, turn: &mut Turn<'_, Out>) {
        self.stage = Stage::Named;
        turn.write(Out(typed_line(self.name.as_ref().unwrap_or(&self.nickname))));
    }

    fn account(&mut self, nickname: String, hash: &str, turn: &mut Turn<'_, Out>) {
        self.known = true;
        self.name = Some(nickname.clone());
        match Secret::new(hash) {
            Ok(hash) => {
                self.given |= self.token.is_none();
                self.token = Some(hash.clone());
                let account = Account { nickname, hash };
                if self.told.as_ref() != Some(&account) {
                    self.told = Some(account.clone());
                    turn.tell(Event::Account(account));
                }
            }
            Err(error) => drop(turn.tell(Event::Notice(format!("the account's hash cannot be used: {error}")))),
        }
    }

    fn chat(&mut self, turn: &mut Turn<'_, Out>) {
        if self.stage != Stage::Chat {
            self.stage = Stage::Chat;
            self.connected(turn);
        }
    }

    fn connected(&mut self, turn: &mut Turn<'_, Out>) {
        let resumed = self.stood.filter(|stood| *stood);
        self.stood = Some(false);
        turn.connected(self.name.clone(), resumed);
    }

    fn settle(&mut self, id: &TextId, state: State, turn: &mut Turn<'_, Out>) {
        self.tries.retain(|(tried, _)| tried != id);
        turn.advance(id, state);
        turn.outbox.settle(id);
    }

    /// How long the port to speak may be silent, if it may not be so for ever.
    fn patience(&self) -> Option<Duration> {
        match (self.stage, &self.asked) {
            (Stage::Off, _) => None,
            (Stage::Chat, None) => Some(self.settings.quiet),
            _ => Some(self.settings.answer),
        }
    }
}

impl Protocol for Machine {
    type In = In;
    type Out = Out;
    type Line = Line;
    type Welcome = bool;

    fn abilities(&self) -> &'static [Ability] {
        if self.settings.writes { &[Ability::Say] } else { &[] }
    }

    fn longest(&self) -> usize {
        self.settings.longest
    }

    fn connect(&mut self) -> Connecting<Self> {
        Box::pin(self.dial.clone().connect())
    }

    fn opened(&mut self, same: bool, turn: &mut Turn<'_, Out>) {
        self.stood = self.stood.map(|_| same);
        (self.speaking, self.hearing) = (Watch::new(turn.now), Watch::new(turn.now));
        if self.settings.writes {
            self.stage = Stage::Hello;
        } else {
            self.connected(turn);
        }
    }

    fn hear(&mut self, heard: In, turn: &mut Turn<'_, Out>) {
        match heard {
            In::Heard(line) => {
                self.hearing = Watch::new(turn.now);
                self.said_there(&line, turn);
            }
            In::Answer(line) => {
                // While something is to be answered, talk of other things is none.
                let before = (self.stage, self.asked.is_some());
                self.answered(&line, turn);
                if before != (self.stage, self.asked.is_some()) || before == (Stage::Chat, false) {
                    self.speaking = Watch::new(turn.now);
                }
            }
        }
    }

    fn route(&self, _: Option<String>) -> Result<Option<String>, Refused> {
        Ok(None)
    }

    fn say(&mut self, text: &Text, turn: &mut Turn<'_, Out>) {
        if self.asked.is_some() {
            return;
        }
        let words = one_line(&text.text);
        if words.trim().is_empty() {
            // Some servers take it for two empty lines, and answer twice.
            return self.settle(&text.id, State::Failed("it is empty".into()), turn);
        }
        self.asked = Some(Asked::Text(text.id.clone()));
        self.speaking = Watch::new(turn.now);
        turn.write_text(&text.id, Out(typed_message(&words)));
    }

    fn said(&mut self, id: &TextId, turn: &mut Turn<'_, Out>) {
        let Some(text) = turn.outbox.iter().find(|text| text.id == *id).map(|text| text.text.clone()) else { return };
        let again = match self.tries.iter_mut().find(|(tried, _)| tried == id) {
            Some((_, tries)) => {
                *tries += 1;
                true
            }
            None => {
                self.tries.push((id.clone(), 1));
                false
            }
        };
        if self.settings.listens {
            if self.echoes.len() >= MOST_ECHOES {
                self.echoes.pop_front();
            }
            self.echoes.push_back((id.clone(), one_line(&text).into_owned()));
        } else if !again {
            let name = self.name.clone().unwrap_or_default();
            turn.tell(Event::Message(message(name, text, Some(id.clone()), true)));
        }
    }

    fn ask(&mut self, _: Ask, turn: &mut Turn<'_, Out>) {
        turn.refuse("this protocol has nothing of the kind", Some("unknown_command"));
    }

    fn lost(&mut self, turn: &mut Turn<'_, Out>) {
        (self.stage, self.known) = (Stage::Off, false);
        if let Some(Asked::Text(id)) = self.asked.take()
            && self.tries.iter().any(|(tried, tries)| *tried == id && *tries >= TRIES)
        {
            self.settle(&id, State::Failed(UNANSWERED.into()), turn);
        }
        turn.requeue(|_| true);
    }

    fn due(&self) -> Option<Instant> {
        let speaking = self.patience().map(|patience| self.speaking.due(patience));
        let hearing = self.settings.silence.filter(|_| self.settings.listens).map(|most| self.hearing.due(most));
        [speaking, hearing].into_iter().flatten().min()
    }

    fn alarm(&mut self, turn: &mut Turn<'_, Out>) {
        let now = turn.now;
        if !turn.step.events.is_empty() {
            // Nothing is read while the program takes nothing: who does not read hears no silence.
            (self.speaking, self.hearing) = (Watch::new(now), Watch::new(now));
            return;
        }
        if let Some(most) = self.settings.silence.filter(|_| self.settings.listens)
            && self.hearing.is_over(most, now)
        {
            self.dial.distrust();
            return turn.give_up("nothing was heard on the port to hear");
        }
        let Some(patience) = self.patience() else { return };
        if self.stage == Stage::Chat && self.asked.is_none() {
            if now >= self.speaking.due(patience) {
                self.asked = Some(Asked::Ping);
                self.speaking = Watch::new(now);
                turn.write(Out(typed_message("")));
            }
        } else if self.speaking.is_over(patience, now) {
            self.dial.distrust();
            turn.give_up("the port to speak does not answer");
        }
    }
}

fn message(from: String, text: Arc<str>, id: Option<TextId>, own: bool) -> Heard {
    Heard { from, text, place: Place::Open, at: now(), position: None, id, past: false, own }
}

/// How often a text is said that nobody answers.
const TRIES: u32 = 3;
/// Texts that were said and may still be heard.
const MOST_ECHOES: usize = 256;
/// Time for what has arrived already to be read.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// What becomes of a text that may have arrived.
const UNANSWERED: &str = "the server never answered it, and nobody can say whether it was heard";
