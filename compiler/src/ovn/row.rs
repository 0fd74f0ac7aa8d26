//! Rows of the northbound database: the desired state, as the compiler makes it.
//!
//! A row's `_uuid` is the id of its key and generation ([`Namespace::id_of_generation`]), as with MidoNet's objects. The key itself
//! is in `external_ids:midoform`, and the site's name in `external_ids:midoform-site`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::schema::Table;
use crate::source::Provenance;
use crate::topology::key::{Key, Namespace};

/// The key of `external_ids` that has a row's key.
pub const KEY_OF_ROW: &str = "midoform";

/// The key of `external_ids` that has the name of a row's site.
pub const SITE_OF_ROW: &str = "midoform-site";

/// A reference to a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// A row of the same site.
    Key(Key),
    /// A row that midoform did not make.
    Id(Uuid),
    /// A row that midoform did not make, by its name.
    Name(String),
}

impl Reference {
    /// Returns the key, if the row is one of the site's.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Reference::Key(key) => Some(key),
            Reference::Id(_) | Reference::Name(_) => None,
        }
    }
}

impl From<&Key> for Reference {
    fn from(key: &Key) -> Self {
        Reference::Key(key.clone())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Key(key) => key.fmt(formatter),
            Reference::Id(id) => id.fmt(formatter),
            Reference::Name(name) => write!(formatter, "{name:?}"),
        }
    }
}

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A text, or the only member of an optional text.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A set of texts.
    Texts(BTreeSet<String>),
    /// A map.
    Map(BTreeMap<String, String>),
    /// A set of references.
    References(BTreeSet<Reference>),
}

impl Value {
    /// Returns the value as the database's protocol writes it (RFC 7047, 5.1). `id` returns the id of a referenced row; a
    /// reference without one is left out.
    pub fn json(&self, id: impl Fn(&Reference) -> Option<Uuid>) -> Json {
        match self {
            Value::Text(text) => json!(text),
            Value::Integer(integer) => json!(integer),
            Value::Texts(texts) => json!(["set", texts]),
            Value::Map(map) => json!(["map", map.iter().collect::<Vec<_>>()]),
            Value::References(references) => {
                let ids = references.iter().filter_map(id).map(|id| json!(["uuid", id]));
                json!(["set", ids.collect::<Vec<_>>()])
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => formatter.write_str(text),
            Value::Integer(integer) => integer.fmt(formatter),
            Value::Texts(texts) => write_list(formatter, texts.iter()),
            Value::Map(map) => write_list(formatter, map.iter().map(|(key, value)| format!("{key}={value}"))),
            Value::References(references) => write_list(formatter, references.iter()),
        }
    }
}

fn write_list<T: fmt::Display>(
    formatter: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    write!(formatter, "[{}]", items.join(", "))
}

/// A row: its table, and its columns. An optional column or a set that is left out is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The table.
    pub table: Table,
    /// The columns by name.
    pub columns: BTreeMap<&'static str, Value>,
}

impl Row {
    /// Makes a row without columns.
    pub fn new(table: Table) -> Self {
        Row { table, columns: BTreeMap::new() }
    }

    /// Sets a column to a text.
    #[must_use]
    pub fn text(self, column: &'static str, text: impl Into<String>) -> Self {
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
        self.with(column, Value::Texts(texts.into_iter().collect()))
    }

    /// Sets a column to a map, and leaves it out if there is nothing in the map.
    #[must_use]
    pub fn map<const N: usize>(self, column: &'static str, pairs: [(&str, String); N]) -> Self {
        let map: BTreeMap<String, String> =
            pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        if map.is_empty() { self } else { self.with(column, Value::Map(map)) }
    }

    /// Sets a column to a set of references, and leaves it out if there are none.
    #[must_use]
    pub fn references(self, column: &'static str, to: impl IntoIterator<Item = Reference>) -> Self {
        let to: BTreeSet<Reference> = to.into_iter().collect();
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

/// A row, its key, its holder, and what caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// The row.
    pub row: Row,
    /// The row that holds it; none if it stands alone.
    pub holder: Option<Holder>,
    /// The file and line that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

/// Rows in the order of their keys, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Rows {
    entries: Vec<Entry>,
}

impl Rows {
    /// Makes rows of these entries, in any order. Of two entries with one key the first stays.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries.dedup_by(|later, earlier| later.key == earlier.key);
        Rows { entries }
    }

    /// Returns the entry with this key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.key.as_str().cmp(key)).ok()?;
        self.entries.get(at)
    }

    /// Returns all entries, sorted by key.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Returns the `_uuid` of the row with this key, in a generation of ids.
pub fn id(site: &str, key: &Key, generation: u32) -> Uuid {
    Namespace::of_site(site).id_of_generation(key, generation)
}
