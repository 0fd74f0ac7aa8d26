//! Port groups and their members (14-groups).

use super::{FILLED_NAME, REQUIRED_ON_1X};
use crate::schema::{Check, Row, flag, link, text, uuid};
use crate::version::Versions;

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
