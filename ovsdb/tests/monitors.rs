//! Monitors on a real server.

use std::collections::BTreeMap;
use std::time::Duration;

use midoform_ovsdb::{
    Client, Condition, Function, Monitor, MonitorRequest, Mutation, Mutator, Operation, Real, Row,
    Transaction, Value,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::{alone, client, runtime, thing, uuid};

async fn execute(client: &Client, operations: Vec<Operation>) {
    client.transact(&Transaction::from(operations)).await.unwrap();
}

async fn next(monitor: &mut Monitor) -> midoform_ovsdb::Changes {
    tokio::time::timeout(Duration::from_secs(20), monitor.next()).await.expect("changes in time").unwrap()
}

fn names(monitor: &Monitor) -> Vec<String> {
    let rows = monitor.contents().get("Thing").into_iter().flat_map(BTreeMap::values);
    rows.map(|row| row.get("name").unwrap().as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_monitor_has_the_contents_and_their_changes() {
    let Some(servers) = alone() else { return };
    runtime().block_on(async {
        let client = client(&servers.unix(0));
        execute(&client, vec![thing(1, "a"), thing(2, "b")]).await;
        let request = MonitorRequest::default().with("Thing", &["name", "tags", "note"]);
        let mut monitor = client.monitor(request).await.unwrap();
        assert_eq!(names(&monitor), ["a", "b"]);
        let first = &*monitor.contents()["Thing"][&uuid(1)];
        let expected = Row::default().with("name", "a").with("tags", Value::empty_set());
        assert_eq!(
            *first,
            expected.with("note", Value::empty_set()),
            "columns with default values are there"
        );

        let tags = Row::default().with("tags", Value::set(["x", "y"]));
        execute(
            &client,
            vec![
                Operation::update("Thing", [Condition::uuid(uuid(1))], tags.with("note", "n")),
                Operation::delete("Thing", [Condition::uuid(uuid(2))]),
                thing(3, "c"),
            ],
        )
        .await;
        let changes = next(&mut monitor).await;
        let shown: Vec<_> = changes
            .changes
            .iter()
            .map(|change| (change.uuid, change.old.is_some(), change.new.is_some()))
            .collect();
        assert_eq!(shown, [(uuid(1), true, true), (uuid(2), true, false), (uuid(3), false, true)]);
        let new = changes.changes[0].new.as_ref().unwrap();
        assert_eq!(new.get("tags"), Some(&Value::set(["x", "y"])));
        assert_eq!(new.get("name").unwrap().as_str(), Some("a"));
        assert!(!changes.is_resumption);
        assert_eq!(names(&monitor), ["a", "c"]);

        // A column that is not monitored changes nothing.
        execute(&client, vec![Operation::update("Thing", [], Row::default().with("number", 5))]).await;
        execute(&client, vec![thing(4, "d")]).await;
        assert_eq!(next(&mut monitor).await.changes.len(), 1);
    });
}

#[test]
fn conditions_limit_a_monitor_and_can_be_changed() {
    let Some(servers) = alone() else { return };
    runtime().block_on(async {
        let client = client(&servers.unix(0));
        execute(&client, vec![thing(1, "a"), thing(2, "b"), thing(3, "c")]).await;
        let named = |name: &str| Condition::equal("name", name);
        let request =
            MonitorRequest::default().with_conditions("Thing", &["name"], vec![named("a"), named("b")]);
        let mut monitor = client.monitor(request).await.unwrap();
        assert_eq!(names(&monitor), ["a", "b"], "a row meets one of the conditions");
        execute(&client, vec![thing(4, "d"), Operation::delete("Thing", [named("b")])]).await;
        assert_eq!(next(&mut monitor).await.changes.len(), 1);
        let not_a = Condition::new("name", Function::NotEqual, "a");
        monitor.change_conditions([("Thing".to_owned(), vec![not_a])].into()).await.unwrap();
        let changes = next(&mut monitor).await;
        assert_eq!(changes.changes.len(), 3, "{changes:?}");
        assert_eq!(names(&monitor), ["c", "d"]);
        monitor
            .change_conditions([("Thing".to_owned(), vec![Condition::Always(false)])].into())
            .await
            .unwrap();
        next(&mut monitor).await;
        assert!(names(&monitor).is_empty());
        let wrong = vec![Condition::equal("colour", "red")];
        assert!(monitor.change_conditions([("Thing".to_owned(), wrong)].into()).await.is_err());

        // The conditions hold after a lost connection.
        servers.kill(0);
        servers.run(0);
        execute(&client, vec![thing(5, "e")]).await;
        monitor.change_conditions([("Thing".to_owned(), vec![named("e")])].into()).await.unwrap();
        next(&mut monitor).await;
        assert_eq!(names(&monitor), ["e"]);
    });
}

#[test]
fn a_monitor_goes_on_after_the_server_was_restarted() {
    let Some(servers) = alone() else { return };
    runtime().block_on(async {
        let (client, other) = (client(&servers.tcp()), client(&servers.unix(0)));
        execute(&client, vec![thing(1, "a"), thing(2, "b"), thing(3, "c")]).await;
        let mut monitor = client.monitor(MonitorRequest::default().with("Thing", &["name"])).await.unwrap();
        servers.kill(0);
        servers.run(0);
        let renamed = Row::default().with("name", "B");
        execute(
            &other,
            vec![
                Operation::delete("Thing", [Condition::uuid(uuid(1))]),
                Operation::update("Thing", [Condition::uuid(uuid(2))], renamed),
                thing(4, "d"),
            ],
        )
        .await;
        let changes = next(&mut monitor).await;
        assert!(changes.is_resumption);
        assert_eq!(changes.changes.len(), 3, "only the differences: {changes:?}");
        assert_eq!(names(&monitor), ["B", "c", "d"]);
        execute(&other, vec![thing(5, "e")]).await;
        assert!(!next(&mut monitor).await.is_resumption);
    });
}

#[test]
fn a_dropped_monitor_ends_on_the_server() {
    let Some(servers) = alone() else { return };
    runtime().block_on(async {
        let client = client(&servers.unix(0));
        for _ in 0..50 {
            drop(client.monitor(MonitorRequest::default().with_all("Thing")).await.unwrap());
        }
        execute(&client, vec![thing(1, "a")]).await;
        let monitor = client.monitor(MonitorRequest::default().with_all("Thing")).await.unwrap();
        assert_eq!(names(&monitor), ["a"]);
    });
}

fn operation() -> impl Strategy<Value = Operation> {
    let tags = || prop::collection::btree_set(prop::sample::select(vec!["a", "b", "c", "d"]), 0..4);
    let pairs = || prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), "[xy]", 0..3);
    let weights = prop::collection::btree_map(0_i64..3, 0_i32..3, 0..3);
    let row = (
        tags(),
        pairs(),
        weights,
        prop::option::of("[a-c]"),
        prop::collection::btree_set(0_i64..5, 0..3),
        0_i64..3,
    )
        .prop_map(|(tags, options, weights, note, numbers, number)| {
            let weights =
                weights.into_iter().map(|(key, value)| (key, Real::new(f64::from(value) / 2.0).unwrap()));
            Row::default()
                .with("tags", Value::set(tags))
                .with("options", Value::map(options))
                .with("pair", Value::map(note.clone().map(|note| (note, number))))
                .with("weights", Value::map(weights))
                .with("note", note)
                .with("numbers", Value::set(numbers))
                .with("number", number)
        });
    let rows = (0_u128..4, row);
    prop_oneof![
        rows.prop_map(|(number, row)| Operation::update("Thing", [Condition::uuid(uuid(number))], row)),
        (0_u128..4, tags(), pairs()).prop_map(|(number, tags, options)| Operation::mutate(
            "Thing",
            [Condition::uuid(uuid(number))],
            [
                Mutation::new("tags", Mutator::Insert, Value::set(tags)),
                Mutation::new("options", Mutator::Delete, Value::map(options)),
            ],
        )),
        (0_u128..4).prop_map(|number| Operation::delete("Thing", [Condition::uuid(uuid(number))])),
        (0_u128..4, 0_u128..1000).prop_map(|(number, salt)| thing(number, &format!("{number} {salt}"))),
    ]
}

/// Differences of sets and maps, applied to the contents, give what the server has.
#[test]
fn the_contents_of_a_monitor_are_what_a_select_returns() {
    let Some(servers) = alone() else { return };
    let runtime = runtime();
    let client = client(&servers.unix(0));
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let request = MonitorRequest::default().with_all("Thing").with("Counter", &["value"]);
    let monitor = tokio::sync::Mutex::new(runtime.block_on(client.monitor(request)).unwrap());
    let round = std::cell::Cell::new(0_i64);
    let check = |operations: Vec<Operation>| {
        runtime.block_on(async {
            for operation in operations {
                // An insertion may have the uuid of a row that exists.
                let _ = client.transact(&Transaction::new().with(operation)).await;
            }
            // The last change is one that always comes.
            round.set(round.get() + 1);
            let row = Row::default().with("value", round.get());
            execute(
                &client,
                vec![Operation::delete("Counter", []), Operation::insert_named("Counter", "c", row)],
            )
            .await;
            let is_last = |monitor: &Monitor| {
                let mut counters = monitor.contents().get("Counter").into_iter().flat_map(BTreeMap::values);
                counters.any(|row| row.get("value").and_then(Value::as_integer) == Some(round.get()))
            };
            let mut monitor = monitor.lock().await;
            while !is_last(&monitor) {
                next(&mut monitor).await;
            }
            let selected = client.select("Thing", []).await.unwrap();
            let selected: BTreeMap<_, _> = selected
                .into_iter()
                .map(|mut row| {
                    let uuid = row.uuid().unwrap();
                    for column in ["_uuid", "_version"] {
                        row.remove(column);
                    }
                    (uuid, row)
                })
                .collect();
            let known = monitor.contents().get("Thing").into_iter().flatten();
            let known = known.map(|(uuid, row)| (*uuid, Row::clone(row))).collect();
            prop_assert_eq!(selected, known);
            Ok(())
        })
    };
    TestRunner::new(config).run(&prop::collection::vec(operation(), 1..12), check).unwrap();
}
