//! What was said last in a room: whoever was away but briefly is brought up to date from here, without the store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::message::Post;

/// The last messages of a room, within bounds.
#[derive(Debug, Default)]
pub(super) struct Recent {
    posts: VecDeque<Arc<Post>>,
    bytes: usize,
    /// What all rooms remember together.
    total: Arc<AtomicUsize>,
}

impl Recent {
    /// Nothing yet, of what all rooms together count in `total`.
    pub(super) fn within(total: Arc<AtomicUsize>) -> Self {
        Self { posts: VecDeque::new(), bytes: 0, total }
    }

    pub(super) fn push(&mut self, post: Arc<Post>) {
        self.bytes += size(&post);
        let total = self.total.fetch_add(size(&post), Ordering::Relaxed) + size(&post);
        self.posts.push_back(post);
        let mut over = total.saturating_sub(MOST_TOTAL);
        while self.posts.len() > MOST || self.bytes > MOST_BYTES || over > 0 {
            let Some(oldest) = self.posts.pop_front() else { return };
            self.bytes -= size(&oldest);
            self.total.fetch_sub(size(&oldest), Ordering::Relaxed);
            over = over.saturating_sub(size(&oldest));
        }
    }

    pub(super) fn clear(&mut self) {
        self.posts = VecDeque::new();
        self.total.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// Everything behind `seq` in a room whose last message is `last`; `None` when that is more than is known here.
    pub(super) fn after(&self, seq: u64, last: u64) -> Option<impl Iterator<Item = &Arc<Post>>> {
        let known = seq >= last || self.posts.front().is_some_and(|oldest| oldest.record.prev <= seq);
        known.then(|| self.posts.iter().skip(self.posts.partition_point(|post| post.record.seq <= seq)))
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.clear();
    }
}

fn size(post: &Post) -> usize {
    size_of::<Post>() + post.record.body.len()
}

/// Messages that are remembered.
const MOST: usize = 256;
/// Bytes of them: a quarter of what may wait for a member.
const MOST_BYTES: usize = 256 * 1024;
/// Bytes of all rooms together; beyond, each new message costs its room the oldest.
const MOST_TOTAL: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Epoch, Record, RoomKey, Timestamp, UserId};
    use crate::name::RoomName;

    fn post(seq: u64, length: usize) -> Arc<Post> {
        let record = Record {
            room: RoomKey::Room(RoomName::global()),
            seq,
            prev: seq - 1,
            at: Timestamp::default(),
            user: UserId::from_bytes([1; 16]),
            from: "ann".into(),
            id: None,
            body: "x".repeat(length).into(),
        };
        Arc::new(Post { epoch: Epoch::new("e").unwrap(), record })
    }

    fn seqs(recent: &Recent, seq: u64, last: u64) -> Option<Vec<u64>> {
        recent.after(seq, last).map(|posts| posts.map(|post| post.record.seq).collect())
    }

    #[test]
    fn it_knows_the_rest_or_says_that_it_does_not() {
        let mut recent = Recent::default();
        assert_eq!(seqs(&recent, 0, 0), Some(vec![]));
        assert_eq!(seqs(&recent, 3, 4), None);
        for seq in 5..=300 {
            recent.push(post(seq, 1));
        }
        assert_eq!(seqs(&recent, 300, 300), Some(vec![]));
        assert_eq!(seqs(&recent, 298, 300), Some(vec![299, 300]));
        assert_eq!(seqs(&recent, 44, 300).map(|all| all.len()), Some(256));
        assert_eq!(seqs(&recent, 43, 300), None);
    }

    #[test]
    fn all_rooms_together_are_bounded() {
        let total = Arc::new(AtomicUsize::new(MOST_TOTAL - 2000));
        let mut recent = Recent::within(total.clone());
        for seq in 1..=10 {
            recent.push(post(seq, 500));
            assert!(total.load(Ordering::Relaxed) <= MOST_TOTAL);
        }
        assert!((1..4).contains(&recent.posts.len()), "{}", recent.posts.len());
        drop(recent);
        assert_eq!(total.load(Ordering::Relaxed), MOST_TOTAL - 2000);
    }

    #[test]
    fn it_is_bounded_in_bytes_too() {
        let mut recent = Recent::default();
        for seq in 1..=100 {
            recent.push(post(seq, 16 * 1024));
        }
        assert!(recent.bytes <= MOST_BYTES && recent.posts.len() == 15, "{}", recent.posts.len());
    }
}
