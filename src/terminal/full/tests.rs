//! A full screen without a terminal: what is told, what is typed, and what there is to see then.

mod crowd;
mod flood;
mod keys;
mod looks;
mod newcomer;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyModifiers};
use tokio::sync::mpsc;

use super::keys::Deed;
use super::theme::Theme;
use super::view::View;
use super::{Told, cells};
use crate::client::{Ability, Event, Heard, Place, State, TextId};
use crate::message::{Epoch, Position, Timestamp};
use crate::terminal::chat::Manner;
use crate::terminal::commands::Commands;
use crate::terminal::input::Typed;
use crate::terminal::screen::Item;

/// A full screen, its terminal, and what it gives to do.
struct Bench {
    view: View,
    terminal: Terminal<TestBackend>,
    typed: mpsc::Receiver<Typed>,
}

const ROOMS: &[Ability] = &[
    Ability::Say,
    Ability::Direct,
    Ability::Users,
    Ability::Rooms,
    Ability::Enter,
    Ability::Leave,
    Ability::Select,
    Ability::History,
    Ability::Search,
    Ability::Typing,
];

impl Bench {
    fn new(columns: u16, rows: u16) -> Self {
        Self::of(columns, rows, Manner { mode: "room", full: Some(Theme::Plain), ..Manner::default() })
    }

    fn of(columns: u16, rows: u16, manner: Manner) -> Self {
        let (lines, typed) = mpsc::channel(64);
        let terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        Self { view: View::new(manner, lines), terminal, typed }
    }

    /// Ann in a room, alone.
    fn in_room(columns: u16, rows: u16) -> Self {
        let mut bench = Self::new(columns, rows);
        bench.begins(ROOMS);
        bench.tell(Event::Connected { name: Some("ann".into()), resumed: None });
        bench.tell(Event::Selected { to: Some("tea".into()) });
        bench.tell(Event::HistoryEnd { room: "tea".into(), complete: false });
        bench.asked();
        bench
    }

    fn begins(&mut self, can: &[Ability]) {
        let commands = Commands::of_client(|ability| can.contains(&ability));
        self.view.hear(Item::Told(Told::Begins {
            can: can.to_vec(),
            commands,
            name: Some("ann".into()),
            rooms: vec![],
            drafts: None,
        }));
    }

    fn tell(&mut self, event: Event) {
        self.view.hear(Item::Told(Told::Event(event)));
    }

    fn says(&mut self, room: &str, from: &str, text: &str, seq: u64) {
        self.tell(Event::Message(said(Place::Room(room.into()), from, text, seq)));
    }

    /// An own text that was taken; its id.
    fn takes(&mut self, to: Option<&str>, text: &str) -> TextId {
        let id = TextId::random();
        let told = Told::Taken { id: id.clone(), to: to.map(str::to_owned), text: text.into() };
        self.view.hear(Item::Told(told));
        id
    }

    fn state(&mut self, id: &TextId, state: State) {
        self.tell(Event::State { id: id.clone(), state });
    }

    fn press(&mut self, code: KeyCode) -> Deed {
        self.view.typed(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn control(&mut self, key: char) -> Deed {
        self.view.typed(Input::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL)))
    }

    fn alt(&mut self, code: KeyCode) -> Deed {
        self.view.typed(Input::Key(KeyEvent::new(code, KeyModifiers::ALT)))
    }

    fn types(&mut self, text: &str) {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
    }

    /// What the conversation was given to do.
    fn asked(&mut self) -> Vec<Typed> {
        std::iter::from_fn(|| self.typed.try_recv().ok()).collect()
    }

    /// What there is to see, a line for each row.
    fn rows(&mut self) -> Vec<String> {
        // What is left of the last screen is for a real terminal to say.
        let size = self.terminal.size().unwrap();
        self.terminal = Terminal::new(TestBackend::new(size.width, size.height)).unwrap();
        self.terminal.draw(|frame| self.view.draw(frame)).unwrap();
        let buffer = self.terminal.backend().buffer();
        let row = |y| {
            let (mut line, mut x) = (String::new(), 0);
            while x < buffer.area.width {
                let symbol = buffer[(x, y)].symbol();
                line.push_str(symbol);
                x += u16::try_from(cells::width(symbol).max(1)).unwrap();
            }
            line.trim_end().to_owned()
        };
        (0..buffer.area.height).map(row).collect()
    }

    fn shows(&mut self, wanted: &str) -> bool {
        self.rows().iter().any(|row| row.contains(wanted))
    }

    fn cursor(&mut self) -> (u16, u16) {
        self.rows();
        let at = self.terminal.get_cursor_position().unwrap();
        (at.x, at.y)
    }
}

fn said(place: Place, from: &str, text: &str, seq: u64) -> Heard {
    let position = Some(Position { epoch: Epoch::new("e").unwrap(), seq });
    let at = Timestamp::from_millis(1_700_000_000_000 + seq);
    Heard { from: from.into(), text: text.into(), place, at, position, id: None, past: false, own: false }
}
