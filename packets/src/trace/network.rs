//! A topology with pods attached where a packet needs them, and with the world behind the provider's router.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use uuid::Uuid;

use crate::semantics::world::World;
use crate::semantics::{
    BROADCAST, FULL_TTL, Fragment, Packet, State, Station, Trace, Verdict, entry_of, id_of, simulate,
};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::view::{BridgeKey, KeyView, TenantKey};
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::{NextHop, Object, Reference, RuleAction};
use midoform_compiler::values::{MacAddress, ethertype};

/// A MAC address that no host has.
const UNKNOWN: MacAddress = MacAddress([0x02, 0x99, 0x99, 0x99, 0x99, 0x99]);

/// The MAC address of the hosts behind foreign ports.
const BEYOND: MacAddress = MacAddress([0x02, 0x98, 0x98, 0x98, 0x98, 0x98]);

/// An end of a packet's path: its sender or its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A pod with this address on the bridge with this key.
    Pod(Key, Ipv4Addr),
    /// The host behind the static port with this key, with its address and MAC address.
    Port(Key, Ipv4Addr, MacAddress),
    /// A host with this address outside.
    World(Ipv4Addr),
}

impl Endpoint {
    /// Returns the address.
    pub fn address(&self) -> Ipv4Addr {
        match self {
            Endpoint::Pod(_, address) | Endpoint::Port(_, address, _) | Endpoint::World(address) => *address,
        }
    }

    /// Returns the endpoint as people write it: `acme/web/10.0.0.5`, `acme/port/web-1`, `world/8.8.8.8`.
    pub fn shown(&self) -> String {
        match self {
            Endpoint::Pod(key, address) => format!("{}/{address}", bridge_name(key)),
            Endpoint::Port(key, ..) => key.to_string(),
            Endpoint::World(address) => format!("world/{address}"),
        }
    }
}

/// Returns the key of a bridge as people write it: `acme/web`.
pub(crate) fn bridge_name(key: &Key) -> String {
    match key.view() {
        KeyView::Tenant(tenant, TenantKey::Bridge(bridge, BridgeKey::Device)) => format!("{tenant}/{bridge}"),
        _ => key.to_string(),
    }
}

/// A reason why a packet can't be traced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// No object of the topology has this key.
    #[error("there is no {0}")]
    Unknown(String),
    /// There is no path to the outside.
    #[error("there is no path to the outside: no tenant is linked to a provider router")]
    NoProvider,
    /// The packet comes to a switch or a router of OVN of which a row can't be read.
    #[error(
        "the packet comes to a row of OVN that midoform can't read, so nobody knows what happens to it: {table} {key}: {reason}"
    )]
    Unread {
        /// The row's table.
        table: &'static str,
        /// The row's key.
        key: Key,
        /// The reason.
        reason: String,
    },
}

/// A topology with the hosts that packets start from and arrive at.
pub struct TraceNetwork<'t> {
    pub(super) topology: &'t Topology,
    /// The tenants of the network.
    tenants: BTreeSet<&'t str>,
    pub(crate) world: World,
    stations: Vec<Station>,
    /// The names of the stations, by port.
    names: BTreeMap<Uuid, String>,
    outside: Option<Station>,
    held: Option<HeldAddresses>,
}

/// The addresses that somebody has, as the store and the API know them.
#[derive(Clone, Debug, Default)]
pub struct HeldAddresses {
    /// The addresses of pods and static ports, with the keys of their bridges.
    pub known: BTreeSet<(Key, Ipv4Addr)>,
    /// The bridges with a port whose address nobody knows: it may have any.
    pub unknown: BTreeSet<Key>,
}

