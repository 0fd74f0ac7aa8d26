//! Routes of a router, and the next hops of the packets that take them.

use uuid::Uuid;

use super::{End, Walk, Walker, split_all};
use crate::semantics::world::{Device, Port, Route, RouteKind};
use crate::verify::header::{DESTINATION, Range, SOURCE};
use crate::verify::index::{Position, RouteIndex};
use crate::verify::path::Path;
use crate::verify::sets::Sets;
use midoform_compiler::values::MacAddress;

/// The packets of a path that take a route, with the route's place, the others, and the place of the next route for these.
type Routed = (Vec<(usize, Path)>, Vec<Path>, usize);

impl Walker<'_> {
    /// Finds the packets of a path that take the route at a place, or one that wins as much: their destinations are
    /// disjoint, so the packets are split once for all of these.
    fn routed(&self, (device, routes): (&Device, &RouteIndex), path: Path, place: usize) -> Routed {
        match routes.beside(device, place, &path.now()) {
            Some((beside, end)) => {
                let ranges: Vec<Range> = beside.iter().map(|(range, _)| *range).collect();
                let part = |(range, place): &(Range, usize)| {
                    path.part(self.sets, DESTINATION, *range).map(|path| (*place, path))
                };
                let fits = beside.iter().filter_map(part).collect();
                (fits, path.split_many(self.sets, DESTINATION, &ranges).1, end)
            }
            None => {
                let Some(route) = routes.route(device, place) else {
                    return (Vec::new(), vec![path], place + 1);
                };
                let (fits, others) = fitting(self.sets, path, route);
                (fits.map(|path| (place, path)).into_iter().collect(), others, place + 1)
            }
        }
    }
}

impl Walk<'_, '_> {
    /// Routes a path. The routes are tried in the order in which they win; each of equal ones may be taken.
    pub(super) fn route(&mut self, in_port: &Port, path: Path) {
        let walker = self.walker;
        let device = walker.world.devices.get(&in_port.device);
        let Some((device, routes)) = device.zip(walker.index.routes(in_port.device)) else {
            return self.dropped(path, in_port.id);
        };
        let mut taken: Vec<(usize, Path)> = Vec::new();
        let mut left = Vec::new();
        let mut waiting = vec![(path, 0)];
        while let Some((path, from)) = waiting.pop() {
            let Some(place) = routes.next(from, &path.now()) else {
                left.push(path);
                continue;
            };
            let (fits, others, next) = walker.routed((device, routes), path, place);
            let equal: usize = fits.iter().map(|(place, _)| routes.equal(*place).len()).sum();
            if !walker.may_put(1) || !walker.may_make(fits.len() + equal + others.len()) {
                return;
            }
            for (place, path) in fits {
                let equal = routes.equal(place).iter().filter(|_| !walker.first_choice);
                for other in equal.filter_map(|place| Some((*place, routes.route(device, *place)?))) {
                    taken.extend(fitting(walker.sets, path.clone(), other.1).0.map(|path| (other.0, path)));
                }
                taken.push((place, path));
            }
            waiting.extend(others.into_iter().rev().map(|path| (path, next)));
        }
        taken.sort_by_key(|(place, _)| *place);
        for (place, path) in taken {
            if let Some(route) = routes.route(device, place) {
                self.take(in_port, route, path);
            }
        }
        for path in left {
            self.dropped(path, in_port.device);
        }
    }

    fn take(&mut self, in_port: &Port, route: &Route, path: Path) {
        let router = in_port.device;
        match route.kind {
            RouteKind::BlackHole | RouteKind::Reject => return self.dropped(path, router),
            RouteKind::Local => return self.keep(router, path),
            RouteKind::Normal => {}
        }
        let Some(out) = route.port.and_then(|port| self.walker.world.ports.get(&port)) else {
            return self.dropped(path, router);
        };
        let mut left = vec![path];
        if let Some(address) = out.address {
            let (own, others) = split_all(self.walker.sets, left, DESTINATION, Range::address(address));
            own.into_iter().for_each(|path| self.dropped(path, router));
            left = others;
        }
        let position = Position { device: router, in_port: in_port.id, out_port: Some(out.id) };
        let outbound = self.walker.world.devices.get(&router).and_then(|device| device.outbound);
        for path in left {
            for path in self.evaluate(outbound, path, position) {
                self.hand_over(in_port, out, route, path);
            }
        }
    }

