//! Recordings of what comes by the wires: a file for each connection, a line of JSON for each frame.
//!
//! Whoever notes something puts it into a bounded queue and goes on; one thread hides the secrets, makes lines of it
//! and writes them. A connection for which the queue or the room on disk was too small is recorded up to there, and the
//! last line of its file says so.

mod cut;
mod secrets;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use self::secrets::Secrets;
use self::writer::Writer;
use crate::tape::{Frame, Framing, Piece, Recorder, Tape, Way};

/// Writes recordings into a directory.
pub(super) struct Files {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What recording came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// Bytes of all recordings in the directory.
    pub(super) bytes: u64,
    /// Connections that are being recorded.
    pub(super) open: u64,
    /// Lines written.
    pub(super) lines: u64,
    /// Recordings that ended, by reason; those that never began, by `full`.
    pub(super) ended: [(&'static str, u64); End::ALL.len()],
}

/// Why nothing more is written of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// It is over.
    Over,
    /// So much came at once that the queue was full.
    Queue,
    /// The directory holds as much as it may.
    Full,
    /// The disk took no more.
    Disk,
    /// There were too many secrets to tell them apart.
    Secrets,
    /// What was written is not how the wire's frames look.
    Frames,
}

struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
    secrets: Mutex<Secrets>,
    started: Instant,
    /// Nothing begins any more: the directory is full.
    full: AtomicBool,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    open: AtomicU64,
    lines: AtomicU64,
    ended: [AtomicU64; End::ALL.len()],
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// The next item's place among all.
    next: u64,
    tapes: u64,
    closed: bool,
}

/// One thing that happened on one connection.
struct Item {
    tape: u64,
    /// Its place among all that happened.
    place: u64,
    /// Milliseconds since the recorder was started.
    at: u64,
    what: What,
}

enum What {
    Begins { wire: &'static str, framing: Framing, time: SystemTime, stopped: Arc<AtomicBool> },
    Noted { way: Way, frame: Frame, parts: Vec<Part> },
    Wrote(Bytes),
    Ended,
    Over(End),
}

enum Part {
    Plain(Bytes),
    Secret(u32),
    Unread(usize),
}

impl Files {
    /// Begins to record into `dir`, which is made if it is missing, for the eyes of its owner only. Recordings that are
    /// there count among the `most` bytes. It blocks.
    pub(super) fn open(dir: &Path, most: u64) -> io::Result<Self> {
        let writer = Writer::open(dir, most)?;
        let counts = Counts { bytes: AtomicU64::new(writer.written()), ..Counts::default() };
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            more: Condvar::new(),
            secrets: Mutex::default(),
            started: Instant::now(),
            full: AtomicBool::new(false),
            counts,
        });
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || writer.run(&own))?;
        Ok(Self { shared, writer: Mutex::new(Some(thread)) })
    }

    /// Writes what waits, and ends every recording. It blocks.
    pub(super) fn finish(&self) {
        self.shared.lock().closed = true;
        self.shared.more.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the recorder broke off");
        }
    }

    pub(super) fn counted(&self) -> Counted {
        let counts = &self.shared.counts;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            bytes: load(&counts.bytes),
            open: load(&counts.open),
            lines: load(&counts.lines),
            ended: End::ALL.map(|end| (end.code(), load(&counts.ended[end as usize]))),
        }
    }
}

