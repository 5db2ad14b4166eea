//! Texts on their way out: none is lost while the connection is.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use thiserror::Error;

use super::{Event, Refused, State, TextId};

/// One text that waits, or of which nobody knows yet what became.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Text {
    pub(super) id: TextId,
    /// A user, or a room as this client names places; what that is the protocol's module knows.
    pub(super) to: Option<String>,
    pub(super) text: Arc<str>,
    pub(super) state: State,
    /// It was sent before, and may have arrived.
    pub(super) tried: bool,
}

/// The texts of one client, in the order in which they were given.
#[derive(Debug)]
pub(super) struct Outbox {
    texts: VecDeque<Text>,
    most: usize,
    journal: Option<Journal>,
}

impl Outbox {
    /// At most `most` at a time. With a journal what it holds comes first.
    pub(super) fn new(most: usize, journal: Option<Journal>) -> Self {
        let texts = journal.as_ref().map(|journal| journal.kept.clone()).unwrap_or_default();
        Self { texts: texts.into(), most, journal }
    }

    /// Takes a text, which is on disk when this returns if there is a journal.
    pub(super) fn push(&mut self, id: TextId, to: Option<String>, text: Arc<str>) -> Result<Event, Refused> {
        if self.unsettled() >= self.most {
            return Err(Refused::Full(self.most));
        }
        let text = Text { id: id.clone(), to, text, state: State::Queued, tried: false };
        if let Some(journal) = &mut self.journal {
            journal.add(&text).map_err(|error| Refused::NotKept(Arc::new(error)))?;
        }
        self.texts.push_back(text);
        Ok(Event::State { id, state: State::Queued })
    }

    /// The first text that was not sent on this connection.
    pub(super) fn next(&self) -> Option<&Text> {
        self.texts.iter().find(|text| text.state == State::Queued)
    }

    /// Notes how far a text came. What is settled is forgotten. `None` when that is no news.
    pub(super) fn advance(&mut self, id: &TextId, state: State) -> Option<Event> {
        let at = self.texts.iter().position(|text| text.id == *id)?;
        let text = &mut self.texts[at];
        if rank(&state) <= rank(&text.state) && !matches!(state, State::Delivered { .. }) {
            return None;
        }
        text.state = state.clone();
        if state == State::Sent
            && !std::mem::replace(&mut text.tried, true)
            && let Some(journal) = &mut self.journal
        {
            journal.tried(id);
        }
        let settled = match &state {
            State::Failed(_) => true,
            State::Delivered { by, of } => by >= of,
            _ => false,
        };
        if settled {
            self.texts.remove(at);
        } else if state == State::Accepted && self.texts.len() - self.unsettled() > FOLLOWED {
            // Nobody may ever tell more of it.
            let oldest = self.texts.iter().position(|text| rank(&text.state) >= rank(&State::Accepted));
            oldest.and_then(|oldest| self.texts.remove(oldest));
        }
        if rank(&state) >= rank(&State::Accepted)
            && let Some(journal) = &mut self.journal
        {
            journal.settle(id);
        }
        Some(Event::State { id: id.clone(), state })
    }

    /// Forgets a text of which nothing more will be told.
    pub(super) fn settle(&mut self, id: &TextId) {
        self.texts.retain(|text| text.id != *id);
        if let Some(journal) = &mut self.journal {
            journal.settle(id);
        }
    }

    /// The connection broke: what was not confirmed goes out again with the next one, before what was never sent. Where
    /// `again` says no, it stays as it is.
    pub(super) fn requeue(&mut self, again: impl Fn(&Text) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        for text in &mut self.texts {
            if text.state == State::Sent && again(text) {
                text.state = State::Queued;
                events.push(Event::State { id: text.id.clone(), state: State::Queued });
            }
        }
        events
    }

    /// The connection broke: a text that the server had taken, and that nobody knows to have arrived, goes out again.
    pub(super) fn revive(&mut self, id: &TextId) -> Option<Event> {
        let text = self.texts.iter_mut().find(|text| text.id == *id && text.state == State::Accepted)?;
        text.state = State::Queued;
        Some(Event::State { id: id.clone(), state: State::Queued })
    }

    /// Texts of which nobody knows yet what became: neither accepted nor failed.
    pub(super) fn unsettled(&self) -> usize {
        self.texts.iter().filter(|text| rank(&text.state) < rank(&State::Accepted)).count()
    }

    /// Texts that are to be written, for the first time or again.
    pub(super) fn unsent(&self) -> usize {
        self.texts.iter().filter(|text| text.state == State::Queued).count()
    }

