//! The compiler's tests from outside, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "tests read examples from the disk, start the programs that rows are for, say what they skip, and fail where they can't go on"
)]

mod addresses;
mod codes;
mod determinism;
mod frames;
mod grown;
mod kinds;
mod lock;
mod mtu;
mod ovn;
mod peering;
mod plan_format;
mod plan_samples;
mod plans;
mod pods;
mod rainbond;
mod robust;
mod samples;
mod schema;
