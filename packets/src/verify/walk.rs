//! Sends sets of headers through the devices. A set is split where a device treats some of its packets differently.

mod routing;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::header::{DESTINATION, DESTINATION_PORT, Protocols, Range, SOURCE_PORT};
use super::index::{Attached, Index, Position, station_port};
use super::path::Path;
use super::sets::Sets;
use crate::semantics::world::{Device, Port, World};
use crate::semantics::{ARP_REQUEST, BROADCAST, MOST_DEVICES};

/// The end of the packets of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// They left the network by these ports.
    Delivered(Vec<Uuid>),
    /// A rule or a device dropped them.
    Dropped { at: Uuid, rule: Option<Uuid>, looped: bool },
    /// A router consumed them.
    Consumed(Uuid),
    /// The next hop has no known MAC address.
    Waits,
    /// They reached a boundary device by this port.
    Left(Uuid),
}

/// There are too many paths to follow them all: nothing is proven for any packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// A set of packets and their end.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) path: Path,
    pub(crate) end: End,
}

/// The result of a chain for a set of packets.
#[derive(Debug, Default)]
pub(crate) struct ChainOutcome {
    /// The packets that continue.
    pub(crate) passed: Vec<Path>,
    /// The packets that end, and the rule that ended them.
    pub(crate) dropped: Vec<(Path, Uuid)>,
}

/// Sends sets of packets through a topology.
pub(crate) struct Walker<'a> {
    pub(crate) world: &'a World,
    pub(crate) attached: &'a [Attached],
    /// Devices that end the walk.
    pub(crate) boundary: &'a BTreeSet<Uuid>,
    /// True to take only the first choice of NAT and of equal routes, as the interpreter does; else all choices.
    pub(crate) first_choice: bool,
    /// The number of sets of packets that may still be matched against a rule. At 0 the walk stops, and the outcomes
    /// so far are not valid: [`Walker::follow`] returns [`TooMany`].
    pub(crate) budget: Cell<usize>,
    pub(crate) index: Arc<Index>,
    /// The sets of all paths.
    pub(crate) sets: &'a Sets,
    /// True if a path notes the rules that its packets matched. Packets that matched different rules then take different
    /// paths.
    pub(crate) keeps_rules: bool,
    /// The rules that may drop replies, as stateless rules do.
    pub(crate) stateless: &'a BTreeSet<Uuid>,
}

/// The number of sets of packets that are matched against rules before the verifier gives up: seconds.
pub(crate) const BUDGET: usize = 8_000_000;

/// The cost of a new set, which needs some kilobytes of memory: as much as matching this many sets against a rule.
const MADE: usize = 16;

/// A walk in progress: the waiting packets and the outcomes.
struct Walk<'w, 'a> {
    walker: &'w Walker<'a>,
    waiting: Vec<(Uuid, Path)>,
    outcomes: Vec<Outcome>,
}

impl Walker<'_> {
    /// Uses up the budget for matching sets against a rule, and returns true if some of it is left.
    pub(crate) fn may_put(&self, sets: usize) -> bool {
        self.budget.set(self.budget.get().saturating_sub(sets));
        !self.is_exhausted()
    }

    /// Uses up the budget for splitting one set into several, and returns true if some of it is left.
    pub(crate) fn may_make(&self, sets: usize) -> bool {
        self.may_put(sets.saturating_sub(1).saturating_mul(MADE))
    }

    /// Returns true if there were too many paths to follow them all.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget.get() == 0 || self.sets.is_full()
    }

    /// Sends packets into their path's ingress port, and returns all outcomes.
    pub(crate) fn follow(&self, path: Path) -> Result<Vec<Outcome>, TooMany> {
        let mut walk = Walk { walker: self, waiting: vec![(path.ingress, path)], outcomes: Vec::new() };
        while let Some((at, path)) = walk.waiting.pop().filter(|_| self.may_put(1)) {
            walk.enter(at, path);
        }
        match self.is_exhausted() {
            true => Err(TooMany),
            false => Ok(walk.outcomes),
        }
    }
}

impl Walk<'_, '_> {
    fn end(&mut self, path: Path, end: End) {
        self.outcomes.push(Outcome { path, end });
    }

