//! The operations of a plan as the client sends them. What the steps of a batch put into one row goes there at once: into the operation
//! that inserts the row, or into one mutation. A server copies a whole set for each mutation of it, and the provider router holds rows
//! of every tenant.

use std::collections::BTreeMap;

use midoform_compiler::plan::datum::Datum;
use midoform_compiler::plan::row_operation::{At, Mutation, Mutator};
use midoform_compiler::plan::{RowOperation, Step};
use midoform_compiler::topology::kinds::row::columns::Columns;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_ovsdb as ovsdb;
use midoform_ovsdb::{Condition, Operation, Until};
use uuid::Uuid;

/// The rows that are put into columns of another one.
type Held = BTreeMap<&'static str, Vec<Uuid>>;

/// By row of a table, the operation that can put more into it: nothing else has been done to the row since.
type Open = BTreeMap<At, usize>;

/// An operation of a plan, or several that only put rows into one.
enum Joined<'p> {
    /// An operation; with it, what an inserted row holds from the beginning.
    One(&'p RowOperation, Held),
    /// Puts rows into columns of a row.
    Put(Table, &'p At, Held),
}

/// Returns the operations of the steps of a batch, each with the index of the first step that it is of.
pub(super) fn joined(batch: &[&Step]) -> Vec<(usize, Operation)> {
    let mut all: Vec<(usize, Joined<'_>)> = Vec::new();
    let mut open: BTreeMap<Table, Open> = BTreeMap::new();
    for (step, operation) in
        batch.iter().enumerate().flat_map(|(at, step)| step.row_operations().map(move |one| (at, one)))
    {
        let (row, open) = (operation.at(), open.entry(operation.table()).or_default());
        let next = match operation {
            RowOperation::Mutate { table, at, mutations } if mutations.iter().all(puts) => {
                let known = open.get(&row).and_then(|index| all.get_mut(*index));
                if let Some((_, Joined::One(_, held) | Joined::Put(.., held))) = known {
                    put(held, mutations);
                    continue;
                }
                let mut held = Held::new();
                put(&mut held, mutations);
                Joined::Put(*table, at, held)
            }
            one => Joined::One(one, Held::new()),
        };
        match next {
            Joined::Put(..) | Joined::One(RowOperation::Insert { .. }, _) => {
                open.insert(row, all.len());
            }
            Joined::One(..) => close(open, &row),
        }
        all.push((step, next));
    }
    all.into_iter().map(|(step, joined)| (step, joined.typed())).collect()
}

/// Forgets the operations that could put more into a row. It may be meant by its name as well as by its id.
fn close(open: &mut Open, row: &At) {
    match row {
        At::Id(_) => {
            open.remove(row);
            // Names are after ids.
            while let Some((At::Name(_), _)) = open.last_key_value() {
                open.pop_last();
            }
        }
        At::Name(_) => open.clear(),
    }
}

/// Returns true if a mutation puts rows into a column.
fn puts(mutation: &Mutation) -> bool {
    matches!(mutation, (_, Mutator::Insert, Datum::Rows(_)))
}

fn put(held: &mut Held, mutations: &[Mutation]) {
    for (column, _, datum) in mutations {
        if let Datum::Rows(ids) = datum {
            held.entry(column).or_default().extend(ids.iter());
        }
    }
}

impl Joined<'_> {
    fn typed(self) -> Operation {
        match self {
            Joined::Put(table, at, held) => {
                let put = |(column, ids): (&'static str, Vec<Uuid>)| {
                    ovsdb::Mutation::new(column, ovsdb::Mutator::Insert, ovsdb::Value::set(ids))
                };
                Operation::mutate(
                    table.name(),
                    [condition(at)],
                    held.into_iter().map(put).collect::<Vec<_>>(),
                )
            }
            Joined::One(operation, held) => typed(operation, held),
        }
    }
}

/// Returns an operation as the client sends it. `held` is what an inserted row holds besides.
fn typed(operation: &RowOperation, held: Held) -> Operation {
    let table = operation.table().name();
    match operation {
        RowOperation::Insert { uuid, row, .. } => {
            let mut row = row_of(row);
            for (column, mut ids) in held {
                ids.extend(row.get(column).into_iter().flat_map(ovsdb::Value::uuids));
                row.set(column, ovsdb::Value::set(ids));
            }
            Operation::insert(table, *uuid, row)
        }
        RowOperation::Update { at, row, .. } => Operation::update(table, [condition(at)], row_of(row)),
        RowOperation::Delete { at, .. } => Operation::delete(table, [condition(at)]),
        RowOperation::Wait { at, row, .. } => Operation::Wait {
            timeout: Some(0),
            table: table.to_owned(),
            conditions: vec![condition(at)],
            columns: row.iter().map(|(name, _)| name.to_owned()).collect(),
            until: Until::Equal,
            rows: vec![row_of(row)],
        },
        RowOperation::Mutate { at, mutations, .. } => {
            let mutations = mutations.iter().map(|(column, mutator, datum)| {
                let mutator = match mutator {
                    Mutator::Insert => ovsdb::Mutator::Insert,
                    Mutator::Delete => ovsdb::Mutator::Delete,
                };
                ovsdb::Mutation::new(column, mutator, value_of(datum))
            });
            Operation::mutate(table, [condition(at)], mutations.collect::<Vec<_>>())
        }
    }
}

/// Returns the condition of a row.
pub(super) fn condition(at: &At) -> Condition {
    match at {
        At::Id(id) => Condition::uuid(*id),
        At::Name(name) => Condition::equal("name", name.as_str()),
    }
}

fn row_of(columns: &Columns<Datum>) -> ovsdb::Row {
    columns.iter().map(|(name, datum)| (name, value_of(datum))).collect()
}

/// Returns a value as the client sends it.
fn value_of(datum: &Datum) -> ovsdb::Value {
    match datum {
        Datum::Text(text) => (&**text).into(),
        Datum::Integer(integer) => (*integer).into(),
        Datum::Nothing => ovsdb::Value::empty_set(),
        Datum::Texts(texts) => ovsdb::Value::set(texts.iter().map(|text| &**text)),
        Datum::Map(map) => ovsdb::Value::map(map.iter().map(|(key, value)| (&**key, &**value))),
        Datum::Rows(ids) => ovsdb::Value::set(ids.iter().copied()),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Arc;

    use midoform_compiler::plan::{Action, Call};
    use midoform_compiler::topology::key::Key;
    use midoform_compiler::topology::kinds::Kind;
    use serde_json::json;

    use super::*;

    const ROUTER: Uuid = Uuid::from_u128(1);
    const PROVIDER: Uuid = Uuid::from_u128(2);

    fn step(operations: Vec<RowOperation>) -> Step {
        Step {
            action: Action::Update,
            key: Key::from("acme/router"),
            kind: Kind::Row(Table::LogicalRouter),
            reason: Cow::Borrowed(""),
            source: None,
            needs: Vec::new(),
            cuts_traffic: false,
            calls: operations.into_iter().map(Call::Row).collect(),
            undo: Vec::new(),
        }
    }

    fn insert(uuid: Uuid) -> RowOperation {
        let row = [("name", Datum::Text("r".into()))].into_iter().collect();
        RowOperation::Insert { table: Table::LogicalRouter, uuid, row }
    }

    fn change(router: Uuid, mutator: Mutator, port: u128) -> RowOperation {
        let ids = Datum::Rows(Arc::new([Uuid::from_u128(port)]));
        let mutations = Box::new([("ports", mutator, ids)]);
        RowOperation::Mutate { table: Table::LogicalRouter, at: At::Id(router), mutations }
    }

    /// Returns the operations, each with its step, as they are sent.
    fn sent(steps: &[Step]) -> Vec<(usize, String)> {
        let batch: Vec<&Step> = steps.iter().collect();
        let shown = |operation: &Operation| serde_json::to_string(operation).unwrap_or_default();
        joined(&batch).iter().map(|(step, operation)| (*step, shown(operation))).collect()
    }

    fn row(number: u128) -> serde_json::Value {
        json!(["uuid", Uuid::from_u128(number)])
    }

    #[test]
    fn an_inserted_row_holds_what_is_put_into_it() {
        let put = |port| step(vec![change(ROUTER, Mutator::Insert, port)]);
        let found = sent(&[step(vec![insert(ROUTER)]), put(11), put(10)]);
        let ports = json!(["set", [row(10), row(11)]]);
        let expected = json!({"op": "insert", "table": "Logical_Router", "uuid": ROUTER, "row": {"name": "r", "ports": ports}});
        let found: Vec<(usize, serde_json::Value)> =
            found.iter().filter_map(|(step, text)| Some((*step, serde_json::from_str(text).ok()?))).collect();
        assert_eq!(found, [(0, expected)]);
    }

    #[test]
    fn what_is_put_into_one_row_is_one_mutation() {
        let found = sent(&[
            step(vec![change(PROVIDER, Mutator::Insert, 10), insert(ROUTER)]),
            step(vec![change(PROVIDER, Mutator::Insert, 11)]),
        ]);
        let ports = json!([["ports", "insert", ["set", [row(10), row(11)]]]]);
        let steps: Vec<usize> = found.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [0, 0]);
        assert!(found.first().is_some_and(|(_, text)| text.contains(&ports.to_string())), "{found:?}");
    }

    #[test]
    fn nothing_is_put_into_a_row_before_something_else_is_done_to_it() {
        let found = sent(&[
            step(vec![change(PROVIDER, Mutator::Insert, 10)]),
            step(vec![change(PROVIDER, Mutator::Delete, 12)]),
            step(vec![change(PROVIDER, Mutator::Insert, 12)]),
            step(vec![change(PROVIDER, Mutator::Insert, 13)]),
        ]);
        let steps: Vec<usize> = found.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [0, 1, 2]);
    }

    /// The same row may be meant by its id and by its name.
    #[test]
    fn what_is_taken_out_by_the_id_is_not_put_in_before_by_the_name() {
        let named = |port| {
            let ids = Datum::Rows(Arc::new([Uuid::from_u128(port)]));
            let mutations = Box::new([("ports", Mutator::Insert, ids)]);
            RowOperation::Mutate {
                table: Table::LogicalRouter,
                at: At::Name("provider".to_owned()),
                mutations,
            }
        };
        let found = sent(&[
            step(vec![named(10)]),
            step(vec![change(PROVIDER, Mutator::Delete, 12)]),
            step(vec![named(12)]),
            step(vec![named(13)]),
        ]);
        let steps: Vec<usize> = found.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [0, 1, 2]);
    }

    #[test]
    fn a_row_is_waited_for_before_more_is_put_into_it() {
        let row: Columns<Datum> = [("name", Datum::Text("r".into()))].into_iter().collect();
        let at = At::Id(PROVIDER);
        let waits = RowOperation::Wait { table: Table::LogicalRouter, at: at.clone(), row };
        let found = sent(&[
            step(vec![change(PROVIDER, Mutator::Insert, 10)]),
            step(vec![waits, RowOperation::Delete { table: Table::LogicalRouter, at }]),
            step(vec![insert(PROVIDER), change(PROVIDER, Mutator::Insert, 11)]),
        ]);
        let operations: Vec<(usize, Option<serde_json::Value>)> = found
            .iter()
            .map(|(step, text)| (*step, serde_json::from_str::<serde_json::Value>(text).ok()))
            .map(|(step, json)| (step, json.and_then(|json| json.get("op").cloned())))
            .collect();
        let expected = [(0, "mutate"), (1, "wait"), (1, "delete"), (2, "insert")];
        assert_eq!(operations, expected.map(|(step, name)| (step, Some(json!(name)))));
    }
}
