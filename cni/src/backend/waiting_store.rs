//! A store that waits while it is busy.
//!
//! When a hundred runs write to one file at once, some wait longer than the database does by itself. A busy store has
//! done nothing, so the same request is sent again, for as long as the run may take.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use midoform_store::{Commit, Entry, Lease, Range, Store, StoreError, Transaction};

/// A store, and the longest time to wait for it.
#[derive(Debug)]
pub(crate) struct WaitingStore<S> {
    store: S,
    longest: Duration,
}

impl<S: Store> WaitingStore<S> {
    /// Opens a store. This waits as long as every other operation.
    pub(crate) async fn open(
        longest: Duration,
        open: impl Fn() -> Result<S, StoreError>,
    ) -> Result<WaitingStore<S>, StoreError> {
        let store = while_busy(longest, async || open()).await?;
        Ok(WaitingStore { store, longest })
    }

    async fn wait<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        while_busy(self.longest, request).await
    }
}

/// Repeats a request until the store is free or the time is up.
///
/// The pauses are random, so that two waiting runs do not collide again and again. They grow, because hundreds of runs
/// that ask all the time would slow down the one that they wait for.
async fn while_busy<T, F: Future<Output = Result<T, StoreError>>>(
    longest: Duration,
    request: impl Fn() -> F,
) -> Result<T, StoreError> {
    let end = Instant::now() + longest;
    let mut longest_pause = 1_000;
    loop {
        match request().await {
            Err(StoreError::Busy { .. }) if Instant::now() < end => {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(100..longest_pause))).await;
                longest_pause = (longest_pause * 2).min(100_000);
            }
            other => return other,
        }
    }
}

#[async_trait]
impl<S: Store> Store for WaitingStore<S> {
    fn name(&self) -> String {
        self.store.name()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.wait(|| self.store.read(ranges)).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError> {
        self.wait(|| self.store.commit(transaction)).await
    }

    async fn grant(&self, time: Duration) -> Result<Lease, StoreError> {
        self.wait(|| self.store.grant(time)).await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError> {
        self.wait(|| self.store.keep_alive(lease)).await
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        self.wait(|| self.store.revoke(lease)).await
    }
}
