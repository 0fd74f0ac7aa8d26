//! Public ports: destination translation on the way in, its reverse on the way out, and the provider's route.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::midonet::lower::{ANYWHERE, Lowering, Rules};
use crate::source::Span;
use crate::spec::Egress;
use crate::topology::key::view::RuleKey;
use crate::topology::kinds::{
    Condition, FlowAction, FragmentPolicy, NatTarget, NextHop, Object, Route, RuleAction,
};
use crate::values::PortRange;

/// Adds the provider router's routes to the tenant's public addresses: the exposed ones, and those of its SNAT.
pub(super) fn lower(lowering: &mut Lowering<'_>) {
    let tenant = lowering.tenant;
    let mut public: BTreeMap<Ipv4Net, Span> = BTreeMap::new();
    if let Egress::SnatTo(first, last) = tenant.egress {
        public.extend(networks_of(first, last).into_iter().map(|network| (network, tenant.egress_span)));
    }
    let is_source = |address: &Ipv4Addr| match tenant.egress {
        Egress::SnatTo(first, last) => (first..=last).contains(address),
        Egress::SnatToLink | Egress::None => false,
    };
    for expose in &tenant.exposes {
        if !is_source(&expose.public) && !public.contains_key(&expose.public.into()) {
            public.insert(expose.public.into(), expose.span);
        }
    }
    for (destination, span) in public {
        let port = (&lowering.provider_port).into();
        let route = Route {
            router: lowering.provider.clone(),
            source: ANYWHERE,
            destination,
            next_hop: NextHop::Port { port, gateway: Some(tenant.link.near) },
            weight: lowering.weight(),
        };
        lowering.add(lowering.keys.public(destination), Object::Route(route), span);
    }
}

/// Returns the fewest networks that make up a range of addresses.
fn networks_of(first: Ipv4Addr, last: Ipv4Addr) -> Vec<Ipv4Net> {
    ipnet::Ipv4Subnets::new(first, last, 0).collect()
}

/// Adds the DNAT of exposed ports. It applies to a packet from any port, so inside clients reach them as well. It
/// ends the chain, so that the rules behind it, which drop other connections, do not match an exposed one.
pub(super) fn inbound_rules(lowering: &mut Lowering<'_>, rules: &mut Rules<'_>) {
    for expose in &lowering.tenant.exposes {
        let condition = Condition {
            destination: Some(expose.public.into()),
            protocol: Some(expose.protocol),
            destination_ports: Some(PortRange { start: expose.public_port, end: expose.public_port }),
            // The server's default for a translation that names none (09-nat-rules).
            fragments: Some(FragmentPolicy::Unfragmented),
            ..Condition::default()
        };
        let target = NatTarget { first: expose.address, last: expose.address, ports: expose.target_range() };
        let name = format!("{}/{}/{}", expose.public, expose.protocol_name(), expose.public_port);
        let action = RuleAction::DestinationNat(target, FlowAction::Accept);
        rules.add(lowering, RuleKey::Expose(&name), condition, action, expose.span);
    }
}
