//! Addresses inside one tenant.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::network::address_ranges::AddressRanges;
use crate::network::{Bridge, BridgeIndex, Expose, RouteTarget, Tenant};
use crate::source::{Span, Spanned};
use crate::spec;
use crate::spec::{Profile, special_addresses};
use crate::values::MacAddress;

pub(super) fn check(site: &spec::Site, tenant: &Tenant, diagnostics: &mut Diagnostics) {
    networks(site, tenant, diagnostics);
    link(site, tenant, diagnostics);
    ports(tenant, diagnostics);
    for expose in &tenant.exposes {
        if let Some(bridge) = tenant.bridge(expose.bridge) {
            exposed_address(bridge, expose, diagnostics);
        }
    }
    routes(tenant, diagnostics);
}

/// An exposed address is a pod's: it is in the bridge's network, and not the gateway's.
fn exposed_address(bridge: &Bridge, expose: &Expose, diagnostics: &mut Diagnostics) {
    if !bridge.has_usable_network() {
        return;
    }
    host_address(bridge, expose.address, expose.span, "the exposed pod's address", diagnostics);
    if expose.address == bridge.gateway {
        let message = format!(
            "the exposed pod's address {} is the gateway of `{}`: the tenant's router has it, and no pod",
            expose.address, bridge.name
        );
        let diagnostic =
            Diagnostic::error(Code::DuplicateAddress, expose.span, message).also(bridge.span, "the bridge");
        diagnostics.push(diagnostic.help("name the address of a pod, or of a static port"));
    }
}

fn networks(site: &spec::Site, tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let mut taken: AddressRanges<&Bridge> = AddressRanges::default();
    for bridge in &tenant.bridges {
        size_and_kind(bridge, diagnostics);
        // One mistake is one error: what depends on a wrong network is not checked.
        if !bridge.has_usable_network() {
            continue;
        }
        if let Err(first) = taken.take_network(bridge.cidr, bridge) {
            let message = format!(
                "the networks of `{}` ({}) and `{}` ({}) overlap",
                first.name, first.cidr, bridge.name, bridge.cidr
            );
            let diagnostic = Diagnostic::error(Code::OverlappingNetworks, bridge.span, message);
            diagnostics.push(
                diagnostic
                    .also(first.span, "the other bridge")
                    .help("use a network of its own for each bridge"),
            );
        }
        for pool in &site.pools.links {
            if pool.value.contains(&bridge.cidr) || bridge.cidr.contains(&pool.value) {
                let message =
                    format!("the network {} of `{}` overlaps the link pool", bridge.cidr, bridge.name);
                let diagnostic = Diagnostic::error(Code::OverlapsLinkPool, bridge.span, message);
                diagnostics
                    .push(diagnostic.also(pool.span, "the pool").help("choose a network outside of it"));
            }
        }
        host_address(bridge, bridge.gateway, bridge.span, "the gateway", diagnostics);
    }
}

fn size_and_kind(bridge: &Bridge, diagnostics: &mut Diagnostics) {
    if !bridge.is_sound {
        return;
    }
    let length = bridge.cidr.prefix_len();
    if length > 30 {
        let message = format!(
            "{} is too small for a bridge: it has an address for a gateway and none for a pod",
            bridge.cidr
        );
        diagnostics
            .push(Diagnostic::error(Code::CidrTooSmall, bridge.span, message).help("use a /30 or wider"));
    }
    if length < 8 {
        let message = format!("{} is too large for a bridge", bridge.cidr);
        diagnostics
            .push(Diagnostic::error(Code::CidrTooLarge, bridge.span, message).help("use a /8 or narrower"));
    }
    if let Some(name) = special_addresses::range_of(bridge.cidr).filter(|_| length >= 8) {
        let message = format!("{} is {name}: no pod can have an address there", bridge.cidr);
        diagnostics.push(
            Diagnostic::error(Code::UnusableNetwork, bridge.span, message).help("use a private network"),
        );
    }
}