    fn hand_over(&mut self, in_port: &Port, out: &Port, route: &Route, path: Path) {
        let world = self.walker.world;
        let peer = out.peer.and_then(|peer| world.ports.get(&peer));
        let mut found: Vec<(Path, MacAddress)> = Vec::new();
        let mut left = vec![path];
        match peer {
            Some(peer) if world.is_router(peer.device) => {
                found = left.drain(..).map(|path| (path, peer.mac)).collect();
            }
            Some(peer) => {
                for (address, mac) in self.routers_on(peer.device) {
                    left = next_hops(self.walker.sets, left, route, address, mac, &mut found);
                }
            }
            None => {
                if let Some(network) = out.network {
                    let (near, far) = by_next_hop(self.walker.sets, left, route, Range::network(network));
                    far.into_iter().for_each(|path| self.dropped(path, out.device));
                    left = near;
                }
            }
        }
        left = self.stations_beside(out.device, route, left, &mut found);
        if !self.walker.may_make(left.len() + found.len()) {
            return;
        }
        left.into_iter().for_each(|path| self.end(path, End::Waits));
        for (mut path, mac) in found {
            path.source_mac = out.mac;
            path.destination_mac = mac;
            let (passed, dropped) = self.leave(in_port, out, path);
            self.outcomes.extend(dropped);
            for path in passed {
                match peer {
                    Some(peer) => self.waiting.push((peer.id, path)),
                    None => self.end(path, End::Delivered(vec![out.id])),
                }
            }
        }
    }

    /// Returns the routers' ports on a bridge, by address.
    fn routers_on(&self, bridge: Uuid) -> Vec<(Range, MacAddress)> {
        let world = self.walker.world;
        let ports = self.walker.index.switched(bridge).iter();
        let peers =
            ports.filter_map(|port| world.ports.get(port)?.peer).filter_map(|peer| world.ports.get(&peer));
        peers.filter_map(|peer| Some((Range::address(peer.address?), peer.mac))).collect()
    }

    /// Finds the stations beside a router that are the next hops of these packets, and returns the packets without one.
    fn stations_beside(
        &self,
        router: Uuid,
        route: &Route,
        paths: Vec<Path>,
        found: &mut Vec<(Path, MacAddress)>,
    ) -> Vec<Path> {
        let Some(stations) = self.walker.index.beside(router) else { return paths };
        let mut reached: Vec<(usize, (Path, MacAddress))> = Vec::new();
        let mut left = Vec::new();
        let mut waiting: Vec<(Path, usize)> = paths.into_iter().rev().map(|path| (path, 0)).collect();
        while let Some((path, from)) = waiting.pop() {
            let hops = route.gateway.map_or_else(|| path.field(DESTINATION), Range::address);
            let next = stations.next(from, hops).and_then(|place| Some((place, stations.station(place)?)));
            let Some((place, (station, range))) = next else {
                left.push(path);
                continue;
            };
            let Some(station) = self.walker.attached.get(station) else { continue };
            let (fits, others) = by_next_hop(self.walker.sets, vec![path], route, range);
            reached.extend(fits.into_iter().map(|path| (place, (path, station.mac))));
            waiting.extend(others.into_iter().rev().map(|path| (path, place + 1)));
        }
        reached.sort_by_key(|(place, _)| *place);
        found.extend(reached.into_iter().map(|(_, reached)| reached));
        left
    }
}

fn fitting(sets: &Sets, path: Path, route: &Route) -> (Option<Path>, Vec<Path>) {
    let (fits, mut others) = path.split(sets, DESTINATION, Range::network(route.destination));
    let Some(path) = fits else { return (None, others) };
    let (fits, fails) = path.split(sets, SOURCE, Range::network(route.source));
    others.extend(fails);
    (fits, others)
}

/// Splits the paths: those whose next hop (the gateway, or the destination itself) lies in the range, and the others.
fn by_next_hop(sets: &Sets, paths: Vec<Path>, route: &Route, range: Range) -> (Vec<Path>, Vec<Path>) {
    match route.gateway {
        Some(gateway) if range.has(gateway.into()) => (paths, Vec::new()),
        Some(_) => (Vec::new(), paths),
        None => split_all(sets, paths, DESTINATION, range),
    }
}

fn next_hops(
    sets: &Sets,
    paths: Vec<Path>,
    route: &Route,
    range: Range,
    mac: MacAddress,
    found: &mut Vec<(Path, MacAddress)>,
) -> Vec<Path> {
    let (fits, others) = by_next_hop(sets, paths, route, range);
    found.extend(fits.into_iter().map(|path| (path, mac)));
    others
}
