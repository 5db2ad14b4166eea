//! Rooms as lines of JSON: to look at them with other programs, to move them to another server, to keep them for long.
//!
//! ```text
//! {"talk":"rooms","version":1,"epoch":"0192…"}
//! {"room":"den","seq":1,"prev":0,"ts":1795250000000,"user":"0192…","from":"ann","id":"7","body":"hi","sum":"9f…"}
//! {"records":1,"rooms":1,"sum":"5c…"}
//! ```
//!
//! The `sum` of a record is 64 bits of BLAKE3 over all that it says; that of the last line is BLAKE3 over all lines before
//! it, line feeds included.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::index::{Ids, Tally};
use super::row::{self, COLUMNS, stored};
use super::sqlite::{self, Index, SPEC};
use crate::limits::Limits;
use crate::message::{MessageId, Record, RoomKey, Timestamp};
use crate::name::MAX_NAME;
use crate::store::StoreError;
use crate::store::sqlite::{Database, failure, visit};
use crate::text::{SafeText, clean, one_line};

/// Why rooms were not exported or imported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// A line of what is imported cannot be: nothing of it was taken. Get another copy.
    #[error("line {line}: {what}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing was ever said in this room.
    #[error("there is no room {0} with messages")]
    NoRoom(RoomKey),
    /// The history cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is read or written broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Exported {
    /// Rooms with messages.
    pub rooms: u64,
    /// Their messages.
    pub records: u64,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Imported {
    /// Rooms with messages.
    pub rooms: u64,
    /// Messages that are new here.
    pub added: u64,
    /// Messages that were here already, or had been until retention took them.
    pub known: u64,
}

/// Writes rooms of the [`SqliteHistory`](super::SqliteHistory) in a directory, as they are at this moment; somebody else
/// may have it open and write on. Without any room named, all that have a name: not what was said to users alone.
///
/// It blocks. What is written meanwhile waits in the history's write-ahead log, which grows until this is done.
///
/// # Errors
/// [`ExchangeError`]; a damaged record breaks it off, naming room and seq.
pub fn export_history(dir: &Path, rooms: &[RoomKey], out: &mut dyn Write) -> Result<Exported, ExchangeError> {
    write_out(dir, rooms, out).map_err(|error| match error {
        ExchangeError::Store(error) => error.in_file(SPEC.file).into(),
        error => error,
    })
}

fn write_out(dir: &Path, rooms: &[RoomKey], out: &mut dyn Write) -> Result<Exported, ExchangeError> {
    let connection = existing(dir)?;
    let failed = |e: rusqlite::Error| failure(&e);
    // All that follows is read at one moment.
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let epoch: String = transaction.query_row("SELECT epoch FROM life", [], |row| row.get(0)).map_err(failed)?;
    let mut there = Vec::new();
    {
        let mut select = transaction.prepare("SELECT number, key FROM rooms ORDER BY key").map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let key: String = row.get(1).map_err(failed)?;
            there.push((row.get::<_, i64>(0).map_err(failed)?, row::room(&key)?));
        }
    }
    if let Some(missing) = rooms.iter().find(|room| !there.iter().any(|(_, key)| key == *room)) {
        return Err(ExchangeError::NoRoom(missing.clone()));
    }
    let mut out = Summed { out, sum: blake3::Hasher::new() };
    out.line(&Header { talk: KIND.into(), version: VERSION, epoch })?;
    let mut done = Exported::default();
    let sql = format!("SELECT {COLUMNS} FROM records WHERE room = ?1 ORDER BY seq");
    let mut select = transaction.prepare(&sql).map_err(failed)?;
    for (number, room) in there {
        let named = matches!(room, RoomKey::Room(_));
        if !(rooms.is_empty() && named || rooms.contains(&room)) {
            continue;
        }
        let before = done.records;
        let mut rows = select.query([number]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            out.line(&Line::of(&row::read(&room, row)?))?;
            done.records += 1;
        }
        done.rooms += u64::from(done.records > before);
    }
    let end = End { records: done.records, rooms: done.rooms, sum: out.sum.finalize().to_hex().to_string() };
    out.line(&end)?;
    out.out.flush()?;
    Ok(done)
}

