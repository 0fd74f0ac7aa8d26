//! Makes changes durable.
//!
//! With a directory, every change is written to an embedded database (redb) before the response to its request. One
//! thread writes: it takes all waiting changes, writes them in one transaction, syncs the file, and then lets their
//! responses go out. So concurrent requests share a sync, and an acknowledged change survives the loss of the process
//! at any moment. GET requests see changes that are not durable yet.
//!
//! The key of an object is its sequence number, so new objects lie side by side at the end of the tree.
//!
//! After a crash the database may fall back to the commit before its last, if the last is damaged. To detect this,
//! commits are counted in the database and in a small file beside it that is written before a change is acknowledged. A
//! database with a lower count than the file has lost commits, and is refused.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use tokio::sync::oneshot;

use crate::object::Object;
use crate::state::Change;
use crate::version::Version;

const OBJECTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("objects");
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
const COUNT: TableDefinition<'_, (), u64> = TableDefinition::new("count");
const FILE: &str = "simulator.redb";
const COUNT_FILE: &str = "simulator.count";
/// The size of the database's cache in bytes.
const CACHE: usize = 16 << 20;

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
    #[error("the state in {path} is damaged: {why}; put a copy back, or move it away to start empty")]
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

impl Journal {
    /// Opens the state in `directory`, creating both if needed, and reads the objects.
    pub(crate) fn open(directory: &Path, version: Version) -> Result<(Journal, Vec<Object>), JournalError> {
        let unusable = |source| JournalError::Directory { path: directory.to_owned(), source };
        std::fs::create_dir_all(directory).map_err(unusable)?;
        let path = directory.join(FILE);
        let counter = Counter::open(&directory.join(COUNT_FILE))?;
        // redb has assertions on what it reads; a damaged file must not end the process.
        let opened = catch_unwind(AssertUnwindSafe(|| load(&path, version, counter.known)));
        let (database, objects) =
            opened.unwrap_or_else(|_| Err(damaged(&path, "the database can't be read")))?;
        let (waiting, batches) = mpsc::channel();
        let broken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&broken);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_all(&database, &counter, &batches, &flag))
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

/// The file with the number of acknowledged commits, and the number's complement.
#[derive(Debug)]
struct Counter {
    file: File,
    known: u64,
}

impl Counter {
    fn open(path: &Path) -> Result<Counter, JournalError> {
        let unusable = |source| JournalError::Directory { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(unusable)?;
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

fn load(path: &Path, version: Version, acknowledged: u64) -> Result<(Database, Vec<Object>), JournalError> {
    let is_empty = std::fs::metadata(path).map_or(true, |about| about.len() == 0);
    if is_empty && acknowledged > 0 {
        return Err(damaged(path, format!("it is gone, with {acknowledged} commits")));
    }
    let mut database = match Database::builder().set_cache_size(CACHE).create(path) {
        Ok(database) => database,
        Err(DatabaseError::DatabaseAlreadyOpen) => return Err(JournalError::InUse { path: path.to_owned() }),
        Err(why) => return Err(damaged(path, why)),
    };
    match database.check_integrity() {
        Ok(true) => {}
        Ok(false) => return Err(damaged(path, "its checksums are wrong")),
        Err(why) => return Err(damaged(path, why)),
    }
    check_version(&database, path, version)?;
    let count = counted(&database).map_err(|why| damaged(path, why))?;
    if count < acknowledged {
        return Err(damaged(
            path,
            format!("the last {} of {acknowledged} commits are missing", acknowledged - count),
        ));
    }
    let reading = database.begin_read().map_err(|why| damaged(path, why))?;
    let table = reading.open_table(OBJECTS).map_err(|why| damaged(path, why))?;
    let mut objects = Vec::new();
    for entry in table.iter().map_err(|why| damaged(path, why))? {
        let (key, value) = entry.map_err(|why| damaged(path, why))?;
        let object = Object::from_stored(key.value(), value.value());
        objects.push(object.map_err(|why| damaged(path, format!("record {}: {why}", key.value())))?);
    }
    drop(table);
    drop(reading);
    Ok((database, objects))
}

/// Stores the MidoNet version in a new database, or checks it in an existing one.
fn check_version(database: &Database, path: &Path, version: Version) -> Result<(), JournalError> {
    let settle = || -> Result<Option<String>, redb::Error> {
        let writing = database.begin_write()?;
        let found = {
            let mut about = writing.open_table(ABOUT)?;
            let found = about.get("version")?.map(|found| found.value().to_owned());
            if found.is_none() {
                about.insert("version", version.to_string().as_str())?;
            }
            writing.open_table(OBJECTS)?;
            found
        };
        writing.commit()?;
        Ok(found)
    };
    match settle().map_err(|why| damaged(path, why))? {
        Some(found) if found != version.to_string() => {
            Err(JournalError::OtherVersion { path: path.to_owned(), found, wanted: version })
        }
        _ => Ok(()),
    }
}

/// Returns the number of commits in the database.
fn counted(database: &Database) -> Result<u64, redb::Error> {
    let reading = database.begin_read()?;
    match reading.open_table(COUNT) {
        Ok(table) => Ok(table.get(())?.map_or(0, |count| count.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(why) => Err(why.into()),
    }
}

/// Runs the writing thread until the queue is closed.
fn write_all(database: &Database, counter: &Counter, batches: &mpsc::Receiver<Batch>, broken: &AtomicBool) {
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

fn persist(database: &Database, counter: &Counter, waiting: &[Batch]) -> Result<(), String> {
    let count = write(database, waiting).map_err(|why| why.to_string())?;
    counter.write(count).map_err(|why| why.to_string())
}

/// Writes changes in one commit, and returns the commit's number.
fn write(database: &Database, waiting: &[Batch]) -> Result<u64, redb::Error> {
    // Of several changes to one object only the last counts.
    let mut last: BTreeMap<u64, Option<&Arc<Object>>> = BTreeMap::new();
    for change in waiting.iter().flat_map(|batch| &batch.changes) {
        last.insert(change.sequence, change.object.as_ref());
    }
    let writing = database.begin_write()?;
    let count = {
        let mut counts = writing.open_table(COUNT)?;
        let count = counts.get(())?.map_or(0, |count| count.value()) + 1;
        counts.insert((), count)?;
        count
    };
    {
        let mut table = writing.open_table(OBJECTS)?;
        for (sequence, object) in last {
            match object {
                Some(object) => drop(table.insert(sequence, object.to_stored().as_slice())?),
                None => drop(table.remove(sequence)?),
            }
        }
    }
    writing.commit()?;
    Ok(count)
}
