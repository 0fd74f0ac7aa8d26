//! The servers and the database of the tests.

use std::time::Duration;

use midoform_ovsdb::{Client, Condition, Mutation, Mutator, Operation, Row, Settings, Transaction};
use midoform_testutil::ovsdb::{Servers, missing};
use serde_json::json;
use uuid::Uuid;

/// The name of the test's database.
pub(crate) const DATABASE: &str = "Things";

/// Returns the schema of the test's database: a table with columns of all kinds, a table of parts that rows of the first one
/// refer to, and a table of counters.
pub(crate) fn schema() -> serde_json::Value {
    json!({
        "name": DATABASE,
        "version": "1.0.0",
        "tables": {
            "Thing": {
                "isRoot": true,
                "indexes": [["name"]],
                "columns": {
                    "name": { "type": "string" },
                    "number": { "type": { "key": { "type": "integer", "minInteger": 0, "maxInteger": 1000 } } },
                    "ratio": { "type": "real" },
                    "ratios": { "type": { "key": "real", "min": 0, "max": "unlimited" } },
                    "flag": { "type": "boolean" },
                    "kind": { "type": { "key": { "type": "string", "enum": ["set", ["", "big", "small"]] } } },
                    "note": { "type": { "key": "string", "min": 0, "max": 1 } },
                    "tags": { "type": { "key": "string", "min": 0, "max": "unlimited" } },
                    "numbers": { "type": { "key": "integer", "min": 0, "max": 3 } },
                    "options": { "type": { "key": "string", "value": "string", "min": 0, "max": "unlimited" } },
                    "weights": { "type": { "key": "integer", "value": "real", "min": 0, "max": "unlimited" } },
                    "pair": { "type": { "key": "string", "value": "integer", "min": 0, "max": 1 } },
                    "parts": {
                        "type": { "key": { "type": "uuid", "refTable": "Part" }, "min": 0, "max": "unlimited" }
                    },
                    "friend": {
                        "type": { "key": { "type": "uuid", "refTable": "Thing", "refType": "weak" }, "min": 0, "max": 1 }
                    }
                }
            },
            "Part": { "columns": { "name": { "type": "string" } } },
            "Counter": { "isRoot": true, "columns": { "name": { "type": "string" }, "value": { "type": "integer" } } }
        }
    })
}

/// Says that a test is skipped, if the programs of Open vSwitch are missing. Returns true then.
pub(crate) fn is_skipped() -> bool {
    let missing = missing();
    if let Some(programs) = &missing {
        println!("SKIPPED: not installed: {programs} (openvswitch-switch)");
    }
    missing.is_some()
}

fn with_schema<T>(start: impl FnOnce(&std::path::Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("things.ovsschema");
    std::fs::write(&file, schema().to_string()).unwrap();
    start(&file)
}

/// Starts one server; none, and says so, if that is not possible here.
pub(crate) fn alone() -> Option<Servers> {
    (!is_skipped()).then(|| with_schema(Servers::alone))
}

/// Starts one server with TLS.
pub(crate) fn secured() -> Option<Servers> {
    if !midoform_testutil::certificates::can_be_made() {
        println!("SKIPPED: openssl is not installed");
        return None;
    }
    (!is_skipped()).then(|| with_schema(Servers::secured))
}

/// Starts a cluster of three servers.
pub(crate) fn cluster() -> Option<Servers> {
    (!is_skipped()).then(|| with_schema(|schema| Servers::cluster(schema, DATABASE, 3)))
}

/// Returns a client of these remotes.
pub(crate) fn client(remotes: &str) -> Client {
    Client::new(settings(remotes)).unwrap()
}

/// Returns the settings of [`client`].
pub(crate) fn settings(remotes: &str) -> Settings {
    let mut settings = Settings::parse(remotes, DATABASE).unwrap();
    settings.connect_timeout = Duration::from_secs(3);
    settings.backoff.longest = Duration::from_millis(500);
    settings
}

/// Returns a uuid for a number below 2³². The number is at its beginning: ovsdb-server's hash of a uuid is its first 32 bits.
pub(crate) fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number << 96 | 0x4000_8000_0000_0000_0000)
}

/// Returns the insertion of a thing with a name.
pub(crate) fn thing(number: u128, name: &str) -> Operation {
    Operation::insert("Thing", uuid(number), Row::default().with("name", name))
}

/// Returns a transaction that inserts a thing and counts it.
pub(crate) fn counted_thing(number: u128) -> Transaction {
    Transaction::new().with(thing(number, &format!("thing {number}"))).with(Operation::mutate(
        "Counter",
        [Condition::equal("name", "things")],
        [Mutation::new("value", Mutator::Add, 1)],
    ))
}

/// Returns a transaction that inserts the counter of things.
pub(crate) fn counter() -> Transaction {
    let row = Row::default().with("name", "things");
    Transaction::new().with(Operation::insert("Counter", uuid(0), row))
}

/// Returns a runtime for one test.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Returns an error with its sources in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
