//! What the keys do.

use std::time::Duration;

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::time::Instant;

use super::editor::Step;
use super::entry::Kind;
use super::view::{Connection, View};
use super::window::Key;
use crate::client::{Ability, Ask};
use crate::terminal::commands::Command;
use crate::terminal::input::Typed;
use crate::terminal::line::complete;
use crate::terminal::words::Word;

/// What is to be done with the terminal itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deed {
    Nothing,
    /// Draw everything again.
    Redraw,
    /// Stop, until the shell wants the program back.
    Suspend,
    /// Leave.
    Leave,
}

/// What a piece of the line may become, and which of that it is now.
#[derive(Clone, Debug)]
pub(super) struct Completing {
    from: usize,
    fitting: Vec<String>,
    at: usize,
    /// The line as this left it.
    line: String,
}

impl View {
    /// Does what was typed.
    pub(super) fn typed(&mut self, event: Event) -> Deed {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                self.unseen.clear();
                self.key(key)
            }
            Event::Paste(text) => {
                self.paste(&text);
                Deed::Nothing
            }
            Event::Resize(..) => Deed::Redraw,
            _ => Deed::Nothing,
        }
    }

    fn paste(&mut self, text: &str) {
        // Terminals send line breaks as the Enter key does.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        if let Some(form) = &mut self.form {
            (form.more, form.empty) = (true, false);
            return form.editor.insert(text.trim());
        }
        if let Some(search) = &mut self.search {
            search.editor.insert(&text);
            return self.search_anew();
        }
        if !self.manner.deaf {
            self.recall.settle();
            self.window().editor.insert(&text);
        }
    }

    fn key(&mut self, key: KeyEvent) -> Deed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let leaving = std::mem::take(&mut self.leaving);
        match key.code {
            KeyCode::Char('c') if control => return self.interrupt(leaving),
            KeyCode::Char('l') if control => return Deed::Redraw,
            KeyCode::Char('z') if control => return Deed::Suspend,
            _ => {}
        }
        if self.form.is_some() {
            return self.form_key(key);
        }
        if self.help.is_some() {
            self.help_key(key);
            return Deed::Nothing;
        }
        if self.found_key(key) {
            return Deed::Nothing;
        }
        if self.search.is_some() {
            self.search_key(key);
            return Deed::Nothing;
        }
        if self.moves(key) {
            return Deed::Nothing;
        }
        if self.manner.deaf {
            let leaves = matches!(key.code, KeyCode::Char('q')) || (control && key.code == KeyCode::Char('d'));
            return if leaves { Deed::Leave } else { Deed::Nothing };
        }
        self.edit_key(key)
    }

    /// Leaves; what is half typed is not lost without a word.
    fn interrupt(&mut self, leaving: bool) -> Deed {
        (self.leaving, self.found) = (true, None);
        let talks = !matches!(self.connection, Connection::Ended | Connection::None) && self.form.is_none();
        let typed = self.windows.iter().any(|window| !window.editor.text().trim().is_empty());
        if leaving || !talks || !typed {
            return Deed::Leave;
        }
        let text = self.text(Word::LeavesAgain).to_owned();
        self.note(Kind::Notice, &text);
        self.window().go_to_end();
        Deed::Nothing
    }

    /// Keys that show something else; whether it was one.
    fn moves(&mut self, key: KeyEvent) -> bool {
        let (control, alt) = (key.modifiers.contains(KeyModifiers::CONTROL), key.modifiers.contains(KeyModifiers::ALT));
        let page = self.page.saturating_sub(1).max(1);
        let (count, current) = (self.windows.len().max(1), self.current);
        let empty = self.window().editor.is_empty();
        match key.code {
            KeyCode::F(1) => self.help = Some(0),
            KeyCode::F(2) => self.shows_rooms = Some(self.sides(self.wide).0 == 0),
            KeyCode::F(3) => self.shows_users = Some(self.sides(self.wide).1 == 0),
            KeyCode::PageUp => self.scroll_up(page),
            KeyCode::PageDown => self.scroll_down(page),
            KeyCode::Home if control => return self.begin_climb(),
            KeyCode::End if control => self.window().go_to_end(),
            KeyCode::Esc => self.window().go_to_end(),
            KeyCode::Up if alt => self.go((current + count - 1) % count),
            KeyCode::Down if alt => self.go((current + 1) % count),
            KeyCode::Char('p') if control => self.go((current + count - 1) % count),
            KeyCode::Char('n') if control => self.go((current + 1) % count),
            KeyCode::Char(digit @ '1'..='9') if alt => {
                self.go(usize::try_from(u32::from(digit) - u32::from('1')).unwrap_or_default());
            }
            KeyCode::Char('a') if alt => self.go_to_unread(),
            KeyCode::Char('f') if control => self.begin_search(),
            KeyCode::Char('/') if empty && !control && !alt => self.begin_search(),
            KeyCode::Up if self.manner.deaf => self.scroll_up(1),
            KeyCode::Down if self.manner.deaf => self.scroll_down(1),
            _ => return false,
        }
        // Whoever goes elsewhere does not want to be carried on.
        self.climb = None;
        true
    }

    /// Where somebody says this user's name first, then where anything is unread.
    fn go_to_unread(&mut self) {
        let called = self.windows.iter().position(|window| window.called);
        if let Some(at) = called.or_else(|| self.windows.iter().position(|window| window.unread > 0)) {
            self.go(at);
        }
    }

    fn edit_key(&mut self, key: KeyEvent) -> Deed {
        let (control, alt) = (key.modifiers.contains(KeyModifiers::CONTROL), key.modifiers.contains(KeyModifiers::ALT));
        match key.code {
            KeyCode::Enter if alt => self.insert("\n"),
            KeyCode::Char('j') if control => self.enter(),
            KeyCode::Enter => self.enter(),
            KeyCode::Char('d') if control && self.window().editor.is_empty() => return Deed::Leave,
            KeyCode::Tab => self.complete(true),
            KeyCode::BackTab => self.complete(false),
            KeyCode::Up => {
                let at = self.current;
                self.recall.back(&mut self.windows[at].editor);
            }
            KeyCode::Down => {
                let at = self.current;
                self.recall.on(&mut self.windows[at].editor);
            }
            KeyCode::Char('y') if control => {
                let killed = self.killed.clone();
                self.insert(&killed);
            }
            KeyCode::Char(c) if !control && !alt => {
                let mut bytes = [0; 4];
                self.insert(c.encode_utf8(&mut bytes));
                self.tell_typing();
            }
            _ => {
                if let Some(killed) = edit(&mut self.window().editor, key) {
                    self.recall.settle();
                    if let Some(killed) = killed.filter(|killed| !killed.is_empty()) {
                        self.killed = killed;
                    }
                }
            }
        }
        if !matches!(key.code, KeyCode::Tab | KeyCode::BackTab) {
            self.completing = None;
        }
        Deed::Nothing
    }

    fn insert(&mut self, text: &str) {
        self.recall.settle();
        self.window().editor.insert(text);
    }

    /// Lets the others know, now and then, that something is being written for a room.
    fn tell_typing(&mut self) {
        let now = Instant::now();
        let due = self.typed_at.is_none_or(|at| now - at >= TYPING);
        let command = self.window().editor.text().starts_with(':');
        let Key::Room(room) = self.window().key.clone() else { return };
        if due && !command && self.is_up() && self.can(Ability::Typing) {
            self.typed_at = Some(now);
            self.send(Typed::Ask(Ask::Typing { room: Some(room) }));
        }
    }

    /// Says, or does, what was typed.
    fn enter(&mut self) {
        let line = self.window().editor.text().to_owned();
        if line.trim().is_empty() || matches!(self.connection, Connection::Ended | Connection::None) {
            return;
        }
        let parsed = self.commands.parse(&line);
        let (mut also, mut enters) = (None, None);
        let typed = match &parsed {
            Ok(Command::Text(text)) if self.can(Ability::Direct) => {
                let to = self.window().key.place();
                Typed::Say { to, text: (*text).to_owned() }
            }
            Ok(Command::User(name)) if self.can(Ability::Select) && !self.is_single() => {
                let room = Key::Room((*name).to_owned());
                also = Some(if self.find(&room).is_some() { room } else { Key::parse(Some(name)) });
                Typed::Line(line.clone())
            }
            Ok(Command::Enter(room) | Command::Create(room)) if !self.is_single() => {
                enters = Some(Key::Room(room.strip_prefix('#').unwrap_or(room).to_owned()));
                Typed::Line(line.clone())
            }
            Ok(Command::Leave(room)) => {
                let at = self.left(*room);
                if let Some(at) = at {
                    self.windows[at].editor.take();
                    let direct = matches!(self.windows[at].key, Key::User(_));
                    self.close(at);
                    if direct {
                        // The server knows nothing of it.
                        self.remember(&line);
                        return self.select(self.current);
                    }
                }
                Typed::Line(line.clone())
            }
            _ => Typed::Line(line.clone()),
        };
        drop(parsed);
        if also.as_ref().or(enters.as_ref()).is_some_and(|key| !self.has_room_for(key)) {
            let text = self.say(Word::TooManyOpen, &[&self.windows.len()]);
            return self.note(Kind::Error, &text);
        }
        if !self.send(typed) {
            let text = self.text(Word::Busy).to_owned();
            return self.note(Kind::Error, &text);
        }
        // The window of whoever was chosen opens at once, and what is typed next goes there.
        if let Some(key) = also.filter(|_| self.manner.mode != "peer")
            && let Some(at) = self.at(&key, true)
        {
            self.selecting.push_back(key);
            self.show(at);
        }
        if let Some(room) = enters.filter(|room| self.find(room).is_none()) {
            let before = self.window().key.clone();
            self.entering = Some((room, before));
        }
        self.remember(&line);
        self.typed_at = None;
    }

    fn remember(&mut self, line: &str) {
        self.climb = None;
        self.recall.add(line);
        if let Some(kept) = &mut self.kept {
            kept.add(line);
        }
        for window in &mut self.windows {
            if window.editor.text() == line {
                window.editor.take();
                break;
            }
        }
        self.window().go_to_end();
    }

    /// The window of a room that is left, or of a direct conversation.
    fn left(&self, room: Option<&str>) -> Option<usize> {
        match room {
            Some(name) => match name.strip_prefix('@') {
                Some(user) => self.find(&Key::User(user.to_owned())),
                None => self.find(&Key::Room(name.strip_prefix('#').unwrap_or(name).to_owned())),
            },
            None => Some(self.current).filter(|at| !matches!(self.windows[*at].key, Key::Home)),
        }
    }

    /// Completes a command, or a name; again, the next that fits.
    fn complete(&mut self, on: bool) {
        let at = self.current;
        let Some(window) = self.windows.get_mut(at) else { return };
        let editor = &mut window.editor;
        let again = self.completing.take().filter(|completing| completing.line == editor.before());
        let mut completing = match again {
            Some(mut completing) => {
                let count = completing.fitting.len();
                completing.at = (completing.at + if on { 1 } else { count - 1 }) % count;
                completing
            }
            None => {
                let before = editor.before().to_owned();
                let names = || self.known.iter().chain(&window.users).cloned().collect();
                let (from, mut fitting) = complete(&before, &self.commands, names);
                let mut from = from;
                if fitting.is_empty() && !before.starts_with(':') {
                    // Somebody is spoken to.
                    from = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
                    let begun = before[from..].to_lowercase();
                    let behind = if from == 0 { ": " } else { " " };
                    let fits = |name: &&String| !begun.is_empty() && name.to_lowercase().starts_with(&begun);
                    let names = self.known.iter().chain(&window.users).filter(fits);
                    fitting = names.map(|name| format!("{name}{behind}")).collect();
                    fitting.sort_unstable();
                }
                fitting.dedup();
                if fitting.is_empty() {
                    return;
                }
                Completing { from, at: if on { 0 } else { fitting.len() - 1 }, fitting, line: before }
            }
        };
        let end = editor.before().len();
        editor.replace(completing.from..end, &completing.fitting[completing.at]);
        editor.before().clone_into(&mut completing.line);
        self.completing = Some(completing);
    }

    fn form_key(&mut self, key: KeyEvent) -> Deed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let Some(form) = &mut self.form else { return Deed::Nothing };
        form.empty = false;
        match key.code {
            KeyCode::Char('d') if control && form.editor.is_empty() => return Deed::Leave,
            KeyCode::Esc => return Deed::Leave,
            KeyCode::Up | KeyCode::Down | KeyCode::Tab | KeyCode::BackTab if form.or_none => form.more = !form.more,
            KeyCode::Enter => {
                if let Some(answer) = form.answer() {
                    self.send(Typed::Line(answer));
                }
            }
            KeyCode::Char(c) if !control => {
                // Whoever types wants to answer.
                form.more = true;
                form.editor.insert(c.encode_utf8(&mut [0; 4]));
            }
            _ => drop(edit(&mut form.editor, key)),
        }
        Deed::Nothing
    }

    fn help_key(&mut self, key: KeyEvent) {
        let Some(first) = &mut self.help else { return };
        let page = self.page.saturating_sub(2).max(1);
        match key.code {
            KeyCode::Up => *first = first.saturating_sub(1),
            KeyCode::Down => *first += 1,
            KeyCode::PageUp => *first = first.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => *first += page,
            KeyCode::Home => *first = 0,
            _ => {
                self.help = None;
                // What came meanwhile is seen now.
                self.window().enter();
            }
        }
    }

    fn search_key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let slash = self.slash_command();
        let Some(search) = &mut self.search else { return };
        match key.code {
            KeyCode::Esc => self.end_search(false),
            KeyCode::Char('g') if control => self.end_search(true),
            KeyCode::Enter if slash.is_some() => {
                let command = slash.unwrap_or_default();
                let text = self.say(Word::SlashCommand, &[&command]);
                self.end_search(true);
                self.note(Kind::Error, &text);
            }
            KeyCode::Enter | KeyCode::Up => self.search_on(true),
            KeyCode::Char('f' | 'r') if control => self.search_on(true),
            KeyCode::Down => self.search_on(false),
            KeyCode::PageUp => self.scroll_up(self.page.saturating_sub(1).max(1)),
            KeyCode::PageDown => self.scroll_down(self.page.saturating_sub(1).max(1)),
            KeyCode::Char('s') if control && self.can.contains(&Ability::Search) => {
                let text = search.editor.text().trim().to_owned();
                self.search = None;
                if !text.is_empty() {
                    self.window().go_to_end();
                    self.send(Typed::Ask(Ask::Search { room: None, text, before: None }));
                }
            }
            // What begins so is no search, but a text.
            KeyCode::Char('/') if search.editor.is_empty() && !self.manner.deaf => {
                self.end_search(true);
                self.insert("/");
            }
            KeyCode::Backspace if search.editor.is_empty() => self.end_search(true),
            KeyCode::Char(c) if !control => {
                search.editor.insert(c.encode_utf8(&mut [0; 4]));
                self.search_anew();
            }
            _ => {
                if edit(&mut search.editor, key).is_some() {
                    self.search_anew();
                }
            }
        }
    }
}

