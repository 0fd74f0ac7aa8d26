//! What etcd and the network can do to a store: members that are gone, that hang or never answer, a history that was
//! compacted, answers of any length. Every call ends in its time.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use midoform_store::{Change, Commit, Range, SharedStore, StoreError, Transaction, Watch, get, read_one};

use crate::etcd::{Cluster, Proxy, store_at};

const PREFIX: &str = "/midoform/trouble/";

async fn put(store: &SharedStore, key: &str, value: &str) {
    let done = store.commit(&Transaction::default().put(key, value)).await.unwrap();
    assert!(matches!(done, Commit::Done(_)));
}

/// What the watch tells next, errors that pass aside.
async fn next(watch: &mut Box<dyn Watch>) -> Change {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, watch.next()).await.expect("the watch hangs") {
            Ok(change) => return change,
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn state(change: &Change) -> Vec<(&str, &str)> {
    let Change::State(entries) = change else { panic!("no state: {change:?}") };
    entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect()
}

/// A member that takes connections and never says anything.
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
    // It may have been done: nobody knows.
    let told = store.commit(&Transaction::default().put("a", "1")).await.unwrap_err();
    assert!(matches!(told, StoreError::Uncertain { .. } | StoreError::Unreachable { .. }), "{told:?}");
    assert!(store.grant(timeout).await.unwrap_err().is_passing());
    assert!(store.keep_alive(lease).await.unwrap_err().is_passing());
    assert!(store.revoke(lease).await.unwrap_err().is_passing());
    let mut watch = store.watch(&Range::prefix("")).await.unwrap();
    assert!(watch.next().await.unwrap_err().is_passing());
    assert!(started.elapsed() < timeout * 6 + Duration::from_secs(3), "{:?}", started.elapsed());
    // Nobody is there at all.
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
        // Which one is asked first is left to chance.
        let endpoints = vec![silent_endpoint.clone(), cluster.endpoints()[0].clone(), gone.clone()];
        let store = store_at(endpoints, PREFIX, Duration::from_secs(3)).await;
        assert_eq!(get(&*store, "never").await.unwrap(), None);
        put(&store, "a", "1").await;
        let lease = store.grant(Duration::from_secs(30)).await.unwrap();
        assert!(store.keep_alive(lease).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_survives_its_member_and_a_compaction() {
    let Some(cluster) = Cluster::start(1) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    let store = cluster.store(PREFIX).await;
    put(&store, "w/a", "1").await;
    let proxy = Proxy::start(cluster.port(0));
    let timeout = Duration::from_secs(2);
    let mut watch =
        store_at(vec![proxy.endpoint()], PREFIX, timeout).await.watch(&Range::prefix("w/")).await.unwrap();
    assert_eq!(state(&next(&mut watch).await), [("w/a", "1")]);
    put(&store, "w/b", "1").await;
    let Change::Put(entry) = next(&mut watch).await else { panic!("a put") };
    assert_eq!(entry.key, "w/b");
    // Cut off: what happens meanwhile is compacted.
    proxy.cut();
    for number in 0..20 {
        put(&store, "w/a", &number.to_string()).await;
    }
    store.commit(&Transaction::default().delete("w/b")).await.unwrap();
    let revision = get(&*store, "w/a").await.unwrap().unwrap().revision.0 + 1;
    cluster.control(&["compaction", &revision.to_string()]);
    let told = watch.next().await.unwrap_err();
    assert!(told.is_passing(), "{told}");
    proxy.mend();
    assert_eq!(state(&next(&mut watch).await), [("w/a", "19")]);
    put(&store, "w/c", "1").await;
    let Change::Put(entry) = next(&mut watch).await else { panic!("a put") };
    assert_eq!(entry.key, "w/c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_watch_is_not_ended_for_asking_too_often() {
    let Some(cluster) = Cluster::start(1) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    let own = store_at(cluster.endpoints(), PREFIX, Duration::from_secs(1)).await;
    let mut watch = own.watch(&Range::prefix("w/")).await.unwrap();
    assert_eq!(state(&next(&mut watch).await), []);
    // Time for several questions, where each second had one.
    tokio::time::sleep(Duration::from_secs(7)).await;
    put(&own, "w/a", "1").await;
    let told = next(&mut watch).await;
    assert!(matches!(told, Change::Put(_)), "the connection was ended: {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_leaves_a_member_that_hangs() {
    let Some(cluster) = Cluster::start(3) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    // The first member's way is the only one that this watch knows at first; then it hangs.
    let own = store_at(cluster.endpoints(), PREFIX, Duration::from_secs(2)).await;
    let mut watch = own.watch(&Range::prefix("w/")).await.unwrap();
    assert_eq!(state(&next(&mut watch).await), []);
    for at in 0..3 {
        cluster.signal(at, "STOP");
        let other = store_at(
            (0..3).filter(|it| *it != at).map(|it| cluster.endpoints()[it].clone()).collect(),
            PREFIX,
            Duration::from_secs(5),
        )
        .await;
        let value = at.to_string();
        let end = Instant::now() + Duration::from_secs(60);
        while let Err(error) = other.commit(&Transaction::default().put("w/a", &*value)).await {
            assert!(error.is_passing() && Instant::now() < end, "{error}");
        }
        // As a change, or with the state that is read anew.
        loop {
            let seen = match next(&mut watch).await {
                Change::State(entries) => entries.first().map(|entry| entry.value.clone()),
                Change::Put(entry) => Some(entry.value),
                Change::Delete(_) => None,
            };
            if seen.as_ref() == Some(&value) {
                break;
            }
        }
        cluster.signal(at, "CONT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_answers_are_read_whole() {
    let Some(cluster) = Cluster::start(1) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    let store = cluster.store(PREFIX).await;
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
    let mut watch = store.watch(&Range::prefix("long/")).await.unwrap();
    assert_eq!(state(&next(&mut watch).await).len(), 1000);
    // More at once than etcd takes is an error that says so, and nothing is written.
    for (length, why) in [(1_700_000, "too large"), (3_000_000, "larger than max")] {
        let put = Transaction::default().put("huge", "x".repeat(length));
        let told = store.commit(&put).await.unwrap_err();
        assert!(!told.is_passing() && told.to_string().contains(why), "{told:?}");
        assert_eq!(get(&*store, "huge").await.unwrap(), None);
    }
}
