//! The embedded database: one SQLite file on one machine, used by several processes at once.
//!
//! The write-ahead log allows reads while another process writes. Each commit is on the disk before it returns, unless the
//! transaction is brief. The locks are the kernel's: a process that ended holds none.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::clock::{Clocks, LeaseTime};
use crate::{Commit, Entry, Lease, Range, Revision, Store, StoreError, Transaction, Write};

/// The mark of midoform's files: "mido".
const APPLICATION: i64 = 0x6d69_646f;

/// The version of the tables.
const VERSION: i64 = 2;

const TABLES: &str = "
    CREATE TABLE entry (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL, lease INTEGER)
        STRICT, WITHOUT ROWID;
    CREATE INDEX entry_lease ON entry (lease) WHERE lease IS NOT NULL;
    CREATE TABLE lease (id INTEGER PRIMARY KEY, milliseconds INTEGER NOT NULL, ends INTEGER NOT NULL,
        boot TEXT NOT NULL DEFAULT '', ends_since_boot INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE counter (revision INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (0);
";

/// The change from version 1: the leases' ends in the time since the boot.
const FROM_VERSION_1: &str = "
    ALTER TABLE lease ADD COLUMN boot TEXT NOT NULL DEFAULT '';
    ALTER TABLE lease ADD COLUMN ends_since_boot INTEGER NOT NULL DEFAULT 0;
";

/// The condition that a lease has ended, the same as [`LeaseTime::has_ended`]. Its parameters are those of [`Clocks`].
const HAS_ENDED: &str = "CASE WHEN boot = ?1 THEN ends_since_boot <= ?2 ELSE ends <= ?3 END";

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
    update_tables(connection).map_err(failed)?;
    match version(connection).map_err(failed)? {
        (APPLICATION, VERSION) => Ok(()),
        (APPLICATION, newer) if newer > VERSION => {
            Err(wrong(format!("its version is {newer}, and this midoform knows {VERSION}: use a newer one")))
        }
        _ => Err(wrong("this SQLite file is no store of midoform".to_owned())),
    }
}

/// Returns the marks of a file: its application and the version of its tables.
fn version(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok((application, connection.pragma_query_value(None, "user_version", |row| row.get(0))?))
}

/// Creates the tables in an empty file, and changes those of an earlier version.
fn update_tables(connection: &mut Connection) -> rusqlite::Result<()> {
    if !matches!(version(connection)?, (0, 0) | (APPLICATION, 1)) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = transaction.query_row(tables, [], |row| row.get(0))?;
    // Another process may have done it meanwhile.
    let change = match version(&transaction)? {
        (0, 0) if tables == 0 => TABLES,
        (APPLICATION, 1) => FROM_VERSION_1,
        _ => return Ok(()),
    };
    transaction.execute_batch(change)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

fn stored(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or_default())
}

/// Deletes leases that have ended, with their keys. Every write does this first.
fn end_leases(transaction: &rusqlite::Transaction<'_>) -> rusqlite::Result<()> {
    let Clocks { boot, since_boot, unix } = Clocks::now();
    let delete = format!("DELETE FROM lease WHERE {HAS_ENDED}");
    let ended = transaction.prepare_cached(&delete)?.execute(params![boot, since_boot, unix])?;
    if ended > 0 {
        let orphans = "DELETE FROM entry WHERE lease IS NOT NULL AND lease NOT IN (SELECT id FROM lease)";
        transaction.execute(orphans, [])?;
    }
    Ok(())
}

fn entries(connection: &Connection, range: &Range) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT key, value, revision, lease FROM entry WHERE key >= ?4 AND key < ?5
            AND (lease IS NULL OR lease IN (SELECT id FROM lease WHERE NOT {HAS_ENDED})) ORDER BY key LIMIT ?6"
    ))?;
    let limit = range.limit.map_or(-1, i64::from);
    let Clocks { boot, since_boot, unix } = Clocks::now();
    let rows = statement.query_map(params![boot, since_boot, unix, range.from, range.to, limit], |row| {
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
            let insert = "INSERT INTO lease (id, milliseconds, ends, boot, ends_since_boot)
                VALUES (?1, ?2, ?3, ?4, ?5)";
            // At random, so that no id is used again.
            let id = fastrand::i64(1..i64::MAX);
            let time = LeaseTime::from_now(milliseconds);
            let values = params![id, milliseconds, time.ends, time.boot, time.ends_since_boot];
            transaction.execute(insert, values)?;
            transaction.commit()?;
            Ok(Lease(id))
        })
        .await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError> {
        self.with(move |connection| {
            let Clocks { boot, since_boot, unix } = Clocks::now();
            let renew = format!(
                "UPDATE lease SET ends = ?3 + milliseconds, boot = ifnull(?1, ''),
                    ends_since_boot = ?2 + milliseconds WHERE id = ?4 AND NOT {HAS_ENDED}"
            );
            let values = params![boot, since_boot, unix, lease.0];
            Ok(connection.prepare_cached(&renew)?.execute(values)? == 1)
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
    async fn a_file_of_version_1_is_updated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let old = Connection::open(&path).unwrap();
        let lease = "boot TEXT NOT NULL DEFAULT '', ends_since_boot INTEGER NOT NULL DEFAULT 0";
        let tables = TABLES.replace(&format!(",\n        {lease}"), "");
        assert!(!tables.contains("boot"), "{tables}");
        old.execute_batch(&tables).unwrap();
        old.pragma_update(None, "application_id", APPLICATION).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let ends = Clocks::now().unix + 60_000;
        old.execute("INSERT INTO lease VALUES (?1, 60000, ?2), (?3, 60000, 1)", [1, ends, 2]).unwrap();
        drop(old);
        for _ in 0..2 {
            let store = Embedded::open(&path).unwrap();
            assert!(store.keep_alive(Lease(1)).await.unwrap());
            assert!(!store.keep_alive(Lease(2)).await.unwrap());
            assert!(matches!(store.commit(&put("one")).await.unwrap(), Commit::Done(_)));
        }
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
