//! Sends a packet through the devices.

use std::net::Ipv4Addr;

use uuid::Uuid;

use super::condition::Position;
use super::state::{Flow, State};
use super::world::{Port, RouteKind, World};
use super::{ARP_REQUEST, Packet};
use midoform_compiler::values::MacAddress;

/// A host behind a port, whose address and MAC address are already learned.
#[derive(Clone, Debug)]
pub struct Station {
    /// The port.
    pub port: Uuid,
    /// The address behind it.
    pub address: Ipv4Addr,
    /// The MAC address behind it.
    pub mac: MacAddress,
}

/// The verdict of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainVerdict {
    /// The packet passes.
    Pass,
    /// This rule drops the packet.
    Drop(Uuid),
    /// This rule rejects the packet.
    Reject(Uuid),
}

/// The ICMP error that a router sends for a packet that it rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The address of the router's port by which the packet came.
    pub source: Ipv4Addr,
    /// The sender of the packet.
    pub destination: Ipv4Addr,
}

impl IcmpError {
    /// ICMP's type: destination unreachable.
    pub const TYPE: u8 = 3;
    /// ICMP's code: communication administratively prohibited.
    pub const CODE: u8 = 13;
}

/// The verdict on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It left by these ports.
    Delivered(Vec<Uuid>),
    /// It ended: at this device or port, for this reason.
    Dropped {
        /// The device or port.
        at: Uuid,
        /// The rule, where one ended it.
        rule: Option<Uuid>,
        /// The reason.
        why: &'static str,
    },
    /// A rule or a route rejected it.
    Rejected {
        /// The device.
        at: Uuid,
        /// The rule, if one rejected it.
        rule: Option<Uuid>,
        /// The ICMP error that its sender gets; none: a bridge sends none.
        icmp: Option<IcmpError>,
    },
    /// A router took it for itself.
    Consumed(Uuid),
    /// The next hop has no known MAC address.
    WaitsForArp(Ipv4Addr),
}

/// A rule that was evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluatedRule {
    /// The rule.
    pub rule: Uuid,
    /// Its chain.
    pub chain: Uuid,
    /// True if the rule matched.
    pub matched: bool,
    /// The packet after the rule, if the rule changed it.
    pub packet_after: Option<Packet>,
}

/// One device on the path.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The device.
    pub device: Uuid,
    /// The input port.
    pub in_port: Uuid,
    /// The packet as it came in.
    pub packet: Packet,
    /// The rules that were evaluated, in order.
    pub evaluated: Vec<EvaluatedRule>,
    /// The route that was taken; nil for one that a port brought with it.
    pub route: Option<Uuid>,
    /// The output ports.
    pub out_ports: Vec<Uuid>,
}

/// The path of a packet and its end.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The devices that the packet passes, in order.
    pub hops: Vec<Hop>,
    /// The verdict.
    pub verdict: Verdict,
    /// The packet at the end of its path.
    pub packet: Packet,
}

/// The MAC address of every host.
pub(crate) const BROADCAST: MacAddress = MacAddress([0xff; 6]);

/// The most ports that a packet may enter on its path: MidoNet's own limit.
pub(crate) const MOST_DEVICES: usize = 12;

/// Sends a packet in at a station's port.
pub fn simulate(world: &World, state: &mut State, stations: &[Station], from: Uuid, packet: Packet) -> Trace {
    let ingress_device = world.ports.get(&from).map(|port| port.device).unwrap_or_default();
    let mut walk = Walk {
        world,
        state: state.clone(),
        stations,
        packet,
        ingress: from,
        came_in: Flow::of(&packet, ingress_device),
        forward: None,
        evaluated: Vec::new(),
        traversed: Vec::new(),
        rewritten: false,
        route: None,
        out_ports: Vec::new(),
        devices: 0,
        hops: Vec::new(),
    };
    let verdict = walk.run(from);
    if let Verdict::Delivered(ports) = &verdict {
        if walk.forward == Some(true) {
            for port in ports {
                let device = world.ports.get(port).map(|port| port.device).unwrap_or_default();
                walk.state.track(&walk.packet, device);
            }
        }
        // The translations of a packet that is not delivered are discarded.
        *state = walk.state;
    }
    Trace { hops: walk.hops, verdict, packet: walk.packet }
}

