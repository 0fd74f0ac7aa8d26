//! Dialect 1: MidoNet 1.x, as recorded from 1.7 (release v2014.11).

use crate::topology::kind::Kind;

/// 1.x ignores the id that a client offers for ports, rules and routes, and answers with its own in
/// `Location` (recordings v1.7/04, 05, 07).
pub(super) fn keeps_offered_id(kind: Kind) -> bool {
    !matches!(kind, Kind::RouterPort | Kind::BridgePort | Kind::Rule | Kind::Route)
}

pub(super) fn media_type(kind: Kind) -> &'static str {
    match kind {
        Kind::TunnelZone => "application/vnd.org.midonet.TunnelZone-v1+json",
        Kind::TunnelZoneHost => "application/vnd.org.midonet.TunnelZoneHost-v1+json",
        Kind::PortGroup => "application/vnd.org.midonet.PortGroup-v1+json",
        Kind::Chain => "application/vnd.org.midonet.Chain-v1+json",
        Kind::Router => "application/vnd.org.midonet.Router-v2+json",
        Kind::Bridge => "application/vnd.org.midonet.Bridge-v1+json",
        Kind::RouterPort | Kind::BridgePort => "application/vnd.org.midonet.Port-v2+json",
        Kind::Rule => "application/vnd.org.midonet.Rule-v2+json",
        Kind::Route => "application/vnd.org.midonet.Route-v1+json",
        Kind::PortLink => "application/vnd.org.midonet.PortLink-v1+json",
        Kind::PortGroupPort => "application/vnd.org.midonet.PortGroupPort-v1+json",
        Kind::HostInterfacePort => "application/vnd.org.midonet.HostInterfacePort-v1+json",
    }
}
