//! What is said on a connection of rich mode, without the connection.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::dial::{Dial, Welcome};
use super::places::{Acks, Room, Stage, Target};
use super::session::{Kept, Session};
use crate::client::driver::{Connecting, Protocol, Turn};
use crate::client::outbox::Text;
use crate::client::websocket::{In, Line, Out};
use crate::client::{Ability, Ask, Ended, Event, Refused, State, TextId, now};
use crate::codec::rooms::encode_command;
use crate::message::{Command, Epoch, Position, RoomKey};
use crate::name::{Nickname, RoomName};
use crate::secret::Secret;

/// One client's knowledge of its rooms.
#[derive(Debug)]
pub(super) struct Machine {
    dial: Arc<Dial>,
    /// What this user is called.
    pub(super) name: String,
    token: Option<Secret>,
    pub(super) settings: Settings,
    session: Option<Session>,
    /// In the order in which they were entered.
    pub(super) rooms: Vec<Room>,
    pub(super) selected: Option<Target>,
    /// This user's direct messages, and the last that was heard.
    pub(super) direct: Option<(RoomKey, Position)>,
    pub(super) acks: Acks,
    next_ack: Option<Instant>,
    /// Questions, of which the first is under way.
    pub(super) asked: VecDeque<Asked>,
    /// Texts that were accepted, with their places, until their receipts are whole.
    pub(super) followed: VecDeque<Followed>,
    /// When texts were first sent that nobody confirmed.
    pub(super) sent: HashMap<TextId, Instant>,
    /// Until then no text is sent: the server could not take the last.
    pub(super) hold: Option<Instant>,
    /// When the entering of rooms came a step further, while it lasts.
    coming_since: Option<Instant>,
    /// Whether nothing was missed; nothing to say of the first connection of all.
    pub(super) resumed: Option<bool>,
    /// The user is another than before.
    fresh: bool,
    /// This connection has told what this user is called.
    pub(super) introduced: bool,
    /// Whether it was told where texts go, if nothing changed that since the start.
    told_target: bool,
    pub(super) garbage: u32,
    typed: Option<Instant>,
}

/// What the program chose.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) quiet: Duration,
    pub(super) pace: (u32, Duration),
    pub(super) longest: usize,
}

/// A question to the server. Its answers name no question, so they come one after another.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) what: Question,
    /// When it was asked; `None` while it waits for those before it.
    pub(super) since: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Question {
    Users(RoomName),
    Rooms,
    History { room: RoomName, before: Option<u64>, limit: usize },
    Search { room: RoomName, text: String, before: Option<u64> },
}

/// A text whose receipts are waited for.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) id: TextId,
    pub(super) room: RoomName,
    pub(super) at: Position,
    /// By how many it was taken.
    pub(super) told: u64,
}

impl Machine {
    pub(super) fn new(
        dial: Arc<Dial>,
        nickname: String,
        settings: Settings,
        session: Option<Session>,
        kept: Kept,
    ) -> Self {
        let resumed = kept.token.as_ref().map(|_| true);
        let mut machine = Self {
            dial,
            name: kept.name.unwrap_or(nickname),
            token: kept.token,
            settings,
            session,
            rooms: Vec::new(),
            selected: None,
            direct: None,
            acks: Acks::default(),
            next_ack: None,
            asked: VecDeque::new(),
            followed: VecDeque::new(),
            sent: HashMap::new(),
            hold: None,
            coming_since: None,
            resumed,
            fresh: false,
            introduced: false,
            told_target: false,
            garbage: 0,
            typed: None,
        };
        if let Some((key, at)) = &kept.direct {
            machine.acks.skip(key.clone(), at.clone());
        }
        machine.direct = kept.direct;
        for (room, at) in kept.rooms.into_iter().take(MOST_ROOMS) {
            if let Some(at) = at.clone() {
                machine.acks.skip(RoomKey::Room(room.clone()), at);
            }
            machine.selected = Some(Target::Room(room.clone()));
            machine.rooms.push(Room::new(room, Stage::Wanted, at));
        }
        machine
    }

    /// Enters a room when there is a connection.
    pub(super) fn want(&mut self, name: RoomName) {
        self.selected = Some(Target::Room(name.clone()));
        if self.room(&name).is_none() && self.rooms.len() < MOST_ROOMS {
            self.rooms.push(Room::new(name, Stage::Wanted, None));
        }
    }

