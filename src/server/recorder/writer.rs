//! The thread that writes: lines, files, and the bound on all of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use tracing::warn;

use super::cut::Cutter;
use super::secrets::mark;
use super::{End, Item, Part, Shared, What};
use crate::files::{owner_only, owner_only_directory};
use crate::tape::{Frame, Framing, Way};

/// Has the directory, and knows what became of each recording.
pub(super) struct Writer {
    dir: PathBuf,
    /// What the names of all files of this run begin with.
    run: String,
    most: u64,
    written: u64,
    tapes: HashMap<u64, Open>,
    /// Whether it was said that the disk takes no more.
    warned: bool,
}

/// A recording that goes on.
struct Open {
    path: PathBuf,
    cutter: Cutter,
    stopped: Arc<AtomicBool>,
    /// Lines that are not written yet.
    lines: Vec<u8>,
}

impl Writer {
    pub(super) fn open(dir: &Path, most: u64) -> io::Result<Self> {
        private_directory(dir)?;
        let mut written = 0;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == EXTENSION) {
                written += entry.metadata()?.len();
            }
        }
        let run = time(SystemTime::now()).replace([':', '-'], "").replace('.', "-");
        // A file that cannot be made is better told now.
        let probe = dir.join(format!("{run}.probe"));
        drop(private_file(&probe)?);
        fs::remove_file(&probe)?;
        Ok(Self { dir: dir.to_owned(), run, most, written, tapes: HashMap::new(), warned: false })
    }

    /// Bytes of all recordings in the directory.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes until everything is over.
    pub(super) fn run(mut self, shared: &Shared) {
        loop {
            let (items, closed) = wait(shared);
            let mut touched = BTreeMap::new();
            for item in items {
                touched.insert(item.tape, ());
                self.take(shared, item);
            }
            if closed {
                let place = shared.lock().next;
                let at = u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                for tape in self.tapes.keys().copied().collect::<Vec<_>>() {
                    self.take(shared, Item { tape, place, at, what: What::Over(End::Over) });
                }
            }
            for tape in touched.into_keys() {
                self.append(shared, tape);
            }
            if closed {
                return;
            }
        }
    }

    fn take(&mut self, shared: &Shared, Item { tape, place, at, what }: Item) {
        match what {
            What::Begins { wire, framing, time, stopped } => {
                self.begin(shared, tape, wire, framing, stopped, line(place, at, header(wire, time)));
            }
            What::Noted { way, frame, parts } => {
                let content = content(shared, &parts);
                self.line(shared, tape, line(place, at, shown(way, frame, content)));
            }
            What::Wrote(bytes) => {
                let Some(open) = self.tapes.get_mut(&tape) else { return };
                open.cutter.put(&bytes);
                loop {
                    let Some(open) = self.tapes.get_mut(&tape) else { return };
                    match open.cutter.next() {
                        Ok(None) => return,
                        Ok(Some((frame, bytes))) => {
                            let content = content(shared, &[Part::Plain(bytes)]);
                            self.line(shared, tape, line(place, at, shown(Way::Out, frame, content)));
                        }
                        Err(_) => return self.end(shared, tape, place, at, End::Frames),
                    }
                }
            }
            What::Ended => self.line(shared, tape, line(place, at, json!({ "dir": "in", "end": true }))),
            What::Over(why) => self.end(shared, tape, place, at, why),
        }
    }

    fn begin(
        &mut self,
        shared: &Shared,
        tape: u64,
        wire: &str,
        framing: Framing,
        stopped: Arc<AtomicBool>,
        head: String,
    ) {
        let path = self.dir.join(format!("{}-{tape:06}-{wire}.{EXTENSION}", self.run));
        if !self.has_room(head.len() + LAST_LINE) {
            stopped.store(true, Ordering::Relaxed);
            shared.full.store(true, Ordering::Relaxed);
            return shared.count(End::Full);
        }
        self.written += head.len() as u64;
        self.tapes.insert(tape, Open { path, cutter: Cutter::new(framing), stopped, lines: head.into_bytes() });
        shared.counts.lines.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether so much more may be written, beside the last lines of those that go on.
    fn has_room(&self, bytes: usize) -> bool {
        self.written + (self.tapes.len() * LAST_LINE + bytes) as u64 <= self.most
    }

    fn line(&mut self, shared: &Shared, tape: u64, line: String) {
        if !self.has_room(line.len()) {
            shared.full.store(true, Ordering::Relaxed);
            let Some(open) = self.tapes.get(&tape) else { return };
            open.stopped.store(true, Ordering::Relaxed);
            let (place, at) = place_and_time(&line);
            return self.end(shared, tape, place, at, End::Full);
        }
        let Some(open) = self.tapes.get_mut(&tape) else { return };
        open.lines.extend_from_slice(line.as_bytes());
        self.written += line.len() as u64;
        shared.counts.lines.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&mut self, shared: &Shared, tape: u64, place: u64, at: u64, why: End) {
        let Some(open) = self.tapes.get_mut(&tape) else { return };
        open.stopped.store(true, Ordering::Relaxed);
        let last = line(place, at, json!({ "end": why.code() }));
        open.lines.extend_from_slice(last.as_bytes());
        self.written += last.len() as u64;
        shared.counts.lines.fetch_add(1, Ordering::Relaxed);
        shared.count(why);
        self.append(shared, tape);
        self.tapes.remove(&tape);
    }

    /// Writes the lines of one recording that wait. No file stays open: there may be more connections than files.
    fn append(&mut self, shared: &Shared, tape: u64) {
        shared.counts.bytes.store(self.written, Ordering::Relaxed);
        let Some(open) = self.tapes.get_mut(&tape) else { return };
        if open.lines.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut open.lines);
        let written = private_file(&open.path).and_then(|mut file| file.write_all(&lines));
        let Err(error) = written else { return };
        open.stopped.store(true, Ordering::Relaxed);
        if !std::mem::replace(&mut self.warned, true) {
            warn!(%error, path = %open.path.display(), "a recording cannot be written, and ends");
        }
        shared.count(End::Disk);
        self.tapes.remove(&tape);
    }
}

