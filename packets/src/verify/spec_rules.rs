//! The new connections that the spec's rules accept, read as `docs/layout.md` explains them and independent of how they
//! are lowered. The verifier compares the topology with it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::box_index::BoxIndex;
use super::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Protocols, Range, SOURCE, SOURCE_PORT,
};
use super::packet_set::{Fields, PacketSet, united};
use super::sets::Sets;
use midoform_compiler::network::{BridgeIndex, PeerIndex, Rule, Selector, Tenant};
use midoform_compiler::spec::{Action, Protocol};

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Bridge(BridgeIndex),
    Peer(PeerIndex),
    World,
}

/// The rules of a tenant, found by the ends that they name.
pub(crate) struct SpecRules<'a> {
    tenant: &'a Tenant,
    /// Stateless rules come first.
    rules: Vec<&'a Rule>,
    by_destination: BTreeMap<End, Vec<usize>>,
    /// The rules that name no destination but addresses, by their source.
    by_source: BTreeMap<End, Vec<usize>>,
    /// The rules that name no end but addresses.
    general: Vec<usize>,
}

/// The part of the rules that is about connections from one end to another.
pub(crate) struct Between {
    boxes: Vec<Headers>,
    index: BoxIndex,
    /// For each box, true if its rule accepts.
    accepts: Vec<bool>,
}

impl<'a> SpecRules<'a> {
    pub(crate) fn new(tenant: &'a Tenant) -> SpecRules<'a> {
        let stateful = |stateful: bool| tenant.rules.iter().filter(move |rule| rule.stateful == stateful);
        let rules: Vec<&Rule> = stateful(false).chain(stateful(true)).collect();
        let (mut by_destination, mut by_source) = (BTreeMap::new(), BTreeMap::new());
        let mut general = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let (map, ends) = match ends(tenant, &rule.to) {
                Some(ends) => (&mut by_destination, ends),
                None => match ends(tenant, &rule.from) {
                    Some(ends) => (&mut by_source, ends),
                    None => {
                        general.push(place);
                        continue;
                    }
                },
            };
            for end in ends {
                map.entry(end).or_insert_with(Vec::new).push(place);
            }
        }
        SpecRules { tenant, rules, by_destination, by_source, general }
    }

    /// Returns what the rules say about connections from one end to another, within these bounds.
    pub(crate) fn between(&self, (from, to): (End, End), bounds: &Headers) -> Between {
        let inside = from == to && matches!(from, End::Bridge(_));
        let named = [self.by_destination.get(&to), self.by_source.get(&from), Some(&self.general)];
        let mut places: Vec<usize> = named.into_iter().flatten().flatten().copied().collect();
        places.sort_unstable();
        let (mut boxes, mut accepts) = (Vec::new(), Vec::new());
        for rule in places.into_iter().filter_map(|place| self.rules.get(place)) {
            // Inside a bridge only rules that name both ends, by bridge or address, apply.
            let named = |selector: &Selector| {
                matches!(selector, Selector::Bridge(_) | Selector::Addresses(_) | Selector::Ports(_))
            };
            if inside && !(named(&rule.from) && named(&rule.to)) {
                continue;
            }
            boxes.extend(matches(self.tenant, rule, from, to, bounds));
            accepts.resize(boxes.len(), rule.action == Action::Accept);
        }
        Between { index: BoxIndex::of(&boxes), boxes, accepts }
    }

    /// Returns the packets that the rules accept from one end to the other.
    pub(crate) fn allowed(&self, sets: &Sets, ends: (End, End), asked: &[Asked]) -> Vec<PacketSet> {
        match asked.iter().map(|asked| asked.around).reduce(Headers::around) {
            Some(bounds) => self.between(ends, &bounds).allowed(sets, asked),
            None => Vec::new(),
        }
    }
}

/// Packets that the rules are asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) packets: PacketSet,
    /// A box around them.
    around: Headers,
}

