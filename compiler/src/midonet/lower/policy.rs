//! The spec's rules.
//!
//! Rules between bridges, peers and the world are in a chain of their own that the router's outbound chain jumps to: there
//! both ports are known. An accept is compiled to a return, so the NAT rules are still evaluated. A router never sees
//! traffic that stays inside a bridge. So a rule that names both ends, and can have both inside one bridge, is in that
//! bridge's chain as well.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::midonet::lower::egress::source_translation;
use crate::midonet::lower::{Lowering, Rules, hairpin};
use crate::network::{Bridge, BridgeIndex, PeerIndex, PortIndex, Rule, Selector, Tenant};
use crate::spec::{Action, Protocol};
use crate::topology::key::view::{ChainKey, RuleKey, network};
use crate::topology::kinds::{Condition, FragmentPolicy, Reference, RuleAction};
use crate::values::PortRange;
use crate::values::ethertype::IPV4;

/// Adds the chains that hold the rules.
pub(super) fn lower(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    for (chain, stateful) in [(ChainKey::Stateless, false), (ChainKey::Policy, true)] {
        let chosen: Vec<&Rule> = tenant.rules.iter().filter(|rule| rule.stateful == stateful).collect();
        let Some(first) = chosen.first() else { continue };
        let chain = lowering.keys.chain(chain);
        let name = if stateful { "policy" } else { "stateless" };
        lowering.add_chain(&chain, format!("{} {name}", tenant.name), first.span);
        let mut rules = Rules::new(&chain);
        for rule in chosen {
            for (part, condition) in between(lowering, rule) {
                if !stateful && rule.action == Action::Accept {
                    translated_on_the_way_out(lowering, rule, &part, &condition, &mut rules);
                }
                let action = match rule.action {
                    Action::Accept if stateful => RuleAction::Return,
                    other => verdict(other),
                };
                let name = RuleKey::Spec { rule: &rule.name, part: &part };
                rules.add(lowering, name, condition, action, rule.span);
            }
        }
    }
}

fn verdict(action: Action) -> RuleAction {
    match action {
        Action::Accept => RuleAction::Accept,
        Action::Drop => RuleAction::Drop,
        Action::Reject => RuleAction::Reject,
    }
}

/// Adds the SNAT of a stateless rule. A stateless accept ends the outbound chain, so rules of its own before it
/// translate what goes out to the world, and hairpin traffic.
fn translated_on_the_way_out(
    lowering: &mut Lowering<'_>,
    rule: &Rule,
    part: &str,
    condition: &Condition,
    rules: &mut Rules<'_>,
) {
    for (condition, action, bridge, _) in hairpin::translations(lowering, condition) {
        let name = format!("hairpin-{}", bridge.name);
        let part = if part.is_empty() { name } else { format!("{part}/{name}") };
        let name = RuleKey::Spec { rule: &rule.name, part: &part };
        rules.add(lowering, name, condition, action, rule.span);
    }
    let leaves = matches!(rule.to, Selector::Anywhere | Selector::World | Selector::Addresses(_));
    let Some(action) = source_translation(lowering).filter(|_| leaves) else { return };
    let out_ports = lowering.uplink_port();
    let condition =
        Condition { out_ports, fragments: Some(FragmentPolicy::Unfragmented), ..condition.clone() };
    let part = if part.is_empty() { "snat".to_owned() } else { format!("{part}/snat") };
    let name = RuleKey::Spec { rule: &rule.name, part: &part };
    rules.add(lowering, name, condition, action, rule.span);
}

pub(super) fn jump_to_stateless(lowering: &mut Lowering<'_>, rules: &mut Rules<'_>) {
    jump(lowering, rules, (ChainKey::Stateless, "stateless"), false);
}

pub(super) fn jump_to_policy(lowering: &mut Lowering<'_>, rules: &mut Rules<'_>) {
    jump(lowering, rules, (ChainKey::Policy, "policy"), true);
}

