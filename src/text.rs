//! Text from strangers: cleaned at the edge, flattened for wires that have lines, made harmless for screens.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Removes the control characters a message may not carry: all but `\n` and `\t`.
///
/// Borrows when there is nothing to remove, which is nearly always.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    let unwanted = |c: char| c.is_control() && c != '\n' && c != '\t';
    // Bytes first, all of them: that is many at once, and every control character has one of these.
    let suspect = |b: u8| (b < b' ' && b != b'\n' && b != b'\t') || b == 0x7f || b == 0xc2;
    if text.bytes().fold(false, |any, b| any | suspect(b)) && text.chars().any(unwanted) {
        Cow::Owned(text.chars().filter(|c| !unwanted(*c)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Turns each line break into one space, for wires on which a second line would be somebody else's.
///
/// `\r\n` is one break; so are `\n`, `\r`, VT, FF, U+0085, U+2028 and U+2029 each.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_line_break) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut previous = '\0';
    for c in text.chars() {
        if !is_line_break(c) {
            out.push(c);
        } else if !(c == '\n' && previous == '\r') {
            out.push(' ');
        }
        previous = c;
    }
    Cow::Owned(out)
}

/// The first characters of a text, at most so many, and `…` in the place of the rest.
#[cfg(feature = "net")]
pub(crate) fn beginning(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}\u{2026}", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// How many letters must be added, dropped or changed to get from one word to the other (Levenshtein).
#[cfg(any(feature = "server", feature = "terminal"))]
pub(crate) fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in two.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[two.len()]
}

/// Displays untrusted text so that it stays text: the one way it may reach a terminal or a log.
///
/// Line breaks and tabs show as one space. Control characters (C0, C1, DEL, and so every escape sequence), bidi
/// controls and invisible characters show as U+FFFD. A zero-width joiner inside an emoji sequence is kept.
///
/// ```
/// use talk::text::SafeText;
/// assert_eq!(SafeText("hi\nbob: \u{1b}[2Jpwned").to_string(), "hi bob: \u{fffd}[2Jpwned");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SafeText<'a>(pub &'a str);

impl fmt::Display for SafeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut previous = '\0';
        for c in self.0.chars() {
            let joins_emoji = c == ZERO_WIDTH_JOINER && is_pictograph(previous);
            if c == '\t' || is_line_break(c) {
                if !(c == '\n' && previous == '\r') {
                    f.write_char(' ')?;
                }
            } else if !joins_emoji && (c.is_control() || is_invisible(c)) {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            } else {
                f.write_char(c)?;
            }
            previous = c;
        }
        Ok(())
    }
}

/// Whether a character has no shape of its own, or changes how its neighbours are laid out: zero-width and bidi
/// controls, line and paragraph separators, fillers, interlinear and tag characters.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

const ZERO_WIDTH_JOINER: char = '\u{200d}';

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cleaning_keeps_line_feeds_and_tabs_and_removes_other_controls() {
        assert_eq!(clean("a\tb\nc"), "a\tb\nc");
        assert_eq!(clean("a\r\nb\u{0}\u{1b}[1m\u{7f}\u{85}\u{9b}c"), "a\nb[1mc");
        assert!(matches!(clean("привет 👋"), Cow::Borrowed(_)));
    }

    #[test]
    #[cfg(feature = "net")]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!((beginning("привет", 6), beginning("привет", 5)), ("привет".into(), "приве\u{2026}".into()));
    }

    #[test]
    fn each_line_break_becomes_one_space() {
        assert_eq!(one_line("a\nb\r\nc\rd\u{2028}e\u{2029}f\u{85}g"), "a b c d e f g");
        assert_eq!(one_line("a\n\nb"), "a  b");
        assert!(matches!(one_line("a b"), Cow::Borrowed(_)));
    }

    #[test]
    fn an_emoji_family_stays_one_emoji_and_a_lone_joiner_shows() {
        assert_eq!(SafeText("👨\u{200d}👩\u{200d}👧").to_string(), "👨\u{200d}👩\u{200d}👧");
        assert_eq!(SafeText("ad\u{200d}min").to_string(), "ad\u{fffd}min");
    }

    #[test]
    fn bidi_overrides_and_zero_width_characters_show_as_replacements() {
        for c in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{61c}', '\u{e0041}', '\u{3164}'] {
            assert_eq!(SafeText(&format!("a{c}b")).to_string(), "a\u{fffd}b", "{:x}", c as u32);
        }
    }

    proptest! {
        #[test]
        fn safe_text_never_holds_a_control_or_a_line_break(text in any::<String>()) {
            let shown = SafeText(&text).to_string();
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_line_break(c)));
        }

        #[test]
        fn cleaning_and_flattening_settle_at_once(text in any::<String>()) {
            let cleaned = clean(&text).into_owned();
            prop_assert_eq!(clean(&cleaned), cleaned.as_str());
            let flat = one_line(&text).into_owned();
            prop_assert_eq!(one_line(&flat), flat.as_str());
        }
    }
}
