//! Port groups and their members (14-groups).

use super::{NAME, REQUIRED_ON_1X};
use crate::schema::{Check, Item, flag, link, text, uuid};
use crate::version::Versions;

const MEMBER: &[(Versions, Check)] = &[(Versions::ALL, Check::NotNull)];

pub(crate) const TABLE: &[Item] = &[
    uuid("id").row(),
    text("tenantId").checked(REQUIRED_ON_1X).row(),
    text("name").checked(NAME).row(),
    flag("stateful", false).row(),
    link("uri", "/port_groups/{id}"),
    link("ports", "/port_groups/{id}/ports"),
];

pub(crate) const PORT_TABLE: &[Item] = &[
    uuid("id").hidden().row(),
    uuid("portGroupId").row(),
    uuid("portId").checked(MEMBER).row(),
    link("portGroup", "/port_groups/{portGroupId}"),
    link("uri", "/port_groups/{portGroupId}/ports/{portId}"),
    link("port", "/ports/{portId}"),
];