fn jump(
    lowering: &mut Lowering<'_>,
    rules: &mut Rules<'_>,
    (chain, name): (ChainKey<'_>, &str),
    stateful: bool,
) {
    let Some(first) = lowering.tenant.rules.iter().find(|rule| rule.stateful == stateful) else { return };
    let chain = lowering.keys.chain(chain);
    let chain_name = format!("{} {name}", lowering.tenant.name);
    let action = RuleAction::Jump { chain: (&chain).into(), chain_name };
    rules.add(lowering, RuleKey::Layout(name), Condition::default(), action, first.span);
}

/// Adds the rules by which a strict tenant accepts connections from the uplink besides those to exposed ports.
/// They follow from the spec's rules that accept from the world, or from addresses, by name. The spec's rules
/// themselves are matched in the outbound chain, in their order.
pub(super) fn inbound_rules(lowering: &mut Lowering<'_>, rules: &mut Rules<'_>) {
    for rule in &lowering.tenant.rules {
        let opens =
            rule.action == Action::Accept && matches!(rule.from, Selector::World | Selector::Addresses(_));
        let reaches_inside = !matches!(rule.to, Selector::World);
        if !opens || !reaches_inside {
            continue;
        }
        for (part, source, destination, protocol) in choices(lowering.tenant, rule) {
            let mut condition = Condition { in_ports: lowering.uplink_port(), ..Condition::default() };
            condition.source = source.networks(lowering.tenant);
            condition.destination = destination.networks(lowering.tenant);
            add_protocol(&mut condition, protocol);
            let name = RuleKey::Open { rule: &rule.name, part: &part };
            rules.add(lowering, name, condition, RuleAction::Accept, rule.span);
        }
    }
}

/// One spot of a rule's end: a selector without groups.
#[derive(Clone, Copy)]
enum Spot {
    Anywhere,
    World,
    Bridge(BridgeIndex),
    Peer(PeerIndex),
    Network(Ipv4Net),
    Port(PortIndex),
}

impl Spot {
    /// Returns the addresses of the spot if these alone say where it is.
    fn networks(self, tenant: &Tenant) -> Option<Ipv4Net> {
        match self {
            Spot::Network(network) => Some(network),
            Spot::Bridge(at) => tenant.bridge(at).map(|bridge| bridge.cidr),
            Spot::Port(at) => tenant.port(at).map(|port| port.address.into()),
            Spot::Anywhere | Spot::World | Spot::Peer(_) => None,
        }
    }

    /// Returns the part of a rule's key that distinguishes this spot from the other spots of its selector. The spec's own
    /// bridge has none, even if bridges were added for it: its rules keep their keys.
    fn part(self, tenant: &Tenant) -> Option<String> {
        match self {
            Spot::Bridge(at) => {
                let bridge = tenant.bridge(at).filter(|bridge| bridge.grown_from.is_some());
                bridge.map(|bridge| bridge.name.to_string())
            }
            other => other.networks(tenant).map(network),
        }
    }
}

fn spots(tenant: &Tenant, selector: &Selector) -> Vec<Spot> {
    match selector {
        Selector::Anywhere => vec![Spot::Anywhere],
        Selector::World => vec![Spot::World],
        Selector::Bridge(at) => tenant.with_grown(*at).map(Spot::Bridge).collect(),
        Selector::Peer(at) => vec![Spot::Peer(*at)],
        Selector::Addresses(networks) => networks.iter().copied().map(Spot::Network).collect(),
        Selector::Ports(ports) => ports.iter().copied().map(Spot::Port).collect(),
    }
}

/// Splits a rule: each of its sources with each destination and each protocol, and the part of the key that distinguishes
/// each combination.
fn choices(tenant: &Tenant, rule: &Rule) -> Vec<(String, Spot, Spot, Option<Protocol>)> {
    let (sources, destinations) = (spots(tenant, &rule.from), spots(tenant, &rule.to));
    let protocols: Vec<Option<Protocol>> = match rule.protocols.as_slice() {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    let mut found = Vec::with_capacity(sources.len() * destinations.len() * protocols.len());
    for source in &sources {
        for destination in &destinations {
            for protocol in &protocols {
                let mut parts = Vec::new();
                if let (true, Some(part)) = (sources.len() > 1, source.part(tenant)) {
                    parts.push(format!("from-{part}"));
                }
                if let (true, Some(part)) = (destinations.len() > 1, destination.part(tenant)) {
                    parts.push(format!("to-{part}"));
                }
                if let (true, Some(protocol)) = (protocols.len() > 1, protocol) {
                    parts.push(protocol_name(protocol));
                }
                found.push((parts.join("/"), *source, *destination, *protocol));
            }
        }
    }
    found
}

fn protocol_name(protocol: &Protocol) -> String {
    let range = |range: PortRange| match range.start == range.end {
        true => range.start.to_string(),
        false => format!("{}-{}", range.start, range.end),
    };
    let mut name = match protocol.number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        other => format!("protocol-{other}"),
    };
    if let Some(source) = protocol.source {
        name = format!("{name}-from-{}", range(source));
    }
    if let Some(destination) = protocol.destination {
        name = format!("{name}-{}", range(destination));
    }
    name
}

fn add_protocol(condition: &mut Condition, protocol: Option<Protocol>) {
    if let Some(protocol) = protocol {
        condition.protocol = Some(protocol.number);
        condition.source_ports = protocol.source;
        condition.destination_ports = protocol.destination;
    }
}

/// Returns the conditions of a rule in the router's outbound chain, each with the name of the rule's part that it
/// stands for.
fn between(lowering: &Lowering<'_>, rule: &Rule) -> Vec<(String, Condition)> {
    let port_of = |spot: Spot| -> Vec<Reference> {
        match spot {
            Spot::World => lowering.uplink_port(),
            Spot::Bridge(at) => lowering.gateway_port(at),
            Spot::Port(at) => {
                lowering.tenant.port(at).map(|p| lowering.gateway_port(p.bridge)).unwrap_or_default()
            }
            Spot::Peer(at) => {
                let peer = lowering.tenant.peer(at);
                let key = peer.map(|peer| lowering.keys.peer(&peer.name).port());
                key.map(Reference::Key).into_iter().collect()
            }
            Spot::Anywhere | Spot::Network(_) => Vec::new(),
        }
    };
    let address_of = |spot: Spot| match spot {
        Spot::Network(_) | Spot::Port(_) => spot.networks(lowering.tenant),
        _ => None,
    };
    let one = |(part, source, destination, protocol): (String, Spot, Spot, Option<Protocol>)| {
        let mut condition = Condition {
            in_ports: port_of(source),
            out_ports: port_of(destination),
            source: address_of(source),
            destination: address_of(destination),
            ..Condition::default()
        };
        add_protocol(&mut condition, protocol);
        (part, condition)
    };
    choices(lowering.tenant, rule).into_iter().map(one).collect()
}

/// The rules that match traffic inside a bridge, as places in the tenant's list, by bridge.
pub(super) type RulesInside = BTreeMap<BridgeIndex, Vec<usize>>;

/// Finds the rules that match traffic inside each bridge.
pub(super) fn find_rules_inside(tenant: &Tenant) -> RulesInside {
    let mut by_start: BTreeMap<Ipv4Addr, BridgeIndex> = BTreeMap::new();
    for (at, bridge) in tenant.indexed_bridges() {
        by_start.insert(bridge.cidr.network(), at);
    }
    let mut found = RulesInside::new();
    for (place, rule) in tenant.rules.iter().enumerate() {
        let (from, to) = (Extent::of(tenant, &rule.from), Extent::of(tenant, &rule.to));
        let bridges = match (from, to) {
            (Extent::None, _) | (_, Extent::None) => continue,
            (Extent::Bridges(bridges), _) | (_, Extent::Bridges(bridges)) => bridges,
            (Extent::Networks(networks), Extent::Networks(_)) => {
                with_addresses_in(tenant, &by_start, networks)
            }
        };
        for at in bridges.into_iter().filter(|at| !inside(tenant, rule, *at).is_empty()) {
            found.entry(at).or_default().push(place);
        }
    }
    found
}

/// The bridges that one end of a rule may be in.
enum Extent<'t> {
    /// None: the end is no place in a bridge by name.
    None,
    Bridges(BTreeSet<BridgeIndex>),
    Networks(&'t [Ipv4Net]),
}

impl<'t> Extent<'t> {
    fn of(tenant: &Tenant, selector: &'t Selector) -> Extent<'t> {
        match selector {
            Selector::Anywhere | Selector::World | Selector::Peer(_) => Extent::None,
            Selector::Bridge(at) => Extent::Bridges(tenant.with_grown(*at).collect()),
            Selector::Addresses(networks) => Extent::Networks(networks),
            Selector::Ports(ports) => {
                let bridges = ports.iter().filter_map(|at| tenant.port(*at)).map(|port| port.bridge);
                // A static port's address is in its bridge's network, and in no other's.
                Extent::Bridges(bridges.collect())
            }
        }
    }
}

/// Returns the bridges whose networks have some of these addresses.
fn with_addresses_in(
    tenant: &Tenant,
    by_start: &BTreeMap<Ipv4Addr, BridgeIndex>,
    networks: &[Ipv4Net],
) -> BTreeSet<BridgeIndex> {
    let mut found = BTreeSet::new();
    for network in networks {
        found.extend(by_start.range(network.network()..=network.broadcast()).map(|(_, at)| *at));
        let before = by_start.range(..=network.network()).next_back().map(|(_, at)| *at);
        let around = |at: &BridgeIndex| {
            tenant.bridge(*at).is_some_and(|bridge| bridge.cidr.contains(&network.network()))
        };
        found.extend(before.filter(around));
    }
    found
}

/// Returns the conditions of a rule for traffic inside one bridge, each with the name of the rule's part that it
/// stands for. There are none unless the rule names both ends.
fn inside(tenant: &Tenant, rule: &Rule, at: BridgeIndex) -> Vec<(String, Condition)> {
    let Some(bridge) = tenant.bridge(at) else { return Vec::new() };
    let inside = |spot: Spot| match spot {
        Spot::Bridge(of) => (of == at).then_some(bridge.cidr),
        Spot::Port(_) | Spot::Network(_) => {
            spot.networks(tenant).and_then(|network| common(network, bridge.cidr))
        }
        Spot::Anywhere | Spot::World | Spot::Peer(_) => None,
    };
    let one = |(part, source, destination, protocol): (String, Spot, Spot, Option<Protocol>)| {
        let mut condition = Condition {
            source: Some(inside(source)?),
            destination: Some(inside(destination)?),
            ethertype: Some(IPV4),
            ..Condition::default()
        };
        add_protocol(&mut condition, protocol);
        Some((part, condition))
    };
    choices(tenant, rule).into_iter().filter_map(one).collect()
}

fn common(one: Ipv4Net, other: Ipv4Net) -> Option<Ipv4Net> {
    if one.contains(&other) {
        return Some(other);
    }
    other.contains(&one).then_some(one)
}

/// Adds the rules of a bridge's chain: stateless rules, then the one that accepts return traffic, then the others.
pub(super) fn rules_inside(
    lowering: &mut Lowering<'_>,
    at: BridgeIndex,
    bridge: &Bridge,
    rules: &mut Rules<'_>,
) {
    let tenant = lowering.tenant;
    let places = lowering.rules_inside.get(&at).cloned().unwrap_or_default();
    let here: Vec<&Rule> = places.into_iter().filter_map(|place| tenant.rules.get(place)).collect();
    for stateful in [false, true] {
        let mut asked = false;
        for rule in here.iter().filter(|rule| rule.stateful == stateful) {
            for (part, condition) in inside(tenant, rule, at) {
                if stateful && !asked {
                    asked = true;
                    let answers =
                        Condition { return_flow: true, ethertype: Some(IPV4), ..Condition::default() };
                    rules.add(lowering, RuleKey::Layout("answers"), answers, RuleAction::Accept, bridge.span);
                }
                let name = RuleKey::Inside { rule: &rule.name, part: &part };
                rules.add(lowering, name, condition, verdict(rule.action), rule.span);
            }
        }
    }
}
