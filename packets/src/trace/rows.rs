//! OVN's rows with pods attached where a packet needs them, and with the world behind the provider's router.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::network::{Endpoint, TraceError, TraceNetwork};
use crate::ovn::network::{
    Fault, Network, RouterIndex, RouterPort, RouterPortIndex, SwitchIndex, SwitchPort, SwitchPortIndex,
    SwitchPortKind,
};
use crate::ovn::{Datapath, Neighbour, Sent, State, Trace, WORLD_FAR, simulate};
use crate::semantics::{BROADCAST, FULL_TTL, Fragment, Packet};
use ipnet::Ipv4Net;
use midoform_compiler::ovn::lower::pod::{BridgeSecurity, PortSecurity};
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::view::{KeyView, TenantKey, UplinkKey};
use midoform_compiler::topology::key::{Key, SITE};
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::{MacAddress, ethertype};

/// A MAC address that no host has.
const UNKNOWN: MacAddress = MacAddress([0x02, 0x99, 0x99, 0x99, 0x99, 0x99]);
/// The MAC address of the hosts outside, and of those behind ports of which nobody knows the addresses.
const BEYOND: MacAddress = MacAddress([0x02, 0x98, 0x98, 0x98, 0x98, 0x98]);
/// The beginning of the MAC addresses of attached pods.
const POD_MAC: [u8; 2] = [0x02, 0xaa];
/// The identifier of all echo requests.
const ECHO: u16 = 1;

/// A host that sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) port: SwitchPortIndex,
    pub(super) address: Ipv4Addr,
    pub(super) mac: MacAddress,
}

/// The rows of a topology with the hosts that packets start from and arrive at.
pub(crate) struct RowsNetwork<'t> {
    pub(super) topology: &'t Topology,
    pub(crate) network: Network,
    /// What decides about the port security of the pods of each bridge.
    security: &'t BTreeMap<Key, BridgeSecurity>,
    /// The names of attached hosts.
    names: BTreeMap<SwitchPortIndex, String>,
    outside: Option<Outside>,
    neighbours: Vec<Neighbour>,
    /// True if only those ports have hosts that rows have: every other address has a pod otherwise.
    is_limited: bool,
}

/// The way to the outside.
#[derive(Clone, Copy, Debug)]
struct Outside {
    port: SwitchPortIndex,
    router_port: RouterPortIndex,
}

