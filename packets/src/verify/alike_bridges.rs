//! Finds bridges of a tenant whose pods send alike: a proof about one of them holds for all.
//!
//! Two bridges are alike if everything that decides about a packet from one of their pods is the same for both, but for
//! packets to some destinations. Take the permutation of all addresses that exchanges the two networks, and leaves every
//! other address as it is. It takes a packet of the one bridge to a packet of the other. Both have the same path and
//! the same end, if no rule and no route on their way tells the two bridges apart:
//!
//! - The bridges' own chains, ports and routes are the same, but for the network and the gateway's address. So frames of
//!   other EtherTypes than IPv4, which do not leave a bridge, are treated alike as well.
//! - A set of source addresses that a rule names holds both networks, or none of their addresses. Else the rule tells the
//!   bridge apart, for the rule's destinations. So does a rule that names the port of the bridge's gateway. A rule of a
//!   bridge's chain is about the packets that enter the bridge, and about the replies from it.
//! - Replies arrive alike: of rules that may match replies to the bridge, the sources count as destinations.
//! - The destinations that lead to the bridge itself tell it apart: its network, routes by it, exposed ports.
//!
//! So each bridge but the first of those alike sends only to the destinations that tell it, or the first, apart. Where a
//! condition is not covered by this reasoning, every bridge sends to everything.

mod paths;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use uuid::Uuid;

use super::header::Range;
use super::model::Model;
use super::segment::Segment;
use crate::semantics::id_of;
use crate::semantics::world::{Route, RouteKind, Rule, RuleKind};
use midoform_compiler::network::{BridgeIndex, Selector, Tenant};
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use paths::{Destinations, Paths};
use rules::{RouterRule, is_plain};

/// A bridge of the tenant, and what is its own.
struct Own {
    network: Ipv4Net,
    /// What has to be the same for two that are alike.
    likeness: Vec<String>,
    /// The destinations that tell it apart.
    apart: Destinations,
}

/// The bridges of a tenant, and what finds them.
struct Bridges {
    own: Vec<Own>,
    by_index: BTreeMap<BridgeIndex, usize>,
    /// By the first address of the network.
    by_start: BTreeMap<u32, usize>,
    /// By the gateway's port on the router.
    by_gateway: BTreeMap<Uuid, usize>,
    /// The sets of addresses that hold the networks of all bridges that they meet.
    wide: BTreeSet<(&'static str, Range)>,
}

/// The rules and the routes of all routers of a model, and what the chains of its bridges say of other bridges.
pub(crate) struct Routers<'m> {
    rules: Vec<RouterRule<'m>>,
    paths: Paths,
    foreign: Vec<Foreign>,
}

/// Addresses that the chain of a bridge names and that are outside its network: of packets that enter the bridge, or of
/// replies from it. The third value is the network.
type Foreign = (&'static str, Range, Destinations);

impl<'m> Routers<'m> {
    /// Returns none if a rule or a route has a condition that the comparison does not cover.
    pub(crate) fn new(model: &'m Model<'_>) -> Option<Routers<'m>> {
        let mut routes = model.world.devices.values().flat_map(|device| &device.routes);
        if routes.any(|route| route.source.prefix_len() != 0) {
            return None;
        }
        let rules = rules::of_routers(model)?;
        let paths = Paths::new(model, &rules)?;
        Some(Routers { rules, paths, foreign: foreign(model)? })
    }
}

/// Returns the destinations that each of a tenant's bridges has to send to, so that all packets are covered: sorted,
/// disjoint ranges. A bridge that is not named sends to everything. `world` has the addresses outside.
pub(crate) fn destinations(
    model: &Model<'_>,
    routers: Option<&Routers<'_>>,
    tenant: &Tenant,
    world: &[Range],
) -> BTreeMap<BridgeIndex, Vec<Range>> {
    routers.and_then(|routers| compared(model, routers, tenant, world)).unwrap_or_default()
}

