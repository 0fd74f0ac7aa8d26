//! Compiles a network to rows of OVN's northbound database. There is one file for each part of the layout.
//!
//! ```text
//!   external network ── localnet port (the physical network)
//!          │
//!     provider router
//!          │ uplink/provider-port
//!          │ uplink/port: a distributed gateway port, on one of the gateway chassis
//!     tenant router ── peer/NAME/port (linked to the other tenant's router)
//!       │        │     policies: the outside, stateless rules, peers
//!       │        │     nat, load balancers, static routes
//!   bridge/A/gateway-port   bridge/B/gateway-port
//!   bridge/A/gateway-peer   bridge/B/gateway-peer
//!    switch A                switch B ── port/NAME, pods (port security)
//!                            ACLs: the spec's rules
//! ```
//!
//! A rule is where OVN can match it. A rule about packets into a bridge is an ACL in the direction `to-lport` of that bridge's switch,
//! behind the translation of exposed ports. A rule about packets to the outside or to a peer is an ACL in the direction `from-lport` of
//! the source's switch, before source NAT. A stateless rule that drops is a policy of the router, which sees return traffic as well. A
//! switch does not know by which of the router's ports a packet has come, so rules tell their ends by addresses, which port security
//! vouches for.

mod acl;
mod bridge;
mod expose;
mod gateway;
mod keys;
mod outside;
mod peer;
pub mod pod;
mod port;
mod priority;
mod protocol;
mod router;
mod rule;
mod security;
mod sets;
mod site;
mod spaces;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::expression::Expression;
use super::expression::build::{Addresses, End};
use super::names;
use crate::network::{BridgeIndex, Tenant};
use crate::source::{Locations, Span};
use crate::spec;
use crate::spec::{AntiSpoof, OvnSettings, Profile};
use crate::topology::key::builder::TenantKeys;
use crate::topology::key::view::UplinkKey;
use crate::topology::key::{Key, Namespace};
use crate::topology::kinds::row::schema::Table;
use crate::topology::kinds::row::{Holder, KEY_OF_ROW, SITE_OF_ROW};
use crate::topology::kinds::{Reference, Row};
use crate::topology::{Entry, Topology};
use crate::values::MacAddress;
use spaces::Spaces;

pub use priority::MOST_RULES;
pub(super) use rule::is_inside_a_bridge;

/// Every address.
const ANYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// Compiles a site and its tenants to the desired rows. There are none if the site has no `[ovn]`.
pub fn lower(site: &spec::Site, tenants: &[Tenant], locations: &Locations<'_>) -> Topology {
    let Some(ovn) = &site.ovn else { return Topology::default() };
    let mut entries = Vec::new();
    let all = tenants.iter().map(|tenant| (tenant.name.as_str(), tenant)).collect();
    let engine = Engine {
        site,
        site_name: site.name.value.as_str().into(),
        ovn,
        locations,
        namespace: Namespace::of_site(&site.name.value),
        provider: provider_router(ovn),
        tenants: all,
    };
    site::lower(&engine, &mut entries);
    for tenant in tenants {
        let start = entries.len();
        let mut lowering = Lowering::new(&engine, tenant, &mut entries);
        router::lower(&mut lowering);
        outside::lower(&mut lowering);
        for (at, bridge) in tenant.indexed_bridges() {
            bridge::lower(&mut lowering, at, bridge);
        }
        port::lower(&mut lowering);
        expose::lower(&mut lowering);
        peer::lower(&mut lowering);
        rule::lower_policies(&mut lowering);
        // Tenants come by name. The few entries of each tenant are sorted here, so little is left to sort for the whole.
        if let Some(own) = entries.get_mut(start..) {
            own.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    Topology::new(entries)
}

/// Returns the router that leads outside: an existing one, or the one that midoform makes.
pub fn provider_router(ovn: &OvnSettings) -> Reference {
    match &ovn.provider_router {
        Some(given) if !ovn.managed => match given.value.parse() {
            Ok(id) => Reference::External(id),
            Err(_) => Reference::Named(given.value.clone()),
        },
        _ => Reference::Key(Key::site().provider_router()),
    }
}

/// What all tenants have in common.
struct Engine<'a> {
    site: &'a spec::Site,
    /// The site's name, which the external ids of all rows have.
    site_name: Arc<str>,
    ovn: &'a OvnSettings,
    locations: &'a Locations<'a>,
    namespace: Namespace,
    provider: Reference,
    tenants: BTreeMap<&'a str, &'a Tenant>,
}

impl Engine<'_> {
    fn name(&self, key: &Key) -> String {
        names::name(&self.site.name.value, key)
    }

    fn mac(&self, port: &Key) -> MacAddress {
        names::mac_in(self.namespace, port)
    }

    fn entry(&self, key: Key, row: Row, holder: Option<Holder>, span: Span) -> Entry {
        let row = Row { holder, ..with_key(row, self.site_name.clone(), &key) };
        Entry { key, object: row.into(), provenance: self.locations.provenance(span) }
    }
}

