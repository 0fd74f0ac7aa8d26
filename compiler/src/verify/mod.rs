//! Questions about all packets: sets of headers pushed through a topology from every port. `docs/verify.md` says what
//! is asked and what is assumed.

#![allow(dead_code, reason = "the questions come next")]

mod ask;
mod header;
mod model;
mod path;
mod reach;
mod summary;
mod walk;

#[cfg(test)]
mod tests;

pub use reach::{Now, Reachability, ReachabilityChange, WORLD, compare};
