//! The kinds of objects, MidoNet's terms for what a network is made of: one file for each kind, and one table that
//! lists them.
//!
//! An object refers to others by key. Fields are those of the MidoNet API that midoform uses; all others are left to
//! the server. Sources: the recordings of MidoNet 1.7, 5.0.2 and 5.8 (`simulator/recordings`), which agree on the
//! meaning of every field here.

mod bridge;
mod bridge_port;
mod chain;
mod device;
mod difference;
mod host_interface_port;
mod json;
mod port;
mod port_group;
mod port_group_port;
mod port_link;
mod reference;
mod resource;
mod route;
mod router;
mod router_port;
mod rule;
mod tunnel_zone;
mod tunnel_zone_host;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::topology::key::Key;

pub use bridge::Bridge;
pub use bridge_port::BridgePort;
pub use chain::Chain;
pub use device::{Device, DeviceJson, FilterDirection};
pub use host_interface_port::HostInterfacePort;
pub use json::Malformed;
pub use port::PortJson;
pub(crate) use port::marked;
pub use port_group::{PortGroup, PortGroupJson};
pub use port_group_port::{PortGroupPort, PortGroupPortJson};
pub use port_link::PortLink;
pub use reference::{Reference, TypedReference};
pub use resource::{Evidence, Identity, Listed, MediaTypes, Names, Resource, Update};
pub use route::{NextHop, Route, RouteJson};
pub use router::Router;
pub use router_port::RouterPort;
pub use rule::{Condition, FlowAction, FragmentPolicy, NatTarget, OtherField, Rule, RuleAction, RuleJson};
pub use tunnel_zone::{TunnelZone, TunnelZoneJson};
pub use tunnel_zone_host::{TunnelZoneHost, TunnelZoneHostJson};

