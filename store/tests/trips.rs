//! The round trips to the store: one read and one commit for a claim, one commit for a release.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use midoform_store::ipam::{ClaimRequest, Ipam};
use midoform_store::{Commit, Entry, Lease, Range, SharedStore, Store, StoreError, Transaction};

use crate::support::{ask, attached, bridge, on_every_store, publish, tenant};

on_every_store!(a_claim_is_two_round_trips_and_a_release_one);

/// Counts the calls of a store. On etcd each is one request.
#[derive(Debug)]
struct Counting {
    store: SharedStore,
    calls: Arc<AtomicUsize>,
}

impl Counting {
    fn count(&self) -> &SharedStore {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &self.store
    }
}

#[async_trait]
impl Store for Counting {
    fn name(&self) -> String {
        self.store.name()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.count().read(ranges).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError> {
        self.count().commit(transaction).await
    }

    async fn grant(&self, time: Duration) -> Result<Lease, StoreError> {
        self.count().grant(time).await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<bool, StoreError> {
        self.count().keep_alive(lease).await
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        self.count().revoke(lease).await
    }
}

async fn a_claim_is_two_round_trips_and_a_release_one(store: &SharedStore) {
    publish(store, &tenant("acme", vec![bridge("web", "10.0.0.0/20")])).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = Counting { store: store.clone(), calls: Arc::clone(&calls) };
    let pods = Ipam::with_quarantine(Arc::new(counting), Duration::ZERO);
    let since_then = || calls.swap(0, Ordering::Relaxed);
    for number in 0..80 {
        // New addresses, addresses that were used before, a requested one, and the same request again.
        let wanted = (number == 40).then(|| "10.0.7.7".parse().unwrap());
        let wants = ClaimRequest { address: wanted, ..ask("acme", number) };
        let held = attached(&pods, &wants).await;
        assert_eq!(since_then(), 2, "a claim");
        attached(&pods, &wants).await;
        assert_eq!(since_then(), 1, "the same again");
        if number % 2 == 1 {
            pods.release(&held).await.unwrap();
            assert_eq!(since_then(), 1, "a release");
        }
    }
}
