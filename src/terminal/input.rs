//! Lines from the user, one at a time: the next is read only when it was asked for.

use std::io;
use std::thread;

use tokio::sync::mpsc;

/// What the user did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Typed {
    /// A line, without its line break.
    Line(String),
    /// A line that cannot be used, and why.
    Bad(String),
    /// The end of the input.
    End,
    /// Ctrl-C.
    Interrupt,
}

/// Reads lines in a thread of its own, as reading blocks.
#[derive(Debug)]
pub(super) struct Input {
    asks: mpsc::Sender<String>,
    typed: mpsc::Receiver<Typed>,
    asked: bool,
}

impl Input {
    /// Reads by `read`, which is given the prompt.
    pub(super) fn new(mut read: impl FnMut(&str) -> Typed + Send + 'static) -> io::Result<Self> {
        // One question, one answer: neither queue ever holds more.
        let (asks, mut asked) = mpsc::channel::<String>(1);
        let (answers, typed) = mpsc::channel(1);
        thread::Builder::new().name("input".into()).spawn(move || {
            while let Some(prompt) = asked.blocking_recv() {
                if answers.blocking_send(read(&prompt)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { asks, typed, asked: false })
    }

    /// Asks for the next line, unless that is done already.
    pub(super) fn ask(&mut self, prompt: String) {
        if !self.asked {
            self.asked = self.asks.try_send(prompt).is_ok();
        }
    }

    /// Whether a line was asked for and is not there yet.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// The line that was asked for; never, when none was.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Typed {
        if !self.asked {
            std::future::pending::<()>().await;
        }
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        self.asked = false;
        typed
    }
}