    pub(super) fn room(&mut self, name: &RoomName) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.name == *name)
    }

    /// Forgets a room; texts go to `then` if they went there.
    pub(super) fn drop_room(&mut self, name: &RoomName, then: Option<Target>, turn: &mut Turn<'_, Out>) {
        self.rooms.retain(|room| room.name != *name);
        self.acks.forget(&RoomKey::Room(name.clone()));
        if self.selected == Some(Target::Room(name.clone())) {
            let still = then.filter(|then| match then {
                Target::Room(room) => self.rooms.iter().any(|known| known.name == *room),
                Target::User(_) => true,
            });
            let last = || self.rooms.last().map(|room| Target::Room(room.name.clone()));
            self.select(still.or_else(last), turn);
        }
        self.keep();
    }

    pub(super) fn select(&mut self, target: Option<Target>, turn: &mut Turn<'_, Out>) {
        self.selected = target;
        self.told_target = true;
        turn.tell(Event::Selected { to: self.selected.as_ref().map(Target::name) });
    }

    /// Says that nothing more need be waited for, once each room is entered or given up.
    pub(super) fn settle(&mut self, turn: &mut Turn<'_, Out>) {
        if turn.step.connected || self.rooms.iter().any(|room| room.stage != Stage::In) {
            return;
        }
        self.coming_since = None;
        self.doubt(turn);
        turn.connected(Some(self.name.clone()), self.resumed);
        if !std::mem::replace(&mut self.told_target, true) && self.selected.is_some() {
            self.select(self.selected.clone(), turn);
        }
        self.resumed = Some(true);
        self.fresh = false;
        self.keep();
    }

    /// A text that was sent before is sent again only where that cannot double it.
    fn doubt(&mut self, turn: &mut Turn<'_, Out>) {
        let mut lost = Vec::new();
        for text in turn.outbox.iter().filter(|text| text.tried && text.state == State::Queued) {
            let clean = match text.to.as_deref().and_then(Target::parse) {
                Some(Target::Room(name)) => self.room(&name).is_some_and(|room| room.clean),
                _ => false,
            };
            let age = self.sent.get(&text.id).map_or_else(|| age(&text.id), |sent| turn.now - *sent);
            if !clean && (self.fresh || age >= REMEMBERED) {
                lost.push(text.id.clone());
            }
        }
        for id in lost {
            self.sent.remove(&id);
            turn.advance(&id, State::Failed(UNKNOWN.into()));
        }
    }

    /// Asks the first question, if none is under way.
    pub(super) fn put(&mut self, turn: &mut Turn<'_, Out>) {
        let Some(asked) = self.asked.front_mut().filter(|asked| asked.since.is_none()) else { return };
        asked.since = Some(turn.now);
        match &asked.what {
            Question::Users(room) => command(turn, &Command::ListUsers(Some(room.clone()))),
            Question::Rooms => command(turn, &Command::ListRooms),
            Question::History { room, before, limit } => {
                let room = RoomKey::Room(room.clone());
                let limit = u64::try_from(*limit).ok();
                command(turn, &Command::History { room: Some(room), after: None, before: *before, limit });
            }
            Question::Search { room, text, before } => {
                let room = RoomKey::Room(room.clone());
                command(turn, &Command::Search { room, text: text.clone(), before: *before, limit: None });
            }
        }
    }

    /// The first question is answered.
    pub(super) fn answered(&mut self, turn: &mut Turn<'_, Out>) -> Option<Question> {
        let answered = self.asked.pop_front()?.what;
        self.put(turn);
        Some(answered)
    }

    /// A message was told, by an event of that number.
    pub(super) fn told(&mut self, event: u64, room: RoomKey, at: Position, turn: &Turn<'_, Out>) {
        // As many wait as the program has not taken, however rarely the server is told.
        self.acks.take(turn.taken);
        self.acks.wait(event, room, at);
        self.ack_soon(turn.now);
    }

    /// The entering of rooms comes along.
    pub(super) fn came_further(&mut self, now: Instant) {
        if let Some(since) = &mut self.coming_since {
            *since = now;
        }
    }

    /// The server is to be told soon that something was taken.
    pub(super) fn ack_soon(&mut self, now: Instant) {
        self.next_ack.get_or_insert(now + ACKS_EVERY);
    }

    #[cfg(test)]
    pub(super) fn keep_in(&mut self, session: Option<Session>) {
        self.session = session;
    }

    fn tell_taken(&mut self, turn: &mut Turn<'_, Out>) {
        self.acks.take(turn.taken);
        let taken = self.acks.tell();
        let many = u32::try_from(taken.len().max(1)).unwrap_or(u32::MAX);
        for (room, seq) in taken {
            command(turn, &Command::Received { room, seq });
        }
        self.next_ack = (!self.acks.is_idle()).then(|| turn.now + ACKS_EVERY * many);
        self.keep();
    }

    /// Leaves what the next run needs.
    pub(super) fn keep(&mut self) {
        if let Some(session) = &mut self.session {
            let rooms = self.rooms.iter();
            let rooms =
                rooms.map(|room| (room.name.clone(), self.acks.taken(&RoomKey::Room(room.name.clone())).cloned()));
            let direct = self.direct.as_ref().and_then(|(key, _)| Some((key, self.acks.taken(key)?)));
            session.write(self.token.as_ref(), &self.name, rooms, direct);
        }
    }

    fn enter(&mut self, name: &str, make: bool, turn: &mut Turn<'_, Out>) {
        let Ok(name) = RoomName::new(name) else {
            return turn.refuse(format!("'{name}' is not a valid room name"), Some("bad_room_name"));
        };
        if make && !turn.step.connected {
            return offline(turn);
        }
        let known = self.room(&name).is_some();
        if known && make {
            return turn.refuse(format!("room {name} already exists"), Some("room_exists"));
        }
        if !known {
            if self.rooms.len() >= MOST_ROOMS {
                return turn.refuse(format!("you have {MOST_ROOMS} rooms already"), Some("too_many_rooms"));
            }
            let mut room = Room::new(name.clone(), Stage::Wanted, None);
            room.before = self.selected.clone();
            if make {
                room.stage = Stage::Making { asked: true };
                command(turn, &Command::Create(name.clone()));
            } else if turn.online() {
                resume(&mut room, turn);
            }
            self.rooms.push(room);
        }
        self.select(Some(Target::Room(name)), turn);
    }

    fn leave_room(&mut self, room: Option<&str>, turn: &mut Turn<'_, Out>) {
        let Some(name) = self.room_named(room, turn) else { return };
        if turn.online() {
            command(turn, &Command::Leave(Some(name.clone())));
        }
        self.drop_room(&name, None, turn);
        self.settle(turn);
    }

    fn choose(&mut self, to: &str, turn: &mut Turn<'_, Out>) {
        let target = match Target::parse(to) {
            Some(target) => target,
            None => match RoomName::new(to).ok().filter(|name| self.rooms.iter().any(|room| room.name == *name)) {
                Some(room) => Target::Room(room),
                None => Target::User(to.to_owned()),
            },
        };
        match &target {
            Target::Room(name) if self.room(name).is_none() => {
                turn.refuse(format!("you are not in room {name}"), Some("not_in_room"));
            }
            Target::User(user) if Nickname::new(user).is_err() => {
                turn.refuse(format!("user {user} is not here"), Some("no_user"));
            }
            _ => self.select(Some(target), turn),
        }
    }

    fn question(&mut self, what: Question, turn: &mut Turn<'_, Out>) {
        if !turn.step.connected {
            return offline(turn);
        }
        if self.asked.len() >= MOST_ASKED {
            return turn.refuse("you ask for more than can be answered at once", Some("busy"));
        }
        self.asked.push_back(Asked { what, since: None });
        self.put(turn);
    }

    /// A room that this client is in: that one, or the one to which texts go.
    fn room_named(&mut self, room: Option<&str>, turn: &mut Turn<'_, Out>) -> Option<RoomName> {
        let name = match (room, &self.selected) {
            (Some(room), _) => RoomName::new(room.strip_prefix('#').unwrap_or(room)).ok(),
            (None, Some(Target::Room(room))) => Some(room.clone()),
            (None, _) => None,
        };
        let name = name.filter(|name| self.rooms.iter().any(|room| room.name == *name));
        if name.is_none() {
            let words = room.map_or_else(|| "you are in no room".into(), |room| format!("you are not in room {room}"));
            turn.refuse(words, Some("not_in_room"));
        }
        name
    }
}

