//! What becomes of what a full screen is told.

use tokio::time::Instant;

use super::Told;
use super::entry::{Entry, Kind, calls};
use super::form::Form;
use super::view::{Connection, View};
use super::window::{Key, Window, shown_name};
use crate::client::{Ability, Event, Happened, Heard, Place, State, TextId, now};
use crate::terminal::chat::tell::Telling;
use crate::terminal::screen::{Item, Shown};
use crate::terminal::words::Word;

impl View {
    /// Takes what is to be shown.
    pub(super) fn hear(&mut self, item: Item) {
        match item {
            Item::Line(Shown::Out(text)) => match text.strip_prefix("* ") {
                Some(notice) => self.line(Kind::Notice, notice),
                None => self.line(Kind::Answer, &text),
            },
            Item::Line(Shown::Err(text)) => {
                let text = text.strip_prefix("! ").unwrap_or(&text).to_owned();
                if self.unseen.len() < UNSEEN {
                    self.unseen.push(text.clone());
                }
                self.line(Kind::Error, &text);
            }
            Item::Told(Told::Begins { can, commands, name, rooms, drafts }) => {
                (self.can, self.commands, self.form) = (can, commands, None);
                self.here.name = name;
                self.connection = Connection::New;
                self.before.clear();
                for room in rooms {
                    self.at(&Key::Room(room), false);
                }
                if let Some(path) = drafts {
                    self.restore_drafts(path);
                }
            }
            Item::Told(Told::Asks { what, or_none }) => {
                let before = match self.form.take() {
                    Some(form) => form.told,
                    None => std::mem::take(&mut self.before),
                };
                self.form = Some(Form::new(what, or_none, before));
                self.connection = Connection::None;
            }
            Item::Told(Told::Taken { id, to, text }) => self.taken(id, to.as_deref(), &text, now()),
            Item::Told(Told::Event(event)) => self.event(&event),
        }
    }

    /// A line that is no event.
    fn line(&mut self, kind: Kind, text: &str) {
        if matches!(self.connection, Connection::None | Connection::Ended) {
            let lines = (kind == Kind::Error, super::cells::safe(text));
            match &mut self.form {
                Some(form) => form.tell(lines),
                None if self.before.len() < UNSEEN => self.before.push(lines),
                None => {}
            }
        }
        self.note(kind, text);
    }

