//! Changes of an applied network that are interrupted at every write: whatever the fault, one clean run ends with what the spec
//! says, and without a trace of the interrupted run. The faults take turns; with `MIDOFORM_EVERY_FAULT` each write meets all
//! of them.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};

use crate::MIDOFORM;
use crate::served::Served;

const BASE: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n\
    [[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap0\"\nmac = \"02:00:00:00:00:01\"\naddress = \"10.1.0.7\"\n";
const OPEN: &str = "[[rule]]\nname = \"open\"\nfrom = { world = true }\nto = { bridge = \"web\", tcp = 80 }\naction = \"accept\"\n";
const SHUT: &str =
    "[[rule]]\nname = \"shut\"\nfrom = { world = true }\nto = { bridge = \"web\" }\naction = \"drop\"\n";
const MORE: &str = "[[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n[[port]]\nname = \"box\"\nbridge = \"web\"\nhost = \"node1\"\n\
    interface = \"tap1\"\nmac = \"02:00:00:00:00:02\"\naddress = \"10.1.0.8\"\n";

const VERSIONS: [(&str, Dialect); 3] = [("1.7", Dialect::V1), ("5.0", Dialect::V5), ("5.8", Dialect::V5)];

/// The faults that a write meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KilledBefore,
    KilledAfter,
    ReplyLost,
    UnavailableAfter,
}

const FAULTS: [Fault; 4] =
    [Fault::KilledBefore, Fault::KilledAfter, Fault::ReplyLost, Fault::UnavailableAfter];

/// A change from one spec to another. Without an end, the tenant is destroyed.
#[derive(Clone)]
struct Transition {
    name: &'static str,
    before: Option<String>,
    after: Option<String>,
}

fn transitions() -> Vec<Transition> {
    let base = format!("{BASE}{OPEN}{SHUT}");
    let change = |name, after: Option<String>| Transition { name, before: Some(base.clone()), after };
    let renamed = base.replace("\"web\"", "\"front\"");
    let moved = "[[moved]]\nbridge = \"web\"\nto = \"front\"\n";
    vec![
        Transition { name: "a first apply", before: None, after: Some(base.clone()) },
        change("rules that change places", Some(format!("{BASE}{SHUT}{OPEN}"))),
        change("a new bridge and port", Some(format!("{base}{MORE}"))),
        Transition {
            name: "a bridge and port less",
            before: Some(format!("{base}{MORE}")),
            after: Some(base.clone()),
        },
        change("a renamed bridge", Some(format!("{renamed}{moved}"))),
        change("a destroy", None),
    ]
}

/// A server with the state before a change.
struct Lab {
    folder: TestFolder,
    served: Served,
    transition: Transition,
}

impl Lab {
    fn new((version, dialect): (&str, Dialect), transition: &Transition) -> Lab {
        let folder = TestFolder::default();
        let served = Served::with_node_and(&folder, dialect, version, &["--inspect", "--faults"]);
        let lab = Lab { folder, served, transition: transition.clone() };
        if let Some(before) = &transition.before {
            lab.folder.write("acme.toml", before);
            let _ = lab.folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
        }
        if let Some(after) = &transition.after {
            lab.folder.write("acme.toml", after);
        }
        lab
    }

    fn command(&self) -> Vec<&'static str> {
        match self.transition.after {
            Some(_) => vec!["apply", ".", "--yes", "--allow-mass-delete", "--quiet"],
            None => vec!["destroy", ".", "--yes", "--quiet"],
        }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> String {
        let mut connection = Connection::open(self.served.address).unwrap();
        connection.send(method, path, "application/json", body).unwrap().body
    }

    /// Returns the number of writes of each method that the server has seen.
    fn writes(&self) -> BTreeMap<&'static str, u64> {
        let page = self.send("GET", "/metrics", "");
        let of = |method: &'static str| {
            let is_of = |line: &&str| {
                line.starts_with("midonet_api_requests_total{")
                    && line.contains(&format!("method=\"{method}\""))
            };
            let counts = page.lines().filter(is_of).map(|line| line.rsplit(' ').next().unwrap());
            (method, counts.map(|count| count.parse::<u64>().unwrap()).sum())
        };
        ["POST", "PUT", "DELETE"].map(of).into()
    }

    /// Makes the change, which meets a fault at one of its writes.
    fn interrupted(&self, fault: Fault, method: &str, nth: u64) {
        let name = match fault {
            Fault::KilledBefore | Fault::KilledAfter => "delay",
            Fault::ReplyLost => "reset-after",
            Fault::UnavailableAfter => "unavailable-after",
        };
        let set = format!(
            "{{\"fault\": \"{name}\", \"method\": \"{method}\", \"path\": \"/**\", \"nth\": {nth}, \"milliseconds\": 120}}"
        );
        self.send("POST", "/_faults", &set);
        let mut command = self.folder.command(MIDOFORM, &self.command());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if name == "delay" {
            while child.try_wait().unwrap().is_none() {
                if self.send("GET", "/_faults", "").contains("\"struck\":1") {
                    let wait = if fault == Fault::KilledAfter { 130 } else { 0 };
                    std::thread::sleep(Duration::from_millis(wait));
                    let _ = child.kill();
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(140));
        }
        let _ = child.wait();
        self.send("DELETE", "/_faults", "");
    }

    fn finish(&self) -> Ran {
        self.folder.run(MIDOFORM, &self.command())
    }
}

