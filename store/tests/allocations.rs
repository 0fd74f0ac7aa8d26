//! Allocations in each store; and the lock file after an interrupted commit.

use std::time::Duration;

use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::names::{PeerPair, TenantName};
use midoform_compiler::network;
use midoform_compiler::network::allocation::{Allocations, LinkAddresses, TenantAllocation};
use midoform_compiler::source::{Source, SourceId};
use midoform_compiler::spec::{Site, parse};
use midoform_compiler::topology::key::Key;
use midoform_store::allocation::{AllocationError, ZoneHostChanges};
use midoform_store::backends::lock_file::LockFile;
use midoform_store::{
    Commit, Range, Revision, SharedStore, Transaction, allocation, get, keys, locks, read_one,
};
use uuid::Uuid;

use crate::support::on_every_store;

on_every_store!(
    what_is_written_is_read_again,
    values_of_the_first_version_are_read,
    nobody_writes_without_the_lock,
    addresses_are_never_allocated_twice,
    others_keep_their_allocations,
    hosts_of_the_zone_are_changed_by_all,
    several_locks_are_one,
    many_that_want_some_of_the_same_all_get_their_turn,
);

fn site() -> Site {
    let text = "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n";
    parse::site(&Source::new("site.toml", text), SourceId(0), &mut Diagnostics::default()).unwrap()
}

/// Makes a tenant whose addresses have this number.
fn tenant(number: u8) -> TenantAllocation {
    let link = LinkAddresses { provider: [172, 16, number, 1].into(), tenant: [172, 16, number, 2].into() };
    let bridges = [("web".to_owned(), format!("10.0.{number}.0/24").parse().unwrap())];
    TenantAllocation { link: Some(link), bridges: bridges.into(), ..TenantAllocation::default() }
}

fn all(tenants: &[(&str, TenantAllocation)]) -> Allocations {
    let tenants = tenants.iter().map(|(name, tenant)| (TenantName::from(*name), tenant.clone()));
    Allocations { tenants: tenants.collect(), ..Allocations::default() }
}

fn none() -> ZoneHostChanges {
    ZoneHostChanges::new()
}

async fn locked(store: &SharedStore, tenants: &[&str]) -> locks::Lock {
    let names: Vec<String> = tenants.iter().map(|tenant| keys::tenant_lock(tenant)).collect();
    locks::acquire_all(store, &names, "a test", Duration::from_secs(20), locks::LEASE).await.unwrap()
}

async fn what_is_written_is_read_again(store: &SharedStore) {
    let mut full = tenant(1);
    full.applied = true;
    full.protect = true;
    full.tenant_id = Some("p-1 \"quoted\"".to_owned());
    full.project_made = true;
    full.grown = [("web-2".to_owned(), "web".to_owned())].into();
    full.ports = vec!["one".to_owned(), "two".to_owned()];
    full.ids = [(Key::from("a/router"), Uuid::from_u128(7))].into();
    let mut now = all(&[("a", full), ("b.c", TenantAllocation::default())]);
    now.peers.insert(PeerPair::new("a".into(), "b.c".into()), tenant(9).link.unwrap());
    let lock = locked(store, &["a", "b.c"]).await;
    let mut stored = allocation::load(store).await.unwrap();
    assert!(allocation::write(store, &lock, &mut stored, &now).await.unwrap());
    assert_eq!(allocation::load(store).await.unwrap().allocations, now);
    now.tenants.remove("a");
    now.peers.clear();
    assert!(allocation::write(store, &lock, &mut stored, &now).await.unwrap());
    assert_eq!(allocation::load(store).await.unwrap().allocations, now);
    lock.release().await;
    assert_eq!(read_one(&**store, Range::prefix(keys::LOCKS)).await.unwrap(), []);
}

/// Checks that everything that the first version wrote into a store is read.
async fn values_of_the_first_version_are_read(store: &SharedStore) {
    let dump: serde_json::Value = serde_json::from_str(include_str!("allocations/dump.json")).unwrap();
    let mut put = Transaction::default();
    for entry in dump["entries"].as_array().unwrap() {
        put = put.put(entry["key"].as_str().unwrap(), entry["value"].as_str().unwrap());
    }
    store.commit(&put).await.unwrap();
    let source = Source::new("midoform.lock", include_str!("../../compiler/tests/allocations/midoform.lock"));
    let expected = network::lock_file::parse(&source, SourceId(0), &mut Diagnostics::default()).unwrap();
    let mut stored = allocation::load(store).await.unwrap();
    assert_eq!(stored.allocations, expected.allocations);
    // Unchanged values are not written again.
    let lock = locked(store, &[]).await;
    let now = stored.allocations.clone();
    assert!(allocation::write(store, &lock, &mut stored, &now).await.unwrap());
    lock.release().await;
}