    /// An own text that waits now.
    fn taken(&mut self, id: TextId, to: Option<&str>, text: &str, at: crate::message::Timestamp) {
        let key = if self.is_single() { Key::Home } else { Key::parse(to) };
        let key = match key {
            // Where texts go that name no place is what is shown.
            Key::Home => self.window().key.clone(),
            key => key,
        };
        let name = self.here.name.clone().unwrap_or_default();
        let window = self.at(&key, true);
        let mut entry = match window {
            Some(_) => Entry::said(&name, true, text, at, self.manner.language),
            None => self.stray(&key, (&format!("{name} \u{2192} {}", key.name().unwrap_or_default()), true), text, at),
        };
        entry.own = Some((id.clone(), None));
        entry.unconfirmed = self.manner.unconfirmed;
        if self.own.len() >= OWN {
            self.own.pop_front();
        }
        let at = window.unwrap_or(self.current.min(self.windows.len() - 1));
        self.own.push_back((id, self.windows[at].key.clone()));
        self.add(at, entry);
        self.windows[at].go_to_end();
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Connected { name, resumed } => {
                let first = !self.here.again && resumed.is_none();
                self.here.name.clone_from(name);
                self.connection = Connection::Up;
                self.climb = None;
                self.told(event, None);
                self.here.connected();
                // Nobody answers what was asked before.
                self.quiet_users.clear();
                for window in &mut self.windows {
                    window.knows_users = false;
                    window.coming = 0;
                }
                // The conversation itself asks for what was said where one is at first.
                let asks = first && self.manner.history > 0;
                let window = self.window();
                window.asked |= asks;
                if self.is_single() || window_is_room(self.window()) {
                    self.ask_about();
                }
            }
            Event::Lost { reason, retry_in } => {
                // It is tried again and again, and the bar says so each time.
                if self.here.lost(reason) {
                    self.told(event, None);
                }
                let reason = super::cells::flat(reason);
                self.connection = Connection::Down { reason, until: Instant::now() + *retry_in };
            }
            Event::Ended(_) => self.connection = Connection::Ended,
            Event::Message(message) => self.message(message),
            Event::Restored { id, to, text } => self.taken(id.clone(), to.as_deref(), text, now()),
            Event::State { id, state } => self.state(id, state),
            Event::Happened { room, user, what } => self.happened(event, room.as_deref(), user, what),
            Event::Users { room, names } => self.users(event, room.as_deref(), names),
            Event::Rooms(rooms) => {
                rooms.iter().for_each(|room| self.know(room));
                self.rooms = rooms.iter().take(ROOMS).cloned().collect();
                self.told(event, None);
            }
            Event::Selected { to } => self.selected(event, to.as_deref()),
            Event::Gap { room, .. } => self.told(event, Some(room)),
            Event::Found { room, messages, .. } => match self.manner.telling(event, &self.here) {
                Some(Telling::Found(head, _)) => self.show_found(&head, room, messages),
                _ => self.told(event, Some(room)),
            },
            Event::HistoryEnd { room, complete } => {
                let Some(at) = self.find(&self.key_of(Some(room))) else { return };
                let window = &mut self.windows[at];
                window.coming = window.coming.saturating_sub(1);
                window.complete |= *complete;
                self.climb_on(at);
            }
            Event::Refused { code, .. } => {
                if self.is_single() && code.as_deref() == Some("no_user") {
                    // Texts wait for whoever was wanted, and go to nobody else.
                    self.here.to = None;
                }
                self.selecting.clear();
                self.not_entered();
                // It may have been for what was asked for.
                self.quiet_users.clear();
                self.windows.iter_mut().for_each(|window| window.coming = 0);
                self.climb = None;
                self.told(event, None);
            }
            _ => self.told(event, None),
        }
    }

    /// Shows what an event says: in its room, or where one looks.
    fn told(&mut self, event: &Event, room: Option<&str>) {
        let to = self.here.to.take();
        let at = room.map(|room| self.at(&self.key_of(Some(room)), false));
        self.here.to = match at {
            // Where it is told in another conversation, it says which it belongs to.
            Some(None) => self.window().key.name().map(str::to_owned),
            _ => room.map(str::to_owned),
        };
        let telling = self.manner.telling(event, &self.here);
        let (kind, text) = match telling {
            Some(Telling::Notice(text) | Telling::Found(text, _)) => (Kind::Notice, text),
            Some(Telling::Error(text)) => {
                let flat = super::cells::flat(&text);
                if self.unseen.last() == Some(&flat) {
                    // It was told since the last key already: one key may ask for several things.
                    self.here.to = to;
                    return;
                }
                if self.unseen.len() < UNSEEN {
                    self.unseen.push(flat);
                }
                (Kind::Error, text)
            }
            Some(Telling::Message(_)) | None => {
                self.here.to = to;
                return;
            }
        };
        self.here.to = to;
        match at.flatten() {
            Some(at) => self.add(at, Entry::new(kind, &text, now())),
            None => self.note(kind, &text),
        }
    }

    /// Where what belongs to a room is shown.
    pub(super) fn key_of(&self, room: Option<&str>) -> Key {
        match room {
            Some(room) if !self.is_single() => Key::Room(room.to_owned()),
            _ => Key::Home,
        }
    }

    fn message(&mut self, message: &Heard) {
        if let Some(id) = message.id.as_ref().filter(|_| message.own)
            && let Some(entry) = self.own_entry(id)
        {
            if matches!(message.place, Place::Room(_)) {
                entry.position.clone_from(&message.position);
            }
            return;
        }
        let key = match &message.place {
            _ if self.is_single() => Key::Home,
            Place::Room(room) => Key::Room(room.clone()),
            Place::Direct => Key::User(message.from.clone()),
            Place::Open => self.window().key.clone(),
        };
        self.know(&message.from);
        let name = self.here.name.as_deref().unwrap_or_default();
        let called = !message.own && !message.past && calls(&message.text, name);
        let Some(at) = self.at(&key, false) else {
            let direct = matches!(key, Key::User(_));
            let mut entry = self.stray(&key, (&message.from, message.own), &message.text, message.at);
            if let Kind::Said { called: calls, .. } = &mut entry.kind {
                *calls = called || direct;
            }
            let at = self.current.min(self.windows.len() - 1);
            return self.add(at, entry);
        };
        let mut entry = Entry::said(&message.from, message.own, &message.text, message.at, self.manner.language);
        if let Kind::Said { called: calls, .. } = &mut entry.kind {
            *calls = called;
        }
        entry.past = message.past;
        // Direct messages have an order of their own, in which each conversation has gaps.
        if matches!(message.place, Place::Room(_)) {
            entry.position.clone_from(&message.position);
        }
        self.windows[at].typed(&shown_name(&message.from));
        // Nobody has missed what was asked for.
        let known = self.windows[at].coming > 0 && message.past;
        let (unread, called, new) = (self.windows[at].unread, self.windows[at].called, self.windows[at].new);
        self.add(at, entry);
        if known {
            let window = &mut self.windows[at];
            (window.unread, window.called, window.new) = (unread, called, new);
        }
    }

    /// Something that was said in a conversation that has no window, for another to show: its head says where it was
    /// said. No name begins as that does.
    fn stray(&self, key: &Key, (from, own): (&str, bool), text: &str, at: crate::message::Timestamp) -> Entry {
        let mark = match key {
            Key::Room(room) => format!("#{room}"),
            Key::User(_) | Key::Home => format!("#({})", self.text(Word::Direct)),
        };
        let from = crate::terminal::screen::speaker(from, self.manner.language);
        let mut entry = Entry::said("", own, &format!("{from}: {text}"), at, self.manner.language);
        entry.kind = Kind::Said { name: super::cells::flat(&mark), own, called: false };
        entry
    }

    fn own_entry(&mut self, id: &TextId) -> Option<&mut Entry> {
        let key = self.own.iter().rev().find(|(known, _)| known == id).map(|(_, key)| key.clone())?;
        let at = self.find(&key)?;
        self.windows[at].own_mut(id)
    }

    fn state(&mut self, id: &TextId, state: &State) {
        if let Some(entry) = self.own_entry(id)
            && let Some((_, known)) = &mut entry.own
        {
            *known = Some(state.clone());
        }
        if let State::Failed(reason) = state {
            self.tell_failed(id, reason);
        }
    }

    fn happened(&mut self, event: &Event, room: Option<&str>, user: &str, what: &Happened) {
        let own = self.here.name.as_deref() == Some(user);
        let Some(at) = self.at(&self.key_of(room), false) else { return self.told(event, room) };
        if own && *what == Happened::Joined {
            self.entering = None;
        }
        let room_for_names = self.has_room_for_names();
        let shown = shown_name(user);
        let window = &mut self.windows[at];
        match what {
            Happened::Joined => window.joins(user, room_for_names),
            Happened::Left => {
                window.typed(&shown);
                window.parts(user);
            }
            Happened::Renamed(to) => {
                window.typed(&shown);
                if window.users.contains(&shown) {
                    window.parts(user);
                    window.joins(to, room_for_names);
                }
                if own {
                    self.here.name = Some(to.clone());
                }
                let to = to.clone();
                self.know(&to);
            }
            Happened::Typing => {
                window.types(&shown, Instant::now());
                return;
            }
        }
        self.know(user);
        if own && *what == Happened::Joined {
            self.ask_about();
        }
        self.told(event, room);
    }

    fn has_room_for_names(&self) -> bool {
        self.windows.iter().map(Window::bytes_of_users).sum::<usize>() < NAMES
    }

    fn users(&mut self, event: &Event, room: Option<&str>, names: &[String]) {
        let key = self.key_of(room);
        names.iter().for_each(|name| self.know(name));
        let Some(at) = self.at(&key, false) else { return self.told(event, room) };
        let known = std::mem::replace(&mut self.windows[at].knows_users, true);
        self.windows[at].empty();
        // Some servers tell only how many there are.
        if let [count] = names
            && count.bytes().all(|byte| byte.is_ascii_digit())
            && room.is_none()
        {
            self.windows[at].count = Some(count.clone());
        } else {
            for name in names {
                let room = self.has_room_for_names();
                self.windows[at].joins(name, room);
            }
        }
        match self.quiet_users.iter().position(|quiet| *quiet == key) {
            Some(quiet) => drop(self.quiet_users.remove(quiet)),
            // The list of peers follows, with where each of them is.
            None if known && self.is_peer() => {}
            None => self.told(event, room),
        }
    }

    fn selected(&mut self, event: &Event, to: Option<&str>) {
        self.here.to = to.map(str::to_owned);
        let Some(to) = to else {
            self.selecting.clear();
            return self.told(event, None);
        };
        if self.is_single() {
            return self.told(event, None);
        }
        if self.selecting.pop_front().is_some_and(|key| key.name() == Some(to)) {
            return;
        }
        if !self.selecting.is_empty() {
            return;
        }
        let (room, user) = (Key::Room(to.to_owned()), Key::User(to.to_owned()));
        let key = match (self.find(&room), self.find(&user)) {
            (Some(_), _) => room,
            (None, None) if self.can(Ability::Enter) => room,
            _ => user,
        };
        let Some(at) = self.at(&key, true) else {
            let text = self.say(Word::TooManyOpen, &[&self.windows.len()]);
            return self.note(Kind::Error, &text);
        };
        self.show(at);
        // Whether there is such a room is not said yet.
        if self.entering.as_ref().is_none_or(|(room, _)| *room != key) {
            self.ask_about();
        }
    }

    /// The room that was to be entered is not: its window goes, if nothing is in it.
    fn not_entered(&mut self) {
        let Some((room, before)) = self.entering.take() else { return };
        let unused = |window: &Window| !window.is_used() && window.editor.is_empty();
        if let Some(at) = self.find(&room).filter(|at| unused(&self.windows[*at])) {
            self.close(at);
            if let Some(before) = self.find(&before) {
                self.show(before);
            }
        }
    }
}

fn window_is_room(window: &Window) -> bool {
    matches!(window.key, Key::Room(_))
}

/// Errors that are told again when the screen is given back.
pub(super) const UNSEEN: usize = 20;
/// Own texts of which is remembered where they stand: as many as a client takes while it cannot send.
const OWN: usize = 1024;
/// Rooms of a server that are known.
const ROOMS: usize = 10_000;
/// Bytes of all names that are listed.
const NAMES: usize = 16 * 1024 * 1024;