    fn dropped(&mut self, path: Path, at: Uuid) {
        self.end(path, End::Dropped { at, rule: None, looped: false });
    }

    /// Evaluates a chain; the packets that it drops end here.
    fn evaluate(&mut self, chain: Option<Uuid>, path: Path, position: Position) -> Vec<Path> {
        let outcome = self.walker.evaluate(chain, path, position);
        for (path, rule) in outcome.dropped {
            self.end(path, End::Dropped { at: position.device, rule: Some(rule), looped: false });
        }
        outcome.passed
    }

    fn enter(&mut self, at: Uuid, mut path: Path) {
        let world = self.walker.world;
        let Some(port) = world.ports.get(&at) else { return self.dropped(path, at) };
        if self.walker.boundary.contains(&port.device) {
            return self.end(path, End::Left(at));
        }
        let Some(device) = world.devices.get(&port.device) else { return self.dropped(path, at) };
        if path.devices >= MOST_DEVICES {
            return self.end(path, End::Dropped { at, rule: None, looped: true });
        }
        path.devices += 1;
        path.rewritten = false;
        path.traversed.push(at);
        if !port.up {
            return self.dropped(path, at);
        }
        let position = Position { device: port.device, in_port: at, out_port: None };
        for mut path in self.evaluate(port.inbound, path, position) {
            if device.is_router && device.up && path.frame.is_arp() {
                self.ask_router(port, path);
                continue;
            }
            let foreign = device.is_router && (!path.frame.is_routed() || path.destination_mac != port.mac);
            let group = !device.is_router && path.source_mac.is_group();
            if !device.up || foreign || group {
                self.dropped(path, at);
                continue;
            }
            path.traversed.push(port.device);
            let inbound = chain_of_device(device, device.inbound, &path);
            for path in self.evaluate(inbound, path, position) {
                match device.is_router {
                    true => self.route(port, path),
                    false => self.switch(port, path),
                }
            }
        }
    }

    /// Consumes an echo request to the router's own address, and drops everything else.
    fn keep(&mut self, router: Uuid, path: Path) {
        let (icmp, other) = path.split_protocols(Protocols::of(&[1]));
        let mut rest: Vec<Path> = other.into_iter().collect();
        if let Some(icmp) = icmp {
            let (requests, others) = icmp.split(self.walker.sets, SOURCE_PORT, Range::one(8));
            rest.extend(others);
            if let Some(requests) = requests {
                let (echo, others) = requests.split(self.walker.sets, DESTINATION_PORT, Range::one(0));
                rest.extend(others);
                echo.into_iter().for_each(|path| self.end(path, End::Consumed(router)));
            }
        }
        rest.into_iter().for_each(|path| self.dropped(path, router));
    }

    /// Sends ARP packets to a router: it replies to a request for the address of the port.
    fn ask_router(&mut self, port: &Port, path: Path) {
        let (requests, other) = path.split_protocols(Protocols::of(&[ARP_REQUEST]));
        let mut rest: Vec<Path> = other.into_iter().collect();
        match (requests, port.address) {
            (Some(requests), Some(address)) => {
                let (own, others) = requests.split(self.walker.sets, DESTINATION, Range::address(address));
                rest.extend(others);
                own.into_iter().for_each(|path| self.end(path, End::Consumed(port.device)));
            }
            (requests, _) => rest.extend(requests),
        }
        rest.into_iter().for_each(|path| self.dropped(path, port.device));
    }

    /// Sends packets out of a port; returns those that pass, and the outcomes of the others.
    fn leave(&mut self, in_port: &Port, out: &Port, mut path: Path) -> (Vec<Path>, Vec<Outcome>) {
        let ended = |path: Path, rule: Option<Uuid>, looped: bool| Outcome {
            path,
            end: End::Dropped { at: out.device, rule, looped },
        };
        let back = out.id == in_port.id && !self.walker.world.is_router(out.device);
        if path.devices >= MOST_DEVICES {
            return (Vec::new(), vec![ended(path, None, true)]);
        }
        if !back {
            path.traversed.push(out.id);
        }
        if back || !out.up {
            return (Vec::new(), vec![ended(path, None, false)]);
        }
        let position = Position { device: out.device, in_port: in_port.id, out_port: Some(out.id) };
        let outcome = self.walker.evaluate(out.outbound, path, position);
        let dropped = outcome.dropped.into_iter().map(|(path, rule)| ended(path, Some(rule), false));
        (outcome.passed, dropped.collect())
    }

