//! Rows: values by the names of their columns.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::column_type::{TypeMismatch, uuid};
use crate::schema::TableSchema;
use crate::value::Value;

/// A row, or some of its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Row {
    /// The values by the names of their columns.
    pub columns: BTreeMap<String, Value>,
}

/// A row that does not fit its table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The schema has no such table.
    #[error("the schema has no table {table}")]
    Table {
        /// The table's name.
        table: String,
    },
    /// The table has no such column.
    #[error("the table {table} has no column {column}")]
    Column {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
    },
    /// A value is not of its column's type.
    #[error("the column {column} of the table {table} is wrong")]
    Value {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
        /// The difference.
        #[source]
        mismatch: TypeMismatch,
    },
    /// The JSON is no row.
    #[error("a row of the table {table} is no object")]
    NoObject {
        /// The table's name.
        table: String,
    },
}

impl Row {
    /// Returns the row with one more column.
    #[must_use]
    pub fn with(mut self, column: &str, value: impl Into<Value>) -> Row {
        self.columns.insert(column.to_owned(), value.into());
        self
    }

    /// Returns a column's value.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.columns.get(column)
    }

    /// Returns the row's uuid, if the column `_uuid` is among its columns, as in the rows of a `select` of all columns.
    pub fn uuid(&self) -> Option<Uuid> {
        self.get("_uuid")?.as_uuid()
    }

    /// Reads a row that a server sent.
    ///
    /// # Errors
    /// When the JSON is no row of this table.
    pub fn read(table: &str, schema: &TableSchema, json: Json) -> Result<Row, RowError> {
        let Json::Object(members) = json else { return Err(RowError::NoObject { table: table.to_owned() }) };
        let mut columns = BTreeMap::new();
        for (column, json) in members {
            let kind = schema
                .column(&column)
                .ok_or_else(|| RowError::Column { table: table.to_owned(), column: column.clone() })?;
            let value = kind.read(json).map_err(|mismatch| RowError::Value {
                table: table.to_owned(),
                column: column.clone(),
                mismatch,
            })?;
            columns.insert(column, value);
        }
        Ok(Row { columns })
    }

    /// Checks the row's values against the schema of its table, with their constraints.
    ///
    /// # Errors
    /// When a column is unknown, or a value is not of its type.
    pub fn check(&self, table: &str, schema: &TableSchema) -> Result<(), RowError> {
        for (column, value) in &self.columns {
            check_column(table, schema, column, |kind| kind.check(value))?;
        }
        Ok(())
    }
}

/// Checks a column of a table by its type.
pub(crate) fn check_column(
    table: &str,
    schema: &TableSchema,
    column: &str,
    check: impl FnOnce(&crate::column_type::ColumnType) -> Result<(), TypeMismatch>,
) -> Result<(), RowError> {
    let (table, name) = (table.to_owned(), column.to_owned());
    match schema.column(column) {
        None => Err(RowError::Column { table, column: name }),
        Some(kind) => check(kind).map_err(|mismatch| RowError::Value { table, column: name, mismatch }),
    }
}

/// Returns an error with its source.
pub(crate) fn in_one_line(error: &RowError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Reads a uuid as a reply has it: `["uuid", "…"]`.
pub(crate) fn uuid_of(json: &Json) -> Option<Uuid> {
    match json.as_array()?.as_slice() {
        [Json::String(tag), Json::String(text)] if tag == "uuid" => uuid(text),
        _ => None,
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Row {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(columns: I) -> Row {
        Row { columns: columns.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}