impl<'t> TraceNetwork<'t> {
    /// Builds the network of a whole topology.
    pub fn new(topology: &'t Topology) -> TraceNetwork<'t> {
        TraceNetwork::of(topology, World::of_topology(topology), topology.tenants())
    }

    /// Builds the network of some tenants of a topology and the site's own objects.
    pub fn of_tenants(topology: &'t Topology, tenants: &BTreeSet<&str>) -> TraceNetwork<'t> {
        let world = World::of_part(topology, tenants.iter().copied().chain([SITE]));
        let names = tenants.iter().filter_map(|tenant| topology.of_tenant(tenant).next());
        let names = names.map(|(_, entry)| entry.key.owner()).collect();
        TraceNetwork::of(topology, world, names)
    }

    fn of(topology: &'t Topology, mut world: World, tenants: BTreeSet<&'t str>) -> TraceNetwork<'t> {
        let provider = tenants.iter().find_map(|tenant| provider(topology, tenant));
        let outside = provider.map(|provider| world.attach_world(provider));
        let mut names = BTreeMap::new();
        let mut stations = Vec::new();
        if let Some(station) = &outside {
            names.insert(station.port, "world".to_owned());
            stations.push(station.clone());
        }
        TraceNetwork { topology, tenants, world, stations, names, outside, held: None }
    }

    /// Attaches a host at an end of a packet's path, and returns its station.
    ///
    /// # Errors
    /// Returns an error if the topology has no such bridge or port, or no path to the outside.
    pub fn attach(&mut self, probe: &Endpoint) -> Result<Station, TraceError> {
        let known = |topology: &Topology, key: &Key| {
            let there = topology.get(key.as_str()).is_some();
            there.then(|| id_of(topology, &Reference::from(key))).flatten()
        };
        let station = match probe {
            Endpoint::World(_) => return self.outside.clone().ok_or(TraceError::NoProvider),
            Endpoint::Pod(key, address) => {
                let bridge = known(self.topology, key).ok_or_else(|| TraceError::Unknown(key.to_string()))?;
                let same = self.stations.iter().find(|station| {
                    station.address == *address && self.world.device_of(station.port) == Some(bridge)
                });
                match same {
                    Some(station) => return Ok(station.clone()),
                    None => self.world.attach_pod(self.topology, (bridge, key), *address),
                }
            }
            Endpoint::Port(key, address, mac) => {
                let port = known(self.topology, key).ok_or_else(|| TraceError::Unknown(key.to_string()))?;
                if let Some(station) = self.stations.iter().find(|station| station.port == port) {
                    return Ok(station.clone());
                }
                Station { port, address: *address, mac: *mac }
            }
        };
        self.names.insert(station.port, probe.shown());
        self.stations.push(station.clone());
        Ok(station)
    }

    /// Adds the addresses of address groups that rules name by their ids.
    pub fn know_address_groups(&mut self, groups: BTreeMap<Uuid, BTreeSet<Ipv4Addr>>) {
        self.world.address_groups.extend(groups);
    }

    /// Says which addresses somebody has: from now on, no other pods are attached. Without this, every address of a
    /// bridge's network has a pod.
    pub fn limit_to(&mut self, held: HeldAddresses) {
        self.held = Some(held);
    }

    /// Attaches the hosts behind static ports: a packet to one of their addresses goes through the port, with its filters and its
    /// admin state. Say before which addresses somebody has.
    pub fn attach_static_ports(&mut self, ports: &BTreeMap<Key, (Ipv4Addr, MacAddress)>) {
        for (key, (address, mac)) in ports {
            let bridge = match self.topology.get(key.as_str()).map(|entry| &entry.object) {
                Some(Object::BridgePort(port)) => port.bridge.key(),
                _ => None,
            };
            if bridge.is_some_and(|bridge| self.is_held(bridge, *address)) {
                // The port was found in this topology.
                let _ = self.attach(&Endpoint::Port(key.clone(), *address, *mac));
            }
        }
    }

    /// Returns true if somebody has the address.
    fn is_held(&self, bridge: &Key, address: Ipv4Addr) -> bool {
        let Some(held) = &self.held else { return true };
        held.unknown.contains(bridge) || held.known.contains(&(bridge.clone(), address))
    }

    /// Puts pods wherever a packet to this address may come: on the bridges that have it, behind exposed ports, and at the
    /// gateways of routes. Only the router beside a bridge sees its pods, so it does not matter who else has the address.
    pub fn attach_pods(&mut self, destination: Ipv4Addr) {
        let mut wanted: Vec<(&str, Ipv4Addr)> =
            self.tenants.iter().map(|tenant| (*tenant, destination)).collect();
        for entry in
            self.tenants.iter().flat_map(|tenant| self.topology.of_tenant(tenant)).map(|(_, entry)| entry)
        {
            match &entry.object {
                Object::Rule(rule) => {
                    if let RuleAction::DestinationNat(target, _) = &rule.action
                        && rule.condition.destination.is_some_and(|public| public.contains(&destination))
                    {
                        wanted.push((entry.key.owner(), target.first));
                    }
                }
                Object::Route(route) => {
                    if let NextHop::Port { gateway: Some(gateway), .. } = &route.next_hop
                        && route.destination.contains(&destination)
                    {
                        wanted.push((entry.key.owner(), *gateway));
                    }
                }
                _ => {}
            }
        }
        for (tenant, address) in wanted {
            for bridge in self.bridges_with(tenant, address) {
                if self.is_held(&bridge, address) {
                    // The bridge was found in this topology.
                    let _ = self.attach(&Endpoint::Pod(bridge, address));
                }
            }
        }
    }

    /// Puts a host behind each foreign port that a route to this address leads to: nobody knows what is there, so it may be.
    fn attach_beyond(&mut self, destination: Ipv4Addr) {
        let routes = self.world.devices.values().flat_map(|device| &device.routes);
        let routes = routes.filter(|route| route.destination.contains(&destination));
        let is_foreign = |port: &Uuid| {
            let entry = entry_of(self.topology, *port);
            let is_linked_inside = self.world.ports.get(port).is_some_and(|port| port.peer.is_some());
            entry.is_some_and(|entry| entry.key.is_foreign()) && !is_linked_inside
        };
        let beyond = routes.filter_map(|route| Some((route.port.filter(is_foreign)?, route.gateway)));
        let stations: Vec<Station> = beyond
            .map(|(port, gateway)| Station { port, address: gateway.unwrap_or(destination), mac: BEYOND })
            .collect();
        self.stations.extend(stations);
    }

    /// Attaches the destination of a packet, if somebody has its address.
    ///
    /// # Errors
    /// Returns an error if the topology has no such bridge or port, or no path to the outside.
    pub fn attach_destination(&mut self, probe: &Endpoint) -> Result<(), TraceError> {
        match probe {
            Endpoint::World(_) => {}
            Endpoint::Pod(key, address)
                if self.topology.get(key.as_str()).is_some() && !self.is_held(key, *address) => {}
            _ => {
                let _ = self.attach(probe)?;
            }
        }
        self.attach_pods(probe.address());
        self.attach_beyond(probe.address());
        Ok(())
    }

    /// Returns the tenant's bridges whose network has this address, unless it is a gateway's.
    fn bridges_with(&self, tenant: &str, address: Ipv4Addr) -> Vec<Key> {
        let bridges =
            self.topology.of_tenant(tenant).filter(|(_, entry)| matches!(entry.object, Object::Bridge(_)));
        let has = |key: &Key| {
            let id = id_of(self.topology, &Reference::from(key))?;
            let gateways = self.gateways(id);
            Some(gateways.iter().any(|(own, network, _)| network.contains(&address) && *own != address))
        };
        bridges.map(|(_, entry)| entry.key.clone()).filter(|key| has(key).unwrap_or(false)).collect()
    }

    fn gateways(&self, bridge: Uuid) -> Vec<(Ipv4Addr, ipnet::Ipv4Net, MacAddress)> {
        let ports = self.world.devices.get(&bridge).into_iter().flat_map(|bridge| &bridge.ports);
        let peers = ports.filter_map(|port| self.world.ports.get(port)?.peer);
        let routers = peers.filter_map(|peer| self.world.ports.get(&peer));
        routers.filter_map(|port| Some((port.address?, port.network?, port.mac))).collect()
    }

    /// Returns the MAC address that a station sends to for this destination: a neighbour's, its gateway's, or one that
    /// no host has.
    fn next_mac(&self, from: &Station, destination: Ipv4Addr) -> MacAddress {
        let Some(device) = self.world.device_of(from.port) else { return UNKNOWN };
        if self.world.is_router(device) {
            return self.world.port_mac(from.port).unwrap_or(UNKNOWN);
        }
        let gateways = self.gateways(device);
        let near = gateways.iter().find(|(_, network, _)| network.contains(&destination));
        match near {
            Some((gateway, _, mac)) if *gateway == destination => *mac,
            Some(_) => {
                let neighbour = self.stations.iter().find(|station| {
                    station.address == destination && self.world.device_of(station.port) == Some(device)
                });
                neighbour.map_or(UNKNOWN, |station| station.mac)
            }
            None => gateways.first().map_or(UNKNOWN, |(_, _, mac)| *mac),
        }
    }

    /// Returns a packet as it leaves a station.
    pub fn packet(
        &self,
        from: &Station,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        carried: (u8, u16, u16),
    ) -> Packet {
        let (protocol, source_port, destination_port) = carried;
        Packet {
            ethertype: ethertype::IPV4,
            vlan: None,
            source,
            destination,
            protocol,
            source_port,
            destination_port,
            source_mac: from.mac,
            destination_mac: self.next_mac(from, destination),
            ttl: FULL_TTL,
            fragment: Fragment::Whole,
        }
    }

    /// Returns the address that a station asks for by ARP in vain, if it can't send the packet at all: nobody beside it has
    /// the destination's address.
    pub(super) fn unanswered(&self, packet: Packet) -> Option<Ipv4Addr> {
        (self.held.is_some() && packet.destination_mac == UNKNOWN).then_some(packet.destination)
    }

    /// Returns the packet as a frame of another kind. ARP is broadcast, and has no ports.
    #[must_use]
    pub fn as_frame(packet: Packet, ethertype: u16, vlan: Option<u16>) -> Packet {
        let packet = Packet { ethertype, vlan, ..packet };
        match packet.ethertype == ethertype::ARP {
            true => Packet { source_port: 0, destination_port: 0, destination_mac: BROADCAST, ..packet },
            false => packet,
        }
    }

    /// Returns a frame that is not IPv4 as it goes to a neighbour: ARP is broadcast.
    pub(crate) fn to_neighbour(&self, from: &Station, packet: Packet) -> Packet {
        let device = self.world.device_of(from.port);
        let mut others = self
            .stations
            .iter()
            .filter(|station| station.port != from.port && self.world.device_of(station.port) == device);
        let other = others.next().map(|station| station.mac).filter(|_| !packet.frame().is_arp());
        Packet { destination_mac: other.unwrap_or(BROADCAST), ..packet }
    }

    /// Sends a packet through the network.
    pub fn send(&self, state: &mut State, from: &Station, packet: Packet) -> Trace {
        simulate(&self.world, state, &self.stations, from.port, packet)
    }

    /// Returns the reply to a packet that arrived, and the station that sends it. A router that consumed an echo
    /// replies to it, but that packet starts in the router.
    pub(super) fn reply_to(&self, trace: &Trace) -> Option<(Station, Packet)> {
        let Verdict::Delivered(ports) = &trace.verdict else { return None };
        let station = self.stations.iter().find(|station| ports.first() == Some(&station.port))?;
        let arrived = &trace.packet;
        if !arrived.frame().is_routed() {
            return None;
        }
        let answered =
            matches!(arrived.protocol, 6 | 17) || (arrived.protocol == 1 && arrived.source_port == 8);
        let reply = arrived.reply();
        let mac = self.next_mac(station, reply.destination);
        answered.then(|| (station.clone(), Packet { source_mac: station.mac, destination_mac: mac, ..reply }))
    }

    /// Returns the name of a device or a port.
    pub(super) fn name(&self, id: Uuid) -> String {
        if let Some(name) = self.names.get(&id) {
            return name.clone();
        }
        match entry_of(self.topology, id) {
            Some(entry) => entry.key.to_string(),
            None => format!("provider router {id}"),
        }
    }
}

/// Returns the router that a tenant's uplink leads to. It is not one of the tenant's own.
fn provider(topology: &Topology, tenant: &str) -> Option<Uuid> {
    topology.of_tenant(tenant).find_map(|(_, entry)| match &entry.object {
        Object::RouterPort(port) if port.router.key().is_none_or(|key| key.owner() != tenant) => {
            id_of(topology, &port.router)
        }
        _ => None,
    })
}
