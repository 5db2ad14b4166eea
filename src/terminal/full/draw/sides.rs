//! What stands beside and below the messages: conversations, users, and the line that is typed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::{fit, pen, width};
use crate::terminal::full::cells;
use crate::terminal::full::list::title;
use crate::terminal::full::theme::Palette;
use crate::terminal::full::view::View;
use crate::terminal::full::window::Key;
use crate::terminal::words::Word;

impl View {
    /// Cells of the lists at the left and at the right.
    pub(in crate::terminal::full) fn sides(&self, wide: usize) -> (u16, u16) {
        let left = self.shows_rooms.unwrap_or(wide >= ROOMY);
        let left = if left && !self.is_single() && wide >= 2 * usize::from(SIDE) { SIDE } else { 0 };
        let users = self.windows.get(self.current).is_some_and(|window| !window.users.is_empty());
        let right = self.shows_users.unwrap_or(wide >= ROOMY + usize::from(left) + 8);
        let right = if right && users && wide >= usize::from(left) + 2 * usize::from(SIDE) { SIDE } else { 0 };
        (left, right)
    }

    pub(super) fn draw_rooms(&self, buffer: &mut Buffer, area: Rect, palette: &Palette) {
        draw_edge(buffer, Rect { x: area.right() - 1, width: 1, ..area }, palette);
        let area = Rect { width: area.width - 1, ..area };
        let rows = usize::from(area.height);
        // The one that is shown is seen.
        let first = (self.current + 1).saturating_sub(rows);
        for (row, (at, window)) in self.windows.iter().enumerate().skip(first).take(rows).enumerate() {
            let mut pen = pen(buffer, area, u16::try_from(row).unwrap_or_default());
            let style = match () {
                () if at == self.current => palette.chosen,
                () if window.called => palette.called,
                () if window.unread > 0 => palette.news,
                () => Style::new(),
            };
            let unread = if window.unread > 0 { format!(" {}", window.unread) } else { String::new() };
            let mark = match window.key {
                Key::Room(_) => "#",
                Key::User(_) => "@",
                Key::Home => "",
            };
            let number = format!("{:>2} ", at + 1);
            let name = format!("{mark}{}", title(window, None, self.manner.mode));
            let name = fit(&name, pen.left().saturating_sub(width(&number) + width(&unread)));
            pen.put(&number, if at == self.current { style } else { palette.faint });
            pen.put(&name, style);
            let gap = pen.left().saturating_sub(width(&unread));
            pen.put(&" ".repeat(gap), if at == self.current { style } else { Style::new() });
            pen.put(&unread, style);
        }
    }

    pub(super) fn draw_users(&self, buffer: &mut Buffer, area: Rect, palette: &Palette) {
        draw_edge(buffer, Rect { width: 1, ..area }, palette);
        let area = Rect { x: area.x + 1, width: area.width - 1, ..area };
        let Some(window) = self.windows.get(self.current) else { return };
        let rows = usize::from(area.height);
        let shown = if window.users.len() + window.more_users > rows { rows.saturating_sub(1) } else { rows };
        for (row, name) in window.users.iter().take(shown).enumerate() {
            let mut pen = pen(buffer, area, u16::try_from(row).unwrap_or_default());
            let own = self.here.name.as_deref() == Some(name);
            let style = if own { palette.own } else { palette.name(name) };
            pen.put(&format!(" {}", fit(name, pen.left().saturating_sub(1))), style);
        }
        let shown = shown.min(window.users.len());
        let more = window.users.len() + window.more_users - shown;
        if more > 0 && shown < rows {
            let more = format!(" {}", fit(&self.say(Word::AndMore, &[&more]), usize::from(area.width) - 1));
            pen(buffer, area, u16::try_from(shown).unwrap_or_default()).put(&more, palette.faint);
        }
    }

    /// Rows of the line that is typed.
    pub(super) fn input_rows(&self, area: Rect) -> u16 {
        if self.search.is_some() || self.manner.deaf {
            return 1;
        }
        let (shown, _) = self.windows.get(self.current).map(|window| window.editor.shown()).unwrap_or_default();
        let columns = usize::from(area.width).saturating_sub(width(&self.prompt(area)) + 1);
        let most = usize::from(area.height / 3).clamp(1, MOST_ROWS);
        u16::try_from(cells::wrap(&shown, columns).len().min(most)).unwrap_or(1)
    }

