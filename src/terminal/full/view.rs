//! What a full screen knows: conversations, the connection, and what is being typed. It knows no terminal.

use std::collections::{BTreeSet, VecDeque};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cells;
use super::editor::Recall;
use super::entry::Entry;
use super::form::Form;
use super::theme::Theme;
use super::window::{Key, Window};
use crate::client::{Ability, Ask, TextId, now};
use crate::terminal::chat::Manner;
use crate::terminal::chat::tell::Here;
use crate::terminal::commands::Commands;
use crate::terminal::input::Typed;
use crate::terminal::words::Word;

/// A full screen without the terminal.
#[derive(Debug)]
pub(super) struct View {
    pub(super) manner: Manner,
    pub(super) theme: Theme,
    /// What the conversation is told.
    lines: mpsc::Sender<Typed>,
    pub(super) windows: Vec<Window>,
    pub(super) current: usize,
    pub(super) can: Vec<Ability>,
    pub(super) commands: Commands,
    pub(super) here: Here,
    pub(super) connection: Connection,
    /// The windows that were asked to be where texts go, and are not yet.
    pub(super) selecting: VecDeque<Key>,
    /// Lists that this screen asked for by itself.
    pub(super) quiet_users: VecDeque<Key>,
    /// The rooms of the server, as it told last.
    pub(super) rooms: Vec<String>,
    /// Names that may be typed again.
    pub(super) known: BTreeSet<String>,
    /// Where own texts stand of which more is to be told.
    pub(super) own: VecDeque<(TextId, Key)>,
    pub(super) recall: Recall,
    /// The file for lines that were typed.
    pub(super) kept: Option<super::recall::Kept>,
    /// The file for what is half typed.
    pub(super) drafts: Option<super::drafts::Drafts>,
    /// What was removed last.
    pub(super) killed: String,
    pub(super) completing: Option<super::keys::Completing>,
    pub(super) search: Option<super::search::Search>,
    pub(super) form: Option<Form>,
    /// The help, and its first row.
    pub(super) help: Option<usize>,
    /// What a search on the server found, while it is looked at.
    pub(super) found: Option<super::found::Found>,
    /// What was told while there was no conversation.
    pub(super) before: Vec<(bool, String)>,
    /// Errors since the last key.
    pub(super) unseen: Vec<String>,
    /// Whether lists are shown; `None`: where there is room.
    pub(super) shows_rooms: Option<bool>,
    pub(super) shows_users: Option<bool>,
    /// Cells of the whole screen in a row.
    pub(super) wide: usize,
    /// Rows of messages on the screen, by which one pages.
    pub(super) page: usize,
    /// Cells of a text in a row, by which one pages.
    pub(super) columns: usize,
    pub(super) typed_at: Option<Instant>,
    /// Ctrl-C was the last key.
    pub(super) leaving: bool,
    /// Counts what is said and looked at.
    clock: u64,
    /// The room that was to be entered, until the server says whether there is one, and where one was before.
    pub(super) entering: Option<(Key, Key)>,
    /// The way to the oldest message, while it is being loaded.
    pub(super) climb: Option<super::climb::Climb>,
}

/// How the connection is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Connection {
    /// There is no conversation yet, or no more.
    None,
    New,
    Up,
    Down {
        reason: String,
        until: Instant,
    },
    Ended,
}

impl View {
    pub(super) fn new(manner: Manner, lines: mpsc::Sender<Typed>) -> Self {
        Self {
            theme: manner.full.unwrap_or_default(),
            manner,
            lines,
            windows: vec![Window::new(Key::Home)],
            current: 0,
            can: Vec::new(),
            commands: Commands::of_client(|_| false),
            here: Here::default(),
            connection: Connection::None,
            selecting: VecDeque::new(),
            quiet_users: VecDeque::new(),
            rooms: Vec::new(),
            known: BTreeSet::new(),
            own: VecDeque::new(),
            recall: Recall::default(),
            kept: None,
            drafts: None,
            killed: String::new(),
            completing: None,
            search: None,
            form: None,
            help: None,
            found: None,
            before: Vec::new(),
            unseen: Vec::new(),
            shows_rooms: None,
            shows_users: None,
            wide: 80,
            page: 1,
            columns: 1,
            typed_at: None,
            leaving: false,
            clock: 0,
            entering: None,
            climb: None,
        }
    }

