//! The tests of the plugin as a process, in one binary. Those that change a kernel need root, and say so without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod attach;
mod crowd;
mod detach;
mod faults;
mod kills;
mod kubernetes;
mod lab;
mod links;
mod names;
mod odd;
mod ovn;
mod peers;
mod protocol;
mod runtimes;
mod strange;

/// The plugin under test.
const PLUGIN: &str = env!("CARGO_BIN_EXE_midonet-cni");
