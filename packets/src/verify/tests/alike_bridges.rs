//! Where bridges are alike, a proof for one of them has to hold for all: whatever is missing from a topology, the checks
//! with and without this shortcut come to the same result.

use std::collections::BTreeMap;

use midoform_compiler::network::BridgeIndex;
use midoform_compiler::source::Source;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::kinds::{Condition, Object, Rule, RuleAction};
use midoform_compiler::{Allocated, Compiled, Input, compile};

use crate::verify::alike_bridges::{Routers, destinations};
use crate::verify::checks::{groups, holds};
use crate::verify::header::Range;
use crate::verify::model::Model;
use crate::verify::report::Subject;

const SITE: &str =
    "name = \"s\"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = \"172.16.0.0/16\"\n";

fn bridges(tenant: &str, count: usize, second: u8) -> String {
    let bridge = |at: usize| format!("[[bridge]]\nname = \"b{at}\"\ncidr = \"10.{second}.{at}.0/24\"\n");
    std::iter::once(format!("name = \"{tenant}\"\n")).chain((0..count).map(bridge)).collect()
}

fn rule(name: &str, from: &str, to: &str, action: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nfrom = {{ {from} }}\nto = {{ {to} }}\naction = \"{action}\"\n")
}

fn compiled(tenants: &[String]) -> Compiled {
    let sources: Vec<Source> = tenants
        .iter()
        .enumerate()
        .map(|(at, text)| Source::new(format!("t{at}.toml"), text.clone()))
        .collect();
    compile(Input { site: &Source::new("site.toml", SITE), allocated: Allocated::Nothing, tenants: &sources })
        .unwrap()
}

/// Returns the tenants that are checked, by what they are about.
fn specs() -> Vec<(&'static str, Vec<String>)> {
    let group = "[[address_group]]\nname = \"g\"\naddresses = [\"198.51.100.0/25\", \"203.0.113.7\"]\n";
    let expose = "[[expose]]\npublic = \"192.0.2.10:443\"\nto = { bridge = \"b2\", address = \"10.1.2.9\", tcp = 443 }\n";
    let plain = || bridges("t", 4, 1);
    let peer = |name: &str, chosen: &str| format!("[[peer]]\ntenant = \"{name}\"\n{chosen}");
    let drop_ssh = rule("ssh", "bridge = \"b0\"", "bridge = \"b1\", tcp = 22", "drop");
    let stateless =
        format!("{}stateless = false\n", rule("raw", "bridge = \"b0\"", "bridge = \"b1\"", "accept"))
            .replace("stateless", "stateful");
    vec![
        ("plain", vec![plain()]),
        (
            "a group",
            vec![
                plain() + group + &rule("in", "address_group = \"g\"", "bridge = \"b1\", tcp = 80", "accept"),
            ],
        ),
        (
            "between",
            vec![plain() + &drop_ssh + &rule("db", "cidr = \"10.1.0.0/16\"", "bridge = \"b3\"", "reject")],
        ),
        (
            "a part",
            vec![plain() + &rule("half", "cidr = \"10.1.2.0/25\"", "bridge = \"b3\", udp = 53", "drop")],
        ),
        ("inside", vec![plain() + &rule("own", "bridge = \"b1\"", "bridge = \"b1\", tcp = 25", "drop")]),
        ("world", vec![plain() + &rule("out", "bridge = \"b1\"", "world = true, tcp = 25", "reject")]),
        ("stateless", vec![plain() + &stateless]),
        ("exposed", vec![plain() + expose]),
        ("untranslated", vec![format!("egress = \"none\"\n{}", plain())]),
        ("routed", vec![plain() + "[[route]]\ndestination = \"10.9.0.0/16\"\nvia = \"10.1.3.7\"\n"]),
        ("open", vec![format!("profile = \"rainbond\"\n{}", plain())]),
        (
            "peers",
            vec![
                plain() + &peer("u", "bridges = [\"b0\", \"b1\"]\n"),
                bridges("u", 2, 2) + &peer("t", "bridges = [\"b1\"]\n"),
            ],
        ),
    ]
}

fn subject<'a>(compiled: &'a Compiled, topology: &'a Topology, links: &'a [ipnet::Ipv4Net]) -> Subject<'a> {
    Subject { topology, tenants: &compiled.tenants, links }
}

#[test]
fn a_shortcut_finds_a_violation_exactly_where_the_long_way_does() {
    let mut violated = 0;
    for (name, tenants) in specs() {
        let compiled = compiled(&tenants);
        let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
        let entries = compiled.topology.entries();
        let without = |at: usize| {
            let others = entries.iter().enumerate().filter(|(other, _)| *other != at);
            Topology::new(others.map(|(_, entry)| entry.clone()).collect())
        };
        for at in 0..=entries.len() {
            let topology = without(at);
            let subject = subject(&compiled, &topology, &links);
            for group in groups(&topology) {
                let (short, long) = (holds(subject, &group, true), holds(subject, &group, false));
                let missing = entries.get(at).map(|entry| entry.key.as_str());
                assert_eq!(short, long, "{name} without {missing:?}");
                violated += usize::from(!long);
            }
        }
    }
    assert!(violated > 100, "{violated}");
}

