//! How it looks: everything that is drawn is drawn here, and in the modules below.

mod boxes;
mod found;
mod sides;

use std::ops::Range;

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use tokio::time::Instant;

use super::cells::{self, fit, glyphs, width};
use super::entry::{Kind, places};
use super::list::{CLOCK, Gutter, Row, head, state_of, title};
use super::theme::Palette;
use super::view::{Connection, View};
use super::window::Key;
use crate::client::State;
use crate::message::Timestamp;
use crate::terminal::chat::tell::{seconds, taken_name};
use crate::terminal::words::Word;

/// A place to draw: a buffer, and where one is in it.
struct Pen<'a> {
    buffer: &'a mut Buffer,
    x: u16,
    y: u16,
    end: u16,
}

impl Pen<'_> {
    /// Draws a text, as far as there is room. What is no letter with a width takes no cell.
    fn put(&mut self, text: &str, style: Style) {
        for glyph in glyphs(text) {
            let cells = u16::try_from(glyph.width).unwrap_or(2);
            if cells == 0 {
                continue;
            }
            if self.x + cells > self.end {
                self.x = self.end;
                return;
            }
            self.buffer[(self.x, self.y)].set_symbol(&text[glyph.at]).set_style(style);
            if cells == 2 {
                self.buffer[(self.x + 1, self.y)].reset();
                self.buffer[(self.x + 1, self.y)].set_style(style);
            }
            self.x += cells;
        }
    }

    fn skip(&mut self, cells: usize) {
        self.x = self.x.saturating_add(u16::try_from(cells).unwrap_or(u16::MAX)).min(self.end);
    }

    fn left(&self) -> usize {
        usize::from(self.end - self.x)
    }
}

fn pen(buffer: &mut Buffer, area: Rect, row: u16) -> Pen<'_> {
    let area = area.intersection(buffer.area);
    Pen { x: area.x, y: (area.y + row).min(area.bottom().saturating_sub(1)), end: area.right(), buffer }
}

