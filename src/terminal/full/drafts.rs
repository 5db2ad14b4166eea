//! What is half typed, kept for the next start: a private file, whole or not at all.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::view::View;
use super::window::Key;
use crate::files::{beside, replace};
use crate::terminal::secrets::open_file;

/// Texts by the place that they are for, as a client names it.
type Texts = BTreeMap<String, String>;

/// The file.
#[derive(Debug)]
pub(super) struct Drafts {
    path: PathBuf,
    /// What is in it, as far as is known.
    kept: Texts,
    /// Those of conversations that are not open yet.
    apart: Texts,
}

impl Drafts {
    /// What the last run left. What cannot be read is not there: nobody is kept from talking by that.
    fn open(path: PathBuf) -> Self {
        let kept = read(&path).unwrap_or_else(|error| {
            tracing::debug!(%error, "what was half typed cannot be read");
            Texts::new()
        });
        Self { path, apart: kept.clone(), kept }
    }
}

impl View {
    /// Shows again what was being typed when the last run ended, each where it was.
    pub(super) fn restore_drafts(&mut self, path: PathBuf) {
        let drafts = self.drafts.insert(Drafts::open(path));
        let users: Vec<Key> = drafts.apart.keys().map(|place| Key::parse(Some(place))).collect();
        for at in 0..self.windows.len() {
            self.give_draft(at);
        }
        // Somebody to whom one was writing has a window again. A room has one when one is there.
        for key in users.iter().filter(|key| matches!(key, Key::User(_))) {
            self.at(key, false);
        }
    }

    /// Gives a window that is new, or has its name now, what was being typed there.
    pub(super) fn give_draft(&mut self, at: usize) {
        let (Some(drafts), Some(window)) = (&mut self.drafts, self.windows.get_mut(at)) else { return };
        let text = window.key.place().and_then(|place| drafts.apart.remove(&place));
        if let Some(text) = text.filter(|_| window.editor.is_empty()) {
            window.editor.set(&text);
        }
    }

    /// What is to be written, if that is news, and where.
    pub(super) fn news_of_drafts(&mut self) -> Option<Draft> {
        let drafts = self.drafts.as_mut()?;
        let open = self.windows.iter().filter_map(|window| Some((window.key.place()?, window.editor.text())));
        let apart = drafts.apart.iter().map(|(place, text)| (place.clone(), text.as_str()));
        let (mut texts, mut bytes) = (Texts::new(), 0);
        // What is open is newer than what waits.
        for (place, text) in open.chain(apart).filter(|(_, text)| !text.trim().is_empty()) {
            if texts.len() >= MOST {
                break;
            }
            // One that is too long leaves the others their room.
            if bytes + text.len() <= BYTES {
                bytes += text.len();
                texts.insert(place, text.to_owned());
            }
        }
        if texts == drafts.kept {
            return None;
        }
        drafts.kept.clone_from(&texts);
        Some(Draft { path: drafts.path.clone(), texts })
    }
}

/// Something to write.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    texts: Texts,
}

impl Draft {
    /// Waits for the disk.
    pub(super) fn write(&self) {
        let written = serde_json::to_vec(&self.texts).map_err(io::Error::other);
        let written = written.and_then(|bytes| replace(&self.path, &beside(&self.path, ".new"), &bytes));
        // A full disk must not end a conversation.
        if let Err(error) = written {
            tracing::debug!(%error, "what is half typed cannot be kept");
        }
    }
}

/// When it is written: some moments after a key, and one at a time.
#[derive(Debug, Default)]
pub(super) struct Saving {
    due: Option<Instant>,
    writing: Option<JoinHandle<()>>,
}

impl Saving {
    /// Something was typed.
    pub(super) fn touch(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + DELAY);
    }

    /// Waits until something is to be written; never, while nothing is.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn due(&mut self) {
        self.over().await;
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
        self.due = None;
    }

    /// Writes, by a thread of its own: keys do not wait for a disk.
    pub(super) fn begin(&mut self, draft: Draft) {
        self.writing = Some(tokio::task::spawn_blocking(move || draft.write()));
    }

    /// Waits until what is being written has been.
    pub(super) async fn over(&mut self) {
        if let Some(writing) = &mut self.writing {
            let _ = writing.await;
            self.writing = None;
        }
    }
}

fn read(path: &std::path::Path) -> io::Result<Texts> {
    let file = match open_file(OpenOptions::new().read(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Texts::new()),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    let last: Last = serde_json::from_slice(&bytes)?;
    Ok(last.0.into_iter().collect())
}

/// The last [`MOST`] of a file that can be drafts, however many it has.
struct Last(VecDeque<(String, String)>);

impl<'de> Deserialize<'de> for Last {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Last;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by place")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Last, A::Error> {
                let mut last = VecDeque::new();
                while let Some((place, text)) = map.next_entry::<String, String>()? {
                    if Key::parse(Some(&place)).place().as_ref() == Some(&place) && text.len() <= BYTES {
                        if last.len() >= MOST {
                            last.pop_front();
                        }
                        last.push_back((place, text));
                    }
                }
                Ok(Last(last))
            }
        }

        from.deserialize_map(Reader)
    }
}

