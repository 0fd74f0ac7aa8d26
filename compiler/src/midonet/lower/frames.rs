//! Layer 2: the EtherTypes that pass a bridge, ARP, and frames with a VLAN tag.
//!
//! A bridge's chain sees every frame but those with a VLAN tag: MidoNet evaluates no chain of a bridge for these. So they
//! are dropped by a chain of the ports. All ports of a tenant share it: a pod needs no chain of its own.

use std::net::Ipv4Addr;

use crate::midonet::lower::{Lowering, Rules};
use crate::network::{Bridge, BridgeIndex};
use crate::spec::AntiSpoof;
use crate::topology::key::view::RuleKey;
use crate::topology::kinds::{Condition, Reference, RuleAction};
use crate::values::ethertype::{ARP, IPV4};

/// Adds the chain that drops frames with a VLAN tag. The chain of a port jumps to it, so what it does not drop returns.
pub(super) fn lower(lowering: &mut Lowering<'_>) {
    let Some(chain) = lowering.untagged.clone() else { return };
    let (tenant, span) = (lowering.tenant, lowering.tenant.span);
    lowering.add_chain(&chain, chain_name(&tenant.name), span);
    let mut rules = Rules::new(&chain);
    let untagged = Condition { untagged: true, ..Condition::default() };
    rules.add(lowering, RuleKey::Layout("untagged"), untagged, RuleAction::Return, span);
    rules.add(lowering, RuleKey::Layout("tagged"), Condition::default(), RuleAction::Drop, span);
}

fn chain_name(tenant: &str) -> String {
    format!("{tenant} untagged")
}

/// Returns the jump to the chain that drops frames with a VLAN tag.
pub(super) fn jump_to_untagged(chain: Reference, tenant: &str) -> RuleAction {
    RuleAction::Jump { chain, chain_name: chain_name(tenant) }
}

/// Adds the rules of a bridge's chain about EtherTypes: IPv4, ARP and those of the spec pass. No frame but one of the
/// gateway's port claims the gateway's address in ARP.
pub(super) fn ethertypes(
    lowering: &mut Lowering<'_>,
    at: BridgeIndex,
    bridge: &Bridge,
    rules: &mut Rules<'_>,
) {
    let tenant = lowering.tenant;
    if tenant.anti_spoof != AntiSpoof::None {
        let gateway = lowering.gateways.get(at.0).map(|(_, peer)| peer.into());
        let claims_the_gateway = Condition {
            in_ports: gateway.into_iter().collect(),
            not_in_ports: true,
            source: Some(bridge.gateway.into()),
            ethertype: Some(ARP),
            ..Condition::default()
        };
        rules.add(
            lowering,
            RuleKey::Layout("gateway-arp"),
            claims_the_gateway,
            RuleAction::Drop,
            bridge.span,
        );
    }
    if !lowering.strict() {
        return;
    }
    let of = |kind: u16| Condition { ethertype: Some(kind), ..Condition::default() };
    rules.add(lowering, RuleKey::Layout("arp"), of(ARP), RuleAction::Accept, bridge.span);
    for kind in &tenant.ethertypes {
        let name = format!("ethertype-{kind:04x}");
        rules.add(lowering, RuleKey::Layout(&name), of(*kind), RuleAction::Accept, bridge.span);
    }
    let others = Condition { not_ethertype: true, ..of(IPV4) };
    rules.add(lowering, RuleKey::Layout("ethertypes"), others, RuleAction::Drop, bridge.span);
}

/// Returns the condition of ARP packets that claim another address than a port's own.
pub(super) fn other_address_in_arp(address: Ipv4Addr) -> Condition {
    Condition { source: Some(address.into()), not_source: true, ethertype: Some(ARP), ..Condition::default() }
}
