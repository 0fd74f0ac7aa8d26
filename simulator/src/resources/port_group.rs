//! Port groups and their members (14-groups).

use uuid::Uuid;

use super::{FILLED_NAME, REQUIRED_ON_1X};
use crate::integrity::{PORT_GROUPS, delete_referring};
use crate::schema::{Check, Kind, Row, flag, link, text, uuid};
use crate::state::Transaction;
use crate::version::{Version, Versions};

const MEMBER: &[(Versions, Check)] = &[(Versions::ALL, Check::NotNull)];

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    text("tenantId").checked(REQUIRED_ON_1X).row(),
    text("name").checked(FILLED_NAME).row(),
    flag("stateful", false).row(),
    link("uri", "/port_groups/{id}"),
    link("ports", "/port_groups/{id}/ports"),
];

pub(crate) const PORT_TABLE: &[Row] = &[
    uuid("id").hidden().row(),
    uuid("portGroupId").row(),
    uuid("portId").checked(MEMBER).row(),
    link("portGroup", "/port_groups/{portGroupId}"),
    link("uri", "/port_groups/{portGroupId}/ports/{portId}"),
    link("port", "/ports/{portId}"),
];

/// Deletes what belongs to a port group: its memberships and, on 1.7, the rules that match it; on 5.x these stay
/// (14-groups, steps 15 to 18).
pub(crate) fn cascade(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "portGroupId", Kind::PortGroupPort);
    if version.traits().is_1x {
        for field in PORT_GROUPS {
            delete_referring(change, version, id, field, Kind::Rule);
        }
    }
}
