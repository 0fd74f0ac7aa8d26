//! An apply through every fault at every single call: it ends with what is wanted, without a duplicate, and the next one
//! has nothing to do.

use std::collections::BTreeMap;

use midoform_testutil::http::Connection;
use midoform_testutil::{Ran, TestFolder};

use crate::MIDOFORM;
use crate::served::Served;

const SITE: &str =
    "name = \"t\"\n[midonet]\nurl = \"http://127.0.0.1:1/\"\nversion = DIALECT\nmanaged = true\n";
/// Something of every kind that a tenant has.
const TENANT: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.1.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.2.0.0/24\"\n\
    [[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 80 }\naction = \"drop\"\n";

fn project(dialect: &str) -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE.replace("DIALECT", dialect));
    folder.write("acme.toml", TENANT);
    folder
}

fn apply(folder: &TestFolder, served: &Served, more: &[&str]) -> Ran {
    let url = served.url();
    folder.run(MIDOFORM, &[&["apply", ".", "--yes", "--json", "--api", &url], more].concat())
}

/// Returns the number of objects of each kind.
fn counts(served: &Served) -> BTreeMap<String, usize> {
    let body = Connection::open(served.address).unwrap().send("GET", "/_topology", "*/*", "").unwrap().body;
    let all: serde_json::Value = serde_json::from_str(&body).unwrap();
    let kinds = all["objects"].as_object().unwrap();
    kinds.iter().map(|(kind, objects)| (kind.clone(), objects.as_array().unwrap().len())).collect()
}

fn number(ran: &Ran, field: &str) -> u64 {
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    report[field].as_u64().unwrap_or_else(|| panic!("{field} in {}", ran.stdout))
}

fn every_fault_at_every_call(version: &str, dialect: &str, faults: &[&str]) {
    let clean = project(dialect);
    let served = Served::start(&clean, &["--version", version, "--inspect"])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let calls = number(&apply(&clean, &served, &[]).expect_code(0), "calls");
    let wanted = counts(&served);
    // Most of the time is waiting: several at a time.
    let cases: Vec<(&str, u64)> =
        faults.iter().flat_map(|fault| (1..=calls).map(move |nth| (*fault, nth))).collect();
    std::thread::scope(|scope| {
        for share in cases.chunks(cases.len().div_ceil(6)) {
            let wanted = &wanted;
            scope.spawn(move || {
                share.iter().for_each(|(fault, nth)| one_fault(version, dialect, fault, *nth, wanted))
            });
        }
    });
}

fn one_fault(version: &str, dialect: &str, fault: &str, nth: u64, wanted: &BTreeMap<String, usize>) {
    let folder = project(dialect);
    let served = Served::start(&folder, &["--version", version, "--inspect", "--faults"])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let set = format!("{{\"fault\": \"{fault}\", \"nth\": {nth}, \"milliseconds\": 20}}");
    let set = Connection::open(served.address).unwrap().send("POST", "/_faults", "application/json", &set);
    assert_eq!(set.unwrap().status, 201);
    let what = format!("{fault} at call {nth} on {version}");
    let timeout: &[&str] = if fault == "stalled-body" { &["--timeout", "1"] } else { &[] };
    let first = apply(&folder, &served, timeout);
    assert_eq!(first.code, 0, "{what}: {} {}", first.stdout, first.stderr);
    assert_eq!(counts(&served), *wanted, "{what}");
    let again = apply(&folder, &served, &[]).expect_code(0);
    assert_eq!(number(&again, "left"), 0, "{what}: {}", again.stdout);
    // Also when nobody remembers what the server chose.
    std::fs::remove_file(folder.path().join("midoform.lock")).unwrap();
    let again = apply(&folder, &served, &[]).expect_code(0);
    assert_eq!(number(&again, "left"), 0, "{what}, with the lock file lost: {}", again.stdout);
    assert_eq!(counts(&served), *wanted, "{what}");
}

const UNCERTAIN: &[&str] = &["unavailable-after", "reset-after", "truncated-body"];
const CERTAIN: &[&str] = &["delay", "unavailable-before", "reset-before", "internal-error"];

