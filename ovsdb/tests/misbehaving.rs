//! Servers that stall, cut, and send nonsense, too much, or wrong types.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use midoform_ovsdb::{
    Client, Condition, ConnectionError, Error, FramingError, Limits, Monitor, MonitorRequest, Operation, Row,
    Settings, Transaction,
};
use serde_json::{Value as Json, json};

use crate::fake::{Fake, Peer};
use crate::support::{chain, runtime, settings, thing, uuid};

fn insertion() -> Transaction {
    Transaction::new().with(thing(1, "a"))
}

fn limited(fake: &Fake) -> Settings {
    let mut settings = settings(&fake.remote());
    settings.timeout = Duration::from_secs(20);
    settings.limits = Limits { message: 100_000, depth: 16 };
    settings
}

/// Starts a server that does this with the first transaction of each connection.
fn at_transaction(
    act: impl Fn(&mut Peer, crate::fake::Request) -> std::io::Result<()> + Send + Sync + 'static,
) -> Fake {
    Fake::start(move |_, peer| {
        peer.welcome()?;
        let request = peer.expect("transact")?;
        act(peer, request)
    })
}

/// Returns the reason why the outcome of a transaction is unknown.
fn unknown(result: Result<midoform_ovsdb::Outcome, Error>) -> ConnectionError {
    match result.unwrap_err() {
        Error::OutcomeUnknown { reason, .. } => reason,
        other => panic!("{}", chain(&other)),
    }
}