/// None if the tenant has a condition that the comparison does not cover.
fn compared(
    model: &Model<'_>,
    routers: &Routers<'_>,
    tenant: &Tenant,
    world: &[Range],
) -> Option<BTreeMap<BridgeIndex, Vec<Range>>> {
    let Routers { rules, paths, foreign } = routers;
    let mut bridges = Bridges::new(model, tenant)?;
    if rules.iter().any(|rule| bridges.are_sources_of(rule)) {
        return None;
    }
    foreign.iter().for_each(|(what, range, apart)| bridges.named(*range, what, apart));
    bridges.routes(model);
    bridges.rules(rules);
    bridges.said(tenant);
    let mut classes: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for (place, own) in bridges.own.iter_mut().enumerate() {
        own.likeness.sort();
        classes.entry(std::mem::take(&mut own.likeness)).or_default().push(place);
    }
    let mut first: BTreeMap<usize, usize> = BTreeMap::new();
    for alike in classes.values() {
        let size = |place: &usize| bridges.own.get(*place).map(|own| own.apart.size());
        if let Some(least) = alike.iter().copied().min_by_key(size) {
            first.extend(alike.iter().map(|place| (*place, least)));
        }
    }
    let mut found = BTreeMap::new();
    for (index, place) in &bridges.by_index {
        let (own, first) = (bridges.own.get(*place)?, first.get(place).filter(|first| *first != place));
        if let Some(first) = first.and_then(|first| bridges.own.get(*first)) {
            let mut apart = own.apart.clone();
            apart.add(&first.apart);
            found.insert(*index, paths.as_sent(&apart, world));
        }
    }
    Some(found)
}

impl Bridges {
    fn new(model: &Model<'_>, tenant: &Tenant) -> Option<Bridges> {
        let (mut own, mut by_index, mut by_gateway) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (at, bridge) in tenant.indexed_bridges() {
            let key = Key::tenant(&tenant.name).bridge(&bridge.name).device();
            let Some(segment) = model.segment(&key) else { continue };
            let (gateway, one) = Own::new(model, segment)?;
            by_index.insert(at, own.len());
            by_gateway.insert(gateway, own.len());
            own.push(one);
        }
        let by_start: BTreeMap<u32, usize> =
            own.iter().enumerate().map(|(at, own)| (own.network.network().into(), at)).collect();
        let mut last: Option<u32> = None;
        for at in by_start.values() {
            let range = Range::network(own.get(*at)?.network);
            if last.is_some_and(|last| last >= range.first) {
                return None;
            }
            last = Some(range.last);
        }
        (by_start.len() == own.len()).then_some(Bridges {
            own,
            by_index,
            by_start,
            by_gateway,
            wide: BTreeSet::new(),
        })
    }

    /// Returns the places of the bridges that have some of these addresses.
    fn meeting(&self, range: Range) -> Vec<usize> {
        let mut found: Vec<usize> =
            self.by_start.range(range.first..=range.last).map(|(_, at)| *at).collect();
        let before = self.by_start.range(..range.first).next_back().map(|(_, at)| *at);
        let reaches = |at: &usize| {
            self.own.get(*at).is_some_and(|own| Range::network(own.network).common(range).is_some())
        };
        found.extend(before.filter(reaches));
        found
    }

    /// Takes note of a set of addresses that tells apart the bridges that it takes apart, or is one of.
    fn named(&mut self, range: Range, what: &'static str, apart: &Destinations) {
        if self.wide.contains(&(what, range)) {
            return;
        }
        for place in self.meeting(range) {
            let Some(own) = self.own.get_mut(place) else { continue };
            let network = Range::network(own.network);
            if range.covers(network) && range != network {
                own.likeness.push(format!("{what} in {range:?}"));
                self.wide.insert((what, range));
            } else {
                own.apart.add(apart);
            }
        }
    }

    /// Returns true if a rule gives packets a source address of one of the bridges.
    fn are_sources_of(&self, rule: &RouterRule<'_>) -> bool {
        let targets = rule.rule.nat_targets.iter().flatten().filter(|_| rule.rule.kind == RuleKind::Snat);
        let ranges = targets.map(|target| (u32::from(target.address_from), u32::from(target.address_to)));
        let mut ranges = ranges.map(|(first, last)| Range { first, last: last.max(first) });
        ranges.any(|range| !self.meeting(range).is_empty())
    }

    /// Compares the routes of all routers.
    fn routes(&mut self, model: &Model<'_>) {
        for (id, device) in &model.world.devices {
            device.routes.iter().for_each(|route| self.route(*id, route));
        }
        for (port, place) in &self.by_gateway {
            if let Some(own) = self.own.get_mut(*place) {
                own.apart.add(&Destinations::by_ports(&[*port]));
                own.apart.add(&Destinations::ranges([Range::network(own.network)]));
            }
        }
    }

