//! Ports, links, bindings and port group members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use midoform_compiler::topology::Topology;
use midoform_compiler::topology::foreign::{Effect, Foreign};
use midoform_compiler::topology::key::view::{BridgeKey, KeyView, PeerKey, TenantKey, UplinkKey};
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::{
    BridgePort, HostInterfacePort, Kind, Object, PortGroupPort, PortJson, PortLink, Reference, RouterPort,
};
use midoform_compiler::topology::observed::OtherPort;
use uuid::Uuid;

use super::rules::ports_named_by;
use super::{Inventory, Matching, is_found};

impl Matching<'_> {
    /// Matches every port of midoform to its key.
    pub(super) fn match_ports(&mut self, raw: &Inventory) {
        let by_id: BTreeMap<Uuid, &PortJson> = raw.ports.iter().map(|port| (port.id, port)).collect();
        // What an undo created again may have a key in the store that only has its first id.
        let (found, exact): (Vec<Key>, Vec<Key>) = self.port_keys().into_iter().partition(is_found);
        for key in exact.into_iter().chain(found) {
            let remembered =
                self.scope.known.tenants.get(key.owner()).and_then(|tenant| tenant.ids.get(&key)).copied();
            let is_others =
                |id: &Uuid| self.remembered.get(id).is_some_and(|other| **other != key && !is_found(other));
            let is_free = |id: &Uuid| by_id.contains_key(id) && !self.keys.contains_key(id) && !is_others(id);
            let found = remembered.into_iter().chain(self.ids_of(&key)).find(is_free);
            if let Some(id) = found {
                self.bind(id, key);
            }
        }
        if self.by_content(Kind::RouterPort) {
            let scope = self.scope;
            let desired = scope.desired.entries().iter().map(|entry| (&entry.key, &entry.object));
            self.match_by_content(raw, &by_id, &desired.collect::<Vec<_>>());
            let making = self.making.iter().map(|(key, object)| (key, object));
            self.match_by_content(raw, &by_id, &making.collect::<Vec<_>>());
        }
        self.match_unwanted_router_ports(raw);
    }

    /// Returns the keys of the ports that may exist: the desired ones, and those of the allocations in the store.
    fn port_keys(&self) -> BTreeSet<Key> {
        let is_port = |object: &Object| matches!(object, Object::RouterPort(_) | Object::BridgePort(_));
        let desired = self.scope.desired.entries().iter().filter(|entry| is_port(&entry.object));
        let mut keys: BTreeSet<Key> = desired.map(|entry| entry.key.clone()).collect();
        // The ports of existing bridges, desired or not.
        for key in self.keys.values() {
            if let KeyView::Tenant(tenant, TenantKey::Bridge(bridge, BridgeKey::Device)) = key.view() {
                keys.extend(gateway_of(tenant, bridge));
            }
        }
        for tenant in self.scope.tenants {
            keys.extend(
                [UplinkKey::Port, UplinkKey::ProviderPort].map(|part| Key::tenant(tenant).uplink(part)),
            );
            let Some(known) = self.scope.known.tenants.get(tenant) else { continue };
            keys.extend(known.bridges.keys().flat_map(|bridge| gateway_of(tenant, bridge)));
            keys.extend(known.ports.iter().map(|port| Key::tenant(tenant).port(port).device()));
            let is_rule = |key: &Key| matches!(key.view(), KeyView::Tenant(_, TenantKey::Rule(..)));
            keys.extend(known.ids.keys().filter(|key| !is_rule(key)).cloned());
        }
        keys
    }

    /// Matches ports of tenants' routers that belong to midoform by their id and are no longer desired. A port to a
    /// peer gets the key that its id follows from, any other port a key from its id alone.
    fn match_unwanted_router_ports(&mut self, raw: &Inventory) {
        if !self.scope.dialect().keeps_offered_id(Kind::RouterPort) {
            return;
        }
        for port in raw.ports.iter() {
            let router = self.keys.get(&port.device_id).filter(|_| port.is_of_router());
            let Some(router) = router.filter(|router| router.owner() != SITE).cloned() else { continue };
            if self.keys.contains_key(&port.id) || !self.is_own(port.id, Kind::RouterPort) {
                continue;
            }
            let tenants = self.scope.tenants.iter().chain(self.scope.known.tenants.keys());
            let peers = tenants.map(|peer| Key::tenant(router.owner()).peer(peer).port());
            let by_id = || peers.into_iter().find(|key| self.own_ids.of_key(key).any(|id| id == port.id));
            let key = self.remembered(port.id).or_else(by_id);
            self.bind(port.id, key.unwrap_or_else(|| router.found_port(port.id)));
        }
    }

    /// Matches ports without a known id by their content (only 1.x). These ports are desired, or an unfinished run
    /// was creating them.
    fn match_by_content(
        &mut self,
        raw: &Inventory,
        by_id: &BTreeMap<Uuid, &PortJson>,
        wanted: &[(&Key, &Object)],
    ) {
        let mut by_address: BTreeMap<(Uuid, Ipv4Addr), Uuid> = BTreeMap::new();
        for port in raw.ports.iter() {
            if let Some(address) = port.address() {
                by_address.insert((port.device_id, address), port.id);
            }
        }
        for (key, object) in wanted {
            if let (Object::RouterPort(port), false) = (object, self.ids.contains_key(*key)) {
                let device = self.id_of(&port.router);
                let found = device.and_then(|device| by_address.get(&(device, port.address))).copied();
                let found = found.filter(|id| self.may_be_uplink(key, *id, by_id));
                self.bind_free(found, key);
            }
        }
        for (_, object) in wanted {
            match object {
                Object::PortLink(link) => {
                    let (Some(port), Some(peer)) = (link.port.key(), link.peer.key()) else { continue };
                    let linked =
                        self.ids.get(port).and_then(|id| by_id.get(id)).and_then(|port| port.peer_id);
                    if !self.ids.contains_key(peer) {
                        self.bind_free(linked.filter(|id| self.may_be_own(peer, *id, by_id)), peer);
                    }
                }
                Object::HostInterfacePort(binding) => {
                    let Some(key) = binding.port.key().filter(|key| !self.ids.contains_key(*key)) else {
                        continue;
                    };
                    let bound = raw.ports.iter().find(|port| {
                        port.host_id == Some(binding.host)
                            && port.interface_name.as_ref() == Some(&binding.interface)
                    });
                    let bound = bound.map(|port| port.id).filter(|id| self.may_be_own(key, *id, by_id));
                    self.bind_free(bound, key);
                }
                _ => {}
            }
        }
        if !self.scope.adopting {
            self.take_free_bridge_ports(raw, wanted);
        }
    }

    /// Selects bridge ports that are neither linked nor bound and have no mark. A call whose reply was lost leaves such a port, so
    /// it can be used. A port with a mark belongs to a pod that is being attached. A port that is in a group, or that a rule
    /// names, is only for the key of which that is desired ([`Uses`]).
    fn take_free_bridge_ports(&mut self, raw: &Inventory, wanted: &[(&Key, &Object)]) {
        let is_free = |port: &&PortJson| {
            let unused = port.peer_id.is_none() && port.host_id.is_none() && port.vif_id.is_none();
            port.is_of_bridge()
                && unused
                && !self.keys.contains_key(&port.id)
                && self.remembered(port.id).is_none()
        };
        let free: Vec<&PortJson> = raw.ports.iter().filter(is_free).collect();
        if free.is_empty() {
            return;
        }
        let uses = Uses::of(self, raw, wanted);
        let mut fitting: Vec<(usize, &Key, Uuid)> = Vec::new();
        for (key, object) in wanted {
            let Object::BridgePort(port) = object else { continue };
            let device = self.id_of(&port.bridge);
            if self.ids.contains_key(*key) || device.is_none() {
                continue;
            }
            let of_bridge = free.iter().filter(|free| Some(free.device_id) == device);
            fitting.extend(of_bridge.filter_map(|free| {
                let is_filtered_so = self.read::<BridgePort>(free, None, 0).is_some_and(|found| {
                    found.inbound_filter == port.inbound_filter
                        && found.outbound_filter == port.outbound_filter
                });
                Some((uses.shared(key, free.id)? * 2 + usize::from(is_filtered_so), *key, free.id))
            }));
        }
        // The best fit first.
        fitting.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
        for (_, key, id) in fitting {
            if !self.ids.contains_key(key) {
                self.bind_free(Some(id), key);
            }
        }
    }

    fn id_of(&self, reference: &Reference) -> Option<Uuid> {
        match reference {
            Reference::External(id) => Some(*id),
            Reference::Key(key) => self.ids.get(key).copied(),
            Reference::Named(_) => None,
        }
    }

    fn bind_free(&mut self, id: Option<Uuid>, key: &Key) {
        if let Some(id) = id.filter(|id| !self.keys.contains_key(id)) {
            self.bind(id, key.clone());
        }
    }

    /// Adds the ports with their links, bindings and groups. Reports the ports on midoform's routers that do not belong
    /// to midoform. A bridge's other ports belong to the plugin or to somebody else, and are ignored.
    pub(super) fn add_ports(&mut self, raw: &Inventory) {
        let by_id: BTreeMap<Uuid, &PortJson> = raw.ports.iter().map(|port| (port.id, port)).collect();
        for value in &raw.ports {
            let Some(key) = self.keys.get(&value.id).cloned() else {
                self.stray_port(value);
                self.others_provider_port(value, &by_id);
                self.attached_port(value);
                continue;
            };
            self.note_malformed(&key, value.id, value.malformed());
            if let Some(port) = self.read::<BridgePort>(value, None, 0) {
                self.add(key.clone(), port.into());
            }
            if let Some(port) = self.read::<RouterPort>(value, None, 0) {
                self.add(key.clone(), port.into());
            }
            self.add_link(value, &key);
            if let Some(binding) = self.read::<HostInterfacePort>(value, None, 0) {
                self.add(key.binding(), binding.into());
            }
        }
        self.add_members(raw);
    }

    /// Notes a port of a tenant's device that is not midoform's. A bound port of a bridge is a pod's, and a bridge's port that leads
    /// nowhere is nothing to speak of.
    fn stray_port(&mut self, port: &PortJson) {
        let Some(device) = self.keys.get(&port.device_id).cloned() else { return };
        if device.owner() == SITE || port.is_of_bridge() && port.peer_id.is_none() {
            return;
        }
        let of_router = || self.read::<RouterPort>(port, None, 0).map(Object::from);
        let of_bridge = || self.read::<BridgePort>(port, None, 0).map(Object::from);
        let (kind, object, name) = match (port.is_of_bridge(), port.is_of_router()) {
            (true, _) => (Kind::BridgePort, of_bridge(), "bridge port".to_owned()),
            (_, true) => {
                let address = port.port_address.as_deref().unwrap_or("without address");
                (Kind::RouterPort, of_router(), format!("router port {address}"))
            }
            // A bridge's port of its own type: VXLAN.
            _ => (Kind::BridgePort, None, format!("{} port", port.kind)),
        };
        let leads_to = match (port.peer_id, port.host_id, &port.interface_name) {
            (Some(peer), ..) => format!(", linked to {}", self.reference(peer)),
            (None, Some(host), Some(interface)) => format!(", bound to {interface} of host {host}"),
            _ => String::new(),
        };
        let is_tunnel = object.is_none();
        let effect = (is_tunnel || !leads_to.is_empty()).then_some(Effect::Connects);
        let foreign = Foreign::new(device, kind, port.id, format!("{name}{leads_to}"));
        self.observed.foreign.push(Foreign { effect, object, ..foreign });
    }

    /// Notes a port of the provider router that belongs to somebody else.
    fn others_provider_port(&mut self, port: &PortJson, by_id: &BTreeMap<Uuid, &PortJson>) {
        if self.reference(port.device_id) != *self.scope.provider {
            return;
        }
        let Some(RouterPort { address, network, .. }) = self.read::<RouterPort>(port, None, 0) else {
            return;
        };
        let peer = port.peer_id.and_then(|peer| by_id.get(&peer)).and_then(|peer| peer.address());
        self.observed.provider.ports.push(OtherPort { id: port.id, address, network, peer });
    }

    /// 1.x: returns true if a port with the right address may be this tenant's port on the provider router: another site's
    /// port there may have the same address, but is linked to another router.
    fn may_be_uplink(&self, key: &Key, id: Uuid, by_id: &BTreeMap<Uuid, &PortJson>) -> bool {
        let KeyView::Tenant(tenant, TenantKey::Uplink(UplinkKey::ProviderPort)) = key.view() else {
            return true;
        };
        let peer = by_id.get(&id).and_then(|port| port.peer_id).and_then(|peer| by_id.get(&peer));
        peer.is_none_or(|peer| self.keys.get(&peer.device_id).is_some_and(|device| device.owner() == tenant))
    }

    /// 1.x: returns true if a port may be a tenant's: it is on one of the tenant's devices, or on the provider router. A port on
    /// somebody else's device is somebody else's, whatever it is linked with or bound to.
    fn may_be_own(&self, key: &Key, id: Uuid, by_id: &BTreeMap<Uuid, &PortJson>) -> bool {
        let Some(device) = by_id.get(&id).map(|port| port.device_id) else { return false };
        let is_own =
            self.keys.get(&device).is_some_and(|device| [key.owner(), SITE].contains(&device.owner()));
        is_own || self.reference(device) == *self.scope.provider
    }

    /// Notes a port that is bound to a pod, of the plugin or of somebody else. Only a destroy uses these.
    fn attached_port(&mut self, port: &PortJson) {
        let Some(bridge) = self.keys.get(&port.device_id).filter(|_| port.is_of_bridge()).cloned() else {
            return;
        };
        if let (Some(host), Some(interface)) = (port.host_id, &port.interface_name) {
            let what = format!("{interface} of host {host}");
            self.observed.attached.push(Foreign::new(bridge, Kind::BridgePort, port.id, what));
        }
    }

    /// Adds the link of a port. Both ports of a link show it, so it is added only from the port that its key follows
    /// from.
    fn add_link(&mut self, port: &PortJson, key: &Key) {
        let Some(link) = self.read::<PortLink>(port, None, 0) else { return };
        let Some(key) = link_key(key, &link.peer) else { return };
        self.add(key, link.into());
    }

    fn add_members(&mut self, raw: &Inventory) {
        for (group, members) in &raw.members {
            let Some(group) = self.keys.get(group).cloned() else { continue };
            for json in members {
                let Some(member) = self.read::<PortGroupPort>(json, Some((&group).into()), 0) else {
                    continue;
                };
                match member.port.key().map(|port| group.member(port.short_name())) {
                    Some(key) => self.add(key, member.into()),
                    None => self.observed.foreign.push(Foreign::new(
                        group.clone(),
                        Kind::PortGroupPort,
                        json.port_id,
                        "a port that is not the spec's".to_owned(),
                    )),
                }
            }
        }
    }
}

