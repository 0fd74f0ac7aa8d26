//! The store of a site: one small interface with three back ends, and what is kept in it.
//!
//! A store maps keys to values, both of them text. It reads ranges of keys as of one moment, commits a transaction
//! (compares, then writes: all or nothing), and has leases: when a lease ends, its keys are deleted. Everything else is
//! built on that once for all back ends: allocations ([`allocation`]), the addresses of pods ([`ipam`]), locks
//! ([`locks`]), the tenants that are ready for pods ([`tenants`]). `docs/store.md` lists keys and values.

#![forbid(unsafe_code)]

pub mod allocation;
pub mod atomic_file;
pub mod backends;
mod clock;
pub mod input_file;
pub mod ipam;
pub mod keys;
pub mod locks;
pub mod open;
mod owner;
pub mod publication;
pub mod ready;
pub mod record;
pub mod tenants;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A store that several tasks share.
pub type SharedStore = Arc<dyn Store>;

/// A map of keys to values. Keys are ordered as bytes.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Returns the name for messages, such as `etcd at http://10.0.0.1:2379 (/midoform/gz1/)`.
    fn name(&self) -> String;

    /// Returns the greatest number of writes in one transaction.
    fn most_writes(&self) -> usize {
        usize::MAX
    }

    /// Reads these ranges as of one moment: the entries of each range, in the order of the keys.
    ///
    /// # Errors
    /// When the store can't be reached or read.
    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError>;

    /// Executes all writes if all compares hold, and nothing otherwise. The writes are on the disk when it returns, unless
    /// the transaction does not need that ([`Transaction::is_brief`]).
    ///
    /// # Errors
    /// When the store can't be reached or written. After [`StoreError::Uncertain`] the writes may be done: read again.
    /// After any other error nothing is written.
    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError>;

    /// Creates a lease that ends after this time unless it is kept alive.
    ///
    /// # Errors
    /// When the store can't be reached or written.
    async fn grant(&self, time: Duration) -> Result<Lease, StoreError>;

    /// Restarts the time of a lease. Returns false if the lease has ended.
    ///
    /// # Errors
    /// When the store can't be reached or written.
    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError>;

    /// Ends a lease, and deletes its keys.
    ///
    /// # Errors
    /// When the store can't be reached or written.
    async fn revoke(&self, lease: Lease) -> Result<(), StoreError>;
}

/// The keys from one on, up to another one that is not included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub from: String,
    /// The first key behind the range.
    pub to: String,
    /// The number of entries to read, from the first on; none: all.
    pub limit: Option<u32>,
}

impl Range {
    /// Makes the range of one key.
    pub fn key(key: &str) -> Range {
        Range { from: key.to_owned(), to: format!("{key}\0"), limit: None }
    }

    /// Makes the range of all keys with this prefix, or of all keys if it is empty.
    pub fn prefix(prefix: &str) -> Range {
        Range { from: prefix.to_owned(), to: after(prefix), limit: None }
    }

    /// Makes the range of the keys with this prefix, from this key on.
    pub fn within(prefix: &str, from: &str) -> Range {
        Range { from: from.to_owned(), ..Range::prefix(prefix) }
    }

    /// Limits the range to its first entries.
    #[must_use]
    pub fn limit(self, entries: u32) -> Range {
        Range { limit: Some(entries), ..self }
    }

    /// Returns true if the key lies in the range.
    pub fn contains(&self, key: &str) -> bool {
        self.from.as_str() <= key && key < self.to.as_str()
    }
}

/// Returns the first text behind all texts with a prefix. No key contains the last character of Unicode.
fn after(prefix: &str) -> String {
    const LAST: char = char::MAX;
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        if let Some(next) = (u32::from(last) + 1..=u32::from(LAST)).find_map(char::from_u32) {
            characters.push(next);
            return characters.into_iter().collect();
        }
    }
    LAST.to_string()
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// The revision: another one after each change.
    pub revision: Revision,
    /// The lease that the key belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// The revision of a key: another one after each change of its value. Revisions have no order: those of a lock file are
/// hashes of values, so a value that was restored has its old revision again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of a key that is not there.
    pub const ABSENT: Revision = Revision(0);
}

/// A lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lease(pub i64);

/// Compares, and the writes that are executed if all compares hold. No key is written twice in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The compares.
    pub compares: Vec<Compare>,
    /// The writes.
    pub writes: Vec<Write>,
    /// True if the transaction may be lost when the machine loses its power: for objects that end with the machine as
    /// well. The end of a process never loses it, and a later commit that is not brief includes it. Only the embedded
    /// database makes use of this.
    pub is_brief: bool,
}

