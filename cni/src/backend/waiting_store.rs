//! A store that waits for its turn: when a hundred runs write to one file at once, some wait for longer than the
//! database does by itself. What is busy has done nothing, so it is asked again, for as long as the run may take.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use midoform_store::{Commit, Entry, Lease, Range, Store, StoreError, Transaction};

/// A store, and how long to wait for it.
#[derive(Debug)]
pub(crate) struct WaitingStore<S> {
    store: S,
    patience: Duration,
}

impl<S: Store> WaitingStore<S> {
    /// Opens a store, waiting for it as long as for everything else.
    pub(crate) async fn open(
        patience: Duration,
        open: impl Fn() -> Result<S, StoreError>,
    ) -> Result<WaitingStore<S>, StoreError> {
        let store = again(patience, async || open()).await?;
        Ok(WaitingStore { store, patience })
    }

    async fn wait<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        again(self.patience, ask).await
    }
}

/// Asks until the store is free, or patience ends; in between at random, so that those who wait don't meet again, and ever
/// less often: hundreds that ask all the time keep the one from working that they wait for.
async fn again<T, F: Future<Output = Result<T, StoreError>>>(
    patience: Duration,
    ask: impl Fn() -> F,
) -> Result<T, StoreError> {
    let end = Instant::now() + patience;
    let mut most = 1_000;
    loop {
        match ask().await {
            Err(StoreError::Busy { .. }) if Instant::now() < end => {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(100..most))).await;
                most = (most * 2).min(100_000);
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