impl<'t> RowsNetwork<'t> {
    /// Builds the network of a whole topology.
    pub(crate) fn new(
        topology: &'t Topology,
        security: &'t BTreeMap<Key, BridgeSecurity>,
    ) -> RowsNetwork<'t> {
        RowsNetwork::of(topology, Network::of_topology(topology), security)
    }

    /// Builds the network of some tenants of a topology and the site's own rows.
    pub(crate) fn of_tenants(
        topology: &'t Topology,
        tenants: &BTreeSet<&str>,
        security: &'t BTreeMap<Key, BridgeSecurity>,
    ) -> RowsNetwork<'t> {
        let all: BTreeSet<&str> = tenants.iter().copied().chain([SITE]).collect();
        let entries = all.into_iter().flat_map(|tenant| topology.of_tenant(tenant));
        let entries: Vec<_> = entries.map(|(_, entry)| entry).collect();
        RowsNetwork::of(topology, Network::of_entries(entries.into_iter()), security)
    }

    fn of(
        topology: &'t Topology,
        mut network: Network,
        security: &'t BTreeMap<Key, BridgeSecurity>,
    ) -> RowsNetwork<'t> {
        let outside = provider(&network).map(|router| {
            let found = network.localnet_of(router).unwrap_or_else(|| network.attach_world(router));
            Outside { port: found.0, router_port: found.1 }
        });
        let names = outside.iter().map(|outside| (outside.port, "world".to_owned())).collect();
        let mut rows = RowsNetwork {
            topology,
            network,
            security,
            names,
            outside,
            neighbours: Vec::new(),
            is_limited: false,
        };
        rows.know_next_hops();
        rows
    }

    /// Says that the rows have all ports: no pods are attached where a packet may go.
    pub(super) fn limit(&mut self) {
        self.is_limited = true;
    }

    /// Adds what could not be read of the rows.
    pub(super) fn add_faults(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.network.faults.extend(faults);
    }

    fn near_outside(&self) -> Option<(&RouterPort, SwitchIndex)> {
        let outside = self.outside?;
        let switch = self.network.switch_port(outside.port)?.switch;
        Some((self.network.router_port(outside.router_port)?, switch))
    }

    /// Lets the hosts outside answer ARP for the next hops of the provider's routes.
    fn know_next_hops(&mut self) {
        let Some((port, _)) = self.near_outside() else { return };
        let router = self.network.router(port.router);
        let hops: Vec<Ipv4Addr> =
            router.into_iter().flat_map(|router| &router.routes).filter_map(|route| route.next_hop).collect();
        hops.into_iter().chain([WORLD_FAR]).for_each(|hop| self.know_outside(hop));
    }

    /// Lets the host outside with this address answer ARP, if it is beside the provider's router.
    fn know_outside(&mut self, address: Ipv4Addr) {
        let known = self.near_outside().filter(|(port, _)| {
            !port.has_address(address) && port.networks.iter().any(|network| network.contains(&address))
        });
        if let Some((_, switch)) = known {
            self.neighbours.push(Neighbour { switch, address, mac: BEYOND });
        }
    }

    fn switch_of(&self, bridge: &Key) -> Option<SwitchIndex> {
        self.network.switch_of(&Reference::from(bridge))
    }

    /// Returns the port of a switch that has an address.
    fn port_with(&self, switch: SwitchIndex, address: Ipv4Addr) -> Option<(SwitchPortIndex, MacAddress)> {
        self.network.switch(switch)?.ports.iter().find_map(|at| {
            let port = self.network.switch_port(*at)?;
            let has = |(_, addresses): &&(MacAddress, Vec<Ipv4Addr>)| addresses.contains(&address);
            Some((*at, port.addresses.iter().find(has)?.0))
        })
    }

    /// Attaches a host at an end of a packet's path.
    ///
    /// # Errors
    /// Returns an error if there is no such bridge or port, or no path to the outside.
    pub(crate) fn attach(&mut self, end: &Endpoint) -> Result<Host, TraceError> {
        match end {
            Endpoint::World(address) => {
                let outside = self.outside.ok_or(TraceError::NoProvider)?;
                self.know_outside(*address);
                Ok(Host { port: outside.port, address: *address, mac: BEYOND })
            }
            Endpoint::Port(key, address, mac) => {
                let port = self.network.switch_port_of(key);
                let port = port.ok_or_else(|| TraceError::Unknown(key.to_string()))?;
                self.names.insert(port, end.shown());
                Ok(Host { port, address: *address, mac: *mac })
            }
            Endpoint::Pod(key, address) => {
                let switch = self.switch_of(key).ok_or_else(|| TraceError::Unknown(key.to_string()))?;
                let is_interface = |at: SwitchPortIndex| {
                    self.network.switch_port(at).is_some_and(|port| port.kind == SwitchPortKind::Interface)
                };
                let known = self.port_with(switch, *address).filter(|(at, _)| is_interface(*at));
                let (port, mac) = known.unwrap_or_else(|| self.attach_pod((switch, key), *address));
                self.names.entry(port).or_insert_with(|| end.shown());
                Ok(Host { port, address: *address, mac })
            }
        }
    }

    /// Attaches a pod as the plugin does.
    fn attach_pod(
        &mut self,
        (switch, bridge): (SwitchIndex, &Key),
        address: Ipv4Addr,
    ) -> (SwitchPortIndex, MacAddress) {
        let [a, b, c, d] = u32::try_from(self.network.switch_ports.len()).unwrap_or(u32::MAX).to_be_bytes();
        let [first, family] = POD_MAC;
        let mac = MacAddress([first, family, a, b, c, d]);
        let security = self.security.get(bridge).map_or(PortSecurity::None, |own| own.of_pod(address));
        let has_unknown = security == PortSecurity::None;
        let security = match security {
            PortSecurity::None => Vec::new(),
            PortSecurity::Networks(networks) => vec![crate::ovn::network::Security { mac, networks }],
        };
        let port = self.network.attach(SwitchPort {
            key: None,
            name: format!("{bridge}/{address}"),
            switch,
            kind: SwitchPortKind::Interface,
            addresses: vec![(mac, vec![address])],
            has_unknown,
            security,
        });
        (port, mac)
    }

    /// Attaches the destination of a packet, if somebody has its address.
    ///
    /// # Errors
    /// Returns an error if there is no such bridge or port, or no path to the outside.
    pub(super) fn attach_destination(&mut self, end: &Endpoint) -> Result<(), TraceError> {
        match end {
            Endpoint::World(address) => self.know_outside(*address),
            Endpoint::Pod(key, _) if self.is_limited && self.switch_of(key).is_some() => {}
            _ => drop(self.attach(end)?),
        }
        self.attach_pods(end.address());
        Ok(())
    }

    /// Puts pods wherever a packet to this address may come: on the bridges that have it, behind exposed ports, and at the next hops of
    /// routes. Where the rows have all ports, a port of which nobody knows the addresses may have it.
    pub(crate) fn attach_pods(&mut self, destination: Ipv4Addr) {
        let balancers = self.network.routers.iter().flat_map(|router| &router.load_balancers);
        let targets = balancers
            .filter(|balancer| balancer.public.0 == destination)
            .flat_map(|balancer| &balancer.targets)
            .map(|(target, _)| *target);
        let routes = self.network.routers.iter().flat_map(|router| &router.routes);
        let hops = routes.filter(|route| route.destination.contains(&destination));
        let hops = hops.filter_map(|route| route.next_hop);
        let wanted: BTreeSet<Ipv4Addr> = targets.chain(hops).chain([destination]).collect();
        for (switch, bridge) in self.bridges() {
            for address in &wanted {
                let networks = self.gateways(switch);
                let is_here =
                    networks.iter().any(|(own, network, _)| network.contains(address) && own != address);
                match is_here && self.port_with(switch, *address).is_none() {
                    true if self.is_limited => self.know_unknown(switch, *address),
                    true => drop(self.attach(&Endpoint::Pod(bridge.clone(), *address))),
                    false => {}
                }
            }
        }
    }

    /// Lets a port of which nobody knows the addresses answer ARP for this one.
    fn know_unknown(&mut self, switch: SwitchIndex, address: Ipv4Addr) {
        let ports = self.network.switch(switch).into_iter().flat_map(|switch| &switch.ports);
        let mut ports = ports.filter_map(|at| self.network.switch_port(*at));
        let may_have = |port: &SwitchPort| {
            port.has_unknown && port.addresses.iter().all(|(_, addresses)| addresses.is_empty())
        };
        if ports.any(may_have) {
            self.neighbours.push(Neighbour { switch, address, mac: BEYOND });
        }
    }

    /// Returns the switches that have a key, with these.
    fn bridges(&self) -> Vec<(SwitchIndex, Key)> {
        let switches = self.network.switches.iter().enumerate();
        let with_key = switches.filter_map(|(at, switch)| Some((SwitchIndex(at), switch.row.key()?.clone())));
        with_key.filter(|(_, key)| key.owner() != SITE).collect()
    }

    /// Returns the addresses of the routers on a switch, with their networks and MAC addresses.
    fn gateways(&self, switch: SwitchIndex) -> Vec<(Ipv4Addr, Ipv4Net, MacAddress)> {
        let ports = self.network.switch(switch).into_iter().flat_map(|switch| &switch.ports);
        let routers = ports.filter_map(|at| self.network.behind(self.network.switch_port(*at)?));
        let routers = routers.filter_map(|at| self.network.router_port(at));
        routers.flat_map(|port| port.networks.iter().map(|own| (own.addr(), *own, port.mac))).collect()
    }

    fn switch_of_port(&self, port: SwitchPortIndex) -> Option<SwitchIndex> {
        self.network.switch_port(port).map(|port| port.switch)
    }

    /// Returns the MAC address that a host sends to for this destination: a neighbour's, its gateway's, or one that no host has.
    fn next_mac(&self, from: &Host, destination: Ipv4Addr) -> MacAddress {
        let Some(switch) = self.switch_of_port(from.port) else { return UNKNOWN };
        let gateways = self.gateways(switch);
        let near = gateways.iter().any(|(_, network, _)| network.contains(&destination));
        let is_outside = self.outside.is_some_and(|outside| outside.port == from.port);
        match self.port_with(switch, destination) {
            Some((_, mac)) => mac,
            None if near && !is_outside => {
                let asked = |one: &&Neighbour| (one.switch, one.address) == (switch, destination);
                self.neighbours.iter().find(asked).map_or(UNKNOWN, |one| one.mac)
            }
            None => gateways.first().map_or(UNKNOWN, |(_, _, mac)| *mac),
        }
    }

    /// Returns a packet as it leaves a host.
    pub(crate) fn packet(
        &self,
        from: &Host,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        (protocol, source_port, destination_port): (u8, u16, u16),
    ) -> Packet {
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
            fragment: Fragment::Whole,
            ttl: FULL_TTL,
        }
    }

    /// Returns a frame that is not IPv4 as it goes to a neighbour: ARP is broadcast.
    pub(crate) fn to_neighbour(&self, from: &Host, packet: Packet) -> Packet {
        let switch = self.switch_of_port(from.port).and_then(|switch| self.network.switch(switch));
        let ports = switch.into_iter().flat_map(|switch| &switch.ports).filter(|at| **at != from.port);
        let mut others = ports
            .filter_map(|at| self.network.switch_port(*at))
            .filter(|port| port.kind == SwitchPortKind::Interface);
        let other = others.find_map(|port| port.addresses.first()).map(|(mac, _)| *mac);
        let other = other.filter(|_| !packet.frame().is_arp());
        Packet { destination_mac: other.unwrap_or(BROADCAST), ..packet }
    }

    /// Returns the address that a host asks for by ARP in vain, if it can't send the packet at all.
    pub(super) fn unanswered(&self, packet: Packet) -> Option<Ipv4Addr> {
        (self.is_limited && packet.destination_mac == UNKNOWN).then_some(packet.destination)
    }

    /// Sends a packet through the rows.
    pub(crate) fn send(&self, state: &mut State, from: &Host, (packet, is_answer): (Packet, bool)) -> Trace {
        let sent = Sent { is_answer, echo: ECHO };
        simulate(&self.network, state, &self.neighbours, from.port, (packet, sent))
    }

    /// Returns a state without connections.
    pub(crate) fn state() -> State {
        State::on(Datapath::Kernel)
    }

    /// Returns the host behind a port that gets a packet to this MAC address.
    pub(crate) fn host_at(&self, port: SwitchPortIndex, packet: &Packet) -> Host {
        Host { port, address: packet.destination, mac: packet.destination_mac }
    }

    /// Returns the reply to a packet that has arrived at a host.
    pub(crate) fn reply_of(&self, host: &Host, arrived: &Packet) -> Option<Packet> {
        let answered =
            matches!(arrived.protocol, 6 | 17) || (arrived.protocol == 1 && arrived.source_port == 8);
        if !arrived.frame().is_routed() || !answered {
            return None;
        }
        let reply = arrived.reply();
        let mac = self.next_mac(host, reply.destination);
        Some(Packet { source_mac: host.mac, destination_mac: mac, ..reply })
    }

    /// Returns the name of a switch's port: that of the host behind it, if its address is known.
    pub(super) fn name(&self, port: SwitchPortIndex) -> String {
        if let Some(name) = self.names.get(&port) {
            return name.clone();
        }
        let Some(port) = self.network.switch_port(port) else { return String::new() };
        let of_row = || port.key.as_ref().map_or_else(|| port.name.clone(), ToString::to_string);
        let address = port.addresses.iter().find_map(|(_, addresses)| addresses.first());
        let bridge = self.network.switch(port.switch).and_then(|switch| switch.row.key());
        match (address, bridge.filter(|bridge| !bridge.is_foreign())) {
            (Some(address), Some(bridge)) if port.kind == SwitchPortKind::Interface => {
                Endpoint::Pod(bridge.clone(), *address).shown()
            }
            _ => of_row(),
        }
    }

    /// Returns the name of a port of a switch or a router that has this name in OVN.
    pub(super) fn name_of_port(&self, name: &str) -> String {
        if let Some(port) = self.network.switch_port_named(name) {
            return self.name(port);
        }
        let port = self.network.router_port_named(name).and_then(|at| self.network.router_port(at));
        port.map_or_else(|| name.to_owned(), |port| port.key.to_string())
    }

    /// Returns the packet as a frame of another kind.
    pub(super) fn as_frame(packet: Packet, ethertype: u16, vlan: Option<u16>) -> Packet {
        TraceNetwork::as_frame(packet, ethertype, vlan)
    }
}

/// Returns the router that tenants' uplinks lead to.
fn provider(network: &Network) -> Option<RouterIndex> {
    let is_far =
        |key: &Key| matches!(key.view(), KeyView::Tenant(_, TenantKey::Uplink(UplinkKey::ProviderPort)));
    network.router_ports.iter().find(|port| is_far(&port.key)).map(|port| port.router)
}