#[test]
fn a_rule_about_one_bridge_of_a_source_finds_it() {
    // A source that only one bridge lets in: the rule of its chain is wider than that of the others.
    let compiled = compiled(&[bridges("t", 6, 1)]);
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    for at in 0..6 {
        let mut entries = compiled.topology.entries().to_vec();
        let key = format!("t/bridge/b{at}/chain/rule/source");
        let entry = entries.iter_mut().find(|entry| entry.key.as_str() == key).unwrap();
        let Object::Rule(rule) = &mut entry.object else { panic!("{key} is no rule") };
        rule.condition.source = "10.0.0.0/8".parse().ok();
        let topology = Topology::new(entries);
        let subject = subject(&compiled, &topology, &links);
        let groups = groups(&topology);
        assert_eq!((holds(subject, &groups[0], true), holds(subject, &groups[0], false)), (false, false));
    }
}

/// Returns the results of the checks with and without the comparison. These bridges have a rule inside them; their rules
/// with this name are changed.
fn with_changed(name: &str, bridges_with_rules: &[usize], change: impl Fn(&mut Rule)) -> (bool, bool) {
    let inside = |at: &usize| {
        let own = format!("bridge = \"b{at}\"");
        rule(&format!("own{at}"), &own, &format!("{own}, tcp = 25"), "accept")
    };
    let rules: String = bridges_with_rules.iter().map(inside).collect();
    let compiled = compiled(&[bridges("t", 6, 1) + &rules]);
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    let mut entries = compiled.topology.entries().to_vec();
    for entry in &mut entries {
        let is_meant = |at: &usize| {
            let own = entry.key.as_str().strip_prefix(&format!("t/bridge/b{at}/chain/rule/"));
            own.is_some_and(|own| own.contains(name))
        };
        if bridges_with_rules.iter().any(is_meant)
            && let Object::Rule(rule) = &mut entry.object
        {
            change(rule);
        }
    }
    assert_ne!(entries, compiled.topology.entries());
    let topology = Topology::new(entries);
    let subject = subject(&compiled, &topology, &links);
    let groups = groups(&topology);
    (holds(subject, &groups[0], true), holds(subject, &groups[0], false))
}

/// Half of a bridge's network.
fn half(at: usize) -> Option<ipnet::Ipv4Net> {
    format!("10.1.{at}.0/25").parse().ok()
}

#[test]
fn a_rule_of_a_bridge_about_what_another_sends_to_it_finds_it() {
    for at in [0, 1, 2, 4, 5] {
        let found = with_changed("own", &[3], |rule| {
            rule.action = RuleAction::Drop;
            rule.condition = Condition { source: half(at), ethertype: Some(0x800), ..Condition::default() };
        });
        assert_eq!(found, (false, false), "{at}");
    }
}

#[test]
fn a_rule_of_a_bridge_about_its_replies_to_another_finds_it() {
    for at in [0, 1, 2, 4, 5] {
        let found = with_changed("answers", &[3], |rule| {
            rule.action = RuleAction::Drop;
            rule.condition = Condition {
                destination: half(at),
                return_flow: true,
                ethertype: Some(0x800),
                ..Condition::default()
            };
        });
        assert_eq!(found, (false, false), "{at}");
    }
}

#[test]
fn a_rule_that_several_bridges_have_about_one_of_them_finds_it() {
    for at in 0..6 {
        let found = with_changed("own", &[0, 1, 2, 3, 4, 5], |rule| {
            rule.action = RuleAction::Drop;
            rule.condition = Condition {
                source: half(at),
                destination: "8.8.8.0/24".parse().ok(),
                ethertype: Some(0x800),
                ..Condition::default()
            };
        });
        assert_eq!(found, (false, false), "{at}");
    }
}

#[test]
fn bridges_without_rules_of_their_own_send_to_few_destinations() {
    let asked = |tenant: String| -> BTreeMap<BridgeIndex, Vec<Range>> {
        let compiled = compiled(&[tenant]);
        let groups = groups(&compiled.topology);
        let model = Model::new(&compiled.topology, &groups[0], &[]);
        destinations(&model, Routers::new(&model).as_ref(), &compiled.tenants[0], &[])
    };
    let plain = asked(bridges("t", 50, 1));
    assert_eq!(plain.len(), 49);
    assert!(plain.values().all(|ranges| ranges.len() <= 2), "{plain:?}");
    let to_each: String = (0..50)
        .map(|at| {
            rule(&format!("r{at}"), "cidr = \"198.51.100.0/24\"", &format!("bridge = \"b{at}\""), "accept")
        })
        .collect();
    assert_eq!(asked(bridges("t", 50, 1) + &to_each), plain);
}
