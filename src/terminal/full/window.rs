//! One conversation's messages: a room's, somebody's, or all there are.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::cells;
use super::editor::Editor;
use super::entry::{Entry, NAME};

/// Whose messages.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Key {
    /// Where there is but one conversation, or none yet.
    Home,
    Room(String),
    User(String),
}

impl Key {
    /// Reads a place as clients name it.
    pub(super) fn parse(place: Option<&str>) -> Self {
        match place.map(|place| (place, place.split_at_checked(1))) {
            None | Some(("", _)) => Self::Home,
            Some((_, Some(("#", room)))) => Self::Room(room.to_owned()),
            Some((_, Some(("@", user)))) => Self::User(user.to_owned()),
            Some((user, _)) => Self::User(user.to_owned()),
        }
    }

    /// The same, for a client.
    pub(super) fn place(&self) -> Option<String> {
        match self {
            Self::Home => None,
            Self::Room(room) => Some(format!("#{room}")),
            Self::User(user) => Some(format!("@{user}")),
        }
    }

    /// What it is called.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Home => None,
            Self::Room(name) | Self::User(name) => Some(name),
        }
    }
}

/// The messages of one conversation, within bounds, and how much of them was seen.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) key: Key,
    /// When something was last said or looked at here, by the screen's own count.
    pub(super) last: u64,
    entries: VecDeque<Entry>,
    /// Bytes of them all.
    pub(super) bytes: usize,
    next: u64,
    /// Messages that came while one was elsewhere.
    pub(super) unread: usize,
    /// One of them holds this user's name, or is for this user alone.
    pub(super) called: bool,
    /// The first of them, also while they are being read.
    pub(super) new: Option<u64>,
    /// Where one looks, unless that is the end: an entry, and how many of its rows are below the screen.
    pub(super) scroll: Option<(u64, usize)>,
    /// Messages that came below.
    pub(super) below: usize,
    pub(super) users: BTreeSet<String>,
    /// Users beside those.
    pub(super) more_users: usize,
    name_bytes: usize,
    /// How many there are, where the server tells nothing else.
    pub(super) count: Option<String>,
    /// The users were asked for since there is a connection.
    pub(super) knows_users: bool,
    /// What was said before was asked for, and how many such answers are to come.
    pub(super) asked: bool,
    pub(super) coming: usize,
    /// Nothing older is kept.
    pub(super) complete: bool,
    typing: Vec<(String, Instant)>,
    /// What is being typed here.
    pub(super) editor: Editor,
}

impl Window {
    pub(super) fn new(key: Key) -> Self {
        Self {
            key,
            last: 0,
            entries: VecDeque::new(),
            bytes: 0,
            next: 0,
            unread: 0,
            called: false,
            new: None,
            scroll: None,
            below: 0,
            users: BTreeSet::new(),
            more_users: 0,
            name_bytes: 0,
            count: None,
            knows_users: false,
            asked: false,
            coming: 0,
            complete: false,
            typing: Vec::new(),
            editor: Editor::default(),
        }
    }

    pub(super) fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    pub(super) fn entry_mut(&mut self, at: usize) -> Option<&mut Entry> {
        self.entries.get_mut(at)
    }

    /// Whether it may make room for another: nothing of it is lost that was not seen or sent. Rooms stay, as one is in
    /// them until one leaves.
    pub(super) fn may_go(&self) -> bool {
        let waits = self.entries.iter().any(Entry::waits);
        !matches!(self.key, Key::Room(_)) && self.editor.is_empty() && !waits
    }

    /// Whether somebody said something here.
    pub(super) fn is_used(&self) -> bool {
        self.entries.iter().any(Entry::is_said)
    }

