//! Laws: after any sequence of operations a store is what a map would be; after any sequence of claims and releases an
//! address has one holder, and no address is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use midoform_store::ipam::{Attachment, Claim, ClaimError, ClaimRequest, Ipam, consistency};
use midoform_store::record::Held;
use midoform_store::{Commit, Lease, Range, Revision, SharedStore, Transaction, Write, tenants};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::{ask, bridge, on_every_store, publish, tenant};

on_every_store!(a_store_is_a_map, claims_and_releases_in_any_order);

/// A compare of a key.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Now,
    Before,
    Absent,
}

/// The compared keys; the written keys with their values, and whether they have the lease.
type Asked = (Vec<(usize, Seen)>, BTreeMap<usize, Option<(String, bool)>>);

#[derive(Clone, Debug)]
enum Doing {
    Commit(Asked),
    Read(Vec<(usize, usize, Option<u32>)>),
    Revoke,
}

const KEYS: [&str; 7] = ["a", "a/", "a/b", "a/é", "b", "b\u{10FFFF}", "c"];

fn doing() -> impl Strategy<Value = Doing> {
    let key = 0..KEYS.len();
    let seen = prop_oneof![4 => Just(Seen::Now), 1 => Just(Seen::Before), 1 => Just(Seen::Absent)];
    let value = prop::option::weighted(0.7, ("[a-z\"'\\\\\n\u{fc}]{0,6}", prop::bool::weighted(0.2)));
    let commit = (
        prop::collection::vec((key.clone(), seen), 0..3),
        prop::collection::btree_map(key.clone(), value, 0..4),
    );
    let range = (key.clone(), key, prop::option::of(1..4u32));
    prop_oneof![
        6 => commit.prop_map(Doing::Commit),
        3 => prop::collection::vec(range, 1..4).prop_map(Doing::Read),
        1 => Just(Doing::Revoke),
    ]
}

/// The model of a store.
#[derive(Default)]
struct Model {
    now: BTreeMap<String, (String, Revision, Option<Lease>)>,
    before: BTreeMap<String, Revision>,
}

impl Model {
    fn revision(&self, key: &str) -> Revision {
        self.now.get(key).map_or(Revision::ABSENT, |known| known.1)
    }

    fn forget(&mut self, lease: Lease) {
        self.now.retain(|_, (.., of)| *of != Some(lease));
    }
}

fn key(root: &str, at: usize) -> String {
    format!("{root}{}", KEYS[at])
}

async fn commit(
    store: &SharedStore,
    model: &mut Model,
    root: &str,
    lease: Lease,
    (compares, writes): &Asked,
) -> Result<(), TestCaseError> {
    let mut asked = Transaction::default();
    for (at, seen) in compares {
        let key = key(root, *at);
        let revision = match seen {
            Seen::Now => model.revision(&key),
            Seen::Before => model.before.get(&key).copied().unwrap_or(Revision(u64::from(u32::MAX))),
            Seen::Absent => Revision::ABSENT,
        };
        asked = asked.when(key, revision);
    }
    for (at, value) in writes {
        asked = match value {
            Some((value, true)) => asked.put_leased(key(root, *at), &**value, lease),
            Some((value, false)) => asked.put(key(root, *at), &**value),
            None => asked.delete(key(root, *at)),
        };
    }
    let holds = asked.compares.iter().all(|compare| model.revision(&compare.key) == compare.revision);
    let Commit::Done(revisions) = store.commit(&asked).await.unwrap() else {
        prop_assert!(!holds, "a conflict where everything held: {:?}", asked);
        return Ok(());
    };
    prop_assert!(holds, "done where something did not hold: {:?}", asked);
    prop_assert_eq!(revisions.len(), asked.writes.len());
    for (write, revision) in asked.writes.iter().zip(revisions) {
        let known = match write {
            Write::Put { key, value, lease } => {
                prop_assert_ne!(revision, Revision::ABSENT);
                model.now.insert(key.clone(), (value.clone(), revision, *lease))
            }
            Write::Delete { key } => {
                prop_assert_eq!(revision, Revision::ABSENT);
                model.now.remove(key)
            }
        };
        let last = known.filter(|known| known.1 != revision).map(|known| known.1);
        model.before.extend(last.map(|last| (write.key().to_owned(), last)));
    }
    Ok(())
}