/// Checks that a pod or a gateway can have an address on a bridge: it is in the bridge's network, and it is neither
/// the network's own address nor its broadcast address.
fn host_address(bridge: &Bridge, address: Ipv4Addr, span: Span, what: &str, diagnostics: &mut Diagnostics) {
    if !bridge.has_usable_network() {
        return;
    }
    let problem = if !bridge.cidr.contains(&address) {
        (
            Code::OutsideNetwork,
            format!("{what} {address} is outside of the network {} of `{}`", bridge.cidr, bridge.name),
        )
    } else if bridge.cidr.prefix_len() < 31 && address == bridge.cidr.network() {
        (Code::NetworkAddress, format!("{what} {address} is the network's own address of {}", bridge.cidr))
    } else if bridge.cidr.prefix_len() < 31 && address == bridge.cidr.broadcast() {
        (Code::BroadcastAddress, format!("{what} {address} is the broadcast address of {}", bridge.cidr))
    } else {
        return;
    };
    let mut hosts = bridge.cidr.hosts();
    let help = match (hosts.next(), hosts.next_back()) {
        (Some(first), Some(last)) => format!("use one from {first} to {last}"),
        _ => "use another network".to_owned(),
    };
    let diagnostic = Diagnostic::error(problem.0, span, problem.1);
    let diagnostic =
        if span == bridge.span { diagnostic } else { diagnostic.also(bridge.span, "the bridge") };
    diagnostics.push(diagnostic.help(help));
}

/// Checks that a name server in a network of the tenant's own has an address that a host can have.
pub(super) fn name_servers(tenant: &Tenant, servers: &[Spanned<Ipv4Addr>], diagnostics: &mut Diagnostics) {
    for server in servers {
        let bridge = tenant.bridges.iter().find(|bridge| bridge.cidr.contains(&server.value));
        if let Some(bridge) = bridge {
            host_address(bridge, server.value, server.span, "the name server", diagnostics);
        }
    }
}

fn link(site: &spec::Site, tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let link = &tenant.link;
    let pool = site
        .pools
        .links
        .iter()
        .find(|pool| pool.value.contains(&link.far) && pool.value.contains(&link.near));
    let Some(pool) = pool else {
        let message =
            format!("the link addresses {} and {} are in none of the site's pools", link.far, link.near);
        let help = "choose both from one network of `[pools] links`, or add a network there";
        diagnostics.push(Diagnostic::error(Code::LinkOutsidePool, tenant.span, message).help(help));
        return;
    };
    let usable = |address: Ipv4Addr, network: Ipv4Net| {
        network.contains(&address) && address != network.network() && address != network.broadcast()
    };
    let fits = link.far != link.near && usable(link.far, link.network) && usable(link.near, link.network);
    if !fits {
        let message = match tenant.profile {
            Profile::Rainbond => {
                format!("{} and {} can't both be hosts of {}", link.far, link.near, pool.value)
            }
            Profile::Strict => format!("{} and {} are not the two hosts of one /30", link.far, link.near),
        };
        let help = "pin, for example, 172.16.0.5 and 172.16.0.6: the second and third address of a /30";
        diagnostics.push(Diagnostic::error(Code::BadLink, tenant.span, message).help(help));
    }
}

