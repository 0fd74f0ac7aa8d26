//! Rows as operations on the northbound database.
//!
//! Only midoform's share of a column is written: the whole of it, or the members that are midoform's own. An operation that changes
//! or deletes a row comes after a `wait` for the row's values, so that a network that has moved refuses the transaction. A row that
//! another one holds is deleted by taking it out of that one: the database removes rows that nobody holds.

use std::sync::Arc;

use uuid::Uuid;

use crate::plan::datum::Datum;
use crate::plan::row_operation::{At, Mutation, Mutator};
use crate::plan::{Call, Encode, Engine, Ids, RowOperation};
use crate::topology::key::Key;
use crate::topology::kinds::row::columns::Columns;
use crate::topology::kinds::row::schema::{ColumnKind, ColumnSchema, Share, Table};
use crate::topology::kinds::row::{Holder, Map, Set, Value};
use crate::topology::kinds::{Kind, Object, Reference};

/// The encoder of rows.
#[derive(Clone, Copy, Debug)]
pub struct Rows;

impl Encode for Rows {
    fn engine(&self) -> Engine {
        Engine::Ovn
    }

    /// OVSDB takes the client's `_uuid`.
    fn keeps_offered_id(&self, _kind: Kind) -> bool {
        true
    }

    /// A row stays in its table, and in the row that holds it.
    fn can_update(&self, old: &Object, new: &Object) -> bool {
        match (old.row(), new.row()) {
            (Some(old), Some(new)) => old.table == new.table && old.holder == new.holder,
            _ => false,
        }
    }

    fn create(
        &self,
        ids: Ids<'_>,
        (key, object): (&Key, &Object),
        _position: u32,
        id: Option<Uuid>,
    ) -> Vec<Call> {
        let Some(row) = object.row() else { return Vec::new() };
        let uuid = id.unwrap_or_else(|| id_of(ids, key));
        let columns = row.columns.iter().map(|(name, value)| (name, datum_of(ids, value)));
        let insert = RowOperation::Insert { table: row.table, uuid, row: columns.collect() };
        let hold = row.holder.as_ref().map(|holder| hold(ids, holder, Mutator::Insert, uuid));
        calls([insert].into_iter().chain(hold))
    }

    fn update(&self, ids: Ids<'_>, (key, object): (&Key, &Object), old: &Object) -> Vec<Call> {
        let (Some(old), Some(new)) = (old.row(), object.row()) else { return Vec::new() };
        let at = At::Id(id_of(ids, key));
        let mut change =
            Change { ids, was: Columns::default(), set: Columns::default(), mutations: Vec::new() };
        for column in new.table.schema().columns {
            change.column(column, old.columns.get(column.name), new.columns.get(column.name));
        }
        calls(change.operations(new.table, &at))
    }

    fn delete(&self, ids: Ids<'_>, (key, object): (&Key, &Object)) -> Vec<Call> {
        let Some(row) = object.row() else { return Vec::new() };
        let (table, uuid) = (row.table, id_of(ids, key));
        let at = At::Id(uuid);
        let whole = table.schema().columns.iter().filter(|column| column.share == Share::Whole);
        let was =
            whole.map(|column| (column.name, datum_or_empty(ids, column, row.columns.get(column.name))));
        let last = match &row.holder {
            Some(holder) => hold(ids, holder, Mutator::Delete, uuid),
            None => RowOperation::Delete { table, at: at.clone() },
        };
        calls([wait(table, &at, was.collect()), last])
    }
}

fn calls(operations: impl IntoIterator<Item = RowOperation>) -> Vec<Call> {
    operations.into_iter().map(Call::Row).collect()
}

fn id_of(ids: Ids<'_>, key: &Key) -> Uuid {
    ids.known(key).or_else(|| key.own_id()).unwrap_or_else(|| ids.of_key(key))
}

/// Returns a value with the ids of the rows that it refers to.
fn datum_of(ids: Ids<'_>, value: &Value) -> Datum {
    Datum::of(value, |reference| match reference {
        Reference::Key(key) => Some(id_of(ids, key)),
        Reference::External(id) => Some(*id),
        Reference::Named(_) => None,
    })
}

