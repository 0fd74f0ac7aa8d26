//! Values of columns. Copies share the texts: a plan has most values of a network several times.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::schema::{KEY_OF_ROW, SITE_OF_ROW};
use crate::topology::kinds::Reference;

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A text, or the only member of an optional text.
    Text(Arc<str>),
    /// An integer.
    Integer(i64),
    /// A set of texts.
    Texts(Set<Arc<str>>),
    /// A map.
    Map(Map),
    /// A set of references.
    References(Set<Reference>),
}

/// A set. Its members are in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<T>")]
#[serde(bound(deserialize = "T: Deserialize<'de> + Ord"))]
pub struct Set<T>(Arc<[T]>);

impl<T> Deref for Set<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> Set<T> {
    /// Returns the members in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Set(Arc::new([]))
    }
}

impl<T: Ord> From<Vec<T>> for Set<T> {
    fn from(mut members: Vec<T>) -> Self {
        members.sort_unstable();
        members.dedup();
        Set(members.into())
    }
}

impl<T: Ord> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        members.into_iter().collect::<Vec<T>>().into()
    }
}

/// A map from text to text. Its pairs are in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "BTreeMap<Arc<str>, Arc<str>>")]
pub struct Map(Arc<[(Arc<str>, Arc<str>)]>);

impl Map {
    /// Returns the pairs in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(known, _)| ***known == *key).map(|(_, value)| &**value)
    }

    /// Returns true if there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<BTreeMap<Arc<str>, Arc<str>>> for Map {
    fn from(pairs: BTreeMap<Arc<str>, Arc<str>>) -> Self {
        Map(pairs.into_iter().collect())
    }
}

impl FromIterator<(Arc<str>, Arc<str>)> for Map {
    /// Collects pairs. Of several with one key, the last one counts.
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<str>)>>(pairs: I) -> Self {
        let pairs: Vec<_> = pairs.into_iter().collect();
        match pairs.is_sorted_by(|(one, _), (other, _)| one < other) {
            true => Map(pairs.into()),
            false => pairs.into_iter().collect::<BTreeMap<_, _>>().into(),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Returns a text. The keys of external ids that every row has are made once.
pub fn shared(text: &str) -> Arc<str> {
    static WORDS: LazyLock<[Arc<str>; 2]> = LazyLock::new(|| [KEY_OF_ROW.into(), SITE_OF_ROW.into()]);
    WORDS.iter().find(|word| ***word == *text).cloned().unwrap_or_else(|| text.into())
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