async fn read(store: &SharedStore, model: &Model, ranges: &[Range]) -> Result<(), TestCaseError> {
    let found = store.read(ranges).await.unwrap();
    prop_assert_eq!(found.len(), ranges.len());
    for (range, found) in ranges.iter().zip(found) {
        let limit = range.limit.map_or(usize::MAX, |limit| limit as usize);
        let known = model.now.iter().filter(|(key, _)| range.contains(key)).take(limit);
        let known: Vec<_> = known.map(|(key, it)| (key.clone(), it.clone())).collect();
        let found: Vec<_> = found.into_iter().map(|it| (it.key, (it.value, it.revision, it.lease))).collect();
        prop_assert_eq!(found, known);
    }
    Ok(())
}

async fn is_a_map(store: &SharedStore, doings: &[Doing]) -> Result<(), TestCaseError> {
    let root = format!("law/{:016x}/", fastrand::u64(..));
    let mut model = Model::default();
    let time = Duration::from_secs(3600);
    let mut lease = store.grant(time).await.unwrap();
    for doing in doings {
        match doing {
            Doing::Commit(asked) => commit(store, &mut model, &root, lease, asked).await?,
            Doing::Read(asked) => {
                let range = |(from, to, limit): &(usize, usize, Option<u32>)| Range {
                    from: key(&root, *from),
                    to: key(&root, *to),
                    limit: *limit,
                };
                read(store, &model, &asked.iter().map(range).collect::<Vec<_>>()).await?;
            }
            Doing::Revoke => {
                store.revoke(lease).await.unwrap();
                model.forget(lease);
                lease = store.grant(time).await.unwrap();
            }
        }
    }
    read(store, &model, &[Range::prefix(&root)]).await?;
    store.revoke(lease).await.unwrap();
    Ok(())
}

/// Runs a law with many inputs.
fn always<S: Strategy>(cases: u32, strategy: S, law: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
    let handle = tokio::runtime::Handle::current();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    tokio::task::block_in_place(|| {
        let ran = TestRunner::new(config).run(&strategy, |input| handle.block_on(law(input)));
        if let Err(error) = ran {
            panic!("{error}");
        }
    });
}

async fn a_store_is_a_map(store: &SharedStore) {
    let doings = prop::collection::vec(doing(), 1..25);
    always(40, doings, async |doings| is_a_map(store, &doings).await);
}

/// An operation on a tenant of six addresses; the numbers are containers.
#[derive(Clone, Copy, Debug)]
enum Move {
    Claim(u8),
    ClaimRequest(u8, u8),
    Release(u8),
    Update(u8),
    /// The remains of a crash of an older midoform, and a repair.
    Repair(u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let container = 0..9u8;
    let one = prop_oneof![
        5 => container.clone().prop_map(Move::Claim),
        2 => (container.clone(), 0..9u8).prop_map(|(container, at)| Move::ClaimRequest(container, at)),
        5 => container.clone().prop_map(Move::Release),
        1 => container.clone().prop_map(Move::Update),
        1 => container.prop_map(Move::Repair),
    ];
    prop::collection::vec(one, 1..40)
}

/// A tenant, and the holders of its addresses.
struct Snapshot<'s> {
    store: &'s SharedStore,
    name: String,
    pods: Ipam,
    held: BTreeMap<u8, Held<Attachment>>,
}

fn usable(last: u8) -> bool {
    (1..6).contains(&last)
}

