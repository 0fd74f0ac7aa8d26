//! The parts of a request that every handler reads.

use hyper::header::HeaderMap;

/// Returns a header's value, if the header is there and is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
