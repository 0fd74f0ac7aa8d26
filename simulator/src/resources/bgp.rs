//! BGP: the peers and the advertised networks of a router on 5.x, the sessions of a port on 1.7 (not recorded; MidoNet's
//! source).

use super::PREFIX;
use crate::schema::{Check, Row, link, number, optional_number, text, uuid};
use crate::version::Versions;

const ADDRESS: &[(Versions, Check)] =
    &[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::AddressPattern)];
const AS_NUMBER: &[(Versions, Check)] = &[(Versions::ALL, Check::AtLeast(1))];
/// The constraints on a time between two messages or two attempts, in seconds.
const INTERVAL: &[(Versions, Check)] =
    &[(Versions::ALL, Check::AtLeast(5)), (Versions::ALL, Check::AtMost(3600))];
/// The constraints on the time after which a silent peer is lost, in seconds.
const HOLD_TIME: &[(Versions, Check)] =
    &[(Versions::ALL, Check::AtLeast(5)), (Versions::ALL, Check::AtMost(7200))];

pub(crate) const PEER_TABLE: &[Row] = &[
    uuid("id").row(),
    number("asNumber", 0).checked(AS_NUMBER).row(),
    text("address").checked(ADDRESS).row(),
    optional_number("keepAlive").checked(INTERVAL).row(),
    optional_number("holdTime").checked(HOLD_TIME).row(),
    optional_number("connectRetry").checked(INTERVAL).row(),
    text("password").row(),
    uuid("routerId").hidden().row(),
    link("uri", "/bgp_peers/{id}"),
    link("router", "/routers/{routerId}"),
];

pub(crate) const NETWORK_TABLE: &[Row] = &[
    uuid("id").row(),
    uuid("routerId").hidden().row(),
    text("subnetAddress").checked(ADDRESS).row(),
    number("subnetLength", 0).checked(PREFIX).row(),
    link("uri", "/bgp_networks/{id}"),
    link("router", "/routers/{routerId}"),
];

pub(crate) const PORT_TABLE: &[Row] = &[
    uuid("id").row(),
    number("localAS", 0).row(),
    text("peerAddr").row(),
    number("peerAS", 0).row(),
    uuid("portId").by_server().row(),
    link("port", "/ports/{portId}"),
    link("uri", "/bgps/{id}"),
    link("adRoutes", "/bgps/{id}/ad_routes"),
];
