//! A screen as a picture: its cells with their colours, in a frame.

use std::fmt::Write;

/// The colours of a terminal that has its own.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) ground: &'static str,
    pub(crate) letter: &'static str,
    pub(crate) edge: &'static str,
}

pub(crate) const DARK: Look = Look { ground: "#16181d", letter: "#d5d8de", edge: "#2d313a" };
pub(crate) const LIGHT: Look = Look { ground: "#fbfbf9", letter: "#24272e", edge: "#d6d6d0" };

/// Draws it.
pub(crate) fn svg(screen: &vt100::Screen, look: Look, title: &str) -> String {
    let (rows, columns) = (screen.size().0.get(), screen.size().1.get());
    let (wide, high) = (f64::from(columns) * CELL.0 + 2.0 * EDGE, f64::from(rows) * CELL.1 + 2.0 * EDGE);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\" \
         role=\"img\" aria-label=\"{}\">\n<title>{}</title>\n<rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" \
         fill=\"{}\" stroke=\"{}\"/>\n<g font-family=\"'DejaVu Sans Mono','Menlo','Consolas','Liberation Mono',monospace\" \
         font-size=\"{FONT}\">\n",
        escaped(title),
        escaped(title),
        wide - 1.0,
        high - 1.0,
        look.ground,
        look.edge
    );
    for row in 0..rows {
        for run in runs(screen, row, columns, look) {
            run.draw(&mut out, row, look);
        }
    }
    let (row, column) = screen.cursor_position();
    if !screen.hide_cursor() {
        let (x, y) = (EDGE + f64::from(column) * CELL.0, EDGE + f64::from(row) * CELL.1);
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\" fill=\"{}\" fill-opacity=\"0.7\"/>",
            CELL.0, CELL.1, look.letter
        );
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Neighbours that look the same.
struct Run {
    column: u16,
    cells: u16,
    text: String,
    letter: String,
    ground: String,
    bold: bool,
    dim: bool,
    underline: bool,
}

fn runs(screen: &vt100::Screen, row: u16, columns: u16, look: Look) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else { continue };
        let (mut letter, mut ground) = (colour(cell.fgcolor(), look.letter), colour(cell.bgcolor(), look.ground));
        if cell.inverse() {
            std::mem::swap(&mut letter, &mut ground);
        }
        let contents = if cell.has_contents() { cell.contents() } else { " " };
        let cells = if cell.is_wide() { 2 } else { 1 };
        let plain = contents.is_ascii();
        let same = |run: &&mut Run| {
            plain
                && run.text.is_ascii()
                && run.column + run.cells == column
                && (&run.letter, &run.ground) == (&letter, &ground)
                && (run.bold, run.dim, run.underline) == (cell.bold(), cell.dim(), cell.underline())
        };
        match runs.last_mut().filter(same) {
            Some(run) => {
                run.text.push_str(contents);
                run.cells += cells;
            }
            None => runs.push(Run {
                column,
                cells,
                text: contents.to_owned(),
                letter,
                ground,
                bold: cell.bold(),
                dim: cell.dim(),
                underline: cell.underline(),
            }),
        }
    }
    runs
}

impl Run {
    fn draw(&self, out: &mut String, row: u16, look: Look) {
        let (x, y) = (EDGE + f64::from(self.column) * CELL.0, EDGE + f64::from(row) * CELL.1);
        let width = f64::from(self.cells) * CELL.0;
        if self.ground != look.ground {
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                width + 0.3,
                CELL.1 + 0.3,
                self.ground
            );
        }
        // Lines are drawn as such, so that they meet.
        let (across, down) = (y + CELL.1 / 2.0, x + CELL.0 / 2.0);
        let line = match self.text.as_str() {
            "\u{2502}" => Some((down, y, down, y + CELL.1)),
            "\u{2500}" => Some((x, across, x + CELL.0, across)),
            _ => None,
        };
        let corner = match self.text.as_str() {
            "\u{250c}" => Some((x + CELL.0, y + CELL.1)),
            "\u{2510}" => Some((x, y + CELL.1)),
            "\u{2514}" => Some((x + CELL.0, y)),
            "\u{2518}" => Some((x, y)),
            _ => None,
        };
        if let Some((side, end)) = corner {
            let _ = writeln!(
                out,
                "<path d=\"M{side:.1} {across:.1}H{down:.1}V{end:.1}\" fill=\"none\" stroke=\"{}\"/>",
                self.letter
            );
            return;
        }
        if let Some((x1, y1, x2, y2)) = line {
            let _ = writeln!(
                out,
                "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{}\"/>",
                self.letter
            );
            return;
        }
        if self.text.trim().is_empty() {
            return;
        }
        let mut more = String::new();
        if self.bold {
            more.push_str(" font-weight=\"bold\"");
        }
        if self.dim {
            more.push_str(" fill-opacity=\"0.6\"");
        }
        if self.underline {
            more.push_str(" text-decoration=\"underline\"");
        }
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
             xml:space=\"preserve\" fill=\"{}\"{more}>{}</text>",
            y + BASE,
            self.letter,
            escaped(&self.text)
        );
    }
}

fn colour(colour: vt100::Color, own: &str) -> String {
    match colour {
        vt100::Color::Default => own.to_owned(),
        vt100::Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        vt100::Color::Idx(index @ 0..=15) => SIXTEEN[usize::from(index)].to_owned(),
        vt100::Color::Idx(index @ 16..=231) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + step * 40 };
            let index = index - 16;
            format!("#{:02x}{:02x}{:02x}", level(index / 36), level(index / 6 % 6), level(index % 6))
        }
        vt100::Color::Idx(index) => {
            let grey = 8 + (index - 232) * 10;
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const SIXTEEN: [&str; 16] = [
    "#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5", "#666666", "#f14c4c",
    "#23d18b", "#f5f543", "#3b8eea", "#d670d6", "#29b8db", "#ffffff",
];
/// Pixels of a cell, around them, and where letters stand in one.
const CELL: (f64, f64) = (8.4, 18.0);
const EDGE: f64 = 12.0;
const BASE: f64 = 13.5;
const FONT: f64 = 14.0;
