//! The stores, allocations, IPAM and locks: one suite for all back ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod allocations;
mod consistency;
mod etcd;
mod history;
mod interleavings;
mod laws;
mod locks;
mod macs;
mod memory;
mod open;
mod pods;
mod ports;
mod secured;
mod stores;
mod stress;
mod stress_worker;
mod support;
mod trips;
mod trouble;
