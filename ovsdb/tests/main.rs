//! The client against real ovsdb-servers, alone, secured and as a cluster, and against servers that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod clusters;
mod fake;
mod framing;
mod misbehaving;
mod monitors;
mod remotes;
mod schemas;
mod secured;
mod server_choice;
mod support;
mod transactions;
mod values;
