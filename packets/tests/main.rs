//! The packets of compiled examples and small projects.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read examples from the disk, and a test that can't go on has failed"
)]

mod alike;
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
mod verify;
