//! A store in memory in which every call waits for permission, so that a test decides the order of the calls, which replies
//! are lost, and which commits come late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use midoform_store::{
    Commit, Entry, Lease, Range, Revision, SharedStore, Store, StoreError, Transaction, Write,
};
use tokio::sync::oneshot;

/// The fate of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is executed, and has a reply.
    Goes,
    /// It is executed, and its reply is lost.
    LosesAnswer,
    /// Its reply is lost, and it is still on its way: it is executed later, or never.
    IsLate,
}

/// Keys and values, and the waiting calls.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: BTreeMap<String, Entry>,
    revision: u64,
    leases: i64,
    waiting: BTreeMap<usize, oneshot::Sender<Fate>>,
    late: Vec<Transaction>,
}

impl Memory {
    /// Returns the parties of the waiting calls.
    pub(crate) fn waiting(&self) -> Vec<usize> {
        self.waiting.keys().copied().collect()
    }

    pub(crate) fn let_in(&mut self, party: usize, fate: Fate) {
        self.waiting.remove(&party).unwrap().send(fate).unwrap();
    }

    pub(crate) fn late(&self) -> usize {
        self.late.len()
    }

    /// Executes a late commit.
    pub(crate) fn arrive(&mut self, at: usize) {
        let transaction = self.late.remove(at);
        self.apply(&transaction);
    }

    pub(crate) fn has_leased(&self) -> bool {
        self.entries.values().any(|entry| entry.lease.is_some())
    }

    /// Ends all leases, as if the holders had been paused for too long.
    pub(crate) fn end_leases(&mut self) {
        self.entries.retain(|_, entry| entry.lease.is_none());
        self.revision += 1;
    }

    fn apply(&mut self, transaction: &Transaction) -> Commit {
        let revision = |key: &str| self.entries.get(key).map_or(Revision::ABSENT, |entry| entry.revision);
        if !transaction.compares.iter().all(|compare| revision(&compare.key) == compare.revision) {
            return Commit::Conflict;
        }
        self.revision += 1;
        let now = Revision(self.revision);
        let mut revisions = Vec::new();
        for write in &transaction.writes {
            match write {
                Write::Put { key, value, lease } => {
                    let entry =
                        Entry { key: key.clone(), value: value.clone(), revision: now, lease: *lease };
                    self.entries.insert(key.clone(), entry);
                    revisions.push(now);
                }
                Write::Delete { key } => {
                    self.entries.remove(key);
                    revisions.push(Revision::ABSENT);
                }
            }
        }
        Commit::Done(revisions)
    }
}

/// The connection of one party. With a number it waits at each call for permission.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    memory: Arc<Mutex<Memory>>,
    party: Option<usize>,
}

impl Door {
    pub(crate) fn store(memory: &Arc<Mutex<Memory>>, party: Option<usize>) -> SharedStore {
        Arc::new(Door { memory: Arc::clone(memory), party })
    }

    async fn enter(&self) -> Fate {
        let Some(party) = self.party else { return Fate::Goes };
        let (sender, receiver) = oneshot::channel();
        self.memory.lock().unwrap().waiting.insert(party, sender);
        receiver.await.unwrap()
    }
}

#[async_trait]
impl Store for Door {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        if self.enter().await != Fate::Goes {
            return Err(StoreError::Unreachable { store: self.name(), cause: "lost".to_owned() });
        }
        let memory = self.memory.lock().unwrap();
        let read = |range: &Range| {
            let found = memory.entries.values().filter(|entry| range.contains(&entry.key));
            found.take(range.limit.map_or(usize::MAX, |limit| limit as usize)).cloned().collect()
        };
        Ok(ranges.iter().map(read).collect())
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError> {
        let fate = self.enter().await;
        let mut memory = self.memory.lock().unwrap();
        match fate {
            Fate::Goes => return Ok(memory.apply(transaction)),
            Fate::LosesAnswer => drop(memory.apply(transaction)),
            Fate::IsLate => memory.late.push(transaction.clone()),
        }
        Err(StoreError::Uncertain { store: self.name(), cause: "lost".to_owned() })
    }

    async fn grant(&self, _time: Duration) -> Result<Lease, StoreError> {
        let mut memory = self.memory.lock().unwrap();
        memory.leases += 1;
        Ok(Lease(memory.leases))
    }

    async fn keep_alive(&self, _lease: Lease) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        let mut memory = self.memory.lock().unwrap();
        memory.entries.retain(|_, entry| entry.lease != Some(lease));
        Ok(())
    }
}
