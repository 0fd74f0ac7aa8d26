//! Changes a network until it matches a goal, and records the changes. This crate calls MidoNet's API, Keystone, and OVN's northbound
//! database.
//!
//! The loop is observe → diff → lint → review → execute → observe again → record. [`goal`] describes the desired
//! result; [`planned`] is the first half, up to the review; [`reconciliation`] is the second half; [`recorder`] records
//! the actions in [`midoform_store`]. A port whose record is in the store already takes the short way through it
//! ([`claimed_port`]). Nothing here prints: progress is reported as [`event::Event`]s.
#![forbid(unsafe_code)]

pub mod batches;
pub mod beyond;
pub mod claimed_port;
pub mod client;
mod client_error;
pub mod concurrency;
pub mod connection;
pub mod credentials;
pub mod event;
pub mod execute;
pub mod goal;
pub mod http;
pub mod inventory;
pub mod keystone;
pub mod lists;
pub mod northbound;
pub mod observe;
pub mod open_vswitch;
pub mod orphaned_ports;
pub mod planned;
pub mod pod_rows;
pub mod preflight;
mod provider_router;
pub mod recognise;
pub mod reconciliation;
pub mod recorder;
pub mod retry;
pub mod saved;
mod scope;
