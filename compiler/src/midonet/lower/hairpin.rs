//! Hairpin traffic: a pod that uses the exposed port of a pod on its own bridge.
//!
//! Both are in one network, so the reply would go straight to the pod, from an address that the pod did not ask. With the
//! tenant router's own address as its source, the packet's reply comes back by the router, where both translations are
//! reversed.

use std::collections::{BTreeMap, BTreeSet};

use crate::midonet::lower::egress::source_nat;
use crate::midonet::lower::{Lowering, Rules};
use crate::network::{Bridge, BridgeIndex, Tenant};
use crate::source::Span;
use crate::topology::key::view::RuleKey;
use crate::topology::kinds::{Condition, FlowAction, FragmentPolicy, Reference, RuleAction};

/// The bridges that have an exposed pod.
pub(super) struct Exposing<'t> {
    /// Each with the position of its first [[expose]], by name: an imported spec may have its bridges in another order.
    bridges: Vec<(&'t Bridge, Span, Reference)>,
    /// The places of these by the router's ports.
    by_port: BTreeMap<Reference, usize>,
}

impl<'t> Exposing<'t> {
    /// `port` returns the router's port of a bridge.
    pub(super) fn new(tenant: &'t Tenant, port: impl Fn(BridgeIndex) -> Option<Reference>) -> Exposing<'t> {
        let mut known = BTreeSet::new();
        let first = tenant.exposes.iter().filter(|expose| known.insert(expose.bridge));
        let mut bridges: Vec<_> = first
            .filter_map(|expose| Some((tenant.bridge(expose.bridge)?, expose.span, port(expose.bridge)?)))
            .collect();
        bridges.sort_by_key(|(bridge, ..)| &bridge.name);
        let by_port = bridges.iter().enumerate().map(|(place, (.., port))| (port.clone(), place)).collect();
        Exposing { bridges, by_port }
    }

    /// Returns the places of the bridges whose ports are in both lists; an empty list has all ports.
    fn between(&self, in_ports: &[Reference], out_ports: &[Reference]) -> BTreeSet<usize> {
        let among = |ports: &[Reference]| -> BTreeSet<usize> {
            ports.iter().filter_map(|port| self.by_port.get(port)).copied().collect()
        };
        match (in_ports, out_ports) {
            ([], []) => (0..self.bridges.len()).collect(),
            ([], ports) | (ports, []) => among(ports),
            _ => among(in_ports).intersection(&among(out_ports)).copied().collect(),
        }
    }
}

/// Adds the rule that reverses the SNAT of hairpin traffic in replies.
pub(super) fn inbound_rules(lowering: &mut Lowering<'_>, rules: &mut Rules<'_>) {
    let bridges = &lowering.exposing.bridges;
    let Some((_, span, _)) = bridges.first() else { return };
    let span = *span;
    let condition = Condition {
        in_ports: bridges.iter().map(|(.., port)| port.clone()).collect(),
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
    let (near, exposing) = (lowering.tenant.link.near, &lowering.exposing);
    let narrowed = |place: usize| {
        let (bridge, span, port) = exposing.bridges.get(place)?;
        let condition = Condition {
            in_ports: vec![port.clone()],
            out_ports: vec![port.clone()],
            source: also.source.or(Some(bridge.cidr)),
            destination: also.destination.or(Some(bridge.cidr)),
            fragments: Some(FragmentPolicy::Unfragmented),
            ..also.clone()
        };
        Some((condition, source_nat(near, near), *bridge, *span))
    };
    exposing.between(&also.in_ports, &also.out_ports).into_iter().filter_map(narrowed).collect()
}
