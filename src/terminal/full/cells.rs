//! Text as it lies in the cells of a screen. Nothing reaches a cell that did not come through [`safe`].

use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::SafeText;

/// Text from anywhere, in lines: harmless, and as wide on every terminal as it is here.
///
/// Terminals do not agree how wide an emoji is that is made of several, or has a colour of its own. So those stand side
/// by side here. A mark that belongs to no letter gets a circle for one, and no letter carries more than a few.
pub(super) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let line = line.strip_suffix('\r').unwrap_or(line);
        line_of_cells(&SafeText(line).to_string(), &mut out);
    }
    out
}

/// The same on one line.
pub(super) fn flat(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    line_of_cells(&SafeText(text).to_string(), &mut out);
    out
}

fn line_of_cells(line: &str, out: &mut String) {
    let (mut base, mut marks) = (None, 0);
    for c in line.chars() {
        if is_selector(c) {
            continue;
        }
        // One sign of Khmer takes three cells, of which no terminal knows.
        let c = if width_of(c) > 2 { char::REPLACEMENT_CHARACTER } else { c };
        if width_of(c) > 0 {
            (base, marks) = (Some(out.len()), 0);
            out.push(c);
            continue;
        }
        let start = match base {
            Some(start) => start,
            None => {
                out.push(CIRCLE);
                out.len() - CIRCLE.len_utf8()
            }
        };
        base = Some(start);
        marks += 1;
        if marks <= MOST_MARKS {
            let before = out[start..].width();
            out.push(c);
            // Together they would be drawn as something else.
            if out[start..].width() != before {
                out.pop();
            }
        }
    }
}

/// What chooses or joins the shapes of emojis.
fn is_selector(c: char) -> bool {
    matches!(c, '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')
}

fn width_of(c: char) -> usize {
    c.width().unwrap_or_default()
}

/// Cells that a text takes: those of its letters, also where some fonts write two as one.
pub(super) fn width(text: &str) -> usize {
    glyphs(text).map(|glyph| glyph.width).sum()
}

/// A letter with its marks: where it stands in its text, and how many cells it takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Glyph {
    pub(super) at: Range<usize>,
    pub(super) width: usize,
}

/// The letters of a text.
pub(super) fn glyphs(text: &str) -> impl Iterator<Item = Glyph> + '_ {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = chars.next()?;
        let mut end = start + first.len_utf8();
        while let Some((at, c)) = chars.next_if(|(_, c)| width_of(*c) == 0 && *c != '\n') {
            end = at + c.len_utf8();
        }
        Some(Glyph { at: start..end, width: width_of(first) })
    })
}

/// The beginning of a line that fits into so many cells, with `…` where something is left out.
pub(super) fn fit(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let (mut taken, mut end) = (0, 0);
    for glyph in glyphs(text) {
        if taken + glyph.width + 1 > most {
            break;
        }
        taken += glyph.width;
        end = glyph.at.end;
    }
    if most == 0 { String::new() } else { format!("{}\u{2026}", &text[..end]) }
}

/// Where the end of a line begins that fits into so many cells.
pub(super) fn tail(text: &str, most: usize) -> usize {
    let all: Vec<Glyph> = glyphs(text).collect();
    let (mut taken, mut start) = (0, text.len());
    for glyph in all.iter().rev() {
        taken += glyph.width;
        if taken > most {
            break;
        }
        start = glyph.at.start;
    }
    start
}

/// Breaks a text into rows of so many cells: at its line breaks, at spaces, and through words that are longer.
pub(super) fn wrap(text: &str, most: usize) -> Vec<Range<usize>> {
    let most = most.max(2);
    let mut rows = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        wrap_line(line, start, most, &mut rows);
        start += line.len() + 1;
    }
    rows
}

fn wrap_line(line: &str, offset: usize, most: usize, rows: &mut Vec<Range<usize>>) {
    let (mut begin, mut taken) = (0, 0);
    // Where the last word begins, and what stands before it.
    let mut word = None;
    for glyph in glyphs(line) {
        let space = &line[glyph.at.clone()] == " ";
        if taken + glyph.width > most {
            // A space that has no room any more is the break itself.
            if space {
                rows.push(offset + begin..offset + glyph.at.start);
                (begin, taken, word) = (glyph.at.end, 0, None);
                continue;
            }
            if let Some((at, before)) = word.take().filter(|(at, _)| *at > begin) {
                rows.push(offset + begin..offset + trimmed(line, begin, at));
                (begin, taken) = (at, taken - before);
            }
            // A word that is longer than a row.
            if taken + glyph.width > most {
                rows.push(offset + begin..offset + glyph.at.start);
                (begin, taken) = (glyph.at.start, 0);
            }
        }
        taken += glyph.width;
        if space {
            word = Some((glyph.at.end, taken));
        }
    }
    rows.push(offset + begin..offset + line.len());
}

