//! Events as lines for people.

use std::fmt::Display;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{Front, Manner};
use crate::client::{Event, Happened, Heard, Place, Refused, State};
use crate::message::Timestamp;
use crate::name::{Nickname, RoomName};
use crate::terminal::screen::{Beginning, Shown};
use crate::terminal::words::Word;

/// Where texts go and who the user is, which decides what must be said besides.
#[derive(Debug, Default)]
pub(in crate::terminal) struct Here {
    pub(in crate::terminal) name: Option<String>,
    pub(in crate::terminal) to: Option<String>,
    /// There was a connection before this one.
    pub(in crate::terminal) again: bool,
    /// Why there is no connection, as far as that was told: a night without one is a few lines.
    pub(in crate::terminal) reasons: Vec<String>,
}

impl Here {
    /// There is a connection.
    pub(in crate::terminal) fn connected(&mut self) {
        self.again = true;
        self.reasons.clear();
    }

    /// There is none, or still none; whether that is news.
    pub(in crate::terminal) fn lost(&mut self, reason: &str) -> bool {
        let news = self.reasons.len() < REASONS && !self.reasons.iter().any(|told| told == reason);
        if news {
            self.reasons.push(reason.to_owned());
        }
        news
    }

    /// Whether a connection was lost just now, and not missed for longer.
    fn broke(&self) -> bool {
        self.again && self.reasons.len() <= 1
    }
}

