//! `trace` on OVN: through the rows of a spec, of a saved plan, and of a real northbound database.

use midoform_testutil::Ran;
use serde_json::{Value as Json, json};

use crate::ovn::{Lab, TENANT};

const TO_DB: [&str; 7] =
    ["trace", "--from", "acme/web/10.1.0.5", "--to", "acme/db/10.2.0.7", "--tcp", "5432"];

fn trace(lab: &Lab, more: &[&str]) -> Ran {
    lab.midoform(&[&TO_DB, more].concat())
}

/// Adds a port with a host behind it, as another tool does.
fn add_host(lab: &Lab, bridge: &str, name: &str, addresses: &str) {
    lab.nbctl(&["lsp-add", &format!("lab:acme/bridge/{bridge}"), name]);
    lab.nbctl(&["lsp-set-addresses", name, addresses]);
}

#[test]
fn a_trace_follows_the_rows_of_a_spec_and_of_a_saved_plan() {
    let Some(lab) = Lab::start() else { return };
    let report: Json = serde_json::from_str(&trace(&lab, &["--json"]).expect_code(0).stdout).unwrap();
    assert_eq!(report["ending"], json!({"is": "delivered", "at": ["acme/db/10.2.0.7"]}));
    assert_eq!(report["answer"]["ending"]["at"], json!(["acme/web/10.1.0.5"]));
    let devices: Vec<&str> =
        report["hops"].as_array().unwrap().iter().filter_map(|hop| hop["device"].as_str()).collect();
    assert_eq!(devices, ["acme/bridge/web", "acme/router", "acme/bridge/db"]);
    let matched = report["hops"][2]["rules"].as_array().unwrap().iter();
    let matched = matched.filter(|rule| rule["chain"] == "to-lport").find(|rule| rule["matched"] == true);
    let matched = matched.unwrap();
    assert_eq!(matched["rule"], "acme/bridge/db/acl/to/rule/web-to-db");
    assert_eq!(matched["row"]["table"], "ACL");
    assert_eq!(matched["row"]["name"], "web-to-db");
    let text = trace(&lab, &[]).expect_code(0).stdout;
    assert!(
        text.contains("list to-lport") && text.contains("(acme.toml:") && text.contains("The reply:"),
        "{text}"
    );
    let drawn = trace(&lab, &["--format", "mermaid"]).expect_code(0).stdout;
    assert!(drawn.starts_with("sequenceDiagram\n") && drawn.contains("acme/router"), "{drawn}");
    let other = lab
        .midoform(&["trace", "--from", "acme/web/10.1.0.5", "--to", "10.2.0.7", "--udp", "53"])
        .expect_code(0);
    assert!(
        other.stdout.contains("by the rule acme/bridge/db/acl/to/rule/closed (acme.toml:"),
        "{}",
        other.stdout
    );
    let _ = lab.midoform(&["plan", "--out", "saved.json"]).expect_code(0);
    assert_eq!(trace(&lab, &["saved.json"]).expect_code(0).stdout, text);
    // A saved plan knows what pods may send.
    let spoofed = trace(&lab, &["saved.json", "--source", "10.9.9.9"]).expect_code(0).stdout;
    assert!(spoofed.contains("dropped at acme/bridge/web: port security"), "{spoofed}");
    assert_eq!(spoofed, trace(&lab, &["--source", "10.9.9.9"]).expect_code(0).stdout);
}

#[test]
fn a_live_trace_follows_the_rows_of_the_database() {
    let Some(lab) = Lab::start() else { return };
    let _ = lab.apply();
    // Nobody has the address yet.
    let waits = trace(&lab, &["--live"]).expect_code(0).stdout;
    assert!(waits.contains("waits: no ARP reply for 10.2.0.7"), "{waits}");
    add_host(&lab, "db", "db-7", "0a:00:00:00:00:07 10.2.0.7");
    let arrives = trace(&lab, &["--live"]).expect_code(0).stdout;
    assert!(arrives.contains("delivered to acme/db/10.2.0.7") && arrives.contains("The reply:"), "{arrives}");
    // What the spec says now, and the rows do not say yet.
    lab.folder.write("acme.toml", TENANT.replace("5432", "5433"));
    let arrives = trace(&lab, &["--live"]).expect_code(0).stdout;
    assert!(arrives.contains("delivered to acme/db/10.2.0.7"), "{arrives}");
    let dropped = trace(&lab, &[]).expect_code(0).stdout;
    assert!(dropped.contains("acl/to/rule/closed"), "{dropped}");
    // A port of which nobody knows the addresses may have any.
    lab.nbctl(&["lsp-del", "db-7"]);
    add_host(&lab, "db", "somebody", "unknown");
    let arrives = trace(&lab, &["--live"]).expect_code(0).stdout;
    assert!(arrives.contains("delivered to acme/bridge/db/foreign/@"), "{arrives}");
    // From outside, through an exposed port.
    add_host(&lab, "web", "web-10", "0a:00:00:00:00:10 10.1.0.10");
    let exposed =
        lab.midoform(&["trace", "--from", "world", "--to", "203.0.113.10", "--tcp", "443", "--live"]);
    let exposed = exposed.expect_code(0).stdout;
    assert!(
        exposed.contains("delivered to acme/web/10.1.0.10") && exposed.contains("Load_Balancer tcp"),
        "{exposed}"
    );
}

