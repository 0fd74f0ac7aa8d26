//! The tenant's router, its uplink, and the fixed rules of its two chains.

use crate::midonet::lower::{ANYWHERE, Lowering, Rules, egress, expose, hairpin, peer, policy};
use crate::spec::{AntiSpoof, Egress};
use crate::topology::key::view::{RuleKey, UplinkKey, network};
use crate::topology::kinds::{
    Condition, Device, FlowAction, FragmentPolicy, NextHop, Object, PortLink, Reference, Route, Router,
    RouterPort, RuleAction,
};

pub(super) fn lower(lowering: &mut Lowering<'_>) {
    let (tenant, span) = (lowering.tenant, lowering.tenant.span);
    lowering.add_chain(&lowering.chain_in.clone(), format!("{} upstream_in", tenant.name), span);
    lowering.add_chain(&lowering.chain_out.clone(), format!("{} upstream_out", tenant.name), span);
    let router = Device {
        name: format!("{} default router", tenant.name),
        tenant_id: tenant.tenant_id.to_string(),
        inbound_filter: Some((&lowering.chain_in).into()),
        outbound_filter: Some((&lowering.chain_out).into()),
        admin_state_up: true,
    };
    lowering.add(lowering.router.clone(), Object::Router(Router(router)), span);
    uplink(lowering);
    inbound_rules(lowering);
    outbound_rules(lowering);
}

fn uplink(lowering: &mut Lowering<'_>) {
    let (tenant, span, weight) = (lowering.tenant, lowering.tenant.span, lowering.weight());
    let link = tenant.link;
    let port =
        |router: Reference, address| Object::RouterPort(RouterPort::new(router, address, link.network));
    let provider = lowering.provider.clone();
    lowering.add(lowering.provider_port.clone(), port(provider.clone(), link.far), span);
    lowering.add(lowering.uplink.clone(), port((&lowering.router).into(), link.near), span);
    let (near, far) = (Reference::from(&lowering.uplink), Reference::from(&lowering.provider_port));
    let joined = PortLink { port: near.clone(), peer: far.clone() };
    lowering.add(lowering.keys.uplink(UplinkKey::Link), Object::PortLink(joined), span);
    let default = Route {
        router: (&lowering.router).into(),
        source: ANYWHERE,
        destination: ANYWHERE,
        next_hop: NextHop::Port { port: near, gateway: Some(link.far) },
        weight,
    };
    lowering.add(lowering.keys.uplink(UplinkKey::DefaultRoute), Object::Route(default), span);
    let back = Route {
        router: provider,
        source: ANYWHERE,
        destination: link.near.into(),
        next_hop: NextHop::Port { port: far, gateway: None },
        weight,
    };
    lowering.add(lowering.keys.uplink(UplinkKey::ProviderRoute), Object::Route(back), span);
}

/// Adds the rules of the inbound chain. Reverse SNAT comes first, since return flows are recognised by the addresses
/// that a packet has when the rule is matched (recorded: firewall-after-rev-snat works, firewall-before-rev-snat
/// loses every reply). New connections to link addresses are dropped. Replies to them pass, since another tenant that
/// uses an exposed port has its own link address as source. From the uplink, a strict tenant then accepts only
/// connections to exposed ports, replies, and what a rule of the spec accepts by name.
fn inbound_rules(lowering: &mut Lowering<'_>) {
    let (tenant, span) = (lowering.tenant, lowering.tenant.span);
    let chain = lowering.chain_in.clone();
    let mut rules = Rules::new(&chain);
    let from_uplink = Condition { in_ports: lowering.uplink_port(), ..Condition::default() };
    if tenant.egress != Egress::None {
        let condition = Condition { fragments: Some(FragmentPolicy::Any), ..from_uplink.clone() };
        rules.add(
            lowering,
            RuleKey::Layout("rev-snat"),
            condition,
            RuleAction::ReverseSourceNat(FlowAction::Continue),
            span,
        );
    }
    hairpin::inbound_rules(lowering, &mut rules);
    if lowering.strict() && tenant.anti_spoof != AntiSpoof::None {
        for bridge in &tenant.bridges {
            let condition = Condition { source: Some(bridge.cidr), ..from_uplink.clone() };
            let name = RuleKey::UplinkSource(&bridge.name);
            rules.add(lowering, name, condition, RuleAction::Drop, bridge.span);
        }
    }
    expose::inbound_rules(lowering, &mut rules);
    if lowering.strict() {
        for pool in lowering.links {
            let condition = Condition {
                not_in_ports: true,
                destination: Some(*pool),
                forward_flow: true,
                ..from_uplink.clone()
            };
            let name = network(*pool);
            rules.add(lowering, RuleKey::Links(&name), condition, RuleAction::Drop, span);
        }
        let answers = Condition { return_flow: true, ..from_uplink.clone() };
        rules.add(lowering, RuleKey::Layout("answers"), answers, RuleAction::Accept, span);
        policy::inbound_rules(lowering, &mut rules);
        rules.add(lowering, RuleKey::Layout("closed"), from_uplink, RuleAction::Drop, span);
    }
}

/// Adds the rules of the outbound chain: first reverse DNAT of replies, then the spec's rules, then SNAT. Packets of a
/// strict tenant that SNAT does not translate (fragments, protocols without ports) are dropped, so that none leaves
/// with an inside source.
fn outbound_rules(lowering: &mut Lowering<'_>) {
    let (tenant, span) = (lowering.tenant, lowering.tenant.span);
    let chain = lowering.chain_out.clone();
    let mut rules = Rules::new(&chain);
    if let Some(first) = tenant.exposes.first() {
        let action = RuleAction::ReverseDestinationNat(FlowAction::Accept);
        rules.add(lowering, RuleKey::Layout("rev-dnat"), Condition::default(), action, first.span);
    }
    policy::jump_to_stateless(lowering, &mut rules);
    let answers =
        Condition { return_flow: true, fragments: Some(FragmentPolicy::Any), ..Condition::default() };
    rules.add(lowering, RuleKey::Layout("answers"), answers, RuleAction::Accept, span);
    policy::jump_to_policy(lowering, &mut rules);
    peer::outbound_rules(lowering, &mut rules);
    hairpin::outbound_rules(lowering, &mut rules);
    let to_uplink = Condition { out_ports: lowering.uplink_port(), ..Condition::default() };
    if let Some(action) = egress::source_translation(lowering) {
        let condition = Condition { fragments: Some(FragmentPolicy::Unfragmented), ..to_uplink.clone() };
        rules.add(lowering, RuleKey::Layout("snat"), condition, action, tenant.egress_span);
        if lowering.strict() {
            rules.add(
                lowering,
                RuleKey::Layout("untranslated"),
                to_uplink,
                RuleAction::Drop,
                tenant.egress_span,
            );
        }
    }
}
