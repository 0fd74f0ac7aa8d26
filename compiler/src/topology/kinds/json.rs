//! Functions that the JSON of several kinds has in common.

use ipnet::Ipv4Net;
use serde::Serialize;
use serde_json::value::RawValue;

/// Writes a body.
pub(super) fn raw(body: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(body).ok()
}

/// Reads a network from its two fields.
pub(super) fn network(address: Option<&str>, length: u8) -> Option<Ipv4Net> {
    Ipv4Net::new(address?.parse().ok()?, length).ok()
}

/// Returns true for a flag that a body leaves out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}
