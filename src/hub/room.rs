//! What a room is, without tasks, sockets or clocks: who is in it, and in which order things were said.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::limits::Limits;
use crate::message::{Epoch, MessageId, Position, Post, Record, Refusal, RoomKey, Timestamp, UserId};
use crate::name::Nickname;

/// One room's users, order, and memory of ids.
#[derive(Debug)]
pub(super) struct RoomState {
    key: RoomKey,
    epoch: Epoch,
    /// The seq of the last message, and its time.
    last: u64,
    at: Timestamp,
    users: HashMap<UserId, Present>,
    ids: Ids,
}

#[derive(Debug)]
struct Present {
    name: Nickname,
    sessions: usize,
}

/// What became of something said.
#[derive(Debug)]
pub(super) enum Posted {
    New(Arc<Post>),
    /// It was said before, there.
    Again(Position),
}

impl RoomState {
    pub(super) fn new(key: RoomKey, limits: &Limits) -> Self {
        let ids = Ids {
            window: limits.duplicate_window,
            most: limits.duplicate_ids,
            known: HashMap::new(),
            order: VecDeque::new(),
        };
        let (last, at) = (0, Timestamp::default());
        Self { key, epoch: Epoch::random(), last, at, users: HashMap::new(), ids }
    }

    pub(super) fn key(&self) -> &RoomKey {
        &self.key
    }

    /// One more session of a user; tells whether it is the first.
    pub(super) fn join(&mut self, user: UserId, name: Nickname) -> bool {
        let present = self.users.entry(user).or_insert(Present { name, sessions: 0 });
        present.sessions += 1;
        present.sessions == 1
    }

    /// One session of a user less; after the last, who left.
    pub(super) fn leave(&mut self, user: UserId) -> Option<Nickname> {
        let present = self.users.get_mut(&user)?;
        present.sessions -= 1;
        if present.sessions > 0 {
            return None;
        }
        self.users.remove(&user).map(|present| present.name)
    }

    /// Takes another name; tells the old one.
    pub(super) fn rename(&mut self, user: UserId, new: Nickname) -> Option<Nickname> {
        let present = self.users.get_mut(&user)?;
        Some(std::mem::replace(&mut present.name, new))
    }

    pub(super) fn name(&self, user: UserId) -> Option<&Nickname> {
        self.users.get(&user).map(|present| &present.name)
    }

    /// Everybody's names, sorted, one to a line.
    pub(super) fn names(&self) -> String {
        let mut names: Vec<_> = self.users.values().map(|present| present.name.as_str()).collect();
        names.sort_unstable();
        names.join("\n")
    }

    /// Gives a text its place in the order.
    pub(super) fn post(
        &mut self,
        user: UserId,
        from: &Nickname,
        body: Arc<str>,
        id: Option<MessageId>,
        now: Timestamp,
    ) -> Result<Posted, Refusal> {
        let seq = self.last + 1;
        if let Some(id) = &id {
            match self.ids.see(user, id, &body, seq, now) {
                Seen::New => {}
                Seen::Again(seq) => return Ok(Posted::Again(Position { epoch: self.epoch.clone(), seq })),
                Seen::Other => return Err(Refusal::IdReused),
            }
        }
        self.at = self.at.max(now);
        let record = Record {
            room: self.key.clone(),
            seq,
            prev: self.last,
            at: self.at,
            user,
            from: from.as_str().into(),
            id,
            body,
        };
        self.last = seq;
        Ok(Posted::New(Arc::new(Post { epoch: self.epoch.clone(), record })))
    }
}

/// The ids that were used of late.
#[derive(Debug)]
struct Ids {
    window: Duration,
    most: usize,
    known: HashMap<(UserId, MessageId), (blake3::Hash, u64)>,
    order: VecDeque<(Timestamp, UserId, MessageId)>,
}

enum Seen {
    New,
    Again(u64),
    Other,
}

