//! A switch: port security, access control lists, load balancers.

use uuid::Uuid;

use super::matches::{Between, Match};
use super::network::{Allowed, List, Switch, SwitchPort};
use super::tracking::Zone;
use super::walk::{Walk, Walker};
use crate::semantics::{ARP_REQUEST, BROADCAST};
use crate::verify::header::{DESTINATION, Protocols, Range, SOURCE, united};
use crate::verify::path::{Path, Tracking};
use crate::verify::walk::End;
use midoform_compiler::values::ethertype;

/// The protocol of ICMPv6, by which IPv6 finds its neighbours.
pub(crate) const ICMP6: u8 = 58;
/// The addresses and the ports of packets by which a host asks for an address (DHCP).
pub(super) const ASKING: [Range; 4] = [Range::one(0), EVERYWHERE, Range::one(68), Range::one(67)];
const EVERYWHERE: Range = Range::one(u32::MAX);
const MULTICAST: Range = Range { first: 0xe000_0000, last: 0xefff_ffff };

/// One of the directions of a switch's lists.
struct Side<'n> {
    untracked: &'n [Match],
    lists: Vec<&'n List>,
}

impl Walk<'_, '_> {
    pub(super) fn enter_switch(&mut self, switch: &Switch, at: Uuid, path: Path) {
        let Some(port) = self.walker.network.switch_ports.get(&at) else { return self.dropped(path, at) };
        if (path.frame.vlan.is_some() && !switch.passes_tags) || path.source_mac.is_group() {
            return self.dropped(path, at);
        }
        let (allowed, refused) = self.walker.may_send(&port.allowed, path);
        refused.into_iter().for_each(|path| self.dropped(path, at));
        let between = Between { input: at, output: None };
        for path in allowed {
            let tracked = self.walker.tracked(switch, (port, at), &switch.untracked_from, path, between);
            for path in tracked {
                for path in self.listed(&[&switch.from], path, (port.switch, between)) {
                    self.balanced(switch, (port, at), path);
                }
            }
        }
    }

    /// Translates the destinations of exposed ports, and goes on behind the translation.
    fn balanced(&mut self, switch: &Switch, (port, at): (&SwitchPort, Uuid), path: Path) {
        let zone = Zone::of_port(at);
        let (balanced, others) = match port.router_port {
            // Connections from the router are not tracked.
            Some(_) => (Vec::new(), vec![path]),
            None => self.walker.balance(&switch.balancers, path, zone),
        };
        let between = Between { input: at, output: None };
        for path in balanced.into_iter().chain(others) {
            for mut path in self.listed(&[&switch.from_translated], path, (port.switch, between)) {
                Walker::commit(&mut path, zone);
                self.switch(switch, (port.switch, at), path);
            }
        }
    }

    /// Lets lists decide about packets. Replies of accepted connections pass, and what belongs to no connection is dropped.
    fn listed(&mut self, lists: &[&List], path: Path, (switch, between): (Uuid, Between)) -> Vec<Path> {
        match path.tracking {
            Tracking::Reply => return vec![path],
            Tracking::Invalid => {
                self.dropped(path, switch);
                return Vec::new();
            }
            Tracking::New | Tracking::None => {}
        }
        let (mut passed, mut waiting) = (Vec::new(), vec![path]);
        if waiting.first().is_some_and(|path| path.frame.ethertype == ethertype::IPV6)
            && lists.iter().any(|list| !list.rows.is_empty())
        {
            // Flows of OVN's own come before all lists.
            let split = waiting.into_iter().map(|path| path.split_protocols(Protocols::of(&[ICMP6])));
            let (neighbours, others): (Vec<_>, Vec<_>) = split.unzip();
            passed.extend(neighbours.into_iter().flatten());
            waiting = others.into_iter().flatten().collect();
        }
        for list in lists {
            let mut next = Vec::new();
            for path in waiting {
                let decided = self.walker.decide(list, path, between);
                next.extend(self.passed(decided, switch));
            }
            waiting = next;
        }
        passed.extend(waiting);
        passed
    }

