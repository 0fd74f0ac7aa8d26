//! Makes changes durable.
//!
//! With a directory, every change is written to a database (SQLite) before the response to its request. One thread
//! writes: it takes all waiting changes, writes them in one transaction, syncs the file, and then lets their responses
//! go out. So concurrent requests share a sync, and an acknowledged change survives the loss of the process at any
//! moment. GET requests see changes that are not durable yet.
//!
//! The key of an object is its sequence number, so new objects lie side by side at the end of the table.
//!
//! A commit goes to the write-ahead log beside the database, and from there to the database later. SQLite ends the log at
//! its first damaged page, so a damaged log loses commits without an error. To detect this, commits are counted in the
//! database and in a small file beside it that is written before a change is acknowledged. A database with a lower count
//! than the file has lost commits, and is refused. The database itself has a checksum over all of its content, because
//! SQLite detects damage to its structure, but not to what is stored.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::object::Object;
use crate::state::Change;
use crate::version::Version;

const FILE: &str = "simulator.db";
const COUNT_FILE: &str = "simulator.count";
/// The database of earlier versions of midoform, which had another format.
const EARLIER_FILE: &str = "simulator.redb";

const TABLES: &str = "
    CREATE TABLE state (version TEXT NOT NULL, commits INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
    CREATE TABLE object (sequence INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT;
";

/// The error for a state directory that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The directory can't be created or read.
    #[error("the state directory {path} can't be used")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the state in {path} is in use by another process")]
    InUse {
        /// The database's file.
        path: PathBuf,
    },
    /// The file is damaged. Nothing was changed in it.
    #[error(
        "the state in {path} is damaged: {why}; put a copy of the folder back, or move the folder away to start empty"
    )]
    Damaged {
        /// The database's file.
        path: PathBuf,
        /// The damage that was found.
        why: String,
    },
    /// It holds the state of another MidoNet version.
    #[error("the state in {path} is that of MidoNet {found}, not of {wanted}")]
    OtherVersion {
        /// The database's file.
        path: PathBuf,
        /// The version whose state it is.
        found: String,
        /// The version that was asked for.
        wanted: Version,
    },
    /// It was written by an earlier version of midoform, in another format.
    #[error(
        "the state in {path} is that of an earlier midoform: delete the folder {directory} to start empty, or keep the \
         older midoform"
    )]
    EarlierFormat {
        /// The database's file.
        path: PathBuf,
        /// The folder of the state.
        directory: PathBuf,
    },
}

/// The destination of changes.
#[derive(Debug)]
pub(crate) enum Journal {
    /// No destination: the state ends with the process.
    Memory,
    Disk(Disk),
}

/// The handle of the writing thread.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The queue of the writing thread; none once it is closed.
    waiting: Option<mpsc::Sender<Batch>>,
    broken: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Writes the waiting changes and closes the file, so that it can be opened again.
impl Drop for Disk {
    fn drop(&mut self) {
        self.waiting = None;
        if let Some(thread) = self.thread.take() {
            // The thread can only fail with a panic, which is not raised a second time here.
            let _ = thread.join();
        }
    }
}

/// One request's changes.
#[derive(Debug)]
struct Batch {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), String>>,
}

/// A pending confirmation that changes are durable.
#[derive(Debug)]
pub(crate) struct Ticket(Option<oneshot::Receiver<Result<(), String>>>);

impl Ticket {
    /// Waits until the changes are durable, or can't be made so.
    pub(crate) async fn wait(self) -> Result<(), String> {
        match self.0 {
            None => Ok(()),
            Some(done) => done.await.unwrap_or_else(|_| Err("the writing thread has ended".to_owned())),
        }
    }
}

/// Creates a folder, and those above it, with access for the owner alone.
pub(crate) fn create_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

impl Journal {
    /// Opens the state in `directory`, creating both if needed, and reads the objects.
    pub(crate) fn open(directory: &Path, version: Version) -> Result<(Journal, Vec<Object>), JournalError> {
        let unusable = |source| JournalError::Directory { path: directory.to_owned(), source };
        create_folder(directory).map_err(unusable)?;
        let earlier = directory.join(EARLIER_FILE);
        if earlier.try_exists().map_err(unusable)? {
            return Err(JournalError::EarlierFormat { path: earlier, directory: directory.to_owned() });
        }
        let path = directory.join(FILE);
        let counter = Counter::open(&directory.join(COUNT_FILE), &path)?;
        let (mut database, objects) = Database::open(&path, version, counter.known)?;
        let (waiting, batches) = mpsc::channel();
        let broken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&broken);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_all(&mut database, &counter, &batches, &flag))
            .map_err(unusable)?;
        Ok((Journal::Disk(Disk { waiting: Some(waiting), broken, thread: Some(thread) }), objects))
    }

    /// Queues changes for writing. The order of calls is the order of changes.
    pub(crate) fn submit(&self, changes: Vec<Change>) -> Ticket {
        let Journal::Disk(disk) = self else { return Ticket(None) };
        let (done, ticket) = oneshot::channel();
        // If the thread has ended, the ticket returns an error.
        let _ = disk.waiting.as_ref().map(|waiting| waiting.send(Batch { changes, done }));
        Ticket(Some(ticket))
    }

    /// Returns true if a write has failed: then the memory is ahead of the disk, and nothing more is written.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Journal::Memory => false,
            Journal::Disk(disk) => disk.broken.load(Ordering::Acquire),
        }
    }
}