fn ports(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let mut addresses: BTreeMap<Ipv4Addr, Span> = BTreeMap::new();
    let mut macs: BTreeMap<(BridgeIndex, MacAddress), Span> = BTreeMap::new();
    let mut used: BTreeMap<BridgeIndex, u64> = BTreeMap::new();
    for bridge in tenant.bridges.iter().filter(|bridge| bridge.has_usable_network()) {
        addresses.insert(bridge.gateway, bridge.span);
    }
    for port in &tenant.ports {
        let Some(bridge) = tenant.bridge(port.bridge) else { continue };
        *used.entry(port.bridge).or_default() += 1;
        host_address(bridge, port.address, port.span, "the port's address", diagnostics);
        if let Some(first) = addresses.insert(port.address, port.span) {
            let message = format!("the address {} of port `{}` is taken", port.address, port.name);
            let diagnostic =
                Diagnostic::error(Code::DuplicateAddress, port.span, message).also(first, "here");
            diagnostics.push(diagnostic.help("use another address for the port"));
        }
        if let Some(first) = macs.insert((port.bridge, port.mac), port.span) {
            let message = format!(
                "the MAC {} of port `{}` is on bridge `{}` already",
                port.mac, port.name, bridge.name
            );
            let diagnostic = Diagnostic::error(Code::DuplicateMac, port.span, message).also(first, "here");
            diagnostics.push(diagnostic.help("use another MAC for the port"));
        }
    }
    for (at, bridge) in tenant.indexed_bridges().filter(|(_, bridge)| bridge.has_usable_network()) {
        let length = bridge.cidr.prefix_len();
        let hosts = if length > 30 { 0 } else { (1u64 << (32 - length)) - 2 };
        let taken = 1 + used.get(&at).copied().unwrap_or(0);
        if hosts > 0 && taken >= hosts {
            let message =
                format!("bridge `{}` ({}) has no free address left for a pod", bridge.name, bridge.cidr);
            diagnostics.push(
                Diagnostic::warning(Code::BridgeFull, bridge.span, message).help("use a wider network"),
            );
        }
    }
}

fn routes(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let mut bridges: BTreeMap<Ipv4Net, &Bridge> = BTreeMap::new();
    for bridge in tenant.bridges.iter().filter(|bridge| bridge.has_usable_network()) {
        bridges.entry(bridge.cidr).or_insert(bridge);
    }
    let mut seen: BTreeMap<(Ipv4Net, RouteTarget), Span> = BTreeMap::new();
    let mut weights: BTreeMap<(Ipv4Net, u32), Span> = BTreeMap::new();
    for route in &tenant.routes {
        if let Some(first) = seen.insert((route.destination, route.target), route.span) {
            let message = format!("two routes to {} have the same target", route.destination);
            let diagnostic =
                Diagnostic::error(Code::DuplicateRoute, route.span, message).also(first, "the first");
            diagnostics.push(diagnostic.help("remove one of them"));
        } else if let Some(first) = weights.insert((route.destination, route.weight), route.span) {
            let message = format!(
                "two routes to {} have the same weight: flows are shared between them",
                route.destination
            );
            let diagnostic =
                Diagnostic::warning(Code::EqualRoutes, route.span, message).also(first, "the other");
            diagnostics.push(diagnostic.help("use a higher weight for the route that should not be used"));
        }
        if let Some(bridge) = bridges.get(&route.destination) {
            let message = format!(
                "{} is the network of bridge `{}`: the router has this route already",
                route.destination, bridge.name
            );
            let diagnostic =
                Diagnostic::error(Code::RouteToBridge, route.span, message).also(bridge.span, "the bridge");
            diagnostics.push(diagnostic.help("remove the route, or make its destination narrower"));
        }
        if let RouteTarget::Via(at, address) = route.target {
            let Some(bridge) = tenant.bridge(at) else { continue };
            host_address(bridge, address, route.span, "the next hop", diagnostics);
            if address == bridge.gateway && bridge.has_usable_network() {
                let message =
                    format!("the next hop {address} is the tenant's own gateway on `{}`", bridge.name);
                diagnostics.push(
                    Diagnostic::error(Code::NextHopSelf, route.span, message).help("name another router"),
                );
            }
        }
        let uplink = tenant.own_route_weight();
        let own_default = route.destination.prefix_len() == 0 && route.weight == uplink;
        if own_default {
            let message =
                "this default route has the same weight as the uplink's: flows are shared between them";
            let help = format!(
                "use a weight below {uplink} to prefer this route, above {uplink} to keep it as a backup"
            );
            diagnostics.push(Diagnostic::warning(Code::EqualRoutes, route.span, message).help(help));
        }
    }
}
