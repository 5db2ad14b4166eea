//! The line that is being typed.

use std::ops::Range;

use super::cells;

/// A text with a cursor. The text is what was typed; what of it is shown is made harmless by [`Editor::shown`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Editor {
    text: String,
    /// A byte of the text, between two letters.
    at: usize,
    short: bool,
}

impl Editor {
    /// For a name, or something that is looked for.
    pub(super) fn short() -> Self {
        Self { short: true, ..Self::default() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands before the cursor.
    pub(super) fn before(&self) -> &str {
        &self.text[..self.at]
    }

    pub(super) fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.at = self.text.len();
    }

    /// Takes the text away.
    pub(super) fn take(&mut self) -> String {
        self.at = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts a text in, as far as there is room.
    pub(super) fn insert(&mut self, text: &str) {
        let most = if self.short { SHORT } else { LONGEST };
        let room = most.saturating_sub(self.text.len());
        let mut end = room.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.insert_str(self.at, &text[..end]);
        self.at += end;
    }

    /// Puts another text in the place of a piece, and the cursor behind it.
    pub(super) fn replace(&mut self, piece: Range<usize>, with: &str) {
        self.text.replace_range(piece.clone(), with);
        self.at = piece.start + with.len();
    }

    pub(super) fn to(&mut self, step: Step) {
        self.at = self.place(step);
    }

    /// Removes what is between the cursor and there; gives it.
    pub(super) fn remove(&mut self, step: Step) -> String {
        let there = self.place(step);
        let gone = self.at.min(there)..self.at.max(there);
        self.at = gone.start;
        self.text.drain(gone).collect()
    }

    fn place(&self, step: Step) -> usize {
        let (before, behind) = self.text.split_at(self.at);
        match step {
            Step::Back => letters(before).last().map_or(0, |letter| letter.start),
            Step::On => letters(behind).next().map_or(self.at, |letter| self.at + letter.end),
            Step::WordBack => {
                let word = before.trim_end_matches(|c: char| !c.is_alphanumeric());
                word.trim_end_matches(char::is_alphanumeric).len()
            }
            Step::WordOn => {
                let rest = behind.trim_start_matches(|c: char| !c.is_alphanumeric());
                self.text.len() - rest.trim_start_matches(char::is_alphanumeric).len()
            }
            // As shells do it: up to the space, whatever stands between.
            Step::SpaceBack => before
                .trim_end()
                .rfind(char::is_whitespace)
                .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8)),
            Step::Start => 0,
            Step::End => self.text.len(),
        }
    }

    /// The text as it is shown, and the byte of that at which the cursor stands. A line break shows as an arrow.
    pub(super) fn shown(&self) -> (String, usize) {
        let shown = |text: &str| cells::flat(&text.replace('\n', BREAK));
        let (before, whole) = (shown(&self.text[..self.at]), shown(&self.text));
        // A cursor before a mark that has no letter stands where that is shown.
        let at = if whole.starts_with(&before) { before.len() } else { whole.len() };
        (whole, at)
    }
}

/// A way to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Back,
    On,
    WordBack,
    WordOn,
    SpaceBack,
    Start,
    End,
}

/// What the cursor steps over at once: a letter with its marks, and an emoji with all that it is made of.
fn letters(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut all = cells::glyphs(text).map(|glyph| glyph.at).peekable();
    std::iter::from_fn(move || {
        let mut letter = all.next()?;
        while let Some(more) = all.next_if(|next| {
            text[letter.clone()].ends_with('\u{200d}')
                || matches!(text[next.clone()].chars().next(), Some('\u{1f3fb}'..='\u{1f3ff}'))
        }) {
            letter.end = more.end;
        }
        Some(letter)
    })
}

/// The lines that were typed before, and where among them one is.
#[derive(Debug, Default)]
pub(super) struct Recall {
    lines: Vec<String>,
    /// Which is shown, and what was typed before one began to look.
    at: Option<(usize, String)>,
}

impl Recall {
    pub(super) fn new(lines: Vec<String>) -> Self {
        Self { lines, at: None }
    }

