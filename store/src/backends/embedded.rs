//! The embedded database: one SQLite file on one machine, used by several processes at once.
//!
//! The write-ahead log allows reads while another process writes. Each commit is on the disk before it returns, unless the
//! transaction is brief. The locks are the kernel's: a process that ended holds none.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::{Commit, Entry, Lease, Range, Revision, Store, StoreError, Transaction, Write};

/// The mark of midoform's files: "mido".
const APPLICATION: i64 = 0x6d69_646f;

/// The version of the tables.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE entry (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL, lease INTEGER)
        STRICT, WITHOUT ROWID;
    CREATE INDEX entry_lease ON entry (lease) WHERE lease IS NOT NULL;
    CREATE TABLE lease (id INTEGER PRIMARY KEY, milliseconds INTEGER NOT NULL, ends INTEGER NOT NULL) STRICT;
    CREATE TABLE counter (revision INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (0);
";

/// The length of the write-ahead log, in bytes, from which a short run writes it back: each run has to read it.
const LONG_LOG: u64 = 1024 * 1024;

/// The time to wait for other writers.
const PATIENCE: Duration = Duration::from_secs(10);

/// An embedded database. Clones share a connection.
#[derive(Clone)]
pub struct Embedded {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    /// True if calls run on the calling thread.
    inline: bool,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Embedded").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the database of this file, and creates it if it does not exist.
    ///
    /// # Errors
    /// When the file can't be read or written, or is not such a database.
    pub fn open(path: &Path) -> Result<Embedded, StoreError> {
        let name = name_of(path);
        let failed = |error: rusqlite::Error| failed(&name, &error);
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.busy_handler(Some(wait)).map_err(failed)?;
        prepare(&mut connection, &name)?;
        let connection = Arc::new(Mutex::new(connection));
        Ok(Embedded { path: path.to_path_buf(), connection, inline: false })
    }

    /// Opens the database for one of many short processes: calls run on the calling thread, a database that others write
    /// to is [`StoreError::Busy`] at once, and the write-ahead log is left to later runs, since writing it back means to
    /// wait for the disk. The database is then the file and the log beside it, `-wal`.
    ///
    /// # Errors
    /// As [`Embedded::open`], and when others are writing.
    pub fn open_briefly(path: &Path) -> Result<Embedded, StoreError> {
        let embedded = Embedded { inline: true, ..Embedded::open(path)? };
        let connection = embedded.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let set = connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            // The next process does not know which part of the log was written back, so only all of it counts.
            .and_then(|_| connection.pragma_update(None, "wal_autocheckpoint", 0))
            .and_then(|()| connection.busy_timeout(Duration::ZERO));
        drop(connection);
        set.map_err(|error| failed(&embedded.name(), &error))?;
        Ok(embedded)
    }

    /// Writes a long log back, and truncates it. This fails while others use the database; one of the next runs tries
    /// again.
    fn shorten_log(connection: &Connection, path: &Path) {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = std::fs::metadata(log);
        if log.is_ok_and(|log| log.len() > LONG_LOG) && fastrand::u8(..4) == 0 {
            let shortened = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            tracing::debug!(?shortened, "the store's log was long");
        }
    }

    /// Runs something with the connection on a thread that may block.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.connection);
        let run = move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
        if self.inline {
            // Between repeated calls, timers and leases have to run.
            tokio::task::yield_now().await;
            return run().map_err(|error| failed(&self.name(), &error));
        }
        match tokio::task::spawn_blocking(run).await {
            Ok(result) => result.map_err(|error| failed(&self.name(), &error)),
            Err(error) => Err(StoreError::Failed { store: self.name(), cause: error.to_string() }),
        }
    }
}

fn name_of(path: &Path) -> String {
    format!("the store {}", path.display())
}

/// Waits for a short random time for another process that writes.
fn wait(times: i32) -> bool {
    thread_local! {
        static SINCE: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
    }
    if times == 0 {
        SINCE.set(Some(Instant::now()));
    }
    if SINCE.get().is_some_and(|since| since.elapsed() > PATIENCE) {
        return false;
    }
    let most = if times < 20 { 1_000 } else { 5_000 };
    std::thread::sleep(Duration::from_micros(fastrand::u64(100..most)));
    true
}