    /// Finds the port of a frame's receiver.
    fn switch(&mut self, switch: &Switch, (id, at): (Uuid, Uuid), path: Path) {
        let network = self.walker.network;
        // What comes back to its sender by an exposed port is translated once more, on the way to the same port.
        let own = self.walker.to_itself(path);
        let (itself, path) = own;
        itself.into_iter().for_each(|path| self.end(path, End::Consumed(id)));
        for path in path {
            if path.destination_mac.is_group() {
                self.flood(switch, (id, at), path);
                continue;
            }
            let ports = || switch.ports.iter().filter(|port| **port != at);
            let is_behind = |port: &&Uuid| {
                let Some(port) = network.switch_ports.get(*port) else { return false };
                let of_router = port.router_port.and_then(|own| network.router_ports.get(&own));
                of_router.is_some_and(|own| own.mac == path.destination_mac)
                    || port.macs.contains(&path.destination_mac)
            };
            let own = network.stations.iter().find(|(_, own)| own.mac == path.destination_mac);
            let own = own.map(|(id, _)| id).filter(|id| switch.ports.contains(id) && **id != at);
            let known = own.or_else(|| ports().find(is_behind));
            match known {
                Some(to) => self.leave_switch(switch, (at, *to), path),
                None => {
                    let unknown = ports().filter(|port| {
                        network
                            .switch_ports
                            .get(*port)
                            .is_some_and(|port| port.has_unknown && port.is_station)
                    });
                    let unknown: Vec<Uuid> = unknown.copied().collect();
                    if unknown.is_empty() {
                        self.dropped(path, id);
                        continue;
                    }
                    unknown.into_iter().for_each(|to| self.leave_switch(switch, (at, to), path.clone()));
                }
            }
        }
    }

    /// Sends a frame to all pods, or a question of ARP to the one that it is about.
    fn flood(&mut self, switch: &Switch, (id, at): (Uuid, Uuid), path: Path) {
        let network = self.walker.network;
        let mut left = vec![path];
        if left.first().is_some_and(|path| path.frame.is_arp() && path.destination_mac == BROADCAST) {
            for to in &switch.ports {
                let Some(port) = network.switch_ports.get(to).and_then(|port| port.router_port) else {
                    continue;
                };
                let Some(port) = network.router_ports.get(&port) else { continue };
                let own = united(port.addresses.iter().map(|(own, _)| Range::address(*own)).collect());
                let mut next = Vec::new();
                for path in left {
                    let (inside, outside) = path.split_many(self.walker.sets, DESTINATION, &own);
                    inside.into_iter().for_each(|path| self.leave_switch(switch, (at, *to), path));
                    next.extend(outside);
                }
                left = next;
            }
        }
        let stations = switch.ports.iter().filter(|port| {
            **port != at && network.switch_ports.get(*port).is_some_and(|port| port.is_station)
        });
        let stations: Vec<Uuid> = stations.copied().collect();
        for path in left {
            // OVN itself answers for the addresses that it knows.
            let (asked, path) = self.walker.answered(&stations, path);
            asked.into_iter().for_each(|path| self.end(path, End::Consumed(id)));
            for path in path {
                stations.iter().for_each(|to| self.leave_switch(switch, (at, *to), path.clone()));
            }
        }
    }

    fn leave_switch(&mut self, switch: &Switch, (at, to): (Uuid, Uuid), path: Path) {
        let Some(port) = self.walker.network.switch_ports.get(&to) else { return self.dropped(path, at) };
        let between = Between { input: at, output: Some(to) };
        let side = Side { untracked: &switch.untracked_to, lists: vec![&switch.to] };
        for path in self.walker.tracked(switch, (port, to), side.untracked, path, between) {
            for mut path in self.listed(&side.lists, path, (port.switch, between)) {
                Walker::commit(&mut path, Zone::of_port(to));
                let (allowed, refused) = self.walker.may_receive(&port.allowed, path);
                refused.into_iter().for_each(|path| self.dropped(path, to));
                for mut path in allowed {
                    path.traversed.push(to);
                    match port.router_port {
                        Some(peer) => self.waiting.push((peer, path)),
                        None => self.end(path, End::Delivered(vec![to])),
                    }
                }
            }
        }
    }
}

