//! The spec's rules.

use std::collections::BTreeSet;

use super::acl::{List, Verdict};
use super::keys::Direction;
use super::{Lowering, priority, protocol};
use crate::network::{BridgeIndex, Expose, Rule, Selector, Tenant};
use crate::ovn::expression::Expression;
use crate::ovn::expression::build::{Addresses, End, Transport, Way};
use crate::ovn::networks::AddressSpace;
use crate::spec::{Action, Egress};
use crate::values::PortRange;

/// Adds the ACLs of the spec's rules to one list of a switch.
pub(super) fn lower(lowering: &mut Lowering<'_>, list: &List) {
    let tenant = lowering.tenant;
    for (place, rule) in tenant.rules.iter().enumerate() {
        match list.direction {
            Direction::FromPort => outward(lowering, list, place, rule),
            Direction::ToPort => {
                inward(lowering, list, place, rule);
                inside(lowering, list, place, rule);
            }
        }
    }
    if list.direction == Direction::ToPort && lowering.strict() && tenant.egress == Egress::None {
        close_to_the_world(lowering, list);
    }
}

/// Returns the priority of a rule.
fn priority_of(place: usize, rule: &Rule) -> i64 {
    let band = if rule.stateful { priority::STATEFUL } else { priority::STATELESS };
    priority::of_rule(band, place)
}

/// Returns true if ACLs see the packets that a rule is about. A stateless rule that drops is a policy of the router.
fn is_for_acls(rule: &Rule) -> bool {
    rule.stateful || rule.action == Action::Accept
}

/// Adds a rule for packets that leave a bridge for the world or a peer. What goes to another bridge of the tenant is the matter of
/// that bridge's switch.
fn outward(lowering: &mut Lowering<'_>, list: &List, place: usize, rule: &Rule) {
    if !is_for_acls(rule) {
        return;
    }
    let Some(from) = source_here(lowering, list.bridge, rule) else { return };
    let Some(to) = destination_outside(lowering, rule) else { return };
    let Some(to_gateway) = lowering.to_gateway(list.bridge) else { return };
    let expression = Expression::all([to_gateway, from, to]);
    add(lowering, list, "rule", (priority_of(place, rule), rule), &expression);
}

/// Adds a rule for packets that the router sends into a bridge.
fn inward(lowering: &mut Lowering<'_>, list: &List, place: usize, rule: &Rule) {
    if !is_for_acls(rule) {
        return;
    }
    let Some(to) = destination_here(lowering, list.bridge, rule) else { return };
    let is_closed = lowering.strict() && lowering.tenant.egress == Egress::None;
    let from = match rule.from {
        // What the world sends is decided by the ACLs that close the bridge to it, which would come too late here.
        Selector::Anywhere if is_closed && !rule.stateful => source_in_reach(lowering),
        _ => source(lowering, rule),
    };
    let Some(from) = from else { return };
    let Some(from_gateway) = lowering.out_of_gateway(list.bridge) else { return };
    let expression = Expression::all([from_gateway, from, to]);
    add(lowering, list, "rule", (priority_of(place, rule), rule), &expression);
}

/// Adds a rule for packets inside one bridge, if it names both ends and both can be in it. Its addresses tell these packets: what
/// has both ends in the bridge and comes by the router meets the same rule there.
fn inside(lowering: &mut Lowering<'_>, list: &List, place: usize, rule: &Rule) {
    let ends = ends_inside(lowering.tenant, list.bridge, rule);
    let Some((from, to)) = ends else { return };
    let name = lowering.tenant.bridge(list.bridge).map_or("", |bridge| &bridge.name).to_owned();
    let set = |end: &str| format!("rule/{}/inside/{name}/{end}", rule.name);
    let Some(from) = lowering.addresses(set("from"), &from, rule.span) else { return };
    let Some(to) = lowering.addresses(set("to"), &to, rule.span) else { return };
    let ends = [Expression::address(End::Source, &from), Expression::address(End::Destination, &to)];
    add(lowering, list, "inside", (priority_of(place, rule), rule), &Expression::all(ends));
}

