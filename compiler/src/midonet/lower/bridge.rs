//! A bridge: its network, its gateway on the tenant's router, and the source addresses that it accepts.

use crate::midonet::lower::{ANYWHERE, Lowering, Rules, frames, policy};
use crate::network::{Bridge, BridgeIndex, RouteTarget};
use crate::spec::{AntiSpoof, Egress};
use crate::topology::key::view::{RuleKey, network};
use crate::topology::kinds::{
    self, BridgePort, Condition, Device, NextHop, Object, PortLink, Route, RouterPort, RuleAction,
};
use crate::values::ethertype::IPV4;

pub(super) fn lower(lowering: &mut Lowering<'_>, at: BridgeIndex, bridge: &Bridge) {
    let (tenant, span) = (lowering.tenant, bridge.span);
    let keys = lowering.keys.bridge(&bridge.name);
    let (key, chain) = (keys.device(), keys.chain());
    let checks_sources = tenant.anti_spoof != AntiSpoof::None;
    let filtered = lowering.strict() || checks_sources || lowering.rules_inside.contains_key(&at);
    if filtered {
        lowering.add_chain(&chain, format!("{} {} in", tenant.name, bridge.name), span);
        let mut rules = Rules::new(&chain);
        frames::ethertypes(lowering, at, bridge, &mut rules);
        if checks_sources {
            sources(lowering, at, bridge, &mut rules);
        }
        policy::rules_inside(lowering, at, bridge, &mut rules);
    }
    let device = Device {
        name: format!("{} {}", tenant.name, bridge.name),
        tenant_id: tenant.tenant_id.to_string(),
        inbound_filter: filtered.then(|| (&chain).into()),
        outbound_filter: None,
        admin_state_up: true,
    };
    lowering.add(key.clone(), Object::Bridge(kinds::Bridge(device)), span);
    gateway(lowering, at, bridge);
    if tenant.egress == Egress::None {
        let route = Route {
            router: lowering.provider.clone(),
            source: ANYWHERE,
            destination: bridge.cidr,
            next_hop: NextHop::Port {
                port: (&lowering.provider_port).into(),
                gateway: Some(tenant.link.near),
            },
            weight: lowering.weight(),
        };
        lowering.add(keys.provider_route(), Object::Route(route), span);
    }
}

fn gateway(lowering: &mut Lowering<'_>, at: BridgeIndex, bridge: &Bridge) {
    let Some((gateway_port, gateway_peer)) = lowering.gateways.get(at.0).cloned() else { return };
    let (keys, span) = (lowering.keys.bridge(&bridge.name), bridge.span);
    let port = RouterPort::new((&lowering.router).into(), bridge.gateway, bridge.cidr);
    lowering.add(gateway_port.clone(), Object::RouterPort(port), span);
    let peer = BridgePort::new((&keys.device()).into(), None);
    lowering.add(gateway_peer.clone(), Object::BridgePort(peer), span);
    let joined = PortLink { port: (&gateway_port).into(), peer: (&gateway_peer).into() };
    lowering.add(keys.gateway_link(), Object::PortLink(joined), span);
    let route = Route {
        router: (&lowering.router).into(),
        source: ANYWHERE,
        destination: bridge.cidr,
        next_hop: NextHop::Port { port: (&gateway_port).into(), gateway: None },
        weight: lowering.weight(),
    };
    lowering.add(keys.route(), Object::Route(route), span);
}

/// Adds one rule for all pods of a bridge. A packet that does not come from the gateway has a source address of the
/// bridge's own network, or of a network that the spec routes by this bridge (recorded: firewall-after-rev-snat).
fn sources(lowering: &mut Lowering<'_>, at: BridgeIndex, bridge: &Bridge, rules: &mut Rules<'_>) {
    let gateway = lowering.gateways.get(at.0).map(|(_, peer)| peer.into());
    let not_gateway = Condition {
        in_ports: gateway.into_iter().collect(),
        not_in_ports: true,
        ethertype: Some(IPV4),
        ..Condition::default()
    };
    for route in &lowering.tenant.routes {
        if matches!(route.target, RouteTarget::Via(by, _) | RouteTarget::Bridge(by) if by == at) {
            let condition = Condition { source: Some(route.destination), ..not_gateway.clone() };
            let name = format!("{}/{}", network(route.destination), next_hop_name(&route.target));
            rules.add(lowering, RuleKey::Routed(&name), condition, RuleAction::Accept, route.span);
        }
    }
    let condition = Condition { source: Some(bridge.cidr), not_source: true, ..not_gateway };
    rules.add(lowering, RuleKey::Layout("source"), condition, RuleAction::Drop, bridge.span);
}

/// Returns a route's next hop as a segment of a key.
pub(super) fn next_hop_name(target: &RouteTarget) -> String {
    match target {
        RouteTarget::Via(_, address) => format!("via-{address}"),
        RouteTarget::Bridge(_) => "direct".to_owned(),
        RouteTarget::Blackhole => "blackhole".to_owned(),
        RouteTarget::Reject => "reject".to_owned(),
    }
}
