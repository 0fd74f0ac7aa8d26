//! Transactions on a real server.

use std::time::{Duration, Instant};

use midoform_ovsdb::{
    Atom, Client, Condition, Error, ErrorCode, Function, Mutation, Mutator, Operation, OperationResult, Real,
    Row, Settings, Transaction, Until, Value,
};

use crate::support::{alone, chain, client, runtime, settings, thing, uuid};

fn on_server(test: impl AsyncFnOnce(Client)) {
    if let Some(servers) = alone() {
        runtime().block_on(test(client(&servers.unix(0))));
    }
}

fn one(operation: Operation) -> Transaction {
    Transaction::new().with(operation)
}

async fn failure(client: &Client, operations: Vec<Operation>) -> Error {
    client.transact(&Transaction::from(operations)).await.unwrap_err()
}

fn real(number: f64) -> Real {
    Real::new(number).unwrap()
}

fn named(name: &str) -> [Condition; 1] {
    [Condition::equal("name", name)]
}

#[test]
fn a_row_is_inserted_read_changed_and_deleted() {
    on_server(async |client| {
        let part = Row::default().with("name", "wheel");
        let row = Row::default()
            .with("name", "cart")
            .with("number", 7)
            .with("ratio", Real::new(5.0).unwrap())
            .with("flag", true)
            .with("kind", "big")
            .with("note", Some("a \"quoted\" \\ line\n\u{1f600}"))
            .with("tags", Value::set(["b", "a"]))
            .with("numbers", Value::set([3, 1, 2]))
            .with("options", Value::map([("k", "v"), ("", "")]))
            .with("weights", Value::map([(1, Real::new(0.5).unwrap())]))
            .with("parts", Atom::NamedUuid("wheel".to_owned()));
        let transaction = Transaction::new()
            .with(Operation::insert("Thing", uuid(1), row.clone()))
            .with(Operation::insert_named("Part", "wheel", part))
            .with(Operation::Comment { comment: "a cart".to_owned() })
            .with(Operation::Commit { durable: true });
        client.check(&transaction).await.unwrap();
        let outcome = client.transact(&transaction).await.unwrap();
        let wheel = outcome.inserted(1).unwrap();
        assert_eq!(outcome.results[0], OperationResult::Inserted(uuid(1)));
        assert_eq!(outcome.results[2..], [OperationResult::Done, OperationResult::Done]);

        let [found] = client.select("Thing", named("cart")).await.unwrap().try_into().unwrap();
        assert_eq!(found.uuid(), Some(uuid(1)));
        let expected = row.with("parts", wheel);
        for (column, value) in expected.iter() {
            assert_eq!(found.get(column), Some(value), "{column}");
        }
        assert_eq!(found.get("friend"), Some(&Value::empty_set()));
        assert_eq!(found.get("pair"), Some(&Value::empty_map()));

        let mutations = vec![
            Mutation::new("number", Mutator::Add, 3),
            Mutation::new("tags", Mutator::Insert, Value::set(["c", "a"])),
            Mutation::new("tags", Mutator::Delete, "b"),
            Mutation::new("options", Mutator::Delete, Value::set(["", "unknown"])),
        ];
        let transaction = Transaction::new()
            .with(Operation::mutate("Thing", [Condition::uuid(uuid(1))], mutations))
            .with(Operation::update("Thing", named("cart"), Row::default().with("note", Value::empty_set())))
            .with(Operation::select_columns("Thing", [], &["number", "tags", "options", "note"]));
        let outcome = client.transact(&transaction).await.unwrap();
        assert_eq!((outcome.count(0), outcome.count(1)), (Some(1), Some(1)));
        let expected = Row::default()
            .with("number", 10)
            .with("tags", Value::set(["a", "c"]))
            .with("options", Value::map([("k", "v")]))
            .with("note", Value::empty_set());
        assert_eq!(outcome.rows(2), [expected]);

        let outcome = client.transact(&one(Operation::delete("Thing", named("cart")))).await.unwrap();
        assert_eq!(outcome.count(0), Some(1));
        assert!(client.select("Thing", []).await.unwrap().is_empty());
        // The part is gone as well: no row refers to it.
        assert!(client.select("Part", []).await.unwrap().is_empty());
    });
}

