//! One thing in a list of messages, and the rows that it takes.

use std::ops::Range;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::cells;
use crate::client::{State, TextId};
use crate::message::{Position, Timestamp};
use crate::terminal::screen::speaker;
use crate::terminal::words::Language;

/// Something that was said or happened. Its texts are harmless: they come through [`cells::safe`].
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its own number, by which it is found again whatever comes before it.
    pub(super) serial: u64,
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) clock: String,
    pub(super) day: Date,
    pub(super) at: Timestamp,
    /// It was said before one came, or while there was no connection.
    pub(super) past: bool,
    pub(super) position: Option<Position>,
    /// Of an own text: which it is, and how far it came.
    pub(super) own: Option<(TextId, Option<State>)>,
    /// Nothing more than that it was sent will be known of it.
    pub(super) unconfirmed: bool,
    /// For a width: the rows that are shown, and how many more there would be.
    rows: Option<(usize, Vec<Range<usize>>, usize)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// `called`: it holds this user's name.
    Said {
        name: String,
        own: bool,
        called: bool,
    },
    Notice,
    Error,
    /// What was asked for, as it is.
    Answer,
}

impl Entry {
    pub(super) fn new(kind: Kind, text: &str, at: Timestamp) -> Self {
        let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
        let local = jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_zoned(TimeZone::system());
        let (clock, day) = (local.strftime("%H:%M").to_string(), local.date());
        let mut text = folded(&cells::safe(text));
        text.shrink_to_fit();
        let (position, own) = (None, None);
        Self { serial: 0, kind, text, clock, day, at, past: false, position, own, unconfirmed: false, rows: None }
    }

    /// Something that was said, by whoever is called so.
    pub(super) fn said(name: &str, own: bool, text: &str, at: Timestamp, language: Language) -> Self {
        let name = cells::fit(&cells::flat(&speaker(name, language)), NAME);
        Self::new(Kind::Said { name, own, called: false }, text, at)
    }

    /// Whether somebody said it, and this program did not.
    pub(super) fn is_said(&self) -> bool {
        matches!(self.kind, Kind::Said { .. })
    }

    /// Bytes that it holds, about.
    pub(super) fn size(&self) -> usize {
        let name = match &self.kind {
            Kind::Said { name, .. } => name.len(),
            _ => 0,
        };
        // Broken into rows it holds their ends as well.
        let breaks = self.text.bytes().filter(|byte| *byte == b'\n').count();
        let rows = (breaks + 1 + self.text.len() / 8).min(self.most_rows());
        self.text.len() + rows * size_of::<Range<usize>>() + name + OVERHEAD
    }

    /// Rows of it that are shown at most: nobody fills another's screens, and what was asked for is read.
    fn most_rows(&self) -> usize {
        match self.kind {
            Kind::Answer => ROWS_OF_ANSWER,
            _ => ROWS,
        }
    }

    /// Whether it waits to be sent, or for a word on that.
    pub(super) fn waits(&self) -> bool {
        let open = match &self.own {
            Some((_, None | Some(State::Queued))) => true,
            Some((_, Some(State::Sent))) => !self.unconfirmed,
            _ => false,
        };
        open && self.position.is_none()
    }

    /// The rows of its text, where each has so many cells.
    pub(super) fn rows(&mut self, width: usize) -> &[Range<usize>] {
        if self.rows.as_ref().is_none_or(|(known, ..)| *known != width) {
            let mut rows = cells::wrap(&self.text, width);
            let more = rows.len().saturating_sub(self.most_rows());
            rows.truncate(self.most_rows());
            rows.shrink_to_fit();
            self.rows = Some((width, rows, more));
        }
        self.rows.as_ref().map_or(&[], |(_, rows, _)| rows)
    }

    /// Where the last of the rows ends that are shown.
    pub(super) fn end(&self) -> usize {
        let last = self.rows.as_ref().and_then(|(_, rows, _)| rows.last());
        last.map_or(self.text.len(), |row| row.end)
    }

    /// How many more rows there would be than [`Entry::rows`] gave.
    pub(super) fn more(&self) -> usize {
        self.rows.as_ref().map_or(0, |(.., more)| *more)
    }

    /// Forgets the rows, which a list that nobody looks at needs not.
    pub(super) fn rest(&mut self) {
        self.rows = None;
    }

    /// Whether it holds a text, whatever the case of its letters; that has none of its own.
    pub(super) fn holds(&self, wanted: &str) -> bool {
        let name = match &self.kind {
            Kind::Said { name, .. } => name.to_lowercase().contains(wanted),
            _ => false,
        };
        name || self.text.to_lowercase().contains(wanted)
    }
}

/// A text in which no two blank lines follow one another.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    for (at, line) in text.split('\n').enumerate() {
        let before = std::mem::replace(&mut blank, line.trim().is_empty());
        if blank && before {
            continue;
        }
        if at > 0 {
            out.push('\n');
        }
        out.push_str(line);
    }
    out
}

/// Where in a text another stands, whatever the case of its letters. `wanted` is in small letters.
pub(super) fn places(text: &str, wanted: &str) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    if wanted.is_empty() {
        return places;
    }
    for (start, _) in text.char_indices() {
        if places.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let mut rest = wanted;
        for (at, c) in text[start..].char_indices() {
            let mut left = rest.chars();
            if !c.to_lowercase().all(|small| left.next() == Some(small)) {
                break;
            }
            rest = left.as_str();
            if rest.is_empty() {
                places.push(start..start + at + c.len_utf8());
                break;
            }
        }
    }
    places
}

/// Whether a name stands in a text as a word of its own.
pub(super) fn calls(text: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    !name.is_empty()
        && text.match_indices(&name).any(|(at, found)| {
            let (before, behind) = (&text[..at], &text[at + found.len()..]);
            !before.ends_with(is_word) && !behind.starts_with(is_word)
        })
}

/// Rows of one message that are shown.
const ROWS: usize = 40;
/// Rows of what was asked for that are shown.
const ROWS_OF_ANSWER: usize = 400;
/// Cells of a name.
pub(super) const NAME: usize = 64;
/// Bytes of an entry beside its texts.
const OVERHEAD: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_called_as_a_word_of_its_own() {
        assert!(calls("Ann: hi", "ann") && calls("hi, ANN!", "ann") && calls("привет, Аня", "аня"));
        assert!(!calls("announce", "ann") && !calls("joann", "ann") && !calls("hi", ""));
    }

    #[test]
    fn texts_are_found_whatever_their_case() {
        assert_eq!(places("Tea, tea and TEA", "tea"), [0..3, 5..8, 13..16]);
        assert_eq!(places("aaaa", "aa"), [0..2, 2..4]);
        assert_eq!(places("Чай и чай", "чай"), [0..6, 10..16]);
        assert!(places("tea", "").is_empty());
    }

    #[test]
    fn nobody_is_called_like_a_word_of_this_program() {
        let entry = Entry::said("* bob\n", false, "hi", Timestamp::from_millis(0), Language::English);
        assert_eq!(entry.kind, Kind::Said { name: "\u{201c}* bob \u{201d}".into(), own: false, called: false });
    }
}