/// The end of a row, without the space at which it was broken.
fn trimmed(line: &str, begin: usize, end: usize) -> usize {
    begin + line[begin..end].strip_suffix(' ').map_or(end - begin, str::len)
}

/// Stands for the letter that a mark wants.
const CIRCLE: char = '\u{25cc}';
/// Marks that one letter carries.
const MOST_MARKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str, most: usize) -> Vec<&str> {
        wrap(text, most).into_iter().map(|row| &text[row]).collect()
    }

    #[test]
    fn rows_break_at_spaces_and_through_long_words() {
        assert_eq!(rows("one two three", 8), ["one two", "three"]);
        assert_eq!(rows("one two three", 7), ["one two", "three"]);
        assert_eq!(rows("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(rows("a\n\nb", 9), ["a", "", "b"]);
        assert_eq!(rows("漢字漢字漢", 5), ["漢字", "漢字", "漢"]);
        assert_eq!(rows("", 5), [""]);
    }

    #[test]
    fn emojis_that_terminals_do_not_agree_on_stand_side_by_side() {
        assert_eq!(safe("👨\u{200d}👩\u{200d}👧"), "👨👩👧");
        assert_eq!(safe("❤\u{fe0f} 👍🏽"), "❤ 👍");
        assert_eq!(width(&safe("👨\u{200d}👩\u{200d}👧")), 6);
    }

    #[test]
    fn marks_stay_on_their_letter_and_are_few() {
        assert_eq!(safe("e\u{301}"), "e\u{301}");
        assert_eq!(safe("\u{301}a"), "\u{25cc}\u{301}a");
        let zalgo = format!("z{}", "\u{301}".repeat(50));
        assert_eq!(safe(&zalgo), format!("z{}", "\u{301}".repeat(MOST_MARKS)));
        assert_eq!(glyphs(&safe(&zalgo)).count(), 1);
    }

    #[test]
    fn what_strangers_write_is_shown_and_not_done() {
        assert_eq!(safe("a\u{1b}[2Jb\r\nc\td\u{202e}e"), "a\u{fffd}[2Jb\nc d\u{fffd}e");
        assert_eq!(flat("a\nb"), "a b");
        assert_eq!((fit("漢字漢字", 5), fit("abc", 3), fit("abcd", 3)), ("漢字…".into(), "abc".into(), "ab…".into()));
    }

    #[test]
    fn the_end_of_a_long_text_is_what_fits() {
        let end = |text: &'static str, most| &text[tail(text, most)..];
        assert_eq!(
            (end("abcd", 3), end("abc", 3), end("漢字", 3), end("e\u{301}", 1)),
            ("bcd", "abc", "字", "e\u{301}")
        );
        assert_eq!((end("", 3), end("abc", 0)), ("", ""));
    }

    proptest! {
        #[test]
        fn every_letter_is_as_wide_as_it_is_drawn(text in any::<String>()) {
            let safe = safe(&text);
            for line in safe.split('\n') {
                prop_assert!(glyphs(line).all(|g| (1..=2).contains(&g.width)), "{line:?}");
                prop_assert!(glyphs(line).all(|g| line[g.at.clone()].width() == g.width), "{line:?}");
                prop_assert_eq!(glyphs(line).map(|g| g.width).sum::<usize>(), width(line), "{:?}", line);
                prop_assert!(!line.chars().any(char::is_control));
            }
        }

        #[test]
        fn rows_hold_everything_but_the_spaces_between_them(text in "[a-z 漢\u{301}\n]{0,60}", most in 2usize..12) {
            let text = safe(&text);
            let rows = wrap(&text, most);
            let mut end = 0;
            for row in &rows {
                prop_assert!(width(&text[row.clone()]) <= most);
                prop_assert!(matches!(&text[end..row.start], "" | " " | "\n"), "{text:?} {rows:?}");
                end = row.end;
            }
            prop_assert_eq!(end, text.len());
        }
    }
}
