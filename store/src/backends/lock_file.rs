//! The lock file beside the spec: what tenants were given, as TOML that a reviewer can read and Git can merge. One file,
//! several processes.
//!
//! What was given out (`given/…`) stands in it as [`midoform_compiler::network::lock_file`] writes it, and every other key below that,
//! in `[kept]`. What goes with a lease, and all of `lock/…`, is no matter for Git: it stands in a file beside,
//! `midoform.lock.leases`, that is gone when nobody works.
//!
//! Each call holds the kernel's lock of a third file, `midoform.lock.busy`; a dead process keeps none. A commit writes the
//! lock file's new text into the file beside first, then both: whoever comes after a crash finishes that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::lock_file;
use midoform_compiler::source::{Source, SourceId, Unreadable};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::atomic_file::write_atomically;
use crate::{Commit, Entry, Lease, Range, Revision, Store, StoreError, Transaction, Write, allocation, keys};

/// How long to wait for other processes, each of which has the file for a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lock file.
#[derive(Clone, Debug)]
pub struct LockFile {
    path: PathBuf,
}

/// What is no matter for Git.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Beside {
    leases: BTreeMap<i64, LeaseRecord>,
    entries: BTreeMap<String, Leased>,
    /// The lock file's text, until it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
}

/// How long a lease lasts, and when it ends, in milliseconds, of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct LeaseRecord {
    milliseconds: i64,
    ends: i64,
}

/// A value that may go with a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Leased {
    value: String,
    lease: Option<i64>,
}

/// What Git keeps.
#[derive(Clone, Debug, Default, PartialEq)]
struct Main {
    allocations: Allocations,
    kept: BTreeMap<String, String>,
}

/// Both files, read.
struct Content {
    /// The store's name, for messages.
    name: String,
    beside: Beside,
    /// None where nobody asked for it: locks are taken whatever state the lock file is in.
    main: Option<Main>,
}

impl LockFile {
    /// The lock file at this path, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        LockFile { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content, or nothing where there is no file yet.
    pub fn source(&self) -> Option<Source> {
        let name = self.path.display().to_string();
        match self.text() {
            Ok(None) => None,
            Ok(Some(bytes)) => Some(Source { name: name.into(), content: Ok(bytes) }),
            Err(error) => {
                Some(Source { name: name.into(), content: Err(Unreadable::Failed(error.to_string())) })
            }
        }
    }

    /// What it says, or will say once somebody finishes a commit that was cut short.
    fn text(&self) -> io::Result<Option<Vec<u8>>> {
        let pending = self.read_beside().ok().and_then(|beside| beside.pending);
        match pending {
            Some(text) => Ok(Some(text.into_bytes())),
            None => some_bytes(&self.path),
        }
    }

    fn file(&self, ending: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        self.path.with_file_name(name)
    }

    fn failed(&self, path: &Path, error: &io::Error) -> StoreError {
        StoreError::Failed { store: self.name(), cause: format!("{}: {error}", path.display()) }
    }

    fn read_beside(&self) -> Result<Beside, StoreError> {
        let path = self.file(".leases");
        let bytes = some_bytes(&path).map_err(|error| self.failed(&path, &error))?;
        let Some(bytes) = bytes else { return Ok(Beside::default()) };
        serde_json::from_slice(&bytes).map_err(|error| {
            let cause = format!(
                "{} is damaged ({error}): delete it when no midoform is working here",
                path.display()
            );
            StoreError::Failed { store: self.name(), cause }
        })
    }

    fn write_beside(&self, beside: &Beside) -> Result<(), StoreError> {
        let path = self.file(".leases");
        let result = match *beside == Beside::default() {
            true => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            false => {
                let text = serde_json::to_vec(beside).unwrap_or_default();
                write_atomically(&path, |file| file.write_all(&text))
            }
        };
        result.map_err(|error| self.failed(&path, &error))
    }

    fn write_main(&self, text: &str) -> Result<(), StoreError> {
        write_atomically(&self.path, |file| file.write_all(text.as_bytes()))
            .map_err(|error| self.failed(&self.path, &error))
    }

