//! A way to draw that trusts no terminal to know how wide a letter is.

use std::io::{self, Write};

use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::{Cell, CellWidth};
use ratatui::layout::{Position, Size};

/// Draws as [`CrosstermBackend`] does. But around a letter that some terminals take for wider, narrower or nothing at all,
/// its cells are emptied first, and the next letter is put where it belongs: so nothing but that letter can look wrong.
#[derive(Debug)]
pub(super) struct Careful<W: Write>(CrosstermBackend<W>);

impl<W: Write> Careful<W> {
    pub(super) fn new(out: W) -> Self {
        Self(CrosstermBackend::new(out))
    }
}

impl<W: Write> Write for Careful<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(&mut self.0)
    }
}

impl<W: Write> Backend for Careful<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut run = Vec::new();
        for (x, y, cell) in content {
            if is_sure(cell.symbol()) {
                run.push((x, y, cell));
                continue;
            }
            self.0.draw(run.drain(..))?;
            let mut empty = cell.clone();
            empty.set_symbol(" ");
            self.0.draw((0..cell.cell_width()).map(|more| (x + more, y, &empty)))?;
            self.0.draw(std::iter::once((x, y, cell)))?;
        }
        self.0.draw(run.into_iter())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.0.hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.0.show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        self.0.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.0.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.0.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.0.clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        self.0.size().map(usual)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.0.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.0)
    }
}

/// A serial line, or whatever else has no window, says that it has no size; most have this.
fn usual(size: Size) -> Size {
    if size.width == 0 || size.height == 0 { Size::new(80, 24) } else { size }
}

/// Whether every terminal knows how wide it is: one letter of Latin, Greek or Cyrillic, or a line.
fn is_sure(symbol: &str) -> bool {
    let mut chars = symbol.chars();
    let sure =
        |c: char| matches!(c, ' '..='~' | '\u{a1}'..='\u{2af}' | '\u{386}'..='\u{482}' | '\u{2500}'..='\u{257f}');
    chars.next().is_some_and(sure) && chars.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(symbols: &[&str]) -> String {
        let cells: Vec<Cell> = symbols
            .iter()
            .map(|symbol| {
                let mut cell = Cell::default();
                cell.set_symbol(symbol);
                cell
            })
            .collect();
        let mut out = Vec::new();
        let mut x = 0;
        let placed = cells.iter().map(|cell| {
            let at = x;
            x += cell.cell_width();
            (at, 0, cell)
        });
        Careful::new(&mut out).draw(placed).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_without_a_size_has_a_usual_one() {
        assert_eq!([(0, 0), (0, 24), (80, 0), (7, 3)].map(|(x, y)| usual(Size::new(x, y)).width), [80, 80, 80, 7]);
    }

    #[test]
    fn what_stands_behind_a_doubtful_letter_is_put_where_it_belongs() {
        let plain = drawn(&["a", "я", "\u{2502}", "b"]);
        assert!(plain.contains("aя\u{2502}b"), "{plain:?}");
        let doubtful = drawn(&["a", "漢", "b"]);
        let [empty, letter, behind] =
            ["\u{1b}[1;2H  ", "\u{1b}[1;2H漢", "\u{1b}[1;4Hb"].map(|text| doubtful.find(text));
        assert!(empty.is_some() && empty < letter && letter < behind, "{doubtful:?}");
    }
}
