//! The lock file beside the spec: the allocations as TOML that a reviewer can read and Git can merge. One file, several
//! processes.
//!
//! The allocations (`given/…`) have the form of [`midoform_compiler::network::lock_file`]; all other keys are below them,
//! in `[kept]`. Keys under a lease, and all of `lock/…`, are not for Git: they are in another file, `midoform.lock.leases`,
//! which exists only while a command runs.
//!
//! Each call holds the kernel's lock of a third file, `midoform.lock.busy`; a process that ended holds none. A commit that
//! changes both files writes the lock file's new text into the leases' file first: after a crash, the next call completes
//! the commit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::lock_file;
use midoform_compiler::source::{Source, SourceId, Unreadable};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::atomic_file::{replace_atomically, replace_until_power_failure, target_of, write_atomically};
use crate::clock::{Clocks, LeaseTime};
use crate::{
    Commit, Entry, Lease, Range, Revision, Store, StoreError, Transaction, Write, allocation, input_file,
    keys,
};

/// The time to wait for other processes, each of which holds the file for a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lock file.
#[derive(Clone, Debug)]
pub struct LockFile {
    /// The path that people know.
    path: PathBuf,
    /// The file that the path leads to, if it is a link: all paths to one file have to have the same locks.
    real: PathBuf,
}

/// The content of the leases' file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct LeaseFile {
    leases: BTreeMap<i64, LeaseTime>,
    entries: BTreeMap<String, Leased>,
    /// The lock file's new text, until it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
}

/// A value that may go with a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Leased {
    value: String,
    lease: Option<i64>,
}

/// The end of a write of the leases' file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitForDisk {
    /// When the disk has it: its text of the lock file must not come back once that is older.
    Yes,
    /// At once: it has leases only, which mean nothing after a power failure, since their processes have ended.
    No,
}

/// The content of the lock file.
#[derive(Clone, Debug, Default, PartialEq)]
struct AllocationFile {
    allocations: Allocations,
    kept: BTreeMap<String, String>,
}

/// The content of both files.
struct Files {
    /// The store's name, for messages.
    name: String,
    lease_file: LeaseFile,
    /// None if it is not needed: locks can be taken even if the lock file is damaged.
    allocation_file: Option<AllocationFile>,
}

impl LockFile {
    /// Returns the lock file at this path. It need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let real = target_of(&path).unwrap_or_else(|_| path.clone());
        LockFile { path, real }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; none if it does not exist.
    pub fn source(&self) -> Option<Source> {
        let name = self.path.display().to_string();
        match self.refuse_device().and_then(|()| self.text()) {
            Ok(None) => None,
            Ok(Some(bytes)) => Some(Source { name: name.into(), content: Ok(bytes) }),
            Err(error) => {
                Some(Source { name: name.into(), content: Err(Unreadable::Failed(error.to_string())) })
            }
        }
    }

    /// Returns an error if something else than a file is in the lock file's place: nothing is kept there, and no file of
    /// midoform's own belongs beside it.
    fn refuse_device(&self) -> io::Result<()> {
        match std::fs::metadata(&self.real) {
            Ok(found) if !found.is_file() => {
                Err(io::Error::other("it is not a file: allocations can't be kept there"))
            }
            _ => Ok(()),
        }
    }

    /// Reads the text, or the new text of a commit that was interrupted.
    fn text(&self) -> io::Result<Option<Vec<u8>>> {
        let pending = self.read_leases().ok().and_then(|lease_file| lease_file.pending);
        match pending {
            Some(text) => Ok(Some(text.into_bytes())),
            None => some_bytes(&self.real),
        }
    }

    fn file(&self, ending: &str) -> PathBuf {
        let mut name = self.real.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        self.real.with_file_name(name)
    }

    fn failed(&self, path: &Path, error: &io::Error) -> StoreError {
        StoreError::Failed { store: self.name(), cause: format!("{}: {error}", path.display()) }
    }

    fn read_leases(&self) -> Result<LeaseFile, StoreError> {
        let path = self.file(".leases");
        let opened = input_file::open_own(&path, File::options().read(true));
        let bytes = opened.and_then(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        let bytes = match bytes {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LeaseFile::default()),
            other => other.map_err(|error| self.failed(&path, &error))?,
        };
        let read = serde_json::from_slice(&bytes).or_else(|error: serde_json::Error| match error.is_eof() {
            // It is replaced as a whole, so a power failure has cut it off. The processes with these leases have ended with it.
            true => Ok(LeaseFile::default()),
            false => Err(error),
        });
        read.map_err(|error| {
            let cause = format!(
                "{} is damaged ({error}): delete it when no midoform is working here",
                path.display()
            );
            StoreError::Failed { store: self.name(), cause }
        })
    }