/// A packet on its path.
pub(super) struct Walk<'a> {
    pub(super) world: &'a World,
    pub(super) state: State,
    stations: &'a [Station],
    pub(super) packet: Packet,
    ingress: Uuid,
    /// The flow as it entered: it decides whether the packet is reply traffic, whichever rule is evaluated.
    came_in: Flow,
    /// True if the packet is not reply traffic; known once a rule with a flow condition was evaluated.
    forward: Option<bool>,
    pub(super) evaluated: Vec<EvaluatedRule>,
    /// The devices and ports that it passed.
    pub(super) traversed: Vec<Uuid>,
    /// True if its destination was translated on the current device.
    pub(super) rewritten: bool,
    route: Option<Uuid>,
    out_ports: Vec<Uuid>,
    /// The number of ports that it has entered.
    devices: usize,
    hops: Vec<Hop>,
}

/// The next step of a packet at a device.
enum Step {
    /// On to the other end of a link.
    To(Uuid),
    End(Verdict),
}

const BY_RULE: &str = "a rule";
const TOO_MANY: &str = "a loop: too many devices";

fn dropped(at: Uuid, why: &'static str) -> Step {
    Step::End(Verdict::Dropped { at, rule: None, why })
}

impl<'a> Walk<'a> {
    pub(super) fn is_forward(&mut self) -> bool {
        if let Some(forward) = self.forward {
            return forward;
        }
        if !self.packet.is_tracked() {
            return true;
        }
        let forward = !self.state.is_return(&self.came_in);
        self.forward = Some(forward);
        forward
    }

    fn run(&mut self, from: Uuid) -> Verdict {
        let mut at = from;
        loop {
            let before = self.packet;
            self.rewritten = false;
            let step = self.enter(at);
            if let Some(port) = self.world.ports.get(&at) {
                self.hops.push(Hop {
                    device: port.device,
                    in_port: at,
                    packet: before,
                    evaluated: std::mem::take(&mut self.evaluated),
                    route: self.route.take(),
                    out_ports: std::mem::take(&mut self.out_ports),
                });
            }
            match step {
                Step::End(verdict) => return verdict,
                Step::To(next) => at = next,
            }
        }
    }

    /// Handles a packet at its input port: the port's chain, then the device's.
    fn enter(&mut self, at: Uuid) -> Step {
        let world = self.world;
        let Some(port) = world.ports.get(&at) else { return dropped(at, "no such port") };
        let Some(device) = world.devices.get(&port.device) else { return dropped(at, "no such device") };
        if self.devices >= MOST_DEVICES {
            return dropped(at, TOO_MANY);
        }
        self.devices += 1;
        self.traversed.push(at);
        if !port.up {
            return dropped(at, "the port is down");
        }
        let position =
            Position { device: port.device, in_port: Some(at), ingress: self.ingress, out_port: None };
        let verdict = self.evaluate(port.inbound, position);
        if let Err(step) = self.pass(verdict, port) {
            return step;
        }
        if !device.up {
            return dropped(port.device, "the device is down");
        }
        if device.is_router && self.packet.frame().is_arp() {
            return self.ask_router(port);
        }
        if device.is_router && !self.packet.frame().is_routed() {
            return dropped(at, "a router forwards IPv4 without a VLAN tag only");
        }
        if device.is_router && self.packet.destination_mac != port.mac {
            return dropped(at, "the destination MAC address is not the router's");
        }
        if !device.is_router && self.packet.source_mac.is_group() {
            return dropped(at, "the source MAC address is a group address");
        }
        self.traversed.push(port.device);
        let inbound = self.chain_of_device(device.is_router, device.inbound);
        let verdict = self.evaluate(inbound, position);
        if let Err(step) = self.pass(verdict, port) {
            return step;
        }
        match device.is_router {
            true => self.route(port),
            false => self.switch(port),
        }
    }

    /// Returns the chain of a device that is evaluated: a bridge evaluates none for a frame with a VLAN tag.
    fn chain_of_device(&self, is_router: bool, chain: Option<Uuid>) -> Option<Uuid> {
        chain.filter(|_| is_router || self.packet.vlan.is_none())
    }

