//! The tests of the workspace itself, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod arrows;
mod kinds;
mod source;
mod workspace;
