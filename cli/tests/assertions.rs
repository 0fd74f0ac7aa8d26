//! Traces of saved plans and of the live network, and assertions for all packets.

use midoform_testutil::TestFolder;
use serde_json::Value;

use crate::MIDOFORM;

const ACME: &str = "name = \"acme\"\n\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n\n[[bridge]]\nname = \"db\"\ncidr = \"10.0.1.0/24\"\n\n[[rule]]\nname = \"web-to-db\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n\n[[rule]]\nname = \"nothing-else-to-db\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";
const BETA: &str = "name = \"beta\"\n\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.8.0/24\"\n";

fn two() -> TestFolder {
    TestFolder::with_tenants(&[("acme.toml", ACME), ("beta.toml", BETA)])
}

fn trace<'a>(path: &'a str, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["trace", path, "--from", "acme/web/10.0.0.5", "--to", to];
    arguments.extend(more);
    arguments
}

fn json(folder: &TestFolder, arguments: &[&str], code: i32) -> Value {
    serde_json::from_str(&folder.run(MIDOFORM, arguments).expect_code(code).stdout).unwrap()
}

#[test]
fn a_saved_plan_and_the_live_network_are_traced() {
    let folder = two();
    let there = |data: &Value| data["ending"]["is"] == "delivered";
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "saved.plan"]).expect_code(0);
    assert!(there(&json(&folder, &trace("saved.plan", "8.8.8.8", &["--json"]), 0)));
    let refused = folder.run(MIDOFORM, &trace("saved.plan", "8.8.8.8", &["--live"])).expect_code(64);
    assert!(refused.stderr.contains("--live"), "{}", refused.stderr);
    // Nothing was applied: nothing is there.
    let _ = folder.run(MIDOFORM, &trace(".", "8.8.8.8", &["--live"])).expect_code(64);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    assert!(there(&json(&folder, &trace(".", "8.8.8.8", &["--live", "--json"]), 0)));
    // The spec changes; the network does not.
    let to_db = trace(".", "10.0.1.7", &["--tcp", "22", "--json"]);
    folder.write("acme.toml", ACME.replace("\"drop\"", "\"accept\""));
    assert!(there(&json(&folder, &to_db, 0)), "in the spec");
    let live: Vec<&str> = to_db.iter().copied().chain(["--live"]).collect();
    assert!(!there(&json(&folder, &live, 0)), "not in the network");
}

fn assertion(to: &str, allowed: bool) -> String {
    format!("{ACME}\n[[assert]]\nfrom = {{ bridge = \"web\" }}\nto = {to}\nallowed = {allowed}\n")
}

#[test]
fn assertions_are_checked_for_all_packets() {
    let db = |port: &str| format!("{{ bridge = \"db\", tcp = {port} }}");
    for (text, holds) in [
        (assertion(&db("5432"), true), true),
        (assertion(&db("5432"), false), false),
        (assertion(&db("22"), false), true),
        (assertion(&db("22"), true), false),
        // One port of many is enough to break it.
        (assertion(&db("\"5000-6000\""), false), false),
        (assertion(&db("\"5000-6000\""), true), false),
        (assertion("{ world = true, tcp = 443 }", true), true),
        (assertion("{ world = true }", false), false),
    ] {
        let folder = TestFolder::with_tenants(&[("acme.toml", &text)]);
        let ran = folder.run(MIDOFORM, &["validate", "."]).expect_code(if holds { 0 } else { 3 });
        if !holds {
            assert!(ran.stderr.contains("error[assertion-failed]"), "{text}\n{}", ran.stderr);
            assert!(ran.stderr.contains("acme.toml:22"), "its line: {}", ran.stderr);
        }
    }
}

#[test]
fn a_failing_assertion_stops_changes_but_not_reads() {
    let folder = TestFolder::with_tenants(&[("acme.toml", ACME)]);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    folder.write("acme.toml", assertion("{ world = true }", false));
    for command in [&["plan", "."][..], &["apply", ".", "--yes"]] {
        let ran = folder.run(MIDOFORM, command).expect_code(3);
        assert!(ran.stderr.contains("acme.toml:22"), "{}", ran.stderr);
    }
    let _ = folder.run(MIDOFORM, &["show", "."]).expect_code(0);
    let _ = folder.run(MIDOFORM, &trace(".", "8.8.8.8", &[])).expect_code(0);
}
