//! What a room is, without tasks, sockets or clocks: who is in it, and in which order things were said.

use std::collections::HashMap;
use std::sync::Arc;

use crate::message::{Epoch, MessageId, Position, Post, Record, RoomKey, Timestamp, UserId};
use crate::name::Nickname;

/// One room's users and order.
#[derive(Debug)]
pub(super) struct RoomState {
    key: RoomKey,
    epoch: Epoch,
    /// The seq of the last message, and its time.
    last: u64,
    at: Timestamp,
    users: HashMap<UserId, Present>,
}

#[derive(Debug)]
struct Present {
    name: Nickname,
    sessions: usize,
}

impl RoomState {
    /// Nobody in it yet; what was said ends at `head`.
    pub(super) fn new(key: RoomKey, head: Position) -> Self {
        let Position { epoch, seq: last } = head;
        Self { key, epoch, last, at: Timestamp::default(), users: HashMap::new() }
    }

    pub(super) fn key(&self) -> &RoomKey {
        &self.key
    }

    /// Where what was said ends.
    pub(super) fn head(&self) -> Position {
        Position { epoch: self.epoch.clone(), seq: self.last }
    }

    /// Takes back what was said behind `head`.
    pub(super) fn rewind(&mut self, head: Position) {
        (self.epoch, self.last) = (head.epoch, head.seq);
    }

    /// How many users are in it.
    pub(super) fn len(&self) -> usize {
        self.users.len()
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
    ) -> Arc<Post> {
        self.at = self.at.max(now);
        let record = Record {
            room: self.key.clone(),
            seq: self.last + 1,
            prev: self.last,
            at: self.at,
            user,
            from: from.as_str().into(),
            id,
            body,
        };
        self.last += 1;
        Arc::new(Post { epoch: self.epoch.clone(), record })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::RoomName;

    fn room() -> RoomState {
        RoomState::new(RoomKey::Room(RoomName::global()), Position { epoch: Epoch::random(), seq: 0 })
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
    fn what_was_not_kept_is_taken_back() {
        let mut room = room();
        room.post(user(1), &nick(1), "kept".into(), None, at(1));
        let head = room.head();
        room.post(user(1), &nick(1), "lost".into(), None, at(2));
        room.rewind(head);
        let next = room.post(user(1), &nick(1), "next".into(), None, at(3));
        assert_eq!((next.record.seq, next.record.prev), (2, 1));
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
            let mut room = room();
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
                        let post = room.post(user(n), &nick(n), "x".into(), None, at(seconds));
                        prop_assert_eq!((post.record.seq, post.record.prev), (last + 1, last));
                        prop_assert!(post.record.at.as_millis() >= time);
                        (last, time) = (post.record.seq, post.record.at.as_millis());
                    }
                }
                let mut names: Vec<_> = model.values().map(|e| e.1.as_str()).collect();
                names.sort_unstable();
                prop_assert_eq!(room.len(), names.len());
                prop_assert_eq!(room.names(), names.join("\n"));
            }
        }
    }
}
