//! Makes MidoNet what a goal says, and records what was done: the part that talks to the API and to Keystone.
//!
//! The loop is observe → diff → lint → review → execute → look again → record. [`goal`] says what a run wants; [`planned`] is
//! the first half, up to the review; [`reconciliation`] is the second half; [`recorder`] writes down what happens, in
//! [`midoform_store`]. Nothing here prints: progress goes out as [`event::Event`]s.
#![forbid(unsafe_code)]

pub mod batches;
pub mod client;
mod client_error;
pub mod concurrency;
pub mod credentials;
pub mod event;
pub mod execute;
pub mod goal;
pub mod inventory;
pub mod keystone;
pub mod lists;
pub mod observe;
pub mod orphaned_ports;
pub mod planned;
pub mod recognise;
pub mod reconciliation;
pub mod recorder;
pub mod retry;
pub mod saved;
mod scope;
