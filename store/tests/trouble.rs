//! Failures of etcd: members that are gone, that hang or never reply, and long replies. Every call ends in time.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use midoform_store::{Commit, Range, SharedStore, StoreError, Transaction, get, read_one};
use midoform_testutil::etcd::Cluster;

use crate::etcd::{store_at, store_of};

const PREFIX: &str = "/midoform/trouble/";

async fn put(store: &SharedStore, key: &str, value: &str) {
    let done = store.commit(&Transaction::default().put(key, value)).await.unwrap();
    assert!(matches!(done, Commit::Done(_)));
}

/// Starts an etcd member that accepts connections and never sends anything.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_never_answers_ends_every_call() {
    let (_listener, endpoint) = silent();
    let timeout = Duration::from_secs(1);
    let store = store_at(vec![endpoint.clone()], PREFIX, timeout).await;
    let started = Instant::now();
    let lease = midoform_store::Lease(7);
    let told = store.read(&[Range::key("a")]).await.unwrap_err();
    assert!(matches!(told, StoreError::Unreachable { .. }), "{told:?}");
    assert!(told.to_string().contains(&endpoint) && told.to_string().contains("does not answer"), "{told}");
    // It may have been executed.
    let told = store.commit(&Transaction::default().put("a", "1")).await.unwrap_err();
    assert!(matches!(told, StoreError::Uncertain { .. } | StoreError::Unreachable { .. }), "{told:?}");
    assert!(store.grant(timeout).await.unwrap_err().is_passing());
    assert!(store.keep_alive(lease).await.unwrap_err().is_passing());
    assert!(store.revoke(lease).await.unwrap_err().is_passing());
    assert!(started.elapsed() < timeout * 6 + Duration::from_secs(3), "{:?}", started.elapsed());
    // No member exists.
    let gone = silent().1;
    let told = get(&*store_at(vec![gone], PREFIX, timeout).await, "a").await.unwrap_err();
    assert!(matches!(told, StoreError::Unreachable { .. }), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_take_over_from_members_that_are_gone_or_silent() {
    let Some(cluster) = Cluster::start(1) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    let (_listener, silent_endpoint) = silent();
    let gone = silent().1;
    for _ in 0..4 {
        // The first member is random.
        let endpoints = vec![silent_endpoint.clone(), cluster.endpoints()[0].clone(), gone.clone()];
        let store = store_at(endpoints, PREFIX, Duration::from_secs(3)).await;
        assert_eq!(get(&*store, "never").await.unwrap(), None);
        put(&store, "a", "1").await;
        let lease = store.grant(Duration::from_secs(30)).await.unwrap();
        assert!(store.keep_alive(lease).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_answers_are_read_whole() {
    let Some(cluster) = Cluster::start(1) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    let store = store_of(&cluster, PREFIX).await;
    let long = "x".repeat(10_000);
    for part in 0..20 {
        let put = (0..50).fold(Transaction::default(), |transaction, at| {
            transaction.put(format!("long/{part:02}/{at:02}"), &*long)
        });
        assert!(matches!(store.commit(&put).await.unwrap(), Commit::Done(_)));
    }
    let found = read_one(&*store, Range::prefix("long/")).await.unwrap();
    assert_eq!(found.len(), 1000);
    assert!(found.iter().all(|entry| entry.value == long));
    // A transaction that is too long for etcd is an error that says so, and nothing is written.
    for (length, why) in [(1_700_000, "too large"), (3_000_000, "larger than max")] {
        let put = Transaction::default().put("huge", "x".repeat(length));
        let told = store.commit(&put).await.unwrap_err();
        assert!(!told.is_passing() && told.to_string().contains(why), "{told:?}");
        assert_eq!(get(&*store, "huge").await.unwrap(), None);
    }
}
