//! Rows: values by the names of their columns.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::column_type::{ColumnType, TypeMismatch, uuid};
use crate::schema::TableSchema;
use crate::value::Value;

/// A row, or some of its columns, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    columns: Vec<(Arc<str>, Value)>,
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
    /// Returns the row with this value of a column.
    #[must_use]
    pub fn with(mut self, column: &str, value: impl Into<Value>) -> Row {
        self.set(column, value);
        self
    }

    /// Sets the value of a column.
    pub fn set(&mut self, column: impl Into<Arc<str>>, value: impl Into<Value>) {
        let column = column.into();
        match self.position(&column) {
            Ok(at) => {
                if let Some((_, known)) = self.columns.get_mut(at) {
                    *known = value.into();
                }
            }
            Err(at) => self.columns.insert(at, (column, value.into())),
        }
    }

    /// Removes a column, and returns its value.
    pub fn remove(&mut self, column: &str) -> Option<Value> {
        self.position(column).ok().map(|at| self.columns.remove(at).1)
    }

    /// Returns a column's value.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.position(column).ok().and_then(|at| self.columns.get(at)).map(|(_, value)| value)
    }

    /// Returns the columns in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.columns.iter().map(|(name, value)| (&**name, value))
    }

    /// Returns the number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Returns true if there is no column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Returns the row's uuid, if the column `_uuid` is among its columns, as in the rows of a `select` of all columns.
    pub fn uuid(&self) -> Option<Uuid> {
        self.get("_uuid")?.as_uuid()
    }

    fn position(&self, column: &str) -> Result<usize, usize> {
        self.columns.binary_search_by(|(name, _)| (**name).cmp(column))
    }

    /// Reads a row that a server sent.
    ///
    /// # Errors
    /// When the JSON is no row of this table.
    pub fn read(table: &str, schema: &TableSchema, json: Json) -> Result<Row, RowError> {
        let Json::Object(members) = json else { return Err(RowError::NoObject { table: table.to_owned() }) };
        let mut columns = Vec::with_capacity(members.len());
        for (column, json) in members {
            // All rows share the names of the schema.
            let known = schema.columns.get_key_value(column.as_str());
            let unknown = || RowError::Column { table: table.to_owned(), column: column.clone() };
            let (name, known) = known.ok_or_else(unknown)?;
            let wrong =
                |mismatch| RowError::Value { table: table.to_owned(), column: column.clone(), mismatch };
            columns.push((name.clone(), known.kind.read(json).map_err(wrong)?));
        }
        columns.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Row { columns })
    }

    /// Checks the row's values against the schema of its table, with their constraints.
    ///
    /// # Errors
    /// When a column is unknown, or a value is not of its type.
    pub fn check(&self, table: &str, schema: &TableSchema) -> Result<(), RowError> {
        self.iter()
            .try_for_each(|(column, value)| check_column(table, schema, column, |kind| kind.check(value)))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Checks a column of a table by its type.
pub(crate) fn check_column(
    table: &str,
    schema: &TableSchema,
    column: &str,
    check: impl FnOnce(&ColumnType) -> Result<(), TypeMismatch>,
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

impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Row {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(columns: I) -> Row {
        let mut row = Row::default();
        columns.into_iter().for_each(|(name, value)| row.set(name, value));
        row
    }
}
