//! Where what was given out is kept.

pub mod lockfile;
