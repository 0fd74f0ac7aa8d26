//! The rows of the examples, and what holds of all rows.

use midoform_compiler::ovn;
use midoform_compiler::ovn::lint;
use midoform_compiler::ovn::lower::pod::{self, Pod, PortSecurity};
use midoform_compiler::plan::Plan;
use midoform_compiler::source::Source;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::row::schema::TABLES;
use midoform_compiler::topology::kinds::{Reference, Row};
use midoform_compiler::topology::observed::Observed;
use midoform_compiler::topology::{Entry, Topology};
use proptest::prelude::*;
use uuid::Uuid;

use super::samples::{SITE, change_row, example, row_of, rows, shown};
use crate::samples::{EXAMPLES, Project};

#[test]
fn the_rows_of_the_examples() {
    for name in EXAMPLES {
        let (_, rows) = rows(&example(name));
        let mut text = shown(&rows);
        if name == "fleet" {
            // All tenants are alike.
            let lines: Vec<&str> = text.lines().collect();
            let length = lines.len();
            let start = lines.iter().position(|line| line.contains(" tenant-00002/")).unwrap();
            text = format!("{}\n… {length} lines\n", lines[..start].join("\n"));
        }
        insta::assert_snapshot!(format!("ovn_rows_{name}"), text);
    }
}

#[test]
fn the_order_of_files_is_no_input() {
    for name in EXAMPLES {
        let project = example(name);
        let mut turned = project.clone();
        turned.tenants.reverse();
        let half = turned.tenants.len() / 2;
        turned.tenants.rotate_left(half);
        assert_eq!(rows(&project).1, rows(&turned).1, "{name}");
    }
}

/// Somebody else's provider router is not made, and only what is the tenants' is put into it.
#[test]
fn a_given_router_is_only_added_to() {
    let id = "6f6b2a0e-0000-4000-8000-000000000001";
    let given =
        [("prov", Reference::Named("prov".to_owned())), (id, Reference::External(id.parse().unwrap()))];
    for (text, reference) in given {
        let mut project = example("shared-networks");
        let site = project.site.text().split("[ovn.localnet]").next().unwrap().to_owned();
        let at = site.rfind("managed = true").unwrap();
        let site =
            format!("{}provider_router = \"{text}\"{}", &site[..at], &site[at + "managed = true".len()..]);
        project.site = Source::new("site.toml", site);
        let (_, rows) = rows(&project);
        assert!(!rows.entries().iter().any(|entry| entry.key.owner() == "site"));
        let holders = rows.entries().iter().filter_map(|entry| Some((entry, row_of(entry).holder.as_ref()?)));
        let added: Vec<&str> = holders
            .filter(|(_, holder)| holder.row == reference)
            .map(|(entry, holder)| {
                assert_eq!((holder.table.name(), holder.column), ("Logical_Router", "ports"));
                entry.key.as_str()
            })
            .collect();
        assert_eq!(added, ["acme/uplink/provider-port", "beta/uplink/provider-port"]);
    }
}

#[test]
fn rows_and_their_operations_are_read_as_they_were_written() {
    for name in EXAMPLES.into_iter().filter(|name| *name != "fleet") {
        let (compiled, rows) = rows(&example(name));
        let text = serde_json::to_string(&rows).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), rows, "{name}");
        let plan = ovn::plan(&compiled.site.name.value, &rows, &Observed::default());
        let text = serde_json::to_string(&plan).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text, "{name}");
        assert_eq!(lint::check_plan(&plan, &rows, &Observed::default()), [], "{name}");
    }
}

#[test]
fn tables_stand_where_their_variants_say() {
    for schema in TABLES {
        assert_eq!(schema.table.schema().name, schema.name);
        assert!(schema.columns.is_sorted_by(|a, b| a.name < b.name), "{}", schema.name);
    }
}

#[test]
fn a_pod_is_one_row() {
    let pod = Pod {
        site: "lab",
        tenant: "acme",
        switch: Reference::Key(Key::tenant("acme").bridge("web").device()),
        container: "c1",
        interface: "eth0",
        tag: Some("0a1b2c3"),
        host: Uuid::from_u128(2),
        chassis: None,
        mac: "0a:58:c0:a8:00:05".parse().unwrap(),
        address: "192.168.0.5".parse().unwrap(),
        security: PortSecurity::Networks(vec!["192.168.0.5/32".parse().unwrap()]),
    };
    let open = Pod { security: PortSecurity::None, chassis: Some("node1"), ..pod.clone() };
    let both = [&pod, &open].map(|pod| shown(&pod::lower(pod)));
    insta::assert_snapshot!("ovn_rows_of_a_pod", both.join("\n"));
}

#[test]
fn the_checker_finds_what_is_missing() {
    let (compiled, all) = rows(&example("policy"));
    let referred = ["Address_Set", "Port_Group", "Logical_Router", "Logical_Switch", "Load_Balancer"];
    for left_out in all.entries().iter().filter(|entry| referred.contains(&row_of(entry).table.name())) {
        let rest = all.entries().iter().filter(|entry| entry.key != left_out.key).cloned().collect();
        let found = lint::check(&compiled.site.name.value, &Topology::new(rest));
        assert!(!found.is_empty(), "{} is missing", left_out.key);
    }
}

/// A change of an entry.
type Change = fn(&mut Entry);

