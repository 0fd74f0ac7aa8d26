//! Finds the ports that a plan cuts off: the pods of bridges that go or change (pods keep the addresses that they have), and all ports
//! of hosts that leave the tunnel zone.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::plan::{Action, Plan};
use crate::topology::Topology;
use crate::topology::key::Key;
use crate::topology::key::view::{BridgeKey, KeyView, TenantKey};
use crate::topology::kinds::Object;
use crate::topology::kinds::row::Value;

/// A bound port that a plan cuts off from its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutPort {
    /// The pod or the port, in words.
    pub what: String,
    /// True for a pod, as far as that is known: the store has it, or its interface is named like a pod's.
    pub is_pod: bool,
}

/// Returns a word for these ports: pods, if all of them are known to be pods.
pub fn noun(cut: &[CutPort]) -> &'static str {
    let pods = cut.iter().filter(|port| port.is_pod).count();
    match (cut.len(), pods) {
        (1, 1) => "pod",
        (1, _) => "port",
        (_, 0) => "ports",
        (all, pods) if pods == all => "pods",
        _ => "pods and ports",
    }
}

/// Returns the same word in the plural, for the heading of their list.
pub fn heading(cut: &[CutPort]) -> &'static str {
    match noun(cut) {
        "pod" | "pods" => "Pods",
        "port" | "ports" => "Ports",
        _ => "Pods and ports",
    }
}

/// Returns the keys of the existing bridges that a plan deletes or replaces, and of those whose network or gateway it changes.
pub fn cut_bridges(plan: &Plan, desired: &Topology, observed: &Topology) -> BTreeSet<Key> {
    let changed = plan.changes().filter(|step| step.action != Action::Create);
    let cut = changed.filter_map(|step| match step.key.view() {
        KeyView::Tenant(tenant, TenantKey::Bridge(bridge, BridgeKey::Device)) => {
            (step.action != Action::Update).then_some((tenant, bridge))
        }
        KeyView::Tenant(tenant, TenantKey::Bridge(bridge, BridgeKey::GatewayPort)) => {
            let networks = |topology: &Topology| match &topology.get(step.key.as_str())?.object {
                Object::RouterPort(port) => {
                    Some(Value::Text(format!("{} in {}", port.address, port.network).into()))
                }
                Object::Row(row) => row.columns.get("networks").cloned(),
                _ => None,
            };
            (networks(desired) != networks(observed)).then_some((tenant, bridge))
        }
        _ => None,
    });
    cut.map(|(tenant, bridge)| Key::tenant(tenant).bridge(bridge).device()).collect()
}

/// Returns the hosts that a plan takes out of the site's tunnel zone. Their tunnels to all other hosts end with that.
pub fn leaving_hosts(plan: &Plan, desired: &Topology, observed: &Topology) -> BTreeSet<Uuid> {
    let stays = desired.memberships();
    let gone = plan.steps.iter().filter(|step| step.action == Action::Delete);
    let hosts = gone.filter_map(|step| match &observed.get(step.key.as_str())?.object {
        Object::TunnelZoneHost(member) => Some(member.host),
        _ => None,
    });
    hosts.filter(|host| !stays.contains_key(host)).collect()
}

/// Returns the interfaces of hosts that a plan takes from their ports.
pub fn released_interfaces<'o>(plan: &Plan, observed: &'o Topology) -> BTreeSet<(Uuid, &'o str)> {
    let gone = plan.steps.iter().filter(|step| matches!(step.action, Action::Delete | Action::Replace));
    let released = gone.filter_map(|step| match &observed.get(step.key.as_str())?.object {
        Object::HostInterfacePort(binding) => Some((binding.host, binding.interface.as_str())),
        _ => None,
    });
    released.collect()
}
