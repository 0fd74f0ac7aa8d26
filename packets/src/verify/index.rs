//! Indexes of a world, so that a walk touches only what a set of packets meets: the rules of a chain that it may match,
//! the routes that it may take, the stations that it may be for.
//!
//! What is passed over can't make a difference: a rule that matches none of the packets and has no condition about
//! flows, a route to other destinations, a station with other addresses.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::box_index::BoxIndex;
use super::header::{
    DESTINATION, DESTINATION_PORT, EVERYTHING, Fragments, Headers, Protocols, Range, SOURCE, SOURCE_PORT,
    rest, united,
};
use crate::semantics::world::{Device, Port, Route, Rule, World};
use midoform_compiler::values::{MacAddress, PortRange};

/// A station behind a port.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) port: Uuid,
    pub(crate) mac: MacAddress,
    /// The addresses that it may have.
    pub(crate) addresses: Vec<Range>,
}

/// The position of packets when a chain is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) device: Uuid,
    pub(crate) in_port: Uuid,
    pub(crate) out_port: Option<Uuid>,
}

/// The indexes of one world and its stations.
#[derive(Debug, Default)]
pub(crate) struct Index {
    chains: BTreeMap<Uuid, ChainIndex>,
    routers: BTreeMap<Uuid, RouteIndex>,
    /// By port, the stations behind it.
    stations: BTreeMap<Uuid, Vec<usize>>,
    /// By bridge, its ports that something is behind: a router or a station.
    switched: BTreeMap<Uuid, Vec<Uuid>>,
    /// By router, the stations that are attached to it or to a bridge that is linked to it.
    beside: BTreeMap<Uuid, StationIndex>,
}

impl Index {
    pub(crate) fn new(world: &World, attached: &[Attached]) -> Index {
        let chains = world.chains.iter().map(|(id, rules)| (*id, ChainIndex::new(world, rules)));
        let routers = world.devices.iter().filter(|(_, device)| device.is_router);
        let mut stations: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (at, station) in attached.iter().enumerate() {
            stations.entry(station.port).or_default().push(at);
        }
        let is_used = |port: &Uuid| {
            stations.contains_key(port) || world.ports.get(port).is_some_and(|port| port.peer.is_some())
        };
        let bridges = world.devices.iter().filter(|(_, device)| !device.is_router);
        let switched =
            bridges.map(|(id, bridge)| (*id, bridge.ports.iter().copied().filter(is_used).collect()));
        Index {
            switched: switched.collect(),
            chains: chains.collect(),
            routers: routers.map(|(id, device)| (*id, RouteIndex::new(world, device))).collect(),
            stations,
            beside: beside(world, attached),
        }
    }

    pub(crate) fn chain(&self, chain: Uuid) -> Option<&ChainIndex> {
        self.chains.get(&chain)
    }

    pub(crate) fn routes(&self, router: Uuid) -> Option<&RouteIndex> {
        self.routers.get(&router)
    }

