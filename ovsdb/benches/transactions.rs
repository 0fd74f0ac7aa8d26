//! The speed of transactions and reads on one real ovsdb-server, beside the same requests over a bare socket:
//! `cargo bench -p midoform-ovsdb --bench transactions`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a benchmark that can't go on has failed; what it shares with the tests is more than it needs"
)]

#[path = "../tests/support.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use midoform_ovsdb::{Client, Condition, MonitorRequest, Operation, Row, Settings, Transaction, Value};
use uuid::Uuid;

use support::{DATABASE, alone, runtime, settings};

/// The number of timed transactions of one row each.
const SMALL: u32 = 5_000;

/// The operations of one tenant, and the tenants of the large transaction.
const OPERATIONS: u32 = 28;
const TENANTS: u32 = 1_000;

/// Returns the operations of one tenant: a thing and its parts.
fn tenant(run: u32, number: u32) -> Vec<Operation> {
    // The server's hash of a uuid is its first 32 bits.
    let uuid = |part: u32| {
        let beginning = (run * TENANTS + number) * OPERATIONS + part;
        Uuid::from_u128(u128::from(beginning.wrapping_mul(0x9e37_79b1)) << 96 | u128::from(beginning))
    };
    let name = |part: u32| format!("{run}-{number}-{part}");
    let row = Row::default()
        .with("name", name(0))
        .with("options", Value::map([("midoform", name(0)), ("kind", "router".to_owned())]))
        .with("parts", Value::set((1..OPERATIONS).map(uuid)));
    let parts = (1..OPERATIONS).map(|part| {
        let row = Row::default()
            .with("name", format!("tenant {number}: ip4.src == 10.0.{part}.0/24 && tcp.dst == {part}"));
        Operation::insert("Part", uuid(part), row)
    });
    std::iter::once(Operation::insert("Thing", uuid(0), row)).chain(parts).collect()
}

/// Sends a transaction over a bare socket, and returns the time until its reply has come.
fn bare(socket: &mut UnixStream, transaction: &Transaction) -> Duration {
    let mut parameters = vec![serde_json::Value::from(DATABASE)];
    parameters
        .extend(transaction.operations().iter().map(|operation| serde_json::to_value(operation).unwrap()));
    let request = serde_json::json!({ "id": 1, "method": "transact", "params": parameters }).to_string();
    let started = Instant::now();
    socket.write_all(request.as_bytes()).unwrap();
    let mut decoder = midoform_ovsdb::Decoder::new(midoform_ovsdb::Limits::default());
    let mut part = vec![0; 1 << 16];
    loop {
        if let Some((reply, _)) = decoder.next_message().unwrap() {
            assert!(reply["error"].is_null());
            return started.elapsed();
        }
        let length = socket.read(&mut part).unwrap();
        decoder.push(&part[..length]);
    }
}

async fn timed(client: &Client, transaction: &Transaction) -> Duration {
    let started = Instant::now();
    client.transact(transaction).await.unwrap();
    started.elapsed()
}

async fn small(client: &Client) {
    let insert = |number: u32| {
        Transaction::from(tenant(9, number).into_iter().take(1).map(no_parts).collect::<Vec<_>>())
    };
    let started = Instant::now();
    for number in 0..SMALL {
        client.transact(&insert(number)).await.unwrap();
    }
    println!(
        "one row each, one after the other: {:.0} a second",
        f64::from(SMALL) / started.elapsed().as_secs_f64()
    );
    let started = Instant::now();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for number in (SMALL..2 * SMALL).filter(|number| number % 16 == task) {
                    client.transact(&insert(number)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!(
        "one row each, 16 at a time: {:.0} a second",
        f64::from(SMALL) / started.elapsed().as_secs_f64()
    );
}

fn no_parts(operation: Operation) -> Operation {
    match operation {
        Operation::Insert { table, uuid, uuid_name, mut row } => {
            row.remove("parts");
            Operation::Insert { table, uuid, uuid_name, row }
        }
        other => other,
    }
}

/// Returns the largest resident memory of this process so far, in MB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

fn main() {
    let Some(servers) = alone() else { return };
    let mut socket = UnixStream::connect(servers.unix(0).trim_start_matches("unix:"));
    while socket.is_err() {
        std::thread::sleep(Duration::from_millis(10));
        socket = UnixStream::connect(servers.unix(0).trim_start_matches("unix:"));
    }
    let mut socket = socket.unwrap();
    runtime().block_on(async {
        let timeout = Duration::from_secs(300);
        let client = Client::new(Settings { timeout, probe: None, ..settings(&servers.unix(0)) }).unwrap();
        let large = |run: u32| {
            Transaction::from((0..TENANTS).flat_map(|number| tenant(run, number)).collect::<Vec<_>>())
        };
        for run in 0..3 {
            let own = timed(&client, &large(2 * run)).await;
            let bare = bare(&mut socket, &large(2 * run + 1));
            println!("{} operations: {own:.2?}; over a bare socket {bare:.2?}", TENANTS * OPERATIONS);
        }
        let mut times = Vec::new();
        for number in 0..201 {
            times.push(timed(&client, &Transaction::from(tenant(6, number))).await);
        }
        times.sort_unstable();
        println!("{OPERATIONS} operations: {:.2?} (median of 201)", times[100]);
        println!("memory so far: {} MB", memory());
        let started = Instant::now();
        let rows = client.select("Part", []).await.unwrap().len();
        println!("a select of {rows} rows: {:.2?}; memory {} MB", started.elapsed(), memory());
        let started = Instant::now();
        let monitor =
            client.monitor(MonitorRequest::default().with_all("Part").with_all("Thing")).await.unwrap();
        let rows: usize = monitor.contents().values().map(std::collections::BTreeMap::len).sum();
        println!("a monitor of {rows} rows: {:.2?}; memory {} MB", started.elapsed(), memory());
        drop(monitor);
        client
            .transact(&Transaction::new().with(Operation::delete("Thing", [Condition::equal("flag", false)])))
            .await
            .unwrap();
        small(&client).await;
    });
}
