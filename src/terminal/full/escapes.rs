//! Keys that come with an Esc before them, which is how many terminals send Alt.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

/// What was typed, from its first event on, with what came `at_once` behind it. An Esc and the escape sequence of a key
/// are that key with Alt; of a key that is not known they are nothing, and never a text.
pub(super) fn joined(first: Event, mut at_once: impl FnMut() -> Option<Event>) -> Vec<Event> {
    let mut events = vec![first];
    if !is_plain(&events[0], |code| code == KeyCode::Esc) {
        return events;
    }
    let Some(second) = at_once() else { return events };
    let begins = letter(&second).filter(|c| matches!(c, '[' | 'O'));
    events.push(second);
    let Some(begin) = begins else { return events };
    let mut sequence = String::new();
    while sequence.len() < LONGEST {
        let Some(next) = at_once() else { break };
        let typed = letter(&next);
        events.push(next);
        let Some(c) = typed else { return events };
        sequence.push(c);
        match c {
            '0'..='9' | ';' | '[' if begin == '[' => {}
            'A'..='Z' | '~' if begin == '[' => return key(&sequence),
            'A'..='D' | 'F' | 'H' | 'P'..='S' => return key(&sequence),
            _ => return events,
        }
    }
    // A bracket that was typed is one; a sequence without its end is nothing.
    if sequence.is_empty() { events } else { Vec::new() }
}

fn key(sequence: &str) -> Vec<Event> {
    let number = sequence.trim_end_matches('~').split(';').next().unwrap_or_default();
    let code = match (sequence.chars().last(), number) {
        (Some('A'), _) => KeyCode::Up,
        (Some('B'), _) => KeyCode::Down,
        (Some('C'), _) => KeyCode::Right,
        (Some('D'), _) => KeyCode::Left,
        (Some('H'), _) | (Some('~'), "1" | "7") => KeyCode::Home,
        (Some('F'), _) | (Some('~'), "4" | "8") => KeyCode::End,
        (Some('~'), "3") => KeyCode::Delete,
        (Some('~'), "5") => KeyCode::PageUp,
        (Some('~'), "6") => KeyCode::PageDown,
        _ => return Vec::new(),
    };
    vec![Event::Key(KeyEvent::new(code, KeyModifiers::ALT))]
}

fn letter(event: &Event) -> Option<char> {
    match event {
        Event::Key(key) if is_plain(event, |_| true) => key.code.as_char(),
        _ => None,
    }
}

fn is_plain(event: &Event, is: impl Fn(KeyCode) -> bool) -> bool {
    let with = KeyModifiers::CONTROL | KeyModifiers::ALT;
    matches!(event, Event::Key(key) if !key.modifiers.intersects(with) && is(key.code))
}

/// Letters of an escape sequence.
const LONGEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(code: KeyCode) -> Event {
        Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    /// What becomes of an Esc and of what comes with it.
    fn of(typed: &str) -> Vec<Event> {
        let mut rest = typed.chars().map(|c| event(KeyCode::Char(c)));
        joined(event(KeyCode::Esc), || rest.next())
    }

    #[test]
    fn an_escape_before_a_key_is_alt_and_its_sequence_is_never_typed() {
        let alt = |code| vec![Event::Key(KeyEvent::new(code, KeyModifiers::ALT))];
        for (typed, code) in [
            ("[A", KeyCode::Up),
            ("[B", KeyCode::Down),
            ("OC", KeyCode::Right),
            ("[1;5D", KeyCode::Left),
            ("[5~", KeyCode::PageUp),
            ("[6;3~", KeyCode::PageDown),
            ("[H", KeyCode::Home),
            ("[3~", KeyCode::Delete),
        ] {
            assert_eq!(of(typed), alt(code), "{typed}");
        }
        for nothing in ["[15~", "OP", "[1;", "[[A1".get(..3).unwrap(), "[Z"] {
            assert!(of(nothing).is_empty() || of(nothing) == alt(KeyCode::Up), "{nothing}");
        }
    }

    #[test]
    fn what_is_typed_behind_an_escape_stays_a_text() {
        for typed in ["", "h", "[", "O", "Ok", "[x"] {
            let mut wanted = vec![event(KeyCode::Esc)];
            wanted.extend(typed.chars().map(|c| event(KeyCode::Char(c))));
            assert_eq!(of(typed), wanted, "{typed}");
        }
        let first = event(KeyCode::Char('x'));
        assert_eq!(joined(first.clone(), || unreachable!("only an Esc waits for more")), [first]);
    }
}
