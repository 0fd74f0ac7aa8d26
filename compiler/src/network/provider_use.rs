//! The use of the provider router by others: another site, the Go plugin, an administrator. New links keep out of the way, and
//! a public address that somebody else uses is a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::names::TenantName;
use crate::network::address_ranges::{AddressRanges, block_of};
use crate::source::Spanned;
use crate::topology::key::Key;
use crate::topology::key::view::{KeyView, TenantKey, UplinkKey};
use crate::topology::kinds::row::schema::Table;
use crate::topology::kinds::{Object, Reference, Row};
use crate::topology::observed::{Observed, OtherPort, OtherRoute, ProviderUse};
use crate::topology::{Entry, Topology};

/// The addresses of the link pools that others use.
pub(crate) struct TakenLinks {
    /// The blocks of single addresses.
    blocks: AddressRanges<()>,
    /// Networks that are larger than a link. There are few.
    networks: Vec<Ipv4Net>,
}

impl TakenLinks {
    pub(crate) fn of(others: &ProviderUse, pools: &[Spanned<Ipv4Net>]) -> Self {
        let mut taken = TakenLinks { blocks: AddressRanges::default(), networks: Vec::new() };
        for port in &others.ports {
            for address in [Some(port.address), port.peer].into_iter().flatten() {
                taken.take(block_of(address));
            }
            taken.take_part_of_pool(port.network, pools);
        }
        others.routes.iter().for_each(|route| taken.take_part_of_pool(route.destination, pools));
        taken
    }

    /// Takes a network that is a part of a pool. The Go plugin's ports have the whole pool as their network.
    fn take_part_of_pool(&mut self, network: Ipv4Net, pools: &[Spanned<Ipv4Net>]) {
        let is_part = |pool: &Spanned<Ipv4Net>| pool.value != network && pool.value.contains(&network);
        match pools.iter().any(is_part) {
            true if network.prefix_len() >= 30 => self.take(block_of(network.network())),
            true => self.networks.push(network),
            false => {}
        }
    }

    fn take(&mut self, block: Ipv4Net) {
        // A block that is taken already stays so.
        let _ = self.blocks.take_network(block, ());
    }

    /// Returns true if somebody else uses a part of this network.
    pub(crate) fn overlaps(&self, network: Ipv4Net) -> bool {
        let is_within = |taken: &Ipv4Net| taken.contains(&network) || network.contains(taken);
        self.blocks.overlapping_network(network).is_some() || self.networks.iter().any(is_within)
    }
}

/// What links keep out of the way of, on the provider router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The use of the provider router by others.
    pub others: ProviderUse,
    /// The tenants whose links move although they were applied, because others use their addresses as well.
    pub moved: BTreeSet<TenantName>,
}

/// Something of a topology that somebody else uses on the provider router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConflict {
    /// The key of the object.
    pub key: Key,
    /// True for the link of a tenant, which may get other addresses.
    pub is_link: bool,
    /// The address, its place in the spec, and the other user, in words.
    pub what: String,
}

/// Returns the links and public addresses of a topology that are not on the provider router yet and that somebody else
/// uses there.
pub fn conflicts(
    desired: &Topology,
    observed: &Observed,
    provider: &Reference,
    pools: &[Spanned<Ipv4Net>],
) -> Vec<ProviderConflict> {
    let others = &observed.provider;
    if others.is_empty() {
        return Vec::new();
    }
    let taken = TakenLinks::of(others, pools);
    let is_new = |entry: &&Entry| observed.topology.get(entry.key.as_str()).is_none();
    let found = desired.entries().iter().filter(is_new).filter_map(|entry| {
        let on_router = Needed::of(desired, entry, provider)?;
        let user = match &on_router {
            Needed::Link(addresses) => {
                let is_taken = addresses.iter().any(|address| taken.overlaps(block_of(*address)));
                is_taken.then(|| "another port or route".to_owned())
            }
            Needed::Public(destination) => {
                let covers =
                    |route: &OtherRoute| route.leads_inside && route.destination.contains(destination);
                user_of(others, *destination, covers)
            }
        }?;
        let end = format!("is taken: the provider router has {user} for it");
        Some(conflict(entry, &on_router, &end))
    });
    found.collect()
}

