//! Chains (04-chain-rule). The rules of a chain are kept by rank, which the rules carry themselves.

use super::{NAME, REQUIRED_ON_1X};
use crate::schema::{Item, link, text, uuid};

pub(crate) const TABLE: &[Item] = &[
    uuid("id").row(),
    text("tenantId").checked(REQUIRED_ON_1X).row(),
    text("name").checked(NAME).row(),
    link("rules", "/chains/{id}/rules"),
    link("uri", "/chains/{id}"),
];
