//! The commands on OVN: a real northbound database, whose rows are read and changed by OVN's own tools beside midoform.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use midoform_testutil::ovsdb::{self, Servers};
use midoform_testutil::{Ran, TestFolder};
use serde_json::{Value as Json, json};

use crate::MIDOFORM;
use crate::doctor_ovn::started;

const SCHEMA: &str = "/usr/share/ovn/ovn-nb.ovsschema";

pub(crate) const TENANT: &str = r#"name = "acme"

[[bridge]]
name = "web"
cidr = "10.1.0.0/24"

[[bridge]]
name = "db"
cidr = "10.2.0.0/24"

[[rule]]
name = "web-to-db"
action = "accept"
from = { bridge = "web" }
to = { bridge = "db", tcp = 5432 }

[[rule]]
name = "closed"
action = "drop"
to = { bridge = "db" }

[[expose]]
public = "203.0.113.10:443"
to = { bridge = "web", address = "10.1.0.10", tcp = 8443 }
"#;

/// The tables whose rows midoform makes.
const TABLES: [&str; 12] = [
    "Address_Set",
    "Load_Balancer",
    "Logical_Router",
    "Logical_Switch",
    "Logical_Router_Port",
    "Gateway_Chassis",
    "Logical_Switch_Port",
    "Port_Group",
    "Logical_Router_Static_Route",
    "Logical_Router_Policy",
    "NAT",
    "ACL",
];

/// A northbound database, and a project on it.
pub(crate) struct Lab {
    servers: Servers,
    pub(crate) folder: TestFolder,
}

impl Lab {
    /// Starts a database, and writes a project with the tenant `acme`; none, with a word about it, if OVN is not installed.
    pub(crate) fn start() -> Option<Lab> {
        Lab::with_schema(|_| {})
    }

    /// Starts it with an edited schema.
    fn with_schema(edit: impl FnOnce(&mut Json)) -> Option<Lab> {
        let has_schema = Path::new(SCHEMA).exists();
        if let Some(missing) = ovsdb::missing().or_else(|| (!has_schema).then(|| SCHEMA.to_owned())) {
            println!("SKIPPED: OVN is not installed ({missing} is missing)");
            return None;
        }
        let folder = TestFolder::default();
        let mut schema: Json = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
        schema.as_object_mut().unwrap().remove("cksum");
        edit(&mut schema);
        folder.write("northbound.ovsschema", schema.to_string());
        let servers = started(&folder.path().join("northbound.ovsschema"));
        let lab = Lab { servers, folder };
        lab.write_site("managed = true\n");
        lab.folder.write("acme.toml", TENANT);
        Some(lab)
    }

    fn remote(&self) -> String {
        self.servers.unix(0)
    }

    fn write_site(&self, provider: &str) {
        let remote = self.remote();
        let site = format!(
            "name = \"lab\"\n[ovn]\nnorthbound = \"{remote}\"\n{provider}gateway_chassis = \"gw1\"\n"
        );
        self.folder.write("site.toml", &site);
    }

    /// Runs a command. Nothing follows this northbound database, so nothing is waited for.
    pub(crate) fn midoform(&self, arguments: &[&str]) -> Ran {
        let waits = ["apply", "destroy", "undo"].contains(&arguments[0]);
        let more: &[&str] = if waits { &["--wait", "none"] } else { &[] };
        self.folder.run(MIDOFORM, &[arguments, more].concat())
    }

    pub(crate) fn apply(&self) -> Ran {
        self.midoform(&["apply", "--yes"]).expect_code(0)
    }

    fn has_no_drift(&self) {
        let drift = self.midoform(&["drift"]);
        assert_eq!(drift.code, 0, "{}{}", drift.stdout, drift.stderr);
    }

