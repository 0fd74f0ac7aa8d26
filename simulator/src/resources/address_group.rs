//! Address groups and their addresses (14-groups, steps 6 to 9).

use uuid::Uuid;

use super::REQUIRED_NAME;
use crate::integrity::{ADDRESS_GROUPS, delete_referring};
use crate::schema::{DefaultValue, Kind, Row, ValueType, link, number, other, text, uuid, uuids};
use crate::state::Transaction;
use crate::version::{Version, Versions};

const V5_8: Versions = Versions::V5_8;

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    text("name").checked(REQUIRED_NAME).row(),
    other("ipAddrPorts", ValueType::Any, DefaultValue::EmptyList).on(V5_8).by_server().row(),
    uuid("inboundChainId").on(V5_8).by_server().row(),
    uuid("outboundChainId").on(V5_8).by_server().row(),
    uuids("ruleIds").on(V5_8).by_server().row(),
    link("addrs", "/ip_addr_groups/{id}/ip_addrs"),
    link("uri", "/ip_addr_groups/{id}"),
];

/// The IP versions of addresses, which are the types of their bodies.
pub(crate) const VERSIONS: &[&str] = &["4", "6"];

pub(crate) const ADDRESS_TABLE: &[Row] = &[
    uuid("id").hidden().row(),
    number("version", 0).by_server().row(),
    text("addr").row(),
    uuid("ipAddrGroupId").by_server().row(),
    link("ipAddrGroup", "/ip_addr_groups/{ipAddrGroupId}"),
    link("uri", "/ip_addr_groups/{ipAddrGroupId}/versions/{version}/ip_addrs/{addr}"),
];

/// Deletes what belongs to an address group: its addresses and, on 1.7, the rules that match it; on 5.x these stay
/// (14-groups, steps 15 to 18).
pub(crate) fn cascade(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "ipAddrGroupId", Kind::IpAddrGroupAddr);
    if version.traits().is_1x {
        for field in ADDRESS_GROUPS {
            delete_referring(change, version, id, field, Kind::Rule);
        }
    }
}
