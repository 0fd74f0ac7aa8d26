//! Conflicts between tenants: networks of the site, link addresses, public addresses, interfaces, and peers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use uuid::Uuid;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::network::address_ranges::AddressRanges;
use crate::network::{Bridge, Tenant};
use crate::source::Span;
use crate::spec;
use crate::spec::Egress;

pub(super) fn check(
    site: &spec::Site,
    specs: &[spec::Tenant],
    tenants: &[Tenant],
    diagnostics: &mut Diagnostics,
) {
    links(tenants, diagnostics);
    if !site.pools.shared {
        networks(tenants, Code::OverlappingTenants, |_| true, diagnostics);
    } else {
        networks(tenants, Code::OverlappingUntranslated, |tenant| tenant.egress == Egress::None, diagnostics);
    }
    public_addresses(site, tenants, diagnostics);
    interfaces(tenants, diagnostics);
    peers(specs, diagnostics);
    peer_networks(tenants, diagnostics);
}

fn links(tenants: &[Tenant], diagnostics: &mut Diagnostics) {
    let mut taken: BTreeMap<Ipv4Addr, &Tenant> = BTreeMap::new();
    for tenant in tenants {
        for address in [tenant.link.far, tenant.link.near] {
            let Some(first) = taken.insert(address, tenant).filter(|first| first.name != tenant.name) else {
                continue;
            };
            let message =
                format!("`{}` and `{}` have the same link address {address}", first.name, tenant.name);
            let diagnostic = Diagnostic::error(Code::DuplicateLink, tenant.span, message)
                .also(first.span, "the other tenant");
            let help = "pin another pair; if nothing is pinned, run `midoform lock --repair`";
            diagnostics.push(diagnostic.help(help));
        }
    }
}

/// Checks that networks of two tenants do not overlap: all of them, or with a shared pool only those that the
/// provider router has a route to.
fn networks(
    tenants: &[Tenant],
    code: Code,
    concerned: impl Fn(&Tenant) -> bool,
    diagnostics: &mut Diagnostics,
) {
    let mut taken: AddressRanges<(&Tenant, Span)> = AddressRanges::default();
    for tenant in tenants.iter().filter(|tenant| concerned(tenant)) {
        for bridge in tenant.bridges.iter().filter(|bridge| bridge.has_usable_network()) {
            let Err((first, span)) = taken.take_network(bridge.cidr, (tenant, bridge.span)) else {
                continue;
            };
            if first.name == tenant.name {
                continue;
            }
            let message = format!(
                "the network {} of `{}/{}` overlaps one of `{}`",
                bridge.cidr, tenant.name, bridge.name, first.name
            );
            let help = match code {
                Code::OverlappingTenants => {
                    "choose another, or let tenants share networks with `[pools] shared = true`"
                }
                _ => {
                    "without `egress = \"snat\"` the provider router routes to it, so it has to be the tenant's alone"
                }
            };
            let diagnostic = Diagnostic::error(code, bridge.span, message).also(*span, "the other bridge");
            diagnostics.push(diagnostic.help(help));
        }
    }
}

/// Checks the public addresses: exposed ones and those of `egress = { snat = … }`. The provider router has one route
/// for each, so an address belongs to one tenant.
fn public_addresses(site: &spec::Site, tenants: &[Tenant], diagnostics: &mut Diagnostics) {
    let mut owners: AddressRanges<(&Tenant, Span)> = AddressRanges::default();
    let mut ports: BTreeMap<(Ipv4Addr, u16, u8), Span> = BTreeMap::new();
    for tenant in tenants {
        let mut own: BTreeSet<Ipv4Addr> = BTreeSet::new();
        let networks = networks_of(tenant);
        if let Egress::SnatTo(first, last) = tenant.egress {
            own.extend((u32::from(first)..=u32::from(last)).map(Ipv4Addr::from));
            if let Err((other, span)) = owners.take(first, last, (tenant, tenant.egress_span)) {
                diagnostics.push(two_owners(
                    tenant,
                    tenant.egress_span,
                    other,
                    *span,
                    &format!("{first}-{last}"),
                ));
            }
            public_in_pool(site, &networks, first, tenant.egress_span, diagnostics);
        }
        for expose in &tenant.exposes {
            let end = (expose.public, expose.public_port, expose.protocol);
            let shown = format!("{}:{}/{}", expose.public, expose.public_port, expose.protocol_name());
            if let Some(first) = ports.insert(end, expose.span) {
                let message = format!("the public port {shown} is exposed twice");
                let diagnostic =
                    Diagnostic::error(Code::DuplicateExpose, expose.span, message).also(first, "the first");
                diagnostics.push(diagnostic.help("choose another public port or another public address"));
                continue;
            }
            public_in_pool(site, &networks, expose.public, expose.span, diagnostics);
            if own.insert(expose.public)
                && let Err((other, span)) = owners.take(expose.public, expose.public, (tenant, expose.span))
            {
                diagnostics.push(two_owners(tenant, expose.span, other, *span, &expose.public.to_string()));
            }
        }
    }
}