/// Returns a column's value; without one, the value of a column that nobody has written.
fn datum_or_empty(ids: Ids<'_>, column: &ColumnSchema, value: Option<&Value>) -> Datum {
    match (value, column.kind) {
        (Some(value), _) => datum_of(ids, value),
        (None, ColumnKind::Text | ColumnKind::Word(_)) => Datum::Text("".into()),
        (None, ColumnKind::Integer(..)) => Datum::Integer(0),
        (None, ColumnKind::Map) => Datum::Map(Map::default()),
        (None, _) => Datum::Nothing,
    }
}

/// Returns the condition of the row that holds others.
fn holder_at(ids: Ids<'_>, holder: &Holder) -> At {
    match &holder.row {
        Reference::Key(key) => At::Id(id_of(ids, key)),
        Reference::External(id) => At::Id(*id),
        Reference::Named(name) => At::Name(name.clone()),
    }
}

/// Returns the operation that puts a row into the column that holds it, or takes it out.
fn hold(ids: Ids<'_>, holder: &Holder, mutator: Mutator, uuid: Uuid) -> RowOperation {
    RowOperation::Mutate {
        table: holder.table,
        at: holder_at(ids, holder),
        mutations: Box::new([(holder.column, mutator, Datum::Rows(Arc::new([uuid])))]),
    }
}

/// Returns the operation that refuses the transaction if the row does not have these values.
fn wait(table: Table, at: &At, row: Columns<Datum>) -> RowOperation {
    RowOperation::Wait { table, at: at.clone(), row }
}

/// The change of a row, column by column.
struct Change<'a> {
    ids: Ids<'a>,
    /// The values that the row has to have.
    was: Columns<Datum>,
    /// The values that it gets.
    set: Columns<Datum>,
    mutations: Vec<Mutation>,
}

impl Change<'_> {
    fn column(&mut self, column: &'static ColumnSchema, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        let name = column.name;
        match (column.share, old, new) {
            (Share::Whole, ..) => {
                self.was.insert(name, datum_or_empty(self.ids, column, old));
                self.set.insert(name, datum_or_empty(self.ids, column, new));
            }
            (Share::Members(_), ..) if column.kind == ColumnKind::Map => self.keys(name, old, new),
            (Share::Members(_), ..) => self.members(name, old, new),
        }
    }

    /// Changes the keys of a map. `insert` keeps the value of a key that is there, so a changed key is deleted before.
    fn keys(&mut self, name: &'static str, old: Option<&Value>, new: Option<&Value>) {
        let map = |value: Option<&Value>| match value {
            Some(Value::Map(map)) => map.clone(),
            _ => Map::default(),
        };
        let (old, new) = (map(old), map(new));
        let missing = |from: &Map, pairs: &Map| -> Vec<(Arc<str>, Arc<str>)> {
            let missing = pairs.iter().filter(|(key, value)| from.get(key) != Some(value));
            missing.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let (gone, come) = (missing(&new, &old), missing(&old, &new));
        if !gone.is_empty() {
            let keys = gone.into_iter().map(|(key, _)| key).collect();
            self.mutations.push((name, Mutator::Delete, Datum::Texts(keys)));
        }
        if !come.is_empty() {
            self.mutations.push((name, Mutator::Insert, Datum::Map(come.into_iter().collect())));
        }
    }

    /// Changes the members of a set of references.
    fn members(&mut self, name: &'static str, old: Option<&Value>, new: Option<&Value>) {
        let references = |value: Option<&Value>| match value {
            Some(Value::References(references)) => references.clone(),
            _ => Set::default(),
        };
        let (old, new) = (references(old), references(new));
        let missing = |from: &Set<Reference>, members: &Set<Reference>| -> Set<Reference> {
            members.iter().filter(|member| from.binary_search(member).is_err()).cloned().collect()
        };
        for (mutator, members) in
            [(Mutator::Delete, missing(&new, &old)), (Mutator::Insert, missing(&old, &new))]
        {
            if !members.is_empty() {
                self.mutations.push((name, mutator, datum_of(self.ids, &Value::References(members))));
            }
        }
    }

    fn operations(self, table: Table, at: &At) -> Vec<RowOperation> {
        let mut operations = Vec::new();
        if !self.set.is_empty() {
            operations.push(wait(table, at, self.was));
            operations.push(RowOperation::Update { table, at: at.clone(), row: self.set });
        }
        if !self.mutations.is_empty() {
            let mutations = self.mutations.into();
            operations.push(RowOperation::Mutate { table, at: at.clone(), mutations });
        }
        operations
    }
}
