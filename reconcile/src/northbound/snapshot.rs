//! The rows of the northbound database as they are at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use midoform_compiler::topology::kinds::row::schema::{ColumnKind, ColumnSchema, Share, TABLES, Table};
use midoform_compiler::topology::kinds::row::{Holder, KEY_OF_ROW, Map, SITE_OF_ROW, Set, Value, shared};
use midoform_compiler::topology::kinds::{Reference, Row};
use midoform_ovsdb as ovsdb;
use midoform_ovsdb::{Operation, Outcome, Transaction};
use uuid::Uuid;

use super::{Northbound, Servers};
use crate::client::ClientError;

/// Every row of the tables that midoform uses.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    tables: BTreeMap<Table, BTreeMap<Uuid, ovsdb::Row>>,
    /// By row, the row that holds it.
    holders: BTreeMap<Uuid, (Uuid, Table, &'static str)>,
}

/// A row, as it was found.
#[derive(Clone, Copy, Debug)]
pub struct FoundRow<'s> {
    /// Its table.
    pub table: Table,
    /// Its `_uuid`.
    pub id: Uuid,
    columns: &'s ovsdb::Row,
}

impl Snapshot {
    /// Reads all tables in one transaction, so that they belong together.
    ///
    /// # Errors
    /// Returns an error if the read fails, or a table or a column is missing.
    pub async fn read(northbound: &Northbound) -> Result<Snapshot, ClientError> {
        Ok(Snapshot::of_all(&northbound.read(&selects(all())).await?))
    }

    /// Reads some tables in one transaction.
    pub(super) async fn read_tables(
        northbound: &Northbound,
        tables: impl IntoIterator<Item = Table> + Clone,
    ) -> Result<Snapshot, ClientError> {
        let outcome = northbound.read(&selects(tables.clone())).await?;
        Ok(Snapshot::of_outcome(tables, &outcome))
    }

    fn of_all(outcome: &Outcome) -> Snapshot {
        Snapshot::of_outcome(all(), outcome)
    }

    fn of_outcome(tables: impl IntoIterator<Item = Table>, outcome: &Outcome) -> Snapshot {
        Snapshot::of(tables.into_iter().enumerate().map(|(at, table)| (table, outcome.rows(at).to_vec())))
    }

    /// Makes a snapshot of the rows of tables.
    pub fn of(tables: impl IntoIterator<Item = (Table, Vec<ovsdb::Row>)>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (table, rows) in tables {
            let rows = rows.into_iter().filter_map(|row| Some((row.uuid()?, row)));
            snapshot.tables.entry(table).or_default().extend(rows);
        }
        for schema in TABLES {
            for (holder, column) in schema.held_by {
                for (id, row) in snapshot.tables.get(holder).into_iter().flatten() {
                    let held = row.get(column).into_iter().flat_map(ovsdb::Value::uuids);
                    snapshot.holders.extend(held.map(|held| (held, (*id, *holder, *column))));
                }
            }
        }
        snapshot
    }

    /// Returns all rows, table by table.
    pub fn rows(&self) -> impl Iterator<Item = FoundRow<'_>> {
        let rows = self.tables.iter();
        rows.flat_map(|(table, rows)| {
            rows.iter().map(|(id, columns)| FoundRow { table: *table, id: *id, columns })
        })
    }

    /// Returns the rows of a table.
    pub fn table(&self, table: Table) -> impl Iterator<Item = FoundRow<'_>> {
        let rows = self.tables.get(&table).into_iter().flatten();
        rows.map(move |(id, columns)| FoundRow { table, id: *id, columns })
    }

    /// Returns the row that holds another one, its table, and the column.
    pub fn holder(&self, id: Uuid) -> Option<(Uuid, Table, &'static str)> {
        self.holders.get(&id).copied()
    }

    /// Returns the row of a table with this id.
    pub fn get(&self, table: Table, id: Uuid) -> Option<FoundRow<'_>> {
        let columns = self.tables.get(&table)?.get(&id)?;
        Some(FoundRow { table, id, columns })
    }
}

fn all() -> impl Iterator<Item = Table> {
    TABLES.iter().map(|schema| schema.table)
}

/// Returns the transaction that reads tables.
fn selects(tables: impl IntoIterator<Item = Table>) -> Transaction {
    let mut transaction = Transaction::new();
    for table in tables {
        transaction.push(Operation::select_columns(table.name(), [], &columns_of(table)));
    }
    transaction
}

impl Northbound {
    /// Begins to connect and to read all rows, while the caller does something else. The first observation has these
    /// rows, or the error; further ones read again.
    ///
    /// # Errors
    /// Returns an error if the servers or the files can't be used.
    pub fn ahead(servers: Servers) -> Result<Northbound, ClientError> {
        let northbound = Northbound::new(servers)?;
        let reader = northbound.clone();
        let reading = tokio::spawn(async move { reader.read(&selects(all())).await });
        *northbound.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        Ok(northbound)
    }