impl Recorder for Files {
    fn tape(&self, wire: &'static str, framing: Framing) -> Option<Arc<dyn Tape>> {
        if self.shared.full.load(Ordering::Relaxed) {
            self.shared.count(End::Full);
            return None;
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let mut queue = self.shared.lock();
        if queue.closed || queue.items.len() >= MOST_ITEMS {
            drop(queue);
            self.shared.count(End::Queue);
            return None;
        }
        queue.tapes += 1;
        let number = queue.tapes;
        let what = What::Begins { wire, framing, time: SystemTime::now(), stopped: stopped.clone() };
        self.shared.put(&mut queue, number, 0, what);
        drop(queue);
        self.shared.counts.open.fetch_add(1, Ordering::Relaxed);
        Some(Arc::new(Kept { shared: self.shared.clone(), number, stopped }))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl End {
    const ALL: [Self; 6] = [Self::Over, Self::Queue, Self::Full, Self::Disk, Self::Secrets, Self::Frames];

    fn code(self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::Queue => "queue",
            Self::Full => "full",
            Self::Disk => "disk",
            Self::Secrets => "secrets",
            Self::Frames => "frames",
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, end: End) {
        self.counts.ended[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn put(&self, queue: &mut Queue, tape: u64, bytes: usize, what: What) {
        let at = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        queue.bytes += bytes;
        let place = queue.next;
        queue.next += 1;
        queue.items.push_back(Item { tape, place, at, what });
        if queue.items.len() == 1 {
            self.more.notify_one();
        }
    }
}

/// The tape of one connection.
struct Kept {
    shared: Arc<Shared>,
    number: u64,
    /// Nothing more is wanted of it.
    stopped: Arc<AtomicBool>,
}

impl Kept {
    fn put(&self, bytes: usize, what: impl FnOnce() -> What) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let mut queue = self.shared.lock();
        if queue.closed {
            return;
        }
        if queue.items.len() >= MOST_ITEMS || queue.bytes + bytes > MOST_BYTES {
            drop(queue);
            return self.stop(End::Queue);
        }
        self.shared.put(&mut queue, self.number, bytes, what());
    }

    /// That it ends is told whatever waits; each tape tells it once.
    fn stop(&self, why: End) {
        if !self.stopped.swap(true, Ordering::Relaxed) {
            let mut queue = self.shared.lock();
            if !queue.closed {
                self.shared.put(&mut queue, self.number, 0, What::Over(why));
            }
        }
    }
}

impl Tape for Kept {
    fn secret(&self, secret: &str) {
        let number = self.shared.secrets().number(secret);
        if number.is_none() {
            self.stop(End::Secrets);
        }
    }

    fn note(&self, way: Way, frame: Frame, pieces: &[Piece<'_>]) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let (mut parts, mut bytes) = (Vec::with_capacity(pieces.len()), 0);
        for piece in pieces {
            parts.push(match piece {
                Piece::Plain(plain) => {
                    bytes += plain.len();
                    Part::Plain(Bytes::copy_from_slice(plain))
                }
                Piece::Secret("") => continue,
                Piece::Secret(secret) => match self.shared.secrets().number(secret) {
                    Some(number) => Part::Secret(number),
                    None => return self.stop(End::Secrets),
                },
                Piece::Unread(length) => Part::Unread(*length),
            });
        }
        self.put(bytes, || What::Noted { way, frame, parts });
    }

    fn wrote(&self, bytes: &Bytes) {
        if !bytes.is_empty() {
            self.put(bytes.len(), || What::Wrote(bytes.clone()));
        }
    }

    fn ended(&self) {
        self.put(0, || What::Ended);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop(End::Over);
        self.shared.counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Things that wait for the thread that writes, besides the ends, of which each connection has one.
const MOST_ITEMS: usize = 1 << 16;
/// Bytes of them. As many may be in its hands meanwhile.
const MOST_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(files: &Files, end: &str) -> u64 {
        files.counted().ended.into_iter().find_map(|(code, count)| (code == end).then_some(count)).unwrap()
    }

    fn recordings(dir: &Path) -> Vec<String> {
        let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// In a place that is made for it.
    fn open() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(&dir.path().join("r"), 1 << 20).unwrap();
        (dir, files)
    }

    #[test]
    fn whoever_brings_more_than_can_wait_is_recorded_up_to_there() {
        let (dir, files) = open();
        let tape = files.tape("pair", Framing::Lines).unwrap();
        // More than the thread could ever write meanwhile.
        tape.wrote(&vec![b'x'; MOST_BYTES + 1].into());
        tape.note(Way::In, Frame::Text, &[Piece::Plain(b"nobody knows of this")]);
        let other = files.tape("pair", Framing::Lines).unwrap();
        other.note(Way::In, Frame::Text, &[Piece::Plain(b"hi")]);
        files.finish();
        drop((tape, other));
        let mut recordings = recordings(&dir.path().join("r"));
        recordings.sort_by_key(String::len);
        assert!(
            recordings[0].ends_with("\"end\":\"queue\"}\n") && recordings[0].lines().count() == 2,
            "{recordings:?}"
        );
        assert!(recordings[1].contains("\"hi\"") && recordings[1].ends_with("\"end\":\"over\"}\n"), "{recordings:?}");
        assert_eq!((counted(&files, "queue"), counted(&files, "over"), files.counted().open), (1, 1, 0));
    }

    #[test]
    fn what_the_disk_does_not_take_ends_a_recording_and_nothing_else() {
        let (dir, files) = open();
        let tape = files.tape("pair", Framing::Lines).unwrap();
        std::fs::remove_dir_all(dir.path()).unwrap();
        tape.note(Way::In, Frame::Text, &[Piece::Plain(b"hi")]);
        drop(tape);
        files.finish();
        assert_eq!((counted(&files, "disk"), counted(&files, "over"), files.counted().open), (1, 0, 0));
        assert!(files.tape("pair", Framing::Lines).is_none(), "it is over");
    }

    #[test]
    fn a_secret_shows_on_no_tape_and_bytes_are_in_base64() {
        let (dir, files) = open();
        let (one, other) = (files.tape("a", Framing::Lines).unwrap(), files.tape("b", Framing::WebSocket).unwrap());
        one.note(Way::In, Frame::Text, &[Piece::Plain(b"I am "), Piece::Secret("s3cret"), Piece::Unread(7)]);
        one.secret("another secret");
        other.note(Way::In, Frame::Binary, &[Piece::Plain(b"\xff another secret")]);
        one.wrote(&Bytes::from_static(b"another se"));
        one.wrote(&Bytes::from_static(b"cret\nlast"));
        other.wrote(&Bytes::from_static(b"\x83\x04none"));
        drop((one, other));
        files.finish();
        let all = recordings(&dir.path().join("r")).concat();
        for wanted in [
            "\"I am {{secret:1}}{{unread:7}}\"",
            "\"{{secret:2}}\"",
            "\"bytes\":\"/yB7e3NlY3JldDoyfX0=\"",
            "\"frames\"",
        ] {
            assert!(all.contains(wanted), "{wanted} in {all}");
        }
        for secret in ["s3cret", "another", "none"] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
    }
}
