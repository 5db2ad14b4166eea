//! What is heard.

use super::machine::{Asked, Followed, Machine, Question, command, resume};
use super::places::{Fate, Stage, Target};
use crate::client::driver::Turn;
use crate::client::websocket::{In, Out};
use crate::client::{Event, Happened, Heard as Said, Place, State, TextId};
use crate::codec::rooms::{Heard, hear_rich};
use crate::message::{Command, Epoch, Position, Post, RoomKey};
use crate::name::RoomName;

impl Machine {
    pub(super) fn heard(&mut self, heard: In, turn: &mut Turn<'_, Out>) {
        let text = match heard {
            In::Ping | In::Pong => return,
            In::Binary => None,
            // Whatever waits to be shown is held in memory, and much of it may wait.
            In::Text(text) => Some(text).filter(|text| !self.asked.is_empty() || text.len() <= self.most_unasked()),
        };
        let Some(Ok(heard)) = text.map(|text| hear_rich(text.as_bytes())) else {
            self.garbage += 1;
            if self.garbage > MOST_GARBAGE {
                turn.give_up("what comes is not the room protocol");
            }
            return;
        };
        match heard {
            Heard::Message(post) => self.message(*post, turn),
            Heard::Accepted { id, room, at } => self.accepted(id, room, &at, turn),
            Heard::Presence { room, user, state, to } => self.presence(room, user, &state, to, turn),
            Heard::Typing { room, user } => {
                if self.room(&room).is_some() && user != self.name {
                    turn.tell(Event::Happened { room: Some(room.to_string()), user, what: Happened::Typing });
                }
            }
            Heard::Receipt { room, seq, delivered, members, .. } => self.receipt(&room, seq, delivered, members, turn),
            Heard::DirectReceipt { id, state, reason, .. } => match state.as_str() {
                "delivered" => turn.advance(&id, State::Delivered { by: 1, of: 1 }),
                "failed" => turn.advance(&id, State::Failed(reason.unwrap_or(state))),
                _ => {}
            },
            Heard::Gap { room: RoomKey::Room(room), from, to } => {
                if let Some(room) = self.room(&room) {
                    if let Some(at) = room.at.as_mut().filter(|at| at.seq < to) {
                        at.seq = to;
                    }
                    let most = to.saturating_sub(from);
                    turn.tell(Event::Gap { room: room.name.to_string(), most });
                }
            }
            Heard::Gap { .. } => {}
            Heard::Recovered { room: RoomKey::Room(room), epoch, to, recovered, .. } => {
                self.recovered(&room, epoch, to, recovered, turn);
            }
            Heard::Recovered { .. } => {}
            Heard::History { room, more, .. } => {
                if matches!(self.asked.front().map(|asked| &asked.what), Some(Question::History { .. })) {
                    turn.tell(Event::HistoryEnd { room: room.to_string(), complete: !more });
                    self.answered(turn);
                }
            }
            Heard::Found { room, text, messages, before } => self.found(&room, text, (messages, before), turn),
            Heard::Users { room, names } => {
                turn.tell(Event::Users { room: Some(room.to_string()), names: lines(&names) });
                if matches!(self.asked.front(), Some(Asked { what: Question::Users(_), .. })) {
                    self.answered(turn);
                }
            }
            Heard::Rooms { names, .. } => {
                turn.tell(Event::Rooms(lines(&names)));
                if matches!(self.asked.front(), Some(Asked { what: Question::Rooms, .. })) {
                    self.answered(turn);
                }
            }
            Heard::System(text) => {
                turn.tell(Event::Notice(text));
            }
            Heard::Error { code, body, id: Some(id) } => self.refused_text(&id, &code, body, turn),
            Heard::Error { code, body, id: None } => self.refused(code, body, turn),
            Heard::Sessions(_) | Heard::Other(_) => {}
        }
    }

    /// Bytes of a frame for which nobody asked: a message, every character escaped, and what goes beside it.
    fn most_unasked(&self) -> usize {
        UNASKED.max(self.settings.longest.saturating_mul(8))
    }