async fn nobody_writes_without_the_lock(store: &SharedStore) {
    let site = site();
    let lock = locked(store, &["a"]).await;
    let mut stored = allocation::load(store).await.unwrap();
    let both = all(&[("a", tenant(1)), ("b", tenant(2))]);
    let refused = allocation::write(store, &lock, &mut stored, &both).await;
    assert!(matches!(refused, Err(AllocationError::NotLocked { tenant }) if tenant == "b"));
    // Somebody else's lock replaces it, as after the end of its lease.
    let key = keys::lock(&keys::tenant_lock("a"));
    store.commit(&Transaction::default().delete(&key)).await.unwrap();
    let lost =
        allocation::write_beside_others(store, &lock, &site, &mut stored, &all(&[("a", tenant(1))]), &none())
            .await;
    assert!(matches!(lost, Err(AllocationError::Lost { .. })), "{lost:?}");
    assert_eq!(allocation::load(store).await.unwrap().allocations, Allocations::default());
}

async fn addresses_are_never_allocated_twice(store: &SharedStore) {
    let site = site();
    let (one, other) = (locked(store, &["a"]).await, locked(store, &["b"]).await);
    let (mut first, mut second) =
        (allocation::load(store).await.unwrap(), allocation::load(store).await.unwrap());
    allocation::write_beside_others(store, &one, &site, &mut first, &all(&[("a", tenant(1))]), &none())
        .await
        .unwrap();
    let clash = allocation::write_beside_others(
        store,
        &other,
        &site,
        &mut second,
        &all(&[("b", tenant(1))]),
        &none(),
    )
    .await;
    assert!(
        matches!(&clash, Err(AllocationError::Clash { addresses }) if addresses.contains("172.16.1.1")),
        "{clash:?}"
    );
    assert_eq!(allocation::load(store).await.unwrap().allocations, all(&[("a", tenant(1))]));
}

async fn others_keep_their_allocations(store: &SharedStore) {
    let site = site();
    let (one, other) = (locked(store, &["a"]).await, locked(store, &["b"]).await);
    let (mut first, mut second) =
        (allocation::load(store).await.unwrap(), allocation::load(store).await.unwrap());
    allocation::write_beside_others(store, &one, &site, &mut first, &all(&[("a", tenant(1))]), &none())
        .await
        .unwrap();
    allocation::write_beside_others(store, &other, &site, &mut second, &all(&[("b", tenant(2))]), &none())
        .await
        .unwrap();
    allocation::write_beside_others(store, &one, &site, &mut first, &all(&[("a", tenant(3))]), &none())
        .await
        .unwrap();
    let now = allocation::load(store).await.unwrap().allocations;
    assert_eq!(now, all(&[("a", tenant(3)), ("b", tenant(2))]));
}

async fn several_locks_are_one(store: &SharedStore) {
    let held = locked(store, &["a", "b", "c"]).await;
    let names: Vec<String> = ["c", "d"].map(keys::tenant_lock).into();
    let busy = locks::acquire_all(store, &names, "another", Duration::ZERO, locks::LEASE).await.unwrap_err();
    assert!(busy.to_string().starts_with("`c` is in use by a test (process"), "{busy}");
    assert!(get(&**store, &keys::lock("tenant:d")).await.unwrap().is_none(), "all or none");
    assert!(held.is_held().await.unwrap());
    held.release().await;
    let next = locks::acquire_all(store, &names, "another", Duration::ZERO, locks::LEASE).await.unwrap();
    assert_eq!(next.names(), ["c", "d"]);
    next.release().await;
}

