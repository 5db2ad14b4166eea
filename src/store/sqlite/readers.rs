//! Connections that only read, beside the one that writes and without waiting for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{BUSY, Spec, closed, failure};
use crate::store::StoreError;

/// A few connections, opened when they are first needed. Reading runs on tokio's threads for blocking work.
#[derive(Debug)]
pub(in crate::store) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    /// One permit per connection; more readers wait in their own tasks.
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(in crate::store) fn new(dir: &Path, spec: &Spec) -> Self {
        Self { path: dir.join(spec.file), idle: Arc::default(), turns: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Reads in a snapshot of everything committed before.
    pub(in crate::store) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| closed())?;
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let work = move || {
            let _turn = turn;
            let waiting = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match waiting {
                Some(connection) => connection,
                None => read_only(&path)?,
            };
            let result = read(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|e| StoreError::Unavailable(format!("a reader broke off: {e}")))?
    }
}

/// Opens a database that is there, and never changes it.
pub(in crate::store) fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| failure(&e))?;
    connection.busy_timeout(BUSY).map_err(|e| failure(&e))?;
    Ok(connection)
}

/// Opens a database that somebody else may have open, to read it, and leaves no file beside it: where there is no log, SQLite
/// makes one for the time, and only a connection that might write takes it away again.
pub(in crate::store) fn visit(path: &Path) -> Result<Connection, StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).exists() {
        return read_only(path);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| failure(&e))?;
    connection.busy_timeout(BUSY).map_err(|e| failure(&e))?;
    connection.pragma_update(None, "query_only", true).map_err(|e| failure(&e))?;
    Ok(connection)
}

/// Reads that run at the same time.
const CONNECTIONS: usize = 4;