#[test]
fn a_server_that_stalls_is_noticed_by_the_probe() {
    runtime().block_on(async {
        let fake = at_transaction(|peer, _| {
            loop {
                peer.next()?;
            }
        });
        let probe = Some(Duration::from_millis(150));
        let client = Client::new(Settings { probe, ..limited(&fake) }).unwrap();
        let started = Instant::now();
        let reason = unknown(client.transact(&insertion()).await);
        assert!(
            matches!(reason, ConnectionError::Silent(time) if time == Duration::from_millis(300)),
            "{reason:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn a_server_that_replies_to_echoes_alone_has_until_the_time_limit_and_is_told_to_cancel() {
    runtime().block_on(async {
        let (sender, canceled) = mpsc::channel();
        let fake = Fake::start(move |_, peer| {
            peer.welcome()?;
            let late = peer.expect("transact")?;
            let cancel = peer.expect("cancel")?;
            let _ = sender.send(cancel.parameters == json!([late.id]) && cancel.id.is_null());
            let request = peer.expect("transact")?;
            // The late reply does not matter any more.
            peer.reply(&late, json!([{ "error": "canceled" }]))?;
            peer.reply(&request, json!([{ "count": 3 }]))?;
            peer.next().map(drop)
        });
        let probe = Some(Duration::from_millis(200));
        let client = Client::new(Settings { probe, ..limited(&fake) }).unwrap();
        let reason = unknown(client.with_timeout(Duration::from_secs(1)).transact(&insertion()).await);
        assert!(matches!(reason, ConnectionError::Late(_)), "{reason:?}");
        let deletion = Transaction::new().with(Operation::delete("Thing", []));
        assert_eq!(
            client.transact(&deletion).await.unwrap().count(0),
            Some(3),
            "the connection is still used"
        );
        assert!(canceled.recv().unwrap());
    });
}

#[test]
fn a_dropped_transaction_is_canceled() {
    runtime().block_on(async {
        let (sender, canceled) = mpsc::channel();
        let fake = at_transaction(move |peer, _| {
            let _ = sender.send(peer.expect("cancel")?.parameters);
            peer.next().map(drop)
        });
        let client = Client::new(limited(&fake)).unwrap();
        let insertion = insertion();
        let dropped = tokio::time::timeout(Duration::from_millis(100), client.transact(&insertion)).await;
        assert!(dropped.is_err());
        canceled.recv_timeout(Duration::from_secs(5)).unwrap();
    });
}

#[test]
fn a_server_that_cuts_leaves_the_outcome_unknown() {
    runtime().block_on(async {
        let fake = at_transaction(|peer, request| peer.send(format!("{{\"id\":{},\"resu", request.id)));
        let reason = unknown(Client::new(limited(&fake)).unwrap().transact(&insertion()).await);
        assert!(matches!(reason, ConnectionError::Cut), "{reason:?}");
        let fake = at_transaction(|_, _| Ok(()));
        let reason = unknown(Client::new(limited(&fake)).unwrap().transact(&insertion()).await);
        assert!(matches!(reason, ConnectionError::Closed | ConnectionError::Io(_)), "{reason:?}");
    });
}

#[test]
fn a_server_of_another_kind_is_named_with_its_first_words() {
    runtime().block_on(async {
        let fake = Fake::start(|_, peer| peer.send("HTTP/1.1 400 Bad Request\r\n\r\n<html>"));
        let client = Client::new(limited(&fake)).unwrap().with_timeout(Duration::from_millis(300));
        let text = client.transact(&insertion()).await.unwrap_err().to_string();
        let expected = format!(
            "{}: it sent no JSON object: `HTTP/1.1 400 Bad Request\\r\\n\\r\\n<html>`",
            fake.remote()
        );
        assert!(text.contains(&expected), "{text}");
    });
}

#[test]
fn nonsense_ends_the_connection_and_leaves_the_outcome_unknown() {
    let nonsense: [(&str, &str); 11] = [
        ("[1]", "it sent no JSON object: `[1]`"),
        ("{\"id\":1,}", "it sent wrong JSON"),
        ("{\"id\":ID,\"method\":5}", "it sent nonsense (a method that is no string)"),
        ("{\"id\":99,\"result\":[],\"error\":null}", "it sent nonsense (a reply to no request)"),
        ("{\"id\":null,\"result\":null,\"error\":\"x\"}", "it sent nonsense (a reply to no request)"),
        ("{\"id\":ID}", "it sent nonsense (a reply without a result)"),
        ("{\"id\":ID,\"result\":null,\"error\":5}", "it sent nonsense (an error without words): `5`"),
        (
            "{\"id\":ID,\"result\":{},\"error\":null}",
            "it sent nonsense (the result of the transaction is no array)",
        ),
        ("{\"id\":ID,\"result\":[],\"error\":null}", "it sent nonsense (0 results for 1 operations)"),
        ("{\"id\":ID,\"result\":[{},{},{}],\"error\":null}", "it sent nonsense (3 results for 1 operations)"),
        (
            "{\"id\":ID,\"result\":[{\"uuid\":7}],\"error\":null}",
            "(the result of operation 0 is wrong: an insertion without",
        ),
    ];
    runtime().block_on(async {
        for (text, expected) in nonsense {
            let fake = at_transaction(|peer, request| {
                peer.send(text.replace("ID", &request.id.to_string()))?;
                // The client closes the connection.
                peer.next().map(drop)
            });
            let error = Client::new(limited(&fake)).unwrap().transact(&insertion()).await.unwrap_err();
            assert!(error.is_outcome_unknown(), "{text}: {error}");
            assert!(
                chain(&error).contains(&fake.remote()) && chain(&error).contains(expected),
                "{}",
                chain(&error)
            );
        }
    });
}

#[test]
fn an_endless_message_and_endless_nesting_end_at_the_limit() {
    runtime().block_on(async {
        for (begin, part) in [("{\"id\":1,\"result\":\"", "x"), ("{\"id\":1,\"result\":", "[")] {
            let fake = at_transaction(move |peer, _| {
                peer.send(begin)?;
                loop {
                    peer.send(part.repeat(10_000))?;
                }
            });
            let reason = unknown(Client::new(limited(&fake)).unwrap().transact(&insertion()).await);
            assert!(
                matches!(
                    reason,
                    ConnectionError::Framing(
                        FramingError::TooLarge { limit: 100_000, .. }
                            | FramingError::TooDeep { limit: 16, .. }
                    )
                ),
                "{reason:?}"
            );
        }
        let fake = at_transaction(|peer, _| peer.next().map(drop));
        let name = "x".repeat(100_000);
        let long = Transaction::new().with(thing(1, &name));
        let error = Client::new(limited(&fake)).unwrap().transact(&long).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 100_000, .. }), "{error}");
    });
}

