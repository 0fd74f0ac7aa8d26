//! A packet's way through the devices.

use std::net::Ipv4Addr;

use uuid::Uuid;

use super::chain::Answer;
use super::condition::Place;
use super::state::{Flow, State};
use super::world::{Port, Route, RouteKind, World};
use super::{ECHO_REQUEST, ICMP, Packet};
use crate::object::MacAddress;

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
    /// Whether it matched.
    pub matched: bool,
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

/// More devices than this on one way are a loop.
const MOST_HOPS: usize = 64;

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
    hops: Vec<Hop>,
}

/// What a device does with a packet.
enum Step {
    /// On to the other end of a link.
    To(Uuid),
    End(Verdict),
}

fn dropped(at: Uuid, why: &'static str) -> Step {
    Step::End(Verdict::Dropped { at, rule: None, why })
}

impl<'a> Walk<'a> {
    pub(super) fn is_forward(&mut self) -> bool {
        if let Some(forward) = self.forward {
            return forward;
        }
        if !self.packet.has_flow() {
            return true;
        }
        let forward = !self.state.is_return(&self.came_in);
        self.forward = Some(forward);
        forward
    }

    fn run(&mut self, from: Uuid) -> Verdict {
        let mut at = from;
        for _ in 0..MOST_HOPS {
            let before = self.packet;
            let step = self.enter(at);
            if let Some(port) = self.world.ports.get(&at) {
                let asked = std::mem::take(&mut self.asked);
                self.hops.push(Hop { device: port.device, in_port: at, packet: before, asked });
            }
            match step {
                Step::End(verdict) => return verdict,
                Step::To(next) => at = next,
            }
        }
        Verdict::Dropped { at, rule: None, why: "a loop" }
    }

    /// A packet comes in by a port.
    fn enter(&mut self, at: Uuid) -> Step {
        let world = self.world;
        let Some(port) = world.ports.get(&at) else { return dropped(at, "no such port") };
        let Some(device) = world.devices.get(&port.device) else { return dropped(at, "no such device") };
        if !port.up {
            return dropped(at, "the port is down");
        }
        if !device.up {
            return dropped(port.device, "the device is down");
        }
        let place = Place { device: port.device, in_port: Some(at), ingress: self.ingress, out_port: None };
        if device.is_router && self.packet.destination_mac != port.mac {
            return dropped(at, "another one's MAC address");
        }
        for chain in [port.inbound, device.inbound] {
            if let Answer::Drop(rule) = self.ask(chain, place) {
                return Step::End(Verdict::Dropped { at: port.device, rule: Some(rule), why: "a rule" });
            }
        }
        match device.is_router {
            true => self.route(port),
            false => self.switch(port),
        }
    }

    /// What goes out by a port: the device's outbound chain, then the port's.
    fn leave(&mut self, in_port: &Port, out: &Port) -> Result<(), Step> {
        let device = self.world.devices.get(&out.device);
        let place = Place {
            device: out.device,
            in_port: Some(in_port.id),
            ingress: self.ingress,
            out_port: Some(out.id),
        };
        for chain in [device.and_then(|device| device.outbound), out.outbound] {
            if let Answer::Drop(rule) = self.ask(chain, place) {
                return Err(Step::End(Verdict::Dropped { at: out.device, rule: Some(rule), why: "a rule" }));
            }
        }
        Ok(())
    }

    fn route(&mut self, in_port: &Port) -> Step {
        let router = in_port.device;
        let Some(route) = self.best_route(router) else { return dropped(router, "no route") };
        match route.kind {
            RouteKind::BlackHole => return dropped(router, "a black hole"),
            RouteKind::Reject => return dropped(router, "a route rejects it"),
            RouteKind::Local if self.packet.protocol == ICMP && self.packet.source_port == ECHO_REQUEST => {
                return Step::End(Verdict::Consumed(router));
            }
            RouteKind::Local => return dropped(router, "for the router itself"),
            RouteKind::Normal => {}
        }
        let out = route.port.and_then(|port| self.world.ports.get(&port));
        let Some(out) = out.filter(|port| port.up) else {
            return dropped(router, "the next hop port is down");
        };
        if self.packet.ttl <= 1 {
            return dropped(router, "its time to live is over");
        }
        if let Err(step) = self.leave(in_port, out) {
            return step;
        }
        let next_hop = route.gateway.unwrap_or(self.packet.destination);
        self.packet.ttl -= 1;
        self.packet.source_mac = out.mac;
        self.hand_over(out, next_hop)
    }

