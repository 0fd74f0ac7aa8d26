//! The tests of the command, in one binary.

mod apply;
mod diagnostics;
mod exit_codes;
mod lock;
mod plan;

/// The command under test.
const MIDOFORM: &str = env!("CARGO_BIN_EXE_midoform");
