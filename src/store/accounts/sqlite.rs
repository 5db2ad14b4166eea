//! A room server's users in SQLite, written like a registry's: planned over the table in memory, put on disk in one
//! transaction for all that waits, and only then applied and answered.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
#[cfg(feature = "terminal")]
use rusqlite::OptionalExtension;
use rusqlite::{Connection, Row, Transaction, params};
use tokio::sync::OnceCell;

use super::front::account_store;
use super::slow::Passwords;
use super::table::{Account, Batch, Change, Done, Proof, Table, Token};
use super::{AccountStore, Issued, Session, SessionId, User};
use crate::limits::Limits;
use crate::message::{Timestamp, UserId};
use crate::name::Nickname;
use crate::secret::{Password, PasswordHash, SecretHash};
use crate::store::StoreError;
#[cfg(feature = "terminal")]
use crate::store::sqlite::visit;
use crate::store::sqlite::{Database, Reply, Spec, SqliteLoad, SqliteSettings, Writer, failure};

/// Users in a directory on disk, which one process at a time may use. Tokens, passwords and keys are there as hashes only.
///
/// The first call counts as a drop of all connections that there were. `now` has to be a clock that goes on while the
/// program does not run. Dropping the store waits for the changes that were handed over.
#[derive(Debug)]
pub struct SqliteAccounts {
    table: Arc<RwLock<Table>>,
    /// Set by the first call: only then is the caller's clock known.
    started: OnceCell<()>,
    passwords: Passwords,
    writer: Writer<Job>,
}

impl SqliteAccounts {
    /// Opens the users in a directory, which is made (readable by its owner alone) when it is missing.
    ///
    /// It blocks for as long as reading and checking the whole file takes.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process, or this one, has it open; [`StoreError::Damaged`] when the check
    /// of the file fails or a row makes no sense; [`StoreError::Unavailable`] when it cannot be opened or made.
    pub fn open(dir: &Path, limits: &Limits) -> Result<Self, StoreError> {
        let database = Database::open(dir, &SPEC)?;
        let mut table = Table::new(limits);
        load(database.connection(), &mut table).map_err(|error| error.in_file(SPEC.file))?;
        let table = Arc::new(RwLock::new(table));
        let mut turns = Turns { table: table.clone(), latest: Timestamp::default() };
        let turn = move |database: &mut Database, jobs| turns.turn(database, jobs);
        let writer = Writer::start(database, limits.store_queue, turn)?;
        Ok(Self { table, started: OnceCell::new(), passwords: Passwords::new(), writer })
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

    async fn change(&self, change: Change, now: Timestamp) -> Result<Done, StoreError> {
        self.start(now).await?;
        self.writer.ask(|reply| Job { change, now, reply }).await
    }

    async fn look<T>(&self, now: Timestamp, look: impl FnOnce(&Table) -> T) -> Result<T, StoreError> {
        self.start(now).await?;
        Ok(look(&self.table.read().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn start(&self, now: Timestamp) -> Result<(), StoreError> {
        let start = || async { self.writer.ask(|reply| Job { change: Change::Start, now, reply }).await.map(drop) };
        self.started.get_or_try_init(start).await.copied()
    }
}

account_store!(SqliteAccounts);

/// Who is called so, by the users in a directory that somebody else may have open.
#[cfg(feature = "terminal")]
pub(crate) fn user_named(dir: &Path, nickname: &Nickname) -> Result<Option<UserId>, StoreError> {
    let path = dir.join(SPEC.file);
    if !path.is_file() {
        return Err(StoreError::Unavailable(format!("there is no {}", path.display())));
    }
    let failed = |e: rusqlite::Error| failure(&e).in_file(SPEC.file);
    let connection = visit(&path)?;
    let found = connection.query_row(NAMED, [nickname.as_str()], |row| row.get(0)).optional().map_err(failed)?;
    Ok(found.map(UserId::from_bytes))
}

struct Job {
    change: Change,
    now: Timestamp,
    reply: Reply<Done>,
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
        let mut done = Vec::with_capacity(jobs.len());
        let written = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            for job in jobs {
                self.latest = self.latest.max(job.now);
                done.push((table.plan(&mut batch, &job.change, self.latest), job.reply));
            }
            let changes = batch.changes();
            let rows: Vec<_> = changes.filter(|(id, account)| !table.keeps(*id, *account)).collect();
            drop(table);
            if rows.is_empty() { database.usable() } else { database.write(|transaction| store(transaction, &rows)) }
        };
        match written {
            Ok(()) => {
                self.table.write().unwrap_or_else(PoisonError::into_inner).apply(batch);
                done.into_iter().for_each(|(result, reply)| drop(reply.send(result)));
            }
            // Even a refusal may have been decided by a change that now never happened.
            Err(error) => done.into_iter().for_each(|(_, reply)| drop(reply.send(Err(error.clone())))),
        }
    }
}

fn store(transaction: &Transaction<'_>, rows: &[(UserId, Option<&Account>)]) -> rusqlite::Result<()> {
    let mut forget = transaction.prepare_cached("DELETE FROM users WHERE id = ?1")?;
    let mut void = transaction.prepare_cached("DELETE FROM tokens WHERE user = ?1")?;
    let mut put = transaction.prepare_cached(PUT_USER)?;
    let mut issue = transaction.prepare_cached(PUT_TOKEN)?;
    for (id, account) in rows {
        void.execute([id.as_bytes()])?;
        let Some(account) = account else {
            forget.execute([id.as_bytes()])?;
            continue;
        };
        let password = account.proof.and_then(Proof::password).map(|password| password.to_bytes());
        let key = account.proof.and_then(Proof::key).map(|key| *key.as_bytes());
        put.execute(params![id.as_bytes(), account.nickname.as_str(), password, key, stored(account.since)])?;
        for token in &account.tokens {
            issue.execute(params![
                token.hash.as_bytes(),
                id.as_bytes(),
                token.session.as_bytes(),
                stored(token.issued),
                token.used,
                token.rich,
                token.stored_end().map(stored),
            ])?;
        }
    }
    Ok(())
}

fn load(connection: &Connection, table: &mut Table) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| failure(&e);
    let damaged = |e: Box<dyn std::error::Error>| StoreError::Damaged(format!("a user's row makes no sense: {e}"));
    let mut users = connection.prepare("SELECT id, nickname, password, key, since FROM users").map_err(failed)?;
    let mut tokens = connection.prepare(TOKENS).map_err(failed)?;
    let mut rows = users.query([]).map_err(failed)?;
    let mut known = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let mut account = user(row).map_err(damaged)?;
        let mut rows = tokens.query([account.id.as_bytes()]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            account.tokens.push(token(row).map_err(damaged)?);
            known += 1;
        }
        if account.has_nickname() && table.has(&account.nickname) {
            return Err(StoreError::Damaged(format!("two users are called {}", account.nickname)));
        }
        table.insert(account);
    }
    let all: i64 = connection.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0)).map_err(failed)?;
    if all != known {
        return Err(StoreError::Damaged(format!("{all} tokens are there, and {known} of them are somebody's")));
    }
    Ok(())
}