impl Protocol for Machine {
    type In = In;
    type Out = Out;
    type Line = Line;
    type Welcome = Welcome;

    fn abilities(&self) -> &'static [Ability] {
        &[
            Ability::Say,
            Ability::Direct,
            Ability::Users,
            Ability::Rooms,
            Ability::Enter,
            Ability::Create,
            Ability::Leave,
            Ability::Select,
            Ability::Rename,
            Ability::History,
            Ability::Search,
            Ability::Typing,
        ]
    }

    fn longest(&self) -> usize {
        self.settings.longest
    }

    fn connect(&mut self) -> Connecting<Self> {
        Box::pin(self.dial.clone().connect(self.name.clone(), self.token.clone()))
    }

    fn opened(&mut self, welcome: Welcome, turn: &mut Turn<'_, Out>) {
        (self.fresh, self.introduced) = (welcome.fresh, false);
        if welcome.fresh {
            self.followed.clear();
            // Another user's direct messages are not these.
            if let Some((before, _)) = self.direct.take_if(|_| !self.dial.has_account()) {
                self.acks.forget(&before);
            }
            self.resumed = self.resumed.map(|_| false);
        }
        self.token = Some(welcome.token);
        self.keep();
        self.garbage = 0;
        for room in &mut self.rooms {
            resume(room, turn);
        }
        self.coming_since = Some(turn.now);
        self.settle(turn);
    }

    fn hear(&mut self, heard: In, turn: &mut Turn<'_, Out>) {
        self.heard(heard, turn);
    }

    fn route(&self, to: Option<String>) -> Result<Option<String>, Refused> {
        let target = match to {
            None => self.selected.as_ref().map(Target::key),
            Some(to) => Some(Target::parse(&to).unwrap_or(Target::User(to)).key()),
        };
        target.map(Some).ok_or(Refused::Nowhere)
    }

    fn say(&mut self, text: &Text, turn: &mut Turn<'_, Out>) {
        if self.hold.is_some() {
            return;
        }
        let (id, body) = (Some(text.id.clone()), text.text.clone());
        let say = match text.to.as_deref().and_then(Target::parse) {
            Some(Target::User(to)) => Command::Direct { to, body, id },
            Some(Target::Room(name)) => match self.room(&name).map(|room| room.stage) {
                Some(Stage::In) => Command::Say { room: Some(name), body, id },
                Some(_) => return,
                None => return turn.advance(&text.id, State::Failed(format!("you are not in room {name}"))),
            },
            None => return turn.advance(&text.id, State::Failed("it goes nowhere".into())),
        };
        self.sent.entry(text.id.clone()).or_insert(turn.now);
        turn.write_text(&text.id, Out::Text(encode_command(&say)));
    }

    fn ask(&mut self, ask: Ask, turn: &mut Turn<'_, Out>) {
        match ask {
            Ask::Users { room } => {
                if let Some(room) = self.room_named(room.as_deref(), turn) {
                    self.question(Question::Users(room), turn);
                }
            }
            Ask::Rooms => self.question(Question::Rooms, turn),
            Ask::Enter { room } => self.enter(&room, false, turn),
            Ask::Create { room } => self.enter(&room, true, turn),
            Ask::Leave { room } => self.leave_room(room.as_deref(), turn),
            Ask::Select { to } => self.choose(&to, turn),
            Ask::Rename { .. } if !turn.step.connected => offline(turn),
            Ask::Rename { name } => match Nickname::new(&name) {
                Ok(name) => command(turn, &Command::Rename(name)),
                Err(_) => turn.refuse(format!("'{name}' is not a valid nickname"), Some("bad_nickname")),
            },
            Ask::History { room, before, limit } => {
                if let Some(room) = self.room_named(room.as_deref(), turn) {
                    self.question(Question::History { room, before, limit }, turn);
                }
            }
            Ask::Search { text, .. } if text.is_empty() || text.len() > MOST_SEARCH => {
                turn.refuse(format!("what is looked for has 1 to {MOST_SEARCH} bytes"), Some("argument"));
            }
            Ask::Search { room, text, before } => {
                if let Some(room) = self.room_named(room.as_deref(), turn) {
                    self.question(Question::Search { room, text, before }, turn);
                }
            }
            Ask::Typing { room } => {
                // Nobody need know it more often, or later.
                let due = self.typed.is_none_or(|typed| turn.now >= typed + TYPING_EVERY);
                if due
                    && turn.step.connected
                    && (room.is_some() || matches!(self.selected, Some(Target::Room(_))))
                    && let Some(room) = self.room_named(room.as_deref(), turn)
                {
                    self.typed = Some(turn.now);
                    command(turn, &Command::Typing(room));
                }
            }
            Ask::Own { .. } => turn.refuse("there is nothing of the kind", Some("unknown_command")),
        }
    }

    fn closed(&mut self, reason: &str, turn: &mut Turn<'_, Out>) {
        if reason.starts_with(REVOKED) {
            turn.end(Ended::Refused(reason.to_owned()));
        }
    }

    fn awaits(&self) -> bool {
        !self.asked.is_empty()
    }

    fn lost(&mut self, turn: &mut Turn<'_, Out>) {
        turn.requeue(|_| true);
        for asked in self.asked.drain(..) {
            if asked.since.is_some() {
                offline(turn);
            }
        }
        for room in &mut self.rooms {
            room.stage = Stage::Wanted;
            room.ahead.clear();
        }
        (self.hold, self.coming_since) = (None, None);
        self.ended(turn);
    }

    fn ended(&mut self, turn: &mut Turn<'_, Out>) {
        self.acks.take(turn.taken);
        self.keep();
    }

    fn goodbye(&mut self, _: bool, turn: &mut Turn<'_, Out>) {
        self.tell_taken(turn);
        if self.session.is_none() {
            command(turn, &Command::Exit);
        }
    }

    fn due(&self) -> Option<Instant> {
        let asked = self.asked.front().and_then(|asked| asked.since);
        [self.next_ack, self.hold, self.coming_since.map(|at| at + ANSWERED), asked.map(|at| at + ANSWERED)]
            .into_iter()
            .flatten()
            .min()
    }

    fn alarm(&mut self, turn: &mut Turn<'_, Out>) {
        if self.next_ack.is_some_and(|due| due <= turn.now) {
            self.tell_taken(turn);
        }
        if self.hold.is_some_and(|due| due <= turn.now) {
            self.hold = None;
        }
        if !turn.step.events.is_empty() {
            // While the program takes nothing nothing is read, so nothing is late.
            self.came_further(turn.now);
            if let Some(Asked { since: Some(since), .. }) = self.asked.front_mut() {
                *since = turn.now;
            }
        }
        if self.coming_since.is_some_and(|at| at + ANSWERED <= turn.now) {
            turn.give_up("the server does not answer");
        }
        if self.asked.front().and_then(|asked| asked.since).is_some_and(|at| at + ANSWERED <= turn.now) {
            turn.refuse("the server does not answer", Some("timed_out"));
            self.answered(turn);
        }
    }

    fn quiet(&self) -> Option<Duration> {
        Some(self.settings.quiet)
    }

    fn ping(&mut self) -> Option<Out> {
        Some(Out::Ping)
    }

    fn pace(&self) -> (u32, Duration) {
        self.settings.pace
    }
}