    fn message(&mut self, post: Post, turn: &mut Turn<'_, Out>) {
        let Post { epoch, record } = post;
        let at = Position { epoch: epoch.clone(), seq: record.seq };
        let own = record.from.as_ref() == self.name;
        if let Some(id) = record.id.as_ref().filter(|_| own) {
            // The message itself says as much as an acceptance that was lost.
            self.sent.remove(id);
            if let RoomKey::Room(room) = &record.room
                && turn.outbox.iter().any(|text| text.id == *id)
            {
                self.follow(id, room, &at);
            }
            turn.advance(id, State::Accepted);
        }
        let (fate, place) = match &record.room {
            RoomKey::Room(name) => {
                let history = matches!(self.asked.front().map(|asked| &asked.what),
                    Some(Question::History { room, .. }) if room == name);
                let fate = match self.room(name) {
                    Some(room) => room.place(&epoch, record.seq, record.prev, history),
                    // Whoever asked has left since, and is answered all the same.
                    None if history => Fate::Shown,
                    None => return,
                };
                if fate == Fate::Shown
                    && let Some(asked) = self.asked.front_mut()
                {
                    asked.since = Some(turn.now);
                }
                (fate, Place::Room(name.to_string()))
            }
            RoomKey::Direct(_) => {
                let known = self
                    .direct
                    .as_ref()
                    .is_some_and(|(key, heard)| *key == record.room && heard.epoch == epoch && record.seq <= heard.seq);
                if known {
                    self.acks.again(&record.room);
                    self.ack_soon(turn.now);
                } else {
                    let before = self.direct.replace((record.room.clone(), at.clone()));
                    if let Some((before, _)) = before.filter(|(before, _)| *before != record.room) {
                        self.acks.forget(&before);
                    }
                }
                let fate = match (known, turn.step.connected) {
                    (true, _) => Fate::Known,
                    (false, true) => Fate::Live,
                    (false, false) => Fate::Missed,
                };
                (fate, Place::Direct)
            }
        };
        if fate == Fate::Known {
            return;
        }
        let said = Said {
            from: record.from.to_string(),
            text: record.body,
            place,
            at: record.at,
            position: Some(at.clone()),
            id: record.id,
            past: fate != Fate::Live,
            own,
        };
        let event = turn.tell(Event::Message(said));
        if fate != Fate::Shown {
            self.told(event, record.room, at, turn);
        }
        if fate == Fate::Missed {
            self.came_further(turn.now);
        }
    }

    fn accepted(&mut self, id: TextId, room: RoomKey, at: &Position, turn: &mut Turn<'_, Out>) {
        self.sent.remove(&id);
        turn.advance(&id, State::Accepted);
        if let RoomKey::Room(room) = room {
            self.follow(&id, &room, at);
        }
    }

    /// From now on receipts may be about a text.
    fn follow(&mut self, id: &TextId, room: &RoomName, at: &Position) {
        if self.followed.iter().any(|text| text.id == *id) {
            return;
        }
        if self.followed.len() >= MOST_FOLLOWED {
            self.followed.pop_front();
        }
        self.followed.push_back(Followed { id: id.clone(), room: room.clone(), at: at.clone(), told: 0 });
    }

    /// A receipt is about one text and those before it, of which only complete delivery says anything. So one that was lost
    /// with a connection is made up for by the next.
    fn receipt(&mut self, room: &RoomName, seq: u64, delivered: u64, members: u64, turn: &mut Turn<'_, Out>) {
        let all = delivered >= members;
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        self.followed.retain_mut(|text| {
            if text.room != *room || text.at.seq > seq {
                return true;
            }
            if (text.at.seq == seq || all) && delivered > text.told {
                text.told = delivered;
                turn.advance(&text.id, State::Delivered { by: count(delivered), of: count(members) });
            }
            if all {
                turn.outbox.settle(&text.id);
            }
            !all
        });
    }

    fn presence(&mut self, room: RoomName, user: String, state: &str, to: Option<String>, turn: &mut Turn<'_, Out>) {
        let what = match (state, to) {
            ("joined", _) => Happened::Joined,
            ("left", _) => Happened::Left,
            ("renamed", Some(to)) => Happened::Renamed(to),
            _ => return,
        };
        if what == Happened::Joined && !self.introduced {
            // Before oneself nobody is heard of. The name may be another than it was: by another session, or because the
            // answer to the last command of the run before was not waited for.
            self.introduced = true;
            if user != self.name {
                self.name.clone_from(&user);
                self.keep();
            }
        }
        let own = user == self.name;
        if own && let Happened::Renamed(new) = &what {
            self.name.clone_from(new);
            self.keep();
        }
        let Some(known) = self.room(&room) else { return };
        match (&what, known.stage) {
            // The answer tells it.
            (Happened::Joined, Stage::Making { .. }) if own => {
                resume(known, turn);
                return self.came_further(turn.now);
            }
            // Whoever comes back is back, which the connection tells.
            (Happened::Joined, _) if own => return,
            _ => {}
        }
        let left = own && what == Happened::Left;
        turn.tell(Event::Happened { room: Some(room.to_string()), user, what });
        if left {
            self.drop_room(&room, None, turn);
            self.settle(turn);
        }
    }