async fn many_that_want_some_of_the_same_all_get_their_turn(store: &SharedStore) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6u8 {
        let store = store.clone();
        tasks.spawn(async move {
            let (one, other) = (format!("t{}", task % 3), format!("t{}", (task + 1) % 3));
            let lock = locked(&store, &[&one, &other]).await;
            let key = format!("count/{one}");
            let before = get(&*store, &key).await.unwrap();
            let count: u64 = before.as_ref().map_or(0, |entry| entry.value.parse().unwrap());
            let revision = before.map_or(Revision::ABSENT, |entry| entry.revision);
            let fence = lock.fence_of(&keys::tenant_lock(&one)).unwrap();
            let transaction = Transaction::default().when_all(&[fence]).when(&key, revision);
            let done = store.commit(&transaction.put(&key, (count + 1).to_string())).await.unwrap();
            assert!(matches!(done, Commit::Done(_)), "nobody else writes while the lock is held");
            lock.release().await;
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let counts = read_one(&**store, Range::prefix("count/")).await.unwrap();
    assert_eq!(counts.iter().map(|entry| entry.value.as_str()).collect::<Vec<_>>(), ["2", "2", "2"]);
}

#[tokio::test]
async fn an_interrupted_commit_is_completed_by_the_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midoform.lock");
    let store: SharedStore = std::sync::Arc::new(LockFile::at(&path));
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let both = Transaction::default().put("kept", "old").put_leased("held", "old", lease);
    store.commit(&both).await.unwrap();
    let (main, beside) = (std::fs::read(&path).unwrap(), folder.path().join("midoform.lock.leases"));
    let both = Transaction::default().put("kept", "new").put_leased("held", "new", lease);
    store.commit(&both).await.unwrap();
    let (new_main, new_beside) = (std::fs::read_to_string(&path).unwrap(), std::fs::read(&beside).unwrap());
    // Killed after the first write: the leases' file has the whole commit, the lock file is the old one.
    let mut pending: serde_json::Value = serde_json::from_slice(&new_beside).unwrap();
    pending["pending"] = new_main.clone().into();
    for finished in [false, true] {
        std::fs::write(&beside, pending.to_string()).unwrap();
        std::fs::write(&path, if finished { new_main.as_bytes() } else { &main }).unwrap();
        assert_eq!(LockFile::at(&path).source().unwrap().text(), new_main, "who only looks sees it done");
        for key in ["kept", "held"] {
            assert_eq!(get(&*store, key).await.unwrap().unwrap().value, "new");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), new_main);
        assert_eq!(std::fs::read(&beside).unwrap(), new_beside);
    }
    store.revoke(lease).await.unwrap();
    assert!(!beside.exists() && get(&*store, "held").await.unwrap().is_none());
}

#[tokio::test]
async fn a_lock_file_that_git_could_not_merge_can_be_locked_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("midoform.lock");
    std::fs::write(&path, "version = 1\n<<<<<<< ours\n=======\n>>>>>>> theirs\n").unwrap();
    let store: SharedStore = std::sync::Arc::new(LockFile::at(&path));
    let lock = locked(&store, &["a"]).await;
    let error = allocation::load(&store).await.unwrap_err().to_string();
    assert!(
        error.contains("marks of a merge conflict") && error.contains("midoform lock --repair"),
        "{error}"
    );
    lock.release().await;
}

/// Runs of different tenants change the hosts of the tunnel zone, and none of them takes back what another did.
async fn hosts_of_the_zone_are_changed_by_all(store: &SharedStore) {
    let (site, one, other) = (site(), locked(store, &["a"]).await, locked(store, &["b"]).await);
    let mut first = allocation::load(store).await.unwrap();
    let mut second = first.clone();
    let [x, y] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let put = |host: Uuid| ZoneHostChanges::from([(host, Some(format!("node{}", host.as_u128())))]);
    let (a, b) = (all(&[("a", tenant(1))]), all(&[("b", tenant(2))]));
    allocation::write_beside_others(store, &one, &site, &mut first, &a, &put(x)).await.unwrap();
    allocation::write_beside_others(store, &other, &site, &mut second, &b, &put(y)).await.unwrap();
    allocation::write_beside_others(store, &one, &site, &mut first, &a, &none()).await.unwrap();
    let hosts = || async { allocation::load(store).await.unwrap().allocations.zone_hosts };
    assert_eq!(hosts().await, [(x, "node1".to_owned()), (y, "node2".to_owned())].into());
    let gone = ZoneHostChanges::from([(x, None)]);
    allocation::write_beside_others(store, &other, &site, &mut second, &b, &gone).await.unwrap();
    allocation::write_beside_others(store, &one, &site, &mut first, &a, &none()).await.unwrap();
    assert_eq!(hosts().await, [(y, "node2".to_owned())].into());
}
