//! The kinds of resources, one file for each: its fields with their defaults and constraints, and the cascade of a
//! delete.
//!
//! The fields in a table are in the order in which the servers show them.

pub(crate) mod address_group;
pub(crate) mod application;
pub(crate) mod bridge;
pub(crate) mod chain;
pub(crate) mod host;
pub(crate) mod host_interface_port;
pub(crate) mod login;
pub(crate) mod port;
pub(crate) mod port_group;
pub(crate) mod port_link;
pub(crate) mod route;
pub(crate) mod router;
pub(crate) mod rule;
pub(crate) mod system_state;
pub(crate) mod tenant;
pub(crate) mod tunnel_zone;

use uuid::Uuid;

use crate::schema::{Check, Kind};
use crate::state::Transaction;
use crate::version::{Version, Versions};

/// Deletes what belongs to an object of a kind.
pub(crate) fn cascade(change: &mut Transaction<'_>, version: Version, kind: Kind, id: Uuid) {
    match kind {
        Kind::Router => router::cascade(change, version, id),
        Kind::Bridge => bridge::cascade(change, version, id),
        Kind::Port => port::cascade(change, version, id),
        Kind::Chain => chain::cascade(change, version, id),
        Kind::Host => host::cascade(change, version, id),
        Kind::TunnelZone => tunnel_zone::cascade(change, version, id),
        Kind::PortGroup => port_group::cascade(change, version, id),
        Kind::IpAddrGroup => address_group::cascade(change, version, id),
        Kind::Route
        | Kind::Rule
        | Kind::TunnelZoneHost
        | Kind::PortGroupPort
        | Kind::IpAddrGroupAddr
        | Kind::HostInterfacePort => {}
    }
}

/// The constraint on a field that 1.x requires (02-router, steps 8 and 9) and 5.x does not.
const REQUIRED_ON_1X: &[(Versions, Check)] = &[(Versions::V1, Check::NotNull)];
/// The constraints on a device's name. 5.x limits its length (the lengths of names are not recorded; they are MidoNet's
/// declarations).
const NAME: &[(Versions, Check)] = &[(Versions::V1, Check::NotNull), (Versions::V5, Check::Length(0, 255))];
/// The constraints on the name of a chain or a port group, which can't be empty on 1.7.
const FILLED_NAME: &[(Versions, Check)] = &[
    (Versions::V1, Check::NotNull),
    (Versions::V1, Check::Length(1, 255)),
    (Versions::V5, Check::Length(0, 255)),
];
/// The constraints on a name that every version requires.
const REQUIRED_NAME: &[(Versions, Check)] =
    &[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::Length(1, 255))];
/// The constraints on a prefix length.
const PREFIX: &[(Versions, Check)] =
    &[(Versions::ALL, Check::AtLeast(0)), (Versions::ALL, Check::AtMost(32))];
