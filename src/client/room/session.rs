//! What one run of a client leaves to the next: its token, its rooms, and what it heard.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};
use tracing::warn;

use crate::message::{Epoch, Position};
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
}

impl Session {
    /// The file, if it can be written, and what is in it, if that is of this server and nickname.
    pub(super) fn open(path: PathBuf, server: &str, nickname: &str) -> (Option<Self>, Kept) {
        let bytes = fs::metadata(&path).ok().filter(|file| file.len() <= MOST_BYTES).and_then(|_| fs::read(&path).ok());
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
    ) {
        let rooms: Vec<_> = rooms
            .map(|(room, at)| json!({ "room": room, "epoch": at.as_ref().map(|at| at.epoch.as_str()), "seq": at.as_ref().map(|at| at.seq) }))
            .collect();
        let token = token.map(Secret::reveal);
        let text =
            json!({ "server": self.server, "nickname": self.nickname, "name": name, "token": token, "rooms": rooms });
        let text = text.to_string();
        if text == self.written {
            return;
        }
        match self.replace(text.as_bytes()) {
            Ok(()) => self.written = text,
            Err(error) => warn!(path = %self.path.display(), %error, "the session cannot be kept"),
        }
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        // One that was left there may be open to others, or somebody else's.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        fs::rename(&new, &self.path)
    }
}

fn read(value: &Value) -> Kept {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let room = |value: &Value| {
        let at = text(value, "epoch").and_then(|epoch| Epoch::new(&epoch).ok()).zip(value.get("seq")?.as_u64());
        Some((RoomName::new(&text(value, "room")?).ok()?, at.map(|(epoch, seq)| Position { epoch, seq })))
    };
    let rooms = value.get("rooms").and_then(Value::as_array).into_iter().flatten();
    Kept {
        token: text(value, "token").and_then(|token| Secret::new(&token).ok()),
        name: text(value, "name"),
        rooms: rooms.filter_map(room).collect(),
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
        session.unwrap().write(Some(&token), "anna", rooms());
        let (_, kept) = Session::open(path.clone(), "http://a", "ann");
        assert_eq!(kept.token.unwrap().reveal(), token.reveal());
        assert_eq!((kept.name.as_deref(), kept.rooms), (Some("anna"), rooms().collect::<Vec<_>>()));
        for (server, nickname) in [("http://b", "ann"), ("http://a", "bob")] {
            assert!(Session::open(path.clone(), server, nickname).1.token.is_none());
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
