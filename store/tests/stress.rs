//! Many processes claim and release on a real cluster of three, while members are killed, paused and started again, and
//! processes are killed in the middle of a call or paused for longer than their lock's lease. Then: the state, and the
//! history of every address.
//!
//! `MIDOFORM_STRESS=64x100000`: the number of processes, and of addresses in total (`scripts/stress.sh`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use midoform_store::ipam::{ClaimError, Ipam, consistency};
use midoform_store::locks::LockRecord;
use midoform_store::record::{Held, decode};
use midoform_store::{Range, SharedStore, get, keys, read_one, tenants};
use midoform_testutil::etcd::Cluster;
use rustix::process::{Pid, Signal, kill_process};

use crate::etcd::store_of;
use crate::history::{self, Act, Operation};
use crate::stress_worker::{Answer, COUNTED, COUNTER, JOB, Job, LEASE, LOCK, Line, NETWORK, lines};
use crate::support::{bridge, publish, tenant};

const PREFIX: &str = "/midoform/stress/";

/// The processes, and their faults.
struct Crowd {
    folder: PathBuf,
    jobs: Vec<Job>,
    running: Vec<Child>,
    /// The paused processes, and the end of the pause.
    paused: BTreeMap<usize, Instant>,
    kills: usize,
    pauses: usize,
}

impl Crowd {
    fn start(folder: &Path, endpoints: &[String], processes: usize, containers: usize) -> Crowd {
        let job = |worker: usize| Job {
            endpoints: endpoints.to_vec(),
            prefix: PREFIX.to_owned(),
            worker,
            containers: containers / processes + usize::from(worker < containers % processes),
            log: folder.join(format!("{worker}.log")),
        };
        let jobs: Vec<Job> = (0..processes).map(job).collect();
        let running = jobs.iter().map(|job| Crowd::run(folder, job)).collect();
        let folder = folder.to_path_buf();
        Crowd { folder, jobs, running, paused: BTreeMap::new(), kills: 0, pauses: 0 }
    }

    fn run(folder: &Path, job: &Job) -> Child {
        let path = folder.join(format!("{}.out", job.worker));
        let out = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "stress_worker::worker", "--ignored", "--nocapture"])
            .env(JOB, serde_json::to_string(job).unwrap())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap()
    }

    fn signal(&self, worker: usize, signal: Signal) {
        let id = i32::try_from(self.running[worker].id()).unwrap();
        let _ = kill_process(Pid::from_raw(id).unwrap(), signal);
    }

    /// Returns the number of running processes. One that failed ends the test.
    fn left(&mut self) -> usize {
        let mut left = 0;
        for (worker, child) in self.running.iter_mut().enumerate() {
            match child.try_wait().unwrap() {
                None => left += 1,
                Some(status) if status.success() => {}
                Some(status) => {
                    let out = std::fs::read_to_string(self.folder.join(format!("{worker}.out")));
                    panic!("process {worker}: {status}\n{}", out.unwrap_or_default());
                }
            }
        }
        left
    }

    /// Kills a process, and starts it again.
    fn kill(&mut self, worker: usize) {
        if self.running[worker].try_wait().unwrap().is_some() {
            return;
        }
        self.signal(worker, Signal::KILL);
        let _ = self.running[worker].wait();
        self.paused.remove(&worker);
        self.running[worker] = Crowd::run(&self.folder, &self.jobs[worker]);
        self.kills += 1;
    }

    fn pause(&mut self, worker: usize, time: Duration) {
        self.signal(worker, Signal::STOP);
        self.paused.insert(worker, Instant::now() + time);
        self.pauses += 1;
    }

    fn wake(&mut self, all: bool) {
        let due = |until: &Instant| all || *until <= Instant::now();
        let now: Vec<usize> =
            self.paused.iter().filter(|(_, until)| due(until)).map(|(worker, _)| *worker).collect();
        for worker in now {
            self.signal(worker, Signal::CONT);
            self.paused.remove(&worker);
        }
    }

    /// Returns the worker of the process that holds the lock now.
    async fn holder(&self, store: &SharedStore) -> Option<usize> {
        let key = keys::lock(LOCK);
        let look = get(&**store, &key);
        let entry = tokio::time::timeout(Duration::from_millis(500), look).await.ok()?.ok()??;
        let held: Held<LockRecord> = decode(&store.name(), &entry).ok()?;
        self.running.iter().position(|child| child.id() == held.record.process.id)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A member that is away, and the time of its return.
enum Away {
    Killed(usize, Instant),
    Paused(usize, Instant),
}

/// The faults of the cluster: one member at a time is away, so that the others continue.
struct Faults<'c> {
    cluster: &'c Cluster,
    away: Option<Away>,
    kills: usize,
    pauses: usize,
}

