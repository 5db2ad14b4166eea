//! Names: parsed once at the edge, then carried as types that cannot hold a bad one.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use unicode_normalization::is_nfc;

use crate::text::is_invisible;

/// The longest name in bytes (user and room names) or characters (nicknames): a constant of the format.
pub const MAX_NAME: usize = 64;

/// Why a name was refused; the display text says what would be right, so it can be shown to whoever typed it.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The name has more than [`MAX_NAME`] bytes or characters.
    #[error("a name has at most {MAX_NAME} characters")]
    TooLong,
    /// The name holds a character that its kind does not allow.
    #[error("{0:?} is not allowed in a name: use letters A-Z a-z, digits, '_', '.' and '-'")]
    Character(char),
    /// The name is `.` or `..`, which paths give a meaning of their own.
    #[error("'.' and '..' are not names")]
    Dots,
    /// The name belongs to the system (see [`is_reserved`]).
    #[error("this name is reserved; choose another")]
    Reserved,
    /// A nickname that could be mistaken for another: not in NFC, or invisible, or edged with spaces.
    #[error("a nickname is printable text in Unicode NFC without '#', ': ' and outer spaces")]
    Misleading,
}

macro_rules! ascii_name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        ///
        /// `[A-Za-z0-9_.-]{1,64}`, compared byte for byte, never `.` or `..`. Cloning is cheap.
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Parses a name.
            ///
            /// # Errors
            /// [`NameError`] says which rule was broken.
            pub fn new(name: &str) -> Result<Self, NameError> {
                check_ascii(name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

ascii_name! {
    /// The name of a user in a registry, and of the sender of a peer's message.
    UserName
}

ascii_name! {
    /// The name of a room.
    RoomName
}

impl RoomName {
    /// The room that every plain session enters on connecting, and that never vanishes.
    #[must_use]
    pub fn global() -> Self {
        Self("global".into())
    }
}

/// Whether `name` is one of the names that no user may take on any wire, in any letter case:
/// `system`, `server`, `talk`, `healthCheck`.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Whether a name is one that the room protocol can carry: `[A-Za-z_][A-Za-z0-9_-]+`, at most [`MAX_NAME`] bytes.
#[must_use]
pub fn is_room_protocol_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    (2..=MAX_NAME).contains(&name.len())
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Whether a character looks like a space and is another: by one, `bob: hi` could be a nickname, and `bob ` another's.
pub(crate) fn is_blank(c: char) -> bool {
    (c.is_whitespace() && c != ' ') || c == BRAILLE_BLANK
}

/// Whether a character only changes how the one before it looks, if at all: in a text that is harmless.
pub(crate) fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
}

const BRAILLE_BLANK: char = '\u{2800}';

/// The name under which some registries send their health checks as ordinary messages.
pub const HEALTH_CHECK: &str = "healthCheck";

const SERVER: &str = "talk";
const RESERVED: [&str; 4] = ["system", "server", SERVER, HEALTH_CHECK];
/// Stands between a name and its number.
const NUMBER: char = '#';

fn check_ascii(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
        return Err(NameError::Character(bad));
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots);
    }
    Ok(())
}

/// What a person calls themselves in a room: 1 to 64 printable characters in NFC, no control, bidi,
/// zero-width or line-break character, no space but the common one, no `#`, no `: `, no outer spaces, not reserved.
///
/// Each wire narrows this further; the engine's key is never the nickname.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Nickname(Arc<str>);

