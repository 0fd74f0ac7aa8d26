//! The limits of a run: rollback, deadline, exclusion, mass deletes, locks.

use std::time::{Duration, Instant};

use midoform_testutil::TestFolder;
use midoform_testutil::http::Connection;

use crate::MIDOFORM;
use crate::served::Served;

const SITE: &str =
    "name = \"t\"\n[midonet]\nurl = \"http://127.0.0.1:1/\"\nversion = DIALECT\nmanaged = true\n";
const VERSIONS: [(&str, &str); 3] = [("1.7", "1"), ("5.0", "5"), ("5.8", "5")];

fn bridges(names: &[&str]) -> String {
    let bridge =
        |(at, name): (usize, &&str)| format!("[[bridge]]\nname = \"{name}\"\ncidr = \"10.{at}.0.0/24\"\n");
    names.iter().enumerate().map(bridge).collect()
}

fn project(dialect: &str, tenant: &str) -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE.replace("DIALECT", dialect));
    folder.write("acme.toml", format!("name = \"acme\"\n{tenant}"));
    folder
}

fn serve(folder: &TestFolder, version: &str) -> Served {
    Served::start(folder, &["--version", version, "--faults", "--inspect"])
        .unwrap_or_else(|ran| panic!("{}", ran.stderr))
}

fn send(served: &Served, method: &str, path: &str, body: &str) -> String {
    let answer =
        Connection::open(served.address).unwrap().send(method, path, "application/json", body).unwrap();
    assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.body);
    answer.body
}

fn objects(served: &Served) -> usize {
    let all: serde_json::Value = serde_json::from_str(&send(served, "GET", "/_topology", "")).unwrap();
    all["objects"].as_object().unwrap().values().map(|list| list.as_array().unwrap().len()).sum()
}

#[test]
fn a_failed_run_is_rolled_back_on_request() {
    for (version, dialect) in VERSIONS {
        let folder = project(dialect, &bridges(&["web"]));
        let served = serve(&folder, version);
        let url = served.url();
        let apply =
            |more: &[&str]| folder.run(MIDOFORM, &[&["apply", ".", "--yes", "--api", &url], more].concat());
        let _ = apply(&[]).expect_code(0);
        let before = objects(&served);
        folder.write("acme.toml", format!("name = \"acme\"\n{}", bridges(&["web", "db", "cache"])));
        // For good: more often than anybody tries.
        send(
            &served,
            "POST",
            "/_faults",
            r#"{"fault": "unavailable-before", "method": "POST", "path": "/ports/*/link", "nth": 2, "times": 0}"#,
        );
        let failed = apply(&["--rollback-on-error", "--parallel", "1"]);
        assert_eq!(failed.code, 7, "{version}: {}", failed.stderr);
        assert!(failed.stderr.contains("undone: "), "{version}: {}", failed.stderr);
        assert_eq!(objects(&served), before, "{version}");
        send(&served, "DELETE", "/_faults", "");
        let _ = apply(&[]).expect_code(0);
        assert!(objects(&served) > before);
    }
}

#[test]
fn a_deadline_ends_a_run_between_calls() {
    let folder = project("5", &bridges(&["web", "db"]));
    let served = serve(&folder, "5.8");
    let url = served.url();
    send(
        &served,
        "POST",
        "/_faults",
        r#"{"fault": "delay", "method": "POST", "times": 0, "milliseconds": 300}"#,
    );
    let late =
        folder.run(MIDOFORM, &["apply", ".", "--yes", "--deadline", "1", "--parallel", "1", "--api", &url]);
    assert_eq!(late.code, 130, "{}", late.stderr);
    assert!(late.stderr.contains("the deadline has passed"), "{}", late.stderr);
    send(&served, "DELETE", "/_faults", "");
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--api", &url]).expect_code(0);
}

#[test]
fn excluded_objects_stay() {
    let folder = project("5", &bridges(&["web", "db"]));
    let served = serve(&folder, "5.8");
    let url = served.url();
    let run = |arguments: &[&str]| folder.run(MIDOFORM, &[arguments, &["--api", &url]].concat());
    let _ = run(&["apply", ".", "--yes"]).expect_code(0);
    let rule = "[[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 80 }\naction = \"drop\"\n";
    folder.write("acme.toml", format!("name = \"acme\"\n{}{rule}", bridges(&["web", "db"])));
    let without = run(&["plan", ".", "--exclude", "acme/chain/policy", "--detailed-exitcode"]);
    assert_eq!(without.code, 0, "{}", without.stdout);
    let with = run(&["plan", ".", "--detailed-exitcode"]);
    assert_eq!(with.code, 2, "{}", with.stdout);
    let unknown = run(&["plan", ".", "--exclude", "acme/nothing"]).expect_code(64);
    assert!(unknown.stderr.contains("there is no such object"), "{}", unknown.stderr);
}

