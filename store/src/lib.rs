//! Where state is kept: one small interface, and three stores behind it.
//!
//! A store maps keys to values, both of them text. It reads ranges of keys as of one moment, commits a transaction
//! (compares, then writes: all or nothing), and knows leases: what is put under one goes when it
//! ends. Everything else, what is claimed and by whom, is built on that, once for all stores
//! ([`ipam`], [`allocation`], [`locks`]).
//! `docs/store.md` lists keys and values.

#![forbid(unsafe_code)]

pub mod allocation;
pub mod atomic_file;
pub mod backends;
pub mod ipam;
pub mod keys;
pub mod locks;
pub mod open;
pub mod publication;
pub mod ready;
pub mod record;
pub mod tenants;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A store that several parts of a program share.
pub type SharedStore = Arc<dyn Store>;

/// A place that keeps keys and values. Keys order as bytes.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// What it is and where, in words, for messages: `etcd at http://10.0.0.1:2379 (/midoform/gz1/)`.
    fn name(&self) -> String;

    /// How many writes one transaction may have.
    fn most_writes(&self) -> usize {
        usize::MAX
    }

    /// What lies in these ranges, in the order of the ranges and of the keys, all as of one moment.
    ///
    /// # Errors
    /// When the store can't be reached or read.
    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError>;

    /// Does all writes if all compares hold, and nothing otherwise. What it did is on the disk when it returns, unless
    /// the transaction says that it need not be ([`Transaction::is_brief`]).
    ///
    /// # Errors
    /// When the store can't be reached or written. After [`StoreError::Uncertain`] it may have happened: read
    /// again. No other error leaves anything.
    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError>;

    /// A lease that ends after this time unless it is kept alive.
    ///
    /// # Errors
    /// When the store can't be reached or written.
    async fn grant(&self, time: Duration) -> Result<Lease, StoreError>;

    /// Starts a lease's time anew; false when the lease has ended.
    ///
    /// # Errors
    /// When the store can't be reached or written.
    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError>;

    /// Ends a lease, and deletes what was put under it.
    ///
    /// # Errors
    /// When the store can't be reached or written.
    async fn revoke(&self, lease: Lease) -> Result<(), StoreError>;
}

/// Keys from one to before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub from: String,
    /// The first key that no longer belongs to it.
    pub to: String,
    /// At most so many entries are read, the first ones; none: all.
    pub limit: Option<u32>,
}

impl Range {
    /// One key.
    pub fn key(key: &str) -> Range {
        Range { from: key.to_owned(), to: format!("{key}\0"), limit: None }
    }

    /// All keys that begin so. An empty prefix: all keys.
    pub fn prefix(prefix: &str) -> Range {
        Range { from: prefix.to_owned(), to: after(prefix), limit: None }
    }

    /// The keys that begin so, from this one on.
    pub fn within(prefix: &str, from: &str) -> Range {
        Range { from: from.to_owned(), ..Range::prefix(prefix) }
    }

    /// No more than the first so many.
    #[must_use]
    pub fn limit(self, entries: u32) -> Range {
        Range { limit: Some(entries), ..self }
    }

    /// Whether a key lies in it.
    pub fn contains(&self, key: &str) -> bool {
        self.from.as_str() <= key && key < self.to.as_str()
    }
}

/// The first text after all that begin with a prefix. Keys are ASCII or at least no text ends with this character.
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
    /// Says whether the key is still what was read.
    pub revision: Revision,
    /// The lease that it goes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// The state of one key: another one after each change of its value. Not to be ordered: a lock file's revisions
/// are hashes of values, so that a value that came back is the state that was read.
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

/// What is compared, and what is written when all compares hold. No key is written twice in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What has to be so.
    pub compares: Vec<Compare>,
    /// What happens then.
    pub writes: Vec<Write>,
    /// Whether it may be lost, with whatever came after it, when the machine loses its power before the store wrote it
    /// out: for what does not outlive the machine either. The end of a process never loses it, and a commit that may not
    /// be lost keeps all those before it. Only the embedded database makes use of it.
    pub is_brief: bool,
}