/// Returns the links and public addresses of a topology that are on the provider router and that somebody else uses there as
/// well. Two sites that apply at the same time can't see each other before. `is_there` returns true for the objects that exist.
pub fn overlaps(
    desired: &Topology,
    is_there: impl Fn(&Key) -> bool,
    others: &ProviderUse,
    provider: &Reference,
) -> Vec<ProviderConflict> {
    if others.is_empty() {
        return Vec::new();
    }
    let mut ports: BTreeMap<Ipv4Addr, &OtherPort> = BTreeMap::new();
    for port in &others.ports {
        ports.extend([Some(port.address), port.peer].into_iter().flatten().map(|address| (address, port)));
    }
    let existing = desired.entries().iter().filter(|entry| is_there(&entry.key));
    let found = existing.filter_map(|entry| {
        let on_router = Needed::of(desired, entry, provider)?;
        let user = match &on_router {
            Needed::Link(addresses) => {
                let port = addresses.iter().find_map(|address| ports.get(address))?;
                format!("another port with {} ({})", port.address, port.id)
            }
            // A wider route of somebody else's does no harm: the more specific one is used.
            Needed::Public(destination) => user_of(others, *destination, |_| false)?,
        };
        let end = format!("is used twice: the provider router has {user} for it as well");
        Some(conflict(entry, &on_router, &end))
    });
    found.collect()
}

/// Returns the links and public addresses of a topology that were observed and that somebody else uses as well.
pub fn standing(desired: &Topology, observed: &Observed, provider: &Reference) -> Vec<ProviderConflict> {
    let is_there = |key: &Key| observed.topology.get(key.as_str()).is_some();
    overlaps(desired, is_there, &observed.provider, provider)
}

/// The addresses that an object needs on the provider router.
enum Needed {
    /// The two addresses of a tenant's link; one if its other end is not in the topology.
    Link(Vec<Ipv4Addr>),
    /// The public addresses of a tenant.
    Public(Ipv4Net),
}

impl Needed {
    /// Returns the addresses of an object; none if it is not on the provider router.
    fn of(topology: &Topology, entry: &Entry, provider: &Reference) -> Option<Needed> {
        match &entry.object {
            Object::RouterPort(port) if port.router == *provider => {
                let peer = peer_address(topology, &entry.key);
                Some(Needed::Link(std::iter::once(port.address).chain(peer).collect()))
            }
            Object::Route(route) if route.router == *provider && !is_of_link(&entry.key) => {
                Some(Needed::Public(route.destination))
            }
            Object::Row(row) if row.is_held_by(provider) => match row.table {
                Table::LogicalRouterPort => {
                    let peer = peer_address(topology, &entry.key);
                    Some(Needed::Link(row_address(row).into_iter().chain(peer).collect()))
                }
                Table::LogicalRouterStaticRoute if !is_of_link(&entry.key) => {
                    Some(Needed::Public(row.text_of("ip_prefix")?.parse().ok()?))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

fn conflict(entry: &Entry, needed: &Needed, end: &str) -> ProviderConflict {
    let place = entry.provenance.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
    let what = match needed {
        Needed::Link(addresses) => {
            let address = addresses.first().map(Ipv4Addr::to_string).unwrap_or_default();
            format!("the link address {address}")
        }
        Needed::Public(destination) => format!("the address {}", shown(*destination)),
    };
    let what = format!("{what} of tenant `{}` ({}{place}) {end}", entry.key.owner(), entry.key);
    ProviderConflict { key: entry.key.clone(), is_link: matches!(needed, Needed::Link(_)), what }
}

/// Returns what uses a destination on the provider router, in words: a route or a port inside of it, or a route that `covers` it.
/// A wide route that leads outside, or nowhere, is for whatever has no route of its own.
fn user_of(
    others: &ProviderUse,
    destination: Ipv4Net,
    covers: impl Fn(&OtherRoute) -> bool,
) -> Option<String> {
    let port = others.ports.iter().find(|port| destination.contains(&port.address));
    let is_inside = |route: &&OtherRoute| destination.contains(&route.destination) || covers(route);
    let route = others.routes.iter().find(is_inside);
    match (route, port) {
        (Some(route), _) => Some(format!("another route to {} ({})", shown(route.destination), route.id)),
        (None, Some(port)) => Some(format!("another port with {} ({})", port.address, port.id)),
        (None, None) => None,
    }
}

fn shown(network: Ipv4Net) -> String {
    if network.prefix_len() == 32 { network.addr().to_string() } else { network.to_string() }
}

/// Returns the address of the tenant's end of an uplink.
fn peer_address(topology: &Topology, provider_port: &Key) -> Option<Ipv4Addr> {
    let uplink = Key::tenant(provider_port.owner()).uplink(UplinkKey::Port);
    match &topology.get(uplink.as_str())?.object {
        Object::RouterPort(port) => Some(port.address),
        Object::Row(row) => row_address(row),
        _ => None,
    }
}

/// Returns the address of a router's port of OVN.
fn row_address(row: &Row) -> Option<Ipv4Addr> {
    let network: Ipv4Net = row.texts_of("networks").next()?.parse().ok()?;
    Some(network.addr())
}

fn is_of_link(key: &Key) -> bool {
    matches!(key.view(), KeyView::Tenant(_, TenantKey::Uplink(UplinkKey::ProviderRoute)))
}
