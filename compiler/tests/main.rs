//! The compiler's tests from outside, in one binary.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read examples from the disk; the compiler itself may not"
)]

mod determinism;
mod lock;
mod plans;
mod rainbond;
mod samples;
mod schema;
mod strict;