fn add(
    lowering: &mut Lowering<'_>,
    list: &List,
    kind: &str,
    (priority, rule): (i64, &Rule),
    ends: &Expression,
) {
    for (part, protocols) in protocol::parts(&rule.protocols) {
        let name = format!("{kind}/{}{part}", rule.name);
        let expression = Expression::all([Expression::ip4(), ends.clone(), protocols]);
        let verdict = (priority, Verdict::from(rule.action));
        list.add_named(lowering, &name, Some(&rule.name), verdict, &expression, rule.span);
    }
}

/// Returns the source of a rule's packets; none if no packet has it.
fn source(lowering: &mut Lowering<'_>, rule: &Rule) -> Option<Expression> {
    let set = format!("rule/{}/from", rule.name);
    let addresses = match &rule.from {
        Selector::Anywhere => return Some(Expression::everything()),
        Selector::World => lowering.world(),
        Selector::Bridge(at) => {
            let space = lowering.spaces.of_bridges(lowering.tenant.with_grown(*at));
            lowering.addresses(set, &space, rule.span)
        }
        Selector::Peer(at) => {
            let peer = lowering.tenant.peer(*at)?;
            lowering.addresses(set, &peer.networks.iter().copied().collect(), rule.span)
        }
        Selector::Addresses(networks) => lowering.named(set, networks, rule.span),
        Selector::Ports(ports) => lowering.of_ports(set, ports, rule.span),
    };
    addresses.map(|addresses| Expression::address(End::Source, &addresses))
}

/// Returns the expression of packets that don't come from the world.
fn source_in_reach(lowering: &mut Lowering<'_>) -> Option<Expression> {
    let known = lowering.spaces.world().complement();
    let addresses = lowering.addresses("in-reach", &known, lowering.tenant.span)?;
    Some(Expression::address(End::Source, &addresses))
}

/// Returns the source of a rule's packets that come from a bridge; none if it has none of these packets.
fn source_here(lowering: &mut Lowering<'_>, at: BridgeIndex, rule: &Rule) -> Option<Expression> {
    let tenant = lowering.tenant;
    let here = lowering.spaces.of_bridge(at);
    let can_be = match &rule.from {
        Selector::Anywhere => true,
        Selector::World | Selector::Peer(_) => false,
        Selector::Bridge(of) => {
            return tenant.with_grown(*of).any(|of| of == at).then(Expression::everything);
        }
        Selector::Addresses(networks) => networks.iter().copied().collect::<AddressSpace>().overlaps(&here),
        Selector::Ports(ports) => {
            ports.iter().filter_map(|port| tenant.port(*port)).any(|port| port.bridge == at)
        }
    };
    if can_be { source(lowering, rule) } else { None }
}

/// Returns the destination of a rule's packets into a bridge; none if the rule has none of these packets.
fn destination_here(lowering: &mut Lowering<'_>, at: BridgeIndex, rule: &Rule) -> Option<Expression> {
    let tenant = lowering.tenant;
    let set = format!("rule/{}/to", rule.name);
    let addresses = match &rule.to {
        Selector::Anywhere => return Some(Expression::everything()),
        Selector::World | Selector::Peer(_) => return None,
        Selector::Bridge(of) => {
            return tenant.with_grown(*of).any(|of| of == at).then(Expression::everything);
        }
        Selector::Addresses(networks) => {
            let here = lowering.spaces.of_bridge(at);
            let overlaps = networks.iter().copied().collect::<AddressSpace>().overlaps(&here);
            overlaps.then(|| lowering.named(set, networks, rule.span)).flatten()
        }
        Selector::Ports(ports) => {
            let is_here = ports.iter().filter_map(|port| tenant.port(*port)).any(|port| port.bridge == at);
            is_here.then(|| lowering.of_ports(set, ports, rule.span)).flatten()
        }
    };
    addresses.map(|addresses| Expression::address(End::Destination, &addresses))
}

