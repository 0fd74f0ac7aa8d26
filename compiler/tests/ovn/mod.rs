//! The OVN engine: its rows, its matches, and a real OVN that takes both.

mod expressions;
mod installed;
mod layout;
mod refused;
mod rows;
mod samples;
mod server;
