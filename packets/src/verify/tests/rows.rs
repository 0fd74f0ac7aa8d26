//! Random specs on OVN: the checks hold for what midoform writes, and random faults in the rows are found.

use std::fmt::Write;

use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::agreement::cases_of_rows;
use super::random::Dice;
use crate::verify::report::{Subject, Verification};
use crate::verify::{Check, check_all, compare};
use midoform_compiler::plan::reachability::{ConnectionEnd, Now, ReachabilityChange};
use midoform_compiler::source::Source;
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::topology::kinds::row::Value;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::{Allocated, Compiled, Input, compile};

const SITE: &str = "name = \"s\"\n[ovn]\nnorthbound = \"unix:nb.sock\"\nmanaged = true\ngateway_chassis = \"gw1\"\n[pools]\nlinks = \"172.16.0.0/16\"\n[[host]]\nname = \"node1\"\nid = \"11111111-2222-3333-4444-555555555555\"\ntunnel_address = \"10.255.0.1\"\n";

/// Networks of bridges, of parts of one, of several, and outside.
pub(super) const NETWORKS: [&str; 9] = [
    "10.1.0.0/24",
    "10.1.1.0/25",
    "10.1.1.9/32",
    "10.1.0.0/22",
    "198.18.0.0/24",
    "198.18.0.128/25",
    "10.9.0.0/16",
    "10.2.0.0/24",
    "203.0.113.7/32",
];

/// A network that specs route to a pod.
const ROUTED: &str = "10.9.0.0/16";

fn end(dice: &mut Dice, has_peer: bool) -> String {
    match dice.below(8) {
        0..3 => format!("bridge = \"b{}\"", dice.below(3)),
        3 => format!("cidr = \"{}\"", dice.pick(&NETWORKS)),
        4 => "address_group = \"g\"".to_owned(),
        5 => "world = true".to_owned(),
        6 if has_peer => "peer = \"u\"".to_owned(),
        _ => String::new(),
    }
}

/// Returns a random tenant, and its peer; not each is sound.
fn specs(dice: &mut Dice) -> [String; 2] {
    let has_peer = dice.one_in(2);
    let mut text = "name = \"t\"\n".to_owned();
    text.push_str(dice.pick(&[
        "",
        "",
        "egress = \"none\"\n",
        "egress = { snat = \"203.0.113.64-203.0.113.66\" }\n",
    ]));
    text.push_str(dice.pick(&["", "", "", "anti_spoof = \"port\"\n", "anti_spoof = \"none\"\n"]));
    for at in 0..3 {
        writeln!(text, "[[bridge]]\nname = \"b{at}\"\ncidr = \"10.1.{at}.0/24\"").unwrap();
    }
    let (one, other) = (dice.pick(&NETWORKS), dice.pick(&NETWORKS));
    writeln!(text, "[[address_group]]\nname = \"g\"\naddresses = [\"{one}\", \"{other}\"]").unwrap();
    if dice.one_in(2) {
        let (at, protocol) = (dice.below(3), dice.pick(&["tcp", "udp"]));
        writeln!(text, "[[expose]]\npublic = \"192.0.2.10:443\"").unwrap();
        writeln!(text, "to = {{ bridge = \"b{at}\", address = \"10.1.{at}.9\", {protocol} = 8443 }}")
            .unwrap();
    }
    if dice.one_in(4) {
        writeln!(text, "[[route]]\ndestination = \"{ROUTED}\"\nvia = \"10.1.1.7\"").unwrap();
    }
    if dice.one_in(6) {
        writeln!(text, "[[route]]\ndestination = \"10.8.0.0/16\"\ntype = \"reject\"").unwrap();
    }
    if dice.one_in(4) {
        writeln!(text, "[[port]]\nname = \"p\"\nbridge = \"b0\"\nhost = \"node1\"\ninterface = \"e0\"\nmac = \"0a:00:00:00:00:05\"\naddress = \"10.1.0.5\"").unwrap();
    }
    for at in 0..dice.below(6) {
        let (from, mut to) = (end(dice, has_peer), end(dice, has_peer));
        if dice.one_in(2) {
            let comma = if to.is_empty() { "" } else { ", " };
            let (protocol, ports) =
                (dice.pick(&["tcp", "udp"]), dice.pick(&["22", "[80, 443]", "\"400-9000\""]));
            write!(to, "{comma}{protocol} = {ports}").unwrap();
        }
        writeln!(text, "[[rule]]\nname = \"r{at}\"").unwrap();
        for (side, end) in [("from", from), ("to", to)].iter().filter(|(_, end)| !end.is_empty()) {
            writeln!(text, "{side} = {{ {end} }}").unwrap();
        }
        writeln!(text, "action = \"{}\"", dice.pick(&["accept", "accept", "drop", "reject"])).unwrap();
        if dice.one_in(6) {
            text.push_str("stateful = false\n");
        }
    }
    let mut other = "name = \"u\"\n[[bridge]]\nname = \"v\"\ncidr = \"10.2.0.0/24\"\n".to_owned();
    if has_peer {
        text.push_str("[[peer]]\ntenant = \"u\"\nbridges = [\"b0\", \"b1\"]\n");
        other.push_str("[[peer]]\ntenant = \"t\"\n");
    }
    [text, other]
}

pub(super) fn compiled(dice: &mut Dice) -> Option<(Compiled, [String; 2])> {
    let texts = specs(dice);
    Some((compiled_for(SITE, &texts)?, texts))
}

fn compiled_for(site: &str, [own, other]: &[String; 2]) -> Option<Compiled> {
    let tenants = [Source::new("t.toml", own.as_str()), Source::new("u.toml", other.as_str())];
    let site = Source::new("site.toml", site);
    compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &tenants }).ok()
}