/// What is left out is neither created nor changed nor deleted, and what is there beside it stays as well.
#[test]
fn whatever_is_excluded_of_an_applied_network_nothing_changes() {
    for (version, dialect) in VERSIONS {
        let folder = project(dialect, &bridges(&["web", "db"]));
        let rule = "[[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 80 }\naction = \"drop\"\n\
                    [[expose]]\npublic = \"203.0.113.1:443\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 8443 }\n";
        let acme = folder.read("acme.toml");
        folder.write("acme.toml", format!("{acme}{rule}[[peer]]\ntenant = \"beta\"\n"));
        folder
            .write("beta.toml", "name = \"beta\"\n[[bridge]]\nname = \"lan\"\n[[peer]]\ntenant = \"acme\"\n");
        let served = serve(&folder, version);
        let url = served.url();
        let run = |arguments: &[&str]| folder.run(MIDOFORM, &[arguments, &["--api", &url]].concat());
        let _ = run(&["apply", ".", "--yes"]).expect_code(0);
        let plan = run(&["plan", ".", "--json"]).expect_code(0);
        let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
        let keys = plan["steps"].as_array().unwrap().iter().map(|step| step["key"].as_str().unwrap());
        let mut selected: Vec<&str> = keys.collect();
        assert!(selected.len() > 40, "{selected:?}");
        selected.extend(["acme", "beta", "site", "acme/bridge/web", "acme/chain/in", "acme/peer/beta"]);
        for key in selected {
            let ran = run(&["plan", ".", "--exclude", key, "--detailed-exitcode"]);
            assert_eq!(ran.code, 0, "{version}: --exclude {key}: {}{}", ran.stdout, ran.stderr);
        }
    }
}

#[test]
fn a_large_share_is_not_deleted_by_accident() {
    let folder = project("5", &bridges(&["a", "b", "c", "d", "e"]));
    let served = serve(&folder, "5.8");
    let url = served.url();
    let apply =
        |more: &[&str]| folder.run(MIDOFORM, &[&["apply", ".", "--yes", "--api", &url], more].concat());
    let _ = apply(&[]).expect_code(0);
    let before = objects(&served);
    folder.write("acme.toml", format!("name = \"acme\"\n{}", bridges(&["a"])));
    let refused = apply(&[]).expect_code(6);
    assert!(refused.stderr.contains("--allow-mass-delete"), "{}", refused.stderr);
    assert_eq!(objects(&served), before);
    let _ = apply(&["--most-deleted", "100"]).expect_code(0);
    assert!(objects(&served) < before);
}

#[test]
fn a_second_apply_waits_or_names_the_holder() {
    let folder = project("5", &bridges(&["web"]));
    let served = serve(&folder, "5.8");
    let url = served.url();
    send(
        &served,
        "POST",
        "/_faults",
        r#"{"fault": "delay", "method": "POST", "nth": 3, "milliseconds": 1500}"#,
    );
    let mut command = folder.command(MIDOFORM, &["apply", ".", "--yes", "--quiet", "--api", &url]);
    let mut first = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    while !send(&served, "GET", "/_faults", "").contains("\"struck\":1") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let busy = folder.run(MIDOFORM, &["apply", ".", "--yes", "--api", &url]).expect_code(6);
    let holder = format!("process {}", first.id());
    assert!(busy.stderr.contains(&holder) && busy.stderr.contains("since"), "{}", busy.stderr);
    let started = Instant::now();
    let waited =
        folder.run(MIDOFORM, &["apply", ".", "--yes", "--lock-timeout", "20", "--api", &url]).expect_code(0);
    assert!(waited.stdout.contains("No changes"), "{}", waited.stdout);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(first.wait().unwrap().success());
}

#[test]
fn a_lost_lock_stops_the_run() {
    let folder = project("5", &bridges(&["web"]));
    let served = serve(&folder, "5.8");
    let url = served.url();
    send(
        &served,
        "POST",
        "/_faults",
        r#"{"fault": "delay", "method": "POST", "nth": 3, "milliseconds": 1000}"#,
    );
    let mut command = folder.command(MIDOFORM, &["apply", ".", "--yes", "--quiet", "--api", &url]);
    let first =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !send(&served, "GET", "/_faults", "").contains("\"struck\":1") {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_file(folder.path().join("midoform.lock.leases")).unwrap();
    let ended = first.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("the lock of acme was lost"));
    // The next run continues.
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--api", &url]).expect_code(0);
}

