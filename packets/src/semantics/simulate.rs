//! A packet's way through the devices.

use std::net::Ipv4Addr;

use uuid::Uuid;

use super::Packet;
use super::chain::Answer;
use super::condition::Place;
use super::state::{Flow, State};
use super::world::{Port, RouteKind, World};
use midoform_compiler::values::MacAddress;

/// A place where packets enter and leave, with what is behind it: already learned.
#[derive(Clone, Debug)]
pub struct Station {
    /// The port.
    pub port: Uuid,
    /// The address behind it.
    pub address: Ipv4Addr,
    /// The MAC address behind it.
    pub mac: MacAddress,
}

/// What came of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It left by these ports.
    Delivered(Vec<Uuid>),
    /// It ended: at this device or port, for this reason.
    Dropped {
        /// Where.
        at: Uuid,
        /// The rule, where one ended it.
        rule: Option<Uuid>,
        /// Why, in words.
        why: &'static str,
    },
    /// A router took it for itself.
    Consumed(Uuid),
    /// The next hop has no known MAC address.
    WaitsForArp(Ipv4Addr),
}

/// A rule that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The rule.
    pub rule: Uuid,
    /// Its chain.
    pub chain: Uuid,
    /// Whether it matched.
    pub matched: bool,
    /// What it made of the packet, where it changed it.
    pub became: Option<Packet>,
}

/// One device on the way.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The device.
    pub device: Uuid,
    /// The port that the packet came in by.
    pub in_port: Uuid,
    /// The packet as it came in.
    pub packet: Packet,
    /// The rules that were asked, in order.
    pub asked: Vec<Asked>,
    /// The route that was taken; nil for one that a port brought with it.
    pub route: Option<Uuid>,
    /// The ports that it went out by.
    pub out_ports: Vec<Uuid>,
}

/// A packet's way and end.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Device by device.
    pub hops: Vec<Hop>,
    /// What came of it.
    pub verdict: Verdict,
    /// What it looked like at the end.
    pub packet: Packet,
}

/// A packet that comes in by this many ports on one way goes no further: MidoNet's own limit.
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
        asked: Vec::new(),
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
        // What a packet that ends on its way has translated is forgotten with it.
        *state = walk.state;
    }
    Trace { hops: walk.hops, verdict, packet: walk.packet }
}

/// A packet under way.
pub(super) struct Walk<'a> {
    pub(super) world: &'a World,
    pub(super) state: State,
    stations: &'a [Station],
    pub(super) packet: Packet,
    ingress: Uuid,
    /// The flow as it came in: what decides whether it answers an earlier one, whenever a rule asks.
    came_in: Flow,
    /// Whether it answers none, once a rule has asked.
    forward: Option<bool>,
    pub(super) asked: Vec<Asked>,
    /// The devices and ports that it passed.
    pub(super) traversed: Vec<Uuid>,
    /// Whether its destination was translated on the device that it is at.
    pub(super) rewritten: bool,
    route: Option<Uuid>,
    out_ports: Vec<Uuid>,
    /// How many ports it came in by.
    devices: usize,
    hops: Vec<Hop>,
}

/// What a device does with a packet.
enum Step {
    /// On to the other end of a link.
    To(Uuid),
    End(Verdict),
}