    /// The kernel's lock, waiting for whoever has it. Without one where the file can't be made, for one that only reads.
    fn exclusive(&self, only_reads: bool) -> Result<Option<File>, StoreError> {
        let path = self.file(".busy");
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = match file {
            Err(_) if only_reads => return Ok(None),
            other => other.map_err(|error| self.failed(&path, &error))?,
        };
        let end = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_micros(fastrand::u64(200..3_000)));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let holder = "other processes, which write all the time".to_owned();
                    return Err(StoreError::Busy { store: self.name(), holder });
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(self.failed(&path, &error)),
            }
        }
    }

    /// Both files as they are; what a crash cut short is finished, where that may be written.
    fn load(&self, with_main: bool, may_write: bool) -> Result<Content, StoreError> {
        let mut beside = self.read_beside()?;
        let main = match with_main {
            true => Some(self.parse(beside.pending.as_deref())?),
            false => None,
        };
        if let (Some(text), true) = (&beside.pending, may_write) {
            self.write_main(text)?;
            beside.pending = None;
            self.write_beside(&beside)?;
        }
        let now = now();
        beside.leases.retain(|_, lease| lease.ends > now);
        let leases = &beside.leases;
        beside.entries.retain(|_, entry| entry.lease.is_none_or(|lease| leases.contains_key(&lease)));
        Ok(Content { name: self.name(), beside, main })
    }

    fn parse(&self, pending: Option<&str>) -> Result<Main, StoreError> {
        let text = match pending {
            Some(text) => text.to_owned(),
            None => match some_bytes(&self.path).map_err(|error| self.failed(&self.path, &error))? {
                None => return Ok(Main::default()),
                Some(bytes) => String::from_utf8(bytes).map_err(|_| self.unreadable("it is not UTF-8"))?,
            },
        };
        let mut diagnostics = Diagnostics::default();
        let parsed =
            lock_file::parse(&Source::new(self.name(), text.as_str()), SourceId(0), &mut diagnostics);
        let Some(file) = parsed.filter(|_| !diagnostics.has_errors()) else {
            let cause = diagnostics.into_sorted().into_iter().next().map(|found| found.message);
            return Err(self.unreadable(&cause.unwrap_or_default()));
        };
        Ok(Main { allocations: file.allocations, kept: file.kept })
    }

    fn unreadable(&self, cause: &str) -> StoreError {
        let cause = format!("{cause}: `midoform lock --repair` may help");
        StoreError::Failed { store: self.name(), cause }
    }

    /// Runs something where it may block.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LockFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = self.clone();
        match tokio::task::spawn_blocking(move || work(&file)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Failed { store: self.name(), cause: error.to_string() }),
        }
    }

    fn commit_now(&self, asked: &Transaction) -> Result<Commit, StoreError> {
        let _exclusive = self.exclusive(false)?;
        let touched = asked.compares.iter().map(|compare| compare.key.as_str());
        let with_main = touched.chain(asked.writes.iter().map(Write::key)).any(|key| !is_beside(key));
        let mut content = self.load(with_main, true)?;
        let before = (content.beside.clone(), content.main.clone());
        if asked.compares.iter().any(|compare| content.revision(&compare.key) != compare.revision) {
            return Ok(Commit::Conflict);
        }
        for write in &asked.writes {
            if !content.write(write)? {
                return Ok(Commit::Conflict);
            }
        }
        let revision = |write: &Write| match write {
            Write::Put { key, .. } => content.revision(key),
            Write::Delete { .. } => Revision::ABSENT,
        };
        let revisions = asked.writes.iter().map(revision).collect();
        self.save(&mut content, before)?;
        Ok(Commit::Done(revisions))
    }

    /// Writes what has changed.
    fn save(&self, content: &mut Content, before: (Beside, Option<Main>)) -> Result<(), StoreError> {
        let changed = content.main.as_ref().filter(|main| before.1.as_ref() != Some(main));
        let text = changed.map(|main| main.text(&content.name)).transpose()?;
        let beside_changed = before.0 != content.beside;
        match text {
            Some(text) if beside_changed => {
                content.beside.pending = Some(text.clone());
                self.write_beside(&content.beside)?;
                self.write_main(&text)?;
                content.beside.pending = None;
                self.write_beside(&content.beside)
            }
            Some(text) => self.write_main(&text),
            None if beside_changed => self.write_beside(&content.beside),
            None => Ok(()),
        }
    }

    /// Changes leases alone.
    fn change_leases<T>(&self, change: impl FnOnce(&mut Beside) -> T) -> Result<T, StoreError> {
        let _exclusive = self.exclusive(false)?;
        let mut content = self.load(false, true)?;
        let before = content.beside.clone();
        let result = change(&mut content.beside);
        self.save(&mut content, (before, None))?;
        Ok(result)
    }
}

/// What a file holds; nothing where there is none.
fn some_bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a key never stands in the lock file itself.
fn is_beside(key: &str) -> bool {
    key.starts_with(keys::LOCKS)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A value's revision: a hash of it, and never [`Revision::ABSENT`].
fn revision_of(value: &str) -> Revision {
    let hash = Sha256::digest(value);
    Revision(hash.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)).max(1))
}

impl Main {
    /// The lock file's text; `store` is the name for messages.
    fn text(&self, store: &str) -> Result<String, StoreError> {
        let failed = |cause: String| StoreError::Failed { store: store.to_owned(), cause };
        let mut text = lock_file::to_toml(&self.allocations).map_err(|error| failed(error.to_string()))?;
        if !self.kept.is_empty() {
            text.push_str("\n[kept]\n");
            text.push_str(&toml::to_string(&self.kept).map_err(|error| failed(error.to_string()))?);
        }
        Ok(text)
    }

