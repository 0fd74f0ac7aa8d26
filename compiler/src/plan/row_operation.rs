//! Operations on rows of OVN's northbound database, as the database's protocol writes them (RFC 7047, section 5.2). Their JSON is what
//! is sent.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map as JsonMap, Value as Json, json};
use uuid::Uuid;

use super::datum::Datum;
use crate::topology::kinds::row::columns::Columns;
use crate::topology::kinds::row::schema::Table;

/// An operation on one row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Read")]
pub enum RowOperation {
    /// Refuses the whole transaction if the row does not have these values.
    Wait {
        /// The table.
        table: Table,
        /// The row.
        at: At,
        /// The values.
        row: Columns<Datum>,
    },
    /// Inserts a row.
    Insert {
        /// The table.
        table: Table,
        /// The row's `_uuid`.
        uuid: Uuid,
        /// Its columns.
        row: Columns<Datum>,
    },
    /// Sets columns of a row.
    Update {
        /// The table.
        table: Table,
        /// The row.
        at: At,
        /// The columns.
        row: Columns<Datum>,
    },
    /// Adds members to sets and maps of a row, or takes members out of them.
    Mutate {
        /// The table.
        table: Table,
        /// The row.
        at: At,
        /// The changes, one after another.
        mutations: Box<[Mutation]>,
    },
    /// Deletes a row that no other holds.
    Delete {
        /// The table.
        table: Table,
        /// The row.
        at: At,
    },
}

/// A change of a set or a map: the column, `insert` or `delete`, and the members.
pub type Mutation = (&'static str, Mutator, Datum);

/// An operation in the protocol's form, as it is written.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Written<'a> {
    Wait {
        table: Table,
        /// Milliseconds: 0, so that nothing waits.
        timeout: u32,
        r#where: &'a At,
        columns: Names<'a>,
        until: &'static str,
        rows: [&'a Columns<Datum>; 1],
    },
    Insert {
        table: Table,
        uuid: Uuid,
        row: &'a Columns<Datum>,
    },
    Update {
        table: Table,
        r#where: &'a At,
        row: &'a Columns<Datum>,
    },
    Mutate {
        table: Table,
        r#where: &'a At,
        mutations: &'a [Mutation],
    },
    Delete {
        table: Table,
        r#where: &'a At,
    },
}

/// An operation in the protocol's form, as it is read.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Read {
    Wait {
        table: Table,
        timeout: u32,
        r#where: At,
        columns: Vec<String>,
        until: String,
        rows: [JsonMap<String, Json>; 1],
    },
    Insert {
        table: Table,
        uuid: Uuid,
        row: JsonMap<String, Json>,
    },
    Update {
        table: Table,
        r#where: At,
        row: JsonMap<String, Json>,
    },
    Mutate {
        table: Table,
        r#where: At,
        mutations: Vec<(String, Mutator, Json)>,
    },
    Delete {
        table: Table,
        r#where: At,
    },
}

/// The names of columns.
struct Names<'a>(&'a Columns<Datum>);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(name, _)| name))
    }
}

impl Serialize for RowOperation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            RowOperation::Wait { table, at, row } => Written::Wait {
                table: *table,
                timeout: 0,
                r#where: at,
                columns: Names(row),
                until: "==",
                rows: [row],
            },
            RowOperation::Insert { table, uuid, row } => Written::Insert { table: *table, uuid: *uuid, row },
            RowOperation::Update { table, at, row } => Written::Update { table: *table, r#where: at, row },
            RowOperation::Mutate { table, at, mutations } => {
                Written::Mutate { table: *table, r#where: at, mutations }
            }
            RowOperation::Delete { table, at } => Written::Delete { table: *table, r#where: at },
        };
        written.serialize(serializer)
    }
}

impl TryFrom<Read> for RowOperation {
    type Error = String;

