//! Texts that wait on a disk, for the next start of their client.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use thiserror::Error;

use super::Text;
use crate::client::{State, TextId};
use crate::files::{LockedFile, beside, make, make_private, owner_only, sync_parent};

/// A file in which texts wait for a client that ends before they were accepted. One client at a time has it.
#[derive(Debug)]
pub struct Journal {
    file: LockedFile,
    path: PathBuf,
    pub(super) kept: Vec<Text>,
    /// Bytes of the file that are whole lines.
    length: u64,
    /// Texts that were settled since it was last seen whether the file says too much.
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
        let file = owner_only(OpenOptions::new().read(true).append(true).create(true)).open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "this is not a file")));
        }
        let file = lock(file, path)?;
        make_private(&file).map_err(failed)?;
        if !is_named(&file, path).map_err(failed)? {
            return Err(JournalError::InUse(path.to_owned()));
        }
        let mut bytes = Vec::new();
        (&*file).take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
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
        let mut journal =
            Self { file, path: path.to_owned(), kept, length: bytes.len() as u64, settled: 0, torn: false };
        let whole = journal.whole();
        if whole != bytes {
            journal.replace(&whole)?;
        }
        Ok(journal)
    }

    /// Keeps a text. When that cannot be said for certain, it is not kept.
    pub(super) fn add(&mut self, text: &Text) -> Result<(), JournalError> {
        let length = self.length;
        let kept = self.write(&written(text)).and_then(|()| self.file.sync_data());
        if let Err(source) = kept {
            self.take_back(length);
            return Err(self.failed(source));
        }
        self.kept.push(text.clone());
        Ok(())
    }

    /// The next start is not to send what its writer was told is not kept.
    fn take_back(&mut self, length: u64) {
        self.torn = self.file.set_len(length).is_err();
        self.length = length;
    }

    /// Writes a line, which does not join one of which only a part was written.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.torn, true) {
            self.file.write_all(b"\n")?;
            // What was written in part stays there, before what follows.
            self.length = self.file.metadata()?.len();
        }
        self.file.write_all(line)?;
        self.torn = false;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Where its texts go.
    pub(in crate::client) fn places(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().filter_map(|text| text.to.as_deref())
    }

    /// Notes that a text may arrive from now on. A crash of this program does not take that back; one of the machine may.
    pub(super) fn tried(&mut self, id: &TextId) {
        self.kept.iter_mut().filter(|text| text.id == *id).for_each(|text| text.tried = true);
        let line = format!("{}\n", json!({ "tried": id.as_str() }));
        let _ = self.write(line.as_bytes());
    }

    /// Forgets a text. When that does not reach the disk it is said again after a restart, under the same id.
    pub(super) fn settle(&mut self, id: &TextId) {
        let before = self.kept.len();
        self.kept.retain(|text| text.id != *id);
        if self.kept.len() == before {
            return;
        }
        let line = format!("{}\n", json!({ "settled": id.as_str() }));
        let _ = self.write(line.as_bytes());
        self.settled += 1;
        if self.settled > REWRITE {
            self.settled = 0;
            let whole = self.whole();
            if (whole.len() as u64) < self.length / 2 {
                // A file that stays as it is says the same in more words.
                let _ = self.replace(&whole);
            }
        }
    }

    /// What the file has to say, and no more.
    fn whole(&self) -> Vec<u8> {
        self.kept.iter().flat_map(written).collect()
    }

    /// Writes the file anew. What is kept is whole in one file or the other, whenever this ends.
    fn replace(&mut self, whole: &[u8]) -> Result<(), JournalError> {
        let anew = beside(&self.path, ".new");
        let file = make(&anew, whole).map_err(|source| self.failed(source))?;
        file.sync_all().map_err(|source| self.failed(source))?;
        let file = lock(file, &self.path)?;
        fs::rename(&anew, &self.path).map_err(|source| self.failed(source))?;
        self.file = file;
        self.length = whole.len() as u64;
        self.torn = false;
        // What is added to a file whose name a power cut takes back would be lost.
        sync_parent(&self.path).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), source }
    }
}

/// Has the file for this client alone, until it is dropped.
fn lock(file: File, journal: &Path) -> Result<LockedFile, JournalError> {
    match LockedFile::try_lock(file) {
        Ok(file) => Ok(file),
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

/// Bytes of a journal that are read.
const MOST_BYTES: u64 = 64 << 20;
/// Texts that are settled before it is seen whether the file says too much.
const REWRITE: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::Outbox;
    use super::*;

    fn id(id: &str) -> TextId {
        TextId::new(id).unwrap()
    }

    fn text(name: &str) -> Text {
        Text { id: id(name), to: None, text: "hello".into(), state: State::Queued, tried: false }
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

    #[test]
    fn a_text_that_is_never_settled_does_not_make_the_file_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut outbox = Outbox::new(10, Some(Journal::open(&path).unwrap()));
        outbox.push(id("stays"), Some("den".into()), "hello".into()).unwrap();
        outbox.advance(&id("stays"), State::Sent);
        let most = (0..3 * REWRITE).map(|n| {
            outbox.push(id(&format!("{n}")), None, "x".repeat(1000).into()).unwrap();
            outbox.advance(&id(&format!("{n}")), State::Accepted);
            fs::metadata(&path).unwrap().len()
        });
        assert!(most.max().unwrap() < 1100 * (REWRITE as u64 + 2));
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
        outbox.push(id("last"), None, "there".into()).unwrap();
        drop(outbox);
        let outbox = Outbox::new(10, Some(Journal::open(&path).unwrap()));
        let kept: Vec<_> = outbox.iter().map(|text| (text.id.as_str(), &*text.text, text.tried)).collect();
        assert_eq!(kept, [("stays", "hello", true), ("last", "there", false)]);
    }

    #[test]
    fn a_text_that_was_refused_is_not_there_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.add(&text("1")).unwrap();
        // Written, but nobody knows whether it is on the disk.
        let length = journal.length;
        journal.write(&written(&text("2"))).unwrap();
        journal.take_back(length);
        journal.add(&text("3")).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.kept.iter().map(|text| text.id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn a_text_that_is_kept_is_not_cut_with_a_later_one_that_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        // The disk was full for a while.
        journal.file.write_all(b"{\"settled\":\"0").unwrap();
        journal.torn = true;
        journal.add(&text("1")).unwrap();
        // And then again.
        let length = journal.length;
        journal.file.write_all(b"{\"id\":\"2").unwrap();
        journal.take_back(length);
        journal.add(&text("3")).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.kept.iter().map(|text| text.id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn what_is_not_a_file_is_no_journal() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(JournalError::Io { .. })));
        assert!(matches!(Journal::open(Path::new("/dev/null")), Err(JournalError::Io { .. })));
    }
}
