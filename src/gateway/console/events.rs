//! What becomes of console clients, told to whoever runs the server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tracing::{debug, info};

use crate::text::SafeText;

/// One thing that happened. Its display text is the line that servers of this protocol print; names and texts in it are
/// made safe for a terminal.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConsoleEvent {
    /// The port is served.
    Listening(SocketAddr),
    /// Somebody came in.
    Accepted {
        /// From where.
        from: SocketAddr,
        /// As whom: the name by which others know them.
        name: String,
    },
    /// They are gone.
    Closed {
        /// Who.
        name: String,
    },
    /// They sent a command.
    Requested {
        /// Who.
        name: String,
        /// As they typed it.
        command: String,
    },
    /// They said something. Only where it was asked for.
    Received {
        /// Who.
        name: String,
        /// What.
        text: Arc<str>,
    },
    /// So many events were lost here, because nobody took them in time.
    Lost(u64),
}

impl fmt::Display for ConsoleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening(at) => write!(f, "Listening for connections on {at}..."),
            Self::Accepted { from, name } => {
                write!(f, "Accepted new connection from {from}, username: {}", SafeText(name))
            }
            Self::Closed { name } => write!(f, "Closed connection from: {}", SafeText(name)),
            Self::Requested { name, command } => {
                write!(f, "The client '{}' has requested the command: '{}'", SafeText(name), SafeText(command))
            }
            Self::Received { name, text } => write!(f, "Received message from {}: {}", SafeText(name), SafeText(text)),
            Self::Lost(count) => write!(f, "{count} lines are missing here"),
        }
    }
}

/// What happens at a console port, in order. At most [`Limits::events`](crate::Limits::events) wait; more are lost and
/// counted, so that no reader holds a client up.
#[derive(Debug)]
pub struct ConsoleEvents {
    events: mpsc::Receiver<ConsoleEvent>,
    lost: Arc<AtomicU64>,
}

impl ConsoleEvents {
    /// The next one; `None` when the port is not served any more.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn next(&mut self) -> Option<ConsoleEvent> {
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => self.events.recv().await,
            lost => Some(ConsoleEvent::Lost(lost)),
        }
    }
}

/// Where they are told.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    events: Option<mpsc::Sender<ConsoleEvent>>,
    lost: Arc<AtomicU64>,
    texts: bool,
}

impl Teller {
    /// For nobody but the log.
    pub(super) fn silent() -> Self {
        Self { events: None, lost: Arc::default(), texts: false }
    }

    /// With somebody who listens; `texts` tells them what is said, too.
    pub(super) fn channel(most: usize, texts: bool) -> (Self, ConsoleEvents) {
        let (sender, events) = mpsc::channel(most.max(1));
        let lost = Arc::<AtomicU64>::default();
        (Self { events: Some(sender), lost: lost.clone(), texts }, ConsoleEvents { events, lost })
    }

    pub(super) fn tell(&self, event: ConsoleEvent) {
        info!("{event}");
        self.put(event);
    }

    /// That somebody said something, if that is to be told.
    pub(super) fn tell_text(&self, name: &str, text: &Arc<str>) {
        if self.texts {
            let event = ConsoleEvent::Received { name: name.to_owned(), text: text.clone() };
            debug!("{event}");
            self.put(event);
        }
    }

    fn put(&self, event: ConsoleEvent) {
        let Some(events) = &self.events else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = events.try_send(event) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_a_line_that_nobody_can_forge() {
        let from: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let name = || "bob\u{202e}".to_owned();
        for (event, line) in [
            (ConsoleEvent::Listening(from), "Listening for connections on 127.0.0.1:5..."),
            (
                ConsoleEvent::Accepted { from, name: name() },
                "Accepted new connection from 127.0.0.1:5, username: bob\u{fffd}",
            ),
            (ConsoleEvent::Closed { name: name() }, "Closed connection from: bob\u{fffd}"),
            (
                ConsoleEvent::Requested { name: name(), command: "cmd!a\nClosed".into() },
                "The client 'bob\u{fffd}' has requested the command: 'cmd!a Closed'",
            ),
            (
                ConsoleEvent::Received { name: name(), text: "\u{1b}[2J\r\nx".into() },
                "Received message from bob\u{fffd}: \u{fffd}[2J x",
            ),
            (ConsoleEvent::Lost(3), "3 lines are missing here"),
        ] {
            assert_eq!(event.to_string(), line);
        }
    }

    #[tokio::test]
    async fn what_nobody_takes_is_lost_and_counted() {
        let (teller, mut events) = Teller::channel(2, false);
        let closed = |n: u32| ConsoleEvent::Closed { name: n.to_string() };
        (0..5).for_each(|n| teller.tell(closed(n)));
        teller.tell_text("bob", &"nobody asked for this".into());
        drop(teller);
        let mut heard = Vec::new();
        while let Some(event) = events.next().await {
            heard.push(event);
        }
        assert_eq!(heard, [ConsoleEvent::Lost(3), closed(0), closed(1)]);
    }
}