/// Makes the enums of objects and kinds from the table, and what calls a kind's own functions. The name of a kind is
/// that of the type that implements [`Resource`] for it.
macro_rules! kinds {
    ($dollar:tt $($(#[$documentation:meta])* $kind:ident($fields:ty),)+) => {
        /// One object of a topology.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case", tag = "kind")]
        pub enum Object {
            $($(#[$documentation])* $kind($fields),)+
        }

        /// The kinds of objects, in the order of their creation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $($(#[$documentation])* $kind,)+
        }

        impl Kind {
            /// All kinds, in the order of their creation.
            pub const ALL: [Kind; [$(Kind::$kind),+].len()] = [$(Kind::$kind),+];

            /// Returns the kind of an object.
            pub fn of(object: &Object) -> Kind {
                match object {
                    $(Object::$kind(_) => Kind::$kind,)+
                }
            }
        }

        $(
            const _: () = assert!(matches!(<$kind as Resource>::KIND, Kind::$kind));

            impl From<$kind> for Object {
                fn from(object: $kind) -> Object {
                    Object::$kind(object.into())
                }
            }
        )+

        /// Evaluates an expression for the object of the type that its kind has.
        macro_rules! with_object {
            ($dollar object:expr, $dollar own:ident => $dollar value:expr) => {
                match $dollar object {
                    $(Object::$kind($dollar own) => $dollar value,)+
                }
            };
        }

        /// Evaluates an expression for the type of a kind.
        macro_rules! with_type {
            ($dollar of:expr, $dollar own:ident => $dollar value:expr) => {
                match $dollar of {
                    $(Kind::$kind => {
                        type $dollar own = $kind;
                        $dollar value
                    })+
                }
            };
        }

        impl Object {
            /// Describes what differs between this object and the one that is wanted in its place; returns nothing
            /// where they are the same to MidoNet. The place in an order is not part of it: the order is compared as
            /// a whole.
            pub fn difference(&self, wanted: &Object) -> Option<String> {
                match (self, wanted) {
                    $((Object::$kind(old), Object::$kind(new)) => old.difference(new),)+
                    (old, new) => Some(difference::changed_fields(old, new)),
                }
            }
        }
    };
}

// The table. Objects are created in this order and deleted in the reverse one. `plan/order.rs` has the reasons.
kinds! { $
    /// A tunnel zone: the set of hosts that may carry each other's traffic.
    TunnelZone(TunnelZone),
    /// A host's membership in a tunnel zone.
    TunnelZoneHost(TunnelZoneHost),
    /// A group of ports.
    PortGroup(PortGroup),
    /// A chain of rules.
    Chain(Chain),
    /// A router.
    Router(Router),
    /// A bridge.
    Bridge(Bridge),
    /// A port of a router.
    RouterPort(RouterPort),
    /// A port of a bridge.
    BridgePort(BridgePort),
    /// A rule of a chain.
    Rule(Box<Rule>),
    /// A route of a router.
    Route(Route),
    /// A link between two ports.
    PortLink(PortLink),
    /// A port's membership in a port group.
    PortGroupPort(PortGroupPort),
    /// A port's binding to an interface of a host.
    HostInterfacePort(HostInterfacePort),
}

impl Kind {
    /// Returns the kind in words.
    pub fn name(self) -> &'static str {
        with_type!(self, Own => Own::NAME)
    }

    /// Returns how objects of this kind are identified.
    pub fn identity(self) -> Identity {
        with_type!(self, Own => Own::IDENTITY)
    }

    /// Returns true if objects of this kind have an id. Others are named by what they join.
    pub fn has_own_id(self) -> bool {
        matches!(self.identity(), Identity::Id { .. })
    }

    /// Returns the media types of one object of this kind.
    pub fn media_types(self) -> MediaTypes {
        with_type!(self, Own => Own::MEDIA_TYPES)
    }

    /// Returns how an object of this kind is changed.
    pub fn update(self) -> Update {
        with_type!(self, Own => Own::UPDATE)
    }

    /// Returns true if what such an object joins can have only one of this kind.
    pub fn is_exclusive(self) -> bool {
        with_type!(self, Own => Own::EXCLUSIVE)
    }

    /// Returns the read that shows that a POST of an object of this kind happened, from the POST's path and body.
    pub fn evidence(self, path: &str, body: &Value) -> Option<Evidence> {
        with_type!(self, Own => Own::evidence(path, body))
    }
}

impl Object {
    /// Describes the object in one line, in MidoNet's terms and without its key: `10.20.0.0/24 via 172.16.0.5, weight
    /// 100`, `accept: protocol tcp, destination port 5432, in port acme/bridge/web/gateway-port`.
    pub fn describe(&self) -> String {
        with_object!(self, own => own.describe())
    }

    /// Returns the reference to the object that this one is part of.
    pub fn parent(&self) -> Option<TypedReference<'_>> {
        with_object!(self, own => own.parent())
    }

    /// Calls `visit` with every reference of the object, the one to its parent first.
    pub fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        self.parent().into_iter().for_each(&mut *visit);
        with_object!(self, own => own.references(visit));
    }

    /// Returns the keys that the object depends on, sorted, each once.
    pub fn dependencies(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        self.references(&mut |found| keys.extend(found.reference.key().cloned()));
        keys.sort();
        keys.dedup();
        keys
    }

    /// Returns the two most important references: to the object that this one belongs to, and to the one that it leads to.
    pub fn ends(&self) -> [Option<&Reference>; 2] {
        with_object!(self, own => own.ends())
    }

    /// Returns the fields that midoform knows by their names alone; none for kinds without such fields.
    pub fn other_fields(&self) -> Option<&BTreeMap<String, OtherField>> {
        match self {
            Object::Rule(rule) => Some(&rule.condition.others),
            _ => None,
        }
    }

    /// Returns the place in the order of its parent's objects: 1 is the first. Nothing for kinds without an order.
    pub fn position(&self) -> Option<u32> {
        with_object!(self, own => own.position())
    }

    /// Returns what only one object of this kind can have at a time, if it has such a thing: an interface of a host, an address in a
    /// tunnel zone. Another object that has the same has to be deleted first.
    pub fn occupies(&self) -> Option<String> {
        with_object!(self, own => own.occupies())
    }

    /// Returns true if traffic may flow through the object.
    pub fn carries_traffic(&self) -> bool {
        with_object!(self, own => own.carries_traffic())
    }

    /// Returns what a router and a bridge have in common.
    pub fn device(&self) -> Option<&Device> {
        match self {
            Object::Router(Router(device)) | Object::Bridge(Bridge(device)) => Some(device),
            _ => None,
        }
    }

    /// Returns true if both say the same, wherever they are in an order.
    pub fn is_like(&self, other: &Object) -> bool {
        match (self, other) {
            (Object::Rule(one), Object::Rule(other)) => {
                one.chain == other.chain && one.says_the_same_as(other)
            }
            (one, other) => one == other,
        }
    }

    /// Returns MidoNet's `adminStateUp`; none for kinds that can't be switched off.
    pub fn admin_state_up(&self) -> Option<bool> {
        match self {
            Object::Router(Router(device)) | Object::Bridge(Bridge(device)) => Some(device.admin_state_up),
            Object::RouterPort(port) => Some(port.admin_state_up),
            Object::BridgePort(port) => Some(port.admin_state_up),
            _ => None,
        }
    }

    /// Returns the chain that filters the packets at the object in a direction.
    pub fn filter(&self, direction: FilterDirection) -> Option<&Reference> {
        let (inbound, outbound) = match self {
            Object::Router(Router(device)) | Object::Bridge(Bridge(device)) => {
                (&device.inbound_filter, &device.outbound_filter)
            }
            Object::RouterPort(port) => (&port.inbound_filter, &port.outbound_filter),
            Object::BridgePort(port) => (&port.inbound_filter, &port.outbound_filter),
            _ => return None,
        };
        match direction {
            FilterDirection::Inbound => inbound.as_ref(),
            FilterDirection::Outbound => outbound.as_ref(),
        }
    }

    /// Returns the chains that filter the packets at the object, inbound first; none for kinds without filters.
    pub fn filters_mut(&mut self) -> Option<[(FilterDirection, &mut Option<Reference>); 2]> {
        let (inbound, outbound) = match self {
            Object::Router(Router(device)) | Object::Bridge(Bridge(device)) => {
                (&mut device.inbound_filter, &mut device.outbound_filter)
            }
            Object::RouterPort(port) => (&mut port.inbound_filter, &mut port.outbound_filter),
            Object::BridgePort(port) => (&mut port.inbound_filter, &mut port.outbound_filter),
            _ => return None,
        };
        Some([(FilterDirection::Inbound, inbound), (FilterDirection::Outbound, outbound)])
    }

    /// Returns true if the object has an id and is part of no other: a device, a chain, a group, a tunnel zone.
    pub fn stands_alone(&self) -> bool {
        Kind::of(self).has_own_id() && self.parent().is_none()
    }

    /// Returns the path that the object is posted to.
    pub fn collection_path(&self, names: &dyn Names) -> String {
        with_object!(self, own => own.posted_to(names))
    }

    /// Returns the path of the object itself.
    pub fn path(&self, names: &dyn Names, key: &Key) -> String {
        with_object!(self, own => own.path(names, key))
    }

    /// Returns the body that creates the object: only the fields that midoform uses. `id` is what is offered, or
    /// nothing if the server would ignore it; `position` is where the object is inserted in its parent's order.
    pub fn body(&self, names: &dyn Names, id: Option<String>, position: u32) -> Option<Box<RawValue>> {
        with_object!(self, own => own.body(names, id, position))
    }
}
