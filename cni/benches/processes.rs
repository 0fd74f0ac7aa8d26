//! ADD and DEL as whole processes, as a runtime starts them, beside `bridge` with `host-local` in the same run: alone and
//! ten at once, on both stores, against an API that replies at once and one that takes 2 ms a call.
//!
//! Then the other goals: start-up, the binary's size, memory, a pod's plan.
//!
//! `cargo bench -p midonet-cni`, as root. Namespaces are made and removed outside the timed part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    reason = "a benchmark that can't go on has failed; it uses a part of the tests' laboratory"
)]

#[path = "../tests/lab.rs"]
mod lab;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Container, DIALECTS, Lab};
use midoform_compiler::midonet;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::lower::pod;
use midoform_compiler::midonet::lower::pod::Pod;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::topology::observed::Observed;
use serde_json::{Value, json};

const PLUGIN: &str = env!("CARGO_BIN_EXE_midonet-cni");

/// Attachments that are timed alone.
const ALONE: usize = 100;
/// Rounds of ten at once.
const ROUNDS: usize = 10;

/// A plugin that is timed.
struct Subject {
    name: &'static str,
    binary: String,
    config: Value,
    lab: Lab,
}

impl Subject {
    /// Runs a verb for all containers at once. Returns the time that all of them took, and the time of each.
    fn all(&self, verb: &str, containers: &[Container]) -> (Duration, Vec<Duration>) {
        let text = self.config.to_string();
        let started = Instant::now();
        let threads: Vec<Duration> = std::thread::scope(|scope| {
            let run = |container| {
                let text = &text;
                scope.spawn(move || {
                    let started = Instant::now();
                    let mut command = Command::new(&self.binary);
                    self.lab.environment(&mut command, verb, container);
                    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                    let mut child = command.spawn().unwrap();
                    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
                    let output = child.wait_with_output().unwrap();
                    let took = started.elapsed();
                    assert!(output.status.success(), "{}: {output:?}", self.name);
                    took
                })
            };
            let threads: Vec<_> = containers.iter().map(run).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        (started.elapsed(), threads)
    }
}

impl Subject {
    /// Returns the most memory that an ADD used, in kilobytes, as the kernel reports it while it runs.
    fn memory(&self) -> u64 {
        let most = |verb: &str, container: &Container| {
            let mut command = Command::new(&self.binary);
            self.lab.environment(&mut command, verb, container);
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(self.config.to_string().as_bytes()).unwrap();
            let mut most = 0;
            while child.try_wait().unwrap().is_none() {
                let status =
                    std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
                most = most.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
            }
            most
        };
        let run = |_| {
            let container = Container::new();
            most("ADD", &container).max(most("DEL", &container))
        };
        (0..10).map(run).max().unwrap_or(0)
    }
}

/// Measures how long the plan of one pod takes, as an ADD makes it.
fn plan_of_a_pod() -> Duration {
    let pod = Pod {
        tag: None,
        tenant: "acme",
        tenant_id: "acme",
        bridge: Reference::External("728b7ae5-72f5-5204-8873-8c113993005d".parse().unwrap()),
        container: &"c".repeat(64),
        interface: "eth0",
        host: lab::HOST.parse().unwrap(),
        host_interface: "vif0123456789ab",
        untagged: None,
        tied_to: None,
    };
    let times = (0..1000).map(|_| {
        let started = Instant::now();
        let plan = midonet::plan("lab", Dialect::V5, &pod::lower(&pod), &Observed::default());
        assert_eq!(plan.steps.len(), 2, "a port and its binding");
        started.elapsed()
    });
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}

fn subject(name: &'static str, lab: Lab, milliseconds: u64) -> Subject {
    let mut config = lab.config();
    config.as_object_mut().unwrap().remove("log_file");
    config["log_level"] = json!("error");
    let first = Container::new();
    let subject = Subject { name, binary: PLUGIN.to_owned(), config, lab };
    subject.all("ADD", std::slice::from_ref(&first));
    subject.all("DEL", std::slice::from_ref(&first));
    if milliseconds > 0 {
        let delay = json!({"fault": "delay", "milliseconds": milliseconds, "path": "/**", "times": 0});
        subject.lab.fault(&delay);
    }
    subject
}

/// Makes the reference: a Linux bridge and addresses in files.
fn bridge() -> Subject {
    let lab = Lab::new(DIALECTS[1]);
    let octet = 40 + std::process::id() % 50;
    let config = json!({
        "cniVersion": "1.0.0", "name": "bench", "type": "bridge", "bridge": format!("cb{octet}"), "isGateway": true,
        "ipam": {"type": "host-local", "dataDir": lab.path("ipam"), "subnet": format!("10.{octet}.0.0/16")},
    });
    Subject { name: "bridge + host-local", binary: "/usr/lib/cni/bridge".to_owned(), config, lab }
}

fn median(mut values: Vec<Duration>) -> f64 {
    values.sort();
    values.get(values.len() / 2).map_or(0.0, |value| value.as_secs_f64() * 1e3)
}

fn main() {
    if lab::skipped_without_root() || lab::skipped_without(&["/usr/lib/cni/bridge", "etcd"]) {
        return;
    }
    let dialect = DIALECTS[1];
    let subjects = [
        bridge(),
        subject("midonet-cni, embedded store", Lab::new(dialect), 0),
        subject("midonet-cni, etcd", Lab::new(dialect).on_etcd(), 0),
        subject("midonet-cni, embedded store, API 2 ms", Lab::new(dialect), 2),
        subject("midonet-cni, etcd, API 2 ms", Lab::new(dialect).on_etcd(), 2),
    ];
    let mut rows: Vec<[Vec<Duration>; 4]> = subjects.iter().map(|_| Default::default()).collect();
    // Turn by turn, so that the machine's load affects all subjects in the same way.
    for _ in 0..ALONE {
        for (subject, [adds, dels, ..]) in subjects.iter().zip(&mut rows) {
            let container = [Container::new()];
            adds.extend(subject.all("ADD", &container).1);
            dels.extend(subject.all("DEL", &container).1);
        }
    }
    for _ in 0..ROUNDS {
        for (subject, [.., adds, dels]) in subjects.iter().zip(&mut rows) {
            let containers: Vec<Container> = (0..10).map(|_| Container::new()).collect();
            adds.push(subject.all("ADD", &containers).0);
            dels.push(subject.all("DEL", &containers).0);
        }
    }
    println!("| | ADD | DEL | ten ADDs at once | ten DELs at once |\n|-|-|-|-|-|");
    let reference: Vec<f64> = rows.first().unwrap().iter().map(|values| median(values.clone())).collect();
    for (subject, row) in subjects.iter().zip(&rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&reference)
            .map(|(values, reference)| {
                let median = median(values.clone());
                format!("{median:.1} ms ({:.2})", median / reference)
            })
            .collect();
        println!("| {} | {} |", subject.name, cells.join(" | "));
    }
    let starts: Vec<Duration> = (0..50)
        .map(|_| {
            let started = Instant::now();
            assert!(Command::new(PLUGIN).arg("--version").output().unwrap().status.success());
            started.elapsed()
        })
        .collect();
    let size = std::fs::metadata(PLUGIN).unwrap().len();
    println!("\nstart-up (--version) {:.1} ms; binary {:.1} MB", median(starts), size as f64 / 1e6);
    for subject in subjects.iter().skip(1).take(2) {
        println!("{}: at most {:.1} MB of memory", subject.name, subject.memory() as f64 / 1e3);
    }
    println!("a pod's plan: {:.0} µs", plan_of_a_pod().as_secs_f64() * 1e6);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("load of the machine meanwhile: {}", load.split(' ').take(3).collect::<Vec<_>>().join(", "));
    let _ = Command::new("ip").args(["link", "del", &format!("cb{}", 40 + std::process::id() % 50)]).output();
}
