//! The operations of a transaction (RFC 7047 section 5.2).

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::row::Row;
use crate::value::{Atom, Value};

/// A comparison of a condition (RFC 7047 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Function {
    /// The column's value is less.
    #[serde(rename = "<")]
    Less,
    /// The column's value is less or equal.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// The values are equal.
    #[serde(rename = "==")]
    Equal,
    /// The values differ.
    #[serde(rename = "!=")]
    NotEqual,
    /// The column's value is greater or equal.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// The column's value is greater.
    #[serde(rename = ">")]
    Greater,
    /// The column has all these elements or pairs.
    #[serde(rename = "includes")]
    Includes,
    /// The column has none of these elements or pairs.
    #[serde(rename = "excludes")]
    Excludes,
}

/// A condition on rows. An operation applies to the rows that meet all its conditions.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A comparison of a column with a value.
    Column(String, Function, Value),
    /// All rows or none. Only monitors take it (ovsdb-server(7) section 5.1).
    Always(bool),
}

impl Condition {
    /// Returns a condition on a column.
    pub fn new(column: &str, function: Function, value: impl Into<Value>) -> Condition {
        Condition::Column(column.to_owned(), function, value.into())
    }

    /// Returns the condition that a column has exactly this value.
    pub fn equal(column: &str, value: impl Into<Value>) -> Condition {
        Condition::new(column, Function::Equal, value)
    }

    /// Returns the condition of the row that has this uuid.
    pub fn uuid(uuid: Uuid) -> Condition {
        Condition::equal("_uuid", uuid)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Condition::Column(column, function, value) => (column, function, value).serialize(serializer),
            Condition::Always(is_true) => serializer.serialize_bool(*is_true),
        }
    }
}

/// A change of a `mutate` (RFC 7047 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mutator {
    /// Adds a number to each element.
    #[serde(rename = "+=")]
    Add,
    /// Subtracts a number.
    #[serde(rename = "-=")]
    Subtract,
    /// Multiplies by a number.
    #[serde(rename = "*=")]
    Multiply,
    /// Divides by a number.
    #[serde(rename = "/=")]
    Divide,
    /// Takes the remainder of the division by an integer.
    #[serde(rename = "%=")]
    Remainder,
    /// Adds elements to a set, or pairs with new keys to a map. A pair whose key the map has is not changed.
    #[serde(rename = "insert")]
    Insert,
    /// Removes elements from a set; or from a map, pairs, or the keys that a set names.
    #[serde(rename = "delete")]
    Delete,
}

/// A change of a column by a `mutate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// The column's name.
    pub column: String,
    /// The change.
    pub mutator: Mutator,
    /// Its argument.
    pub value: Value,
}

impl Mutation {
    /// Returns a mutation.
    pub fn new(column: &str, mutator: Mutator, value: impl Into<Value>) -> Mutation {
        Mutation { column: column.to_owned(), mutator, value: value.into() }
    }
}

impl Serialize for Mutation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.column, self.mutator, &self.value).serialize(serializer)
    }
}

/// The relation that a `wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Until {
    /// The rows are the expected ones.
    #[serde(rename = "==")]
    Equal,
    /// The rows are not the expected ones.
    #[serde(rename = "!=")]
    NotEqual,
}

/// An operation of a transaction.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Inserts a row (section 5.2.1).
    Insert {
        /// The table.
        table: String,
        /// The row's uuid, chosen by the client (ovsdb-server(7) section 5.2.1; Open vSwitch 2.13 and later). If a row of the table
        /// has it already, the transaction fails with [`ErrorCode::DuplicateUuid`](crate::ErrorCode::DuplicateUuid). None: the
        /// server chooses it. A server's hash of a uuid is its first 32 bits, so these should differ from row to row, as they do
        /// in random uuids and in those made of names.
        #[serde(skip_serializing_if = "Option::is_none")]
        uuid: Option<Uuid>,
        /// The name by which other operations of the transaction can refer to the row ([`Atom::NamedUuid`]).
        #[serde(rename = "uuid-name", skip_serializing_if = "Option::is_none")]
        uuid_name: Option<String>,
        /// The columns; the others get the default values of their types.
        row: Row,
    },
    /// Reads rows (section 5.2.2).
    Select {
        /// The table.
        table: String,
        /// The conditions.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The columns; none: all.
        #[serde(skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<String>>,
    },
    /// Sets columns of rows (section 5.2.3).
    Update {
        /// The table.
        table: String,
        /// The conditions.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The new values of these columns.
        row: Row,
    },
    /// Changes columns of rows (section 5.2.4).
    Mutate {
        /// The table.
        table: String,
        /// The conditions.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The changes.
        mutations: Vec<Mutation>,
    },
    /// Deletes rows (section 5.2.5).
    Delete {
        /// The table.
        table: String,
        /// The conditions.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
    },
    /// Waits until rows are, or are not, the expected ones (section 5.2.6). If this is not so in time, the transaction fails with
    /// [`ErrorCode::TimedOut`](crate::ErrorCode::TimedOut).
    Wait {
        /// The time limit in milliseconds; 0: don't wait; none: no limit but that of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
        /// The table.
        table: String,
        /// The conditions.
        #[serde(rename = "where")]
        conditions: Vec<Condition>,
        /// The columns that are compared.
        columns: Vec<String>,
        /// The relation.
        until: Until,
        /// The expected rows.
        rows: Vec<Row>,
    },
    /// Commits to disk before the reply, if it is durable (section 5.2.7).
    Commit {
        /// True if the reply waits until the transaction is on the disk.
        durable: bool,
    },
    /// Ends the transaction with [`ErrorCode::Aborted`](crate::ErrorCode::Aborted) (section 5.2.8).
    Abort,
    /// Puts a comment into the database's log (section 5.2.9).
    Comment {
        /// The comment.
        comment: String,
    },
    /// Fails with [`ErrorCode::NotOwner`](crate::ErrorCode::NotOwner) unless the client has this lock (section 5.2.10).
    Assert {
        /// The lock's name.
        lock: String,
    },
}