    fn write_leases(&self, lease_file: &LeaseFile, wait: WaitForDisk) -> Result<(), StoreError> {
        let path = self.file(".leases");
        let result = match *lease_file == LeaseFile::default() {
            true => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            false => {
                let text = serde_json::to_vec(lease_file).unwrap_or_default();
                match wait {
                    WaitForDisk::Yes => replace_atomically(&path, |file| file.write_all(&text)),
                    WaitForDisk::No => replace_until_power_failure(&path, |file| file.write_all(&text)),
                }
            }
        };
        result.map_err(|error| self.failed(&path, &error))
    }

    fn write_allocations(&self, text: &str) -> Result<(), StoreError> {
        write_atomically(&self.real, |file| file.write_all(text.as_bytes()))
            .map_err(|error| self.failed(&self.path, &error))
    }

    /// Takes the kernel's lock, waiting for its holder. A reader goes without, if the file can't be created.
    fn exclusive(&self, only_reads: bool) -> Result<Option<File>, StoreError> {
        self.refuse_device().map_err(|error| self.failed(&self.path, &error))?;
        let path = self.file(".busy");
        let mut options = File::options();
        let file = input_file::open_own(&path, options.create(true).truncate(false).read(true).write(true));
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

    /// Reads both files. Completes an interrupted commit, if this call may write.
    fn load(&self, with_allocations: bool, may_write: bool) -> Result<Files, StoreError> {
        let mut lease_file = self.read_leases()?;
        let allocation_file = match with_allocations {
            true => Some(self.parse(lease_file.pending.as_deref())?),
            false => None,
        };
        if let (Some(text), true) = (&lease_file.pending, may_write) {
            self.write_allocations(text)?;
            lease_file.pending = None;
            self.write_leases(&lease_file, WaitForDisk::Yes)?;
        }
        let now = Clocks::now();
        lease_file.leases.retain(|_, lease| !lease.has_ended(now));
        let leases = &lease_file.leases;
        lease_file.entries.retain(|_, entry| entry.lease.is_none_or(|lease| leases.contains_key(&lease)));
        Ok(Files { name: self.name(), lease_file, allocation_file })
    }

    fn parse(&self, pending: Option<&str>) -> Result<AllocationFile, StoreError> {
        let text = match pending {
            Some(text) => text.to_owned(),
            None => match some_bytes(&self.real).map_err(|error| self.failed(&self.path, &error))? {
                None => return Ok(AllocationFile::default()),
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
        Ok(AllocationFile { allocations: file.allocations, kept: file.kept })
    }

    fn unreadable(&self, cause: &str) -> StoreError {
        let cause = format!("{cause}: `midoform lock --repair` may help");
        StoreError::Failed { store: self.name(), cause }
    }

    /// Runs something on a thread that may block.
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
        let with_allocations =
            touched.chain(asked.writes.iter().map(Write::key)).any(|key| !is_in_lease_file(key));
        let mut content = self.load(with_allocations, true)?;
        let before = (content.lease_file.clone(), content.allocation_file.clone());
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

    /// Writes the files that have changed.
    fn save(
        &self,
        content: &mut Files,
        before: (LeaseFile, Option<AllocationFile>),
    ) -> Result<(), StoreError> {
        let changed = content
            .allocation_file
            .as_ref()
            .filter(|allocation_file| before.1.as_ref() != Some(allocation_file));
        let text = changed.map(|allocation_file| allocation_file.text(&content.name)).transpose()?;
        let leases_changed = before.0 != content.lease_file;
        match text {
            Some(text) if leases_changed => {
                content.lease_file.pending = Some(text.clone());
                self.write_leases(&content.lease_file, WaitForDisk::Yes)?;
                self.write_allocations(&text)?;
                content.lease_file.pending = None;
                self.write_leases(&content.lease_file, WaitForDisk::Yes)
            }
            Some(text) => self.write_allocations(&text),
            None if leases_changed => self.write_leases(&content.lease_file, WaitForDisk::No),
            None => Ok(()),
        }
    }

    /// Changes the leases only.
    fn change_leases<T>(&self, change: impl FnOnce(&mut LeaseFile) -> T) -> Result<T, StoreError> {
        let _exclusive = self.exclusive(false)?;
        let mut content = self.load(false, true)?;
        let before = content.lease_file.clone();
        let result = change(&mut content.lease_file);
        self.save(&mut content, (before, None))?;
        Ok(result)
    }
}

/// Reads a file; none if it does not exist.
fn some_bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match input_file::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns true if a key is never in the lock file itself.
fn is_in_lease_file(key: &str) -> bool {
    key.starts_with(keys::LOCKS)
}

/// Returns the revision of a value: its hash, and never [`Revision::ABSENT`].
fn revision_of(value: &str) -> Revision {
    let hash = Sha256::digest(value);
    Revision(hash.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)).max(1))
}

impl AllocationFile {
    /// Returns the lock file's text. `store` is its name for messages.
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

impl Files {
    fn value(&self, key: &str) -> Option<(String, Option<Lease>)> {
        if let Some(leased) = self.lease_file.entries.get(key) {
            return Some((leased.value.clone(), leased.lease.map(Lease)));
        }
        Some((self.allocation_file.as_ref()?.value(key)?, None))
    }

