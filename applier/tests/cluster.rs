//! A cluster of three under load, while its members are killed, paused and started again: no address is held by two,
//! none by nobody.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use midoform_applier::claims::pods::{Claim, ClaimError, Pods};
use midoform_applier::claims::reclaim;
use midoform_applier::store::StoreError;

use crate::etcd::Cluster;
use crate::support::{ask, bridge, publish, tenant};

/// How many claim and release at once, and how many claims each makes.
const WORKERS: usize = 16;

/// What the workers know: who holds what between a claim's answer and the release that follows.
#[derive(Default)]
struct Ledger {
    held: Mutex<BTreeMap<Ipv4Addr, usize>>,
    duplicates: AtomicUsize,
    claims: AtomicUsize,
}

async fn work(pods: Pods, worker: usize, ledger: Arc<Ledger>, stop: Arc<AtomicBool>) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let ask = ask("acme", format!("{worker}-{number}"));
        let held = loop {
            match pods.claim(&ask).await {
                Ok(Claim::Attached { attachment, .. }) => break *attachment,
                Ok(other) => panic!("not attached: {other:?}"),
                Err(ClaimError::Store(error)) if error.is_passing() => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(other) => panic!("{other}"),
            }
        };
        let address = held.record.address;
        if ledger.held.lock().unwrap().insert(address, worker).is_some() {
            ledger.duplicates.fetch_add(1, Ordering::Relaxed);
        }
        ledger.claims.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        // From the moment that the release is sent, somebody else may have it.
        ledger.held.lock().unwrap().remove(&address);
        while let Err(error) = pods.release(&held).await {
            assert!(matches!(&error, ClaimError::Store(error) if error.is_passing()), "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_under_load() {
    let Some(cluster) = Cluster::start(3) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    let store = cluster.store("/midoform/stress/").await;
    publish(&store, &tenant("acme", vec![bridge("web", "10.0.0.0/25")])).await;
    let (ledger, stop) = (Arc::new(Ledger::default()), Arc::new(AtomicBool::new(false)));
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let pods = Pods::new(cluster.store("/midoform/stress/").await).with_quarantine(Duration::ZERO);
        workers.push(tokio::spawn(work(pods, worker, Arc::clone(&ledger), Arc::clone(&stop))));
    }
    let pause = Duration::from_millis(700);
    for at in [0, 1, 2] {
        tokio::time::sleep(pause).await;
        cluster.signal(at, "STOP");
        tokio::time::sleep(pause).await;
        cluster.signal(at, "CONT");
        tokio::time::sleep(pause).await;
        cluster.kill((at + 1) % 3);
        tokio::time::sleep(pause).await;
        cluster.run((at + 1) % 3);
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        tokio::time::timeout(Duration::from_secs(60), worker).await.unwrap().unwrap();
    }
    let findings = loop {
        match reclaim::check(&store).await {
            Ok(findings) => break findings,
            Err(error) if error.is_passing() => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let pods = Pods::new(store);
    let left: Result<_, StoreError> = pods.all(None).await;
    let leaks = left.unwrap().len() + findings.len();
    let duplicates = ledger.duplicates.load(Ordering::Relaxed);
    let claims = ledger.claims.load(Ordering::Relaxed);
    println!("{WORKERS} workers, {claims} claims: duplicates={duplicates} leaks={leaks}");
    assert_eq!((duplicates, leaks), (0, 0), "{findings:?}");
    assert!(claims > WORKERS, "hardly anything was claimed");
}
