//! Texts on their way: all are sent at once, in order, and their outcomes come out in order per user.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::client::TextId;
use crate::name::UserName;
use crate::peer::SendError;
use crate::transport::Sent;

/// What became of a text.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) id: TextId,
    pub(super) to: UserName,
    pub(super) text: String,
    pub(super) result: Result<Sent, SendError>,
}

type Sending = Pin<Box<dyn Future<Output = Result<Sent, SendError>> + Send>>;

/// Sends that are under way.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    id: TextId,
    to: UserName,
    text: String,
    sending: Sending,
    result: Option<Result<Sent, SendError>>,
}

impl Outbox {
    /// Adds a send; it begins with the next [`Outbox::next`].
    pub(super) fn push(
        &mut self,
        id: TextId,
        to: UserName,
        text: String,
        sending: impl Future<Output = Result<Sent, SendError>> + Send + 'static,
    ) {
        self.waiting.push_back(Waiting { id, to, text, sending: Box::pin(sending), result: None });
    }

    /// How many outcomes are not known yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether more may be added.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < UNDER_WAY
    }

    /// The next outcome; never, while there is nothing under way.
    ///
    /// # Cancel safety
    /// Cancel safe: what is under way goes on with the next call.
    pub(super) async fn next(&mut self) -> Outcome {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Every send is polled in the order in which it was added, which is what keeps their order on the wire.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.result.is_none()) {
            if let Poll::Ready(result) = waiting.sending.as_mut().poll(context) {
                waiting.result = Some(result);
            }
        }
        for at in 0..self.waiting.len() {
            let here = &self.waiting[at];
            let first_of_its_user = !self.waiting.range(..at).any(|earlier| earlier.to == here.to);
            if here.result.is_none() || !first_of_its_user {
                continue;
            }
            if let Some(Waiting { id, to, text, result: Some(result), .. }) = self.waiting.remove(at) {
                return Poll::Ready(Outcome { id, to, text, result });
            }
        }
        Poll::Pending
    }
}

/// Texts that may be under way at once. One more is not read until an outcome is known.
const UNDER_WAY: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    async fn after(seconds: u64, result: Result<Sent, SendError>) -> Result<Sent, SendError> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        result
    }

    #[tokio::test(start_paused = true)]
    async fn outcomes_come_in_order_per_user_and_no_user_waits_for_another() {
        let mut outbox = Outbox::default();
        outbox.push(TextId::random(), name("slow"), "1".into(), after(5, Ok(Sent::Unconfirmed)));
        outbox.push(TextId::random(), name("slow"), "2".into(), after(1, Err(SendError::Closed)));
        outbox.push(TextId::random(), name("fast"), "3".into(), after(2, Ok(Sent::Delivered)));
        let mut order = Vec::new();
        while outbox.len() > 0 {
            order.push(outbox.next().await.text);
        }
        assert_eq!(order, ["3", "1", "2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn sends_are_under_way_together() {
        let mut outbox = Outbox::default();
        let began = tokio::time::Instant::now();
        while outbox.has_room() {
            outbox.push(TextId::random(), name("bob"), String::new(), after(2, Ok(Sent::Unconfirmed)));
        }
        while outbox.len() > 0 {
            outbox.next().await;
        }
        assert_eq!(began.elapsed().as_secs(), 2);
    }
}