fn damaged(path: &Path, why: impl ToString) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), why: why.to_string() }
}

/// Opens a file of the state folder. A link in its place is an error: it could lead to any other file.
fn open_own(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path).map_err(|error| {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        let refusal = "it is a link, and the state has a file of its own here: delete it";
        if is_link { io::Error::new(error.kind(), refusal) } else { error }
    })
}

/// The file with the number of acknowledged commits, and the number's complement. The process that has it open has it
/// locked: the state is that process's alone.
#[derive(Debug)]
struct Counter {
    file: File,
    known: u64,
}

impl Counter {
    fn open(path: &Path, database: &Path) -> Result<Counter, JournalError> {
        let unusable = |source| JournalError::Directory { path: path.to_owned(), source };
        let file = open_own(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path: database.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let mut bytes = [0; 17];
        let length = file.read_at(&mut bytes, 0).map_err(unusable)?;
        let half = |range: std::ops::Range<usize>| {
            bytes.get(range).and_then(|half| half.try_into().ok()).map(u64::from_le_bytes)
        };
        let known = match (length, half(0..8), half(8..16)) {
            (0, ..) => 0,
            (16, Some(known), Some(complement)) if known == !complement => known,
            _ => return Err(damaged(path, "the number of commits can't be read")),
        };
        Ok(Counter { file, known })
    }

    fn write(&self, count: u64) -> std::io::Result<()> {
        let mut bytes = [0; 16];
        let (number, complement) = bytes.split_at_mut(8);
        number.copy_from_slice(&count.to_le_bytes());
        complement.copy_from_slice(&(!count).to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}

/// The stored topology, as it was read.
#[derive(Debug)]
struct Stored {
    version: String,
    commits: u64,
    /// The checksum of all of it.
    checksum: i64,
    /// The objects by sequence number.
    records: Vec<(u64, Vec<u8>)>,
}

impl Stored {
    /// Returns the state of a new database.
    fn empty(version: Version) -> Stored {
        let version = version.to_string();
        Stored { checksum: checksum(0, version.as_bytes()), version, commits: 0, records: Vec::new() }
    }

    fn read(connection: &Connection) -> rusqlite::Result<Stored> {
        let mut statement = connection.prepare("SELECT sequence, value FROM object ORDER BY sequence")?;
        let records = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        connection.query_one("SELECT version, commits, checksum FROM state", [], |row| {
            let commits = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(Stored { version: row.get(0)?, commits, checksum: row.get(2)?, records })
        })
    }

    /// Returns the sum of the records' checksums.
    fn sum(&self) -> i64 {
        let sums = self.records.iter().map(|(sequence, value)| checksum(*sequence, value));
        sums.fold(0, i64::wrapping_add)
    }
}

/// Returns the checksum of a text or a record, and of the number that belongs to it. Those of records are added up, so
/// that a commit need not read the records that it does not change.
fn checksum(number: u64, bytes: &[u8]) -> i64 {
    let digest = Sha256::new().chain_update(number.to_le_bytes()).chain_update(bytes).finalize();
    digest.first_chunk().copied().map_or(0, i64::from_le_bytes)
}

/// The open database.
#[derive(Debug)]
struct Database {
    connection: Connection,
    version: String,
    commits: u64,
    /// The sum of the records' checksums.
    sum: i64,
}

impl Database {
    /// Opens the database, creating it if needed, and reads the objects. A database that is refused is left as it is.
    fn open(
        path: &Path,
        version: Version,
        acknowledged: u64,
    ) -> Result<(Database, Vec<Object>), JournalError> {
        let is_empty = std::fs::metadata(path).map_or(true, |about| about.len() == 0);
        if is_empty && acknowledged > 0 {
            return Err(damaged(path, format!("it is gone, with {acknowledged} commits")));
        }
        let failed = |why| unusable(path, why);
        let connection = connect(path).map_err(failed)?;
        let problem: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if problem != "ok" {
            return Err(damaged(path, problem.lines().last().unwrap_or_default()));
        }
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(failed)?;
        let stored = match tables {
            0 => Stored::empty(version),
            _ => Stored::read(&connection).map_err(failed)?,
        };
        let sum = stored.sum();
        if sum.wrapping_add(checksum(stored.commits, stored.version.as_bytes())) != stored.checksum {
            return Err(damaged(path, "its checksum is wrong"));
        }
        if stored.commits < acknowledged {
            let lost = acknowledged - stored.commits;
            return Err(damaged(path, format!("the last {lost} of {acknowledged} commits are missing")));
        }
        if stored.version != version.to_string() {
            let (path, found) = (path.to_owned(), stored.version);
            return Err(JournalError::OtherVersion { path, found, wanted: version });
        }
        let objects = stored.records.iter().map(|(sequence, value)| {
            Object::from_stored(*sequence, value)
                .map_err(|why| damaged(path, format!("record {sequence}: {why}")))
        });
        let objects = objects.collect::<Result<_, _>>()?;
        let mut database = Database { connection, version: stored.version, commits: stored.commits, sum };
        database.prepare(tables == 0).map_err(failed)?;
        Ok((database, objects))
    }

    /// Sets the database up for writing, and creates the tables in a new one.
    fn prepare(&mut self, is_new: bool) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "journal_mode", "wal")?;
        self.connection.pragma_update(None, "synchronous", "full")?;
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        if is_new {
            let transaction = self.connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            let checksum = checksum(self.commits, self.version.as_bytes());
            transaction.execute("INSERT INTO state VALUES (?1, 0, ?2)", params![self.version, checksum])?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// Writes changes in one commit, and returns the commit's number.
    fn write(&mut self, waiting: &[Batch]) -> rusqlite::Result<u64> {
        // Of several changes to one object only the last counts.
        let mut last: BTreeMap<u64, Option<&Arc<Object>>> = BTreeMap::new();
        for change in waiting.iter().flat_map(|batch| &batch.changes) {
            last.insert(change.sequence, change.object.as_ref());
        }
        let (commits, mut sum) = (self.commits + 1, self.sum);
        let transaction = self.connection.transaction()?;
        for (sequence, object) in last {
            let key = sequence.cast_signed();
            let before: Option<Vec<u8>> = transaction
                .prepare_cached("DELETE FROM object WHERE sequence = ?1 RETURNING value")?
                .query_row([key], |row| row.get(0))
                .optional()?;
            sum = sum.wrapping_sub(before.map_or(0, |before| checksum(sequence, &before)));
            if let Some(object) = object {
                let value = object.to_stored();
                sum = sum.wrapping_add(checksum(sequence, &value));
                transaction
                    .prepare_cached("INSERT INTO object VALUES (?1, ?2)")?
                    .execute(params![key, value])?;
            }
        }
        let all = sum.wrapping_add(checksum(commits, self.version.as_bytes()));
        transaction
            .prepare_cached("UPDATE state SET commits = ?1, checksum = ?2")?
            .execute(params![commits.cast_signed(), all])?;
        transaction.commit()?;
        (self.commits, self.sum) = (commits, sum);
        Ok(commits)
    }
}

/// Opens the file with SQLite, for this connection alone, which also keeps the index of the log in memory.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // Until it is known to be whole, closing must not write the log into the database.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    Ok(connection)
}

/// Returns the error for a database that SQLite can't open.
fn unusable(path: &Path, why: rusqlite::Error) -> JournalError {
    match why.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            JournalError::InUse { path: path.to_owned() }
        }
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::DiskFull
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure,
        ) => JournalError::Directory {
            path: path.parent().unwrap_or(path).to_owned(),
            source: std::io::Error::other(why),
        },
        _ => damaged(path, why),
    }
}

/// Runs the writing thread until the queue is closed.
fn write_all(
    database: &mut Database,
    counter: &Counter,
    batches: &mpsc::Receiver<Batch>,
    broken: &AtomicBool,
) {
    while let Ok(first) = batches.recv() {
        let mut waiting = vec![first];
        waiting.extend(batches.try_iter());
        let outcome = if broken.load(Ordering::Acquire) {
            Err("an earlier write failed".to_owned())
        } else {
            persist(database, counter, &waiting)
        };
        if let Err(why) = &outcome {
            broken.store(true, Ordering::Release);
            tracing::error!(%why, "changes could not be made durable");
        }
        for batch in waiting {
            // The request may have ended already: then nothing waits for the result.
            let _ = batch.done.send(outcome.clone());
        }
    }
}

fn persist(database: &mut Database, counter: &Counter, waiting: &[Batch]) -> Result<(), String> {
    let count = database.write(waiting).map_err(|why| match why.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "No space left on device".to_owned(),
        _ => why.to_string(),
    })?;
    counter.write(count).map_err(|why| why.to_string())
}