#[test]
fn a_server_that_asks_and_reads_nothing_does_not_fill_the_memory() {
    runtime().block_on(async {
        let fake = at_transaction(|peer, _| {
            let echo = json!({ "id": "x", "method": "echo", "params": ["x".repeat(50_000)] }).to_string();
            for _ in 0..10_000 {
                peer.send(&echo)?;
            }
            std::thread::sleep(Duration::from_secs(5));
            Ok(())
        });
        let reason = unknown(Client::new(limited(&fake)).unwrap().transact(&insertion()).await);
        assert!(matches!(reason, ConnectionError::Stalled), "{reason:?}");
    });
}

#[test]
fn rows_of_wrong_types_are_an_error_and_a_read_is_not_repeated_for_them() {
    let rows = [
        (json!([{ "name": 5 }]), "the column name of the table Thing is wrong: string is expected, not 5"),
        (json!([{ "colour": "red" }]), "the table Thing has no column colour"),
        (json!([{ "tags": ["map", []] }]), "a set of string is expected, not [\"map\",[]]"),
        (json!([7]), "a row of the table Thing is no object"),
        (json!(7), "a select without rows"),
    ];
    runtime().block_on(async {
        for (rows, expected) in rows {
            let reads = Arc::new(Mutex::new(0));
            let counted = reads.clone();
            let fake = at_transaction(move |peer, request| {
                *counted.lock().unwrap() += 1;
                peer.reply(&request, json!([{ "rows": rows }]))?;
                peer.next().map(drop)
            });
            let error = Client::new(limited(&fake)).unwrap().select("Thing", []).await.unwrap_err();
            assert!(matches!(error, Error::NoReply { .. }), "{error}");
            assert!(chain(&error).contains(expected), "{}", chain(&error));
            assert_eq!(*reads.lock().unwrap(), 1);
        }
        let count = at_transaction(|peer, request| peer.reply(&request, json!([{ "count": -1 }])));
        let deletion = Transaction::new().with(Operation::delete("Thing", []));
        assert!(matches!(
            unknown(Client::new(limited(&count)).unwrap().transact(&deletion).await),
            ConnectionError::Nonsense { .. }
        ));
    });
}

#[test]
fn replies_come_in_any_order_and_the_server_s_own_requests_are_answered() {
    runtime().block_on(async {
        let (sender, answers) = mpsc::channel();
        let fake = Fake::start(move |_, peer| {
            peer.welcome()?;
            let requests = [peer.expect("transact")?, peer.expect("transact")?, peer.expect("transact")?];
            peer.notify("stolen", &json!(["lock"]))?;
            peer.notify("something_new", &json!({ "a": 1 }))?;
            peer.notify("update", &json!([12345, {}]))?;
            for (id, method) in [(json!("echo"), "echo"), (json!([1]), "please")] {
                peer.send(json!({ "id": id, "method": method, "params": ["hello"] }).to_string())?;
                let answer = peer.message()?;
                let _ = sender.send(answer);
            }
            for request in requests.iter().rev() {
                let count = request.parameters[1]["comment"].as_str().map_or(0, str::len);
                peer.reply(request, json!([{}, { "count": count }]))?;
            }
            peer.next().map(drop)
        });
        let client = Client::new(limited(&fake)).unwrap();
        let count = async |comment: &str| {
            let comment = Operation::Comment { comment: comment.to_owned() };
            let transaction = Transaction::new().with(comment).with(Operation::delete("Thing", []));
            client.transact(&transaction).await.unwrap().count(1)
        };
        let counts = tokio::join!(count("a"), count("bb"), count("ccc"));
        assert_eq!(counts, (Some(1), Some(2), Some(3)));
        let echo = answers.recv().unwrap();
        assert_eq!(echo, json!({ "id": "echo", "result": ["hello"], "error": null }));
        assert_eq!(answers.recv().unwrap()["error"], "unknown method");
    });
}

