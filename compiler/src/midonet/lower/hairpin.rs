//! Hairpin traffic: a pod that uses the exposed port of a pod on its own bridge.
//!
//! Both are in one network, so the reply would go straight to the pod, from an address that the pod did not ask. With the
//! tenant router's own address as its source, the packet's reply comes back by the router, where both translations are
//! reversed.

use std::collections::BTreeSet;

use crate::midonet::lower::egress::source_nat;
use crate::midonet::lower::{Lowering, Rules};
use crate::network::{Bridge, BridgeIndex};
use crate::source::Span;
use crate::topology::key::view::RuleKey;
use crate::topology::kinds::{Condition, FlowAction, FragmentPolicy, Reference, RuleAction};

/// Returns the bridges that have an exposed pod, each with the position of its first [[expose]].
fn exposing<'t>(lowering: &Lowering<'t>) -> Vec<(BridgeIndex, &'t Bridge, Span)> {
    let tenant = lowering.tenant;
    let mut known = BTreeSet::new();
    let first = tenant.exposes.iter().filter(|expose| known.insert(expose.bridge));
    let mut found: Vec<_> = first
        .filter_map(|expose| Some((expose.bridge, tenant.bridge(expose.bridge)?, expose.span)))
        .collect();
    // By name: an imported spec may have its bridges in another order.
    found.sort_by_key(|(_, bridge, _)| &bridge.name);
    found
}

/// Adds the rule that reverses the SNAT of hairpin traffic in replies.
pub(super) fn inbound_rules(lowering: &mut Lowering<'_>, rules: &mut Rules<'_>) {
    let bridges = exposing(lowering);
    let Some((_, _, span)) = bridges.first().copied() else { return };
    let condition = Condition {
        in_ports: bridges.iter().flat_map(|(at, ..)| lowering.gateway_port(*at)).collect(),
        destination: Some(lowering.tenant.link.near.into()),
        fragments: Some(FragmentPolicy::Any),
        ..Condition::default()
    };
    let action = RuleAction::ReverseSourceNat(FlowAction::Continue);
    rules.add(lowering, RuleKey::Layout("rev-hairpin"), condition, action, span);
}

/// Adds the SNAT of hairpin traffic: it leaves by the port that it entered by, for a pod of that bridge.
pub(super) fn outbound_rules(lowering: &mut Lowering<'_>, rules: &mut Rules<'_>) {
    for (condition, action, bridge, span) in translations(lowering, &Condition::default()) {
        rules.add(lowering, RuleKey::Hairpin(&bridge.name), condition, action, span);
    }
}

/// Returns the SNAT of the hairpin traffic that meets a condition, for each bridge that has an exposed pod.
pub(super) fn translations<'t>(
    lowering: &Lowering<'t>,
    also: &Condition,
) -> Vec<(Condition, RuleAction, &'t Bridge, Span)> {
    let near = lowering.tenant.link.near;
    let narrowed = |(at, bridge, span): (BridgeIndex, &'t Bridge, Span)| {
        let port = lowering.gateway_port(at);
        let fits = |ports: &[Reference]| ports.is_empty() || port.iter().any(|port| ports.contains(port));
        let condition = Condition {
            in_ports: port.clone(),
            out_ports: port.clone(),
            source: also.source.or(Some(bridge.cidr)),
            destination: also.destination.or(Some(bridge.cidr)),
            fragments: Some(FragmentPolicy::Unfragmented),
            ..also.clone()
        };
        let can_match = fits(&also.in_ports) && fits(&also.out_ports);
        can_match.then(|| (condition, source_nat(near, near), bridge, span))
    };
    exposing(lowering).into_iter().filter_map(narrowed).collect()
}
