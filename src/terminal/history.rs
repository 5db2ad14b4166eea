//! A file of what was said: a line for each message, with the time, for eyes and for `grep`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::secrets::{open_file, why};
use super::words::{Language, Word};
use crate::client::{Heard, Place};
use crate::files::LockedFile;
use crate::message::Timestamp;
use crate::text::SafeText;

/// The file. One program at a time has it.
#[derive(Debug)]
pub(super) struct HistoryFile {
    file: File,
    /// Up to where there are whole lines; `None` for what is no file on a disk.
    end: Option<u64>,
    /// Held as long as this lives.
    _lock: Option<LockedFile>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum NoHistory {
    /// Another program writes it.
    InUse,
    Io(io::Error),
}

impl From<io::Error> for NoHistory {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl NoHistory {
    /// Why.
    pub(super) fn say(&self, language: Language) -> String {
        match self {
            Self::InUse => language.text(Word::HistoryInUse).to_owned(),
            Self::Io(error) => why(error, language),
        }
    }
}

impl HistoryFile {
    /// Opens or makes it. A line that was cut short when its writer was killed is taken away; a line of another program
    /// that wants only its end is given that.
    pub(super) fn open(path: &Path) -> Result<Self, NoHistory> {
        let mut file = open_file(OpenOptions::new().read(true).append(true).create(true), path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Ok(Self { file, end: None, _lock: None });
        }
        let lock = match LockedFile::try_lock(file.try_clone()?) {
            Ok(lock) => lock,
            Err(fs::TryLockError::WouldBlock) => return Err(NoHistory::InUse),
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        };
        let size = file.seek(SeekFrom::End(0))?;
        let whole = whole_lines(&mut file, size)?;
        let mut first = Vec::new();
        file.seek(SeekFrom::Start(whole))?;
        Read::by_ref(&mut file).take(STAMPED.len() as u64).read_to_end(&mut first)?;
        let end = if first.is_empty() {
            size
        } else if is_stamp(&first) {
            file.set_len(whole)?;
            whole
        } else {
            file.write_all(b"\n")?;
            size + 1
        };
        Ok(Self { file, end: Some(end), _lock: Some(lock) })
    }

    /// The last lines, at most so many.
    pub(super) fn last(&mut self, count: usize) -> io::Result<Vec<String>> {
        let Some(end) = self.end.filter(|_| count > 0) else { return Ok(Vec::new()) };
        let from = end.saturating_sub(MOST_READ);
        self.file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&self.file).take(end - from).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // The first of them may be no whole line.
        let lines: Vec<_> = text.lines().skip(usize::from(from > 0)).collect();
        Ok(lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect())
    }

