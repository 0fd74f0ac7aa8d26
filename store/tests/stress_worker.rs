//! One process of the stress test: claims and releases one container after another, and logs each call before it makes it
//! and each reply. After a kill and a restart it continues, as a container runtime does: it looks up the interrupted
//! operation and undoes it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use midoform_store::backends::etcd::{Etcd, Settings};
use midoform_store::ipam::{Attachment, Claim, ClaimError, ClaimRequest, Holder, Ipam, Progress};
use midoform_store::record::Held;
use midoform_store::{Commit, SharedStore, StoreError, Transaction, get, locks};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::history::Act;
use crate::support::{ask, host};

/// The variable with the settings of a process.
pub(crate) const JOB: &str = "MIDOFORM_STRESS_JOB";

/// The lock that all processes take now and then, the time of its lease, and the counter that it protects.
pub(crate) const LOCK: &str = "counter";
pub(crate) const LEASE: Duration = Duration::from_secs(2);
pub(crate) const COUNTER: &str = "counter";
pub(crate) const COUNTED: &str = "counted/";

/// The number of times that each process increments the counter, evenly over its containers.
const COUNTS: usize = 6;

/// The network of the addresses.
pub(crate) const NETWORK: &str = "10.0.0.0/25";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) endpoints: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) worker: usize,
    pub(crate) containers: usize,
    pub(crate) log: PathBuf,
}

/// A line of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Nanoseconds on the clock that all processes of the machine share.
    pub(crate) at: u64,
    pub(crate) act: Act,
    pub(crate) container: String,
    /// The reply; none: this is the start.
    pub(crate) answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Done, with this address.
    Done(Ipv4Addr),
    /// Not done: that container holds the address.
    Taken(Ipv4Addr, String),
    /// The process was killed meanwhile, and the next one finds nothing.
    Lost,
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// Reads the log of one worker, without a line that a kill truncated.
pub(crate) fn lines(log: &std::path::Path) -> Vec<Line> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

struct Worker {
    job: Job,
    log: File,
    store: SharedStore,
    pods: Ipam,
}

impl Worker {
    fn write(&mut self, act: Act, container: &str, answer: Option<Answer>) {
        let line = Line { at: now(), act, container: container.to_owned(), answer };
        let text = format!("{}\n", serde_json::to_string(&line).unwrap());
        self.log.write_all(text.as_bytes()).unwrap();
    }

    fn ask(&self, container: &str, address: Option<Ipv4Addr>) -> ClaimRequest {
        let host = host((self.job.worker % 8) as u128);
        ClaimRequest { host, address, ..ask("acme", container) }
    }

    /// Claims until the outcome is certain.
    async fn claim(&mut self, container: &str, address: Option<Ipv4Addr>) -> Option<Held<Attachment>> {
        let ask = self.ask(container, address);
        self.write(Act::Claim, container, None);
        loop {
            match self.pods.claim(&ask).await {
                Ok(Claim::Attached { attachment, .. }) => {
                    self.write(Act::Claim, container, Some(Answer::Done(attachment.record.address)));
                    return Some(*attachment);
                }
                Err(ClaimError::Taken { address, holder: Holder::Container { owner, .. } }) => {
                    self.write(Act::Claim, container, Some(Answer::Taken(address, owner.container)));
                    return None;
                }
                Err(ClaimError::Store(error)) if error.is_passing() => rest().await,
                Err(ClaimError::Contended) => rest().await,
                other => panic!("{container}: {other:?}"),
            }
        }
    }