    fn value(&self, key: &str) -> Option<String> {
        if key == keys::POOLS {
            return allocation::pools_of(&self.allocations);
        }
        match key.starts_with(keys::ALLOCATIONS) {
            true => allocation::value_of(&self.allocations, key),
            false => self.kept.get(key).cloned(),
        }
    }

    fn delete(&mut self, key: &str) {
        match key.starts_with(keys::ALLOCATIONS) {
            true => allocation::delete(&mut self.allocations, key),
            false => drop(self.kept.remove(key)),
        }
    }
}

impl Content {
    fn value(&self, key: &str) -> Option<(String, Option<Lease>)> {
        if let Some(leased) = self.beside.entries.get(key) {
            return Some((leased.value.clone(), leased.lease.map(Lease)));
        }
        Some((self.main.as_ref()?.value(key)?, None))
    }

    fn revision(&self, key: &str) -> Revision {
        self.value(key).map_or(Revision::ABSENT, |(value, _)| revision_of(&value))
    }

    /// Does one write; false where its lease has ended.
    fn write(&mut self, write: &Write) -> Result<bool, StoreError> {
        match write {
            Write::Put { lease: Some(lease), .. } if !self.beside.leases.contains_key(&lease.0) => {
                return Ok(false);
            }
            Write::Put { key, value, lease } if lease.is_some() || is_beside(key) => {
                let leased = Leased { value: value.clone(), lease: lease.map(|lease| lease.0) };
                self.beside.entries.insert(key.clone(), leased);
                if let Some(main) = &mut self.main {
                    main.delete(key);
                }
            }
            Write::Put { key, value, .. } => {
                self.beside.entries.remove(key);
                let main = self.main.get_or_insert_default();
                if key.starts_with(keys::ALLOCATIONS) {
                    let entry = Entry {
                        key: key.clone(),
                        value: value.clone(),
                        revision: Revision::ABSENT,
                        lease: None,
                    };
                    allocation::put(&mut main.allocations, &self.name, &entry)?;
                } else {
                    main.kept.insert(key.clone(), value.clone());
                }
            }
            Write::Delete { key } => {
                self.beside.entries.remove(key);
                if let Some(main) = &mut self.main {
                    main.delete(key);
                }
            }
        }
        Ok(true)
    }

    fn entries(&self, range: &Range) -> Vec<Entry> {
        let mut keys: Vec<String> =
            self.beside.entries.keys().filter(|key| range.contains(key)).cloned().collect();
        if let Some(main) = &self.main {
            keys.extend(main.kept.keys().filter(|key| range.contains(key)).cloned());
            if range.from.as_str() < "given0" && range.to.as_str() > keys::ALLOCATIONS {
                let given =
                    allocation::keys_of(&main.allocations).into_iter().chain([keys::POOLS.to_owned()]);
                keys.extend(given.filter(|key| range.contains(key)));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let entry = |key: String| {
            let (value, lease) = self.value(&key)?;
            Some(Entry { revision: revision_of(&value), key, value, lease })
        };
        let limit = range.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        keys.into_iter().filter_map(entry).take(limit).collect()
    }
}

#[async_trait]
impl Store for LockFile {
    fn name(&self) -> String {
        format!("the lock file {}", self.path.display())
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        let ranges = ranges.to_vec();
        self.with(move |file| {
            let exclusive = file.exclusive(true)?;
            let beside_alone = |range: &Range| is_beside(&range.from) && range.to.as_str() <= "lock0";
            let content = file.load(!ranges.iter().all(beside_alone), exclusive.is_some())?;
            Ok(ranges.iter().map(|range| content.entries(range)).collect())
        })
        .await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError> {
        let transaction = transaction.clone();
        self.with(move |file| file.commit_now(&transaction)).await
    }

    async fn grant(&self, time: Duration) -> Result<Lease, StoreError> {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.with(move |file| {
            file.change_leases(|beside| {
                // At random, so that the id of one that ended doesn't come back.
                let id = fastrand::i64(1..i64::MAX);
                let ends = now().saturating_add(milliseconds);
                beside.leases.insert(id, LeaseRecord { milliseconds, ends });
                Lease(id)
            })
        })
        .await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError> {
        self.with(move |file| {
            file.change_leases(|beside| match beside.leases.get_mut(&lease.0) {
                None => false,
                Some(lease) => {
                    lease.ends = now().saturating_add(lease.milliseconds);
                    true
                }
            })
        })
        .await
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        self.with(move |file| {
            file.change_leases(|beside| {
                beside.leases.remove(&lease.0);
                beside.entries.retain(|_, entry| entry.lease != Some(lease.0));
            })
        })
        .await
    }
}
