//! Bridges that were added because one of the spec was full: whoever attached a pod added them, and wrote it down.
//!
//! They belong to the tenant like those of its spec, until it no longer speaks of the bridge that they were added for.
//! Whatever the spec says of that one, in rules, assertions and towards peers, it says of them as well.

use std::collections::BTreeMap;

use crate::network::allocation::Allocations;
use crate::source::Spanned;
use crate::spec::{Bridge, Gateway, Tenant};

/// Adds to each spec the bridges that were added for its own. A bridge that the spec names itself is the spec's.
pub(crate) fn extend(specs: &mut [Tenant], known: &Allocations) {
    for spec in specs {
        let Some(given) = known.tenants.get(&spec.name.value) else { continue };
        let moved = |from: &String| {
            let moved = spec
                .moved
                .iter()
                .find(|moved| moved.kind == crate::spec::MovedKind::Bridge && moved.from.value == *from);
            moved.map_or_else(|| from.clone(), |moved| moved.to.value.clone())
        };
        let own: Vec<Bridge> =
            given.grown.iter().filter_map(|(name, from)| added(spec, name, moved(from))).collect();
        spec.bridges.extend(own);
    }
}

fn added(spec: &Tenant, name: &str, from: String) -> Option<Bridge> {
    if spec.bridges.iter().any(|bridge| bridge.name.value == name) {
        return None;
    }
    let origin = spec.bridges.iter().find(|bridge| bridge.name.value == from)?;
    Some(Bridge {
        name: Spanned { value: name.to_owned(), span: origin.name.span },
        cidr: None,
        // An address of the first network is none of the others.
        gateway: origin.gateway.filter(|gateway| !matches!(gateway.value, Gateway::Address(_))),
        grown_from: Some(from),
    })
}

/// The bridges of a spec that were added, and for which.
pub(crate) fn of(spec: &Tenant) -> BTreeMap<String, String> {
    let added = spec
        .bridges
        .iter()
        .filter_map(|bridge| Some((bridge.name.value.clone(), bridge.grown_from.clone()?)));
    added.collect()
}
