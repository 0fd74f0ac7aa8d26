//! The new connections that the spec's rules accept, read as `docs/layout.md` explains them and independent of how they
//! are lowered. The verifier compares the topology with it.

use ipnet::Ipv4Net;

use super::header::{
    DESTINATION, DESTINATION_PORT, Fragments, Headers, Protocols, Range, SOURCE, SOURCE_PORT, difference,
};
use midoform_compiler::network::{BridgeIndex, PeerIndex, Rule, Selector, Tenant};
use midoform_compiler::spec::{Action, Protocol};

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Bridge(BridgeIndex),
    Peer(PeerIndex),
    World,
}

/// Returns the headers that the rules accept from one end to the other.
pub(crate) fn allowed(tenant: &Tenant, from: End, to: End, headers: Vec<Headers>) -> Vec<Headers> {
    let inside = match (from, to) {
        (End::Bridge(from), End::Bridge(to)) => from == to,
        _ => false,
    };
    let mut left = headers;
    let mut passed = Vec::new();
    for stateful in [false, true] {
        for rule in tenant.rules.iter().filter(|rule| rule.stateful == stateful) {
            // Inside a bridge only rules that name both ends, by bridge or address, apply.
            let named = |selector: &Selector| {
                matches!(selector, Selector::Bridge(_) | Selector::Addresses(_) | Selector::Ports(_))
            };
            if inside && !(named(&rule.from) && named(&rule.to)) {
                continue;
            }
            for matched in matches(tenant, rule, from, to) {
                if rule.action == Action::Accept {
                    passed.extend(left.iter().filter_map(|own| own.common(matched)));
                }
                left = difference(left, &[matched]);
            }
        }
    }
    passed.extend(left);
    passed
}

/// Returns the headers that a rule matches between two ends.
fn matches(tenant: &Tenant, rule: &Rule, from: End, to: End) -> Vec<Headers> {
    let (sources, destinations) = (at(tenant, &rule.from, from), at(tenant, &rule.to, to));
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
