//! Messages on their way to one peer: several at once, begun and settled in their order.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::message::RoomKey;
use crate::transport::{Sent, TransportError};

/// The order in which a message has its place, and the place.
pub(super) type Place = (RoomKey, u64);

/// A send under way.
type Sending = Pin<Box<dyn Future<Output = Result<Sent, TransportError>> + Send>>;

/// How a send ended, and of what place it was the last.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) place: Option<Place>,
    pub(super) sent: Result<Sent, TransportError>,
}

/// The sends under way.
#[derive(Default)]
pub(super) struct Pipe {
    sends: VecDeque<OnItsWay>,
}

struct OnItsWay {
    place: Option<Place>,
    state: State,
}

enum State {
    Sending(Sending),
    Over(Result<Sent, TransportError>),
}

impl Pipe {
    pub(super) fn len(&self) -> usize {
        self.sends.len()
    }

    /// What is on its way.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.sends.iter().filter_map(|send| send.place.as_ref())
    }

    /// Puts a send behind the others. It begins with the next look at [`Pipe::settled`].
    pub(super) fn put(&mut self, sending: Sending, place: Option<Place>) {
        self.sends.push_back(OnItsWay { place, state: State::Sending(sending) });
    }

    /// The oldest send once it has ended; never when there is none.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub(super) async fn settled(&mut self) -> Settled {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Settled> {
        // All of them, in their order: that is the order in which they are sent.
        for send in &mut self.sends {
            if let State::Sending(sending) = &mut send.state
                && let Poll::Ready(sent) = sending.as_mut().poll(cx)
            {
                send.state = State::Over(sent);
            }
        }
        match self.sends.pop_front() {
            Some(OnItsWay { place, state: State::Over(sent) }) => Poll::Ready(Settled { place, sent }),
            Some(first) => {
                self.sends.push_front(first);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::name::RoomName;

    #[tokio::test]
    async fn sends_end_in_the_order_in_which_they_began() {
        let (mut pipe, mut ends) = (Pipe::default(), Vec::new());
        for seq in 1..=3 {
            let (end, ended) = oneshot::channel();
            ends.push(Some(end));
            let sending = Box::pin(async move { ended.await.unwrap() });
            pipe.put(sending, Some((RoomKey::Room(RoomName::global()), seq)));
        }
        for at in [2, 1] {
            ends[at].take().unwrap().send(Ok(Sent::Delivered)).unwrap();
            let early = tokio::time::timeout(std::time::Duration::ZERO, pipe.settled()).await;
            assert!(early.is_err(), "the first has not ended");
        }
        ends[0].take().unwrap().send(Ok(Sent::Unconfirmed)).unwrap();
        let mut seqs = Vec::new();
        while pipe.len() > 0 {
            seqs.push(pipe.settled().await.place.unwrap().1);
        }
        assert_eq!(seqs, [1, 2, 3]);
    }
}
