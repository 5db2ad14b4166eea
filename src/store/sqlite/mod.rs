//! What every store on SQLite shares: its place on disk, one connection that writes, a few that read, and what becomes
//! of a failure.

mod checksum;
mod readers;
mod writer;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction};
use tracing::error;

pub(super) use checksum::Checksum;
pub(super) use readers::{Readers, read_only, visit};
pub(super) use writer::{Reply, Writer};

use super::StoreError;
use crate::files::{LockedFile, owner_only, owner_only_directory, sync_directory, sync_parent};
use crate::measure::{Durations, Histogram};

/// One kind of database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    /// Whose it is, for errors and the writer's thread.
    pub(super) what: &'static str,
    /// The database's file name.
    pub(super) file: &'static str,
    /// The file that is locked while it is open. Each kind has its own, so that several may share a directory.
    pub(super) lock: &'static str,
    /// What makes version 1 of it, and then each further version of the one before.
    pub(super) versions: &'static [&'static str],
    /// Whether each commit is synced to disk before it counts. Without, the disk is synced only by checkpoints, which
    /// run after the answers: a power cut takes the latest commits, and leaves the database whole.
    pub(super) synced: bool,
    /// Whether it is looked through for damage when it is opened. What can be made anew at any time need not be.
    pub(super) checked: bool,
}

/// How the connection that writes keeps what it commits, as SQLite says it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SqliteSettings {
    /// `PRAGMA journal_mode`: `wal`.
    pub journal_mode: String,
    /// `PRAGMA synchronous`: 2, which is `FULL`, a sync to disk with each commit; or 1, `NORMAL`, without.
    pub synchronous: i64,
}

/// How a store's writing goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SqliteLoad {
    /// Writes that wait for the next transaction.
    pub waiting: usize,
    /// How long each commit took: with every commit synced, that is mostly the disk.
    pub commits: Durations,
}

/// The one connection that writes, and the lock on its directory.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    what: &'static str,
    /// How long each commit took, syncing included.
    commits: Arc<Histogram>,
    /// Pages that the write-ahead log holds.
    log_pages: Arc<AtomicUsize>,
    /// Why nothing can be written any more.
    failed: Option<StoreError>,
    /// Whether this opening made it.
    new: bool,
    /// Held to the last: fields are dropped in order.
    lock: LockedFile,
}

impl Database {
    /// Opens or makes the database in a directory, which is made (readable by its owner alone) when it is missing.
    pub(super) fn open(dir: &Path, spec: &Spec) -> Result<Self, StoreError> {
        make_dir(dir).map_err(|e| unavailable("cannot make the data directory", &e))?;
        let lock = lock(&dir.join(spec.lock))?;
        let new = !dir.join(spec.file).exists();
        let mut connection = connect(dir, spec).map_err(|error| error.in_file(spec.file))?;
        let log_pages = Arc::new(AtomicUsize::new(0));
        let count = log_pages.clone();
        // In place of SQLite's own checkpoints, which come before a commit's answer.
        let hook = move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            count.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(|e| failure(&e))?;
        Ok(Self { connection, what: spec.what, commits: Arc::default(), log_pages, failed: None, new, lock })
    }

    /// Closes it, and takes it away again if this opening made it: with its lock, which is held to the last.
    pub(super) fn take_back(self, dir: &Path, spec: &Spec) {
        let Self { connection, new, lock, .. } = self;
        drop(connection);
        if new {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(dir.join(format!("{}{end}", spec.file)));
            }
            let _ = fs::remove_file(dir.join(spec.lock));
        }
        drop(lock);
    }

    /// Reads, by the connection that writes.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn settings(&self) -> rusqlite::Result<SqliteSettings> {
        Ok(SqliteSettings {
            journal_mode: self.connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
            synchronous: self.connection.pragma_query_value(None, "synchronous", |row| row.get(0))?,
        })
    }

    /// Whether writing still makes sense.
    pub(super) fn usable(&self) -> Result<(), StoreError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// One transaction: all of it, or nothing.
    pub(super) fn write<T>(
        &mut self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.usable()?;
        let result = self.connection.transaction().and_then(|transaction| {
            let done = write(&transaction)?;
            let start = Instant::now();
            transaction.commit()?;
            self.commits.record(start.elapsed());
            Ok(done)
        });
        result.map_err(|cause| self.failed_by(&cause))
    }

    /// One transaction that is not this module's to end: for a program that does nothing else.
    pub(super) fn transaction(&mut self) -> Result<Transaction<'_>, StoreError> {
        self.usable()?;
        self.connection.transaction().map_err(|e| failure(&e))
    }

    /// Brings a long write-ahead log into the database; called when everybody has their answer.
    fn checkpoint(&mut self) {
        if self.log_pages.load(Ordering::Relaxed) < CHECKPOINT || self.failed.is_some() {
            return;
        }
        if let Err(cause) = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            self.failed_by(&cause);
        }
    }

    fn failed_by(&mut self, cause: &rusqlite::Error) -> StoreError {
        let mapped = failure(cause);
        error!(error = %cause, "cannot write to the {}'s database", self.what);
        if is_lasting(cause) {
            // After a failed sync nobody knows what is on disk, and a second one may lie (it drops what the first
            // could not write): only a start that reads it all again can tell.
            self.failed = Some(mapped.clone());
        }
        mapped
    }
}