impl Ids {
    fn see(&mut self, user: UserId, id: &MessageId, body: &str, seq: u64, now: Timestamp) -> Seen {
        while let Some((at, ..)) = self.order.front()
            && (at.after(self.window) <= now || self.order.len() >= self.most)
            && let Some((_, user, id)) = self.order.pop_front()
        {
            self.known.remove(&(user, id));
        }
        let key = (user, id.clone());
        let hash = blake3::hash(body.as_bytes());
        if let Some((known, seq)) = self.known.get(&key) {
            return if *known == hash { Seen::Again(*seq) } else { Seen::Other };
        }
        self.order.push_back((now, user, id.clone()));
        self.known.insert(key, (hash, seq));
        Seen::New
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::RoomName;

    fn room(limits: &Limits) -> RoomState {
        RoomState::new(RoomKey::Room(RoomName::global()), limits)
    }

    fn user(n: u8) -> UserId {
        UserId::from_bytes([n; 16])
    }

    fn nick(n: u8) -> Nickname {
        Nickname::new(&format!("user{n}")).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn an_id_used_again_is_the_same_message_or_a_refusal() {
        let mut room = room(&Limits::default());
        let id = || Some(MessageId::new("1").unwrap());
        let mut post = |n: u8, body: &str, seconds| room.post(user(n), &nick(n), body.into(), id(), at(seconds));
        assert!(matches!(post(1, "hi", 0), Ok(Posted::New(post)) if post.record.seq == 1));
        assert!(matches!(post(1, "hi", 119), Ok(Posted::Again(at)) if at.seq == 1));
        assert!(matches!(post(1, "other", 119), Err(Refusal::IdReused)));
        assert!(
            matches!(post(2, "other", 119), Ok(Posted::New(post)) if (post.record.seq, post.record.prev) == (2, 1))
        );
        assert!(matches!(post(1, "other", 120), Ok(Posted::New(post)) if post.record.seq == 3));
    }

    #[test]
    fn the_memory_of_ids_is_bounded() {
        let mut limits = Limits::default();
        limits.duplicate_ids = 3;
        let mut room = room(&limits);
        for n in 0..10 {
            let id = Some(MessageId::new(&format!("{n}")).unwrap());
            assert!(matches!(room.post(user(1), &nick(1), "x".into(), id, at(0)), Ok(Posted::New(_))));
        }
        assert_eq!((room.ids.known.len(), room.ids.order.len()), (3, 3));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join(u8),
        Leave(u8),
        Rename(u8, u8),
        Post(u8, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u8..5).prop_map(Step::Join),
            (0u8..5).prop_map(Step::Leave),
            (0u8..5, 0u8..5).prop_map(|(user, name)| Step::Rename(user, name)),
            (0u8..5, 0u64..100).prop_map(|(user, at)| Step::Post(user, at)),
        ]
    }

    proptest! {
        #[test]
        fn a_room_keeps_one_order_and_knows_who_is_there(steps in proptest::collection::vec(step(), 0..80)) {
            let mut room = room(&Limits::default());
            // Sessions and name of everybody, by the simplest means.
            let mut model: HashMap<u8, (usize, Nickname)> = HashMap::new();
            let (mut last, mut time) = (0, 0);
            for step in steps {
                match step {
                    Step::Join(n) => {
                        let first = room.join(user(n), nick(n));
                        let entry = model.entry(n).or_insert((0, nick(n)));
                        entry.0 += 1;
                        prop_assert_eq!(first, entry.0 == 1);
                    }
                    Step::Leave(n) => {
                        let left = room.leave(user(n));
                        let count = model.get(&n).map_or(0, |e| e.0);
                        let expected = if count == 1 { model.remove(&n).map(|e| e.1) } else { None };
                        if let Some(entry) = model.get_mut(&n) {
                            entry.0 -= 1;
                        }
                        prop_assert_eq!(left, expected);
                    }
                    Step::Rename(n, name) => {
                        let old = room.rename(user(n), nick(name));
                        prop_assert_eq!(old, model.get_mut(&n).map(|e| std::mem::replace(&mut e.1, nick(name))));
                    }
                    Step::Post(n, seconds) => {
                        let Ok(Posted::New(post)) = room.post(user(n), &nick(n), "x".into(), None, at(seconds)) else {
                            return Err(TestCaseError::fail("a text without an id is always new"));
                        };
                        prop_assert_eq!((post.record.seq, post.record.prev), (last + 1, last));
                        prop_assert!(post.record.at.as_millis() >= time);
                        (last, time) = (post.record.seq, post.record.at.as_millis());
                    }
                }
                let mut names: Vec<_> = model.values().map(|e| e.1.as_str()).collect();
                names.sort_unstable();
                prop_assert_eq!(room.names(), names.join("\n"));
            }
        }
    }
}
