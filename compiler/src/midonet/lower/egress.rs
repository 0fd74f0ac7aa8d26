//! SNAT of traffic that leaves by the uplink.

use std::net::Ipv4Addr;

use crate::midonet::lower::Lowering;
use crate::spec::Egress;
use crate::topology::kinds::{FlowAction, NatTarget, RuleAction};
use crate::values::PortRange;

/// The ports that SNAT chooses from.
const TRANSLATED_PORTS: PortRange = PortRange { start: 1024, end: 65535 };

/// Returns SNAT to an address, which accepts.
pub(super) fn source_nat(first: Ipv4Addr, last: Ipv4Addr) -> RuleAction {
    RuleAction::SourceNat(NatTarget { first, last, ports: TRANSLATED_PORTS }, FlowAction::Accept)
}

/// Returns the SNAT of the tenant's traffic to the uplink; none if its source addresses stay.
pub(super) fn source_translation(lowering: &Lowering<'_>) -> Option<RuleAction> {
    let (first, last) = match lowering.tenant.egress {
        Egress::None => return None,
        Egress::SnatToLink => (lowering.tenant.link.near, lowering.tenant.link.near),
        Egress::SnatTo(first, last) => (first, last),
    };
    Some(source_nat(first, last))
}