    /// Whether what is unsettled is there after a restart of the program.
    pub(super) fn is_kept(&self) -> bool {
        self.journal.is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Text> {
        self.texts.iter()
    }
}

fn rank(state: &State) -> u8 {
    match state {
        State::Queued => 0,
        State::Sent => 1,
        State::Accepted => 2,
        State::Delivered { .. } => 3,
        State::Failed(_) => 4,
    }
}

/// A file in which texts wait for a client that ends before they were accepted. One client at a time has it.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    kept: Vec<Text>,
    /// Texts that were added and settled since the file was written anew.
    settled: usize,
    /// The last line may have been written in part.
    torn: bool,
}

/// Why a journal cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another client has it.
    #[error("{} is in use by another client", .0.display())]
    InUse(PathBuf),
    /// The file system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PartialEq for JournalError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for JournalError {}

impl Journal {
    /// Opens or makes the file, readable by its owner alone. A line that a crash cut short is forgotten: whoever wrote it
    /// was not told that it is kept.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        let mut file = options().open(path).map_err(failed)?;
        lock(&file, path)?;
        make_private(&file).map_err(failed)?;
        if !is_named(&file, path).map_err(failed)? {
            return Err(JournalError::InUse(path.to_owned()));
        }
        let mut bytes = Vec::new();
        (&file).take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let mut kept: Vec<Text> = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n").and_then(read) {
                Some(Line::Text(text)) => kept.push(text),
                Some(Line::Settled(id)) => kept.retain(|text| text.id != id),
                Some(Line::Tried(id)) => {
                    kept.iter_mut().filter(|text| text.id == id).for_each(|text| text.tried = true)
                }
                None => {}
            }
        }
        let whole: Vec<u8> = kept.iter().flat_map(written).collect();
        if whole != bytes {
            // What is kept is whole in one file or the other, whenever this ends.
            let mut anew = path.as_os_str().to_owned();
            anew.push(".new");
            let anew = PathBuf::from(anew);
            match fs::remove_file(&anew) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
            let mut next = options().create_new(true).open(&anew).map_err(failed)?;
            lock(&next, path)?;
            next.write_all(&whole).and_then(|()| next.sync_all()).map_err(failed)?;
            fs::rename(&anew, path).map_err(failed)?;
            file = next;
        }
        Ok(Self { file, path: path.to_owned(), kept, settled: 0, torn: false })
    }

    fn add(&mut self, text: &Text) -> Result<(), JournalError> {
        let kept = self.write(&written(text)).and_then(|()| self.file.sync_data());
        kept.map_err(|source| JournalError::Io { path: self.path.clone(), source })?;
        self.kept.push(text.clone());
        Ok(())
    }

    /// Writes a line, which does not join one of which only a part was written.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.torn, true) {
            self.file.write_all(b"\n")?;
        }
        self.file.write_all(line)?;
        self.torn = false;
        Ok(())
    }

    /// Where its texts go.
    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().filter_map(|text| text.to.as_deref())
    }

    /// Notes that a text may arrive from now on. A crash of this program does not take that back; one of the machine may.
    fn tried(&mut self, id: &TextId) {
        let line = format!("{}\n", json!({ "tried": id.as_str() }));
        let _ = self.write(line.as_bytes());
    }

    /// Forgets a text. When that does not reach the disk it is said again after a restart, under the same id.
    fn settle(&mut self, id: &TextId) {
        let before = self.kept.len();
        self.kept.retain(|text| text.id != *id);
        if self.kept.len() == before {
            return;
        }
        self.settled += 1;
        let line = format!("{}\n", json!({ "settled": id.as_str() }));
        let _ = self.write(line.as_bytes());
        if self.kept.is_empty() && self.settled > REWRITE {
            self.settled = 0;
            let _ = self.file.set_len(0);
        }
    }
}

/// A journal is readable by its owner alone.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Also where somebody else made the file.
fn make_private(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// Has the file for this client alone, as long as it is open.
fn lock(file: &File, journal: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(JournalError::InUse(journal.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(JournalError::Io { path: journal.to_owned(), source }),
    }
}

/// Whether the file is still the one that is called so: another client may have written it anew.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (opened, named) = (file.metadata()?, fs::metadata(path)?);
        Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        Ok(true)
    }
}

enum Line {
    Text(Text),
    Settled(TextId),
    Tried(TextId),
}

fn written(text: &Text) -> Vec<u8> {
    let line = json!({ "id": text.id.as_str(), "to": text.to, "text": &*text.text, "sent": text.tried });
    format!("{line}\n").into_bytes()
}

