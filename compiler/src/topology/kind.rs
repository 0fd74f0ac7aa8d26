//! The kinds of objects.

use serde::{Deserialize, Serialize};

use crate::topology::object::Object;

/// The kinds of objects, in the order of their making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is described at its variant of `Object`")]
pub enum Kind {
    TunnelZone,
    TunnelZoneHost,
    PortGroup,
    Chain,
    Router,
    Bridge,
    RouterPort,
    BridgePort,
    Rule,
    Route,
    PortLink,
    PortGroupPort,
    HostInterfacePort,
}

impl Kind {
    /// All kinds, in the order of their making.
    pub const ALL: [Kind; 13] = [
        Kind::TunnelZone,
        Kind::TunnelZoneHost,
        Kind::PortGroup,
        Kind::Chain,
        Kind::Router,
        Kind::Bridge,
        Kind::RouterPort,
        Kind::BridgePort,
        Kind::Rule,
        Kind::Route,
        Kind::PortLink,
        Kind::PortGroupPort,
        Kind::HostInterfacePort,
    ];

    /// The kind of an object.
    pub fn of(object: &Object) -> Kind {
        match object {
            Object::TunnelZone(_) => Kind::TunnelZone,
            Object::TunnelZoneHost(_) => Kind::TunnelZoneHost,
            Object::PortGroup(_) => Kind::PortGroup,
            Object::Chain(_) => Kind::Chain,
            Object::Router(_) => Kind::Router,
            Object::Bridge(_) => Kind::Bridge,
            Object::RouterPort(_) => Kind::RouterPort,
            Object::BridgePort(_) => Kind::BridgePort,
            Object::Rule(_) => Kind::Rule,
            Object::Route(_) => Kind::Route,
            Object::PortLink(_) => Kind::PortLink,
            Object::PortGroupPort(_) => Kind::PortGroupPort,
            Object::HostInterfacePort(_) => Kind::HostInterfacePort,
        }
    }

    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Kind::TunnelZone => "tunnel zone",
            Kind::TunnelZoneHost => "tunnel zone host",
            Kind::PortGroup => "port group",
            Kind::Chain => "chain",
            Kind::Router => "router",
            Kind::Bridge => "bridge",
            Kind::RouterPort => "router port",
            Kind::BridgePort => "bridge port",
            Kind::Rule => "rule",
            Kind::Route => "route",
            Kind::PortLink => "port link",
            Kind::PortGroupPort => "port group port",
            Kind::HostInterfacePort => "host interface port",
        }
    }
}
