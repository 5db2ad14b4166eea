//! Lines from the user, one at a time: the next is read only when it was asked for.

use std::io;
use std::thread;

use tokio::sync::mpsc;

use super::words::Word;
use crate::client::Ask;

/// What the user did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Typed {
    /// A line, without its line break.
    Line(String),
    /// A line that cannot be used, and why.
    Bad(Word, String),
    /// The end of the input.
    End,
    /// Ctrl-C.
    Interrupt,
    /// A text for a place that is named as its protocol's client names places; only a full screen has several.
    Say { to: Option<String>, text: String },
    /// Something that a full screen asks for by itself, or by a key.
    Ask(Ask),
}

/// What stands before a line that is typed: one text while there is a connection, and one while there is none. Both are as
/// wide, so that one can take the place of the other under a line that is half typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Prompt {
    pub(super) online: String,
    pub(super) offline: String,
}

impl Prompt {
    /// The same, however the connection is.
    pub(super) fn always(text: String) -> Self {
        Self { online: text.clone(), offline: text }
    }

    /// `text` while there is a connection; else `mark` before it, or in its place. `online`: how it is now, of which the
    /// prompt has its width.
    pub(super) fn new(text: &str, mark: &str, online: bool) -> Self {
        let narrow = text.chars().all(|c| c.is_ascii() || ('\u{400}'..'\u{500}').contains(&c));
        let marked = if text == BARE { format!("{mark}{BARE}") } else { format!("{mark}, {text}") };
        if !online {
            let width = marked.chars().count() - text.chars().count();
            return Self { online: format!("{:width$}{text}", ""), offline: marked };
        }
        let (width, short) = (text.chars().count(), format!("{mark}{BARE}"));
        // What has no room is told by the line above alone.
        let fits = narrow && short.chars().count() <= width;
        let offline = if fits { format!("{short:>width$}") } else { text.to_owned() };
        Self { online: text.to_owned(), offline }
    }
}

/// A prompt that names nothing.
pub(super) const BARE: &str = "> ";

/// Reads lines in a thread of its own, as reading blocks.
#[derive(Debug)]
pub(super) struct Input {
    /// Nobody is asked on a full screen, where there is always a line to type in.
    asks: Option<mpsc::Sender<Prompt>>,
    typed: mpsc::Receiver<Typed>,
    asked: bool,
}

impl Input {
    /// Reads by `read`, which is given the prompt.
    pub(super) fn new(mut read: impl FnMut(&Prompt) -> Typed + Send + 'static) -> io::Result<Self> {
        // One question, one answer: neither queue ever holds more.
        let (asks, mut asked) = mpsc::channel::<Prompt>(1);
        let (answers, typed) = mpsc::channel(1);
        thread::Builder::new().name("input".into()).spawn(move || {
            while let Some(prompt) = asked.blocking_recv() {
                if answers.blocking_send(read(&prompt)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { asks: Some(asks), typed, asked: false })
    }

    /// What is typed on a full screen.
    pub(super) fn of_screen(typed: mpsc::Receiver<Typed>) -> Self {
        Self { asks: None, typed, asked: true }
    }

    /// Asks for the next line, unless that is done already.
    pub(super) fn ask(&mut self, prompt: Prompt) {
        if let Some(asks) = self.asks.as_ref().filter(|_| !self.asked) {
            self.asked = asks.try_send(prompt).is_ok();
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
        self.asked = self.asks.is_none();
        typed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_of_a_prompt_are_as_wide() {
        let texts = |text, mark, online| {
            let prompt = Prompt::new(text, mark, online);
            assert_eq!(prompt.online.chars().count(), prompt.offline.chars().count(), "{prompt:?}");
            (prompt.online, prompt.offline)
        };
        let two = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(texts("to tea> ", "off", false), two("     to tea> ", "off, to tea> "));
        assert_eq!(texts("> ", "offline", false), two("       > ", "offline> "));
        assert_eq!(texts("to global> ", "offline", true), two("to global> ", "  offline> "));
        assert_eq!(texts("> ", "offline", true), two("> ", "> "));
        // Nobody knows how wide that is.
        assert_eq!(
            texts("to \u{8336}\u{8336}\u{8336}\u{8336}> ", "off", true).1,
            "to \u{8336}\u{8336}\u{8336}\u{8336}> "
        );
    }
}