fn read(line: &[u8]) -> Option<Line> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let id = |key: &str| value.get(key)?.as_str().and_then(|id| TextId::new(id).ok());
    if let Some(settled) = id("settled") {
        return Some(Line::Settled(settled));
    }
    if let Some(tried) = id("tried") {
        return Some(Line::Tried(tried));
    }
    let to = value.get("to")?.as_str().map(str::to_owned);
    let text = value.get("text")?.as_str()?.into();
    let tried = value.get("sent") == Some(&Value::Bool(true));
    Some(Line::Text(Text { id: id("id")?, to, text, state: State::Queued, tried }))
}

/// Texts that were accepted and may still be delivered, of which that is remembered.
const FOLLOWED: usize = 256;
/// Bytes of a journal that are read.
const MOST_BYTES: u64 = 64 << 20;
/// Texts that were settled before an empty journal is cut.
const REWRITE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> TextId {
        TextId::new(id).unwrap()
    }

    fn texts(outbox: &Outbox) -> Vec<(&str, &State)> {
        outbox.iter().map(|text| (&*text.text, &text.state)).collect()
    }

    #[test]
    fn a_text_goes_forward_and_back_only_when_the_connection_broke() {
        let mut outbox = Outbox::new(2, None);
        outbox.push(id("1"), None, "a".into()).unwrap();
        outbox.push(id("2"), Some("bob".into()), "b".into()).unwrap();
        assert_eq!(outbox.push(id("3"), None, "c".into()), Err(Refused::Full(2)));
        assert_eq!(&*outbox.next().unwrap().text, "a");
        assert!(outbox.advance(&id("1"), State::Sent).is_some());
        assert_eq!(outbox.advance(&id("1"), State::Sent), None);
        assert_eq!(&*outbox.iter().find(|text| text.state == State::Sent).unwrap().text, "a");
        outbox.advance(&id("2"), State::Accepted);
        assert_eq!(outbox.unsettled(), 1);
        assert_eq!(outbox.requeue(|_| true), [Event::State { id: id("1"), state: State::Queued }]);
        assert_eq!(texts(&outbox), [("a", &State::Queued), ("b", &State::Accepted)]);
        assert_eq!(outbox.advance(&id("2"), State::Sent), None);
        // Deliveries are told each time, and the last settles it.
        for by in [1, 1, 2] {
            assert!(outbox.advance(&id("2"), State::Delivered { by, of: 2 }).is_some());
        }
        outbox.advance(&id("1"), State::Failed("no".into()));
        assert_eq!(texts(&outbox), []);
    }

    #[test]
    fn a_journal_brings_back_what_was_not_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut outbox = Outbox::new(10, Some(Journal::open(&path).unwrap()));
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
        for n in ["1", "2", "3"] {
            outbox.push(id(n), Some("den".into()), format!("text {n}\nand \"more\"").into()).unwrap();
        }
        outbox.advance(&id("1"), State::Sent);
        outbox.advance(&id("2"), State::Accepted);
        drop(outbox);
        // A crash in the midst of a line.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":\"4\",\"to\":null,\"te").unwrap();
        drop(file);
        for _ in 0..2 {
            let outbox = Outbox::new(10, Some(Journal::open(&path).unwrap()));
            let texts: Vec<_> = outbox.iter().map(|text| (text.id.as_str(), text.to.as_deref(), &*text.text)).collect();
            assert_eq!(texts, [("1", Some("den"), "text 1\nand \"more\""), ("3", Some("den"), "text 3\nand \"more\"")]);
        }
        // A crash before what is kept was whole anew: nothing of it counts.
        fs::write(dir.path().join("journal.new"), b"{\"id\":\"1\",\"settled").unwrap();
        #[cfg(unix)]
        for file in ["journal", "journal.new"] {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(dir.path().join(file), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"settled\":\"1\"}\n{\"id").unwrap();
        drop(file);
        let outbox = Outbox::new(10, Some(Journal::open(&path).unwrap()));
        assert_eq!(outbox.iter().map(|text| text.id.as_str()).collect::<Vec<_>>(), ["3"]);
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
        drop(outbox);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            drop(Journal::open(&path).unwrap());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_line_that_could_not_be_written_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        // The disk was full for a while.
        journal.file.write_all(b"{\"id\":\"1\",\"to\":nu").unwrap();
        journal.torn = true;
        let mut outbox = Outbox::new(10, Some(journal));
        outbox.push(id("2"), None, "hello".into()).unwrap();
        outbox.push(id("3"), None, "again".into()).unwrap();
        drop(outbox);
        let outbox = Outbox::new(10, Some(Journal::open(&path).unwrap()));
        assert_eq!(outbox.iter().map(|text| text.id.as_str()).collect::<Vec<_>>(), ["2", "3"]);
    }
}
