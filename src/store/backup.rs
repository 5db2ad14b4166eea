//! A copy of everything that is kept in a directory, while somebody else goes on writing there.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use super::sqlite::{failure, make_dir, private_file, quick_check, unavailable, visit};
use super::{SqliteAccounts, SqliteHistory, SqliteRegistry, SqliteRules, StoreError};
use crate::files::{Partial, sync_directory};
use crate::limits::Limits;
use crate::message::Epoch;

/// Why there is no copy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It would replace something: nothing was done.
    #[error("{} is there already; name a directory that is not", .0.display())]
    Occupied(PathBuf),
    /// It would be a part of what is copied: nothing was done.
    #[error("{} is inside of what is copied; name a directory elsewhere", .0.display())]
    Inside(PathBuf),
    /// The directory that it would be in is not there: nothing was done.
    #[error(
        "there is no directory {} to put the copy in; mount what belongs there, or make it, or name another directory",
        .0.display()
    )]
    Nowhere(PathBuf),
    /// Nothing is kept there: nothing was done.
    #[error("{} is no data directory: it has nothing to copy", .0.display())]
    Nothing(PathBuf),
    /// What is there cannot be read, or the copy not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies the databases of a directory to another, which must be empty or not exist, in one that does; whoever has them open
/// goes on writing. Tells which they are.
///
/// Each is copied as it is at one moment, and these are within the time that it takes to open them; so that nothing is
/// thought to be delivered that the history does not have, the rules' moment comes first, then the history's, then those
/// of the accounts and of the registry. The copy is synced to disk and checked as a start checks it, and only then gets
/// its name: one that was broken off does not look like one.
///
/// The copy of the history begins a new [`Epoch`]: in the one that it was taken from, other messages come at the same
/// places, and whoever heard those must not think to have heard these.
///
/// It blocks. The index of texts is not copied: it is made of the history.
///
/// # Errors
/// [`BackupError`]: as [`StoreError::Unavailable`] when it cannot be read or written, as [`StoreError::Damaged`] when what
/// is there is.
pub fn backup(dir: &Path, to: &Path, limits: &Limits) -> Result<Vec<&'static str>, BackupError> {
    let files: Vec<&'static str> = FILES.into_iter().filter(|file| dir.join(file).is_file()).collect();
    if files.is_empty() {
        return Err(BackupError::Nothing(dir.into()));
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = |name: &&OsStr| !occupied(&parent.join(name));
    let name = to.file_name().filter(free).ok_or_else(|| BackupError::Occupied(to.into()))?;
    if inside(to, dir) {
        return Err(BackupError::Inside(to.into()));
    }
    if !parent.is_dir() {
        // Where a disk is not mounted, a copy would come to lie beside what it is to outlive.
        return Err(BackupError::Nowhere(parent.into()));
    }
    let begun = Partial::begin(&parent.join(name), make_dir);
    let (partial, ()) = begun.map_err(|e| unavailable("cannot make the directory of the copy", &e))?;
    copy(dir, &partial, &files)?;
    check(&partial, &files, limits)?;
    sync_directory(&partial)
        .and_then(|()| fs::rename(&*partial, to))
        .and_then(|()| sync_directory(parent))
        .map_err(|e| unavailable("cannot give the copy its name", &e))?;
    Ok(files)
}

/// Whether something is kept in a directory.
#[cfg(feature = "terminal")]
pub(crate) fn is_kept(dir: &Path) -> bool {
    FILES.iter().any(|file| dir.join(file).is_file())
}

/// Whether what is not there yet, or is empty, would be in a directory, whatever links lead there.
fn inside(to: &Path, dir: &Path) -> bool {
    let Ok(dir) = dir.canonicalize() else { return false };
    let to = std::path::absolute(to).unwrap_or_else(|_| to.into());
    to.ancestors().find_map(|there| there.canonicalize().ok()).is_some_and(|there| there.starts_with(dir))
}

/// Whether something is there; a link, wherever it leads, is.
fn occupied(to: &Path) -> bool {
    let is_empty = || fs::read_dir(to).is_ok_and(|mut files| files.next().is_none());
    to.symlink_metadata().is_ok_and(|there| !there.is_dir() || !is_empty())
}

fn copy(dir: &Path, to: &Path, files: &[&str]) -> Result<(), StoreError> {
    let sources: Vec<Connection> =
        files.iter().map(|file| visit(&dir.join(file))).collect::<Result<_, StoreError>>()?;
    for (source, file) in sources.iter().zip(files) {
        let begun = source.execute_batch("BEGIN").and_then(|()| {
            // Now it is read at this moment, whatever is written later.
            source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        });
        begun.map_err(|e| failure(&e).in_file(file))?;
    }
    for (source, file) in sources.into_iter().zip(files) {
        let failed = |e: rusqlite::Error| failure(&e).in_file(file);
        let path = to.join(file);
        let place = private_file(&path).map_err(|e| unavailable("cannot make the copy", &e))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(&path, flags).map_err(failed)?;
        {
            let backup = Backup::new(&source, &mut copy).map_err(failed)?;
            match backup.step(-1).map_err(failed)? {
                StepResult::Done => {}
                other => return Err(StoreError::Unavailable(format!("the copy of {file} broke off: {other:?}"))),
            }
        }
        if *file == HISTORY {
            copy.execute("UPDATE life SET epoch = ?1", [Epoch::random().as_str()]).map_err(failed)?;
        }
        quick_check(&copy).map_err(|error| error.in_file(file))?;
        copy.close().map_err(|(_, e)| failure(&e))?;
        place.sync_all().map_err(|e| unavailable("cannot sync the copy", &e))?;
    }
    Ok(())
}

/// Reads a copy as a start would.
fn check(dir: &Path, files: &[&str], limits: &Limits) -> Result<(), StoreError> {
    for file in files {
        let checked = match *file {
            HISTORY => SqliteHistory::check(dir, limits),
            "rules.db" => SqliteRules::open(dir, limits).map(drop),
            "accounts.db" => SqliteAccounts::open(dir, limits).map(drop),
            _ => SqliteRegistry::open(dir, limits).map(drop),
        };
        checked?;
        let synced = File::open(dir.join(file)).and_then(|file| file.sync_all());
        synced.map_err(|e| unavailable("cannot sync the copy", &e))?;
    }
    Ok(())
}

const HISTORY: &str = "history.db";
/// The databases, in the order of their moments.
const FILES: [&str; 4] = ["rules.db", HISTORY, "accounts.db", "registry.db"];
