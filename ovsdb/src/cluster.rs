//! The choice of a server: what it says of itself and its cluster in the table `Database` of its database `_Server`
//! (ovsdb-server(5), and the service models of ovsdb(7)).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::{Map, Value as Json, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::column_type::{AtomType, ColumnType};
use crate::connection::{CallError, Connection, OnDrop, Shared, nonsense};
use crate::connection_error::ConnectionError;
use crate::printable::first_words_of;
use crate::row::{Row, in_one_line};
use crate::schema::DatabaseSchema;
use crate::server_error::ErrorCode;
use crate::subscription::{Subscription, UpdateKind};

/// The members of a cluster that a client uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Member {
    /// The leader alone: what it returns contains every transaction that was committed before.
    #[default]
    Leader,
    /// Any member that is connected to the cluster, or a relay. What it returns may be a little older. Transactions are passed to
    /// the leader.
    Any,
}

/// The service model of a database (ovsdb(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Model {
    /// One server has the database.
    Standalone,
    /// A RAFT cluster has it.
    Clustered,
    /// The server passes on what another one has.
    Relay,
}

/// A server's description of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// The service model.
    pub model: Model,
    /// True if the server is connected to its cluster, or to the source of the relay.
    pub is_connected: bool,
    /// True if the server is the leader of its cluster; true as well if there is no cluster.
    pub is_leader: bool,
    /// The index of the log entry that the contents correspond to. Only clusters have one.
    pub index: Option<u64>,
    /// The id of the cluster.
    pub cluster: Option<Uuid>,
    /// The id of the server in the cluster.
    pub server: Option<Uuid>,
}

/// What a client remembers of its cluster from one connection to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    index: AtomicU64,
    cluster: OnceLock<Uuid>,
}

/// The requirements for a server.
#[derive(Clone, Debug)]
pub(crate) struct Requirements {
    pub(crate) database: String,
    pub(crate) member: Member,
    pub(crate) memory: Arc<Memory>,
}

const TABLE: &str = "Database";

static SCHEMA: LazyLock<DatabaseSchema> = LazyLock::new(|| {
    let columns = [
        ("name", AtomType::String.into()),
        ("model", AtomType::String.into()),
        ("connected", AtomType::Boolean.into()),
        ("leader", AtomType::Boolean.into()),
        ("index", ColumnType::optional(AtomType::Integer)),
        ("cid", ColumnType::optional(AtomType::Uuid)),
        ("sid", ColumnType::optional(AtomType::Uuid)),
    ];
    DatabaseSchema::declare("_Server", [(TABLE, columns)])
});

/// Checks that a server can be used, and retires its connection when it can't be used any longer.
pub(crate) async fn join(
    connection: &Arc<Connection>,
    requirements: Requirements,
    deadline: Instant,
) -> Result<Option<ServerState>, ConnectionError> {
    // Else a server closes the connection when one of its databases changes its state. Older ones don't know the method.
    let aware = call(connection, "set_db_change_aware", json!([true]), deadline);
    let subscription = connection.subscribe();
    let columns = ["name", "model", "connected", "leader", "index", "cid", "sid"];
    let parameters = json!(["_Server", subscription.id, { TABLE: [{ "columns": columns }] }]);
    // Both are on their way before the first is answered.
    let (aware, monitored) = tokio::join!(aware, call(connection, "monitor", parameters, deadline));
    match aware {
        Ok(_) | Err(ConnectionError::Refused { .. }) => {}
        Err(reason) => return Err(reason),
    }
    let reply = match monitored {
        // A server before 2.9 has no clusters.
        Err(ConnectionError::Refused { error, .. }) if error.code == ErrorCode::UnknownDatabase => {
            subscription.refused();
            return Ok(None);
        }
        other => other?,
    };
    let mut databases = Databases::default();
    databases.apply(reply)?;
    let state = requirements.judge(&databases)?;
    tokio::spawn(watch(subscription, connection.shared(), databases, requirements));
    Ok(Some(state))
}

