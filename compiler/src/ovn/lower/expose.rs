//! Exposed ports: load balancers on the tenant's router and on all of its switches, and the provider's routes to public addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv4Subnets};

use super::{Lowering, keys, static_route};
use crate::network::Expose;
use crate::source::Span;
use crate::spec::Egress;
use crate::topology::key::Key;
use crate::topology::kinds::Row;
use crate::topology::kinds::row::schema::Table;

/// Returns the key of the load balancer of an exposed port.
pub(super) fn key(lowering: &Lowering<'_>, expose: &Expose) -> Key {
    let public = format_args!("{}/{}/{}", expose.public, expose.protocol_name(), expose.public_port);
    keys::expose(lowering.keys, public)
}

/// Adds the load balancers, which the rows of the router and of the switches refer to: a switch translates what its own pods send to
/// an exposed port.
pub(super) fn lower(lowering: &mut Lowering<'_>) {
    for expose in &lowering.tenant.exposes {
        let key = key(lowering, expose);
        let public = format!("{}:{}", expose.public, expose.public_port);
        let target = format!("{}:{}", expose.address, expose.target_port);
        let row = Row::new(Table::LoadBalancer)
            .text("name", lowering.name(&key))
            .text("protocol", expose.protocol_name())
            .map("vips", [(public.as_str(), target)]);
        lowering.add(key, row, expose.span);
    }
    public_routes(lowering);
}

/// Adds the provider router's routes to the tenant's public addresses: the exposed ones, and those of its source NAT.
fn public_routes(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    let mut public: BTreeMap<Ipv4Net, Span> = BTreeMap::new();
    if let Egress::SnatTo(first, last) = tenant.egress {
        public.extend(Ipv4Subnets::new(first, last, 0).map(|network| (network, tenant.egress_span)));
    }
    let is_source = |address: &Ipv4Addr| match tenant.egress {
        Egress::SnatTo(first, last) => (first..=last).contains(address),
        Egress::SnatToLink | Egress::None => false,
    };
    for expose in tenant.exposes.iter().filter(|expose| !is_source(&expose.public)) {
        public.entry(expose.public.into()).or_insert(expose.span);
    }
    let port = lowering.name(&lowering.provider_port);
    for (destination, span) in public {
        let row = static_route(destination, tenant.link.near, Some(port.clone()));
        let key = lowering.keys.public(destination);
        lowering.add_to(lowering.in_provider("static_routes"), key, row, span);
    }
}
