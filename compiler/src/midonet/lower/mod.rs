//! Compiles a network to a topology: the objects of each tenant. There is one file for each part of the layout.
//!
//! ```text
//!                    provider router
//!                          │ uplink/provider-port
//!                          │ uplink/link
//!                          │ uplink/port
//!  peer/NAME/port ── tenant router ── chain/in (inbound), chain/out (outbound)
//!                      │         │      chain/out jumps to chain/stateless and chain/policy: the spec's rules
//!     bridge/A/gateway-port   bridge/B/gateway-port
//!                      │         │ bridge/B/gateway-link
//!     bridge/A/gateway-peer   bridge/B/gateway-peer
//!                   bridge A   bridge B ── bridge/B/chain (sources, rules inside the bridge)
//!                                 │ port/NAME, bound to a host's interface
//! ```
//!
//! A rule is in the chain in which MidoNet can match it (`docs/semantics.md`). Only the outbound chain of a router knows
//! both ports, so the spec's rules are matched there, before SNAT and after DNAT of exposed ports. Traffic that stays
//! inside a bridge never enters a router's chains.

mod bridge;
mod egress;
mod expose;
mod frames;
mod hairpin;
mod peer;
pub mod pod;
mod policy;
mod port;
mod router;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::network::{Bridge, BridgeIndex, Tenant};
use crate::source::{Locations, Span};
use crate::spec;
use crate::spec::Profile;
use crate::topology::key::Key;
use crate::topology::key::builder::TenantKeys;
use crate::topology::key::view::{ChainKey, RuleKey, UplinkKey};
use crate::topology::kinds::{
    Chain, Condition, Device, Object, Reference, Router, Rule, RuleAction, TunnelZone, TunnelZoneHost,
};
use crate::topology::{Entry, Topology};

/// Every address.
const ANYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// Compiles a site and its tenants to the desired topology.
pub fn lower(site: &spec::Site, tenants: &[Tenant], locations: &Locations<'_>) -> Topology {
    let mut entries = site_objects(site, locations);
    let provider = provider_router(site);
    let links: Vec<Ipv4Net> = site.pools.links.iter().map(|pool| pool.value).collect();
    for tenant in tenants {
        let start = entries.len();
        let mut lowering = Lowering::new(tenant, &provider, &links, locations, &mut entries);
        router::lower(&mut lowering);
        frames::lower(&mut lowering);
        for (at, bridge) in tenant.indexed_bridges() {
            bridge::lower(&mut lowering, at, bridge);
        }
        port::lower(&mut lowering);
        expose::lower(&mut lowering);
        peer::lower(&mut lowering);
        policy::lower(&mut lowering);
        // Tenants come by name. The few entries of each tenant are sorted here, so little is left to sort for the whole.
        if let Some(own) = entries.get_mut(start..) {
            own.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    Topology::new(entries)
}

/// Returns the router that leads outside: an existing one, or the one that midoform makes.
pub fn provider_router(site: &spec::Site) -> Reference {
    let settings = site.midonet.as_ref().filter(|midonet| !midonet.managed);
    match settings.and_then(|midonet| midonet.provider_router.as_ref()) {
        Some(id) => Reference::External(id.value),
        None => Reference::Key(Key::site().provider_router()),
    }
}

/// Returns the objects that serve every tenant.
fn site_objects(site: &spec::Site, locations: &Locations<'_>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |key: Key, object: Object, span: Span| {
        entries.push(Entry { key, object, provenance: locations.provenance(span) });
    };
    if let (Reference::Key(key), Some(midonet)) = (provider_router(site), &site.midonet) {
        let name = format!("{} provider router", site.name.value);
        let tenant_id = site.name.value.clone();
        let router =
            Device { name, tenant_id, inbound_filter: None, outbound_filter: None, admin_state_up: true };
        add(key, Object::Router(Router(router)), midonet.span);
    }
    if let Some(zone) = &site.tunnel_zone {
        let key = Key::site().tunnel_zone();
        let object = TunnelZone { name: zone.name.value.clone(), encapsulation: zone.encapsulation };
        add(key.clone(), Object::TunnelZone(object), zone.name.span);
        for host in &site.hosts {
            if let Some(address) = host.tunnel_address {
                let member =
                    TunnelZoneHost { zone: (&key).into(), host: host.id.value, address: address.value };
                let key = Key::site().tunnel_zone_host(&host.name.value);
                add(key, Object::TunnelZoneHost(member), host.name.span);
            }
        }
    }
    entries
}

/// The tenant that is compiled: its objects so far, and the keys that several parts need.
struct Lowering<'a> {
    tenant: &'a Tenant,
    provider: &'a Reference,
    /// The pools of link addresses.
    links: &'a [Ipv4Net],
    locations: &'a Locations<'a>,
    entries: &'a mut Vec<Entry>,
    /// The chain that drops frames with a VLAN tag; none where these pass.
    untagged: Option<Key>,
    keys: TenantKeys<'a>,
    router: Key,
    chain_in: Key,
    chain_out: Key,
    uplink: Key,
    provider_port: Key,
    /// By bridge: the router's port, and the bridge's port that it is linked to.
    gateways: Vec<(Key, Key)>,
    exposing: hairpin::Exposing<'a>,
    rules_inside: policy::RulesInside,
}

