//! The ids of one sender, oldest first, with a look-up that touches one line of the processor's cache.

use std::collections::VecDeque;
use std::time::Instant;

use super::memory::Key;

/// A queue of keys that knows its members. Its memory follows its length, also downwards.
#[derive(Debug, Default)]
pub(super) struct Ids {
    order: VecDeque<(Key, Instant)>,
    /// The same keys, open addressing with linear probing, at most half full. They are keyed hashes, so nobody can
    /// make them crowd.
    table: Vec<Key>,
}

impl Ids {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        !self.table.is_empty() && self.table[self.find(key)] == key
    }

    /// When the oldest was heard.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.order.front().map(|(_, heard)| *heard)
    }

    /// Adds a key that is not in it.
    pub(super) fn push(&mut self, key: Key, heard: Instant) {
        self.order.push_back((key, heard));
        if self.order.len() * 2 > self.table.len() {
            self.rebuild();
        } else {
            let free = self.find(key);
            self.table[free] = key;
        }
    }

    pub(super) fn pop(&mut self) {
        let Some((key, _)) = self.order.pop_front() else { return };
        if self.order.len() * 8 < self.table.len() && self.table.len() > SMALLEST {
            self.order.shrink_to(self.order.len() * 2);
            self.rebuild();
        } else {
            self.remove(key);
        }
    }

    /// Where the key is, or the free place where it would be.
    fn find(&self, key: Key) -> usize {
        let mask = self.table.len() - 1;
        let mut at = key.spread() & mask;
        while self.table[at] != Key::NONE && self.table[at] != key {
            at = (at + 1) & mask;
        }
        at
    }

    /// Moves later keys up into the gap, so that no search ends before its key.
    fn remove(&mut self, key: Key) {
        let mask = self.table.len() - 1;
        let mut gap = self.find(key);
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let next = self.table[at];
            if next == Key::NONE {
                break;
            }
            let from_home = at.wrapping_sub(next.spread()) & mask;
            if from_home >= at.wrapping_sub(gap) & mask {
                self.table[gap] = next;
                gap = at;
            }
        }
        self.table[gap] = Key::NONE;
    }

    fn rebuild(&mut self) {
        let size = (self.order.len() * 2).next_power_of_two().max(SMALLEST);
        self.table = vec![Key::NONE; size];
        for at in 0..self.order.len() {
            let key = self.order[at].0;
            let free = self.find(key);
            self.table[free] = key;
        }
    }
}

const SMALLEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_was_pushed_and_not_popped(steps in prop::collection::vec((any::<bool>(), 0_u64..40), 0..600)) {
            let (mut ids, mut model, now) = (Ids::default(), VecDeque::new(), Instant::now());
            for (push, number) in steps {
                // Few homes, so that keys crowd and wrap around.
                let key = Key::of(number % 5 * 0x3fff_ffff, number);
                if push && !model.contains(&key) {
                    ids.push(key, now);
                    model.push_back(key);
                } else if !push {
                    ids.pop();
                    model.pop_front();
                }
                prop_assert_eq!(ids.len(), model.len());
                for number in 0..40 {
                    let key = Key::of(number % 5 * 0x3fff_ffff, number);
                    prop_assert_eq!(ids.contains(key), model.contains(&key));
                }
            }
        }
    }

    #[test]
    fn memory_follows_the_length() {
        let (mut ids, now) = (Ids::default(), Instant::now());
        let key = |number: u64| Key::of(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number);
        (0..65_536).for_each(|number| ids.push(key(number), now));
        assert!(ids.table.len() <= 131_072 && ids.order.capacity() <= 65_536);
        (0..65_530).for_each(|_| ids.pop());
        assert!(ids.table.len() <= 64 && ids.order.capacity() <= 64);
        assert!((65_530..65_536).all(|number| ids.contains(key(number))));
    }
}
