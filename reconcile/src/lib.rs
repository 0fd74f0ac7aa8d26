//! Observes MidoNet and applies plans to it: the part that talks to servers and to the disk.
//!
//! [`observe`] reads what is there and matches it to keys; [`execute`] takes a plan's steps, as many at a
//! time as its dependencies allow; [`store`] keeps what was given out. Nothing here prints: progress goes
//! out as [`event::Event`]s.
#![forbid(unsafe_code)]

pub mod batches;
pub mod client;
pub mod concurrency;
pub mod credentials;
pub mod event;
pub mod execute;
pub mod goal;
pub mod keystone;
pub mod observe;
pub mod orphaned_ports;
pub mod planned;
pub mod recognise;
pub mod reconciliation;
pub mod recorder;
pub mod retry;
pub mod saved;
pub mod wire;
