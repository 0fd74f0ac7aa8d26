//! Checks for all packets: sets of headers are sent through a topology from every port. `docs/verify.md` lists the
//! checks and the assumptions.

mod alike_bridges;
mod all;
mod assertions;
mod box_index;
mod chains;
mod checks;
mod counterexample;
mod dead;
mod header;
mod index;
mod model;
mod packet_set;
mod path;
mod reach;
mod report;
mod rows;
mod runs;
mod segment;
mod sets;
mod shape;
mod spec_rules;
mod summary;
mod walk;

#[cfg(test)]
mod tests;

pub use all::check_all;
pub use assertions::{check as check_assertions, enforce as enforce_assertions};
pub use checks::{check_group, check_provider, groups};
pub use reach::compare;
pub use report::{Check, Subject, Unproven, Verification, Violation};
pub use shape::alike;
