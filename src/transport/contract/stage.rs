//! What the checks have in common.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::Subject;
use crate::address::{Address, Entry};
use crate::limits::Limits;
use crate::message::Message;
use crate::name::UserName;
use crate::transport::{Incoming, Sent, Transport, TransportError};

/// A listener and a sender of its kind.
pub(super) struct Stage {
    pub(super) listening: Arc<dyn Transport>,
    pub(super) incoming: Incoming,
    pub(super) sending: Arc<dyn Transport>,
    pub(super) entry: Entry,
    pub(super) confirms: bool,
}

impl Stage {
    pub(super) async fn new(subject: &dyn Subject, limits: &Limits) -> Self {
        let listening = subject.transport(limits);
        let at = subject.address();
        let incoming = within("listening", listening.listen(&at)).await;
        let incoming = incoming.unwrap_or_else(|error| panic!("{error}"));
        let entry = subject.entry(incoming.local_address().clone());
        assert_eq!(*entry.address.protocol(), listening.protocol());
        Self { listening, incoming, sending: subject.transport(limits), entry, confirms: subject.confirms() }
    }

    pub(super) async fn send(&self, message: &Message) {
        match within("sending", self.sending.send(&self.entry, message)).await {
            Ok(sent) => assert!(confirmed(sent, self.confirms), "{sent:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) async fn hear(&mut self) -> Message {
        within("hearing", self.incoming.next()).await.expect("the listener ended")
    }

    pub(super) async fn send_and_hear(&mut self, sent: &str) {
        self.send(&text(sent)).await;
        let heard = self.hear().await;
        assert_eq!((heard.from.as_str(), &*heard.text), ("ann", sent));
    }

    /// Sends a text that may be lost until it is heard, and returns what was heard before it.
    pub(super) async fn hear_until(&mut self, last: &str) -> Vec<Message> {
        let mut before = Vec::new();
        let hearing = async {
            self.send(&text(last)).await;
            loop {
                match timeout(A_WHILE, self.incoming.next()).await {
                    Ok(Some(message)) if *message.text == *last => break,
                    Ok(message) => before.push(message.expect("the listener ended")),
                    Err(_) => self.send(&text(last)).await,
                }
            }
        };
        within("hearing again", hearing).await;
        before
    }

    pub(super) fn expect_silence(&mut self) {
        if let Some(heard) = self.incoming.try_next() {
            panic!("nobody sent {heard:?}");
        }
    }
}

/// An ended listener may need a moment to give its address back.
pub(super) async fn listen_again(transport: &dyn Transport, at: &Address) -> Incoming {
    let attempts = async {
        loop {
            match transport.listen(at).await {
                Ok(incoming) => return incoming,
                Err(TransportError::Listen { .. }) => tokio::time::sleep(PAUSE).await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    within("listening again", attempts).await
}

pub(super) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes more than {PATIENCE:?}"))
}

/// Runs futures at once, each polled in order.
pub(super) async fn together<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(context)
            {
                *result = Some(output);
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

pub(super) async fn poll_once<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

pub(super) fn confirmed(sent: Sent, confirms: bool) -> bool {
    sent == if confirms { Sent::Delivered } else { Sent::Unconfirmed }
}

pub(super) fn name(name: &str) -> UserName {
    UserName::new(name).expect("a valid name")
}

pub(super) fn text(text: &str) -> Message {
    Message::new(name("ann"), text)
}

pub(super) fn parse(number: &str) -> usize {
    number.parse().unwrap_or_else(|_| panic!("nobody sent {number:?}"))
}

pub(super) fn rising(numbers: &[usize]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

/// For what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// For what should not happen.
pub(super) const A_WHILE: Duration = Duration::from_secs(1);
pub(super) const PAUSE: Duration = Duration::from_millis(10);
