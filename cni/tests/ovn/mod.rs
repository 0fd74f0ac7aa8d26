//! The plugin on a real OVN, with packets.

mod attach;
mod faults;
mod world;
