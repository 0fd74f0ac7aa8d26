//! Values of columns as operations on rows have them: those of the [topology](crate::topology::kinds::row), with the ids of rows in place
//! of references, in the form of the database's protocol (RFC 7047, section 5.1).

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::topology::kinds::Reference;
use crate::topology::kinds::row::{Map, Set, Value};

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// A text, or the only member of an optional text.
    Text(Arc<str>),
    /// An integer.
    Integer(i64),
    /// A set without members.
    Nothing,
    /// A set of at least one text.
    Texts(Set<Arc<str>>),
    /// A map from text to text.
    Map(Map),
    /// A set of at least one row.
    Rows(Arc<[Uuid]>),
}

impl Datum {
    /// Returns a value with the ids of the rows that it refers to. A reference without an id is left out.
    pub fn of(value: &Value, id: impl Fn(&Reference) -> Option<Uuid>) -> Datum {
        match value {
            Value::Text(text) => Datum::Text(text.clone()),
            Value::Integer(integer) => Datum::Integer(*integer),
            Value::Texts(texts) if texts.is_empty() => Datum::Nothing,
            Value::Texts(texts) => Datum::Texts(texts.clone()),
            Value::Map(map) => Datum::Map(map.clone()),
            Value::References(references) => {
                match references.iter().filter_map(id).collect::<Arc<[Uuid]>>() {
                    none if none.is_empty() => Datum::Nothing,
                    ids => Datum::Rows(ids),
                }
            }
        }
    }

    /// Reads a value from the protocol's form; none if it is another one than those that plans have.
    pub(super) fn read(json: &Json) -> Option<Datum> {
        let tagged = match json {
            Json::String(text) => return Some(Datum::Text(text.as_str().into())),
            Json::Number(number) => return number.as_i64().map(Datum::Integer),
            Json::Array(tagged) => tagged.as_slice(),
            _ => return None,
        };
        let [Json::String(tag), Json::Array(members)] = tagged else { return None };
        let text = |json: &Json| json.as_str().map(Arc::from);
        match (tag.as_str(), members.first()) {
            ("set", None) => Some(Datum::Nothing),
            ("set", Some(Json::String(_))) => {
                members.iter().map(text).collect::<Option<Set<_>>>().map(Datum::Texts)
            }
            ("set", Some(_)) => members.iter().map(row_id).collect::<Option<Arc<_>>>().map(Datum::Rows),
            ("map", _) => {
                let pair = |json: &Json| match json.as_array()?.as_slice() {
                    [key, value] => Some((text(key)?, text(value)?)),
                    _ => None,
                };
                members.iter().map(pair).collect::<Option<Map>>().map(Datum::Map)
            }
            _ => None,
        }
    }
}

/// Reads the id of a row: `["uuid", ID]`.
fn row_id(json: &Json) -> Option<Uuid> {
    match json.as_array()?.as_slice() {
        [Json::String(tag), Json::String(id)] if tag == "uuid" => Uuid::try_parse(id).ok(),
        _ => None,
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Datum::Text(text) => serializer.serialize_str(text),
            Datum::Integer(integer) => serializer.serialize_i64(*integer),
            Datum::Nothing => ("set", [(); 0]).serialize(serializer),
            Datum::Texts(texts) => ("set", texts).serialize(serializer),
            Datum::Map(map) => ("map", Pairs(map)).serialize(serializer),
            Datum::Rows(ids) => ("set", Ids(ids)).serialize(serializer),
        }
    }
}

struct Pairs<'a>(&'a Map);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

struct Ids<'a>(&'a [Uuid]);

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|id| ("uuid", id)))
    }
}