    fn recovered(&mut self, name: &RoomName, epoch: Epoch, to: u64, recovered: bool, turn: &mut Turn<'_, Out>) {
        let Some(Stage::Coming { anew }) = self.room(name).map(|room| room.stage) else { return };
        self.came_further(turn.now);
        // What is said from now on has its place in another order.
        self.followed.retain(|text| text.room != *name || text.at.epoch == epoch);
        let Some(room) = self.room(name) else { return };
        let same = room.at.as_ref().map(|at| at.epoch == epoch);
        let at = Position { epoch: epoch.clone(), seq: to };
        let mut whole = true;
        match same {
            Some(true) => {
                (room.clean, whole) = (recovered || anew, recovered);
                room.at = Some(at.clone());
            }
            Some(false) if to > 0 && to <= MOST_ANEW && !anew => {
                // A server that lost its memory: all that was said there since can still be heard.
                room.at = Some(Position { epoch, seq: 0 });
                room.clean = true;
                if let Some(at) = room.at.clone() {
                    command(turn, &Command::Resume { room: RoomKey::Room(name.clone()), epoch: at.epoch, seq: 0 });
                }
                room.stage = Stage::Coming { anew: true };
                self.resumed = self.resumed.map(|_| false);
                return;
            }
            Some(false) => {
                if to > 0 {
                    turn.tell(Event::Gap { room: name.to_string(), most: to });
                }
                (room.clean, whole) = (true, false);
                room.at = Some(at.clone());
            }
            None => {
                room.clean = false;
                room.at = (epoch.as_str() != super::machine::NO_EPOCH).then(|| at.clone());
            }
        }
        room.stage = Stage::In;
        room.before = None;
        self.acks.skip(RoomKey::Room(name.clone()), at);
        self.resumed = self.resumed.map(|all| all && whole);
        let entered = turn.step.connected;
        self.settle(turn);
        if entered {
            let user = self.name.clone();
            turn.tell(Event::Happened { room: Some(name.to_string()), user, what: Happened::Joined });
            self.keep();
        }
    }

    fn found(
        &mut self,
        room: &RoomKey,
        text: String,
        (messages, before): (Vec<Post>, Option<u64>),
        turn: &mut Turn<'_, Out>,
    ) {
        if let Some(&Question::Search { before: from, .. }) = self.asked.front().map(|asked| &asked.what) {
            self.answered(turn);
            let said = |post: Post| Said {
                own: post.record.from.as_ref() == self.name,
                from: post.record.from.to_string(),
                text: post.record.body,
                place: Place::Room(room.to_string()),
                at: post.record.at,
                position: Some(Position { epoch: post.epoch, seq: post.record.seq }),
                id: post.record.id,
                past: true,
            };
            let messages = messages.into_iter().map(said).collect();
            turn.tell(Event::Found { room: room.to_string(), text, messages, from, before });
        }
    }

    /// A text was not taken.
    fn refused_text(&mut self, id: &TextId, code: &str, body: String, turn: &mut Turn<'_, Out>) {
        if code == "unavailable" {
            // Another time it may be, and then it is the same text.
            self.hold = Some(turn.now + LATER);
            let id = id.clone();
            turn.requeue(move |text| text.id == id);
            return;
        }
        self.sent.remove(id);
        turn.advance(id, State::Failed(body));
    }

    /// Something else was not done. What it was only the words tell.
    fn refused(&mut self, code: String, body: String, turn: &mut Turn<'_, Out>) {
        let names = |name: &RoomName| body.split_whitespace().any(|word| word.trim_matches('\'') == name.as_str());
        let about_room = matches!(
            code.as_str(),
            "no_room" | "room_exists" | "room_closed" | "banned" | "bad_room_name" | "too_many_rooms" | "full"
        );
        if about_room {
            self.came_further(turn.now);
            let mut coming = self.rooms.iter_mut().filter(|room| room.stage != Stage::In);
            let at = coming.find(|room| names(&room.name) || matches!(code.as_str(), "too_many_rooms" | "full"));
            if let Some(room) = at {
                match (code.as_str(), room.stage) {
                    // Rooms that nobody is in vanish with a server that begins anew.
                    ("no_room", Stage::Coming { .. }) if room.at.is_some() => {
                        room.stage = Stage::Making { asked: false };
                        return command(turn, &Command::Create(room.name.clone()));
                    }
                    ("room_exists", Stage::Making { asked: false }) => return resume(room, turn),
                    _ => {}
                }
                let (name, before, known) = (room.name.clone(), room.before.take(), room.at.is_some());
                self.resumed = self.resumed.map(|_| false);
                turn.refuse(body, Some(&code));
                // What was meant for a room that was asked for at the start goes to no other.
                if before.is_none() && !known && self.selected == Some(Target::Room(name.clone())) {
                    self.select(None, turn);
                }
                self.drop_room(&name, before, turn);
                return self.settle(turn);
            }
        }
        turn.refuse(body, Some(&code));
        let about_question =
            matches!(code.as_str(), "not_in_room" | "busy" | "unavailable" | "argument" | "unknown_command");
        if about_question {
            self.answered(turn);
        }
    }
}

/// Frames that are none of the protocol's, on one connection.
const MOST_GARBAGE: u32 = 16;
/// Bytes of a frame for which nobody asked, at least.
const UNASKED: usize = 128 * 1024;
/// Texts that were accepted and may still be delivered.
const MOST_FOLLOWED: usize = 256;
/// Messages of a history that began anew that are heard from the start.
const MOST_ANEW: u64 = 1000;
/// When to say again what could not be kept.
const LATER: std::time::Duration = std::time::Duration::from_secs(1);

fn lines(names: &str) -> Vec<String> {
    names.lines().map(str::to_owned).collect()
}
