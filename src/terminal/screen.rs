//! What the client shows, and how: untrusted text made harmless, colours only where they are seen.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

use super::full::Told;
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

/// What waits to be shown.
#[derive(Debug)]
pub(super) enum Item {
    Line(Shown),
    /// What only a full screen is told.
    Told(Told),
}

/// Puts lines in front of the user, by a thread of its own: terminals and pipes may block.
#[derive(Debug)]
pub(super) struct Screen {
    items: mpsc::Sender<Item>,
    thread: JoinHandle<()>,
    style: Style,
    full: bool,
    /// How many lines were shown.
    shown: Arc<AtomicUsize>,
    /// Whoever leaves waits no longer for what is not taken.
    hurried: bool,
    /// Somebody waited in vain.
    stuck: AtomicBool,
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
        let shown = Arc::new(AtomicUsize::new(0));
        let count = shown.clone();
        Self::start(style, false, shown, move |mut waiting| {
            while let Some(item) = waiting.blocking_recv() {
                if let Item::Line(shown) = item
                    && print(shown).is_err()
                {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// A full screen, which `show` keeps until nothing can come any more.
    pub(super) fn full(style: Style, show: impl FnOnce(mpsc::Receiver<Item>) + Send + 'static) -> io::Result<Self> {
        Self::start(style, true, Arc::default(), show)
    }

    fn start(
        style: Style,
        full: bool,
        shown: Arc<AtomicUsize>,
        show: impl FnOnce(mpsc::Receiver<Item>) + Send + 'static,
    ) -> io::Result<Self> {
        let (items, waiting) = mpsc::channel(WAITING_LINES);
        let thread = thread::Builder::new().name("screen".into()).spawn(move || show(waiting))?;
        Ok(Self { items, thread, style, full, shown, hurried: false, stuck: AtomicBool::new(false) })
    }

    /// Whether this is a full screen, which is told what happens and not only shown lines.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Tells a full screen what happened, waiting for room.
    pub(super) async fn tell(&self, told: Told) -> Result<(), Closed> {
        self.put(Item::Told(told)).await
    }

    /// Shows lines, waiting for room.
    pub(super) async fn show(&self, shown: Shown) -> Result<(), Closed> {
        self.put(Item::Line(shown)).await
    }

    async fn put(&self, item: Item) -> Result<(), Closed> {
        let put = self.items.send(item);
        if !self.hurried {
            return put.await.map_err(|_| Closed);
        }
        if self.stuck.load(Ordering::Relaxed) {
            return Err(Closed);
        }
        let put = tokio::time::timeout(LAST, put).await;
        self.stuck.store(put.is_err(), Ordering::Relaxed);
        put.map_err(|_| Closed)?.map_err(|_| Closed)
    }

    /// From now on nothing waits for longer than [`LAST`] for a terminal that takes nothing: it may be stopped, and nobody
    /// there to let it go on. A pipe is waited for as ever, since whoever reads it may be slow.
    pub(super) fn hurry(&mut self) {
        self.hurried = io::stdout().is_terminal();
    }

    /// Shows what there is to say before anything else.
    pub(super) fn show_first(&self, shown: Shown) {
        // Nothing waits yet.
        self.show_at_once(shown);
    }

    /// Shows lines, if that needs no waiting.
    pub(super) fn show_at_once(&self, shown: Shown) {
        let _ = self.items.try_send(Item::Line(shown));
    }

    /// A way to show lines that does not keep the screen open.
    pub(super) fn way(&self) -> mpsc::WeakSender<Item> {
        self.items.downgrade()
    }

    /// The way lines look here.
    pub(super) fn style(&self) -> Style {
        self.style
    }

    /// Fires when nobody reads any more.
    pub(super) async fn closed(&self) {
        self.items.closed().await;
    }

    /// Waits until everything was shown; after [`Screen::hurry`], as long as something is.
    pub(super) async fn finish(self) {
        drop(self.items);
        // The thread ends by itself, as nothing can come any more.
        let mut over = tokio::task::spawn_blocking(move || self.thread.join());
        if self.full {
            // It shows how it is in the end, at once; or its terminal takes nothing, and keeps nobody from leaving.
            let _ = tokio::time::timeout(LAST, over).await;
        } else if self.hurried {
            let mut before = self.shown.load(Ordering::Relaxed);
            while tokio::time::timeout(LAST, &mut over).await.is_err() {
                let now = self.shown.load(Ordering::Relaxed);
                if std::mem::replace(&mut before, now) == now {
                    return;
                }
            }
        } else {
            let _ = over.await;
        }
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Style {
    /// Whether ANSI colours are used.
    pub(super) colours: bool,
    /// What stands before an error: a mark on a terminal, the program's name in a pipe.
    pub(super) error: &'static str,
    pub(super) language: Language,
}

impl Style {
    /// What somebody said.
    pub(super) fn message(self, from: &UserName, text: &str) -> Shown {
        self.said("", from.as_str(), text)
    }

    /// What somebody said, behind marks of this program's own.
    pub(super) fn said(self, marks: &str, from: &str, text: &str) -> Shown {
        let name = self.paint(NAME, format_args!("{}:", speaker(from, self.language)));
        let marks = if marks.is_empty() { String::new() } else { self.paint(FAINT, SafeText(marks)) };
        Shown::Out(format!("{marks}{name} {}", SafeText(text)))
    }

    /// Something worth knowing, which may hold untrusted text.
    pub(super) fn notice(self, text: impl Display) -> Shown {
        Shown::Out(self.paint(FAINT, format_args!("* {}", SafeText(&text.to_string()))))
    }

    /// Something that went wrong, which may hold untrusted text.
    pub(super) fn error(self, text: impl Display) -> Shown {
        Shown::Err(self.paint(RED, format_args!("{} {}", self.error, SafeText(&text.to_string()))))
    }

    /// The users with their addresses, one a line.
    pub(super) fn users(self, users: &Users, own: &UserName, selected: Option<&UserName>) -> Shown {
        let (count, language) = (users.len(), self.language);
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

/// A name as it stands before what somebody said: quoted where it would pass for a word of this program.
pub(super) fn speaker(name: &str, language: Language) -> String {
    let name = SafeText(name).to_string();
    // Lines of this program's own begin so, as `* accepted: hi` does, and on most wires a name may, too.
    if name.trim_start().starts_with(MARKS) || name.contains("> ") { language.quoted(name) } else { name }
}

/// The beginning of a text, to recognise it by.
pub(super) struct Beginning<'a>(pub(super) &'a str, pub(super) Language);

impl Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1.quoted(SafeText(&beginning(self.0, BEGINNING))))
    }
}

/// What notices, errors and marks begin with.
const MARKS: [char; 3] = ['*', '!', '#'];
/// Lines that wait for a slow terminal or pipe. One more makes the client stop taking messages until there is room.
const WAITING_LINES: usize = 256;
/// How long the end waits for a terminal that takes nothing.
pub(super) const LAST: Duration = Duration::from_secs(2);
/// Characters of a text that an error repeats.
const BEGINNING: usize = 40;
const NAME: &str = "1;36";
const FAINT: &str = "2";
const RED: &str = "31";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Entry, Host, Protocol};

    const PLAIN: Style = Style { colours: false, error: "!", language: Language::English };

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
    fn nobody_is_called_as_this_program_speaks() {
        let said = |from: &str| match PLAIN.said("", from, "hi") {
            Shown::Out(line) | Shown::Err(line) => line,
        };
        for from in ["* accepted", "! failed", "#(direct) bob", "\t* sent", "ann > I left", "to bob> hello"] {
            assert_eq!(said(from), format!("\u{201c}{}\u{201d}: hi", SafeText(from)));
        }
        for from in ["bob", "b*b!#", "<bob>", "alice#2"] {
            assert_eq!(said(from), format!("{from}: hi"));
        }
    }

    #[test]
    fn users_are_sorted_aligned_and_marked() {
        let at = |host: &str| Entry::plain(Address::network(Protocol::UDP, Host::new(host).unwrap(), 5));
        let users = Users::from([(name("carol"), at("::1")), (name("bo"), at("h.example")), (name("ann"), at("a"))]);
        let Shown::Out(lines) = PLAIN.users(&users, &name("ann"), Some(&name("carol"))) else { panic!("an error") };
        assert_eq!(
            lines,
            "3 users:\n  ann    udp://a:5  (you)\n  bo     udp://h.example:5\n  carol  udp://[::1]:5  (chosen)"
        );
        assert_eq!(PLAIN.users(&Users::new(), &name("ann"), None), Shown::Out("no users".into()));
    }

    #[test]
    fn colours_end_where_they_began() {
        let style = Style { colours: true, ..PLAIN };
        assert_eq!(style.message(&name("bob"), "hi"), Shown::Out("\u{1b}[1;36mbob:\u{1b}[0m hi".into()));
        assert_eq!(style.error("no"), Shown::Err("\u{1b}[31m! no\u{1b}[0m".into()));
    }

    #[test]
    fn a_long_text_is_recognised_by_its_beginning() {
        assert_eq!(Beginning("hi\nyou", Language::English).to_string(), "\u{201c}hi you\u{201d}");
        assert_eq!(Beginning("hi\nyou", Language::Russian).to_string(), "«hi you»");
        let long = "я".repeat(41);
        assert_eq!(
            Beginning(&long, Language::English).to_string(),
            format!("\u{201c}{}\u{2026}\u{201d}", "я".repeat(40))
        );
    }
}