/// Returns what is violated in MidoNet's objects of the same specs: a rule may ask for what a check forbids, as one from a network that
/// holds more bridges than the peer was given.
fn asked_for(texts: &[String; 2]) -> Vec<String> {
    let engine = "[midonet]\nembedded = true\nmanaged = true\n[pools]";
    let (_, rest) = SITE.split_once("[pools]").unwrap();
    let compiled = compiled_for(&format!("name = \"s\"\n{engine}{rest}"), texts).unwrap();
    found(&verified(&compiled, &compiled.topology), &texts[0])
}

pub(super) fn verified(compiled: &Compiled, topology: &Topology) -> Verification {
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    check_all(Subject { topology, tenants: &compiled.tenants, links: &links }, 1, &|_| {})
}

/// Returns the violations of a verification, but for dead rules, as random rules often are, and for spoofing where nothing checks
/// sources.
fn found(verification: &Verification, text: &str) -> Vec<String> {
    let is_checked = !text.contains("anti_spoof = \"none\"");
    let all = verification.violations.iter().filter(|violation| {
        violation.check != Check::Dead && (is_checked || violation.check != Check::Spoofing)
    });
    all.map(|violation| format!("{:?} {}: {}", violation.check, violation.tenant, violation.message))
        .collect()
}

/// Changes one row: it is gone, it decides otherwise, it matches more, or it has the priority of another one.
pub(super) fn faulty(dice: &mut Dice, topology: &Topology) -> Option<(String, Topology)> {
    let mut entries = topology.entries().to_vec();
    let decides = |entry: &Entry| {
        entry.key.owner() == "t"
            && entry.object.row().is_some_and(|row| {
                [Table::Acl, Table::LogicalRouterPolicy, Table::Nat, Table::LogicalRouterStaticRoute]
                    .contains(&row.table)
            })
    };
    let places: Vec<usize> = (0..entries.len()).filter(|at| decides(&entries[*at])).collect();
    let at = dice.pick(&places);
    let priorities = places.iter().filter_map(|at| entries[*at].object.row()?.integer_of("priority"));
    let priorities: Vec<i64> = priorities.collect();
    let key = entries[at].key.clone();
    let what = dice.below(5);
    let Object::Row(row) = &mut entries[at].object else { return None };
    let is_list = [Table::Acl, Table::LogicalRouterPolicy].contains(&row.table);
    if !is_list || what == 0 {
        entries.remove(at);
        return Some((format!("{key} is gone"), Topology::new(entries)));
    }
    let accepts = if row.table == Table::Acl { "allow-related" } else { "allow" };
    match what {
        1 => {
            let action = if row.text_of("action") == Some("drop") { accepts } else { "drop" };
            row.columns.insert("action", Value::Text(action.into()));
        }
        2 => row.columns.insert("match", Value::Text("ip4".into())),
        3 => row.columns.insert("match", Value::Text("ip4 && ip4.src == 10.1.0.0/16".into())),
        _ => row.columns.insert("priority", Value::Integer(dice.pick(&priorities))),
    }
    Some((format!("{key} is {row:?}"), Topology::new(entries)))
}

/// Returns what a fault changes of what the checks ask: between the tenant's bridges, and what does not leave any more.
fn changes(fault: &str, before: &Topology, after: &Topology) -> Vec<String> {
    // The checks ask nothing about networks that the spec routes to a pod.
    let is_routed = |text: &str| {
        text.parse().is_ok_and(|part: Ipv4Net| ROUTED.parse::<Ipv4Net>().unwrap().contains(&part))
    };
    let is_of_pods = |change: &&ReachabilityChange| {
        change.destinations.is_empty() || !change.destinations.split(", ").all(is_routed)
    };
    let asked = |change: &&ReachabilityChange| match (&change.from, &change.to) {
        // The checks ask nothing about packets that a bridge sends to itself by the router. Only rows inside a bridge decide about others.
        (from, to) if from == to => fault.contains("/inside/"),
        (ConnectionEnd::Bridge { tenant: from, .. }, ConnectionEnd::Bridge { tenant: to, .. }) => from == to,
        (ConnectionEnd::Bridge { .. }, ConnectionEnd::World) => change.now == Now::Denied,
        _ => false,
    };
    compare(before, after).changes.iter().filter(is_of_pods).filter(asked).map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(cases_of_rows(24))]

    #[test]
    fn what_midoform_writes_for_random_specs_is_proven(seed: u64) {
        let Some((compiled, texts)) = compiled(&mut Dice::new(seed)) else { return Ok(()) };
        let verification = verified(&compiled, &compiled.topology);
        prop_assert_eq!(&verification.unproven, &[]);
        let mut found = found(&verification, &texts[0]);
        if !found.is_empty() {
            let asked_for = asked_for(&texts);
            // On OVN the message ends with the packet.
            found.retain(|violation| !asked_for.iter().any(|one| violation.starts_with(one.as_str())));
        }
        prop_assert!(found.is_empty(), "{found:#?}\n{}\n{}", texts[0], texts[1]);
    }

    #[test]
    fn a_random_fault_of_the_rows_is_found_where_it_changes_what_passes(seed: u64) {
        let dice = &mut Dice::new(seed);
        let Some((compiled, texts)) = compiled(dice) else { return Ok(()) };
        for _ in 0..2 {
            let Some((fault, topology)) = faulty(dice, &compiled.topology) else { continue };
            let changes = changes(&fault, &compiled.topology, &topology);
            let verification = verified(&compiled, &topology);
            let is_found = !found(&verification, &texts[0]).is_empty() || !verification.unproven.is_empty();
            prop_assert!(changes.is_empty() || is_found, "{fault}\n{changes:#?}\n{}", texts[0]);
        }
    }
}
