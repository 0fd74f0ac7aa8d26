//! The use of the provider router by others: another site, the Go plugin, an administrator. New links keep out of the way, and
//! a public address that somebody else uses is a conflict.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::network::address_ranges::{AddressRanges, block_of};
use crate::source::Spanned;
use crate::topology::key::Key;
use crate::topology::key::view::{KeyView, TenantKey, UplinkKey};
use crate::topology::kinds::{Object, Reference};
use crate::topology::observed::{Observed, ProviderUse};
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

/// Something of a topology that somebody else uses on the provider router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConflict {
    /// The key of the object that can't be made.
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
    if others.ports.is_empty() && others.routes.is_empty() {
        return Vec::new();
    }
    let taken = TakenLinks::of(others, pools);
    let is_new = |entry: &&Entry| observed.topology.get(entry.key.as_str()).is_none();
    let found = desired.entries().iter().filter(is_new).filter_map(|entry| match &entry.object {
        Object::RouterPort(port) if port.router == *provider => {
            let peer = peer_address(desired, &entry.key);
            let blocks = [Some(port.address), peer].into_iter().flatten().map(block_of);
            let is_taken = blocks.into_iter().any(|block| taken.overlaps(block));
            is_taken.then(|| {
                conflict(entry, true, format!("the link address {}", port.address), "another port or route")
            })
        }
        Object::Route(route) if route.router == *provider && !is_of_link(&entry.key) => {
            let user = user_of(others, route.destination)?;
            Some(conflict(entry, false, format!("the address {}", shown(route.destination)), &user))
        }
        _ => None,
    });
    found.collect()
}

fn conflict(entry: &Entry, is_link: bool, what: String, user: &str) -> ProviderConflict {
    let place = entry.provenance.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
    let what = format!(
        "{what} of tenant `{}` ({}{place}) is taken: the provider router has {user} for it",
        entry.key.owner(),
        entry.key
    );
    ProviderConflict { key: entry.key.clone(), is_link, what }
}

/// Returns what uses a destination on the provider router, in words. A route that covers it counts if it leads to another
/// router: one that leads outside, or nowhere, is for whatever has no route of its own.
fn user_of(others: &ProviderUse, destination: Ipv4Net) -> Option<String> {
    let port = others.ports.iter().find(|port| destination.contains(&port.address));
    let route = others.routes.iter().find(|route| {
        let covers = route.leads_inside && route.destination.contains(&destination);
        destination.contains(&route.destination) || covers
    });
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
        _ => None,
    }
}

fn is_of_link(key: &Key) -> bool {
    matches!(key.view(), KeyView::Tenant(_, TenantKey::Uplink(UplinkKey::ProviderRoute)))
}
