//! The speed of claims on one real etcd, by one client and by 32 at once, compared with the algorithm of the Go plugin:
//! `cargo bench -p midoform-store --bench claims`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unused_macros,
    unused_imports,
    reason = "a benchmark that can't go on has failed; what it shares with the tests is more than it needs"
)]

#[path = "../tests/etcd.rs"]
mod etcd;
#[path = "../tests/support.rs"]
mod support;

use std::time::{Duration, Instant};

use midoform_store::ipam::{Attachment, Ipam};
use midoform_store::record::Held;
use midoform_store::{Commit, Range, SharedStore, Transaction, get, read_one};

use midoform_testutil::etcd::Cluster;
use support::{ask, attached, bridge, publish, tenant};

const CLIENTS: usize = 32;

/// The number of timed calls of each kind.
const CLAIMS: usize = 8_000;
const OLD_CLAIMS: usize = 320;

/// The calls of one client: their times, and the results.
type Done<T> = (Vec<Duration>, Vec<T>);

/// Prints the result of all clients.
fn print<T>(what: &str, done: Vec<Done<T>>, took: Duration) -> Vec<Vec<T>> {
    let (times, held): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{what}: {:.0} a second; {:.2} ms (median), {:.2} ms (99 %), {} in all",
        times.len() as f64 / took.as_secs_f64(),
        at(50),
        at(99),
        times.len()
    );
    held
}

async fn join<T: 'static>(clients: Vec<tokio::task::JoinHandle<Done<T>>>) -> Vec<Done<T>> {
    let mut done = Vec::new();
    for client in clients {
        done.push(client.await.unwrap());
    }
    done
}

async fn claim(pods: Ipam, client: usize, claims: usize) -> Done<Held<Attachment>> {
    let (mut times, mut held) = (Vec::new(), Vec::new());
    for number in 0..claims {
        let started = Instant::now();
        held.push(attached(&pods, &ask("acme", format!("{client}-{number}"))).await);
        times.push(started.elapsed());
    }
    (times, held)
}

async fn release(pods: Ipam, all: Vec<Held<Attachment>>) -> Done<()> {
    let mut times = Vec::new();
    for held in all {
        let started = Instant::now();
        pods.release(&held).await.unwrap();
        times.push(started.elapsed());
    }
    (times, Vec::new())
}

async fn midoform(cluster: &Cluster, clients: usize, claims: usize) {
    let prefix = format!("/bench/{clients}/");
    let store = etcd::store_of(cluster, &prefix).await;
    publish(&store, &tenant("acme", vec![bridge("web", "10.0.0.0/18")])).await;
    let mut all = Vec::new();
    for _ in 0..clients {
        all.push(Ipam::new(etcd::store_of(cluster, &prefix).await));
    }
    let started = Instant::now();
    let running = all.iter().enumerate().map(|(at, pods)| tokio::spawn(claim(pods.clone(), at, claims)));
    let done = join(running.collect()).await;
    let held = print(&format!("claims, {clients} clients"), done, started.elapsed());
    let started = Instant::now();
    let running = all.into_iter().zip(held).map(|(pods, held)| tokio::spawn(release(pods, held)));
    let done = join(running.collect()).await;
    print(&format!("releases, {clients} clients"), done, started.elapsed());
}

async fn put(store: &SharedStore, key: &str, value: &str) {
    store.commit(&Transaction::default().put(key, value)).await.unwrap();
}

/// Fills the Go plugin's pool as `predecessor.md` describes it: a key for each free address, one write each.
async fn old_pool(store: &SharedStore) {
    let started = Instant::now();
    for last in 1..=254 {
        put(store, &format!("ip/pod/t/available/192.168.0.{last}"), &format!("192.168.0.{last}/24")).await;
    }
    put(store, "ip/pod/t/available/iprange", "192.168.0.0/24").await;
    println!("the Go plugin's way, a pool: 255 writes, {:.0} ms", started.elapsed().as_secs_f64() * 1000.0);
}

/// Takes a lock with a time limit, reads all free addresses, deletes one, writes its holder, releases the lock.
async fn old_claim(store: &SharedStore, container: &str) -> String {
    let lease = store.grant(Duration::from_secs(10)).await.unwrap();
    let lock =
        Transaction::default().when_absent("ip/pod/t/lock").put_leased("ip/pod/t/lock", container, lease);
    while store.commit(&lock).await.unwrap() == Commit::Conflict {
        while get(&**store, "ip/pod/t/lock").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let free = read_one(&**store, Range::prefix("ip/pod/t/available/1")).await.unwrap();
    let key = &free.first().expect("the pool is empty").key;
    store.commit(&Transaction::default().delete(key)).await.unwrap();
    put(store, &format!("ip/pod/t/{container}"), key).await;
    store.revoke(lease).await.unwrap();
    key.clone()
}

async fn old_client(store: SharedStore, client: usize, claims: usize) -> Done<()> {
    let mut times = Vec::new();
    for number in 0..claims {
        let started = Instant::now();
        let key = old_claim(&store, &format!("{client}-{number}")).await;
        times.push(started.elapsed());
        // Freed at once, or the pool would soon be empty.
        put(&store, &key, "").await;
    }
    (times, Vec::new())
}

async fn go_plugin(cluster: &Cluster, clients: usize, claims: usize) {
    let prefix = format!("/bench/old/{clients}/");
    let store = etcd::store_of(cluster, &prefix).await;
    old_pool(&store).await;
    let mut all = Vec::new();
    for _ in 0..clients {
        all.push(etcd::store_of(cluster, &prefix).await);
    }
    let started = Instant::now();
    let running = all.into_iter().enumerate().map(|(at, store)| tokio::spawn(old_client(store, at, claims)));
    let done = join(running.collect()).await;
    print(&format!("the Go plugin's way, claims, {clients} clients"), done, started.elapsed());
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(", ")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let Some(cluster) = Cluster::start(1) else {
        println!("etcd is not installed (etcd-server)");
        return;
    };
    println!("load before: {}", load());
    midoform(&cluster, 1, CLAIMS / 16).await;
    midoform(&cluster, CLIENTS, CLAIMS / CLIENTS).await;
    go_plugin(&cluster, 1, OLD_CLAIMS / 4).await;
    go_plugin(&cluster, CLIENTS, OLD_CLAIMS / CLIENTS).await;
    println!("load after: {}", load());
}
