//! Tunnel zones and their hosts (13-host-binding, steps 4 to 6).

use uuid::Uuid;

use crate::integrity::delete_naming;
use crate::schema::{Check, Form, Item, Kind, Unset, link, link_on, other, text, uuid};
use crate::state::Transaction;
use crate::version::{Version, Versions};

const V5: Versions = Versions::V5;
const NOT_NULL: &[(Versions, Check)] = &[(Versions::ALL, Check::NotNull)];
const NAME: &[(Versions, Check)] = &[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::Length(1, 255))];
const KINDS: &[&str] = &["gre", "vxlan", "vtep"];

pub(crate) const TABLE: &[Item] = &[
    uuid("id").row(),
    text("name").checked(NAME).row(),
    other("type", Form::Word("TunnelZone$TunnelZoneType", KINDS), Unset::Null).checked(NOT_NULL).row(),
    link("hosts", "/tunnel_zones/{id}/hosts"),
    link("uri", "/tunnel_zones/{id}"),
];

pub(crate) const HOST_TABLE: &[Item] = &[
    uuid("id").hidden().row(),
    uuid("tunnelZoneId").by_server().row(),
    uuid("hostId").checked(NOT_NULL).row(),
    text("ipAddress").checked(&[(Versions::ALL, Check::NotNull), (Versions::ALL, Check::Address)]).row(),
    link_on("tunnelZone", "/tunnel_zones/{tunnelZoneId}", V5, &[]),
    link("uri", "/tunnel_zones/{tunnelZoneId}/hosts/{hostId}"),
    link_on("host", "/hosts/{hostId}", V5, &[]),
];

/// A zone takes its hosts' memberships.
pub(crate) fn cascade(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_naming(change, version, id, "tunnelZoneId", Kind::ZoneHost);
}
