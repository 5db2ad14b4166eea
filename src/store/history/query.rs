//! What somebody looks for in what was said.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// A text to look for, in any letter case; `ё` is `е`, as people write it.
///
/// Its words are looked for one by one, in any order, within words too: `dinner ann` fits "Ann's dinners". Words in
/// quotation marks belong together as they stand: `"see you"`, up to the end where none closes them. A star behind a word wants a word that begins so: `break*`
/// fits "breakfast" and not "outbreak". Quotation marks within words, and stars elsewhere, are looked for like any other
/// character.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Piece {
    /// [Folded](folded).
    text: String,
    /// Whether a word has to begin with it.
    begins: bool,
}

impl Query {
    /// Reads what was typed. What holds no word, such as spaces alone, is looked for as it is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let quoted = rest.strip_prefix('"').map(|rest| rest.split_once('"').unwrap_or((rest.trim_end(), "")));
            if let Some((phrase, behind)) = quoted.filter(|(phrase, behind)| !phrase.is_empty() || !behind.is_empty()) {
                if !phrase.is_empty() {
                    pieces.push(Piece { text: folded(phrase), begins: false });
                }
                rest = behind.trim_start();
                continue;
            }
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len()).max(first.len_utf8());
            let word = &rest[..end];
            let stem = word.strip_suffix('*').filter(|stem| stem.ends_with(char::is_alphanumeric));
            pieces.push(Piece { text: folded(stem.unwrap_or(word)), begins: stem.is_some() });
            rest = rest[end..].trim_start();
        }
        if pieces.is_empty() {
            pieces.push(Piece { text: folded(text), begins: false });
        }
        Self { pieces }
    }

    /// Whether a text is what was looked for.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let text = folded(text);
        self.pieces
            .iter()
            .all(|piece| text.contains(&piece.text) && (!piece.begins || begins_a_word(&text, &piece.text)))
    }

    /// What is looked for, [folded](folded), piece by piece.
    #[cfg(feature = "sqlite")]
    pub(super) fn pieces(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().map(|piece| &*piece.text)
    }
}

/// A text as it is compared: in small letters, of each letter one spelling.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = if is_nfc(text) { text.to_lowercase() } else { text.nfc().collect::<String>().to_lowercase() };
    match lower.contains(['ё', 'ς']) {
        true => lower.replace('ё', "е").replace('ς', "σ"),
        false => lower,
    }
}

/// Whether `piece` stands in the text where nothing of a word is before it. Looked at from one beginning to the next:
/// as the same may begin within itself (`a-a` in `xa-a-a`), it is not enough to go on behind each place.
fn begins_a_word(text: &str, piece: &str) -> bool {
    let mut within = false;
    text.char_indices().any(|(at, character)| {
        let begins = !within && text[at..].starts_with(piece);
        within = character.is_alphanumeric();
        begins
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_and_beginnings_are_found_in_any_letter_case_and_script() {
        let fits = [
            ("breakfast", "Breakfasts at eight"),
            ("break fast", "Fast food breaks me"),
            ("  eight   BREAK ", "Breakfast at eight"),
            ("\"at eight\"", "breakfast AT Eight!"),
            ("\"at eight\" break*", "breakfast at eight"),
            ("brea*", "a breakfast"),
            ("brea*", "outbreak (breath)"),
            ("мир", "Привет, МИР!"),
            ("ПРИВ* мир", "мирный привет"),
            ("\"привет, мир\"", "ПРИВЕТ, Миру"),
            ("straß*", "Die STRAßE"),
            ("5*3", "it is 5*3=15"),
            ("say \"hi", "they say \"hi to us"),
            ("say \"to us ", "they say hi to us"),
            ("\"", "5\" wide"),
            ("*", "a * b"),
            ("\"\"", "empty \"\" quotes"),
            (" ", "a b"),
            ("𝄞x", "a 𝄞X b"),
            ("\"a  b\"", "a  b"),
            ("a-a*", "xa-a-a"),
            ("ещё елка", "Еще одна Ёлка"),
            ("елк*", "под ЁЛКОЙ"),
            ("\"все еще\"", "Всё ещё тут"),
            ("мой ёж", "мо\u{438}\u{306} е\u{308}ж"),
            ("cafe\u{301}", "CAFÉ"),
            ("οδοσ*", "ΟΔΟΣ"),
            ("\u{0}", "a\u{0}b"),
            ("near( or", "NEAR(a, 2) OR b"),
            ("body:x ^y {z}", "{z} ^y body:x"),
        ];
        for (query, text) in fits {
            assert!(Query::new(query).fits(text), "{query} in {text}");
        }
        let fails = [
            ("break fast", "outbreaks"),
            ("\"eight at\"", "at eight"),
            ("\"at eight\"", "at  eight"),
            ("\"at eight", "eight at"),
            ("break*", "outbreak"),
            ("реч*", "встреча"),
            (" ", "ab"),
            ("\"a\" b", "a"),
            ("5*3", "53"),
            ("a-a*", "xa-a"),
            ("cafe", "café"),
            ("not", "a OR b"),
        ];
        for (query, text) in fails {
            assert!(!Query::new(query).fits(text), "{query} in {text}");
        }
    }

    #[test]
    fn a_text_without_marks_is_found_wherever_it_stands_as_it_is() {
        for text in ["x", "see you", "a.b, c", "привет, мир", "\"open", "İstanbul", "\u{1}\u{1}", "ab\ncd"] {
            for said in [format!("…{text}…"), text.to_uppercase().to_lowercase(), format!("{text}{text}")] {
                if said.to_lowercase().contains(&text.to_lowercase()) {
                    assert!(Query::new(text).fits(&said), "{text:?} in {said:?}");
                }
            }
        }
    }
}
