//! Every order in which the store calls of several can happen, for small sizes: the code itself is run, one call
//! after another, in each order; some of those who run are killed on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use midoform_applier::claims::pods::{Claim, Pods};
use midoform_applier::claims::{reclaim, tenants};
use midoform_applier::store::{
    Commit, Entry, Lease, Range, Revision, SharedStore, Store, StoreError, Transaction, Watch, Write,
};
use tokio::sync::oneshot;

use crate::support::{ask, bridge, publish, tenant};

/// Keys and values in memory, and who waits to be let in.
#[derive(Debug, Default)]
struct Memory {
    entries: BTreeMap<String, Entry>,
    revision: u64,
    waiting: BTreeMap<usize, oneshot::Sender<bool>>,
}

/// One party's way to the memory. With a number it waits at each call until it is let in.
#[derive(Clone, Debug)]
struct Door {
    memory: Arc<Mutex<Memory>>,
    party: Option<usize>,
}

impl Door {
    /// Waits; false: the answer to this call is lost.
    async fn enter(&self) -> bool {
        let Some(party) = self.party else { return true };
        let (sender, receiver) = oneshot::channel();
        self.memory.lock().unwrap().waiting.insert(party, sender);
        receiver.await.unwrap()
    }
}

#[async_trait]
impl Store for Door {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.enter().await;
        let memory = self.memory.lock().unwrap();
        let read = |range: &Range| {
            let found = memory.entries.values().filter(|entry| range.contains(&entry.key));
            found.take(range.limit.map_or(usize::MAX, |limit| limit as usize)).cloned().collect()
        };
        Ok(ranges.iter().map(read).collect())
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError> {
        let answered = self.enter().await;
        let mut memory = self.memory.lock().unwrap();
        let revision = |key: &str| memory.entries.get(key).map_or(Revision::ABSENT, |entry| entry.revision);
        let holds = transaction.compares.iter().all(|compare| revision(&compare.key) == compare.revision);
        let mut revisions = Vec::new();
        if holds {
            memory.revision += 1;
            let now = Revision(memory.revision);
            for write in &transaction.writes {
                match write {
                    Write::Put { key, value, lease } => {
                        let entry =
                            Entry { key: key.clone(), value: value.clone(), revision: now, lease: *lease };
                        memory.entries.insert(key.clone(), entry);
                        revisions.push(now);
                    }
                    Write::Delete { key } => {
                        memory.entries.remove(key);
                        revisions.push(Revision::ABSENT);
                    }
                }
            }
        }
        match (answered, holds) {
            (false, _) => Err(StoreError::Uncertain { store: self.name(), cause: "lost".to_owned() }),
            (true, true) => Ok(Commit::Done(revisions)),
            (true, false) => Ok(Commit::Conflict),
        }
    }

    async fn watch(&self, _range: &Range) -> Result<Box<dyn Watch>, StoreError> {
        Err(StoreError::Failed { store: self.name(), cause: "not asked".to_owned() })
    }

    async fn grant(&self, _time: Duration) -> Result<Lease, StoreError> {
        Ok(Lease(1))
    }

    async fn keep_alive(&self, _lease: Lease) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn revoke(&self, _lease: Lease) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What may happen to the party that is next: its call is made, its answer is lost, or it is killed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Goes,
    LosesAnswer,
    Dies,
}