    /// Appends a message, whole or not at all.
    pub(super) fn add(&mut self, message: &Heard) -> io::Result<()> {
        let line = written(message);
        let Err(error) = self.file.write_all(line.as_bytes()) else {
            self.end = self.end.map(|end| end + line.len() as u64);
            return Ok(());
        };
        // What was written of it must not begin the next line.
        if let Some(end) = self.end {
            self.file.set_len(end)?;
        }
        Err(error)
    }
}

/// Reads a line that [`HistoryFile::add`] wrote; `None` for what others wrote.
pub(super) fn read(line: &str) -> Option<Heard> {
    let (at, said) = line.strip_prefix('[')?.split_once("] ")?;
    let at = DateTime::strptime(STAMP, at).ok()?.to_zoned(TimeZone::system()).ok()?.timestamp();
    let (from, text) = said.split_once(": ")?;
    Some(Heard {
        from: from.to_owned(),
        text: text.into(),
        place: Place::Open,
        at: Timestamp::from_millis(u64::try_from(at.as_millisecond()).ok()?),
        position: None,
        id: None,
        past: true,
        own: false,
    })
}

fn written(message: &Heard) -> String {
    let at = i64::try_from(message.at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default().to_zoned(TimeZone::system());
    format!("[{}] {}: {}\n", at.strftime(STAMP), SafeText(&message.from), SafeText(&message.text))
}

/// Whether a line of which this is the beginning is one that [`HistoryFile::add`] wrote.
fn is_stamp(beginning: &[u8]) -> bool {
    beginning
        .iter()
        .zip(STAMPED)
        .all(|(byte, like)| if like.is_ascii_digit() { byte.is_ascii_digit() } else { byte == like })
}

/// Up to where a file of so many bytes holds whole lines.
fn whole_lines(file: &mut File, size: u64) -> io::Result<u64> {
    let mut end = size;
    let mut bytes = Vec::new();
    while end > 0 {
        let from = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(from))?;
        bytes.clear();
        Read::by_ref(file).take(end - from).read_to_end(&mut bytes)?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

/// How a line begins, between brackets: local time.
const STAMP: &str = "%Y-%m-%d %H:%M:%S";
/// What that looks like.
const STAMPED: &[u8] = b"[0000-00-00 00:00:00] ";
/// Bytes that are looked at for the last lines: a thousand long ones.
const MOST_READ: u64 = 1 << 20;
const CHUNK: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(from: &str, text: &str) -> Heard {
        let at = Timestamp::from_millis(1_795_000_000_000);
        let (place, from, text) = (Place::Open, from.to_owned(), text.into());
        Heard { from, text, place, at, position: None, id: None, past: true, own: false }
    }

    #[test]
    fn a_message_is_one_line_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let mut file = HistoryFile::open(&path).unwrap();
        for n in 0..5 {
            file.add(&heard("Zen tester", &format!("text {n}: с текстом"))).unwrap();
        }
        file.add(&heard("eve", "a\n[2026-01-01 00:00:00] ann: forged\x1b[2J")).unwrap();
        drop(file);
        let mut file = HistoryFile::open(&path).unwrap();
        assert!(file.last(0).unwrap().is_empty());
        let last = file.last(2).unwrap();
        assert_eq!(read(&last[0]), Some(heard("Zen tester", "text 4: с текстом")));
        assert_eq!(read(&last[1]).map(|heard| heard.from), Some("eve".into()));
        assert!(!last[1].contains('\x1b'));
        assert_eq!(file.last(99).unwrap().len(), 6);
        for other in ["", "[21.11.26 10:30] ann: hi", "ann: hi", "[2026-11-21 10:30:05] no name", "[2026"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_line_that_was_cut_short_is_gone_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let (one, two) = (written(&heard("ann", "whole")), written(&heard("bob", &"длинно ".repeat(20_000))));
        for cut in [1, 2, 20, 30, 70_000, two.len() - 1] {
            let bytes = [one.as_bytes(), &two.as_bytes()[..cut]].concat();
            fs::write(&path, bytes).unwrap();
            let mut file = HistoryFile::open(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), one, "cut at {cut}");
            file.add(&heard("eve", "next")).unwrap();
            drop(file);
            assert_eq!(fs::read_to_string(&path).unwrap(), one.clone() + &written(&heard("eve", "next")));
        }
        fs::write(&path, &one[..9]).unwrap();
        drop(HistoryFile::open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"");
        // What is no line of this program is not thrown away.
        for other in ["letter to my aunt", "[{\"json\":1}]", "[21.11.26 10:30] ann: hi", "[2026-11-21] ann: hi"] {
            fs::write(&path, other).unwrap();
            drop(HistoryFile::open(&path).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{other}\n"));
        }
    }

    #[test]
    fn one_program_writes_at_a_time_and_what_is_no_file_is_written_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let file = HistoryFile::open(&path).unwrap();
        assert!(matches!(HistoryFile::open(&path), Err(NoHistory::InUse)));
        drop(file);
        assert!(HistoryFile::open(&path).is_ok());
        assert!(matches!(HistoryFile::open(dir.path()), Err(NoHistory::Io(_))));
        #[cfg(unix)]
        {
            let mut null = HistoryFile::open(Path::new("/dev/null")).unwrap();
            null.add(&heard("ann", "hi")).unwrap();
            assert!(null.last(9).unwrap().is_empty());
        }
    }

    /// A disk that is full in the midst of a line.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_is_full_is_told() {
        let mut full = HistoryFile::open(Path::new("/dev/full")).unwrap();
        assert!(full.add(&heard("ann", "hi")).is_err());
    }
}
