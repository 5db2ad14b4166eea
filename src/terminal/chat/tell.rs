//! Events as lines for people.

use std::fmt::Display;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::Front;
use crate::client::{Event, Happened, Heard, Place, Refused, State};
use crate::message::Timestamp;
use crate::terminal::screen::{Beginning, Shown};
use crate::terminal::words::Word;

/// Where texts go and who the user is, which decides what must be said besides.
#[derive(Debug, Default)]
pub(super) struct Here {
    pub(super) name: Option<String>,
    pub(super) to: Option<String>,
    /// There was a connection before this one.
    pub(super) again: bool,
}

impl Front {
    /// An event as people read it; nothing where it is no news for them.
    pub(super) fn told(&self, event: &Event, here: &Here) -> Option<Shown> {
        let style = self.screen.style();
        let notice = |word, places: &[&dyn Display]| Some(style.notice(self.say(word, places)));
        match event {
            Event::Connected { name, resumed } => match (resumed, name) {
                (None, _) if here.again => notice(Word::Again, &[]),
                (None, Some(name)) => notice(Word::ConnectedAs, &[name]),
                (None, None) => notice(Word::Connected, &[]),
                (Some(true), _) => notice(Word::AgainWhole, &[]),
                (Some(false), _) => notice(Word::AgainMissed, &[]),
            },
            Event::Lost { reason, retry_in } => {
                let word = match (self.manner.familiar, here.again) {
                    (true, true) => Word::ClosedByServer,
                    (true, false) => Word::Unable,
                    (false, _) => Word::Lost,
                };
                // It is no error yet: what waits goes out when there is a connection again.
                notice(word, &[reason, &seconds(*retry_in)])
            }
            Event::Account(account) => notice(Word::Account, &[&account.nickname]),
            Event::Message(message) => Some(self.message(message, here)),
            Event::Notice(text) => Some(style.notice(text)),
            Event::Restored { text, .. } => notice(Word::Restored, &[&Beginning(text)]),
            Event::Happened { room, user, what } => {
                let what = match what {
                    Happened::Joined => self.say(Word::Joined, &[user]),
                    Happened::Left => self.say(Word::Left, &[user]),
                    Happened::Renamed(to) => self.say(Word::Renamed, &[user, to]),
                    Happened::Typing => return None,
                };
                Some(style.notice(format!("{}{what}", elsewhere(room.as_deref(), here))))
            }
            Event::Users { room, names } => {
                let (count, list) = (names.len(), names.join(", "));
                match room {
                    // Some servers tell only how many there are.
                    None if count == 1 && list.bytes().all(|b| b.is_ascii_digit()) => notice(Word::UserCount, &[&list]),
                    Some(room) => notice(Word::UsersIn, &[&count, &list, room]),
                    None => notice(Word::Users, &[&count, &list]),
                }
            }
            Event::Rooms(rooms) if rooms.is_empty() => notice(Word::NoRooms, &[]),
            Event::Rooms(rooms) => notice(Word::Rooms, &[&rooms.join(", ")]),
            Event::Selected { to: Some(to) } => notice(Word::GoTo, &[to]),
            Event::Selected { to: None } => notice(Word::ToNobody, &[]),
            Event::Gap { room, most } => notice(Word::Gap, &[most, room]),
            Event::Found { room, text, messages } if messages.is_empty() => notice(Word::NothingFound, &[room, text]),
            Event::Found { room, text, messages } => {
                let (Shown::Out(mut lines) | Shown::Err(mut lines)) =
                    style.notice(self.say(Word::Found, &[&messages.len(), room, text]));
                for message in messages.iter().rev() {
                    let (Shown::Out(line) | Shown::Err(line)) = self.message(message, here);
                    lines.push('\n');
                    lines.push_str(&line);
                }
                Some(Shown::Out(lines))
            }
            Event::HistoryEnd { room, complete: true } => notice(Word::HistoryEnd, &[room]),
            // The end says the same.
            Event::Refused { code: Some(code), .. } if code == "unknown_token" => None,
            Event::Refused { reason, .. } => Some(style.error(reason)),
            // States are shown when they stay, the end when it is known how.
            _ => None,
        }
    }

    /// Somebody's words. No nickname holds a `#`, so nothing but this can begin with one.
    fn message(&self, message: &Heard, here: &Here) -> Shown {
        let mut marks = match &message.place {
            Place::Room(room) => elsewhere(Some(room), here),
            Place::Direct => format!("#({}) ", self.manner.language.text(Word::Direct)),
            _ => String::new(),
        };
        if message.past {
            marks.push_str(&format!("#({}) ", local(message.at)));
        }
        self.screen.style().said(&marks, &message.from, &message.text)
    }

    /// How far one's own text came.
    pub(super) fn state(&self, text: &str, state: &State) -> Shown {
        let (style, text) = (self.screen.style(), Beginning(text));
        match state {
            State::Queued => style.notice(self.say(Word::Queued, &[&text])),
            State::Sent => style.notice(self.say(Word::Sent, &[&text])),
            State::Accepted => style.notice(self.say(Word::Accepted, &[&text])),
            State::Delivered { by, of } => style.notice(self.say(Word::Delivered, &[&text, by, of])),
            State::Failed(reason) => style.error(self.say(Word::Failed, &[&text, reason])),
        }
    }
}

impl Front {
    /// Why the client does not do what it was asked.
    pub(super) fn refused(&self, refused: &Refused) -> String {
        match refused {
            Refused::Unsupported => self.say(Word::Unsupported, &[]),
            Refused::Full(most) => self.say(Word::Full, &[most]),
            Refused::Nowhere => self.say(Word::Nowhere, &[]),
            Refused::Length(longest) => self.say(Word::Length, &[longest]),
            Refused::NotKept(error) => self.say(Word::NotKept, &[error]),
            _ => self.say(Word::HasEnded, &[]),
        }
    }
}

/// Whole seconds, and never none.
pub(super) fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

/// A mark of the room, where that is not the one that texts go to.
fn elsewhere(room: Option<&str>, here: &Here) -> String {
    match room {
        Some(room) if here.to.as_deref() != Some(room) => format!("#{room} "),
        _ => String::new(),
    }
}

fn local(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}