/// Adds the key and the site to a row's external ids.
fn with_key(row: Row, site: Arc<str>, key: &Key) -> Row {
    row.map("external_ids", [(KEY_OF_ROW, key.text()), (SITE_OF_ROW, site)])
}

/// The tenant that is compiled: its rows so far, and what several parts need.
struct Lowering<'a> {
    engine: &'a Engine<'a>,
    tenant: &'a Tenant,
    entries: &'a mut Vec<Entry>,
    keys: TenantKeys<'a>,
    router: Key,
    uplink: Key,
    provider_port: Key,
    spaces: Spaces,
    /// By bridge: the MAC address of its gateway.
    gateway_macs: Vec<MacAddress>,
    /// The address sets that have a row already.
    sets: BTreeSet<Key>,
    /// The addresses that many rules name, as far as they are computed.
    known: BTreeMap<&'static str, Option<Addresses>>,
}

impl<'a> Lowering<'a> {
    fn new(engine: &'a Engine<'a>, tenant: &'a Tenant, entries: &'a mut Vec<Entry>) -> Self {
        let keys = Key::tenant(&tenant.name);
        let gateways = tenant.bridges.iter().map(|bridge| keys.bridge(&bridge.name).gateway_port());
        Lowering {
            engine,
            tenant,
            entries,
            keys,
            router: keys.router(),
            uplink: keys.uplink(UplinkKey::Port),
            provider_port: keys.uplink(UplinkKey::ProviderPort),
            spaces: Spaces::of(tenant),
            gateway_macs: gateways.map(|port| engine.mac(&port)).collect(),
            sets: BTreeSet::new(),
            known: BTreeMap::new(),
        }
    }

    fn strict(&self) -> bool {
        self.tenant.profile == Profile::Strict
    }

    /// Returns true if the source address of a packet tells where it comes from.
    fn checks_sources(&self) -> bool {
        self.tenant.anti_spoof != AntiSpoof::None
    }

    fn name(&self, key: &Key) -> String {
        self.engine.name(key)
    }

    /// Adds a row that stands alone.
    fn add(&mut self, key: Key, row: Row, span: Span) {
        self.entries.push(self.engine.entry(key, row, None, span));
    }

    /// Adds a row that another one holds.
    fn add_to(&mut self, holder: Holder, key: Key, row: Row, span: Span) {
        self.entries.push(self.engine.entry(key, row, Some(holder), span));
    }

    /// Returns the place of a row in a column of the tenant's router.
    fn in_router(&self, column: &'static str) -> Holder {
        Holder { row: (&self.router).into(), table: Table::LogicalRouter, column }
    }

    /// Returns the place of a row in a column of the provider router.
    fn in_provider(&self, column: &'static str) -> Holder {
        Holder { row: self.engine.provider.clone(), table: Table::LogicalRouter, column }
    }

    fn gateway_port(&self, at: BridgeIndex) -> Option<Key> {
        self.tenant.bridge(at).map(|bridge| self.keys.bridge(&bridge.name).gateway_port())
    }

    /// Returns the expression of packets that a pod of a bridge sends to its gateway.
    fn to_gateway(&self, at: BridgeIndex) -> Option<Expression> {
        self.gateway_macs.get(at.0).map(|mac| Expression::mac(End::Destination, *mac))
    }

    /// Returns the expression of packets that the router sends into a bridge.
    fn out_of_gateway(&self, at: BridgeIndex) -> Option<Expression> {
        self.gateway_macs.get(at.0).map(|mac| Expression::mac(End::Source, *mac))
    }
}

/// Returns a row of a router's port.
fn router_port(name: String, mac: MacAddress, address: Ipv4Net) -> Row {
    let network = format!("{}/{}", address.addr(), address.prefix_len());
    Row::new(Table::LogicalRouterPort)
        .text("name", name)
        .text("mac", mac.to_string())
        .texts("networks", [network])
}

/// Returns a row of a static route by a next hop that is behind a port.
fn static_route(destination: Ipv4Net, next_hop: impl ToString, port: Option<String>) -> Row {
    let row = Row::new(Table::LogicalRouterStaticRoute)
        .text("ip_prefix", destination.to_string())
        .text("nexthop", next_hop.to_string());
    match port {
        Some(port) => row.text("output_port", port),
        None => row,
    }
}