fn failed(name: &str, error: &rusqlite::Error) -> StoreError {
    let store = name.to_owned();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            StoreError::Busy { store, holder: "other processes, which write all the time".to_owned() }
        }
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            let cause =
                format!("{error}: the file is damaged, or no store; take it from a backup, or load a dump");
            StoreError::Failed { store, cause }
        }
        _ => StoreError::Failed { store, cause: error.to_string() },
    }
}

/// Sets the connection up, and creates the tables if there are none.
fn prepare(connection: &mut Connection, name: &str) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| failed(name, &error);
    let wrong = |cause: String| StoreError::Failed { store: name.to_owned(), cause };
    // If two processes open a new file at once, one of them may get "busy" in spite of the handler.
    let started = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && started.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => break other.map_err(failed)?,
        }
    }
    connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
    let version = |connection: &Connection| -> rusqlite::Result<(i64, i64)> {
        let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok((application, connection.pragma_query_value(None, "user_version", |row| row.get(0))?))
    };
    if version(connection).map_err(failed)? == (0, 0) {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = transaction.query_row(tables, [], |row| row.get(0)).map_err(failed)?;
        if version(&transaction).map_err(failed)? == (0, 0) && tables == 0 {
            transaction.execute_batch(TABLES).map_err(failed)?;
            transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
    }
    match version(connection).map_err(failed)? {
        (APPLICATION, VERSION) => Ok(()),
        (APPLICATION, newer) if newer > VERSION => {
            Err(wrong(format!("its version is {newer}, and this midoform knows {VERSION}: use a newer one")))
        }
        _ => Err(wrong("this SQLite file is no store of midoform".to_owned())),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn stored(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or_default())
}

/// Deletes leases that have ended, with their keys. Every write does this first.
fn end_leases(transaction: &rusqlite::Transaction<'_>) -> rusqlite::Result<()> {
    let ended = transaction.prepare_cached("DELETE FROM lease WHERE ends <= ?1")?.execute([now()])?;
    if ended > 0 {
        let orphans = "DELETE FROM entry WHERE lease IS NOT NULL AND lease NOT IN (SELECT id FROM lease)";
        transaction.execute(orphans, [])?;
    }
    Ok(())
}

fn entries(connection: &Connection, range: &Range) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare_cached(
        "SELECT key, value, revision, lease FROM entry WHERE key >= ?1 AND key < ?2
            AND (lease IS NULL OR lease IN (SELECT id FROM lease WHERE ends > ?3)) ORDER BY key LIMIT ?4",
    )?;
    let limit = range.limit.map_or(-1, i64::from);
    let rows = statement.query_map(params![range.from, range.to, now(), limit], |row| {
        Ok(Entry {
            key: row.get(0)?,
            value: row.get(1)?,
            revision: stored(row.get(2)?),
            lease: row.get::<_, Option<i64>>(3)?.map(Lease),
        })
    })?;
    rows.collect()
}

/// Executes a transaction.
fn write(connection: &mut Connection, asked: &Transaction) -> rusqlite::Result<Commit> {
    // With `normal` the kernel has the log when a commit returns; it is on the disk with the next `full` commit.
    connection.pragma_update(None, "synchronous", if asked.is_brief { "normal" } else { "full" })?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    end_leases(&transaction)?;
    for compare in &asked.compares {
        let found: Option<i64> = transaction
            .prepare_cached("SELECT revision FROM entry WHERE key = ?1")?
            .query_row([&compare.key], |row| row.get(0))
            .optional()?;
        if found.map_or(Revision::ABSENT, stored) != compare.revision {
            return Ok(Commit::Conflict);
        }
    }
    let revision: i64 = transaction
        .prepare_cached("UPDATE counter SET revision = revision + 1 RETURNING revision")?
        .query_row([], |row| row.get(0))?;
    let mut revisions = Vec::with_capacity(asked.writes.len());
    for write in &asked.writes {
        match write {
            Write::Put { key, value, lease } => {
                let lease = lease.map(|lease| lease.0);
                let known = lease.map_or(Ok(true), |lease| {
                    transaction.prepare_cached("SELECT 1 FROM lease WHERE id = ?1")?.exists([lease])
                })?;
                if !known {
                    return Ok(Commit::Conflict);
                }
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO entry VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![key, value, revision, lease])?;
                revisions.push(stored(revision));
            }
            Write::Delete { key } => {
                transaction.prepare_cached("DELETE FROM entry WHERE key = ?1")?.execute([key])?;
                revisions.push(Revision::ABSENT);
            }
        }
    }
    transaction.commit()?;
    Ok(Commit::Done(revisions))
}

