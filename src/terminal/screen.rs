//! What the client shows, and how: untrusted text made harmless, colours only where they are seen.

use std::fmt::{self, Display};
use std::io;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::words::{Language, Word};
use crate::name::UserName;
use crate::peer::Users;
use crate::text::{SafeText, beginning};

/// One or more whole lines for a person to read, without the last line break.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Shown {
    /// What was asked for or said.
    Out(String),
    /// What went wrong.
    Err(String),
}

/// Puts lines in front of the user, by a thread of its own: terminals and pipes may block.
#[derive(Debug)]
pub(super) struct Screen {
    lines: mpsc::Sender<Shown>,
    thread: JoinHandle<()>,
    style: Style,
}

/// Nobody reads any more: stdout is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Closed;

impl Screen {
    /// Shows through `print`, until that fails.
    pub(super) fn new(
        style: Style,
        mut print: impl FnMut(Shown) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (lines, mut waiting) = mpsc::channel(WAITING_LINES);
        let thread = thread::Builder::new().name("screen".into()).spawn(move || {
            while let Some(shown) = waiting.blocking_recv() {
                if print(shown).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { lines, thread, style })
    }

    /// Shows lines, waiting for room.
    pub(super) async fn show(&self, shown: Shown) -> Result<(), Closed> {
        self.lines.send(shown).await.map_err(|_| Closed)
    }

    /// A way to show lines that does not keep the screen open.
    pub(super) fn way(&self) -> mpsc::WeakSender<Shown> {
        self.lines.downgrade()
    }

    /// The way lines look here.
    pub(super) fn style(&self) -> Style {
        self.style
    }

    /// Fires when nobody reads any more.
    pub(super) async fn closed(&self) {
        self.lines.closed().await;
    }

    /// Waits until everything was shown.
    pub(super) async fn finish(self) {
        drop(self.lines);
        // The thread ends by itself, as nothing can come any more.
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Style {
    /// Whether ANSI colours are used.
    pub(super) colours: bool,
    /// What stands before an error: a mark on a terminal, the program's name in a pipe.
    pub(super) error: &'static str,
}

impl Style {
    /// What somebody said.
    pub(super) fn message(self, from: &UserName, text: &str) -> Shown {
        self.said("", from.as_str(), text)
    }

    /// What somebody said, behind marks of this program's own.
    pub(super) fn said(self, marks: &str, from: &str, text: &str) -> Shown {
        let name = self.paint(NAME, format_args!("{}:", SafeText(from)));
        let marks = if marks.is_empty() { String::new() } else { self.paint(FAINT, SafeText(marks)) };
        Shown::Out(format!("{marks}{name} {}", SafeText(text)))
    }

    /// Something worth knowing, which may hold untrusted text. A user may be named `*`, but has a colon behind.
    pub(super) fn notice(self, text: impl Display) -> Shown {
        Shown::Out(self.paint(FAINT, format_args!("* {}", SafeText(&text.to_string()))))
    }

    /// Something that went wrong, which may hold untrusted text.
    pub(super) fn error(self, text: impl Display) -> Shown {
        Shown::Err(self.paint(RED, format_args!("{} {}", self.error, SafeText(&text.to_string()))))
    }

    /// The users with their addresses, one a line.
    pub(super) fn users(self, language: Language, users: &Users, own: &UserName, selected: Option<&UserName>) -> Shown {
        let count = users.len();
        let mut lines = match count {
            0 => language.say(Word::NoUsers, &[]),
            1 => language.say(Word::OneUser, &[]),
            _ => language.say(Word::ManyUsers, &[&count]),
        };
        let width = users.keys().map(|name| name.as_str().len()).max().unwrap_or_default();
        for (name, entry) in users {
            let mark = if name == own {
                format!("  ({})", language.text(Word::You))
            } else if Some(name) == selected {
                format!("  ({})", language.text(Word::Chosen))
            } else {
                String::new()
            };
            let padding = " ".repeat(width - name.as_str().len());
            let name = self.paint(NAME, name);
            let address = entry.address.to_string();
            lines.push_str(&format!("\n  {name}{padding}  {}{mark}", SafeText(&address)));
        }
        Shown::Out(lines)
    }

    fn paint(self, colour: &str, text: impl Display) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// The beginning of a text, to recognise it by.
pub(super) struct Beginning<'a>(pub(super) &'a str);

impl Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\u{201c}{}\u{201d}", SafeText(&beginning(self.0, BEGINNING)))
    }
}

/// Lines that wait for a slow terminal or pipe. One more makes the client stop taking messages until there is room.
const WAITING_LINES: usize = 256;
/// Characters of a text that an error repeats.
const BEGINNING: usize = 40;
const NAME: &str = "1;36";
const FAINT: &str = "2";
const RED: &str = "31";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Entry, Host, Protocol};

    const PLAIN: Style = Style { colours: false, error: "!" };

    fn name(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    #[test]
    fn what_strangers_say_stays_one_harmless_line() {
        let Shown::Out(line) = PLAIN.message(&name("bob"), "hi\nann: \u{1b}]0;x\u{7}\u{202e}evil\u{9b}2J") else {
            panic!("an error")
        };
        assert_eq!(line, "bob: hi ann: \u{fffd}]0;x\u{fffd}\u{fffd}evil\u{fffd}2J");
        assert_eq!(PLAIN.error("a\u{1b}[31mb\nc"), Shown::Err("! a\u{fffd}[31mb c".into()));
        assert_eq!(PLAIN.notice("a\rb"), Shown::Out("* a b".into()));
    }

    #[test]
    fn users_are_sorted_aligned_and_marked() {
        let at = |host: &str| Entry::plain(Address::network(Protocol::UDP, Host::new(host).unwrap(), 5));
        let users = Users::from([(name("carol"), at("::1")), (name("bo"), at("h.example")), (name("ann"), at("a"))]);
        let Shown::Out(lines) = PLAIN.users(Language::English, &users, &name("ann"), Some(&name("carol"))) else {
            panic!("an error")
        };
        assert_eq!(
            lines,
            "3 users:\n  ann    udp://a:5  (you)\n  bo     udp://h.example:5\n  carol  udp://[::1]:5  (chosen)"
        );
        assert_eq!(PLAIN.users(Language::English, &Users::new(), &name("ann"), None), Shown::Out("no users".into()));
    }

    #[test]
    fn colours_end_where_they_began() {
        let style = Style { colours: true, error: "!" };
        assert_eq!(style.message(&name("bob"), "hi"), Shown::Out("\u{1b}[1;36mbob:\u{1b}[0m hi".into()));
        assert_eq!(style.error("no"), Shown::Err("\u{1b}[31m! no\u{1b}[0m".into()));
    }

    #[test]
    fn a_long_text_is_recognised_by_its_beginning() {
        assert_eq!(Beginning("hi\nyou").to_string(), "\u{201c}hi you\u{201d}");
        let long = "я".repeat(41);
        assert_eq!(Beginning(&long).to_string(), format!("\u{201c}{}\u{2026}\u{201d}", "я".repeat(40)));
    }
}