/// A key has to be in this state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: String,
    /// Its revision; [`Revision::ABSENT`]: it must not be there.
    pub revision: Revision,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a value under a key, whatever was there, and whatever lease it had.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// The lease that it goes with.
        lease: Option<Lease>,
    },
    /// Deletes a key, if it is there.
    Delete {
        /// The key.
        key: String,
    },
}

impl Write {
    /// The key that is written.
    pub fn key(&self) -> &str {
        match self {
            Write::Put { key, .. } | Write::Delete { key } => key,
        }
    }
}

impl Transaction {
    /// The key has to be as it was read.
    #[must_use]
    pub fn when(mut self, key: impl Into<String>, revision: Revision) -> Self {
        self.compares.push(Compare { key: key.into(), revision });
        self
    }

    /// The key must not be there.
    #[must_use]
    pub fn when_absent(self, key: impl Into<String>) -> Self {
        self.when(key, Revision::ABSENT)
    }

    /// All of these have to hold as well.
    #[must_use]
    pub fn when_all(mut self, compares: &[Compare]) -> Self {
        self.compares.extend_from_slice(compares);
        self
    }

    /// Puts a value.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.writes.push(Write::Put { key: key.into(), value: value.into(), lease: None });
        self
    }

    /// Puts a value that goes with a lease.
    #[must_use]
    pub fn put_leased(mut self, key: impl Into<String>, value: impl Into<String>, lease: Lease) -> Self {
        self.writes.push(Write::Put { key: key.into(), value: value.into(), lease: Some(lease) });
        self
    }

    /// It does not outlive the machine's power ([`Transaction::is_brief`]).
    #[must_use]
    pub fn brief(self) -> Self {
        Transaction { is_brief: true, ..self }
    }

    /// Deletes a key.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.writes.push(Write::Delete { key: key.into() });
        self
    }
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is done. The revisions of what was written, in the order of the writes; absent for what was deleted.
    Done(Vec<Revision>),
    /// A compare did not hold: nothing was done.
    Conflict,
}

/// Why a store can't be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached. Nothing was done.
    #[error("{store} can't be reached: {cause}")]
    Unreachable {
        /// Which store.
        store: String,
        /// Why.
        cause: String,
    },
    /// A commit was sent and its answer was lost: it may have been done.
    #[error("{store} did not answer to a commit: {cause}; whether it was done shows when it is read again")]
    Uncertain {
        /// Which store.
        store: String,
        /// Why.
        cause: String,
    },
    /// It is overloaded, or out of space. Nothing was done.
    #[error("{store} takes nothing at the moment: {cause}")]
    Exhausted {
        /// Which store.
        store: String,
        /// Its words.
        cause: String,
    },
    /// It doesn't let this user in.
    #[error("{store} refuses: {cause}")]
    Refused {
        /// Which store.
        store: String,
        /// Its words.
        cause: String,
    },
    /// Another process holds it, for longer than this one waits.
    #[error("{store} is in use by {holder}")]
    Busy {
        /// Which store.
        store: String,
        /// Who, and since when.
        holder: String,
    },
    /// A value that this program does not understand.
    #[error("{store}: the value of `{key}` can't be used: {cause}")]
    Value {
        /// Which store.
        store: String,
        /// The key.
        key: String,
        /// Why.
        cause: String,
    },
    /// It can't be read or written: the disk is full, the file is damaged, permissions are missing.
    #[error("{store}: {cause}")]
    Failed {
        /// Which store.
        store: String,
        /// The system's or the store's words.
        cause: String,
    },
}

impl StoreError {
    /// Whether trying again, perhaps after a new read, may help.
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

/// One range.
///
/// # Errors
/// As [`Store::read`].
pub async fn read_one(store: &dyn Store, range: Range) -> Result<Vec<Entry>, StoreError> {
    Ok(store.read(&[range]).await?.into_iter().next().unwrap_or_default())
}

/// One key.
///
/// # Errors
/// As [`Store::read`].
pub async fn get(store: &dyn Store, key: &str) -> Result<Option<Entry>, StoreError> {
    Ok(read_one(store, Range::key(key)).await?.into_iter().next())
}

/// Returns the time now, in milliseconds of Unix time. It says when something was claimed or released: clocks that differ among
/// hosts make an address rest for longer or shorter, and nothing else.
pub(crate) fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
