//! Static ports, port groups, and the spec's routes.

use std::net::Ipv4Addr;

use crate::midonet::lower::bridge::next_hop_name;
use crate::midonet::lower::{ANYWHERE, Lowering, Rules, frames};
use crate::network::{BridgeIndex, Port, RouteTarget};
use crate::spec::AntiSpoof;
use crate::topology::key::Key;
use crate::topology::key::view::{NextHopKey, RuleKey, network};
use crate::topology::kinds::{
    BridgePort, Condition, HostInterfacePort, NextHop, Object, PortGroup, PortGroupPort, Reference, Route,
    RuleAction,
};
use crate::values::MacAddress;
use crate::values::ethertype::IPV4;

pub(super) fn lower(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    for port in &tenant.ports {
        static_port(lowering, port);
    }
    for group in &tenant.port_groups {
        let keys = lowering.keys.port_group(&group.name);
        let key = keys.group();
        let object = PortGroup {
            name: format!("{} {}", tenant.name, group.name),
            tenant_id: tenant.tenant_id.to_string(),
            stateful: group.stateful,
        };
        lowering.add(key.clone(), Object::PortGroup(object), group.span);
        for port in group.ports.iter().filter_map(|at| tenant.port(*at)) {
            let member = PortGroupPort {
                group: (&key).into(),
                port: (&lowering.keys.port(&port.name).device()).into(),
            };
            lowering.add(keys.port(&port.name), Object::PortGroupPort(member), group.span);
        }
    }
    for route in &tenant.routes {
        let gateway_port = |at: BridgeIndex| lowering.gateway_port(at).into_iter().next();
        let next_hop = match route.target {
            RouteTarget::Blackhole => Some(NextHop::BlackHole),
            RouteTarget::Reject => Some(NextHop::Reject),
            RouteTarget::Bridge(at) => gateway_port(at).map(|port| NextHop::Port { port, gateway: None }),
            RouteTarget::Via(at, address) => {
                gateway_port(at).map(|port| NextHop::Port { port, gateway: Some(address) })
            }
        };
        let Some(next_hop) = next_hop else { continue };
        let name = next_hop_name(&route.target);
        let by = match route.target {
            RouteTarget::Bridge(at) => tenant.bridge(at).map(|bridge| NextHopKey::Bridge(&bridge.name)),
            _ => None,
        };
        let key = lowering.keys.route(route.destination, by.unwrap_or(NextHopKey::Named(&name)));
        let (router, weight) = (Reference::from(&lowering.router), route.weight);
        let object = Route { router, source: ANYWHERE, destination: route.destination, next_hop, weight };
        lowering.add(key, Object::Route(object), route.span);
    }
}

fn static_port(lowering: &mut Lowering<'_>, port: &Port) {
    let tenant = lowering.tenant;
    let Some(bridge) = tenant.bridge(port.bridge) else { return };
    let keys = lowering.keys.port(&port.name);
    let key = keys.device();
    let chain = (tenant.anti_spoof == AntiSpoof::Port).then(|| keys.chain());
    if let Some(chain) = &chain {
        own_address_only(lowering, port, chain);
    }
    let device = lowering.keys.bridge(&bridge.name).device();
    let inbound_filter = chain.as_ref().or(lowering.untagged.as_ref()).map(Reference::from);
    let object = BridgePort::new((&device).into(), inbound_filter);
    lowering.add(key.clone(), Object::BridgePort(object), port.span);
    let binding =
        HostInterfacePort { host: port.host, interface: port.interface.clone(), port: (&key).into() };
    lowering.add(keys.binding(), Object::HostInterfacePort(binding), port.span);
}

/// Adds the rules that drop packets with another source than the port's MAC and address (recorded:
/// port-and-bridge-filters). If the spec routes networks to the port, it may send from those as well.
fn own_address_only(lowering: &mut Lowering<'_>, port: &Port, chain: &Key) {
    let tenant = lowering.tenant;
    lowering.add_chain(chain, format!("{} {} in", tenant.name, port.name), port.span);
    let mut rules = Rules::new(chain);
    if let Some(untagged) = &lowering.untagged {
        let jump = frames::jump_to_untagged(untagged.into(), &tenant.name);
        rules.add(lowering, RuleKey::Layout("untagged"), Condition::default(), jump, port.span);
    }
    let [other_mac, arp, other_address] = own_address_conditions(port.address, port.mac);
    rules.add(lowering, RuleKey::Layout("mac"), other_mac, RuleAction::Drop, port.span);
    rules.add(lowering, RuleKey::Layout("arp"), arp, RuleAction::Drop, port.span);
    for route in &tenant.routes {
        if route.target == RouteTarget::Via(port.bridge, port.address) {
            let routed =
                Condition { source: Some(route.destination), ethertype: Some(IPV4), ..Condition::default() };
            rules.add(
                lowering,
                RuleKey::Routed(&network(route.destination)),
                routed,
                RuleAction::Accept,
                route.span,
            );
        }
    }
    rules.add(lowering, RuleKey::Layout("address"), other_address, RuleAction::Drop, port.span);
}

/// Returns the conditions that match what a port must not send if it is tied to a MAC address and an address: frames
/// from other MAC addresses, ARP packets that claim other addresses, and packets from other addresses.
pub(super) fn own_address_conditions(address: Ipv4Addr, mac: MacAddress) -> [Condition; 3] {
    let other_mac = Condition { source_mac: Some(mac), not_source_mac: true, ..Condition::default() };
    let other_address = Condition {
        source: Some(address.into()),
        not_source: true,
        ethertype: Some(IPV4),
        ..Condition::default()
    };
    [other_mac, frames::other_address_in_arp(address), other_address]
}