#[test]
fn lost_responses_on_1_7() {
    every_fault_at_every_call("1.7", "1", UNCERTAIN);
}

#[test]
fn lost_responses_on_5_0() {
    every_fault_at_every_call("5.0", "5", UNCERTAIN);
}

#[test]
fn lost_responses_on_5_8() {
    every_fault_at_every_call("5.8", "5", UNCERTAIN);
}

#[test]
fn stalled_responses_on_1_7_and_5_8() {
    every_fault_at_every_call("1.7", "1", &["stalled-body"]);
    every_fault_at_every_call("5.8", "5", &["stalled-body"]);
}

#[test]
fn turned_away_on_1_7() {
    every_fault_at_every_call("1.7", "1", CERTAIN);
}

#[test]
fn turned_away_on_5_8() {
    every_fault_at_every_call("5.8", "5", CERTAIN);
}

#[test]
fn dead_tokens_are_renewed() {
    let folder = project("5");
    folder.write(
        "users.txt",
        "[[user]]\nname = \"admin\"\npassword = \"secret\"\ntenants = { admin = [\"admin\"] }\n",
    );
    let arguments = ["--auth", "basic", "--users", "users.txt", "--faults", "--inspect"];
    let run = |served: &Served| {
        let url = served.url();
        let mut command = folder.command(MIDOFORM, &["apply", ".", "--yes", "--json", "--api", &url]);
        command.env("MIDONET_USERNAME", "admin").env("MIDONET_PASSWORD", "secret");
        Ran::from(command.output().unwrap())
    };
    let start = || Served::start(&folder, &arguments).unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let clean = start();
    let calls = number(&run(&clean).expect_code(0), "calls");
    let wanted = counts(&clean);
    for nth in 1..=calls {
        let served = start();
        let set = format!("{{\"fault\": \"token-dies\", \"nth\": {nth}}}");
        Connection::open(served.address).unwrap().send("POST", "/_faults", "application/json", &set).unwrap();
        let _ = run(&served).expect_code(0);
        assert_eq!(counts(&served), wanted, "token dies at call {nth}");
    }
}

/// Kills an apply at every call. A killed process leaves a part of a plan, and perhaps a call that nobody waits for.
fn killed_at_every_call(version: &str, dialect: &str) {
    let clean = project(dialect);
    let served = Served::start(&clean, &["--version", version, "--inspect"])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr));
    let calls = number(&apply(&clean, &served, &[]).expect_code(0), "calls");
    let wanted = counts(&served);
    let one = |nth: u64| {
        let folder = project(dialect);
        let served = Served::start(&folder, &["--version", version, "--inspect", "--faults"])
            .unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let mut control = Connection::open(served.address).unwrap();
        let set = format!("{{\"fault\": \"delay\", \"nth\": {nth}, \"milliseconds\": 150}}");
        control.send("POST", "/_faults", "application/json", &set).unwrap();
        let url = served.url();
        let mut command = folder.command(MIDOFORM, &["apply", ".", "--yes", "--api", &url]);
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        // Half of them before the call is executed, half of them after.
        while !control.send("GET", "/_faults", "*/*", "").unwrap().body.contains("\"struck\":1") {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        std::thread::sleep(std::time::Duration::from_millis(if nth.is_multiple_of(2) { 0 } else { 150 }));
        child.kill().unwrap();
        child.wait().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(170));
        let what = format!("killed at call {nth} on {version}");
        let next = apply(&folder, &served, &[]);
        assert_eq!(next.code, 0, "{what}: {} {}", next.stdout, next.stderr);
        assert_eq!(counts(&served), wanted, "{what}");
        let again = apply(&folder, &served, &[]).expect_code(0);
        assert_eq!(number(&again, "left"), 0, "{what}: {}", again.stdout);
    };
    let all: Vec<u64> = (1..=calls).collect();
    std::thread::scope(|scope| {
        for share in all.chunks(all.len().div_ceil(6)) {
            let one = &one;
            scope.spawn(move || share.iter().for_each(|nth| one(*nth)));
        }
    });
}

#[test]
fn killed_at_every_call_in_all_versions() {
    killed_at_every_call("1.7", "1");
    killed_at_every_call("5.0", "5");
    killed_at_every_call("5.8", "5");
}

