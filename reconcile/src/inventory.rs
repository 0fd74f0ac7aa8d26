//! The objects of the network as the API lists them, before they are matched to keys.

use std::collections::BTreeMap;

use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::{
    Chain, DeviceJson, Kind, Listed, Object, PortGroup, PortGroupJson, PortGroupPort, PortGroupPortJson,
    PortJson, Reference, Resource as _, RouteJson, Rule, RuleJson, TunnelZoneHostJson, TunnelZoneJson,
};
use uuid::Uuid;

/// The objects that were read. The devices, chains, groups and ports are complete. The rules, routes and members are
/// those of the parents whose lists were read.
#[derive(Default)]
pub struct Inventory {
    /// All routers (`/routers`).
    pub routers: Vec<DeviceJson>,
    /// All bridges (`/bridges`).
    pub bridges: Vec<DeviceJson>,
    /// All chains (`/chains`); a chain has no filters.
    pub chains: Vec<DeviceJson>,
    /// All ports of routers and bridges (`/ports`).
    pub ports: Vec<PortJson>,
    /// All port groups (`/port_groups`).
    pub groups: Vec<PortGroupJson>,
    /// All tunnel zones (`/tunnel_zones`).
    pub zones: Vec<TunnelZoneJson>,
    /// The rules of a chain, in order, by the chain's id.
    pub rules: BTreeMap<Uuid, Vec<RuleJson>>,
    /// The routes of a router, by the router's id.
    pub routes: BTreeMap<Uuid, Vec<RouteJson>>,
    /// The ports of a port group, by the group's id.
    pub members: BTreeMap<Uuid, Vec<PortGroupPortJson>>,
    /// The hosts of a tunnel zone, by the zone's id.
    pub zone_hosts: BTreeMap<Uuid, Vec<TunnelZoneHostJson>>,
}

impl Inventory {
    /// Returns the ids of all devices, chains and port groups.
    pub(crate) fn device_ids(&self) -> impl Iterator<Item = Uuid> {
        let devices = self.routers.iter().chain(&self.bridges).map(|device| device.id);
        let chains = self.chains.iter().map(|chain| chain.id);
        let groups = self.groups.iter().map(|group| group.id);
        devices.chain(chains).chain(groups)
    }

    /// Returns the names of all routers, bridges, chains and port groups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let devices = self.routers.iter().chain(&self.bridges).chain(&self.chains);
        let devices = devices.filter_map(|device| device.name.as_deref());
        devices.chain(self.groups.iter().filter_map(|group| group.name.as_deref()))
    }

    /// Returns the hosts and interfaces that ports are bound to, each with its port.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = ((Uuid, String), Uuid)> {
        let bound = |port: &PortJson| Some(((port.host_id?, port.interface_name.clone()?), port.id));
        self.ports.iter().filter_map(bound)
    }

    /// Returns the ids and kinds of all devices, chains, port groups, tunnel zones and ports.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (Uuid, Kind)> {
        let routers = self.routers.iter().map(|router| (router.id, Kind::Router));
        let bridges = self.bridges.iter().map(|bridge| (bridge.id, Kind::Bridge));
        let chains = self.chains.iter().map(|chain| (chain.id, Kind::Chain));
        let groups = self.groups.iter().map(|group| (group.id, Kind::PortGroup));
        let zones = self.zones.iter().map(|zone| (zone.id, Kind::TunnelZone));
        let ports = self.ports.iter().map(|port| {
            let kind = if port.is_of_bridge() { Kind::BridgePort } else { Kind::RouterPort };
            (port.id, kind)
        });
        routers.chain(bridges).chain(chains).chain(groups).chain(zones).chain(ports)
    }

    /// Returns a chain that has this key, which is not midoform's, and its rules, each with its id.
    pub(crate) fn chain_beyond(
        &self,
        id: Uuid,
        chain: &Key,
        resolve: &dyn Fn(Uuid) -> Reference,
    ) -> (Object, Vec<(Uuid, Object)>) {
        let rules = (1..).zip(self.rules.get(&id).into_iter().flatten());
        let rules = rules.filter_map(|(position, json)| {
            let rule = Rule::read(json, &Listed { parent: Some(chain.into()), position, resolve })?;
            Some((json.id, rule.into()))
        });
        (Chain { name: String::new(), tenant_id: String::new() }.into(), rules.collect())
    }

    /// Returns a port group that has this key, which is not midoform's, and its members, each with the id of its port.
    pub(crate) fn group_beyond(
        &self,
        id: Uuid,
        group: &Key,
        resolve: &dyn Fn(Uuid) -> Reference,
    ) -> (Object, Vec<(Uuid, Object)>) {
        let members = self.members.get(&id).into_iter().flatten().map(|member| {
            let port = resolve(member.port_id);
            (member.port_id, PortGroupPort { group: group.into(), port }.into())
        });
        let device = PortGroup { name: String::new(), tenant_id: String::new(), stateful: false };
        (device.into(), members.collect())
    }
}
