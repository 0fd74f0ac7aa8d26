//! Values: JSON objects, each with the version of its form.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Entry, Revision, StoreError};

/// The content of a value. A field with a default may be added without a new version; a change that an older midoform
/// would misread needs a new version, and `migrate` reads the older ones.
pub trait Record: Serialize + DeserializeOwned {
    /// The version that this program writes.
    const VERSION: u64;

    /// Converts a value of an older version to [`Record::VERSION`]; none for versions that never existed.
    fn migrate(_version: u64, _value: Value) -> Option<Value> {
        None
    }
}

/// A record with its key and the revision that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<T> {
    /// The key.
    pub key: String,
    /// The revision of the key when it was read or written.
    pub revision: Revision,
    /// The record.
    pub record: T,
}

/// Returns the value of a record.
pub fn encode<T: Record>(record: &T) -> String {
    let mut object = serde_json::Map::new();
    object.insert("version".to_owned(), T::VERSION.into());
    // A record is a struct of texts, numbers and lists: it always has a JSON form.
    if let Ok(Value::Object(fields)) = serde_json::to_value(record) {
        object.extend(fields);
    }
    Value::Object(object).to_string()
}

/// Reads a record.
///
/// # Errors
/// When the value is damaged, or has a version that this program does not know.
pub fn decode<T: Record>(store: &str, entry: &Entry) -> Result<Held<T>, StoreError> {
    let wrong = |cause: String| StoreError::Value { store: store.to_owned(), key: entry.key.clone(), cause };
    let value: Value = serde_json::from_str(&entry.value).map_err(|error| wrong(error.to_string()))?;
    let version = value.get("version").and_then(Value::as_u64);
    let version = version.ok_or_else(|| wrong("it has no version".to_owned()))?;
    let value = match version {
        known if known == T::VERSION => value,
        newer if newer > T::VERSION => {
            let cause =
                format!("its version is {newer}, and this midoform knows {}: use a newer one", T::VERSION);
            return Err(wrong(cause));
        }
        older => T::migrate(older, value)
            .ok_or_else(|| wrong(format!("its version is {older}, which no midoform reads")))?,
    };
    let record = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    Ok(Held { key: entry.key.clone(), revision: entry.revision, record })
}
