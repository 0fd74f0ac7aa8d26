//! The speed of the embedded API, compared with measurements of the real servers.
//!
//! `cargo bench -p midoform --bench serve`. Server and clients share the machine, as they did when the real ones were
//! measured on two cores. Each figure is the median of five runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints, and one that can't go on has failed"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use midoform_testutil::http::Connection;

const JSON: &str = "application/json";
const RUNS: usize = 5;
const RUN: Duration = Duration::from_millis(700);

/// The measurements of the real servers in the recordings' notes: creations over 1, 2 and 32 connections, reads over 1 and 8.
const REAL_5_8: &str = "5.8: 147 (1), 183 (2), 183 (32); reads 265 (1), 484 (8)";
const REAL_1_7: &str = "1.7: 271 (1), 388 (2), 800 (32)";

struct Served {
    child: Child,
    address: SocketAddr,
    /// The type of ports in this version: 1.7 has another form for plain JSON.
    port: &'static str,
    _stderr: BufReader<ChildStderr>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(version: &str, state: Option<&str>) -> Served {
        let mut command = Command::new(env!("CARGO_BIN_EXE_midoform"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--version", version]).stderr(Stdio::piped());
        if let Some(state) = state {
            command.args(["--state-dir", state]);
        }
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.split("://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        let port = match version {
            "1.7" => "application/vnd.org.midonet.Port-v2+json",
            _ => "application/vnd.org.midonet.Port-v3+json",
        };
        Served { child, address, port, _stderr: stderr }
    }

    /// Returns resident memory and its highest mark, in MB.
    fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kilobytes = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (kilobytes("VmRSS:") / 1000, kilobytes("VmHWM:") / 1000)
    }

    /// Makes a bridge; its path.
    fn bridge(&self) -> String {
        let mut connection = Connection::open(self.address).unwrap();
        let body = r#"{"name": "b", "tenantId": "t"}"#;
        let made = connection.send("POST", "/midonet-api/bridges", JSON, body).unwrap();
        assert_eq!(made.status, 201);
        format!("/midonet-api{}", made.location.split("/midonet-api").nth(1).unwrap())
    }
}

/// Requests a second over so many connections, each with a path of its own.
fn rate(served: &Served, connections: usize, method: &str, path: impl Fn() -> String, wanted: u16) -> f64 {
    let mut rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            let count: usize = std::thread::scope(|scope| {
                let clients: Vec<_> = (0..connections)
                    .map(|_| {
                        let path = path();
                        scope.spawn(move || {
                            let mut connection = Connection::open(served.address).unwrap();
                            let mut count = 0;
                            while started.elapsed() < RUN {
                                let body = if method == "POST" { r#"{"type": "Bridge"}"# } else { "" };
                                let answer = connection.send(method, &path, served.port, body).unwrap();
                                assert_eq!(answer.status, wanted, "{}", answer.body);
                                count += 1;
                            }
                            count
                        })
                    })
                    .collect();
                clients.into_iter().map(|client| client.join().unwrap()).sum()
            });
            count as f64 / started.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[RUNS / 2]
}

fn creations_and_reads() {
    println!("creations a second, by connections (each makes bridge ports):");
    println!("  {:<26}{:>9}{:>9}{:>9}{:>9}", "", 1, 2, 8, 32);
    for (version, kept) in [("5.8", false), ("5.8", true), ("1.7", false), ("1.7", true)] {
        let folder = tempfile();
        let served = Served::start(version, kept.then_some(folder.as_str()));
        let path = || format!("{}/ports", served.bridge());
        let rates: Vec<f64> =
            [1, 2, 8, 32].iter().map(|count| rate(&served, *count, "POST", path, 201)).collect();
        let name = format!("{version}, {}", if kept { "with --state-dir" } else { "in memory" });
        println!("  {name:<26}{:>9.0}{:>9.0}{:>9.0}{:>9.0}", rates[0], rates[1], rates[2], rates[3]);
        drop(served);
        let _ = fs::remove_dir_all(folder);
    }
    let served = Served::start("5.8", None);
    let bridge = served.bridge();
    let mut connection = Connection::open(served.address).unwrap();
    let made = connection.send("POST", &format!("{bridge}/ports"), JSON, r#"{"type": "Bridge"}"#).unwrap();
    let port = format!("/midonet-api{}", made.location.split("/midonet-api").nth(1).unwrap());
    let rates: Vec<f64> =
        [1, 2, 8, 32].iter().map(|count| rate(&served, *count, "GET", || port.clone(), 200)).collect();
    println!(
        "  {:<26}{:>9.0}{:>9.0}{:>9.0}{:>9.0}",
        "5.8, reads of a port", rates[0], rates[1], rates[2], rates[3]
    );
    println!("  the real servers: {REAL_5_8}");
    println!("                    {REAL_1_7}");
}

fn many_ports() {
    let served = Served::start("5.8", None);
    let empty = served.memory().0;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let path = format!("{}/ports", served.bridge());
                let mut connection = Connection::open(served.address).unwrap();
                for _ in 0..12_500 {
                    let made = connection.send("POST", &path, JSON, r#"{"type": "Bridge"}"#).unwrap();
                    assert_eq!(made.status, 201);
                }
            });
        }
    });
    let (held, _) = served.memory();
    let started = Instant::now();
    let mut connection = Connection::open(served.address).unwrap();
    let list = connection
        .send("GET", "/midonet-api/ports", "application/vnd.org.midonet.collection.Port-v3+json", "")
        .unwrap();
    let took = started.elapsed();
    let (_, highest) = served.memory();
    assert_eq!(list.body.matches("\"tunnelKey\"").count(), 100_000);
    println!("100,000 ports: {held} MB (an empty server: {empty} MB)");
    println!(
        "  GET /ports: {:.1} MB in {:.2} s; the highest mark of memory after it: {highest} MB",
        list.body.len() as f64 / 1e6,
        took.as_secs_f64()
    );
    println!("  the real 5.8: 2.9 MB (4,400 ports) in 0.37 s");
}

fn tempfile() -> String {
    let folder = std::env::temp_dir().join(format!("midoform-bench-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder.to_str().unwrap().to_owned()
}

fn main() {
    // `cargo test --benches` runs it with an argument of its own: then it only has to work.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    many_ports();
    creations_and_reads();
}
