//! The use of the provider router by others, in a northbound database.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::topology::observed::{OtherPort, OtherRoute, ProviderUse};

use super::Northbound;
use super::matching::Matching;
use super::snapshot::{FoundRow, Snapshot};
use crate::client::ClientError;
use crate::scope::Scope;

/// The tables that show the use of the provider router.
const TABLES: [Table; 3] = [Table::LogicalRouter, Table::LogicalRouterPort, Table::LogicalRouterStaticRoute];

/// Reads what others use on the provider router.
pub(crate) async fn used_by_others(
    northbound: &Northbound,
    scope: Scope<'_>,
) -> Result<ProviderUse, ClientError> {
    let snapshot = Snapshot::read_tables(northbound, TABLES).await?;
    Ok(use_of(&Matching::of(&snapshot, scope)))
}

/// Returns the ports and routes of the provider router that are not those of the scope's tenants.
pub(super) fn use_of(matching: &Matching<'_>) -> ProviderUse {
    let Some(provider) = matching.provider else { return ProviderUse::default() };
    let snapshot = matching.snapshot;
    let is_others = |row: &FoundRow<'_>| {
        let is_there = snapshot.holder(row.id).is_some_and(|(holder, ..)| holder == provider);
        is_there && !matching.is_own(*row)
    };
    let ports = || snapshot.table(Table::LogicalRouterPort);
    let by_name: BTreeMap<&str, FoundRow<'_>> =
        ports().filter_map(|port| Some((port.text("name")?, port))).collect();
    let mut found = ProviderUse::default();
    let mut inner: BTreeSet<&str> = BTreeSet::new();
    for port in ports().filter(is_others) {
        let peer = port.text("peer").and_then(|name| by_name.get(name));
        inner.extend(port.text("name").filter(|_| peer.is_some()));
        for network in networks(port) {
            let peer = peer.and_then(|peer| networks(*peer).next()).map(|peer| peer.addr());
            let (address, network) = (network.addr(), network.trunc());
            found.ports.push(OtherPort { id: port.id, address, network, peer });
        }
    }
    for route in snapshot.table(Table::LogicalRouterStaticRoute).filter(is_others) {
        let Some(destination) = route.text("ip_prefix").and_then(network_of) else { continue };
        let leads_inside = route.text("output_port").is_some_and(|port| inner.contains(port));
        found.routes.push(OtherRoute { id: route.id, destination, leads_inside });
    }
    found
}

fn networks(port: FoundRow<'_>) -> impl Iterator<Item = Ipv4Net> {
    port.texts("networks").filter_map(|network| network.parse().ok())
}

/// Returns the network of a route's destination, which may be an address alone.
fn network_of(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from))
}