impl Operation {
    /// Returns the insertion of a row with this uuid.
    pub fn insert(table: &str, uuid: Uuid, row: Row) -> Operation {
        Operation::Insert { table: table.to_owned(), uuid: Some(uuid), uuid_name: None, row }
    }

    /// Returns the insertion of a row whose uuid the server chooses. The name is for references in the same transaction.
    pub fn insert_named(table: &str, uuid_name: &str, row: Row) -> Operation {
        Operation::Insert { table: table.to_owned(), uuid: None, uuid_name: Some(uuid_name.to_owned()), row }
    }

    /// Returns the reading of all columns of rows.
    pub fn select(table: &str, conditions: impl Into<Vec<Condition>>) -> Operation {
        Operation::Select { table: table.to_owned(), conditions: conditions.into(), columns: None }
    }

    /// Returns the reading of some columns of rows.
    pub fn select_columns(table: &str, conditions: impl Into<Vec<Condition>>, columns: &[&str]) -> Operation {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Operation::Select { table: table.to_owned(), conditions: conditions.into(), columns: Some(columns) }
    }

    /// Returns the setting of columns of rows.
    pub fn update(table: &str, conditions: impl Into<Vec<Condition>>, row: Row) -> Operation {
        Operation::Update { table: table.to_owned(), conditions: conditions.into(), row }
    }

    /// Returns the change of columns of rows.
    pub fn mutate(
        table: &str,
        conditions: impl Into<Vec<Condition>>,
        mutations: impl Into<Vec<Mutation>>,
    ) -> Operation {
        Operation::Mutate {
            table: table.to_owned(),
            conditions: conditions.into(),
            mutations: mutations.into(),
        }
    }

    /// Returns the deletion of rows.
    pub fn delete(table: &str, conditions: impl Into<Vec<Condition>>) -> Operation {
        Operation::Delete { table: table.to_owned(), conditions: conditions.into() }
    }

    /// Returns the check that the columns of this row, in the row that has this uuid, have these values now: a `wait` with a
    /// time limit of 0.
    pub fn expect(table: &str, uuid: Uuid, row: Row) -> Operation {
        Operation::Wait {
            timeout: Some(0),
            table: table.to_owned(),
            conditions: vec![Condition::uuid(uuid)],
            columns: row.iter().map(|(column, _)| column.to_owned()).collect(),
            until: Until::Equal,
            rows: vec![row],
        }
    }

    /// Returns the check that no row meets these conditions now: a `wait` with a time limit of 0.
    pub fn expect_none(table: &str, conditions: impl Into<Vec<Condition>>) -> Operation {
        Operation::Wait {
            timeout: Some(0),
            table: table.to_owned(),
            conditions: conditions.into(),
            columns: vec!["_uuid".to_owned()],
            until: Until::Equal,
            rows: Vec::new(),
        }
    }

    /// Returns the operation's name in the protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Insert { .. } => "insert",
            Operation::Select { .. } => "select",
            Operation::Update { .. } => "update",
            Operation::Mutate { .. } => "mutate",
            Operation::Delete { .. } => "delete",
            Operation::Wait { .. } => "wait",
            Operation::Commit { .. } => "commit",
            Operation::Abort => "abort",
            Operation::Comment { .. } => "comment",
            Operation::Assert { .. } => "assert",
        }
    }

    /// Returns the operation's table.
    pub fn table(&self) -> Option<&str> {
        match self {
            Operation::Insert { table, .. }
            | Operation::Select { table, .. }
            | Operation::Update { table, .. }
            | Operation::Mutate { table, .. }
            | Operation::Delete { table, .. }
            | Operation::Wait { table, .. } => Some(table),
            _ => None,
        }
    }

    /// Returns the operation's conditions.
    pub fn conditions(&self) -> &[Condition] {
        match self {
            Operation::Select { conditions, .. }
            | Operation::Update { conditions, .. }
            | Operation::Mutate { conditions, .. }
            | Operation::Delete { conditions, .. }
            | Operation::Wait { conditions, .. } => conditions,
            _ => &[],
        }
    }

    /// Returns the uuid of the one row that the operation is about: that of an insertion, or that which its conditions name.
    pub fn row_uuid(&self) -> Option<Uuid> {
        if let Operation::Insert { uuid, .. } = self {
            return *uuid;
        }
        self.conditions().iter().find_map(|condition| match condition {
            Condition::Column(column, Function::Equal, value) if column == "_uuid" => {
                value.as_atom().and_then(Atom::as_uuid)
            }
            _ => None,
        })
    }

    /// Returns true if the operation changes nothing, neither rows nor the log.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Operation::Select { .. } | Operation::Wait { .. } | Operation::Abort | Operation::Assert { .. }
        )
    }
}
