//! The list of what a search on the server found.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::boxes::draw_box;
use super::{fit, pen, width};
use crate::terminal::full::cells;
use crate::terminal::full::theme::Palette;
use crate::terminal::full::view::View;
use crate::terminal::words::Word;

impl View {
    pub(super) fn draw_found(&mut self, buffer: &mut Buffer, area: Rect, palette: &Palette) {
        let (keys, absent) = (self.text(Word::FoundKeys), self.text(Word::FoundAbsent));
        let Some(found) = &mut self.found else { return };
        let inner = draw_box(buffer, area, &found.head, palette);
        let height = usize::from(inner.height).saturating_sub(1);
        let rows = found.hits.iter().enumerate().flat_map(|(number, hit)| {
            let pieces = cells::wrap(&hit.text, usize::from(inner.width).saturating_sub(2));
            pieces.into_iter().take(ROWS).enumerate().map(move |(row, piece)| (number, row == 0, &hit.text[piece]))
        });
        let rows: Vec<_> = rows.collect();
        let here = rows.iter().position(|(number, ..)| *number == found.chosen).unwrap_or_default();
        // What is chosen stands in the middle, where there is more than fits.
        let first = here.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
        for (at, (number, begins, text)) in rows.iter().skip(first).take(height).enumerate() {
            let mut pen = pen(buffer, inner, u16::try_from(at).unwrap_or_default());
            let chosen = *number == found.chosen;
            let style = if chosen { palette.chosen } else { Style::new() };
            pen.put(if chosen && *begins { "\u{25b8} " } else { "  " }, style);
            pen.put(text, style);
        }
        found.page = (height / 2).max(1);
        if inner.height > 0 {
            let (text, style) = if found.absent { (absent, palette.error) } else { (keys, palette.faint) };
            let mut pen = pen(buffer, inner, inner.height - 1);
            let text = fit(text, pen.left());
            pen.skip(pen.left().saturating_sub(width(&text)) / 2);
            pen.put(&text, style);
        }
    }
}

/// Rows of a hit that are shown.
const ROWS: usize = 3;