    /// A route to the network itself, or to a part of it.
    fn route(&mut self, router: Uuid, route: &Route) {
        let range = Range::network(route.destination);
        let by = route.port.and_then(|port| self.by_gateway.get(&port)).copied();
        let meeting = self.meeting(range);
        if let Some(own) = by.filter(|by| !meeting.contains(by)).and_then(|by| self.own.get_mut(by)) {
            own.likeness.push(format!("routes {range:?}"));
        }
        for place in meeting {
            let Some(own) = self.own.get_mut(place) else { continue };
            let network = Range::network(own.network);
            if range.covers(network) && range != network {
                continue;
            }
            let inside = range.first - network.first;
            let (to, gateway) = match by == Some(place) {
                true => (None, route.gateway.map(|gateway| u32::from(gateway).wrapping_sub(network.first))),
                false => (route.port, route.gateway.map(u32::from)),
            };
            let kind = match route.kind {
                RouteKind::Normal => "normal",
                RouteKind::Local => "local",
                RouteKind::BlackHole => "black hole",
                RouteKind::Reject => "reject",
            };
            let (length, weight) = (route.destination.prefix_len(), route.weight);
            let text = format!("route {router} {inside}/{length} {kind} {weight} {to:?} {gateway:?}");
            own.likeness.push(text);
        }
    }