async fn call(
    connection: &Connection,
    method: &'static str,
    parameters: Json,
    deadline: Instant,
) -> Result<Json, ConnectionError> {
    let parameters = parameters.to_string();
    let called = connection.call(method, parameters.as_bytes(), deadline, OnDrop::Ignore).await;
    called.map_err(|error| match error {
        CallError::NotSent(reason) | CallError::Lost(reason) => reason,
        CallError::Refused(error) => ConnectionError::Refused { method, error: Box::new(error) },
        // These requests are short.
        CallError::TooLarge(_) => ConnectionError::Stalled,
    })
}

/// Follows what a server says of itself until its connection ends.
async fn watch(
    mut subscription: Subscription,
    shared: Arc<Shared>,
    mut databases: Databases,
    requirements: Requirements,
) {
    while let Some(update) = subscription.next().await {
        let UpdateKind::Rows(rows) = update else { continue };
        let judged = databases.apply(rows).and_then(|()| requirements.judge(&databases));
        if let Err(reason) = judged {
            return shared.retire(reason);
        }
    }
}

impl Memory {
    /// Remembers the index of a server's contents, and checks that they are not older than what was seen before.
    fn take(&self, state: &ServerState) -> Result<(), ConnectionError> {
        let Some(found) = state.index else { return Ok(()) };
        let seen = self.index.fetch_max(found, Ordering::Relaxed);
        match found < seen {
            true => Err(ConnectionError::Stale { found, seen }),
            false => Ok(()),
        }
    }
}

impl Requirements {
    /// Checks that a server can be used, and remembers its index.
    fn judge(&self, databases: &Databases) -> Result<ServerState, ConnectionError> {
        let state = databases.state(&self.database)?;
        if !state.is_connected {
            return Err(ConnectionError::Disconnected);
        }
        if self.member == Member::Leader && (!state.is_leader || state.model == Model::Relay) {
            return Err(ConnectionError::NotLeader);
        }
        if let Some(found) = state.cluster {
            let expected = *self.memory.cluster.get_or_init(|| found);
            if found != expected {
                return Err(ConnectionError::OtherCluster { found, expected });
            }
        }
        self.memory.take(&state)?;
        Ok(state)
    }
}

/// The rows of the table `Database`.
#[derive(Debug, Default)]
struct Databases(BTreeMap<String, Row>);

impl Databases {
    /// Applies rows as `monitor` and `update` have them.
    fn apply(&mut self, updates: Json) -> Result<(), ConnectionError> {
        let no_object = |json: Json| nonsense("no rows of _Server", &json);
        let mut updates = object(updates).map_err(no_object)?;
        let Some(schema) = SCHEMA.table(TABLE) else { return Ok(()) };
        let rows = updates.remove(TABLE).unwrap_or_else(|| Json::Object(Map::new()));
        for (uuid, change) in object(rows).map_err(no_object)? {
            match object(change).map_err(no_object)?.remove("new") {
                Some(row) => {
                    let words = first_words_of(&row);
                    let read = Row::read(TABLE, schema, row);
                    let wrong = |error| ConnectionError::Nonsense { problem: in_one_line(&error), words };
                    self.0.insert(uuid, read.map_err(wrong)?);
                }
                None => drop(self.0.remove(&uuid)),
            }
        }
        Ok(())
    }

    /// Returns a database's state.
    fn state(&self, database: &str) -> Result<ServerState, ConnectionError> {
        let is_named = |row: &&Row| row.get("name").and_then(|name| name.as_str()) == Some(database);
        let Some(row) = self.0.values().find(is_named) else {
            return Err(ConnectionError::NoDatabase(database.to_owned()));
        };
        let uuid = |column: &str| row.get(column).and_then(|value| value.as_uuid());
        let is = |column: &str| row.get(column).and_then(|value| value.as_boolean()).unwrap_or(false);
        let model = match row.get("model").and_then(|model| model.as_str()) {
            Some("clustered") => Model::Clustered,
            Some("relay") => Model::Relay,
            _ => Model::Standalone,
        };
        let index = row.get("index").and_then(|index| index.as_integer());
        Ok(ServerState {
            model,
            is_connected: model == Model::Standalone || is("connected"),
            is_leader: model == Model::Standalone || is("leader"),
            index: index.and_then(|index| u64::try_from(index).ok()),
            cluster: uuid("cid"),
            server: uuid("sid"),
        })
    }
}

fn object(json: Json) -> Result<Map<String, Json>, Json> {
    match json {
        Json::Object(members) => Ok(members),
        other => Err(other),
    }
}
