//! OVN's semantics: the reading of rows, and packets, which a real OVN gets as well.

pub(crate) mod random;
mod reading;
mod real;
#[path = "../../../compiler/tests/ovn/samples.rs"]
#[allow(dead_code, reason = "the compiler's tests use the rest")]
mod samples;
#[path = "../../../compiler/tests/ovn/server.rs"]
#[allow(dead_code, reason = "the compiler's tests use the rest")]
mod server;
pub(crate) mod specs;
mod world;
