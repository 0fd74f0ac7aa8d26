//! The stored objects, built from a topology.
//!
//! The ids are generated from the position of an object's entry in its topology, so each object can be found again.
//! External devices (a provider router that midoform does not manage) have no chains and routes of their own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::Station;
use super::world::{Device, Port, Route, RouteKind, Rule, RuleKind, Target, World};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::key::view::ChainKey;
use midoform_compiler::topology::kinds::{
    self, Bridge, Condition, NatTarget, NextHop, Object, OtherField, Reference, Router, RuleAction,
};
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::values::MacAddress;

/// The beginning of generated ids.
const MADE_UP: u128 = 0x6d69_646f_666f_726d << 64;
/// The beginning of the ids of attached ports.
const ATTACHED: u128 = 0x6174_7461_6368_6564 << 64;
/// The weight of the route to the world: every default route of the topology wins against it.
const LAST_WEIGHT: u32 = u32::MAX;
/// The world's end of the uplink, and the provider router's (TEST-NET-1).
const UPLINK_FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const UPLINK_NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Returns the id of the object at this position of a topology's entries.
fn id_at(index: usize) -> Uuid {
    Uuid::from_u128(MADE_UP | (index as u128 + 1))
}

/// Returns a generated, unique MAC address.
fn mac_at(family: u8, index: usize) -> MacAddress {
    let [.., a, b, c, d] = (index as u64).to_be_bytes();
    MacAddress([0x02, family, a, b, c, d])
}

/// Returns the id of a topology's object in the `World` that is built from the topology.
pub fn id_of(topology: &Topology, reference: &Reference) -> Option<Uuid> {
    match reference {
        Reference::External(id) => Some(*id),
        Reference::Key(key) => topology.index(key.as_str()).map(id_at),
        Reference::Named(_) => None,
    }
}

/// Returns the object of a topology that has this id in the `World` that is built from the topology.
pub fn entry_of(topology: &Topology, id: Uuid) -> Option<&Entry> {
    let index = id.as_u128().checked_sub(MADE_UP)?.checked_sub(1)?;
    topology.entries().get(usize::try_from(index).ok()?)
}

impl World {
    /// Builds the objects of a topology. References to missing objects are left out.
    pub fn of_topology(topology: &Topology) -> World {
        World::of_entries(topology, topology.entries().iter().enumerate())
    }

    /// Builds the objects of some tenants of a topology.
    pub fn of_part<'t>(topology: &'t Topology, tenants: impl Iterator<Item = &'t str> + Clone) -> World {
        World::of_entries(topology, tenants.flat_map(|tenant| topology.of_tenant(tenant)))
    }

    fn of_entries<'t>(
        topology: &'t Topology,
        entries: impl Iterator<Item = (usize, &'t Entry)> + Clone,
    ) -> World {
        let numbered = || entries.clone();
        let found = numbered().filter_map(|(index, entry)| Some((entry.key.own_id()?, id_at(index))));
        let mut builder = Builder { topology, found: found.collect(), world: World::default() };
        for (index, entry) in numbered() {
            builder.device(index, &entry.object);
        }
        for (index, entry) in numbered() {
            builder.port(index, &entry.object);
        }
        let mut rules: Vec<(Uuid, u32, Rule)> = Vec::new();
        for (index, entry) in numbered() {
            builder.join(index, &entry.object);
            if let Object::Rule(rule) = &entry.object {
                let chain = builder.id(&rule.chain).unwrap_or_default();
                rules.push((chain, rule.position, builder.rule(index, rule)));
            }
        }
        rules.sort_by_key(|(chain, position, _)| (*chain, *position));
        for (chain, _, rule) in rules {
            builder.world.chains.entry(chain).or_default().push(rule);
        }
        builder.world
    }

    /// Attaches a pod to a tenant's bridge, by a port as the plugin makes it: with the chain that drops frames with a VLAN
    /// tag.
    pub(crate) fn attach_pod(
        &mut self,
        topology: &Topology,
        bridge: (Uuid, &Key),
        address: Ipv4Addr,
    ) -> Station {
        let station = self.attach(bridge.0, address);
        let chain = Key::tenant(bridge.1.owner()).chain(ChainKey::Untagged);
        let chain = topology.index(chain.as_str()).map(id_at);
        if let Some(port) = self.ports.get_mut(&station.port) {
            port.inbound = chain;
        }
        station
    }

    /// Attaches a station to a bridge, by a port of its own without chains.
    pub fn attach(&mut self, bridge: Uuid, address: Ipv4Addr) -> Station {
        let index = self.ports.len();
        let port = Uuid::from_u128(ATTACHED | index as u128);
        let mac = mac_at(0xaa, index);
        self.insert_port(Port {
            id: port,
            device: bridge,
            up: true,
            mac,
            address: None,
            network: None,
            inbound: None,
            outbound: None,
            peer: None,
        });
        Station { port, address, mac }
    }

    /// Attaches the world to the router that leads outside: an uplink with a default route that every other default
    /// route wins against.
    pub fn attach_world(&mut self, router: Uuid) -> Station {
        let station = self.attach(router, UPLINK_FAR);
        if let Some(port) = self.ports.get_mut(&station.port) {
            port.address = Some(UPLINK_NEAR);
            port.network = Ipv4Net::new(UPLINK_NEAR, 30).ok();
        }
        let device = self.devices.entry(router).or_insert_with(bare_router);
        if !device.ports.contains(&station.port) {
            device.ports.push(station.port);
        }
        device.routes.push(Route {
            id: Uuid::nil(),
            kind: RouteKind::Normal,
            source: Ipv4Net::default(),
            destination: Ipv4Net::default(),
            weight: LAST_WEIGHT,
            port: Some(station.port),
            gateway: Some(UPLINK_FAR),
        });
        station
    }
}