/// Takes what [`export_history`] wrote into the history of a directory, which nobody may have open; it is made when it is
/// missing. All of it, or nothing: what is damaged, is no message within [`Limits::message`], would be more rooms than
/// [`Limits::rooms`] or direct messages of more users than [`Limits::users`], or says something else than the history that is
/// there, is refused by its line, and what was made for it is taken away. What is there already stays as it is, and so
/// importing again does no harm.
///
/// The history keeps its own [`Epoch`](crate::message::Epoch). It blocks.
///
/// # Errors
/// [`ExchangeError`].
pub fn import_history(dir: &Path, limits: &Limits, input: &mut dyn BufRead) -> Result<Imported, ExchangeError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    let mut lines = Lines { input, sum: blake3::Hasher::new(), line: 0, text: Vec::new() };
    // Before anything is made.
    lines.header()?;
    let done = Database::open(dir, &SPEC).map_err(ExchangeError::from).and_then(|mut database| {
        let done = take_in(&mut database, limits, &mut lines);
        if done.is_err() {
            database.take_back(dir, &SPEC);
        }
        done
    });
    if done.is_err() {
        // Those that somebody put something into meanwhile stay.
        missing.iter().for_each(|dir| drop(fs::remove_dir(dir)));
    }
    done
}

fn take_in(database: &mut Database, limits: &Limits, lines: &mut Lines<'_>) -> Result<Imported, ExchangeError> {
    sqlite::epoch(database)?;
    let mut index = Index { rooms: HashMap::new(), ids: Ids::new(limits) };
    let numbers = sqlite::load(database.connection(), &mut index).map_err(|error| error.in_file(SPEC.file))?;
    let transaction = database.transaction()?;
    let next = numbers.values().max().map_or(1, |most| most + 1);
    let mut import = Import {
        transaction: &transaction,
        most: limits.message,
        places: Places::new(limits, &index.rooms),
        rooms: index.rooms,
        numbers,
        next,
        last: HashMap::new(),
        done: Imported::default(),
    };
    import.all(lines)?;
    let done = import.done;
    transaction.commit().map_err(|e| failure(&e))?;
    Ok(done)
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Header {
    talk: String,
    version: u64,
    epoch: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    room: String,
    seq: u64,
    prev: u64,
    ts: u64,
    user: String,
    from: String,
    id: Option<String>,
    body: String,
    sum: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct End {
    records: u64,
    rooms: u64,
    sum: String,
}

impl Line {
    fn of(record: &Record) -> Self {
        Self {
            room: record.room.to_string(),
            seq: record.seq,
            prev: record.prev,
            ts: record.at.as_millis(),
            user: record.user.to_string(),
            from: record.from.to_string(),
            id: record.id.as_ref().map(|id| id.as_str().to_owned()),
            body: record.body.to_string(),
            sum: hex(row::checksum(record)),
        }
    }

    /// What it says, where a message could say so: whoever reads it later must not be surprised.
    fn record(self, most: usize) -> Result<Record, String> {
        let room = RoomKey::parse(&self.room).ok_or_else(|| format!("{:?} is no room", self.room))?;
        let user = match RoomKey::parse(&format!("@{}", self.user)) {
            Some(RoomKey::Direct(user)) => user,
            _ => return Err(format!("{:?} is no user's id", self.user)),
        };
        let id = self.id.as_deref().map(MessageId::new).transpose().map_err(|e| e.to_string())?;
        let at = Timestamp::from_millis(self.ts);
        let (from, body) = (self.from.into(), self.body.into());
        let record = Record { room, seq: self.seq, prev: self.prev, at, user, from, id, body };
        if hex(row::checksum(&record)) != self.sum {
            return Err("the checksum is wrong".into());
        }
        if self.ts > LAST_TIME {
            return Err(format!("{} is no time", self.ts));
        }
        if record.seq > LAST_SEQ || record.prev >= record.seq {
            return Err(format!("{} cannot follow {}", record.seq, record.prev));
        }
        let unwanted = |text: &str| matches!(clean(text), Cow::Owned(_));
        if unwanted(&record.body) || unwanted(&record.from) || matches!(one_line(&record.from), Cow::Owned(_)) {
            return Err("it holds control characters".into());
        }
        if record.from.chars().nth(MOST_FROM).is_some() {
            return Err(format!("a name has at most {MOST_FROM} characters"));
        }
        if record.body.len() > most {
            return Err(format!("the text has {} bytes, and limits.message allows {most}", record.body.len()));
        }
        Ok(record)
    }
}

/// Writes lines, and sums them up.
struct Summed<'a> {
    out: &'a mut dyn Write,
    sum: blake3::Hasher,
}

impl Summed<'_> {
    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.sum.update(&text);
        self.out.write_all(&text)
    }
}

