//! A lock whose holder is paused for longer than its lease, killed, or cut off: somebody else gets it, and the first holder
//! can no longer write.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use midoform_store::backends::embedded::Embedded;
use midoform_store::backends::lock_file::LockFile;
use midoform_store::locks::{LockError, LockRecord};
use midoform_store::record::{Held, decode, encode};
use midoform_store::{Commit, SharedStore, Transaction, get, keys, locks};
use midoform_testutil::etcd::Cluster;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::etcd::{Proxy, store_at};

/// The variable that makes a process a holder.
const JOB: &str = "MIDOFORM_LOCK_JOB";

const PREFIX: &str = "/midoform/locks/";

/// Long enough for any wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that several processes open.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum StoreLocation {
    LockFile(PathBuf),
    Embedded(PathBuf),
    Etcd(Vec<String>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    location: StoreLocation,
    lease: Duration,
    /// Exists while the lock is held; the holder waits until it is deleted.
    held: PathBuf,
    /// The outcome of the write that follows.
    outcome: PathBuf,
}

async fn open(location: &StoreLocation) -> SharedStore {
    match location {
        StoreLocation::LockFile(path) => Arc::new(LockFile::at(path)),
        StoreLocation::Embedded(path) => Arc::new(Embedded::open(path).unwrap()),
        StoreLocation::Etcd(endpoints) => store_at(endpoints.clone(), PREFIX, Duration::from_secs(5)).await,
    }
}

/// The process that the tests start; by itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is a part of the other tests here, which start it"]
async fn holder() {
    let Ok(job) = std::env::var(JOB) else { return };
    let job: Job = serde_json::from_str(&job).unwrap();
    let store = open(&job.location).await;
    let lock = locks::acquire_for(&store, "it", "the holder", PATIENCE, job.lease).await.unwrap();
    std::fs::write(&job.held, "").unwrap();
    let end = Instant::now() + PATIENCE;
    while job.held.exists() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let write = Transaction::default().when_all(&[lock.fence()]).put("guarded", "the holder's");
    let outcome = store.commit(&write).await;
    std::fs::write(&job.outcome, format!("{outcome:?}")).unwrap();
    lock.release().await;
}

struct Holder {
    child: Child,
    job: Job,
}

impl Holder {
    /// Starts a holder, and waits until it has the lock.
    fn start(location: &StoreLocation, folder: &Path, lease: Duration) -> Holder {
        let name = fastrand::u64(..);
        let (held, outcome) = (folder.join(format!("{name}.held")), folder.join(format!("{name}.outcome")));
        let job = Job { location: location.clone(), lease, held, outcome };
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "locks::holder", "--ignored"])
            .env(JOB, serde_json::to_string(&job).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !job.held.exists() {
            assert!(started.elapsed() < PATIENCE, "it does not get the lock");
            std::thread::sleep(Duration::from_millis(10));
        }
        Holder { child, job }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Lets the holder write, and returns the outcome.
    fn write(mut self) -> String {
        std::fs::remove_file(&self.job.held).unwrap();
        assert!(self.child.wait().unwrap().success());
        std::fs::read_to_string(&self.job.outcome).unwrap()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn guarded(store: &SharedStore) -> Option<String> {
    get(&**store, "guarded").await.unwrap().map(|entry| entry.value)
}

async fn acquire(store: &SharedStore, patience: Duration) -> Result<locks::Lock, LockError> {
    locks::acquire_for(store, "it", "another one", patience, Duration::from_secs(15)).await
}

/// Runs a test on all stores.
macro_rules! on_each {
    ($($test:ident),+ $(,)?) => {
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(cluster) = super::Cluster::start(1) else {
                    println!("SKIPPED: etcd is not installed (etcd-server)");
                    return;
                };
                super::$test(super::StoreLocation::Etcd(cluster.endpoints())).await;
            })+
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(super::StoreLocation::Embedded(folder.path().join("store.db"))).await;
            })+
        }
        mod lock_file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(super::StoreLocation::LockFile(folder.path().join("midoform.lock"))).await;
            })+
        }
    };
}

on_each!(
    a_clock_that_jumps_ends_no_lock,
    a_paused_holder_writes_nothing_any_more,
    a_killed_holder_is_not_waited_for,
    a_killed_holder_elsewhere_is_waited_for_until_its_lease_ends,
);

/// Moves the ends of all leases back by the time of day, as if the clock of this machine had jumped ahead. etcd counts its
/// leases by itself.
fn jump(location: &StoreLocation, milliseconds: i64) {
    match location {
        StoreLocation::Etcd(_) => {}
        StoreLocation::Embedded(path) => {
            let database = rusqlite::Connection::open(path).unwrap();
            database.busy_timeout(PATIENCE).unwrap();
            assert_eq!(database.execute("UPDATE lease SET ends = ends - ?1", [milliseconds]).unwrap(), 1);
        }
        StoreLocation::LockFile(path) => {
            let path = path.with_file_name("midoform.lock.leases");
            let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            for lease in file["leases"].as_object_mut().unwrap().values_mut() {
                lease["ends"] = (lease["ends"].as_i64().unwrap() - milliseconds).into();
            }
            std::fs::write(&path, file.to_string()).unwrap();
        }
    }
}