const BY_RULE: &str = "a rule";
const TOO_MANY: &str = "it passed too many devices: a loop";

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
                    asked: std::mem::take(&mut self.asked),
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

    /// A packet comes in by a port: its chain, then the device's.
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
        let place = Place { device: port.device, in_port: Some(at), ingress: self.ingress, out_port: None };
        if let Answer::Drop(rule) = self.ask(port.inbound, place) {
            return Step::End(Verdict::Dropped { at: port.device, rule: Some(rule), why: BY_RULE });
        }
        if !device.up {
            return dropped(port.device, "the device is down");
        }
        if device.is_router && self.packet.destination_mac != port.mac {
            return dropped(at, "another one's MAC address");
        }
        if !device.is_router && self.packet.source_mac.is_group() {
            return dropped(at, "its source is a group's MAC address");
        }
        self.traversed.push(port.device);
        if let Answer::Drop(rule) = self.ask(device.inbound, place) {
            return Step::End(Verdict::Dropped { at: port.device, rule: Some(rule), why: BY_RULE });
        }
        match device.is_router {
            true => self.route(port),
            false => self.switch(port),
        }
    }

    /// What a device's outbound chain says; a flooded packet has no port to go out by yet.
    fn leave_device(&mut self, in_port: &Port, out: Option<&Port>) -> Result<(), Step> {
        let outbound = self.world.devices.get(&in_port.device).and_then(|device| device.outbound);
        self.ask_on_the_way_out(outbound, in_port, out)
    }

    /// What a port says to what goes out by it.
    fn leave_port(&mut self, in_port: &Port, out: &Port) -> Result<(), Step> {
        if self.devices >= MOST_DEVICES {
            return Err(dropped(out.id, TOO_MANY));
        }
        if out.id == in_port.id && !self.world.is_router(out.device) {
            return Err(dropped(in_port.device, "back where it came from"));
        }
        self.traversed.push(out.id);
        if !out.up {
            return Err(dropped(out.id, "the port is down"));
        }
        self.ask_on_the_way_out(out.outbound, in_port, Some(out))?;
        self.out_ports.push(out.id);
        Ok(())
    }

    fn ask_on_the_way_out(
        &mut self,
        chain: Option<Uuid>,
        in_port: &Port,
        out: Option<&Port>,
    ) -> Result<(), Step> {
        let place = Place {
            device: in_port.device,
            in_port: Some(in_port.id),
            ingress: self.ingress,
            out_port: out.map(|out| out.id),
        };
        match self.ask(chain, place) {
            Answer::Drop(rule) => {
                Err(Step::End(Verdict::Dropped { at: in_port.device, rule: Some(rule), why: BY_RULE }))
            }
            Answer::Pass => Ok(()),
        }
    }

    fn route(&mut self, in_port: &Port) -> Step {
        let router = in_port.device;
        let Some(route) = self.world.best_route(router, self.packet.source, self.packet.destination) else {
            return dropped(router, "no route");
        };
        self.route = Some(route.id);
        match route.kind {
            RouteKind::BlackHole => return dropped(router, "a black hole"),
            RouteKind::Reject => return dropped(router, "a route rejects it"),
            RouteKind::Local if self.packet.is_echo_request() => {
                return Step::End(Verdict::Consumed(router));
            }
            RouteKind::Local => return dropped(router, "for the router itself"),
            RouteKind::Normal => {}
        }
        let Some(out) = route.port.and_then(|port| self.world.ports.get(&port)) else {
            return dropped(router, "the next hop port is not there");
        };
        if self.packet.ttl <= 1 {
            return dropped(router, "its time to live is over");
        }
        self.packet.ttl -= 1;
        if out.address == Some(self.packet.destination) {
            return dropped(router, "for a port that has no route to itself");
        }
        if let Err(step) = self.leave_device(in_port, Some(out)) {
            return step;
        }
        let next_hop = route.gateway.unwrap_or(self.packet.destination);
        match self.hand_over(in_port, out, next_hop) {
            Ok(step) | Err(step) => step,
        }
    }

    /// From a router's port to whoever is behind it.
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

    /// The MAC address that a bridge knows by itself: that of a router's port which is linked to it.
    fn mac_on_bridge(&self, bridge: Uuid, address: Ipv4Addr) -> Option<MacAddress> {
        let ports = self.world.devices.get(&bridge).into_iter().flat_map(|device| &device.ports);
        let mut peers = ports
            .filter_map(|port| self.world.ports.get(port)?.peer)
            .filter_map(|peer| self.world.ports.get(&peer));
        peers.find(|peer| peer.address == Some(address)).map(|peer| peer.mac)
    }

    /// The MAC address in a router's ARP table: that of a station at one of its ports, or on a bridge beside it.
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

    /// A bridge sends to the port that the MAC address is known behind; an unknown one is flooded to all that
    /// something is attached to.
    fn switch(&mut self, in_port: &Port) -> Step {
        let world = self.world;
        let Some(bridge) = world.devices.get(&in_port.device) else {
            return dropped(in_port.id, "no such device");
        };
        let wanted = self.packet.destination_mac;
        let ports: Vec<&Port> = bridge.ports.iter().filter_map(|port| world.ports.get(port)).collect();
        let router_there = |port: &&&Port| {
            port.peer.and_then(|peer| world.ports.get(&peer)).is_some_and(|peer| peer.mac == wanted)
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
            true => dropped(in_port.device, "nobody is there"),
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