impl Nickname {
    /// Parses a nickname.
    ///
    /// # Errors
    /// [`NameError`] says which rule was broken.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.chars().nth(MAX_NAME).is_some() {
            return Err(NameError::TooLong);
        }
        let misleading = name.contains(NUMBER)
            || name.contains(": ")
            || name.trim() != name
            || name.chars().any(|c| c.is_control() || is_invisible(c) || is_blank(c) || is_selector(c))
            || !is_nfc(name);
        if misleading {
            return Err(NameError::Misleading);
        }
        if is_reserved(name) {
            return Err(NameError::Reserved);
        }
        Ok(Self(name.into()))
    }

    /// What somebody is called who came by a name that was taken, on a wire that allows that: `alice#2`. A name that
    /// somebody chooses holds no `#`, so nobody can pass for another by it.
    ///
    /// # Errors
    /// [`NameError::Misleading`] when `name` has a number already, or `number` is below 2.
    pub fn numbered(name: &Self, number: u32) -> Result<Self, NameError> {
        if number < 2 || name.0.contains(NUMBER) {
            return Err(NameError::Misleading);
        }
        Ok(Self(format!("{name}{NUMBER}{number}").into()))
    }

    /// Parses a nickname that somebody may have, numbered or not: to look a user up, not to name one.
    ///
    /// # Errors
    /// As for [`Nickname::new`].
    pub fn known(name: &str) -> Result<Self, NameError> {
        let Some((chosen, number)) = name.rsplit_once(NUMBER) else { return Self::new(name) };
        let numbered = Self::numbered(&Self::new(chosen)?, number.parse().map_err(|_| NameError::Misleading)?)?;
        // Numbers have other spellings.
        if numbered.as_str() == name { Ok(numbered) } else { Err(NameError::Misleading) }
    }

    /// What the server itself is called where it says something: reserved, so nobody else is.
    pub(crate) fn server() -> Self {
        Self(SERVER.into())
    }

    /// The nickname as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_hold_exactly_the_documented_alphabet() {
        for good in ["a", "bob", "A.b_c-9", "...", "-", "_", &"x".repeat(64)] {
            assert!(UserName::new(good).is_ok(), "{good}");
        }
        for byte in 0u8..=127 {
            let c = byte as char;
            let allowed = c.is_ascii_alphanumeric() || "_.-".contains(c);
            assert_eq!(UserName::new(&format!("a{c}")).is_ok(), allowed, "{c:?}");
        }
    }

    #[test]
    fn user_names_refuse_what_a_path_or_a_terminal_would_misread() {
        assert_eq!(UserName::new(""), Err(NameError::Empty));
        assert_eq!(UserName::new("."), Err(NameError::Dots));
        assert_eq!(UserName::new(".."), Err(NameError::Dots));
        assert_eq!(UserName::new(&"x".repeat(65)), Err(NameError::TooLong));
        for bad in ["a b", "a/b", "боб", "a\u{0}", "a\u{202e}", "a\n", "%41"] {
            assert!(matches!(UserName::new(bad), Err(NameError::Character(_))), "{bad:?}");
        }
    }

    #[test]
    fn names_are_compared_byte_for_byte() {
        assert_ne!(UserName::new("Bob"), UserName::new("bob"));
    }

    #[test]
    fn reserved_names_are_reserved_in_any_letter_case() {
        for name in ["system", "SYSTEM", "Server", "tAlk", "HEALTHCHECK", "healthCheck"] {
            assert!(is_reserved(name), "{name}");
            assert_eq!(Nickname::new(name), Err(NameError::Reserved));
        }
        assert!(!is_reserved("talker"));
    }

    #[test]
    fn the_room_protocol_takes_letters_first_and_two_characters_at_least() {
        for good in ["ab", "_1", "A-", "a_b-9", &"x".repeat(64)] {
            assert!(is_room_protocol_name(good), "{good}");
        }
        for bad in ["", "a", "1bad", "-ab", "a.b", "a b", "ab\n", "\u{430}\u{431}", "a\0", &"x".repeat(65)] {
            assert!(!is_room_protocol_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn nicknames_are_printable_and_cannot_pass_for_another() {
        for good in ["Zen tester", "саша", "日本", "o'neil", "a:b", &"я".repeat(64)] {
            assert!(Nickname::new(good).is_ok(), "{good}");
        }
        for bad in [
            "a#2",
            "a: b",
            " a",
            "a ",
            "a\u{7}",
            "a\u{85}",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "e\u{301}",
            "a\u{feff}",
            "a:\u{a0}b",
            "a:\u{3000}b",
            "a\u{2002}b",
            "a\u{2800}",
            "a\u{fe0f}",
            "a\u{1d173}",
        ] {
            assert_eq!(Nickname::new(bad), Err(NameError::Misleading), "{bad:?}");
        }
        assert_eq!(Nickname::new(&"я".repeat(65)), Err(NameError::TooLong));
    }

    #[test]
    fn numbered_names_are_known_and_never_chosen() {
        let alice = Nickname::new("alice").unwrap();
        let second = Nickname::numbered(&alice, 2).unwrap();
        assert_eq!(second.as_str(), "alice#2");
        assert_eq!(Nickname::known("alice#2"), Ok(second.clone()));
        assert_eq!(Nickname::known("alice"), Ok(alice.clone()));
        assert!(Nickname::new("alice#2").is_err());
        assert!(Nickname::numbered(&alice, 1).is_err() && Nickname::numbered(&second, 3).is_err());
        for bad in
            ["alice#1", "alice#02", "alice#+2", "alice#", "#2", "alice#2#3", "alice#4294967296", "talk#2", "al: ice#2"]
        {
            assert!(Nickname::known(bad).is_err(), "{bad}");
        }
        let long = Nickname::new(&"я".repeat(64)).unwrap();
        assert_eq!(
            Nickname::known(Nickname::numbered(&long, 12).unwrap().as_str()).unwrap().as_str().chars().count(),
            67
        );
    }
}