async fn a_clock_that_jumps_ends_no_lock(location: StoreLocation) {
    let store = open(&location).await;
    let lease = Duration::from_secs(3);
    let lock = locks::acquire_for(&store, "it", "the holder", PATIENCE, lease).await.unwrap();
    for milliseconds in [60_000, 3_600_000, -7_200_000] {
        jump(&location, milliseconds);
        let busy = acquire(&store, Duration::ZERO).await.unwrap_err();
        assert!(matches!(busy, LockError::Busy { .. }), "{busy}");
        let write = Transaction::default().when_all(&[lock.fence()]).put("guarded", "the holder's");
        assert!(matches!(store.commit(&write).await.unwrap(), Commit::Done(_)));
        // The holder renews the lease.
        tokio::time::sleep(lease / 2).await;
        assert!(lock.is_held().await.unwrap() && lock.tenure().is_current());
    }
    lock.release().await;
    // A clock that jumps back keeps no lock of a holder that does not renew its lease.
    let lock = locks::acquire_for(&store, "it", "the holder", PATIENCE, lease).await.unwrap();
    drop(lock);
    jump(&location, -3_600_000);
    assert!(acquire(&store, Duration::ZERO).await.is_err());
    acquire(&store, lease * 4).await.unwrap().release().await;
}

async fn a_paused_holder_writes_nothing_any_more(location: StoreLocation) {
    let (folder, store) = (tempfile::tempdir().unwrap(), open(&location).await);
    // A holder that is not paused keeps the lock, and its write is done.
    let lease = Duration::from_secs(1);
    let alive = Holder::start(&location, folder.path(), lease);
    let told = acquire(&store, lease * 3).await.unwrap_err().to_string();
    assert!(told.contains("`it` is in use by the holder (process "), "{told}");
    assert!(alive.write().starts_with("Ok(Done("));
    assert_eq!(guarded(&store).await.as_deref(), Some("the holder's"));
    let paused = Holder::start(&location, folder.path(), lease);
    paused.signal(Signal::STOP);
    let lock = acquire(&store, PATIENCE).await.unwrap();
    let write = Transaction::default().when_all(&[lock.fence()]).put("guarded", "another's");
    assert!(matches!(store.commit(&write).await.unwrap(), Commit::Done(_)));
    paused.signal(Signal::CONT);
    assert_eq!(paused.write(), "Ok(Conflict)");
    assert_eq!(guarded(&store).await.as_deref(), Some("another's"));
    // The release of the former holder does not affect the new one.
    assert!(lock.is_held().await.unwrap());
    lock.release().await;
}

async fn a_killed_holder_is_not_waited_for(location: StoreLocation) {
    let (folder, store) = (tempfile::tempdir().unwrap(), open(&location).await);
    let lease = Duration::from_secs(3600);
    let mut holder = Holder::start(&location, folder.path(), lease);
    assert!(acquire(&store, Duration::ZERO).await.is_err());
    holder.signal(Signal::KILL);
    let _ = holder.child.wait();
    let lock = acquire(&store, Duration::from_secs(30)).await.unwrap();
    assert!(lock.is_held().await.unwrap());
    lock.release().await;
    assert_eq!(get(&*store, &keys::lock("it")).await.unwrap(), None);
}

async fn a_killed_holder_elsewhere_is_waited_for_until_its_lease_ends(location: StoreLocation) {
    let (folder, store) = (tempfile::tempdir().unwrap(), open(&location).await);
    let lease = Duration::from_secs(3);
    let mut holder = Holder::start(&location, folder.path(), lease);
    holder.signal(Signal::KILL);
    let _ = holder.child.wait();
    // As if it had run on another machine: its end can't be seen from here.
    let entry = get(&*store, &keys::lock("it")).await.unwrap().unwrap();
    let mut held: Held<LockRecord> = decode(&store.name(), &entry).unwrap();
    held.record.process.pid_namespace = "another machine".to_owned();
    let moved = Transaction::default().put_leased(&held.key, encode(&held.record), entry.lease.unwrap());
    assert!(matches!(store.commit(&moved).await.unwrap(), Commit::Done(_)));
    let told = acquire(&store, Duration::ZERO).await.unwrap_err();
    assert!(matches!(told, LockError::Busy { .. }), "{told}");
    let lock = acquire(&store, PATIENCE).await.unwrap();
    lock.release().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_is_cut_off_writes_nothing_any_more() {
    let Some(cluster) = Cluster::start(1) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    let proxy = Proxy::start(cluster.port(0));
    let far = store_at(vec![proxy.endpoint()], PREFIX, Duration::from_secs(1)).await;
    let near = open(&StoreLocation::Etcd(cluster.endpoints())).await;
    let lease = Duration::from_secs(2);
    let lost = locks::acquire_for(&far, "it", "the holder", PATIENCE, lease).await.unwrap();
    proxy.cut();
    let lock = acquire(&near, PATIENCE).await.unwrap();
    assert!(lost.is_held().await.is_err(), "it can't know");
    proxy.mend();
    let write = Transaction::default().when_all(&[lost.fence()]).put("guarded", "the holder's");
    let end = Instant::now() + PATIENCE;
    loop {
        match far.commit(&write).await {
            Ok(outcome) => break assert_eq!(outcome, Commit::Conflict),
            Err(error) => assert!(error.is_passing() && Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!lost.is_held().await.unwrap());
    lost.release().await;
    assert!(lock.is_held().await.unwrap(), "who lost it has no right to let it go");
    assert_eq!(guarded(&near).await, None);
}
