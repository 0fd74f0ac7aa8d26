//! Whatever fails after the first call, what was done is recorded.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, KeyPrefix};
use midoform_reconcile::execute::Stop;
use midoform_reconcile::reconciliation::Finished;
use midoform_reconcile::recorder::{Bookkeeping, Extent};
use midoform_store::{Commit, Entry, Lease, Range, SharedStore, Store, StoreError, Transaction};

use crate::fixture::{Fixture, TENANT, WholeProject};

async fn whole_run_is_recorded(with_database: bool) {
    for (number, dialect) in [("1", Dialect::V1), ("5", Dialect::V5)] {
        let fixture = Fixture::start(dialect, with_database).await;
        let goal = WholeProject::new(number, TENANT);
        let finished = fixture.reconcile(&goal, Extent::Whole).await;
        assert!(finished.is_converged(), "{:?}", finished.outcome);
        let recorded = fixture.recorded().await;
        let acme = &recorded.tenants["acme"];
        assert!(acme.applied && acme.making.is_empty());
        assert_eq!(acme.ports, ["db"]);
        assert_eq!(acme.ids.is_empty(), dialect == Dialect::V5);
        let again = fixture.reconcile(&goal, Extent::Whole).await;
        assert_eq!(again.planned.changes(), 0);
        assert_eq!(fixture.recorded().await, recorded);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_run_is_recorded_in_the_lock_file() {
    whole_run_is_recorded(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_run_is_recorded_in_the_database() {
    whole_run_is_recorded(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_call_leaves_what_was_done_recorded() {
    let fixture = Fixture::start(Dialect::V1, true).await;
    let goal = WholeProject::new("1", TENANT);
    fixture.fault(r#"{"fault": "internal-error", "method": "POST", "path": "/hosts/**", "times": 0}"#);
    let finished = fixture.reconcile(&goal, Extent::Whole).await;
    assert!(finished.outcome.failure.is_some() && !finished.is_whole());
    let done: usize = finished.outcome.done.values().sum();
    assert!(done > 0 && done + finished.outcome.left == finished.planned.changes());
    let recorded = fixture.recorded().await;
    let acme = &recorded.tenants["acme"];
    assert!(acme.applied, "an apply that began may not be moved by a repair");
    // The server chose an id for everything that was made on 1.x, and each is known.
    assert!(acme.ids.keys().any(|key| key.as_str() == "acme/port/db"), "{:?}", acme.ids);
    // The binding was not made: the next run still knows that it was under way.
    assert!(acme.making.iter().any(|(key, _)| key.as_str() == "acme/port/db/binding"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_look_that_fails_leaves_the_tenant_applied() {
    for dialect in [Dialect::V1, Dialect::V5] {
        let fixture = Fixture::start(dialect, true).await;
        let goal = WholeProject::new(&dialect.to_string(), TENANT);
        // The first look reads the list of all ports once.
        fixture
            .fault(r#"{"fault": "internal-error", "method": "GET", "path": "/ports", "nth": 2, "times": 0}"#);
        let finished = fixture.reconcile(&goal, Extent::Whole).await;
        assert!(finished.is_whole() && finished.look_error.is_some() && !finished.is_converged());
        let acme = &fixture.recorded().await.tenants["acme"];
        assert!(acme.applied);
        assert_eq!(acme.ports, ["db"]);
        assert_eq!(acme.ids.is_empty(), dialect == Dialect::V5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_of_a_part_forgets_nothing_of_the_rest() {
    let fixture = Fixture::start(Dialect::V1, true).await;
    let mut goal = WholeProject::new("1", TENANT);
    assert!(fixture.reconcile(&goal, Extent::Whole).await.is_converged());
    let before = fixture.recorded().await;
    let part = KeyPrefix::new("acme/bridge/web");
    goal.desired = goal.desired.filtered(|entry| entry.key.is_within(&part));
    goal.deletes = false;
    let finished = fixture.reconcile(&goal, Extent::Part(["acme".into()].into())).await;
    assert_eq!(finished.planned.changes(), 0);
    assert_eq!(fixture.recorded().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroy_gives_addresses_back_only_when_everything_is_gone() {
    let fixture = Fixture::start(Dialect::V5, true).await;
    let mut goal = WholeProject::new("5", TENANT);
    assert!(fixture.reconcile(&goal, Extent::Whole).await.is_converged());
    goal.desired = Topology::default();
    for fails in [true, false] {
        if fails {
            fixture.fault(
                r#"{"fault": "internal-error", "method": "DELETE", "path": "/routers/*", "times": 0}"#,
            );
        }
        let removed = std::collections::BTreeSet::from(["acme".into()]);
        let books = Bookkeeping { removed: removed.clone(), ..Bookkeeping::of(removed, Extent::Whole) };
        let lock = fixture.lock(&fixture.store, midoform_store::locks::LEASE).await;
        let finished = fixture.reconcile_under(&goal, books, &fixture.store, &lock, true).await;
        lock.release().await;
        fixture.clear_faults();
        assert_eq!(finished.is_whole(), !fails, "{:?}", finished.outcome.failure);
        assert_eq!(fixture.recorded().await.tenants.contains_key("acme"), fails);
    }
}

/// The rounds of a run look at the network again after each failure: no look forgets what an earlier one knew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_rule_that_can_not_be_deleted_is_deleted_by_the_next_run() {
    for (number, dialect) in [("1", Dialect::V1), ("5", Dialect::V5)] {
        let fixture = Fixture::start(dialect, true).await;
        let before = WholeProject::new(number, TENANT);
        assert!(fixture.reconcile(&before, Extent::Whole).await.is_converged());
        let rules = fixture.count_rules(&before).await;
        let goal = WholeProject::new(number, &TENANT.replace("tcp = 22", "tcp = 2222"));
        fixture
            .fault(r#"{"fault": "unavailable-before", "method": "DELETE", "path": "/rules/*", "times": 0}"#);
        for _ in 0..2 {
            let finished = fixture.reconcile(&goal, Extent::Whole).await;
            let Finished { outcome, record_error, look_error, .. } = &finished;
            assert!(
                outcome.failure.is_some() && outcome.left > 0,
                "{dialect}: {outcome:?} {record_error:?} {look_error:?}"
            );
            assert!(fixture.count_rules(&goal).await > rules);
        }
        fixture.clear_faults();
        let finished = fixture.reconcile(&goal, Extent::Whole).await;
        assert!(finished.is_converged(), "{:?}", finished.outcome.failure);
        assert_eq!(fixture.count_rules(&goal).await, rules);
        let recorded = fixture.recorded().await;
        let of_what_is_gone = |key: &&Key| key.own_id().is_some();
        assert_eq!(recorded.tenants["acme"].ids.keys().find(of_what_is_gone), None);
    }
}

/// A store whose leases can't be renewed.
#[derive(Debug)]
struct NeverRenewed(SharedStore);

#[async_trait]
impl Store for NeverRenewed {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.0.read(ranges).await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, StoreError> {
        self.0.commit(transaction).await
    }

    async fn grant(&self, time: Duration) -> Result<Lease, StoreError> {
        self.0.grant(time).await
    }

    async fn keep_alive(&self, _lease: Lease) -> Result<bool, StoreError> {
        Err(StoreError::Unreachable { store: self.name(), cause: "a test".to_owned() })
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        self.0.revoke(lease).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_the_lock_stops_a_run_at_its_next_call() {
    let fixture = Fixture::start(Dialect::V5, true).await;
    let goal = WholeProject::new("5", TENANT);
    let store: SharedStore = Arc::new(NeverRenewed(fixture.store.clone()));
    fixture.fault(r#"{"fault": "delay", "method": "POST", "path": "/**", "times": 0, "milliseconds": 250}"#);
    let lock = fixture.lock(&store, Duration::from_millis(1500)).await;
    let finished = fixture.reconcile_under(&goal, goal.books(Extent::Whole), &store, &lock, true).await;
    assert_eq!(finished.stopped, Some(Stop::LockLost));
    let done: usize = finished.outcome.done.values().sum();
    assert!(done > 0 && finished.outcome.left > 0, "{done} done, {} left", finished.outcome.left);
    assert!(finished.record_error.is_some(), "who lost the lock writes nothing");
}