impl Faults<'_> {
    fn step(&mut self, over: bool) {
        match &self.away {
            Some(Away::Killed(member, until)) if over || *until <= Instant::now() => {
                self.cluster.run(*member)
            }
            Some(Away::Paused(member, until)) if over || *until <= Instant::now() => {
                self.cluster.signal(*member, "CONT");
            }
            Some(_) => return,
            None if over || fastrand::u8(..25) > 0 => return,
            None => {
                let (member, until) =
                    (fastrand::usize(..3), Instant::now() + Duration::from_millis(fastrand::u64(300..2000)));
                self.away = Some(if fastrand::bool() {
                    self.cluster.kill(member);
                    self.kills += 1;
                    Away::Killed(member, until)
                } else {
                    self.cluster.signal(member, "STOP");
                    self.pauses += 1;
                    Away::Paused(member, until)
                });
                return;
            }
        }
        self.away = None;
    }
}

/// Waits for the end of all processes, during faults.
async fn run(store: &SharedStore, crowd: &mut Crowd, faults: &mut Faults<'_>, most: Duration) {
    let started = Instant::now();
    while crowd.left() > 0 {
        assert!(started.elapsed() < most, "it does not end: {} processes still run", crowd.left());
        tokio::time::sleep(Duration::from_millis(100)).await;
        faults.step(false);
        crowd.wake(false);
        let mut worker = fastrand::usize(..crowd.jobs.len());
        let long = LEASE + Duration::from_millis(fastrand::u64(500..2000));
        match fastrand::u8(..50) {
            0..3 => crowd.kill(worker),
            3 => crowd.pause(worker, Duration::from_millis(fastrand::u64(100..3000))),
            // The holder of the lock, if there is one.
            kind @ 4..6 => {
                worker = crowd.holder(store).await.unwrap_or(worker);
                if kind == 4 { crowd.kill(worker) } else { crowd.pause(worker, long) }
            }
            _ => {}
        }
    }
    crowd.wake(true);
    faults.step(true);
}

/// Reads the histories of all addresses from the logs, and the claims of killed processes whose outcome is unknown.
fn histories(logs: &[Vec<Line>]) -> (BTreeMap<Ipv4Addr, Vec<Operation>>, BTreeMap<String, u64>) {
    let mut histories: BTreeMap<Ipv4Addr, Vec<Operation>> = BTreeMap::new();
    let mut lost = BTreeMap::new();
    for lines in logs {
        let mut called: BTreeMap<(&str, bool, bool), u64> = BTreeMap::new();
        for line in lines {
            let key = (line.container.as_str(), line.act == Act::Claim, line.act == Act::Release);
            let (address, act, owner) = match &line.answer {
                None => {
                    called.insert(key, line.at);
                    continue;
                }
                Some(Answer::Done(address)) => (address, line.act, &line.container),
                Some(Answer::Taken(address, other)) => (address, Act::Seen, other),
                Some(Answer::Lost) => {
                    lost.insert(line.container.clone(), called[&key]);
                    continue;
                }
            };
            let operation =
                Operation { act, owner: owner.clone(), called: called[&key], answered: Some(line.at) };
            histories.entry(*address).or_default().push(operation);
        }
    }
    (histories, lost)
}

