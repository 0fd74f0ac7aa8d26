//! Bridges that the CNI plugin added because a bridge of the spec was full. The allocations name them.
//!
//! They belong to the tenant like those of its spec, until the spec no longer has the bridge that they were added for.
//! The rules, assertions and peers of the spec that name that bridge apply to them as well.

use std::collections::BTreeMap;

use crate::network::allocation::Allocations;
use crate::network::moved;
use crate::source::Spanned;
use crate::spec::{Bridge, Gateway, Tenant};

/// Returns the specs with the bridges that were added for their own. A bridge that a spec names itself is the spec's.
pub(crate) fn extend(mut specs: Vec<Tenant>, known: &Allocations) -> Vec<Tenant> {
    for spec in &mut specs {
        let Some(allocation) = known.tenants.get(&spec.name.value) else { continue };
        let moved = |from: &String| {
            let moved = spec
                .moved
                .iter()
                .find(|moved| moved.kind == crate::spec::MovedKind::Bridge && moved.from.value == *from)
                .filter(|moved| !moved::is_done(allocation, moved));
            moved.map_or_else(|| from.clone(), |moved| moved.to.value.clone())
        };
        let by_name: BTreeMap<&str, &Bridge> =
            spec.bridges.iter().rev().map(|bridge| (bridge.name.value.as_str(), bridge)).collect();
        let own: Vec<Bridge> =
            allocation.grown.iter().filter_map(|(name, from)| added(&by_name, name, moved(from))).collect();
        spec.bridges.extend(own);
    }
    specs
}

fn added(bridges: &BTreeMap<&str, &Bridge>, name: &str, from: String) -> Option<Bridge> {
    if bridges.contains_key(name) {
        return None;
    }
    let origin = bridges.get(from.as_str())?;
    Some(Bridge {
        name: Spanned { value: name.to_owned(), span: origin.name.span },
        cidr: None,
        is_sound: true,
        // An address of the first network is none of the others.
        gateway: origin.gateway.filter(|gateway| !matches!(gateway.value, Gateway::Address(_))),
        grown_from: Some(from),
    })
}