    fn try_from(read: Read) -> Result<RowOperation, String> {
        let datum = |json: &Json| Datum::read(json).ok_or_else(|| format!("no column has the value {json}"));
        let row = |table: Table, row: &JsonMap<String, Json>| {
            let column = |(name, json): (&String, &Json)| Ok((column(table, name)?, datum(json)?));
            row.iter().map(column).collect::<Result<Columns<Datum>, String>>()
        };
        Ok(match read {
            Read::Wait { table, timeout: 0, r#where: at, columns, until, rows: [values] }
                if until == "==" && columns.iter().eq(values.keys()) =>
            {
                RowOperation::Wait { table, at, row: row(table, &values)? }
            }
            Read::Wait { .. } => return Err("a plan waits for nothing but the values of a row".to_owned()),
            Read::Insert { table, uuid, row: values } => {
                RowOperation::Insert { table, uuid, row: row(table, &values)? }
            }
            Read::Update { table, r#where: at, row: values } => {
                RowOperation::Update { table, at, row: row(table, &values)? }
            }
            Read::Mutate { table, r#where: at, mutations } => {
                let mutations = mutations
                    .iter()
                    .map(|(name, mutator, json)| Ok((column(table, name)?, *mutator, datum(json)?)));
                RowOperation::Mutate { table, at, mutations: mutations.collect::<Result<_, String>>()? }
            }
            Read::Delete { table, r#where: at } => RowOperation::Delete { table, at },
        })
    }
}

/// Returns the name of a column that midoform writes, or in which it puts rows.
fn column(table: Table, name: &str) -> Result<&'static str, String> {
    let own = table.schema().columns.iter().map(|column| column.name);
    let known = own.chain(table.holding()).find(|known| *known == name);
    known.ok_or_else(|| format!("{table} has no column `{name}` that midoform knows"))
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

    /// Returns the operation's values as JSON: a row's columns, or the mutations; nothing for a delete.
    pub fn values(&self) -> Option<String> {
        let json = match self {
            RowOperation::Insert { row, .. }
            | RowOperation::Update { row, .. }
            | RowOperation::Wait { row, .. } => serde_json::to_string(row),
            RowOperation::Mutate { mutations, .. } => serde_json::to_string(mutations),
            RowOperation::Delete { .. } => return None,
        };
        json.ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Json) -> Result<RowOperation, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    const ID: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn an_operation_is_read_as_it_was_written() {
        let at = json!([["_uuid", "==", ["uuid", ID]]]);
        let pairs = json!(["map", [["midoform", "acme/router"], ["midoform-site", "lab"]]]);
        let cases = [
            json!({"op": "insert", "table": "ACL", "uuid": ID, "row": {"external_ids": pairs, "match": "ip4", "name": ["set", []], "priority": 7}}),
            json!({"op": "update", "table": "Address_Set", "where": at, "row": {"addresses": ["set", ["10.0.0.1", "10.0.0.2"]]}}),
            json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", "given"]],
                "mutations": [["ports", "delete", ["set", [["uuid", ID]]]], ["external_ids", "delete", ["set", ["midoform"]]]]}),
            json!({"op": "wait", "table": "NAT", "timeout": 0, "where": at, "columns": ["logical_ip", "type"], "until": "==",
                "rows": [{"logical_ip": "10.0.0.0/24", "type": "snat"}]}),
            json!({"op": "delete", "table": "Logical_Switch", "where": at}),
        ];
        for case in cases {
            let operation = read(case.clone()).unwrap();
            assert_eq!(serde_json::to_value(&operation).unwrap(), case);
        }
    }

    #[test]
    fn an_operation_that_no_plan_has_is_refused() {
        let at = json!([["_uuid", "==", ["uuid", ID]]]);
        let row = |row: Json| json!({"op": "insert", "table": "NAT", "uuid": ID, "row": row});
        let wait = |timeout: u32, columns: Json| {
            json!({"op": "wait", "table": "NAT", "timeout": timeout, "where": at, "columns": columns, "until": "==",
                "rows": [{"type": "snat"}]})
        };
        for (json, words) in [
            (row(json!({"nat": "x"})), "NAT has no column `nat`"),
            (row(json!({"type": 1.5})), "no column has the value 1.5"),
            (row(json!({"type": ["set", [["uuid", "x"]]]})), "no column has the value"),
            (wait(0, json!(["logical_ip"])), "a plan waits for nothing but the values of a row"),
            (wait(9, json!(["type"])), "a plan waits for nothing but the values of a row"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
