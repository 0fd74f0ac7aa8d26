//! The packets of compiled examples and small projects.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "tests read examples from the disk, start the programs that rows are for, say what they skip, and fail where they can't go on"
)]

mod alike;
mod engines;
mod frames;
mod isolation;
mod nat;
mod network;
mod ovn;
mod ovn_proofs;
mod rules;
#[path = "../../compiler/tests/samples.rs"]
mod samples;
mod trace;
mod trace_rows;
mod verify;
