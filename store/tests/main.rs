//! The stores, and what is claimed in them: one suite for all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod etcd;
mod given;
mod history;
mod interleavings;
mod laws;
mod locks;
mod memory;
mod open;
mod pods;
mod ports;
mod reclaim;
mod secured;
mod stores;
mod stress;
mod stress_worker;
mod support;
mod trips;
mod trouble;
