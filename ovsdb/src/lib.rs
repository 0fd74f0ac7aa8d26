//! A client of OVSDB servers (RFC 7047), such as the `ovsdb-server` of Open vSwitch and Open Virtual Network.
//!
//! - [`Client`] executes transactions and reads. It connects when it has to, follows the leader of a cluster, and connects
//!   again after a lost connection. It sends a transaction once at most.
//! - [`Monitor`] keeps a copy of tables, and returns their changes, across connections.
//! - [`DatabaseSchema`], [`Value`] and [`Row`] are typed: all that a server sends is checked against the schema.
//! - [`Error`] has the server's words, and names the operation, its table and row.
//!
//! ```no_run
//! # async fn example() -> Result<(), midoform_ovsdb::Error> {
//! use midoform_ovsdb::{Client, Operation, Row, Settings, Transaction};
//!
//! let settings = Settings::parse("tcp:10.0.0.1:6641,tcp:10.0.0.2:6641", "OVN_Northbound")?;
//! let client = Client::new(settings)?;
//! let uuid = uuid::Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
//! let mut transaction = Transaction::new();
//! transaction.push(Operation::expect_none("Logical_Switch", [midoform_ovsdb::Condition::equal("name", "web")]));
//! transaction.push_labelled("acme/web", Operation::insert("Logical_Switch", uuid, Row::default().with("name", "web")));
//! client.transact(&transaction).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The sources are RFC 7047 (the protocol), ovsdb-server(7) (the extensions of Open vSwitch: own uuids, `monitor_cond_since`),
//! ovsdb-server(5) (the database `_Server`) and ovsdb(7) (remotes, clusters).

mod backoff;
mod client;
mod cluster;
mod column_type;
mod connection;
mod connection_error;
mod contents;

mod error;
mod framing;
mod monitor;
mod monitor_request;
mod operation;
mod printable;
mod remote;
mod row;
mod schema;
mod server_error;
mod session;
mod subscription;
mod tls;
mod transaction;
mod transport;
mod value;

pub use backoff::Backoff;
pub use client::{Client, Connected};
pub use cluster::{Member, Model, ServerState};
pub use column_type::{AtomType, BaseType, ColumnType, TypeMismatch};
pub use connection_error::ConnectionError;
pub use contents::{Change, Contents};
pub use error::{Attempt, Error};
pub use framing::{Decoder, FramingError, Limits, Message};
pub use monitor::{Changes, Monitor};
pub use monitor_request::{MonitorRequest, MonitoredTable};
pub use operation::{Condition, Function, Mutation, Mutator, Operation, Until};
pub use remote::{Endpoint, Remote, RemoteError, parse_remotes};
pub use row::{Row, RowError};
pub use schema::{ColumnSchema, DatabaseSchema, SchemaError, TableSchema};
pub use server_error::{ErrorCode, ServerError};
pub use session::Settings;
pub use tls::{ServerNames, Tls, TlsError};
pub use transaction::{Misfit, OperationName, OperationResult, Outcome, Transaction};
pub use value::{Atom, Real, Value};