/// What an event has to say to people.
#[derive(Debug)]
pub(in crate::terminal) enum Telling<'a> {
    Notice(String),
    Error(String),
    Message(&'a Heard),
    /// Messages, the newest first, under a line of their own.
    Found(String, &'a [Heard]),
}

impl Manner {
    /// What an event has to say; nothing where it is no news for people.
    pub(in crate::terminal) fn telling<'a>(&self, event: &'a Event, here: &Here) -> Option<Telling<'a>> {
        let notice = |word, places: &[&dyn Display]| Some(Telling::Notice(self.language.say(word, places)));
        match event {
            Event::Connected { name, resumed } => match (resumed, name) {
                (None, _) if here.again => notice(Word::Again, &[]),
                (None, Some(name)) => notice(Word::ConnectedAs, &[name]),
                (None, None) => notice(Word::Connected, &[]),
                (Some(true), _) => notice(Word::AgainWhole, &[]),
                (Some(false), _) => notice(Word::AgainMissed, &[]),
            },
            Event::Lost { reason, .. } => {
                if let Some(taken) = self.taken(reason) {
                    return notice(Word::TryingAgain, &[&taken]);
                }
                let word = match (self.familiar, here.broke()) {
                    (true, true) => Word::ClosedByServer,
                    (true, false) => Word::Unable,
                    (false, true) => Word::Lost,
                    (false, false) => Word::Unreached,
                };
                // It is no error yet: what waits goes out when there is a connection again.
                notice(word, &[&self.server, reason])
            }
            Event::Account(account) => notice(Word::Account, &[&account.nickname]),
            Event::Message(message) => Some(Telling::Message(message)),
            Event::Notice(text) => Some(Telling::Notice(text.clone())),
            Event::Restored { text, .. } => notice(Word::Restored, &[&Beginning(text, self.language)]),
            Event::Happened { room, user, what } => {
                let what = match what {
                    Happened::Joined => self.language.say(Word::Joined, &[user]),
                    Happened::Left => self.language.say(Word::Left, &[user]),
                    Happened::Renamed(to) => self.language.say(Word::Renamed, &[user, to]),
                    Happened::Typing => return None,
                };
                Some(Telling::Notice(format!("{}{what}", elsewhere(room.as_deref(), here))))
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
            Event::Found { room, text, messages, from, before } => {
                let word = match (messages.is_empty(), from, before) {
                    (true, None, _) => Word::NothingFound,
                    (true, Some(_), _) => Word::NothingOlder,
                    (false, None, None) => Word::Found,
                    (false, None, Some(_)) => Word::FoundNewest,
                    (false, Some(_), _) => Word::FoundOlder,
                };
                let mut head = self.language.say(word, &[&messages.len(), room, text]);
                if before.is_some() {
                    head.push_str(self.language.text(Word::FoundMore));
                }
                if messages.is_empty() {
                    return Some(Telling::Notice(head));
                }
                head.push(':');
                Some(Telling::Found(head, messages))
            }
            Event::HistoryEnd { room, complete: true } => notice(Word::HistoryEnd, &[room]),
            // The end says the same.
            Event::Refused { code: Some(code), .. } if code == "unknown_token" => None,
            Event::Refused { reason, code } => {
                let advice = code.as_deref().and_then(|code| self.advice(reason, code));
                Some(Telling::Error(advice.unwrap_or_else(|| reason.clone())))
            }
            // States are shown when they stay, the end when it is known how.
            _ => None,
        }
    }

    /// Why something was not done, and what may be done instead; nothing where nothing is known.
    fn advice(&self, reason: &str, code: &str) -> Option<String> {
        let say = |word, places: &[&dyn Display]| Some(self.language.say(word, places));
        match (self.mode, code) {
            ("room", "no_room") => say(Word::MakeRoom, &[&reason, &missing_room(reason)?]),
            ("room", "not_in_room") => say(Word::EnterRoom, &[&reason, &left_room(reason)?]),
            ("room", "bad_room_name" | "bad_nickname") => say(Word::NameRule, &[&reason]),
            ("pair", "no_user") => say(Word::Awaited, &[&reason]),
            _ => None,
        }
    }

    /// What to do where a connection is refused because somebody has the name; nothing for any other reason.
    pub(in crate::terminal) fn taken(&self, reason: &str) -> Option<String> {
        taken_name(reason).map(|name| self.language.say(Word::NameTaken, &[&name]))
    }

    /// How far one's own text came.
    pub(in crate::terminal) fn step(&self, text: &dyn Display, state: &State) -> Telling<'static> {
        let say = |word, places: &[&dyn Display]| self.language.say(word, places);
        match state {
            State::Queued => Telling::Notice(say(Word::Queued, &[text])),
            State::Sent => Telling::Notice(say(Word::Sent, &[text])),
            State::Accepted => Telling::Notice(say(Word::Accepted, &[text])),
            State::Delivered { by, of } => Telling::Notice(say(Word::Delivered, &[text, by, of])),
            State::Failed(reason) => Telling::Error(say(Word::Failed, &[text, reason])),
        }
    }
}

impl Front {
    /// An event as people read it; nothing where it is no news for them.
    pub(super) fn told(&self, event: &Event, here: &Here) -> Option<Shown> {
        Some(self.shown(self.manner.telling(event, here)?, here))
    }

    fn shown(&self, telling: Telling<'_>, here: &Here) -> Shown {
        let style = self.screen.style();
        match telling {
            Telling::Notice(text) => style.notice(text),
            Telling::Error(text) => style.error(text),
            Telling::Message(message) => self.message(message, here),
            Telling::Found(head, messages) => {
                let (Shown::Out(mut lines) | Shown::Err(mut lines)) = style.notice(head);
                for message in messages.iter().rev() {
                    let (Shown::Out(line) | Shown::Err(line)) = self.message(message, here);
                    lines.push('\n');
                    lines.push_str(&line);
                }
                Shown::Out(lines)
            }
        }
    }

