//! `verify`, `trace`, `[[assert]]`, and what `plan` says is opened and closed.

use midoform_testutil::TestFolder;
use serde_json::Value;

use crate::MIDOFORM;

fn example(name: &str) -> TestFolder {
    let folder = TestFolder::default();
    folder.copy_example(name);
    folder
}

const TENANT: &str = "name = \"acme\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.0.1.0/24\"\n";
const CLOSED: &str = "[[rule]]\nname = \"nothing-to-db\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\" }\naction = \"drop\"\n";

#[test]
fn verify_ends_with_9_for_violations() {
    let ran = example("policy").run(MIDOFORM, &["verify", "."]).expect_code(0);
    assert!(ran.stdout.contains("✓ packets with spoofed source addresses are dropped"), "{}", ran.stdout);
    // The seed is the Go plugin's layout.
    let ran = example("seed").run(MIDOFORM, &["verify", "."]).expect_code(9);
    assert!(
        ran.stdout.contains("reaches link addresses") && ran.stdout.contains("foreign source"),
        "{}",
        ran.stdout
    );
    let ran = example("seed").run(MIDOFORM, &["verify", ".", "--json"]).expect_code(9);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["holds"], false);
    assert!(
        report["violations"][0]["trace"]["hops"].is_array()
            && report["violations"][0]["source"]["line"].is_u64()
    );
}

#[test]
fn a_trace_has_every_hop_and_the_reply() {
    let trace = |more: &[&str], folder: &TestFolder| {
        let arguments =
            [&["trace", "--from", "acme/web/10.20.1.77", "--to", "8.8.8.8", "--tcp", "443"], more].concat();
        folder.run(MIDOFORM, &arguments).expect_code(0).stdout
    };
    let folder = example("policy");
    let report: Value = serde_json::from_str(&trace(&["--json"], &folder)).unwrap();
    assert_eq!(report["ending"]["is"], "delivered");
    assert_eq!(report["answer"]["ending"]["at"][0], "acme/web/10.20.1.77");
    assert!(trace(&["--format", "mermaid"], &folder).starts_with("sequenceDiagram\n"));
    let text = trace(&[], &folder);
    assert!(text.contains("becomes tcp 172.16.") && text.contains("The reply:"), "{text}");
    // On a saved plan, and on what was applied.
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "plan.json"]).expect_code(0);
    assert_eq!(trace(&["plan.json"], &folder), text);
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    let live = trace(&["--live"], &folder);
    assert!(live.contains("delivered to world") && live.contains("The reply:"), "{live}");
}

#[test]
fn a_trace_of_a_wrong_endpoint_shows_the_syntax() {
    let folder = example("policy");
    let ran = folder
        .run(MIDOFORM, &["trace", "--from", "acme/nowhere/10.0.0.1", "--to", "8.8.8.8"])
        .expect_code(64);
    assert!(
        ran.stderr.contains("there is no bridge acme/nowhere")
            && ran.stderr.contains("TENANT/BRIDGE/ADDRESS")
    );
}

#[test]
fn a_failing_assertion_is_an_error_of_validate() {
    let assert =
        "[[assert]]\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 22 }\nallowed = true\n";
    let folder = TestFolder::with_tenants(&[("acme.toml", &format!("{TENANT}{CLOSED}{assert}"))]);
    let ran = folder.run(MIDOFORM, &["validate", "."]).expect_code(3);
    assert!(
        ran.stderr.contains("assertion-failed") && ran.stderr.contains("nothing-to-db"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_plan_shows_changes_of_reachability() {
    let before = TestFolder::with_tenants(&[("acme.toml", &format!("{TENANT}{CLOSED}"))]);
    let open = TENANT.to_owned()
        + "[[rule]]\nname = \"db\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n"
        + CLOSED;
    let after = TestFolder::with_tenants(&[("acme.toml", &open)]);
    let against = before.path().display().to_string();
    let ran = after.run(MIDOFORM, &["plan", ".", "--against", &against]).expect_code(0);
    assert!(
        ran.stdout.contains("+ acme/web → acme/db tcp/5432: now allowed (acme.toml:9)"),
        "{}",
        ran.stdout
    );
    let ran = after.run(MIDOFORM, &["plan", ".", "--against", &against, "--json"]).expect_code(0);
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["reachability"]["changes"][0]["ports"], "5432");
    let ran =
        after.run(MIDOFORM, &["plan", ".", "--against", &against, "--format", "markdown"]).expect_code(0);
    assert!(ran.stdout.contains("acme/db tcp/5432: now allowed"), "{}", ran.stdout);
    // Live: the network has what was applied.
    let _ = before.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    std::fs::write(before.path().join("acme.toml"), &open).unwrap();
    let ran = before.run(MIDOFORM, &["plan", "."]).expect_code(0);
    assert!(ran.stdout.contains("acme/db tcp/5432: now allowed"), "{}", ran.stdout);
}