/// The row of a thing in an update.
fn row(name: &str) -> Json {
    json!({ "name": name })
}

async fn monitor(fake: &Fake) -> Result<Monitor, Error> {
    let client = Client::new(limited(fake)).unwrap();
    client.monitor(MonitorRequest::default().with("Thing", &["name"])).await
}

async fn names(monitor: &mut Monitor) -> Vec<String> {
    let changes = tokio::time::timeout(Duration::from_secs(10), monitor.next()).await.unwrap().unwrap();
    assert!(!changes.changes.is_empty());
    let rows = monitor.contents()["Thing"].values();
    rows.map(|row| row.get("name").unwrap().as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_older_server_s_monitors_are_used() {
    runtime().block_on(async {
        let fake = Fake::start(|_, peer| {
            peer.welcome()?;
            for method in ["monitor_cond_since", "monitor_cond"] {
                let request = peer.expect(method)?;
                peer.refuse(&request, "unknown method")?;
            }
            let request = peer.expect("monitor")?;
            assert_eq!(request.parameters[2], json!({ "Thing": [{ "columns": ["name"] }] }));
            peer.reply(&request, json!({ "Thing": { uuid(1).to_string(): { "new": row("a") } } }))?;
            let rows = json!({
                uuid(1).to_string(): { "old": row("a"), "new": row("A") },
                uuid(2).to_string(): { "new": row("b") },
            });
            peer.notify("update", &json!([request.parameters[1], { "Thing": rows }]))?;
            let gone = json!({ "Thing": { uuid(1).to_string(): { "old": row("A") } } });
            peer.notify("update", &json!([request.parameters[1], gone]))?;
            peer.next().map(drop)
        });
        let mut monitor = monitor(&fake).await.unwrap();
        assert_eq!(monitor.contents()["Thing"].len(), 1);
        assert_eq!(names(&mut monitor).await, ["A", "b"]);
        assert_eq!(names(&mut monitor).await, ["b"]);
        let error = monitor.change_conditions([("Thing".to_owned(), vec![])].into()).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");

        let request = MonitorRequest::default().with_conditions("Thing", &[], vec![Condition::uuid(uuid(1))]);
        let error = Client::new(limited(&fake)).unwrap().monitor(request).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    });
}

#[test]
fn a_monitor_is_resumed_from_the_last_transaction() {
    runtime().block_on(async {
        let last = |number: u128| json!(uuid(number));
        let insert = |number: u128, name: &str| {
            json!({ "Thing": { uuid(number).to_string(): { "insert": row(name) } } })
        };
        let fake = Fake::start(move |number, peer| {
            peer.welcome()?;
            let request = peer.expect("monitor_cond_since")?;
            let monitor = request.parameters[1].clone();
            if number == 0 {
                assert_eq!(request.parameters[3], json!(uuid::Uuid::nil()));
                peer.reply(&request, json!([false, last(100), insert(1, "a")]))?;
                peer.notify("update3", &json!([monitor, last(101), insert(2, "b")]))?;
                std::thread::sleep(Duration::from_millis(50));
                return Ok(());
            }
            assert_eq!(request.parameters[3], last(101));
            peer.reply(&request, json!([true, last(102), insert(3, "c")]))?;
            peer.next().map(drop)
        });
        let mut monitor = monitor(&fake).await.unwrap();
        assert_eq!(names(&mut monitor).await, ["a", "b"]);
        assert_eq!(monitor.last_transaction(), Some(uuid(101)));
        assert_eq!(names(&mut monitor).await, ["a", "b", "c"]);
        assert_eq!(monitor.last_transaction(), Some(uuid(102)));
    });
}

#[test]
fn wrong_updates_are_an_error_and_everything_is_read_again() {
    let one = |uuid: &str, update: Json| json!({ "Thing": { uuid: update } });
    let unknown = uuid(9).to_string();
    let updates = [
        (json!(5), "an update is no object"),
        (json!({ "Part": {} }), "Part is not monitored"),
        (json!({ "Else": {} }), "the schema has no table Else"),
        (one("x", json!({})), "`x` is no uuid"),
        (one(&unknown, json!(5)), "an update is no object"),
        (one(&unknown, json!({})), "is not of one kind"),
        (one(&unknown, json!({ "changed": {} })), "`changed` is no kind of update"),
        (one(&unknown, json!({ "modify": {} })), "is not known"),
        (one(&unknown, json!({ "insert": { "name": 5 } })), "string is expected, not 5"),
        (one(&unknown, json!({ "insert": [] })), "a row of the table Thing is no object"),
    ];
    runtime().block_on(async {
        for (update, expected) in updates {
            let fake = Fake::start(move |number, peer| {
                peer.welcome()?;
                let request = peer.expect("monitor_cond_since")?;
                assert_eq!(request.parameters[3], json!(uuid::Uuid::nil()), "all is read");
                let name = if number == 0 { "a" } else { "b" };
                let first = json!({ "Thing": { uuid(1).to_string(): { "initial": row(name) } } });
                peer.reply(&request, json!([false, uuid(100), first]))?;
                if number == 0 {
                    peer.notify("update3", &json!([request.parameters[1], uuid(101), update]))?;
                }
                peer.next().map(drop)
            });
            let mut monitor = monitor(&fake).await.unwrap();
            let error = monitor.next().await.unwrap_err();
            assert!(chain(&error).contains(expected), "{}", chain(&error));
            let expected = Row::default().with("name", "a");
            assert_eq!(*monitor.contents()["Thing"][&uuid(1)], expected, "the contents stay as they were");
            assert_eq!(names(&mut monitor).await, ["b"]);
        }
        let fake = Fake::start(|_, peer| {
            peer.welcome()?;
            let request = peer.expect("monitor_cond_since")?;
            peer.reply(&request, json!([1, 2]))?;
            peer.next().map(drop)
        });
        let error = monitor(&fake).await.unwrap_err();
        assert!(chain(&error).contains("no reply to monitor_cond_since"), "{}", chain(&error));
    });
}

#[test]
fn updates_that_nobody_reads_are_dropped_and_read_again_later() {
    runtime().block_on(async {
        let (sender, flooded) = mpsc::channel();
        let fake = Fake::start(move |_, peer| {
            peer.welcome()?;
            let request = peer.expect("monitor_cond_since")?;
            let name = "x".repeat(1000);
            let rows = |name: &str| json!({ "Thing": { uuid(1).to_string(): { "insert": row(name) } } });
            peer.reply(&request, json!([false, uuid(100), rows("first")]))?;
            for number in 0..300 {
                let update = rows(&format!("{number} {name}"));
                peer.notify("update3", &json!([request.parameters[1], uuid(101), update]))?;
            }
            let request = peer.expect("transact")?;
            peer.reply(&request, json!([{ "count": 0 }]))?;
            let _ = sender.send(());
            peer.expect("monitor_cancel")?;
            let request = peer.expect("monitor_cond_since")?;
            peer.reply(&request, json!([false, uuid(400), rows("last")]))?;
            peer.next().map(drop)
        });
        let client = Client::new(limited(&fake)).unwrap();
        let mut monitor = client.monitor(MonitorRequest::default().with("Thing", &["name"])).await.unwrap();
        // The same connection, after the updates.
        client.transact(&Transaction::new().with(Operation::delete("Thing", []))).await.unwrap();
        flooded.recv().unwrap();
        let mut read = 0;
        while names(&mut monitor).await != ["last"] {
            read += 1;
        }
        assert!((1..100).contains(&read), "{read}");
    });
}