    /// Changes the rows as another tool does.
    pub(crate) fn nbctl(&self, arguments: &[&str]) -> String {
        let ran = Command::new("ovn-nbctl")
            .arg(format!("--db={}", self.remote()))
            .args(arguments)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// Executes a transaction as another tool does, and returns the results.
    fn transact(&self, operations: impl IntoIterator<Item = Json>) -> Vec<Json> {
        let transaction: Vec<Json> = std::iter::once(json!("OVN_Northbound")).chain(operations).collect();
        let ran = Command::new("ovsdb-client")
            .args(["transact", &self.remote(), &Json::Array(transaction).to_string()])
            .output()
            .unwrap();
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// Returns every row of every table, without what OVN itself counts.
    fn rows(&self) -> Vec<Json> {
        let selects = TABLES.iter().map(|table| json!({"op": "select", "table": table, "where": []}));
        let reply = self.transact(selects);
        let rows = reply.iter().flat_map(|result| result["rows"].as_array().unwrap().clone());
        let mut rows: Vec<Json> = rows.collect();
        for row in &mut rows {
            row.as_object_mut().unwrap().remove("_version");
        }
        rows.sort_by_key(|row| row["_uuid"].to_string());
        rows
    }

    fn summary(&self, arguments: &[&str]) -> Json {
        let plan = self.midoform(&[&["plan", "--json"], arguments].concat()).expect_code(0);
        serde_json::from_str::<Json>(&plan.stdout).unwrap()["summary"].clone()
    }
}

#[test]
fn applied_twice_is_applied_once() {
    let Some(lab) = Lab::start() else { return };
    let _ = lab.midoform(&["validate", "--deny-warnings"]).expect_code(0);
    let _ = lab.apply();
    let rows = lab.rows();
    assert!(!rows.is_empty());
    lab.has_no_drift();
    let _ = lab.midoform(&["plan", "--detailed-exitcode"]).expect_code(0);
    let _ = lab.apply();
    assert_eq!(lab.rows(), rows);
    let shown = lab.midoform(&["show"]).expect_code(0).stdout;
    assert!(shown.contains("bridge/web ") && shown.contains("The network matches the spec."), "{shown}");
    let switches = lab.nbctl(&["ls-list"]);
    assert!(switches.contains("(lab:acme/bridge/web)"), "{switches}");
}

#[test]
fn an_edit_changes_what_differs_and_destroy_leaves_nothing() {
    let Some(lab) = Lab::start() else { return };
    let _ = lab.apply();
    let edited = TENANT
        .replace("5432", "5433")
        .replace("name = \"closed\"\naction = \"drop\"", "name = \"closed\"\naction = \"reject\"");
    lab.folder.write("acme.toml", &edited);
    let summary = lab.summary(&[]);
    assert_eq!(
        (&summary["create"], &summary["update"], &summary["delete"]),
        (&json!(0), &json!(2), &json!(0))
    );
    let _ = lab.apply();
    lab.has_no_drift();
    // A bridge and all that is on it goes away, and what refers to it.
    let start = edited.find("[[bridge]]\nname = \"db\"").unwrap();
    let end = edited.find("[[expose]]").unwrap();
    lab.folder.write("acme.toml", format!("{}{}", &edited[..start], &edited[end..]));
    let _ = lab.midoform(&["apply", "--yes", "--allow-mass-delete"]).expect_code(0);
    lab.has_no_drift();
    assert!(!lab.nbctl(&["ls-list"]).contains("db"));
    let _ = lab.midoform(&["destroy", "--yes", "--site-objects"]).expect_code(0);
    assert_eq!(lab.rows(), Vec::<Json>::new());
}

#[test]
fn what_is_changed_by_hand_is_drift_and_is_repaired() {
    let Some(lab) = Lab::start() else { return };
    let _ = lab.apply();
    let rows = lab.rows();
    lab.nbctl(&["acl-del", "lab:acme/bridge/db", "to-lport"]);
    lab.nbctl(&["set", "logical_router_port", "lab:acme/bridge/web/gateway-port", "options:gateway_mtu=900"]);
    lab.nbctl(&["lr-nat-del", "lab:acme/router", "snat", "10.1.0.0/24"]);
    let drift = lab.midoform(&["drift"]).expect_code(8);
    for key in
        ["acme/bridge/db/acl/to/rule/closed", "acme/bridge/web/gateway-port", "acme/router/nat/10.1.0.0-24"]
    {
        assert!(drift.stdout.contains(key), "{key}: {}", drift.stdout);
    }
    let _ = lab.apply();
    lab.has_no_drift();
    assert_eq!(lab.rows().len(), rows.len());
}

#[test]
fn what_others_add_stays_and_is_reported() {
    let Some(lab) = Lab::start() else { return };
    let _ = lab.apply();
    lab.nbctl(&[
        "set",
        "logical_switch",
        "lab:acme/bridge/web",
        "external_ids:other=1",
        "other_config:mcast_snoop=true",
    ]);
    lab.nbctl(&["acl-add", "lab:acme/bridge/db", "to-lport", "32000", "tcp.dst == 22", "allow"]);
    lab.nbctl(&["lsp-add", "lab:acme/bridge/web", "somebody"]);
    let drift = lab.midoform(&["drift"]).expect_code(8);
    assert!(drift.stdout.contains("tcp.dst == 22"), "{}", drift.stdout);
    lab.folder.write("acme.toml", TENANT.replace("5432", "5433"));
    let _ = lab.apply();
    assert_eq!(
        lab.nbctl(&["get", "logical_switch", "lab:acme/bridge/web", "external_ids:other"]).trim(),
        "\"1\""
    );
    assert_eq!(
        lab.nbctl(&["get", "logical_switch", "lab:acme/bridge/web", "other_config:mcast_snoop"]).trim(),
        "\"true\""
    );
    assert!(lab.nbctl(&["acl-list", "lab:acme/bridge/db"]).contains("tcp.dst == 22"));
    let _ = lab.midoform(&["apply", "--yes", "--remove-foreign"]).expect_code(0);
    assert!(!lab.nbctl(&["acl-list", "lab:acme/bridge/db"]).contains("tcp.dst == 22"));
    lab.has_no_drift();
    let refused = lab.midoform(&["destroy", "--yes"]).expect_code(6);
    assert!(refused.stderr.contains("somebody"), "{}", refused.stderr);
}

#[test]
fn a_saved_plan_is_refused_where_the_network_has_moved_and_can_be_undone() {
    let Some(lab) = Lab::start() else { return };
    let _ = lab.apply();
    let before = lab.rows();
    lab.folder.write("acme.toml", TENANT.replace("5432", "5433"));
    let _ = lab.midoform(&["plan", "--out", "saved.json"]).expect_code(0);
    lab.nbctl(&["set", "logical_router_port", "lab:acme/bridge/web/gateway-port", "options:gateway_mtu=900"]);
    let moved = lab.rows();
    let refused = lab.midoform(&["apply", "saved.json", "--yes"]).expect_code(6);
    assert!(refused.stderr.contains("changed since"), "{}", refused.stderr);
    assert_eq!(lab.rows(), moved);
    lab.nbctl(&[
        "set",
        "logical_router_port",
        "lab:acme/bridge/web/gateway-port",
        "options:gateway_mtu=1442",
    ]);
    let _ = lab.midoform(&["apply", "saved.json", "--yes"]).expect_code(0);
    assert_ne!(lab.rows(), before);
    let _ = lab.midoform(&["undo", "saved.json", "--yes"]).expect_code(0);
    assert_eq!(lab.rows(), before);
}

#[test]
fn a_given_provider_router_is_only_added_to() {
    let Some(lab) = Lab::start() else { return };
    lab.write_site("provider_router = \"edge\"\n");
    let absent = lab.midoform(&["plan"]).expect_code(6);
    assert!(absent.stderr.contains("there is no router \"edge\""), "{}", absent.stderr);
    lab.nbctl(&["lr-add", "edge"]);
    lab.nbctl(&["lrp-add", "edge", "edge-out", "0a:00:00:00:00:01", "198.51.100.2/24"]);
    lab.nbctl(&["lr-route-add", "edge", "0.0.0.0/0", "198.51.100.1"]);
    let others = lab.rows();
    let _ = lab.apply();
    lab.has_no_drift();
    let ports = lab.nbctl(&["lrp-list", "edge"]);
    assert!(ports.contains("edge-out") && ports.contains("lab:acme/uplink/provider-port"), "{ports}");
    let _ = lab.midoform(&["destroy", "--yes"]).expect_code(0);
    assert_eq!(lab.rows(), others);
    lab.nbctl(&["create", "logical_router", "name=edge"]);
    let many = lab.midoform(&["plan"]).expect_code(6);
    assert!(many.stderr.contains("2 routers are called"), "{}", many.stderr);
}

#[test]
fn one_tenant_of_two_is_applied_and_destroyed() {
    let Some(lab) = Lab::start() else { return };
    let beta = TENANT.replace("acme", "beta").replace("10.1.", "10.11.").replace("10.2.", "10.12.");
    lab.folder.write("beta.toml", beta.replace("203.0.113.10", "203.0.113.11"));
    let _ = lab.midoform(&["apply", "--yes", "--target", "acme"]).expect_code(0);
    let alone = lab.rows();
    let _ = lab.apply();
    lab.has_no_drift();
    let _ = lab.midoform(&["destroy", "--yes", "--target", "beta"]).expect_code(0);
    assert_eq!(lab.rows(), alone);
    let verified = lab.midoform(&["verify"]).expect_code(0).stdout;
    assert!(verified.contains('✓') && !verified.contains('?') && !verified.contains('✗'), "{verified}");
}

#[test]
fn the_script_does_what_an_apply_does() {
    let Some(lab) = Lab::start() else { return };
    let script = lab.midoform(&["plan", "--format", "shell"]).expect_code(0).stdout;
    lab.folder.write("plan.sh", &script);
    let ran = lab.folder.run("sh", &["plan.sh"]).expect_code(0);
    assert!(ran.stdout.contains("changes were made"), "{}", ran.stdout);
    lab.has_no_drift();
    let again = lab.folder.run("sh", &["plan.sh"]);
    assert_ne!(again.code, 0, "rows with these ids are there already");
    lab.has_no_drift();
}

#[test]
fn a_site_with_both_engines_shows_either_plan() {
    let Some(lab) = Lab::start() else { return };
    let remote = lab.remote();
    let site = format!(
        "name = \"lab\"\nunderlay_mtu = 1600\n[midonet]\nembedded = true\nmanaged = true\n[ovn]\nnorthbound = \"{remote}\"\nmanaged = true\ngateway_chassis = \"gw1\"\n"
    );
    lab.folder.write("site.toml", &site);
    let of = |engine: &[&str]| {
        let plan = lab.midoform(&[&["plan", "--json"], engine].concat()).expect_code(0);
        serde_json::from_str::<Json>(&plan.stdout).unwrap()["engine"].as_str().unwrap().to_owned()
    };
    assert_eq!(of(&[]), "midonet-5");
    assert_eq!(of(&["--engine", "midonet"]), "midonet-5");
    assert_eq!(of(&["--engine", "ovn"]), "ovn");
    // The allocations are the site's, so the addresses are the same on both sides.
    let _ = lab.midoform(&["apply", "--yes"]).expect_code(0);
    let _ = lab.midoform(&["apply", "--yes", "--engine", "ovn"]).expect_code(0);
    let _ = lab.midoform(&["drift"]).expect_code(0);
    let _ = lab.midoform(&["drift", "--engine", "ovn"]).expect_code(0);
    lab.folder.write("site.toml", "name = \"lab\"\n[midonet]\nembedded = true\nmanaged = true\n");
    let _ = lab.midoform(&["plan", "--engine", "ovn"]).expect_code(64);
}

#[test]
fn a_database_that_is_not_there_is_an_error() {
    let Some(lab) = Lab::start() else { return };
    lab.folder.write(
        "site.toml",
        "name = \"lab\"\n[ovn]\nnorthbound = \"unix:/nowhere/nb.sock\"\nmanaged = true\ngateway_chassis = \"gw1\"\n",
    );
    let gone = lab.midoform(&["plan", "--timeout", "1"]).expect_code(4);
    assert!(gone.stderr.contains("unix:/nowhere/nb.sock"), "{}", gone.stderr);
    let _ = lab.midoform(&["plan", "--offline"]).expect_code(0);
}

/// What a server lacks is named, whether the rows can't be read or can't be written; and nothing is written.
#[test]
fn a_database_with_another_schema_is_refused() {
    let text = json!({"key": "string", "min": 0, "max": "unlimited"});
    let pairs = json!({"key": "string", "value": "string", "min": 0, "max": "unlimited"});
    // A column that is missing is seen when rows are read; another type of a table without rows, when rows are written.
    for (table, column, kind) in [
        ("ACL", "options", None),
        ("ACL", "priority", Some(json!("string"))),
        ("Logical_Switch", "external_ids", Some(text)),
        ("Address_Set", "addresses", Some(pairs)),
    ] {
        let other_type = if kind.is_some() { " (it has another type)" } else { "" };
        let words = format!("whose schema lacks {table}.{column}{other_type}\n");
        let lab = Lab::with_schema(|schema| {
            let columns = schema["tables"][table]["columns"].as_object_mut().unwrap();
            assert!(columns.remove(column).is_some());
            columns.extend(kind.map(|kind| (column.to_owned(), json!({ "type": kind }))));
        });
        let Some(lab) = lab else { return };
        if table == "Address_Set" {
            let row = json!({"name": "theirs", "addresses": ["map", [["10.0.0.1", "x"]]]});
            let made = lab.transact([json!({"op": "insert", "table": table, "row": row})]);
            assert!(made[0]["uuid"].is_array(), "{made:?}");
        }
        let before = lab.rows();
        let refused = lab.midoform(&["apply", "--yes"]).expect_code(7);
        for words in [&words, "upgrade OVN"] {
            assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
        }
        assert_eq!(lab.rows(), before);
    }
}

/// Whenever an apply is killed, the rows are as before or as wanted, and the next apply ends.
#[test]
fn an_apply_that_is_killed_leaves_all_or_nothing() {
    let Some(lab) = Lab::start() else { return };
    std::fs::remove_file(lab.folder.path().join("acme.toml")).unwrap();
    for tenant in 0..20 {
        let name = format!("t{tenant:02}");
        lab.folder.write(
            &format!("{name}.toml"),
            format!("name = \"{name}\"\n[[bridge]]\nname = \"web\"\ncidr = \"10.{tenant}.0.0/24\"\n"),
        );
    }
    let whole = {
        let _ = lab.apply();
        let rows = lab.rows().len();
        let _ = lab.midoform(&["destroy", "--yes", "--site-objects"]).expect_code(0);
        rows
    };
    for milliseconds in [5, 20, 40, 60, 80, 110, 150] {
        let mut apply = Command::new(MIDOFORM)
            .args(["apply", "--yes", "--quiet", "--wait", "none"])
            .current_dir(lab.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = apply.kill();
        let _ = apply.wait();
        let rows = lab.rows().len();
        assert!(rows == 0 || rows == whole, "after {milliseconds} ms: {rows} of {whole} rows");
        if rows == whole {
            let _ =
                lab.midoform(&["destroy", "--yes", "--site-objects", "--lock-timeout", "30"]).expect_code(0);
        }
    }
    let _ = lab.midoform(&["apply", "--yes", "--lock-timeout", "30"]).expect_code(0);
    lab.has_no_drift();
    assert_eq!(lab.rows().len(), whole);
}
