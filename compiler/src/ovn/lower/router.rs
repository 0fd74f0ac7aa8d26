//! The tenant's router: its link to the provider router, its default route, its source NAT, and the spec's routes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::spaces::{effective_routes, uplink_is_used};
use super::{ANYWHERE, Lowering, gateway, keys, router_port, static_route};
use crate::network::{Link, RouteTarget};
use crate::spec::Egress;
use crate::topology::key::Key;
use crate::topology::key::view::{NextHopKey, UplinkKey, network};
use crate::topology::kinds::Row;
use crate::topology::kinds::row::schema::Table;

pub(super) fn lower(lowering: &mut Lowering<'_>) {
    let (tenant, span) = (lowering.tenant, lowering.tenant.span);
    let balancers = tenant.exposes.iter().map(|expose| super::expose::key(lowering, expose));
    let row = Row::new(Table::LogicalRouter)
        .text("name", lowering.name(&lowering.router))
        .references("load_balancer", balancers.map(|key| (&key).into()).collect::<Vec<_>>());
    lowering.add(lowering.router.clone(), row, span);
    uplink(lowering);
    translations(lowering);
    routes(lowering);
}

/// Adds the two ports of the link, and the routes by it. OVN needs no switch between them.
fn uplink(lowering: &mut Lowering<'_>) {
    let (tenant, span) = (lowering.tenant, lowering.tenant.span);
    let link = tenant.link;
    let (near, far) = (lowering.uplink.clone(), lowering.provider_port.clone());
    let (near_name, far_name) = (lowering.name(&near), lowering.name(&far));
    let port = |lowering: &Lowering<'_>, key: &Key, address: Ipv4Addr, peer: &str| {
        router_port(lowering.name(key), lowering.engine.mac(key), on_link(link, address)).text("peer", peer)
    };
    let row = port(lowering, &near, link.near, &far_name);
    lowering.add_to(lowering.in_router("ports"), near.clone(), row, span);
    let row = port(lowering, &far, link.far, &near_name);
    lowering.add_to(lowering.in_provider("ports"), far, row, span);
    // A tenant's connections are translated there.
    let engine = lowering.engine;
    lowering.entries.extend(gateway::chassis(engine, &near, span));
    if uplink_is_used(tenant) {
        let row = static_route(ANYWHERE, link.far, Some(near_name));
        let key = lowering.keys.uplink(UplinkKey::DefaultRoute);
        lowering.add_to(lowering.in_router("static_routes"), key, row, span);
    }
    if !is_apart(link) {
        let row = static_route(link.near.into(), link.near, Some(far_name));
        let key = lowering.keys.uplink(UplinkKey::ProviderRoute);
        lowering.add_to(lowering.in_provider("static_routes"), key, row, span);
    }
}

/// Returns true if the link's network is of this link alone. In `rainbond` all links may be in one network: there each end of
/// a link is a network of its own, and both routers have routes to the other end.
fn is_apart(link: Link) -> bool {
    link.network.prefix_len() >= 30
}

/// Returns the address of one end of a link, with the length of its network.
pub(super) fn on_link(link: Link, address: Ipv4Addr) -> Ipv4Net {
    let length = if is_apart(link) { link.network.prefix_len() } else { 32 };
    Ipv4Net::new(address, length).unwrap_or_else(|_| address.into())
}

/// Adds source NAT for the networks of the bridges, and for those that the spec routes through them. A row for every other source would
/// translate the replies of exposed ports as well: their source is a public address when it comes to source NAT.
fn translations(lowering: &mut Lowering<'_>) {
    let (tenant, span) = (lowering.tenant, lowering.tenant.egress_span);
    let (first, last) = match tenant.egress {
        Egress::None => return,
        Egress::SnatToLink => (tenant.link.near, tenant.link.near),
        Egress::SnatTo(first, last) => (first, last),
    };
    let own = tenant.bridges.iter().map(|bridge| bridge.cidr);
    let routed = effective_routes(tenant).filter(|route| matches!(route.target, RouteTarget::Via(..)));
    let mut networks: Vec<Ipv4Net> = own.chain(routed.map(|route| route.destination)).collect();
    networks.sort_unstable();
    networks.dedup();
    for (part, address) in networks.into_iter().flat_map(|network| shared_out(network, first, last)) {
        let row = Row::new(Table::Nat)
            .text("type", "snat")
            .text("external_ip", address.to_string())
            .text("logical_ip", part.to_string());
        let key = keys::nat(&lowering.router, network(part));
        lowering.add_to(lowering.in_router("nat"), key, row, span);
    }
}

/// Shares a network out among a range of addresses: OVN translates a source to one address, so each part of the network has one.
fn shared_out(network: Ipv4Net, first: Ipv4Addr, last: Ipv4Addr) -> Vec<(Ipv4Net, Ipv4Addr)> {
    let (start, count) =
        (u32::from(first), u32::from(last).saturating_sub(u32::from(first)).saturating_add(1));
    let bits = u8::try_from(count.next_power_of_two().trailing_zeros()).unwrap_or_default();
    let length = network.prefix_len().saturating_add(bits).min(32);
    let parts = network.subnets(length).into_iter().flatten();
    let addresses = (0..count).map(|offset| Ipv4Addr::from(start.saturating_add(offset)));
    parts.zip(addresses.cycle()).collect()
}

/// Adds the routes of the spec. Those that reject are an ACL as well (`bridge.rs`).
fn routes(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    for route in effective_routes(tenant) {
        let (row, name) = match route.target {
            RouteTarget::Blackhole => {
                (static_route(route.destination, "discard", None), "blackhole".to_owned())
            }
            RouteTarget::Reject => (static_route(route.destination, "discard", None), "reject".to_owned()),
            RouteTarget::Via(at, address) => {
                let Some(port) = lowering.gateway_port(at) else { continue };
                let row = static_route(route.destination, address, Some(lowering.name(&port)));
                (row, format!("via-{address}"))
            }
            // `ovn::check` refuses it.
            RouteTarget::Bridge(_) => continue,
        };
        let key = lowering.keys.route(route.destination, NextHopKey::Named(&name));
        lowering.add_to(lowering.in_router("static_routes"), key, row, route.span);
    }
}