/// The groups that ports are in, and the chains that have a rule which names them: as they are, and as they are desired.
struct Uses {
    there: BTreeMap<Uuid, BTreeSet<Key>>,
    desired: BTreeMap<Key, BTreeSet<Key>>,
}

impl Uses {
    fn of(matching: &Matching<'_>, raw: &Inventory, wanted: &[(&Key, &Object)]) -> Uses {
        let mut uses = Uses { there: BTreeMap::new(), desired: BTreeMap::new() };
        let restored = matching.scope.restored.into_iter().flat_map(Topology::entries);
        let scope = matching.scope.desired.entries().iter().chain(restored).map(|entry| &entry.object);
        for object in scope.chain(wanted.iter().map(|(_, object)| *object)) {
            let (by, ports) = match object {
                Object::PortGroupPort(member) => (member.group.key(), vec![&member.port]),
                other => ports_named_by(other),
            };
            for port in ports.into_iter().filter_map(Reference::key) {
                uses.desired.entry(port.clone()).or_default().extend(by.cloned());
            }
        }
        for (chain, port) in matching.ports_named_by_rules(raw) {
            uses.there.entry(port).or_default().insert(chain);
        }
        for (group, members) in &raw.members {
            let Some(group) = matching.keys.get(group) else { continue };
            for member in members {
                uses.there.entry(member.port_id).or_default().insert(group.clone());
            }
        }
        uses
    }

