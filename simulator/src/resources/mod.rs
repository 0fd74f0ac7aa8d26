//! One file a kind: its fields with their defaults, what is checked, and what a delete takes with it.
//!
//! The tables are in the order in which the servers show the fields.

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

/// Takes away what goes with a thing of a kind.
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

/// What every 1.x resource with a tenant requires (02-router, steps 8 and 9), and 5.x does not.
const REQUIRED_ON_1X: &[(Versions, Check)] = &[(Versions::V1, Check::NotNull)];
/// The same for a device's name, which has a longest length on 5.x (the lengths of names are not recorded: they are
/// what MidoNet declares).
const NAME: &[(Versions, Check)] = &[(Versions::V1, Check::NotNull), (Versions::V5, Check::Length(0, 255))];
/// The same for the names of chains and port groups, which 1.7 does not let be empty either.
const FILLED_NAME: &[(Versions, Check)] = &[
    (Versions::V1, Check::NotNull),
    (Versions::V1, Check::Length(1, 255)),
    (Versions::V5, Check::Length(0, 255)),
];
/// A name that every version wants.
const REQUIRED_NAME: &[(Versions, Check)] =
    &[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::Length(1, 255))];
/// A prefix length.
const PREFIX: &[(Versions, Check)] =
    &[(Versions::ALL, Check::AtLeast(0)), (Versions::ALL, Check::AtMost(32))];
