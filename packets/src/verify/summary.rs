//! Describes sets of headers.

use std::net::Ipv4Addr;

use super::header::{Headers, Protocols, Range, rest, united};
use midoform_compiler::plan::reachability::{ConnectionEnd, Now, ReachabilityChange};
use midoform_compiler::source::Provenance;

/// The name for all other protocols.
const OTHERS: &str = "other";
/// Everything.
const ANY: &str = "any";
/// The most ranges of addresses that are shown.
const MOST_RANGES: usize = 6;

/// A change as sets, before it is described.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item {
    pub(crate) from: ConnectionEnd,
    pub(crate) to: ConnectionEnd,
    pub(crate) now: Now,
    pub(crate) source: Option<Provenance>,
    protocol: String,
    /// Destination ports, or ICMP's types; empty if the protocol has none.
    ports: Vec<Range>,
    destinations: Vec<Range>,
    sources: Vec<Range>,
}

impl Item {
    /// Summarises a box of headers, protocol by protocol.
    pub(crate) fn of(
        headers: Headers,
        now: Now,
        (from, to): &(ConnectionEnd, ConnectionEnd),
        source: Option<&Provenance>,
    ) -> Vec<Item> {
        let [sources, destinations, kinds, ports] = headers.fields;
        let item = |protocol: &str, ports: Vec<Range>| Item {
            from: from.clone(),
            to: to.clone(),
            now,
            source: source.cloned(),
            protocol: protocol.to_owned(),
            ports,
            destinations: vec![destinations],
            sources: vec![sources],
        };
        let named = [(6, "tcp", ports), (17, "udp", ports), (1, "icmp", kinds)];
        let there = named.into_iter().filter(|(number, ..)| headers.protocols.has(*number));
        let mut items: Vec<Item> = there.map(|(_, name, range)| item(name, vec![range])).collect();
        let known = Protocols::of(&[1, 6, 17]);
        let others = headers.protocols.without(known);
        if others == Protocols::ALL.without(known) {
            items.push(item(OTHERS, Vec::new()));
        } else {
            items.extend(others.numbers().map(|number| item(&number.to_string(), Vec::new())));
        }
        items
    }

    fn has_all_ports(&self) -> bool {
        let last = if self.protocol == "icmp" { 255 } else { 0xffff };
        self.ports.is_empty() || self.ports.iter().any(|range| range.covers(Range { first: 0, last }))
    }

    fn in_words(self, whole: &impl Fn(&ConnectionEnd) -> Vec<Range>) -> ReachabilityChange {
        let ports = if self.has_all_ports() { String::new() } else { listed(&self.ports, show) };
        let narrowed = |place: &ConnectionEnd, ranges: &[Range]| {
            let everything = whole(place).into_iter().all(|own| rest(own, ranges).is_empty());
            if everything { String::new() } else { listed(ranges, addresses) }
        };
        let (sources, destinations) =
            (narrowed(&self.from, &self.sources), narrowed(&self.to, &self.destinations));
        let Item { from, to, now, source, protocol, .. } = self;
        ReachabilityChange { now, from, to, protocol, ports, sources, destinations, source }
    }
}

/// Merges items that differ in one field only, and describes all of them. `whole` returns the addresses of a place.
pub(crate) fn in_words(
    items: Vec<Item>,
    whole: &impl Fn(&ConnectionEnd) -> Vec<Range>,
) -> Vec<ReachabilityChange> {
    let mut items = items;
    for field in [
        (|item: &mut Item| &mut item.ports) as fn(&mut Item) -> &mut Vec<Range>,
        |item| &mut item.sources,
        |item| &mut item.destinations,
        |item| &mut item.ports,
    ] {
        items = merged(items, field);
    }
    together(items).into_iter().map(|item| item.in_words(whole)).collect()
}

/// Unites one list of ranges of items that are alike in everything else.
fn merged(items: Vec<Item>, field: fn(&mut Item) -> &mut Vec<Range>) -> Vec<Item> {
    let mut taken: Vec<(Item, Vec<Range>)> = items
        .into_iter()
        .map(|mut item| {
            let ranges = std::mem::take(field(&mut item));
            (item, ranges)
        })
        .collect();
    taken.sort();
    let mut found: Vec<(Item, Vec<Range>)> = Vec::new();
    for (item, ranges) in taken {
        match found.last_mut().filter(|(last, _)| *last == item) {
            Some((_, known)) => known.extend(ranges),
            None => found.push((item, ranges)),
        }
    }
    let back = |(mut item, ranges): (Item, Vec<Range>)| {
        *field(&mut item) = united(ranges);
        item
    };
    found.into_iter().map(back).collect()
}

/// Replaces TCP, UDP, ICMP and all others, each with all ports, by `any`.
fn together(mut items: Vec<Item>) -> Vec<Item> {
    let key = |item: &Item| {
        let Item { from, to, now, source, destinations, sources, .. } = item.clone();
        (from, to, now, source, destinations, sources)
    };
    items.sort_by_cached_key(key);
    let mut found = Vec::new();
    for chunk in items.chunk_by(|one, other| key(one) == key(other)) {
        let whole = |name: &str| chunk.iter().any(|item| item.protocol == name && item.has_all_ports());
        match chunk.first() {
            Some(first) if [OTHERS, "tcp", "udp", "icmp"].into_iter().all(whole) => {
                found.push(Item { protocol: ANY.to_owned(), ports: Vec::new(), ..first.clone() });
            }
            _ => found.extend(chunk.iter().cloned()),
        }
    }
    found
}

fn listed(ranges: &[Range], show: fn(Range) -> String) -> String {
    let mut texts: Vec<String> = ranges.iter().take(MOST_RANGES).map(|range| show(*range)).collect();
    if ranges.len() > MOST_RANGES {
        texts.push(format!("{} more", ranges.len() - MOST_RANGES));
    }
    texts.join(", ")
}

fn show(range: Range) -> String {
    match range.is_one() {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    }
}

/// Shows addresses as a network if they are one, else as first and last.
pub(crate) fn addresses(range: Range) -> String {
    let (first, last) = (Ipv4Addr::from(range.first), Ipv4Addr::from(range.last));
    let mut networks = ipnet::Ipv4Subnets::new(first, last, 0);
    match (networks.next(), networks.next()) {
        (Some(network), None) if network.prefix_len() == 32 => first.to_string(),
        (Some(network), None) => network.to_string(),
        _ => format!("{first}-{last}"),
    }
}
