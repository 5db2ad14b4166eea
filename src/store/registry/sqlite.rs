//! A registry's users in SQLite: a change is on disk before it is answered.
//!
//! One thread owns the connection. It takes all changes that wait, plans them over the table in memory, writes what
//! they leave in one transaction (group commit), and only then changes the table and answers. So readers see nothing
//! that a crash could take back, and a transaction that fails changed nothing.

use std::path::Path;
use std::sync::{Arc, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, params};

use super::table::{Batch, Change, SWEEP, Table};
use super::{Claim, Lease, Registration, RegistryStore, StoreError};
use crate::address::{Address, Entry, Features, Host, Locator, Protocol};
use crate::limits::Limits;
use crate::message::Timestamp;
use crate::name::UserName;
use crate::secret::{Secret, SecretHash};
use crate::store::sqlite::{Database, Reply, Spec, SqliteLoad, SqliteSettings, Writer, failure};

/// Users in a directory on disk, which one process at a time may use.
///
/// Dropping it waits for the changes that were handed over.
#[derive(Debug)]
pub struct SqliteRegistry {
    table: Arc<RwLock<Table>>,
    /// Stored leases start with the first call: only then is the caller's clock known.
    started: Once,
    writer: Writer<Job>,
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
        let database = Database::open(dir, &SPEC)?;
        let mut table = Table::new(limits.users);
        load(database.connection(), &mut table).map_err(|error| error.in_file(SPEC.file))?;
        let table = Arc::new(RwLock::new(table));
        let mut turns = Turns { table: table.clone(), latest: Timestamp::default() };
        let turn = move |database: &mut Database, jobs| turns.turn(database, jobs);
        let writer = Writer::start(database, limits.store_queue, turn)?;
        Ok(Self { table, started: Once::new(), writer })
    }

    /// Asks the writer's own connection how durable its commits are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn settings(&self) -> Result<SqliteSettings, StoreError> {
        self.writer.look(Database::settings).await
    }

    /// How its writing goes, now and since it was opened.
    #[must_use]
    pub fn load(&self) -> SqliteLoad {
        self.writer.load()
    }

    async fn change(&self, change: Change, now: Timestamp) -> Result<bool, StoreError> {
        self.start(now);
        self.writer.ask(|reply| Job::Change { change, now, reply }).await
    }

    fn start(&self, now: Timestamp) {
        self.started.call_once(|| write(&self.table).renew_all(now));
    }

    fn read(&self, now: Timestamp) -> RwLockReadGuard<'_, Table> {
        self.start(now);
        read(&self.table)
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

    async fn get(&self, name: &UserName, now: Timestamp) -> Result<Option<Registration>, StoreError> {
        Ok(self.read(now).get(name, now))
    }

    async fn list(&self, now: Timestamp) -> Result<Vec<(UserName, Registration)>, StoreError> {
        Ok(self.read(now).list(now))
    }

    fn version(&self) -> Option<u64> {
        Some(read(&self.table).version())
    }

    async fn renew_all(&self, now: Timestamp) -> Result<(), StoreError> {
        self.start(now);
        write(&self.table).renew_all(now);
        Ok(())
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.start(now);
        self.writer.ask(|reply| Job::Sweep { now, reply }).await
    }
}

enum Job {
    Change { change: Change, now: Timestamp, reply: Reply<bool> },
    Sweep { now: Timestamp, reply: Reply<usize> },
}

struct Turns {
    table: Arc<RwLock<Table>>,
    /// The latest clock of any caller: callers race, the clock does not run backwards.
    latest: Timestamp,
}

impl Turns {
    /// Everything that waits, in one transaction.
    fn turn(&mut self, database: &mut Database, jobs: Vec<Job>) {
        let mut batch = Batch::default();
        let mut changes = Vec::with_capacity(jobs.len());
        let mut sweeps = Vec::new();
        {
            let table = read(&self.table);
            for job in jobs {
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
                }
            }
        }
        match self.commit(database, &batch) {
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

    fn commit(&self, database: &mut Database, batch: &Batch) -> Result<(), StoreError> {
        let table = read(&self.table);
        // A renewal leaves the row as it is on disk: only its lease starts anew.
        let rows: Vec<_> = batch.changes().filter(|(name, record)| !table.keeps(name, *record)).collect();
        drop(table);
        if rows.is_empty() { database.usable() } else { database.write(|transaction| store(transaction, &rows)) }
    }
}

fn store(transaction: &Transaction<'_>, rows: &[(&UserName, Option<&Registration>)]) -> rusqlite::Result<()> {
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
    Ok(())
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

fn parse(row: &rusqlite::Row<'_>) -> Result<(UserName, Registration), Box<dyn std::error::Error>> {
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
    Ok((name, Registration { entry: Entry { address, features }, owner, lease }))
}

fn read(table: &RwLock<Table>) -> RwLockReadGuard<'_, Table> {
    table.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(table: &RwLock<Table>) -> RwLockWriteGuard<'_, Table> {
    table.write().unwrap_or_else(PoisonError::into_inner)
}

const SPEC: Spec =
    Spec { what: "registry", file: "registry.db", lock: "lock", versions: &[SCHEMA], synced: true, checked: true };
/// Ended records that one call of `sweep` forgets at most.
const SWEEP_MANY: usize = 1024;
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
    ) STRICT, WITHOUT ROWID;";
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
        let pages = |count: u32| move |d: &Database| d.connection().pragma_update(None, "max_page_count", count);
        store.writer.look(pages(4)).await.unwrap();
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
        store.writer.look(pages(1000)).await.unwrap();
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
        let count =
            |d: &Database| d.connection().query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0));
        assert_eq!(store.sweep(at(9)).await.unwrap(), 0);
        assert_eq!(store.writer.look(count).await.unwrap(), 10);
        assert_eq!(store.sweep(at(10)).await.unwrap(), 10);
        assert_eq!(store.writer.look(count).await.unwrap(), 0);
    }
}