    /// Returns the stations behind a port, as places in the list of all.
    pub(crate) fn stations(&self, port: Uuid) -> &[usize] {
        self.stations.get(&port).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the ports of a bridge that something is behind.
    pub(crate) fn switched(&self, bridge: Uuid) -> &[Uuid] {
        self.switched.get(&bridge).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the stations beside a router.
    pub(crate) fn beside(&self, router: Uuid) -> Option<&StationIndex> {
        self.beside.get(&router)
    }
}

/// The rules of a chain.
#[derive(Debug)]
pub(crate) struct ChainIndex {
    /// The fields that each rule matches, with their ranges.
    wanted: Vec<Vec<(usize, Vec<Range>)>>,
    /// The rules that may match at any port.
    general: BoxIndex,
    by_in_port: BTreeMap<Uuid, BoxIndex>,
    by_out_port: BTreeMap<Uuid, BoxIndex>,
}

impl ChainIndex {
    fn new(world: &World, rules: &[Rule]) -> ChainIndex {
        let wanted: Vec<_> = rules.iter().map(|rule| wanted_fields(world, rule)).collect();
        let mut general = Vec::new();
        let mut by_in_port: BTreeMap<Uuid, Vec<(usize, Headers)>> = BTreeMap::new();
        let mut by_out_port: BTreeMap<Uuid, Vec<(usize, Headers)>> = BTreeMap::new();
        for (place, (rule, wanted)) in rules.iter().zip(&wanted).enumerate() {
            let own = (place, around(rule, wanted));
            let is_always_asked = rule.cond_invert || sees_flows(rule);
            let (ports, by_port) = match () {
                () if is_always_asked => (&[][..], &mut by_in_port),
                () if !rule.out_ports.is_empty() && !rule.inv_out_ports => {
                    (rule.out_ports.as_slice(), &mut by_out_port)
                }
                () if !rule.inv_in_ports => (rule.in_ports.as_slice(), &mut by_in_port),
                () => (&[][..], &mut by_in_port),
            };
            match ports.is_empty() {
                true => general.push(own),
                false => {
                    for port in ports.iter().collect::<BTreeSet<_>>() {
                        by_port.entry(*port).or_default().push(own);
                    }
                }
            }
        }
        let indexed = |by_port: BTreeMap<Uuid, Vec<(usize, Headers)>>| {
            by_port.into_iter().map(|(port, boxes)| (port, BoxIndex::new(boxes))).collect()
        };
        ChainIndex {
            wanted,
            general: BoxIndex::new(general),
            by_in_port: indexed(by_in_port),
            by_out_port: indexed(by_out_port),
        }
    }

    /// Returns the fields that a rule matches, each with its sorted, disjoint ranges.
    pub(crate) fn wanted(&self, place: usize) -> &[(usize, Vec<Range>)] {
        self.wanted.get(place).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the place of the first rule, from this one on, that some of these packets may match at this position, or
    /// that starts tracking.
    pub(crate) fn next(&self, from: usize, position: Position, headers: &Headers) -> Option<usize> {
        let by_in_port = self.by_in_port.get(&position.in_port);
        let by_out_port = position.out_port.and_then(|port| self.by_out_port.get(&port));
        let parts = [Some(&self.general), by_in_port, by_out_port];
        parts.into_iter().flatten().filter_map(|part| part.next(from, headers)).min()
    }
}

fn sees_flows(rule: &Rule) -> bool {
    rule.match_forward_flow || rule.match_return_flow
}

/// Returns the ranges that a rule matches: sorted and disjoint, for each field with a condition.
fn wanted_fields(world: &World, rule: &Rule) -> Vec<(usize, Vec<Range>)> {
    let mut wanted = Vec::new();
    let mut add = |field: usize, ranges: Vec<Range>, inverted: bool| {
        let all = if field < SOURCE_PORT { Range::ADDRESSES } else { Range::PORTS };
        let ranges = united(ranges);
        wanted.push((field, if inverted { rest(all, &ranges) } else { ranges }));
    };
    let network = |address, length: u8| {
        let network = ipnet::Ipv4Net::new(address, length.min(32)).ok();
        network.map(Range::network).into_iter().collect::<Vec<_>>()
    };
    if let Some(address) = rule.nw_src_address {
        add(SOURCE, network(address, rule.nw_src_length), rule.inv_nw_src);
    }
    if let Some(address) = rule.nw_dst_address {
        add(DESTINATION, network(address, rule.nw_dst_length), rule.inv_nw_dst);
    }
    let group = |group: Uuid| {
        let members = world.address_groups.get(&group).into_iter().flatten();
        members.map(|address| Range::address(*address)).collect::<Vec<_>>()
    };
    if let Some(id) = rule.ip_addr_group_src {
        add(SOURCE, group(id), rule.inv_ip_addr_group_src);
    }
    if let Some(id) = rule.ip_addr_group_dst {
        add(DESTINATION, group(id), rule.inv_ip_addr_group_dst);
    }
    let ports = |range: PortRange| match range.start <= range.end {
        true => vec![Range { first: range.start.into(), last: range.end.into() }],
        false => Vec::new(),
    };
    if let Some(range) = rule.tp_src {
        add(SOURCE_PORT, ports(range), rule.inv_tp_src);
    }
    if let Some(range) = rule.tp_dst {
        add(DESTINATION_PORT, ports(range), rule.inv_tp_dst);
    }
    wanted
}

/// Returns a box with every packet that a rule may match.
fn around(rule: &Rule, wanted: &[(usize, Vec<Range>)]) -> Headers {
    if rule.cond_invert || sees_flows(rule) {
        return EVERYTHING;
    }
    let policy = rule.fragments();
    let mut headers = Headers { fragments: Fragments::that(|fragment| fragment.fits(policy)), ..EVERYTHING };
    if let Some(protocol) = rule.nw_proto {
        let own = Protocols::of(&[protocol]);
        headers.protocols = if rule.inv_nw_proto { Protocols::ALL.without(own) } else { own };
    }
    for (field, ranges) in wanted {
        let whole = ranges.first().zip(ranges.last());
        let whole = whole.map(|(first, last)| Range { first: first.first, last: last.last });
        let known = headers.fields.get(*field).copied();
        match whole.zip(known).and_then(|(whole, known)| whole.common(known)) {
            Some(both) => headers = headers.with(*field, both),
            None => headers.protocols = Protocols::NONE,
        }
    }
    headers
}

/// The routes of a router, in the order in which they win.
#[derive(Debug)]
pub(crate) struct RouteIndex {
    routes: Vec<Ranked>,
    boxes: BoxIndex,
}

/// A route, by its place in the device's list.
#[derive(Debug)]
struct Ranked {
    at: usize,
    /// The later ones that win as much, and are for the same destinations: each may be taken.
    equal: Vec<usize>,
    /// The place behind the last of those that win as much, whatever their destinations.
    end: usize,
}

impl RouteIndex {
    fn new(world: &World, device: &Device) -> RouteIndex {
        let usable = device.routes.iter().enumerate().filter(|(_, route)| world.is_usable(route));
        let mut sorted: Vec<(usize, &Route)> = usable.collect();
        let rank = |route: &Route| (32 - route.destination.prefix_len(), route.weight);
        sorted.sort_by_key(|(_, route)| rank(route));
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (place, (_, route)) in sorted.iter().enumerate() {
            alike.entry((rank(route), route.destination)).or_default().push(place);
        }
        let later = |place: usize, route: &Route| {
            let all = alike.get(&(rank(route), route.destination));
            all.into_iter().flatten().copied().filter(|other| *other > place).collect()
        };
        let boxes = sorted.iter().enumerate().map(|(place, (_, route))| {
            let headers = EVERYTHING.with(SOURCE, Range::network(route.source));
            (place, headers.with(DESTINATION, Range::network(route.destination)))
        });
        let boxes = BoxIndex::new(boxes);
        let routes = sorted.iter().enumerate();
        let end = |route: &Route| sorted.partition_point(|(_, other)| rank(other) <= rank(route));
        let routes = routes.map(|(place, (at, route))| Ranked {
            at: *at,
            equal: later(place, route),
            end: end(route),
        });
        RouteIndex { routes: routes.collect(), boxes }
    }

    /// Returns the place of the first route, from this one on, that some of these packets may take.
    pub(crate) fn next(&self, from: usize, headers: &Headers) -> Option<usize> {
        self.boxes.next(from, headers)
    }

    /// Returns the routes that win as much as the one at a place and that some of these packets may take, with their
    /// destinations: one for each destination, sorted by these. The second value is the place behind all that win as
    /// much. Returns none if one of them is for some sources only.
    pub(crate) fn beside(
        &self,
        device: &Device,
        place: usize,
        headers: &Headers,
    ) -> Option<(Vec<(Range, usize)>, usize)> {
        let end = self.routes.get(place)?.end;
        let mut found = BTreeMap::new();
        for other in self.boxes.all(headers).into_iter().filter(|other| (place..end).contains(other)) {
            let route = self.route(device, other).filter(|route| route.source.prefix_len() == 0)?;
            found.entry(Range::network(route.destination)).or_insert(other);
        }
        Some((found.into_iter().collect(), end))
    }

    /// Returns the route at a place.
    pub(crate) fn route<'d>(&self, device: &'d Device, place: usize) -> Option<&'d Route> {
        device.routes.get(self.routes.get(place)?.at)
    }

    /// Returns the places of the later routes that may be taken as well as this one.
    pub(crate) fn equal(&self, place: usize) -> &[usize] {
        self.routes.get(place).map(|route| route.equal.as_slice()).unwrap_or_default()
    }
}

/// Stations with their ranges of addresses, in order.
#[derive(Debug)]
pub(crate) struct StationIndex {
    /// A station, and one of its ranges.
    stations: Vec<(usize, Range)>,
    boxes: BoxIndex,
}

impl StationIndex {
    fn new(stations: Vec<(usize, Range)>) -> StationIndex {
        let boxes = stations.iter().map(|(_, range)| EVERYTHING.with(DESTINATION, *range)).enumerate();
        let boxes = BoxIndex::new(boxes);
        StationIndex { stations, boxes }
    }