fn two_owners(tenant: &Tenant, span: Span, other: &Tenant, other_span: Span, address: &str) -> Diagnostic {
    let message = format!("the public address {address} of `{}` belongs to `{}`", tenant.name, other.name);
    let help = "the provider router can route an address to one tenant only: choose another one";
    Diagnostic::error(Code::PublicAddressTaken, span, message).also(other_span, "the other tenant").help(help)
}

/// Returns the networks of a tenant that has public addresses.
fn networks_of(tenant: &Tenant) -> AddressRanges<&Bridge> {
    let mut networks = AddressRanges::default();
    let is_public = matches!(tenant.egress, Egress::SnatTo(..)) || !tenant.exposes.is_empty();
    for bridge in tenant.bridges.iter().filter(|bridge| is_public && bridge.has_usable_network()) {
        let _ = networks.take_network(bridge.cidr, bridge);
    }
    networks
}

fn public_in_pool(
    site: &spec::Site,
    networks: &AddressRanges<&Bridge>,
    address: Ipv4Addr,
    span: Span,
    diagnostics: &mut Diagnostics,
) {
    let mut inside = site.pools.links.iter().map(|pool| pool.value);
    let bridge = networks.overlapping(address, address);
    if let Some(pool) = inside.find(|pool| pool.contains(&address)) {
        let message = format!("the public address {address} lies in the link pool {pool}");
        let help = "choose an address that is routed to the provider router";
        diagnostics.push(Diagnostic::error(Code::PublicAddressInside, span, message).help(help));
    } else if let Some(bridge) = bridge {
        let message =
            format!("the public address {address} lies in the tenant's own bridge `{}`", bridge.name);
        let diagnostic =
            Diagnostic::error(Code::PublicAddressInside, span, message).also(bridge.span, "the bridge");
        diagnostics.push(diagnostic.help("choose an address that is routed to the provider router"));
    }
}

fn interfaces(tenants: &[Tenant], diagnostics: &mut Diagnostics) {
    let mut taken: BTreeMap<(Uuid, &str), Span> = BTreeMap::new();
    for port in tenants.iter().flat_map(|tenant| &tenant.ports) {
        if let Some(first) = taken.insert((port.host, &port.interface), port.span) {
            let message = format!("the interface `{}` of host {} is bound twice", port.interface, port.host);
            let diagnostic =
                Diagnostic::error(Code::DuplicateInterface, port.span, message).also(first, "the first port");
            diagnostics.push(diagnostic.help("an interface carries one port: name another one"));
        }
    }
}