    async fn find(&self, container: &str) -> Option<Held<Attachment>> {
        let ask = self.ask(container, None);
        loop {
            match self.pods.find(ask.host, &ask.owner).await {
                Ok(found) => return found,
                Err(error) if error.is_passing() => rest().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn release(&mut self, held: &Held<Attachment>, called: bool) {
        let container = held.record.owner.container.clone();
        if !called {
            self.write(Act::Release, &container, None);
        }
        while let Err(error) = self.pods.release(held).await {
            let passing = matches!(&error, ClaimError::Store(error) if error.is_passing());
            assert!(passing || matches!(error, ClaimError::Contended), "{error}");
            rest().await;
        }
        self.write(Act::Release, &container, Some(Answer::Done(held.record.address)));
    }

    /// Checks that the attachment is still its own, and writes the port's id as the plugin does.
    async fn note(&mut self, mut held: Held<Attachment>) -> Held<Attachment> {
        let container = held.record.owner.container.clone();
        self.write(Act::Seen, &container, None);
        held.record.state = Progress::Done;
        loop {
            match self.pods.update(&mut held).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
            let found = self.find(&container).await.expect("it was released behind its owner's back");
            held.revision = found.revision;
        }
        self.write(Act::Seen, &container, Some(Answer::Done(held.record.address)));
        held
    }

    /// Runs one container from its ADD to its DEL.
    async fn run(&mut self, number: usize) {
        let container = format!("{}-{number}", self.job.worker);
        let wanted = (number % 8 == 3).then(|| Ipv4Addr::new(10, 0, 0, fastrand::u8(1..120)));
        let mut held = self.claim(&container, wanted).await;
        if held.is_none() {
            held = self.claim(&container, None).await;
        }
        let mut held = held.unwrap();
        if number.is_multiple_of(4) {
            held = self.note(held).await;
        }
        if number.is_multiple_of(32) {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..40))).await;
        }
        self.release(&held, false).await;
        let each = (self.job.containers / COUNTS).max(1);
        if number % each == self.job.worker % each {
            self.count(&container).await;
        }
    }

    /// Increments the counter under the lock, without comparing the number itself: the fence has to protect it.
    async fn count(&self, container: &str) {
        let patience = Duration::from_secs(60);
        let Ok(lock) = locks::acquire_for(&self.store, LOCK, container, patience, LEASE).await else {
            return;
        };
        if let Ok(found) = get(&*self.store, COUNTER).await {
            let before: u64 = found.map_or(0, |entry| entry.value.parse().unwrap());
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..5))).await;
            let count = Transaction::default()
                .when_all(&[lock.fence()])
                .put(COUNTER, (before + 1).to_string())
                .put(format!("{COUNTED}{container}"), "");
            match self.store.commit(&count).await {
                Ok(Commit::Done(_) | Commit::Conflict) | Err(StoreError::Uncertain { .. }) => {}
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
        }
        lock.release().await;
    }

    /// Undoes the interrupted operation of an earlier process; returns the number of the next container.
    async fn recover(&mut self) -> usize {
        let lines = lines(&self.job.log);
        let Some(last) = lines.last() else { return 0 };
        let number = |container: &str| container.rsplit('-').next().unwrap().parse::<usize>().unwrap();
        let container = last.container.clone();
        let found = self.find(&container).await;
        let began_release = lines.iter().rev().any(|it| it.container == container && it.act == Act::Release);
        match (last.act, &last.answer, &found) {
            (Act::Claim, None, Some(held)) => {
                self.write(Act::Claim, &container, Some(Answer::Done(held.record.address)));
            }
            (Act::Claim, None, None) => self.write(Act::Claim, &container, Some(Answer::Lost)),
            (Act::Release, Some(_), Some(_)) => panic!("{container} was released, and is attached again"),
            (Act::Seen, _, None) | (Act::Claim, Some(Answer::Done(_)), None) => {
                panic!("{container} was released behind its owner's back")
            }
            (Act::Release, None, None) => {
                let done = lines.iter().rev().find_map(|it| match (&it.answer, it.container == container) {
                    (Some(Answer::Done(address)), true) => Some(*address),
                    _ => None,
                });
                self.write(Act::Release, &container, done.map(Answer::Done));
            }
            _ => {}
        }
        if let Some(held) = found {
            self.release(&held, began_release).await;
        }
        number(&container) + 1
    }
}

async fn rest() {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(5..50))).await;
}

/// Ends this process when its parent ends.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
}

/// The process that the stress test starts; by itself it does nothing.
#[tokio::test]
#[ignore = "it is a part of the stress test, which starts it"]
async fn worker() {
    let Ok(job) = std::env::var(JOB) else { return };
    let job: Job = serde_json::from_str(&job).unwrap();
    end_with_parent();
    let settings = Settings {
        endpoints: job.endpoints.clone(),
        login: None,
        prefix: job.prefix.clone(),
        timeout: Duration::from_secs(5),
    };
    let store: SharedStore = Arc::new(Etcd::open(settings).await.unwrap());
    let log = OpenOptions::new().create(true).append(true).open(&job.log).unwrap();
    let pods = Ipam::with_quarantine(store.clone(), Duration::ZERO);
    let containers = job.containers;
    let mut worker = Worker { job, log, store, pods };
    let first = worker.recover().await;
    for number in first..containers {
        worker.run(number).await;
    }
}