impl View {
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if area.is_empty() {
            return;
        }
        self.wide = usize::from(area.width);
        if self.form.is_some() {
            return self.draw_form(frame);
        }
        if area.width < NARROWEST || area.height < 2 {
            let mut pen = pen(frame.buffer_mut(), area, 0);
            let text = fit(self.text(Word::TooSmall), pen.left());
            return pen.put(&text, Style::new());
        }
        let palette = self.theme.palette();
        let (title, status) = (u16::from(area.height >= 10), u16::from(area.height >= 4));
        let input = self.input_rows(area);
        let main = area.height - title - status - input;
        let rect = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
        self.draw_main(frame.buffer_mut(), rect(title, main), &palette);
        if title > 0 {
            self.draw_title(frame.buffer_mut(), rect(0, 1), &palette);
        }
        if status > 0 {
            self.draw_status(frame.buffer_mut(), rect(title + main, 1), &palette);
        }
        let bottom = rect(title + main + status, input);
        let cursor = match self.search.is_some() {
            true => Some(self.draw_search(frame.buffer_mut(), bottom, &palette)),
            false if self.manner.deaf => {
                self.draw_keys(frame.buffer_mut(), bottom, &palette);
                None
            }
            false => Some(self.draw_input(frame.buffer_mut(), bottom, &palette)),
        };
        if self.found.is_some() {
            self.draw_found(frame.buffer_mut(), rect(title, main), &palette);
        }
        if self.help.is_some() {
            return self.draw_help(frame.buffer_mut(), rect(title, main), &palette);
        }
        if let Some((x, y)) = cursor {
            frame.set_cursor_position((x, y));
        }
    }

    fn draw_main(&mut self, buffer: &mut Buffer, area: Rect, palette: &Palette) {
        let (left, right) = self.sides(usize::from(area.width));
        let list = Rect { x: area.x + left, width: area.width - left - right, ..area };
        let gutter = Gutter::of(usize::from(list.width));
        (self.page, self.columns) =
            (usize::from(list.height).max(1), usize::from(list.width).saturating_sub(gutter.width()).max(2));
        if left > 0 {
            self.draw_rooms(buffer, Rect { width: left, ..area }, palette);
        }
        if right > 0 {
            self.draw_users(buffer, Rect { x: list.right(), width: right, ..area }, palette);
        }
        let rows = self.rows();
        // A short conversation stands at the bottom, where the next line will be.
        let above = self.page.saturating_sub(rows.len());
        // What stands out in an entry is looked for once, and not for each of its rows.
        let mut found = (None, Vec::new());
        for (number, row) in rows.iter().enumerate() {
            let Ok(number) = u16::try_from(above + number) else { return };
            if let Row::Text { entry, .. } = row
                && found.0 != Some(*entry)
            {
                found = (Some(*entry), self.found_in(*entry));
            }
            if number < list.height {
                self.draw_row(pen(buffer, list, number), row, &found.1, gutter, palette);
            }
        }
    }

    /// Where in what is shown of an entry stands what is looked for, or else the name of whoever is called there.
    fn found_in(&self, entry: usize) -> Vec<Range<usize>> {
        let entry = self.windows.get(self.current).and_then(|window| window.entries().get(entry));
        let Some(entry) = entry else { return Vec::new() };
        let wanted = match &self.search {
            Some(search) => search.wanted(),
            None if matches!(entry.kind, Kind::Said { called: true, .. }) => {
                self.here.name.as_deref().unwrap_or_default().to_lowercase()
            }
            None => return Vec::new(),
        };
        places(&entry.text[..entry.end()], &wanted)
    }

    fn draw_row(&self, mut pen: Pen<'_>, row: &Row, found: &[Range<usize>], gutter: Gutter, palette: &Palette) {
        let Some(window) = self.windows.get(self.current) else { return };
        match row {
            Row::Beginning => self.draw_line(&mut pen, &self.begins(), palette.rule, palette.faint),
            Row::Day(day) => {
                self.draw_line(&mut pen, &day.strftime("%Y-%m-%d").to_string(), palette.rule, palette.faint)
            }
            Row::New => self.draw_line(&mut pen, self.text(Word::NewBelow), palette.news, palette.news),
            Row::More(count) => {
                pen.skip(gutter.width() - width(gutter.rule));
                pen.put(gutter.rule, palette.rule);
                let text = fit(&self.say(Word::MoreRows, &[count]), pen.left());
                pen.put(&text, palette.faint);
            }
            Row::State { entry } => {
                pen.skip(gutter.width() - width(gutter.rule));
                pen.put(gutter.rule, palette.rule);
                let Some(entry) = window.entries().get(*entry) else { return };
                let state = state_of(entry, self.manner.language).unwrap_or_default();
                let text = fit(&state, pen.left());
                pen.put(&text, self.state_style(entry.own.as_ref().and_then(|(_, state)| state.as_ref()), palette));
            }
            Row::Text { entry, piece, first, last } => {
                let Some(entry) = window.entries().get(*entry) else { return };
                if *first {
                    if gutter.clock {
                        pen.put(&entry.clock, palette.faint);
                        pen.skip(CLOCK - width(&entry.clock));
                    }
                    let name = fit(head(&entry.kind), gutter.name);
                    pen.skip(gutter.name - width(&name));
                    pen.put(&name, self.head_style(&entry.kind, palette));
                } else {
                    pen.skip(gutter.width() - width(gutter.rule));
                }
                pen.put(gutter.rule, palette.rule);
                let style = match &entry.kind {
                    Kind::Notice => palette.faint,
                    Kind::Error => palette.error,
                    _ => Style::new(),
                };
                self.draw_text(&mut pen, (&entry.text, piece), found, style, palette);
                if *last && let Some(state) = state_of(entry, self.manner.language) {
                    pen.skip(2);
                    let style = self.state_style(entry.own.as_ref().and_then(|(_, state)| state.as_ref()), palette);
                    pen.put(&state, style);
                }
            }
        }
    }

    /// A piece of a text, with what was `found` in it.
    fn draw_text(
        &self,
        pen: &mut Pen<'_>,
        (text, piece): (&str, &Range<usize>),
        found: &[Range<usize>],
        style: Style,
        palette: &Palette,
    ) {
        let look = if self.search.is_some() { palette.found } else { palette.called };
        let mut at = piece.start;
        for found in found.iter().filter(|found| found.end > piece.start && found.start < piece.end) {
            let (start, end) = (found.start.max(piece.start), found.end.min(piece.end));
            pen.put(&text[at..start], style);
            pen.put(&text[start..end], look);
            at = end;
        }
        pen.put(&text[at..piece.end], style);
    }

    fn head_style(&self, kind: &Kind, palette: &Palette) -> Style {
        match kind {
            Kind::Said { own: true, .. } => palette.own,
            Kind::Said { called: true, .. } => palette.called,
            Kind::Said { name, .. } => palette.name(name),
            Kind::Notice | Kind::Answer => palette.faint,
            Kind::Error => palette.error,
        }
    }

    fn state_style(&self, state: Option<&State>, palette: &Palette) -> Style {
        match state {
            Some(State::Failed(_)) => palette.error,
            _ => palette.faint,
        }
    }

    /// A line across the list, with a text in it.
    fn draw_line(&self, pen: &mut Pen<'_>, text: &str, rule: Style, style: Style) {
        let text = fit(text, pen.left().saturating_sub(4));
        let before = pen.left().saturating_sub(width(&text) + 2) / 2;
        pen.put(&"\u{2500}".repeat(before), rule);
        pen.put(&format!(" {text} "), style);
        pen.put(&"\u{2500}".repeat(pen.left()), rule);
    }

    fn begins(&self) -> String {
        let name = self.windows.get(self.current).and_then(|window| window.key.name()).unwrap_or_default();
        self.say(Word::HistoryEnd, &[&cells::flat(name)])
    }

    fn draw_title(&self, buffer: &mut Buffer, area: Rect, palette: &Palette) {
        buffer.set_style(area, palette.bar);
        let Some(window) = self.windows.get(self.current) else { return };
        let mut pen = pen(buffer, area, 0);
        let right = format!("talk {} \u{b7} {} ", self.manner.mode, self.text(Word::KeyHelp));
        let room = pen.left().saturating_sub(width(&right) + 2);
        pen.put(" ", palette.bar);
        let mark = match window.key {
            Key::Room(_) => "#",
            Key::User(_) => "@",
            Key::Home => "",
        };
        let name = fit(&format!("{mark}{}", title(window, self.here.to.as_deref(), self.manner.mode)), room);
        pen.put(&name, palette.bar.add_modifier(Modifier::BOLD));
        let count = match (&window.count, window.users.len() + window.more_users) {
            // Two talk there, whoever else was seen.
            _ if matches!(window.key, Key::User(_)) => String::new(),
            (Some(count), _) => cells::flat(count),
            (None, 0) => String::new(),
            (None, count) => count.to_string(),
        };
        let mut about = Vec::new();
        if !count.is_empty() {
            about.push(self.say(Word::UserCount, &[&count]));
        }
        about.extend(self.manner.place.iter().map(|place| cells::flat(place)));
        let about = if about.is_empty() { String::new() } else { format!("  {}", about.join(" \u{b7} ")) };
        pen.put(&fit(&about, room.saturating_sub(width(&name))), palette.bar);
        if pen.left() > width(&right) {
            pen.skip(pen.left() - width(&right));
            pen.put(&right, palette.bar);
        }
    }

    fn draw_status(&self, buffer: &mut Buffer, area: Rect, palette: &Palette) {
        buffer.set_style(area, palette.bar);
        let mut pen = pen(buffer, area, 0);
        let right = self.status_right();
        pen.end -= u16::try_from(width(&right)).unwrap_or_default().min(area.width / 2);
        let (mark, text, style) = self.status_connection(palette);
        pen.put(&format!(" {mark} "), style);
        pen.put(&fit(&text, pen.left()), style);
        let to = self.windows.get(self.current).and_then(|window| window.key.name());
        if let (true, Some(to)) = (self.is_up() && !self.is_single(), to) {
            pen.put(&format!(" \u{2192} {}", cells::flat(to)), palette.bar);
        }
        let now = Instant::now();
        let typing = self.windows.get(self.current).map(|window| window.typing(now).join(", ")).unwrap_or_default();
        if !typing.is_empty() {
            pen.put(&format!(" \u{b7} {}", self.say(Word::IsTyping, &[&typing])), palette.bar);
        }
        let news: Vec<_> = self.windows.iter().enumerate().filter(|(_, window)| window.unread > 0).collect();
        if !news.is_empty() {
            pen.put(" \u{b7}", palette.bar);
        }
        let count = news.len();
        for (number, (at, window)) in news.into_iter().enumerate() {
            let style = palette.bar.patch(if window.called { palette.called } else { palette.news });
            let name = fit(&title(window, None, self.manner.mode), 16);
            let text = format!(" {}:{name}({})", at + 1, window.unread);
            let more = format!(" {}", self.say(Word::AndMore, &[&(count - number)]));
            let behind = if number + 1 < count { width(&more) } else { 0 };
            if number == MOST_NEWS || (number > 0 && width(&text) + behind > pen.left()) {
                pen.put(&more, palette.bar);
                break;
            }
            pen.put(&text, style);
        }
        let start = area.right().saturating_sub(u16::try_from(width(&right)).unwrap_or_default().min(area.width / 2));
        (pen.x, pen.end) = (start, area.right());
        pen.put(&right, palette.bar.add_modifier(Modifier::BOLD));
    }

    fn status_connection(&self, palette: &Palette) -> (&'static str, String, Style) {
        let name = self.here.name.as_deref().map(cells::flat);
        match &self.connection {
            Connection::Up => ("\u{25cf}", name.unwrap_or_else(|| self.text(Word::Connected).to_owned()), palette.good),
            Connection::Down { reason, until } => {
                let left = seconds(until.saturating_duration_since(Instant::now()));
                if let Some(name) = taken_name(reason) {
                    return ("\u{25cb}", self.say(Word::StatusTaken, &[&name, &left]), palette.bad);
                }
                ("\u{25cb}", format!("{} ({reason})", self.say(Word::StatusOffline, &[&left])), palette.bad)
            }
            Connection::None | Connection::New => {
                ("\u{25cc}", self.text(Word::StatusConnecting).to_owned(), palette.bad)
            }
            Connection::Ended => ("\u{25cb}", self.text(Word::HasEnded).to_owned(), palette.bad),
        }
    }

    fn status_right(&self) -> String {
        let mut right = Vec::new();
        if let Some(window) = self.windows.get(self.current).filter(|window| window.scroll.is_some()) {
            right.push(match window.below {
                0 => format!("\u{2193} {}", self.text(Word::MoreBelow)),
                below => format!("\u{2193} {}", self.say(Word::CountBelow, &[&below])),
            });
        }
        if self.climb.is_some() {
            right.push(self.text(Word::LoadingOlder).to_owned());
        }
        let waiting = self.waiting();
        if waiting > 0 {
            right.push(self.say(Word::CountWaiting, &[&waiting]));
        }
        if right.is_empty() { String::new() } else { format!(" {} ", right.join(" \u{b7} ")) }
    }
}

/// The day and time of something that was said long ago.
pub(super) fn date(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_zoned(TimeZone::system());
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Conversations with unread messages that the status line names.
const MOST_NEWS: usize = 6;
/// Cells in a row below which nothing is shown but that.
const NARROWEST: u16 = 12;