    /// Returns the place of the first range, from this one on, that has some of these destinations.
    pub(crate) fn next(&self, from: usize, destinations: Range) -> Option<usize> {
        self.boxes.next(from, &EVERYTHING.with(DESTINATION, destinations))
    }

    /// Returns the station at a place, and its range.
    pub(crate) fn station(&self, place: usize) -> Option<(usize, Range)> {
        self.stations.get(place).copied()
    }
}

fn beside(world: &World, attached: &[Attached]) -> BTreeMap<Uuid, StationIndex> {
    let mut found: BTreeMap<Uuid, Vec<(usize, Range)>> = BTreeMap::new();
    for (at, station) in attached.iter().enumerate().filter(|(_, station)| !station.addresses.is_empty()) {
        let Some(device) = world.device_of(station.port) else { continue };
        let ports = world.devices.get(&device).into_iter().flat_map(|device| &device.ports);
        let linked = ports.filter_map(|port| world.peer_device(*port));
        let routers: BTreeSet<Uuid> = std::iter::once(device).chain(linked).collect();
        for router in routers {
            found.entry(router).or_default().extend(station.addresses.iter().map(|range| (at, *range)));
        }
    }
    found.into_iter().map(|(router, stations)| (router, StationIndex::new(stations))).collect()
}

/// Returns the port behind which one of these stations has this MAC address.
pub(crate) fn station_port<'p>(
    index: &Index,
    attached: &[Attached],
    ports: &[&'p Port],
    mac: midoform_compiler::values::MacAddress,
) -> Option<&'p Port> {
    let has = |at: &usize| attached.get(*at).is_some_and(|station| station.mac == mac);
    ports.iter().copied().find(|port| index.stations(port.id).iter().any(has))
}
