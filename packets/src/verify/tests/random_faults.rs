//! Random specs of bridges that are alike, with random faults in their rules: the checks with and without the comparison
//! of bridges come to the same result.

use std::fmt::Write;

use proptest::prelude::*;

use super::agreement::cases;
use super::random::Dice;
use crate::verify::checks::{groups, holds};
use crate::verify::report::Subject;
use midoform_compiler::source::Source;
use midoform_compiler::topology::kinds::{self, Object, RuleAction};
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::{Allocated, Compiled, Input, compile};

const SITE: &str =
    "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\n";

const BRIDGES: usize = 5;

/// Networks of one bridge, of a part of it, of several, and outside.
const NETWORKS: [&str; 11] = [
    "10.1.0.0/24",
    "10.1.3.0/24",
    "10.1.2.0/25",
    "10.1.3.8/29",
    "10.1.4.9/32",
    "10.1.0.0/23",
    "10.1.2.0/23",
    "10.1.0.0/16",
    "10.0.0.0/8",
    "198.18.0.0/24",
    "192.0.2.10/32",
];

fn end(dice: &mut Dice) -> String {
    match dice.below(6) {
        0..3 => format!("bridge = \"b{}\"", dice.below(BRIDGES)),
        3 => format!("cidr = \"{}\"", dice.pick(&NETWORKS[..10])),
        4 => "world = true".to_owned(),
        _ => String::new(),
    }
}

/// Returns a random tenant whose bridges differ little.
fn spec(dice: &mut Dice) -> String {
    let mut text = "name = \"t\"\n".to_owned();
    if dice.one_in(4) {
        text.push_str(dice.pick(&["egress = \"none\"\n", "anti_spoof = \"none\"\n"]));
    }
    for at in 0..BRIDGES {
        writeln!(text, "[[bridge]]\nname = \"b{at}\"\ncidr = \"10.1.{at}.0/24\"").unwrap();
    }
    if dice.one_in(3) {
        let at = dice.below(BRIDGES);
        writeln!(text, "[[expose]]\npublic = \"192.0.2.10:443\"").unwrap();
        writeln!(text, "to = {{ bridge = \"b{at}\", address = \"10.1.{at}.9\", tcp = 443 }}").unwrap();
    }
    if dice.one_in(4) {
        let at = dice.below(BRIDGES);
        writeln!(text, "[[route]]\ndestination = \"10.9.0.0/16\"\nvia = \"10.1.{at}.7\"").unwrap();
    }
    for at in 0..dice.below(4) {
        let (from, mut to) = (end(dice), end(dice));
        if dice.one_in(2) {
            let comma = if to.is_empty() { "" } else { ", " };
            write!(to, "{comma}tcp = {}", dice.pick(&[22, 80, 443])).unwrap();
        }
        writeln!(text, "[[rule]]\nname = \"r{at}\"").unwrap();
        for (side, end) in [("from", from), ("to", to)].iter().filter(|(_, end)| !end.is_empty()) {
            writeln!(text, "{side} = {{ {end} }}").unwrap();
        }
        writeln!(text, "action = \"{}\"", dice.pick(&["accept", "drop", "reject"])).unwrap();
        if dice.one_in(5) {
            text.push_str("stateful = false\n");
        }
    }
    text
}

fn compiled(dice: &mut Dice) -> Option<Compiled> {
    let tenant = [Source::new("t.toml", spec(dice))];
    let site = Source::new("site.toml", SITE);
    compile(Input { site: &site, allocated: Allocated::Nothing, tenants: &tenant }).ok()
}

/// Changes one rule: its conditions, its action, or its place.
fn change(dice: &mut Dice, rule: &mut kinds::Rule, others: &[kinds::Rule]) {
    let network = |dice: &mut Dice| dice.pick(&NETWORKS).parse().ok().filter(|_| !dice.one_in(4));
    let condition = &mut rule.condition;
    match dice.below(7) {
        0 => condition.source = network(dice),
        1 => condition.destination = network(dice),
        2 => {
            rule.action =
                dice.pick(&[RuleAction::Accept, RuleAction::Drop, RuleAction::Reject, RuleAction::Return]);
        }
        3 => condition.in_ports = dice.pick(others).condition.in_ports,
        4 => condition.out_ports = dice.pick(others).condition.out_ports,
        5 => condition.return_flow ^= true,
        _ => {
            (rule.chain, rule.position) = (dice.pick(others).chain, 1 + dice.below(4) as u32);
            condition.source = network(dice);
            condition.destination = network(dice);
        }
    }
}

/// Changes some rules, or takes an object away.
fn faulty(dice: &mut Dice, entries: &[Entry]) -> Topology {
    let mut entries = entries.to_vec();
    let rule = |entry: &Entry| match &entry.object {
        Object::Rule(rule) => Some((**rule).clone()),
        _ => None,
    };
    let rules: Vec<kinds::Rule> = entries.iter().filter_map(rule).collect();
    for _ in 0..1 + dice.below(2) {
        let at = dice.below(entries.len());
        if let Object::Rule(rule) = &mut entries[at].object {
            change(dice, rule, &rules);
        } else if dice.one_in(10) {
            entries.remove(at);
        }
    }
    Topology::new(entries)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(20), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shortcut_finds_a_random_fault_exactly_where_the_long_way_does(seed: u64) {
        let dice = &mut Dice::new(seed);
        let Some(compiled) = compiled(dice) else { return Ok(()) };
        let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
        for _ in 0..4 {
            let topology = faulty(dice, compiled.topology.entries());
            let subject = Subject { topology: &topology, tenants: &compiled.tenants, links: &links };
            for group in groups(&topology) {
                prop_assert_eq!(holds(subject, &group, true), holds(subject, &group, false));
            }
        }
    }
}
