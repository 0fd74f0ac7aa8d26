//! Compiles a declarative tenant spec into a deterministic plan of MidoNet API calls.
#![forbid(unsafe_code)]

pub mod key;
pub mod object;