/// Reads lines, and sums up those before the one that was read last.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    sum: blake3::Hasher,
    line: u64,
    text: Vec<u8>,
}

impl Lines<'_> {
    /// The next line; false at the end.
    fn next(&mut self) -> Result<bool, ExchangeError> {
        self.sum.update(&self.text);
        self.text.clear();
        self.line += 1;
        (&mut *self.input).take(MOST_LINE).read_until(b'\n', &mut self.text)?;
        if self.text.len() as u64 == MOST_LINE && !self.text.ends_with(b"\n") {
            return Err(self.wrong("it is too long"));
        }
        Ok(!self.text.is_empty())
    }

    fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ExchangeError> {
        serde_json::from_slice(&self.text).map_err(|error| {
            let told = error.to_string();
            // Where in the line is of no use to those who did not write it.
            let told = told.rsplit_once(" at line ").map_or(told.as_str(), |(told, _)| told);
            self.wrong(if error.is_data() { told } else { "it is not JSON, or not all of it" })
        })
    }

    /// Reads the first line.
    fn header(&mut self) -> Result<(), ExchangeError> {
        if !self.next()? {
            return Err(self.wrong("there is nothing"));
        }
        let header: Option<Header> = serde_json::from_slice(&self.text).ok();
        match header.filter(|header| header.talk == KIND) {
            None => Err(self.wrong("this is not how one begins")),
            Some(Header { version: VERSION, .. }) => Ok(()),
            Some(Header { version, .. }) => {
                Err(self.wrong(format_args!("it is of version {version}, and this program reads version {VERSION}")))
            }
        }
    }

    fn wrong(&self, what: impl ToString) -> ExchangeError {
        // It may repeat what stands there.
        let what: String = SafeText(&what.to_string()).to_string().chars().take(MOST_SAID).collect();
        ExchangeError::Line { line: self.line, what }
    }
}

/// How many more rooms may have messages.
struct Places {
    /// Those with a name, and how many there may be of them.
    rooms: (usize, usize),
    /// Users with direct messages, and how many there may be of them.
    users: (usize, usize),
}

impl Places {
    fn new(limits: &Limits, there: &HashMap<RoomKey, Tally>) -> Self {
        let mut places = Self { rooms: (0, limits.rooms), users: (0, limits.users) };
        // There may be more than may come.
        there.iter().filter(|(_, tally)| tally.count > 0).for_each(|(room, _)| places.of(room).0 += 1);
        places
    }

    fn of(&mut self, room: &RoomKey) -> &mut (usize, usize) {
        match room {
            RoomKey::Room(_) => &mut self.rooms,
            RoomKey::Direct(_) => &mut self.users,
        }
    }

    /// One more room.
    fn take(&mut self, room: &RoomKey) -> Result<(), String> {
        let (there, most) = self.of(room);
        if *there >= *most {
            let limit = if matches!(room, RoomKey::Room(_)) { "rooms" } else { "users" };
            return Err(format!("it is one too many: limits.{limit} allows {most}"));
        }
        *there += 1;
        Ok(())
    }
}

struct Import<'a> {
    transaction: &'a Transaction<'a>,
    /// Bytes that a text may have.
    most: usize,
    places: Places,
    rooms: HashMap<RoomKey, Tally>,
    numbers: HashMap<RoomKey, i64>,
    next: i64,
    /// The last seq of each room in what is imported.
    last: HashMap<RoomKey, u64>,
    done: Imported,
}