/// Edits a line as shells do; whether the key was for that, and what it removed for [`View::killed`].
fn edit(editor: &mut super::editor::Editor, key: KeyEvent) -> Option<Option<String>> {
    let (control, alt) = (key.modifiers.contains(KeyModifiers::CONTROL), key.modifiers.contains(KeyModifiers::ALT));
    let word = control || alt;
    let mut killed = None;
    match key.code {
        KeyCode::Left if word => editor.to(Step::WordBack),
        KeyCode::Right if word => editor.to(Step::WordOn),
        KeyCode::Left => editor.to(Step::Back),
        KeyCode::Right => editor.to(Step::On),
        KeyCode::Home => editor.to(Step::Start),
        KeyCode::End => editor.to(Step::End),
        KeyCode::Backspace if word => killed = Some(editor.remove(Step::WordBack)),
        KeyCode::Delete if word => killed = Some(editor.remove(Step::WordOn)),
        KeyCode::Backspace => drop(editor.remove(Step::Back)),
        KeyCode::Delete => drop(editor.remove(Step::On)),
        KeyCode::Char('b') if alt => editor.to(Step::WordBack),
        KeyCode::Char('f') if alt => editor.to(Step::WordOn),
        KeyCode::Char('d') if alt => killed = Some(editor.remove(Step::WordOn)),
        KeyCode::Char('a') if control => editor.to(Step::Start),
        KeyCode::Char('e') if control => editor.to(Step::End),
        KeyCode::Char('b') if control => editor.to(Step::Back),
        KeyCode::Char('h') if control => drop(editor.remove(Step::Back)),
        KeyCode::Char('d') if control => drop(editor.remove(Step::On)),
        KeyCode::Char('w') if control => killed = Some(editor.remove(Step::SpaceBack)),
        KeyCode::Char('u') if control => killed = Some(editor.remove(Step::Start)),
        KeyCode::Char('k') if control => killed = Some(editor.remove(Step::End)),
        _ => return None,
    }
    Some(killed)
}

/// How often others are told that something is being written.
const TYPING: Duration = Duration::from_secs(3);