#[async_trait]
impl Store for Embedded {
    fn name(&self) -> String {
        name_of(&self.path)
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        let ranges = ranges.to_vec();
        self.with(move |connection| {
            let transaction = connection.transaction()?;
            ranges.iter().map(|range| entries(&transaction, range)).collect()
        })
        .await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError> {
        let (transaction, short) = (transaction.clone(), self.inline.then(|| self.path.clone()));
        self.with(move |connection| {
            let commit = write(connection, &transaction)?;
            short.iter().for_each(|path| Embedded::shorten_log(connection, path));
            Ok(commit)
        })
        .await
    }

    async fn grant(&self, time: Duration) -> Result<Lease, StoreError> {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.with(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            end_leases(&transaction)?;
            let insert = "INSERT INTO lease VALUES (?1, ?2, ?3)";
            // At random, so that no id is used again.
            let id = fastrand::i64(1..i64::MAX);
            transaction.execute(insert, params![id, milliseconds, now().saturating_add(milliseconds)])?;
            transaction.commit()?;
            Ok(Lease(id))
        })
        .await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError> {
        self.with(move |connection| {
            let renew = "UPDATE lease SET ends = ?2 + milliseconds WHERE id = ?1 AND ends > ?2";
            Ok(connection.prepare_cached(renew)?.execute([lease.0, now()])? == 1)
        })
        .await
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        self.with(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM entry WHERE lease = ?1", [lease.0])?;
            transaction.execute("DELETE FROM lease WHERE id = ?1", [lease.0])?;
            transaction.commit()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(value: &str) -> Transaction {
        Transaction::default().put("key", value)
    }

    #[tokio::test]
    async fn what_is_brief_outlives_the_process_that_committed_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        for value in ["one", "two"] {
            let store = Embedded::open_briefly(&path).unwrap();
            assert!(matches!(store.commit(&put(value).brief()).await.unwrap(), Commit::Done(_)));
            // As a process that is killed: nothing is closed.
            std::mem::forget(store);
            let other = Embedded::open(&path).unwrap();
            let found = crate::get(&other, "key").await.unwrap();
            assert_eq!(found.map(|entry| entry.value).as_deref(), Some(value));
        }
    }

    #[tokio::test]
    async fn the_log_is_left_to_later_runs_and_kept_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let log = folder.path().join("store.db-wal");
        for number in 0..600 {
            let store = Embedded::open_briefly(&path).unwrap();
            store.commit(&put(&number.to_string()).brief()).await.unwrap();
            drop(store);
            assert!(std::fs::metadata(&log).unwrap().len() < 2 * 1024 * 1024);
        }
        let store = Embedded::open(&path).unwrap();
        assert_eq!(crate::get(&store, "key").await.unwrap().unwrap().value, "599");
        drop(store);
        assert!(!log.exists(), "the log is written back");
    }

    #[tokio::test]
    async fn a_brief_opener_is_told_at_once_that_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = Embedded::open_briefly(&path).unwrap();
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        let started = Instant::now();
        assert!(matches!(store.commit(&put("one")).await, Err(StoreError::Busy { .. })));
        assert!(started.elapsed() < PATIENCE, "it does not wait by itself");
        writer.execute_batch("COMMIT").unwrap();
        store.commit(&put("one")).await.unwrap();
    }
}
