//! Questions about all packets: sets of headers pushed through a topology from every port. `docs/verify.md` says what
//! is asked and what is assumed.

mod all;
mod ask;
mod assertions;
mod dead;
mod header;
mod model;
mod oracle;
mod path;
mod questions;
mod reach;
mod shape;
mod summary;
mod walk;
mod witness;

#[cfg(test)]
mod tests;

pub use all::ask_all;
pub use assertions::{check as check_assertions, enforce as enforce_assertions};
pub use questions::{Answers, Question, Subject, Violation, ask, ask_provider, groups};
pub use reach::compare;
pub use shape::alike;
