//! Writes into the allocations what an execution did.

use std::collections::BTreeSet;

use midoform_compiler::network::allocation::{Allocations, TenantAllocation};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::{Key, Namespace};

use crate::execution::Finished;

/// Removes the allocations of tenants that are no longer there.
pub(crate) fn give_back(allocations: &mut Allocations, gone: &BTreeSet<String>) {
    allocations.tenants.retain(|name, _| !gone.contains(name));
    allocations.peers.retain(|pair, _| !pair.split('/').any(|name| gone.contains(name)));
}

/// Marks the tenants as applied, with their static ports and the ids that the server chose.
pub(crate) fn mark_applied(
    allocations: &mut Allocations,
    site: &str,
    tenants: &BTreeSet<String>,
    desired: &Topology,
    finished: &Finished,
) {
    // An id that follows from the key needs no remembering.
    let namespace = Namespace::of_site(site);
    let chosen = finished.ids.iter().filter(|(key, id)| namespace.other_id(key) != **id);
    for tenant in tenants {
        if let Some(entry) = allocations.tenants.get_mut(tenant) {
            entry.applied = true;
            if finished.is_whole() {
                entry.making.clear();
            }
            entry.ports.clear();
            entry.ids.clear();
        }
    }
    fn entry_of<'a>(
        allocations: &'a mut Allocations,
        tenants: &BTreeSet<String>,
        key: &Key,
    ) -> Option<&'a mut TenantAllocation> {
        allocations.tenants.get_mut(key.tenant()).filter(|_| tenants.contains(key.tenant()))
    }
    for entry in desired.entries() {
        if let [_, "port", name] = entry.key.as_str().split('/').collect::<Vec<_>>().as_slice()
            && let Some(known) = entry_of(allocations, tenants, &entry.key)
        {
            known.ports.push((*name).to_owned());
        }
    }
    for (key, id) in chosen {
        if let Some(known) = entry_of(allocations, tenants, key) {
            known.ids.insert(key.clone(), *id);
        }
    }
}