/// What waits, once there is something, and whether that was the last.
fn wait(shared: &Shared) -> (VecDeque<Item>, bool) {
    let mut queue = shared.lock();
    while queue.items.is_empty() && !queue.closed {
        queue = shared.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    queue.bytes = 0;
    (std::mem::take(&mut queue.items), queue.closed)
}

fn header(wire: &str, at: SystemTime) -> Value {
    json!({ "talk": "recording", "version": VERSION, "wire": wire, "time": time(at) })
}

fn time(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

/// A frame's bytes, with marks for what is not to be seen.
fn content(shared: &Shared, parts: &[Part]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Part::Plain(bytes) => {
                let mut at = 0;
                while at < bytes.len() {
                    at = shared.secrets().hide(bytes, at, &mut out);
                }
            }
            Part::Secret(number) => out.extend_from_slice(mark(*number).as_bytes()),
            Part::Unread(length) => out.extend_from_slice(format!("{{{{unread:{length}}}}}").as_bytes()),
        }
    }
    out
}

fn shown(way: Way, frame: Frame, content: Vec<u8>) -> Value {
    let mut object = Map::new();
    object.insert("dir".into(), if way == Way::In { "in" } else { "out" }.into());
    match frame {
        Frame::Text | Frame::Binary => {}
        Frame::Ping => _ = object.insert("frame".into(), "ping".into()),
        Frame::Pong => _ = object.insert("frame".into(), "pong".into()),
        Frame::Close(code) => {
            object.insert("frame".into(), "close".into());
            object.insert("code".into(), code.into());
        }
        Frame::Http => _ = object.insert("frame".into(), "http".into()),
    }
    match String::from_utf8(content) {
        Ok(text) if frame != Frame::Binary => object.insert("text".into(), text.into()),
        Ok(text) => object.insert("bytes".into(), BASE64_STANDARD.encode(text).into()),
        Err(no_text) => object.insert("bytes".into(), BASE64_STANDARD.encode(no_text.as_bytes()).into()),
    };
    Value::Object(object)
}

fn line(place: u64, at: u64, rest: Value) -> String {
    let mut object = Map::from_iter([("n".to_owned(), place.into()), ("at".to_owned(), at.into())]);
    if let Value::Object(rest) = rest {
        object.extend(rest);
    }
    format!("{}\n", Value::Object(object))
}

fn place_and_time(line: &str) -> (u64, u64) {
    let object: Value = serde_json::from_str(line).unwrap_or_default();
    (object["n"].as_u64().unwrap_or_default(), object["at"].as_u64().unwrap_or_default())
}

/// Makes a directory for its owner alone, or finds that it is one.
fn private_directory(path: &Path) -> io::Result<()> {
    owner_only_directory(path)?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path)?.permissions()) & 0o077 != 0 {
        let why = "others may look into the directory: chmod 700 it, or name another, which is made";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

/// Opens a file for its owner alone, making it if it is missing.
fn private_file(path: &Path) -> io::Result<fs::File> {
    owner_only(OpenOptions::new().append(true).create(true)).open(path)
}

const EXTENSION: &str = "jsonl";
/// Of the form of recordings.
const VERSION: u32 = 1;
/// Bytes that are kept free for the last line of each recording.
const LAST_LINE: usize = 80;