    /// Adds an entry where it belongs: by its place in the room's order, and before own texts that wait. Its number;
    /// `None` if it was there already.
    pub(super) fn add(&mut self, mut entry: Entry) -> Option<u64> {
        let at = self.place_of(&entry)?;
        (entry.serial, self.next) = (self.next, self.next + 1);
        let serial = entry.serial;
        self.bytes += entry.size();
        let last = self.entries.iter().skip(at + 1).all(|below| !below.is_said());
        if self.scroll.is_some() && last && entry.is_said() {
            self.below += 1;
        }
        self.entries.insert(at, entry);
        while self.entries.len() > LINES {
            self.forget_first();
        }
        Some(serial)
    }

    fn place_of(&self, entry: &Entry) -> Option<usize> {
        let waiting = self.entries.iter().rev().take_while(|entry| entry.waits()).count();
        let end = if entry.own.is_some() || !entry.is_said() { 0 } else { waiting };
        let mut end = self.entries.len() - end;
        if entry.past {
            // What this program told since then, such as that there is a connection, stands behind it.
            let later = |known: &&Entry| !known.is_said() && known.at > entry.at;
            end -= self.entries.iter().take(end).rev().take_while(later).count();
        }
        let Some(position) = &entry.position else { return Some(end) };
        let of = |known: &Entry| known.position.as_ref().filter(|at| at.epoch == position.epoch).map(|at| at.seq);
        let mut first = None;
        for (at, known) in self.entries.iter().enumerate().rev() {
            match of(known) {
                Some(seq) if seq == position.seq => return None,
                Some(seq) if seq < position.seq => return Some(if first.is_none() { end.max(at + 1) } else { at + 1 }),
                Some(_) => first = Some(at),
                None => {}
            }
        }
        Some(first.unwrap_or(end))
    }

    /// Forgets the oldest entry.
    pub(super) fn forget_first(&mut self) {
        let Some(gone) = self.entries.pop_front() else { return };
        self.bytes = self.bytes.saturating_sub(gone.size());
        // What is no longer here is still kept there.
        self.complete = false;
        if self.scroll.is_some_and(|(serial, _)| serial == gone.serial) {
            self.scroll = self.entries.front().map(|first| (first.serial, 0));
        }
    }

    /// The own text of that id.
    pub(super) fn own_mut(&mut self, id: &crate::client::TextId) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.own.as_ref().is_some_and(|(known, _)| known == id))
    }

    /// Where an entry stands now.
    pub(super) fn index_of(&self, serial: u64) -> Option<usize> {
        self.entries.iter().rposition(|entry| entry.serial == serial)
    }

    /// The oldest place in the room's order that is known here.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.entries.iter().find_map(|entry| entry.position.as_ref()).map(|at| at.seq)
    }

    /// Somebody comes here, and reads.
    pub(super) fn enter(&mut self) {
        (self.unread, self.called) = (0, false);
    }

    /// Somebody goes elsewhere.
    pub(super) fn leave(&mut self) {
        self.new = None;
        self.entries.iter_mut().for_each(Entry::rest);
    }

    /// Back to the end.
    pub(super) fn go_to_end(&mut self) {
        (self.scroll, self.below) = (None, 0);
    }

    /// Bytes of the names of users.
    pub(super) fn bytes_of_users(&self) -> usize {
        self.users.len() * NAME_OVERHEAD + self.name_bytes
    }

    /// Somebody is here, and is listed if there is `room`.
    pub(super) fn joins(&mut self, name: &str, room: bool) {
        let name = shown_name(name);
        if self.users.len() >= USERS || !room {
            self.more_users += usize::from(!self.users.contains(&name));
            return;
        }
        let bytes = name.len();
        if self.users.insert(name) {
            self.name_bytes += bytes;
        }
    }

    /// Somebody is here no more; whether that one was listed.
    pub(super) fn parts(&mut self, name: &str) -> bool {
        let name = shown_name(name);
        let listed = self.users.remove(&name);
        if listed {
            self.name_bytes = self.name_bytes.saturating_sub(name.len());
        } else {
            self.more_users = self.more_users.saturating_sub(1);
        }
        listed
    }

    /// Nobody is known to be here.
    pub(super) fn empty(&mut self) {
        self.users.clear();
        (self.more_users, self.name_bytes, self.count) = (0, 0, None);
    }

    /// Somebody writes here.
    pub(super) fn types(&mut self, name: &str, now: Instant) {
        self.typing.retain(|(known, until)| known != name && *until > now);
        if self.typing.len() < TYPING {
            self.typing.push((name.to_owned(), now + TYPES));
        }
    }

    /// Somebody said something, or went.
    pub(super) fn typed(&mut self, name: &str) {
        self.typing.retain(|(known, _)| known != name);
    }

    pub(super) fn typing(&self, now: Instant) -> Vec<&str> {
        self.typing.iter().filter(|(_, until)| *until > now).map(|(name, _)| name.as_str()).collect()
    }

    /// When the next of them does no longer count as writing.
    pub(super) fn types_until(&self, now: Instant) -> Option<Instant> {
        self.typing.iter().map(|(_, until)| *until).filter(|until| *until > now).min()
    }
}

