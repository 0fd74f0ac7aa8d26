//! The tests of the command, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod admin_state;
mod adopt;
mod apply;
mod assertions;
mod attachments;
mod bind;
mod book;
mod book_files;
mod by_hand;
mod destroy_site;
mod diagnostics;
mod doctor_ovn;
mod drift;
mod earlier;
mod exit_codes;
mod faults;
mod first_steps;
mod foreign_rules;
mod guides;
mod import;
mod keystone;
mod lab;
mod limits;
mod lock;
mod manual;
mod model;
mod moved;
mod outputs;
mod ovn;
mod ovn_trace;
mod page;
mod plan;
mod plan_schema;
mod plugin_network;
mod pods;
mod policy;
mod preflight;
mod proofs;
mod provider_router;
mod records;
mod saved_plans;
mod serve;
mod served;
mod server_values;
mod state;
mod store;
mod stores;
mod strange_servers;
mod tls;
mod transitions;
mod undo;
mod used_ids;
mod verify;
mod zone_hosts;

/// The command under test.
const MIDOFORM: &str = env!("CARGO_BIN_EXE_midoform");
