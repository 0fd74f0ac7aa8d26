//! Operations on rows of OVN's northbound database, as the database's protocol writes them (RFC 7047, section 5.2). Their JSON is what
//! is sent.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::topology::kinds::row::schema::Table;

/// An operation on one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum RowOperation {
    /// Refuses the whole transaction if the row does not have these values.
    Wait {
        /// The table.
        table: Table,
        /// Milliseconds: 0, so that nothing waits.
        timeout: u32,
        /// The row.
        #[serde(rename = "where")]
        at: At,
        /// The columns that are compared.
        columns: Vec<String>,
        /// `==`.
        until: String,
        /// The one row with the values.
        rows: [Map<String, Json>; 1],
    },
    /// Inserts a row.
    Insert {
        /// The table.
        table: Table,
        /// The row's `_uuid`.
        uuid: Uuid,
        /// Its columns.
        row: Map<String, Json>,
    },
    /// Sets columns of a row.
    Update {
        /// The table.
        table: Table,
        /// The row.
        #[serde(rename = "where")]
        at: At,
        /// The columns.
        row: Map<String, Json>,
    },
    /// Adds members to sets and maps of a row, or takes members out of them.
    Mutate {
        /// The table.
        table: Table,
        /// The row.
        #[serde(rename = "where")]
        at: At,
        /// The column, `insert` or `delete`, and the members.
        mutations: Vec<(String, Mutator, Json)>,
    },
    /// Deletes a row that no other holds.
    Delete {
        /// The table.
        table: Table,
        /// The row.
        #[serde(rename = "where")]
        at: At,
    },
}

/// A change of a set or a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mutator {
    /// Adds members. A map keeps the value of a key that it has.
    Insert,
    /// Takes members out.
    Delete,
}

/// The condition that one row fulfils, in the protocol's form: `[["_uuid", "==", ["uuid", ID]]]`, or `[["name", "==", NAME]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Json", into = "Json")]
pub enum At {
    /// The row with this `_uuid`.
    Id(Uuid),
    /// The row with this name, where only the database knows its `_uuid`.
    Name(String),
}

impl From<At> for Json {
    fn from(at: At) -> Json {
        match at {
            At::Id(id) => json!([["_uuid", "==", ["uuid", id]]]),
            At::Name(name) => json!([["name", "==", name]]),
        }
    }
}

impl TryFrom<Json> for At {
    type Error = String;

    fn try_from(json: Json) -> Result<At, String> {
        let unknown = || format!("{json} names no row by its _uuid or its name");
        let text = |path: &str| json.pointer(path).and_then(Json::as_str);
        let at = match (text("/0/0"), text("/0/2"), text("/0/2/1")) {
            (Some("_uuid"), None, Some(id)) => At::Id(Uuid::try_parse(id).map_err(|_| unknown())?),
            (Some("name"), Some(name), None) => At::Name(name.to_owned()),
            _ => return Err(unknown()),
        };
        if Json::from(at.clone()) == json { Ok(at) } else { Err(unknown()) }
    }
}

impl RowOperation {
    /// Returns the table.
    pub fn table(&self) -> Table {
        match self {
            RowOperation::Wait { table, .. }
            | RowOperation::Insert { table, .. }
            | RowOperation::Update { table, .. }
            | RowOperation::Mutate { table, .. }
            | RowOperation::Delete { table, .. } => *table,
        }
    }

    /// Returns the operation's name in the protocol.
    pub fn name(&self) -> &'static str {
        match self {
            RowOperation::Wait { .. } => "wait",
            RowOperation::Insert { .. } => "insert",
            RowOperation::Update { .. } => "update",
            RowOperation::Mutate { .. } => "mutate",
            RowOperation::Delete { .. } => "delete",
        }
    }

    /// Returns the row that the operation is about.
    pub fn at(&self) -> At {
        match self {
            RowOperation::Insert { uuid, .. } => At::Id(*uuid),
            RowOperation::Wait { at, .. }
            | RowOperation::Update { at, .. }
            | RowOperation::Mutate { at, .. }
            | RowOperation::Delete { at, .. } => at.clone(),
        }
    }

    /// Returns the operation's values: a row's columns, or the mutations; nothing for a delete.
    pub fn values(&self) -> Option<Json> {
        match self {
            RowOperation::Insert { row, .. } | RowOperation::Update { row, .. } => {
                Some(Json::Object(row.clone()))
            }
            RowOperation::Wait { rows: [row], .. } => Some(Json::Object(row.clone())),
            RowOperation::Mutate { mutations, .. } => Some(json!(mutations)),
            RowOperation::Delete { .. } => None,
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Id(id) => id.fmt(formatter),
            At::Name(name) => write!(formatter, "{name:?}"),
        }
    }
}