#[test]
fn the_checker_finds_what_is_wrong() {
    let (compiled, all) = rows(&example("policy"));
    let cases: [(&str, &str, Change); 9] = [
        ("bad-match", "acl/to/answers", |entry| set(entry, |row| row.text("match", "ip4.srcc == 1"))),
        ("unknown-name", "acl/to/router", |entry| set(entry, |row| row.text("match", "outport == \"x\""))),
        ("bad-value", "acl/to/answers", |entry| set(entry, |row| row.integer("priority", 40000))),
        ("same-priority", "acl/to/answers", |entry| {
            set(entry, |row| row.text("action", "drop").integer("priority", 32767));
        }),
        ("unknown-name", "uplink/port", |entry| set(entry, |row| row.text("peer", "nobody"))),
        ("unknown-column", "nat/10.20.0.0-24", |entry| set(entry, |row| row.text("colour", "red"))),
        ("holder", "nat/10.20.0.0-24", |entry| change_row(entry, |row| row.holder = None)),
        ("no-key", "nat/10.20.0.0-24", |entry| {
            change_row(entry, |row| drop(row.columns.remove("external_ids")))
        }),
        ("missing-column", "nat/10.20.0.0-24", |entry| {
            change_row(entry, |row| drop(row.columns.remove("logical_ip")))
        }),
    ];
    for (code, key, change) in cases {
        let mut entries = all.entries().to_vec();
        change(entries.iter_mut().find(|entry| entry.key.as_str().ends_with(key)).unwrap());
        let found = lint::check(&compiled.site.name.value, &Topology::new(entries));
        assert!(found.iter().any(|found| found.code.name() == code), "{code}: {found:#?}");
    }
}

fn set(entry: &mut Entry, change: impl Fn(Row) -> Row) {
    change_row(entry, |row| *row = change(row.clone()));
}

/// Makes a tenant of random parts.
fn tenant(name: &str, parts: &[u16], peer: &str) -> String {
    let profiles = ["strict", "rainbond"];
    let checks = ["bridge", "port", "none"];
    let pick = |at: usize, most: usize| usize::from(parts[at % parts.len()]) / (1 + at % 7) % most;
    let profile = profiles[pick(0, 2)];
    let anti_spoof = checks[pick(1, 3)];
    let first = if name < peer { 64 } else { 96 };
    let public = format!("{{ snat = \"203.0.113.{first}-203.0.113.{}\" }}", first + 2);
    let egress = ["\"snat\"", "\"none\"", public.as_str()][pick(2, 3)];
    let mut text = format!(
        "name = \"{name}\"\nprofile = \"{profile}\"\nanti_spoof = \"{anti_spoof}\"\negress = {egress}\n"
    );
    for bridge in ["web", "db", "log-1"] {
        text += &format!("[[bridge]]\nname = \"{bridge}\"\n");
    }
    text += "[[address_group]]\nname = \"office\"\naddresses = [\"198.51.100.0/24\", \"203.0.113.9\", \"10.0.0.0/8\"]\n";
    text += &format!("[[peer]]\ntenant = \"{peer}\"\nbridges = [\"db\"]\n");
    if pick(3, 2) == 0 {
        text += "[[route]]\ndestination = \"10.99.0.0/16\"\ntype = \"reject\"\n[[route]]\ndestination = \"10.99.1.0/24\"\ntype = \"blackhole\"\n";
    }
    let places = [
        "bridge = \"web\"",
        "bridge = \"db\"",
        "address_group = \"office\"",
        "cidr = \"10.0.0.0/8\"",
        "world = true",
        &format!("peer = \"{peer}\""),
        "",
    ];
    let protocols = [
        "",
        "tcp = 80",
        "tcp = [22, \"8000-8100\"]",
        "udp = 53",
        "icmp = { type = 8 }",
        "protocol = 47",
        "tcp = true",
    ];
    let actions = ["accept", "drop", "reject"];
    for at in 0..parts.len() {
        let (from, to) = (places[pick(3 * at + 4, 7)], places[pick(3 * at + 5, 7)]);
        let (protocol, action) = (protocols[pick(at + 6, 7)], actions[pick(at + 1, 3)]);
        let from = if anti_spoof == "none" && !from.contains("address") && !from.contains("cidr") {
            ""
        } else {
            from
        };
        let comma = if to.is_empty() || protocol.is_empty() { "" } else { ", " };
        text += &format!(
            "[[rule]]\nname = \"r{at}\"\nfrom = {{ {from} }}\nto = {{ {to}{comma}{protocol} }}\naction = \"{action}\"\n"
        );
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a spec says: its rows are right (`rows` checks them), and the same each time.
    #[test]
    fn the_rows_of_random_specs_are_right(
        one in proptest::collection::vec(any::<u16>(), 1..9),
        other in proptest::collection::vec(any::<u16>(), 1..9),
    ) {
        let texts = [("a.toml", tenant("a-1", &one, "b.2")), ("b.toml", tenant("b.2", &other, "a-1"))];
        let borrowed: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let project = Project::of_text(SITE, &borrowed);
        let turned = Project::of_text(SITE, &borrowed.into_iter().rev().collect::<Vec<_>>());
        prop_assert_eq!(rows(&project).1, rows(&turned).1);
    }
}
