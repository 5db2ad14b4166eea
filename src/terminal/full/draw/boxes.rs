//! What stands before all else: the help, and what is asked at first.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::{Pen, fit, pen, width};
use crate::terminal::full::cells;
use crate::terminal::full::theme::Palette;
use crate::terminal::full::view::View;
use crate::terminal::words::Word;

impl View {
    /// What the help says: keys, or words, and what they do.
    pub(in crate::terminal::full) fn help_lines(&self) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::new();
        let language = self.manner.language;
        let key = |keys: &str, word| (keys.to_owned(), language.text(word).to_owned());
        lines.push((String::new(), language.text(Word::HelpKeys).to_owned()));
        for (keys, word) in KEYS.iter().filter(|(_, word)| self.has_key(*word)) {
            lines.push(key(keys, *word));
        }
        if !self.manner.deaf {
            lines.push((String::new(), String::new()));
            lines.push((String::new(), language.text(Word::HelpMarks).to_owned()));
            for (mark, word) in MARKS {
                lines.push(key(mark, *word));
            }
            lines.push((String::new(), String::new()));
            lines.push((String::new(), language.text(Word::HelpCommands).to_owned()));
            for line in self.commands.help(language).lines() {
                let (left, right) = line.split_once("  ").unwrap_or((line, ""));
                lines.push((left.to_owned(), right.trim_start().to_owned()));
            }
        }
        lines
    }

    /// Whether a key does what the help says of it, here.
    fn has_key(&self, word: Word) -> bool {
        match word {
            Word::KeyWindows | Word::KeyNumber | Word::KeyUnread => !self.is_single(),
            Word::KeyScroll | Word::KeyEnds | Word::KeySearch | Word::KeyRedraw | Word::KeyStop | Word::KeyLeave => {
                true
            }
            _ => !self.manner.deaf,
        }
    }

    pub(super) fn draw_help(&mut self, buffer: &mut Buffer, area: Rect, palette: &Palette) {
        let inner = draw_box(buffer, area, self.text(Word::HelpTitle), palette);
        let lines = self.help_lines();
        let left = lines.iter().map(|(left, _)| width(left)).max().unwrap_or_default();
        let left = left.min(usize::from(inner.width) / 2) + 2;
        let mut rows: Vec<(String, String, bool)> = Vec::new();
        for (keys, text) in lines {
            let head = keys.is_empty();
            let columns = usize::from(inner.width).saturating_sub(if head { 0 } else { left });
            for (number, piece) in cells::wrap(&text, columns).into_iter().enumerate() {
                let keys = if number == 0 { keys.clone() } else { String::new() };
                rows.push((keys, text[piece].to_owned(), head));
            }
        }
        let height = usize::from(inner.height);
        let first = self.help.unwrap_or_default().min(rows.len().saturating_sub(height));
        self.help = Some(first);
        for (number, (keys, text, head)) in rows.iter().skip(first).take(height).enumerate() {
            let mut pen = pen(buffer, inner, u16::try_from(number).unwrap_or_default());
            if *head {
                pen.put(text, Style::new().add_modifier(Modifier::BOLD));
                continue;
            }
            let start = pen.x;
            pen.put(&fit(keys, left - 1), palette.key);
            pen.x = start;
            pen.skip(left);
            pen.put(text, Style::new());
        }
        if rows.len() > first + height && inner.height > 0 {
            let more = format!(" \u{2193} {} ", self.text(Word::MoreBelow));
            let mut pen = pen(buffer, Rect { y: area.bottom() - 1, height: 1, ..area }, 0);
            pen.skip(pen.left().saturating_sub(width(&more) + 1));
            pen.put(&more, palette.news);
        }
    }

    pub(super) fn draw_form(&mut self, frame: &mut Frame<'_>) {
        let palette = self.theme.palette();
        let (area, language) = (frame.area(), self.manner.language);
        let Some(form) = &self.form else { return };
        let buffer = frame.buffer_mut();
        let outer = centred(area, FORM.0, FORM.1);
        let title = format!("talk {}", self.manner.mode);
        let inner = if area.height >= 7 && area.width >= 24 { draw_box(buffer, outer, &title, &palette) } else { area };
        let columns = usize::from(inner.width);
        let place = self.manner.place.iter().map(|place| (fit(&cells::flat(place), columns), palette.faint));
        let mut rows: Vec<(String, Style)> = place.collect();
        for (error, text) in &form.told {
            let style = if *error { palette.error } else { Style::new() };
            rows.extend(cells::wrap(text, columns).into_iter().map(|row| (text[row].to_owned(), style)));
        }
        if form.sent {
            rows.push((self.text(Word::Moment).to_owned(), palette.faint));
        }
        // The question, the answer and the keys are always seen.
        let room = usize::from(inner.height).saturating_sub(if form.or_none { 5 } else { 3 });
        let skip = rows.len().saturating_sub(room);
        let mut row = 0;
        for (text, style) in rows.iter().skip(skip).take(room) {
            pen(buffer, inner, row).put(text, *style);
            row += 1;
        }
        row = row.min(inner.height.saturating_sub(1)) + u16::from(row > 0 && inner.height > 5);
        let at = |row: u16| Rect { y: inner.y + row, height: 1, ..inner };
        if form.or_none {
            for (chosen, word) in [(!form.more, Word::FormGo), (form.more, Word::FormMore)] {
                let style = if chosen { palette.chosen } else { Style::new() };
                if row < inner.height {
                    let mut pen = pen(buffer, at(row), 0);
                    let text = fit(
                        &format!("{} {} ", if chosen { " \u{25b8}" } else { "  " }, language.text(word)),
                        pen.left(),
                    );
                    pen.put(&text, style);
                }
                row += 1;
            }
            row += 1;
        }
        let mut cursor = None;
        if form.more {
            let question = if form.or_none { Word::AskNickname } else { form.what };
            if row + 1 < inner.height {
                let mut pen = pen(buffer, at(row), 0);
                pen.put(language.text(question), palette.key);
                if form.empty {
                    pen.put(&format!(" {}", language.text(Word::FormEmpty)), palette.error);
                }
                row += 1;
            }
            let row = row.min(inner.height.saturating_sub(1));
            let field = at(row);
            buffer.set_style(field, palette.bar);
            let (shown, place) = form.editor.shown();
            let mut pen = pen(buffer, field, 0);
            pen.skip(1);
            let x = draw_end(&mut pen, &shown, place, palette.bar);
            cursor = Some((x.min(area.right() - 1), field.y));
        }
        if outer != area && outer.bottom() < area.bottom() {
            let keys = self.text(if form.or_none { Word::FormKeysChoice } else { Word::FormKeys });
            let line = Rect { y: outer.bottom(), height: 1, ..area };
            let mut pen = pen(buffer, line, 0);
            pen.skip(pen.left().saturating_sub(width(keys)) / 2);
            pen.put(keys, palette.faint);
        }
        if let Some(cursor) = cursor {
            frame.set_cursor_position(cursor);
        }
    }
}

