//! The output of `trace` and `verify` for people and machines.

use std::collections::BTreeSet;

use midoform_testutil::{TestFolder, snapshot_settings};
use serde_json::Value;

use crate::MIDOFORM;

const SITE: &str = "name = \"gz1\"\n[midonet]\nembedded = true\nmanaged = true\n[tunnel_zone]\nname = \"gz1\"\n[[host]]\nname = \"node1\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"10.255.0.1\"\n";
const TENANT: &str = "name = \"acme\"\nanti_spoof = \"port\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.0.0.0/24\"\n[[bridge]]\nname = \"db\"\ncidr = \"10.0.1.0/24\"\n[[port]]\nname = \"vm\"\nbridge = \"web\"\nhost = \"node1\"\ninterface = \"tap1\"\nmac = \"ac:ca:ba:00:00:01\"\naddress = \"10.0.0.20\"\n";
/// The second rule can never match.
const RULES: &str = "[[rule]]\nname = \"shut\"\nto = { bridge = \"db\" }\naction = \"drop\"\n[[rule]]\nname = \"too-late\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n";

fn acme(more: &str) -> TestFolder {
    let folder = TestFolder::default();
    folder.write("site.toml", SITE);
    folder.write("acme.toml", format!("{TENANT}{more}"));
    folder
}

/// A site on OVN.
const OVN: &str = "name = \"gz1\"\n[ovn]\nnorthbound = \"unix:/nowhere/nb.sock\"\nmanaged = true\ngateway_chassis = \"gw1\"\n[[host]]\nname = \"node1\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"10.255.0.1\"\n";

#[test]
fn verify_proves_the_rows_of_a_site_on_ovn() {
    let folder = acme("");
    folder.write("site.toml", OVN);
    let proven = folder.run(MIDOFORM, &["verify"]).expect_code(0).stdout;
    assert_eq!(proven.matches('✓').count(), 8, "{proven}");
    let folder = acme(RULES);
    folder.write("site.toml", OVN);
    let dead = folder.run(MIDOFORM, &["verify"]).expect_code(9).stdout;
    assert!(dead.contains("too-late") && dead.contains("acme.toml"), "{dead}");
    let report = folder.run(MIDOFORM, &["verify", "--json"]).expect_code(9).stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["violations"][0]["question"], "dead", "{report}");
    assert_eq!(report["unproven"], serde_json::json!([]));
}

#[test]
fn assertions_hold_or_fail_on_ovn_as_on_midonet() {
    let closed = "[[rule]]\nname = \"shut\"\nfrom = { bridge = \"web\" }\nto = { bridge = \"db\", tcp = 22 }\naction = \"drop\"\n";
    let assert = |port: u16, allowed: bool| {
        format!(
            "[[assert]]\nfrom = {{ bridge = \"web\" }}\nto = {{ bridge = \"db\", tcp = {port} }}\nallowed = {allowed}\n"
        )
    };
    for (port, allowed, code) in [(22, false, 0), (22, true, 3), (23, true, 0), (23, false, 3)] {
        for site in [SITE, OVN] {
            let folder = acme(&format!("{closed}{}", assert(port, allowed)));
            folder.write("site.toml", site);
            let ran = folder.run(MIDOFORM, &["validate"]).expect_code(code);
            assert_eq!(ran.stderr.contains("assertion-failed"), code != 0, "{}", ran.stderr);
        }
    }
}

#[test]
fn a_plan_on_ovn_says_what_it_opens_and_closes() {
    let folder = acme("");
    folder.write("site.toml", OVN);
    let other = acme("[[rule]]\nname = \"shut\"\nto = { bridge = \"db\", tcp = 22 }\naction = \"drop\"\n");
    other.write("site.toml", OVN);
    let against = folder.path().display().to_string();
    let plan = other.run(MIDOFORM, &["plan", "--against", &against]).expect_code(0).stdout;
    assert!(plan.contains("acme/web") && plan.contains("tcp/22: now denied"), "{plan}");
}