/// A name as it is listed.
pub(super) fn shown_name(name: &str) -> String {
    let mut name = cells::fit(&cells::flat(name), NAME);
    name.shrink_to_fit();
    name
}

/// Users of a room that are listed.
const USERS: usize = 10_000;
/// Bytes of a name beside its letters.
const NAME_OVERHEAD: usize = 48;
/// Entries of one list.
pub(super) const LINES: usize = 10_000;
/// People of whom is shown that they write.
const TYPING: usize = 8;
/// How long a word that somebody writes counts.
const TYPES: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{State, TextId};
    use crate::message::{Epoch, Position, Timestamp};
    use crate::terminal::full::entry::Kind;
    use crate::terminal::words::Language;

    fn said(text: &str, seq: Option<u64>) -> Entry {
        let mut entry = Entry::said("bob", false, text, Timestamp::from_millis(0), Language::English);
        entry.position = seq.map(|seq| Position { epoch: Epoch::new("e").unwrap(), seq });
        entry
    }

    fn texts(window: &Window) -> Vec<&str> {
        window.entries().iter().map(|entry| entry.text.as_str()).collect()
    }

    #[test]
    fn what_was_said_before_stands_before_and_nothing_stands_twice() {
        let mut window = Window::new(Key::Room("tea".into()));
        for seq in [7, 8] {
            window.add(said(&seq.to_string(), Some(seq)));
        }
        window.add(Entry::new(Kind::Notice, "bob joined", Timestamp::from_millis(0)));
        for seq in [4, 5, 6, 8, 9] {
            window.add(said(&seq.to_string(), Some(seq)));
        }
        assert_eq!(texts(&window), ["4", "5", "6", "7", "8", "bob joined", "9"]);
        assert_eq!((window.oldest(), window.add(said("6", Some(6)))), (Some(4), None));
    }

    #[test]
    fn own_texts_that_wait_stay_at_the_end() {
        let mut window = Window::new(Key::Home);
        let mut own = Entry::said("ann", true, "mine", Timestamp::from_millis(0), Language::English);
        own.own = Some((TextId::random(), Some(State::Queued)));
        window.add(own);
        window.add(said("theirs", None));
        window.add(said("later", Some(3)));
        assert_eq!(texts(&window), ["theirs", "later", "mine"]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_one_looks_at_stays() {
        let mut window = Window::new(Key::Home);
        for n in 0..LINES {
            window.add(said(&n.to_string(), None));
        }
        window.scroll = Some((0, 0));
        let before = window.bytes;
        window.add(said("one more", None));
        assert_eq!((window.entries().len(), window.scroll, window.below), (LINES, Some((1, 0)), 1));
        assert!(window.bytes.abs_diff(before) < 32);
        while !window.entries().is_empty() {
            window.forget_first();
        }
        assert_eq!(window.bytes, 0);
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        for key in [Key::Home, Key::Room("tea".into()), Key::User("zoë b".into())] {
            assert_eq!(Key::parse(key.place().as_deref()), key);
        }
        assert_eq!(Key::parse(Some("bob")), Key::User("bob".into()));
    }
}