    /// Returns all rows: those that were read ahead, or else as they are now.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ahead {
            Some(reading) => {
                let read = reading.await.map_err(|error| ClientError::Defect(error.to_string()))?;
                Ok(Snapshot::of_all(&read?))
            }
            None => Snapshot::read(self).await,
        }
    }
}

impl<'s> FoundRow<'s> {
    /// Returns the key that the row has in the site with this name; none if it is not one of the site's.
    pub fn key_in(self, site: &str) -> Option<&'s str> {
        let ids = self.columns.get("external_ids")?;
        ids.get(KEY_OF_ROW).filter(|_| ids.get(SITE_OF_ROW) == Some(site))
    }

    /// Returns the text of a column; none if it has none.
    pub fn text(self, column: &str) -> Option<&'s str> {
        self.columns.get(column)?.as_str().filter(|text| !text.is_empty())
    }

    /// Returns the integer of a column.
    pub fn integer(self, column: &str) -> Option<i64> {
        self.columns.get(column)?.as_integer()
    }

    /// Returns the texts of a column.
    pub fn texts(self, column: &str) -> impl Iterator<Item = &'s str> {
        self.columns.get(column).into_iter().flat_map(ovsdb::Value::strings)
    }

    /// Returns the rows that a column refers to.
    pub fn references(self, column: &str) -> impl Iterator<Item = Uuid> + use<'s> {
        self.columns.get(column).into_iter().flat_map(ovsdb::Value::uuids)
    }

    /// Returns midoform's share of the row. `reference` returns what an id refers to.
    pub fn own_share(
        self,
        holder: Option<(Uuid, Table, &'static str)>,
        reference: &dyn Fn(Uuid) -> Reference,
    ) -> Row {
        let share = |column: &ColumnSchema| column.share;
        self.read_as(holder, &share, reference)
    }

    /// Returns the row with everything in the columns that midoform knows, whoever put it there.
    pub(super) fn whole(
        self,
        holder: Option<(Uuid, Table, &'static str)>,
        reference: &dyn Fn(Uuid) -> Reference,
    ) -> Row {
        self.read_as(holder, &|_| Share::Whole, reference)
    }

    /// Returns all columns.
    pub(super) fn columns(self) -> impl Iterator<Item = (&'s str, &'s ovsdb::Value)> {
        self.columns.iter()
    }

    fn read_as(
        self,
        holder: Option<(Uuid, Table, &'static str)>,
        share: &dyn Fn(&ColumnSchema) -> Share,
        reference: &dyn Fn(Uuid) -> Reference,
    ) -> Row {
        let mut row = Row::new(self.table);
        row.holder = holder.map(|(id, table, column)| Holder { row: reference(id), table, column });
        for column in self.table.schema().columns {
            let value = self.columns.get(column.name);
            let value = value.and_then(|value| read_value(column, value, share(column), reference));
            if let Some(value) = value {
                row.columns.insert(column.name, value);
            }
        }
        row
    }
}

/// Returns a share of a column's value; none if it is empty, as a row that midoform makes leaves empty columns out.
fn read_value(
    column: &ColumnSchema,
    value: &ovsdb::Value,
    share: Share,
    reference: &dyn Fn(Uuid) -> Reference,
) -> Option<Value> {
    match column.kind {
        ColumnKind::Text
        | ColumnKind::OptionalText(_)
        | ColumnKind::Word(_)
        | ColumnKind::OptionalWord(_) => {
            value.as_str().filter(|text| !text.is_empty()).map(|text| Value::Text(text.into()))
        }
        ColumnKind::Integer(..) | ColumnKind::OptionalInteger(..) => value.as_integer().map(Value::Integer),
        ColumnKind::Texts | ColumnKind::SomeTexts => {
            let texts: Set<Arc<str>> = value.strings().map(Arc::from).collect();
            (!texts.is_empty()).then_some(Value::Texts(texts))
        }
        ColumnKind::Map => {
            let is_own = |key: &str| match share {
                Share::Whole => true,
                Share::Members(keys) => keys.contains(&key),
            };
            let pairs = value.as_map().into_iter().flatten();
            let pairs = pairs.filter_map(|(key, value)| Some((key.as_str()?, value.as_str()?)));
            let own = pairs.filter(|(key, _)| is_own(key));
            let map: Map = own.map(|(key, value)| (shared(key), value.into())).collect();
            (!map.is_empty()).then_some(Value::Map(map))
        }
        ColumnKind::References(_) => {
            let all = value.uuids().map(reference);
            let is_own = |to: &Reference| share == Share::Whole || to.key().is_some();
            let references: Set<Reference> = all.filter(is_own).collect();
            (!references.is_empty()).then_some(Value::References(references))
        }
    }
}

/// Returns the columns of a table that are read: those that midoform writes, and those that hold rows.
pub(super) fn columns_of(table: Table) -> Vec<&'static str> {
    let own = table.schema().columns.iter().map(|column| column.name);
    let names: BTreeSet<&str> = own.chain(table.holding()).chain(["_uuid"]).collect();
    names.into_iter().collect()
}
