//! A registry's users in SQLite: a change is on disk before it is answered.
//!
//! One thread owns the connection. It takes all changes that wait, plans them over the table in memory, writes what
//! they leave in one transaction (group commit), and only then changes the table and answers. So readers see nothing
//! that a crash could take back, and a transaction that fails changed nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::table::{Batch, Change, SWEEP, Table};
use super::{Claim, Lease, Record, RegistryStore, StoreError};
use crate::address::{Address, Entry, Features, Host, Locator, Protocol};
use crate::limits::Limits;
use crate::message::Timestamp;
use crate::name::UserName;
use crate::secret::{Secret, SecretHash};

/// Users in a directory on disk, which one process at a time may use.
///
/// Dropping it waits for the changes that were handed over.
#[derive(Debug)]
pub struct SqliteRegistry {
    table: Arc<RwLock<Table>>,
    /// Stored leases start with the first call: only then is the caller's clock known.
    started: Once,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// How a [`SqliteRegistry`]'s own connection keeps what it commits, as SQLite says it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Durability {
    /// `PRAGMA journal_mode`: `wal`.
    pub journal_mode: String,
    /// `PRAGMA synchronous`: 2, which is `FULL`, a sync to disk with each commit.
    pub synchronous: i64,
}

impl SqliteRegistry {
    /// Opens the registry in a directory, which is made (readable by its owner alone) when it is missing.
    ///
    /// It blocks for as long as reading and checking the whole file takes; a full registry takes about a second.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process, or this one, has it open; [`StoreError::Damaged`] when the check
    /// of the file fails or a row makes no sense; [`StoreError::Unavailable`] when it cannot be opened or made.
    pub fn open(dir: &Path, limits: &Limits) -> Result<Self, StoreError> {
        make_dir(dir).map_err(|e| unavailable("cannot make the data directory", &e))?;
        let lock = lock(dir)?;
        let connection = connect(dir)?;
        let mut table = Table::new(limits.users);
        load(&connection, &mut table)?;
        let table = Arc::new(RwLock::new(table));
        let (jobs, queue) = mpsc::channel(limits.store_queue.max(1));
        let writer = Writer { connection, table: table.clone(), latest: Timestamp::default(), failed: None };
        let run = move || {
            writer.run(queue);
            // Only now may another process have the directory.
            drop(lock);
        };
        let writer = std::thread::Builder::new().name("talk-registry-store".into()).spawn(run);
        let writer = writer.map_err(|e| unavailable("cannot start the writer thread", &e))?;
        Ok(Self { table, started: Once::new(), jobs: Some(jobs), writer: Some(writer) })
    }

    /// Asks the writer's own connection how durable its commits are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn durability(&self) -> Result<Durability, StoreError> {
        self.look(|connection| {
            Ok(Durability {
                journal_mode: connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
                synchronous: connection.pragma_query_value(None, "synchronous", |row| row.get(0))?,
            })
        })
        .await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |connection: &Connection| drop(reply.send(look(connection))));
        self.hand_over(Job::Look(look)).await?;
        answer.await.map_err(|_| closed())?.map_err(|e| failure(&e))
    }

    async fn change(&self, change: Change, now: Timestamp) -> Result<bool, StoreError> {
        self.start(now);
        let (reply, answer) = oneshot::channel();
        self.hand_over(Job::Change { change, now, reply }).await?;
        answer.await.map_err(|_| closed())?
    }

    async fn hand_over(&self, job: Job) -> Result<(), StoreError> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).await.map_err(|_| closed()),
            None => Err(closed()),
        }
    }

    fn start(&self, now: Timestamp) {
        self.started.call_once(|| write(&self.table).renew_all(now));
    }

    fn read(&self, now: Timestamp) -> RwLockReadGuard<'_, Table> {
        self.start(now);
        read(&self.table)
    }
}

