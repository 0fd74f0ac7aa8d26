//! The objects of the network as the API lists them, before they are matched to keys.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::wire::{Device, Port, PortGroup, PortGroupPort, Route, Rule, TunnelZone, TunnelZoneHost, WithRaw};

/// The objects that were read. Devices, chains, groups and ports are complete; rules, routes and members are there for the
/// parents whose lists were read.
#[derive(Default)]
pub struct Inventory {
    /// All routers (`/routers`).
    pub routers: Vec<WithRaw<Device>>,
    /// All bridges (`/bridges`).
    pub bridges: Vec<WithRaw<Device>>,
    /// All chains (`/chains`); a chain has no filters.
    pub chains: Vec<Device>,
    /// All ports of routers and bridges (`/ports`).
    pub ports: Vec<WithRaw<Port>>,
    /// All port groups (`/port_groups`).
    pub groups: Vec<PortGroup>,
    /// All tunnel zones (`/tunnel_zones`).
    pub zones: Vec<TunnelZone>,
    /// The rules of a chain, in order, by the chain's id.
    pub rules: BTreeMap<Uuid, Vec<Rule>>,
    /// The routes of a router, by the router's id.
    pub routes: BTreeMap<Uuid, Vec<Route>>,
    /// The ports of a port group, by the group's id.
    pub members: BTreeMap<Uuid, Vec<PortGroupPort>>,
    /// The hosts of a tunnel zone, by the zone's id.
    pub zone_hosts: BTreeMap<Uuid, Vec<TunnelZoneHost>>,
}

impl Inventory {
    /// Returns the ids of all devices, chains and port groups.
    pub(crate) fn device_ids(&self) -> impl Iterator<Item = Uuid> {
        let devices = self.routers.iter().chain(&self.bridges).map(|device| device.value.id);
        let chains = self.chains.iter().map(|chain| chain.id);
        let groups = self.groups.iter().map(|group| group.id);
        devices.chain(chains).chain(groups)
    }
}
