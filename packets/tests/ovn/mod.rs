//! OVN's semantics: the reading of rows, and packets.

mod reading;
mod specs;
