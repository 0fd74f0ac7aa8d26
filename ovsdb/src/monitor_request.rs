//! Requests for monitors (RFC 7047 section 4.1.5, ovsdb-server(7) sections 4.1.12 and 4.1.15).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::contents::Columns;
use crate::operation::Condition;
use crate::row::{RowError, check_column};
use crate::schema::DatabaseSchema;

/// The tables and columns that a monitor follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitorRequest {
    /// The tables by their names.
    pub tables: BTreeMap<String, MonitoredTable>,
}

/// The columns and rows of a table that a monitor follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitoredTable {
    /// The columns; none: all of the schema.
    pub columns: Option<Vec<String>>,
    /// The conditions. A row is followed if it meets one of them; with no condition, each row is. (The conditions of an operation
    /// are different: there a row has to meet all.)
    pub conditions: Vec<Condition>,
}

impl MonitorRequest {
    /// Returns the request with one more table, of which all rows are followed.
    #[must_use]
    pub fn with(self, table: &str, columns: &[&str]) -> MonitorRequest {
        self.with_conditions(table, columns, Vec::new())
    }

    /// Returns the request with all columns and rows of one more table.
    #[must_use]
    pub fn with_all(mut self, table: &str) -> MonitorRequest {
        self.tables.insert(table.to_owned(), MonitoredTable::default());
        self
    }

    /// Returns the request with one more table, of which the rows are followed that meet one of these conditions.
    #[must_use]
    pub fn with_conditions(
        mut self,
        table: &str,
        columns: &[&str],
        conditions: Vec<Condition>,
    ) -> MonitorRequest {
        let columns = Some(columns.iter().map(|column| (*column).to_owned()).collect());
        self.tables.insert(table.to_owned(), MonitoredTable { columns, conditions });
        self
    }

    pub(crate) fn has_conditions(&self) -> bool {
        self.tables.values().any(|table| !table.conditions.is_empty())
    }

    /// Returns the columns of each table: the named ones, or all of the schema.
    pub(crate) fn columns(&self, schema: &DatabaseSchema) -> Result<Columns, RowError> {
        let columns = |(name, monitored): (&String, &MonitoredTable)| {
            let table = schema.table(name).ok_or_else(|| RowError::Table { table: name.clone() })?;
            let columns: Vec<String> = match &monitored.columns {
                Some(columns) => columns.clone(),
                None => table
                    .columns
                    .keys()
                    .filter(|name| !name.starts_with('_'))
                    .map(|name| (**name).to_owned())
                    .collect(),
            };
            let conditions = monitored.conditions.iter().filter_map(|condition| match condition {
                Condition::Column(column, ..) => Some(column),
                Condition::Always(_) => None,
            });
            columns
                .iter()
                .chain(conditions)
                .try_for_each(|column| check_column(name, table, column, |_| Ok(())))?;
            Ok((name.clone(), columns))
        };
        self.tables.iter().map(columns).collect()
    }

    /// Returns the tables as `monitor_cond` and `monitor_cond_since` have them; without conditions, also as `monitor` does.
    pub(crate) fn tables(&self, columns: &Columns) -> Json {
        let table = |(name, columns): (&String, &Vec<String>)| {
            let mut request = json!({ "columns": columns });
            let conditions = self.tables.get(name).map(|table| &table.conditions).filter(|it| !it.is_empty());
            if let (Some(conditions), Some(request)) = (conditions, request.as_object_mut()) {
                request.insert("where".to_owned(), conditions_json(conditions));
            }
            (name.clone(), json!([request]))
        };
        columns.iter().map(table).collect()
    }
}

/// Returns conditions as a request has them.
pub(crate) fn conditions_json(conditions: &[impl Serialize]) -> Json {
    // Only a NUL character in a string can't be written. No row has one, so such a condition is never met.
    let condition = |condition| serde_json::to_value(condition).unwrap_or(Json::Bool(false));
    conditions.iter().map(condition).collect()
}