/// Returns true if a text is a sequence diagram of Mermaid: its heading, the participants, then messages and notes between
/// them.
fn is_sequence_diagram(text: &str) {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("sequenceDiagram"));
    let mut known = BTreeSet::new();
    for line in lines {
        let line = line.strip_prefix("    ").unwrap();
        let words = |text: &str| assert!(!text.is_empty() && !text.contains([';', '#', '%']), "{text}");
        if let Some((name, title)) =
            line.strip_prefix("participant ").and_then(|rest| rest.split_once(" as "))
        {
            words(title);
            assert!(known.insert(name.to_owned()), "twice: {line}");
        } else if let Some((over, note)) =
            line.strip_prefix("Note over ").and_then(|rest| rest.split_once(": "))
        {
            words(note);
            assert!(known.contains(over), "{line}");
        } else {
            let (ends, message) = line.split_once(": ").unwrap();
            words(message);
            let (from, to) = ends.split_once("->>").or_else(|| ends.split_once("-x")).unwrap();
            assert!(known.contains(from) && known.contains(to), "{line}");
        }
    }
}

#[test]
fn a_trace_is_drawn_with_its_reply() {
    let folder = acme(RULES);
    for (name, to) in
        [("trace-answered", ["8.8.8.8", "443"]), ("trace-dropped", ["acme/db/10.0.1.9", "5432"])]
    {
        let arguments = ["trace", ".", "--from", "acme/vm", "--to", to[0], "--tcp", to[1]];
        let drawn =
            folder.run(MIDOFORM, &[&arguments[..], &["--format", "mermaid"]].concat()).expect_code(0).stdout;
        is_sequence_diagram(&drawn);
        let text = folder.run(MIDOFORM, &arguments).expect_code(0).stdout;
        snapshot_settings("commands").bind(|| insta::assert_snapshot!(name, format!("{text}\n{drawn}")));
    }
}

#[test]
fn a_saved_plan_knows_its_static_ports_by_name() {
    let folder = acme("");
    let _ = folder.run(MIDOFORM, &["plan", ".", "--out", "saved.plan"]).expect_code(0);
    let trace = |path: &str, from: &str| {
        folder.run(MIDOFORM, &["trace", path, "--from", from, "--to", "8.8.8.8", "--tcp", "443"])
    };
    let of_plan = trace("saved.plan", "acme/vm").expect_code(0).stdout;
    assert!(of_plan.contains("10.0.0.20") && of_plan.contains("The reply:"), "{of_plan}");
    assert_eq!(of_plan, trace(".", "acme/vm").expect_code(0).stdout);
    // Its own address and MAC are what it may send with.
    let spoofed =
        ["trace", "saved.plan", "--from", "acme/vm", "--source", "10.0.0.21", "--to", "8.8.8.8", "--json"];
    let spoofed: Value = serde_json::from_str(&folder.run(MIDOFORM, &spoofed).expect_code(0).stdout).unwrap();
    assert_eq!(spoofed["ending"]["is"], "dropped");
    let unknown = trace("saved.plan", "acme/nothing").expect_code(64);
    assert!(unknown.stderr.contains("no static port acme/nothing"), "{}", unknown.stderr);
    let refused = folder.run(MIDOFORM, &["verify", "saved.plan"]).expect_code(64);
    assert!(refused.stderr.contains("verify the spec"), "{}", refused.stderr);
}

#[test]
fn a_rule_that_can_never_match_is_a_violation_with_its_line() {
    let folder = acme(RULES);
    let ran = folder.run(MIDOFORM, &["verify", "."]).expect_code(9);
    assert!(
        ran.stdout.contains("too-late can never match") && ran.stdout.contains("(acme.toml:21)"),
        "{}",
        ran.stdout
    );
    let ran = folder.run(MIDOFORM, &["verify", ".", "--format", "github"]).expect_code(9);
    assert!(ran.stdout.starts_with("::error file=acme.toml,line=21,"), "{}", ran.stdout);
    assert!(ran.stdout.contains("title=verify-dead::acme: the rule"), "{}", ran.stdout);
}

