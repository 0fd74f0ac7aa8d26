//! Compiled projects on OVN.

use midoform_compiler::ovn::lower::lower;
use midoform_compiler::source::Locations;
use midoform_compiler::topology::Topology;
use midoform_compiler::{Allocated, Compiled, Input, compile};

use crate::samples::Project;

/// A site on OVN with one host.
pub(crate) const SITE: &str = "name = \"lab\"\nunderlay_mtu = 1600\n[midonet]\nembedded = true\nmanaged = true\n\
    [[host]]\nname = \"gw1\"\nid = \"11111111-2222-3333-4444-555555555555\"\n\
    [ovn]\nnorthbound = \"unix:nb.sock\"\nmanaged = true\ngateway_chassis = \"gw1\"\n\
    [ovn.localnet]\nnetwork = \"physnet1\"\naddress = \"198.51.100.2\"\nprefix = 24\ngateway = \"198.51.100.254\"\n";

/// Compiles a project, and lowers it to rows.
pub(crate) fn rows(project: &Project) -> Option<(Compiled, Topology)> {
    let input = Input { site: &project.site, allocated: Allocated::Nothing, tenants: &project.tenants };
    let compiled = compile(input).ok()?;
    let locations = Locations::new(input.sources().into_iter());
    let rows = lower(&compiled.site, &compiled.tenants, &locations);
    Some((compiled, rows))
}

/// Returns the number that the environment has, or another one.
pub(crate) fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
