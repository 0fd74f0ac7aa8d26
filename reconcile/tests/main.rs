//! Reconciliations against the embedded API, recorded in a lock file and in the embedded database.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod fixture;
mod recording;