    pub(super) fn add(&mut self, line: &str) {
        self.at = None;
        if self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() >= REMEMBERED {
            self.lines.remove(0);
        }
        self.lines.push(line.to_owned());
    }

    /// The line before.
    pub(super) fn back(&mut self, editor: &mut Editor) {
        let (at, typed) = match self.at.take() {
            Some((at, typed)) => (at.saturating_sub(1), typed),
            None if self.lines.is_empty() => return,
            None => (self.lines.len() - 1, editor.text().to_owned()),
        };
        editor.set(&self.lines[at]);
        self.at = Some((at, typed));
    }

    /// The line behind; at the end what was being typed.
    pub(super) fn on(&mut self, editor: &mut Editor) {
        let Some((at, typed)) = self.at.take() else { return };
        match self.lines.get(at + 1) {
            Some(line) => {
                editor.set(line);
                self.at = Some((at + 1, typed));
            }
            None => editor.set(&typed),
        }
    }

    /// Something else was typed: what is shown is a line of its own now.
    pub(super) fn settle(&mut self) {
        self.at = None;
    }
}

/// Bytes that can be typed: more than any protocol takes.
const LONGEST: usize = 1024 * 1024;
/// Bytes of what is no text for others: more than any name has, and any server looks for.
const SHORT: usize = 1024;
/// Lines that are remembered.
const REMEMBERED: usize = 1000;
/// How a line break looks in the input.
const BREAK: &str = "\u{21b5}";

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn the_cursor_steps_over_whole_letters() {
        let mut editor = typed("e\u{301}漢👨\u{200d}👩👍🏽");
        editor.to(Step::Back);
        assert!(editor.before().ends_with("👩"));
        editor.to(Step::Back);
        assert!(editor.before().ends_with('漢'));
        editor.remove(Step::Back);
        editor.to(Step::Back);
        assert_eq!(editor.before(), "");
        editor.to(Step::On);
        assert_eq!(editor.before(), "e\u{301}");
    }

    #[test]
    fn words_are_stepped_over_and_removed() {
        let mut editor = typed("one two-three  four");
        editor.to(Step::WordBack);
        assert_eq!(editor.before(), "one two-three  ");
        editor.to(Step::WordBack);
        assert_eq!(editor.before(), "one two-");
        assert_eq!(editor.remove(Step::SpaceBack), "two-");
        editor.to(Step::WordOn);
        assert_eq!(editor.before(), "one three");
        assert_eq!(editor.remove(Step::End), "  four");
        assert_eq!(editor.remove(Step::Start), "one three");
        assert!(editor.is_empty());
    }

    #[test]
    fn what_is_typed_is_shown_harmless_and_kept_as_it_is() {
        let mut editor = typed("a\nb\u{1b}\u{202e}c");
        assert_eq!(editor.shown(), ("a\u{21b5}b\u{fffd}\u{fffd}c".into(), "a\u{21b5}b\u{fffd}\u{fffd}c".len()));
        editor.to(Step::Start);
        assert_eq!(editor.shown().1, 0);
        assert_eq!(editor.take(), "a\nb\u{1b}\u{202e}c");
        let mut long = typed(&"漢".repeat(LONGEST / 3));
        long.insert("漢漢");
        assert_eq!(long.text().len(), LONGEST / 3 * 3);
    }

    #[test]
    fn lines_come_back_and_so_does_what_was_being_typed() {
        let (mut recall, mut editor) = (Recall::new(vec!["one".into(), "two".into()]), typed("half"));
        recall.on(&mut editor);
        recall.back(&mut editor);
        assert_eq!(editor.text(), "two");
        recall.back(&mut editor);
        recall.back(&mut editor);
        assert_eq!(editor.text(), "one");
        recall.on(&mut editor);
        recall.on(&mut editor);
        assert_eq!(editor.text(), "half");
        recall.add("three");
        recall.add("three");
        recall.back(&mut editor);
        recall.back(&mut editor);
        assert_eq!(editor.text(), "two");
    }
}