    /// From a router's port to whoever is behind it.
    fn hand_over(&mut self, out: &Port, next_hop: Ipv4Addr) -> Step {
        let world = self.world;
        let Some(peer) = out.peer.and_then(|peer| world.ports.get(&peer)) else {
            let station =
                self.stations.iter().find(|station| station.port == out.id && station.address == next_hop);
            return match station {
                Some(_) => Step::End(Verdict::Delivered(vec![out.id])),
                None => Step::End(Verdict::WaitsForArp(next_hop)),
            };
        };
        let peer_is_router = world.devices.get(&peer.device).is_some_and(|device| device.is_router);
        let mac = match peer_is_router {
            true => Some(peer.mac),
            false => self.learned_mac(peer.device, next_hop),
        };
        let Some(mac) = mac else { return Step::End(Verdict::WaitsForArp(next_hop)) };
        self.packet.destination_mac = mac;
        Step::To(peer.id)
    }

    /// The MAC address behind an address on a bridge: a station's, or that of a router's port.
    fn learned_mac(&self, bridge: Uuid, address: Ipv4Addr) -> Option<MacAddress> {
        let on_bridge = |port: Uuid| self.world.ports.get(&port).is_some_and(|port| port.device == bridge);
        let station =
            self.stations.iter().find(|station| station.address == address && on_bridge(station.port));
        if let Some(station) = station {
            return Some(station.mac);
        }
        let ports = self.world.devices.get(&bridge).into_iter().flat_map(|device| &device.ports);
        let peers = ports
            .filter_map(|port| self.world.ports.get(port)?.peer)
            .filter_map(|peer| self.world.ports.get(&peer));
        peers.into_iter().find(|peer| peer.address == Some(address)).map(|peer| peer.mac)
    }

    /// Of the routes that fit: the longest destination prefix, then the lowest weight, then the first.
    fn best_route(&self, router: Uuid) -> Option<Route> {
        let routes = &self.world.devices.get(&router)?.routes;
        let fits = |route: &&Route| {
            route.destination.contains(&self.packet.destination) && route.source.contains(&self.packet.source)
        };
        let best = routes
            .iter()
            .filter(fits)
            .min_by_key(|route| (32 - route.destination.prefix_len(), route.weight));
        best.cloned()
    }

    fn switch(&mut self, in_port: &Port) -> Step {
        let world = self.world;
        let Some(bridge) = world.devices.get(&in_port.device) else {
            return dropped(in_port.id, "no such device");
        };
        let wanted = self.packet.destination_mac;
        let leads_there = |port: &&Port| {
            let station =
                self.stations.iter().any(|station| station.port == port.id && station.mac == wanted);
            let router =
                port.peer.and_then(|peer| world.ports.get(&peer)).is_some_and(|peer| peer.mac == wanted);
            station || router
        };
        let ports: Vec<&Port> = bridge.ports.iter().filter_map(|port| world.ports.get(port)).collect();
        let known: Option<&Port> = ports.iter().copied().find(leads_there);
        if let Some(out) = known {
            return self.forward(in_port, out);
        }
        let mut reached = Vec::new();
        for out in ports.into_iter().filter(|port| port.id != in_port.id && port.up && port.peer.is_none()) {
            if self.leave(in_port, out).is_ok() && self.stations.iter().any(|station| station.port == out.id)
            {
                reached.push(out.id);
            }
        }
        match reached.is_empty() {
            true => dropped(in_port.device, "nobody is there"),
            false => Step::End(Verdict::Delivered(reached)),
        }
    }

    fn forward(&mut self, in_port: &Port, out: &Port) -> Step {
        if out.id == in_port.id {
            return dropped(in_port.device, "back where it came from");
        }
        if !out.up {
            return dropped(out.id, "the port is down");
        }
        if let Err(step) = self.leave(in_port, out) {
            return step;
        }
        match out.peer {
            Some(peer) => Step::To(peer),
            None => Step::End(Verdict::Delivered(vec![out.id])),
        }
    }
}
