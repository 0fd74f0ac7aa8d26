//! A bridge: a switch, its gateway on the tenant's router, and the ACLs of the layout.

use super::acl::{List, Verdict};
use super::keys::Direction;
use super::site::switch_port_of_router;
use super::spaces::{effective_routes, routed};
use super::{Lowering, priority, router_port, rule, static_route};
use crate::network::{Bridge, BridgeIndex, RouteTarget};
use crate::ovn::expression::Expression;
use crate::ovn::expression::build::{End, Way};
use crate::spec::Egress;
use crate::topology::key::view::network;
use crate::topology::kinds::Row;
use crate::topology::kinds::row::Holder;
use crate::topology::kinds::row::schema::Table;
use crate::values::ethertype::{ARP, IPV4, VLAN};
use ipnet::Ipv4Net;

pub(super) fn lower(lowering: &mut Lowering<'_>, at: BridgeIndex, bridge: &Bridge) {
    let (tenant, span) = (lowering.tenant, bridge.span);
    let keys = lowering.keys.bridge(&bridge.name);
    let balancers: Vec<_> =
        tenant.exposes.iter().map(|expose| (&super::expose::key(lowering, expose)).into()).collect();
    let mut row = Row::new(Table::LogicalSwitch)
        .text("name", lowering.name(&keys.device()))
        .references("load_balancer", balancers);
    // OVN itself drops frames with a tag.
    if !lowering.strict() || tenant.ethertypes.contains(&VLAN) {
        row = row.map("other_config", [("vlan-passthru", "true".to_owned())]);
    }
    lowering.add(keys.device(), row, span);
    gateway(lowering, bridge);
    if tenant.egress == Egress::None {
        let port = Some(lowering.name(&lowering.provider_port));
        let row = static_route(bridge.cidr, tenant.link.near, port);
        lowering.add_to(lowering.in_provider("static_routes"), keys.provider_route(), row, span);
    }
    acls(lowering, at, bridge);
}

fn gateway(lowering: &mut Lowering<'_>, bridge: &Bridge) {
    let (keys, span) = (lowering.keys.bridge(&bridge.name), bridge.span);
    let (port, peer) = (keys.gateway_port(), keys.gateway_peer());
    let address = Ipv4Net::new(bridge.gateway, bridge.cidr.prefix_len());
    let address = address.unwrap_or_else(|_| bridge.gateway.into());
    // A larger packet to a pod gets an ICMP error, which tells the sender the MTU.
    let row = router_port(lowering.name(&port), lowering.engine.mac(&port), address)
        .map("options", [("gateway_mtu", lowering.tenant.mtu.to_string())]);
    let row_of_peer = switch_port_of_router(lowering.name(&peer), lowering.name(&port));
    lowering.add_to(lowering.in_router("ports"), port, row, span);
    let holder = Holder { row: (&keys.device()).into(), table: Table::LogicalSwitch, column: "ports" };
    lowering.add_to(holder, peer, row_of_peer, span);
}

/// Adds the ACLs of a switch. One without rules needs no connection tracking.
fn acls(lowering: &mut Lowering<'_>, at: BridgeIndex, bridge: &Bridge) {
    let lists = [Direction::FromPort, Direction::ToPort].map(|to| List::of(lowering, at, to));
    let [Some(from), Some(to)] = lists else { return };
    let peer = lowering.name(&lowering.keys.bridge(&bridge.name).gateway_peer());
    // Packets of the router's port are not tracked here: no other ACL may see them.
    let router = |lowering: &mut Lowering<'_>, list: &List, way| {
        let by_port = Expression::port(way, [peer.clone()]);
        list.add(lowering, "router", (priority::ROUTER, Verdict::AcceptUntracked), &by_port, bridge.span);
    };
    if lowering.checks_sources() {
        let claims = Expression::arp_claims(bridge.gateway);
        from.add(lowering, "gateway-arp", (priority::GATEWAY_ARP, Verdict::Drop), &claims, bridge.span);
        router(lowering, &from, Way::In);
    }
    let before = lowering.entries.len();
    let behind = from.behind_balancing(lowering);
    if lowering.strict() {
        links(lowering, &behind, bridge);
        ethertypes(lowering, &from, bridge);
    }
    rejecting_routes(lowering, &behind);
    rule::lower(lowering, &behind);
    rule::lower(lowering, &to);
    if lowering.entries.len() == before {
        return;
    }
    if !lowering.checks_sources() {
        router(lowering, &from, Way::In);
    }
    router(lowering, &to, Way::Out);
    // Everything else is tracked, so that replies pass.
    for list in [&from, &to] {
        let all = (priority::ANSWERS, Verdict::Accept);
        list.add(lowering, "answers", all, &Expression::ip4(), bridge.span);
    }
}

/// Adds the ACLs about EtherTypes: IPv4, ARP and those of the spec pass.
fn ethertypes(lowering: &mut Lowering<'_>, from: &List, bridge: &Bridge) {
    let named = lowering.tenant.ethertypes.iter().copied();
    let passing = [ARP].into_iter().chain(named.filter(|kind| ![ARP, IPV4, VLAN].contains(kind)));
    let passing = Expression::ethertypes(passing);
    from.add(lowering, "ethertypes", (priority::ETHERTYPES, Verdict::Accept), &passing, bridge.span);
    let others = (priority::OTHERS, Verdict::Drop);
    from.add(lowering, "closed", others, &Expression::everything(), bridge.span);
}

/// Adds the ACL that drops new connections to link addresses.
fn links(lowering: &mut Lowering<'_>, list: &List, bridge: &Bridge) {
    let pools = lowering.engine.site.pools.links.iter().map(|pool| pool.value).collect();
    let Some(pools) = lowering.addresses("links", &pools, lowering.tenant.span) else { return };
    let Some(to_gateway) = lowering.to_gateway(list.bridge) else { return };
    let expression = Expression::all([to_gateway, Expression::address(End::Destination, &pools)]);
    list.add(lowering, "links", (priority::LINKS, Verdict::Drop), &expression, bridge.span);
}

/// Adds an ACL for each route that rejects: OVN's routes only drop.
fn rejecting_routes(lowering: &mut Lowering<'_>, list: &List) {
    let tenant = lowering.tenant;
    let Some(to_gateway) = lowering.to_gateway(list.bridge) else { return };
    for route in effective_routes(tenant).filter(|route| route.target == RouteTarget::Reject) {
        let others = lowering.spaces.inside.with(&lowering.spaces.peers);
        let destinations = routed(tenant, route).without(&others);
        let name = format!("route/{}", network(route.destination));
        let Some(destinations) = lowering.addresses(&name, &destinations, route.span) else { continue };
        let to = Expression::address(End::Destination, &destinations);
        let expression = Expression::all([to_gateway.clone(), to]);
        list.add(lowering, &name, (priority::ROUTES, Verdict::Reject), &expression, route.span);
    }
}