fn bare_router() -> Device {
    Device { is_router: true, up: true, inbound: None, outbound: None, ports: Vec::new(), routes: Vec::new() }
}

struct Builder<'a> {
    topology: &'a Topology,
    /// The ids of the objects whose keys have the server's id: others may refer to them by that.
    found: BTreeMap<Uuid, Uuid>,
    world: World,
}

impl Builder<'_> {
    fn id(&self, reference: &Reference) -> Option<Uuid> {
        match reference {
            Reference::External(id) => Some(self.found.get(id).copied().unwrap_or(*id)),
            Reference::Key(_) | Reference::Named(_) => id_of(self.topology, reference),
        }
    }

    fn ids(&self, references: &[Reference]) -> Vec<Uuid> {
        references.iter().filter_map(|reference| self.id(reference)).collect()
    }

    fn filter(&self, filter: Option<&Reference>) -> Option<Uuid> {
        filter.and_then(|filter| self.id(filter))
    }

    fn device(&mut self, index: usize, object: &Object) {
        match object {
            Object::Router(Router(device)) | Object::Bridge(Bridge(device)) => {
                let made = Device {
                    is_router: matches!(object, Object::Router(_)),
                    up: device.admin_state_up,
                    inbound: self.filter(device.inbound_filter.as_ref()),
                    outbound: self.filter(device.outbound_filter.as_ref()),
                    ..bare_router()
                };
                self.world.devices.insert(id_at(index), made);
            }
            Object::Chain(_) => drop(self.world.chains.insert(id_at(index), Vec::new())),
            Object::PortGroup(_) => {
                self.world.port_groups.entry(id_at(index)).or_default();
            }
            _ => {}
        }
    }

    fn port(&mut self, index: usize, object: &Object) {
        let (device, own, [inbound, outbound], up) = match object {
            Object::RouterPort(port) => (
                &port.router,
                Some((port.address, port.network)),
                [&port.inbound_filter, &port.outbound_filter],
                port.admin_state_up,
            ),
            Object::BridgePort(port) => {
                (&port.bridge, None, [&port.inbound_filter, &port.outbound_filter], port.admin_state_up)
            }
            _ => return,
        };
        let Some(device_id) = self.id(device) else { return };
        // A router of another part of the topology is needed too.
        if let Object::RouterPort(_) = object {
            self.world.devices.entry(device_id).or_insert_with(bare_router);
        }
        self.world.insert_port(Port {
            id: id_at(index),
            device: device_id,
            up,
            mac: mac_at(0xfd, index),
            address: own.map(|(address, _)| address),
            network: own.map(|(_, network)| network),
            inbound: self.filter(inbound.as_ref()),
            outbound: self.filter(outbound.as_ref()),
            peer: None,
        });
    }

    fn join(&mut self, index: usize, object: &Object) {
        match object {
            Object::PortLink(link) => {
                if let (Some(port), Some(peer)) = (self.id(&link.port), self.id(&link.peer)) {
                    self.world.link(port, peer);
                }
            }
            Object::PortGroupPort(member) => {
                if let (Some(group), Some(port)) = (self.id(&member.group), self.id(&member.port)) {
                    self.world.port_groups.entry(group).or_default().insert(port);
                }
            }
            Object::Route(route) => self.route(index, route),
            _ => {}
        }
    }

    fn route(&mut self, index: usize, route: &kinds::Route) {
        let (kind, port, gateway) = match &route.next_hop {
            NextHop::Port { port, gateway } => (RouteKind::Normal, self.id(port), *gateway),
            NextHop::BlackHole => (RouteKind::BlackHole, None, None),
            NextHop::Reject => (RouteKind::Reject, None, None),
        };
        let made = Route {
            id: id_at(index),
            kind,
            source: route.source,
            destination: route.destination,
            weight: route.weight,
            port,
            gateway,
        };
        let router = self.id(&route.router);
        if let Some(device) = router.and_then(|router| self.world.devices.get_mut(&router)) {
            device.routes.push(made);
        }
    }

    fn rule(&self, index: usize, rule: &kinds::Rule) -> Rule {
        let mut made = self.condition(&rule.condition);
        made.id = id_at(index);
        let targets = |target: &NatTarget| {
            Some(vec![Target {
                address_from: target.first,
                address_to: target.last,
                port_from: target.ports.start,
                port_to: target.ports.end,
            }])
        };
        made.kind = match &rule.action {
            // The rule has the type that the server has for it.
            _ if rule.condition.others.contains_key("type") => made.kind,
            RuleAction::Accept => RuleKind::Accept,
            RuleAction::Drop => RuleKind::Drop,
            RuleAction::Reject => RuleKind::Reject,
            RuleAction::Return => RuleKind::Return,
            RuleAction::Jump { chain, .. } => {
                made.jump_chain_id = self.id(chain);
                RuleKind::Jump
            }
            RuleAction::SourceNat(target, flow) => {
                (made.nat_targets, made.flow_action) = (targets(target), Some(*flow));
                RuleKind::Snat
            }
            RuleAction::DestinationNat(target, flow) => {
                (made.nat_targets, made.flow_action) = (targets(target), Some(*flow));
                RuleKind::Dnat
            }
            RuleAction::ReverseSourceNat(flow) => {
                made.flow_action = Some(*flow);
                RuleKind::RevSnat
            }
            RuleAction::ReverseDestinationNat(flow) => {
                made.flow_action = Some(*flow);
                RuleKind::RevDnat
            }
        };
        made
    }

    fn condition(&self, condition: &Condition) -> Rule {
        let length = |network: Option<Ipv4Net>| network.map_or(0, |network| network.prefix_len());
        Rule {
            match_forward_flow: condition.forward_flow,
            match_return_flow: condition.return_flow,
            in_ports: self.ids(&condition.in_ports),
            inv_in_ports: condition.not_in_ports,
            out_ports: self.ids(&condition.out_ports),
            inv_out_ports: condition.not_out_ports,
            dl_type: condition.ethertype.map(u32::from),
            inv_dl_type: condition.not_ethertype,
            no_vlan: condition.untagged,
            dl_src: condition.source_mac,
            inv_dl_src: condition.not_source_mac,
            nw_proto: condition.protocol,
            nw_src_address: condition.source.map(|network| network.addr()),
            nw_src_length: length(condition.source),
            inv_nw_src: condition.not_source,
            nw_dst_address: condition.destination.map(|network| network.addr()),
            nw_dst_length: length(condition.destination),
            inv_nw_dst: condition.not_destination,
            tp_src: condition.source_ports,
            tp_dst: condition.destination_ports,
            fragment_policy: condition.fragments,
            ..self.others(&condition.others)
        }
    }

    /// Returns a rule with only the fields that midoform does not model.
    fn others(&self, others: &BTreeMap<String, OtherField>) -> Rule {
        if others.is_empty() {
            return Rule::default();
        }
        let value = |value: &OtherField| match value {
            OtherField::Reference(reference) => self.id(reference).unwrap_or_default().to_string().into(),
            OtherField::Value(value) => value.clone(),
        };
        let fields = others.iter().map(|(name, field)| (name.clone(), value(field))).collect();
        serde_json::from_value(serde_json::Value::Object(fields)).unwrap_or_default()
    }
}
