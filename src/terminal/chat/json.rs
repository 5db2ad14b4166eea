//! Events as JSON objects, one a line, and commands as such.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::client::{Ability, Ask, Ended, Event, Happened, Heard, Place, State, TextId};
use crate::text::SafeText;

/// What a program asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::terminal) enum Order {
    Say {
        to: Option<String>,
        text: String,
        /// The program's own word for the text, which comes back.
        reference: Option<Value>,
    },
    Ask(Ask),
    Exit,
}

/// Reads a command.
///
/// # Errors
/// What is wrong with it.
pub(in crate::terminal) fn order(line: &str) -> Result<Order, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("this is not JSON: {error}"))?;
    let Value::Object(object) = value else { return Err("a command is a JSON object".to_owned()) };
    let mut fields = Fields(object);
    let what = fields.text("do")?.ok_or("a command says in \"do\" what to do")?;
    let order = match what.as_str() {
        "say" => Order::Say { text: fields.needed("text")?, to: fields.text("to")?, reference: fields.0.remove("ref") },
        "users" => Order::Ask(Ask::Users { room: fields.text("room")? }),
        "rooms" => Order::Ask(Ask::Rooms),
        "enter" => Order::Ask(Ask::Enter { room: fields.needed("room")? }),
        "create" => Order::Ask(Ask::Create { room: fields.needed("room")? }),
        "leave" => Order::Ask(Ask::Leave { room: fields.text("room")? }),
        "select" => Order::Ask(Ask::Select { to: fields.needed("to")? }),
        "rename" => Order::Ask(Ask::Rename { name: fields.needed("name")? }),
        "history" => {
            let (room, before, limit) = (fields.text("room")?, fields.number("before")?, fields.number("limit")?);
            let limit = limit.map_or(USUAL, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
            Order::Ask(Ask::History { room, before, limit })
        }
        "search" => {
            let (room, text, before) = (fields.text("room")?, fields.needed("text")?, fields.number("before")?);
            Order::Ask(Ask::Search { room, text, before })
        }
        "typing" => Order::Ask(Ask::Typing { room: fields.text("room")? }),
        "own" => Order::Ask(Ask::Own { command: fields.needed("command")? }),
        "exit" => Order::Exit,
        other => return Err(format!("nothing is called {other:?} here")),
    };
    match fields.0.keys().next() {
        Some(surplus) => Err(format!("{what:?} knows no {surplus:?}")),
        None => Ok(order),
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{key:?} is a text")),
        }
    }

    fn needed(&mut self, key: &str) -> Result<String, String> {
        self.text(key)?.ok_or_else(|| format!("{key:?} is missing"))
    }

    fn number(&mut self, key: &str) -> Result<Option<u64>, String> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("{key:?} is a whole number")),
        }
    }
}

/// The first line of all: what this client can do.
pub(in crate::terminal) fn hello(mode: &str, can: impl Fn(Ability) -> bool) -> String {
    let can: Vec<_> = ABILITIES.iter().filter(|(ability, _)| can(*ability)).map(|(_, word)| *word).collect();
    written(&json!({ "event": "hello", "version": env!("CARGO_PKG_VERSION"), "mode": mode, "can": can }))
}

/// Something that this program did not do.
pub(in crate::terminal) fn error(text: &str) -> String {
    written(&json!({ "event": "error", "text": text }))
}

/// What this program itself was asked for.
pub(in crate::terminal) fn answer(text: &str) -> String {
    written(&json!({ "event": "answer", "text": text }))
}

/// How the connection is.
pub(in crate::terminal) fn status(connection: &str, to: Option<&str>, waiting: usize) -> String {
    written(&json!({ "event": "status", "text": connection, "to": to, "waiting": waiting }))
}

/// A text that was taken.
pub(in crate::terminal) fn taken(id: &TextId, reference: Option<&Value>) -> String {
    written(&json!({ "event": "taken", "id": id.as_str(), "ref": reference }))
}

