//! Text from strangers: what is cleaned is clean, and what a screen is shown can steer no screen.
#![no_main]

use libfuzzer_sys::fuzz_target;
use talk::name::{Nickname, UserName};
use talk::text::{SafeText, clean, one_line};

fuzz_target!(|text: &str| {
    let cleaned = clean(text);
    assert!(!cleaned.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    assert_eq!(clean(&cleaned), cleaned);
    assert!(cleaned.len() <= text.len());

    let flat = one_line(text);
    assert!(!flat.chars().any(breaks_a_line));
    assert_eq!(one_line(&flat), flat);
    assert_eq!(flat.lines().count(), usize::from(!flat.is_empty()));

    let shown = SafeText(text).to_string();
    assert!(!shown.chars().any(|c| c.is_control() || breaks_a_line(c) || steers(c)));
    assert_eq!(SafeText(&shown).to_string(), shown);

    if let Ok(name) = UserName::new(text) {
        assert_eq!(SafeText(name.as_str()).to_string(), text);
    }
    if let Ok(name) = Nickname::new(text) {
        assert!(!shown.contains(char::REPLACEMENT_CHARACTER) || text.contains(char::REPLACEMENT_CHARACTER));
        assert_eq!(one_line(name.as_str()), text);
    }
});

fn breaks_a_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Bidi embeddings, overrides and isolates.
fn steers(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}