/// Makes a folder with these tenants, of one bridge each.
fn fleet(tenants: &[&str]) -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE.replace("DIALECT", "5"));
    for tenant in tenants {
        folder.write(&format!("{tenant}.toml"), format!("name = \"{tenant}\"\n[[bridge]]\nname = \"web\"\n"));
    }
    folder
}

fn routers(served: &Served) -> usize {
    let all: serde_json::Value = serde_json::from_str(&send(served, "GET", "/_topology", "")).unwrap();
    all["objects"]["Router"].as_array().unwrap().len() - 1
}

#[test]
fn each_batch_of_tenants_is_checked() {
    let folder = fleet(&["a", "b", "c", "d", "e"]);
    for (name, peer) in [("a", "e"), ("e", "a")] {
        let file = format!("{name}.toml");
        folder.write(&file, format!("{}[[peer]]\ntenant = \"{peer}\"\n", folder.read(&file)));
    }
    for (version, dialect) in VERSIONS {
        let served = serve(&folder, version);
        let url = served.url();
        let _ = std::fs::remove_file(folder.path().join("midoform.lock"));
        let apply = |more: &[&str]| {
            let always = ["apply", ".", "--yes", "--verify", "--api", &url, "--api-version", dialect];
            folder.run(MIDOFORM, &[&always, more].concat()).expect_code(0)
        };
        let ran = apply(&["--batch", "2"]);
        assert!(
            ran.stderr.contains("batch 3 of 3: the network matches the spec"),
            "{version}: {}",
            ran.stderr
        );
        assert_eq!(routers(&served), 5, "{version}");
        assert!(apply(&[]).stdout.contains("No changes"), "{version}");
    }
}

#[test]
fn drift_after_a_batch_pauses_the_run() {
    let folder = fleet(&["a", "b", "c", "d"]);
    let served = serve(&folder, "5.8");
    let url = served.url();
    // The provider's router is the first, that of `a` the second, that of `b` the third.
    let delay = r#"{"fault": "delay", "method": "POST", "path": "/routers", "nth": 3, "milliseconds": 1500}"#;
    send(&served, "POST", "/_faults", delay);
    let mut command =
        folder.command(MIDOFORM, &["apply", ".", "--yes", "--batch", "1", "--pause-on-drift", "--api", &url]);
    let run =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !send(&served, "GET", "/_faults", "").contains("\"struck\":1") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let all: serde_json::Value = serde_json::from_str(&send(&served, "GET", "/_topology", "")).unwrap();
    let rule = all["objects"]["Rule"][0]["id"].as_str().unwrap().to_owned();
    send(&served, "DELETE", &format!("/midonet-api/rules/{rule}"), "");
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(6), "{said}");
    assert!(said.contains("after batch 2 of 4: 1 objects differ from the spec"), "{said}");
    assert_eq!(routers(&served), 2);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes", "--batch", "1", "--api", &url]).expect_code(0);
    assert_eq!(routers(&served), 4);
}

#[test]
fn tenants_without_a_file_are_deleted_only_with_prune() {
    for (version, dialect) in VERSIONS {
        let folder = fleet(&["a", "b", "kept"]);
        folder.write("kept.toml", format!("{}protect = true\n", "name = \"kept\"\n"));
        let served = serve(&folder, version);
        let url = served.url();
        let apply = |more: &[&str]| {
            let always = ["apply", ".", "--yes", "--verify", "--api", &url, "--api-version", dialect];
            folder.run(MIDOFORM, &[&always, more].concat())
        };
        let _ = apply(&[]).expect_code(0);
        std::fs::remove_file(folder.path().join("b.toml")).unwrap();
        assert!(apply(&[]).expect_code(0).stdout.contains("No changes"), "{version}");
        assert_eq!(routers(&served), 3, "{version}");
        let _ = apply(&["--prune", "--allow-mass-delete"]).expect_code(0);
        assert_eq!(routers(&served), 2, "{version}");
        assert!(!folder.read("midoform.lock").contains("[tenant.b]"), "{version}");
        std::fs::remove_file(folder.path().join("kept.toml")).unwrap();
        let refused = apply(&["--prune", "--allow-mass-delete"]).expect_code(6);
        assert!(
            refused.stderr.contains("protected and not destroyed: kept"),
            "{version}: {}",
            refused.stderr
        );
        assert_eq!(routers(&served), 2, "{version}");
        let refused = folder
            .run(
                MIDOFORM,
                &["destroy", ".", "--yes", "--target", "kept", "--api", &url, "--api-version", dialect],
            )
            .expect_code(6);
        assert!(refused.stderr.contains("protected"), "{version}: {}", refused.stderr);
    }
}