pub(super) fn failure(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full("no space is left on the disk".into()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
        None if is_nonsense(error) => StoreError::Damaged(format!("it holds what nobody wrote there ({error})")),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn is_lasting(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(SystemIoFailure | DatabaseCorrupt | NotADatabase))
}

/// Whether something was read, and is not what only can stand there.
fn is_nonsense(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows, Utf8Error,
    };
    matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | QueryReturnedNoRows
            | Utf8Error(..)
    )
}

impl StoreError {
    /// Says in which file the damage is.
    pub(super) fn in_file(self, file: &str) -> Self {
        match self {
            Self::Damaged(what) => Self::Damaged(format!("{file}: {what}")),
            error => error,
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".into())
}

pub(super) fn unavailable(what: &str, error: &io::Error) -> StoreError {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => "; let the user that this runs as write there, or name another directory",
        io::ErrorKind::ReadOnlyFilesystem => "; name a directory that can be written to",
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "; name a directory, not a file",
        _ => "",
    };
    StoreError::Unavailable(format!("{what}: {error}{advice}"))
}

pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    owner_only_directory(dir)?;
    sync_parent(dir)
}

fn lock(path: &Path) -> Result<LockedFile, StoreError> {
    let file = private_file(path).map_err(|e| unavailable("cannot open the lock file", &e))?;
    match LockedFile::try_lock(file) {
        // Whoever had it has taken it away with what they made, and the next to come locks another.
        Ok(file) if is_removed(&file) => Err(StoreError::Locked),
        Ok(file) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(e)) => Err(unavailable("cannot lock the data directory", &e)),
    }
}

fn is_removed(file: &File) -> bool {
    #[cfg(unix)]
    return file.metadata().is_ok_and(|about| std::os::unix::fs::MetadataExt::nlink(&about) == 0);
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}

/// Opens or makes a file that only its owner may read. SQLite gives its other files the same mode.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    owner_only(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(path)
}

/// Opens or makes a database, without a lock on it.
pub(super) fn connect(dir: &Path, spec: &Spec) -> Result<Connection, StoreError> {
    let path = dir.join(spec.file);
    let new = !path.exists();
    let file = private_file(&path).map_err(|e| unavailable("cannot open the database", &e))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(|e| failure(&e))?;
    prepare(&mut connection, spec)?;
    if new {
        file.sync_all()
            .and_then(|()| sync_directory(dir))
            .map_err(|e| unavailable("cannot sync the new database", &e))?;
    }
    Ok(connection)
}

fn prepare(connection: &mut Connection, spec: &Spec) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY).map_err(|e| failure(&e))?;
    if spec.checked {
        quick_check(connection)?;
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(|e| failure(&e))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!("the journal mode stays {mode:?} where WAL is needed")));
    }
    let synchronous = if spec.synced { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous).map_err(|e| failure(&e))?;
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| failure(&e))?;
    let missing = usize::try_from(version).ok().and_then(|have| spec.versions.get(have..));
    match missing {
        Some([]) => Ok(()),
        Some(missing) => bring_up(connection, version, missing).map_err(|e| failure(&e)),
        None => Err(StoreError::Unavailable(format!(
            "version {version} of the data needs a newer program; run that one, or name another directory"
        ))),
    }
}

/// Looks a database through for damage.
pub(super) fn quick_check(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| failure(&e))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Damaged(found)) }
}

/// Makes the latest version of what is there, or leaves it as it is.
fn bring_up(connection: &mut Connection, have: i64, missing: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for (version, step) in (have + 1..).zip(missing) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()
}

/// How long somebody else's hold on the file (a backup) is waited out.
const BUSY: Duration = Duration::from_secs(5);
/// Pages in the write-ahead log from which on it is brought into the database: 4 MiB, as SQLite itself would.
const CHECKPOINT: usize = 1000;