impl Drop for SqliteRegistry {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A panic there was reported there.
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl RegistryStore for SqliteRegistry {
    async fn insert(&self, name: &UserName, claim: &Claim, now: Timestamp) -> Result<(), StoreError> {
        self.change(Change::Insert(name.clone(), claim.clone()), now).await.map(drop)
    }

    async fn upsert(&self, name: &UserName, claim: &Claim, now: Timestamp) -> Result<(), StoreError> {
        self.change(Change::Upsert(name.clone(), claim.clone()), now).await.map(drop)
    }

    async fn remove(&self, name: &UserName, secret: Option<&Secret>, now: Timestamp) -> Result<bool, StoreError> {
        self.change(Change::Remove(name.clone(), secret.cloned()), now).await
    }

    async fn evict(&self, name: &UserName, address: &Address, now: Timestamp) -> Result<bool, StoreError> {
        self.change(Change::Evict(name.clone(), address.clone()), now).await
    }

    async fn get(&self, name: &UserName, now: Timestamp) -> Result<Option<Record>, StoreError> {
        Ok(self.read(now).get(name, now))
    }

    async fn list(&self, now: Timestamp) -> Result<Vec<(UserName, Record)>, StoreError> {
        Ok(self.read(now).list(now))
    }

    async fn renew_all(&self, now: Timestamp) -> Result<(), StoreError> {
        self.start(now);
        write(&self.table).renew_all(now);
        Ok(())
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.start(now);
        let (reply, answer) = oneshot::channel();
        self.hand_over(Job::Sweep { now, reply }).await?;
        answer.await.map_err(|_| closed())?
    }
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Job {
    Change { change: Change, now: Timestamp, reply: Reply<bool> },
    Sweep { now: Timestamp, reply: Reply<usize> },
    Look(Box<dyn FnOnce(&Connection) + Send>),
}

struct Writer {
    connection: Connection,
    table: Arc<RwLock<Table>>,
    /// The latest clock of any caller: callers race, the clock does not run backwards.
    latest: Timestamp,
    /// Why nothing can be written any more.
    failed: Option<StoreError>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        while queue.blocking_recv_many(&mut jobs, GROUP) > 0 {
            self.turn(&mut jobs);
        }
        if let Err(error) = self.connection.close() {
            error!(error = %error.1, "cannot close the registry's database");
        }
    }

    /// Everything that waits, in one transaction.
    fn turn(&mut self, jobs: &mut Vec<Job>) {
        let mut batch = Batch::default();
        let mut changes = Vec::with_capacity(jobs.len());
        let mut sweeps = Vec::new();
        {
            let table = read(&self.table);
            for job in jobs.drain(..) {
                match job {
                    Job::Change { change, now, reply } => {
                        self.latest = self.latest.max(now);
                        if changes.is_empty() {
                            table.plan_sweep(&mut batch, self.latest, SWEEP);
                        }
                        let result = table.plan(&mut batch, &change, self.latest);
                        changes.push((result, reply));
                    }
                    Job::Sweep { now, reply } => {
                        self.latest = self.latest.max(now);
                        sweeps.push((table.plan_sweep(&mut batch, self.latest, SWEEP_MANY), reply));
                    }
                    Job::Look(look) => look(&self.connection),
                }
            }
        }
        match self.commit(&batch) {
            Ok(()) => {
                write(&self.table).apply(batch);
                // A caller that went away does not need its answer.
                changes.into_iter().for_each(|(result, reply)| drop(reply.send(result)));
                sweeps.into_iter().for_each(|(swept, reply)| drop(reply.send(Ok(swept))));
            }
            Err(error) => {
                // Even a refusal may have been decided by a change that now never happened.
                changes.into_iter().for_each(|(_, reply)| drop(reply.send(Err(error.clone()))));
                sweeps.into_iter().for_each(|(_, reply)| drop(reply.send(Err(error.clone()))));
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let table = read(&self.table);
        // A renewal leaves the row as it is on disk: only its lease starts anew.
        let rows: Vec<_> = batch.changes().filter(|(name, record)| !table.keeps(name, *record)).collect();
        drop(table);
        if rows.is_empty() {
            return Ok(());
        }
        let result = store(&mut self.connection, &rows);
        result.map_err(|cause| {
            let mapped = failure(&cause);
            error!(error = %cause, "cannot write to the registry's database");
            if is_lasting(&cause) {
                // After a failed sync nobody knows what is on disk, and a second one may lie (it drops what the first
                // could not write): only a start that reads it all again can tell.
                self.failed = Some(mapped.clone());
            }
            mapped
        })
    }
}

fn store(connection: &mut Connection, rows: &[(&UserName, Option<&Record>)]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut put = transaction.prepare_cached(PUT)?;
        let mut delete = transaction.prepare_cached("DELETE FROM users WHERE name = ?1")?;
        for (name, record) in rows {
            let Some(record) = record else {
                delete.execute([name.as_str()])?;
                continue;
            };
            let (host, port, locator) = match &record.entry.address {
                Address::Network { host, port, .. } => (Some(host.as_str()), Some(*port), None),
                Address::Other { locator, .. } => (None, None, Some(locator.as_str())),
            };
            put.execute(params![
                name.as_str(),
                record.entry.address.protocol().as_str(),
                host,
                port,
                locator,
                record.entry.features.iter().collect::<Vec<_>>().join(" "),
                record.owner.as_ref().map(|owner| owner.as_bytes().as_slice()),
                record.lease.map(|lease| lease.ttl),
            ])?;
        }
    }
    transaction.commit()
}

fn load(connection: &Connection, table: &mut Table) -> Result<(), StoreError> {
    let mut select = connection.prepare(SELECT).map_err(|e| failure(&e))?;
    let mut rows = select.query([]).map_err(|e| failure(&e))?;
    while let Some(row) = rows.next().map_err(|e| failure(&e))? {
        let (name, record) = parse(row).map_err(|reason| {
            let name = row.get::<_, String>(0).unwrap_or_default();
            StoreError::Damaged(format!("the row of {name:?} makes no sense: {reason}"))
        })?;
        table.set(name, Some(record));
    }
    Ok(())
}

fn parse(row: &rusqlite::Row<'_>) -> Result<(UserName, Record), Box<dyn std::error::Error>> {
    let name = UserName::new(&row.get::<_, String>(0)?)?;
    let protocol = Protocol::new(&row.get::<_, String>(1)?)?;
    let place: (Option<String>, Option<u16>, Option<String>) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let address = match place {
        (Some(host), Some(port), None) if port != 0 => Address::network(protocol, Host::new(&host)?, port),
        (None, None, Some(locator)) if !protocol.is_standard() => {
            Address::Other { protocol, locator: Locator::new(&locator)? }
        }
        _ => return Err("neither host and port nor a locator".into()),
    };
    let features = Features::new(row.get::<_, String>(5)?.split_ascii_whitespace())?;
    let owner = row.get::<_, Option<[u8; 32]>>(6)?.map(SecretHash::from_bytes);
    // The lease runs from the first call on, whose clock `renew_all` brings.
    let lease = row.get::<_, Option<u32>>(7)?.map(|ttl| Lease::starting(ttl, Timestamp::default()));
    Ok((name, Record { entry: Entry { address, features }, owner, lease }))
}

fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = private_file(&dir.join("lock")).map_err(|e| unavailable("cannot open the lock file", &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(e)) => Err(unavailable("cannot lock the data directory", &e)),
    }
}

/// Opens or makes a file that only its owner may read. SQLite gives its other files the same mode.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn connect(dir: &Path) -> Result<Connection, StoreError> {
    let path = dir.join(FILE);
    let new = !path.exists();
    let file = private_file(&path).map_err(|e| unavailable("cannot open the database", &e))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(|e| failure(&e))?;
    prepare(&mut connection)?;
    if new {
        file.sync_all().and_then(|()| sync_dir(dir)).map_err(|e| unavailable("cannot sync the new database", &e))?;
    }
    Ok(connection)
}

fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY).map_err(|e| failure(&e))?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| failure(&e))?;
    if found != "ok" {
        return Err(StoreError::Damaged(found));
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(|e| failure(&e))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!("the journal mode stays {mode:?} where WAL is needed")));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(|e| failure(&e))?;
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| failure(&e))?;
    match version {
        0 => {
            let transaction = connection.transaction().map_err(|e| failure(&e))?;
            transaction.execute_batch(SCHEMA).map_err(|e| failure(&e))?;
            transaction.commit().map_err(|e| failure(&e))
        }
        1 => Ok(()),
        newer => Err(StoreError::Unavailable(format!("version {newer} of the data needs a newer program"))),
    }
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere a directory cannot be opened to be synced.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

fn failure(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full("no space is left on the disk".into()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

fn is_lasting(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(SystemIoFailure | DatabaseCorrupt | NotADatabase))
}

fn unavailable(what: &str, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{what}: {error}"))
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".into())
}

fn read(table: &RwLock<Table>) -> RwLockReadGuard<'_, Table> {
    table.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(table: &RwLock<Table>) -> RwLockWriteGuard<'_, Table> {
    table.write().unwrap_or_else(PoisonError::into_inner)
}

const FILE: &str = "registry.db";
/// Changes that one transaction takes at most.
const GROUP: usize = 4096;
/// Ended records that one call of `sweep` forgets at most.
const SWEEP_MANY: usize = 1024;
/// How long somebody else's hold on the file (a backup) is waited out.
const BUSY: Duration = Duration::from_secs(5);
/// An expiry is not stored: a lease starts anew with the program.
const SCHEMA: &str = "
    CREATE TABLE users (
        name TEXT NOT NULL PRIMARY KEY,
        protocol TEXT NOT NULL,
        host TEXT,
        port INTEGER,
        locator TEXT,
        features TEXT NOT NULL,
        owner BLOB,
        ttl INTEGER
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;";
const SELECT: &str = "SELECT name, protocol, host, port, locator, features, owner, ttl FROM users";
const PUT: &str = "INSERT INTO users (name, protocol, host, port, locator, features, owner, ttl)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (name) DO UPDATE SET protocol = ?2, host = ?3, port = ?4, locator = ?5, features = ?6, owner = ?7,
        ttl = ?8";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Placement;

    fn name(number: usize) -> UserName {
        UserName::new(&format!("user-{number}")).unwrap()
    }

    fn claim(ttl: Option<u32>) -> Claim {
        let entry = Entry::acknowledging(Address::loopback(Protocol::UDP, 1));
        Claim { placement: Placement::of(&entry), secret: Some(Secret::new("s").unwrap()), ttl }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[tokio::test]
    async fn a_full_disk_refuses_writes_changes_nothing_and_goes_on_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteRegistry::open(dir.path(), &Limits::default()).unwrap();
        let pages = |count: u32| move |c: &Connection| c.pragma_update(None, "max_page_count", count);
        store.look(pages(4)).await.unwrap();
        let mut written = 0;
        let full = loop {
            match store.insert(&name(written), &claim(None), at(0)).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, StoreError::Full(_)), "{full:?}");
        assert_eq!(store.get(&name(written), at(0)).await.unwrap(), None);
        assert_eq!(store.list(at(0)).await.unwrap().len(), written);
        store.look(pages(1000)).await.unwrap();
        store.insert(&name(written), &claim(None), at(0)).await.unwrap();
        drop(store);
        let store = SqliteRegistry::open(dir.path(), &Limits::default()).unwrap();
        assert_eq!(store.list(at(0)).await.unwrap().len(), written + 1);
    }

    #[tokio::test]
    async fn what_has_ended_leaves_the_disk_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteRegistry::open(dir.path(), &Limits::default()).unwrap();
        for number in 0..10 {
            store.insert(&name(number), &claim(Some(5)), at(0)).await.unwrap();
        }
        let count = |c: &Connection| c.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0));
        assert_eq!(store.sweep(at(9)).await.unwrap(), 0);
        assert_eq!(store.look(count).await.unwrap(), 10);
        assert_eq!(store.sweep(at(10)).await.unwrap(), 10);
        assert_eq!(store.look(count).await.unwrap(), 0);
    }
}
