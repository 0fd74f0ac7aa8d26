//! Rows of OVN's northbound database: the objects of the engine OVN.
//!
//! A row's `_uuid` is the id of its key and generation ([`Namespace::id_of_generation`](crate::topology::key::Namespace)), as with
//! MidoNet's objects. The key itself is in `external_ids:midoform`, and the site's name in `external_ids:midoform-site`. Sources of
//! the columns' meanings: ovn-nb(5), and the schema that [`schema`] is compared with.

pub mod columns;
pub mod schema;
pub mod value;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Kind, Reference, TypedReference};
use crate::topology::key::Key;
use columns::Columns;
use schema::{ColumnKind, Table};

pub use schema::{KEY_OF_ROW, SITE_OF_ROW};
pub use value::{Map, Set, Value, shared};

/// A row: its table, its columns, and the row that holds it. An optional column or a set that is left out is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ReadRow")]
pub struct Row {
    /// The table.
    pub table: Table,
    /// The columns by name.
    pub columns: Columns<Value>,
    /// The row that holds it; none if it stands alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// The row that holds another one, and the column in which it does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Holder {
    /// The row.
    pub row: Reference,
    /// The row's table.
    pub table: Table,
    /// The column.
    pub column: &'static str,
}

/// A row as it is read from a file, before the names of its columns are looked up in the schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadRow {
    table: Table,
    columns: std::collections::BTreeMap<String, Value>,
    holder: Option<ReadHolder>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadHolder {
    row: Reference,
    table: Table,
    column: String,
}

impl TryFrom<ReadRow> for Row {
    type Error = String;

    fn try_from(read: ReadRow) -> Result<Row, String> {
        let table = read.table;
        let mut row = Row::new(table);
        for (name, value) in read.columns {
            let column = table
                .column(&name)
                .ok_or_else(|| format!("{table} has no column `{name}` that midoform knows"))?;
            row.columns.insert(column.name, value);
        }
        if let Some(ReadHolder { row: holder, table: of, column }) = read.holder {
            let known = table.schema().held_by.iter().find(|place| **place == (of, column.as_str()));
            let (_, column) = known.ok_or_else(|| format!("`{column}` of {of} holds no {table}"))?;
            row.holder = Some(Holder { row: holder, table: of, column });
        }
        Ok(row)
    }
}

impl Row {
    /// Makes a row without columns, which stands alone.
    pub fn new(table: Table) -> Self {
        Row { table, columns: Columns::default(), holder: None }
    }

    /// Puts the row into a column of another one.
    #[must_use]
    pub fn held_by(mut self, holder: Holder) -> Self {
        self.holder = Some(holder);
        self
    }

    /// Sets a column to a text.
    #[must_use]
    pub fn text(self, column: &'static str, text: impl Into<Arc<str>>) -> Self {
        self.with(column, Value::Text(text.into()))
    }

    /// Sets a column to an integer.
    #[must_use]
    pub fn integer(self, column: &'static str, integer: i64) -> Self {
        self.with(column, Value::Integer(integer))
    }

    /// Sets a column to a set of texts.
    #[must_use]
    pub fn texts(self, column: &'static str, texts: impl IntoIterator<Item = String>) -> Self {
        self.with(column, Value::Texts(texts.into_iter().map(Arc::from).collect()))
    }

    /// Sets a column to a map, and leaves it out if there is nothing in the map.
    #[must_use]
    pub fn map<T: Into<Arc<str>>, const N: usize>(self, column: &'static str, pairs: [(&str, T); N]) -> Self {
        let map: Map = pairs.into_iter().map(|(key, value)| (shared(key), value.into())).collect();
        if map.is_empty() { self } else { self.with(column, Value::Map(map)) }
    }

    /// Sets a column to a set of references, and leaves it out if there are none.
    #[must_use]
    pub fn references(self, column: &'static str, to: impl IntoIterator<Item = Reference>) -> Self {
        let to: Set<Reference> = to.into_iter().collect();
        if to.is_empty() { self } else { self.with(column, Value::References(to)) }
    }

    fn with(mut self, column: &'static str, value: Value) -> Self {
        self.columns.insert(column, value);
        self
    }

