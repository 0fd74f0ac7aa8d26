//! The uses of chains: by filters of devices and ports, and by jumps.

use std::collections::BTreeMap;

use midoform_compiler::topology::kinds::{Reference, RuleAction};
use midoform_reconcile::inventory::Inventory;
use uuid::Uuid;

/// Returns the filters of some devices and of their ports, each once for each use.
pub(super) fn filters(
    inventory: &Inventory,
    is_device: impl Fn(Uuid) -> bool + Copy,
) -> impl Iterator<Item = Uuid> {
    let devices = inventory.routers.iter().chain(&inventory.bridges);
    let devices = devices.filter(move |device| is_device(device.id));
    let of_devices = devices.flat_map(|device| [device.inbound_filter_id, device.outbound_filter_id]);
    let ports = inventory.ports.iter().filter(move |port| is_device(port.device_id));
    let of_ports = ports.flat_map(|port| [port.inbound_filter_id, port.outbound_filter_id]);
    of_devices.chain(of_ports).flatten()
}

/// Returns the chains that rules jump to, once for each jump.
pub(super) fn jumps(inventory: &Inventory) -> impl Iterator<Item = Uuid> {
    let rules = inventory.rules.values().flatten();
    rules.filter_map(|rule| match rule.action(&Reference::External)? {
        RuleAction::Jump { chain: Reference::External(chain), .. } => Some(chain),
        _ => None,
    })
}

/// Counts the filters and jumps that lead to each chain.
pub(super) fn counts(inventory: &Inventory) -> BTreeMap<Uuid, usize> {
    let mut counts = BTreeMap::new();
    for chain in filters(inventory, |_| true).chain(jumps(inventory)) {
        *counts.entry(chain).or_default() += 1;
    }
    counts
}
