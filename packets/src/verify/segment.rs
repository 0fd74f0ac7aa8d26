//! The places of a model: bridges, and links from the provider's router.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::names::TenantName;
use midoform_compiler::topology::key::Key;
use midoform_compiler::values::MacAddress;
use uuid::Uuid;

use super::header::{Range, rest, united};

/// A bridge with what may be attached to it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) key: Key,
    /// The networks of its gateways; one in what midoform makes.
    pub(crate) networks: Vec<Ipv4Net>,
    pub(crate) gateways: Vec<(Ipv4Addr, MacAddress)>,
    /// The addresses that a pod may have.
    pub(crate) pods: Vec<Range>,
    /// Any pod.
    pub(crate) pod: Uuid,
    pub(crate) pod_mac: MacAddress,
    /// Another one.
    pub(crate) neighbour: Uuid,
    pub(crate) neighbour_mac: MacAddress,
}

/// An uplink: a link from the provider's router.
#[derive(Clone, Debug)]
pub(crate) struct Uplink {
    pub(crate) tenant: TenantName,
    /// The provider's port.
    pub(crate) provider_port: Uuid,
    /// The tenant's port.
    pub(crate) port: Uuid,
    /// The destinations that the provider routes here.
    pub(crate) destinations: Vec<Range>,
}

/// Returns the addresses that pods of these networks may have: not those of gateways, of the networks and of their broadcasts.
pub(crate) fn addresses_of_pods(networks: &[Ipv4Net], gateways: &[(Ipv4Addr, MacAddress)]) -> Vec<Range> {
    let mut taken: Vec<Range> = gateways.iter().map(|(address, _)| Range::address(*address)).collect();
    for network in networks.iter().filter(|network| network.prefix_len() < 31) {
        taken.extend([Range::address(network.network()), Range::address(network.broadcast())]);
    }
    let taken = united(taken);
    let whole = united(networks.iter().map(|network| Range::network(*network)).collect());
    whole.into_iter().flat_map(|range| rest(range, &taken)).collect()
}
