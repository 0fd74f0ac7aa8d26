//! Chains (04-chain-rule). The order of a chain's rules is that of their ranks, a field of the rules.

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

/// The fields of a device or a port that name its filter chains.
const FILTERS: [&str; 4] = ["inboundFilterId", "outboundFilterId", "localRedirectChainId", "forwardChainId"];

/// Deletes what belongs to a chain: its rules and the rules that jump to it (04-chain-rule, steps 26 to 29). Devices
/// and ports lose it as their filter (08-filters, steps 5 and 6).
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