#[test]
fn conditions_select_rows() {
    on_server(async |client| {
        let rows = (1..6).map(|number| {
            let row = Row::default()
                .with("name", format!("t{number}"))
                .with("number", i64::try_from(number).unwrap());
            Operation::insert("Thing", uuid(number), row.with("numbers", Value::set([1, 2])))
        });
        client.transact(&Transaction::from(rows.collect::<Vec<_>>())).await.unwrap();
        for (function, value, count) in [
            (Function::Less, 3, 2),
            (Function::LessOrEqual, 3, 3),
            (Function::Equal, 3, 1),
            (Function::NotEqual, 3, 4),
            (Function::GreaterOrEqual, 3, 3),
            (Function::Greater, 3, 2),
        ] {
            let found = client.select("Thing", [Condition::new("number", function, value)]).await.unwrap();
            assert_eq!(found.len(), count, "{function:?}");
        }
        for (function, count) in [(Function::Includes, 5), (Function::Excludes, 0)] {
            let found = client.select("Thing", [Condition::new("numbers", function, 1)]).await.unwrap();
            assert_eq!(found.len(), count, "{function:?}");
        }
    });
}

#[test]
fn an_own_uuid_can_be_used_once() {
    on_server(async |client| {
        client.transact(&one(thing(1, "a"))).await.unwrap();
        let error = failure(&client, vec![thing(2, "b"), thing(1, "c")]).await;
        assert_eq!(error.code(), Some(ErrorCode::DuplicateUuid));
        assert!(!error.is_outcome_unknown());
        assert_eq!(client.select("Thing", []).await.unwrap().len(), 1, "all or nothing");
    });
}

#[test]
fn a_failed_wait_is_an_error_of_its_own() {
    on_server(async |client| {
        client.transact(&one(thing(1, "a"))).await.unwrap();
        let renamed = || Operation::update("Thing", [], Row::default().with("name", "moved"));
        let holds = Operation::expect("Thing", uuid(1), Row::default().with("name", "a").with("number", 0));
        let fails = Operation::expect("Thing", uuid(1), Row::default().with("name", "b"));
        let error = failure(&client, vec![holds.clone(), fails, renamed()]).await;
        assert!(error.is_timed_out_wait(), "{error}");
        let Error::Operation { operation, .. } = &error else { panic!("{error}") };
        assert_eq!((operation.index, operation.operation), (1, "wait"));
        assert!(
            failure(&client, vec![Operation::expect_none("Thing", named("a"))]).await.is_timed_out_wait()
        );
        let none = Operation::expect_none("Thing", named("b"));
        client.transact(&Transaction::from(vec![holds, none, renamed()])).await.unwrap();
        assert_eq!(client.select("Thing", named("moved")).await.unwrap().len(), 1);
    });
}

#[test]
fn a_wait_waits_for_another_client() {
    on_server(async |client| {
        let wait = Operation::Wait {
            timeout: Some(10_000),
            table: "Thing".to_owned(),
            conditions: named("a").to_vec(),
            columns: vec!["name".to_owned()],
            until: Until::NotEqual,
            rows: Vec::new(),
        };
        let transaction = Transaction::from(vec![wait]);
        let waiting = client.transact(&transaction);
        let other = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.transact(&one(thing(1, "a"))).await
        };
        let started = Instant::now();
        let (waited, other) = tokio::join!(waiting, other);
        waited.unwrap();
        other.unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn errors_name_the_operation_and_have_the_server_s_words() {
    on_server(async |client| {
        let mut transaction = one(thing(1, "a"));
        let wrong = Operation::insert("Thing", uuid(2), Row::default().with("name", "b").with("kind", "odd"));
        transaction.push_labelled("acme/bridge/web", wrong);
        let error = client.transact(&transaction).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::Constraint));
        let remote = client.connect().await.unwrap().remote;
        let begin = format!(
            "{remote} refused operation 1 (insert in Thing, row {}, acme/bridge/web): constraint violation: odd is not",
            uuid(2)
        );
        assert!(chain(&error).starts_with(&begin), "{}", chain(&error));
        assert!(!error.to_string().contains("constraint"), "Display does not repeat its source: {error}");

        let unknown = Operation::insert("Thing", uuid(2), Row::default().with("colour", "red"));
        assert_eq!(failure(&client, vec![unknown]).await.code(), Some(ErrorCode::UnknownName));
        let error = failure(&client, vec![Operation::Assert { lock: "mine".to_owned() }]).await;
        assert_eq!(error.code(), Some(ErrorCode::NotOwner));
        let error = failure(&client, vec![thing(1, "a"), Operation::Abort]).await;
        assert_eq!(error.code(), Some(ErrorCode::Aborted), "the server's own dry run");
        let error = client.read(&one(thing(1, "a")).with(Operation::Abort)).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::Aborted), "it changes nothing");
        let divide = Mutation::new("number", Mutator::Divide, 0);
        client.transact(&one(thing(1, "a"))).await.unwrap();
        let error = failure(&client, vec![Operation::mutate("Thing", [], [divide])]).await;
        assert_eq!(error.code(), Some(ErrorCode::Domain));
        let add = Mutation::new("number", Mutator::Add, 2000);
        let error = failure(&client, vec![Operation::mutate("Thing", [], [add])]).await;
        assert_eq!(error.code(), Some(ErrorCode::Constraint));
    });
}