    fn revision(&self, key: &str) -> Revision {
        self.value(key).map_or(Revision::ABSENT, |(value, _)| revision_of(&value))
    }

    /// Executes one write. Returns false if its lease has ended.
    fn write(&mut self, write: &Write) -> Result<bool, StoreError> {
        match write {
            Write::Put { lease: Some(lease), .. } if !self.lease_file.leases.contains_key(&lease.0) => {
                return Ok(false);
            }
            Write::Put { key, value, lease } if lease.is_some() || is_in_lease_file(key) => {
                let leased = Leased { value: value.clone(), lease: lease.map(|lease| lease.0) };
                self.lease_file.entries.insert(key.clone(), leased);
                if let Some(allocation_file) = &mut self.allocation_file {
                    allocation_file.delete(key);
                }
            }
            Write::Put { key, value, .. } => {
                self.lease_file.entries.remove(key);
                let allocation_file = self.allocation_file.get_or_insert_default();
                if key.starts_with(keys::ALLOCATIONS) {
                    let entry = Entry {
                        key: key.clone(),
                        value: value.clone(),
                        revision: Revision::ABSENT,
                        lease: None,
                    };
                    allocation::put(&mut allocation_file.allocations, &self.name, &entry)?;
                } else {
                    allocation_file.kept.insert(key.clone(), value.clone());
                }
            }
            Write::Delete { key } => {
                self.lease_file.entries.remove(key);
                if let Some(allocation_file) = &mut self.allocation_file {
                    allocation_file.delete(key);
                }
            }
        }
        Ok(true)
    }

    fn entries(&self, range: &Range) -> Vec<Entry> {
        let mut keys: Vec<String> =
            self.lease_file.entries.keys().filter(|key| range.contains(key)).cloned().collect();
        if let Some(allocation_file) = &self.allocation_file {
            keys.extend(allocation_file.kept.keys().filter(|key| range.contains(key)).cloned());
            if range.from.as_str() < "given0" && range.to.as_str() > keys::ALLOCATIONS {
                let allocations = allocation::keys_of(&allocation_file.allocations)
                    .into_iter()
                    .chain([keys::POOLS.to_owned()]);
                keys.extend(allocations.filter(|key| range.contains(key)));
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
            let only_leases = |range: &Range| is_in_lease_file(&range.from) && range.to.as_str() <= "lock0";
            let content = file.load(!ranges.iter().all(only_leases), exclusive.is_some())?;
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
            file.change_leases(|lease_file| {
                // At random, so that no id is used again.
                let id = fastrand::i64(1..i64::MAX);
                lease_file.leases.insert(id, LeaseTime::from_now(milliseconds));
                Lease(id)
            })
        })
        .await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError> {
        self.with(move |file| {
            file.change_leases(|lease_file| match lease_file.leases.get_mut(&lease.0) {
                None => false,
                Some(lease) => {
                    *lease = LeaseTime::from_now(lease.milliseconds);
                    true
                }
            })
        })
        .await
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        self.with(move |file| {
            file.change_leases(|lease_file| {
                lease_file.leases.remove(&lease.0);
                lease_file.entries.retain(|_, entry| entry.lease != Some(lease.0));
            })
        })
        .await
    }
}
