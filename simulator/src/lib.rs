//! The embedded MidoNet API: a stand-in for MidoNet 1.7, 5.0.2 and 5.8 that answers as the real servers were recorded
//! to.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = midoform_simulator::start(midoform_simulator::Options::default()).await?;
//! println!("serving at {}", server.base_url());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A request goes through these stages, and each decision belongs to one of them:
//! 1. `http`: bytes to a call (path, media types, JSON, fields) and back (serialised forms).
//! 2. `api`: what a method does to what the path names.
//! 3. `integrity`: what may refer to what, what goes with what, what comes by itself.
//! 4. `state`: the objects; `journal`: what of them outlives the process.
//! 5. `failure`: how each version words a refusal.
//!
//! `resources` holds a table for each kind, `version` all that versions do differently besides. `auth` decides who may
//! ask, `fault` what goes wrong on purpose, `metrics` and `inspect` show what goes on; `keystone` is an embedded
//! Keystone.

mod api;
mod auth;
mod failure;
mod fault;
mod http;
mod integrity;
mod journal;
mod keystone;
mod metrics;
mod metrics_server;
mod object;
mod resources;
mod schema;
mod server;
mod state;
mod topology;
mod validation;
mod version;

pub use auth::{Auth, KeystoneSettings, KeystoneVersion, User, Users, UsersError};
pub use fault::{Fault, FaultKind};
pub use http::tls::{Tls, TlsError};
pub use journal::JournalError;
pub use keystone::{KeystoneOptions, KeystoneServer, KeystoneStateError, start_keystone};
pub use metrics_server::{MetricsServer, start_metrics};
pub use server::{Options, Server, StartError, start};
pub use version::{UnknownVersion, Version};