#[test]
fn a_failed_commit_is_an_error_of_its_own() {
    on_server(async |client| {
        let dangling =
            Operation::insert("Thing", uuid(1), Row::default().with("name", "a").with("parts", uuid(9)));
        let error = failure(&client, vec![dangling]).await;
        assert!(matches!(error, Error::Commit { .. }), "{}", chain(&error));
        assert_eq!(error.code(), Some(ErrorCode::ReferentialIntegrity));
        let error = failure(&client, vec![thing(1, "a"), thing(2, "a")]).await;
        assert!(matches!(error, Error::Commit { .. }), "{}", chain(&error));
        assert_eq!(error.code(), Some(ErrorCode::Constraint), "the index on the name");
        assert!(client.select("Thing", []).await.unwrap().is_empty());
    });
}

/// Returns operations that do not fit the schema, each with its mistake.
fn mistakes() -> Vec<(Operation, &'static str)> {
    let part_name = |value: Value| Operation::insert("Part", uuid(1), Row::default().with("name", value));
    let row = |column: &str, value: Value| Row::default().with(column, value);
    vec![
        (part_name(1.into()), "the column name of the table Part is wrong: string is expected, not 1"),
        (Operation::delete("Nothing", []), "the schema has no table Nothing"),
        (Operation::delete("Part", [Condition::equal("x", 1)]), "the table Part has no column x"),
        (Operation::select_columns("Part", [], &["x"]), "the table Part has no column x"),
        (
            Operation::update("Thing", [], row("number", 1001.into())),
            "the column number of the table Thing is wrong: an integer from 0 to 1000 is expected, not 1001",
        ),
        (
            Operation::mutate("Thing", [], [Mutation::new("tags", Mutator::Insert, 1)]),
            "the column tags of the table Thing is wrong: string is expected, not 1",
        ),
        (
            Operation::mutate("Thing", [], [Mutation::new("options", Mutator::Delete, Value::set([1, 2]))]),
            "the column options of the table Thing is wrong: string is expected, not 1",
        ),
        (
            Operation::mutate("Thing", [], [Mutation::new("number", Mutator::Add, "1")]),
            "the column number of the table Thing is wrong: integer is expected, not \"1\"",
        ),
        (
            Operation::delete("Thing", [Condition::new("tags", Function::Includes, 1)]),
            "the column tags of the table Thing is wrong: string is expected, not 1",
        ),
        (
            Operation::expect("Thing", uuid(1), row("flag", "yes".into())),
            "the column flag of the table Thing is wrong: boolean is expected, not \"yes\"",
        ),
    ]
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    let schema = midoform_ovsdb::DatabaseSchema::read(&crate::support::schema()).unwrap();
    for (operation, mistake) in mistakes() {
        let transaction = Transaction::from(vec![Operation::Abort, operation]);
        let misfit = transaction.check(&schema).unwrap_err();
        assert_eq!(misfit.operation.index, 1);
        assert_eq!(chain(&misfit.mistake), mistake);
    }
}