impl Walker<'_> {
    /// Looks packets up in the zone of a port, if the switch tracks them there.
    fn tracked(
        &self,
        switch: &Switch,
        (port, at): (&SwitchPort, Uuid),
        untracked: &[Match],
        mut path: Path,
        between: Between,
    ) -> Vec<Path> {
        if port.router_port.is_some() {
            // No zone is asked for a router's port. What it sends on keeps the state of the port by which it came.
            if between.output.is_none() || !switch.has_stateful {
                path.tracking = Tracking::None;
            }
            return vec![path];
        }
        path.tracking = Tracking::None;
        if !switch.tracks() {
            return vec![path];
        }
        let (mut found, mut left) = (Vec::new(), vec![path]);
        for matched in untracked {
            let mut next = Vec::new();
            for path in left {
                let (passes, others) = self.split(matched, path, between);
                found.extend(passes);
                next.extend(others);
            }
            left = next;
        }
        found.extend(left.into_iter().flat_map(|path| self.track(path, Zone::of_port(at))));
        found
    }

    /// Splits packets by port security: those that the port may send, and the others.
    fn may_send(&self, allowed: &[Allowed], path: Path) -> (Vec<Path>, Vec<Path>) {
        if allowed.is_empty() {
            return (vec![path], Vec::new());
        }
        let (mut found, mut left) = (Vec::new(), vec![path]);
        for own in allowed.iter() {
            let mut next = Vec::new();
            for path in left {
                match &own.addresses {
                    _ if own.mac != path.source_mac => next.push(path),
                    None => found.push(path),
                    // Other frames are dropped where addresses are named.
                    Some(_) if !path.frame.has_addresses() => next.push(path),
                    Some(addresses) => {
                        let (inside, outside) = path.split_many(self.sets, SOURCE, addresses);
                        found.extend(inside);
                        let asking = outside.into_iter().map(|path| self.asks_for_an_address(path));
                        for (asks, others) in asking {
                            found.extend(asks);
                            next.extend(others);
                        }
                    }
                }
            }
            left = next;
        }
        (found, left)
    }

    /// Splits packets: those by which a host asks for an address (DHCP), and the others.
    fn asks_for_an_address(&self, path: Path) -> (Option<Path>, Vec<Path>) {
        let mut others = Vec::new();
        if !path.frame.is_routed() {
            return (None, vec![path]);
        }
        let (mut asks, rest) = path.split_protocols(Protocols::of(&[17]));
        others.extend(rest);
        for (field, range) in ASKING.into_iter().enumerate() {
            let Some(path) = asks else { break };
            let (inside, outside) = path.split(self.sets, field, range);
            others.extend(outside);
            asks = inside;
        }
        (asks, others)
    }

    /// Splits packets by port security: those that the port receives, and the others.
    fn may_receive(&self, allowed: &[Allowed], path: Path) -> (Vec<Path>, Vec<Path>) {
        if allowed.is_empty() || path.destination_mac.is_group() {
            return (vec![path], Vec::new());
        }
        let Some(own) = allowed.iter().find(|own| own.mac == path.destination_mac) else {
            return (Vec::new(), vec![path]);
        };
        match &own.addresses {
            Some(addresses) if path.frame.ethertype == ethertype::IPV4 => {
                let all = addresses.iter().copied().chain([EVERYWHERE, MULTICAST]);
                path.split_many(self.sets, DESTINATION, &united(all.collect()))
            }
            Some(_) if path.frame.ethertype == ethertype::IPV6 => (Vec::new(), vec![path]),
            _ => (vec![path], Vec::new()),
        }
    }

    /// Splits packets whose destination was translated: those that go back to their sender, and the others.
    fn to_itself(&self, path: Path) -> (Option<Path>, Vec<Path>) {
        let (source, destination) = (path.variable(SOURCE), path.variable(DESTINATION));
        if destination < path.header.len() || path.tracking != Tracking::New {
            return (None, vec![path]);
        }
        path.split_equal(self.sets, &[(source, destination)])
    }

    /// Splits questions of ARP: those about addresses of these pods, and the others.
    fn answered(&self, stations: &[Uuid], path: Path) -> (Vec<Path>, Vec<Path>) {
        if !path.frame.is_arp() {
            return (Vec::new(), vec![path]);
        }
        let (requests, others) = path.split_protocols(Protocols::of(&[ARP_REQUEST]));
        let mut left: Vec<Path> = others.into_iter().collect();
        let known = stations.iter().filter_map(|id| self.network.stations.get(id));
        let known = united(known.flat_map(|station| station.addresses.iter().copied()).collect());
        let mut asked = Vec::new();
        if let Some(requests) = requests {
            let (inside, outside) = requests.split_many(self.sets, DESTINATION, &known);
            asked = inside;
            left.extend(outside);
        }
        (asked, left)
    }
}