/// An event.
pub(in crate::terminal) fn event(event: &Event) -> String {
    let value = match event {
        Event::Connected { name, resumed } => json!({ "event": "connected", "name": name, "resumed": resumed }),
        Event::Lost { reason, retry_in } => {
            json!({ "event": "lost", "reason": reason, "retry_ms": u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX) })
        }
        Event::Ended(Ended::Left { unsettled }) => json!({ "event": "ended", "how": "left", "unsettled": unsettled }),
        Event::Ended(Ended::Refused(reason)) => json!({ "event": "ended", "how": "refused", "reason": reason }),
        Event::Ended(Ended::Lost(reason)) => json!({ "event": "ended", "how": "lost", "reason": reason }),
        // The hash is as secret as a password.
        Event::Account(account) => json!({ "event": "account", "name": account.nickname }),
        Event::Message(message) => {
            let mut value = said(message);
            value.insert("event".to_owned(), "message".into());
            Value::Object(value)
        }
        Event::Notice(text) => json!({ "event": "notice", "text": text }),
        Event::Restored { id, to, text } => {
            json!({ "event": "restored", "id": id.as_str(), "to": to, "text": &**text })
        }
        Event::State { id, state } => {
            let mut value = json!({ "event": "state", "id": id.as_str(), "state": state.word() });
            match state {
                State::Delivered { by, of } => (value["by"], value["of"]) = ((*by).into(), (*of).into()),
                State::Failed(reason) => value["reason"] = reason.as_str().into(),
                _ => {}
            }
            value
        }
        Event::Happened { room, user, what } => {
            let (word, to) = match what {
                Happened::Joined => ("joined", None),
                Happened::Left => ("left", None),
                Happened::Renamed(to) => ("renamed", Some(to)),
                Happened::Typing => ("typing", None),
            };
            let mut value = json!({ "event": "happened", "what": word, "room": room, "user": user });
            if let Some(to) = to {
                value["to"] = to.as_str().into();
            }
            value
        }
        Event::Users { room, names } => json!({ "event": "users", "room": room, "names": names }),
        Event::Rooms(rooms) => json!({ "event": "rooms", "names": rooms }),
        Event::Selected { to } => json!({ "event": "selected", "to": to }),
        Event::Gap { room, most } => json!({ "event": "gap", "room": room, "most": most }),
        Event::Found { room, text, messages, before, .. } => {
            let messages: Vec<_> = messages.iter().map(said).collect();
            let more = before.is_some();
            json!({ "event": "found", "room": room, "text": text, "messages": messages, "more": more, "before": before })
        }
        Event::HistoryEnd { room, complete } => {
            json!({ "event": "history_end", "room": room, "complete": complete })
        }
        Event::Refused { reason, code } => json!({ "event": "refused", "reason": reason, "code": code }),
    };
    written(&value)
}

