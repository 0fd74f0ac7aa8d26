//! A router: its own addresses, translation, routes and policies.

use uuid::Uuid;

use super::matches::Between;
use super::network::{Route, Router, RouterPort};
use super::tracking::{Zone, translated};
use super::walk::Walk;
use crate::verify::header::{DESTINATION, DESTINATION_PORT, Protocols, Range, SOURCE, SOURCE_PORT, united};
use crate::verify::path::{Path, Side, Tracking};
use crate::verify::walk::End;

/// Addresses of no host: this network, loopback, multicast, and the broadcast address. No router passes packets from or to these.
pub(crate) const NO_HOSTS: [Range; 4] = [
    Range { first: 0, last: 0x00ff_ffff },
    Range { first: 0x7f00_0000, last: 0x7fff_ffff },
    Range { first: 0xe000_0000, last: 0xefff_ffff },
    Range::one(u32::MAX),
];

/// The zones of a router: of destinations, which come first, and of sources.
fn zones(router: Uuid) -> [Zone; 2] {
    [Side::Destination, Side::Source].map(|side| Zone { id: router, side })
}

impl Walk<'_, '_> {
    pub(super) fn enter_router(&mut self, router: &Router, (at, port): (Uuid, &RouterPort), path: Path) {
        let is_for_it = path.destination_mac == port.mac || path.destination_mac.is_group();
        if path.frame.vlan.is_some() || !is_for_it {
            return self.dropped(path, at);
        }
        if path.frame.is_arp() {
            // It answers questions for its addresses, and learns from all the rest.
            return self.end(path, End::Consumed(port.router));
        }
        if !path.frame.is_routed() {
            return self.dropped(path, at);
        }
        for path in self.passable(router, port.router, path) {
            self.untranslated(router, (at, port), path);
        }
    }

    /// Ends packets that no router passes, and those to a router's own addresses.
    fn passable(&mut self, router: &Router, id: Uuid, path: Path) -> Vec<Path> {
        let network = self.walker.network;
        let ports = || router.ports.iter().filter_map(|port| network.router_ports.get(port));
        let own = ports().flat_map(|port| &port.addresses).map(|(own, _)| Range::address(*own));
        let own = united(own.collect());
        let broadcasts =
            ports().flat_map(|port| &port.addresses).map(|(_, of)| Range::address(of.broadcast()));
        let sources = united(own.iter().copied().chain(broadcasts).chain(NO_HOSTS).collect());
        let mut left = vec![path];
        for (field, ranges) in [(SOURCE, &sources), (DESTINATION, &NO_HOSTS.to_vec())] {
            let mut next = Vec::new();
            for path in left {
                let (ends, passes) = path.split_many(self.walker.sets, field, ranges);
                ends.into_iter().for_each(|path| self.dropped(path, id));
                next.extend(passes);
            }
            left = next;
        }
        let mut passed = Vec::new();
        for path in left {
            let (to_itself, others) = path.split_many(self.walker.sets, DESTINATION, &own);
            passed.extend(others);
            for path in to_itself {
                passed.extend(self.own_address(router, id, path));
            }
        }
        passed
    }

    /// Answers pings to a router's own address. What else goes there may be a reply of a translated connection.
    fn own_address(&mut self, router: &Router, id: Uuid, path: Path) -> Vec<Path> {
        let mut left = vec![path];
        if left.first().is_some_and(|path| path.protocols == Protocols::of(&[1])) {
            let mut next = Vec::new();
            for path in left {
                let (requests, others) = path.split(self.walker.sets, SOURCE_PORT, Range::one(8));
                next.extend(others);
                let echo = requests.map(|path| path.split(self.walker.sets, DESTINATION_PORT, Range::one(0)));
                if let Some((echo, others)) = echo {
                    echo.into_iter().for_each(|path| self.end(path, End::Consumed(id)));
                    next.extend(others);
                }
            }
            left = next;
        }
        let public = router.translations.iter().map(|(_, public)| Range::address(*public));
        let public =
            united(public.chain(router.balancers.iter().map(|own| Range::address(own.public.0))).collect());
        let mut passed = Vec::new();
        for path in left {
            let (translated, others) = path.split_many(self.walker.sets, DESTINATION, &public);
            others.into_iter().for_each(|path| self.dropped(path, id));
            passed.extend(translated);
        }
        passed
    }

    /// Translates packets that enter by a gateway: replies to the tenant's connections, and connections to exposed ports.
    fn untranslated(&mut self, router: &Router, (at, port): (Uuid, &RouterPort), path: Path) {
        let walker = self.walker;
        let [destinations, sources] = zones(port.router);
        if !port.is_gateway {
            return self.route(router, at, path);
        }
        let public = united(router.translations.iter().map(|(_, public)| Range::address(*public)).collect());
        let (asked, others) = path.split_many(walker.sets, DESTINATION, &public);
        let tracked = asked.into_iter().flat_map(|path| walker.track(path, sources));
        let mut left: Vec<Path> = tracked.chain(others).collect();
        if !router.balancers.is_empty() {
            let public = router.balancers.iter().map(|own| Range::address(own.public.0));
            let public = united(public.collect());
            let mut next = Vec::new();
            for path in left {
                let (asked, others) = path.split_many(walker.sets, DESTINATION, &public);
                next.extend(others);
                for path in asked.into_iter().flat_map(|path| walker.track(path, destinations)) {
                    let (balanced, others) = walker.balance(&router.balancers, path, destinations);
                    next.extend(balanced.into_iter().chain(others));
                }
            }
            left = next;
        }
        left.into_iter().for_each(|path| self.route(router, at, path));
    }