/// Enters a room at the place up to which it was heard, or learns where it is now.
pub(super) fn resume(room: &mut Room, turn: &mut Turn<'_, Out>) {
    room.stage = Stage::Coming { anew: false };
    let at = room.at.clone().or_else(|| Some(Position { epoch: Epoch::new(NO_EPOCH).ok()?, seq: 0 }));
    if let Some(Position { epoch, seq }) = at {
        command(turn, &Command::Resume { room: RoomKey::Room(room.name.clone()), epoch, seq });
    }
}

pub(super) fn command(turn: &mut Turn<'_, Out>, command: &Command) {
    turn.write(Out::Text(encode_command(command)));
}

fn offline(turn: &mut Turn<'_, Out>) {
    turn.refuse("there is no connection", Some("offline"));
}

/// How long ago an id was made; ids of this crate tell.
fn age(id: &TextId) -> Duration {
    let made = Uuid::try_parse(id.as_str()).ok().and_then(|id| id.get_timestamp()).map(|made| made.to_unix());
    let Some((seconds, nanos)) = made else { return Duration::MAX };
    Duration::from_millis(now().as_millis()).saturating_sub(Duration::new(seconds, nanos))
}

/// Rooms that a client is in, whatever the server allows.
pub(super) const MOST_ROOMS: usize = 64;
/// An epoch that no server has, by which one learns the true one.
pub(super) const NO_EPOCH: &str = "-";
/// Bytes that may be looked for.
const MOST_SEARCH: usize = 256;
/// Questions that wait for their answers.
const MOST_ASKED: usize = 16;
/// How often the server is told what was taken; that many times as rarely for several rooms.
const ACKS_EVERY: Duration = Duration::from_millis(250);
/// How often others are told of typing.
const TYPING_EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take, and each step of what takes several.
const ANSWERED: Duration = Duration::from_secs(10);
/// How long a server knows ids, and a little less.
const REMEMBERED: Duration = Duration::from_secs(110);
/// How the server closes a session that its user ended from elsewhere.
const REVOKED: &str = "this session was revoked";
/// What becomes of a text that may have arrived.
const UNKNOWN: &str = "the connection broke before it was confirmed, and nobody can say whether it arrived";