    /// Somebody's words. No name is shown that begins with a `#`, so nothing but a mark does.
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
        self.shown(self.manner.step(&Beginning(text, self.manner.language), state), &Here::default())
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

/// The room that there is not, in the words of the server, where it is one that can be made.
fn missing_room(reason: &str) -> Option<RoomName> {
    let room = reason.strip_prefix("room ")?.strip_suffix(" does not exist")?;
    RoomName::new(room).ok()
}

/// The room that this user is not in, in the words of the server.
fn left_room(reason: &str) -> Option<RoomName> {
    RoomName::new(reason.strip_prefix("you are not in room ")?).ok()
}

/// The name that somebody else has in the rooms, in the words of the server.
pub(in crate::terminal) fn taken_name(reason: &str) -> Option<Nickname> {
    let (name, _) = reason.strip_prefix("nickname ")?.split_once(" already taken")?;
    Nickname::new(name).ok()
}

/// Whole seconds, and never none.
pub(in crate::terminal) fn seconds(duration: Duration) -> u64 {
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

/// Reasons for which one and the same connection is missing that are told.
const REASONS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::words::Language;

    #[test]
    fn a_name_that_is_taken_is_no_server_that_is_not_reached() {
        let told = |manner: &Manner, reason: &str| {
            let lost = Event::Lost { reason: reason.into(), retry_in: Duration::from_secs(1) };
            match manner.telling(&lost, &Here::default()) {
                Some(Telling::Notice(text)) => text,
                other => panic!("{other:?}"),
            }
        };
        let manner = |language| Manner { server: "chat.example:7000".into(), language, ..Manner::default() };
        let (english, russian) = (manner(Language::English), manner(Language::Russian));
        let reason = "nickname ann already taken (403)";
        assert_eq!(
            told(&english, reason),
            "the name ann is taken; take another with --nick, or sign in with --account if it is yours; trying again"
        );
        let said = told(&russian, reason);
        assert!(said.contains("имя ann занято") && said.contains("--nick") && said.contains("--account"), "{said}");
        assert!(told(&english, "connection refused").starts_with("cannot reach chat.example:7000: "));
        assert_eq!(
            (taken_name("nickname  already taken"), taken_name("nickname a\nb already taken (403)")),
            (None, None)
        );
    }

    #[test]
    fn what_was_not_done_is_told_with_what_may_be_done() {
        let told = |mode, reason: &str, code: &str| {
            let manner = Manner { mode, ..Manner::default() };
            let refused = Event::Refused { reason: reason.into(), code: Some(code.into()) };
            match manner.telling(&refused, &Here::default()) {
                Some(Telling::Error(text)) => text,
                other => panic!("{other:?}"),
            }
        };
        for (mode, reason, code, advice) in [
            ("room", "room den does not exist", "no_room", "; :create den makes it"),
            ("room", "you are not in room den", "not_in_room", "; :enter den goes there"),
            ("room", "'tea room' is not a valid room name", "bad_room_name", ": it has 2 to 64 Latin letters, "),
            ("room", "'1x' is not a valid nickname", "bad_nickname", ": it has 2 to 64 Latin letters, "),
            ("pair", "bobby is not here", "no_user", "; what you type waits for them, "),
        ] {
            let told = told(mode, reason, code);
            assert!(told.strip_prefix(reason).is_some_and(|rest| rest.starts_with(advice)), "{told}");
        }
        // What a server words otherwise, or another kind of chat means by it, stays as it is.
        for (mode, reason, code) in [
            ("room", "you are not in room a\nb", "not_in_room"),
            ("room", "you are in no room", "not_in_room"),
            ("room", "user bob is not here", "no_user"),
            ("pair", "a: b is nobody's name, and no room's", "bad_nickname"),
        ] {
            assert_eq!(told(mode, reason, code), reason);
        }
    }

    #[test]
    fn why_there_is_no_connection_is_told_once_until_there_is_one() {
        let mut here = Here::default();
        assert!(here.lost("refused") && !here.broke(), "there never was one");
        assert!(!here.lost("refused"));
        assert!(here.lost("no route") && !here.lost("refused") && !here.lost("no route"));
        here.connected();
        assert!(here.lost("the server closed the connection") && here.broke());
        assert!(here.lost("refused") && !here.broke() && !here.lost("refused"));
        here.connected();
        assert_eq!((0..1000).filter(|n| here.lost(&n.to_string())).count(), REASONS);
    }
}
