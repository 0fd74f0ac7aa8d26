//! Routes (07-route).

use super::PREFIX;
use crate::schema::{Check, DefaultValue, Row, ValueType, flag, link, number, other, text, uuid};
use crate::version::Versions;

const V5: Versions = Versions::V5;
/// The types that a 1.x client can create (step 14); 5.x also has "Local", which the server creates.
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

/// The type of the routes that 5.x adds for its routers' own addresses. A Local route that a client creates without a
/// port belongs to no router; reading it is an error (not recorded; from the way in which 5.x finds a route's router).
pub(crate) const LOCAL: &str = "Local";
/// The Java enumeration of route types, which has its own message about bad values (step 14 on 5.x).
pub(crate) const NEXT_HOP: &str = "Route$NextHop";