    /// Returns the end of the packet's path, if a chain of a port or its device ends it there.
    fn pass(&self, verdict: ChainVerdict, in_port: &Port) -> Result<(), Step> {
        match verdict {
            ChainVerdict::Pass => Ok(()),
            ChainVerdict::Drop(rule) => {
                Err(Step::End(Verdict::Dropped { at: in_port.device, rule: Some(rule), why: BY_RULE }))
            }
            ChainVerdict::Reject(rule) => Err(self.reject(in_port, Some(rule))),
        }
    }

    /// Rejects the packet. A router sends an ICMP error, a bridge does not.
    fn reject(&self, in_port: &Port, rule: Option<Uuid>) -> Step {
        let address = in_port.address.filter(|_| self.world.is_router(in_port.device));
        let icmp = address.map(|source| IcmpError { source, destination: self.packet.source });
        Step::End(Verdict::Rejected { at: in_port.device, rule, icmp })
    }

    /// Sends an ARP packet to a router: it replies to a request for the address of the port.
    fn ask_router(&self, port: &Port) -> Step {
        match self.packet.protocol == ARP_REQUEST && port.address == Some(self.packet.destination) {
            true => Step::End(Verdict::Consumed(port.device)),
            false => dropped(port.device, "ARP, but no request for the router's address"),
        }
    }

    /// Evaluates a device's outbound chain; a flooded packet has no output port yet.
    fn leave_device(&mut self, in_port: &Port, out: Option<&Port>) -> Result<(), Step> {
        let device = self.world.devices.get(&in_port.device);
        let outbound = device.and_then(|device| self.chain_of_device(device.is_router, device.outbound));
        self.evaluate_outbound(outbound, in_port, out)
    }

    /// Evaluates the outbound chain of the output port.
    fn leave_port(&mut self, in_port: &Port, out: &Port) -> Result<(), Step> {
        if self.devices >= MOST_DEVICES {
            return Err(dropped(out.id, TOO_MANY));
        }
        if out.id == in_port.id && !self.world.is_router(out.device) {
            return Err(dropped(in_port.device, "the output port is the input port"));
        }
        self.traversed.push(out.id);
        if !out.up {
            return Err(dropped(out.id, "the port is down"));
        }
        self.evaluate_outbound(out.outbound, in_port, Some(out))?;
        self.out_ports.push(out.id);
        Ok(())
    }

    fn evaluate_outbound(
        &mut self,
        chain: Option<Uuid>,
        in_port: &Port,
        out: Option<&Port>,
    ) -> Result<(), Step> {
        let position = Position {
            device: in_port.device,
            in_port: Some(in_port.id),
            ingress: self.ingress,
            out_port: out.map(|out| out.id),
        };
        let verdict = self.evaluate(chain, position);
        self.pass(verdict, in_port)
    }

    fn route(&mut self, in_port: &Port) -> Step {
        let router = in_port.device;
        let Some(route) = self.world.best_route(router, self.packet.source, self.packet.destination) else {
            return dropped(router, "no route");
        };
        self.route = Some(route.id);
        match route.kind {
            RouteKind::BlackHole => return dropped(router, "a black hole"),
            RouteKind::Reject => return self.reject(in_port, None),
            RouteKind::Local if self.packet.is_echo_request() => {
                return Step::End(Verdict::Consumed(router));
            }
            RouteKind::Local => return dropped(router, "addressed to the router itself"),
            RouteKind::Normal => {}
        }
        let Some(out) = route.port.and_then(|port| self.world.ports.get(&port)) else {
            return dropped(router, "the route's port does not exist");
        };
        if self.packet.ttl <= 1 {
            return dropped(router, "the TTL is 0");
        }
        self.packet.ttl -= 1;
        if out.address == Some(self.packet.destination) {
            return dropped(router, "addressed to the output port itself");
        }
        if let Err(step) = self.leave_device(in_port, Some(out)) {
            return step;
        }
        let next_hop = route.gateway.unwrap_or(self.packet.destination);
        match self.hand_over(in_port, out, next_hop) {
            Ok(step) | Err(step) => step,
        }
    }

