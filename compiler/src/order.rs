//! The one order table: in which order kinds of objects are made. They are deleted the other way round.
//!
//! ```text
//!   tunnel zone ◄── tunnel zone host                          port group ◄────────────┐
//!                                                                                     │
//!   chain ◄──── router ◄── router port ◄─┬─ rule ◄─ ... ◄─ route                port group port
//!     ▲ ▲                                │                                            │
//!     │ └────── bridge ◄── bridge port ◄─┴─ port link                                 │
//!     └────────────────────────┘   ▲                                                  │
//!                                  ├──────────────────────────────────────────────────┘
//!                                  └─ host interface port
//! ```
//!
//! An arrow points at what has to be there first. Where the arrows leave a choice, what closes comes before
//! what connects: rules stand before the links, so that no packet passes a tenant whose rules are not in.

use serde::{Deserialize, Serialize};

use crate::key::SITE;
use crate::object::Object;
use crate::topology::{Entry, dependencies};

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

/// Where an entry stands in the order of making: the site's objects first, then tenant by tenant, each in the
/// order of the kinds, rules by chain and place; at the end what joins two tenants.
pub fn creation_order<'a>(entry: &'a Entry) -> impl Ord + use<'a> {
    let tenant = entry.key.tenant();
    let joins_tenants = match &entry.object {
        Object::PortLink(link) => {
            let other = |reference: &crate::object::Reference| {
                reference.key().is_some_and(|key| key.tenant() != tenant)
            };
            other(&link.port) || other(&link.peer)
        }
        _ => false,
    };
    let group = match () {
        () if tenant == SITE => 0,
        () if joins_tenants => 2,
        () => 1,
    };
    let (chain, position) = match &entry.object {
        Object::Rule(rule) => (rule.chain.key().map(|key| key.as_str()), rule.position),
        _ => (None, 0),
    };
    (group, tenant, Kind::of(&entry.object), chain, position, entry.key.as_str())
}

/// True when every object that an entry depends on comes before it. What the drawing above promises; tests
/// hold every plan against it.
pub fn respects_order(entries: &[&Entry]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    entries.iter().all(|entry| {
        let known = dependencies(&entry.object)
            .iter()
            .all(|key| seen.contains(key) || !entries.iter().any(|other| other.key == *key));
        seen.insert(entry.key.clone());
        known
    })
}
