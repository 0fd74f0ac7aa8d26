//! Routes (07-route).

use super::PREFIX;
use crate::schema::{Check, DefaultValue, Row, ValueType, flag, link, number, other, text, uuid};
use crate::version::Versions;

const V5: Versions = Versions::V5;
/// The types that a 1.x client may ask for (step 14); 5.x knows "Local" too, which it makes itself.
const TYPES: &[&str] = &["Normal", "BlackHole", "Reject"];
const ADDRESS: &[(Versions, Check)] =
    &[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::AddressPattern)];
const NOT_NEGATIVE: &[(Versions, Check)] = &[(Versions::ALL, Check::AtLeast(0))];

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    uuid("routerId").by_server().row(),
    uuid("nextHopPort").row(),
    text("attributes").row(),
    text("dstNetworkAddr").checked(ADDRESS).row(),
    number("dstNetworkLength", 0).checked(PREFIX).row(),
    text("srcNetworkAddr").checked(ADDRESS).row(),
    number("srcNetworkLength", 0).checked(PREFIX).row(),
    text("nextHopGateway").checked(&[(Versions::ALL, Check::AddressPattern)]).row(),
    flag("learned", false).on(V5).by_server().row(),
    text("type")
        .on(Versions::V1)
        .checked(&[(Versions::V1, Check::NotNull), (Versions::V1, Check::OneOf(TYPES))])
        .row(),
    other("type", ValueType::Word(NEXT_HOP, &["Normal", "BlackHole", "Reject", LOCAL]), DefaultValue::Null)
        .on(V5)
        .checked(&[(Versions::ALL, Check::NotNull)])
        .row(),
    number("weight", 0).checked(NOT_NEGATIVE).row(),
    link("router", "/routers/{routerId}"),
    link("uri", "/routes/{id}"),
];

/// The type of the routes that 5.x makes for its routers' own addresses. One that a client makes without a port belongs
/// to no router; reading it is an error (not recorded; from how 5.x looks a route's router up).
pub(crate) const LOCAL: &str = "Local";
/// The enumeration of route types, whose bad words have a message of their own (step 14 on 5.x).
pub(crate) const NEXT_HOP: &str = "Route$NextHop";