    fn route(&mut self, router: &Router, at: Uuid, path: Path) {
        let walker = self.walker;
        let id = walker.network.router_ports.get(&at).map(|port| port.router).unwrap_or_default();
        let asked = path.field(DESTINATION);
        let start = router.routed.partition_point(|(range, _)| range.last < asked.first);
        let end = router.routed.partition_point(|(range, _)| range.first <= asked.last);
        let meeting = router.routed.get(start..end).unwrap_or_default();
        walker.may_go_on(meeting.len());
        for (range, routes) in meeting {
            let Some(path) = path.part(walker.sets, DESTINATION, *range) else { continue };
            for route in routes {
                match route.port {
                    None => self.end(path.clone(), End::Dropped { at: id, rule: None, looped: false }),
                    Some(port) => self.ruled(router, (id, at), (*route, port), path.clone()),
                }
            }
        }
        let ranges: Vec<Range> = meeting.iter().map(|(range, _)| *range).collect();
        let (_, nowhere) = path.split_many(walker.sets, DESTINATION, &ranges);
        nowhere.into_iter().for_each(|path| self.dropped(path, id));
    }

    /// Applies the policies, and sends packets to the next hop of their route.
    fn ruled(&mut self, router: &Router, (id, at): (Uuid, Uuid), (route, out): (Route, Uuid), path: Path) {
        let Some(port) = self.walker.network.router_ports.get(&out) else { return self.dropped(path, id) };
        let between = Between { input: at, output: Some(out) };
        let decided = self.walker.decide(&router.policies, path, between);
        for path in self.passed(decided, id) {
            for path in self.resolved(route, port, path) {
                for path in self.translated(router, (id, port), path) {
                    self.hand_over((out, port), path);
                }
            }
        }
    }

    /// Finds the MAC address of the next hop; packets without one wait.
    fn resolved(&mut self, route: Route, port: &RouterPort, path: Path) -> Vec<Path> {
        let network = self.walker.network;
        let mut hops: Vec<(Range, midoform_compiler::values::MacAddress)> = Vec::new();
        if let Some(peer) = port.peer.and_then(|peer| network.router_ports.get(&peer)) {
            hops.extend(peer.addresses.iter().map(|(own, _)| (Range::address(*own), peer.mac)));
        }
        let switch = port.switch_port.and_then(|own| network.switch_ports.get(&own)).map(|own| own.switch);
        if let Some(switch) = switch.and_then(|switch| network.switches.get(&switch)) {
            // A pod that is asked by one of its own bridge is another one.
            let sender =
                network.switch_ports.get(&path.ingress).filter(|_| switch.ports.contains(&path.ingress));
            let is_asked =
                |own: &&Uuid| sender.is_none_or(|sender| !sender.is_station) || **own != path.ingress;
            let mut stations: Vec<_> =
                switch.ports.iter().filter(is_asked).filter_map(|own| network.stations.get(own)).collect();
            stations.truncate(1);
            hops.extend(stations.iter().flat_map(|own| own.addresses.iter().map(|range| (*range, own.mac))));
            for own in switch.ports.iter().filter_map(|own| network.switch_ports.get(own)?.router_port) {
                let other = network.router_ports.get(&own);
                let addresses =
                    other.into_iter().flat_map(|own| own.addresses.iter().map(|(at, _)| (*at, own.mac)));
                hops.extend(addresses.map(|(at, mac)| (Range::address(at), mac)));
            }
        }
        let (mut found, mut left) = (Vec::new(), vec![path]);
        for (range, mac) in hops {
            let mut next = Vec::new();
            for path in left {
                let (fits, others) = match route.next_hop {
                    Some(hop) if range.has(hop.into()) => (Some(path), Vec::new()),
                    Some(_) => (None, vec![path]),
                    None => path.split(self.walker.sets, DESTINATION, range),
                };
                next.extend(others);
                found.extend(fits.map(|mut path| {
                    (path.source_mac, path.destination_mac) = (port.mac, mac);
                    path
                }));
            }
            left = next;
        }
        left.into_iter().for_each(|path| self.end(path, End::Waits));
        found
    }

    /// Translates what leaves by a gateway: replies of exposed ports, and then the sources of the tenant's own connections.
    fn translated(&mut self, router: &Router, (id, port): (Uuid, &RouterPort), path: Path) -> Vec<Path> {
        if !port.is_gateway {
            return vec![path];
        }
        let walker = self.walker;
        let [destinations, sources] = zones(id);
        let was = path.tracking;
        let tracked = match router.balancers.is_empty() {
            true => vec![path],
            false => walker.track(path, destinations),
        };
        let mut done = Vec::new();
        for mut path in tracked {
            if path.tracking == Tracking::Reply {
                done.push(path);
                continue;
            }
            path.tracking = was;
            let mut left = vec![path];
            for (network, public) in &router.translations {
                let mut next = Vec::new();
                for path in left {
                    let (own, others) = path.split(walker.sets, SOURCE, Range::network(*network));
                    next.extend(others);
                    for path in own.into_iter().flat_map(|path| walker.track(path, sources)) {
                        done.push(match path.tracking {
                            Tracking::New => {
                                translated(path, sources, (Range::address(*public), Range::PORTS))
                            }
                            _ => path,
                        });
                    }
                }
                left = next;
            }
            done.extend(left);
        }
        done
    }

    fn hand_over(&mut self, (out, port): (Uuid, &RouterPort), mut path: Path) {
        path.traversed.push(out);
        match port.peer.or(port.switch_port) {
            Some(next) => self.waiting.push((next, path)),
            None => self.dropped(path, out),
        }
    }
}
