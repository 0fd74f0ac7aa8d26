//! The embedded MidoNet API: a server that answers as recordings of MidoNet 1.7, 5.0.2 and 5.8 show.
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
//! 1. `service` receives it, injects the faults that are set, and checks who sends it; `http` reads its path and its JSON,
//!    and writes responses.
//! 2. `api` executes the method on the resource that the path names.
//! 3. `integrity` checks references between objects, cascades deletes, creates the objects that the server adds itself.
//! 4. `state` holds the objects in memory, `journal` makes changes durable.
//! 5. `failure` words an error as each version does.
//!
//! `schema` says what a table of fields is, `resources` holds a table for each kind, `version` all other differences
//! between the versions. `auth` authenticates clients, `fault` injects faults, `agent` plays the part of MidoNet's agents; `metrics` and
//! `topology` show the state of the server; `metrics_server` serves the metrics of any registry; `keystone` is an embedded Keystone.

mod agent;
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
mod service;
mod state;
mod topology;
mod validation;
mod version;

pub use auth::{Auth, KeystoneSettings, KeystoneVersion, User, Users, UsersError};
pub use fault::{Fault, FaultKind};
pub use http::server::ListenError;
pub use http::tls::{Tls, TlsError};
pub use journal::JournalError;
pub use keystone::{KeystoneOptions, KeystoneServer, KeystoneStartError, KeystoneStateError, start_keystone};
pub use metrics_server::{MetricsServer, start_metrics};
pub use server::{Options, Server, StartError, start};
pub use version::{UnknownVersion, Version};
