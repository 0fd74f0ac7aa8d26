//! Layer 2: what an upgrade adds to existing tenants, and what MidoNet 1.x can't match.

use std::collections::BTreeMap;

use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::midonet::plan;
use midoform_compiler::network::Tenant;
use midoform_compiler::plan::{Action, Step};
use midoform_compiler::spec::Profile;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Namespace;
use midoform_compiler::topology::kinds::Object;
use midoform_compiler::topology::observed::Observed;

use crate::plan_samples::DIALECTS;
use crate::samples::{EXAMPLES, Project};

/// The parts of keys that an earlier midoform did not have.
const NEW: [&str; 8] = [
    "/chain/untagged",
    "rule/untagged",
    "rule/gateway-arp",
    "rule/arp",
    "rule/ethertypes",
    "rule/rev-hairpin",
    "rule/hairpin/",
    "hairpin-",
];

/// Returns a topology as an earlier midoform made it.
fn before(topology: &Topology) -> Topology {
    let old = topology.filtered(|entry| !NEW.iter().any(|part| entry.key.as_str().contains(part)));
    let mut rules: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
    for entry in old.entries() {
        if let Object::Rule(rule) = &entry.object {
            let chain = rule.chain.to_string();
            rules.entry(chain).or_default().push((rule.position, entry.key.to_string()));
        }
    }
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    for mut chain in rules.into_values() {
        chain.sort();
        places.extend((1..).zip(chain).map(|(place, (_, key))| (key, place)));
    }
    let mut entries = old.entries().to_vec();
    for entry in &mut entries {
        let untagged = |filter: &midoform_compiler::topology::kinds::Reference| {
            filter.to_string().ends_with("/chain/untagged")
        };
        match &mut entry.object {
            Object::Rule(rule) => rule.position = places[entry.key.as_str()],
            Object::BridgePort(port) if port.inbound_filter.as_ref().is_some_and(untagged) => {
                port.inbound_filter = None;
            }
            _ => {}
        }
    }
    Topology::new(entries)
}

#[test]
fn an_upgrade_adds_rules_and_replaces_nothing() {
    for name in EXAMPLES {
        for dialect in DIALECTS {
            let compiled = Project::example(name).compile_for(dialect);
            let site = compiled.site.name.value.as_str();
            let observed = Observed::of_topology(&before(&compiled.topology), Namespace::of_site(site));
            let plan = plan(site, dialect, &compiled.topology, &observed);
            let summary = plan.summary();
            assert_eq!((summary.replace, summary.delete), (0, 0), "{name} in dialect {dialect}");
            let is_strict = |tenant: &Tenant| tenant.profile == Profile::Strict;
            assert!(summary.create > 0 || !compiled.tenants.iter().any(is_strict), "{name}");
            for step in plan.changes() {
                let is_new = NEW.iter().any(|part| step.key.as_str().contains(part));
                let is_port = step.action == Action::Update && step.key.as_str().contains("/port/");
                assert!(is_new || is_port, "{name}: {:?} {}", step.action, step.key);
            }
        }
    }
}

#[test]
fn only_5x_has_conditions_on_tags() {
    let project = Project::example("many-bridges");
    let names = |dialect: Dialect| {
        let compiled = project.compile_for(dialect);
        let of = |entry: &midoform_compiler::topology::Entry| entry.key.as_str().contains("untagged");
        compiled.topology.entries().iter().filter(|entry| of(entry)).count()
    };
    assert_eq!(names(Dialect::V1), 0);
    assert!(names(Dialect::V5) >= 3);
    let bodies = |dialect: Dialect| {
        let plan = project.plan(dialect);
        let calls = plan.steps.iter().flat_map(Step::http_calls);
        calls.filter_map(|call| Some(call.body.as_ref()?.get().to_owned())).collect::<Vec<_>>()
    };
    assert!(!bodies(Dialect::V1).iter().any(|body| body.contains("noVlan")));
    assert!(bodies(Dialect::V5).iter().any(|body| body.contains("\"noVlan\":true")));
    for dialect in DIALECTS {
        assert!(bodies(dialect).iter().any(|body| body.contains("\"dlType\":2048,\"invDlType\":true")));
    }
}