/// One run: at each step somebody who waits is let in. The choices are those of `script`, then the first ones;
/// returns what there was to choose from at each step.
async fn run(script: &[usize], fates: &[Fate], parties: usize, room: &str) -> Vec<usize> {
    let memory: Arc<Mutex<Memory>> = Arc::default();
    let store: SharedStore = Arc::new(Door { memory: Arc::clone(&memory), party: None });
    publish(&store, &tenant("acme", vec![bridge("web", room)])).await;
    let mut tasks: Vec<_> = (0..parties)
        .map(|party| {
            let door: SharedStore = Arc::new(Door { memory: Arc::clone(&memory), party: Some(party) });
            let pods = Pods::new(door).with_quarantine(Duration::ZERO);
            tokio::spawn(async move {
                match pods.claim(&ask("acme", party)).await.unwrap() {
                    Claim::Attached { attachment, .. } if party % 2 == 0 => {
                        pods.release(&attachment).await.unwrap();
                    }
                    _ => {}
                }
            })
        })
        .collect();
    let mut killed = BTreeSet::new();
    let mut choices = Vec::new();
    loop {
        // Until everybody waits at the door or is done.
        let waiting: Vec<usize> = loop {
            let waiting: Vec<usize> = memory.lock().unwrap().waiting.keys().copied().collect();
            let still = |party: &usize| waiting.contains(party) || killed.contains(party);
            let idle = (0..parties).all(|party| still(&party) || tasks[party].is_finished());
            if idle {
                break waiting.into_iter().filter(|party| !killed.contains(party)).collect();
            }
            tokio::task::yield_now().await;
        };
        if waiting.is_empty() {
            break;
        }
        let options = waiting.len() * fates.len();
        let chosen = script.get(choices.len()).copied().unwrap_or(0);
        choices.push(options);
        let party = waiting[chosen % waiting.len()];
        let fate = fates[chosen / waiting.len()];
        let sender = memory.lock().unwrap().waiting.remove(&party).unwrap();
        match fate {
            Fate::Goes => sender.send(true).unwrap(),
            Fate::LosesAnswer => sender.send(false).unwrap(),
            Fate::Dies => {
                tasks[party].abort();
                killed.insert(party);
            }
        }
    }
    for (party, task) in tasks.drain(..).enumerate() {
        let ended = task.await;
        assert!(ended.is_ok() || killed.contains(&party), "{ended:?}");
    }
    check(&store, parties).await;
    choices
}

/// What holds however it went: one holder an address, an attachment each, and no more.
async fn check(store: &SharedStore, parties: usize) {
    assert_eq!(reclaim::check(store).await.unwrap(), []);
    let attached = tenants::attached(store, "acme").await.unwrap();
    let addresses: BTreeSet<_> = attached.iter().map(|held| held.record.address).collect();
    assert_eq!(addresses.len(), attached.len(), "an address is held twice");
    assert!(attached.len() <= parties);
}

/// All orders, by counting through the choices; returns how many there were.
async fn explore(fates: &[Fate], faults: usize, parties: usize, room: &str, most: usize) -> usize {
    let mut script: Vec<usize> = Vec::new();
    let mut runs = 0;
    loop {
        fastrand::seed(7);
        let choices = run(&script, fates, parties, room).await;
        runs += 1;
        script.resize(choices.len(), 0);
        // The next in order: the last choice that has another one. No more faults in one run than asked for.
        loop {
            let Some(last) = script.last_mut() else { return runs };
            *last += 1;
            let at = script.len() - 1;
            let options = choices.get(at).copied().unwrap_or(0);
            let bad = |(at, chosen): (usize, &usize)| {
                choices.get(at).is_some_and(|options| *chosen >= options / fates.len())
            };
            let faulty = script.iter().enumerate().filter(|it| bad((it.0, it.1))).count();
            if script[at] < options && faulty <= faults {
                break;
            }
            script.pop();
        }
        if runs >= most {
            return runs;
        }
    }
}

#[tokio::test]
async fn two_on_one_address_in_every_order() {
    // A /30 with its gateway has one address left.
    let runs = explore(&[Fate::Goes], 0, 2, "10.0.0.0/30", usize::MAX).await;
    println!("{runs} orders of two on one address: duplicates=0 leaks=0");
    assert!(runs > 10);
}

#[tokio::test]
async fn two_with_a_lost_answer_or_a_death_anywhere() {
    let fates = [Fate::Goes, Fate::LosesAnswer, Fate::Dies];
    let runs = explore(&fates, 1, 2, "10.0.0.0/30", 20_000).await;
    println!("{runs} orders of two with a fault: duplicates=0 leaks=0");
    assert!(runs > 50);
}

#[tokio::test]
async fn three_on_five_addresses() {
    let runs = explore(&[Fate::Goes], 0, 3, "10.0.0.0/29", 20_000).await;
    println!("{runs} orders of three: duplicates=0 leaks=0");
    assert!(runs > 100);
}
