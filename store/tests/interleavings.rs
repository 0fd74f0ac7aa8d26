//! Every order in which the store calls of several parties can happen, for small sizes: the code itself runs, one call
//! after another, in each order. Replies are lost, commits come late, leases end, and parties are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use midoform_store::ipam::{Attachment, Claim, ClaimError, Ipam, consistency};
use midoform_store::record::Held;
use midoform_store::{SharedStore, Transaction, locks, tenants};

use crate::memory::{Door, Fate, Memory};
use crate::support::{ask, attached, bridge, publish, tenant};

/// The actions of a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    /// Claims, and keeps it.
    Claims,
    /// Claims, and releases.
    ClaimsAndReleases,
    /// Claims; if the bridge is full, adds one under the lock as the plugin does, and claims again.
    ClaimsAndGrows,
    /// Releases what was claimed before the start.
    Releases,
    /// `store check --repair`.
    Repairs,
    /// The runtime's GC, for a container that is gone: the one that claimed before the start.
    Collects,
}

/// The faults that may happen, and how often in one run.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    lost: bool,
    late: bool,
    killed: bool,
    leases: bool,
    most: usize,
}

#[derive(Clone, Copy)]
struct Scenario<'s> {
    parties: &'s [Party],
    room: &'s str,
    faults: Faults,
    /// The number of times that a party that could continue is interrupted for another one.
    switches: usize,
    /// `before` holds an address already: completely, or as after a crash of an older midoform.
    before: Before,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Attached,
    WithoutAttachment,
}

/// A possible next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Call(usize, Fate),
    Kill(usize),
    Arrive(usize),
    EndLeases,
}

type Kept = Option<Held<Attachment>>;

async fn act(party: Party, number: usize, store: SharedStore, before: Kept) -> Kept {
    let pods = Ipam::with_quarantine(store.clone(), Duration::ZERO);
    let mine = ask("acme", number);
    match party {
        Party::Claims | Party::ClaimsAndReleases => match pods.claim(&mine).await {
            Ok(Claim::Attached { attachment, .. }) if party == Party::Claims => return Some(*attachment),
            Ok(Claim::Attached { attachment, .. }) => drop(pods.release(&attachment).await),
            _ => {}
        },
        Party::ClaimsAndGrows => {
            for _ in 0..2 {
                match pods.claim(&mine).await {
                    Ok(Claim::Attached { attachment, .. }) => return Some(*attachment),
                    Ok(Claim::Full { ready, .. }) => drop(grow(&store, &ready).await),
                    _ => return None,
                }
            }
        }
        Party::Releases => pods.release(&before.unwrap()).await.unwrap_or_default(),
        Party::Repairs => {
            if let Ok(snapshot) = consistency::read(&store).await {
                let _ = consistency::repair(&store, &mut snapshot.findings().to_vec()).await;
            }
        }
        // Like the plugin's GC.
        Party::Collects => {
            let all = pods.all(None).await.unwrap_or_default();
            for gone in all.iter().filter(|held| held.record.owner.container == "before") {
                match pods.find(gone.record.host, &gone.record.owner).await {
                    Ok(Some(now)) if now.record.since == gone.record.since => drop(pods.release(&now).await),
                    _ => {}
                }
            }
        }
    }
    None
}

/// Adds a bridge, unless somebody else was faster.
async fn grow(store: &SharedStore, full: &Held<midoform_store::ready::Ready>) -> Result<(), ClaimError> {
    let Ok(lock) = locks::acquire(store, "tenant:acme", "a test", Duration::ZERO).await else {
        return Ok(());
    };
    if tenants::ready(store, "acme").await?.is_some_and(|now| now.revision == full.revision) {
        let number = full.record.bridges.len() + 1;
        let mut grown = bridge(&format!("web-{number}"), &format!("10.0.{number}.0/28"));
        grown.grown_from = Some("web".to_owned());
        let mut more = full.record.clone();
        more.bridges.push(grown);
        let _ = tenants::publish(store, &lock.fence(), &more).await;
    }
    lock.release().await;
    Ok(())
}

/// Returns the possible steps; those without faults come first.
fn steps(
    memory: &Memory,
    alive: &[usize],
    faults: Faults,
    last: Option<usize>,
    switches: usize,
) -> Vec<Step> {
    let mut waiting: Vec<usize> =
        memory.waiting().into_iter().filter(|party| alive.contains(party)).collect();
    if let (0, Some(last)) = (switches, last.filter(|last| waiting.contains(last))) {
        waiting = vec![last];
    }
    let mut steps: Vec<Step> = waiting.iter().map(|party| Step::Call(*party, Fate::Goes)).collect();
    steps.extend((0..memory.late()).map(Step::Arrive));
    if faults.most > 0 {
        for party in waiting {
            let fates = [(faults.lost, Fate::LosesAnswer), (faults.late, Fate::IsLate)];
            steps.extend(fates.iter().filter(|it| it.0).map(|it| Step::Call(party, it.1)));
            steps.extend(faults.killed.then_some(Step::Kill(party)));
        }
        steps.extend((faults.leases && memory.has_leased()).then_some(Step::EndLeases));
    }
    steps
}

