//! Dialect 5: MidoNet 5.x, as recorded from 5.0.2 and 5.8, which have the same media types.

use crate::topology::kind::Kind;

pub(super) fn media_type(kind: Kind) -> &'static str {
    match kind {
        Kind::TunnelZone => "application/vnd.org.midonet.TunnelZone-v1+json",
        Kind::TunnelZoneHost => "application/vnd.org.midonet.TunnelZoneHost-v1+json",
        Kind::PortGroup => "application/vnd.org.midonet.PortGroup-v1+json",
        Kind::Chain => "application/vnd.org.midonet.Chain-v1+json",
        Kind::Router => "application/vnd.org.midonet.Router-v3+json",
        Kind::Bridge => "application/vnd.org.midonet.Bridge-v4+json",
        Kind::RouterPort | Kind::BridgePort => "application/vnd.org.midonet.Port-v3+json",
        Kind::Rule => "application/vnd.org.midonet.Rule-v2+json",
        Kind::Route => "application/vnd.org.midonet.Route-v1+json",
        Kind::PortLink => "application/vnd.org.midonet.PortLink-v1+json",
        Kind::PortGroupPort => "application/vnd.org.midonet.PortGroupPort-v1+json",
        Kind::HostInterfacePort => "application/vnd.org.midonet.HostInterfacePort-v1+json",
    }
}
