//! The tables of deleted routers and bridges, which 5.0.2 keeps (17-id-again).

use crate::schema::{Row, text, uuid};

pub(crate) const TABLE: &[Row] = &[
    uuid("id").hidden().row(),
    // The router or bridge that was deleted, and its kind.
    uuid("deviceId").hidden().row(),
    text("deviceKind").hidden().row(),
];
