//! Peerings whose other tenant does not exist: the CNI plugin compiles only existing tenants.
//!
//! Such a peering waits. The rules and assertions that name it have no effect until the peer exists.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::TenantName;
use crate::spec::{Endpoint, Selector, Tenant};

/// The names of the peers of each tenant, by the tenant's name.
pub type PeersOf = BTreeMap<TenantName, BTreeSet<TenantName>>;

/// Returns the names of the peers of these tenants.
pub(crate) fn peers_of(specs: &[Tenant]) -> PeersOf {
    let named = |spec: &Tenant| spec.peers.iter().map(|peer| peer.tenant.value.clone()).collect();
    specs.iter().map(|spec| (spec.name.value.clone(), named(spec))).collect()
}

/// Returns the specs without the peers that are not among them or that don't name the tenant back, and without the
/// rules and assertions that are about these.
pub(crate) fn keep_answered_peers(mut specs: Vec<Tenant>) -> Vec<Tenant> {
    let peers = peers_of(&specs);
    for spec in &mut specs {
        let name = &spec.name.value;
        let answers =
            |other: &TenantName| other == name || peers.get(other).is_some_and(|named| named.contains(name));
        let named = spec.peers.iter().map(|peer| peer.tenant.value.clone());
        let awaited: BTreeSet<TenantName> = named.filter(|peer| !answers(peer)).collect();
        let is_about = |end: &Endpoint| match end.selector.as_ref().map(|selector| &selector.value) {
            Some(Selector::Peer(peer)) => awaited.contains(peer),
            _ => false,
        };
        spec.peers.retain(|peer| !awaited.contains(&peer.tenant.value));
        spec.rules.retain(|rule| !is_about(&rule.from) && !is_about(&rule.to));
        spec.asserts.retain(|assert| !is_about(&assert.from) && !is_about(&assert.to));
    }
    specs
}