    /// Returns the number of uses of a port that are desired for a key; none if the port has a use that is not.
    fn shared(&self, key: &Key, port: Uuid) -> Option<usize> {
        let (none, there) = (BTreeSet::new(), self.there.get(&port));
        let desired = self.desired.get(key).unwrap_or(&none);
        let there = there.unwrap_or(&none);
        there.is_subset(desired).then_some(there.len())
    }
}

/// Returns the key of the port's link, if the link's key follows from this port and not from its peer.
fn link_key(port: &Key, peer: &Reference) -> Option<Key> {
    let KeyView::Tenant(tenant, named) = port.view() else {
        return peer.key().is_none().then(|| port.link());
    };
    match named {
        TenantKey::Uplink(UplinkKey::Port) => Some(Key::tenant(tenant).uplink(UplinkKey::Link)),
        TenantKey::Bridge(bridge, BridgeKey::GatewayPort) => {
            Some(Key::tenant(tenant).bridge(bridge).gateway_link())
        }
        TenantKey::Peer(other, PeerKey::Port) if tenant < other => {
            Some(Key::tenant(tenant).peer(other).link())
        }
        // The other tenant may be outside of the scope.
        TenantKey::Peer(other, PeerKey::Port) => {
            peer.key().is_none().then(|| Key::tenant(other).peer(tenant).link())
        }
        // The far ends of links.
        TenantKey::Uplink(UplinkKey::ProviderPort) | TenantKey::Bridge(_, BridgeKey::GatewayPeer) => None,
        // Ports that should have no link: a link there was made by somebody else.
        _ => peer.key().is_none().then(|| port.link()),
    }
}

/// Returns the keys of the two ports that link a bridge with its tenant's router.
fn gateway_of(tenant: &str, bridge: &str) -> [Key; 2] {
    let keys = Key::tenant(tenant).bridge(bridge);
    [keys.gateway_port(), keys.gateway_peer()]
}