    /// Compares what the routers' rules say of the bridges.
    fn rules(&mut self, rules: &[RouterRule<'_>]) {
        for rule in rules {
            let (from, to) = (Paths::sources(rule), Paths::destinations(rule));
            let name = rule.name();
            self.ports(&rule.rule.in_ports, &name, &to);
            if let Some(range) = rule.source().filter(|_| !rule.is_from_outside) {
                self.named(range, "a source", &to);
            }
            if rule.sees_replies {
                self.ports(&rule.rule.out_ports, &name, &from);
                if let Some(range) = rule.destination() {
                    self.named(range, "a reply", &from);
                }
            }
        }
    }

    /// Takes note of a rule that names gateways. One that names several is the same for all that it names.
    fn ports(&mut self, ports: &[Uuid], rule: &str, apart: &Destinations) {
        let places: Vec<usize> = ports.iter().filter_map(|port| self.by_gateway.get(port)).copied().collect();
        for place in &places {
            let Some(own) = self.own.get_mut(*place) else { continue };
            match places.len() {
                1 => own.apart.add(apart),
                _ => own.likeness.push(format!("named by {rule}")),
            }
        }
    }

    /// Compares what the spec says of the bridges.
    fn said(&mut self, tenant: &Tenant) {
        for rule in &tenant.rules {
            let networks = |at| tenant.networks_with_grown(at).map(Range::network).collect::<Vec<_>>();
            let addresses = |ports: &[midoform_compiler::network::PortIndex]| {
                let ports = ports.iter().filter_map(|at| tenant.port(*at));
                ports.map(|port| Range::address(port.address)).collect::<Vec<_>>()
            };
            let to = match &rule.to {
                Selector::Anywhere => Destinations::everything(),
                Selector::World => Destinations::outside(),
                Selector::Bridge(at) => Destinations::ranges(networks(*at)),
                Selector::Addresses(networks) => {
                    Destinations::ranges(networks.iter().map(|network| Range::network(*network)))
                }
                Selector::Ports(ports) => Destinations::ranges(addresses(ports)),
                Selector::Peer(at) => {
                    let peer = tenant.peer(*at).into_iter().flat_map(|peer| &peer.networks);
                    Destinations::ranges(peer.map(|network| Range::network(*network)))
                }
            };
            let from = match &rule.from {
                Selector::Anywhere | Selector::World | Selector::Peer(_) => Vec::new(),
                Selector::Bridge(at) => networks(*at),
                Selector::Addresses(networks) => networks.iter().map(|net| Range::network(*net)).collect(),
                Selector::Ports(ports) => addresses(ports),
            };
            from.into_iter().for_each(|range| self.named(range, "a source", &to));
        }
        for (at, peer) in tenant.peers.iter().enumerate() {
            for bridge in &peer.own_bridges {
                let own = self.by_index.get(bridge).and_then(|place| self.own.get_mut(*place));
                if let Some(own) = own {
                    own.likeness.push(format!("for peer {at}"));
                }
            }
        }
    }
}

impl Own {
    /// Returns the bridge with its gateway's port; none if it is not as midoform makes them.
    fn new(model: &Model<'_>, segment: &Segment) -> Option<(Uuid, Own)> {
        let world = &model.world;
        let ([network], [(address, _)]) = (segment.networks.as_slice(), segment.gateways.as_slice()) else {
            return None;
        };
        let device = world.devices.get(&id_of(model.topology, &Reference::from(&segment.key))?)?;
        let linked: Vec<_> = device.ports.iter().filter_map(|port| world.ports.get(port)).collect();
        let linked: Vec<_> = linked.into_iter().filter(|port| port.peer.is_some()).collect();
        let [inside] = linked.as_slice() else { return None };
        let gateway = world.ports.get(&inside.peer?)?;
        let filters = [inside.inbound, inside.outbound, gateway.inbound, gateway.outbound, device.outbound];
        if !device.up || !inside.up || !gateway.up || filters.iter().any(Option::is_some) {
            return None;
        }
        let place = u32::from(*address).wrapping_sub(network.network().into());
        let mut likeness = vec![format!("{} /{} {place}", gateway.device, network.prefix_len())];
        let chain =
            device.inbound.map(|chain| world.chains.get(&chain).map(Vec::as_slice).unwrap_or_default());
        for (at, rule) in chain.into_iter().flatten().enumerate() {
            likeness.push(own_rule(at, rule, (*network, *address), inside.id)?);
        }
        let apart = Destinations::default();
        Some((gateway.id, Own { network: *network, likeness, apart }))
    }
}

/// Returns the addresses of other bridges, and outside, that the chains of bridges name. None if a bridge is not as
/// midoform makes them.
fn foreign(model: &Model<'_>) -> Option<Vec<Foreign>> {
    let world = &model.world;
    let mut found = Vec::new();
    for segment in &model.segments {
        let device = world.devices.get(&id_of(model.topology, &Reference::from(&segment.key))?)?;
        let linked = device.ports.iter().filter_map(|port| world.ports.get(port));
        let filters =
            linked.filter(|port| port.peer.is_some()).flat_map(|port| [port.inbound, port.outbound]);
        if filters.chain([device.outbound]).flatten().next().is_some() {
            return None;
        }
        let own: Vec<Range> = segment.networks.iter().map(|network| Range::network(*network)).collect();
        let chain = device.inbound.and_then(|chain| world.chains.get(&chain));
        for rule in chain.into_iter().flatten() {
            if !is_plain(rule) || rule.kind == RuleKind::Jump {
                return None;
            }
            let named = [("a source", rules::source(rule)), ("a reply", rules::destination(rule))];
            let named = named.into_iter().filter_map(|(what, range)| Some((what, range?)));
            let named = named.filter(|(_, range)| !own.iter().any(|own| own.covers(*range)));
            found.extend(named.map(|(what, range)| (what, range, Destinations::ranges(own.clone()))));
        }
    }
    Some(found)
}

/// Returns a rule of a bridge's chain, with its own network, its gateway's address and its gateway's port by their parts;
/// none if it can't be compared.
fn own_rule(
    at: usize,
    rule: &Rule,
    (network, address): (Ipv4Net, std::net::Ipv4Addr),
    gateway: Uuid,
) -> Option<String> {
    let mut rule = rule.clone();
    let decides =
        matches!(rule.kind, RuleKind::Accept | RuleKind::Drop | RuleKind::Reject | RuleKind::Return);
    if !is_plain(&rule) || !decides || !rule.out_ports.is_empty() {
        return None;
    }
    let place = |range: Option<Range>| range.map(|range| Place::of(range, Range::network(network)));
    let places = [place(rules::source(&rule)), place(rules::destination(&rule))];
    (rule.id, rule.position) = (Uuid::nil(), at);
    let mut own = [false; 4];
    let is_own = |address: Option<std::net::Ipv4Addr>, length: u8| {
        address == Some(network.network()) && length == network.prefix_len()
    };
    if is_own(rule.nw_src_address, rule.nw_src_length) {
        (own[0], rule.nw_src_address) = (true, None);
    }
    if is_own(rule.nw_dst_address, rule.nw_dst_length) {
        (own[1], rule.nw_dst_address) = (true, None);
    }
    if rule.in_ports == [gateway] {
        (own[2], rule.in_ports) = (true, Vec::new());
    }
    if rule.nw_src_address == Some(address) && rule.nw_src_length == 32 {
        (own[3], rule.nw_src_address) = (true, None);
    }
    Some(format!("{own:?} {places:?} {rule:?}"))
}

/// The place of some addresses that a rule names: the same addresses are in one bridge's network and beside another's.
#[derive(Debug)]
enum Place {
    Within,
    Around,
    Beside,
}

impl Place {
    fn of(range: Range, network: Range) -> Place {
        match range.common(network) {
            None => Place::Beside,
            Some(_) if network.covers(range) => Place::Within,
            Some(_) => Place::Around,
        }
    }
}