/// Makes the tenant, and what was attached before.
async fn prepare(store: &SharedStore, scenario: Scenario<'_>) -> Kept {
    publish(store, &tenant("acme", vec![bridge("web", scenario.room)])).await;
    if scenario.before == Before::Nothing {
        return None;
    }
    let held = attached(&Ipam::new(store.clone()), &ask("acme", "before")).await;
    if scenario.before == Before::WithoutAttachment {
        store.commit(&Transaction::default().delete(&held.key)).await.unwrap();
    }
    Some(held)
}

/// Executes one run: the choices of `script`, then always the first one. Returns the number of choices at each step.
async fn run(script: &[usize], scenario: Scenario<'_>) -> Vec<usize> {
    let memory: Arc<Mutex<Memory>> = Arc::default();
    let store = Door::store(&memory, None);
    let before = prepare(&store, scenario).await;
    let tasks: BTreeMap<usize, _> = scenario
        .parties
        .iter()
        .enumerate()
        .map(|(number, party)| {
            let door = Door::store(&memory, Some(number));
            (number, tokio::spawn(act(*party, number, door, before.clone())))
        })
        .collect();
    let mut alive: Vec<usize> = tasks.keys().copied().collect();
    let (mut faults, mut switches, mut last) = (scenario.faults, scenario.switches, None);
    let mut choices = Vec::new();
    loop {
        // Until each party waits at a call or is done.
        let idle = |waiting: &[usize]| {
            alive.iter().all(|party| waiting.contains(party) || tasks[party].is_finished())
        };
        while !idle(&memory.lock().unwrap().waiting()) {
            tokio::task::yield_now().await;
        }
        let steps = steps(&memory.lock().unwrap(), &alive, faults, last, switches);
        // A late commit may also never arrive.
        let ends = steps.iter().all(|step| matches!(step, Step::Arrive(_) | Step::EndLeases));
        let options = steps.len() + usize::from(ends && !steps.is_empty());
        if options == 0 {
            break;
        }
        let chosen = script.get(choices.len()).copied().unwrap_or(0);
        choices.push(options);
        let Some(step) = steps.get(chosen) else { break };
        faults.most -= usize::from(!matches!(step, Step::Call(_, Fate::Goes) | Step::Arrive(_)));
        match step {
            Step::Call(party, fate) => {
                let mut memory = memory.lock().unwrap();
                let could_go_on = last.is_some_and(|last| last != *party && memory.waiting().contains(&last));
                switches -= usize::from(could_go_on && last.is_some_and(|last| alive.contains(&last)));
                last = Some(*party);
                memory.let_in(*party, *fate);
            }
            Step::Arrive(at) => memory.lock().unwrap().arrive(*at),
            Step::EndLeases => memory.lock().unwrap().end_leases(),
            Step::Kill(party) => {
                tasks[party].abort();
                alive.retain(|other| other != party);
            }
        }
    }
    let mut kept = Vec::new();
    for (party, task) in tasks {
        match task.await {
            Ok(one) => kept.extend(one),
            Err(error) => assert!(error.is_cancelled() && !alive.contains(&party), "{error:?}"),
        }
    }
    check(&store, scenario, &kept, alive.len()).await;
    choices
}

/// Checks the invariants after a run: one holder an address, one attachment each, and no holder lost its address.
async fn check(store: &SharedStore, scenario: Scenario<'_>, kept: &[Held<Attachment>], alive: usize) {
    let findings = consistency::read(store).await.unwrap().findings().to_vec();
    let repaired = scenario.before != Before::WithoutAttachment || scenario.faults.most == 0;
    assert!(!repaired || findings.is_empty(), "{findings:?}");
    let attached = tenants::attached(store, "acme").await.unwrap();
    let addresses: BTreeSet<Ipv4Addr> = attached.iter().map(|held| held.record.address).collect();
    assert_eq!(addresses.len(), attached.len(), "an address is held twice");
    for held in kept {
        let found = attached.iter().any(|found| found.record == held.record);
        assert!(found, "it was taken from its owner: {held:?}");
    }
    // Parties that live hold only what they reported: the rest belongs to killed parties.
    let told = |number: &str| kept.iter().any(|held| held.record.owner.container == number);
    let others = attached.iter().filter(|held| !told(&held.record.owner.container));
    let left: Vec<_> = others.filter(|held| held.record.owner.container != "before").collect();
    assert!(left.len() <= scenario.parties.len() - alive, "left over: {left:?}");
    let ready = tenants::ready(store, "acme").await.unwrap().unwrap();
    let growing = scenario.parties.iter().filter(|party| **party == Party::ClaimsAndGrows).count();
    // A new bridge has room for all: a second one is only added if the party of the first was killed.
    let most = if growing == 0 { 1 } else { 2 };
    assert!(ready.record.bridges.len() <= most, "{:?}", ready.record.bridges);
}