impl Import<'_> {
    /// All behind the first line.
    fn all(&mut self, lines: &mut Lines<'_>) -> Result<(), ExchangeError> {
        loop {
            if !lines.next()? {
                return Err(lines.wrong("the end is missing: this was cut short"));
            }
            if lines.text.starts_with(END) {
                break;
            }
            let record = lines.parse::<Line>()?.record(self.most).map_err(|what| lines.wrong(what))?;
            let known = self
                .take(&record)?
                .map_err(|what| lines.wrong(format_args!("room {}, seq {}: {what}", record.room, record.seq)))?;
            *(if known { &mut self.done.known } else { &mut self.done.added }) += 1;
        }
        self.done.rooms = self.last.len() as u64;
        let end: End = lines.parse()?;
        let (records, rooms) = (self.done.known + self.done.added, self.done.rooms);
        if (end.records, end.rooms) != (records, rooms) {
            let counted = format!("{records} messages of {rooms} rooms came");
            return Err(lines.wrong(format_args!("{counted}, where {} of {} are said", end.records, end.rooms)));
        }
        if end.sum != lines.sum.finalize().to_hex().as_str() {
            return Err(lines.wrong("the checksum of the whole is wrong"));
        }
        if lines.next()? {
            return Err(lines.wrong("something stands behind the end"));
        }
        Ok(())
    }

    /// Whether a record was known already. The inner error says why it cannot be taken.
    fn take(&mut self, record: &Record) -> Result<Result<bool, String>, StoreError> {
        let failed = |e: rusqlite::Error| failure(&e);
        if let Some(last) = self.last.insert(record.room.clone(), record.seq)
            && last != record.prev
        {
            return Ok(Err(format!("it follows {} where the one before it is {last}", record.prev)));
        }
        let begun = self.rooms.get(&record.room).is_some_and(|tally| tally.head > 0);
        if !begun {
            // Where retention had cut what came before.
            let cut = record.prev;
            let number = self.begin(&record.room, cut).map_err(failed)?;
            self.numbers.insert(record.room.clone(), number);
            self.rooms.insert(record.room.clone(), Tally { head: cut, cut, ..Tally::default() });
        }
        let (Some(tally), Some(number)) = (self.rooms.get_mut(&record.room), self.numbers.get(&record.room)) else {
            return Ok(Err("the room has no number".into()));
        };
        if record.seq <= tally.cut {
            return Ok(Ok(true));
        }
        let sum = row::checksum(record);
        if record.seq <= tally.head {
            let mut select = self.transaction.prepare_cached(SUM).map_err(failed)?;
            let here: Option<i64> =
                select.query_row(params![number, stored(record.seq)], |row| row.get(0)).optional().map_err(failed)?;
            return Ok(if here == Some(sum) { Ok(true) } else { Err("another message has this place here".into()) });
        }
        if record.prev != tally.head {
            return Ok(Err(format!("it follows {}, and here the room ends with {}", record.prev, tally.head)));
        }
        if tally.count == 0
            && let Err(what) = self.places.take(&record.room)
        {
            return Ok(Err(what));
        }
        let mut insert = self.transaction.prepare_cached(row::INSERT).map_err(failed)?;
        row::insert(&mut insert, *number, record, sum).map_err(failed)?;
        tally.head = record.seq;
        tally.count += 1;
        Ok(Ok(false))
    }

    fn begin(&mut self, room: &RoomKey, cut: u64) -> rusqlite::Result<i64> {
        if let Some(number) = self.numbers.get(room) {
            self.transaction.execute("UPDATE rooms SET cut = ?2 WHERE number = ?1", params![number, stored(cut)])?;
            return Ok(*number);
        }
        let mut insert = self.transaction.prepare_cached("INSERT INTO rooms (number, key, cut) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![self.next, room.to_string(), stored(cut)])?;
        self.next += 1;
        Ok(self.next - 1)
    }
}

fn existing(dir: &Path) -> Result<Connection, StoreError> {
    let path = dir.join(SPEC.file);
    if !path.is_file() {
        return Err(StoreError::Unavailable(format!("there is no {}", path.display())));
    }
    let connection = visit(&path)?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    match version.map_err(|e| failure(&e))? {
        0 => Err(StoreError::Damaged("a server has left nothing in it".into())),
        _ => Ok(connection),
    }
}

/// A checksum as it is written.
fn hex(sum: i64) -> String {
    format!("{:016x}", sum.cast_unsigned())
}

const KIND: &str = "rooms";
const VERSION: u64 = 1;
/// How the last line begins, and no other.
const END: &[u8] = br#"{"records":"#;
/// Bytes of a line; a text of a message has far fewer, however it is escaped.
const MOST_LINE: u64 = 4 << 20;
/// Characters of a name, and the number behind it where there is one.
const MOST_FROM: usize = MAX_NAME + 16;
/// Characters of what is said of a line.
const MOST_SAID: usize = 300;
/// Milliseconds up to the end of the year 9999: what comes later, many a calendar does not have.
const LAST_TIME: u64 = 253_402_300_799_999;
/// Far more than a room can have said; there is room behind it, and every program can count so far.
const LAST_SEQ: u64 = 1 << 48;
const SUM: &str = "SELECT checksum FROM records WHERE room = ?1 AND seq = ?2";
