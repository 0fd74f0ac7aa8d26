//! Chains (04-chain-rule). The order of a chain's rules is that of their ranks, a field of the rules.

use super::{FILLED_NAME, REQUIRED_ON_1X};
use crate::schema::{Row, link, text, uuid};

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    text("tenantId").checked(REQUIRED_ON_1X).row(),
    text("name").checked(FILLED_NAME).row(),
    link("rules", "/chains/{id}/rules"),
    link("uri", "/chains/{id}"),
];
