//! What the driver asks of a protocol.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Sink, Stream};
use tokio::time::Instant;

use super::turn::Turn;
use crate::client::outbox::Text;
use crate::client::{Ability, Ask, Refused, TextId};

/// A protocol: how it connects, and what is said and heard on a connection.
///
/// The driver calls one method at a time. Whatever a method wants to come about, it puts into its [`Turn`].
pub(in crate::client) trait Protocol: Send + 'static {
    /// What is read: a frame, a line, an object.
    type In: Send;
    /// What is written.
    type Out: Send;
    /// An open connection, over however many sockets. Its errors say why it is over. Its parts are used only whole: it
    /// is polled to write and to read in turns.
    type Line: Stream<Item = Result<Self::In, String>> + Sink<Self::Out, Error = String> + Unpin + Send;
    /// What the connecting found out.
    type Welcome: Send;

    /// What it can do.
    fn abilities(&self) -> &'static [Ability];

    /// Bytes that a text may have.
    fn longest(&self) -> usize;

    /// How often a name that somebody has at the start is asked for again.
    fn grace(&self) -> u32 {
        GRACE
    }

    /// Opens a connection. Bounds its own time.
    fn connect(&mut self) -> Connecting<Self>;

    /// A connection stands. Sooner or later [`Turn::connected`] must follow.
    fn opened(&mut self, welcome: Self::Welcome, turn: &mut Turn<'_, Self::Out>);

    /// Something was read.
    fn hear(&mut self, heard: Self::In, turn: &mut Turn<'_, Self::Out>);

    /// Where a text goes, said now for `to`, in words that mean the same later.
    fn route(&self, to: Option<String>) -> Result<Option<String>, Refused>;

    /// Writes a text, by [`Turn::write_text`], or waits for a better time. Called while one is the next.
    fn say(&mut self, text: &Text, turn: &mut Turn<'_, Self::Out>);

    /// A text was written.
    fn said(&mut self, _id: &TextId, _turn: &mut Turn<'_, Self::Out>) {}

    /// Whether the other end tells what became of a text. Where it does not, a client that leaves waits until each is
    /// written, and no longer.
    fn confirms(&self) -> bool {
        true
    }

    /// The program asks for something, also while there is no connection ([`Turn::online`]).
    fn ask(&mut self, ask: Ask, turn: &mut Turn<'_, Self::Out>);

    /// Whether answers are outstanding, for which a client that leaves waits a moment.
    fn awaits(&self) -> bool {
        false
    }

    /// The other end, or the network, ended the connection. By [`Turn::end`] the client ends, too.
    fn closed(&mut self, _reason: &str, _turn: &mut Turn<'_, Self::Out>) {}

    /// The connection is over. What was sent and not confirmed is to be requeued, or failed.
    fn lost(&mut self, turn: &mut Turn<'_, Self::Out>);

    /// Nothing is written or heard any more: the last that is to be kept.
    fn ended(&mut self, _turn: &mut Turn<'_, Self::Out>) {}

    /// The client leaves: the last that is to be written. `kept`: texts wait in a journal for the next start.
    fn goodbye(&mut self, _kept: bool, _turn: &mut Turn<'_, Self::Out>) {}

    /// When [`Protocol::alarm`] is due.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// It is time.
    fn alarm(&mut self, _turn: &mut Turn<'_, Self::Out>) {}

    /// Silence after which the other end is asked whether it is there; after as much again without anything heard the
    /// connection counts as dead. `None`: silence means nothing.
    fn quiet(&self) -> Option<Duration> {
        None
    }

    /// The question.
    fn ping(&mut self) -> Option<Self::Out> {
        None
    }

    /// How fast things may be written: so many at once, and one more each time this has passed.
    fn pace(&self) -> (u32, Duration) {
        (u32::MAX, Duration::ZERO)
    }
}

/// A connection that is being made.
pub(in crate::client) type Connecting<P> =
    Pin<Box<dyn Future<Output = Result<(<P as Protocol>::Line, <P as Protocol>::Welcome), NoLine>> + Send>>;

/// Why there is no connection.
#[derive(Debug)]
pub(in crate::client) enum NoLine {
    /// Another time there may be.
    Passing(String),
    /// There will be none.
    Refused(String),
    /// Somebody has the name. After a drop that may be this client itself, for as long as the server keeps the name; at
    /// the start whoever had it may just be gone.
    Taken(String),
}

/// How often it is asked for again at the start: whoever had it may just be gone, perhaps this client itself.
pub(super) const GRACE: u32 = 4;