/// Returns the destination of a rule's packets to the world and to peers; none if the rule has none of these packets.
fn destination_outside(lowering: &mut Lowering<'_>, rule: &Rule) -> Option<Expression> {
    let set = format!("rule/{}/to", rule.name);
    let addresses = match &rule.to {
        Selector::Anywhere => lowering.outside(),
        Selector::World => lowering.world(),
        Selector::Bridge(_) | Selector::Ports(_) => None,
        Selector::Peer(at) => {
            let peer = lowering.tenant.peer(*at)?;
            lowering.addresses(set, &peer.networks.iter().copied().collect(), rule.span)
        }
        Selector::Addresses(networks) => {
            let named: AddressSpace = networks.iter().copied().collect();
            match named.overlaps(&lowering.spaces.inside) {
                true => {
                    let outside = named.without(&lowering.spaces.inside);
                    lowering.addresses(format!("{set}/outside"), &outside, rule.span)
                }
                false => lowering.named(set, networks, rule.span),
            }
        }
    };
    addresses.map(|addresses| Expression::address(End::Destination, &addresses))
}

/// Returns the parts of both ends of a rule that are in a bridge; none unless the rule names both, and both are in it.
fn ends_inside(tenant: &Tenant, at: BridgeIndex, rule: &Rule) -> Option<(AddressSpace, AddressSpace)> {
    let network: AddressSpace = [tenant.bridge(at)?.cidr].into_iter().collect();
    let end = |selector: &Selector| -> Option<AddressSpace> {
        let space = match selector {
            Selector::Anywhere | Selector::World | Selector::Peer(_) => return None,
            Selector::Bridge(of) => {
                return tenant.with_grown(*of).any(|of| of == at).then(|| network.clone());
            }
            Selector::Addresses(networks) => networks.iter().copied().collect::<AddressSpace>(),
            Selector::Ports(ports) => {
                let ports = ports.iter().filter_map(|port| tenant.port(*port));
                ports.map(|port| port.address.into()).collect::<AddressSpace>()
            }
        };
        Some(space.common(&network)).filter(|space| !space.is_empty())
    };
    Some((end(&rule.from)?, end(&rule.to)?))
}

/// Returns the ends of a rule inside a bridge, in which it is about packets that no router sees; none if there are none.
pub(in crate::ovn) fn is_inside_a_bridge(
    tenant: &Tenant,
    rule: &Rule,
) -> Option<(AddressSpace, AddressSpace)> {
    tenant.indexed_bridges().find_map(|(at, _)| ends_inside(tenant, at, rule))
}

/// Closes a bridge to the world, but for exposed ports and for what a rule accepts from the world or from addresses by name. Source
/// NAT would do that (`outside.rs`). Without it, replies to the tenant's own connections come with the same addresses as new
/// connections, so that only a switch, which tracks connections, can tell them apart. As these ACLs decide about all packets from the
/// world, the spec's rules come first among them.
fn close_to_the_world(lowering: &mut Lowering<'_>, list: &List) {
    let tenant = lowering.tenant;
    let Some(from_gateway) = lowering.out_of_gateway(list.bridge) else { return };
    let Some(world) = lowering.world() else { return };
    let from_world = Expression::all([from_gateway, Expression::address(End::Source, &world)]);
    let exposes = tenant.exposes.iter().filter(|expose| expose.bridge == list.bridge);
    let exposed: Vec<Expression> = exposes.map(exposed_target).collect();
    let mut openings = exposed.clone();
    let mut decisions = Vec::new();
    for (place, rule) in tenant.rules.iter().enumerate().filter(|(_, rule)| is_for_acls(rule)) {
        let Some(to) = destination_here(lowering, list.bridge, rule) else { continue };
        let Some(from) = world_of(lowering, rule) else { continue };
        let opens = rule.action == Action::Accept && rule.from != Selector::Anywhere;
        for (part, protocols) in protocol::parts(&rule.protocols) {
            let condition = Expression::all([from.clone(), to.clone(), protocols]);
            if opens {
                openings.push(condition.clone());
            }
            decisions.push((place, rule, part, condition, opens));
        }
    }
    for (place, rule, part, condition, opens) in decisions {
        // A rule that accepts from anywhere opens nothing by itself.
        let limited = match rule.action == Action::Accept && !opens {
            true if openings.is_empty() => continue,
            true => Expression::any(openings.iter().cloned()),
            false => Expression::everything(),
        };
        let expression = Expression::all([Expression::ip4(), from_world.clone(), condition, limited]);
        let verdict = (priority::of_rule(priority::FROM_OUTSIDE, place), Verdict::from(rule.action));
        let name = format!("world/{}{part}", rule.name);
        list.add_named(lowering, &name, Some(&rule.name), verdict, &expression, rule.span);
    }
    let span = tenant.egress_span;
    if !exposed.is_empty() {
        let expression = Expression::all([Expression::ip4(), from_world.clone(), Expression::any(exposed)]);
        list.add(lowering, "exposed", (priority::EXPOSED, Verdict::Accept), &expression, span);
    }
    let expression = Expression::all([Expression::ip4(), from_world]);
    list.add(lowering, "closed", (priority::CLOSED, Verdict::Drop), &expression, span);
}

