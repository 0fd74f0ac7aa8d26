//! The rows that a monitor has seen, and the changes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::column_type::{ColumnType, uuid};
use crate::row::{Row, in_one_line};
use crate::schema::{DatabaseSchema, TableSchema};
use crate::value::{Atom, Value};

/// The rows of the monitored tables by the names of the tables and the uuids of the rows. Rows have the monitored columns. Changes
/// share them.
pub type Contents = BTreeMap<String, BTreeMap<Uuid, Arc<Row>>>;

/// A change of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: String,
    /// The row's uuid.
    pub uuid: Uuid,
    /// The row before; none if it is new, or meets the conditions only now.
    pub old: Option<Arc<Row>>,
    /// The row after; none if it is deleted, or does not meet the conditions any more.
    pub new: Option<Arc<Row>>,
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
                    Form::Differences => reader.changed(uuid, old.map(|row| &**row), update)?,
                };
                let new = new.map(Arc::new);
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
                for (column, difference) in self.read(row)?.iter() {
                    let kind = self.schema.column(column);
                    let kind = kind.ok_or_else(|| format!("{} has no column {column}", self.table))?;
                    let before = new.get(column).cloned().unwrap_or_else(|| kind.default_value());
                    new.set(column, with_difference(kind, &before, difference));
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
            if row.get(column).is_none()
                && let Some((name, known)) = self.schema.columns.get_key_value(column.as_str())
            {
                row.set(name.clone(), known.kind.default_value());
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
pub(crate) fn with_difference(kind: &ColumnType, before: &Value, difference: &Value) -> Value {
    if !kind.is_composite() {
        return difference.clone();
    }
    if let (Some(before), Some(difference)) = (before.as_set(), difference.as_set()) {
        let gone = |element: &&Atom| difference.binary_search(element).is_ok();
        let kept = before.iter().filter(|element| !gone(element));
        let new = difference.iter().filter(|element| before.binary_search(element).is_err());
        return Value::set(kept.chain(new).cloned());
    }
    if let (Some(before), Some(difference)) = (before.as_map(), difference.as_map()) {
        let mut pairs: BTreeMap<&Atom, &Atom> = before.iter().map(|(key, value)| (key, value)).collect();
        for (key, value) in difference {
            match pairs.get(key) {
                Some(known) if *known == value => drop(pairs.remove(key)),
                _ => drop(pairs.insert(key, value)),
            }
        }
        return Value::map(pairs.into_iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    difference.clone()
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

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::column_type::AtomType;

    /// The difference as ovsdb-server(7) defines it.
    fn difference(kind: &ColumnType, before: &Value, after: &Value) -> Value {
        if !kind.is_composite() {
            return after.clone();
        }
        if let (Some(before), Some(after)) = (before.as_set(), after.as_set()) {
            let gone = before.iter().filter(|element| !after.contains(element));
            let new = after.iter().filter(|element| !before.contains(element));
            return Value::set(gone.chain(new).cloned());
        }
        let (before, after) = (before.as_map().unwrap(), after.as_map().unwrap());
        let gone = before.iter().filter(|(key, _)| !after.iter().any(|(other, _)| other == key));
        Value::map(gone.chain(after.iter().filter(|pair| !before.contains(pair))).cloned())
    }

    fn anything() -> impl Strategy<Value = Json> {
        let words = ["Thing", "name", "tags", "insert", "modify", "delete", "old", "new", "set"];
        let uuid = "11111111-1111-4111-8111-111111111111";
        let word = move || prop::sample::select([&words[..], &[uuid]].concat()).prop_map(str::to_owned);
        let leaf =
            prop_oneof![Just(Json::Null), word().prop_map(Json::from), any::<i64>().prop_map(Json::from)];
        leaf.prop_recursive(5, 24, 3, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(Json::Array),
                vec((word(), inner), 0..3).prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_difference_leads_from_one_value_to_the_other(
            sets in [btree_set(0_i64..6, 0..5), btree_set(0_i64..6, 0..5)],
            maps in [btree_map(0_i64..4, 0_i64..3, 0..4), btree_map(0_i64..4, 0_i64..3, 0..4)],
            is_composite in any::<bool>(),
        ) {
            let most = (!is_composite).then_some(1);
            let set = ColumnType { most, ..ColumnType::set(AtomType::Integer) };
            let map = ColumnType { most, ..ColumnType::map(AtomType::Integer, AtomType::Integer) };
            for (kind, [before, after]) in [(set, sets.map(Value::set)), (map, maps.map(Value::map))] {
                let difference = difference(&kind, &before, &after);
                prop_assert_eq!(with_difference(&kind, &before, &difference), after);
            }
        }

        #[test]
        fn updates_of_any_shape_are_changes_or_an_error(updates in anything(), is_first in any::<bool>()) {
            let columns = [("name", AtomType::String.into()), ("tags", ColumnType::set(AtomType::String))];
            let schema = DatabaseSchema::declare("Things", [("Thing", columns)]);
            let columns = Columns::from([("Thing".to_owned(), vec!["name".to_owned(), "tags".to_owned()])]);
            let form = if is_first { Form::Rows } else { Form::Differences };
            let reader = UpdateReader { schema: &schema, columns: &columns, form };
            let known = json!({ "Thing": { "11111111-1111-4111-8111-111111111111": { "new": { "name": "a" } } } });
            let mut contents = Contents::new();
            make(&UpdateReader { form: Form::Rows, ..reader }.changes(&contents, known).unwrap(), &mut contents);
            let before = contents.clone();
            if let Ok(changes) = reader.changes(&contents, updates) {
                make(&changes, &mut contents);
                prop_assert_eq!(changes_between(&before, &contents).len(), changes.len());
            }
        }
    }
}