    /// Returns the text of a column.
    pub fn text_of(&self, column: &str) -> Option<&str> {
        match self.columns.get(column) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the integer of a column.
    pub fn integer_of(&self, column: &str) -> Option<i64> {
        match self.columns.get(column) {
            Some(Value::Integer(integer)) => Some(*integer),
            _ => None,
        }
    }

    /// Returns the texts of a set of texts.
    pub fn texts_of(&self, column: &str) -> impl Iterator<Item = &str> + use<'_> {
        let texts = match self.columns.get(column) {
            Some(Value::Texts(texts)) => Some(texts),
            _ => None,
        };
        texts.into_iter().flat_map(Set::iter).map(|text| &**text)
    }

    /// Returns the pairs of a map.
    pub fn map_of(&self, column: &str) -> Option<&Map> {
        match self.columns.get(column) {
            Some(Value::Map(map)) => Some(map),
            _ => None,
        }
    }

    /// Returns the value of a key of a map.
    pub fn option_of(&self, column: &str, key: &str) -> Option<&str> {
        self.map_of(column)?.get(key)
    }

    /// Returns the references of a set.
    pub fn references_in(&self, column: &str) -> impl Iterator<Item = &Reference> + use<'_> {
        let references = match self.columns.get(column) {
            Some(Value::References(references)) => Some(references),
            _ => None,
        };
        references.into_iter().flat_map(Set::iter)
    }

    /// Returns true if the row is in a column of the row that this reference leads to.
    pub fn is_held_by(&self, reference: &Reference) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.row == *reference)
    }

    /// Returns the key of the row that holds this one; none if it stands alone, or if somebody else's row holds it.
    pub fn holder_key(&self) -> Option<&Key> {
        self.holder.as_ref()?.row.key()
    }

    /// Returns the name that OVN's tools show; none for a table without names.
    fn name(&self) -> Option<&str> {
        self.text_of("name").filter(|name| !name.is_empty())
    }

    /// Describes the row in one line, without its key: its columns but for its name and its external ids.
    pub(super) fn describe(&self) -> String {
        let shown = self.columns.iter().filter(|(name, _)| !["external_ids", "name"].contains(name));
        let words: Vec<String> = shown.map(|(name, value)| format!("{name}={value}")).collect();
        match (words.is_empty(), self.name()) {
            (true, Some(name)) => format!("\"{name}\""),
            _ => words.join(" "),
        }
    }

    /// Returns the reference to the row that holds this one.
    pub(super) fn parent(&self) -> Option<TypedReference<'_>> {
        let holder = self.holder.as_ref()?;
        Some(holder.row.to(holder.table.kinds()))
    }

    /// Calls `visit` with every reference of the columns.
    pub(super) fn references_of<'a>(&'a self, visit: &mut dyn FnMut(TypedReference<'a>)) {
        for (name, value) in self.columns.iter() {
            if let (Value::References(to), Some(ColumnKind::References(table))) =
                (value, self.table.column(name).map(|column| column.kind))
            {
                to.iter().for_each(|reference| visit(reference.to(table.kinds())));
            }
        }
    }

    /// Returns the row that holds this one, and nothing it leads to.
    pub(super) fn ends(&self) -> [Option<&Reference>; 2] {
        [self.holder.as_ref().map(|holder| &holder.row), None]
    }

    /// Returns true if packets pass through what the row describes.
    pub(super) fn carries_traffic(&self) -> bool {
        !matches!(self.table, Table::AddressSet | Table::PortGroup | Table::Acl | Table::LogicalRouterPolicy)
    }

    /// Describes the columns that differ from the wanted ones; returns none if the rows are the same to OVN.
    pub(super) fn difference(&self, wanted: &Row) -> Option<String> {
        let names: BTreeSet<&str> =
            self.columns.iter().chain(wanted.columns.iter()).map(|(name, _)| name).collect();
        let show = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), ToString::to_string);
        let mut words: Vec<String> = names
            .into_iter()
            .map(|name| (name, self.columns.get(name), wanted.columns.get(name)))
            .filter(|(_, old, new)| old != new)
            .map(|(name, old, new)| format!("{name}: {} → {}", show(old), show(new)))
            .collect();
        if self.holder != wanted.holder {
            let place = |holder: Option<&Holder>| match holder {
                Some(holder) => format!("{} of {}", holder.column, holder.row),
                None => "nothing".to_owned(),
            };
            words.push(format!(
                "held by: {} → {}",
                place(self.holder.as_ref()),
                place(wanted.holder.as_ref())
            ));
        }
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Returns the kind of the row.
    pub(super) fn kind(&self) -> Kind {
        Kind::Row(self.table)
    }
}
