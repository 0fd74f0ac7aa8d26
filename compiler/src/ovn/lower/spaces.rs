//! The addresses of the places that rules name: a switch knows a packet's ends by nothing else.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::network::{BridgeIndex, Route, RouteTarget, Tenant};
use crate::ovn::networks::AddressSpace;

/// The addresses that are behind each bridge, and outside.
pub(super) struct Spaces {
    /// By bridge: its network, and the networks that the spec routes through it.
    bridges: Vec<AddressSpace>,
    /// All bridges together.
    pub(super) inside: AddressSpace,
    /// The networks of the peers that may be reached.
    pub(super) peers: AddressSpace,
}

impl Spaces {
    pub(super) fn of(tenant: &Tenant) -> Spaces {
        let mut bridges: Vec<AddressSpace> =
            tenant.bridges.iter().map(|bridge| [bridge.cidr].into_iter().collect()).collect();
        let own: AddressSpace = tenant.bridges.iter().map(|bridge| bridge.cidr).collect();
        let peers: AddressSpace =
            tenant.peers.iter().flat_map(|peer| peer.networks.iter().copied()).collect();
        for route in effective_routes(tenant) {
            if let RouteTarget::Via(at, _) = route.target
                && let Some(space) = bridges.get_mut(at.0)
            {
                *space = space.with(&routed(tenant, route).without(&own).without(&peers));
            }
        }
        let inside = bridges.iter().fold(own, |all, space| all.with(space));
        Spaces { bridges, inside, peers }
    }

    /// Returns the addresses that are behind a bridge.
    pub(super) fn of_bridge(&self, at: BridgeIndex) -> AddressSpace {
        self.bridges.get(at.0).cloned().unwrap_or_default()
    }

    /// Returns the addresses that are behind these bridges.
    pub(super) fn of_bridges(&self, bridges: impl Iterator<Item = BridgeIndex>) -> AddressSpace {
        bridges.fold(AddressSpace::default(), |all, at| all.with(&self.of_bridge(at)))
    }

    /// Returns the addresses behind the uplink or behind a peer.
    pub(super) fn outside(&self) -> AddressSpace {
        self.inside.complement()
    }

    /// Returns the addresses behind the uplink.
    pub(super) fn world(&self) -> AddressSpace {
        self.inside.with(&self.peers).complement()
    }
}

/// Returns the routes of the spec that are used: of several to one destination only those with the lowest weight, which must not
/// be higher than that of the uplink's own route.
pub(super) fn effective_routes(tenant: &Tenant) -> impl Iterator<Item = &Route> {
    let mut lowest: BTreeMap<Ipv4Net, u32> = BTreeMap::new();
    for route in &tenant.routes {
        let weight = lowest.entry(route.destination).or_insert(route.weight);
        *weight = (*weight).min(route.weight);
    }
    let own = tenant.own_route_weight();
    tenant.routes.iter().filter(move |route| {
        let is_lowest = lowest.get(&route.destination) == Some(&route.weight);
        is_lowest && (route.destination.prefix_len() > 0 || route.weight <= own)
    })
}

/// Returns true if the uplink's default route is used.
pub(super) fn uplink_is_used(tenant: &Tenant) -> bool {
    let own = tenant.own_route_weight();
    !tenant.routes.iter().any(|route| route.destination.prefix_len() == 0 && route.weight < own)
}

/// Returns the destinations of a route that no narrower route of the tenant has.
pub(super) fn routed(tenant: &Tenant, route: &Route) -> AddressSpace {
    let narrower = effective_routes(tenant).filter(|other| {
        other.destination != route.destination && route.destination.contains(&other.destination)
    });
    let narrower: AddressSpace = narrower.map(|other| other.destination).collect();
    [route.destination].into_iter().collect::<AddressSpace>().without(&narrower)
}