fn converges(
    version: (&str, Dialect),
    transition: &Transition,
    point: (Fault, &str, u64),
    wanted: &BTreeMap<String, usize>,
) {
    let (fault, method, nth) = point;
    let lab = Lab::new(version, transition);
    lab.interrupted(fault, method, nth);
    let what = format!("{} on {}: {fault:?} at {method} {nth}", transition.name, version.0);
    let lost = transition.before.is_none() && nth.is_multiple_of(2);
    if lost {
        let _ = std::fs::remove_file(lab.folder.path().join("midoform.lock"));
    }
    let ran = lab.finish();
    assert_eq!(ran.code, 0, "{what}: {}{}", ran.stdout, ran.stderr);
    assert_eq!(lab.served.counts(), *wanted, "{what} (lock file lost: {lost})");
    if transition.after.is_some() {
        let ran = lab.folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode"]);
        assert_eq!(ran.code, 0, "{what}: {}{}", ran.stdout, ran.stderr);
    }
}

fn every_write(version: (&'static str, Dialect)) {
    let all = std::env::var_os("MIDOFORM_EVERY_FAULT").is_some();
    for transition in transitions() {
        let clean = Lab::new(version, &transition);
        let before = clean.writes();
        let _ = clean.finish().expect_code(0);
        let wanted = clean.served.counts();
        let writes = clean.writes().into_iter().map(|(method, count)| (method, count - before[method]));
        let points = writes.flat_map(|(method, count)| (1..=count).map(move |nth| (method, nth)));
        let faults = |(at, (method, nth)): (usize, (&'static str, u64))| {
            let taken =
                FAULTS.into_iter().enumerate().filter(move |(turn, _)| all || at % FAULTS.len() == *turn);
            taken.map(move |(_, fault)| (fault, method, nth))
        };
        let points: Vec<(Fault, &str, u64)> = points.enumerate().flat_map(faults).collect();
        assert!(!points.is_empty(), "{}", transition.name);
        std::thread::scope(|scope| {
            for share in points.chunks(points.len().div_ceil(4)) {
                let (transition, wanted) = (&transition, &wanted);
                scope.spawn(move || {
                    share.iter().for_each(|point| converges(version, transition, *point, wanted))
                });
            }
        });
    }
}

#[test]
fn every_write_on_1_7() {
    every_write(VERSIONS[0]);
}

#[test]
fn every_write_on_5_0() {
    every_write(VERSIONS[1]);
}

#[test]
fn every_write_on_5_8() {
    every_write(VERSIONS[2]);
}