/// How long what was typed may be lost.
const DELAY: Duration = Duration::from_millis(500);
/// Bytes of all texts that are kept: as many as one that is typed may have.
const BYTES: usize = 1024 * 1024;
/// Texts that are kept, and read: far more than there are windows.
const MOST: usize = 1024;
/// Bytes of the file that are read: a letter takes six at most.
const LONGEST: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::chat::Manner;
    use tokio::sync::mpsc;

    /// A screen of these rooms, and what it would write.
    fn started(path: &std::path::Path, rooms: &[&str]) -> View {
        let mut view = View::new(Manner { mode: "room", ..Manner::default() }, mpsc::channel(1).0);
        for room in rooms {
            view.at(&Key::Room((*room).to_owned()), false);
        }
        view.restore_drafts(path.to_owned());
        view
    }

    fn types(view: &mut View, key: &Key, text: &str) {
        let at = view.at(key, true).unwrap();
        view.windows[at].editor.set(text);
    }

    fn typed(view: &View) -> Vec<(Option<String>, &str)> {
        view.windows.iter().map(|window| (window.key.place(), window.editor.text())).collect()
    }

    #[test]
    fn each_conversation_has_again_what_was_being_typed_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.drafts");
        let mut view = started(&path, &["tea", "den"]);
        assert!(view.news_of_drafts().is_none(), "nothing is typed");
        types(&mut view, &Key::Room("tea".into()), "полстро\nки");
        types(&mut view, &Key::Room("attic".into()), "later");
        types(&mut view, &Key::User("bob".into()), "psst");
        view.news_of_drafts().unwrap().write();
        assert!(view.news_of_drafts().is_none(), "it is no news any more");
        // One room is not entered at first.
        let mut view = started(&path, &["tea", "den"]);
        let place = |place: &str| Some(place.to_owned());
        let shown = [(place("#tea"), "полстро\nки"), (place("#den"), ""), (place("@bob"), "psst")];
        assert_eq!(typed(&view), shown);
        assert!(view.news_of_drafts().is_none());
        types(&mut view, &Key::User("bob".into()), "");
        view.news_of_drafts().unwrap().write();
        let mut view = started(&path, &["tea"]);
        assert_eq!(typed(&view).len(), 1);
        view.at(&Key::Room("attic".into()), true);
        assert_eq!(typed(&view)[1], (place("#attic"), "later"));
    }

    #[test]
    fn what_is_typed_already_stays_and_what_is_damaged_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.drafts");
        for damaged in ["", "{", "[1]", "{\"#tea\": 5}", "{\"tea\": \"x\", \"\": \"y\"}"] {
            std::fs::write(&path, damaged).unwrap();
            let view = started(&path, &["tea"]);
            assert_eq!(typed(&view), [(Some("#tea".to_owned()), "")], "{damaged}");
        }
        std::fs::write(&path, "{\"#tea\": \"old\"}").unwrap();
        let mut view = View::new(Manner { mode: "room", ..Manner::default() }, mpsc::channel(1).0);
        types(&mut view, &Key::Room("tea".into()), "new");
        view.restore_drafts(path);
        assert_eq!(typed(&view)[0].1, "new");
    }

    #[test]
    fn what_is_kept_is_bounded_and_one_long_text_leaves_the_others_their_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.drafts");
        let mut view = started(&path, &[]);
        types(&mut view, &Key::User("ann".into()), "short");
        types(&mut view, &Key::User("bob".into()), &"\u{1}".repeat(BYTES - 5));
        types(&mut view, &Key::User("carol".into()), "too many");
        view.news_of_drafts().unwrap().write();
        let view = started(&path, &[]);
        assert_eq!(typed(&view).iter().map(|(_, text)| text.len()).collect::<Vec<_>>(), [5, BYTES - 5]);
    }

    #[test]
    fn no_more_are_read_than_are_kept_and_the_newest_win() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.drafts");
        let many: Vec<_> = (0..MOST + 500).map(|n| format!("\"#room-{n}\": \"x\"")).collect();
        std::fs::write(&path, format!("{{{}}}", many.join(", "))).unwrap();
        let mut view = started(&path, &["tea"]);
        let apart = |view: &View| view.drafts.as_ref().unwrap().apart.clone();
        assert_eq!(apart(&view).len(), MOST);
        assert!(apart(&view).contains_key("#room-500") && !apart(&view).contains_key("#room-499"));
        // What is typed now takes the place of one that waits.
        types(&mut view, &Key::Room("tea".into()), "new");
        view.news_of_drafts().unwrap().write();
        let view = started(&path, &["tea"]);
        assert_eq!((typed(&view), apart(&view).len()), (vec![(Some("#tea".to_owned()), "new")], MOST - 1));
    }

    #[tokio::test]
    async fn the_terminal_is_given_back_before_a_disk_is_waited_for_and_what_is_typed_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.drafts");
        let mut view = started(&path, &[]);
        types(&mut view, &Key::User("ann".into()), "one");
        let (let_go, hangs) = std::sync::mpsc::channel::<()>();
        let writing = tokio::task::spawn_blocking(move || hangs.recv().unwrap());
        let saving = Saving { due: None, writing: Some(writing) };
        let ends = super::super::end(&mut view, saving, |_| {
            assert!(!path.exists());
            let_go.send(()).unwrap();
        });
        tokio::time::timeout(Duration::from_secs(60), ends).await.expect("nothing is waited for before");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"@ann\":\"one\"}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_written_some_moments_after_a_key_and_never_twice_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.drafts");
        let mut view = started(&path, &[]);
        types(&mut view, &Key::User("ann".into()), "one");
        let mut saving = Saving::default();
        let began = Instant::now();
        saving.touch();
        tokio::time::advance(DELAY / 2).await;
        // Whoever goes on typing does not put it off.
        saving.touch();
        saving.due().await;
        assert!(began.elapsed() >= DELAY && began.elapsed() < 2 * DELAY);
        saving.begin(view.news_of_drafts().unwrap());
        saving.touch();
        saving.due().await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"@ann\":\"one\"}");
    }
}