#[test]
fn a_live_trace_evaluates_the_rows_of_others() {
    let Some(lab) = Lab::start() else { return };
    let _ = lab.apply();
    add_host(&lab, "db", "db-7", "0a:00:00:00:00:07 10.2.0.7");
    lab.nbctl(&["acl-add", "lab:acme/bridge/db", "to-lport", "32767", "tcp.dst == 5432", "drop"]);
    let dropped = trace(&lab, &["--live"]).expect_code(0).stdout;
    assert!(
        dropped.contains("which is not midoform's")
            && dropped.contains("dropped at acme/bridge/db by the rule"),
        "{dropped}"
    );
    let report: Json =
        serde_json::from_str(&trace(&lab, &["--live", "--json"]).expect_code(0).stdout).unwrap();
    let rule = report["hops"][2]["rules"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&rule["row"]["match"], &rule["row"]["priority"]), (&json!("tcp.dst == 5432"), &json!(32767)));
    lab.nbctl(&["acl-del", "lab:acme/bridge/db", "to-lport", "32767", "tcp.dst == 5432"]);
    // A router of somebody else, behind one of the tenant's.
    lab.nbctl(&["lr-add", "theirs"]);
    lab.nbctl(&[
        "lrp-add",
        "theirs",
        "theirs-acme",
        "0a:00:00:00:01:01",
        "192.0.2.10/30",
        "peer=acme-theirs",
    ]);
    lab.nbctl(&[
        "lrp-add",
        "lab:acme/router",
        "acme-theirs",
        "0a:00:00:00:01:02",
        "192.0.2.9/30",
        "peer=theirs-acme",
    ]);
    lab.nbctl(&["lrp-add", "theirs", "theirs-lan", "0a:00:00:00:01:03", "10.77.0.1/24"]);
    lab.nbctl(&["ls-add", "lan"]);
    lab.nbctl(&["lsp-add", "lan", "lan-router"]);
    lab.nbctl(&["lsp-set-type", "lan-router", "router"]);
    lab.nbctl(&["lsp-set-addresses", "lan-router", "router"]);
    lab.nbctl(&["lsp-set-options", "lan-router", "router-port=theirs-lan"]);
    lab.nbctl(&["lsp-add", "lan", "lan-host"]);
    lab.nbctl(&["lsp-set-addresses", "lan-host", "0a:00:00:00:01:04 10.77.0.5"]);
    lab.nbctl(&["lr-route-add", "lab:acme/router", "10.77.0.0/24", "192.0.2.10"]);
    lab.nbctl(&["lr-route-add", "theirs", "10.1.0.0/24", "192.0.2.9"]);
    let there = lab.midoform(&[
        "trace",
        "--from",
        "acme/web/10.1.0.5",
        "--to",
        "10.77.0.5",
        "--tcp",
        "80",
        "--live",
        "--json",
    ]);
    let report: Json = serde_json::from_str(&there.expect_code(0).stdout).unwrap();
    assert_eq!(report["ending"]["is"], "delivered", "{report:#}");
    assert_eq!(report["hops"].as_array().unwrap().len(), 4);
}

/// What midoform can't read decides about packets as well: there is no trace, and the error names the row.
#[test]
fn a_live_trace_refuses_rows_that_it_cannot_read() {
    let Some(lab) = Lab::start() else { return };
    let _ = lab.apply();
    add_host(&lab, "db", "db-7", "0a:00:00:00:00:07 10.2.0.7");
    lab.nbctl(&["set", "logical_router", "lab:acme/router", "options:chassis=gw1"]);
    let refused = trace(&lab, &["--live"]).expect_code(6).stderr;
    assert!(
        refused.contains("Logical_Router acme/router") && refused.contains("options:chassis=gw1"),
        "{refused}"
    );
    lab.nbctl(&["remove", "logical_router", "lab:acme/router", "options", "chassis"]);
    lab.nbctl(&["lr-nat-add", "lab:acme/router", "dnat_and_snat", "203.0.113.99", "10.1.0.99"]);
    let refused = trace(&lab, &["--live"]).expect_code(6).stderr;
    assert!(refused.contains("NAT acme/router/foreign/@") && refused.contains("dnat_and_snat"), "{refused}");
    lab.nbctl(&["lr-nat-del", "lab:acme/router", "dnat_and_snat", "203.0.113.99"]);
    lab.nbctl(&["acl-add", "lab:acme/bridge/web", "from-lport", "1", "ip4.src == $nothing", "drop"]);
    let refused = trace(&lab, &["--live"]).expect_code(6).stderr;
    assert!(refused.contains("ACL acme/bridge/web/foreign/@") && refused.contains("$nothing"), "{refused}");
    // Rows of switches and routers where the packet does not come are no matter.
    lab.nbctl(&["acl-del", "lab:acme/bridge/web", "from-lport", "1", "ip4.src == $nothing"]);
    lab.nbctl(&["lr-add", "elsewhere"]);
    lab.nbctl(&["lr-nat-add", "elsewhere", "dnat_and_snat", "203.0.113.99", "10.1.0.99"]);
    let _ = trace(&lab, &["--live"]).expect_code(0);
}

#[test]
fn a_trace_of_a_wrong_endpoint_shows_the_syntax() {
    let Some(lab) = Lab::start() else { return };
    let wrong = |from: &str, more: &[&str]| {
        let arguments = [&["trace", "--from", from, "--to", "8.8.8.8"], more].concat();
        lab.midoform(&arguments).expect_code(64).stderr
    };
    let there_is_none = wrong("acme/nowhere/10.0.0.1", &[]);
    assert!(
        there_is_none.contains("there is no bridge acme/nowhere")
            && there_is_none.contains("TENANT/BRIDGE/ADDRESS")
    );
    assert!(wrong("acme/nothing", &[]).contains("there is no static port acme/nothing"));
    // Nothing was applied: the database has no such switch.
    assert!(wrong("acme/web/10.1.0.5", &["--live"]).contains("there is no bridge acme/web"));
}