impl Asked {
    /// Returns the packets of a box with these sources; none if there are none.
    pub(crate) fn from(sets: &Sets, headers: Headers, sources: &[Range]) -> Option<Asked> {
        let packets = PacketSet::of(&headers).within(sets, SOURCE, sources)?;
        Some(Asked { packets, around: headers })
    }

    /// Returns the packets of a box with these destinations, which are sorted; none if there are none.
    pub(crate) fn to(sets: &Sets, headers: Headers, destinations: &[Range]) -> Option<Asked> {
        let packets = PacketSet::of(&headers).within(sets, DESTINATION, destinations)?;
        let (first, last) = destinations.first().zip(destinations.last())?;
        let around = Range { first: first.first, last: last.last };
        let around = headers.fields[DESTINATION].common(around)?;
        Some(Asked { packets, around: headers.with(DESTINATION, around) })
    }
}

impl Between {
    /// Returns the packets that are accepted: by a rule, or since no rule matches them.
    pub(crate) fn allowed(&self, sets: &Sets, asked: &[Asked]) -> Vec<PacketSet> {
        let mut passed: Vec<PacketSet> = Vec::new();
        let mut waiting: Vec<(Asked, usize)> = asked.iter().map(|asked| (*asked, 0)).collect();
        while let Some((own, from)) = waiting.pop() {
            let around =
                Headers { protocols: own.packets.protocols, fragments: own.packets.fragments, ..own.around };
            let next = self.index.next(from, &around).and_then(|place| Some((place, self.boxes.get(place)?)));
            let Some((place, matched)) = next else {
                passed.push(own.packets);
                continue;
            };
            let accepts = self.accepts.get(place) == Some(&true);
            let (end, run) = self.run((place, *matched), accepts, &around);
            let mut left = vec![own.packets];
            for ((protocols, fragments), boxes) in run {
                let matched = PacketSet { protocols, fragments, fields: Fields::of_boxes(sets, &boxes) };
                if accepts {
                    passed.extend(left.iter().filter_map(|packets| packets.common(sets, matched)));
                }
                left = left.into_iter().flat_map(|packets| packets.without(sets, matched)).collect();
            }
            waiting.extend(left.into_iter().map(|packets| (Asked { packets, ..own }, end)));
        }
        united(sets, passed)
    }

    /// Returns the boxes that meet another one and follow each other, of rules with the same action: their order makes no
    /// difference. The first number is the place behind the last of them.
    fn run(&self, (place, first): (usize, Headers), accepts: bool, around: &Headers) -> (usize, Run) {
        let (mut run, mut end) = (Run::new(), place + 1);
        let mut next = Some((place, &first));
        while let Some((place, own)) = next.filter(|(place, _)| self.accepts.get(*place) == Some(&accepts)) {
            run.entry((own.protocols, own.fragments)).or_default().push(own.fields);
            end = place + 1;
            let place = self.index.next(end, around);
            next = place.and_then(|place| Some((place, self.boxes.get(place)?)));
        }
        (end, run)
    }
}

/// Boxes of addresses and ports, by the kind of packets.
type Run = BTreeMap<(Protocols, Fragments), Vec<[Range; 4]>>;

/// Returns the ends that a selector selects; none if it selects some addresses of each.
fn ends(tenant: &Tenant, selector: &Selector) -> Option<BTreeSet<End>> {
    match selector {
        Selector::Anywhere | Selector::Addresses(_) => None,
        Selector::World => Some(BTreeSet::from([End::World])),
        Selector::Bridge(at) => Some(tenant.with_grown(*at).map(End::Bridge).collect()),
        Selector::Peer(at) => Some(BTreeSet::from([End::Peer(*at)])),
        Selector::Ports(ports) => {
            let ports = ports.iter().filter_map(|at| tenant.port(*at));
            Some(ports.map(|port| End::Bridge(port.bridge)).collect())
        }
    }
}

