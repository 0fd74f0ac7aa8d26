//! The compiler's tests from outside, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read examples from the disk, and a test that can't go on has failed"
)]

mod addresses;
mod codes;
mod determinism;
mod frames;
mod grown;
mod kinds;
mod lock;
mod mtu;
mod peering;
mod plan_samples;
mod plans;
mod pods;
mod rainbond;
mod robust;
mod samples;
mod schema;
