//! DHCP subnets of bridges, without their hosts (not recorded; MidoNet's source).

use super::PREFIX;
use crate::schema::{
    Check, DefaultValue, Row, ValueType, flag, link, number, optional_number, other, text, uuid,
};
use crate::version::Versions;

const V1: Versions = Versions::V1;
const V5: Versions = Versions::V5;
const BAD_ON_1X: &str = "is an invalid IP format";
const ADDRESS: &[(Versions, Check)] =
    &[(V1, Check::Ipv4(BAD_ON_1X)), (V5, Check::Ipv4("is an invalid IPv4 format"))];
const NETWORK: &[(Versions, Check)] = &[
    (Versions::ALL, Check::NotNull),
    (V1, Check::Ipv4(BAD_ON_1X)),
    (V5, Check::Ipv4("is an invalid IPv4 format")),
];
const IPV6_NETWORK: &[(Versions, Check)] = &[
    (Versions::ALL, Check::NotNull),
    (V1, Check::Ipv6(BAD_ON_1X)),
    (V5, Check::Ipv6("is an invalid IPv6 format")),
];
const IPV6_PREFIX: &[(Versions, Check)] =
    &[(Versions::ALL, Check::AtLeast(0)), (Versions::ALL, Check::AtMost(128))];
const MTU: &[(Versions, Check)] =
    &[(Versions::ALL, Check::AtLeast(0)), (Versions::ALL, Check::AtMost(65_536))];

pub(crate) const TABLE: &[Row] = &[
    uuid("id").hidden().row(),
    uuid("bridgeId").hidden().row(),
    text("subnetPrefix").checked(NETWORK).row(),
    number("subnetLength", 0).checked(PREFIX).row(),
    text("defaultGateway").checked(ADDRESS).row(),
    text("serverAddr").checked(ADDRESS).row(),
    other("dnsServerAddrs", ValueType::Any, DefaultValue::Null).row(),
    number("interfaceMTU", 0).on(V1).checked(MTU).row(),
    optional_number("interfaceMTU").on(V5).checked(MTU).row(),
    other("opt121Routes", ValueType::Any, DefaultValue::EmptyList).row(),
    flag("enabled", true).row(),
    link("hosts", "/bridges/{bridgeId}/dhcp/{subnetPrefix}_{subnetLength}/hosts"),
    link("uri", "/bridges/{bridgeId}/dhcp/{subnetPrefix}_{subnetLength}"),
];

/// The fields that the older representation of 1.7 omits.
pub(crate) const NOT_IN_V1_FORM: &[&str] = &["enabled"];

pub(crate) const IPV6_TABLE: &[Row] = &[
    uuid("id").hidden().row(),
    uuid("bridgeId").hidden().row(),
    text("prefix").checked(IPV6_NETWORK).row(),
    number("prefixLength", 0).checked(IPV6_PREFIX).row(),
    link("hosts", "/bridges/{bridgeId}/dhcpV6/{prefix}_{prefixLength}/hostsV6"),
    link("uri", "/bridges/{bridgeId}/dhcpV6/{prefix}_{prefixLength}"),
];
