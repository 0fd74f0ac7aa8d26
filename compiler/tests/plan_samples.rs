//! Plans of the sample projects.

use midoform_compiler::Compiled;
use midoform_compiler::midonet::dialect::Dialect;
use midoform_compiler::plan::Plan;
use midoform_compiler::topology::observed::Observed;

/// Both dialects.
pub(crate) const DIALECTS: [Dialect; 2] = [Dialect::V1, Dialect::V5];

/// Returns a plan as JSON.
pub(crate) fn json(plan: &Plan) -> String {
    let mut bytes = Vec::new();
    midoform_compiler::plan::canonical::write(plan, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Returns what would be observed of a network that is exactly what a compilation wants, in a dialect that keeps ids.
pub(crate) fn as_observed(compiled: &Compiled) -> Observed {
    use midoform_compiler::topology::key::Namespace;
    Observed::of_topology(&compiled.topology, Namespace::of_site(&compiled.site.name.value))
}
