//! The list of messages as rows, and how one moves in it.

use std::ops::Range;

use jiff::civil::Date;

use super::cells;
use super::entry::{Entry, Kind};
use super::view::View;
use super::window::Window;
use crate::client::State;
use crate::terminal::words::{Language, Word};

/// One row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Row {
    /// Nothing older is kept.
    Beginning,
    Day(Date),
    /// What is below was not seen before.
    New,
    /// A piece of an entry's text. `first`: its head stands before it; `last`: how far an own text came, behind it.
    Text {
        entry: usize,
        piece: Range<usize>,
        first: bool,
        last: bool,
    },
    /// So many rows of an entry are not shown.
    More(usize),
    /// How far an own text came, where there was no room behind it.
    State {
        entry: usize,
    },
}

/// How far an own text came, as it stands behind it.
pub(super) fn state_of(entry: &Entry, language: Language) -> Option<String> {
    let (_, state) = entry.own.as_ref()?;
    Some(match state {
        None | Some(State::Queued) => format!("\u{2026} {}", language.text(Word::MarkQueued)),
        Some(State::Sent) => format!("\u{203a} {}", language.text(Word::MarkSent)),
        Some(State::Accepted) => "\u{2713}".to_owned(),
        Some(State::Delivered { by, of }) if by < of => format!("\u{2713} {by}/{of}"),
        Some(State::Delivered { of, .. }) if *of > 1 => format!("\u{2713}\u{2713} {of}"),
        Some(State::Delivered { .. }) => "\u{2713}\u{2713}".to_owned(),
        Some(State::Failed(reason)) => {
            format!("\u{2717} {}", cells::flat(&language.say(Word::MarkFailed, &[reason])))
        }
    })
}

impl View {
    /// The rows of one entry, with what stands above it.
    fn block(&mut self, at: usize) -> Vec<Row> {
        let (columns, language) = (self.columns, self.manner.language);
        let window = self.window();
        let mut rows = Vec::new();
        let before = at.checked_sub(1).and_then(|before| window.entries().get(before)).map(|entry| entry.day);
        let (complete, new) = (window.complete, window.new);
        let Some(entry) = window.entry_mut(at) else { return rows };
        if at == 0 && complete {
            rows.push(Row::Beginning);
        }
        if before != Some(entry.day) {
            rows.push(Row::Day(entry.day));
        }
        if new == Some(entry.serial) {
            rows.push(Row::New);
        }
        let pieces = entry.rows(columns).to_vec();
        let more = entry.more();
        let state = state_of(entry, language);
        let end = pieces.last().map_or(0, |piece| cells::width(&entry.text[piece.clone()]));
        let fits = state.as_ref().is_none_or(|state| end + 2 + cells::width(state) <= columns);
        let count = pieces.len();
        rows.extend(pieces.into_iter().enumerate().map(|(number, piece)| Row::Text {
            entry: at,
            piece,
            first: number == 0,
            last: number + 1 == count && fits,
        }));
        if more > 0 {
            rows.push(Row::More(more));
        }
        if !fits {
            rows.push(Row::State { entry: at });
        }
        rows
    }

    /// The rows that are seen, from the top.
    pub(super) fn rows(&mut self) -> Vec<Row> {
        let rows = self.rows_up();
        if rows.len() < self.page && self.window().scroll.is_some() {
            self.scroll_down(self.page - rows.len());
            return self.rows_up();
        }
        rows
    }

    fn rows_up(&mut self) -> Vec<Row> {
        let Some((mut at, mut hidden)) = self.bottom() else { return Vec::new() };
        let mut rows = Vec::new();
        loop {
            let block = self.block(at);
            rows.extend(block.into_iter().rev().skip(std::mem::take(&mut hidden)));
            if rows.len() >= self.page || at == 0 {
                break;
            }
            at -= 1;
        }
        rows.truncate(self.page);
        rows.reverse();
        rows
    }

    /// The entry at the bottom of the screen, and how many of its rows are below.
    fn bottom(&mut self) -> Option<(usize, usize)> {
        let window = self.window();
        let last = window.entries().len().checked_sub(1)?;
        Some(match window.scroll {
            Some((serial, hidden)) => (window.index_of(serial).unwrap_or(last), hidden),
            None => (last, 0),
        })
    }

    /// Moves to what was said before; asks for more at the end of what is here.
    pub(super) fn scroll_up(&mut self, count: usize) {
        let Some((mut at, mut hidden)) = self.bottom() else { return };
        hidden += count;
        loop {
            let rows = self.block(at).len();
            if hidden < rows {
                break;
            }
            if at == 0 {
                hidden = rows.saturating_sub(1);
                break;
            }
            hidden -= rows;
            at -= 1;
        }
        self.look_at(at, hidden);
        // Not further than the first row at the top.
        let above = self.rows_up();
        if above.len() < self.page {
            self.scroll_down(self.page - above.len());
        }
        if self.is_at_top() {
            self.ask_older();
        }
    }

    fn is_at_top(&mut self) -> bool {
        matches!(self.rows_up().first(), Some(Row::Beginning | Row::Day(_) | Row::Text { entry: 0, .. }))
    }

    /// Moves to what was said later.
    pub(super) fn scroll_down(&mut self, mut count: usize) {
        if self.window().scroll.is_none() {
            return;
        }
        let Some((mut at, mut hidden)) = self.bottom() else { return };
        while count > hidden {
            count -= hidden;
            if at + 1 >= self.window().entries().len() {
                return self.window().go_to_end();
            }
            at += 1;
            hidden = self.block(at).len();
        }
        self.look_at(at, hidden - count);
    }

    fn look_at(&mut self, at: usize, hidden: usize) {
        let window = self.window();
        let Some(entry) = window.entries().get(at) else { return };
        if at + 1 == window.entries().len() && hidden == 0 {
            return window.go_to_end();
        }
        window.scroll = Some((entry.serial, hidden));
    }

    /// Moves to the first message that is here.
    pub(super) fn scroll_to_top(&mut self) {
        let Some(rows) = (!self.window().entries().is_empty()).then(|| self.block(0).len()) else { return };
        self.look_at(0, rows.saturating_sub(1));
        self.scroll_up(0);
    }
}

/// Cells before a text: the time, the name, and a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Gutter {
    pub(super) clock: bool,
    pub(super) name: usize,
    pub(super) rule: &'static str,
}

impl Gutter {
    /// What fits into a list of this width.
    pub(super) fn of(width: usize) -> Self {
        let (clock, name, rule) = match width {
            80.. => (true, 16, " \u{2502} "),
            60.. => (true, 12, " \u{2502} "),
            44.. => (true, 9, " \u{2502} "),
            26.. => (false, 8, " \u{2502} "),
            _ => (false, 5, "\u{2502}"),
        };
        Self { clock, name, rule }
    }

    pub(super) fn width(self) -> usize {
        let clock = if self.clock { CLOCK } else { 0 };
        clock + self.name + cells::width(self.rule)
    }
}

/// Whether a window holds anything that somebody said, and not only what this program says.
pub(super) fn head(kind: &Kind) -> &str {
    match kind {
        Kind::Said { name, .. } => name,
        Kind::Notice => "*",
        Kind::Error => "!",
        Kind::Answer => "",
    }
}

/// The title of a window, where it has none of its own.
pub(super) fn title(window: &Window, to: Option<&str>, mode: &str) -> String {
    cells::flat(window.key.name().or(to).unwrap_or(mode))
}

/// Cells of a time, with the space behind it.
pub(super) const CLOCK: usize = 6;