/// A condition: the key has this revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: String,
    /// Its revision; [`Revision::ABSENT`]: the key must not exist.
    pub revision: Revision,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a value, and replaces the old value and its lease.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// The lease that the key belongs to.
        lease: Option<Lease>,
    },
    /// Deletes a key, if it exists.
    Delete {
        /// The key.
        key: String,
    },
}

impl Write {
    /// Returns the key.
    pub fn key(&self) -> &str {
        match self {
            Write::Put { key, .. } | Write::Delete { key } => key,
        }
    }
}

impl Transaction {
    /// Adds the condition that the key has this revision.
    #[must_use]
    pub fn when(mut self, key: impl Into<String>, revision: Revision) -> Self {
        self.compares.push(Compare { key: key.into(), revision });
        self
    }

    /// Adds the condition that the key does not exist.
    #[must_use]
    pub fn when_absent(self, key: impl Into<String>) -> Self {
        self.when(key, Revision::ABSENT)
    }

    /// Adds these conditions.
    #[must_use]
    pub fn when_all(mut self, compares: &[Compare]) -> Self {
        self.compares.extend_from_slice(compares);
        self
    }

    /// Adds a write of a value.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.writes.push(Write::Put { key: key.into(), value: value.into(), lease: None });
        self
    }

    /// Adds a write of a value that is deleted when the lease ends.
    #[must_use]
    pub fn put_leased(mut self, key: impl Into<String>, value: impl Into<String>, lease: Lease) -> Self {
        self.writes.push(Write::Put { key: key.into(), value: value.into(), lease: Some(lease) });
        self
    }

    /// Allows the transaction to be lost in a power failure ([`Transaction::is_brief`]).
    #[must_use]
    pub fn brief(self) -> Self {
        Transaction { is_brief: true, ..self }
    }

    /// Adds the deletion of a key.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.writes.push(Write::Delete { key: key.into() });
        self
    }
}

/// The outcome of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is done. The new revision of each write, in their order; [`Revision::ABSENT`] for deletions.
    Done(Vec<Revision>),
    /// A compare did not hold: nothing is written.
    Conflict,
}

/// The failure of a store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store can't be reached. Nothing is written.
    #[error("{store} can't be reached: {cause}")]
    Unreachable {
        /// The store's name.
        store: String,
        /// The reason.
        cause: String,
    },
    /// A commit was sent and its reply was lost: the writes may be done.
    #[error("{store} did not reply to a commit: {cause}; read the store again to see whether it was done")]
    Uncertain {
        /// The store's name.
        store: String,
        /// The reason.
        cause: String,
    },
    /// The store is overloaded, or out of space. Nothing is written.
    #[error("{store} accepts no writes at the moment: {cause}")]
    Exhausted {
        /// The store's name.
        store: String,
        /// The store's message.
        cause: String,
    },
    /// The store refuses the login, or a permission is missing.
    #[error("{store} refuses access: {cause}")]
    Refused {
        /// The store's name.
        store: String,
        /// The store's message.
        cause: String,
    },
    /// Another process uses the store, for longer than this one waits.
    #[error("{store} is in use by {holder}")]
    Busy {
        /// The store's name.
        store: String,
        /// The other process.
        holder: String,
    },
    /// A value that this midoform does not understand.
    #[error("{store}: the value of `{key}` can't be used: {cause}")]
    Value {
        /// The store's name.
        store: String,
        /// The key.
        key: String,
        /// The reason.
        cause: String,
    },
    /// The store can't be read or written: the disk is full, the file is damaged, permissions are missing.
    #[error("{store}: {cause}")]
    Failed {
        /// The store's name.
        store: String,
        /// The message of the system or the store.
        cause: String,
    },
}

impl StoreError {
    /// Returns true if another attempt may succeed, perhaps after a new read.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            StoreError::Unreachable { .. }
                | StoreError::Uncertain { .. }
                | StoreError::Exhausted { .. }
                | StoreError::Busy { .. }
        )
    }
}

/// Reads one range.
///
/// # Errors
/// As [`Store::read`].
pub async fn read_one(store: &dyn Store, range: Range) -> Result<Vec<Entry>, StoreError> {
    Ok(store.read(&[range]).await?.into_iter().next().unwrap_or_default())
}

/// Reads one key.
///
/// # Errors
/// As [`Store::read`].
pub async fn get(store: &dyn Store, key: &str) -> Result<Option<Entry>, StoreError> {
    Ok(read_one(store, Range::key(key)).await?.into_iter().next())
}

/// Returns the time now, in milliseconds of Unix time. It is the time of claims and releases: if the clocks of hosts differ,
/// an address rests for a longer or shorter time, and nothing else happens.
pub(crate) fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
