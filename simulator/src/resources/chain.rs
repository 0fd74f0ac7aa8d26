//! Chains (04-chain-rule). The rules of a chain are kept by rank, which the rules carry themselves.

use uuid::Uuid;

use super::{FILLED_NAME, REQUIRED_ON_1X};
use crate::integrity::delete_referring;
use crate::object::Value;
use crate::schema::{Kind, Row, link, text, uuid};
use crate::state::Transaction;
use crate::version::Version;

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    text("tenantId").checked(REQUIRED_ON_1X).row(),
    text("name").checked(FILLED_NAME).row(),
    link("rules", "/chains/{id}/rules"),
    link("uri", "/chains/{id}"),
];

/// The fields by which chains filter what goes through a device.
const FILTERS: [&str; 4] = ["inboundFilterId", "outboundFilterId", "localRedirectChainId", "forwardChainId"];

/// A chain takes its rules and the jumps to it (04-chain-rule, steps 26 to 29), and no longer filters anything
/// (08-filters, steps 5 and 6).
pub(crate) fn cascade(change: &mut Transaction<'_>, version: Version, id: Uuid) {
    delete_referring(change, version, id, "chainId", Kind::Rule);
    delete_referring(change, version, id, "jumpChainId", Kind::Rule);
    for filter in FILTERS {
        for kind in [Kind::Router, Kind::Bridge, Kind::Port] {
            for device in change.referring(id, filter, kind) {
                change.set(kind, device.id, filter, Value::Null);
            }
        }
    }
}