    fn prompt(&self, area: Rect) -> String {
        let to = self.windows.get(self.current).and_then(|window| window.key.name()).or(self.here.to.as_deref());
        let name = match (self.manner.named, to) {
            (true, _) | (_, None) => self.here.name.as_deref().unwrap_or_default(),
            (false, Some(to)) => to,
        };
        format!("{}\u{203a} ", fit(&cells::flat(name), usize::from(area.width) / 4))
    }

    /// Draws it; where the cursor stands.
    pub(super) fn draw_input(&self, buffer: &mut Buffer, area: Rect, palette: &Palette) -> (u16, u16) {
        let prompt = self.prompt(area);
        pen(buffer, area, 0).put(&prompt, palette.key.add_modifier(Modifier::BOLD));
        let indent = u16::try_from(width(&prompt)).unwrap_or_default().min(area.width.saturating_sub(3));
        // The cursor behind the last letter of a full row has a cell of its own.
        let columns = usize::from(area.width - indent).saturating_sub(1);
        let (shown, at) = self.windows.get(self.current).map(|window| window.editor.shown()).unwrap_or_default();
        let rows = cells::wrap(&shown, columns);
        let here = rows.iter().rposition(|row| row.start <= at).unwrap_or_default();
        let first = (here + 1).saturating_sub(usize::from(area.height));
        for (number, row) in rows.iter().skip(first).take(usize::from(area.height)).enumerate() {
            let mut pen = pen(buffer, area, u16::try_from(number).unwrap_or_default());
            pen.skip(usize::from(indent));
            pen.put(&shown[row.clone()], Style::new());
        }
        let row = rows.get(here).cloned().unwrap_or_default();
        let column = width(&shown[row.start..at.clamp(row.start, row.end)]).min(columns);
        let x = area.x + indent + u16::try_from(column).unwrap_or_default();
        (x.min(area.right() - 1), area.y + u16::try_from(here - first).unwrap_or_default())
    }

    /// What can be done where nothing is typed.
    pub(super) fn draw_keys(&self, buffer: &mut Buffer, area: Rect, palette: &Palette) {
        let mut pen = pen(buffer, area, 0);
        let text = fit(self.text(Word::DeafKeys), pen.left());
        pen.put(&text, palette.faint);
    }

    pub(super) fn draw_search(&self, buffer: &mut Buffer, area: Rect, palette: &Palette) -> (u16, u16) {
        let Some(search) = &self.search else { return (area.x, area.y) };
        let mut pen = pen(buffer, area, 0);
        pen.put(&format!("{} ", self.text(Word::SearchFor)), palette.key.add_modifier(Modifier::BOLD));
        let (shown, at) = search.editor.shown();
        let (count, here) = self.search_count();
        let about = if shown.is_empty() { String::new() } else { format!(" {here}/{count} ") };
        let slash = self.slash_command();
        let hint = match &slash {
            Some(command) => self.say(Word::SlashCommand, &[command]),
            None => self
                .text(if self.can(crate::client::Ability::Search) { Word::SearchKeysMore } else { Word::SearchKeys })
                .to_owned(),
        };
        let start = pen.x;
        let kept = slash.as_ref().map_or(0, |_| width(&hint) + 1);
        let room = pen.left().saturating_sub(width(&about) + 1 + kept).max(4);
        // The end of a long one is seen, with the cursor.
        let from = cells::tail(&shown, room - 1).min(at);
        pen.put(&shown[from..], Style::new());
        let cursor = start + u16::try_from(width(&shown[from..at])).unwrap_or_default();
        pen.skip(1);
        pen.put(&about, palette.news);
        if pen.left() > width(&hint) {
            pen.skip(pen.left() - width(&hint));
            pen.put(&hint, if slash.is_some() { palette.error } else { palette.faint });
        }
        (cursor.min(area.right() - 1), area.y)
    }
}

fn draw_edge(buffer: &mut Buffer, area: Rect, palette: &Palette) {
    for row in 0..area.height {
        pen(buffer, area, row).put("\u{2502}", palette.rule);
    }
}

/// Cells of a list beside the messages.
const SIDE: u16 = 18;
/// Cells of a screen from which on there is room for a list.
const ROOMY: usize = 76;
/// Rows of the line that is typed.
const MOST_ROWS: usize = 6;