/// Checks that both sides of a peering name each other. A chain of one-sided peerings that comes back to its
/// beginning is reported as a cycle.
fn peers(specs: &[spec::Tenant], diagnostics: &mut Diagnostics) {
    let by_name: BTreeMap<&str, &spec::Tenant> =
        specs.iter().map(|spec| (spec.name.value.as_str(), spec)).collect();
    for spec in specs {
        for peer in &spec.peers {
            let (name, other) = (&spec.name.value, &peer.tenant.value);
            if name == other {
                let message = format!("`{name}` can't be its own peer");
                diagnostics.push(
                    Diagnostic::error(Code::PeerSelf, peer.tenant.span, message).help("name another tenant"),
                );
                continue;
            }
            let Some(there) = by_name.get(other.as_str()) else {
                let message = format!("there is no tenant `{other}`");
                let help = match crate::spec::parse::nearest(
                    other,
                    by_name.keys().copied().filter(|known| *known != name.as_str()),
                ) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => "name the folder with all tenant files, so that both sides are read".to_owned(),
                };
                diagnostics.push(Diagnostic::error(Code::UnknownPeer, peer.tenant.span, message).help(help));
                continue;
            };
            if there.peers.iter().any(|peer| peer.tenant.value == *name) {
                continue;
            }
            let cycle = cycle_through(name, other, &by_name);
            diagnostics.push(match cycle {
                Some(cycle) => Diagnostic::error(Code::PeerCycle, peer.tenant.span, format!("peers in a circle: {cycle}"))
                    .also(there.name.span, "the next one")
                    .help("each tenant names the next, and no tenant names the one before: both sides of a peering must name each other"),
                None => Diagnostic::error(Code::PeerUnanswered, peer.tenant.span, format!("`{other}` does not name `{name}` as its peer"))
                    .also(there.name.span, "this tenant has to name it")
                    .help(format!("add `[[peer]]` with `tenant = \"{name}\"` to it, or remove this peer")),
            });
        }
    }
}

/// Returns the tenants that `from` names and that don't name it.
fn one_sided<'a>(from: &'a spec::Tenant, by_name: &BTreeMap<&'a str, &'a spec::Tenant>) -> Vec<&'a str> {
    let named = from.peers.iter().map(|peer| peer.tenant.value.as_str());
    let names_back = |to: &str| {
        by_name
            .get(to)
            .is_some_and(|other| other.peers.iter().any(|peer| peer.tenant.value == from.name.value))
    };
    named.filter(|to| *to != from.name.value.as_str() && !names_back(to)).collect()
}

/// Returns the shortest one-sided way from `to` back to `from`, as `from → to → … → from`.
fn cycle_through<'a>(
    from: &'a str,
    to: &'a str,
    by_name: &BTreeMap<&'a str, &'a spec::Tenant>,
) -> Option<String> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([to]);
    while let Some(at) = queue.pop_front() {
        if at == from {
            let mut way = vec![from];
            let mut step = from;
            while let Some(previous) = came_from.get(step) {
                way.push(previous);
                step = previous;
                if step == to {
                    break;
                }
            }
            way.push(from);
            way.reverse();
            return Some(way.join(" → "));
        }
        for next in by_name.get(at).map(|tenant| one_sided(tenant, by_name)).unwrap_or_default() {
            if next != to && !came_from.contains_key(next) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

/// Checks that the networks that one router reaches do not overlap: peers route to each other's networks.
fn peer_networks(tenants: &[Tenant], diagnostics: &mut Diagnostics) {
    for tenant in tenants.iter().filter(|tenant| !tenant.peers.is_empty()) {
        let mut reached: AddressRanges<(String, Span)> = AddressRanges::default();
        for bridge in tenant.bridges.iter().filter(|bridge| bridge.has_usable_network()) {
            let _ =
                reached.take_network(bridge.cidr, (format!("its own bridge `{}`", bridge.name), bridge.span));
        }
        for peer in &tenant.peers {
            for network in &peer.networks {
                let owner = (format!("peer `{}`", peer.name), peer.span);
                if let Err((other, span)) = reached.take_network(*network, owner) {
                    diagnostics.push(overlapping_peer(tenant, &peer.name, *network, other, peer.span, *span));
                }
            }
        }
    }
}

fn overlapping_peer(
    tenant: &Tenant,
    peer: &str,
    network: Ipv4Net,
    other: &str,
    span: Span,
    also: Span,
) -> Diagnostic {
    let message = format!("`{}` can't peer with `{peer}`: {network} overlaps {other}", tenant.name);
    let help = "choose bridges with `bridges = […]` whose networks differ, or pin other networks";
    Diagnostic::error(Code::OverlappingPeers, span, message).also(also, "overlaps this").help(help)
}
