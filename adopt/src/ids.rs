//! The ids of a draft's objects, and the objects that are not in the draft: attached ports and unused objects.

use std::collections::{BTreeMap, BTreeSet};

use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::{ChainKey, UplinkKey};
use uuid::Uuid;

use super::router_view::{Bridge, RouterView};
use super::spec_draft::{Attached, Leftover};

impl RouterView<'_> {
    /// Returns the ids of devices and ports, by their keys.
    pub(super) fn ids(&self, policy: &[(ChainKey<'static>, Uuid)]) -> BTreeMap<Key, Uuid> {
        let keys = Key::tenant(self.tenant);
        let mut ids = BTreeMap::from([(keys.router(), self.router.id)]);
        ids.extend(self.chain_named("untagged").map(|chain| (keys.chain(ChainKey::Untagged), chain)));
        let filters = self.filters_of_router().into_iter().filter(|(_, id)| !self.is_shared(*id));
        ids.extend(filters.map(|(chain, id)| (keys.chain(chain), id)));
        if let Some(link) = &self.uplink {
            ids.insert(keys.uplink(UplinkKey::Port), link.port.id);
            ids.insert(keys.uplink(UplinkKey::ProviderPort), link.peer.id);
        }
        for bridge in &self.bridges {
            let keys = keys.bridge(&bridge.name);
            ids.insert(keys.gateway_port(), bridge.link.port.id);
            ids.insert(keys.gateway_peer(), bridge.link.peer.id);
            ids.extend(self.own_chain_of(bridge).map(|chain| (keys.chain(), chain)));
            ids.insert(keys.device(), bridge.device.id);
        }
        for port in &self.ports {
            let keys = keys.port(&port.name);
            ids.insert(keys.chain(), port.chain);
            ids.insert(keys.device(), port.port.id);
        }
        ids.extend(self.groups.iter().map(|(name, id, ..)| (keys.port_group(name).group(), *id)));
        ids.extend(policy.iter().map(|(chain, id)| (keys.chain(*chain), *id)));
        ids
    }

    /// Returns the chains that filter the router's packets.
    fn filters_of_router(&self) -> Vec<(ChainKey<'static>, Uuid)> {
        let filters =
            [(ChainKey::In, self.router.inbound_filter_id), (ChainKey::Out, self.router.outbound_filter_id)];
        filters.into_iter().filter_map(|(chain, id)| Some((chain, id?))).collect()
    }

    /// Returns a line for each filter of the router that others use as well: a change of such a chain would change them.
    pub(super) fn shared_filters(&self) -> Vec<String> {
        let shared = self.filters_of_router().into_iter().filter(|(_, id)| self.is_shared(*id));
        let line = |(_, id): (ChainKey<'_>, Uuid)| {
            format!(
                "the router's filter `{}` ({id}), which others use as well: it stays, and the next apply sets a chain of the tenant's \
                 own in its place",
                self.chain_name(id)
            )
        };
        shared.map(line).collect()
    }

    /// Returns the inbound chain of a bridge, if it has the name that midoform gives to it and filters nothing else. Any other chain
    /// is somebody's own: it stays as it is.
    fn own_chain_of(&self, bridge: &Bridge<'_>) -> Option<Uuid> {
        let chain = bridge.device.inbound_filter_id?;
        let name = format!("{} in", bridge.device.name.as_deref().unwrap_or_default());
        (self.chain_name(chain) == name && !self.is_shared(chain)).then_some(chain)
    }

    fn chain_name(&self, id: Uuid) -> &str {
        let chain = self.inventory.chains.iter().find(|chain| chain.id == id);
        chain.and_then(|chain| chain.name.as_deref()).unwrap_or_default()
    }

    /// Returns true if a chain is used more than once: as a filter, or by a jump.
    fn is_shared(&self, chain: Uuid) -> bool {
        self.chain_uses.get(&chain).is_some_and(|uses| *uses > 1)
    }

    /// Returns the bound ports of the bridges that are not in the spec.
    pub(super) fn attached(&self) -> Vec<Attached> {
        let named: BTreeSet<Uuid> = self.ports.iter().map(|port| port.port.id).collect();
        let mut attached = Vec::new();
        for bridge in &self.bridges {
            let ports = self.inventory.ports.iter();
            for port in ports.filter(|port| port.device_id == bridge.device.id && !named.contains(&port.id)) {
                if let (Some(host), Some(interface)) = (port.host_id, port.interface_name.clone()) {
                    attached.push(Attached { port: port.id, bridge: bridge.name.clone(), host, interface });
                }
            }
        }
        attached.sort_by(|a, b| (&a.bridge, &a.interface, a.port).cmp(&(&b.bridge, &b.interface, b.port)));
        attached
    }

    /// Returns the devices with the tenant's name, and the unused ports of its bridges, that are not in the draft.
    pub(super) fn leftovers(&self, policy: &[(ChainKey<'static>, Uuid)]) -> Vec<Leftover> {
        let own: BTreeSet<Uuid> = self.ids(policy).into_values().collect();
        let mut found = Vec::new();
        let mut look = |what: &str, id: Uuid, name: Option<&str>| {
            let name = name.unwrap_or_default();
            let ours = name.strip_prefix(self.tenant).is_some_and(|rest| rest.starts_with(' '));
            if ours && !own.contains(&id) {
                found.push(Leftover { what: format!("{what} `{name}`"), id });
            }
        };
        for router in &self.inventory.routers {
            look("router", router.id, router.name.as_deref());
        }
        for bridge in &self.inventory.bridges {
            look("bridge", bridge.id, bridge.name.as_deref());
        }
        for chain in &self.inventory.chains {
            look("chain", chain.id, chain.name.as_deref());
        }
        let free = self.inventory.ports.iter().filter(|port| {
            let unused = port.peer_id.is_none() && port.host_id.is_none();
            unused
                && port.is_of_bridge()
                && self.bridges.iter().any(|bridge| bridge.device.id == port.device_id)
        });
        found.extend(free.map(|port| Leftover {
            what: "a bridge's port that is neither linked nor bound".to_owned(),
            id: port.id,
        }));
        found
    }
}
