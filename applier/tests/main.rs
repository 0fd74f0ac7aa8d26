//! The stores, and what is claimed in them: one suite for all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod etcd;
mod history;
mod interleavings;
mod memory;
mod open;
mod pods;
mod reclaim;
mod stores;
mod stress;
mod stress_worker;
mod support;
