//! What the JSON of several kinds has in common.

use std::net::IpAddr;

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

/// A field of the server's JSON with a text that is none of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: String,
}

/// Returns the first of these addresses that is neither IPv4 nor IPv6. A missing one is none.
pub(super) fn malformed_address<'j>(
    fields: impl IntoIterator<Item = (&'static str, Option<&'j String>)>,
) -> Option<Malformed> {
    let mut texts = fields.into_iter().filter_map(|(field, text)| Some((field, text?)));
    let wrong = texts.find(|(_, text)| text.parse::<IpAddr>().is_err())?;
    Some(Malformed { field: wrong.0, value: wrong.1.clone() })
}

/// Returns the first of these prefix lengths that no address has.
pub(super) fn malformed_length(
    fields: impl IntoIterator<Item = (&'static str, Option<i64>)>,
) -> Option<Malformed> {
    let mut lengths = fields.into_iter().filter_map(|(field, length)| Some((field, length?)));
    let wrong = lengths.find(|(_, length)| !(0..=128).contains(length))?;
    Some(Malformed { field: wrong.0, value: wrong.1.to_string() })
}
