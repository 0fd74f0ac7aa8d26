//! Tunnel zones and their hosts (13-host-binding, steps 4 to 6).

use uuid::Uuid;

use super::REQUIRED_NAME;
use crate::integrity::delete_referring;
use crate::schema::{Check, DefaultValue, Kind, Row, ValueType, link, link_on, other, text, uuid};
use crate::state::Transaction;
use crate::version::{Version, Versions};

const V5: Versions = Versions::V5;
const NOT_NULL: &[(Versions, Check)] = &[(Versions::ALL, Check::NotNull)];
const KINDS: &[&str] = &["gre", "vxlan", "vtep"];

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    text("name").checked(REQUIRED_NAME).row(),
    text("type")
        .on(Versions::V1)
        .checked(&[(Versions::V1, Check::NotNull), (Versions::V1, Check::OneOf(KINDS))])
        .row(),
    other("type", ValueType::Word("TunnelZone$TunnelZoneType", KINDS), DefaultValue::Null)
        .on(V5)
        .checked(NOT_NULL)
        .row(),
    link("hosts", "/tunnel_zones/{id}/hosts"),
    link("uri", "/tunnel_zones/{id}"),
];

pub(crate) const HOST_TABLE: &[Row] = &[
    uuid("id").hidden().row(),
    uuid("tunnelZoneId").by_server().row(),
    uuid("hostId").row(),
    text("ipAddress").checked(&[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::Address)]).row(),
    link_on("tunnelZone", "/tunnel_zones/{tunnelZoneId}", V5, &[]),
    link("uri", "/tunnel_zones/{tunnelZoneId}/hosts/{hostId}"),
    link_on("host", "/hosts/{hostId}", V5, &[]),
];

/// Deletes what belongs to a tunnel zone: the memberships of its hosts.
pub(crate) fn cascade(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "tunnelZoneId", Kind::TunnelZoneHost);
}
