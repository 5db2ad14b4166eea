//! What is said to a peer alone comes to each of its memberships, as to all sessions of a user. One of them carries it.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use tokio::sync::watch;

use crate::message::Post;

/// The memberships of one peer, in the order in which they began.
#[derive(Debug)]
pub(super) struct Line {
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those who stand in line. The first carries.
    order: VecDeque<u64>,
    next: u64,
    /// The last message that was begun to be sent.
    begun: u64,
    /// What became of messages that a membership had begun which ended.
    untold: Vec<Told>,
}

/// The place of a message, and why it may not have arrived.
pub(super) type Told = (u64, Option<&'static str>);

/// One membership's place in line, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    line: Arc<Line>,
    number: u64,
    seen: watch::Receiver<State>,
    /// What came here and others have not begun to send, oldest first.
    held: VecDeque<Arc<Post>>,
    most: usize,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::default() }
    }

    /// Stands in line, to hold so many messages at most while another carries.
    pub(super) fn join(self: &Arc<Self>, most: usize) -> Turn {
        let (mut number, seen) = (0, self.state.subscribe());
        self.state.send_modify(|state| {
            number = state.next;
            state.next += 1;
            state.order.push_back(number);
        });
        Turn { line: self.clone(), number, seen, held: VecDeque::new(), most }
    }
}

impl Turn {
    /// Takes a message in; `false` when there are too many, so that this one is not carried by anybody who comes after.
    pub(super) fn hold(&mut self, post: Arc<Post>) -> bool {
        let (begun, first) = {
            let state = self.line.state.borrow();
            (state.begun, state.order.front() == Some(&self.number))
        };
        while self.held.front().is_some_and(|held| held.record.seq <= begun) {
            self.held.pop_front();
        }
        let fits = first || self.held.len() < self.most;
        if fits && post.record.seq > begun {
            self.held.push_back(post);
        }
        fits
    }

    /// The next message that is to be sent from here.
    pub(super) fn begin(&mut self) -> Option<Arc<Post>> {
        let (held, number) = (&mut self.held, self.number);
        if held.is_empty() {
            return None;
        }
        let mut begun = None;
        self.line.state.send_if_modified(|state| {
            while state.order.front() == Some(&number)
                && begun.is_none()
                && let Some(post) = held.pop_front()
            {
                begun = (post.record.seq > state.begun).then_some(post);
            }
            if let Some(post) = &begun {
                state.begun = post.record.seq;
            }
            // Whoever waits, waits for its turn alone.
            false
        });
        begun
    }

    /// What those before left to be told, once this is the first.
    pub(super) fn left(&mut self) -> Vec<Told> {
        let (mut left, number) = (Vec::new(), self.number);
        self.line.state.send_if_modified(|state| {
            if state.order.front() == Some(&number) {
                left = mem::take(&mut state.untold);
            }
            false
        });
        left
    }

    /// Ready when another one's end has changed whose turn it is, or may have.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives the place up. What is told here is told by the next in line too: the word of a session that ends may come
    /// behind its end.
    pub(super) fn end(self, told: &[Told]) {
        let number = self.number;
        self.line.state.send_modify(|state| {
            state.order.retain(|place| *place != number);
            if !state.order.is_empty() {
                state.untold.extend_from_slice(told);
            }
        });
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let number = self.number;
        self.line.state.send_if_modified(|state| {
            let before = state.order.len();
            state.order.retain(|place| *place != number);
            state.order.len() < before
        });
    }
}