    /// Sends a packet from a router's port to the next hop.
    fn hand_over(&mut self, in_port: &Port, out: &Port, next_hop: Ipv4Addr) -> Result<Step, Step> {
        let world = self.world;
        let peer = out.peer.and_then(|peer| world.ports.get(&peer));
        let mac = match peer {
            Some(peer) if world.is_router(peer.device) => Some(peer.mac),
            Some(peer) => self.mac_on_bridge(peer.device, next_hop),
            None if out.network.is_some_and(|network| !network.contains(&next_hop)) => {
                return Err(dropped(out.device, "the next hop is not on the port's network"));
            }
            None => None,
        };
        let mac = mac.or_else(|| self.mac_at_router(out.device, next_hop));
        let Some(mac) = mac else { return Err(Step::End(Verdict::WaitsForArp(next_hop))) };
        self.packet.source_mac = out.mac;
        self.packet.destination_mac = mac;
        self.leave_port(in_port, out)?;
        Ok(match peer {
            Some(peer) => Step::To(peer.id),
            None => Step::End(Verdict::Delivered(vec![out.id])),
        })
    }

    /// Returns the MAC address of a router's port that is linked to the bridge.
    fn mac_on_bridge(&self, bridge: Uuid, address: Ipv4Addr) -> Option<MacAddress> {
        let ports = self.world.devices.get(&bridge).into_iter().flat_map(|device| &device.ports);
        let mut peers = ports
            .filter_map(|port| self.world.ports.get(port)?.peer)
            .filter_map(|peer| self.world.ports.get(&peer));
        peers.find(|peer| peer.address == Some(address)).map(|peer| peer.mac)
    }

    /// Returns the MAC address in a router's ARP table: that of a station at one of its ports, or on a linked bridge.
    fn mac_at_router(&self, router: Uuid, address: Ipv4Addr) -> Option<MacAddress> {
        let beside = |station: &&Station| {
            self.world.ports.get(&station.port).is_some_and(|port| {
                port.device == router
                    || self.world.devices.get(&port.device).is_some_and(|bridge| {
                        bridge.ports.iter().any(|port| self.world.peer_device(*port) == Some(router))
                    })
            })
        };
        self.stations
            .iter()
            .filter(|station| station.address == address)
            .find(beside)
            .map(|station| station.mac)
    }

    /// Sends a packet on a bridge to the port of its destination MAC address; a packet for an unknown address is
    /// flooded to all ports that a station is attached to.
    fn switch(&mut self, in_port: &Port) -> Step {
        let world = self.world;
        let Some(bridge) = world.devices.get(&in_port.device) else {
            return dropped(in_port.id, "no such device");
        };
        let wanted = self.packet.destination_mac;
        let is_request = self.packet.frame().is_arp() && wanted == BROADCAST;
        let asked = is_request.then_some(self.packet.destination);
        let ports: Vec<&Port> = bridge.ports.iter().filter_map(|port| world.ports.get(port)).collect();
        let router_there = |port: &&&Port| {
            let peer = port.peer.and_then(|peer| world.ports.get(&peer));
            peer.is_some_and(|peer| peer.mac == wanted || asked.is_some() && peer.address == asked)
        };
        let station_there = |port: &&&Port| {
            self.stations.iter().any(|station| station.port == port.id && station.mac == wanted)
        };
        let known = ports.iter().find(router_there).or_else(|| ports.iter().find(station_there)).copied();
        match known {
            Some(out) => self.forward(in_port, out),
            None => self.flood(in_port, &ports),
        }
    }

    fn flood(&mut self, in_port: &Port, ports: &[&Port]) -> Step {
        if let Err(step) = self.leave_device(in_port, None) {
            return step;
        }
        let mut reached = Vec::new();
        let packet = self.packet;
        let mut last = packet;
        for out in ports.iter().filter(|port| port.peer.is_none()) {
            self.packet = packet;
            let attached = self.stations.iter().any(|station| station.port == out.id);
            if attached && self.leave_port(in_port, out).is_ok() {
                reached.push(out.id);
                last = self.packet;
            }
        }
        self.packet = last;
        match reached.is_empty() {
            true => dropped(in_port.device, "no port for the MAC address"),
            false => Step::End(Verdict::Delivered(reached)),
        }
    }

    fn forward(&mut self, in_port: &Port, out: &Port) -> Step {
        if let Err(step) = self.leave_device(in_port, Some(out)) {
            return step;
        }
        if let Err(step) = self.leave_port(in_port, out) {
            return step;
        }
        match out.peer {
            Some(peer) => Step::To(peer),
            None => Step::End(Verdict::Delivered(vec![out.id])),
        }
    }
}
