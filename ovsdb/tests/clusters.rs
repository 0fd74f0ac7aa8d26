//! A RAFT cluster whose leader is killed and paused under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use midoform_ovsdb::{
    Client, Condition, Error, ErrorCode, Member, Model, MonitorRequest, Operation, Row, Settings,
    Transaction, Value,
};
use midoform_testutil::ovsdb::Servers;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{chain, client, cluster, counted_thing, counter, runtime, settings, uuid};

/// The number of clients that change the database at a time.
const WORKERS: u128 = 4;

/// What a worker saw.
#[derive(Debug, Default)]
struct Seen {
    /// The things whose insertion was acknowledged, or that were found after an unknown outcome.
    inserted: Vec<Uuid>,
    unknown: u64,
    /// The number of insertions that a server reported as duplicates of themselves.
    repeated: u64,
    unreachable: u64,
}

/// Returns the index of the leader among the servers.
async fn leader(servers: &Servers) -> usize {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < Duration::from_secs(30), "the cluster has no leader");
        for at in 0..3 {
            let mut settings = settings(&servers.unix(at));
            (settings.member, settings.timeout) = (Member::Any, Duration::from_millis(300));
            let connected = Client::new(settings).unwrap().connect().await;
            if connected.is_ok_and(|connected| connected.server.is_some_and(|server| server.is_leader)) {
                return at;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn has_thing(client: &Client, thing: Uuid) -> bool {
    let found = client.select("Thing", [Condition::uuid(thing)]).await;
    !found.unwrap_or_else(|error| panic!("{}", chain(&error))).is_empty()
}

/// Inserts things until it is told to stop. A thing whose outcome is unknown is looked for, and inserted again if it is not there:
/// its own uuid lets only one of the two insertions succeed.
async fn work(client: Client, worker: u128, is_over: Arc<AtomicBool>, done: Arc<AtomicU64>) -> Seen {
    let mut seen = Seen::default();
    let mut number = worker * 1_000_000 + 100;
    while !is_over.load(Ordering::Relaxed) {
        let is_inserted = match client.transact(&counted_thing(number)).await {
            Ok(_) => true,
            Err(error @ Error::OutcomeUnknown { .. }) => {
                seen.unknown += 1;
                assert!(error.is_outcome_unknown());
                has_thing(&client, uuid(number)).await
            }
            Err(error) if error.code() == Some(ErrorCode::DuplicateUuid) => {
                seen.repeated += 1;
                assert!(has_thing(&client, uuid(number)).await, "{}", chain(&error));
                true
            }
            Err(Error::Unreachable { .. } | Error::NoReply { .. }) => {
                seen.unreachable += 1;
                false
            }
            Err(error) => panic!("{}", chain(&error)),
        };
        if is_inserted {
            seen.inserted.push(uuid(number));
            done.fetch_add(1, Ordering::Relaxed);
            number += 1;
        }
    }
    seen
}

/// Counts up until it is told to stop, and returns how often. An unknown outcome is resolved by looking; the `wait` lets only one of
/// two transactions with the same number succeed.
async fn count_up(client: Client, worker: u128, is_over: Arc<AtomicBool>, done: Arc<AtomicU64>) -> i64 {
    let counter = uuid(worker);
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let value = |value: i64| Row::default().with("value", value);
        let transaction = Transaction::from(vec![
            Operation::expect("Counter", counter, value(count)),
            Operation::update("Counter", [Condition::uuid(counter)], value(count + 1)),
        ]);
        let is_counted = match client.transact(&transaction).await {
            Ok(outcome) => outcome.count(1) == Some(1),
            // A server that lost the leadership may have executed the transaction twice: the second time it does not hold.
            Err(error) if error.is_outcome_unknown() || error.is_timed_out_wait() => {
                let found = client.select("Counter", [Condition::uuid(counter)]).await;
                let found = found.unwrap_or_else(|error| panic!("{}", chain(&error)));
                let value = found[0].get("value").and_then(Value::as_integer).unwrap();
                assert!((count..=count + 1).contains(&value), "{value} was found, {count} was counted");
                value > count
            }
            Err(Error::Unreachable { .. } | Error::NoReply { .. }) => false,
            Err(error) => panic!("{}", chain(&error)),
        };
        if is_counted {
            count += 1;
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    count
}

/// Waits until the clients have done this much more. Returns false if they have not within 25 s.
async fn goes_on(done: &AtomicU64, more: u64) -> bool {
    let (from, started) = (done.load(Ordering::Relaxed), Instant::now());
    while done.load(Ordering::Relaxed) < from + more {
        if started.elapsed() > Duration::from_secs(25) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

/// Waits until all members have joined the cluster: those that have not don't count for a majority.
async fn wait_for_members(servers: &Servers) {
    for at in 0..3 {
        let member = Client::new(Settings { member: Member::Any, ..settings(&servers.unix(at)) }).unwrap();
        member.connect().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }
}

/// Takes the leader away twice, by `take` and `give`. The others go on without it.
async fn without_leaders(
    servers: &Servers,
    done: &AtomicU64,
    take: impl Fn(&Servers, usize),
    give: impl Fn(&Servers, usize),
) {
    for _ in 0..2 {
        wait_for_members(servers).await;
        let gone = leader(servers).await;
        take(servers, gone);
        assert!(goes_on(done, 60).await, "without {gone} the load does not go on\n{}", servers.logs());
        give(servers, gone);
        assert!(goes_on(done, 60).await, "the load does not go on\n{}", servers.logs());
    }
}

/// Runs a load while `disturb` disturbs the servers, and checks that nothing was lost and nothing was done twice.
fn under_load(disturb: impl AsyncFnOnce(&Servers, &AtomicU64)) {
    let Some(servers) = cluster() else { return };
    runtime().block_on(async {
        let client = client(&servers.tcp()).with_timeout(Duration::from_secs(40));
        client.transact(&counter()).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let mut monitor = client.monitor(MonitorRequest::default().with("Thing", &["name"])).await.unwrap();
        let (is_over, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut workers = JoinSet::new();
        // The load notices soon that a leader is paused.
        let probe = Some(Duration::from_millis(500));
        let hasty = Settings { probe, connect_timeout: Duration::from_secs(1), ..settings(&servers.tcp()) };
        let hasty = Client::new(hasty).unwrap();
        let mut counting = JoinSet::new();
        for worker in 0..WORKERS {
            let row = Row::default().with("name", format!("counter {worker}"));
            let insertion = Operation::insert("Counter", uuid(10 + worker), row);
            client.transact(&Transaction::from(vec![insertion])).await.unwrap();
            let counted = count_up(hasty.clone(), 10 + worker, is_over.clone(), done.clone());
            counting.spawn(async move { (uuid(10 + worker), counted.await) });
            workers.spawn(work(hasty.clone(), worker, is_over.clone(), done.clone()));
        }
        assert!(goes_on(&done, 100).await, "the load does not begin");
        disturb(&servers, &done).await;
        is_over.store(true, Ordering::Relaxed);
        let seen = workers.join_all().await;

        let counters = counting.join_all().await;
        let both = Transaction::from(vec![Operation::select("Thing", []), Operation::select("Counter", [])]);
        let both = client.read(&both).await.unwrap();
        let found: BTreeSet<Uuid> = both.rows(0).iter().filter_map(Row::uuid).collect();
        for thing in seen.iter().flat_map(|seen| &seen.inserted) {
            assert!(found.contains(thing), "an acknowledged thing is lost");
        }
        let count = |counter: Uuid| {
            let row = both.rows(1).iter().find(|row| row.uuid() == Some(counter));
            row.and_then(|row| row.get("value")).and_then(Value::as_integer).unwrap()
        };
        for (counter, counted) in counters {
            assert_eq!(count(counter), counted, "each number was counted once");
        }
        let counted = count(uuid(0));
        assert_eq!(usize::try_from(counted).unwrap(), found.len(), "each thing was counted once: {seen:?}");
        let is_complete = async {
            while !monitor.contents().get("Thing").is_some_and(|things| things.keys().eq(&found)) {
                monitor.next().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
            }
        };
        tokio::time::timeout(Duration::from_secs(20), is_complete).await.expect("the monitor sees all");
        assert!(
            seen.iter().any(|seen| seen.unknown + seen.unreachable > 0),
            "the servers were disturbed: {seen:?}"
        );
    });
}

#[test]
fn the_leader_of_a_cluster_is_found() {
    let Some(servers) = cluster() else { return };
    runtime().block_on(async {
        let client = client(&servers.tcp());
        let connected = client.connect().await.unwrap();
        let server = connected.server.unwrap();
        assert!(
            server.is_leader && server.is_connected && server.cluster.is_some() && server.index.is_some()
        );
        assert_eq!(server.model, Model::Clustered);
        let leader = leader(&servers).await;
        assert_eq!(connected.remote.to_string(), format!("tcp:127.0.0.1:{}", servers.port(leader)));
        client.transact(&counter()).await.unwrap();

        // A follower can be read, and passes transactions on.
        let mut settings = settings(&servers.unix((leader + 1) % 3));
        settings.member = Member::Any;
        let follower = Client::new(settings).unwrap();
        follower.transact(&counted_thing(1)).await.unwrap();
        assert!(has_thing(&client, uuid(1)).await);
        assert!(has_thing(&follower, uuid(1)).await);
    });
}

#[test]
fn nothing_is_lost_or_done_twice_when_leaders_are_killed() {
    under_load(async |servers, done| without_leaders(servers, done, Servers::kill, Servers::run).await);
}

#[test]
fn nothing_is_lost_or_done_twice_when_leaders_are_paused() {
    under_load(async |servers, done| {
        let signal = |name: &'static str| move |servers: &Servers, at: usize| servers.signal(at, name);
        without_leaders(servers, done, signal("STOP"), signal("CONT")).await;
    });
}