fn user(row: &Row<'_>) -> Result<Account, Box<dyn std::error::Error>> {
    Ok(Account {
        id: UserId::from_bytes(row.get(0)?),
        nickname: Nickname::known(&row.get::<_, String>(1)?)?,
        proof: proof(row.get(2)?, row.get(3)?)?,
        since: time(row.get(4)?)?,
        tokens: Vec::new(),
    })
}

fn proof(password: Option<[u8; 48]>, key: Option<[u8; 32]>) -> Result<Option<Proof>, Box<dyn std::error::Error>> {
    match (password, key) {
        (Some(_), Some(_)) => Err("it has a password and a key".into()),
        (Some(password), None) => Ok(Some(Proof::Password(PasswordHash::from_bytes(password)))),
        (None, key) => Ok(key.map(|key| Proof::Key(SecretHash::from_bytes(key)))),
    }
}

fn token(row: &Row<'_>) -> Result<Token, Box<dyn std::error::Error>> {
    let ends = row.get::<_, Option<i64>>(5)?;
    Ok(Token {
        hash: SecretHash::from_bytes(row.get(0)?),
        session: SessionId::from_bytes(row.get(1)?),
        issued: time(row.get(2)?)?,
        used: row.get(3)?,
        rich: row.get(4)?,
        // Whoever was connected counts as dropped when the start's clock is known.
        connections: u32::from(ends.is_none()),
        ends: ends.map_or(Ok(Timestamp::default()), time)?,
    })
}

fn time(stored: i64) -> Result<Timestamp, Box<dyn std::error::Error>> {
    Ok(Timestamp::from_millis(stored.try_into()?))
}

fn stored(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

const SPEC: Spec = Spec {
    what: "accounts",
    file: "accounts.db",
    lock: "accounts.lock",
    versions: &[SCHEMA, KEYS],
    synced: true,
    checked: true,
};
const SCHEMA: &str = "
    CREATE TABLE users (id BLOB NOT NULL PRIMARY KEY, nickname TEXT NOT NULL, password BLOB, since INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE TABLE tokens (
        hash BLOB NOT NULL PRIMARY KEY,
        user BLOB NOT NULL,
        session BLOB NOT NULL,
        issued INTEGER NOT NULL,
        used INTEGER NOT NULL,
        rich INTEGER NOT NULL,
        ends INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_of ON tokens (user);";
const KEYS: &str = "
    ALTER TABLE users ADD COLUMN key BLOB;
    CREATE UNIQUE INDEX user_by_key ON users (key) WHERE key IS NOT NULL;";
/// A guest who has lost the last token has lost the nickname.
#[cfg(feature = "terminal")]
const NAMED: &str = "SELECT id FROM users WHERE nickname = ?1
    AND (password IS NOT NULL OR key IS NOT NULL OR EXISTS (SELECT 1 FROM tokens WHERE user = id))";
const TOKENS: &str = "SELECT hash, session, issued, used, rich, ends FROM tokens WHERE user = ?1 ORDER BY session";
const PUT_USER: &str = "INSERT INTO users (id, nickname, password, key, since) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (id) DO UPDATE SET nickname = ?2, password = ?3, key = ?4";
const PUT_TOKEN: &str = "INSERT INTO tokens (hash, user, session, issued, used, rich, ends)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