/// Returns the headers that a rule matches between two ends, within these bounds.
fn matches(tenant: &Tenant, rule: &Rule, from: End, to: End, bounds: &Headers) -> Vec<Headers> {
    let within = |ranges: Vec<Range>, field: usize| {
        let bound = bounds.fields.get(field).copied().unwrap_or(Range::ADDRESSES);
        ranges.into_iter().filter(move |range| range.common(bound).is_some()).collect::<Vec<_>>()
    };
    let sources = within(at(tenant, &rule.from, from), SOURCE);
    let destinations = within(at(tenant, &rule.to, to), DESTINATION);
    let mut found = Vec::new();
    for source in &sources {
        for destination in &destinations {
            found.extend(
                carried(&rule.protocols)
                    .into_iter()
                    .map(|headers| headers.with(SOURCE, *source).with(DESTINATION, *destination)),
            );
        }
    }
    found
}

/// Returns the addresses of an end that a rule's selector selects; none if it selects another end.
fn at(tenant: &Tenant, selector: &Selector, end: End) -> Vec<Range> {
    let here = |is: bool| if is { vec![Range::ADDRESSES] } else { Vec::new() };
    match selector {
        Selector::Anywhere => here(true),
        Selector::World => here(end == End::World),
        Selector::Bridge(at) => here(tenant.with_grown(*at).any(|at| end == End::Bridge(at))),
        Selector::Peer(at) => here(end == End::Peer(*at)),
        Selector::Addresses(networks) => networks.iter().map(|network| Range::network(*network)).collect(),
        Selector::Ports(ports) => {
            let ports = ports.iter().filter_map(|at| tenant.port(*at));
            let there = ports.filter(|port| end == End::Bridge(port.bridge));
            there.map(|port| Range::address(port.address)).collect()
        }
    }
}

/// Returns the packets of these protocols; every packet if there are none.
pub(crate) fn carried(protocols: &[Protocol]) -> Vec<Headers> {
    let everything = Headers {
        protocols: Protocols::ALL,
        fragments: Fragments::ALL,
        fields: [Range::ADDRESSES, Range::ADDRESSES, Range::PORTS, Range::PORTS],
    };
    if protocols.is_empty() {
        return vec![everything];
    }
    let one = |protocol: &Protocol| {
        let mut headers = Headers { protocols: Protocols::of(&[protocol.number]), ..everything };
        for (field, ports) in [(SOURCE_PORT, protocol.source), (DESTINATION_PORT, protocol.destination)] {
            if let Some(ports) = ports {
                headers = headers.with(field, Range { first: ports.start.into(), last: ports.end.into() });
            }
        }
        headers
    };
    protocols.iter().map(one).collect()
}

/// Returns the headers that the spec opens to the world, as they enter: exposed ports, and the destinations of rules
/// that accept from the world or from addresses.
pub(crate) fn entry_points(tenant: &Tenant) -> Vec<Headers> {
    let mut found = Vec::new();
    for expose in &tenant.exposes {
        let port = Range::one(expose.public_port.into());
        let public = Range::address(expose.public);
        let protocol = Protocol { number: expose.protocol, source: None, destination: None };
        found.extend(
            carried(&[protocol])
                .into_iter()
                .map(|headers| headers.with(DESTINATION, public).with(DESTINATION_PORT, port)),
        );
    }
    for rule in &tenant.rules {
        let opens =
            rule.action == Action::Accept && matches!(rule.from, Selector::World | Selector::Addresses(_));
        if !opens {
            continue;
        }
        let networks: Vec<Ipv4Net> = match &rule.to {
            Selector::Bridge(at) => tenant.networks_with_grown(*at).collect(),
            Selector::Addresses(networks) => networks.clone(),
            Selector::Ports(ports) => {
                let ports = ports.iter().filter_map(|at| tenant.port(*at));
                ports.map(|port| port.address.into()).collect()
            }
            Selector::Anywhere => tenant.bridges.iter().map(|bridge| bridge.cidr).collect(),
            Selector::World | Selector::Peer(_) => Vec::new(),
        };
        for source in at(tenant, &rule.from, End::World) {
            for network in &networks {
                found.extend(
                    carried(&rule.protocols).into_iter().map(|headers| {
                        headers.with(SOURCE, source).with(DESTINATION, Range::network(*network))
                    }),
                );
            }
        }
    }
    found
}