/// Draws a text of which the end before the cursor is seen; the column of the cursor.
fn draw_end(pen: &mut Pen<'_>, text: &str, at: usize, style: Style) -> u16 {
    let from = cells::tail(&text[..at], pen.left().saturating_sub(1));
    let start = pen.x;
    pen.put(&text[from..], style);
    start + u16::try_from(width(&text[from..at])).unwrap_or_default()
}

/// A box with a title; what is inside it.
pub(super) fn draw_box(buffer: &mut Buffer, area: Rect, title: &str, palette: &Palette) -> Rect {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            buffer[(x, y)].reset();
        }
    }
    if area.width < 6 || area.height < 3 {
        return area;
    }
    let middle = usize::from(area.width) - 2;
    let mut top = pen(buffer, area, 0);
    top.put("\u{250c}", palette.rule);
    let title = fit(title, middle.saturating_sub(3));
    top.put(&format!(" {title} "), Style::new().add_modifier(Modifier::BOLD));
    top.put(&"\u{2500}".repeat(top.left().saturating_sub(1)), palette.rule);
    top.put("\u{2510}", palette.rule);
    for row in 1..area.height - 1 {
        pen(buffer, area, row).put("\u{2502}", palette.rule);
        let mut right = pen(buffer, area, row);
        right.skip(middle + 1);
        right.put("\u{2502}", palette.rule);
    }
    pen(buffer, area, area.height - 1).put(&format!("\u{2514}{}\u{2518}", "\u{2500}".repeat(middle)), palette.rule);
    Rect { x: area.x + 2, y: area.y + 1, width: area.width - 4, height: area.height - 2 }
}

fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// Every key, in the order of the help.
const KEYS: &[(&str, Word)] = &[
    ("Enter", Word::KeySend),
    ("Alt-Enter", Word::KeyBreak),
    ("Up Down", Word::KeyRecall),
    ("Tab", Word::KeyComplete),
    ("PgUp PgDn", Word::KeyScroll),
    ("Ctrl-Home Ctrl-End", Word::KeyEnds),
    ("Alt-Up Alt-Down", Word::KeyWindows),
    ("Alt-1 .. Alt-9", Word::KeyNumber),
    ("Alt-A", Word::KeyUnread),
    ("F2 F3", Word::KeySides),
    ("/ Ctrl-F", Word::KeySearch),
    ("Ctrl-A Ctrl-E", Word::KeyLineEnds),
    ("Alt-B Alt-F", Word::KeyWords),
    ("Ctrl-W Alt-D", Word::KeyKill),
    ("Ctrl-U Ctrl-K", Word::KeyKillAll),
    ("Ctrl-Y", Word::KeyYank),
    ("Ctrl-L", Word::KeyRedraw),
    ("Ctrl-Z", Word::KeyStop),
    ("Ctrl-C Ctrl-D", Word::KeyLeave),
];
/// Every mark behind an own text.
const MARKS: &[(&str, Word)] = &[
    ("\u{2026}", Word::MeansQueued),
    ("\u{203a}", Word::MeansSent),
    ("\u{2713}", Word::MeansAccepted),
    ("\u{2713}\u{2713}", Word::MeansDelivered),
    ("\u{2717}", Word::MeansFailed),
];
/// Cells of a form.
const FORM: (u16, u16) = (64, 14);