#[test]
fn violations_are_findings_for_code_hosts() {
    let folder = TestFolder::default();
    folder.copy_example("seed");
    let ran = folder.run(MIDOFORM, &["verify", ".", "--format", "sarif"]).expect_code(9);
    let log: Value = serde_json::from_str(&ran.stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let rules: BTreeSet<&str> = results.iter().filter_map(|result| result["ruleId"].as_str()).collect();
    assert!(rules.contains("verify-links") && rules.contains("verify-spoofing"), "{rules:?}");
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "tenant1.toml");
        assert!(place["region"]["startLine"].as_u64() > Some(0));
        assert!(result["message"]["text"].as_str().unwrap().contains("help: "), "the packet: {result}");
    }
    let ran = folder.run(MIDOFORM, &["verify", ".", "--format", "gitlab"]).expect_code(9);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report.as_array().unwrap().len(), results.len());
    // Properties that hold are no findings.
    let ran = acme("").run(MIDOFORM, &["verify", ".", "--format", "sarif"]).expect_code(0);
    let log: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(log["runs"][0]["results"].as_array().map(Vec::len), Some(0));
    // Plans are no findings, and say whose they are.
    let ran = acme("").run(MIDOFORM, &["plan", ".", "--format", "sarif"]).expect_code(64);
    assert!(ran.stderr.contains("sarif"), "{}", ran.stderr);
}

#[test]
fn a_routing_loop_is_shown_once() {
    let expose = "[[expose]]\npublic = \"203.0.113.10:443\"\nto = { bridge = \"web\", address = \"10.0.0.9\", tcp = 8443 }\n";
    let folder = acme(expose);
    let text = folder.read("acme.toml").replace("anti_spoof = \"port\"", "profile = \"rainbond\"");
    folder.write("acme.toml", text);
    let arguments = ["trace", ".", "--from", "world", "--to", "203.0.113.10", "--udp", "443"];
    let ran = folder.run(MIDOFORM, &arguments).expect_code(0);
    // The second time its source is translated: only the third is as one before.
    assert!(ran.stdout.matches("acme/router, in port").count() <= 2, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("the packet is in a loop: ") && ran.stdout.contains("a loop: too many devices"),
        "{}",
        ran.stdout
    );
    let drawn = folder.run(MIDOFORM, &[&arguments[..], &["--format", "mermaid"]].concat()).expect_code(0);
    is_sequence_diagram(&drawn.stdout);
    // Machines get all of it.
    let ran = folder.run(MIDOFORM, &[&arguments[..], &["--json"]].concat()).expect_code(0);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report["hops"].as_array().unwrap().len() > 10);
}

#[test]
fn live_traces_know_who_has_an_address() {
    let folder = acme("");
    let _ = folder.run(MIDOFORM, &["apply", ".", "--yes"]).expect_code(0);
    let ending = |to: &str| {
        let arguments =
            ["trace", ".", "--live", "--from", "acme/db/10.0.1.9", "--to", to, "--tcp", "80", "--json"];
        let report: Value =
            serde_json::from_str(&folder.run(MIDOFORM, &arguments).expect_code(0).stdout).unwrap();
        report["ending"]["is"].clone()
    };
    for (to, is) in [
        ("10.0.0.20", "delivered"),
        ("acme/vm", "delivered"),
        ("10.0.0.21", "unanswered"),
        ("acme/web/10.0.0.21", "unanswered"),
        ("8.8.8.8", "delivered"),
    ] {
        assert_eq!(ending(to), is, "{to}");
    }
}

#[test]
fn a_trace_sends_arp_and_other_frames() {
    let folder = acme("");
    let ending = |more: &[&str]| {
        let arguments = ["trace", ".", "--from", "acme/web/10.0.0.9", "--to", "acme/web/10.0.0.10", "--json"];
        let ran = folder.run(MIDOFORM, &[&arguments[..], more].concat()).expect_code(0);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        report["ending"]["is"].clone()
    };
    assert_eq!(ending(&["--arp", "request"]), "delivered");
    assert_eq!(ending(&["--arp", "reply", "--source", "10.0.0.254"]), "dropped");
    assert_eq!(ending(&["--ethertype", "ipv6"]), "dropped");
    assert_eq!(ending(&["--tcp", "80", "--vlan", "5"]), "dropped");
    assert_eq!(ending(&["--tcp", "80"]), "delivered");
    let wrong = ["trace", ".", "--from", "acme/vm", "--to", "8.8.8.8", "--ethertype", "ipx"];
    let _ = folder.run(MIDOFORM, &wrong).expect_code(64);
}