async fn patiently<T, E: Into<ClaimError>>(mut call: impl AsyncFnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match call().await {
            Ok(found) => return found,
            Err(error) => {
                let error = error.into();
                let is_passing = matches!(&error, ClaimError::Store(error) if error.is_passing());
                assert!(is_passing && started.elapsed() < Duration::from_secs(60), "{error}");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The result.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    duplicates: usize,
    leaks: usize,
    operations: usize,
    /// Claims of killed processes that were executed after the check: the runtime's GC finds them.
    late: usize,
}

/// Checks the state and every history.
async fn judge(store: &SharedStore, logs: &[Vec<Line>]) -> Outcome {
    let (mut histories, lost) = histories(logs);
    let pods = Ipam::new(store.clone());
    let mut outcome = Outcome::default();
    let left = patiently(async || pods.all(None).await).await;
    for held in &left {
        let container = &held.record.owner.container;
        match lost.get(container) {
            Some(called) => {
                let owner = container.clone();
                let claim = Operation { act: Act::Claim, owner, called: *called, answered: None };
                histories.entry(held.record.address).or_default().push(claim);
                outcome.late += 1;
            }
            None => {
                println!("leak: {held:?}");
                outcome.leaks += 1;
            }
        }
    }
    for held in &left {
        patiently(async || pods.release(held).await).await;
    }
    let findings = patiently(async || consistency::read(store).await).await.findings().to_vec();
    outcome.leaks += findings.len();
    let known = patiently(async || tenants::addresses(store, "acme").await).await;
    outcome.leaks += known.values().filter(|held| held.record.holder.is_some()).count();
    let free = patiently(async || read_one(&**store, Range::prefix(&keys::free("acme"))).await).await;
    assert_eq!(free.len(), known.len(), "{findings:?}");
    for (address, history) in &histories {
        outcome.operations += history.len();
        outcome.duplicates += history::duplicates(history);
        if let Err(error) = history::check(history) {
            panic!("{address}: {error}");
        }
    }
    outcome
}

fn size() -> (usize, usize) {
    let Ok(asked) = std::env::var("MIDOFORM_STRESS") else { return (16, 5_000) };
    let (processes, containers) = asked.split_once('x').expect("MIDOFORM_STRESS=64x100000");
    (processes.parse().unwrap(), containers.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_and_members_come_and_go() {
    // The history is compacted during the test, as in a long-running etcd.
    let compacting = "--auto-compaction-mode periodic --auto-compaction-retention 10s";
    let Some(cluster) = Cluster::start_with(3, compacting, |_| ()) else {
        println!("SKIPPED: etcd is not installed (etcd-server)");
        return;
    };
    let (processes, containers) = size();
    let store = store_of(&cluster, PREFIX).await;
    publish(&store, &tenant("acme", vec![bridge("web", NETWORK)])).await;
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let mut crowd = Crowd::start(folder.path(), &cluster.endpoints(), processes, containers);
    let mut faults = Faults { cluster: &cluster, away: None, kills: 0, pauses: 0 };
    let most = Duration::from_secs(300 + containers as u64 / 20);
    run(&store, &mut crowd, &mut faults, most).await;
    let took = started.elapsed().as_secs_f64();
    let logs: Vec<Vec<Line>> = crowd.jobs.iter().map(|job| lines(&job.log)).collect();
    let Outcome { duplicates, leaks, operations, late } = judge(&store, &logs).await;
    // The counter under a lock that was lost again and again: no increment was overwritten.
    let counter = patiently(async || get(&*store, COUNTER).await).await;
    let counter: usize = counter.map_or(0, |entry| entry.value.parse().unwrap());
    let counted = patiently(async || read_one(&*store, Range::prefix(COUNTED)).await).await.len();
    println!(
        "{processes} processes, {containers} addresses, {took:.0} s; members killed {} paused {}; processes killed \
         {} paused {}; {late} late claims of killed processes released; counted {counted} under the lock: \
         lost={}; every history is linearizable: duplicates={duplicates} leaks={leaks} operations={operations}",
        faults.kills,
        faults.pauses,
        crowd.kills,
        crowd.pauses,
        counted.abs_diff(counter),
    );
    assert_eq!((duplicates, leaks, counted), (0, 0, counter));
    assert!(operations >= 2 * (containers - crowd.kills));
}
