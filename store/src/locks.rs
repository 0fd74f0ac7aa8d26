//! Locks: one holder at a time; a holder that is paused for too long loses them.
//!
//! A lock is a key under a lease that its holder keeps alive. Every write of the holder compares the key's revision
//! ([`Lock::fence`]): after the lease has ended the holder can't write any more, even if it does not know that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{keys, now};
use crate::clock::since_boot;
use crate::record::{Held, Record, decode, encode};
use crate::{
    Commit, Compare, Entry, Lease, Range, Revision, SharedStore, StoreError, Transaction, get, read_one,
};

/// The time after which a lock ends if its holder does not keep it alive.
pub const LEASE: Duration = Duration::from_secs(15);

/// The holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// The command, such as `midoform apply`.
    pub by: String,
    /// The process.
    pub process: Process,
    /// The time when it took the lock, in milliseconds of Unix time.
    pub since: u64,
    /// A random number that tells any two holders apart.
    pub nonce: Uuid,
}

impl Record for LockRecord {
    const VERSION: u64 = 1;
}

/// A process. Others on the same machine can tell from this whether it still runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine's name.
    pub host: String,
    /// The user's name, if known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The process id.
    pub id: u32,
    /// The boot of the machine, and the namespace of the process id: ids of one namespace can be compared.
    #[serde(rename = "place")]
    pub pid_namespace: String,
    /// The start time, in the kernel's ticks: process ids are used again.
    pub started: u64,
}

impl Process {
    /// Returns this process.
    pub fn current() -> Process {
        let line = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let id = std::process::id();
        Process {
            host: line("/proc/sys/kernel/hostname"),
            user: std::env::var("USER").unwrap_or_default(),
            id,
            pid_namespace: format!("{} {}", line("/proc/sys/kernel/random/boot_id"), namespace.display()),
            started: started(id).unwrap_or_default(),
        }
    }

    /// Returns true if it is certain from here that the process has ended.
    fn is_gone(&self, here: &Process) -> bool {
        let comparable = self.pid_namespace == here.pid_namespace && here.started != 0 && self.started != 0;
        comparable && started(self.id) != Some(self.started)
    }
}

/// Returns the start time of a process, in ticks since the boot; none if it does not exist or is a zombie.
fn started(id: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may contain anything; the fields follow its last parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(18)?.parse().ok())?
}

impl std::fmt::Display for LockRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Process { host, user, id, .. } = &self.process;
        let since = i64::try_from(self.since).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let since = since.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
        write!(formatter, "{} (process {id}", self.by)?;
        if !user.is_empty() {
            write!(formatter, " of {user}")?;
        }
        write!(formatter, " on {host}, since {since})")
    }
}

/// The failure to take a lock.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LockError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else holds it.
    #[error("`{name}` is in use by {holder}; wait until it ends, or use --lock-timeout")]
    Busy {
        /// The lock's name.
        name: String,
        /// The holder.
        holder: Box<LockRecord>,
    },
}

/// One or several locks, held until [`Lock::release`]. If the value is dropped, they end with their lease.
#[derive(Debug)]
pub struct Lock {
    store: SharedStore,
    lease: Lease,
    /// The compare of each lock, by its name.
    fences: BTreeMap<String, Compare>,
    tenure: Tenure,
    keeper: JoinHandle<()>,
}

/// The time for which a lock is surely held. It is counted from before each renewal of the lease, by the time since the
/// machine's boot, which goes on while the machine sleeps. So a process that was stopped for too long sees at once that
/// its time is over, before it does anything.
#[derive(Clone, Debug)]
pub struct Tenure {
    /// The end, in nanoseconds since the boot.
    until: Arc<AtomicU64>,
}

impl Tenure {
    fn until(end: Duration) -> Tenure {
        Tenure { until: Arc::new(AtomicU64::new(nanoseconds(end))) }
    }

    /// Returns true while the lease can't have ended.
    pub fn is_current(&self) -> bool {
        nanoseconds(since_boot()) < self.until.load(Ordering::Relaxed)
    }

    fn extend(&self, end: Duration) {
        self.until.store(nanoseconds(end), Ordering::Relaxed);
    }

    fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Takes a lock, waiting at most `patience` for its holder. `by` is the command, for the messages of others.
///
/// # Errors
/// When somebody else has it, and when the store fails.
pub async fn acquire(
    store: &SharedStore,
    name: &str,
    by: &str,
    patience: Duration,
) -> Result<Lock, LockError> {
    acquire_for(store, name, by, patience, LEASE).await
}

/// Takes a lock with another lease time than [`LEASE`].
///
/// # Errors
/// When somebody else has it, and when the store fails.
pub async fn acquire_for(
    store: &SharedStore,
    name: &str,
    by: &str,
    patience: Duration,
    time: Duration,
) -> Result<Lock, LockError> {
    acquire_all(store, &[name.to_owned()], by, patience, time).await
}

/// Takes several locks, all or none of them.
///
/// # Errors
/// When somebody else has one of them, and when the store fails.
pub async fn acquire_all(
    store: &SharedStore,
    names: &[String],
    by: &str,
    patience: Duration,
    time: Duration,
) -> Result<Lock, LockError> {
    let end = Instant::now() + patience;
    let process = Process::current();
    let mut pause = Duration::from_millis(5);
    loop {
        let held = holders(store, names).await?;
        let busy = held.iter().find(|(_, held)| !held.record.process.is_gone(&process));
        match busy {
            Some((name, held)) => {
                if Instant::now() >= end {
                    let (name, holder) = (shown(name).to_owned(), Box::new(held.record.clone()));
                    return Err(LockError::Busy { name, holder });
                }
                tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
                pause = (pause * 2).min(Duration::from_millis(100 + fastrand::u64(..50)));
            }
            None => {
                let record =
                    |nonce| LockRecord { by: by.to_owned(), process: process.clone(), since: now(), nonce };
                if let Some(lock) = take(store, names, &record, time, &held).await? {
                    return Ok(lock);
                }
                // Two runs that need some of the same locks must not collide again and again.
                tokio::time::sleep(Duration::from_millis(fastrand::u64(..20))).await;
            }
        }
    }
}

/// Returns a lock's name as people read it.
fn shown(name: &str) -> &str {
    name.strip_prefix("tenant:").unwrap_or(name)
}

/// Returns the holders of these locks, by name.
async fn holders(
    store: &SharedStore,
    names: &[String],
) -> Result<BTreeMap<String, Held<LockRecord>>, StoreError> {
    let found: Vec<Entry> = match names {
        [one] => get(&**store, &keys::lock(one)).await?.into_iter().collect(),
        _ => read_one(&**store, Range::prefix(keys::LOCKS)).await?,
    };
    let mut by_key: BTreeMap<String, Entry> =
        found.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    let mut held = BTreeMap::new();
    for name in names {
        if let Some(entry) = by_key.remove(&keys::lock(name)) {
            held.insert(name.clone(), decode(&store.name(), &entry)?);
        }
    }
    Ok(held)
}

/// Writes the locks' keys, and replaces those of ended holders. Returns none if somebody else was faster.
async fn take(
    store: &SharedStore,
    names: &[String],
    record: &(dyn Fn(Uuid) -> LockRecord + Sync),
    time: Duration,
    before: &BTreeMap<String, Held<LockRecord>>,
) -> Result<Option<Lock>, StoreError> {
    let tenure = Tenure::until(since_boot() + time);
    let lease = store.grant(time).await?;
    let value = record(Uuid::from_u128(fastrand::u128(..)));
    let mut fences = BTreeMap::new();
    for some in names.chunks(store.most_writes()) {
        let mut transaction = Transaction::default();
        for name in some {
            let key = keys::lock(name);
            let revision = before.get(name).map_or(Revision::ABSENT, |held| held.revision);
            transaction = transaction.when(&key, revision).put_leased(&key, encode(&value), lease);
        }
        let revisions = match store.commit(&transaction).await {
            Ok(Commit::Done(revisions)) => revisions,
            Ok(Commit::Conflict) => Vec::new(),
            Err(StoreError::Uncertain { .. }) => {
                let held = holders(store, some).await?;
                let own = held.values().filter(|held| held.record.nonce == value.nonce);
                own.map(|held| held.revision).collect()
            }
            Err(other) => return Err(other),
        };
        if revisions.len() < some.len() {
            // If this fails, the lease ends by itself.
            let _ = store.revoke(lease).await;
            return Ok(None);
        }
        fences.extend(
            some.iter()
                .zip(revisions)
                .map(|(name, revision)| (name.clone(), Compare { key: keys::lock(name), revision })),
        );
    }
    let keeper = tokio::spawn(keep(store.clone(), lease, time, tenure.clone()));
    Ok(Some(Lock { store: store.clone(), lease, fences, tenure, keeper }))
}

/// Keeps a lease alive until it has ended.
async fn keep(store: SharedStore, lease: Lease, time: Duration, tenure: Tenure) {
    loop {
        tokio::time::sleep(time / 3).await;
        let asked = since_boot();
        match store.keep_alive(lease).await {
            Ok(true) => tenure.extend(asked + time),
            Ok(false) => return tenure.end(),
            // The store may be back before the lease ends.
            Err(_) => {}
        }
    }
}

impl Lock {
    /// Returns the compare for every write of the holder of a single lock: it fails after the lock was lost.
    pub fn fence(&self) -> Compare {
        let nothing = || Compare { key: keys::lock(""), revision: Revision::ABSENT };
        self.fences.values().next().cloned().unwrap_or_else(nothing)
    }

    /// Returns the compare for writes that need this lock; none if it is not held.
    pub fn fence_of(&self, name: &str) -> Option<Compare> {
        self.fences.get(name).cloned()
    }

    /// Returns the compare for writes that need this tenant's lock; none if it is not held.
    pub fn fence_of_tenant(&self, tenant: &str) -> Option<Compare> {
        self.fence_of(&keys::tenant_lock(tenant))
    }

    /// Returns the time for which the lock is surely held.
    pub fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Returns the names as people read them.
    pub fn names(&self) -> Vec<&str> {
        self.fences.keys().map(|name| shown(name)).collect()
    }

    /// Returns true if all locks are still held. Only a commit with the fence is certain.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_held(&self) -> Result<bool, StoreError> {
        let names: Vec<String> = self.fences.keys().cloned().collect();
        let held = holders(&self.store, &names).await?;
        let same = |(name, fence): (&String, &Compare)| {
            held.get(name).is_some_and(|held| held.revision == fence.revision)
        };
        Ok(self.fences.iter().all(same))
    }

    /// Releases the locks at once. If the store fails, they end with their lease.
    pub async fn release(self) {
        self.keeper.abort();
        let _ = self.store.revoke(self.lease).await;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
