//! Proofs of OVN's rows: the checks hold for what midoform writes, find faults of rows, and say what they can't prove.

use std::collections::BTreeSet;

use midoform_compiler::Compiled;
use midoform_compiler::ovn::lower::lower;
use midoform_compiler::source::{Locations, Source};
use midoform_compiler::topology::Topology;
use midoform_packets::verify::{Check, Subject, Verification, check_all};

use crate::samples::Project;

/// `[ovn]` of the examples.
const OVN: &str =
    "\n[ovn]\nnorthbound = \"unix:nb.sock\"\nmanaged = true\ngateway_chassis = [\"gw1\", \"gw2\"]\n";

/// Compiles a project, and lowers it to rows.
fn rows(project: &Project) -> (Compiled, Topology) {
    let compiled = project.compile();
    let sources: Vec<&Source> = std::iter::once(&project.site).chain(&project.tenants).collect();
    let rows = lower(&compiled.site, &compiled.tenants, &Locations::new(sources.into_iter()));
    (compiled, rows)
}

fn verified(compiled: &Compiled, rows: &Topology) -> Verification {
    let links: Vec<_> = compiled.site.pools.links.iter().map(|pool| pool.value).collect();
    check_all(Subject { topology: rows, tenants: &compiled.tenants, links: &links }, 2, &|_| {})
}

/// Returns what is found, as lines.
fn found(verification: Verification) -> Vec<String> {
    let violated = verification.violations.into_iter().map(|violation| {
        let source = violation.source.map(|source| source.to_string()).unwrap_or_default();
        format!("{:?} {}: {} ({source})", violation.check, violation.tenant, violation.message)
    });
    let unproven = verification.unproven.into_iter().map(|own| format!("{}: {}", own.tenant, own.because));
    violated.chain(unproven).collect()
}

/// Returns the checks that each tenant violates.
fn violated(verification: &Verification) -> BTreeSet<(Check, String)> {
    let all = verification.violations.iter();
    all.map(|violation| (violation.check, violation.tenant.to_string())).collect()
}

#[test]
fn every_example_is_proven_on_ovn_as_on_midonet() {
    for name in ["seed", "policy", "shared-networks", "many-bridges", "fleet"] {
        let mut project = Project::example(name);
        project.site = Source::new("site.toml", format!("underlay_mtu = 1600\n{}{OVN}", project.site.text()));
        let (compiled, rows) = rows(&project);
        let [there, here] = [&compiled.topology, &rows].map(|topology| verified(&compiled, topology));
        assert_eq!(here.unproven, [], "{name}");
        assert_eq!(violated(&here), violated(&there), "{name}: {:#?}", found(here));
        // Only the profile `rainbond` leaves open what the checks ask.
        assert!(here.violations.is_empty() || name == "seed");
    }
}
