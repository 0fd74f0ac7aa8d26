//! The CNI protocol: what a runtime sends, what it receives, and what differs between the specification's versions.

pub(crate) mod error;
pub(crate) mod request;
pub(crate) mod result;
pub(crate) mod version;
