//! The rows that a monitor has seen, and the changes to them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::column_type::{ColumnType, uuid};
use crate::row::{Row, in_one_line};
use crate::schema::{DatabaseSchema, TableSchema};
use crate::value::Value;

/// The rows of the monitored tables by the names of the tables and the uuids of the rows. Rows have the monitored columns.
pub type Contents = BTreeMap<String, BTreeMap<Uuid, Row>>;

/// A change of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: String,
    /// The row's uuid.
    pub uuid: Uuid,
    /// The row before; none if it is new, or meets the conditions only now.
    pub old: Option<Row>,
    /// The row after; none if it is deleted, or does not meet the conditions any more.
    pub new: Option<Row>,
}

/// The columns of the monitored tables.
pub(crate) type Columns = BTreeMap<String, Vec<String>>;

/// The form of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Old and new rows (RFC 7047 section 4.1.6).
    Rows,
    /// Differences (ovsdb-server(7) section 4.1.14).
    Differences,
}

/// The reader of updates of one monitor.
#[derive(Debug)]
pub(crate) struct UpdateReader<'a> {
    pub(crate) schema: &'a DatabaseSchema,
    pub(crate) columns: &'a Columns,
    pub(crate) form: Form,
}

impl UpdateReader<'_> {
    /// Returns the changes that updates make to contents, in the order of tables and uuids.
    pub(crate) fn changes(&self, contents: &Contents, updates: Json) -> Result<Vec<Change>, String> {
        let mut changes = Vec::new();
        for (table, rows) in object(updates)? {
            let schema =
                self.schema.table(&table).ok_or_else(|| format!("the schema has no table {table}"))?;
            let columns = self.columns.get(&table).ok_or_else(|| format!("{table} is not monitored"))?;
            let reader = RowReader { table: &table, schema, columns };
            let known = contents.get(&table);
            for (text, update) in object(rows)? {
                let uuid = uuid(&text).ok_or_else(|| format!("`{text}` is no uuid"))?;
                let update = object(update)?;
                let old = known.and_then(|rows| rows.get(&uuid));
                let new = match self.form {
                    Form::Rows => reader.replaced(update)?,
                    Form::Differences => reader.changed(uuid, old, update)?,
                };
                if old != new.as_ref() {
                    changes.push(Change { table: table.clone(), uuid, old: old.cloned(), new });
                }
            }
        }
        Ok(changes)
    }
}

/// The reader of the rows of one table.
struct RowReader<'a> {
    table: &'a str,
    schema: &'a TableSchema,
    columns: &'a [String],
}

impl RowReader<'_> {
    /// Returns the new row of an update that has whole rows.
    fn replaced(&self, mut update: Map<String, Json>) -> Result<Option<Row>, String> {
        update.remove("new").map(|new| self.whole(new)).transpose()
    }

    /// Returns the new row of an update that has differences.
    fn changed(
        &self,
        uuid: Uuid,
        old: Option<&Row>,
        update: Map<String, Json>,
    ) -> Result<Option<Row>, String> {
        let mut update = update.into_iter();
        let (Some((kind, row)), None) = (update.next(), update.next()) else {
            return Err(format!("the update of the row {uuid} is not of one kind"));
        };
        match kind.as_str() {
            "initial" | "insert" => self.whole(row).map(Some),
            "delete" => Ok(None),
            "modify" => {
                let mut new = old.cloned().ok_or_else(|| format!("the changed row {uuid} is not known"))?;
                for (column, difference) in self.read(row)?.columns {
                    let kind = self.schema.column(&column);
                    let kind = kind.ok_or_else(|| format!("{} has no column {column}", self.table))?;
                    let before = new.columns.remove(&column).unwrap_or_else(|| kind.default_value());
                    new.columns.insert(column, with_difference(kind, before, difference));
                }
                Ok(Some(new))
            }
            _ => Err(format!("`{kind}` is no kind of update")),
        }
    }

    /// Reads a row; a monitored column that is left out has its default value.
    fn whole(&self, json: Json) -> Result<Row, String> {
        let mut row = self.read(json)?;
        for column in self.columns {
            if !row.columns.contains_key(column)
                && let Some(kind) = self.schema.column(column)
            {
                row.columns.insert(column.clone(), kind.default_value());
            }
        }
        Ok(row)
    }

    fn read(&self, json: Json) -> Result<Row, String> {
        Row::read(self.table, self.schema, json).map_err(|error| in_one_line(&error))
    }
}

/// Applies the difference between two values (ovsdb-server(7) section 4.1.14). Of a column with at most one element, it is the new
/// value.
pub(crate) fn with_difference(kind: &ColumnType, before: Value, difference: Value) -> Value {
    match (before, difference) {
        (_, difference) if !kind.is_composite() => difference,
        (Value::Set(mut elements), Value::Set(difference)) => {
            for element in difference {
                if !elements.remove(&element) {
                    elements.insert(element);
                }
            }
            Value::Set(elements)
        }
        (Value::Map(mut pairs), Value::Map(difference)) => {
            for (key, value) in difference {
                match pairs.get(&key) {
                    Some(known) if *known == value => drop(pairs.remove(&key)),
                    _ => drop(pairs.insert(key, value)),
                }
            }
            Value::Map(pairs)
        }
        (_, difference) => difference,
    }
}

/// Makes changes to contents.
pub(crate) fn make(changes: &[Change], contents: &mut Contents) {
    for Change { table, uuid, new, .. } in changes {
        let rows = contents.entry(table.clone()).or_default();
        match new {
            Some(row) => drop(rows.insert(*uuid, row.clone())),
            None => drop(rows.remove(uuid)),
        }
    }
}

/// Returns the changes that lead from some contents to others.
pub(crate) fn changes_between(before: &Contents, after: &Contents) -> Vec<Change> {
    let none = BTreeMap::new();
    let mut changes = Vec::new();
    for table in before.keys().chain(after.keys()).collect::<BTreeSet<&String>>() {
        let (old, new) = (before.get(table).unwrap_or(&none), after.get(table).unwrap_or(&none));
        for uuid in old.keys().chain(new.keys()).collect::<BTreeSet<&Uuid>>() {
            let (old, new) = (old.get(uuid), new.get(uuid));
            if old != new {
                let (old, new) = (old.cloned(), new.cloned());
                changes.push(Change { table: table.clone(), uuid: *uuid, old, new });
            }
        }
    }
    changes
}

fn object(json: Json) -> Result<Map<String, Json>, String> {
    match json {
        Json::Object(members) => Ok(members),
        _ => Err("an update is no object".to_owned()),
    }
}