impl Snapshot<'_> {
    fn is_taken(&self, address: Ipv4Addr) -> bool {
        self.held.values().any(|held| held.record.address == address)
    }

    fn ask(&self, number: u8) -> ClaimRequest {
        ask(&self.name, format!("{}-{number}", self.name))
    }

    async fn claim(&mut self, number: u8) -> Result<(), TestCaseError> {
        match self.pods.claim(&self.ask(number)).await.unwrap() {
            Claim::Attached { attachment, new, .. } => {
                prop_assert_eq!(new, !self.held.contains_key(&number));
                let address = attachment.record.address;
                match self.held.get(&number) {
                    Some(known) => prop_assert_eq!(known, &*attachment),
                    None => prop_assert!(!self.is_taken(address) && usable(address.octets()[3])),
                }
                self.held.insert(number, *attachment);
            }
            Claim::Full { .. } => prop_assert_eq!(self.held.len(), 5),
            Claim::NotReady => prop_assert!(false, "it is ready"),
        }
        Ok(())
    }

    async fn claim_that(&mut self, number: u8, last: u8) -> Result<(), TestCaseError> {
        let address = Ipv4Addr::new(10, 0, 0, last);
        let own = self.held.get(&number).map(|held| held.record.address);
        let is_taken = self.is_taken(address);
        match self.pods.claim(&ClaimRequest { address: Some(address), ..self.ask(number) }).await {
            Ok(Claim::Attached { attachment, .. }) => {
                prop_assert_eq!(attachment.record.address, address);
                prop_assert!(own == Some(address) || (own.is_none() && !is_taken));
                self.held.insert(number, *attachment);
            }
            Err(ClaimError::Taken { .. }) => prop_assert!(own.is_none() && is_taken),
            Err(ClaimError::Unusable { .. }) => prop_assert!(!usable(last)),
            Err(ClaimError::Elsewhere { .. }) => prop_assert!(own.is_some_and(|own| own != address)),
            other => prop_assert!(false, "{:?}", other),
        }
        Ok(())
    }

    async fn go(&mut self, one: Move) -> Result<(), TestCaseError> {
        match one {
            Move::Claim(number) => self.claim(number).await?,
            Move::ClaimRequest(number, last) => self.claim_that(number, last).await?,
            Move::Release(number) => {
                if let Some(held) = self.held.remove(&number) {
                    self.pods.release(&held).await.unwrap();
                    self.pods.release(&held).await.unwrap();
                }
            }
            Move::Update(number) => {
                if let Some(held) = self.held.get_mut(&number) {
                    prop_assert!(self.pods.update(held).await.unwrap());
                }
            }
            Move::Repair(number) => {
                if let Some(held) = self.held.remove(&number) {
                    self.store.commit(&Transaction::default().delete(&held.key)).await.unwrap();
                    let mut findings = consistency::read(self.store).await.unwrap().findings().to_vec();
                    prop_assert_eq!(findings.len(), 1);
                    consistency::repair(self.store, &mut findings).await.unwrap();
                }
            }
        }
        Ok(())
    }
}

async fn claims_hold(store: &SharedStore, moves: &[Move]) -> Result<(), TestCaseError> {
    let name = format!("t{:016x}", fastrand::u64(..));
    publish(store, &tenant(&name, vec![bridge("web", "10.0.0.0/29"), bridge("db", "10.0.1.0/30")])).await;
    let mut world = Snapshot { store, name, pods: Ipam::new(store.clone()), held: BTreeMap::new() };
    for one in moves {
        world.go(*one).await?;
    }
    let known = tenants::addresses(store, &world.name).await.unwrap();
    let holders: BTreeSet<Ipv4Addr> =
        known.iter().filter(|it| it.1.record.holder.is_some()).map(|it| *it.0).collect();
    let expected: BTreeSet<Ipv4Addr> = world.held.values().map(|it| it.record.address).collect();
    prop_assert_eq!(holders, expected);
    prop_assert_eq!(consistency::read(store).await.unwrap().findings().to_vec(), []);
    for held in world.held.values() {
        world.pods.release(held).await.unwrap();
    }
    Ok(())
}

async fn claims_and_releases_in_any_order(store: &SharedStore) {
    always(20, moves(), async |moves| claims_hold(store, &moves).await);
}
