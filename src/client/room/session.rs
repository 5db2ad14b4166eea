//! What one run of a client leaves to the next: its token, its rooms, and what it heard.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tracing::warn;

use crate::files::{beside, make};
use crate::message::{Epoch, Position, RoomKey};
use crate::name::RoomName;
use crate::secret::Secret;

/// The file.
#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    server: String,
    nickname: String,
    /// What was written last.
    written: String,
}

/// What is in it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) token: Option<Secret>,
    /// What this user is called by now.
    pub(super) name: Option<String>,
    pub(super) rooms: Vec<(RoomName, Option<Position>)>,
    /// This user's direct messages.
    pub(super) direct: Option<(RoomKey, Position)>,
}

impl Session {
    /// The file, if it can be written, and what is in it, if that is of this server and nickname.
    pub(super) fn open(path: PathBuf, server: &str, nickname: &str) -> (Option<Self>, Kept) {
        // What is no file, as a pipe, may be waited for without end.
        let may_be_read = fs::metadata(&path).is_ok_and(|about| about.is_file() && about.len() <= MOST_BYTES);
        let bytes = may_be_read.then(|| fs::read(&path).ok()).flatten();
        let value: Value = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let is = |key: &str, wanted: &str| value.get(key).and_then(Value::as_str) == Some(wanted);
        let kept = if is("server", server) && is("nickname", nickname) { read(&value) } else { Kept::default() };
        let (server, nickname) = (server.to_owned(), nickname.to_owned());
        (Some(Self { path, server, nickname, written: String::new() }), kept)
    }

    /// Replaces what is in it. When that fails the next run knows less, and no text is lost.
    pub(super) fn write(
        &mut self,
        token: Option<&Secret>,
        name: &str,
        rooms: impl Iterator<Item = (RoomName, Option<Position>)>,
        direct: Option<(&RoomKey, &Position)>,
    ) {
        let rooms: Vec<_> = rooms
            .map(|(room, at)| json!({ "room": room, "epoch": at.as_ref().map(|at| at.epoch.as_str()), "seq": at.as_ref().map(|at| at.seq) }))
            .collect();
        let direct =
            direct.map(|(key, at)| json!({ "room": key.to_string(), "epoch": at.epoch.as_str(), "seq": at.seq }));
        let token = token.map(Secret::reveal);
        let text = json!({
            "server": self.server, "nickname": self.nickname, "name": name, "token": token, "rooms": rooms, "direct": direct
        });
        let text = text.to_string();
        if text == self.written {
            return;
        }
        // It is written while messages come: after a power cut the next run may know less.
        let draft = beside(&self.path, ".new");
        match make(&draft, text.as_bytes()).and_then(|_| fs::rename(&draft, &self.path)) {
            Ok(()) => self.written = text,
            Err(error) => warn!(path = %self.path.display(), %error, "the session cannot be kept"),
        }
    }
}

fn read(value: &Value) -> Kept {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let at = |value: &Value| {
        Some(Position { epoch: Epoch::new(&text(value, "epoch")?).ok()?, seq: value.get("seq")?.as_u64()? })
    };
    let room = |value: &Value| Some((RoomName::new(&text(value, "room")?).ok()?, at(value)));
    let direct = |value: &Value| {
        let key = RoomKey::parse(&text(value, "room")?).filter(|key| matches!(key, RoomKey::Direct(_)))?;
        Some((key, at(value)?))
    };
    let rooms = value.get("rooms").and_then(Value::as_array).into_iter().flatten();
    Kept {
        token: text(value, "token").and_then(|token| Secret::new(&token).ok()),
        name: text(value, "name"),
        rooms: rooms.filter_map(room).collect(),
        direct: value.get("direct").and_then(direct),
    }
}

/// Bytes of the file that are read.
const MOST_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_as_it_was_written_by_the_same_user_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session");
        let (session, kept) = Session::open(path.clone(), "http://a", "ann");
        assert!(kept.token.is_none() && kept.rooms.is_empty());
        let at = Position { epoch: Epoch::new("e").unwrap(), seq: 7 };
        let den = RoomName::new("den").unwrap();
        // A draft that a crash left, as others may read it.
        fs::write(dir.path().join("session.new"), "{").unwrap();
        let rooms = || [(RoomName::global(), Some(at.clone())), (den.clone(), None)].into_iter();
        let token = Secret::random();
        let direct = RoomKey::parse(&format!("@{:032x}", 7)).unwrap();
        session.unwrap().write(Some(&token), "anna", rooms(), Some((&direct, &at)));
        let (_, kept) = Session::open(path.clone(), "http://a", "ann");
        assert_eq!(kept.token.unwrap().reveal(), token.reveal());
        assert_eq!((kept.name.as_deref(), kept.rooms), (Some("anna"), rooms().collect::<Vec<_>>()));
        assert_eq!(kept.direct, Some((direct, at)));
        for (server, nickname) in [("http://b", "ann"), ("http://a", "bob")] {
            assert!(Session::open(path.clone(), server, nickname).1.token.is_none());
        }
        // A pipe would be waited for.
        #[cfg(unix)]
        {
            let pipe = dir.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            assert!(Session::open(pipe, "http://a", "ann").1.token.is_none());
        }
        fs::write(&path, "{\"server\":").unwrap();
        assert!(Session::open(path.clone(), "http://a", "ann").1.token.is_none());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