fn exposed_target(expose: &Expose) -> Expression {
    let transport = if expose.protocol == 17 { Transport::Udp } else { Transport::Tcp };
    let port = PortRange { start: expose.target_port, end: expose.target_port };
    let to = Expression::address(End::Destination, &Addresses::one(expose.address));
    Expression::all([to, Expression::transport(transport, End::Destination, &[port])])
}

/// Returns the part of a rule's sources that is in the world; none if it is empty.
fn world_of(lowering: &mut Lowering<'_>, rule: &Rule) -> Option<Expression> {
    match &rule.from {
        Selector::Anywhere | Selector::World => Some(Expression::everything()),
        Selector::Bridge(_) | Selector::Peer(_) | Selector::Ports(_) => None,
        Selector::Addresses(networks) => {
            let space = networks.iter().copied().collect::<AddressSpace>().common(&lowering.spaces.world());
            let set = format!("rule/{}/from/world", rule.name);
            let addresses = lowering.addresses(set, &space, rule.span)?;
            Some(Expression::address(End::Source, &addresses))
        }
    }
}

/// Adds the policies of the stateless rules, in their order. A policy sees return traffic as well, and the ports of the router.
pub(super) fn lower_policies(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    for (place, rule) in tenant.rules.iter().enumerate().filter(|(_, rule)| !rule.stateful) {
        let ends = [(Way::In, End::Source, &rule.from), (Way::Out, End::Destination, &rule.to)];
        let ends: Option<Vec<Expression>> = ends
            .into_iter()
            .map(|(way, end, selector)| end_of_policy(lowering, rule, way, end, selector))
            .collect();
        let Some(ends) = ends else { continue };
        let action = if rule.action == Action::Accept { "allow" } else { "drop" };
        for (part, protocols) in protocol::parts(&rule.protocols) {
            let ends = Expression::all(ends.iter().cloned());
            let expression = Expression::all([Expression::ip4(), ends, protocols]);
            let name = format!("rule/{}{part}", rule.name);
            let priority = priority::of_rule(priority::STATELESS, place);
            lowering.policy(&name, priority, action, &expression, rule.span);
        }
    }
}

/// Returns one end of a stateless rule, by the router's port and by addresses; none if no packet has it.
fn end_of_policy(
    lowering: &mut Lowering<'_>,
    rule: &Rule,
    way: Way,
    end: End,
    selector: &Selector,
) -> Option<Expression> {
    let tenant = lowering.tenant;
    let gateways = |lowering: &Lowering<'_>, bridges: BTreeSet<BridgeIndex>| {
        let ports = bridges.into_iter().filter_map(|at| lowering.gateway_port(at));
        Expression::port(way, ports.map(|port| lowering.name(&port)).collect::<Vec<_>>())
    };
    let set = format!("rule/{}/{}", rule.name, if end == End::Source { "from" } else { "to" });
    Some(match selector {
        Selector::Anywhere => Expression::everything(),
        Selector::World => Expression::port(way, [lowering.name(&lowering.uplink)]),
        Selector::Bridge(at) => gateways(lowering, tenant.with_grown(*at).collect()),
        Selector::Peer(at) => {
            let port = lowering.keys.peer(&tenant.peer(*at)?.name).port();
            Expression::port(way, [lowering.name(&port)])
        }
        Selector::Addresses(networks) => Expression::address(end, &lowering.named(set, networks, rule.span)?),
        Selector::Ports(ports) => {
            let addresses = lowering.of_ports(set, ports, rule.span)?;
            let bridges = ports.iter().filter_map(|port| tenant.port(*port)).map(|port| port.bridge);
            let by_port = gateways(lowering, bridges.collect());
            Expression::all([by_port, Expression::address(end, &addresses)])
        }
    })
}
