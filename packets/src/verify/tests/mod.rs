//! The verifier against the interpreter, and by hand.

mod agreement;
mod alike_bridges;
mod random;
mod random_faults;
mod random_specs;
mod rows;
mod rows_agreement;
mod sets;