impl<'a> Lowering<'a> {
    fn new(
        tenant: &'a Tenant,
        provider: &'a Reference,
        links: &'a [Ipv4Net],
        locations: &'a Locations<'a>,
        entries: &'a mut Vec<Entry>,
    ) -> Self {
        let keys = Key::tenant(&tenant.name);
        let gateway = |bridge: &Bridge| {
            let keys = keys.bridge(&bridge.name);
            (keys.gateway_port(), keys.gateway_peer())
        };
        let gateways: Vec<(Key, Key)> = tenant.bridges.iter().map(gateway).collect();
        let gateway_port = |at: BridgeIndex| gateways.get(at.0).map(|(port, _)| Reference::from(port));
        let exposing = hairpin::Exposing::new(tenant, gateway_port);
        let (chain_in, chain_out) = (keys.chain(ChainKey::In), keys.chain(ChainKey::Out));
        let (uplink, provider_port) = (keys.uplink(UplinkKey::Port), keys.uplink(UplinkKey::ProviderPort));
        Lowering {
            tenant,
            provider,
            links,
            locations,
            entries,
            untagged: tenant.drops_tagged().then(|| keys.chain(ChainKey::Untagged)),
            keys,
            router: keys.router(),
            chain_in,
            chain_out,
            uplink,
            provider_port,
            exposing,
            gateways,
            rules_inside: policy::find_rules_inside(tenant),
        }
    }

    fn strict(&self) -> bool {
        self.tenant.profile == Profile::Strict
    }

    fn weight(&self) -> u32 {
        self.tenant.own_route_weight()
    }

    fn add(&mut self, key: Key, object: Object, span: Span) {
        self.entries.push(Entry { key, object, provenance: self.locations.provenance(span) });
    }

    fn add_chain(&mut self, key: &Key, name: String, span: Span) {
        let chain = Chain { name, tenant_id: self.tenant.tenant_id.to_string() };
        self.add(key.clone(), Object::Chain(chain), span);
    }

    fn gateway_port(&self, bridge: BridgeIndex) -> Vec<Reference> {
        self.gateways.get(bridge.0).map(|(port, _)| port.into()).into_iter().collect()
    }

    fn uplink_port(&self) -> Vec<Reference> {
        vec![(&self.uplink).into()]
    }
}

/// The rules of one chain, in order: numbers them.
struct Rules<'k> {
    chain: &'k Key,
    next: u32,
}

impl<'k> Rules<'k> {
    fn new(chain: &'k Key) -> Self {
        Rules { chain, next: 1 }
    }

    fn add(
        &mut self,
        lowering: &mut Lowering<'_>,
        name: RuleKey<'_>,
        condition: Condition,
        action: RuleAction,
        span: Span,
    ) {
        let rule = Rule { chain: self.chain.into(), position: self.next, condition, action };
        self.next += 1;
        lowering.add(self.chain.rule(name), Object::Rule(Box::new(rule)), span);
    }
}
