//! The kinds of objects that a network is made of, of both engines. MidoNet's have one file for each kind, and one table that lists
//! them. OVN's are [rows](row), of one kind for each table.
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
pub mod row;
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
use row::schema::{TABLES, Table};

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
pub use row::Row;
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
            /// A row of OVN's northbound database.
            Row(Box<Row>),
        }

        /// The kinds of objects, in the order of their creation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $($(#[$documentation])* $kind,)+
            /// A row of a table of OVN's northbound database.
            #[serde(untagged)]
            Row(Table),
        }

        impl Kind {
            /// The kinds of MidoNet, in the order of their creation.
            const MIDONET: [Kind; [$(Kind::$kind),+].len()] = [$(Kind::$kind),+];

            /// Returns the kind of an object.
            pub fn of(object: &Object) -> Kind {
                match object {
                    $(Object::$kind(_) => Kind::$kind,)+
                    Object::Row(row) => row.kind(),
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

        /// Evaluates an expression for the object of the type that its kind has, of MidoNet or of OVN.
        macro_rules! with_object {
            ($dollar object:expr, $dollar own:ident => $dollar value:expr, $dollar row:ident => $dollar of_row:expr) => {
                match $dollar object {
                    $(Object::$kind($dollar own) => $dollar value,)+
                    Object::Row($dollar row) => $dollar of_row,
                }
            };
        }

        /// Evaluates an expression for the type of a kind of MidoNet, or for a table of OVN.
        macro_rules! with_type {
            ($dollar of:expr, $dollar own:ident => $dollar value:expr, $dollar table:pat => $dollar of_row:expr) => {
                match $dollar of {
                    $(Kind::$kind => {
                        type $dollar own = $kind;
                        $dollar value
                    })+
                    Kind::Row($dollar table) => $dollar of_row,
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
                    (Object::Row(old), Object::Row(new)) if old.table == new.table => old.difference(new),
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

impl From<Row> for Object {
    fn from(row: Row) -> Object {
        Object::Row(Box::new(row))
    }
}

impl Kind {
    /// Returns all kinds, those of MidoNet in the order of their creation, and then those of OVN.
    pub fn all() -> impl Iterator<Item = Kind> {
        let rows = TABLES.iter().map(|schema| Kind::Row(schema.table));
        Kind::MIDONET.into_iter().chain(rows)
    }

    /// Returns the kind in words; of a row, the name of its table.
    pub fn name(self) -> &'static str {
        with_type!(self, Own => Own::NAME, table => table.name())
    }

    /// Returns how the API identifies objects of this kind; none for rows, each of which has its `_uuid`.
    pub fn identity(self) -> Option<Identity> {
        with_type!(self, Own => Some(Own::IDENTITY), _ => None)
    }

    /// Returns true if objects of this kind have an id. Others are named by what they join.
    pub fn has_own_id(self) -> bool {
        !matches!(self.identity(), Some(Identity::Joined { .. }))
    }

    /// Returns the media types of one object of this kind; none for rows.
    pub fn media_types(self) -> Option<MediaTypes> {
        with_type!(self, Own => Some(Own::MEDIA_TYPES), _ => None)
    }

    /// Returns how an object of this kind is changed.
    pub fn update(self) -> Update {
        with_type!(self, Own => Own::UPDATE, _ => Update::InPlace { clears: &[] })
    }

    /// Returns true if what such an object joins can have only one of this kind.
    pub fn is_exclusive(self) -> bool {
        with_type!(self, Own => Own::EXCLUSIVE, _ => false)
    }

    /// Returns the read that shows that a POST of an object of this kind happened, from the POST's path and body.
    pub fn evidence(self, path: &str, body: &Value) -> Option<Evidence> {
        with_type!(self, Own => Own::evidence(path, body), _ => None)
    }
}

impl Object {
    /// Describes the object in one line, in MidoNet's terms and without its key: `10.20.0.0/24 via 172.16.0.5, weight
    /// 100`, `accept: protocol tcp, destination port 5432, in port acme/bridge/web/gateway-port`.
    pub fn describe(&self) -> String {
        with_object!(self, own => own.describe(), row => row.describe())
    }

    /// Returns the reference to the object that this one is part of.
    pub fn parent(&self) -> Option<TypedReference<'_>> {
        with_object!(self, own => own.parent(), row => row.parent())
    }

    /// Calls `visit` with every reference of the object, the one to its parent first.
    pub fn references<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        self.parent().into_iter().for_each(&mut *visit);
        with_object!(self, own => own.references(visit), row => row.references_of(visit));
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
        with_object!(self, own => own.ends(), row => row.ends())
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
        with_object!(self, own => own.position(), _row => None)
    }

    /// Returns what only one object of this kind can have at a time, if it has such a thing: an interface of a host, an address in a
    /// tunnel zone. Another object that has the same has to be deleted first.
    pub fn occupies(&self) -> Option<String> {
        with_object!(self, own => own.occupies(), _row => None)
    }

    /// Returns true if traffic may flow through the object.
    pub fn carries_traffic(&self) -> bool {
        with_object!(self, own => own.carries_traffic(), row => row.carries_traffic())
    }

    /// Returns true for a rule that drops or rejects.
    pub fn stops_packets(&self) -> bool {
        match self {
            Object::Rule(rule) => matches!(rule.action, RuleAction::Drop | RuleAction::Reject),
            _ => false,
        }
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

    /// Returns the path of MidoNet's API that the object is posted to; none for a row.
    pub fn collection_path(&self, names: &dyn Names) -> Option<String> {
        with_object!(self, own => Some(own.posted_to(names)), _row => None)
    }

    /// Returns the path of the object itself in MidoNet's API; none for a row.
    pub fn path(&self, names: &dyn Names, key: &Key) -> Option<String> {
        with_object!(self, own => Some(own.path(names, key)), _row => None)
    }

    /// Returns the body that creates the object: only the fields that midoform uses. `id` is what is offered, or
    /// nothing if the server would ignore it; `position` is where the object is inserted in its parent's order.
    pub fn body(&self, names: &dyn Names, id: Option<String>, position: u32) -> Option<Box<RawValue>> {
        with_object!(self, own => own.body(names, id, position), _row => None)
    }

    /// Returns the row of OVN's northbound database, if it is one.
    pub fn row(&self) -> Option<&Row> {
        match self {
            Object::Row(row) => Some(row),
            _ => None,
        }
    }
}