#[test]
fn what_fits_the_schema_is_taken_by_the_server() {
    on_server(async |client| {
        let fitting = vec![
            Operation::select(
                "Thing",
                [Condition::uuid(uuid(1)), Condition::new("ratio", Function::Less, real(0.5))],
            ),
            Operation::select(
                "Thing",
                [Condition::new("numbers", Function::Excludes, Value::set([1, 2, 3, 4]))],
            ),
            Operation::mutate(
                "Thing",
                [],
                [Mutation::new("options", Mutator::Delete, Value::map([("a", "b")]))],
            ),
            Operation::mutate(
                "Thing",
                [],
                [Mutation::new("options", Mutator::Delete, Value::set(["a", "b"]))],
            ),
            Operation::mutate("Thing", [], [Mutation::new("number", Mutator::Subtract, -5000)]),
            Operation::mutate("Thing", [], [Mutation::new("ratios", Mutator::Multiply, real(2.0))]),
        ];
        let fitting = Transaction::from(fitting);
        client.check(&fitting).await.unwrap();
        client.transact(&fitting).await.unwrap();
    });
}

#[test]
fn what_can_not_be_sent_is_refused() {
    on_server(async |client| {
        let nul = Operation::insert("Part", uuid(1), Row::default().with("name", "a\0"));
        let error = failure(&client, vec![nul]).await;
        assert!(matches!(error, Error::Encode(_)), "{error}");
        let error = client.read(&one(thing(1, "a"))).await.unwrap_err();
        assert_eq!(error.to_string(), format!("operation 0 (insert in Thing, row {}) is no read", uuid(1)));
    });
}

#[test]
fn a_client_connects_again_after_the_server_was_restarted() {
    let Some(servers) = alone() else { return };
    runtime().block_on(async {
        let client = client(&servers.tcp());
        client.transact(&one(thing(1, "a"))).await.unwrap();
        for round in 0..3 {
            servers.kill(0);
            servers.run(0);
            let found = client.select("Thing", []).await.unwrap();
            assert_eq!(found.len(), 1 + round, "a read is repeated");
            client.transact(&one(thing(10 + round as u128, &format!("r{round}")))).await.unwrap();
        }
    });
}

#[test]
fn a_server_that_is_not_there_is_named() {
    runtime().block_on(async {
        let client = client("unix:/nowhere/at.sock,tcp:127.0.0.1:1").with_timeout(Duration::from_millis(700));
        let started = Instant::now();
        let error = client.transact(&one(thing(1, "a"))).await.unwrap_err();
        assert!((650..10_000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
        let text = error.to_string();
        assert!(matches!(error, Error::Unreachable { .. }), "{text}");
        for part in
            ["unix:/nowhere/at.sock: the connection failed: No such file", "tcp:127.0.0.1:1: the connection"]
        {
            assert!(text.contains(part), "{text}");
        }
    });
}

#[test]
fn many_clients_share_a_connection() {
    let Some(servers) = alone() else { return };
    runtime().block_on(async {
        let client = client(&servers.unix(0));
        let tasks: Vec<_> = (1..=200)
            .map(|number| {
                let client = client.clone();
                tokio::spawn(async move { client.transact(&one(thing(number, &format!("t{number}")))).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(client.select("Thing", []).await.unwrap().len(), 200);
    });
}

/// A site with 1,000 tenants is one transaction of 28,000 operations.
#[test]
fn a_large_transaction_is_one() {
    let Some(servers) = alone() else { return };
    runtime().block_on(async {
        // The server is silent while it executes it.
        let probe = Some(Duration::from_secs(30));
        let patient = Settings { probe, timeout: Duration::from_secs(120), ..settings(&servers.unix(0)) };
        let client = Client::new(patient).unwrap();
        let mut transaction = Transaction::new();
        for number in 1..=20_000 {
            transaction.push(thing(number, &format!("thing {number} {}", "x".repeat(100))));
        }
        client.transact(&transaction).await.unwrap();
        assert_eq!(client.select("Thing", []).await.unwrap().len(), 20_000);
    });
}