    pub(super) fn say(&self, word: Word, places: &[&dyn std::fmt::Display]) -> String {
        self.manner.language.say(word, places)
    }

    pub(super) fn text(&self, word: Word) -> &'static str {
        self.manner.language.text(word)
    }

    pub(super) fn can(&self, ability: Ability) -> bool {
        self.can.contains(&ability)
    }

    /// Whether there is one conversation only.
    pub(super) fn is_single(&self) -> bool {
        !self.can(Ability::Enter) && !self.can(Ability::Direct)
    }

    pub(super) fn is_up(&self) -> bool {
        self.connection == Connection::Up
    }

    pub(super) fn window(&mut self) -> &mut Window {
        if self.windows.is_empty() {
            self.windows.push(Window::new(Key::Home));
        }
        self.current = self.current.min(self.windows.len() - 1);
        &mut self.windows[self.current]
    }

    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        self.windows.iter().position(|window| window.key == *key)
    }

    /// The window of a conversation, which is made if there is none. `None` if there is no room for one: only what was
    /// seen makes room, or, for what the user `chose`, what was silent for longest.
    pub(super) fn at(&mut self, key: &Key, chose: bool) -> Option<usize> {
        if let Some(at) = self.find(key) {
            return Some(at);
        }
        // What was shown before there was any conversation belongs to the first.
        if let [only] = self.windows.as_mut_slice()
            && only.key == Key::Home
            && !only.is_used()
        {
            only.key = key.clone();
            self.give_draft(0);
            return Some(0);
        }
        // Anybody may write under any number of names.
        if self.windows.len() >= WINDOWS {
            let silent = self.silent(chose)?;
            self.windows.remove(silent);
            self.current -= usize::from(self.current > silent);
        }
        self.windows.push(Window::new(key.clone()));
        let at = self.windows.len() - 1;
        self.give_draft(at);
        Some(at)
    }

    /// Whether a conversation that the user chooses has a window, or could have one.
    pub(super) fn has_room_for(&self, key: &Key) -> bool {
        self.windows.len() < WINDOWS || self.find(key).is_some() || self.silent(true).is_some()
    }

    /// The conversation that makes room for another: that was silent for longest, at first of those without unread
    /// messages, and `also` of those with.
    fn silent(&self, also: bool) -> Option<usize> {
        let free = |(at, window): &(usize, &Window)| *at != self.current && window.may_go();
        let free = self.windows.iter().enumerate().filter(free).filter(|(_, window)| also || window.unread == 0);
        free.min_by_key(|(_, window)| (window.unread > 0, window.last)).map(|(at, _)| at)
    }

    /// Closes a window; what is before it is shown then, if it was.
    pub(super) fn close(&mut self, at: usize) {
        if at >= self.windows.len() {
            return;
        }
        if self.windows.len() == 1 {
            self.windows.push(Window::new(Key::Home));
        }
        self.windows.remove(at);
        if self.current >= at {
            self.current = self.current.saturating_sub(1);
        }
        (self.search, self.completing) = (None, None);
        self.window().enter();
    }

    /// Shows another conversation, to which texts go then.
    pub(super) fn go(&mut self, at: usize) {
        if at == self.current || at >= self.windows.len() {
            return;
        }
        self.show(at);
        self.select(at);
    }

    /// Lets texts go to what is shown.
    pub(super) fn select(&mut self, at: usize) {
        if let Some(place) = self.windows[at].key.place().filter(|_| self.can(Ability::Select)) {
            self.selecting.push_back(self.windows[at].key.clone());
            self.send(Typed::Ask(Ask::Select { to: place }));
        }
        self.ask_about();
    }

    /// Shows another conversation.
    pub(super) fn show(&mut self, at: usize) {
        if at != self.current {
            self.window().leave();
            self.search = None;
        }
        self.completing = None;
        self.current = at;
        self.clock += 1;
        let last = self.clock;
        self.window().last = last;
        self.window().enter();
    }

    /// Asks who is in the room that is shown, and what was said there, where that is not known.
    pub(super) fn ask_about(&mut self) {
        if !self.is_up() {
            return;
        }
        let (users, history) = (self.can(Ability::Users) && !self.is_peer(), self.can(Ability::History));
        let window = self.window();
        let key = window.key.clone();
        let room = match &key {
            Key::Room(room) => Some(room.clone()),
            Key::Home if users && !history => None,
            _ => return,
        };
        if users && !std::mem::replace(&mut self.window().knows_users, true) {
            self.quiet_users.push_back(key);
            self.send(Typed::Ask(Ask::Users { room: room.clone() }));
        }
        if history && !std::mem::replace(&mut self.window().asked, true) {
            self.ask_history(room, None, PAGE);
        }
    }

    /// Among peers the list is asked for by whoever wants it, and at the start.
    pub(super) fn is_peer(&self) -> bool {
        self.manner.mode == "peer"
    }

    /// Asks for what was said before the oldest message that is here.
    pub(super) fn ask_older(&mut self) {
        let (up, can) = (self.is_up(), self.can(Ability::History));
        let limit = self.climb.as_ref().map_or(PAGE, |_| super::climb::STEP);
        let window = self.window();
        let (Key::Room(room), Some(oldest)) = (&window.key, window.oldest()) else { return };
        let fits = window.entries().len() + limit <= super::window::LINES;
        if up && can && !window.complete && window.coming == 0 && fits {
            let room = room.clone();
            self.ask_history(Some(room), Some(oldest), limit);
        }
    }

    fn ask_history(&mut self, room: Option<String>, before: Option<u64>, limit: usize) {
        self.window().coming += 1;
        self.send(Typed::Ask(Ask::History { room, before, limit }));
    }

    /// Waits until the conversation can be given more to do, if it has too much.
    pub(super) fn room(&self) -> Option<impl Future<Output = ()> + use<>> {
        let lines = self.lines.clone();
        (lines.capacity() == 0 && !lines.is_closed()).then_some(async move { drop(lines.reserve().await) })
    }

    /// Gives the conversation something to do; false when it has too much already.
    pub(super) fn send(&mut self, typed: Typed) -> bool {
        self.lines.try_send(typed).is_ok()
    }

    /// Adds an entry to a conversation.
    pub(super) fn add(&mut self, at: usize, entry: Entry) {
        let current = at == self.current && self.help.is_none();
        let counts = matches!(&entry.kind, super::entry::Kind::Said { own: false, .. });
        let called = matches!(&entry.kind, super::entry::Kind::Said { called: true, .. });
        let Some(window) = self.windows.get_mut(at) else { return };
        let direct = matches!(window.key, Key::User(_));
        self.clock += 1;
        window.last = self.clock;
        let Some(serial) = window.add(entry) else { return };
        if counts && !current {
            window.unread += 1;
            window.called |= called || direct;
            window.new.get_or_insert(serial);
        } else if counts && window.scroll.is_some() {
            window.new.get_or_insert(serial);
        }
        self.bound();
    }

    /// Forgets the oldest of the longest conversation, while all of them hold too much.
    fn bound(&mut self) {
        while self.windows.iter().map(|window| window.bytes).sum::<usize>() > BYTES {
            let Some(longest) = self.windows.iter_mut().max_by_key(|window| window.bytes) else { return };
            longest.forget_first();
        }
    }

    /// Shows something of this program's own where one looks.
    pub(super) fn note(&mut self, kind: super::entry::Kind, text: &str) {
        let at = self.current.min(self.windows.len().saturating_sub(1));
        self.add(at, Entry::new(kind, text, now()));
    }

    /// Remembers a name that may be typed again.
    pub(super) fn know(&mut self, name: &str) {
        // Anybody may come under any number of names, and what is completed is what was meant.
        if self.known.len() < KNOWN && name.len() <= LONGEST_NAME && cells::flat(name) == *name {
            self.known.insert(name.to_owned());
        }
    }

    /// Own texts that wait.
    pub(super) fn waiting(&self) -> usize {
        self.windows.iter().flat_map(Window::entries).filter(|entry| entry.waits()).count()
    }
}

/// Conversations that are shown apart.
const WINDOWS: usize = 100;
/// Bytes of all messages that are kept to be shown.
const BYTES: usize = 32 * 1024 * 1024;
/// Messages from before that are asked for at once.
const PAGE: usize = 100;
/// Names that are remembered to be completed.
const KNOWN: usize = 1024;
/// Bytes of a name that somebody types.
const LONGEST_NAME: usize = 256;
