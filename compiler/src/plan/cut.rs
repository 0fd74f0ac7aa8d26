//! Finds the bridges whose pods a plan cuts off: pods keep the addresses that they have.

use std::collections::BTreeSet;

use crate::plan::{Action, Plan};
use crate::topology::Topology;
use crate::topology::key::Key;
use crate::topology::key::view::{BridgeKey, KeyView, TenantKey};
use crate::topology::kinds::Object;

/// Returns the keys of the existing bridges that a plan deletes or replaces, and of those whose network or gateway it changes.
pub fn cut_bridges(plan: &Plan, desired: &Topology, observed: &Topology) -> BTreeSet<Key> {
    let gone = plan.steps.iter().filter(|step| matches!(step.action, Action::Delete | Action::Replace));
    let cut = gone.filter_map(|step| match step.key.view() {
        KeyView::Tenant(tenant, TenantKey::Bridge(bridge, BridgeKey::Device)) => Some((tenant, bridge)),
        KeyView::Tenant(tenant, TenantKey::Bridge(bridge, BridgeKey::GatewayPort)) => {
            let gateway = |topology: &Topology| match &topology.get(step.key.as_str())?.object {
                Object::RouterPort(port) => Some((port.address, port.network)),
                _ => None,
            };
            (gateway(desired) != gateway(observed)).then_some((tenant, bridge))
        }
        _ => None,
    });
    cut.map(|(tenant, bridge)| Key::tenant(tenant).bridge(bridge).device()).collect()
}