    fn switch(&mut self, in_port: &Port, path: Path) {
        let world = self.walker.world;
        let ports = self.walker.index.switched(in_port.device);
        let ports: Vec<&Port> = ports.iter().filter_map(|port| world.ports.get(port)).collect();
        let peer = |port: &Port| port.peer.and_then(|peer| world.ports.get(&peer));
        let mut left = vec![path];
        if let Some(path) = left.first()
            && path.frame.is_arp()
            && path.destination_mac == BROADCAST
        {
            // A request for a router's address goes to that router only.
            for (port, address) in ports.iter().filter_map(|port| Some((*port, peer(port)?.address?))) {
                let (own, others) = split_all(self.walker.sets, left, DESTINATION, Range::address(address));
                own.into_iter().for_each(|path| self.switch_to(in_port, Some(port), &ports, path));
                left = others;
            }
        }
        for path in left {
            let wanted = path.destination_mac;
            let router = ports.iter().find(|port| peer(port).is_some_and(|peer| peer.mac == wanted));
            let walker = self.walker;
            let station = || station_port(&walker.index, walker.attached, &ports, wanted);
            self.switch_to(in_port, router.copied().or_else(station), &ports, path);
        }
    }

    /// Sends packets out of a port of the bridge, or to all ports.
    fn switch_to(&mut self, in_port: &Port, known: Option<&Port>, ports: &[&Port], path: Path) {
        let position =
            Position { device: in_port.device, in_port: in_port.id, out_port: known.map(|out| out.id) };
        let bridge = self.walker.world.devices.get(&in_port.device);
        let outbound = bridge.and_then(|bridge| chain_of_device(bridge, bridge.outbound, &path));
        for path in self.evaluate(outbound, path, position) {
            let Some(out) = known else {
                self.flood(in_port, ports, path);
                continue;
            };
            let (passed, dropped) = self.leave(in_port, out, path);
            self.outcomes.extend(dropped);
            for path in passed {
                match out.peer {
                    Some(peer) => self.waiting.push((peer, path)),
                    None => self.end(path, End::Delivered(vec![out.id])),
                }
            }
        }
    }

    /// Sends the packet to all ports that something is attached to. Each port gets the packet as the bridge had it.
    fn flood(&mut self, in_port: &Port, ports: &[&Port], path: Path) {
        let header = path.header;
        let mut copies = vec![(path, Vec::new(), header)];
        for out in ports.iter().filter(|port| port.peer.is_none()) {
            if self.walker.index.stations(out.id).is_empty() {
                continue;
            }
            let mut next = Vec::new();
            for (mut path, reached, last) in copies {
                path.header = header;
                let (passed, dropped) = self.leave(in_port, out, path);
                for path in passed {
                    let mut reached = reached.clone();
                    reached.push(out.id);
                    let last = path.header;
                    next.push((path, reached, last));
                }
                next.extend(dropped.into_iter().map(|outcome| (outcome.path, reached.clone(), last)));
            }
            copies = next;
        }
        for (mut path, reached, last) in copies {
            path.header = last;
            match reached.is_empty() {
                true => self.dropped(path, in_port.device),
                false => self.end(path, End::Delivered(reached)),
            }
        }
    }
}

/// Returns the chain of a device that is evaluated: a bridge evaluates none for a frame with a VLAN tag.
fn chain_of_device(device: &Device, chain: Option<Uuid>, path: &Path) -> Option<Uuid> {
    chain.filter(|_| device.is_router || path.frame.vlan.is_none())
}

fn split_all(sets: &Sets, paths: Vec<Path>, field: usize, range: Range) -> (Vec<Path>, Vec<Path>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for path in paths {
        let (fits, fails) = path.split(sets, field, range);
        inside.extend(fits);
        outside.extend(fails);
    }
    (inside, outside)
}
