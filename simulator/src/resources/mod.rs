//! The kinds of resources, one file for each: its fields with their defaults and constraints.
//!
//! The fields in a table are in the order in which the servers show them.

pub(crate) mod address_group;
pub(crate) mod application;
pub(crate) mod bgp;
pub(crate) mod bridge;
pub(crate) mod chain;
pub(crate) mod device_table;
pub(crate) mod dhcp;
pub(crate) mod host;
pub(crate) mod host_interface_port;
pub(crate) mod load_balancer;
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

use crate::schema::{Check, Field, Kind, Row, applies};
use crate::version::{Version, Versions};

/// The tables belong to the kinds, and are here since they refer to kinds themselves.
impl Kind {
    /// Returns the kind's table.
    pub(crate) const fn table(self) -> &'static [Row] {
        match self {
            Kind::Router => router::TABLE,
            Kind::Bridge => bridge::TABLE,
            Kind::Port => port::TABLE,
            Kind::Route => route::TABLE,
            Kind::Chain => chain::TABLE,
            Kind::Rule => rule::TABLE,
            Kind::Host => host::TABLE,
            Kind::TunnelZone => tunnel_zone::TABLE,
            Kind::TunnelZoneHost => tunnel_zone::HOST_TABLE,
            Kind::PortGroup => port_group::TABLE,
            Kind::PortGroupPort => port_group::PORT_TABLE,
            Kind::IpAddrGroup => address_group::TABLE,
            Kind::IpAddrGroupAddr => address_group::ADDRESS_TABLE,
            Kind::LoadBalancer => load_balancer::TABLE,
            Kind::BgpPeer => bgp::PEER_TABLE,
            Kind::BgpNetwork => bgp::NETWORK_TABLE,
            Kind::Bgp => bgp::PORT_TABLE,
            Kind::DhcpSubnet => dhcp::TABLE,
            Kind::DhcpSubnet6 => dhcp::IPV6_TABLE,
            Kind::DeviceTable => device_table::TABLE,
            Kind::HostInterfacePort => host_interface_port::TABLE,
        }
    }

    /// Returns the field that states an object's type in a body, with its allowed values.
    pub(crate) const fn discriminator(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Kind::Port | Kind::Rule => Some(("type", self.types())),
            Kind::IpAddrGroupAddr => Some(("version", address_group::VERSIONS)),
            _ => None,
        }
    }

    /// Returns the types of the kind; empty for a kind without types.
    pub(crate) const fn types(self) -> &'static [&'static str] {
        match self {
            Kind::Port => port::TYPES,
            Kind::Rule => rule::TYPES,
            _ => &[],
        }
    }
}

/// Returns the fields of a kind that apply to this version and to an object of this type.
pub(crate) fn fields(kind: Kind, version: Version, of: &str) -> impl Iterator<Item = &'static Field> {
    kind.table().iter().filter_map(move |item| match item {
        Row::Field(field) if applies(field.versions, field.types, version, of) => Some(field),
        _ => None,
    })
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
