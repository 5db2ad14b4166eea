//! Rooms, how much of each was heard, and how much of that the program took.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::message::{Epoch, Position, RoomKey};
use crate::name::RoomName;

/// Where texts go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Target {
    Room(RoomName),
    User(String),
}

impl Target {
    /// Reads what [`Target::key`] wrote.
    pub(super) fn parse(key: &str) -> Option<Self> {
        match key.split_at_checked(1)? {
            ("#", room) => RoomName::new(room).ok().map(Self::Room),
            ("@", user) if !user.is_empty() => Some(Self::User(user.to_owned())),
            _ => None,
        }
    }

    pub(super) fn key(&self) -> String {
        match self {
            Self::Room(room) => format!("#{room}"),
            Self::User(user) => format!("@{user}"),
        }
    }

    /// As people call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Room(room) => room.to_string(),
            Self::User(user) => user.clone(),
        }
    }
}

/// A room that this client is in, or wants to be in.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: RoomName,
    pub(super) stage: Stage,
    /// The last message that was heard.
    pub(super) at: Option<Position>,
    /// Whether all that was said here since the last connection is known: a text of ours that did not come by is not
    /// there.
    pub(super) clean: bool,
    /// Messages behind `at` that a history showed before they came.
    pub(super) ahead: BTreeSet<u64>,
    /// Where texts went before this room was entered.
    pub(super) before: Option<Target>,
}

/// How far the entering is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Next time there is a connection.
    Wanted,
    /// It is being made: because the program asked, or because it is gone from a server that began anew.
    Making {
        asked: bool,
    },
    /// It is being entered. `anew`: its history began anew, and is heard from the start.
    Coming {
        anew: bool,
    },
    In,
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It is new, and was said before this.
    Missed,
    /// It is new.
    Live,
    /// It answers a question for what was said before.
    Shown,
    /// It was heard before.
    Known,
}

impl Room {
    pub(super) fn new(name: RoomName, stage: Stage, at: Option<Position>) -> Self {
        Self { name, stage, at, clean: false, ahead: BTreeSet::new(), before: None }
    }

    /// Takes note of a message. `history`: such was asked for here.
    pub(super) fn place(&mut self, epoch: &Epoch, seq: u64, prev: u64, history: bool) -> Fate {
        if let Some(at) = self.at.as_ref().filter(|at| at.epoch == *epoch) {
            if seq <= at.seq {
                return if history { Fate::Shown } else { Fate::Known };
            }
            if history && prev > at.seq && self.ahead.len() < MOST_AHEAD {
                self.ahead.insert(seq);
                return Fate::Shown;
            }
        }
        self.at = Some(Position { epoch: epoch.clone(), seq });
        let shown = self.ahead.remove(&seq);
        self.ahead = self.ahead.split_off(&seq);
        match self.stage {
            _ if shown => Fate::Known,
            Stage::In => Fate::Live,
            _ => Fate::Missed,
        }
    }
}

/// What the program took, and what the server was told of that.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// Messages in the order in which they were told, with the number of their event.
    waiting: VecDeque<(u64, RoomKey, Position)>,
    taken: BTreeMap<RoomKey, Position>,
    untold: BTreeSet<RoomKey>,
}

impl Acks {
    pub(super) fn wait(&mut self, event: u64, room: RoomKey, at: Position) {
        self.waiting.push_back((event, room, at));
    }

    /// Nothing was there to be taken, or it was known before.
    pub(super) fn skip(&mut self, room: RoomKey, at: Position) {
        if !self.waiting.iter().any(|(_, waiting, _)| *waiting == room) {
            self.taken.insert(room, at);
        }
    }

    /// The program took its events up to this one.
    pub(super) fn take(&mut self, event: u64) {
        while self.waiting.front().is_some_and(|(number, ..)| *number <= event) {
            let Some((_, room, at)) = self.waiting.pop_front() else { return };
            self.untold.insert(room.clone());
            self.taken.insert(room, at);
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.untold.is_empty()
    }

    /// What is to be told now.
    pub(super) fn tell(&mut self) -> Vec<(RoomKey, u64)> {
        let untold = std::mem::take(&mut self.untold);
        untold.into_iter().filter_map(|room| Some((room.clone(), self.taken.get(&room)?.seq))).collect()
    }

    /// A message was heard again: the server did not hear that it was taken.
    pub(super) fn again(&mut self, room: &RoomKey) {
        if self.taken.contains_key(room) {
            self.untold.insert(room.clone());
        }
    }

    pub(super) fn taken(&self, room: &RoomKey) -> Option<&Position> {
        self.taken.get(room)
    }

    pub(super) fn forget(&mut self, room: &RoomKey) {
        self.waiting.retain(|(_, waiting, _)| waiting != room);
        self.taken.remove(room);
        self.untold.remove(room);
    }
}

/// As many as one history answers with.
const MOST_AHEAD: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Position {
        Position { epoch: Epoch::new("e").unwrap(), seq }
    }

    fn key(room: &str) -> RoomKey {
        RoomKey::Room(RoomName::new(room).unwrap())
    }

    #[test]
    fn a_message_is_told_once_whatever_history_shows() {
        let mut room = Room::new(RoomName::global(), Stage::Coming { anew: false }, Some(at(5)));
        let e = at(0).epoch;
        assert_eq!(room.place(&e, 5, 4, false), Fate::Known);
        assert_eq!(room.place(&e, 6, 5, false), Fate::Missed);
        room.stage = Stage::In;
        assert_eq!(room.place(&e, 7, 6, false), Fate::Live);
        assert_eq!(room.place(&e, 3, 2, true), Fate::Shown);
        // The newest page overtook what is on its way.
        assert_eq!(room.place(&e, 9, 8, true), Fate::Shown);
        assert_eq!(room.place(&e, 8, 7, false), Fate::Live);
        assert_eq!(room.place(&e, 9, 8, false), Fate::Known);
        assert_eq!(room.place(&e, 10, 9, false), Fate::Live);
        assert!(room.ahead.is_empty());
        let other = Epoch::new("f").unwrap();
        assert_eq!(room.place(&other, 1, 0, false), Fate::Live);
        assert_eq!(room.at, Some(Position { epoch: other, seq: 1 }));
    }

    #[test]
    fn what_the_program_took_is_told_once_for_each_room() {
        let mut acks = Acks::default();
        acks.wait(1, key("a"), at(1));
        acks.wait(2, key("b"), at(7));
        acks.wait(4, key("a"), at(2));
        acks.skip(key("a"), at(9));
        acks.take(3);
        assert_eq!(acks.tell(), [(key("a"), 1), (key("b"), 7)]);
        assert_eq!(acks.tell(), []);
        assert!(!acks.is_idle());
        acks.take(4);
        assert_eq!(acks.tell(), [(key("a"), 2)]);
        assert!(acks.is_idle());
        acks.again(&key("a"));
        acks.again(&key("c"));
        assert_eq!(acks.tell(), [(key("a"), 2)]);
        acks.skip(key("a"), at(9));
        assert_eq!(acks.taken(&key("a")), Some(&at(9)));
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        for target in [Target::Room(RoomName::global()), Target::User("zoë b".into())] {
            assert_eq!(Target::parse(&target.key()), Some(target));
        }
        for bad in ["", "#", "@", "den", "#a b", "ä"] {
            assert_eq!(Target::parse(bad), None, "{bad}");
        }
    }
}