/// Runs all orders, by counting through the choices; returns their number.
async fn explore(scenario: Scenario<'_>) -> usize {
    let mut script: Vec<usize> = Vec::new();
    let mut runs = 0;
    loop {
        fastrand::seed(7);
        let choices = run(&script, scenario).await;
        runs += 1;
        script.resize(choices.len(), 0);
        // The next order: the last choice that has another alternative.
        loop {
            let Some(last) = script.last_mut() else {
                let Scenario { parties, faults, before, room, .. } = scenario;
                let switches = match scenario.switches {
                    usize::MAX => String::new(),
                    most => format!(" with at most {most} switches"),
                };
                println!(
                    "{runs} orders{switches} of {parties:?} in {room} ({before:?}), {faults:?}: duplicates=0 leaks=0"
                );
                return runs;
            };
            *last += 1;
            if *last < choices[script.len() - 1] {
                break;
            }
            script.pop();
        }
    }
}

const NONE: Faults = Faults { lost: false, late: false, killed: false, leases: false, most: 0 };

/// A reply is lost, or a party is killed: once in a run.
const ONE: Faults = Faults { lost: true, killed: true, most: 1, ..NONE };

/// A commit is executed late, after its sender stopped waiting for it.
const LATE: Faults = Faults { late: true, most: 1, ..NONE };

const ONE_ADDRESS: &str = "10.0.0.0/30";

use Party::{Claims, ClaimsAndGrows, ClaimsAndReleases, Collects, Releases, Repairs};

fn scenario<'s>(parties: &'s [Party], room: &'s str, faults: Faults, before: Before) -> Scenario<'s> {
    Scenario { parties, room, faults, before, switches: usize::MAX }
}

#[tokio::test]
async fn two_on_one_address() {
    let two = [ClaimsAndReleases, Claims];
    assert!(explore(scenario(&two, ONE_ADDRESS, NONE, Before::Nothing)).await > 10);
    assert!(explore(scenario(&two, ONE_ADDRESS, ONE, Before::Nothing)).await > 50);
}

#[tokio::test]
async fn a_claim_that_comes_late_leaves_nothing() {
    let two = [ClaimsAndReleases, Claims];
    assert!(explore(scenario(&[ClaimsAndReleases], "10.0.0.0/29", LATE, Before::Nothing)).await > 3);
    let few = Scenario { switches: 3, ..scenario(&two, ONE_ADDRESS, LATE, Before::Nothing) };
    assert!(explore(few).await > 50);
    assert!(explore(scenario(&two, "10.0.0.0/29", LATE, Before::Nothing)).await > 50);
}

#[tokio::test]
async fn three_on_five_addresses() {
    let three = [ClaimsAndReleases, Claims, ClaimsAndReleases];
    assert!(explore(scenario(&three, "10.0.0.0/29", NONE, Before::Nothing)).await > 100);
}

#[tokio::test]
async fn a_full_bridge_grows_once() {
    let two = [ClaimsAndGrows, ClaimsAndGrows];
    let full = scenario(&two, ONE_ADDRESS, NONE, Before::Attached);
    assert!(explore(Scenario { switches: 3, ..full }).await > 100);
    let three = [ClaimsAndGrows, ClaimsAndGrows, Releases];
    assert!(explore(Scenario { parties: &three, switches: 2, ..full }).await > 100);
}

#[tokio::test]
async fn a_lost_lock_adds_no_bridge_too_many() {
    // The lock's lease ends at any moment, or a party is killed.
    let full = scenario(&[ClaimsAndGrows, ClaimsAndGrows], ONE_ADDRESS, NONE, Before::Attached);
    let faults = Faults { leases: true, killed: true, most: 1, ..NONE };
    assert!(explore(Scenario { faults, switches: 2, ..full }).await > 200);
}

#[tokio::test]
async fn a_repair_takes_nothing_that_is_used() {
    assert!(explore(scenario(&[Repairs, ClaimsAndReleases], ONE_ADDRESS, NONE, Before::Attached)).await > 2);
    assert!(explore(scenario(&[Repairs, Releases], ONE_ADDRESS, ONE, Before::Attached)).await > 10);
    assert!(explore(scenario(&[Repairs, Releases, Claims], ONE_ADDRESS, NONE, Before::Attached)).await > 10);
    let repairs = [Repairs, Repairs, ClaimsAndReleases];
    assert!(explore(scenario(&repairs, ONE_ADDRESS, NONE, Before::WithoutAttachment)).await > 20);
}

#[tokio::test]
async fn a_collection_takes_nothing_that_is_used() {
    let three = [Collects, Releases, Claims];
    assert!(explore(scenario(&three, ONE_ADDRESS, NONE, Before::Attached)).await > 20);
    assert!(explore(scenario(&[Collects, Claims], ONE_ADDRESS, ONE, Before::Attached)).await > 10);
}