fn said(message: &Heard) -> Map<String, Value> {
    let (place, room) = match &message.place {
        Place::Room(room) => ("room", Some(room.as_str())),
        Place::Direct => ("direct", None),
        Place::Open => ("open", None),
    };
    let (epoch, seq) = message.position.as_ref().map(|at| (at.epoch.as_str(), at.seq)).unzip();
    let value = json!({
        "event": "message",
        "place": place,
        "room": room,
        "from": message.from,
        "text": &*message.text,
        "at_ms": message.at.as_millis(),
        "epoch": epoch,
        "seq": seq,
        "id": message.id.as_ref().map(TextId::as_str),
        "past": message.past,
        "own": message.own,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// One line of ASCII control-free text: what a terminal would take for more than text is escaped.
pub(in crate::terminal) fn written(value: &Value) -> String {
    let plain = value.to_string();
    let mut safe = String::with_capacity(plain.len());
    for c in plain.chars() {
        // A character that is not shown as it is is no part of JSON's own notation.
        if c.is_ascii() && !c.is_ascii_control() || SafeText(c.encode_utf8(&mut [0; 4])).to_string().starts_with(c) {
            safe.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    safe
}

/// The words for what a client can do.
pub(super) const ABILITIES: &[(Ability, &str)] = &[
    (Ability::Say, "say"),
    (Ability::Direct, "direct"),
    (Ability::Users, "users"),
    (Ability::Rooms, "rooms"),
    (Ability::Enter, "enter"),
    (Ability::Create, "create"),
    (Ability::Leave, "leave"),
    (Ability::Select, "select"),
    (Ability::Rename, "rename"),
    (Ability::History, "history"),
    (Ability::Search, "search"),
    (Ability::Typing, "typing"),
    (Ability::Own, "own"),
];
/// Messages of a history, where none says how many.
const USUAL: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Timestamp;
    use std::time::Duration;

    #[test]
    fn commands_are_objects_that_say_what_to_do() {
        let say = order(r#"{"do":"say","text":"hi","to":"bob","ref":7}"#).unwrap();
        assert_eq!(say, Order::Say { to: Some("bob".into()), text: "hi".into(), reference: Some(7.into()) });
        assert_eq!(order(r#"{"do":"rooms"}"#), Ok(Order::Ask(Ask::Rooms)));
        assert_eq!(order(r#"{"do":"exit"}"#), Ok(Order::Exit));
        let history = Ask::History { room: Some("den".into()), before: Some(5), limit: 20 };
        assert_eq!(order(r#"{"do":"history","room":"den","before":5}"#), Ok(Order::Ask(history)));
        for (line, wanted) in [
            ("{", "not JSON"),
            ("[]", "JSON object"),
            ("{}", "\"do\""),
            (r#"{"do":"fly"}"#, "\"fly\""),
            (r#"{"do":"say"}"#, "\"text\" is missing"),
            (r#"{"do":"say","text":1}"#, "\"text\" is a text"),
            (r#"{"do":"history","limit":"x"}"#, "whole number"),
            (r#"{"do":"rooms","room":"den"}"#, "knows no \"room\""),
        ] {
            let error = order(line).unwrap_err();
            assert!(error.contains(wanted), "{line}: {error}");
        }
    }

    #[test]
    fn every_ability_has_its_word() {
        let said: Value = serde_json::from_str(&hello("room", |_| true)).unwrap();
        let words: Vec<_> = said["can"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        for word in &words {
            let object = json!({
                "do": match *word { "direct" => "say", word => word }, "text": "t", "room": "r", "to": "b", "name": "n", "command": "c",
            });
            // Each is something that can be asked for, by that word.
            let known = order(&object.to_string()).map_or_else(|error| !error.contains("is called"), |_| true);
            assert!(known, "{word}");
        }
        assert_eq!(words.len(), 13);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_leaves_in_json() {
        let line = event(&Event::Notice("a\u{1b}[2J\u{9b}b\u{202e}c\nd\u{7f} привет 👋".into()));
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(line.contains("привет 👋"));
        let back: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["text"], "a\u{1b}[2J\u{9b}b\u{202e}c\nd\u{7f} привет 👋");
    }

    #[test]
    fn events_say_what_they_are() {
        let id = TextId::new("7").unwrap();
        let heard = Heard {
            from: "bob".into(),
            text: "hi".into(),
            place: Place::Room("den".into()),
            at: Timestamp::from_millis(5),
            position: None,
            id: Some(id.clone()),
            past: true,
            own: false,
        };
        let state = |state| Event::State { id: id.clone(), state };
        for (told, line) in [
            (
                Event::Message(heard),
                r#"{"event":"message","place":"room","room":"den","from":"bob","text":"hi","at_ms":5,"epoch":null,"seq":null,"id":"7","past":true,"own":false}"#,
            ),
            (state(State::Queued), r#"{"event":"state","id":"7","state":"queued"}"#),
            (
                state(State::Delivered { by: 1, of: 2 }),
                r#"{"event":"state","id":"7","state":"delivered","by":1,"of":2}"#,
            ),
            (state(State::Failed("no".into())), r#"{"event":"state","id":"7","state":"failed","reason":"no"}"#),
            (
                Event::Lost { reason: "gone".into(), retry_in: Duration::from_millis(250) },
                r#"{"event":"lost","reason":"gone","retry_ms":250}"#,
            ),
            (
                Event::Happened { room: None, user: "bob".into(), what: Happened::Renamed("rob".into()) },
                r#"{"event":"happened","what":"renamed","room":null,"user":"bob","to":"rob"}"#,
            ),
            (Event::Ended(Ended::Left { unsettled: 0 }), r#"{"event":"ended","how":"left","unsettled":0}"#),
        ] {
            assert_eq!(event(&told), line);
        }
        assert_eq!(taken(&id, Some(&json!("a"))), r#"{"event":"taken","id":"7","ref":"a"}"#);
    }

    /// The rows of a table of the manual behind this head, by their cells.
    fn rows(head: &str) -> Vec<[&'static str; 2]> {
        let lines = include_str!("../../../docs/clients.md").lines().skip_while(|line| *line != head).skip(2);
        let cells = |line: &'static str| line.trim_matches('|').split_once('|').map(|(first, second)| [first, second]);
        lines.map_while(cells).collect()
    }

    /// What stands in backticks.
    fn quoted(text: &str) -> Vec<&str> {
        text.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_manual_lists_every_event_with_its_keys() {
        let id = TextId::new("7").unwrap();
        let heard = Heard {
            from: "bob".into(),
            text: "hi".into(),
            place: Place::Open,
            at: Timestamp::default(),
            position: None,
            id: None,
            past: false,
            own: false,
        };
        let told = [
            Event::Connected { name: None, resumed: None },
            Event::Lost { reason: String::new(), retry_in: Duration::ZERO },
            Event::Ended(Ended::Left { unsettled: 0 }),
            Event::Ended(Ended::Lost(String::new())),
            Event::Account(crate::client::Account { nickname: String::new(), hash: crate::secret::Secret::random() }),
            Event::Message(heard.clone()),
            Event::Notice(String::new()),
            Event::Restored { id: id.clone(), to: None, text: "".into() },
            Event::State { id: id.clone(), state: State::Delivered { by: 1, of: 1 } },
            Event::State { id: id.clone(), state: State::Failed(String::new()) },
            Event::Happened { room: None, user: String::new(), what: Happened::Renamed(String::new()) },
            Event::Users { room: None, names: Vec::new() },
            Event::Rooms(Vec::new()),
            Event::Selected { to: None },
            Event::Gap { room: String::new(), most: 1 },
            Event::Found {
                room: String::new(),
                text: String::new(),
                messages: vec![heard],
                from: None,
                before: Some(1),
            },
            Event::HistoryEnd { room: String::new(), complete: true },
            Event::Refused { reason: String::new(), code: None },
        ];
        let own = [hello("room", |_| true), taken(&id, None), error(""), answer(""), status("", None, 0)];
        let rows = rows("| event | keys |");
        let mut missing: Vec<_> = rows.iter().flat_map(|[event, _]| quoted(event)).collect();
        for line in told.iter().map(event).chain(own) {
            let said: Map<String, Value> = serde_json::from_str(&line).unwrap();
            let name = said["event"].as_str().unwrap();
            missing.retain(|event| *event != name);
            let row = rows.iter().find(|[event, _]| quoted(event) == [name]);
            let keys = quoted(row.unwrap_or_else(|| panic!("{name} has no row"))[1]);
            for key in said.keys().filter(|key| *key != "event") {
                assert!(keys.contains(&&**key), "{key} of {name}");
            }
        }
        assert!(missing.is_empty(), "there is no {missing:?}");
    }

    #[test]
    fn the_manual_lists_every_command_with_its_keys() {
        let rows = rows("| command | besides |");
        let mut words = Vec::new();
        for [commands, besides] in &rows {
            for command in quoted(commands) {
                assert!(order(command).is_ok(), "{command}");
                let mut object: Map<String, Value> = serde_json::from_str(command).unwrap();
                words.push(object["do"].as_str().unwrap().to_owned());
                for key in quoted(besides).into_iter().filter(|key| *key != "seq") {
                    let value = if ["before", "limit"].contains(&key) { 1.into() } else { "x".into() };
                    object.insert(key.to_owned(), value);
                }
                assert!(order(&Value::from(object.clone()).to_string()).is_ok(), "{object:?}");
            }
        }
        for (_, word) in ABILITIES.iter().filter(|(ability, _)| *ability != Ability::Direct) {
            assert!(words.iter().any(|listed| listed == word), "{word} has no row");
        }
    }
}