/// Reads and writes that a server has seen.
fn traffic(served: &Served) -> (u64, u64) {
    let page = Connection::open(served.address).unwrap().send("GET", "/metrics", "*/*", "").unwrap().body;
    let mut seen = (0, 0);
    for line in page.lines().filter(|line| line.starts_with("midonet_api_requests_total{")) {
        let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        match line.contains("method=\"GET\"") {
            true if line.contains("resource=\"other\"") => {}
            true => seen.0 += count,
            false => seen.1 += count,
        }
    }
    seen
}

#[test]
fn calls_are_few() {
    for (version, dialect) in [("1.7", "1"), ("5.0", "5"), ("5.8", "5")] {
        let folder = project(dialect);
        let served = Served::start(&folder, &["--version", version, "--inspect"])
            .unwrap_or_else(|ran| panic!("{}", ran.stderr));
        let planned = folder.run(MIDOFORM, &["plan", ".", "--offline", "--json"]).expect_code(0);
        let plan: serde_json::Value = serde_json::from_str(&planned.stdout).unwrap();
        let steps = plan["steps"].as_array().unwrap();
        let of = |kind: &str| steps.iter().filter(|step| step["kind"] == kind).count() as u64;
        let (chains, bridges) = (of("chain"), of("bridge"));
        let _ = apply(&folder, &served, &[]).expect_code(0);
        let (reads, writes) = traffic(&served);
        assert_eq!(writes, steps.len() as u64, "{version}: one write for each object and link");
        assert!(reads <= 8 + chains + bridges, "{version}: {reads} reads of a first apply");
        let _ = apply(&folder, &served, &[]).expect_code(0);
        let (all_reads, all_writes) = traffic(&served);
        assert_eq!(all_writes, writes, "{version}: an apply with nothing to do writes nothing");
        assert!(all_reads - reads <= 8 + chains + bridges, "{version}: {} reads", all_reads - reads);
    }
}

/// The looks after a lost reply plan from what is there: they must not read a part as the whole.
#[test]
fn a_saved_plan_of_a_part_touches_nothing_else() {
    for (version, dialect) in [("5.8", "5"), ("1.7", "1")] {
        for select in [&["--target", "acme/bridge/new"][..], &["--exclude", "acme/bridge/db"]] {
            let folder = project(dialect);
            let served = Served::start(&folder, &["--version", version, "--inspect", "--faults"])
                .unwrap_or_else(|ran| panic!("{}", ran.stderr));
            let _ = apply(&folder, &served, &[]).expect_code(0);
            let before = counts(&served);
            folder
                .write("acme.toml", format!("{TENANT}[[bridge]]\nname = \"new\"\ncidr = \"10.3.0.0/24\"\n"));
            let url = served.url();
            let plan = [&["plan", ".", "--out", "plan.json", "--api", &url], select].concat();
            let _ = folder.run(MIDOFORM, &plan).expect_code(0);
            let mut control = Connection::open(served.address).unwrap();
            let lost = r#"{"fault": "reset-after", "method": "POST", "path": "/**", "nth": 3, "times": 2}"#;
            control.send("POST", "/_faults", "application/json", lost).unwrap();
            let execute = ["apply", "plan.json", "--yes", "--batch", "1", "--api", &url];
            let _ = folder.run(MIDOFORM, &execute).expect_code(0);
            control.send("DELETE", "/_faults", "application/json", "").unwrap();
            let after = counts(&served);
            let grown = |kind: &str| after[kind] - before[kind];
            assert_eq!((grown("Network"), grown("Router")), (1, 0), "{version} {select:?}");
            let _ = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode", "--api", &url]);
            let _ = folder.run(MIDOFORM, &["undo", "plan.json", "--yes", "--api", &url]).expect_code(0);
            assert_eq!(counts(&served), before, "{version} {select:?}");
            let _ = apply(&folder, &served, &[]).expect_code(0);
            let done = folder.run(MIDOFORM, &["plan", ".", "--detailed-exitcode", "--api", &url]);
            let _ = done.expect_code(0);
        }
    }
}
