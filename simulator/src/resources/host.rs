//! Hosts: registered when the server starts, as an agent would (13-host-binding, steps 0 and 7).

use uuid::Uuid;

use crate::integrity::delete_referring;
use crate::schema::{DefaultValue, Kind, Row, ValueType, flag, link, number, other, text, uuid};
use crate::state::Transaction;
use crate::version::{Version, Versions};

const V5: Versions = Versions::V5;
const V5_8: Versions = Versions::V5_8;

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    text("name").by_server().row(),
    other("addresses", ValueType::Any, DefaultValue::EmptyList).by_server().row(),
    other("hostInterfaces", ValueType::Any, DefaultValue::EmptyList).on(V5).by_server().row(),
    flag("alive", true).on(Versions::V1).by_server().row(),
    flag("alive", false).on(V5).by_server().row(),
    number("floodingProxyWeight", 1).row(),
    number("containerWeight", 1).on(V5_8).row(),
    number("containerLimit", -1).on(V5_8).row(),
    flag("enforceContainerLimit", false).on(V5_8).row(),
    link("interfaces", "/hosts/{id}/interfaces"),
    link("uri", "/hosts/{id}"),
    link("ports", "/hosts/{id}/ports"),
];

/// Deletes what belongs to a host: its memberships in tunnel zones.
pub(crate) fn cascade(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "hostId", Kind::TunnelZoneHost);
}
