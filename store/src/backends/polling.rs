//! Watches by looking again and again: for stores that tell nobody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Change, Entry, Range, Store, StoreError, Watch, read_one};

/// How long after a look the next one comes.
const PAUSE: Duration = Duration::from_millis(50);

/// A range that is looked at again and again.
pub(super) struct Polling<S> {
    store: Arc<S>,
    range: Range,
    /// What was there at the last look; none before the first, and after a failed one.
    known: Option<BTreeMap<String, Entry>>,
    waiting: VecDeque<Change>,
}

impl<S: Store> Polling<S> {
    pub(super) fn new(store: Arc<S>, range: Range) -> Self {
        Polling { store, range, known: None, waiting: VecDeque::new() }
    }
}

#[async_trait]
impl<S: Store + 'static> Watch for Polling<S> {
    async fn next(&mut self) -> Result<Change, StoreError> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return Ok(change);
            }
            let first = self.known.is_none();
            if !first {
                tokio::time::sleep(PAUSE).await;
            }
            let known = self.known.take();
            let found = read_one(&*self.store, self.range.clone()).await?;
            let now: BTreeMap<String, Entry> =
                found.iter().map(|entry| (entry.key.clone(), entry.clone())).collect();
            match known {
                None => self.waiting.push_back(Change::State(found)),
                Some(before) => {
                    let gone = before.keys().filter(|key| !now.contains_key(*key));
                    self.waiting.extend(gone.map(|key| Change::Delete(key.clone())));
                    let changed = now.values().filter(|entry| {
                        before.get(&entry.key).map(|before| before.revision) != Some(entry.revision)
                    });
                    self.waiting.extend(changed.map(|entry| Change::Put(entry.clone())));
                }
            }
            self.known = Some(now);
        }
    }
}
